//! `mlpc evaluate`: a model's metrics on a table with known targets.

use super::predict::{BLOCK, schema, source};
use super::report::{self, Side};
use super::{Context, Failure, Machine};
use mlpc::Predictor;
use mlpc::data::{Encoder, Evaluator, Tally};
use mlpc::diag::{Code, Diagnostic};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model that `mlpc run` has saved
    model: PathBuf,
    /// The rows with their targets, a CSV file with a header; `-` or nothing: standard input
    data: Option<PathBuf>,
    /// Print the metrics as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: Machine,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let predictor = Predictor::load(&args.model, args.machine.plan_options()?)?;
    let schema = schema(&predictor, &args.model)?;
    let mut rows = source(args.data.as_deref())?;
    let name = rows.source().to_owned();
    let encoder = Encoder::new(schema, name.as_str(), rows.header())?;
    let mut evaluator = Evaluator::new(&schema.target);
    let pool = args.machine.pool()?;
    let mut tally = Tally::default();
    let mut outputs = Vec::new();
    while let Some(batch) = rows.next_batch(BLOCK)? {
        let encoded = encoder.encode_labelled(&batch)?;
        tally.add(&encoded.tally);
        outputs.resize(encoded.rows.len() * predictor.outputs(), 0.0);
        pool.install(|| predictor.predict_parallel(&encoded.features, &mut outputs));
        evaluator.add(&outputs, &encoded.targets);
    }
    encoder.notes(&tally).iter().for_each(|note| context.say(format!("note: {note}")));
    if evaluator.rows() == 0 {
        let error = Diagnostic::error(Code::DataFormat, format!("`{name}` has no rows to measure"));
        return Err(error.help("every row needs a target").into());
    }
    let metrics = evaluator.finish();
    if args.json {
        report::print_json(&json!({ "rows": evaluator.rows(), "metrics": metrics }))?;
    } else {
        context.say(format!("{name}: {} rows", evaluator.rows()));
        report::print_metrics(&[Side { name: "value", metrics }])?;
    }
    Ok(())
}
