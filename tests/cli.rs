//! The program as a user meets it.

#![allow(clippy::unwrap_used)]

use assert_cmd::Command;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn mlpc() -> Command {
    let mut command = Command::cargo_bin("mlpc").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// What a command printed, with its exit code.
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

/// A folder with files, and a trained iris model in it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Place { folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    fn iris(&self) -> PathBuf {
        let model = self.path("iris.safetensors");
        let ran = ran(mlpc()
            .args(["run", "--quiet", "examples/iris.mlp", "examples/iris.csv", "-o"])
            .arg(&model));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        model
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn run_trains_reports_and_saves() {
    let place = Place::new();
    let model = place.path("xor.safetensors");
    let ran = ran(mlpc().args(["run", "examples/xor.mlp", "examples/xor.csv", "-o"]).arg(&model));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("accuracy                 1.0000\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("trained 10000 epochs in "));
    assert!(ran.stderr.contains("network: 2 -> 3 sigmoid -> 1 sigmoid, 13 parameters\n"));
    assert!(ran.stderr.contains("\nepoch 10000  loss 0.0"));
    // The log stays short.
    assert!(ran.stderr.lines().count() < 60);
    assert_eq!(names(place.folder.path()), ["xor.safetensors"]);
}

#[test]
fn the_same_seed_gives_the_same_file_on_any_number_of_threads() {
    let place = Place::new();
    let text = place.file(
        "wide.mlp",
        "data target=species
         input auto -> dense 150 relu -> dense 150 tanh -> dense auto softmax
         train epochs=3 batch=150 validation=0",
    );
    // 450 rows: several shards a batch.
    let csv = std::fs::read_to_string("examples/iris.csv").unwrap();
    let (header, rows) = csv.split_once('\n').unwrap();
    let data = place.file("thrice.csv", format!("{header}\n{rows}{rows}{rows}"));
    let mut files = Vec::new();
    for threads in ["1", "2", "3", "8"] {
        let model = place.path("wide.safetensors");
        let mut command = mlpc();
        command.args(["run", "-q", "--set", "train.batch=450", "-j", threads]).args([&text, &data]);
        assert_eq!(ran(&mut command).code, 0);
        files.push(std::fs::read(model).unwrap());
    }
    assert!(files.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn predict_takes_raw_rows_in_any_order_of_columns() {
    let place = Place::new();
    let model = place.iris();
    let ran = ran(mlpc().arg("predict").arg(&model).write_stdin(
        "id,petal_width,petal_length,sepal_width,sepal_length\n\
         a,0.2,1.4,3.5,5.1\nb,2.3,6.1,3.0,7.2\n",
    ));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, "prediction\nsetosa\nvirginica\n");
}

#[test]
fn predict_gives_probabilities_and_writes_files() {
    let place = Place::new();
    let model = place.iris();
    let out = place.path("out.csv");
    let mut command = mlpc();
    command.arg("predict").arg(&model).args(["examples/iris.csv", "--probabilities", "-o"]);
    let ran = ran(command.arg(&out));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    let csv = std::fs::read_to_string(&out).unwrap();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next().unwrap(),
        "prediction,probability_setosa,probability_versicolor,probability_virginica"
    );
    assert_eq!(csv.lines().count(), 151);
    for line in lines {
        let sum: f64 = line.split(',').skip(1).map(|p| p.parse::<f64>().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{line}");
    }
}

#[test]
fn a_missing_column_is_named() {
    let place = Place::new();
    let model = place.iris();
    let out = place.path("out.csv");
    let mut command = mlpc();
    command.arg("predict").arg(&model).arg("-o").arg(&out);
    let ran =
        ran(command.write_stdin("sepal_length,sepal_width,petal_lenght,petal_width\n1,2,3,4\n"));
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("`petal_length`") && ran.stderr.contains("petal_lenght"),
        "{}",
        ran.stderr
    );
    assert_eq!(names(place.folder.path()), ["iris.safetensors"], "nothing is half-written");
}

#[test]
fn an_error_in_the_data_leaves_the_old_output() {
    let place = Place::new();
    let model = place.iris();
    let out = place.file("out.csv", "old");
    let mut rows = String::from("sepal_length,sepal_width,petal_length,petal_width\n");
    rows.push_str(&"1,2,3,4\n".repeat(10_000));
    rows.push_str("1,2,three,4\n");
    let mut command = mlpc();
    let ran = ran(command.arg("predict").arg(&model).arg("-o").arg(&out).write_stdin(rows));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("10002") && ran.stderr.contains("three"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "old");
}

#[test]
fn evaluate_measures() {
    let place = Place::new();
    let model = place.iris();
    let ran = ran(mlpc().arg("evaluate").arg(&model).args(["examples/iris.csv", "--json"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["rows"], 150);
    assert!(json["metrics"]["accuracy"].as_f64().unwrap() > 0.93);
}

#[test]
fn the_report_is_json_on_request() {
    let place = Place::new();
    let out = place.path("m.safetensors");
    let mut command = mlpc();
    command.args(["run", "examples/iris.mlp", "examples/iris.csv", "--json", "-q", "-o"]).arg(&out);
    let ran = ran(&mut command);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["parameters"], 131);
    assert!(json["metrics"]["training"]["accuracy"].as_f64().unwrap() > 0.9);
    assert!(json["metrics"]["validation"]["log_loss"].is_f64());
}

#[test]
fn all_errors_of_a_text_come_at_once_with_their_places() {
    let place = Place::new();
    let text =
        place.file("bad.mlp", "input 4 -> dense 0 relu -> dense 3 softmx\nloss msee\nadam -1\n");
    let plain = ran(mlpc().arg("check").arg(&text));
    assert_eq!((plain.code, plain.stdout.as_str()), (2, ""));
    for part in ["bad.mlp:1:", "bad.mlp:2:6", "bad.mlp:3:6", "`softmax`", "`mse`", "4 errors"] {
        assert!(plain.stderr.contains(part), "{part} is not in\n{}", plain.stderr);
    }
    let json = ran(mlpc().arg("check").arg("--json").arg(&text));
    assert_eq!(json.code, 2);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["errors"].as_array().unwrap().len(), 4);
    assert_eq!(json["errors"][2]["place"]["line"], 2);
    assert_eq!(json["errors"][2]["place"]["column"], 6);
}

#[test]
fn changes_from_the_command_line_are_checked_too() {
    let ran = ran(mlpc().args(["check", "examples/iris.mlp", "--set", "train.epoch=5"]));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("--set train.epoch=5"), "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean `epochs`"), "{}", ran.stderr);
}

#[test]
fn every_stage_is_shown() {
    for (stage, part) in
        [("ast", "dense"), ("model", "init="), ("ir", "weight_gradient"), ("plan", "arena of")]
    {
        let ran =
            ran(mlpc().args(["plan", "examples/iris.mlp", "examples/iris.csv", "--stage", stage]));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{stage}");
        assert!(ran.stdout.contains(part), "{stage}: {}", ran.stdout);
    }
    let ran = ran(mlpc().args(["plan", "examples/iris.mlp"]));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("`auto`") && ran.stderr.contains("data"), "{}", ran.stderr);
}

#[test]
fn wrong_usage_is_told() {
    let nothing = ran(&mut mlpc());
    assert_eq!(nothing.code, 2);
    assert!(nothing.stderr.contains("Usage: mlpc"));
    for (args, part) in [
        (vec!["rum", "a", "b"], "'run'"),
        (vec!["run", "examples/iris.mlp"], "<DATA>"),
        (vec!["run", "no.mlp", "examples/iris.csv"], "no.mlp"),
        (vec!["run", "examples", "examples/iris.csv"], "directory"),
        (vec!["run", "examples/iris.mlp", "no.csv"], "no.csv"),
        (vec!["run", "examples/iris.mlp", "examples"], "directory"),
        (vec!["predict", "examples/iris.csv"], "safetensors"),
        (vec!["plan", "examples/xor.mlp", "--isa", "avx1024"], "unknown instruction set `avx1024`"),
    ] {
        let ran = ran(mlpc().args(&args).write_stdin(""));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ran.stderr.contains(part), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
    let ran = ran(mlpc().args(["plan", "examples/xor.mlp"]).env("MLPC_ISA", "mmx"));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("MLPC_ISA: unknown instruction set `mmx`"), "{}", ran.stderr);
}

#[test]
fn a_run_that_diverges_saves_nothing() {
    let place = Place::new();
    let out = place.file("model.safetensors", "old");
    let mut command = mlpc();
    command.args([
        "run",
        "-q",
        "examples/iris.mlp",
        "examples/iris.csv",
        "--set",
        "sgd=1e30",
        "-o",
    ]);
    let ran = ran(command.arg(&out));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("diverged in epoch 1") && ran.stderr.contains("learning rate"));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "old");
}

#[test]
fn run_starts_from_a_file() {
    let place = Place::new();
    let first = place.iris();
    let second = place.path("second.safetensors");
    let mut command = mlpc();
    command.args(["run", "-q", "--json", "examples/iris.mlp", "examples/iris.csv"]);
    command.args(["--set", "adam=1e-30", "--set", "train.epochs=1"]);
    let from = ran(command.arg("--from").arg(&first).arg("-o").arg(&second));
    assert_eq!(from.code, 0, "{}", from.stderr);
    let (a, b) = (std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
    let data = |bytes: &[u8]| {
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + header..].to_vec()
    };
    assert_eq!(data(&a), data(&b), "a rate of almost nothing changes nothing");

    let narrow = place.file(
        "narrow.mlp",
        "data target=species\ninput auto -> dense 8 relu -> dense auto softmax",
    );
    let mut command = mlpc();
    command.args(["run", "-q"]).arg(&narrow).arg("examples/iris.csv").arg("--from").arg(&first);
    let ran = ran(&mut command);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("[16, 4]") && ran.stderr.contains("[8, 4]"), "{}", ran.stderr);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let model = place.iris();
    let mut rows = String::from("sepal_length,sepal_width,petal_length,petal_width\n");
    rows.push_str(&"1,2,3,4\n".repeat(100_000));
    let data = place.file("many.csv", rows);
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("mlpc"))
        .arg("predict")
        .args([&model, &data])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_exits_130() {
    use std::io::{BufRead, BufReader};
    let place = Place::new();
    let out = place.path("long.safetensors");
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("mlpc"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["run", "examples/iris.mlp", "examples/iris.csv", "-o"])
        .arg(&out)
        .args(["--set", "train.epochs=1000000000"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Some epochs are done when their lines are there.
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("  loss ")));
    let pid = child.id().to_string();
    // The shell has it built in, wherever the program `kill` is missing.
    let kill = std::process::Command::new("sh").args(["-c", &format!("kill -INT {pid}")]).status();
    assert!(kill.unwrap().success());
    let rest: Vec<String> = log.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{rest:?}");
    assert!(rest.last().unwrap().contains("interrupted after epoch"), "{rest:?}");
    let ran = ran(mlpc().arg("evaluate").arg(&out).arg("examples/iris.csv"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn init_writes_a_text_that_trains() {
    let place = Place::new();
    let (text, model) = (place.path("iris.mlp"), place.path("iris.safetensors"));
    let init = |more: &[&str]| {
        let mut command = mlpc();
        command.args(["init", "examples/iris.csv", "--target", "species", "-o"]).arg(&text);
        ran(command.args(more))
    };
    let first = init(&[]);
    assert_eq!((first.code, first.stdout.as_str()), (0, ""), "{}", first.stderr);
    assert!(first.stderr.contains("mlpc run"), "{}", first.stderr);
    // A text that somebody may have changed is not replaced.
    std::fs::write(&text, "changed").unwrap();
    let again = init(&[]);
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("`--force`"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&text).unwrap(), "changed");
    assert_eq!(init(&["--force", "-q"]).stderr, "");
    let run = ran(mlpc().arg("run").arg(&text).args(["examples/iris.csv", "--json"]));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(json["metrics"]["training"]["accuracy"].as_f64().unwrap() > 0.9);
    assert_eq!(json["epochs"].as_u64(), Some(200));
    assert!(model.exists());
}

#[test]
fn files_of_their_own_validate_and_test() {
    let place = Place::new();
    let csv = std::fs::read_to_string("examples/iris.csv").unwrap();
    let (header, rows) = csv.split_once('\n').unwrap();
    let mut parts = [String::new(), String::new(), String::new()];
    for (i, row) in rows.lines().enumerate() {
        let part = &mut parts[[0, 0, 0, 1, 2][i % 5]];
        part.push_str(&format!("{row}\n"));
    }
    let [train, validation, test] = parts.map(|rows| format!("{header}\n{rows}"));
    let train = place.file("train.csv", train);
    let validation = place.file("validation.csv", validation);
    let test = place.file("test.csv", test);
    let out = place.path("m.safetensors");
    let run = |more: &[&str]| {
        let mut command = mlpc();
        command.args(["run", "examples/iris.mlp"]).arg(&train).arg("-o").arg(&out);
        command.arg("--test").arg(&test).arg("--json").args(more);
        ran(&mut command)
    };
    let validation = validation.to_str().unwrap();
    let first = run(&["--validation", validation, "--set", "train.patience=30"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(first.stderr.contains("90 rows, 30 to validate, 30 to test"), "{}", first.stderr);
    assert!(first.stderr.contains("`--validation` takes the place of"), "{}", first.stderr);
    let json: serde_json::Value = serde_json::from_str(&first.stdout).unwrap();
    assert!(json["best_epoch"].is_u64());
    // The model file keeps the same metrics, and `evaluate` finds them.
    let mut command = mlpc();
    let evaluated = ran(command.arg("evaluate").arg(&out).arg(&test).arg("--json"));
    let again: serde_json::Value = serde_json::from_str(&evaluated.stdout).unwrap();
    assert_eq!(json["metrics"]["test"], again["metrics"]);

    let none = run(&["--set", "train.patience=3", "--set", "train.validation=0"]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("`patience` watches"), "{}", none.stderr);
}

#[test]
fn predict_carries_columns_along() {
    let place = Place::new();
    let model = place.iris();
    let rows = "id,petal_width,petal_length,sepal_width,sepal_length\n\
                \"a, b\",0.20,1.4,3.5,5.1\n007,2.3,6.1,3.0,7.2\n";
    let predict =
        |more: &[&str]| ran(mlpc().arg("predict").arg(&model).args(more).write_stdin(rows));
    let kept = predict(&["--keep", "id,petal_width"]);
    assert_eq!(kept.stdout, "id,petal_width,prediction\n\"a, b\",0.20,setosa\n007,2.3,virginica\n");
    let all = predict(&["--append"]);
    let header = "id,petal_width,petal_length,sepal_width,sepal_length,prediction\n";
    assert!(all.stdout.starts_with(header), "{}", all.stdout);
    assert!(all.stdout.ends_with("007,2.3,6.1,3.0,7.2,virginica\n"), "{}", all.stdout);
    let unknown = predict(&["--keep", "petal_widht"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""));
    assert!(unknown.stderr.contains("did you mean `petal_width`?"), "{}", unknown.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    let place = Place::new();
    let model = place.iris();
    let full =
        ran(mlpc().arg("predict").arg(&model).args(["examples/iris.csv", "-o", "/dev/full"]));
    assert_eq!(full.code, 2);
    assert!(full.stderr.contains("no space is left to write `/dev/full`"), "{}", full.stderr);
    let stdout = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(assert_cmd::cargo::cargo_bin!("mlpc"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("predict")
        .arg(&model)
        .arg("examples/iris.csv")
        .stdout(stdout)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("no space is left for standard output"), "{stderr}");
}

/// What is wrong with a table is told in the same words when it comes through
/// standard input, and no prediction is written from it.
#[test]
fn nasty_tables_through_standard_input() {
    let place = Place::new();
    let model = place.iris();
    let header = "sepal_length,sepal_width,petal_length,petal_width\n";
    let table = |rows: &[u8]| [header.as_bytes(), rows].concat();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("nothing", Vec::new(), "is empty"),
        ("a ragged row", table(b"1,2,3,4\n1,2,3\n"), "line 3 has 3 fields"),
        ("a NUL byte", table(b"1,2,3,4\n1,2,\0,4\n"), "line 3 holds a NUL byte"),
        ("latin-1", table(b"1,2,3,4\n1,2,3,\xe9\n"), "is not UTF-8"),
        ("an open quote", table(b"1,2,3,4\n1,2,\"3,4\n"), "left open"),
        ("a word", table(b"1,2,3,4\n1,2,three,4\n"), "line 3 holds `three`"),
        ("a decimal comma", table(b"1,2,3,4\n1,2,\"3,5\",4\n"), "line 3 holds `3,5`"),
        ("a truncated archive", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b], "compressed data"),
    ];
    for (what, bytes, expected) in cases {
        let output = place.path("out.csv");
        let ran = ran(mlpc().arg("predict").arg(&model).arg("-o").arg(&output).write_stdin(bytes));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains("standard input"), "{what}: {}", ran.stderr);
        assert!(!output.exists(), "{what}");
    }
    // Without an output file, what came before the error has been written.
    let text = table(b"5,3,1,0.2\n");
    let good = ran(mlpc().arg("predict").arg(&model).arg("-").write_stdin(text));
    assert_eq!((good.code, good.stdout.as_str()), (0, "prediction\nsetosa\n"), "{}", good.stderr);
}

#[test]
fn check_describes_every_column() {
    let ran = ran(mlpc().args(["check", "examples/iris.mlp", "examples/iris.csv"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let heading = ran.stdout.lines().next().unwrap();
    assert_eq!(
        heading.split_whitespace().collect::<Vec<_>>(),
        ["column", "type", "distinct", "missing", "range", "becomes"]
    );
    assert_eq!(ran.stdout.lines().take_while(|line| !line.is_empty()).count(), 6);
}

/// A table with a column of 1,500 levels, which its target follows.
fn towns() -> String {
    let mut csv = String::from("town,size,price\n");
    for i in 0..6000u32 {
        let town = i * 7919 % 1500;
        let size = f64::from(i * 31 % 100) / 10.0;
        let price = f64::from(town * 37 % 11) + size;
        csv.push_str(&format!("town {town},{size},{price}\n"));
    }
    csv
}

#[test]
fn a_column_of_many_levels_trains_and_predicts() {
    let place = Place::new();
    let data = place.file("towns.csv", towns());
    let whole = "input auto -> dense 16 relu -> dense 1; adam 0.01
                 train epochs=12 batch=64; data target=price";
    for (name, text, tensor) in [
        ("gathered", whole.to_owned(), "layers.0.weight [16, 1501]"),
        ("embedded", format!("{whole} embedding=town:4"), "embeddings.town.weight [1500, 4]"),
    ] {
        let text = place.file(&format!("{name}.mlp"), text);
        let plan = ran(mlpc().arg("plan").arg(&text).arg(&data));
        assert_eq!((plan.code, plan.stderr.as_str()), (0, ""));
        assert!(plan.stdout.contains(tensor), "{}", plan.stdout);
        assert!(plan.stdout.contains(&format!("gather {}", tensor.split(' ').next().unwrap())));

        let run = ran(mlpc().args(["run", "--json", "-q"]).arg(&text).arg(&data));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{name}");
        let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let r2 = report["metrics"]["training"]["r2"].as_f64().unwrap();
        assert!(r2 > 0.95, "{name}: {report}");

        let model = place.path(&format!("{name}.safetensors"));
        let evaluated = ran(mlpc().args(["evaluate", "--json", "-q"]).arg(&model).arg(&data));
        let metrics: serde_json::Value = serde_json::from_str(&evaluated.stdout).unwrap();
        let again = metrics["metrics"]["r2"].as_f64().unwrap();
        assert!((again - r2).abs() < 1e-6, "{name}: {again}, {r2}");

        // Towns that training has not seen, and none; alone and among others.
        let rows = ["town 3,1.5", "nowhere,1.5", ",1.5", "town 1499,9.9"];
        let predict = |rows: &[&str]| {
            let text = format!("town,size\n{}\n", rows.join("\n"));
            let ran = ran(mlpc().arg("predict").arg(&model).write_stdin(text));
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            let lines: Vec<String> = ran.stdout.lines().skip(1).map(str::to_owned).collect();
            (lines, ran.stderr)
        };
        let (together, notes) = predict(&rows);
        assert!(notes.contains("`town`: 2 values that training has not seen"), "{notes}");
        assert_eq!(together[1], together[2], "both have no level");
        let many: Vec<&str> = rows.iter().copied().cycle().take(400).collect();
        assert_eq!(predict(&many).0[396..], together);
        for (row, price) in rows.iter().zip(&together) {
            assert_eq!(&predict(&[row]).0[0], price);
        }
        let price: f64 = together[0].parse().unwrap();
        assert!((price - (3.0 * 37.0 % 11.0 + 1.5)).abs() < 1.0, "{price}");
    }
}

#[test]
fn embeddings_are_of_categories() {
    let place = Place::new();
    let data = place.file("towns.csv", towns());
    let refused = |embedding: &str| {
        let text = format!("input auto -> dense 1; data target=price embedding={embedding}");
        let text = place.file("m.mlp", text);
        let ran = ran(mlpc().arg("check").arg(&text).arg(&data));
        assert_eq!(ran.code, 2, "{}", ran.stdout);
        ran.stderr
    };
    let unknown = refused("twon:8");
    assert!(unknown.contains("`data embedding=` names the column `twon`"), "{unknown}");
    assert!(unknown.contains("did you mean `town`?"), "{unknown}");
    let number = refused("size:8");
    assert!(number.contains("`data categorical=size` takes them as levels"), "{number}");
    let target = refused("price:8");
    assert!(target.contains("`price` is in both `data target=` and `embedding=`"), "{target}");
    assert!(refused("town:0").contains("a whole number of at least 1"));
    assert!(refused("town").contains("write `embedding=town:8`"));
    let text = place.file("m.mlp", "input auto -> dense 1; data target=price embedding=town:8");
    let described = ran(mlpc().arg("check").arg(&text).arg(&data));
    assert_eq!(described.code, 0, "{}", described.stderr);
    assert!(described.stdout.contains("8 inputs, trained"), "{}", described.stdout);
    assert!(described.stdout.contains(" embedding=town:8"), "{}", described.stdout);
    let without = place.file("n.mlp", "input 9 -> dense 1; data embedding=town:8");
    let ran = ran(mlpc().arg("plan").arg(&without));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("the levels of `town`"), "{}", ran.stderr);
}
