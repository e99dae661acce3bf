//! What the tests of this module share.

use super::table::Table;
use crate::check::model::{
    Activation, Data, Dense, Init, Layer, Loss, LossKind, Model, Optimizer, OptimizerKind, Train,
    Unary, Width,
};
use crate::diag::{Diagnostics, Sources, Span, render};

/// A model of one layer.
pub(crate) fn model(units: Width, activation: Activation, loss: LossKind, data: Data) -> Model {
    Model {
        input: Width::Auto,
        layers: vec![Layer::Dense(Dense {
            units,
            activation,
            bias: true,
            init: Init::GlorotUniform,
            span: Span::default(),
        })],
        loss: Loss::new(loss),
        optimizer: Optimizer::new(OptimizerKind::Adam),
        train: Train::default(),
        data,
        chosen: Vec::new(),
        input_span: Span::default(),
    }
}

/// `dense auto` with mean squared error.
pub(crate) fn regression(data: Data) -> Model {
    model(Width::Auto, Activation::Unary(Unary::Linear), LossKind::Mse, data)
}

/// `dense auto sigmoid` with binary cross-entropy.
pub(crate) fn sigmoid(data: Data) -> Model {
    model(Width::Auto, Activation::Unary(Unary::Sigmoid), LossKind::Bce, data)
}

/// `dense auto softmax` with cross-entropy.
pub(crate) fn softmax(data: Data) -> Model {
    model(Width::Auto, Activation::Softmax, LossKind::CrossEntropy, data)
}

/// A `data` statement with these targets.
pub(crate) fn target(names: &[&str]) -> Data {
    Data { target: words(names), ..Data::default() }
}

pub(crate) fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

#[allow(clippy::unwrap_used)]
pub(crate) fn table(text: &str) -> Table {
    Table::parse(text.as_bytes(), "t.csv").unwrap()
}

/// The errors as a user sees them.
pub(crate) fn rendered(errors: &Diagnostics) -> String {
    render(errors.iter(), &Sources::default(), false)
}
