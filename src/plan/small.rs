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

    /// The network whose prediction of so many rows is one kernel call, where that is
    /// faster than the steps of a tile.
    #[inline]
    pub(crate) fn small_prediction(&self, rows: usize) -> Option<&Net> {
        self.small.as_ref().filter(|_| rows < LEAST_ROWS_OF_TILE || !self.predict.reads_rows())
    }
}

/// Rows from which on a small network is predicted faster by the steps of a tile, where
/// its first layer reads rows as they lie: 32 rows of 24-8-2 take 0.40 instead of 0.34 µs
/// so, 64 rows 0.57 instead of 0.62, and 1,024 rows 6.5 instead of 9.3.
pub(super) const LEAST_ROWS_OF_TILE: usize = 48;

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
