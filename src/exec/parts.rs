//! Parts of the parameters, whose gradient is computed by outputs: over all tiles
//! of a batch, one part at a time.

use super::levels::{Levels, rows_of_part};
use super::read::{Product, Read};
use crate::plan::{LARGE_LAYER, Plan, Step};
use mlpc_kernels::gather;
use std::ops::Range;

/// A run of the flat buffers whose gradient is computed together: some rows
/// of a weight or of a table, or a bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The run.
    pub(super) range: Range<usize>,
    /// The step that computes it.
    step: usize,
    of: Of,
}

/// What a part is a run of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    /// These rows of a weight.
    Weight(Range<usize>),
    /// A bias.
    Bias,
    /// The part of this number of a table.
    Table(usize),
}

/// Parameters of a part at the most, where its rows are not longer: its gradient
/// and state fit the cache between computing and using them.
const PART: usize = 6 * 1024;

/// Parts of a weight from which on one more or less for a half of the threads does
/// not matter.
const FEW_PARTS: usize = 16;

/// The parts of a plan's flat buffers, in order.
pub(super) fn parts_of(plan: &Plan) -> Vec<Part> {
    let mut parts = Vec::new();
    for (at, step) in plan.train.steps.iter().enumerate() {
        let (weight, bias) = match *step {
            Step::WeightGradient { weight, bias, .. } => (Some(weight), bias),
            Step::BiasGradient { bias, .. } => (None, Some(bias)),
            Step::Scatter { table, .. } => {
                let table = &plan.tables[table];
                let width = rows_of_part(table) * table.width;
                for (number, start) in table.range.clone().step_by(width).enumerate() {
                    let range = start..table.range.end.min(start + width);
                    parts.push(Part { range, step: at, of: Of::Table(number) });
                }
                continue;
            }
            _ => continue,
        };
        if let Some(weight) = weight
            && !plan.weights[weight].is_empty()
        {
            let whole = &plan.weights[weight];
            let outputs = plan.tensors[weight].shape[0];
            let inputs = whole.len() / outputs;
            // Whole register tiles, of 12 rows at the most; two of them where
            // x, which every part reads, comes from beyond the second-level
            // cache.
            let least = if whole.len() > LARGE_LAYER { 2 } else { 1 };
            let most = (PART / inputs / 12).max(least) * 12;
            let mut push = |rows: Range<usize>| {
                let range = whole.start + rows.start * inputs..whole.start + rows.end * inputs;
                parts.push(Part { range, step: at, of: Of::Weight(rows) });
            };
            // Where parts are few, none crosses the middle: halves of the threads
            // have the same to do.
            let middle = match outputs.div_ceil(most) {
                2..FEW_PARTS => (outputs / 2).next_multiple_of(6).min(outputs),
                _ => outputs,
            };
            for half in [0..middle, middle..outputs] {
                let starts = half.clone().step_by(most);
                starts.for_each(|first| push(first..half.end.min(first + most)));
            }
        }
        if let Some(bias) = bias {
            parts.push(Part { range: plan.tensors[bias].range.clone(), step: at, of: Of::Bias });
        }
    }
    parts.sort_by_key(|part| part.range.start);
    parts
}

/// A tile that [`run_tile`](super::tile::run_tile) has left.
pub(super) struct Done<'a> {
    pub(super) rows: usize,
    pub(super) arena: &'a [f32],
    /// Sorted.
    pub(super) levels: &'a Levels,
    /// The thread's own arena, where it is not the tile's.
    pub(super) own: Option<&'a [f32]>,
}

/// Computes a part's gradient over tiles, in order. It is added to what is
/// there, or not.
pub(super) fn run_part<'a>(
    plan: &Plan,
    part: &Part,
    tiles: impl Iterator<Item = Done<'a>>,
    gradient: &mut [f32],
    mut accumulate: bool,
) {
    for Done { rows, arena, levels, own } in tiles {
        let (program, tile) = (&plan.train, plan.tile(rows));
        let work = Read { plan, program, tile, arena, own, shared: false };
        match (&plan.train.steps[part.step], &part.of) {
            (&Step::WeightGradient { dz, x, rows, algorithm, .. }, Of::Weight(outputs)) => {
                let product = Product { dz, x: rows.or(x), algorithm, accumulate };
                work.weight_gradient(outputs.clone(), product, gradient);
            }
            (&Step::WeightGradient { dz, .. } | &Step::BiasGradient { dz, .. }, Of::Bias) => {
                work.bias_gradient(dz, gradient, accumulate);
            }
            (&Step::Scatter { table, rows, first, .. }, &Of::Table(number)) => {
                if !accumulate {
                    gradient.fill(0.0);
                }
                let (width, stride) = (plan.tables[table].width, work.width(rows));
                let (rows, pairs) = (&work.get(rows)[first..], levels.part(table, number));
                gather::scatter(plan.options.isa, width, rows, stride, pairs, gradient);
            }
            (step, _) => unreachable!("not a step of parameters: {step:?}"),
        }
        accumulate = true;
    }
}
