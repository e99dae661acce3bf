use super::{Coefficients, OptimOp, adam};
use crate::hyper::{Hyper, Values};
use crate::simd::Simd;

#[derive(Clone, Copy)]
pub(super) struct AdamW;

impl OptimOp for AdamW {
    const NAME: &'static str = "adamw";
    const RATE: f64 = 0.001;
    const HYPERS: &'static [Hyper] = &adam::hypers(0.01);
    const DOC: &'static str =
        "Adam with decoupled weight decay: p ← p·(1 − rate·decay) (Loshchilov and Hutter 2019)";

    fn state(_: &Values) -> usize {
        2
    }
    fn coefficients(rate: f64, hyper: &Values, step: u64) -> Coefficients {
        adam::coefficients(rate, hyper, step, 1.0 - rate * hyper[3], 0.0)
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
        adam::update(s, c, s.mul(p, c[5]), g, m, v)
    }
    fn oracle(rate: f64, hyper: &Values, step: u64, p: f64, g: f64, state: &mut [f64; 2]) -> f64 {
        adam::oracle(rate, hyper, step, p * (1.0 - rate * hyper[3]), g, state)
    }
}
