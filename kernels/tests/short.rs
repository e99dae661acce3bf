//! Products of few columns of A are, bit for bit, those of register tiles, which alone
//! take an A that is a tile.

mod common;

use common::noise;
use mlpc_kernels::gemm::{Algorithm, End, Gemm, Layout, Left, Right, Slope, Start};
use mlpc_kernels::layout::Tile;
use mlpc_kernels::simd::Isa;

/// So many columns of A are few under some instruction set; of one more they are not.
const MOST: usize = 16;

fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().chain([Isa::Model]).filter(|isa| isa.available())
}

#[test]
fn few_columns_give_the_bits_of_register_tiles() {
    // Miri takes minutes for all.
    let columns = if cfg!(miri) { vec![3, 14] } else { (1..=MOST + 1).collect() };
    for isa in isas() {
        let lanes = isa.lanes();
        // Blocks of several vectors, of one, and of a part of one.
        let widths = [7 * lanes + 3, 1, lanes, 2 * lanes + 1, 9 * lanes];
        let widths = &widths[..if cfg!(miri) { 1 } else { widths.len() }];
        for (&k, &n) in columns.iter().flat_map(|k| widths.iter().map(move |n| (k, n))) {
            // Two panels of C for three of B, and one of each.
            for [of_b, of_c] in [[2 * lanes, 3 * lanes], [n, n]] {
                check(isa, [k.max(3), n, k], Right::Panels { data: &[], panel: of_b }, of_c);
            }
            check(isa, [k + 2, n, k], Right::Rows { data: &[], stride: n + 2 }, n);
        }
    }
}

fn check(isa: Isa, [m, n, k]: [usize; 3], b: Right<'_>, panel: usize) {
    let (a, data, c) = (noise(1, m * k), noise(2, k * (n + 2)), noise(3, m * n));
    let (bias, of_columns, y) = (noise(4, m), noise(5, n), noise(6, m * n));
    let b = match b {
        Right::Panels { panel, .. } => Right::Panels { data: &data, panel },
        _ => Right::Rows { data: &data, stride: n + 2 },
    };
    let transposed: Vec<f32> = (0..m * k).map(|at| a[at % m * k + at / m]).collect();
    let tile = Tile { width: k, rows: k, panel: k };
    let few = [
        Left::Strided { data: &a, row_stride: k, column_stride: 1 },
        Left::Strided { data: &transposed, row_stride: 1, column_stride: m },
    ];
    let starts = [Start::Zero, Start::C, Start::Bias(&bias), Start::BiasOfColumns(&of_columns)];
    let slopes = [Slope::Kept, Slope::Rectifier { leak: 0.1 }, Slope::Tanh, Slope::Sigmoid];
    let ends = slopes.map(|slope| End::Slope { slope, y: &y });
    let rectifiers = [0.0, 0.1].map(|leak| End::Rectifier { leak });
    let ends = ends.into_iter().chain(rectifiers).chain([End::Sum]);
    for start in starts.into_iter().skip(if cfg!(miri) { 3 } else { 0 }) {
        for end in ends.clone().skip(if cfg!(miri) { 5 } else { 0 }) {
            let compute = |a: Left<'_>| {
                let mut c = c.clone();
                let layout = Layout::Panels(panel);
                Gemm { m, n, k, a, b, c: &mut c, layout, start, end, ahead: &y }
                    .run(Algorithm::Tiled, isa);
                c
            };
            let exact = compute(Left::Tile { data: &a, tile, features: m, first: 0 });
            for a in few {
                let same = compute(a).iter().zip(&exact).all(|(x, y)| x.to_bits() == y.to_bits());
                assert!(same, "{isa}: {m}, {n}, {k}, {start:?}, {end:?}");
            }
        }
    }
}
