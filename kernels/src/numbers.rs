//! Decimal numbers of a text: the plain ones, which nearly all are.
//!
//! A plain number is a sign or none, digits, and a point among them or none.
//! Where its digits are below 2^53 it is one exactly rounded division away
//! from its value (Clinger, "How to read floating point numbers accurately",
//! 1990). Everything else is for a general parser.

use super::bytes::RangeSlice;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
mod x86;

/// Powers of ten up to 10^22 are exact.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A decimal number of at most 19 digits whose value follows from one exactly
/// rounded operation (Clinger's fast path), which is nearly every number in a
/// table; the others are the general parser's.
#[inline]
pub fn plain_number(raw: &[u8]) -> Option<f64> {
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
    Some(with_sign(mantissa as f64 / POWERS[decimals], negative))
}

/// Appends the numbers in the cells 0, `step`, 2 · `step` and so on, each the
/// range of its bytes in `text`, up to the first that is no plain number or to the
/// end of the cells; how many these are.
///
/// # Panics
/// Where a cell is not in the text, or `step` is 0.
pub fn plain_numbers(
    text: &[u8],
    cells: RangeSlice<'_>,
    step: usize,
    numbers: &mut Vec<f64>,
) -> usize {
    numbers.reserve(cells.len().div_ceil(step));
    let had = numbers.len();
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi1") {
        if x86::has_avx512() {
            // SAFETY: the CPU has what the function is compiled for, as was just
            // checked, here and there.
            unsafe { x86::plain_numbers_by_eight(text, cells, step, numbers) };
        } else {
            // SAFETY: as above.
            unsafe { x86::plain_numbers(text, cells, step, numbers) };
        }
        return numbers.len() - had;
    }
    for Range { start, end } in cells.step_by(step) {
        let Some(number) = plain_number_in(text, start, end) else { break };
        numbers.push(number);
    }
    numbers.len() - had
}

/// [`plain_number`] of a cell that stands in a text, eight or sixteen bytes
/// at a time where the text has so many behind the cell's start.
#[inline]
pub fn plain_number_in(text: &[u8], start: usize, end: usize) -> Option<f64> {
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
    Some(with_sign(magnitude, negative))
}

/// Signs follow no pattern: a branch on one is mispredicted half of the time.
#[inline]
fn with_sign(magnitude: f64, negative: bool) -> f64 {
    f64::from_bits(magnitude.to_bits() | u64::from(negative) << 63)
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

#[cfg(test)]
mod tests {
    use super::super::bytes::{Ranges, column};
    use super::*;
    use proptest::prelude::*;

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
            let alone = plain_number(cell.as_bytes()).map(f64::to_bits);
            prop_assert_eq!(found.map(f64::to_bits), alone);
            // Of many, each is that, too, up to the first that is none.
            let mut cells = Ranges::default();
            for _ in 0..3 {
                cells.push(start as u32, end as u32);
                cells.push(0, 0);
            }
            let mut numbers = vec![1.0];
            let n = plain_numbers(text.as_bytes(), cells.as_slice(), 2, &mut numbers);
            prop_assert_eq!(n, if alone.is_some() { 3 } else { 0 });
            prop_assert_eq!(numbers.len(), n + 1);
            prop_assert!(numbers[1..].iter().all(|number| Some(number.to_bits()) == alone));
        }

        /// Many of them, as every way takes them.
        #[test]
        fn numbers_of_a_column_are_those_of_its_cells(
            cells in prop::collection::vec(
                prop_oneof![
                    30 => "-?[0-9]{1,8}(\\.[0-9]{0,6})?",
                    1 => "-?[0-9]{0,18}(\\.[0-9]{0,18})?",
                    1 => "[-0-9.,e+/:;]{0,18}",
                ],
                0..80,
            ),
            before in "[0-9]{0,20}",
            step in 1usize..4,
        ) {
            let mut text = before;
            let ranges = column(&mut text, &cells, ",", step);
            let mut at = 0;
            loop {
                let alone = cells[at..].iter().map_while(|cell| plain_number(cell.as_bytes()));
                let alone: Vec<u64> = alone.map(f64::to_bits).collect();
                let of_rest = ranges.as_slice().skip((at * step).min(ranges.len()));
                let mut numbers = Vec::new();
                let n = plain_numbers(text.as_bytes(), of_rest, step, &mut numbers);
                prop_assert_eq!(n, alone.len());
                prop_assert!(numbers.into_iter().map(f64::to_bits).eq(alone.iter().copied()));
                #[cfg(target_arch = "x86_64")]
                if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi1") {
                    let mut again = Vec::new();
                    // SAFETY: the CPU has what the function is compiled for, as was
                    // just checked.
                    unsafe { x86::plain_numbers(text.as_bytes(), of_rest, step, &mut again) };
                    prop_assert!(again.into_iter().map(f64::to_bits).eq(alone.iter().copied()));
                }
                at += n + 1;
                if at >= cells.len() {
                    break;
                }
            }
        }
    }
}
