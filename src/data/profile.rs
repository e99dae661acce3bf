//! What a column of a table holds, looked at before anything is learnt.

use super::describe::{becomes, short};
use super::schema::Schema;
use super::table::{Column, Table, Text, Values};
use crate::check::model::Data;
use std::collections::HashSet;

/// Every column of a table in a line, below a line of headings: its name,
/// type, different values, missing cells, range, and what becomes of it. The
/// schema is the one that the table was bound to, the `data` statement that
/// of the model.
pub fn describe_table(table: &Table, schema: &Schema, data: &Data) -> Vec<String> {
    let headings = ["column", "type", "distinct", "missing", "range", "becomes"];
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend(table.columns.iter().map(|column| {
        let profile = Profile::of(column);
        [
            column.name.clone(),
            profile.kind.name().to_owned(),
            profile.distinct.to_string(),
            profile.missing.to_string(),
            profile.range_text(column),
            fate(&column.name, schema, data),
        ]
    }));
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let [name, kind, distinct, missing, range, _] = widths;
    let line = |[a, b, c, d, e, f]: &[String; 6]| {
        format!("{a:name$}  {b:kind$}  {c:>distinct$}  {d:>missing$}  {e:range$}  {f}")
    };
    lines.iter().map(line).collect()
}

/// What becomes of a column of the table.
fn fate(name: &String, schema: &Schema, data: &Data) -> String {
    if schema.target.names().contains(&name.as_str()) {
        return "the target".to_owned();
    }
    if let Some(column) = schema.columns.iter().find(|column| column.name == *name) {
        return becomes(column);
    }
    if let Some(column) = schema.dropped.iter().find(|column| column.name == *name) {
        return format!("left out: {}", column.why);
    }
    if data.split.as_ref() == Some(name) {
        return "says which rows train".to_owned();
    }
    if data.group.as_ref() == Some(name) {
        return "keeps its rows together".to_owned();
    }
    let option = if data.drop.contains(name) { "drop" } else { "only" };
    format!("left out: `{option}=`")
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The type of its cells.
    pub kind: ColumnKind,
    /// Cells that are missing.
    pub missing: usize,
    /// Different values, missing cells not counted.
    pub distinct: usize,
    /// The smallest and the largest number, or moment in seconds since 1970;
    /// NaN for text and where every cell is missing.
    pub range: (f64, f64),
    /// The rows of each level of a text, in the order of its levels.
    pub counts: Vec<usize>,
}

/// The type of a column's cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Whole numbers, as far as they are there.
    Integer,
    /// Numbers.
    Number,
    /// Dates and times.
    Date,
    /// `true` and `false`.
    Boolean,
    /// Other text.
    Text,
}

impl ColumnKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            ColumnKind::Integer => "integer",
            ColumnKind::Number => "number",
            ColumnKind::Date => "date",
            ColumnKind::Boolean => "boolean",
            ColumnKind::Text => "text",
        }
    }

    /// Whether its cells are numbers.
    pub fn is_number(self) -> bool {
        matches!(self, ColumnKind::Integer | ColumnKind::Number)
    }
}

impl Profile {
    /// Looks at every cell of a column.
    pub fn of(column: &Column) -> Profile {
        match &column.values {
            Values::Text(text) => Profile::of_text(text),
            Values::Numbers(cells) => {
                let whole = cells.iter().all(|x| x.is_nan() || x.fract() == 0.0);
                Profile::of_cells(
                    if whole { ColumnKind::Integer } else { ColumnKind::Number },
                    cells,
                )
            }
            Values::Dates(cells) => Profile::of_cells(ColumnKind::Date, cells),
        }
    }

    fn of_text(text: &Text) -> Profile {
        let mut counts = vec![0; text.levels.len()];
        let mut missing = 0;
        for &code in text.codes.iter() {
            match counts.get_mut(code as usize) {
                Some(count) => *count += 1,
                None => missing += 1,
            }
        }
        Profile {
            kind: if text.boolean { ColumnKind::Boolean } else { ColumnKind::Text },
            missing,
            distinct: counts.iter().filter(|count| **count > 0).count(),
            range: (f64::NAN, f64::NAN),
            counts,
        }
    }

    fn of_cells(kind: ColumnKind, cells: &[f64]) -> Profile {
        let mut distinct = HashSet::new();
        let mut range = (f64::NAN, f64::NAN);
        let mut missing = 0;
        for &x in cells {
            if x.is_nan() {
                missing += 1;
                continue;
            }
            // f64::min and max pass over the NaN of the start.
            range = (range.0.min(x), range.1.max(x));
            distinct.insert((x + 0.0).to_bits()); // −0 is 0
        }
        Profile { kind, missing, distinct: distinct.len(), range, counts: Vec::new() }
    }

    /// The range in words; empty where there is none.
    pub fn range_text(&self, column: &Column) -> String {
        match (&column.values, self.distinct) {
            (_, 0) => String::new(),
            (Values::Text(text), distinct) => {
                let shown: Vec<&str> = text.levels.iter().map(String::as_str).take(3).collect();
                let more = if distinct > 3 { ", …" } else { "" };
                format!("{}{more}", shown.join(", "))
            }
            (Values::Dates(_), _) => {
                let (low, high) = self.range;
                format!("{} to {}", super::date::format(low), super::date::format(high))
            }
            (Values::Numbers(_), _) => {
                format!("{} to {}", short(self.range.0), short(self.range.1))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::data::testing::*;

    #[test]
    fn every_column_is_described() {
        let text = "id,n,c,d,b,k,s,z,y\n\
            1,1.5,red,2024-01-01,true,5,train,q,1\n\
            2,,blue,2024-02-01T06:00,false,5,train,r,2\n\
            3,-2,red,,true,5,test,s,3\n\
            4,-2,green,,,5,train,t,4\n";
        let data = Data { drop: words(&["id", "z"]), split: Some("s".into()), ..Data::default() };
        let (table, model) = (table(text), regression(data));
        let dataset = Dataset::bind(&table, &model).unwrap();
        let lines = describe_table(&table, &dataset.schema, &model.data);
        let words = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            lines.iter().map(words).collect::<Vec<_>>(),
            [
                "column type distinct missing range becomes",
                "id integer 4 0 1 to 4 left out: `drop=`",
                "n number 2 1 -2 to 1.5 (x + 0.25) / 1.75, missing: -0.25",
                "c text 3 0 red, blue, green 3 inputs",
                "d date 2 2 2024-01-01 to 2024-02-01T06:00:00 3 inputs: month, weekday, time",
                "b boolean 2 1 true, false 3 inputs",
                "k integer 1 0 5 to 5 left out: `5` in every training row",
                "s text 2 0 train, test says which rows train",
                "z text 4 0 q, r, s, … left out: `drop=`",
                "y integer 4 0 1 to 4 the target",
            ]
        );
        let (heading, first) = (lines[0].find("becomes"), lines[1].find("left out"));
        assert_eq!(heading, first, "cells stand below their headings");
    }
}
