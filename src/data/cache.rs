//! A table that has been read, kept for the next time.
//!
//! The cache is an Arrow IPC file, which other tools can open: the columns as
//! they were typed, and in its metadata where the rows stand and what there
//! was to say. Its name is a hash of the content of the files and of how they
//! were read, so that a changed file never meets an old cache. It is written
//! beside its place and renamed: a kill leaves a whole cache or none.

use super::date;
use super::lines::Lines;
use super::read::{Input, ReadOptions};
use super::table::{Table, Text, Values};
use crate::diag::{Code, Diagnostic, Diagnostics};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Float64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array, types::UInt32Type,
};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twox_hash::XxHash3_128;

/// The key of this project's entry in the file's metadata.
const ENTRY: &str = "mlpc";

/// Changes when tables are read otherwise than before.
const VERSION: u32 = 2;

/// What a cache says beside the columns.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) source: String,
    pub(super) notes: Vec<String>,
    pub(super) lines: Lines,
}

/// Where the cache of these inputs is, or would be.
///
/// # Errors
/// Where an input cannot be read.
pub(super) fn place(
    folder: &Path,
    inputs: &[Input],
    options: &ReadOptions,
) -> Result<PathBuf, Diagnostics> {
    let mut hash = XxHash3_128::new();
    let ReadOptions { delimiter, headers, limit, bad_row, in_memory: _, cache: _ } = options;
    hash.write(format!("{VERSION} {delimiter:?} {headers} {limit:?} {bad_row:?}").as_bytes());
    let mut buffer = vec![0; 1 << 18];
    for input in inputs {
        hash.write(input.name().as_bytes());
        let mut reader = input.bytes_as_they_are()?;
        let mut bytes = 0u64;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    hash.write(&buffer[..n]);
                    bytes += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(super::read::failed(&input.name(), &error)),
            }
        }
        hash.write(&bytes.to_le_bytes());
    }
    Ok(folder.join(format!("{:032x}.arrow", hash.finish_128())))
}

/// What a cache says beside its columns; none where it is not one.
pub(super) fn entry(path: &Path) -> Option<Entry> {
    let file = io::BufReader::new(std::fs::File::open(path).ok()?);
    let reader = arrow_ipc::reader::FileReader::try_new(file, None).ok()?;
    serde_json::from_str(reader.schema().metadata().get(ENTRY)?).ok()
}

/// Keeps a table.
///
/// # Errors
/// Where the folder cannot be written to.
pub(super) fn keep(path: &Path, table: &Table) -> Result<(), Diagnostics> {
    write(path, table).map_err(|error| {
        Diagnostic::error(
            Code::Output,
            format!("cannot keep the table in `{}`: {error}", path.display()),
        )
        .help("name a folder with room in `--cache`, or leave it out")
        .into()
    })
}

fn write(path: &Path, table: &Table) -> Result<(), ArrowError> {
    /// The rows of a batch.
    const ROWS: usize = 1 << 14;
    let entry = Entry {
        source: table.source.clone(),
        notes: table.notes.clone(),
        lines: table.lines.clone(),
    };
    let entry =
        serde_json::to_string(&entry).map_err(|error| ArrowError::ExternalError(error.into()))?;
    let fields: Vec<Field> =
        table.columns.iter().map(|c| Field::new(&c.name, data_type(&c.values), true)).collect();
    let metadata = HashMap::from([(ENTRY.to_owned(), entry)]);
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    // The levels of a column are shared by its batches.
    let levels: Vec<Option<Arc<dyn Array>>> = table
        .columns
        .iter()
        .map(|column| match &column.values {
            Values::Text(text) => {
                Some(Arc::new(StringArray::from_iter_values(&text.levels)) as ArrayRef)
            }
            _ => None,
        })
        .collect();

    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let file = tempfile::NamedTempFile::new_in(folder)?;
    let mut writer = FileWriter::try_new(BufWriter::new(file), &schema)?;
    for start in (0..table.rows()).step_by(ROWS) {
        let rows = start..table.rows().min(start + ROWS);
        let arrays = table
            .columns
            .iter()
            .zip(&levels)
            .map(|(column, levels)| array(&column.values, levels.as_ref(), rows.clone()));
        writer.write(&RecordBatch::try_new(schema.clone(), arrays.collect::<Result<_, _>>()?)?)?;
    }
    let file = writer.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn data_type(values: &Values) -> DataType {
    match values {
        Values::Numbers(_) => DataType::Float64,
        Values::Dates(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        Values::Text(_) => DataType::Dictionary(DataType::UInt32.into(), DataType::Utf8.into()),
    }
}

fn array(
    values: &Values,
    levels: Option<&ArrayRef>,
    rows: std::ops::Range<usize>,
) -> Result<ArrayRef, ArrowError> {
    let present = |x: &f64| (!x.is_nan()).then_some(*x);
    Ok(match values {
        Values::Numbers(cells) => {
            Arc::new(cells[rows].iter().map(present).collect::<Float64Array>())
        }
        Values::Dates(cells) => {
            let micros = |x: &f64| present(x).map(date::micros);
            Arc::new(cells[rows].iter().map(micros).collect::<TimestampMicrosecondArray>())
        }
        Values::Text(text) => {
            let code = |code: &u32| (*code != Text::MISSING).then_some(*code);
            let codes: UInt32Array = text.codes[rows].iter().map(code).collect();
            let levels = levels.expect("a column of text has its levels").clone();
            Arc::new(DictionaryArray::<UInt32Type>::try_new(codes, levels)?)
        }
    })
}
