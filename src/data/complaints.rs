//! Cells that cannot be used: found, counted and put into words.

use super::cell::{self, Cell};
use super::fit::Kind;
use super::lines::Place;
use super::table::{Column, SHOWN, Table, Text, Values};
use crate::check::model::{Data, Missing};
use crate::diag::{Code, Diagnostic};

/// The error for a column whose statistics are beyond f64.
pub(super) fn too_spread(table: &Table, column: &Column) -> Diagnostic {
    Diagnostic::error(
        Code::DataValue,
        format!("the values of `{}` are too large to be averaged", column.name),
    )
    .in_file(&table.source, None)
    .help(format!("use a larger unit, or leave the column out: `data drop={}`", column.name))
}

/// All that keeps a column's cells from becoming inputs.
pub(super) fn unusable_cells(
    table: &Table,
    column: &Column,
    data: &Data,
    kind: Kind,
    kept: &[u32],
) -> Vec<Diagnostic> {
    let name = &column.name;
    let mut errors = Vec::new();
    errors.extend(infinite_cells(table, column));
    if let Values::Text(text) = &column.values
        && data.numeric.contains(name)
    {
        errors.extend(text_cells(table, column, text).map(|found| {
            Diagnostic::error(
                Code::DataValue,
                format!("`data numeric={name}`, but the column holds text: {found}"),
            )
            .in_file(found.file(&table.source), found.line())
            .help(format!("`data categorical={name}` takes it as categories"))
        }));
    }
    if let Values::Text(text) = &column.values
        && !data.categorical.contains(name)
        && !data.numeric.contains(name)
    {
        errors.extend(decimal_commas(table, column, text));
    }
    if data.missing == Missing::Error && kind != Kind::Category {
        let rows = kept.iter().map(|&row| row as usize).filter(|&row| column.is_missing(row));
        let found = Found::new(rows.map(|row| (table.place(row), None)));
        errors.extend(found.map(|found| {
            Diagnostic::error(
                Code::DataValue,
                format!("`{name}` is missing {found} (`missing=error`)"),
            )
            .in_file(found.file(&table.source), found.line())
            .help("`data missing=median` fills gaps, `missing=drop` leaves the rows out")
        }));
    }
    errors
}

/// The error for a column whose cells would all be numbers if commas were
/// points: as categories they would say nothing of how large they are.
pub(super) fn decimal_commas(table: &Table, column: &Column, text: &Text) -> Option<Diagnostic> {
    let is_comma = |level: &String| cell::has_decimal_comma(level.as_bytes());
    let is_number = |level: &String| {
        matches!(cell::classify(level.as_bytes()), Cell::Number(_) | Cell::Infinite)
    };
    if text.levels.is_empty() || !text.levels.iter().all(|l| is_comma(l) || is_number(l)) {
        return None;
    }
    let found = text_cells(table, column, text)?;
    let name = &column.name;
    Some(
        Diagnostic::error(
            Code::DataValue,
            format!("`{name}` holds numbers with a decimal comma: {found}"),
        )
        .in_file(found.file(&table.source), found.line())
        .note("a comma between groups of three digits is left out; no other is read as a number")
        .help(format!(
            "write them with a point, as in `1.5`; `data categorical={name}` takes them as categories"
        )),
    )
}

/// The error for cells that f64 cannot hold.
pub(super) fn infinite_cells(table: &Table, column: &Column) -> Option<Diagnostic> {
    let cells = column.infinite.first.iter();
    let mut found = Found::new(cells.map(|(row, cell)| (table.place(*row), Some(cell.clone()))))?;
    found.total = column.infinite.count;
    let error = Diagnostic::error(
        Code::DataValue,
        format!("`{}` holds what is not a finite number: {found}", column.name),
    );
    Some(
        error
            .in_file(found.file(&table.source), found.line())
            .help("leave such a cell empty, and `data missing=` says what takes its place"),
    )
}

/// The cells of a column of text that are no numbers.
pub(super) fn text_cells(table: &Table, column: &Column, text: &Text) -> Option<Found> {
    let is_text: Vec<bool> = text
        .levels
        .iter()
        .map(|level| !matches!(cell::classify(level.as_bytes()), Cell::Number(_)))
        .collect();
    let rows = text.codes.iter().enumerate();
    let rows = rows.filter(|(_, code)| is_text.get(**code as usize).copied().unwrap_or(false));
    Found::new(rows.map(|(row, _)| (table.place(row), Some(column.cell(row)))))
}

/// Cells worth a complaint: the first of them, and how many there are.
pub(super) struct Found {
    first: Vec<(Place, Option<String>)>,
    total: usize,
}

impl Found {
    /// `None` where there is nothing to complain of.
    pub(super) fn new(cells: impl Iterator<Item = (Place, Option<String>)>) -> Option<Found> {
        let mut found = Found { first: Vec::new(), total: 0 };
        for cell in cells {
            found.total += 1;
            if found.first.len() < SHOWN {
                found.first.push(cell);
            }
        }
        (found.total > 0).then_some(found)
    }

    /// The file of the first of them.
    pub(super) fn file(&self, otherwise: &str) -> String {
        self.first.first().map_or(otherwise, |(place, _)| &place.file).to_owned()
    }

    /// The line of the first of them.
    pub(super) fn line(&self) -> Option<u64> {
        self.first.first().map(|(place, _)| place.line)
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (place, cell)) in self.first.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match cell {
                Some(cell) => {
                    let cell = cell::shown(cell.as_bytes());
                    write!(f, "{comma}`{cell}` on {place}")?;
                }
                None => write!(f, "{comma}on {place}")?,
            }
        }
        match self.total - self.first.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The error for numbers that the network's f32 cannot hold.
pub(super) fn too_large_for_f32(source: &str, column: &str, found: &Found) -> Diagnostic {
    Diagnostic::error(
        Code::DataValue,
        format!("`{column}` holds numbers too large for the network: {found}"),
    )
    .in_file(found.file(source), found.line())
    .help("scale the inputs (`data scale=standard`), or use a larger unit")
}
