//! `mlpc predict`: raw rows in, predictions as CSV out, block by block.

use super::source::{self, ReadArgs};
use super::{Context, Failure, Machine};
use mlpc::Predictor;
use mlpc::data::{Batch, Batches, Decoder, Encoder, Piece, Schema, Tally};
use mlpc::diag::{Code, Diagnostic, Diagnostics};
use mlpc::file::write_atomically;
use rayon::prelude::*;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

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
        stream(
            &mut batches,
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

/// Runs `work` on every batch, on the threads of the current pool, and `done`
/// on the results, in the order of the rows, on a thread of its own: writing
/// waits for nobody, and nobody for it. Memory stays constant.
pub(super) fn stream<T: Send, E: From<Diagnostics> + Send>(
    batches: &mut Batches,
    work: impl Fn(&Batch) -> Result<T, E> + Sync,
    mut done: impl FnMut(T) -> Result<(), E> + Send,
) -> Result<(), E> {
    let most = 4 * rayon::current_num_threads();
    let one = |piece: Piece| -> Result<(u64, T), E> {
        let scanned = piece.scan();
        let bad_rows = scanned.bad_rows;
        let batch = scanned.into_batch()?;
        Ok((bad_rows, work(&batch)?))
    };
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<Vec<T>>(1);
        let last = scope.spawn(move || receiver.into_iter().flatten().try_for_each(&mut done));
        let read = loop {
            let pieces = match batches.next_pieces(most) {
                Ok(pieces) if pieces.is_empty() => break Ok(()),
                Ok(pieces) => pieces,
                Err(errors) => break Err(errors.into()),
            };
            let results: Vec<Result<(u64, T), E>> = pieces.into_par_iter().map(one).collect();
            // What comes before an error is still done.
            let mut good = Vec::with_capacity(results.len());
            let mut failed = None;
            for result in results {
                match result {
                    Ok((bad_rows, result)) => {
                        batches.count_bad_rows(bad_rows);
                        good.push(result);
                    }
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            // A receiver that is gone has an error to tell.
            let gone = sender.send(good).is_err();
            if let Some(error) = failed {
                break Err(error);
            }
            if gone {
                break Ok(());
            }
        };
        drop(sender);
        match last.join() {
            // An error of writing came first.
            Ok(written) => written.and(read),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
