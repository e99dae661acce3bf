//! Nasty tables: what each becomes, or the message that it gets.
//!
//! One list of cases; `snapshots/nasty__tables.snap` holds what is expected of
//! each, to be read like a table.

#![allow(clippy::unwrap_used)]

use mlpc::data::{BadRow, Input, ReadOptions, Table, Values, expand};
use mlpc::diag::{Sources, render};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A file, how it is read, and what the case is about.
struct Case {
    name: &'static str,
    file: &'static str,
    bytes: Vec<u8>,
    options: ReadOptions,
}

fn case(name: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    let bytes = bytes.as_ref().to_vec();
    Case { name, file: "t.csv", bytes, options: ReadOptions::default() }
}

impl Case {
    fn file(self, file: &'static str) -> Case {
        Case { file, ..self }
    }

    fn with(mut self, change: impl FnOnce(&mut ReadOptions)) -> Case {
        change(&mut self.options);
        self
    }

    fn skip(self) -> Case {
        self.with(|options| options.bad_row = BadRow::Skip)
    }
}

#[cfg(feature = "compressed")]
fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Rows of numbers beyond the first block, then other lines.
fn long(then: &str) -> String {
    let mut text = "a,b\n".to_owned();
    for i in 0..60_000 {
        writeln!(text, "{i},{}", i % 7).unwrap();
    }
    text + then
}

fn cases() -> Vec<Case> {
    let plain = "a,b\n1,x\n2,y\n";
    let wide = |rows: usize| {
        let row =
            |cell: &dyn Fn(usize) -> String| (0..10_000).map(cell).collect::<Vec<_>>().join(",");
        let mut text = row(&|i| format!("c{i}"));
        for r in 0..rows {
            text += "\n";
            text += &row(&|i| (i + r).to_string());
        }
        text
    };
    vec![
        // Line ends and what is around a text.
        case("lines end with CR LF", "a,b\r\n1,x\r\n2,y\r\n"),
        case("lines end with CR", "a,b\r1,x\r2,y\r"),
        case("the last line has no end", "a,b\n1,x\n2,y"),
        case("a byte order mark", "\u{feff}a,b\n1,x\n2,y\n"),
        case("empty lines", "\n\na,b\n\n1,x\n\n\n2,y\n\n"),
        // Dialects.
        case("semicolons", "a;b\n1;x\n2;y\n"),
        case("tabs", "a\tb\n1\tx\n2\ty\n").file("t.tsv"),
        case("pipes", "a|b\n1|x\n2|y\n"),
        case("semicolons, and commas in the cells", "a;b\n1;x,y\n2;z,\n"),
        case("a delimiter that is given", "a:b\n1:x\n2:y\n").with(|o| o.delimiter = Some(b':')),
        case("the wrong delimiter is given", plain).with(|o| o.delimiter = Some(b';')),
        case("no header", "1,x\n2,y\n").with(|o| o.headers = false),
        case("a header that looks like a row", "1,2\n3,4\n"),
        case("a limit", plain).with(|o| o.limit = Some(1)),
        case("a limit of nothing", plain).with(|o| o.limit = Some(0)),
        // Quotes.
        case("quoted delimiters, line ends and quotes", "a,b\n1,\"x,\n\"\"y\"\"\"\n\"2\",\"\"\n"),
        case("a quote in the middle of a cell", "a,b\n1,5\" pipe\n2,6\" \"pipe\"\n"),
        case("text behind a closing quote", "a,b\n1,\"x\"y\n"),
        case("a quote left open", "a,b\n1,\"x\n2,y\n3,z\n"),
        case("quoted names", "\" a \",\"b,c\"\n1,x\n"),
        // Shapes.
        case("an empty file", ""),
        case("empty lines alone", "\n\n\n"),
        case("a header and no rows", "a,b\n"),
        case("one row", "a,b\n1,x\n"),
        case("one column", "a\n1\n2\n"),
        case("one column with gaps", "a\n1\n\"\"\n3\n"),
        case("a row too short", "a,b,c\n1,2,3\n4,5\n6,7,8\n"),
        case("a row too long", "a,b\n1,2\n3,4,5\n"),
        case("many bad rows", format!("a,b\n{}", "1\n".repeat(25))),
        case("bad rows, skipped", "a,b\n1,2\n3\n4,5,6\n7,8\n").skip(),
        case("all rows bad, skipped", "a,b\n1\n2\n").skip(),
        case("10,000 columns", wide(2)),
        case("10,000 columns and a short row", wide(1) + "\n1,2\n"),
        // Names.
        case("two columns of one name", "a,b,a\n1,2,3\n"),
        case("a column without a name", "a,,c\n1,2,3\n"),
        case("a name in Latin-1", b"a,\xe9\n1,2\n"),
        // Bytes.
        case("Latin-1", b"a,b\n1,caf\xe9\n2,th\xe9\n3,x\n"),
        case("Latin-1, skipped", b"a,b\n1,caf\xe9\n2,th\xe9\n3,x\n").skip(),
        case("Latin-1 among numbers", b"a,b\n1,2\n2,\xe9\n"),
        case("a NUL byte", b"a,b\n1,x\n2,\0\n"),
        case("a NUL byte, skipped", b"a,b\n1,x\n2,\0\n3,y\n").skip(),
        case("UTF-16", b"\xff\xfea\0,\0b\0\n\0"),
        case("a zip archive or a spreadsheet", b"PK\x03\x04\x14\x00\x06\x00").file("t.xlsx"),
        case("an old spreadsheet", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1").file("t.xls"),
        case("a Feather file of version 1", b"FEA1\0\0\0\0").file("t.feather"),
        case("a cell of a megabyte", format!("a,b\n1,{}\n", "x".repeat(1 << 20))),
        // Numbers.
        case("numbers too large for f64", "a,b\n1,x\n1e400,y\n-1e999,z\n"),
        case("infinities", "a\n1\ninf\n-Infinity\n"),
        case("words for missing", "a,b\n1,x\nNaN,NA\nnull,None\n#N/A,n/a\n,\n"),
        case("question marks are text", "a\n1\n?\n"),
        case("too small for f64", "a\n1\n1e-400\n"),
        case("commas between groups of digits", "a,b\n\"1,234\",x\n\"12,345,678.5\",y\n12,z\n"),
        case("decimal commas", "a;b\n1,5;x\n2,25;y\n"),
        case("blanks around numbers", "a,b\n 1 , x\n2\t, y\n"),
        case("signs, exponents and points", "a\n+1\n-2e3\n.5\n5.\n0x10\n"),
        case("more digits than f64 has", "a\n9007199254740993\n0.1000000000000000055\n"),
        // Types.
        case("booleans", "a\ntrue\nFALSE\nTrue\n\n"),
        case("yes and no are text", "a\nyes\nno\n"),
        case("dates", "a\n2024-02-29\nNA\n2024-03-01T12:30:00+01:00\n"),
        case("no such date", "a\n2024-02-29\n2023-02-29\n"),
        case("dates and numbers", "a\n2024-02-29\n20240301\n"),
        case("a gap everywhere", "a,b\n,1\n,2\n"),
        case("text far behind numbers", long("007,?\n8,9\n")),
        case("a date far behind gaps", {
            let gaps = format!("a,b\n{}", "NA,1\n".repeat(80_000));
            gaps + "2024-01-01,2\n"
        }),
        case("a short row far behind", long("1\n2,3\n")),
    ]
}

#[cfg(feature = "compressed")]
fn compressed() -> Vec<Case> {
    let text = "a,b\n1,x\n2,y\n".as_bytes();
    let whole = gzip(&long("1,2\n").into_bytes());
    let zstd = zstd::encode_all(text, 1).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 40].fill(0xaa);
    vec![
        case("gzip", gzip(text)).file("t.csv.gz"),
        case("gzip under another name", gzip(text)),
        case("gzip in two parts", [gzip(&text[..6]), gzip(&text[6..])].concat()).file("t.csv.gz"),
        case("gzip cut short", &whole[..whole.len() / 2]).file("t.csv.gz"),
        case("gzip cut short in its first bytes", &whole[..12]).file("t.csv.gz"),
        case("damaged gzip", damaged).file("t.csv.gz"),
        case("the name says gzip, the content is a text", text).file("t.csv.gz"),
        case("zstd", &zstd).file("t.csv.zst"),
        case(
            "zstd in two parts",
            [&zstd[..], &zstd::encode_all(&b"3,z\n"[..], 1).unwrap()].concat(),
        )
        .file("t.csv.zst"),
        case("zstd cut short", &zstd[..zstd.len() - 4]).file("t.csv.zst"),
    ]
}

/// A table in a few words.
fn words(table: &Table) -> String {
    let mut text = format!("{} × {}", table.rows(), table.columns.len());
    for column in table.columns.iter().take(3) {
        let kind = match &column.values {
            Values::Numbers(_) => "numbers",
            Values::Dates(_) => "dates",
            Values::Text(text) if text.boolean => "booleans",
            Values::Text(_) => "text",
        };
        let rows = if table.rows() <= 5 { 0..table.rows() } else { table.rows() - 2..table.rows() };
        let cells: Vec<String> = rows
            .map(|row| column.cell(row).escape_debug().to_string())
            .map(|cell| match cell.len() {
                0..=40 => cell,
                n => format!("({n} bytes)"),
            })
            .collect();
        write!(text, "\n  {}: {kind}: {}", column.name, cells.join(" | ")).unwrap();
    }
    for note in &table.notes {
        write!(text, "\n  note: {note}").unwrap();
    }
    text
}

/// What reading gives, without the path of the folder.
fn outcome(folder: &Path, paths: &[PathBuf], options: &ReadOptions) -> String {
    let found = expand(paths).and_then(|inputs| Table::load(inputs, options));
    let text = match found {
        Ok(table) => words(&table),
        Err(errors) => {
            let shown = render(errors.iter(), &Sources::default(), false);
            // The last of many like it says how many more there are.
            let blocks: Vec<&str> = shown.trim_end().split("\n\n").collect();
            match blocks.as_slice() {
                [first, .., last] if blocks.len() > 3 => {
                    format!("{first}\n\n({} more)\n\n{last}", blocks.len() - 2)
                }
                _ => shown.trim_end().to_owned(),
            }
        }
    };
    text.replace(&format!("{}/", folder.display()), "").replace(&folder.display().to_string(), ".")
}

#[test]
fn tables() {
    insta::assert_snapshot!(outcomes(&cases()));
}

#[cfg(feature = "compressed")]
#[test]
fn compressed_tables() {
    insta::assert_snapshot!(outcomes(&compressed()));
}

fn outcomes(cases: &[Case]) -> String {
    let folder = TempDir::new().unwrap();
    let mut text = String::new();
    for case in cases {
        let path = folder.path().join(case.file);
        std::fs::write(&path, &case.bytes).unwrap();
        let outcome = outcome(folder.path(), std::slice::from_ref(&path), &case.options);
        writeln!(text, "## {}\n{outcome}\n", case.name).unwrap();
        std::fs::remove_file(&path).unwrap();
    }
    text
}

#[test]
fn files() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let file = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    file("1.csv", "a,b\n1,x\n2,y\n");
    file("2.csv", "b;a;c\nz;3;\n;4;\n");
    file("3.csv", "a\n5\n");
    file("4.csv", "b,a\nz,6\nshort\n");
    file("[x].csv", "a,b\n1,x\n");
    let mut text = String::new();
    let mut check = |name: &str, paths: &[&str], options: &ReadOptions| {
        let paths: Vec<PathBuf> = paths.iter().map(|name| path(name)).collect();
        let outcome = outcome(folder.path(), &paths, options);
        writeln!(text, "## {name}\n{outcome}\n").unwrap();
    };
    let options = ReadOptions::default();
    check("a file that is not there", &["no.csv"], &options);
    check("a directory", &["."], &options);
    check("a pattern that matches nothing", &["*.tsv"], &options);
    check("a name that looks like a pattern", &["[x].csv"], &options);
    check("a pattern that is none", &["[1-.csv"], &options);
    check("columns of several files are found by name", &["1.csv", "2.csv"], &options);
    check("a pattern", &["[12].csv"], &options);
    check("a column is missing in the second file", &["1.csv", "3.csv"], &options);
    check("a bad row in the second file", &["1.csv", "4.csv"], &options);
    let limited = ReadOptions { limit: Some(3), ..ReadOptions::default() };
    check("a limit over several files", &["1.csv", "2.csv"], &limited);
    insta::assert_snapshot!(text);
}

/// Root may read everything; then there is nothing to test, and this is said.
#[cfg(unix)]
#[test]
#[allow(clippy::print_stderr)]
fn a_file_without_permission() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, "a\n1\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        eprintln!("skipped: this user may read any file");
        return;
    }
    let outcome = outcome(folder.path(), &[path], &ReadOptions::default());
    assert!(outcome.contains("no permission to read `t.csv`"), "{outcome}");
}

/// A text that comes through a pipe can be read twice all the same, and the
/// pipe is opened once: whoever writes into it must not see it closed.
#[cfg(unix)]
#[test]
fn a_named_pipe() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let (done, written) = std::sync::mpsc::channel();
    let writer = path.clone();
    std::thread::spawn(move || done.send(std::fs::write(writer, long("x,y\n"))).unwrap());
    let (done, read) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(Table::read(&path)).unwrap());
    // A pipe that was opened twice may never end.
    let patience = std::time::Duration::from_secs(60);
    written.recv_timeout(patience).expect("the writer ends").expect("all was read");
    let table = read.recv_timeout(patience).expect("the reader ends").unwrap();
    assert_eq!(table.rows(), 60_001);
    assert_eq!(table.column("a").unwrap().cell(60_000), "x");
    assert_eq!(table.column("a").unwrap().cell(7), "7");
}

/// Neither the number of threads nor where the cells are kept shows.
#[test]
fn threads_and_storage_do_not_matter() {
    let mut text = "n,t,d,late\n".to_owned();
    for i in 0..50_000 {
        let late = if i == 40_000 { "x".to_owned() } else { i.to_string() };
        let day = 1 + i % 28;
        writeln!(text, "{}.5,level{},2024-01-{day:02},{late}", i % 1000, i * 7 % 311).unwrap();
    }
    let read = |threads: usize, in_memory: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let input = Input::Memory { name: "t.csv".into(), bytes: text.as_bytes().into() };
        let options = ReadOptions { in_memory, ..ReadOptions::default() };
        let mut table = pool.install(|| Table::load(vec![input], &options)).unwrap();
        table.storage = Default::default();
        table
    };
    let first = read(1, u64::MAX);
    assert_eq!(first.rows(), 50_000);
    assert_eq!(first.columns[1].cell(310), format!("level{}", 310 * 7 % 311));
    assert_eq!(first.columns[3].cell(40_000), "x");
    for (threads, in_memory) in [(3, u64::MAX), (1, 0), (4, 0)] {
        assert_eq!(read(threads, in_memory), first, "{threads} threads, {in_memory} bytes");
    }
}
