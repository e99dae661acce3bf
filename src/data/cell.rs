//! What a cell holds: nothing, a number, or text.

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
pub(crate) fn is_missing(trimmed: &[u8]) -> bool {
    // The longest word has eight bytes: most text is told apart by that.
    trimmed.is_empty()
        || (trimmed.len() <= 8 && MISSING.iter().any(|word| word.as_bytes() == trimmed))
}

/// Looks at a cell; blanks around it do not count.
pub(crate) fn classify(raw: &[u8]) -> Cell {
    // Short whole numbers fill most tables: they need no general parser.
    if let Some(number) = short_integer(raw) {
        return Cell::Number(number);
    }
    let trimmed = raw.trim_ascii();
    if is_missing(trimmed) {
        return Cell::Missing;
    }
    // Rust's parser takes `nan` in any case, which is missing only as above.
    let parsed = std::str::from_utf8(trimmed).ok().and_then(|text| text.parse::<f64>().ok());
    match parsed {
        Some(number) if number.is_finite() => Cell::Number(number),
        Some(number) if number.is_infinite() => Cell::Infinite,
        _ => Cell::Text,
    }
}

/// A whole number of up to 15 digits, which f64 holds exactly.
fn short_integer(raw: &[u8]) -> Option<f64> {
    if raw.is_empty() || raw.len() > 15 {
        return None;
    }
    let mut sum = 0u64;
    for &byte in raw {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum = sum * 10 + u64::from(digit);
    }
    Some(sum as f64)
}

/// A cell as it is shown in a message: valid UTF-8, one line, not too long.
pub(crate) fn shown(raw: &[u8]) -> String {
    const LONGEST: usize = 40;
    let text = String::from_utf8_lossy(raw).replace(['\n', '\r'], " ");
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("999999999999999", 999_999_999_999_999.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
        ] {
            assert_eq!(classify(text.as_bytes()), Cell::Number(number), "{text:?}");
        }
        for text in ["inf", "-Infinity", "1e400"] {
            assert_eq!(classify(text.as_bytes()), Cell::Infinite, "{text:?}");
        }
        for text in ["x", "1,5", "0x10", "1 2", "?", "NAN", "na", "1_000", "\u{fffd}"] {
            assert_eq!(classify(text.as_bytes()), Cell::Text, "{text:?}");
        }
        assert_eq!(classify(b"\xff"), Cell::Text);
    }
}
