//! Tables: files to typed columns to matrices bound to a model.
//!
//! ```text
//! read     files        -> batches: some rows, cell by cell
//! cell     a cell       -> missing, a number, a date, or text
//! build    batches      -> Table: typed columns, texts by way of a dictionary
//! bind     Table, Model -> Dataset: numbers and codes, parts, Schema
//! fit      a column     -> what becomes of it
//! split    rows         -> those that train, validate and test
//! schema   what a raw row needs to become inputs, and outputs to become words
//! encode   batches      -> numbers and codes, for prediction
//! profile  a column     -> its type, range, gaps and different values
//! decode   outputs      -> columns in the target's own names and units
//! metrics  outputs and targets -> accuracy, RMSE, ...
//! ```
//!
//! Data and model meet once, in [`Dataset::bind`]; statistics (means, levels)
//! come from the training rows alone and travel in the [`Schema`], so that
//! training and prediction encode with the same code and the same numbers.
//! This module sees the checked model and nothing after it; it never prints.

mod batch;
mod bind;
mod buffer;
mod build;
#[cfg(feature = "columnar")]
mod cache;
mod cell;
mod complaints;
mod date;
mod date_part;
mod decimal;
mod decode;
mod describe;
mod dictionary;
mod encode;
mod fit;
mod labels;
mod lines;
mod metrics;
mod names;
mod profile;
mod read;
mod roles;
mod schema;
mod split;
mod stats;
mod table;
mod target;
#[cfg(test)]
pub(crate) mod testing;

pub use batch::Batch;
pub use bind::{DEFAULT_LIMIT, Dataset, Targets};
pub use buffer::{Buffer, Storage};
pub use date_part::DatePart;
pub use decode::Decoder;
pub use encode::{Encoded, Encoder, Tally};
pub use labels::{LabelKind, Labels};
pub use lines::{Lines, Place};
pub use metrics::{Evaluator, Metrics};
pub(crate) use names::unknown_column;
pub use profile::{ColumnKind, Profile, describe_table};
pub use read::{BadRow, Batches, Input, ReadOptions, Scanned, expand};
pub use schema::{Category, Dropped, Encoding, InputColumn, Number, NumberTarget, Schema, Target};
pub use table::{Column, Table, Text, Values};
