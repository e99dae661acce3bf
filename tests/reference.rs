//! PyTorch's float64 numbers (`tests/reference/make.py` made them) against
//! the f64 oracle and the f32 executor, fused and unfused, on 1 and 2
//! threads, under every instruction set of this CPU.

#![allow(clippy::unwrap_used)]

use mlpc::check::Limits;
use mlpc::check::model::{LossKind, Network};
use mlpc::exec::{Batch, Executor, Predict, Rows, State, Targets, reference};
use mlpc::ir::{Ir, lower};
use mlpc::plan::{Plan, PlanOptions};
use mlpc_kernels::simd::Isa;
use safetensors::SafeTensors;
use std::path::PathBuf;
use std::sync::Arc;

/// A reference file: a model's text and PyTorch's tensors.
struct Case {
    name: String,
    network: Network,
    bytes: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 14, "a reference file is missing");
    files
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
            let text = &metadata.metadata().as_ref().unwrap()["mlp"];
            let model = mlpc::compile(text).unwrap();
            let network = model.network(None, None, &Limits::default()).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            Case { name, network, bytes }
        })
        .collect()
}

impl Case {
    fn tensor(&self, name: &str) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), safetensors::Dtype::F64, "{name}");
        tensor.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    }

    fn classes(&self) -> Vec<u32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = file.tensor("y").unwrap();
        assert_eq!(data.dtype(), safetensors::Dtype::I64);
        data.data()
            .chunks_exact(8)
            .map(|b| u32::try_from(i64::from_le_bytes(b.try_into().unwrap())).unwrap())
            .collect()
    }

    /// The flat buffer of the tensors with this prefix.
    fn flat(&self, prefix: &str) -> Vec<f64> {
        let tensors = self.network.tensors();
        tensors.iter().flat_map(|t| self.tensor(&format!("{prefix}{}", t.name))).collect()
    }

    fn is_classes(&self) -> bool {
        self.network.loss.kind == LossKind::CrossEntropy
    }

    fn ir(&self) -> Ir {
        lower(&self.network)
    }
}

/// |a − b| ≤ tolerance · max |b|, tensor by tensor.
fn assert_close(case: &Case, what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{}: {what}", case.name);
    let parts: Vec<(String, std::ops::Range<usize>)> = if ours.len() == case.network.parameters() {
        case.network.tensors().into_iter().map(|t| (t.name, t.range)).collect()
    } else {
        vec![(String::new(), 0..ours.len())]
    };
    for (name, range) in parts {
        let (ours, theirs) = (&ours[range.clone()], &theirs[range]);
        let largest = theirs.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
            assert!(
                (a - b).abs() <= tolerance * largest,
                "{}: {what} {name}[{at}] is {a:e}, PyTorch has {b:e}: off by {:.1e} of {largest:e}",
                case.name,
                (a - b).abs() / largest
            );
        }
    }
}

#[test]
fn the_oracle_agrees_with_pytorch() {
    for case in cases() {
        let ir = case.ir();
        let x = case.tensor("x");
        let rows = x.len() / case.network.inputs;
        let (values, classes);
        let targets = if case.is_classes() {
            classes = case.classes();
            Targets::Classes(&classes)
        } else {
            values = case.tensor("y");
            Targets::Values(&values)
        };
        let mut parameters = case.flat("");
        let mut state = vec![[0.0; 2]; parameters.len()];
        let first = reference::evaluate(&ir, &parameters, &x, &[], targets, rows);
        assert_close(&case, "prediction", &first.prediction, &case.tensor("pred"), 1e-10);
        assert_close(&case, "loss", &[first.loss], &case.tensor("loss"), 1e-10);
        assert_close(&case, "gradient", &first.gradient, &case.flat("grad."), 1e-10);
        for step in 1..=10 {
            let now = reference::evaluate(&ir, &parameters, &x, &[], targets, rows);
            reference::update(&ir, step, &mut parameters, &now.gradient, &mut state);
            if [1, 2, 10].contains(&step) {
                let theirs = case.flat(&format!("step{step}."));
                assert_close(&case, &format!("step {step}"), &parameters, &theirs, 1e-10);
            }
        }
        let last = reference::evaluate(&ir, &parameters, &x, &[], targets, rows);
        assert_close(&case, "last loss", &[last.loss], &case.tensor("loss_after_10"), 1e-10);
    }
}

#[test]
fn the_executor_agrees_with_pytorch() {
    let mut shared = 0;
    let isas = Isa::ALL.into_iter().filter(|isa| isa.available()).count();
    for case in cases() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            for fuse in [true, false] {
                let options = PlanOptions { isa, fuse };
                check_executor(&case, options, 1);
                // A mean stays the same when all rows come several times:
                // enough of them make several shards, on two threads. The
                // three smallest nets would need so many rows that summing
                // equal numbers in f32 alone is off by 2e-5; they stop short.
                let plan = Plan::new(&case.network, options);
                let rows = case.tensor("x").len() / case.network.inputs;
                let often = |times: &usize| {
                    plan.split_training(rows * times).shards > 1 || rows * times > 20_000
                };
                let times = (1..100_000).find(often).unwrap();
                shared += usize::from(plan.split_training(rows * times).shards > 1);
                let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
                pool.install(|| check_executor(&case, options, times));
            }
        }
    }
    assert_eq!(shared, 11 * 2 * isas, "fewer cases than expected ran on several shards");
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x.into()).collect()
}

/// Checks prediction, loss, gradient and ten steps, every row `times` times.
fn check_executor(case: &Case, options: PlanOptions, times: usize) {
    const TOLERANCE: f64 = 2e-5;
    let what =
        |what: &str| format!("{what} under {} fuse={} times={times}", options.isa, options.fuse);
    let plan = Plan::new(&case.network, options);
    let x = narrow(&case.tensor("x"));
    let rows = x.len() / case.network.inputs;
    let (values, classes);
    let targets = if case.is_classes() {
        classes = case.classes();
        Targets::Classes(&classes)
    } else {
        values = narrow(&case.tensor("y"));
        Targets::Values(&values)
    };
    let parameters = narrow(&case.flat(""));

    let mut prediction = vec![0.0; rows * plan.outputs];
    Predict::new(plan.clone(), parameters.clone()).predict_parallel(&x, &mut prediction);
    assert_close(case, &what("prediction"), &widen(&prediction), &case.tensor("pred"), TOLERANCE);

    let numbers: Vec<u32> = (0..rows * times).map(|row| (row % rows) as u32).collect();
    let rows = if times == 1 { Rows::Range(0, rows) } else { Rows::Numbers(&numbers) };
    let batch = Batch { features: (&x).into(), targets, rows };
    let mut executor = Executor::new(Arc::new(plan.clone()), rows.len()).threads(times.min(2));
    let loss = executor.gradient(&parameters, batch);
    assert_close(case, &what("loss"), &[loss], &case.tensor("loss"), TOLERANCE);
    let gradient = widen(executor.last_gradient());
    assert_close(case, &what("gradient"), &gradient, &case.flat("grad."), TOLERANCE);

    let mut state = State::new(&plan, parameters);
    for step in 1..=10 {
        executor.step(&mut state, batch);
        if [1, 2, 10].contains(&step) {
            let theirs = case.flat(&format!("step{step}."));
            let ours = widen(&state.parameters);
            assert_close(case, &what(&format!("step {step}")), &ours, &theirs, TOLERANCE);
        }
    }
}
