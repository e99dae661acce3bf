#![allow(clippy::unwrap_used)]

use super::*;
use crate::data::Dataset;
use crate::data::testing::{regression, rendered, table, target};
use crate::inputs::Features;
use insta::assert_snapshot;
use std::fs;
use std::path::{Path, PathBuf};

fn tensors() -> Vec<Tensor> {
    vec![
        Tensor { name: "layers.0.weight".into(), shape: vec![1, 3], range: 0..3 },
        Tensor { name: "layers.0.bias".into(), shape: vec![1], range: 3..4 },
    ]
}

const PARAMETERS: [f32; 4] = [0.1, -2.0, f32::MIN_POSITIVE, 4.0];
const ROWS: &str = "n,c,y\n0.1,a,1\n2.5,b,2\n,a,4\n7,b,8\n9,a,10\n";

/// A stand-in for a network: one number, one category of two levels.
fn predict(inputs: Features<'_>) -> Vec<f32> {
    let category = PARAMETERS[1 + inputs.codes[0] as usize];
    vec![inputs.dense[0] * PARAMETERS[0] + category + PARAMETERS[3]]
}

fn model() -> StoredModel {
    let table = table(ROWS);
    let schema = Dataset::bind(&table, &regression(target(&["y"]))).unwrap().schema;
    StoredModel {
        text: "input 3 -> dense 1\r\n# \"é\"\n".into(),
        tensors: StoredTensor::cut(&tensors(), &PARAMETERS),
        golden: golden::pick(&table, &schema, predict),
        schema: Some(schema),
        metrics: Some(serde_json::json!({ "z": 0.1, "a": { "rmse": 1e-300 } })),
    }
}

/// A directory with a file in it.
fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    fs::write(&path, content).unwrap();
    (directory, path)
}

/// An error with the temporary directory's name taken out.
fn message(errors: &crate::diag::Diagnostics, path: &Path) -> String {
    let directory = format!("{}/", path.parent().unwrap().display());
    rendered(errors).replace(&directory, "")
}

fn saved() -> Vec<u8> {
    let (_directory, path) = file(b"");
    save(&path, &model()).unwrap();
    fs::read(&path).unwrap()
}

#[test]
fn round_trip_and_equal_bytes() {
    let bytes = saved();
    let (_directory, path) = file(&bytes);
    let loaded = load(&path).unwrap();
    assert_eq!(loaded, model());
    assert_eq!(loaded.parameters(&tensors(), &path).unwrap(), PARAMETERS);
    assert_eq!(load_parameters(&path, &tensors()).unwrap(), PARAMETERS);
    save(&path, &loaded).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let bare = StoredModel { schema: None, metrics: None, golden: Vec::new(), ..model() };
    save(&path, &bare).unwrap();
    assert_eq!(load(&path).unwrap(), bare);
}

#[test]
fn golden_rows_are_checked() {
    let model = model();
    let schema = model.schema.unwrap();
    assert_eq!(model.golden.len(), 4);
    assert_eq!(model.golden[0].cells, [("n".into(), "0.1".into()), ("c".into(), "a".into())]);
    golden::check(&model.golden, &schema, predict).unwrap();
    let nearly = |inputs: Features<'_>| vec![predict(inputs)[0] * 1.00005];
    golden::check(&model.golden, &schema, nearly).unwrap();
    let wrong = |_: Features<'_>| vec![0.5];
    let error = golden::check(&model.golden[..1], &schema, wrong).unwrap_err();
    assert!(rendered(&error).starts_with("error[E304]: golden row 1"), "{}", rendered(&error));
    assert!(golden::check(&model.golden, &schema, |_| Vec::new()).is_err());
    assert!(golden::check(&model.golden, &schema, |_| vec![f32::NAN]).is_err());
    assert!(golden::pick(&table(ROWS), &schema, |_| vec![f32::NAN]).is_empty());
}

#[test]
fn files_that_are_no_models() {
    let refused = |bytes: &[u8]| {
        let (_directory, path) = file(bytes);
        message(&load(&path).unwrap_err(), &path)
    };
    assert_snapshot!(refused(b"a,b\n1,2\n3,4\n"), @r#"
    error[E301]: `m.safetensors` is not a safetensors file
     |
     = help: name a file that `mlpc run` has written
    "#);
    assert_eq!(refused(b""), refused(b"a,b\n1,2\n3,4\n"));
    assert_eq!(refused(b"\x02\0\0\0\0\0\0\0[]"), refused(b""));
    let whole = saved();
    assert_snapshot!(refused(&whole[..whole.len() - 1]), @r#"
    error[E301]: `m.safetensors` is cut off: it ends before its tensors do
     |
     = help: copy or download it again
    "#);
    // Wherever it is cut, it is an error and no panic.
    for end in 0..whole.len() {
        refused(&whole[..end]);
    }
    let newer = String::from_utf8_lossy(&whole[8..]).find("\"mlpc.format\":\"1\"").unwrap() + 8;
    let mut bytes = whole.clone();
    bytes[newer + 15] = b'7';
    assert_snapshot!(refused(&bytes), @r#"
    error[E302]: `m.safetensors` was written by a newer mlpc (format 7); this one reads up to 1
     |
     = help: upgrade mlpc
    "#);
    let (directory, path) = file(b"");
    assert_snapshot!(message(&load(&directory.path().join("no")).unwrap_err(), &path), @r#"
    error[E301]: `no` does not exist
     |
     = help: check the path, or train a model with `mlpc run`
    "#);
    assert!(rendered(&load(directory.path()).unwrap_err()).contains("is a directory"));
}

/// As other tools write it: other types, other tensors, no metadata of ours.
fn foreign() -> Vec<u8> {
    use safetensors::{Dtype, tensor::TensorView};
    let weight: Vec<u8> = [0.5f64, -1.5, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let bias = half::f16::from_f32(0.25).to_le_bytes();
    let other = half::bf16::from_f32(-2.5).to_le_bytes();
    let view = |dtype, shape, data| TensorView::new(dtype, shape, data).unwrap();
    let tensors = [
        ("layers.0.weight", view(Dtype::F64, vec![1, 3], &weight)),
        ("layers.0.bias", view(Dtype::F16, vec![1], &bias)),
        ("other", view(Dtype::BF16, vec![1], &other)),
        ("count", view(Dtype::U8, vec![1], &[3])),
    ];
    safetensors::serialize(tensors, None).unwrap()
}

#[test]
fn parameters_come_from_other_tools_too() {
    let (_directory, path) = file(&foreign());
    assert_eq!(load_parameters(&path, &tensors()).unwrap(), [0.5, -1.5, 3.0, 0.25]);
    let other = |name: &str| Tensor { name: name.into(), shape: vec![1], range: 0..1 };
    assert_eq!(load_parameters(&path, &[other("other")]).unwrap(), [-2.5]);
    assert_snapshot!(message(&load(&path).unwrap_err(), &path), @r#"
    error[E301]: `m.safetensors` holds tensors, but no mlpc model
     |
     = help: `mlpc run MODEL.mlp DATA --from FILE` starts training from its tensors
    "#);
    let count = load_parameters(&path, &[other("count")]).unwrap_err();
    assert_snapshot!(message(&count, &path), @r#"
    error[E303]: the tensor `count` holds U8
    --> m.safetensors
     = help: save it as F32, F64, F16 or BF16
    "#);
    let mut wrong = tensors();
    wrong[0].shape = vec![2, 3];
    wrong[1].name = "layers.1.bias".into();
    assert_snapshot!(message(&load_parameters(&path, &wrong).unwrap_err(), &path), @r#"
    error[E303]: the tensor `layers.0.weight` is [1, 3], but the network needs [2, 3]
    --> m.safetensors

    error[E303]: the tensor `layers.1.bias` [1] is missing
    --> m.safetensors
     = note: the file has `count`, `layers.0.bias`, `layers.0.weight`, `other`
     = help: the file must come from a network of the same layers and widths
    "#);
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let (directory, path) = file(b"old");
    let failed = write_atomically(&path, |out| {
        out.write_all(b"half of it")?;
        Err(std::io::ErrorKind::StorageFull.into())
    });
    assert_snapshot!(message(&failed.unwrap_err(), &path), @r#"
    error[E402]: no space is left to write `m.safetensors`
     |
     = help: free some space, or write to another disk with `-o`
    "#);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let nowhere = write_atomically(&directory.path().join("no/m"), |_| Ok(()));
    assert_snapshot!(message(&nowhere.unwrap_err(), &path), @r#"
    error[E402]: `no/m`: its directory does not exist
     |
     = help: create the directory first
    "#);
    let on_directory = write_atomically(directory.path(), |_| Ok(()));
    assert!(rendered(&on_directory.unwrap_err()).contains("is a directory"));
}

#[cfg(unix)]
#[test]
fn permissions_links_and_devices() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (directory, ordinary) = file(b"");
    let new = directory.path().join("new");
    write_atomically(&new, |out| out.write_all(b"x")).unwrap();
    assert_eq!(mode(&new), mode(&ordinary));
    fs::set_permissions(&new, fs::Permissions::from_mode(0o640)).unwrap();
    let link = directory.path().join("link");
    symlink(&new, &link).unwrap();
    write_atomically(&link, |out| out.write_all(b"y")).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!((fs::read(&new).unwrap(), mode(&new)), (b"y".to_vec(), 0o640));
    write_atomically(Path::new("/dev/null"), |out| out.write_all(b"z")).unwrap();
}
