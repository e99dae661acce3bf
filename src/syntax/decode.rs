//! Bytes to text.

use crate::diag::{Code, Diagnostic, Diagnostics};

/// The text of a file: UTF-8, with or without a byte order mark.
pub fn decode(name: &str, bytes: &[u8]) -> Result<String, Diagnostics> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(text.to_owned()),
        Err(error) => error,
    };
    let before = &bytes[..error.valid_up_to()];
    let bad = bytes[error.valid_up_to()];
    let start = before.iter().rposition(|b| matches!(b, b'\n' | b'\r')).map_or(0, |i| i + 1);
    // A lone CR ends a line as well; CRLF ends one.
    let line = 1 + before
        .iter()
        .enumerate()
        .filter(|&(i, &b)| b == b'\n' || (b == b'\r' && before.get(i + 1) != Some(&b'\n')))
        .count();
    let wide = bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF");
    let mut diagnostic = Diagnostic::error(Code::Encoding, "the text is not UTF-8")
        .in_file(name, Some(line as u64))
        .note(format!("byte {} of line {line} is 0x{bad:02X}", before.len() - start + 1));
    if wide {
        diagnostic = diagnostic.note("it looks like UTF-16");
    }
    Err(diagnostic.help("save the file as UTF-8").into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::decode;

    #[test]
    fn a_byte_order_mark_is_dropped() {
        assert_eq!(decode("m", b"\xEF\xBB\xBFinput 2").unwrap(), "input 2");
    }

    #[test]
    fn lines_and_bytes_are_counted_from_one() {
        let note =
            |bytes: &[u8]| decode("m", bytes).unwrap_err().iter().next().unwrap().notes[0].clone();
        assert_eq!(note(b"ab\xFF"), "byte 3 of line 1 is 0xFF");
        assert_eq!(note(b"a\r\nb\rc\n\xE9"), "byte 1 of line 4 is 0xE9");
    }
}
