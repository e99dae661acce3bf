use super::{Bound, SlopeFrom, Spread, UnaryOp};
use crate::simd::Simd;

pub(super) struct LeakyRelu;

/// The slope left of 0: PyTorch's default.
const LEAK: f32 = 0.01;

impl UnaryOp for LeakyRelu {
    const NAME: &'static str = "leaky_relu";
    const DOC: &'static str = "x for x > 0, else x/100";
    const SLOPE: SlopeFrom = SlopeFrom::Output;
    const SPREAD: Spread = Spread::Halves;
    const LEAK: Option<f32> = Some(LEAK);
    const VALUE_BOUND: Bound = Bound::ulp(1.0);
    const SLOPE_BOUND: Bound = Bound::ulp(0.5);

    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        // In this order NaN passes.
        s.max(s.mul(x, s.splat(LEAK)), x)
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, y: S::V) -> S::V {
        s.select(s.lt(s.splat(0.0), y), s.splat(1.0), s.splat(LEAK))
    }
    fn oracle(x: f64) -> f64 {
        if x > 0.0 { x } else { 0.01 * x }
    }
    fn oracle_slope(x: f64) -> f64 {
        if x > 0.0 { 1.0 } else { 0.01 }
    }
}
