//! The seam between shards: their gradients are added up in the order of the
//! shards, whoever computed them, and the optimizer takes the sum.

use super::{Shard, State};
use crate::plan::Plan;
use rayon::prelude::*;
use std::ops::Range;

/// Parameters of a part of the work: the update of one part fits the cache.
const CHUNK: usize = 16 * 1024;

/// Adds the gradients of all shards into the first one's, in order.
pub(super) fn sum(shards: &mut [Shard], parallel: bool) {
    let (first, others) = shards.split_first_mut().expect("a plan has at least one shard");
    let each = |(index, sum): (usize, &mut [f32])| add(index * CHUNK, sum, others);
    let sums = &mut first.gradient;
    if parallel && sums.len() > CHUNK {
        sums.par_chunks_mut(CHUNK).enumerate().for_each(each);
    } else {
        sums.chunks_mut(CHUNK).enumerate().for_each(each);
    }
}

/// Adds up and updates the state, part by part.
pub(super) fn update(shards: &mut [Shard], parallel: bool, plan: &Plan, state: &mut State) {
    let (first, others) = shards.split_first_mut().expect("a plan has at least one shard");
    let count = plan.parameters.div_ceil(CHUNK);
    let end = |index: usize| plan.parameters.min((index + 1) * CHUNK);
    let runs = Runs::new(plan, &mut first.gradient, state);
    runs.each(0..count, parallel && count > 1, &end, &|index, runs| {
        add(index * CHUNK, runs.gradient, others);
        runs.update(plan);
    });
}

/// The same run of the flat buffers: parameters, their gradient and what the
/// optimizer keeps (what it does not is empty).
pub(super) struct Runs<'a> {
    pub(super) gradient: &'a mut [f32],
    parameters: &'a mut [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    /// Where the run begins.
    start: usize,
    /// The optimizer's step.
    step: u64,
}

impl<'a> Runs<'a> {
    /// All of the buffers.
    pub(super) fn new(plan: &Plan, gradient: &'a mut [f32], state: &'a mut State) -> Self {
        let n = plan.parameters;
        let kept = plan.optimizer.state();
        let (m, rest) = state.optimizer.split_at_mut(n * kept.min(1));
        let v = &mut rest[..n * kept.saturating_sub(1)];
        let step = state.step;
        Runs { gradient, parameters: &mut state.parameters, m, v, start: 0, step }
    }

    /// The gradient alone.
    pub(super) fn of_gradient(gradient: &'a mut [f32]) -> Self {
        Runs { gradient, parameters: &mut [], m: &mut [], v: &mut [], start: 0, step: 0 }
    }

    /// The optimizer's step over the run.
    pub(super) fn update(&mut self, plan: &Plan) {
        let state = [&mut *self.m, &mut *self.v];
        plan.optimizer.update(plan.options.isa, self.step, self.parameters, self.gradient, state);
    }

    /// Cuts the run into parts, the `index`-th of which ends at `end(index)`,
    /// and calls `each` with every one, on the threads of the current pool or
    /// on this one alone.
    pub(super) fn each(
        mut self,
        indices: Range<usize>,
        parallel: bool,
        end: &(impl Fn(usize) -> usize + Sync),
        each: &(impl Fn(usize, &mut Runs<'_>) + Sync),
    ) {
        if indices.len() <= 1 {
            return indices.into_iter().for_each(|index| each(index, &mut self));
        }
        let middle = indices.start + indices.len() / 2;
        let (low, high) = self.split(end(middle - 1));
        let low = || low.each(indices.start..middle, parallel, end, each);
        let high = || high.each(middle..indices.end, parallel, end, each);
        if parallel {
            rayon::join(low, high);
        } else {
            low();
            high();
        }
    }

    /// The part before a place of the flat buffers, and the part from it on.
    fn split(self, place: usize) -> (Runs<'a>, Runs<'a>) {
        let at = place - self.start;
        let cut = |run: &'a mut [f32]| run.split_at_mut(at.min(run.len()));
        let (gradient, gradient2) = cut(self.gradient);
        let (parameters, parameters2) = cut(self.parameters);
        let ((m, m2), (v, v2)) = (cut(self.m), cut(self.v));
        let Runs { start, step, .. } = self;
        (
            Runs { gradient, parameters, m, v, start, step },
            Runs { gradient: gradient2, parameters: parameters2, m: m2, v: v2, start: place, step },
        )
    }
}

/// sum += the same part of every other shard's gradient, in order.
pub(super) fn add(start: usize, sum: &mut [f32], others: &[Shard]) {
    let end = start + sum.len();
    for other in others {
        for (sum, g) in sum.iter_mut().zip(&other.gradient[start..end]) {
            *sum += g;
        }
    }
}
