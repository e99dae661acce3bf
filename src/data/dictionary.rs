//! The texts of a batch's column as a list of the different ones and a code for
//! each cell.

use super::cell;
use super::table::Text;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::BuildHasher;
use std::ops::Range;

/// Text by level: the levels are the cells of these rows of the batch.
#[derive(Default)]
pub(crate) struct Dictionary {
    /// For each cell, which of the levels it is; [`Text::MISSING`] where there
    /// is nothing in it.
    pub(crate) codes: Vec<u32>,
    pub(crate) first_rows: Vec<u32>,
}

/// A dictionary that cells are being added to.
pub(crate) struct Growing<'a> {
    hasher: RandomState,
    known: HashTable<u32>,
    levels: Vec<&'a [u8]>,
    recent: Recent,
    dictionary: Dictionary,
}

impl<'a> Growing<'a> {
    /// For this many cells.
    pub(crate) fn with_capacity(cells: usize) -> Self {
        Growing {
            hasher: RandomState::default(),
            known: HashTable::new(),
            levels: Vec::new(),
            recent: Recent::new(),
            dictionary: Dictionary { codes: Vec::with_capacity(cells), first_rows: Vec::new() },
        }
    }

    /// Adds the cells in these ranges of a text.
    pub(crate) fn extend(&mut self, text: &'a [u8], cells: impl Iterator<Item = Range<usize>>) {
        for cell in cells {
            let print = Fingerprint::within(text, &cell);
            let raw = &text[cell];
            let code = match self.recent.get(print) {
                Some(code) if print.is_whole() || self.levels.get(code as usize) == Some(&raw) => {
                    code
                }
                _ => self.look_up(print, raw),
            };
            self.dictionary.codes.push(code);
        }
    }

    /// The code of a cell that has not come up a moment ago.
    fn look_up(&mut self, print: Fingerprint, raw: &'a [u8]) -> u32 {
        let Growing { hasher, known, levels, recent, dictionary } = self;
        let entry = known.entry(
            hasher.hash_one(raw),
            |&code| levels[code as usize] == raw,
            |&code| hasher.hash_one(levels[code as usize]),
        );
        let code = match entry {
            Entry::Occupied(found) => *found.get(),
            // A missing cell stays out of the dictionary.
            Entry::Vacant(_) if cell::is_missing(raw.trim_ascii()) => Text::MISSING,
            Entry::Vacant(vacant) => {
                let code = levels.len() as u32;
                vacant.insert(code);
                levels.push(raw);
                dictionary.first_rows.push(dictionary.codes.len() as u32);
                code
            }
        };
        recent.put(print, code);
        code
    }

    /// The dictionary of all cells.
    pub(crate) fn finish(self) -> Dictionary {
        self.dictionary
    }
}

impl Dictionary {
    /// Of cells that do not stand in one text.
    pub(crate) fn of<'a>(cells: impl ExactSizeIterator<Item = &'a [u8]>) -> Dictionary {
        let mut growing = Growing::with_capacity(cells.len());
        cells.for_each(|cell| growing.extend(cell, std::iter::once(0..cell.len())));
        growing.finish()
    }

    /// Of a text that has its levels already; some of them may not occur.
    pub(crate) fn of_text(text: &Text) -> Dictionary {
        const NEW: u32 = u32::MAX - 1;
        const { assert!(NEW != Text::MISSING) };
        let is_missing = |level: &String| cell::is_missing(level.as_bytes().trim_ascii());
        let first = |level| if is_missing(level) { Text::MISSING } else { NEW };
        let mut new_codes: Vec<u32> = text.levels.iter().map(first).collect();
        let mut first_rows = Vec::new();
        let code = |(row, &code): (usize, &u32)| match new_codes.get_mut(code as usize) {
            None => Text::MISSING,
            Some(new) => {
                if *new == NEW {
                    *new = first_rows.len() as u32;
                    first_rows.push(row as u32);
                }
                *new
            }
        };
        Dictionary { codes: text.codes.iter().enumerate().map(code).collect(), first_rows }
    }

    /// The same as a text of its own, where `cell` says the cell of a row.
    #[cfg(feature = "columnar")]
    pub(crate) fn into_text<'a>(self, cell: impl Fn(usize) -> &'a str) -> Text {
        let levels = self.first_rows.iter().map(|&row| cell(row as usize).to_owned());
        Text { levels: levels.collect(), codes: self.codes.into(), boolean: false }
    }
}

/// The first and the last eight bytes of a cell, and its length: all of it,
/// where it has sixteen bytes at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Fingerprint {
    first: u64,
    last: u64,
    length: usize,
}

impl Fingerprint {
    /// Of a cell in a text.
    #[inline]
    fn within(text: &[u8], cell: &Range<usize>) -> Fingerprint {
        /// What keeps the first so many bytes.
        const FIRST: [u64; 9] = {
            let mut masks = [u64::MAX; 9];
            let mut i = 0;
            while i < 8 {
                masks[i] = (1 << (8 * i)) - 1;
                i += 1;
            }
            masks
        };
        let length = cell.len();
        let first = text.get(cell.start..).and_then(|text| text.first_chunk());
        let last = text.get(..cell.end).and_then(|text| text.last_chunk());
        if let (Some(first), Some(last)) = (first, last) {
            // Lengths follow no pattern: no branch looks at them.
            let some = length.min(8);
            let last = u64::from_le_bytes(*last).wrapping_shr(64 - 8 * some as u32);
            let first = u64::from_le_bytes(*first);
            return Fingerprint { first: first & FIRST[some], last: last & FIRST[some], length };
        }
        // At the ends of the text.
        let raw = &text[cell.clone()];
        let mut eight = [[0; 8]; 2];
        let some = length.min(8);
        eight[0][..some].copy_from_slice(&raw[..some]);
        eight[1][..some].copy_from_slice(&raw[length - some..]);
        let [first, last] = eight.map(u64::from_le_bytes);
        Fingerprint { first, last, length }
    }

    fn is_whole(self) -> bool {
        self.length <= 16
    }
}

/// The codes of cells that came up a moment ago, by their fingerprints: tables
/// have few levels, and few of them make most of the cells.
struct Recent([(Fingerprint, u32); Recent::SLOTS]);

impl Recent {
    const SLOTS: usize = 256;

    /// The length is that of no cell.
    fn new() -> Recent {
        let none = Fingerprint { length: usize::MAX, ..Fingerprint::default() };
        Recent([(none, 0); Recent::SLOTS])
    }

    #[inline]
    fn slot(print: Fingerprint) -> usize {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4): the high bits of a product.
        let mixed = print.first ^ print.last.rotate_left(23) ^ (print.length as u64) << 56;
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
    }

    #[inline]
    fn get(&self, print: Fingerprint) -> Option<u32> {
        let (known, code) = self.0[Recent::slot(print)];
        (known == print).then_some(code)
    }

    fn put(&mut self, print: Fingerprint, code: u32) {
        self.0[Recent::slot(print)] = (print, code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Equal cells share a code, and others do not, however alike.
        #[test]
        fn codes_tell_cells_apart(
            cells in prop::collection::vec("[ab]{0,3}|a{3}[ab]{0,2}a{3}|[ab]{15,20}|a{9}[abc]{3}a{9}|NA", 0..400),
        ) {
            let found = Dictionary::of(cells.iter().map(String::as_bytes));
            // As they stand in a text.
            let text = cells.concat();
            let mut end = 0;
            let places = cells.iter().map(|cell| {
                end += cell.len();
                end - cell.len()..end
            });
            let mut growing = Growing::with_capacity(cells.len());
            growing.extend(text.as_bytes(), places);
            let in_text = growing.finish();
            prop_assert_eq!(&in_text.codes, &found.codes);
            prop_assert_eq!(&in_text.first_rows, &found.first_rows);
            let mut codes: HashMap<&str, u32> = HashMap::new();
            let mut first_rows = Vec::new();
            let expected: Vec<u32> = cells.iter().enumerate().map(|(row, cell)| {
                if cell.is_empty() || cell == "NA" {
                    return Text::MISSING;
                }
                *codes.entry(cell).or_insert_with(|| {
                    first_rows.push(row as u32);
                    first_rows.len() as u32 - 1
                })
            }).collect();
            prop_assert_eq!(found.codes, expected);
            prop_assert_eq!(found.first_rows, first_rows);
        }
    }
}
