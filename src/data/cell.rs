//! What a cell holds: nothing, a number, or text.
//!
//! Numbers are decimal, with an exponent or without. Groups of three digits
//! may have commas between them (`1,234,567.8`): such a cell is the number
//! without the commas, and the table says how many it has read so. What f64
//! cannot hold (`1e400`) and `inf` are told apart from numbers and are never
//! used as one. Numbers too small for f64 are 0, as everywhere. A decimal
//! comma (`1,5`) is no number: a column of such cells is an error where it is
//! to become inputs, and never silently a category.

use super::date;
use mlpc_kernels::numbers::plain_number;

/// A cell's content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell {
    /// Empty or one of the words for "missing".
    Missing,
    /// A finite number.
    Number(f64),
    /// A number that f64 cannot hold, or an infinity.
    Infinite,
    /// Anything else.
    Text,
}

/// The words that pandas reads as missing, beside the empty cell.
const MISSING: &[&str] = &[
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// Whether a cell (without the blanks around it) stands for a missing value.
#[inline]
pub(crate) fn is_missing(trimmed: &[u8]) -> bool {
    // The longest word has eight bytes: most text is told apart by that, and
    // most of the rest by its first letter.
    match trimmed {
        [] => true,
        [b'#' | b'-' | b'1' | b'<' | b'N' | b'n', ..] if trimmed.len() <= 8 => {
            MISSING.iter().any(|word| word.as_bytes() == trimmed)
        }
        _ => false,
    }
}

/// Looks at a cell; blanks around it do not count.
#[inline]
pub(crate) fn classify(raw: &[u8]) -> Cell {
    match plain_number(raw) {
        Some(number) => Cell::Number(number),
        None => look_closer(raw),
    }
}

/// The cells that are no plain number.
pub(crate) fn look_closer(raw: &[u8]) -> Cell {
    let trimmed = raw.trim_ascii();
    if is_missing(trimmed) {
        return Cell::Missing;
    }
    // Rust's parser takes `nan` in any case, which is missing only as above.
    let parse = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let parsed: Option<f64> = match grouped(trimmed) {
        Some(plain) => parse(&plain),
        None => parse(trimmed),
    };
    match parsed {
        Some(number) if number.is_finite() => Cell::Number(number),
        Some(number) if number.is_infinite() => Cell::Infinite,
        _ => Cell::Text,
    }
}

/// A cell as a date: [`Cell::Number`] holds its seconds since 1970 in UTC.
pub(crate) fn date(raw: &[u8]) -> Cell {
    let trimmed = raw.trim_ascii();
    if is_missing(trimmed) {
        return Cell::Missing;
    }
    date::parse(trimmed).map_or(Cell::Text, Cell::Number)
}

/// A number without the commas between its groups of three digits; none where
/// it has no such commas.
fn grouped(trimmed: &[u8]) -> Option<Vec<u8>> {
    let sign = usize::from(matches!(trimmed, [b'+' | b'-', ..]));
    let whole_end = trimmed.iter().position(|&byte| byte == b'.').unwrap_or(trimmed.len());
    let (whole, fraction) = trimmed.split_at(whole_end);
    let mut groups = whole[sign..].split(|&byte| byte == b',');
    let digits = |group: &[u8]| group.iter().all(u8::is_ascii_digit);
    let first = groups.next()?;
    if !(1..=3).contains(&first.len()) || !digits(first) || first == b"0" {
        return None;
    }
    let mut others = 0;
    for group in groups {
        if group.len() != 3 || !digits(group) {
            return None;
        }
        others += 1;
    }
    let plain_fraction = fraction.is_empty() || digits(&fraction[1..]);
    (others > 0 && plain_fraction)
        .then(|| trimmed.iter().copied().filter(|&byte| byte != b',').collect())
}

/// Whether a cell is a number with a comma where the point belongs: `1,5`,
/// `-0,25`, `1.234,5`.
pub(crate) fn has_decimal_comma(raw: &[u8]) -> bool {
    let trimmed = raw.trim_ascii();
    let digits = trimmed.strip_prefix(b"-").or(trimmed.strip_prefix(b"+")).unwrap_or(trimmed);
    let Some(comma) = digits.iter().position(|&byte| byte == b',') else { return false };
    let (whole, fraction) = (&digits[..comma], &digits[comma + 1..]);
    !whole.is_empty()
        && !fraction.is_empty()
        && whole.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        && fraction.iter().all(u8::is_ascii_digit)
}

/// A cell as it is shown in a message: valid UTF-8, one line, not too long.
pub(crate) fn shown(raw: &[u8]) -> String {
    const LONGEST: usize = 40;
    // Four bytes a character at the most, and one to see that there is more.
    let start = &raw[..raw.len().min(4 * LONGEST + 4)];
    let text = String::from_utf8_lossy(start);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells() {
        for word in MISSING.iter().chain(&["", "  ", " NA ", "\tnull"]) {
            assert_eq!(classify(word.as_bytes()), Cell::Missing, "{word:?}");
        }
        for (text, number) in [
            ("0", 0.0),
            ("007", 7.0),
            (" 1.5 ", 1.5),
            ("-3e2", -300.0),
            ("+4", 4.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-0", -0.0),
            ("999999999999999", 999_999_999_999_999.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("99999999999999999999", 1e20),
            ("1e-400", 0.0),
            ("1,234", 1234.0),
            ("-12,345,678.25", -12_345_678.25),
        ] {
            assert_eq!(classify(text.as_bytes()), Cell::Number(number), "{text:?}");
        }
        for text in ["inf", "-Infinity", "1e400", "-1e400"] {
            assert_eq!(classify(text.as_bytes()), Cell::Infinite, "{text:?}");
        }
        for text in [
            "x", "1,5", "0x10", "1 2", "?", "NAN", "na", "1_000", "\u{fffd}", ".", "-", "1.2.3",
            "1,2345", "1234,567", ",123", "1,234,", "0,123", "1.5,000", "1,234e5",
        ] {
            assert_eq!(classify(text.as_bytes()), Cell::Text, "{text:?}");
        }
        assert_eq!(classify(b"\xff"), Cell::Text);
        for text in ["1,5", " -0,25 ", "1.234,5", "0,123"] {
            assert!(has_decimal_comma(text.as_bytes()), "{text:?}");
        }
        for text in ["1.5", "a,5", "1,", ",5", "1,2,3", "1,5x", ""] {
            assert!(!has_decimal_comma(text.as_bytes()), "{text:?}");
        }
        assert_eq!(date(b" 1970-01-02 "), Cell::Number(86_400.0));
        assert_eq!((date(b"NA"), date(b"12")), (Cell::Missing, Cell::Text));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_short(raw in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(shown(&raw).chars().count() <= 41);
        }
    }
}
