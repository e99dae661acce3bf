//! Golden plans: every fusion rule with its case, and the forms that
//! `mlpc plan --stage` prints.

#![allow(clippy::unwrap_used)]

use mlpc::check::Limits;
use mlpc::check::model::Network;
use mlpc::inputs::{Category, Embedding, Layout};
use mlpc::ir::lower;
use mlpc::plan::{Plan, PlanOptions};
use mlpc_kernels::simd::Isa;

fn network(text: &str) -> Network {
    mlpc::compile(text).unwrap().network(None, None, &Limits::default()).unwrap()
}

fn plan(text: &str, fuse: bool) -> String {
    Plan::new(&network(text), PlanOptions { isa: Isa::Portable, fuse }).to_string()
}

#[test]
fn the_ir_is_naive() {
    let text = "input 2 -> dense 3 sigmoid -> dense 1 sigmoid; loss mse; sgd 0.1";
    insta::assert_snapshot!(lower(&network(text)));
}

#[test]
fn unfused_every_node_is_a_step() {
    let text = "input 2 -> dense 3 sigmoid -> dense 1 sigmoid; loss mse; sgd 0.1";
    insta::assert_snapshot!(plan(text, false));
}

#[test]
fn bias_and_activation_end_the_product_in_place() {
    let text = "input 2 -> dense 3 sigmoid -> dense 1 sigmoid; loss mse; sgd 0.1";
    insta::assert_snapshot!(plan(text, true));
}

#[test]
fn an_activation_whose_slope_needs_its_input_keeps_the_slope() {
    let text = "input 2 -> dense 3 gelu -> dense 1; loss mse; adam";
    insta::assert_snapshot!(plan(text, true));
}

#[test]
fn softmax_and_cross_entropy_are_one_step() {
    let text = "input 4 -> dense 8 relu -> dense 3 softmax; loss cross_entropy; adam 0.001";
    insta::assert_snapshot!(plan(text, true));
}

#[test]
fn narrow_inputs_are_packed_for_few_rows_alone() {
    let text = "input 20 -> dense 64 relu -> dense 64 relu -> dense 1; loss mse; adam 0.001";
    insta::assert_snapshot!(plan(text, true));
}

#[test]
fn predictors_take_rows_of_many_inputs_as_they_lie() {
    let text = "input 300 -> dense 40 tanh -> dense 2; loss mse; adam 0.001";
    insta::assert_snapshot!(plan(text, true));
}

#[test]
fn a_first_layer_of_few_outputs_reads_rows_as_they_lie() {
    let of = |isa: Isa| {
        let network = network("input 24 -> dense 8 tanh -> dense 2; loss mse; adam 0.001");
        Plan::new(&network, PlanOptions { isa, fuse: true })
    };
    assert!(!of(Isa::Portable).train.reads_rows());
    // It takes the registers of AVX-512.
    if Isa::Avx512.available() {
        insta::assert_snapshot!(of(Isa::Avx512));
    }
}

#[test]
fn a_single_layer_has_no_input_gradient() {
    let text = "input 5 -> dense 1 bias=false; loss mae; sgd 0.1 momentum=0.9";
    insta::assert_snapshot!(plan(text, true));
}

#[test]
fn categories_are_gathered_and_embeddings_are_inputs() {
    let embedding = Embedding { name: "town".into(), width: 8 };
    let layout = Layout {
        dense: 3,
        categories: vec![
            Category { levels: 5000, embedding: None },
            Category { levels: 100, embedding: Some(embedding) },
            Category { levels: 2, embedding: None },
        ],
    };
    let model = mlpc::compile("input auto -> dense 64 relu -> dense 1; adam").unwrap();
    let network = model.network(Some(&layout), None, &Limits::default()).unwrap();
    let options = PlanOptions { isa: Isa::Portable, fuse: true };
    let plan = Plan::new(&network, options).to_string();
    insta::assert_snapshot!(format!("{}\n{plan}", lower(&network)));
    // A small network takes them written out.
    let model = mlpc::compile("input auto -> dense 16 relu -> dense 1; adam").unwrap();
    let layout = Layout { categories: layout.categories[2..].to_vec(), ..layout };
    let network = model.network(Some(&layout), None, &Limits::default()).unwrap();
    let plan = Plan::new(&network, options).to_string();
    let why = "1 category of 2 levels: written out as inputs, the network is small\n";
    assert!(plan.contains(why), "{plan}");
}

#[test]
fn buffers_of_a_deep_net_share_their_places() {
    let plan = Plan::new(
        &network("input 8 -> repeat 12 (dense 64 relu) -> dense 1"),
        PlanOptions { isa: Isa::Portable, fuse: true },
    );
    // 12 activations of 64 must live until the backward pass; all gradients
    // and row-major copies share a few places.
    assert!(plan.train.arena < 12 * 64 + 4 * 64, "{}", plan.train.arena);
    assert!(plan.predict.arena <= 2 * 64, "{}", plan.predict.arena);
}
