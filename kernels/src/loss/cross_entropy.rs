//! Softmax and cross-entropy, over the outputs of a row: down the features of
//! a feature-major tile, a vector of rows at a time.

use super::{LossOp, Target};
use crate::hyper::{Hyper, Range};
use crate::layout::{Panel, Tile};
use crate::simd::{Isa, Op, Simd};
use crate::unary::exp::exp;

pub(super) struct CrossEntropy;

impl LossOp for CrossEntropy {
    const NAME: &'static str = "cross_entropy";
    const HYPERS: &'static [Hyper] = &[Hyper {
        name: "label_smoothing",
        default: 0.0,
        range: Range::Fraction,
        doc: "share of the target that is spread evenly over the classes",
    }];
    const DOC: &'static str = "−ln p of the right class, a mean over rows";
    const TARGET: Target = Target::Class;
}

/// z ← softmax(z) for every lane of a tile.
///
/// # Panics
/// Where `z` is not a whole number of features.
pub fn softmax(isa: Isa, tile: Tile, z: &mut [f32]) {
    assert_eq!(z.len() % tile.width, 0);
    isa.run(Softmax { tile, z });
}

struct Softmax<'a> {
    tile: Tile,
    z: &'a mut [f32],
}

impl Op for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Softmax { tile, z } = self;
        let outputs = z.len() / tile.width;
        for panel in tile.panels() {
            let width = panel.width;
            let z = &mut z[panel.of(outputs)];
            for lane in (0..width).step_by(S::LANES) {
                let n = S::LANES.min(width - lane);
                let (_, sum) = exponentials(s, z, width, lane, n);
                let scale = s.div(s.splat(1.0), sum);
                for feature in z.chunks_exact_mut(width) {
                    let at = &mut feature[lane..lane + n];
                    s.store_partial(s.mul(s.load_partial(at), scale), at);
                }
            }
        }
    }
}

/// z ← e^(z − max) down the features of one vector of lanes; returns the
/// maximum and the sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, z: &mut [f32], width: usize, lane: usize, n: usize) -> (S::V, S::V) {
    let mut max = s.splat(f32::NEG_INFINITY);
    for feature in z.chunks_exact(width) {
        // NaN wins in this order: a diverged net must not look healthy.
        max = s.max(max, s.load_partial(&feature[lane..lane + n]));
    }
    let mut sum = s.splat(0.0);
    for feature in z.chunks_exact_mut(width) {
        let at = &mut feature[lane..lane + n];
        let e = exp(s, s.sub(s.load_partial(at), max));
        sum = s.add(sum, e);
        s.store_partial(e, at);
    }
    (max, sum)
}

/// Softmax and cross-entropy in one: z ← scale · ∂(Σ loss)/∂z, which is
/// softmax(z) minus the target, for the rows of a tile; padding lanes get 0. Returns Σ loss over the rows, unscaled.
///
/// # Panics
/// Where `classes` has not one entry a row or an entry is no output.
pub fn softmax_cross_entropy(
    isa: Isa,
    tile: Tile,
    z: &mut [f32],
    classes: &[u32],
    smoothing: f32,
    scale: f32,
) -> f64 {
    assert_eq!(classes.len(), tile.rows);
    assert_eq!(z.len() % tile.width, 0);
    isa.run(SoftmaxCrossEntropy { tile, z, classes, smoothing, scale })
}

struct SoftmaxCrossEntropy<'a> {
    tile: Tile,
    z: &'a mut [f32],
    classes: &'a [u32],
    smoothing: f32,
    scale: f32,
}

impl Op for SoftmaxCrossEntropy<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let SoftmaxCrossEntropy { tile, z, classes, smoothing, scale } = self;
        let outputs = z.len() / tile.width;
        let mut total = 0.0;
        for panel in tile.panels() {
            let z = &mut z[panel.of(outputs)];
            let classes = &classes[panel.first.min(tile.rows)..][..panel.rows];
            total += OfPanel { panel, z, classes, smoothing, scale }.run(s);
        }
        total
    }
}

/// [`softmax_cross_entropy`] of a panel.
struct OfPanel<'a> {
    panel: Panel,
    z: &'a mut [f32],
    classes: &'a [u32],
    smoothing: f32,
    scale: f32,
}

impl OfPanel<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let OfPanel { panel: Panel { width, rows, .. }, z, classes, smoothing, scale } = self;
        let outputs = z.len() / width;
        let spread = smoothing / outputs as f32;
        let mut total = 0.0;
        // What each row's loss takes from its logits, before they are overwritten.
        for (row, &class) in classes.iter().enumerate() {
            let mut taken = f64::from(1.0 - smoothing) * f64::from(z[class as usize * width + row]);
            if smoothing > 0.0 {
                let sum: f64 = (0..outputs).map(|c| f64::from(z[c * width + row])).sum();
                taken += f64::from(spread) * sum;
            }
            total -= taken;
        }
        for lane in (0..width).step_by(S::LANES) {
            let n = S::LANES.min(width - lane);
            if lane >= rows {
                for feature in z.chunks_exact_mut(width) {
                    feature[lane..lane + n].fill(0.0);
                }
                continue;
            }
            let (max, sum) = exponentials(s, z, width, lane, n);
            let live = n.min(rows - lane);
            let mut maxima = [0.0; 16];
            let mut sums = [0.0; 16];
            s.store_partial(max, &mut maxima[..S::LANES]);
            s.store_partial(sum, &mut sums[..S::LANES]);
            for (max, sum) in maxima.iter().zip(&sums).take(live) {
                total += f64::from(*max) + f64::from(*sum).ln();
            }
            let factor = s.div(s.splat(scale), sum);
            let less = s.splat(spread * scale);
            for feature in z.chunks_exact_mut(width) {
                let at = &mut feature[lane..lane + n];
                s.store_partial(s.sub(s.mul(s.load_partial(at), factor), less), at);
                at[live..].fill(0.0);
            }
        }
        for (row, &class) in classes.iter().enumerate() {
            z[class as usize * width + row] -= (1.0 - smoothing) * scale;
        }
        total
    }
}

/// Cross-entropy alone, of probabilities p, a tile:
/// grad ← scale · ∂(Σ loss)/∂p, padding lanes 0. Returns Σ loss over the rows.
/// The unfused plan uses it; plain code, not fast.
///
/// # Panics
/// Where the lengths do not agree or a class is no output.
pub fn cross_entropy(
    tile: Tile,
    p: &[f32],
    classes: &[u32],
    smoothing: f32,
    scale: f32,
    grad: &mut [f32],
) -> f64 {
    assert_eq!(classes.len(), tile.rows);
    assert_eq!(p.len(), grad.len());
    let outputs = p.len() / tile.width;
    let mut total = 0.0;
    grad.fill(0.0);
    for panel in tile.panels() {
        let (p, grad) = (&p[panel.of(outputs)], &mut grad[panel.of(outputs)]);
        let classes = &classes[panel.first.min(tile.rows)..][..panel.rows];
        for (row, &class) in classes.iter().enumerate() {
            assert!((class as usize) < outputs);
            for c in 0..outputs {
                let at = c * panel.width + row;
                let hit = if c == class as usize { 1.0 - smoothing } else { 0.0 };
                let target = hit + smoothing / outputs as f32;
                if target > 0.0 {
                    // The smallest normal number stands in for a probability of 0.
                    let p = if p[at] < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { p[at] };
                    total -= f64::from(target) * f64::from(p).ln();
                    grad[at] = -scale * target / p;
                }
            }
        }
    }
    total
}

/// Softmax's backward pass: d ← p·(d − Σ p·d) down the features, with
/// p = softmax(z) and d = ∂loss/∂p on entry, ∂loss/∂z on return. The unfused
/// plan uses it; plain code, not fast.
///
/// # Panics
/// Where the lengths do not agree.
pub fn softmax_backward(tile: Tile, p: &[f32], d: &mut [f32]) {
    assert_eq!(p.len(), d.len());
    for panel in tile.panels() {
        let range = panel.of(p.len() / tile.width);
        let (p, d) = (&p[range.clone()], &mut d[range]);
        for lane in 0..panel.width {
            let inner: f32 = (lane..p.len()).step_by(panel.width).map(|at| p[at] * d[at]).sum();
            for at in (lane..p.len()).step_by(panel.width) {
                d[at] = p[at] * (d[at] - inner);
            }
        }
    }
}
