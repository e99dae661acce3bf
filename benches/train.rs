//! Whole training steps: forward, loss, backward and update of one resident
//! batch, on one thread. Each proves its answer against the f64 oracle before
//! it is timed.

#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use mlpc::check::Limits;
use mlpc::check::model::LossKind;
use mlpc::exec::{Batch, Executor, Rows, State, Targets, reference};
use mlpc::plan::{Plan, PlanOptions};
use mlpc::train::initial_parameters;
use mlpc_kernels::table::noise;
use std::sync::Arc;

/// Name, model and batch.
const WORKLOADS: [(&str, &str, usize); 9] = [
    ("xor-seed", "input 2 -> dense 3 sigmoid -> dense 1 sigmoid; loss mse; sgd 0.1", 4),
    ("readme-24-8-2", "input 24 -> dense 8 tanh -> dense 2; loss mse; adam 0.001", 200),
    (
        "expm-2x2",
        "input 4 -> dense 32 tanh -> dense 16 tanh -> dense 4; loss mse; adam 0.001",
        2048,
    ),
    (
        "tabular-b32",
        "input 13 -> dense 64 relu -> dense 64 relu -> dense 1; loss mse; adam 0.001",
        32,
    ),
    (
        "tabular-b256",
        "input 54 -> dense 256 relu -> dense 128 relu -> dense 7 softmax; loss cross_entropy; adam 0.001",
        256,
    ),
    ("deep-narrow", "input 32 -> repeat 4 (dense 64 relu) -> dense 16; loss mse; adam 0.001", 1024),
    (
        "mnist-b32",
        "input 784 -> dense 128 relu -> dense 10 softmax; loss cross_entropy; adam 0.001",
        32,
    ),
    (
        "mnist-b128",
        "input 784 -> dense 128 relu -> dense 10 softmax; loss cross_entropy; adam 0.001",
        128,
    ),
    (
        "wide-b512",
        "input 1024 -> repeat 2 (dense 1024 relu) -> dense 10 softmax; loss cross_entropy; sgd 0.01",
        512,
    ),
];

fn steps(criterion: &mut Criterion) {
    for (name, text, rows) in WORKLOADS {
        let network = mlpc::compile(text).unwrap().network(None, None, &Limits::default()).unwrap();
        let plan = Plan::new(&network, PlanOptions::default());
        let features = noise(1, rows * network.inputs);
        let values = noise(2, rows * network.outputs());
        let classes: Vec<u32> = (0..rows).map(|r| (r * 7 % network.outputs()) as u32).collect();
        let classified = network.loss.kind == LossKind::CrossEntropy;
        let targets =
            if classified { Targets::Classes(&classes) } else { Targets::Values(&values) };
        let parameters = initial_parameters(&network, 1);
        let mut executor = Executor::new(Arc::new(plan.clone()), rows);

        // Proof first, on a few rows where the whole batch would take the
        // oracle minutes.
        let proved = rows.min(40_000_000 / network.parameters().max(1)).max(1);
        let batch = Batch { features: (&features).into(), targets, rows: Rows::Range(0, proved) };
        let deviation = reference::deviation(&mut executor, &network, &parameters, batch);
        assert!(deviation.is_allowed(), "{name}: {deviation:?}");

        let mut state = State::new(&plan, parameters);
        let batch = Batch { features: (&features).into(), targets, rows: Rows::Range(0, rows) };
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| executor.step(&mut state, batch));
        });
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
