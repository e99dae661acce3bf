//! Where each row of a table stands: its file and its line.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The places of a table's rows. Rows on consecutive lines, which nearly all
/// are, take no memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lines {
    files: Vec<Arc<str>>,
    runs: Vec<Run>,
    rows: usize,
    /// Whether places are rows of a binary file rather than lines of a text.
    numbered: bool,
}

/// Rows on consecutive lines of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    row: u32,
    file: u32,
    line: u64,
}

/// The place of a row, as messages say it: `line 7`, or `line 7 of b.csv`
/// where there are several files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user calls it.
    pub file: Arc<str>,
    /// The line, counted from 1, the header included; in a file without
    /// lines (Parquet, Arrow) the row, counted from 1.
    pub line: u64,
    of_several: bool,
    numbered: bool,
}

impl Lines {
    /// The rows that follow are of this file.
    pub(crate) fn start_file(&mut self, file: Arc<str>) {
        self.files.push(file);
    }

    /// Places are rows of a binary file.
    #[cfg(feature = "columnar")]
    pub(crate) fn number_rows(&mut self) {
        self.numbered = true;
    }

    /// Adds a row. There must be a file.
    pub(crate) fn push(&mut self, line: u64) {
        let file = (self.files.len() - 1) as u32;
        let follows = self.runs.last().is_some_and(|run| {
            run.file == file && run.line + (self.rows as u64 - u64::from(run.row)) == line
        });
        if !follows {
            self.runs.push(Run { row: self.rows as u32, file, line });
        }
        self.rows += 1;
    }

    /// Adds rows on consecutive lines, of which `line` is the first.
    pub(crate) fn push_run(&mut self, line: u64, rows: usize) {
        if rows > 0 {
            self.push(line);
            self.rows += rows - 1;
        }
    }

    /// Adds the rows of another list, which are of one file: this list's
    /// last one, or the next.
    pub(crate) fn append_of(&mut self, other: &Lines) {
        let [file] = other.files.as_slice() else { return };
        // Names may repeat; then the lines start again.
        let again = match (self.runs.last(), other.runs.first()) {
            (Some(_), Some(next)) if !self.is_empty() => next.line <= self.line(self.rows - 1),
            _ => false,
        };
        if self.files.last() != Some(file) || again {
            self.files.push(file.clone());
        }
        self.numbered |= other.numbered;
        for (i, run) in other.runs.iter().enumerate() {
            let end = other.runs.get(i + 1).map_or(other.rows, |next| next.row as usize);
            self.push_run(run.line, end - run.row as usize);
        }
    }

    /// Adds to the lines of all rows.
    pub(crate) fn shift(&mut self, lines: u64) {
        self.runs.iter_mut().for_each(|run| run.line += lines);
    }

    /// Keeps the first rows alone.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.rows = self.rows.min(rows);
        self.runs.retain(|run| (run.row as usize) < rows);
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The line of a row.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn line(&self, row: usize) -> u64 {
        let run = self.run(row);
        run.line + (row as u64 - u64::from(run.row))
    }

    /// The place of a row.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn place(&self, row: usize) -> Place {
        Place {
            file: self.files[self.run(row).file as usize].clone(),
            line: self.line(row),
            of_several: self.files.len() > 1,
            numbered: self.numbered,
        }
    }

    fn run(&self, row: usize) -> Run {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let behind = self.runs.partition_point(|run| run.row as usize <= row);
        self.runs[behind - 1]
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.numbered { "row" } else { "line" }, self.line)?;
        if self.of_several { write!(f, " of {}", self.file) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_places() {
        let mut lines = Lines::default();
        lines.start_file("a.csv".into());
        for line in [2, 3, 7, 8, 9] {
            lines.push(line);
        }
        assert_eq!(lines.runs.len(), 2);
        assert_eq!(lines.place(2).to_string(), "line 7");
        let mut more = Lines::default();
        more.start_file("a.csv".into());
        for line in [10, 11, 20] {
            more.push(line);
        }
        lines.append_of(&more);
        lines.start_file("b.csv".into());
        lines.push(21);
        assert_eq!(lines.runs.len(), 4);
        let all: Vec<u64> = (0..lines.len()).map(|row| lines.line(row)).collect();
        assert_eq!(all, [2, 3, 7, 8, 9, 10, 11, 20, 21]);
        assert_eq!(lines.place(7).to_string(), "line 20 of a.csv");
        assert_eq!(lines.place(8).to_string(), "line 21 of b.csv");
        lines.truncate(3);
        assert_eq!((lines.len(), lines.line(2)), (3, 7));
    }
}
