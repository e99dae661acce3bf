//! Activations: functions of one number, and their slopes.
//!
//! To add one: a file here that implements [`UnaryOp`], and its name in the
//! list below. Parsing, plans, kernels for every instruction set and the
//! conformance test follow from the list.

mod elu;
mod gelu;
mod leaky_relu;
mod linear;
mod mish;
mod relu;
mod selu;
mod sigmoid;
mod silu;
mod softplus;
mod softsign;
mod tanh;

pub mod exp;

pub(crate) use sigmoid::Sigmoid;
pub(crate) use tanh::Tanh;

use crate::simd::{Host, Isa, Op, Simd, Vectors, each_vector};
use std::marker::PhantomData;

/// What an activation is made of; a file of this folder each.
pub trait UnaryOp {
    /// The word of the language.
    const NAME: &'static str;
    /// Other words for the same.
    const ALIASES: &'static [&'static str] = &[];
    /// One line of documentation: the formula.
    const DOC: &'static str;
    /// What the slope is computed from.
    const SLOPE: SlopeFrom;
    /// What it does to the spread of a signal.
    const SPREAD: Spread = Spread::Keeps;
    /// A rectifier's slope left of 0, where it is one: x for x > 0, else this
    /// much of it. Products compute rectifiers and their slopes on the way.
    const LEAK: Option<f32> = None;
    /// The largest error of `value`, over all f32.
    const VALUE_BOUND: Bound;
    /// The largest error of `slope`, over all f32.
    const SLOPE_BOUND: Bound;
    /// How many vectors [`Unary::apply`] takes at a time: more hide the latency of
    /// a chain of operations, until they no longer fit the registers.
    const CHAINS: usize = 4;

    /// f(x)
    fn value<S: Simd>(s: S, x: S::V) -> S::V;
    /// f′, computed from f(x) or from x as [`Self::SLOPE`] says.
    fn slope<S: Simd>(s: S, v: S::V) -> S::V;
    /// f(x) and f′(x), for a slope that is computed from x. An activation
    /// whose value and slope share work says here how.
    #[inline(always)]
    fn value_slope<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
        (Self::value(s, x), Self::slope(s, x))
    }
    /// f(x) in f64, straight from the definition.
    fn oracle(x: f64) -> f64;
    /// f′(x) in f64, straight from the definition.
    fn oracle_slope(x: f64) -> f64;
}

/// What the slope of an activation is computed from, which decides what the
/// forward pass has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlopeFrom {
    /// From f(x): the forward pass may overwrite x.
    Output,
    /// From x: the forward pass keeps x beside f(x).
    Input,
}

/// What an activation does to the spread of a signal, which the initial
/// weights make up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// About the same behind it as before it, for small signals.
    Keeps,
    /// Half of the signal is cut off or nearly so: rectifiers.
    Halves,
    /// It settles at 1 by itself: self-normalising.
    Normalizes,
    /// A slope of at most ¼: the logistic function.
    Quarters,
}

/// An error bound: |computed − exact| ≤ `ulp` units in the last place of the
/// exact result, or ≤ `absolute`, whichever is larger.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// Units in the last place (2⁻²³ of the result's power of two; at least
    /// the smallest denormal).
    pub ulp: f64,
    /// Absolute error that is allowed where the result is close to 0.
    pub absolute: f64,
}

impl Bound {
    /// The exact result, rounded once.
    pub const EXACT: Bound = Bound::ulp(0.5);

    /// A relative bound alone.
    pub const fn ulp(ulp: f64) -> Bound {
        Bound { ulp, absolute: 0.0 }
    }

    /// Either bound.
    pub const fn ulp_or(ulp: f64, absolute: f64) -> Bound {
        Bound { ulp, absolute }
    }
}

macro_rules! activations {
    ($($file:ident::$Name:ident),* $(,)?) => {
        /// The elementwise activations of the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Unary { $(#[doc = concat!("See `", stringify!($file), "`; [`Self::doc`] says what it is.")] $Name),* }

        impl Unary {
            /// All of them.
            pub const ALL: &[Unary] = &[$(Unary::$Name),*];

            /// The word of the language.
            pub fn name(self) -> &'static str {
                match self { $(Unary::$Name => $file::$Name::NAME),* }
            }

            /// Other words for the same.
            pub fn aliases(self) -> &'static [&'static str] {
                match self { $(Unary::$Name => $file::$Name::ALIASES),* }
            }

            /// Its formula.
            pub fn doc(self) -> &'static str {
                match self { $(Unary::$Name => $file::$Name::DOC),* }
            }

            /// What its slope is computed from.
            pub fn slope_from(self) -> SlopeFrom {
                match self { $(Unary::$Name => $file::$Name::SLOPE),* }
            }

            /// What it does to the spread of a signal.
            pub fn spread(self) -> Spread {
                match self { $(Unary::$Name => $file::$Name::SPREAD),* }
            }

            /// The slope left of 0 of a rectifier: x for x > 0, else this much
            /// of it.
            pub fn leak(self) -> Option<f32> {
                match self { $(Unary::$Name => $file::$Name::LEAK),* }
            }

            /// The error bounds of value and slope.
            pub fn bounds(self) -> (Bound, Bound) {
                match self { $(
                    Unary::$Name => ($file::$Name::VALUE_BOUND, $file::$Name::SLOPE_BOUND)
                ),* }
            }

            /// f(x) in f64.
            pub fn oracle(self, x: f64) -> f64 {
                match self { $(Unary::$Name => $file::$Name::oracle(x)),* }
            }

            /// f′(x) in f64.
            pub fn oracle_slope(self, x: f64) -> f64 {
                match self { $(Unary::$Name => $file::$Name::oracle_slope(x)),* }
            }

            /// Calls `with` with the type of this activation.
            #[inline(always)]
            pub fn with<W: WithUnary>(self, with: W) -> W::Output {
                match self { $(Unary::$Name => with.with::<$file::$Name>()),* }
            }
        }
    };
}

activations! {
    linear::Linear,
    sigmoid::Sigmoid,
    tanh::Tanh,
    relu::Relu,
    leaky_relu::LeakyRelu,
    elu::Elu,
    selu::Selu,
    gelu::Gelu,
    silu::Silu,
    softplus::Softplus,
    softsign::Softsign,
    mish::Mish,
}

impl Unary {
    /// The activation of this name or alias.
    pub fn parse(name: &str) -> Option<Unary> {
        Unary::ALL.iter().copied().find(|u| u.name() == name || u.aliases().contains(&name))
    }
}

/// Code that is generic over the type of an activation: see [`Unary::with`].
pub trait WithUnary {
    /// What it returns.
    type Output;
    /// The code.
    fn with<U: UnaryOp>(self) -> Self::Output;
}

impl Unary {
    /// x ← f(x) for every element.
    pub fn apply(self, isa: Isa, x: &mut [f32]) {
        self.apply_on(isa, x);
    }

    #[inline(always)]
    pub(crate) fn apply_on(self, on: impl Host, x: &mut [f32]) {
        self.with(Apply { on, x });
    }

    /// y ← f(x) and x ← f′(x).
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn apply_keeping_slope(self, isa: Isa, x: &mut [f32], y: &mut [f32]) {
        self.apply_keeping_slope_on(isa, x, y);
    }

    #[inline(always)]
    pub(crate) fn apply_keeping_slope_on(self, on: impl Host, x: &mut [f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len());
        self.with(ApplyKeepingSlope { on, x, y });
    }

    /// dz ← dz · f′, with f′ computed from `v`: f(x) or x, as
    /// [`Unary::slope_from`] says.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn multiply_slope(self, isa: Isa, v: &[f32], dz: &mut [f32]) {
        assert_eq!(v.len(), dz.len());
        self.with(MultiplySlope { on: isa, v, dz });
    }
}

/// dz ← dz · slope, for slopes that the forward pass kept.
///
/// # Panics
/// Where the lengths differ.
pub fn multiply(isa: Isa, slope: &[f32], dz: &mut [f32]) {
    assert_eq!(slope.len(), dz.len());
    isa.run(Multiply { slope, dz });
}

struct Apply<'a, H> {
    on: H,
    x: &'a mut [f32],
}

impl<H: Host> WithUnary for Apply<'_, H> {
    type Output = ();
    #[inline(always)]
    fn with<U: UnaryOp>(self) {
        let Apply { on, x } = self;
        on.run(Typed::<U, _>(Apply { on: (), x }, PhantomData));
    }
}

struct ApplyKeepingSlope<'a, H> {
    on: H,
    x: &'a mut [f32],
    y: &'a mut [f32],
}

impl<H: Host> WithUnary for ApplyKeepingSlope<'_, H> {
    type Output = ();
    #[inline(always)]
    fn with<U: UnaryOp>(self) {
        let ApplyKeepingSlope { on, x, y } = self;
        on.run(Typed::<U, _>(ApplyKeepingSlope { on: (), x, y }, PhantomData));
    }
}

struct MultiplySlope<'a, H> {
    on: H,
    v: &'a [f32],
    dz: &'a mut [f32],
}

impl<H: Host> WithUnary for MultiplySlope<'_, H> {
    type Output = ();
    #[inline(always)]
    fn with<U: UnaryOp>(self) {
        let MultiplySlope { on, v, dz } = self;
        on.run(Typed::<U, _>(MultiplySlope { on: (), v, dz }, PhantomData));
    }
}

/// An operation on slices, of one activation.
struct Typed<U, T>(T, PhantomData<U>);

impl<U: UnaryOp> Op for Typed<U, Apply<'_, ()>> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let len = self.0.x.len();
        // SAFETY: the slice has that length.
        unsafe { each_vector(s, len, &mut self) }
    }
}

impl<U: UnaryOp> Vectors for Typed<U, Apply<'_, ()>> {
    const CHAINS: usize = U::CHAINS;

    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize, n: usize) {
        // SAFETY: the caller says that at + n is within the slice.
        unsafe {
            let x = self.0.x.as_mut_ptr().add(at);
            s.store_part::<WHOLE>(U::value(s, s.load_part::<WHOLE>(x, n)), x, n);
        }
    }
}

impl<U: UnaryOp> Op for Typed<U, ApplyKeepingSlope<'_, ()>> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let len = self.0.x.len();
        // SAFETY: the slices have that length: `apply_keeping_slope` has checked.
        unsafe { each_vector(s, len, &mut self) }
    }
}

impl<U: UnaryOp> Vectors for Typed<U, ApplyKeepingSlope<'_, ()>> {
    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize, n: usize) {
        // SAFETY: the caller says that at + n is within the slices.
        unsafe {
            let (x, y) = (self.0.x.as_mut_ptr().add(at), self.0.y.as_mut_ptr().add(at));
            let v = s.load_part::<WHOLE>(x, n);
            let (value, slope) = match U::SLOPE {
                SlopeFrom::Input => U::value_slope(s, v),
                SlopeFrom::Output => {
                    let value = U::value(s, v);
                    (value, U::slope(s, value))
                }
            };
            s.store_part::<WHOLE>(value, y, n);
            s.store_part::<WHOLE>(slope, x, n);
        }
    }
}

impl<U: UnaryOp> Op for Typed<U, MultiplySlope<'_, ()>> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let len = self.0.dz.len();
        // SAFETY: the slices have that length: `multiply_slope` has checked.
        unsafe { each_vector(s, len, &mut self) }
    }
}

impl<U: UnaryOp> Vectors for Typed<U, MultiplySlope<'_, ()>> {
    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize, n: usize) {
        // SAFETY: the caller says that at + n is within the slices.
        unsafe {
            let (v, dz) = (self.0.v.as_ptr().add(at), self.0.dz.as_mut_ptr().add(at));
            let slope = U::slope(s, s.load_part::<WHOLE>(v, n));
            s.store_part::<WHOLE>(s.mul(s.load_part::<WHOLE>(dz, n), slope), dz, n);
        }
    }
}

struct Multiply<'a> {
    slope: &'a [f32],
    dz: &'a mut [f32],
}

impl Op for Multiply<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let len = self.dz.len();
        // SAFETY: the slices have that length: `multiply` has checked.
        unsafe { each_vector(s, len, &mut self) }
    }
}

impl Vectors for Multiply<'_> {
    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize, n: usize) {
        // SAFETY: the caller says that at + n is within the slices.
        unsafe {
            let (slope, dz) = (self.slope.as_ptr().add(at), self.dz.as_mut_ptr().add(at));
            let product = s.mul(s.load_part::<WHOLE>(dz, n), s.load_part::<WHOLE>(slope, n));
            s.store_part::<WHOLE>(product, dz, n);
        }
    }
}
