use super::{Elementwise, LossOp, Target};
use crate::hyper::{MAX, Values};
use crate::simd::Simd;

pub(super) struct Mse;

impl LossOp for Mse {
    const NAME: &'static str = "mse";
    const DOC: &'static str = "(p − y)²";
    const TARGET: Target = Target::Number;
}

impl Elementwise for Mse {
    #[inline(always)]
    fn value_slope<S: Simd>(s: S, _: &[f32; MAX], p: S::V, y: S::V) -> (S::V, S::V) {
        let d = s.sub(p, y);
        (s.mul(d, d), s.add(d, d))
    }
    fn oracle(_: &Values, p: f64, y: f64) -> (f64, f64) {
        ((p - y).powi(2), 2.0 * (p - y))
    }
}
