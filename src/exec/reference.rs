//! The oracle: a naive interpreter of the [`Ir`] in f64.
//!
//! Short and plain on purpose: row-major matrices, three loops for a product,
//! every node by itself. It is what the fused f32 executor is tested against,
//! and is itself tested against PyTorch's numbers and finite differences.

use crate::check::model::{LossKind, Network};
use crate::exec::{Batch, Executor, Targets};
use crate::inputs::NONE;
use crate::ir::{Ir, Op, TensorId, lower};

/// One evaluation of a training step's nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The prediction, `[rows, outputs]`.
    pub prediction: Vec<f64>,
    /// The mean loss.
    pub loss: f64,
    /// Its gradient, laid out as the parameters are.
    pub gradient: Vec<f64>,
}

/// Evaluates prediction, loss and gradient for `rows` rows of features `x`,
/// `[rows, inputs]` row-major, and their targets. Categories without an
/// embedding are written out in `x`; `codes`, `[rows, categories]`, are those of
/// all categories, and are read for embeddings alone.
///
/// # Panics
/// Where lengths do not agree with the network and the rows.
pub fn evaluate(
    ir: &Ir,
    parameters: &[f64],
    x: &[f64],
    codes: &[u32],
    targets: Targets<'_, f64>,
    rows: usize,
) -> Evaluation {
    let tensor = |t: TensorId| &parameters[ir.tensors[t].range.clone()];
    let mut gradient = vec![0.0; parameters.len()];
    let mut values: Vec<Vec<f64>> = Vec::with_capacity(ir.nodes.len());
    let mut loss = 0.0;
    let categories = ir.layout.categories.len();
    let code = |row: usize, category: usize| match codes[row * categories + category] {
        NONE => None,
        code => Some(code as usize),
    };
    for node in &ir.nodes {
        let width = node.width;
        let mut out = vec![0.0; rows * width];
        match node.op {
            Op::Input => out.copy_from_slice(x),
            Op::Embed { x, category, table, first } => {
                let (t, n) = (tensor(table), ir.tensors[table].shape[1]);
                out.copy_from_slice(&values[x]);
                for r in 0..rows {
                    for i in 0..n {
                        out[r * width + first + i] =
                            code(r, category).map_or(0.0, |c| t[c * n + i]);
                    }
                }
            }
            Op::EmbeddingGradient { dx, category, table, first } => {
                let (n, width) = (ir.tensors[table].shape[1], ir.nodes[dx].width);
                let grad = &mut gradient[ir.tensors[table].range.clone()];
                for r in 0..rows {
                    if let Some(c) = code(r, category) {
                        for i in 0..n {
                            grad[c * n + i] += values[dx][r * width + first + i];
                        }
                    }
                }
            }
            Op::MatMul { x, weight } => {
                let (w, inputs) = (tensor(weight), ir.nodes[x].width);
                for r in 0..rows {
                    for o in 0..width {
                        for i in 0..inputs {
                            out[r * width + o] += values[x][r * inputs + i] * w[o * inputs + i];
                        }
                    }
                }
            }
            Op::AddBias { x, bias } => {
                for (at, out) in out.iter_mut().enumerate() {
                    *out = values[x][at] + tensor(bias)[at % width];
                }
            }
            Op::Activate { f, x } => {
                for (out, &x) in out.iter_mut().zip(&values[x]) {
                    *out = f.oracle(x);
                }
            }
            Op::Softmax { x } => {
                for (out, x) in out.chunks_mut(width).zip(values[x].chunks(width)) {
                    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = x.iter().map(|x| (x - max).exp()).sum();
                    for (out, x) in out.iter_mut().zip(x) {
                        *out = (x - max).exp() / sum;
                    }
                }
            }
            Op::Loss { p } => loss = evaluate_loss(ir, &values[p], targets, rows, &mut out),
            Op::Slope { f, dy, x, .. } => {
                for (at, out) in out.iter_mut().enumerate() {
                    *out = values[dy][at] * f.oracle_slope(values[x][at]);
                }
            }
            Op::SoftmaxSlope { dy, y } => {
                for r in 0..rows {
                    let row = r * width..(r + 1) * width;
                    let (y, dy) = (&values[y][row.clone()], &values[dy][row.clone()]);
                    let inner: f64 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
                    for ((out, y), dy) in out[row].iter_mut().zip(y).zip(dy) {
                        *out = y * (dy - inner);
                    }
                }
            }
            Op::WeightGradient { dz, x, weight } => {
                let (outputs, inputs) = (ir.nodes[dz].width, ir.nodes[x].width);
                let grad = &mut gradient[ir.tensors[weight].range.clone()];
                for r in 0..rows {
                    for o in 0..outputs {
                        for i in 0..inputs {
                            grad[o * inputs + i] +=
                                values[dz][r * outputs + o] * values[x][r * inputs + i];
                        }
                    }
                }
            }
            Op::BiasGradient { dz, bias } => {
                let outputs = ir.nodes[dz].width;
                let grad = &mut gradient[ir.tensors[bias].range.clone()];
                for (at, dz) in values[dz].iter().enumerate() {
                    grad[at % outputs] += dz;
                }
            }
            Op::InputGradient { dz, weight } => {
                let (w, outputs) = (tensor(weight), ir.nodes[dz].width);
                for r in 0..rows {
                    for o in 0..outputs {
                        for i in 0..width {
                            out[r * width + i] += values[dz][r * outputs + o] * w[o * width + i];
                        }
                    }
                }
            }
        }
        values.push(out);
    }
    Evaluation { prediction: values.swap_remove(ir.prediction), loss, gradient }
}

/// How far an executor is from the oracle: see [`deviation`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deviation {
    /// The loss's error, relative to the loss.
    pub loss: f64,
    /// The largest error of an element of the gradient, relative to the
    /// largest element.
    pub gradient: f64,
}

impl Deviation {
    /// What f32 arithmetic explains, for networks of some layers.
    pub const ALLOWED: Deviation = Deviation { loss: 1e-5, gradient: 2e-5 };

    /// Whether both are within [`Deviation::ALLOWED`].
    pub fn is_allowed(&self) -> bool {
        self.loss <= Self::ALLOWED.loss && self.gradient <= Self::ALLOWED.gradient
    }
}

/// Computes loss and gradient of a batch both ways: what a benchmark does
/// first. Parameters are laid out as the network's tensors say. It takes the
/// naive evaluation's time: some nanoseconds a parameter and row.
///
/// # Panics
/// Where executor, parameters and batch are not the network's.
pub fn deviation(
    executor: &mut Executor,
    network: &Network,
    parameters: &[f32],
    batch: Batch<'_>,
) -> Deviation {
    let rows = batch.rows.len();
    let laid_out = executor.plan().lay_out(parameters.to_vec());
    let loss = executor.gradient(&laid_out, batch);
    let ours = executor.plan().in_order_of_tensors(executor.last_gradient().to_vec());
    let wide = |values: &[f32], width: usize| -> Vec<f64> {
        let row = |place| &values[batch.rows.at(place) * width..][..width];
        (0..rows).flat_map(row).map(|&x| x.into()).collect()
    };
    let layout = network.layout();
    let mut features = vec![0.0; rows * network.inputs];
    let mut codes = Vec::with_capacity(rows * layout.categories.len());
    for (place, to) in features.chunks_exact_mut(network.inputs).enumerate() {
        let row = batch.rows.at(place);
        batch.features.expand(&layout, row, to);
        codes.extend_from_slice(batch.features.rows(&layout, row..row + 1).codes);
    }
    let features: Vec<f64> = features.into_iter().map(f64::from).collect();
    let parameters: Vec<f64> = parameters.iter().map(|&x| x.into()).collect();
    let (values, classes): (Vec<f64>, Vec<u32>);
    let targets = match batch.targets {
        Targets::Values(all) => {
            values = wide(all, network.outputs());
            Targets::Values(&values[..])
        }
        Targets::Classes(all) => {
            classes = (0..rows).map(|place| all[batch.rows.at(place)]).collect();
            Targets::Classes(&classes)
        }
    };
    let exact = evaluate(&lower(network), &parameters, &features, &codes, targets, rows);
    let largest = exact.gradient.iter().fold(0.0f64, |most, g| most.max(g.abs()));
    let off = ours.iter().zip(&exact.gradient);
    let off = off.map(|(&ours, exact)| (f64::from(ours) - exact).abs());
    // A NaN anywhere is the largest error that there is.
    let worst = off.fold(0.0f64, |most, e| if e.is_nan() { f64::INFINITY } else { most.max(e) });
    let relative = |error: f64, of: f64| if error == 0.0 { 0.0 } else { error / of };
    Deviation {
        loss: relative((loss - exact.loss).abs(), exact.loss.abs()),
        gradient: relative(worst, largest),
    }
}

/// The mean loss; writes ∂loss/∂p.
fn evaluate_loss(
    ir: &Ir,
    p: &[f64],
    targets: Targets<'_, f64>,
    rows: usize,
    dp: &mut [f64],
) -> f64 {
    match targets {
        Targets::Values(y) => {
            let n = p.len() as f64;
            let mut total = 0.0;
            for ((dp, &p), &y) in dp.iter_mut().zip(p).zip(y) {
                let (value, slope) = ir.loss.oracle(p, y);
                total += value / n;
                *dp = slope / n;
            }
            total
        }
        Targets::Classes(classes) => {
            assert_eq!(ir.loss.kind, LossKind::CrossEntropy);
            let outputs = p.len() / rows;
            let smoothing = ir.loss.hyper[0];
            let mut total = 0.0;
            for (at, (dp, p)) in dp.iter_mut().zip(p).enumerate() {
                let hit = f64::from(u8::from(classes[at / outputs] as usize == at % outputs));
                let target = hit * (1.0 - smoothing) + smoothing / outputs as f64;
                if target > 0.0 {
                    total -= target * p.ln() / rows as f64;
                    *dp = -target / p / rows as f64;
                }
            }
            total
        }
    }
}

/// One optimizer step in f64; `state` has two numbers a parameter, zeros
/// before the first step, and `step` counts from 1.
pub fn update(
    ir: &Ir,
    step: u64,
    parameters: &mut [f64],
    gradient: &[f64],
    state: &mut [[f64; 2]],
) {
    for ((p, &g), state) in parameters.iter_mut().zip(gradient).zip(state) {
        *p = ir.optimizer.oracle(step, *p, g, state);
    }
}
