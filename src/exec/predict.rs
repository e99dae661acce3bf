//! Prediction: the forward steps alone.

use super::tile::{Memory, predict_tile};
use super::{Batch, Targets};
use crate::inputs::{Features, Layout};
use crate::plan::{Plan, Step};
use mlpc_kernels::gemm::Algorithm;
use mlpc_kernels::single::{Ending, Layer, Packed};
use mlpc_kernels::unary::Unary;
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs the prediction steps of a plan with fixed parameters.
///
/// It is `Send + Sync`, and a clone shares the parameters and the working
/// memory. Every call takes working memory out of a pool and puts it back, so that
/// calls allocate only while more of them run at once than ever before.
///
/// A call of a few rows takes them one by one, with weights that were packed
/// when the predictor was made, and so does the first layer of many inputs with the rows
/// of larger calls; the result is the same bits.
#[derive(Debug, Clone)]
pub struct Predict {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    /// As the plan lays them out.
    parameters: Vec<f32>,
    memory: Mutex<Vec<Memory>>,
    /// For calls of a few rows, and for first layers that take rows.
    packed: Option<Packed>,
}

/// Rows of a call up to which they are taken one by one: a tile has at least
/// a vector of lanes, and two where panels do, however few rows it holds.
const FEW_ROWS: usize = 8;

impl Predict {
    /// Parameters are laid out as
    /// [`Network::tensors`](crate::check::model::Network::tensors) says.
    ///
    /// # Panics
    /// Where the parameters are not the plan's.
    pub fn new(plan: Plan, parameters: Vec<f32>) -> Self {
        let parameters = plan.lay_out(parameters);
        let packed = pack(&plan, &parameters);
        Predict { shared: Arc::new(Shared { plan, parameters, memory: Mutex::default(), packed }) }
    }

    /// The plan that it runs.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// Predicts rows of features into `[rows, outputs]`, row-major, on the
    /// calling thread.
    ///
    /// # Panics
    /// Where `out` has not room for a whole number of rows, `features` has
    /// another number of them, or a code is beyond its category's levels.
    pub fn predict<'a>(&self, features: impl Into<Features<'a>>, out: &mut [f32]) {
        self.run(features.into(), out, false);
    }

    /// The same on the threads of the current rayon pool, where that pays.
    /// The result is the same bits.
    ///
    /// # Panics
    /// As [`Predict::predict`].
    pub fn predict_parallel<'a>(&self, features: impl Into<Features<'a>>, out: &mut [f32]) {
        self.run(features.into(), out, true);
    }

    #[inline]
    fn run(&self, features: Features<'_>, out: &mut [f32], parallel: bool) {
        let Shared { plan, packed, .. } = &*self.shared;
        if let Some(packed) = packed
            && packed.scratch() == 0
            && plan.layout.categories.is_empty()
            && (out.len(), features.dense.len()) == (plan.outputs, plan.layout.dense)
            && features.codes.is_empty()
        {
            // One row of a narrow network takes less time than what follows.
            return packed.predict(features.dense, &[], out, &mut []);
        }
        self.run_rows(features, out, parallel);
    }

    #[inline(never)]
    fn run_rows(&self, features: Features<'_>, out: &mut [f32], parallel: bool) {
        let plan = &self.shared.plan;
        let Layout { dense, categories } = &plan.layout;
        let rows = out.len() / plan.outputs;
        assert_eq!(out.len(), rows * plan.outputs, "the output is no whole number of rows");
        assert!(
            features.dense.len() == rows * dense && features.codes.len() == rows * categories.len(),
            "features of another number of rows than the output: a row has {dense} numbers and \
             {} codes",
            categories.len(),
        );
        if rows == 0 {
            return;
        }
        if let Some(packed) = &self.shared.packed
            && rows <= FEW_ROWS
        {
            if packed.scratch() == 0 && categories.is_empty() {
                let each =
                    features.dense.chunks_exact(*dense).zip(out.chunks_exact_mut(plan.outputs));
                each.for_each(|(x, out)| packed.predict(x, &[], out, &mut []));
            } else {
                let mut memory = self.take_memory();
                for (row, out) in out.chunks_exact_mut(plan.outputs).enumerate() {
                    let parameters = &self.shared.parameters;
                    let features = features.rows(&plan.layout, row..row + 1);
                    memory.predict_row(plan, packed, parameters, features, out);
                }
                self.put_memory(memory);
            }
            return;
        }
        let Shared { parameters, packed, .. } = &*self.shared;
        let of_rows = packed.as_ref().filter(|_| plan.takes_rows());
        let (all, tile, shard_rows) = (rows, plan.predict.tile, plan.prediction_shard(rows));
        let shard = |(index, out): (usize, &mut [f32])| {
            let first = index * shard_rows;
            let mut memory = self.take_memory();
            for (index, out) in out.chunks_mut(tile * plan.outputs).enumerate() {
                let first = first + index * tile;
                let rows = first..first + out.len() / plan.outputs;
                let next = rows.end..all.min(rows.end + tile);
                let ahead = features.rows(&plan.layout, next).dense;
                let features = features.rows(&plan.layout, rows);
                predict_tile(plan, parameters, of_rows, features, ahead, &mut memory, out);
            }
            self.put_memory(memory);
        };
        if parallel && shard_rows < rows {
            out.par_chunks_mut(shard_rows * plan.outputs).enumerate().for_each(shard);
        } else {
            out.chunks_mut(shard_rows * plan.outputs).enumerate().for_each(shard);
        }
    }

    fn take_memory(&self) -> Memory {
        // A panic elsewhere leaves no memory in a bad state: it holds no data
        // from one call to the next.
        let mut pool = self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner);
        pool.pop().unwrap_or_else(|| {
            let single = self.shared.packed.as_ref().map_or(0, Packed::scratch);
            Memory::new(&self.shared.plan, single)
        })
    }

    fn put_memory(&self, memory: Memory) {
        self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }
}

/// The network's layers, packed, where the plan is fused (then a layer is one
/// step) and sums in the order of our own kernels.
fn pack(plan: &Plan, parameters: &[f32]) -> Option<Packed> {
    let tensor = |id: usize| &parameters[plan.weights[id].clone()];
    let mut layers: Vec<Layer<'_>> = Vec::new();
    let mut gathered = None;
    for step in &plan.predict.steps {
        match *step {
            Step::Load { .. } => {}
            Step::Gather { table, bias, .. } if plan.gathered == Some(table) => {
                gathered = Some((&parameters[plan.tables[table].range.clone()], bias.map(tensor)));
            }
            // An embedding is written where numbers are.
            Step::Gather { .. } => {}
            Step::Dense { algorithm: Algorithm::Matrixmultiply, .. } => return None,
            Step::Dense { weight, bias, ending, .. } => {
                let (outputs, weights) = (plan.tensors[weight].shape[0], tensor(weight));
                let f = ending.map_or(Unary::Linear, |ending| ending.f);
                let (table, bias) = match gathered.take() {
                    Some((table, bias)) => (Some(table), bias),
                    None => (None, bias.map(tensor)),
                };
                let (inputs, ending) = (weights.len() / outputs, Ending::Unary(f));
                layers.push(Layer { inputs, outputs, weights, bias, table, ending });
            }
            Step::Softmax { .. } => layers.last_mut()?.ending = Ending::Softmax,
            _ => return None,
        }
    }
    plan.options.fuse.then(|| Packed::new(plan.options.isa, &layers))
}

/// The mean loss of some rows under given parameters (as the plan lays them
/// out), from the prediction.
///
/// # Panics
/// Where a slice is shorter than the rows need.
pub fn mean_loss(plan: &Plan, parameters: &[f32], batch: Batch<'_>) -> f64 {
    let program = &plan.predict;
    let (width, categories) = (plan.layout.dense, plan.layout.categories.len());
    let mut memory = Memory::new(plan, 0);
    let mut dense = Vec::with_capacity(program.tile * width);
    let mut codes = Vec::with_capacity(program.tile * categories);
    let mut predictions = vec![0.0; program.tile * plan.outputs];
    let rows = batch.rows.len();
    let mut total = 0.0;
    for start in (0..rows).step_by(program.tile) {
        let places = start..rows.min(start + program.tile);
        let predictions = &mut predictions[..places.len() * plan.outputs];
        dense.clear();
        codes.clear();
        for place in places.clone() {
            let row = batch.rows.at(place);
            let row = batch.features.rows(&plan.layout, row..row + 1);
            dense.extend_from_slice(row.dense);
            codes.extend_from_slice(row.codes);
        }
        let features = Features { dense: &dense, codes: &codes };
        predict_tile(plan, parameters, None, features, &[], &mut memory, predictions);
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
