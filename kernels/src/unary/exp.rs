//! The exponential and its kin, shared by the activations and by softmax.
//!
//! Range reduction and reconstruction are the textbook's (Cody and Waite
//! 1980): x = n·ln 2 + r with |r| ≤ ½·ln 2, eˣ = 2ⁿ·eʳ. ln 2 is split so that
//! n·`LN2_HIGH` is exact (10 bits times 8), with and without fused
//! multiply-add. The polynomials are minimax fits of this project (weighted
//! least squares with Lawson's weights, in 40 digits).

use crate::simd::Simd;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
const LN2_HIGH: f32 = 0.693_359_4; // 355/512
const LN2_LOW: f32 = -2.121_944_4e-4;

/// (eʳ − 1 − r)/r² for |r| ≤ ½·ln 2, to 2.4e-10 of eʳ − 1.
const TAIL: [f32; 6] =
    [1.984_587_5e-4, 1.394_063_7e-3, 8.333_39e-3, 4.166_636_2e-2, 1.666_666_6e-1, 0.5];

/// n and r of x = n·ln 2 + r.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    let n = s.round(s.mul(x, s.splat(LOG2_E)));
    let r = s.neg_mul_add(n, s.splat(LN2_HIGH), x);
    (n, s.neg_mul_add(n, s.splat(LN2_LOW), r))
}

/// eʳ − 1 for |r| ≤ ½·ln 2.
#[inline(always)]
fn exp_m1_reduced<S: Simd>(s: S, r: S::V) -> S::V {
    let tail = s.polynomial(r, TAIL);
    s.mul_add(s.mul(r, r), tail, r)
}

/// eˣ for every f32: at most 1 ULP (1.5 without fused multiply-add), denormal
/// results included; e^−∞ = 0, e^∞ = ∞, NaN stays NaN.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // Beyond these the result is 0 or ∞ whatever x is; NaN passes both.
    let x = s.max(s.splat(-104.0), x);
    let x = s.min(s.splat(89.0), x);
    let (n, r) = reduce(s, x);
    s.scale(s.add(s.splat(1.0), exp_m1_reduced(s, r)), n)
}

/// e^(x + low) for x ≤ 0 and a correction `low` of at most 0.1.
#[inline(always)]
pub(crate) fn exp_corrected<S: Simd>(s: S, x: S::V, low: S::V) -> S::V {
    let x = s.max(s.splat(-104.0), x);
    let (n, r) = reduce(s, x);
    s.scale(s.add(s.splat(1.0), exp_m1_reduced(s, s.add(r, low))), n)
}

/// eˣ − 1 for x ≤ 88, without cancellation near 0; at most 1.5 ULP.
#[inline(always)]
pub(crate) fn exp_m1<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.max(s.splat(-104.0), x);
    let (n, r) = reduce(s, x);
    let power = s.scale(s.splat(1.0), n);
    // 2ⁿ·(eʳ − 1) + (2ⁿ − 1); both products are exact.
    s.mul_add(power, exp_m1_reduced(s, r), s.sub(power, s.splat(1.0)))
}

/// ln(1 + u) for 0 ≤ u ≤ 1, by 2·artanh(u/(2+u)); at most 2 ULP.
#[inline(always)]
pub(crate) fn ln_1p<S: Simd>(s: S, u: S::V) -> S::V {
    // (artanh t / t − 1)/t² for t² ≤ 1/9.
    const TAIL: [f32; 4] = [0.140_152_96, 0.139_989_96, 0.200_108_81, 0.333_332_06];
    let t = s.div(u, s.add(s.splat(2.0), u));
    let square = s.mul(t, t);
    let t = s.add(t, t);
    s.mul_add(s.mul(t, square), s.polynomial(square, TAIL), t)
}

/// e^−|x|, which never overflows, clamped as [`exp`] is.
#[inline(always)]
pub(crate) fn exp_neg_abs<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.max(s.splat(-104.0), s.neg(s.abs(x)));
    let (n, r) = reduce(s, x);
    s.scale(s.add(s.splat(1.0), exp_m1_reduced(s, r)), n)
}
