//! Register tiles beside which parameters are updated.
//!
//! An update like Adam's waits for a root and a division a vector, and for four
//! buffers; multiply-adds wait for neither. So while a register tile of a weight
//! gradient is computed, the parameters are updated whose gradient the one before has
//! left, a vector beside each of the first steps along k:
//!
//! ```text
//! for a panel of B:
//!   for a block of up to MR rows of A:
//!     MR × NV accumulators ← 0
//!     for l in k:
//!       load NV vectors of B's row l
//!       for each of the MR rows: broadcast A[row][l], NV multiply-adds
//!       update one vector of the block before, while there is one
//!     C ← accumulators, or C + accumulators
//! update the last block
//! ```
//!
//! Every element is the same sum as in [`tiled`](super::tiled), and every parameter is
//! updated as it would be behind the product: the results are the same bits.

use super::source::Source;
use super::strip::Strip;
use super::tiled::{PART, Tiled, vectors};
use super::{Algorithm, End, Gemm, InRows, Layout, Left, Right, Start, column};
use crate::optim::{Carrier, Updates};
use crate::simd::{Isa, Op, Simd};

/// Vectors of columns of a register tile, and rows at the most: the accumulators, a row of
/// B, two broadcasts and what an update computes with, some 6 vectors, fill 32 registers.
/// (With 16 too few accumulators are left: a whole step takes 15% more.)
const NV: usize = vectors(32);
const MOST_ROWS: usize = 5;

/// Whether an instruction set has registers enough.
pub(super) fn has_registers(isa: Isa) -> bool {
    struct Registers;
    impl Op for Registers {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            S::REGISTERS
        }
    }
    isa.run(Registers) >= 32
}

/// Whether it is a weight gradient that can be computed so: rows of C without gaps, B in
/// panels of a register tile's width, and k in one part.
pub(super) fn takes(gemm: &Gemm<'_>, isa: Isa) -> bool {
    let panels = match (gemm.a, gemm.b) {
        (Left::Tile { .. }, Right::Panels { panel, .. } | Right::Blocks { panel, .. }) => {
            panel == NV * isa.lanes() && gemm.n >= panel
        }
        _ => false,
    };
    let plain = matches!(gemm.end, End::Sum) && matches!(gemm.start, Start::Zero | Start::C);
    let rows = gemm.m > 0 && gemm.layout == Layout::Rows(gemm.n);
    let one_part = (1..=PART).contains(&gemm.k);
    panels && plain && rows && one_part && has_registers(isa) && Algorithm::Tiled.takes(gemm)
}

/// A product that this file [takes], and that has been checked.
pub(super) struct Tiles<'g, 'a> {
    pub(super) gemm: &'g Gemm<'a>,
    /// From the exclusive borrow of C.
    pub(super) c: *mut f32,
    pub(super) isa: Isa,
}

impl Carrier for Tiles<'_, '_> {
    fn run<U: Updates>(self, update: U) {
        let Tiles { gemm, c, isa } = self;
        let columns = gemm.n - gemm.n % (NV * isa.lanes());
        if columns < gemm.n {
            let b = match gemm.b {
                Right::Panels { data, panel } => {
                    Right::Panels { data: &data[columns * gemm.k..], panel }
                }
                Right::Blocks { data, panel, rows, apart } => {
                    Right::Blocks { data: &data[columns * rows..], panel, rows, apart }
                }
                _ => unreachable!("`takes` refuses it"),
            };
            let rest = &Gemm { n: gemm.n - columns, b, c: &mut [], ..*gemm };
            let c = c.wrapping_add(columns);
            isa.run(Tiled { gemm: rest, c, rows_of_c: rest.m, first: 0 });
        }
        isa.run(Carried { gemm, c, columns, update });
    }
}

/// The first `columns` columns of a product, in whole panels, and the update of all.
struct Carried<'g, 'a, U> {
    gemm: &'g Gemm<'a>,
    /// From the exclusive borrow of C.
    c: *mut f32,
    columns: usize,
    update: U,
}

impl<U: Updates> Op for Carried<'_, '_, U> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Carried { gemm, c, columns, update } = self;
        let &Gemm { m, n, k, a, b, start, .. } = gemm;
        if S::REGISTERS < 32 {
            unreachable!("`takes` refuses such registers");
        }
        // What is left of the rows, which has been computed.
        for row in 0..m {
            let (mut at, end) = (row * n + columns, (row + 1) * n);
            while at < end {
                let count = S::LANES.min(end - at);
                // SAFETY: within row `row` of C, which has as many elements as there
                // are parameters: Gemm::run_carrying has checked.
                unsafe {
                    let gradient = c.add(at);
                    match count == S::LANES {
                        true => update.vector::<S, true>(s, at, count, s.load_ptr(gradient)),
                        false => {
                            let gradient = s.load_first(gradient, count);
                            update.vector::<S, false>(s, at, count, gradient);
                        }
                    }
                }
                at += count;
            }
        }
        let InRows { data, layout, rows: b_rows, apart } =
            b.in_rows(k).expect("`takes` has seen them");
        let Left::Tile { data: of_a, tile, features, first } = a else {
            unreachable!("`takes` refuses others")
        };
        let source = Source::of_tile(of_a, tile, features, 0..k).at_row(first);
        let width = NV * S::LANES;
        let row_blocks = m.div_ceil(MOST_ROWS);
        let (each, more) = (m / row_blocks, m % row_blocks);
        let mut block = Block {
            take: 0,
            a: source,
            b: data.as_ptr(),
            b_stride: width,
            b_jump: apart.map_or(0, |apart| apart.wrapping_sub(b_rows * width)),
            c,
            stride: n,
            onto: matches!(start, Start::C),
            all: c,
            update,
            pending: 0,
            pending_rows: 0,
        };
        for from in (0..columns).step_by(width) {
            block.b = data.as_ptr().wrapping_add(column(layout, b_rows, n, from).0);
            let mut row = 0;
            for number in 0..row_blocks {
                block.take = each + usize::from(number < more);
                block.a = source.at_row(row);
                block.c = c.wrapping_add(row * n + from);
                block.run(s);
                block.pending = row * n + from;
                block.pending_rows = block.take;
                row += block.take;
            }
        }
        block.finish(s);
    }
}

/// A register tile's work.
struct Block<U> {
    /// Rows.
    take: usize,
    a: Source,
    b: *const f32,
    b_stride: usize,
    /// From the end of a block of B's rows to the next one.
    b_jump: usize,
    c: *mut f32,
    /// From one row of C to the next.
    stride: usize,
    /// Whether the sums are added to C.
    onto: bool,
    /// C from its first element on.
    all: *const f32,
    update: U,
    /// The first element of C that has no update yet, and rows of them.
    pending: usize,
    pending_rows: usize,
}

/// Writes `Block::run` as `register_tiles` does.
macro_rules! carrying_tiles {
    ($($mr:literal: $($r:ident = $i:literal),*;)*) => {
        impl<U: Updates> Block<U> {
            /// The tile, and the update of what is pending.
            #[inline(always)]
            fn run<S: Simd>(&mut self, s: S) {
                // All pointers below stay within their slices: Gemm::check has
                // proved that all rows and columns of A, B and C do, and
                // Carried::run cuts columns so that they end at n, and rows so
                // that they end at m. Pointers past the last row or column are
                // made (by wrapping_add) but not read.
                let update = self.update;
                let (mut pending, mut pending_rows) = (self.pending, self.pending_rows);
                match self.take {
                    $($mr => {
                        $(let mut $r = Strip::<S, NV>::splat(s, 0.0);)*
                        let mut b = self.b;
                        let Source { mut at, mut row, column, mut run, mut runs, .. } = self.a;
                        let mut tail = self.a.tail;
                        loop {
                            if runs == 0 {
                                if tail == 0 {
                                    break;
                                }
                                (at, row, run) = (self.a.tail_at, self.a.tail_row, tail);
                                (runs, tail) = (1, 0);
                            }
                            let mut a = at;
                            let mut left = run;
                            while pending_rows > 0 && left >= NV {
                                for v in 0..NV {
                                    // SAFETY: NV vectors of B's row l.
                                    let b_row = unsafe {
                                        Strip::<S, NV>::load::<false>(s, b, S::LANES, S::LANES)
                                    };
                                    $(
                                        // SAFETY: A[row + $i][l] is in its slice.
                                        let factor = unsafe { *a.wrapping_add($i * row) };
                                        $r = $r.mul_add(s, s.splat(factor), b_row);
                                    )*
                                    let at = pending + v * S::LANES;
                                    // SAFETY: an element of C and the vector from it
                                    // on, in a whole panel.
                                    unsafe {
                                        let gradient = s.load_ptr(self.all.add(at));
                                        update.vector::<S, true>(s, at, S::LANES, gradient);
                                    }
                                    a = a.wrapping_add(column);
                                    b = b.wrapping_add(self.b_stride);
                                }
                                pending += self.stride;
                                pending_rows -= 1;
                                left -= NV;
                            }
                            for _ in 0..left {
                                // SAFETY: NV vectors of B's row l.
                                let b_row = unsafe {
                                    Strip::<S, NV>::load::<false>(s, b, S::LANES, S::LANES)
                                };
                                $(
                                    // SAFETY: A[row + $i][l] is in its slice.
                                    let factor = unsafe { *a.wrapping_add($i * row) };
                                    $r = $r.mul_add(s, s.splat(factor), b_row);
                                )*
                                a = a.wrapping_add(column);
                                b = b.wrapping_add(self.b_stride);
                            }
                            at = at.wrapping_add(self.a.jump);
                            b = b.wrapping_add(self.b_jump);
                            runs -= 1;
                        }
                        if self.onto {
                            let load = |i: usize| -> Strip<S, NV> {
                                let at = self.c.wrapping_add(i * self.stride);
                                // SAFETY: NV vectors of a row of C.
                                unsafe { Strip::load::<false>(s, at, S::LANES, S::LANES) }
                            };
                            $($r = $r.add(s, load($i));)*
                        }
                        $(
                            let at = self.c.wrapping_add($i * self.stride);
                            // SAFETY: NV vectors of C's row, and C is borrowed
                            // exclusively.
                            unsafe { $r.store::<false>(s, at, S::LANES) };
                        )*
                    })*
                    _ => unreachable!("blocks have 1 to {MOST_ROWS} rows"),
                }
                (self.pending, self.pending_rows) = (pending, pending_rows);
                self.finish(s);
            }

            /// Updates what is pending still.
            #[inline(always)]
            fn finish<S: Simd>(&mut self, s: S) {
                while self.pending_rows > 0 {
                    for v in 0..NV {
                        let at = self.pending + v * S::LANES;
                        // SAFETY: as above.
                        unsafe {
                            let gradient = s.load_ptr(self.all.add(at));
                            self.update.vector::<S, true>(s, at, S::LANES, gradient);
                        }
                    }
                    self.pending += self.stride;
                    self.pending_rows -= 1;
                }
            }
        }
    };
}

carrying_tiles! {
    1: r0 = 0;
    2: r0 = 0, r1 = 1;
    3: r0 = 0, r1 = 1, r2 = 2;
    4: r0 = 0, r1 = 1, r2 = 2, r3 = 3;
    5: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4;
}
