//! `mlpc bench`: how fast a model, or every kernel, is on this machine; what
//! it is compared with: bounds on the command line, or an earlier result.
//!
//! Nothing is timed before its result has been compared with its f64 oracle.
//! `docs/bench.md` defines the figures and the JSON.

mod clock;
mod expectations;
mod figures;
mod kernels;
mod model;

use super::report::print_json;
use super::{Context, Failure, Machine};
use expectations::{Assertion, Baseline, Tolerance};
use figures::Figure;
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model's text
    #[arg(required_unless_present = "kernels")]
    model: Option<PathBuf>,
    /// A table that says the widths that are `auto` and gives the rows; `-`: standard input
    data: Option<PathBuf>,
    /// Rows of a training step [default: the model's `train batch=`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Rows of a batched prediction
    #[arg(long, value_name = "N", default_value_t = 65536, value_parser = clap::value_parser!(u32).range(1..))]
    rows: u32,
    /// Seconds a figure and round; for --kernels, a row [default: 0.5; for --kernels 0.02]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// Rounds, of which each figure's best counts: machines have slow spells
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Change the text, as in `adam=0.01`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Every row of the kernel table instead of a model
    #[arg(long, conflicts_with_all = ["model", "data", "batch", "set"])]
    kernels: bool,
    /// Kernels whose name holds this; may be repeated
    #[arg(long, value_name = "SUBSTR", requires = "kernels", conflicts_with = "model")]
    filter: Vec<String>,
    /// Check the kernels' results and time nothing
    #[arg(long, requires = "kernels", conflicts_with_all = ["model", "assert", "baseline"])]
    quick: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Exit with 1 unless a figure is as wanted, as in 'latency_us<1'; may be repeated
    #[arg(long, value_name = "EXPR")]
    assert: Vec<String>,
    /// Compare with an earlier --json; exit with 1 where something is slower
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// How much slower than the baseline is no failure
    #[arg(long, value_name = "PERCENT", default_value = "10%", requires = "baseline")]
    tolerance: Tolerance,
    #[command(flatten)]
    machine: Machine,
}

/// The version of the JSON: a field that changes its meaning raises it, a new
/// one does not.
const SCHEMA: u64 = 1;

/// What was measured.
struct Measured {
    figures: Vec<Figure>,
    /// The fields of the JSON that belong to the mode.
    fields: Map<String, Value>,
    /// The same for a reader, without a line end at the end.
    text: String,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let options = args.machine.plan_options()?;
    let mode = if args.kernels { "kernels" } else { "model" };
    let assertions = Assertion::parse_all(&args.assert)?;
    let baseline = args.baseline.as_deref().map(|path| Baseline::read(path, mode)).transpose()?;
    let cpu = cpu();

    let measured = match &args.model {
        Some(path) => model::run(args, path, options, &assertions, baseline.as_ref(), context)?,
        None => kernels::run(args, options, &assertions, context)?,
    };
    if args.json {
        let mut json = object(json!({
            "schema": SCHEMA,
            "mode": mode,
            "mlpc": env!("CARGO_PKG_VERSION"),
            "cpu": cpu,
        }));
        json.extend(measured.fields.clone());
        print_json(&Value::Object(json))?;
    } else {
        writeln!(io::stdout().lock(), "{}", measured.text)?;
    }

    let mut unmet: Vec<_> = assertions.iter().filter_map(|a| a.unmet(&measured.figures)).collect();
    if let Some(baseline) = &baseline {
        baseline.warn(&cpu, context);
        unmet.extend(baseline.compare(&measured.figures, &args.tolerance, context));
    }
    if unmet.is_empty() { Ok(()) } else { Err(Failure::Unmet(unmet)) }
}

/// The fields of a `json!({…})`.
fn object(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// What the CPU calls itself.
fn cpu() -> String {
    use sysinfo::{CpuRefreshKind, RefreshKind, System};
    let system =
        System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let brand = system.cpus().first().map_or("", |cpu| cpu.brand().trim());
    if brand.is_empty() { std::env::consts::ARCH.to_owned() } else { brand.to_owned() }
}

/// Parses `--seconds`.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("expected a number of seconds, more than 0 and at most 3600".to_owned()),
    }
}
