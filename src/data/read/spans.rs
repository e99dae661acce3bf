//! A file's text as spans, which threads read by themselves.
//!
//! Where a text has no quotes, every line end ends a record: it can be cut without
//! being read, each thread reads its own part, into the cache of its core, and none
//! has to wait for another. That nothing but such records is there is known of a
//! span when it has been scanned. The first one in which there is anything else (a
//! quote, an empty line, a record of another width) is left to [`Blocks`], which read
//! the file from there on in one go; what has been scanned behind it is scanned again.

use super::blocks::{Blocks, LONGEST};
use super::scan::{Scanned, Shape, plain_lines};
use memchr::memchr;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

/// A file that is being cut.
pub(crate) struct Spans {
    name: Arc<str>,
    file: Arc<File>,
    shape: Arc<Shape>,
    /// Where the next span begins.
    at: u64,
    /// The length of the file when it was opened.
    length: u64,
    /// The bytes of a span, at least.
    size: u64,
    /// The line of the first span that is not settled.
    line: u64,
    /// How many have been handed out and not been settled.
    open: usize,
}

/// A part of a file that is yet to be read.
pub(crate) struct Span {
    name: Arc<str>,
    file: Arc<File>,
    shape: Arc<Shape>,
    range: Range<u64>,
}

/// What a span turned out to be. Its lines are numbered from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    start: u64,
    /// How many lines it has; `None` where it is not for a span to say what is there.
    lines: Option<u64>,
}

impl Draft {
    /// Leaves the span to be read again, with its lines' true numbers.
    pub(crate) fn reject(&mut self) {
        self.lines = None;
    }
}

impl Spans {
    /// Cuts what stands in a file from `at` on, where its line `line` begins, into
    /// spans of `size` bytes and what is left of a record. None where it is no longer
    /// than one.
    pub(crate) fn of_file(
        name: Arc<str>,
        file: File,
        (at, line): (u64, u64),
        size: u64,
        shape: Arc<Shape>,
    ) -> Option<Spans> {
        let length = file.metadata().ok()?.len();
        let file = Arc::new(file);
        let spans = Spans { name, file, shape, at, length, size, line, open: 0 };
        (CAN_READ_AT && length > size).then_some(spans)
    }

    /// What messages call the file.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The next spans, up to `most`; none at the end.
    pub(crate) fn take(&mut self, most: usize) -> io::Result<Vec<Span>> {
        let mut spans = Vec::with_capacity(most);
        while spans.len() < most && self.at < self.length {
            let end = self.line_end(self.at)?;
            let range = std::mem::replace(&mut self.at, end)..end;
            let (name, file, shape) = (self.name.clone(), self.file.clone(), self.shape.clone());
            spans.push(Span { name, file, shape, range });
        }
        self.open += spans.len();
        Ok(spans)
    }

    /// Behind the first line end that makes a span long enough.
    fn line_end(&self, start: u64) -> io::Result<u64> {
        // A line is short, mostly.
        let (mut probe, mut some) = ([0; 8 << 10], 512);
        let mut at = start + self.size - 1;
        // What is longer is no record; whoever reads it on will say so.
        let longest = self.length.min(start + LONGEST as u64);
        while at < longest {
            let n = read_at(&self.file, &mut probe[..some], at)?;
            if let Some(found) = memchr(self.shape.dialect.terminator, &probe[..n]) {
                return Ok(at + found as u64 + 1);
            }
            if n == 0 {
                break;
            }
            at += n as u64;
            some = probe.len();
        }
        Ok(longest)
    }

    /// Whether spans are being scanned of which nothing is known yet.
    pub(crate) fn has_open(&self) -> bool {
        self.open > 0
    }

    /// The number of the first line of the span that was taken first of those that
    /// are not settled; `None` where it is to be read again, by [`Spans::into_blocks`].
    pub(crate) fn settle(&mut self, draft: &Draft) -> Option<u64> {
        let line = self.line;
        self.line += draft.lines?;
        self.open -= 1;
        Some(line)
    }

    /// Reads the file in one go from a span on that is to be read again.
    pub(crate) fn into_blocks(self, draft: &Draft) -> io::Result<(Blocks, Arc<Shape>)> {
        let mut reader = self.file.try_clone()?;
        reader.seek(SeekFrom::Start(draft.start))?;
        let dialect = self.shape.dialect;
        let reader = Box::new(reader);
        let blocks = Blocks::start(reader, Vec::new(), self.line, dialect, self.name, false)?;
        Ok((blocks, self.shape))
    }
}

impl Span {
    /// Reads it and finds its cells.
    pub(crate) fn scan(self) -> Scanned {
        let Span { name, file, shape, range } = self;
        let start = range.start;
        let scanned = read(&file, range).ok();
        let scanned = scanned.and_then(|bytes| plain_lines(bytes, name, &shape));
        let lines = scanned.as_ref().map(|(_, lines)| *lines as u64);
        let scanned = scanned.map_or_else(Scanned::default, |(scanned, _)| scanned);
        Scanned { draft: Some(Draft { start, lines }), ..scanned }
    }
}

const CAN_READ_AT: bool = cfg!(any(unix, windows));

/// Reads at an offset, without moving what others read next on Unix.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        #[cfg(unix)]
        let result = std::os::unix::fs::FileExt::read_at(file, buffer, at);
        #[cfg(windows)]
        let result = std::os::windows::fs::FileExt::seek_read(file, buffer, at);
        #[cfg(not(any(unix, windows)))]
        let result = Err::<usize, _>(io::Error::from(io::ErrorKind::Unsupported));
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// All bytes of a part of a file.
///
/// # Errors
/// Where reading fails, or the file has become shorter.
fn read(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let length = (range.end - range.start) as usize;
    // Nothing is written before it is read over, where the system allows that.
    #[cfg(unix)]
    let bytes = {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = range.start + bytes.len() as u64;
            let spare = rustix::buffer::spare_capacity(&mut bytes);
            match rustix::io::pread(file, spare, at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(length);
        bytes
    };
    #[cfg(not(unix))]
    let bytes = {
        let mut bytes = vec![0; length];
        let mut done = 0;
        while done < length {
            match read_at(file, &mut bytes[done..], range.start + done as u64)? {
                0 => break,
                n => done += n,
            }
        }
        bytes.truncate(done);
        bytes
    };
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::BadRow;
    use super::super::dialect::Dialect;
    use super::super::scan::scan;
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    /// Rows with their lines, and errors.
    #[derive(Debug, Default, PartialEq)]
    struct Found {
        rows: Vec<(u64, Vec<Vec<u8>>)>,
        errors: Vec<String>,
    }

    impl Found {
        fn add(&mut self, Scanned { batch, errors, .. }: &Scanned) {
            let cells = |row| (0..batch.width()).map(|i| batch.text(row, i).into_owned()).collect();
            let rows = (0..batch.rows()).map(|row| (batch.place(row).line, cells(row)));
            self.rows.extend(rows);
            self.errors.extend(errors.iter().map(|error| format!("{error:?}")));
        }

        fn add_all(&mut self, mut blocks: Blocks, shape: &Shape) {
            loop {
                let some = blocks.take(3).unwrap();
                if some.is_empty() {
                    return;
                }
                some.into_iter().for_each(|block| self.add(&scan(block, shape)));
            }
        }
    }

    proptest! {
        /// Whatever the text and wherever it is cut, its rows, their lines and what is
        /// wrong are what they are when it is read in one go.
        #[test]
        fn spans_are_what_blocks_are(
            text in "([ab]{0,3},[ab]{0,9}\r?\n){0,30}(([ab]{0,3},\"[ab,\n]{0,9}\"|[ab]{0,2}(,[ab]){0,2})?\n){0,3}([ab]{0,3},[ab]{0,9}\n){0,9}[ab]{0,2}(,a)?",
            before in 0u64..9,
            size in 1u64..60,
            most in 1usize..5,
            skip: bool,
        ) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![b'x'; before as usize]).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let dialect = Dialect::default();
            let bad_row = if skip { BadRow::Skip } else { BadRow::Error };
            let shape = Arc::new(Shape { dialect, width: 2, map: None, bad_row });
            let name: Arc<str> = "a.csv".into();
            let mut expected = Found::default();
            let reader = Box::new(io::Cursor::new(text.clone().into_bytes()));
            expected.add_all(
                Blocks::start(reader, Vec::new(), 7, dialect, name.clone(), false).unwrap(),
                &shape,
            );
            let mut found = Found::default();
            let length = before + text.len() as u64;
            let spans = Spans::of_file(name, file, (before, 7), size, shape.clone());
            prop_assert_eq!(spans.is_some(), length > size);
            let Some(mut spans) = spans else { return Ok(()) };
            'file: loop {
                let some = spans.take(most).unwrap();
                if some.is_empty() {
                    prop_assert!(!spans.has_open());
                    break;
                }
                for mut scanned in some.into_iter().map(Span::scan) {
                    let draft = scanned.draft.take().unwrap();
                    let Some(line) = spans.settle(&draft) else {
                        let (blocks, shape) = spans.into_blocks(&draft).unwrap();
                        found.add_all(blocks, &shape);
                        break 'file;
                    };
                    scanned.batch.shift_lines(line);
                    found.add(&scanned);
                }
            }
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_file_that_shrinks_is_read_again() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"1,2\n3,4\n5,6\n").unwrap();
        let (dialect, bad_row) = (Dialect::default(), BadRow::Error);
        let shape = Arc::new(Shape { dialect, width: 2, map: None, bad_row });
        let again = file.try_clone().unwrap();
        let mut spans = Spans::of_file("a.csv".into(), again, (0, 1), 4, shape).unwrap();
        let some = spans.take(9).unwrap();
        file.set_len(8).unwrap();
        let drafts: Vec<Draft> = some.into_iter().map(|span| span.scan().draft.unwrap()).collect();
        let lines: Vec<_> = drafts.iter().map(|draft| spans.settle(draft)).collect();
        assert_eq!(lines, [Some(1), Some(2), None]);
        let (mut blocks, _) = spans.into_blocks(&drafts[2]).unwrap();
        assert!(blocks.take(1).unwrap().is_empty());
    }
}
