use super::{Elementwise, LossOp, Target};
use crate::hyper::{MAX, Values};
use crate::simd::Simd;
use crate::unary::exp::exp_neg_abs;
use crate::unary::exp::ln_1p;

pub(super) struct Bce;

impl LossOp for Bce {
    const NAME: &'static str = "bce";
    const DOC: &'static str = "−y·ln p − (1 − y)·ln(1 − p), binary cross-entropy";
    const TARGET: Target = Target::Probability;
}

/// PyTorch's limits: logarithms are not below −100, the slope's denominator
/// not below 1e-12.
const LEAST_LOG: f32 = -100.0;
const LEAST_DENOMINATOR: f32 = 1e-12;

impl Elementwise for Bce {
    #[inline(always)]
    fn value_slope<S: Simd>(s: S, _: &[f32; MAX], p: S::V, y: S::V) -> (S::V, S::V) {
        let one = s.splat(1.0);
        let q = s.sub(one, p);
        // In this order NaN passes.
        let ln = |v: S::V| s.max(s.splat(LEAST_LOG), s.map(v, f32::ln));
        let value = s.neg(s.mul_add(y, ln(p), s.mul(s.sub(one, y), ln(q))));
        let denominator = s.max(s.splat(LEAST_DENOMINATOR), s.mul(p, q));
        (value, s.div(s.sub(p, y), denominator))
    }
    fn oracle(_: &Values, p: f64, y: f64) -> (f64, f64) {
        let ln = |v: f64| v.ln().max(f64::from(LEAST_LOG));
        let value = -y * ln(p) - (1.0 - y) * ln(1.0 - p);
        (value, (p - y) / (p * (1.0 - p)).max(f64::from(LEAST_DENOMINATOR)))
    }
}

/// The loss of p = sigmoid(z) and its slope by z, which is p − y: neither
/// cancels nor overflows, however large z is.
#[inline(always)]
pub(crate) fn of_logit<S: Simd>(s: S, z: S::V, y: S::V) -> (S::V, S::V) {
    // softplus(z) − z·y, with e = e^−|z| shared with the sigmoid.
    let e = exp_neg_abs(s, z);
    let zero = s.splat(0.0);
    let one = s.splat(1.0);
    let value = s.add(s.neg_mul_add(z, y, s.max(zero, z)), ln_1p(s, e));
    let numerator = s.select(s.lt(z, zero), e, one);
    (value, s.sub(s.div(numerator, s.add(one, e)), y))
}
