//! Changes from the command line: `--set train.epochs=5`.

use super::model::OptimizerKind;
use super::statements::{Kind, vocabulary};
use super::{network, read, tuned};
use crate::diag::{Code, Diagnostic, Sources, Span, Spanned};
use crate::syntax::ast::{Arg, Chain, Stage, Value};
use crate::syntax::{Parsed, parse_named};

/// Applies `--set` arguments, in their order: `train.epochs=5` replaces an
/// option, `loss=mae`, `adam=0.01` or `input=4` what a statement is told
/// first. Each becomes a text of its own in `sources`, so that the errors
/// that [`check`](super::check) finds point into it; what cannot be set is
/// added to `parsed.errors`.
pub fn set<S: AsRef<str>>(parsed: &mut Parsed, sources: &mut Sources, overrides: &[S]) {
    for text in overrides {
        let text = text.as_ref();
        let source = sources.add(format!("--set {text}"), text);
        match parse_named(text, source) {
            Ok(Arg::Named(path, value)) => {
                if let Err(error) = apply(parsed, &path, value) {
                    parsed.errors.push(error);
                }
            }
            Ok(arg) => unreachable!("`parse_named` returns options alone, not {arg:?}"),
            Err(errors) => parsed.errors.extend(errors),
        }
    }
}

fn apply(parsed: &mut Parsed, path: &Spanned<String>, value: Value) -> Result<(), Diagnostic> {
    let part = |text: &str, start: usize| Spanned {
        value: text.to_owned(),
        span: Span {
            source: path.span.source,
            start: path.span.start + start,
            end: path.span.start + start + text.len(),
        },
    };
    let (statement, option) = match path.value.split_once('.') {
        Some((statement, option)) => (part(statement, 0), Some(part(option, statement.len() + 1))),
        None => (path.clone(), None),
    };
    let settable = |kind| !matches!(kind, Kind::Network) || statement.value == network::INPUT;
    let Some(kind) = Kind::parse(&statement.value).filter(|kind| settable(*kind)) else {
        let words = vocabulary();
        let error =
            read::unknown("statement", "statements", &statement.value, statement.span, &words);
        return Err(error);
    };
    if let (None, Kind::Train | Kind::Data) = (&option, kind) {
        let name = &statement.value;
        return Err(Diagnostic::error(
            Code::MissingValue,
            format!("`{name}` is set option by option"),
        )
        .at(statement.span, "expected an option after it")
        .help(format!("write `--set {name}.OPTION=VALUE`")));
    }
    let of_kind = |chain: &&mut Chain| match (Kind::parse(&chain.stages[0].name.value), kind) {
        (Some(Kind::Optimizer(_)), Kind::Optimizer(_)) => true,
        (found, kind) => found == Some(kind) && found.is_some(),
    };
    let chains = &mut parsed.ast.statements;
    let Some(chain) = chains.iter_mut().find(of_kind) else {
        chains.push(new_statement(statement, option, value));
        return Ok(());
    };
    let stage = &mut chain.stages[0];
    let same = stage.name.value == statement.value;
    if matches!(kind, Kind::Optimizer(_)) && !same {
        *stage = new_stage(statement, option, value);
        return Ok(());
    }
    match (option, kind) {
        (None, Kind::Loss) => *stage = new_stage(statement, None, value),
        (None, _) => replace(stage, tuned::RATE, Arg::Value(value)),
        (Some(option), _) => {
            let name = option.value.clone();
            replace(stage, &name, Arg::Named(option, value));
        }
    }
    Ok(())
}

/// Puts an argument into the place of the one that it overrides.
fn replace(stage: &mut Stage, name: &str, arg: Arg) {
    // An optimizer's rate may be given by place or by name.
    let rate = OptimizerKind::parse(&stage.name.value).is_some() && name == tuned::RATE;
    let by_place = rate || matches!(arg, Arg::Value(_));
    let old = stage.args.iter().position(|old| match old {
        Arg::Named(old, _) => old.value == name,
        Arg::Value(_) => by_place,
        Arg::Group(..) => false,
    });
    match old {
        Some(index) => stage.args[index] = arg,
        None => stage.args.push(arg),
    }
}

fn new_stage(name: Spanned<String>, option: Option<Spanned<String>>, value: Value) -> Stage {
    let span = name.span.to(value.span);
    let arg = match option {
        Some(option) => Arg::Named(option, value),
        None => Arg::Value(value),
    };
    Stage { name, args: vec![arg], span, broken: false }
}

fn new_statement(name: Spanned<String>, option: Option<Spanned<String>>, value: Value) -> Chain {
    let stage = new_stage(name, option, value);
    Chain { span: stage.span, stages: vec![stage], broken: false }
}
