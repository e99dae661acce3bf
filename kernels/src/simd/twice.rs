//! Two vectors as one.

use super::{Op, Simd, Sums};

/// A vector of twice the lanes, made of two registers.
///
/// An elementwise function is a chain of dependent instructions, some 15 to
/// 20 of 4 cycles each. One vector at a time such chains fill the scheduler
/// with instructions that wait; written for `Twice<S>`, or twice of that,
/// independent chains lie interleaved and the execution units stay busy.
#[derive(Debug, Clone, Copy)]
pub struct Twice<S>(pub S);

/// An operation on vectors of twice the lanes.
struct OfTwice<O>(O);

impl<O: Op> Op for OfTwice<O> {
    type Output = O::Output;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> O::Output {
        self.0.run(Twice(s))
    }
}

/// Vectors that are made of one or several vectors of `S`.
pub trait Folds<S: Simd>: Simd {
    /// a · b, its parts added up to one vector of `S`.
    fn fold_product(self, a: Self::V, b: Self::V) -> S::V;
}

impl<S: Simd> Folds<S> for S {
    #[inline(always)]
    fn fold_product(self, a: S::V, b: S::V) -> S::V {
        self.mul(a, b)
    }
}

impl<S: Simd> Folds<S> for Twice<S> {
    #[inline(always)]
    fn fold_product(self, a: Self::V, b: Self::V) -> S::V {
        self.0.mul_add(a.1, b.1, self.0.mul(a.0, b.0))
    }
}

impl<S: Simd> Folds<S> for Twice<Twice<S>> {
    #[inline(always)]
    fn fold_product(self, a: Self::V, b: Self::V) -> S::V {
        let two = self.0;
        let low = Folds::<S>::fold_product(two, a.0, b.0);
        let high = Folds::<S>::fold_product(two, a.1, b.1);
        two.0.add(low, high)
    }
}

/// Methods that do the same to both halves.
macro_rules! halves {
    ($($name:ident($($arg:ident),*) -> $out:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: Self::V),*) -> Self::$out {
            (self.0.$name($($arg.0),*), self.0.$name($($arg.1),*))
        }
    )*};
}

impl<S: Simd> Simd for Twice<S> {
    type V = (S::V, S::V);
    type M = (S::M, S::M);
    type Half = Twice<S::Half>;
    const LANES: usize = 2 * S::LANES;
    const REGISTERS: usize = S::REGISTERS / 2;
    const PARTS: usize = 2 * S::PARTS;

    halves! {
        add(a, b) -> V;
        sub(a, b) -> V;
        mul(a, b) -> V;
        div(a, b) -> V;
        mul_add(a, b, c) -> V;
        neg_mul_add(a, b, c) -> V;
        min(a, b) -> V;
        max(a, b) -> V;
        abs(a) -> V;
        copysign(a, sign) -> V;
        signed(a, sign) -> V;
        sqrt(a) -> V;
        round(a) -> V;
        scale(a, n) -> V;
        scale_small(a, n) -> V;
        power_of_two(n) -> V;
        lt(a, b) -> M;
        eq(a, b) -> M;
        neg(a) -> V;
    }

    #[inline(always)]
    fn round_to_power(self, a: Self::V, b: f32, up: f32) -> (Self::V, Self::V) {
        let (n0, power0) = self.0.round_to_power(a.0, b, up);
        let (n1, power1) = self.0.round_to_power(a.1, b, up);
        ((n0, n1), (power0, power1))
    }
    #[inline(always)]
    fn mantissa_exponent(self, a: Self::V) -> (Self::V, Self::V) {
        let (m0, e0) = self.0.mantissa_exponent(a.0);
        let (m1, e1) = self.0.mantissa_exponent(a.1);
        ((m0, m1), (e0, e1))
    }
    #[inline(always)]
    fn half(self) -> Twice<S::Half> {
        Twice(self.0.half())
    }
    #[inline(always)]
    fn outlined<O: Op>(self, op: O) -> O::Output {
        self.0.outlined(OfTwice(op))
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        (self.0.splat(x), self.0.splat(x))
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::V {
        let from = &from[..Self::LANES];
        (self.0.load(from), self.0.load(&from[S::LANES..]))
    }
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32]) {
        let to = &mut to[..Self::LANES];
        self.0.store(v.0, to);
        self.0.store(v.1, &mut to[S::LANES..]);
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> Self::V {
        // SAFETY: the caller vouches for the lanes of both halves.
        unsafe { (self.0.load_ptr(from), self.0.load_ptr(from.add(S::LANES))) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: Self::V, to: *mut f32) {
        // SAFETY: the caller vouches for the lanes of both halves.
        unsafe {
            self.0.store_ptr(v.0, to);
            self.0.store_ptr(v.1, to.add(S::LANES));
        }
    }
    #[inline(always)]
    unsafe fn stream_ptr(self, v: Self::V, to: *mut f32) {
        // SAFETY: the caller vouches for the lanes of both halves and for the address,
        // which is a multiple of both halves' bytes.
        unsafe {
            self.0.stream_ptr(v.0, to);
            self.0.stream_ptr(v.1, to.add(S::LANES));
        }
    }
    #[inline(always)]
    fn streamed(self) {
        self.0.streamed();
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> Self::V {
        // SAFETY: the caller vouches for n elements; the halves take the first
        // LANES of them and the rest. Where there is no rest, the second
        // pointer may lie past the end; nothing is read from it.
        unsafe {
            let second = self.0.load_first(from.wrapping_add(S::LANES), n.saturating_sub(S::LANES));
            (self.0.load_first(from, n.min(S::LANES)), second)
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, v: Self::V, to: *mut f32, n: usize) {
        // SAFETY: as for `load_first`.
        unsafe {
            self.0.store_first(v.0, to, n.min(S::LANES));
            self.0.store_first(v.1, to.wrapping_add(S::LANES), n.saturating_sub(S::LANES));
        }
    }
    #[inline(always)]
    fn select(self, mask: Self::M, a: Self::V, b: Self::V) -> Self::V {
        (self.0.select(mask.0, a.0, b.0), self.0.select(mask.1, a.1, b.1))
    }
    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        self.0.sum(self.0.add(a.0, a.1))
    }
    #[inline(always)]
    fn sum_parts(self, a: Self::V, to: &mut impl Sums) {
        match Self::PARTS > 2 {
            true => {
                self.0.sum_parts(a.0, to);
                self.0.sum_parts(a.1, to);
            }
            false => to.add(self.sum(a)),
        }
    }
    #[inline(always)]
    fn map(self, a: Self::V, f: impl Fn(f32) -> f32) -> Self::V {
        (self.0.map(a.0, &f), self.0.map(a.1, &f))
    }
    #[inline(always)]
    unsafe fn gather(self, rows: *const *const f32, at: usize) -> Self::V {
        // SAFETY: the caller vouches for the lanes of both halves.
        unsafe { (self.0.gather(rows, at), self.0.gather(rows.add(S::LANES), at)) }
    }
    #[inline(always)]
    unsafe fn load_strided(self, from: *const f32, stride: usize) -> Self::V {
        // SAFETY: the caller vouches for the lanes of both halves.
        unsafe {
            let second = from.add(S::LANES * stride);
            (self.0.load_strided(from, stride), self.0.load_strided(second, stride))
        }
    }
    #[inline(always)]
    unsafe fn transpose8(self, from: [*const f32; 8], to: *mut f32, to_stride: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.0.transpose8(from, to, to_stride) }
    }
    #[inline(always)]
    unsafe fn transpose8x4(self, from: [*const f32; 8], to: *mut f32, to_stride: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.0.transpose8x4(from, to, to_stride) }
    }
    #[inline(always)]
    unsafe fn transpose4x8(self, from: [*const f32; 4], to: *mut f32, to_stride: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.0.transpose4x8(from, to, to_stride) }
    }
}
