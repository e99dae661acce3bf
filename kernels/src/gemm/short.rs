//! Products of few columns of A: the forward product of a layer with few inputs, the input
//! gradient of one with few outputs.
//!
//! There the accumulators of a register tile are started, ended and stored as often as
//! they are added to. So B's columns stay in registers instead, and the rows of A, which
//! then are one load each, go by:
//!
//! ```text
//! for a block of up to NV vectors of columns:
//!   load the k rows of B
//!   for each row of A:
//!     NV sums ← start + A[row][0]·B[0] + … + A[row][k − 1]·B[k − 1]
//!     C ← sums, or what becomes of them
//! ```

use super::strip::Strip;
use super::tiled::Tiled;
use super::{End, Gemm, InRows, Layout, Left, Right, Slope, Start};
use crate::simd::{Op, Simd};

/// Vectors of columns of a block, for so many columns of A: what leaves room for the rows
/// of B. 0 where there is none.
const fn vectors(registers: usize, k: usize) -> usize {
    match (registers, k) {
        (32.., 1..=4) => 4,
        (32.., 5..=12) => 2,
        (32.., 13..=16) => 1,
        (16.., 1..=6) => 2,
        // They are put down, but near, and tiles of so few registers are small.
        (..16, 1..=16) => 2,
        _ => 0,
    }
}

/// Columns of A beyond which loading B's takes longer than what is saved with fewer rows.
const MANY: usize = 8;

/// Whether it is such a product.
#[inline(always)]
pub(super) fn takes<S: Simd>(gemm: &Gemm<'_>) -> bool {
    vectors(S::REGISTERS, gemm.k) > 0
        && (gemm.k <= MANY || gemm.m >= gemm.k)
        && matches!(gemm.a, Left::Strided { .. })
        && matches!(gemm.b, Right::Rows { .. } | Right::Panels { .. })
}

/// A product that [`takes`] says yes of: the same bits as by register tiles.
#[inline(always)]
pub(super) fn run<S: Simd>(s: S, product: &Tiled<'_, '_>) {
    macro_rules! columns {
        ($($k:literal)*) => {
            match product.gemm.k {
                $($k if const { vectors(S::REGISTERS, $k) } > 0 => {
                    s.outlined(Columns::<$k>(product));
                })*
                _ => unreachable!("`takes` refuses it"),
            }
        };
    }
    columns!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
}

/// Where a block of columns of a matrix begins.
struct Place {
    layout: Layout,
    rows: usize,
    /// Columns from here on, and those of them that lie with this one.
    columns: usize,
    left: usize,
    /// Its element in row 0, and from there to the next row's.
    at: usize,
    stride: usize,
}

impl Place {
    /// The first of `columns` in a matrix of so many rows.
    #[inline(always)]
    fn first(layout: Layout, rows: usize, columns: usize) -> Place {
        let (left, stride) = match layout {
            Layout::Rows(stride) => (columns, stride),
            Layout::Panels(panel) => (panel.min(columns), panel.min(columns)),
        };
        Place { layout, rows, columns, left, at: 0, stride }
    }

    /// Goes on by so many columns, at most those that are left.
    #[inline(always)]
    fn advance(&mut self, width: usize) {
        self.columns -= width;
        self.left -= width;
        self.at += width;
        if let (Layout::Panels(panel), 0) = (self.layout, self.left) {
            self.at += (self.rows - 1) * self.stride;
            self.stride = panel.min(self.columns);
            self.left = self.stride;
        }
    }
}

/// K columns of A.
struct Columns<'t, 'g, 'a, const K: usize>(&'t Tiled<'g, 'a>);

impl<const K: usize> Op for Columns<'_, '_, '_, K> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let &Tiled { gemm, c, rows_of_c, first } = self.0;
        let &Gemm { m, n, a, b, layout, start, end, ahead, .. } = gemm;
        let Left::Strided { data: a, row_stride: a_row, column_stride: a_column } = a else {
            unreachable!("`takes` refuses it")
        };
        let InRows { data: b, layout: of_b, .. } = b.in_rows(K).expect("`takes` refuses tiles");
        let y = match end {
            End::Slope { y, .. } => y.as_ptr(),
            End::Sum | End::Rectifier { .. } => std::ptr::null(),
        };
        // Bytes to be asked for with each vector of columns.
        let asks = size_of_val(ahead).div_ceil(n.div_ceil(S::LANES));
        let mut ahead = ahead.as_ptr();
        let mut in_b = Place::first(of_b, K, n);
        let mut in_c = Place::first(layout, rows_of_c, n);
        while in_c.columns > 0 {
            let left = in_b.left.min(in_c.left);
            let to_c = in_c.at + first * in_c.stride;
            let block = Block {
                rows: m,
                a: a.as_ptr(),
                a_row,
                a_column,
                b: b.as_ptr().wrapping_add(in_b.at),
                b_stride: in_b.stride,
                c: c.wrapping_add(to_c),
                c_stride: in_c.stride,
                start,
                column: n - in_c.columns,
                end,
                y: y.wrapping_add(to_c),
                last: left.min(S::LANES),
            };
            // All pointers stay within their slices: Gemm::check has proved that all
            // rows and columns of A, B and C do, and no block crosses a panel's border or
            // ends beyond n.
            let most = const { vectors(S::REGISTERS, K) };
            let vectors = match left / S::LANES {
                4.. if most >= 4 => {
                    block.run::<S, K, 4, false>(s);
                    4
                }
                2.. if most >= 2 => {
                    block.run::<S, K, 2, false>(s);
                    2
                }
                0 => {
                    block.run::<S, K, 1, true>(s);
                    1
                }
                _ => {
                    block.run::<S, K, 1, false>(s);
                    1
                }
            };
            for line in (0..asks * vectors).step_by(64) {
                s.prefetch(ahead.wrapping_byte_add(line));
            }
            ahead = ahead.wrapping_byte_add(asks * vectors);
            let width = left.min(vectors * S::LANES);
            in_b.advance(width);
            in_c.advance(width);
        }
    }
}

/// A block of columns.
struct Block<'a> {
    rows: usize,
    a: *const f32,
    a_row: usize,
    a_column: usize,
    b: *const f32,
    b_stride: usize,
    /// From the exclusive borrow of C.
    c: *mut f32,
    c_stride: usize,
    start: Start<'a>,
    /// The first column.
    column: usize,
    end: End<'a>,
    /// What `end` takes a slope of, which lies as C does.
    y: *const f32,
    /// Lanes of the last vector, where it is masked.
    last: usize,
}

impl Block<'_> {
    /// NV vectors, of the last of which `MASKED` takes a part.
    #[inline(always)]
    fn run<S: Simd, const K: usize, const NV: usize, const MASKED: bool>(&self, s: S) {
        let &Block { rows, mut a, a_row, a_column, b, b_stride, mut c, c_stride, .. } = self;
        let (last, mut y) = (self.last, self.y);
        let zero = Strip::<S, NV>::splat(s, 0.0);
        // Closures in closures would not be compiled with this instruction set.
        macro_rules! load {
            ($at:expr) => {
                // SAFETY: NV vectors of a row of B or C, or of what lies as C does, or
                // of a bias a column.
                unsafe { Strip::<S, NV>::load::<MASKED>(s, $at, S::LANES, last) }
            };
        }
        macro_rules! row_of_b {
            ($l:literal) => {
                if K > $l { load!(b.wrapping_add($l * b_stride)) } else { zero }
            };
        }
        let (b0, b1, b2, b3) = (row_of_b!(0), row_of_b!(1), row_of_b!(2), row_of_b!(3));
        let (b4, b5, b6, b7) = (row_of_b!(4), row_of_b!(5), row_of_b!(6), row_of_b!(7));
        let (b8, b9, b10, b11) = (row_of_b!(8), row_of_b!(9), row_of_b!(10), row_of_b!(11));
        let (b12, b13, b14, b15) = (row_of_b!(12), row_of_b!(13), row_of_b!(14), row_of_b!(15));
        let of_columns = match self.start {
            Start::BiasOfColumns(bias) => load!(bias.as_ptr().wrapping_add(self.column)),
            _ => zero,
        };
        for row in 0..rows {
            let mut sum = match self.start {
                Start::Bias(bias) => Strip::splat(s, bias[row]),
                _ => of_columns,
            };
            macro_rules! add {
                ($($b:ident = $l:literal)*) => {
                    $(if K > $l {
                        // SAFETY: a column of a row of A.
                        let factor = unsafe { *a.wrapping_add($l * a_column) };
                        sum = sum.mul_add(s, s.splat(factor), $b);
                    })*
                };
            }
            add!(b0 = 0 b1 = 1 b2 = 2 b3 = 3 b4 = 4 b5 = 5 b6 = 6 b7 = 7);
            add!(b8 = 8 b9 = 9 b10 = 10 b11 = 11 b12 = 12 b13 = 13 b14 = 14 b15 = 15);
            if matches!(self.start, Start::C) {
                sum = sum.add(s, load!(c));
            }
            // Each case by itself.
            sum = match self.end {
                End::Sum => sum,
                End::Rectifier { leak: 0.0 } => sum.rectified(s),
                End::Rectifier { leak } => sum.leaky(s, leak),
                End::Slope { slope: Slope::Kept, .. } => sum.times(s, Slope::Kept, load!(y)),
                End::Slope { slope: Slope::Rectifier { leak }, .. } => {
                    sum.times(s, Slope::Rectifier { leak }, load!(y))
                }
                End::Slope { slope: Slope::Tanh, .. } => sum.times(s, Slope::Tanh, load!(y)),
                End::Slope { slope: Slope::Sigmoid, .. } => sum.times(s, Slope::Sigmoid, load!(y)),
            };
            // SAFETY: NV vectors of C's row, and C is borrowed exclusively.
            unsafe { sum.store::<MASKED>(s, c, last) };
            a = a.wrapping_add(a_row);
            c = c.wrapping_add(c_stride);
            y = y.wrapping_add(c_stride);
        }
    }
}
