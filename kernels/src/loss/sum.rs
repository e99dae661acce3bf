//! The sum of a tile's losses, which does not depend on their order: so several
//! threads may share a tile's rows.

use crate::simd::{Simd, Sums};

/// What losses are added to.
pub(crate) trait Total: Default {
    /// Adds the losses of a vector of rows.
    fn add_lanes<S: Simd>(&mut self, s: S, losses: S::V);
}

/// In the order in which they come: for the steps of small networks, which one
/// thread takes.
impl Total for f64 {
    #[inline(always)]
    fn add_lanes<S: Simd>(&mut self, s: S, losses: S::V) {
        *self += f64::from(s.sum(losses));
    }
}

/// A sum of numbers of f32, the same bits in whatever order they are added.
///
/// Losses are added by pairs of vectors, where both are whole, that begin at a multiple
/// of a pair's lanes: the same numbers for any cut of a tile's rows at such a lane.
///
/// Numbers are added in f64 to those of similar size, whose sum is exact: 16
/// exponents of f32 and its 23 bits are 39, which leaves f64 room for 2¹⁴ of them.
/// (Beyond, a sum may be rounded.) Demmel and Nguyen, Fast Reproducible
/// Floating-Point Summation (ARITH 2013), sort by size in the same way.
#[derive(Debug, Clone, Copy, Default)]
pub struct LossSum {
    /// By the upper half of the exponent, but for what is in `current`.
    of_size: [f64; 16],
    /// Numbers of the size of the last one: one after the other they are seldom of
    /// another, and added up in a register.
    current: f64,
    size: usize,
}

impl LossSum {
    /// Adds the numbers of another sum.
    pub fn merge(&mut self, other: &LossSum) {
        for (sum, x) in self.of_size.iter_mut().zip(other.of_size) {
            *sum += x;
        }
        self.of_size[other.size] += other.current;
    }

    /// The sum, rounded to f64.
    pub fn total(&self) -> f64 {
        let mut sums = self.of_size;
        sums[self.size] += self.current;
        // By halves, which takes four additions' time, not sixteen.
        for half in [8, 4, 2, 1] {
            let (low, high) = sums.split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
        }
        sums[0]
    }
}

impl Total for LossSum {
    #[inline(always)]
    fn add_lanes<S: Simd>(&mut self, s: S, losses: S::V) {
        s.sum_parts(losses, self);
    }
}

impl Sums for LossSum {
    #[inline(always)]
    fn add(&mut self, x: f32) {
        let size = (x.to_bits() >> 27 & 15) as usize;
        if size != self.size {
            self.of_size[self.size] += std::mem::take(&mut self.current);
            self.size = size;
        }
        self.current += f64::from(x);
    }
}

#[cfg(test)]
mod tests {
    use super::LossSum;
    use crate::simd::Sums;

    fn sum(numbers: impl Iterator<Item = f32>) -> LossSum {
        numbers.fold(LossSum::default(), |mut sum, x| {
            sum.add(x);
            sum
        })
    }

    #[test]
    fn the_order_does_not_matter() {
        // Of all sizes: added one after the other they are not the same backwards.
        let numbers: Vec<f32> = (0..16_000u32)
            .map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761) >> 1).min(1e30))
            .collect();
        let plain = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(f64::from).sum::<f64>();
        assert_ne!(plain(&mut numbers.iter().copied()), plain(&mut numbers.iter().rev().copied()));

        let forward = sum(numbers.iter().copied());
        let backward = sum(numbers.iter().rev().copied());
        assert_eq!(backward.total().to_bits(), forward.total().to_bits());
        let (some, others) = numbers.split_at(5_000);
        let mut both = sum(others.iter().copied());
        both.merge(&sum(some.iter().copied()));
        assert_eq!(both.total().to_bits(), forward.total().to_bits());
        let close = plain(&mut numbers.iter().copied());
        assert!((both.total() - close).abs() <= 1e-12 * close);
    }

    #[test]
    fn what_is_not_finite_comes_through() {
        assert!(sum([1.0, f32::NAN, -2.0].into_iter()).total().is_nan());
        assert_eq!(sum([1.0, f32::INFINITY].into_iter()).total(), f64::INFINITY);
        assert_eq!(sum([-0.0, 1e-45, -1e-45].into_iter()).total(), 0.0);
        assert_eq!(sum(std::iter::empty()).total(), 0.0);
    }
}
