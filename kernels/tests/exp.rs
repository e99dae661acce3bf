//! The exponential, of which activations and softmax are made, against f64.

// What the errors were is shown with --nocapture.
#![allow(clippy::print_stdout)]

use mlpc_kernels::simd::Isa;
use mlpc_kernels::unary::exp;

/// |computed − exact| in units in the last place of the exact result.
fn ulps(computed: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if rounded.is_infinite() || computed.is_infinite() {
        // One step beside the edge of overflow is one ULP.
        let beside = rounded == computed || rounded.min(computed) == f32::MAX;
        return if beside { f64::from(u8::from(rounded != computed)) } else { f64::INFINITY };
    }
    let exponent = ((exact.to_bits() >> 52) as i32 - 1023).max(-126);
    (f64::from(computed) - exact).abs() * f64::from(23 - exponent).exp2()
}

/// The largest error over all floats whose bits are from `start` on in steps.
fn check(isa: Isa, start: u32, step: usize) -> f64 {
    let mut worst = 0.0f64;
    let mut bits = (start..=u32::MAX).step_by(step).peekable();
    while bits.peek().is_some() {
        let inputs: Vec<f32> = bits.by_ref().take(1 << 16).map(f32::from_bits).collect();
        let mut values = inputs.clone();
        exp::apply(isa, &mut values);
        for (&x, &y) in inputs.iter().zip(&values) {
            if x.is_nan() {
                assert!(y.is_nan(), "{isa}: e^NaN = {y:e}");
                continue;
            }
            let error = ulps(y, f64::from(x).exp());
            assert!(error <= exp::BOUND.ulp, "{isa}: e^{x:e} = {y:e}: {error} ULP");
            worst = worst.max(error);
        }
    }
    worst
}

#[test]
fn the_exponential_holds_its_bound() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()).chain([Isa::Model]) {
        println!("{isa}: {:.3} ULP", check(isa, 1, 2477));
        let edges = [0.0, 87.336_55, 88.722_84, 103.972_08, f32::INFINITY];
        for x in edges.into_iter().flat_map(|x: f32| [x, x.next_up(), x.next_down()]) {
            for x in [x, -x] {
                let mut y = [x];
                exp::apply(isa, &mut y);
                let error = ulps(y[0], f64::from(x).exp());
                assert!(x.is_nan() || error <= exp::BOUND.ulp, "{isa}: e^{x:e}: {error} ULP");
            }
        }
    }
}

/// All 2³² floats: a minute or two an instruction set. Run with
/// `cargo test --release -p mlpc-kernels --test exp -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes; run on demand"]
fn exhaustive() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        println!("{isa}: {:.3} ULP", check(isa, 0, 1));
    }
}
