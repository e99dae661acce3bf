//! Which columns are left out, and what the others need.

use crate::data::{ColumnKind, Profile, Table, Values};
use crate::syntax::name_text;

/// The options of the `data` statement beside the target.
pub(super) struct Columns {
    /// The options, each with a blank before it.
    pub(super) options: String,
    /// Why they were chosen.
    pub(super) reasons: Vec<String>,
    /// About how many inputs the rest becomes.
    pub(super) inputs: usize,
}

/// Texts of more levels than this are looked at closely.
const MANY_LEVELS: usize = 20;
/// A category becomes no more inputs than this; its rare levels are pooled.
const MOST_LEVELS: usize = 256;
/// So many columns with one range in common are of one kind, such as pixels.
const OF_ONE_KIND: usize = 64;

impl Columns {
    pub(super) fn of(table: &Table, profiles: &[Profile], targets: &[(&str, &Profile)]) -> Columns {
        let rows = table.rows();
        let mut reasons = Vec::new();
        let mut drop = Vec::new();
        let mut inputs = 0;
        let mut min_count = 1;
        let mut gaps = Vec::new();
        let mut numbers = Vec::new();
        for (column, profile) in table.columns.iter().zip(profiles) {
            let name = &column.name;
            if targets.iter().any(|(target, _)| target == name) {
                continue;
            }
            if let Some(why) = useless(name, &column.values, profile, rows) {
                reasons.push(format!("`{name}` {why}: left out."));
                drop.push(name_text(name));
                continue;
            }
            if profile.distinct + usize::from(profile.missing > 0) < 2 {
                continue; // training leaves it out, and says so
            }
            match profile.kind {
                ColumnKind::Integer | ColumnKind::Number => {
                    inputs += 1;
                    numbers.push(profile);
                }
                ColumnKind::Date => inputs += 4,
                ColumnKind::Text | ColumnKind::Boolean => {
                    let mut counts = profile.counts.clone();
                    counts.sort_unstable_by(|a, b| b.cmp(a));
                    if let Some(first_rare) = counts.get(MOST_LEVELS) {
                        let least = first_rare + 1;
                        let kept = counts.iter().take_while(|n| **n >= least).count();
                        reasons.push(format!(
                            "`{name}` has {} values, {kept} of them in {least} rows or more: the rare ones become one.",
                            profile.distinct
                        ));
                        min_count = min_count.max(least);
                    }
                    inputs += profile.distinct.min(MOST_LEVELS) + usize::from(profile.missing > 0);
                }
            }
            if profile.missing > 0
                && !matches!(profile.kind, ColumnKind::Text | ColumnKind::Boolean)
            {
                gaps.push((name, profile.missing));
            }
        }

        let mut options = String::new();
        if !drop.is_empty() {
            options.push_str(&format!(" drop={}", drop.join(",")));
        }
        if min_count > 1 {
            options.push_str(&format!(" min_count={min_count}"));
        }
        if let Some((name, missing)) = gaps.iter().max_by_key(|(_, missing)| *missing) {
            let others = match gaps.len() - 1 {
                0 => String::new(),
                1 => " (and in another column)".to_owned(),
                n => format!(" (and in {n} other columns)"),
            };
            reasons.push(format!(
                "`{name}` is missing in {missing} rows{others}: the median takes its place, and one more input says where."
            ));
            options.push_str(" missing_indicator=true");
            inputs += gaps.len();
        }
        if numbers.len() >= OF_ONE_KIND {
            let (low, high) = numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |all, p| {
                (all.0.min(p.range.0), all.1.max(p.range.1))
            });
            let reach = numbers.iter().filter(|p| p.range == (low, high)).count();
            if 2 * reach > numbers.len() {
                reasons.push(format!(
                    "{} columns go from {low} to {high}, most of them all the way: scaled to 0 … 1.",
                    numbers.len()
                ));
                options.push_str(" scale=minmax");
            }
        }
        Columns { options, reasons, inputs }
    }
}

/// Why nothing can be learnt from a column, where that is so.
fn useless(name: &str, values: &Values, profile: &Profile, rows: usize) -> Option<String> {
    let present = rows - profile.missing;
    match (profile.kind, values) {
        (ColumnKind::Integer, Values::Numbers(cells)) if rows > MANY_LEVELS => {
            let counts = cells.windows(2).all(|pair| pair[1] == pair[0] + 1.0);
            if counts {
                return Some("numbers the rows".to_owned());
            }
            let lower = name.to_lowercase();
            let is_id = lower == "id" || lower.ends_with("_id") || name.ends_with("Id");
            (is_id && profile.distinct == rows).then(|| "is another in every row".to_owned())
        }
        (ColumnKind::Text, _) if profile.distinct > MANY_LEVELS => {
            if profile.distinct == present {
                return Some("has another value in every row".to_owned());
            }
            (2 * profile.distinct > present).then(|| {
                format!("has {} values in {present} rows, too few rows of each", profile.distinct)
            })
        }
        _ => None,
    }
}
