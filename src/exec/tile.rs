//! One tile: the plan's steps over the tile's arena.

use super::{Batch, Rows, Targets};
use crate::plan::{Buffer, BufferId, Plan, Program, SlopeOf, Step};
use mlpc_kernels::gemm::{Algorithm, Gemm, Right};
use mlpc_kernels::layout::{self, Pick, Tile, sum_features};
use mlpc_kernels::{loss, unary};
use std::ops::Range;

/// The rows that a tile takes from its batch.
pub(super) struct TileInput<'a> {
    pub(super) batch: &'a Batch<'a>,
    /// Places in the batch.
    pub(super) rows: Range<usize>,
    /// What the loss's gradient is multiplied by.
    pub(super) scale: f32,
}

impl<'a> TileInput<'a> {
    /// The tile's rows of a matrix with a row a row of the table.
    fn rows(&self, data: &'a [f32], columns: usize) -> layout::Rows<'a> {
        let pick = match self.batch.rows {
            Rows::Range(start, _) => Pick::From(start + self.rows.start),
            Rows::Numbers(numbers) => Pick::Numbers(&numbers[self.rows.clone()]),
        };
        layout::Rows { data, columns, pick }
    }
}

/// The gradient of the tile's shard.
pub(super) struct Gradients<'a> {
    pub(super) flat: &'a mut [f32],
    /// The shard's first tile: the gradient starts at zero.
    pub(super) first: bool,
}

/// A run of the flat buffers whose gradient is computed together: some rows
/// of a weight, or a bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The run.
    pub(super) range: Range<usize>,
    /// The step that computes it.
    step: usize,
    /// Rows of a weight; none for a bias.
    rows: Option<Range<usize>>,
}

/// Parameters of a part at the most, where a row is not longer: its gradient
/// and state fit the cache between computing and using them.
const PART: usize = 6 * 1024;

/// The parts of a plan's flat buffers, in order.
pub(super) fn parts(plan: &Plan) -> Vec<Part> {
    let mut parts = Vec::new();
    for (at, step) in plan.train.steps.iter().enumerate() {
        let (weight, bias) = match *step {
            Step::WeightGradient { weight, bias, .. } => (Some(weight), bias),
            Step::BiasGradient { bias, .. } => (None, Some(bias)),
            _ => continue,
        };
        if let Some(weight) = weight {
            let tensor = &plan.tensors[weight];
            let (outputs, inputs) = (tensor.shape[0], tensor.shape[1]);
            // Whole register tiles, of 12 rows at the most.
            let rows = (PART / inputs / 12).max(1) * 12;
            for first in (0..outputs).step_by(rows) {
                let rows = first..outputs.min(first + rows);
                let start = tensor.range.start;
                let range = start + rows.start * inputs..start + rows.end * inputs;
                parts.push(Part { range, step: at, rows: Some(rows) });
            }
        }
        if let Some(bias) = bias {
            parts.push(Part { range: plan.tensors[bias].range.clone(), step: at, rows: None });
        }
    }
    parts.sort_by_key(|part| part.range.start);
    parts
}

/// What a shard's steps read and write beside its arena.
pub(super) struct Scratch<'a> {
    pub(super) arena: &'a mut [f32],
    pub(super) targets: &'a mut [f32],
    pub(super) classes: &'a mut [u32],
}

/// A tile at work.
struct Work<'a> {
    plan: &'a Plan,
    program: &'a Program,
    parameters: &'a [f32],
    tile: Tile,
    arena: &'a mut [f32],
}

/// Runs training's steps for one tile; returns the sum of its losses. Without
/// a gradient the steps that compute it are left for [`run_part`], but for what
/// prepares them.
pub(super) fn run_tile(
    plan: &Plan,
    parameters: &[f32],
    input: TileInput<'_>,
    scratch: Scratch<'_>,
    mut gradients: Option<Gradients<'_>>,
) -> f64 {
    let tile = plan.tile(input.rows.len());
    let Scratch { arena, targets, classes } = scratch;
    let targets = load_targets(plan, &input, tile, targets, classes);
    let mut work = Work { plan, program: &plan.train, parameters, tile, arena };
    let mut total = 0.0;
    for step in &plan.train.steps {
        match *step {
            Step::Load { x, rows } => work.load(x, rows, &input),
            Step::Loss { p, dp } => total += work.loss(p, dp, targets, input.scale),
            Step::LossOfLogits { z } => total += work.loss_of_logits(z, targets, input.scale),
            Step::WeightGradient { weight, bias, dz, x, rows, algorithm } => {
                if let (Some(x), Some(rows)) = (x, rows) {
                    work.pack(x, rows);
                }
                let Some(Gradients { flat, first }) = &mut gradients else { continue };
                let work = work.read();
                let tensor = &plan.tensors[weight];
                let gradient = &mut flat[tensor.range.clone()];
                let outputs = 0..tensor.shape[0];
                work.weight_gradient(outputs, dz, rows.or(x), algorithm, gradient, !*first);
                if let Some(bias) = bias {
                    let gradient = &mut flat[plan.tensors[bias].range.clone()];
                    work.bias_gradient(dz, gradient, !*first);
                }
            }
            Step::BiasGradient { bias, dz } => {
                let Some(Gradients { flat, first }) = &mut gradients else { continue };
                let gradient = &mut flat[plan.tensors[bias].range.clone()];
                work.read().bias_gradient(dz, gradient, !*first);
            }
            ref step => work.forward_or_slope(step),
        }
    }
    total
}

/// Computes a part's gradient over tiles that [`run_tile`] has left: their
/// rows and arenas, in order. It is added to what is there, or not.
pub(super) fn run_part<'a>(
    plan: &Plan,
    part: &Part,
    tiles: impl Iterator<Item = (usize, &'a [f32])>,
    gradient: &mut [f32],
    mut accumulate: bool,
) {
    for (rows, arena) in tiles {
        let work = Read { plan, program: &plan.train, tile: plan.tile(rows), arena };
        match (&plan.train.steps[part.step], &part.rows) {
            (&Step::WeightGradient { dz, x, rows, algorithm, .. }, Some(outputs)) => {
                let (outputs, x) = (outputs.clone(), rows.or(x));
                work.weight_gradient(outputs, dz, x, algorithm, gradient, accumulate);
            }
            (&Step::WeightGradient { dz, .. } | &Step::BiasGradient { dz, .. }, None) => {
                work.bias_gradient(dz, gradient, accumulate);
            }
            (step, _) => unreachable!("not a step of parameters: {step:?}"),
        }
        accumulate = true;
    }
}

/// Runs prediction's steps for the rows of `features` (`[rows, inputs]`) and
/// writes `[rows, outputs]`.
pub(super) fn predict_tile(
    plan: &Plan,
    parameters: &[f32],
    features: &[f32],
    arena: &mut [f32],
    out: &mut [f32],
) {
    if let Some(net) = &plan.small {
        return net.predict(plan.options.isa, parameters, features, out);
    }
    let rows = features.len() / plan.inputs;
    let tile = plan.tile(rows);
    let program = &plan.predict;
    let mut work = Work { plan, program, parameters, tile, arena };
    for step in &program.steps {
        match *step {
            Step::Load { x, .. } => work.load_rows(x, features),
            ref step => work.forward_or_slope(step),
        }
    }
    let output = program.output.expect("a prediction has an output");
    let p = work.get(output);
    layout::tile_to_rows(plan.options.isa, tile, plan.outputs, p, out);
}

/// The tile's targets: numbers as a tile with zeros in padding lanes.
fn load_targets<'t>(
    plan: &Plan,
    input: &TileInput<'_>,
    tile: Tile,
    values: &'t mut [f32],
    classes: &'t mut [u32],
) -> Targets<'t> {
    match input.batch.targets {
        Targets::Values(y) => {
            let values = &mut values[..plan.outputs * tile.width];
            let rows = input.rows(y, plan.outputs);
            layout::rows_to_tile(plan.options.isa, tile, rows, values);
            Targets::Values(values)
        }
        Targets::Classes(all) => {
            let classes = &mut classes[..tile.rows];
            for (class, place) in classes.iter_mut().zip(input.rows.clone()) {
                *class = all[input.batch.rows.at(place)];
            }
            Targets::Classes(classes)
        }
    }
}

impl Work<'_> {
    fn range(&self, buffer: BufferId) -> Range<usize> {
        range(self.program, self.tile, buffer)
    }

    fn width(&self, buffer: BufferId) -> usize {
        self.program.buffers[buffer].width
    }

    fn get(&self, buffer: BufferId) -> &[f32] {
        &self.arena[self.range(buffer)]
    }

    fn get_mut(&mut self, buffer: BufferId) -> &mut [f32] {
        let range = self.range(buffer);
        &mut self.arena[range]
    }

    /// Several buffers at once, to read some and write others.
    fn several<const N: usize>(&mut self, buffers: [BufferId; N]) -> [&mut [f32]; N] {
        let ranges = buffers.map(|b| self.range(b));
        self.arena
            .get_disjoint_mut(ranges)
            .expect("the plan gives buffers that are alive together places of their own")
    }

    fn load(&mut self, x: BufferId, rows: Option<BufferId>, input: &TileInput<'_>) {
        let (plan, tile) = (self.plan, self.tile);
        let isa = plan.options.isa;
        let features = input.rows(input.batch.features, plan.inputs);
        layout::rows_to_tile(isa, tile, features, self.get_mut(x));
        if let Some(rows) = rows {
            layout::pack_rows(isa, tile, features, plan.panel, self.get_mut(rows));
        }
    }

    fn load_rows(&mut self, x: BufferId, features: &[f32]) {
        let (plan, tile) = (self.plan, self.tile);
        let rows = layout::Rows { data: features, columns: plan.inputs, pick: Pick::From(0) };
        layout::rows_to_tile(plan.options.isa, tile, rows, self.get_mut(x));
    }

    fn forward_or_slope(&mut self, step: &Step) {
        let (isa, tile) = (self.plan.options.isa, self.tile);
        match *step {
            Step::Dense { weight, bias, x, z, ending, algorithm } => {
                self.dense(weight, bias, x, z, algorithm);
                match ending {
                    None => {}
                    Some(ending) if ending.y == z => ending.f.apply(isa, self.get_mut(z)),
                    Some(ending) => {
                        let [z, y] = self.several([z, ending.y]);
                        ending.f.apply_keeping_slope(isa, z, y);
                    }
                }
            }
            Step::Bias { bias, x, z } => {
                let range = self.plan.tensors[bias].range.clone();
                let bias = &self.parameters[range];
                let [x, z] = self.several([x, z]);
                for panel in tile.panels() {
                    let range = panel.of(bias.len());
                    let x = x[range.clone()].chunks_exact(panel.width);
                    for ((x, z), b) in x.zip(z[range].chunks_exact_mut(panel.width)).zip(bias) {
                        for (z, x) in z.iter_mut().zip(x) {
                            *z = x + b;
                        }
                    }
                }
            }
            Step::Activate { f, z, y } => {
                let [z, y] = self.several([z, y]);
                y.copy_from_slice(z);
                f.apply(isa, y);
            }
            Step::Softmax { z, y } => {
                if z != y {
                    let [z, y] = self.several([z, y]);
                    y.copy_from_slice(z);
                }
                loss::softmax(isa, tile, self.get_mut(y));
            }
            Step::Slope { slope, dy, dz } => {
                if dy != dz {
                    let [dy, dz] = self.several([dy, dz]);
                    dz.copy_from_slice(dy);
                }
                self.slope(slope, dz);
            }
            Step::SoftmaxSlope { y, dy, dz } => {
                let [y, dy, dz] = self.several([y, dy, dz]);
                dz.copy_from_slice(dy);
                loss::softmax_backward(tile, y, dz);
            }
            Step::InputGradient { weight, dz, dx, slope, algorithm } => {
                self.input_gradient(weight, dz, dx, algorithm);
                if let Some(slope) = slope {
                    self.slope(slope, dx);
                }
            }
            _ => unreachable!("a step of training alone: {step:?}"),
        }
    }

    fn slope(&mut self, slope: SlopeOf, dz: BufferId) {
        let isa = self.plan.options.isa;
        let [from, dz] = self.several([slope.from, dz]);
        if slope.kept {
            unary::multiply(isa, from, dz);
        } else {
            slope.f.multiply_slope(isa, from, dz);
        }
    }

    /// z ← W·x (+ b)
    fn dense(
        &mut self,
        weight: usize,
        bias: Option<usize>,
        x: BufferId,
        z: BufferId,
        algorithm: Algorithm,
    ) {
        let (plan, tile, parameters) = (self.plan, self.tile, self.parameters);
        let shape = [self.width(z), self.width(x)];
        let bias = bias.map(|bias| &parameters[plan.tensors[bias].range.clone()]);
        let weights = &parameters[plan.tensors[weight].range.clone()];
        let [x, z] = self.several([x, z]);
        Gemm::forward(tile, shape, weights, bias, x, z).run(algorithm, plan.options.isa);
    }

    /// dx ← Wᵀ·dz
    fn input_gradient(&mut self, weight: usize, dz: BufferId, dx: BufferId, algorithm: Algorithm) {
        let (plan, tile, parameters) = (self.plan, self.tile, self.parameters);
        let shape = [self.width(dz), self.width(dx)];
        let weights = &parameters[plan.tensors[weight].range.clone()];
        let [dz, dx] = self.several([dz, dx]);
        Gemm::input_gradient(tile, shape, weights, dz, dx).run(algorithm, plan.options.isa);
    }

    /// x as rows in panels.
    fn pack(&mut self, x: BufferId, rows: BufferId) {
        let (plan, tile) = (self.plan, self.tile);
        let inputs = self.width(rows);
        let [x, rows] = self.several([x, rows]);
        layout::pack_tile(plan.options.isa, tile, inputs, x, plan.panel, rows);
    }

    fn read(&self) -> Read<'_> {
        let Work { plan, program, tile, .. } = *self;
        Read { plan, program, tile, arena: &*self.arena }
    }

    fn loss(&mut self, p: BufferId, dp: BufferId, targets: Targets<'_>, scale: f32) -> f64 {
        let (plan, tile) = (self.plan, self.tile);
        let [p, dp] = self.several([p, dp]);
        match targets {
            Targets::Values(y) => plan.loss.gradient(plan.options.isa, tile, p, y, scale, dp),
            Targets::Classes(classes) => {
                let smoothing = plan.loss.hyper[0] as f32;
                loss::cross_entropy(tile, p, classes, smoothing, scale, dp)
            }
        }
    }

    fn loss_of_logits(&mut self, z: BufferId, targets: Targets<'_>, scale: f32) -> f64 {
        let (plan, tile) = (self.plan, self.tile);
        let isa = plan.options.isa;
        let z = self.get_mut(z);
        match targets {
            Targets::Classes(classes) => {
                let smoothing = plan.loss.hyper[0] as f32;
                loss::softmax_cross_entropy(isa, tile, z, classes, smoothing, scale)
            }
            Targets::Values(y) => loss::sigmoid_bce(isa, tile, z, y, scale),
        }
    }
}

/// A tile whose values are only read.
struct Read<'a> {
    plan: &'a Plan,
    program: &'a Program,
    tile: Tile,
    arena: &'a [f32],
}

impl Read<'_> {
    fn get(&self, buffer: BufferId) -> &[f32] {
        &self.arena[range(self.program, self.tile, buffer)]
    }

    /// ∂W (+)= dz·xᵀ over the tile, for some rows of W; `x` is the tile of x or
    /// its rows in panels, as the algorithm takes it.
    fn weight_gradient(
        &self,
        outputs: Range<usize>,
        dz: BufferId,
        x: Option<BufferId>,
        algorithm: Algorithm,
        gradient: &mut [f32],
        accumulate: bool,
    ) {
        let (plan, tile) = (self.plan, self.tile);
        let x = x.expect("a weight gradient reads x");
        let width = |buffer: BufferId| self.program.buffers[buffer].width;
        let shape = [width(dz), width(x)];
        let x = match algorithm {
            Algorithm::Dots => Right::Tile(self.get(x), tile),
            _ => Right::Panels { data: self.get(x), panel: plan.panel },
        };
        Gemm::weight_gradient(tile, shape, self.get(dz), x, gradient, accumulate)
            .rows(outputs)
            .run(algorithm, plan.options.isa);
    }

    /// ∂b (+)= Σ dz; padding lanes hold 0.
    fn bias_gradient(&self, dz: BufferId, gradient: &mut [f32], accumulate: bool) {
        sum_features(self.plan.options.isa, self.tile, self.get(dz), gradient, accumulate);
    }
}

/// Where a buffer lies in the arena of a tile.
fn range(program: &Program, tile: Tile, buffer: BufferId) -> Range<usize> {
    let Buffer { width, offset, .. } = program.buffers[buffer];
    offset * tile.width..(offset + width) * tile.width
}
