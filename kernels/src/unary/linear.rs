use super::{Bound, SlopeFrom, UnaryOp};
use crate::simd::Simd;

pub(super) struct Linear;

impl UnaryOp for Linear {
    const NAME: &'static str = "linear";
    const ALIASES: &'static [&'static str] = &["identity"];
    const DOC: &'static str = "x";
    const SLOPE: SlopeFrom = SlopeFrom::Output;
    const VALUE_BOUND: Bound = Bound::EXACT;
    const SLOPE_BOUND: Bound = Bound::EXACT;

    #[inline(always)]
    fn value<S: Simd>(_: S, x: S::V) -> S::V {
        x
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, _: S::V) -> S::V {
        s.splat(1.0)
    }
    fn oracle(x: f64) -> f64 {
        x
    }
    fn oracle_slope(_: f64) -> f64 {
        1.0
    }
}
