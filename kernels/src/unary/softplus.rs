use super::exp::{exp_m1, exp_neg_abs, ln_1p};
use super::{Bound, SlopeFrom, Spread, UnaryOp};
use crate::simd::Simd;

pub(super) struct Softplus;

/// ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|)
#[inline(always)]
pub(crate) fn softplus<S: Simd>(s: S, x: S::V) -> S::V {
    s.add(s.max(s.splat(0.0), x), ln_1p(s, exp_neg_abs(s, x)))
}

impl UnaryOp for Softplus {
    const NAME: &'static str = "softplus";
    const DOC: &'static str = "ln(1 + eˣ)";
    const SLOPE: SlopeFrom = SlopeFrom::Output;
    const SPREAD: Spread = Spread::Halves;
    const VALUE_BOUND: Bound = Bound::ulp(3.0);
    /// The error of y goes on into it: over all floats 4.01 with fused
    /// multiply-add.
    const SLOPE_BOUND: Bound = Bound::ulp_or(4.5, 1.0e-37);

    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        softplus(s, x)
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, y: S::V) -> S::V {
        // sigmoid(x) = 1 − e^−softplus(x)
        s.neg(exp_m1(s, s.neg(y)))
    }
    fn oracle(x: f64) -> f64 {
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    }
    fn oracle_slope(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }
}
