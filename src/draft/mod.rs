//! A model's text for a table that nobody has described yet: `mlpc init`.
//!
//! [`draft`] looks at every column, decides what the target is and what is
//! left out, chooses sizes by the number of rows, and writes down why. The
//! text is an ordinary one: what it chooses can be changed by hand.
//!
//! Small tables get few units and long training, large ones wide layers,
//! large batches and few epochs.

mod columns;
mod sizes;

use crate::data::{ColumnKind, Profile, Table};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::name_text;
use columns::Columns;
use sizes::Sizes;
use std::fmt::Write;

/// What the network learns to say.
#[derive(Debug, Clone, PartialEq)]
enum Task {
    /// A number a target.
    Numbers,
    /// Which of two values.
    Binary,
    /// Which of so many values.
    Classes(usize),
    /// A yes or no a target.
    Labels,
}

/// Whole numbers of up to so many values are taken as classes.
const FEW_VALUES: usize = 20;

/// Writes a model's text for a table.
///
/// # Errors
/// Where a target is not a column of the table, or cannot be predicted: it is
/// the same in every row, or the targets are of different kinds.
pub fn draft(table: &Table, targets: &[String]) -> Result<String, Diagnostics> {
    let missing = targets.iter().filter(|name| table.column(name).is_none());
    let unknown = missing.map(|name| {
        crate::data::unknown_column(
            "`--target` names the column",
            name,
            &table.source,
            table.names(),
        )
    });
    Diagnostics::none_of(unknown.collect(), || ())?;
    let profiles: Vec<Profile> = table.columns.iter().map(Profile::of).collect();
    let of = |name: &String| {
        let at = table.names().position(|known| known == name).expect("it has been looked up");
        (table.columns[at].name.as_str(), &profiles[at])
    };
    let targets: Vec<(&str, &Profile)> = targets.iter().map(of).collect();
    let (task, why) = task(table, &targets)?;
    let columns = Columns::of(table, &profiles, &targets);
    if columns.inputs == 0 {
        return Err(Diagnostic::error(Code::DataColumn, "no column is left to predict from")
            .in_file(&table.source, None)
            .note(columns.reasons.join("; "))
            .help("the table needs a column that says something about the target")
            .into());
    }
    // A row without its target teaches nothing.
    let rows = table.rows() - targets.iter().map(|(_, p)| p.missing).max().unwrap_or(0);
    let sizes = Sizes::of(rows, columns.inputs, matches!(task, Task::Classes(_)));

    let mut text = String::new();
    let shown = comment(&table.source);
    let _ = writeln!(
        text,
        "# {shown}: {} rows, {} columns. Drafted by `mlpc init`; change what you like.\n",
        table.rows(),
        table.columns.len()
    );
    let mut say = |line: &str| {
        let _ = writeln!(text, "# {}", comment(line));
    };
    why.iter().for_each(|line| say(line));
    columns.reasons.iter().for_each(|line| say(line));
    let names: Vec<String> = targets.iter().map(|(name, _)| name_text(name)).collect();
    let _ = write!(text, "data target={}", names.join(","));
    text.push_str(&columns.options);
    text.push_str("\n\n");

    let _ = writeln!(text, "# {}", sizes.why_network);
    text.push_str("input auto");
    for units in &sizes.units {
        let _ = write!(text, " -> dense {units} {}", sizes.activation);
    }
    let (output, loss) = match task {
        Task::Numbers => ("dense auto", "mse"),
        Task::Binary => ("dense 1 sigmoid", "bce"),
        Task::Labels => ("dense auto sigmoid", "bce"),
        Task::Classes(_) => ("dense auto softmax", "cross_entropy"),
    };
    let _ = write!(text, " -> {output}\nloss {loss}");
    if sizes.label_smoothing > 0.0 {
        let _ = write!(text, " label_smoothing={}", sizes.label_smoothing);
    }
    let _ = writeln!(text, "\n{}\n", sizes.optimizer);
    let _ = writeln!(text, "# {}", sizes.why_training);
    let _ = write!(text, "train epochs={} batch={}", sizes.epochs, sizes.batch);
    if sizes.validation > 0.0 {
        let _ = write!(text, " validation={} patience={}", sizes.validation, sizes.patience);
    }
    text.push_str(" seed=42\n");
    Ok(text)
}

/// What the targets are, and the lines that say why.
fn task(table: &Table, targets: &[(&str, &Profile)]) -> Result<(Task, Vec<String>), Diagnostics> {
    let refuse = |message: String, help: &str| {
        let error = Diagnostic::error(Code::DataValue, message).in_file(&table.source, None);
        Err(error.help(help).into())
    };
    if let Some((name, _)) = targets.iter().find(|(_, profile)| profile.distinct < 2) {
        return refuse(
            format!("the target `{name}` is the same in every row"),
            "is it the right column?",
        );
    }
    let list: Vec<String> = targets.iter().map(|(name, _)| format!("`{name}`")).collect();
    let list = list.join(", ");
    let [(name, target)] = targets else {
        if targets.iter().all(|(_, profile)| profile.distinct == 2) {
            let why = format!("{list} have two values each: a yes or no each.");
            return Ok((Task::Labels, vec![why]));
        }
        if targets.iter().all(|(_, profile)| profile.kind.is_number()) {
            return Ok((
                Task::Numbers,
                vec![format!("{list}: a number each, predicted together.")],
            ));
        }
        return refuse(
            format!("the targets {list} are of different kinds"),
            "several targets are all numbers, or all have two values: draft a text for each kind",
        );
    };
    let column = table.column(name).expect("it has been looked up");
    let values = target.range_text(column);
    Ok(match (target.kind, target.distinct) {
        (_, 2) => {
            let why = match target.kind {
                ColumnKind::Integer | ColumnKind::Number => values.replace(" to ", " and "),
                _ => values,
            };
            (Task::Binary, vec![format!("`{name}` has two values, {why}: which of them.")])
        }
        (ColumnKind::Integer, n) if n <= FEW_VALUES && target.range.0 >= 0.0 => (
            Task::Classes(n),
            vec![
                format!("`{name}` holds {n} whole numbers, {values}: taken as classes."),
                "To predict it as a number instead, end the network with `dense 1` and write `loss mse`."
                    .to_owned(),
            ],
        ),
        (ColumnKind::Integer | ColumnKind::Number, _) => {
            (Task::Numbers, vec![format!("`{name}` is a number, {values}.")])
        }
        (ColumnKind::Date, _) => {
            return refuse(
                format!("the target `{name}` holds dates, which cannot be predicted"),
                "add a column of numbers to predict, such as the days since a date",
            );
        }
        (ColumnKind::Text | ColumnKind::Boolean, n) => {
            let mut why = vec![format!("`{name}` has {n} values ({values}): classes.")];
            if 2 * n > table.rows() {
                why.push("Few rows share a class: is it the right column?".to_owned());
            }
            (Task::Classes(n), why)
        }
    })
}

/// A text in a comment: a line, whatever is in it.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
