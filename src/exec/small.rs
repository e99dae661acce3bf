//! Steps that are one kernel call.

use super::{Batch, Executor, Rows, State, Targets};
use crate::plan::Plan;
use mlpc_kernels::layout::{self, Pick};
use mlpc_kernels::small::{self, Net};

impl Executor {
    /// [`Executor::gradient`] of a small network.
    pub(super) fn small_gradient(&mut self, parameters: &[f32], batch: Batch<'_>) -> Option<f64> {
        let plan = &*self.plan;
        let (net, terms, batch) = prepare(plan, batch, &mut self.expanded)?;
        let gradient = &mut self.shards[0].gradient;
        let loss =
            net.gradient(plan.options.isa, parameters, &batch, (1.0 / terms) as f32, gradient);
        Some(loss / terms)
    }

    /// [`Executor::step`] of a small network.
    pub(super) fn small_step(&mut self, state: &mut State, batch: Batch<'_>) -> Option<f64> {
        let plan = &*self.plan;
        let (net, terms, batch) = prepare(plan, batch, &mut self.expanded)?;
        let (isa, scale) = (plan.options.isa, (1.0 / terms) as f32);
        state.step += 1;
        // What the optimizer does not keep is empty.
        let (n, kept) = (plan.parameters, plan.optimizer.state());
        let (first, second) = state.optimizer.split_at_mut(n * kept.min(1));
        let rule = plan.optimizer.at(state.step);
        let loss = net.step(isa, &rule, &mut state.parameters, [first, second], &batch, scale);
        Some(loss / terms)
    }
}

/// The network, the terms of the loss's mean, and the batch as the kernel
/// takes it, with categories written out to `expanded`; none where the plan
/// takes steps of so many rows another way.
#[inline(always)]
fn prepare<'a>(
    plan: &'a Plan,
    batch: Batch<'a>,
    expanded: &'a mut [f32],
) -> Option<(&'a Net, f64, small::Batch<'a>)> {
    let rows = batch.rows.len();
    assert!(rows > 0, "an empty batch");
    let net = plan.small_step(rows)?;
    let pick = match batch.rows {
        Rows::Range(start, _) => Pick::From(start),
        Rows::Numbers(numbers) => Pick::Numbers(numbers),
    };
    let matrix = |data, columns| layout::Rows { data, columns, pick };
    let features = if plan.layout.categories.is_empty() {
        matrix(batch.features.dense, plan.inputs)
    } else {
        expand(plan, batch, expanded)
    };
    let targets = match batch.targets {
        Targets::Values(values) => small::Targets::Values(matrix(values, plan.outputs)),
        Targets::Classes(classes) => small::Targets::Classes(classes, pick),
    };
    Some((net, plan.loss_terms(rows), small::Batch { features, targets, rows }))
}

/// The features of a batch with its categories written out.
#[cold]
fn expand<'a>(plan: &Plan, batch: Batch<'_>, expanded: &'a mut [f32]) -> layout::Rows<'a> {
    let expanded = &mut expanded[..batch.rows.len() * plan.inputs];
    for (place, to) in expanded.chunks_exact_mut(plan.inputs).enumerate() {
        batch.features.expand(&plan.layout, batch.rows.at(place), to);
    }
    layout::Rows { data: expanded, columns: plan.inputs, pick: Pick::From(0) }
}
