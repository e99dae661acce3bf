//! Early stopping: when it ends, and whose parameters it keeps.

#![allow(clippy::unwrap_used)]

use mlpc::check::Limits;
use mlpc::exec::{Batch, Rows, Targets, mean_loss};
use mlpc::plan::PlanOptions;
use mlpc::train::{Epoch, Progress, Table, Trainer, initial_parameters};
use std::ops::ControlFlow;

/// Twenty points of a line with noise that a wide network learns by heart.
struct Points {
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Points {
    fn new() -> Self {
        let x: Vec<f32> = (0..20).map(|i| (i as f32 - 10.0) / 5.0).collect();
        let noise = |i: usize| [0.9, -1.1, 0.4, -0.6, 1.3, -0.8, 0.2][i * 5 % 7];
        let y = x.iter().enumerate().map(|(i, x)| 0.3 * x + noise(i)).collect();
        Points { x, y }
    }

    fn batch<'a>(&'a self, rows: &'a [u32]) -> Batch<'a> {
        let (features, targets) = ((&self.x).into(), Targets::Values(&self.y));
        Batch { features, targets, rows: Rows::Numbers(rows) }
    }
}

const HELD_OUT: &[u32] = &[1, 4, 7, 10, 13, 16, 19];

struct Ran {
    epochs: Vec<Epoch>,
    best: Option<Epoch>,
    parameters: Vec<f32>,
    /// The validation loss of the parameters at the end.
    kept: f64,
}

fn run(options: &str, validation: &[u32], stop_after: usize) -> Ran {
    let text = format!("input 1 -> dense 64 tanh -> dense 1; adam 0.02; train batch=4 {options}");
    let model = mlpc::compile(&text).unwrap();
    let network = model.network(None, None, &Limits::default()).unwrap();
    let start = initial_parameters(&network, model.train.seed);
    let options = PlanOptions::from_environment().unwrap();
    let mut trainer = Trainer::new(&network, &model.train, options, start);
    let points = Points::new();
    let train: Vec<u32> = (0..20).filter(|row| !HELD_OUT.contains(row)).collect();
    let table = Table {
        features: (&points.x).into(),
        targets: Targets::Values(&points.y),
        train: &train,
        validation: Some(points.batch(validation)),
    };
    let mut epochs = Vec::new();
    let last = trainer
        .fit(table, |progress| {
            if let Progress::Epoch(epoch) = progress {
                epochs.push(epoch);
            }
            if epochs.len() == stop_after {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(last, epochs.last().copied());
    let parameters = trainer.state().parameters.clone();
    let kept = mean_loss(trainer.plan(), &parameters, points.batch(HELD_OUT));
    Ran { epochs, best: trainer.best(), parameters, kept }
}

fn lowest(epochs: &[Epoch]) -> Epoch {
    *epochs.iter().min_by(|a, b| a.validation.unwrap().total_cmp(&b.validation.unwrap())).unwrap()
}

#[test]
fn training_stops_and_the_best_epoch_is_kept() {
    let ran = run("epochs=2000 patience=25", HELD_OUT, usize::MAX);
    let best = ran.best.unwrap();
    assert_eq!(best, lowest(&ran.epochs));
    assert!(best.number > 1, "it learns something first");
    assert_eq!(ran.epochs.len(), best.number + 25, "it gives up 25 epochs later, not before");
    assert_eq!(ran.kept, best.validation.unwrap(), "the parameters are that epoch's");
    assert_ne!(ran.kept, ran.epochs.last().unwrap().validation.unwrap());
    // The same epochs run without patience: watching changes nothing.
    let all = run(&format!("epochs={}", ran.epochs.len()), HELD_OUT, usize::MAX);
    assert_eq!(all.epochs, ran.epochs);
    assert_eq!(all.best, None);
    assert_ne!(all.parameters, ran.parameters);
    let short = run(&format!("epochs={}", best.number), HELD_OUT, usize::MAX);
    assert_eq!(short.parameters, ran.parameters);
}

#[test]
fn the_best_epoch_is_kept_however_it_ends() {
    let stopped = run("epochs=2000 patience=25", HELD_OUT, usize::MAX);
    let best = stopped.best.unwrap();
    // The epochs are over, or somebody has had enough, before patience ends.
    for ran in [
        run(&format!("epochs={} patience=25", best.number + 3), HELD_OUT, usize::MAX),
        run("epochs=2000 patience=25", HELD_OUT, best.number + 3),
    ] {
        assert_eq!(ran.epochs.len(), best.number + 3);
        assert_eq!((ran.best, &ran.parameters), (Some(best), &stopped.parameters));
    }
}

#[test]
fn without_rows_to_validate_on_all_epochs_are_trained() {
    let ran = run("epochs=40 patience=1", &[], usize::MAX);
    assert_eq!((ran.epochs.len(), ran.best), (40, None));
    assert!(ran.epochs.iter().all(|epoch| epoch.validation.is_none()));
}
