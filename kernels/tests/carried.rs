//! Parameters that are updated beside the product which computes their gradient: the
//! same bits as of the product and the update, one after the other.

mod common;

use common::noise;
use mlpc_kernels::gemm::{self, Algorithm, Gemm, Left, Right};
use mlpc_kernels::layout::Tile;
use mlpc_kernels::optim::{Optimizer, OptimizerKind, Readers};
use mlpc_kernels::simd::Isa;

fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().chain([Isa::Model]).filter(|isa| isa.available())
}

/// What a step reads and writes: gradient, parameters and state, in the midst of more.
#[derive(Clone)]
struct Buffers {
    count: usize,
    of: [Vec<f32>; 4],
}

/// Elements before and behind each of the buffers.
const MARGIN: usize = 19;

impl Buffers {
    fn new(optimizer: &Optimizer, count: usize) -> Buffers {
        let of = [0, 1, 2, 3].map(|number: u32| {
            let mut x = noise(10 + number, count + 2 * MARGIN);
            // Means of squares are not negative; what is not kept is empty.
            x.iter_mut().for_each(|x| *x = if number > 1 { x.abs() } else { *x });
            x.truncate(if number as usize > 1 + optimizer.state() { 0 } else { x.len() });
            x
        });
        Buffers { count, of }
    }

    fn parts(&mut self) -> [&mut [f32]; 4] {
        let count = self.count;
        self.of.each_mut().map(|x| {
            let (from, to) = (MARGIN.min(x.len()), (MARGIN + count).min(x.len()));
            &mut x[from..to]
        })
    }

    fn bits(&self) -> Vec<u32> {
        self.of.iter().flatten().map(|x| x.to_bits()).collect()
    }
}

/// Runs a product both ways; `carries` says whether the update is done meanwhile.
fn check(
    isa: Isa,
    optimizer: &Optimizer,
    [outputs, inputs]: [usize; 2],
    tile: Tile,
    carries: bool,
) {
    let panel = gemm::panel(isa);
    // Some other features around dz, and around x where it lies in blocks.
    let features = outputs + 5;
    let dz = noise(1, features * tile.width);
    let x = noise(2, (inputs + 3) * tile.width);
    let blocks = tile.width.is_multiple_of(tile.panel).then_some(Right::Blocks {
        data: &x,
        panel,
        rows: tile.panel,
        apart: (inputs + 3) * tile.panel,
    });
    let panels = Right::Panels { data: &x[..inputs * tile.width], panel };
    for right in [Some(panels), blocks].into_iter().flatten() {
        for accumulate in [false, true] {
            let before = Buffers::new(optimizer, outputs * inputs);
            let product = || {
                let a = Left::Tile { data: &dz, tile, features, first: 3 };
                let shape = [outputs, inputs];
                let gemm = Gemm::weight_gradient(tile, shape, &dz, right, &mut [], accumulate);
                Gemm { a, ..gemm }
            };
            let rule = optimizer.at(7);
            let mut expected = before.clone();
            let [g, p, m, v] = expected.parts();
            Gemm { c: &mut *g, ..product() }.run(Algorithm::Tiled, isa);
            rule.update(isa, p, g, [m, v], Readers::Same);

            let mut found = before.clone();
            let [g, p, m, v] = found.parts();
            let mut gemm = Gemm { c: &mut *g, ..product() };
            let state = [&mut *m, &mut *v];
            let carried = gemm.run_carrying(Algorithm::Tiled, isa, &rule, &mut *p, state);
            if !carried {
                rule.update(isa, p, g, [m, v], Readers::Same);
            }
            let what = || {
                let name = optimizer.kind.name();
                format!("{isa}, {name}: {outputs}x{inputs}, {tile:?}, {accumulate}")
            };
            assert_eq!(carried, carries, "{}", what());
            assert!(found.bits() == expected.bits(), "{}", what());
            assert!(found.bits() != before.bits(), "{}", what());
        }
    }
}

fn tile(isa: Isa, rows: usize) -> Tile {
    let width = rows.next_multiple_of(isa.lanes());
    Tile { width, rows, panel: gemm::panel(isa).min(width) }
}

#[test]
fn parameters_are_the_same_bits_as_after_the_product() {
    for isa in isas() {
        let panel = gemm::panel(isa);
        let adam = Optimizer::new(OptimizerKind::Adam);
        // Every number of rows that a block has, and several blocks.
        for outputs in [1, 2, 3, 4, 5, 6, 11, 24] {
            for inputs in [panel, panel + 1, 2 * panel + panel / 2, 3 * panel] {
                for rows in [1, 30, 64, 100, 256] {
                    let tile = tile(isa, rows);
                    let carries = gemm::carries(isa, &adam, inputs, tile.width);
                    check(isa, &adam, [outputs, inputs], tile, carries);
                }
            }
        }
        // Fewer lanes than a row of a block has vectors.
        let narrow = Tile { width: 3, rows: 3, panel: 3 };
        check(isa, &adam, [7, panel], narrow, gemm::carries(isa, &adam, panel, 3));
    }
}

#[test]
fn steps_that_wait_for_roots_are_carried_and_others_are_not() {
    for isa in isas() {
        let panel = gemm::panel(isa);
        let registers = isa == Isa::Avx512 || isa == Isa::Model;
        for kind in OptimizerKind::ALL.iter().copied() {
            let carried = registers && matches!(kind, OptimizerKind::Adam | OptimizerKind::AdamW);
            let optimizer = Optimizer::new(kind);
            assert_eq!(gemm::carries(isa, &optimizer, panel, 32), carried, "{isa} {}", kind.name());
            check(isa, &optimizer, [9, panel], tile(isa, 32), carried);
        }
        let mut decaying = Optimizer::new(OptimizerKind::Adam);
        decaying.hyper[3] = 0.01;
        check(isa, &decaying, [9, panel], tile(isa, 32), false);
        let adam = Optimizer::new(OptimizerKind::Adam);
        check(isa, &adam, [9, panel - 1], tile(isa, 32), false);
        // More rows than a product adds up in one part.
        check(isa, &adam, [3, panel], tile(isa, 400), false);
    }
}

#[test]
fn a_product_without_outputs_updates_nothing() {
    let rule = Optimizer::new(OptimizerKind::Adam).at(1);
    for isa in isas() {
        let right = Right::Panels { data: &[0.0; 4096], panel: gemm::panel(isa) };
        let tile = tile(isa, 16);
        let none = [&mut [][..], &mut []];
        let mut gemm = Gemm::weight_gradient(tile, [0, 64], &[], right, &mut [], false);
        assert!(!gemm.run_carrying(Algorithm::Tiled, isa, &rule, &mut [], none));
    }
}

#[test]
#[should_panic(expected = "parameters of another product")]
fn parameters_of_another_product_are_refused() {
    let rule = Optimizer::new(OptimizerKind::Adam).at(1);
    let isa = Isa::Model;
    let (mut gradient, mut parameters) = ([0.0; 128], [0.0; 127]);
    let state = [&mut [0.0; 127][..], &mut [0.0; 127]];
    let right = Right::Panels { data: &[0.0; 1024], panel: 64 };
    let dz = [0.0; 32];
    Gemm::weight_gradient(tile(isa, 16), [2, 64], &dz, right, &mut gradient, false).run_carrying(
        Algorithm::Tiled,
        isa,
        &rule,
        &mut parameters,
        state,
    );
}
