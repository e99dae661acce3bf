//! The intermediate representation: what is computed, with nothing said of how.
//!
//! An [`Ir`] is a list of nodes in the order of their dependencies. A node
//! defines a matrix `[rows, width]`, named by the node's number (`%3`), or
//! the gradient of a parameter tensor. One training step is the forward
//! nodes, the loss, and the backward nodes, which are exact derivatives:
//! every rule of the chain is a node, also where its result is not needed;
//! leaving things out and doing things together is the plan's business.

mod lower;

pub use lower::lower;

use crate::check::model::{Loss, Optimizer, Tensor, Unary};
use crate::inputs::Layout;
use std::fmt;

/// The number of the node that defines a matrix.
pub type Value = usize;

/// The number of a parameter tensor in [`Ir::tensors`].
pub type TensorId = usize;

/// A training step of a network; its prediction is a part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ir {
    /// The parameter tensors, in the order of the flat buffer.
    pub tensors: Vec<Tensor>,
    /// How the inputs are numbered.
    pub layout: Layout,
    /// The nodes; a node uses only values of nodes before it.
    pub nodes: Vec<Node>,
    /// The value that is the network's prediction.
    pub prediction: Value,
    /// The loss.
    pub loss: Loss,
    /// What the gradients are used for.
    pub optimizer: Optimizer,
}

/// A node: an operation and the width of the matrix that it defines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// Features of the result; 0 for the gradient of a parameter.
    pub width: usize,
}

/// An operation. Matrices are `[rows, width]`, W is `[out, in]`, b `[out]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// The features of the batch: numbers, 0 in the place of embeddings, and
    /// categories as zeros and a one.
    Input,
    /// x with the features from `first` on replaced by the row of a table that
    /// the code of a category names; 0 where there is no code
    Embed {
        /// x
        x: Value,
        /// The number of the category.
        category: usize,
        /// The table, `[levels, width]`
        table: TensorId,
        /// The first of the features.
        first: usize,
    },
    /// x·Wᵀ
    MatMul {
        /// x
        x: Value,
        /// W
        weight: TensorId,
    },
    /// x + b, row by row
    AddBias {
        /// x
        x: Value,
        /// b
        bias: TensorId,
    },
    /// f(x), element by element
    Activate {
        /// f
        f: Unary,
        /// x
        x: Value,
    },
    /// softmax of each row of x
    Softmax {
        /// x
        x: Value,
    },
    /// The loss of prediction p, and ∂loss/∂p.
    Loss {
        /// p
        p: Value,
    },
    /// dy·f′(x), where y = f(x)
    Slope {
        /// f
        f: Unary,
        /// dy
        dy: Value,
        /// x
        x: Value,
        /// y
        y: Value,
    },
    /// y·(dy − Σ y·dy) of each row: the backward pass of y = softmax(x)
    SoftmaxSlope {
        /// dy
        dy: Value,
        /// y
        y: Value,
    },
    /// ∂loss/∂W = dzᵀ·x
    WeightGradient {
        /// dz
        dz: Value,
        /// x
        x: Value,
        /// W
        weight: TensorId,
    },
    /// ∂loss/∂b = Σ dz over the rows
    BiasGradient {
        /// dz
        dz: Value,
        /// b
        bias: TensorId,
    },
    /// ∂loss/∂table: Σ of the features from `first` on of dx over the rows
    /// whose code it is
    EmbeddingGradient {
        /// dx
        dx: Value,
        /// The number of the category.
        category: usize,
        /// The table
        table: TensorId,
        /// The first of the features.
        first: usize,
    },
    /// ∂loss/∂x = dz·W
    InputGradient {
        /// dz
        dz: Value,
        /// W
        weight: TensorId,
    },
}

impl Op {
    /// The values that the operation takes.
    pub fn operands(&self) -> Vec<Value> {
        match *self {
            Op::Input => vec![],
            Op::MatMul { x, .. }
            | Op::Embed { x, .. }
            | Op::AddBias { x, .. }
            | Op::Activate { x, .. }
            | Op::Softmax { x } => vec![x],
            Op::Loss { p } => vec![p],
            Op::Slope { dy, x, y, .. } => vec![dy, x, y],
            Op::SoftmaxSlope { dy, y } => vec![dy, y],
            Op::WeightGradient { dz, x, .. } => vec![dz, x],
            Op::EmbeddingGradient { dx, .. } => vec![dx],
            Op::BiasGradient { dz, .. } | Op::InputGradient { dz, .. } => vec![dz],
        }
    }
}

impl fmt::Display for Ir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |t: TensorId| &self.tensors[t].name;
        for tensor in &self.tensors {
            let shape = tensor.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            writeln!(f, "param {} [{shape}]", tensor.name)?;
        }
        for (id, node) in self.nodes.iter().enumerate() {
            let text = match node.op {
                Op::Input => "input".to_string(),
                Op::Embed { x, category, table, first } => {
                    format!("embed %{x}, {} by category {category} at {first}", name(table))
                }
                Op::EmbeddingGradient { dx, category, table, first } => {
                    writeln!(
                        f,
                        "grad {} = embedding_gradient %{dx} by category {category} at {first}",
                        name(table)
                    )?;
                    continue;
                }
                Op::MatMul { x, weight } => format!("matmul %{x}, {}", name(weight)),
                Op::AddBias { x, bias } => format!("add_bias %{x}, {}", name(bias)),
                Op::Activate { f, x } => format!("{} %{x}", f.name()),
                Op::Softmax { x } => format!("softmax %{x}"),
                Op::Loss { p } => format!("loss_gradient {} %{p}", self.loss.kind.name()),
                Op::Slope { f, dy, x, y } => format!("slope {} %{dy}, x %{x}, y %{y}", f.name()),
                Op::SoftmaxSlope { dy, y } => format!("slope softmax %{dy}, y %{y}"),
                Op::WeightGradient { dz, x, weight } => {
                    writeln!(f, "grad {} = weight_gradient %{dz}, %{x}", name(weight))?;
                    continue;
                }
                Op::BiasGradient { dz, bias } => {
                    writeln!(f, "grad {} = bias_gradient %{dz}", name(bias))?;
                    continue;
                }
                Op::InputGradient { dz, weight } => {
                    format!("input_gradient %{dz}, {}", name(weight))
                }
            };
            writeln!(f, "%{id} = {text} : [rows, {}]", node.width)?;
        }
        writeln!(f, "predict %{}", self.prediction)?;
        writeln!(f, "update {} rate {}", self.optimizer.kind.name(), self.optimizer.rate)
    }
}
