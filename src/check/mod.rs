//! Ast to [`Model`]: names, shapes, ranges and combinations, all errors at
//! once.
//!
//! - `statements`: which statement is which, and where one is astray
//! - `network`, `tuned`, [`options`]: what each statement says
//! - `agree`, `size`: whether they go together and fit the machine
//! - `resolve`: a model and the data's widths to a [`model::Network`]
//! - `print`: a model as text again; [`set`](fn@set): changes from
//!   the command line
//!
//! The vocabularies stand in one list each: layers in `network::LAYERS`,
//! activations, losses and optimizers in the kernels' lists, the options of
//! `train` and `data` in [`options`].

#![allow(
    clippy::result_large_err,
    reason = "an error is made once a compilation, and boxing each would blur the code"
)]

mod agree;
pub mod model;
mod network;
pub mod options;
mod print;
mod read;
mod resolve;
mod set;
mod size;
mod statements;
mod suggest;
mod tuned;

pub use set::set;

use crate::diag::{Code, Diagnostic, Diagnostics, Errors};
use crate::syntax::Parsed;
use model::{Activation, Data, Loss, LossKind, Model, Optimizer, OptimizerKind, Train, Unary};

/// What the machine has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory; `None`: unknown, everything that can be counted fits.
    pub memory: Option<u64>,
}

/// Checks what a text says; its syntax errors are reported along with the
/// others.
pub fn check(parsed: &Parsed, limits: &Limits) -> Result<Model, Diagnostics> {
    let mut errors = Errors::default();
    errors.extend(parsed.errors.iter().cloned());
    let found = statements::find(&parsed.ast, &mut errors);

    let network = match &found.network {
        Some(chain) => network::read(chain, &mut errors),
        None => {
            if !found.unreadable {
                errors.push(no_network(parsed));
            }
            None
        }
    };
    let loss = found.loss.as_ref().map(|stage| (tuned::loss(stage, &mut errors), stage.span));
    let optimizer =
        found.optimizer.as_ref().map(|(kind, stage)| tuned::optimizer(*kind, stage, &mut errors));
    let mut train = Train::default();
    if let Some(stage) = &found.train {
        options::read(stage, options::TRAIN, &mut train, &mut errors);
    }
    let mut data = Data::default();
    if let Some(stage) = &found.data {
        options::read(stage, options::DATA, &mut data, &mut errors);
        agree::columns(stage, &mut errors);
    }

    let mut chosen = Vec::new();
    let model = network.and_then(|network| {
        let model::Layer::Dense(dense) = network.layers.last()?;
        let last = dense.activation;
        let loss = match loss {
            Some((loss, span)) => {
                let loss = loss?;
                agree::output(&network, Some((loss.kind, span)), &mut errors);
                loss
            }
            None => {
                agree::output(&network, None, &mut errors);
                let kind = default_loss(last);
                if !found.loss_unreadable {
                    chosen.push(format!(
                        "loss {}, because the text names none and the last layer is {}",
                        kind.name(),
                        last.name()
                    ));
                }
                Loss::new(kind)
            }
        };
        let optimizer = match optimizer {
            Some(optimizer) => optimizer?,
            None => {
                let optimizer = Optimizer::new(OptimizerKind::Adam);
                chosen.push(format!(
                    "optimizer {} {}, because the text names none",
                    optimizer.kind.name(),
                    print::number(optimizer.rate)
                ));
                optimizer
            }
        };
        let network::Shape { input, input_span, layers } = network;
        let model = Model { input, layers, loss, optimizer, train, data, chosen, input_span };
        errors.extend(size::check(&model, None, None, None, limits));
        Some(model)
    });
    let list = errors.into_list();
    match model {
        Some(model) => Diagnostics::none_of(list, || model),
        // A part that could not be read has left an error.
        None => Err(Diagnostics::none_of(list, || ())
            .expect_err("a model is missing only where an error says why")),
    }
}

/// The loss that goes with a last activation.
fn default_loss(last: Activation) -> LossKind {
    match last {
        Activation::Softmax => LossKind::CrossEntropy,
        Activation::Unary(Unary::Sigmoid) => LossKind::Bce,
        Activation::Unary(_) => LossKind::Mse,
    }
}

fn no_network(parsed: &Parsed) -> Diagnostic {
    // Behind the last statement, where one would write it.
    let place =
        parsed.ast.statements.last().map_or(
            crate::diag::Span { end: parsed.ast.span.start, ..parsed.ast.span },
            |statement| statement.span.after(),
        );
    Diagnostic::error(Code::MissingStatement, "the text describes no network")
        .at(place, "expected a network")
        .help("a network is written `input 2 -> dense 3 relu -> dense 1`")
}
