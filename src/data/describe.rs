//! A schema in a few lines, for people.

use super::date_part::DatePart;
use super::labels::{LabelKind, Labels};
use super::names::list;
use super::read::count;
use super::schema::{Dropped, Encoding, InputColumn, Number, Schema, Target};

/// What the lines show of a column; neighbours that differ in nothing but
/// the name and the range share one line.
struct Row {
    name: String,
    kind: String,
    what: String,
    becomes: String,
}

impl Schema {
    /// The columns, their types, ranges and what becomes of them: a line a
    /// column, a line for a run of columns alike, what was left out, and a
    /// line a target.
    pub fn describe(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for run in self.columns.chunk_by(alike) {
            // Two or three lines are read faster than their summary.
            if run.len() > 3 {
                rows.push(summary(run));
            } else {
                rows.extend(run.iter().map(describe_column));
            }
        }
        rows.extend(describe_dropped(&self.dropped));
        rows.extend(describe_target(&self.target));
        aligned(&rows)
    }
}

/// What becomes of an input column, in words.
pub(super) fn becomes(column: &InputColumn) -> String {
    describe_column(column).becomes
}

fn alike(a: &InputColumn, b: &InputColumn) -> bool {
    let numbers = |c: &InputColumn| number(c).is_some() && c.missing == 0;
    numbers(a) && numbers(b) && stem(&a.name) == stem(&b.name)
}

/// A name without the number at its end: `p` of `p17`.
fn stem(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn number(column: &InputColumn) -> Option<&Number> {
    match &column.encoding {
        Encoding::Number { number, .. } => Some(number),
        _ => None,
    }
}

fn summary(run: &[InputColumn]) -> Row {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut constant = 0;
    let mut scaled = "";
    for Number { offset, scale, min, max, .. } in run.iter().filter_map(number) {
        low = low.min(*min);
        high = high.max(*max);
        constant += usize::from(min == max);
        if *offset != 0.0 || *scale != 1.0 {
            scaled = ", each scaled";
        }
    }
    let constant = match constant {
        0 => String::new(),
        n => format!(", {n} constant"),
    };
    Row {
        name: format!("{} … {}", run[0].name, run[run.len() - 1].name),
        kind: count(run.len(), "number"),
        what: format!("{} to {}{constant}", short(low), short(high)),
        becomes: format!("{}{scaled}", count(run.len(), "input")),
    }
}

fn describe_column(column: &InputColumn) -> Row {
    let missing = match column.missing {
        0 => String::new(),
        n => format!(", {n} missing"),
    };
    let filled = |number: &Number, indicator: bool| match (column.missing, indicator) {
        (0, _) => String::new(),
        (_, false) => format!(", missing: {}", short(number.fill)),
        (_, true) => format!(", missing: {} and an input that says so", short(number.fill)),
    };
    let row = |kind: &str, what: String, becomes: String| Row {
        name: column.name.clone(),
        kind: kind.to_owned(),
        what: format!("{what}{missing}"),
        becomes,
    };
    match &column.encoding {
        Encoding::Number { number, indicator } => {
            let becomes = format!("{}{}", scaling(number), filled(number, *indicator));
            row("number", range(number), becomes)
        }
        Encoding::Date { parts, indicator } => {
            let says = indicator.then_some("whether it is missing");
            let names: Vec<&str> = parts.iter().map(|(part, _)| part.name()).chain(says).collect();
            let years = parts.iter().find(|(part, _)| *part == DatePart::Year);
            let what = years.map_or("one year".to_owned(), |(_, years)| range(years));
            let becomes = format!("{}: {}", count(column.width(), "input"), names.join(", "));
            row("date", what, becomes)
        }
        Encoding::Category(category) => {
            let kind = match category.levels.kind {
                LabelKind::Boolean => "boolean",
                _ => "category",
            };
            let mut what = count(category.levels.len(), "level");
            if !category.rare.is_empty() {
                what.push_str(&format!(" and {} rare in one", category.rare.len()));
            }
            let inputs = count(column.width(), "input");
            let trained = if category.embedding.is_some() { ", trained" } else { "" };
            row(kind, what, format!("{inputs}{trained}"))
        }
    }
}

fn range(number: &Number) -> String {
    match number.min == number.max {
        true => format!("{} everywhere", short(number.min)),
        false => format!("{} to {}", short(number.min), short(number.max)),
    }
}

fn scaling(Number { offset, scale, .. }: &Number) -> String {
    match (*offset == 0.0, *scale == 1.0) {
        (true, true) => "x".to_owned(),
        (true, false) => format!("x / {}", short(*scale)),
        (false, true) => format!("x {}", minus(*offset)),
        (false, false) => format!("(x {}) / {}", minus(*offset), short(*scale)),
    }
}

fn describe_dropped(dropped: &[Dropped]) -> Vec<Row> {
    let row = |name: String, what: String, becomes: String| Row {
        name,
        kind: "left out".into(),
        what,
        becomes,
    };
    if dropped.len() > 3 {
        let names = list(dropped.iter().map(|column| column.name.as_str()), 5);
        let name = count(dropped.len(), "column");
        return vec![row(name, "the same in every training row".into(), names)];
    }
    let row = |column: &Dropped| row(column.name.clone(), column.why.clone(), "nothing".into());
    dropped.iter().map(row).collect()
}

fn describe_target(target: &Target) -> Vec<Row> {
    let row = |name: &str, what: String, becomes: String| Row {
        name: name.to_owned(),
        kind: "target".into(),
        what,
        becomes,
    };
    let shown = |labels: &Labels| list(labels.names.iter().map(String::as_str), 5);
    match target {
        Target::Regression { columns } => columns
            .iter()
            .map(|c| {
                let becomes = match (c.offset == 0.0, c.scale == 1.0) {
                    (true, true) => "y".to_owned(),
                    _ => format!("(y {}) / {}", minus(c.offset), short(c.scale)),
                };
                row(&c.name, "a number".into(), becomes)
            })
            .collect(),
        Target::Binary { name, labels } => {
            vec![row(name, shown(labels), format!("P(`{}`)", labels.names[1]))]
        }
        Target::Classes { name, labels } => {
            let what = format!("{} classes: {}", labels.len(), shown(labels));
            vec![row(name, what, count(labels.len(), "output"))]
        }
        Target::MultiLabel { columns } => columns
            .iter()
            .map(|(name, labels)| row(name, shown(labels), format!("P(`{}`)", labels.names[1])))
            .collect(),
    }
}

fn minus(offset: f64) -> String {
    if offset < 0.0 { format!("+ {}", short(-offset)) } else { format!("- {}", short(offset)) }
}

/// Four significant digits; whole numbers in full up to a million.
pub(super) fn short(x: f64) -> String {
    if x == 0.0 || (x.abs() < 1e6 && x.fract() == 0.0) {
        return format!("{x}");
    }
    let magnitude = x.abs().log10().floor();
    if !(-4.0..=9.0).contains(&magnitude) {
        return format!("{x:.3e}");
    }
    let text = format!("{x:.*}", (3.0 - magnitude).max(0.0) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn aligned(rows: &[Row]) -> Vec<String> {
    let widest = |part: fn(&Row) -> &str| {
        rows.iter().map(|row| part(row).chars().count()).max().unwrap_or(0)
    };
    let name = widest(|row| &row.name);
    let kind = widest(|row| &row.kind);
    let what = widest(|row| &row.what);
    rows.iter()
        .map(|row| {
            format!("{:name$}  {:kind$}  {:what$}  {}", row.name, row.kind, row.what, row.becomes)
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::data::Dataset;
    use crate::data::testing::*;

    fn described(text: &str, model: &crate::check::model::Model) -> String {
        Dataset::bind(&table(text), model).unwrap().schema.describe().join("\n")
    }

    #[test]
    fn columns_and_targets() {
        let text = "size,rooms,town,kept,price\n-1.25,1,x,5,1e6\n10,,y,5,2e6\n3,2,x,5,2500000.5\n";
        insta::assert_snapshot!(described(text, &regression(target(&["price"]))), @r#"
        size   number    -1.25 to 10                (x - 3.917) / 4.638
        rooms  number    1 to 2, 1 missing          (x - 1.5) / 0.5, missing: 1.5
        town   category  2 levels                   2 inputs
        kept   left out  `5` in every training row  nothing
        price  target    a number                   (y - 1833334) / 623610
        "#);
        insta::assert_snapshot!(described("a,b,y\n1,2,no\n3,4,yes\n", &sigmoid(target(&["y"]))), @r#"
        a  number  1 to 3       x - 2
        b  number  2 to 4       x - 3
        y  target  `no`, `yes`  P(`yes`)
        "#);
        insta::assert_snapshot!(described("a,y,z\n1,0,1\n3,1,0\n", &sigmoid(target(&["y", "z"]))), @r#"
        a  number  1 to 3    x - 2
        y  target  `0`, `1`  P(`1`)
        z  target  `0`, `1`  P(`1`)
        "#);
    }

    #[test]
    fn a_run_of_alike_columns_is_one_line() {
        let header: Vec<String> = (0..12).map(|i| format!("p{i}")).collect();
        let row = |x: &str| [x; 11].join(",");
        let text = format!("label,{}\na,0,{}\nb,0,{}\n", header.join(","), row("9"), row("200"));
        insta::assert_snapshot!(described(&text, &softmax(target(&["label"]))), @r#"
        p1 … p11  11 numbers  9 to 200                   11 inputs, each scaled
        p0        left out    `0` in every training row  nothing
        label     target      2 classes: `a`, `b`        2 outputs
        "#);
    }
}
