//! Prediction: the forward steps alone.

use super::tile::predict_tile;
use super::{Batch, Targets};
use crate::plan::{Plan, Step};
use mlpc_kernels::gemm::Algorithm;
use mlpc_kernels::single::{Ending, Layer, Packed};
use mlpc_kernels::unary::Unary;
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs the prediction steps of a plan with fixed parameters.
///
/// It is `Send + Sync`, and a clone shares the parameters and the working
/// memory. Every call takes an arena out of a pool and puts it back, so that
/// calls allocate only while more of them run at once than ever before.
///
/// A call of a few rows takes them one by one, with weights that were packed
/// when the predictor was made; the result is the same bits.
#[derive(Debug, Clone)]
pub struct Predict {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    parameters: Vec<f32>,
    arenas: Mutex<Vec<Vec<f32>>>,
    /// For calls of a few rows.
    packed: Option<Packed>,
}

/// Rows of a call up to which they are taken one by one: a tile has at least
/// a vector of lanes, and two where panels do, however few rows it holds.
const FEW_ROWS: usize = 8;

/// Working memory of a single row that is taken from the stack.
const SMALL: usize = 128;

impl Predict {
    /// # Panics
    /// Where the parameters are not the plan's.
    pub fn new(plan: Plan, parameters: Vec<f32>) -> Self {
        assert_eq!(parameters.len(), plan.parameters, "parameters of another network");
        let packed = pack(&plan, &parameters);
        Predict { shared: Arc::new(Shared { plan, parameters, arenas: Mutex::default(), packed }) }
    }

    /// The plan that it runs.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// The parameters, laid out as the plan's tensors say.
    pub fn parameters(&self) -> &[f32] {
        &self.shared.parameters
    }

    /// Predicts rows of features `[rows, inputs]` into `[rows, outputs]`, both
    /// row-major, on the calling thread.
    ///
    /// # Panics
    /// Where `features` is not a whole number of rows, or `out` has not room
    /// for exactly as many.
    pub fn predict(&self, features: &[f32], out: &mut [f32]) {
        self.run(features, out, false);
    }

    /// The same on the threads of the current rayon pool, where that pays.
    /// The result is the same bits.
    ///
    /// # Panics
    /// As [`Predict::predict`].
    pub fn predict_parallel(&self, features: &[f32], out: &mut [f32]) {
        self.run(features, out, true);
    }

    fn run(&self, features: &[f32], out: &mut [f32], parallel: bool) {
        let plan = &self.shared.plan;
        let rows = features.len() / plan.inputs;
        assert_eq!(features.len(), rows * plan.inputs, "features are no whole number of rows");
        assert_eq!(out.len(), rows * plan.outputs, "the output has another number of rows");
        if rows == 0 {
            return;
        }
        if let Some(packed) = &self.shared.packed
            && rows <= FEW_ROWS
        {
            let each = features.chunks_exact(plan.inputs).zip(out.chunks_exact_mut(plan.outputs));
            if packed.scratch() <= SMALL {
                let mut scratch = [0.0; SMALL];
                each.for_each(|(x, out)| packed.predict(x, out, &mut scratch));
            } else {
                let mut arena = self.take_arena();
                each.for_each(|(x, out)| packed.predict(x, out, &mut arena));
                self.put_arena(arena);
            }
            return;
        }
        let (tile, shard_rows) = (plan.predict.tile, plan.prediction_shard(rows));
        let shard = |(features, out): (&[f32], &mut [f32])| {
            let mut arena = self.take_arena();
            for (features, out) in
                features.chunks(tile * plan.inputs).zip(out.chunks_mut(tile * plan.outputs))
            {
                predict_tile(plan, &self.shared.parameters, features, &mut arena, out);
            }
            self.put_arena(arena);
        };
        if parallel && shard_rows < rows {
            features
                .par_chunks(shard_rows * plan.inputs)
                .zip(out.par_chunks_mut(shard_rows * plan.outputs))
                .for_each(shard);
        } else {
            features
                .chunks(shard_rows * plan.inputs)
                .zip(out.chunks_mut(shard_rows * plan.outputs))
                .for_each(shard);
        }
    }

    fn take_arena(&self) -> Vec<f32> {
        // A panic elsewhere leaves no arena in a bad state: they hold no data
        // from one call to the next.
        let mut arenas = self.shared.arenas.lock().unwrap_or_else(PoisonError::into_inner);
        arenas.pop().unwrap_or_else(|| {
            let program = &self.shared.plan.predict;
            let single = self.shared.packed.as_ref().map_or(0, Packed::scratch);
            vec![0.0; (program.arena * program.tile).max(single)]
        })
    }

    fn put_arena(&self, arena: Vec<f32>) {
        self.shared.arenas.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
    }
}

/// The network's layers, packed, where the plan is fused (then a layer is one
/// step) and sums in the order of our own kernels.
fn pack(plan: &Plan, parameters: &[f32]) -> Option<Packed> {
    let tensor = |id: usize| &parameters[plan.tensors[id].range.clone()];
    let mut layers: Vec<Layer<'_>> = Vec::new();
    for step in &plan.predict.steps {
        match *step {
            Step::Load { .. } => {}
            Step::Dense { algorithm, .. } if algorithm != Algorithm::Tiled => return None,
            Step::Dense { weight, bias, ending, .. } => {
                let [outputs, inputs] = plan.tensors[weight].shape[..] else { return None };
                let f = ending.map_or(Unary::Linear, |ending| ending.f);
                layers.push(Layer {
                    inputs,
                    outputs,
                    weights: tensor(weight),
                    bias: bias.map(tensor),
                    ending: Ending::Unary(f),
                });
            }
            Step::Softmax { .. } => layers.last_mut()?.ending = Ending::Softmax,
            _ => return None,
        }
    }
    plan.options.fuse.then(|| Packed::new(plan.options.isa, &layers))
}

/// The mean loss of some rows under given parameters, from the prediction.
///
/// # Panics
/// Where a slice is shorter than the rows need.
pub fn mean_loss(plan: &Plan, parameters: &[f32], batch: Batch<'_>) -> f64 {
    let program = &plan.predict;
    let mut arena = vec![0.0; program.arena * program.tile];
    let mut features = vec![0.0; program.tile * plan.inputs];
    let mut predictions = vec![0.0; program.tile * plan.outputs];
    let rows = batch.rows.len();
    let mut total = 0.0;
    for start in (0..rows).step_by(program.tile) {
        let places = start..rows.min(start + program.tile);
        let features = &mut features[..places.len() * plan.inputs];
        let predictions = &mut predictions[..places.len() * plan.outputs];
        for (to, place) in features.chunks_exact_mut(plan.inputs).zip(places.clone()) {
            let from = batch.rows.at(place) * plan.inputs;
            to.copy_from_slice(&batch.features[from..from + plan.inputs]);
        }
        predict_tile(plan, parameters, features, &mut arena, predictions);
        for (p, place) in predictions.chunks_exact(plan.outputs).zip(places) {
            let row = batch.rows.at(place);
            total += match batch.targets {
                Targets::Values(y) => {
                    let y = &y[row * plan.outputs..(row + 1) * plan.outputs];
                    p.iter().zip(y).map(|(&p, &y)| plan.loss.oracle(p.into(), y.into()).0).sum()
                }
                Targets::Classes(classes) => row_cross_entropy(plan, p, classes[row]),
            };
        }
    }
    total / plan.loss_terms(rows)
}

/// −Σ target·ln p of one row's probabilities.
fn row_cross_entropy(plan: &Plan, p: &[f32], class: u32) -> f64 {
    let smoothing = plan.loss.hyper[0];
    // The smallest normal number stands in for a probability of 0.
    let ln = |p: f32| f64::from(if p < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { p }).ln();
    let hit = -(1.0 - smoothing) * ln(p[class as usize]);
    let spread = smoothing / p.len() as f64;
    if spread > 0.0 { hit - spread * p.iter().map(|&p| ln(p)).sum::<f64>() } else { hit }
}
