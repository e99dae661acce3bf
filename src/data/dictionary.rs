//! The texts of a batch's column as a list of the different ones and a code for
//! each cell.

use super::cell;
use super::table::Text;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use mlpc_kernels::bytes::RangeSlice;
use mlpc_kernels::texts::Recent;
use std::hash::BuildHasher;

/// Text by level: the levels are those that were known before, and behind them the
/// cells of these rows of the batch.
#[derive(Default)]
pub(crate) struct Dictionary {
    /// For each cell, which of the levels it is; [`Text::MISSING`] where there
    /// is nothing in it.
    pub(crate) codes: Vec<u32>,
    pub(crate) first_rows: Vec<u32>,
    /// How many levels were known before.
    pub(crate) known: u32,
}

/// The levels that a column has been found to have: most batches have no others.
#[derive(Debug)]
pub(crate) struct Known {
    recent: Recent,
    levels: u32,
}

impl Known {
    /// With more levels than these, to know them costs more than it saves.
    const MOST: usize = 2_000;

    /// These levels, if they are not too many.
    pub(crate) fn of(levels: &[String]) -> Known {
        let levels = if levels.len() > Known::MOST { &[] } else { levels };
        let recent = Recent::of(levels.iter().map(String::as_bytes));
        Known { recent, levels: levels.len() as u32 }
    }

    /// How many levels there are.
    pub(crate) fn levels(&self) -> usize {
        self.levels as usize
    }
}

/// With more cells than these that have none of the known levels, a tenth of a batch, it
/// is better off with a memory of its own.
const OTHERS: usize = 256;

/// What cells are compared with first.
enum Memory<'a> {
    /// The column's levels, which others compare with, too; and how many cells had
    /// none of them.
    Known(&'a Recent, usize),
    /// What has come up in the batch.
    Own(Recent),
}

/// A dictionary that cells are being added to.
pub(crate) struct Growing<'a> {
    hasher: RandomState,
    known: HashTable<u32>,
    levels: Vec<&'a [u8]>,
    recent: Memory<'a>,
    dictionary: Dictionary,
}

impl<'a> Growing<'a> {
    /// For this many cells.
    pub(crate) fn with_capacity(cells: usize) -> Self {
        Growing::new(Memory::Own(Recent::new(cells)), cells, 0)
    }

    /// For this many cells of a column some of whose levels are known. A known level
    /// may come up as a new one.
    pub(crate) fn knowing(known: &'a Known, cells: usize) -> Self {
        match known.levels {
            0 => Growing::with_capacity(cells),
            levels => Growing::new(Memory::Known(&known.recent, 0), cells, levels),
        }
    }

    fn new(recent: Memory<'a>, cells: usize, known: u32) -> Self {
        Growing {
            hasher: RandomState::default(),
            known: HashTable::new(),
            levels: Vec::new(),
            recent,
            dictionary: Dictionary {
                codes: Vec::with_capacity(cells),
                first_rows: Vec::new(),
                known,
            },
        }
    }

    /// Adds the cells 0, `step`, 2 · `step` and so on, each the range of its bytes in
    /// a text.
    pub(crate) fn extend(&mut self, text: &'a [u8], mut cells: RangeSlice<'_>, step: usize) {
        loop {
            let recent = match &self.recent {
                Memory::Known(recent, _) => recent,
                Memory::Own(recent) => recent,
            };
            let known = recent.codes(text, cells, step, &mut self.dictionary.codes);
            let Some(new) = cells.get(known * step) else { return };
            let code = self.look_up(&text[new.clone()]);
            match &mut self.recent {
                Memory::Own(recent) => recent.remember(text, new, code),
                Memory::Known(_, others) if *others < OTHERS => *others += 1,
                // The rows may be sorted by this column, so that each batch has its own.
                known => *known = Memory::Own(Recent::new(self.dictionary.codes.capacity())),
            }
            self.dictionary.codes.push(code);
            cells = cells.skip(cells.len().min((known + 1) * step));
        }
    }

    /// Adds a cell.
    fn push(&mut self, cell: &'a [u8]) {
        let code = self.look_up(cell);
        self.dictionary.codes.push(code);
    }

    /// The code of a cell that has not come up a moment ago.
    fn look_up(&mut self, raw: &'a [u8]) -> u32 {
        let Growing { hasher, known, levels, dictionary, .. } = self;
        let entry = known.entry(
            hasher.hash_one(raw),
            |&code| levels[code as usize] == raw,
            |&code| hasher.hash_one(levels[code as usize]),
        );
        match entry {
            Entry::Occupied(found) => dictionary.known + *found.get(),
            // A missing cell stays out of the dictionary.
            Entry::Vacant(_) if cell::is_missing(raw.trim_ascii()) => Text::MISSING,
            Entry::Vacant(vacant) => {
                let code = levels.len() as u32;
                vacant.insert(code);
                levels.push(raw);
                dictionary.first_rows.push(dictionary.codes.len() as u32);
                dictionary.known + code
            }
        }
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
        cells.for_each(|cell| growing.push(cell));
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
        let codes = text.codes.iter().enumerate().map(code).collect();
        Dictionary { codes, first_rows, known: 0 }
    }

    /// The same as a text of its own, where `cell` says the cell of a row.
    #[cfg(feature = "columnar")]
    pub(crate) fn into_text<'a>(self, cell: impl Fn(usize) -> &'a str) -> Text {
        let levels = self.first_rows.iter().map(|&row| cell(row as usize).to_owned());
        Text { levels: levels.collect(), codes: self.codes.into(), boolean: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlpc_kernels::bytes::Ranges;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Equal cells share a code, and others do not, however alike.
        #[test]
        fn codes_tell_cells_apart(
            cells in prop::collection::vec("[ab]{0,3}|a{3}[ab]{0,2}a{3}|[ab]{7,9}|[ab]{15,17}|[ab]{23,26}|a{17}[abc]{3}a{9}|[ab]{31,33}|NA", 0..400),
            known in 0usize..99,
        ) {
            let found = Dictionary::of(cells.iter().map(String::as_bytes));
            // As they stand in a text.
            let text = cells.concat();
            let (mut ranges, mut end) = (Ranges::default(), 0);
            for cell in &cells {
                ranges.push(end, end + cell.len() as u32);
                end += cell.len() as u32;
            }
            let mut growing = Growing::with_capacity(cells.len());
            growing.extend(text.as_bytes(), ranges.as_slice(), 1);
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
            prop_assert_eq!(&found.codes, &expected);
            prop_assert_eq!(&found.first_rows, &first_rows);

            // As a column some of whose levels are known: a code says its level still.
            let levels: Vec<String> =
                first_rows.iter().take(known).map(|&row| cells[row as usize].clone()).collect();
            let known = Known::of(&levels);
            let mut growing = Growing::knowing(&known, cells.len());
            growing.extend(text.as_bytes(), ranges.as_slice(), 1);
            let Dictionary { codes, first_rows, known } = growing.finish();
            prop_assert_eq!(known as usize, levels.len());
            let new = first_rows.iter().map(|&row| cells[row as usize].as_str());
            let all: Vec<&str> = levels.iter().map(String::as_str).chain(new).collect();
            for ((cell, code), plain) in cells.iter().zip(&codes).zip(&expected) {
                prop_assert_eq!(*code == Text::MISSING, *plain == Text::MISSING);
                prop_assert!(*code == Text::MISSING || all[*code as usize] == cell);
            }
            // Few come up as new: those that share a hash with others, beside long ones
            // and those near the end of the text.
            let again = |row: &&u32| {
                let cell = &cells[**row as usize];
                let start = ranges.as_slice().get(**row as usize).map_or(0, |range| range.start);
                start + 32 <= text.len() && cell.len() < 32 && levels.contains(cell)
            };
            let few = 2 * first_rows.iter().filter(again).count() < levels.len() + 20;
            prop_assert!(few || cells.len() > OTHERS);
        }
    }
}
