//! Reading what the command line names: a model's text, a table.

use super::{Failure, limits};
use mlpc::check::model::{Model, Network};
use mlpc::check::{check, set};
use mlpc::data::{Dataset, Table};
use mlpc::diag::{Code, Diagnostic, Diagnostics, Sources};
use mlpc::syntax::{Parsed, decode, parse};
use std::io::{self, ErrorKind};
use std::path::Path;

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
        let inputs = data.map(Dataset::inputs);
        let outputs = data.map(Dataset::outputs);
        model.network(inputs, outputs, &limits()).map_err(|errors| self.failure(errors))
    }

    pub(super) fn failure(&self, errors: Diagnostics) -> Failure {
        Failure::Errors(errors, self.sources.clone())
    }
}

/// Reads a table: a file, or standard input for `-`.
pub(super) fn table(path: &Path) -> Result<Table, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Table::from_reader(io::stdin().lock(), "standard input")?);
    }
    Ok(Table::read(path)?)
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
