//! `mlpc run`: train a model on a table, report and save it.

use super::report::{self, Side};
use super::source::{self, ModelText, ReadArgs};
use super::{Context, Failure, Machine};
use indicatif::{ProgressBar, ProgressStyle};
use mlpc::check::model::{Network, Train};
use mlpc::data::{Dataset, Evaluator, Metrics, Targets};
use mlpc::diag::{Code, Diagnostic};
use mlpc::exec::{self, Predict};
use mlpc::file::{self, StoredModel, StoredTensor, golden};
use mlpc::plan::Plan;
use mlpc::train::{Epoch, Progress, Table, Trainer, initial_parameters};
use std::ops::ControlFlow;
use std::path::PathBuf;
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
    let model = text.check()?;
    let output = args.output.clone().unwrap_or_else(|| args.model.with_extension("safetensors"));
    let pool = args.machine.pool()?;
    let table = source::table(&args.data, &args.read, &pool)?;
    let dataset = Dataset::bind(&table, &model)?;
    let network = text.network(&model, Some(&dataset))?;
    let tensors = network.tensors();
    let start = match &args.from {
        Some(path) => file::load_parameters(path, &tensors)?,
        None => initial_parameters(&network, model.train.seed),
    };
    let mut trainer = Trainer::new(&network, &model.train, options, start)
        .threads(args.machine.threads)
        .map_err(super::no_threads)?;

    let rows = table.rows();
    context.say(format!("{}: {rows} row{}", table.source, plural(rows)));
    table.notes.iter().for_each(|note| context.say(format!("note: {note}")));
    dataset.schema.describe().iter().for_each(|line| context.say(format!("  {line}")));
    dataset.notes.iter().for_each(|note| context.say(format!("note: {note}")));
    context.say(describe_network(&network));
    model.chosen.iter().for_each(|line| context.say(format!("chosen: {line}")));
    context.say(describe_training(&model.train, &dataset, &trainer));

    let interrupted = catch_interrupts()?;
    let started = Instant::now();
    let mut log = Log::new(context, &model.train, dataset.train.len());
    let result = trainer.fit(
        Table {
            features: &dataset.features,
            targets: borrow(&dataset.targets),
            train: &dataset.train,
            validation: &dataset.validation,
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
    let epoch = result.map_err(|diverged| {
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
    let predict = Predict::new(Plan::new(&network, options), trainer.state().parameters.clone());
    let measure = |rows: &[u32]| pool.install(|| metrics(&predict, &dataset, rows));
    let mut sides = vec![Side { name: "training", metrics: measure(&dataset.train) }];
    if !dataset.validation.is_empty() {
        sides.push(Side { name: "validation", metrics: measure(&dataset.validation) });
    }
    let report = report::Run {
        epochs: trainer.epochs(),
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
            tensors: StoredTensor::cut(&tensors, predict.parameters()),
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

/// The metrics of some rows of the data set.
fn metrics(predict: &Predict, dataset: &Dataset, rows: &[u32]) -> Metrics {
    const BLOCK: usize = 8192;
    let (inputs, outputs) = (dataset.inputs(), dataset.outputs());
    let mut evaluator = Evaluator::new(&dataset.schema.target);
    let mut features = Vec::new();
    let mut predictions = Vec::new();
    for rows in rows.chunks(BLOCK) {
        features.clear();
        for &row in rows {
            let start = row as usize * inputs;
            features.extend_from_slice(&dataset.features[start..start + inputs]);
        }
        predictions.resize(rows.len() * outputs, 0.0);
        predict.predict_parallel(&features, &mut predictions);
        match &dataset.targets {
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

fn describe_network(network: &Network) -> String {
    let mut text = format!("network: {}", network.inputs);
    for layer in &network.layers {
        text.push_str(&format!(" -> {} {}", layer.outputs, layer.activation.name()));
    }
    format!("{text}, {} parameters", network.parameters())
}

fn describe_training(train: &Train, dataset: &Dataset, trainer: &Trainer) -> String {
    let plan = trainer.plan();
    let held_out = match dataset.validation.len() {
        0 => String::new(),
        n => format!(", {n} held out"),
    };
    format!(
        "training: {} row{}{held_out}, {} epoch{}, batch {}, {} {}, seed {}, {}, {} thread{}",
        dataset.train.len(),
        plural(dataset.train.len()),
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
        let (shown, next_line) = (Instant::now(), 1);
        Log { context, bar, rows, epochs: train.epochs, done: 0, shown, next_line }
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
        if !self.bar.is_hidden() && self.shown.elapsed() > Duration::from_millis(100) {
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
