//! How the left factor is read: a few rows of it, column by column.

use super::Left;
use crate::layout::Tile;
use std::ops::Range;

/// Where a block of A's rows lies: `runs` runs of `run` columns, then one of
/// `tail`.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) at: *const f32,
    /// From one row to the next.
    pub(super) row: usize,
    /// From one column to the next, within a run.
    pub(super) column: usize,
    pub(super) run: usize,
    pub(super) runs: usize,
    /// From one run to the next.
    pub(super) jump: usize,
    /// The last run, where its rows lie otherwise: columns and stride of rows.
    pub(super) tail: usize,
    pub(super) tail_row: usize,
    pub(super) tail_at: *const f32,
}

impl Source {
    /// The first `k` columns of A.
    #[inline(always)]
    pub(super) fn of(a: Left<'_>, k: usize) -> Source {
        let (at, row, column) = match a {
            Left::Tile { data, tile, features, first } if tile.panel < tile.width => {
                return Source::of_tile(data, tile, features, 0..k).at_row(first);
            }
            Left::Tile { data, tile, first, .. } => {
                (data.as_ptr().wrapping_add(first * tile.width), tile.width, 1)
            }
            Left::Strided { data, row_stride, column_stride } => {
                (data.as_ptr(), row_stride, column_stride)
            }
        };
        Source::one_run(at, row, column, k)
    }

    /// One run of so many columns.
    #[inline(always)]
    pub(super) fn one_run(at: *const f32, row: usize, column: usize, run: usize) -> Source {
        Source { at, row, column, run, runs: 1, jump: 0, tail: 0, tail_row: 0, tail_at: at }
    }

    /// In a tile of so many features: a run a panel. The first lane is the
    /// first of a panel.
    #[inline(always)]
    pub(super) fn of_tile(
        data: &[f32],
        tile: Tile,
        features: usize,
        lanes: Range<usize>,
    ) -> Source {
        let panel = tile.panel;
        let runs = lanes.len() / panel;
        let end = lanes.start + runs * panel;
        Source {
            at: data.as_ptr().wrapping_add(lanes.start * features),
            row: panel,
            column: 1,
            run: panel,
            runs,
            jump: panel * features,
            tail: lanes.end - end,
            tail_row: panel.min(tile.width - end),
            tail_at: data.as_ptr().wrapping_add(end * features),
        }
    }

    /// The same from another row on.
    #[inline(always)]
    pub(super) fn at_row(self, row: usize) -> Source {
        Source {
            at: self.at.wrapping_add(row * self.row),
            tail_at: self.tail_at.wrapping_add(row * self.tail_row),
            ..self
        }
    }
}
