//! A batch: some consecutive rows of a file, cell by cell.
//!
//! Every format becomes batches, and batches are all that tables are built of
//! and all that prediction encodes: one path for data. The cells of a text
//! are its bytes until somebody asks for a number, so that a column that
//! nobody needs costs no parsing; the cells of a binary format are typed.

use super::cell::{self, Cell};
use super::date;
use super::lines::{Lines, Place};
use std::borrow::Cow;
use std::sync::Arc;

/// Consecutive rows of a file. Columns are those of its header, in its order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    lines: Lines,
    cells: Cells,
    width: usize,
}

#[derive(Debug, Clone)]
enum Cells {
    /// A text: its bytes, and the range of each cell, row by row.
    Text { bytes: Vec<u8>, ranges: Vec<(u32, u32)> },
}

impl Default for Cells {
    fn default() -> Self {
        Cells::Text { bytes: Vec::new(), ranges: Vec::new() }
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
        let mut ranges = Vec::new();
        for cell in cells {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(cell.as_bytes());
            ranges.push((start, bytes.len() as u32));
        }
        let mut lines = Lines::default();
        lines.start_file(source.into());
        lines.push(1);
        let width = ranges.len();
        Batch { lines, cells: Cells::Text { bytes, ranges }, width }
    }

    /// A batch of a text's rows; `ranges` are those of the cells in `bytes`,
    /// row by row.
    pub(crate) fn of_text(
        lines: Lines,
        bytes: Vec<u8>,
        ranges: Vec<(u32, u32)>,
        width: usize,
    ) -> Batch {
        debug_assert_eq!(ranges.len(), lines.len() * width);
        Batch { lines, cells: Cells::Text { bytes, ranges }, width }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.width
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
    pub fn text(&self, row: usize, column: usize) -> Cow<'_, [u8]> {
        assert!(column < self.width, "column {column} of {}", self.width);
        match &self.cells {
            Cells::Text { bytes, ranges } => {
                let (start, end) = ranges[row * self.width + column];
                Cow::Borrowed(&bytes[start as usize..end as usize])
            }
        }
    }

    /// Whether a cell is missing.
    ///
    /// # Panics
    /// Where there is no such cell.
    pub fn is_missing(&self, row: usize, column: usize) -> bool {
        cell::is_missing(self.text(row, column).trim_ascii())
    }

    /// A cell as a number, or what else it holds.
    ///
    /// # Panics
    /// Where there is no such cell.
    pub(crate) fn number(&self, row: usize, column: usize) -> Cell {
        cell::classify(&self.text(row, column))
    }

    /// A cell as a date: [`Cell::Number`] holds its seconds since 1970.
    ///
    /// # Panics
    /// Where there is no such cell.
    #[allow(dead_code)] // for the encoding of dates
    pub(crate) fn date(&self, row: usize, column: usize) -> Cell {
        let text = self.text(row, column);
        let trimmed = text.trim_ascii();
        if cell::is_missing(trimmed) {
            return Cell::Missing;
        }
        date::parse(trimmed).map_or(Cell::Text, Cell::Number)
    }

    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }
}
