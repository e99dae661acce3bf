//! The library as a program embeds it: from a table to predictions of raw
//! rows, by way of a model file.

#![allow(clippy::unwrap_used)]

use mlpc::Predictor;
use mlpc::check::Limits;
use mlpc::data::{Batch, Dataset, Decoder, Encoder, Table, Targets};
use mlpc::exec;
use mlpc::file::{StoredModel, StoredTensor, golden, save};
use mlpc::inputs::Features;
use mlpc::plan::PlanOptions;
use mlpc::train::{self, Trainer, initial_parameters};
use std::ops::ControlFlow;
use std::path::Path;

fn shareable<T: Send + Sync + Clone>() {}

#[test]
fn a_predictor_can_be_shared() {
    shareable::<Predictor>();
}

/// Trains on iris and saves the model; returns the network's outputs for the
/// first row.
fn trained(path: &Path) -> Vec<f32> {
    let options = PlanOptions::from_environment().unwrap();
    let model = mlpc::compile(
        "data target=species
         input auto -> dense 16 relu -> dense auto softmax
         adam 0.01
         train epochs=40 batch=16",
    )
    .unwrap();
    let table = Table::read(Path::new("examples/iris.csv")).unwrap();
    let dataset = Dataset::bind(&table, &model).unwrap();
    let limits = Limits::default();
    let layout = dataset.layout();
    let network = model.network(Some(&layout), Some(dataset.outputs()), &limits).unwrap();
    let start = initial_parameters(&network, model.train.seed);
    let mut trainer = Trainer::new(&network, &model.train, options, start).threads(2).unwrap();
    let Targets::Classes(classes) = &dataset.targets else { panic!("species are classes") };
    let matrices = train::Table {
        features: dataset.features(),
        targets: exec::Targets::Classes(classes),
        train: &dataset.train,
        validation: None,
    };
    let last = trainer.fit(matrices, |_| ControlFlow::Continue(())).unwrap().unwrap();
    assert_eq!(last.number, 40);
    assert!(last.loss < 0.2, "{last:?}");

    let parameters = trainer.parameters();
    let predictor = Predictor::new(&network, parameters.clone(), options);
    let predict = |features: Features<'_>| {
        let mut outputs = vec![0.0; 3];
        predictor.predict(features, &mut outputs);
        outputs
    };
    let stored = StoredModel {
        text: model.resolved_text(&network),
        tensors: StoredTensor::cut(&network.tensors(), &parameters),
        schema: Some(dataset.schema.clone()),
        metrics: None,
        golden: golden::pick(&table, &dataset.schema, predict),
    };
    assert_eq!(stored.golden.len(), 4);
    save(path, &stored).unwrap();
    predict(dataset.features().rows(&layout, 0..1))
}

#[test]
fn a_saved_model_predicts_raw_rows_from_many_threads() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("iris.safetensors");
    let expected = trained(&path);
    let options = PlanOptions::from_environment().unwrap();
    let predictor = Predictor::load(&path, options).unwrap();
    assert_eq!((predictor.inputs(), predictor.outputs()), (4, 3));
    assert!(predictor.text().contains("dense 16 relu"));

    let schema = predictor.schema().unwrap();
    let header = ["petal_width", "petal_length", "sepal_width", "sepal_length"].map(String::from);
    let encoder = Encoder::new(schema, "a request", &header).unwrap();
    let row = Batch::of_row("a request", ["0.2", "1.4", "3.5", "5.1"]);
    let features = encoder.encode(&row).unwrap();

    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (predictor, features) = (predictor.clone(), features.clone());
            std::thread::spawn(move || {
                let mut outputs = vec![0.0; 3];
                for _ in 0..1000 {
                    predictor.predict(features.features(), &mut outputs);
                }
                outputs
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), expected);
    }
    assert_eq!(Decoder::new(&schema.target, false).predictions(&expected), ["setosa"]);
}

#[test]
fn a_damaged_model_does_not_pass_its_golden_rows() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("iris.safetensors");
    trained(&path);
    let mut bytes = std::fs::read(&path).unwrap();
    // The last bias, in the exponent.
    let end = bytes.len();
    bytes[end - 1] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
    let error = Predictor::load(&path, PlanOptions::default()).unwrap_err().to_string();
    assert!(error.contains("E304") && error.contains("golden row"), "{error}");
}

#[test]
fn a_last_step_that_overflows_is_divergence() {
    let model = mlpc::compile("input 1 -> dense 1; sgd 1e38; train epochs=1 batch=2").unwrap();
    let network = model.network(None, None, &Limits::default()).unwrap();
    let options = PlanOptions::from_environment().unwrap();
    let mut trainer = Trainer::new(&network, &model.train, options, vec![1.0, 0.0]);
    let table = train::Table {
        features: (&[100.0, 200.0]).into(),
        targets: exec::Targets::Values(&[0.0, 0.0]),
        train: &[0, 1],
        validation: None,
    };
    // The loss itself, before the step, is finite.
    let result = trainer.fit(table, |_| ControlFlow::Continue(()));
    assert_eq!(result.unwrap_err().epoch, 1);
    assert_eq!(trainer.epochs(), 0);
}
