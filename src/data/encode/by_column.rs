//! A batch without surprises, encoded column by column.
//!
//! Nearly every batch is one. Where a cell needs an error, the batch is
//! encoded again row by row, which says all that is wrong in the order of the
//! rows and leaves rows out where that is asked for.

use super::{Encoded, Encoder, Input};
use crate::check::model::Missing;
use crate::data::batch::{Batch, Column, number_of};
use crate::data::bind::Targets;
use crate::data::cell::{self, Cell};
use crate::data::dictionary::{Dictionary, Growing};
use crate::data::encode::Tally;
use crate::data::schema::{Category, Encoding, Number};
use crate::data::{DatePart, date_part};
use crate::inputs;

impl Encoder<'_> {
    /// The inputs of all rows; `None` where a cell cannot be encoded.
    pub(super) fn by_column(&self, batch: &Batch) -> Option<Encoded> {
        let rows = batch.rows();
        let (width, categories) = (self.layout.dense, self.layout.categories.len());
        let mut encoded = Encoded {
            dense: vec![0.0; rows * width],
            codes: vec![inputs::NONE; rows * categories],
            targets: Targets::none_of(&self.schema.target),
            rows: (0..rows as u32).collect(),
            tally: Tally { unseen: vec![0; self.columns.len()], ..Tally::default() },
        };
        if rows == 0 {
            return Some(encoded);
        }
        for (i, (column, input)) in self.schema.columns.iter().zip(&self.columns).enumerate() {
            let mut fills = Fills { may: self.schema.missing != Missing::Error, count: 0 };
            match &column.encoding {
                Encoding::Number { number, indicator } => {
                    let dense = &mut encoded.dense[input.start..];
                    write_numbers(
                        batch.column(input.at),
                        number,
                        *indicator,
                        &mut fills,
                        dense,
                        width,
                    )?;
                }
                Encoding::Date { parts, indicator } => {
                    let to = encoded.dense[input.start..].chunks_mut(width);
                    for (row, features) in to.enumerate() {
                        let moment = fills.value(batch.date(row, input.at))?;
                        write_date(features, parts, moment, *indicator);
                    }
                }
                Encoding::Category(category) => {
                    let codes = &mut encoded.codes[input.start..];
                    encoded.tally.unseen[i] =
                        write_codes(batch, input, category, codes, categories);
                }
            }
            encoded.tally.filled += fills.count;
        }
        Some(encoded)
    }
}

/// Writes a column's numbers, scaled, each `width` behind the one before, and behind
/// them whether they are missing, where there is an indicator of that.
fn write_numbers(
    column: Column<'_>,
    number: &Number,
    indicator: bool,
    fills: &mut Fills,
    dense: &mut [f32],
    width: usize,
) -> Option<()> {
    let scaling = number.scaling();
    let mut write = |to: &mut [f32], cell| {
        let value = fills.value(cell)?;
        to[0] = scaling.of(value);
        if indicator {
            to[1] = f32::from(u8::from(value.is_nan()));
        }
        to[0].is_finite().then_some(())
    };
    let mut cells = match column {
        Column::Text(cells) => cells,
        Column::Values(values) => {
            let mut to = dense.chunks_mut(width).enumerate();
            return to.try_for_each(|(row, to)| write(to, number_of(values, row)));
        }
    };
    let (mut plain, mut row) = (Vec::new(), 0);
    loop {
        plain.clear();
        let n = cells.plain_numbers(&mut plain);
        if n > 0 && !scaling.write(&plain, &mut dense[row * width..], width) {
            return None;
        }
        cells = cells.without_first(n);
        let Some(raw) = cells.cells().next() else { return Some(()) };
        write(&mut dense[(row + n) * width..], cell::look_closer(raw))?;
        cells = cells.without_first(1);
        row += n + 1;
    }
}

/// Writes a category's codes, each `width` behind the one before. How many of its cells
/// training has not seen the like of.
fn write_codes(
    batch: &Batch,
    input: &Input,
    category: &Category,
    to: &mut [u32],
    width: usize,
) -> u64 {
    let levels = input.levels.as_ref().expect("every category has its levels");
    let code = |raw: Option<&[u8]>| {
        let known = raw.and_then(|raw| levels.lookup.get(raw)).map(|code| (Some(code), false));
        let (code, is_unseen) = known.unwrap_or_else(|| category.other(raw.is_none()));
        (code.unwrap_or(inputs::NONE), u64::from(is_unseen))
    };
    let mut unseen = 0;
    let to = to.chunks_mut(width);
    match batch.column(input.at) {
        // Each of the different cells is looked up once.
        Column::Text(cells) => {
            let mut growing = Growing::knowing(&levels.known, batch.rows());
            cells.add_to(&mut growing);
            let Dictionary { codes, first_rows, .. } = growing.finish();
            let known = levels.of_known.iter().map(|&code| (code, 0));
            let cells = first_rows.iter().map(|&row| batch.text(row as usize, input.at));
            let of_levels: Vec<_> = known.chain(cells.map(|raw| code(Some(&raw)))).collect();
            let of_missing = code(None);
            for (to, level) in to.zip(codes) {
                let &(code, is_unseen) = of_levels.get(level as usize).unwrap_or(&of_missing);
                to[0] = code;
                unseen += is_unseen;
            }
        }
        Column::Values(_) => {
            for (row, to) in to.enumerate() {
                let raw = batch.text(row, input.at);
                let is_missing = cell::is_missing(raw.trim_ascii());
                let (code, is_unseen) = code((!is_missing).then_some(&raw));
                to[0] = code;
                unseen += is_unseen;
            }
        }
    }
    unseen
}

/// The missing cells of a column.
struct Fills {
    may: bool,
    count: u64,
}

impl Fills {
    /// A cell's number, NaN where it is missing; `None` where it is neither.
    #[inline]
    fn value(&mut self, cell: Cell) -> Option<f64> {
        match cell {
            Cell::Number(number) => Some(number),
            Cell::Missing if self.may => {
                self.count += 1;
                Some(f64::NAN)
            }
            Cell::Missing | Cell::Infinite | Cell::Text => None,
        }
    }
}

fn write_date(to: &mut [f32], parts: &[(DatePart, Number)], moment: f64, indicator: bool) {
    let inputs = date_part::encode(parts, moment);
    to.iter_mut().zip(inputs).for_each(|(to, x)| *to = x);
    if indicator {
        to[parts.len()] = f32::from(u8::from(moment.is_nan()));
    }
}
