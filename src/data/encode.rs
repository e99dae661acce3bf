//! Raw rows to inputs, for prediction and evaluation.

mod by_column;

use super::batch::Batch;
use super::bind::Targets;
use super::cell::{self, Cell};
use super::complaints::{Found, too_large_for_f32};
use super::date_part;
use super::dictionary::Known;
use super::labels::{Labels, Lookup};
use super::lines::Place;
use super::names::{list, unknown_column};
use super::read::{BadRow, count};
use super::schema::{Category, Encoding, InputColumn, Schema, Target};
use super::table::{SHOWN, not_utf8};
use crate::check::model::Missing;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::inputs::{self, Features, Layout};

/// Encodes batches as the schema says. Columns are found by name: their order
/// is free, columns that the schema does not name are ignored, and the target
/// columns may be absent.
///
/// Encoding changes nothing in the encoder: threads share one, and add up
/// what they have met.
#[derive(Debug)]
pub struct Encoder<'s> {
    schema: &'s Schema,
    source: String,
    header: Vec<String>,
    columns: Vec<Input>,
    targets: Option<Vec<(usize, Option<Lookup>)>>,
    layout: Layout,
    bad_row: BadRow,
}

/// An input column of the file at hand.
#[derive(Debug)]
struct Input {
    /// Its position in the header.
    at: usize,
    /// The first of its numbers, or the place of its code.
    start: usize,
    levels: Option<Levels>,
}

/// The levels of a category.
#[derive(Debug)]
struct Levels {
    /// Of any cell.
    lookup: Lookup,
    /// Of cells that are spelled as the levels are.
    known: Known,
    /// The code of each of these.
    of_known: Vec<u32>,
}

impl Levels {
    fn of(category: &Category) -> Levels {
        let lookup = category.lookup();
        // A cell that stands for a missing value is that first of all.
        let is_missing = |name: &String| cell::is_missing(name.as_bytes().trim_ascii());
        let names = &category.levels.names;
        let known = Known::of(if names.iter().any(is_missing) { &[] } else { names });
        let codes = names.iter().take(known.levels()).map(|name| lookup.get(name.as_bytes()));
        let of_known = codes.map(|code| code.unwrap_or(inputs::NONE)).collect();
        Levels { lookup, known, of_known }
    }
}

/// What became of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// The numbers among the inputs, `[rows, dense]` row-major.
    pub dense: Vec<f32>,
    /// The codes of the categories, `[rows, categories]` row-major.
    pub codes: Vec<u32>,
    /// The targets of the same rows; empty where none were asked for.
    pub targets: Targets,
    /// Which rows of the batch these are, ascending.
    pub rows: Vec<u32>,
    /// What happened on the way.
    pub tally: Tally,
}

impl Encoded {
    /// The inputs.
    pub fn features(&self) -> Features<'_> {
        Features { dense: &self.dense, codes: &self.codes }
    }

    /// The inputs as a matrix, row-major `[rows, inputs]`: for other tools.
    pub fn matrix(&self, layout: &Layout) -> Vec<f32> {
        self.features().matrix(layout, self.rows.len())
    }
}

/// Counts of what happened to rows on their way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Missing numbers and dates that were filled in.
    pub filled: u64,
    /// Rows left out because they had no target.
    pub without_target: u64,
    /// Rows left out because they could not be encoded.
    pub bad_rows: u64,
    /// For each input column, the values that training has not seen.
    pub unseen: Vec<u64>,
}

impl Tally {
    /// Adds what another part of the rows met.
    pub fn add(&mut self, other: &Tally) {
        self.filled += other.filled;
        self.without_target += other.without_target;
        self.bad_rows += other.bad_rows;
        self.unseen.resize(self.unseen.len().max(other.unseen.len()), 0);
        self.unseen.iter_mut().zip(&other.unseen).for_each(|(sum, n)| *sum += n);
    }
}

/// What a cell is to be, and what is still accepted in its place.
const NUMBER: (&str, &str) = ("a number", "a missing number is an empty cell or `NA`");
const DATE: (&str, &str) =
    ("a date such as `2024-01-31`", "a missing date is an empty cell or `NA`");

impl<'s> Encoder<'s> {
    /// Finds the schema's columns in a header. `source` is what messages call
    /// the file.
    ///
    /// # Errors
    /// Where an input column is not there.
    pub fn new(
        schema: &'s Schema,
        source: impl Into<String>,
        header: &[String],
    ) -> Result<Self, Diagnostics> {
        let source = source.into();
        let position = |name: &str| header.iter().position(|column| column == name);
        let mut errors = Vec::new();
        let mut columns = Vec::with_capacity(schema.columns.len());
        for (column, start) in schema.columns.iter().zip(schema.starts()) {
            let Some(at) = position(&column.name) else {
                let known = header.iter().map(String::as_str);
                let why = "the model needs the column";
                errors.push(unknown_column(why, &column.name, &source, known));
                continue;
            };
            let levels = match &column.encoding {
                Encoding::Category(category) => Some(Levels::of(category)),
                Encoding::Number { .. } | Encoding::Date { .. } => None,
            };
            columns.push(Input { at, start, levels });
        }
        // A list of 784 pixels tells no more than its first ten.
        let more = errors.len().saturating_sub(SHOWN);
        errors.truncate(SHOWN);
        if more > 0
            && let Some(last) = errors.last_mut()
        {
            last.notes.push(format!("and {more} more columns are missing"));
        }
        let targets = schema.target.names().into_iter().enumerate();
        let targets = targets
            .map(|(i, name)| Some((position(name)?, schema.target.labels(i).map(Labels::lookup))))
            .collect();
        Diagnostics::none_of(errors, || Encoder {
            schema,
            source,
            header: header.to_vec(),
            columns,
            targets,
            layout: schema.layout(),
            bad_row: BadRow::Error,
        })
    }

    /// What to do with a row that cannot be encoded; an error unless said.
    pub fn on_bad_row(mut self, bad_row: BadRow) -> Self {
        self.bad_row = bad_row;
        self
    }

    /// The number of inputs of a row.
    pub fn inputs(&self) -> usize {
        self.layout.inputs()
    }

    /// Encodes the inputs of a batch's rows. The order of the rows stays, and
    /// none is left out, unless bad rows are to be skipped.
    ///
    /// # Errors
    /// The first rows that cannot be encoded, and how many there are.
    pub fn encode(&self, batch: &Batch) -> Result<Encoded, Diagnostics> {
        match self.by_column(batch) {
            Some(encoded) => Ok(encoded),
            None => self.run(batch, false),
        }
    }

    /// The same, with the targets beside the inputs. Rows whose target is
    /// missing are left out and counted.
    ///
    /// # Errors
    /// As [`Encoder::encode`]; also where a target column is not there.
    pub fn encode_labelled(&self, batch: &Batch) -> Result<Encoded, Diagnostics> {
        self.need_targets()?;
        self.run(batch, true)
    }

    fn run(&self, batch: &Batch, labelled: bool) -> Result<Encoded, Diagnostics> {
        let mut encoded = Encoded {
            dense: Vec::with_capacity(batch.rows() * self.layout.dense),
            codes: Vec::with_capacity(batch.rows() * self.layout.categories.len()),
            targets: Targets::none_of(&self.schema.target),
            rows: Vec::with_capacity(batch.rows()),
            tally: Tally { unseen: vec![0; self.columns.len()], ..Tally::default() },
        };
        let mut errors: Vec<Diagnostic> = Vec::new();
        let mut more = 0;
        for row in 0..batch.rows() {
            let mut wrong = Vec::new();
            if labelled && !self.target(batch, row, &mut encoded, &mut wrong) {
                continue;
            }
            if wrong.is_empty() {
                self.inputs_of(batch, row, &mut encoded, &mut wrong);
            }
            if wrong.is_empty() {
                encoded.rows.push(row as u32);
                continue;
            }
            self.take_back(&mut encoded);
            match self.bad_row {
                BadRow::Skip => encoded.tally.bad_rows += 1,
                BadRow::Error => {
                    more += wrong.len();
                    wrong.truncate(SHOWN.saturating_sub(errors.len()));
                    more -= wrong.len();
                    errors.extend(wrong);
                }
            }
        }
        if more > 0
            && let Some(last) = errors.last_mut()
        {
            last.notes.push(format!("and at least {more} more such cells"));
        }
        Diagnostics::none_of(errors, || encoded)
    }

    /// Takes back what a bad row has left behind the good ones.
    fn take_back(&self, encoded: &mut Encoded) {
        let rows = encoded.rows.len();
        encoded.dense.truncate(rows * self.layout.dense);
        encoded.codes.truncate(rows * self.layout.categories.len());
        match &mut encoded.targets {
            Targets::Values(values) => values.truncate(rows * self.schema.outputs()),
            Targets::Classes(classes) => classes.truncate(rows),
        }
    }

    /// What happened on the way that the user should know.
    pub fn notes(&self, tally: &Tally) -> Vec<String> {
        let mut notes = Vec::new();
        if tally.bad_rows > 0 {
            let rows = count(tally.bad_rows as usize, "row");
            notes.push(format!("skipped {rows} that cannot be encoded"));
        }
        if tally.without_target > 0 {
            notes.push(format!(
                "skipped {} without a target",
                count(tally.without_target as usize, "row")
            ));
        }
        if tally.filled > 0 {
            notes.push(format!("filled in {}", count(tally.filled as usize, "missing value")));
        }
        for (column, &unseen) in self.schema.columns.iter().zip(&tally.unseen) {
            if let Encoding::Category(category) = &column.encoding
                && unseen > 0
            {
                notes.push(format!(
                    "`{}`: {} that training has not seen, {}",
                    column.name,
                    count(unseen as usize, "value"),
                    category.fate()
                ));
            }
        }
        notes
    }

    /// Appends the inputs of one row, or says what is wrong with it.
    fn inputs_of(&self, batch: &Batch, row: usize, to: &mut Encoded, wrong: &mut Vec<Diagnostic>) {
        let (start, first) = (to.dense.len(), to.codes.len());
        to.dense.resize(start + self.layout.dense, 0.0);
        to.codes.resize(first + self.layout.categories.len(), inputs::NONE);
        let (dense, codes) = (&mut to.dense[start..], &mut to.codes[first..]);
        for (i, column) in self.schema.columns.iter().enumerate() {
            let Input { at, start, levels } = &self.columns[i];
            match &column.encoding {
                Encoding::Number { number, indicator } => {
                    let features = &mut dense[*start..];
                    let cell = self.present(batch, row, *at, column, &mut to.tally, wrong);
                    features[0] = number.encode(cell.unwrap_or(f64::NAN));
                    if *indicator {
                        features[1] = f32::from(u8::from(cell.is_none()));
                    }
                    if !features[0].is_finite() {
                        let shown = cell::shown(&batch.text(row, *at));
                        let found = Found::new([(batch.place(row), Some(shown))].into_iter());
                        wrong
                            .extend(found.map(|found| {
                                too_large_for_f32(&self.source, &column.name, &found)
                            }));
                    }
                }
                Encoding::Date { parts, indicator } => {
                    let features = &mut dense[*start..];
                    let cell = self.present(batch, row, *at, column, &mut to.tally, wrong);
                    let inputs = date_part::encode(parts, cell.unwrap_or(f64::NAN));
                    features.iter_mut().zip(inputs).for_each(|(to, x)| *to = x);
                    if *indicator {
                        features[parts.len()] = f32::from(u8::from(cell.is_none()));
                    }
                }
                Encoding::Category(category) => {
                    let lookup = &levels.as_ref().expect("every category has its levels").lookup;
                    let missing = batch.is_missing(row, *at);
                    let known = if missing { None } else { lookup.get(&batch.text(row, *at)) };
                    let (code, unseen) = match known {
                        Some(code) => (Some(code), false),
                        None => category.other(missing),
                    };
                    to.tally.unseen[i] += u64::from(unseen);
                    codes[*start] = code.unwrap_or(inputs::NONE);
                }
            }
        }
    }

    /// The number or the moment of a cell; `None` where it is missing, or
    /// where something is wrong with it.
    fn present(
        &self,
        batch: &Batch,
        row: usize,
        at: usize,
        column: &InputColumn,
        tally: &mut Tally,
        wrong: &mut Vec<Diagnostic>,
    ) -> Option<f64> {
        let is_date = matches!(column.encoding, Encoding::Date { .. });
        let cell = if is_date { batch.date(row, at) } else { batch.number(row, at) };
        match cell {
            Cell::Number(number) => return Some(number),
            Cell::Missing if self.schema.missing == Missing::Error => {
                wrong.push(self.missing_value(&batch.place(row), &column.name));
            }
            Cell::Missing => tally.filled += 1,
            Cell::Infinite | Cell::Text => {
                let expected = if is_date { DATE } else { NUMBER };
                wrong.push(self.not_a(expected, batch, row, at, &column.name));
            }
        }
        None
    }

    /// Appends the target of one row, or says what is wrong with it; `false`:
    /// it is missing.
    fn target(
        &self,
        batch: &Batch,
        row: usize,
        to: &mut Encoded,
        wrong: &mut Vec<Diagnostic>,
    ) -> bool {
        let columns = self.targets.as_ref().expect("need_targets has found them");
        if columns.iter().any(|(at, _)| batch.is_missing(row, *at)) {
            to.tally.without_target += 1;
            return false;
        }
        let name = |i: usize| self.schema.target.names()[i];
        for (i, (at, lookup)) in columns.iter().enumerate() {
            let value = match (&self.schema.target, lookup) {
                (Target::Regression { columns }, _) => match batch.number(row, *at) {
                    Cell::Number(number) => columns[i].encode(number),
                    _ => {
                        wrong.push(self.not_a(NUMBER, batch, row, *at, name(i)));
                        continue;
                    }
                },
                (target, lookup) => {
                    let raw = batch.text(row, *at);
                    let code = lookup.as_ref().and_then(|lookup| lookup.get(&raw));
                    let Some(code) = code else {
                        let place = batch.place(row);
                        wrong.push(self.unknown_label(&place, name(i), &raw, target.labels(i)));
                        continue;
                    };
                    if let Targets::Classes(classes) = &mut to.targets {
                        classes.push(code);
                        continue;
                    }
                    code as f32 // the second label is 1
                }
            };
            if let Targets::Values(values) = &mut to.targets {
                values.push(value);
            }
        }
        true
    }

    fn need_targets(&self) -> Result<(), Diagnostics> {
        if self.targets.is_some() {
            return Ok(());
        }
        let names = self.schema.target.names();
        let absent = names.into_iter().filter(|name| !self.header.iter().any(|h| h == name));
        let known = self.header.iter().map(String::as_str);
        let errors = absent.map(|name| {
            unknown_column("evaluation needs the target column", name, &self.source, known.clone())
        });
        Diagnostics::none_of(errors.collect(), || ())
    }

    fn missing_value(&self, place: &Place, column: &str) -> Diagnostic {
        Diagnostic::error(Code::DataValue, format!("`{column}` is missing on {place}"))
            .in_file(&*place.file, Some(place.line))
            .help("the model was trained with `missing=error`: fill the gap, or train with another")
    }

    fn not_a(
        &self,
        (expected, help): (&str, &str),
        batch: &Batch,
        row: usize,
        at: usize,
        column: &str,
    ) -> Diagnostic {
        let (place, raw) = (batch.place(row), batch.text(row, at));
        if std::str::from_utf8(&raw).is_err() {
            return not_utf8(&place, column, &raw);
        }
        Diagnostic::error(
            Code::DataValue,
            format!("`{column}` is to be {expected}, but {place} holds `{}`", cell::shown(&raw)),
        )
        .in_file(&*place.file, Some(place.line))
        .help(help)
    }

    fn unknown_label(
        &self,
        place: &Place,
        column: &str,
        raw: &[u8],
        labels: Option<&Labels>,
    ) -> Diagnostic {
        let known = labels.map_or(&[][..], |labels| &labels.names);
        Diagnostic::error(
            Code::DataValue,
            format!(
                "{place}, target `{column}`: `{}` is no class that the model knows",
                cell::shown(raw)
            ),
        )
        .in_file(&*place.file, Some(place.line))
        .note(format!("it knows {}", list(known.iter().map(String::as_str), 20)))
        .help("mend the label, or train with rows of this class")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::check::model::Data;
    use crate::data::testing::*;
    use crate::data::{Batches, Dataset, Input, ReadOptions};
    use insta::assert_snapshot;

    const TRAIN: &str = "n,c,k,y\n1,a,1,no\n3,b,2,yes\n,,1,no\n5,a,2,yes\n";

    fn schema(missing: Missing) -> Schema {
        let data = Data { categorical: words(&["k"]), missing, ..target(&["y"]) };
        let text =
            if missing == Missing::Error { TRAIN.replace("\n,", "\n2,") } else { TRAIN.into() };
        Dataset::bind(&table(&text), &sigmoid(data)).unwrap().schema
    }

    fn batches(text: &str) -> Result<Batches, Diagnostics> {
        let input = Input::Memory { name: "new.csv".into(), bytes: text.as_bytes().into() };
        Batches::open(vec![input], ReadOptions::default())
    }

    fn encode(schema: &Schema, text: &str) -> Result<(Vec<f32>, Vec<String>), Diagnostics> {
        let mut rows = batches(text)?;
        let encoder = Encoder::new(schema, "new.csv", rows.header())?;
        let (mut features, mut tally) = (Vec::new(), Tally::default());
        while let Some(batch) = rows.next_batch()? {
            let encoded = encoder.encode(&batch)?;
            features.extend(encoded.matrix(&schema.layout()));
            tally.add(&encoded.tally);
        }
        Ok((features, encoder.notes(&tally)))
    }

    #[test]
    fn training_rows_encode_as_in_training() {
        for text in [TRAIN, "n,c,k,y\r\n7,zz,3,no\r\n"] {
            let model = sigmoid(Data { categorical: words(&["k"]), ..target(&["y"]) });
            let trained = Dataset::bind(&table(TRAIN), &model).unwrap();
            let (features, _) = encode(&trained.schema, text).unwrap();
            if text == TRAIN {
                assert_eq!(features, trained.matrix());
            }
        }
    }

    /// Both ways of encoding agree, on texts and on typed columns.
    #[test]
    fn by_column_is_by_row() {
        let train = "n,d,c,k,y\n1,2024-02-29,a,1,no\n,,b,2,yes\n-7.5,2023-01-01T06:00,,1,no\n";
        for missing_indicator in [false, true] {
            let data = Data { categorical: words(&["k"]), missing_indicator, ..target(&["y"]) };
            let trained = Dataset::bind(&table(train), &sigmoid(data)).unwrap();
            let new = "k,c,d,n\n1.0,a,2024-01-01,NA\n7,zz,,1e2\nx,,2020-12-31T23:59,\"1,234\"\n";
            for text in [train, new] {
                let mut rows = batches(text).unwrap();
                let encoder = Encoder::new(&trained.schema, "new.csv", rows.header()).unwrap();
                let batch = rows.next_batch().unwrap().unwrap();
                let by_row = encoder.run(&batch, false).unwrap();
                assert_eq!(encoder.by_column(&batch).unwrap(), by_row);
                #[cfg(feature = "columnar")]
                {
                    let typed = table(text);
                    let columns = typed.columns.into_iter().map(|column| column.values).collect();
                    let typed = Batch::of_columns(typed.lines, columns);
                    assert_eq!(encoder.by_column(&typed), encoder.run(&typed, false).ok());
                }
            }
            let mut wrong = batches("n,d,c,k\n1,2024-01-01,a,1\n1,never,a,1\n").unwrap();
            let encoder = Encoder::new(&trained.schema, "new.csv", wrong.header()).unwrap();
            assert!(encoder.by_column(&wrong.next_batch().unwrap().unwrap()).is_none());
        }
    }

    #[test]
    fn order_is_free_and_unknown_levels_are_counted() {
        let schema = schema(Missing::Median);
        let text = "extra,k,c,n\nx,1.0,b,3\ny,2,q,NA\nz,9,NA,1\n";
        let (features, notes) = encode(&schema, text).unwrap();
        #[rustfmt::skip]
        assert_eq!(features.iter().map(|x| (x * 100.0).round()).collect::<Vec<_>>(), [
            // n, then c: a, b, missing, then k: 1, 2
            0.0, 0.0, 100.0, 0.0, 100.0, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.0, 100.0,
            -122.0, 0.0, 0.0, 100.0, 0.0, 0.0,
        ]);
        assert_eq!(
            notes,
            [
                "filled in 1 missing value",
                "`c`: 1 value that training has not seen, encoded as zeros",
                "`k`: 1 value that training has not seen, encoded as zeros",
            ]
        );
    }

    #[test]
    fn rows_that_cannot_be_encoded() {
        let refused = |missing, text: &str| rendered(&encode(&schema(missing), text).unwrap_err());
        assert_snapshot!(refused(Missing::Median, "N,c\n1,a\n"), @r#"
        error[E203]: the model needs the column `n`, which the data do not have
        --> new.csv
         = note: the columns are `N`, `c`
         = help: did you mean `N`?

        error[E203]: the model needs the column `k`, which the data do not have
        --> new.csv
         = note: the columns are `N`, `c`
        "#);
        assert_snapshot!(refused(Missing::Median, "n,c,k\n1,a,1\nabc,a,1\n"), @r#"
        error[E204]: `n` is to be a number, but line 3 holds `abc`
        --> new.csv:3
         = help: a missing number is an empty cell or `NA`
        "#);
        assert_snapshot!(refused(Missing::Median, "n,c,k\n1e300,a,1\n"), @r#"
        error[E204]: `n` holds numbers too large for the network: `1e300` on line 2
        --> new.csv:2
         = help: scale the inputs (`data scale=standard`), or use a larger unit
        "#);
        assert_snapshot!(refused(Missing::Error, "n,c,k\n,a,1\n"), @r#"
        error[E204]: `n` is missing on line 2
        --> new.csv:2
         = help: the model was trained with `missing=error`: fill the gap, or train with another
        "#);
        // Prediction never leaves a row out.
        assert_eq!(encode(&schema(Missing::Drop), "n,c,k\n,a,1\n").unwrap().0.len(), 5);
    }

    fn labelled(schema: &Schema, text: &str) -> Result<(Targets, Vec<String>), Diagnostics> {
        let mut rows = batches(text)?;
        let encoder = Encoder::new(schema, "new.csv", rows.header())?;
        let batch = rows.next_batch()?.unwrap();
        let encoded = encoder.encode_labelled(&batch)?;
        let (rows, layout) = (encoded.rows.len(), schema.layout());
        assert_eq!(encoded.dense.len(), rows * layout.dense);
        assert_eq!(encoded.codes.len(), rows * layout.categories.len());
        Ok((encoded.targets, encoder.notes(&encoded.tally)))
    }

    #[test]
    fn labels() {
        let schema = schema(Missing::Median);
        let (targets, notes) = labelled(&schema, "n,c,k,y\n1,a,1,yes\n1,a,1,\n1,a,1,no\n").unwrap();
        assert_eq!(targets, Targets::Values(vec![1.0, 0.0]));
        assert_eq!(notes, ["skipped 1 row without a target"]);
        let refused = |text| rendered(&labelled(&schema, text).unwrap_err());
        assert_snapshot!(refused("n,c,k,y\n1,a,1,maybe\n"), @r#"
        error[E204]: line 2, target `y`: `maybe` is no class that the model knows
        --> new.csv:2
         = note: it knows `no`, `yes`
         = help: mend the label, or train with rows of this class
        "#);
        assert_snapshot!(refused("n,c,k\n1,a,1\n"), @r#"
        error[E203]: evaluation needs the target column `y`, which the data do not have
        --> new.csv
         = note: the columns are `n`, `c`, `k`
        "#);
        let numbers = Dataset::bind(&table("x,y\n1,10\n2,30\n"), &regression(target(&["y"])));
        let numbers = numbers.unwrap().schema;
        let (targets, _) = labelled(&numbers, "y,x\n20,1\n40,2\n").unwrap();
        assert_eq!(targets, Targets::Values(vec![0.0, 2.0]));
    }
}
