//! What separates the columns of a text, told from its first records.

use super::scan::{Ranges, Records};
use super::{ReadOptions, count};
use crate::diag::{Code, Diagnostic, Diagnostics};
use memchr::memchr;
use std::collections::HashMap;

/// How a text is cut into cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Stands between cells.
    pub(crate) delimiter: u8,
    /// Ends a line: `\n`, also where `\r` stands before it, or `\r` alone.
    pub(crate) terminator: u8,
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect { delimiter: b',', terminator: b'\n' }
    }
}

/// The delimiters that are looked for, the likeliest first.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// How many records the choice looks at.
const RECORDS: usize = 100;

impl Dialect {
    /// The dialect of a text that starts like this: the delimiter that gives
    /// most of the first records as many cells, more than one, as the very
    /// first; of several, the one that gives the more cells.
    pub(crate) fn of(sample: &[u8], options: &ReadOptions) -> Dialect {
        let lone = memchr(b'\n', sample).is_none() && memchr(b'\r', sample).is_some();
        let terminator = if lone { b'\r' } else { b'\n' };
        let with = |delimiter| Dialect { delimiter, terminator };
        if let Some(delimiter) = options.delimiter {
            return with(delimiter);
        }
        let mut best = (0.0, 0, b',');
        for delimiter in DELIMITERS {
            let (alike, width) = score(sample, with(delimiter));
            if width > 1 && (alike, width) > (best.0, best.1) {
                best = (alike, width, delimiter);
            }
        }
        with(best.2)
    }

    /// The delimiter in the words of a message.
    pub(crate) fn delimiter_name(&self) -> String {
        match self.delimiter {
            b',' => "a comma".to_owned(),
            b'\t' => "a tab".to_owned(),
            other => format!("`{}`", char::from(other)),
        }
    }
}

/// The share of records that are as wide as the first, and that width.
fn score(sample: &[u8], dialect: Dialect) -> (f64, usize) {
    let mut records = Records::new(sample, dialect, 1);
    let mut ranges = Ranges::default();
    let mut widths = Vec::new();
    while widths.len() < RECORDS && records.next(&mut ranges).is_some() {
        widths.push(ranges.len());
        ranges.truncate(0);
    }
    // The sample may end in the middle of a record.
    if widths.len() > 2 && widths.len() < RECORDS {
        widths.pop();
    }
    let first = widths.first().copied().unwrap_or(0);
    let alike = widths.iter().filter(|&&width| width == first).count();
    (alike as f64 / widths.len().max(1) as f64, first)
}

/// A text's header, and where its rows start.
pub(crate) struct Header {
    pub(crate) names: Vec<String>,
    /// The offset of the first row, and its line.
    pub(crate) body: (usize, u64),
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// Reads the column names from a text's first record, or counts its cells
/// where the text has no header.
pub(crate) fn header(
    sample: &[u8],
    dialect: Dialect,
    options: &ReadOptions,
    file: &str,
) -> Result<Header, Diagnostics> {
    let mut records = Records::new(sample, dialect, 1);
    let mut ranges = Ranges::default();
    let Some(record) = records.next(&mut ranges) else {
        return Err(Diagnostic::error(Code::DataFormat, "the data file is empty")
            .in_file(file, None)
            .help("a table starts with a line of column names")
            .into());
    };
    let (at, line) = records.position();
    let bytes = [sample, records.unescaped()].concat();
    let cells: Vec<&[u8]> = ranges.as_slice().step_by(1).map(|cell| &bytes[cell]).collect();
    if !options.headers {
        let names = (1..=cells.len()).map(|i| format!("column_{i}")).collect();
        return Ok(Header { names, body: (0, 1), notes: Vec::new() });
    }
    let names = names(&cells, file, record.line)?;
    let mut notes = Vec::new();
    if names.iter().all(|name| name.parse::<f64>().is_ok()) {
        notes.push(format!(
            "the first line of `{file}`, all numbers, is taken for column names: \
             `--no-headers` takes it for a row"
        ));
    }
    Ok(Header { names, body: (at, line), notes })
}

/// The names in a header, or all that is wrong with them.
fn names(cells: &[&[u8]], file: &str, line: u64) -> Result<Vec<String>, Diagnostics> {
    let complain =
        |message: String| Diagnostic::error(Code::DataFormat, message).in_file(file, Some(line));
    let mut errors = Vec::new();
    let mut names = Vec::with_capacity(cells.len());
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut wrong = 0;
    for (i, raw) in cells.iter().enumerate() {
        let Ok(name) = std::str::from_utf8(raw) else {
            let bad = complain(format!("the name of column {} is not UTF-8", i + 1));
            return Err(bad.help("save the file as UTF-8").into());
        };
        if memchr(0, raw).is_some() {
            let bad = complain(format!("the name of column {} holds a NUL byte", i + 1));
            return Err(bad.help("is the file a text in UTF-8?").into());
        }
        let name = name.trim();
        let error = if name.is_empty() {
            Some(
                complain(format!("column {} has no name", i + 1))
                    .help("the first line names every column; give this one a name"),
            )
        } else {
            seen.insert(name.to_owned(), i + 1).map(|first| {
                complain(format!("columns {first} and {} are both called `{name}`", i + 1))
                    .help("rename one of them; `--no-headers` takes the first line for a row")
            })
        };
        wrong += usize::from(error.is_some());
        errors.extend(error.filter(|_| wrong <= super::super::table::SHOWN));
        names.push(name.to_owned());
    }
    let more = wrong.saturating_sub(super::super::table::SHOWN);
    if more > 0
        && let Some(last) = errors.last_mut()
    {
        last.notes.push(format!("and {} more", count(more, "such name")));
    }
    Diagnostics::none_of(errors, || names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sample: &str) -> (char, char) {
        let dialect = Dialect::of(sample.as_bytes(), &ReadOptions::default());
        (char::from(dialect.delimiter), char::from(dialect.terminator))
    }

    #[test]
    fn delimiters_are_told_from_the_text() {
        assert_eq!(told("a,b\n1,2\n"), (',', '\n'));
        assert_eq!(told("a;b\n1,5;2,5\n"), (';', '\n'));
        assert_eq!(told("a\tb\r\n1,5\t2,5\r\n"), ('\t', '\n'));
        assert_eq!(told("a|b\r1|2\r"), ('|', '\r'));
        assert_eq!(told("name,note\nx,a;b\ny,c;d;e\n"), (',', '\n'));
        assert_eq!(told("\"a;b\",c\n\"1;2\",3\n"), (',', '\n'));
        // One column, and a text that looks like nothing.
        assert_eq!(told("a\n1\n2\n"), (',', '\n'));
        assert_eq!(told(""), (',', '\n'));
        // The last record of a sample may be cut.
        assert_eq!(told("a;b\n1;2\n3;4\n5"), (';', '\n'));
        let given = ReadOptions { delimiter: Some(b'|'), ..ReadOptions::default() };
        assert_eq!(Dialect::of(b"a,b\n1,2\n", &given).delimiter, b'|');
    }
}
