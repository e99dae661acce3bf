//! The names of categories, in a fixed order.

use super::cell::{self, Cell};
use super::date;
use super::table::{Column, Text, Values};
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// The distinct values of a column of categories: the levels of an input, the
/// classes of a target. The index of a name is its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// How a cell is compared with a name.
    pub kind: LabelKind,
    /// The names: numbers and dates in their order, texts in that of their bytes.
    pub names: Vec<String>,
}

/// How a cell is compared with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// Byte by byte.
    Text,
    /// As numbers: `1`, `1.0` and `01` are one name.
    Number,
    /// `true` and `false`, in any case.
    Boolean,
    /// As moments: `2024-01-31` and `2024-01-31T00:00Z` are one name.
    Date,
}

impl Labels {
    /// The distinct values of a column in these rows.
    pub(crate) fn of(column: &Column, rows: &[u32]) -> Labels {
        match &column.values {
            Values::Numbers(numbers) | Values::Dates(numbers) => {
                let kind = match &column.values {
                    Values::Dates(_) => LabelKind::Date,
                    _ => LabelKind::Number,
                };
                let numbers: &[f64] = numbers;
                // −0 and 0 compare equal, as a cell compares with a name:
                // adding 0 turns one into the other.
                let present = rows.iter().map(|&r| numbers[r as usize]).filter(|x| !x.is_nan());
                let distinct: HashSet<u64, RandomState> =
                    present.map(|x| (x + 0.0).to_bits()).collect();
                let mut distinct: Vec<f64> = distinct.into_iter().map(f64::from_bits).collect();
                distinct.sort_by(f64::total_cmp);
                let names = distinct.into_iter().map(|x| name_of(kind, x)).collect();
                Labels { kind, names }
            }
            Values::Text(text) => {
                let codes: &[u32] = &text.codes;
                let mut present = vec![false; text.levels.len()];
                // In most tables, a part of the rows has all levels.
                const SOME: usize = 1 << 12;
                for rows in rows.chunks(SOME) {
                    for &row in rows {
                        if let Some(p) = present.get_mut(codes[row as usize] as usize) {
                            *p = true;
                        }
                    }
                    if !present.contains(&false) {
                        break;
                    }
                }
                let names = text.levels.iter().zip(present).filter(|(_, present)| *present);
                let mut names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
                names.sort_unstable();
                let kind = if text.boolean { LabelKind::Boolean } else { LabelKind::Text };
                if text.boolean {
                    names.sort_by_key(|name| name.to_ascii_lowercase());
                }
                Labels { kind, names }
            }
        }
    }

    /// The number of names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// An index for many look-ups.
    pub(crate) fn lookup(&self) -> Lookup {
        let index = self.names.iter().enumerate();
        let index = index.map(|(i, name)| (key(self.kind, name.as_bytes()), i as u32)).collect();
        Lookup { kind: self.kind, index }
    }
}

/// A name's code by the content of a cell.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    kind: LabelKind,
    index: HashMap<Vec<u8>, u32, RandomState>,
}

impl Lookup {
    /// Adds a name with this code.
    pub(crate) fn insert(&mut self, name: &[u8], code: u32) {
        self.index.insert(key(self.kind, name), code);
    }

    /// The code of each row of a column; [`Text::MISSING`] where the cell is
    /// missing or none of the names.
    pub(crate) fn codes(&self, column: &Column, rows: &[u32]) -> Vec<u32> {
        match &column.values {
            Values::Numbers(numbers) | Values::Dates(numbers) => {
                let numbers: &[f64] = numbers;
                // Each number is put into words once.
                let mut known: HashMap<u64, u32, RandomState> = HashMap::default();
                let mut code = |x: f64| {
                    let new = || self.number(x).unwrap_or(Text::MISSING);
                    *known.entry(x.to_bits()).or_insert_with(new)
                };
                rows.iter().map(|&row| code(numbers[row as usize])).collect()
            }
            Values::Text(text) => {
                let of_level: Vec<u32> = text
                    .levels
                    .iter()
                    .map(|level| self.get(level.as_bytes()).unwrap_or(Text::MISSING))
                    .collect();
                let codes: &[u32] = &text.codes;
                rows.iter()
                    .map(|&row| {
                        of_level.get(codes[row as usize] as usize).copied().unwrap_or(Text::MISSING)
                    })
                    .collect()
            }
        }
    }

    /// The code of a cell that is not missing.
    pub(crate) fn get(&self, raw: &[u8]) -> Option<u32> {
        match self.kind {
            LabelKind::Text => self.index.get(raw).copied(),
            _ => self.index.get(&key(self.kind, raw)).copied(),
        }
    }

    fn number(&self, number: f64) -> Option<u32> {
        self.index.get(name_of(self.kind, number).as_bytes()).copied()
    }
}

/// What two spellings of one name share.
fn key(kind: LabelKind, raw: &[u8]) -> Vec<u8> {
    match kind {
        LabelKind::Text => raw.to_vec(),
        LabelKind::Boolean => raw.trim_ascii().to_ascii_lowercase(),
        LabelKind::Number => match cell::classify(raw) {
            Cell::Number(number) => name_of(kind, number).into_bytes(),
            _ => raw.to_vec(),
        },
        LabelKind::Date => match date::parse(raw.trim_ascii()) {
            Some(seconds) => name_of(kind, seconds).into_bytes(),
            None => raw.to_vec(),
        },
    }
}

fn name_of(kind: LabelKind, number: f64) -> String {
    match kind {
        LabelKind::Date => date::format(number),
        // Adding 0 turns −0 into 0.
        _ => (number + 0.0).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::table;

    #[test]
    fn names_have_an_order_and_spellings() {
        let table = table("n,t,b\n10,b,True\n9,a,FALSE\n-0,,true\n0,é,false\n");
        let labels = |i: usize| Labels::of(&table.columns[i], &[0, 1, 2, 3]);
        assert_eq!(labels(0).names, ["0", "9", "10"]);
        assert_eq!(labels(1).names, ["a", "b", "é"]);
        assert_eq!(labels(2).names, ["FALSE", "True"]);
        assert_eq!(labels(0).lookup().get(b" 9.0 "), Some(1));
        assert_eq!(labels(0).lookup().get(b"x"), None);
        assert_eq!(labels(2).lookup().get(b"TRUE"), Some(1));
        assert_eq!(labels(1).lookup().get(b" a"), None);
        assert_eq!(labels(1).lookup().codes(&table.columns[1], &[0, 2, 3]), [1, Text::MISSING, 2]);
        assert_eq!(Labels::of(&table.columns[1], &[1]).names, ["a"]);
        assert_eq!(labels(0).lookup().codes(&table.columns[0], &[0, 2]), [2, 0]);
    }
}
