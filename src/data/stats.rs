//! Statistics of a numeric column, in f64.
//!
//! All of them come from one walk over the column: a table beyond memory is
//! read once, and a column is never copied. A sample taken beforehand makes
//! that possible. It says what to subtract from the values, so that their
//! squares can be summed without cancellation, and between which two values a
//! quantile must lie, so that only what is between them is kept and sorted.

use super::table::span;
use crate::check::model::{Missing, Scale};
use mlpc_kernels::columns::{Moments, all_finite, partition};

/// The numbers that statistics are of: `value(0)` to `value(n - 1)`.
pub(crate) struct Numbers<'a, F> {
    n: usize,
    value: F,
    /// The same, where they stand side by side.
    slice: Option<&'a [f64]>,
}

impl<F: Fn(usize) -> f64> Numbers<'_, F> {
    pub(crate) fn new(n: usize, value: F) -> Self {
        Numbers { n, value, slice: None }
    }
}

/// Those of a column in these rows, which ascend.
pub(crate) fn in_rows<'a>(
    column: &'a [f64],
    rows: &'a [u32],
) -> Numbers<'a, impl Fn(usize) -> f64 + 'a> {
    let value = |i: usize| column[rows[i] as usize];
    Numbers { n: rows.len(), value, slice: span(rows).map(|span| &column[span]) }
}

/// Statistics of the finite values among some numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stats {
    /// How many of the numbers are NaN.
    pub(crate) missing: usize,
    /// The least and the largest value; 0 of nothing.
    pub(crate) range: (f64, f64),
    /// 0 of nothing.
    mean: f64,
    /// The standard deviation of the values as a population (divided by n).
    deviation: f64,
    quantiles: Quantiles,
}

/// Quantiles with linear interpolation, as numpy has them; 0 of nothing, and
/// where they were not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Quantiles {
    quarter: f64,
    median: f64,
    three_quarters: f64,
}

impl Stats {
    /// What a policy or a scaling needs beyond mean, deviation and range is
    /// computed where it is named.
    pub(crate) fn new<F: Fn(usize) -> f64>(
        numbers: &Numbers<'_, F>,
        policy: Option<Missing>,
        scale: Scale,
    ) -> Self {
        let mut sample = Sample::new(numbers);
        let of_median = matches!(policy, Some(Missing::Median | Missing::Drop | Missing::Error));
        let mut between: Vec<(f64, Between)> = match (scale, of_median) {
            (Scale::Robust, _) => &[0.25, 0.5, 0.75][..],
            (_, true) => &[0.5],
            (_, false) => &[],
        }
        .iter()
        .map(|&q| (q, sample.around(q)))
        .collect();

        let mut sums = Sums::new(sample.mean());
        let missing = blocks(numbers, |block| {
            sums.add(block);
            between.iter_mut().for_each(|(_, between)| between.add(block));
        });
        let mut quantile = |wanted: f64| {
            let found = between.iter_mut().find(|(q, _)| *q == wanted && sums.count > 0);
            found.map_or(0.0, |(q, between)| {
                let at = *q * (sums.count - 1) as f64;
                let (low, part) = (at.floor() as usize, at.fract());
                let a = between.rank(low, numbers);
                let b = between.rank((low + 1).min(sums.count - 1), numbers);
                a + part * (b - a)
            })
        };
        let quantiles = Quantiles {
            quarter: quantile(0.25),
            median: quantile(0.5),
            three_quarters: quantile(0.75),
        };
        let (mean, deviation) = sums.moments();
        Stats { missing, range: sums.range(), mean, deviation, quantiles }
    }

    /// The number that takes a missing one's place. Where a policy has none,
    /// prediction still needs one, and takes the median.
    pub(crate) fn fill(&self, missing: Missing) -> f64 {
        match missing {
            Missing::Mean => self.mean,
            Missing::Zero => 0.0,
            Missing::Median | Missing::Drop | Missing::Error => self.quantiles.median,
        }
    }

    /// `(offset, scale)` of x ↦ (x − offset) / scale. A column that does not
    /// vary is divided by 1.
    pub(crate) fn scaling(&self, scale: Scale) -> (f64, f64) {
        let (low, high) = self.range;
        let Quantiles { quarter, median, three_quarters } = self.quantiles;
        let (offset, scale) = match scale {
            Scale::None => return (0.0, 1.0),
            Scale::Standard => (self.mean, self.deviation),
            Scale::MinMax => (low, high - low),
            Scale::Robust => (median, three_quarters - quarter),
        };
        // The deviation of a constant may be a rounding error away from 0.
        if low == high {
            return (low, 1.0);
        }
        let noise = 8.0 * f64::EPSILON * offset.abs();
        (offset, if scale > noise { scale } else { 1.0 })
    }
}

/// Hands the finite values on, some at a time: what is done with a slice is
/// done with several of them at once, and again while they are in the cache.
/// The number of NaN comes back.
fn blocks<F: Fn(usize) -> f64>(numbers: &Numbers<'_, F>, mut visit: impl FnMut(&[f64])) -> usize {
    const BLOCK: usize = 1024;
    let mut room = [0.0; BLOCK];
    let mut missing = 0;
    for start in (0..numbers.n).step_by(BLOCK) {
        let range = start..numbers.n.min(start + BLOCK);
        let room = &mut room[..range.len()];
        if let Some(slice) = numbers.slice
            && all_finite(&slice[range.clone()])
        {
            visit(&slice[range]);
            continue;
        }
        room.iter_mut().zip(range).for_each(|(x, i)| *x = (numbers.value)(i));
        if all_finite(room) {
            visit(room);
            continue;
        }
        let mut finite = 0;
        for i in 0..room.len() {
            let x = room[i];
            room[finite] = x;
            finite += usize::from(x.is_finite());
            missing += usize::from(x.is_nan());
        }
        visit(&room[..finite]);
    }
    missing
}

/// Sums over values, from which a number near their mean has been subtracted.
#[derive(Debug)]
struct Sums {
    shift: f64,
    count: usize,
    moments: Moments,
}

impl Sums {
    fn new(shift: f64) -> Sums {
        Sums { shift, count: 0, moments: Moments::default() }
    }

    fn add(&mut self, block: &[f64]) {
        self.count += block.len();
        self.moments.add(block, self.shift);
    }

    /// 0 of nothing.
    fn range(&self) -> (f64, f64) {
        match self.count {
            0 => (0.0, 0.0),
            _ => (
                self.moments.lows.into_iter().fold(f64::INFINITY, f64::min),
                self.moments.highs.into_iter().fold(f64::NEG_INFINITY, f64::max),
            ),
        }
    }

    /// Mean and standard deviation.
    fn moments(&self) -> (f64, f64) {
        let n = self.count.max(1) as f64;
        let rest = self.moments.sums.iter().sum::<f64>() / n;
        let squares = self.moments.squares.iter().sum::<f64>() / n;
        (self.shift + rest, (squares - rest * rest).max(0.0).sqrt())
    }
}

/// Every so many of the values.
#[derive(Debug)]
struct Sample {
    values: Vec<f64>,
}

impl Sample {
    fn new<F: Fn(usize) -> f64>(numbers: &Numbers<'_, F>) -> Sample {
        // What lies between two values of a sample that are sure to have a quantile
        // between them is kept and sorted, too: it is the less, the larger the sample
        // is, and both cost about the same where the sample has n to the power of ⅔.
        let size = (numbers.n as f64).cbrt().powi(2) as usize;
        let step = numbers.n / size.max(1 << 10);
        let sample = (0..numbers.n).step_by(step.max(1)).map(&numbers.value);
        Sample { values: sample.filter(|x| x.is_finite()).collect() }
    }

    fn mean(&self) -> f64 {
        let mean = self.values.iter().sum::<f64>() / self.values.len().max(1) as f64;
        if mean.is_finite() { mean } else { 0.0 }
    }

    /// What surrounds a quantile.
    fn around(&mut self, q: f64) -> Between {
        // The rank in the sample is off by at most half the root of its size, by
        // one standard deviation; four of them are hardly ever exceeded.
        let reach = 2 * self.values.len().isqrt() + 1;
        let at = (q * self.values.len() as f64) as usize;
        let mut ranked = |rank: Option<usize>| {
            let rank = rank.filter(|rank| *rank < self.values.len())?;
            Some(*self.values.select_nth_unstable_by(rank, f64::total_cmp).1)
        };
        let low = ranked(at.checked_sub(reach)).unwrap_or(f64::NEG_INFINITY);
        let high = ranked(Some(at + 1 + reach)).unwrap_or(f64::INFINITY);
        Between::new(low, high)
    }
}

/// The values between two others, and how many there are up to them.
#[derive(Debug)]
struct Between {
    low: f64,
    high: f64,
    below: usize,
    /// How many are equal to `low`.
    lowest: usize,
    values: Vec<f64>,
}

impl Between {
    fn new(low: f64, high: f64) -> Between {
        Between { low, high, below: 0, lowest: 0, values: Vec::new() }
    }

    fn add(&mut self, block: &[f64]) {
        let (below, lowest) = partition(block, self.low, self.high, &mut self.values);
        self.below += below;
        self.lowest += lowest;
    }

    /// The value of this rank, counted from 0 in ascending order. Where the
    /// sample has misled, the numbers are walked over again.
    fn rank<F: Fn(usize) -> f64>(&mut self, rank: usize, numbers: &Numbers<'_, F>) -> f64 {
        loop {
            let Between { low, high, below, lowest, values } = self;
            let (low, high) = match rank.checked_sub(*below) {
                None => (f64::NEG_INFINITY, *low),
                Some(at) if at < *lowest => return *low,
                Some(at) if at < *lowest + values.len() => {
                    let at = at - *lowest;
                    return *values.select_nth_unstable_by(at, f64::total_cmp).1;
                }
                Some(_) => (*high, f64::INFINITY),
            };
            *self = Between::new(low, high);
            blocks(numbers, |block| self.add(block));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// With everything there is to ask for.
    fn stats(values: &[f64]) -> Stats {
        let numbers = Numbers::new(values.len(), |i: usize| values[i]);
        let all = Stats::new(&numbers, Some(Missing::Median), Scale::Robust);
        let rows: Vec<u32> = (0..values.len() as u32).collect();
        let side_by_side =
            Stats::new(&in_rows(values, &rows), Some(Missing::Median), Scale::Robust);
        assert_eq!(side_by_side, all);
        all
    }

    fn sorted(values: &[f64]) -> Vec<f64> {
        let mut values: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// As numpy has it.
    fn quantile(sorted: &[f64], q: f64) -> f64 {
        let at = q * (sorted.len() - 1) as f64;
        let (a, b) = (sorted[at as usize], sorted[at.ceil() as usize]);
        a + at.fract() * (b - a)
    }

    proptest! {
        /// What the definitions give, of few and many, alike and not, with
        /// gaps, in an order that misleads the sample and in one that does not.
        #[test]
        fn statistics_are_those_of_their_definitions(
            distinct in prop::collection::vec(-1e3..1e3f64, 1..50),
            repeated in 1usize..2_000,
            gaps in prop::option::of(2usize..40),
            ascending in any::<bool>(),
        ) {
            let near = |i: usize| f64::from_bits(distinct[i % distinct.len()].to_bits() + i as u64 % 7);
            let mut values: Vec<f64> = (0..distinct.len() * repeated).map(near).collect();
            if ascending {
                values.sort_by(f64::total_cmp);
            }
            if let Some(gaps) = gaps {
                values.iter_mut().skip(1).step_by(gaps).for_each(|x| *x = f64::NAN);
            }
            let (all, sorted) = (stats(&values), sorted(&values));
            prop_assert_eq!(all.missing, values.len() - sorted.len());
            prop_assert_eq!(all.range, (sorted[0], sorted[sorted.len() - 1]));
            let quantiles = [0.25, 0.5, 0.75].map(|q| quantile(&sorted, q));
            let Quantiles { quarter, median, three_quarters } = all.quantiles;
            prop_assert_eq!([quarter, median, three_quarters], quantiles);
            let n = sorted.len() as f64;
            let mean = sorted.iter().sum::<f64>() / n;
            let variance = sorted.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            prop_assert!((all.mean - mean).abs() <= 1e-12 * 1e3);
            prop_assert!((all.deviation - variance.sqrt()).abs() <= 1e-11 * 1e3);
        }

        /// Of any interval that a rank is looked for in.
        #[test]
        fn a_rank_is_found_wherever_it_is_looked_for(
            values in prop::collection::vec((-5..5i8).prop_map(f64::from), 1..3_000),
            low in -6..6i8,
            width in 0..6i8,
            at in 0.0..1.0f64,
        ) {
            let rank = (at * values.len() as f64) as usize;
            let mut between = Between::new(low.into(), (low + width).into());
            let numbers = Numbers::new(values.len(), |i: usize| values[i]);
            blocks(&numbers, |block| between.add(block));
            let found = between.rank(rank, &numbers);
            prop_assert_eq!(found, sorted(&values)[rank]);
        }
    }

    #[test]
    fn far_from_zero_nothing_is_lost() {
        let values: Vec<f64> = (0..100_000).map(|i| 1e9 + f64::from(i % 2)).collect();
        let all = stats(&values);
        assert_eq!((all.mean, all.deviation), (1e9 + 0.5, 0.5));
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
        assert_eq!(stats(&[]).range, (0.0, 0.0));
    }
}
