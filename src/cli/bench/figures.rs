//! A figure: a name and a number that was measured.

/// What is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    Less,
    More,
    /// A fact, or a speed that another figure tells as well: compared with
    /// no baseline.
    Neither,
}

/// A number that was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) better: Better,
}

impl Figure {
    pub(super) fn new(name: impl Into<String>, value: f64, better: Better) -> Self {
        Figure { name: name.into(), value, better }
    }

    /// How many times as slow as `old` it is: above 1 where it is slower.
    /// None for what is not compared.
    pub(super) fn slowdown(&self, old: f64) -> Option<f64> {
        match self.better {
            Better::Less => Some(self.value / old),
            Better::More => Some(old / self.value),
            Better::Neither => None,
        }
    }
}

/// A number in the digits that a measurement has.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        x if x == 0.0 || !x.is_finite() => format!("{value}"),
        x if x >= 1e5 => thousands(value),
        x if x < 1e-3 => format!("{value:.2e}"),
        x => format!("{value:.*}", (3 - x.log10().floor() as i32).clamp(0, 6) as usize),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Better, Figure, short};

    #[test]
    fn slower_is_above_one_whatever_the_unit() {
        let time = Figure::new("train_us", 12.0, Better::Less);
        assert_eq!(time.slowdown(10.0), Some(1.2));
        let rate = Figure::new("rows_per_s", 50.0, Better::More);
        assert_eq!(rate.slowdown(100.0), Some(2.0));
        assert_eq!(Figure::new("peak_gflops", 1.0, Better::Neither).slowdown(2.0), None);
    }

    #[test]
    fn numbers_have_four_digits() {
        for (value, text) in [
            (0.024_61, "0.02461"),
            (10.418, "10.42"),
            (53_671.4, "53671"),
            (9_532_000.0, "9,532,000"),
            (0.000_012, "1.20e-5"),
            (0.0, "0"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
