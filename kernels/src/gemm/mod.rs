//! The three matrix products of a dense layer.
//!
//! All of them are one operation, C ← A·B (+ bias, or + C), and a rectifier or
//! a [`Slope`] on the way to C, where one follows. With W `[out, in]`
//! as PyTorch has it, and tiles as [`Tile`] says:
//!
//! | product | C | A | B |
//! | --- | --- | --- | --- |
//! | forward | z, a tile | W | x, a tile |
//! | input gradient | dx, a tile | Wᵀ, by strides | dz, a tile |
//! | weight gradient | dW `[out, in]` | dz, a tile | x: rows, or rows in panels, or a tile |
//!
//! so that no weights are transposed for good. Every algorithm of [`Algorithm`]
//! computes the same, for the operands that it [takes](Algorithm::takes); the
//! plan chooses by shape.

mod carried;
mod dots;
mod foreign;
mod lone;
mod naive;
mod piece;
mod rows;
mod short;
mod source;
mod strip;
mod tiled;

pub(crate) use lone::{CHAINS, in_chains};
pub use tiled::PART;
pub(crate) use tiled::vectors;

pub use piece::Piece;

use crate::layout::{Picked, Tile};
use crate::optim::{Optimizer, Rule};
use crate::simd::{Isa, Op, Simd};
use crate::unary::{Sigmoid, Tanh, Unary, UnaryOp};
use std::ops::Range;

/// The left factor A `[m][k]`, of which a kernel reads single numbers.
#[derive(Debug, Clone, Copy)]
pub enum Left<'a> {
    /// By strides.
    Strided {
        /// Its elements.
        data: &'a [f32],
        /// From one row to the next.
        row_stride: usize,
        /// From one column to the next.
        column_stride: usize,
    },
    /// m features of a tile: its lanes are the columns, k at most its width.
    Tile {
        /// The whole tile's elements.
        data: &'a [f32],
        /// Its shape.
        tile: Tile,
        /// Its features.
        features: usize,
        /// The first of the m.
        first: usize,
    },
}

/// The right factor B `[k][n]`.
#[derive(Debug, Clone, Copy)]
pub enum Right<'a> {
    /// Rows that lie `stride` apart.
    Rows {
        /// Its elements.
        data: &'a [f32],
        /// From one row to the next, at least n.
        stride: usize,
    },
    /// Columns in panels of so many, each `[k][columns of the panel]`; for a
    /// tile, its lanes.
    Panels {
        /// Its elements.
        data: &'a [f32],
        /// Columns of a panel; the last one has what is left.
        panel: usize,
    },
    /// The same in blocks of rows, where A is a tile: a block for every panel of
    /// its lanes, all of which are whole.
    Blocks {
        /// Its elements.
        data: &'a [f32],
        /// Columns of a panel; the last one has what is left.
        panel: usize,
        /// Rows of a block: lanes of a panel of A.
        rows: usize,
        /// From one block to the next.
        apart: usize,
    },
    /// Bᵀ is n features of a tile: its lanes are the rows of B, k at most its
    /// width.
    Tile {
        /// The whole tile's elements.
        data: &'a [f32],
        /// Its shape.
        tile: Tile,
        /// Its features.
        features: usize,
        /// The first of the n.
        first: usize,
    },
    /// Rows of a matrix in any order, k of them or more, of n columns or more.
    Picked(Picked<'a>),
    /// Bᵀ is such rows, at most n of them, of k columns or more, and zeros behind them.
    PickedColumns(Picked<'a>),
}

/// How C `[m][n]` lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Rows that lie so far apart, at least n.
    Rows(usize),
    /// Columns in panels of so many, as in [`Right::Panels`].
    Panels(usize),
}

/// A matrix product C ← A·B + start: shapes `[m][k]`, `[k][n]`, `[m][n]`.
#[derive(Debug)]
pub struct Gemm<'a> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// A.
    pub a: Left<'a>,
    /// B.
    pub b: Right<'a>,
    /// C.
    pub c: &'a mut [f32],
    /// How C lies.
    pub layout: Layout,
    /// What the product is added to.
    pub start: Start<'a>,
    /// What becomes of a sum before it is written.
    pub end: End<'a>,
    /// What will be read next: a kernel may ask for it to be brought near while
    /// it computes.
    pub ahead: &'a [f32],
}

/// What a product is added to.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// Nothing.
    Zero,
    /// C as it is.
    C,
    /// A number a row of C.
    Bias(&'a [f32]),
    /// A number a column of C.
    BiasOfColumns(&'a [f32]),
}

/// What becomes of a sum before it is written. A rectifier of so much `leak` is
/// x for x > 0, else leak·x: see [`Unary::leak`].
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// Nothing.
    Sum,
    /// A rectifier is applied to it.
    Rectifier {
        /// Its slope left of 0.
        leak: f32,
    },
    /// It is multiplied by an activation's slope.
    Slope {
        /// How it is computed.
        slope: Slope,
        /// What from, which lies as C does.
        y: &'a [f32],
    },
}

/// A slope that takes few operations: what it is of y, most often a value of the
/// activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slope {
    /// y itself: a slope that was kept.
    Kept,
    /// 1 where y > 0, else `leak`.
    Rectifier {
        /// A rectifier's slope left of 0.
        leak: f32,
    },
    /// 1 − y² of y = tanh x
    Tanh,
    /// y·(1 − y) of y = 1/(1 + e^−x)
    Sigmoid,
}

impl Slope {
    /// The slope of an activation that products can multiply by; `kept` where
    /// the slope itself was kept.
    pub fn of(f: Unary, kept: bool) -> Option<Slope> {
        match (kept, f) {
            (true, _) => Some(Slope::Kept),
            (_, Unary::Tanh) => Some(Slope::Tanh),
            (_, Unary::Sigmoid) => Some(Slope::Sigmoid),
            (_, f) => f.leak().map(|leak| Slope::Rectifier { leak }),
        }
    }

    /// The slope at y.
    #[inline(always)]
    fn at<S: Simd>(self, s: S, y: S::V) -> S::V {
        match self {
            Slope::Kept => y,
            Slope::Rectifier { leak } => {
                s.select(s.lt(s.splat(0.0), y), s.splat(1.0), s.splat(leak))
            }
            Slope::Tanh => Tanh::slope(s, y),
            Slope::Sigmoid => Sigmoid::slope(s, y),
        }
    }
}

/// Who computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Three loops in f64: the oracle.
    Naive,
    /// Register tiles: one number of A times vectors of B's row.
    Tiled,
    /// Scalar products of two tiles' features, a vector of lanes at a time:
    /// for weight gradients, without a row-major copy of x.
    Dots,
    /// Rows of a matrix as they lie, wherever each of them is: for a first layer of few
    /// outputs, which then needs no tile of its inputs.
    Rows,
    /// The matrixmultiply crate: packs its operands (and allocates the
    /// packing buffer at every call).
    Matrixmultiply,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 5] = [
        Algorithm::Naive,
        Algorithm::Tiled,
        Algorithm::Dots,
        Algorithm::Rows,
        Algorithm::Matrixmultiply,
    ];

    /// Its name in plans and benchmarks.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Naive => "naive",
            Algorithm::Tiled => "tiled",
            Algorithm::Dots => "dots",
            Algorithm::Rows => "rows",
            Algorithm::Matrixmultiply => "matrixmultiply",
        }
    }

    /// Whether it takes operands that lie so.
    pub fn takes(self, gemm: &Gemm<'_>) -> bool {
        match self {
            Algorithm::Naive => true,
            Algorithm::Dots | Algorithm::Matrixmultiply if !matches!(gemm.end, End::Sum) => false,
            Algorithm::Tiled => match (gemm.a, gemm.b) {
                (_, Right::Tile { .. } | Right::Picked(_) | Right::PickedColumns(_)) => false,
                (Left::Tile { tile, .. }, Right::Blocks { rows, .. }) => {
                    tile.panel == rows && gemm.k.is_multiple_of(rows)
                }
                (Left::Strided { .. }, Right::Blocks { .. }) => false,
                _ => true,
            },
            // Lanes of both must come in the same panels.
            Algorithm::Dots => match (gemm.a, gemm.b, gemm.layout, gemm.start) {
                (
                    Left::Tile { tile, .. },
                    Right::Tile { tile: of_b, .. },
                    Layout::Rows(_),
                    start,
                ) => tile == of_b && matches!(start, Start::Zero | Start::C),
                _ => false,
            },
            Algorithm::Rows => rows::takes(gemm),
            Algorithm::Matrixmultiply => gemm.in_one_piece(),
        }
    }
}

impl<'a> Gemm<'a> {
    /// z ← W·x (+ bias): tiles x of `inputs` and z of `outputs` features.
    #[inline]
    pub fn forward(
        tile: Tile,
        [outputs, inputs]: [usize; 2],
        weights: &'a [f32],
        bias: Option<&'a [f32]>,
        x: &'a [f32],
        z: &'a mut [f32],
    ) -> Self {
        Gemm {
            m: outputs,
            n: tile.width,
            k: inputs,
            a: Left::Strided { data: weights, row_stride: inputs, column_stride: 1 },
            b: Right::Panels { data: x, panel: tile.panel },
            c: z,
            layout: Layout::Panels(tile.panel),
            start: bias.map_or(Start::Zero, Start::Bias),
            end: End::Sum,
            ahead: &[],
        }
    }

    /// dx ← Wᵀ·dz: tiles dz of `outputs` and dx of `inputs` features.
    #[inline]
    pub fn input_gradient(
        tile: Tile,
        [outputs, inputs]: [usize; 2],
        weights: &'a [f32],
        dz: &'a [f32],
        dx: &'a mut [f32],
    ) -> Self {
        Gemm {
            m: inputs,
            n: tile.width,
            k: outputs,
            a: Left::Strided { data: weights, row_stride: 1, column_stride: inputs },
            b: Right::Panels { data: dz, panel: tile.panel },
            c: dx,
            layout: Layout::Panels(tile.panel),
            start: Start::Zero,
            end: End::Sum,
            ahead: &[],
        }
    }

    /// dW ← dz·xᵀ, or dW + dz·xᵀ: a tile dz of `outputs` features, 0 in padding
    /// lanes, and x, a row of B a lane; of picked rows none but for padding.
    #[inline]
    pub fn weight_gradient(
        tile: Tile,
        [outputs, inputs]: [usize; 2],
        dz: &'a [f32],
        x: Right<'a>,
        gradient: &'a mut [f32],
        accumulate: bool,
    ) -> Self {
        Gemm {
            m: outputs,
            n: inputs,
            k: match x {
                Right::Picked(rows) => rows.count(),
                _ => tile.width,
            },
            a: Left::Tile { data: dz, tile, features: outputs, first: 0 },
            b: x,
            c: gradient,
            layout: Layout::Rows(inputs),
            start: if accumulate { Start::C } else { Start::Zero },
            end: End::Sum,
            ahead: &[],
        }
    }

    /// Leaves a few of the outputs: rows `outputs` of dW, which is what C holds.
    #[inline]
    pub fn leave_rows(&mut self, outputs: Range<usize>) -> &mut Self {
        self.m = outputs.len();
        self.a = match self.a {
            Left::Strided { data, row_stride, column_stride } => Left::Strided {
                data: data.get(outputs.start * row_stride..).unwrap_or(&[]),
                row_stride,
                column_stride,
            },
            Left::Tile { data, tile, features, first } => {
                Left::Tile { data, tile, features, first: first + outputs.start }
            }
        };
        self
    }

    /// Floating-point operations.
    pub fn flops(&self) -> f64 {
        2.0 * self.m as f64 * self.n as f64 * self.k as f64
    }

    /// Computes the product.
    ///
    /// # Panics
    /// Where a slice is too short for its shape, a stride for its row, or the
    /// algorithm does not [take](Algorithm::takes) the operands.
    #[inline]
    pub fn run(&mut self, algorithm: Algorithm, isa: Isa) {
        self.check();
        assert!(algorithm.takes(self), "{} does not take such operands", algorithm.name());
        if self.m == 0 || self.n == 0 {
            return;
        }
        match algorithm {
            Algorithm::Naive => naive::run(self),
            Algorithm::Tiled => {
                let c = self.c.as_mut_ptr();
                if lone::takes(self) {
                    return isa.run(lone::Lone { gemm: self, c });
                }
                isa.run(tiled::Tiled { gemm: self, c, rows_of_c: self.m, first: 0 });
            }
            Algorithm::Dots => isa.run(dots::Dots(self)),
            Algorithm::Rows if matches!(self.b, Right::Picked(_)) => {
                isa.run(rows::WeightGradient(self))
            }
            Algorithm::Rows => isa.run(rows::Forward(self)),
            Algorithm::Matrixmultiply => foreign::run(self),
        }
    }

    /// Computes the product, which is the gradient of parameters that lie as C does, and
    /// updates these meanwhile, where that is faster than afterwards. Returns whether it
    /// has; the results are the same bits as of [`Gemm::run`] and [`Rule::update`].
    ///
    /// # Panics
    /// As [`Gemm::run`] and [`Rule::update`], and where rows of C lie apart.
    pub fn run_carrying(
        &mut self,
        algorithm: Algorithm,
        isa: Isa,
        rule: &Rule,
        parameters: &mut [f32],
        state: [&mut [f32]; 2],
    ) -> bool {
        let (m, n) = (self.m, self.n);
        assert_eq!(self.layout, Layout::Rows(n), "rows that lie apart");
        assert_eq!(parameters.len(), m * n, "parameters of another product");
        if algorithm == Algorithm::Tiled && carried::takes(self, isa) {
            self.check();
            let tiles = carried::Tiles { c: self.c.as_mut_ptr(), gemm: self, isa };
            if rule.carry_waiting(parameters, state, tiles) {
                return true;
            }
        }
        self.run(algorithm, isa);
        false
    }

    /// Whether A, B and C are matrices with two strides each.
    fn in_one_piece(&self) -> bool {
        let left = match self.a {
            Left::Strided { .. } => true,
            Left::Tile { tile, .. } => tile.panel >= tile.width,
        };
        let right = match self.b {
            Right::Rows { .. } => true,
            Right::Panels { panel, .. } => panel >= self.n,
            Right::Blocks { .. } | Right::Picked(_) | Right::PickedColumns(_) => false,
            Right::Tile { tile, .. } => tile.panel >= tile.width,
        };
        let result = match self.layout {
            Layout::Rows(_) => true,
            Layout::Panels(panel) => panel >= self.n,
        };
        left && right && result
    }

    /// What the unsafe kernels rely on: every element that a shape and its
    /// layout name lies within its slice, no panel is empty, and no row is
    /// longer than its stride.
    fn check(&self) {
        let (m, n, k) = (self.m, self.n, self.k);
        let product = |x: usize, y: usize| x.checked_mul(y).expect("a shape within memory");
        let spans = |rows: usize, row_stride: usize, columns: usize, column_stride: usize| {
            if rows == 0 || columns == 0 {
                return 0;
            }
            let last = (product(rows - 1, row_stride), product(columns - 1, column_stride));
            last.0
                .checked_add(last.1)
                .and_then(|x| x.checked_add(1))
                .expect("a shape within memory")
        };
        let tile = |data: &[f32], tile: Tile, features: usize| {
            assert!(k <= tile.width, "more rows than the tile has lanes");
            assert!(tile.panel > 0, "an empty panel");
            data.len() >= product(tile.width, features)
        };
        let left = match self.a {
            Left::Strided { data, row_stride, column_stride } => {
                data.len() >= spans(m, row_stride, k, column_stride)
            }
            Left::Tile { data, tile: t, features, first } => {
                first.checked_add(m).is_some_and(|end| end <= features) && tile(data, t, features)
            }
        };
        assert!(left, "A is short");
        let right = match self.b {
            Right::Rows { data, stride } => {
                assert!(stride >= n, "a row longer than its stride");
                data.len() >= spans(k, stride, n, 1)
            }
            Right::Panels { data, panel } => {
                assert!(panel > 0, "an empty panel");
                data.len() >= product(k, n)
            }
            Right::Blocks { data, panel, rows, apart } => {
                assert!(panel > 0, "an empty panel");
                assert!(rows > 0 && k.is_multiple_of(rows), "a block that is not whole");
                let last = product((k / rows).saturating_sub(1), apart);
                last.checked_add(product(rows, n)).is_some_and(|end| end <= data.len())
            }
            Right::Tile { data, tile: t, features, first } => {
                first.checked_add(n).is_some_and(|end| end <= features) && tile(data, t, features)
            }
            Right::Picked(rows) => rows.count() >= k && rows.columns() >= n,
            Right::PickedColumns(rows) => {
                assert!(rows.count() <= n, "more rows than columns of B");
                rows.columns() >= k
            }
        };
        assert!(right, "B is short");
        let result = match self.layout {
            Layout::Rows(stride) => {
                assert!(stride >= n, "a row longer than its stride");
                spans(m, stride, n, 1)
            }
            Layout::Panels(panel) => {
                assert!(panel > 0, "an empty panel");
                product(m, n)
            }
        };
        assert!(self.c.len() >= result, "C is short");
        if let End::Slope { y, .. } = self.end {
            assert!(y.len() >= result, "what the slope is of is short");
        }
        let bias = match self.start {
            Start::Zero | Start::C => true,
            Start::Bias(bias) => bias.len() >= m,
            Start::BiasOfColumns(bias) => bias.len() >= n,
        };
        assert!(bias, "the bias is short");
    }
}

/// Columns of a panel that a register tile takes under an instruction set:
/// the panels with which [`Algorithm::Tiled`] and [`Algorithm::Dots`] are
/// fastest.
pub fn panel(isa: Isa) -> usize {
    struct Columns;
    impl Op for Columns {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            tiled::vectors(S::REGISTERS) * S::LANES
        }
    }
    isa.run(Columns)
}

/// Whether a weight gradient over so many rows may update the weights meanwhile, see
/// [`Gemm::run_carrying`]: if each of the layer's outputs has so many inputs.
pub fn carries(isa: Isa, optimizer: &Optimizer, inputs: usize, rows: usize) -> bool {
    carried::has_registers(isa)
        && optimizer.is_carried()
        && inputs >= panel(isa)
        && (1..=PART).contains(&rows)
}

/// A right factor that has rows.
#[derive(Clone, Copy)]
struct InRows<'a> {
    data: &'a [f32],
    /// How a block of its rows lies.
    layout: Layout,
    /// Rows of a block, and from one block to the next, where there are several.
    rows: usize,
    apart: Option<usize>,
}

impl<'a> Right<'a> {
    /// How its k rows lie; a tile and picked rows have none that lie together.
    #[inline(always)]
    fn in_rows(self, k: usize) -> Option<InRows<'a>> {
        let (data, layout, rows, apart) = match self {
            Right::Rows { data, stride } => (data, Layout::Rows(stride), k, None),
            Right::Panels { data, panel } => (data, Layout::Panels(panel), k, None),
            Right::Blocks { data, panel, rows, apart } => {
                (data, Layout::Panels(panel), rows, Some(apart))
            }
            Right::Tile { .. } | Right::Picked(_) | Right::PickedColumns(_) => return None,
        };
        Some(InRows { data, layout, rows, apart })
    }
}

/// Where the columns that lie with a column of `n` end: its panel's border, or n.
#[inline(always)]
fn border(layout: Layout, n: usize, column: usize) -> usize {
    match layout {
        Layout::Rows(_) => n,
        Layout::Panels(panel) => n.min(column - column % panel + panel),
    }
}

/// Where a column lies in a matrix of so many rows and `n` columns: the place
/// of its element in row 0, and from there to the next row's.
#[inline(always)]
fn column(layout: Layout, rows: usize, n: usize, column: usize) -> (usize, usize) {
    match layout {
        Layout::Rows(stride) => (column, stride),
        Layout::Panels(panel) => {
            let first = column - column % panel;
            (first * rows + column - first, panel.min(n - first))
        }
    }
}
