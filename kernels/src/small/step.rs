//! A training step.

use super::forward::{Lanes, Slots, Sums, activate, load, sums};
use super::{MOST_ROWS, Net};
use crate::layout::{Pick, Rows, Tile};
use crate::loss::{Gradient, LossKind, sigmoid_bce_on, softmax_cross_entropy_on};
use crate::simd::{Column, Folds, Isa, Op, Simd, Twice, Within};

/// The rows of a step.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The features.
    pub features: Rows<'a>,
    /// The targets.
    pub targets: Targets<'a>,
    /// How many rows are taken of both, from 1 to [`MOST_ROWS`].
    pub rows: usize,
}

/// What the loss compares predictions with.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// A number an output.
    Values(Rows<'a>),
    /// The index of the right output: for `cross_entropy`.
    Classes(&'a [u32], Pick<'a>),
}

impl Net {
    /// gradient ← scale · ∂(Σ loss)/∂parameters. Returns Σ loss, unscaled.
    ///
    /// # Panics
    /// Where the batch is empty or larger than [`MOST_ROWS`], a row lies
    /// beyond its matrix, a class is no output, or a length is another than
    /// the network's.
    #[inline]
    pub fn gradient(
        &self,
        isa: Isa,
        parameters: &[f32],
        batch: &Batch<'_>,
        scale: f32,
        gradient: &mut [f32],
    ) -> f64 {
        assert_eq!(parameters.len(), self.parameters, "parameters of another network");
        let Batch { features, targets, rows } = *batch;
        let outputs = self.outputs();
        assert!((1..=MOST_ROWS).contains(&rows), "no batch of 1 to {MOST_ROWS} rows");
        assert_eq!(gradient.len(), self.parameters);
        assert_eq!(features.columns, self.inputs(), "features of another width");
        features.check(rows);
        let mut classes = [0; MOST_ROWS];
        let values = match (self.loss.kind, targets) {
            (LossKind::CrossEntropy, Targets::Classes(all, pick)) => {
                for (place, class) in classes.iter_mut().enumerate().take(rows) {
                    *class = all[pick.row(place)];
                    assert!((*class as usize) < outputs, "a class that is no output");
                }
                None
            }
            (kind, Targets::Values(values)) if kind != LossKind::CrossEntropy => {
                assert_eq!(values.columns, outputs, "targets of another width");
                values.check(rows);
                Some(values)
            }
            _ => panic!("targets of another kind than the loss takes"),
        };
        let mut step =
            Step { net: self, parameters, features, values, classes, rows, scale, gradient };
        let narrow = isa.narrow();
        let isa = if rows <= narrow.lanes() { narrow } else { isa };
        match rows.div_ceil(isa.lanes()) {
            1 => isa.run(One(&mut step)),
            2 => isa.run(Two(&mut step)),
            _ => isa.run(Four(&mut step)),
        }
    }
}

/// A checked step: rows lie within their matrices, classes are outputs, and
/// parameters and gradient have the network's length.
struct Step<'a> {
    net: &'a Net,
    parameters: &'a [f32],
    features: Rows<'a>,
    /// None where there are classes.
    values: Option<Rows<'a>>,
    classes: [u32; MOST_ROWS],
    rows: usize,
    scale: f32,
    gradient: &'a mut [f32],
}

/// A feature is one register.
struct One<'a, 'b>(&'a mut Step<'b>);
/// A feature is two registers.
struct Two<'a, 'b>(&'a mut Step<'b>);
/// A feature is four registers.
struct Four<'a, 'b>(&'a mut Step<'b>);

impl Op for One<'_, '_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        self.0.run(s, s)
    }
}

impl Op for Two<'_, '_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        self.0.run(s, Twice(s))
    }
}

impl Op for Four<'_, '_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        self.0.run(s, Twice(Twice(s)))
    }
}

impl Step<'_> {
    #[inline(always)]
    fn run<S: Simd, W: Folds<S>>(&mut self, s: S, w: W) -> f64 {
        let net = self.net;
        let weights = self.parameters.as_ptr();
        let mut slots = Slots::new();
        let slots = slots.at();
        let slot = |number: usize| slots.wrapping_add(number * W::LANES);
        // SAFETY: the step is checked, and a network's slots lie within
        // `Slots`; every slot is written before it is read.
        unsafe {
            w.store_ptr(w.splat(1.0), slot(0));
            load(w, &Lanes::new(w, self.features, 0, self.rows), self.features.columns, slot(1));
            let total = self.forward(s, w, slots);
            for pair in net.layers.windows(2).rev() {
                let (layer, before) = (&pair[1], &pair[0]);
                // ∂loss/∂z of the layer before: Wᵀ·∂loss/∂z times its slope.
                let sums = Sums {
                    x: slot(layer.d),
                    count: layer.outputs,
                    weights: weights.add(layer.weights),
                    unit: 1,
                    step: layer.inputs,
                    start: None,
                    to: slot(before.d),
                };
                match before.is_linear() {
                    true => sums.run::<W, false>(w, layer.inputs),
                    false => sums.run::<W, true>(w, layer.inputs),
                }
            }
            let (n, gradient) = (net.parameters, self.gradient.as_mut_ptr());
            for at in (0..n).step_by(S::LANES) {
                let factors = net.factors[at..at + S::LANES].as_ptr();
                let g = s.sums(&Products { w, slots, factors });
                match n - at >= S::LANES {
                    true => s.store_ptr(g, gradient.add(at)),
                    false => s.store_first(g, gradient.add(at), n - at),
                }
            }
            total
        }
    }

    /// All y and slopes, and the last layer's ∂loss/∂z, scaled, in its d.
    /// Returns Σ loss.
    ///
    /// # Safety
    /// The slots are the network's, with 1 and the features in place.
    #[inline(always)]
    unsafe fn forward<S: Simd, W: Folds<S>>(&self, s: S, w: W, slots: *mut f32) -> f64 {
        let net = self.net;
        let last = net.last();
        let tile = Tile::plain(W::LANES, self.rows);
        let n = last.outputs * W::LANES;
        // SAFETY: slots are where `Placed` says, those of y, d and targets
        // apart; they are filled when a slice of them is made.
        unsafe {
            for (number, layer) in net.layers.iter().enumerate() {
                let of_logits = number + 1 == net.layers.len() && net.is_of_logits();
                let z = if of_logits || !layer.is_linear() { layer.d } else { layer.y };
                sums(w, layer, self.parameters.as_ptr(), slots, z);
                if !of_logits {
                    activate::<S, W>(s, layer, slots);
                }
            }
            let slice = |number: usize| slots.add(number * W::LANES);
            let d = slice(last.d);
            let Some(values) = self.values else {
                let (d, smoothing) =
                    (std::slice::from_raw_parts_mut(d, n), net.loss.hyper[0] as f32);
                let classes = &self.classes[..self.rows];
                return softmax_cross_entropy_on(
                    Within(s),
                    tile,
                    d,
                    classes,
                    smoothing,
                    self.scale,
                );
            };
            let targets = slice(net.targets);
            let rows = Lanes::new(w, values, 0, self.rows);
            load(w, &rows, last.outputs, targets);
            let targets = std::slice::from_raw_parts_mut(targets, n);
            if net.is_of_logits() {
                let d = std::slice::from_raw_parts_mut(d, n);
                return sigmoid_bce_on(Within(s), tile, d, targets, self.scale);
            }
            let y = std::slice::from_raw_parts(slice(last.y), n);
            let d = std::slice::from_raw_parts_mut(d, n);
            let (scale, through) = (self.scale, !last.is_linear());
            net.loss.run(Gradient {
                on: Within(s),
                tile,
                p: y,
                y: targets,
                scale,
                grad: d,
                through,
            })
        }
    }
}

/// Products of slots, by the number of the parameter.
struct Products<W> {
    w: W,
    slots: *const f32,
    /// As many as a vector of `S` has lanes.
    factors: *const [u16; 2],
}

impl<S: Simd, W: Folds<S>> Column<S> for Products<W> {
    #[inline(always)]
    fn at(&self, _: S, i: usize) -> S::V {
        // SAFETY: i is a lane of S; the factors are slots of the network,
        // which are filled.
        unsafe {
            let [d, x] = *self.factors.add(i);
            let slot = |number: u16| self.slots.add(usize::from(number) * W::LANES);
            self.w.fold_product(self.w.load_ptr(slot(d)), self.w.load_ptr(slot(x)))
        }
    }
}
