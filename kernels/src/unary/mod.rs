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

use crate::simd::{Isa, Op, Simd};

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
    /// The largest error of `value`, over all f32.
    const VALUE_BOUND: Bound;
    /// The largest error of `slope`, over all f32.
    const SLOPE_BOUND: Bound;

    /// f(x)
    fn value<S: Simd>(s: S, x: S::V) -> S::V;
    /// f′, computed from f(x) or from x as [`Self::SLOPE`] says.
    fn slope<S: Simd>(s: S, v: S::V) -> S::V;
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
        pub enum Unary { $(#[doc = <$file::$Name as UnaryOp>::DOC] $Name),* }

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

            /// x ← f(x) for every element.
            pub fn apply(self, isa: Isa, x: &mut [f32]) {
                match self { $(Unary::$Name => isa.run(Apply::<$file::$Name>(x, Default::default()))),* }
            }

            /// y ← f(x) and x ← f′(x), for an activation whose slope comes
            /// from its input. Panics where the lengths differ.
            pub fn apply_keeping_slope(self, isa: Isa, x: &mut [f32], y: &mut [f32]) {
                assert_eq!(x.len(), y.len());
                match self { $(Unary::$Name =>
                    isa.run(ApplyKeepingSlope::<$file::$Name>(x, y, Default::default()))),* }
            }

            /// dz ← dz · f′, with f′ computed from `v` (f(x) or x, as
            /// [`Unary::slope_from`] says). Panics where the lengths differ.
            pub fn multiply_slope(self, isa: Isa, v: &[f32], dz: &mut [f32]) {
                assert_eq!(v.len(), dz.len());
                match self { $(Unary::$Name =>
                    isa.run(MultiplySlope::<$file::$Name>(v, dz, Default::default()))),* }
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

type Of<U> = core::marker::PhantomData<U>;
struct Apply<'a, U>(&'a mut [f32], Of<U>);
struct ApplyKeepingSlope<'a, U>(&'a mut [f32], &'a mut [f32], Of<U>);
struct MultiplySlope<'a, U>(&'a [f32], &'a mut [f32], Of<U>);

impl<U: UnaryOp> Op for Apply<'_, U> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut chunks = self.0.chunks_exact_mut(S::LANES);
        for x in &mut chunks {
            let y = U::value(s, s.load(x));
            s.store(y, x);
        }
        let rest = chunks.into_remainder();
        if !rest.is_empty() {
            let y = U::value(s, s.load_partial(rest));
            s.store_partial(y, rest);
        }
    }
}

impl<U: UnaryOp> Op for ApplyKeepingSlope<'_, U> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut xs = self.0.chunks_exact_mut(S::LANES);
        let mut ys = self.1.chunks_exact_mut(S::LANES);
        for (x, y) in (&mut xs).zip(&mut ys) {
            let v = s.load(x);
            s.store(U::value(s, v), y);
            s.store(U::slope(s, v), x);
        }
        let (x, y) = (xs.into_remainder(), ys.into_remainder());
        if !x.is_empty() {
            let v = s.load_partial(x);
            s.store_partial(U::value(s, v), y);
            s.store_partial(U::slope(s, v), x);
        }
    }
}

impl<U: UnaryOp> Op for MultiplySlope<'_, U> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut vs = self.0.chunks_exact(S::LANES);
        let mut ds = self.1.chunks_exact_mut(S::LANES);
        for (v, d) in (&mut vs).zip(&mut ds) {
            s.store(s.mul(s.load(d), U::slope(s, s.load(v))), d);
        }
        let (v, d) = (vs.remainder(), ds.into_remainder());
        if !v.is_empty() {
            let slope = U::slope(s, s.load_partial(v));
            s.store_partial(s.mul(s.load_partial(d), slope), d);
        }
    }
}
