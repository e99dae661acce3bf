//! The checked model: what the text means, with nothing left to doubt.

use crate::diag::Span;
use crate::inputs::{Category, Layout};
pub use mlpc_kernels::loss::{Loss, LossKind};
pub use mlpc_kernels::optim::{Optimizer, OptimizerKind};
pub use mlpc_kernels::unary::Unary;

/// A model as its text describes it. Its widths may still be `auto`: they
/// are then taken from the data ([`Model::network`]).
///
/// Only [`check`](crate::check::check) makes one, so that holding it is the
/// proof that names, ranges and combinations are right.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The number of input features.
    pub input: Width,
    /// The layers, from the input on; never empty.
    pub layers: Vec<Layer>,
    /// The loss, given or chosen from the last activation.
    pub loss: Loss,
    /// The optimizer, given or `adam 0.001`.
    pub optimizer: Optimizer,
    /// How to train.
    pub train: Train,
    /// How to read the table.
    pub data: Data,
    /// What the text left out and what was chosen, to be said to the user.
    pub chosen: Vec<String>,
    /// The place of the `input` stage's width, for errors that data brings up.
    pub input_span: Span,
}

/// A number of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Given by the data.
    Auto,
    /// Given by the text, at least 1.
    Units(usize),
}

/// A layer of the network.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// y = f(W·x + b)
    Dense(Dense),
}

/// A fully connected layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// The number of outputs; `auto` on the last layer alone.
    pub units: Width,
    /// The activation.
    pub activation: Activation,
    /// Whether it has a bias.
    pub bias: bool,
    /// How its weights start.
    pub init: Init,
    /// The place of the layer in the text.
    pub span: Span,
}

/// What is applied to a layer's sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// A function of each element.
    Unary(Unary),
    /// exp zᵢ / Σ exp zⱼ over the outputs of a row; on the last layer alone.
    Softmax,
}

impl Activation {
    /// The word of the language for `softmax`; the others' stand in [`Unary`].
    pub const SOFTMAX: &str = "softmax";

    /// Its name in the language.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Unary(unary) => unary.name(),
            Activation::Softmax => Activation::SOFTMAX,
        }
    }

    /// The activation of this name or alias.
    pub fn parse(name: &str) -> Option<Activation> {
        if name == Activation::SOFTMAX {
            return Some(Activation::Softmax);
        }
        Unary::parse(name).map(Activation::Unary)
    }
}

/// Defines an enum of words of the language: one list for parsing, printing
/// and documentation.
macro_rules! words {
    ($(#[$doc:meta])* $Name:ident { $($(#[$vdoc:meta])* $Variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $Name { $($(#[$vdoc])* $Variant),* }

        impl $Name {
            /// All of them.
            pub const ALL: &[$Name] = &[$($Name::$Variant),*];

            /// The word of the language.
            pub fn name(self) -> &'static str {
                match self { $($Name::$Variant => $word),* }
            }

            /// The variant that this word names.
            pub fn parse(name: &str) -> Option<$Name> {
                $Name::ALL.iter().copied().find(|v| v.name() == name)
            }
        }
    };
}

words! {
    /// How a layer's weights start. Biases start at 0, except with `torch`.
    Init {
        /// U(±√(6/(in+out))), Glorot and Bengio 2010
        GlorotUniform = "glorot_uniform",
        /// N(0, 2/(in+out))
        GlorotNormal = "glorot_normal",
        /// U(±4·√(6/(in+out))): Glorot uniform for inputs that come out of a
        /// sigmoid, whose slope of at most ¼ it makes up for
        GlorotSigmoid = "glorot_sigmoid",
        /// U(±√(6/in)), He et al. 2015
        HeUniform = "he_uniform",
        /// N(0, 2/in)
        HeNormal = "he_normal",
        /// N(0, 1/in), Klambauer et al. 2017
        LecunNormal = "lecun_normal",
        /// U(±1/√in) for weights and biases: PyTorch's `nn.Linear`
        Torch = "torch",
    }
}

words! {
    /// How numeric columns are scaled.
    Scale {
        /// (x − mean) / standard deviation
        Standard = "standard",
        /// (x − min) / (max − min)
        MinMax = "minmax",
        /// (x − median) / (75th percentile − 25th percentile)
        Robust = "robust",
        /// x
        None = "none",
    }
}

words! {
    /// What happens to a missing number.
    Missing {
        /// The column's mean takes its place.
        Mean = "mean",
        /// The column's median takes its place.
        Median = "median",
        /// 0 takes its place.
        Zero = "zero",
        /// The row is left out.
        Drop = "drop",
        /// It is an error.
        Error = "error",
    }
}

/// The `train` statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Train {
    /// Passes over the training rows, at least 1.
    pub epochs: usize,
    /// Rows of a mini-batch, at least 1.
    pub batch: usize,
    /// Whether every epoch sees the rows in a new order.
    pub shuffle: bool,
    /// The seed of initial weights, splits and shuffles.
    pub seed: u64,
    /// The share of the rows that is held out, 0 ≤ share < 1.
    pub validation: f64,
    /// Epochs without a lower validation loss after which training stops, at
    /// least 1; the parameters of the best epoch are then the result. `None`:
    /// all epochs are trained, and the last one's are.
    pub patience: Option<usize>,
}

/// The `data` statement. Column names are kept as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// The target columns; empty: the last ones, as many as the output is wide.
    pub target: Vec<String>,
    /// Columns that are left out.
    pub drop: Vec<String>,
    /// The only input columns; empty: all but the targets.
    pub only: Vec<String>,
    /// Columns that are categories though they hold numbers.
    pub categorical: Vec<String>,
    /// Columns that must be numbers: text in them is an error.
    pub numeric: Vec<String>,
    /// Columns of categories that become the numbers of a trained table, and
    /// how many each, at least 1.
    pub embedding: Vec<(String, usize)>,
    /// How numeric inputs are scaled.
    pub scale: Scale,
    /// How numeric targets are scaled; `None` (not given): `standard` for a
    /// linear output, `none` for the others.
    pub target_scale: Option<Scale>,
    /// What happens to missing numbers in inputs.
    pub missing: Missing,
    /// Whether a number that is missing in training rows has one more input,
    /// 1 where it is missing.
    pub missing_indicator: bool,
    /// Levels of a category in fewer training rows than this are pooled into
    /// one; at least 1.
    pub min_count: usize,
    /// The column that says of each row whether it trains, validates or tests.
    pub split: Option<String>,
    /// The column whose equal values stay on one side of a split.
    pub group: Option<String>,
}

impl Default for Train {
    fn default() -> Self {
        Train { epochs: 100, batch: 32, shuffle: true, seed: 42, validation: 0.0, patience: None }
    }
}

impl Default for Data {
    fn default() -> Self {
        Data {
            target: Vec::new(),
            drop: Vec::new(),
            only: Vec::new(),
            categorical: Vec::new(),
            numeric: Vec::new(),
            embedding: Vec::new(),
            scale: Scale::Standard,
            target_scale: None,
            missing: Missing::Median,
            missing_indicator: false,
            min_count: 1,
            split: None,
            group: None,
        }
    }
}

/// A network with every width known: what [`lower`](crate::ir::lower)
/// takes. Every layer's inputs are the outputs of the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// The number of inputs of the first layer, at least 1.
    pub inputs: usize,
    /// The categories among them; none where they are a matrix. The inputs are
    /// numbered as [`Layout`] says.
    pub categories: Vec<Category>,
    /// The layers; never empty. `softmax` occurs on the last one alone.
    pub layers: Vec<DenseShape>,
    /// The loss; it goes with the last activation.
    pub loss: Loss,
    /// The optimizer.
    pub optimizer: Optimizer,
}

/// A dense layer with its widths.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseShape {
    /// Features in.
    pub inputs: usize,
    /// Features out.
    pub outputs: usize,
    /// The activation.
    pub activation: Activation,
    /// Whether it has a bias.
    pub bias: bool,
    /// How its weights start.
    pub init: Init,
}

impl DenseShape {
    /// Weights and biases.
    pub fn parameters(&self) -> usize {
        self.outputs * (self.inputs + usize::from(self.bias))
    }
}

impl Network {
    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.layers.last().expect("a network has at least one layer").outputs
    }

    /// The last layer's activation.
    pub fn output_activation(&self) -> Activation {
        self.layers.last().expect("a network has at least one layer").activation
    }

    /// How the inputs are numbered.
    pub fn layout(&self) -> Layout {
        let mut layout = Layout { dense: 0, categories: self.categories.clone() };
        layout.dense = self.inputs - layout.inputs();
        layout
    }

    /// The number of parameters.
    pub fn parameters(&self) -> usize {
        let embeddings = self.categories.iter().map(Category::parameters).sum::<usize>();
        embeddings + self.layers.iter().map(DenseShape::parameters).sum::<usize>()
    }

    /// The tensors of the network in the order in which the flat parameter
    /// buffer holds them, without gaps: the embeddings `[levels, width]`, then
    /// layer by layer the weight `[out, in]` and, where there is one, the bias
    /// `[out]`, all row-major.
    pub fn tensors(&self) -> Vec<Tensor> {
        let mut tensors = Vec::with_capacity(self.categories.len() + 2 * self.layers.len());
        let mut end = 0;
        let mut next = |name: String, shape: Vec<usize>| {
            let start = end;
            end += shape.iter().product::<usize>();
            tensors.push(Tensor { name, shape, range: start..end });
        };
        for category in &self.categories {
            if let Some(embedding) = &category.embedding {
                let shape = vec![category.levels, embedding.width];
                next(format!("embeddings.{}.weight", embedding.name), shape);
            }
        }
        for (i, layer) in self.layers.iter().enumerate() {
            next(format!("layers.{i}.weight"), vec![layer.outputs, layer.inputs]);
            if layer.bias {
                next(format!("layers.{i}.bias"), vec![layer.outputs]);
            }
        }
        tensors
    }
}

/// A named part of the flat parameter buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// `layers.I.weight`, `layers.I.bias` or `embeddings.COLUMN.weight`, as in
    /// model files.
    pub name: String,
    /// `[out, in]`, `[out]` or `[levels, width]`.
    pub shape: Vec<usize>,
    /// Its elements in the flat buffer, row-major.
    pub range: std::ops::Range<usize>,
}

impl Model {
    /// The last layer's activation.
    pub fn output_activation(&self) -> Activation {
        let Layer::Dense(dense) = self.layers.last().expect("a model has at least one layer");
        dense.activation
    }

    /// The output's width, where the text gives it.
    pub fn output_width(&self) -> Width {
        let Layer::Dense(dense) = self.layers.last().expect("a model has at least one layer");
        dense.units
    }
}
