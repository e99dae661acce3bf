//! Which columns are inputs and which are targets.

use super::names::{list, unknown_column};
use super::read::count;
use super::table::Table;
use crate::check::model::{Activation, Data, Model, Width};
use crate::diag::{Code, Diagnostic, Diagnostics};

/// Which columns are what, by index, in the order of the table (targets: in
/// the order in which they are named).
pub(super) struct Roles {
    pub(super) inputs: Vec<usize>,
    pub(super) targets: Vec<usize>,
    /// The column that names the parts.
    pub(super) split: Option<usize>,
    /// The column whose groups stay together.
    pub(super) group: Option<usize>,
}

impl Roles {
    pub(super) fn of(table: &Table, model: &Model) -> Result<Roles, Diagnostics> {
        check_names(table, &model.data)?;
        let data = &model.data;
        let has = |names: &[String], i: usize| names.contains(&table.columns[i].name);
        let index = |name: &String| table.names().position(|n| n == name);
        let split = data.split.as_ref().and_then(index);
        let group = data.group.as_ref().and_then(index);
        let splits = |i: usize| split == Some(i) || group == Some(i);
        let all = 0..table.columns.len();
        let targets: Vec<usize> = if data.target.is_empty() {
            // `only` names inputs, so the targets are among the others.
            let free: Vec<usize> = all
                .clone()
                .filter(|&i| !has(&data.drop, i) && !has(&data.only, i) && !splits(i))
                .collect();
            let wanted = match (model.output_activation(), model.output_width()) {
                (Activation::Softmax, _) | (_, Width::Auto) => 1,
                (_, Width::Units(n)) => n,
            };
            let inputs_left = free.len().saturating_sub(wanted) + data.only.len();
            if wanted > free.len() || inputs_left == 0 {
                return Err(Diagnostic::error(
                    Code::DataShape,
                    format!(
                        "the last {} would be the target, but the table has {}",
                        if wanted == 1 { "column".to_owned() } else { count(wanted, "column") },
                        count(free.len(), "usable column"),
                    ),
                )
                .in_file(&table.source, None)
                .help("a table needs a column for every output, and at least one for the inputs")
                .into());
            }
            free[free.len() - wanted..].to_vec()
        } else {
            data.target.iter().filter_map(index).collect()
        };
        let inputs: Vec<usize> = all
            .filter(|i| {
                !targets.contains(i)
                    && !splits(*i)
                    && !has(&data.drop, *i)
                    && (data.only.is_empty() || has(&data.only, *i))
            })
            .collect();
        if inputs.is_empty() {
            return Err(Diagnostic::error(Code::DataColumn, "no column is left for the inputs")
                .in_file(&table.source, None)
                .note(format!("the columns are {}", list(table.names(), 20)))
                .help("name fewer columns in `data target=` or `data drop=`")
                .into());
        }
        Ok(Roles { inputs, targets, split, group })
    }
}

/// Every column that the text names exists and has one role.
fn check_names(table: &Table, data: &Data) -> Result<(), Diagnostics> {
    let embedded: Vec<String> = data.embedding.iter().map(|(name, _)| name.clone()).collect();
    let options = [
        ("target", data.target.as_slice()),
        ("drop", &data.drop),
        ("only", &data.only),
        ("categorical", &data.categorical),
        ("numeric", &data.numeric),
        ("split", data.split.as_slice()),
        ("group", data.group.as_slice()),
        ("embedding", &embedded),
    ];
    let mut errors = Vec::new();
    for (option, names) in options {
        for name in names {
            if table.column(name).is_none() {
                let why = format!("`data {option}=` names the column");
                errors.push(unknown_column(&why, name, &table.source, table.names()));
            }
        }
    }
    let clashes = [(0, 1), (0, 2), (1, 2), (3, 4), (0, 5), (0, 6), (2, 5), (2, 6), (5, 6)];
    let embeddings = [0, 1, 4, 5, 6].map(|other| (other, 7));
    for (a, b) in clashes.into_iter().chain(embeddings) {
        for name in options[a].1.iter().filter(|name| options[b].1.contains(name)) {
            errors.push(
                Diagnostic::error(
                    Code::DataColumn,
                    format!("`{name}` is in both `data {}=` and `{}=`", options[a].0, options[b].0),
                )
                .help("name it in one of them"),
            );
        }
    }
    Diagnostics::none_of(errors, || ())
}
