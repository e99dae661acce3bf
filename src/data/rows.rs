//! Records of a CSV file with their line numbers.

use super::batch::Batch;
use super::lines::Lines;
use crate::diag::{Code, Diagnostic, Diagnostics};
use csv::ByteRecord;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What to do with a row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadRow {
    /// It is an error; nothing is run.
    #[default]
    Error,
    /// It is left out, and counted.
    Skip,
}

/// Opens a data file; the error says in plain words why it cannot be read.
pub fn open(path: &Path) -> Result<File, Diagnostics> {
    let refuse = |message: String, help: &str| {
        Diagnostics::from(Diagnostic::error(Code::DataFile, message).in_file(path, None).help(help))
    };
    if path.is_dir() {
        return Err(refuse(
            format!("`{}` is a directory, not a data file", path.display()),
            "name one CSV file",
        ));
    }
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refuse(
            format!("the data file `{}` does not exist", path.display()),
            "check the path; a relative path starts at the working directory",
        ),
        io::ErrorKind::PermissionDenied => refuse(
            format!("no permission to read `{}`", path.display()),
            "ask the file's owner for permission to read it",
        ),
        _ => refuse(
            format!("cannot read `{}`: {error}", path.display()),
            "check the path and the disk",
        ),
    })
}

/// The records of a CSV text (RFC 4180: commas, doubled quotes, any line
/// ends) after its header; a stream, in constant memory.
pub struct Rows<R> {
    csv: csv::Reader<LineBreaks<R>>,
    source: String,
    header: Vec<String>,
}

impl<R: Read> Rows<R> {
    /// Reads the header. `source` is what messages call the file.
    pub fn new(reader: R, source: impl Into<String>) -> Result<Self, Diagnostics> {
        // Ragged rows are found here rather than by `csv`, to say more.
        let csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(1 << 18)
            .from_reader(LineBreaks::new(reader));
        let mut rows = Rows { csv, source: source.into(), header: Vec::new() };
        let mut record = ByteRecord::new();
        match rows.csv.read_byte_record(&mut record) {
            Err(error) => return Err(rows.failed(&error).into()),
            Ok(false) => {
                return Err(Diagnostic::error(Code::DataFormat, "the data file is empty")
                    .in_file(&rows.source, None)
                    .help("a table starts with a line of column names")
                    .into());
            }
            Ok(true) => {}
        }
        rows.header = rows.names(&record)?;
        Ok(rows)
    }

    /// The column names, without the blanks around them; all different.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// What messages call the file.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Reads the next record, as wide as the header, and returns its line
    /// (counted from 1, the header included); `None` at the end. After an
    /// error the next call goes on behind it.
    pub fn next(&mut self, record: &mut ByteRecord) -> Result<Option<u64>, Diagnostics> {
        match self.csv.read_byte_record(record) {
            Err(error) => return Err(self.failed(&error).into()),
            Ok(false) => return Ok(None),
            Ok(true) => {}
        }
        let start = record.position().map_or(0, csv::Position::byte);
        let line = self.csv.get_mut().line_at(start);
        if record.len() == self.header.len() {
            return Ok(Some(line));
        }
        let mut ragged = Diagnostic::error(
            Code::DataFormat,
            format!(
                "line {line} has {}, but the header has {}",
                count(record.len(), "field"),
                self.header.len()
            ),
        )
        .in_file(&self.source, Some(line));
        if record.as_slice().contains(&b'\n') {
            ragged = ragged.note("the record goes over several lines: is a quote left open?");
        }
        Err(ragged
            .help(format!(
                "give every line {}; a text that holds a comma needs quotes around it",
                count(self.header.len(), "field")
            ))
            .into())
    }

    /// Reads up to so many rows; `None` at the end.
    pub fn next_batch(&mut self, rows: usize) -> Result<Option<Batch>, Diagnostics> {
        let mut lines = Lines::default();
        lines.start_file(self.source.as_str().into());
        let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
        let mut record = ByteRecord::new();
        while lines.len() < rows {
            let Some(line) = self.next(&mut record)? else { break };
            lines.push(line);
            for cell in &record {
                let start = bytes.len() as u32;
                bytes.extend_from_slice(cell);
                ranges.push((start, bytes.len() as u32));
            }
        }
        let width = self.header.len();
        Ok((!lines.is_empty()).then(|| Batch::of_text(lines, bytes, ranges, width)))
    }

    /// The header's names, or all that is wrong with them.
    fn names(&self, record: &ByteRecord) -> Result<Vec<String>, Diagnostics> {
        let complain = |message: String| {
            Diagnostic::error(Code::DataFormat, message).in_file(&self.source, Some(1))
        };
        let mut errors = Vec::new();
        let mut names = Vec::with_capacity(record.len());
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (i, raw) in record.iter().enumerate() {
            let Ok(name) = std::str::from_utf8(raw) else {
                let bad = complain(format!("the name of column {} is not UTF-8", i + 1));
                return Err(bad.help("save the file as UTF-8").into());
            };
            let name = name.trim();
            if name.is_empty() {
                errors.push(
                    complain(format!("column {} has no name", i + 1))
                        .help("the first line names every column; give this one a name"),
                );
            } else if let Some(first) = seen.insert(name.to_owned(), i + 1) {
                errors.push(
                    complain(format!("columns {first} and {} are both called `{name}`", i + 1))
                        .help("rename one of them"),
                );
            }
            names.push(name.to_owned());
        }
        if let [only] = names.as_slice()
            && let Some(separator) = [';', '\t', '|'].into_iter().find(|c| only.contains(*c))
        {
            errors.push(
                complain(format!("the header has no comma, but `{}`", separator.escape_default()))
                    .help("columns are separated by commas: convert the file"),
            );
        }
        Diagnostics::none_of(errors, || names)
    }

    fn failed(&self, error: &csv::Error) -> Diagnostic {
        Diagnostic::error(Code::DataFile, format!("reading the data failed: {error}"))
            .in_file(&self.source, None)
            .help("check the file and the disk it is on")
    }
}

/// `1 field`, `2 fields`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A reader that remembers where its lines break. `csv` counts lines too, but
/// a record behind `\r\n` or an empty line gets the line before its own.
struct LineBreaks<R> {
    inner: R,
    /// Bytes handed out.
    end: u64,
    /// Whether the last byte handed out was `\r`.
    after_return: bool,
    /// The line of the last position asked for.
    line: u64,
    /// Breaks not yet passed: their offset, and whether they start a line.
    ahead: VecDeque<(u64, bool)>,
}

impl<R> LineBreaks<R> {
    fn new(inner: R) -> Self {
        LineBreaks { inner, end: 0, after_return: false, line: 1, ahead: VecDeque::new() }
    }

    /// The line of the record at this offset, which `csv` gives before it
    /// skips line ends. Offsets must not go down.
    fn line_at(&mut self, mut start: u64) -> u64 {
        while let Some(&(offset, starts_line)) = self.ahead.front() {
            if offset > start {
                break;
            }
            self.ahead.pop_front();
            self.line += u64::from(starts_line);
            if offset == start {
                start += 1;
            }
        }
        self.line
    }
}

impl<R: Read> Read for LineBreaks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        for (i, &byte) in buffer[..n].iter().enumerate() {
            if byte == b'\n' || byte == b'\r' {
                let second_half = byte == b'\n' && self.after_return_before(&buffer[..i]);
                self.ahead.push_back((self.end + i as u64, !second_half));
            }
        }
        if n > 0 {
            self.after_return = buffer[n - 1] == b'\r';
        }
        self.end += n as u64;
        Ok(n)
    }
}

impl<R> LineBreaks<R> {
    fn after_return_before(&self, before: &[u8]) -> bool {
        before.last().map_or(self.after_return, |&byte| byte == b'\r')
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::testing::rendered;
    use insta::assert_snapshot;

    fn lines(text: &str) -> Vec<(u64, String)> {
        let mut rows = Rows::new(text.as_bytes(), "t.csv").unwrap();
        let mut record = ByteRecord::new();
        let mut found = Vec::new();
        while let Some(line) = rows.next(&mut record).unwrap() {
            found.push((line, String::from_utf8_lossy(&record[0]).into_owned()));
        }
        found
    }

    #[test]
    fn line_numbers_survive_every_line_end() {
        let found = |text: &str| {
            lines(text).into_iter().map(|(line, cell)| format!("{line}:{cell}")).collect::<Vec<_>>()
        };
        for end in ["\n", "\r\n", "\r"] {
            let text = ["a,b", "1,2", "", "", "3,4", "\"5\n5\",6", "7,8"].join(end);
            // A quoted line end counts as a line too.
            assert_eq!(found(&text), ["2:1", "5:3", "6:5\n5", "8:7"], "{end:?}");
        }
    }

    #[test]
    fn header_is_trimmed_and_a_byte_order_mark_is_not_part_of_it() {
        let rows = Rows::new("\u{feff} a ,\"b, c\"\r\n".as_bytes(), "t.csv").unwrap();
        assert_eq!(rows.header(), ["a", "b, c"]);
    }

    fn refused(text: &[u8]) -> String {
        match Rows::new(text, "t.csv") {
            Ok(_) => panic!("accepted"),
            Err(error) => rendered(&error),
        }
    }

    #[test]
    fn bad_headers() {
        assert_snapshot!(refused(b""), @r#"
        error[E202]: the data file is empty
        --> t.csv
         = help: a table starts with a line of column names
        "#);
        assert_snapshot!(refused(b"a,,b, a\n"), @r#"
        error[E202]: column 2 has no name
        --> t.csv:1
         = help: the first line names every column; give this one a name

        error[E202]: columns 1 and 4 are both called `a`
        --> t.csv:1
         = help: rename one of them
        "#);
        assert_snapshot!(refused(b"a,\xff\n"), @r#"
        error[E202]: the name of column 2 is not UTF-8
        --> t.csv:1
         = help: save the file as UTF-8
        "#);
        assert_snapshot!(refused(b"\"fixed acidity\";\"quality\"\n1;2\n"), @r#"
        error[E202]: the header has no comma, but `;`
        --> t.csv:1
         = help: columns are separated by commas: convert the file
        "#);
    }

    #[test]
    fn ragged_rows_say_what_is_there() {
        let mut rows = Rows::new("a,b\n1\n2,3\n\"4,5\n6,7\n".as_bytes(), "t.csv").unwrap();
        let mut record = ByteRecord::new();
        let short = rows.next(&mut record).unwrap_err();
        assert_snapshot!(rendered(&short), @r#"
        error[E202]: line 2 has 1 field, but the header has 2
        --> t.csv:2
         = help: give every line 2 fields; a text that holds a comma needs quotes around it
        "#);
        assert_eq!(rows.next(&mut record).unwrap(), Some(3));
        let open_quote = rows.next(&mut record).unwrap_err();
        assert_snapshot!(rendered(&open_quote), @r#"
        error[E202]: line 4 has 1 field, but the header has 2
        --> t.csv:4
         = note: the record goes over several lines: is a quote left open?
         = help: give every line 2 fields; a text that holds a comma needs quotes around it
        "#);
        assert_eq!(rows.next(&mut record).unwrap(), None);
    }

    #[test]
    fn files_that_cannot_be_opened() {
        let directory = rendered(&open(Path::new("src")).unwrap_err());
        assert_snapshot!(directory, @r#"
        error[E201]: `src` is a directory, not a data file
        --> src
         = help: name one CSV file
        "#);
        let missing = rendered(&open(Path::new("no/such.csv")).unwrap_err());
        assert_snapshot!(missing, @r#"
        error[E201]: the data file `no/such.csv` does not exist
        --> no/such.csv
         = help: check the path; a relative path starts at the working directory
        "#);
    }
}
