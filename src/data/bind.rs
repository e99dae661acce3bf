//! Where data and model meet: a table becomes matrices.
//!
//! Errors come in the order of the stages here: names, then the target, then
//! the values of inputs, then sizes; a stage reports all that it finds.

use super::buffer::Buffer;
use super::complaints::{Found, too_large_for_f32, too_spread, unusable_cells};
use super::labels::Labels;
use super::read::{count, no_room};
use super::roles::Roles;
use super::schema::{Encoding, InputColumn, Schema};
use super::split::{split, too_few};
use super::stats::Stats;
use super::table::{Column, Table, Text, Values};
use super::target;
use crate::check::model::{Data, Missing, Model, Scale};
use crate::diag::{Code, Diagnostic, Diagnostics};

/// The bytes that the encoded inputs may take where the caller sets no limit.
pub const DEFAULT_LIMIT: u64 = 16 << 30;

/// A table bound to a model: matrices, the split, and the schema that turns
/// other rows into the same inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// How rows are encoded.
    pub schema: Schema,
    /// The inputs, row-major `[rows, inputs]`.
    pub features: Buffer<f32>,
    /// The targets.
    pub targets: Targets,
    /// The number of rows.
    pub rows: usize,
    /// The rows to train on, ascending.
    pub train: Vec<u32>,
    /// The rows that are held out, ascending.
    pub validation: Vec<u32>,
    /// What the user should know: rows left out, levels not seen in training.
    pub notes: Vec<String>,
}

/// The targets as the loss takes them.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// Numbers or probabilities, row-major `[rows, outputs]`.
    Values(Vec<f32>),
    /// The index of the right class of each row.
    Classes(Vec<u32>),
}

impl Dataset {
    /// Binds a table to a model, with at most [`DEFAULT_LIMIT`] bytes of inputs.
    pub fn bind(table: &Table, model: &Model) -> Result<Dataset, Diagnostics> {
        Dataset::bind_within(table, model, DEFAULT_LIMIT)
    }

    /// Binds a table to a model, with at most `limit` bytes of inputs.
    pub fn bind_within(table: &Table, model: &Model, limit: u64) -> Result<Dataset, Diagnostics> {
        let roles = Roles::of(table, model)?;
        let mut notes = Vec::new();
        let kept = kept_rows(table, model, &roles, &mut notes)?;
        let share = model.train.validation;
        let (train, validation) = split(kept.len(), share, model.train.seed)
            .ok_or_else(|| too_few(kept.len(), share, &table.source))?;
        let train_rows: Vec<u32> = train.iter().map(|&i| kept[i as usize]).collect();

        let (target, targets) =
            target::bind(table, model, &roles.targets, &kept, &train_rows, &mut notes)?;
        let schema = Schema {
            columns: fit_columns(table, model, &roles, &kept, &train_rows, &mut notes)?,
            target,
            missing: model.data.missing,
        };
        guard_size(table, &schema, kept.len(), limit)?;
        let features = encode(table, &schema, &roles, &kept, &mut notes)?;
        Ok(Dataset { schema, features, targets, rows: kept.len(), train, validation, notes })
    }

    /// The number of inputs of a row.
    pub fn inputs(&self) -> usize {
        self.schema.inputs()
    }

    /// The number of outputs that the targets ask for.
    pub fn outputs(&self) -> usize {
        self.schema.outputs()
    }
}

/// The rows that have their targets and, with `missing=drop`, their numbers.
fn kept_rows(
    table: &Table,
    model: &Model,
    roles: &Roles,
    notes: &mut Vec<String>,
) -> Result<Vec<u32>, Diagnostics> {
    let mut keep = vec![true; table.rows()];
    let mut leave_out = |columns: &[usize], why: &str| {
        let mut left_out = 0;
        for (row, keep) in keep.iter_mut().enumerate() {
            if *keep && columns.iter().any(|&i| table.columns[i].is_missing(row)) {
                *keep = false;
                left_out += 1;
            }
        }
        if left_out > 0 {
            notes.push(format!("left out {}: {why}", count(left_out, "row")));
        }
    };
    leave_out(&roles.targets, "the target is missing");
    if model.data.missing == Missing::Drop {
        let numbers: Vec<usize> = roles
            .inputs
            .iter()
            .copied()
            .filter(|&i| is_number(&table.columns[i], &model.data))
            .collect();
        leave_out(&numbers, "an input is missing (`missing=drop`)");
    }
    let kept: Vec<u32> = (0..table.rows() as u32).filter(|&row| keep[row as usize]).collect();
    if kept.is_empty() {
        return Err(Diagnostic::error(Code::DataValue, "no row is left to train on")
            .in_file(&table.source, None)
            .note(notes.join("; "))
            .help("fill the gaps, or choose other columns with `data target=` and `data drop=`")
            .into());
    }
    Ok(kept)
}

/// Whether a column becomes one number.
pub(super) fn is_number(column: &Column, data: &Data) -> bool {
    matches!(column.values, Values::Numbers(_) | Values::Dates(_))
        && !data.categorical.contains(&column.name)
}

/// Learns the encoding of every input column from the training rows.
fn fit_columns(
    table: &Table,
    model: &Model,
    roles: &Roles,
    kept: &[u32],
    train: &[u32],
    notes: &mut Vec<String>,
) -> Result<Vec<InputColumn>, Diagnostics> {
    let mut errors = Vec::new();
    let mut columns = Vec::with_capacity(roles.inputs.len());
    for &i in &roles.inputs {
        let column = &table.columns[i];
        errors.extend(unusable_cells(table, column, &model.data, kept));
        let missing = train.iter().filter(|&&row| column.is_missing(row as usize)).count();
        let encoding = if let Values::Numbers(numbers) | Values::Dates(numbers) = &column.values
            && is_number(column, &model.data)
        {
            if missing == train.len() {
                notes.push(format!("`{}` is empty in the training rows", column.name));
            }
            match fit_number(numbers, train, model.data.scale, model.data.missing) {
                Some(encoding) => encoding,
                None => {
                    errors.push(too_spread(table, column));
                    continue;
                }
            }
        } else {
            let levels = Labels::of(column, train);
            if levels.len() > 20 && 2 * levels.len() > train.len() {
                notes.push(format!(
                    "`{name}` has {} levels in {} training rows: little can be learnt from it; \
                     `data drop={name}` leaves it out",
                    levels.len(),
                    train.len(),
                    name = column.name
                ));
            }
            Encoding::Category { levels, missing_level: missing > 0 }
        };
        let missing = missing as u64;
        columns.push(InputColumn { name: column.name.clone(), encoding, missing });
    }
    Diagnostics::none_of(errors, || columns)
}

/// `None` where the statistics are beyond f64.
fn fit_number(numbers: &[f64], train: &[u32], scale: Scale, missing: Missing) -> Option<Encoding> {
    let present = train.iter().map(|&row| numbers[row as usize]);
    let mut stats = Stats::new(present.filter(|x| x.is_finite()).collect());
    let (min, max) = stats.min_max();
    let fill = stats.fill(missing);
    let (offset, scale) = stats.scaling(scale);
    let finite = fill.is_finite() && offset.is_finite() && scale.is_finite();
    finite.then_some(Encoding::Number { fill, offset, scale, min, max })
}

/// The encoded inputs must fit before memory is taken for them.
fn guard_size(table: &Table, schema: &Schema, rows: usize, limit: u64) -> Result<(), Diagnostics> {
    let width = schema.inputs();
    let bytes = (rows as u64).checked_mul(width as u64).and_then(|n| n.checked_mul(4));
    if bytes.is_some_and(|bytes| bytes <= limit && usize::try_from(bytes).is_ok()) {
        return Ok(());
    }
    let mut widest: Vec<&InputColumn> = schema.columns.iter().filter(|c| c.width() > 1).collect();
    widest.sort_by_key(|column| std::cmp::Reverse(column.width()));
    let mut error = Diagnostic::error(
        Code::DataShape,
        format!(
            "{} of {} would take {}; the limit is {}",
            count(rows, "row"),
            count(width, "input"),
            size(rows as f64 * width as f64 * 4.0),
            size(limit as f64)
        ),
    )
    .in_file(&table.source, None);
    for column in widest.iter().take(3) {
        error = error.note(format!("`{}` becomes {} inputs", column.name, column.width()));
    }
    Err(match widest.first() {
        Some(column) => error.help(format!("`data drop={}` leaves it out", column.name)),
        None => error.help("use a part of the rows, or leave columns out with `data drop=`"),
    }
    .into())
}

/// Bytes in the largest unit that they fill.
fn size(bytes: f64) -> String {
    let (unit, name) = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
        .into_iter()
        .find(|(unit, _)| bytes >= *unit as f64)
        .unwrap_or((1, "bytes"));
    format!("{:.1} {name}", bytes / unit as f64)
}

/// Encodes the inputs of the kept rows.
fn encode(
    table: &Table,
    schema: &Schema,
    roles: &Roles,
    kept: &[u32],
    notes: &mut Vec<String>,
) -> Result<Buffer<f32>, Diagnostics> {
    /// The cells of a column, ready to be written.
    enum Cells<'a> {
        Numbers(&'a [f64], &'a Encoding),
        /// The input that is 1, for each kept row.
        Ones(Vec<u32>),
    }
    let width = schema.inputs();
    let mut columns = Vec::with_capacity(schema.columns.len());
    let mut start = 0;
    for (input, &i) in schema.columns.iter().zip(&roles.inputs) {
        let column = &table.columns[i];
        let cells = match (&input.encoding, &column.values) {
            (Encoding::Category { levels, missing_level }, _) => {
                let mut ones = levels.codes(column, kept);
                let mut unseen = 0;
                for (one, &row) in ones.iter_mut().zip(kept).filter(|(o, _)| **o == Text::MISSING) {
                    if *missing_level && column.is_missing(row as usize) {
                        *one = levels.len() as u32;
                    } else {
                        unseen += 1;
                    }
                }
                if unseen > 0 {
                    notes.push(format!(
                        "`{}` has {} in the validation rows that training has not seen: \
                         encoded as zeros",
                        input.name,
                        count(unseen, "value")
                    ));
                }
                Cells::Ones(ones)
            }
            (encoding, Values::Numbers(numbers) | Values::Dates(numbers)) => {
                Cells::Numbers(numbers, encoding)
            }
            (_, Values::Text(_)) => unreachable!("text is fitted as a category"),
        };
        columns.push((start, cells));
        start += input.width();
    }

    // A block of rows at a time: columns are read along, rows written nearby.
    const BLOCK: usize = 64;
    let mut too_large: Vec<Vec<usize>> = vec![Vec::new(); columns.len()];
    let cells = kept.len() as u64 * width as u64;
    let features = table.storage.fill(cells, |push| {
        let mut block_of_features = vec![0f32; BLOCK * width];
        for (block, rows) in kept.chunks(BLOCK).enumerate() {
            let first = block * BLOCK;
            let features = &mut block_of_features[..rows.len() * width];
            features.fill(0.0);
            for ((start, cells), too_large) in columns.iter().zip(&mut too_large) {
                let mut at = *start;
                match cells {
                    Cells::Numbers(numbers, encoding) => {
                        for &row in rows {
                            features[at] = encoding.number(numbers[row as usize]);
                            if !features[at].is_finite() {
                                too_large.push(row as usize);
                            }
                            at += width;
                        }
                    }
                    Cells::Ones(ones) => {
                        for &one in &ones[first..first + rows.len()] {
                            if one != Text::MISSING {
                                features[at + one as usize] = 1.0;
                            }
                            at += width;
                        }
                    }
                }
            }
            push(features)?;
        }
        Ok(())
    });
    let features = features.map_err(|error: std::io::Error| no_room(&error))?;
    let errors = too_large.iter().zip(&roles.inputs).filter_map(|(rows, &i)| {
        let column = &table.columns[i];
        let cells = rows.iter().map(|&row| (table.place(row), Some(column.cell(row))));
        Found::new(cells).map(|found| too_large_for_f32(&table.source, &column.name, &found))
    });
    Diagnostics::none_of(errors.collect(), || features)
}

#[cfg(test)]
mod tests;
