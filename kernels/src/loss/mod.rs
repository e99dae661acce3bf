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

pub use cross_entropy::{cross_entropy, softmax, softmax_backward, softmax_cross_entropy};

use crate::hyper::{Hyper, MAX, Values, defaults};
use crate::layout::Tile;
use crate::simd::{Isa, Op, Simd};
use crate::unary::{SlopeFrom, Unary, UnaryOp, WithUnary};
use std::marker::PhantomData;

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
    fn value_slope<S: Simd>(s: S, hyper: &[f32; MAX], p: S::V, y: S::V) -> (S::V, S::V);
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
    (
        elementwise: $($element_file:ident::$Element:ident),*;
        of_rows: $($row_file:ident::$Row:ident),*;
    ) => {
        losses! { @all $($element_file::$Element,)* $($row_file::$Row),* }

        impl LossKind {
            /// Calls `with` with the type of this loss; a loss of rows has none.
            fn with<W: WithElementwise>(self, with: W) -> W::Output {
                match self {
                    $(LossKind::$Element => with.with::<$element_file::$Element>(),)*
                    $(LossKind::$Row => panic!("{} is a loss of rows", self.name()),)*
                }
            }
        }
    };
    (@all $($file:ident::$Name:ident),*) => {
        /// The losses of the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum LossKind { $(#[doc = concat!("See `", stringify!($file), "`; [`Self::doc`] says what it is.")] $Name),* }

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
    elementwise: mse::Mse, mae::Mae, huber::Huber, quantile::Quantile, bce::Bce;
    of_rows: cross_entropy::CrossEntropy;
}

/// Code that is generic over the type of an elementwise loss.
trait WithElementwise {
    type Output;
    fn with<L: Elementwise>(self) -> Self::Output;
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

impl Loss {
    /// An elementwise loss of predictions `p` against targets `y`, both
    /// tiles of one shape: grad ← scale · ∂(Σ loss)/∂p, padding lanes 0.
    /// Returns Σ loss over the rows, unscaled.
    ///
    /// # Panics
    /// Where the lengths differ, or for `cross_entropy`.
    pub fn gradient(
        &self,
        isa: Isa,
        tile: Tile,
        p: &[f32],
        y: &[f32],
        scale: f32,
        grad: &mut [f32],
    ) -> f64 {
        assert!(p.len() == y.len() && p.len() == grad.len() && p.len().is_multiple_of(tile.width));
        let hyper = self.hyper.map(|x| x as f32);
        self.kind.with(Gradient { isa, tile, hyper, p, y, scale, grad })
    }

    /// The same fused with the last activation: z ← scale · ∂(Σ loss)/∂z for
    /// p = f(z).
    ///
    /// # Panics
    /// Where the lengths differ, or for `cross_entropy`.
    pub fn gradient_through(
        &self,
        isa: Isa,
        activation: Unary,
        tile: Tile,
        z: &mut [f32],
        y: &[f32],
        scale: f32,
    ) -> f64 {
        assert!(z.len() == y.len() && z.len().is_multiple_of(tile.width));
        if (self.kind, activation) == (LossKind::Bce, Unary::Sigmoid) {
            return isa.run(SigmoidBce { tile, z, y, scale });
        }
        let hyper = self.hyper.map(|x| x as f32);
        self.kind.with(GradientThrough { isa, activation, tile, hyper, z, y, scale })
    }

    /// An elementwise loss and its slope in f64: the oracle.
    ///
    /// # Panics
    /// For `cross_entropy`.
    pub fn oracle(&self, p: f64, y: f64) -> (f64, f64) {
        struct Oracle<'a>(&'a Values, f64, f64);
        impl WithElementwise for Oracle<'_> {
            type Output = (f64, f64);
            fn with<L: Elementwise>(self) -> (f64, f64) {
                L::oracle(self.0, self.1, self.2)
            }
        }
        self.kind.with(Oracle(&self.hyper, p, y))
    }
}

/// Calls `each(range, live)` for every vector of every feature of a tile:
/// `live` lanes of the range hold rows, the rest is padding.
#[inline(always)]
fn each_vector<S: Simd>(
    _: S,
    tile: Tile,
    len: usize,
    mut each: impl FnMut(std::ops::Range<usize>, usize),
) {
    let features = len / tile.width;
    for panel in tile.panels() {
        for feature in panel.of(features).step_by(panel.width) {
            for lane in (0..panel.width).step_by(S::LANES) {
                let n = S::LANES.min(panel.width - lane);
                let start = feature + lane;
                each(start..start + n, n.min(panel.rows.saturating_sub(lane)));
            }
        }
    }
}

/// Ones in the first `live` lanes, for masking what padding computes.
#[inline(always)]
fn live_lanes<S: Simd>(s: S, live: usize) -> S::V {
    const ONES: [f32; 16] = [1.0; 16];
    s.load_partial(&ONES[..live])
}

struct Gradient<'a> {
    isa: Isa,
    tile: Tile,
    hyper: [f32; MAX],
    p: &'a [f32],
    y: &'a [f32],
    scale: f32,
    grad: &'a mut [f32],
}

impl WithElementwise for Gradient<'_> {
    type Output = f64;
    fn with<L: Elementwise>(self) -> f64 {
        self.isa.run(OfLoss::<L, _>(self, PhantomData))
    }
}

/// An operation of one elementwise loss.
struct OfLoss<L, T>(T, PhantomData<L>);

impl<L: Elementwise> Op for OfLoss<L, Gradient<'_>> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Gradient { tile, hyper, p, y, scale, grad, .. } = self.0;
        let mut total = s.splat(0.0);
        let zero = s.splat(0.0);
        each_vector(s, tile, p.len(), |at, live| {
            let lanes = s.lt(zero, live_lanes(s, live));
            let (value, slope) = L::value_slope(
                s,
                &hyper,
                s.load_partial(&p[at.clone()]),
                s.load_partial(&y[at.clone()]),
            );
            total = s.add(total, s.select(lanes, value, zero));
            let slope = s.select(lanes, s.mul(slope, s.splat(scale)), zero);
            s.store_partial(slope, &mut grad[at]);
        });
        f64::from(s.sum(total))
    }
}

struct GradientThrough<'a> {
    isa: Isa,
    activation: Unary,
    tile: Tile,
    hyper: [f32; MAX],
    z: &'a mut [f32],
    y: &'a [f32],
    scale: f32,
}

impl WithElementwise for GradientThrough<'_> {
    type Output = f64;
    fn with<L: Elementwise>(self) -> f64 {
        self.activation.with(OfLoss::<L, _>(self, PhantomData))
    }
}

impl<L: Elementwise> WithUnary for OfLoss<L, GradientThrough<'_>> {
    type Output = f64;
    fn with<U: UnaryOp>(self) -> f64 {
        self.0.isa.run(OfActivation::<U, _>(self, PhantomData))
    }
}

/// An operation of one activation.
struct OfActivation<U, T>(T, PhantomData<U>);

impl<L: Elementwise, U: UnaryOp> Op for OfActivation<U, OfLoss<L, GradientThrough<'_>>> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let GradientThrough { tile, hyper, z, y, scale, .. } = self.0.0;
        let mut total = s.splat(0.0);
        let zero = s.splat(0.0);
        each_vector(s, tile, z.len(), |at, live| {
            let lanes = s.lt(zero, live_lanes(s, live));
            let sum = s.load_partial(&z[at.clone()]);
            let p = U::value(s, sum);
            let (value, slope) = L::value_slope(s, &hyper, p, s.load_partial(&y[at.clone()]));
            let own = match U::SLOPE {
                SlopeFrom::Output => U::slope(s, p),
                SlopeFrom::Input => U::slope(s, sum),
            };
            total = s.add(total, s.select(lanes, value, zero));
            let slope = s.mul(s.mul(slope, s.splat(scale)), own);
            s.store_partial(s.select(lanes, slope, zero), &mut z[at]);
        });
        f64::from(s.sum(total))
    }
}

struct SigmoidBce<'a> {
    tile: Tile,
    z: &'a mut [f32],
    y: &'a [f32],
    scale: f32,
}

impl Op for SigmoidBce<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let SigmoidBce { tile, z, y, scale } = self;
        let mut total = s.splat(0.0);
        let zero = s.splat(0.0);
        each_vector(s, tile, z.len(), |at, live| {
            let lanes = s.lt(zero, live_lanes(s, live));
            let (value, slope) =
                bce::of_logit(s, s.load_partial(&z[at.clone()]), s.load_partial(&y[at.clone()]));
            total = s.add(total, s.select(lanes, value, zero));
            s.store_partial(s.select(lanes, s.mul(slope, s.splat(scale)), zero), &mut z[at]);
        });
        f64::from(s.sum(total))
    }
}
