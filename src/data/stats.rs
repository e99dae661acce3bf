//! Statistics of a numeric column, in f64.

use crate::check::model::{Missing, Scale};

/// The present values of a column, in ascending order where asked for.
#[derive(Debug)]
pub(crate) struct Stats {
    values: Vec<f64>,
    sorted: bool,
}

impl Stats {
    /// `values` holds no NaN.
    pub(crate) fn new(values: Vec<f64>) -> Self {
        Stats { values, sorted: false }
    }

    pub(crate) fn min_max(&self) -> (f64, f64) {
        let start = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = self.values.iter().fold(start, |(l, h), &x| (l.min(x), h.max(x)));
        if low <= high { (low, high) } else { (0.0, 0.0) }
    }

    /// The mean; 0 of nothing.
    pub(crate) fn mean(&self) -> f64 {
        let n = self.values.len().max(1) as f64;
        let mean = self.values.iter().sum::<f64>() / n;
        // A second pass takes away what rounding left in a long sum.
        mean + self.values.iter().map(|x| x - mean).sum::<f64>() / n
    }

    /// The standard deviation of the values as a population (divided by n).
    fn deviation(&self) -> f64 {
        let mean = self.mean();
        let sum: f64 = self.values.iter().map(|x| (x - mean) * (x - mean)).sum();
        (sum / self.values.len().max(1) as f64).sqrt()
    }

    /// A quantile with linear interpolation, as numpy has it; 0 of nothing.
    fn quantile(&mut self, q: f64) -> f64 {
        if self.values.is_empty() {
            return 0.0;
        }
        if !self.sorted {
            self.values.sort_unstable_by(f64::total_cmp);
            self.sorted = true;
        }
        let at = q * (self.values.len() - 1) as f64;
        let (low, part) = (at.floor() as usize, at.fract());
        let (a, b) = (self.values[low], self.values[(low + 1).min(self.values.len() - 1)]);
        a + part * (b - a)
    }

    /// The number that takes a missing one's place. Where a policy has none,
    /// prediction still needs one, and takes the median.
    pub(crate) fn fill(&mut self, missing: Missing) -> f64 {
        match missing {
            Missing::Mean => self.mean(),
            Missing::Zero => 0.0,
            Missing::Median | Missing::Drop | Missing::Error => self.quantile(0.5),
        }
    }

    /// `(offset, scale)` of x ↦ (x − offset) / scale. A column that does not
    /// vary is divided by 1.
    pub(crate) fn scaling(&mut self, scale: Scale) -> (f64, f64) {
        let (offset, scale) = match scale {
            Scale::None => return (0.0, 1.0),
            Scale::Standard => (self.mean(), self.deviation()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(values: &[f64]) -> Stats {
        Stats::new(values.to_vec())
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
