//! Reading a model file, and parameters from any safetensors file.

use super::{FORMAT, StoredModel, StoredTensor};
use crate::check::model::Tensor;
use crate::diag::{Code, Diagnostic, Diagnostics};
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest header that the safetensors format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// Loads a model that [`save`](super::save) has written.
pub fn load(path: &Path) -> Result<StoredModel, Diagnostics> {
    let bytes = read_file(path)?;
    let (file, metadata) = open(path, &bytes)?;
    check_version(path, &metadata)?;
    let Some(text) = metadata.get("mlpc.text") else {
        return Err(refuse(path, "holds tensors, but no mlpc model")
            .help("`mlpc run MODEL.mlp DATA --from FILE` starts training from its tensors")
            .into());
    };
    let mut tensors = Vec::new();
    for (name, view) in in_file_order(&file) {
        tensors.push(StoredTensor {
            values: numbers(path, &name, &view)?,
            shape: view.shape().to_vec(),
            name,
        });
    }
    Ok(StoredModel {
        text: text.clone(),
        tensors,
        schema: json(path, &metadata, "mlpc.schema")?,
        metrics: json(path, &metadata, "mlpc.metrics")?,
        golden: json(path, &metadata, "mlpc.golden")?.unwrap_or_default(),
    })
}

/// Loads the parameters of a network, flat, from any safetensors file that
/// has tensors of these names and shapes: one of ours, or one that PyTorch
/// saved. F64, F16 and BF16 become f32; other tensors are ignored.
pub fn load_parameters(path: &Path, tensors: &[Tensor]) -> Result<Vec<f32>, Diagnostics> {
    let bytes = read_file(path)?;
    let (file, metadata) = open(path, &bytes)?;
    check_version(path, &metadata)?;
    let shape = |name: &str| file.tensor(name).ok().map(|view| view.shape().to_vec());
    let mut names = file.names();
    names.sort_unstable();
    check_tensors(path, tensors, shape, names.into_iter())?;
    let mut parameters = Vec::new();
    for tensor in tensors {
        let view = file.tensor(&tensor.name).expect("check_tensors has found it");
        parameters.extend(numbers(path, &tensor.name, &view)?);
    }
    Ok(parameters)
}

/// Reports all tensors that are missing or misshapen.
pub(super) fn check_tensors<'a>(
    path: &Path,
    tensors: &[Tensor],
    shape: impl Fn(&str) -> Option<Vec<usize>>,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), Diagnostics> {
    let mut errors = Vec::new();
    let mut missing = false;
    for tensor in tensors {
        let message = match shape(&tensor.name) {
            None => {
                missing = true;
                format!("the tensor `{}` {:?} is missing", tensor.name, tensor.shape)
            }
            Some(found) if found != tensor.shape => format!(
                "the tensor `{}` is {found:?}, but the network needs {:?}",
                tensor.name, tensor.shape
            ),
            Some(_) => continue,
        };
        errors.push(Diagnostic::error(Code::ModelTensor, message).in_file(path, None));
    }
    if let Some(last) = errors.last_mut() {
        if missing {
            let total = names.clone().count();
            let shown: Vec<String> = names.take(12).map(|name| format!("`{name}`")).collect();
            let more = match total - shown.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let shown = if total == 0 { "no tensors".into() } else { shown.join(", ") };
            last.notes.push(format!("the file has {shown}{more}"));
        }
        last.help = Some("the file must come from a network of the same layers and widths".into());
    }
    Diagnostics::none_of(errors, || ())
}

fn refuse(path: &Path, what: &str) -> Diagnostic {
    Diagnostic::error(Code::ModelFile, format!("`{}` {what}", path.display()))
}

fn read_file(path: &Path) -> Result<Vec<u8>, Diagnostics> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            refuse(path, "does not exist").help("check the path, or train a model with `mlpc run`")
        }
        io::ErrorKind::PermissionDenied => refuse(path, "may not be read by this user")
            .help("ask the file's owner for permission to read it"),
        io::ErrorKind::IsADirectory => {
            refuse(path, "is a directory").help("name a model file in it")
        }
        _ => refuse(path, &format!("cannot be read: {error}")).help("check the file and the disk"),
    };
    if path.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()).into());
    }
    let mut file = File::open(path).map_err(failed)?;
    // The first 8 bytes tell a model from any other large file.
    let mut bytes = Vec::new();
    file.by_ref().take(8).read_to_end(&mut bytes).map_err(failed)?;
    let Ok(length) = <[u8; 8]>::try_from(bytes.as_slice()) else {
        return Err(not_a_model(path).into());
    };
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER {
        return Err(not_a_model(path).into());
    }
    file.read_to_end(&mut bytes).map_err(failed)?;
    if (bytes.len() as u64) < 8 + length {
        return Err(truncated(path).into());
    }
    Ok(bytes)
}

fn not_a_model(path: &Path) -> Diagnostic {
    refuse(path, "is not a safetensors file").help("name a file that `mlpc run` has written")
}

fn truncated(path: &Path) -> Diagnostic {
    refuse(path, "is cut off: it ends before its tensors do").help("copy or download it again")
}

fn open<'a>(
    path: &Path,
    bytes: &'a [u8],
) -> Result<(SafeTensors<'a>, HashMap<String, String>), Diagnostics> {
    use safetensors::SafeTensorError as E;
    let explain = |error: E| match error {
        E::MetadataIncompleteBuffer | E::InvalidHeaderLength => truncated(path),
        E::HeaderTooLarge
        | E::HeaderTooSmall
        | E::InvalidHeader(_)
        | E::InvalidHeaderDeserialization(_) => not_a_model(path),
        other => refuse(path, &format!("is damaged: {other}")).help("copy or download it again"),
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(explain)?;
    let file = SafeTensors::deserialize(bytes).map_err(explain)?;
    Ok((file, metadata.metadata().clone().unwrap_or_default()))
}

/// A file without our metadata has no version to be too new.
fn check_version(path: &Path, metadata: &HashMap<String, String>) -> Result<(), Diagnostics> {
    let Some(version) = metadata.get("mlpc.format") else { return Ok(()) };
    match version.parse::<u32>() {
        Ok(1..=FORMAT) => Ok(()),
        Ok(newer) if newer > FORMAT => Err(Diagnostic::error(
            Code::ModelVersion,
            format!(
                "`{}` was written by a newer mlpc (format {newer}); this one reads up to {FORMAT}",
                path.display()
            ),
        )
        .help("upgrade mlpc")
        .into()),
        _ => Err(refuse(path, &format!("names the format `{version}`, which there is not"))
            .help("the file is damaged: copy or download it again")
            .into()),
    }
}

/// The tensors as their data follow each other: for a file of ours, the order
/// of the network.
fn in_file_order<'a>(file: &SafeTensors<'a>) -> Vec<(String, TensorView<'a>)> {
    let mut tensors = file.tensors();
    tensors.sort_by_key(|(name, view)| (view.data().as_ptr() as usize, name.clone()));
    tensors
}

fn numbers(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, Diagnostics> {
    fn each<const N: usize>(data: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (chunks, _) = data.as_chunks::<N>();
        chunks.iter().map(|bytes| convert(*bytes)).collect()
    }
    let data = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => each(data, f32::from_le_bytes),
        Dtype::F64 => each(data, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F16 => each(data, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => each(data, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        other => {
            return Err(Diagnostic::error(
                Code::ModelTensor,
                format!("the tensor `{name}` holds {other:?}"),
            )
            .in_file(path, None)
            .help("save it as F32, F64, F16 or BF16")
            .into());
        }
    })
}

fn json<T: DeserializeOwned>(
    path: &Path,
    metadata: &HashMap<String, String>,
    key: &str,
) -> Result<Option<T>, Diagnostics> {
    let Some(text) = metadata.get(key) else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| {
        refuse(path, &format!("is damaged: its `{key}` cannot be read: {error}"))
            .help("copy or download it again")
            .into()
    })
}
