//! Whether a network fits the machine's memory, before any of it is taken.

use super::Limits;
use super::model::{Layer, Model, Width};
use crate::diag::{Code, Diagnostic};
use crate::inputs::Layout;

/// Rows whose activations are in memory at once at the most: a batch is
/// computed tile by tile, 16 shards of 512 rows (see the plan's split).
const ROWS_AT_ONCE: usize = 16 * 512;

/// Levels beyond which a category is what makes a network large.
const MANY: usize = 1000;

/// E109 where parameters, gradient, optimizer state and a batch's
/// activations take more than the machine has. A width that is not known yet
/// counts as 1: the net is at least that large.
pub(super) fn check(
    model: &Model,
    layout: Option<&Layout>,
    inputs: Option<usize>,
    outputs: Option<usize>,
    limits: &Limits,
) -> Option<Diagnostic> {
    let known = |width: Width, data: Option<usize>| match width {
        Width::Units(units) => units,
        Width::Auto => data.unwrap_or(1),
    };
    let state = model.optimizer.state() as u128;
    let categories = layout.map_or(&[][..], |layout| &layout.categories);
    let embeddings = categories.iter().map(|category| category.parameters() as u128).sum::<u128>();
    let (mut parameters, mut features) = (Some(embeddings), 0u128);
    let mut before = known(model.input, inputs) as u128;
    let mut largest = (embeddings, model.input_span);
    // A category is a code, whatever the number of its levels.
    features += layout.map_or(before, |layout| layout.dense as u128 + 2 * categories.len() as u128);
    for Layer::Dense(dense) in &model.layers {
        let width = known(dense.units, outputs) as u128;
        // Two widths below 2⁶⁴: the product with a bias may not fit u128.
        let own = (before + u128::from(dense.bias)).checked_mul(width);
        parameters = parameters.zip(own).and_then(|(sum, own)| sum.checked_add(own));
        features += width;
        let weight = own.unwrap_or(u128::MAX);
        if weight > largest.0 {
            largest = (weight, dense.span);
        }
        before = width;
    }
    let rows = model.train.batch.min(ROWS_AT_ONCE) as u128;
    let bytes = parameters
        .and_then(|parameters| parameters.checked_mul(4 * (2 + state)))
        .zip(features.checked_mul(4).and_then(|row| row.checked_mul(rows)))
        .and_then(|(parameters, batch)| parameters.checked_add(batch))
        .and_then(|bytes| u64::try_from(bytes).ok());
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64);
    let needs = match (bytes, limits.memory) {
        (Some(bytes), Some(memory)) if bytes > memory => gib(bytes),
        (Some(_), _) => return None,
        (None, _) => format!("more than {}", gib(u64::MAX)),
    };
    let has = match limits.memory {
        Some(memory) => format!("this machine has {}", gib(memory)),
        None => "no machine has that".to_owned(),
    };
    Some(
        Diagnostic::error(Code::TooLarge, format!("the network needs {needs} of memory"))
            .at(largest.1, format!("most of it here; {has}"))
            .note(
                "parameters, gradients, optimizer state and the activations of a batch are counted",
            )
            .help(match categories.iter().max_by_key(|category| category.levels) {
            Some(category) if category.levels > MANY => "make the layers narrower; of a category with many levels, pool the rare ones (`data min_count=10`), or train an embedding (`data embedding=COLUMN:8`)",
            _ => "make the layers narrower, or the batch smaller",
        }),
    )
}
