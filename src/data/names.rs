//! Column names: looked up, with suggestions where one is unknown.

use crate::diag::{Code, Diagnostic};

/// The name in `known` that `word` may be a misspelling of.
fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            // One letter for another is no misspelling of a name of one letter.
            *distance <= (name.chars().count() / 3).max(1) && *distance < lower.chars().count()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The error for a column that a file does not have; `why` says who asks for
/// it, as in "`data target=` names the column".
pub(crate) fn unknown_column<'a>(
    why: &str,
    word: &str,
    source: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Diagnostic {
    let error =
        Diagnostic::error(Code::DataColumn, format!("{why} `{word}`, which the data do not have"))
            .in_file(source, None)
            .note(format!("the columns are {}", list(known.clone(), 20)));
    match closest(word, known) {
        Some(name) => error.help(format!("did you mean `{name}`?")),
        None => error,
    }
}

/// Names in backticks with commas between; the tail of a long list is counted.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str> + Clone, most: usize) -> String {
    let total = names.clone().count();
    let shown: Vec<String> = names.take(most).map(|name| format!("`{name}`")).collect();
    match total - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
