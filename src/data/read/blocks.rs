//! A text as blocks that end where a record ends.
//!
//! A thread of its own reads and cuts, so that the disk, decompression and
//! parsing work at the same time. Cutting has to know which line ends stand
//! inside of quotes; it looks at quotes alone and is much faster than parsing.

use super::dialect::Dialect;
use super::open::failed;
use crate::diag::{Code, Diagnostic, Diagnostics};
use memchr::{memchr, memchr_iter, memchr2, memrchr};
use mlpc_kernels::quotes::last_line_end;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

/// Some whole records.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    /// The line of its first byte.
    pub(crate) line: u64,
    /// How many lines it has; the last may lack its end.
    pub(crate) lines: usize,
    /// Whether there are quotes or NUL bytes in it.
    pub(crate) has_specials: bool,
    pub(crate) file: Arc<str>,
}

impl Block {
    pub(crate) fn new(bytes: Vec<u8>, line: u64, file: Arc<str>, dialect: Dialect) -> Block {
        let ends = memchr_iter(dialect.terminator, &bytes).count();
        let unended = bytes.last().is_some_and(|last| *last != dialect.terminator);
        Block {
            lines: ends + usize::from(unended),
            has_specials: memchr2(b'"', 0, &bytes).is_some(),
            bytes,
            line,
            file,
        }
    }
}

/// The bytes of a block. Its cells' places fit the cache of a core, and a
/// small file still makes enough blocks for every core.
pub(crate) const BLOCK: usize = 256 << 10;

/// A record that is longer than this is a quote left open.
pub(crate) const LONGEST: usize = 64 << 20;

/// Blocks that are read ahead.
const AHEAD: usize = 16;

/// The blocks of a text, in its order.
pub(crate) struct Blocks {
    receiver: Receiver<Result<Block, Diagnostics>>,
    /// A block that was taken from the channel and not handed out.
    failed: Option<Diagnostics>,
}

impl Blocks {
    /// Starts to read. `rest` are bytes that have been read already, the
    /// first of them on line `line`. Where bytes come when they come (`live`),
    /// whole records are handed on as soon as they are there.
    pub(crate) fn start(
        reader: Box<dyn Read + Send>,
        rest: Vec<u8>,
        line: u64,
        dialect: Dialect,
        file: Arc<str>,
        live: bool,
    ) -> io::Result<Blocks> {
        let (sender, receiver) = sync_channel(AHEAD);
        let mut cutter =
            Cutter { reader, rest, line, dialect, file, live, ended: false, arrived: Vec::new() };
        std::thread::Builder::new().name("reader".into()).spawn(move || {
            while let Some(block) = cutter.next() {
                let stop = block.is_err();
                if sender.send(block).is_err() || stop {
                    return;
                }
            }
        })?;
        Ok(Blocks { receiver, failed: None })
    }

    /// Waits for a block, and takes what else is there, up to `most`; none at
    /// the end.
    pub(crate) fn take(&mut self, most: usize) -> Result<Vec<Block>, Diagnostics> {
        if let Some(errors) = self.failed.take() {
            return Err(errors);
        }
        let Ok(first) = self.receiver.recv() else { return Ok(Vec::new()) };
        let mut blocks = vec![first?];
        while blocks.len() < most {
            match self.receiver.try_recv() {
                Ok(Ok(block)) => blocks.push(block),
                Ok(Err(errors)) => {
                    self.failed = Some(errors);
                    break;
                }
                Err(_) => break,
            }
        }
        Ok(blocks)
    }
}

struct Cutter {
    reader: Box<dyn Read + Send>,
    rest: Vec<u8>,
    line: u64,
    dialect: Dialect,
    file: Arc<str>,
    live: bool,
    ended: bool,
    /// Where what is there is read to, if bytes come when they come.
    arrived: Vec<u8>,
}

impl Cutter {
    fn next(&mut self) -> Option<Result<Block, Diagnostics>> {
        let mut bytes = std::mem::take(&mut self.rest);
        // More than a block may be left of a long record.
        let mut size = BLOCK.max(2 * bytes.len());
        loop {
            if !self.ended
                && let Err(error) = self.read(&mut bytes, size)
            {
                return Some(Err(failed(&self.file, &error)));
            }
            if self.ended {
                return (!bytes.is_empty()).then(|| Ok(self.block(bytes)));
            }
            if let Some(end) = records_end(&bytes, self.dialect) {
                self.rest = bytes[end..].to_vec();
                bytes.truncate(end);
                return Some(Ok(self.block(bytes)));
            }
            if bytes.len() > LONGEST {
                return Some(Err(self.open_quote()));
            }
            if bytes.len() >= size {
                size = 2 * bytes.len();
            }
        }
    }

    /// The next block, of these bytes.
    fn block(&mut self, bytes: Vec<u8>) -> Block {
        let block = Block::new(bytes, self.line, self.file.clone(), self.dialect);
        self.line += block.lines as u64;
        block
    }

    /// Reads until there are `size` bytes, or what is there.
    fn read(&mut self, bytes: &mut Vec<u8>, size: usize) -> io::Result<()> {
        if self.live {
            self.arrived.resize(64 << 10, 0);
            let n = read_some(&mut self.reader, &mut self.arrived)?;
            bytes.extend_from_slice(&self.arrived[..n]);
            self.ended = n == 0;
        } else {
            let wanted = size.saturating_sub(bytes.len());
            bytes.reserve_exact(wanted);
            // Nothing is written before it is read over.
            self.reader.by_ref().take(wanted as u64).read_to_end(bytes)?;
            self.ended = bytes.len() < size;
        }
        Ok(())
    }

    fn open_quote(&self) -> Diagnostics {
        Diagnostic::error(
            Code::DataFormat,
            format!("the record on line {} does not end within {} MiB", self.line, LONGEST >> 20),
        )
        .in_file(&*self.file, Some(self.line))
        .note("a quote at the start of a cell goes on to the next quote, over line ends")
        .help("close the quote that is left open")
        .into()
    }
}

/// Reads what is there, at least a byte; 0 at the end.
fn read_some(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The offset behind the last line end that stands outside of quotes.
fn records_end(bytes: &[u8], dialect: Dialect) -> Option<usize> {
    let Dialect { delimiter, terminator } = dialect;
    if memchr(b'"', bytes).is_none() {
        return memrchr(terminator, bytes).map(|found| found + 1);
    }
    if let Some(last) = last_line_end(bytes, [delimiter, terminator]) {
        return last;
    }
    let mut last = None;
    let mut at = 0;
    loop {
        let quote = memchr(b'"', &bytes[at..]).map(|found| at + found);
        let outside = &bytes[at..quote.unwrap_or(bytes.len())];
        if let Some(found) = memrchr(terminator, outside) {
            last = Some(at + found + 1);
        }
        let Some(quote) = quote else { return last };
        let before = quote.checked_sub(1).map(|before| bytes[before]);
        if before.is_some_and(|byte| byte != delimiter && byte != terminator) {
            // In the middle of a cell it is a character like any other.
            at = quote + 1;
            continue;
        }
        let mut inside = quote + 1;
        loop {
            let Some(found) = memchr(b'"', &bytes[inside..]) else { return last };
            let closing = inside + found;
            if bytes.get(closing + 1) == Some(&b'"') {
                inside = closing + 2;
            } else {
                at = closing + 1;
                break;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::scan::{Ranges, Records};
    use super::*;
    use proptest::prelude::*;

    /// A reader that gives so many bytes at a time.
    struct Drip(io::Cursor<Vec<u8>>, usize);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = buffer.len().min(self.1);
            self.0.read(&mut buffer[..n])
        }
    }

    proptest! {
        /// Wherever a text is cut, its records and their lines stay.
        #[test]
        fn cutting_keeps_the_records(
            text in "[ab\",\n]{0,60}(\"[a,\"\n]{0,9}\"[,\n]|[a-c]{0,9}[,\n]){0,20}",
            step in 1usize..20,
        ) {
            let dialect = Dialect::default();
            let all = |text: &[u8], line| {
                let mut records = Records::new(text, dialect, line);
                let mut found = Vec::new();
                while let Some(record) = records.next(&mut Ranges::default()) {
                    found.push((record.line, record.bytes.to_vec()));
                }
                found
            };
            let reader = Box::new(Drip(io::Cursor::new(text.clone().into_bytes()), step));
            let mut blocks =
                Blocks::start(reader, Vec::new(), 1, dialect, "t".into(), true).unwrap();
            let mut found = Vec::new();
            loop {
                let some = blocks.take(3).unwrap();
                if some.is_empty() {
                    break;
                }
                found.extend(some.into_iter().flat_map(|block| all(&block.bytes, block.line)));
            }
            prop_assert_eq!(found, all(text.as_bytes(), 1));
        }
    }
}
