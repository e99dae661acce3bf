//! A block of text to a batch: where each record's cells are.
//!
//! RFC 4180, and what the field does beyond it: a cell that starts with a
//! quote goes on to the quote that closes it, over delimiters and line ends;
//! two quotes in it are one; what follows the closing quote is taken as it
//! stands. A quote elsewhere is a character like any other. Empty lines are
//! no records.

use super::super::batch::Batch;
use super::super::cell;
use super::super::lines::Lines;
use super::super::table::SHOWN;
use super::blocks::Block;
use super::dialect::Dialect;
use super::spans::Draft;
use super::{BadRow, count, with_rest};
use crate::diag::{Code, Diagnostic, Diagnostics};
use memchr::{memchr, memchr_iter};
pub(crate) use mlpc_kernels::bytes::Ranges;
use mlpc_kernels::bytes::{Finder, split_all};
use mlpc_kernels::quotes::split_quoted;
use std::ops::Range;
use std::sync::Arc;

/// Walks over the records of a text.
pub(crate) struct Records<'a> {
    text: &'a [u8],
    dialect: Dialect,
    finder: Finder<'a>,
    at: usize,
    line: u64,
    /// Cells that lost a doubled quote; their ranges count on from the text's end.
    unescaped: Vec<u8>,
    /// Whether a quote has been found that nothing closes.
    open: bool,
}

/// A record: its bytes, and its line.
pub(crate) struct Record<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) line: u64,
}

impl<'a> Records<'a> {
    /// The records of a text whose first line has this number.
    pub(crate) fn new(text: &'a [u8], dialect: Dialect, line: u64) -> Self {
        let finder = Finder::new(text, [dialect.delimiter, dialect.terminator]);
        Records { text, dialect, finder, at: 0, line, unescaped: Vec::new(), open: false }
    }

    /// Where the next record starts: its offset and its line.
    pub(crate) fn position(&self) -> (usize, u64) {
        (self.at, self.line)
    }

    /// What stands behind the text, where ranges count on.
    pub(crate) fn unescaped(&self) -> &[u8] {
        &self.unescaped
    }

    /// Appends the ranges of the next record's cells.
    #[inline]
    pub(crate) fn next(&mut self, ranges: &mut Ranges) -> Option<Record<'a>> {
        let (text, end) = (self.text, self.text.len());
        let terminator = self.dialect.terminator;
        let (mut record, mut line) = (self.at, self.line);
        let mut start = self.at;
        loop {
            if start >= end && start == record {
                self.at = start;
                return None;
            }
            let quote = match text.get(start) {
                Some(b'"') => {
                    let (inside, behind) = quoted(text, start);
                    self.open |= inside.end == behind;
                    self.finder.skip_to(behind);
                    self.line += memchr_iter(terminator, &text[inside.clone()]).count() as u64;
                    Some((inside, behind))
                }
                _ => None,
            };
            let mut stop = self.finder.next_place().unwrap_or(end);
            let next = stop + 1;
            let last = stop == end || text[stop] == terminator;
            if last {
                self.line += 1;
                if terminator == b'\n' && stop > start && text[stop - 1] == b'\r' {
                    stop -= 1;
                }
                if stop == record {
                    // An empty line.
                    (start, record, line) = (next, next, self.line);
                    continue;
                }
            }
            let (from, to) = match quote {
                None => (start as u32, stop as u32),
                Some((inside, behind)) => self.unquote(inside, behind.min(stop)..stop),
            };
            ranges.push(from, to);
            start = next;
            if last {
                self.at = next;
                return Some(Record { bytes: &text[record..stop], line });
            }
        }
    }

    /// The range of a quoted cell's content, with what follows the quote.
    fn unquote(&mut self, inside: Range<usize>, rest: Range<usize>) -> (u32, u32) {
        let mut quotes = &self.text[inside.clone()];
        if rest.is_empty() && memchr(b'"', quotes).is_none() {
            return (inside.start as u32, inside.end as u32);
        }
        let start = self.text.len() + self.unescaped.len();
        while let Some(quote) = memchr(b'"', quotes) {
            self.unescaped.extend_from_slice(&quotes[..=quote]);
            // Inside of quotes, a quote is always one of two.
            quotes = &quotes[quote + 2..];
        }
        self.unescaped.extend_from_slice(quotes);
        self.unescaped.extend_from_slice(&self.text[rest]);
        (start as u32, (self.text.len() + self.unescaped.len()) as u32)
    }
}

/// The inside of the quoted cell that starts here, and the offset behind the
/// quote that closes it.
fn quoted(text: &[u8], start: usize) -> (Range<usize>, usize) {
    let mut at = start + 1;
    loop {
        match memchr(b'"', &text[at..]) {
            // A quote that is left open takes the rest.
            None => return (start + 1..text.len(), text.len()),
            Some(found) if text.get(at + found + 1) == Some(&b'"') => at += found + 2,
            Some(found) => return (start + 1..at + found, at + found + 1),
        }
    }
}

/// What a block's records have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) dialect: Dialect,
    /// The fields of a record.
    pub(crate) width: usize,
    /// For each column of the table, its field; none: they are the same.
    pub(crate) map: Option<Arc<[u32]>>,
    pub(crate) bad_row: BadRow,
}

/// A batch, and the records that could not become part of it.
#[derive(Debug, Clone, Default)]
pub struct Scanned {
    /// The good rows.
    pub batch: Batch,
    /// The first errors.
    pub errors: Vec<Diagnostic>,
    /// How many records are bad; where they are skipped, there are no errors.
    pub bad_rows: u64,
    /// What remains to be settled, where the lines' numbers are not known yet.
    pub(crate) draft: Option<Draft>,
}

impl Scanned {
    /// The good rows, where bad ones are none or skipped.
    ///
    /// # Errors
    /// The first bad rows, and how many more there are.
    pub fn into_batch(self) -> Result<Batch, Diagnostics> {
        let more = self.bad_rows.saturating_sub(self.errors.len() as u64);
        Diagnostics::none_of(with_rest(self.errors, more), || self.batch)
    }
}

/// Finds the cells of a block.
pub(crate) fn scan(block: Block, shape: &Shape) -> Scanned {
    plain(block, shape).unwrap_or_else(|block| scan_records(block, shape))
}

/// Finds the cells of a block in which every line is a record of the right width;
/// gives others back.
fn plain(block: Block, shape: &Shape) -> Result<Scanned, Block> {
    let Some(ranges) = plain_ranges(&block, shape) else { return Err(block) };
    Ok(of_lines(block.bytes, ranges, block.line, block.file, shape))
}

/// Finds the cells of some lines, where every line is a record of the right width and
/// there are no quotes; and how many lines there are, which are numbered from 0.
pub(crate) fn plain_lines(
    bytes: Vec<u8>,
    file: Arc<str>,
    shape: &Shape,
) -> Option<(Scanned, usize)> {
    if !shape.takes_plain(&bytes) {
        return None;
    }
    let Dialect { delimiter, terminator } = shape.dialect;
    let mut ranges = Ranges::with_capacity(bytes.len() / SHORT);
    let seen = split_all(&bytes, [delimiter, terminator], &mut ranges);
    let lines = seen.lines + usize::from(bytes.last().is_some_and(|last| *last != terminator));
    let plain = !seen.specials && are_records(&bytes, &mut ranges, lines, shape);
    plain.then(|| (of_lines(bytes, ranges, 0, file, shape), lines))
}

/// The batch of the cells of some lines, the first of which has this number.
fn of_lines(bytes: Vec<u8>, ranges: Ranges, line: u64, file: Arc<str>, shape: &Shape) -> Scanned {
    let mut lines = Lines::default();
    lines.start_file(file);
    lines.push_run(line, ranges.len() / shape.width);
    let batch = Batch::of_text(lines, bytes, ranges, shape.width, shape.map.clone());
    Scanned { batch, ..Scanned::default() }
}

/// A guess at so many bytes a cell saves most of the growing.
const SHORT: usize = 7;

/// The cells of a block in which every line is a record of the right width, and
/// quotes, if any, are around cells and nowhere else, which nearly all are: found
/// without a look at each line.
fn plain_ranges(block: &Block, shape: &Shape) -> Option<Ranges> {
    let bytes = &block.bytes;
    let Dialect { delimiter, terminator } = shape.dialect;
    if !shape.takes_plain(bytes) || (block.has_specials && memchr(0, bytes).is_some()) {
        return None;
    }
    let mut ranges = Ranges::with_capacity(bytes.len() / SHORT);
    let ends = [delimiter, terminator];
    if !block.has_specials {
        split_all(bytes, ends, &mut ranges);
    } else if !split_quoted(bytes, ends, &mut ranges) {
        return None;
    }
    if !are_records(bytes, &mut ranges, block.lines, shape) {
        return None;
    }
    if block.has_specials {
        ranges.strip_quotes(bytes);
    }
    Some(ranges)
}

impl Shape {
    /// Whether it may be told from the ends of cells alone what a text's records are.
    fn takes_plain(&self, bytes: &[u8]) -> bool {
        let has_other = self.bad_row == BadRow::Skip && std::str::from_utf8(bytes).is_err();
        // In a table of one column, an empty line looks like an empty cell.
        !has_other && self.width > 1
    }
}

/// Whether the cells of so many lines are those of a record a line; then what `\n`
/// takes with it is taken from their ends.
fn are_records(bytes: &[u8], ranges: &mut Ranges, lines: usize, shape: &Shape) -> bool {
    let (width, terminator) = (shape.width, shape.dialect.terminator);
    if ranges.len() != lines * width {
        return false;
    }
    let takes_return = terminator == b'\n';
    // Where the last cell of every record ends with a line, and there are no
    // more lines than that, no other cell does.
    ranges.ends_mut().chunks_exact_mut(width).all(|ends| {
        let end = &mut ends[width - 1];
        let at = *end as usize;
        let ends_line = bytes.get(at).is_none_or(|byte| *byte == terminator);
        // The byte before a line's end is in its last cell, or ends the one before.
        *end -= u32::from(takes_return && at > 0 && bytes[at - 1] == b'\r');
        ends_line
    })
}

/// Finds the cells of any block, record by record.
fn scan_records(block: Block, shape: &Shape) -> Scanned {
    let Block { mut bytes, line, file, has_specials, .. } = block;
    let mut lines = Lines::default();
    lines.start_file(file.clone());
    let mut ranges = Ranges::with_capacity(bytes.len() / SHORT);
    let (mut errors, mut bad_rows) = (Vec::new(), 0);
    // Cells are checked where they become text. Rows are checked only where
    // a bad one is to be left out.
    let has_nul = has_specials && memchr(0, &bytes).is_some();
    let has_other = shape.bad_row == BadRow::Skip && std::str::from_utf8(&bytes).is_err();

    let mut records = Records::new(&bytes, shape.dialect, line);
    let mut good = 0;
    while let Some(record) = records.next(&mut ranges) {
        let fields = ranges.len() - good;
        let wrong = fields != shape.width
            || records.open
            || (has_nul && memchr(0, record.bytes).is_some())
            || (has_other && std::str::from_utf8(record.bytes).is_err());
        if !wrong {
            good = ranges.len();
            lines.push(record.line);
            continue;
        }
        ranges.truncate(good);
        bad_rows += 1;
        if records.open {
            // It may have taken any number of rows: nothing to be skipped over.
            (errors, bad_rows) = (vec![open_quote(&file, &record)], 1);
        } else if shape.bad_row == BadRow::Error && errors.len() < SHOWN {
            errors.push(match fields == shape.width {
                true => nul(&file, &record),
                false => ragged(&file, &record, fields, shape),
            });
        }
    }
    let unescaped = std::mem::take(&mut records.unescaped);
    bytes.extend_from_slice(&unescaped);
    let batch = Batch::of_text(lines, bytes, ranges, shape.width, shape.map.clone());
    Scanned { batch, errors, bad_rows, draft: None }
}

const SKIP: &str = "`--on-bad-row skip` leaves such rows out";

fn ragged(file: &str, record: &Record, fields: usize, shape: &Shape) -> Diagnostic {
    let width = shape.width;
    let delimiter = shape.dialect.delimiter_name();
    let ragged = Diagnostic::error(
        Code::DataFormat,
        format!("line {} has {}, but the header has {width}", record.line, count(fields, "field")),
    )
    .in_file(file, Some(record.line));
    let ragged = ragged.note(match memchr(shape.dialect.terminator, record.bytes) {
        Some(_) => "the record goes over several lines: is a quote left open?".to_owned(),
        None => format!("the line is `{}`", cell::shown(record.bytes)),
    });
    ragged.help(format!(
        "give every line {}; a text that holds {delimiter} needs quotes around it; {SKIP}",
        count(width, "field")
    ))
}

fn open_quote(file: &str, record: &Record) -> Diagnostic {
    let message = format!("a quote on line {} is left open to the end of the file", record.line);
    Diagnostic::error(Code::DataFormat, message)
        .in_file(file, Some(record.line))
        .note("a quote at the start of a cell goes on to the next quote, over line ends")
        .help("close the quote, or double it and put quotes around the cell")
}

fn nul(file: &str, record: &Record) -> Diagnostic {
    let message = format!("line {} holds a NUL byte", record.line);
    Diagnostic::error(Code::DataFormat, message)
        .in_file(file, Some(record.line))
        .help(format!("is the file a text in UTF-8? If it is but for some lines, {SKIP}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The records as `csv`, the oracle, reads them.
    fn expected(text: &[u8], delimiter: u8) -> Vec<Vec<Vec<u8>>> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(text);
        let records = reader.byte_records().map(|record| record.unwrap());
        records.map(|record| record.iter().map(<[u8]>::to_vec).collect()).collect()
    }

    fn found(text: &[u8], delimiter: u8) -> Vec<Vec<Vec<u8>>> {
        let dialect = Dialect { delimiter, ..Dialect::default() };
        let mut records = Records::new(text, dialect, 1);
        let (mut all, mut ranges) = (Vec::new(), Ranges::default());
        let mut ends = Vec::new();
        while records.next(&mut ranges).is_some() {
            ends.push(ranges.len());
        }
        let bytes = [text, &records.unescaped].concat();
        let mut start = 0;
        for end in ends {
            let cells = ranges.as_slice().slice(start..end).step_by(1);
            all.push(cells.map(|cell| bytes[cell].to_vec()).collect());
            start = end;
        }
        all
    }

    proptest! {
        /// Whatever the text, the records are those of the `csv` crate, as
        /// long as lines end with `\n` (which ends them alone here).
        #[test]
        fn records_are_those_of_csv(
            text in "([ab\",;\n]{0,90}|(\"[ab,\"\n]{0,5}\"[,\n]|[a-c]{0,9},){0,20})",
        ) {
            prop_assert_eq!(found(text.as_bytes(), b','), expected(text.as_bytes(), b','));
            prop_assert_eq!(found(text.as_bytes(), b';'), expected(text.as_bytes(), b';'));
            let crlf = text.replace('\n', "\r\n");
            prop_assert_eq!(found(crlf.as_bytes(), b','), expected(crlf.as_bytes(), b','));
        }
    }

    proptest! {
        /// The short way finds the same cells on the same lines as the long one.
        #[test]
        fn plain_blocks_are_scanned_as_all_others(
            text in "([abc]{0,3},([abc\"]{0,3}|\"([ab,\n\r]|\"\"){0,9}\"|\"[ab,]{0,90}\")(,a?)?\r?\n){0,9}\n?([ab]{0,2},[ab]{0,2})?",
            width in 1usize..4,
        ) {
            let dialect = Dialect::default();
            let shape = Shape { dialect, width, map: None, bad_row: BadRow::Error };
            let block = || Block::new(text.clone().into_bytes(), 7, "a.csv".into(), dialect);
            let cells = |Scanned { batch, errors, .. }: &Scanned| {
                let cell = |row, column| batch.text(row, column).into_owned();
                let row = |row| (0..width).map(|column| cell(row, column)).collect::<Vec<_>>();
                let rows: Vec<_> = (0..batch.rows()).map(row).collect();
                (rows, batch.lines().clone(), errors.len())
            };
            let long = scan_records(block(), &shape);
            let is_plain = plain_ranges(&block(), &shape).is_some();
            prop_assert!(!is_plain || long.errors.is_empty());
            prop_assert_eq!(cells(&scan(block(), &shape)), cells(&long));
            // It is the one that is taken where lines are as wide as the header,
            // but for an empty cell that nothing ends; quotes may be around cells.
            let unquoted = text.split('"').step_by(2).collect::<String>();
            let wide = |text: &str| text.lines().all(|line| line.matches(',').count() + 1 == width);
            let ended = !text.ends_with(',') && width > 1;
            match text.contains('"') {
                false => prop_assert_eq!(is_plain, wide(&text) && ended),
                true => prop_assert!(!is_plain || (wide(&unquoted) && ended)),
            }
        }
    }

    #[test]
    fn line_numbers_survive_every_line_end() {
        for (end, terminator) in [("\n", b'\n'), ("\r\n", b'\n'), ("\r", b'\r')] {
            let text =
                ["1,2", "", "", "3,4", "\"5\n5\",6".replace('\n', end).as_str(), "7,8"].join(end);
            let dialect = Dialect { terminator, ..Dialect::default() };
            let mut records = Records::new(text.as_bytes(), dialect, 2);
            let mut lines = Vec::new();
            while let Some(record) = records.next(&mut Ranges::default()) {
                lines.push(record.line);
            }
            // A quoted line end counts as a line too.
            assert_eq!(lines, [2, 5, 6, 8], "{end:?}");
        }
    }
}
