use super::{Bound, SlopeFrom, UnaryOp};
use crate::simd::Simd;

pub(super) struct Softsign;

impl UnaryOp for Softsign {
    const NAME: &'static str = "softsign";
    const DOC: &'static str = "x/(1 + |x|)";
    const SLOPE: SlopeFrom = SlopeFrom::Output;
    const VALUE_BOUND: Bound = Bound::ulp(1.5);
    /// (1 − |y|)² of a y that is rounded where it is close to ±1.
    const SLOPE_BOUND: Bound = Bound::ulp_or(4.0, 2.0e-7);

    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        // The limit keeps ∞/∞ out; the quotient rounds to ±1 long before.
        let magnitude = s.min(s.splat(f32::MAX), s.abs(x));
        s.copysign(s.div(magnitude, s.add(s.splat(1.0), magnitude)), x)
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, y: S::V) -> S::V {
        let rest = s.sub(s.splat(1.0), s.abs(y));
        s.mul(rest, rest)
    }
    fn oracle(x: f64) -> f64 {
        if x.is_infinite() { x.signum() } else { x / (1.0 + x.abs()) }
    }
    fn oracle_slope(x: f64) -> f64 {
        (1.0 + x.abs()).powi(-2)
    }
}
