//! The mode of a model: a training step, a prediction of one row and of many.

use super::clock::{median, timed};
use super::expectations::{Assertion, Baseline};
use super::figures::{Better, Figure, short};
use super::{Args, Context, Failure, Measured, object};
use crate::cli::source::ModelText;
use mlpc::Predictor;
use mlpc::check::model::{LossKind, Network};
use mlpc::data::{Dataset, ReadOptions, Table, Targets, expand};
use mlpc::diag::{Code, Diagnostic};
use mlpc::exec::reference::{Deviation, deviation};
use mlpc::exec::{self, Batch, Executor, Rows, State};
use mlpc::inputs::Features;
use mlpc::plan::{Plan, PlanOptions};
use mlpc::train::initial_parameters;
use mlpc_kernels::optim::Readers;
use mlpc_kernels::peak::fma_loop;
use mlpc_kernels::simd::Isa;
use mlpc_kernels::table::noise;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Seconds a figure and round, where the command line does not say.
const SECONDS: f64 = 0.5;

/// Rows of a call, beside all in one: a block that stays in the cache.
const CALL_ROWS: usize = 1024;

/// Multiply-adds of the f64 oracle, about, at the most.
const ORACLE: usize = 60_000_000;

/// The figures of a model, in the order in which they are printed.
const FIGURES: [(&str, Better, &str); 9] = [
    ("train_us", Better::Less, "µs a training step"),
    ("resident_us", Better::Less, "µs of one whose batch is loaded already"),
    ("update_us", Better::Neither, "µs of it the optimizer, timed alone on one thread"),
    ("latency_us", Better::Less, "µs a prediction of one row"),
    ("rows_per_s", Better::More, "rows predicted a second"),
    ("flop_per_step", Better::Neither, "floating-point operations of a step's products"),
    ("gflops", Better::Neither, "10⁹ of them a second"),
    ("peak_gflops", Better::Neither, "the same of multiply-adds on registers alone"),
    ("fraction_of_peak", Better::Neither, "gflops / peak_gflops"),
];

pub(super) fn run(
    args: &Args,
    path: &Path,
    options: PlanOptions,
    assertions: &[Assertion],
    baseline: Option<&Baseline>,
    context: &Context,
) -> Result<Measured, Failure> {
    let names: Vec<String> = FIGURES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    Assertion::check_names(assertions, &names)?;
    let text = ModelText::read(path, &args.set)?;
    let model = text.check()?;
    let dataset = match &args.data {
        Some(path) => {
            let inputs = expand(std::slice::from_ref(path))?;
            let load = || Table::load(inputs, &ReadOptions::default());
            Some(Dataset::bind(&args.machine.pool()?.install(load)?, &model)?)
        }
        None => None,
    };
    let network = text.network(&model, dataset.as_ref())?;
    let batch = args.batch.map_or(model.train.batch, |batch| batch as usize);
    let rows = args.rows as usize;
    fits_memory(&network, batch, rows)?;

    let bench = Bench::new(args, &network, options, dataset.as_ref(), batch, rows)?;
    let mut fields = object(json!({
        "network": describe(&network),
        "data": args.data.as_ref().map(|path| path.display().to_string()),
        "parameters": network.parameters(),
        "isa": options.isa.name(),
        "threads": bench.threads,
        "batch": batch,
        "rows": rows,
    }));
    if let Some(baseline) = baseline {
        baseline.check_same(&fields)?;
    }
    context.say(format!(
        "{}; batch {batch}, {}, {} thread{}",
        describe(&network),
        options.isa,
        bench.threads,
        if bench.threads == 1 { "" } else { "s" }
    ));
    let proof = bench.prove()?;
    context.say(format!(
        "checked against f64: {} row{}, gradient within {:.1e} of its largest value",
        proof.rows,
        if proof.rows == 1 { "" } else { "s" },
        proof.deviation.gradient
    ));

    let times = bench.pool.install(|| bench.measure())?;
    let figures = times.figures(&network, &bench.plan, batch);
    let binds = binds(&network, &bench.plan, &times, batch, bench.train_threads);
    let text = table(&figures, times.call_rows, &binds);
    fields.extend(json_figures(&figures));
    fields.extend(object(json!({
        "rows_per_call": times.call_rows,
        "train_threads": bench.train_threads,
        "seconds": bench.seconds,
        "rounds": args.rounds,
        "checked_rows": proof.rows,
        "loss_error": proof.deviation.loss,
        "gradient_error": proof.deviation.gradient,
        "binds": binds,
    })));
    Ok(Measured { figures, fields, text })
}

/// The network in a line, without what does not change the work.
fn describe(network: &Network) -> String {
    let mut text = format!("{}", network.inputs);
    for layer in &network.layers {
        let bias = if layer.bias { "" } else { " bias=false" };
        let _ = write!(text, " -> {} {}{bias}", layer.outputs, layer.activation.name());
    }
    format!("{text}; {}; {}", network.loss.kind.name(), network.optimizer.kind.name())
}

/// That the rows fit the machine's memory.
fn fits_memory(network: &Network, batch: usize, rows: usize) -> Result<(), Failure> {
    let Some(memory) = crate::cli::limits().memory else { return Ok(()) };
    let width = (network.inputs + network.outputs()) as f64;
    for (option, rows) in [("--batch", batch), ("--rows", rows)] {
        let bytes = 4.0 * width * rows as f64;
        if bytes > 0.5 * memory as f64 {
            let gib = bytes / (1u64 << 30) as f64;
            let what = format!("{option}: {rows} rows of {width} numbers take {gib:.1} GiB");
            return Err(Diagnostic::error(Code::TooLarge, what)
                .help(format!("take fewer, as in `{option} {}`", (rows / 64).max(1)))
                .into());
        }
    }
    Ok(())
}

/// A network with the rows that it is timed on.
struct Bench<'a> {
    network: &'a Network,
    plan: Arc<Plan>,
    parameters: Vec<f32>,
    /// Rows to train on, then those to predict.
    batch: usize,
    features: Inputs,
    targets: Targets,
    rows: Inputs,
    rows_to_predict: usize,
    pool: rayon::ThreadPool,
    /// Threads that may be used, and that a training step uses.
    threads: usize,
    train_threads: usize,
    seconds: f64,
    rounds: u32,
}

/// Rows of numbers and codes.
struct Inputs {
    dense: Vec<f32>,
    codes: Vec<u32>,
}

impl Inputs {
    fn all(&self) -> Features<'_> {
        Features { dense: &self.dense, codes: &self.codes }
    }
}

/// What the check found.
struct Proof {
    rows: usize,
    deviation: Deviation,
}

/// Medians, each the best of its rounds.
#[derive(Debug, Clone, Copy)]
struct Times {
    train_ns: f64,
    resident_ns: f64,
    update_ns: f64,
    latency_ns: f64,
    row_ns: f64,
    /// Rows of a call that `row_ns` is the time of.
    call_rows: usize,
    peak: f64,
}

impl<'a> Bench<'a> {
    fn new(
        args: &Args,
        network: &'a Network,
        options: PlanOptions,
        dataset: Option<&Dataset>,
        batch: usize,
        rows: usize,
    ) -> Result<Self, Failure> {
        let plan = Arc::new(Plan::new(network, options));
        let pool = args.machine.pool()?;
        let threads = pool.current_num_threads();
        let train_threads = plan.threads_of_step(batch, threads);
        let (features, targets) = match dataset {
            Some(dataset) => taken(dataset, batch),
            None => made(network, batch),
        };
        let rows_to_predict = rows;
        let rows = match dataset {
            Some(dataset) => taken(dataset, rows).0,
            None => Inputs { dense: noise(3, rows * network.inputs), codes: Vec::new() },
        };
        Ok(Bench {
            network,
            plan,
            parameters: initial_parameters(network, 1),
            batch,
            features,
            targets,
            rows,
            rows_to_predict,
            pool,
            threads,
            train_threads,
            seconds: args.seconds.unwrap_or(SECONDS),
            rounds: args.rounds,
        })
    }

    /// The first `rows` rows of the batch.
    fn batch(&self, rows: usize) -> Batch<'_> {
        let targets = match &self.targets {
            Targets::Values(values) => exec::Targets::Values(values),
            Targets::Classes(classes) => exec::Targets::Classes(classes),
        };
        Batch { features: self.features.all(), targets, rows: Rows::Range(0, rows) }
    }

    fn executor(&self) -> Executor {
        Executor::new(self.plan.clone(), self.batch).threads(self.train_threads)
    }

    /// One gradient against the oracle's, on as many rows as that takes no
    /// time for.
    fn prove(&self) -> Result<Proof, Failure> {
        let rows = self.batch.min(ORACLE / 3 / self.network.parameters().max(1)).max(1);
        let mut executor = self.executor();
        let deviation = deviation(&mut executor, self.network, &self.parameters, self.batch(rows));
        // Rounding errors add up from layer to layer.
        let depth = (self.network.layers.len() as f64 / 8.0).max(1.0);
        let allowed = Deviation::ALLOWED;
        if deviation.loss <= depth * allowed.loss && deviation.gradient <= depth * allowed.gradient
        {
            return Ok(Proof { rows, deviation });
        }
        let what = format!(
            "the gradient is not the one of the f64 oracle: off by {:.1e} of its largest value, the loss by {:.1e}",
            deviation.gradient, deviation.loss
        );
        Err(Failure::Unmet(vec![
            Diagnostic::error(Code::Expectation, what)
                .note("nothing was timed")
                .help("please report this, with the model's text and `mlpc plan`"),
        ]))
    }

    /// Measures everything, round by round, so that a slow spell of the
    /// machine meets all figures. Runs inside the pool: entering it costs
    /// microseconds.
    fn measure(&self) -> Result<Times, Failure> {
        let predictor = Predictor::new(self.network, self.parameters.clone(), self.plan.options);
        let mut executor = self.executor();
        let mut best = Times {
            train_ns: f64::INFINITY,
            resident_ns: f64::INFINITY,
            update_ns: f64::INFINITY,
            latency_ns: f64::INFINITY,
            row_ns: f64::INFINITY,
            call_rows: 0,
            peak: 0.0,
        };
        for _ in 0..self.rounds {
            let threads = self.train_threads;
            best.peak = best.peak.max(peak(&self.pool, self.plan.options.isa, threads));
            best.train_ns = best.train_ns.min(self.train(&mut executor, Executor::step)?);
            let again = Executor::step_again;
            best.resident_ns = best.resident_ns.min(self.train(&mut executor, again)?);
            best.update_ns = best.update_ns.min(self.update());
            best.latency_ns = best.latency_ns.min(self.latency(&predictor));
            let rows = self.rows_to_predict;
            for call_rows in [rows, CALL_ROWS.min(rows)] {
                let ns = self.predict(&predictor, call_rows);
                if ns < best.row_ns {
                    (best.row_ns, best.call_rows) = (ns, call_rows);
                }
            }
        }
        Ok(best)
    }

    fn train(
        &self,
        executor: &mut Executor,
        step: fn(&mut Executor, &mut State, Batch<'_>) -> f64,
    ) -> Result<f64, Failure> {
        let batch = self.batch(self.batch);
        let mut finite = true;
        let ns = median(self.seconds, |calls| {
            // Every block starts where the first one did, so that no block
            // trains a net to the end, where numbers may be denormal.
            let mut state = State::new(&self.plan, self.parameters.clone());
            let mut loss = 0.0;
            let took = timed(calls, || loss = step(executor, &mut state, batch));
            finite &= loss.is_finite();
            took
        });
        if finite {
            return Ok(ns);
        }
        Err(Failure::Diverged(
            Diagnostic::error(Code::Diverged, "training diverged while it was timed")
                .help("lower the learning rate, as in `--set adam=0.001`"),
        ))
    }

    /// The optimizer's pass alone.
    fn update(&self) -> f64 {
        let optimizer = self.network.optimizer;
        let n = self.parameters.len();
        let mut parameters = self.parameters.clone();
        let gradient: Vec<f32> = noise(4, n).into_iter().map(|g| 1e-3 * g).collect();
        let kept = |least: usize| if optimizer.state() >= least { n } else { 0 };
        let (mut first, mut second) = (vec![0.0; kept(1)], vec![0.0; kept(2)]);
        let mut step = 0;
        median(self.seconds / 5.0, |calls| {
            timed(calls, || {
                step += 1;
                let state = [&mut first[..], &mut second[..]];
                let isa = self.plan.options.isa;
                optimizer.at(step).update(isa, &mut parameters, &gradient, state, Readers::Same);
            })
        })
    }

    fn latency(&self, predictor: &Predictor) -> f64 {
        let row = self.rows.all().rows(&self.network.layout(), 0..1);
        let mut out = vec![0.0; self.network.outputs()];
        median(self.seconds, |calls| {
            timed(calls, || {
                predictor.predict(std::hint::black_box(row), &mut out);
                std::hint::black_box(&mut out);
            })
        })
    }

    /// Nanoseconds a row, in calls of so many.
    fn predict(&self, predictor: &Predictor, call_rows: usize) -> f64 {
        let (layout, outputs) = (self.network.layout(), self.network.outputs());
        let rows = self.rows_to_predict;
        let mut out = vec![0.0; rows * outputs];
        let mut all = || {
            for (call, out) in out.chunks_mut(call_rows * outputs).enumerate() {
                let first = call * call_rows;
                let rows = first..first + out.len() / outputs;
                let features = self.rows.all().rows(&layout, rows);
                match self.threads {
                    1 => predictor.predict(features, out),
                    _ => predictor.predict_parallel(features, out),
                }
            }
        };
        median(self.seconds, |calls| timed(calls, &mut all)) / rows as f64
    }
}

/// GFLOP/s of multiply-adds on registers, on some threads at once.
fn peak(pool: &rayon::ThreadPool, isa: Isa, threads: usize) -> f64 {
    // About 10 ms a thread, however slow the CPU is.
    let start = Instant::now();
    fma_loop(isa, 100_000);
    let rounds = (1e5 * 0.01 / start.elapsed().as_secs_f64()).max(1.0) as u64;
    let run = || -> f64 {
        let start = Instant::now();
        let flop = match threads {
            1 => fma_loop(isa, rounds),
            _ => pool
                .broadcast(
                    |thread| if thread.index() < threads { fma_loop(isa, rounds) } else { 0.0 },
                )
                .iter()
                .sum(),
        };
        flop / start.elapsed().as_secs_f64() / 1e9
    };
    (0..5).map(|_| run()).fold(0.0, f64::max)
}

/// The first rows of a data set, again from the start where it has fewer.
fn taken(dataset: &Dataset, rows: usize) -> (Inputs, Targets) {
    let cycle = || (0..rows).map(|row| row % dataset.rows);
    let cut = |values: &[f32], width: usize| -> Vec<f32> {
        cycle().flat_map(|row| values[row * width..(row + 1) * width].iter().copied()).collect()
    };
    let layout = dataset.layout();
    let mut inputs = Inputs { dense: Vec::new(), codes: Vec::new() };
    for row in cycle() {
        let row = dataset.features().rows(&layout, row..row + 1);
        inputs.dense.extend_from_slice(row.dense);
        inputs.codes.extend_from_slice(row.codes);
    }
    let targets = match &dataset.targets {
        Targets::Values(values) => Targets::Values(cut(values, dataset.outputs())),
        Targets::Classes(classes) => Targets::Classes(cycle().map(|row| classes[row]).collect()),
    };
    (inputs, targets)
}

/// Rows out of thin air: features with a variance of 1, targets from 0 to 1
/// or classes in turn.
fn made(network: &Network, rows: usize) -> (Inputs, Targets) {
    let spread = 3f32.sqrt();
    let dense = noise(1, rows * network.inputs).into_iter().map(|x| spread * x).collect();
    let outputs = network.outputs();
    let targets = match network.loss.kind {
        LossKind::CrossEntropy => {
            Targets::Classes((0..rows).map(|row| (row * 7 % outputs) as u32).collect())
        }
        _ => Targets::Values(noise(2, rows * outputs).iter().map(|x| 0.5 + 0.5 * x).collect()),
    };
    (Inputs { dense, codes: Vec::new() }, targets)
}

/// Floating-point operations of the products of a training step: forward,
/// weight gradient, and for all layers but the first the input gradient.
/// Categories that are gathered take part in none.
fn flop_per_step(network: &Network, plan: &Plan, batch: usize) -> f64 {
    let products = |index: usize| if index == 0 { 2.0 } else { 3.0 };
    let levels = plan.gathered.map_or(0, |table| {
        let table = &plan.tables[table];
        table.range.len() / table.width
    });
    let layer = |(index, layer): (usize, &mlpc::check::model::DenseShape)| {
        let inputs = layer.inputs - if index == 0 { levels } else { 0 };
        products(index) * 2.0 * inputs as f64 * layer.outputs as f64
    };
    network.layers.iter().enumerate().map(layer).sum::<f64>() * batch as f64
}

impl Times {
    fn figures(&self, network: &Network, plan: &Plan, batch: usize) -> Vec<Figure> {
        let flop = flop_per_step(network, plan, batch);
        let gflops = flop / self.train_ns;
        let values = [
            self.train_ns / 1e3,
            self.resident_ns / 1e3,
            self.update_ns / 1e3,
            self.latency_ns / 1e3,
            1e9 / self.row_ns,
            flop,
            gflops,
            self.peak,
            gflops / self.peak,
        ];
        let figure = |((name, better, _), value)| Figure::new(name, value, better);
        FIGURES.into_iter().zip(values).map(figure).collect()
    }
}

/// What a training step's time goes to, in plain words.
fn binds(network: &Network, plan: &Plan, times: &Times, batch: usize, threads: usize) -> String {
    let percent = |ns: f64| (100.0 * ns / times.train_ns).round();
    let products = percent(flop_per_step(network, plan, batch) / times.peak);
    // A pass of several threads was not timed.
    let update = if threads == 1 { percent(times.update_ns) } else { 0.0 };
    let bytes = 4.0 * (2 + network.optimizer.state()) as f64 * network.parameters() as f64;
    let parts = format!("at the peak the products would take {products}% of the time");
    if products >= 50.0 {
        format!("multiply-adds: {parts}")
    } else if update >= 40.0 {
        let kind = network.optimizer.kind.name();
        let megabytes = bytes / 1e6;
        format!(
            "memory: {kind}'s pass over {megabytes:.1} MB of parameters, gradient and state takes {update}% of the time, {parts}"
        )
    } else if times.train_ns < 20_000.0 {
        format!("overhead: so small a step waits for latencies, not for throughput; {parts}")
    } else {
        format!("activations, loss and moving data: {parts}, the optimizer takes {update}%")
    }
}

fn table(figures: &[Figure], call_rows: usize, binds: &str) -> String {
    let mut text = String::new();
    for (figure, (_, _, meaning)) in figures.iter().zip(FIGURES) {
        let calls = if figure.name == "rows_per_s" {
            format!(", in calls of {call_rows}")
        } else {
            String::new()
        };
        let _ = writeln!(text, "{:16}  {:>13}  {meaning}{calls}", figure.name, short(figure.value));
    }
    text + "what binds a training step: " + binds
}

fn json_figures(figures: &[Figure]) -> Map<String, Value> {
    figures.iter().map(|figure| (figure.name.clone(), figure.value.into())).collect()
}
