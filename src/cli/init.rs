//! `mlpc init`: a model's text for a table.

use super::source::{self, ReadArgs};
use super::{Context, Failure, Machine};
use mlpc::diag::{Code, Diagnostic};
use mlpc::draft::draft;
use mlpc::file::write_atomically;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The table, a CSV file with a header; `-`: standard input
    data: PathBuf,
    /// The column to predict; several with commas in between, or given again
    #[arg(short, long, value_name = "COLUMN", required = true)]
    target: Vec<String>,
    /// Where the text goes; `-`: standard output [default: the table's name with the ending .mlp, here]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file where there is one
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    machine: Machine,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let output = match &args.output {
        Some(output) => output.clone(),
        None => beside(&args.data)?,
    };
    let to_stdout = output.as_os_str() == "-";
    // Before the table is read: that may take a while.
    if !to_stdout && !args.force && output.symlink_metadata().is_ok() {
        let what = format!("there is a file `{}` already", output.display());
        return Err(Diagnostic::error(Code::Output, what)
            .help("`--force` replaces it, `-o` writes another one")
            .into());
    }
    let pool = args.machine.pool()?;
    let table = source::table(std::slice::from_ref(&args.data), &args.read, &pool)?;
    let text = draft(&table, &super::column_names(&args.target, table.names()))?;
    if to_stdout {
        io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(());
    }
    write_atomically(&output, |out| out.write_all(text.as_bytes()))?;
    context.say(format!(
        "wrote {0}; train it with\n  mlpc run {0} {1}",
        output.display(),
        args.data.display()
    ));
    Ok(())
}

/// `iris.mlp` in the working directory for `data/iris.csv`, and for
/// `iris.csv.gz`.
fn beside(data: &Path) -> Result<PathBuf, Failure> {
    let name = data.file_name().and_then(|name| name.to_str()).filter(|name| *name != "-");
    let stem = name.and_then(|name| name.split('.').find(|part| !part.is_empty()));
    match stem {
        Some(stem) => Ok(PathBuf::from(format!("{stem}.mlp"))),
        None => Err(Diagnostic::error(Code::Usage, "the table has no name to call the text by")
            .help("say where it goes: `-o FILE`, or `-o -` for standard output")
            .into()),
    }
}
