use super::{Coefficients, OptimOp};
use crate::hyper::{Hyper, Range, Values};
use crate::simd::Simd;

#[derive(Clone, Copy)]
pub(super) struct RmsProp;

impl OptimOp for RmsProp {
    const NAME: &'static str = "rmsprop";
    const RATE: f64 = 0.01;
    const HYPERS: &'static [Hyper] = &[
        Hyper {
            name: "alpha",
            default: 0.99,
            range: Range::Fraction,
            doc: "decay of the mean of squared gradients",
        },
        Hyper {
            name: "eps",
            default: 1e-8,
            range: Range::Positive,
            doc: "added to the denominator",
        },
        Hyper {
            name: "momentum",
            default: 0.0,
            range: Range::Fraction,
            doc: "share of the last step that is kept",
        },
        super::weight_decay(0.0),
    ];
    const DOC: &'static str = "Tieleman and Hinton 2012 (torch.optim.RMSprop)";

    fn state(_: &Values) -> usize {
        2
    }
    fn coefficients(rate: f64, hyper: &Values, _: u64) -> Coefficients {
        let [alpha, eps, momentum, decay, ..] = *hyper;
        [
            rate as f32,
            (1.0 - alpha) as f32,
            super::divisor(eps, 1.0),
            momentum as f32,
            super::least_square(eps, 1.0),
            0.0,
            0.0,
            decay as f32,
        ]
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
        let v = s.mul_add(c[1], s.sub(s.mul(g, g), v), v);
        let denominator = s.add(s.sqrt(s.max(c[4], v)), c[2]);
        let m = s.mul_add(s.div(s.splat(1.0), denominator), g, s.mul(c[3], m));
        (s.neg_mul_add(c[0], m, p), m, v)
    }
    fn oracle(rate: f64, hyper: &Values, _: u64, p: f64, g: f64, state: &mut [f64; 2]) -> f64 {
        let [alpha, eps, momentum, decay, ..] = *hyper;
        let g = g + decay * p;
        state[1] = alpha * state[1] + (1.0 - alpha) * g * g;
        state[0] = momentum * state[0] + g / (state[1].sqrt() + eps);
        p - rate * state[0]
    }
}
