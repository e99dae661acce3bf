#![allow(clippy::unwrap_used)]

use super::*;
use crate::check::model::{Activation, Data, LossKind, Missing, Scale, Unary, Width};
use crate::data::schema::Target;
use crate::data::testing::*;
use insta::assert_snapshot;

fn bind(text: &str, model: &Model) -> Dataset {
    Dataset::bind(&table(text), model).unwrap()
}

fn refused(text: &str, model: &Model) -> String {
    rendered(&Dataset::bind(&table(text), model).unwrap_err())
}

fn unscaled(data: Data) -> Data {
    Data { scale: Scale::None, target_scale: Some(Scale::None), ..data }
}

fn values(dataset: &Dataset) -> &[f32] {
    match &dataset.targets {
        Targets::Values(values) => values,
        Targets::Classes(_) => panic!("classes"),
    }
}

#[test]
fn numbers_and_categories_become_inputs() {
    let text = "n,t,y\n1,b,10\n,a,20\n3,,30\n8,b,40\n";
    let dataset = bind(text, &regression(unscaled(Data::default())));
    #[rustfmt::skip]
    assert_eq!(dataset.matrix(), [
        // n (3 is the median), t: a, b, missing
        1.0, 0.0, 1.0, 0.0,
        3.0, 1.0, 0.0, 0.0,
        3.0, 0.0, 0.0, 1.0,
        8.0, 0.0, 1.0, 0.0,
    ]);
    assert_eq!(values(&dataset), [10.0, 20.0, 30.0, 40.0]);
    assert_eq!((dataset.inputs(), dataset.outputs(), dataset.rows), (4, 1, 4));
    assert_eq!(dataset.train, [0, 1, 2, 3]);
}

#[test]
fn scaling_is_on_by_default() {
    let dataset = bind("a,y\n1,10\n3,30\n", &regression(Data::default()));
    assert_eq!(dataset.matrix(), [-1.0, 1.0]);
    assert_eq!(values(&dataset), [-1.0, 1.0]);
    // A bounded output learns the target as it is.
    let tanh = Activation::Unary(Unary::Tanh);
    let bounded = model(Width::Auto, tanh, LossKind::Mse, Data::default());
    assert_eq!(values(&bind("a,y\n1,-0.5\n3,0.5\n", &bounded)), [-0.5, 0.5]);
}

#[test]
fn statistics_and_levels_are_those_of_the_training_rows() {
    let mut text = "n,t,y\n".to_owned();
    for i in 0..20 {
        text += &format!("{i},level{i:02},{}\n", 2 * i);
    }
    let mut model = regression(Data::default());
    model.train.validation = 0.25;
    let dataset = bind(&text, &model);
    assert_eq!((dataset.train.len(), dataset.validation.len()), (15, 5));
    let n: f64 = dataset.train.iter().map(|&i| f64::from(i)).sum::<f64>() / 15.0;
    let Encoding::Number { number, .. } = &dataset.schema.columns[0].encoding else { panic!() };
    assert!((number.offset - n).abs() < 1e-12);
    assert_eq!(dataset.schema.columns[1].width(), 15);
    for &row in &dataset.validation {
        assert_eq!(dataset.codes[row as usize], inputs::NONE);
    }
    assert_eq!(
        dataset.notes,
        ["`t` has 5 values in rows held out that training has not seen: encoded as zeros"]
    );
    model.train.validation = 0.01;
    assert_snapshot!(refused(&text, &model), @r#"
    error[E205]: `validation=0.01` of 20 rows leaves no row to validate
    --> t.csv
     = help: choose another share, leave `validation` out, or add rows
    "#);
}

#[test]
fn rows_are_left_out_and_counted() {
    let text = "n,t,y\n1,a,1\n,b,2\n3,,3\n4,d,NA\n";
    let drop = Data { missing: Missing::Drop, ..Data::default() };
    let dataset = bind(text, &regression(unscaled(drop)));
    assert_eq!(values(&dataset), [1.0, 3.0]);
    assert_eq!(
        dataset.notes,
        [
            "left out 1 row: the target is missing",
            "left out 1 row: an input is missing (`missing=drop`)"
        ]
    );
    let error = Data { missing: Missing::Error, ..Data::default() };
    assert_snapshot!(refused(text, &regression(error)), @r#"
    error[E204]: `n` is missing on line 3 (`missing=error`)
    --> t.csv:3
     = help: `data missing=median` fills gaps, `missing=drop` leaves the rows out
    "#);
    assert_snapshot!(refused("a,y\n1,\n2,NA\n", &regression(Data::default())), @r#"
    error[E204]: no row is left to train on
    --> t.csv
     = note: left out 2 rows: the target is missing
     = help: fill the gaps, or choose other columns with `data target=` and `data drop=`
    "#);
}

#[test]
fn targets_are_the_last_columns_or_those_named() {
    let names = |dataset: &Dataset| dataset.schema.target.names().join(",");
    let text = "a,b,c,d\n1,2,3,4\n5,6,7,9\n";
    assert_eq!(names(&bind(text, &regression(Data::default()))), "d");
    let two =
        model(Width::Units(2), Activation::Unary(Unary::Linear), LossKind::Mse, Data::default());
    assert_eq!(names(&bind(text, &two)), "c,d");
    let data = Data { only: words(&["d"]), drop: words(&["c"]), ..Data::default() };
    let dataset = bind(text, &regression(data));
    assert_eq!((names(&dataset), dataset.inputs()), ("b".to_owned(), 1));
    assert_eq!(names(&bind(text, &regression(target(&["d", "a"])))), "d,a");

    let wide =
        model(Width::Units(4), Activation::Unary(Unary::Linear), LossKind::Mse, Data::default());
    assert_snapshot!(refused(text, &wide), @r#"
    error[E205]: the last 4 columns would be the target, but the table has 4 usable columns
    --> t.csv
     = help: a table needs a column for every output, and at least one for the inputs
    "#);
    let all = Data { drop: words(&["a", "b"]), ..target(&["c", "d"]) };
    assert_snapshot!(refused(text, &regression(all)), @r#"
    error[E203]: no column is left for the inputs
    --> t.csv
     = note: the columns are `a`, `b`, `c`, `d`
     = help: name fewer columns in `data target=` or `data drop=`
    "#);
}

#[test]
fn unknown_columns_are_all_reported() {
    let data = Data {
        drop: words(&["nme"]),
        categorical: words(&["zzz"]),
        numeric: words(&["name"]),
        ..target(&["Pric"])
    };
    assert_snapshot!(refused("name,price\na,1\n", &regression(data)), @r#"
    error[E203]: `data target=` names the column `Pric`, which the data do not have
    --> t.csv
     = note: the columns are `name`, `price`
     = help: did you mean `price`?

    error[E203]: `data drop=` names the column `nme`, which the data do not have
    --> t.csv
     = note: the columns are `name`, `price`
     = help: did you mean `name`?

    error[E203]: `data categorical=` names the column `zzz`, which the data do not have
    --> t.csv
     = note: the columns are `name`, `price`
    "#);
    let clash = Data { drop: words(&["y"]), ..target(&["y"]) };
    assert_snapshot!(refused("a,y\n1,2\n", &regression(clash)), @r#"
    error[E203]: `y` is in both `data target=` and `drop=`
     |
     = help: name it in one of them
    "#);
}

#[test]
fn cells_that_cannot_be_inputs() {
    let numeric = Data { numeric: words(&["a"]), ..Data::default() };
    let mut text = "a,y\n1,2\n?,3\n".to_owned();
    assert_snapshot!(refused(&text, &regression(numeric.clone())), @r#"
    error[E204]: `data numeric=a`, but the column holds text: `?` on line 3
    --> t.csv:3
     = help: `data categorical=a` takes it as categories
    "#);
    text += &"x,1\n".repeat(11);
    assert!(refused(&text, &regression(numeric)).contains("and 2 more"));
    assert_snapshot!(refused("a,y\n1,2\ninf,3\n1e400,3\n", &regression(Data::default())), @r#"
    error[E204]: `a` holds what is not a finite number: `inf` on line 3, `1e400` on line 4
    --> t.csv:3
     = help: leave such a cell empty, and `data missing=` says what takes its place
    "#);
    let raw = regression(unscaled(Data::default()));
    assert_snapshot!(refused("a,y\n1,2\n1e39,3\n", &raw), @r#"
    error[E204]: `a` holds numbers too large for the network: `1000000000000000000000000000000000000000` on line 3
    --> t.csv:3
     = help: scale the inputs (`data scale=standard`), or use a larger unit
    "#);
    assert_snapshot!(refused("a,y\n1e308,2\n1.5e308,3\n", &regression(Data::default())), @r#"
    error[E204]: the values of `a` are too large to be averaged
    --> t.csv
     = help: use a larger unit, or leave the column out: `data drop=a`
    "#);
    // A column that is left out may hold anything.
    let dropped = Data { drop: words(&["b"]), ..Data::default() };
    assert_eq!(bind("a,b,y\n1,inf,2\n2,3,4\n", &regression(dropped)).inputs(), 1);
}

#[test]
fn tasks() {
    let task = |text: &str, model: &Model| {
        let dataset = bind(text, model);
        match (&dataset.schema.target, &dataset.targets) {
            (Target::Regression { .. }, Targets::Values(values)) => {
                format!("number {values:?}")
            }
            (Target::Binary { labels, .. }, Targets::Values(values)) => {
                format!("binary {} {values:?}", labels.names.join("/"))
            }
            (Target::Classes { labels, .. }, Targets::Classes(classes)) => {
                format!("classes {} {classes:?}", labels.names.join("/"))
            }
            (Target::MultiLabel { columns }, Targets::Values(values)) => {
                let labels: Vec<String> =
                    columns.iter().map(|(name, l)| format!("{name}={}", l.names[1])).collect();
                format!("labels {} {values:?}", labels.join(","))
            }
            other => panic!("{other:?}"),
        }
    };
    let yes = sigmoid(Data::default());
    assert_eq!(task("a,y\n1,yes\n2,no\n", &yes), "binary no/yes [1.0, 0.0]");
    assert_eq!(task("a,y\n1,1\n2,0\n", &yes), "binary 0/1 [1.0, 0.0]");
    assert_eq!(task("a,y\n1,True\n2,FALSE\n", &yes), "binary FALSE/True [1.0, 0.0]");
    assert_eq!(task("a,y\n1,10\n2,9\n", &yes), "binary 9/10 [1.0, 0.0]");
    assert_eq!(task("a,y\n1,0.25\n2,0\n3,1\n", &yes), "number [0.25, 0.0, 1.0]");
    let two = sigmoid(target(&["y", "z"]));
    let labels = "labels y=1,z=1 [0.0, 1.0, 0.0, 0.0]";
    assert_eq!(task("a,y,z\n1,0,1\n2,0,0\n", &two), labels);
    let soft = softmax(Data::default());
    assert_eq!(task("a,y\n1,10\n2,9\n3,x\n", &soft), "classes 10/9/x [0, 1, 2]");
    assert_eq!(task("a,y\n1,10\n2,9\n3,9\n", &soft), "classes 9/10 [1, 0, 0]");
}

#[test]
fn decimal_commas_are_no_categories() {
    let text = "a;b;y\n1,5;x;2\n-0,25;z;3\n7;x;1\n";
    assert_snapshot!(refused(text, &regression(Data::default())), @r#"
    error[E204]: `a` holds numbers with a decimal comma: `1,5` on line 2, `-0,25` on line 3
    --> t.csv:2
     = note: a comma between groups of three digits is left out; no other is read as a number
     = help: write them with a point, as in `1.5`; `data categorical=a` takes them as categories
    "#);
    let asked_for = Data { categorical: words(&["a"]), ..Data::default() };
    assert!(Dataset::bind(&table(text), &regression(asked_for)).is_ok());
    let target = "a;y\n1;2,5\n2;3,5\n";
    assert!(
        refused(target, &regression(Data::default())).contains("`y` holds numbers with a decimal")
    );
    // Words between them make it a text.
    let words = table("a;y\n1,5;1\nnone;2\n2,5;3\n");
    assert!(Dataset::bind(&words, &regression(Data::default())).is_ok());
}

#[test]
fn targets_that_do_not_fit_the_network() {
    let text = "a,y\n1,red\n2,green\n3,blue\n";
    let none = Data::default;
    assert_snapshot!(refused(text, &regression(none())), @r#"
    error[E204]: the target `y` is to be a number, but holds text: `red` on line 2, `green` on line 3, `blue` on line 4
    --> t.csv:2
     = help: it has 3 values: end with `dense auto softmax` to predict which, or mend the cells
    "#);
    assert_snapshot!(refused("a,y\n1,red\n2,blue\n", &regression(none())), @r#"
    error[E204]: the target `y` is to be a number, but holds text: `red` on line 2, `blue` on line 3
    --> t.csv:2
     = help: it has 2 values, `blue`, `red`: end with `dense 1 sigmoid` to tell them apart
    "#);
    assert_snapshot!(refused(text, &sigmoid(none())), @r#"
    error[E205]: a `sigmoid` output tells two values apart, but the target `y` has 3: `blue`, `green`, `red`
    --> t.csv
     = help: end with `dense auto softmax`
    "#);
    assert_snapshot!(refused("a,y\n1,1\n2,5\n3,9\n", &sigmoid(none())), @r#"
    error[E204]: the target `y` goes from 1 to 9, but the network's outputs go from 0 to 1
    --> t.csv
     = help: end with `dense 1` (no activation) to predict a number, with `dense auto softmax` to predict a class, or scale it: `data target_scale=minmax`
    "#);
    assert_snapshot!(refused("a,y\n1,1\n2,1\n", &softmax(none())), @r#"
    error[E204]: the target `y` is `1` in every row
    --> t.csv
     = help: a classifier needs rows of at least two classes; is it the right column?
    "#);
    assert_snapshot!(refused("a,y,z\n1,1,1\n2,2,2\n", &softmax(target(&["y", "z"]))), @r#"
    error[E205]: `softmax` chooses one class, but there are 2 target columns: `y`, `z`
    --> t.csv
     = help: name one column in `data target=`, or end with `sigmoid` for a yes or no each
    "#);
    let four = model(Width::Units(4), Activation::Softmax, LossKind::CrossEntropy, none());
    assert_snapshot!(refused(text, &four), @r#"
    error[E205]: the network has 4 outputs, but the target `y` has 3 classes
    --> t.csv
     = note: the classes are `blue`, `green`, `red`
     = help: write `dense 3` or `dense auto` for the last layer
    "#);
}

#[test]
fn encoded_size_is_checked_first() {
    let mut text = "name,y\n".to_owned();
    for i in 0..100 {
        text += &format!("n{i},{i}\n");
    }
    let error = Dataset::bind_within(&table(&text), &regression(Data::default()), 300);
    assert_snapshot!(rendered(&error.unwrap_err()), @r#"
    error[E205]: the inputs of 100 rows would take 400 bytes; the limit is 300 bytes
    --> t.csv
     = help: use a part of the rows (`--limit`), or leave columns out with `data drop=`
    "#);
}

#[test]
fn the_examples() {
    let read = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        Table::read(&path).unwrap()
    };
    let mut iris = softmax(target(&["species"]));
    iris.train.validation = 0.2;
    let dataset = Dataset::bind(&read("iris.csv"), &iris).unwrap();
    assert_eq!((dataset.rows, dataset.inputs(), dataset.outputs()), (150, 4, 3));
    assert_eq!((dataset.train.len(), dataset.validation.len()), (120, 30));
    // The rows are sorted by class; both sides hold every one.
    let Targets::Classes(classes) = &dataset.targets else { panic!("not classes") };
    for side in [&dataset.train, &dataset.validation] {
        let of_class = |class| side.iter().filter(|&&row| classes[row as usize] == class).count();
        assert!((0..3).all(|class| of_class(class) > 5));
    }
    assert_snapshot!(dataset.schema.describe().join("\n"), @r#"
    sepal_length  number  4.3 to 7.9                                      (x - 5.862) / 0.8311
    sepal_width   number  2.2 to 4.4                                      (x - 3.05) / 0.4448
    petal_length  number  1 to 6.9                                        (x - 3.759) / 1.763
    petal_width   number  0.1 to 2.5                                      (x - 1.207) / 0.7565
    species       target  3 classes: `setosa`, `versicolor`, `virginica`  3 outputs
    "#);
    let xor = Dataset::bind(&read("xor.csv"), &sigmoid(Data::default())).unwrap();
    assert_eq!(xor.matrix(), [-1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0]);
    assert_eq!(values(&xor), [0.0, 1.0, 1.0, 0.0]);
}

/// The rows of each part by the number in their column `n`.
fn parts(text: &str, model: &Model) -> [Vec<f32>; 3] {
    let dataset = bind(text, model);
    let of = |rows: &Vec<u32>| {
        rows.iter().map(|&row| dataset.dense[row as usize * dataset.inputs()]).collect()
    };
    [of(&dataset.train), of(&dataset.validation), of(&dataset.test)]
}

#[test]
fn a_column_splits_the_rows() {
    let text = "n,s,y\n1,train,1\n2,TEST,2\n3,val,3\n4,train,\n5,train,5\n6,2,6\n7,0,7\n";
    let data = Data { split: Some("s".into()), ..unscaled(Data::default()) };
    let mut model = regression(data);
    // The row without a target has no part; the column is no input.
    assert_eq!(parts(text, &model), [vec![1.0, 5.0, 7.0], vec![3.0], vec![2.0, 6.0]]);
    assert_eq!(bind(text, &model).inputs(), 1);
    model.train.validation = 0.3;
    assert_snapshot!(refused(text, &model), @r#"
    error[E106]: `s` marks the rows to validate on, and `validation=0.3` asks for others
    --> t.csv
     = help: leave `validation=` out, or mark those rows for training
    "#);
    // Where no row is marked to validate on, those to train on give a share.
    let [train, validation, test] = parts(&text.replace("val", "test"), &model);
    assert_eq!((train.len(), validation.len(), test), (2, 1, vec![2.0, 3.0, 6.0]));
    assert!(refused(&text.replace("val", "vaal"), &model).contains("not `vaal` on line 4"));
    let clash = Data { split: Some("y".into()), ..target(&["y"]) };
    assert!(
        refused(text, &regression(clash)).contains("`y` is in both `data target=` and `split=`")
    );
}

#[test]
fn the_test_rows_teach_nothing() {
    let text = "n,c,s,y\n1,a,0,1\n3,a,0,3\n100,b,2,1000\n-50,b,1,-77\n";
    let data = Data { split: Some("s".into()), ..Data::default() };
    let dataset = bind(text, &regression(data));
    assert_snapshot!(dataset.schema.describe().join("\n"), @r#"
    n  number    1 to 3                     x - 2
    c  left out  `a` in every training row  nothing
    y  target    a number                   (y - 2) / 1
    "#);
}

#[test]
fn groups_are_not_torn_apart() {
    let mut text = "n,g,y\n".to_owned();
    for i in 0..40 {
        text += &format!("{i},{},{}\n", ["x", "y", "z", "w", "v"][i % 5], i % 2);
    }
    let data = Data { group: Some("g".into()), ..unscaled(Data::default()) };
    let mut model = regression(data);
    model.train.validation = 0.25;
    let [train, validation, test] = parts(&text, &model);
    assert_eq!((train.len(), validation.len(), test.len()), (32, 8, 0));
    assert!(validation.windows(2).all(|pair| pair[1] - pair[0] == 5.0), "{validation:?}");
    let one = text.replace(['y', 'z', 'w', 'v'], "x").replace("n,g,x", "n,g,y");
    assert_snapshot!(refused(&one, &model), @r#"
    error[E205]: `validation=0.25` of 40 rows in groups of equal `g` leaves no row to validate
    --> t.csv
     = help: choose another share, leave `validation` out, or add rows
    "#);
}

#[test]
fn classes_are_held_out_in_their_shares() {
    let mut text = "n,y\n".to_owned();
    for i in 0..100 {
        text += &format!("{i},{}\n", if i < 90 { "often" } else { "seldom" });
    }
    for model in [softmax(unscaled(Data::default())), sigmoid(unscaled(Data::default()))] {
        let mut model = model;
        model.train.validation = 0.2;
        let [_, validation, _] = parts(&text, &model);
        assert_eq!(validation.len(), 20);
        assert_eq!(validation.iter().filter(|&&n| n >= 90.0).count(), 2);
    }
}
