//! Softmax and cross-entropy, over the outputs of a row: down the features of
//! a feature-major tile, a vector of rows at a time.

use super::sum::Total;
use super::{LossOp, LossSum, Target, first_lanes};
use crate::hyper::{Hyper, Range};
use crate::layout::{Panel, Tile};
use crate::simd::{Host, Isa, Op, Simd, Sums, Vectors, each_vector};
use crate::unary::exp::{exp_small, ln};
use std::marker::PhantomData;

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

/// [`softmax()`] as an operation; `z` is a whole number of features.
pub(crate) struct Softmax<'a> {
    pub(crate) tile: Tile,
    pub(crate) z: &'a mut [f32],
}

impl Op for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Softmax { tile, z } = self;
        let outputs = z.len() / tile.width;
        for panel in tile.panels() {
            let z = z[panel.of(outputs)].as_mut_ptr();
            // SAFETY: the panel has `outputs` features of `width` lanes, and
            // is borrowed exclusively.
            unsafe { each_vector(s, panel.width, &mut Columns { z, width: panel.width, outputs }) }
        }
    }
}

/// A panel `[outputs][width]` whose lanes are handled on their own.
#[derive(Clone, Copy)]
struct Columns {
    z: *mut f32,
    width: usize,
    outputs: usize,
}

impl Columns {
    /// z ← e^(z − max) down the features, for the lanes `at..at + n`; returns
    /// the maximum, the sum, and where `SUMS`, Σ (max − z).
    ///
    /// # Safety
    /// The panel is valid for reading and writing, and has these lanes.
    #[inline(always)]
    unsafe fn exponentials<S: Simd, const WHOLE: bool, const SUMS: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
    ) -> (S::V, S::V, S::V) {
        let Columns { z, width, outputs } = self;
        let mut max = s.splat(f32::NEG_INFINITY);
        for c in 0..outputs {
            // SAFETY: c < outputs, and the caller vouches for the lanes.
            let v = unsafe { s.load_part::<WHOLE>(z.add(c * width + at), n) };
            max = s.max(max, v);
        }
        let (mut sum, mut below) = (s.splat(0.0), s.splat(0.0));
        for c in 0..outputs {
            // SAFETY: as above.
            unsafe {
                let at = z.add(c * width + at);
                // NaN comes out as NaN, and makes the sum NaN: a diverged net
                // must not look healthy.
                let d = s.sub(s.load_part::<WHOLE>(at, n), max);
                if SUMS {
                    below = s.sub(below, d);
                }
                let e = exp_small(s, d);
                sum = s.add(sum, e);
                s.store_part::<WHOLE>(e, at, n);
            }
        }
        (max, sum, below)
    }

    /// z ← z·factor − less for the lanes `at..at + n`.
    ///
    /// # Safety
    /// As for `exponentials`.
    #[inline(always)]
    unsafe fn scale<S: Simd, const WHOLE: bool>(
        self,
        s: S,
        at: usize,
        n: usize,
        factor: S::V,
        less: S::V,
    ) {
        for c in 0..self.outputs {
            // SAFETY: c < outputs, and the caller vouches for the lanes.
            unsafe {
                let at = self.z.add(c * self.width + at);
                let scaled = s.sub(s.mul(s.load_part::<WHOLE>(at, n), factor), less);
                s.store_part::<WHOLE>(scaled, at, n);
            }
        }
    }
}

impl Vectors for Columns {
    const CHAINS: usize = 2;

    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize, n: usize) {
        // SAFETY: the caller says that these lanes are within the panel.
        unsafe {
            let (_, sum, _) = self.exponentials::<S, WHOLE, false>(s, at, n);
            let factor = s.div(s.splat(1.0), sum);
            self.scale::<S, WHOLE>(s, at, n, factor, s.splat(0.0));
        }
    }
}

/// Softmax and cross-entropy in one: z ← scale · ∂(Σ loss)/∂z, which is
/// softmax(z) minus the target, for the rows of a tile; padding lanes get 0.
/// Returns Σ loss over the rows, unscaled.
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
) -> LossSum {
    softmax_cross_entropy_on(isa, tile, z, classes, smoothing, scale)
}

#[inline(always)]
pub(crate) fn softmax_cross_entropy_on<T: Total>(
    on: impl Host,
    tile: Tile,
    z: &mut [f32],
    classes: &[u32],
    smoothing: f32,
    scale: f32,
) -> T {
    assert!(classes.len() == tile.rows && tile.rows <= tile.width);
    assert_eq!(z.len() % tile.width, 0);
    let outputs = z.len() / tile.width;
    // Without a branch a row.
    let largest = classes.iter().fold(0, |largest, &class| largest.max(class));
    assert!(classes.is_empty() || (largest as usize) < outputs, "a class that is no output");
    on.run(SoftmaxCrossEntropy { tile, z, classes, smoothing, scale, total: PhantomData })
}

struct SoftmaxCrossEntropy<'a, T> {
    tile: Tile,
    z: &'a mut [f32],
    classes: &'a [u32],
    smoothing: f32,
    scale: f32,
    total: PhantomData<T>,
}

impl<T: Total> Op for SoftmaxCrossEntropy<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> T {
        let SoftmaxCrossEntropy { tile, z, classes, smoothing, scale, .. } = self;
        let outputs = z.len() / tile.width;
        let mut total = T::default();
        for panel in tile.panels() {
            let z = &mut z[panel.of(outputs)];
            let classes = &classes[panel.first.min(tile.rows)..][..panel.rows];
            // SAFETY: rows ≤ width, and there is a class a row, each less than
            // `outputs`: `softmax_cross_entropy` has checked.
            unsafe { OfPanel { panel, z, classes, smoothing, scale }.run(s, &mut total) };
        }
        total
    }
}

/// [`softmax_cross_entropy`] of a panel.
struct OfPanel<'a> {
    panel: Panel,
    z: &'a mut [f32],
    /// One a row, each less than the panel's features.
    classes: &'a [u32],
    smoothing: f32,
    scale: f32,
}

impl OfPanel<'_> {
    /// # Safety
    /// The panel has no more rows than its width, and `classes` has an entry
    /// a row, each less than the panel's features.
    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S, total: &mut impl Total) {
        let OfPanel { panel: Panel { width, rows, .. }, z, classes, smoothing, scale } = self;
        let outputs = z.len() / width;
        let columns = Columns { z: z.as_mut_ptr(), width, outputs };
        let spread = smoothing / outputs as f32;
        let pass = Fused { columns, classes: classes.as_ptr(), smoothing, spread, scale, total };
        // SAFETY: `z` has `outputs` features of `width` lanes and is borrowed
        // exclusively; the caller vouches for rows and classes.
        unsafe {
            if smoothing > 0.0 {
                each_vector(s, rows, &mut Smoothing::<_, true>(pass));
            } else {
                each_vector(s, rows, &mut Smoothing::<_, false>(pass));
            }
        }
        for feature in z.chunks_exact_mut(width) {
            for padding in &mut feature[rows..] {
                *padding = 0.0;
            }
        }
    }
}

struct Fused<'a, T> {
    columns: Columns,
    /// One a row, each less than `outputs`.
    classes: *const u32,
    smoothing: f32,
    /// What smoothing gives to each class.
    spread: f32,
    scale: f32,
    total: &'a mut T,
}

/// The pass with or without label smoothing.
struct Smoothing<'a, T, const SMOOTH: bool>(Fused<'a, T>);

impl<T: Total, const SMOOTH: bool> Vectors for Smoothing<'_, T, SMOOTH> {
    const CHAINS: usize = 2;

    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize, n: usize) {
        let Fused { columns, classes, smoothing, spread, scale, ref mut total } = self.0;
        // The right class's logits, before they are overwritten.
        let mut right = [0.0; 64];
        let right = &mut right[..S::LANES];
        // SAFETY: the caller says that lane at + i is within the panel and has
        // a class, which is one of its features.
        let of_class = |i: usize| unsafe {
            columns.z.add(*classes.add(at + i) as usize * columns.width + at + i)
        };
        for (i, right) in right.iter_mut().enumerate().take(n) {
            // SAFETY: the pointer is within the panel.
            *right = unsafe { *of_class(i) };
        }
        // SAFETY: the caller says that these lanes are within the panel.
        unsafe {
            let (max, sum, below) = columns.exponentials::<S, WHOLE, SMOOTH>(s, at, n);
            // ln Σ e^z − Σ target·z, from differences that are not negative.
            let distance = s.sub(max, s.load(right));
            let distance = if SMOOTH {
                let kept = s.mul(s.splat(1.0 - smoothing), distance);
                s.mul_add(s.splat(spread), below, kept)
            } else {
                distance
            };
            let loss = s.add(ln(s, sum), distance);
            let loss = if WHOLE { loss } else { first_lanes(s, loss, n) };
            total.add_lanes(s, loss);
            let factor = s.div(s.splat(scale), sum);
            columns.scale::<S, WHOLE>(s, at, n, factor, s.splat(spread * scale));
        }
        for i in 0..n {
            // SAFETY: the pointer is within the panel.
            unsafe { *of_class(i) -= (1.0 - smoothing) * scale }
        }
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
) -> LossSum {
    assert_eq!(classes.len(), tile.rows);
    assert_eq!(p.len(), grad.len());
    let outputs = p.len() / tile.width;
    let mut total = LossSum::default();
    grad.fill(0.0);
    for panel in tile.panels() {
        let (p, grad) = (&p[panel.of(outputs)], &mut grad[panel.of(outputs)]);
        let classes = &classes[panel.first.min(tile.rows)..][..panel.rows];
        for (row, &class) in classes.iter().enumerate() {
            assert!((class as usize) < outputs);
            let mut loss = 0.0;
            for c in 0..outputs {
                let at = c * panel.width + row;
                let hit = if c == class as usize { 1.0 - smoothing } else { 0.0 };
                let target = hit + smoothing / outputs as f32;
                if target > 0.0 {
                    // The smallest normal number stands in for a probability of 0.
                    let p = if p[at] < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { p[at] };
                    loss -= f64::from(target) * f64::from(p).ln();
                    grad[at] = -scale * target / p;
                }
            }
            total.add(loss as f32);
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
