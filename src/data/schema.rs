//! What a raw row needs to become inputs, and outputs to become words.
//!
//! A schema travels in the model file as JSON. It names columns, never their
//! positions, and holds every number that encoding needs, exactly.

use super::labels::Labels;
use crate::check::model::Missing;
use serde::{Deserialize, Serialize};

/// How raw rows become inputs, and outputs predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The input columns, in the order of their inputs.
    pub columns: Vec<InputColumn>,
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

/// What becomes of an input column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Encoding {
    /// One input: (x − offset) / scale.
    Number {
        /// Takes the place of a missing number.
        fill: f64,
        /// Subtracted.
        offset: f64,
        /// Divided by; never 0.
        scale: f64,
        /// The smallest training value.
        min: f64,
        /// The largest training value.
        max: f64,
    },
    /// An input a level, 1 for the row's level and 0 for the others; a level
    /// that training has not seen is 0 everywhere.
    Category {
        /// The levels.
        levels: Labels,
        /// Whether "missing" is one more level, the last.
        missing_level: bool,
    },
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

impl Encoding {
    /// A number (NaN: missing) as the network sees it: the one place that
    /// scales inputs, so that training and prediction agree to the bit.
    pub(crate) fn number(&self, x: f64) -> f32 {
        match *self {
            Encoding::Number { fill, offset, scale, .. } => {
                ((if x.is_nan() { fill } else { x } - offset) / scale) as f32
            }
            Encoding::Category { .. } => unreachable!("a category is not scaled"),
        }
    }
}

impl InputColumn {
    /// The number of inputs that it becomes.
    pub fn width(&self) -> usize {
        match &self.encoding {
            Encoding::Number { .. } => 1,
            Encoding::Category { levels, missing_level } => {
                levels.len() + usize::from(*missing_level)
            }
        }
    }
}

impl Schema {
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
        Schema {
            columns: vec![
                InputColumn {
                    name: "a \"quoted\" name".into(),
                    encoding: Encoding::Number {
                        fill: number,
                        offset: number,
                        scale: number,
                        min: number,
                        max: number,
                    },
                    missing: 3,
                },
                InputColumn {
                    name: "c".into(),
                    encoding: Encoding::Category {
                        levels: Labels {
                            kind: LabelKind::Number,
                            names: vec!["1".into(), "2.5".into()],
                        },
                        missing_level: true,
                    },
                    missing: 0,
                },
            ],
            target: Target::Regression {
                columns: vec![NumberTarget { name: "y".into(), offset: number, scale: 1.0 }],
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
              "missing_level": true,
              "missing": 0
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
        assert_eq!((schema(1.0).inputs(), schema(1.0).outputs()), (4, 1));
        assert_eq!(schema(1.0).target.names(), ["y"]);
    }
}
