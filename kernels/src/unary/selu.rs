use super::exp::exp_m1;
use super::{Bound, SlopeFrom, Spread, UnaryOp};
use crate::simd::Simd;

pub(super) struct Selu;

/// λ and α of Klambauer et al. 2017, "Self-Normalizing Neural Networks".
const SCALE: f64 = 1.050_700_987_355_480_5;
const ALPHA: f64 = 1.673_263_242_354_377_2;

impl UnaryOp for Selu {
    const NAME: &'static str = "selu";
    const DOC: &'static str = "λ·x for x > 0, else λ·α·(eˣ − 1), λ = 1.0507…, α = 1.6733…";
    const SLOPE: SlopeFrom = SlopeFrom::Output;
    const SPREAD: Spread = Spread::Normalizes;
    const VALUE_BOUND: Bound = Bound::ulp(3.0);
    /// y + λα of a y that is rounded where it is close to −λα.
    const SLOPE_BOUND: Bound = Bound::ulp_or(3.0, 3.0e-7);

    #[inline(always)]
    fn value<S: Simd>(s: S, x: S::V) -> S::V {
        let zero = s.splat(0.0);
        let left = s.mul(s.splat((SCALE * ALPHA) as f32), exp_m1(s, s.min(zero, x)));
        // One of the two is 0.
        s.mul_add(s.splat(SCALE as f32), s.max(zero, x), left)
    }
    #[inline(always)]
    fn slope<S: Simd>(s: S, y: S::V) -> S::V {
        let left = s.add(y, s.splat((SCALE * ALPHA) as f32));
        s.select(s.lt(s.splat(0.0), y), s.splat(SCALE as f32), left)
    }
    fn oracle(x: f64) -> f64 {
        SCALE * if x > 0.0 { x } else { ALPHA * x.exp_m1() }
    }
    fn oracle_slope(x: f64) -> f64 {
        SCALE * if x > 0.0 { 1.0 } else { ALPHA * x.exp() }
    }
}
