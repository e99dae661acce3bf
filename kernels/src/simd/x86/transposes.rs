//! Rows to columns, in registers.

#[cfg(doc)]
use crate::simd::Simd;
use core::arch::x86_64::*;

/// Transposes 8 by 8, four columns at a time.
///
/// # Safety
/// The CPU has AVX; the memory is as [`Simd::transpose8`] says.
#[inline(always)]
pub(super) unsafe fn transpose8(from: [*const f32; 8], to: *mut f32, to_stride: usize) {
    // SAFETY: the caller vouches for the CPU and for 8 rows of 8 on both sides.
    unsafe {
        transpose8x4(from, to, to_stride);
        transpose8x4(from.map(|row| row.add(4)), to.add(4 * to_stride), to_stride);
    }
}

/// Transposes 8 rows of 4 in two rounds of exchanges, of single lanes and of
/// pairs: with row i and row i + 4 in the halves of one register, none crosses
/// halves.
///
/// # Safety
/// The CPU has AVX; the memory is as [`Simd::transpose8x4`] says.
#[inline(always)]
pub(super) unsafe fn transpose8x4(from: [*const f32; 8], to: *mut f32, to_stride: usize) {
    // SAFETY: the caller vouches for the CPU and for the rows on both sides.
    unsafe {
        let rows = |i: usize| {
            let low = _mm256_castps128_ps256(_mm_loadu_ps(from[i]));
            _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from[i + 4]))
        };
        let (r0, r1, r2, r3) = (rows(0), rows(1), rows(2), rows(3));
        let columns = exchange([r0, r1, r2, r3]);
        for (j, column) in columns.into_iter().enumerate() {
            _mm256_storeu_ps(to.add(j * to_stride), column);
        }
    }
}

/// 4 elements of the first row, and of the fifth behind them.
///
/// # Safety
/// The CPU has AVX; `rows` holds 5 pointers, and these elements are valid for reading.
#[inline(always)]
pub(super) unsafe fn quarters(rows: *const *const f32, at: usize) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe {
        let low = _mm256_castps128_ps256(_mm_loadu_ps((*rows).add(at)));
        _mm256_insertf128_ps::<1>(low, _mm_loadu_ps((*rows.add(4)).add(at)))
    }
}

/// Transposes 4 rows of 8, by the same exchanges.
///
/// # Safety
/// The CPU has AVX; the memory is as [`Simd::transpose4x8`] says.
#[inline(always)]
pub(super) unsafe fn transpose4x8(from: [*const f32; 4], to: *mut f32, to_stride: usize) {
    // SAFETY: the caller vouches for the CPU and for the rows on both sides.
    unsafe {
        let rows = exchange(from.map(|row| _mm256_loadu_ps(row)));
        for (i, row) in rows.into_iter().enumerate() {
            _mm_storeu_ps(to.add(i * to_stride), _mm256_castps256_ps128(row));
        }
        for (i, row) in rows.into_iter().enumerate() {
            _mm_storeu_ps(to.add((4 + i) * to_stride), _mm256_extractf128_ps::<1>(row));
        }
    }
}

/// Transposes the 4 by 4 lanes of the lower halves, and those of the upper ones.
///
/// # Safety
/// The CPU has AVX.
#[inline(always)]
pub(super) unsafe fn exchange([r0, r1, r2, r3]: [__m256; 4]) -> [__m256; 4] {
    // SAFETY: the caller vouches for the CPU.
    unsafe {
        let (a0, a1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
        let (a2, a3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
        [
            _mm256_shuffle_ps::<LOW_PAIRS>(a0, a2),
            _mm256_shuffle_ps::<HIGH_PAIRS>(a0, a2),
            _mm256_shuffle_ps::<LOW_PAIRS>(a1, a3),
            _mm256_shuffle_ps::<HIGH_PAIRS>(a1, a3),
        ]
    }
}

/// The same of the lanes of all quarters.
///
/// # Safety
/// The CPU has AVX-512 F.
#[inline(always)]
pub(super) unsafe fn exchange16([r0, r1, r2, r3]: [__m512; 4]) -> [__m512; 4] {
    // SAFETY: the caller vouches for the CPU.
    unsafe {
        let (a0, a1) = (_mm512_unpacklo_ps(r0, r1), _mm512_unpackhi_ps(r0, r1));
        let (a2, a3) = (_mm512_unpacklo_ps(r2, r3), _mm512_unpackhi_ps(r2, r3));
        [
            _mm512_shuffle_ps::<LOW_PAIRS>(a0, a2),
            _mm512_shuffle_ps::<HIGH_PAIRS>(a0, a2),
            _mm512_shuffle_ps::<LOW_PAIRS>(a1, a3),
            _mm512_shuffle_ps::<HIGH_PAIRS>(a1, a3),
        ]
    }
}

/// The lower two of four lanes of one vector and of another, and the upper two.
pub(super) const LOW_PAIRS: i32 = 0b01_00_01_00;
pub(super) const HIGH_PAIRS: i32 = 0b11_10_11_10;

/// The first and the third of four lanes of one vector and of another, and the others.
pub(super) const EVEN: i32 = 0b10_00_10_00;
pub(super) const ODD: i32 = 0b11_01_11_01;
