//! What a raw row needs to become inputs, and outputs to become words.
//!
//! A schema travels in the model file as JSON. It names columns, never their
//! positions, and holds every number that encoding needs, exactly.
//!
//! A row becomes numbers (of numbers, parts of dates, indicators), those of all
//! columns in their order, and a code for each category: see [`Layout`].

use super::date_part::DatePart;
use super::labels::{Labels, Lookup};
use crate::check::model::Missing;
use crate::inputs::{self, Embedding, Layout};
use mlpc_kernels::columns::Scaling;
use serde::{Deserialize, Serialize};

/// How raw rows become inputs, and outputs predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The input columns, in the order of the training table.
    pub columns: Vec<InputColumn>,
    /// Columns that said the same in every training row and were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Dropped>,
    /// What is predicted.
    pub target: Target,
    /// What happened to missing numbers in training.
    #[serde(with = "missing_word")]
    pub missing: Missing,
}

/// An input column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputColumn {
    /// Its name in the header.
    pub name: String,
    /// What becomes of it.
    #[serde(flatten)]
    pub encoding: Encoding,
    /// How many training rows lack it.
    pub missing: u64,
}

/// A column that was left out, since nothing can be learnt from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Its name in the header.
    pub name: String,
    /// Why, in words.
    pub why: String,
}

/// What becomes of an input column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Encoding {
    /// One input and, where asked for, one that is 1 where the number is missing.
    Number {
        /// How it is scaled.
        #[serde(flatten)]
        number: Number,
        /// Whether the second input is there.
        #[serde(default, skip_serializing_if = "is_false")]
        indicator: bool,
    },
    /// An input a part, scaled like any number, and the indicator.
    Date {
        /// The parts and how they are scaled.
        parts: Vec<(DatePart, Number)>,
        /// Whether one more input is 1 where the date is missing.
        #[serde(default, skip_serializing_if = "is_false")]
        indicator: bool,
    },
    /// A code: an input a level, 1 for the row's level and 0 for the others, or
    /// the inputs of an embedding.
    Category(Category),
}

/// How a number becomes an input: (x − offset) / scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Number {
    /// Takes the place of a missing number.
    pub fill: f64,
    /// Subtracted.
    pub offset: f64,
    /// Divided by; never 0.
    pub scale: f64,
    /// The smallest training value.
    pub min: f64,
    /// The largest training value.
    pub max: f64,
}

/// The levels of a category. Its codes are those of the levels, then that of
/// the pool of the rare ones where there are some, then that of "missing" where
/// training rows lack it.
///
/// What training has not seen, be it a level or that one is missing, goes to
/// the pool; without one, all the inputs are 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Category {
    /// The levels with a code of their own.
    pub levels: Labels,
    /// The levels that share one (`min_count=`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rare: Vec<String>,
    /// Whether "missing" is a level.
    pub missing_level: bool,
    /// The inputs of its embedding; none: an input a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<usize>,
}

/// What is predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Target {
    /// A number a column.
    Regression {
        /// The columns.
        columns: Vec<NumberTarget>,
    },
    /// One of two labels: the output is the probability of the second.
    Binary {
        /// The column.
        name: String,
        /// The two labels.
        labels: Labels,
    },
    /// One of several labels: an output a label.
    Classes {
        /// The column.
        name: String,
        /// The labels.
        labels: Labels,
    },
    /// A yes or no a column: an output each, the probability of the second label.
    MultiLabel {
        /// The columns: name and two labels.
        columns: Vec<(String, Labels)>,
    },
}

/// A numeric target column: y = output · scale + offset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberTarget {
    /// Its name in the header.
    pub name: String,
    /// Added to the scaled output.
    pub offset: f64,
    /// What the output is multiplied by; never 0.
    pub scale: f64,
}

impl NumberTarget {
    /// A value in the column's own unit as the network sees it.
    pub(crate) fn encode(&self, value: f64) -> f32 {
        ((value - self.offset) / self.scale) as f32
    }

    /// An output in the column's own unit.
    pub(crate) fn decode(&self, output: f32) -> f64 {
        f64::from(output) * self.scale + self.offset
    }
}

impl Number {
    /// What makes of a number (NaN: missing) what the network sees: the one place
    /// that scales inputs, so that training and prediction agree to the bit.
    pub(crate) fn scaling(&self) -> Scaling {
        Scaling { fill: self.fill, offset: self.offset, scale: self.scale }
    }

    /// A number (NaN: missing) as the network sees it.
    pub(crate) fn encode(&self, x: f64) -> f32 {
        self.scaling().of(x)
    }

    /// Whether every training row had the same input; `missing` rows of it
    /// had the filled-in one.
    pub(crate) fn is_constant(&self, missing: u64) -> bool {
        self.min == self.max && (missing == 0 || self.fill == self.min)
    }
}

impl Category {
    /// The code of a cell that is none of the levels, rare ones included
    /// (`None`: none), and whether training has not seen its like.
    pub(crate) fn other(&self, missing: bool) -> (Option<u32>, bool) {
        if missing && self.missing_level {
            return (Some(self.codes() as u32 - 1), false);
        }
        ((!self.rare.is_empty()).then_some(self.levels.len() as u32), true)
    }

    /// What becomes of a cell that training has not seen.
    pub(crate) fn fate(&self) -> &'static str {
        if self.rare.is_empty() { "encoded as zeros" } else { "pooled with the rare ones" }
    }

    /// The number of codes.
    pub fn codes(&self) -> usize {
        self.levels.len() + usize::from(!self.rare.is_empty()) + usize::from(self.missing_level)
    }

    /// The code of every level that training has seen.
    pub(crate) fn lookup(&self) -> Lookup {
        let mut lookup = self.levels.lookup();
        let pool = self.levels.len() as u32;
        self.rare.iter().for_each(|name| lookup.insert(name.as_bytes(), pool));
        lookup
    }
}

impl InputColumn {
    /// The number of inputs that are numbers.
    pub(crate) fn dense(&self) -> usize {
        match &self.encoding {
            Encoding::Number { indicator, .. } => 1 + usize::from(*indicator),
            Encoding::Date { parts, indicator } => parts.len() + usize::from(*indicator),
            Encoding::Category(_) => 0,
        }
    }

    /// The number of inputs that it becomes.
    pub fn width(&self) -> usize {
        match &self.encoding {
            Encoding::Category(category) => category.embedding.unwrap_or(category.codes()),
            _ => self.dense(),
        }
    }
}

impl Schema {
    /// How the inputs are numbered.
    pub fn layout(&self) -> Layout {
        let categories = self.columns.iter().filter_map(|column| match &column.encoding {
            Encoding::Category(category) => Some(inputs::Category {
                levels: category.codes(),
                embedding: category
                    .embedding
                    .map(|width| Embedding { name: column.name.clone(), width }),
            }),
            _ => None,
        });
        let dense = self.columns.iter().map(InputColumn::dense).sum();
        Layout { dense, categories: categories.collect() }
    }

    /// Where each column begins in a row: the first of its numbers, or the
    /// place of its code.
    pub(crate) fn starts(&self) -> Vec<usize> {
        let (mut dense, mut codes) = (0, 0);
        let starts = self.columns.iter().map(|column| {
            let (next, taken) = match &column.encoding {
                Encoding::Category(_) => (&mut codes, 1),
                _ => (&mut dense, column.dense()),
            };
            let start = *next;
            *next += taken;
            start
        });
        starts.collect()
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.columns.iter().map(InputColumn::width).sum()
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.target.outputs()
    }
}

impl Target {
    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        match self {
            Target::Regression { columns } => columns.len(),
            Target::Binary { .. } => 1,
            Target::Classes { labels, .. } => labels.len(),
            Target::MultiLabel { columns } => columns.len(),
        }
    }

    /// The labels of a target column of a classification.
    pub fn labels(&self, column: usize) -> Option<&Labels> {
        match self {
            Target::Regression { .. } => None,
            Target::Binary { labels, .. } | Target::Classes { labels, .. } => Some(labels),
            Target::MultiLabel { columns } => columns.get(column).map(|(_, labels)| labels),
        }
    }

    /// The names of the target columns.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Target::Regression { columns } => columns.iter().map(|c| c.name.as_str()).collect(),
            Target::Binary { name, .. } | Target::Classes { name, .. } => vec![name],
            Target::MultiLabel { columns } => {
                columns.iter().map(|(name, _)| name.as_str()).collect()
            }
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The policy as its word of the language.
mod missing_word {
    use crate::check::model::Missing;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(missing: &Missing, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(missing.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Missing, D::Error> {
        let word = String::deserialize(d)?;
        Missing::parse(&word)
            .ok_or_else(|| D::Error::custom(format!("unknown policy for missing values `{word}`")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::labels::LabelKind;
    use proptest::prelude::*;

    fn schema(number: f64) -> Schema {
        let number =
            Number { fill: number, offset: number, scale: number, min: number, max: number };
        let column =
            |name: &str, encoding, missing| InputColumn { name: name.into(), encoding, missing };
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let levels = Labels { kind: LabelKind::Number, names: words(&["1", "2.5"]) };
        let rare = words(&["7"]);
        let category = Category { levels, rare, missing_level: true, embedding: None };
        let parts = vec![(DatePart::Year, number), (DatePart::Weekday, number)];
        Schema {
            columns: vec![
                column("a \"quoted\" name", Encoding::Number { number, indicator: false }, 3),
                column("c", Encoding::Category(category), 0),
                column("d", Encoding::Date { parts, indicator: true }, 1),
            ],
            dropped: vec![Dropped { name: "e".into(), why: "`5` in every training row".into() }],
            target: Target::Regression {
                columns: vec![NumberTarget { name: "y".into(), offset: number.fill, scale: 1.0 }],
            },
            missing: Missing::Drop,
        }
    }

    proptest! {
        #[test]
        fn json_round_trip_is_exact(number in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
            let written = schema(number);
            let json = serde_json::to_string(&written).unwrap();
            prop_assert_eq!(serde_json::from_str::<Schema>(&json).unwrap(), written);
        }
    }

    #[test]
    fn json_is_readable() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&schema(0.1)).unwrap(), @r#"
        {
          "columns": [
            {
              "name": "a \"quoted\" name",
              "type": "number",
              "fill": 0.1,
              "offset": 0.1,
              "scale": 0.1,
              "min": 0.1,
              "max": 0.1,
              "missing": 3
            },
            {
              "name": "c",
              "type": "category",
              "levels": {
                "kind": "number",
                "names": [
                  "1",
                  "2.5"
                ]
              },
              "rare": [
                "7"
              ],
              "missing_level": true,
              "missing": 0
            },
            {
              "name": "d",
              "type": "date",
              "parts": [
                [
                  "year",
                  {
                    "fill": 0.1,
                    "offset": 0.1,
                    "scale": 0.1,
                    "min": 0.1,
                    "max": 0.1
                  }
                ],
                [
                  "weekday",
                  {
                    "fill": 0.1,
                    "offset": 0.1,
                    "scale": 0.1,
                    "min": 0.1,
                    "max": 0.1
                  }
                ]
              ],
              "indicator": true,
              "missing": 1
            }
          ],
          "dropped": [
            {
              "name": "e",
              "why": "`5` in every training row"
            }
          ],
          "target": {
            "task": "regression",
            "columns": [
              {
                "name": "y",
                "offset": 0.1,
                "scale": 1.0
              }
            ]
          },
          "missing": "drop"
        }
        "#);
    }

    #[test]
    fn widths() {
        let schema = schema(1.0);
        assert_eq!((schema.inputs(), schema.outputs()), (8, 1));
        assert_eq!(schema.target.names(), ["y"]);
        // Numbers come first, whatever the order of the columns.
        let category = inputs::Category { levels: 4, embedding: None };
        assert_eq!(schema.layout(), Layout { dense: 4, categories: vec![category] });
        assert_eq!(schema.starts(), [0, 0, 1]);
    }
}
