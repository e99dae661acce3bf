//! Parquet and Arrow IPC files: columns that have types already.
//!
//! Their types become the table's three: numbers of every kind and width are
//! f64 (as the numbers of a text are), dates and timestamps are seconds, text
//! and booleans are levels. Null is missing, and so is, as in a text, an
//! empty string or `NA`.

use super::super::batch::Batch;
use super::super::date;
use super::super::dictionary::Dictionary;
use super::super::lines::Lines;
use super::super::names::list;
use super::super::table::{Text, Values};
use super::batches::Piece;
use super::scan::Scanned;
use super::{count, failed};
use crate::diag::{Code, Diagnostic, Diagnostics};
use arrow_array::types::{Float64Type, TimestampMicrosecondType, UInt32Type};
use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_schema::{ArrowError, DataType, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;
use std::sync::Arc;

/// The rows of a batch.
const ROWS: usize = 8192;

/// A file of typed columns, batch by batch.
pub(crate) struct Columns {
    file: Arc<str>,
    schema: SchemaRef,
    batches: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>,
    map: Option<Arc<[u32]>>,
    rows: u64,
}

/// Some rows that are yet to be converted.
pub(crate) struct ColumnsPiece {
    file: Arc<str>,
    batch: RecordBatch,
    map: Option<Arc<[u32]>>,
    /// The number of the first row.
    row: u64,
}

trait ReadSeek: Read + Seek + Send {}
impl<R: Read + Seek + Send> ReadSeek for R {}

impl Columns {
    /// Opens a Parquet or an Arrow file: at its path where it has one, since
    /// both have their table of contents at the end.
    pub(crate) fn open(
        file: Arc<str>,
        path: Option<&Path>,
        mut reader: Box<dyn Read + Send>,
        arrow: bool,
    ) -> Result<Columns, Diagnostics> {
        let broken = |error: &dyn std::fmt::Display| {
            let format = if arrow { "an Arrow" } else { "a Parquet" };
            let message = format!("`{file}` is {format} file that cannot be read: {error}");
            Diagnostics::from(
                Diagnostic::error(Code::DataFormat, message)
                    .in_file(&*file, None)
                    .help("the file is damaged or its download was cut short: get it again"),
            )
        };
        let mut whole = || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map_err(|error| failed(&file, &error))?;
            Ok::<_, Diagnostics>(bytes)
        };
        let open = |path: &Path| File::open(path).map_err(|error| failed(&file, &error));
        let (schema, batches): (_, Box<dyn Iterator<Item = _> + Send>) = if arrow {
            let source: Box<dyn ReadSeek> = match path {
                Some(path) => Box::new(BufReader::new(open(path)?)),
                None => Box::new(Cursor::new(whole()?)),
            };
            let reader = arrow_ipc::reader::FileReader::try_new(source, None)
                .map_err(|error| broken(&error))?;
            (reader.schema(), Box::new(reader))
        } else {
            let parquet = |error: ParquetError| broken(&error);
            match path {
                Some(path) => {
                    let builder = ParquetRecordBatchReaderBuilder::try_new(open(path)?);
                    let builder = builder.map_err(parquet)?.with_batch_size(ROWS);
                    (builder.schema().clone(), Box::new(builder.build().map_err(parquet)?))
                }
                None => {
                    let bytes = bytes::Bytes::from(whole()?);
                    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes);
                    let builder = builder.map_err(parquet)?.with_batch_size(ROWS);
                    (builder.schema().clone(), Box::new(builder.build().map_err(parquet)?))
                }
            }
        };
        Ok(Columns { file, schema, batches, map: None, rows: 0 })
    }

    /// The column names, or what is wrong with them.
    pub(crate) fn names(&self) -> Result<Vec<String>, Diagnostics> {
        let complain = |message: String| {
            Diagnostics::from(
                Diagnostic::error(Code::DataFormat, message)
                    .in_file(&*self.file, None)
                    .help("rename the column where the file is written"),
            )
        };
        let fields = self.schema.fields().iter();
        let names: Vec<String> = fields.map(|field| field.name().trim().to_owned()).collect();
        if names.is_empty() {
            return Err(complain(format!("`{}` has no columns", self.file)));
        }
        for (i, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(complain(format!("column {} has no name", i + 1)));
            }
            if let Some(first) = names[..i].iter().position(|other| other == name) {
                let message =
                    format!("columns {} and {} are both called `{name}`", first + 1, i + 1);
                return Err(complain(message));
            }
        }
        Ok(names)
    }

    /// Says which columns make the table's, where they are not the same.
    pub(crate) fn select(&mut self, map: Option<Arc<[u32]>>) {
        self.map = map;
    }

    /// What the user should know of the columns' types.
    pub(crate) fn notes(&self) -> Vec<String> {
        let fields = self.schema.fields().iter();
        let other: Vec<&str> = fields
            .filter(|field| Target::of(field.data_type()) == Target::Nothing)
            .map(|field| field.name().as_str())
            .collect();
        match other.len() {
            0 => Vec::new(),
            n => vec![format!(
                "`{}` has {} of types that are not read, taken as missing: {}",
                self.file,
                count(n, "column"),
                list(other.iter().copied(), 10)
            )],
        }
    }

    /// The next pieces, up to so many; none at the end.
    pub(crate) fn take(&mut self, most: usize) -> Result<Vec<Piece>, Diagnostics> {
        let mut pieces = Vec::new();
        while pieces.len() < most {
            let Some(batch) = self.batches.next() else { break };
            let batch = batch.map_err(|error| {
                let message = format!("reading `{}` failed: {error}", self.file);
                Diagnostic::error(Code::DataFile, message)
                    .in_file(&*self.file, None)
                    .help("the file is damaged: get it again")
            })?;
            let row = self.rows + 1;
            self.rows += batch.num_rows() as u64;
            let (file, map) = (self.file.clone(), self.map.clone());
            pieces.push(Piece::of_columns(ColumnsPiece { file, batch, map, row }));
        }
        Ok(pieces)
    }
}

impl ColumnsPiece {
    /// Converts its columns.
    pub(crate) fn scan(self) -> Scanned {
        let mut lines = Lines::default();
        lines.number_rows();
        lines.start_file(self.file);
        lines.push_run(self.row, self.batch.num_rows());
        let columns = match &self.map {
            None => self.batch.columns().iter().map(values).collect(),
            Some(map) => map.iter().map(|&i| values(self.batch.column(i as usize))).collect(),
        };
        Scanned { batch: Batch::of_columns(lines, columns), ..Scanned::default() }
    }
}

/// What a type becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Numbers,
    Dates,
    Text,
    Booleans,
    Nothing,
}

impl Target {
    fn of(data_type: &DataType) -> Target {
        match data_type {
            DataType::Boolean => Target::Booleans,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Target::Text,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Target::Dates,
            DataType::Dictionary(_, levels) => match Target::of(levels) {
                Target::Booleans => Target::Nothing,
                target => target,
            },
            DataType::Null => Target::Numbers,
            other if other.is_numeric() => Target::Numbers,
            _ => Target::Nothing,
        }
    }
}

fn values(array: &Arc<dyn Array>) -> Values {
    let rows = array.len();
    let target = Target::of(array.data_type());
    if let (Target::Text, DataType::Dictionary(..)) = (target, array.data_type())
        && let Some(text) = dictionary(array)
    {
        return Values::Text(text);
    }
    let to = match target {
        Target::Numbers => DataType::Float64,
        Target::Dates => DataType::Timestamp(TimeUnit::Microsecond, None),
        Target::Text => DataType::Utf8,
        Target::Booleans => DataType::Boolean,
        Target::Nothing => DataType::Null,
    };
    // What cannot be cast (a date beyond the range of microseconds) is null.
    let cast = match target {
        Target::Nothing => None,
        _ => arrow_cast::cast(without_zone(array).as_ref(), &to).ok(),
    };
    let Some(cast) = cast else {
        return Values::Numbers(vec![f64::NAN; rows].into());
    };
    let present = |i: &usize| !cast.is_null(*i);
    match target {
        Target::Numbers => {
            let numbers = cast.as_primitive::<Float64Type>();
            let cell = |i| if numbers.is_null(i) { f64::NAN } else { numbers.value(i) };
            Values::Numbers(match numbers.null_count() {
                0 => numbers.values().to_vec().into(),
                _ => (0..rows).map(cell).collect::<Vec<_>>().into(),
            })
        }
        Target::Dates => {
            let micros = cast.as_primitive::<TimestampMicrosecondType>();
            let cell = |i| match micros.is_null(i) {
                true => f64::NAN,
                false => date::seconds(micros.value(i)),
            };
            Values::Dates((0..rows).map(cell).collect::<Vec<_>>().into())
        }
        Target::Booleans => {
            let yes = cast.as_boolean();
            let cell = |i: usize| match yes.value(i) {
                _ if !present(&i) => "",
                true => "true",
                false => "false",
            };
            text(rows, cell)
        }
        Target::Text => {
            let strings = cast.as_string::<i32>();
            text(rows, |i: usize| if present(&i) { strings.value(i) } else { "" })
        }
        Target::Nothing => unreachable!("it has not been cast"),
    }
}

/// A dictionary of texts: its levels are looked at, and not its cells.
fn dictionary(array: &Arc<dyn Array>) -> Option<Text> {
    let array = array.as_any_dictionary_opt()?;
    let levels = arrow_cast::cast(array.values().as_ref(), &DataType::Utf8).ok()?;
    let levels = levels.as_string::<i32>();
    let codes = arrow_cast::cast(array.keys(), &DataType::UInt32).ok()?;
    let codes = codes.as_primitive::<UInt32Type>();
    let code = |code: Option<u32>| code.unwrap_or(Text::MISSING);
    let text = Text {
        codes: codes.iter().map(code).collect::<Vec<_>>().into(),
        levels: levels.iter().map(|level| level.unwrap_or_default().to_owned()).collect(),
        boolean: false,
    };
    let cell = |row: usize| text.levels.get(text.codes[row] as usize).map_or("", String::as_str);
    Some(Dictionary::of_text(&text).into_text(cell))
}

/// A timestamp of a zone is stored in UTC; as it stands is as it is wanted.
fn without_zone(array: &Arc<dyn Array>) -> Arc<dyn Array> {
    use arrow_array::types::{
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    };
    macro_rules! plain {
        ($kind:ty) => {
            Arc::new(array.as_primitive::<$kind>().clone().with_timezone_opt(None::<String>))
        };
    }
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, Some(_)) => plain!(TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => plain!(TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => plain!(TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => plain!(TimestampNanosecondType),
        _ => array.clone(),
    }
}

fn text<'a>(rows: usize, cell: impl Fn(usize) -> &'a str) -> Values {
    let cells = (0..rows).map(|row| cell(row).as_bytes());
    Values::Text(Dictionary::of(cells).into_text(cell))
}
