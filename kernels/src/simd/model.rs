//! A model of the trait in plain Rust, for tests.
//!
//! Every method is the scalar definition of its documentation, lane by lane.
//! The trait's implementations are tested against it; and code that is generic
//! over the width is run with 16 lanes and 32 registers, as under AVX-512, on
//! any CPU.
//!
//! Nothing is inlined: what is generic would become 16 and more copies of
//! scalar code, which takes minutes to compile.

use super::{Op, Simd};
use std::array::from_fn;

/// Vectors of `N` lanes, at most 16, and twice as many registers.
#[derive(Debug, Clone, Copy)]
pub struct Model<const N: usize>;

impl<const N: usize> Simd for Model<N> {
    type V = [f32; N];
    type M = [bool; N];
    type Half = Model<8>;
    const LANES: usize = N;
    const REGISTERS: usize = 2 * N;

    #[inline(never)]
    fn half(self) -> Model<8> {
        Model
    }
    #[inline(never)]
    fn outlined<O: Op>(self, op: O) -> O::Output {
        op.run(self)
    }
    #[inline(never)]
    fn splat(self, x: f32) -> [f32; N] {
        [x; N]
    }
    #[inline(never)]
    fn load(self, from: &[f32]) -> [f32; N] {
        from_fn(|i| from[i])
    }
    #[inline(never)]
    fn store(self, v: [f32; N], to: &mut [f32]) {
        to[..N].copy_from_slice(&v);
    }
    #[inline(never)]
    unsafe fn load_ptr(self, from: *const f32) -> [f32; N] {
        // SAFETY: the caller vouches for N elements.
        unsafe { self.load_first(from, N) }
    }
    #[inline(never)]
    unsafe fn store_ptr(self, v: [f32; N], to: *mut f32) {
        // SAFETY: the caller vouches for N elements.
        unsafe { self.store_first(v, to, N) }
    }
    #[inline(never)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> [f32; N] {
        assert!(n <= N);
        // SAFETY: the caller vouches for n elements.
        from_fn(|i| if i < n { unsafe { *from.add(i) } } else { 0.0 })
    }
    #[inline(never)]
    unsafe fn store_first(self, v: [f32; N], to: *mut f32, n: usize) {
        assert!(n <= N);
        for (i, lane) in v.into_iter().enumerate().take(n) {
            // SAFETY: the caller vouches for n elements.
            unsafe { *to.add(i) = lane }
        }
    }

    #[inline(never)]
    fn add(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(never)]
    fn sub(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(never)]
    fn mul(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(never)]
    fn div(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(never)]
    fn mul_add(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(never)]
    fn neg_mul_add(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        from_fn(|i| (-a[i]).mul_add(b[i], c[i]))
    }
    #[inline(never)]
    fn min(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(never)]
    fn max(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(never)]
    fn abs(self, a: [f32; N]) -> [f32; N] {
        a.map(f32::abs)
    }
    #[inline(never)]
    fn copysign(self, a: [f32; N], sign: [f32; N]) -> [f32; N] {
        from_fn(|i| a[i].copysign(sign[i]))
    }
    #[inline(never)]
    fn sqrt(self, a: [f32; N]) -> [f32; N] {
        a.map(f32::sqrt)
    }
    #[inline(never)]
    fn round(self, a: [f32; N]) -> [f32; N] {
        a.map(f32::round_ties_even)
    }
    #[inline(never)]
    fn scale(self, a: [f32; N], n: [f32; N]) -> [f32; N] {
        // The product is exact in f64; the conversion rounds it once.
        from_fn(|i| (f64::from(a[i]) * f64::from(n[i]).exp2()) as f32)
    }
    #[inline(never)]
    fn lt(self, a: [f32; N], b: [f32; N]) -> [bool; N] {
        from_fn(|i| a[i] < b[i])
    }
    #[inline(never)]
    fn eq(self, a: [f32; N], b: [f32; N]) -> [bool; N] {
        from_fn(|i| a[i] == b[i])
    }
    #[inline(never)]
    fn select(self, mask: [bool; N], a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| if mask[i] { a[i] } else { b[i] })
    }
    #[inline(never)]
    fn sum(self, a: [f32; N]) -> f32 {
        a.into_iter().sum()
    }
    #[inline(never)]
    fn map(self, a: [f32; N], f: impl Fn(f32) -> f32) -> [f32; N] {
        a.map(f)
    }
    #[inline(never)]
    unsafe fn transpose8(self, from: [*const f32; 8], to: *mut f32, to_stride: usize) {
        for (i, row) in from.into_iter().enumerate() {
            for j in 0..8 {
                // SAFETY: the caller vouches for 8 rows of 8 on both sides.
                unsafe { *to.add(j * to_stride + i) = *row.add(j) }
            }
        }
    }
}
