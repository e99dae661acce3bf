//! Numbers as text: the shortest decimal that reads back as the same f32,
//! without an exponent, as `Display` writes it, and several times as fast.
//! Where two of the shortest are equally near, it ends in the even digit.

use std::io::Write;

/// Appends a number.
pub(super) fn write(x: f32, out: &mut Vec<u8>) {
    if !x.is_finite() {
        write!(out, "{x}").expect("memory takes all writes");
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(x).as_bytes();
    match text.iter().position(|&byte| byte == b'e') {
        // Whole numbers come as `1.0`.
        None => out.extend_from_slice(text.strip_suffix(b".0").unwrap_or(text)),
        Some(at) => write_scientific(&text[..at], exponent(&text[at + 1..]), out),
    }
}

/// The number behind the `e`: a sign perhaps, and digits.
fn exponent(text: &[u8]) -> i32 {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    let size = digits.fold(0, |n, digit| 10 * n + i32::from(digit - b'0'));
    if text.first() == Some(&b'-') { -size } else { size }
}

/// Appends `d.ddd` times a power of ten.
fn write_scientific(mantissa: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let (sign, mantissa) = match mantissa {
        [b'-', rest @ ..] => (&b"-"[..], rest),
        rest => (&b""[..], rest),
    };
    let (whole, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(point) => (&mantissa[..point], &mantissa[point + 1..]),
        None => (mantissa, &b""[..]),
    };
    let fraction = if fraction == b"0" { b"" } else { fraction };
    out.extend_from_slice(sign);
    let zeros = |n: i32, out: &mut Vec<u8>| out.resize(out.len() + n.max(0) as usize, b'0');
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        zeros(-exponent - 1, out);
        out.extend_from_slice(whole);
        out.extend_from_slice(fraction);
        return;
    }
    let (before, after) = fraction.split_at(fraction.len().min(exponent as usize));
    out.extend_from_slice(whole);
    out.extend_from_slice(before);
    zeros(exponent - before.len() as i32, out);
    if !after.is_empty() {
        out.push(b'.');
        out.extend_from_slice(after);
    }
}

#[cfg(test)]
mod tests {
    use super::write;
    use proptest::prelude::*;

    fn text(x: f32) -> String {
        let mut out = Vec::new();
        write(x, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn special_values() {
        let values =
            [0.0, -0.0, 1.0, -1e-45, f32::MAX, f32::MIN_POSITIVE, 1e7, 1.5e16, 3e-9, f32::INFINITY];
        for x in values.into_iter().chain([f32::NAN, -2.5e-7, 16_777_216.0, 1e20, 123_456.7]) {
            assert_eq!(text(x), x.to_string(), "{x:e}");
        }
    }

    proptest! {
        /// What the standard library writes, but for which of two equally
        /// near decimals it is: as short, and read back the same.
        #[test]
        fn numbers_are_those_of_display(bits: u32, probability in 0f32..1.0, unit in -1e6f32..1e6) {
            for x in [f32::from_bits(bits), probability, unit, unit * 1e-9] {
                let (found, expected) = (text(x), x.to_string());
                prop_assert_eq!(found.len(), expected.len(), "{} and {}", &found, &expected);
                prop_assert!(x.is_nan() || found.parse() == Ok(x), "{} is no {:e}", &found, x);
                prop_assert_eq!(&found[..found.len() - 1], &expected[..found.len() - 1]);
            }
        }
    }
}
