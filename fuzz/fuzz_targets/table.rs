//! Any bytes through the reader of tables and the encoder.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mlpc::check::model::Model;
use mlpc::data::{BadRow, Dataset, Encoder, Input, ReadOptions, Table};
use mlpc::diag::{Sources, render};
use std::sync::LazyLock;

static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| {
    ["input auto -> dense auto", "input auto -> dense auto softmax"]
        .iter()
        .map(|text| mlpc::compile(text).expect("a valid model"))
        .collect()
});

fuzz_target!(|bytes: &[u8]| {
    let [how, bytes @ ..] = bytes else { return };
    let options = ReadOptions {
        delimiter: [None, None, Some(b';'), Some(b'x')][usize::from(how & 3)],
        headers: how & 4 == 0,
        bad_row: if how & 8 == 0 { BadRow::Error } else { BadRow::Skip },
        limit: (how & 16 != 0).then_some(3),
        ..ReadOptions::default()
    };
    let input = || vec![Input::Memory { name: "t.csv".into(), bytes: bytes.into() }];
    let table = Table::load(input(), &options);
    let mapped = Table::load(input(), &ReadOptions { in_memory: 0, ..options.clone() });
    let table = match (table, mapped) {
        (Ok(table), Ok(mapped)) => {
            // NaN is no equal of itself; its cell is.
            for (a, b) in table.columns.iter().zip(&mapped.columns) {
                assert_eq!(a.name, b.name);
                (0..table.rows()).for_each(|row| assert_eq!(a.cell(row), b.cell(row)));
            }
            table
        }
        (Err(errors), Err(others)) => {
            assert_eq!(errors, others);
            assert!(!render(errors.iter(), &Sources::default(), false).is_empty());
            return;
        }
        (a, b) => panic!("{a:?} in memory, {b:?} mapped"),
    };
    for model in &*MODELS {
        let Ok(dataset) = Dataset::bind_within(&table, model, 1 << 26) else { continue };
        let layout = dataset.layout();
        assert_eq!(dataset.dense.len(), dataset.rows * layout.dense);
        assert_eq!(dataset.codes.len(), dataset.rows * layout.categories.len());
        assert!(dataset.dense.iter().all(|x| x.is_finite()));
        assert_eq!(dataset.matrix().len(), dataset.rows * dataset.inputs());
        let names: Vec<String> = table.names().map(str::to_owned).collect();
        assert!(Encoder::new(&dataset.schema, "t.csv", &names).is_ok());
    }
});
