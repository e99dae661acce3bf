//! Sums over a tile's rows whose panels lie apart, a thread's share each: the same
//! bits as over the tile in one piece, and with the naive product's numbers.

mod common;

use common::noise;
use mlpc_kernels::gemm::{self, Algorithm, Gemm, Left, Right};
use mlpc_kernels::layout::{Tile, pack_tile, sum_features};
use mlpc_kernels::simd::Isa;

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Features of a panel: some others, dz, some others, x, x as rows, some others.
struct Arena {
    features: usize,
    dz: usize,
    x: usize,
    rows: usize,
}

impl Arena {
    fn of([outputs, inputs]: [usize; 2]) -> Arena {
        let (dz, x) = (3, 3 + outputs + 2);
        let rows = x + inputs;
        Arena { features: rows + inputs + 1, dz, x, rows }
    }
}

fn check(isa: Isa, [outputs, inputs]: [usize; 2], rows: usize, panel: usize) {
    let columns = gemm::panel(isa);
    let (dz, x) = (noise(1, outputs * rows), noise(2, inputs * rows));
    // The tile as it is for one thread; padding lanes of dz are 0.
    let width = rows.next_multiple_of(isa.lanes());
    let whole = Tile { width, rows, panel: columns.min(width) };
    // What a thread has of it.
    let shares = rows.div_ceil(panel);
    let shared = Tile { width: shares * panel, rows, panel };
    let at = Arena::of([outputs, inputs]);
    let (mut whole_dz, mut whole_x) = (vec![0.0; outputs * width], vec![0.5; inputs * width]);
    let mut arena = vec![0.75; at.features * shared.width];
    for share in arena.chunks_exact_mut(at.features * panel) {
        share[at.dz * panel..(at.dz + outputs) * panel].fill(0.0);
    }
    for lane in 0..rows {
        for (o, dz) in dz[lane * outputs..][..outputs].iter().enumerate() {
            whole_dz[whole.index(outputs, o, lane)] = *dz;
            arena[shared.index(at.features, at.dz + o, lane)] = *dz;
        }
        for (i, x) in x[lane * inputs..][..inputs].iter().enumerate() {
            whole_x[whole.index(inputs, i, lane)] = *x;
            arena[shared.index(at.features, at.x + i, lane)] = *x;
        }
    }
    let mut packed = vec![0.0; inputs * width];
    pack_tile(isa, whole, inputs, &whole_x, columns, &mut packed);
    for share in arena.chunks_exact_mut(at.features * panel) {
        let (before, rows) = share.split_at_mut(at.rows * panel);
        let rows = &mut rows[..inputs * panel];
        pack_tile(isa, Tile::plain(panel, panel), inputs, &before[at.x * panel..], columns, rows);
    }

    let before = noise(3, outputs * inputs);
    let left = |first: usize| Left::Tile {
        data: &arena,
        tile: shared,
        features: at.features,
        first: at.dz + first,
    };
    let blocks = Right::Blocks {
        data: &arena[at.rows * panel..],
        panel: columns,
        rows: panel,
        apart: at.features * panel,
    };
    let part = Right::Tile { data: &arena, tile: shared, features: at.features, first: at.x };
    let all = Right::Tile { data: &whole_x, tile: whole, features: inputs, first: 0 };
    let in_panels = Right::Panels { data: &packed, panel: columns };
    let cases = [(Algorithm::Tiled, in_panels, blocks), (Algorithm::Dots, all, part)];
    for (algorithm, of_whole, of_shares) in cases {
        for accumulate in [false, true] {
            let what = format!("{} {isa} {outputs}x{inputs} {rows}", algorithm.name());
            let shape = [outputs, inputs];
            let product = |tile: Tile, right, left, algorithm: Algorithm| {
                let mut gradient = before.clone();
                let gemm =
                    Gemm::weight_gradient(tile, shape, &whole_dz, right, &mut [], accumulate);
                let a = if let Some(left) = left { left } else { gemm.a };
                Gemm { a, c: &mut gradient, ..gemm }.run(algorithm, isa);
                gradient
            };
            let expected = product(whole, of_whole, None, algorithm);
            let computed = product(shared, of_shares, Some(left(0)), algorithm);
            assert!(bits(&computed) == bits(&expected), "{what}");
            // Some of the outputs, as a thread's part of the parameters.
            let from = outputs / 3;
            let mut few = before[from * inputs..].to_vec();
            let gemm =
                Gemm::weight_gradient(shared, shape, &whole_dz, of_shares, &mut few, accumulate);
            Gemm { a: left(0), ..gemm }.leave_rows(from..outputs).run(algorithm, isa);
            assert!(bits(&few) == bits(&expected[from * inputs..]), "{what}: some");
            let naive = product(shared, of_shares, Some(left(0)), Algorithm::Naive);
            let bound = (rows as f32 + 2.0) * f32::EPSILON;
            for (x, exact) in computed.iter().zip(&naive) {
                assert!((x - exact).abs() <= bound, "{what}: {x} instead of {exact}");
            }
        }
    }

    let mut expected = noise(4, outputs);
    let mut sums = expected.clone();
    sum_features(isa, whole, &whole_dz, [outputs, 0], &mut expected, true);
    sum_features(isa, shared, &arena, [at.features, at.dz], &mut sums, true);
    assert!(bits(&sums) == bits(&expected), "sums {isa} {outputs} {rows}");
}

#[test]
fn sums_over_shares_are_those_over_the_tile() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for shape in [[1, 5], [7, 64], [13, 70], [64, 13], [33, 129]] {
            for (rows, panel) in [(64, 32), (40, 32), (100, 64), (144, 48), (255, 128), (96, 32)] {
                check(isa, shape, rows, panel);
            }
        }
    }
}

/// A product of 2 outputs and 2 inputs over 64 rows in panels of so many, with blocks
/// of 32 rows of x that lie so far apart.
fn product_of_blocks(x: &[f32], panel: usize, apart: usize, algorithm: Algorithm) -> [f32; 4] {
    let tile = Tile { width: 64, rows: 64, panel };
    let (dz, mut gradient) = (noise(5, 128), [0.0; 4]);
    let blocks = Right::Blocks { data: x, panel: 16, rows: 32, apart };
    Gemm::weight_gradient(tile, [2, 2], &dz, blocks, &mut gradient, false)
        .run(algorithm, Isa::best());
    gradient
}

#[test]
fn blocks_may_be_one_and_the_same() {
    // No more elements than the one has.
    let x = noise(6, 64);
    let exact = product_of_blocks(&x, 32, 0, Algorithm::Naive);
    let computed = product_of_blocks(&x, 32, 0, Algorithm::Tiled);
    assert!(computed.iter().zip(&exact).all(|(x, y)| (x - y).abs() <= 66.0 * f32::EPSILON));
}

#[test]
#[should_panic(expected = "B is short")]
fn a_short_last_block_is_refused() {
    product_of_blocks(&[0.0; 191], 32, 128, Algorithm::Tiled);
}

#[test]
#[should_panic(expected = "does not take such operands")]
fn blocks_of_other_panels_are_refused() {
    product_of_blocks(&[0.0; 192], 64, 128, Algorithm::Tiled);
}

#[test]
#[should_panic(expected = "end <= features")]
fn a_sum_of_a_feature_too_many_is_refused() {
    sum_features(Isa::best(), Tile::plain(16, 16), &[0.0; 48], [3, 2], &mut [0.0; 2], false);
}
