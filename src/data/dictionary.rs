//! The texts of a batch's column as a list of the different ones and a code for
//! each cell.

use super::cell;
use super::table::Text;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::BuildHasher;

/// Text by level: the levels are the cells of these rows of the batch.
#[derive(Default)]
pub(crate) struct Dictionary {
    /// For each cell, which of the levels it is; [`Text::MISSING`] where there
    /// is nothing in it.
    pub(crate) codes: Vec<u32>,
    pub(crate) first_rows: Vec<u32>,
}

impl Dictionary {
    /// Of this many cells.
    pub(crate) fn of<'a>(cells: impl Iterator<Item = &'a [u8]>, rows: usize) -> Dictionary {
        let hasher = RandomState::default();
        let mut known: HashTable<u32> = HashTable::new();
        let mut levels: Vec<&[u8]> = Vec::new();
        let mut found = Dictionary { codes: Vec::with_capacity(rows), first_rows: Vec::new() };
        let mut recent = Recent::new();
        for (row, raw) in cells.enumerate() {
            let print = Fingerprint::of(raw);
            if let Some(code) = recent.get(print)
                && (print.is_whole() || levels.get(code as usize) == Some(&raw))
            {
                found.codes.push(code);
                continue;
            }
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
                    found.first_rows.push(row as u32);
                    code
                }
            };
            recent.put(print, code);
            found.codes.push(code);
        }
        found
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
    #[inline]
    fn of(raw: &[u8]) -> Fingerprint {
        let length = raw.len();
        let (first, last) = match (raw.first_chunk::<8>(), raw.first_chunk::<4>(), raw) {
            (Some(first), _, _) => {
                let last = raw.last_chunk::<8>().expect("it has eight bytes");
                (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
            }
            (None, Some(first), _) => {
                let last = raw.last_chunk::<4>().expect("it has four bytes");
                (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
            }
            (None, None, &[a, b, c]) => (u32::from_le_bytes([a, b, c, 0]).into(), 0),
            (None, None, &[a, b]) => (u32::from_le_bytes([a, b, 0, 0]).into(), 0),
            (None, None, &[a]) => (a.into(), 0),
            _ => (0, 0),
        };
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
            let found = Dictionary::of(cells.iter().map(String::as_bytes), cells.len());
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
