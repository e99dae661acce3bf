//! One small trait over a vector of f32, and the choice of who implements it.
//!
//! An operation is written once, generic over [`Simd`], as a value of a type
//! that implements [`Op`]. [`Isa::run`] compiles it for every instruction set
//! inside a function that enables that set, and calls the one asked for; all
//! the trait's methods are inlined into it. That is how an ordinary build for
//! baseline x86-64 runs at full speed on a CPU that has more.

mod each;
#[cfg(feature = "model")]
mod model;
mod portable;
mod twice;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use each::{Vectors, each_vector};
#[cfg(feature = "model")]
pub use model::Model;
pub use portable::Portable;
pub use twice::{Folds, Twice};
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

use std::fmt;
use std::str::FromStr;

/// A vector register of f32, and what can be done with it.
///
/// A value of a type that implements this trait is the proof that the CPU has
/// the instructions: only [`Isa::run`] makes one, after detection.
///
/// `NaN` spreads through arithmetic as IEEE 754 says; `min`, `max` and the
/// comparisons say in their own words what they do with it.
pub trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Self::LANES`] f32.
    type V: Copy;
    /// One bit a lane.
    type M: Copy;
    /// Vectors of half the lanes in as many registers, where the instruction set has
    /// them; else itself.
    type Half: Simd;
    /// Lanes of a vector.
    const LANES: usize;
    /// How many vectors the register file holds.
    const REGISTERS: usize;
    /// Registers of a vector.
    const PARTS: usize = 1;

    /// The same CPU's, with vectors of half the lanes.
    fn half(self) -> Self::Half;

    /// Runs an operation in a function of its own, compiled for this
    /// instruction set, where inlining would make the caller too large for the
    /// compiler to keep its values in registers.
    fn outlined<O: Op>(self, op: O) -> O::Output;

    /// Every lane `x`.
    fn splat(self, x: f32) -> Self::V;
    /// The first `LANES` elements. Panics where there are fewer.
    fn load(self, from: &[f32]) -> Self::V;
    /// Writes the first `LANES` elements. Panics where there are fewer.
    fn store(self, v: Self::V, to: &mut [f32]);
    /// Up to `LANES` elements, zeros behind them.
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Self::V {
        // SAFETY: the slice holds that many elements.
        unsafe { self.load_first(from.as_ptr(), from.len().min(Self::LANES)) }
    }
    /// Writes as many lanes as the slice takes, at most `LANES`.
    #[inline(always)]
    fn store_partial(self, v: Self::V, to: &mut [f32]) {
        // SAFETY: the slice holds that many elements.
        unsafe { self.store_first(v, to.as_mut_ptr(), to.len().min(Self::LANES)) }
    }
    /// # Safety
    /// `from` must be valid for reading `LANES` f32; it need not be aligned.
    unsafe fn load_ptr(self, from: *const f32) -> Self::V;
    /// # Safety
    /// `to` must be valid for writing `LANES` f32; it need not be aligned.
    unsafe fn store_ptr(self, v: Self::V, to: *mut f32);
    /// The same past the caches where the instruction set can: other CPUs that have
    /// read the line need not be asked for it before. [`Simd::streamed`] must follow
    /// before other threads are told.
    ///
    /// # Safety
    /// As [`Simd::store_ptr`], and `to` is a multiple of a register's bytes.
    #[inline(always)]
    unsafe fn stream_ptr(self, v: Self::V, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { self.store_ptr(v, to) }
    }
    /// Returns when what has been written by [`Simd::stream_ptr`] is where others
    /// find it.
    #[inline(always)]
    fn streamed(self) {}
    /// Asks for the line of an address to be brought into the second-level
    /// cache; nothing is read, whatever the address.
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}
    /// The first `n` ≤ `LANES` elements, zeros behind them.
    ///
    /// # Safety
    /// `from` must be valid for reading `n` f32.
    unsafe fn load_first(self, from: *const f32, n: usize) -> Self::V;
    /// Writes the first `n` ≤ `LANES` lanes.
    ///
    /// # Safety
    /// `to` must be valid for writing `n` f32.
    unsafe fn store_first(self, v: Self::V, to: *mut f32, n: usize);

    /// `LANES` elements where `WHOLE`, else the first `n` and zeros.
    ///
    /// # Safety
    /// `from` must be valid for reading as many.
    #[inline(always)]
    unsafe fn load_part<const WHOLE: bool>(self, from: *const f32, n: usize) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { if WHOLE { self.load_ptr(from) } else { self.load_first(from, n) } }
    }
    /// Writes all lanes where `WHOLE`, else the first `n`.
    ///
    /// # Safety
    /// `to` must be valid for writing as many.
    #[inline(always)]
    unsafe fn store_part<const WHOLE: bool>(self, v: Self::V, to: *mut f32, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { if WHOLE { self.store_ptr(v, to) } else { self.store_first(v, to, n) } }
    }

    /// a + b
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a − b
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a / b, correctly rounded
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b + c, in one rounding where the instruction set has it.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// c − a · b, in one rounding where the instruction set has it.
    fn neg_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The smaller; `b` where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger; `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// |a|
    fn abs(self, a: Self::V) -> Self::V;
    /// The magnitude of `a` with the sign of `sign`.
    fn copysign(self, a: Self::V, sign: Self::V) -> Self::V;
    /// The same for a positive `a`.
    #[inline(always)]
    fn signed(self, a: Self::V, sign: Self::V) -> Self::V {
        self.copysign(a, sign)
    }
    /// √a, correctly rounded
    fn sqrt(self, a: Self::V) -> Self::V;
    /// The nearest integer, ties to even, for |a| < 2²². The sign of a zero
    /// may be lost.
    fn round(self, a: Self::V) -> Self::V;
    /// a · 2ⁿ for a magnitude of `a` in ½..=4 and integral n in −252..=252,
    /// rounded once where the result is a denormal; NaN where both are NaN.
    fn scale(self, a: Self::V, n: Self::V) -> Self::V;
    /// The same for n in −150..=100, which takes half of the instructions
    /// where no single one does it.
    #[inline(always)]
    fn scale_small(self, a: Self::V, n: Self::V) -> Self::V {
        self.scale(a, n)
    }
    /// 2ⁿ for integral n in −126..=127; anything for NaN.
    #[inline(always)]
    fn power_of_two(self, n: Self::V) -> Self::V {
        self.scale(self.splat(1.0), n)
    }
    /// n, the nearest integer to a · b (of two, either one), and 2ⁿ⁺ᵘᵖ, for
    /// integral `up` and n + `up` in −126..=127; the power is anything where a
    /// is NaN.
    #[inline(always)]
    fn round_to_power(self, a: Self::V, b: f32, up: f32) -> (Self::V, Self::V) {
        let n = self.round(self.mul(a, self.splat(b)));
        (n, self.power_of_two(self.add(n, self.splat(up))))
    }
    /// m and e of a = m·2ᵉ with 1 ≤ m < 2, for positive normal a.
    #[inline(always)]
    fn mantissa_exponent(self, a: Self::V) -> (Self::V, Self::V) {
        let mantissa = |x: f32| f32::from_bits(x.to_bits() & 0x007f_ffff | 0x3f80_0000);
        let exponent = |x: f32| (x.to_bits() >> 23) as f32 - 127.0;
        (self.map(a, mantissa), self.map(a, exponent))
    }
    /// a < b, false where either is NaN.
    fn lt(self, a: Self::V, b: Self::V) -> Self::M;
    /// a = b, false where either is NaN.
    fn eq(self, a: Self::V, b: Self::V) -> Self::M;
    /// `a` where the mask is set, else `b`.
    fn select(self, mask: Self::M, a: Self::V, b: Self::V) -> Self::V;
    /// The sum of the lanes, in a fixed order.
    fn sum(self, a: Self::V) -> f32;
    /// The same by pairs of registers where a vector is several (see [`Twice`]): the
    /// same sums, whether two of them are handled at a time or four.
    #[inline(always)]
    fn sum_parts(self, a: Self::V, to: &mut impl Sums) {
        to.add(self.sum(a));
    }
    /// The sums of the lanes of four vectors, each in one and the same order.
    #[inline(always)]
    fn sum4(self, v: [Self::V; 4]) -> [f32; 4] {
        v.map(|v| self.sum(v))
    }
    /// Lane i ← the sum of the lanes of `vectors.at(i)`, for every i <
    /// `LANES`, each in one and the same order.
    #[inline(always)]
    fn sums<C: Column<Self>>(self, vectors: &C) -> Self::V {
        let mut sums = [0.0; MOST_LANES];
        let mut i = 0;
        while i < Self::LANES {
            let four = [0, 1, 2, 3].map(|j| vectors.at(self, i + j));
            sums[i..i + 4].copy_from_slice(&self.sum4(four));
            i += 4;
        }
        self.load(&sums)
    }
    /// Lane i ← the element at `rows[i] + at`.
    ///
    /// # Safety
    /// `rows` must hold `LANES` pointers, and each of these elements be valid
    /// for reading.
    #[inline(always)]
    unsafe fn gather(self, rows: *const *const f32, at: usize) -> Self::V {
        let mut lanes = [0.0; MOST_LANES];
        for (i, lane) in lanes.iter_mut().enumerate().take(Self::LANES) {
            // SAFETY: the caller's promise, and i < LANES.
            *lane = unsafe { *(*rows.add(i)).add(at) };
        }
        self.load(&lanes)
    }
    /// Lane i of vector j ← the element at `rows[i] + at + j`, for j < 4.
    ///
    /// # Safety
    /// `rows` must hold `LANES` pointers, and each of these elements be valid
    /// for reading.
    #[inline(always)]
    unsafe fn columns4(self, rows: *const *const f32, at: usize) -> [Self::V; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            [
                self.gather(rows, at),
                self.gather(rows, at + 1),
                self.gather(rows, at + 2),
                self.gather(rows, at + 3),
            ]
        }
    }
    /// The same for j < 8.
    ///
    /// # Safety
    /// As [`Simd::columns4`].
    #[inline(always)]
    unsafe fn columns8(self, rows: *const *const f32, at: usize) -> [Self::V; 8] {
        // SAFETY: the caller's promise.
        unsafe {
            let ([a, b, c, d], [e, f, g, h]) =
                (self.columns4(rows, at), self.columns4(rows, at + 4));
            [a, b, c, d, e, f, g, h]
        }
    }
    /// Lane i ← the element at `from` + i·`stride`.
    ///
    /// # Safety
    /// These `LANES` elements must be valid for reading.
    #[inline(always)]
    unsafe fn load_strided(self, from: *const f32, stride: usize) -> Self::V {
        let mut lanes = [0.0; MOST_LANES];
        for (i, lane) in lanes.iter_mut().enumerate().take(Self::LANES) {
            // SAFETY: the caller's promise, and i < LANES.
            *lane = unsafe { *from.add(i * stride) };
        }
        self.load(&lanes)
    }
    /// Lane i of vector j ← element 2·i + j of two vectors, one behind the other.
    #[inline(always)]
    fn deinterleave2(self, v: [Self::V; 2]) -> [Self::V; 2] {
        let mut lanes = [0.0; 2 * MOST_LANES];
        for (v, lanes) in v.into_iter().zip(lanes.chunks_exact_mut(Self::LANES)) {
            self.store(v, lanes);
        }
        let at = lanes.as_ptr();
        // SAFETY: 2·LANES elements.
        unsafe { [self.load_strided(at, 2), self.load_strided(at.add(1), 2)] }
    }
    /// Lane i of vector j ← element 4·i + j of four vectors, one behind the other.
    #[inline(always)]
    fn deinterleave4(self, v: [Self::V; 4]) -> [Self::V; 4] {
        let mut lanes = [0.0; 4 * MOST_LANES];
        for (v, lanes) in v.into_iter().zip(lanes.chunks_exact_mut(Self::LANES)) {
            self.store(v, lanes);
        }
        let at = lanes.as_ptr();
        // SAFETY: 4·LANES elements.
        unsafe {
            [
                self.load_strided(at, 4),
                self.load_strided(at.add(1), 4),
                self.load_strided(at.add(2), 4),
                self.load_strided(at.add(3), 4),
            ]
        }
    }
    /// Every lane through a scalar function: for the few places where speed
    /// does not matter.
    fn map(self, a: Self::V, f: impl Fn(f32) -> f32) -> Self::V;

    /// Transposes a block of 8 by 8: element j of row i, at `from[i] + j`, goes
    /// to `to + j·to_stride + i`.
    ///
    /// # Safety
    /// 8 f32 at each of `from` must be valid for reading, the 8 rows of 8 that
    /// `to` and its stride name for writing, and the two must not overlap.
    unsafe fn transpose8(self, from: [*const f32; 8], to: *mut f32, to_stride: usize);
    /// The same of rows of 4.
    ///
    /// # Safety
    /// 4 f32 at each of `from` must be valid for reading, the 4 rows of 8 that
    /// `to` and its stride name for writing, and the two must not overlap.
    #[inline(always)]
    unsafe fn transpose8x4(self, from: [*const f32; 8], to: *mut f32, to_stride: usize) {
        for (i, row) in from.into_iter().enumerate() {
            for j in 0..4 {
                // SAFETY: the caller's promise.
                unsafe { *to.add(j * to_stride + i) = *row.add(j) }
            }
        }
    }
    /// Transposes 4 rows of 8 as [`Simd::transpose8`] does: to 8 rows of 4, which
    /// are written one after another, so that a row may begin within the one before.
    ///
    /// # Safety
    /// 8 f32 at each of `from` must be valid for reading, the 8 rows of 4 that
    /// `to` and its stride name for writing, and the two must not overlap.
    #[inline(always)]
    unsafe fn transpose4x8(self, from: [*const f32; 4], to: *mut f32, to_stride: usize) {
        for i in 0..8 {
            for (j, row) in from.into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { *to.add(i * to_stride + j) = *row.add(i) }
            }
        }
    }

    /// −a
    #[inline(always)]
    fn neg(self, a: Self::V) -> Self::V {
        self.sub(self.splat(-0.0), a)
    }

    /// The polynomial Σ cᵢ·xⁱ by Horner's rule, coefficients from the highest
    /// power down.
    #[inline(always)]
    fn polynomial<const N: usize>(self, x: Self::V, coefficients: [f32; N]) -> Self::V {
        let mut sum = self.splat(coefficients[0]);
        for &c in &coefficients[1..] {
            sum = self.mul_add(sum, x, self.splat(c));
        }
        sum
    }
}

/// Lanes of an instruction set's widest vector.
pub(crate) const WIDEST: usize = 16;

/// Lanes of the widest vector, that of twice twice as many.
const MOST_LANES: usize = 4 * WIDEST;

/// Vectors by number: what [`Simd::sums`] adds up.
pub trait Column<S: Simd> {
    /// The vector of this number. Implementations are marked
    /// `#[inline(always)]`.
    fn at(&self, s: S, i: usize) -> S::V;
}

/// What sums are added to.
pub trait Sums {
    /// Adds one of them. Implementations are marked `#[inline(always)]`.
    fn add(&mut self, x: f32);
}

/// An operation that can be compiled for any instruction set.
pub trait Op {
    /// What it returns.
    type Output;
    /// The operation. Implementations are marked `#[inline(always)]`, so that
    /// they are compiled with the caller's instructions.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// An instruction set that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// What the target has at compile time, through `wide`: 8 lanes.
    Portable,
    /// AVX2 and FMA: 8 lanes.
    Avx2,
    /// AVX-512 F, VL, BW and DQ: 16 lanes.
    Avx512,
    /// [`Model`] with 16 lanes and 32 registers, for tests; not one of
    /// [`Isa::ALL`].
    #[cfg(feature = "model")]
    Model,
}

impl Isa {
    /// All of them, from the most ordinary to the widest.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// Its name, as `MLPC_ISA` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            #[cfg(feature = "model")]
            Isa::Model => "model",
        }
    }

    /// Whether this CPU has it.
    pub fn available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(feature = "model")]
            Isa::Model => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The widest that this CPU has.
    pub fn best() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.available()).unwrap_or(Isa::Portable)
    }

    /// Lanes of its vectors.
    pub fn lanes(self) -> usize {
        match self {
            Isa::Portable | Isa::Avx2 => 8,
            Isa::Avx512 => 16,
            #[cfg(feature = "model")]
            Isa::Model => 16,
        }
    }

    /// Itself, or one that it includes and whose vectors are half as wide: for
    /// work that does not fill wider ones, which then has less to add up.
    pub fn narrow(self) -> Isa {
        match self {
            Isa::Avx512 => Isa::Avx2,
            isa => isa,
        }
    }

    /// Runs an operation with this instruction set.
    ///
    /// # Panics
    /// Where the CPU lacks it: check [`Isa::available`] when it is chosen.
    #[inline]
    pub fn run<O: Op>(self, op: O) -> O::Output {
        match self {
            Isa::Portable => Portable::new().outlined(op),
            #[cfg(feature = "model")]
            Isa::Model => Model::<16>.outlined(op),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::detect().expect("an available instruction set").outlined(op),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::detect().expect("an available instruction set").outlined(op),
            #[cfg(not(target_arch = "x86_64"))]
            _ => panic!("{self} is not available on this CPU"),
        }
    }
}

/// Who runs an operation: an instruction set that is chosen now, or the kernel
/// that asks, on its own. An operation is compiled once for both.
pub(crate) trait Host {
    fn run<O: Op>(self, op: O) -> O::Output;
}

impl Host for Isa {
    #[inline]
    fn run<O: Op>(self, op: O) -> O::Output {
        Isa::run(self, op)
    }
}

/// A kernel that runs already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Within<S>(pub(crate) S);

impl<S: Simd> Host for Within<S> {
    #[inline(always)]
    fn run<O: Op>(self, op: O) -> O::Output {
        self.0.outlined(op)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = ();
    fn from_str(name: &str) -> Result<Self, ()> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name).ok_or(())
    }
}
