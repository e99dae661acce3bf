//! Which rows train and which are held out.

use crate::diag::{Code, Diagnostic};
use crate::random::{Stream, random, shuffle};

/// The training and the validation rows among `0..rows`, each in ascending
/// order: a function of the seed and the number of rows alone. `None` where
/// `share` leaves one side without a row.
pub(crate) fn split(rows: usize, share: f64, seed: u64) -> Option<(Vec<u32>, Vec<u32>)> {
    let mut all: Vec<u32> = (0..rows as u32).collect();
    if share == 0.0 {
        return Some((all, Vec::new()));
    }
    let held_out = (share * rows as f64).round() as usize;
    if held_out == 0 || held_out >= rows {
        return None;
    }
    shuffle(&mut all, &mut random(seed, Stream::Split));
    let mut train = all.split_off(held_out);
    train.sort_unstable();
    all.sort_unstable();
    Some((train, all))
}

/// The error for a share that leaves one side without a row.
pub(crate) fn too_few(rows: usize, share: f64, source: &str) -> Diagnostic {
    Diagnostic::error(
        Code::DataShape,
        format!(
            "`validation={share}` of {} leaves no row to {}",
            super::read::count(rows, "row"),
            if share < 0.5 { "validate" } else { "train" }
        ),
    )
    .in_file(source, None)
    .help("choose another share, leave `validation` out, or add rows")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_pinned() {
        let (train, validation) = split(10, 0.3, 42).unwrap();
        assert_eq!(
            (train.as_slice(), validation.as_slice()),
            (&[0, 1, 2, 4, 6, 7, 8][..], &[3, 5, 9][..])
        );
    }

    #[test]
    fn every_row_is_on_one_side() {
        for rows in [2, 3, 10, 1000] {
            for seed in 0..5 {
                let (train, validation) = split(rows, 0.4, seed).unwrap();
                assert_eq!(validation.len(), (0.4 * rows as f64).round() as usize);
                let mut all = [train, validation].concat();
                all.sort_unstable();
                assert_eq!(all, (0..rows as u32).collect::<Vec<_>>());
            }
        }
        assert_ne!(split(100, 0.5, 1), split(100, 0.5, 2));
        assert_eq!(split(3, 0.0, 1), Some((vec![0, 1, 2], vec![])));
        assert_eq!(split(2, 0.2, 1), None);
        assert_eq!(split(1, 0.9, 1), None);
    }
}
