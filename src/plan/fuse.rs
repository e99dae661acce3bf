//! Nodes to steps: what runs together, and what does not run at all.
//!
//! The rules, each with a golden case in `tests/plans.rs`:
//!
//! 1. bias and activation go to the end of the product that they follow;
//! 2. an activation overwrites its input where that is dead: where its slope
//!    is computed from its output; else the input's place keeps the slope;
//! 3. the gradient of a loss that goes with the last activation (softmax with
//!    cross-entropy, sigmoid with bce) is one step, p − y, in place;
//! 4. a slope goes to the end of the input gradient that it follows; rectifiers,
//!    and slopes that take few operations, are computed by the product itself;
//! 5. a bias's gradient goes with the weight's;
//! 6. an input gradient that nobody uses (the first layer's) is left out, and of
//!    one that embeddings use, all but their part;
//! 7. categories that are gathered are no inputs of the first product, which is
//!    added to their sum;
//! 8. a first layer of few outputs reads the batch's rows as they lie, and nothing is
//!    loaded.

use super::memory::Buffer;
use super::tables::Tables;
use super::{BufferId, Ending, PackedRows, PlanOptions, SlopeOf, Step, packed};
use crate::check::model::Unary;
use crate::ir::{Ir, Op, TensorId, Value};
use mlpc_kernels::gemm::Algorithm;
use mlpc_kernels::loss::LossKind;
use mlpc_kernels::unary::SlopeFrom;

/// The steps of training or of prediction, their buffers (without a place
/// yet), and the prediction's buffer. Rows may be read `as_they_lie`, or not.
pub(super) fn steps(
    ir: &Ir,
    tables: &Tables,
    options: PlanOptions,
    train: bool,
    as_they_lie: bool,
) -> (Vec<Step>, Vec<Buffer>, Option<BufferId>) {
    let end = if train { ir.nodes.len() } else { ir.prediction + 1 };
    let mut users = vec![Vec::new(); ir.nodes.len()];
    for id in 0..end {
        for operand in needs(&ir.nodes[id].op) {
            users[operand].push(id);
        }
    }
    let mut fuser = Fuser {
        ir,
        tables,
        options,
        users,
        train,
        as_they_lie,
        steps: Vec::new(),
        buffers: Vec::new(),
        buffer_of: vec![None; ir.nodes.len()],
        slope_kept: vec![false; ir.nodes.len()],
        absorbed: vec![false; ir.nodes.len()],
        rows: None,
    };
    for id in 0..end {
        if fuser.absorbed[id] {
            continue;
        }
        if options.fuse {
            fuser.fused(id);
        } else {
            fuser.plain(id);
        }
    }
    let output = (!train).then(|| fuser.buffer(ir.prediction));
    (fuser.steps, fuser.buffers, output)
}

/// The operands that a step really reads: a slope reads x or y.
fn needs(op: &Op) -> Vec<Value> {
    match *op {
        Op::Slope { f, dy, x, y } => vec![dy, slope_source(f, x, y)],
        _ => op.operands(),
    }
}

fn slope_source(f: Unary, x: Value, y: Value) -> Value {
    match f.slope_from() {
        SlopeFrom::Output => y,
        SlopeFrom::Input => x,
    }
}

struct Fuser<'a> {
    ir: &'a Ir,
    tables: &'a Tables,
    options: PlanOptions,
    users: Vec<Vec<usize>>,
    train: bool,
    /// Whether rows may be read as they lie.
    as_they_lie: bool,
    steps: Vec<Step>,
    buffers: Vec<Buffer>,
    /// Where a value lies.
    buffer_of: Vec<Option<BufferId>>,
    /// A value whose place was taken by the slope at it.
    slope_kept: Vec<bool>,
    /// Nodes that another node's step has taken in.
    absorbed: Vec<bool>,
    /// The batch's rows in panels.
    rows: Option<PackedRows>,
}

/// The plan sets it when the fusing is done.
const LATER: Algorithm = Algorithm::Naive;

impl Fuser<'_> {
    fn new_buffer(&mut self, name: String, width: usize) -> BufferId {
        self.buffers.push(Buffer { name, width, offset: 0 });
        self.buffers.len() - 1
    }

    /// The features of a value that a tile holds.
    fn width(&self, value: Value) -> usize {
        match self.ir.nodes[value].op {
            Op::Input | Op::Embed { .. } => self.tables.inputs,
            _ => self.ir.nodes[value].width,
        }
    }

    /// A new place for a value.
    fn place(&mut self, value: Value) -> BufferId {
        let buffer = self.new_buffer(format!("%{value}"), self.width(value));
        self.buffer_of[value] = Some(buffer);
        buffer
    }

    fn buffer(&self, value: Value) -> BufferId {
        self.buffer_of[value].expect("nodes come after their operands")
    }

    fn only_user(&self, value: Value) -> Option<usize> {
        match self.users[value][..] {
            [user] => Some(user),
            _ => None,
        }
    }

    /// What a weight gradient reads: x itself, where it does, and as rows in panels,
    /// and whether they have yet to be made.
    fn rows_of(&mut self, x: Value, dz: Value) -> (Option<BufferId>, Option<PackedRows>, bool) {
        let width = self.width(x);
        let most = packed::most_rows(self.options.isa, width, self.ir.nodes[dz].width);
        if most == 0 {
            return (self.buffer_of[x], None, false);
        }
        match (self.ir.nodes[x].op, self.rows) {
            _ if self.buffer_of[x].is_none() => (None, None, false),
            (Op::Input, Some(rows)) => {
                let x = (rows.most < usize::MAX).then(|| self.buffer(x));
                (x, Some(rows), false)
            }
            _ => {
                let to = self.new_buffer(format!("rows of %{x}"), width);
                (Some(self.buffer(x)), Some(PackedRows { to, most }), true)
            }
        }
    }

    /// A node by itself, its result in a place of its own.
    fn plain(&mut self, id: usize) {
        let node = self.ir.nodes[id];
        let algorithm = LATER;
        let step = match node.op {
            Op::Input => {
                let x = self.place(id);
                // The first layer's weight gradient reads the batch as rows.
                let outputs = |user: &usize| match self.ir.nodes[*user].op {
                    Op::WeightGradient { dz, .. } => Some(self.ir.nodes[dz].width),
                    _ => None,
                };
                let outputs = self.users[id].iter().find_map(outputs);
                // Where the batch's numbers are all of them.
                let width = self.width(id);
                let isa = self.options.isa;
                let most = outputs.map_or(0, |outputs| packed::most_rows(isa, width, outputs));
                if width == self.ir.layout.dense && most > 0 {
                    let to = self.new_buffer("rows".into(), width);
                    self.rows = Some(PackedRows { to, most });
                }
                Step::Load { x, rows: self.rows }
            }
            Op::Embed { x, table, first, .. } => {
                let to = self.buffer(x);
                self.buffer_of[id] = Some(to);
                Step::Gather { table: self.table(table), bias: None, to, first }
            }
            Op::EmbeddingGradient { dx, table, first, .. } => {
                let from = self.buffer(dx);
                let rows = self.new_buffer(format!("rows of %{dx}"), self.buffers[from].width);
                let first = first - self.ir.layout.dense;
                Step::Scatter { table: self.table(table), from, rows, first }
            }
            Op::MatMul { x, weight } => {
                let (x, z) = (Some(self.buffer(x)), self.place(id));
                Step::Dense { weight, bias: None, x, z, onto: false, ending: None, algorithm }
            }
            Op::AddBias { x, bias } => Step::Bias { bias, x: self.buffer(x), z: self.place(id) },
            Op::Activate { f, x } => Step::Activate { f, z: self.buffer(x), y: self.place(id) },
            Op::Softmax { x } => Step::Softmax { z: self.buffer(x), y: self.place(id) },
            Op::Loss { p } => Step::Loss { p: self.buffer(p), dp: self.place(id) },
            Op::Slope { f, dy, x, y } => {
                let slope = self.slope(f, x, y);
                Step::Slope { slope, dy: self.buffer(dy), dz: self.place(id) }
            }
            Op::SoftmaxSlope { dy, y } => {
                Step::SoftmaxSlope { y: self.buffer(y), dy: self.buffer(dy), dz: self.place(id) }
            }
            Op::WeightGradient { dz, x, weight } => {
                let (x, rows, packs) = self.rows_of(x, dz);
                let dz = self.buffer(dz);
                Step::WeightGradient { weight, bias: None, dz, x, rows, packs, algorithm }
            }
            Op::BiasGradient { dz, bias } => Step::BiasGradient { bias, dz: self.buffer(dz) },
            Op::InputGradient { dz, weight } => {
                let dz = self.buffer(dz);
                let layout = &self.ir.layout;
                let embeddings = layout.dense..layout.one_hot_start();
                let of_embeddings = self.users[id]
                    .iter()
                    .any(|&user| matches!(self.ir.nodes[user].op, Op::EmbeddingGradient { .. }));
                let (first, dx) = if of_embeddings {
                    let dx = self.new_buffer(format!("%{id}"), embeddings.len());
                    self.buffer_of[id] = Some(dx);
                    (embeddings.start, dx)
                } else {
                    (0, self.place(id))
                };
                Step::InputGradient { weight, first, dz, dx, slope: None, algorithm }
            }
        };
        self.steps.push(step);
    }

    /// Rule 8: whether the layer that reads the batch takes its rows as they lie.
    fn reads_rows(&self, id: usize) -> bool {
        let outputs = |user: &usize| match self.ir.nodes[*user].op {
            Op::MatMul { .. } => Some(self.ir.nodes[*user].width),
            _ => None,
        };
        let outputs = self.users[id].iter().find_map(outputs);
        let (isa, inputs) = (self.options.isa, self.width(id));
        self.as_they_lie
            && self.ir.layout.categories.is_empty()
            && outputs.is_some_and(|outputs| packed::as_they_lie(isa, inputs, outputs))
    }

    /// A node with what can be done together with it.
    fn fused(&mut self, id: usize) {
        let node = self.ir.nodes[id];
        match node.op {
            Op::Input if self.reads_rows(id) => {}
            Op::MatMul { x, weight } => self.dense(id, x, weight),
            Op::Activate { .. } | Op::Softmax { .. } if self.loss_takes_in(id) => {}
            Op::Softmax { x } => {
                let z = self.buffer(x);
                self.buffer_of[id] = Some(z);
                self.steps.push(Step::Softmax { z, y: z });
            }
            Op::Loss { p } => self.loss(id, p),
            Op::Slope { f, dy, x, y } => {
                let slope = self.slope(f, x, y);
                let dz = self.buffer(dy);
                self.buffer_of[id] = Some(dz);
                self.steps.push(Step::Slope { slope, dy: dz, dz });
            }
            Op::WeightGradient { dz, .. } => {
                self.plain(id);
                // Rule 5.
                let together =
                    self.users[dz].iter().copied().find_map(|user| match self.ir.nodes[user].op {
                        Op::BiasGradient { bias, .. } => Some((user, bias)),
                        _ => None,
                    });
                if let (Some((user, with)), Some(Step::WeightGradient { bias, .. })) =
                    (together, self.steps.last_mut())
                {
                    *bias = Some(with);
                    self.absorbed[user] = true;
                }
                self.scatter(id);
            }
            Op::InputGradient { .. } => {
                // Rule 6.
                if self.users[id].is_empty() {
                    return;
                }
                self.plain(id);
                // Rule 4.
                let Some(user) = self.only_user(id) else { return };
                let Op::Slope { f, x, y, .. } = self.ir.nodes[user].op else { return };
                let of = self.slope(f, x, y);
                if let Some(Step::InputGradient { slope, dx, .. }) = self.steps.last_mut() {
                    *slope = Some(of);
                    self.buffer_of[user] = Some(*dx);
                    self.absorbed[user] = true;
                }
            }
            _ => self.plain(id),
        }
    }

    fn table(&self, tensor: TensorId) -> usize {
        self.tables.of_tensor(tensor).expect("every table of the Ir is one of the plan")
    }

    /// The table of gathered categories that a weight has a part of.
    fn gathered(&self, weight: TensorId) -> Option<usize> {
        self.tables.gathered.filter(|&table| self.tables.tables[table].tensor == weight)
    }

    /// Rule 7, backward: what follows the gradient of the other weights.
    fn scatter(&mut self, id: usize) {
        let Op::WeightGradient { dz, weight, .. } = self.ir.nodes[id].op else { return };
        let Some(table) = self.gathered(weight) else { return };
        let from = self.buffer(dz);
        let rows = self.new_buffer(format!("rows of %{dz}"), self.ir.nodes[dz].width);
        self.steps.push(Step::Scatter { table, from, rows, first: 0 });
    }

    /// Rules 1, 2 and 7.
    fn dense(&mut self, id: usize, x: Value, weight: usize) {
        let x = self.buffer_of[x];
        let z = self.place(id);
        let mut last = id;
        let mut with_bias = None;
        if let Some(user) = self.only_user(id)
            && let Op::AddBias { bias, .. } = self.ir.nodes[user].op
        {
            with_bias = Some(bias);
            self.absorbed[user] = true;
            self.buffer_of[user] = Some(z);
            last = user;
        }
        let activation =
            self.users[last].iter().copied().find_map(|user| match self.ir.nodes[user].op {
                Op::Activate { f, .. } if !self.loss_takes_in(user) => Some((user, f)),
                _ => None,
            });
        let ending = activation.map(|(user, f)| {
            self.absorbed[user] = true;
            let z_is_dead = self.users[last].len() == 1;
            let y = if z_is_dead {
                self.buffer_of[user] = Some(z);
                z
            } else {
                self.slope_kept[last] = true;
                self.place(user)
            };
            Ending { f, y, in_registers: false }
        });
        let table = self.gathered(weight);
        if let Some(table) = table {
            let bias = with_bias.take();
            self.steps.push(Step::Gather { table, bias, to: z, first: 0 });
        }
        let (bias, onto, algorithm) = (with_bias, table.is_some(), LATER);
        self.steps.push(Step::Dense { weight, bias, x, z, onto, ending, algorithm });
    }

    /// Rule 3: whether the prediction is not needed, only the gradient at the
    /// sums.
    fn loss_takes_in(&self, id: usize) -> bool {
        let pair = match self.ir.nodes[id].op {
            Op::Softmax { .. } => self.ir.loss.kind == LossKind::CrossEntropy,
            Op::Activate { f, .. } => (self.ir.loss.kind, f) == (LossKind::Bce, Unary::Sigmoid),
            _ => false,
        };
        pair && self.train && id == self.ir.prediction
    }

    fn loss(&mut self, id: usize, p: Value) {
        let sums = match self.ir.nodes[p].op {
            Op::Activate { x, .. } | Op::Softmax { x } if self.loss_takes_in(p) => x,
            _ => return self.plain(id),
        };
        let z = self.buffer(sums);
        self.buffer_of[id] = Some(z);
        let slope = self.only_user(id).expect("an activation's slope follows its loss");
        self.buffer_of[slope] = Some(z);
        self.absorbed[slope] = true;
        self.steps.push(Step::LossOfLogits { z });
    }

    fn slope(&self, f: Unary, x: Value, y: Value) -> SlopeOf {
        let source = slope_source(f, x, y);
        let kept = self.slope_kept[source];
        SlopeOf { f, from: self.buffer(source), kept, in_registers: false }
    }
}
