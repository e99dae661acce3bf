//! A few vectors that belong together: a row of a register tile.

use super::Slope;
use crate::simd::Simd;

/// N ≤ 4 vectors, each with a name of its own: in a large function the
/// compiler no longer takes arrays apart, and a tile whose accumulators live
/// in memory takes three times as long. What is beyond N is never computed.
#[derive(Clone, Copy)]
pub(super) struct Strip<S: Simd, const N: usize> {
    pub(super) a: S::V,
    pub(super) b: S::V,
    pub(super) c: S::V,
    pub(super) d: S::V,
}

impl<S: Simd, const N: usize> Strip<S, N> {
    /// All lanes `x`.
    #[inline(always)]
    pub(super) fn splat(s: S, x: f32) -> Self {
        let x = s.splat(x);
        Strip { a: x, b: x, c: x, d: x }
    }

    /// The first `n` lanes of N vectors that lie `stride` apart, zeros behind
    /// them.
    ///
    /// # Safety
    /// They must be valid for reading.
    #[inline(always)]
    pub(super) unsafe fn load_first(s: S, at: *const f32, stride: usize, n: usize) -> Self {
        let load = |v: usize| match v < N {
            // SAFETY: the caller vouches for n lanes of N vectors.
            true => unsafe { s.load_first(at.wrapping_add(v * stride), n) },
            false => s.splat(0.0),
        };
        Strip { a: load(0), b: load(1), c: load(2), d: load(3) }
    }

    /// N vectors that lie `stride` apart. Of the last one `last` lanes are
    /// read where the strip is `MASKED`.
    ///
    /// # Safety
    /// They must be valid for reading.
    #[inline(always)]
    pub(super) unsafe fn load<const MASKED: bool>(
        s: S,
        at: *const f32,
        stride: usize,
        last: usize,
    ) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Strip {
                a: Self::load_one::<MASKED>(s, at, stride, last, 0),
                b: Self::load_one::<MASKED>(s, at, stride, last, 1),
                c: Self::load_one::<MASKED>(s, at, stride, last, 2),
                d: Self::load_one::<MASKED>(s, at, stride, last, 3),
            }
        }
    }

    /// Vector `v` of [`Strip::load`]. (No closure: where it is used often, one would be a
    /// call that is not compiled with this instruction set.)
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn load_one<const MASKED: bool>(
        s: S,
        at: *const f32,
        stride: usize,
        last: usize,
        v: usize,
    ) -> S::V {
        let at = at.wrapping_add(v * stride);
        // SAFETY: the caller vouches for N vectors, of the last one for `last` lanes
        // where it is masked.
        unsafe {
            match v {
                _ if v >= N => s.splat(0.0),
                _ if MASKED && v == N - 1 => s.load_first(at, last),
                _ => s.load_ptr(at),
            }
        }
    }

    /// The same for writing, next to each other.
    ///
    /// # Safety
    /// They must be valid for writing.
    #[inline(always)]
    pub(super) unsafe fn store<const MASKED: bool>(self, s: S, at: *mut f32, last: usize) {
        let store = |value: S::V, v: usize| {
            let at = at.wrapping_add(v * S::LANES);
            // SAFETY: as for loading.
            unsafe {
                match v {
                    _ if v >= N => {}
                    _ if MASKED && v == N - 1 => s.store_first(value, at, last),
                    _ => s.store_ptr(value, at),
                }
            }
        };
        store(self.a, 0);
        store(self.b, 1);
        store(self.c, 2);
        store(self.d, 3);
    }

    /// self + factor · other
    #[inline(always)]
    pub(super) fn mul_add(self, s: S, factor: S::V, other: Self) -> Self {
        Strip {
            a: s.mul_add(factor, other.a, self.a),
            b: if N > 1 { s.mul_add(factor, other.b, self.b) } else { self.b },
            c: if N > 2 { s.mul_add(factor, other.c, self.c) } else { self.c },
            d: if N > 3 { s.mul_add(factor, other.d, self.d) } else { self.d },
        }
    }

    /// self + other
    #[inline(always)]
    pub(super) fn add(self, s: S, other: Self) -> Self {
        Strip {
            a: s.add(self.a, other.a),
            b: s.add(self.b, other.b),
            c: s.add(self.c, other.c),
            d: s.add(self.d, other.d),
        }
    }

    /// A rectifier of each, without a leak.
    #[inline(always)]
    pub(super) fn rectified(self, s: S) -> Self {
        // In this order NaN passes.
        let zero = s.splat(0.0);
        Strip {
            a: s.max(zero, self.a),
            b: s.max(zero, self.b),
            c: s.max(zero, self.c),
            d: s.max(zero, self.d),
        }
    }

    /// The same for a leak.
    #[inline(always)]
    pub(super) fn leaky(self, s: S, leak: f32) -> Self {
        let leak = s.splat(leak);
        Strip {
            a: s.max(s.mul(self.a, leak), self.a),
            b: s.max(s.mul(self.b, leak), self.b),
            c: s.max(s.mul(self.c, leak), self.c),
            d: s.max(s.mul(self.d, leak), self.d),
        }
    }

    /// self · slope at y
    #[inline(always)]
    pub(super) fn times(self, s: S, slope: Slope, y: Self) -> Self {
        Strip {
            a: s.mul(self.a, slope.at(s, y.a)),
            b: s.mul(self.b, slope.at(s, y.b)),
            c: s.mul(self.c, slope.at(s, y.c)),
            d: s.mul(self.d, slope.at(s, y.d)),
        }
    }
}
