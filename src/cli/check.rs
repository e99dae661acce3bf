//! `mlpc check`: a model's text, against itself and a table; nothing is run.

use super::report;
use super::source::{self, ModelText, ReadArgs};
use super::{Context, Failure, Machine};
use mlpc::data::{Dataset, describe_table};
use mlpc::diag::{Diagnostics, Severity, Sources};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model's text
    model: PathBuf,
    /// A table to check it against: CSV and its like, Parquet or Arrow, several files, or `-`
    data: Vec<PathBuf>,
    /// Change the text, as in `train.epochs=5`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the result as JSON; errors as a list with their places
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    machine: Machine,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match (check(args, context), args.json) {
        (Ok(lines), true) => {
            report::print_json(&json!({ "ok": true, "errors": [], "model": lines.join("\n") }))?;
        }
        (Ok(lines), false) => {
            let mut out = io::stdout().lock();
            for line in lines {
                writeln!(out, "{line}")?;
            }
        }
        (Err(Failure::Errors(errors, sources)), true) => {
            report::print_json(&json!({ "ok": false, "errors": as_json(&errors, &sources) }))?;
            return Err(Failure::Reported);
        }
        (Err(failure), _) => return Err(failure),
    }
    Ok(())
}

/// The lines that describe a model without errors.
fn check(args: &Args, context: &Context) -> Result<Vec<String>, Failure> {
    let text = ModelText::read(&args.model, &args.set)?;
    let model = text.check()?;
    let mut lines = Vec::new();
    let network = match args.data.as_slice() {
        [] => model.network(None, None, &super::limits()).ok(),
        paths => {
            let pool = args.machine.pool()?;
            let table = source::table(paths, &args.read, &pool)?;
            let dataset = pool.install(|| Dataset::bind(&table, &model))?;
            context.say(format!("{}: {} rows", table.source, table.rows()));
            lines.extend(table.notes.iter().map(|note| format!("note: {note}")));
            lines.extend(describe_table(&table, &dataset.schema, &model.data));
            lines.extend(dataset.notes.iter().map(|note| format!("note: {note}")));
            lines.push(String::new());
            Some(text.network(&model, Some(&dataset))?)
        }
    };
    lines.extend(model.describe(network.as_ref()).lines().map(str::to_owned));
    model.chosen.iter().for_each(|line| context.say(format!("chosen: {line}")));
    Ok(lines)
}

/// Errors for an editor: lines and columns count from 1, columns in characters.
fn as_json(errors: &Diagnostics, sources: &Sources) -> Vec<Value> {
    errors
        .iter()
        .map(|d| {
            let place = d.labels.first().and_then(|(span, label)| {
                let source = sources.get(span.source)?;
                let before = source.text.get(..span.start)?;
                let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                Some(json!({
                    "file": source.name,
                    "line": before.matches('\n').count() + 1,
                    "column": before[line_start..].chars().count() + 1,
                    "start": span.start,
                    "end": span.end,
                    "label": label,
                }))
            });
            let file = d
                .file
                .as_ref()
                .map(|file| json!({ "file": file.path.display().to_string(), "line": file.line }));
            let severity = match d.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            json!({
                "code": d.code.to_string(),
                "severity": severity,
                "message": d.message,
                "place": place.or(file),
                "notes": d.notes,
                "help": d.help,
            })
        })
        .collect()
}
