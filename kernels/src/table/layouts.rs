//! Moving and summing: transposition, sums over a tile's rows.

use super::inputs::{spread, untouched};
use super::{Accuracy, Buffer, Mismatch, Setting, Size, Work, losses};
use crate::layout::{self, Tile};
use crate::simd::Isa;
use crate::unary::Bound;

pub(super) struct Transpose {
    isa: Isa,
    rows: usize,
    columns: usize,
    from: Buffer,
    from_stride: usize,
    to: Buffer,
    to_stride: usize,
}

impl Transpose {
    pub(super) fn new(isa: Isa, rows: usize, columns: usize, setting: Setting) -> Self {
        let (from_stride, to_stride) = (columns + setting.gap(1), rows + setting.gap(2));
        let from = setting.numbers(9, rows * columns, |x| x, |_| true);
        let to = spread(&vec![0.0; rows * columns], rows, to_stride);
        Transpose {
            isa,
            rows,
            columns,
            from: Buffer::new(setting, &spread(&from, columns, from_stride)),
            from_stride,
            to: Buffer::new(setting, &to),
            to_stride,
        }
    }
}

impl Work for Transpose {
    fn run(&mut self) {
        layout::transpose(
            self.isa,
            self.rows,
            self.columns,
            self.from.slice(),
            self.from_stride,
            self.to.slice_mut(),
            self.to_stride,
        );
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.run();
        Mismatch::unless_intact(&[&self.from, &self.to])?;
        let (from, rows) = (self.from.slice(), self.rows);
        for (at, &x) in self.to.slice().iter().enumerate() {
            let (j, i) = (at / self.to_stride, at % self.to_stride);
            if i >= rows {
                Mismatch::unless(untouched(x), || format!("wrote behind row {j} of the result"))?;
                continue;
            }
            let expected = from[i * self.from_stride + j];
            Mismatch::unless(x.to_bits() == expected.to_bits(), || {
                format!("element ({i}, {j}) is {x:e} instead of {expected:e}")
            })?;
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
        layout::sum_features(self.isa, self.tile, d, sums, self.accumulate);
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
