//! The weight gradient as scalar products: dW[o][i] = Σ over lanes of
//! dz[o]·x[i], with both factors feature-major.
//!
//! ```text
//! for a block of 4 features of dz:
//!   for a block of 3 features of x:          (4 by 4 with 32 registers)
//!     for a vector of lanes of the tile: 3 loads of x, 4 of dz, 12 multiply-adds
//!     sum the lanes of the accumulators, four at a time
//! ```
//!
//! It needs no row-major copy of x, and its work does not depend on how many
//! of x's features fill a vector: for narrow layers. All lanes of the tile
//! take part: dz is 0 in padding lanes.

use super::strip::Strip;
use super::tiled::vectors;
use super::{Gemm, Layout, Left, Right, Start};
use crate::layout::Tile;
use crate::simd::{Op, Simd};

pub(super) struct Dots<'a>(pub(super) Gemm<'a>);

/// Features of dz in a block.
const ROWS: usize = 4;

/// Features of x in a block: the accumulators, a vector each and one of dz
/// fill the register file.
const fn columns(registers: usize) -> usize {
    match registers {
        32.. => 4,
        _ => 3,
    }
}

impl Op for Dots<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Gemm { m, n, a, b, c, layout, start, .. } = self.0;
        let Left::Tile { data: dz, tile, features, first } = a else {
            unreachable!("Algorithm::takes refuses it")
        };
        let (Right::Tile(x, _), Layout::Rows(stride)) = (b, layout) else {
            unreachable!("Algorithm::takes refuses it")
        };
        let most = columns(S::REGISTERS);
        let row_blocks = m.div_ceil(ROWS);
        let column_blocks = n.div_ceil(most);
        let mut row = 0;
        for block in 0..row_blocks {
            let rows = (m - row).div_ceil(row_blocks - block);
            let mut column = 0;
            for block in 0..column_blocks {
                let columns = (n - column).div_ceil(column_blocks - block);
                let at = [first + row, column];
                let block = Block { dz, x, tile, features: [features, n], at };
                let sums = match columns {
                    1 => block.run::<S, 1>(s, rows),
                    2 => block.run::<S, 2>(s, rows),
                    3 => block.run::<S, 3>(s, rows),
                    _ => block.run::<S, 4>(s, rows),
                };
                for (i, sums) in sums.iter().enumerate().take(rows) {
                    let c = &mut c[(row + i) * stride + column..][..columns];
                    for (c, sum) in c.iter_mut().zip(sums) {
                        *c = if matches!(start, Start::C) { *c + sum } else { *sum };
                    }
                }
                column += columns;
            }
            row += rows;
        }
    }
}

/// A block of the product.
struct Block<'a> {
    dz: &'a [f32],
    x: &'a [f32],
    tile: Tile,
    /// Of dz and of x.
    features: [usize; 2],
    /// The block's first of them.
    at: [usize; 2],
}

impl Block<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize>(&self, s: S, rows: usize) -> [[f32; 4]; ROWS] {
        if N > columns(S::REGISTERS) {
            return [[0.0; 4]; ROWS];
        }
        match rows {
            1 => self.sums::<S, 1, N>(s),
            2 => self.sums::<S, 2, N>(s),
            3 => self.sums::<S, 3, N>(s),
            _ => self.sums::<S, 4, N>(s),
        }
    }

    /// The sums of M features of dz with N of x; the others are 0.
    #[inline(always)]
    fn sums<S: Simd, const M: usize, const N: usize>(&self, s: S) -> [[f32; 4]; ROWS] {
        let Block { dz, x, tile, features: [m, n], at: [row, column] } = *self;
        let zero = Strip::<S, N>::splat(s, 0.0);
        let (mut s0, mut s1, mut s2, mut s3) = (zero, zero, zero, zero);
        // All pointers stay within their slices: Gemm::check has proved that a
        // tile's width times its features does, and a panel that begins at
        // lane l lies from l times the features on, feature by feature.
        let mut first = 0;
        if tile.panel == vectors(S::REGISTERS) * S::LANES {
            // The usual panels: every offset is a constant.
            let panel = const { vectors(S::REGISTERS) * S::LANES };
            let mut dz = dz.as_ptr().wrapping_add(row * panel);
            let mut x = x.as_ptr().wrapping_add(column * panel);
            for _ in 0..tile.width / panel {
                for v in 0..vectors(S::REGISTERS) {
                    let lane = v * S::LANES;
                    // SAFETY: a vector of lanes of N features of a whole panel.
                    let x: Strip<S, N> =
                        unsafe { Strip::load::<false>(s, x.wrapping_add(lane), panel, 0) };
                    // SAFETY: the same of one of M features.
                    let dz = |i: usize| unsafe { s.load_ptr(dz.wrapping_add(i * panel + lane)) };
                    s0 = s0.mul_add(s, dz(0), x);
                    if M > 1 {
                        s1 = s1.mul_add(s, dz(1), x);
                    }
                    if M > 2 {
                        s2 = s2.mul_add(s, dz(2), x);
                    }
                    if M > 3 {
                        s3 = s3.mul_add(s, dz(3), x);
                    }
                }
                dz = dz.wrapping_add(m * panel);
                x = x.wrapping_add(n * panel);
                first += panel;
            }
        }
        while first < tile.width {
            let width = tile.panel.min(tile.width - first);
            let dz = dz.as_ptr().wrapping_add(first * m + row * width);
            let x = x.as_ptr().wrapping_add(first * n + column * width);
            for lane in (0..width).step_by(S::LANES) {
                let count = S::LANES.min(width - lane);
                // SAFETY: `count` lanes from `lane` on are each feature's own.
                let x: Strip<S, N> = unsafe {
                    match count == S::LANES {
                        true => Strip::load::<false>(s, x.wrapping_add(lane), width, 0),
                        false => Strip::load_first(s, x.wrapping_add(lane), width, count),
                    }
                };
                // SAFETY: the same of one of M features.
                let dz = |i: usize| unsafe {
                    let dz = dz.wrapping_add(i * width + lane);
                    if count == S::LANES { s.load_ptr(dz) } else { s.load_first(dz, count) }
                };
                s0 = s0.mul_add(s, dz(0), x);
                if M > 1 {
                    s1 = s1.mul_add(s, dz(1), x);
                }
                if M > 2 {
                    s2 = s2.mul_add(s, dz(2), x);
                }
                if M > 3 {
                    s3 = s3.mul_add(s, dz(3), x);
                }
            }
            first += width;
        }
        let none = [0.0; 4];
        [
            s0.sums(s),
            if M > 1 { s1.sums(s) } else { none },
            if M > 2 { s2.sums(s) } else { none },
            if M > 3 { s3.sums(s) } else { none },
        ]
    }
}
