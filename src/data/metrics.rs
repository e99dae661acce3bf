//! How good predictions are, in the target's own unit.
//!
//! Definitions are scikit-learn's. Everything is summed in f64, block by
//! block; only the area under the ROC curve keeps a score a row.

use super::bind::Targets;
use super::decode::largest;
use super::schema::Target;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Metrics by name, in a fixed order; a metric that the rows do not define
/// (R² of a constant target, the AUC of one class) is not there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// The value of a metric.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Appends a metric where it is a finite number.
    fn push(&mut self, name: impl Into<String>, value: f64) {
        if value.is_finite() {
            self.0.push((name.into(), value));
        }
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Metrics;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map of names to numbers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metrics, A::Error> {
                let mut metrics = Metrics::default();
                while let Some(entry) = map.next_entry()? {
                    metrics.0.push(entry);
                }
                Ok(metrics)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Collects outputs and targets, block by block.
#[derive(Debug, Clone)]
pub struct Evaluator<'t> {
    target: &'t Target,
    rows: u64,
    /// Rows (multi-label: cells) that are predicted right.
    right: u64,
    /// −Σ ln p of what was true.
    log_loss: f64,
    /// Binary: the second label's probability and whether it is true.
    scores: Vec<(f32, bool)>,
    /// Regression: an entry a column.
    errors: Vec<Errors>,
}

/// Sums over a regression's column.
#[derive(Debug, Clone, Default)]
struct Errors {
    square: f64,
    absolute: f64,
    /// Welford's running mean and sum of squares around it.
    mean: f64,
    spread: f64,
}

/// The smallest probability that log loss knows: ln 0 is not a number.
const SMALLEST: f64 = 1e-15;

impl<'t> Evaluator<'t> {
    /// For predictions of this target.
    pub fn new(target: &'t Target) -> Self {
        let errors = match target {
            Target::Regression { columns } => vec![Errors::default(); columns.len()],
            _ => Vec::new(),
        };
        Evaluator { target, rows: 0, right: 0, log_loss: 0.0, scores: Vec::new(), errors }
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds a block: outputs `[rows, outputs]` as the network gives them, and
    /// targets as a [`Dataset`](super::Dataset) or an
    /// [`Encoder`](super::Encoder) gives them. Panics where their lengths or
    /// their kinds do not agree.
    pub fn add(&mut self, outputs: &[f32], targets: &Targets) {
        match targets {
            Targets::Values(values) => self.add_values(outputs, values),
            Targets::Classes(classes) => self.add_classes(outputs, classes),
        }
    }

    /// Adds a block whose targets are numbers or probabilities.
    pub fn add_values(&mut self, outputs: &[f32], values: &[f32]) {
        assert_eq!(outputs.len(), values.len(), "outputs and targets of different lengths");
        let width = self.target.outputs();
        for (outputs, values) in outputs.chunks_exact(width).zip(values.chunks_exact(width)) {
            self.rows += 1;
            match self.target {
                Target::Regression { columns } => {
                    for (i, column) in columns.iter().enumerate() {
                        let truth = column.decode(values[i]);
                        self.errors[i].add(column.decode(outputs[i]), truth, self.rows);
                    }
                }
                Target::Binary { .. } => {
                    let truth = values[0] >= 0.5;
                    self.add_probability(outputs[0], truth);
                    self.scores.push((outputs[0], truth));
                }
                Target::MultiLabel { .. } => {
                    for (&output, &value) in outputs.iter().zip(values) {
                        self.add_probability(output, value >= 0.5);
                    }
                }
                Target::Classes { .. } => panic!("the targets of classes are class indices"),
            }
        }
    }

    /// Adds a block whose targets are class indices.
    pub fn add_classes(&mut self, outputs: &[f32], classes: &[u32]) {
        let width = self.target.outputs();
        assert_eq!(outputs.len(), classes.len() * width, "outputs and targets do not agree");
        for (outputs, &class) in outputs.chunks_exact(width).zip(classes) {
            self.rows += 1;
            self.right += u64::from(largest(outputs) == class as usize);
            self.log_loss -= f64::from(outputs[class as usize]).clamp(SMALLEST, 1.0).ln();
        }
    }

    fn add_probability(&mut self, yes: f32, truth: bool) {
        self.right += u64::from((yes >= 0.5) == truth);
        let yes = f64::from(yes);
        let p = if truth { yes } else { 1.0 - yes };
        self.log_loss -= p.clamp(SMALLEST, 1.0).ln();
    }

    /// The metrics of all rows so far.
    pub fn finish(&self) -> Metrics {
        let mut metrics = Metrics::default();
        let rows = self.rows as f64;
        match self.target {
            Target::Classes { .. } => {
                metrics.push("accuracy", self.right as f64 / rows);
                metrics.push("log_loss", self.log_loss / rows);
            }
            Target::Binary { .. } => {
                metrics.push("accuracy", self.right as f64 / rows);
                metrics.push("log_loss", self.log_loss / rows);
                metrics.push("balanced_accuracy", balanced_accuracy(&self.scores));
                metrics.push("auc", auc(&self.scores));
            }
            Target::MultiLabel { columns } => {
                let cells = rows * columns.len() as f64;
                metrics.push("accuracy", self.right as f64 / cells);
                metrics.push("log_loss", self.log_loss / cells);
            }
            Target::Regression { columns } => {
                let all: Vec<[f64; 3]> = self.errors.iter().map(|e| e.metrics(rows)).collect();
                let names = ["rmse", "mae", "r2"];
                for (i, name) in names.into_iter().enumerate() {
                    metrics.push(name, all.iter().map(|m| m[i]).sum::<f64>() / all.len() as f64);
                }
                if columns.len() > 1 {
                    for (column, values) in columns.iter().zip(all) {
                        for (name, value) in names.into_iter().zip(values) {
                            metrics.push(format!("{name}_{}", column.name), value);
                        }
                    }
                }
            }
        }
        metrics
    }
}

impl Errors {
    fn add(&mut self, prediction: f64, truth: f64, row: u64) {
        let error = prediction - truth;
        self.square += error * error;
        self.absolute += error.abs();
        let before = truth - self.mean;
        self.mean += before / row as f64;
        self.spread += before * (truth - self.mean);
    }

    /// RMSE, MAE and R².
    fn metrics(&self, rows: f64) -> [f64; 3] {
        // No spread: R² is undefined (NaN), not −∞.
        let r2 = if self.spread > 0.0 { 1.0 - self.square / self.spread } else { f64::NAN };
        [(self.square / rows).sqrt(), self.absolute / rows, r2]
    }
}

/// The mean of the shares of each label that are found; NaN where one is absent.
fn balanced_accuracy(scores: &[(f32, bool)]) -> f64 {
    let share = |label: bool| {
        let of_label = scores.iter().filter(|(_, truth)| *truth == label);
        let right = of_label.clone().filter(|(yes, _)| (*yes >= 0.5) == label).count();
        right as f64 / of_label.count() as f64
    };
    (share(true) + share(false)) / 2.0
}

/// The probability that a "yes" row has a higher score than a "no" row, ties
/// counted half; NaN where one label is absent.
fn auc(scores: &[(f32, bool)]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins) = (0u64, 0f64);
    for equals in sorted.chunk_by(|a, b| a.0 == b.0) {
        let yes = equals.iter().filter(|(_, truth)| *truth).count() as u64;
        let no = equals.len() as u64 - yes;
        wins += yes as f64 * (below as f64 + no as f64 / 2.0);
        below += no;
    }
    let yes = sorted.len() as u64 - below;
    wins / (yes as f64 * below as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::labels::{LabelKind, Labels};
    use crate::data::schema::NumberTarget;

    fn labels(n: usize) -> Labels {
        Labels { kind: LabelKind::Number, names: (0..n).map(|i| i.to_string()).collect() }
    }

    #[track_caller]
    fn check(metrics: &Metrics, expected: &[(&str, f64)]) {
        let names: Vec<&str> = metrics.iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for ((name, value), (_, expected)) in metrics.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{name}: {value}, expected {expected}");
        }
    }

    // The numbers below are scikit-learn 1.9.1's, for the same arrays:
    // accuracy_score, log_loss, balanced_accuracy_score, roc_auc_score,
    // root_mean_squared_error, mean_absolute_error and r2_score.

    #[test]
    fn binary() {
        let target = Target::Binary { name: "y".into(), labels: labels(2) };
        let mut evaluator = Evaluator::new(&target);
        // Blocks of any size give the same sums.
        evaluator.add_values(&[0.1, 0.4, 0.35], &[0.0, 0.0, 1.0]);
        evaluator.add_values(&[0.8, 0.35, 0.9, 0.5, 0.05], &[1.0, 0.0, 1.0, 0.0, 1.0]);
        check(
            &evaluator.finish(),
            &[
                ("accuracy", 0.625),
                ("log_loss", 0.764_271_837_637_615_2),
                ("balanced_accuracy", 0.625),
                ("auc", 0.593_75),
            ],
        );
        let mut one_sided = Evaluator::new(&target);
        one_sided.add_values(&[0.0, 1.0], &[1.0, 1.0]);
        // −ln 1e−15 / 2; no AUC and no balanced accuracy of one class.
        check(&one_sided.finish(), &[("accuracy", 0.5), ("log_loss", 17.269_388_197_455_34)]);
    }

    #[test]
    fn classes() {
        let target = Target::Classes { name: "y".into(), labels: labels(3) };
        let mut evaluator = Evaluator::new(&target);
        let outputs = [0.2, 0.7, 0.1, 0.6, 0.3, 0.1, 0.1, 0.1, 0.8, 0.3, 0.3, 0.4];
        evaluator.add(&outputs, &Targets::Classes(vec![1, 1, 2, 0]));
        check(&evaluator.finish(), &[("accuracy", 0.5), ("log_loss", 0.746_941_025_976_203_6)]);
    }

    #[test]
    fn regression_in_its_own_unit() {
        let columns = [("a", 0.0, 1.0), ("b", 20.0, 10.0)];
        let columns =
            columns.map(|(name, offset, scale)| NumberTarget { name: name.into(), offset, scale });
        let target = Target::Regression { columns: columns.to_vec() };
        let scaled = |rows: [[f64; 2]; 4]| {
            rows.iter().flat_map(|r| [columns[0].encode(r[0]), columns[1].encode(r[1])]).collect()
        };
        let truth: Vec<f32> = scaled([[3.0, 10.0], [-0.5, 20.0], [2.0, 30.0], [7.0, 45.0]]);
        let outputs: Vec<f32> = scaled([[2.5, 12.0], [0.0, 18.0], [2.0, 33.0], [8.0, 41.0]]);
        let mut evaluator = Evaluator::new(&target);
        evaluator.add(&outputs, &Targets::Values(truth));
        check(
            &evaluator.finish(),
            &[
                ("rmse", 1.742_326_879_482_404_5),
                ("mae", 1.625),
                ("r2", 0.949_631_171_326_222_2),
                ("rmse_a", 0.612_372_44),
                ("mae_a", 0.5),
                ("r2_a", 0.948_608_14),
                ("rmse_b", 2.872_281_32),
                ("mae_b", 2.75),
                ("r2_b", 0.950_654_21),
            ],
        );
    }

    #[test]
    fn multi_label() {
        let columns = vec![("u".into(), labels(2)), ("v".into(), labels(2))];
        let target = Target::MultiLabel { columns };
        let mut evaluator = Evaluator::new(&target);
        evaluator.add_values(&[0.9, 0.2, 0.4, 0.6, 0.7, 0.7], &[1.0, 0.0, 1.0, 1.0, 0.0, 1.0]);
        check(
            &evaluator.finish(),
            &[("accuracy", 0.666_666_666_666_666_6), ("log_loss", 0.552_711_361_812_808_3)],
        );
    }

    #[test]
    fn nothing_has_no_metrics_and_json_keeps_the_order() {
        let target = Target::Classes { name: "y".into(), labels: labels(2) };
        assert_eq!(Evaluator::new(&target).finish(), Metrics::default());
        let mut metrics = Metrics::default();
        metrics.push("z", 0.1);
        metrics.push("a", 1.0);
        metrics.push("undefined", f64::NAN);
        let json = serde_json::to_string(&metrics).unwrap();
        assert_eq!(json, r#"{"z":0.1,"a":1.0}"#);
        assert_eq!(serde_json::from_str::<Metrics>(&json).unwrap(), metrics);
    }
}
