use super::{Elementwise, LossOp, Target};
use crate::hyper::{Hyper, MAX, Range, Values};
use crate::simd::Simd;

pub(super) struct Huber;

impl LossOp for Huber {
    const NAME: &'static str = "huber";
    const HYPERS: &'static [Hyper] = &[Hyper {
        name: "delta",
        default: 1.0,
        range: Range::Positive,
        doc: "where the parabola becomes a line",
    }];
    const DOC: &'static str = "½·d² for |d| ≤ δ, else δ·(|d| − ½·δ), d = p − y";
    const TARGET: Target = Target::Number;
}

impl Elementwise for Huber {
    #[inline(always)]
    fn value_slope<S: Simd>(s: S, hyper: &[f32; MAX], p: S::V, y: S::V) -> (S::V, S::V) {
        // With c = d clamped to ±δ: c·(d − ½·c), and the slope is c.
        let delta = s.splat(hyper[0]);
        let d = s.sub(p, y);
        let c = s.min(delta, s.max(s.neg(delta), d));
        (s.mul(c, s.neg_mul_add(s.splat(0.5), c, d)), c)
    }
    fn oracle(hyper: &Values, p: f64, y: f64) -> (f64, f64) {
        let (delta, d) = (hyper[0], p - y);
        if d.abs() <= delta {
            (0.5 * d * d, d)
        } else {
            (delta * (d.abs() - 0.5 * delta), delta * d.signum())
        }
    }
}
