//! Hyperparameters: what an operation can be told beside its name.
//!
//! A loss or an optimizer declares its hyperparameters in its own file, once:
//! name, default, range and meaning. Whoever parses, prints, checks or
//! documents them reads this table.

/// How many hyperparameters an operation may have; the longest list is
/// `rmsprop`'s.
pub const MAX: usize = 5;

/// The values of an operation's hyperparameters, in the order of its table;
/// entries past the table's end are zero.
pub type Values = [f64; MAX];

/// One hyperparameter of a loss or an optimizer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hyper {
    /// The word of the language, as in `momentum=0.9`.
    pub name: &'static str,
    /// Its value where the text says nothing (a flag: 0 or 1).
    pub default: f64,
    /// The values that it may take.
    pub range: Range,
    /// One line of documentation.
    pub doc: &'static str,
}

/// The values that a hyperparameter may take. NaN and infinities never fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// x > 0
    Positive,
    /// x ≥ 0
    NonNegative,
    /// 0 ≤ x < 1
    Fraction,
    /// 0 < x < 1
    OpenFraction,
    /// `true` or `false`, stored as 1 or 0.
    Flag,
}

impl Range {
    /// Whether `x` lies in the range, also after rounding to f32, which is
    /// what the kernels compute in.
    pub fn contains(self, x: f64) -> bool {
        let narrow = x as f32;
        narrow.is_finite()
            && match self {
                Range::Positive => x > 0.0 && narrow > 0.0,
                Range::NonNegative => x >= 0.0,
                Range::Fraction => x >= 0.0 && narrow < 1.0,
                Range::OpenFraction => narrow > 0.0 && narrow < 1.0,
                Range::Flag => x == 0.0 || x == 1.0,
            }
    }

    /// The range in words, to follow "expected".
    pub fn describe(self) -> &'static str {
        match self {
            Range::Positive => "a number greater than 0",
            Range::NonNegative => "a number of at least 0",
            Range::Fraction => "a number from 0 up to, but not including, 1",
            Range::OpenFraction => "a number between 0 and 1",
            Range::Flag => "`true` or `false`",
        }
    }
}

/// The default values of a table.
pub fn defaults(table: &[Hyper]) -> Values {
    let mut values = [0.0; MAX];
    for (value, hyper) in values.iter_mut().zip(table) {
        *value = hyper.default;
    }
    values
}
