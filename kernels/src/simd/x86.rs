//! AVX2+FMA and AVX-512 over `core::arch`.
//!
//! Every method is one or a few intrinsics. They are sound because a token
//! exists only where detection found the instruction set ([`Avx2::detect`],
//! [`Avx512::detect`] are the only makers); that is the argument of every
//! SAFETY comment here that says "the token".

mod gathers;
mod transposes;

use super::{Column, Op, Simd};
use core::arch::x86_64::*;
use gathers::{gather8, strided8};
use transposes::{
    EVEN, ODD, exchange, exchange16, quarters, transpose4x8, transpose8, transpose8x4,
};

/// Proof that the CPU has AVX2 and FMA, with so many registers: with 32 of them, that it
/// has what [`Avx512`] says.
#[derive(Debug, Clone, Copy)]
pub struct Avx2<const REGISTERS: usize = 16>(());

impl Avx2 {
    /// The token, where the CPU has AVX2 and FMA. The standard library keeps
    /// the answer, so that asking again is a load and a test.
    #[inline]
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }
}

impl<const REGISTERS: usize> Avx2<REGISTERS> {
    /// Runs an operation compiled for AVX2 and FMA, or for AVX-512 with the registers of
    /// that, in a function of its own.
    #[inline(always)]
    fn run<O: Op>(self, op: O) -> O::Output {
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        fn entry<O: Op, const REGISTERS: usize>(s: Avx2<REGISTERS>, op: O) -> O::Output {
            op.run(s)
        }
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        #[inline(never)]
        fn entry_of_avx512<O: Op, const REGISTERS: usize>(s: Avx2<REGISTERS>, op: O) -> O::Output {
            op.run(s)
        }
        // SAFETY: the token proves that the CPU has the enabled features.
        unsafe {
            match REGISTERS {
                32 => entry_of_avx512(self, op),
                _ => entry(self, op),
            }
        }
    }
}

/// Proof that the CPU has AVX-512 F, VL, BW and DQ, and AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub struct Avx512(());

impl Avx512 {
    /// The token, where the CPU has the instruction set.
    #[inline]
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma"))
        .then_some(Avx512(()))
    }

    /// Runs an operation compiled for AVX-512, in a function of its own.
    #[inline(always)]
    fn run<O: Op>(self, op: O) -> O::Output {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        #[inline(never)]
        fn entry<O: Op>(s: Avx512, op: O) -> O::Output {
            op.run(s)
        }
        // SAFETY: the token proves that the CPU has the enabled features.
        unsafe { entry(self, op) }
    }
}

/// Methods that are one intrinsic on vectors each.
macro_rules! lanewise {
    ($($name:ident($($arg:ident),*) = $intrinsic:ident($($pass:ident),*);)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: Self::V),*) -> Self::V {
            // SAFETY: the token.
            unsafe { $intrinsic($($pass),*) }
        }
    )*};
}

/// Loads, stores and transposition through slices and pointers.
macro_rules! memory {
    ($lanes:literal, $load:ident, $store:ident, $stream:ident) => {
        #[inline(always)]
        fn load(self, from: &[f32]) -> Self::V {
            let from = &from[..$lanes];
            // SAFETY: the token; the slice was just checked to hold the lanes.
            unsafe { $load(from.as_ptr()) }
        }
        #[inline(always)]
        fn store(self, v: Self::V, to: &mut [f32]) {
            let to = &mut to[..$lanes];
            // SAFETY: the token; the slice was just checked to hold the lanes.
            unsafe { $store(to.as_mut_ptr(), v) }
        }
        #[inline(always)]
        fn prefetch(self, at: *const f32) {
            // SAFETY: the token, which includes SSE; a prefetch never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
        #[inline(always)]
        unsafe fn load_ptr(self, from: *const f32) -> Self::V {
            // SAFETY: the token; the caller vouches for the memory.
            unsafe { $load(from) }
        }
        #[inline(always)]
        unsafe fn store_ptr(self, v: Self::V, to: *mut f32) {
            // SAFETY: the token; the caller vouches for the memory.
            unsafe { $store(to, v) }
        }
        #[inline(always)]
        unsafe fn stream_ptr(self, v: Self::V, to: *mut f32) {
            // SAFETY: the token; the caller vouches for the memory and its alignment.
            unsafe { $stream(to, v) }
        }
        #[inline(always)]
        fn streamed(self) {
            // SAFETY: the token, which includes SSE.
            unsafe { _mm_sfence() }
        }
        #[inline(always)]
        unsafe fn transpose8(self, from: [*const f32; 8], to: *mut f32, to_stride: usize) {
            // SAFETY: the token, which includes AVX2; the caller vouches for the memory.
            unsafe { transpose8(from, to, to_stride) }
        }
        #[inline(always)]
        unsafe fn transpose8x4(self, from: [*const f32; 8], to: *mut f32, to_stride: usize) {
            // SAFETY: the token, which includes AVX2; the caller vouches for the memory.
            unsafe { transpose8x4(from, to, to_stride) }
        }
        #[inline(always)]
        unsafe fn transpose4x8(self, from: [*const f32; 4], to: *mut f32, to_stride: usize) {
            // SAFETY: the token, which includes AVX2; the caller vouches for the memory.
            unsafe { transpose4x8(from, to, to_stride) }
        }
    };
}

impl<const REGISTERS: usize> Avx2<REGISTERS> {
    /// The mask whose first `n` lanes are set.
    #[inline(always)]
    fn first(self, n: usize) -> __m256i {
        // SAFETY: the token.
        unsafe {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lane)
        }
    }
}

impl<const REGISTERS: usize> Simd for Avx2<REGISTERS> {
    type V = __m256;
    type M = __m256;
    type Half = Self;
    const LANES: usize = 8;
    const REGISTERS: usize = REGISTERS;

    memory!(8, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_stream_ps);

    lanewise! {
        add(a, b) = _mm256_add_ps(a, b);
        sub(a, b) = _mm256_sub_ps(a, b);
        mul(a, b) = _mm256_mul_ps(a, b);
        div(a, b) = _mm256_div_ps(a, b);
        mul_add(a, b, c) = _mm256_fmadd_ps(a, b, c);
        neg_mul_add(a, b, c) = _mm256_fnmadd_ps(a, b, c);
        min(a, b) = _mm256_min_ps(a, b);
        max(a, b) = _mm256_max_ps(a, b);
        sqrt(a) = _mm256_sqrt_ps(a);
    }

    #[inline(always)]
    fn half(self) -> Self {
        self
    }
    #[inline(always)]
    fn outlined<O: Op>(self, op: O) -> O::Output {
        self.run(op)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: the token.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> __m256 {
        // SAFETY: the token; a masked load touches the first n elements
        // alone, for which the caller vouches.
        unsafe { _mm256_maskload_ps(from, self.first(n)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, v: __m256, to: *mut f32, n: usize) {
        // By halves: a masked store takes dozens of cycles on AMD's cores.
        // SAFETY: the token; the parts' lengths add up to n, for which the
        // caller vouches.
        unsafe {
            if n >= 8 {
                return _mm256_storeu_ps(to, v);
            }
            let (mut four, mut to) = (_mm256_castps256_ps128(v), to);
            if n & 4 != 0 {
                _mm_storeu_ps(to, four);
                (four, to) = (_mm256_extractf128_ps::<1>(v), to.add(4));
            }
            if n & 2 != 0 {
                _mm_storel_epi64(to.cast(), _mm_castps_si128(four));
                (four, to) = (_mm_movehl_ps(four, four), to.add(2));
            }
            if n & 1 != 0 {
                _mm_store_ss(to, four);
            }
        }
    }
    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        // SAFETY: the token.
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }
    #[inline(always)]
    fn copysign(self, a: __m256, sign: __m256) -> __m256 {
        // SAFETY: the token.
        unsafe {
            let bit = _mm256_set1_ps(-0.0);
            _mm256_or_ps(_mm256_andnot_ps(bit, a), _mm256_and_ps(bit, sign))
        }
    }
    #[inline(always)]
    fn signed(self, a: __m256, sign: __m256) -> __m256 {
        // SAFETY: the token.
        unsafe { _mm256_or_ps(a, _mm256_and_ps(_mm256_set1_ps(-0.0), sign)) }
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        // SAFETY: the token.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn scale(self, a: __m256, n: __m256) -> __m256 {
        // In two steps: half of n is added to the exponent of `a`, which
        // stays normal; the product by 2 to the other half rounds.
        // SAFETY: the token.
        unsafe {
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            let rest = _mm256_add_epi32(_mm256_sub_epi32(n, half), _mm256_set1_epi32(127));
            let exponent = _mm256_slli_epi32::<23>(half);
            let a = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent));
            _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(rest)))
        }
    }
    #[inline(always)]
    fn scale_small(self, a: __m256, n: __m256) -> __m256 {
        // a·2ⁿ⁺²⁴ is normal; the product by 2⁻²⁴ rounds. NaN becomes the
        // integer −2³¹, of which the shift leaves 0.
        // SAFETY: the token.
        unsafe {
            let n = _mm256_cvtps_epi32(_mm256_add_ps(n, _mm256_set1_ps(24.0)));
            let exponent = _mm256_slli_epi32::<23>(n);
            let a = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent));
            _mm256_mul_ps(a, _mm256_set1_ps(1.0 / 16_777_216.0))
        }
    }
    #[inline(always)]
    fn power_of_two(self, n: __m256) -> __m256 {
        // The biased exponent lands in the last bits of a number of 24 bits.
        // SAFETY: the token.
        unsafe {
            let n = _mm256_add_ps(n, _mm256_set1_ps(12_582_912.0 + 127.0));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(n)))
        }
    }
    #[inline(always)]
    fn round_to_power(self, a: __m256, b: f32, up: f32) -> (__m256, __m256) {
        // One sum does both: n and the biased exponent are its last bits.
        // SAFETY: the token.
        unsafe {
            let bias = _mm256_set1_ps(12_582_912.0 + 127.0 + up);
            let sum = _mm256_fmadd_ps(a, _mm256_set1_ps(b), bias);
            let power = _mm256_slli_epi32::<23>(_mm256_castps_si256(sum));
            (_mm256_sub_ps(sum, bias), _mm256_castsi256_ps(power))
        }
    }
    #[inline(always)]
    fn mantissa_exponent(self, a: __m256) -> (__m256, __m256) {
        // SAFETY: the token.
        unsafe {
            let bits = _mm256_castps_si256(a);
            let mantissa = _mm256_and_si256(bits, _mm256_set1_epi32(0x007f_ffff));
            let mantissa = _mm256_or_si256(mantissa, _mm256_set1_epi32(0x3f80_0000));
            let exponent = _mm256_sub_epi32(_mm256_srli_epi32::<23>(bits), _mm256_set1_epi32(127));
            (_mm256_castsi256_ps(mantissa), _mm256_cvtepi32_ps(exponent))
        }
    }
    #[inline(always)]
    fn lt(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token.
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
    }
    #[inline(always)]
    fn eq(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token.
        unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
    }
    #[inline(always)]
    fn select(self, mask: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token.
        unsafe { _mm256_blendv_ps(b, a, mask) }
    }
    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        // SAFETY: the token.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            let one = _mm_add_ss(two, _mm_shuffle_ps::<1>(two, two));
            _mm_cvtss_f32(one)
        }
    }
    #[inline(always)]
    fn sum4(self, v: [__m256; 4]) -> [f32; 4] {
        // SAFETY: the token.
        unsafe { sum4(v) }
    }
    #[inline(always)]
    fn sums<C: Column<Self>>(self, vectors: &C) -> __m256 {
        let low =
            [vectors.at(self, 0), vectors.at(self, 1), vectors.at(self, 2), vectors.at(self, 3)];
        let high =
            [vectors.at(self, 4), vectors.at(self, 5), vectors.at(self, 6), vectors.at(self, 7)];
        // SAFETY: the token.
        unsafe { sums8(low, high) }
    }
    #[inline(always)]
    unsafe fn gather(self, rows: *const *const f32, at: usize) -> __m256 {
        // SAFETY: the token; the caller vouches for 8 rows.
        unsafe { gather8(rows, at) }
    }
    #[inline(always)]
    unsafe fn columns4(self, rows: *const *const f32, at: usize) -> [__m256; 4] {
        // SAFETY: the token; the caller vouches for 4 elements of 8 rows.
        unsafe {
            exchange([
                quarters(rows, at),
                quarters(rows.add(1), at),
                quarters(rows.add(2), at),
                quarters(rows.add(3), at),
            ])
        }
    }
    #[inline(always)]
    unsafe fn load_strided(self, from: *const f32, stride: usize) -> __m256 {
        // SAFETY: the token; the caller vouches for 8 elements.
        unsafe { strided8(from, stride) }
    }
    #[inline(always)]
    fn deinterleave2(self, [low, high]: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: the token.
        unsafe {
            // Quarters of four rows: 0 to 1, 4 to 5, 2 to 3, 6 to 7.
            let even = _mm256_shuffle_ps::<EVEN>(low, high);
            let odd = _mm256_shuffle_ps::<ODD>(low, high);
            let order = |x| _mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(x));
            [_mm256_castpd_ps(order(even)), _mm256_castpd_ps(order(odd))]
        }
    }
    #[inline(always)]
    fn deinterleave4(self, v: [__m256; 4]) -> [__m256; 4] {
        // SAFETY: the token.
        unsafe {
            let [a, b, c, d] = exchange(v);
            // Of rows 0, 2, 4, 6 and 1, 3, 5, 7.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            [
                _mm256_permutevar8x32_ps(a, order),
                _mm256_permutevar8x32_ps(b, order),
                _mm256_permutevar8x32_ps(c, order),
                _mm256_permutevar8x32_ps(d, order),
            ]
        }
    }
    #[inline(always)]
    fn map(self, a: __m256, f: impl Fn(f32) -> f32) -> __m256 {
        let mut lanes = [0.0; 8];
        self.store(a, &mut lanes);
        self.load(&lanes.map(f))
    }
}

impl Simd for Avx512 {
    type V = __m512;
    type M = __mmask16;
    type Half = Avx2<32>;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    memory!(16, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_stream_ps);

    lanewise! {
        add(a, b) = _mm512_add_ps(a, b);
        sub(a, b) = _mm512_sub_ps(a, b);
        mul(a, b) = _mm512_mul_ps(a, b);
        div(a, b) = _mm512_div_ps(a, b);
        mul_add(a, b, c) = _mm512_fmadd_ps(a, b, c);
        neg_mul_add(a, b, c) = _mm512_fnmadd_ps(a, b, c);
        min(a, b) = _mm512_min_ps(a, b);
        max(a, b) = _mm512_max_ps(a, b);
        abs(a) = _mm512_abs_ps(a);
        sqrt(a) = _mm512_sqrt_ps(a);
        scale(a, n) = _mm512_scalef_ps(a, n);
    }

    #[inline(always)]
    fn half(self) -> Avx2<32> {
        // The token, which includes AVX2 and FMA.
        Avx2(())
    }
    #[inline(always)]
    fn outlined<O: Op>(self, op: O) -> O::Output {
        self.run(op)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: the token.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> __m512 {
        // SAFETY: the token; a masked load touches the first n elements
        // alone, for which the caller vouches.
        unsafe { _mm512_maskz_loadu_ps(first16(n), from) }
    }
    #[inline(always)]
    unsafe fn store_first(self, v: __m512, to: *mut f32, n: usize) {
        // SAFETY: the token; a masked store touches the first n elements
        // alone, for which the caller vouches.
        unsafe { _mm512_mask_storeu_ps(to, first16(n), v) }
    }
    #[inline(always)]
    fn copysign(self, a: __m512, sign: __m512) -> __m512 {
        // SAFETY: the token.
        unsafe {
            let bit = _mm512_set1_ps(-0.0);
            _mm512_or_ps(_mm512_andnot_ps(bit, a), _mm512_and_ps(bit, sign))
        }
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        // SAFETY: the token.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn power_of_two(self, n: __m512) -> __m512 {
        // The biased exponent lands in the last bits of a number of 24 bits.
        // SAFETY: the token.
        unsafe {
            let n = _mm512_add_ps(n, _mm512_set1_ps(12_582_912.0 + 127.0));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(n)))
        }
    }
    #[inline(always)]
    fn round_to_power(self, a: __m512, b: f32, up: f32) -> (__m512, __m512) {
        // As for AVX2, bit by bit: single rows are computed there.
        // SAFETY: the token.
        unsafe {
            let bias = _mm512_set1_ps(12_582_912.0 + 127.0 + up);
            let sum = _mm512_fmadd_ps(a, _mm512_set1_ps(b), bias);
            let power = _mm512_slli_epi32::<23>(_mm512_castps_si512(sum));
            (_mm512_sub_ps(sum, bias), _mm512_castsi512_ps(power))
        }
    }
    #[inline(always)]
    fn mantissa_exponent(self, a: __m512) -> (__m512, __m512) {
        // SAFETY: the token.
        unsafe {
            let mantissa = _mm512_getmant_ps::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_SRC>(a);
            (mantissa, _mm512_getexp_ps(a))
        }
    }
    #[inline(always)]
    fn lt(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: the token.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
    }
    #[inline(always)]
    fn eq(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: the token.
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
    }
    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token.
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        // SAFETY: the token.
        unsafe { _mm512_reduce_add_ps(a) }
    }
    #[inline(always)]
    fn sum4(self, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        // SAFETY: the token, which includes AVX2.
        unsafe { sum4([add_halves(a), add_halves(b), add_halves(c), add_halves(d)]) }
    }
    #[inline(always)]
    fn sums<C: Column<Self>>(self, vectors: &C) -> __m512 {
        // Half of each added to the other half, then as for AVX2.
        // SAFETY: the token, which includes AVX2.
        unsafe {
            let v = |i: usize| add_halves(vectors.at(self, i));
            let low = sums8([v(0), v(1), v(2), v(3)], [v(4), v(5), v(6), v(7)]);
            let high = sums8([v(8), v(9), v(10), v(11)], [v(12), v(13), v(14), v(15)]);
            _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high)
        }
    }
    #[inline(always)]
    unsafe fn gather(self, rows: *const *const f32, at: usize) -> __m512 {
        // SAFETY: the token, which includes AVX2; the caller vouches for 16 rows.
        unsafe {
            let (low, high) = (gather8(rows, at), gather8(rows.add(8), at));
            _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high)
        }
    }
    #[inline(always)]
    unsafe fn columns4(self, rows: *const *const f32, at: usize) -> [__m512; 4] {
        // SAFETY: the token; the caller vouches for 4 elements of 16 rows.
        unsafe {
            let rows = |i: usize| {
                let low = _mm512_castps256_ps512(quarters(rows.add(i), at));
                _mm512_insertf32x8::<1>(low, quarters(rows.add(8 + i), at))
            };
            exchange16([rows(0), rows(1), rows(2), rows(3)])
        }
    }
    #[inline(always)]
    unsafe fn columns8(self, rows: *const *const f32, at: usize) -> [__m512; 8] {
        // SAFETY: the token; the caller vouches for 8 elements of 16 rows.
        unsafe {
            // With rows i and i + 4 in the halves, none but the last exchange crosses
            // quarters.
            let rows = |i: usize| {
                let low =
                    _mm512_castps256_ps512(_mm256_loadu_ps(rows.add(i).read_volatile().add(at)));
                _mm512_insertf32x8::<1>(
                    low,
                    _mm256_loadu_ps(rows.add(i + 4).read_volatile().add(at)),
                )
            };
            // Columns j of rows 0 to 3, j + 4 of these, j of rows 4 to 7, j + 4 of these.
            let [a0, a1, a2, a3] = exchange16([rows(0), rows(1), rows(2), rows(3)]);
            let [b0, b1, b2, b3] = exchange16([rows(8), rows(9), rows(10), rows(11)]);
            [
                _mm512_shuffle_f32x4::<EVEN>(a0, b0),
                _mm512_shuffle_f32x4::<EVEN>(a1, b1),
                _mm512_shuffle_f32x4::<EVEN>(a2, b2),
                _mm512_shuffle_f32x4::<EVEN>(a3, b3),
                _mm512_shuffle_f32x4::<ODD>(a0, b0),
                _mm512_shuffle_f32x4::<ODD>(a1, b1),
                _mm512_shuffle_f32x4::<ODD>(a2, b2),
                _mm512_shuffle_f32x4::<ODD>(a3, b3),
            ]
        }
    }
    #[inline(always)]
    unsafe fn load_strided(self, from: *const f32, stride: usize) -> __m512 {
        // SAFETY: the token, which includes AVX2; the caller vouches for 16
        // elements.
        unsafe {
            let (low, high) = (strided8(from, stride), strided8(from.add(8 * stride), stride));
            _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high)
        }
    }
    #[inline(always)]
    fn deinterleave2(self, [low, high]: [__m512; 2]) -> [__m512; 2] {
        // SAFETY: the token.
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_or_si512(even, _mm512_set1_epi32(1));
            [_mm512_permutex2var_ps(low, even, high), _mm512_permutex2var_ps(low, odd, high)]
        }
    }
    #[inline(always)]
    fn deinterleave4(self, v: [__m512; 4]) -> [__m512; 4] {
        // SAFETY: the token.
        unsafe {
            let [a, b, c, d] = exchange16(v);
            // Of rows 0, 4, 8, 12, then 1, 5, 9, 13 and so on.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            [
                _mm512_permutexvar_ps(order, a),
                _mm512_permutexvar_ps(order, b),
                _mm512_permutexvar_ps(order, c),
                _mm512_permutexvar_ps(order, d),
            ]
        }
    }
    #[inline(always)]
    fn map(self, a: __m512, f: impl Fn(f32) -> f32) -> __m512 {
        let mut lanes = [0.0; 16];
        self.store(a, &mut lanes);
        self.load(&lanes.map(f))
    }
}

/// The sums of lanes 8 apart.
///
/// # Safety
/// The CPU has AVX-512 F and DQ.
#[inline(always)]
unsafe fn add_halves(v: __m512) -> __m256 {
    // SAFETY: the caller vouches for the CPU.
    unsafe { _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)) }
}

/// The sums of the lanes of both halves of four vectors, those of the lower
/// halves first: of lanes two apart, then of neighbours.
///
/// # Safety
/// The CPU has AVX.
#[inline(always)]
unsafe fn halves4([a, b, c, d]: [__m256; 4]) -> __m256 {
    // SAFETY: the caller vouches for the CPU.
    unsafe {
        let pair = |a, b| _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (a, b) = (_mm256_castps_pd(pair(a, b)), _mm256_castps_pd(pair(c, d)));
        let (even, odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        _mm256_add_ps(_mm256_castpd_ps(even), _mm256_castpd_ps(odd))
    }
}

/// The sums of the lanes of four vectors.
///
/// # Safety
/// The CPU has AVX.
#[inline(always)]
unsafe fn sum4(v: [__m256; 4]) -> [f32; 4] {
    let mut sums = [0.0; 4];
    // SAFETY: the caller vouches for the CPU; the array holds the four lanes.
    unsafe {
        let halves = halves4(v);
        let four = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves));
        _mm_storeu_ps(sums.as_mut_ptr(), four);
    }
    sums
}

/// The sums of the lanes of eight vectors, one a lane.
///
/// # Safety
/// The CPU has AVX.
#[inline(always)]
unsafe fn sums8(low: [__m256; 4], high: [__m256; 4]) -> __m256 {
    // SAFETY: the caller vouches for the CPU.
    unsafe {
        let (low, high) = (halves4(low), halves4(high));
        _mm256_add_ps(
            _mm256_permute2f128_ps::<0x20>(low, high),
            _mm256_permute2f128_ps::<0x31>(low, high),
        )
    }
}

/// The mask whose first `n` lanes are set, n ≤ 16.
#[inline(always)]
fn first16(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as u16
}
