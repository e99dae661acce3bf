//! How a batch is cut: rows to shards, shards to tiles.

use super::{Plan, Program, Step};
use mlpc_kernels::gemm::{self, Algorithm};
use mlpc_kernels::layout::Tile;
use mlpc_kernels::simd::Isa;
use std::ops::Range;

/// A tile's arena stays below this, so that it fits the second-level cache
/// with some room for weights.
const ARENA_BYTES: usize = 384 * 1024;

/// Narrow nets take larger tiles, as long as these fit the first-level cache:
/// what a step costs beside its work is then spread over more rows.
const NARROW_ARENA_BYTES: usize = 24 * 1024;
const MOST_LANES_NARROW: usize = 1024;

/// Lanes of a tile: more of them do not reuse the weights any better, fewer
/// than the least waste the register tiles.
const MOST_LANES: usize = 256;
const LEAST_LANES: usize = 64;

/// The same where a layer has more weights than the cache takes: they are
/// read, and their gradient is read and written, once a tile.
pub(super) const MOST_LANES_LARGE: usize = 512;

/// Rows of a shard at the least, so that adding up its gradient is a small
/// part of its work.
const SHARD_ROWS: usize = 128;

/// The same where a layer has more weights than the cache takes.
const SHARD_ROWS_LARGE: usize = 256;

/// Operations of a shard at the least: tiles of narrow nets cost more beside
/// their work.
const SHARD_FLOPS: f64 = 1.0e6;

/// Shards at the most: each has an arena and a gradient of its own.
const MOST_SHARDS: usize = 16;

/// Bytes that the shards' gradients take at the most.
const GRADIENT_BYTES: usize = 512 << 20;

/// Predictions, and steps whose gradient is computed by outputs, are not cut for
/// several threads below this: handing them over costs about a tenth.
const PARALLEL_FLOPS: f64 = 5.0e6;

/// Work of a training batch below this is one shard: a team is handed two in a
/// microsecond, of the 10 or more that each of them takes.
const SHARDS_FLOPS: f64 = 2.0e6;

/// Work of a single shard below this stays on one thread: a team shares its products,
/// and what its threads read of each other takes as long as they save.
const TEAM_FLOPS: f64 = 3.0e6;

/// The same where a team shares the rows: its threads read of each other half of the
/// parameters and of what their gradient is computed from.
const SHARES_FLOPS: f64 = 1.0e6;

/// Lanes of a thread's share of a tile at the least: with fewer the weights are read
/// for two vectors at a time or one, and register tiles are short of work.
const LEAST_LANES_OF_SHARE: usize = 32;

/// Work beyond this is long enough to be handed out by a pool, whose threads take
/// more of it where others have been interrupted.
const MOST_TEAM_FLOPS: f64 = 200.0e6;

/// The rows of a tile for an arena of so many features; `large` where a layer
/// has more weights than the cache takes.
pub(super) fn tile(arena: usize, large: bool, isa: Isa) -> usize {
    if large {
        return MOST_LANES_LARGE;
    }
    let fit = ARENA_BYTES / 4 / arena.max(1);
    let narrow = NARROW_ARENA_BYTES / 4 / arena.max(1);
    let lanes = fit.clamp(LEAST_LANES, MOST_LANES).max(narrow.min(MOST_LANES_NARROW));
    let panel = mlpc_kernels::gemm::panel(isa);
    lanes / panel * panel
}

/// Rows of a tile where gradients are computed by outputs: a quarter of the
/// batch, where that is not too few to read the weights for.
fn quarter(rows: usize) -> usize {
    rows.div_ceil(4).clamp(2 * LEAST_LANES, MOST_LANES_LARGE)
}

/// How some rows are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// The rows.
    pub rows: usize,
    /// Shards that they are cut into.
    pub shards: usize,
    /// Tiles of every shard.
    pub tiles: usize,
}

impl Split {
    /// The rows of one shard: the first ones have a row more where the
    /// division leaves some.
    pub fn shard(&self, shard: usize) -> Range<usize> {
        part(0..self.rows, self.shards, shard)
    }

    /// The rows of one tile of a shard.
    pub fn tile(&self, shard: usize, tile: usize) -> Range<usize> {
        part(self.shard(shard), self.tiles, tile)
    }
}

/// One of `parts` even parts of a range.
fn part(whole: Range<usize>, parts: usize, index: usize) -> Range<usize> {
    if parts == 1 {
        return whole;
    }
    let (each, more) = (whole.len() / parts, whole.len() % parts);
    let start = whole.start + index * each + index.min(more);
    start..start + each + usize::from(index < more)
}

impl Plan {
    /// How a training batch of so many rows is cut.
    pub fn split_training(&self, rows: usize) -> Split {
        if self.is_by_outputs() {
            return Split { rows, shards: rows.div_ceil(quarter(rows)), tiles: 1 };
        }
        // As many as may be, or down to half of that, where the panels of lanes that the
        // shards take are then fewer: those of two threads, and in all. 2048 rows in 9
        // shards are 228 each, which take four panels of 64, as in 8 shards 256 do.
        let most = self.most_shards(rows);
        if most == 1 {
            return self.train.split(rows, 1);
        }
        let panels = |&shards: &usize| {
            let of_shard = rows.div_ceil(shards).div_ceil(self.unit());
            (shards.div_ceil(2) * of_shard, shards * of_shard)
        };
        let least = most.div_ceil(2).max(2).min(most);
        // Of equal ones the first, which is the most.
        let shards = (least..=most).rev().min_by_key(panels);
        self.train.split(rows, shards.unwrap_or(most))
    }

    /// Shards at the most of training batches of up to so many rows.
    pub(crate) fn most_shards(&self, rows: usize) -> usize {
        if self.is_by_outputs() {
            return self.split_training(rows).shards;
        }
        let flops = 6.0 * self.work as f64 * rows as f64;
        if flops < SHARDS_FLOPS {
            return 1;
        }
        let fit = GRADIENT_BYTES / (4 * self.parameters);
        (rows / self.shard_rows())
            .min((flops / SHARD_FLOPS) as usize)
            .clamp(1, MOST_SHARDS.min(fit.max(1)))
    }

    /// Lanes of a whole panel.
    fn unit(&self) -> usize {
        mlpc_kernels::gemm::panel(self.options.isa)
    }

    /// Lanes of the largest tile that a training batch of up to so many rows
    /// is cut into.
    pub fn most_lanes(&self, rows: usize) -> usize {
        let tile = if self.is_by_outputs() { quarter(rows) } else { self.train.tile };
        self.lanes(rows.min(tile))
    }

    /// Whether a training step of so many rows is work enough for a second thread:
    /// in shards of its own, or for its share of one shard's products.
    pub fn pays_threads(&self, rows: usize) -> bool {
        // The optimizer takes as long as some 40 operations a parameter.
        let flops = 6.0 * rows as f64 * self.work as f64 + 40.0 * self.parameters as f64;
        match self.is_by_outputs() {
            true => flops >= PARALLEL_FLOPS,
            false => {
                let least = if self.shares(rows, 2).is_some() { SHARES_FLOPS } else { TEAM_FLOPS };
                self.split_training(rows).shards > 1 || flops >= least
            }
        }
    }

    /// The tile of a training batch of so many rows that so many threads share: each
    /// takes a panel of it. None where they share its products, or where there are
    /// several tiles. One thread takes a tile so whose weights products update, where
    /// all values of the tile may be kept: one panel of it.
    pub(crate) fn shares(&self, rows: usize, threads: usize) -> Option<Tile> {
        let split = self.split_training(rows);
        if self.shared.is_none() || split.shards * split.tiles > 1 {
            return None;
        }
        let lanes = self.lanes(rows);
        if threads == 1 {
            let tile = self.tile(rows);
            return (tile.panel == lanes && self.carries(rows)).then_some(tile);
        }
        // Pairs of vectors, in which losses are summed.
        let pair = 2 * self.options.isa.lanes();
        let panel = lanes.div_ceil(threads).next_multiple_of(pair).max(LEAST_LANES_OF_SHARE);
        let panels = lanes.div_ceil(panel);
        (panels > 1).then_some(Tile { width: panels * panel, rows, panel })
    }

    /// Whether a product over so many rows updates the weights that it computes the
    /// gradient of.
    fn carries(&self, rows: usize) -> bool {
        let isa = self.options.isa;
        self.train.steps.iter().any(|step| match *step {
            Step::WeightGradient { weight, rows: Some(packed), algorithm, .. } => {
                let inputs = self.weights[weight].len() / self.tensors[weight].shape[0];
                algorithm == Algorithm::Tiled
                    && packed.of(rows).is_some()
                    && gemm::carries(isa, &self.optimizer, inputs, self.lanes(rows))
            }
            _ => false,
        })
    }

    /// Whether several threads take a training step of so many rows as a team, each
    /// its share, rather than as they come.
    pub(crate) fn suits_team(&self, rows: usize) -> bool {
        6.0 * rows as f64 * self.work as f64 <= MOST_TEAM_FLOPS
    }

    /// Of so many threads, those that a training step of so many rows uses: one a
    /// shard where there are several, else all that it is work enough for.
    pub fn threads_of_step(&self, rows: usize, threads: usize) -> usize {
        match self.pays_threads(rows) {
            false => 1,
            true if self.is_by_outputs() => threads,
            true => match self.split_training(rows).shards {
                1 => threads,
                shards => threads.min(shards),
            },
        }
    }

    fn shard_rows(&self) -> usize {
        if self.is_large() { SHARD_ROWS_LARGE } else { SHARD_ROWS }
    }

    /// Rows of a shard of so many rows to predict: whole tiles, since an even
    /// share of the rows seldom fills its vectors, and enough of them to be
    /// worth handing over.
    pub fn prediction_shard(&self, rows: usize) -> usize {
        let row = 2.0 * self.work as f64;
        let tile = self.predict.tile;
        match row * rows as f64 >= PARALLEL_FLOPS {
            true => ((SHARD_FLOPS / row) as usize).max(1).next_multiple_of(tile),
            false => rows.next_multiple_of(tile),
        }
    }

    /// How a training batch of so many rows is cut, and why, in a line.
    pub fn explain_split(&self, rows: usize) -> String {
        if self.small_step(rows).is_some() {
            return format!("a batch of {rows}: a step is one kernel call, the network is small");
        }
        let split = self.split_training(rows);
        let mflop = 6.0e-6 * self.work as f64 * rows as f64;
        let why = match split.shards {
            _ if self.is_by_outputs() => {
                format!("{} parameters: their gradient is computed by outputs", self.parameters)
            }
            1 if !self.pays_threads(rows) => "too little work for a second thread".to_owned(),
            _ => format!("a shard has at least {} rows", self.shard_rows()),
        };
        let count = |n: usize, of: &str| format!("{n} {of}{}", if n == 1 { "" } else { "s" });
        format!(
            "a batch of {rows}: about {mflop:.1} MFLOP, {} ({why}) of {}; {}",
            count(split.shards, "shard"),
            count(split.tiles, "tile"),
            match self.pays_threads(rows) {
                true if self.shares(rows, 2).is_some() => "on all threads, which share its rows",
                true if split.shards == 1 => "on all threads, which share its products",
                true => "on all threads",
                false if self.shares(rows, 1).is_some() => {
                    "on one thread, which updates weights beside the products of others"
                }
                false => "on one thread",
            }
        )
    }

    /// Lanes that a tile of so many rows takes: whole vectors.
    pub fn lanes(&self, rows: usize) -> usize {
        rows.next_multiple_of(self.options.isa.lanes())
    }
}

impl Program {
    fn split(&self, rows: usize, shards: usize) -> Split {
        let largest = rows.div_ceil(shards);
        Split { rows, shards, tiles: largest.div_ceil(self.tile).max(1) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::check::Limits;
    use crate::plan::{Plan, PlanOptions};
    use mlpc_kernels::simd::Isa;

    #[test]
    fn smaller_batches_have_no_more_shards_than_the_executor_has_room_for() {
        for network in [
            "input 4 -> dense 32 tanh -> dense 16 tanh -> dense 4\nloss mse",
            "input 13 -> dense 64 relu -> dense 64 relu -> dense 1\nloss mse",
            "input 54 -> dense 256 relu -> dense 128 relu -> dense 7 softmax",
            "input 99 -> dense 400 relu -> dense 300 relu -> dense 7 softmax",
        ] {
            let network = network_of(network);
            let plan = Plan::new(&network, PlanOptions::from_environment().unwrap());
            let mut most = 0;
            for rows in 1..5000 {
                most = most.max(plan.split_training(rows).shards);
                assert!(most <= plan.most_shards(rows), "{rows} rows");
            }
            assert!(most > 1);
        }
    }

    #[test]
    fn a_shard_fills_its_panels() {
        let network = network_of("input 4 -> dense 32 tanh -> dense 16 tanh -> dense 4\nloss mse");
        let plan = Plan::new(&network, PlanOptions::from_environment().unwrap());
        // Work for nine.
        let split = plan.split_training(2048);
        assert_eq!(plan.most_shards(2048), 9);
        assert_eq!((split.shards, split.shard(7)), (8, 1792..2048));
    }

    #[test]
    fn one_thread_updates_weights_beside_products_where_that_pays() {
        let says = |text: &str, rows: usize| {
            let plan = Plan::new(&network_of(text), PlanOptions::from_environment().unwrap());
            let how = plan.explain_split(rows);
            assert!(how.contains("on one thread"), "{how}");
            how.contains("beside the products")
        };
        let isa = PlanOptions::from_environment().unwrap().isa;
        let wide = "input 13 -> dense 64 relu -> dense 64 relu -> dense 1; loss mse";
        let narrow = "input 13 -> dense 63 relu -> dense 63 relu -> dense 1; loss mse";
        let adam = |network: &str| format!("{network}; adam");
        assert_eq!(says(&adam(wide), 32), isa == Isa::Avx512);
        assert!(!says(&adam(narrow), 32));
        assert!(!says(&format!("{wide}; sgd"), 32));
    }

    fn network_of(text: &str) -> crate::check::model::Network {
        crate::compile(text).unwrap().network(None, None, &Limits::default()).unwrap()
    }
}
