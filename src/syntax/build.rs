//! Matches of the grammar to the tree, and what does not belong to errors.

use super::ast::{Arg, Ast, Atom, AtomKind, Chain, Stage, Value};
use super::{Grammar, Rule};
use crate::diag::{Code, Diagnostic, Errors, Span, Spanned};
use pest::Parser;
use pest::iterators::{Pair, Pairs};

/// Builds the statements of one text.
pub(super) struct Builder {
    source: u32,
    pub(super) errors: Errors,
}

/// A chain that is being read.
#[derive(Default)]
struct Open {
    stages: Vec<Stage>,
    current: Option<Stage>,
    /// The last arrow, while no stage follows it.
    arrow: Option<Span>,
    /// The stage at hand has no readable name; it was reported.
    skipping: bool,
    broken: bool,
}

impl Open {
    fn spoil(&mut self) {
        match &mut self.current {
            Some(stage) => stage.broken = true,
            None => (self.broken, self.skipping) = (true, true),
        }
    }
}

impl Builder {
    pub(super) fn new(source: u32, errors: Errors) -> Self {
        Builder { source, errors }
    }

    /// Adds a statement, and those that an unclosed group swallowed.
    pub(super) fn statement(&mut self, pair: Pair<'_, Rule>, ast: &mut Ast) {
        let mut swallowed = Vec::new();
        match self.chain(pair.into_inner(), &mut swallowed) {
            Some(chain) => ast.statements.push(chain),
            None => ast.broken = true,
        }
        ast.statements.append(&mut swallowed);
    }

    /// The argument of a statement that is nothing but `name=value`.
    pub(super) fn lone_named(&mut self, pair: Pair<'_, Rule>) -> Option<Arg> {
        let mut inner = pair.into_inner();
        let named = inner.next().filter(|first| first.as_rule() == Rule::named)?;
        if inner.next().is_some() {
            return None;
        }
        self.named(named)
    }

    fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        Span { source: self.source, start: span.start(), end: span.end() }
    }

    fn error(&mut self, span: Span, message: impl Into<String>, label: &str, help: &str) {
        let error = Diagnostic::error(Code::Syntax, message).at(span, label);
        self.errors.push(if help.is_empty() { error } else { error.help(help) });
    }

    /// `None` where not one stage could be read.
    fn chain(&mut self, pairs: Pairs<'_, Rule>, swallowed: &mut Vec<Chain>) -> Option<Chain> {
        let mut open = Open::default();
        for pair in pairs {
            let span = self.span(&pair);
            match pair.as_rule() {
                Rule::arrow => self.arrow(&mut open, span),
                Rule::wrong_arrow => {
                    self.error(
                        span,
                        format!("`{}` is not an arrow", pair.as_str()),
                        "expected `->`",
                        "",
                    );
                    self.arrow(&mut open, span);
                }
                _ => self.item(&mut open, pair, span, swallowed),
            }
        }
        if let (Some(arrow), None, false) = (open.arrow, &open.current, open.skipping) {
            if !open.stages.is_empty() {
                self.error(
                    arrow,
                    "nothing follows this `->`",
                    "expected a layer after it",
                    "add a layer, as in `-> dense 1`, or remove the arrow",
                );
            }
            open.broken = true;
        }
        open.stages.extend(open.current);
        let span = open.stages.first()?.span.to(open.stages.last()?.span);
        Some(Chain { stages: open.stages, span, broken: open.broken })
    }

    fn arrow(&mut self, open: &mut Open, span: Span) {
        if let Some(stage) = open.current.take() {
            open.stages.push(stage);
        } else if !open.skipping {
            open.broken = true;
            match open.arrow {
                None => self.error(
                    span,
                    "nothing stands before this `->`",
                    "expected a layer before it",
                    "a network starts with its input, as in `input 2 -> dense 1`",
                ),
                Some(_) => self.error(
                    span,
                    "nothing stands between two `->`",
                    "expected a layer before this one",
                    "remove one of the arrows",
                ),
            }
        }
        open.skipping = false;
        open.arrow = Some(span);
    }

    fn item(
        &mut self,
        open: &mut Open,
        pair: Pair<'_, Rule>,
        span: Span,
        swallowed: &mut Vec<Chain>,
    ) {
        let text = pair.as_str();
        let arg = match pair.as_rule() {
            Rule::list => self.list(pair).map(Arg::Value),
            Rule::named => self.named(pair),
            Rule::group => {
                let (arg, whole) = self.group(pair, swallowed);
                if !whole {
                    if let Some(stage) = &mut open.current {
                        stage.broken = true;
                    }
                    open.broken = true;
                }
                Some(arg)
            }
            Rule::stray_close => {
                self.error(span, "this `)` closes nothing", "no group is open here", "remove it");
                None
            }
            Rule::stray_comma => {
                let span = Span { end: span.start + 1, ..span };
                self.error(
                    span,
                    "this `,` separates nothing",
                    "expected a value before it",
                    "a list is written `a, b, c`",
                );
                None
            }
            Rule::stray_equals => {
                let sign = Span { end: span.start + 1, ..span };
                self.error(
                    sign,
                    "nothing stands before this `=`",
                    "expected the name of an option before it",
                    "an option is written `name=value`, as in `epochs=5`",
                );
                None
            }
            _ => {
                // `20%` is one thing to the reader.
                let touching = open
                    .current
                    .as_mut()
                    .and_then(|stage| stage.args.pop_if(|arg| arg.span().end == span.start));
                let (span, text) = match touching {
                    Some(Arg::Value(value) | Arg::Named(_, value)) => {
                        let atom = &value.atoms[value.atoms.len() - 1];
                        (atom.span.to(span), format!("{atom}{text}"))
                    }
                    _ => (span, text.to_owned()),
                };
                self.error(
                    span,
                    format!("`{text}` does not belong here"),
                    "expected a name, a value or `->`",
                    "a name that holds other characters is quoted, as in `\"price (€)\"`",
                );
                None
            }
        };
        let Some(arg) = arg else { return open.spoil() };
        if let Some(stage) = &mut open.current {
            stage.span = stage.span.to(arg.span());
            stage.args.push(arg);
            return;
        }
        if open.skipping {
            return;
        }
        if let Arg::Value(value) = &arg
            && let Some(word) = value.word()
        {
            let name = Spanned { value: word.to_owned(), span: value.span };
            open.current = Some(Stage { name, args: Vec::new(), span: value.span, broken: false });
            open.arrow = None;
            return;
        }
        let (what, help) = match &arg {
            Arg::Value(value) => (format!("`{value}`"), "a statement or layer starts with a word"),
            Arg::Named(name, _) => {
                let message = format!("`{}=` stands where a statement or layer starts", name.value);
                let help = "an option follows a name, as in `train epochs=5`; a name has no `=`";
                self.error(name.span, message, "expected a name without `=`", help);
                return open.spoil();
            }
            Arg::Group(..) => (
                "a group".to_owned(),
                "a group follows the name of what it belongs to, as in `repeat 2 ( … )`",
            ),
        };
        self.error(arg.span(), format!("a name is missing before {what}"), "expected a name", help);
        open.spoil();
    }

    /// The group, and whether all of it could be read.
    fn group(&mut self, pair: Pair<'_, Rule>, swallowed: &mut Vec<Chain>) -> (Arg, bool) {
        let mut span = self.span(&pair);
        let closed = pair.as_str().ends_with(')')
            && pair.clone().into_inner().any(|inner| inner.as_rule() == Rule::close);
        let mut merged: Option<Chain> = None;
        let mut whole = closed;
        let mut reported = false;
        for inner in pair.into_inner() {
            let place = self.span(&inner);
            match inner.as_rule() {
                Rule::open if !closed => {
                    span = place;
                    self.errors.push(
                        Diagnostic::error(Code::Unclosed, "this `(` is never closed")
                            .at(place, "expected a `)` for it")
                            .help("close the group, as in `repeat 2 ( dense 8 relu )`"),
                    );
                }
                Rule::semicolon if closed && !reported => {
                    reported = true;
                    whole = false;
                    self.error(
                        place,
                        "a group holds one chain",
                        "expected `->` or `)` here",
                        "layers are joined by `->`",
                    );
                }
                Rule::chain => {
                    let Some(chain) = self.chain(inner.into_inner(), swallowed) else {
                        whole = false;
                        continue;
                    };
                    match &mut merged {
                        None => merged = Some(chain),
                        Some(_) if !closed => swallowed.push(chain),
                        Some(first) => {
                            whole = false;
                            if !reported {
                                reported = true;
                                self.error(
                                    chain.stages[0].name.span,
                                    "`->` is missing in this group",
                                    "expected `->` before it",
                                    "layers are joined by `->`",
                                );
                            }
                            first.span = first.span.to(chain.span);
                            first.stages.extend(chain.stages);
                        }
                    }
                }
                _ => {}
            }
        }
        (Arg::Group(merged, span), whole)
    }

    fn named(&mut self, pair: Pair<'_, Rule>) -> Option<Arg> {
        let mut inner = pair.into_inner();
        let name = inner.next().expect("`named` starts with a name");
        let span = self.span(&name);
        let Some(list) = inner.next() else {
            self.errors.push(
                Diagnostic::error(Code::MissingValue, format!("`{}` has no value", name.as_str()))
                    .at(span, "expected a value after `=`")
                    .help(format!("write `{}=VALUE`, or leave it out", name.as_str())),
            );
            return None;
        };
        let value = self.list(list)?;
        Some(Arg::Named(Spanned { value: name.as_str().to_owned(), span }, value))
    }

    /// The list's values; `None` where one could not be read.
    fn list(&mut self, pair: Pair<'_, Rule>) -> Option<Value> {
        let mut atoms = Vec::new();
        let mut whole = true;
        // A value is due at the start and after each comma.
        let mut due = true;
        let mut last_comma = None;
        for inner in pair.into_inner() {
            let span = self.span(&inner);
            if inner.as_rule() == Rule::comma {
                if due && whole {
                    self.missing_in_list(span);
                    whole = false;
                }
                (due, last_comma) = (true, Some(span));
                continue;
            }
            due = false;
            match self.atom(&inner, span) {
                Some(atom) => atoms.push(atom),
                None => whole = false,
            }
        }
        if let (true, true, Some(comma)) = (due, whole, last_comma) {
            self.missing_in_list(comma);
            whole = false;
        }
        let span = atoms.first()?.span.to(atoms.last()?.span);
        whole.then_some(Value { atoms, span })
    }

    fn missing_in_list(&mut self, comma: Span) {
        self.errors.push(
            Diagnostic::error(Code::MissingValue, "a list lacks a value")
                .at(comma, "expected a value on both sides of this `,`")
                .help("a list is written `a, b, c`"),
        );
    }

    fn atom(&mut self, pair: &Pair<'_, Rule>, span: Span) -> Option<Atom> {
        let text = pair.as_str();
        match pair.as_rule() {
            Rule::string => {
                let text = self.unescape(&text[1..text.len() - 1], span.start + 1)?;
                Some(Atom { text, kind: AtomKind::String, span })
            }
            Rule::unclosed_string => {
                self.errors.push(
                    Diagnostic::error(Code::Unclosed, "this string is never closed")
                        .at(
                            Span { end: span.start + 1, ..span },
                            "expected a `\"` on the same line",
                        )
                        .help("a `\"` within a string is written `\\\"`"),
                );
                None
            }
            _ if is_number(text) => {
                let number = text.parse().expect("f64 reads every number of the language");
                Some(Atom { text: text.to_owned(), kind: AtomKind::Number(number), span })
            }
            _ if !text.starts_with(['.', '-', '+']) => {
                Some(Atom { text: text.to_owned(), kind: AtomKind::Word, span })
            }
            _ => {
                self.error(
                    span,
                    format!("`{text}` is neither a number nor a name"),
                    "expected a number or a name",
                    "quote a name that starts like this",
                );
                None
            }
        }
    }

    fn unescape(&mut self, text: &str, start: usize) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            let (_, escaped) = chars.next().expect("the grammar pairs every `\\` in a string");
            out.push(match escaped {
                '"' | '\\' => escaped,
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => {
                    let (start, end) = (start + at, start + at + 1 + other.len_utf8());
                    self.error(
                        Span { source: self.source, start, end },
                        format!("`\\{other}` stands for nothing"),
                        "expected `\\\\`, `\\\"`, `\\n`, `\\r` or `\\t`",
                        "a `\\` itself is written `\\\\`",
                    );
                    return None;
                }
            });
        }
        Some(out)
    }
}

/// Whether this is a decimal number: unlike Rust's, without `inf` and `nan`.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        None => digits(mantissa),
        Some((whole, part)) => {
            (digits(whole) && (part.is_empty() || digits(part)))
                || (whole.is_empty() && digits(part))
        }
    };
    mantissa_fits && exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)))
}

/// A name as it is written in a text: bare where the grammar takes it so,
/// quoted otherwise.
pub(crate) fn name_text(name: &str) -> String {
    let bare = Grammar::parse(Rule::bare, name).is_ok_and(|pairs| pairs.as_str() == name)
        && (is_number(name) || !name.starts_with(['.', '-', '+']))
        && !name.ends_with('-');
    if bare { name.to_owned() } else { super::ast::quote(name) }
}
