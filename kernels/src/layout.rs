//! Moving rows of a table into tiles and back.

use crate::simd::{Isa, Op, Simd};

/// A feature-major tile, `[feature][lane]`, of which the first `rows` lanes
/// hold rows of the batch and the others are padding.
///
/// Its lanes are cut into *panels*, which lie one behind the other, each
/// `[feature][lanes of the panel]`: a panel is what a register tile of a
/// matrix product takes, and its features lie next to each other, so that a
/// product reads memory in one stream and no two features compete for the same
/// lines of the cache. All panels have the same width but the last one, which
/// has what is left. A tile of one panel is plain `[feature][width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Lanes of a feature: rows of the batch and padding.
    pub width: usize,
    /// Lanes that hold rows, at most `width`.
    pub rows: usize,
    /// Lanes of a panel, at least 1.
    pub panel: usize,
}

/// A panel of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panel {
    /// Its first lane in the tile.
    pub first: usize,
    /// Its lanes.
    pub width: usize,
    /// Its lanes that hold rows.
    pub rows: usize,
}

impl Tile {
    /// A tile of one panel.
    pub fn plain(width: usize, rows: usize) -> Tile {
        Tile { width, rows, panel: width.max(1) }
    }

    /// Where a lane of a feature lies in a tile of so many features.
    pub fn index(self, features: usize, feature: usize, lane: usize) -> usize {
        let first = lane - lane % self.panel;
        let width = self.panel.min(self.width - first);
        first * features + feature * width + lane - first
    }

    /// The lane of an element of a tile with so many features.
    pub fn lane(self, features: usize, index: usize) -> usize {
        let first = index / (self.panel * features) * self.panel;
        let width = self.panel.min(self.width - first);
        first + (index - first * features) % width
    }

    /// Its panels, in order.
    #[inline(always)]
    pub fn panels(self) -> impl Iterator<Item = Panel> {
        (0..self.width).step_by(self.panel).map(move |first| Panel {
            first,
            width: self.panel.min(self.width - first),
            rows: self.rows.saturating_sub(first).min(self.panel),
        })
    }
}

impl Panel {
    /// The panel's part of a tile with so many features.
    #[inline(always)]
    pub fn of(self, features: usize) -> std::ops::Range<usize> {
        self.first * features..(self.first + self.width) * features
    }
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

/// Each sum ← (itself +) Σ over the lanes of its feature of a tile.
///
/// # Panics
/// Where there is not one sum a feature.
pub fn sum_features(isa: Isa, tile: Tile, d: &[f32], sums: &mut [f32], accumulate: bool) {
    assert_eq!(d.len(), sums.len() * tile.width);
    isa.run(SumFeatures { tile, d, sums, accumulate });
}

struct SumFeatures<'a> {
    tile: Tile,
    d: &'a [f32],
    sums: &'a mut [f32],
    accumulate: bool,
}

impl Op for SumFeatures<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let features = self.sums.len();
        for (feature, sum) in self.sums.iter_mut().enumerate() {
            let mut total = s.splat(0.0);
            for panel in self.tile.panels() {
                let lanes = &self.d[panel.of(features)][feature * panel.width..][..panel.width];
                let mut chunks = lanes.chunks_exact(S::LANES);
                for chunk in &mut chunks {
                    total = s.add(total, s.load(chunk));
                }
                let rest = chunks.remainder();
                if !rest.is_empty() {
                    total = s.add(total, s.load_partial(rest));
                }
            }
            let start = if self.accumulate { *sum } else { 0.0 };
            *sum = start + s.sum(total);
        }
    }
}
