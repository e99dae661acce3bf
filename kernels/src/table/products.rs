//! The three matrix products of a dense layer, alone and with a rectifier or a
//! slope.

use super::inputs::{spread, untouched};
use super::{Accuracy, Buffer, Mismatch, Placement, Setting, Size, Work};
use crate::gemm::{Algorithm, End, Gemm, Layout, PART, Right, Slope};
use crate::layout::{Pick, Picked, Rows, Tile};
use crate::optim::{Optimizer, OptimizerKind, Readers, Rule};
use crate::simd::Isa;
use crate::unary::{Bound, SlopeFrom, Unary};

/// A product of a layer with weights W `[out][in]` on a feature-major tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// z ← W·x + b
    Forward,
    /// y ← f(W·x + b), for a rectifier f
    ForwardRectified,
    /// dx ← Wᵀ·dz
    InputGradient,
    /// dx ← Wᵀ·dz · f′, for an f whose slope takes few operations
    InputGradientSlope,
    /// dW ← dW + dz·xᵀ, with x row-major
    WeightGradient,
    /// dW ← dz·xᵀ and a step of Adam by it: [`Gemm::run_carrying`]
    WeightGradientAdam,
}

impl Product {
    /// All of them.
    pub const ALL: [Product; 6] = [
        Product::Forward,
        Product::ForwardRectified,
        Product::InputGradient,
        Product::InputGradientSlope,
        Product::WeightGradient,
        Product::WeightGradientAdam,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Product::Forward => "forward",
            Product::ForwardRectified => "forward_rectified",
            Product::InputGradient => "input_gradient",
            Product::InputGradientSlope => "input_gradient_slope",
            Product::WeightGradient => "weight_gradient",
            Product::WeightGradientAdam => "weight_gradient_adam",
        }
    }

    /// The layer whose product has these m, n and k.
    pub fn layer(self, m: usize, n: usize, k: usize) -> Size {
        match self {
            Product::Forward | Product::ForwardRectified => {
                Size::Layer { inputs: k, outputs: m, rows: n }
            }
            Product::InputGradient | Product::InputGradientSlope => {
                Size::Layer { inputs: m, outputs: k, rows: n }
            }
            Product::WeightGradient | Product::WeightGradientAdam => {
                Size::Layer { inputs: n, outputs: m, rows: k }
            }
        }
    }

    /// Whether an algorithm can compute it.
    pub(super) fn has(self, algorithm: Algorithm) -> bool {
        if self == Product::WeightGradientAdam && algorithm != Algorithm::Tiled {
            return false;
        }
        let (a, b) = ([0.0], [0.0]);
        let tile = Tile::plain(1, 1);
        FORMS.into_iter().any(|form| {
            let operands = Operands {
                product: self,
                tile,
                inputs: 1,
                outputs: 1,
                form,
                b_stride: 1,
                leak: 0.0,
                slope: Slope::Kept,
            };
            algorithm.takes(&operands.gemm([&a, &b], &mut [0.0], 1, None, &[], &[]))
        })
    }
}

/// Layers that products are timed on: inputs, outputs, rows of the tile.
const LAYERS: [(usize, usize, usize); 9] = [
    (24, 8, 200),
    (13, 64, 32),
    (64, 64, 256),
    (54, 256, 128),
    (65, 33, 129),
    (784, 128, 128),
    (128, 10, 128),
    (64, 1, 256),
    (1024, 1024, 512),
];

pub(super) fn sizes(product: Product, algorithm: Option<Algorithm>) -> Vec<Size> {
    // The naive one takes seconds for what the others are made for.
    let most = if algorithm == Some(Algorithm::Naive) { 1 << 21 } else { usize::MAX };
    LAYERS
        .into_iter()
        .filter(|(inputs, outputs, rows)| inputs * outputs * rows <= most)
        // Those that are summed in one part.
        .filter(|&(inputs, ..)| algorithm != Some(Algorithm::Rows) || inputs <= PART)
        // Those that are carried under some instruction set.
        .filter(|&(inputs, _, rows)| {
            product != Product::WeightGradientAdam || inputs >= 64 && rows <= PART
        })
        .map(|(inputs, outputs, rows)| Size::Layer { inputs, outputs, rows })
        .collect()
}

/// Multiply-adds of the oracle, at the most: beyond, some elements stand for
/// all of them.
const ORACLE: usize = 1 << 20;

/// How x lies for a weight gradient: for the forward product it is a tile, or picked.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// Row-major, as the user's table.
    Rows,
    /// Row-major in panels of so many features.
    Panels(usize),
    /// A tile.
    Tile,
    /// Rows of a table, each anywhere, for the forward product too.
    Picked,
}

const FORMS: [Form; 4] = [Form::Rows, Form::Panels(16), Form::Tile, Form::Picked];

/// What is multiplied, and how it lies.
#[derive(Debug, Clone, Copy)]
struct Operands {
    product: Product,
    tile: Tile,
    inputs: usize,
    outputs: usize,
    form: Form,
    /// From row to row of x, where it lies in rows.
    b_stride: usize,
    /// The rectifier's, where there is one.
    leak: f32,
    /// The slope, where there is one.
    slope: Slope,
}

impl Operands {
    /// m, n and k.
    fn shape(&self) -> [usize; 3] {
        match self.product {
            Product::Forward | Product::ForwardRectified => {
                [self.outputs, self.tile.width, self.inputs]
            }
            Product::InputGradient | Product::InputGradientSlope => {
                [self.inputs, self.tile.width, self.outputs]
            }
            Product::WeightGradient if self.form == Form::Picked => {
                [self.outputs, self.inputs, self.tile.rows]
            }
            Product::WeightGradient | Product::WeightGradientAdam => {
                [self.outputs, self.inputs, self.tile.width]
            }
        }
    }

    /// The tile's rows in a table of as many: as they lie, or from the last to the first.
    fn picked<'a>(&self, table: &'a [f32], backward: &'a [u32]) -> Picked<'a> {
        let pick = if backward.is_empty() { Pick::From(0) } else { Pick::Numbers(backward) };
        let rows = Rows { data: table, columns: self.b_stride, pick };
        Picked::new(rows, self.tile.rows)
    }

    /// The product of A and B; dW's rows lie `c_stride` apart. It starts with
    /// `start`: a bias, or for dW, where there is one, itself. `y` is what the
    /// slope is of, and `backward` numbers the rows of B, where they are picked so.
    fn gemm<'a>(
        &self,
        [a, b]: [&'a [f32]; 2],
        c: &'a mut [f32],
        c_stride: usize,
        start: Option<&'a [f32]>,
        y: &'a [f32],
        backward: &'a [u32],
    ) -> Gemm<'a> {
        let (tile, widths, leak) = (self.tile, [self.outputs, self.inputs], self.leak);
        match self.product {
            Product::Forward | Product::ForwardRectified => {
                let mut gemm = Gemm::forward(tile, widths, a, start, b, c);
                if self.form == Form::Picked {
                    gemm.b = Right::PickedColumns(self.picked(b, backward));
                }
                if self.product == Product::ForwardRectified {
                    gemm.end = End::Rectifier { leak };
                }
                gemm
            }
            Product::InputGradient => Gemm::input_gradient(tile, widths, a, b, c),
            Product::InputGradientSlope => Gemm {
                end: End::Slope { slope: self.slope, y },
                ..Gemm::input_gradient(tile, widths, a, b, c)
            },
            Product::WeightGradient | Product::WeightGradientAdam => {
                let x = match self.form {
                    Form::Rows => Right::Rows { data: b, stride: self.b_stride },
                    Form::Panels(panel) => Right::Panels { data: b, panel },
                    Form::Tile => Right::Tile { data: b, tile, features: self.inputs, first: 0 },
                    Form::Picked => Right::Picked(self.picked(b, backward)),
                };
                let mut gemm = Gemm::weight_gradient(tile, widths, a, x, c, start.is_some());
                gemm.layout = Layout::Rows(c_stride);
                gemm
            }
        }
    }
}

/// The elements of rows, each at the place of its row and column.
fn moved(rows: &[f32], columns: usize, at: impl Fn(usize, usize) -> usize) -> Vec<f32> {
    let mut to = vec![0.0; rows.len()];
    for (i, &x) in rows.iter().enumerate() {
        to[at(i / columns, i % columns)] = x;
    }
    to
}

/// Where column `j` of row `i` lies in panels of a matrix `[rows][columns]`.
fn in_panels([rows, columns]: [usize; 2], panel: usize, i: usize, j: usize) -> usize {
    let first = j - j % panel;
    first * rows + i * panel.min(columns - first) + j - first
}

pub(super) struct Layer {
    operands: Operands,
    algorithm: Algorithm,
    isa: Isa,
    a: Buffer,
    b: Buffer,
    before: Vec<f32>,
    c: Buffer,
    c_stride: usize,
    bias: Buffer,
    /// What the slope is of.
    y: Buffer,
    /// The numbers of x's rows, where they are picked from the last to the first.
    backward: Vec<u32>,
    /// Whether it starts with the bias, or with dW.
    starts: bool,
    /// What is updated meanwhile.
    updated: Option<Updated>,
}

/// Parameters that a product updates.
struct Updated {
    optimizer: Optimizer,
    start: Vec<f32>,
    parameters: Buffer,
    state: [Buffer; 2],
    step: u64,
}

impl Updated {
    /// Of Adam, which products carry.
    fn new(setting: Setting, n: usize) -> Self {
        let start = super::noise(6, n);
        let state = || Buffer::new(setting, &vec![0.0; n]);
        Updated {
            optimizer: Optimizer::new(OptimizerKind::Adam),
            parameters: Buffer::new(setting, &start),
            start,
            state: [state(), state()],
            step: 0,
        }
    }

    fn restart(&mut self) {
        self.step = 0;
        self.parameters.slice_mut().copy_from_slice(&self.start);
        self.state.iter_mut().for_each(|state| state.slice_mut().fill(0.0));
    }

    /// The next step.
    fn step(&mut self) -> (Rule, &mut [f32], [&mut [f32]; 2]) {
        self.step += 1;
        let [first, second] = &mut self.state;
        let state = [first.slice_mut(), second.slice_mut()];
        (self.optimizer.at(self.step), self.parameters.slice_mut(), state)
    }

    /// Compares the first step with the oracle's, by the gradient that was computed.
    fn check(&self, gradient: &[f32], accuracy: &mut Accuracy) -> Result<(), Mismatch> {
        let Updated { optimizer, start, parameters, state: [first, second], .. } = self;
        Mismatch::unless_intact(&[parameters, first, second])?;
        for (i, (&start, &p)) in start.iter().zip(parameters.slice()).enumerate() {
            let exact = optimizer.oracle(1, start.into(), gradient[i].into(), &mut [0.0; 2]);
            let bound = Bound::ulp_or(0.0, 2e-6 * exact.abs().max(1.0));
            accuracy.add(p, exact, bound, || format!("parameter {i}"))?;
        }
        Ok(())
    }
}

impl Layer {
    pub(super) fn new(
        product: Product,
        algorithm: Algorithm,
        isa: Isa,
        size: Size,
        setting: Setting,
    ) -> Self {
        let Size::Layer { inputs, outputs, rows } = size else { panic!("{size} is no layer") };
        // Timed as a plan lays tiles out; else with borders anywhere.
        let (width, panel) = match setting.placement {
            Placement::Plain => (rows.next_multiple_of(isa.lanes()), panel(isa)),
            _ => (rows + rows % 3, [16, 64, 24, 7][(inputs + outputs + rows) % 4]),
        };
        let width = width.max(1);
        let panel = if algorithm == Algorithm::Matrixmultiply { width } else { panel };
        let tile = Tile { width, rows, panel };
        let b_stride = inputs + setting.gap(2);
        let form = match product {
            Product::WeightGradientAdam => [Form::Panels(panel), Form::Panels(panel), Form::Rows],
            _ => [Form::Rows, Form::Rows, Form::Panels(panel)],
        }[setting.variant];
        let rectifier = [Unary::Relu, Unary::LeakyRelu][setting.variant % 2];
        let leak = rectifier.leak().expect("a rectifier");
        let slopes =
            Unary::ALL.iter().filter_map(|&f| Slope::of(f, f.slope_from() == SlopeFrom::Input));
        // Every one of them with layers of some size.
        let slopes: Vec<Slope> = slopes.collect();
        let slope = slopes[(setting.variant + inputs + outputs) % slopes.len()];
        let mut operands = Operands { product, tile, inputs, outputs, form, b_stride, leak, slope };
        // What the algorithm takes: the form asked for, or any.
        let takes = |form: Form| {
            let gemm = Operands { form, tile: Tile { rows: 0, ..tile }, ..operands };
            algorithm.takes(&gemm.gemm([&[]; 2], &mut [], inputs, None, &[], &[]))
        };
        if !takes(form) {
            operands.form = FORMS.into_iter().find(|&form| takes(form)).unwrap_or(form);
        }
        let picked = operands.form == Form::Picked;
        let backward = match picked && setting.variant > 0 {
            true => (0..rows as u32).rev().collect(),
            false => Vec::new(),
        };

        // Magnitudes of at most 1: the bound counts on it.
        let allowed = |x: f32| x.abs() <= 1.0 || !x.is_finite();
        let numbers = |seed, n| setting.numbers(seed, n, |x| x, allowed);
        let weights = || numbers(1, outputs * inputs);
        let tile_of = |seed, features: usize, padding: Option<f32>| {
            let mut values = numbers(seed, features * width);
            for (at, x) in values.iter_mut().enumerate() {
                match padding {
                    Some(padding) if tile.lane(features, at) >= rows => *x = padding,
                    _ => {}
                }
            }
            values
        };
        let table = |x: &[f32]| {
            let mut table = spread(x, inputs, b_stride);
            table.resize(rows * b_stride, 0.0);
            table
        };
        let (a, b, c) = match product {
            Product::Forward | Product::ForwardRectified => {
                let x = match picked {
                    true => table(&numbers(2, rows * inputs)),
                    false => tile_of(2, inputs, None),
                };
                (weights(), x, numbers(4, outputs * width))
            }
            Product::InputGradient | Product::InputGradientSlope => {
                (weights(), tile_of(2, outputs, None), numbers(4, inputs * width))
            }
            Product::WeightGradient | Product::WeightGradientAdam => {
                // Padding lanes of dz are 0, and those of x whatever is finite.
                let mut x = numbers(2, width * inputs);
                x[rows * inputs..].fill(0.75);
                let x = match operands.form {
                    Form::Rows => spread(&x, inputs, b_stride),
                    Form::Panels(panel) => {
                        let at = |lane, feature| in_panels([width, inputs], panel, lane, feature);
                        moved(&x, inputs, at)
                    }
                    Form::Tile => {
                        moved(&x, inputs, |lane, feature| tile.index(inputs, feature, lane))
                    }
                    Form::Picked => table(&x[..rows * inputs]),
                };
                (tile_of(1, outputs, Some(0.0)), x, numbers(4, outputs * inputs))
            }
        };
        let y = numbers(5, if product == Product::InputGradientSlope { c.len() } else { 0 });
        let (columns, gap) = match product {
            Product::WeightGradient => (inputs, setting.gap(3)),
            Product::WeightGradientAdam => (inputs, 0),
            _ => (c.len(), 0),
        };
        let before = spread(&c, columns, columns + gap);
        Layer {
            operands,
            algorithm,
            isa,
            a: Buffer::new(setting, &a),
            b: Buffer::new(setting, &b),
            c: Buffer::new(setting, &before),
            before,
            c_stride: columns + gap,
            bias: Buffer::new(setting, &numbers(3, outputs)),
            y: Buffer::new(setting, &y),
            backward,
            starts: match product {
                Product::InputGradient | Product::InputGradientSlope => false,
                // Timed without it.
                Product::WeightGradientAdam => setting.variant == 1,
                _ => setting.variant != 1,
            },
            updated: (product == Product::WeightGradientAdam)
                .then(|| Updated::new(setting, c.len())),
        }
    }

    /// What element (i, j) starts with.
    fn first(&self, i: usize, j: usize) -> f32 {
        match self.operands.product {
            _ if !self.starts => 0.0,
            Product::WeightGradient | Product::WeightGradientAdam => {
                self.before[i * self.c_stride + j]
            }
            _ => self.bias.slice()[i],
        }
    }

    /// What becomes of a sum, which is written there.
    fn last(&self, sum: f64, place: usize) -> f64 {
        let leak = f64::from(self.operands.leak);
        match self.operands.product {
            Product::ForwardRectified if sum < 0.0 && leak == 0.0 => 0.0,
            Product::ForwardRectified if sum < 0.0 => leak * sum,
            Product::InputGradientSlope => {
                let y = f64::from(self.y.slice()[place]);
                sum * match self.operands.slope {
                    Slope::Kept => y,
                    Slope::Rectifier { .. } if y > 0.0 => 1.0,
                    Slope::Rectifier { leak } => leak.into(),
                    Slope::Tanh => 1.0 - y * y,
                    Slope::Sigmoid => y * (1.0 - y),
                }
            }
            _ => sum,
        }
    }

    /// Where elements of A, B and C lie.
    fn places(&self, i: usize, j: usize, l: usize) -> [usize; 3] {
        let Operands { product, tile, inputs, form, b_stride, .. } = self.operands;
        let [m, n, k] = self.operands.shape();
        let row = |place: usize| self.backward.get(place).map_or(place, |&row| row as usize);
        match product {
            Product::Forward | Product::ForwardRectified => {
                let b = match form {
                    Form::Picked => row(j) * b_stride + l,
                    _ => tile.index(k, l, j),
                };
                [i * inputs + l, b, tile.index(m, i, j)]
            }
            Product::InputGradient | Product::InputGradientSlope => {
                [l * inputs + i, tile.index(k, l, j), tile.index(m, i, j)]
            }
            Product::WeightGradient | Product::WeightGradientAdam => {
                let b = match form {
                    Form::Rows => l * b_stride + j,
                    Form::Panels(panel) => in_panels([k, n], panel, l, j),
                    Form::Tile => tile.index(n, j, l),
                    Form::Picked => row(l) * b_stride + j,
                };
                [tile.index(m, i, l), b, i * self.c_stride + j]
            }
        }
    }
}

/// Columns that a register tile of an instruction set takes.
fn panel(isa: Isa) -> usize {
    let vectors = if isa == Isa::Avx512 { 4 } else { 2 };
    vectors * isa.lanes()
}

impl Work for Layer {
    fn run(&mut self) {
        let start = self.starts.then(|| self.bias.slice());
        let (a, b, c) = (self.a.slice(), self.b.slice(), self.c.slice_mut());
        let (y, backward) = (self.y.slice(), &self.backward);
        let mut gemm = self.operands.gemm([a, b], c, self.c_stride, start, y, backward);
        let (algorithm, isa) = (self.algorithm, self.isa);
        let Some(updated) = &mut self.updated else { return gemm.run(algorithm, isa) };
        let (rule, parameters, [first, second]) = updated.step();
        let state = [&mut *first, &mut *second];
        if !gemm.run_carrying(algorithm, isa, &rule, parameters, state) {
            rule.update(isa, parameters, self.c.slice(), [first, second], Readers::Same);
        }
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.c.slice_mut().copy_from_slice(&self.before);
        self.updated.iter_mut().for_each(Updated::restart);
        self.run();
        Mismatch::unless_intact(&[&self.a, &self.b, &self.c, &self.bias, &self.y])?;
        let [m, n, k] = self.operands.shape();
        let (a, b, c) = (self.a.slice(), self.b.slice(), self.c.slice());
        // Elements are at most 1, so that sums are at most k; each of k
        // roundings is at most 2⁻²⁴ of the running sum.
        let steepest = match (self.operands.product, self.operands.slope) {
            (Product::InputGradientSlope, Slope::Tanh | Slope::Sigmoid) => 2.0,
            _ => 1.0,
        };
        let bound = Bound::ulp_or(0.0, (k as f64 + 2.0) * f64::from(f32::EPSILON) * steepest);
        let mut accuracy = Accuracy::default();
        // A step that is no multiple of the row's length meets every column.
        let mut step = (m * n * k).div_ceil(ORACLE).max(1);
        if step > 1 && n.is_multiple_of(step) {
            step += 1;
        }
        for at in (0..m * n).step_by(step) {
            let (i, j) = (at / n, at % n);
            let Operands { form, product, tile, .. } = self.operands;
            let forward = product != Product::WeightGradient;
            let padding = form == Form::Picked && forward && j >= tile.rows;
            let term = |l| {
                let [at_a, at_b, _] = self.places(i, j, l);
                // Padding lanes of rows that are picked are 0.
                f64::from(a[at_a]) * if padding { 0.0 } else { f64::from(b[at_b]) }
            };
            let sum = f64::from(self.first(i, j)) + (0..k).map(term).sum::<f64>();
            let [.., place] = self.places(i, j, 0);
            let exact = self.last(sum, place);
            accuracy
                .add(c[place], exact, bound, || format!("element ({i}, {j}) of {m}x{n}x{k}"))?;
        }
        if self.operands.product == Product::WeightGradient {
            let gaps = c.iter().enumerate().filter(|(at, _)| at % self.c_stride >= n);
            for (at, &x) in gaps {
                Mismatch::unless(untouched(x), || {
                    format!("wrote between rows of C, at {at} of {m}x{n}x{k}")
                })?;
            }
        }
        if let Some(updated) = &self.updated {
            updated.check(c, &mut accuracy)?;
        }
        Ok(accuracy)
    }
}
