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
use super::schema::{Category, Encoding, InputColumn, Number, Schema, Target};
use super::split::{self, Parts, too_few};
use super::table::{Column, Table, Text, Values, span};
use super::target;
use crate::check::model::{Data, Missing, Model, Width};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::inputs::{self, Features, Layout};
use crate::syntax::name_text;
use mlpc_kernels::columns::look_up;

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
    /// Work is done on the threads of the current rayon pool.
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

        let mut of_inputs = Vec::new();
        let (bound, fitted) = rayon::join(
            || target::bind(table, model, &roles.targets, &kept, &parts.train, &mut notes),
            || {
                let (inputs, of_inputs) = (&roles.inputs, &mut of_inputs);
                fit_columns(table, &model.data, inputs, &kinds, &kept, &parts.train, of_inputs)
            },
        );
        let ((target, targets), fitted) = (bound?, fitted?);
        notes.append(&mut of_inputs);
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
        for &i in columns {
            left_out += table.columns[i].values.drop_missing(&mut keep);
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
    let all = 0..table.rows() as u32;
    let kept: Vec<u32> = match keep.contains(&false) {
        true => all.filter(|&row| keep[row as usize]).collect(),
        false => all.collect(),
    };
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
            let strata = || target::strata(table, model, &roles.targets, &parts.train);
            split::hold_out(&parts.train, share, seed, strata)
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
    // Where no row is left out.
    if kept.last().is_some_and(|&last| last as usize + 1 == kept.len()) {
        return rows;
    }
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
    let inputs = || schema.columns.iter().zip(schema.starts()).zip(from);
    let numbers = inputs().filter_map(|((input, start), &i)| {
        let cells = match (&input.encoding, &table.columns[i].values) {
            (Encoding::Category(_), _) => return None,
            (Encoding::Number { number, indicator }, Values::Numbers(values)) => {
                Cells::Number { values, number, indicator: *indicator }
            }
            (Encoding::Date { parts, indicator }, Values::Dates(seconds)) => {
                Cells::Date { seconds, parts, indicator: *indicator }
            }
            _ => unreachable!("an encoding is fitted to the column's own values"),
        };
        Some((i, start, cells))
    });
    let numbers: Vec<(usize, usize, Cells<'_>)> = numbers.collect();
    let dense = encode_numbers(table, &numbers, schema.layout().dense, kept)?;

    let categories: Vec<(&InputColumn, &Category, Codes<'_>)> = inputs()
        .filter_map(|((input, _), &i)| match &input.encoding {
            Encoding::Category(category) => {
                Some((input, category, Codes::of(category, &table.columns[i], kept)))
            }
            _ => None,
        })
        .collect();
    let (codes, unseen) = encode_categories(table, &categories, kept)?;
    for ((input, category, _), unseen) in categories.iter().zip(unseen) {
        if unseen > 0 {
            notes.push(format!(
                "`{}` has {} in rows held out that training has not seen: {}",
                input.name,
                count(unseen, "value"),
                category.fate()
            ));
        }
    }
    Ok((dense, codes))
}

/// The rows that are encoded at a time: columns are read along, rows are written
/// nearby.
const BLOCK: usize = 64;

/// The values of these rows, at most [`BLOCK`], one behind the other: where they stand,
/// if they do so there, else in `room`.
fn side_by_side<'a, T: Copy>(all: &'a [T], rows: &[u32], room: &'a mut [T; BLOCK]) -> &'a [T] {
    match span(rows) {
        Some(span) => &all[span],
        None => {
            let room = &mut room[..rows.len()];
            room.iter_mut().zip(rows).for_each(|(x, &row)| *x = all[row as usize]);
            room
        }
    }
}

/// The cells of a column, ready to be written.
enum Cells<'a> {
    Number { values: &'a [f64], number: &'a Number, indicator: bool },
    Date { seconds: &'a [f64], parts: &'a [(DatePart, Number)], indicator: bool },
}

impl Cells<'_> {
    /// Writes these rows' cells, at most [`BLOCK`], each `width` behind the one
    /// before; adds the rows whose numbers f32 cannot hold.
    fn write(&self, rows: &[u32], features: &mut [f32], width: usize, too_large: &mut Vec<u32>) {
        match self {
            Cells::Number { values, number, indicator } => {
                let mut room = [0.0; BLOCK];
                let values = side_by_side(values, rows, &mut room);
                if !number.scaling().write(values, features, width) {
                    let cells = features.chunks(width).zip(rows);
                    let lost = cells.filter(|(features, _)| !features[0].is_finite());
                    too_large.extend(lost.map(|(_, &row)| row));
                }
                if *indicator {
                    for (features, value) in features.chunks_mut(width).zip(values) {
                        features[1] = f32::from(u8::from(value.is_nan()));
                    }
                }
            }
            Cells::Date { seconds, parts, indicator } => {
                for (features, &row) in features.chunks_mut(width).zip(rows) {
                    let moment = seconds[row as usize];
                    let inputs = date_part::encode(parts, moment);
                    features.iter_mut().zip(inputs).for_each(|(to, x)| *to = x);
                    if *indicator {
                        features[parts.len()] = f32::from(u8::from(moment.is_nan()));
                    }
                }
            }
        }
    }
}

/// The numbers of the kept rows, `[rows, width]`.
fn encode_numbers(
    table: &Table,
    columns: &[(usize, usize, Cells<'_>)],
    width: usize,
    kept: &[u32],
) -> Result<Buffer<f32>, Diagnostics> {
    let encode = |first: usize, features: &mut [f32]| {
        let mut too_large: Vec<Vec<u32>> = vec![Vec::new(); columns.len()];
        let rows = &kept[first..][..features.len() / width];
        for (features, rows) in features.chunks_mut(BLOCK * width).zip(rows.chunks(BLOCK)) {
            for ((_, start, cells), too_large) in columns.iter().zip(&mut too_large) {
                cells.write(rows, &mut features[*start..], width, too_large);
            }
        }
        too_large
    };
    let filled = table.storage.fill(kept.len(), width, encode);
    let (dense, found) = filled.map_err(|error| no_room(&error))?;
    let mut too_large: Vec<Vec<u32>> = vec![Vec::new(); columns.len()];
    for found in found {
        too_large.iter_mut().zip(found).for_each(|(all, more)| all.extend(more));
    }
    let errors = too_large.iter().zip(columns).filter_map(|(rows, &(i, ..))| {
        let column = &table.columns[i];
        let cells = rows.iter().map(|&row| row as usize);
        let cells = cells.map(|row| (table.place(row), Some(column.cell(row))));
        Found::new(cells).map(|found| too_large_for_f32(&table.source, &column.name, &found))
    });
    Diagnostics::none_of(errors.collect(), || dense)
}

/// The codes of a category. Of a text, those of its levels say them: no list
/// as long as the table is made.
enum Codes<'a> {
    Levels {
        of_rows: &'a [u32],
        /// The code of each level, and behind them that of a missing cell.
        of_levels: Vec<u32>,
        /// Which of them training has not seen.
        unseen: Vec<bool>,
    },
    /// For each kept row, and whether training has not seen its like.
    Rows(Vec<(u32, bool)>),
}

impl<'a> Codes<'a> {
    fn of(category: &Category, column: &'a Column, kept: &[u32]) -> Codes<'a> {
        let lookup = category.lookup();
        let other = |missing| {
            let (code, unseen) = category.other(missing);
            (code.unwrap_or(inputs::NONE), unseen)
        };
        match &column.values {
            Values::Text(text) => {
                let known = |level: &String| lookup.get(level.as_bytes()).map(|code| (code, false));
                let of_level = |level| known(level).unwrap_or_else(|| other(false));
                let codes = text.levels.iter().map(of_level).chain([other(true)]);
                let (of_levels, unseen): (Vec<u32>, Vec<bool>) = codes.unzip();
                Codes::Levels { of_rows: &text.codes, of_levels, unseen }
            }
            Values::Numbers(_) | Values::Dates(_) => {
                let known = lookup.codes(column, kept).into_iter().zip(kept);
                let of_row = |(code, &row)| match code {
                    Text::MISSING => other(column.is_missing(row as usize)),
                    code => (code, false),
                };
                Codes::Rows(known.map(of_row).collect())
            }
        }
    }

    /// Writes the codes of these rows, at most [`BLOCK`], kept ones from number `first`
    /// on, each `width` behind the one before. How many training has not seen the like of.
    fn write(&self, rows: &[u32], first: usize, codes: &mut [u32], width: usize) -> usize {
        match self {
            Codes::Levels { of_rows, of_levels, unseen } => {
                let mut room = [0; BLOCK];
                let of_these = side_by_side(of_rows, rows, &mut room);
                look_up(of_these, of_levels, codes, width);
                let missing = of_levels.len() - 1;
                // Mostly, all but a missing cell are known to training, or all are.
                match (unseen[..missing].contains(&true), unseen[missing]) {
                    (false, false) => 0,
                    (false, true) => {
                        of_these.iter().map(|&code| usize::from(code as usize >= missing)).sum()
                    }
                    (true, _) => {
                        let is_unseen = |code: &&u32| unseen[missing.min(**code as usize)];
                        of_these.iter().filter(is_unseen).count()
                    }
                }
            }
            Codes::Rows(of_rows) => {
                let mut all = 0;
                for (codes, &(code, unseen)) in codes.chunks_mut(width).zip(&of_rows[first..]) {
                    codes[0] = code;
                    all += usize::from(unseen);
                }
                all
            }
        }
    }
}

/// The codes of the kept rows, `[rows, categories]`, and how many of each
/// category training has not seen.
fn encode_categories(
    table: &Table,
    categories: &[(&InputColumn, &Category, Codes<'_>)],
    kept: &[u32],
) -> Result<(Buffer<u32>, Vec<usize>), Diagnostics> {
    let width = categories.len();
    let encode = |first: usize, codes: &mut [u32]| -> Vec<usize> {
        let mut unseen = vec![0; width];
        let rows = &kept[first..][..codes.len() / width];
        for (i, (codes, rows)) in
            codes.chunks_mut(BLOCK * width).zip(rows.chunks(BLOCK)).enumerate()
        {
            let first = first + i * BLOCK;
            for (i, ((.., of), unseen)) in categories.iter().zip(&mut unseen).enumerate() {
                *unseen += of.write(rows, first, &mut codes[i..], width);
            }
        }
        unseen
    };
    let filled = table.storage.fill(kept.len(), width, encode);
    let (codes, found) = filled.map_err(|error| no_room(&error))?;
    let mut unseen = vec![0; width];
    for found in found {
        unseen.iter_mut().zip(found).for_each(|(all, more): (&mut usize, usize)| *all += more);
    }
    Ok((codes, unseen))
}

#[cfg(test)]
mod tests;
