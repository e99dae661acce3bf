//! Runs a [`Plan`]: tiles, shards, reduction, update.
//!
//! The executor takes the plan's steps one after another; it allocates its
//! memory when it is made and none per step. Work that the plan cuts into
//! shards runs on several threads, if there are any: those of the current rayon
//! pool, or for short steps those of a team that waits awake. Shards have
//! gradients of their own, which `reduce` adds up in one fixed order. A shard that
//! several threads share is cut by outputs, or by rows (see `shares`) with sums over
//! all of them in the order of one thread, so that the result is the same bits
//! whatever the number of threads.

mod fork;
mod levels;
mod pace;
mod parts;
mod pieces;
mod predict;
mod read;
mod reduce;
pub mod reference;
mod shares;
mod small;
mod tile;

pub use predict::{Predict, mean_loss};

use crate::inputs::Features;
use crate::plan::{Plan, Split, Step};
use fork::Threads;
use levels::Levels;
use mlpc_kernels::gemm::Algorithm;
use mlpc_kernels::layout::Tile;
use mlpc_kernels::lines::{self, Lines};
use mlpc_kernels::loss::LossSum;
use mlpc_kernels::optim::Rule;
use mlpc_kernels::small::MOST_ROWS;
use mlpc_kernels::team::Team;
use pace::Pace;
use parts::{Done, Part, parts_of, run_part};
use reduce::Runs;
use shares::Shares;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tile::{Gradients, Scratch, TileInput, run_tile};

/// What the loss compares predictions with.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a, T = f32> {
    /// A number an output, `[rows, outputs]` row-major.
    Values(&'a [T]),
    /// The index of the right output, `[rows]`: for `cross_entropy`.
    Classes(&'a [u32]),
}

/// Rows of a table, which a batch takes.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// Rows that lie next to each other.
    Range(usize, usize),
    /// Rows by number, in any order.
    Numbers(&'a [u32]),
}

impl Rows<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Rows::Range(start, end) => end - start,
            Rows::Numbers(numbers) => numbers.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the row at a place of the batch.
    fn at(&self, place: usize) -> usize {
        match self {
            Rows::Range(start, _) => start + place,
            Rows::Numbers(numbers) => numbers[place] as usize,
        }
    }
}

/// A mini-batch: some rows of a table of features and of its targets.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The features of the whole table.
    pub features: Features<'a>,
    /// The targets of the whole table.
    pub targets: Targets<'a>,
    /// The rows of the batch.
    pub rows: Rows<'a>,
}

/// What training changes: parameters and optimizer state, one flat buffer each.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Parameters, as the plan lays them out: see [`Plan::lay_out`].
    pub parameters: Vec<f32>,
    /// The optimizer's state: as many runs of the parameters' length as it keeps.
    pub optimizer: Vec<f32>,
    /// Steps taken.
    pub step: u64,
}

impl State {
    /// The state before the first step, from parameters as
    /// [`Network::tensors`](crate::check::model::Network::tensors) says.
    ///
    /// # Panics
    /// Where the parameters are not the plan's.
    pub fn new(plan: &Plan, parameters: Vec<f32>) -> Self {
        let parameters = plan.lay_out(parameters);
        let optimizer = vec![0.0; plan.optimizer.state() * plan.parameters];
        State { parameters, optimizer, step: 0 }
    }
}

/// Runs the training steps of a plan.
#[derive(Debug)]
pub struct Executor {
    plan: Arc<Plan>,
    /// Lanes of the largest tile.
    lanes: usize,
    /// Rows of the largest batch, and the most shards that one has.
    rows: usize,
    most: usize,
    /// Whether a tile's gradient is added to the shard's in one addition: our
    /// products are, matrixmultiply adds one for every 256 rows or so, and
    /// tables get one a row.
    tiled: bool,
    /// Up to two, or as many as the largest batch has where they run in
    /// parallel, or where gradients are computed by outputs (then up to
    /// [`ROUND`]).
    shards: Vec<Shard>,
    /// The threads that steps may use, and those that share what is short.
    threads: usize,
    team: Team,
    arenas: Vec<Mutex<Lines>>,
    shares: Shares,
    /// The same where one thread does all of it.
    alone: Shares,
    pace: Pace,
    /// Whether the last step ran in parallel, and the rows of its batch, where they are
    /// still loaded for such steps.
    held: Option<(bool, usize)>,
    /// Where gradients are computed by outputs: the parts, and the gradient.
    parts: Vec<Part>,
    gradient: Lines,
    /// The batch of a small network whose categories are written out.
    expanded: Vec<f32>,
}

/// Shards whose values are kept at once where gradients are computed by
/// outputs.
const ROUND: usize = 16;

/// Bytes of a table that stays in a second-level cache beside a step's own memory.
const NEAR_BYTES: usize = 256 * 1024;

/// The memory of a shard.
#[derive(Debug)]
struct Shard {
    arena: Lines,
    /// Targets of a tile, feature-major, where they are numbers.
    targets: Vec<f32>,
    /// Targets of a tile, where they are classes.
    classes: Vec<u32>,
    levels: Levels,
    gradient: Lines,
    loss: LossSum,
}

impl Shard {
    fn new(plan: &Plan, lanes: usize) -> Self {
        let gradient = if plan.is_by_outputs() { 0 } else { plan.parameters };
        Shard {
            arena: Lines::zeros(plan.train.arena * lanes),
            targets: vec![0.0; plan.outputs * lanes],
            classes: vec![0; lanes],
            levels: Levels::new(plan, lanes, plan.is_by_outputs()),
            gradient: Lines::zeros(gradient),
            loss: LossSum::default(),
        }
    }

    /// Its memory but the gradient, and the gradient.
    fn scratch(&mut self) -> (Scratch<'_>, &mut [f32]) {
        let Shard { arena, targets, classes, levels, gradient, loss } = self;
        (Scratch { arena, targets, classes, levels, loss }, gradient)
    }
}

impl Executor {
    /// An executor for batches of up to `batch` rows. Takes all the memory
    /// that it will ever need.
    pub fn new(plan: Arc<Plan>, batch: usize) -> Self {
        let most = plan.most_shards(batch);
        // A batch of fewer rows may have fewer shards and larger tiles.
        let lanes = plan.most_lanes(batch);
        // On one thread one shard's memory does, or two (see `backward`); by
        // outputs, all of a round are needed.
        let by_outputs = plan.is_by_outputs();
        let count = most.min(if by_outputs { ROUND } else { 2 });
        let shards = (0..count).map(|_| Shard::new(&plan, lanes)).collect();
        let parts = if by_outputs { parts_of(&plan) } else { Vec::new() };
        let gradient = Lines::zeros(if by_outputs { plan.parameters } else { 0 });
        let tiled = !plan.train.steps.iter().any(|step| {
            matches!(
                step,
                Step::WeightGradient { algorithm: Algorithm::Matrixmultiply, .. }
                    | Step::Scatter { .. }
            )
        });
        let expanded = match &plan.small {
            Some(_) if !plan.layout.categories.is_empty() => MOST_ROWS * plan.inputs,
            _ => 0,
        };
        let alone = Shares::new(&plan, batch, 1);
        Executor {
            plan,
            lanes,
            rows: batch,
            most,
            tiled,
            shards,
            threads: 1,
            team: Team::new(1),
            arenas: Vec::new(),
            shares: Shares::none(),
            alone,
            pace: Pace::new(),
            held: None,
            parts,
            gradient,
            expanded: vec![0.0; expanded],
        }
    }

    /// Uses so many threads for batches that are work enough: those of the current
    /// rayon pool for long steps, and for short ones a team of the executor's own,
    /// whose threads stay awake for less than 0.1 ms and sleep when no step follows.
    /// Takes their memory here. The result is the same bits, and so it is where steps
    /// of full batches go back to one thread while that is faster. Call the steps from
    /// inside a pool of as many threads (`ThreadPool::install`), since entering it
    /// costs some microseconds.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self.held = None;
        if self.threads > 1 && !self.plan.is_by_outputs() {
            let (plan, lanes) = (&self.plan, self.lanes);
            self.shards.resize_with(self.most, || Shard::new(plan, lanes));
        }
        self.team = Team::new(self.threads);
        let pays = self.most == 1 && !self.plan.train.own.is_empty();
        let members = if pays { self.team.all().count() } else { 1 };
        let arena = |_| Mutex::new(Lines::zeros(self.plan.train.arena * self.lanes));
        self.arenas = (1..members).map(arena).collect();
        self.shares = Shares::new(&self.plan, self.rows, self.threads);
        self
    }

    /// The plan that it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The gradient that the last call of [`Executor::gradient`] computed, laid out as
    /// the state's parameters are. It lasts until the next step.
    pub fn last_gradient(&self) -> &[f32] {
        if self.plan.is_by_outputs() { &self.gradient } else { &self.shards[0].gradient }
    }

    /// Computes the mean loss of a batch, which it returns, and its gradient.
    /// Parameters are as the plan lays them out: see [`Plan::lay_out`].
    ///
    /// # Panics
    /// Where the batch is empty or larger than the executor was made for, or
    /// a slice is shorter than its rows need.
    pub fn gradient(&mut self, parameters: &[f32], batch: Batch<'_>) -> f64 {
        self.held = None;
        if let Some(loss) = self.small_gradient(parameters, batch) {
            return loss;
        }
        let parallel = self.pays_threads(batch);
        if self.plan.is_by_outputs() {
            return self.by_outputs(Of::Gradient(parameters), batch, parallel);
        }
        if let Some(tile) = self.shares_of(batch, parallel) {
            return self.by_shares(Of::Gradient(parameters), batch, tile, parallel);
        }
        let (loss, shards) = self.backward(parameters, batch, parallel);
        let threads = threads_of(&self.plan, batch, parallel, &mut self.team, &[]);
        reduce::sum(&mut self.shards[..shards], threads);
        loss
    }

    /// One training step: forward, loss, backward, update. Returns the mean
    /// loss of the batch before the update.
    ///
    /// # Panics
    /// As [`Executor::gradient`].
    pub fn step(&mut self, state: &mut State, batch: Batch<'_>) -> f64 {
        self.held = None;
        self.step_again(state, batch)
    }

    /// [`Executor::step`] for the batch of the last step: where the plan keeps what has
    /// been loaded of it, that is not done again. Neither its rows nor what the table
    /// holds of them may have changed since, or the result is a step of something else.
    ///
    /// # Panics
    /// As [`Executor::gradient`].
    pub fn step_again(&mut self, state: &mut State, batch: Batch<'_>) -> f64 {
        if let Some(loss) = self.small_step(state, batch) {
            return loss;
        }
        let parallel = self.pays_threads(batch);
        // Times of smaller batches would not compare.
        if !parallel || batch.rows.len() < self.rows {
            return self.run_step(state, batch, parallel);
        }
        let way = self.pace.next(self.threads);
        let start = way.timed.then(Instant::now);
        let loss = self.run_step(state, batch, way.parallel);
        if let Some(start) = start {
            self.pace.took(start.elapsed());
        }
        loss
    }

    /// Asks for the rows of a batch to be brought near while the step before it runs:
    /// rows by number, which else are waited for one after another. Changes nothing
    /// else, and does nothing where the cache holds the table, or where several
    /// threads take the rows, each its own.
    pub fn ask_for(&self, batch: Batch<'_>) {
        if let Rows::Numbers(rows) = batch.rows
            && !self.pays_threads(batch)
        {
            ask_for_rows(&self.plan, &batch, rows);
        }
    }

    /// Whether a batch runs on several threads, where the plan decides.
    fn pays_threads(&self, batch: Batch<'_>) -> bool {
        self.threads > 1 && self.plan.pays_threads(batch.rows.len())
    }

    fn run_step(&mut self, state: &mut State, batch: Batch<'_>, parallel: bool) -> f64 {
        // Now, since it is a long chain of instructions: products run beside it.
        let rule = self.plan.optimizer.at(state.step + 1);
        let loss = if self.plan.is_by_outputs() {
            self.by_outputs(Of::Step(state, rule), batch, parallel)
        } else if let Some(tile) = self.shares_of(batch, parallel) {
            self.by_shares(Of::Step(state, rule), batch, tile, parallel)
        } else {
            let (loss, shards) = self.backward(&state.parameters, batch, parallel);
            let threads = threads_of(&self.plan, batch, parallel, &mut self.team, &[]);
            reduce::update(&mut self.shards[..shards], threads, &self.plan, state, rule);
            loss
        };
        state.step += 1;
        loss
    }

    /// The tile of a batch whose rows threads share, or which one thread takes so,
    /// where they do.
    fn shares_of(&self, batch: Batch<'_>, parallel: bool) -> Option<Tile> {
        let (shares, threads) = match parallel {
            true => (&self.shares, self.threads),
            false => (&self.alone, 1),
        };
        let tile = self.plan.shares(batch.rows.len(), threads)?;
        shares.hold(tile).then_some(tile)
    }

    /// Computes the gradient, and updates where that is asked for, on a team whose
    /// members share the rows, then the parameters; or on one thread.
    fn by_shares(&mut self, of: Of<'_>, batch: Batch<'_>, tile: Tile, parallel: bool) -> f64 {
        let (_, terms) = self.split(of.parameters(), batch);
        let keeps = self.plan.shared.as_ref().is_some_and(|program| program.keeps);
        let loaded = self.loaded(batch, parallel, keeps);
        let Executor { plan, shards, shares, alone, team, .. } = self;
        let shares = if parallel { shares } else { alone };
        let mut threads = match parallel {
            true => Threads::Team(team.all(), &[]),
            false => Threads::One,
        };
        let input = TileInput {
            batch: &batch,
            tile,
            rows: 0..tile.rows,
            whole: tile.rows,
            scale: (1.0 / terms) as f32,
            loaded,
            asks: parallel,
            far: parallel,
        };
        shares.backward(plan, of.parameters(), &input, threads.all());
        let gradient = &mut shards[0].gradient;
        let runs = match of {
            Of::Step(state, rule) => Runs::new(plan, gradient, state, rule),
            Of::Gradient(_) => Runs::of_gradient(gradient),
        };
        shares.parameters(plan, &input, runs, threads);
        shares.loss(tile) / terms
    }

    /// Whether a batch is loaded already for steps that run so, in parallel or not; from
    /// now on it is, if these `keep` it. The others use the same memory.
    fn loaded(&mut self, batch: Batch<'_>, parallel: bool, keep: bool) -> bool {
        let now = Some((parallel, batch.rows.len()));
        let loaded = self.held == now;
        self.held = now.filter(|_| keep);
        loaded
    }

    /// A batch's split, and what its losses are a mean of.
    fn split(&self, parameters: &[f32], batch: Batch<'_>) -> (Split, f64) {
        let plan = &*self.plan;
        assert_eq!(parameters.len(), plan.parameters, "parameters of another network");
        let rows = batch.rows.len();
        assert!(rows > 0, "an empty batch");
        let split = plan.split_training(rows);
        let largest = split.tile(0, 0).len();
        assert!(
            split.shards <= self.most && plan.lanes(largest) <= self.lanes,
            "a batch larger than the executor was made for"
        );
        (split, plan.loss_terms(rows))
    }

    /// Computes the gradient by outputs, and updates where that is asked for:
    /// a round of shards forward and backward, then part after part of the
    /// parameters over all of them.
    fn by_outputs(&mut self, mut of: Of<'_>, batch: Batch<'_>, parallel: bool) -> f64 {
        let (split, terms) = self.split(of.parameters(), batch);
        let keeps = self.plan.train.keeps && split.shards <= self.shards.len();
        let loaded = self.loaded(batch, parallel, keeps);
        let Executor { plan, shards, parts, gradient, team, arenas, .. } = self;
        let plan = &**plan;
        let scale = (1.0 / terms) as f32;
        let mut total = 0.0;
        for first in (0..split.shards).step_by(shards.len()) {
            let count = shards.len().min(split.shards - first);
            let rows = |index: usize| split.shard(first + index);
            let shards = &mut shards[..count];
            let parameters = of.parameters();
            let mut threads = threads_of(plan, batch, parallel, team, arenas);
            let run = |index: usize, shard: &mut Shard, threads: Threads<'_>| {
                let (program, rows) = (&plan.train, rows(index));
                let input = TileInput {
                    batch: &batch,
                    tile: plan.tile(rows.len()),
                    whole: rows.len(),
                    rows,
                    scale,
                    loaded,
                    asks: false,
                    far: parallel,
                };
                shard.loss = LossSum::default();
                let scratch = shard.scratch().0;
                run_tile(plan, program, parameters, input, scratch, None, threads);
            };
            each_shard(shards, threads.all(), &run);
            shards.iter().for_each(|shard| total += shard.loss.total());

            let last = first + count == split.shards;
            let runs = match &mut of {
                Of::Step(state, rule) if last => Runs::new(plan, gradient, state, *rule),
                _ => Runs::of_gradient(gradient),
            };
            let shards = &*shards;
            runs.each(
                0..parts.len(),
                threads,
                &|index| parts[index].range.end,
                &|index, runs, threads| {
                    let own = threads.arena();
                    let tiles = shards.iter().enumerate().map(|(index, shard)| Done {
                        rows: rows(index).len(),
                        arena: &shard.arena,
                        levels: &shard.levels,
                        own: own.as_deref().map(|own| &**own),
                    });
                    run_part(plan, &parts[index], tiles, runs, first > 0, !parallel);
                },
            );
        }
        total / terms
    }

    /// Forward and backward of every shard. Returns the mean loss, and how
    /// many shards hold a part of the gradient.
    fn backward(&mut self, parameters: &[f32], batch: Batch<'_>, parallel: bool) -> (f64, usize) {
        let (split, terms) = self.split(parameters, batch);
        // On one thread shards have one arena.
        let keeps = self.plan.train.keeps && split.tiles == 1 && (parallel || split.shards == 1);
        let loaded = self.loaded(batch, parallel, keeps);
        let plan = &*self.plan;
        let scale = (1.0 / terms) as f32;
        let asks = parallel && split.shards > 1 && plan.suits_team(split.rows);
        let run = |index: usize, shard: &mut Shard, sum: Sum, mut threads: Threads<'_>| {
            shard.loss = LossSum::default();
            for tile in 0..split.tiles {
                let rows: Range<usize> = split.tile(index, tile);
                if rows.is_empty() {
                    continue;
                }
                let input = TileInput {
                    batch: &batch,
                    tile: plan.tile(rows.len()),
                    whole: rows.len(),
                    rows,
                    scale,
                    loaded,
                    asks: asks && tile == 0,
                    far: parallel,
                };
                let first = tile == 0 && matches!(sum, Sum::New);
                let (scratch, flat) = shard.scratch();
                let gradients = Some(Gradients { flat, first });
                let threads = threads.all();
                let program = &plan.train;
                run_tile(plan, program, parameters, input, scratch, gradients, threads);
            }
        };
        let mut total = 0.0;
        if parallel {
            let shards = &mut self.shards[..split.shards];
            let each = |index: usize, shard: &mut Shard, threads: Threads<'_>| {
                run(index, shard, Sum::New, threads);
            };
            let threads = threads_of(plan, batch, parallel, &mut self.team, &self.arenas);
            each_shard(shards, threads, &each);
            shards.iter().for_each(|shard| total += shard.loss.total());
            return (total / terms, split.shards);
        }
        // On one thread, a shard of one tile adds its gradient where the sum
        // is: g₀ + g₁ is the same whether or not g₁ is put down in between.
        // With more tiles a shard's own sum comes first, here as there.
        let together = split.tiles == 1 && self.tiled;
        for index in 0..split.shards {
            let (first, others) = self.shards.split_at_mut(1);
            let first = &mut first[0];
            if index == 0 {
                run(index, first, Sum::New, Threads::One);
                total += first.loss.total();
            } else if together {
                run(index, first, Sum::Onto, Threads::One);
                total += first.loss.total();
            } else {
                let second = &mut others[0];
                run(index, second, Sum::New, Threads::One);
                total += second.loss.total();
                reduce::add(0, &mut first.gradient, std::slice::from_ref(second));
            }
        }
        (total / terms, 1)
    }
}

/// Asks for these rows of a batch's table to be brought near, where they may be far.
fn ask_for_rows(plan: &Plan, batch: &Batch<'_>, rows: &[u32]) {
    let Batch { features, targets, .. } = batch;
    if size_of_val(features.dense) + size_of_val(features.codes) < NEAR_BYTES {
        return;
    }
    let isa = plan.options.isa;
    lines::ask_for_rows(isa, features.dense, plan.layout.dense, rows);
    lines::ask_for_rows(isa, features.codes, plan.layout.categories.len(), rows);
    match targets {
        Targets::Values(values) => lines::ask_for_rows(isa, values, plan.outputs, rows),
        Targets::Classes(classes) => lines::ask_for_rows(isa, classes, 1, rows),
    }
}

/// The threads that share a batch: several where it is to run in parallel.
fn threads_of<'a>(
    plan: &Plan,
    batch: Batch<'_>,
    parallel: bool,
    team: &'a mut Team,
    arenas: &'a [Mutex<Lines>],
) -> Threads<'a> {
    match plan.suits_team(batch.rows.len()) {
        _ if !parallel => Threads::One,
        true => Threads::Team(team.all(), arenas),
        false => Threads::Pool,
    }
}

/// Runs shards, on several threads where they are given. Threads for which there is
/// no shard take pieces of products.
fn each_shard(
    shards: &mut [Shard],
    threads: Threads<'_>,
    run: &(impl Fn(usize, &mut Shard, Threads<'_>) + Sync),
) {
    let alone = matches!(threads, Threads::Pool)
        && shards.len().is_multiple_of(rayon::current_num_threads());
    each_from(0, shards, threads, &|number, shard: &mut Shard, threads: Threads<'_>| {
        run(number, shard, if alone { Threads::One } else { threads });
    });
}

/// The same where the first one has this number.
fn each_from(
    number: usize,
    shards: &mut [Shard],
    threads: Threads<'_>,
    run: &(impl Fn(usize, &mut Shard, Threads<'_>) + Sync),
) {
    if let [shard] = shards {
        return run(number, shard, threads);
    }
    let first = threads.first_part(shards.len());
    let (low, high) = shards.split_at_mut(first);
    threads.join(
        |threads| each_from(number, low, threads, run),
        |threads| each_from(number + first, high, threads, run),
    );
}

/// What is to be computed.
enum Of<'a> {
    /// The gradient at these parameters.
    Gradient(&'a [f32]),
    /// It, and the optimizer's step.
    Step(&'a mut State, Rule),
}

impl Of<'_> {
    fn parameters(&self) -> &[f32] {
        match self {
            Of::Gradient(parameters) => parameters,
            Of::Step(state, _) => &state.parameters,
        }
    }
}

/// Where a shard's gradient goes.
#[derive(Debug, Clone, Copy)]
enum Sum {
    /// Into a sum that starts with it.
    New,
    /// Onto what is there.
    Onto,
}

impl Plan {
    /// What the loss is a mean of: elements, or rows for `cross_entropy`.
    fn loss_terms(&self, rows: usize) -> f64 {
        match self.loss.kind.target() {
            mlpc_kernels::loss::Target::Class => rows as f64,
            _ => (rows * self.outputs) as f64,
        }
    }
}
