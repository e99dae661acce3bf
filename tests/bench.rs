//! `mlpc bench` as a user meets it: messages, exit codes, fields. No test
//! here depends on how fast the machine is.

#![allow(clippy::unwrap_used)]

use assert_cmd::Command;
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

/// As short as measuring gets.
const SHORT: [&str; 4] = ["--seconds", "0.001", "--rounds", "1"];

fn bench(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("mlpc").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("bench").args(args);
    command
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn short(args: &[&str]) -> Ran {
    ran(bench(args).args(SHORT))
}

fn json_of(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// A folder for results.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Place(TempDir::new().unwrap())
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

#[test]
fn a_model_is_measured_and_its_fields_agree() {
    let json = json_of(&short(&["examples/xor.mlp", "--rows", "5000", "-j", "1", "--json"]));
    assert_eq!((&json["schema"], &json["mode"]), (&json!(1), &json!("model")));
    assert_eq!(json["mlpc"], env!("CARGO_PKG_VERSION"));
    assert!(!json["cpu"].as_str().unwrap().is_empty());
    assert_eq!(json["network"], "2 -> 3 sigmoid -> 1 sigmoid; mse; sgd");
    assert_eq!((&json["batch"], &json["rows"]), (&json!(4), &json!(5000)), "the text's batch");
    assert_eq!((&json["threads"], &json["parameters"]), (&json!(1), &json!(13)));
    // Forward and weight gradient of 2·3 and 3·1, input gradient of 3·1.
    assert_eq!(json["flop_per_step"], 2.0 * 4.0 * (6.0 * 2.0 + 3.0 * 3.0));
    let number = |name: &str| json[name].as_f64().unwrap_or_else(|| panic!("{name}"));
    for name in [
        "train_us",
        "resident_us",
        "update_us",
        "latency_us",
        "rows_per_s",
        "gflops",
        "peak_gflops",
    ] {
        assert!(number(name) > 0.0, "{name}");
    }
    let gflops = number("flop_per_step") / number("train_us") / 1e3;
    assert!((number("gflops") / gflops - 1.0).abs() < 1e-9);
    let fraction = number("gflops") / number("peak_gflops");
    assert!((number("fraction_of_peak") / fraction - 1.0).abs() < 1e-9);
    assert!(number("gradient_error") < 2e-5 && number("loss_error") < 1e-5);
    assert_eq!(json["checked_rows"], 4);
    let calls = json["rows_per_call"].as_u64().unwrap();
    assert!(calls == 1024 || calls == 5000);
    assert!(json["binds"].is_string());
}

#[test]
fn every_loss_is_proved_before_it_is_timed() {
    let place = Place::new();
    for (last, loss) in [
        ("linear", "mae"),
        ("linear", "huber"),
        ("linear", "quantile q=0.2"),
        ("sigmoid", "bce"),
        ("softmax", "cross_entropy label_smoothing=0.1"),
    ] {
        let text = format!("input 5 -> dense 9 gelu -> dense 3 {last}; loss {loss}; rmsprop");
        let model = place.file("model.mlp", &text);
        let model = model.to_str().unwrap();
        let ran = short(&[model, "--batch", "33", "--rows", "40", "--json"]);
        let json = json_of(&ran);
        assert_eq!((&json["batch"], &json["checked_rows"]), (&json!(33), &json!(33)), "{loss}");
        assert!(ran.stderr.contains("checked against f64: 33 rows"), "{}", ran.stderr);
    }
}

#[test]
fn the_table_says_what_the_figures_mean() {
    let ran = short(&["examples/xor.mlp", "--rows", "64", "--quiet"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    for part in [
        "train_us ",
        "µs a training step\n",
        "latency_us ",
        "rows predicted a second, in calls of 64\n",
        "fraction_of_peak ",
        "what binds a training step: ",
    ] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
}

#[test]
fn data_give_the_widths_that_are_auto() {
    let with = short(&["examples/iris.mlp", "examples/iris.csv", "--rows", "64", "--json"]);
    let json = json_of(&with);
    assert_eq!(json["network"], "4 -> 16 relu -> 3 softmax; cross_entropy; adam");
    assert_eq!((&json["batch"], &json["data"]), (&json!(16), &json!("examples/iris.csv")));
    let without = short(&["examples/iris.mlp"]);
    assert_eq!((without.code, without.stdout.as_str()), (2, ""));
    assert!(
        without.stderr.contains("`auto`") && without.stderr.contains("E111"),
        "{}",
        without.stderr
    );
}

#[test]
fn assertions_decide_the_exit_code() {
    let model = ["examples/xor.mlp", "--rows", "64", "-q"];
    let run = |expression: &str| short(&[&model[..], &["--assert", expression]].concat());
    assert_eq!(run("latency_us<1e9").code, 0);
    let failed = run("latency_us < 0");
    assert_eq!(failed.code, 1);
    assert!(failed.stdout.contains("latency_us"), "the figures are printed all the same");
    let message = "error[E404]: `latency_us < 0` does not hold: it is ";
    assert!(failed.stderr.starts_with(message), "{}", failed.stderr);
    let both =
        short(&[&model[..], &["--assert", "train_us<0", "--assert", "rows_per_s>=1e18"]].concat());
    assert_eq!(both.code, 1);
    assert_eq!(both.stderr.matches("does not hold").count(), 2, "{}", both.stderr);
}

#[test]
fn wrong_assertions_are_told_before_anything_is_timed() {
    for (expression, parts) in [
        ("latency<1", ["unknown figure `latency`", "did you mean `latency_us`?"]),
        ("speed>1", ["unknown figure `speed`", "the figures are train_us, "]),
        ("latency_us=1", ["not a comparison", "as in `latency_us<1`"]),
        ("latency_us<fast", ["not a comparison", "as in `latency_us<1`"]),
    ] {
        // An hour, if it were measured.
        let mut command = bench(&["examples/xor.mlp", "--seconds", "3600", "--assert", expression]);
        let ran = ran(&mut command);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{expression}");
        for part in parts {
            assert!(ran.stderr.contains(part), "{part} is not in\n{}", ran.stderr);
        }
    }
}

#[test]
fn a_baseline_tells_slower_from_faster() {
    let place = Place::new();
    let run = |file: &PathBuf, more: &[&str]| {
        let args = ["examples/xor.mlp", "--rows", "64", "-j", "1", "--baseline"];
        ran(bench(&args).arg(file).args(more).args(SHORT))
    };
    let mut json = json_of(&short(&["examples/xor.mlp", "--rows", "64", "-j", "1", "--json"]));
    let mut save = |name: &str, value: Value| {
        json[name] = value;
        place.file("base.json", &json.to_string())
    };

    save("train_us", json!(1e9));
    save("resident_us", json!(1e9));
    save("latency_us", json!(1e9));
    let fast = run(&save("rows_per_s", json!(1e-9)), &[]);
    assert_eq!(fast.code, 0, "{}", fast.stderr);
    assert_eq!(fast.stderr.matches("faster: ").count(), 4, "{}", fast.stderr);

    let slow = run(&save("latency_us", json!(1e-9)), &["--quiet"]);
    assert_eq!(slow.code, 1);
    assert!(slow.stderr.starts_with("error[E404]: slower than `"), "{}", slow.stderr);
    assert!(slow.stderr.contains("latency_us 1.00e-9 -> "), "{}", slow.stderr);
    assert!(slow.stderr.contains("% where 10% is tolerated"), "{}", slow.stderr);
    assert!(!slow.stderr.contains("train_us"), "{}", slow.stderr);

    let other_cpu = run(&save("cpu", json!("a pocket calculator")), &["--tolerance", "1e15%"]);
    assert_eq!(other_cpu.code, 0, "{}", other_cpu.stderr);
    assert!(other_cpu.stderr.contains("warning: "), "{}", other_cpu.stderr);
    assert!(other_cpu.stderr.contains("measured on a pocket calculator"), "{}", other_cpu.stderr);
}

#[test]
fn a_baseline_of_something_else_is_refused() {
    let place = Place::new();
    let model = json!({
        "schema": 1, "mode": "model", "cpu": "x", "network": "2 -> 9 sigmoid -> 1 sigmoid; mse; sgd",
        "batch": 4, "rows": 64, "threads": 1, "parameters": 37, "isa": "portable", "data": null,
        "train_us": 1.0,
    });
    let kernels = json!({ "schema": 1, "mode": "kernels", "rows": [] });
    for (content, parts) in [
        (
            model.to_string(),
            vec!["other work: its network is `2 -> 9 sigmoid", "its parameters is 37"],
        ),
        (kernels.to_string(), vec!["of the mode kernels, this run is of the mode model"]),
        (json!({ "schema": 99, "mode": "model" }).to_string(), vec!["has schema 99"]),
        (json!([1]).to_string(), vec!["no JSON object"]),
        (json!({}).to_string(), vec!["it has no `schema`"]),
        (model.to_string()[..40].to_owned(), vec!["is no result of `mlpc bench --json`", "EOF"]),
    ] {
        let file = place.file("base.json", &content);
        let args = ["examples/xor.mlp", "--rows", "64", "-j", "1", "--isa", "portable"];
        let ran = ran(bench(&args).arg("--baseline").arg(&file).args(SHORT));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{content}");
        for part in parts {
            assert!(ran.stderr.contains(part), "{part} is not in\n{}", ran.stderr);
        }
    }
    let ran = short(&["examples/xor.mlp", "--baseline", "no.json"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("cannot read the baseline `no.json`"), "{}", ran.stderr);
}

#[test]
fn kernels_are_checked_then_timed() {
    let args = ["--kernels", "--isa", "portable", "--filter", "tanh", "--json"];
    let json = json_of(&short(&args));
    assert_eq!((&json["mode"], &json["quick"]), (&json!("kernels"), &json!(false)));
    let rows = json["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == "tanh.portable").unwrap();
    assert_eq!((&row["figure"], &row["unit"]), (&json!("tanh.portable.ns"), &json!("ns")));
    assert_eq!((&row["operation"], &row["isa"]), (&json!("tanh"), &json!("portable")));
    assert_eq!((&row["algorithm"], &row["size"]), (&json!(null), &json!("4096")));
    assert!(row["ns"].as_f64().unwrap() > 0.0);
    let error = row["error_of_bound"].as_f64().unwrap();
    assert!(error > 0.0 && error <= 1.0, "{error}");
    assert!(rows.iter().all(|row| row["isa"] == "portable"));
    assert!(rows.iter().any(|row| row["name"] == "tanh_slope.portable"));

    let failed = short(&[&args[..5], &["--assert", "tanh.portable.ns<0", "--quiet"]].concat());
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("`tanh.portable.ns<0` does not hold"), "{}", failed.stderr);
    let unknown = short(&[&args[..5], &["--assert", "tahn.portable.ns<0"]].concat());
    assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""));
    assert!(unknown.stderr.contains("did you mean `tanh.portable.ns`?"), "{}", unknown.stderr);
}

#[test]
fn kernels_compare_with_a_baseline_row_by_row() {
    let place = Place::new();
    let args = ["--kernels", "--isa", "portable", "--filter", "relu.portable"];
    let mut json = json_of(&short(&[&args[..], &["--json"]].concat()));
    for row in json["rows"].as_array_mut().unwrap() {
        row["ns"] = json!(if row["name"] == "relu.portable" { 1e-9 } else { 1e9 });
    }
    let file = place.file("base.json", &json.to_string());
    let ran = ran(bench(&args).arg("--baseline").arg(&file).args(SHORT));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("slower than").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("relu.portable.ns 1.00e-9 -> "), "{}", ran.stderr);
    assert!(ran.stderr.contains("faster: leaky_relu.portable.ns"), "{}", ran.stderr);
}

#[test]
fn quick_checks_every_row_and_times_none() {
    let quick = ran(&mut bench(&["--kernels", "--quick", "--json"]));
    let json = json_of(&quick);
    let rows = json["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row.get("ns").is_none() && row.get("gflops").is_none()));
    assert!(json["checked"].as_u64().unwrap() > 3 * rows.len() as u64);
    // What this CPU has is run, what it lacks is said.
    let absent: Vec<&str> =
        json["absent"].as_array().unwrap().iter().map(|a| a["isa"].as_str().unwrap()).collect();
    let pinned = std::env::var("MLPC_ISA").is_ok_and(|isa| !isa.is_empty());
    for isa in mlpc_kernels::simd::Isa::ALL {
        let run = rows.iter().any(|row| row["isa"] == isa.name());
        assert!(pinned || run != absent.contains(&isa.name()), "{isa}");
        assert!(isa.available() || !run, "{isa}");
    }
}

#[test]
fn wrong_usage_is_told() {
    for (args, part) in [
        (vec![], "<MODEL>"),
        (vec!["examples/xor.mlp", "--quick"], "cannot be used with"),
        (vec!["examples/xor.mlp", "--filter", "tanh"], "cannot be used with"),
        (vec!["examples/xor.mlp", "--kernels"], "cannot be used with"),
        (vec!["--kernels", "--quick", "--assert", "a<1"], "cannot be used with"),
        (vec!["--kernels", "--filter", "no_such_kernel"], "no kernel of this CPU"),
        (vec!["examples/xor.mlp", "--batch", "0"], "--batch"),
        (vec!["examples/xor.mlp", "--seconds", "0"], "more than 0"),
        (vec!["examples/xor.mlp", "--tolerance", "5%"], "--baseline"),
        (vec!["examples/xor.mlp", "--isa", "mmx"], "unknown instruction set `mmx`"),
        (vec!["no.mlp"], "no.mlp"),
    ] {
        let ran = ran(&mut bench(&args));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ran.stderr.contains(part), "{args:?}: {}", ran.stderr);
    }
    let place = Place::new();
    let wide = place.file("wide.mlp", "input 9000 -> dense 1");
    let ran = ran(bench(&["--batch", "4000000000"]).arg(wide));
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("GiB") && ran.stderr.contains("`--batch 62500000`"),
        "{}",
        ran.stderr
    );
}
