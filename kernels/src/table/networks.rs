//! Whole networks in one call: a single row, rows, and the gradient of a batch
//! of a small one, and a step.

use super::{Accuracy, Buffer, Mismatch, Setting, Size, Work, noise};
use crate::hyper::defaults;
use crate::layout::{Pick, Rows};
use crate::loss::{Loss, LossKind};
use crate::optim::{Optimizer, OptimizerKind};
use crate::simd::Isa;
use crate::single::{self, Ending, Packed};
use crate::small::{self, Batch, Layer, MOST_ROWS, Net, Targets};
use crate::unary::{Bound, Unary};

/// A kernel that is a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// [`Packed::predict`]
    Row,
    /// [`Net::predict`]
    Rows,
    /// [`Net::gradient`]
    Gradient,
    /// [`Net::step`], by gradient descent
    Step,
}

impl Network {
    /// All of them.
    pub const ALL: [Network; 4] = [Network::Row, Network::Rows, Network::Gradient, Network::Step];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Network::Row => "network_row",
            Network::Rows => "network_rows",
            Network::Gradient => "network_gradient",
            Network::Step => "network_step",
        }
    }

    /// The sizes that it is timed at.
    pub(super) fn sizes(self) -> Vec<Size> {
        let [tiny, small] = [[2, 3, 1], [24, 8, 2]];
        let of = |[inputs, hidden, outputs]: [usize; 3], rows| Size::Network {
            inputs,
            hidden,
            outputs,
            rows,
        };
        match self {
            Network::Row => vec![of(tiny, 1), of(small, 1)],
            Network::Rows => vec![of(tiny, 1024), of(small, 1024)],
            Network::Gradient | Network::Step => vec![of(tiny, 4), of(small, MOST_ROWS)],
        }
    }

    /// Sizes around a number of `n`: of a layer's features where there is one
    /// row, else of rows.
    pub(super) fn edge_sizes(self, n: usize) -> Vec<Size> {
        let (inputs, hidden, outputs) = (1 + n % 19, 1 + n % 7, 1 + n % 3);
        match self {
            Network::Row => {
                let n = n.max(1);
                vec![
                    Size::Network { inputs: n, hidden: 5, outputs: 3, rows: 1 },
                    Size::Network { inputs: 3, hidden: n, outputs: 2, rows: 1 },
                    Size::Network { inputs: 4, hidden: 3, outputs: n, rows: 1 },
                ]
            }
            Network::Rows => vec![Size::Network { inputs, hidden, outputs, rows: n }],
            Network::Gradient | Network::Step => {
                vec![Size::Network { inputs, hidden, outputs, rows: 1 + n % MOST_ROWS }]
            }
        }
    }
}

/// What a step is of: errors of the gradient show in it.
fn optimizer() -> Optimizer {
    Optimizer { rate: 0.125, ..Optimizer::new(OptimizerKind::Sgd) }
}

/// Activations and loss of [`Setting::variant`].
const VARIANTS: [(Unary, Ending, LossKind); 3] = [
    (Unary::Tanh, Ending::Unary(Unary::Linear), LossKind::Mse),
    (Unary::Gelu, Ending::Softmax, LossKind::CrossEntropy),
    (Unary::Relu, Ending::Unary(Unary::Sigmoid), LossKind::Bce),
];

pub(super) struct OfNetwork {
    of: Network,
    isa: Isa,
    rows: usize,
    layers: [Layer; 2],
    loss: Loss,
    parameters: Buffer,
    features: Buffer,
    values: Buffer,
    classes: Vec<u32>,
    net: Option<Net>,
    packed: Packed,
    scratch: Buffer,
    /// The outputs, the gradient, or the parameters after a step.
    result: Buffer,
    total: f64,
}

impl OfNetwork {
    pub(super) fn new(of: Network, isa: Isa, size: Size, setting: Setting) -> Self {
        let Size::Network { inputs, hidden, outputs, rows } = size else {
            panic!("{size} is no network")
        };
        let (f, last, kind) = VARIANTS[setting.variant];
        let layer = |inputs, outputs, ending| Layer { inputs, outputs, bias: true, ending };
        let layers = [layer(inputs, hidden, Ending::Unary(f)), layer(hidden, outputs, last)];
        let loss = Loss { kind, hyper: defaults(kind.hypers()) };
        let n = hidden * (inputs + 1) + outputs * (hidden + 1);
        let parameters = Buffer::new(setting, &noise(1, n));
        let mut rest = parameters.slice();
        let mut take = |n: usize| {
            let (part, behind) = rest.split_at(n);
            rest = behind;
            part
        };
        let packed = layers.map(|Layer { inputs, outputs, ending, .. }| {
            let (weights, bias) = (take(outputs * inputs), Some(take(outputs)));
            single::Layer { inputs, outputs, weights, bias, table: None, ending }
        });
        let packed = Packed::new(isa, &packed);
        let net = Net::new(&layers, loss);
        assert!(of == Network::Row || net.is_some(), "a small network");
        let features = setting.numbers(2, rows * inputs, |x| x, |x| x.abs() <= 1.0);
        let values: Vec<f32> = noise(3, rows * outputs).into_iter().map(f32::abs).collect();
        let result = match of {
            Network::Row | Network::Rows => vec![f32::NAN; rows * outputs],
            Network::Gradient => vec![f32::NAN; n],
            Network::Step => parameters.slice().to_vec(),
        };
        OfNetwork {
            of,
            isa,
            rows,
            layers,
            loss,
            parameters,
            features: Buffer::new(setting, &features),
            values: Buffer::new(setting, &values),
            classes: (0..rows).map(|row| (row * 7 % outputs) as u32).collect(),
            net,
            scratch: Buffer::new(setting, &vec![f32::NAN; packed.scratch()]),
            packed,
            result: Buffer::new(setting, &result),
            total: 0.0,
        }
    }

    fn scale(&self) -> f32 {
        1.0 / self.rows as f32
    }

    /// What the loss compares a row's outputs with.
    fn target(&self, row: usize) -> Vec<f64> {
        let outputs = self.layers[1].outputs;
        match self.loss.kind {
            LossKind::CrossEntropy => {
                let class = self.classes[row] as usize;
                (0..outputs).map(|c| f64::from(u8::from(c == class))).collect()
            }
            _ => wide(&self.values.slice()[row * outputs..(row + 1) * outputs]),
        }
    }
}

impl Work for OfNetwork {
    fn run(&mut self) {
        let (isa, rows, scale) = (self.isa, self.rows, self.scale());
        let [inputs, outputs] = [self.layers[0].inputs, self.layers[1].outputs];
        let (parameters, features) = (self.parameters.slice(), self.features.slice());
        let result = self.result.slice_mut();
        match (self.of, &self.net) {
            (Network::Row, _) => {
                self.packed.predict(features, &[], result, self.scratch.slice_mut());
            }
            (Network::Rows, Some(net)) => net.predict(isa, parameters, features, result),
            (Network::Gradient | Network::Step, Some(net)) => {
                let pick = Pick::From(0);
                let targets = match self.loss.kind {
                    LossKind::CrossEntropy => Targets::Classes(&self.classes, pick),
                    _ => {
                        Targets::Values(Rows { data: self.values.slice(), columns: outputs, pick })
                    }
                };
                let features = Rows { data: features, columns: inputs, pick };
                let batch = Batch { features, targets, rows };
                self.total = match self.of {
                    Network::Step => {
                        let rule = optimizer().at(1);
                        net.step(isa, &rule, result, [&mut [], &mut []], &batch, scale)
                    }
                    _ => net.gradient(isa, parameters, &batch, scale, result),
                };
            }
            _ => unreachable!("`new` has made it"),
        }
    }

    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        if self.of == Network::Step {
            self.result.slice_mut().copy_from_slice(self.parameters.slice());
        }
        self.run();
        let buffers = [&self.parameters, &self.features, &self.values, &self.scratch, &self.result];
        Mismatch::unless_intact(&buffers)?;
        let [inputs, outputs] = [self.layers[0].inputs, self.layers[1].outputs];
        let parameters = wide(self.parameters.slice());
        let mut gradient = vec![0.0; parameters.len()];
        let mut accuracy = Accuracy::default();
        let mut total = 0.0;
        for row in 0..self.rows {
            let x = wide(&self.features.slice()[row * inputs..(row + 1) * inputs]);
            let (y, loss) =
                oracle(&self.layers, &self.loss, &parameters, &x, &self.target(row), &mut gradient);
            total += loss;
            if matches!(self.of, Network::Row | Network::Rows) {
                let ours = &self.result.slice()[row * outputs..(row + 1) * outputs];
                for (output, (&ours, y)) in ours.iter().zip(y).enumerate() {
                    let bound = Bound::ulp_or(0.0, 1e-5 * (1.0 + y.abs()));
                    accuracy.add(ours, y, bound, || format!("output {output} of row {row}"))?;
                }
            }
        }
        if matches!(self.of, Network::Gradient | Network::Step) {
            accuracy.add_sum(self.total, total, 1e-5 * total.abs().max(1.0))?;
            let scale = f64::from(self.scale());
            let largest = gradient.iter().fold(0.0f64, |largest, g| largest.max(g.abs()));
            // A softmax of one output is 1 but for its last bit.
            let absolute = 1e-5 * largest * scale + 2.5e-7;
            for (i, (&ours, exact)) in self.result.slice().iter().zip(gradient).enumerate() {
                let exact = exact * scale;
                match self.of {
                    Network::Step => {
                        let optimizer = optimizer();
                        let before = parameters[i];
                        let exact = optimizer.oracle(1, before, exact, &mut [0.0; 2]);
                        let rounding = f64::from(f32::EPSILON) * before.abs();
                        let bound = Bound::ulp_or(0.0, optimizer.rate * absolute + rounding);
                        accuracy.add(ours, exact, bound, || format!("parameter {i}"))?;
                    }
                    _ => {
                        let bound = Bound::ulp_or(0.0, absolute);
                        accuracy.add(ours, exact, bound, || format!("gradient {i}"))?;
                    }
                }
            }
        }
        Ok(accuracy)
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x.into()).collect()
}

/// The oracle: one row forward and backward in f64, its gradient added to
/// `gradient`; returns the outputs and the loss. `target` is a value an output,
/// for classes the share of each.
pub fn oracle(
    layers: &[small::Layer],
    loss: &Loss,
    parameters: &[f64],
    x: &[f64],
    target: &[f64],
    gradient: &mut [f64],
) -> (Vec<f64>, f64) {
    let mut offset = 0;
    // Of every layer: where its parameters begin, x, z, y.
    let mut kept = Vec::new();
    let mut x = x.to_vec();
    for layer in layers {
        let weights = offset;
        let bias = weights + layer.inputs * layer.outputs;
        offset = bias + if layer.bias { layer.outputs } else { 0 };
        let sum = |o: usize| {
            let products: f64 =
                (0..layer.inputs).map(|i| parameters[weights + o * layer.inputs + i] * x[i]).sum();
            products + if layer.bias { parameters[bias + o] } else { 0.0 }
        };
        let z: Vec<f64> = (0..layer.outputs).map(sum).collect();
        let y: Vec<f64> = match layer.ending {
            Ending::Unary(f) => z.iter().map(|&z| f.oracle(z)).collect(),
            Ending::Softmax => {
                let total: f64 = z.iter().map(|z| z.exp()).sum();
                z.iter().map(|z| z.exp() / total).collect()
            }
        };
        kept.push((weights, bias, x, z));
        x = y;
    }
    let prediction = x;
    let (mut d, value): (Vec<f64>, f64) = match loss.kind {
        // Already by z.
        LossKind::CrossEntropy => {
            let pairs = || prediction.iter().zip(target);
            (pairs().map(|(p, t)| p - t).collect(), pairs().map(|(p, t)| -t * p.ln()).sum())
        }
        _ => {
            let each: Vec<(f64, f64)> =
                prediction.iter().zip(target).map(|(&p, &t)| loss.oracle(p, t)).collect();
            (each.iter().map(|e| e.1).collect(), each.iter().map(|e| e.0).sum())
        }
    };
    for (layer, (weights, bias, x, z)) in layers.iter().zip(&kept).rev() {
        if let Ending::Unary(f) = layer.ending {
            d.iter_mut().zip(z).for_each(|(d, &z)| *d *= f.oracle_slope(z));
        }
        let mut before = vec![0.0; layer.inputs];
        for (o, d) in d.iter().enumerate() {
            for i in 0..layer.inputs {
                let at = weights + o * layer.inputs + i;
                gradient[at] += d * x[i];
                before[i] += d * parameters[at];
            }
            if layer.bias {
                gradient[bias + o] += d;
            }
        }
        d = before;
    }
    (prediction, value)
}
