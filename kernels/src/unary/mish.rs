use super::exp::exp_small;
use super::{Bound, SlopeFrom, Spread, UnaryOp};
use crate::simd::Simd;

pub(super) struct Mish;

/// e = eˣ and n = e² + 2e, with which tanh(softplus(x)) = n/(n + 2). From 20
/// on the quotient is 1 in f32, so x is clamped there.
#[inline(always)]
fn parts<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    let e = exp_small(s, s.min(s.splat(20.0), x));
    (e, s.mul(e, s.add(e, s.splat(2.0))))
}

impl UnaryOp for Mish {
    const NAME: &'static str = "mish";
    const DOC: &'static str = "x·tanh(ln(1 + eˣ)) (Misra 2019)";
    const SLOPE: SlopeFrom = SlopeFrom::Input;
    const SPREAD: Spread = Spread::Halves;
    /// Where eˣ is a denormal, x times it has lost bits.
    const VALUE_BOUND: Bound = Bound::ulp_or(5.0, 1.0e-43);
    /// It passes through 0 at x = −1.1925.
    const SLOPE_BOUND: Bound = Bound::ulp_or(6.0, 3.0e-7);

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
        // The slope is n/(n+2) + x·4e(1+e)/(n+2)². The limits keep ∞·0 out;
        // e^−104 is 0 in f32.
        let x = s.max(s.splat(-104.0), x);
        let (e, n) = parts(s, x);
        let inverse = s.div(s.splat(1.0), s.add(n, s.splat(2.0)));
        let tanh = s.mul(n, inverse);
        let half = s.mul(s.add(e, e), inverse);
        let rise = s.mul(half, s.mul(s.add(s.splat(2.0), s.add(e, e)), inverse));
        let slope = s.mul_add(s.min(s.splat(104.0), x), rise, tanh);
        (s.mul(x, tanh), slope)
    }
    fn oracle(x: f64) -> f64 {
        if x == f64::NEG_INFINITY { -0.0 } else { x * softplus(x).tanh() }
    }
    fn oracle_slope(x: f64) -> f64 {
        let tanh = softplus(x).tanh();
        let rise = (1.0 - tanh) * (1.0 + tanh) / (1.0 + (-x).exp());
        tanh + if rise == 0.0 { 0.0 } else { x * rise }
    }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
