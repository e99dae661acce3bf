//! A table in memory: typed columns.
//!
//! A column is numbers where every cell that is there is one, and text
//! otherwise. Which it is shows only at the end, so the first pass parses
//! every column as numbers until it meets text, and a second pass, over the
//! same bytes, collects the columns that turned out to be text. Numbers are
//! parsed once and no cell is ever a `String` of its own.

use super::buffer::Buffer;
use super::cell::{self, Cell};
use super::date;
use super::lines::{Lines, Place};
use super::rows::{Rows, open};
use crate::diag::{Code, Diagnostic, Diagnostics};
use csv::ByteRecord;
use std::collections::HashMap;
use std::io::Read;
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
    /// Reads a CSV file.
    pub fn read(path: &Path) -> Result<Table, Diagnostics> {
        let mut bytes = Vec::new();
        open(path)?.read_to_end(&mut bytes).map_err(|error| {
            Diagnostic::error(Code::DataFile, format!("cannot read `{}`: {error}", path.display()))
                .in_file(path, None)
                .help("check the file and the disk it is on")
        })?;
        Table::parse(&bytes, &path.display().to_string())
    }

    /// Reads a CSV text from any reader, such as stdin, whole.
    pub fn from_reader(mut reader: impl Read, source: &str) -> Result<Table, Diagnostics> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|error| {
            Diagnostic::error(Code::DataFile, format!("cannot read `{source}`: {error}"))
                .in_file(source, None)
                .help("check where the data comes from")
        })?;
        Table::parse(&bytes, source)
    }

    /// Reads a CSV text that is in memory.
    pub fn parse(bytes: &[u8], source: &str) -> Result<Table, Diagnostics> {
        let mut rows = Rows::new(bytes, source)?;
        let mut builders: Vec<Builder> = rows.header().iter().map(|_| Builder::default()).collect();
        let mut lines = Lines::default();
        lines.start_file(source.into());
        let mut ragged = Vec::new();
        let mut ragged_count = 0;
        let mut record = ByteRecord::new();
        loop {
            match rows.next(&mut record) {
                Ok(None) => break,
                Ok(Some(line)) => {
                    lines.push(line);
                    for (builder, raw) in builders.iter_mut().zip(&record) {
                        builder.push(raw);
                    }
                }
                Err(error) => {
                    ragged_count += 1;
                    if ragged.len() < SHOWN {
                        ragged.extend(error.iter().cloned());
                    }
                }
            }
        }
        let more = ragged_count - ragged.len();
        if more > 0
            && let Some(last) = ragged.last_mut()
        {
            last.notes.push(format!("and {more} more such lines"));
        }
        if !ragged.is_empty() {
            return Diagnostics::none_of(ragged, || unreachable!("the list holds errors"));
        }
        if lines.is_empty() {
            return Err(Diagnostic::error(Code::DataFormat, "the table has a header but no rows")
                .in_file(source, None)
                .help("add rows below the line of column names")
                .into());
        }
        if u32::try_from(lines.len()).is_err() {
            return Err(Diagnostic::error(
                Code::DataFormat,
                format!("the table has {} rows; at most {} can be read", lines.len(), u32::MAX),
            )
            .in_file(source, None)
            .help("use a part of the rows")
            .into());
        }

        let names = rows.header().to_vec();
        let texts = collect_text(bytes, source, &names, &builders, lines.len())?;
        let columns = names.into_iter().zip(builders).zip(texts);
        let columns = columns.map(|((name, builder), text)| match text {
            Some(text) => {
                let values = dates(&text).unwrap_or(Values::Text(text));
                Column { name, values, infinite: Infinite::default() }
            }
            None => Column {
                name,
                values: Values::Numbers(builder.numbers.into()),
                infinite: builder.infinite,
            },
        });
        Ok(Table {
            source: source.to_owned(),
            columns: columns.collect(),
            lines,
            notes: Vec::new(),
        })
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
    pub fn cell(&self, row: usize) -> String {
        match &self.values {
            Values::Numbers(numbers) if numbers[row].is_nan() => String::new(),
            Values::Numbers(numbers) => numbers[row].to_string(),
            Values::Dates(seconds) => date::format(seconds[row]),
            Values::Text(text) => {
                text.levels.get(text.codes[row] as usize).cloned().unwrap_or_default()
            }
        }
    }

    /// Whether a cell is missing.
    pub fn is_missing(&self, row: usize) -> bool {
        match &self.values {
            Values::Numbers(cells) | Values::Dates(cells) => cells[row].is_nan(),
            Values::Text(text) => text.codes[row] == Text::MISSING,
        }
    }
}

/// A column in the first pass.
#[derive(Default)]
struct Builder {
    numbers: Vec<f64>,
    infinite: Infinite,
    is_text: bool,
}

impl Builder {
    fn push(&mut self, raw: &[u8]) {
        if self.is_text {
            return;
        }
        let number = match cell::classify(raw) {
            Cell::Number(number) => number,
            Cell::Missing => f64::NAN,
            Cell::Infinite => {
                self.infinite.count += 1;
                if self.infinite.first.len() < SHOWN {
                    self.infinite.first.push((self.numbers.len(), cell::shown(raw)));
                }
                f64::INFINITY
            }
            Cell::Text => {
                // The second pass reads this column.
                *self = Builder { is_text: true, ..Builder::default() };
                return;
            }
        };
        self.numbers.push(number);
    }
}

/// The column as dates, where it holds nothing else.
fn dates(text: &Text) -> Option<Values> {
    let seconds: Option<Vec<f64>> =
        text.levels.iter().map(|level| date::parse(level.trim().as_bytes())).collect();
    let seconds = seconds?;
    let of = |code: &u32| seconds.get(*code as usize).copied().unwrap_or(f64::NAN);
    Some(Values::Dates(text.codes.iter().map(of).collect::<Vec<_>>().into()))
}

/// The second pass: the columns that hold text, and `None` for the others.
fn collect_text(
    bytes: &[u8],
    source: &str,
    names: &[String],
    builders: &[Builder],
    rows: usize,
) -> Result<Vec<Option<Text>>, Diagnostics> {
    let mut texts: Vec<Option<Text>> =
        builders.iter().map(|b| b.is_text.then(Text::default)).collect();
    let mut codes: Vec<Vec<u32>> =
        builders.iter().map(|b| Vec::with_capacity(if b.is_text { rows } else { 0 })).collect();
    let wanted: Vec<usize> = (0..texts.len()).filter(|&i| texts[i].is_some()).collect();
    if wanted.is_empty() {
        return Ok(texts);
    }
    let mut known: Vec<HashMap<Box<[u8]>, u32>> = vec![HashMap::new(); texts.len()];
    let mut reader = Rows::new(bytes, source)?;
    let mut record = ByteRecord::new();
    while let Some(line) = reader.next(&mut record)? {
        for &i in &wanted {
            let text = texts[i].as_mut().expect("only columns with text are wanted");
            let raw = &record[i];
            if cell::is_missing(raw.trim_ascii()) {
                codes[i].push(Text::MISSING);
                continue;
            }
            let code = match known[i].get(raw) {
                Some(&code) => code,
                None => {
                    let Ok(level) = std::str::from_utf8(raw) else {
                        let mut lines = Lines::default();
                        lines.start_file(source.into());
                        lines.push(line);
                        return Err(not_utf8(&lines.place(0), &names[i], raw).into());
                    };
                    let code = text.levels.len() as u32; // at most the number of rows, a u32
                    text.levels.push(level.to_owned());
                    known[i].insert(raw.into(), code);
                    code
                }
            };
            codes[i].push(code);
        }
    }
    for (text, codes) in texts.iter_mut().zip(codes) {
        if let Some(text) = text {
            text.codes = codes.into();
            merge_booleans(text);
        }
    }
    Ok(texts)
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
fn merge_booleans(text: &mut Text) {
    if !text.levels.iter().all(|level| is_boolean(level)) {
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
        assert!(shown.contains("and 2 more such lines"), "{shown}");
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
