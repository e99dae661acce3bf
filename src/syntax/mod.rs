//! Text to [`Ast`]: syntax alone, no vocabulary.
//!
//! The grammar (`grammar/mlp.pest`) matches every text. What is wrong in one
//! becomes an error of [`Parsed`], the rest is read on, and `check` reports
//! syntax and meaning together. pest stays private to this folder.

pub mod ast;
mod build;
mod decode;

pub use ast::Ast;
pub(crate) use build::name_text;
pub use decode::decode;

use crate::diag::{Code, Diagnostic, Errors, Span};
use ast::Arg;
use build::Builder;
use pest::Parser;

/// How deep groups may be nested.
const MAX_DEPTH: usize = 64;
/// How many statements a text may have; a model has five.
const MAX_STATEMENTS: usize = 10_000;

#[derive(pest_derive::Parser)]
#[grammar = "../grammar/mlp.pest"]
struct Grammar;

/// What a text says, as far as it could be read, and what could not.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What could be read.
    pub ast: Ast,
    /// The syntax errors; [`check`](crate::check::check) reports them
    /// together with its own.
    pub errors: Vec<Diagnostic>,
}

/// Reads a text; its spans carry `source`, its index in the compilation's
/// [`Sources`](crate::diag::Sources).
pub fn parse(text: &str, source: u32) -> Parsed {
    let span = |start: usize, end: usize| Span { source, start, end };
    let mut ast = Ast { statements: Vec::new(), span: span(0, text.len()), broken: false };
    if let Some(at) = too_deep(text) {
        ast.broken = true;
        let error = Diagnostic::error(Code::Syntax, "groups are nested too deeply")
            .at(span(at, at + 1), format!("more than {MAX_DEPTH} groups are open here"));
        return Parsed { ast, errors: vec![error] };
    }
    let mut builder = Builder::new(source, Errors::default());
    let mut at = skip(text, 0);
    while at < text.len() && !builder.errors.full() {
        if ast.statements.len() >= MAX_STATEMENTS {
            let error = Diagnostic::error(Code::Syntax, "the text has too many statements")
                .at(span(at, at), format!("more than {MAX_STATEMENTS} up to here"));
            builder.errors.push(error);
            break;
        }
        let pairs = Grammar::parse(Rule::statement, &text[at..])
            .expect("the grammar is total: whatever is not between statements starts one");
        for pair in pairs {
            let end = at + pair.as_span().end();
            builder.statement(pair, at, &mut ast);
            at = end;
        }
        at = skip(text, at);
    }
    Parsed { ast, errors: builder.errors.into_list() }
}

/// Reads `name=value`, the form of a `--set` argument.
pub(crate) fn parse_named(text: &str, source: u32) -> Result<Arg, Vec<Diagnostic>> {
    let malformed = || {
        let span = Span { source, start: 0, end: text.len() };
        vec![
            Diagnostic::error(Code::Syntax, "cannot be set")
                .at(span, "expected `statement.option=value`")
                .help("for example `train.epochs=5`, `loss=mae` or `adam=0.01`"),
        ]
    };
    // The statement `set NAME=VALUE` has the one argument that is looked for.
    if too_deep(text).is_some() {
        return Err(malformed());
    }
    let start = skip(text, 0);
    let mut pairs = match Grammar::parse(Rule::statement, &text[start..]) {
        Ok(pairs) => pairs,
        Err(_) => return Err(malformed()),
    };
    let pair = pairs.next().expect("a match of a rule is a pair");
    if skip(text, start + pair.as_span().end()) < text.len() {
        return Err(malformed());
    }
    let mut builder = Builder::new(source, Errors::default());
    let arg = builder.lone_named(pair, start);
    match (arg, builder.errors.into_list()) {
        (Some(arg), errors) if errors.is_empty() => Ok(arg),
        (_, errors) if !errors.is_empty() => Err(errors),
        _ => Err(malformed()),
    }
}

/// The first byte at or after `at` that is not between statements.
fn skip(text: &str, at: usize) -> usize {
    let pairs = Grammar::parse(Rule::between, &text[at..]).expect("`between` matches nothing, too");
    at + pairs.as_str().len()
}

/// The place of the first `(` that is nested too deeply: recursion in the
/// parser and in all later stages is bounded by it.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut in_comment, mut escaped) = (0usize, false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\n' | b'\r' => (in_string, in_comment, escaped) = (false, false, false),
            _ if in_comment => {}
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'#' => in_comment = true,
            b'(' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(at);
                }
            }
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}
