//! The plan: how an [`Ir`] is computed on this machine.
//!
//! Everything that can be decided before the first batch is decided here:
//! which nodes run together (`fuse`), where every value lies (`memory`),
//! how a batch is cut into shards and tiles (`split`), what becomes of
//! categories (`tables`), which kernels run.
//! The executor takes the steps one after another and decides nothing.
//!
//! A batch is cut into *shards*, which may run on different threads and are
//! summed in one fixed order, and a shard into *tiles*, whose activations fit
//! the cache: a tile runs forward, loss and backward before the next one
//! starts. Both depend on the number of rows and on the plan alone, never on
//! the number of threads, so that the result does not either.

mod fuse;
mod memory;
mod packed;
mod small;
mod split;
mod tables;
mod text;

pub use memory::Buffer;
pub use split::Split;
pub use tables::{Column, Table};

use crate::check::model::{Loss, Network, Optimizer, Tensor, Unary};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::inputs::Layout;
use crate::ir::{Ir, TensorId, lower};
use mlpc_kernels::gemm::{Algorithm, Slope};
use mlpc_kernels::layout::Tile;
use mlpc_kernels::simd::Isa;
use mlpc_kernels::small::Net;
use std::ops::Range;
use tables::Tables;

/// The number of a buffer in [`Program::buffers`].
pub type BufferId = usize;

/// What may be decided from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// The instruction set; the CPU must have it.
    pub isa: Isa,
    /// Whether steps are fused; unfused, every node of the Ir is a step with
    /// a buffer of its own, for testing and for seeing what fusion is worth.
    pub fuse: bool,
}

impl Default for PlanOptions {
    /// The widest instruction set of this CPU, fused.
    fn default() -> Self {
        PlanOptions { isa: Isa::best(), fuse: true }
    }
}

impl PlanOptions {
    /// The variable that pins an instruction set.
    pub const VARIABLE: &str = "MLPC_ISA";

    /// Whether the environment variable `MLPC_ISA` names an instruction set.
    pub fn is_pinned() -> bool {
        std::env::var_os(Self::VARIABLE).is_some_and(|name| !name.is_empty())
    }

    /// The default, with the instruction set that the environment variable
    /// `MLPC_ISA` names, where it is set and not empty.
    ///
    /// # Errors
    /// As [`PlanOptions::pinned`].
    pub fn from_environment() -> Result<Self, Diagnostics> {
        match std::env::var_os(Self::VARIABLE) {
            Some(name) if !name.is_empty() => Self::pinned(&name.to_string_lossy(), Self::VARIABLE),
            _ => Ok(Self::default()),
        }
    }

    /// The default, with the instruction set of this name; `origin` is what
    /// asked for it, for the message.
    ///
    /// # Errors
    /// Where there is none of this name, or this CPU lacks it: what is asked
    /// for is never silently something else.
    pub fn pinned(name: &str, origin: &str) -> Result<Self, Diagnostics> {
        let available = Isa::ALL.into_iter().filter(|isa| isa.available());
        let help = available.map(Isa::name).collect::<Vec<_>>().join(", ");
        let help = format!("this CPU has {help}");
        let error = |what: String| Diagnostic::error(Code::Usage, what).help(help.clone());
        let Ok(isa) = name.parse::<Isa>() else {
            return Err(error(format!("{origin}: unknown instruction set `{name}`")).into());
        };
        if !isa.available() {
            return Err(error(format!("{origin}: this CPU lacks {isa}")).into());
        }
        Ok(PlanOptions { isa, ..Self::default() })
    }
}

/// A network as it is going to be computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The options that it was made with.
    pub options: PlanOptions,
    /// Inputs of the first layer.
    pub inputs: usize,
    /// How they are numbered.
    pub layout: Layout,
    /// Outputs of a row.
    pub outputs: usize,
    /// The parameter tensors: parts of one flat buffer, row-major but for the
    /// tables: see [`Plan::lay_out`].
    pub tensors: Vec<Tensor>,
    /// The tables whose rows are gathered.
    pub tables: Vec<Table>,
    /// The table of the first layer's weights, where categories are gathered;
    /// else they are inputs of zeros and a one.
    pub gathered: Option<usize>,
    /// Of every tensor the part of the flat buffer that is no table: what is
    /// multiplied, or a bias.
    pub weights: Vec<Range<usize>>,
    /// Multiply-adds of a row in its forward pass.
    pub work: usize,
    /// Parameters in all, the length of the flat buffer.
    pub parameters: usize,
    /// Lanes of a tile's panel, and columns of a panel of rows.
    pub panel: usize,
    /// The loss.
    pub loss: Loss,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The network as a kernel that takes a whole step, where it is fused and
    /// small: see [`Plan::small_step`].
    pub small: Option<Net>,
    /// The steps of a tile in training: forward, loss, backward.
    pub train: Program,
    /// The same for a tile whose rows several threads share, where the network may
    /// be trained so: the gradient of parameters comes last.
    pub shared: Option<Program>,
    /// The steps of a tile in prediction.
    pub predict: Program,
}

/// The steps of a tile, and where their values lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What they read and write: parts of one arena a shard.
    pub buffers: Vec<Buffer>,
    /// Features of the arena; times the lanes of a tile, its length in f32.
    pub arena: usize,
    /// The buffer that holds the prediction at the end; none in training.
    pub output: Option<BufferId>,
    /// Rows of a tile at the most, a multiple of the vector length.
    pub tile: usize,
    /// The buffers that each thread of a team fills for itself: the inputs and what is
    /// packed of them and of other layers; none where other steps write inputs, too.
    pub own: Vec<BufferId>,
    /// Whether what is loaded of a batch is still there after a step.
    pub keeps: bool,
}

/// An activation at the end of a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ending {
    /// The activation f.
    pub f: Unary,
    /// Where f(z) goes. Where it is z's own buffer, z is dead. Else z's
    /// buffer is overwritten by f′(z), which the backward pass multiplies by.
    pub y: BufferId,
    /// Whether the product computes it, on sums that are still in registers.
    pub in_registers: bool,
}

/// A slope, applied to a gradient in place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlopeOf {
    /// The activation.
    pub f: Unary,
    /// What the slope is computed from.
    pub from: BufferId,
    /// `from` holds the slope itself, kept by the forward pass.
    pub kept: bool,
    /// Whether a product computes it, on sums that are still in registers.
    pub in_registers: bool,
}

/// A step of a tile. Buffers are tiles ([`Tile`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Rows of the batch, as they lie, to a tile: numbers, and categories that
    /// are not gathered as zeros and a one.
    Load {
        /// The rows as a tile.
        x: BufferId,
        /// The same as rows in panels, where the weight gradient reads them.
        rows: Option<PackedRows>,
    },
    /// Features from `first` on ← the sum of the table's rows that a row's codes
    /// name (+ b)
    Gather {
        /// The table's number.
        table: usize,
        /// b
        bias: Option<TensorId>,
        /// Where it goes: x for an embedding, z for a layer.
        to: BufferId,
        /// The first of the features.
        first: usize,
    },
    /// z ← W·x (+ b), or z + W·x, then the ending.
    Dense {
        /// W
        weight: TensorId,
        /// b
        bias: Option<TensorId>,
        /// x, a tile; none where the rows of the batch are read as they lie.
        x: Option<BufferId>,
        /// z
        z: BufferId,
        /// Whether z holds something that it is added to.
        onto: bool,
        /// f
        ending: Option<Ending>,
        /// Who computes it.
        algorithm: Algorithm,
    },
    /// z ← x + b
    Bias {
        /// b
        bias: TensorId,
        /// x
        x: BufferId,
        /// z
        z: BufferId,
    },
    /// y ← f(z)
    Activate {
        /// f
        f: Unary,
        /// z
        z: BufferId,
        /// y
        y: BufferId,
    },
    /// y ← softmax(z); y may be z.
    Softmax {
        /// z
        z: BufferId,
        /// y
        y: BufferId,
    },
    /// dp ← ∂loss/∂p
    Loss {
        /// p
        p: BufferId,
        /// dp
        dp: BufferId,
    },
    /// z ← ∂loss/∂z for a loss that goes with the last activation: the gradient
    /// of both in one.
    LossOfLogits {
        /// z
        z: BufferId,
    },
    /// dz ← dy·f′; dz may be dy.
    Slope {
        /// f′
        slope: SlopeOf,
        /// dy
        dy: BufferId,
        /// dz
        dz: BufferId,
    },
    /// dz ← softmax's backward pass
    SoftmaxSlope {
        /// y
        y: BufferId,
        /// dy
        dy: BufferId,
        /// dz
        dz: BufferId,
    },
    /// ∂W += dz·xᵀ, and ∂b += Σ dz where it is fused. It reads x from `rows` for
    /// tiles that they are packed of, else from x, as scalar products; where there is
    /// neither, the rows of the batch as they lie.
    WeightGradient {
        /// W
        weight: TensorId,
        /// b
        bias: Option<TensorId>,
        /// dz
        dz: BufferId,
        /// x, a tile; none where it is not read.
        x: Option<BufferId>,
        /// x as rows in panels.
        rows: Option<PackedRows>,
        /// Whether the step packs them; else the load did.
        packs: bool,
        /// Who computes it from rows in panels.
        algorithm: Algorithm,
    },
    /// ∂table: each of its rows += the features of the rows whose codes name it
    Scatter {
        /// The table's number.
        table: usize,
        /// dz of a layer, dx for an embedding.
        from: BufferId,
        /// The same, row by row.
        rows: BufferId,
        /// The first of the features.
        first: usize,
    },
    /// ∂b += Σ dz
    BiasGradient {
        /// b
        bias: TensorId,
        /// dz
        dz: BufferId,
    },
    /// dx ← Wᵀ·dz, then times the slope of the layer before.
    InputGradient {
        /// W
        weight: TensorId,
        /// The first of the inputs whose gradient it is, of as many as dx has
        /// features.
        first: usize,
        /// dz
        dz: BufferId,
        /// dx
        dx: BufferId,
        /// f′
        slope: Option<SlopeOf>,
        /// Who computes it.
        algorithm: Algorithm,
    },
}

/// A tile as rows in panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedRows {
    /// Where they lie.
    pub to: BufferId,
    /// Rows of the tiles that are packed, at the most: see `packed`.
    pub most: usize,
}

impl PackedRows {
    /// Where the rows of a tile of so many lie, if they are packed.
    pub(crate) fn of(self, rows: usize) -> Option<BufferId> {
        (rows <= self.most).then_some(self.to)
    }
}

impl Program {
    /// Whether the first layer reads the rows of the batch as they lie, so that they are
    /// not loaded.
    pub fn reads_rows(&self) -> bool {
        matches!(self.steps.first(), Some(Step::Dense { x: None, .. }))
    }
}

impl Step {
    /// Whether it computes the gradient of parameters.
    pub fn is_of_parameters(&self) -> bool {
        matches!(
            self,
            Step::WeightGradient { .. } | Step::BiasGradient { .. } | Step::Scatter { .. }
        )
    }

    /// The buffers that it touches.
    fn buffers(&self) -> Vec<BufferId> {
        match *self {
            Step::Load { x, rows } => [x].into_iter().chain(rows.map(|rows| rows.to)).collect(),
            Step::Gather { to, .. } => vec![to],
            Step::Scatter { from, rows, .. } => vec![from, rows],
            Step::Dense { x, z, ending, .. } => {
                [x, Some(z), ending.map(|e| e.y)].into_iter().flatten().collect()
            }
            Step::Bias { x, z, .. } => vec![x, z],
            Step::Activate { z, y, .. } | Step::Softmax { z, y } => vec![z, y],
            Step::Loss { p, dp } => vec![p, dp],
            Step::LossOfLogits { z } => vec![z],
            Step::Slope { slope, dy, dz } => vec![slope.from, dy, dz],
            Step::SoftmaxSlope { y, dy, dz } => vec![y, dy, dz],
            Step::WeightGradient { dz, x, rows, .. } => {
                [Some(dz), x, rows.map(|rows| rows.to)].into_iter().flatten().collect()
            }
            Step::BiasGradient { dz, .. } => vec![dz],
            Step::InputGradient { dz, dx, slope, .. } => {
                [dz, dx].into_iter().chain(slope.map(|s| s.from)).collect()
            }
        }
    }
}

/// The buffers that a batch is loaded into.
fn loaded(steps: &[Step]) -> Vec<BufferId> {
    let loads = steps.iter().filter(|step| matches!(step, Step::Load { .. }));
    loads.flat_map(Step::buffers).collect()
}

/// The buffers that each thread of a team fills for itself: the inputs and what is
/// packed of them and of other layers; none where other steps write inputs, too.
fn own(steps: &[Step]) -> Vec<BufferId> {
    let loads = |step: &Step| match *step {
        Step::Load { x, rows } => Some((x, rows)),
        _ => None,
    };
    let Some((x, rows)) = steps.iter().find_map(loads) else { return Vec::new() };
    let reads_alone = |step: &Step| match *step {
        Step::Load { .. } => true,
        Step::Dense { z, ending, .. } => z != x && ending.is_none_or(|ending| ending.y != x),
        Step::WeightGradient { dz, .. } => dz != x,
        ref step => !step.buffers().contains(&x),
    };
    if !steps.iter().all(reads_alone) {
        return Vec::new();
    }
    let packs = |step: &Step| match *step {
        Step::WeightGradient { packs: true, rows, .. } => rows,
        _ => None,
    };
    let rows = rows.into_iter().chain(steps.iter().filter_map(packs));
    [x].into_iter().chain(rows.map(|rows| rows.to)).collect()
}

impl Plan {
    /// The plan of a network. Nothing can go wrong: a [`Network`] is checked.
    pub fn new(network: &Network, options: PlanOptions) -> Plan {
        Plan::of(&lower(network), options)
    }

    /// The plan of an Ir.
    pub fn of(ir: &Ir, options: PlanOptions) -> Plan {
        let small = options.fuse.then(|| small::of(ir)).flatten();
        let gather = options.fuse && small.is_none() && tables::pays(&ir.layout);
        let tables = Tables::of(ir, gather);
        let large = is_large(&tables.weights);
        // Then the gradient of parameters comes last, for all shards.
        let by_outputs = is_by_outputs(&ir.tensors);
        let program = |train: bool, parameters_last: bool| {
            // By outputs, tiles are read when others have been loaded.
            let as_they_lie = !(train && by_outputs);
            let (mut steps, mut buffers, output) =
                fuse::steps(ir, &tables, options, train, as_they_lie);
            choose_algorithms(&mut steps, &tables.weights, options.isa);
            let mut together = steps.len();
            if parameters_last {
                steps.sort_by_key(Step::is_of_parameters);
                together = steps.partition_point(|step| !step.is_of_parameters());
            }
            let own = own(&steps);
            let mut program = |kept: &[BufferId]| {
                let arena = memory::assign(&steps, &mut buffers, output, together, kept);
                let tile = match train && by_outputs {
                    true => split::MOST_LANES_LARGE,
                    false => split::tile(arena, large, options.isa),
                };
                let (steps, buffers, own) = (steps.clone(), buffers.clone(), own.clone());
                Program { steps, buffers, arena, output, tile, own, keeps: false }
            };
            let plain = program(&[]);
            // Kept where that costs next to nothing: steps of other batches load anew. Of
            // rows as they lie there are targets alone, which have a place of their own.
            let loaded = loaded(&steps);
            let keeping = program(&loaded);
            let pays = keeping.tile == plain.tile && keeping.arena <= plain.arena + plain.arena / 8;
            let keeps = train && pays && (!own.is_empty() || loaded.is_empty());
            Program { keeps, ..if keeps { keeping } else { plain } }
        };
        let (train, predict) = (program(true, by_outputs), program(false, false));
        // What scatters adds row after row, to rows of tables that any row may name.
        let shares = options.fuse && !by_outputs && tables.tables.is_empty();
        let shared = shares.then(|| program(true, true));
        let work = tables.work();
        let Tables { tables, gathered, weights, .. } = tables;
        Plan {
            options,
            inputs: ir.nodes[0].width,
            layout: ir.layout.clone(),
            outputs: ir.nodes[ir.prediction].width,
            panel: panel(large, options.isa),
            tables,
            gathered,
            weights,
            work,
            tensors: ir.tensors.clone(),
            parameters: ir.tensors.last().map_or(0, |t| t.range.end),
            loss: ir.loss,
            optimizer: ir.optimizer,
            small,
            train,
            shared,
            predict,
        }
    }

    /// The tile of so many rows.
    pub(crate) fn tile(&self, rows: usize) -> Tile {
        let width = self.lanes(rows);
        Tile { width, rows, panel: self.panel.min(width) }
    }

    /// Whether the gradient of parameters is computed by outputs: first the
    /// forward and backward pass of all shards, then, for a few rows of a
    /// weight after the other, their gradient over all shards and their
    /// update. So threads share neither gradients nor the work of adding them
    /// up; else each shard has a gradient of its own.
    pub fn is_by_outputs(&self) -> bool {
        is_by_outputs(&self.tensors)
    }

    /// Whether predictions with packed weights compute the first layer from rows as they
    /// lie, and transpose its outputs instead of its inputs: where these are many more,
    /// and outputs fill vectors (784-128-10 predicts 3% more rows).
    pub(crate) fn takes_rows(&self) -> bool {
        let [Step::Load { .. }, Step::Dense { z, algorithm, .. }, ..] = self.predict.steps[..]
        else {
            return false;
        };
        let (inputs, outputs) = (self.inputs, self.predict.buffers[z].width);
        let pays = outputs >= 32 && inputs >= 256 && inputs >= 4 * outputs;
        let packs = self.options.fuse && algorithm == Algorithm::Tiled;
        pays && packs && self.layout.categories.is_empty()
    }

    /// Whether a layer has more weights than the cache takes.
    fn is_large(&self) -> bool {
        is_large(&self.weights)
    }
}

/// Weights of a layer that the second-level cache does not hold: from here on
/// tiles are wide, and the portable kernels, which lack a fused multiply-add on
/// x86-64, hand their products to matrixmultiply.
pub(crate) const LARGE_LAYER: usize = 256 * 1024;

fn is_large(weights: &[Range<usize>]) -> bool {
    weights.iter().any(|weights| weights.len() > LARGE_LAYER)
}

/// Parameters beyond which adding up a gradient a shard, 256 KB each, would
/// cost more than it gains.
const SHARED_PARAMETERS: usize = 64 * 1024;

fn is_by_outputs(tensors: &[Tensor]) -> bool {
    tensors.last().is_some_and(|tensor| tensor.range.end > SHARED_PARAMETERS)
}

/// Lanes of a panel: what a register tile takes, or all of them where some
/// products go to matrixmultiply, which knows no panels.
fn panel(large: bool, isa: Isa) -> usize {
    if large && isa == Isa::Portable { usize::MAX } else { mlpc_kernels::gemm::panel(isa) }
}

/// Who computes products, and with them what follows.
fn choose_algorithms(steps: &mut [Step], weights: &[Range<usize>], isa: Isa) {
    for step in steps {
        let as_they_lie = matches!(step, Step::Dense { x: None, .. });
        let (weight, algorithm) = match step {
            Step::WeightGradient { x, rows: None, algorithm, .. } => {
                *algorithm = if x.is_some() { Algorithm::Dots } else { Algorithm::Rows };
                continue;
            }
            Step::Dense { weight, algorithm, .. }
            | Step::WeightGradient { weight, algorithm, .. }
            | Step::InputGradient { weight, algorithm, .. } => (*weight, algorithm),
            _ => continue,
        };
        let large = weights[weight].len() > LARGE_LAYER;
        *algorithm = match isa {
            _ if as_they_lie => Algorithm::Rows,
            Isa::Portable if large => Algorithm::Matrixmultiply,
            _ => Algorithm::Tiled,
        };
        let ours = *algorithm != Algorithm::Matrixmultiply;
        match step {
            Step::Dense { ending: Some(ending), z, .. } => {
                ending.in_registers = ours && ending.y == *z && ending.f.leak().is_some();
            }
            Step::InputGradient { slope: Some(slope), .. } => {
                slope.in_registers = ours && Slope::of(slope.f, slope.kept).is_some();
            }
            _ => {}
        }
    }
}
