//! Categories: what is gathered is the same as what is written out, and the
//! derivative is exact.

#![allow(clippy::unwrap_used)]

mod common;

use common::{bits, noise};
use mlpc::check::Limits;
use mlpc::check::model::Network;
use mlpc::exec::{Batch, Executor, Predict, Rows, State, Targets, mean_loss, reference};
use mlpc::inputs::{Category, Embedding, Features, Layout, NONE};
use mlpc::ir::lower;
use mlpc::plan::{Plan, PlanOptions};
use mlpc::train::{Table, Trainer, initial_parameters};
use mlpc_kernels::simd::Isa;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Numbers, and categories with so many levels, embedded where a width is
/// given.
fn layout(dense: usize, categories: &[(usize, Option<usize>)]) -> Layout {
    let categories = categories.iter().enumerate().map(|(i, &(levels, width))| Category {
        levels,
        embedding: width.map(|width| Embedding { name: format!("c{i}"), width }),
    });
    Layout { dense, categories: categories.collect() }
}

/// A network whose `input` is as wide as the layout.
fn network(text: &str, layout: &Layout) -> Network {
    let model = mlpc::compile(&format!("input auto -> {text}")).unwrap();
    model.network(Some(layout), None, &Limits::default()).unwrap()
}

/// Rows of a layout, with levels that are not known among them.
struct Made {
    dense: Vec<f32>,
    codes: Vec<u32>,
    y: Vec<f32>,
    rows: usize,
}

impl Made {
    fn new(layout: &Layout, outputs: usize, rows: usize) -> Made {
        let mut codes = Vec::new();
        for row in 0..rows {
            for (i, category) in layout.categories.iter().enumerate() {
                // Some levels come often, one row in 11 has none.
                let code = (row * row * 7 + row * (i + 3)) % category.levels;
                codes.push(if (row + i) % 11 == 5 { NONE } else { code as u32 });
            }
        }
        let y = noise(2, rows * outputs).iter().map(|y| 0.5 + 0.5 * y).collect();
        Made { dense: noise(1, rows * layout.dense), codes, y, rows }
    }

    fn features(&self) -> Features<'_> {
        Features { dense: &self.dense, codes: &self.codes }
    }

    fn batch<'a>(&'a self, rows: Rows<'a>) -> Batch<'a> {
        Batch { features: self.features(), targets: Targets::Values(&self.y), rows }
    }
}

/// Under every instruction set that this CPU has.
fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.available())
}

const NETWORKS: [&str; 5] = [
    // Small: written out.
    "dense 2 tanh -> dense 1; sgd 0.1",
    // A gradient a shard.
    "dense 20 gelu -> dense 3 sigmoid; loss bce; adam 0.01 weight_decay=0.1",
    "dense 67 relu bias=false -> dense 9 tanh -> dense 1; sgd 0.05 momentum=0.9 nesterov=true",
    // Computed by outputs.
    "dense 130 relu -> dense 20 silu -> dense 2; adamw 0.01",
    "dense 1 sigmoid; sgd 0.5 momentum=0.9",
];

fn layouts() -> [Layout; 4] {
    [
        layout(3, &[(4, None), (2, None)]),
        layout(0, &[(37, None)]),
        layout(5, &[(90, None), (2, None), (800, None)]),
        layout(400, &[(3, None)]),
    ]
}

/// The rows of a step: a few, more than a tile holds, several shards.
const STEPS: [usize; 3] = [7, 300, 1500];

#[test]
fn gathered_networks_train_as_their_one_hot_matrix_does() {
    for (layout, text) in layouts().iter().flat_map(|l| NETWORKS.iter().map(move |t| (l, t))) {
        let gathered = network(text, layout);
        let written = network(text, &Layout::of_dense(layout.inputs()));
        let made = Made::new(layout, gathered.outputs(), 1500);
        let matrix = made.features().matrix(layout, made.rows);
        let start = initial_parameters(&gathered, 3);
        assert_eq!(start, initial_parameters(&written, 3), "the layout changes the start");
        for isa in isas() {
            let options = PlanOptions { isa, fuse: true };
            let plans = [&gathered, &written].map(|n| Arc::new(Plan::new(n, options)));
            let mut states = plans.each_ref().map(|plan| State::new(plan, start.clone()));
            let mut executors = plans.each_ref().map(|plan| Executor::new(plan.clone(), 1500));
            for rows in STEPS {
                let batch = made.batch(Rows::Range(0, rows));
                let matrix = Batch { features: (&matrix).into(), ..batch };
                let loss = executors[0].step(&mut states[0], batch);
                let other = executors[1].step(&mut states[1], matrix);
                assert!(
                    (loss - other).abs() <= 1e-5 * other.abs().max(1e-3),
                    "{text}, {loss} {other}"
                );
            }
            let ours = plans[0].in_order_of_tensors(states[0].parameters.clone());
            let largest = states[1].parameters.iter().fold(0f32, |m, p| m.max(p.abs()));
            for (at, (ours, other)) in ours.iter().zip(&states[1].parameters).enumerate() {
                assert!(
                    (ours - other).abs() <= 2e-4 * largest,
                    "{text} of {layout:?} under {isa}: parameter {at} is {ours}, not {other}"
                );
            }
        }
    }
}

#[test]
fn gradients_are_the_oracles() {
    let embedded = [
        layout(3, &[(500, Some(4)), (7, None), (30, Some(9))]),
        layout(0, &[(60, Some(1))]),
        layout(2, &[(3, Some(2)), (5, Some(3))]),
    ];
    for layout in layouts().iter().chain(&embedded) {
        for text in NETWORKS {
            let network = network(text, layout);
            let made = Made::new(layout, network.outputs(), 1500);
            let parameters = initial_parameters(&network, 3);
            for (isa, fuse) in isas().flat_map(|isa| [(isa, true), (isa, false)]) {
                let plan = Arc::new(Plan::new(&network, PlanOptions { isa, fuse }));
                let mut executor = Executor::new(plan, 1500);
                // In any order, some of them twice; as many as take no time.
                let count = (600_000 / network.parameters() as u32).clamp(20, 400);
                let numbers: Vec<u32> = (0..count).map(|i| i * 7 % 900).collect();
                for rows in [Rows::Range(3, 10), Rows::Numbers(&numbers)] {
                    let batch = made.batch(rows);
                    let off = reference::deviation(&mut executor, &network, &parameters, batch);
                    assert!(off.is_allowed(), "{text} of {layout:?}, {isa} fuse={fuse}: {off:?}");
                }
            }
        }
    }
}

#[test]
fn the_oracles_gradients_of_embeddings_are_derivatives() {
    let layout = layout(2, &[(4, Some(3)), (3, None), (2, Some(1))]);
    let network = network("dense 5 tanh -> dense 2", &layout);
    let ir = lower(&network);
    let made = Made::new(&layout, 2, 9);
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let (x, y) = (wide(&made.features().matrix(&layout, 9)), wide(&made.y));
    let targets = Targets::Values(&y[..]);
    let parameters = wide(&noise(5, network.parameters()));
    let evaluate = |p: &[f64]| reference::evaluate(&ir, p, &x, &made.codes, targets, 9);
    let exact = evaluate(&parameters).gradient;
    for (at, exact) in exact.iter().enumerate() {
        let h = 1e-6;
        let loss = |delta: f64| {
            let mut moved = parameters.clone();
            moved[at] += delta;
            evaluate(&moved).loss
        };
        let difference = (loss(h) - loss(-h)) / (2.0 * h);
        assert!((difference - exact).abs() <= 1e-8, "{at}: {exact}, difference {difference}");
    }
    // What a one-hot matrix times the table would give: PyTorch's Embedding.
    let names: Vec<_> = network.tensors().into_iter().map(|t| (t.name, t.shape)).collect();
    assert_eq!(names[0], ("embeddings.c0.weight".to_owned(), vec![4, 3]));
    assert_eq!(names[1], ("embeddings.c2.weight".to_owned(), vec![2, 1]));
    assert_eq!(names[2], ("layers.0.weight".to_owned(), vec![5, 2 + 3 + 1 + 3]));
}

#[test]
fn training_gives_the_same_bits_on_any_number_of_threads() {
    let gathered = layout(4, &[(40, None), (300, None), (50, Some(5))]);
    let written_out = layout(4, &[(3, None), (6, None)]);
    // A gradient a shard, in one tile and in several; by outputs. One shard, shared
    // by a team, in which each loads written-out categories for itself.
    for (layout, text, batch) in [
        (&gathered, "dense 100 relu -> dense 3", 900),
        (&gathered, "dense 150 relu -> dense 50 relu -> dense 3", 900),
        (&gathered, "dense 300 relu -> dense 50 relu -> dense 3", 900),
        (&gathered, "dense 150 relu -> dense 150 relu -> dense 3", 120),
        (&gathered, "dense 300 relu -> dense 150 relu -> dense 3", 120),
        (&written_out, "dense 150 relu -> dense 150 relu -> dense 3", 120),
        (&written_out, "dense 300 relu -> dense 300 relu -> dense 3", 120),
    ] {
        let network = network(text, layout);
        let made = Made::new(layout, 3, 2000);
        let all: Vec<u32> = (0..2000).collect();
        let options = format!("input 1 -> dense 1; train epochs=2 batch={batch}");
        let options = mlpc::compile(&options).unwrap().train;
        let mut runs = Vec::new();
        for threads in [1, 2, 3] {
            let start = initial_parameters(&network, 3);
            let plan = PlanOptions::from_environment().unwrap();
            let mut trainer =
                Trainer::new(&network, &options, plan, start).threads(threads).unwrap();
            assert!(trainer.plan().pays_threads(batch), "nothing to share");
            let table = Table {
                features: made.features(),
                targets: Targets::Values(&made.y),
                train: &all[..1900],
                validation: Some(made.batch(Rows::Range(1900, 2000))),
            };
            trainer.fit(table, |_| ControlFlow::Continue(())).unwrap();
            runs.push((bits(&trainer.parameters()), bits(&trainer.state().optimizer)));
        }
        assert!(runs[1] == runs[0] && runs[2] == runs[0], "{text}");
    }
}

#[test]
fn rows_are_the_same_bits_alone_and_among_others() {
    let embedded = layout(3, &[(500, Some(4)), (7, None)]);
    // Gathered, in front of one output that is summed in chains.
    let numbers = layout(21, &[(900, None), (40, None)]);
    for layout in layouts().iter().chain([&embedded, &numbers]) {
        for text in NETWORKS {
            let network = network(text, layout);
            let plan = Plan::new(&network, PlanOptions::from_environment().unwrap());
            let predict = Predict::new(plan.clone(), initial_parameters(&network, 1));
            let (outputs, rows) = (network.outputs(), 1501);
            let made = Made::new(layout, outputs, rows);
            let mut whole = vec![0.0; rows * outputs];
            predict.predict(made.features(), &mut whole);
            let mut other = vec![0.0; rows * outputs];
            predict.predict_parallel(made.features(), &mut other);
            assert!(bits(&whole) == bits(&other), "{text}");
            for first in [0, 5, 16, 1490] {
                for count in [1, 3, 9] {
                    let some = made.features().rows(layout, first..first + count);
                    let mut out = vec![0.0; count * outputs];
                    predict.predict(some, &mut out);
                    let expected = &whole[first * outputs..(first + count) * outputs];
                    assert_eq!(bits(&out), bits(expected), "{text} of {layout:?}, row {first}");
                }
            }
            // And the loss is theirs.
            let parameters = plan.lay_out(initial_parameters(&network, 1));
            let loss = mean_loss(&plan, &parameters, made.batch(Rows::Range(0, rows)));
            let pairs = whole.iter().zip(&made.y);
            let sum: f64 = pairs.map(|(&p, &y)| plan.loss.oracle(p.into(), y.into()).0).sum();
            let mean = sum / (rows * outputs) as f64;
            assert!((loss - mean).abs() <= 1e-9 * mean, "{text}: {loss} {mean}");
        }
    }
}

#[test]
#[should_panic(expected = "code 4 of a category of 4 levels")]
fn a_code_beyond_its_levels_is_refused() {
    let layout = layout(1, &[(4, None), (50, None)]);
    let network = network("dense 20 relu -> dense 1", &layout);
    let plan = Plan::new(&network, PlanOptions::default());
    let predict = Predict::new(plan, initial_parameters(&network, 1));
    predict.predict(Features { dense: &[0.0], codes: &[4, 0] }, &mut [0.0]);
}
