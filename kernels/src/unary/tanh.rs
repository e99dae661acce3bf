use super::exp::r_coth_r;
use super::{Bound, SlopeFrom, UnaryOp};
use crate::simd::Simd;
use std::f32::consts::{LN_2, LOG2_E};

pub(crate) struct Tanh;

impl UnaryOp for Tanh {
    const NAME: &'static str = "tanh";
    const DOC: &'static str = "tanh x";
    const SLOPE: SlopeFrom = SlopeFrom::Output;
    /// Over all floats 2.37 with and without fused multiply-add.
    const VALUE_BOUND: Bound = Bound::ulp(2.5);
    /// 1 − y² of a y that is off by up to 2.5 ULP of 2⁻²⁴ where it is close to
    /// ±1, which counts twice.
    const SLOPE_BOUND: Bound = Bound::ulp_or(4.0, 3.0e-7);
    const CHAINS: usize = 2;

    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        // |x| = n·½ln 2 + r; tanh |x| rounds to 1 from 9.01 on. The nearest
        // float to ln 2 is off by 1/30 ULP, too little to need a second part.
        let magnitude = s.min(s.splat(9.1), s.abs(x));
        let (n, power) = s.round_to_power(magnitude, 2.0 * LOG2_E, 0.0);
        let r = s.neg_mul_add(n, s.splat(0.5 * LN_2), magnitude);
        let c = r_coth_r(s, r, 1.0);
        // With p = 2ⁿ and r/c = tanh r the sum's tanh is that of
        // (p − 1)·c + (p + 1)·r and (p + 1)·c + (p − 1)·r; their difference is
        // 2·(c − r).
        let less = s.sub(power, s.splat(1.0));
        let numerator = s.mul_add(less, c, s.mul_add(power, r, r));
        let denominator = s.mul_add(s.splat(2.0), s.sub(c, r), numerator);
        s.div(numerator, s.signed(denominator, x))
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
