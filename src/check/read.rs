//! Values to numbers, flags and words, and the errors that are alike for all
//! statements.

use super::suggest;
use crate::diag::{Code, Diagnostic, Errors, Span, Spanned};
use crate::syntax::ast::{Arg, Atom, AtomKind, Stage, Value};
use mlpc_kernels::hyper::{Hyper, Range};

/// A value that cannot be used: "`epochs` cannot be `0`".
pub(super) fn refused(what: &str, value: &Value, expected: &str) -> Diagnostic {
    let found = match value.atoms.as_slice() {
        [one] => format!("`{one}`"),
        list => format!("a list of {} values", list.len()),
    };
    Diagnostic::error(Code::BadValue, format!("{what} cannot be {found}"))
        .at(value.span, format!("expected {expected}"))
}

/// A word that is not in the vocabulary.
pub(super) fn unknown(
    kind: &str,
    plural: &str,
    word: &str,
    span: Span,
    vocabulary: &[&str],
) -> Diagnostic {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    Diagnostic::error(Code::UnknownWord, format!("unknown {kind} `{word}`"))
        .at(span, format!("not {article} {kind}"))
        .help(suggest::help(word, vocabulary, plural))
}

/// A whole number of at least `min`.
pub(super) fn count(what: &str, value: &Value, min: u64, or: &str) -> Result<u64, Diagnostic> {
    let expected = match min {
        0 => format!("a whole number{or}"),
        _ => format!("a whole number of at least {min}{or}"),
    };
    let refuse = || Err(refused(what, value, &expected));
    let Some(Atom { text, kind: AtomKind::Number(number), .. }) = value.single() else {
        return refuse();
    };
    let exact = match text.parse::<u64>() {
        Ok(exact) => exact,
        // 1e3 is a whole number, too; above 2⁵³ f64 does not hold them all.
        Err(_) if number.fract() == 0.0 && (0.0..=9007199254740992.0).contains(number) => {
            *number as u64
        }
        Err(_) if *number > 9007199254740992.0 => {
            return Err(refused(what, value, &format!("{expected}; this one is too large")));
        }
        Err(_) => return refuse(),
    };
    if exact < min { refuse() } else { Ok(exact) }
}

/// A number for which `fits` holds.
pub(super) fn number(
    what: &str,
    value: &Value,
    expected: &str,
    fits: impl Fn(f64) -> bool,
) -> Result<f64, Diagnostic> {
    match value.single() {
        Some(Atom { kind: AtomKind::Number(number), .. }) if !number.is_finite() => {
            Err(refused(what, value, &format!("{expected}; this one is too large")))
        }
        Some(Atom { kind: AtomKind::Number(number), .. }) if fits(*number) => {
            // -0 would print and compare as something else than 0.
            Ok(if *number == 0.0 { 0.0 } else { *number })
        }
        _ => Err(refused(what, value, expected)),
    }
}

/// `true` or `false`.
pub(super) fn flag(what: &str, value: &Value) -> Result<bool, Diagnostic> {
    match value.word() {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        _ => Err(refused(what, value, "`true` or `false`")),
    }
}

/// A hyperparameter's value.
pub(super) fn hyper(hyper: &Hyper, value: &Value) -> Result<f64, Diagnostic> {
    let what = format!("`{}`", hyper.name);
    match hyper.range {
        Range::Flag => flag(&what, value).map(f64::from),
        range => ranged(&what, range, value),
    }
}

/// A number in a range of the kernels, which compute in f32.
pub(super) fn ranged(what: &str, range: Range, value: &Value) -> Result<f64, Diagnostic> {
    let read = number(what, value, range.describe(), |x| range.contains(x));
    match value.single() {
        Some(Atom { kind: AtomKind::Number(x), .. })
            if read.is_err() && x.is_finite() && (*x as f32).is_infinite() =>
        {
            read.map_err(|error| error.note("it is too large for 32-bit arithmetic"))
        }
        Some(Atom { kind: AtomKind::Number(x), .. }) if read.is_err() && *x > 0.0 && *x < 1.0 => {
            read.map_err(|error| error.note("32-bit arithmetic rounds it out of the range"))
        }
        _ => read,
    }
}

/// The stage's options that are known, each once, in the order of the text;
/// the others are reported.
pub(super) fn named<'s>(
    stage: &'s Stage,
    known: &[&str],
    errors: &mut Errors,
) -> Vec<(&'s Spanned<String>, &'s Value)> {
    let mut seen: Vec<(&Spanned<String>, &Value)> = Vec::new();
    for arg in &stage.args {
        let Arg::Named(name, value) = arg else { continue };
        if let Some((first, _)) = seen.iter().find(|(first, _)| first.value == name.value) {
            errors.push(twice(&format!("`{}`", name.value), name.span, first.span));
        } else if known.contains(&name.value.as_str()) {
            seen.push((name, value));
        } else {
            let help = match known {
                [] => format!("`{}` has no options", stage.name.value),
                _ => {
                    let plural = format!("options of `{}`", stage.name.value);
                    suggest::help(&name.value, known, &plural)
                }
            };
            errors.push(
                Diagnostic::error(
                    Code::UnknownWord,
                    format!("`{}` has no option `{}`", stage.name.value, name.value),
                )
                .at(name.span, "unknown option")
                .help(help),
            );
        }
    }
    seen
}

/// Something that is given a second time.
pub(super) fn twice(what: &str, again: Span, first: Span) -> Diagnostic {
    Diagnostic::error(Code::Repeated, format!("{what} is given twice"))
        .at(again, "given again here")
        .at(first, "first given here")
        .help("keep one of them")
}

/// An argument that is one too many.
pub(super) fn extra(stage: &Stage, arg: &Arg, help: impl Into<String>) -> Diagnostic {
    let name = &stage.name.value;
    let message = match arg {
        Arg::Value(value) => format!("`{name}` does not take `{value}`"),
        Arg::Named(option, _) => format!("`{name}` does not take `{}`", option.value),
        Arg::Group(..) => format!("`{name}` takes no group"),
    };
    Diagnostic::error(Code::BadValue, message).at(arg.span(), "unexpected").help(help)
}
