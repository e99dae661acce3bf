//! The language's round trips: what is printed reads back as the same, and
//! no text brings the compiler down.

#![allow(clippy::unwrap_used, missing_docs)]

use mlpc::check::model::*;
use mlpc::check::{Limits, check};
use mlpc::diag::{Sources, Span, render};
use mlpc::inputs::Layout;
use mlpc::syntax::parse;
use mlpc_kernels::hyper::{Hyper, MAX, Range};
use proptest::prelude::*;
use proptest::sample::select;

/// A number of the range, as f64 holds it.
fn in_range(range: Range) -> BoxedStrategy<f64> {
    match range {
        Range::Positive => (1e-20..1e20f64).boxed(),
        Range::NonNegative => prop_oneof![Just(0.0), 1e-20..1e20f64].boxed(),
        Range::Fraction => prop_oneof![Just(0.0), 0.0..0.999f64].boxed(),
        Range::OpenFraction => (0.001..0.999f64).boxed(),
        Range::Flag => prop_oneof![Just(0.0), Just(1.0)].boxed(),
    }
}

fn values(table: &'static [Hyper]) -> BoxedStrategy<[f64; MAX]> {
    let each: Vec<_> = table.iter().map(|hyper| in_range(hyper.range)).collect();
    each.prop_map(|given| {
        let mut values = [0.0; MAX];
        values[..given.len()].copy_from_slice(&given);
        values
    })
    .boxed()
}

fn optimizer() -> impl Strategy<Value = Optimizer> {
    select(OptimizerKind::ALL).prop_flat_map(|kind| {
        (1e-20..1e20f64, values(kind.hypers())).prop_map(move |(rate, mut hyper)| {
            let at = |name: &str| kind.hypers().iter().position(|hyper| hyper.name == name);
            if let (Some(nesterov), Some(momentum)) = (at("nesterov"), at("momentum"))
                && hyper[momentum] == 0.0
            {
                hyper[nesterov] = 0.0;
            }
            Optimizer { kind, rate, hyper }
        })
    })
}

fn width(auto: bool) -> BoxedStrategy<Width> {
    let units = (2..500usize).prop_map(Width::Units);
    if auto { prop_oneof![units, Just(Width::Auto)].boxed() } else { units.boxed() }
}

fn dense(last: bool) -> impl Strategy<Value = Layer> {
    let unary = select(Unary::ALL).prop_map(Activation::Unary);
    let activation =
        if last { prop_oneof![unary, Just(Activation::Softmax)].boxed() } else { unary.boxed() };
    (width(last), activation, any::<bool>(), select(Init::ALL)).prop_map(
        |(units, activation, bias, init)| {
            Layer::Dense(Dense { units, activation, bias, init, span: Span::default() })
        },
    )
}

fn loss_for(last: Activation) -> BoxedStrategy<Loss> {
    let fits = |kind: &LossKind| match kind {
        LossKind::CrossEntropy => last == Activation::Softmax,
        LossKind::Bce => last == Activation::Unary(Unary::Sigmoid),
        _ => last != Activation::Softmax,
    };
    let kinds: Vec<_> = LossKind::ALL.iter().copied().filter(fits).collect();
    select(kinds)
        .prop_flat_map(|kind| values(kind.hypers()).prop_map(move |hyper| Loss { kind, hyper }))
        .boxed()
}

fn train() -> impl Strategy<Value = Train> {
    let patience = proptest::option::of(1..usize::MAX);
    (1..usize::MAX, 1..1_000_000usize, any::<bool>(), any::<u64>(), 0.0..1.0f64, patience).prop_map(
        |(epochs, batch, shuffle, seed, validation, patience)| Train {
            epochs,
            batch,
            shuffle,
            seed,
            validation,
            patience,
        },
    )
}

/// Eight disjoint lists of columns, two of one column at most.
fn data() -> impl Strategy<Value = Data> {
    let name = prop_oneof!["[a-z][a-z0-9_.-]{0,5}", "-?[0-9.]{1,5}", "\\PC{1,6}", "(?s).{1,4}"];
    let lists = proptest::collection::btree_map(name, 0..8usize, 0..12);
    let scale = select(Scale::ALL);
    let rare = (any::<bool>(), 1..usize::MAX);
    (lists, scale.clone(), proptest::option::of(scale), select(Missing::ALL), rare).prop_map(
        |(lists, scale, target_scale, missing, (missing_indicator, min_count))| {
            let of = |which| -> Vec<String> {
                lists
                    .iter()
                    .filter(|(_, list)| **list == which)
                    .map(|(name, _)| name.clone())
                    .collect()
            };
            Data {
                target: of(0),
                drop: of(1),
                only: of(2),
                categorical: of(3),
                numeric: of(4),
                // Any widths.
                embedding: of(7).into_iter().map(|name| (name, min_count % 1000 + 1)).collect(),
                scale,
                target_scale,
                missing,
                missing_indicator,
                min_count,
                split: of(5).into_iter().next(),
                group: of(6).into_iter().next().filter(|_| of(5).is_empty()),
            }
        },
    )
}

fn model() -> impl Strategy<Value = Model> {
    (proptest::collection::vec(dense(false), 0..5), dense(true))
        .prop_flat_map(|(mut layers, last)| {
            let Layer::Dense(dense) = &last;
            let loss = loss_for(dense.activation);
            layers.push(last);
            (Just(layers), loss, width(true), optimizer(), train(), data())
        })
        .prop_map(|(layers, loss, input, optimizer, train, data)| Model {
            input,
            layers,
            loss,
            optimizer,
            train,
            data,
            chosen: Vec::new(),
            input_span: Span::default(),
        })
}

/// The model without its places.
fn bare(mut model: Model) -> Model {
    model.input_span = Span::default();
    for Layer::Dense(dense) in &mut model.layers {
        dense.span = Span::default();
    }
    model
}

/// Parses, checks and renders; the errors, where there are some.
fn survive(text: &str) -> Option<String> {
    let parsed = parse(text, 0);
    let _ = parsed.ast.to_string();
    let sources = Sources::of("model.mlp", text);
    let errors = check(&parsed, &Limits { memory: Some(1 << 30) }).err()?;
    Some(render(errors.iter(), &sources, false))
}

const VALID: &str = "data target=\"median value\",b drop=1,x-y numeric=größe # columns\n\
    input auto -> repeat 3 ( dense 64 relu bias=false\n -> dense 8 init=torch ) ->\n dense 1\n\
    loss huber delta=1.5; sgd 1e-3 momentum=0.9 nesterov=true\n\
    train epochs=50 batch=64 validation=0.2 shuffle=false seed=7\n";

proptest! {
    #[test]
    fn a_printed_model_reads_back(model in model()) {
        let text = model.to_text();
        let read = mlpc::compile(&text).map_err(|e| TestCaseError::fail(format!("{text}\n{e}")))?;
        prop_assert_eq!(&read.chosen, &Vec::<String>::new());
        prop_assert_eq!(bare(read), model, "{}", text);
    }

    #[test]
    fn no_text_panics(text in "(?s).{0,80}") {
        survive(&text);
    }

    #[test]
    fn no_text_of_the_language_panics(
        words in proptest::collection::vec(select(&[
            "input", "dense", "repeat", "auto", "3", "-1", "1e400", "relu", "softmax", "loss", "mse",
            "adam", "sgd", "train", "data", "epochs", "=", ",", "->", "=>", "(", ")", ";", "\n", "\r",
            "\"", "\"a\"", "\\", "#", " ", "\t", "é", "\u{FEFF}", "target=", "drop=a,b", "nesterov=true",
        ][..]), 0..40)
    ) {
        survive(&words.concat());
        survive(&words.join(" "));
    }

    #[test]
    fn no_change_of_a_valid_text_panics(
        at in 0..VALID.len(), cut in 0..20usize, put in "(?s).{0,3}", again in 0..VALID.len()
    ) {
        let floor = |i: usize| (0..=i.min(VALID.len())).rev().find(|i| VALID.is_char_boundary(*i)).unwrap();
        survive(&format!("{}{put}{}", &VALID[..floor(at)], &VALID[floor(at + cut)..]));
        survive(&format!("{}{}", &VALID[..floor(at)], &VALID[floor(again)..]));
    }
}

#[test]
fn the_valid_text_is_valid() {
    assert_eq!(survive(VALID), None);
}

#[test]
fn line_ends_of_all_kinds_mean_the_same() {
    let expected = mlpc::compile(VALID).unwrap();
    for text in [
        VALID.replace('\n', "\r\n"),
        VALID.replace('\n', "\r"),
        VALID.replace('\n', "  \n"),
        format!("\u{FEFF}{VALID}"),
        VALID.replace("->\n", "\n\n# why\n -> "),
    ] {
        assert_eq!(bare(mlpc::compile(&text).unwrap()), bare(expected.clone()), "{text:?}");
    }
}

#[test]
fn what_is_left_out_is_chosen_and_said() {
    for (text, chosen) in [
        ("input 2 -> dense 3 softmax", "loss cross_entropy"),
        ("input 2 -> dense 1 sigmoid", "loss bce"),
        ("input 2 -> dense 1", "loss mse"),
    ] {
        let model = mlpc::compile(text).unwrap();
        assert!(model.chosen[0].starts_with(chosen), "{:?}", model.chosen);
        assert!(model.chosen[1].starts_with("optimizer adam 0.001"), "{:?}", model.chosen);
    }
}

#[test]
fn column_names_are_kept_as_written() {
    let model =
        mlpc::compile("input 2 -> dense 1; data target=1.0 drop=1,02,education-num,\"a,b\"");
    let data = model.unwrap().data;
    assert_eq!(data.target, ["1.0"]);
    assert_eq!(data.drop, ["1", "02", "education-num", "a,b"]);
}

#[test]
fn a_number_may_touch_an_arrow() {
    let model = mlpc::compile("input 2->dense 3->dense 1").unwrap();
    assert_eq!(model.layers.len(), 2);
}

#[test]
fn the_resolved_text_holds_every_width() {
    let text = "input auto -> repeat 2 ( dense 4 relu ) -> dense auto softmax";
    let model = mlpc::compile(text).unwrap();
    let network = model.network(Some(&Layout::of_dense(5)), Some(3), &Limits::default()).unwrap();
    insta::assert_snapshot!(model.describe(Some(&network)));
    let again = mlpc::compile(&model.resolved_text(&network)).unwrap();
    assert_eq!(again.network(None, None, &Limits::default()).unwrap(), network);
}

#[test]
fn the_tree_prints() {
    insta::assert_snapshot!(parse(VALID, 0).ast.to_string());
}

#[test]
fn large_and_deep_texts_end_in_time() {
    for text in [
        "(".repeat(100_000),
        "input 2 -> repeat 2 (".repeat(100_000),
        "a ".repeat(1 << 20),
        "a\n".repeat(1 << 20),
        "\n".repeat(10 << 20),
        "#".repeat(10 << 20),
        "\"".repeat(1 << 20),
        "->".repeat(1 << 20),
        ",".repeat(1 << 20),
        ")".repeat(1 << 20),
        "%".repeat(10 << 20),
        format!("input 2 -> dense 1; data drop={}z", "column,".repeat(1 << 18)),
        "9".repeat(10 << 20),
    ] {
        // In quadratic time this would take minutes.
        assert!(survive(&text).is_some(), "{}", &text[..20]);
    }
}
