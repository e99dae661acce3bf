//! Every operation, under every instruction set that this CPU has, against
//! its f64 oracle; every length around whole vectors, with canaries.

// What the errors were is shown with --nocapture.
#![allow(clippy::print_stdout)]

use mlpc_kernels::gemm::{Algorithm, Gemm, Start, Strided};
use mlpc_kernels::hyper::Values;
use mlpc_kernels::layout::{Tile, transpose};
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
    let mut shapes: Vec<(usize, usize, usize)> = Vec::new();
    for m in sizes {
        for n in sizes {
            for k in [1, 2, 7, 33, 129] {
                shapes.push((m, n, k));
            }
        }
    }
    shapes.push((3, 5, 0));
    for isa in isas() {
        for algorithm in [Algorithm::Tiled, Algorithm::Matrixmultiply] {
            for &(m, n, k) in &shapes {
                for (transposed, start) in [(false, 0), (true, 1), (false, 2)] {
                    check_product(isa, algorithm, m, n, k, transposed, start);
                }
            }
        }
    }
}

fn check_product(
    isa: Isa,
    algorithm: Algorithm,
    m: usize,
    n: usize,
    k: usize,
    transposed: bool,
    start: usize,
) {
    const CANARY: f32 = 77.0;
    let a = noise(1, m * k);
    let (row_stride, column_stride) = if transposed { (1, m) } else { (k, 1) };
    let b = noise(2, k * (n + 2));
    let bias = noise(3, m);
    let c_stride = n + 3;
    let mut before = vec![CANARY; m * c_stride];
    for (row, values) in before.chunks_mut(c_stride).zip(noise(4, m * n).chunks(n)) {
        row[..n].copy_from_slice(values);
    }
    let product = |algorithm: Algorithm| {
        let mut c = before.clone();
        Gemm {
            m,
            n,
            k,
            a: Strided { data: &a, row_stride, column_stride },
            b: &b,
            b_stride: n + 2,
            c: &mut c,
            c_stride,
            start: [Start::Zero, Start::C, Start::Bias(&bias)][start],
        }
        .run(algorithm, isa);
        c
    };
    let (computed, exact) = (product(algorithm), product(Algorithm::Naive));
    // Σ |a·b| ≤ k; each of k roundings is at most 2⁻²⁴ of the running sum.
    let bound = (k as f32 + 2.0) * f32::EPSILON;
    for (at, (&x, &y)) in computed.iter().zip(&exact).enumerate() {
        let outside = at % c_stride >= n;
        assert!(
            if outside { x == CANARY } else { (x - y).abs() <= bound },
            "{} {isa} {m}x{n}x{k} at {at}: {x} instead of {y}",
            algorithm.name()
        );
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
        a: Strided { data: &a, row_stride: 3, column_stride: 1 },
        b: &b,
        b_stride: 2,
        c: &mut c,
        c_stride: 2,
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
fn transposing_moves_every_element() {
    for isa in isas() {
        for (rows, columns) in [(1, 1), (3, 5), (8, 8), (9, 17), (32, 13), (16, 784)] {
            let (from_stride, to_stride) = (columns + 1, rows + 2);
            let from = noise(9, rows * from_stride);
            let mut to = vec![-5.0; columns * to_stride];
            transpose(isa, rows, columns, &from, from_stride, &mut to, to_stride);
            for j in 0..columns {
                for i in 0..to_stride {
                    let expected = if i < rows { from[i * from_stride + j] } else { -5.0 };
                    assert_eq!(to[j * to_stride + i], expected);
                }
            }
        }
    }
}
