//! One tile: the plan's steps over the tile's arena.

use super::{Batch, Rows, Targets};
use crate::check::model::Activation;
use crate::plan::{Buffer, BufferId, Plan, Program, SlopeOf, Step};
use mlpc_kernels::gemm::{Algorithm, Gemm, Start, Strided};
use mlpc_kernels::layout::{Tile, sum_features, transpose};
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

/// The gradient of the tile's shard.
pub(super) struct Gradients<'a> {
    pub(super) flat: &'a mut [f32],
    /// The shard's first tile: the gradient starts at zero.
    pub(super) first: bool,
}

/// A tile at work.
struct Work<'a> {
    plan: &'a Plan,
    program: &'a Program,
    parameters: &'a [f32],
    tile: Tile,
    arena: &'a mut [f32],
}

/// Runs training's steps for one tile; returns the sum of its losses.
pub(super) fn run_tile(
    plan: &Plan,
    parameters: &[f32],
    input: TileInput<'_>,
    arena: &mut [f32],
    targets: &mut [f32],
    classes: &mut [u32],
    mut gradients: Gradients<'_>,
) -> f64 {
    let rows = input.rows.len();
    let tile = Tile::plain(plan.lanes(rows), rows);
    let targets = load_targets(plan, &input, tile, targets, classes);
    let mut work = Work { plan, program: &plan.train, parameters, tile, arena };
    let mut total = 0.0;
    for step in &plan.train.steps {
        match *step {
            Step::Load { x, rows } => work.load(x, rows, &input),
            Step::Loss { p, dp } => total += work.loss(p, dp, targets, input.scale),
            Step::LossThrough { activation, z } => {
                total += work.loss_through(activation, z, targets, input.scale);
            }
            Step::WeightGradient { weight, bias, dz, x, rows, algorithm } => {
                work.weight_gradient(weight, dz, x, rows, algorithm, &mut gradients);
                if let Some(bias) = bias {
                    work.bias_gradient(bias, dz, &mut gradients);
                }
            }
            Step::BiasGradient { bias, dz } => work.bias_gradient(bias, dz, &mut gradients),
            ref step => work.forward_or_slope(step),
        }
    }
    total
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
    let rows = features.len() / plan.inputs;
    let tile = Tile::plain(plan.lanes(rows), rows);
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
    transpose(plan.options.isa, plan.outputs, rows, p, tile.width, out, plan.outputs);
}

/// The tile's targets: numbers feature-major with zeros in padding lanes.
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
            values.fill(0.0);
            for (lane, place) in input.rows.clone().enumerate() {
                let row = input.batch.rows.at(place) * plan.outputs;
                for (feature, &y) in y[row..row + plan.outputs].iter().enumerate() {
                    values[feature * tile.width + lane] = y;
                }
            }
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
        let Buffer { width, offset, .. } = self.program.buffers[buffer];
        offset * self.tile.width..(offset + width) * self.tile.width
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
        let inputs = plan.inputs;
        let features = input.batch.features;
        // Rows are copied together first: the weight gradient reads them so.
        let rows = rows.expect("training keeps the batch's rows");
        let [x, rows] = self.several([x, rows]);
        match input.batch.rows {
            Rows::Range(start, _) => {
                let from = (start + input.rows.start) * inputs;
                rows[..tile.rows * inputs]
                    .copy_from_slice(&features[from..from + tile.rows * inputs]);
            }
            Rows::Numbers(numbers) => {
                for (to, &row) in rows.chunks_exact_mut(inputs).zip(&numbers[input.rows.clone()]) {
                    let from = row as usize * inputs;
                    to.copy_from_slice(&features[from..from + inputs]);
                }
            }
        }
        to_features(plan, tile, &rows[..tile.rows * inputs], x);
    }

    fn load_rows(&mut self, x: BufferId, features: &[f32]) {
        let (plan, tile) = (self.plan, self.tile);
        to_features(plan, tile, features, self.get_mut(x));
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
                let features = x.chunks_exact(tile.width).zip(z.chunks_exact_mut(tile.width));
                for ((x, z), b) in features.zip(bias) {
                    for (z, x) in z.iter_mut().zip(x) {
                        *z = x + b;
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
        let (plan, lanes, parameters) = (self.plan, self.tile.width, self.parameters);
        let (inputs, outputs) = (self.width(x), self.width(z));
        let start = match bias {
            Some(bias) => Start::Bias(&parameters[plan.tensors[bias].range.clone()]),
            None => Start::Zero,
        };
        let data = &parameters[plan.tensors[weight].range.clone()];
        let [x, z] = self.several([x, z]);
        Gemm {
            m: outputs,
            n: lanes,
            k: inputs,
            a: Strided { data, row_stride: inputs, column_stride: 1 },
            b: x,
            b_stride: lanes,
            c: z,
            c_stride: lanes,
            start,
        }
        .run(algorithm, plan.options.isa);
    }

    /// dx ← Wᵀ·dz
    fn input_gradient(&mut self, weight: usize, dz: BufferId, dx: BufferId, algorithm: Algorithm) {
        let (plan, lanes, parameters) = (self.plan, self.tile.width, self.parameters);
        let (inputs, outputs) = (self.width(dx), self.width(dz));
        let data = &parameters[plan.tensors[weight].range.clone()];
        let [dz, dx] = self.several([dz, dx]);
        Gemm {
            m: inputs,
            n: lanes,
            k: outputs,
            a: Strided { data, row_stride: 1, column_stride: inputs },
            b: dz,
            b_stride: lanes,
            c: dx,
            c_stride: lanes,
            start: Start::Zero,
        }
        .run(algorithm, plan.options.isa);
    }

    /// ∂W += dz·xᵀ, over the rows of the tile.
    fn weight_gradient(
        &mut self,
        weight: usize,
        dz: BufferId,
        x: Option<BufferId>,
        rows: BufferId,
        algorithm: Algorithm,
        gradients: &mut Gradients<'_>,
    ) {
        let (plan, tile) = (self.plan, self.tile);
        let isa = plan.options.isa;
        let (inputs, outputs) = (self.width(rows), self.width(dz));
        if let Some(x) = x {
            let [x, rows] = self.several([x, rows]);
            transpose(isa, inputs, tile.rows, x, tile.width, rows, inputs);
        }
        let gradient = &mut gradients.flat[plan.tensors[weight].range.clone()];
        Gemm {
            m: outputs,
            n: inputs,
            k: tile.rows,
            a: Strided { data: self.get(dz), row_stride: tile.width, column_stride: 1 },
            b: self.get(rows),
            b_stride: inputs,
            c: gradient,
            c_stride: inputs,
            start: if gradients.first { Start::Zero } else { Start::C },
        }
        .run(algorithm, isa);
    }

    /// ∂b += Σ dz; padding lanes hold 0.
    fn bias_gradient(&mut self, bias: usize, dz: BufferId, gradients: &mut Gradients<'_>) {
        let plan = self.plan;
        let gradient = &mut gradients.flat[plan.tensors[bias].range.clone()];
        sum_features(plan.options.isa, self.tile, self.get(dz), gradient, !gradients.first);
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

    fn loss_through(
        &mut self,
        activation: Activation,
        z: BufferId,
        targets: Targets<'_>,
        scale: f32,
    ) -> f64 {
        let (plan, tile) = (self.plan, self.tile);
        let isa = plan.options.isa;
        let z = self.get_mut(z);
        match (activation, targets) {
            (Activation::Softmax, Targets::Classes(classes)) => {
                let smoothing = plan.loss.hyper[0] as f32;
                loss::softmax_cross_entropy(isa, tile, z, classes, smoothing, scale)
            }
            (Activation::Unary(f), Targets::Values(y)) => {
                plan.loss.gradient_through(isa, f, tile, z, y, scale)
            }
            _ => panic!("targets of another kind than the loss takes"),
        }
    }
}

/// Rows, row-major, to a tile `[feature][lane]` with zeros in padding lanes.
fn to_features(plan: &Plan, tile: Tile, rows: &[f32], x: &mut [f32]) {
    let Tile { width, rows: count, .. } = tile;
    transpose(plan.options.isa, count, plan.inputs, rows, plan.inputs, x, width);
    if count < width {
        for feature in x.chunks_exact_mut(width) {
            feature[count..].fill(0.0);
        }
    }
}
