//! Rows in panels, which weight gradients read.

use super::{BLOCK, Rows, Tile};
use crate::gemm::vectors;
use crate::simd::{Isa, Op, Simd};

/// Rows in panels of columns, each `[width][columns of the panel]`, from a
/// matrix: what a weight gradient reads. Rows that are padding get 0.
///
/// # Panics
/// Where the tile's rows lie beyond the matrix or are more than its lanes, or `to`
/// has not one row a lane.
pub fn pack_rows(isa: Isa, tile: Tile, rows: Rows<'_>, panel: usize, to: &mut [f32]) {
    rows.check(tile.rows);
    assert!(panel > 0 && tile.rows <= tile.width && to.len() == rows.columns * tile.width);
    isa.run(PackRows { tile, rows, panel, to });
}

struct PackRows<'a> {
    tile: Tile,
    rows: Rows<'a>,
    panel: usize,
    to: &'a mut [f32],
}

impl Op for PackRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let PackRows { tile, rows, panel, to } = self;
        let columns = rows.columns;
        // Whole panels of the usual width, then what is left.
        let usual = const { vectors(S::REGISTERS) * S::LANES };
        let whole = if panel == usual { columns / panel } else { 0 };
        let jump = panel.wrapping_mul(tile.width);
        let places = if whole > 0 { tile.rows } else { 0 };
        for place in 0..places {
            let mut from = rows.at(place);
            let mut at = to.as_mut_ptr().wrapping_add(place.wrapping_mul(panel));
            for _ in 0..whole {
                for v in 0..vectors(S::REGISTERS) {
                    let v = v * S::LANES;
                    // SAFETY: a whole panel of a row, which lies within the
                    // matrix (Rows::check), to its place in `to`, which has a
                    // row a lane (pack_rows).
                    unsafe { s.store_ptr(s.load_ptr(from.wrapping_add(v)), at.wrapping_add(v)) };
                }
                from = from.wrapping_add(usual);
                at = at.wrapping_add(jump);
            }
        }
        for first in (whole * panel..columns).step_by(panel) {
            let width = panel.min(columns - first);
            let mut at = to[first * tile.width..].as_mut_ptr();
            for place in 0..tile.rows {
                // SAFETY: so many elements of a row, which lies within the matrix
                // (Rows::check), to their place in `to`, which has a row a lane.
                unsafe { copy(s, rows.at(place).wrapping_add(first), at, width) };
                at = at.wrapping_add(width);
            }
        }
        for first in (0..columns).step_by(panel) {
            let width = panel.min(columns - first);
            to[first * tile.width + tile.rows * width..][..(tile.width - tile.rows) * width]
                .fill(0.0);
        }
    }
}

/// Copies some elements: a call of `memcpy` would take longer than they do.
///
/// # Safety
/// `from` must be valid for reading so many, and `to` for writing them.
#[inline(always)]
unsafe fn copy<S: Simd>(s: S, from: *const f32, to: *mut f32, n: usize) {
    /// The first N of n ≥ N elements and the last N, which may be some of the same.
    #[inline(always)]
    unsafe fn ends<const N: usize>(from: *const f32, to: *mut f32, n: usize) {
        // SAFETY: the caller's promise; [f32; N] has the alignment of f32.
        unsafe {
            let first = from.cast::<[f32; N]>().read();
            let last = from.add(n - N).cast::<[f32; N]>().read();
            to.cast::<[f32; N]>().write(first);
            to.add(n - N).cast::<[f32; N]>().write(last);
        }
    }
    // SAFETY: as many elements as there are, at least; the rest is the caller's
    // promise.
    unsafe {
        match n {
            _ if n >= S::LANES => {
                let last = n - S::LANES;
                let mut at = 0;
                while at < last {
                    s.store_ptr(s.load_ptr(from.add(at)), to.add(at));
                    at += S::LANES;
                }
                s.store_ptr(s.load_ptr(from.add(last)), to.add(last));
            }
            8.. => ends::<8>(from, to, n),
            4.. => ends::<4>(from, to, n),
            2.. => ends::<2>(from, to, n),
            1 => *to = *from,
            0 => {}
        }
    }
}

/// The same from a tile of so many features, padding lanes as they are.
///
/// # Panics
/// Where the lengths differ from a tile's.
pub fn pack_tile(
    isa: Isa,
    tile: Tile,
    features: usize,
    from: &[f32],
    panel: usize,
    to: &mut [f32],
) {
    assert!(panel > 0 && from.len() == features * tile.width && to.len() == from.len());
    isa.run(PackTile { tile, features, from, panel, to });
}

struct PackTile<'a> {
    tile: Tile,
    features: usize,
    from: &'a [f32],
    panel: usize,
    to: &'a mut [f32],
}

impl Op for PackTile<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let PackTile { tile, features, from, panel, to } = self;
        for lanes in tile.panels() {
            let from = &from[lanes.of(features)];
            for first in (0..features).step_by(panel) {
                let width = panel.min(features - first);
                let to = &mut to[first * tile.width + lanes.first * width..][..lanes.width * width];
                let from = &from[first * lanes.width..][..lanes.width * width];
                let mut lane = 0;
                while width >= BLOCK && lane + BLOCK <= lanes.width {
                    for feature in (0..width).step_by(BLOCK) {
                        let feature = feature.min(width - BLOCK);
                        let from = from.as_ptr().wrapping_add(feature * lanes.width + lane);
                        let to = to.as_mut_ptr().wrapping_add(lane * width + feature);
                        // SAFETY: features feature..feature + 8 and lanes
                        // lane..lane + 8 lie within both blocks, which were
                        // just cut to their lengths.
                        unsafe {
                            let row = |i: usize| from.wrapping_add(i * lanes.width);
                            s.transpose8(std::array::from_fn(row), to, width);
                        }
                    }
                    lane += BLOCK;
                }
                for (lane, to) in to.chunks_exact_mut(width).enumerate().skip(lane) {
                    for (to, &x) in to.iter_mut().zip(from[lane..].iter().step_by(lanes.width)) {
                        *to = x;
                    }
                }
            }
        }
    }
}
