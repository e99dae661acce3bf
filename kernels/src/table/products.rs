//! The three matrix products of a dense layer.

use super::inputs::{spread, untouched};
use super::{Accuracy, Buffer, Mismatch, Setting, Size, Work};
use crate::gemm::{Algorithm, Gemm, Start, Strided};
use crate::simd::Isa;
use crate::unary::Bound;

/// A product of a layer with weights W `[out][in]` on a feature-major tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// z ← W·x + b
    Forward,
    /// dx ← Wᵀ·dz
    InputGradient,
    /// dW ← dW + dz·xᵀ, with x row-major
    WeightGradient,
}

impl Product {
    /// All three.
    pub const ALL: [Product; 3] =
        [Product::Forward, Product::InputGradient, Product::WeightGradient];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Product::Forward => "forward",
            Product::InputGradient => "input_gradient",
            Product::WeightGradient => "weight_gradient",
        }
    }

    /// The layer whose product has these m, n and k.
    pub fn layer(self, m: usize, n: usize, k: usize) -> Size {
        match self {
            Product::Forward => Size::Layer { inputs: k, outputs: m, rows: n },
            Product::InputGradient => Size::Layer { inputs: m, outputs: k, rows: n },
            Product::WeightGradient => Size::Layer { inputs: n, outputs: m, rows: k },
        }
    }

    /// m, n and k of a layer's product.
    fn shape(self, inputs: usize, outputs: usize, rows: usize) -> [usize; 3] {
        match self {
            Product::Forward => [outputs, rows, inputs],
            Product::InputGradient => [inputs, rows, outputs],
            Product::WeightGradient => [outputs, inputs, rows],
        }
    }
}

/// Layers that products are timed on: inputs, outputs, rows of the tile.
const LAYERS: [(usize, usize, usize); 8] = [
    (24, 8, 200),
    (13, 64, 32),
    (64, 64, 256),
    (54, 256, 128),
    (65, 33, 129),
    (784, 128, 128),
    (128, 10, 128),
    (1024, 1024, 512),
];

pub(super) fn sizes(algorithm: Option<Algorithm>) -> Vec<Size> {
    // The naive one takes seconds for what the others are made for.
    let most = if algorithm == Some(Algorithm::Naive) { 1 << 21 } else { usize::MAX };
    LAYERS
        .into_iter()
        .filter(|(inputs, outputs, rows)| inputs * outputs * rows <= most)
        .map(|(inputs, outputs, rows)| Size::Layer { inputs, outputs, rows })
        .collect()
}

/// Multiply-adds of the oracle, at the most: beyond, some elements stand for
/// all of them.
const ORACLE: usize = 1 << 22;

pub(super) struct Layer {
    product: Product,
    algorithm: Algorithm,
    isa: Isa,
    shape: [usize; 3],
    a: Buffer,
    b: Buffer,
    b_stride: usize,
    before: Vec<f32>,
    c: Buffer,
    c_stride: usize,
    bias: Buffer,
    /// Which [`Start`].
    start: usize,
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
        let shape @ [m, n, k] = product.shape(inputs, outputs, rows);
        // Magnitudes of at most 1: the bound counts on it.
        let allowed = |x: f32| x.abs() <= 1.0 || !x.is_finite();
        let numbers = |seed, n| setting.numbers(seed, n, |x| x, allowed);
        let (b_stride, c_stride) = (n + setting.gap(2), n + setting.gap(3));
        let before = spread(&numbers(4, m * n), n, c_stride);
        Layer {
            product,
            algorithm,
            isa,
            shape,
            a: Buffer::new(setting, &numbers(1, m * k)),
            b: Buffer::new(setting, &spread(&numbers(2, k * n), n, b_stride)),
            b_stride,
            c: Buffer::new(setting, &before),
            before,
            c_stride,
            bias: Buffer::new(setting, &numbers(3, m)),
            // What a layer uses comes first.
            start: match product {
                Product::Forward => setting.variant,
                Product::InputGradient => setting.variant + 1,
                Product::WeightGradient => setting.variant + 2,
            } % 3,
        }
    }

    /// Steps between A's rows and columns: the input gradient reads Wᵀ.
    fn strides(&self) -> (usize, usize) {
        let [m, _, k] = self.shape;
        if self.product == Product::InputGradient { (1, m) } else { (k, 1) }
    }

    /// What element (i, j) starts with.
    fn first(&self, i: usize, j: usize) -> f32 {
        match self.start {
            0 => self.bias.slice()[i],
            1 => 0.0,
            _ => self.before[i * self.c_stride + j],
        }
    }
}

impl Work for Layer {
    fn run(&mut self) {
        let [m, n, k] = self.shape;
        let (row_stride, column_stride) = self.strides();
        Gemm {
            m,
            n,
            k,
            a: Strided { data: self.a.slice(), row_stride, column_stride },
            b: self.b.slice(),
            b_stride: self.b_stride,
            c: self.c.slice_mut(),
            c_stride: self.c_stride,
            start: match self.start {
                0 => Start::Bias(self.bias.slice()),
                1 => Start::Zero,
                _ => Start::C,
            },
        }
        .run(self.algorithm, self.isa);
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.c.slice_mut().copy_from_slice(&self.before);
        self.run();
        Mismatch::unless_intact(&[&self.a, &self.b, &self.c, &self.bias])?;
        let [m, n, k] = self.shape;
        let (row_stride, column_stride) = self.strides();
        let (a, b, c) = (self.a.slice(), self.b.slice(), self.c.slice());
        // Elements are at most 1, so that sums are at most k; each of k
        // roundings is at most 2⁻²⁴ of the running sum.
        let bound = Bound::ulp_or(0.0, (k as f64 + 2.0) * f64::from(f32::EPSILON));
        let mut accuracy = Accuracy::default();
        // A step that is no multiple of the row's length meets every column.
        let mut step = (m * n * k).div_ceil(ORACLE).max(1);
        if step > 1 && n.is_multiple_of(step) {
            step += 1;
        }
        for at in (0..m * n).step_by(step) {
            let (i, j) = (at / n, at % n);
            let terms = (0..k).map(|l| {
                let a = a[i * row_stride + l * column_stride];
                f64::from(a) * f64::from(b[l * self.b_stride + j])
            });
            let exact = f64::from(self.first(i, j)) + terms.sum::<f64>();
            let what = || format!("element ({i}, {j}) of {m}x{n}x{k}");
            accuracy.add(c[i * self.c_stride + j], exact, bound, what)?;
        }
        let gaps = c.iter().enumerate().filter(|(at, _)| at % self.c_stride >= n);
        for (at, &x) in gaps {
            Mismatch::unless(untouched(x), || {
                format!("wrote between rows of C, at {at} of {m}x{n}x{k}")
            })?;
        }
        Ok(accuracy)
    }
}
