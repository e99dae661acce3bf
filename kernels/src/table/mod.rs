//! The kernel table: one row for every operation under every instruction set
//! and, for products, by every algorithm.
//!
//! The rows follow from the lists of the vocabularies ([`Unary::ALL`],
//! [`LossKind::ALL`], [`OptimizerKind::ALL`], [`Algorithm::ALL`],
//! [`Isa::ALL`]): a new activation has its rows here by being in its own
//! list. A row can make inputs of a given [`Size`], run once, and check the
//! result against its f64 oracle within its bound. The conformance test, the
//! benches and `mlpc bench --kernels` are loops over [`rows`]:
//!
//! ```
//! use mlpc_kernels::simd::Isa;
//! use mlpc_kernels::table::{Setting, rows};
//!
//! for row in rows().iter().filter(|row| row.isa == Some(Isa::Portable)) {
//!     for size in row.quick_sizes() {
//!         let accuracy = row.work(size, Setting::default()).check()?;
//!         assert!(accuracy.share <= 1.0, "{}: within its bound", row.name());
//!     }
//! }
//! # Ok::<(), mlpc_kernels::table::Mismatch>(())
//! ```
//!
//! Nothing here reads a clock: who times a row calls [`Work::run`] in a loop,
//! with [`Work::restore`] between the runs of what overwrites its input.

mod accuracy;
mod elementwise;
mod gathers;
mod inputs;
mod layouts;
mod losses;
mod networks;
mod optimizers;
mod products;

pub use accuracy::{Accuracy, Mismatch, ulps};
pub use inputs::{Buffer, Data, Placement, SPECIAL, Setting, noise};
pub use layouts::Move;
pub use networks::{Network, oracle};
pub use products::Product;

use crate::gemm::Algorithm;
use crate::loss::{LossKind, Target};
use crate::optim::OptimizerKind;
use crate::simd::Isa;
use crate::unary::Unary;
use std::fmt;

/// An operation of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// x ← f(x): [`Unary::apply`].
    Value(Unary),
    /// y ← f(x), x ← f′(x): [`Unary::apply_keeping_slope`].
    ValueAndSlope(Unary),
    /// dz ← dz·f′: [`Unary::multiply_slope`].
    Slope(Unary),
    /// dz ← dz·slope, for a slope that was kept: [`crate::unary::multiply`].
    Multiply,
    /// An elementwise loss and its gradient: [`crate::loss::Loss::gradient`].
    Loss(LossKind),
    /// [`crate::loss::sigmoid_bce`], of logits.
    SigmoidBce,
    /// [`crate::loss::softmax`]
    Softmax,
    /// [`crate::loss::softmax_backward`]
    SoftmaxSlope,
    /// [`crate::loss::cross_entropy`], of probabilities.
    CrossEntropy,
    /// [`crate::loss::softmax_cross_entropy`], of logits.
    SoftmaxCrossEntropy,
    /// One step: [`crate::optim::Rule::update`].
    Update(OptimizerKind),
    /// A product of a layer: [`crate::gemm::Gemm::run`].
    Product(Product),
    /// Rows to a tile and back, and what weight gradients read.
    Move(Move),
    /// [`crate::layout::sum_features`]
    SumFeatures,
    /// A whole network in one call.
    Network(Network),
    /// Rows of a table into a tile: [`crate::gather::gather`].
    Gather,
    /// Rows onto those of a table: [`crate::gather::scatter`].
    Scatter,
}

impl Operation {
    /// All of them, from the lists of the vocabularies.
    pub fn all() -> Vec<Operation> {
        let mut all = Vec::new();
        for &unary in Unary::ALL {
            all.push(Operation::Value(unary));
            all.push(Operation::ValueAndSlope(unary));
            all.push(Operation::Slope(unary));
        }
        all.push(Operation::Multiply);
        for &kind in LossKind::ALL {
            match kind.target() {
                Target::Class => all.extend([
                    Operation::Softmax,
                    Operation::SoftmaxSlope,
                    Operation::CrossEntropy,
                    Operation::SoftmaxCrossEntropy,
                ]),
                Target::Number => all.push(Operation::Loss(kind)),
                Target::Probability => all.extend([Operation::Loss(kind), Operation::SigmoidBce]),
            }
        }
        all.extend(OptimizerKind::ALL.iter().map(|&kind| Operation::Update(kind)));
        all.extend(Product::ALL.map(Operation::Product));
        all.extend(Move::ALL.map(Operation::Move));
        all.extend([Operation::SumFeatures, Operation::Gather, Operation::Scatter]);
        all.extend(Network::ALL.map(Operation::Network));
        all
    }

    /// Its name in the table, such as `tanh_slope`.
    pub fn name(self) -> String {
        match self {
            Operation::Value(unary) => unary.name().to_owned(),
            Operation::ValueAndSlope(unary) => format!("{}_keeping_slope", unary.name()),
            Operation::Slope(unary) => format!("{}_slope", unary.name()),
            Operation::Multiply => "multiply".to_owned(),
            Operation::Loss(kind) => kind.name().to_owned(),
            Operation::SigmoidBce => "bce_sigmoid".to_owned(),
            Operation::Softmax => "softmax".to_owned(),
            Operation::SoftmaxSlope => "softmax_slope".to_owned(),
            Operation::CrossEntropy => "cross_entropy".to_owned(),
            Operation::SoftmaxCrossEntropy => "cross_entropy_softmax".to_owned(),
            Operation::Update(kind) => kind.name().to_owned(),
            Operation::Product(product) => product.name().to_owned(),
            Operation::Move(of) => of.name().to_owned(),
            Operation::SumFeatures => "sum_features".to_owned(),
            Operation::Network(of) => of.name().to_owned(),
            Operation::Gather => "gather".to_owned(),
            Operation::Scatter => "scatter".to_owned(),
        }
    }

    /// Who computes it: instruction sets and algorithms. Without an
    /// instruction set it is plain code, or chooses for itself.
    fn variants(self) -> Vec<(Option<Isa>, Option<Algorithm>)> {
        let every = |algorithm| Isa::ALL.map(|isa| (Some(isa), algorithm)).to_vec();
        match self {
            Operation::SoftmaxSlope | Operation::CrossEntropy => vec![(None, None)],
            Operation::Product(product) => {
                let of = |algorithm: Algorithm| match algorithm {
                    algorithm if !product.has(algorithm) => Vec::new(),
                    Algorithm::Naive | Algorithm::Matrixmultiply => vec![(None, Some(algorithm))],
                    _ => every(Some(algorithm)),
                };
                Algorithm::ALL.into_iter().flat_map(of).collect()
            }
            _ => every(None),
        }
    }

    /// Whether its rows are counted in multiply-adds; else in elements.
    fn is_product(self) -> bool {
        matches!(self, Operation::Product(_))
    }
}

/// Every row, operation by operation, the instruction sets that this CPU
/// lacks included: see [`Row::available`].
pub fn rows() -> Vec<Row> {
    let of = |operation: Operation| {
        let row = move |(isa, algorithm)| Row { operation, isa, algorithm };
        operation.variants().into_iter().map(row)
    };
    Operation::all().into_iter().flat_map(of).collect()
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// What is computed.
    pub operation: Operation,
    /// With which instruction set; none where the code is plain or detects
    /// the CPU itself.
    pub isa: Option<Isa>,
    /// How, where there is a choice.
    pub algorithm: Option<Algorithm>,
}

impl Row {
    /// `operation.isa`, or `operation.isa.algorithm`: `tanh.avx2`,
    /// `forward.avx2.tiled`, `forward.any.matrixmultiply`. No two rows share
    /// one.
    pub fn name(&self) -> String {
        let isa = self.isa.map_or("any", Isa::name);
        let name = format!("{}.{isa}", self.operation.name());
        match self.algorithm {
            Some(algorithm) => format!("{name}.{}", algorithm.name()),
            None => name,
        }
    }

    /// Whether this CPU can run it.
    pub fn available(&self) -> bool {
        self.isa.is_none_or(Isa::available)
    }

    /// The instruction set that its kernels are called with.
    fn with(&self) -> Isa {
        self.isa.unwrap_or_else(Isa::best)
    }

    /// Lanes of its vectors.
    pub fn lanes(&self) -> usize {
        self.with().lanes()
    }

    /// How its speed is told.
    pub fn unit(&self) -> Unit {
        if self.operation.is_product() { Unit::Gflops } else { Unit::NsPerElement }
    }

    /// Sets of hyperparameters that it is checked with: see
    /// [`Setting::variant`].
    pub fn variants(&self) -> usize {
        match self.operation {
            Operation::Loss(_)
            | Operation::SigmoidBce
            | Operation::CrossEntropy
            | Operation::SoftmaxCrossEntropy
            | Operation::Move(_)
            | Operation::SumFeatures
            | Operation::Gather => 2,
            Operation::Product(Product::InputGradient) => 1,
            Operation::Product(Product::WeightGradient | Product::WeightGradientAdam)
            | Operation::Update(_)
            | Operation::Network(_) => 3,
            Operation::Product(_) => 2,
            _ => 1,
        }
    }

    /// The sizes that it is timed at.
    pub fn sizes(&self) -> Vec<Size> {
        match self.operation {
            Operation::Value(_)
            | Operation::ValueAndSlope(_)
            | Operation::Slope(_)
            | Operation::Multiply => vec![Size::Elements(4096)],
            Operation::Update(_) => vec![Size::Elements(16_384)],
            Operation::Product(product) => products::sizes(product, self.algorithm),
            Operation::Network(of) => of.sizes(),
            Operation::Move(_) | Operation::Gather | Operation::Scatter => {
                vec![Size::Tile { features: 64, width: 256, rows: 256, panel: 16 }]
            }
            _ => vec![Size::Tile { features: 10, width: 256, rows: 256, panel: 256 }],
        }
    }

    /// Few sizes with whole vectors and tails, for a check that takes no time.
    pub fn quick_sizes(&self) -> Vec<Size> {
        let lanes = self.lanes();
        [1, lanes, 2 * lanes + 1, 4 * lanes + 1]
            .into_iter()
            .flat_map(|n| self.edge_sizes(n))
            .collect()
    }

    /// Sizes around a length of `n`: elements, rows of a tile (without and
    /// with padding), a side of a layer.
    pub fn edge_sizes(&self, n: usize) -> Vec<Size> {
        match self.operation {
            Operation::Value(_)
            | Operation::ValueAndSlope(_)
            | Operation::Slope(_)
            | Operation::Multiply
            | Operation::Update(_) => vec![Size::Elements(n)],
            Operation::Network(of) => of.edge_sizes(n),
            Operation::Product(_) => vec![
                Size::Layer { inputs: n, outputs: 5, rows: 17 },
                Size::Layer { inputs: 3, outputs: n, rows: 33 },
                Size::Layer { inputs: 10, outputs: 7, rows: n },
            ],
            _ => {
                // Padded to whole vectors; without padding; in panels that
                // are not all of one width.
                let features = match self.operation {
                    // Blocks of 8 features, and what is beside them.
                    Operation::Move(_) => 1 + n % 19,
                    // Those of one transposition, and of two.
                    Operation::Gather | Operation::Scatter => 1 + n * 23 % 90,
                    _ => 1 + n % 9,
                };
                let padded = (n + 1).next_multiple_of(16);
                let mut shapes = vec![(padded, padded), (padded, 24)];
                if n > 0 {
                    shapes.extend([(n, n), (n, 16)]);
                }
                shapes
                    .into_iter()
                    .map(|(width, panel)| Size::Tile { features, width, rows: n, panel })
                    .collect()
            }
        }
    }

    /// Elements of a run, of a network rows, or floating-point operations (a
    /// multiply-add is two), as [`Row::unit`] counts.
    ///
    /// # Panics
    /// Where the size is of another kind of operation.
    pub fn amount(&self, size: Size) -> f64 {
        match size {
            Size::Elements(n) => n as f64,
            Size::Tile { features, rows, .. } => (features * rows) as f64,
            Size::Layer { inputs, outputs, rows } => 2.0 * (inputs * outputs * rows) as f64,
            Size::Network { rows, .. } => rows as f64,
        }
    }

    /// Inputs of a size, ready to run.
    ///
    /// # Panics
    /// Where the size is of another kind of operation, or the CPU lacks the
    /// instruction set, when run.
    pub fn work(&self, size: Size, setting: Setting) -> Box<dyn Work> {
        let isa = self.with();
        match (self.operation, size) {
            (Operation::Value(unary), Size::Elements(n)) => {
                Box::new(elementwise::Value::new(unary, isa, n, setting))
            }
            (Operation::ValueAndSlope(unary), Size::Elements(n)) => {
                Box::new(elementwise::ValueAndSlope::new(unary, isa, n, setting))
            }
            (Operation::Slope(unary), Size::Elements(n)) => {
                Box::new(elementwise::Slope::new(unary, isa, n, setting))
            }
            (Operation::Multiply, Size::Elements(n)) => {
                Box::new(elementwise::Multiply::new(isa, n, setting))
            }
            (Operation::Update(kind), Size::Elements(n)) => {
                Box::new(optimizers::Update::new(kind, isa, n, setting))
            }
            (Operation::Loss(kind), Size::Tile { .. }) => {
                Box::new(losses::Gradient::new(kind, false, isa, size, setting))
            }
            (Operation::SigmoidBce, Size::Tile { .. }) => {
                Box::new(losses::Gradient::new(LossKind::Bce, true, isa, size, setting))
            }
            (Operation::Softmax, Size::Tile { .. }) => {
                Box::new(losses::Rows::new(losses::OfRows::Softmax, isa, size, setting))
            }
            (Operation::SoftmaxSlope, Size::Tile { .. }) => {
                Box::new(losses::Rows::new(losses::OfRows::SoftmaxSlope, isa, size, setting))
            }
            (Operation::CrossEntropy, Size::Tile { .. }) => {
                Box::new(losses::Rows::new(losses::OfRows::CrossEntropy, isa, size, setting))
            }
            (Operation::SoftmaxCrossEntropy, Size::Tile { .. }) => {
                Box::new(losses::Rows::new(losses::OfRows::Fused, isa, size, setting))
            }
            (Operation::Product(product), Size::Layer { .. }) => {
                let algorithm = self.algorithm.expect("a product's row has an algorithm");
                Box::new(products::Layer::new(product, algorithm, isa, size, setting))
            }
            (Operation::Move(of), Size::Tile { .. }) => {
                Box::new(layouts::Moved::new(of, isa, size, setting))
            }
            (Operation::Network(of), Size::Network { .. }) => {
                Box::new(networks::OfNetwork::new(of, isa, size, setting))
            }
            (Operation::SumFeatures, Size::Tile { .. }) => {
                Box::new(layouts::SumFeatures::new(isa, size, setting))
            }
            (Operation::Gather, Size::Tile { .. }) => {
                Box::new(gathers::Gather::new(isa, size, setting))
            }
            (Operation::Scatter, Size::Tile { .. }) => {
                Box::new(gathers::Scatter::new(isa, size, setting))
            }
            (operation, size) => panic!("{} has no size {size}", operation.name()),
        }
    }
}

/// How big the inputs of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    /// So many elements.
    Elements(usize),
    /// A feature-major tile.
    Tile {
        /// Features.
        features: usize,
        /// Lanes of a feature.
        width: usize,
        /// Lanes that hold rows; the others are padding.
        rows: usize,
        /// Lanes of a panel: see [`crate::layout::Tile`].
        panel: usize,
    },
    /// A dense layer on a tile of so many rows.
    Layer {
        /// Features that go in.
        inputs: usize,
        /// Features that come out.
        outputs: usize,
        /// Rows of the tile.
        rows: usize,
    },
    /// A network with one hidden layer.
    Network {
        /// Features that go in.
        inputs: usize,
        /// Features of the hidden layer.
        hidden: usize,
        /// Features that come out.
        outputs: usize,
        /// Rows.
        rows: usize,
    },
}

impl fmt::Display for Size {
    /// `4096`, `10x256`, `784-128x32`: elements; features by rows (of so many
    /// lanes, in panels of so many); inputs-outputs by rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Size::Elements(n) => write!(f, "{n}"),
            Size::Tile { features, width, rows, panel } => {
                write!(f, "{features}x{rows}")?;
                if width != rows {
                    write!(f, "of{width}")?;
                }
                if panel < width { write!(f, "/{panel}") } else { Ok(()) }
            }
            Size::Layer { inputs, outputs, rows } => write!(f, "{inputs}-{outputs}x{rows}"),
            Size::Network { inputs, hidden, outputs, rows } => {
                write!(f, "{inputs}-{hidden}-{outputs}x{rows}")
            }
        }
    }
}

/// How the speed of a row is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds an element: less is better.
    NsPerElement,
    /// 10⁹ floating-point operations a second: more is better.
    Gflops,
}

impl Unit {
    /// Its name: `ns` or `gflops`.
    pub fn name(self) -> &'static str {
        match self {
            Unit::NsPerElement => "ns",
            Unit::Gflops => "gflops",
        }
    }

    /// The figure of a run that took so many nanoseconds for an amount of
    /// [`Row::amount`].
    pub fn figure(self, nanoseconds: f64, amount: f64) -> f64 {
        match self {
            Unit::NsPerElement => nanoseconds / amount,
            Unit::Gflops => amount / nanoseconds,
        }
    }
}

/// Inputs of a row, and what has become of them.
pub trait Work {
    /// Puts inputs that [`Work::run`] overwrites back; does nothing where it
    /// overwrites none.
    fn restore(&mut self) {}
    /// Whether [`Work::restore`] does something.
    fn restores(&self) -> bool {
        false
    }
    /// One call of the kernel.
    fn run(&mut self);
    /// Restores, runs, and compares with the oracle; canaries too.
    ///
    /// # Errors
    /// The first element that is beyond its bound, or was written and is no
    /// result.
    fn check(&mut self) -> Result<Accuracy, Mismatch>;
}
