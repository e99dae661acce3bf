//! The mode `--kernels`: every row of the kernel table.

use super::clock::{median, timed};
use super::expectations::Assertion;
use super::figures::{Better, Figure, short};
use super::{Args, Context, Failure, Measured, object};
use mlpc::diag::{Code, Diagnostic, Diagnostics};
use mlpc::plan::PlanOptions;
use mlpc_kernels::simd::Isa;
use mlpc_kernels::table::{Accuracy, Row, Setting, Size, Unit, rows};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};

/// Seconds a row and round, where the command line does not say.
const SECONDS: f64 = 0.02;

/// A row at one of its sizes.
struct Case {
    row: Row,
    size: Size,
    /// The name of its figure: the row's, the size where there are several,
    /// the unit.
    figure: String,
}

impl Case {
    /// All that a row is timed at.
    fn of(row: Row) -> Vec<Case> {
        let (name, unit, sizes) = (row.name(), row.unit().name(), row.sizes());
        let one = sizes.len() == 1;
        let figure = |size: &Size| match one {
            true => format!("{name}.{unit}"),
            false => format!("{name}.{size}.{unit}"),
        };
        sizes.iter().map(|&size| Case { row, size, figure: figure(&size) }).collect()
    }
}

pub(super) fn run(
    args: &Args,
    options: PlanOptions,
    assertions: &[Assertion],
    context: &Context,
) -> Result<Measured, Failure> {
    let pinned = args.machine.isa.is_some() || PlanOptions::is_pinned();
    let chosen = |row: &Row| {
        let name = row.name();
        (!pinned || row.isa == Some(options.isa))
            && (args.filter.is_empty() || args.filter.iter().any(|part| name.contains(part)))
    };
    let (available, absent): (Vec<Row>, Vec<Row>) =
        rows().into_iter().filter(chosen).partition(Row::available);
    let lacking: Vec<Isa> =
        Isa::ALL.into_iter().filter(|isa| absent.iter().any(|row| row.isa == Some(*isa))).collect();
    let absent_cases: Vec<Case> = absent.into_iter().flat_map(Case::of).collect();
    known_and_available(assertions, &available, &absent_cases)?;
    if available.is_empty() {
        let what = "no kernel of this CPU has a name like that".to_owned();
        return Err(Diagnostic::error(Code::Usage, what)
            .help("names are like `tanh.avx2` or `forward.avx2.tiled`")
            .into());
    }

    // A row is printed when it is measured; the whole table takes a while.
    let mut out = io::stdout().lock();
    let shown = !args.quick && !args.json;
    let (mut figures, mut json_rows) = (Vec::new(), Vec::new());
    let width = available.iter().map(|row| row.name().len()).max().unwrap_or(0);
    if shown {
        context
            .say("ns: nanoseconds an element, of a network a row; error: the largest, as a share of what is allowed");
        writeln!(out, "{:width$}  {:>12}  {:>9}         error", "kernel", "size", "speed")?;
    }
    let mut checked = 0;
    for row in available {
        checked += quick(&row)?;
        for Case { row, size, figure } in Case::of(row) {
            let mut work = row.work(size, Setting::default());
            let accuracy = work.check().map_err(|mismatch| wrong(&row, size, &mismatch))?;
            checked += 1;
            let measured = match args.quick {
                true => None,
                false => Some(measure(args, &row, size, work.as_mut())),
            };
            json_rows.push(json_row(&row, size, &figure, accuracy, measured));
            let Some(value) = measured else { continue };
            let unit = match row.unit() {
                Unit::NsPerElement => "ns",
                Unit::Gflops => "GFLOP/s",
            };
            if shown {
                let share = 100.0 * accuracy.share;
                writeln!(
                    out,
                    "{:width$}  {:>12}  {:>9} {unit:7}  {share:3.0}% of its bound",
                    row.name(),
                    size.to_string(),
                    short(value),
                )?;
            }
            let better = match row.unit() {
                Unit::NsPerElement => Better::Less,
                Unit::Gflops => Better::More,
            };
            figures.push(Figure::new(figure, value, better));
        }
    }
    let mut text = String::new();
    for isa in &lacking {
        let _ = writeln!(text, "this CPU lacks {isa}: its rows were not run");
    }
    let _ = write!(text, "{checked} results agree with their oracles");
    let fields = object(json!({
        "quick": args.quick,
        "checked": checked,
        "rows": json_rows,
        "absent": lacking.iter().map(|isa| {
            json!({ "isa": isa.name(), "reason": format!("this CPU lacks {isa}") })
        }).collect::<Vec<_>>(),
    }));
    Ok(Measured { figures, fields, text })
}

/// That assertions are about rows that will be run.
fn known_and_available(
    assertions: &[Assertion],
    available: &[Row],
    absent: &[Case],
) -> Result<(), Diagnostics> {
    let lacks = |assertion: &Assertion| {
        let case = absent.iter().find(|case| case.figure == assertion.name())?;
        let isa = case.row.isa?;
        Some(Diagnostic::error(
            Code::Usage,
            format!("--assert: this CPU lacks {isa}, so there is no `{}`", assertion.name()),
        ))
    };
    let errors: Vec<Diagnostic> = assertions.iter().filter_map(lacks).collect();
    Diagnostics::none_of(errors, || ())?;
    let known: Vec<String> =
        available.iter().copied().flat_map(Case::of).map(|case| case.figure).collect();
    Assertion::check_names(assertions, &known)
}

/// Checks a row where it is short: tails and whole vectors.
fn quick(row: &Row) -> Result<usize, Failure> {
    let sizes = row.quick_sizes();
    for &size in &sizes {
        let checked = row.work(size, Setting::default()).check();
        checked.map_err(|mismatch| wrong(row, size, &mismatch))?;
    }
    Ok(sizes.len())
}

fn wrong(row: &Row, size: Size, mismatch: &dyn std::error::Error) -> Failure {
    let what = format!("{} of size {size} computes something wrong: {mismatch}", row.name());
    Failure::Unmet(vec![Diagnostic::error(Code::Expectation, what)])
}

/// The best of the rounds' medians. What restores the inputs is timed by itself
/// and taken off: each of the two at its best, since in a difference of single
/// blocks a slow spell of either would be all that is left.
fn measure(args: &Args, row: &Row, size: Size, work: &mut dyn mlpc_kernels::table::Work) -> f64 {
    let seconds = args.seconds.unwrap_or(SECONDS);
    let (mut best, mut restoring) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..args.rounds {
        if !work.restores() {
            best = best.min(median(seconds, |calls| timed(calls, || work.run())));
            continue;
        }
        let both = median(seconds, |calls| {
            timed(calls, || {
                work.restore();
                work.run();
            })
        });
        best = best.min(both);
        restoring = restoring.min(median(seconds, |calls| timed(calls, || work.restore())));
    }
    let ns = if work.restores() { best - restoring } else { best };
    row.unit().figure(ns.max(1.0), row.amount(size))
}

fn json_row(
    row: &Row,
    size: Size,
    figure: &str,
    accuracy: Accuracy,
    measured: Option<f64>,
) -> Value {
    let unit = row.unit().name();
    let mut json = json!({
        "figure": figure,
        "name": row.name(),
        "operation": row.operation.name(),
        "isa": row.isa.map(Isa::name),
        "algorithm": row.algorithm.map(|algorithm| algorithm.name()),
        "size": size.to_string(),
        "error_of_bound": accuracy.share,
        "error_ulp": accuracy.ulp,
        "unit": unit,
    });
    if let Some(value) = measured {
        json[unit] = value.into();
    }
    json
}
