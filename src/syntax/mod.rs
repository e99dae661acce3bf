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
use pest::iterators::Pair;

/// How deep groups may be nested.
const MAX_DEPTH: usize = 64;
/// How many statements and lines of statements a text may have, blank lines
/// and comments not counted; a model has five.
const MAX_LINES: usize = 100_000;

use grammar::{Grammar, Rule};

/// What pest generates from the grammar has no documentation of its own.
#[allow(missing_docs)]
mod grammar {
    #[derive(pest_derive::Parser)]
    #[grammar = "../grammar/mlp.pest"]
    pub(super) struct Grammar;
}

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
    if let Some((at, message, label)) = unreadable(text) {
        ast.broken = true;
        let error = Diagnostic::error(Code::Syntax, message).at(span(at, at + 1), label);
        return Parsed { ast, errors: vec![error] };
    }
    let mut builder = Builder::new(source, Errors::default());
    let file = Grammar::parse(Rule::file, text).expect("the grammar is total");
    for pair in file.flat_map(Pair::into_inner) {
        if pair.as_rule() == Rule::statement && !builder.errors.full() {
            builder.statement(pair, &mut ast);
        }
    }
    Parsed { ast, errors: builder.errors.into_list() }
}

/// Reads `name=value`, the form of a `--set` argument.
pub(crate) fn parse_named(text: &str, source: u32) -> Result<Arg, Vec<Diagnostic>> {
    let malformed = || {
        let span = Span { source, start: 0, end: text.len() };
        vec![
            Diagnostic::error(Code::Syntax, "this sets nothing")
                .at(span, "expected `statement.option=value`")
                .help("for example `train.epochs=5`, `loss=mae` or `adam=0.01`"),
        ]
    };
    if unreadable(text).is_some() {
        return Err(malformed());
    }
    let file = Grammar::parse(Rule::file, text).expect("the grammar is total");
    let mut statements =
        file.flat_map(Pair::into_inner).filter(|pair| pair.as_rule() == Rule::statement);
    let (Some(statement), None) = (statements.next(), statements.next()) else {
        return Err(malformed());
    };
    let mut builder = Builder::new(source, Errors::default());
    let arg = builder.lone_named(statement);
    match (arg, builder.errors.into_list()) {
        (Some(arg), errors) if errors.is_empty() => Ok(arg),
        (_, errors) if !errors.is_empty() => Err(errors),
        _ => Err(malformed()),
    }
}

/// The place of the first thing that makes a text too much to read, what it
/// is and what to say there: recursion in the parser and in all later stages
/// is bounded by it, and so is the memory that a file of another kind takes.
fn unreadable(text: &str) -> Option<(usize, &'static str, String)> {
    let (mut depth, mut lines, mut filled) = (0usize, 0usize, false);
    let (mut in_string, mut in_comment, mut escaped) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\n' | b'\r' => {
                lines += usize::from(filled);
                (filled, in_string, in_comment, escaped) = (false, false, false, false);
            }
            _ if in_comment => {}
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => (filled, in_string) = (true, !in_string),
            _ if in_string => {}
            b'#' => in_comment = true,
            b';' => {
                lines += usize::from(filled);
                filled = false;
            }
            b' ' | b'\t' => {}
            b'(' => {
                (filled, depth) = (true, depth + 1);
                if depth > MAX_DEPTH {
                    let label = format!("more than {MAX_DEPTH} groups are open here");
                    return Some((at, "groups are nested too deeply", label));
                }
            }
            b')' => (filled, depth) = (true, depth.saturating_sub(1)),
            _ => filled = true,
        }
        if lines >= MAX_LINES && filled && text.is_char_boundary(at) {
            let label = format!("more than {MAX_LINES} lines and statements up to here");
            return Some((at, "the text is too long", label));
        }
    }
    None
}
