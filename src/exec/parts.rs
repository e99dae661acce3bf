//! Parts of the parameters, whose gradient is computed by outputs: over all tiles
//! of a batch, one part at a time.

use super::levels::{Levels, rows_of_part};
use super::read::{Product, Read};
use super::reduce::Runs;
use crate::plan::{LARGE_LAYER, Plan, Program, Step};
use mlpc_kernels::gather;
use mlpc_kernels::gemm::Algorithm;
use mlpc_kernels::optim::Readers;
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

impl Part {
    /// Who computes it for a tile of so many rows, where it is of a weight.
    pub(super) fn algorithm(&self, program: &Program, rows: usize) -> Option<Algorithm> {
        match (&self.of, &program.steps[self.step]) {
            (Of::Weight(_), step) => Some(Product::of(step, rows, false).algorithm),
            _ => None,
        }
    }

    /// In how many rows it may be cut.
    pub(super) fn rows(&self) -> usize {
        match &self.of {
            Of::Weight(rows) => rows.len(),
            Of::Bias | Of::Table(_) => 1,
        }
    }

    /// Some of its rows.
    pub(super) fn some(&self, rows: Range<usize>) -> Part {
        let columns = self.range.len() / self.rows();
        let start = self.range.start;
        Part {
            range: start + rows.start * columns..start + rows.end * columns,
            step: self.step,
            of: match &self.of {
                Of::Weight(of) => Of::Weight(of.start + rows.start..of.start + rows.end),
                of => of.clone(),
            },
        }
    }

    /// Computes its gradient over a tile. It is added to what is there, or not. Returns
    /// whether the run has been updated, see [`Runs::compute`].
    pub(super) fn compute(
        &self,
        tile: &Read<'_>,
        levels: &Levels,
        run: Runs<'_>,
        accumulate: bool,
    ) -> bool {
        let plan = tile.plan;
        match (&tile.program.steps[self.step], &self.of) {
            (step, Of::Weight(outputs)) => {
                let product = Product::of(step, tile.tile.rows, accumulate);
                return tile.weight_gradient(outputs.clone(), product, run);
            }
            (&Step::WeightGradient { dz, .. } | &Step::BiasGradient { dz, .. }, Of::Bias) => {
                tile.bias_gradient(dz, run.gradient, accumulate);
            }
            (&Step::Scatter { table, rows, first, .. }, &Of::Table(number)) => {
                if !accumulate {
                    run.gradient.fill(0.0);
                }
                let (width, stride) = (plan.tables[table].width, tile.width(rows));
                let (rows, pairs) = (&tile.get(rows)[first..], levels.part(table, number));
                gather::scatter(plan.options.isa, width, rows, stride, pairs, run.gradient);
            }
            (step, _) => unreachable!("not a step of parameters: {step:?}"),
        }
        false
    }
}

/// Parameters of a part at the most, where its rows are not longer: its gradient
/// and state fit the cache between computing and using them.
const PART: usize = 6 * 1024;

/// Parts of a weight from which on one more or less for a half of the threads does
/// not matter.
const FEW_PARTS: usize = 16;

/// The weights and the biases of a program, a part each, in order.
pub(super) fn whole_parts(plan: &Plan, program: &Program) -> Vec<Part> {
    let mut parts = Vec::new();
    for (step, of) in program.steps.iter().enumerate() {
        let (weight, bias) = match *of {
            Step::WeightGradient { weight, bias, .. } => (Some(weight), bias),
            Step::BiasGradient { bias, .. } => (None, Some(bias)),
            _ => continue,
        };
        if let Some(weight) = weight
            && !plan.weights[weight].is_empty()
        {
            let rows = 0..plan.tensors[weight].shape[0];
            parts.push(Part { range: plan.weights[weight].clone(), step, of: Of::Weight(rows) });
        }
        if let Some(bias) = bias {
            parts.push(Part { range: plan.tensors[bias].range.clone(), step, of: Of::Bias });
        }
    }
    parts.sort_by_key(|part| part.range.start);
    parts
}

/// The parts of a plan's flat buffers, in order.
pub(super) fn parts_of(plan: &Plan) -> Vec<Part> {
    let mut parts = Vec::new();
    for (step, of) in plan.train.steps.iter().enumerate() {
        let Step::Scatter { table, .. } = *of else { continue };
        let table = &plan.tables[table];
        let width = rows_of_part(table) * table.width;
        for (number, start) in table.range.clone().step_by(width).enumerate() {
            let range = start..table.range.end.min(start + width);
            parts.push(Part { range, step, of: Of::Table(number) });
        }
    }
    for whole in whole_parts(plan, &plan.train) {
        if whole.of == Of::Bias {
            parts.push(whole);
            continue;
        }
        let outputs = whole.rows();
        // Whole register tiles, of 12 rows at the most; two of them where
        // x, which every part reads, comes from beyond the second-level
        // cache.
        let least = if whole.range.len() > LARGE_LAYER { 2 } else { 1 };
        let most = (PART / (whole.range.len() / outputs) / 12).max(least) * 12;
        // Where parts are few, none crosses the middle: halves of the threads
        // have the same to do.
        let middle = match outputs.div_ceil(most) {
            2..FEW_PARTS => (outputs / 2).next_multiple_of(6).min(outputs),
            _ => outputs,
        };
        for half in [0..middle, middle..outputs] {
            let starts = half.clone().step_by(most);
            parts.extend(starts.map(|first| whole.some(first..half.end.min(first + most))));
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

/// Computes a part's gradient over tiles, in order. It is added to what is there, or
/// not. Then does the optimizer's step, if the run has one: or beside the product, where
/// no other thread is at work, and where the rows are those of one tile; those of several
/// come from beyond the second-level cache, as parameters and state may.
pub(super) fn run_part<'a>(
    plan: &Plan,
    part: &Part,
    tiles: impl ExactSizeIterator<Item = Done<'a>>,
    run: &mut Runs<'_>,
    mut accumulate: bool,
    alone: bool,
) {
    let carries = alone && tiles.len() == 1 && !accumulate;
    let mut updated = false;
    for Done { rows, arena, levels, own } in tiles {
        let (program, tile) = (&plan.train, plan.tile(rows));
        let tile = Read { plan, program, tile, arena, rows: None, own, shared: false };
        let run = if carries { run.all() } else { Runs::of_gradient(run.gradient) };
        updated = part.compute(&tile, levels, run, accumulate);
        accumulate = true;
    }
    if !updated {
        run.update(plan, Readers::Same);
    }
}
