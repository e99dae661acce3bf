//! Moving and summing: rows to tiles and back, sums over a tile's lanes.

use super::{Accuracy, Buffer, Mismatch, Placement, Setting, Size, Work, losses};
use crate::layout::{self, Pick, Rows, Tile};
use crate::simd::Isa;
use crate::unary::Bound;

/// A move of rows or of a tile to another place and layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// [`layout::rows_to_tile`]
    RowsToTile,
    /// [`layout::tile_to_rows`]
    TileToRows,
    /// [`layout::pack_rows`]
    PackRows,
    /// [`layout::pack_tile`]
    PackTile,
}

impl Move {
    /// All of them.
    pub const ALL: [Move; 4] = [Move::RowsToTile, Move::TileToRows, Move::PackRows, Move::PackTile];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Move::RowsToTile => "rows_to_tile",
            Move::TileToRows => "tile_to_rows",
            Move::PackRows => "pack_rows",
            Move::PackTile => "pack_tile",
        }
    }
}

pub(super) struct Moved {
    of: Move,
    isa: Isa,
    tile: Tile,
    features: usize,
    /// Columns of a panel of what is packed.
    panel: usize,
    /// The numbers of the matrix's rows that are taken; with none, those from
    /// [`FIRST`] on.
    numbers: Option<Vec<u32>>,
    from: Buffer,
    to: Buffer,
}

/// The first row that is taken of a matrix which has some more.
const FIRST: usize = 2;

fn pick(numbers: &Option<Vec<u32>>) -> Pick<'_> {
    numbers.as_ref().map_or(Pick::From(FIRST), |numbers| Pick::Numbers(numbers))
}

impl Moved {
    pub(super) fn new(of: Move, isa: Isa, size: Size, setting: Setting) -> Self {
        let (features, tile) = losses::tile(size);
        let held = tile.rows + FIRST;
        let (from, to) = match of {
            Move::RowsToTile | Move::PackRows => (held, tile.width),
            Move::TileToRows => (tile.width, tile.rows),
            Move::PackTile => (tile.width, tile.width),
        };
        let from = setting.numbers(9, features * from, |x| x, |_| true);
        let panel = match setting.placement {
            Placement::Plain => 16,
            _ => [16, 5, 64][tile.rows % 3],
        };
        let backwards = |place: usize| (held - 1 - place) as u32;
        Moved {
            of,
            isa,
            tile,
            features,
            panel,
            numbers: (setting.variant > 0).then(|| (0..tile.rows).map(backwards).collect()),
            from: Buffer::new(setting, &from),
            to: Buffer::new(setting, &vec![-5.0; features * to]),
        }
    }

    /// What a feature of a lane is: an element of the rows, or of the tile;
    /// padding of what is made from rows is 0.
    fn exact(&self, lane: usize, feature: usize) -> f32 {
        let (from, tile) = (self.from.slice(), self.tile);
        match self.of {
            Move::TileToRows | Move::PackTile => from[tile.index(self.features, feature, lane)],
            _ if lane >= tile.rows => 0.0,
            _ => from[pick(&self.numbers).row(lane) * self.features + feature],
        }
    }

    /// Where it goes.
    fn place(&self, lane: usize, feature: usize) -> usize {
        let (tile, features) = (self.tile, self.features);
        match self.of {
            Move::RowsToTile => tile.index(features, feature, lane),
            Move::TileToRows => lane * features + feature,
            Move::PackRows | Move::PackTile => {
                // A tile of the other shape: its features are the lanes.
                let packed = Tile { width: features, rows: features, panel: self.panel };
                packed.index(tile.width, lane, feature)
            }
        }
    }
}

impl Work for Moved {
    fn run(&mut self) {
        let (isa, tile, features, panel) = (self.isa, self.tile, self.features, self.panel);
        let pick = pick(&self.numbers);
        let rows = Rows { data: self.from.slice(), columns: features, pick };
        let to = self.to.slice_mut();
        match self.of {
            Move::RowsToTile => layout::rows_to_tile(isa, tile, rows, to),
            Move::TileToRows => layout::tile_to_rows(isa, tile, features, rows.data, to),
            Move::PackRows => layout::pack_rows(isa, tile, rows, panel, to),
            Move::PackTile => layout::pack_tile(isa, tile, features, rows.data, panel, to),
        }
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.run();
        Mismatch::unless_intact(&[&self.from, &self.to])?;
        let lanes = if self.of == Move::TileToRows { self.tile.rows } else { self.tile.width };
        for lane in 0..lanes {
            for feature in 0..self.features {
                let (x, exact) =
                    (self.to.slice()[self.place(lane, feature)], self.exact(lane, feature));
                Mismatch::unless(x.to_bits() == exact.to_bits(), || {
                    format!("feature {feature} of lane {lane} is {x:e} instead of {exact:e}")
                })?;
            }
        }
        Ok(Accuracy::default())
    }
}

pub(super) struct SumFeatures {
    isa: Isa,
    tile: Tile,
    d: Buffer,
    before: Vec<f32>,
    sums: Buffer,
    accumulate: bool,
}

impl SumFeatures {
    pub(super) fn new(isa: Isa, size: Size, setting: Setting) -> Self {
        let (features, tile) = losses::tile(size);
        // Padding is summed too: whoever writes a tile puts zeros there.
        let allowed = |x: f32| x.abs() <= 1.0 || !x.is_finite();
        let numbers = |seed, n| setting.numbers(seed, n, |x| x, allowed);
        let before = numbers(2, features);
        SumFeatures {
            isa,
            tile,
            d: Buffer::new(setting, &numbers(1, features * tile.width)),
            sums: Buffer::new(setting, &before),
            before,
            accumulate: setting.variant > 0,
        }
    }
}

impl Work for SumFeatures {
    fn run(&mut self) {
        let (d, sums) = (self.d.slice(), self.sums.slice_mut());
        let of = [sums.len(), 0];
        layout::sum_features(self.isa, self.tile, d, of, sums, self.accumulate);
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.sums.slice_mut().copy_from_slice(&self.before);
        self.run();
        Mismatch::unless_intact(&[&self.d, &self.sums])?;
        let (width, features) = (self.tile.width, self.before.len());
        // As for a product with ones.
        let bound = Bound::ulp_or(0.0, (width as f64 + 2.0) * f64::from(f32::EPSILON));
        let mut accuracy = Accuracy::default();
        for (i, (&sum, &before)) in self.sums.slice().iter().zip(&self.before).enumerate() {
            let start = if self.accumulate { f64::from(before) } else { 0.0 };
            let at = |lane| self.tile.index(features, i, lane);
            let exact = (0..width).fold(start, |sum, l| sum + f64::from(self.d.slice()[at(l)]));
            accuracy.add(sum, exact, bound, || format!("sum {i} of {width} numbers"))?;
        }
        Ok(accuracy)
    }
}
