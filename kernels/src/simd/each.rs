//! One loop over slices for all elementwise operations.

use super::{Simd, Twice};

/// What an elementwise operation does with a vector's worth of elements.
pub(crate) trait Vectors {
    /// How many vectors it handles at a time where the register file has 16
    /// and more: 4, 2 for what keeps many numbers at once, or 1.
    const CHAINS: usize = 4;

    /// Whether it handles two at a time where fewer than four are left.
    const PAIRS: bool = false;

    /// Handles the elements `at..at + n` of its slices, with n = `LANES`
    /// where `WHOLE`, else less.
    ///
    /// Implementations are marked `#[inline(always)]`.
    ///
    /// # Safety
    /// `at + n` is at most the length that was given to [`each_vector`].
    unsafe fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize, n: usize);
}

/// Calls `body` for the elements `0..len`: several vectors at a time (see
/// [`Twice`]), then one, then a part of one.
///
/// # Safety
/// `body` may touch the elements `0..len` of all its slices.
#[inline(always)]
pub(crate) unsafe fn each_vector<S: Simd, B: Vectors>(s: S, len: usize, body: &mut B) {
    let mut at = 0;
    if S::REGISTERS >= 16 && B::CHAINS == 4 {
        // SAFETY: the caller's promise.
        at = unsafe { whole_vectors(Twice(Twice(s)), at, len, body) };
        if B::PAIRS {
            // SAFETY: the caller's promise.
            at = unsafe { whole_vectors(Twice(s), at, len, body) };
        }
    } else if B::CHAINS == 4 || B::CHAINS == 2 && S::REGISTERS >= 16 {
        // SAFETY: the caller's promise.
        at = unsafe { whole_vectors(Twice(s), at, len, body) };
    }
    // SAFETY: the caller's promise.
    at = unsafe { whole_vectors(s, at, len, body) };
    if at < len {
        // SAFETY: at + (len − at) = len.
        unsafe { body.vector::<S, false>(s, at, len - at) }
    }
}

/// The whole vectors from `at` on; returns where they end.
///
/// # Safety
/// As for [`each_vector`].
#[inline(always)]
unsafe fn whole_vectors<S: Simd>(
    s: S,
    mut at: usize,
    len: usize,
    body: &mut impl Vectors,
) -> usize {
    while len - at >= S::LANES {
        // SAFETY: at + LANES ≤ len.
        unsafe { body.vector::<S, true>(s, at, S::LANES) }
        at += S::LANES;
    }
    at
}
