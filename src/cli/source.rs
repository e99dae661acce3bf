//! Reading what the command line names: a model's text, a table.

use super::{Failure, limits};
use mlpc::check::model::{Model, Network};
use mlpc::check::{check, set};
use mlpc::data::{self, Batches, Dataset, Input, ReadOptions, Table, expand};
use mlpc::diag::{Code, Diagnostic, Diagnostics, Sources};
use mlpc::syntax::{Parsed, decode, parse};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A model's text with the changes of `--set`, and the texts that errors
/// point into.
pub(super) struct ModelText {
    pub(super) sources: Sources,
    pub(super) parsed: Parsed,
}

impl ModelText {
    /// Reads a model's text. Only a file that cannot be read is an error yet.
    pub(super) fn read(path: &Path, overrides: &[String]) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        let text = decode(&name, &bytes)?;
        let mut sources = Sources::default();
        let index = sources.add(name, text.as_str());
        let mut parsed = parse(&text, index);
        set(&mut parsed, &mut sources, overrides);
        Ok(ModelText { sources, parsed })
    }

    pub(super) fn check(&self) -> Result<Model, Failure> {
        check(&self.parsed, &limits()).map_err(|errors| self.failure(errors))
    }

    /// The network, with the widths of the data where there is some.
    pub(super) fn network(
        &self,
        model: &Model,
        data: Option<&Dataset>,
    ) -> Result<Network, Failure> {
        let layout = data.map(Dataset::layout);
        let outputs = data.map(Dataset::outputs);
        model.network(layout.as_ref(), outputs, &limits()).map_err(|errors| self.failure(errors))
    }

    pub(super) fn failure(&self, errors: Diagnostics) -> Failure {
        Failure::Errors(errors, self.sources.clone())
    }
}

/// How tables are read: the options that `run`, `predict`, `evaluate` and
/// `check` share.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reading")]
pub(super) struct ReadArgs {
    /// What separates the columns of a text: a character, or `tab` [default: told from the text]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// The first line is a row like the others; columns are column_1, column_2, …
    #[arg(long)]
    no_headers: bool,
    /// Read the first N rows only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// A row that cannot be used is an error, or is skipped and counted
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = BadRow::Error)]
    on_bad_row: BadRow,
    /// Keep what has been read in this folder, for the next time
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// [`data::BadRow`] as the command line has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum BadRow {
    Error,
    Skip,
}

impl ReadArgs {
    pub(super) fn options(&self) -> ReadOptions {
        ReadOptions {
            delimiter: self.delimiter,
            headers: !self.no_headers,
            limit: self.limit,
            bad_row: self.bad_row(),
            cache: self.cache.clone(),
            ..ReadOptions::default()
        }
    }

    pub(super) fn bad_row(&self) -> data::BadRow {
        match self.on_bad_row {
            BadRow::Error => data::BadRow::Error,
            BadRow::Skip => data::BadRow::Skip,
        }
    }
}

fn delimiter(word: &str) -> Result<u8, String> {
    match word {
        "tab" | "\\t" => Ok(b'\t'),
        "comma" => Ok(b','),
        "semicolon" => Ok(b';'),
        "pipe" => Ok(b'|'),
        _ => match word.as_bytes() {
            [b'"' | b'\n' | b'\r' | 0] => Err("it cannot separate columns".to_owned()),
            [byte] if byte.is_ascii() => Ok(*byte),
            _ => Err("one ASCII character is wanted, or `tab`".to_owned()),
        },
    }
}

/// Reads a table: files, patterns of file names, or standard input for `-`.
pub(super) fn table(
    paths: &[PathBuf],
    args: &ReadArgs,
    pool: &rayon::ThreadPool,
) -> Result<Table, Failure> {
    let inputs = expand(paths)?;
    Ok(pool.install(|| Table::load(inputs, &args.options()))?)
}

/// The same as a stream, in constant memory; nothing named: standard input.
pub(super) fn batches(paths: &[PathBuf], args: &ReadArgs) -> Result<Batches, Failure> {
    let inputs = if paths.is_empty() { vec![Input::Stdin] } else { expand(paths)? };
    Ok(Batches::open(inputs, args.options())?)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    let message = match error.kind() {
        ErrorKind::NotFound => format!("there is no file `{shown}`"),
        ErrorKind::PermissionDenied => format!("no permission to read `{shown}`"),
        ErrorKind::IsADirectory => format!("`{shown}` is a directory, not a model's text"),
        _ => format!("cannot read `{shown}`: {error}"),
    };
    Diagnostic::error(Code::Usage, message)
        .help("the first argument is a model's text, such as `examples/iris.mlp`")
        .into()
}
