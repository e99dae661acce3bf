use super::{Bound, SlopeFrom, Spread, UnaryOp};
use crate::simd::Simd;

pub(super) struct Relu;

impl UnaryOp for Relu {
    const NAME: &'static str = "relu";
    const DOC: &'static str = "max(0, x); slope 0 at 0";
    const SLOPE: SlopeFrom = SlopeFrom::Output;
    const SPREAD: Spread = Spread::Halves;
    const LEAK: Option<f32> = Some(0.0);
    const VALUE_BOUND: Bound = Bound::EXACT;
    const SLOPE_BOUND: Bound = Bound::EXACT;

    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        // In this order NaN passes.
        s.max(s.splat(0.0), x)
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, y: S::V) -> S::V {
        s.select(s.lt(s.splat(0.0), y), s.splat(1.0), s.splat(0.0))
    }
    fn oracle(x: f64) -> f64 {
        if x < 0.0 { 0.0 } else { x }
    }
    fn oracle_slope(x: f64) -> f64 {
        if x > 0.0 { 1.0 } else { 0.0 }
    }
}
