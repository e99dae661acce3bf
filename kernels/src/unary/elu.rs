use super::exp::exp_m1;
use super::{Bound, SlopeFrom, Spread, UnaryOp};
use crate::simd::Simd;

pub(super) struct Elu;

impl UnaryOp for Elu {
    const NAME: &'static str = "elu";
    const DOC: &'static str = "x for x > 0, else eˣ − 1";
    const SLOPE: SlopeFrom = SlopeFrom::Output;
    const SPREAD: Spread = Spread::Halves;
    const VALUE_BOUND: Bound = Bound::ulp(1.5);
    /// y + 1 of a y that is rounded where it is close to −1.
    const SLOPE_BOUND: Bound = Bound::ulp_or(3.0, 1.0e-7);

    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        let zero = s.splat(0.0);
        // min passes NaN in this order, and keeps the exponential small.
        let left = exp_m1(s, s.min(zero, x));
        // Left of 0 eˣ − 1 is the larger, right of it `left` is 0.
        s.max(left, x)
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, y: S::V) -> S::V {
        let one = s.splat(1.0);
        s.select(s.lt(s.splat(0.0), y), one, s.add(y, one))
    }
    fn oracle(x: f64) -> f64 {
        if x > 0.0 { x } else { x.exp_m1() }
    }
    fn oracle_slope(x: f64) -> f64 {
        if x > 0.0 { 1.0 } else { x.exp() }
    }
}
