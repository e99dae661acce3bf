//! Small networks, whose steps are one kernel call.

use super::Plan;
use crate::ir::{Ir, Op};
use mlpc_kernels::single::Ending;
use mlpc_kernels::small::{Layer, MOST_ROWS, Net};
use mlpc_kernels::unary::Unary;

impl Plan {
    /// The network whose step of so many rows is one kernel call
    /// ([`mlpc_kernels::small`]), where they are.
    #[inline]
    pub fn small_step(&self, rows: usize) -> Option<&Net> {
        self.small.as_ref().filter(|_| rows <= MOST_ROWS)
    }
}

/// The network as the kernel takes it: a chain of dense layers, small enough;
/// categories are inputs of zeros and a one.
pub(super) fn of(ir: &Ir) -> Option<Net> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut value = 0;
    let mut parameters = 0;
    for (id, node) in ir.nodes.iter().enumerate().take(ir.prediction + 1).skip(1) {
        // Tensors lie one behind the other.
        let mut next = |tensor: usize| {
            let range = ir.tensors[tensor].range.clone();
            let fits = range.start == parameters;
            parameters = range.end;
            fits
        };
        match node.op {
            Op::MatMul { x, weight } if x == value && next(weight) => {
                let [outputs, inputs] = ir.tensors[weight].shape[..] else { return None };
                let ending = Ending::Unary(Unary::Linear);
                layers.push(Layer { inputs, outputs, bias: false, ending });
            }
            Op::AddBias { x, bias } if x == value && next(bias) => layers.last_mut()?.bias = true,
            Op::Activate { f, x } if x == value => layers.last_mut()?.ending = Ending::Unary(f),
            Op::Softmax { x } if x == value => layers.last_mut()?.ending = Ending::Softmax,
            _ => return None,
        }
        value = id;
    }
    Net::new(&layers, ir.loss)
}
