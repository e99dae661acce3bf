//! Where data and model meet: a table becomes numbers and codes.
//!
//! Errors come in the order of the stages here: names, then the target, then
//! the values of inputs, then sizes; a stage reports all that it finds.

use super::buffer::Buffer;
use super::complaints::{Found, too_large_for_f32};
use super::date_part::{self, DatePart};
use super::fit::{Kind, fit_columns, left_out};
use super::names::list;
use super::read::{count, no_room};
use super::roles::Roles;
use super::schema::{Encoding, InputColumn, Number, Schema, Target};
use super::split::{self, Parts, too_few};
use super::table::{Table, Text, Values};
use super::target;
use crate::check::model::{Data, Missing, Model, Width};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::inputs::{self, Features, Layout};
use crate::syntax::name_text;

/// The bytes that the encoded inputs may take where the caller sets no limit.
pub const DEFAULT_LIMIT: u64 = 16 << 30;

/// A table bound to a model: numbers and codes, the split, and the schema that
/// turns other rows into the same inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// How rows are encoded.
    pub schema: Schema,
    /// The numbers among the inputs, row-major `[rows, layout().dense]`.
    pub dense: Buffer<f32>,
    /// The codes of the categories, row-major `[rows, categories]`.
    pub codes: Buffer<u32>,
    /// The targets.
    pub targets: Targets,
    /// The number of rows.
    pub rows: usize,
    /// The rows to train on, ascending.
    pub train: Vec<u32>,
    /// The rows that are held out, ascending: they choose when training ends.
    pub validation: Vec<u32>,
    /// The rows that nothing is learnt or chosen from, ascending.
    pub test: Vec<u32>,
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

impl Targets {
    /// No targets, of the kind that a schema has.
    pub fn none_of(target: &Target) -> Targets {
        match target {
            Target::Classes { .. } => Targets::Classes(Vec::new()),
            _ => Targets::Values(Vec::new()),
        }
    }

    /// Adds the targets of other rows.
    ///
    /// # Panics
    /// Where they are of the other kind.
    pub fn extend(&mut self, other: Targets) {
        match (self, other) {
            (Targets::Values(all), Targets::Values(more)) => all.extend(more),
            (Targets::Classes(all), Targets::Classes(more)) => all.extend(more),
            _ => panic!("the targets of two schemas"),
        }
    }
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
        let kinds: Vec<Kind> =
            roles.inputs.iter().map(|&i| Kind::of(&table.columns[i], &model.data)).collect();
        not_embedded(table, &model.data, &roles, &kinds)?;
        let kept = kept_rows(table, model, &roles, &kinds, &mut notes)?;
        let parts = parts(table, model, &roles, &kept)?;

        let (target, targets) =
            target::bind(table, model, &roles.targets, &kept, &parts.train, &mut notes)?;
        let fitted = fit_columns(
            table,
            &model.data,
            &roles.inputs,
            &kinds,
            &kept,
            &parts.train,
            &mut notes,
        )?;
        // Who counts the inputs counts those that are always the same, too.
        let (fitted, dropped) = match model.input {
            Width::Auto => left_out(table, &parts.train, fitted),
            Width::Units(_) => (fitted, Vec::new()),
        };
        if fitted.is_empty() {
            return Err(no_inputs(
                table,
                &dropped.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(),
            ));
        }
        let (from, columns): (Vec<usize>, Vec<InputColumn>) = fitted.into_iter().unzip();
        let schema = Schema { columns, dropped, target, missing: model.data.missing };
        guard_size(table, &schema, kept.len(), limit)?;
        let (dense, codes) = encode(table, &schema, &from, &kept, &mut notes)?;
        let place = |rows: Vec<u32>| positions(&kept, rows);
        Ok(Dataset {
            schema,
            dense,
            codes,
            targets,
            rows: kept.len(),
            train: place(parts.train),
            validation: place(parts.validation),
            test: place(parts.test),
            notes,
        })
    }

    /// The inputs of all rows.
    pub fn features(&self) -> Features<'_> {
        Features { dense: &self.dense, codes: &self.codes }
    }

    /// How the inputs are numbered.
    pub fn layout(&self) -> Layout {
        self.schema.layout()
    }

    /// The inputs as a matrix, row-major `[rows, inputs]`: every category is
    /// written out, whatever memory that takes. For other tools; nothing here
    /// needs it.
    pub fn matrix(&self) -> Vec<f32> {
        self.features().matrix(&self.layout(), self.rows)
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

/// Embeddings are of inputs that are categories.
fn not_embedded(
    table: &Table,
    data: &Data,
    roles: &Roles,
    kinds: &[Kind],
) -> Result<(), Diagnostics> {
    let error = |(name, _): &(String, usize)| {
        let at = roles.inputs.iter().position(|&i| table.columns[i].name == *name);
        let (what, help) = match at.map(|at| kinds[at]) {
            Some(Kind::Category) => return None,
            None => ("no input".to_owned(), "name it in `data only=` as well".to_owned()),
            Some(Kind::Number | Kind::Date) => (
                "no category: its cells are numbers or dates".to_owned(),
                format!("`data categorical={}` takes them as levels", name_text(name)),
            ),
        };
        let what = format!("`data embedding=` names the column `{name}`, which is {what}");
        Some(Diagnostic::error(Code::DataColumn, what).in_file(&table.source, None).help(help))
    };
    Diagnostics::none_of(data.embedding.iter().filter_map(error).collect(), || ())
}

/// The rows that have their targets and, with `missing=drop`, their numbers
/// and dates.
fn kept_rows(
    table: &Table,
    model: &Model,
    roles: &Roles,
    kinds: &[Kind],
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
        let inputs = roles.inputs.iter().zip(kinds);
        let filled: Vec<usize> =
            inputs.filter(|(_, kind)| **kind != Kind::Category).map(|(&i, _)| i).collect();
        leave_out(&filled, "an input is missing (`missing=drop`)");
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

/// The parts of the kept rows, by row of the table.
fn parts(table: &Table, model: &Model, roles: &Roles, kept: &[u32]) -> Result<Parts, Diagnostics> {
    let (share, seed) = (model.train.validation, model.train.seed);
    let mut parts = match roles.split {
        Some(split) => split::by_column(table, &table.columns[split], kept)?,
        None => Parts { train: kept.to_vec(), ..Parts::default() },
    };
    if share == 0.0 {
        return Ok(parts);
    }
    if !parts.validation.is_empty() {
        let name = model.data.split.as_deref().unwrap_or_default();
        return Err(Diagnostic::error(
            Code::Conflict,
            format!(
                "`{name}` marks the rows to validate on, and `validation={share}` asks for others"
            ),
        )
        .in_file(&table.source, None)
        .help("leave `validation=` out, or mark those rows for training")
        .into());
    }
    let held_out = match roles.group {
        Some(group) => {
            let groups = split::groups(&table.columns[group], &parts.train);
            split::hold_out_groups(&parts.train, share, seed, &groups)
        }
        None => {
            let strata = target::strata(table, model, &roles.targets, &parts.train);
            split::hold_out(&parts.train, share, seed, strata.as_deref())
        }
    };
    let held_out = held_out.ok_or_else(|| {
        too_few(parts.train.len(), share, model.data.group.as_deref(), &table.source)
    })?;
    (parts.train, parts.validation) = (held_out.train, held_out.validation);
    Ok(parts)
}

/// Where rows of the table stand among the kept ones; both ascend.
fn positions(kept: &[u32], mut rows: Vec<u32>) -> Vec<u32> {
    let mut at = 0;
    for row in &mut rows {
        while kept[at] != *row {
            at += 1;
        }
        *row = at as u32;
    }
    rows
}

fn no_inputs(table: &Table, dropped: &[&str]) -> Diagnostics {
    Diagnostic::error(
        Code::DataValue,
        "no column is left for the inputs: each is the same in every training row",
    )
    .in_file(&table.source, None)
    .note(format!("the columns are {}", list(dropped.iter().copied(), 20)))
    .help("train on other rows or other columns")
    .into()
}

/// The encoded inputs must fit before memory is taken for them.
fn guard_size(table: &Table, schema: &Schema, rows: usize, limit: u64) -> Result<(), Diagnostics> {
    let Layout { dense, categories } = schema.layout();
    let width = dense + categories.len();
    let bytes = (rows as u64).checked_mul(width as u64).and_then(|n| n.checked_mul(4));
    if bytes.is_some_and(|bytes| bytes <= limit && usize::try_from(bytes).is_ok()) {
        return Ok(());
    }
    Err(Diagnostic::error(
        Code::DataShape,
        format!(
            "the inputs of {} would take {}; the limit is {}",
            count(rows, "row"),
            size(rows as f64 * width as f64 * 4.0),
            size(limit as f64)
        ),
    )
    .in_file(&table.source, None)
    .help("use a part of the rows (`--limit`), or leave columns out with `data drop=`")
    .into())
}

/// Bytes in the largest unit that they fill.
fn size(bytes: f64) -> String {
    let (unit, name) = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
        .into_iter()
        .find(|(unit, _)| bytes >= *unit as f64)
        .unwrap_or((1, "bytes"));
    let digits = usize::from(unit > 1);
    format!("{:.digits$} {name}", bytes / unit as f64)
}

/// Encodes the kept rows: numbers, and codes. `from` says the table's column of
/// each input column.
fn encode(
    table: &Table,
    schema: &Schema,
    from: &[usize],
    kept: &[u32],
    notes: &mut Vec<String>,
) -> Result<(Buffer<f32>, Buffer<u32>), Diagnostics> {
    /// The cells of a column, ready to be written.
    enum Cells<'a> {
        Number { values: &'a [f64], number: &'a Number, indicator: bool },
        Date { seconds: &'a [f64], parts: &'a [(DatePart, Number)], indicator: bool },
    }
    let Layout { dense: width, categories } = schema.layout();
    let mut columns = Vec::with_capacity(schema.columns.len());
    // For each category the code of each kept row.
    let mut codes: Vec<Vec<u32>> = Vec::with_capacity(categories.len());
    for ((input, start), &i) in schema.columns.iter().zip(schema.starts()).zip(from) {
        let column = &table.columns[i];
        let cells = match (&input.encoding, &column.values) {
            (Encoding::Category(category), _) => {
                let mut of_rows = category.lookup().codes(column, kept);
                let mut unseen = 0;
                let rows = of_rows.iter_mut().zip(kept);
                for (code, &row) in rows.filter(|(code, _)| **code == Text::MISSING) {
                    let (other, is_unseen) = category.other(column.is_missing(row as usize));
                    *code = other.unwrap_or(inputs::NONE);
                    unseen += usize::from(is_unseen);
                }
                if unseen > 0 {
                    notes.push(format!(
                        "`{}` has {} in rows held out that training has not seen: {}",
                        input.name,
                        count(unseen, "value"),
                        category.fate()
                    ));
                }
                codes.push(of_rows);
                continue;
            }
            (Encoding::Number { number, indicator }, Values::Numbers(values)) => {
                Cells::Number { values, number, indicator: *indicator }
            }
            (Encoding::Date { parts, indicator }, Values::Dates(seconds)) => {
                Cells::Date { seconds, parts, indicator: *indicator }
            }
            _ => unreachable!("an encoding is fitted to the column's own values"),
        };
        columns.push((i, start, cells));
    }

    // A block of rows at a time: columns are read along, rows written nearby.
    const BLOCK: usize = 64;
    let mut too_large: Vec<Vec<usize>> = vec![Vec::new(); columns.len()];
    let cells = kept.len() as u64 * width as u64;
    let features = table.storage.fill(cells, |push| {
        let mut block_of_features = vec![0f32; BLOCK * width];
        for rows in kept.chunks(BLOCK) {
            let features = &mut block_of_features[..rows.len() * width];
            for ((_, start, cells), too_large) in columns.iter().zip(&mut too_large) {
                let mut at = *start;
                match cells {
                    Cells::Number { values, number, indicator } => {
                        for &row in rows {
                            let value = values[row as usize];
                            features[at] = number.encode(value);
                            if !features[at].is_finite() {
                                too_large.push(row as usize);
                            }
                            if *indicator {
                                features[at + 1] = f32::from(u8::from(value.is_nan()));
                            }
                            at += width;
                        }
                    }
                    Cells::Date { seconds, parts, indicator } => {
                        for &row in rows {
                            let moment = seconds[row as usize];
                            let inputs = date_part::encode(parts, moment);
                            features[at..].iter_mut().zip(inputs).for_each(|(to, x)| *to = x);
                            if *indicator {
                                features[at + parts.len()] = f32::from(u8::from(moment.is_nan()));
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
    let cells = kept.len() as u64 * codes.len() as u64;
    let codes = table.storage.fill(cells, |push| {
        let mut block = Vec::with_capacity(BLOCK * codes.len());
        for first in (0..kept.len()).step_by(BLOCK) {
            block.clear();
            for row in first..kept.len().min(first + BLOCK) {
                block.extend(codes.iter().map(|of_rows| of_rows[row]));
            }
            push(&block)?;
        }
        Ok(())
    });
    let codes = codes.map_err(|error: std::io::Error| no_room(&error))?;
    let errors = too_large.iter().zip(&columns).filter_map(|(rows, &(i, ..))| {
        let column = &table.columns[i];
        let cells = rows.iter().map(|&row| (table.place(row), Some(column.cell(row))));
        Found::new(cells).map(|found| too_large_for_f32(&table.source, &column.name, &found))
    });
    Diagnostics::none_of(errors.collect(), || (features, codes))
}

#[cfg(test)]
mod tests;
