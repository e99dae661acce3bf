//! Products with rows of a table as they lie: the forward product is bit for bit that of
//! a tile, and the weight gradient close to the oracle's.

mod common;

use common::noise;
use mlpc_kernels::gemm::{Algorithm, Gemm, Right};
use mlpc_kernels::layout::{Pick, Picked, Rows, Tile, rows_to_tile};
use mlpc_kernels::simd::Isa;

fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().chain([Isa::Model]).filter(|isa| isa.available())
}

/// Inputs, outputs and rows: blocks of outputs and of columns that are whole or not, rows
/// that fill vectors or do not, and fewer columns than a vector has lanes, so that whole
/// vectors of the last rows would reach beyond the table.
const LAYERS: [[usize; 3]; 6] =
    [[24, 8, 40], [9, 2, 17], [13, 7, 35], [3, 3, 5], [50, 11, 33], [384, 5, 3]];

#[test]
fn products_with_rows_as_they_lie_are_those_of_a_tile() {
    // Miri takes minutes for the wide ones.
    let layers = LAYERS.into_iter().filter(|[inputs, ..]| !cfg!(miri) || *inputs < 20);
    let all = isas().flat_map(|isa| layers.clone().map(move |layer| (isa, layer)));
    for (isa, [inputs, outputs, rows]) in all {
        let table = noise(1, inputs * (rows + 2));
        let (weights, bias) = (noise(2, outputs * inputs), noise(3, outputs));
        // The last row of the table is among them.
        let numbers: Vec<u32> = (0..rows as u32).map(|place| place * 7 % rows as u32 + 2).collect();
        for pick in [Pick::From(2), Pick::Numbers(&numbers)] {
            let width = rows.next_multiple_of(isa.lanes()) + isa.lanes();
            let tile = Tile { width, rows, panel: 2 * isa.lanes() };
            let of = Rows { data: &table, columns: inputs, pick };
            let picked = Picked::new(of, rows);
            let mut x = vec![f32::NAN; inputs * width];
            rows_to_tile(isa, tile, of, &mut x);

            let mut z = [vec![f32::NAN; outputs * width], vec![f32::NAN; outputs * width]];
            let [of_tile, of_rows] = &mut z;
            let shape = [outputs, inputs];
            let forward = |x, z| Gemm::forward(tile, shape, &weights, Some(&bias), x, z);
            forward(&x, of_tile).run(Algorithm::Tiled, isa);
            let b = Right::PickedColumns(picked);
            Gemm { b, ..forward(&[], of_rows) }.run(Algorithm::Rows, isa);
            assert!(z[0] == z[1], "{isa} {inputs} {outputs} {rows} {pick:?}");

            let mut dz = noise(4, outputs * width);
            for (at, dz) in dz.iter_mut().enumerate() {
                *dz = if tile.lane(outputs, at) < rows { *dz } else { 0.0 };
            }
            let gradient = |algorithm| {
                let mut gradient = noise(5, outputs * inputs);
                let x = Right::Picked(picked);
                Gemm::weight_gradient(tile, shape, &dz, x, &mut gradient, true).run(algorithm, isa);
                gradient
            };
            let exact = gradient(Algorithm::Naive);
            let bound = (rows as f32 + 2.0) * f32::EPSILON;
            let close = |(x, y): (&f32, &f32)| (x - y).abs() <= bound;
            let computed = gradient(Algorithm::Rows);
            assert!(computed.iter().zip(&exact).all(close), "{isa} {inputs} {outputs} {rows}");
        }
    }
}

#[test]
#[should_panic(expected = "a row beyond the matrix")]
fn a_row_beyond_the_table_is_refused() {
    let rows = Rows { data: &[0.0; 12], columns: 4, pick: Pick::Numbers(&[0, 3]) };
    let _ = Picked::new(rows, 2);
}

#[test]
#[should_panic(expected = "B is short")]
fn fewer_columns_than_inputs_are_refused() {
    let picked = Picked::new(Rows { data: &[0.0; 12], columns: 4, pick: Pick::From(0) }, 3);
    let mut z = [0.0; 16];
    let b = Right::PickedColumns(picked);
    let forward = Gemm::forward(Tile::plain(8, 3), [2, 5], &[0.0; 10], None, &[], &mut z);
    Gemm { b, ..forward }.run(Algorithm::Rows, Isa::Portable);
}
