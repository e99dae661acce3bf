//! A step of a batch that is loaded already is the same step.

#![allow(clippy::unwrap_used)]

mod common;

use common::{bits, noise};
use mlpc::check::Limits;
use mlpc::exec::{Batch, Executor, Rows, State, Targets};
use mlpc::inputs::{Category, Embedding, Features, Layout};
use mlpc::plan::{Plan, PlanOptions};
use mlpc::train::{Progress, Table, Trainer, initial_parameters};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A table of a layout.
struct Made {
    dense: Vec<f32>,
    codes: Vec<u32>,
    values: Vec<f32>,
    classes: Vec<u32>,
}

const ROWS: usize = 1000;

impl Made {
    fn new(layout: &Layout, outputs: usize) -> Made {
        let code = |row: usize, levels: usize| (row * row * 7 % levels) as u32;
        let levels: Vec<usize> = layout.categories.iter().map(|c| c.levels).collect();
        Made {
            dense: noise(1, ROWS * layout.dense),
            codes: (0..ROWS).flat_map(|row| levels.iter().map(move |&l| code(row, l))).collect(),
            values: noise(2, ROWS * outputs).iter().map(|x| x.abs()).collect(),
            classes: (0..ROWS).map(|row| (row * 7 % outputs) as u32).collect(),
        }
    }

    fn features(&self) -> Features<'_> {
        Features { dense: &self.dense, codes: &self.codes }
    }

    fn targets(&self, text: &str) -> Targets<'_> {
        match text.contains("softmax") {
            true => Targets::Classes(&self.classes),
            false => Targets::Values(&self.values),
        }
    }
}

fn layouts() -> [Layout; 2] {
    let category = |levels, embedding| Category { levels, embedding };
    let embedding = Some(Embedding { name: "c".to_owned(), width: 4 });
    [
        Layout::of_dense(24),
        Layout { dense: 11, categories: vec![category(30, None), category(90, embedding)] },
    ]
}

const NETWORKS: [&str; 6] = [
    // Small: one kernel call.
    "dense 3 tanh -> dense 2; sgd 0.1",
    // A tile, or several shards.
    "dense 8 tanh -> dense 2; adam 0.01",
    "dense 64 relu -> dense 64 relu -> dense 1; adam 0.01",
    "dense 70 relu -> dense 50 gelu -> dense 5 softmax; adamw 0.01",
    "dense 150 relu -> dense 110 tanh -> dense 5 softmax; sgd 0.1 momentum=0.9",
    // By outputs.
    "dense 400 relu -> dense 300 gelu -> dense 5 softmax; adam 0.01",
];

#[test]
fn steps_of_a_loaded_batch_are_the_same_bits() {
    let mut kept = 0;
    for (layout, text) in layouts().iter().flat_map(|l| NETWORKS.iter().map(move |t| (l, t))) {
        let model = mlpc::compile(&format!("input auto -> {text}")).unwrap();
        let network = model.network(Some(layout), None, &Limits::default()).unwrap();
        let outputs = network.layers.last().unwrap().outputs;
        let plan = Arc::new(Plan::new(&network, PlanOptions::from_environment().unwrap()));
        kept += usize::from(plan.train.keeps);
        let made = Made::new(layout, outputs);
        for (rows, threads) in
            [20, 64, 200, 900].into_iter().flat_map(|r| [1, 2, 3].map(|t| (r, t)))
        {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let numbers: Vec<u32> = (0..rows as u32).map(|i| i * 389 % 1000).collect();
                let batch =
                    |rows| Batch { features: made.features(), targets: made.targets(text), rows };
                let start = State::new(&plan, initial_parameters(&network, 5));
                let mut ours = (Executor::new(plan.clone(), rows).threads(threads), start.clone());
                let mut plain = (Executor::new(plan.clone(), rows).threads(threads), start);
                for rows in
                    [Rows::Range(7, 7 + rows), Rows::Numbers(&numbers), Rows::Range(0, rows)]
                {
                    for step in 0..4 {
                        let (executor, state) = &mut ours;
                        let loss = match step {
                            0 => executor.step(state, batch(rows)),
                            _ => executor.step_again(state, batch(rows)),
                        };
                        let (executor, state) = &mut plain;
                        let expected = executor.step(state, batch(rows));
                        let what = format!("{text}, {} rows, {threads} threads", rows.len());
                        assert_eq!(loss.to_bits(), expected.to_bits(), "{what}: loss");
                        let [a, b] = [&ours.1, &plain.1].map(|s| bits(&s.parameters));
                        assert!(a == b, "{what}: parameters after step {step}");
                    }
                }
            });
        }
    }
    assert!(kept > 3, "plans keep what is loaded");
}

/// So many steps that some are run on one thread to see whether that is faster: there
/// shards have one arena, in which the next one's rows take the place of the last one's.
#[test]
fn steps_that_go_back_to_one_thread_load_again() {
    let layout = Layout::of_dense(20);
    let text = "input auto -> dense 40 relu -> dense 40 gelu -> dense 5 softmax; adam 0.01";
    let network = mlpc::compile(text).unwrap();
    let network = network.network(Some(&layout), None, &Limits::default()).unwrap();
    let plan = Arc::new(Plan::new(&network, PlanOptions::from_environment().unwrap()));
    let made = Made::new(&layout, 5);
    let batch = Batch {
        features: made.features(),
        targets: Targets::Classes(&made.classes),
        rows: Rows::Range(0, 700),
    };
    assert!(plan.train.keeps && plan.split_training(700).shards > 1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        let mut ours = Executor::new(plan.clone(), 700).threads(2);
        let mut plain = Executor::new(plan.clone(), 700);
        let mut states = [0; 2].map(|_| State::new(&plan, initial_parameters(&network, 5)));
        for step in 0..400 {
            let [state, expected] = &mut states;
            match step {
                0 => ours.step(state, batch),
                _ => ours.step_again(state, batch),
            };
            plain.step(expected, batch);
            assert!(bits(&state.parameters) == bits(&expected.parameters), "step {step}");
        }
    });
}

/// What has been loaded is not read again.
#[test]
fn a_batch_that_stays_is_not_loaded_again() {
    for text in ["dense 8 tanh -> dense 2", "dense 64 relu -> dense 64 relu -> dense 1"] {
        let layout = Layout::of_dense(24);
        let model = mlpc::compile(&format!("input auto -> {text}; adam 0.01")).unwrap();
        let network = model.network(Some(&layout), None, &Limits::default()).unwrap();
        let plan = Arc::new(Plan::new(&network, PlanOptions::from_environment().unwrap()));
        assert!(plan.train.keeps, "{text}");
        let made = Made::new(&layout, network.layers.last().unwrap().outputs);
        let mut other = Made::new(&layout, network.layers.last().unwrap().outputs);
        // Rows that are read as they lie are read again.
        if !plan.train.reads_rows() {
            other.dense.fill(f32::NAN);
        }
        other.values.fill(f32::NAN);
        let rows = Rows::Range(0, 60);
        let batch = |made| Batch {
            features: Made::features(made),
            targets: Made::targets(made, text),
            rows,
        };
        let mut executor = Executor::new(plan.clone(), 60);
        let mut state = State::new(&plan, initial_parameters(&network, 5));
        executor.step(&mut state, batch(&made));
        assert!(executor.step_again(&mut state, batch(&other)).is_finite());
        // Of so many others nothing is there.
        let fewer = Batch { rows: Rows::Range(0, 59), ..batch(&other) };
        assert!(executor.step_again(&mut state.clone(), fewer).is_nan());
        assert!(executor.step(&mut state, batch(&other)).is_nan());
    }
}

/// Training by batches of all rows is steps of that batch, in the table's order.
#[test]
fn a_batch_of_all_rows_is_not_shuffled() {
    let text = "input 24 -> dense 8 tanh -> dense 2
                adam 0.01
                train epochs=5 batch=500 seed=3";
    let model = mlpc::compile(text).unwrap();
    let network = model.network(None, None, &Limits::default()).unwrap();
    let options = PlanOptions::from_environment().unwrap();
    let made = Made::new(&Layout::of_dense(24), 2);
    let start = initial_parameters(&network, 3);
    let mut trainer = Trainer::new(&network, &model.train, options, start.clone());
    let train: Vec<u32> = (0..200).collect();
    let (features, targets) = (made.features(), Targets::Values(&made.values));
    let table = Table { features, targets, train: &train, validation: None };
    let mut losses = Vec::new();
    let fitted = trainer.fit(table, |progress| {
        if let Progress::Epoch(epoch) = progress {
            losses.push(epoch.loss.to_bits());
        }
        ControlFlow::Continue(())
    });
    fitted.unwrap();
    let plan = Arc::new(Plan::new(&network, options));
    let mut executor = Executor::new(plan.clone(), 500);
    let mut state = State::new(&plan, start);
    let batch = Batch { features, targets, rows: Rows::Range(0, 200) };
    let expected: Vec<u64> = (0..5).map(|_| executor.step(&mut state, batch).to_bits()).collect();
    assert_eq!(losses, expected);
    assert_eq!(bits(&trainer.state().parameters), bits(&state.parameters));
}
