//! The options of `train` and `data`: one table each, which drives reading,
//! suggestions, printing and documentation. A new option is a field of
//! [`Train`] or [`Data`] and a row here.

use super::model::{Data, Missing, Scale, Train};
use super::print::number;
use super::read::{self, extra, named};
use super::suggest;
use crate::diag::{Code, Diagnostic, Errors};
use crate::syntax::ast::{Arg, Stage, Value};
use crate::syntax::name_text;

/// An option of a statement that is read into a `T`.
pub struct Entry<T> {
    /// The word of the language.
    pub name: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
    kind: Kind<T>,
}

/// What an option's value is, and where in `T` it stands.
enum Kind<T> {
    Count {
        min: u64,
        get: fn(&T) -> Option<u64>,
        set: fn(&mut T, u64) -> Option<()>,
    },
    Share {
        get: fn(&T) -> f64,
        set: fn(&mut T, f64),
    },
    Flag {
        get: fn(&T) -> bool,
        set: fn(&mut T, bool),
    },
    Name {
        get: fn(&T) -> Option<&String>,
        set: fn(&mut T, String),
    },
    Names {
        get: fn(&T) -> &Vec<String>,
        set: fn(&mut T, Vec<String>),
    },
    Widths {
        get: fn(&T) -> &Vec<(String, usize)>,
        set: fn(&mut T, Vec<(String, usize)>),
    },
    Word {
        words: fn() -> Vec<&'static str>,
        get: fn(&T) -> Option<&'static str>,
        set: fn(&mut T, &str) -> Option<()>,
    },
}

fn count(to: &mut usize, value: u64) -> Option<()> {
    *to = usize::try_from(value).ok()?;
    Some(())
}

fn scales() -> Vec<&'static str> {
    Scale::ALL.iter().map(|scale| scale.name()).collect()
}

fn missings() -> Vec<&'static str> {
    Missing::ALL.iter().map(|missing| missing.name()).collect()
}

/// The options of `train`.
pub const TRAIN: &[Entry<Train>] = &[
    Entry {
        name: "epochs",
        doc: "passes over the training rows",
        kind: Kind::Count {
            min: 1,
            get: |t| Some(t.epochs as u64),
            set: |t, v| count(&mut t.epochs, v),
        },
    },
    Entry {
        name: "batch",
        doc: "rows of a mini-batch",
        kind: Kind::Count {
            min: 1,
            get: |t| Some(t.batch as u64),
            set: |t, v| count(&mut t.batch, v),
        },
    },
    Entry {
        name: "shuffle",
        doc: "whether every epoch sees the rows in a new order, if it has several batches",
        kind: Kind::Flag { get: |t| t.shuffle, set: |t, v| t.shuffle = v },
    },
    Entry {
        name: "seed",
        doc: "the seed of initial weights, splits and shuffles",
        kind: Kind::Count {
            min: 0,
            get: |t| Some(t.seed),
            set: |t, v| {
                t.seed = v;
                Some(())
            },
        },
    },
    Entry {
        name: "validation",
        doc: "the share of the rows that is held out, of each class as many",
        kind: Kind::Share { get: |t| t.validation, set: |t, v| t.validation = v },
    },
    Entry {
        name: "patience",
        doc: "epochs without a lower validation loss after which training stops; the best epoch's parameters are kept (default: train all epochs, keep the last)",
        kind: Kind::Count {
            min: 1,
            get: |t| t.patience.map(|n| n as u64),
            set: |t, v| count(t.patience.insert(0), v),
        },
    },
];

/// The options of `data`.
pub const DATA: &[Entry<Data>] = &[
    Entry {
        name: "target",
        doc: "the target columns (default: the last ones, as many as the output is wide)",
        kind: Kind::Names { get: |d| &d.target, set: |d, v| d.target = v },
    },
    Entry {
        name: "drop",
        doc: "columns that are left out",
        kind: Kind::Names { get: |d| &d.drop, set: |d, v| d.drop = v },
    },
    Entry {
        name: "only",
        doc: "the only input columns (default: all but the targets)",
        kind: Kind::Names { get: |d| &d.only, set: |d, v| d.only = v },
    },
    Entry {
        name: "categorical",
        doc: "columns that are categories though they hold numbers",
        kind: Kind::Names { get: |d| &d.categorical, set: |d, v| d.categorical = v },
    },
    Entry {
        name: "numeric",
        doc: "columns that must be numbers",
        kind: Kind::Names { get: |d| &d.numeric, set: |d, v| d.numeric = v },
    },
    Entry {
        name: "embedding",
        doc: "categories that become so many trained numbers each, as in `town:8,street:16`",
        kind: Kind::Widths { get: |d| &d.embedding, set: |d, v| d.embedding = v },
    },
    Entry {
        name: "scale",
        doc: "how numeric inputs are scaled",
        kind: Kind::Word {
            words: scales,
            get: |d| Some(d.scale.name()),
            set: |d, word| Scale::parse(word).map(|scale| d.scale = scale),
        },
    },
    Entry {
        name: "target_scale",
        doc: "how numeric targets are scaled (default: standard for a linear output, else none)",
        kind: Kind::Word {
            words: scales,
            get: |d| d.target_scale.map(Scale::name),
            set: |d, word| Scale::parse(word).map(|scale| d.target_scale = Some(scale)),
        },
    },
    Entry {
        name: "missing",
        doc: "what happens to missing numbers in inputs",
        kind: Kind::Word {
            words: missings,
            get: |d| Some(d.missing.name()),
            set: |d, word| Missing::parse(word).map(|missing| d.missing = missing),
        },
    },
    Entry {
        name: "missing_indicator",
        doc: "whether a number that is sometimes missing has one more input, 1 where it is",
        kind: Kind::Flag { get: |d| d.missing_indicator, set: |d, v| d.missing_indicator = v },
    },
    Entry {
        name: "min_count",
        doc: "levels of a category in fewer training rows than this become one",
        kind: Kind::Count {
            min: 1,
            get: |d| Some(d.min_count as u64),
            set: |d, v| count(&mut d.min_count, v),
        },
    },
    Entry {
        name: "split",
        doc: "the column that says which rows train (0, train), validate (1, validation) and test (2, test)",
        kind: Kind::Name { get: |d| d.split.as_ref(), set: |d, v| d.split = Some(v) },
    },
    Entry {
        name: "group",
        doc: "the column whose equal values `validation=` keeps on one side",
        kind: Kind::Name { get: |d| d.group.as_ref(), set: |d, v| d.group = Some(v) },
    },
];

impl<T> Entry<T> {
    /// What its value is, in words.
    pub fn expects(&self) -> String {
        match &self.kind {
            Kind::Count { min: 0, .. } => "a whole number".to_owned(),
            Kind::Count { min, .. } => format!("a whole number of at least {min}"),
            Kind::Share { .. } => SHARE.to_owned(),
            Kind::Flag { .. } => "`true` or `false`".to_owned(),
            Kind::Name { .. } => "a column".to_owned(),
            Kind::Names { .. } => "a column, or columns with commas in between".to_owned(),
            Kind::Widths { .. } => WIDTHS.to_owned(),
            Kind::Word { words, .. } => super::suggest::listed(&words()),
        }
    }

    /// Its value as text; `None` where it has none.
    pub fn print(&self, from: &T) -> Option<String> {
        match &self.kind {
            Kind::Count { get, .. } => get(from).map(|count| count.to_string()),
            Kind::Share { get, .. } => Some(number(get(from))),
            Kind::Flag { get, .. } => Some(get(from).to_string()),
            Kind::Name { get, .. } => get(from).map(|name| name_text(name)),
            Kind::Names { get, .. } => {
                let names: Vec<String> = get(from).iter().map(|name| name_text(name)).collect();
                (!names.is_empty()).then(|| names.join(","))
            }
            Kind::Widths { get, .. } => {
                let pair = |(name, width): &(String, usize)| name_text(&format!("{name}:{width}"));
                let pairs: Vec<String> = get(from).iter().map(pair).collect();
                (!pairs.is_empty()).then(|| pairs.join(","))
            }
            Kind::Word { get, .. } => get(from).map(str::to_owned),
        }
    }

    fn set(&self, to: &mut T, value: &Value) -> Result<(), Diagnostic> {
        let what = format!("`{}`", self.name);
        match &self.kind {
            Kind::Count { min, set, .. } => {
                let count = read::count(&what, value, *min, "")?;
                set(to, count).ok_or_else(|| read::refused(&what, value, "a smaller number"))
            }
            Kind::Share { set, .. } => {
                let share = read::number(&what, value, SHARE, |x| (0.0..1.0).contains(&x))?;
                set(to, share);
                Ok(())
            }
            Kind::Flag { set, .. } => read::flag(&what, value).map(|flag| set(to, flag)),
            Kind::Name { set, .. } => {
                let mut names = names(self.name, value)?;
                if names.len() > 1 {
                    return Err(read::refused(&what, value, "one column"));
                }
                set(to, names.pop().expect("a value has at least one part"));
                Ok(())
            }
            Kind::Names { set, .. } => {
                set(to, names(self.name, value)?);
                Ok(())
            }
            Kind::Widths { set, .. } => {
                set(to, widths(self.name, value)?);
                Ok(())
            }
            Kind::Word { words, set, .. } => {
                value.word().and_then(|word| set(to, word)).ok_or_else(|| {
                    let message = format!("unknown value `{value}` for {what}");
                    let help =
                        suggest::help(&value.to_string(), &words(), &format!("values of {what}"));
                    Diagnostic::error(Code::UnknownWord, message)
                        .at(value.span, format!("not a value for {what}"))
                        .help(help)
                })
            }
        }
    }
}

const SHARE: &str = "a number from 0 up to, but not including, 1";

/// Column names as written, each once.
fn names(option: &str, value: &Value) -> Result<Vec<String>, Diagnostic> {
    let mut seen = std::collections::HashMap::new();
    let mut names = Vec::with_capacity(value.atoms.len());
    for atom in &value.atoms {
        if let Some(first) = seen.insert(atom.text.as_str(), atom.span) {
            let what = format!("the column {atom} in `{option}`");
            return Err(read::twice(&what, atom.span, first));
        }
        if atom.text.is_empty() {
            return Err(Diagnostic::error(Code::BadValue, "a column's name is empty")
                .at(atom.span, "expected a name"));
        }
        names.push(atom.text.clone());
    }
    Ok(names)
}

const WIDTHS: &str = "a column and a width, as in `town:8`, or several with commas in between";

/// Column names with a width each, `name:width`, each column once. The last
/// colon is the one: names may hold others.
fn widths(option: &str, value: &Value) -> Result<Vec<(String, usize)>, Diagnostic> {
    let mut seen = std::collections::HashMap::new();
    let mut widths = Vec::with_capacity(value.atoms.len());
    for atom in &value.atoms {
        let wrong = |what: String, expected: &str| {
            Diagnostic::error(Code::BadValue, what).at(atom.span, format!("expected {expected}"))
        };
        let Some((name, width)) = atom.text.rsplit_once(':').filter(|(name, _)| !name.is_empty())
        else {
            let name = name_text(&format!("{}:8", atom.text.trim_end_matches(':')));
            let error = wrong(format!("`{option}` cannot be `{atom}`"), "a column and a width");
            return Err(error.help(format!("write `{option}={name}` for 8 numbers a level")));
        };
        let Some(width) = width.parse::<u32>().ok().filter(|&width| width > 0) else {
            let what = format!("the width of the embedding of `{name}` cannot be `{width}`");
            return Err(wrong(what, "a whole number of at least 1"));
        };
        if let Some(first) = seen.insert(name, atom.span) {
            let what = format!("the column `{name}` in `{option}`");
            return Err(read::twice(&what, atom.span, first));
        }
        widths.push((name.to_owned(), width as usize));
    }
    Ok(widths)
}

/// Reads a statement's options into `to`.
pub(super) fn read<T>(stage: &Stage, table: &[Entry<T>], to: &mut T, errors: &mut Errors) {
    let known: Vec<&str> = table.iter().map(|entry| entry.name).collect();
    for arg in &stage.args {
        if !matches!(arg, Arg::Named(..)) {
            let name = &stage.name.value;
            let example = known.first().expect("a table has rows");
            let meant = match arg {
                Arg::Value(value) => value.word().filter(|word| known.contains(word)),
                _ => None,
            };
            let help = match meant {
                Some(option) => format!("an option needs a value: `{option}=…`"),
                None => format!(
                    "options are written `name=value`, as in `{name} {example}=…`; several values are separated by commas"
                ),
            };
            errors.push(extra(stage, arg, help));
        }
    }
    for (name, value) in named(stage, &known, errors) {
        let entry = table.iter().find(|entry| entry.name == name.value);
        let entry = entry.expect("`named` returns options of the table alone");
        if let Err(error) = entry.set(to, value) {
            errors.push(error);
        }
    }
}
