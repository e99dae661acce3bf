//! mlpc, the MLP compiler: a line of text becomes a fused CPU program that
//! trains and serves a multilayer perceptron.
//!
//! ```text
//! input 2 -> dense 3 sigmoid -> dense 1 sigmoid; loss mse; sgd 0.1
//! ```
//!
//! # Training from a program
//!
//! Features are f32 `[rows, features]`, row-major; so are targets, or they
//! are class indices.
//!
//! ```
//! use mlpc::exec::Targets;
//! use mlpc::train::{Table, Trainer, initial_parameters};
//! use mlpc::{Predictor, check::Limits, plan::PlanOptions};
//! use std::ops::ControlFlow;
//!
//! let model = mlpc::compile(
//!     "input 2 -> dense 8 tanh -> dense 1 sigmoid; loss bce; adam 0.05; train epochs=300 batch=4",
//! )?;
//! let network = model.network(None, None, &Limits::default())?;
//! let table = Table {
//!     features: (&[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]).into(),
//!     targets: Targets::Values(&[0.0, 1.0, 1.0, 0.0]),
//!     train: &[0, 1, 2, 3],
//!     validation: None,
//! };
//!
//! let start = initial_parameters(&network, model.train.seed);
//! let mut trainer = Trainer::new(&network, &model.train, PlanOptions::default(), start);
//! let last = trainer.fit(table, |_progress| ControlFlow::Continue(()))?;
//! assert!(last.is_some_and(|epoch| epoch.loss < 0.1));
//!
//! let predictor = Predictor::new(&network, trainer.parameters(), PlanOptions::default());
//! let mut output = [0.0];
//! predictor.predict(&[0.0, 1.0], &mut output);
//! assert!(output[0] > 0.5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A model that `mlpc run` has saved is loaded by [`Predictor::load`].
//!
//! # The pipeline
//!
//! Data goes one way, and each stage is a folder:
//!
//! | stage | from | to | what can go wrong |
//! | --- | --- | --- | --- |
//! | [`syntax`] | text | `Ast` | [`diag`] |
//! | [`check`] | `Ast` | [`Model`](check::model::Model), [`Network`](check::model::Network) | [`diag`] |
//! | [`data`] | tables, `Model` | matrices, [`Schema`](data::Schema) | [`diag`] |
//! | [`draft`](mod@draft) | tables | text | [`diag`] |
//! | [`ir`] | `Network` | [`Ir`](ir::Ir): naive nodes | nothing |
//! | [`plan`](mod@plan) | `Ir` | [`Plan`](plan::Plan): fused steps, memory, kernels | nothing |
//! | [`exec`] | `Plan`, matrices | losses, gradients, predictions | nothing |
//! | [`train`] | all of these | trained parameters | divergence |
//! | [`file`](mod@file) | parameters, text, schema | a model file | [`diag`] |
//!
//! Push failure to the front: a [`Network`](check::model::Network) is the
//! proof that everything after it can be done. Kernels, tile sizes and places
//! in memory are chosen by the plan, before the first batch; the executor
//! decides nothing. All `unsafe` is in the crate `mlpc-kernels`, which knows
//! nothing of the language.
//!
//! Vocabularies stand in one list each: activations, losses and optimizers in
//! `mlpc-kernels` (`unary`, `loss`, `optim`), layers and options in
//! [`check`]. A new word goes there and nowhere else.

#![forbid(unsafe_code)]

pub mod check;
pub mod data;
pub mod diag;
pub mod draft;
pub mod exec;
pub mod file;
pub mod inputs;
pub mod ir;
pub mod plan;
mod predictor;
mod random;
pub mod syntax;
pub mod train;

pub use predictor::Predictor;

/// Checks a model's text: parsing and checking in one call, without a limit
/// of memory.
///
/// ```
/// let model = mlpc::compile("input 2 -> dense 3 sigmoid -> dense 1 sigmoid; loss mse; sgd 0.1")?;
/// assert_eq!(model.layers.len(), 2);
///
/// let errors = mlpc::compile("input 2 -> dense 3 sigmoyd -> dense 1").unwrap_err();
/// assert!(errors.to_string().contains("did you mean `sigmoid`?"));
/// # Ok::<(), mlpc::diag::Diagnostics>(())
/// ```
///
/// # Errors
/// All errors of the text at once.
pub fn compile(text: &str) -> Result<check::model::Model, diag::Diagnostics> {
    check::check(&syntax::parse(text, 0), &check::Limits::default())
}
