//! The portable implementation, over `wide`: SSE2 on x86-64, NEON on Arm,
//! SIMD128 on wasm, plain arrays elsewhere; AVX where the build targets it.

use super::{Op, Simd};
use wide::{f32x4, f32x8, i32x8};

/// Vectors of 8 lanes on any CPU.
#[derive(Debug, Clone, Copy)]
pub struct Portable(());

impl Portable {
    /// Every CPU has it.
    pub fn new() -> Self {
        Portable(())
    }
}

impl Default for Portable {
    fn default() -> Self {
        Portable::new()
    }
}

impl Simd for Portable {
    type V = f32x8;
    type M = f32x8;
    type Half = Self;
    const LANES: usize = 8;
    // SSE2 and NEON hold a vector of 8 in two registers.
    const REGISTERS: usize = 8;

    #[inline(always)]
    fn half(self) -> Self {
        self
    }
    #[inline(never)]
    fn outlined<O: Op>(self, op: O) -> O::Output {
        op.run(self)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        // Of halves, as all operations are: the same number for both of them.
        let half = f32x4::splat(x);
        // SAFETY: both are 8 f32, any.
        unsafe { std::mem::transmute::<[f32x4; 2], f32x8>([half; 2]) }
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> f32x8 {
        let from = &from[..8];
        // SAFETY: the slice was just cut to eight elements.
        unsafe { self.load_ptr(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: f32x8, to: &mut [f32]) {
        let to = &mut to[..8];
        // SAFETY: the slice was just cut to eight elements.
        unsafe { self.store_ptr(v, to.as_mut_ptr()) }
    }
    // Not by way of arrays, for which the compiler takes vectors apart and keeps
    // their lanes one by one.
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> f32x8 {
        // SAFETY: the caller vouches for 8 readable f32; f32x8 is 8 of them, any.
        unsafe { from.cast::<f32x8>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: f32x8, to: *mut f32) {
        // SAFETY: the caller vouches for 8 writable f32; f32x8 is 8 of them.
        unsafe { to.cast::<f32x8>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> f32x8 {
        // A case each: lanes that are written to memory one by one are waited for
        // when they are read as a vector.
        // SAFETY: the caller vouches for n readable f32.
        unsafe {
            match n {
                0 => f32x8::ZERO,
                1 => f32x8::new([*from, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
                2 => f32x8::new([*from, *from.add(1), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
                3 => f32x8::new([*from, *from.add(1), *from.add(2), 0.0, 0.0, 0.0, 0.0, 0.0]),
                4..8 => {
                    let [a, b, c, d] = from.cast::<[f32; 4]>().read();
                    let [e, f, g] = [4, 5, 6].map(|i| if i < n { *from.add(i) } else { 0.0 });
                    f32x8::new([a, b, c, d, e, f, g, 0.0])
                }
                _ => self.load_ptr(from),
            }
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, v: f32x8, to: *mut f32, n: usize) {
        for (i, lane) in v.to_array().into_iter().enumerate().take(n) {
            // SAFETY: the caller vouches for n writable f32, and i < n.
            unsafe { to.add(i).write(lane) }
        }
    }

    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_neg_add(b, c)
    }
    #[inline(always)]
    fn min(self, a: f32x8, b: f32x8) -> f32x8 {
        // MINPS says of NaN what this trait says; `wide` says nothing.
        if cfg!(target_arch = "x86_64") { a.fast_min(b) } else { a.simd_lt(b).bitselect(a, b) }
    }
    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        if cfg!(target_arch = "x86_64") { a.fast_max(b) } else { b.simd_lt(a).bitselect(a, b) }
    }
    #[inline(always)]
    fn abs(self, a: f32x8) -> f32x8 {
        a.abs()
    }
    #[inline(always)]
    fn copysign(self, a: f32x8, sign: f32x8) -> f32x8 {
        let sign_bit = f32x8::splat(-0.0);
        a.abs() | (sign & sign_bit)
    }
    #[inline(always)]
    fn sqrt(self, a: f32x8) -> f32x8 {
        a.sqrt()
    }
    #[inline(always)]
    fn round(self, a: f32x8) -> f32x8 {
        // `wide` has no single instruction for this at SSE2. Adding and
        // taking away 1.5·2²³ rounds to nearest-even for |a| < 2²²; larger
        // values never reach this (see the callers' clamps).
        let magic = f32x8::splat(12_582_912.0);
        (a + magic) - magic
    }
    #[inline(always)]
    fn scale(self, a: f32x8, n: f32x8) -> f32x8 {
        // In two steps: half of n is added to the exponent of `a`, which
        // stays normal; the product by 2 to the other half rounds.
        let n: i32x8 = n.fast_trunc_int();
        let half: i32x8 = n >> 1;
        let rest = n - half + i32x8::splat(127);
        floats(bits(a) + (half << 23)) * floats(rest << 23)
    }
    #[inline(always)]
    fn scale_small(self, a: f32x8, n: f32x8) -> f32x8 {
        // a·2ⁿ⁺²⁴ is normal; the product by 2⁻²⁴ rounds.
        let exponent: i32x8 = (n + f32x8::splat(24.0)).fast_trunc_int() << 23;
        floats(bits(a) + exponent) * f32x8::splat(1.0 / 16_777_216.0)
    }
    #[inline(always)]
    fn power_of_two(self, n: f32x8) -> f32x8 {
        // The biased exponent lands in the last bits of a number of 24 bits.
        floats(bits(n + f32x8::splat(12_582_912.0 + 127.0)) << 23)
    }
    #[inline(always)]
    fn round_to_power(self, a: f32x8, b: f32, up: f32) -> (f32x8, f32x8) {
        // One sum does both: n and the biased exponent are its last bits.
        let bias = f32x8::splat(12_582_912.0 + 127.0 + up);
        let sum = self.mul_add(a, f32x8::splat(b), bias);
        (sum - bias, floats(bits(sum) << 23))
    }
    #[inline(always)]
    fn mantissa_exponent(self, a: f32x8) -> (f32x8, f32x8) {
        let mantissa = (bits(a) & i32x8::splat(0x007f_ffff)) | i32x8::splat(0x3f80_0000);
        let exponent = (bits(a) >> 23) - i32x8::splat(127);
        (floats(mantissa), f32x8::from_i32x8(exponent))
    }
    #[inline(always)]
    fn lt(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b)
    }
    #[inline(always)]
    fn eq(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_eq(b)
    }
    #[inline(always)]
    fn select(self, mask: f32x8, a: f32x8, b: f32x8) -> f32x8 {
        mask.bitselect(a, b)
    }
    #[inline(always)]
    fn sum(self, a: f32x8) -> f32 {
        let a = a.to_array();
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }
    #[inline(always)]
    unsafe fn columns4(self, rows: *const *const f32, at: usize) -> [f32x8; 4] {
        // SAFETY: the caller vouches for 4 elements of 8 rows.
        unsafe { columns_of(|i| (*rows.add(i)).add(at)) }
    }
    #[inline(always)]
    fn deinterleave4(self, v: [f32x8; 4]) -> [f32x8; 4] {
        let rows = v.map(f32x8::to_array);
        // SAFETY: 8 rows of 4 in 4 arrays of 8.
        unsafe { columns_of(|i| rows.as_ptr().cast::<f32>().add(4 * i)) }
    }
    #[inline(always)]
    unsafe fn transpose8(self, from: [*const f32; 8], to: *mut f32, to_stride: usize) {
        // SAFETY: the caller vouches for 8 rows of 8 on both sides.
        unsafe {
            self.transpose8x4(from, to, to_stride);
            self.transpose8x4(from.map(|row| row.add(4)), to.add(4 * to_stride), to_stride);
        }
    }
    #[inline(always)]
    unsafe fn transpose8x4(self, from: [*const f32; 8], to: *mut f32, to_stride: usize) {
        // SAFETY: the caller vouches for 8 rows of 4, and for 4 of 8.
        unsafe {
            transpose4(std::array::from_fn(|i| from[i]), to, to_stride);
            transpose4(std::array::from_fn(|i| from[4 + i]), to.add(4), to_stride);
        }
    }
    #[inline(always)]
    unsafe fn transpose4x8(self, from: [*const f32; 4], to: *mut f32, to_stride: usize) {
        // SAFETY: the caller vouches for 4 rows of 8, and for 8 of 4.
        unsafe {
            transpose4(from, to, to_stride);
            transpose4(from.map(|row| row.add(4)), to.add(4 * to_stride), to_stride);
        }
    }
    #[inline(always)]
    fn map(self, a: f32x8, f: impl Fn(f32) -> f32) -> f32x8 {
        f32x8::new(a.to_array().map(f))
    }
}

/// Transposes 4 rows of 4, one after another, as [`Simd::transpose4x8`] says.
///
/// # Safety
/// 4 f32 at each of `from` must be valid for reading, and the 4 rows of 4 that
/// `to` and its stride name for writing.
#[inline(always)]
unsafe fn transpose4(from: [*const f32; 4], to: *mut f32, to_stride: usize) {
    // SAFETY: the caller's promise; f32x4 is 4 f32, any.
    let rows = from.map(|row| unsafe { row.cast::<f32x4>().read_unaligned() });
    for (j, column) in f32x4::transpose(rows).into_iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { to.add(j * to_stride).cast::<f32x4>().write_unaligned(column) }
    }
}

/// The columns of 8 rows of 4.
///
/// # Safety
/// 4 f32 at each of the first 8 `from` must be valid for reading.
#[inline(always)]
unsafe fn columns_of(from: impl Fn(usize) -> *const f32) -> [f32x8; 4] {
    // SAFETY: the caller's promise; f32x4 is 4 f32, any, and two of them are a vector of
    // 8.
    unsafe {
        let four = |i: usize| from(i).cast::<f32x4>().read_unaligned();
        let low = f32x4::transpose([four(0), four(1), four(2), four(3)]);
        let high = f32x4::transpose([four(4), four(5), four(6), four(7)]);
        let both = |j: usize| std::mem::transmute::<[f32x4; 2], f32x8>([low[j], high[j]]);
        [both(0), both(1), both(2), both(3)]
    }
}

#[inline(always)]
fn bits(v: f32x8) -> i32x8 {
    // SAFETY: both are plain vectors of 8 times 32 bits, of any bits.
    unsafe { std::mem::transmute::<f32x8, i32x8>(v) }
}

#[inline(always)]
fn floats(v: i32x8) -> f32x8 {
    // SAFETY: as in `bits`.
    unsafe { std::mem::transmute::<i32x8, f32x8>(v) }
}
