//! A tile whose rows several threads share: each runs forward and backward for a
//! panel of it, with buffers of its own, and then computes, and updates, a part of
//! the parameters over all of them. They wait for each other twice a step.
//!
//! ```text
//! thread 0  ── panel 0: load … forward, loss, backward ──┬── its parameters: ∂W, ∂b, update ──
//! thread 1  ── panel 1: the same for other rows ─────────┴── the other parameters ───────────
//! ```
//!
//! The sums are those of one thread, which has the same rows in the same order: no row
//! of a product over outputs or inputs knows of others, a sum over rows goes on from
//! panel to panel, and losses are summed exactly.

use super::fork::Threads;
use super::levels::Levels;
use super::parts::{Part, whole_parts};
use super::read::Read;
use super::reduce::Runs;
use super::tile::{Scratch, TileInput, run_tile};
use crate::plan::{Plan, Program};
use mlpc_kernels::gemm::Algorithm;
use mlpc_kernels::layout::Tile;
use mlpc_kernels::lines::Lines;
use mlpc_kernels::loss::LossSum;
use mlpc_kernels::optim::Readers;
use std::ops::Range;

/// The memory of the threads that share a tile.
#[derive(Debug)]
pub(super) struct Shares {
    /// A panel with all its buffers behind the other.
    arena: Lines,
    shares: Vec<Share>,
    /// What each thread computes of the gradient.
    tasks: Vec<Task>,
}

/// A panel's memory beside its buffers.
#[derive(Debug)]
struct Share {
    targets: Vec<f32>,
    classes: Vec<u32>,
    levels: Levels,
    loss: LossSum,
}

impl Shares {
    /// None.
    pub(super) fn none() -> Shares {
        Shares { arena: Lines::zeros(0), shares: Vec::new(), tasks: Vec::new() }
    }

    /// Memory for batches of up to so many rows on so many threads; none where they
    /// do not share the rows.
    pub(super) fn new(plan: &Plan, rows: usize, threads: usize) -> Shares {
        let (Some(program), Some(tile)) = (&plan.shared, plan.shares(rows, threads)) else {
            return Shares::none();
        };
        let share = |_| Share {
            targets: vec![0.0; plan.outputs * tile.panel],
            classes: vec![0; tile.panel],
            levels: Levels::new(plan, tile.panel, false),
            loss: LossSum::default(),
        };
        Shares {
            arena: Lines::zeros(program.arena * tile.width),
            shares: (0..tile.width / tile.panel).map(share).collect(),
            tasks: tasks(plan, program, tile, threads),
        }
    }

    /// Whether there is memory for a tile.
    pub(super) fn hold(&self, tile: Tile) -> bool {
        let lanes = self.shares.first().map_or(0, |share| share.classes.len());
        tile.panel <= lanes && tile.width <= self.shares.len() * tile.panel
    }

    /// Forward and backward of all panels of a tile, without the gradient of parameters.
    pub(super) fn backward(
        &mut self,
        plan: &Plan,
        parameters: &[f32],
        input: &TileInput<'_>,
        threads: Threads<'_>,
    ) {
        let program = plan.shared.as_ref().expect("rows are shared where there is a program");
        let tile = input.tile;
        let run = |panel: usize, share: &mut Share, arena: &mut [f32]| {
            let first = panel * tile.panel;
            let rows = first..tile.rows.min(first + tile.panel);
            let tile = Tile::plain(tile.panel, rows.len());
            let Share { targets, classes, levels, loss } = share;
            *loss = LossSum::default();
            let scratch = Scratch { arena, targets, classes, levels, loss };
            let input = TileInput { tile, rows, ..*input };
            run_tile(plan, program, parameters, input, scratch, None, Threads::One);
        };
        let panels = tile.width / tile.panel;
        let arena = &mut self.arena[..program.arena * tile.width];
        each_share(0, &mut self.shares[..panels], arena, threads, &run);
    }

    /// Their losses' sum.
    pub(super) fn loss(&self, tile: Tile) -> f64 {
        let mut sum = LossSum::default();
        self.shares[..tile.width / tile.panel].iter().for_each(|share| sum.merge(&share.loss));
        sum.total()
    }

    /// The gradient of all parameters, and the optimizer's step if their run has one.
    pub(super) fn parameters(
        &self,
        plan: &Plan,
        input: &TileInput<'_>,
        runs: Runs<'_>,
        threads: Threads<'_>,
    ) {
        let tile = input.tile;
        let program = plan.shared.as_ref().expect("rows are shared where there is a program");
        let arena = &self.arena[..program.arena * tile.width];
        let rows = input.picked(plan, program);
        let read = Read { plan, program, tile, arena, rows, own: None, shared: true };
        // Beside a product each store to a line that another thread has read would be
        // waited for.
        let readers = if threads.are_team() { Readers::Others } else { Readers::Same };
        each_task(&self.tasks, runs, threads, &|task, runs| {
            // What no product updates is updated as far as it lies together.
            let mut from = task.range.start;
            for part in &task.parts {
                let mut run = runs.part(part.range.clone());
                if readers == Readers::Others {
                    run = Runs::of_gradient(run.gradient);
                }
                if part.compute(&read, &self.shares[0].levels, run, false) {
                    runs.part(from..part.range.start).update(plan, readers);
                    from = part.range.end;
                }
            }
            runs.part(from..task.range.end).update(plan, readers);
        });
    }
}

/// Runs every share, on several threads where there are some.
fn each_share(
    first: usize,
    shares: &mut [Share],
    arena: &mut [f32],
    threads: Threads<'_>,
    run: &(impl Fn(usize, &mut Share, &mut [f32]) + Sync),
) {
    if let [share] = shares {
        return run(first, share, arena);
    }
    let middle = threads.first_part(shares.len());
    let at = arena.len() / shares.len() * middle;
    let ((low, high), (low_arena, high_arena)) =
        (shares.split_at_mut(middle), arena.split_at_mut(at));
    threads.join(
        |threads| each_share(first, low, low_arena, threads, run),
        |threads| each_share(first + middle, high, high_arena, threads, run),
    );
}

/// Runs every task on its run of the flat buffers.
fn each_task(
    tasks: &[Task],
    mut runs: Runs<'_>,
    threads: Threads<'_>,
    run: &(impl Fn(&Task, &mut Runs<'_>) + Sync),
) {
    if let [task] = tasks {
        return run(task, &mut runs);
    }
    let (low, high) = tasks.split_at(threads.first_part(tasks.len()));
    let (low_runs, high_runs) = runs.split(high[0].range.start);
    threads.join(
        |threads| each_task(low, low_runs, threads, run),
        |threads| each_task(high, high_runs, threads, run),
    );
}

/// What a thread computes of the gradient: a run of the flat buffers.
#[derive(Debug)]
struct Task {
    range: Range<usize>,
    parts: Vec<Part>,
}

/// Parameters of a task at the least.
const LEAST: usize = 512;

/// Cycles of a parameter's update, most of them for the other threads' sake.
const UPDATE: f64 = 2.5;

/// What the first thread, which wakes the others and waits for them, does more than
/// each of them, in cycles.
const LEAD: f64 = 2500.0;

/// The parameters in as many runs as there are threads, or fewer where they are few,
/// which take about the same time.
fn tasks(plan: &Plan, program: &Program, tile: Tile, threads: usize) -> Vec<Task> {
    let vectors = (tile.rows as f64 / plan.options.isa.lanes() as f64).ceil();
    // Cycles of a part, its update included: a multiply-add takes one, and scalar
    // products and biases are added up.
    let cost = |part: &Part| {
        let each = match part.algorithm(program, tile.rows) {
            Some(Algorithm::Dots) => 1.3 * vectors + 3.0,
            Some(_) => 1.15 * vectors,
            None => 2.0 * vectors + 12.0,
        };
        part.range.len() as f64 * (each + UPDATE)
    };
    let mut parts = whole_parts(plan, program);
    let count = threads.min(plan.parameters / LEAST).max(1);
    let share = (parts.iter().map(cost).sum::<f64>() - LEAD) / count as f64;
    let mut tasks = Vec::with_capacity(count);
    for number in 0..count {
        let mut left = if number == 0 { share + LEAD } else { share };
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        for part in parts {
            let rows = match others.is_empty() {
                _ if number + 1 == count => part.rows(),
                true => {
                    ((left / cost(&part)).clamp(0.0, 1.0) * part.rows() as f64).round() as usize
                }
                false => 0,
            };
            for (some, to) in [(0..rows, &mut ours), (rows..part.rows(), &mut others)] {
                to.extend((!some.is_empty()).then(|| part.some(some)));
            }
            left -= cost(&part);
        }
        parts = others;
        if let (Some(first), Some(last)) = (ours.first(), ours.last()) {
            tasks.push(Task { range: first.range.start..last.range.end, parts: ours });
        }
    }
    tasks
}
