//! Training steps and predictions allocate nothing: a counting allocator
//! proves it. One test alone, since the count is the whole process's.

#![allow(clippy::unwrap_used)]

use mlpc::check::Limits;
use mlpc::exec::{Batch, Executor, Predict, Rows, State, Targets};
use mlpc::inputs::{Category, Embedding, Features, Layout};
use mlpc::plan::{Plan, PlanOptions};
use mlpc::train::initial_parameters;
use mlpc_kernels::simd::Isa;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn steps_and_predictions_do_not_allocate() {
    let texts = [
        "input 2 -> dense 3 sigmoid -> dense 1 sigmoid; loss mse; sgd 0.1",
        "input 20 -> dense 150 relu -> dense 110 gelu -> dense 5 softmax; adam",
        "input 20 -> dense 64 mish -> dense 3; loss huber; rmsprop momentum=0.5",
        "input 300 -> dense 700 relu -> dense 700 relu -> dense 1; adam",
    ];
    // Written out, gathered with a gradient a shard, and by outputs.
    let categories = [(2, 1), (90, 3), (3000, 4)].map(|(levels, width)| {
        let embedding = Embedding { name: "c".into(), width };
        let one_hot = Category { levels, embedding: None };
        let embedded = Category { levels, embedding: (levels > 2).then_some(embedding) };
        Layout { dense: 3, categories: vec![one_hot, embedded] }
    });
    let gathered =
        ["input auto -> dense 3 tanh -> dense 1", "input auto -> dense 30 relu -> dense 2"];
    let cases = texts
        .map(|text| (text, None))
        .into_iter()
        .chain(categories.iter().flat_map(|layout| gathered.map(|text| (text, Some(layout)))));
    for (text, layout) in cases {
        let model = mlpc::compile(text).unwrap();
        let network = model.network(layout, None, &Limits::default()).unwrap();
        let layout = network.layout();
        let plan = Plan::new(&network, PlanOptions::from_environment().unwrap());
        // The portable kernels hand layers beyond the cache to matrixmultiply,
        // which allocates its packing buffer at every call.
        if text == texts[3] && plan.options.isa == Isa::Portable {
            assert!(plan.to_string().contains("(matrixmultiply"));
            continue;
        }
        assert!(!plan.to_string().contains("(matrixmultiply"));
        let rows = 600;
        let dense = vec![0.25; rows * layout.dense];
        let codes: Vec<u32> = (0..rows)
            .flat_map(|row| layout.categories.iter().map(move |c| (row * 7 % c.levels) as u32))
            .collect();
        let features = Features { dense: &dense, codes: &codes };
        let values = vec![0.5; rows * network.outputs()];
        let classes = vec![1; rows];
        let targets = match plan.loss.kind.target() {
            mlpc_kernels::loss::Target::Class => Targets::Classes(&classes),
            _ => Targets::Values(&values),
        };
        let order: Vec<u32> = (0..rows as u32).rev().collect();
        let parameters = initial_parameters(&network, 1);
        let predict = Predict::new(plan.clone(), parameters.clone());
        let mut state = State::new(&plan, parameters);
        let mut executor = Executor::new(Arc::new(plan), rows).threads(2);
        let mut out = vec![0.0; rows * network.outputs()];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| {
            let mut work = |count: usize| {
                for _ in 0..count {
                    for rows in [Rows::Range(0, 600), Rows::Numbers(&order[..77])] {
                        executor.step(&mut state, Batch { features, targets, rows });
                    }
                    predict.predict(features, &mut out);
                }
            };
            // The first calls fill the pool of arenas, and a thread's first
            // theft of a job sets up its queue, whenever that happens: an
            // allocation per step would show in every round.
            let least = (0..20).map(|_| {
                let region = Region::new(ALLOCATOR);
                work(2);
                let change = region.change();
                change.allocations + change.reallocations
            });
            assert_eq!(least.min(), Some(0), "{text}");
        });
    }
}
