//! Statistics of a numeric column, in f64.

use crate::check::model::{Missing, Scale};

/// The present values of a column, walked over again for every statistic: a
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
}

impl<I: Iterator<Item = f64> + Clone> Stats<I> {
    /// `values` holds no NaN.
    pub(crate) fn new(values: I) -> Self {
        let (mut count, mut sum) = (0, 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        values.clone().for_each(|x| {
            (count, sum) = (count + 1, sum + x);
            low = if x < low { x } else { low };
            high = if x > high { x } else { high };
        });
        let n = count.max(1) as f64;
        let about = sum / n;
        // A second pass takes away what rounding left in a long sum.
        let (mut rest, mut squares) = (0.0, 0.0);
        values.clone().for_each(|x| {
            let apart = x - about;
            (rest, squares) = (rest + apart, squares + apart * apart);
        });
        let rest = rest / n;
        let deviation = (squares / n - rest * rest).max(0.0).sqrt();
        let range = if low <= high { (low, high) } else { (0.0, 0.0) };
        Stats { values, count, range, mean: about + rest, deviation }
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
        let (a, b) = select(self.values.clone(), self.count, low);
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
/// A sample says between which two values they lie; one pass counts what is
/// below and takes out what is between, which is little. Where the sample has
/// misled, the walk begins again with what it did not see in mind.
fn select(values: impl Iterator<Item = f64> + Clone, count: usize, rank: usize) -> (f64, f64) {
    /// A sample of this size leaves a few per cent of the values between.
    const SAMPLE: usize = 4096;
    let keys = values.map(key_of);
    let step = count.div_ceil(SAMPLE).max(1);
    let mut sample: Vec<u64> = keys.clone().step_by(step).collect();
    sample.sort_unstable();
    // The rank in the sample is off by at most half the root of its size, by
    // one standard deviation; four of them are hardly ever exceeded.
    let reach = 2 * sample.len().isqrt() + 1;
    let at = rank / step;
    let mut low = at.checked_sub(reach).map_or(0, |at| sample[at]);
    let mut high = sample.get(at + 1 + reach).map_or(u64::MAX, |key| *key);
    loop {
        let (mut below, mut lowest, mut highest) = (0, 0, 0);
        let mut between = Vec::new();
        keys.clone().for_each(|key| {
            if key > low && key < high {
                between.push(key);
            }
            below += usize::from(key < low);
            lowest += usize::from(key == low);
            highest += usize::from(key == high && high != low);
        });
        let inside = lowest + between.len() + highest;
        if rank < below {
            (low, high) = (0, low);
            continue;
        }
        let wanted = (rank + 1).min(count - 1);
        if wanted >= below + inside {
            (low, high) = (if rank < below + inside { low } else { high }, u64::MAX);
            continue;
        }
        between.sort_unstable();
        let of = |rank: usize| match (rank - below).checked_sub(lowest) {
            None => value_of(low),
            Some(at) => value_of(between.get(at).copied().unwrap_or(high)),
        };
        return (of(rank), of(wanted));
    }
}

/// A whole number for a number: ascending as [`f64::total_cmp`] has it.
fn key_of(x: f64) -> u64 {
    let bits = x.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The number of [`key_of`].
fn value_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
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
            let found = select(values.iter().copied(), values.len(), rank);
            prop_assert_eq!(found, (sorted[rank], sorted[next]));
        }
    }

    #[test]
    fn many_that_are_the_same_are_selected_from() {
        let mut values = vec![2.5; 100_000];
        values.extend([-1.0, 7.0, 9.0]);
        let of = |rank| select(values.iter().copied(), values.len(), rank);
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
