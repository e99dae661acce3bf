//! The seam between shards: their gradients are added up in the order of the
//! shards, whoever computed them, and the optimizer takes the sum.

use super::fork::Threads;
use super::{Shard, State};
use crate::plan::Plan;
use mlpc_kernels::gemm::{Algorithm, Gemm};
use mlpc_kernels::optim::{Readers, Rule};
use std::ops::Range;

/// Parameters of a part of the work: the update of one part fits the cache.
const CHUNK: usize = 16 * 1024;

/// Parameters of a part on a team at the least, and what their number is a multiple
/// of: whole vectors.
const LEAST_CHUNK: usize = 512;

/// Adds the gradients of all shards into the first one's, in order.
pub(super) fn sum(shards: &mut [Shard], threads: Threads<'_>) {
    let (first, others) = shards.split_first_mut().expect("a plan has at least one shard");
    chunks(Runs::of_gradient(&mut first.gradient), others, threads, &|_| {});
}

/// Adds up and updates the state, part by part.
pub(super) fn update(
    shards: &mut [Shard],
    threads: Threads<'_>,
    plan: &Plan,
    state: &mut State,
    rule: Rule,
) {
    let (first, others) = shards.split_first_mut().expect("a plan has at least one shard");
    let runs = Runs::new(plan, &mut first.gradient, state, rule);
    // Threads of a team read next what others have written.
    let readers = if threads.are_team() { Readers::Others } else { Readers::Same };
    chunks(runs, others, threads, &|runs| runs.update(plan, readers));
}

/// Adds up, chunk by chunk, and calls `then` with each.
fn chunks(
    runs: Runs<'_>,
    others: &[Shard],
    threads: Threads<'_>,
    then: &(impl Fn(&mut Runs<'_>) + Sync),
) {
    let len = runs.gradient.len();
    // On a team a part may be small: one a thread.
    let chunk = match &threads {
        Threads::Team(members, _) => len.div_ceil(members.count()).max(LEAST_CHUNK),
        _ => CHUNK,
    };
    let chunk = chunk.next_multiple_of(LEAST_CHUNK).min(CHUNK);
    let end = |index: usize| len.min((index + 1) * chunk);
    runs.each(0..len.div_ceil(chunk), threads, &end, &|index, runs, _| {
        add(index * chunk, runs.gradient, others);
        then(runs);
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
    /// The optimizer's step, where there is one to be done.
    rule: Option<Rule>,
}

impl<'a> Runs<'a> {
    /// All of the buffers, for a step of the optimizer.
    pub(super) fn new(
        plan: &Plan,
        gradient: &'a mut [f32],
        state: &'a mut State,
        rule: Rule,
    ) -> Self {
        let n = plan.parameters;
        let kept = plan.optimizer.state();
        let (m, rest) = state.optimizer.split_at_mut(n * kept.min(1));
        let v = &mut rest[..n * kept.saturating_sub(1)];
        Runs { gradient, parameters: &mut state.parameters, m, v, start: 0, rule: Some(rule) }
    }

    /// The gradient alone.
    pub(super) fn of_gradient(gradient: &'a mut [f32]) -> Self {
        Runs { gradient, parameters: &mut [], m: &mut [], v: &mut [], start: 0, rule: None }
    }

    /// The optimizer's step over the run, if there is one to be done.
    #[inline]
    pub(super) fn update(&mut self, plan: &Plan, readers: Readers) {
        let Some(rule) = self.rule.filter(|_| !self.gradient.is_empty()) else { return };
        let (parameters, state) = (&mut *self.parameters, [&mut *self.m, &mut *self.v]);
        rule.update(plan.options.isa, parameters, self.gradient, state, readers);
    }

    /// Has a product compute the gradient. Returns whether it has done the optimizer's
    /// step meanwhile, where there is one to be done.
    pub(super) fn compute(
        self,
        plan: &Plan,
        algorithm: Algorithm,
        product: impl FnOnce(&'a mut [f32]) -> Gemm<'a>,
    ) -> bool {
        let Runs { gradient, parameters, m, v, rule, .. } = self;
        let (mut product, isa) = (product(gradient), plan.options.isa);
        let Some(rule) = rule else {
            product.run(algorithm, isa);
            return false;
        };
        product.run_carrying(algorithm, isa, &rule, parameters, [m, v])
    }

    /// This run, for a while.
    pub(super) fn all(&mut self) -> Runs<'_> {
        let Runs { gradient, parameters, m, v, start, rule } = self;
        Runs { gradient, parameters, m, v, start: *start, rule: *rule }
    }

    /// Some of it, for a while.
    pub(super) fn part(&mut self, range: Range<usize>) -> Runs<'_> {
        let at = range.start - self.start..range.end - self.start;
        // What there is none of stays empty.
        let cut = |run: &mut [f32]| at.start.min(run.len())..at.end.min(run.len());
        let Runs { gradient, parameters, m, v, rule, .. } = self;
        let (of_parameters, of_m, of_v) = (cut(parameters), cut(m), cut(v));
        Runs {
            gradient: &mut gradient[at],
            parameters: &mut parameters[of_parameters],
            m: &mut m[of_m],
            v: &mut v[of_v],
            start: range.start,
            rule: *rule,
        }
    }

    /// Cuts the run into parts, the `index`-th of which ends at `end(index)`,
    /// and calls `each` with every one, on several threads where they are given.
    pub(super) fn each(
        mut self,
        indices: Range<usize>,
        threads: Threads<'_>,
        end: &(impl Fn(usize) -> usize + Sync),
        each: &(impl Fn(usize, &mut Runs<'_>, &Threads<'_>) + Sync),
    ) {
        if indices.len() <= 1 {
            return indices.into_iter().for_each(|index| each(index, &mut self, &threads));
        }
        let [part, parts] = threads.first_half();
        let share = (end(indices.end - 1) - self.start) * part / parts;
        let middle = cut(indices.start + 1..indices.end, self.start + share, end);
        let (low, high) = self.split(end(middle - 1));
        threads.join(
            |threads| low.each(indices.start..middle, threads, end, each),
            |threads| high.each(middle..indices.end, threads, end, each),
        );
    }

    /// The part before a place of the flat buffers, and the part from it on.
    pub(super) fn split(self, place: usize) -> (Runs<'a>, Runs<'a>) {
        let at = place - self.start;
        let cut = |run: &'a mut [f32]| run.split_at_mut(at.min(run.len()));
        let (gradient, gradient2) = cut(self.gradient);
        let (parameters, parameters2) = cut(self.parameters);
        let ((m, m2), (v, v2)) = (cut(self.m), cut(self.v));
        let Runs { start, rule, .. } = self;
        (
            Runs { gradient, parameters, m, v, start, rule },
            Runs { gradient: gradient2, parameters: parameters2, m: m2, v: v2, start: place, rule },
        )
    }
}

/// The first of some indices before which all parts have ended at a place or behind
/// it, or the last.
fn cut(indices: Range<usize>, place: usize, end: impl Fn(usize) -> usize) -> usize {
    let (mut low, mut high) = (indices.start, indices.end - 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if end(middle - 1) < place { low = middle + 1 } else { high = middle }
    }
    low
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
