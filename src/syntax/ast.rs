//! The text as a tree: names and values with their places, nothing judged.

use crate::diag::{Span, Spanned};
use std::fmt;

/// A text's statements, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Ast {
    /// The statements that could be read.
    pub statements: Vec<Chain>,
    /// The whole text.
    pub span: Span,
    /// Whether a statement could not be read at all: then nobody can say what
    /// is missing.
    pub broken: bool,
}

/// Stages with arrows in between; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// The stages.
    pub stages: Vec<Stage>,
    /// From the first stage to the last.
    pub span: Span,
    /// Whether a stage of it could not be read.
    pub broken: bool,
}

/// A name and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What the stage is.
    pub name: Spanned<String>,
    /// What it is told, in the order of the text.
    pub args: Vec<Arg>,
    /// From the name to the last argument.
    pub span: Span,
    /// Whether an argument of it could not be read.
    pub broken: bool,
}

/// An argument of a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    /// `value`
    Value(Value),
    /// `name=value`
    Named(Spanned<String>, Value),
    /// `( chain )`; `None` where the parentheses hold nothing.
    Group(Option<Chain>, Span),
}

impl Arg {
    /// Its place.
    pub fn span(&self) -> Span {
        match self {
            Arg::Value(value) => value.span,
            Arg::Named(name, value) => name.span.to(value.span),
            Arg::Group(_, span) => *span,
        }
    }
}

/// Atoms with commas in between; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The atoms; one, where the value is no list.
    pub atoms: Vec<Atom>,
    /// From the first atom to the last.
    pub span: Span,
}

impl Value {
    /// The atom, where the value is no list.
    pub fn single(&self) -> Option<&Atom> {
        match self.atoms.as_slice() {
            [atom] => Some(atom),
            _ => None,
        }
    }

    /// The word, where the value is one, unquoted.
    pub fn word(&self) -> Option<&str> {
        self.single().filter(|atom| atom.kind == AtomKind::Word).map(|atom| atom.text.as_str())
    }
}

/// A number, a word or a string.
#[derive(Debug, Clone, PartialEq)]
pub struct Atom {
    /// A number or a word as written; a string without its quotes.
    pub text: String,
    /// Which of them.
    pub kind: AtomKind,
    /// Its place.
    pub span: Span,
}

/// What an atom is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AtomKind {
    /// `-1.5e3`; infinite where it does not fit.
    Number(f64),
    /// `relu`
    Word,
    /// `"quoted"`
    String,
}

impl fmt::Display for Ast {
    /// The tree, a node a line, without places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.statements.iter().try_for_each(|chain| {
            writeln!(f, "statement")?;
            write_chain(f, chain, 1)
        })
    }
}

fn write_chain(f: &mut fmt::Formatter<'_>, chain: &Chain, depth: usize) -> fmt::Result {
    let indent = 2 * depth;
    for stage in &chain.stages {
        writeln!(f, "{:indent$}stage {}", "", stage.name.value)?;
        for arg in &stage.args {
            match arg {
                Arg::Value(value) => writeln!(f, "{:indent$}  value {value}", "")?,
                Arg::Named(name, value) => {
                    writeln!(f, "{:indent$}  option {} = {value}", "", name.value)?;
                }
                Arg::Group(chain, _) => {
                    writeln!(f, "{:indent$}  group", "")?;
                    if let Some(chain) = chain {
                        write_chain(f, chain, depth + 2)?;
                    }
                }
            }
        }
    }
    Ok(())
}

impl fmt::Display for Value {
    /// As it is written in a text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, atom) in self.atoms.iter().enumerate() {
            f.write_str(if i > 0 { "," } else { "" })?;
            write!(f, "{atom}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Atom {
    /// As it is written in a text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            AtomKind::Number(_) | AtomKind::Word => f.write_str(&self.text),
            AtomKind::String => f.write_str(&quote(&self.text)),
        }
    }
}

/// A string of the language that reads back as `text`.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
