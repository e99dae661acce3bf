//! What becomes of each input column, learnt from the training rows.

use super::cell::{self, Cell};
use super::complaints::{too_spread, unusable_cells};
use super::date_part::DatePart;
use super::labels::Labels;
use super::schema::{Category, Dropped, Encoding, InputColumn, Number};
use super::stats::{self, Numbers, Stats};
use super::table::{Column, Table, Text, Values};
use crate::check::model::Data;
use crate::diag::{Diagnostic, Diagnostics};
use crate::syntax::name_text;
use rayon::prelude::*;

/// The type of an input column, which all its cells decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Date,
    Category,
}

impl Kind {
    /// As the table has it, unless the text calls it a category.
    pub(super) fn of(column: &Column, data: &Data) -> Kind {
        match &column.values {
            _ if data.categorical.contains(&column.name) => Kind::Category,
            Values::Numbers(_) => Kind::Number,
            Values::Dates(_) => Kind::Date,
            Values::Text(_) => Kind::Category,
        }
    }
}

/// Learns the encoding of every input column from the training rows; with
/// each, the index of its column in the table.
pub(super) fn fit_columns(
    table: &Table,
    data: &Data,
    inputs: &[usize],
    kinds: &[Kind],
    kept: &[u32],
    train: &[u32],
    notes: &mut Vec<String>,
) -> Result<Vec<(usize, InputColumn)>, Diagnostics> {
    let fit = |(&i, kind): (&usize, &Kind)| {
        let column = &table.columns[i];
        let mut fitted = Fitted { errors: Vec::new(), notes: Vec::new(), column: None };
        fitted.errors.extend(unusable_cells(table, column, data, *kind, kept));
        let some = |missing| data.missing_indicator && missing > 0 && missing < train.len();
        let (encoding, missing) = match (&column.values, kind) {
            (Values::Numbers(numbers), Kind::Number) => {
                let numbers: &[f64] = numbers;
                let (number, missing) = fit_number(&stats::in_rows(numbers, train), data);
                let indicator = some(missing);
                (number.map(|number| Encoding::Number { number, indicator }), missing)
            }
            (Values::Dates(seconds), Kind::Date) => {
                let missing = column.values.missing_in(train);
                let (parts, indicator) = (fit_date(seconds, train, data), some(missing));
                (Some(Encoding::Date { parts, indicator }), missing)
            }
            _ => {
                let (missing, notes) = (column.values.missing_in(train), &mut fitted.notes);
                let category = fit_category(column, train, missing > 0, data, notes);
                (Some(Encoding::Category(category)), missing)
            }
        };
        match encoding {
            None => fitted.errors.push(too_spread(table, column)),
            Some(encoding) => {
                let (name, missing) = (column.name.clone(), missing as u64);
                fitted.column = Some((i, InputColumn { name, encoding, missing }));
            }
        }
        fitted
    };
    let fitted: Vec<Fitted> = inputs.par_iter().zip(kinds).map(fit).collect();
    let mut errors = Vec::new();
    let mut columns = Vec::with_capacity(inputs.len());
    for one in fitted {
        errors.extend(one.errors);
        notes.extend(one.notes);
        columns.extend(one.column);
    }
    Diagnostics::none_of(errors, || columns)
}

/// What fitting a column gave.
struct Fitted {
    errors: Vec<Diagnostic>,
    notes: Vec<String>,
    column: Option<(usize, InputColumn)>,
}

/// Of numbers, of which missing ones are NaN, with how many these are; `None`
/// where the statistics are beyond f64.
fn fit_number<F: Fn(usize) -> f64>(
    numbers: &Numbers<'_, F>,
    data: &Data,
) -> (Option<Number>, usize) {
    let stats = Stats::new(numbers, Some(data.missing), data.scale);
    let (min, max) = stats.range;
    let fill = stats.fill(data.missing);
    let (offset, scale) = stats.scaling(data.scale);
    let finite = fill.is_finite() && offset.is_finite() && scale.is_finite();
    (finite.then_some(Number { fill, offset, scale, min, max }), stats.missing)
}

/// The parts of a date; no time of day where every cell is at midnight.
fn fit_date(seconds: &[f64], train: &[u32], data: &Data) -> Vec<(DatePart, Number)> {
    let timed = seconds.iter().any(|&s| DatePart::Time.of(s) > 0.0);
    let parts = DatePart::ALL.into_iter().filter(|part| timed || *part != DatePart::Time);
    let parts = parts.map(|part| {
        let numbers = Numbers::new(train.len(), |i: usize| part.of(seconds[train[i] as usize]));
        (part, fit_number(&numbers, data).0.expect("the numbers of dates are small"))
    });
    parts.collect()
}

/// What to say of a category nearly all of whose levels are numbers: the others were
/// hardly meant to make it one.
fn nearly_numbers(column: &Column, levels: &Labels, data: &Data) -> Option<String> {
    const SHARE: usize = 20;
    let Column { name, values: Values::Text(_), .. } = column else { return None };
    if levels.len() < SHARE || data.categorical.contains(name) {
        return None;
    }
    let is_number = |level: &&String| matches!(cell::classify(level.as_bytes()), Cell::Number(_));
    let mut others = levels.names.iter().filter(|level| !is_number(level)).peekable();
    let first = cell::shown(others.peek()?.as_bytes());
    let others = others.count();
    (SHARE * others <= levels.len()).then(|| {
        format!(
            "`{name}` is a category, since {} of its {} levels {} no number, as `{first}`; \
             `data numeric={}` makes that an error which names the lines",
            others,
            levels.len(),
            if others == 1 { "is" } else { "are" },
            name_text(name)
        )
    })
}

fn fit_category(
    column: &Column,
    train: &[u32],
    missing_level: bool,
    data: &Data,
    notes: &mut Vec<String>,
) -> Category {
    let mut levels = Labels::of(column, train);
    if levels.len() > 20 && 2 * levels.len() > train.len() {
        notes.push(format!(
            "`{name}` has {} levels in {} training rows: little can be learnt from it; \
             `data drop={name}` leaves it out",
            levels.len(),
            train.len(),
            name = column.name
        ));
    }
    notes.extend(nearly_numbers(column, &levels, data));
    let mut rare = Vec::new();
    if data.min_count > 1 {
        let codes = levels.lookup().codes(column, train);
        let mut rows = vec![0usize; levels.len()];
        codes.iter().filter(|code| **code != Text::MISSING).for_each(|&c| rows[c as usize] += 1);
        let (often, seldom): (Vec<_>, Vec<_>) =
            levels.names.into_iter().zip(rows).partition(|(_, rows)| *rows >= data.min_count);
        levels.names = often.into_iter().map(|(name, _)| name).collect();
        rare = seldom.into_iter().map(|(name, _)| name).collect();
    }
    let embedding = data.embedding.iter().find(|(name, _)| *name == column.name);
    Category { levels, rare, missing_level, embedding: embedding.map(|(_, width)| *width) }
}

/// Takes away the columns, and parts of dates, whose inputs are the same in
/// every training row.
pub(super) fn left_out(
    table: &Table,
    train: &[u32],
    fitted: Vec<(usize, InputColumn)>,
) -> (Vec<(usize, InputColumn)>, Vec<Dropped>) {
    let mut kept = Vec::with_capacity(fitted.len());
    let mut dropped = Vec::new();
    for (from, mut column) in fitted {
        let constant = match &mut column.encoding {
            Encoding::Number { number, indicator } => {
                !*indicator && number.is_constant(column.missing)
            }
            Encoding::Date { parts, indicator } => {
                parts.retain(|(_, number)| !number.is_constant(column.missing));
                !*indicator && parts.is_empty()
            }
            Encoding::Category(category) => category.codes() <= 1,
        };
        if !constant {
            kept.push((from, column));
            continue;
        }
        let cells = &table.columns[from];
        let rare = matches!(&column.encoding, Encoding::Category(c) if !c.rare.is_empty());
        let present = train.iter().find(|&&row| !cells.is_missing(row as usize));
        let why = match present {
            _ if rare => "every level is rare".to_owned(),
            None => "empty in every training row".to_owned(),
            Some(&row) => {
                format!(
                    "`{}` in every training row",
                    cell::shown(cells.cell(row as usize).as_bytes())
                )
            }
        };
        dropped.push(Dropped { name: column.name, why });
    }
    (kept, dropped)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::check::model::{Data, Missing, Model, Scale, Width};
    use crate::data::testing::*;
    use crate::data::{Batches, Dataset, Encoder, Input, ReadOptions};
    use insta::assert_snapshot;

    fn bind(text: &str, data: Data) -> Dataset {
        let data = Data { scale: Scale::None, ..data };
        Dataset::bind(&table(text), &regression(data)).unwrap()
    }

    fn batches(text: &str) -> Batches {
        let input = Input::Memory { name: "new.csv".into(), bytes: text.as_bytes().into() };
        Batches::open(vec![input], ReadOptions::default()).unwrap()
    }

    fn rows(dataset: &Dataset) -> Vec<Vec<f32>> {
        dataset.matrix().chunks(dataset.inputs()).map(<[f32]>::to_vec).collect()
    }

    /// Encodes raw rows with the schema of a data set; the notes last.
    fn encode(dataset: &Dataset, text: &str) -> (Vec<f32>, String) {
        let mut rows = batches(text);
        let encoder = Encoder::new(&dataset.schema, "new.csv", rows.header()).unwrap();
        let encoded = encoder.encode(&rows.next_batch().unwrap().unwrap()).unwrap();
        (encoded.matrix(&dataset.schema.layout()), encoder.notes(&encoded.tally).join("; "))
    }

    fn described(dataset: &Dataset) -> String {
        dataset.schema.describe().join("\n")
    }

    #[test]
    fn dates_become_their_parts() {
        let text = "d,y\n2024-02-29,1\n2024-03-01T12:30,2\n,3\n2023-12-31T06:00Z,4\n";
        let dataset = bind(text, Data::default());
        assert_eq!(
            rows(&dataset),
            [
                [2024.0, 2.0, 29.0, 4.0, 0.0],
                [2024.0, 3.0, 1.0, 5.0, 12.5],
                // Medians.
                [2024.0, 3.0, 29.0, 5.0, 6.0],
                [2023.0, 12.0, 31.0, 7.0, 6.0],
            ]
        );
        assert_snapshot!(described(&dataset), @r#"
        d  date    2023 to 2024, 1 missing  5 inputs: year, month, day, weekday, time
        y  target  a number                 (y - 2.5) / 1.118
        "#);
        let (features, notes) = encode(&dataset, "d\n 2030-01-01 \nNA\n");
        assert_eq!(features[..5], [2030.0, 1.0, 1.0, 2.0, 0.0]);
        assert_eq!(
            (&features[5..], notes.as_str()),
            (&rows(&dataset)[2][..], "filled in 1 missing value")
        );
        let mut wrong = batches("d\n2024-13-01\n");
        let encoder = Encoder::new(&dataset.schema, "new.csv", wrong.header()).unwrap();
        let error = encoder.encode(&wrong.next_batch().unwrap().unwrap()).unwrap_err();
        assert_snapshot!(rendered(&error), @r#"
        error[E204]: `d` is to be a date such as `2024-01-31`, but line 2 holds `2024-13-01`
        --> new.csv:2
         = help: a missing date is an empty cell or `NA`
        "#);

        // Parts that never change are left out; at midnight there is no time.
        let dataset = bind("d,y\n2024-02-05,1\n2024-02-12,2\n", Data::default());
        assert_eq!(rows(&dataset), [[5.0], [12.0]]);
        // As categories, dates are compared as dates.
        let data = Data { categorical: words(&["d"]), ..Data::default() };
        let dataset = bind("d,y\n2024-02-05,1\n2024-02-12,2\n", data);
        assert_eq!(encode(&dataset, "d\n2024-02-12T00:00\n").0, [0.0, 1.0]);
    }

    #[test]
    fn an_indicator_says_what_is_missing() {
        let text = "n,m,d,c,y\n1,5,2024-01-01,a,1\n,6,,b,2\n4,7,2025-01-01,,3\n";
        let data = Data { missing_indicator: true, missing: Missing::Zero, ..Data::default() };
        let dataset = bind(text, data);
        assert_snapshot!(described(&dataset), @r#"
        n  number    1 to 4, 1 missing        x, missing: 0 and an input that says so
        m  number    5 to 7                   x
        d  date      2024 to 2025, 1 missing  5 inputs: year, month, day, weekday, whether it is missing
        c  category  2 levels, 1 missing      3 inputs
        y  target    a number                 (y - 2) / 0.8165
        "#);
        #[rustfmt::skip]
        assert_eq!(rows(&dataset), [
            // n and its indicator, m, the date's parts and theirs, c: a, b, missing
            [1.0, 0.0, 5.0, 2024.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0],
            [0.0, 1.0, 6.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0],
            [4.0, 0.0, 7.0, 2025.0, 1.0, 1.0, 3.0, 0.0, 0.0, 0.0, 1.0],
        ]);
        let (again, _) = encode(&dataset, text);
        assert_eq!(dataset.matrix(), again);
        // A column without gaps in training has no indicator.
        let (features, notes) = encode(&dataset, "n,m,d,c\n1,,2024-01-01,a\n");
        assert_eq!((features.len(), features[2]), (11, 0.0));
        assert_eq!(notes, "filled in 1 missing value");
    }

    #[test]
    fn rare_levels_are_pooled() {
        let text = "c,y\na,1\na,2\nb,3\nb,4\nc,5\nd,6\n";
        let dataset = bind(text, Data { min_count: 2, ..Data::default() });
        assert_snapshot!(described(&dataset), @r#"
        c  category  2 levels and 2 rare in one  3 inputs
        y  target    a number                    (y - 3.5) / 1.708
        "#);
        assert_eq!(rows(&dataset)[2..5], [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let (features, notes) = encode(&dataset, "c\nd\nnew\nNA\na\n");
        assert_eq!(features[..9], [0.0, 0.0, 1.0].repeat(3));
        // `d` is rare, but known.
        assert_eq!(notes, "`c`: 2 values that training has not seen, pooled with the rare ones");
        // Numbers as categories are pooled by their value.
        let text = "c,y\n1,1\n1.0,2\n2,3\n3,3\n";
        let data = Data { min_count: 2, categorical: words(&["c"]), ..Data::default() };
        let dataset = bind(text, data);
        assert_eq!(encode(&dataset, "c\n01\n3.0\n").0, [1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_word_among_numbers_is_told() {
        let text = |words: &str| {
            let numbers: String = (0..40).map(|i| format!("{i}.5,{i}\n")).collect();
            format!("x,y\n{numbers}{words}")
        };
        let notes = |text: &str, data| bind(text, data).notes;
        let found = notes(&text("oops,1\n1.5,2\noops,3\n"), Data::default());
        assert_eq!(
            found.last().unwrap(),
            "`x` is a category, since 1 of its 41 levels is no number, as `oops`; \
             `data numeric=x` makes that an error which names the lines"
        );
        // One may want it so; and with many words it is one.
        let wanted = Data { categorical: words(&["x"]), ..Data::default() };
        let about = |notes: &[String]| notes.iter().any(|note| note.contains("no number"));
        assert!(!about(&notes(&text("oops,1\n"), wanted)));
        assert!(!about(&notes(&text("a,1\nb,1\nc,1\n"), Data::default())));
        assert!(!about(&notes(&text(""), Data::default())));
    }

    #[test]
    fn columns_that_say_nothing_are_left_out() {
        let text = "a,b,c,d,e,f,y\n1,5,,x,,,1\n2,5,,x,7,q,2\n3,5,NA,x,,,3\n";
        let dataset = bind(text, Data::default());
        assert_snapshot!(described(&dataset), @r#"
        a          number    1 to 3                          x
        f          category  1 level, 2 missing              2 inputs
        4 columns  left out  the same in every training row  `b`, `c`, `d`, `e`
        y          target    a number                        (y - 2) / 0.8165
        "#);
        let (features, _) = encode(&dataset, "a,f\n9,q\n");
        assert_eq!(features, [9.0, 1.0, 0.0], "what was left out is not asked for");
        // A gap that is not filled with the constant itself tells something.
        let zero = bind(text, Data { missing: Missing::Zero, ..Data::default() });
        assert_eq!(zero.schema.columns[1].name, "e");
        // Who counts the inputs gets them all.
        let model = Model { input: Width::Units(6), ..regression(Data::default()) };
        let all = Dataset::bind(&table("a,b,y\n1,5,1\n2,5,2\n"), &model).unwrap();
        assert_eq!(all.matrix(), [-1.0, 0.0, 1.0, 0.0]);
        let nothing = Dataset::bind(&table("b,y\n5,1\n5,2\n"), &regression(Data::default()));
        assert_snapshot!(rendered(&nothing.unwrap_err()), @r#"
        error[E204]: no column is left for the inputs: each is the same in every training row
        --> t.csv
         = note: the columns are `b`
         = help: train on other rows or other columns
        "#);
    }
}
