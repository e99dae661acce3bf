//! Writing a model file.

use super::{FORMAT, StoredModel, write_atomically};
use crate::diag::{Code, Diagnostic, Diagnostics};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::Path;

/// Saves a model. Equal models give equal bytes.
pub fn save(path: &Path, model: &StoredModel) -> Result<(), Diagnostics> {
    let header = header(model).map_err(|error| {
        Diagnostic::error(Code::Output, format!("the model cannot be written as JSON: {error}"))
            .help("a number in it is not finite")
    })?;
    write_atomically(path, |out| write(out, &header, model))
}

/// The header of a safetensors file. The safetensors crate keeps metadata in
/// a hash map, whose order changes from run to run; a map in a fixed order is
/// the reason to write these few lines here. Reading is the crate's.
fn header(model: &StoredModel) -> serde_json::Result<Vec<u8>> {
    let mut metadata = Map::new();
    let mut put = |key: &str, value: String| metadata.insert(key.into(), Value::String(value));
    put("mlpc.format", FORMAT.to_string());
    put("mlpc.version", env!("CARGO_PKG_VERSION").into());
    put("mlpc.text", model.text.clone());
    if let Some(schema) = &model.schema {
        put("mlpc.schema", serde_json::to_string(schema)?);
    }
    if let Some(metrics) = &model.metrics {
        put("mlpc.metrics", serde_json::to_string(metrics)?);
    }
    if !model.golden.is_empty() {
        put("mlpc.golden", serde_json::to_string(&model.golden)?);
    }

    let mut header = Map::new();
    header.insert("__metadata__".into(), Value::Object(metadata));
    let mut end = 0;
    for tensor in &model.tensors {
        debug_assert_eq!(tensor.shape.iter().product::<usize>(), tensor.values.len());
        let start = end;
        end += 4 * tensor.values.len();
        let info = json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end] });
        header.insert(tensor.name.clone(), info);
    }
    let mut bytes = serde_json::to_vec(&header)?;
    // Spaces align the data to 8 bytes.
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    Ok(bytes)
}

fn write(out: &mut dyn Write, header: &[u8], model: &StoredModel) -> io::Result<()> {
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header)?;
    for tensor in &model.tensors {
        for block in tensor.values.chunks(4096) {
            let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_le_bytes()).collect();
            out.write_all(&bytes)?;
        }
    }
    Ok(())
}
