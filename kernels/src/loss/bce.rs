use super::{Elementwise, LossOp, Target};
use crate::hyper::{MAX, Values};
use crate::simd::Simd;
use crate::unary::exp::{exp_neg_abs, ln, ln_1p};

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

/// ln p, at least [`LEAST_LOG`]; NaN for negative p.
#[inline(always)]
fn ln_of<S: Simd>(s: S, p: S::V) -> S::V {
    const SCALE: f32 = 16_777_216.0;
    const LN_SCALE: f32 = 16.635_532;
    // A denormal's is that of 2²⁴ times as much, less 24·ln 2; 0 goes with the
    // smallest. In this order NaN passes.
    let least = s.splat(f32::MIN_POSITIVE);
    let small = s.lt(p, least);
    let normal = s.max(least, s.select(small, s.mul(p, s.splat(SCALE)), p));
    let scaled = s.select(small, s.splat(LN_SCALE), s.splat(0.0));
    let ln = s.max(s.splat(LEAST_LOG), s.sub(ln(s, normal), scaled));
    s.select(s.lt(p, s.splat(0.0)), s.splat(f32::NAN), ln)
}

impl Elementwise for Bce {
    #[inline(always)]
    fn value_slope<S: Simd>(s: S, _: &[f32; MAX], p: S::V, y: S::V) -> (S::V, S::V) {
        let one = s.splat(1.0);
        let q = s.sub(one, p);
        let value = s.neg(s.mul_add(y, ln_of(s, p), s.mul(s.sub(one, y), ln_of(s, q))));
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

#[cfg(test)]
mod tests {
    use crate::layout::Tile;
    use crate::loss::{Loss, LossKind};
    use crate::simd::Isa;

    #[test]
    fn logarithms_of_every_kind_of_probability() {
        let loss = Loss::new(LossKind::Bce);
        let value = |isa: Isa, p: f32, y: f32| {
            let (p, y, mut grad) = ([p; 16], [y; 16], [0.0; 16]);
            loss.gradient(isa, Tile::plain(16, 1), &p, &y, 1.0, &mut grad).total()
        };
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            for p in [0.0, 1e-45, 1e-40, f32::MIN_POSITIVE, 1e-20, 0.3, 0.999_999_9, 1.0] {
                for y in [0.0, 0.25, 1.0] {
                    let (exact, _) = loss.oracle(p.into(), y.into());
                    let found = value(isa, p, y);
                    let error = (found - exact).abs();
                    assert!(error <= 2e-6 * exact.max(0.1), "{isa}: {p:e}, {y}: {found}, {exact}");
                }
            }
            for p in [f32::NAN, -0.5, 1.5] {
                assert!(value(isa, p, 0.5).is_nan(), "{isa}: {p}");
            }
        }
    }
}
