//! Optimizers where numbers overflow or vanish, under every instruction set that this
//! CPU has.

use mlpc_kernels::optim::{Optimizer, OptimizerKind, Readers};
use mlpc_kernels::simd::Isa;

/// A parameter of 0.5 after a step with so large a gradient, and one of 0.
fn after_a_step(optimizer: &Optimizer, isa: Isa, gradient: f32) -> [f32; 2] {
    // More than a vector, with a part of one behind it.
    let n = 37;
    let mut parameters = vec![0.5; n];
    let mut gradients = vec![gradient; n];
    gradients[n - 1] = 0.0;
    let mut state = [vec![0.0; n], vec![0.0; n]];
    for unused in &mut state[optimizer.state()..] {
        unused.clear();
    }
    let [m, v] = &mut state;
    optimizer.at(1).update(isa, &mut parameters, &gradients, [m, v], Readers::Same);
    [parameters[0], parameters[n - 1]]
}

#[test]
fn a_square_that_overflows_moves_nothing() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for kind in [OptimizerKind::Adam, OptimizerKind::RmsProp, OptimizerKind::Adagrad] {
            for gradient in [1e20, 1e30, 3e38, -3e38] {
                let found = after_a_step(&Optimizer::new(kind), isa, gradient);
                assert_eq!(found, [0.5, 0.5], "{isa}, {}, {gradient:e}", kind.name());
            }
        }
    }
}

#[test]
fn tiny_rates_and_denominators_divide_by_no_zero() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for kind in OptimizerKind::ALL.iter().copied() {
            for (rate, eps) in [(1e-12, 1e-300), (1e-40, 1e-8), (1e-3, 1e-45), (1e-40, 1e-45)] {
                let mut optimizer = Optimizer { rate, ..Optimizer::new(kind) };
                if let Some(at) = kind.hypers().iter().position(|hyper| hyper.name == "eps") {
                    optimizer.hyper[at] = eps;
                }
                for gradient in [0.0, 1e-12, 1.0] {
                    let found = after_a_step(&optimizer, isa, gradient);
                    // The first step of rmsprop is 10 rates.
                    let sound = found.iter().all(|p| (p - 0.5).abs() <= 11.0 * rate as f32 + 1e-5);
                    assert!(sound, "{isa}, {}, {rate:e}, {eps:e}: {found:?}", kind.name());
                }
            }
        }
    }
}
