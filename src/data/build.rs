//! Batches to a table: types told from the whole file.
//!
//! A column is numbers where every cell that is there is one, else dates
//! where every one is, else text. Which it is shows only at the end, so the
//! first batch gives a guess, and a first pass reads every column as that.
//! Where the guess was wrong, a second pass reads that column again as what
//! remains: nothing of a cell is lost, and no cell is ever a `String` of its
//! own. Batches are scanned and parsed in parallel; then columns, in
//! parallel, take up the batches' cells in their order.

use super::batch::{Batch, Column as View, TextColumn, number_of};
use super::buffer::{Sinks, Storage};
use super::cell::{self, Cell};
use super::dictionary::{self, Dictionary, Known};
use super::read::{Batches, Input, Piece, ReadOptions, Scanned, count, no_room, with_rest};
use super::table::{Column, Infinite, SHOWN, Table, Text, Values, merge_booleans, not_utf8};
use crate::diag::{Code, Diagnostic, Diagnostics};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use rayon::prelude::*;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;

/// What a column is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Numbers,
    Dates,
    Text,
    /// It is not read in this pass.
    Passed,
}

/// A batch's cells of one column.
enum Part {
    Numbers(Numbers),
    Dates(Vec<f64>),
    Text(Dictionary),
    /// The batch's own numbers or dates, as they are; whether there is any.
    Own(bool),
    /// A cell is not of the kind.
    Wrong,
    Passed,
}

#[derive(Default)]
struct Numbers {
    cells: Vec<f64>,
    infinite: Infinite,
    /// Whether there is a cell that is not missing.
    any: bool,
    /// Cells with commas between their digits: the first, and how many.
    grouped: (Option<String>, usize),
}

/// A batch and its columns.
struct Parsed {
    scanned: Scanned,
    parts: Vec<Part>,
}

/// A column that is being put together.
struct Builder {
    kind: Kind,
    rows: usize,
    infinite: Infinite,
    any_number: bool,
    grouped: (Option<String>, usize),
    levels: Vec<String>,
    known: HashTable<u32>,
    hasher: RandomState,
    /// The first levels, for the next batches.
    first_levels: Option<Arc<Known>>,
    /// A cell was not of the kind.
    wrong: bool,
    bad_text: Vec<Diagnostic>,
    bad_texts: u64,
}

impl Builder {
    fn new(kind: Kind) -> Builder {
        Builder {
            kind,
            rows: 0,
            infinite: Infinite::default(),
            any_number: false,
            grouped: (None, 0),
            levels: Vec::new(),
            known: HashTable::new(),
            hasher: RandomState::default(),
            first_levels: None,
            wrong: false,
            bad_text: Vec::new(),
            bad_texts: 0,
        }
    }
}

/// Reads a whole table, or finds it in the cache.
pub(super) fn table(inputs: Vec<Input>, options: &ReadOptions) -> Result<Table, Diagnostics> {
    let inputs: Vec<Input> = inputs.into_iter().map(Input::replayable).collect::<Result<_, _>>()?;
    match &options.cache {
        None => read(&inputs, options),
        Some(folder) => cached(folder, &inputs, options),
    }
}

#[cfg(feature = "columnar")]
fn cached(folder: &Path, inputs: &[Input], options: &ReadOptions) -> Result<Table, Diagnostics> {
    use super::cache::{Entry, entry, keep, place};
    let path = place(folder, inputs, options)?;
    if let Some(Entry { source, notes, lines }) = entry(&path) {
        let kept = ReadOptions { limit: None, ..options.clone() };
        if let Ok(table) = read(&[Input::File(path.clone())], &kept)
            && table.rows() == lines.len()
        {
            return Ok(Table { source, notes, lines, ..table });
        }
    }
    // There is none, or it is damaged.
    let table = read(inputs, options)?;
    keep(&path, &table)?;
    Ok(table)
}

#[cfg(not(feature = "columnar"))]
fn cached(_: &Path, _: &[Input], _: &ReadOptions) -> Result<Table, Diagnostics> {
    Err(Diagnostic::error(Code::Usage, "this build keeps no cache")
        .help("build it with the feature `columnar`")
        .into())
}

/// Reads a whole table from inputs that can be read again.
fn read(inputs: &[Input], options: &ReadOptions) -> Result<Table, Diagnostics> {
    let bytes = inputs.iter().map(|input| input.bytes()).sum::<Option<u64>>();
    let storage = match (&options.cache, bytes) {
        (_, Some(bytes)) if bytes <= options.in_memory => Storage::Memory,
        (Some(folder), _) => {
            std::fs::create_dir_all(folder).map_err(|error| no_room(&error))?;
            Storage::Folder(folder.clone())
        }
        (None, _) => Storage::Folder(std::env::temp_dir()),
    };

    let mut pass = Pass::new(inputs, options, &storage, bytes)?;
    pass.run(None)?;
    let Pass { batches, mut builders, numbers, texts, lines, .. } = pass;
    if lines.is_empty() {
        let mut error = Diagnostic::error(Code::DataFormat, "the table has a header but no rows")
            .in_file(batches.source(), None)
            .help("add rows below the line of column names");
        error.notes = batches.notes();
        return Err(error.into());
    }
    let mut notes = batches.notes();
    let finish = |sinks: Sinks<f64>, codes: Sinks<u32>| Ok((sinks.finish()?, codes.finish()?));
    let (mut cells, mut codes) = finish(numbers, texts).map_err(|error| no_room(&error))?;

    // What the guesses have missed; at the third pass all is text.
    while builders.iter().any(|builder| builder.wrong) {
        let next = |builder: &Builder| match builder {
            Builder { wrong: false, .. } => Kind::Passed,
            Builder { kind: Kind::Numbers, any_number: false, .. } => Kind::Dates,
            _ => Kind::Text,
        };
        let kinds: Vec<Kind> = builders.iter().map(next).collect();
        let mut pass = Pass::new(inputs, options, &storage, bytes)?;
        pass.run(Some(&kinds))?;
        if pass.lines != lines {
            return Err(Diagnostic::error(
                Code::DataFile,
                format!("`{}` has changed while it was read", batches.source()),
            )
            .help("wait until it is complete")
            .into());
        }
        let Pass { builders: again, numbers, texts, .. } = pass;
        let (new_cells, new_codes) = finish(numbers, texts).map_err(|error| no_room(&error))?;
        let new = again.into_iter().zip(new_cells).zip(new_codes).enumerate();
        for (i, ((builder, new_cells), new_codes)) in new {
            if kinds[i] != Kind::Passed {
                (builders[i], cells[i], codes[i]) = (builder, new_cells, new_codes);
            }
        }
    }

    let errors: Vec<Diagnostic> = builders
        .iter_mut()
        .flat_map(|builder| {
            let more = builder.bad_texts - builder.bad_text.len() as u64;
            with_rest(std::mem::take(&mut builder.bad_text), more)
        })
        .collect();
    Diagnostics::none_of(errors, || ())?;

    let mut columns = Vec::with_capacity(builders.len());
    let parts = builders.into_iter().zip(cells).zip(codes);
    for (name, ((builder, cells), codes)) in batches.header().iter().zip(parts) {
        if let (Some(first), n @ 1..) = builder.grouped
            && builder.kind == Kind::Numbers
        {
            notes.push(format!(
                "`{name}` has {} with commas between groups of digits: `{first}` is read as {}",
                count(n, "number"),
                first.replace(',', "")
            ));
        }
        let values = match builder.kind {
            Kind::Numbers => Values::Numbers(cells),
            Kind::Dates => Values::Dates(cells),
            Kind::Text => {
                let mut text = Text { codes, levels: builder.levels, boolean: false };
                merge_booleans(&mut text);
                Values::Text(text)
            }
            Kind::Passed => unreachable!("every column has been read in some pass"),
        };
        columns.push(Column { name: name.clone(), values, infinite: builder.infinite });
    }
    let source = batches.source().to_owned();
    Ok(Table { source, columns, lines, notes, storage })
}

/// One reading of the whole table.
struct Pass {
    batches: Batches,
    builders: Vec<Builder>,
    numbers: Sinks<f64>,
    texts: Sinks<u32>,
    lines: super::lines::Lines,
    /// The bytes of the inputs, where they are known.
    bytes: Option<u64>,
    errors: Vec<Diagnostic>,
    bad_rows: u64,
}

impl Pass {
    fn new(
        inputs: &[Input],
        options: &ReadOptions,
        storage: &Storage,
        bytes: Option<u64>,
    ) -> Result<Pass, Diagnostics> {
        let batches = Batches::open(inputs.to_vec(), options.clone())?;
        let width = batches.header().len();
        // A row of a text takes at least a byte a cell.
        let longest = match (bytes, batches.is_text()) {
            (Some(bytes), true) => bytes / width.max(1) as u64 + inputs.len() as u64,
            _ => u64::from(u32::MAX),
        };
        let sinks = || storage.sinks(width, longest.min(u32::MAX.into()));
        let numbers = sinks().map_err(|error| no_room(&error))?;
        let texts =
            storage.sinks(width, longest.min(u32::MAX.into())).map_err(|error| no_room(&error))?;
        Ok(Pass {
            batches,
            builders: Vec::new(),
            numbers,
            texts,
            lines: Default::default(),
            bytes,
            errors: Vec::new(),
            bad_rows: 0,
        })
    }

    /// Reads the columns as these kinds; guesses them where there are none.
    fn run(&mut self, kinds: Option<&[Kind]>) -> Result<(), Diagnostics> {
        if let Some(kinds) = kinds {
            self.builders = kinds.iter().map(|&kind| Builder::new(kind)).collect();
        }
        // Enough for every thread, and a rest for those that are faster.
        let most = 8 * rayon::current_num_threads();
        let mut parsed = Vec::new();
        loop {
            let mut pieces = self.batches.next_pieces(most)?;
            if self.builders.is_empty() && !pieces.is_empty() {
                let mut first = pieces.remove(0).scan();
                if !self.batches.settle_lines(&mut first)? {
                    continue;
                }
                let kinds = guess(&first.batch, self.batches.header().len());
                self.builders = kinds.into_iter().map(Builder::new).collect();
                self.expect_rows_like(&first.batch);
                // What it has shown serves all others.
                self.take(vec![parse(first, &self.columns())])?;
            } else if pieces.is_empty() && parsed.is_empty() {
                break;
            }
            // What has been parsed is taken up while the next is parsed.
            let columns = self.columns();
            let parse_all = |pieces: Vec<Piece>| {
                pieces.into_par_iter().map(|piece| parse(piece.scan(), &columns)).collect()
            };
            let (taken, next) = rayon::join(|| self.take(parsed), || parse_all(pieces));
            // Unless it has to be read again.
            parsed = if taken? { next } else { Vec::new() };
        }
        let more = self.bad_rows - self.errors.len() as u64;
        Diagnostics::none_of(with_rest(std::mem::take(&mut self.errors), more), || ())
    }

    /// Makes room for the columns in memory, as if all rows were as long as
    /// the first ones.
    fn expect_rows_like(&mut self, first: &Batch) {
        let (Some(all), Some(some @ 1..)) = (self.bytes, first.text_bytes()) else { return };
        let rows = first.rows() as f64 * (all as f64 / some as f64);
        // Some more, as room that is not used costs nothing.
        let rows = (1.05 * rows) as usize;
        let of = |kinds: &'static [Kind]| {
            let builders = self.builders.iter().enumerate();
            builders.filter(|(_, builder)| kinds.contains(&builder.kind)).map(|(i, _)| i)
        };
        self.numbers.expect(of(&[Kind::Numbers, Kind::Dates]), rows);
        self.texts.expect(of(&[Kind::Text]), rows);
    }

    /// What each column is still read as, and the levels that it is known to have.
    fn columns(&self) -> Vec<(Kind, Option<Arc<Known>>)> {
        let column = |builder: &Builder| match builder.wrong {
            true => (Kind::Passed, None),
            false => (builder.kind, builder.first_levels.clone()),
        };
        self.builders.iter().map(column).collect()
    }

    /// Takes up some batches, in order; whether all of them count, and what has been
    /// parsed behind them.
    fn take(&mut self, mut parsed: Vec<Parsed>) -> Result<bool, Diagnostics> {
        let mut good = 0;
        for Parsed { scanned, .. } in &mut parsed {
            if !self.batches.settle_lines(scanned)? {
                break;
            }
            good += 1;
            self.lines.append_of(scanned.batch.lines());
            self.bad_rows += match scanned.errors.is_empty() {
                true => 0,
                false => scanned.bad_rows,
            };
            if scanned.errors.is_empty() {
                self.batches.count_bad_rows(scanned.bad_rows);
            }
            let room = SHOWN.saturating_sub(self.errors.len());
            self.errors.extend(scanned.errors.iter().take(room).cloned());
        }
        let all = good == parsed.len();
        parsed.truncate(good);
        if u32::try_from(self.lines.len()).is_err() {
            return Err(Diagnostic::error(
                Code::DataFormat,
                format!("the table has more than {} rows", u32::MAX),
            )
            .in_file(self.batches.source(), None)
            .help("use a part of the rows: `--limit N` reads the first")
            .into());
        }
        let names = self.batches.header();
        let writers = self.numbers.writers().into_par_iter().zip(self.texts.writers());
        let columns = self.builders.par_iter_mut().zip(writers).enumerate();
        columns
            .try_for_each(|(i, (builder, (mut numbers, mut texts)))| {
                for Parsed { scanned, parts } in &parsed {
                    if builder.wrong {
                        break;
                    }
                    match &parts[i] {
                        Part::Passed => {}
                        Part::Wrong => {
                            builder.wrong = true;
                            numbers.clear();
                            texts.clear();
                        }
                        Part::Dates(cells) => numbers.extend(cells)?,
                        Part::Own(any) => {
                            builder.any_number |= any;
                            if let View::Values(Values::Numbers(cells) | Values::Dates(cells)) =
                                scanned.batch.column(i)
                            {
                                numbers.extend(cells)?;
                            }
                        }
                        Part::Numbers(part) => {
                            builder.take_numbers(part);
                            numbers.extend(&part.cells)?;
                        }
                        Part::Text(part) => {
                            let new = builder.take_text(part, &scanned.batch, i, &names[i]);
                            if new.is_empty() {
                                texts.extend(&part.codes)?;
                            } else {
                                let code = |&code: &u32| match code.checked_sub(part.known) {
                                    None => code,
                                    Some(i) => *new.get(i as usize).unwrap_or(&Text::MISSING),
                                };
                                texts.extend_by(part.codes.iter().map(code))?;
                            }
                        }
                    }
                    builder.rows += scanned.batch.rows();
                }
                builder.know_levels();
                Ok(())
            })
            .map_err(|error: std::io::Error| no_room(&error))?;
        Ok(all)
    }
}

impl Builder {
    fn take_numbers(&mut self, part: &Numbers) {
        self.any_number |= part.any;
        self.grouped.1 += part.grouped.1;
        if self.grouped.0.is_none() {
            self.grouped.0.clone_from(&part.grouped.0);
        }
        self.infinite.count += part.infinite.count;
        let room = SHOWN.saturating_sub(self.infinite.first.len());
        let first = part.infinite.first.iter().take(room);
        self.infinite.first.extend(first.map(|(row, cell)| (self.rows + row, cell.clone())));
    }

    /// Takes up the levels of a batch that were not known to it; their codes.
    fn take_text(
        &mut self,
        part: &Dictionary,
        batch: &Batch,
        column: usize,
        name: &str,
    ) -> Vec<u32> {
        let Builder { levels, known, hasher, .. } = self;
        let mut new_code = Vec::with_capacity(part.first_rows.len());
        for &row in &part.first_rows {
            let raw = batch.text(row as usize, column);
            let entry = known.entry(
                hasher.hash_one(&*raw),
                |&code| levels[code as usize].as_bytes() == &*raw,
                |&code| hasher.hash_one(levels[code as usize].as_bytes()),
            );
            if let hashbrown::hash_table::Entry::Occupied(found) = &entry {
                new_code.push(*found.get());
                continue;
            }
            let Ok(level) = std::str::from_utf8(&raw) else {
                self.bad_texts += 1;
                if self.bad_text.len() < SHOWN {
                    self.bad_text.push(not_utf8(&batch.place(row as usize), name, &raw));
                }
                new_code.push(Text::MISSING);
                continue;
            };
            let code = levels.len() as u32; // at most the number of rows, a u32
            entry.insert(code);
            levels.push(level.to_owned());
            new_code.push(code);
        }
        new_code
    }

    /// Lets the next batches know the levels, if these are new and not too many.
    fn know_levels(&mut self) {
        let known = self.first_levels.as_ref().map_or(0, |known| known.levels());
        if self.levels.len() > known {
            self.first_levels = Some(Arc::new(Known::of(&self.levels)));
        }
    }
}

/// What the columns of a batch look like.
fn guess(batch: &Batch, width: usize) -> Vec<Kind> {
    if batch.rows() == 0 {
        return vec![Kind::Numbers; width];
    }
    let kind = |column| {
        let kinds = [Kind::Numbers, Kind::Dates];
        let fits = |kind: &Kind| !matches!(parse_column(batch, column, *kind), Part::Wrong);
        kinds.into_iter().find(fits).unwrap_or(Kind::Text)
    };
    (0..width).into_par_iter().map(kind).collect()
}

/// A text's column that is being parsed.
enum Growing<'a> {
    /// None where a cell was no number.
    Numbers(Option<Numbers>),
    Text(dictionary::Growing<'a>),
}

fn parse(scanned: Scanned, read_as: &[(Kind, Option<Arc<Known>>)]) -> Parsed {
    let batch = &scanned.batch;
    let rows = batch.rows();
    if rows == 0 {
        return Parsed { parts: read_as.iter().map(|_| Part::Passed).collect(), scanned };
    }
    let columns = read_as.iter().enumerate();
    let columns = columns.map(|(i, (kind, known))| match (kind, batch.column(i)) {
        (Kind::Numbers, View::Text(cells)) => {
            Some((cells, Growing::Numbers(Some(Numbers::with_capacity(rows)))))
        }
        (Kind::Text, View::Text(cells)) => {
            let growing = match known {
                Some(known) => dictionary::Growing::knowing(known, rows),
                None => dictionary::Growing::with_capacity(rows),
            };
            Some((cells, Growing::Text(growing)))
        }
        _ => None,
    });
    let mut columns: Vec<Option<(TextColumn<'_>, Growing<'_>)>> = columns.collect();
    // A few rows at a time: their bytes and places stay in the first-level cache
    // until the last column has read them.
    const CELLS: usize = 1024;
    let some = (CELLS / batch.width().max(1)).max(1).next_multiple_of(8);
    for start in (0..rows).step_by(some) {
        let part = start..rows.min(start + some);
        for (cells, growing) in columns.iter_mut().flatten() {
            let cells = cells.rows(part.clone());
            match growing {
                Growing::Text(growing) => cells.add_to(growing),
                Growing::Numbers(numbers) => {
                    if numbers.as_mut().is_some_and(|numbers| !numbers.parse(cells)) {
                        *numbers = None;
                    }
                }
            }
        }
    }
    let parts =
        columns.into_iter().zip(read_as).enumerate().map(|(i, (column, (kind, _)))| match column {
            Some((_, Growing::Numbers(numbers))) => numbers.map_or(Part::Wrong, Part::Numbers),
            Some((_, Growing::Text(growing))) => Part::Text(growing.finish()),
            None => parse_column(batch, i, *kind),
        });
    Parsed { parts: parts.collect(), scanned }
}

fn parse_column(batch: &Batch, column: usize, kind: Kind) -> Part {
    let rows = batch.rows();
    match (kind, batch.column(column)) {
        (Kind::Passed, _) => Part::Passed,
        (Kind::Numbers, View::Text(cells)) => {
            let mut numbers = Numbers::with_capacity(rows);
            if numbers.parse(cells) { Part::Numbers(numbers) } else { Part::Wrong }
        }
        (Kind::Numbers, View::Values(Values::Numbers(cells)))
            if !cells.iter().any(|x| x.is_infinite()) =>
        {
            Part::Own(cells.iter().any(|x| !x.is_nan()))
        }
        (Kind::Dates, View::Values(Values::Dates(_))) => Part::Own(false),
        (Kind::Numbers, View::Values(values)) => {
            let mut numbers = Numbers::with_capacity(rows);
            let fits = !matches!(values, Values::Dates(_))
                && (0..rows).all(|row| numbers.push(number_of(values, row), || values.cell(row)));
            if fits { Part::Numbers(numbers) } else { Part::Wrong }
        }
        (Kind::Dates, View::Text(cells)) => {
            let cells = cells.cells().map(cell::date);
            dates(cells, rows)
        }
        (Kind::Dates, View::Values(_)) => dates((0..rows).map(|row| batch.date(row, column)), rows),
        (Kind::Text, View::Text(cells)) => {
            let mut growing = dictionary::Growing::with_capacity(rows);
            cells.add_to(&mut growing);
            Part::Text(growing.finish())
        }
        (Kind::Text, View::Values(Values::Text(text))) => Part::Text(Dictionary::of_text(text)),
        (Kind::Text, View::Values(values)) => {
            let cells: Vec<String> = (0..rows).map(|row| values.cell(row)).collect();
            Part::Text(Dictionary::of(cells.iter().map(String::as_bytes)))
        }
    }
}

impl Numbers {
    fn with_capacity(rows: usize) -> Numbers {
        Numbers { cells: Vec::with_capacity(rows), ..Numbers::default() }
    }

    /// Adds the cells of a text; `false` where one is no number.
    fn parse(&mut self, mut cells: TextColumn<'_>) -> bool {
        loop {
            let plain = cells.plain_numbers(&mut self.cells);
            self.any |= plain > 0;
            cells = cells.without_first(plain);
            let Some(raw) = cells.cells().next() else { return true };
            if !self.push(cell::look_closer(raw), || cell::shown(raw)) {
                return false;
            }
            cells = cells.without_first(1);
        }
    }

    /// Adds a cell; `false` where it is no number.
    fn push(&mut self, cell: Cell, shown: impl Fn() -> String) -> bool {
        let number = match cell {
            Cell::Number(number) => {
                self.any = true;
                let text = shown();
                if text.contains(',') {
                    self.grouped.1 += 1;
                    self.grouped.0.get_or_insert(text.trim().to_owned());
                }
                number
            }
            Cell::Missing => f64::NAN,
            Cell::Infinite => {
                self.any = true;
                self.infinite.count += 1;
                if self.infinite.first.len() < SHOWN {
                    self.infinite.first.push((self.cells.len(), shown()));
                }
                f64::INFINITY
            }
            Cell::Text => return false,
        };
        self.cells.push(number);
        true
    }
}

fn dates(cells: impl Iterator<Item = Cell>, rows: usize) -> Part {
    let mut seconds = Vec::with_capacity(rows);
    for cell in cells {
        seconds.push(match cell {
            Cell::Number(number) => number,
            Cell::Missing => f64::NAN,
            _ => return Part::Wrong,
        });
    }
    Part::Dates(seconds)
}
