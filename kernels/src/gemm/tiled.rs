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
/// cache of 256 KB, and C is read and written once for so many.
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
        let g = self.0;
        if packs::<S>(g.m, g.k, g.b_stride) {
            // Taken out and put back: a closure would not be compiled with
            // this instruction set.
            let mut panel = PANEL.take();
            panel.resize(PANEL_ROWS * vectors::<S>() * S::LANES, 0.0);
            columns(s, g, Some(&mut panel));
            PANEL.set(panel);
        } else {
            columns(s, g, None);
        }
    }
}

/// All blocks of columns, through a packed panel where there is one.
#[inline(always)]
fn columns<S: Simd>(s: S, g: Gemm<'_>, mut packed: Option<&mut Vec<f32>>) {
    let Gemm { m, n, k, a, b, b_stride, c, c_stride, start } = g;
    let tail = n % S::LANES;
    let total = n.div_ceil(S::LANES);
    let blocks = total.div_ceil(vectors::<S>());
    let mut vector = 0;
    for block in 0..blocks {
        // Even blocks: 5 vectors are 3 and 2, not 4 and 1.
        let nv = (total - vector).div_ceil(blocks - block);
        let column = vector * S::LANES;
        let last = if tail > 0 && vector + nv == total { tail } else { S::LANES };
        let width = (nv - 1) * S::LANES + last;
        let mut part = 0;
        loop {
            let rows = if packed.is_some() { PANEL_ROWS.min(k - part) } else { k };
            let (b, b_stride) = match &mut packed {
                // With k = 0 there is no row to begin at.
                None => (b.get(column..).unwrap_or(&[]), b_stride),
                Some(panel) => {
                    for (to, l) in panel.chunks_exact_mut(width).zip(part..part + rows) {
                        let from = l * b_stride + column;
                        to.copy_from_slice(&b[from..from + width]);
                    }
                    (&panel[..], width)
                }
            };
            let a = Strided { data: a.data.get(part * a.column_stride..).unwrap_or(&[]), ..a };
            let start = if part > 0 { Start::C } else { start };
            let c = c.as_mut_ptr();
            let panel = Panel { m, k: rows, a, b, b_stride, c, c_stride, start, column };
            match nv {
                1 => panel.run::<S, 1>(s, last),
                2 => panel.run::<S, 2>(s, last),
                3 => panel.run::<S, 3>(s, last),
                _ => panel.run::<S, 4>(s, last),
            }
            part += rows;
            if part >= k {
                break;
            }
        }
        vector += nv;
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
    /// All rows of the block; `last` is the number of lanes of its last vector.
    #[inline(always)]
    fn run<S: Simd, const NV: usize>(&self, s: S, last: usize) {
        if NV > vectors::<S>() {
            return;
        }
        let m = self.m;
        let blocks = m.div_ceil(rows::<S>(NV));
        let mut row = 0;
        for block in 0..blocks {
            let mr = (m - row).div_ceil(blocks - block);
            if last == S::LANES {
                self.rows::<S, NV, false>(s, row, mr, last);
            } else {
                self.rows::<S, NV, true>(s, row, mr, last);
            }
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
                &self, s: S, row: usize, mr: usize, last: usize,
            ) {
                debug_assert!(row + mr <= self.m && mr <= rows::<S>(NV));
                // All pointers below stay within their slices: Gemm::check has
                // proved that A[row..row+mr][0..k], B[0..k][column..column+n′] and
                // C[row..row+mr][column..column+n′] do, where n′ is
                // (NV − 1)·LANES + last, and `columns` cuts rows, columns and k so
                // that they end at m, n and k; a packed panel has rows of n′. Pointers past the last row or column
                // are made (by wrapping_add) but not read.
                let load = |at: *const f32, v: usize| {
                    let at = at.wrapping_add(v * S::LANES);
                    if MASKED && v == NV - 1 {
                        // SAFETY: the first `last` elements at `at` are in their row.
                        unsafe { s.load_first(at, last) }
                    } else {
                        // SAFETY: a whole vector at `at` is in its row.
                        unsafe { s.load_ptr(at) }
                    }
                };
                let store = |value: S::V, at: *mut f32, v: usize| {
                    let at = at.wrapping_add(v * S::LANES);
                    if MASKED && v == NV - 1 {
                        // SAFETY: as for loads; C is borrowed exclusively.
                        unsafe { s.store_first(value, at, last) }
                    } else {
                        // SAFETY: as for loads; C is borrowed exclusively.
                        unsafe { s.store_ptr(value, at) }
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
