//! A training step.

use super::forward::{Lanes, Slots, Sums, activate, load, sums};
use super::{MOST_ROWS, Net, UNIT};
use crate::layout::{Pick, Rows, Tile};
use crate::loss::{self, LossKind, sigmoid_bce_on, softmax_cross_entropy_on};
use crate::optim::{Carrier, Rule, Updates};
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
    pub fn gradient(
        &self,
        isa: Isa,
        parameters: &[f32],
        batch: &Batch<'_>,
        scale: f32,
        gradient: &mut [f32],
    ) -> f64 {
        assert_eq!(gradient.len(), self.parameters);
        self.run(isa, batch, scale, Then::Keep { parameters, gradient })
    }

    /// A step of an optimizer, by `scale` times the gradient: of parameters and the state's
    /// two buffers, as [`Rule::update`] takes them. Returns Σ loss before it, unscaled.
    ///
    /// # Panics
    /// As [`Net::gradient`] and [`Rule::update`].
    #[inline]
    pub fn step(
        &self,
        isa: Isa,
        rule: &Rule,
        parameters: &mut [f32],
        state: [&mut [f32]; 2],
        batch: &Batch<'_>,
        scale: f32,
    ) -> f64 {
        self.run(isa, batch, scale, Then::Update { rule, parameters, state })
    }

    #[inline(always)]
    fn run(&self, isa: Isa, batch: &Batch<'_>, scale: f32, then: Then<'_>) -> f64 {
        assert_eq!(then.parameters().len(), self.parameters, "parameters of another network");
        let Batch { features, targets, rows } = batch;
        let (rows, outputs) = (*rows, self.outputs());
        assert!((1..=MOST_ROWS).contains(&rows), "no batch of 1 to {MOST_ROWS} rows");
        assert_eq!(features.columns, self.inputs(), "features of another width");
        features.check(rows);
        match (self.loss.kind, targets) {
            (LossKind::CrossEntropy, Targets::Classes(all, pick)) => {
                let is_output = |place| (all[pick.row(place)] as usize) < outputs;
                assert!((0..rows).all(is_output), "a class that is no output");
            }
            (kind, Targets::Values(values)) if kind != LossKind::CrossEntropy => {
                assert_eq!(values.columns, outputs, "targets of another width");
                values.check(rows);
            }
            _ => panic!("targets of another kind than the loss takes"),
        }
        let step = Step { net: self, batch, scale, then };
        let narrow = isa.narrow();
        let isa = if rows <= narrow.lanes() { narrow } else { isa };
        match rows.div_ceil(isa.lanes()) {
            1 => isa.run(One(step)),
            2 => isa.run(Two(step)),
            _ => isa.run(Four(step)),
        }
    }
}

/// A checked step: rows lie within their matrices, classes are outputs, and
/// parameters and gradient have the network's length.
struct Step<'a> {
    net: &'a Net,
    batch: &'a Batch<'a>,
    scale: f32,
    then: Then<'a>,
}

/// What becomes of the gradient.
enum Then<'a> {
    /// It is the result.
    Keep { parameters: &'a [f32], gradient: &'a mut [f32] },
    /// An optimizer takes it, from the registers that it is in.
    Update { rule: &'a Rule, parameters: &'a mut [f32], state: [&'a mut [f32]; 2] },
}

impl Then<'_> {
    fn parameters(&self) -> &[f32] {
        match self {
            Then::Keep { parameters, .. } => parameters,
            Then::Update { parameters, .. } => parameters,
        }
    }
}

/// A feature is one register.
struct One<'a>(Step<'a>);
/// A feature is two registers.
struct Two<'a>(Step<'a>);
/// A feature is four registers.
struct Four<'a>(Step<'a>);

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
    fn run<S: Simd, W: Folds<S>>(self, s: S, w: W) -> f64 {
        let net = self.net;
        let weights = self.then.parameters().as_ptr();
        let mut slots = Slots::new();
        let slots = slots.at();
        let slot = |number: usize| slots.wrapping_add(number * W::LANES);
        // SAFETY: the step is checked, and a network's slots lie within
        // `Slots`; every slot is written before it is read.
        let total = unsafe {
            w.store_ptr(w.splat(1.0), slot(0));
            let Batch { features, rows, .. } = *self.batch;
            load(w, &Lanes::new(w, features, 0, rows), features.columns, slot(1));
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
            total
        };
        let gradient = Gradient { s, w, net, slots };
        match self.then {
            Then::Keep { gradient: to, .. } => gradient.run(Keep(to.as_mut_ptr())),
            Then::Update { rule, parameters, state } => rule.carry(parameters, state, gradient),
        }
        total
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
        let &Batch { targets, rows, .. } = self.batch;
        let parameters = self.then.parameters().as_ptr();
        let tile = Tile::plain(W::LANES, rows);
        let n = last.outputs * W::LANES;
        // SAFETY: slots are where `Placed` says, those of y, d and targets
        // apart; they are filled when a slice of them is made.
        unsafe {
            for (number, layer) in net.layers.iter().enumerate() {
                let of_logits = number + 1 == net.layers.len() && net.is_of_logits();
                let z = if of_logits || !layer.is_linear() { layer.d } else { layer.y };
                sums(w, layer, parameters, slots, z);
                if !of_logits {
                    activate::<S, W>(s, layer, slots);
                }
            }
            let slice = |number: usize| slots.add(number * W::LANES);
            let values = match targets {
                Targets::Values(values) => values,
                Targets::Classes(all, pick) => {
                    let mut classes = [0; MOST_ROWS];
                    for (place, class) in classes.iter_mut().enumerate().take(rows) {
                        *class = all[pick.row(place)];
                    }
                    let d = std::slice::from_raw_parts_mut(slice(last.d), n);
                    return softmax_cross_entropy_on(
                        Within(s),
                        tile,
                        d,
                        &classes[..rows],
                        net.loss.hyper[0] as f32,
                        self.scale,
                    );
                }
            };
            let targets = slice(net.targets);
            match values.pick {
                // What lanes without a row hold does not matter.
                Pick::From(_) if last.outputs == 1 => {
                    w.store_ptr(w.load_first(values.at(0), rows), targets);
                }
                _ => load(w, &Lanes::new(w, values, 0, rows), last.outputs, targets),
            }
            let targets = std::slice::from_raw_parts_mut(targets, n);
            if net.is_of_logits() {
                let d = std::slice::from_raw_parts_mut(slice(last.d), n);
                return sigmoid_bce_on(Within(s), tile, d, targets, self.scale);
            }
            let y = std::slice::from_raw_parts(slice(last.y), n);
            let d = std::slice::from_raw_parts_mut(slice(last.d), n);
            let (scale, through) = (self.scale, !last.is_linear());
            net.loss.run(loss::Gradient {
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

/// The gradient of a step: sums of products of slots, which are filled.
struct Gradient<'a, S, W> {
    s: S,
    w: W,
    net: &'a Net,
    slots: *const f32,
}

impl<S: Simd, W: Folds<S>> Carrier for Gradient<'_, S, W> {
    #[inline(always)]
    fn run<U: Updates>(self, update: U) {
        let Gradient { s, w, net, slots } = self;
        let (n, mut at) = (net.parameters, 0);
        while at < n {
            let factors = net.factors[at..at + S::LANES].as_ptr();
            let gradient = s.sums(&Products { w, slots, factors });
            // SAFETY: there are n parameters.
            unsafe {
                match n - at >= S::LANES {
                    true => update.vector::<S, true>(s, at, S::LANES, gradient),
                    false => update.vector::<S, false>(s, at, n - at, gradient),
                }
            }
            at += S::LANES;
        }
    }
}

/// As many elements as there are parameters, which become the gradient.
#[derive(Clone, Copy)]
struct Keep(*mut f32);

impl Updates for Keep {
    const CHAINS: usize = 1;

    #[inline(always)]
    unsafe fn vector<S: Simd, const WHOLE: bool>(self, s: S, at: usize, n: usize, gradient: S::V) {
        // SAFETY: the caller says that at + n is within them.
        unsafe { s.store_part::<WHOLE>(gradient, self.0.add(at), n) }
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
            let slot = |place: u16| self.slots.add(usize::from(place) * (W::LANES / UNIT));
            self.w.fold_product(self.w.load_ptr(slot(d)), self.w.load_ptr(slot(x)))
        }
    }
}
