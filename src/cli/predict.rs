//! `mlpc predict`: raw rows in, predictions as CSV out, block by block.

use super::source::{self, ReadArgs};
use super::{Context, Failure, Machine};
use mlpc::Predictor;
use mlpc::data::{Batches, Decoder, Encoder, Schema, Tally};
use mlpc::diag::{Code, Diagnostic, Diagnostics};
use mlpc::file::write_atomically;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model that `mlpc run` has saved
    model: PathBuf,
    /// The rows, in files of any format; the target may be absent. `-` or nothing: standard input
    data: Vec<PathBuf>,
    /// Where the predictions go [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Add a column for the probability of every class
    #[arg(long)]
    probabilities: bool,
    /// Carry these columns of the data along, before the predictions
    #[arg(long, value_name = "COLUMNS")]
    keep: Vec<String>,
    /// Carry all columns of the data along
    #[arg(long, conflicts_with = "keep")]
    append: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    machine: Machine,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let predictor = Predictor::load(&args.model, args.machine.plan_options()?)?;
    let schema = schema(&predictor, &args.model)?;
    let pool = args.machine.pool()?;
    let work = Work { predictor: &predictor, schema, args };
    let notes = pool.install(|| -> Result<Vec<String>, Failure> {
        let rows = source::batches(&args.data, &args.read)?;
        let Some(output) = &args.output else {
            return Ok(work.stream(rows, io::stdout())?);
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
            Err(Stopped::Writing(error)) => Err(error),
            Err(Stopped::Reading(errors)) => {
                failed = Some(Failure::from(errors));
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

/// What ends a stream early.
enum Stopped {
    Reading(Diagnostics),
    Writing(io::Error),
}

impl From<Diagnostics> for Stopped {
    fn from(errors: Diagnostics) -> Self {
        Stopped::Reading(errors)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Stopped::Writing(error)
    }
}

impl From<Stopped> for Failure {
    /// Where the stream goes to standard output.
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Reading(errors) => errors.into(),
            Stopped::Writing(error) => error.into(),
        }
    }
}

struct Work<'a> {
    predictor: &'a Predictor,
    schema: &'a Schema,
    args: &'a Args,
}

impl Work<'_> {
    /// Reads, predicts and writes batch by batch, in order; returns what the
    /// user should know.
    fn stream(
        &self,
        mut batches: Batches,
        mut out: impl Write + Send,
    ) -> Result<Vec<String>, Stopped> {
        let encoder = Encoder::new(self.schema, batches.source(), batches.header())?;
        let encoder = encoder.on_bad_row(self.args.read.bad_row());
        let header = batches.header();
        let kept = match self.args.append {
            true => header.to_vec(),
            false => super::column_names(&self.args.keep, header.iter().map(String::as_str)),
        };
        let decoder = Decoder::new(&self.schema.target, self.args.probabilities);
        let decoder = decoder.keep(&kept, header, batches.source())?;
        let mut header = Vec::new();
        decoder.write_header(&mut header);
        out.write_all(&header)?;
        let mut tally = Tally::default();
        batches.stream(
            |batch| {
                let encoded = encoder.encode(batch)?;
                let mut outputs = vec![0.0; encoded.rows.len() * self.predictor.outputs()];
                self.predictor.predict(encoded.features(), &mut outputs);
                let mut text = Vec::new();
                decoder.write(batch, &encoded.rows, &outputs, &mut text);
                Ok::<_, Stopped>((encoded.tally, text))
            },
            |(part, text)| {
                tally.add(&part);
                Ok(out.write_all(&text)?)
            },
        )?;
        out.flush()?;
        Ok(batches.notes().into_iter().chain(encoder.notes(&tally)).collect())
    }
}
