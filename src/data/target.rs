//! What the targets are: numbers, two labels, classes, or a yes or no each.
//!
//! The last activation and the loss say which of them the network can learn;
//! the values of the target columns decide between those that remain.

use super::bind::Targets;
use super::complaints::{Found, decimal_commas, infinite_cells, text_cells, too_spread};
use super::labels::Labels;
use super::names::list;
use super::read::count;
use super::schema::{NumberTarget, Target};
use super::stats::{self, Stats};
use super::table::{Column, Table, Text, Values};
use crate::check::model::{Activation, Model, Scale, Unary, Width};
use crate::diag::{Code, Diagnostic, Diagnostics};
use mlpc_kernels::loss;
use mlpc_kernels::map::zeros_in_large_pages;

/// Decides the task and encodes the targets of the kept rows.
pub(super) fn bind(
    table: &Table,
    model: &Model,
    targets: &[usize],
    kept: &[u32],
    train: &[u32],
    notes: &mut Vec<String>,
) -> Result<(Target, Targets), Diagnostics> {
    let columns: Vec<&Column> = targets.iter().map(|&i| &table.columns[i]).collect();
    let bound = Bound { table, model, columns, kept, train };
    let unusable = bound.columns.iter().filter_map(|column| infinite_cells(table, column));
    Diagnostics::none_of(unusable.collect(), || ())?;

    let activation = model.output_activation();
    if activation == Activation::Softmax || model.loss.kind.target() == loss::Target::Class {
        return bound.classes(notes);
    }
    if activation == Activation::Unary(Unary::Sigmoid)
        || model.loss.kind.target() == loss::Target::Probability
    {
        return bound.yes_or_no();
    }
    bound.numbers()
}

/// The class of each kept row where the target is one column of classes: what
/// a held-out share takes as many of as of the others.
pub(super) fn strata(
    table: &Table,
    model: &Model,
    targets: &[usize],
    kept: &[u32],
) -> Option<Vec<u32>> {
    let [target] = targets else { return None };
    let column = &table.columns[*target];
    let activation = model.output_activation();
    let loss = model.loss.kind.target();
    let classes = activation == Activation::Softmax || loss == loss::Target::Class;
    let binary = activation == Activation::Unary(Unary::Sigmoid);
    if !classes && !binary {
        return None;
    }
    let labels = Labels::of(column, kept);
    (classes || labels.len() == 2).then(|| labels.lookup().codes(column, kept))
}

struct Bound<'a> {
    table: &'a Table,
    model: &'a Model,
    columns: Vec<&'a Column>,
    kept: &'a [u32],
    train: &'a [u32],
}

impl Bound<'_> {
    fn error(&self, code: Code, message: String) -> Diagnostic {
        Diagnostic::error(code, message).in_file(&self.table.source, None)
    }

    fn classes(&self, notes: &mut Vec<String>) -> Result<(Target, Targets), Diagnostics> {
        let [column] = self.columns.as_slice() else {
            let names = self.columns.iter().map(|c| c.name.as_str());
            return Err(self
                .error(
                    Code::DataShape,
                    format!(
                        "`softmax` chooses one class, but there are {}: {}",
                        count(self.columns.len(), "target column"),
                        list(names, 20)
                    ),
                )
                .help(
                    "name one column in `data target=`, or end with `sigmoid` for a yes or no each",
                )
                .into());
        };
        let name = column.name.clone();
        let labels = Labels::of(column, self.kept);
        if labels.len() < 2 {
            return Err(self.one_value(column, &labels).into());
        }
        if let Width::Units(width) = self.model.output_width()
            && width != labels.len()
        {
            let known = list(labels.names.iter().map(String::as_str), 20);
            return Err(self
                .error(
                    Code::DataShape,
                    format!(
                        "the network has {}, but the target `{name}` has {} classes",
                        count(width, "output"),
                        labels.len()
                    ),
                )
                .note(format!("the classes are {known}"))
                .help(format!("write `dense {}` or `dense auto` for the last layer", labels.len()))
                .into());
        }
        if 2 * labels.len() > self.kept.len() && labels.len() > 20 {
            notes.push(format!(
                "`{name}` has {} classes in {} rows: is it a number to be predicted? \
                 Then end with `dense 1`",
                labels.len(),
                self.kept.len()
            ));
        }
        let codes = labels.lookup().codes(column, self.kept);
        debug_assert!(!codes.contains(&Text::MISSING), "rows without a target are left out");
        Ok((Target::Classes { name, labels }, Targets::Classes(codes)))
    }

    fn yes_or_no(&self) -> Result<(Target, Targets), Diagnostics> {
        if let [column] = self.columns.as_slice() {
            let labels = Labels::of(column, self.kept);
            return match (&column.values, labels.len()) {
                (_, 2) => {
                    let values = Targets::Values(self.indicators(&[&labels]));
                    Ok((Target::Binary { name: column.name.clone(), labels }, values))
                }
                (_, 0 | 1) => Err(self.one_value(column, &labels).into()),
                (Values::Text(_), _) => Err(self.many_for_sigmoid(column, &labels).into()),
                (Values::Numbers(_) | Values::Dates(_), _) => self.probabilities(),
            };
        }
        let labels: Vec<Labels> =
            self.columns.iter().map(|column| self.two_labels(column)).collect();
        if labels.iter().all(|labels| labels.len() == 2) {
            let values = self.indicators(&labels.iter().collect::<Vec<_>>());
            let names = self.columns.iter().map(|column| column.name.clone());
            let columns = names.zip(labels).collect();
            return Ok((Target::MultiLabel { columns }, Targets::Values(values)));
        }
        let mut errors = Vec::new();
        for (column, labels) in self.columns.iter().zip(&labels) {
            if matches!(column.values, Values::Text(_)) && labels.len() != 2 {
                errors.push(match labels.len() {
                    0 | 1 => self.one_value(column, labels),
                    _ => self.many_for_sigmoid(column, labels),
                });
            }
        }
        Diagnostics::none_of(errors, || ())?;
        self.probabilities()
    }

    /// Of several columns one may hold nothing but 0: it is still a 0 or 1.
    fn two_labels(&self, column: &Column) -> Labels {
        let mut labels = Labels::of(column, self.kept);
        if matches!(column.values, Values::Numbers(_))
            && labels.names.iter().all(|name| name == "0" || name == "1")
        {
            labels.names = vec!["0".to_owned(), "1".to_owned()];
        }
        labels
    }

    /// 1 where a cell is the second label of its column.
    fn indicators(&self, labels: &[&Labels]) -> Vec<f32> {
        let mut values = vec![0.0; self.kept.len() * labels.len()];
        for (i, (column, labels)) in self.columns.iter().zip(labels).enumerate() {
            let codes = labels.lookup().codes(column, self.kept);
            for (row, code) in values.chunks_exact_mut(self.columns.len()).zip(codes) {
                row[i] = if code == 1 { 1.0 } else { 0.0 };
            }
        }
        values
    }

    /// Numbers from 0 to 1 for a sigmoid: a regression that scales nothing,
    /// unless the text asks for it.
    fn probabilities(&self) -> Result<(Target, Targets), Diagnostics> {
        let mut errors = Vec::new();
        if self.model.data.target_scale.is_none_or(|scale| scale == Scale::None) {
            for column in &self.columns {
                let Values::Numbers(numbers) = &column.values else { continue };
                let numbers: &[f64] = numbers;
                let numbers = stats::in_rows(numbers, self.kept);
                let (low, high) = Stats::new(&numbers, None, Scale::None).range;
                if low >= 0.0 && high <= 1.0 {
                    continue;
                }
                errors.push(
                    self.error(
                        Code::DataValue,
                        format!(
                            "the target `{}` goes from {low} to {high}, but the network's \
                             outputs go from 0 to 1",
                            column.name
                        ),
                    )
                    .help(
                        "end with `dense 1` (no activation) to predict a number, with \
                         `dense auto softmax` to predict a class, or scale it: \
                         `data target_scale=minmax`",
                    ),
                );
            }
        }
        Diagnostics::none_of(errors, || ())?;
        self.numbers()
    }

    fn numbers(&self) -> Result<(Target, Targets), Diagnostics> {
        let linear = self.model.output_activation() == Activation::Unary(Unary::Linear);
        let default = if linear { Scale::Standard } else { Scale::None };
        let scale = self.model.data.target_scale.unwrap_or(default);
        let mut errors = Vec::new();
        let mut targets = Vec::new();
        let mut values = zeros_in_large_pages(self.kept.len() * self.columns.len());
        for (i, column) in self.columns.iter().enumerate() {
            let numbers = match &column.values {
                Values::Numbers(numbers) => &numbers[..],
                Values::Text(text) => {
                    errors.push(self.text_target(column, text));
                    continue;
                }
                Values::Dates(_) => {
                    let message =
                        format!("the target `{}` is to be a number, but holds dates", column.name);
                    errors.push(
                        self.error(Code::DataValue, message).help(
                            "add a column of numbers to predict, such as the days since a date",
                        ),
                    );
                    continue;
                }
            };
            let stats = Stats::new(&stats::in_rows(numbers, self.train), None, scale);
            let (offset, scale) = stats.scaling(scale);
            if !(offset.is_finite() && scale.is_finite()) {
                errors.push(too_spread(self.table, column));
                continue;
            }
            let target = NumberTarget { name: column.name.clone(), offset, scale };
            let width = self.columns.len();
            let mut too_large = Vec::new();
            for (row, &from) in values.chunks_exact_mut(width).zip(self.kept) {
                row[i] = target.encode(numbers[from as usize]);
                if !row[i].is_finite() {
                    too_large.push(from as usize);
                }
            }
            let cells = too_large.iter().map(|&r| (self.table.place(r), Some(column.cell(r))));
            errors.extend(Found::new(cells).map(|found| {
                let message = format!("the target `{}` is too large: {found}", column.name);
                self.error(Code::DataValue, message)
                    .help("use a larger unit, or `data target_scale=standard`")
            }));
            targets.push(target);
        }
        Diagnostics::none_of(errors, || {
            (Target::Regression { columns: targets }, Targets::Values(values))
        })
    }

    fn text_target(&self, column: &Column, text: &Text) -> Diagnostic {
        if let Some(error) = decimal_commas(self.table, column, text) {
            return error;
        }
        let labels = Labels::of(column, self.kept);
        let mut message = format!("the target `{}` is to be a number, but holds text", column.name);
        let found = text_cells(self.table, column, text);
        if let Some(found) = &found {
            message.push_str(&format!(": {found}"));
        }
        let error = Diagnostic::error(Code::DataValue, message).in_file(
            found.as_ref().map_or(self.table.source.clone(), |found| found.file("")),
            found.as_ref().and_then(Found::line),
        );
        if labels.len() == 2 {
            return error.help(format!(
                "it has 2 values, {}: end with `dense 1 sigmoid` to tell them apart",
                list(labels.names.iter().map(String::as_str), 2)
            ));
        }
        error.help(format!(
            "it has {} values: end with `dense auto softmax` to predict which, or mend the cells",
            labels.len()
        ))
    }

    fn many_for_sigmoid(&self, column: &Column, labels: &Labels) -> Diagnostic {
        self.error(
            Code::DataShape,
            format!(
                "a `sigmoid` output tells two values apart, but the target `{}` has {}: {}",
                column.name,
                labels.len(),
                list(labels.names.iter().map(String::as_str), 10)
            ),
        )
        .help("end with `dense auto softmax`")
    }

    fn one_value(&self, column: &Column, labels: &Labels) -> Diagnostic {
        let value = labels.names.first().map_or("", String::as_str);
        let message = format!("the target `{}` is `{value}` in every row", column.name);
        self.error(Code::DataValue, message)
            .help("a classifier needs rows of at least two classes; is it the right column?")
    }
}
