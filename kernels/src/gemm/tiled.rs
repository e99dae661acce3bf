//! Register tiles over the operands as they lie.
//!
//! ```text
//! for a block of up to NV vectors of columns:        B's block stays in L1 or L2
//!   for a block of up to MR rows:                    blocks split evenly
//!     MR × NV accumulators ← start
//!     for l in 0..k:
//!       load NV vectors of B's row l
//!       for each of the MR rows: broadcast A[row][l], NV multiply-adds
//!     C ← accumulators, or C + accumulators
//! ```
//!
//! A is broadcast from where it lies, whatever its strides; B's rows are used
//! where they lie too, unless they lie far apart (`packs`).
//! The rows of a register tile are written out by a macro: a loop over an
//! array of 16 and more accumulators is no longer unrolled by the compiler
//! and spills them, which costs a factor of three.

use super::{Gemm, Start, Strided};
use crate::simd::{Op, Simd};
use std::cell::RefCell;

pub(super) struct Tiled<'a>(pub(super) Gemm<'a>);

/// Vectors of columns in a register tile: what leaves room for enough rows.
const fn vectors<S: Simd>() -> usize {
    match S::REGISTERS {
        32.. => 4,
        _ => 2,
    }
}

/// Rows of a register tile with `nv` vectors of columns: the accumulators,
/// a row of B and two broadcasts fill the register file.
const fn rows<S: Simd>(nv: usize) -> usize {
    let fit = (S::REGISTERS - nv - 2) / nv;
    if fit > 12 { 12 } else { fit }
}

/// Rows of B in a packed panel: 64 columns of them fill half of a second-level
/// cache of 256 KB, and C is read and written once for so many. With k of at
/// most this, [`Start::C`] is one addition an element; the executor relies on
/// it for tiles of up to 512 rows.
const PANEL_ROWS: usize = 512;

/// Whether a block of B's columns is copied together first. A narrow block
/// uses one cache line of each of B's rows; where these lie kilobytes apart
/// they compete for few sets of the cache and take a page each. Copying pays
/// when enough rows of C use the copy: 1024 × 512 × 1024 under AVX2 went from
/// 73 to 97 GFLOP/s; a block of four lines, under AVX-512, gains nothing.
fn packs<S: Simd>(m: usize, k: usize, b_stride: usize) -> bool {
    vectors::<S>() < 4 && b_stride >= 512 && k >= 128 && m >= 64
}

thread_local! {
    /// A packed panel, allocated at a thread's first use and kept.
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Op for Tiled<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Gemm { m, n, k, a, b, b_stride, c, c_stride, start } = self.0;
        // Taken out and put back: a closure would not be compiled with this
        // instruction set.
        let packs = packs::<S>(m, k, b_stride);
        let mut packed = if packs { PANEL.take() } else { Vec::new() };
        if packs {
            packed.resize(PANEL_ROWS * vectors::<S>() * S::LANES, 0.0);
        }
        // Whole vectors in even blocks, 5 as 3 and 2, not 4 and 1; what is
        // left of a vector is a block of its own.
        let whole = n / S::LANES;
        let blocks = whole.div_ceil(vectors::<S>());
        let mut column = 0;
        for block in 0..blocks + usize::from(n % S::LANES > 0) {
            let nv = match blocks - block.min(blocks) {
                0 => 1,
                left => (whole - column / S::LANES).div_ceil(left),
            };
            let width = (nv * S::LANES).min(n - column);
            let mut part = 0;
            loop {
                let rows = if packs { PANEL_ROWS.min(k - part) } else { k };
                let (b, b_stride) = if packs {
                    for (to, l) in packed.chunks_exact_mut(width).zip(part..part + rows) {
                        let from = l * b_stride + column;
                        to.copy_from_slice(&b[from..from + width]);
                    }
                    (&packed[..], width)
                } else {
                    // With k = 0 there is no row to begin at.
                    (b.get(column..).unwrap_or(&[]), b_stride)
                };
                let a = Strided { data: a.data.get(part * a.column_stride..).unwrap_or(&[]), ..a };
                let start = if part > 0 { Start::C } else { start };
                let c = c.as_mut_ptr();
                let panel = Panel { m, k: rows, a, b, b_stride, c, c_stride, start, column };
                match nv {
                    1 if width < S::LANES => panel.run::<S, 1, true>(s, width),
                    1 => panel.run::<S, 1, false>(s, width),
                    2 => panel.run::<S, 2, false>(s, width),
                    3 => panel.run::<S, 3, false>(s, width),
                    _ => panel.run::<S, 4, false>(s, width),
                }
                part += rows;
                if part >= k {
                    break;
                }
            }
            column += width;
        }
        if packs {
            PANEL.set(packed);
        }
    }
}

/// A block of columns of the product.
struct Panel<'a> {
    m: usize,
    k: usize,
    a: Strided<'a>,
    /// B, from the block's first column on.
    b: &'a [f32],
    b_stride: usize,
    /// From the exclusive borrow of C.
    c: *mut f32,
    c_stride: usize,
    start: Start<'a>,
    /// The block's first column, in C.
    column: usize,
}

impl Panel<'_> {
    /// All rows of the block, which is `width` columns wide: `NV` vectors, or
    /// `MASKED`, a part of one.
    #[inline(always)]
    fn run<S: Simd, const NV: usize, const MASKED: bool>(&self, s: S, width: usize) {
        if NV > vectors::<S>() {
            return;
        }
        let blocks = self.m.div_ceil(rows::<S>(NV));
        let mut row = 0;
        for block in 0..blocks {
            let mr = (self.m - row).div_ceil(blocks - block);
            self.rows::<S, NV, MASKED>(s, row, mr, width);
            row += mr;
        }
    }
}

/// Writes `Panel::rows`: one arm for every number of rows, each with its
/// accumulators by name.
macro_rules! register_tiles {
    ($($mr:literal: $($r:ident = $i:literal),*;)*) => {
        impl Panel<'_> {
            /// `mr` rows from `row` on.
            #[inline(always)]
            fn rows<S: Simd, const NV: usize, const MASKED: bool>(
                &self, s: S, row: usize, mr: usize, width: usize,
            ) {
                debug_assert!(row + mr <= self.m && mr <= rows::<S>(NV));
                // All pointers below stay within their slices: Gemm::check has
                // proved that A[row..row+mr][0..k], B[0..k][column..column+width]
                // and C[row..row+mr][column..column+width] do, and Tiled::run cuts
                // rows, columns and k so that they end at m, n and k; a packed
                // panel has k rows of `width`. `width` is NV vectors, or masked
                // less than one. Pointers past the last row or column are made
                // (by wrapping_add) but not read.
                let load = |at: *const f32, v: usize| {
                    if MASKED {
                        // SAFETY: `width` elements at `at` are in their row.
                        unsafe { s.load_first(at, width) }
                    } else {
                        // SAFETY: NV vectors at `at` are in their row, and v < NV.
                        unsafe { s.load_ptr(at.wrapping_add(v * S::LANES)) }
                    }
                };
                let store = |value: S::V, at: *mut f32, v: usize| {
                    if MASKED {
                        // SAFETY: as for loads; C is borrowed exclusively.
                        unsafe { s.store_first(value, at, width) }
                    } else {
                        // SAFETY: as for loads; C is borrowed exclusively.
                        unsafe { s.store_ptr(value, at.wrapping_add(v * S::LANES)) }
                    }
                };
                let c_row = |i: usize| self.c.wrapping_add((row + i) * self.c_stride + self.column);
                let start = |i: usize| -> [S::V; NV] {
                    match self.start {
                        Start::Zero => [s.splat(0.0); NV],
                        // C is added at the end: small terms added to a large
                        // sum one by one would lose their bits.
                        Start::C => [s.splat(0.0); NV],
                        Start::Bias(bias) => [s.splat(bias[row + i]); NV],
                    }
                };
                match mr {
                    $($mr if $mr <= rows::<S>(NV) => {
                        $(let mut $r = start($i);)*
                        let mut a = self.a.data.as_ptr().wrapping_add(row * self.a.row_stride);
                        let mut b = self.b.as_ptr();
                        for _ in 0..self.k {
                            let b_row: [S::V; NV] = std::array::from_fn(|v| load(b, v));
                            $(
                                // SAFETY: A[row + $i][l] is in its slice.
                                let factor = unsafe { *a.wrapping_add($i * self.a.row_stride) };
                                let factor = s.splat(factor);
                                for v in 0..NV {
                                    $r[v] = s.mul_add(factor, b_row[v], $r[v]);
                                }
                            )*
                            a = a.wrapping_add(self.a.column_stride);
                            b = b.wrapping_add(self.b_stride);
                        }
                        $(for v in 0..NV {
                            let sum = match self.start {
                                Start::C => s.add(load(c_row($i), v), $r[v]),
                                _ => $r[v],
                            };
                            store(sum, c_row($i), v);
                        })*
                    })*
                    _ => unreachable!("blocks have 1 to {} rows", rows::<S>(NV)),
                }
            }
        }
    };
}

register_tiles! {
    1: r0 = 0;
    2: r0 = 0, r1 = 1;
    3: r0 = 0, r1 = 1, r2 = 2;
    4: r0 = 0, r1 = 1, r2 = 2, r3 = 3;
    5: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4;
    6: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5;
    7: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6;
    8: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7;
    9: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8;
    10: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8, r9 = 9;
    11: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8, r9 = 9,
        r10 = 10;
    12: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8, r9 = 9,
        r10 = 10, r11 = 11;
}
