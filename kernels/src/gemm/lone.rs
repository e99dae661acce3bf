//! Products with one row of A: the forward product of a layer with one output.
//!
//! One sum for every vector of columns would be one chain of dependent
//! multiply-adds, as long as k; a single row of a batch, whose vectors run
//! along k, could not even be summed in its order. So [`CHAINS`] of them are
//! summed side by side:
//!
//! ```text
//! for a block of up to 2 vectors of columns:
//!   sum ← start
//!   for a part of k, as in register tiles:
//!     chain j ← Σ A[l]·B[l] over the part's l ≡ j (mod 8), in order
//!     sum ← sum + (((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)))
//!   C ← sum, or what becomes of it
//! ```
//!
//! The last line's order is that of [`Simd::sum`] for eight lanes:
//! [`single`](crate::single) and [`small`](crate::small) sum in it too.

use super::strip::Strip;
use super::{End, Gemm, InRows, Left, PART, Right, Start, border, column};
use crate::simd::{Op, Simd};

/// Chains of a sum.
pub(crate) const CHAINS: usize = 8;

/// Whether the forward product of a layer of such a shape is summed in chains:
/// with fewer inputs, adding the chains up takes as long as they save.
pub(crate) const fn in_chains(outputs: usize, inputs: usize) -> bool {
    outputs == 1 && inputs >= 2 * CHAINS
}

/// Whether it is a forward product that is summed in chains.
pub(super) fn takes(gemm: &Gemm<'_>) -> bool {
    in_chains(gemm.m, gemm.k)
        && matches!(gemm.a, Left::Strided { .. })
        && matches!(gemm.b, Right::Rows { .. } | Right::Panels { .. })
        && matches!(gemm.end, End::Sum | End::Rectifier { .. })
        && !matches!(gemm.start, Start::BiasOfColumns(_))
}

/// A product that [`takes`] says yes of.
pub(super) struct Lone<'g, 'a> {
    /// All but C.
    pub(super) gemm: &'g Gemm<'a>,
    /// From the exclusive borrow of C.
    pub(super) c: *mut f32,
}

impl Op for Lone<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Lone { gemm, c } = self;
        let &Gemm { n, k, a, b, layout, start, end, .. } = gemm;
        let Left::Strided { data: a, column_stride: a_stride, .. } = a else {
            unreachable!("`takes` refuses it")
        };
        let InRows { data: b, layout: b_layout, .. } = b.in_rows(k).expect("`takes` refuses tiles");
        let most = if S::REGISTERS >= 32 { 2 * S::LANES } else { S::LANES };
        let mut from = 0;
        while from < n {
            let left = border(b_layout, n, from).min(border(layout, n, from)) - from;
            let width = left.min(most);
            let (b_start, b_stride) = column(b_layout, k, n, from);
            let (c_start, _) = column(layout, 1, n, from);
            let block = Block {
                width,
                k,
                a: a.as_ptr(),
                a_stride,
                b: b.as_ptr().wrapping_add(b_start),
                b_stride,
                c: c.wrapping_add(c_start),
                start,
                end,
            };
            // All pointers stay within their slices: Gemm::check has proved
            // that all columns of A, B and C do, and no block of columns
            // crosses a panel's border or ends beyond n.
            match (width > S::LANES, width.is_multiple_of(S::LANES)) {
                (false, true) => block.run::<S, 1, false>(s),
                (false, false) => block.run::<S, 1, true>(s),
                (true, true) => block.run::<S, 2, false>(s),
                (true, false) => block.run::<S, 2, true>(s),
            }
            from += width;
        }
    }
}

/// A block of columns.
struct Block<'a> {
    width: usize,
    k: usize,
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    b_stride: usize,
    /// From the exclusive borrow of C.
    c: *mut f32,
    start: Start<'a>,
    end: End<'a>,
}

impl Block<'_> {
    /// NV vectors, of the last of which `MASKED` takes a part.
    #[inline(always)]
    fn run<S: Simd, const NV: usize, const MASKED: bool>(&self, s: S) {
        let last = self.width.wrapping_sub((NV - 1) * S::LANES);
        let zero = Strip::<S, NV>::splat(s, 0.0);
        let mut total = match self.start {
            Start::Zero => zero,
            // SAFETY: NV vectors of C.
            Start::C => unsafe { Strip::load::<MASKED>(s, self.c, S::LANES, last) },
            Start::Bias(bias) => Strip::splat(s, bias[0]),
            Start::BiasOfColumns(_) => unreachable!("`takes` refuses it"),
        };
        let (mut a, mut b) = (self.a, self.b);
        let parts = self.k.div_ceil(PART);
        let mut left = self.k;
        for part in 0..parts {
            let run = left.div_ceil(parts - part);
            left -= run;
            let (mut c0, mut c1, mut c2, mut c3) = (zero, zero, zero, zero);
            let (mut c4, mut c5, mut c6, mut c7) = (zero, zero, zero, zero);
            // A product for each chain that is below `$count`.
            macro_rules! chains {
                ($count:expr; $($chain:ident = $j:literal),*) => {
                    $(if $count > $j {
                        // SAFETY: A's column l and NV vectors of B's row l, of
                        // which the last has so many lanes.
                        unsafe {
                            let b = Strip::<S, NV>::load::<MASKED>(s, b, S::LANES, last);
                            $chain = $chain.mul_add(s, s.splat(*a), b);
                        }
                        a = a.wrapping_add(self.a_stride);
                        b = b.wrapping_add(self.b_stride);
                    })*
                };
                ($count:expr) => {
                    chains!(
                        $count;
                        c0 = 0, c1 = 1, c2 = 2, c3 = 3, c4 = 4, c5 = 5, c6 = 6, c7 = 7
                    )
                };
            }
            for _ in 0..run / CHAINS {
                chains!(CHAINS);
            }
            let rest = run % CHAINS;
            chains!(rest);
            let even = c0.add(s, c4).add(s, c2.add(s, c6));
            let odd = c1.add(s, c5).add(s, c3.add(s, c7));
            total = total.add(s, even.add(s, odd));
        }
        match self.end {
            End::Rectifier { leak: 0.0 } => total = total.rectified(s),
            End::Rectifier { leak } => total = total.leaky(s, leak),
            End::Sum | End::Slope { .. } => {}
        }
        // SAFETY: NV vectors of C, which is borrowed exclusively.
        unsafe { total.store::<MASKED>(s, self.c, last) }
    }
}
