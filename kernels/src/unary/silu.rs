use super::sigmoid::both_sides;
use super::{Bound, SlopeFrom, Spread, UnaryOp};
use crate::simd::Simd;

pub(super) struct Silu;

impl UnaryOp for Silu {
    const NAME: &'static str = "silu";
    const ALIASES: &'static [&'static str] = &["swish"];
    const DOC: &'static str = "x/(1 + e^−x)";
    const SLOPE: SlopeFrom = SlopeFrom::Input;
    const SPREAD: Spread = Spread::Halves;
    /// Over all floats 3.32 with fused multiply-add. Where the sigmoid is a
    /// denormal, x times it has lost bits.
    const VALUE_BOUND: Bound = Bound::ulp_or(3.5, 1.0e-43);
    /// It passes through 0 at x = −1.2785.
    const SLOPE_BOUND: Bound = Bound::ulp_or(4.0, 2.0e-7);

    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        Self::value_slope(s, x).0
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, x: S::V) -> S::V {
        Self::value_slope(s, x).1
    }
    #[inline(always)]
    fn value_slope<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
        // The limits keep ∞·0 out; sigmoid(−104) is 0 in f32.
        let x = s.max(s.splat(-104.0), x);
        let (sigmoid, complement) = both_sides(s, x);
        let limited = s.min(s.splat(104.0), x);
        let slope = s.mul(sigmoid, s.mul_add(limited, complement, s.splat(1.0)));
        (s.mul(x, sigmoid), slope)
    }
    fn oracle(x: f64) -> f64 {
        if x == f64::NEG_INFINITY { -0.0 } else { x / (1.0 + (-x).exp()) }
    }
    fn oracle_slope(x: f64) -> f64 {
        let sigmoid = 1.0 / (1.0 + (-x).exp());
        let complement = 1.0 / (1.0 + x.exp());
        let product = if sigmoid == 0.0 || complement == 0.0 { 0.0 } else { x * complement };
        sigmoid * (1.0 + product)
    }
}
