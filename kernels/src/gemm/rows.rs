//! Products with rows of a matrix as they lie, wherever each of them is: a first layer of
//! few outputs, without a tile of its inputs.
//!
//! ```text
//! forward:  for a vector of rows:
//!             for 8 columns: transpose them in registers, (4 with 16 registers or fewer)
//!                            8·8 multiply-adds with a number of W each
//!             write 8 features of z
//! weight gradient:
//!           for a row: 3 vectors of x, 8 numbers of dz, 24 multiply-adds
//!           write 8 rows of dW
//! ```
//!
//! x is read twice and never written. A tile of it would be worth that for more outputs,
//! for eight of which each vector of rows is transposed again.

use super::strip::Strip;
use super::{End, Gemm, Layout, Left, PART, Right, Start};
use crate::layout::{Picked, Tile};
use crate::simd::{Op, Simd, WIDEST};

/// Outputs of a block.
const fn outputs(registers: usize) -> usize {
    if registers >= 16 { 8 } else { 4 }
}

/// Columns that are transposed at a time.
const COLUMNS: usize = 4;

/// What stands for rows in padding lanes.
static ZEROS: [f32; PART] = [0.0; PART];

/// Whether [`Forward`] or [`WeightGradient`] takes such operands.
pub(super) fn takes(gemm: &Gemm<'_>) -> bool {
    match (gemm.a, gemm.b, gemm.layout, gemm.start, gemm.end) {
        (
            Left::Strided { column_stride: 1, .. },
            Right::PickedColumns(_),
            Layout::Panels(_),
            Start::Zero | Start::Bias(_),
            End::Sum | End::Rectifier { .. },
        ) => gemm.k <= PART,
        (
            Left::Tile { .. },
            Right::Picked(_),
            Layout::Rows(_),
            Start::Zero | Start::C,
            End::Sum,
        ) => true,
        _ => false,
    }
}

/// z ← W·x (+ b), and a rectifier of it: the sums are those of register tiles, in their
/// order.
pub(super) struct Forward<'g, 'a>(pub(super) &'g mut Gemm<'a>);

impl Op for Forward<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let &mut Gemm { m, n, k, a, b, ref mut c, layout, start, end, .. } = self.0;
        let (
            Left::Strided { data: w, row_stride, .. },
            Right::PickedColumns(rows),
            Layout::Panels(panel),
        ) = (a, b, layout)
        else {
            unreachable!("`takes` refuses it")
        };
        let most = const { outputs(S::REGISTERS) };
        let mut first = 0;
        while first < m {
            let some = Outputs {
                // Even blocks.
                outputs: (m - first).div_ceil((m - first).div_ceil(most)),
                first,
                of: m,
                w: w.as_ptr().wrapping_add(first * row_stride),
                row_stride,
                k,
                rows,
                lanes: n,
                panel,
                bias: match start {
                    Start::Bias(bias) => &bias[first..],
                    _ => &[],
                },
                end,
                z: c.as_mut_ptr(),
            };
            first += some.outputs;
            match some.outputs {
                1 => s.outlined(Block::<1>(&some)),
                2 => s.outlined(Block::<2>(&some)),
                3 => s.outlined(Block::<3>(&some)),
                4 => s.outlined(Block::<4>(&some)),
                5 if most > 4 => s.outlined(Block::<5>(&some)),
                6 if most > 4 => s.outlined(Block::<6>(&some)),
                7 if most > 4 => s.outlined(Block::<7>(&some)),
                8 if most > 4 => s.outlined(Block::<8>(&some)),
                _ => unreachable!("blocks have 1 to {most} outputs"),
            }
        }
    }
}

/// Some outputs of [`Forward`], of so many, for all lanes: operands that
/// [`Gemm::check`] has proved to lie within their slices.
struct Outputs<'a> {
    outputs: usize,
    first: usize,
    of: usize,
    /// The first one's weights, one behind the other, and from there to the next one's.
    w: *const f32,
    row_stride: usize,
    k: usize,
    rows: Picked<'a>,
    lanes: usize,
    panel: usize,
    /// None, or one an output.
    bias: &'a [f32],
    end: End<'a>,
    /// The whole of C, exclusively borrowed.
    z: *mut f32,
}

/// N of them.
struct Block<'a, const N: usize>(&'a Outputs<'a>);

impl<const N: usize> Op for Block<'_, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let &Outputs {
            first, of, w, row_stride, k, rows, lanes, panel: most, bias, end, z, ..
        } = self.0;
        let bias: [f32; N] = match bias.first_chunk() {
            Some(bias) => *bias,
            None => [0.0; N],
        };
        let mut from = [ZEROS.as_ptr(); WIDEST];
        let mut panel = 0;
        while panel < lanes {
            let width = most.min(lanes - panel);
            let z = z.wrapping_add(panel * of + first * width);
            let mut lane = 0;
            while lane < width {
                let whole = lane + S::LANES <= width;
                match whole && panel + lane + S::LANES <= rows.count() {
                    true => rows.starts(panel + lane, &mut from[..S::LANES]),
                    false => rest(rows, panel + lane, &mut from),
                }
                // SAFETY: each pointer is to a row of the matrix (Picked), of k columns
                // (Gemm::check), or to as many zeros, since k ≤ PART; N rows of W have k
                // columns.
                let mut sums: [S::V; N] = unsafe { sums(s, from.as_ptr(), k, w, row_stride, bias) };
                if let End::Rectifier { leak } = end {
                    for sum in &mut sums {
                        *sum = rectified(s, *sum, leak);
                    }
                }
                for (i, sum) in sums.into_iter().enumerate() {
                    let to = z.wrapping_add(i * width + lane);
                    // SAFETY: as many lanes of a feature of the panel as it has there.
                    unsafe {
                        match whole {
                            true => s.store_ptr(sum, to),
                            false => s.store_first(sum, to, S::LANES.min(width - lane)),
                        }
                    }
                }
                lane += S::LANES;
            }
            panel += width;
        }
    }
}

/// Where the rows from one place on begin, and zeros behind them.
#[cold]
#[inline(never)]
fn rest(rows: Picked<'_>, place: usize, from: &mut [*const f32; WIDEST]) {
    *from = [ZEROS.as_ptr(); WIDEST];
    let left = rows.count().saturating_sub(place).min(WIDEST);
    rows.starts(place.min(rows.count()), &mut from[..left]);
}

/// The sums of N outputs for a vector of rows, each started with its bias.
///
/// # Safety
/// `from` holds a pointer a lane, and each is valid for reading k elements; of W, N rows
/// of k columns are.
#[inline(always)]
unsafe fn sums<S: Simd, const N: usize>(
    s: S,
    from: *const *const f32,
    k: usize,
    w: *const f32,
    row_stride: usize,
    bias: [f32; N],
) -> [S::V; N] {
    // By name: see `strip`. What is beyond N is never computed.
    let start = |i: usize| s.splat(if i < N { bias[i] } else { 0.0 });
    let mut a = Strip::<S, 4> { a: start(0), b: start(1), c: start(2), d: start(3) };
    let mut b = Strip::<S, 4> { a: start(4), b: start(5), c: start(6), d: start(7) };
    // SAFETY: no column is beyond k; the rest is the caller's promise.
    unsafe {
        let mut at = 0;
        while S::REGISTERS >= 32 && at + 2 * COLUMNS <= k {
            let x = s.columns8(from, at);
            for (j, x) in x.into_iter().enumerate() {
                add::<S, N>(s, &mut a, &mut b, w.wrapping_add(at + j), row_stride, x);
            }
            at += 2 * COLUMNS;
        }
        while at + COLUMNS <= k {
            let x = s.columns4(from, at);
            for (j, x) in x.into_iter().enumerate() {
                add::<S, N>(s, &mut a, &mut b, w.wrapping_add(at + j), row_stride, x);
            }
            at += COLUMNS;
        }
        if at < k && k >= COLUMNS {
            // The last ones, of which some have been added before.
            let last = k - COLUMNS;
            let [_, second, third, fourth] = s.columns4(from, last);
            if k - at > 2 {
                add::<S, N>(s, &mut a, &mut b, w.wrapping_add(last + 1), row_stride, second);
            }
            if k - at > 1 {
                add::<S, N>(s, &mut a, &mut b, w.wrapping_add(last + 2), row_stride, third);
            }
            add::<S, N>(s, &mut a, &mut b, w.wrapping_add(last + 3), row_stride, fourth);
            at = k;
        }
        while at < k {
            let x = s.gather(from, at);
            add::<S, N>(s, &mut a, &mut b, w.wrapping_add(at), row_stride, x);
            at += 1;
        }
    }
    let all = [a.a, a.b, a.c, a.d, b.a, b.b, b.c, b.d];
    let mut sums = [a.a; N];
    sums.copy_from_slice(&all[..N]);
    sums
}

/// Adds a column of W times x to N sums.
///
/// # Safety
/// An element of N rows from `w` on is valid for reading.
#[inline(always)]
unsafe fn add<S: Simd, const N: usize>(
    s: S,
    a: &mut Strip<S, 4>,
    b: &mut Strip<S, 4>,
    w: *const f32,
    row_stride: usize,
    x: S::V,
) {
    // SAFETY: the caller's promise.
    let w = |i: usize| unsafe { s.splat(*w.wrapping_add(i * row_stride)) };
    a.a = s.mul_add(w(0), x, a.a);
    if N > 1 {
        a.b = s.mul_add(w(1), x, a.b);
    }
    if N > 2 {
        a.c = s.mul_add(w(2), x, a.c);
    }
    if N > 3 {
        a.d = s.mul_add(w(3), x, a.d);
    }
    if N > 4 {
        b.a = s.mul_add(w(4), x, b.a);
    }
    if N > 5 {
        b.b = s.mul_add(w(5), x, b.b);
    }
    if N > 6 {
        b.c = s.mul_add(w(6), x, b.c);
    }
    if N > 7 {
        b.d = s.mul_add(w(7), x, b.d);
    }
}

/// As [`End::Rectifier`] says.
#[inline(always)]
fn rectified<S: Simd>(s: S, sum: S::V, leak: f32) -> S::V {
    // In this order NaN passes.
    let other = if leak == 0.0 { s.splat(0.0) } else { s.mul(sum, s.splat(leak)) };
    s.max(other, sum)
}

/// dW ← (dW +) dz·xᵀ
pub(super) struct WeightGradient<'g, 'a>(pub(super) &'g mut Gemm<'a>);

/// Vectors of columns of a block, and outputs of one of so many vectors: what keeps both
/// multiply-add units busy.
const VECTORS: usize = 3;

const fn outputs_of_gradient(registers: usize, vectors: usize) -> usize {
    match (registers, vectors) {
        (32.., _) | (16.., 1) => 8,
        (16.., 2) => 6,
        (16.., _) => 3,
        (_, 1) => 4,
        _ => 2,
    }
}

impl Op for WeightGradient<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let half = S::Half::LANES;
        // Where the last vector would be half empty at least.
        match half < S::LANES && !self.0.n.div_ceil(half).is_multiple_of(2) {
            true => self.compute(s.half()),
            false => self.compute(s),
        }
    }
}

impl WeightGradient<'_, '_> {
    #[inline(always)]
    fn compute<S: Simd>(self, s: S) {
        let &mut Gemm { m, n, k, a, b, ref mut c, layout, start, .. } = self.0;
        let (
            Left::Tile { data: dz, tile, features, first },
            Right::Picked(rows),
            Layout::Rows(stride),
        ) = (a, b, layout)
        else {
            unreachable!("`takes` refuses it")
        };
        let (vectors, lanes) = (n.div_ceil(S::LANES), S::LANES);
        let mut of_vectors = 0;
        while of_vectors < vectors {
            let left = vectors - of_vectors;
            let some = left.div_ceil(left.div_ceil(VECTORS));
            let most = outputs_of_gradient(S::REGISTERS, some);
            let column = of_vectors * lanes;
            let mut row = 0;
            while row < m {
                let outputs = (m - row).div_ceil((m - row).div_ceil(most));
                let part = Part {
                    outputs,
                    dz: dz.as_ptr(),
                    tile,
                    features,
                    first: first + row,
                    k,
                    rows,
                    column,
                    last: (n - column).min(some * lanes) - (some - 1) * lanes,
                    c: c.as_mut_ptr().wrapping_add(row * stride + column),
                    stride,
                    add: matches!(start, Start::C),
                };
                row += outputs;
                match some {
                    1 => part.run::<S, 1>(s),
                    2 => part.run::<S, 2>(s),
                    _ => part.run::<S, 3>(s),
                }
            }
            of_vectors += some;
        }
    }
}

/// Some rows and columns of [`WeightGradient`], which [`Gemm::check`] has proved to lie
/// within their slices.
struct Part<'a> {
    outputs: usize,
    dz: *const f32,
    tile: Tile,
    features: usize,
    /// The first of dz's.
    first: usize,
    k: usize,
    rows: Picked<'a>,
    /// The first of x's columns, and how many the last vector has.
    column: usize,
    last: usize,
    /// The first element, of an exclusive borrow, and from one row to the next.
    c: *mut f32,
    stride: usize,
    /// Whether it is added to what is there.
    add: bool,
}

impl Part<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize>(&self, s: S) {
        let most = const { outputs_of_gradient(S::REGISTERS, N) };
        match self.outputs {
            1 => s.outlined(Gradient::<1, N>(self)),
            2 => s.outlined(Gradient::<2, N>(self)),
            3 if most > 2 => s.outlined(Gradient::<3, N>(self)),
            4 if most > 2 => s.outlined(Gradient::<4, N>(self)),
            5 if most > 4 => s.outlined(Gradient::<5, N>(self)),
            6 if most > 4 => s.outlined(Gradient::<6, N>(self)),
            7 if most > 6 => s.outlined(Gradient::<7, N>(self)),
            8 if most > 6 => s.outlined(Gradient::<8, N>(self)),
            _ => unreachable!("blocks have 1 to {most} outputs"),
        }
    }
}

/// M outputs and N vectors of columns.
struct Gradient<'a, const M: usize, const N: usize>(&'a Part<'a>);

impl<const M: usize, const N: usize> Op for Gradient<'_, M, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let &Part { dz, tile, features, first, k, rows, column, last, c, stride, add, .. } = self.0;
        // An output each, by name: see `strip`.
        let zero = Strip::<S, N>::splat(s, 0.0);
        let (mut r0, mut r1, mut r2, mut r3) = (zero, zero, zero, zero);
        let (mut r4, mut r5, mut r6, mut r7) = (zero, zero, zero, zero);
        // The last place from which whole vectors lie within the matrix, and where a row
        // is copied that begins behind it.
        let end = rows.end().wrapping_sub(N * S::LANES);
        let mut copy = [0.0; VECTORS * WIDEST];
        let mut panel = 0;
        while panel < k {
            let width = tile.panel.min(tile.width - panel);
            let mut at = dz.wrapping_add(panel * features + first * width);
            macro_rules! add {
                ($from:expr) => {
                    // SAFETY: N vectors within the matrix, which begin with columns of
                    // the row, or within the copy of these.
                    let x: Strip<S, N> = unsafe { Strip::load::<false>(s, $from, S::LANES, 0) };
                    // SAFETY: a lane of a feature.
                    let dz = |i: usize| s.splat(unsafe { *at.wrapping_add(i * width) });
                    r0 = r0.mul_add(s, dz(0), x);
                    if M > 1 {
                        r1 = r1.mul_add(s, dz(1), x);
                    }
                    if M > 2 {
                        r2 = r2.mul_add(s, dz(2), x);
                    }
                    if M > 3 {
                        r3 = r3.mul_add(s, dz(3), x);
                    }
                    if M > 4 {
                        r4 = r4.mul_add(s, dz(4), x);
                    }
                    if M > 5 {
                        r5 = r5.mul_add(s, dz(5), x);
                    }
                    if M > 6 {
                        r6 = r6.mul_add(s, dz(6), x);
                    }
                    if M > 7 {
                        r7 = r7.mul_add(s, dz(7), x);
                    }
                    at = at.wrapping_add(1);
                };
            }
            let (mut place, stop) = (panel, k.min(panel + width));
            while place < stop {
                // Without a call, which would have the sums put down.
                while place < stop {
                    let from = rows.at(place).wrapping_add(column);
                    if from > end {
                        break;
                    }
                    add!(from);
                    place += 1;
                }
                if place < stop {
                    let from = rows.at(place).wrapping_add(column);
                    // SAFETY: so many columns of a row of the matrix (Picked).
                    let from = unsafe { copied(from, (N - 1) * S::LANES + last, &mut copy) };
                    add!(from);
                    place += 1;
                }
            }
            panel += width;
        }
        for (i, sums) in [r0, r1, r2, r3, r4, r5, r6, r7].into_iter().enumerate().take(M) {
            let to = c.wrapping_add(i * stride);
            // SAFETY: N vectors of a row of C, `last` elements of the last one.
            unsafe {
                let old = match add {
                    true => Strip::load::<true>(s, to, S::LANES, last),
                    false => zero,
                };
                sums.add(s, old).store::<true>(s, to, last);
            }
        }
    }
}

/// Some elements in a place of their own, zeros behind them.
///
/// # Safety
/// They must be valid for reading, and no more than there is room for.
#[cold]
#[inline(never)]
unsafe fn copied(from: *const f32, n: usize, to: &mut [f32]) -> *const f32 {
    to.fill(0.0);
    // SAFETY: the caller's promise.
    to[..n].copy_from_slice(unsafe { std::slice::from_raw_parts(from, n) });
    to.as_ptr()
}
