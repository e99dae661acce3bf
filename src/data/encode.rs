//! Raw rows to inputs, for prediction and evaluation.

use super::bind::Targets;
use super::cell::{self, Cell};
use super::complaints::{Found, too_large_for_f32};
use super::labels::{Labels, Lookup};
use super::names::{list, unknown_column};
use super::rows::{Rows, count};
use super::schema::{Encoding, Schema, Target};
use super::table::not_utf8;
use crate::check::model::Missing;
use crate::diag::{Code, Diagnostic, Diagnostics};
use csv::ByteRecord;
use std::io::Read;

/// Encodes records as the schema says. Columns are found by name: their order
/// is free, columns that the schema does not name are ignored, and the target
/// columns may be absent.
pub struct Encoder<'s> {
    schema: &'s Schema,
    source: String,
    header: Vec<String>,
    columns: Vec<Input>,
    targets: Option<Vec<(usize, Option<Lookup>)>>,
    width: usize,
    filled: u64,
    without_target: u64,
    record: ByteRecord,
}

/// An input column of the file at hand.
struct Input {
    /// Its position in the record.
    at: usize,
    lookup: Option<Lookup>,
    /// Cells that are none of the levels.
    unseen: u64,
}

impl<'s> Encoder<'s> {
    /// Finds the schema's columns in a header. `source` is what messages call
    /// the file.
    pub fn new(
        schema: &'s Schema,
        source: impl Into<String>,
        header: &[String],
    ) -> Result<Self, Diagnostics> {
        let source = source.into();
        let position = |name: &str| header.iter().position(|column| column == name);
        let mut errors = Vec::new();
        let mut columns = Vec::with_capacity(schema.columns.len());
        for column in &schema.columns {
            let Some(at) = position(&column.name) else {
                let known = header.iter().map(String::as_str);
                let why = "the model needs the column";
                errors.push(unknown_column(why, &column.name, &source, known));
                continue;
            };
            let lookup = match &column.encoding {
                Encoding::Number { .. } => None,
                Encoding::Category { levels, .. } => Some(levels.lookup()),
            };
            columns.push(Input { at, lookup, unseen: 0 });
        }
        // A list of 784 pixels tells no more than its first ten.
        let more = errors.len().saturating_sub(super::table::SHOWN);
        errors.truncate(super::table::SHOWN);
        if more > 0
            && let Some(last) = errors.last_mut()
        {
            last.notes.push(format!("and {more} more columns are missing"));
        }
        let targets = schema.target.names().into_iter().enumerate();
        let targets = targets
            .map(|(i, name)| Some((position(name)?, schema.target.labels(i).map(Labels::lookup))))
            .collect();
        let width = schema.inputs();
        Diagnostics::none_of(errors, || Encoder {
            schema,
            source,
            header: header.to_vec(),
            columns,
            targets,
            width,
            filled: 0,
            without_target: 0,
            record: ByteRecord::new(),
        })
    }

    /// The number of inputs of a row.
    pub fn inputs(&self) -> usize {
        self.width
    }

    /// Appends up to `rows` rows of inputs to `features` and returns how many;
    /// 0 at the end. The order of the rows stays, and none is left out.
    pub fn read_block<R: Read>(
        &mut self,
        from: &mut Rows<R>,
        rows: usize,
        features: &mut Vec<f32>,
    ) -> Result<usize, Diagnostics> {
        let mut record = std::mem::take(&mut self.record);
        let mut read = 0;
        while read < rows {
            let Some(line) = from.next(&mut record)? else { break };
            self.encode(line, &record, features)?;
            read += 1;
        }
        self.record = record;
        Ok(read)
    }

    /// As [`Encoder::read_block`], with the targets beside the inputs. Rows
    /// whose target is missing are skipped and counted.
    pub fn read_labelled<R: Read>(
        &mut self,
        from: &mut Rows<R>,
        rows: usize,
        features: &mut Vec<f32>,
        targets: &mut Targets,
    ) -> Result<usize, Diagnostics> {
        self.need_targets()?;
        let mut record = std::mem::take(&mut self.record);
        let mut read = 0;
        while read < rows {
            let Some(line) = from.next(&mut record)? else { break };
            if self.target(line, &record, targets)? {
                self.encode(line, &record, features)?;
                read += 1;
            }
        }
        self.record = record;
        Ok(read)
    }

    /// An empty buffer for the targets of this schema.
    pub fn empty_targets(&self) -> Targets {
        match self.schema.target {
            Target::Classes { .. } => Targets::Classes(Vec::new()),
            _ => Targets::Values(Vec::new()),
        }
    }

    /// What happened on the way that the user should know.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.without_target > 0 {
            notes.push(format!(
                "skipped {} without a target",
                count(self.without_target as usize, "row")
            ));
        }
        if self.filled > 0 {
            notes.push(format!("filled in {}", count(self.filled as usize, "missing number")));
        }
        for (name, unseen) in self.unseen() {
            notes.push(format!(
                "`{name}`: {} that training has not seen, encoded as zeros",
                count(unseen as usize, "value")
            ));
        }
        notes
    }

    /// The columns with values that training has not seen, and how many.
    pub fn unseen(&self) -> impl Iterator<Item = (&str, u64)> {
        let columns = self.schema.columns.iter().zip(&self.columns);
        columns
            .filter(|(_, input)| input.unseen > 0)
            .map(|(column, input)| (column.name.as_str(), input.unseen))
    }

    /// Appends the inputs of one record. `line` is for messages.
    pub fn encode(
        &mut self,
        line: u64,
        record: &ByteRecord,
        features: &mut Vec<f32>,
    ) -> Result<(), Diagnostics> {
        let start = features.len();
        features.resize(start + self.width, 0.0);
        let mut at = start;
        let mut errors = Vec::new();
        for (i, column) in self.schema.columns.iter().enumerate() {
            let raw = record.get(self.columns[i].at).unwrap_or_default();
            match &column.encoding {
                encoding @ Encoding::Number { .. } => {
                    let number = match cell::classify(raw) {
                        Cell::Number(number) => number,
                        Cell::Missing if self.schema.missing == Missing::Error => {
                            errors.push(self.missing_number(line, &column.name));
                            continue;
                        }
                        Cell::Missing => {
                            self.filled += 1;
                            f64::NAN
                        }
                        Cell::Infinite | Cell::Text => {
                            errors.push(self.not_a_number(line, &column.name, raw));
                            continue;
                        }
                    };
                    features[at] = encoding.number(number);
                    if !features[at].is_finite() {
                        let cell = (line, Some(cell::shown(raw)));
                        errors
                            .extend(Found::new([cell].into_iter()).map(|found| {
                                too_large_for_f32(&self.source, &column.name, &found)
                            }));
                    }
                }
                Encoding::Category { levels, missing_level } => {
                    let input = &mut self.columns[i];
                    let lookup = input.lookup.as_ref().expect("every category has its lookup");
                    let one = if cell::is_missing(raw.trim_ascii()) {
                        missing_level.then_some(levels.len())
                    } else {
                        lookup.get(raw).map(|code| code as usize)
                    };
                    match one {
                        Some(one) => features[at + one] = 1.0,
                        None => input.unseen += 1,
                    }
                }
            }
            at += column.width();
        }
        if !errors.is_empty() {
            features.truncate(start);
        }
        Diagnostics::none_of(errors, || ())
    }

    /// Appends the target of one record; `false`: it is missing.
    fn target(
        &mut self,
        line: u64,
        record: &ByteRecord,
        targets: &mut Targets,
    ) -> Result<bool, Diagnostics> {
        let columns = self.targets.as_ref().expect("need_targets has found them");
        let cells = || columns.iter().map(|(at, _)| record.get(*at).unwrap_or_default());
        if cells().any(|raw| cell::is_missing(raw.trim_ascii())) {
            self.without_target += 1;
            return Ok(false);
        }
        let mut errors = Vec::new();
        let name = |i: usize| self.schema.target.names()[i];
        for (i, ((_, lookup), raw)) in columns.iter().zip(cells()).enumerate() {
            let value = match (&self.schema.target, lookup) {
                (Target::Regression { columns }, _) => match cell::classify(raw) {
                    Cell::Number(number) => columns[i].encode(number),
                    _ => {
                        errors.push(self.not_a_number(line, name(i), raw));
                        continue;
                    }
                },
                (target, lookup) => {
                    let code = lookup.as_ref().and_then(|lookup| lookup.get(raw));
                    let Some(code) = code else {
                        errors.push(self.unknown_label(line, name(i), raw, target.labels(i)));
                        continue;
                    };
                    if let Targets::Classes(classes) = targets {
                        classes.push(code);
                        continue;
                    }
                    code as f32 // the second label is 1
                }
            };
            if let Targets::Values(values) = targets {
                values.push(value);
            }
        }
        Diagnostics::none_of(errors, || true)
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

    fn missing_number(&self, line: u64, column: &str) -> Diagnostic {
        Diagnostic::error(Code::DataValue, format!("`{column}` is missing on line {line}"))
            .in_file(&self.source, Some(line))
            .help("the model was trained with `missing=error`: fill the gap, or train with another")
    }

    fn not_a_number(&self, line: u64, column: &str, raw: &[u8]) -> Diagnostic {
        if std::str::from_utf8(raw).is_err() {
            return not_utf8(&self.source, line, column, raw);
        }
        Diagnostic::error(
            Code::DataValue,
            format!("`{column}` is to be a number, but line {line} holds `{}`", cell::shown(raw)),
        )
        .in_file(&self.source, Some(line))
        .help("a missing number is an empty cell or `NA`")
    }

    fn unknown_label(
        &self,
        line: u64,
        column: &str,
        raw: &[u8],
        labels: Option<&Labels>,
    ) -> Diagnostic {
        let known = labels.map_or(&[][..], |labels| &labels.names);
        Diagnostic::error(
            Code::DataValue,
            format!(
                "line {line}, target `{column}`: `{}` is no class that the model knows",
                cell::shown(raw)
            ),
        )
        .in_file(&self.source, Some(line))
        .note(format!("it knows {}", list(known.iter().map(String::as_str), 20)))
        .help("mend the label, or train with rows of this class")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::check::model::Data;
    use crate::data::Dataset;
    use crate::data::testing::*;
    use insta::assert_snapshot;

    const TRAIN: &str = "n,c,k,y\n1,a,1,no\n3,b,2,yes\n,,1,no\n5,a,2,yes\n";

    fn schema(missing: Missing) -> Schema {
        let data = Data { categorical: words(&["k"]), missing, ..target(&["y"]) };
        let text =
            if missing == Missing::Error { TRAIN.replace("\n,", "\n2,") } else { TRAIN.into() };
        Dataset::bind(&table(&text), &sigmoid(data)).unwrap().schema
    }

    fn encode(schema: &Schema, text: &str) -> Result<(Vec<f32>, Vec<String>), Diagnostics> {
        let mut rows = Rows::new(text.as_bytes(), "new.csv")?;
        let mut encoder = Encoder::new(schema, "new.csv", rows.header())?;
        let mut features = Vec::new();
        while encoder.read_block(&mut rows, 2, &mut features)? > 0 {}
        Ok((features, encoder.notes()))
    }

    #[test]
    fn training_rows_encode_as_in_training() {
        for text in [TRAIN, "n,c,k,y\r\n7,zz,3,no\r\n"] {
            let model = sigmoid(Data { categorical: words(&["k"]), ..target(&["y"]) });
            let trained = Dataset::bind(&table(TRAIN), &model).unwrap();
            let (features, _) = encode(&trained.schema, text).unwrap();
            if text == TRAIN {
                assert_eq!(features, trained.features);
            }
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
                "filled in 1 missing number",
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
        let mut rows = Rows::new(text.as_bytes(), "new.csv")?;
        let mut encoder = Encoder::new(schema, "new.csv", rows.header())?;
        let (mut features, mut targets) = (Vec::new(), encoder.empty_targets());
        let read = encoder.read_labelled(&mut rows, 100, &mut features, &mut targets)?;
        assert_eq!(features.len(), read * schema.inputs());
        Ok((targets, encoder.notes()))
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
