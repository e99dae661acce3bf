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
mod sum;

pub(crate) use cross_entropy::{Softmax, softmax_cross_entropy_on};
pub use cross_entropy::{cross_entropy, softmax, softmax_backward, softmax_cross_entropy};
pub use sum::LossSum;

use crate::hyper::{Hyper, MAX, Values, defaults};
use crate::layout::Tile;
use crate::simd::{Host, Isa, Op, Simd, Vectors, each_vector};
use std::marker::PhantomData;
use sum::Total;

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
            #[inline(always)]
            pub(crate) fn with<W: WithElementwise>(self, with: W) -> W::Output {
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
pub(crate) trait WithElementwise {
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
    ) -> LossSum {
        self.run(Gradient { on: isa, tile, p, y, scale, grad, through: false })
    }

    /// [`Loss::gradient`].
    #[inline(always)]
    pub(crate) fn run<T: Total>(&self, of: Gradient<'_, impl Host>) -> T {
        let Gradient { tile, p, y, ref grad, .. } = of;
        assert!(tile.rows <= tile.width);
        assert!(p.len() == y.len() && p.len() == grad.len() && p.len().is_multiple_of(tile.width));
        self.kind.with(Told(of, self.hyper.map(|x| x as f32), PhantomData))
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

/// What an elementwise loss does with a vector: x is the prediction, or what
/// it is computed from.
trait Step {
    /// Whether the derivative is multiplied by what lies in its place.
    #[inline(always)]
    fn through(&self) -> bool {
        false
    }
    /// The loss of every lane, and its scaled derivative by x.
    fn step<S: Simd>(&self, s: S, x: S::V, y: S::V) -> (S::V, S::V);
}

/// out ← the derivative by x for the rows of a tile, 0 for its padding;
/// returns the sum of the losses.
///
/// # Safety
/// `x` and `y` must be valid for reading `len` f32, `out` for reading and
/// writing them;
/// `x` may be `out`. `len` is a multiple of the tile's width, which is at least
/// its rows.
#[inline(always)]
unsafe fn each_row<S: Simd, T: Total>(
    s: S,
    tile: Tile,
    len: usize,
    [x, y]: [*const f32; 2],
    out: *mut f32,
    step: impl Step,
) -> T {
    let mut pass = Rows { x, y, out, room: 0, step, total: T::default() };
    if tile.width == S::LANES {
        // A small network's: what follows would take longer than the loss.
        pass.room = S::LANES;
        for at in (0..len).step_by(S::LANES) {
            // SAFETY: a feature's vector, of which `rows` lanes are live.
            unsafe {
                (pass.x, pass.y, pass.out) = (x.add(at), y.add(at), out.add(at));
                pass.vector::<S, false>(s, 0, tile.rows);
            }
        }
        return pass.total;
    }
    let features = len / tile.width;
    // Panels without padding are one run of elements, where no pair of vectors is of
    // two features.
    let pairs = tile.panel.is_multiple_of(2 * S::LANES);
    let whole = if pairs { tile.rows - tile.rows % tile.panel } else { 0 };
    // SAFETY: the panels lie within the tile one behind the other, and the
    // caller vouches for all of it; each feature of a panel has `width`
    // elements, of which `rows` are live.
    unsafe {
        each_vector(s, whole * features, &mut pass);
        for panel in tile.panels().skip_while(|panel| panel.first < whole) {
            for feature in panel.of(features).step_by(panel.width) {
                (pass.x, pass.y, pass.out) = (x.add(feature), y.add(feature), out.add(feature));
                pass.room = panel.width;
                each_vector(s, panel.rows, &mut pass);
                let filled = panel.rows.next_multiple_of(S::LANES);
                let filled = if filled <= panel.width { filled } else { panel.rows };
                for padding in filled..panel.width {
                    pass.out.add(padding).write(0.0);
                }
            }
        }
    }
    pass.total
}

/// Elements that are rows of the batch.
struct Rows<F, T> {
    x: *const f32,
    y: *const f32,
    out: *mut f32,
    /// Elements that there are, rows or padding.
    room: usize,
    step: F,
    total: T,
}

impl<F: Step, T: Total> Vectors for Rows<F, T> {
    // See `LossSum`.
    const PAIRS: bool = true;

    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize, n: usize) {
        // SAFETY: the caller says that at + n is within the feature, and
        // where it has room for a vector, padding follows.
        unsafe {
            let (x, y, out) = (self.x.add(at), self.y.add(at), self.out.add(at));
            let padded = !WHOLE && at + S::LANES <= self.room;
            let load = |from| if padded { s.load_ptr(from) } else { s.load_part::<WHOLE>(from, n) };
            let (mut value, mut slope) = self.step.step(s, load(x), load(y));
            if self.step.through() {
                slope = s.mul(slope, load(out));
            }
            if !WHOLE {
                (value, slope) = (first_lanes(s, value, n), first_lanes(s, slope, n));
            }
            match padded {
                true => s.store_ptr(slope, out),
                false => s.store_part::<WHOLE>(slope, out, n),
            }
            self.total.add_lanes(s, value);
        }
    }
}

/// The first `n` < 16 lanes of `v`, zeros behind them.
#[inline(always)]
fn first_lanes<S: Simd>(s: S, v: S::V, n: usize) -> S::V {
    const NUMBERS: [f32; 16] =
        [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];
    s.select(s.lt(s.load(&NUMBERS), s.splat(n as f32)), v, s.splat(0.0))
}

/// What [`Loss::gradient`] takes.
pub(crate) struct Gradient<'a, H> {
    pub(crate) on: H,
    pub(crate) tile: Tile,
    pub(crate) p: &'a [f32],
    pub(crate) y: &'a [f32],
    pub(crate) scale: f32,
    pub(crate) grad: &'a mut [f32],
    /// Whether grad is multiplied by what it holds: the slope of what has
    /// computed p.
    pub(crate) through: bool,
}

/// With the loss's hyperparameters.
struct Told<'a, H, T>(Gradient<'a, H>, [f32; MAX], PhantomData<T>);

impl<H: Host, T: Total> WithElementwise for Told<'_, H, T> {
    type Output = T;
    #[inline(always)]
    fn with<L: Elementwise>(self) -> T {
        let Told(Gradient { on, tile, p, y, scale, grad, through }, hyper, _) = self;
        let of = Gradient { on: (), tile, p, y, scale, grad, through };
        on.run(OfLoss::<L, T>(Told(of, hyper, PhantomData), PhantomData))
    }
}

/// An operation of one elementwise loss.
struct OfLoss<'a, L, T>(Told<'a, (), T>, PhantomData<L>);

impl<L: Elementwise, T: Total> Op for OfLoss<'_, L, T> {
    type Output = T;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> T {
        let Told(Gradient { tile, p, y, scale, grad, through, .. }, hyper, _) = self.0;
        let (len, inputs, out) = (p.len(), [p.as_ptr(), y.as_ptr()], grad.as_mut_ptr());
        let step = Plain::<L> { hyper, scale, through, of: PhantomData };
        // SAFETY: `Loss::run` has checked the lengths.
        unsafe { each_row(s, tile, len, inputs, out, step) }
    }
}

/// A loss of predictions.
struct Plain<L> {
    hyper: [f32; MAX],
    scale: f32,
    through: bool,
    of: PhantomData<L>,
}

impl<L: Elementwise> Step for Plain<L> {
    #[inline(always)]
    fn through(&self) -> bool {
        self.through
    }
    #[inline(always)]
    fn step<S: Simd>(&self, s: S, p: S::V, y: S::V) -> (S::V, S::V) {
        let (value, slope) = L::value_slope(s, &self.hyper, p, y);
        (value, s.mul(slope, s.splat(self.scale)))
    }
}

/// z ← scale · ∂(Σ bce)/∂z of the sigmoid of z against targets `y`, both tiles of
/// one shape, padding lanes 0. Returns Σ loss over the rows, unscaled.
///
/// # Panics
/// Where the lengths differ.
pub fn sigmoid_bce(isa: Isa, tile: Tile, z: &mut [f32], y: &[f32], scale: f32) -> LossSum {
    sigmoid_bce_on(isa, tile, z, y, scale)
}

#[inline(always)]
pub(crate) fn sigmoid_bce_on<T: Total>(
    on: impl Host,
    tile: Tile,
    z: &mut [f32],
    y: &[f32],
    scale: f32,
) -> T {
    assert!(tile.rows <= tile.width);
    assert!(z.len() == y.len() && z.len().is_multiple_of(tile.width));
    on.run(SigmoidBce { tile, z, y, scale, total: PhantomData })
}

struct SigmoidBce<'a, T> {
    tile: Tile,
    z: &'a mut [f32],
    y: &'a [f32],
    scale: f32,
    total: PhantomData<T>,
}

impl<T: Total> Op for SigmoidBce<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> T {
        let SigmoidBce { tile, z, y, scale, .. } = self;
        let (len, out) = (z.len(), z.as_mut_ptr());
        let inputs = [out.cast_const(), y.as_ptr()];
        // SAFETY: `sigmoid_bce` has checked the lengths.
        unsafe { each_row(s, tile, len, inputs, out, OfLogit { scale }) }
    }
}

/// Binary cross-entropy of the sigmoid of x.
struct OfLogit {
    scale: f32,
}

impl Step for OfLogit {
    #[inline(always)]
    fn step<S: Simd>(&self, s: S, z: S::V, y: S::V) -> (S::V, S::V) {
        let (value, slope) = bce::of_logit(s, z, y);
        (value, s.mul(slope, s.splat(self.scale)))
    }
}
