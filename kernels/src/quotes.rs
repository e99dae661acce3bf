//! Which delimiters of a text stand outside of quotes, sixty-four bytes at a time:
//! the parity of the quotes before a byte says whether it is inside (after Langdale
//! and Lemire, "Parsing gigabytes of JSON per second").
//!
//! That is so where quotes are *plain*: one that opens follows the end of a cell, and
//! one that closes is followed by one, or by a quote, which makes two quotes inside
//! of a cell. Other texts are for whoever looks at each byte.

use super::bytes::{BLOCK, Ranges, bits_of, block_at};
use crate::compiled::compiled_for;

/// What a text is walked over with.
#[derive(Debug, Clone, Copy)]
struct Walk {
    delimiter: u8,
    terminator: u8,
    /// All ones where the byte before is inside of quotes.
    inside: u64,
    /// Bit 0: the byte before ends a cell, or is the start of the text.
    ended: u64,
    /// Bit 0: the byte before is a quote that closes.
    closed: u64,
    /// Bit 0: the byte before is a carriage return behind such a quote.
    returned: u64,
}

/// What a block of the text has, a bit a byte.
struct Block {
    /// Delimiters and terminators outside of quotes.
    ends: u64,
    /// Terminators outside of quotes.
    lines: u64,
    /// Quotes that follow one that closes.
    doubled: u64,
    /// What makes the text none with plain quotes: not 0.
    other: u64,
}

impl Walk {
    fn new([delimiter, terminator]: [u8; 2]) -> Walk {
        Walk { delimiter, terminator, inside: 0, ended: 1, closed: 0, returned: 0 }
    }

    /// The next block.
    #[inline(always)]
    fn next(&mut self, block: &[u8; BLOCK]) -> Block {
        let bits = |byte: u8| bits_of(block, byte);
        let (quotes, lines) = (bits(b'"'), bits(self.terminator));
        let either = bits(self.delimiter) | lines;
        // A quote that opens is inside, one that closes is not.
        let inside = parity_up_to(quotes) ^ self.inside;
        let (opening, closing) = (quotes & inside, quotes & !inside);
        let ends = either & !inside;
        let behind_end = ends << 1 | self.ended;
        let behind_closing = closing << 1 | self.closed;
        let doubled = opening & behind_closing;
        let mut other = opening & !(behind_end | behind_closing);
        // Behind a quote that closes: an end, a quote, or what `\n` takes with it.
        let mut allowed = ends | opening;
        if self.terminator == b'\n' {
            let returns = behind_closing & bits(b'\r');
            other |= (returns << 1 | self.returned) & !lines;
            allowed |= returns;
            self.returned = returns >> (BLOCK - 1);
        }
        other |= behind_closing & !allowed;
        self.inside = ((inside as i64) >> (BLOCK - 1)) as u64;
        self.ended = ends >> (BLOCK - 1);
        self.closed = closing >> (BLOCK - 1);
        Block { ends, lines: lines & !inside, doubled, other }
    }
}

/// For each bit, whether an odd number of bits are set up to and with it.
#[inline(always)]
fn parity_up_to(mut bits: u64) -> u64 {
    for distance in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << distance;
    }
    bits
}

/// Walks over the blocks of a text; `visit` gets where a block starts, and ends the
/// walk where it is not content with it. The walk as it is at the end of the text.
#[inline(always)]
fn walk(
    bytes: &[u8],
    [delimiter, terminator]: [u8; 2],
    mut visit: impl FnMut(usize, &Block) -> bool,
) -> Option<Walk> {
    // What fills the last block is nothing that is looked for.
    let special = [delimiter, terminator, b'"', b'\r'];
    let filler = (0..5).find(|byte| !special.contains(byte)).unwrap_or(5);
    let mut walk = Walk::new([delimiter, terminator]);
    for start in (0..bytes.len()).step_by(BLOCK) {
        let mut block = walk.next(&block_at(bytes, start, filler));
        if bytes.len() - start < BLOCK {
            // What would stand behind the end of the text is not known.
            block.other &= (1 << (bytes.len() - start)) - 1;
        }
        if !visit(start, &block) {
            return None;
        }
    }
    Some(walk)
}

/// Appends the ranges of a text's cells, the quotes around them included, where its
/// quotes are plain, none is doubled and none is left open; `false`, with some ranges,
/// where they are not. What is left behind the last end is a cell, too, if it is
/// anything.
///
/// # Panics
/// Where the text has 4 GiB or more.
pub fn split_quoted(bytes: &[u8], ends: [u8; 2], cells: &mut Ranges) -> bool {
    assert!(u32::try_from(bytes.len()).is_ok(), "a text of {} bytes", bytes.len());
    split(bytes, ends, cells)
}

compiled_for! {
    ["bmi1", "popcnt"]
    fn split(bytes: &[u8], ends: [u8; 2], cells: &mut Ranges) -> bool {
        let mut next = 0;
        let walk = walk(bytes, ends, |start, block| {
            next = cells.append_ends(next, start as u32, block.ends);
            block.other | block.doubled == 0
        });
        cells.append_rest(next, bytes);
        walk.is_some_and(|walk| walk.inside == 0)
    }
}

compiled_for! {
    ["bmi1", "popcnt"]
    /// The place behind the last terminator outside of quotes, if there is any; none
    /// where the quotes of the text are not plain.
    pub fn last_line_end(bytes: &[u8], ends: [u8; 2]) -> Option<Option<usize>> {
        let mut last = None;
        walk(bytes, ends, |start, block| {
            if block.lines != 0 {
                last = Some(start + BLOCK - block.lines.leading_zeros() as usize);
            }
            block.other == 0
        })?;
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cells and the last line's end, byte by byte; none where a quote is not plain.
    fn expected(text: &[u8]) -> Option<(Vec<std::ops::Range<usize>>, Option<usize>, bool)> {
        let (mut cells, mut last, mut simple) = (Vec::new(), None, true);
        let (mut at, mut start) = (0, 0);
        while at < text.len() {
            if at == start && text[at] == b'"' {
                at += 1;
                loop {
                    match (text.get(at), text.get(at + 1)) {
                        (None, _) => return Some((cells, last, false)),
                        (Some(b'"'), Some(b'"')) => (at, simple) = (at + 2, false),
                        (Some(b'"'), None | Some(b',' | b'\n')) => break,
                        (Some(b'"'), Some(b'\r'))
                            if matches!(text.get(at + 2), None | Some(b'\n')) =>
                        {
                            break;
                        }
                        (Some(b'"'), _) => return None,
                        _ => at += 1,
                    }
                }
                at += 1;
                continue;
            }
            match text[at] {
                b'"' => return None,
                b',' | b'\n' => {
                    cells.push(start..at);
                    start = at + 1;
                    last = if text[at] == b'\n' { Some(start) } else { last };
                }
                _ => {}
            }
            at += 1;
        }
        if start < text.len() {
            cells.push(start..text.len());
        }
        Some((cells, last, simple))
    }

    proptest! {
        #[test]
        fn plain_quotes_are_found_as_byte_by_byte(
            text in "(([ab]{0,9}|\"([ab,\r\n]|\"\"){0,70}\"|[ab\r\"]{0,3})[,\n]|\"[ab,]{0,9}\"\r\n){0,20}(\"[ab]{0,3}\"?)?",
        ) {
            let text = text.as_bytes();
            let mut cells = Ranges::default();
            let found = split_quoted(text, [b',', b'\n'], &mut cells);
            let last = last_line_end(text, [b',', b'\n']);
            match expected(text) {
                None => prop_assert_eq!((found, last), (false, None)),
                Some((expected, line, simple)) => {
                    prop_assert_eq!((found, last), (simple, Some(line)));
                    if simple {
                        prop_assert!(cells.as_slice().step_by(1).eq(expected));
                    }
                }
            }
        }
    }
}
