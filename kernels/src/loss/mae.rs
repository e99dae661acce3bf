use super::{Elementwise, LossOp, Target};
use crate::hyper::{MAX, Values};
use crate::simd::Simd;

pub(super) struct Mae;

impl LossOp for Mae {
    const NAME: &'static str = "mae";
    const DOC: &'static str = "|p − y|; slope 0 where p = y";
    const TARGET: Target = Target::Number;
}

impl Elementwise for Mae {
    #[inline(always)]
    fn value_slope<S: Simd>(s: S, _: &[f32; MAX], p: S::V, y: S::V) -> (S::V, S::V) {
        let d = s.sub(p, y);
        let sign = s.select(s.eq(p, y), s.splat(0.0), s.copysign(s.splat(1.0), d));
        (s.abs(d), sign)
    }
    fn oracle(_: &Values, p: f64, y: f64) -> (f64, f64) {
        ((p - y).abs(), if p == y { 0.0 } else { (p - y).signum() })
    }
}
