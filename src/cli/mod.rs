//! The command line: one file a verb. Here, and here alone, are files,
//! clocks and the terminal.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done (also
//! where the reader of stdout has gone away), 1 a run that diverged or a figure
//! that is not as wanted, 2 an error in usage, text or data, 130 interrupted,
//! after saving.

#![allow(clippy::print_stderr)]

mod bench;
mod check;
mod evaluate;
mod init;
mod plan;
mod predict;
mod report;
mod run;
mod source;

use clap::{Args, Parser, Subcommand};
use mlpc::check::Limits;
use mlpc::diag::{Code, Diagnostic, Diagnostics, Sources, render};
use mlpc::plan::PlanOptions;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Trains and serves multilayer perceptrons that a line of text describes.
#[derive(Debug, Parser)]
#[command(name = "mlpc", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "A model is a text file such as\n  \
    input auto -> dense 64 relu -> dense auto softmax\n\n\
    Start with:  mlpc init DATA.csv --target COLUMN\n  \
    and then:    mlpc run DATA.mlp DATA.csv")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Print errors only
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Train a model on a table, report and save it
    Run(run::Args),
    /// Predict the rows of a table, as CSV
    Predict(predict::Args),
    /// Measure a model on a table with known targets
    Evaluate(evaluate::Args),
    /// Check a model's text, against a table too; run nothing
    Check(check::Args),
    /// Write a model's text for a table
    Init(init::Args),
    /// Show how a model is compiled
    Plan(plan::Args),
    /// Measure how fast a model is, or every kernel
    Bench(bench::Args),
}

/// What every verb that computes can be told of the machine.
#[derive(Debug, Args)]
struct Machine {
    /// Threads to use at the most, of which a core takes one; 0: one a core. The result does
    /// not depend on it
    #[arg(short = 'j', long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Instruction set: portable, avx2 or avx512 [default: the widest there is, or $MLPC_ISA]
    #[arg(long)]
    isa: Option<String>,
}

impl Machine {
    fn plan_options(&self) -> Result<PlanOptions, Failure> {
        let Some(name) = &self.isa else { return Ok(PlanOptions::from_environment()?) };
        Ok(PlanOptions::pinned(name, "--isa")?)
    }

    /// The threads, 0 for one a core. Threads that share a core wait for each other.
    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(usize::MAX, usize::from);
        self.threads.min(cores)
    }

    /// A pool for prediction; training makes its own.
    fn pool(&self) -> Result<rayon::ThreadPool, Failure> {
        rayon::ThreadPoolBuilder::new().num_threads(self.threads()).build().map_err(no_threads)
    }
}

fn no_threads(error: rayon::ThreadPoolBuildError) -> Failure {
    Diagnostic::error(Code::Usage, format!("the system gives no threads: {error}"))
        .help("try `--threads 1`")
        .into()
}

/// Column names as an option gives them: one, or several with commas between.
/// What is a column's name as it stands is not cut at its commas.
fn column_names<'a>(given: &[String], known: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for text in given {
        if known.clone().any(|name| name == text) {
            names.push(text.clone());
        } else {
            names.extend(text.split(',').map(|name| name.trim().to_owned()));
        }
    }
    names
}

/// What a verb needs to know of where it runs.
struct Context {
    quiet: bool,
}

impl Context {
    /// Says something on stderr, unless told to be quiet.
    fn say(&self, line: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{}", line.as_ref());
        }
    }
}

/// How a verb ends when it does not end well.
enum Failure {
    /// Errors to show; exit 2.
    Errors(Diagnostics, Sources),
    /// An error to show; exit 1.
    Diverged(Diagnostic),
    /// What is not as it was wanted to be; exit 1.
    Unmet(Vec<Diagnostic>),
    /// The errors have been printed as JSON; exit 2.
    Reported,
    /// Interrupted, and saved what there was.
    Interrupted,
    /// Nobody reads the output any more: that is success.
    Closed,
}

impl From<Diagnostics> for Failure {
    fn from(errors: Diagnostics) -> Self {
        Failure::Errors(errors, Sources::default())
    }
}

impl From<Diagnostic> for Failure {
    fn from(error: Diagnostic) -> Self {
        Diagnostics::from(error).into()
    }
}

impl From<io::Error> for Failure {
    /// An error in writing to stdout.
    fn from(error: io::Error) -> Self {
        let (what, help) = match error.kind() {
            io::ErrorKind::BrokenPipe => return Failure::Closed,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                "no space is left for standard output".to_owned(),
                "free some space, or send the output to another disk",
            ),
            _ => {
                (format!("cannot write to standard output: {error}"), "check where the output goes")
            }
        };
        Diagnostic::error(Code::Output, what).help(help).into()
    }
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    // clap prints help to stdout with exit 0 and usage errors to stderr with 2.
    let cli = Cli::parse();
    let context = Context { quiet: cli.quiet };
    let result = match &cli.verb {
        Verb::Run(args) => run::run(args, &context),
        Verb::Predict(args) => predict::run(args, &context),
        Verb::Evaluate(args) => evaluate::run(args, &context),
        Verb::Check(args) => check::run(args, &context),
        Verb::Init(args) => init::run(args, &context),
        Verb::Plan(args) => plan::run(args),
        Verb::Bench(args) => bench::run(args, &context),
    };
    let result = result.and_then(|()| io::stdout().flush().map_err(Failure::from));
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match result {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(Failure::Diverged(error)) => {
            eprint!("{}", render([&error], &Sources::default(), colour));
            ExitCode::from(1)
        }
        Err(Failure::Unmet(unmet)) => {
            eprint!("{}", render(&unmet, &Sources::default(), colour));
            ExitCode::from(1)
        }
        Err(Failure::Errors(errors, sources)) => {
            eprint!("{}", render(errors.iter(), &sources, colour));
            let count = errors.iter().count();
            if count > 1 {
                eprintln!("\n{count} errors; nothing was run");
            }
            ExitCode::from(2)
        }
        Err(Failure::Reported) => ExitCode::from(2),
        Err(Failure::Interrupted) => ExitCode::from(130),
    }
}

/// What this machine has: its memory, or its control group's share of it.
fn limits() -> Limits {
    use sysinfo::{MemoryRefreshKind, RefreshKind, System};
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    let share = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    Limits { memory: Some(system.total_memory().min(share)) }
}
