//! The weight gradient as scalar products: dW[o][i] = Σ over lanes of
//! dz[o]·x[i], with both factors feature-major.
//!
//! ```text
//! for a block of 3 features of dz:         (4 with 32 registers, 2 with 8)
//!   for a block of 4 features of x:        (2 with 8)
//!     for a vector of lanes of the tile: 3 loads of dz, 4 of x, 12 multiply-adds
//!     for each of dz's: sum the lanes of 4 accumulators, which lie side by side in dW
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

pub(super) struct Dots<'g, 'a>(pub(super) &'g mut Gemm<'a>);

/// Features of x in a block at the most.
const COLUMNS: usize = 4;

/// Features of dz and of x in a block: the accumulators, a vector of each of the
/// one and one of the other fill the register file.
const fn block(registers: usize) -> [usize; 2] {
    match registers {
        32.. => [4, COLUMNS],
        16.. => [3, COLUMNS],
        _ => [2, 2],
    }
}

impl Op for Dots<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let &mut Gemm { m, n, a, b, ref mut c, layout, start, .. } = self.0;
        let Left::Tile { data: dz, tile, features, first } = a else {
            unreachable!("Algorithm::takes refuses it")
        };
        let (
            Right::Tile { data: x, features: x_features, first: x_first, .. },
            Layout::Rows(stride),
        ) = (b, layout)
        else {
            unreachable!("Algorithm::takes refuses it")
        };
        let [most_rows, most_columns] = const { block(S::REGISTERS) };
        let row_blocks = m.div_ceil(most_rows);
        let column_blocks = n.div_ceil(most_columns);
        let mut row = 0;
        for block in 0..row_blocks {
            let rows = even(m, row_blocks, block);
            let mut column = 0;
            for block in 0..column_blocks {
                let columns = even(n, column_blocks, block);
                let block = Block {
                    dz: dz.as_ptr(),
                    x: x.as_ptr(),
                    tile,
                    features: [features, x_features],
                    at: [first + row, x_first + column],
                    c: c[row * stride + column..].as_mut_ptr(),
                    stride,
                    add: matches!(start, Start::C),
                };
                match columns {
                    1 => block.run::<S, 1>(s, rows),
                    2 => block.run::<S, 2>(s, rows),
                    3 if most_columns > 2 => block.run::<S, 3>(s, rows),
                    4 if most_columns > 2 => block.run::<S, 4>(s, rows),
                    _ => unreachable!("blocks have 1 to {most_columns} columns"),
                }
                column += columns;
            }
            row += rows;
        }
    }
}

/// How many of `all` go to one of so many even blocks; the first ones have one
/// more.
#[inline(always)]
fn even(all: usize, blocks: usize, block: usize) -> usize {
    all / blocks + usize::from(block < all % blocks)
}

/// A block of the product, which [`Gemm::check`] has proved to lie within its
/// slices.
struct Block {
    dz: *const f32,
    x: *const f32,
    tile: Tile,
    /// Of dz and of x.
    features: [usize; 2],
    /// The block's first of them.
    at: [usize; 2],
    /// The block's first element, of an exclusive borrow, and from one row to
    /// the next.
    c: *mut f32,
    stride: usize,
    /// Whether it is added to what is there.
    add: bool,
}

impl Block {
    #[inline(always)]
    fn run<S: Simd, const N: usize>(&self, s: S, m: usize) {
        let [most, _] = const { block(S::REGISTERS) };
        match m {
            1 => self.block::<S, 1, N>(s),
            2 => self.block::<S, 2, N>(s),
            3 if most > 2 => self.block::<S, 3, N>(s),
            4 if most > 3 => self.block::<S, 4, N>(s),
            _ => unreachable!("blocks have 1 to {most} rows"),
        }
    }

    /// M features of dz with N of x.
    #[inline(always)]
    fn block<S: Simd, const M: usize, const N: usize>(&self, s: S) {
        let Block { dz, x, tile, features: [m, n], at: [row, column], .. } = *self;
        // A column each.
        let zero = Strip::<S, M>::splat(s, 0.0);
        let (mut k0, mut k1, mut k2, mut k3) = (zero, zero, zero, zero);
        // All pointers stay within their slices: Gemm::check has proved that a
        // tile's width times its features does, and a panel that begins at
        // lane l lies from l times the features on, feature by feature.
        let mut first = 0;
        if tile.panel == vectors(S::REGISTERS) * S::LANES {
            // The usual panels: every offset is a constant.
            let panel = const { vectors(S::REGISTERS) * S::LANES };
            let mut dz = dz.wrapping_add(row * panel);
            let mut x = x.wrapping_add(column * panel);
            for _ in 0..tile.width / panel {
                for v in 0..vectors(S::REGISTERS) {
                    let lane = v * S::LANES;
                    // SAFETY: a vector of lanes of M features of a whole panel.
                    let dz: Strip<S, M> =
                        unsafe { Strip::load::<false>(s, dz.wrapping_add(lane), panel, 0) };
                    // SAFETY: the same of one of N features.
                    let x = |j: usize| unsafe { s.load_ptr(x.wrapping_add(j * panel + lane)) };
                    k0 = k0.mul_add(s, x(0), dz);
                    if N > 1 {
                        k1 = k1.mul_add(s, x(1), dz);
                    }
                    if N > 2 {
                        k2 = k2.mul_add(s, x(2), dz);
                    }
                    if N > 3 {
                        k3 = k3.mul_add(s, x(3), dz);
                    }
                }
                dz = dz.wrapping_add(m * panel);
                x = x.wrapping_add(n * panel);
                first += panel;
            }
        }
        while first < tile.width {
            let width = tile.panel.min(tile.width - first);
            let dz = dz.wrapping_add(first * m + row * width);
            let x = x.wrapping_add(first * n + column * width);
            for lane in (0..width).step_by(S::LANES) {
                let count = S::LANES.min(width - lane);
                // SAFETY: `count` lanes from `lane` on are each feature's own.
                let dz: Strip<S, M> = unsafe {
                    match count == S::LANES {
                        true => Strip::load::<false>(s, dz.wrapping_add(lane), width, 0),
                        false => Strip::load_first(s, dz.wrapping_add(lane), width, count),
                    }
                };
                // SAFETY: the same of one of N features.
                let x = |j: usize| unsafe {
                    let x = x.wrapping_add(j * width + lane);
                    if count == S::LANES { s.load_ptr(x) } else { s.load_first(x, count) }
                };
                k0 = k0.mul_add(s, x(0), dz);
                if N > 1 {
                    k1 = k1.mul_add(s, x(1), dz);
                }
                if N > 2 {
                    k2 = k2.mul_add(s, x(2), dz);
                }
                if N > 3 {
                    k3 = k3.mul_add(s, x(3), dz);
                }
            }
            first += width;
        }
        let put = |i: usize, sums: [f32; COLUMNS]| {
            if N == COLUMNS {
                // In one piece.
                let c = self.c.wrapping_add(i * self.stride).cast::<[f32; COLUMNS]>();
                // SAFETY: a row of the block.
                unsafe {
                    let old = *c;
                    let added = || std::array::from_fn(|j| old[j] + sums[j]);
                    *c = if self.add { added() } else { sums };
                }
                return;
            }
            for (j, sum) in sums.into_iter().enumerate().take(N) {
                // SAFETY: an element of the block.
                unsafe {
                    let c = self.c.add(i * self.stride + j);
                    *c = if self.add { *c + sum } else { sum };
                }
            }
        };
        put(0, s.sum4([k0.a, k1.a, k2.a, k3.a]));
        if M > 1 {
            put(1, s.sum4([k0.b, k1.b, k2.b, k3.b]));
        }
        if M > 2 {
            put(2, s.sum4([k0.c, k1.c, k2.c, k3.c]));
        }
        if M > 3 {
            put(3, s.sum4([k0.d, k1.d, k2.d, k3.d]));
        }
    }
}
