//! `mlpc init`'s texts: what they say, and that they train as they are.

#![allow(clippy::unwrap_used)]

use mlpc::data::{Dataset, Table};
use mlpc::draft::draft;
use std::fmt::Write;
use std::path::Path;

/// The draft for a table; it must be a text without errors, and bind.
fn text(table: &str, targets: &[&str]) -> String {
    let table = Table::parse(table.as_bytes(), "t.csv").unwrap();
    let targets: Vec<String> = targets.iter().map(|name| (*name).to_owned()).collect();
    let text = draft(&table, &targets).unwrap();
    let model = mlpc::compile(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let dataset = Dataset::bind(&table, &model).unwrap();
    let limits = mlpc::check::Limits::default();
    model.network(Some(&dataset.layout()), Some(dataset.outputs()), &limits).unwrap();
    text
}

fn refused(table: &str, targets: &[&str]) -> String {
    let table = Table::parse(table.as_bytes(), "t.csv").unwrap();
    let targets: Vec<String> = targets.iter().map(|name| (*name).to_owned()).collect();
    draft(&table, &targets).unwrap_err().to_string()
}

/// 300 rows of columns of every kind.
fn mixed() -> String {
    let mut csv = String::from("id,name,town,age,when,score,grade,price,bought\n");
    for i in 0..300 {
        let age = if i % 9 == 0 { String::new() } else { (20 + i * 7 % 50).to_string() };
        let _ = writeln!(
            csv,
            "{i},\"Name, {i}\",town{},{age},2024-{:02}-{:02},{}.5,{},{},{}",
            i % 6,
            1 + i % 12,
            1 + i % 28,
            i * 13 % 97,
            1 + i % 5,
            i * i % 1013,
            ["no", "yes"][i % 2],
        );
    }
    csv
}

#[test]
fn what_is_chosen_is_said() {
    let text = text(&mixed(), &["bought"]);
    for part in [
        "# t.csv: 300 rows, 9 columns.",
        "# `bought` has two values, no, yes: which of them.\n",
        "# `id` numbers the rows: left out.\n",
        "# `name` has another value in every row: left out.\n",
        "# `age` is missing in 34 rows: the median takes its place, and one more input says where.\n",
        "\ndata target=bought drop=id,name missing_indicator=true\n",
        "\ninput auto -> dense 64 tanh -> dense 1 sigmoid\nloss bce\nadamw 0.001 weight_decay=0.1\n",
        "\ntrain epochs=200 batch=16 seed=42\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn the_target_decides_the_task() {
    let tail = |target: &[&str]| {
        let text = text(&mixed(), target);
        text.lines().find(|line| line.starts_with("input")).unwrap().to_owned()
    };
    assert!(tail(&["bought"]).ends_with("-> dense 1 sigmoid"));
    // Five whole numbers are classes, hundreds are a number.
    assert!(tail(&["grade"]).ends_with("-> dense auto softmax"));
    assert!(text(&mixed(), &["grade"]).contains("end the network with `dense 1`"));
    assert!(tail(&["price"]).ends_with("-> dense auto"));
    assert!(tail(&["town"]).ends_with("-> dense auto softmax"));
    assert!(tail(&["price", "score"]).ends_with("-> dense auto"));
}

#[test]
fn a_column_of_many_levels_is_pooled() {
    let mut csv = String::from("place,y\n");
    for i in 0..20_000 {
        // 100 places of 100 rows, and 1,000 of 10.
        let place = if i % 2 == 0 { i / 2 % 100 } else { 100 + i / 2 % 1000 };
        let _ = writeln!(csv, "place{place},{}", i % 977);
    }
    let text = text(&csv, &["y"]);
    assert!(text.contains(" min_count=11"), "{text}");
}

#[test]
fn names_are_quoted() {
    let text = text("\"a, b\",\"y z\"\n1,2\n2,4\n3,5\n", &["y z"]);
    assert!(text.contains("data target=\"y z\""), "{text}");
}

#[test]
fn targets_that_cannot_be_predicted() {
    let table = "a,b,d,y\n1,x,2024-01-01,5\n2,y,2024-01-02,5\n3,z,2024-01-03,5\n";
    assert!(refused(table, &["yy"]).contains("did you mean `y`?"));
    assert!(refused(table, &["y"]).contains("the same in every row"));
    assert!(refused(table, &["d"]).contains("holds dates"));
    assert!(refused(table, &["a", "b"]).contains("different kinds"));
    assert!(refused("y\n1\n2\n3\n", &["y"]).contains("no column is left"));
}

/// The draft for so many rows of two numbers.
fn of_size(rows: usize, target: fn(usize) -> usize) -> String {
    let mut csv = String::from("a,b,y\n");
    for i in 0..rows {
        let _ = writeln!(csv, "{},{},{}", i * 7919 % 10_007, i % 13, target(i));
    }
    text(&csv, &["y"])
}

#[test]
fn the_size_of_the_table_decides_the_training() {
    let read = |name: &str| Table::read(&Path::new("examples").join(name)).unwrap();
    let few = draft(&read("xor.csv"), &["y".to_owned()]).unwrap();
    assert!(!few.contains("validation="), "four rows are all needed: {few}");
    let iris = draft(&read("iris.csv"), &["species".to_owned()]).unwrap();
    assert!(!iris.contains("validation=") && !iris.contains("label_smoothing="), "{iris}");
    let classes = of_size(2_000, |i| i % 5);
    assert!(classes.contains("validation=0.1 patience=30"), "{classes}");
    assert!(classes.contains("loss cross_entropy label_smoothing=0.1\n"), "{classes}");
    let numbers = of_size(20_000, |i| i * i % 1013);
    assert!(numbers.contains("dense 128 relu -> dense 64 relu"), "{numbers}");
    assert!(numbers.contains("loss mse\n"), "{numbers}");
}
