//! Model files: one safetensors file that any other tool can open.
//!
//! The tensors are `layers.I.weight` `[out, in]` and `layers.I.bias` `[out]`,
//! and `embeddings.COLUMN.weight` `[levels, width]`, as PyTorch lays them out,
//! in f32. The inputs of the first layer are numbered as
//! [`Layout`](crate::inputs::Layout) says. The metadata (a map of strings) holds
//!
//! | key | what |
//! | --- | --- |
//! | `mlpc.format` | the version of all this, now `1` |
//! | `mlpc.version` | the program that wrote the file |
//! | `mlpc.text` | the model's text, with every default resolved |
//! | `mlpc.schema` | how raw rows become inputs, as JSON |
//! | `mlpc.metrics` | how good it was, as JSON |
//! | `mlpc.golden` | a few raw rows and their outputs, as JSON |
//!
//! Equal models give equal bytes, and a file is either whole or not there
//! ([`write_atomically`]). This module knows no compiler: the text is a
//! string, and who loads a model compiles it.

mod atomic;
pub mod golden;
mod read;
mod write;

pub use atomic::write_atomically;
pub use golden::GoldenRow;
pub use read::{load, load_parameters};
pub use write::save;

use crate::check::model::Tensor;
use crate::data::Schema;

/// The version of the format that this program writes, and the newest that it
/// reads.
pub const FORMAT: u32 = 1;

/// What a model file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredModel {
    /// The model's text, with every default resolved.
    pub text: String,
    /// The parameters, in the order of the network's tensors.
    pub tensors: Vec<StoredTensor>,
    /// How raw rows become inputs; a model trained on matrices has none.
    pub schema: Option<Schema>,
    /// How good it was.
    pub metrics: Option<serde_json::Value>,
    /// Rows to check a loaded model with.
    pub golden: Vec<GoldenRow>,
}

/// A named array of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    /// `layers.I.weight`, `layers.I.bias` or `embeddings.COLUMN.weight`.
    pub name: String,
    /// `[out, in]`, `[out]` or `[levels, width]`.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub values: Vec<f32>,
}

impl StoredTensor {
    /// Cuts a flat parameter buffer into its tensors. Panics where the buffer
    /// is shorter than they are.
    pub fn cut(tensors: &[Tensor], parameters: &[f32]) -> Vec<StoredTensor> {
        let cut = |tensor: &Tensor| StoredTensor {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            values: parameters[tensor.range.clone()].to_vec(),
        };
        tensors.iter().map(cut).collect()
    }
}

impl StoredModel {
    /// The flat parameter buffer of a network with these tensors; an error
    /// names all tensors that are missing or misshapen. `path` is for messages.
    pub fn parameters(
        &self,
        tensors: &[Tensor],
        path: &std::path::Path,
    ) -> Result<Vec<f32>, crate::diag::Diagnostics> {
        let shape = |name: &str| {
            let tensor = self.tensors.iter().find(|tensor| tensor.name == name)?;
            Some(tensor.shape.clone())
        };
        let names = self.tensors.iter().map(|tensor| tensor.name.as_str());
        read::check_tensors(path, tensors, shape, names)?;
        let mut parameters = Vec::new();
        for tensor in tensors {
            let stored = self.tensors.iter().find(|stored| stored.name == tensor.name);
            parameters.extend_from_slice(&stored.expect("check_tensors has found it").values);
        }
        Ok(parameters)
    }
}

#[cfg(test)]
mod tests;
