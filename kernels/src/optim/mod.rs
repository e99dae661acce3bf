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

use crate::hyper::{Hyper, Range, Values, defaults};
use crate::simd::{Isa, Op, Simd, Vectors, each_vector};
use std::marker::PhantomData;

/// Scalars of one step, made once by [`OptimOp::coefficients`]. The last one is what
/// of the parameter is added to its gradient, most often 0.
pub type Coefficients = [f32; 8];

/// Its place.
const DECAY: usize = 7;

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

    /// Numbers of state that it keeps a parameter with these
    /// hyperparameters, at most 2.
    fn state(hyper: &Values) -> usize;
    /// The scalars of step `step` (counted from 1), computed in f64.
    fn coefficients(rate: f64, hyper: &Values, step: u64) -> Coefficients;
    /// One vector: parameter `p`, gradient `g` with the decay added, state `m` and `v`
    /// (zeros before the first step; 0 where beyond the first `KEPT`). Returns the new
    /// parameter and state.
    fn update<S: Simd, const KEPT: usize>(
        s: S,
        c: &[S::V; 8],
        p: S::V,
        g: S::V,
        m: S::V,
        v: S::V,
    ) -> (S::V, S::V, S::V);
    /// The same for one number, in f64 and straight from the definition.
    fn oracle(rate: f64, hyper: &Values, step: u64, p: f64, g: f64, state: &mut [f64; 2]) -> f64;
}

macro_rules! optimizers {
    ($($file:ident::$Name:ident),* $(,)?) => {
        /// The optimizers of the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum OptimizerKind { $(#[doc = concat!("See `", stringify!($file), "`; [`Self::doc`] says what it is.")] $Name),* }

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

            /// The optimizer of this name.
            pub fn parse(name: &str) -> Option<OptimizerKind> {
                OptimizerKind::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }

        impl Optimizer {
            /// Numbers of state that it keeps a parameter.
            pub fn state(&self) -> usize {
                match self.kind { $(OptimizerKind::$Name => $file::$Name::state(&self.hyper)),* }
            }

            /// Its step of this number, counted from 1.
            pub fn at(&self, step: u64) -> Rule {
                let coefficients = match self.kind { $(OptimizerKind::$Name =>
                    $file::$Name::coefficients(self.rate, &self.hyper, step)),* };
                Rule { kind: self.kind, coefficients }
            }

            /// [`Optimizer::at`] and [`Rule::update`] in one.
            ///
            /// # Panics
            /// Where the lengths do not agree.
            pub fn update(
                &self,
                isa: Isa,
                step: u64,
                parameters: &mut [f32],
                gradient: &[f32],
                state: [&mut [f32]; 2],
                readers: Readers,
            ) {
                match self.kind { $(OptimizerKind::$Name => {
                    let coefficients =
                        $file::$Name::coefficients(self.rate, &self.hyper, step);
                    update::<$file::$Name>(isa, coefficients, parameters, gradient, state, readers);
                }),* }
            }

            /// One step for one parameter in f64: the oracle.
            pub fn oracle(&self, step: u64, p: f64, g: f64, state: &mut [f64; 2]) -> f64 {
                match self.kind { $(OptimizerKind::$Name =>
                    $file::$Name::oracle(self.rate, &self.hyper, step, p, g, state)),* }
            }
        }

        impl Rule {
            /// The step, in place: over parameters, their gradient, and the state's two
            /// buffers (those that [`Optimizer::state`] does not count are empty).
            ///
            /// # Panics
            /// Where the lengths do not agree.
            pub fn update(
                &self,
                isa: Isa,
                parameters: &mut [f32],
                gradient: &[f32],
                state: [&mut [f32]; 2],
                readers: Readers,
            ) {
                match self.kind { $(OptimizerKind::$Name => {
                    let coefficients = self.coefficients;
                    update::<$file::$Name>(isa, coefficients, parameters, gradient, state, readers);
                }),* }
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
    /// Whether its steps can be done by who computes the gradient, see [`Rule::carry`].
    pub(crate) fn is_carried(&self) -> bool {
        match self.kind {
            OptimizerKind::Adam | OptimizerKind::AdamW => self.at(1).coefficients[DECAY] == 0.0,
            OptimizerKind::Sgd | OptimizerKind::RmsProp | OptimizerKind::Adagrad => false,
        }
    }

    /// This optimizer with its default rate and hyperparameters.
    pub fn new(kind: OptimizerKind) -> Self {
        Optimizer { kind, rate: kind.default_rate(), hyper: defaults(kind.hypers()) }
    }
}

/// An optimizer's step of some number: how every parameter follows from its gradient.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    kind: OptimizerKind,
    coefficients: Coefficients,
}

/// Who computes a gradient and updates its parameters meanwhile.
pub(crate) trait Carrier {
    /// Does so: `update` is of as many elements as there are parameters.
    fn run<P: Vectors + Copy>(self, update: P);
}

impl Rule {
    /// Has the step done by who computes the gradient: as many elements as there are
    /// parameters, at `gradient`, which is read by the update alone. Only steps that
    /// wait for roots and divisions are, and those without a decay of the gradient:
    /// others have no time to be won. Returns whether that has been done.
    ///
    /// # Panics
    /// Where the lengths do not agree.
    pub(crate) fn carry(
        &self,
        parameters: &mut [f32],
        gradient: *const f32,
        state: [&mut [f32]; 2],
        carrier: impl Carrier,
    ) -> bool {
        let slices = (parameters, gradient, state);
        match self.kind {
            _ if self.coefficients[DECAY] != 0.0 => return false,
            OptimizerKind::Adam => self.carry_of::<adam::Adam>(slices, carrier),
            OptimizerKind::AdamW => self.carry_of::<adamw::AdamW>(slices, carrier),
            OptimizerKind::Sgd | OptimizerKind::RmsProp | OptimizerKind::Adagrad => return false,
        }
        true
    }

    fn carry_of<O: OptimOp + Copy>(
        &self,
        (parameters, gradient, state): (&mut [f32], *const f32, [&mut [f32]; 2]),
        carrier: impl Carrier,
    ) {
        let (pass, kept) = Pass::<O>::new(self.coefficients, parameters, gradient, state);
        assert_eq!(kept, [true; 2], "it keeps two numbers a parameter");
        carrier.run(Keeping::<O, 2, false, false>(pass));
    }
}

/// The decay that every optimizer takes.
const fn weight_decay(default: f64) -> Hyper {
    Hyper {
        name: "weight_decay",
        default,
        range: Range::NonNegative,
        doc: "pull of weights and biases towards 0",
    }
}

/// What a mean of squares is raised to before its root, times `scale`, is added
/// to ε: where a parameter's gradient stays away, the mean decays to denormals,
/// over which CPUs take several times as long. It is 0 for an ε so small that it
/// would show in the sum.
fn least_square(eps: f64, scale: f64) -> f32 {
    let least = f32::MIN_POSITIVE;
    let shows = f64::from(least).sqrt() * scale > 0.25 * f64::from(f32::EPSILON) * eps;
    if shows { 0.0 } else { least }
}

/// ε, but for one that is so small that the rate divided by it overflows, or that it is
/// no f32.
fn divisor(eps: f64, rate: f64) -> f32 {
    eps.max(2.0 * rate / f64::from(f32::MAX)).max(f64::from(f32::MIN_POSITIVE)) as f32
}

/// Who reads the parameters before and after an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// The thread that updates them.
    Same,
    /// Other threads too: then they are written past the caches, see
    /// [`Simd::stream_ptr`].
    Others,
}

/// A step of an optimizer with these coefficients.
#[inline(always)]
fn update<O: OptimOp>(
    isa: Isa,
    coefficients: Coefficients,
    parameters: &mut [f32],
    gradient: &[f32],
    state: [&mut [f32]; 2],
    readers: Readers,
) {
    let update = Update::<O> { coefficients, parameters, gradient, state, of: PhantomData };
    match readers {
        Readers::Same => isa.run(update),
        Readers::Others => isa.run(Streamed(update)),
    }
}

/// A step.
struct Update<'a, O> {
    coefficients: Coefficients,
    parameters: &'a mut [f32],
    gradient: &'a [f32],
    state: [&'a mut [f32]; 2],
    of: PhantomData<O>,
}

/// The same, whose parameters are written past the caches.
struct Streamed<'a, O>(Update<'a, O>);

impl<O: OptimOp> Update<'_, O> {
    /// The slices, which state is kept, and how many elements.
    #[inline(always)]
    fn pass(self) -> (Pass<O>, [bool; 2], usize) {
        let Update { coefficients, parameters, gradient, state, .. } = self;
        let n = parameters.len();
        assert_eq!(gradient.len(), n);
        let (pass, kept) = Pass::new(coefficients, parameters, gradient.as_ptr(), state);
        (pass, kept, n)
    }
}

impl<O: OptimOp> Op for Update<'_, O> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (pass, kept, n) = self.pass();
        // SAFETY: all slices have n elements, but for the state that is not
        // kept: `pass` has checked.
        unsafe { pass.each::<S, false>(s, kept, n) }
    }
}

impl<O: OptimOp> Op for Streamed<'_, O> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (pass, kept, n) = self.0.pass();
        // Up to a place from which on whole registers may be streamed.
        let first = pass.p.align_offset(size_of::<f32>() * S::LANES).min(n);
        // SAFETY: as above, and `first` ≤ n; behind it, if there is anything, p is a
        // multiple of a register's bytes.
        unsafe {
            pass.from(kept, 0).each::<S, false>(s, kept, first);
            pass.from(kept, first).each::<S, true>(s, kept, n - first);
        }
        s.streamed();
    }
}

/// The slices of a step, from exclusive borrows where they are written.
#[derive(Clone, Copy)]
struct Pass<O> {
    coefficients: Coefficients,
    p: *mut f32,
    g: *const f32,
    m: *mut f32,
    v: *mut f32,
    of: PhantomData<O>,
}

impl<O: OptimOp> Pass<O> {
    /// Over slices whose lengths are checked, and a gradient of as many elements; and
    /// which state is kept.
    #[inline(always)]
    fn new(
        coefficients: Coefficients,
        parameters: &mut [f32],
        gradient: *const f32,
        [first, second]: [&mut [f32]; 2],
    ) -> (Self, [bool; 2]) {
        let n = parameters.len();
        assert!(first.len() == n || first.is_empty());
        assert!(second.len() == n || second.is_empty());
        let pass = Pass {
            coefficients,
            p: parameters.as_mut_ptr(),
            g: gradient,
            m: first.as_mut_ptr(),
            v: second.as_mut_ptr(),
            of: PhantomData,
        };
        (pass, [!first.is_empty(), !second.is_empty()])
    }

    /// Over so many elements; parameters are streamed where `STREAM`.
    ///
    /// # Safety
    /// All slices have as many elements, but for the state that is not `kept`, and
    /// `p` is a multiple of a register's bytes where `STREAM`.
    #[inline(always)]
    unsafe fn each<S: Simd, const STREAM: bool>(self, s: S, kept: [bool; 2], n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.coefficients[DECAY] == 0.0 {
                true => self.each_decaying::<S, STREAM, false>(s, kept, n),
                false => self.each_decaying::<S, STREAM, true>(s, kept, n),
            }
        }
    }

    /// # Safety
    /// As [`Pass::each`].
    #[inline(always)]
    unsafe fn each_decaying<S: Simd, const STREAM: bool, const DECAYS: bool>(
        self,
        s: S,
        kept: [bool; 2],
        n: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            match kept {
                [false, _] => each_vector(s, n, &mut Keeping::<O, 0, STREAM, DECAYS>(self)),
                [true, false] => each_vector(s, n, &mut Keeping::<O, 1, STREAM, DECAYS>(self)),
                [true, true] => each_vector(s, n, &mut Keeping::<O, 2, STREAM, DECAYS>(self)),
            }
        }
    }

    /// The same from an element on.
    fn from(&self, kept: [bool; 2], at: usize) -> Self {
        Pass {
            p: self.p.wrapping_add(at),
            g: self.g.wrapping_add(at),
            m: if kept[0] { self.m.wrapping_add(at) } else { self.m },
            v: if kept[1] { self.v.wrapping_add(at) } else { self.v },
            ..*self
        }
    }
}

/// A pass that reads and writes the first `KEPT` buffers of state.
#[derive(Clone, Copy)]
struct Keeping<O, const KEPT: usize, const STREAM: bool, const DECAYS: bool>(Pass<O>);

impl<O: OptimOp, const KEPT: usize, const STREAM: bool, const DECAYS: bool> Vectors
    for Keeping<O, KEPT, STREAM, DECAYS>
{
    // Two buffers of state leave no registers for more.
    const CHAINS: usize = if KEPT > 1 { 2 } else { 4 };

    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize, n: usize) {
        let Pass { coefficients, p, g, m, v, .. } = self.0;
        let c = [
            s.splat(coefficients[0]),
            s.splat(coefficients[1]),
            s.splat(coefficients[2]),
            s.splat(coefficients[3]),
            s.splat(coefficients[4]),
            s.splat(coefficients[5]),
            s.splat(coefficients[6]),
            s.splat(coefficients[7]),
        ];
        let zero = s.splat(0.0);
        // SAFETY: the caller says that at + n is within the slices that the
        // pass uses. Where it streams, p began at a multiple of a register's
        // bytes (`Pass::each`), and whole vectors are whole registers.
        unsafe {
            let first = if KEPT > 0 { s.load_part::<WHOLE>(m.add(at), n) } else { zero };
            let second = if KEPT > 1 { s.load_part::<WHOLE>(v.add(at), n) } else { zero };
            let (p, g) = (p.add(at), g.add(at));
            let (old, mut g) = (s.load_part::<WHOLE>(p, n), s.load_part::<WHOLE>(g, n));
            if DECAYS {
                g = s.mul_add(c[DECAY], old, g);
            }
            let (parameter, first, second) = O::update::<S, KEPT>(s, &c, old, g, first, second);
            match STREAM && WHOLE {
                true => s.stream_ptr(parameter, p),
                false => s.store_part::<WHOLE>(parameter, p, n),
            }
            if KEPT > 0 {
                s.store_part::<WHOLE>(first, m.add(at), n);
            }
            if KEPT > 1 {
                s.store_part::<WHOLE>(second, v.add(at), n);
            }
        }
    }
}
