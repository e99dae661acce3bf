use super::exp::exp_m1_normal;
use super::{Bound, SlopeFrom, UnaryOp};
use crate::simd::Simd;

pub(super) struct Tanh;

impl UnaryOp for Tanh {
    const NAME: &'static str = "tanh";
    const DOC: &'static str = "tanh x";
    const SLOPE: SlopeFrom = SlopeFrom::Output;
    /// Over all floats 2.42 with and without fused multiply-add.
    const VALUE_BOUND: Bound = Bound::ulp(2.5);
    /// 1 − y² of a y that is off by up to 2.5 ULP of 2⁻²⁴ where it is close to
    /// ±1, which counts twice.
    const SLOPE_BOUND: Bound = Bound::ulp_or(4.0, 3.0e-7);

    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        // tanh |x| = e/(e + 2) with e = e^2|x| − 1; it rounds to 1 from 9.01 on.
        let magnitude = s.min(s.splat(10.0), s.abs(x));
        let e = exp_m1_normal(s, s.add(magnitude, magnitude));
        s.copysign(s.div(e, s.add(e, s.splat(2.0))), x)
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, y: S::V) -> S::V {
        s.neg_mul_add(y, y, s.splat(1.0))
    }
    fn oracle(x: f64) -> f64 {
        x.tanh()
    }
    fn oracle_slope(x: f64) -> f64 {
        1.0 / x.cosh().powi(2)
    }
}
