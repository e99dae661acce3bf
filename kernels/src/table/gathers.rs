//! Categories: rows of a table gathered, and scattered back.

use super::inputs::spread;
use super::{Accuracy, Buffer, Mismatch, Setting, Size, Work, losses};
use crate::gather::{self, NONE, Pair};
use crate::layout::Tile;
use crate::simd::Isa;
use crate::unary::Bound;

/// Rows of the table.
const LEVELS: usize = 100;

/// Categories of a row.
const CATEGORIES: usize = 3;

/// The level of a row's category: all of the table in no order, and none now
/// and then.
fn level(row: usize, category: usize) -> u32 {
    match (row * 7 + category * 31) % (LEVELS + 5) {
        level if level < LEVELS => level as u32,
        _ => NONE,
    }
}

/// As for sums: what is large would hide the others.
fn allowed(x: f32) -> bool {
    x.abs() <= 1.0 || !x.is_finite()
}

/// Of a sum of so many numbers up to 1.
fn bound(terms: usize) -> Bound {
    Bound::ulp_or(0.0, (terms * (terms + 1)) as f64 * f64::from(f32::EPSILON))
}

pub(super) struct Gather {
    isa: Isa,
    tile: Tile,
    width: usize,
    /// The first of the tile's features that are written; behind and before
    /// them there is one more.
    first: usize,
    table: Buffer,
    bias: Option<Buffer>,
    levels: Vec<u32>,
    before: Vec<f32>,
    to: Buffer,
}

impl Gather {
    pub(super) fn new(isa: Isa, size: Size, setting: Setting) -> Self {
        let (width, tile) = losses::tile(size);
        let numbers = |seed, n| setting.numbers(seed, n, |x| x, allowed);
        let (first, features) = if setting.variant > 0 { (1, width + 2) } else { (0, width) };
        let bias = (setting.variant > 0).then(|| Buffer::new(setting, &numbers(3, width)));
        let before = numbers(4, features * tile.width);
        let levels = (0..tile.rows).flat_map(|row| (0..CATEGORIES).map(move |c| level(row, c)));
        Gather {
            isa,
            tile,
            width,
            first,
            table: Buffer::new(setting, &numbers(1, LEVELS * width)),
            bias,
            levels: levels.collect(),
            to: Buffer::new(setting, &before),
            before,
        }
    }
}

impl Work for Gather {
    fn run(&mut self) {
        let Gather { isa, tile, width, first, table, bias, levels, to, .. } = self;
        let bias = bias.as_ref().map(Buffer::slice);
        let (table, to) = (table.slice(), to.slice_mut());
        gather::gather(*isa, *tile, *width, table, bias, levels, to, *first);
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.to.slice_mut().copy_from_slice(&self.before);
        self.run();
        let buffers = [&self.table, &self.to].into_iter().chain(&self.bias);
        Mismatch::unless_intact(&buffers.collect::<Vec<_>>())?;
        let (tile, features) = (self.tile, self.before.len() / self.tile.width.max(1));
        let mut accuracy = Accuracy::default();
        for lane in 0..tile.width {
            for feature in 0..features {
                let at = tile.index(features, feature, lane);
                let x = self.to.slice()[at];
                let Some(output) = feature.checked_sub(self.first).filter(|&o| o < self.width)
                else {
                    Mismatch::unless(x.to_bits() == self.before[at].to_bits(), || {
                        format!("feature {feature} of lane {lane} was written: {x:e}")
                    })?;
                    continue;
                };
                let bias = self.bias.as_ref().map_or(0.0, |bias| bias.slice()[output]);
                let levels = self.levels.chunks(CATEGORIES).nth(lane).unwrap_or(&[]);
                let known = levels.iter().filter(|&&level| level != NONE);
                let row =
                    known.map(|&level| self.table.slice()[level as usize * self.width + output]);
                let exact = row.fold(f64::from(bias), |sum, x| sum + f64::from(x));
                let what = || format!("output {output} of lane {lane}");
                accuracy.add(x, exact, bound(CATEGORIES + 1), what)?;
            }
        }
        Ok(accuracy)
    }
}

pub(super) struct Scatter {
    isa: Isa,
    width: usize,
    /// From one row to the next.
    stride: usize,
    rows: Buffer,
    pairs: Vec<Pair>,
    before: Vec<f32>,
    sums: Buffer,
}

impl Scatter {
    pub(super) fn new(isa: Isa, size: Size, setting: Setting) -> Self {
        let (width, tile) = losses::tile(size);
        let numbers = |seed, n| setting.numbers(seed, n, |x| x, allowed);
        let before = numbers(2, LEVELS * width);
        let stride = width + setting.gap(3);
        let pairs = (0..tile.rows).flat_map(|row| {
            let levels = (0..CATEGORIES).map(move |category| level(row, category));
            let known = levels.filter(|&level| level != NONE);
            known.map(move |to| Pair { from: row as u32, to })
        });
        Scatter {
            isa,
            width,
            stride,
            rows: Buffer::new(setting, &spread(&numbers(1, tile.rows * width), width, stride)),
            pairs: pairs.collect(),
            sums: Buffer::new(setting, &before),
            before,
        }
    }
}

impl Work for Scatter {
    fn restore(&mut self) {
        self.sums.slice_mut().copy_from_slice(&self.before);
    }
    fn restores(&self) -> bool {
        true
    }
    fn run(&mut self) {
        let (rows, sums) = (self.rows.slice(), self.sums.slice_mut());
        gather::scatter(self.isa, self.width, rows, self.stride, &self.pairs, sums);
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.restore();
        self.run();
        Mismatch::unless_intact(&[&self.rows, &self.sums])?;
        let mut exact: Vec<f64> = self.before.iter().map(|&x| x.into()).collect();
        let mut terms = [1; LEVELS];
        for &Pair { from, to } in &self.pairs {
            terms[to as usize] += 1;
            for i in 0..self.width {
                let x = self.rows.slice()[from as usize * self.stride + i];
                exact[to as usize * self.width + i] += f64::from(x);
            }
        }
        let mut accuracy = Accuracy::default();
        for (at, (&sum, exact)) in self.sums.slice().iter().zip(exact).enumerate() {
            let (level, output) = (at / self.width, at % self.width);
            let what = || format!("output {output} of level {level}");
            accuracy.add(sum, exact, bound(terms[level]), what)?;
        }
        Ok(accuracy)
    }
}
