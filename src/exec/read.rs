//! A tile whose values are only read: its part of the gradient of parameters.

use super::fork::Threads;
use super::pieces;
use super::reduce::Runs;
use super::tile::range;
use crate::plan::{BufferId, Plan, Program, Step};
use mlpc_kernels::gemm::{Algorithm, Gemm, Left, Right};
use mlpc_kernels::layout::{Picked, Tile, sum_features};
use std::ops::Range;

/// The operands of a weight gradient, and who computes it: `x` is the tile of x or
/// its rows in panels, as the algorithm takes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    dz: BufferId,
    /// None where the rows of the batch are read as they lie.
    x: Option<BufferId>,
    pub(super) algorithm: Algorithm,
    /// Whether it is added to what is there.
    accumulate: bool,
}

impl Product {
    /// A weight gradient's, over a tile of so many rows: of rows in panels where they
    /// are packed, else scalar products of the tiles.
    pub(super) fn of(step: &Step, rows: usize, accumulate: bool) -> Product {
        let Step::WeightGradient { dz, x, rows: packed, algorithm, .. } = *step else {
            unreachable!("not a weight gradient: {step:?}")
        };
        let (x, algorithm) = match packed.and_then(|packed| packed.of(rows)) {
            Some(packed) => (Some(packed), algorithm),
            None if x.is_none() => (None, Algorithm::Rows),
            None => (x, Algorithm::Dots),
        };
        Product { dz, x, algorithm, accumulate }
    }
}

/// A tile whose values are only read.
pub(super) struct Read<'a> {
    pub(super) plan: &'a Plan,
    pub(super) program: &'a Program,
    pub(super) tile: Tile,
    pub(super) arena: &'a [f32],
    /// Its rows, where they are read as they lie.
    pub(super) rows: Option<Picked<'a>>,
    /// The thread's own arena, where it is not the shard's.
    pub(super) own: Option<&'a [f32]>,
    /// Whether the arena is one panel of the tile with all its buffers behind the
    /// other, a thread's share each: a buffer is some features of the whole.
    pub(super) shared: bool,
}

impl Read<'_> {
    pub(super) fn width(&self, buffer: BufferId) -> usize {
        self.program.buffers[buffer].width
    }

    pub(super) fn get(&self, buffer: BufferId) -> &[f32] {
        let arena = match self.own {
            Some(own) if self.program.own.contains(&buffer) => own,
            _ => self.arena,
        };
        &arena[range(self.program, self.tile, buffer)]
    }

    /// ∂W (+)= dz·xᵀ over the tile, for some rows of W. Returns whether these have been
    /// updated, see [`Runs::compute`].
    pub(super) fn weight_gradient(
        &self,
        outputs: Range<usize>,
        product: Product,
        run: Runs<'_>,
    ) -> bool {
        run.compute(self.plan, product.algorithm, |gradient| {
            let mut product = self.product(product, gradient);
            product.leave_rows(outputs);
            product
        })
    }

    /// The same, on several threads where that pays.
    pub(super) fn share_weight_gradient(
        &self,
        outputs: Range<usize>,
        product: Product,
        gradient: &mut [f32],
        threads: Threads<'_>,
    ) {
        let inputs = gradient.len() / outputs.len();
        let flops = 2.0 * (gradient.len() * self.tile.width) as f64;
        let [part, parts] = threads.first_half();
        let rows = (outputs.len() * part).div_ceil(parts);
        if !pieces::pays(&threads, flops) || rows == outputs.len() {
            let own = threads.arena();
            let read = Read { own: own.as_deref().map(|own| &**own), ..*self };
            read.weight_gradient(outputs, product, Runs::of_gradient(gradient));
            return;
        }
        let (low, high) = gradient.split_at_mut(rows * inputs);
        let (low_rows, high_rows) =
            (outputs.start..outputs.start + rows, outputs.start + rows..outputs.end);
        threads.join(
            |threads| self.share_weight_gradient(low_rows, product, low, threads),
            |threads| self.share_weight_gradient(high_rows, product, high, threads),
        );
    }

    /// The whole product.
    fn product<'b>(&'b self, product: Product, gradient: &'b mut [f32]) -> Gemm<'b> {
        let Product { dz, x, algorithm, accumulate } = product;
        let (plan, tile) = (self.plan, self.tile);
        let (inputs, right) = match x {
            None => {
                let rows = self.rows.expect("rows are given to programs that read them");
                (rows.columns(), Right::Picked(rows))
            }
            Some(x) => {
                let (data, [features, first]) = self.features(x);
                let right = match algorithm {
                    Algorithm::Dots => Right::Tile { data, tile, features, first },
                    _ if self.shared => Right::Blocks {
                        data: &data[first * tile.panel..],
                        panel: plan.panel,
                        rows: tile.panel,
                        apart: features * tile.panel,
                    },
                    _ => Right::Panels { data, panel: plan.panel },
                };
                (self.width(x), right)
            }
        };
        let shape = [self.width(dz), inputs];
        let (data, [features, first]) = self.features(dz);
        let mut gemm = Gemm::weight_gradient(tile, shape, data, right, gradient, accumulate);
        gemm.a = Left::Tile { data, tile, features, first };
        gemm
    }

    /// A tile that a buffer's features are a part of: its elements, its features, and
    /// the first of the buffer's.
    fn features(&self, buffer: BufferId) -> (&[f32], [usize; 2]) {
        match self.shared {
            false => (self.get(buffer), [self.width(buffer), 0]),
            true => (self.arena, [self.program.arena, self.program.buffers[buffer].offset]),
        }
    }

    /// ∂b (+)= Σ dz; padding lanes hold 0.
    pub(super) fn bias_gradient(&self, dz: BufferId, gradient: &mut [f32], accumulate: bool) {
        let (data, features) = self.features(dz);
        sum_features(self.plan.options.isa, self.tile, data, features, gradient, accumulate);
    }
}
