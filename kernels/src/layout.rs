//! Rows of a table, tiles of their features, and the way from the ones to the others.

mod pack;
mod sums;
mod tiles;

pub use pack::{pack_rows, pack_tile};
pub use sums::sum_features;
pub use tiles::{rows_to_tile, tile_to_rows};

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

    /// Where rows begin that follow each other; their places were checked.
    #[inline(always)]
    pub(crate) fn starts(&self, place: usize, to: &mut [*const f32]) {
        let Rows { data, columns, pick } = *self;
        match pick {
            Pick::From(first) => {
                let mut at = data.as_ptr().wrapping_add((first + place) * columns);
                for to in to {
                    *to = at;
                    at = at.wrapping_add(columns);
                }
            }
            Pick::Numbers(numbers) => {
                let numbers = &numbers[place..][..to.len()];
                for (to, &row) in to.iter_mut().zip(numbers) {
                    *to = data.as_ptr().wrapping_add(row as usize * columns);
                }
            }
        }
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
        assert!(place + to.len() <= self.count, "a row that was not picked");
        self.rows.starts(place, to);
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
