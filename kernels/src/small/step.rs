//! A training step.

use super::forward::{Lanes, Slots, Sums, activate, load, sums};
use super::{MOST_ROWS, Net};
use crate::layout::{Panel, Pick, Rows};
use crate::loss::{Elementwise, LossKind, OfPanel, WithElementwise, of_logit};
use crate::optim::{OptimOp, Optimizer, WithOptimizer};
use crate::simd::{Column, Folds, Isa, Op, Simd, Twice};
use crate::single::Ending;

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

/// What a step does with the gradient.
#[derive(Debug)]
pub struct Update<'a> {
    /// The optimizer.
    pub optimizer: &'a Optimizer,
    /// The step's number, counted from 1.
    pub step: u64,
    /// The optimizer's state; what it does not keep is empty.
    pub state: [&'a mut [f32]; 2],
}

impl Net {
    /// gradient ← scale · ∂(Σ loss)/∂parameters. Returns Σ loss, unscaled.
    ///
    /// # Panics
    /// Where the batch is empty or larger than [`MOST_ROWS`], a row lies
    /// beyond its matrix, a class is no output, or a length is another than
    /// the network's.
    pub fn gradient(
        &self,
        isa: Isa,
        parameters: &[f32],
        batch: &Batch<'_>,
        scale: f32,
        gradient: &mut [f32],
    ) -> f64 {
        assert_eq!(parameters.len(), self.parameters, "parameters of another network");
        self.run(isa, parameters.as_ptr(), batch, scale, gradient, None)
    }

    /// The same, then one step of an optimizer.
    ///
    /// # Panics
    /// As [`Net::gradient`].
    pub fn step(
        &self,
        isa: Isa,
        parameters: &mut [f32],
        batch: &Batch<'_>,
        scale: f32,
        gradient: &mut [f32],
        update: Update<'_>,
    ) -> f64 {
        let n = self.parameters;
        assert_eq!(parameters.len(), n, "parameters of another network");
        let kept = update.optimizer.state();
        let [first, second] = update.state;
        assert!(first.len() == n * kept.min(1) && second.len() == n * kept.saturating_sub(1));
        let p = parameters.as_mut_ptr();
        let updated = Updated {
            optimizer: update.optimizer,
            step: update.step,
            kept,
            p,
            state: [first.as_mut_ptr(), second.as_mut_ptr()],
        };
        self.run(isa, p, batch, scale, gradient, Some(updated))
    }

    /// `parameters` is valid for reading as many as the network has, and what
    /// `update` points to for reading and writing: the callers have checked.
    fn run(
        &self,
        isa: Isa,
        parameters: *const f32,
        batch: &Batch<'_>,
        scale: f32,
        gradient: &mut [f32],
        update: Option<Updated<'_>>,
    ) -> f64 {
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
        let gradient = gradient.as_mut_ptr();
        let step = Step {
            net: self,
            parameters,
            features,
            values,
            classes,
            rows,
            scale,
            gradient,
            update,
        };
        match rows.div_ceil(isa.lanes()) {
            1 => isa.run(One(&step)),
            2 => isa.run(Two(&step)),
            _ => isa.run(Four(&step)),
        }
    }
}

/// A checked step: rows lie within their matrices, classes are outputs, and
/// pointers are valid for the network's parameters.
struct Step<'a> {
    net: &'a Net,
    parameters: *const f32,
    features: Rows<'a>,
    /// None where there are classes.
    values: Option<Rows<'a>>,
    classes: [u32; MOST_ROWS],
    rows: usize,
    scale: f32,
    gradient: *mut f32,
    update: Option<Updated<'a>>,
}

struct Updated<'a> {
    optimizer: &'a Optimizer,
    step: u64,
    kept: usize,
    p: *mut f32,
    state: [*mut f32; 2],
}

/// A feature is one register.
struct One<'a>(&'a Step<'a>);
/// A feature is two registers.
struct Two<'a>(&'a Step<'a>);
/// A feature is four registers.
struct Four<'a>(&'a Step<'a>);

impl Op for One<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        self.0.run(s, s)
    }
}

impl Op for Two<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        self.0.run(s, Twice(s))
    }
}

impl Op for Four<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        self.0.run(s, Twice(Twice(s)))
    }
}

impl Step<'_> {
    #[inline(always)]
    fn run<S: Simd, W: Folds<S>>(&self, s: S, w: W) -> f64 {
        let net = self.net;
        let mut slots = Slots::new();
        let slots = slots.at();
        // SAFETY: the step is checked, and a network's slots lie within
        // `Slots`; every slot is written before it is read.
        unsafe {
            w.store_ptr(w.splat(1.0), slots);
            let rows = Lanes::new(w, self.features, 0, self.rows);
            load(w, &rows, self.features.columns, slots.add(W::LANES));
            let (last, before) = net.layers.split_last().expect("a layer");
            for layer in before {
                sums(w, layer, self.parameters, slots, layer.y);
                let Ending::Unary(f) = layer.ending else { unreachable!("softmax is last") };
                activate::<S, W, true>(s, f, layer, slots);
            }
            let total = match last.ending {
                Ending::Softmax => {
                    sums(w, last, self.parameters, slots, last.d);
                    self.cross_entropy(s, w, slots)
                }
                Ending::Unary(_) if net.loss.kind == LossKind::Bce => {
                    sums(w, last, self.parameters, slots, last.y);
                    self.elementwise(w, slots, Logit)
                }
                Ending::Unary(f) => {
                    sums(w, last, self.parameters, slots, last.y);
                    activate::<S, W, true>(s, f, last, slots);
                    net.loss.kind.with(OfLoss { step: self, w, slots })
                }
            };
            for pair in net.layers.windows(2).rev() {
                let (layer, before) = (&pair[1], &pair[0]);
                // ∂loss/∂z of the layer before: Wᵀ·∂loss/∂z times its slope.
                let sums = Sums {
                    x: slots.add(layer.d * W::LANES),
                    count: layer.outputs,
                    weights: self.parameters.add(layer.weights),
                    unit: 1,
                    step: layer.inputs,
                    start: None,
                    to: slots.add(before.d * W::LANES),
                };
                if before.is_linear() {
                    sums.run::<W, false>(w, layer.inputs);
                } else {
                    sums.run::<W, true>(w, layer.inputs);
                }
            }
            let end = End { s, w, net, slots, gradient: self.gradient };
            match &self.update {
                None => end.gradient(),
                Some(update) => update.optimizer.with(WithUpdate { end, update }),
            }
            total
        }
    }

    /// d ← scale·∂loss/∂z of z in d; returns Σ loss.
    ///
    /// # Safety
    /// The slots are the network's.
    #[inline(always)]
    unsafe fn cross_entropy<S: Simd, W: Simd>(&self, s: S, _: W, slots: *mut f32) -> f64 {
        let last = self.net.last();
        let panel = Panel { first: 0, width: W::LANES, rows: self.rows };
        // SAFETY: the slots are within the network's, and nothing else points
        // to them now; there is a class a row, all checked.
        unsafe {
            let d = slots.add(last.d * W::LANES);
            OfPanel {
                panel,
                z: std::slice::from_raw_parts_mut(d, last.outputs * W::LANES),
                classes: &self.classes[..self.rows],
                smoothing: self.net.hyper[0],
                scale: self.scale,
            }
            .run(s)
        }
    }

    /// d ← scale·∂loss/∂z, 0 in lanes without a row, from y; where the loss's
    /// slope is one by y, d holds f′(z) before. Returns Σ loss.
    ///
    /// # Safety
    /// The slots are the network's, with y and d as said.
    #[inline(always)]
    unsafe fn elementwise<W: Simd>(&self, w: W, slots: *mut f32, of: impl OfElement) -> f64 {
        static NUMBERS: [f32; MOST_ROWS] = {
            let mut numbers = [0.0; MOST_ROWS];
            let mut i = 0;
            while i < MOST_ROWS {
                numbers[i] = i as f32;
                i += 1;
            }
            numbers
        };
        let net = self.net;
        let last = net.last();
        let zero = w.splat(0.0);
        let live = w.lt(w.load(&NUMBERS), w.splat(self.rows as f32));
        let scale = w.splat(self.scale);
        let values = self.values.expect("an elementwise loss has numbers");
        let rows = Lanes::new(w, values, 0, self.rows);
        let through = of.by_prediction() && !last.is_linear();
        let mut total = zero;
        for output in 0..last.outputs {
            // SAFETY: the slots are the last layer's, and the rows of the
            // targets have as many columns.
            unsafe {
                let target = w.gather(rows.at(), output);
                let y = w.load_ptr(slots.add((last.y + output) * W::LANES));
                let (value, slope) = of.value_slope(w, &net.hyper, y, target);
                let d = slots.add((last.d + output) * W::LANES);
                let mut slope = w.mul(slope, scale);
                if through {
                    slope = w.mul(slope, w.load_ptr(d));
                }
                total = w.add(total, w.select(live, value, zero));
                w.store_ptr(w.select(live, slope, zero), d);
            }
        }
        w.sum(total).into()
    }
}

/// A loss of an element.
trait OfElement {
    /// Whether its slope is one by the prediction; else by z.
    fn by_prediction(&self) -> bool;
    fn value_slope<W: Simd>(
        &self,
        w: W,
        hyper: &[f32; crate::hyper::MAX],
        y: W::V,
        target: W::V,
    ) -> (W::V, W::V);
}

/// Binary cross-entropy of the sigmoid of z.
struct Logit;

impl OfElement for Logit {
    #[inline(always)]
    fn by_prediction(&self) -> bool {
        false
    }
    #[inline(always)]
    fn value_slope<W: Simd>(
        &self,
        w: W,
        _: &[f32; crate::hyper::MAX],
        z: W::V,
        target: W::V,
    ) -> (W::V, W::V) {
        of_logit(w, z, target)
    }
}

/// A loss of predictions.
struct Prediction<L>(std::marker::PhantomData<L>);

impl<L: Elementwise> OfElement for Prediction<L> {
    #[inline(always)]
    fn by_prediction(&self) -> bool {
        true
    }
    #[inline(always)]
    fn value_slope<W: Simd>(
        &self,
        w: W,
        hyper: &[f32; crate::hyper::MAX],
        p: W::V,
        target: W::V,
    ) -> (W::V, W::V) {
        L::value_slope(w, hyper, p, target)
    }
}

struct OfLoss<'a, W> {
    step: &'a Step<'a>,
    w: W,
    slots: *mut f32,
}

impl<W: Simd> WithElementwise for OfLoss<'_, W> {
    type Output = f64;
    #[inline(always)]
    fn with<L: Elementwise>(self) -> f64 {
        // SAFETY: `Step::run` hands over its slots, with y and d of the last
        // layer filled.
        unsafe {
            self.step.elementwise(self.w, self.slots, Prediction::<L>(std::marker::PhantomData))
        }
    }
}

/// The end of a step: the slots are filled, all d hold ∂loss/∂z.
struct End<'a, S, W> {
    s: S,
    w: W,
    net: &'a Net,
    slots: *const f32,
    gradient: *mut f32,
}

impl<S: Simd, W: Folds<S>> End<'_, S, W> {
    /// The gradients of as many parameters as a vector has lanes.
    #[inline(always)]
    fn sums(&self, at: usize) -> S::V {
        let factors = &self.net.factors[at..at + S::LANES];
        self.s.sums(&Products { w: self.w, slots: self.slots, factors: factors.as_ptr() })
    }

    /// # Safety
    /// The gradient is valid for writing.
    #[inline(always)]
    unsafe fn gradient(&self) {
        let (s, n) = (self.s, self.net.parameters);
        for at in (0..n).step_by(S::LANES) {
            let g = self.sums(at);
            // SAFETY: as many as are left.
            unsafe {
                match n - at >= S::LANES {
                    true => s.store_ptr(g, self.gradient.add(at)),
                    false => s.store_first(g, self.gradient.add(at), n - at),
                }
            }
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

struct WithUpdate<'a, S, W> {
    end: End<'a, S, W>,
    update: &'a Updated<'a>,
}

impl<S: Simd, W: Folds<S>> WithOptimizer for WithUpdate<'_, S, W> {
    type Output = ();
    #[inline(always)]
    fn with<O: OptimOp>(self) {
        let WithUpdate { end, update } = self;
        let (s, n) = (end.s, end.net.parameters);
        let c = O::coefficients(update.optimizer.rate, &update.optimizer.hyper, update.step);
        let c = [
            s.splat(c[0]),
            s.splat(c[1]),
            s.splat(c[2]),
            s.splat(c[3]),
            s.splat(c[4]),
            s.splat(c[5]),
            s.splat(c[6]),
            s.splat(c[7]),
        ];
        let mut at = 0;
        // SAFETY: all pointers are valid for n elements, but for the state
        // that is not kept, which `part` leaves alone.
        unsafe {
            while n - at >= S::LANES {
                part::<S, W, O, true>(&end, update, &c, at, S::LANES);
                at += S::LANES;
            }
            if at < n {
                part::<S, W, O, false>(&end, update, &c, at, n - at);
            }
        }
    }
}

/// Gradient and update of the parameters `at..at + count`.
///
/// # Safety
/// They are within the network's, and `count` is `LANES` where `WHOLE`.
#[inline(always)]
unsafe fn part<S: Simd, W: Folds<S>, O: OptimOp, const WHOLE: bool>(
    end: &End<'_, S, W>,
    update: &Updated<'_>,
    c: &[S::V; 8],
    at: usize,
    count: usize,
) {
    let s = end.s;
    let [m, v] = update.state.map(|state| state.wrapping_add(at));
    let (mut first, mut second) = (s.splat(0.0), s.splat(0.0));
    // SAFETY: the caller's promise.
    unsafe {
        let p = update.p.add(at);
        if update.kept > 0 {
            first = s.load_part::<WHOLE>(m, count);
        }
        if update.kept > 1 {
            second = s.load_part::<WHOLE>(v, count);
        }
        let parameter = s.load_part::<WHOLE>(p, count);
        let g = end.sums(at);
        s.store_part::<WHOLE>(g, end.gradient.add(at), count);
        let (parameter, first, second) = O::update(s, c, parameter, g, first, second);
        s.store_part::<WHOLE>(parameter, p, count);
        if update.kept > 0 {
            s.store_part::<WHOLE>(first, m, count);
        }
        if update.kept > 1 {
            s.store_part::<WHOLE>(second, v, count);
        }
    }
}
