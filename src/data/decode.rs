//! Outputs to predictions in the target's own names and units.

use super::labels::Labels;
use super::schema::{NumberTarget, Target};
use csv::StringRecord;

/// Writes the outputs of rows as records of a table.
#[derive(Debug, Clone)]
pub struct Decoder<'t> {
    target: &'t Target,
    probabilities: bool,
}

impl<'t> Decoder<'t> {
    /// For this target; with a column of probabilities for every label of a
    /// classification, where asked for.
    pub fn new(target: &'t Target, probabilities: bool) -> Self {
        Decoder { target, probabilities }
    }

    /// The names of the columns: `prediction`, or `prediction_NAME` for each
    /// of several targets, then `probability_LABEL`.
    pub fn header(&self) -> StringRecord {
        let mut header = StringRecord::new();
        match self.target.names().as_slice() {
            [_] => header.push_field("prediction"),
            names => names.iter().for_each(|name| header.push_field(&format!("prediction_{name}"))),
        }
        if self.probabilities {
            match self.target {
                Target::Regression { .. } => {}
                Target::Binary { labels, .. } | Target::Classes { labels, .. } => {
                    for label in &labels.names {
                        header.push_field(&format!("probability_{label}"));
                    }
                }
                Target::MultiLabel { columns } => {
                    for (name, _) in columns {
                        header.push_field(&format!("probability_{name}"));
                    }
                }
            }
        }
        header
    }

    /// Fills `record` with the columns of [`Decoder::header`] for the outputs
    /// of one row.
    pub fn record(&self, outputs: &[f32], record: &mut StringRecord) {
        record.clear();
        match self.target {
            Target::Regression { columns } => {
                for (column, &output) in columns.iter().zip(outputs) {
                    record.push_field(&number(column, output));
                }
            }
            Target::Binary { labels, .. } => {
                let yes = outputs[0];
                record.push_field(at_threshold(labels, yes));
                if self.probabilities {
                    record.push_field(&(1.0 - yes).to_string());
                    record.push_field(&yes.to_string());
                }
            }
            Target::Classes { labels, .. } => {
                record.push_field(&labels.names[largest(outputs)]);
                if self.probabilities {
                    outputs.iter().for_each(|p| record.push_field(&p.to_string()));
                }
            }
            Target::MultiLabel { columns } => {
                for ((_, labels), &yes) in columns.iter().zip(outputs) {
                    record.push_field(at_threshold(labels, yes));
                }
                if self.probabilities {
                    outputs.iter().for_each(|p| record.push_field(&p.to_string()));
                }
            }
        }
    }
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
fn number(target: &NumberTarget, output: f32) -> String {
    let exact = target.decode(output);
    let narrow = exact as f32;
    let resolution = 1e-7 * target.scale.abs() * f64::from(output.abs().max(1.0));
    if !exact.is_finite() || (f64::from(narrow) - exact).abs() <= 10.0 * resolution {
        return narrow.to_string();
    }
    let decimals = (-resolution.log10().floor()).clamp(0.0, 17.0) as usize;
    let text = format!("{exact:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::labels::LabelKind;

    fn decoded(target: &Target, outputs: &[f32]) -> String {
        let decoder = Decoder::new(target, true);
        let mut record = StringRecord::new();
        decoder.record(outputs, &mut record);
        let join = |record: &StringRecord| record.iter().collect::<Vec<_>>().join(",");
        format!("{}\n{}", join(&decoder.header()), join(&record))
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
