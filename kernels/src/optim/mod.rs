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
pub trait OptimOp: Copy {
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
            #[inline]
            pub fn at(&self, step: u64) -> Rule {
                let coefficients = match self.kind { $(OptimizerKind::$Name =>
                    $file::$Name::coefficients(self.rate, &self.hyper, step)),* };
                Rule { kind: self.kind, coefficients }
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
                mut state: [&mut [f32]; 2],
                readers: Readers,
            ) {
                let (coefficients, state) = (&self.coefficients, &mut state);
                match self.kind { $(OptimizerKind::$Name => {
                    let of = PhantomData::<$file::$Name>;
                    let update = Update { coefficients, parameters, gradient, state, of };
                    match readers {
                        Readers::Same => isa.run(update),
                        Readers::Others => isa.run(Streamed(update)),
                    }
                }),* }
            }

            /// Has the step done by who computes the gradient.
            ///
            /// # Panics
            /// Where the lengths do not agree.
            #[inline(always)]
            pub(crate) fn carry(
                &self,
                parameters: &mut [f32],
                state: [&mut [f32]; 2],
                carrier: impl Carrier,
            ) {
                match self.kind { $(OptimizerKind::$Name => {
                    let (pass, kept) =
                        Pass::<$file::$Name>::new(self.coefficients, parameters, state);
                    pass.carry::<false>(kept, carrier);
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
    /// Whether its steps can be done by who computes the gradient, see [`Rule::carry_waiting`].
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

/// The update of parameters whose gradient is in registers.
pub(crate) trait Updates: Copy {
    /// How many vectors are updated at a time, as [`Vectors::CHAINS`].
    const CHAINS: usize;

    /// Updates the parameters `at..at + n`, with n = `LANES` where `WHOLE`, else less, by
    /// their gradient.
    ///
    /// # Safety
    /// There must be so many parameters.
    unsafe fn vector<S: Simd, const WHOLE: bool>(self, s: S, at: usize, n: usize, gradient: S::V);
}

/// Who computes a gradient and updates its parameters meanwhile.
pub(crate) trait Carrier {
    /// Does so.
    fn run<U: Updates>(self, update: U);
}

impl Rule {
    /// [`Rule::carry`] for steps that wait for roots and divisions, and have no decay of the
    /// gradient: with others there is no time to be won. Returns whether that has been done.
    ///
    /// # Panics
    /// Where the lengths do not agree.
    pub(crate) fn carry_waiting(
        &self,
        parameters: &mut [f32],
        state: [&mut [f32]; 2],
        carrier: impl Carrier,
    ) -> bool {
        match self.kind {
            _ if self.coefficients[DECAY] != 0.0 => return false,
            OptimizerKind::Adam => self.carry_of::<adam::Adam>(parameters, state, carrier),
            OptimizerKind::AdamW => self.carry_of::<adamw::AdamW>(parameters, state, carrier),
            OptimizerKind::Sgd | OptimizerKind::RmsProp | OptimizerKind::Adagrad => return false,
        }
        true
    }

    fn carry_of<O: OptimOp>(
        &self,
        parameters: &mut [f32],
        state: [&mut [f32]; 2],
        carrier: impl Carrier,
    ) {
        let (pass, kept) = Pass::<O>::new(self.coefficients, parameters, state);
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

/// A step. (Coefficients and state are not copied on the way to the kernel: what has just
/// been written number by number would be read by whole vectors, which waits.)
struct Update<'a, 'b, O> {
    coefficients: &'a Coefficients,
    parameters: &'a mut [f32],
    gradient: &'a [f32],
    state: &'a mut [&'b mut [f32]; 2],
    of: PhantomData<O>,
}

/// The same, whose parameters are written past the caches.
struct Streamed<'a, 'b, O>(Update<'a, 'b, O>);

impl<O: OptimOp> Op for Update<'_, '_, O> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Update { coefficients, parameters, gradient, state, .. } = self;
        let n = parameters.len();
        assert_eq!(gradient.len(), n);
        let [first, second] = state;
        let (pass, kept) = Pass::<O>::new(*coefficients, parameters, [first, second]);
        // SAFETY: as many elements as parameters.
        unsafe { pass.each::<S, false>(s, kept, gradient.as_ptr(), n) }
    }
}

impl<O: OptimOp> Op for Streamed<'_, '_, O> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Update { coefficients, parameters, gradient, state, .. } = self.0;
        let n = parameters.len();
        assert_eq!(gradient.len(), n);
        let [first, second] = state;
        let (pass, kept) = Pass::<O>::new(*coefficients, parameters, [first, second]);
        // Up to a place from which on whole registers may be streamed.
        let first = pass.p.align_offset(size_of::<f32>() * S::LANES).min(n);
        let gradient = gradient.as_ptr();
        // SAFETY: as many elements as parameters, and `first` ≤ n; behind it, if there is
        // anything, p is a multiple of a register's bytes.
        unsafe {
            pass.each::<S, false>(s, kept, gradient, first);
            pass.from(kept, first).each::<S, true>(s, kept, gradient.add(first), n - first);
        }
        s.streamed();
    }
}

/// The slices of a step, from exclusive borrows.
#[derive(Clone, Copy)]
struct Pass<O> {
    coefficients: Coefficients,
    p: *mut f32,
    m: *mut f32,
    v: *mut f32,
    of: PhantomData<O>,
}

impl<O: OptimOp> Pass<O> {
    /// Over parameters and state whose lengths are checked; and which state is kept.
    #[inline(always)]
    fn new(
        coefficients: Coefficients,
        parameters: &mut [f32],
        [first, second]: [&mut [f32]; 2],
    ) -> (Self, [bool; 2]) {
        let n = parameters.len();
        assert!(first.len() == n || first.is_empty());
        assert!(second.len() == n || second.is_empty());
        let pass = Pass {
            coefficients,
            p: parameters.as_mut_ptr(),
            m: first.as_mut_ptr(),
            v: second.as_mut_ptr(),
            of: PhantomData,
        };
        (pass, [!first.is_empty(), !second.is_empty()])
    }

    /// The step of `n` parameters whose gradient lies in memory.
    ///
    /// # Safety
    /// There are so many parameters, and as many elements of the gradient are valid for
    /// reading; where `STREAM`, `p` is a multiple of a register's bytes.
    #[inline(always)]
    unsafe fn each<S: Simd, const STREAM: bool>(
        self,
        s: S,
        kept: [bool; 2],
        gradient: *const f32,
        n: usize,
    ) {
        self.carry::<STREAM>(kept, Each { s, gradient, n });
    }

    /// The step by who computes the gradient; parameters are streamed where `STREAM`.
    #[inline(always)]
    fn carry<const STREAM: bool>(self, kept: [bool; 2], carrier: impl Carrier) {
        match self.coefficients[DECAY] == 0.0 {
            true => self.carry_decaying::<STREAM, false>(kept, carrier),
            false => self.carry_decaying::<STREAM, true>(kept, carrier),
        }
    }

    #[inline(always)]
    fn carry_decaying<const STREAM: bool, const DECAYS: bool>(
        self,
        kept: [bool; 2],
        carrier: impl Carrier,
    ) {
        match kept {
            [false, _] => carrier.run(Keeping::<O, 0, STREAM, DECAYS>(self)),
            [true, false] => carrier.run(Keeping::<O, 1, STREAM, DECAYS>(self)),
            [true, true] => carrier.run(Keeping::<O, 2, STREAM, DECAYS>(self)),
        }
    }

    /// The same from a parameter on.
    fn from(&self, kept: [bool; 2], at: usize) -> Self {
        Pass {
            p: self.p.wrapping_add(at),
            m: if kept[0] { self.m.wrapping_add(at) } else { self.m },
            v: if kept[1] { self.v.wrapping_add(at) } else { self.v },
            ..*self
        }
    }
}

/// A gradient that lies in memory: `n` elements that are valid for reading, one for each of
/// as many parameters.
struct Each<S> {
    s: S,
    gradient: *const f32,
    n: usize,
}

impl<S: Simd> Carrier for Each<S> {
    #[inline(always)]
    fn run<U: Updates>(self, update: U) {
        let Each { s, gradient, n } = self;
        // SAFETY: there are so many parameters, and elements of the gradient.
        unsafe { each_vector(s, n, &mut Read { update, gradient }) }
    }
}

/// An update, and its gradient in memory.
struct Read<U> {
    update: U,
    gradient: *const f32,
}

impl<U: Updates> Vectors for Read<U> {
    const CHAINS: usize = U::CHAINS;

    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize, n: usize) {
        // SAFETY: the caller says that at + n is within gradient and parameters.
        unsafe {
            let gradient = s.load_part::<WHOLE>(self.gradient.add(at), n);
            self.update.vector::<S, WHOLE>(s, at, n, gradient);
        }
    }
}

/// A pass that reads and writes the first `KEPT` buffers of state.
#[derive(Clone, Copy)]
struct Keeping<O, const KEPT: usize, const STREAM: bool, const DECAYS: bool>(Pass<O>);

impl<O: OptimOp, const KEPT: usize, const STREAM: bool, const DECAYS: bool> Updates
    for Keeping<O, KEPT, STREAM, DECAYS>
{
    // Two buffers of state leave no registers for more.
    const CHAINS: usize = if KEPT > 1 { 2 } else { 4 };

    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(self, s: S, at: usize, n: usize, gradient: S::V) {
        let Pass { coefficients, p, m, v, .. } = self.0;
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
        // SAFETY: the caller says that at + n is within the parameters, and the state that
        // is kept has as many elements (`Pass::new`). Where it streams, p began at a
        // multiple of a register's bytes (`Pass::each`), and whole vectors are whole
        // registers.
        unsafe {
            let first = if KEPT > 0 { s.load_part::<WHOLE>(m.add(at), n) } else { zero };
            let second = if KEPT > 1 { s.load_part::<WHOLE>(v.add(at), n) } else { zero };
            let p = p.add(at);
            let (old, mut g) = (s.load_part::<WHOLE>(p, n), gradient);
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
