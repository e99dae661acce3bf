use super::{Coefficients, OptimOp};
use crate::hyper::{Hyper, Range, Values};
use crate::simd::Simd;

#[derive(Clone, Copy)]
pub(super) struct Sgd;

impl OptimOp for Sgd {
    const NAME: &'static str = "sgd";
    const RATE: f64 = 0.001;
    const HYPERS: &'static [Hyper] = &[
        Hyper {
            name: "momentum",
            default: 0.0,
            range: Range::Fraction,
            doc: "share of the last step that is kept",
        },
        Hyper {
            name: "nesterov",
            default: 0.0,
            range: Range::Flag,
            doc: "look ahead along the momentum",
        },
        super::weight_decay(0.0),
    ];
    const DOC: &'static str = "gradient descent, with momentum on request (torch.optim.SGD)";

    fn state(hyper: &Values) -> usize {
        usize::from(hyper[0] != 0.0)
    }
    fn coefficients(rate: f64, hyper: &Values, _: u64) -> Coefficients {
        let [momentum, nesterov, decay, ..] = *hyper;
        // The step is rate·(a·g + b·m′) with m′ = momentum·m + g.
        let (a, b) = if nesterov == 1.0 { (1.0, momentum) } else { (0.0, 1.0) };
        [rate as f32, momentum as f32, a as f32, b as f32, 0.0, 0.0, 0.0, decay as f32]
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
        if KEPT == 0 {
            // Without momentum m′ = g, and a + b = 1.
            return (s.neg_mul_add(c[0], g, p), m, v);
        }
        let m = s.mul_add(c[1], m, g);
        let step = s.mul_add(c[3], m, s.mul(c[2], g));
        (s.neg_mul_add(c[0], step, p), m, v)
    }
    fn oracle(rate: f64, hyper: &Values, _: u64, p: f64, g: f64, state: &mut [f64; 2]) -> f64 {
        let [momentum, nesterov, decay, ..] = *hyper;
        let g = g + decay * p;
        state[0] = momentum * state[0] + g;
        let step = if nesterov == 1.0 { g + momentum * state[0] } else { state[0] };
        p - rate * step
    }
}
