use super::exp::exp_corrected;
use super::{Bound, SlopeFrom, Spread, UnaryOp};
use crate::simd::Simd;

pub(super) struct Gelu;

/// Φ(x), the normal distribution function, and φ(x), its density.
///
/// For a = |x|: Φ(−a) = e^(−a²/2)·Q(t)/(1 + a) with t = (a − 4)/(a + 4), after
/// Shepherd and Laframboise 1981; Q is a minimax fit over 0 ≤ a ≤ 14.5, where
/// the result leaves the denormals. a² is split so that its rounding error
/// does not grow in the exponential.
#[inline(always)]
fn normal<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    const Q: [f32; 10] = [
        9.254_235e-5,
        7.303_862_4e-4,
        -4.072_548e-4,
        -5.054_191_7e-3,
        1.796_37e-2,
        -3.218_457_5e-2,
        2.859_787_8e-2,
        1.399_863_4e-2,
        -9.670_341e-2,
        4.720_532_3e-1,
    ];
    let one = s.splat(1.0);
    let a = s.min(s.splat(15.0), s.abs(x));
    // Veltkamp: the upper 12 bits of a, whose square is exact.
    let big = s.mul(a, s.splat(4097.0));
    let upper = s.sub(big, s.sub(big, a));
    let half = s.splat(-0.5);
    let high = s.mul(half, s.mul(upper, upper));
    let low = s.mul(half, s.mul(s.sub(a, upper), s.add(a, upper)));
    let e = exp_corrected(s, high, low);
    let four = s.splat(4.0);
    let t = s.div(s.sub(a, four), s.add(a, four));
    let tail = s.div(s.mul(e, s.polynomial(t, Q)), s.add(one, a));
    let negative = s.lt(x, s.splat(0.0));
    let phi = s.mul(e, s.splat(0.398_942_3));
    (s.select(negative, tail, s.sub(one, tail)), phi)
}

impl UnaryOp for Gelu {
    const NAME: &'static str = "gelu";
    const DOC: &'static str = "x·Φ(x), Φ the normal distribution function (the exact form, by erf)";
    const SLOPE: SlopeFrom = SlopeFrom::Input;
    const SPREAD: Spread = Spread::Halves;
    const VALUE_BOUND: Bound = Bound::ulp_or(8.0, 1.0e-37);
    /// It passes through 0 at x = −0.7518.
    const SLOPE_BOUND: Bound = Bound::ulp_or(8.0, 2.0e-7);

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
        // The limits keep ∞·0 out; Φ(−15) is 0 in f32, and so is φ(15).
        let x = s.max(s.splat(-15.0), x);
        let (distribution, density) = normal(s, x);
        let slope = s.mul_add(s.min(s.splat(15.0), x), density, distribution);
        (s.mul(x, distribution), slope)
    }
    fn oracle(x: f64) -> f64 {
        let half_erfc = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
        if half_erfc == 0.0 { -0.0 } else { x * half_erfc }
    }
    fn oracle_slope(x: f64) -> f64 {
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let moment = if density == 0.0 { 0.0 } else { x * density };
        0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) + moment
    }
}
