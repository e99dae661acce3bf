//! Categories: rows of a table in place of products with a one-hot matrix.
//!
//! A category is one of many levels. As inputs of a layer it would be one
//! number a level, all 0 but one, which is 1: the product with their weights
//! is the row of weights of that level, and the weights' gradient is the
//! gradient of the layer's sums added to that row. With the weights level by
//! level, `[levels, outputs]`, forward is an addition of one row a category
//! ([`gather`]), backward too ([`scatter`]), whatever the number of levels:
//!
//! ```text
//! for 8 lanes of the tile:
//!   for up to 64 outputs:
//!     for each lane: sums ← bias; for each of its levels: sums += table[level]
//!     transpose the sums into the tile
//! ```

use crate::layout::Tile;
use crate::simd::{Isa, Op, Simd, Twice};

/// Stands for no level: a cell that training has not seen.
pub const NONE: u32 = u32::MAX;

/// Lanes whose sums are transposed together.
const LANES: usize = 8;

/// Outputs that are summed together: the sums of 8 lanes take 2 KB.
const OUTPUTS: usize = 64;

/// Features `first..` of a tile, as many as the table's rows are wide ← bias +
/// Σ of the table's rows that a lane's levels name, added one after the other;
/// lanes without a row get the bias.
///
/// `table` is `[levels, width]` and `levels` `[tile.rows, categories]`, both
/// row-major; `to` is a tile of at least `first + width` features, the others
/// of which are left as they are.
///
/// # Panics
/// Where a level is neither a row of the table nor [`NONE`], or a slice has
/// not the length that the others ask for.
#[expect(clippy::too_many_arguments, reason = "each is a different thing")]
pub fn gather(
    isa: Isa,
    tile: Tile,
    width: usize,
    table: &[f32],
    bias: Option<&[f32]>,
    levels: &[u32],
    to: &mut [f32],
    first: usize,
) {
    let features = to.len().checked_div(tile.width).unwrap_or(0);
    assert_eq!(to.len(), features * tile.width);
    assert!(first + width <= features || tile.width == 0, "features beyond the tile");
    assert!(bias.is_none_or(|bias| bias.len() == width), "a bias of another width");
    let categories = levels.len().checked_div(tile.rows).unwrap_or(0);
    assert_eq!(levels.len(), categories * tile.rows);
    isa.run(Gather { tile, width, table, bias, levels, categories, to, features, first });
}

struct Gather<'a> {
    tile: Tile,
    width: usize,
    table: &'a [f32],
    bias: Option<&'a [f32]>,
    levels: &'a [u32],
    categories: usize,
    to: &'a mut [f32],
    features: usize,
    first: usize,
}

impl Op for Gather<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Gather { tile, width, table, bias, levels, categories, to, features, first } = self;
        let mut sums = [[0.0; OUTPUTS]; LANES];
        for panel in tile.panels() {
            let to = &mut to[panel.of(features)];
            for lane in (0..panel.width).step_by(LANES) {
                let lanes = LANES.min(panel.width - lane);
                for start in (0..width).step_by(OUTPUTS) {
                    let outputs = OUTPUTS.min(width - start);
                    for (i, sums) in sums.iter_mut().enumerate().take(lanes) {
                        let row = panel.first + lane + i;
                        let levels = match row < tile.rows {
                            true => &levels[row * categories..(row + 1) * categories],
                            false => &[],
                        };
                        let bias = bias.map(|bias| &bias[start..start + outputs]);
                        let sum = Sum { width, table, start, bias, levels };
                        // Four registers at a time, then one, then a part of it.
                        let sums = &mut sums[..outputs];
                        let at = sum.vectors(Twice(Twice(s)), 0, sums);
                        let at = sum.vectors(s, at, sums);
                        sum.rest(at, sums);
                    }
                    let at = (first + start) * panel.width + lane;
                    let to = &mut to[at..];
                    if lanes == LANES && outputs >= LANES {
                        for output in (0..outputs).step_by(LANES) {
                            // The last block ends with the outputs, and
                            // writes some of them again.
                            let output = output.min(outputs - LANES);
                            let from = std::array::from_fn(|i| sums[i][output..].as_ptr());
                            let last = (output + LANES - 1) * panel.width + LANES;
                            let to = to[output * panel.width..last].as_mut_ptr();
                            // SAFETY: 8 sums of 8 lanes, and output + 8 ≤ 64; the
                            // block of the tile ends with the slice just cut.
                            unsafe { s.transpose8(from, to, panel.width) };
                        }
                    } else {
                        for (i, sums) in sums.iter().enumerate().take(lanes) {
                            let to = to[i..].iter_mut().step_by(panel.width);
                            to.zip(&sums[..outputs]).for_each(|(to, &sum)| *to = sum);
                        }
                    }
                }
            }
        }
    }
}

/// The sum of a lane, of as many outputs as the sums have from `start` on.
struct Sum<'a> {
    width: usize,
    table: &'a [f32],
    start: usize,
    bias: Option<&'a [f32]>,
    levels: &'a [u32],
}

impl<'a> Sum<'a> {
    /// The table's rows from the output `at` on.
    #[inline(always)]
    fn rows(&self, at: usize) -> impl Iterator<Item = &'a [f32]> {
        let &Sum { width, table, start, levels, .. } = self;
        let known = levels.iter().filter(|&&level| level != NONE);
        known.map(move |&level| &table[level as usize * width + start + at..])
    }

    /// Whole vectors from the output `at` on; returns where they end.
    #[inline(always)]
    fn vectors<S: Simd>(&self, s: S, mut at: usize, sums: &mut [f32]) -> usize {
        while sums.len() - at >= S::LANES {
            let mut sum = self.bias.map_or(s.splat(0.0), |bias| s.load(&bias[at..]));
            for row in self.rows(at) {
                sum = s.add(sum, s.load(row));
            }
            s.store(sum, &mut sums[at..]);
            at += S::LANES;
        }
        at
    }

    /// What is left, from the output `at` on.
    #[inline(always)]
    fn rest(&self, at: usize, sums: &mut [f32]) {
        for (at, sum) in sums.iter_mut().enumerate().skip(at) {
            *sum = self.bias.map_or(0.0, |bias| bias[at]);
            self.rows(at).for_each(|row| *sum += row[0]);
        }
    }
}

/// A row to be added to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pair {
    /// The row that is added.
    pub from: u32,
    /// The row that it is added to.
    pub to: u32,
}

/// Row `to` of `sums`, `[levels, width]`, += the first `width` numbers of row
/// `from` of `rows`, for every pair in order; rows of `rows` lie `stride` apart.
///
/// # Panics
/// Where a pair names a row that is not there.
pub fn scatter(
    isa: Isa,
    width: usize,
    rows: &[f32],
    stride: usize,
    pairs: &[Pair],
    sums: &mut [f32],
) {
    isa.run(Scatter { width, rows, stride, pairs, sums });
}

struct Scatter<'a> {
    width: usize,
    rows: &'a [f32],
    stride: usize,
    pairs: &'a [Pair],
    sums: &'a mut [f32],
}

impl Op for Scatter<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Scatter { width, rows, stride, pairs, sums } = self;
        for &Pair { from, to } in pairs {
            let (from, to) = (from as usize * stride, to as usize * width);
            add(s, &rows[from..from + width], &mut sums[to..to + width]);
        }
    }
}

/// sums += row
#[inline(always)]
fn add<S: Simd>(s: S, row: &[f32], sums: &mut [f32]) {
    let mut rows = row.chunks_exact(S::LANES);
    let mut parts = sums.chunks_exact_mut(S::LANES);
    for (row, sums) in (&mut rows).zip(&mut parts) {
        s.store(s.add(s.load(sums), s.load(row)), sums);
    }
    for (row, sum) in rows.remainder().iter().zip(parts.into_remainder()) {
        *sum += row;
    }
}
