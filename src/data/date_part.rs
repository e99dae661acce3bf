//! The numbers that a date becomes.

use super::date;
use super::schema::Number;
use serde::{Deserialize, Serialize};

/// A number that a date becomes; of its moment in UTC, where the cell gives an
/// offset, and else as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// The year.
    Year,
    /// The month, 1 to 12.
    Month,
    /// The day of the month, 1 to 31.
    Day,
    /// The day of the week, 1 (Monday) to 7 (Sunday).
    Weekday,
    /// Hours since midnight, with their fraction.
    Time,
}

impl DatePart {
    /// All of them, in the order of their inputs.
    pub const ALL: [DatePart; 5] =
        [DatePart::Year, DatePart::Month, DatePart::Day, DatePart::Weekday, DatePart::Time];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            DatePart::Year => "year",
            DatePart::Month => "month",
            DatePart::Day => "day",
            DatePart::Weekday => "weekday",
            DatePart::Time => "time",
        }
    }

    /// This part of a moment in seconds since 1970; NaN of NaN, and of what is
    /// no moment of the years −9999 to 9999.
    pub(crate) fn of(self, seconds: f64) -> f64 {
        let Some(moment) = date::moment(seconds) else { return f64::NAN };
        match self {
            DatePart::Year => f64::from(moment.year()),
            DatePart::Month => f64::from(moment.month()),
            DatePart::Day => f64::from(moment.day()),
            DatePart::Weekday => f64::from(moment.weekday().to_monday_one_offset()),
            DatePart::Time => seconds.rem_euclid(86_400.0) / 3600.0,
        }
    }
}

/// A moment (NaN: missing) as the network sees it, part by part.
pub(crate) fn encode(parts: &[(DatePart, Number)], seconds: f64) -> impl Iterator<Item = f32> {
    parts.iter().map(move |(part, number)| number.encode(part.of(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Weekdays as Python's `datetime.date.isoweekday` has them.
    #[test]
    fn parts() {
        let parts = |text: &str| {
            let seconds = date::parse(text.as_bytes()).unwrap_or(f64::NAN);
            DatePart::ALL.map(|part| part.of(seconds))
        };
        assert_eq!(parts("2024-02-29"), [2024.0, 2.0, 29.0, 4.0, 0.0]);
        assert_eq!(parts("1969-12-31T18:30"), [1969.0, 12.0, 31.0, 3.0, 18.5]);
        assert_eq!(parts("2000-12-31T23:00:36"), [2000.0, 12.0, 31.0, 7.0, 23.01]);
        // Half past midnight, an hour east of Greenwich, is still the day before.
        assert_eq!(parts("2024-03-01T00:30+01:00"), [2024.0, 2.0, 29.0, 4.0, 23.5]);
        assert!(DatePart::ALL.iter().all(|part| part.of(f64::NAN).is_nan()));
    }
}
