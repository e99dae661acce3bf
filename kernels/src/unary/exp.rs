//! The exponential and its kin, shared by the activations and by softmax.
//!
//! Range reduction and reconstruction are the textbook's (Cody and Waite
//! 1980): x = n·ln 2 + r with |r| ≤ ½·ln 2, eˣ = 2ⁿ·eʳ. ln 2 is split so that
//! n·`LN2_HIGH` is exact (10 bits times 8), with and without fused
//! multiply-add. The polynomials are minimax fits of this project (weighted
//! least squares with Lawson's weights, in 40 digits).

use super::Bound;
use crate::simd::{Isa, Op, Simd, Vectors, each_vector};

const LOG2_E: f32 = std::f32::consts::LOG2_E;
const LN2_HIGH: f32 = 0.693_359_4; // 355/512
const LN2_LOW: f32 = -2.121_944_4e-4;

/// (eʳ − 1 − r)/r² for |r| ≤ ½·ln 2, to 3.7e-9 of eʳ.
const TAIL: [f32; 5] = [1.386_375_7e-3, 8.367_51e-3, 4.166_723_8e-2, 1.666_653_5e-1, 0.5];
/// The same to 2.4e-10 of eʳ − 1.
const TAIL_M1: [f32; 6] =
    [1.984_587_5e-4, 1.394_063_7e-3, 8.333_39e-3, 4.166_636_2e-2, 1.666_666_6e-1, 0.5];

/// x = n·ln 2 + high + low, with high + low of at most ½·ln 2.
struct Reduced<V> {
    n: V,
    /// Exact.
    high: V,
    low: V,
}

#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::V) -> Reduced<S::V> {
    let n = s.round(s.mul(x, s.splat(LOG2_E)));
    Reduced { n, high: s.neg_mul_add(n, s.splat(LN2_HIGH), x), low: s.mul(n, s.splat(-LN2_LOW)) }
}

impl<V: Copy> Reduced<V> {
    /// e^(high + low). Only the polynomial sees the rounded sum of both: the
    /// leading term keeps `high` exact, which is worth ¼ ULP. Estrin's order
    /// of the polynomial is a shorter chain than Horner's.
    #[inline(always)]
    fn exp<S: Simd<V = V>>(&self, s: S) -> V {
        let r = s.add(self.high, self.low);
        let square = s.mul(r, r);
        let [c4, c3, c2, c1, c0] = TAIL;
        let upper = s.mul_add(s.splat(c3), r, s.splat(c2));
        let lower = s.mul_add(s.splat(c1), r, s.splat(c0));
        let tail = s.mul_add(s.mul_add(s.splat(c4), square, upper), square, lower);
        let m1 = s.add(self.high, s.mul_add(square, tail, self.low));
        s.add(s.splat(1.0), m1)
    }

    /// e^(high + low) − 1
    #[inline(always)]
    fn exp_m1<S: Simd<V = V>>(&self, s: S) -> V {
        let r = s.add(self.high, self.low);
        s.mul_add(s.mul(r, r), s.polynomial(r, TAIL_M1), r)
    }
}

/// The largest error of [`apply`], over all f32: 0.903 ULP with fused
/// multiply-add, 0.907 without.
pub const BOUND: Bound = Bound::ulp(1.0);

/// x ← eˣ for every element: e^−∞ = 0, e^∞ = ∞, NaN stays NaN, results may be
/// denormal.
pub fn apply(isa: Isa, x: &mut [f32]) {
    isa.run(Exp(x));
}

struct Exp<'a>(&'a mut [f32]);

impl Op for Exp<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let len = self.0.len();
        // SAFETY: the slice has that length.
        unsafe { each_vector(s, len, &mut self) }
    }
}

impl Vectors for Exp<'_> {
    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize, n: usize) {
        // SAFETY: the caller says that at + n is within the slice.
        unsafe {
            let x = self.0.as_mut_ptr().add(at);
            s.store_part::<WHOLE>(exp(s, s.load_part::<WHOLE>(x, n)), x, n);
        }
    }
}

/// eˣ for every f32, to [`BOUND`].
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // Beyond these the result is 0 or ∞ whatever x is; NaN passes both.
    let x = s.max(s.splat(-104.0), x);
    let x = s.min(s.splat(89.0), x);
    let reduced = reduce(s, x);
    s.scale(reduced.exp(s), reduced.n)
}

/// The same for x ≤ 60, at less cost.
#[inline(always)]
pub(crate) fn exp_small<S: Simd>(s: S, x: S::V) -> S::V {
    let reduced = reduce(s, s.max(s.splat(-104.0), x));
    s.scale_small(reduced.exp(s), reduced.n)
}

/// e^−|x|, which never overflows, as good as [`exp`].
#[inline(always)]
pub(crate) fn exp_neg_abs<S: Simd>(s: S, x: S::V) -> S::V {
    exp_small(s, s.neg(s.abs(x)))
}

/// e^(x + low) for x ≤ 0 and a correction `low` of at most 0.1.
#[inline(always)]
pub(crate) fn exp_corrected<S: Simd>(s: S, x: S::V, low: S::V) -> S::V {
    let mut reduced = reduce(s, s.max(s.splat(-104.0), x));
    reduced.low = s.add(reduced.low, low);
    s.scale_small(reduced.exp(s), reduced.n)
}

/// eˣ − 1 for x ≤ 88, without cancellation near 0; at most 1.5 ULP.
#[inline(always)]
pub(crate) fn exp_m1<S: Simd>(s: S, x: S::V) -> S::V {
    // Below, −1 is the nearest.
    let reduced = reduce(s, s.max(s.splat(-80.0), x));
    let power = s.power_of_two(reduced.n);
    // 2ⁿ·(eʳ − 1) + (2ⁿ − 1); both products are exact.
    s.mul_add(power, reduced.exp_m1(s), s.sub(power, s.splat(1.0)))
}

/// (r·coth r − 1)/r² for |r| ≤ ¼·ln 2, to 2⁻²⁸ of r·coth r.
const COTH: [f32; 2] = [-2.213_358_4e-2, 0.333_332_5];

/// c = r·coth r for |r| ≤ ¼·ln 2: tanh r is r/c, and e²ʳ is (c + r)/(c − r).
/// Where there is a division anyway, that takes half of the time of a
/// polynomial. Both r and c come multiplied by `scale`, a power of two.
#[inline(always)]
pub(super) fn r_coth_r<S: Simd>(s: S, r: S::V, scale: f32) -> S::V {
    let [second, first] = COTH;
    let square = s.mul(r, r);
    let first = s.splat(first / scale);
    let sum = s.mul_add(s.splat(second / (scale * scale * scale)), square, first);
    s.mul_add(square, sum, s.splat(scale))
}

/// 1/(1 + e^−x), at most 2.5 ULP over all f32, denormals too.
///
/// With x = n·ln 2 + 2r and c = r·coth r it is 2ⁿ·(c + r), divided by that and
/// c − r. Both come multiplied by 2²⁴, so that denormals are rounded once.
#[inline(always)]
pub(super) fn logistic<S: Simd>(s: S, x: S::V) -> S::V {
    // Beyond these the result is 0 or 1; NaN passes both.
    let x = s.min(s.splat(40.0), x);
    let x = s.max(s.splat(-104.0), x);
    let (n, power) = s.round_to_power(x, LOG2_E, 24.0);
    let high = s.neg_mul_add(n, s.splat(LN2_HIGH), x);
    let r = s.neg_mul_add(n, s.splat(LN2_LOW), high);
    let c = r_coth_r(s, r, 2.0);
    let numerator = s.mul(power, s.add(c, r));
    s.div(numerator, s.mul_add(s.sub(c, r), s.splat(16_777_216.0), numerator))
}

/// ln(1 + u) for 0 ≤ u ≤ 1, by 2·artanh(u/(2+u)); at most 2 ULP.
#[inline(always)]
pub(crate) fn ln_1p<S: Simd>(s: S, u: S::V) -> S::V {
    let t = s.div(u, s.add(s.splat(2.0), u));
    let square = s.mul(t, t);
    let t = s.add(t, t);
    s.mul_add(s.mul(t, square), s.polynomial(square, ARTANH), t)
}

/// (artanh t / t − 1)/t² for t² ≤ 1/9.
const ARTANH: [f32; 4] = [0.140_152_96, 0.139_989_96, 0.200_108_81, 0.333_332_06];

/// ln a for positive normal a; NaN stays NaN. At most 2 ULP.
#[inline(always)]
pub(crate) fn ln<S: Simd>(s: S, a: S::V) -> S::V {
    let (m, e) = s.mantissa_exponent(a);
    // a = 2ᵉ·m with m from ¾ to 1½.
    let large = s.lt(s.splat(1.5), m);
    let one = s.splat(1.0);
    let m = s.select(large, s.mul(m, s.splat(0.5)), m);
    let e = s.select(large, s.add(e, one), e);
    let f = s.sub(m, one);
    let t = s.div(f, s.add(s.splat(2.0), f));
    let square = s.mul(t, t);
    let t = s.add(t, t);
    let low = s.mul_add(s.mul(t, square), s.polynomial(square, ARTANH), s.mul(e, s.splat(LN2_LOW)));
    let nan = s.sub(a, a);
    s.add(s.add(s.mul_add(e, s.splat(LN2_HIGH), t), low), nan)
}
