//! Moving rows of a table into tiles and back.

use crate::simd::{Isa, Op, Simd};

/// A feature-major tile: `[feature][width]`, of which the first `rows` lanes
/// of every feature hold rows of the batch and the others are padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Lanes of a feature: rows of the batch and padding.
    pub width: usize,
    /// Lanes that hold rows, at most `width`.
    pub rows: usize,
}

/// `to[j·to_stride + i] = from[i·from_stride + j]` for i < rows, j < columns:
/// row-major to feature-major and back.
///
/// # Panics
/// Where a slice is too short for its shape.
pub fn transpose(
    isa: Isa,
    rows: usize,
    columns: usize,
    from: &[f32],
    from_stride: usize,
    to: &mut [f32],
    to_stride: usize,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(from_stride >= columns && from.len() >= (rows - 1) * from_stride + columns);
    assert!(to_stride >= rows && to.len() >= (columns - 1) * to_stride + rows);
    isa.run(Transpose { rows, columns, from, from_stride, to, to_stride });
}

struct Transpose<'a> {
    rows: usize,
    columns: usize,
    from: &'a [f32],
    from_stride: usize,
    to: &'a mut [f32],
    to_stride: usize,
}

impl Op for Transpose<'_> {
    type Output = ();
    /// Blocks of 8 by 8, then the edges one by one.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const BLOCK: usize = 8;
        let Transpose { rows, columns, from, from_stride, to, to_stride } = self;
        let (whole_rows, whole_columns) = (rows - rows % BLOCK, columns - columns % BLOCK);
        for i in (0..whole_rows).step_by(BLOCK) {
            for j in (0..whole_columns).step_by(BLOCK) {
                // SAFETY: i + 8 ≤ rows and j + 8 ≤ columns; `transpose` has
                // checked that all rows and columns lie within their slices,
                // and `to` is borrowed exclusively.
                unsafe {
                    s.transpose8(
                        from.as_ptr().add(i * from_stride + j),
                        from_stride,
                        to.as_mut_ptr().add(j * to_stride + i),
                        to_stride,
                    );
                }
            }
        }
        for i in 0..rows {
            let start = if i < whole_rows { whole_columns } else { 0 };
            for j in start..columns {
                to[j * to_stride + i] = from[i * from_stride + j];
            }
        }
    }
}

/// Each sum ← (itself +) Σ over the lanes of its feature of a tile
/// `[feature][width]`.
///
/// # Panics
/// Where there is not one sum a feature.
pub fn sum_features(isa: Isa, tile: Tile, d: &[f32], sums: &mut [f32], accumulate: bool) {
    assert_eq!(d.len(), sums.len() * tile.width);
    isa.run(SumFeatures { width: tile.width, d, sums, accumulate });
}

struct SumFeatures<'a> {
    width: usize,
    d: &'a [f32],
    sums: &'a mut [f32],
    accumulate: bool,
}

impl Op for SumFeatures<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (feature, sum) in self.d.chunks_exact(self.width).zip(self.sums) {
            let mut chunks = feature.chunks_exact(S::LANES);
            let mut total = s.splat(0.0);
            for chunk in &mut chunks {
                total = s.add(total, s.load(chunk));
            }
            total = s.add(total, s.load_partial(chunks.remainder()));
            let start = if self.accumulate { *sum } else { 0.0 };
            *sum = start + s.sum(total);
        }
    }
}
