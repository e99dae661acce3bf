//! What the figures are held against: `--assert` and `--baseline`.

use super::figures::{Figure, short};
use super::{Context, Failure, SCHEMA};
use mlpc::diag::{Code, Diagnostic, Diagnostics};
use serde_json::{Map, Value};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// An expression of `--assert`: a figure's name, a comparison and a number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assertion {
    text: String,
    name: String,
    comparison: Comparison,
    wanted: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// With the longer signs first.
    const ALL: [(&str, Comparison); 4] = [
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
        }
    }
}

impl Assertion {
    /// Parses all of them.
    ///
    /// # Errors
    /// All errors at once.
    pub(super) fn parse_all(texts: &[String]) -> Result<Vec<Self>, Diagnostics> {
        let (mut assertions, mut errors) = (Vec::new(), Vec::new());
        for text in texts {
            match Self::parse(text) {
                Some(assertion) => assertions.push(assertion),
                None => errors.push(
                    Diagnostic::error(Code::Usage, format!("--assert '{text}': not a comparison"))
                        .help("write a figure's name, one of < <= > >= and a number, as in `latency_us<1`"),
                ),
            }
        }
        Diagnostics::none_of(errors, || assertions)
    }

    fn parse(text: &str) -> Option<Self> {
        let at = text.find(['<', '>'])?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let (sign, comparison) =
            Comparison::ALL.into_iter().find(|(sign, _)| rest.starts_with(sign))?;
        let wanted: f64 = rest[sign.len()..].trim().parse().ok()?;
        (!name.is_empty() && !wanted.is_nan()).then(|| Assertion {
            text: text.to_owned(),
            name: name.to_owned(),
            comparison,
            wanted,
        })
    }

    /// That all of them name figures that there will be; called before
    /// anything is measured.
    ///
    /// # Errors
    /// The unknown names, with what they may have been meant to be.
    pub(super) fn check_names(assertions: &[Self], known: &[String]) -> Result<(), Diagnostics> {
        let unknown = assertions.iter().filter(|assertion| !known.contains(&assertion.name));
        let error = |assertion: &Assertion| {
            let what =
                format!("--assert '{}': unknown figure `{}`", assertion.text, assertion.name);
            Diagnostic::error(Code::Usage, what).help(match nearest(&assertion.name, known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => {
                    let shown: Vec<&str> = known.iter().take(8).map(String::as_str).collect();
                    let more = if known.len() > shown.len() { ", …" } else { "" };
                    format!("the figures are {}{more}", shown.join(", "))
                }
            })
        };
        Diagnostics::none_of(unknown.map(error).collect(), || ())
    }

    /// The figure that it is about.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What to say where it does not hold.
    pub(super) fn unmet(&self, figures: &[Figure]) -> Option<Diagnostic> {
        let figure = figures.iter().find(|figure| figure.name == self.name)?;
        if self.comparison.holds(figure.value, self.wanted) {
            return None;
        }
        let what = format!("`{}` does not hold: it is {}", self.text, short(figure.value));
        Some(Diagnostic::error(Code::Expectation, what))
    }
}

/// The known name that a word may be a misspelling of.
fn nearest<'k>(word: &str, known: &'k [String]) -> Option<&'k str> {
    let distance = |name: &String| strsim::osa_distance(word, name);
    let near = known.iter().min_by_key(|name| distance(name))?;
    (distance(near) <= (near.chars().count() / 3).max(1)).then_some(near)
}

/// How much slower than a baseline is no failure, as a factor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tolerance(f64);

impl FromStr for Tolerance {
    type Err = String;
    /// `10%`, or `0.1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
            None => text.parse(),
        };
        match share {
            Ok(share) if share >= 0.0 && share.is_finite() => Ok(Tolerance(share)),
            _ => Err("expected a share such as 10% or 0.1".to_owned()),
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", (self.0 * 1e4).round() / 100.0)
    }
}

/// An earlier result of `mlpc bench --json`.
#[derive(Debug)]
pub(super) struct Baseline {
    path: PathBuf,
    fields: Map<String, Value>,
}

impl Baseline {
    /// Reads one.
    ///
    /// # Errors
    /// Where the file is not one of this mode and a known version.
    pub(super) fn read(path: &Path, mode: &str) -> Result<Self, Failure> {
        let shown = path.display();
        let error = |what: String| {
            Diagnostic::error(Code::Usage, what).help("make one with `mlpc bench … --json > FILE`")
        };
        let text = std::fs::read_to_string(path)
            .map_err(|e| error(format!("cannot read the baseline `{shown}`: {e}")))?;
        let damaged =
            |why: String| error(format!("`{shown}` is no result of `mlpc bench --json`: {why}"));
        let fields = match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err(damaged("it is no JSON object".to_owned()).into()),
            Err(e) => return Err(damaged(e.to_string()).into()),
        };
        let baseline = Baseline { path: path.to_owned(), fields };
        match baseline.fields.get("schema").and_then(Value::as_u64) {
            Some(SCHEMA) => {}
            Some(other) => {
                let what = format!("`{shown}` has schema {other}; this program knows {SCHEMA}");
                return Err(error(what).into());
            }
            None => return Err(damaged("it has no `schema`".to_owned()).into()),
        }
        match baseline.fields.get("mode").and_then(Value::as_str) {
            Some(found) if found == mode => Ok(baseline),
            Some(found) => Err(Diagnostic::error(
                Code::Usage,
                format!(
                    "`{shown}` is a result of the mode {found}, this run is of the mode {mode}"
                ),
            )
            .help(if mode == "model" {
                "leave --kernels in, or take another baseline"
            } else {
                "leave --kernels out, or take another baseline"
            })
            .into()),
            None => Err(damaged("it has no `mode`".to_owned()).into()),
        }
    }

    /// That it was measured on the same work.
    ///
    /// # Errors
    /// The fields that differ.
    pub(super) fn check_same(&self, fields: &Map<String, Value>) -> Result<(), Diagnostics> {
        let shown = self.path.display();
        let differ = fields.iter().filter(|(key, value)| self.fields.get(*key) != Some(value));
        let error = |(key, value): (&String, &Value)| {
            let found = match self.fields.get(key) {
                Some(Value::String(text)) => format!("`{text}`"),
                Some(other) => other.to_string(),
                None => "missing".to_owned(),
            };
            let own = value.as_str().map_or(value.to_string(), |text| format!("`{text}`"));
            Diagnostic::error(
                Code::Usage,
                format!(
                    "`{shown}` was measured on other work: its {key} is {found}, here it is {own}"
                ),
            )
            .help("only the same model, batch, rows, instruction set and threads can be compared")
        };
        Diagnostics::none_of(differ.map(error).collect(), || ())
    }

    /// Says where the machine is another one.
    pub(super) fn warn(&self, cpu: &str, context: &Context) {
        let found = self.fields.get("cpu").and_then(Value::as_str).unwrap_or("an unknown CPU");
        if found != cpu {
            context.say(format!(
                "warning: `{}` was measured on {found}, this is {cpu}: differences may be the machine's",
                self.path.display()
            ));
        }
    }

    /// A figure of it.
    fn value(&self, name: &str) -> Option<f64> {
        if let Some(value) = self.fields.get(name) {
            return value.as_f64();
        }
        // Kernels: a list of rows, each with its figure's name.
        let rows = self.fields.get("rows")?.as_array()?;
        let row = rows.iter().find(|row| row["figure"] == name)?;
        row[row["unit"].as_str()?].as_f64()
    }

    /// Says what is faster, and returns what is slower than tolerated.
    pub(super) fn compare(
        &self,
        figures: &[Figure],
        tolerance: &Tolerance,
        context: &Context,
    ) -> Vec<Diagnostic> {
        let shown = self.path.display();
        let mut slower = Vec::new();
        let (mut compared, mut within) = (0, 0);
        for figure in figures {
            let Some(old) = self.value(&figure.name) else {
                if figure.slowdown(1.0).is_some() {
                    context.say(format!("new: {} is not in `{shown}`", figure.name));
                }
                continue;
            };
            let Some(slowdown) = figure.slowdown(old) else { continue };
            compared += 1;
            let values = format!("{} {} -> {}", figure.name, short(old), short(figure.value));
            if slowdown.is_nan() || slowdown > 1.0 + tolerance.0 {
                let percent = 100.0 * (slowdown - 1.0);
                slower.push(Diagnostic::error(
                    Code::Expectation,
                    format!(
                        "slower than `{shown}`: {values}, {percent:.1}% where {tolerance} is tolerated"
                    ),
                ));
            } else if slowdown < 1.0 / (1.0 + tolerance.0) {
                let percent = 100.0 * (1.0 / slowdown - 1.0);
                context.say(format!("faster: {values}, {percent:.1}%"));
            } else {
                within += 1;
            }
        }
        context.say(format!("{within} of {compared} figures are within {tolerance} of `{shown}`"));
        slower
    }
}

#[cfg(test)]
mod tests {
    use super::{Assertion, Baseline, Tolerance};
    use crate::cli::Context;
    use crate::cli::bench::figures::{Better, Figure};
    use serde_json::{Value, json};

    #[test]
    fn assertions_are_comparisons() {
        let figures = [Figure::new("latency_us", 0.5, Better::Less)];
        for (text, holds) in [
            ("latency_us<1", true),
            ("latency_us < 0.5", false),
            ("latency_us<=0.5", true),
            ("latency_us >= 5e-1", true),
            ("latency_us>0.5", false),
        ] {
            let assertion = Assertion::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(assertion.unmet(&figures).is_none(), holds, "{text}");
        }
        for text in ["latency_us", "<1", "latency_us<", "latency_us<one", "latency_us=1", "a<nan"] {
            assert_eq!(Assertion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn tolerances_are_shares() {
        assert_eq!("10%".parse(), Ok(Tolerance(0.1)));
        assert_eq!("0.25".parse(), Ok(Tolerance(0.25)));
        assert_eq!(
            (Tolerance(0.1).to_string(), Tolerance(0.025).to_string()),
            ("10%".into(), "2.5%".into())
        );
        assert!("-1%".parse::<Tolerance>().is_err() && "ten".parse::<Tolerance>().is_err());
    }

    #[test]
    fn only_what_is_slower_than_tolerated_fails() {
        let Value::Object(fields) = json!({
            "train_us": 10.0,
            "rows_per_s": 100.0,
            "peak_gflops": 50.0,
            "rows": [{ "figure": "tanh.avx2.ns", "unit": "ns", "ns": 0.5 }],
        }) else {
            panic!("an object")
        };
        let baseline = Baseline { path: "old.json".into(), fields };
        let context = Context { quiet: true };
        let slower = |name: &str, value: f64, better: Better| {
            let figures = [Figure::new(name, value, better)];
            baseline.compare(&figures, &Tolerance(0.1), &context).len()
        };
        assert_eq!(slower("train_us", 10.9, Better::Less), 0);
        assert_eq!(slower("train_us", 11.1, Better::Less), 1);
        assert_eq!(slower("train_us", 1.0, Better::Less), 0);
        assert_eq!(slower("train_us", f64::NAN, Better::Less), 1);
        assert_eq!(slower("rows_per_s", 89.0, Better::More), 1);
        assert_eq!(slower("rows_per_s", 92.0, Better::More), 0);
        assert_eq!(slower("peak_gflops", 1.0, Better::Neither), 0);
        assert_eq!(slower("tanh.avx2.ns", 0.6, Better::Less), 1);
        assert_eq!(slower("tanh.avx2.ns", 0.5, Better::Less), 0);
        assert_eq!(slower("mish.avx2.ns", 9.9, Better::Less), 0, "new figures have no baseline");
    }
}
