//! Every operation, under every instruction set that this CPU has, against
//! its f64 oracle; every length around whole vectors, with canaries.

// What the errors were is shown with --nocapture.
#![allow(clippy::print_stdout)]

use mlpc_kernels::gemm::{Algorithm, Gemm, Layout, Left, Right, Start};
use mlpc_kernels::hyper::Values;
use mlpc_kernels::layout::{Pick, Rows, Tile, pack_rows, pack_tile, rows_to_tile, tile_to_rows};
use mlpc_kernels::loss::{self, Loss, LossKind};
use mlpc_kernels::optim::{Optimizer, OptimizerKind};
use mlpc_kernels::simd::Isa;
use mlpc_kernels::unary::{Bound, SlopeFrom, Unary};

/// The instruction sets of this CPU, and 16 lanes wherever the test runs.
fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.available()).chain([Isa::Model])
}

/// Numbers from −1 to 1 in a fixed order (a linear congruential generator).
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Every float whose bits are a multiple of `step`, and the special ones.
fn floats(step: usize) -> Vec<f32> {
    let mut all: Vec<f32> = (0..=u32::MAX).step_by(step).map(f32::from_bits).collect();
    let special = [
        0.0,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        1.0,
        f32::EPSILON,
        9.010_913,
        15.942_385,
        87.336_55,
        88.722_84,
        103.972_08,
        f32::MAX,
        f32::INFINITY,
    ];
    for x in special {
        all.extend([x, -x, x.next_up(), x.next_down(), -x.next_up(), -x.next_down()]);
    }
    all.push(f32::NAN);
    all
}

/// |computed − exact| in units in the last place of the exact result.
fn ulps(computed: f32, exact: f64) -> f64 {
    if computed.is_nan() && exact.is_nan() {
        return 0.0;
    }
    let rounded = exact as f32;
    if computed == rounded {
        return if rounded.is_infinite() { 0.0 } else { distance(computed, exact) };
    }
    if rounded.is_infinite() || computed.is_infinite() || computed.is_nan() || exact.is_nan() {
        // One step beside the edge of overflow is one ULP.
        let beside = (rounded.abs() == f32::MAX && computed.is_infinite())
            || (computed.abs() == f32::MAX && rounded.is_infinite());
        return if beside { 1.0 } else { f64::INFINITY };
    }
    distance(computed, exact)
}

fn distance(computed: f32, exact: f64) -> f64 {
    let exponent = exact.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    (f64::from(computed) - exact).abs() / (exponent - 23.0).exp2()
}

fn within(computed: f32, exact: f64, bound: Bound) -> bool {
    ulps(computed, exact) <= bound.ulp || (f64::from(computed) - exact).abs() <= bound.absolute
}

/// The largest error over `inputs`; panics at the first that breaks a bound.
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
    for ((&x, &value), &slope) in inputs.iter().zip(&values).zip(&slopes) {
        let (exact, exact_slope) = (unary.oracle(x.into()), unary.oracle_slope(x.into()));
        assert!(
            within(value, exact, value_bound),
            "{} under {isa}: f({x:e}) = {value:e}, exactly {exact:e}: {} ULP",
            unary.name(),
            ulps(value, exact)
        );
        if !x.is_nan() {
            assert!(
                within(slope, exact_slope, slope_bound),
                "{} under {isa}: f'({x:e}) = {slope:e}, exactly {exact_slope:e}: {} ULP",
                unary.name(),
                ulps(slope, exact_slope)
            );
            if (f64::from(value) - exact).abs() > value_bound.absolute {
                worst.0 = worst.0.max(ulps(value, exact));
            }
            if (f64::from(slope) - exact_slope).abs() > slope_bound.absolute {
                worst.1 = worst.1.max(ulps(slope, exact_slope));
            }
        }
    }
    worst
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

/// All 2³² floats: some minutes an instruction set. Run with
/// `cargo test --release -p mlpc-kernels -- --ignored --nocapture exhaustive`.
#[test]
#[ignore = "takes minutes; run on demand"]
fn exhaustive() {
    for isa in isas() {
        for &unary in Unary::ALL {
            let mut worst = (0.0f64, 0.0f64);
            for high in 0..=0xffffu32 {
                let inputs: Vec<f32> =
                    (0..=0xffffu32).map(|low| f32::from_bits(high << 16 | low)).collect();
                let (value, slope) = check_unary(unary, isa, &inputs);
                worst = (worst.0.max(value), worst.1.max(slope));
            }
            println!("{isa} {}: value {:.3} ULP, slope {:.3} ULP", unary.name(), worst.0, worst.1);
        }
    }
}

#[test]
fn activations_touch_their_slice_alone() {
    const CANARY: f32 = 1234.5;
    for isa in isas() {
        for &unary in Unary::ALL {
            for start in 0..isa.lanes() {
                for n in 0..=4 * isa.lanes() + 1 {
                    let mut x = vec![CANARY; start + n + 20];
                    x[start..start + n].copy_from_slice(&noise(n as u64, n));
                    let mut y = x.clone();
                    let mut slope = x.clone();
                    unary.apply(isa, &mut y[start..start + n]);
                    unary.apply_keeping_slope(
                        isa,
                        &mut slope[start..start + n],
                        &mut x[start..start + n],
                    );
                    assert_eq!(x[start..start + n], y[start..start + n]);
                    for v in [&x, &y, &slope] {
                        let outside = v[..start].iter().chain(&v[start + n..]);
                        assert!(outside.into_iter().all(|&c| c == CANARY), "{unary:?} {isa} {n}");
                    }
                }
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
            check_product(isa, shape, [16, 64, 24, 7][at % 4], at / 4 % 3);
        }
    }
}

/// One product of every layout by every algorithm that takes it.
fn check_product(isa: Isa, [m, n, k]: [usize; 3], panel: usize, start: usize) {
    const CANARY: f32 = 77.0;
    let bias = noise(3, m);
    let start = [Start::Zero, Start::C, Start::Bias(&bias)][start];
    let tile = Tile { width: k.max(1) + 3, rows: k, panel };
    // Padding lanes hold 0 in one of the factors.
    let mut dz = noise(1, m * tile.width);
    for at in 0..dz.len() {
        if tile.lane(m, at) >= k {
            dz[at] = 0.0;
        }
    }
    let (a, b) = (noise(1, m * k), noise(2, (n + 2) * tile.width));
    let lefts = [
        Left::Strided { data: &a, row_stride: k, column_stride: 1 },
        Left::Strided { data: &a, row_stride: 1, column_stride: m },
        Left::Tile(&dz, tile),
    ];
    let rights = [
        Right::Rows { data: &b, stride: n + 2 },
        Right::Panels { data: &b, panel },
        Right::Tile(&b, tile),
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
            let gemm = Gemm { m, n, k, a: left, b: right, c: &mut c, layout, start };
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
    }
    .run(Algorithm::Tiled, Isa::best());
}

#[test]
fn losses_agree_with_their_oracles() {
    let (outputs, tile) = (3, Tile { width: 32, rows: 21, panel: 16 });
    let p: Vec<f32> = noise(5, outputs * tile.width).iter().map(|x| 0.5 + 0.49 * x).collect();
    let mut y: Vec<f32> = noise(6, outputs * tile.width).iter().map(|x| 0.5 + 0.5 * x).collect();
    y[4] = p[4];
    let scale = 0.25;
    for isa in isas() {
        for &kind in LossKind::ALL {
            if kind == LossKind::CrossEntropy {
                continue;
            }
            let mut hyper: Values = Loss::new(kind).hyper;
            hyper[0] *= 0.3;
            let loss = Loss { kind, hyper };
            let mut grad = vec![f32::NAN; p.len()];
            let total = loss.gradient(isa, tile, &p, &y, scale, &mut grad);
            let mut exact = 0.0;
            for (at, &g) in grad.iter().enumerate() {
                if tile.lane(outputs, at) >= tile.rows {
                    assert_eq!(g, 0.0, "{kind:?} {isa}: padding");
                    continue;
                }
                let (value, slope) = loss.oracle(p[at].into(), y[at].into());
                exact += value;
                let slope = slope * f64::from(scale);
                assert!(
                    (f64::from(g) - slope).abs() <= 2e-6 * slope.abs().max(0.1),
                    "{kind:?} {isa}"
                );
            }
            assert!((total - exact).abs() <= 2e-6 * exact.abs(), "{kind:?} {isa}: {total} {exact}");
            // Fused with every activation: the chain rule, in f64.
            for &unary in Unary::ALL {
                if kind == LossKind::Bce && unary != Unary::Sigmoid {
                    continue;
                }
                let mut z = p.clone();
                let total = loss.gradient_through(isa, unary, tile, &mut z, &y, scale);
                let mut exact = 0.0;
                for (at, &g) in z.iter().enumerate() {
                    if tile.lane(outputs, at) >= tile.rows {
                        assert_eq!(g, 0.0, "{kind:?} {unary:?} {isa}: padding");
                        continue;
                    }
                    let x = f64::from(p[at]);
                    let (value, slope) = loss.oracle(unary.oracle(x), y[at].into());
                    exact += value;
                    let slope = slope * unary.oracle_slope(x) * f64::from(scale);
                    // Where p = y by chance of rounding, the slope of mae jumps.
                    let jump = (unary.oracle(x) - f64::from(y[at])).abs() < 1e-6;
                    assert!(
                        jump || (f64::from(g) - slope).abs() <= 2e-6 * slope.abs().max(0.1),
                        "{kind:?} {unary:?} {isa}: {g} instead of {slope}"
                    );
                }
                assert!(
                    (total - exact).abs() <= 3e-6 * exact.abs().max(0.1),
                    "{kind:?} {unary:?} {isa}"
                );
            }
        }
    }
}

#[test]
fn softmax_and_cross_entropy_agree_with_the_definition() {
    for isa in isas() {
        for (outputs, tile) in
            [(2, Tile::plain(16, 1)), (10, Tile { width: 48, rows: 37, panel: 32 })]
        {
            for smoothing in [0.0, 0.1f32] {
                let logits: Vec<f32> =
                    noise(7, outputs * tile.width).iter().map(|x| 20.0 * x).collect();
                let classes: Vec<u32> =
                    (0..tile.rows).map(|row| (row * 7 % outputs) as u32).collect();
                let scale = 1.0 / tile.rows as f32;

                let mut p = logits.clone();
                loss::softmax(isa, tile, &mut p);
                let mut fused = logits.clone();
                let fused_total =
                    loss::softmax_cross_entropy(isa, tile, &mut fused, &classes, smoothing, scale);
                let mut unfused = vec![0.0; p.len()];
                let unfused_total =
                    loss::cross_entropy(tile, &p, &classes, smoothing, scale, &mut unfused);
                loss::softmax_backward(tile, &p, &mut unfused);

                let mut exact_total = 0.0;
                for row in 0..tile.width {
                    let z: Vec<f64> = (0..outputs)
                        .map(|c| f64::from(logits[tile.index(outputs, c, row)]))
                        .collect();
                    let sum: f64 = z.iter().map(|z| z.exp()).sum();
                    for (c, z) in z.iter().enumerate() {
                        let at = tile.index(outputs, c, row);
                        let exact = z.exp() / sum;
                        assert!((f64::from(p[at]) - exact).abs() <= 1e-6, "{isa}");
                        if row >= tile.rows {
                            assert_eq!(fused[at], 0.0);
                            assert_eq!(unfused[at], 0.0);
                            continue;
                        }
                        let hit = f64::from(u8::from(c == classes[row] as usize));
                        let target = hit * (1.0 - f64::from(smoothing))
                            + f64::from(smoothing) / outputs as f64;
                        exact_total -= target * exact.ln();
                        let slope = (exact - target) * f64::from(scale);
                        let bound = 2e-6 * f64::from(scale);
                        assert!((f64::from(fused[at]) - slope).abs() <= bound, "{isa}");
                        assert!((f64::from(unfused[at]) - slope).abs() <= bound, "{isa}");
                    }
                }
                assert!((fused_total - exact_total).abs() <= 1e-5 * exact_total);
                assert!((unfused_total - exact_total).abs() <= 1e-5 * exact_total);
            }
        }
    }
}

#[test]
fn optimizers_agree_with_their_oracles() {
    for isa in isas() {
        for &kind in OptimizerKind::ALL {
            for variant in 0..3 {
                let mut optimizer = Optimizer::new(kind);
                for (value, hyper) in optimizer.hyper.iter_mut().zip(kind.hypers()) {
                    match (hyper.name, variant) {
                        ("momentum", 1..) => *value = 0.9,
                        ("nesterov", 2) => *value = 1.0,
                        ("weight_decay", 1..) => *value = 0.1,
                        _ => {}
                    }
                }
                for n in [0, 1, 7, 8, 9, 16, 33, 65] {
                    check_optimizer(isa, &optimizer, n);
                }
            }
        }
    }
}

fn check_optimizer(isa: Isa, optimizer: &Optimizer, n: usize) {
    let mut p = noise(8, n);
    let mut exact: Vec<f64> = p.iter().map(|&x| x.into()).collect();
    let mut exact_state = vec![[0.0; 2]; n];
    let kept = optimizer.state();
    let (mut m, mut v) = (vec![0.0; n * kept.min(1)], vec![0.0; n * (kept / 2)]);
    for step in 1..=5 {
        let g = noise(100 + step, n);
        optimizer.update(isa, step, &mut p, &g, [&mut m, &mut v]);
        for (i, &g) in g.iter().enumerate() {
            exact[i] = optimizer.oracle(step, exact[i], g.into(), &mut exact_state[i]);
        }
    }
    for (i, (&x, &y)) in p.iter().zip(&exact).enumerate() {
        assert!(
            (f64::from(x) - y).abs() <= 2e-6,
            "{} under {isa}, element {i} of {n}: {x} instead of {y}",
            optimizer.kind.name()
        );
    }
}

#[test]
fn rows_and_tiles_hold_the_same() {
    for isa in isas() {
        for (columns, count) in [(1, 1), (3, 5), (8, 8), (9, 17), (13, 40), (70, 16), (16, 130)] {
            for (panel, padding) in [(16, 0), (16, 11), (64, 3), (7, 1), (1000, 6)] {
                check_layout(isa, columns, Tile { width: count + padding, rows: count, panel });
            }
        }
    }
}

fn check_layout(isa: Isa, columns: usize, tile: Tile) {
    let data = noise(9, 200 * columns);
    let numbers: Vec<u32> = (0..tile.rows as u32).map(|i| i * 67 % 200).collect();
    for pick in [Pick::From(200 - tile.rows), Pick::Numbers(&numbers)] {
        let rows = Rows { data: &data, columns, pick };
        let row = |place: usize| &data[pick.row(place) * columns..][..columns];
        let mut held = vec![-5.0; columns * tile.width];
        rows_to_tile(isa, tile, rows, &mut held);
        for lane in 0..tile.width {
            for feature in 0..columns {
                let x = if lane < tile.rows { row(lane)[feature] } else { 0.0 };
                assert_eq!(held[tile.index(columns, feature, lane)], x, "{isa} {tile:?}");
            }
        }
        let mut back = vec![-5.0; columns * tile.rows];
        tile_to_rows(isa, tile, columns, &held, &mut back);
        for (place, back) in back.chunks_exact(columns).enumerate() {
            assert_eq!(back, row(place), "{isa} {tile:?}");
        }
        for panel in [16, 64, 5] {
            let mut packed = vec![-5.0; columns * tile.width];
            pack_rows(isa, tile, rows, panel, &mut packed);
            // A tile of the transposed shape: features are rows, lanes columns.
            let transposed = Tile { width: columns, rows: columns, panel };
            for place in 0..tile.width {
                for column in 0..columns {
                    let x = if place < tile.rows { row(place)[column] } else { 0.0 };
                    let at = transposed.index(tile.width, place, column);
                    assert_eq!(packed[at], x, "{isa} {tile:?} {panel}");
                }
            }
            let mut again = vec![-5.0; packed.len()];
            pack_tile(isa, tile, columns, &held, panel, &mut again);
            assert_eq!(again, packed, "{isa} {tile:?} {panel}");
        }
    }
}

#[test]
#[should_panic(expected = "a row beyond the matrix")]
fn a_row_beyond_the_matrix_is_refused() {
    let rows = Rows { data: &[0.0; 6], columns: 2, pick: Pick::Numbers(&[0, 3]) };
    rows_to_tile(Isa::best(), Tile::plain(8, 2), rows, &mut [0.0; 16]);
}
