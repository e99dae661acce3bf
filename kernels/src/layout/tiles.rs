//! Moving rows of a table into tiles and back.

use super::{BLOCK, HALF, Pick, Rows, Tile};
use crate::gemm::vectors;
use crate::simd::{Isa, Op, Simd, WIDEST};

/// Columns that all lanes of a panel are transposed of before the next ones.
const COLUMNS: usize = 32;

/// A tile from rows: their columns become its first features; padding lanes
/// get 0. Where it has more features than the rows columns, the others are left
/// as they are.
///
/// # Panics
/// Where the tile's rows lie beyond the matrix, or `to` is not a tile of at
/// least as many features as the rows have columns.
pub fn rows_to_tile(isa: Isa, tile: Tile, rows: Rows<'_>, to: &mut [f32]) {
    rows.check(tile.rows);
    let features = to.len().checked_div(tile.width).unwrap_or(rows.columns);
    assert!(to.len() == features * tile.width && features >= rows.columns);
    isa.run(RowsToTile { tile, rows, to, features });
}

struct RowsToTile<'a> {
    tile: Tile,
    rows: Rows<'a>,
    to: &'a mut [f32],
    features: usize,
}

impl Op for RowsToTile<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let RowsToTile { tile, rows, to, features } = self;
        let columns = rows.columns;
        if columns == 0 {
            return;
        }
        for panel in tile.panels() {
            let to = &mut to[panel.of(features)];
            let width = panel.width;
            let mut lane = 0;
            if columns <= HALF {
                while lane + S::LANES <= panel.rows {
                    let to = to.as_mut_ptr().wrapping_add(lane);
                    let first = panel.first + lane;
                    // SAFETY: these rows lie within the matrix (Rows::check), and LANES
                    // lanes of each column within the panel.
                    unsafe {
                        match rows.pick {
                            Pick::From(_) => narrow_rows(s, rows.at(first), columns, to, width),
                            Pick::Numbers(_) => {
                                let mut from = [std::ptr::null(); WIDEST];
                                rows.starts(first, &mut from[..S::LANES]);
                                narrow_rows_apart(s, &from, columns, to, width);
                            }
                        }
                    }
                    lane += S::LANES;
                }
            }
            let usual = const { vectors(S::REGISTERS) * S::LANES };
            // Some columns of all lanes, then the next ones: what is written
            // stays in the first-level cache until its lines are whole.
            let begin = lane;
            let mut first = 0;
            while first < columns {
                let take = match columns - first {
                    left if left < 2 * COLUMNS => left,
                    _ => COLUMNS,
                };
                let to = to.as_mut_ptr().wrapping_add(first * width);
                let row = |lane: usize| rows.at(panel.first + lane).wrapping_add(first);
                lane = begin;
                while lane + BLOCK <= panel.rows {
                    let from: [*const f32; BLOCK] = std::array::from_fn(|i| row(lane + i));
                    let to = to.wrapping_add(lane);
                    // SAFETY: these columns of the rows lie within the matrix
                    // (Rows::check); as many features and lanes lane..lane + 8
                    // lie within the panel.
                    unsafe {
                        match width == usual {
                            // Every offset is a constant.
                            true => transpose_rows(s, from, take, to, usual),
                            false => transpose_rows(s, from, take, to, width),
                        }
                    }
                    lane += BLOCK;
                }
                first += take;
            }
            for lane in lane..panel.rows {
                let row = rows.pick.row(panel.first + lane) * columns;
                let row = &rows.data[row..row + columns];
                for (to, &x) in to[lane..].iter_mut().step_by(width).zip(row) {
                    *to = x;
                }
            }
            if panel.rows < width {
                for to in to.chunks_exact_mut(width).take(columns) {
                    to[panel.rows..].fill(0.0);
                }
            }
        }
    }
}

/// Rows of up to 4 columns, one behind the other, as columns of a panel: a vector of each.
///
/// # Safety
/// The rows must be valid for reading, and `columns` features of `LANES` lanes from `to`
/// on, `width` apart, for writing.
#[inline(always)]
unsafe fn narrow_rows<S: Simd>(s: S, from: *const f32, columns: usize, to: *mut f32, width: usize) {
    let at = |i: usize| from.wrapping_add(i * S::LANES);
    // SAFETY: the caller's promise.
    unsafe {
        match columns {
            1 => s.store_ptr(s.load_ptr(from), to),
            2 => {
                let [a, b] = s.deinterleave2([s.load_ptr(from), s.load_ptr(at(1))]);
                s.store_ptr(a, to);
                s.store_ptr(b, to.add(width));
            }
            HALF => {
                let four =
                    [s.load_ptr(from), s.load_ptr(at(1)), s.load_ptr(at(2)), s.load_ptr(at(3))];
                for (column, x) in s.deinterleave4(four).into_iter().enumerate() {
                    s.store_ptr(x, to.add(column * width));
                }
            }
            _ => {
                for column in 0..columns {
                    let x = s.load_strided(from.add(column), columns);
                    s.store_ptr(x, to.add(column * width));
                }
            }
        }
    }
}

/// The same of rows anywhere.
///
/// # Safety
/// The first `LANES` rows must be valid for reading; the rest is as [`narrow_rows`] says.
#[inline(always)]
unsafe fn narrow_rows_apart<S: Simd>(
    s: S,
    from: &[*const f32; WIDEST],
    columns: usize,
    to: *mut f32,
    width: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if columns == HALF {
            for (column, x) in s.columns4(from.as_ptr(), 0).into_iter().enumerate() {
                s.store_ptr(x, to.add(column * width));
            }
            return;
        }
        for column in 0..columns {
            s.store_ptr(s.gather(from.as_ptr(), column), to.add(column * width));
        }
    }
}

/// Eight rows of so many columns as columns of a panel.
///
/// # Safety
/// The rows must be valid for reading, and `columns` features of 8 lanes from
/// `to` on, `width` apart, for writing.
#[inline(always)]
unsafe fn transpose_rows<S: Simd>(
    s: S,
    from: [*const f32; BLOCK],
    columns: usize,
    to: *mut f32,
    width: usize,
) {
    let block = |column: usize| from.map(|row| row.wrapping_add(column));
    // The last block of columns begins where it ends with the row, and writes
    // some elements again; fewer columns than half a block has go one by one.
    // SAFETY: column + 8, or 4, or 1 ≤ columns; the rest is the caller's promise.
    unsafe {
        match columns {
            BLOCK.. => {
                for column in (0..columns).step_by(BLOCK) {
                    let column = column.min(columns - BLOCK);
                    s.transpose8(block(column), to.add(column * width), width);
                }
            }
            HALF.. => {
                for column in (0..columns).step_by(HALF) {
                    let column = column.min(columns - HALF);
                    s.transpose8x4(block(column), to.add(column * width), width);
                }
            }
            _ => {
                for column in 0..columns {
                    for (i, row) in from.iter().enumerate() {
                        *to.add(column * width + i) = *row.add(column);
                    }
                }
            }
        }
    }
}

/// Rows from a tile: `out` is `[rows, features]`, row-major.
///
/// # Panics
/// Where `from` is not a tile of so many features, or `out` has not one row a
/// row.
pub fn tile_to_rows(isa: Isa, tile: Tile, features: usize, from: &[f32], out: &mut [f32]) {
    assert!(from.len() == features * tile.width && out.len() == features * tile.rows);
    isa.run(TileToRows { tile, features, from, out });
}

struct TileToRows<'a> {
    tile: Tile,
    features: usize,
    from: &'a [f32],
    out: &'a mut [f32],
}

impl Op for TileToRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let TileToRows { tile, features, from, out } = self;
        for panel in tile.panels() {
            let from = &from[panel.of(features)];
            let out = &mut out[panel.first.min(tile.rows) * features..];
            if features == 1 {
                out[..panel.rows].copy_from_slice(&from[..panel.rows]);
                continue;
            }
            let mut lane = 0;
            // Narrower rows are written as rows of 4, whose ends the next rows overwrite.
            let beyond = HALF.saturating_sub(features);
            while lane + BLOCK <= panel.rows && (lane + BLOCK) * features + beyond <= out.len() {
                let to = out[lane * features..].as_mut_ptr();
                let column = |feature: usize| {
                    from.as_ptr().wrapping_add(feature.min(features - 1) * panel.width + lane)
                };
                // SAFETY: the columns are those of features of the panel, from
                // `lane` on, where it has 8 more lanes; these rows, and what
                // narrow ones are longer, lie within `out`. The last block of
                // features ends where the rows do.
                unsafe { rows_of_columns(s, column, features, to) };
                lane += BLOCK;
            }
            let rows = out.chunks_exact_mut(features).take(panel.rows);
            for (row, out) in rows.enumerate().skip(lane) {
                for (out, &x) in out.iter_mut().zip(from[row..].iter().step_by(panel.width)) {
                    *out = x;
                }
            }
        }
    }
}

/// Eight rows of so many features, one behind the other, from columns.
///
/// # Safety
/// Eight elements of every column must be valid for reading, and the rows for
/// writing: where they have fewer than 4 features as if the last one had 4.
#[inline(always)]
unsafe fn rows_of_columns<S: Simd>(
    s: S,
    column: impl Fn(usize) -> *const f32,
    features: usize,
    to: *mut f32,
) {
    // SAFETY: the last block of features ends where the rows do, if they are as
    // long; the rest is the caller's promise.
    unsafe {
        if features < BLOCK {
            for feature in (0..features).step_by(HALF) {
                let feature = feature.min(features.saturating_sub(HALF));
                let from = std::array::from_fn(|i| column(feature + i));
                s.transpose4x8(from, to.wrapping_add(feature), features);
            }
            return;
        }
        for feature in (0..features).step_by(BLOCK) {
            let feature = feature.min(features - BLOCK);
            let from = std::array::from_fn(|i| column(feature + i));
            s.transpose8(from, to.wrapping_add(feature), features);
        }
    }
}
