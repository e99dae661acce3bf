//! `mlpc predict`: raw rows in, predictions as CSV out, block by block.

use super::{Context, Failure, Machine};
use mlpc::Predictor;
use mlpc::data::{Decoder, Encoder, Rows, Schema, Tally, open};
use mlpc::diag::{Code, Diagnostic, Diagnostics};
use mlpc::file::write_atomically;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model that `mlpc run` has saved
    model: PathBuf,
    /// The rows, a CSV file with a header; the target may be absent. `-` or nothing: standard input
    data: Option<PathBuf>,
    /// Where the predictions go [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Add a column for the probability of every class
    #[arg(long)]
    probabilities: bool,
    #[command(flatten)]
    machine: Machine,
}

/// Rows of a block: enough for the fastest kernels, few enough to stream.
pub(super) const BLOCK: usize = 4096;

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let predictor = Predictor::load(&args.model, args.machine.plan_options()?)?;
    let schema = schema(&predictor, &args.model)?;
    let pool = args.machine.pool()?;
    let work = Work { predictor: &predictor, schema, probabilities: args.probabilities };
    let notes = pool.install(|| -> Result<Vec<String>, Failure> {
        let rows = source(args.data.as_deref())?;
        let Some(output) = &args.output else {
            return work.stream(rows, BufWriter::new(io::stdout().lock()));
        };
        // An error in the data is carried past the writer, which knows only
        // errors of writing.
        let mut failed = None;
        let mut notes = Vec::new();
        let written = write_atomically(output, |out| match work.stream(rows, out) {
            Ok(all) => {
                notes = all;
                Ok(())
            }
            Err(failure) => {
                failed = Some(failure);
                Err(io::Error::other("the data has an error"))
            }
        });
        match failed {
            Some(failure) => Err(failure),
            None => written.map(|()| notes).map_err(Failure::from),
        }
    })?;
    notes.iter().for_each(|note| context.say(format!("note: {note}")));
    Ok(())
}

/// The schema, which a model that was trained on a table has.
pub(super) fn schema<'p>(predictor: &'p Predictor, path: &Path) -> Result<&'p Schema, Failure> {
    predictor.schema().ok_or_else(|| {
        let what = format!("`{}` does not say how rows become inputs", path.display());
        Diagnostic::error(Code::ModelFile, what)
            .help("train it with `mlpc run`, which keeps the columns in the file")
            .into()
    })
}

/// The rows of a file or of standard input.
pub(super) fn source(path: Option<&Path>) -> Result<Rows<Box<dyn Read + Send>>, Diagnostics> {
    match path {
        Some(path) if path.as_os_str() != "-" => {
            let file: Box<dyn Read + Send> = Box::new(open(path)?);
            Rows::new(file, path.display().to_string())
        }
        _ => Rows::new(Box::new(io::stdin()), "standard input"),
    }
}

struct Work<'a> {
    predictor: &'a Predictor,
    schema: &'a Schema,
    probabilities: bool,
}

impl Work<'_> {
    /// Reads, predicts and writes block by block, in order.
    fn stream(
        &self,
        mut rows: Rows<Box<dyn Read + Send>>,
        out: impl Write,
    ) -> Result<Vec<String>, Failure> {
        let encoder = Encoder::new(self.schema, rows.source().to_owned(), rows.header())?;
        let decoder = Decoder::new(&self.schema.target, self.probabilities);
        let mut writer = csv::Writer::from_writer(out);
        let mut record = decoder.header();
        writer.write_record(&record).map_err(unwritten)?;
        let mut tally = Tally::default();
        let mut outputs = Vec::new();
        while let Some(batch) = rows.next_batch(BLOCK)? {
            let encoded = encoder.encode(&batch)?;
            tally.add(&encoded.tally);
            outputs.resize(encoded.rows.len() * self.predictor.outputs(), 0.0);
            self.predictor.predict_parallel(&encoded.features, &mut outputs);
            for outputs in outputs.chunks_exact(self.predictor.outputs()) {
                decoder.record(outputs, &mut record);
                writer.write_record(&record).map_err(unwritten)?;
            }
            writer.flush()?;
        }
        writer.flush()?;
        Ok(encoder.notes(&tally))
    }
}

/// An error of the CSV writer is one of writing: records are of one length.
fn unwritten(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => io::Error::other(format!("{other:?}")).into(),
    }
}
