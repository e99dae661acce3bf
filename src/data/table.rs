//! A table in memory: typed columns.

use super::buffer::{Buffer, Storage};
use super::build;
use super::cell;
use super::date;
use super::lines::{Lines, Place};
use super::read::{Input, ReadOptions, failed};
use crate::diag::{Code, Diagnostic, Diagnostics};
use rayon::prelude::*;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

/// How many errors of a kind are shown; the rest is counted.
pub(crate) const SHOWN: usize = 10;

/// A table with named, typed columns of equal length.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What messages call the file.
    pub source: String,
    /// The columns, in the order of the file.
    pub columns: Vec<Column>,
    /// Where each row stands.
    pub lines: Lines,
    /// What the user should know of how the file was read.
    pub notes: Vec<String>,
    /// Where its cells are, and where what is made of them should go.
    pub storage: Storage,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name in the header.
    pub name: String,
    /// Its cells.
    pub values: Values,
    /// Cells of a numeric column that f64 cannot hold (`1e400`, `inf`).
    pub(crate) infinite: Infinite,
}

/// The cells of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers; NaN where missing.
    Numbers(Buffer<f64>),
    /// Text.
    Text(Text),
    /// ISO 8601 dates, in seconds since 1970 in UTC; NaN where missing.
    Dates(Buffer<f64>),
}

/// A column of text, dictionary-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// The level of each row, or [`Text::MISSING`].
    pub codes: Buffer<u32>,
    /// The distinct texts, in the order of their first occurrence.
    pub levels: Vec<String>,
    /// Whether all levels are `true` or `false`, in any case; then spellings
    /// that differ in case alone are one level.
    pub boolean: bool,
}

impl Text {
    /// The code of a missing cell.
    pub const MISSING: u32 = u32::MAX;
}

/// Cells that hold a number which f64 cannot: the first ones, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Infinite {
    pub(crate) first: Vec<(usize, String)>,
    pub(crate) count: usize,
}

impl Table {
    /// Reads a file of any format: CSV and its like, Parquet, Arrow IPC.
    ///
    /// # Errors
    /// Where it cannot be read or is no table: all that is wrong with its
    /// rows, up to ten of a kind and a count of the rest.
    pub fn read(path: &Path) -> Result<Table, Diagnostics> {
        Table::load(vec![Input::File(path.to_owned())], &ReadOptions::default())
    }

    /// Reads several files as one table: the columns are those of the first,
    /// and found by name in the others. Work is done on the threads of the
    /// current rayon pool; the result does not depend on their number.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn load(inputs: Vec<Input>, options: &ReadOptions) -> Result<Table, Diagnostics> {
        build::table(inputs, options)
    }

    /// Reads a table from any reader, whole. `source` is what messages call it.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn from_reader(mut reader: impl Read, source: &str) -> Result<Table, Diagnostics> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|error| failed(source, &error))?;
        Table::parse(&bytes, source)
    }

    /// Reads a table that is in memory.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn parse(bytes: &[u8], source: &str) -> Result<Table, Diagnostics> {
        let input = Input::Memory { name: source.into(), bytes: bytes.into() };
        Table::load(vec![input], &ReadOptions::default())
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column names.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Where a row stands.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn place(&self, row: usize) -> Place {
        self.lines.place(row)
    }
}

impl Column {
    /// A cell as text that reads back as the same value; empty where missing.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn cell(&self, row: usize) -> String {
        self.values.cell(row)
    }

    /// Whether a cell is missing.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn is_missing(&self, row: usize) -> bool {
        self.values.is_missing(row)
    }
}

impl Values {
    pub(crate) fn cell(&self, row: usize) -> String {
        match self {
            Values::Numbers(numbers) if numbers[row].is_nan() => String::new(),
            Values::Numbers(numbers) => numbers[row].to_string(),
            Values::Dates(seconds) => date::format(seconds[row]),
            Values::Text(text) => {
                text.levels.get(text.codes[row] as usize).cloned().unwrap_or_default()
            }
        }
    }

    /// How many of these rows' cells are missing; the rows ascend.
    pub(crate) fn missing_in(&self, rows: &[u32]) -> usize {
        fn count<T: Copy>(cells: &[T], rows: &[u32], is_missing: impl Fn(T) -> bool) -> usize {
            let count = |cell: T| usize::from(is_missing(cell));
            match span(rows) {
                Some(span) => cells[span].iter().map(|&cell| count(cell)).sum(),
                None => rows.iter().map(|&row| count(cells[row as usize])).sum(),
            }
        }
        match self {
            Values::Numbers(cells) | Values::Dates(cells) => count(cells, rows, f64::is_nan),
            Values::Text(text) => count(&text.codes, rows, |code| code == Text::MISSING),
        }
    }

    /// Takes the rows whose cells are missing out of those that are kept; how many
    /// these are.
    pub(crate) fn drop_missing(&self, keep: &mut [bool]) -> usize {
        fn drop<T: Copy + Sync>(
            cells: &[T],
            keep: &mut [bool],
            is_missing: impl Fn(T) -> bool + Sync,
        ) -> usize {
            const ROWS: usize = 1 << 14;
            let parts = keep.par_chunks_mut(ROWS).zip(cells.par_chunks(ROWS));
            let dropped = parts.map(|(keep, cells)| {
                let mut dropped = 0;
                for (keep, &cell) in keep.iter_mut().zip(cells) {
                    let drops = *keep & is_missing(cell);
                    *keep &= !drops;
                    dropped += usize::from(drops);
                }
                dropped
            });
            dropped.sum()
        }
        match self {
            Values::Numbers(cells) | Values::Dates(cells) => drop(cells, keep, f64::is_nan),
            Values::Text(text) => drop(&text.codes, keep, |code| code == Text::MISSING),
        }
    }

    pub(crate) fn is_missing(&self, row: usize) -> bool {
        match self {
            Values::Numbers(cells) | Values::Dates(cells) => cells[row].is_nan(),
            Values::Text(text) => text.codes[row] == Text::MISSING,
        }
    }
}

/// Where ascending rows lie side by side.
pub(crate) fn span(rows: &[u32]) -> Option<Range<usize>> {
    let (&first, &last) = (rows.first()?, rows.last()?);
    let span = first as usize..last as usize + 1;
    (span.len() == rows.len()).then_some(span)
}

pub(crate) fn not_utf8(place: &Place, column: &str, raw: &[u8]) -> Diagnostic {
    Diagnostic::error(
        Code::DataFormat,
        format!("{place}, column `{column}`: `{}` is not UTF-8", cell::shown(raw)),
    )
    .in_file(&*place.file, Some(place.line))
    .help("save the file as UTF-8")
}

/// Makes `True` and `true` one level where a column holds nothing else than
/// such words; the first spelling stays.
pub(crate) fn merge_booleans(text: &mut Text) {
    if text.levels.is_empty() || !text.levels.iter().all(|level| is_boolean(level)) {
        return;
    }
    text.boolean = true;
    let mut kept: Vec<String> = Vec::new();
    let mut new_code = Vec::new();
    for level in text.levels.drain(..) {
        let level = level.trim();
        let same = kept.iter().position(|other| other.eq_ignore_ascii_case(level));
        new_code.push(same.unwrap_or_else(|| {
            kept.push(level.to_owned());
            kept.len() - 1
        }) as u32);
    }
    text.levels = kept;
    if new_code.iter().enumerate().all(|(i, &code)| i == code as usize) {
        return;
    }
    let new = |code: &u32| new_code.get(*code as usize).copied().unwrap_or(Text::MISSING);
    text.codes = text.codes.iter().map(new).collect::<Vec<_>>().into();
}

fn is_boolean(level: &str) -> bool {
    let level = level.trim();
    level.eq_ignore_ascii_case("true") || level.eq_ignore_ascii_case("false")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::testing::rendered;
    use insta::assert_snapshot;
    use proptest::prelude::*;

    fn parse(text: &str) -> Table {
        Table::parse(text.as_bytes(), "t.csv").unwrap()
    }

    fn refused(text: &[u8]) -> String {
        rendered(&Table::parse(text, "t.csv").unwrap_err())
    }

    #[test]
    fn columns_get_types() {
        let table = parse("n,t,b,m\n1, x ,TRUE,\n NA ,NA,false,\n-2e1,\"a,\"\"b\",true,nan\n");
        assert_eq!(table.rows(), 3);
        assert_eq!((0..3).map(|row| table.lines.line(row)).collect::<Vec<_>>(), [2, 3, 4]);
        let cells = |name: &str| {
            let column = table.column(name).unwrap();
            (0..3).map(|row| column.cell(row)).collect::<Vec<_>>()
        };
        assert_eq!(cells("n"), ["1", "", "-20"]);
        assert_eq!(cells("t"), [" x ", "", "a,\"b"]);
        assert_eq!(cells("b"), ["TRUE", "false", "TRUE"]);
        assert_eq!(cells("m"), ["", "", ""]);
        assert!(matches!(table.columns[0].values, Values::Numbers(_)));
        assert!(matches!(&table.columns[2].values, Values::Text(text) if text.boolean));
        assert!(matches!(table.columns[3].values, Values::Numbers(_)));
    }

    #[test]
    fn numbers_that_are_too_large_are_kept_apart() {
        let table = parse("a,b\n1,inf\ninf,x\n1e400,2\n");
        assert_eq!(table.columns[0].infinite.first, [(1, "inf".into()), (2, "1e400".into())]);
        assert_eq!(table.columns[0].infinite.count, 2);
        // Among text, `inf` is a text like any other.
        assert_eq!(table.columns[1].infinite, Infinite::default());
        assert_eq!(table.columns[1].cell(0), "inf");
    }

    #[test]
    fn bad_tables() {
        assert_snapshot!(refused(b"a,b\n"), @r#"
        error[E202]: the table has a header but no rows
        --> t.csv
         = help: add rows below the line of column names
        "#);
        assert_snapshot!(refused(b"a,b\nx,\xe9t\xe9\n"), @r#"
        error[E202]: line 2, column `b`: `�t�` is not UTF-8
        --> t.csv:2
         = help: save the file as UTF-8
        "#);
        let ragged = format!("a,b\n{}", "1\n".repeat(12));
        let shown = refused(ragged.as_bytes());
        assert_eq!(shown.matches("error[E202]").count(), SHOWN);
        assert!(shown.contains("and 2 more like this"), "{shown}");
    }

    proptest! {
        /// What is written as CSV is read back equal.
        #[test]
        fn round_trip(
            numbers in prop::collection::vec(
                prop_oneof![4 => any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Some), 1 => Just(None)],
                1..40,
            ),
            texts in prop::collection::vec("[ -~\n\"é,]{0,8}", 40),
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["number", "text", "word"]).unwrap();
            for (number, text) in numbers.iter().zip(&texts) {
                let number = number.map_or("NA".to_owned(), |x| x.to_string());
                // The third column keeps blank lines away.
                writer.write_record([number.as_str(), text, "w"]).unwrap();
            }
            let table = Table::parse(&writer.into_inner().unwrap(), "t.csv").unwrap();
            prop_assert_eq!(table.rows(), numbers.len());
            let Values::Numbers(read) = &table.columns[0].values else { panic!("not numbers") };
            for (read, written) in read.iter().zip(&numbers) {
                prop_assert_eq!(read.is_nan(), written.is_none());
                prop_assert!(written.is_none_or(|x| x == *read));
            }
            if let Values::Text(text) = &table.columns[1].values && !text.boolean {
                for (row, written) in texts.iter().take(numbers.len()).enumerate() {
                    if !table.columns[1].is_missing(row) {
                        prop_assert_eq!(&table.columns[1].cell(row), written);
                    } else {
                        prop_assert!(cell::is_missing(written.as_bytes().trim_ascii()));
                    }
                }
            }
        }
    }
}
