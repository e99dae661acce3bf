//! Diagnostics: what is wrong, where, and what to do about it.
//!
//! An error is a kind and a place; it is rendered once, at the edge, by
//! [`render`], in the form that rustc made known:
//!
//! ```text
//! error[E102]: unknown activation `sigmoyd`
//!  --> model.mlp:1:20
//!   |
//! 1 | input 2 -> dense 3 sigmoyd
//!   |                    ^^^^^^^ not an activation
//!   |
//!   = help: did you mean `sigmoid`?
//! ```
//!
//! Stages collect all the errors that they can find and return them together
//! as [`Diagnostics`].

mod render;

pub use render::render;

use std::fmt;
use std::path::PathBuf;

/// A text that diagnostics can point into: a model file, or a `--set` argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What the user calls it: a path, or the argument itself.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// The texts of one compilation; a [`Span`] names one of them by its index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// A collection that holds one text.
    pub fn of(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut sources = Sources::default();
        sources.add(name, text);
        sources
    }

    /// Adds a text and returns the index that its spans carry.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> u32 {
        self.0.push(Source { name: name.into(), text: text.into() });
        (self.0.len() - 1) as u32
    }

    /// The text with this index.
    pub fn get(&self, index: u32) -> Option<&Source> {
        self.0.get(index as usize)
    }
}

/// A range of bytes in one of the compilation's texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// Index of the text in its [`Sources`].
    pub source: u32,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The smallest span that holds both; they must be of one text.
    pub fn to(self, other: Span) -> Span {
        debug_assert_eq!(self.source, other.source);
        Span {
            source: self.source,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// The place just behind it.
    pub fn after(self) -> Span {
        Span { start: self.end, ..self }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place in the text.
    pub span: Span,
}

macro_rules! codes {
    ($($name:ident = $number:literal, $doc:literal;)*) => {
        /// The kinds of errors, by number: 1xx the text, 2xx the data, 3xx
        /// model files, 4xx running and the command line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $doc] $name = $number),* }

        impl Code {
            /// Every code, with one line of explanation.
            pub const ALL: &[(Code, &str)] = &[$((Code::$name, $doc)),*];
        }
    };
}

codes! {
    Syntax = 101, "The text does not follow the grammar.";
    UnknownWord = 102, "A word that the language does not have at this place.";
    MissingValue = 103, "Something needs a value that is not there.";
    BadValue = 104, "A value of the wrong kind or out of its range.";
    Repeated = 105, "A statement or an option is given twice.";
    Conflict = 106, "Two parts of the text do not go together.";
    MissingStatement = 107, "The text lacks a statement that it needs.";
    Encoding = 108, "The text is not UTF-8.";
    TooLarge = 109, "The network does not fit the machine's memory.";
    Unclosed = 110, "A group or a string is not closed.";
    NeedsData = 111, "A width is `auto` and no data set says what it is.";
    DataFile = 201, "A data file cannot be read.";
    DataFormat = 202, "A data file is not the table that it should be.";
    DataColumn = 203, "A column that the model names is missing, repeated or unusable.";
    DataValue = 204, "A value in the data cannot be used.";
    DataShape = 205, "The data's width and the network's do not agree.";
    ModelFile = 301, "A model file cannot be read, or is not one.";
    ModelVersion = 302, "A model file was written by a newer version.";
    ModelTensor = 303, "A tensor is missing or has the wrong shape.";
    GoldenRow = 304, "A model file does not reproduce its own golden rows.";
    Usage = 401, "The command line asks for something that cannot be done.";
    Output = 402, "A result cannot be written.";
    Diverged = 403, "Training diverged: the loss or a parameter is not a finite number.";
    Expectation = 404, "A measured figure or result is not as it was wanted to be.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E{}", *self as u32)
    }
}

/// Where in a data or model file something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlace {
    /// The file.
    pub path: PathBuf,
    /// Line, counted from 1, the header included.
    pub line: Option<u64>,
}

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its kind.
    pub code: Code,
    /// Whether it stops the work.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Places in the model's text; the first one is the main one.
    pub labels: Vec<(Span, String)>,
    /// The place in a data or model file.
    pub file: Option<FilePlace>,
    /// Facts that help to understand.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is run.
    Error,
    /// Work goes on.
    Warning,
}

impl Diagnostic {
    /// An error of this kind, without a place yet.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            file: None,
            notes: Vec::new(),
            help: None,
        }
    }

    /// A warning of this kind, without a place yet.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, message) }
    }

    /// Points at a place in the model's text, with a few words under the caret.
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.labels.push((span, label.into()));
        self
    }

    /// Names a file and, where there is one, a line of it.
    pub fn in_file(mut self, path: impl Into<PathBuf>, line: Option<u64>) -> Self {
        self.file = Some(FilePlace { path: path.into(), line });
        self
    }

    /// Adds a fact.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All that a stage found wrong: at least one error, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// `Ok(value)` where the list holds no error.
    pub fn none_of<T>(mut list: Vec<Diagnostic>, value: impl FnOnce() -> T) -> Result<T, Self> {
        if list.iter().all(|d| d.severity != Severity::Error) {
            return Ok(value());
        }
        list.sort_by_key(|d| d.labels.first().map(|(span, _)| *span));
        Err(Diagnostics(list))
    }

    /// The diagnostics.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }
}

/// Collects errors, up to a number that a reader can still use: what a file
/// of another kind brings up must not fill the memory.
#[derive(Debug, Default)]
pub struct Errors {
    list: Vec<Diagnostic>,
    left_out: usize,
}

impl Errors {
    /// How many are kept.
    const MAX: usize = 100;

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.full() {
            self.left_out += 1;
        } else {
            self.list.push(diagnostic);
        }
    }

    /// Whether further ones would be left out.
    pub fn full(&self) -> bool {
        self.list.len() >= Errors::MAX
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The errors.
    pub fn into_list(mut self) -> Vec<Diagnostic> {
        if let (Some(last), true) = (self.list.last_mut(), self.left_out > 0) {
            last.notes.push(format!("{} more errors are not shown", self.left_out));
        }
        self.list
    }
}

impl Extend<Diagnostic> for Errors {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, list: I) {
        list.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Diagnostics(vec![one])
    }
}

impl fmt::Display for Diagnostics {
    /// The messages alone, one a line; [`render`] shows the places as well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.0.iter().enumerate() {
            let newline = if i > 0 { "\n" } else { "" };
            write!(f, "{newline}{}: {}", d.code, d.message)?;
            if let Some(help) = &d.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
