//! Tables: CSV to typed columns to matrices bound to a model.
//!
//! ```text
//! rows     bytes        -> records with their line numbers (RFC 4180)
//! cell     a cell       -> missing, a number, or text
//! table    records      -> Table: typed columns
//! bind     Table, Model -> Dataset: matrices, split, Schema
//! schema   what a raw row needs to become inputs, and outputs to become words
//! encode   records      -> inputs, in blocks, for prediction
//! decode   outputs      -> columns in the target's own names and units
//! metrics  outputs and targets -> accuracy, RMSE, ...
//! ```
//!
//! Data and model meet once, in [`Dataset::bind`]; statistics (means, levels)
//! come from the training rows alone and travel in the [`Schema`], so that
//! training and prediction encode with the same code and the same numbers.
//! This module sees the checked model and nothing after it; it never prints.

mod bind;
mod cell;
mod complaints;
mod decode;
mod describe;
mod encode;
mod labels;
mod metrics;
mod names;
mod roles;
mod rows;
mod schema;
mod split;
mod stats;
mod table;
mod target;
#[cfg(test)]
pub(crate) mod testing;

pub use bind::{DEFAULT_LIMIT, Dataset, Targets};
pub use decode::Decoder;
pub use encode::Encoder;
pub use labels::{LabelKind, Labels};
pub use metrics::{Evaluator, Metrics};
pub use rows::{Rows, open};
pub use schema::{Encoding, InputColumn, NumberTarget, Schema, Target};
pub use table::{Column, Table, Text, Values};
