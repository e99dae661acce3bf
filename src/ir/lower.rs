//! [`Network`] to [`Ir`].

use super::{Ir, Node, Op, TensorId, Value};
use crate::check::model::{Activation, Network, Unary};

/// A network as naive nodes. Nothing can go wrong: a [`Network`] is checked.
pub fn lower(network: &Network) -> Ir {
    let tensors = network.tensors();
    let mut nodes: Vec<Node> = Vec::new();
    let mut push = |op: Op, width: usize| {
        nodes.push(Node { op, width });
        nodes.len() - 1
    };

    // Forward; what each layer's backward pass needs is kept.
    struct Kept {
        weight: TensorId,
        bias: Option<TensorId>,
        x: Value,
        z: Value,
        y: Value,
    }
    let mut kept = Vec::with_capacity(network.layers.len());
    let mut x = push(Op::Input, network.inputs);
    let mut tensor = 0;
    let layout = network.layout();
    let mut embedded = Vec::new();
    let mut first = layout.dense;
    for (category, embedding) in layout.embeddings() {
        x = push(Op::Embed { x, category, table: tensor, first }, network.inputs);
        embedded.push((category, tensor, first));
        first += embedding.width;
        tensor += 1;
    }
    for layer in &network.layers {
        let weight = tensor;
        tensor += 1;
        let mut z = push(Op::MatMul { x, weight }, layer.outputs);
        let bias = layer.bias.then_some(tensor);
        if let Some(bias) = bias {
            tensor += 1;
            z = push(Op::AddBias { x: z, bias }, layer.outputs);
        }
        let y = match layer.activation {
            Activation::Unary(Unary::Linear) => z,
            Activation::Unary(f) => push(Op::Activate { f, x: z }, layer.outputs),
            Activation::Softmax => push(Op::Softmax { x: z }, layer.outputs),
        };
        kept.push(Kept { weight, bias, x, z, y });
        x = y;
    }
    let prediction = x;

    let mut dy = push(Op::Loss { p: prediction }, network.outputs());
    for (layer, Kept { weight, bias, x, z, y }) in network.layers.iter().zip(kept).rev() {
        let dz = match layer.activation {
            Activation::Unary(Unary::Linear) => dy,
            Activation::Unary(f) => push(Op::Slope { f, dy, x: z, y }, layer.outputs),
            Activation::Softmax => push(Op::SoftmaxSlope { dy, y }, layer.outputs),
        };
        push(Op::WeightGradient { dz, x, weight }, 0);
        if let Some(bias) = bias {
            push(Op::BiasGradient { dz, bias }, 0);
        }
        dy = push(Op::InputGradient { dz, weight }, layer.inputs);
    }
    for (category, table, first) in embedded {
        push(Op::EmbeddingGradient { dx: dy, category, table, first }, 0);
    }
    Ir { tensors, layout, nodes, prediction, loss: network.loss, optimizer: network.optimizer }
}
