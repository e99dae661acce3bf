//! `mlpc evaluate`: a model's metrics on a table with known targets.

use super::predict::schema;
use super::report::{self, Side};
use super::source::{self, ReadArgs};
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
    /// The rows with their targets, in files of any format; `-` or nothing: standard input
    data: Vec<PathBuf>,
    /// Print the metrics as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    machine: Machine,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let predictor = Predictor::load(&args.model, args.machine.plan_options()?)?;
    let schema = schema(&predictor, &args.model)?;
    let mut batches = source::batches(&args.data, &args.read)?;
    let name = batches.source().to_owned();
    let encoder = Encoder::new(schema, name.as_str(), batches.header())?;
    let encoder = encoder.on_bad_row(args.read.bad_row());
    let mut evaluator = Evaluator::new(&schema.target);
    let pool = args.machine.pool()?;
    let mut tally = Tally::default();
    pool.install(|| {
        batches.stream(
            |batch| {
                let encoded = encoder.encode_labelled(batch)?;
                let mut outputs = vec![0.0; encoded.rows.len() * predictor.outputs()];
                predictor.predict(encoded.features(), &mut outputs);
                Ok((encoded, outputs))
            },
            |(encoded, outputs)| {
                tally.add(&encoded.tally);
                evaluator.add(&outputs, &encoded.targets);
                Ok::<(), Failure>(())
            },
        )
    })?;
    let notes = batches.notes().into_iter().chain(encoder.notes(&tally));
    notes.for_each(|note| context.say(format!("note: {note}")));
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
