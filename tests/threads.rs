//! Same seed, same bits, whatever the number of threads.

#![allow(clippy::unwrap_used)]

mod common;

use common::{bits, noise};
use mlpc::check::Limits;
use mlpc::check::model::LossKind;
use mlpc::exec::{Batch, Predict, Rows, Targets};
use mlpc::plan::PlanOptions;
use mlpc::train::{Table, Trainer, initial_parameters};
use std::ops::ControlFlow;

#[test]
fn training_gives_the_same_bits_on_any_number_of_threads() {
    // Shards of one tile, and of several.
    let narrow = "input 20 -> dense 150 relu -> dense 110 gelu -> dense 5 softmax";
    let wider = "input 20 -> dense 220 relu -> dense 220 gelu -> dense 5 softmax";
    check_training(narrow, 700, [2, 1], 3);
    check_training(wider, 700, [2, 2], 3);
    check_training("input 20 -> dense 30 tanh -> dense 20 -> dense 5 softmax", 300, [2, 1], 6);
    // A shard alone, which a team shares: of one tile, and of several; its last
    // batches are too small.
    check_training(narrow, 130, [1, 1], 6);
    check_training(wider, 240, [1, 2], 6);
    check_training("input 20 -> dense 130 -> dense 130 tanh -> dense 5 softmax", 60, [1, 1], 40);
    // A tile whose rows are shared: evenly or not, on as many threads or fewer, with
    // smaller last batches (of 900 rows), which one thread takes or some; losses of
    // numbers and of classes.
    for batch in [64, 90, 112, 255] {
        check_shared("input 20 -> dense 70 relu -> dense 50 gelu -> dense 5 softmax", batch);
        check_shared("input 20 -> dense 64 tanh -> dense 64 relu -> dense 1\nloss mse", batch);
    }
    // A first layer that reads rows as they lie, of a tile that is shared, and in shards.
    check_shared("input 20 -> dense 16 relu -> dense 70 gelu -> dense 5 softmax", 112);
    check_training("input 20 -> dense 7 tanh -> dense 99 -> dense 5 softmax", 700, [2, 1], 6);
    check_shared("input 20 -> dense 130 relu bias=false -> dense 3 sigmoid\nloss bce", 100);
    // The first layer's gradient of rows in panels, and of scalar products, which a
    // panel alone would be too small for.
    for batch in [40, 64] {
        let loss = "loss huber\nsgd 0.01";
        check_shared(&format!("input 20 -> dense 150 selu -> dense 30 -> dense 7\n{loss}"), batch);
    }
    // A large gradient, computed by outputs: of several shards, and of one.
    let large = "input 20 -> dense 400 relu -> dense 300 gelu -> dense 5 softmax";
    check_training(large, 700, [2, 1], 3);
    check_training(large, 120, [1, 1], 6);
    // A layer beyond the cache: wide tiles, other kernels.
    let beyond = "input 20 -> dense 600 relu -> dense 600 relu -> dense 5 softmax";
    check_training(beyond, 700, [2, 1], 3);
    check_training(beyond, 99, [1, 1], 2);
    // So many steps that some are run on one thread to see whether that is faster.
    check_training(
        "input 20 -> dense 40 relu -> dense 40 gelu -> dense 5 softmax",
        700,
        [2, 1],
        250,
    );
}

/// Training with batches that are cut into so many shards, or more where there are
/// several, of so many tiles.
fn check_training(network: &str, batch: usize, [shards, tiles]: [usize; 2], epochs: usize) {
    let options = PlanOptions::from_environment().unwrap();
    train_on_threads(network, batch, Some([shards, tiles]), epochs, options);
    if shards == 1 {
        // Other steps share a shard, cut into other tiles.
        let unfused = PlanOptions { fuse: false, ..options };
        train_on_threads(network, batch, None, epochs.min(3), unfused);
    }
}

/// Training with batches whose rows threads share.
fn check_shared(network: &str, batch: usize) {
    let options = PlanOptions::from_environment().unwrap();
    let model = mlpc::compile(network).unwrap();
    let compiled = model.network(None, None, &Limits::default()).unwrap();
    let how = mlpc::plan::Plan::new(&compiled, options).explain_split(batch);
    assert!(how.contains("share its rows"), "{how}");
    train_on_threads(network, batch, Some([1, 1]), 12, options);
}

fn train_on_threads(
    network: &str,
    batch: usize,
    cut: Option<[usize; 2]>,
    epochs: usize,
    options: PlanOptions,
) {
    // Batches and, at the end of an epoch, smaller ones: uneven tiles; more
    // parameters than one part of the update.
    let optimizer = if network.contains("sgd") { "" } else { "adam 0.01" };
    let model = mlpc::compile(&format!(
        "{network}
         {optimizer}
         train epochs={epochs} batch={batch} seed=3 validation=0.1"
    ))
    .unwrap();
    let network = model.network(None, None, &Limits::default()).unwrap();
    let rows = 1000u32;
    let features = noise(1, rows as usize * 20);
    let classes: Vec<u32> = (0..rows).map(|row| row * 7 % 5).collect();
    let outputs = network.layers.last().unwrap().outputs;
    let numbers: Vec<f32> = noise(2, rows as usize * outputs).iter().map(|x| x.abs()).collect();
    let targets = match network.loss.kind {
        LossKind::CrossEntropy => Targets::Classes(&classes),
        _ => Targets::Values(&numbers),
    };
    let all: Vec<u32> = (0..rows).collect();
    let mut runs = Vec::new();
    for threads in [1, 2, 3, 8] {
        let start = initial_parameters(&network, model.train.seed);
        let mut trainer =
            Trainer::new(&network, &model.train, options, start).threads(threads).unwrap();
        let split = trainer.plan().split_training(batch);
        assert!(trainer.plan().pays_threads(batch), "nothing to share");
        if let Some(cut) = cut {
            assert_eq!([split.shards.min(2), split.tiles], cut, "batch {batch}");
        }
        let table = Table {
            features: (&features).into(),
            targets,
            train: &all[..900],
            validation: Some(Batch {
                features: (&features).into(),
                targets,
                rows: Rows::Range(900, rows as usize),
            }),
        };
        let mut losses = Vec::new();
        trainer
            .fit(table, |progress| {
                if let mlpc::train::Progress::Epoch(epoch) = progress {
                    losses.push((epoch.loss.to_bits(), epoch.validation.unwrap().to_bits()));
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(losses.len(), epochs);
        let state = trainer.state();
        runs.push((threads, bits(&state.parameters), bits(&state.optimizer), losses));
    }
    for run in &runs[1..] {
        assert!(run.1 == runs[0].1, "{} threads: other parameters", run.0);
        assert!(run.2 == runs[0].2, "{} threads: another optimizer state", run.0);
        assert_eq!(run.3, runs[0].3, "{} threads: other losses", run.0);
    }
}

#[test]
fn prediction_gives_the_same_bits_however_it_is_cut() {
    check_prediction("input 20 -> dense 150 relu -> dense 110 tanh -> dense 5", 20, 5);
    // One output: sums in chains, of a few inputs, of a vector's, of two parts of
    // them; behind a wide, a narrow and no layer; a small network's, too.
    check_prediction("input 20 -> dense 150 relu -> dense 1 sigmoid", 20, 1);
    // First layers that take rows as they lie: of several parts, with what is left of a panel.
    check_prediction("input 784 -> dense 128 relu -> dense 10 softmax", 784, 10);
    check_prediction("input 401 -> dense 77 tanh -> dense 3", 401, 3);
    check_prediction("input 256 -> dense 35 bias=false -> dense 2", 256, 2);
    check_prediction("input 20 -> dense 16 relu -> dense 1", 20, 1);
    check_prediction("input 23 -> dense 3 relu -> dense 17 tanh -> dense 1 relu", 23, 1);
    check_prediction("input 900 -> dense 1 leaky_relu", 900, 1);
    check_prediction("input 31 -> dense 1 bias=false -> dense 2", 31, 2);
    for few in [2, 3, 5] {
        check_prediction(&format!("input {few} -> dense 3 sigmoid -> dense 1"), few, 1);
    }
}

fn check_prediction(network: &str, inputs: usize, outputs: usize) {
    let model = mlpc::compile(network).unwrap();
    let network = model.network(None, None, &Limits::default()).unwrap();
    let rows = 3001;
    let features = noise(2, rows * inputs);
    let plan = mlpc::plan::Plan::new(&network, PlanOptions::from_environment().unwrap());
    let predict = Predict::new(plan, initial_parameters(&network, 1));
    let mut whole = vec![0.0; rows * outputs];
    predict.predict(&features, &mut whole);
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut out = vec![0.0; rows * outputs];
        pool.install(|| predict.predict_parallel(&features, &mut out));
        assert!(bits(&out) == bits(&whole), "{threads} threads");
    }
    let mut one = vec![0.0; outputs];
    for row in (0..rows).step_by(17) {
        predict.predict(&features[row * inputs..(row + 1) * inputs], &mut one);
        let among_others = &whole[row * outputs..(row + 1) * outputs];
        assert_eq!(bits(&one), bits(among_others), "row {row}");
    }
}
