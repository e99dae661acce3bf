//! Outputs to predictions in the target's own names and units, as CSV.

use super::batch::Batch;
use super::decimal;
use super::labels::Labels;
use super::names::unknown_column;
use super::read::count;
use super::schema::{NumberTarget, Target};
use crate::diag::{Code, Diagnostic, Diagnostics};
use std::io::Write;

/// Writes the outputs of rows as lines of a CSV table: columns of the input
/// that are carried along, then the predictions, then probabilities.
///
/// Writing changes nothing in the decoder: threads share one.
#[derive(Debug, Clone)]
pub struct Decoder<'t> {
    target: &'t Target,
    probabilities: bool,
    /// The columns that are carried along: where they stand, and their names.
    kept: Vec<(usize, String)>,
}

/// A field of a row of predictions.
enum Field<'a> {
    Text(&'a str),
    Number(f32),
    /// A number of so many digits behind the point at the most.
    Precise(f64, usize),
}

impl Field<'_> {
    /// Appends it, as CSV has it.
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Field::Text(text) => write_text(text.as_bytes(), out),
            Field::Number(x) => decimal::write(x, out),
            Field::Precise(x, decimals) => {
                write!(out, "{x:.decimals$}").expect("memory takes all writes");
                if decimals > 0 {
                    let without = |out: &[u8], byte| out.last() == Some(&byte);
                    while without(out, b'0') {
                        out.pop();
                    }
                    if without(out, b'.') {
                        out.pop();
                    }
                }
            }
        }
    }
}

impl<'t> Decoder<'t> {
    /// For this target; with a column of probabilities for every label of a
    /// classification, where asked for.
    pub fn new(target: &'t Target, probabilities: bool) -> Self {
        Decoder { target, probabilities, kept: Vec::new() }
    }

    /// Carries these columns of the input along, as they are found there.
    /// `header` are the input's columns; `source` is what messages call it.
    ///
    /// # Errors
    /// Where the input has no such column, or one of them has the name of a
    /// column of predictions.
    pub fn keep(
        mut self,
        columns: &[String],
        header: &[String],
        source: &str,
    ) -> Result<Self, Diagnostics> {
        let own = self.own_columns();
        let mut errors = Vec::new();
        for name in columns {
            match header.iter().position(|column| column == name) {
                None => {
                    let known = header.iter().map(String::as_str);
                    errors.push(unknown_column("the output is to keep", name, source, known));
                }
                Some(_) if own.contains(name) => errors.push(
                    Diagnostic::error(
                        Code::DataColumn,
                        format!("the data have a column `{name}` already"),
                    )
                    .in_file(source, None)
                    .help("name the columns to carry along with `--keep`, and leave this one out"),
                ),
                Some(at) => self.kept.push((at, name.clone())),
            }
        }
        Diagnostics::none_of(errors, || self)
    }

    /// The names of the columns: those carried along, `prediction` or
    /// `prediction_NAME` for each of several targets, then
    /// `probability_LABEL`.
    pub fn columns(&self) -> Vec<String> {
        let kept = self.kept.iter().map(|(_, name)| name.clone());
        kept.chain(self.own_columns()).collect()
    }

    fn own_columns(&self) -> Vec<String> {
        let mut columns = match self.target.names().as_slice() {
            [_] => vec!["prediction".to_owned()],
            names => names.iter().map(|name| format!("prediction_{name}")).collect(),
        };
        if self.probabilities {
            match self.target {
                Target::Regression { .. } => {}
                Target::Binary { labels, .. } | Target::Classes { labels, .. } => {
                    columns.extend(labels.names.iter().map(|label| format!("probability_{label}")));
                }
                Target::MultiLabel { columns: targets } => {
                    columns.extend(targets.iter().map(|(name, _)| format!("probability_{name}")));
                }
            }
        }
        columns
    }

    /// The predictions and probabilities of one row's outputs as text, in the
    /// order of [`Decoder::columns`], without what is carried along.
    pub fn predictions(&self, outputs: &[f32]) -> Vec<String> {
        let mut fields = Vec::new();
        self.each(outputs, |field| {
            fields.push(match field {
                // Without the quotes of a file.
                Field::Text(text) => text.to_owned(),
                number => {
                    let mut text = Vec::new();
                    number.write(&mut text);
                    String::from_utf8(text).expect("numbers are written in ASCII")
                }
            });
        });
        fields
    }

    /// Appends the line of column names.
    pub fn write_header(&self, out: &mut Vec<u8>) {
        for (i, name) in self.columns().iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_text(name.as_bytes(), out);
        }
        out.push(b'\n');
    }

    /// Appends a line for each of these rows of a batch, given their outputs
    /// `[rows, outputs]`.
    ///
    /// # Panics
    /// Where there is no such row, or the outputs are of another number of rows.
    pub fn write(&self, batch: &Batch, rows: &[u32], outputs: &[f32], out: &mut Vec<u8>) {
        let width = self.target.outputs();
        assert_eq!(outputs.len(), rows.len() * width, "{}", count(rows.len(), "row"));
        for (&row, outputs) in rows.iter().zip(outputs.chunks_exact(width)) {
            for (at, _) in &self.kept {
                write_text(&batch.text(row as usize, *at), out);
                out.push(b',');
            }
            let mut first = true;
            self.each(outputs, |field| {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                field.write(out);
            });
            out.push(b'\n');
        }
    }

    /// The fields of one row's outputs.
    fn each<'a>(&'a self, outputs: &[f32], mut field: impl FnMut(Field<'a>)) {
        let probabilities = if self.probabilities { outputs } else { &[] };
        match self.target {
            Target::Regression { columns } => {
                for (column, &output) in columns.iter().zip(outputs) {
                    field(number(column, output));
                }
                return;
            }
            Target::Binary { labels, .. } => {
                field(Field::Text(at_threshold(labels, outputs[0])));
                probabilities.iter().for_each(|yes| field(Field::Number(1.0 - yes)));
            }
            Target::Classes { labels, .. } => field(Field::Text(&labels.names[largest(outputs)])),
            Target::MultiLabel { columns } => {
                for ((_, labels), &yes) in columns.iter().zip(outputs) {
                    field(Field::Text(at_threshold(labels, yes)));
                }
            }
        }
        probabilities.iter().for_each(|p| field(Field::Number(*p)));
    }
}

/// A field with quotes where RFC 4180 needs them.
fn write_text(text: &[u8], out: &mut Vec<u8>) {
    if !text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for &byte in text {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn at_threshold(labels: &Labels, yes: f32) -> &str {
    &labels.names[usize::from(yes >= 0.5)]
}

/// The index of the largest output; the first of equals.
pub(super) fn largest(outputs: &[f32]) -> usize {
    (1..outputs.len()).fold(0, |best, i| if outputs[i] > outputs[best] { i } else { best })
}

/// An output in its own unit, with the digits that it has and no more: those
/// of an f32 where that is fine enough. A large offset (a year in seconds)
/// needs more digits than an f32 has; then they end where the output's do.
fn number<'a>(target: &NumberTarget, output: f32) -> Field<'a> {
    let exact = target.decode(output);
    let narrow = exact as f32;
    let resolution = 1e-7 * target.scale.abs() * f64::from(output.abs().max(1.0));
    if !exact.is_finite() || (f64::from(narrow) - exact).abs() <= 10.0 * resolution {
        return Field::Number(narrow);
    }
    Field::Precise(exact, (-resolution.log10().floor()).clamp(0.0, 17.0) as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::labels::LabelKind;
    use crate::data::testing::{rendered, words};

    fn decoded(target: &Target, outputs: &[f32]) -> String {
        let decoder = Decoder::new(target, true);
        let (batch, mut out) = (Batch::of_row("new.csv", []), Vec::new());
        decoder.write_header(&mut out);
        decoder.write(&batch, &[0], outputs, &mut out);
        let text = String::from_utf8(out).unwrap();
        let line = text.lines().nth(1).unwrap();
        assert_eq!(decoder.predictions(outputs).join(","), line);
        text.trim_end().to_owned()
    }

    fn labels(names: &[&str]) -> Labels {
        Labels { kind: LabelKind::Text, names: names.iter().map(|n| (*n).to_owned()).collect() }
    }

    fn numbers(scalings: &[(f64, f64)]) -> Target {
        let columns = scalings.iter().enumerate().map(|(i, &(offset, scale))| NumberTarget {
            name: format!("y{i}"),
            offset,
            scale,
        });
        Target::Regression { columns: columns.collect() }
    }

    #[test]
    fn labels_and_probabilities() {
        let binary = Target::Binary { name: "y".into(), labels: labels(&["no", "yes"]) };
        let text = "prediction,probability_no,probability_yes\nyes,0.5,0.5";
        assert_eq!(decoded(&binary, &[0.5]), text);
        let classes = Target::Classes { name: "y".into(), labels: labels(&["a", "b", "c"]) };
        let text = "prediction,probability_a,probability_b,probability_c\nb,0.2,0.7,0.1";
        assert_eq!(decoded(&classes, &[0.2, 0.7, 0.1]), text);
        let columns = vec![("u".into(), labels(&["0", "1"])), ("v".into(), labels(&["f", "t"]))];
        let text = "prediction_u,prediction_v,probability_u,probability_v\n0,t,0.1,0.9";
        assert_eq!(decoded(&Target::MultiLabel { columns }, &[0.1, 0.9]), text);
    }

    #[test]
    fn columns_are_carried_along_as_they_are() {
        let header = words(&["id", "a, b", "prediction"]);
        let target = Target::Binary { name: "y".into(), labels: labels(&["no", "yes, \"so\""]) };
        let keep = |columns: &[&str]| {
            Decoder::new(&target, false).keep(&words(columns), &header, "new.csv")
        };
        let decoder = keep(&["a, b", "id"]).unwrap();
        let batch = Batch::of_row("new.csv", ["007", "x \"y\"\n", "z"]);
        let mut out = Vec::new();
        decoder.write_header(&mut out);
        decoder.write(&batch, &[0], &[0.9], &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a, b\",id,prediction\n\"x \"\"y\"\"\n\",007,\"yes, \"\"so\"\"\"\n"
        );
        insta::assert_snapshot!(rendered(&keep(&["idd", "prediction"]).unwrap_err()), @r#"
        error[E203]: the output is to keep `idd`, which the data do not have
        --> new.csv
         = note: the columns are `id`, `a, b`, `prediction`
         = help: did you mean `id`?

        error[E203]: the data have a column `prediction` already
        --> new.csv
         = help: name the columns to carry along with `--keep`, and leave this one out
        "#);
    }

    #[test]
    fn numbers_show_the_digits_they_have() {
        assert_eq!(decoded(&numbers(&[(0.0, 1.0)]), &[0.1]), "prediction\n0.1");
        let two = decoded(&numbers(&[(0.0, 1.0), (206_856.3, 115_396.7)]), &[1e-9, 1.0 / 3.0]);
        assert_eq!(two, "prediction_y0,prediction_y1\n0.000000001,245321.88");
        // f32 would round seconds since 1970 to a multiple of 128.
        let time = decoded(&numbers(&[(1.7e9, 1000.0)]), &[0.123_456_79]);
        assert_eq!(time, "prediction\n1700000123.4568");
        assert_eq!(decoded(&numbers(&[(1.0, 2.0)]), &[f32::NAN]), "prediction\nNaN");
    }
}
