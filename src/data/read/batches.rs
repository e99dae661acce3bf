//! Several files of any format as the batches of one table.

use super::super::batch::Batch;
use super::super::names::{list, unknown_column};
use super::blocks::{BLOCK, Block, Blocks};
#[cfg(feature = "columnar")]
use super::columns::{Columns, ColumnsPiece};
use super::dialect::{self, Dialect};
use super::open::{Content, Input, Opened, failed, fill};
use super::scan::{Scanned, Shape, scan};
use super::spans::{Draft, Span, Spans};
use super::{BadRow, ReadOptions, count};
use crate::diag::{Code, Diagnostic, Diagnostics};
use memchr::memchr2;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The batches of a table, in the order of its files and rows.
///
/// The first file's header is the table's. The columns of the others are
/// found by name; their order is free, and further ones are ignored.
///
/// ```
/// use mlpc::data::{Batches, Input, ReadOptions};
///
/// let text = Input::Memory { name: "a request".into(), bytes: (*b"a;b\n1;x\n2;y\n").into() };
/// let mut batches = Batches::open(vec![text], ReadOptions::default())?;
/// assert_eq!(batches.header(), ["a", "b"]);
/// let batch = batches.next_batch()?.unwrap();
/// assert_eq!((batch.rows(), &*batch.text(1, 1)), (2, &b"y"[..]));
/// # Ok::<(), mlpc::diag::Diagnostics>(())
/// ```
pub struct Batches {
    waiting: VecDeque<Input>,
    options: ReadOptions,
    source: String,
    header: Vec<String>,
    notes: Vec<String>,
    current: Option<Current>,
    rows_left: Option<u64>,
    bad_rows: u64,
}

/// The file that is being read.
enum Current {
    Spans(Spans),
    Text {
        blocks: Blocks,
        shape: Arc<Shape>,
    },
    #[cfg(feature = "columnar")]
    Columns(Columns),
}

/// A part of a table that is yet to become a batch, on whatever thread.
pub(crate) struct Piece(Kind);

enum Kind {
    /// A part of a file.
    Span(Span),
    /// A block of text.
    Text(Block, Arc<Shape>),
    /// Rows of typed columns.
    #[cfg(feature = "columnar")]
    Columns(ColumnsPiece),
    /// Rows that have been scanned.
    Ready(Scanned),
}

impl Piece {
    /// A piece of typed columns.
    #[cfg(feature = "columnar")]
    pub(crate) fn of_columns(piece: ColumnsPiece) -> Piece {
        Piece(Kind::Columns(piece))
    }

    /// Finds the cells of its rows.
    pub(crate) fn scan(self) -> Scanned {
        match self.0 {
            Kind::Span(span) => span.scan(),
            Kind::Text(block, shape) => scan(block, &shape),
            #[cfg(feature = "columnar")]
            Kind::Columns(piece) => piece.scan(),
            Kind::Ready(scanned) => scanned,
        }
    }
}

impl Batches {
    /// Opens the first file and reads its header.
    ///
    /// # Errors
    /// Where it cannot be read or is no table.
    pub fn open(inputs: Vec<Input>, options: ReadOptions) -> Result<Batches, Diagnostics> {
        let source = match inputs.as_slice() {
            [] => {
                return Err(Diagnostic::error(Code::Usage, "no data file is named").into());
            }
            [only] => only.name().to_string(),
            [first, others @ ..] => {
                format!("{} and {}", first.name(), count(others.len(), "other file"))
            }
        };
        let mut batches = Batches {
            waiting: inputs.into(),
            rows_left: options.limit,
            options,
            source,
            header: Vec::new(),
            notes: Vec::new(),
            current: None,
            bad_rows: 0,
        };
        batches.next_file()?;
        Ok(batches)
    }

    /// The column names, without the blanks around them; all different.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Whether the file at hand is a text, and not one of typed columns.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.current, Some(Current::Spans(_) | Current::Text { .. }))
    }

    /// What messages call the table.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What the user should know of how the files are read. Complete at the
    /// end.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if self.bad_rows > 0 && self.options.bad_row == BadRow::Skip {
            let rows = count(self.bad_rows as usize, "row");
            notes.push(format!("skipped {rows} that cannot be read (`--on-bad-row skip`)"));
        }
        notes
    }

    /// Says what has become of a piece: so it is told of all of them, in their order.
    /// The number of the piece's first line; `None` where it is to be read again, which
    /// the next pieces begin with: then what has been scanned behind it counts for
    /// nothing.
    ///
    /// # Errors
    /// Where the file cannot be read again.
    pub(crate) fn settle(&mut self, draft: &Draft) -> Result<Option<u64>, Diagnostics> {
        let Some(Current::Spans(spans)) = &mut self.current else {
            unreachable!("the next file is opened when all drafts are settled")
        };
        let line = spans.settle(draft);
        if line.is_none()
            && let Some(Current::Spans(spans)) = self.current.take()
        {
            let name = spans.name().clone();
            let blocks = spans.into_blocks(draft).map_err(|error| failed(&name, &error))?;
            self.current = Some(Current::Text { blocks: blocks.0, shape: blocks.1 });
        }
        Ok(line)
    }

    /// Adds rows that have been skipped, for the notes.
    pub(crate) fn count_bad_rows(&mut self, rows: u64) {
        self.bad_rows += rows;
    }

    /// Waits for a piece, and takes up to `most` where more are there; none
    /// at the end, and at the end of a file as long as a draft of it is to be
    /// settled.
    ///
    /// # Errors
    /// Where a file cannot be read or has not the table's columns.
    pub(crate) fn next_pieces(&mut self, most: usize) -> Result<Vec<Piece>, Diagnostics> {
        while self.rows_left != Some(0) {
            let pieces: Vec<Piece> = match &mut self.current {
                None => return Ok(Vec::new()),
                Some(Current::Spans(spans)) => {
                    let some = spans.take(most).map_err(|error| failed(spans.name(), &error))?;
                    if some.is_empty() && spans.has_open() {
                        return Ok(Vec::new());
                    }
                    some.into_iter().map(|span| Piece(Kind::Span(span))).collect()
                }
                Some(Current::Text { blocks, shape }) => {
                    // Rows are not counted before they are scanned.
                    let most = if self.rows_left.is_some() { 1 } else { most };
                    let blocks = blocks.take(most)?.into_iter();
                    blocks.map(|block| Piece(Kind::Text(block, shape.clone()))).collect()
                }
                #[cfg(feature = "columnar")]
                // Its pieces have more rows than a text's.
                Some(Current::Columns(columns)) => columns.take(most.div_ceil(4))?,
            };
            if !pieces.is_empty() {
                return Ok(match self.rows_left {
                    None => pieces,
                    Some(left) => self.first_rows(pieces, left),
                });
            }
            self.current = None;
            self.next_file()?;
        }
        Ok(Vec::new())
    }

    /// [`Batches::settle`] for a piece that has been scanned, which may need none;
    /// whether it counts.
    pub(crate) fn settle_lines(&mut self, scanned: &mut Scanned) -> Result<bool, Diagnostics> {
        let Some(draft) = scanned.draft.take() else { return Ok(true) };
        let line = self.settle(&draft)?;
        line.iter().for_each(|&line| scanned.batch.shift_lines(line));
        Ok(line.is_some())
    }

    fn first_rows(&mut self, pieces: Vec<Piece>, mut left: u64) -> Vec<Piece> {
        let mut first = Vec::new();
        for piece in pieces {
            let mut scanned = piece.scan();
            scanned.batch.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= scanned.batch.rows() as u64;
            first.push(Piece(Kind::Ready(scanned)));
        }
        self.rows_left = Some(left);
        first
    }

    /// The next batch; none at the end. Its size is the reader's choice.
    ///
    /// # Errors
    /// Where a file cannot be read or has not the table's columns, or a row is not as
    /// wide as the header and is not to be skipped.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, Diagnostics> {
        while let Some(piece) = self.next_pieces(1)?.pop() {
            let mut scanned = piece.scan();
            if !self.settle_lines(&mut scanned)? {
                continue;
            }
            self.bad_rows += scanned.bad_rows;
            let batch = scanned.into_batch()?;
            if batch.rows() > 0 {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Starts with the next file, if there is one.
    fn next_file(&mut self) -> Result<(), Diagnostics> {
        let Some(input) = self.waiting.pop_front() else { return Ok(()) };
        let Opened { name, content, live, file, .. } = input.open()?;
        let path = input.regular_file();
        self.current = Some(match content {
            Content::Text(reader) => self.text(name, reader, live, file)?,
            Content::Parquet(reader) => self.columns(name, path, reader, false)?,
            Content::Arrow(reader) => self.columns(name, path, reader, true)?,
        });
        Ok(())
    }

    fn text(
        &mut self,
        name: Arc<str>,
        mut reader: Box<dyn Read + Send>,
        live: bool,
        file: Option<File>,
    ) -> Result<Current, Diagnostics> {
        // The header and the dialect come from the first block.
        let mut sample = vec![0; BLOCK];
        let n = match live {
            // The rows of a pipe may come one by one: two are enough.
            true => first_lines(&mut reader, &mut sample),
            false => fill(&mut reader, &mut sample),
        };
        sample.truncate(n.map_err(|error| failed(&name, &error))?);
        let mut before = 0;
        if sample.starts_with(BYTE_ORDER_MARK) {
            before = BYTE_ORDER_MARK.len();
            sample.drain(..before);
        }
        let dialect = Dialect::of(&sample, &self.options);
        let header = loop {
            let header = dialect::header(&sample, dialect, &self.options, &name)?;
            // A header may be longer than the first block.
            if header.body.0 < sample.len() || self.options.headers != (header.body.0 > 0) {
                break header;
            }
            let had = sample.len();
            sample.resize(had + BLOCK.max(had), 0);
            let n = fill(&mut reader, &mut sample[had..]).map_err(|error| failed(&name, &error))?;
            sample.truncate(had + n);
            if n == 0 {
                break header;
            }
        };
        self.notes.extend(header.notes);
        let width = header.names.len();
        if dialect.delimiter != b',' && self.options.delimiter.is_none() {
            let delimiter = dialect.delimiter_name();
            self.notes.push(format!(
                "`{name}` has {delimiter} between its columns (`--delimiter` says otherwise)"
            ));
        }
        let map = self.map(&name, header.names)?;
        let shape = Arc::new(Shape { dialect, width, map, bad_row: self.options.bad_row });
        let (at, line) = header.body;
        // Where rows are counted, or quotes are about, a text is read in one go.
        if self.rows_left.is_none()
            && memchr2(b'"', 0, &sample).is_none()
            && let Some(file) = file
        {
            let (name, start) = (name.clone(), ((before + at) as u64, line));
            let spans = Spans::of_file(name, file, start, BLOCK as u64, shape.clone());
            if let Some(spans) = spans {
                return Ok(Current::Spans(spans));
            }
        }
        let rest = sample.split_off(at.min(sample.len()));
        let blocks = Blocks::start(reader, rest, line, dialect, name.clone(), live)
            .map_err(|error| failed(&name, &error))?;
        Ok(Current::Text { blocks, shape })
    }

    #[cfg(feature = "columnar")]
    fn columns(
        &mut self,
        name: Arc<str>,
        path: Option<&Path>,
        reader: Box<dyn Read + Send>,
        arrow: bool,
    ) -> Result<Current, Diagnostics> {
        let mut columns = Columns::open(name.clone(), path, reader, arrow)?;
        self.notes.extend(columns.notes());
        let map = self.map(&name, columns.names()?)?;
        columns.select(map);
        Ok(Current::Columns(columns))
    }

    #[cfg(not(feature = "columnar"))]
    fn columns(
        &mut self,
        name: Arc<str>,
        _: Option<&Path>,
        _: Box<dyn Read + Send>,
        arrow: bool,
    ) -> Result<Current, Diagnostics> {
        let format = if arrow { "an Arrow" } else { "a Parquet" };
        Err(Diagnostic::error(Code::DataFormat, format!("`{name}` is {format} file"))
            .in_file(&*name, None)
            .help("this build reads texts alone (the feature `columnar` is off)")
            .into())
    }

    /// For each column of the table, its place in this file; none where they
    /// are the same. The first file names the columns.
    fn map(
        &mut self,
        file: &Arc<str>,
        names: Vec<String>,
    ) -> Result<Option<Arc<[u32]>>, Diagnostics> {
        if self.header.is_empty() {
            self.header = names;
            return Ok(None);
        }
        if self.header == names {
            return Ok(None);
        }
        let mut errors = Vec::new();
        let mut map = Vec::with_capacity(self.header.len());
        for name in &self.header {
            match names.iter().position(|other| other == name) {
                Some(at) => map.push(at as u32),
                None => {
                    let known = names.iter().map(String::as_str);
                    errors.push(unknown_column("the first file has the column", name, file, known));
                }
            }
        }
        let more = errors.len().saturating_sub(super::super::table::SHOWN) as u64;
        errors.truncate(super::super::table::SHOWN);
        Diagnostics::none_of(with_rest(errors, more), || ())?;
        let further: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|n| !self.header.iter().any(|h| h == n))
            .collect();
        if !further.is_empty() {
            self.notes.push(format!(
                "`{file}` has {} that the first file lacks, ignored: {}",
                count(further.len(), "column"),
                list(further.iter().copied(), 10)
            ));
        }
        Ok(Some(map.into()))
    }
}

/// What some programs write in front of a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Notes under the last error that there are more like it.
pub(crate) fn with_rest(mut errors: Vec<Diagnostic>, more: u64) -> Vec<Diagnostic> {
    if more > 0
        && let Some(last) = errors.last_mut()
    {
        last.notes.push(format!("and {more} more like this"));
    }
    errors
}

/// Reads until two lines are there, or the buffer is full.
fn first_lines(reader: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match reader.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if memchr::memchr_iter(b'\n', &buffer[..n]).count() >= 2 {
            break;
        }
    }
    Ok(n)
}
