//! Dates and times: ISO 8601 to seconds and back.
//!
//! `2024-03-01`, `2024-03-01T12:30`, `2024-03-01 12:30:05.25+02:00` and the
//! like. A time without an offset is taken as UTC, so that encoding does not
//! depend on where the program runs. jiff parses; it knows the calendar.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;

/// Seconds since the start of 1970 in UTC, to the microsecond; `None` where the cell (without the
/// blanks around it) is no ISO 8601 date.
pub(crate) fn parse(trimmed: &[u8]) -> Option<f64> {
    // Most text is told apart by its first digits: `2024-`.
    let [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', ..] = trimmed else {
        return None;
    };
    let pieces = Pieces::parse(trimmed).ok()?;
    let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
    let moment = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
    let moment = offset.to_timestamp(moment).ok()?;
    Some(seconds(moment.as_microsecond()))
}

/// Microseconds as seconds: the one rule for every format.
pub(crate) fn seconds(micros: i64) -> f64 {
    micros.div_euclid(1_000_000) as f64 + micros.rem_euclid(1_000_000) as f64 * 1e-6
}

/// The microseconds that [`seconds`] made such seconds of, or the nearest.
/// Whole seconds and the rest apart: a product of all of it would round.
pub(crate) fn micros(seconds: f64) -> i64 {
    let whole = seconds.floor();
    whole as i64 * 1_000_000 + ((seconds - whole) * 1e6).round() as i64
}

/// The moment in UTC; `None` for what is no moment of the years −9999 to 9999.
pub(crate) fn moment(seconds: f64) -> Option<DateTime> {
    if !(-4e11..4e11).contains(&seconds) {
        return None;
    }
    let moment = Timestamp::from_microsecond(micros(seconds)).ok()?;
    Some(Offset::UTC.to_datetime(moment))
}

/// The moment as ISO 8601 that [`parse`] reads back: the date alone at
/// midnight. Empty for NaN.
pub(crate) fn format(seconds: f64) -> String {
    match moment(seconds) {
        None => String::new(),
        Some(moment) if moment.time() == Time::midnight() => moment.date().to_string(),
        Some(moment) => moment.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn iso_dates() {
        for (text, seconds) in [
            ("1970-01-01", 0.0),
            ("1970-01-02", 86_400.0),
            ("2024-02-29", 1_709_164_800.0),
            ("2024-02-29T01:02:03", 1_709_168_523.0),
            ("2024-02-29 01:02:03.25", 1_709_168_523.25),
            ("2024-02-29T01:02:03Z", 1_709_168_523.0),
            ("2024-02-29T01:02+01:00", 1_709_164_920.0),
            ("1969-12-31T23:59:59.5", -0.5),
            ("0001-01-01", -62_135_596_800.0),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(seconds), "{text}");
            assert_eq!(parse(format(seconds).as_bytes()), Some(seconds), "{text}");
            assert_eq!(super::seconds(micros(seconds)), seconds, "{text}");
        }
        assert_eq!(format(0.0), "1970-01-01");
        assert_eq!(format(-0.5), "1969-12-31T23:59:59.5");
        for text in ["2023-02-29", "2024-13-01", "2024", "20240229", "24-02-29", "2024-02", "x", ""]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        for seconds in [f64::NAN, f64::INFINITY, 1e15] {
            assert_eq!(format(seconds), "");
        }
    }
}
