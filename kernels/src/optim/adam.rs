use super::{Coefficients, OptimOp};
use crate::hyper::{Hyper, Range, Values};
use crate::simd::Simd;

#[derive(Clone, Copy)]
pub(super) struct Adam;

/// What Adam and AdamW can be told; they differ in the default decay.
pub(super) const fn hypers(decay: f64) -> [Hyper; 4] {
    [
        Hyper {
            name: "beta1",
            default: 0.9,
            range: Range::Fraction,
            doc: "decay of the mean of gradients",
        },
        Hyper {
            name: "beta2",
            default: 0.999,
            range: Range::Fraction,
            doc: "decay of the mean of squared gradients",
        },
        Hyper {
            name: "eps",
            default: 1e-8,
            range: Range::Positive,
            doc: "added to the denominator",
        },
        super::weight_decay(decay),
    ]
}

/// Scalars of Adam: 1−β₁, 1−β₂, rate/(1−β₁ᵗ), 1/√(1−β₂ᵗ), ε, then what the
/// parameter is multiplied by (`shrink`), the
/// [`least_square`](super::least_square), and what of the parameter is added to the
/// gradient (`decay`).
pub(super) fn coefficients(
    rate: f64,
    hyper: &Values,
    step: u64,
    shrink: f64,
    decay: f64,
) -> Coefficients {
    let [beta1, beta2, eps, ..] = *hyper;
    // ln β ≤ β − 1: below e⁻³⁸ the power is less than half of what 1 loses at the least.
    // (The function takes longer than a small network's update.)
    let step = step as f64;
    let correct = |beta: f64| if step * (1.0 - beta) > 38.0 { 1.0 } else { 1.0 - beta.powf(step) };
    let rate = rate / correct(beta1);
    let scale = 1.0 / correct(beta2).sqrt();
    [
        (1.0 - beta1) as f32,
        (1.0 - beta2) as f32,
        rate as f32,
        scale as f32,
        super::divisor(eps, rate),
        shrink as f32,
        super::least_square(eps, scale),
        decay as f32,
    ]
}

/// One vector of Adam, with the scalars of [`coefficients`].
#[inline(always)]
pub(super) fn update<S: Simd>(
    s: S,
    c: &[S::V; 8],
    p: S::V,
    g: S::V,
    m: S::V,
    v: S::V,
) -> (S::V, S::V, S::V) {
    // m + (1−β)·(g − m) keeps a constant gradient exactly.
    let m = s.mul_add(c[0], s.sub(g, m), m);
    let v = s.mul_add(c[1], s.sub(s.mul(g, g), v), v);
    // The rate is divided, not m, which may be denormal.
    let denominator = s.mul_add(s.sqrt(s.max(c[6], v)), c[3], c[4]);
    (s.neg_mul_add(s.div(c[2], denominator), m, p), m, v)
}

/// One number of Adam without weight decay.
pub(super) fn oracle(
    rate: f64,
    hyper: &Values,
    step: u64,
    p: f64,
    g: f64,
    state: &mut [f64; 2],
) -> f64 {
    let [beta1, beta2, eps, ..] = *hyper;
    state[0] = beta1 * state[0] + (1.0 - beta1) * g;
    state[1] = beta2 * state[1] + (1.0 - beta2) * g * g;
    let mean = state[0] / (1.0 - beta1.powf(step as f64));
    let square = state[1] / (1.0 - beta2.powf(step as f64));
    p - rate * mean / (square.sqrt() + eps)
}

impl OptimOp for Adam {
    const NAME: &'static str = "adam";
    const RATE: f64 = 0.001;
    const HYPERS: &'static [Hyper] = &hypers(0.0);
    const DOC: &'static str = "Kingma and Ba 2015; weight_decay is added to the gradient";

    fn state(_: &Values) -> usize {
        2
    }
    fn coefficients(rate: f64, hyper: &Values, step: u64) -> Coefficients {
        coefficients(rate, hyper, step, 1.0, hyper[3])
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
        update(s, c, p, g, m, v)
    }
    fn oracle(rate: f64, hyper: &Values, step: u64, p: f64, g: f64, state: &mut [f64; 2]) -> f64 {
        oracle(rate, hyper, step, p, g + hyper[3] * p, state)
    }
}
