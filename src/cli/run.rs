//! `mlpc run`: train a model on a table, report and save it.

use super::report::{self, Side};
use super::source::{self, ModelText, ReadArgs};
use super::{Context, Failure, Machine};
use indicatif::{ProgressBar, ProgressStyle};
use mlpc::check::model::{Network, Train};
use mlpc::data::{Dataset, Encoded, Encoder, Evaluator, Metrics, Tally, Targets};
use mlpc::diag::{Code, Diagnostic};
use mlpc::exec::{self, Batch, Predict};
use mlpc::file::{self, StoredModel, StoredTensor, golden};
use mlpc::inputs::Features;
use mlpc::plan::Plan;
use mlpc::train::{Epoch, Progress, Table, Trainer, initial_parameters};
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model's text
    model: PathBuf,
    /// The table to train on: CSV and its like, Parquet or Arrow, several files, or `-`
    #[arg(required = true)]
    data: Vec<PathBuf>,
    /// Where the trained model goes [default: MODEL with the ending .safetensors]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Validate on the rows of this file, in place of `train validation=`
    #[arg(long, value_name = "FILE")]
    validation: Option<PathBuf>,
    /// Report the metrics of this file's rows as well
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// Start from the parameters in this safetensors file
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Change the text, as in `train.epochs=5` or `sgd=0.1`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    machine: Machine,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let options = args.machine.plan_options()?;
    let text = ModelText::read(&args.model, &args.set)?;
    let mut model = text.check()?;
    if args.validation.is_some() && model.train.validation > 0.0 {
        let share = std::mem::take(&mut model.train.validation);
        context.say(format!("note: `--validation` takes the place of `validation={share}`"));
    }
    let output = args.output.clone().unwrap_or_else(|| args.model.with_extension("safetensors"));
    let pool = args.machine.pool()?;
    let table = source::table(&args.data, &args.read, &pool)?;
    let dataset = pool.install(|| Dataset::bind(&table, &model))?;
    let part =
        |file: &Option<PathBuf>, rows| Part::of(file.as_deref(), &dataset, rows, &args.read, &pool);
    let validation = part(&args.validation, &dataset.validation)?;
    let test = part(&args.test, &dataset.test)?;
    if model.train.patience.is_some() && validation.rows.is_empty() {
        return Err(without_validation().into());
    }
    let network = text.network(&model, Some(&dataset))?;
    let tensors = network.tensors();
    let start = match &args.from {
        Some(path) => file::load_parameters(path, &tensors)?,
        None => initial_parameters(&network, model.train.seed),
    };
    let mut trainer = Trainer::new(&network, &model.train, options, start)
        .threads(args.machine.threads())
        .map_err(super::no_threads)?;

    let rows = table.rows();
    context.say(format!("{}: {rows} row{}", table.source, plural(rows)));
    table.notes.iter().for_each(|note| context.say(format!("note: {note}")));
    dataset.schema.describe().iter().for_each(|line| context.say(format!("  {line}")));
    let notes = [&dataset.notes, &validation.notes, &test.notes].into_iter().flatten();
    notes.for_each(|note| context.say(format!("note: {note}")));
    context.say(describe_network(&network));
    model.chosen.iter().for_each(|line| context.say(format!("chosen: {line}")));
    context.say(describe_training(
        &model.train,
        [dataset.train.len(), validation.rows.len(), test.rows.len()],
        &trainer,
    ));

    let interrupted = catch_interrupts()?;
    let started = Instant::now();
    let mut log = Log::new(context, &model.train, dataset.train.len());
    let result = trainer.fit(
        Table {
            features: dataset.features(),
            targets: borrow(&dataset.targets),
            train: &dataset.train,
            validation: (!validation.rows.is_empty()).then(|| validation.batch()),
        },
        |progress| {
            log.progress(progress);
            match interrupted.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        },
    );
    let seconds = started.elapsed().as_secs_f64();
    log.finish();
    let last = result.map_err(|diverged| {
        let rate = model.optimizer.rate;
        Failure::Diverged(
            Diagnostic::error(Code::Diverged, diverged.to_string())
                .note(format!("nothing was saved; `{}` is as it was", output.display()))
                .help(format!(
                    "lower the learning rate, as in `--set {}={}`, or scale the columns",
                    model.optimizer.kind.name(),
                    rate / 10.0
                )),
        )
    })?;

    // The report's numbers are the saved model's own.
    let epoch = trainer.best().or(last);
    let predict = Predict::new(Plan::new(&network, options), trainer.parameters());
    let measure = |part: &Part<'_>| pool.install(|| metrics(&predict, &dataset, part));
    let train = Part::within(&dataset, &dataset.train);
    let mut sides = Vec::new();
    for (name, part) in [("training", &train), ("validation", &validation), ("test", &test)] {
        if !part.rows.is_empty() {
            sides.push(Side { name, metrics: measure(part) });
        }
    }
    let report = report::Run {
        epochs: trainer.epochs(),
        best: trainer.best().map(|best| best.number),
        loss: epoch.map(|epoch| epoch.loss),
        validation_loss: epoch.and_then(|epoch| epoch.validation),
        parameters: network.parameters(),
        inputs: network.inputs,
        outputs: network.outputs(),
        seconds,
        rows_per_second: (trainer.epochs() * dataset.train.len()) as f64 / seconds,
        model: output.display().to_string(),
        sides: &sides,
    };
    let golden = golden::pick(&table, &dataset.schema, |features| {
        let mut outputs = vec![0.0; network.outputs()];
        predict.predict(features, &mut outputs);
        outputs
    });
    file::save(
        &output,
        &StoredModel {
            text: model.resolved_text(&network),
            tensors: StoredTensor::cut(&tensors, &trainer.parameters()),
            schema: Some(dataset.schema.clone()),
            metrics: Some(report.metrics()),
            golden,
        },
    )?;
    if args.json {
        report.print_json()?
    } else {
        report.print()?
    }
    if interrupted.load(Ordering::Relaxed) {
        context.say(format!("interrupted after epoch {}; saved", trainer.epochs()));
        return Err(Failure::Interrupted);
    }
    Ok(())
}

/// Sets a flag when the user interrupts, so that the model is saved first.
fn catch_interrupts() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    ctrlc::set_handler(move || {
        // A second time, the user does not want to wait.
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| {
        Diagnostic::error(Code::Usage, format!("cannot listen for interrupts: {error}"))
    })?;
    Ok(flag)
}

fn borrow(targets: &Targets) -> exec::Targets<'_> {
    match targets {
        Targets::Values(values) => exec::Targets::Values(values),
        Targets::Classes(classes) => exec::Targets::Classes(classes),
    }
}

/// Some rows: of the table that is trained on, or a file of their own.
struct Part<'a> {
    dense: Cow<'a, [f32]>,
    codes: Cow<'a, [u32]>,
    targets: Cow<'a, Targets>,
    rows: Cow<'a, [u32]>,
    notes: Vec<String>,
}

impl<'a> Part<'a> {
    /// Rows of the table.
    fn within(dataset: &'a Dataset, rows: &'a [u32]) -> Self {
        Part {
            dense: Cow::Borrowed(&dataset.dense),
            codes: Cow::Borrowed(&dataset.codes),
            targets: Cow::Borrowed(&dataset.targets),
            rows: Cow::Borrowed(rows),
            notes: Vec::new(),
        }
    }

    /// The rows of a file where there is one, else those of the table.
    fn of(
        file: Option<&Path>,
        dataset: &'a Dataset,
        rows: &'a [u32],
        read: &ReadArgs,
        pool: &rayon::ThreadPool,
    ) -> Result<Self, Failure> {
        let Some(path) = file else { return Ok(Part::within(dataset, rows)) };
        if !rows.is_empty() {
            let what = format!(
                "`data split=` marks rows, and `{}` gives others for the same use",
                path.display()
            );
            return Err(Diagnostic::error(Code::Conflict, what)
                .help("leave the file out, or mark those rows for training")
                .into());
        }
        let mut batches = source::batches(&[path.to_owned()], read)?;
        let name = batches.source().to_owned();
        let encoder = Encoder::new(&dataset.schema, name.as_str(), batches.header())?
            .on_bad_row(read.bad_row());
        let (mut dense, mut codes, mut count) = (Vec::new(), Vec::new(), 0);
        let mut targets = Targets::none_of(&dataset.schema.target);
        let mut tally = Tally::default();
        let encoded = |encoded: Encoded| {
            count += encoded.rows.len() as u32;
            dense.extend(encoded.dense);
            codes.extend(encoded.codes);
            targets.extend(encoded.targets);
            tally.add(&encoded.tally);
            Ok(())
        };
        pool.install(|| {
            batches.stream(|batch| Ok::<_, Failure>(encoder.encode_labelled(batch)?), encoded)
        })?;
        if count == 0 {
            return Err(Diagnostic::error(Code::DataFormat, "no row has a target")
                .in_file(path, None)
                .help("name a file with the columns of the training table, the target included")
                .into());
        }
        let notes = batches.notes().into_iter().chain(encoder.notes(&tally));
        Ok(Part {
            dense: Cow::Owned(dense),
            codes: Cow::Owned(codes),
            targets: Cow::Owned(targets),
            rows: Cow::Owned((0..count).collect()),
            notes: notes.map(|note| format!("{name}: {note}")).collect(),
        })
    }

    fn features(&self) -> Features<'_> {
        Features { dense: &self.dense, codes: &self.codes }
    }

    fn batch(&self) -> Batch<'_> {
        Batch {
            features: self.features(),
            targets: borrow(&self.targets),
            rows: exec::Rows::Numbers(&self.rows),
        }
    }
}

/// The metrics of a part.
fn metrics(predict: &Predict, dataset: &Dataset, part: &Part<'_>) -> Metrics {
    const BLOCK: usize = 8192;
    let (layout, outputs) = (dataset.layout(), dataset.outputs());
    let mut evaluator = Evaluator::new(&dataset.schema.target);
    let (mut dense, mut codes) = (Vec::new(), Vec::new());
    let mut predictions = Vec::new();
    for rows in part.rows.chunks(BLOCK) {
        dense.clear();
        codes.clear();
        for &row in rows {
            let row = part.features().rows(&layout, row as usize..row as usize + 1);
            dense.extend_from_slice(row.dense);
            codes.extend_from_slice(row.codes);
        }
        predictions.resize(rows.len() * outputs, 0.0);
        predict.predict_parallel(Features { dense: &dense, codes: &codes }, &mut predictions);
        match &*part.targets {
            Targets::Values(values) => {
                let of = |&row: &u32| {
                    let start = row as usize * outputs;
                    values[start..start + outputs].iter().copied()
                };
                let values: Vec<f32> = rows.iter().flat_map(of).collect();
                evaluator.add_values(&predictions, &values);
            }
            Targets::Classes(classes) => {
                let classes: Vec<u32> = rows.iter().map(|&row| classes[row as usize]).collect();
                evaluator.add_classes(&predictions, &classes);
            }
        }
    }
    evaluator.finish()
}

/// The error for early stopping that has nothing to watch.
fn without_validation() -> Diagnostic {
    Diagnostic::error(
        Code::Conflict,
        "`patience` watches the loss of the validation rows, but there are none",
    )
    .help("hold rows out with `train validation=0.2` or `data split=`, or give `--validation FILE`")
}

fn describe_network(network: &Network) -> String {
    let mut text = format!("network: {}", network.inputs);
    for layer in &network.layers {
        text.push_str(&format!(" -> {} {}", layer.outputs, layer.activation.name()));
    }
    format!("{text}, {} parameters", network.parameters())
}

fn describe_training(
    train: &Train,
    [rows, held_out, test]: [usize; 3],
    trainer: &Trainer,
) -> String {
    let plan = trainer.plan();
    let mut others = String::new();
    if held_out > 0 {
        others.push_str(&format!(", {held_out} to validate"));
    }
    if test > 0 {
        others.push_str(&format!(", {test} to test"));
    }
    let patience = match train.patience {
        None => String::new(),
        Some(epochs) => format!(" at the most (patience {epochs})"),
    };
    format!(
        "training: {rows} row{}{others}, {} epoch{}{patience}, batch {}, {} {}, seed {}, {}, {} thread{}",
        plural(rows),
        train.epochs,
        plural(train.epochs),
        train.batch,
        plan.optimizer.kind.name(),
        plan.optimizer.rate,
        train.seed,
        plan.options.isa,
        trainer.thread_count(),
        plural(trainer.thread_count()),
    )
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// Progress on stderr: a bar on a terminal, and a line for every epoch at
/// first, then for ever fewer, so that a log stays short.
struct Log<'a> {
    context: &'a Context,
    bar: ProgressBar,
    /// Whether the bar is: to ask it takes a lock, and small steps are many.
    visible: bool,
    rows: usize,
    epochs: usize,
    done: u64,
    shown: Instant,
    next_line: usize,
}

impl<'a> Log<'a> {
    fn new(context: &'a Context, train: &Train, rows: usize) -> Self {
        let bar = if context.quiet {
            ProgressBar::hidden()
        } else {
            // Hidden by itself where stderr is no terminal.
            ProgressBar::new(train.epochs.saturating_mul(rows) as u64)
        };
        let style = "{bar:30} {percent:>3}%  {msg}  {elapsed} gone, {eta} to go";
        bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
        let (visible, shown, next_line) = (!bar.is_hidden(), Instant::now(), 1);
        Log { context, bar, visible, rows, epochs: train.epochs, done: 0, shown, next_line }
    }

    fn progress(&mut self, progress: Progress) {
        match progress {
            Progress::Batch { rows } => self.show(self.done + rows as u64),
            Progress::Epoch(epoch) => {
                self.done = epoch.number.saturating_mul(self.rows) as u64;
                if epoch.number >= self.next_line || epoch.number == self.epochs {
                    // 1, 2, 3, … 10, 20, 30, … 100, 200, …
                    let magnitude = 10usize.pow(epoch.number.ilog10());
                    self.next_line = (epoch.number / magnitude + 1) * magnitude;
                    let line = self.line(&epoch);
                    self.bar.suspend(|| self.context.say(&line));
                    self.bar.set_message(format!("loss {:.6}", epoch.loss));
                }
            }
        }
    }

    /// Moves the bar, some times a second.
    fn show(&mut self, done: u64) {
        if self.visible && self.shown.elapsed() > Duration::from_millis(100) {
            self.bar.set_position(done);
            self.shown = Instant::now();
        }
    }

    fn line(&self, epoch: &Epoch) -> String {
        let width = self.epochs.to_string().len();
        let validation = match epoch.validation {
            Some(loss) => format!("  validation {loss:.6}"),
            None => String::new(),
        };
        format!("epoch {:>width$}  loss {:.6}{validation}", epoch.number, epoch.loss)
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
