//! A batch: some consecutive rows of a file, cell by cell.
//!
//! Every format becomes batches, and batches are all that tables are built of
//! and all that prediction encodes: one path for data. The cells of a text
//! are its bytes until somebody asks for a number, so that a column that
//! nobody needs costs no parsing; the cells of a binary format are typed.

use super::cell::{self, Cell};
use super::dictionary::Growing;
use super::lines::{Lines, Place};
use super::table::{Text, Values};
use mlpc_kernels::bytes::{RangeSlice, Ranges};
use mlpc_kernels::numbers;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Consecutive rows of a file, with the columns of its table.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    lines: Lines,
    cells: Cells,
    width: usize,
}

#[derive(Debug, Clone)]
enum Cells {
    /// A text: its bytes, and the range of each cell, row by row.
    Text {
        bytes: Vec<u8>,
        ranges: Ranges,
        /// Cells of a row.
        fields: usize,
        /// Which of them each column is; none: they are the same.
        map: Option<Arc<[u32]>>,
    },
    /// Typed columns.
    Columns(Vec<Values>),
}

/// The cells of one column.
pub(crate) enum Column<'a> {
    Text(TextColumn<'a>),
    Values(&'a Values),
}

/// The cells of one column of a text.
#[derive(Clone, Copy)]
pub(crate) struct TextColumn<'a> {
    bytes: &'a [u8],
    ranges: RangeSlice<'a>,
    fields: usize,
    field: usize,
}

impl<'a> TextColumn<'a> {
    /// Of these rows alone.
    pub(crate) fn rows(self, rows: Range<usize>) -> Self {
        let ranges = self.ranges.slice(rows.start * self.fields..rows.end * self.fields);
        TextColumn { ranges, ..self }
    }

    /// Of the rows behind the first `n`.
    pub(crate) fn without_first(self, n: usize) -> Self {
        TextColumn { ranges: self.ranges.skip(n * self.fields), ..self }
    }

    /// The cell of each row.
    pub(crate) fn cells(self) -> impl Iterator<Item = &'a [u8]> {
        self.own_ranges().step_by(self.fields).map(|cell| &self.bytes[cell])
    }

    /// Adds the cells to a dictionary.
    pub(crate) fn add_to(self, dictionary: &mut Growing<'a>) {
        dictionary.extend(self.bytes, self.own_ranges(), self.fields);
    }

    /// Appends the numbers of the first rows, up to one whose cell is no plain
    /// number; how many these are.
    pub(crate) fn plain_numbers(self, numbers: &mut Vec<f64>) -> usize {
        numbers::plain_numbers(self.bytes, self.own_ranges(), self.fields, numbers)
    }

    /// Its own cell's range, and those of others up to its next.
    fn own_ranges(self) -> RangeSlice<'a> {
        self.ranges.skip(self.field.min(self.ranges.len()))
    }
}

impl Default for Cells {
    fn default() -> Self {
        Cells::Columns(Vec::new())
    }
}

impl Batch {
    /// A batch of one row, with the cells as a text would hold them. `source`
    /// is what messages call it.
    pub fn of_row<'a>(
        source: impl Into<Arc<str>>,
        cells: impl IntoIterator<Item = &'a str>,
    ) -> Batch {
        let mut bytes = Vec::new();
        let mut ranges = Ranges::default();
        for cell in cells {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(cell.as_bytes());
            ranges.push(start, bytes.len() as u32);
        }
        let mut lines = Lines::default();
        lines.start_file(source.into());
        lines.push(1);
        let fields = ranges.len();
        Batch::of_text(lines, bytes, ranges, fields, None)
    }

    /// A batch of a text's rows of so many `fields`; `ranges` are those of
    /// the fields in `bytes`, row by row. `map` says which field each column
    /// is, where they are not the same.
    pub(crate) fn of_text(
        lines: Lines,
        bytes: Vec<u8>,
        ranges: Ranges,
        fields: usize,
        map: Option<Arc<[u32]>>,
    ) -> Batch {
        debug_assert_eq!(ranges.len(), lines.len() * fields);
        let width = map.as_ref().map_or(fields, |map| map.len());
        Batch { lines, cells: Cells::Text { bytes, ranges, fields, map }, width }
    }

    /// A batch of typed columns.
    #[cfg(feature = "columnar")]
    pub(crate) fn of_columns(lines: Lines, columns: Vec<Values>) -> Batch {
        Batch { lines, width: columns.len(), cells: Cells::Columns(columns) }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The bytes of its text, where it is one.
    pub(crate) fn text_bytes(&self) -> Option<usize> {
        match &self.cells {
            Cells::Text { bytes, .. } => Some(bytes.len()),
            Cells::Columns(_) => None,
        }
    }

    /// Where a row stands.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn place(&self, row: usize) -> Place {
        self.lines.place(row)
    }

    /// A cell as text, without quotes; empty where there is nothing.
    ///
    /// # Panics
    /// Where there is no such cell.
    #[inline]
    pub fn text(&self, row: usize, column: usize) -> Cow<'_, [u8]> {
        match &self.cells {
            Cells::Text { bytes, ranges, fields, map } => {
                let field = map.as_ref().map_or(column, |map| map[column] as usize);
                assert!(field < *fields, "column {column} of {}", self.width);
                let cell = ranges.as_slice().get(row * fields + field);
                Cow::Borrowed(&bytes[cell.expect("the batch has so many rows")])
            }
            Cells::Columns(columns) => match &columns[column] {
                Values::Text(text) => {
                    let level = text.levels.get(text.codes[row] as usize);
                    Cow::Borrowed(level.map_or(&[][..], |level| level.as_bytes()))
                }
                other => Cow::Owned(other.cell(row).into_bytes()),
            },
        }
    }

    /// Whether a cell is missing.
    ///
    /// # Panics
    /// Where there is no such cell.
    pub fn is_missing(&self, row: usize, column: usize) -> bool {
        match &self.cells {
            Cells::Columns(columns) => columns[column].is_missing(row),
            Cells::Text { .. } => cell::is_missing(self.text(row, column).trim_ascii()),
        }
    }

    /// A cell as a number, or what else it holds.
    ///
    /// # Panics
    /// Where there is no such cell.
    #[inline]
    pub(crate) fn number(&self, row: usize, column: usize) -> Cell {
        match &self.cells {
            Cells::Text { .. } => cell::classify(&self.text(row, column)),
            Cells::Columns(columns) => number_of(&columns[column], row),
        }
    }

    /// A cell as a date: [`Cell::Number`] holds its seconds since 1970.
    ///
    /// # Panics
    /// Where there is no such cell.
    pub(crate) fn date(&self, row: usize, column: usize) -> Cell {
        if self.is_missing(row, column) {
            return Cell::Missing;
        }
        match &self.cells {
            Cells::Columns(columns) => match &columns[column] {
                Values::Dates(seconds) => Cell::Number(seconds[row]),
                _ => cell::date(&self.text(row, column)),
            },
            Cells::Text { .. } => cell::date(&self.text(row, column)),
        }
    }

    /// Keeps the first rows alone.
    pub(crate) fn truncate(&mut self, rows: usize) {
        if rows < self.rows() {
            self.lines.truncate(rows);
            if let Cells::Text { ranges, fields, .. } = &mut self.cells {
                ranges.truncate(rows * *fields);
            }
        }
    }

    /// A whole column.
    ///
    /// # Panics
    /// Where there is no such column.
    pub(crate) fn column(&self, column: usize) -> Column<'_> {
        match &self.cells {
            Cells::Text { bytes, ranges, fields, map } => {
                let field = map.as_ref().map_or(column, |map| map[column] as usize);
                let ranges = ranges.as_slice();
                Column::Text(TextColumn { bytes, ranges, fields: *fields, field })
            }
            Cells::Columns(columns) => Column::Values(&columns[column]),
        }
    }

    /// Adds to the lines of all rows.
    pub(crate) fn shift_lines(&mut self, lines: u64) {
        self.lines.shift(lines);
    }

    /// Where the rows stand.
    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }
}

/// A typed cell as a number, or what else it holds.
pub(crate) fn number_of(values: &Values, row: usize) -> Cell {
    match values {
        _ if values.is_missing(row) => Cell::Missing,
        Values::Numbers(numbers) if numbers[row].is_finite() => Cell::Number(numbers[row]),
        Values::Numbers(_) => Cell::Infinite,
        Values::Dates(_) => Cell::Text,
        Values::Text(Text { codes, levels, .. }) => {
            cell::classify(levels[codes[row] as usize].as_bytes())
        }
    }
}
