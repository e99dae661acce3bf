use super::{Elementwise, LossOp, Target};
use crate::hyper::{Hyper, MAX, Range, Values};
use crate::simd::Simd;

pub(super) struct Quantile;

impl LossOp for Quantile {
    const NAME: &'static str = "quantile";
    const HYPERS: &'static [Hyper] = &[Hyper {
        name: "q",
        default: 0.5,
        range: Range::OpenFraction,
        doc: "the quantile that the prediction aims at",
    }];
    const DOC: &'static str =
        "q·(y − p) where y > p, else (1 − q)·(p − y); slope 0 where p = y (pinball loss)";
    const TARGET: Target = Target::Number;
}

impl Elementwise for Quantile {
    #[inline(always)]
    fn value_slope<S: Simd>(s: S, hyper: &[f32; MAX], p: S::V, y: S::V) -> (S::V, S::V) {
        let d = s.sub(p, y);
        let slope = s.select(s.lt(p, y), s.splat(-hyper[0]), s.splat(1.0 - hyper[0]));
        let slope = s.select(s.eq(p, y), s.splat(0.0), slope);
        (s.mul(slope, d), slope)
    }
    fn oracle(hyper: &Values, p: f64, y: f64) -> (f64, f64) {
        let q = hyper[0];
        if y > p {
            (q * (y - p), -q)
        } else if p > y {
            ((1.0 - q) * (p - y), 1.0 - q)
        } else {
            (0.0, 0.0)
        }
    }
}
