//! What becomes of categories: rows of tables that are gathered, or inputs of
//! zeros and a one.

use crate::check::model::Tensor;
use crate::inputs::Layout;
use crate::ir::{Ir, Op, TensorId};
use std::ops::Range;

/// A table whose rows the codes of some categories name: an embedding, or the
/// weights of the first layer for all categories without one, level by level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The tensor that it is, or is a part of.
    pub tensor: TensorId,
    /// Its rows, row-major, in the plan's flat buffers.
    pub range: Range<usize>,
    /// Numbers of a row.
    pub width: usize,
    /// The categories, each with its rows of the table.
    pub columns: Vec<Column>,
}

/// A category and its rows of a table: one a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The number of the category.
    pub category: usize,
    /// Its first row.
    pub first: u32,
    /// Its rows.
    pub levels: u32,
}

/// How the categories of a network are computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tables {
    /// The embeddings in their order, then the first layer's weights where
    /// they are gathered.
    pub(super) tables: Vec<Table>,
    /// The first layer's table.
    pub(super) gathered: Option<usize>,
    /// Of every tensor what is multiplied: all but tables.
    pub(super) weights: Vec<Range<usize>>,
    /// Features of the tile that the first layer is multiplied with.
    pub(super) inputs: usize,
}

impl Tables {
    /// Those of an Ir; `gather` says whether categories without an embedding
    /// are gathered.
    pub(super) fn of(ir: &Ir, gather: bool) -> Tables {
        let mut weights: Vec<Range<usize>> =
            ir.tensors.iter().map(|tensor| tensor.range.clone()).collect();
        let mut tables = Vec::new();
        for node in &ir.nodes {
            if let Op::Embed { category, table, .. } = node.op {
                let Tensor { range, shape, .. } = &ir.tensors[table];
                let columns = vec![Column { category, first: 0, levels: shape[0] as u32 }];
                tables.push(Table {
                    tensor: table,
                    range: range.clone(),
                    width: shape[1],
                    columns,
                });
                weights[table] = range.start..range.start;
            }
        }
        let mut inputs = ir.nodes[0].width;
        let mut gathered = None;
        let first = ir.nodes.iter().find_map(|node| match node.op {
            Op::MatMul { weight, .. } => Some(weight),
            _ => None,
        });
        if let (true, Some(weight)) = (gather, first) {
            inputs = ir.layout.one_hot_start();
            let Tensor { range, shape, .. } = &ir.tensors[weight];
            let middle = range.start + shape[0] * inputs;
            let mut next = 0;
            let columns = ir.layout.one_hot().map(|(category, levels)| {
                let first = next;
                next += levels as u32;
                Column { category, first, levels: levels as u32 }
            });
            let columns = columns.collect();
            gathered = Some(tables.len());
            tables.push(Table {
                tensor: weight,
                range: middle..range.end,
                width: shape[0],
                columns,
            });
            weights[weight] = range.start..middle;
        }
        Tables { tables, gathered, weights, inputs }
    }

    /// The table of a tensor.
    pub(super) fn of_tensor(&self, tensor: TensorId) -> Option<usize> {
        self.tables.iter().position(|table| table.tensor == tensor)
    }

    /// Multiplications and additions of a row in its forward pass, in pairs.
    pub(super) fn work(&self) -> usize {
        let multiplied = self.weights.iter().map(ExactSizeIterator::len).sum::<usize>();
        let added =
            self.tables.iter().map(|table| table.columns.len() * table.width).sum::<usize>();
        multiplied + added
    }
}

/// Levels of a category, on average, from which gathering is faster than
/// products with an input a level. Measured with 1 and 8 categories and 8 to 256
/// outputs: see docs/performance.md.
pub(super) const MANY_LEVELS: usize = 12;

/// Whether categories that are not embedded are gathered.
pub(super) fn pays(layout: &Layout) -> bool {
    let (count, levels) =
        layout.one_hot().fold((0, 0), |(count, sum), (_, levels)| (count + 1, sum + levels));
    count > 0 && levels >= MANY_LEVELS * count
}

impl super::Plan {
    /// Parameters in the order of the network's tensors as the plan lays them
    /// out: the same, but for the first layer's weights of categories that are
    /// gathered, which then lie level by level behind the layer's others.
    ///
    /// # Panics
    /// Where they are not as many.
    pub fn lay_out(&self, parameters: Vec<f32>) -> Vec<f32> {
        self.transposed(parameters, true)
    }

    /// The other way round: parameters, or their gradient, as
    /// [`Network::tensors`](crate::check::model::Network::tensors) says.
    ///
    /// # Panics
    /// Where they are not as many.
    pub fn in_order_of_tensors(&self, parameters: Vec<f32>) -> Vec<f32> {
        self.transposed(parameters, false)
    }

    fn transposed(&self, mut parameters: Vec<f32>, lay_out: bool) -> Vec<f32> {
        assert_eq!(parameters.len(), self.parameters, "parameters of another network");
        let Some(table) = self.gathered.map(|table| &self.tables[table]) else { return parameters };
        let tensor = &self.tensors[table.tensor];
        let (outputs, inputs) = (tensor.shape[0], tensor.shape[1]);
        let dense = self.weights[table.tensor].len() / outputs;
        let levels = inputs - dense;
        let old = parameters[tensor.range.clone()].to_vec();
        let to = &mut parameters[tensor.range.clone()];
        // The place of a weight `[output][input]` in either order.
        let laid_out = |output: usize, input: usize| match input.checked_sub(dense) {
            None => output * dense + input,
            Some(level) => outputs * dense + level * outputs + output,
        };
        debug_assert_eq!(levels * outputs, table.range.len());
        for output in 0..outputs {
            for input in 0..inputs {
                let (stored, laid_out) = (output * inputs + input, laid_out(output, input));
                match lay_out {
                    true => to[laid_out] = old[stored],
                    false => to[stored] = old[laid_out],
                }
            }
        }
        parameters
    }
}
