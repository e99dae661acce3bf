//! The seam between shards: their gradients are added up in the order of the
//! shards, whoever computed them, and the optimizer takes the sum.

use super::{Shard, State};
use crate::plan::Plan;
use rayon::prelude::*;

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
    let n = plan.parameters;
    let step = state.step;
    // What the optimizer does not keep is an empty run.
    let kept = plan.optimizer.state();
    let (m, rest) = state.optimizer.split_at_mut(n * kept.min(1));
    let v = &mut rest[..n * kept.saturating_sub(1)];
    let each = |index: usize, sum: &mut [f32], p: &mut [f32], m: &mut [f32], v: &mut [f32]| {
        add(index * CHUNK, sum, others);
        plan.optimizer.update(plan.options.isa, step, p, sum, [m, v]);
    };
    let sums = &mut first.gradient[..];
    let parameters = &mut state.parameters[..];
    parts(0, n.div_ceil(CHUNK), [sums, parameters, m, v], parallel && n > CHUNK, &each);
}

/// Halves the work until it is one part: all four runs are cut at the same
/// places, an empty one stays empty.
fn parts<F>(first: usize, count: usize, runs: [&mut [f32]; 4], parallel: bool, each: &F)
where
    F: Fn(usize, &mut [f32], &mut [f32], &mut [f32], &mut [f32]) + Sync,
{
    let [a, b, c, d] = runs;
    if count <= 1 {
        return each(first, a, b, c, d);
    }
    let half = count / 2;
    let cut = |run| -> (&mut [f32], &mut [f32]) {
        let run: &mut [f32] = run;
        let at = (half * CHUNK).min(run.len());
        run.split_at_mut(at)
    };
    let ((a1, a2), (b1, b2), (c1, c2), (d1, d2)) = (cut(a), cut(b), cut(c), cut(d));
    let (low, high) = ([a1, b1, c1, d1], [a2, b2, c2, d2]);
    let low = || parts(first, half, low, parallel, each);
    let high = || parts(first + half, count - half, high, parallel, each);
    if parallel {
        rayon::join(low, high);
    } else {
        low();
        high();
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
