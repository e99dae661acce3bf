//! Losses and their gradients.
//!
//! A loss is a mean: of the elements for the elementwise ones, of the rows
//! for `cross_entropy`; so are PyTorch's (`torch.nn.MSELoss` and its kin with
//! `reduction="mean"`). The gradients here are those of the sum; the caller
//! scales by 1/n.

mod bce;
mod cross_entropy;
mod huber;
mod mae;
mod mse;
mod quantile;

use crate::hyper::{Hyper, Values, defaults};
use crate::simd::Simd;

/// What a loss is made of; a file of this folder each.
pub trait LossOp {
    /// The word of the language.
    const NAME: &'static str;
    /// What it can be told.
    const HYPERS: &'static [Hyper] = &[];
    /// One line of documentation: the formula.
    const DOC: &'static str;
    /// What the target is.
    const TARGET: Target;
}

/// A loss that is a sum over elements of a function of prediction and target.
pub trait Elementwise: LossOp {
    /// The element's loss and its derivative by the prediction `p`.
    fn value_slope<S: Simd>(s: S, hyper: &[f32; crate::hyper::MAX], p: S::V, y: S::V)
    -> (S::V, S::V);
    /// The same in f64.
    fn oracle(hyper: &Values, p: f64, y: f64) -> (f64, f64);
}

/// What a loss compares a prediction with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A number an output.
    Number,
    /// A number from 0 to 1 an output: the probability of "yes".
    Probability,
    /// The index of the right output.
    Class,
}

macro_rules! losses {
    ($($file:ident::$Name:ident),* $(,)?) => {
        /// The losses of the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum LossKind { $(#[doc = <$file::$Name as LossOp>::DOC] $Name),* }

        impl LossKind {
            /// All of them.
            pub const ALL: &[LossKind] = &[$(LossKind::$Name),*];

            /// The word of the language.
            pub fn name(self) -> &'static str {
                match self { $(LossKind::$Name => $file::$Name::NAME),* }
            }

            /// What it can be told.
            pub fn hypers(self) -> &'static [Hyper] {
                match self { $(LossKind::$Name => $file::$Name::HYPERS),* }
            }

            /// Its formula.
            pub fn doc(self) -> &'static str {
                match self { $(LossKind::$Name => $file::$Name::DOC),* }
            }

            /// What its target is.
            pub fn target(self) -> Target {
                match self { $(LossKind::$Name => $file::$Name::TARGET),* }
            }

            /// The loss of this name.
            pub fn parse(name: &str) -> Option<LossKind> {
                LossKind::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }
    };
}

losses! {
    mse::Mse, mae::Mae, huber::Huber, quantile::Quantile, bce::Bce, cross_entropy::CrossEntropy,
}

/// A loss and what it was told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Which one.
    pub kind: LossKind,
    /// Its hyperparameters, in the order of [`LossKind::hypers`].
    pub hyper: Values,
}

impl Loss {
    /// This loss with its default hyperparameters.
    pub fn new(kind: LossKind) -> Self {
        Loss { kind, hyper: defaults(kind.hypers()) }
    }
}
