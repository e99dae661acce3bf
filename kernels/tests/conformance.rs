//! Every row of the kernel table against its f64 oracle: lengths around whole
//! vectors, every misalignment, canaries beside the slices, special values.
//!
//! All instruction sets that the CPU has are tested, or the one that
//! `MLPC_ISA` names; one that is absent fails instead of passing untested.
//!
//! `memory` is a short pass over slices that end where their allocation does,
//! for memory checkers:
//!
//! ```sh
//! test=$(cargo test -p mlpc-kernels --test conformance --no-run 2>&1 | sed -n 's/.*(\(.*\))/\1/p')
//! MLPC_ISA=avx2 valgrind --error-exitcode=1 "$test" memory
//! ```
//!
//! `exhaustive` takes all 2³² floats through every activation and slope, or the
//! one that `MLPC_UNARY` names; a minute or two an activation and instruction
//! set on two threads (`MLPC_THREADS`, all cores by default):
//!
//! ```sh
//! MLPC_ISA=avx2 cargo test --release -p mlpc-kernels --test conformance -- \
//!     --ignored --nocapture exhaustive
//! ```

// What the errors were is shown with --nocapture.
#![allow(clippy::print_stdout)]

use mlpc_kernels::gemm::{Algorithm, End, Gemm, Layout, Left, Right, Slope, Start};
use mlpc_kernels::layout::{Pick, Picked, Rows, Tile};
use mlpc_kernels::loss::LossKind;
use mlpc_kernels::optim::OptimizerKind;
use mlpc_kernels::simd::Isa;
use mlpc_kernels::table::{
    Accuracy, Data, Move, Network, Operation, Placement, Row, SPECIAL, Setting, Size, noise, rows,
    ulps,
};
use mlpc_kernels::unary::{Bound, SlopeFrom, Unary};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};

/// The instruction set that `MLPC_ISA` names, else all that the CPU has.
fn isas() -> Vec<Isa> {
    match std::env::var("MLPC_ISA") {
        Ok(name) if !name.is_empty() => {
            let isa: Isa = name.parse().unwrap_or_else(|()| {
                panic!("MLPC_ISA: unknown instruction set `{name}`");
            });
            assert!(isa.available(), "MLPC_ISA: this CPU lacks {isa}");
            vec![isa]
        }
        _ => {
            let (has, lacks): (Vec<Isa>, Vec<Isa>) =
                Isa::ALL.into_iter().partition(|isa| isa.available());
            for isa in lacks {
                println!("this CPU lacks {isa}: its rows are not tested");
            }
            has
        }
    }
}

/// The rows of these instruction sets, and those that have none.
fn tested() -> Vec<Row> {
    let isas = isas();
    let rows: Vec<Row> =
        rows().into_iter().filter(|row| row.isa.is_none_or(|isa| isas.contains(&isa))).collect();
    for isa in isas {
        let count = rows.iter().filter(|row| row.isa == Some(isa)).count();
        assert_eq!(count, rows_of_an_isa(), "{isa} has not its rows");
    }
    rows
}

/// The rows that an instruction set must have, counted from the vocabularies
/// in another way than the table does.
fn rows_of_an_isa() -> usize {
    let unary = 3 * Unary::ALL.len();
    // The elementwise losses, and bce with sigmoid.
    let losses = LossKind::ALL.len() - 1 + 1;
    // Alone and with cross_entropy.
    let softmax = 2;
    let products = |algorithm: &Algorithm| match algorithm {
        // Plain code, and the one that detects the CPU itself.
        Algorithm::Naive | Algorithm::Matrixmultiply => 0,
        // For weight gradients.
        Algorithm::Dots => 1,
        // For these and forward, also with a rectifier.
        Algorithm::Rows => 3,
        // Two of them also with a rectifier or a slope, one with an update.
        _ => 6,
    };
    let products: usize = Algorithm::ALL.iter().map(products).sum();
    let others = 4 + Move::ALL.len() + Network::ALL.len(); // multiply, sum_features, gather, scatter
    unary + losses + softmax + OptimizerKind::ALL.len() + products + others
}

/// Checks a row; panics with what it was and where.
fn check(row: &Row, size: Size, setting: Setting) -> Accuracy {
    match row.work(size, setting).check() {
        Ok(accuracy) => accuracy,
        Err(mismatch) => panic!("{} of {size}, {setting:?}: {mismatch}", row.name()),
    }
}

#[test]
fn every_word_has_a_row_of_every_instruction_set() {
    let rows = rows();
    let names: HashSet<String> = rows.iter().map(Row::name).collect();
    assert_eq!(names.len(), rows.len(), "two rows of one name");
    for isa in Isa::ALL {
        let of: Vec<&Row> = rows.iter().filter(|row| row.isa == Some(isa)).collect();
        assert_eq!(of.len(), rows_of_an_isa(), "{isa}");
        let has = |operation: Operation| of.iter().any(|row| row.operation == operation);
        for &unary in Unary::ALL {
            assert!(
                has(Operation::Value(unary)) && has(Operation::Slope(unary)),
                "{unary:?} {isa}"
            );
        }
        for &kind in LossKind::ALL {
            let row = match kind {
                LossKind::CrossEntropy => has(Operation::SoftmaxCrossEntropy),
                LossKind::Bce => has(Operation::Loss(kind)) && has(Operation::SigmoidBce),
                _ => has(Operation::Loss(kind)),
            };
            assert!(row, "{kind:?} {isa}");
        }
        for &kind in OptimizerKind::ALL {
            assert!(has(Operation::Update(kind)), "{kind:?} {isa}");
        }
        assert_eq!(isa.available(), of.iter().all(|row| row.available()));
    }
}

#[test]
fn every_row_at_every_length_and_misalignment() {
    for row in tested() {
        let lanes = row.lanes();
        for n in 0..=4 * lanes + 1 {
            for size in row.edge_sizes(n) {
                for offset in 0..lanes {
                    for variant in 0..row.variants() {
                        let placement = Placement::Guarded;
                        let setting = Setting { offset, placement, variant, ..Setting::default() };
                        check(&row, size, setting);
                    }
                }
            }
        }
    }
}

#[test]
fn every_row_with_special_values() {
    for row in tested() {
        let lanes = row.lanes();
        for n in 0..=4 * lanes + 1 {
            for size in row.edge_sizes(n) {
                for variant in 0..row.variants() {
                    let placement = Placement::Guarded;
                    let setting =
                        Setting { offset: n % lanes, placement, data: Data::Special, variant };
                    check(&row, size, setting);
                }
            }
        }
    }
}

/// At the sizes that the benches time, too.
#[test]
fn every_row_at_its_typical_sizes() {
    for row in tested() {
        for size in row.sizes() {
            let accuracy = check(&row, size, Setting::default());
            println!("{} {size}: {:.0}% of the bound", row.name(), 100.0 * accuracy.share);
        }
    }
}

/// Every row, where a read or write beyond a slice leaves its allocation.
#[test]
fn memory() {
    for row in tested() {
        let lanes = row.lanes();
        for n in [0, 1, lanes - 1, lanes, 2 * lanes + 1] {
            for size in row.edge_sizes(n) {
                let placement = Placement::Tight;
                check(&row, size, Setting { offset: n % 3, placement, ..Setting::default() });
            }
        }
    }
}

#[test]
fn products_of_every_odd_shape() {
    let sizes = [1, 2, 3, 5, 7, 10, 17, 31, 33, 64, 129];
    let products =
        tested().into_iter().filter(|row| matches!(row.operation, Operation::Product(_)));
    for row in products {
        let lanes = row.lanes();
        let mut shapes: Vec<[usize; 3]> = Vec::new();
        for m in sizes {
            for n in sizes {
                shapes.extend([1, 2, 7, 33, 129].map(|k| [m, n, k]));
            }
        }
        // Nothing to sum, no rows, no columns.
        shapes.extend([[3, 5, 0], [0, 5, 3], [3, 0, 5]]);
        for (index, [m, n, k]) in shapes.into_iter().enumerate() {
            let size = match row.operation {
                Operation::Product(product) => product.layer(m, n, k),
                _ => continue,
            };
            for variant in 0..row.variants() {
                let (offset, placement) = (index % lanes, Placement::Guarded);
                check(&row, size, Setting { offset, placement, variant, ..Setting::default() });
            }
        }
    }
}

#[test]
fn products_agree_with_the_naive_one() {
    let sizes = [1, 2, 3, 5, 7, 10, 17, 31, 33, 64, 129];
    let mut shapes: Vec<[usize; 3]> = vec![[3, 5, 0], [70, 130, 900]];
    for m in sizes {
        for n in sizes {
            shapes.extend([1, 2, 7, 33, 129].map(|k| [m, n, k]));
        }
    }
    for isa in isas() {
        for (at, &shape) in shapes.iter().enumerate() {
            // The two vary apart from each other, and from the innermost k.
            check_product(isa, shape, [16, 64, 24, 7][at % 4], at / 4 % 4);
        }
    }
}

/// One product of every layout by every algorithm that takes it.
fn check_product(isa: Isa, [m, n, k]: [usize; 3], panel: usize, start: usize) {
    const CANARY: f32 = 77.0;
    let (bias, bias_of_columns) = (noise(3, m), noise(5, n));
    let start =
        [Start::Zero, Start::C, Start::Bias(&bias), Start::BiasOfColumns(&bias_of_columns)][start];
    let tile = Tile { width: k.max(1) + 3, rows: k, panel };
    // Padding lanes hold 0 in one of the factors.
    let features = m + 3;
    let mut dz = noise(1, features * tile.width);
    for (_, dz) in dz.iter_mut().enumerate().filter(|(at, _)| tile.lane(features, *at) >= k) {
        *dz = 0.0;
    }
    let (a, b) = (noise(1, m * k), noise(2, (n + 2) * tile.width));
    let lefts = [
        Left::Strided { data: &a, row_stride: k, column_stride: 1 },
        Left::Strided { data: &a, row_stride: 1, column_stride: m },
        Left::Tile { data: &dz, tile, features, first: 2 },
    ];
    // As many rows as a side of the matrix, or fewer, from the last to the first; the last
    // one of all ends with the slice.
    let columns_of_b = noise(6, n * (k + 1));
    let backward = |count: usize| (0..count as u32).rev().collect::<Vec<u32>>();
    let (numbers, of_columns) = (backward(k), backward(n));
    let picked = |data, columns, numbers, count| {
        Picked::new(Rows { data, columns, pick: Pick::Numbers(numbers) }, count)
    };
    let rights = [
        Right::Rows { data: &b, stride: n + 2 },
        Right::Panels { data: &b, panel },
        Right::Tile { data: &b, tile, features: n + 2, first: 1 },
        Right::Picked(picked(&b[..(n + 2) * k], n + 2, &numbers, k)),
        Right::Picked(picked(&b[..n * k], n, &numbers, k)),
        Right::PickedColumns(picked(&columns_of_b, k + 1, &of_columns, n - n / 3)),
        Right::PickedColumns(picked(&columns_of_b[..n * k], k, &of_columns, n)),
    ];
    for (left, right, layout) in lefts
        .into_iter()
        .flat_map(|left| rights.into_iter().map(move |right| (left, right)))
        .flat_map(|(l, r)| [Layout::Rows(n + 3), Layout::Panels(panel)].map(|c| (l, r, c)))
    {
        let (length, inside): (usize, &dyn Fn(usize) -> bool) = match layout {
            Layout::Rows(stride) => (m * stride, &move |at| at % stride < n),
            Layout::Panels(_) => (m * n + 5, &move |at| at < m * n),
        };
        let mut before = noise(4, length);
        before.iter_mut().enumerate().filter(|(at, _)| !inside(*at)).for_each(|(_, x)| *x = CANARY);
        let product = |algorithm: Algorithm| {
            let mut c = before.clone();
            let end = End::Sum;
            let mut gemm =
                Gemm { m, n, k, a: left, b: right, c: &mut c, layout, start, end, ahead: &a };
            if !algorithm.takes(&gemm) {
                return None;
            }
            gemm.run(algorithm, isa);
            Some(c)
        };
        let exact = product(Algorithm::Naive).expect("the naive product takes everything");
        // Σ |a·b| ≤ k; each of k roundings is at most 2⁻²⁴ of the running sum.
        let bound = (k as f32 + 2.0) * f32::EPSILON;
        for algorithm in Algorithm::ALL {
            let Some(computed) = product(algorithm) else { continue };
            for (at, (&x, &y)) in computed.iter().zip(&exact).enumerate() {
                assert!(
                    if inside(at) { (x - y).abs() <= bound } else { x == CANARY },
                    "{} {isa} {m}x{n}x{k} {layout:?} at {at}: {x} instead of {y}",
                    algorithm.name()
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "B is short")]
fn a_short_operand_is_refused() {
    let (a, b, mut c) = ([0.0; 6], [0.0; 5], [0.0; 4]);
    Gemm {
        m: 2,
        n: 2,
        k: 3,
        a: Left::Strided { data: &a, row_stride: 3, column_stride: 1 },
        b: Right::Rows { data: &b, stride: 2 },
        c: &mut c,
        layout: Layout::Rows(2),
        start: Start::Zero,
        end: End::Sum,
        ahead: &[],
    }
    .run(Algorithm::Tiled, Isa::best());
}

/// Every float whose bits are a multiple of `step`, and the special ones.
fn floats(step: usize) -> Vec<f32> {
    let mut all: Vec<f32> = (0..=u32::MAX).step_by(step).map(f32::from_bits).collect();
    for x in SPECIAL {
        all.extend([x, -x, x.next_up(), x.next_down(), -x.next_up(), -x.next_down()]);
    }
    all
}

/// The largest errors over `inputs`, of value and slope; panics at the first
/// that breaks a bound.
fn check_unary(unary: Unary, isa: Isa, inputs: &[f32]) -> (f64, f64) {
    let (value_bound, slope_bound) = unary.bounds();
    let mut values = inputs.to_vec();
    unary.apply(isa, &mut values);
    let mut slopes = vec![1.0; inputs.len()];
    match unary.slope_from() {
        SlopeFrom::Output => unary.multiply_slope(isa, &values, &mut slopes),
        SlopeFrom::Input => unary.multiply_slope(isa, inputs, &mut slopes),
    }
    let mut worst = (0.0f64, 0.0f64);
    let error = |what: &str, x: f32, computed: f32, exact: f64, bound: Bound| {
        let (ulp, absolute) = (ulps(computed, exact), (f64::from(computed) - exact).abs());
        assert!(
            ulp <= bound.ulp || absolute <= bound.absolute,
            "{} under {isa}: {what}({x:e}) = {computed:e}, exactly {exact:e}: {ulp} ULP",
            unary.name()
        );
        if absolute > bound.absolute { ulp } else { 0.0 }
    };
    for ((&x, &value), &slope) in inputs.iter().zip(&values).zip(&slopes) {
        worst.0 = worst.0.max(error("f", x, value, unary.oracle(x.into()), value_bound));
        if !x.is_nan() {
            let exact = unary.oracle_slope(x.into());
            worst.1 = worst.1.max(error("f'", x, slope, exact, slope_bound));
        }
    }
    worst
}

/// A slope that products multiply by is an activation's own, bit for bit.
#[test]
fn products_have_the_slopes_of_activations() {
    for isa in isas() {
        for &unary in Unary::ALL {
            let Some(slope) = Slope::of(unary, false) else { continue };
            let mut y = floats(9973);
            unary.apply(isa, &mut y);
            let mut exact = vec![1.0; y.len()];
            unary.multiply_slope(isa, &y, &mut exact);
            // By few columns of A, and by register tiles.
            for k in [1, 20] {
                let mut ones = vec![0.0; k * y.len()];
                ones[..y.len()].fill(1.0);
                let mut computed = vec![0.0; y.len()];
                Gemm {
                    m: 1,
                    n: y.len(),
                    k,
                    a: Left::Strided { data: &[1.0; 20], row_stride: k, column_stride: 1 },
                    b: Right::Rows { data: &ones, stride: y.len() },
                    c: &mut computed,
                    layout: Layout::Rows(y.len()),
                    start: Start::Zero,
                    end: End::Slope { slope, y: &y },
                    ahead: &[],
                }
                .run(Algorithm::Tiled, isa);
                for ((y, computed), exact) in y.iter().zip(&computed).zip(&exact) {
                    assert!(
                        computed == exact || (computed.is_nan() && exact.is_nan()),
                        "{} under {isa}: the slope at {y:e} is {computed:e}, not {exact:e}",
                        unary.name()
                    );
                }
            }
        }
    }
}

#[test]
fn activations_hold_their_bounds() {
    let inputs = floats(9973);
    for isa in isas() {
        for &unary in Unary::ALL {
            let (value, slope) = check_unary(unary, isa, &inputs);
            println!("{isa} {}: value {value:.2} ULP, slope {slope:.2} ULP", unary.name());
        }
    }
}

#[test]
#[ignore = "all 2^32 floats: minutes an activation; see the head of this file"]
fn exhaustive() {
    let threads = match std::env::var("MLPC_THREADS") {
        Ok(text) => text.parse().expect("MLPC_THREADS is a number"),
        Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let only = std::env::var("MLPC_UNARY")
        .ok()
        .map(|name| Unary::parse(&name).expect("MLPC_UNARY is an activation"));
    for isa in isas() {
        for &unary in Unary::ALL.iter().filter(|unary| only.is_none_or(|only| only == **unary)) {
            // Blocks of floats with the same upper half of their bits.
            let next = AtomicU32::new(0);
            let search = || {
                let mut worst = (0.0f64, 0.0f64);
                loop {
                    let high = next.fetch_add(1, Ordering::Relaxed);
                    if high > 0xffff {
                        return worst;
                    }
                    let block = high << 16..=high << 16 | 0xffff;
                    let inputs: Vec<f32> = block.map(f32::from_bits).collect();
                    let (value, slope) = check_unary(unary, isa, &inputs);
                    worst = (worst.0.max(value), worst.1.max(slope));
                }
            };
            let worst = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..threads).map(|_| scope.spawn(search)).collect();
                let found = workers.into_iter().map(|worker| match worker.join() {
                    Ok(worst) => worst,
                    Err(panic) => std::panic::resume_unwind(panic),
                });
                found.fold((0.0f64, 0.0f64), |a, b| (a.0.max(b.0), a.1.max(b.1)))
            });
            println!("{isa} {}: value {:.3} ULP, slope {:.3} ULP", unary.name(), worst.0, worst.1);
        }
    }
}
