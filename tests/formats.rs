//! A table written in every format is read back equal.

#![cfg(all(feature = "columnar", feature = "compressed"))]
#![allow(clippy::unwrap_used)]

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use mlpc::data::{Batch, Batches, Input, ReadOptions, Table};
use mlpc::diag::{Code, Diagnostic, Diagnostics};
use proptest::prelude::*;
use std::io::Write;
use std::sync::Arc;

/// The columns of a table, cell by cell.
#[derive(Debug, Clone)]
struct Written {
    numbers: Vec<Option<f64>>,
    texts: Vec<String>,
    truths: Vec<Option<bool>>,
    /// Microseconds.
    dates: Vec<Option<i64>>,
}

fn written() -> impl Strategy<Value = Written> {
    let number = any::<f64>().prop_filter("finite", |x| x.is_finite());
    let short = (-9999i32..9999, 0..4).prop_map(|(n, d)| f64::from(n) / 10f64.powi(d));
    let number = prop_oneof![1 => number, 3 => short];
    // Years 1 to 9999.
    let date = (-62_135_596_800_000_000i64..253_402_300_000_000_000).prop_map(|micros| {
        // Half of them at midnight.
        if micros % 2 == 0 { micros.div_euclid(86_400_000_000) * 86_400_000_000 } else { micros }
    });
    (1usize..60).prop_flat_map(move |rows| {
        (
            prop::collection::vec(prop::option::weighted(0.8, number.clone()), rows),
            prop::collection::vec("([ -~é\n\r\t\"]{0,8}|NA|[0-9]{1,3}|a|b)", rows),
            prop::collection::vec(prop::option::weighted(0.8, any::<bool>()), rows),
            prop::collection::vec(prop::option::weighted(0.8, date.clone()), rows),
        )
            .prop_map(|(numbers, texts, truths, dates)| Written {
                numbers,
                texts,
                truths,
                dates,
            })
    })
}

const NAMES: [&str; 4] = ["number", "some text", "truth", "when, exactly"];

impl Written {
    fn csv(&self, delimiter: u8, end: csv::Terminator) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .terminator(end)
            .quote_style(csv::QuoteStyle::Necessary)
            .from_writer(Vec::new());
        writer.write_record(NAMES).unwrap();
        for row in 0..self.numbers.len() {
            let date = self.dates[row]
                .map(|micros| jiff::Timestamp::from_microsecond(micros).unwrap().to_string());
            writer
                .write_record([
                    self.numbers[row].map_or("NA".to_owned(), |x| x.to_string()),
                    self.texts[row].clone(),
                    self.truths[row].map_or(String::new(), |yes| yes.to_string()),
                    date.unwrap_or_default(),
                ])
                .unwrap();
        }
        writer.into_inner().unwrap()
    }

    fn batch(&self) -> RecordBatch {
        let columns: [ArrayRef; 4] = [
            Arc::new(self.numbers.iter().copied().collect::<Float64Array>()),
            Arc::new(self.texts.iter().map(Some).collect::<StringArray>()),
            Arc::new(self.truths.iter().copied().collect::<BooleanArray>()),
            Arc::new(self.dates.iter().copied().collect::<TimestampMicrosecondArray>()),
        ];
        RecordBatch::try_from_iter(NAMES.into_iter().zip(columns)).unwrap()
    }

    fn parquet(&self) -> Vec<u8> {
        let batch = self.batch();
        let mut file = Vec::new();
        let mut writer =
            parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        file
    }

    fn arrow(&self) -> Vec<u8> {
        let batch = self.batch();
        let mut writer =
            arrow_ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn input(bytes: Vec<u8>) -> Input {
    Input::Memory { name: "t".into(), bytes: bytes.into() }
}

/// The cells, with each column's type.
fn cells(table: &Table) -> Vec<(String, &'static str, Vec<String>)> {
    let column = |column: &mlpc::data::Column| {
        let kind = match &column.values {
            mlpc::data::Values::Numbers(_) => "numbers",
            mlpc::data::Values::Dates(_) => "dates",
            mlpc::data::Values::Text(text) if text.boolean => "booleans",
            mlpc::data::Values::Text(_) => "text",
        };
        let cells = (0..table.rows()).map(|row| column.cell(row)).collect();
        (column.name.clone(), kind, cells)
    };
    table.columns.iter().map(column).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_format_reads_back_equal(written in written()) {
        let plain = written.csv(b',', csv::Terminator::Any(b'\n'));
        let read = |bytes: Vec<u8>, options: &ReadOptions| {
            Table::load(vec![input(bytes)], options).unwrap()
        };
        let options = ReadOptions::default();
        let table = read(plain.clone(), &options);

        // What was written is there, to the bit.
        prop_assert_eq!(table.rows(), written.numbers.len());
        for (row, number) in written.numbers.iter().enumerate() {
            let expected = number.map_or(String::new(), |x| x.to_string());
            prop_assert_eq!(table.columns[0].cell(row), expected);
        }
        for (row, date) in written.dates.iter().enumerate() {
            let cell = table.columns[3].cell(row);
            let found = (!cell.is_empty()).then(|| {
                let text = if cell.len() > 10 { cell + "Z" } else { cell + "T00:00Z" };
                text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
            });
            // In the year 9999, f64 seconds are 31 microseconds apart.
            let near = match (found, *date) {
                (Some(a), Some(b)) => (a - b).abs() <= 16,
                (a, b) => a == b,
            };
            prop_assert!(near, "{:?} for {:?}", found, date);
        }

        let expected = cells(&table);
        let same = |table: Table| cells(&table);
        for delimiter in [b';', b'\t', b'|'] {
            let given = ReadOptions { delimiter: Some(delimiter), ..options.clone() };
            let text = written.csv(delimiter, csv::Terminator::Any(b'\n'));
            prop_assert_eq!(&same(read(text, &given)), &expected);
        }
        let crlf = written.csv(b',', csv::Terminator::CRLF);
        prop_assert_eq!(&same(read(crlf, &options)), &expected, "CR LF");
        prop_assert_eq!(&same(read(gzip(&plain), &options)), &expected, "gzip");
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();
        prop_assert_eq!(&same(read(zstd, &options)), &expected, "zstd");
        // Dates that are all missing are dates in a file that says its types.
        let mut typed = expected.clone();
        typed[3].1 = "dates";
        prop_assert_eq!(&same(read(written.parquet(), &options)), &typed, "Parquet");
        prop_assert_eq!(&same(read(written.arrow(), &options)), &typed, "Arrow");
        let mapped = ReadOptions { in_memory: 0, ..options.clone() };
        prop_assert_eq!(&same(read(plain.clone(), &mapped)), &expected, "mapped");

        // From a cache: the first time and the next.
        let folder = tempfile::tempdir().unwrap();
        let cached = ReadOptions { cache: Some(folder.path().into()), ..options.clone() };
        for _ in 0..2 {
            let again = read(plain.clone(), &cached);
            prop_assert_eq!(&again.lines, &table.lines);
            prop_assert_eq!(&same(again), &expected, "cache");
        }
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        // As a stream.
        let mut batches = Batches::open(vec![input(written.arrow())], options.clone()).unwrap();
        let batch = batches.next_batch().unwrap().unwrap();
        for row in 0..batch.rows() {
            let cell = table.columns[0].cell(row);
            prop_assert_eq!(&*batch.text(row, 0), cell.as_bytes());
        }
    }
}

/// The bytes of a cache that has been damaged are not trusted.
#[test]
fn a_damaged_cache_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReadOptions { cache: Some(folder.path().into()), ..ReadOptions::default() };
    let text = || input(b"a,b\n1,x\n\n2,y\n".to_vec());
    let first = Table::load(vec![text()], &options).unwrap();
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&file).unwrap();
    for damage in [&whole[..whole.len() / 2], b"", b"ARROW1\0\0 and no more"] {
        std::fs::write(&file, damage).unwrap();
        assert_eq!(Table::load(vec![text()], &options).unwrap().columns, first.columns);
    }
    assert_eq!(std::fs::read(&file).unwrap(), whole);
    // Another content, another cache; so with other options.
    Table::load(vec![input(b"a,b\n1,x\n\n2,z\n".to_vec())], &options).unwrap();
    let limited = ReadOptions { limit: Some(1), ..options.clone() };
    assert_eq!(Table::load(vec![text()], &limited).unwrap().rows(), 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

/// A file of typed columns that was cut short is told from a whole one,
/// wherever it was cut.
#[test]
fn files_that_are_cut_short() {
    let rows = 0..200;
    let written = Written {
        numbers: rows.clone().map(|i| Some(f64::from(i) * 0.5)).collect(),
        texts: rows.clone().map(|i| format!("text {}", i % 7)).collect(),
        truths: rows.clone().map(|i| Some(i % 2 == 0)).collect(),
        dates: rows.map(|i| Some(i64::from(i) * 86_400_000_000)).collect(),
    };
    for whole in [written.parquet(), written.arrow()] {
        assert!(Table::load(vec![input(whole.clone())], &ReadOptions::default()).is_ok());
        for cut in [8, 12, whole.len() / 3, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
            let found = Table::load(vec![input(whole[..cut].to_vec())], &ReadOptions::default());
            let errors = found.expect_err("a part of a file").to_string();
            assert!(errors.contains("cut short: get it again"), "cut at {cut}: {errors}");
        }
    }
}

/// A long file, which threads read by parts, is the table that its bytes are, which
/// are read in one go: its cells, its lines, what is wrong with it.
#[test]
fn long_files_are_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let rows =
        |from: usize| (from..from + 60_000).map(|i| format!("{i},a{},{}.5\n", i % 7, i % 1000));
    let plain: Vec<String> = rows(0).collect();
    let with = |at: usize, line: &str| {
        let mut lines = plain.clone();
        lines.insert(at, line.to_owned());
        lines
    };
    let load = |inputs| Table::load(inputs, &ReadOptions::default()).map_err(|e| e.to_string());
    let mut stranger = plain.clone();
    stranger[55_000] = "7,b\u{e9}\u{1f600},x\n".into();
    for (case, lines) in [
        ("plain", plain.clone()),
        ("a quote", with(40_000, "1,\"a\nb,\"\"c\",2\n")),
        ("an empty line", with(50_000, "\n")),
        ("an open end", with(60_000, "1,b,2")),
        ("a ragged line", with(30_000, "1,2\n")),
        ("another level, no number", stranger),
    ] {
        let text = format!("id,level,x\n{}", lines.concat());
        assert!(text.len() > 700_000);
        let path = folder.path().join("long.csv");
        std::fs::write(&path, &text).unwrap();
        let file = || Input::File(path.clone());
        let name: Arc<str> = path.display().to_string().into();
        let memory = || Input::Memory { name: name.clone(), bytes: text.as_bytes().into() };
        // A second file begins where the first one ends.
        for (files, memories) in
            [(vec![file()], vec![memory()]), (vec![file(), file()], vec![memory(), memory()])]
        {
            let (found, expected) = (load(files.clone()), load(memories.clone()));
            assert_eq!(expected.is_err(), case == "a ragged line", "{case}");
            match (found, expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found.columns, expected.columns, "{case}");
                    assert_eq!(found.lines, expected.lines, "{case}");
                }
                (found, expected) => assert_eq!(found.err(), expected.err(), "{case}"),
            }
            // As a stream: the rows up to one that does not please.
            let stream = |inputs| {
                let mut batches = Batches::open(inputs, ReadOptions::default()).unwrap();
                let mut cells = String::new();
                let work = |batch: &Batch| {
                    let mut some = String::new();
                    for row in 0..batch.rows() {
                        let text = |column| String::from_utf8(batch.text(row, column).into_owned());
                        if text(2) == Ok("x".into()) {
                            let place = format!("{} is no number", batch.place(row));
                            return Err(Diagnostic::error(Code::DataFormat, place).into());
                        }
                        some += &format!("{:?}{:?}", text(1), text(2));
                    }
                    Ok::<_, Diagnostics>(some)
                };
                let result = batches.stream(work, |some: String| {
                    cells += &some;
                    Ok(())
                });
                // How much comes before an error depends on the sizes of batches.
                result.map(|()| cells).map_err(|errors| errors.to_string())
            };
            assert_eq!(stream(files), stream(memories), "{case}");
        }
    }
}
