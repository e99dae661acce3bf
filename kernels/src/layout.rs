//! Moving rows of a table into tiles and back.

use crate::gemm::vectors;
use crate::simd::{Column, Isa, Op, Simd};

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

/// Rows of a matrix, row-major, which a tile takes.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The matrix.
    pub data: &'a [f32],
    /// Elements of a row.
    pub columns: usize,
    /// Which rows.
    pub pick: Pick<'a>,
}

/// Which rows of a matrix a tile takes, as many as it has rows.
#[derive(Debug, Clone, Copy)]
pub enum Pick<'a> {
    /// Those from this one on.
    From(usize),
    /// Those of these numbers, in any order.
    Numbers(&'a [u32]),
}

impl<'a> Pick<'a> {
    /// The number of a row.
    #[inline(always)]
    pub fn row(self, place: usize) -> usize {
        match self {
            Pick::From(first) => first + place,
            Pick::Numbers(numbers) => numbers[place] as usize,
        }
    }

    /// The rows from one place on.
    pub fn skip(self, places: usize) -> Pick<'a> {
        match self {
            Pick::From(first) => Pick::From(first + places),
            Pick::Numbers(numbers) => Pick::Numbers(&numbers[places..]),
        }
    }
}

impl Rows<'_> {
    /// What unsafe code relies on: the first `count` rows lie within
    /// the matrix.
    pub(crate) fn check(&self, count: usize) {
        let fits = match self.pick {
            // Without a division, which would take longer than a small step's sums.
            Pick::From(first) => first
                .checked_add(count)
                .and_then(|rows| rows.checked_mul(self.columns))
                .is_some_and(|end| end <= self.data.len()),
            Pick::Numbers(numbers) => {
                let held = self.data.len() / self.columns.max(1);
                // The largest of them: unlike a search this is done in vectors.
                let largest = numbers[..count].iter().fold(0, |largest, &row| row.max(largest));
                count == 0 || self.columns == 0 || (largest as usize) < held
            }
        };
        assert!(fits, "a row beyond the matrix");
    }

    /// Where a row begins; `place` was checked.
    #[inline(always)]
    pub(crate) fn at(&self, place: usize) -> *const f32 {
        self.data.as_ptr().wrapping_add(self.pick.row(place) * self.columns)
    }
}

/// Rows of a matrix that lie within it, so many of them.
#[derive(Debug, Clone, Copy)]
pub struct Picked<'a> {
    rows: Rows<'a>,
    count: usize,
}

impl<'a> Picked<'a> {
    /// The first so many of some rows.
    ///
    /// # Panics
    /// Where one of them lies beyond the matrix, or they are fewer.
    pub fn new(rows: Rows<'a>, count: usize) -> Self {
        rows.check(count);
        Picked { rows, count }
    }

    /// How many.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Elements of a row.
    #[inline(always)]
    pub fn columns(&self) -> usize {
        self.rows.columns
    }

    /// One of them.
    ///
    /// # Panics
    /// Where they are fewer.
    pub fn row(&self, place: usize) -> &'a [f32] {
        assert!(place < self.count, "a row that was not picked");
        &self.rows.data[self.rows.pick.row(place) * self.rows.columns..][..self.rows.columns]
    }

    /// Where a row begins: one of these.
    #[inline(always)]
    pub(crate) fn at(&self, place: usize) -> *const f32 {
        debug_assert!(place < self.count, "a row that was not picked");
        self.rows.at(place)
    }

    /// Where some of them begin that follow each other.
    ///
    /// # Panics
    /// Where they are fewer.
    #[inline(always)]
    pub(crate) fn starts(&self, place: usize, to: &mut [*const f32]) {
        let Rows { data, columns, pick } = self.rows;
        match pick {
            Pick::From(first) => {
                assert!(place + to.len() <= self.count, "a row that was not picked");
                let mut at = data.as_ptr().wrapping_add((first + place) * columns);
                for to in to {
                    *to = at;
                    at = at.wrapping_add(columns);
                }
            }
            Pick::Numbers(numbers) => {
                let numbers = &numbers[..self.count][place..][..to.len()];
                for (to, &row) in to.iter_mut().zip(numbers) {
                    *to = data.as_ptr().wrapping_add(row as usize * columns);
                }
            }
        }
    }

    /// Where the matrix ends.
    #[inline(always)]
    pub(crate) fn end(&self) -> *const f32 {
        self.rows.data.as_ptr_range().end
    }
}

/// The side of the blocks that are transposed in registers.
const BLOCK: usize = 8;
const HALF: usize = BLOCK / 2;

/// Lanes of the widest vector.
const MOST_LANES: usize = 16;

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
                                let mut from = [std::ptr::null(); MOST_LANES];
                                for (i, from) in from.iter_mut().enumerate().take(S::LANES) {
                                    *from = rows.at(first + i);
                                }
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
    from: &[*const f32; MOST_LANES],
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

/// Each sum ← (itself +) Σ over the lanes of its feature of a tile `d` of so many
/// features: the first sum's is feature `first`, the next one's the next.
///
/// # Panics
/// Where `d` is not such a tile, or has no feature for a sum.
pub fn sum_features(
    isa: Isa,
    tile: Tile,
    d: &[f32],
    [features, first]: [usize; 2],
    sums: &mut [f32],
    accumulate: bool,
) {
    assert_eq!(d.len(), features * tile.width);
    assert!(first.checked_add(sums.len()).is_some_and(|end| end <= features));
    isa.run(SumFeatures { tile, d, features, from: first, sums, accumulate });
}

struct SumFeatures<'a> {
    tile: Tile,
    d: &'a [f32],
    features: usize,
    from: usize,
    sums: &'a mut [f32],
    accumulate: bool,
}

impl Op for SumFeatures<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let SumFeatures { tile, d, features, mut from, sums, accumulate } = self;
        let (whole, rest) = sums.split_at_mut(sums.len() - sums.len() % S::LANES);
        for sums in whole.chunks_exact_mut(S::LANES) {
            // SAFETY: features of the tile, whose length sum_features has checked.
            let low = unsafe { chains(s, tile, d, features, |i| from + i) };
            let mut totals = Totals([low; 2]);
            if S::LANES > BLOCK {
                // SAFETY: as above.
                totals.0[1] = unsafe { chains(s, tile, d, features, |i| from + BLOCK + i) };
            }
            let totals = s.sums(&totals);
            s.store(if accumulate { s.add(s.load(sums), totals) } else { totals }, sums);
            from += S::LANES;
        }
        let Some(last) = rest.len().checked_sub(1) else { return };
        // The last feature is read again where fewer than a block are left, for nothing.
        let mut totals = Totals([[s.splat(0.0); BLOCK]; 2]);
        if rest.len() <= HALF {
            // SAFETY: as above.
            let [a, b, c, d]: [S::V; HALF] =
                unsafe { chains(s, tile, d, features, |i| from + i.min(last)) };
            totals.0[0] = [a, b, c, d, a, b, c, d];
        } else {
            // SAFETY: as above.
            totals.0[0] = unsafe { chains(s, tile, d, features, |i| from + i.min(last)) };
        }
        totals.0[1] = totals.0[0];
        if rest.len() > BLOCK {
            let more = |i: usize| from + (BLOCK + i).min(last);
            // SAFETY: as above.
            totals.0[1] = unsafe { chains(s, tile, d, features, more) };
        }
        let totals = s.sums(&totals);
        let totals = if accumulate { s.add(s.load_partial(rest), totals) } else { totals };
        s.store_partial(totals, rest);
    }
}

/// The sums of the vectors of `N` features of a tile of so many: as many chains of
/// additions.
///
/// # Safety
/// `d` is the tile, and every `feature(i)` one of its `features`.
#[inline(always)]
unsafe fn chains<S: Simd, const N: usize>(
    s: S,
    tile: Tile,
    d: &[f32],
    features: usize,
    feature: impl Fn(usize) -> usize,
) -> [S::V; N] {
    let usual = const { vectors(S::REGISTERS) * S::LANES };
    let (mut totals, mut first) = ([s.splat(0.0); N], 0);
    if tile.panel == usual {
        let starts: [_; N] = std::array::from_fn(|i| d.as_ptr().wrapping_add(feature(i) * usual));
        while first + usual <= tile.width {
            let at = first * features;
            for (total, start) in totals.iter_mut().zip(starts) {
                for v in 0..vectors(S::REGISTERS) {
                    // SAFETY: a vector of a feature of a whole panel.
                    let x = unsafe { s.load_ptr(start.wrapping_add(at + v * S::LANES)) };
                    *total = s.add(*total, x);
                }
            }
            first += usual;
        }
    }
    while first < tile.width {
        let width = tile.panel.min(tile.width - first);
        let panel = d.as_ptr().wrapping_add(first * features);
        let starts: [_; N] = std::array::from_fn(|i| panel.wrapping_add(feature(i) * width));
        let mut lane = 0;
        // SAFETY: lanes of features of the panel.
        unsafe {
            while lane + S::LANES <= width {
                for (total, start) in totals.iter_mut().zip(starts) {
                    *total = s.add(*total, s.load_ptr(start.wrapping_add(lane)));
                }
                lane += S::LANES;
            }
            if lane < width {
                for (total, start) in totals.iter_mut().zip(starts) {
                    *total = s.add(*total, s.load_first(start.wrapping_add(lane), width - lane));
                }
            }
        }
        first += width;
    }
    totals
}

/// As many vectors as a vector has lanes, at most 16.
struct Totals<V>([[V; BLOCK]; 2]);

impl<S: Simd> Column<S> for Totals<S::V> {
    #[inline(always)]
    fn at(&self, _: S, i: usize) -> S::V {
        self.0[i / BLOCK][i % BLOCK]
    }
}
