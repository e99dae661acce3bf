//! Statistics of a numeric column, in f64.

use crate::check::model::{Missing, Scale};

/// The finite values of a column, walked over again for every statistic: a
/// column of a table beyond memory is never copied.
#[derive(Debug)]
pub(crate) struct Stats<I> {
    values: I,
    count: usize,
    range: (f64, f64),
    /// 0 of nothing.
    mean: f64,
    /// The standard deviation of the values as a population (divided by n).
    deviation: f64,
    sample: Sample,
}

/// Every so many of the values.
#[derive(Debug)]
struct Sample {
    step: usize,
    values: Vec<f64>,
}

/// A sample of about this size leaves a few per cent of the values between
/// two of its own that are sure to have a quantile between them.
const SAMPLE: usize = 4096;

/// Hands the finite values on, some at a time: what is done with a slice is
/// done with several of them at once.
fn blocks(values: impl Iterator<Item = f64>, mut visit: impl FnMut(&[f64])) {
    const BLOCK: usize = 1024;
    let mut block = [0.0; BLOCK];
    let mut n = 0;
    // A loop, and not a closure, keeps the count in a register.
    for x in values {
        block[n % BLOCK] = x;
        n += usize::from(x.is_finite());
        if n == BLOCK {
            visit(&block);
            n = 0;
        }
    }
    visit(&block[..n]);
}

/// Sums of their own need not wait for each other.
const LANES: usize = 4;

/// Adds each value of a block to one of several states, in turn.
#[inline]
fn by_lanes<T: Copy>(block: &[f64], lanes: &mut [T; LANES], add: impl Fn(T, f64) -> T) {
    // Copies stay in registers.
    let mut states = *lanes;
    let (parts, rest) = block.as_chunks::<LANES>();
    for part in parts {
        for (state, &x) in states.iter_mut().zip(part) {
            *state = add(*state, x);
        }
    }
    for (state, &x) in states.iter_mut().zip(rest) {
        *state = add(*state, x);
    }
    *lanes = states;
}

impl<I: Iterator<Item = f64> + Clone> Stats<I> {
    pub(crate) fn new(values: I) -> Self {
        let step = (values.size_hint().1.unwrap_or(0) / SAMPLE).max(1);
        let mut sample = Sample { step, values: Vec::new() };
        let mut count = 0usize;
        let mut lanes = [(0.0, f64::INFINITY, f64::NEG_INFINITY); LANES];
        blocks(values.clone(), |block| {
            let first = count.next_multiple_of(step) - count;
            sample.values.extend(block.iter().skip(first).step_by(step));
            count += block.len();
            by_lanes(block, &mut lanes, |(sum, low, high), x| {
                (sum + x, if x < low { x } else { low }, if x > high { x } else { high })
            });
        });
        let n = count.max(1) as f64;
        let about = lanes.iter().map(|(sum, ..)| sum).sum::<f64>() / n;
        let low = lanes.iter().map(|(_, low, _)| *low).fold(f64::INFINITY, f64::min);
        let high = lanes.iter().map(|(.., high)| *high).fold(f64::NEG_INFINITY, f64::max);
        // A second pass takes away what rounding left in a long sum.
        let mut lanes = [(0.0, 0.0); LANES];
        blocks(values.clone(), |block| {
            by_lanes(block, &mut lanes, |(rest, squares), x| {
                let apart = x - about;
                (rest + apart, squares + apart * apart)
            });
        });
        let rest = lanes.iter().map(|(rest, _)| rest).sum::<f64>() / n;
        let squares = lanes.iter().map(|(_, squares)| squares).sum::<f64>() / n;
        let deviation = (squares - rest * rest).max(0.0).sqrt();
        let range = if low <= high { (low, high) } else { (0.0, 0.0) };
        sample.values.sort_unstable_by(f64::total_cmp);
        Stats { values, count, range, mean: about + rest, deviation, sample }
    }

    pub(crate) fn min_max(&self) -> (f64, f64) {
        self.range
    }

    /// A quantile with linear interpolation, as numpy has it; 0 of nothing.
    fn quantile(&self, q: f64) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let at = q * (self.count - 1) as f64;
        let (low, part) = (at.floor() as usize, at.fract());
        let (a, b) = select(&self.values, self.count, &self.sample, low);
        a + part * (b - a)
    }

    /// The number that takes a missing one's place. Where a policy has none,
    /// prediction still needs one, and takes the median.
    pub(crate) fn fill(&self, missing: Missing) -> f64 {
        match missing {
            Missing::Mean => self.mean,
            Missing::Zero => 0.0,
            Missing::Median | Missing::Drop | Missing::Error => self.quantile(0.5),
        }
    }

    /// `(offset, scale)` of x ↦ (x − offset) / scale. A column that does not
    /// vary is divided by 1.
    pub(crate) fn scaling(&self, scale: Scale) -> (f64, f64) {
        let (offset, scale) = match scale {
            Scale::None => return (0.0, 1.0),
            Scale::Standard => (self.mean, self.deviation),
            Scale::MinMax => {
                let (low, high) = self.min_max();
                (low, high - low)
            }
            Scale::Robust => (self.quantile(0.5), self.quantile(0.75) - self.quantile(0.25)),
        };
        // The deviation of a constant may be a rounding error away from 0.
        let (low, high) = self.min_max();
        if low == high {
            return (low, 1.0);
        }
        let noise = 8.0 * f64::EPSILON * offset.abs();
        (offset, if scale > noise { scale } else { 1.0 })
    }
}

/// The value of this rank, counted from 0 in ascending order, and the next
/// one; the last has itself as the next.
///
/// The sample says between which two values they lie; one pass counts what is
/// below and takes out what is between, which is little. Where the sample has
/// misled, the walk begins again without it.
fn select(
    values: &(impl Iterator<Item = f64> + Clone),
    count: usize,
    sample: &Sample,
    rank: usize,
) -> (f64, f64) {
    // The rank in the sample is off by at most half the root of its size, by
    // one standard deviation; four of them are hardly ever exceeded.
    let reach = 2 * sample.values.len().isqrt() + 1;
    let at = rank / sample.step;
    let known = |at: Option<usize>| at.and_then(|at| sample.values.get(at)).copied();
    let mut low = known(at.checked_sub(reach)).unwrap_or(f64::NEG_INFINITY);
    let mut high = known(at.checked_add(1 + reach)).unwrap_or(f64::INFINITY);
    let wanted = (rank + 1).min(count - 1);
    loop {
        let (mut below, mut lowest, mut highest) = (0, 0, 0);
        let mut between = Vec::new();
        blocks(values.clone(), |block| {
            let counts = block.iter().fold((0, 0, 0), |(less, same, most), &x| {
                let one = |is| usize::from(is);
                (less + one(x < low), same + one(x == low), most + one(x == high))
            });
            below += counts.0;
            lowest += counts.1;
            highest += counts.2;
            between.extend(block.iter().copied().filter(|&x| x > low && x < high));
        });
        let highest = if low == high { 0 } else { highest };
        if rank < below {
            (low, high) = (f64::NEG_INFINITY, low);
        } else if wanted >= below + lowest + between.len() + highest {
            let is_inside = rank < below + lowest + between.len() + highest;
            (low, high) = (if is_inside { low } else { high }, f64::INFINITY);
        } else {
            between.sort_unstable_by(f64::total_cmp);
            let of = |rank: usize| match (rank - below).checked_sub(lowest) {
                None => low,
                Some(at) => between.get(at).copied().unwrap_or(high),
            };
            return (of(rank), of(wanted));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stats(values: &[f64]) -> Stats<impl Iterator<Item = f64> + Clone> {
        Stats::new(values.iter().copied())
    }

    proptest! {
        /// The values that sorting puts there, few and many, alike and not.
        #[test]
        fn selection_is_that_of_sorting(
            distinct in prop::collection::vec(-1e3..1e3f64, 1..50),
            repeated in 1usize..2_000,
            at in 0.0..1.0f64,
        ) {
            let near = |i: usize| f64::from_bits(distinct[i % distinct.len()].to_bits() + i as u64 % 7);
            let values: Vec<f64> = (0..distinct.len() * repeated).map(near).collect();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let rank = (at * values.len() as f64) as usize;
            let next = (rank + 1).min(values.len() - 1);
            let all = stats(&values);
            let found = select(&all.values, values.len(), &all.sample, rank);
            prop_assert_eq!(found, (sorted[rank], sorted[next]));
        }
    }

    #[test]
    fn many_that_are_the_same_are_selected_from() {
        let mut values = vec![2.5; 100_000];
        values.extend([-1.0, 7.0, 9.0]);
        let all = stats(&values);
        let of = |rank| select(&all.values, values.len(), &all.sample, rank);
        assert_eq!((of(0), of(1)), ((-1.0, 2.5), (2.5, 2.5)));
        assert_eq!((of(100_000), of(100_001)), ((2.5, 7.0), (7.0, 9.0)));
        assert_eq!(of(100_002), (9.0, 9.0));
        assert_eq!(stats(&values).scaling(Scale::Robust), (2.5, 1.0));
    }

    // The numbers are those of numpy: mean, std, percentile.
    #[test]
    fn scalings() {
        let values = [4.0, 1.0, 2.0, 10.0, 3.5];
        assert_eq!(stats(&values).scaling(Scale::None), (0.0, 1.0));
        assert_eq!(stats(&values).scaling(Scale::MinMax), (1.0, 9.0));
        assert_eq!(stats(&values).scaling(Scale::Robust), (3.5, 2.0));
        let (mean, deviation) = stats(&values).scaling(Scale::Standard);
        assert_eq!(mean, 4.1);
        assert!((deviation - 3.136_877).abs() < 1e-6, "{deviation}");
        assert_eq!(stats(&[1.0, 2.0, 3.0, 10.0]).fill(Missing::Median), 2.5);
        assert_eq!(stats(&[1.0, 2.0]).fill(Missing::Mean), 1.5);
        assert_eq!(stats(&[1.0, 2.0]).fill(Missing::Zero), 0.0);
    }

    #[test]
    fn constants_and_nothing_survive() {
        for scale in Scale::ALL {
            assert_eq!(stats(&[0.1; 1000]).scaling(*scale).1, 1.0);
            assert_eq!(stats(&[]).scaling(*scale), (0.0, 1.0));
        }
        assert_eq!(stats(&[]).fill(Missing::Median), 0.0);
        assert_eq!(stats(&[]).min_max(), (0.0, 0.0));
    }
}
