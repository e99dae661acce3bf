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

/// Powers of ten up to 10^22 are exact.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A decimal number of at most 19 digits whose value follows from one exactly
/// rounded operation (Clinger's fast path), which is nearly every number in a
/// table; the others are the general parser's.
#[inline]
pub(crate) fn plain_number(raw: &[u8]) -> Option<f64> {
    let (negative, digits) = match raw {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    // At most 19 digits or 20 bytes with the point: below 10^20 < 2^67 is too
    // much for u64, but 2^53 is asked for at the end, and wrapping is not
    // possible below 20 digits.
    let mut mantissa = 0u64;
    let mut point = None;
    for (i, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if byte == b'.' && point.is_none() {
            point = Some(i);
        } else {
            return None;
        }
    }
    let decimals = match point {
        None if digits.len() == 20 => return None,
        None => 0,
        // A point alone is no number.
        Some(_) if digits.len() == 1 => return None,
        Some(at) => digits.len() - 1 - at,
    };
    if mantissa > 1 << 53 {
        return None;
    }
    let number = mantissa as f64 / POWERS[decimals];
    Some(if negative { -number } else { number })
}

/// [`plain_number`] of a cell that stands in a text, eight or sixteen bytes
/// at a time where the text has so many behind the cell's start.
#[inline]
pub(crate) fn plain_number_in(text: &[u8], start: usize, end: usize) -> Option<f64> {
    let negative = text.get(start) == Some(&b'-');
    let first = start + usize::from(negative);
    let digits = &text[first..];
    let magnitude = match (end - first.min(end), digits.first_chunk::<16>()) {
        (length @ 1..=8, Some(bytes)) => {
            let [bytes, _] = bytes.as_chunks::<8>().0 else { unreachable!("16 bytes") };
            short_number(u64::from_le_bytes(*bytes), length)
        }
        (length @ 9..=16, Some(bytes)) => long_number(u128::from_le_bytes(*bytes), length),
        _ => return plain_number(&text[start..end]),
    }?;
    Some(if negative { -magnitude } else { magnitude })
}

/// The same byte eight times.
const fn each(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

/// The first so many bytes of a word as digits, the point among them taken
/// out: their values, how many there are, and how many are behind the point.
/// What is neither becomes no digit. `$each` is a byte in every place.
macro_rules! without_point {
    ($word:ty, $each:expr, $bytes:expr, $length:expr) => {{
        let (each, length): (fn(u8) -> $word, usize) = ($each, $length);
        // A digit becomes its value, and the point 0x1e.
        let bytes = ($bytes ^ each(b'0')) & (<$word>::MAX >> (<$word>::BITS as usize - 8 * length));
        let unlike_point = bytes ^ each(b'.' ^ b'0');
        // The lowest bit that this leaves is that of the first point.
        let points = unlike_point.wrapping_sub(each(1)) & !unlike_point & each(0x80);
        match points {
            0 => (bytes, length, 0),
            _ => {
                let before = points.trailing_zeros() & !7;
                let low = bytes & ((1 << before) - 1);
                // A shift of the whole word is two.
                let high = (bytes >> 8 >> before) << before;
                (low | high, length - 1, length - 1 - before as usize / 8)
            }
        }
    }};
}

/// A number without a sign in the first 1 to 8 bytes, the first the lowest.
#[inline]
fn short_number(bytes: u64, length: usize) -> Option<f64> {
    let (digits, count, decimals) = without_point!(u64, each, bytes, length);
    if count == 0 || !are_digits(digits) {
        return None;
    }
    Some(eight_digits(digits << (64 - 8 * count)) as f64 / POWERS[decimals])
}

/// A number without a sign in the first 9 to 16 bytes, the first the lowest.
#[inline]
fn long_number(bytes: u128, length: usize) -> Option<f64> {
    const fn both(byte: u8) -> u128 {
        (each(byte) as u128) << 64 | each(byte) as u128
    }
    let (digits, count, decimals) = without_point!(u128, both, bytes, length);
    let digits = digits << (128 - 8 * count);
    let (high, low) = (digits as u64, (digits >> 64) as u64);
    if !are_digits(high) || !are_digits(low) {
        return None;
    }
    let mantissa = eight_digits(high) * 100_000_000 + eight_digits(low);
    (mantissa <= 1 << 53).then(|| mantissa as f64 / POWERS[decimals])
}

/// Whether each byte is at most 9.
#[inline]
fn are_digits(bytes: u64) -> bool {
    (bytes.wrapping_add(each(0x76)) | bytes) & each(0x80) == 0
}

/// The number of eight digits, the first of them in the lowest byte: pairs,
/// then fours, then all (after Lemire, "Quickly parsing eight digits").
#[inline]
fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let (first, second) = (pairs & 0xff_0000_00ff, pairs >> 16 & 0xff_0000_00ff);
    let high = first.wrapping_mul(100 + (1_000_000 << 32));
    high.wrapping_add(second.wrapping_mul(1 + (10_000 << 32))) >> 32
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
        /// To the bit what the standard library's parser says.
        #[test]
        fn plain_numbers_are_exactly_rounded(text in "-?[0-9]{0,21}(\\.[0-9]{0,21})?") {
            if let Some(number) = plain_number(text.as_bytes()) {
                prop_assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(number.to_bits()));
            }
        }

        /// Whatever stands around it, a cell is the number that it is alone.
        #[test]
        fn a_number_in_a_text_is_that_of_its_cell(
            cell in "-?[0-9]{0,18}(\\.[0-9]{0,18})?|[-0-9.,e+/:;]{0,18}|\\PC{0,6}",
            before in "[0-9,.-]{0,3}",
            behind in "[0-9,.-]{0,20}",
        ) {
            let text = [&*before, &*cell, &*behind].concat();
            let (start, end) = (before.len(), before.len() + cell.len());
            let found = plain_number_in(text.as_bytes(), start, end);
            prop_assert_eq!(found.map(f64::to_bits), plain_number(cell.as_bytes()).map(f64::to_bits));
        }

        #[test]
        fn what_is_shown_is_short(raw in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(shown(&raw).chars().count() <= 41);
        }
    }
}
