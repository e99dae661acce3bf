//! Golden plans: every fusion rule with its case, and the forms that
//! `mlpc plan --stage` prints.

#![allow(clippy::unwrap_used)]

use mlpc::check::Limits;
use mlpc::check::model::Network;
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
fn a_single_layer_has_no_input_gradient() {
    let text = "input 5 -> dense 1 bias=false; loss mae; sgd 0.1 momentum=0.9";
    insta::assert_snapshot!(plan(text, true));
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
