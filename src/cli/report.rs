//! Reports on stdout, for people and as JSON for programs.

use mlpc::data::Metrics;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// The metrics of some rows.
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) metrics: Metrics,
}

/// What `mlpc run` reports.
pub(super) struct Run<'a> {
    pub(super) epochs: usize,
    /// The epoch whose parameters were kept, where `patience` chose it.
    pub(super) best: Option<usize>,
    pub(super) loss: Option<f64>,
    pub(super) validation_loss: Option<f64>,
    pub(super) parameters: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) seconds: f64,
    pub(super) rows_per_second: f64,
    pub(super) model: String,
    pub(super) sides: &'a [Side],
}

impl Run<'_> {
    /// The metrics of every side, as the model file keeps them.
    pub(super) fn metrics(&self) -> Value {
        let side = |side: &Side| (side.name.to_owned(), json!(side.metrics));
        Value::Object(self.sides.iter().map(side).collect::<Map<_, _>>())
    }

    pub(super) fn print_json(&self) -> io::Result<()> {
        print_json(&json!({
            "model": self.model,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "parameters": self.parameters,
            "epochs": self.epochs,
            "best_epoch": self.best,
            "loss": self.loss,
            "validation_loss": self.validation_loss,
            "seconds": self.seconds,
            "rows_per_second": self.rows_per_second,
            "metrics": self.metrics(),
        }))
    }

    pub(super) fn print(&self) -> io::Result<()> {
        print_metrics(self.sides)?;
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "trained {} epoch{} in {}, {} rows per second",
            self.epochs,
            if self.epochs == 1 { "" } else { "s" },
            duration(self.seconds),
            grouped(self.rows_per_second)
        )?;
        if let Some(best) = self.best {
            writeln!(out, "kept epoch {best}, which had the lowest validation loss")?;
        }
        writeln!(out, "saved {}", self.model)
    }
}

/// A table: a line a metric, a column a side.
pub(super) fn print_metrics(sides: &[Side]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let names: Vec<&str> = sides.iter().flat_map(|s| s.metrics.iter().map(|(n, _)| n)).fold(
        Vec::new(),
        |mut names, name| {
            if !names.contains(&name) {
                names.push(name);
            }
            names
        },
    );
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    write!(out, "{:width$}", "")?;
    for side in sides {
        write!(out, "  {:>12}", side.name)?;
    }
    writeln!(out)?;
    for name in names {
        write!(out, "{name:width$}")?;
        for side in sides {
            let value = side.metrics.get(name).map_or("-".to_owned(), number);
            write!(out, "  {value:>12}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

pub(super) fn print_json(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

/// Five digits that say something.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        x if x >= 10_000.0 => grouped(value),
        x if x < 0.001 => format!("{value:.4e}"),
        x => format!("{value:.*}", (4 - x.log10().floor() as i32).clamp(0, 7) as usize),
    }
}

/// A whole number with its thousands apart.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.1} ms", s * 1000.0),
        s if s < 120.0 => format!("{s:.2} s"),
        s => format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{grouped, number};

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(0.97333), "0.97333");
        assert_eq!(number(0.0812), "0.081200");
        assert_eq!(number(53671.4), "53,671");
        assert_eq!(number(-1.1137), "-1.1137");
        assert_eq!(number(0.000012), "1.2000e-5");
        assert_eq!(number(330.8), "330.80");
        assert_eq!(grouped(1234567.0), "1,234,567");
        assert_eq!(grouped(-123.0), "-123");
    }
}
