//! Which rows train, which are held out and which test.

use super::complaints::Found;
use super::read::count;
use super::table::{Column, Table, Values};
use crate::diag::{Code, Diagnostic};
use crate::random::{Stream, random, shuffle};
use std::collections::HashMap;

/// The rows of each part, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parts {
    pub(crate) train: Vec<u32>,
    pub(crate) validation: Vec<u32>,
    pub(crate) test: Vec<u32>,
}

/// Holds out a share of `rows`, which ascend: a function of them, the seed and
/// the strata.
///
/// `strata` says the class of each row: of every class the same share is held
/// out (largest remainders get the rows that rounding leaves), and at least
/// one row of it trains. `None` where the share leaves one side without a row.
pub(crate) fn hold_out(
    rows: &[u32],
    share: f64,
    seed: u64,
    strata: impl FnOnce() -> Option<Vec<u32>> + Send,
) -> Option<Parts> {
    if share == 0.0 {
        return Some(Parts { train: rows.to_vec(), ..Parts::default() });
    }
    let total = (share * rows.len() as f64).round() as usize;
    if total == 0 || total >= rows.len() {
        return None;
    }
    // The order does not depend on what is in the rows.
    let order = || {
        let mut places: Vec<u32> = (0..rows.len() as u32).collect();
        shuffle(&mut places, &mut random(seed, Stream::Split));
        places
    };
    let (places, strata) = rayon::join(order, strata);
    let class = |place: u32| strata.as_ref().map_or(0, |strata| strata[place as usize] as usize);
    let mut left = match &strata {
        None => vec![total],
        Some(strata) => quotas(strata, total),
    };
    let mut is_held_out = vec![false; rows.len()];
    let mut all_left: usize = left.iter().sum();
    for place in places {
        if all_left == 0 {
            break;
        }
        let left = &mut left[class(place)];
        if *left > 0 {
            *left -= 1;
            all_left -= 1;
            is_held_out[place as usize] = true;
        }
    }
    Parts::of(rows, |place| is_held_out[place])
}

/// How many rows of each class are held out, `total` together: in proportion,
/// but never all of a class.
fn quotas(strata: &[u32], total: usize) -> Vec<usize> {
    let classes = strata.iter().max().map_or(0, |most| *most as usize + 1);
    let mut sizes = vec![0usize; classes];
    strata.iter().for_each(|&class| sizes[class as usize] += 1);
    let exact = |size: usize| total as f64 * size as f64 / strata.len() as f64;
    let most = |size: usize| size.saturating_sub(1);
    let mut quotas: Vec<usize> =
        sizes.iter().map(|&size| (exact(size) as usize).min(most(size))).collect();
    let mut order: Vec<usize> = (0..classes).collect();
    // The sort is stable: of equal remainders the first class comes first.
    order.sort_by(|&a, &b| exact(sizes[b]).fract().total_cmp(&exact(sizes[a]).fract()));
    let mut left = total - quotas.iter().sum::<usize>();
    while left > 0 {
        let before = left;
        for &class in &order {
            if left > 0 && quotas[class] < most(sizes[class]) {
                quotas[class] += 1;
                left -= 1;
            }
        }
        // Every class is down to the one row that must train.
        if left == before {
            break;
        }
    }
    quotas
}

/// Holds out whole groups of `rows`, which ascend: in random order, a group
/// goes to the validation rows where that brings their number nearer to the
/// share. `groups` says the group of each row. `None` where one side is left
/// without a row.
pub(crate) fn hold_out_groups(
    rows: &[u32],
    share: f64,
    seed: u64,
    groups: &[u32],
) -> Option<Parts> {
    if share == 0.0 {
        return Some(Parts { train: rows.to_vec(), ..Parts::default() });
    }
    let number = groups.iter().max().map_or(0, |most| most + 1);
    let mut sizes = vec![0usize; number as usize];
    groups.iter().for_each(|&group| sizes[group as usize] += 1);
    let wanted = share * rows.len() as f64;
    let mut order: Vec<u32> = (0..number).collect();
    shuffle(&mut order, &mut random(seed, Stream::Split));
    let mut is_held_out = vec![false; number as usize];
    let mut held_out = 0.0;
    for group in order {
        let with = held_out + sizes[group as usize] as f64;
        if (with - wanted).abs() < (held_out - wanted).abs() {
            is_held_out[group as usize] = true;
            held_out = with;
        }
    }
    Parts::of(rows, |place| is_held_out[groups[place] as usize])
}

/// The group of each row: equal cells are one group, and so are the rows
/// whose cell is missing.
pub(crate) fn groups(column: &Column, rows: &[u32]) -> Vec<u32> {
    let mut known: HashMap<u64, u32> = HashMap::new();
    let key = |row: usize| match &column.values {
        // All NaN are one group; adding 0 makes −0 and 0 one.
        Values::Numbers(numbers) | Values::Dates(numbers) if numbers[row].is_nan() => {
            f64::NAN.to_bits()
        }
        Values::Numbers(numbers) | Values::Dates(numbers) => (numbers[row] + 0.0).to_bits(),
        Values::Text(text) => u64::from(text.codes[row]),
    };
    let group = |&row: &u32| {
        let next = known.len() as u32; // at most the number of rows, a u32
        *known.entry(key(row as usize)).or_insert(next)
    };
    rows.iter().map(group).collect()
}

impl Parts {
    /// Parts of ascending rows; `None` where there is none to train on or none
    /// is held out.
    fn of(rows: &[u32], is_held_out: impl Fn(usize) -> bool) -> Option<Parts> {
        let mut parts = Parts::default();
        for (place, &row) in rows.iter().enumerate() {
            match is_held_out(place) {
                true => parts.validation.push(row),
                false => parts.train.push(row),
            }
        }
        (!parts.train.is_empty() && !parts.validation.is_empty()).then_some(parts)
    }
}

/// What `split=` calls the parts, in any case; Ludwig's numbers, and words.
const TRAIN: &[&str] = &["0", "train", "training"];
const VALIDATION: &[&str] = &["1", "validation", "val", "valid", "dev"];
const TEST: &[&str] = &["2", "test", "testing"];

/// The parts that a column says. Cells that name no part are an error.
pub(crate) fn by_column(table: &Table, column: &Column, rows: &[u32]) -> Result<Parts, Diagnostic> {
    #[derive(Clone, Copy)]
    enum Part {
        Train,
        Validation,
        Test,
    }
    let part = |cell: &str| {
        let cell = cell.trim();
        let among = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(cell));
        let words = [(TRAIN, Part::Train), (VALIDATION, Part::Validation), (TEST, Part::Test)];
        words.into_iter().find(|(words, _)| among(words)).map(|(_, part)| part)
    };
    let of_level: Vec<Option<Part>> = match &column.values {
        Values::Text(text) => text.levels.iter().map(|level| part(level)).collect(),
        Values::Numbers(_) | Values::Dates(_) => Vec::new(),
    };
    let of_row = |row: usize| match &column.values {
        Values::Text(text) => of_level.get(text.codes[row] as usize).copied().flatten(),
        Values::Numbers(numbers) => match numbers[row] {
            0.0 => Some(Part::Train),
            1.0 => Some(Part::Validation),
            2.0 => Some(Part::Test),
            _ => None,
        },
        Values::Dates(_) => None,
    };
    let mut parts = Parts::default();
    let mut unknown = Vec::new();
    for &row in rows {
        match of_row(row as usize) {
            Some(Part::Train) => parts.train.push(row),
            Some(Part::Validation) => parts.validation.push(row),
            Some(Part::Test) => parts.test.push(row),
            None => unknown.push(row as usize),
        }
    }
    let cells = unknown.iter().map(|&row| {
        let cell = if column.is_missing(row) { None } else { Some(column.cell(row)) };
        (table.place(row), cell)
    });
    if let Some(found) = Found::new(cells) {
        let message = format!("`{}` is to name the part of each row, not {found}", column.name);
        return Err(Diagnostic::error(Code::DataValue, message)
            .in_file(found.file(&table.source), found.line())
            .help("the parts are 0 or `train`, 1 or `validation`, 2 or `test`"));
    }
    if parts.train.is_empty() {
        let message = format!("`{}` marks no row for training", column.name);
        return Err(Diagnostic::error(Code::DataValue, message)
            .in_file(&table.source, None)
            .help("rows to train on are marked 0 or `train`"));
    }
    Ok(parts)
}

/// The error for a share that leaves one side without a row.
pub(crate) fn too_few(rows: usize, share: f64, group: Option<&str>, source: &str) -> Diagnostic {
    let of = match group {
        Some(group) => format!(" in groups of equal `{group}`"),
        None => String::new(),
    };
    Diagnostic::error(
        Code::DataShape,
        format!(
            "`validation={share}` of {}{of} leaves no row to {}",
            count(rows, "row"),
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
    use crate::data::testing::table;

    fn all(rows: usize) -> Vec<u32> {
        (0..rows as u32).collect()
    }

    #[test]
    fn splits_are_pinned() {
        let parts = hold_out(&all(10), 0.3, 42, || None).unwrap();
        assert_eq!(
            (parts.train.as_slice(), parts.validation.as_slice()),
            (&[0, 1, 2, 4, 6, 7, 8][..], &[3, 5, 9][..])
        );
        let strata = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1];
        let parts = hold_out(&all(10), 0.4, 42, || Some(strata.to_vec())).unwrap();
        assert_eq!(parts.validation, [3, 4, 5, 9]);
    }

    #[test]
    fn every_row_is_on_one_side() {
        for rows in [2, 3, 10, 1000] {
            for seed in 0..5 {
                let parts = hold_out(&all(rows), 0.4, seed, || None).unwrap();
                assert_eq!(parts.validation.len(), (0.4 * rows as f64).round() as usize);
                let mut joined = [parts.train, parts.validation].concat();
                joined.sort_unstable();
                assert_eq!(joined, all(rows));
            }
        }
        let split = |rows, share, seed| hold_out(&all(rows), share, seed, || None);
        assert_ne!(split(100, 0.5, 1), split(100, 0.5, 2));
        assert_eq!(split(3, 0.0, 1).unwrap().train, [0, 1, 2]);
        assert_eq!(split(2, 0.2, 1), None);
        assert_eq!(split(1, 0.9, 1), None);
    }

    #[test]
    fn strata_keep_their_shares() {
        // 60, 30, 9 and 1 rows.
        let strata: Vec<u32> = (0..100)
            .map(|i| {
                if i < 60 {
                    0
                } else if i < 90 {
                    1
                } else {
                    2 + i / 99
                }
            })
            .collect();
        for seed in 0..5 {
            let parts = hold_out(&all(100), 0.25, seed, || Some(strata.clone())).unwrap();
            let mut of_class = [0; 4];
            parts.validation.iter().for_each(|&r| of_class[strata[r as usize] as usize] += 1);
            // 15, 7.5, 2.25 and 0.25: the largest remainder gets the row that is left.
            assert_eq!(of_class, [15, 8, 2, 0]);
        }
        // A class of one row trains, whatever the share.
        let strata = [0, 1, 2, 3, 3, 3, 3, 3];
        let parts = hold_out(&all(8), 0.75, 1, || Some(strata.to_vec())).unwrap();
        assert_eq!(parts.train.len(), 4);
        assert!(parts.validation.iter().all(|&row| row >= 3));
        assert_eq!(hold_out(&all(3), 0.5, 1, || Some(vec![0, 1, 2])), None);
    }

    #[test]
    fn groups_stay_together() {
        let text =
            "g,y\n".to_owned() + &(0..60).map(|i| format!("{},1\n", i % 7)).collect::<String>();
        let table = table(&text);
        let groups = groups(&table.columns[0], &all(60));
        for seed in 0..20 {
            let parts = hold_out_groups(&all(60), 0.3, seed, &groups).unwrap();
            let of = |rows: &[u32]| {
                rows.iter().map(|&r| r % 7).collect::<std::collections::HashSet<_>>()
            };
            assert!(of(&parts.train).is_disjoint(&of(&parts.validation)));
            assert_eq!(parts.train.len() + parts.validation.len(), 60);
            // Groups have 8 or 9 rows: two of them are nearest to 18.
            assert!((16..=18).contains(&parts.validation.len()), "{}", parts.validation.len());
        }
        assert_eq!(hold_out_groups(&all(60), 0.3, 1, &[0; 60]), None);
    }

    #[test]
    fn missing_cells_and_equal_ones_are_groups() {
        let table = table("a,b\nx,1\n,NA\ny,-0\nx,0\n,\n");
        assert_eq!(groups(&table.columns[0], &all(5)), [0, 1, 2, 0, 1]);
        assert_eq!(groups(&table.columns[1], &all(5)), [0, 1, 2, 2, 1]);
    }

    #[test]
    fn a_column_names_the_parts() {
        let words = table("s,y\nTrain,1\n val ,2\ntest,3\ntraining,4\nDev,5\n");
        let numbers = table("s,y\n0,1\n1,2\n2,3\n0,4\n1.0,5\n");
        for table in [words, numbers] {
            let parts = by_column(&table, &table.columns[0], &all(5)).unwrap();
            assert_eq!(parts, Parts { train: vec![0, 3], validation: vec![1, 4], test: vec![2] });
        }
        let refused = |text: &str| {
            let table = table(text);
            let error = by_column(&table, &table.columns[0], &all(table.rows())).unwrap_err();
            crate::data::testing::rendered(&error.into())
        };
        insta::assert_snapshot!(refused("s,y\n0,1\n3,2\n,3\n"), @r#"
        error[E204]: `s` is to name the part of each row, not `3` on line 3, on line 4
        --> t.csv:3
         = help: the parts are 0 or `train`, 1 or `validation`, 2 or `test`
        "#);
        insta::assert_snapshot!(refused("s,y\ntest,1\nval,2\n"), @r#"
        error[E204]: `s` marks no row for training
        --> t.csv
         = help: rows to train on are marked 0 or `train`
        "#);
    }
}
