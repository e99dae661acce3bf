//! Elements that lie apart, one by one.

use core::arch::x86_64::*;

/// The elements at `rows[i] + at` of 8 rows. Single loads: the CPU's own
/// gather takes more than twice as many operations.
///
/// # Safety
/// The CPU has AVX; `rows` holds 8 pointers, and each of these elements is
/// valid for reading.
#[inline(always)]
pub(super) unsafe fn gather8(rows: *const *const f32, at: usize) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe {
        let x = |i: usize| *(*rows.add(i)).add(at);
        in_one_piece(_mm256_setr_ps(x(0), x(1), x(2), x(3), x(4), x(5), x(6), x(7)))
    }
}

/// The elements at `from` + i·`stride` for i < 8.
///
/// # Safety
/// The CPU has AVX; these elements are valid for reading.
#[inline(always)]
pub(super) unsafe fn strided8(from: *const f32, stride: usize) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe {
        let x = |i: usize| *from.add(i * stride);
        in_one_piece(_mm256_setr_ps(x(0), x(1), x(2), x(3), x(4), x(5), x(6), x(7)))
    }
}

/// The vector itself, of which the compiler no longer knows that it is made of halves: it
/// would write them one by one, and who reads the whole soon after would wait until both
/// are in the cache (a CPU hands on what one instruction has written).
#[inline]
#[target_feature(enable = "avx")]
pub(super) fn in_one_piece(v: __m256) -> __m256 {
    if cfg!(miri) {
        return v;
    }
    let whole;
    // SAFETY: no instruction at all.
    unsafe {
        std::arch::asm!(
            "/* {} */", inlateout(ymm_reg) v => whole,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    whole
}
