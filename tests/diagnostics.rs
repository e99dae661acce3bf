//! Every message that a text can bring up, whole as the user sees it.

#![allow(clippy::unwrap_used, missing_docs)]

use mlpc::check::{Limits, check, set};
use mlpc::diag::{Sources, render};
use mlpc::inputs::Layout;
use mlpc::syntax::{decode, parse};
use std::fmt::Write;

/// A network that is right, for cases about other statements.
const NET: &str = "input 2 -> dense 1";

fn message(text: &str, overrides: &[&str], limits: Limits) -> String {
    let mut sources = Sources::of("model.mlp", text);
    let mut parsed = parse(text, 0);
    set(&mut parsed, &mut sources, overrides);
    match check(&parsed, &limits) {
        Ok(model) => format!("accepted:\n{model}"),
        Err(errors) => render(errors.iter(), &sources, false),
    }
}

/// The cases of a group with their messages, as one text.
fn all(cases: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, text) in cases {
        let text = text.replace("NET", NET);
        let _ = writeln!(out, "=== {name}\n{}", message(&text, &[], Limits::default()));
    }
    out
}

#[test]
fn syntax() {
    insta::assert_snapshot!(all(&[
        ("stray )", "input 2 -> dense 3 ) -> dense 1"),
        ("stray =", "input 2 -> dense =3"),
        ("stray ,", "NET\ndata drop=a ,\n, target=b"),
        ("leading ->", "-> input 2 -> dense 1"),
        ("trailing ->", "input 2 -> dense 1 ->\n\n# the end\n"),
        ("double ->", "input 2 -> -> dense 1"),
        ("trailing -> before a statement", "input 2 -> dense 1 ->\nloss mse"),
        ("-> after another statement", "NET; loss mse -> adam 0.1"),
        ("missing ->", "input 2 dense 3 -> dense 1"),
        ("missing -> over a line end", "input 2\ndense 3 -> dense 1"),
        ("missing ;", "input 2 -> dense 1 sigmoid loss mse"),
        ("another arrow", "input 2 => dense 3 → dense 1"),
        ("unclosed group", "input 2 -> repeat 2 ( dense 3 relu -> dense 1\nloss mse\nadam 0.1"),
        ("missing -> in a group", "input 2 -> repeat 2 ( dense 3\n dense 4 ) -> dense 1"),
        ("; in a group", "input 2 -> repeat 2 ( dense 3; dense 4 ) -> dense 1"),
        ("unclosed string", "NET\ndata target=\"price\ntrain epochs=0"),
        ("unknown escape", "NET\ndata target=\"a\\qb\""),
        ("no name", "input 2 -> 3 dense"),
        ("option without a statement", "NET\nepochs=5"),
        ("group without a stage", "input 2 -> ( dense 3 ) -> dense 1"),
        ("other characters", "NET\ntrain validation=20%"),
        ("neither number nor name", "NET\ndata target=-x"),
        ("option without value", "NET; train epochs= batch=3"),
        ("list without value", "NET; data drop=a,,b only=c,"),
        ("nested too deeply", &format!("input 2 -> {}", "repeat 1 (".repeat(65))),
    ]));
}

#[test]
fn words() {
    insta::assert_snapshot!(all(&[
        ("statement", "NET; trian epochs=5"),
        ("far statement", "NET; banana 5"),
        ("first word of a network", "inptu 2 -> dense 1"),
        ("loss as a statement", "NET; mse"),
        ("activation as a statement", "NET; relu"),
        ("layer", "input 2 -> dnese 3 -> dense 1"),
        ("far layer", "input 2 -> conv 3 -> dense 1"),
        ("activation as a layer", "input 2 -> relu -> dense 1"),
        ("activation", "input 2 -> dense 3 sigmoyd -> dense 1"),
        ("far activation", "input 2 -> dense 3 banana -> dense 1"),
        ("loss", "NET; loss mes"),
        ("optimizer", "NET; adma 0.1"),
        ("option", "NET; train epoch=5"),
        ("synonym of an option", "NET; adam lr=0.1"),
        ("far option", "NET; train banana=5"),
        ("option of a layer", "input 2 -> dense 1 activation=relu"),
        ("option of a loss", "NET; loss mse delta=1"),
        ("init", "input 2 -> dense 1 init=he_norm"),
        ("scale", "NET; data scale=standart"),
        ("missing", "NET; data missing=avg"),
    ]));
}

#[test]
fn values() {
    insta::assert_snapshot!(all(&[
        ("no width", "input -> dense -> dense 1"),
        ("width 0", "input 2 -> dense 0"),
        ("fractional width", "input 2 -> dense 2.5"),
        ("negative width", "input -3 -> dense 1"),
        ("wrong order", "input 2 -> dense relu 3 -> dense 1"),
        ("activation alone", "input 2 -> dense relu -> dense 1"),
        ("misspelt auto", "input 2 -> dense autp"),
        ("width as a string", "input \"2\" -> dense 1"),
        ("width as a list", "input 2,3 -> dense 1"),
        ("number as activation", "input 2 -> dense 3 4"),
        ("extra arguments", "input 2 3 -> dense 1 relu tanh; loss mse 2; adam 0.1 0.2"),
        ("group after dense", "input 2 -> dense ( dense 3 )"),
        ("extra words of train", "NET; train 5; data price"),
        ("option as a word", "NET; train epochs"),
        ("rate 0", "NET; sgd 0"),
        ("negative rate", "NET; sgd rate=-0.1"),
        ("rate too small", "NET; sgd 1e-60"),
        ("rate too large", "NET; sgd 1e60"),
        ("rate nan", "NET; sgd nan"),
        ("rate inf", "NET; sgd inf"),
        ("rate given twice", "NET; sgd 0.1 rate=0.1"),
        ("overflow", "NET; sgd 1e400"),
        ("long number", "NET; train seed=99999999999999999999"),
        ("long width", "input 99999999999999999999 -> dense 1"),
        ("width beyond any memory", "input 2 -> dense 4000000000000000000 -> dense 9"),
        ("validation 1", "NET; train validation=1"),
        ("batch 0", "NET; train batch=0"),
        ("epochs 0", "NET; train epochs=0"),
        ("epochs 1.5", "NET; train epochs=1.5"),
        ("shuffle 1", "NET; train shuffle=1"),
        ("bias maybe", "input 2 -> dense 1 bias=maybe"),
        ("momentum 1", "NET; sgd 0.1 momentum=1"),
        ("nesterov 1", "NET; sgd 0.1 momentum=0.9 nesterov=1"),
        ("repeat 0", "input 2 -> repeat 0 ( dense 3 ) -> dense 1"),
        ("repeat without number", "input 2 -> repeat ( dense 3 ) -> dense 1"),
        ("repeat without group", "input 2 -> repeat 3 -> dense 1"),
        ("repeat nothing", "input 2 -> repeat 3 ( ) -> dense 1"),
        ("repeat too often", "input 2 -> repeat 100 ( repeat 100 ( dense 3 ) ) -> dense 1"),
        ("loss without name", "NET; loss"),
        ("empty column", "NET; data target=\"\""),
    ]));
}

#[test]
fn combinations() {
    insta::assert_snapshot!(all(&[
        ("softmax inside", "input 2 -> dense 3 softmax -> dense 1"),
        ("softmax inside a repeat", "input 2 -> repeat 3 ( dense 3 softmax ) -> dense 1"),
        ("softmax of width 1", "input 2 -> dense 1 softmax"),
        ("cross_entropy on one linear output", "NET; loss cross_entropy"),
        ("cross_entropy on linear outputs", "input 2 -> dense 3; loss cross_entropy"),
        ("cross_entropy on sigmoid", "input 2 -> dense 1 sigmoid; loss cross_entropy"),
        ("softmax with another loss", "input 2 -> dense 3 softmax; loss mse"),
        ("softmax with bce", "input 2 -> dense 3 softmax; loss bce"),
        ("bce without sigmoid", "NET; loss bce"),
        ("nesterov without momentum", "NET; sgd 0.1 nesterov=true"),
        ("dense auto inside", "input 2 -> dense auto relu -> dense 1"),
        ("target dropped", "NET; data target=a drop=b,a"),
        ("only and drop", "NET; data only=a drop=a"),
        ("categorical and numeric", "NET; data numeric=\"a b\" categorical=\"a b\""),
    ]));
}

#[test]
fn statements() {
    insta::assert_snapshot!(all(&[
        ("empty", ""),
        ("blank lines", "\n\n  \n"),
        ("only comments", "# nothing\n# here\n"),
        ("no network", "loss mse\nadam 0.1\n"),
        ("no input", "dense 3 -> dense 1"),
        ("input twice", "input 2 -> input 3 -> dense 1"),
        ("input alone", "input 2"),
        ("two networks", "NET\ninput 3 -> dense 1"),
        ("two losses", "NET; loss mse; loss mae"),
        ("two optimizers", "NET\nadam 0.1\nsgd 0.1"),
        ("two train statements", "NET; train epochs=1; train batch=2"),
        ("an option twice", "NET; train epochs=1 epochs=2"),
        ("a column twice", "NET; data drop=a,b,a"),
        (
            "several errors in order",
            "input 0 -> dense 3 rleu -> dense 1\nloss mes\nadam -1 lr=2\ntrain epochs= batch=0\ndata \"x\n",
        ),
    ]));
}

#[test]
fn drawing() {
    insta::assert_snapshot!(all(&[
        ("CRLF", "input 2 -> dense 1\r\nloss mes\r\nadam 0.1\r\n"),
        ("lone CR", "input 2 -> dense 1\rloss mes\radam 0.1"),
        ("tabs", "input 2\t->\tdense 1\n\tloss\tmes"),
        ("not ASCII", "# größe\ninput 2 -> dense 1; data target=größe,größe"),
        ("wide characters", "NET; data target=価格 scale=標準"),
        ("byte order mark", "\u{FEFF}NET; loss mes"),
        ("at the end", "NET\ntrain epochs="),
        (
            "long line",
            &format!(
                "NET; data drop={}; loss mes; train seed=7 {}",
                "column,".repeat(100) + "z",
                "# ".repeat(300)
            )
        ),
        ("control character", "NET; \u{1b}[31m"),
    ]));
}

#[test]
fn overrides() {
    let mut out = String::new();
    for (text, overrides) in [
        ("NET", &["train.epochs=0"][..]),
        ("NET; train epochs=0", &["train.epochs=5"]),
        ("NET; loss mes", &["loss=maee"]),
        ("NET; sgd 0.1", &["sgd.momentum=0.9", "sgd.nesterov=true", "sgd=0.5"]),
        ("NET; sgd rate=0.1", &["sgd=-0.5"]),
        ("NET; adam 0.1", &["adam.rate=0.5", "input=7"]),
        ("NET; adam 0.1", &["sgd.momentum=0.5"]),
        ("NET", &["data.target=\"a b\",c", "loss=huber", "loss.delta=2"]),
        ("NET", &["trian.epochs=5"]),
        ("NET", &["train.epoch=5"]),
        ("NET", &["train=5"]),
        ("NET", &["dense=5"]),
        ("NET", &["train.epochs"]),
        ("NET", &["train.epochs=5 batch=3"]),
        ("NET", &["train.epochs="]),
        ("NET", &[""]),
    ] {
        let text = text.replace("NET", NET);
        let shown = overrides.iter().map(|o| format!(" --set '{o}'")).collect::<String>();
        let _ =
            writeln!(out, "=== {text}{shown}\n{}", message(&text, overrides, Limits::default()));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn data() {
    let mut out = String::new();
    for (text, inputs, outputs) in [
        ("input 3 -> dense 2", Some(5), Some(1)),
        ("input auto -> dense auto", None, None),
        ("input auto -> dense auto softmax", Some(4), Some(1)),
        ("input auto -> dense 1", Some(0), Some(1)),
        ("input auto -> dense 1000000 -> dense 1", Some(1_000_000), None),
    ] {
        let sources = Sources::of("model.mlp", text);
        let limits = Limits { memory: Some(8 << 30) };
        let model = check(&parse(text, 0), &limits).unwrap();
        let errors =
            model.network(inputs.map(Layout::of_dense).as_ref(), outputs, &limits).unwrap_err();
        let rendered = render(errors.iter(), &sources, false);
        let _ = writeln!(out, "=== {text} ({inputs:?}, {outputs:?})\n{rendered}");
    }
    insta::assert_snapshot!(out);
}

#[test]
fn memory() {
    let limits = Limits { memory: Some(16 << 30) };
    insta::assert_snapshot!(message(
        "input 100 -> dense 200000 -> dense 200000 relu -> dense 1",
        &[],
        limits
    ));
}

#[test]
fn encoding() {
    let mut out = String::new();
    for bytes in [&b"input 2\n-> dense \xE9"[..], b"\xFF\xFEi\0n\0"] {
        let errors = decode("model.mlp", bytes).unwrap_err();
        let _ = writeln!(out, "{}", render(errors.iter(), &Sources::default(), false));
    }
    insta::assert_snapshot!(out);
}
