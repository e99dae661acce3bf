//! Losses and their gradients, softmax.

use super::{Accuracy, Buffer, Data, Mismatch, Setting, Size, Work};
use crate::layout::Tile;
use crate::loss::{self, Loss, LossKind, Target};
use crate::simd::Isa;
use crate::unary::{Bound, Unary};

/// The largest error of a slope, relative to it; for slopes below a tenth of
/// the scale absolute, since they come of a difference of numbers around 1.
const SLOPE: f64 = 2e-6;

/// The largest error of the sum of the losses, relative to it: alone, of
/// logits, and with softmax.
const SUM: f64 = 2e-6;
const SUM_OF_LOGITS: f64 = 3e-6;
const SUM_OF_ROWS: f64 = 1e-5;

/// ∂loss/∂ is scaled by this.
const SCALE: f32 = 0.25;

fn slope_bound(exact: f64) -> Bound {
    Bound::ulp_or(0.0, SLOPE * exact.abs().max(0.1))
}

/// What a sum in f32 vectors may be off by: its rounding errors grow with the
/// root of the number of terms.
fn sum_bound(relative: f64, exact: f64, terms: usize) -> f64 {
    let growth = (terms as f64 / 256.0).sqrt().max(1.0);
    relative * growth * exact.abs().max(0.1)
}

/// What is put into the lanes of a tile that hold no rows: nothing of it may
/// come out.
const PADDING: f32 = f32::NAN;

/// Features and shape of a tile.
pub(super) fn tile(size: Size) -> (usize, Tile) {
    match size {
        Size::Tile { features, width, rows, panel } => (features, Tile { width, rows, panel }),
        other => panic!("{other} is no tile"),
    }
}

fn pad(values: &mut [f32], features: usize, tile: Tile) {
    for (at, x) in values.iter_mut().enumerate() {
        if tile.lane(features, at) >= tile.rows {
            *x = PADDING;
        }
    }
}

/// An elementwise loss, of predictions or of logits.
pub(super) struct Gradient {
    loss: Loss,
    logits: bool,
    isa: Isa,
    features: usize,
    tile: Tile,
    /// Predictions or logits.
    before: Vec<f32>,
    p: Buffer,
    y: Buffer,
    grad: Buffer,
    total: f64,
}

impl Gradient {
    pub(super) fn new(
        kind: LossKind,
        logits: bool,
        isa: Isa,
        size: Size,
        setting: Setting,
    ) -> Self {
        let (features, tile) = tile(size);
        let n = features * tile.width;
        let loss = Loss { kind, hyper: setting.hyper(kind.hypers()) };
        let probability = kind.target() == Target::Probability && !logits;
        let allowed = |x: f32| match (probability, logits) {
            (true, _) => (0.0..=1.0).contains(&x),
            // f32 overflows where f64 does not.
            (false, false) => !x.is_finite() || x.abs() <= 1e18,
            // Nobody says what ∞ − ∞ is.
            (false, true) => x.is_nan() || x.abs() <= 1e18,
        };
        let mut before = setting.numbers(5, n, |x| 0.5 + 0.49 * x, allowed);
        let mut y: Vec<f32> = super::noise(6, n).into_iter().map(|x| 0.5 + 0.5 * x).collect();
        // Where they are equal the slope of some losses is 0.
        if let (Some(y), Some(p), false) = (y.get_mut(4), before.get(4), logits) {
            *y = if p.is_finite() && (!probability || (0.0..=1.0).contains(p)) { *p } else { *y };
        }
        pad(&mut before, features, tile);
        pad(&mut y, features, tile);
        Gradient {
            loss,
            logits,
            isa,
            features,
            tile,
            p: Buffer::new(setting, &before),
            before,
            y: Buffer::new(setting, &y),
            grad: Buffer::new(setting, &vec![PADDING; if logits { 0 } else { n }]),
            total: 0.0,
        }
    }

    /// Loss, slope, and how far the slope may be off, at one element.
    fn exact(&self, x: f64, y: f64) -> (f64, f64, Bound) {
        let scale = f64::from(SCALE);
        if !self.logits {
            let (value, slope) = self.loss.oracle(x, y);
            return (value, slope * scale, slope_bound(slope * scale));
        }
        // In terms of x: 1 − p cancels, in f64 too.
        let value = x.max(0.0) - x * y + (-x.abs()).exp().ln_1p();
        let slope = (Unary::Sigmoid.oracle(x) - y) * scale;
        (value, slope, slope_bound(slope))
    }
}

impl Work for Gradient {
    fn restore(&mut self) {
        if self.logits {
            self.p.slice_mut().copy_from_slice(&self.before);
        }
    }
    fn restores(&self) -> bool {
        self.logits
    }
    fn run(&mut self) {
        let (isa, tile, y) = (self.isa, self.tile, self.y.slice());
        self.total = match self.logits {
            false => {
                let grad = self.grad.slice_mut();
                self.loss.gradient(isa, tile, self.p.slice(), y, SCALE, grad).total()
            }
            true => loss::sigmoid_bce(isa, tile, self.p.slice_mut(), y, SCALE).total(),
        };
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.restore();
        self.run();
        Mismatch::unless_intact(&[&self.p, &self.y, &self.grad])?;
        let grad = if self.logits { &self.p } else { &self.grad };
        let mut accuracy = Accuracy::default();
        let (mut total, mut terms) = (0.0, 0);
        for (at, &g) in grad.slice().iter().enumerate() {
            if self.tile.lane(self.features, at) >= self.tile.rows {
                Mismatch::unless(g == 0.0, || format!("element {at} is padding and not 0: {g}"))?;
                continue;
            }
            let (x, y) = (self.before[at], self.y.slice()[at]);
            if x.is_nan() {
                // Whatever its slope: the loss has to show it.
                total = f64::NAN;
                continue;
            }
            let (value, slope, bound) = self.exact(x.into(), y.into());
            total += value;
            terms += 1;
            accuracy.add(g, slope, bound, || format!("the slope at {x:e}, target {y:e},"))?;
        }
        let relative = if self.logits { SUM_OF_LOGITS } else { SUM };
        accuracy.add_sum(self.total, total, sum_bound(relative, total, terms))?;
        Ok(accuracy)
    }
}

/// An operation over the outputs of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum OfRows {
    Softmax,
    SoftmaxSlope,
    CrossEntropy,
    Fused,
}

/// Softmax and cross-entropy, their gradients, and both in one.
pub(super) struct Rows {
    of: OfRows,
    isa: Isa,
    features: usize,
    tile: Tile,
    smoothing: f32,
    classes: Vec<u32>,
    /// Logits; probabilities for what takes them.
    before: Vec<f32>,
    z: Buffer,
    /// ∂loss/∂p, for what reads or writes it.
    d: Buffer,
    gradient: Vec<f32>,
    total: f64,
}

/// softmax of one row, and the logarithm of it.
fn softmax(z: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = z.iter().map(|z| (z - max).exp()).sum();
    let ln: Vec<f64> = z.iter().map(|z| z - max - sum.ln()).collect();
    (z.iter().map(|z| (z - max).exp() / sum).collect(), ln)
}

impl Rows {
    pub(super) fn new(of: OfRows, isa: Isa, size: Size, setting: Setting) -> Self {
        let (features, tile) = tile(size);
        let n = features * tile.width;
        let classes = (0..tile.rows).map(|row| (row * 7 % features) as u32).collect();
        // With −∞ and ∞ in one row, or NaN, the oracle says NaN as well.
        let mut before = setting.numbers(7, n, |x| 20.0 * x, |x| x.abs() < 1e30 || x.is_nan());
        if matches!(of, OfRows::SoftmaxSlope | OfRows::CrossEntropy) {
            // These take probabilities.
            before = super::noise(7, n).into_iter().map(|x| 20.0 * x).collect();
            loss::softmax(Isa::Portable, tile, &mut before);
            if setting.data == Data::Special && of == OfRows::CrossEntropy {
                before.iter_mut().step_by(5).for_each(|p| *p = 0.0);
            }
        }
        if of != OfRows::SoftmaxSlope {
            pad(&mut before, features, tile);
        }
        let gradient = super::noise(8, n);
        let d = if matches!(of, OfRows::Softmax | OfRows::Fused) { &[] } else { &gradient[..] };
        Rows {
            of,
            isa,
            features,
            tile,
            smoothing: [0.0, 0.1][setting.variant],
            classes,
            z: Buffer::new(setting, &before),
            before,
            d: Buffer::new(setting, d),
            gradient,
            total: 0.0,
        }
    }

    /// The share of a row's target that a class has.
    fn target(&self, row: usize, class: usize) -> f64 {
        let smoothing = f64::from(self.smoothing);
        let hit = f64::from(u8::from(class == self.classes[row] as usize));
        hit * (1.0 - smoothing) + smoothing / self.features as f64
    }
}

impl Work for Rows {
    fn restore(&mut self) {
        match self.of {
            OfRows::Softmax | OfRows::Fused => self.z.slice_mut().copy_from_slice(&self.before),
            OfRows::SoftmaxSlope => self.d.slice_mut().copy_from_slice(&self.gradient),
            OfRows::CrossEntropy => {}
        }
    }
    fn restores(&self) -> bool {
        self.of != OfRows::CrossEntropy
    }
    fn run(&mut self) {
        let (isa, tile) = (self.isa, self.tile);
        let (z, d) = (self.z.slice_mut(), self.d.slice_mut());
        match self.of {
            OfRows::Softmax => loss::softmax(isa, tile, z),
            OfRows::SoftmaxSlope => loss::softmax_backward(tile, z, d),
            OfRows::CrossEntropy => {
                let classes = &self.classes;
                self.total =
                    loss::cross_entropy(tile, z, classes, self.smoothing, SCALE, d).total();
            }
            OfRows::Fused => {
                let classes = &self.classes;
                self.total =
                    loss::softmax_cross_entropy(isa, tile, z, classes, self.smoothing, SCALE)
                        .total();
            }
        }
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.restore();
        self.run();
        Mismatch::unless_intact(&[&self.z, &self.d])?;
        let (z, d, features) = (self.z.slice(), self.d.slice(), self.features);
        let mut accuracy = Accuracy::default();
        let mut total = 0.0;
        for row in 0..self.tile.width {
            let at = |class| self.tile.index(features, class, row);
            let column =
                |of: &[f32]| -> Vec<f64> { (0..features).map(|c| of[at(c)].into()).collect() };
            let before = column(&self.before);
            let padding = row >= self.tile.rows;
            let (p, ln) = match self.of {
                OfRows::Softmax | OfRows::Fused => softmax(&before),
                // The smallest normal number stands in for a probability of 0.
                _ => {
                    let least = f64::from(f32::MIN_POSITIVE);
                    let ln = before.iter().map(|p| p.max(least).ln()).collect();
                    (before, ln)
                }
            };
            let slope = column(&self.gradient);
            let inner: f64 = p.iter().zip(&slope).map(|(p, d)| p * d).sum();
            for class in 0..features {
                let at = at(class);
                let what = || format!("class {class} of row {row}");
                match self.of {
                    OfRows::Softmax if padding => {}
                    OfRows::Softmax => {
                        accuracy.add(z[at], p[class], Bound::ulp_or(0.0, 1e-6), what)?;
                    }
                    OfRows::SoftmaxSlope => {
                        let exact = p[class] * (slope[class] - inner);
                        accuracy.add(d[at], exact, Bound::ulp_or(0.0, 1e-6), what)?;
                    }
                    OfRows::CrossEntropy | OfRows::Fused if padding => {
                        let result = if self.of == OfRows::Fused { z[at] } else { d[at] };
                        Mismatch::unless(result == 0.0, || format!("{}: padding, not 0", what()))?;
                    }
                    OfRows::CrossEntropy => {
                        let target = self.target(row, class);
                        total -= if target > 0.0 { target * ln[class] } else { 0.0 };
                        let least = p[class].max(f64::from(f32::MIN_POSITIVE));
                        let exact = -f64::from(SCALE) * target / least;
                        accuracy.add(d[at], exact, Bound::ulp(4.0), what)?;
                    }
                    OfRows::Fused => {
                        let target = self.target(row, class);
                        total -= if target > 0.0 { target * ln[class] } else { 0.0 };
                        let exact = (p[class] - target) * f64::from(SCALE);
                        let bound = Bound::ulp_or(0.0, SLOPE * f64::from(SCALE));
                        accuracy.add(z[at], exact, bound, what)?;
                    }
                }
            }
        }
        if matches!(self.of, OfRows::CrossEntropy | OfRows::Fused) {
            let allowed = SUM_OF_ROWS * f64::abs(total).max(0.1 * self.tile.rows as f64);
            accuracy.add_sum(self.total, total, allowed)?;
        }
        Ok(accuracy)
    }
}
