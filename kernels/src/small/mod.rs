//! Whole steps of small networks.
//!
//! A network of a few neurons and a batch of a few rows are computed in less
//! time than a dozen kernels take to be called. Here one call does all of a
//! training step: it takes the rows, goes forward, through the loss and
//! backward, sums the gradient, and keeps it or updates the parameters;
//! another predicts.
//!
//! A feature of the batch is one vector, of one, two or four registers. All
//! values of a step lie in slots of one vector each, on the stack:
//!
//! ```text
//! slot 0           1, for the gradients of biases
//! slots 1..        the batch's features
//! of every layer   y = f(z), then d: z, then f′(z), then ∂loss/∂z
//! last             the targets
//! ```
//!
//! Activations, losses and the optimizer are the kernels that large networks
//! have: they take the slots as they lie.
//!
//! The gradient of parameter i is the sum over the lanes of the product of two
//! slots: ∂loss/∂z of its output, and its input or 1. [`Net`] lists the two
//! for every parameter, so that the gradient is one loop over the flat buffer
//! whatever the layers' shapes: as many products as a vector has
//! lanes are summed into one vector. Lanes without a row repeat the first row,
//! and the loss's slope is 0 there.

mod forward;
mod step;

pub use step::{Batch, Targets};

use crate::layout::{Pick, Rows};
use crate::loss::{Loss, LossKind};
use crate::simd::Isa;
use crate::single::Ending;
use crate::unary::Unary;

/// Rows of a training batch at the most.
pub const MOST_ROWS: usize = 32;

/// Parameters at the most: beyond, products in register tiles are faster.
const MOST_PARAMETERS: usize = 512;

/// Slots at the most: with [`MOST_ROWS`] lanes they take half of a first-level
/// cache of 32 KB.
const MOST_SLOTS: usize = 128;

/// Lanes of the narrowest vectors.
const UNIT: usize = 8;

/// A layer's shape and activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layer {
    /// Features in: those that come out of the layer before.
    pub inputs: usize,
    /// Features out.
    pub outputs: usize,
    /// Whether it has a bias.
    pub bias: bool,
    /// What follows the sums; softmax on the last layer alone.
    pub ending: Ending,
}

/// A small network and its loss, with a place for every value of a step.
///
/// Its parameters are one flat buffer, layer by layer: the weights
/// `[outputs][inputs]`, then the bias `[outputs]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Net {
    layers: Vec<Placed>,
    loss: Loss,
    parameters: usize,
    /// Slots of the targets, as many as there are outputs.
    targets: usize,
    /// The slots whose product's sum is a parameter's gradient, as offsets into
    /// slots of [`UNIT`] lanes; then some of slot 0, to a whole number of the
    /// widest vectors.
    factors: Vec<[u16; 2]>,
}

/// A layer with its places: offsets of parameters, numbers of slots.
///
/// Invariant, which unsafe code relies on: parameters lie within
/// [`Net::parameters`], slots within [`MOST_SLOTS`]; `y` and `d` are `outputs`
/// slots each that no other layer has, `x` the `inputs` slots of the features
/// or of the y of the layer before.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Placed {
    inputs: usize,
    outputs: usize,
    weights: usize,
    bias: Option<usize>,
    ending: Ending,
    x: usize,
    y: usize,
    d: usize,
}

impl Placed {
    fn is_linear(&self) -> bool {
        self.ending == Ending::Unary(Unary::Linear)
    }
}

impl Net {
    /// The network of these layers, if it is small, and its loss goes with the
    /// last layer: `cross_entropy` with softmax and no other, `bce` with
    /// sigmoid.
    ///
    /// # Panics
    /// Where there is no layer, a width is 0 or differs from the one before,
    /// or softmax is not last.
    pub fn new(layers: &[Layer], loss: Loss) -> Option<Net> {
        let (first, last) = (layers.first().expect("a layer"), layers.last().expect("a layer"));
        let goes = match (loss.kind, last.ending) {
            (LossKind::CrossEntropy, ending) => ending == Ending::Softmax,
            (LossKind::Bce, ending) => ending == Ending::Unary(Unary::Sigmoid),
            (_, ending) => ending != Ending::Softmax,
        };
        if !goes {
            return None;
        }
        let (mut parameters, mut x, mut width) = (0usize, 1, first.inputs);
        let mut slots = width.checked_add(1)?;
        let mut placed = Vec::with_capacity(layers.len());
        let mut factors = Vec::new();
        for (i, layer) in layers.iter().enumerate() {
            let Layer { inputs, outputs, bias, ending } = *layer;
            assert!(inputs == width && inputs > 0 && outputs > 0, "layers that do not fit");
            assert!(ending != Ending::Softmax || i + 1 == layers.len(), "softmax is last");
            let weights = parameters;
            let biases = weights.checked_add(outputs.checked_mul(inputs)?)?;
            let (y, d) = (slots, slots.checked_add(outputs)?);
            (parameters, slots) =
                (biases + if bias { outputs } else { 0 }, d.checked_add(outputs)?);
            if parameters > MOST_PARAMETERS || slots > MOST_SLOTS {
                return None;
            }
            let pair =
                |output: usize, slot: usize| [(d + output) * UNIT, slot * UNIT].map(|at| at as u16);
            for output in 0..outputs {
                factors.extend((0..inputs).map(|input| pair(output, x + input)));
            }
            if bias {
                factors.extend((0..outputs).map(|output| pair(output, 0)));
            }
            let bias = bias.then_some(biases);
            placed.push(Placed { inputs, outputs, weights, bias, ending, x, y, d });
            (x, width) = (y, outputs);
        }
        let targets = slots;
        if slots + last.outputs > MOST_SLOTS {
            return None;
        }
        factors.resize(parameters.next_multiple_of(16), [0, 0]);
        Some(Net { layers: placed, loss, parameters, targets, factors })
    }

    /// Features of a row.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// Outputs of a row.
    pub fn outputs(&self) -> usize {
        self.last().outputs
    }

    /// Length of the flat buffer of parameters.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Whether the loss takes what the last activation takes.
    fn is_of_logits(&self) -> bool {
        matches!(self.loss.kind, LossKind::CrossEntropy | LossKind::Bce)
    }

    fn last(&self) -> &Placed {
        self.layers.last().expect("a network has at least one layer")
    }

    /// Predicts rows of features `[rows, inputs]` into `[rows, outputs]`, both
    /// row-major.
    ///
    /// # Panics
    /// Where a slice's length is another.
    pub fn predict(&self, isa: Isa, parameters: &[f32], features: &[f32], out: &mut [f32]) {
        assert_eq!(parameters.len(), self.parameters, "parameters of another network");
        let rows = features.len() / self.inputs();
        assert_eq!(features.len(), rows * self.inputs(), "no whole number of rows");
        assert_eq!(out.len(), rows * self.outputs(), "another number of rows");
        let features = Rows { data: features, columns: self.inputs(), pick: Pick::From(0) };
        isa.run(forward::Predict { net: self, parameters, features, rows, out });
    }
}
