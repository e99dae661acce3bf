//! The levels of a tile's categories: which rows of the plan's tables its rows
//! take, and where their gradients go.

use crate::inputs::NONE;
use crate::plan::{Plan, Table};
use mlpc_kernels::gather::Pair;
use std::ops::Range;

/// Numbers of a part of a table at the most, where a row is not longer: its
/// gradient and state fit the cache between computing and using them.
const PART: usize = 6 * 1024;

/// Rows of a table whose gradient is computed together.
pub(super) fn rows_of_part(table: &Table) -> usize {
    (PART / table.width).max(1)
}

/// The levels of a tile, for every table of the plan.
#[derive(Debug, Default)]
pub(super) struct Levels {
    tables: Vec<OfTable>,
}

#[derive(Debug)]
struct OfTable {
    /// The table's rows, `[rows, columns]` row-major.
    levels: Vec<u32>,
    /// For each of them the row of the tile and the row of the table: in order,
    /// or sorted part by part, `to` counted from the part's first row.
    pairs: Vec<Pair>,
    /// Where the pairs of each part end.
    ends: Vec<u32>,
}

impl Levels {
    /// Room for tiles of up to so many lanes; where `sorted`, for the parts of
    /// tables too.
    pub(super) fn new(plan: &Plan, lanes: usize, sorted: bool) -> Levels {
        let of_table = |table: &Table| {
            let most = lanes * table.columns.len();
            let parts = match sorted {
                true => (table.range.len() / table.width).div_ceil(rows_of_part(table)),
                false => 0,
            };
            OfTable {
                levels: Vec::with_capacity(most),
                pairs: Vec::with_capacity(most),
                ends: vec![0; parts],
            }
        };
        Levels { tables: plan.tables.iter().map(of_table).collect() }
    }

    /// Takes the levels of a tile: `row` says which row of `codes` each of its
    /// rows is.
    ///
    /// # Panics
    /// Where a code is neither below its category's levels nor [`NONE`].
    pub(super) fn load(
        &mut self,
        plan: &Plan,
        codes: &[u32],
        rows: Range<usize>,
        row: impl Fn(usize) -> usize,
    ) {
        let width = plan.layout.categories.len();
        for (of, table) in self.tables.iter_mut().zip(&plan.tables) {
            of.levels.clear();
            for place in rows.clone() {
                let codes = &codes[row(place) * width..][..width];
                of.levels.extend(table.columns.iter().map(|column| match codes[column.category] {
                    NONE => NONE,
                    code if code < column.levels => column.first + code,
                    code => panic!("code {code} of a category of {} levels", column.levels),
                }));
            }
        }
    }

    /// The rows of a table, `[rows, columns]`.
    pub(super) fn of(&self, table: usize) -> &[u32] {
        &self.tables[table].levels
    }

    /// Pairs rows of the tile with those of the tables, in order.
    pub(super) fn pair(&mut self, plan: &Plan) {
        for (of, table) in self.tables.iter_mut().zip(&plan.tables) {
            of.pairs.clear();
            of.pairs.extend(pairs(&of.levels, table.columns.len()));
        }
    }

    /// The pairs of a table, in order of the tile's rows.
    pub(super) fn pairs(&self, table: usize) -> &[Pair] {
        &self.tables[table].pairs
    }

    /// Sorts the pairs of all tables by parts, those of a part in order of the
    /// tile's rows: a counting sort.
    pub(super) fn sort(&mut self, plan: &Plan) {
        for (of, table) in self.tables.iter_mut().zip(&plan.tables) {
            let part = rows_of_part(table) as u32;
            let OfTable { levels, pairs: sorted, ends } = of;
            ends.fill(0);
            for pair in pairs(levels, table.columns.len()) {
                ends[(pair.to / part) as usize] += 1;
            }
            let mut start = 0;
            for end in ends.iter_mut() {
                start += std::mem::replace(end, start);
            }
            sorted.clear();
            sorted.resize(start as usize, Pair::default());
            // Each end begins as its part's start.
            for Pair { from, to } in pairs(levels, table.columns.len()) {
                let end = &mut ends[(to / part) as usize];
                sorted[*end as usize] = Pair { from, to: to % part };
                *end += 1;
            }
        }
    }

    /// The sorted pairs of a part of a table.
    pub(super) fn part(&self, table: usize, part: usize) -> &[Pair] {
        let OfTable { pairs, ends, .. } = &self.tables[table];
        let start = if part == 0 { 0 } else { ends[part - 1] };
        &pairs[start as usize..ends[part] as usize]
    }
}

fn pairs(levels: &[u32], columns: usize) -> impl Iterator<Item = Pair> {
    let rows = levels.chunks_exact(columns.max(1)).zip(0..);
    let pairs = rows.flat_map(|(levels, from)| levels.iter().map(move |&to| Pair { from, to }));
    pairs.filter(|pair| pair.to != NONE)
}
