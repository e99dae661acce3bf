//! Reading: files of every format become [batches](super::Batch).
//!
//! ```text
//! open      a path       -> its content, decompressed; text or columns
//! dialect   first bytes  -> delimiter, line ends, header
//! spans     a file       -> parts that are read by whoever scans them
//! blocks    other texts  -> blocks that end where a record ends
//! scan      a block      -> a batch: where each cell is
//! columns   Parquet, Arrow IPC -> typed batches
//! batches   several files -> the batches of one table
//! stream    a table      -> batch by batch, in order, on all threads
//! ```
//!
//! Whoever takes pieces scans and encodes them on as many threads as it likes, and
//! what comes out stands in the order of the file. Nothing depends on where a text
//! is cut.

mod batches;
mod blocks;
#[cfg(feature = "columnar")]
mod columns;
mod dialect;
mod open;
mod scan;
mod spans;
mod stream;

pub use batches::Batches;
pub(crate) use batches::Piece;
pub(crate) use batches::with_rest;
pub use open::{Input, expand};
pub(crate) use open::{failed, no_room};
pub use scan::Scanned;

/// How a table is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// What separates the columns of a text; none: told from the text.
    pub delimiter: Option<u8>,
    /// Whether a text starts with a line of column names. Without one the
    /// columns are `column_1`, `column_2`, …
    pub headers: bool,
    /// How many rows are read; none: all.
    pub limit: Option<u64>,
    /// What to do with a row that cannot be used.
    pub bad_row: BadRow,
    /// Beyond so many bytes of text, the cells of a table go to a temporary
    /// file that is mapped, rather than to memory.
    pub in_memory: u64,
    /// The folder that keeps what has been read, for the next time.
    pub cache: Option<std::path::PathBuf>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            delimiter: None,
            headers: true,
            limit: None,
            bad_row: BadRow::Error,
            in_memory: 256 << 20,
            cache: None,
        }
    }
}

/// What to do with a row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadRow {
    /// It is an error; nothing is run.
    #[default]
    Error,
    /// It is left out, and counted.
    Skip,
}

/// `1 field`, `2 fields`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
