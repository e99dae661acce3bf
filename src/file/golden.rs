//! Golden rows: raw rows and the outputs that they had when the model was
//! saved. Loading runs them again, so that a damaged file, a wrong encoder or
//! a broken kernel cannot go unnoticed.

use crate::data::{Batch, Encoded, Encoder, Schema, Table};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::inputs::Features;
use serde::{Deserialize, Serialize};

/// A raw row and its outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoldenRow {
    /// The cells of the input columns, by column name.
    pub cells: Vec<(String, String)>,
    /// The network's outputs.
    pub outputs: Vec<f32>,
}

/// How many rows are kept.
const MOST: usize = 4;

/// Other instruction sets round otherwise; beyond this share of the largest
/// output of a row it is not rounding.
const RELATIVE: f32 = 1e-4;
/// The same near 0.
const ABSOLUTE: f32 = 1e-6;

/// Takes up to four rows, spread over the table, with the outputs that
/// `predict` gives for their encoded inputs. Rows that cannot be encoded or
/// whose outputs are not finite are passed over.
pub fn pick(
    table: &Table,
    schema: &Schema,
    mut predict: impl FnMut(Features<'_>) -> Vec<f32>,
) -> Vec<GoldenRow> {
    let count = MOST.min(table.rows());
    let mut rows = Vec::with_capacity(count);
    for i in 0..count {
        let row = i * (table.rows() - 1) / (count - 1).max(1);
        let cell = |name: &str| table.column(name).map(|column| column.cell(row));
        let cells: Option<Vec<(String, String)>> = schema
            .columns
            .iter()
            .map(|column| Some((column.name.clone(), cell(&column.name)?)))
            .collect();
        let Some(cells) = cells else { continue };
        let Ok(encoded) = encode(&cells, schema) else { continue };
        let outputs = predict(encoded.features());
        if outputs.iter().all(|output| output.is_finite()) {
            rows.push(GoldenRow { cells, outputs });
        }
    }
    rows
}

/// Runs the rows again; an error where an output is not what it was.
pub fn check(
    rows: &[GoldenRow],
    schema: &Schema,
    mut predict: impl FnMut(Features<'_>) -> Vec<f32>,
) -> Result<(), Diagnostics> {
    for (i, row) in rows.iter().enumerate() {
        let found = predict(encode(&row.cells, schema)?.features());
        let largest = row.outputs.iter().fold(0f32, |most, output| most.max(output.abs()));
        let allowed = RELATIVE * largest + ABSOLUTE;
        let close = found.len() == row.outputs.len()
            && found.iter().zip(&row.outputs).all(|(a, b)| (a - b).abs() <= allowed);
        if !close {
            return Err(Diagnostic::error(
                Code::GoldenRow,
                format!("golden row {} of the model file comes out differently", i + 1),
            )
            .note(format!("expected {:?}, found {found:?}", row.outputs))
            .help("the file is damaged or this build of mlpc is at fault: train the model again")
            .into());
        }
    }
    Ok(())
}

fn encode(cells: &[(String, String)], schema: &Schema) -> Result<Encoded, Diagnostics> {
    let header: Vec<String> = cells.iter().map(|(name, _)| name.clone()).collect();
    let row = Batch::of_row("the golden rows", cells.iter().map(|(_, cell)| cell.as_str()));
    Encoder::new(schema, "the golden rows", &header)?.encode(&row)
}
