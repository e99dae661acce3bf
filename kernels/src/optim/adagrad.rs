use super::{Coefficients, OptimOp};
use crate::hyper::{Hyper, Range, Values};
use crate::simd::Simd;

#[derive(Clone, Copy)]
pub(super) struct Adagrad;

impl OptimOp for Adagrad {
    const NAME: &'static str = "adagrad";
    const RATE: f64 = 0.01;
    const HYPERS: &'static [Hyper] = &[
        Hyper {
            name: "eps",
            default: 1e-10,
            range: Range::Positive,
            doc: "added to the denominator",
        },
        super::weight_decay(0.0),
    ];
    const DOC: &'static str = "Duchi et al. 2011 (torch.optim.Adagrad)";

    fn state(_: &Values) -> usize {
        1
    }
    fn coefficients(rate: f64, hyper: &Values, _: u64) -> Coefficients {
        let [eps, decay, ..] = *hyper;
        let least = super::least_square(eps, 1.0);
        [rate as f32, super::divisor(eps, rate), least, 0.0, 0.0, 0.0, 0.0, decay as f32]
    }
    #[inline(always)]
    fn update<S: Simd, const KEPT: usize>(
        s: S,
        c: &[S::V; 8],
        p: S::V,
        g: S::V,
        m: S::V,
        v: S::V,
    ) -> (S::V, S::V, S::V) {
        let m = s.mul_add(g, g, m);
        let denominator = s.add(s.sqrt(s.max(c[2], m)), c[1]);
        (s.neg_mul_add(s.div(c[0], denominator), g, p), m, v)
    }
    fn oracle(rate: f64, hyper: &Values, _: u64, p: f64, g: f64, state: &mut [f64; 2]) -> f64 {
        let [eps, decay, ..] = *hyper;
        let g = g + decay * p;
        state[0] += g * g;
        p - rate * g / (state[0].sqrt() + eps)
    }
}
