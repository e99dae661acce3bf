//! The f64 oracle's gradients against central differences, for every
//! activation with every loss that it goes with.

#![allow(clippy::unwrap_used)]

use mlpc::check::Limits;
use mlpc::check::model::{LossKind, Unary};
use mlpc::exec::{Targets, reference::evaluate};
use mlpc::ir::lower;

fn noise(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99_991);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

fn check(text: &str, targets: Targets<'_, f64>, rows: usize) {
    let network = mlpc::compile(text).unwrap().network(None, None, &Limits::default()).unwrap();
    let ir = lower(&network);
    let x: Vec<f64> = noise(1, rows * network.inputs).iter().map(|x| 2.0 * x).collect();
    let parameters = noise(2, network.parameters());
    let exact = evaluate(&ir, &parameters, &x, &[], targets, rows).gradient;
    let largest = exact.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    assert!(largest > 0.0, "{text}: a gradient of zeros proves nothing");
    for at in 0..parameters.len() {
        let h = 1e-6;
        let loss = |delta: f64| {
            let mut moved = parameters.clone();
            moved[at] += delta;
            evaluate(&ir, &moved, &x, &[], targets, rows).loss
        };
        let difference = (loss(h) - loss(-h)) / (2.0 * h);
        assert!(
            (difference - exact[at]).abs() <= 1e-7 * largest.max(1.0),
            "{text}: parameter {at}: gradient {}, difference {difference}",
            exact[at]
        );
    }
}

#[test]
fn gradients_are_derivatives() {
    let rows = 5;
    for &kind in LossKind::ALL {
        let loss = match kind {
            LossKind::Huber => "huber delta=0.4".to_string(),
            LossKind::Quantile => "quantile q=0.3".to_string(),
            LossKind::CrossEntropy => continue,
            kind => kind.name().to_string(),
        };
        for &unary in Unary::ALL {
            let f = unary.name();
            // Hidden, and last where the loss takes it.
            let last = if kind == LossKind::Bce { "sigmoid" } else { f };
            let text = format!(
                "input 3 -> dense 4 {f} -> dense 3 {f} bias=false -> dense 2 {last}; loss {loss}"
            );
            let y: Vec<f64> = noise(3, rows * 2).iter().map(|y| 0.5 + 0.5 * y).collect();
            check(&text, Targets::Values(&y), rows);
        }
    }
}

#[test]
fn the_gradient_of_cross_entropy_is_its_derivative() {
    let classes = [0, 2, 1, 2, 0];
    for smoothing in ["", " label_smoothing=0.1"] {
        let text =
            format!("input 3 -> dense 4 tanh -> dense 3 softmax; loss cross_entropy{smoothing}");
        check(&text, Targets::Classes(&classes), classes.len());
    }
}
