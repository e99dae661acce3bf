//! The seed program of this field learns XOR.

#![allow(clippy::unwrap_used)]

use mlpc::check::Limits;
use mlpc::exec::Targets;
use mlpc::plan::PlanOptions;
use mlpc::train::{Table, Trainer, initial_parameters};
use std::ops::ControlFlow;

#[test]
fn xor_is_learnt_from_almost_every_seed() {
    let features = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let targets = [0.0, 1.0, 1.0, 0.0];
    let mut learnt = Vec::new();
    for seed in 0..20 {
        let model = mlpc::compile(&format!(
            "input 2 -> dense 3 sigmoid -> dense 1 sigmoid; loss mse; sgd 0.1
             train epochs=10000 batch=4 seed={seed}"
        ))
        .unwrap();
        let network = model.network(None, None, &Limits::default()).unwrap();
        let options = PlanOptions::from_environment().unwrap();
        let start = initial_parameters(&network, seed);
        let mut trainer = Trainer::new(&network, &model.train, options, start);
        let table = Table {
            features: (&features).into(),
            targets: Targets::Values(&targets),
            train: &[0, 1, 2, 3],
            validation: None,
        };
        trainer.fit(table, |_| ControlFlow::Continue(())).unwrap();
        let parameters = trainer.parameters();
        let predictor = mlpc::Predictor::new(&network, parameters, options);
        let mut outputs = [0.0; 4];
        predictor.predict(&features, &mut outputs);
        let right = outputs.iter().zip(targets).all(|(p, y)| (*p > 0.5) == (y > 0.5));
        learnt.push(right);
    }
    let count = learnt.iter().filter(|&&right| right).count();
    assert!(count >= 19, "{count} of 20: {learnt:?}");
}
