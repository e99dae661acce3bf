//! Losses and optimizers: a name from the kernels' lists and its
//! hyperparameters.

use super::model::{Loss, LossKind, Optimizer, OptimizerKind};
use super::read::{self, extra, named, twice};
use crate::diag::{Code, Diagnostic, Errors};
use crate::syntax::ast::{Arg, Stage, Value};
use mlpc_kernels::hyper::{Hyper, Range, Values};

/// The option that names an optimizer's learning rate.
pub(super) const RATE: &str = "rate";

/// Reads a `loss` statement; `None` where it has errors.
pub(super) fn loss(stage: &Stage, errors: &mut Errors) -> Option<Loss> {
    let mut positional = stage.args.iter().filter(|arg| !matches!(arg, Arg::Named(..)));
    let names: Vec<&str> = LossKind::ALL.iter().map(|kind| kind.name()).collect();
    let kind = match positional.next() {
        None => {
            if !stage.broken {
                errors.push(
                    Diagnostic::error(Code::MissingValue, "`loss` has no name")
                        .at(stage.name.span, "expected a loss after it")
                        .help(format!("the losses are {}", super::suggest::listed(&names))),
                );
            }
            return None;
        }
        Some(Arg::Value(value)) => {
            let word = value.to_string();
            match value.word().and_then(LossKind::parse) {
                Some(kind) => kind,
                None => {
                    errors.push(read::unknown("loss", "losses", &word, value.span, &names));
                    return None;
                }
            }
        }
        Some(arg) => {
            errors.push(extra(stage, arg, "write the name of a loss"));
            return None;
        }
    };
    let mut found = Errors::default();
    for arg in positional {
        let help = match kind.hypers().first() {
            Some(first) => {
                format!("the options of `{}` are named: `{}=…`", kind.name(), first.name)
            }
            None => format!("`{}` has no options", kind.name()),
        };
        found.push(extra(stage, arg, help));
    }
    let mut loss = Loss::new(kind);
    // An unknown option is one of the loss, not of the word `loss`.
    let known: Vec<&str> = kind.hypers().iter().map(|hyper| hyper.name).collect();
    let mut stage_of_kind = stage.clone();
    stage_of_kind.name.value = format!("loss {}", kind.name());
    for (name, value) in named(&stage_of_kind, &known, &mut found) {
        set(kind.hypers(), &mut loss.hyper, &name.value, value, &mut found);
    }
    finish(loss, stage, found, errors)
}

/// Reads an optimizer's statement; `None` where it has errors.
pub(super) fn optimizer(
    kind: OptimizerKind,
    stage: &Stage,
    errors: &mut Errors,
) -> Option<Optimizer> {
    let mut optimizer = Optimizer::new(kind);
    let mut found = Errors::default();
    let mut rate_span = None;
    for arg in &stage.args {
        match arg {
            Arg::Named(..) => {}
            Arg::Value(value) if rate_span.is_none() => {
                rate_span = Some(value.span);
                rate(&mut optimizer, value, &mut found);
            }
            arg => {
                let help =
                    "it takes one learning rate; its options are named, as in `weight_decay=0.01`";
                found.push(extra(stage, arg, help));
            }
        }
    }
    let hypers = kind.hypers();
    let known: Vec<&str> =
        std::iter::once(RATE).chain(hypers.iter().map(|hyper| hyper.name)).collect();
    let mut nesterov = None;
    for (name, value) in named(stage, &known, &mut found) {
        match (name.value.as_str(), rate_span) {
            (RATE, Some(first)) => found.push(twice("the learning rate", name.span, first)),
            (RATE, None) => rate(&mut optimizer, value, &mut found),
            (word, _) => {
                if word == "nesterov" {
                    nesterov = Some(name.span);
                }
                set(hypers, &mut optimizer.hyper, word, value, &mut found);
            }
        }
    }
    let at = |name: &str| hypers.iter().position(|hyper| hyper.name == name);
    if let (Some(span), Some(flag), Some(momentum)) = (nesterov, at("nesterov"), at("momentum"))
        && found.is_empty()
        && optimizer.hyper[flag] != 0.0
        && optimizer.hyper[momentum] == 0.0
    {
        found.push(
            Diagnostic::error(Code::Conflict, "`nesterov` does nothing without `momentum`")
                .at(span, "there is no momentum to look ahead along")
                .help("add a momentum, as in `momentum=0.9`"),
        );
    }
    finish(optimizer, stage, found, errors)
}

fn rate(optimizer: &mut Optimizer, value: &Value, found: &mut Errors) {
    match read::ranged("the learning rate", Range::Positive, value) {
        Ok(rate) => optimizer.rate = rate,
        Err(error) => found.push(error),
    }
}

fn set(table: &[Hyper], values: &mut Values, name: &str, value: &Value, found: &mut Errors) {
    let entry = values.iter_mut().zip(table).find(|(_, hyper)| hyper.name == name);
    let Some((slot, hyper)) = entry else { return };
    match read::hyper(hyper, value) {
        Ok(number) => *slot = number,
        Err(error) => found.push(error),
    }
}

fn finish<T>(value: T, stage: &Stage, found: Errors, errors: &mut Errors) -> Option<T> {
    let sound = found.is_empty() && !stage.broken;
    errors.extend(found.into_list());
    sound.then_some(value)
}
