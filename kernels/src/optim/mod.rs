//! Optimizers: one pass over parameters, gradient and state.
//!
//! Meanings and defaults are PyTorch's (`torch.optim`), pinned by the
//! reference vectors in the project's tests. `weight_decay` acts on weights
//! and biases alike.

mod adagrad;
mod adam;
mod adamw;
mod rmsprop;
mod sgd;

use crate::hyper::{Hyper, MAX, Values, defaults};
use crate::simd::Simd;

/// Scalars of one step, made once by [`OptimOp::coefficients`].
pub type Coefficients = [f32; 8];

/// What an optimizer is made of; a file of this folder each.
pub trait OptimOp {
    /// The word of the language.
    const NAME: &'static str;
    /// The learning rate where the text gives none.
    const RATE: f64;
    /// What it can be told beside the learning rate.
    const HYPERS: &'static [Hyper];
    /// One line of documentation.
    const DOC: &'static str;
    /// Numbers of state that it keeps a parameter, at most 2.
    const STATE: usize;

    /// The scalars of step `step` (counted from 1), computed in f64.
    fn coefficients(rate: f64, hyper: &Values, step: u64) -> Coefficients;
    /// One vector: parameter `p`, gradient `g`, state `m` and `v` (zeros
    /// before the first step; untouched where not kept). Returns the new
    /// parameter and state.
    fn update<S: Simd>(
        s: S,
        c: &[S::V; 8],
        p: S::V,
        g: S::V,
        m: S::V,
        v: S::V,
    ) -> (S::V, S::V, S::V);
    /// The same for one number, in f64 and straight from the definition.
    fn oracle(
        rate: f64,
        hyper: &Values,
        step: u64,
        p: f64,
        g: f64,
        state: &mut [f64; 2],
    ) -> f64;
}

macro_rules! optimizers {
    ($($file:ident::$Name:ident),* $(,)?) => {
        /// The optimizers of the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum OptimizerKind { $(#[doc = <$file::$Name as OptimOp>::DOC] $Name),* }

        impl OptimizerKind {
            /// All of them.
            pub const ALL: &[OptimizerKind] = &[$(OptimizerKind::$Name),*];

            /// The word of the language.
            pub fn name(self) -> &'static str {
                match self { $(OptimizerKind::$Name => $file::$Name::NAME),* }
            }

            /// The learning rate where the text gives none.
            pub fn default_rate(self) -> f64 {
                match self { $(OptimizerKind::$Name => $file::$Name::RATE),* }
            }

            /// What it can be told beside the learning rate.
            pub fn hypers(self) -> &'static [Hyper] {
                match self { $(OptimizerKind::$Name => $file::$Name::HYPERS),* }
            }

            /// One line of documentation.
            pub fn doc(self) -> &'static str {
                match self { $(OptimizerKind::$Name => $file::$Name::DOC),* }
            }

            /// Numbers of state that it keeps a parameter.
            pub fn state(self) -> usize {
                match self { $(OptimizerKind::$Name => $file::$Name::STATE),* }
            }

            /// The optimizer of this name.
            pub fn parse(name: &str) -> Option<OptimizerKind> {
                OptimizerKind::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }
    };
}

optimizers! { sgd::Sgd, adam::Adam, adamw::AdamW, rmsprop::RmsProp, adagrad::Adagrad }

/// An optimizer and what it was told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimizer {
    /// Which one.
    pub kind: OptimizerKind,
    /// The learning rate.
    pub rate: f64,
    /// Its hyperparameters, in the order of [`OptimizerKind::hypers`].
    pub hyper: Values,
}

impl Optimizer {
    /// This optimizer with its default rate and hyperparameters.
    pub fn new(kind: OptimizerKind) -> Self {
        Optimizer { kind, rate: kind.default_rate(), hyper: defaults(kind.hypers()) }
    }
}
