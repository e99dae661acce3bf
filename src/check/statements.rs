//! Which statement is which: sorts a text's chains, and tells where an arrow,
//! a line end or the right name is missing.

use super::model::{Activation, LossKind, OptimizerKind};
use super::read::{self, twice};
use super::{network, suggest};
use crate::diag::{Code, Diagnostic, Errors, Spanned};
use crate::syntax::ast::{Arg, Ast, Chain, Stage};

/// The statements of a text, at most one of a kind.
#[derive(Default)]
pub(super) struct Statements {
    pub(super) network: Option<Chain>,
    pub(super) loss: Option<Stage>,
    pub(super) optimizer: Option<(OptimizerKind, Stage)>,
    pub(super) train: Option<Stage>,
    pub(super) data: Option<Stage>,
    /// Something could not be told, and may have been the network.
    pub(super) unreadable: bool,
    /// A loss stands there, but not in a `loss` statement.
    pub(super) loss_unreadable: bool,
}

/// What a statement is, by its first word.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Network,
    Loss,
    Optimizer(OptimizerKind),
    Train,
    Data,
}

/// The first words of the statements that are neither network nor optimizer.
const WORDS: &[(&str, Kind)] =
    &[("loss", Kind::Loss), ("train", Kind::Train), ("data", Kind::Data)];

impl Kind {
    /// The kind of statement that starts with this word.
    pub(super) fn parse(word: &str) -> Option<Kind> {
        let simple = WORDS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind);
        simple
            .or_else(|| OptimizerKind::parse(word).map(Kind::Optimizer))
            .or_else(|| network::LAYERS.contains(&word).then_some(Kind::Network))
    }
}

/// The words that may start a statement.
pub(super) fn vocabulary() -> Vec<&'static str> {
    let optimizers = OptimizerKind::ALL.iter().map(|kind| kind.name());
    std::iter::once(network::INPUT)
        .chain(WORDS.iter().map(|(name, _)| *name))
        .chain(optimizers)
        .collect()
}

/// Sorts the statements.
pub(super) fn find(ast: &Ast, errors: &mut Errors) -> Statements {
    let mut found = Statements { unreadable: ast.broken, ..Statements::default() };
    for chain in &ast.statements {
        for (kind, part) in parts(chain, errors) {
            found.add(kind, part, errors);
        }
    }
    found
}

/// The statements of a chain: one, unless the text lacks something.
fn parts(chain: &Chain, errors: &mut Errors) -> Vec<(Option<Kind>, Chain)> {
    let mut parts: Vec<(Option<Kind>, Chain)> = Vec::new();
    for (index, stage) in chain.stages.iter().enumerate() {
        for (split, stage) in without_runs(stage, errors).into_iter().enumerate() {
            let kind = Kind::parse(&stage.name.value);
            let before = parts.last_mut().filter(|_| index > 0 || split > 0);
            let Some((current, part)) = before else {
                parts.push((
                    kind,
                    Chain { span: stage.span, stages: vec![stage], broken: chain.broken },
                ));
                continue;
            };
            let in_network = matches!(current, Some(Kind::Network) | None);
            let joins = matches!(kind, Some(Kind::Network) | None);
            if in_network && joins {
                part.span = part.span.to(stage.span);
                part.stages.push(stage);
                continue;
            }
            if split == 0 {
                let at = stage.name.span;
                errors.push(if in_network {
                    part.broken = true;
                    let name = &stage.name.value;
                    Diagnostic::error(Code::Syntax, format!("`{name}` is a statement, not a layer"))
                        .at(at, "expected a layer after `->`")
                        .help(format!("remove the `->` and write `{name}` on a line of its own"))
                } else {
                    let name = &part.stages[0].name.value;
                    Diagnostic::error(Code::Syntax, format!("`->` cannot follow `{name}`"))
                        .at(at, "expected a new statement here")
                        .help("`->` joins layers; statements are separated by `;` or line ends")
                });
            }
            if kind.is_some() {
                parts.push((kind, Chain { span: stage.span, stages: vec![stage], broken: true }));
            }
        }
    }
    parts
}

/// A stage, split before words that start another: `input 2 dense 3` lacks
/// an arrow, `dense 1 loss mse` a line end.
fn without_runs(stage: &Stage, errors: &mut Errors) -> Vec<Stage> {
    let mut stages = vec![Stage { args: Vec::new(), ..stage.clone() }];
    for arg in &stage.args {
        let current = stages.last_mut().expect("it starts with one stage");
        let run = match arg {
            Arg::Value(value) => {
                value.word().and_then(|word| Some((word, value.span, Kind::parse(word)?)))
            }
            _ => None,
        };
        let Some((word, span, kind)) = run else {
            current.args.push(arg.clone());
            continue;
        };
        let from = Kind::parse(&current.name.value);
        let joined = kind == Kind::Network && matches!(from, Some(Kind::Network) | None);
        errors.push(if joined {
            Diagnostic::error(Code::Syntax, format!("`->` is missing before `{word}`"))
                .at(span, "expected `->` before it")
                .help("layers are joined by `->`, as in `input 2 -> dense 3`")
        } else {
            Diagnostic::error(Code::Syntax, format!("`{word}` starts a new statement"))
                .at(span, "expected `;` or a line end before it")
                .help("statements are separated by `;` or line ends")
        });
        current.broken = true;
        stages.push(Stage {
            name: Spanned { value: word.to_owned(), span },
            args: Vec::new(),
            span: span.to(stage.span.after()),
            broken: stage.broken,
        });
    }
    stages
}

impl Statements {
    fn add(&mut self, kind: Option<Kind>, mut chain: Chain, errors: &mut Errors) {
        let again = chain.stages[0].name.span;
        let Some(kind) = kind else { return self.add_unknown(chain, errors) };
        let first = match kind {
            Kind::Network => {
                let starts = chain.stages[0].name.value == network::INPUT;
                match &mut self.network {
                    Some(first) if !starts => {
                        let name = &chain.stages[0].name.value;
                        errors.push(
                            Diagnostic::error(
                                Code::Syntax,
                                format!("`->` is missing before `{name}`"),
                            )
                            .at(again, "this layer follows nothing")
                            .help("a line of a chain may end or start with `->`"),
                        );
                        first.stages.append(&mut chain.stages);
                        first.broken = true;
                        return;
                    }
                    Some(first) => first.stages[0].name.span,
                    None => {
                        self.network = Some(chain);
                        return;
                    }
                }
            }
            Kind::Optimizer(optimizer) => match &self.optimizer {
                Some((_, first)) => first.name.span,
                None => {
                    self.optimizer = Some((optimizer, chain.stages.remove(0)));
                    return;
                }
            },
            Kind::Loss | Kind::Train | Kind::Data => {
                let slot = match kind {
                    Kind::Loss => &mut self.loss,
                    Kind::Train => &mut self.train,
                    _ => &mut self.data,
                };
                match slot {
                    Some(first) => first.name.span,
                    None => {
                        *slot = Some(chain.stages.remove(0));
                        return;
                    }
                }
            }
        };
        let what = match kind {
            Kind::Network => "the network".to_owned(),
            Kind::Optimizer(_) => "the optimizer".to_owned(),
            _ => format!("`{}`", chain.stages[0].name.value),
        };
        let error = twice(&what, again, first);
        errors.push(match kind {
            Kind::Train | Kind::Data => error.help("put all the options into one statement"),
            _ => error,
        });
    }

    fn add_unknown(&mut self, chain: Chain, errors: &mut Errors) {
        let Spanned { value: word, span } = &chain.stages[0].name;
        let misplaced = |what: &str, help: String| {
            Diagnostic::error(Code::UnknownWord, format!("`{word}` is {what}, not a statement"))
                .at(*span, "expected a statement")
                .help(help)
        };
        if chain.stages.len() == 1 && LossKind::parse(word).is_some() {
            self.loss_unreadable = true;
            errors.push(misplaced("a loss", format!("write `loss {word}`")));
        } else if chain.stages.len() == 1 && Activation::parse(word).is_some() {
            self.unreadable = true;
            let help = format!("it follows a layer's width, as in `dense 8 {word}`");
            errors.push(misplaced("an activation", help));
        } else {
            let mut words = vocabulary();
            if chain.stages.len() > 1 {
                words = network::LAYERS.to_vec();
            }
            let meant = suggest::nearest(word, &words);
            self.unreadable |= meant.is_none_or(|meant| Kind::parse(meant) == Some(Kind::Network));
            self.loss_unreadable |= meant == Some("loss");
            let mut error = read::unknown("statement", "statements", word, *span, &words);
            if meant.is_none() && chain.stages.len() > 1 {
                error = error.help("a network starts with its input, as in `input 2 -> dense 1`");
            }
            errors.push(error);
        }
    }
}
