//! Register tiles.
//!
//! ```text
//! for a part of k that keeps a panel of B in the first-level cache:
//!   (copy A's columns of the part together, where they lie apart)
//!   for a group of blocks of up to NV vectors of columns:     one, or for large A several
//!     for a block of up to MR rows of A:                      blocks split evenly
//!       for a block of columns of the group:
//!         MR × NV accumulators ← start
//!         for l in the part:
//!           load NV vectors of B's row l
//!           for each of the MR rows: broadcast A[row][l], NV multiply-adds
//!         C ← accumulators, or C + accumulators, or what becomes of them
//! ```
//!
//! A block of columns is a panel of B where B lies in panels: then its rows
//! follow each other and one stream of memory feeds the loop. Where B lies in
//! blocks of rows, each is as long as a run of A's columns. The rows of a
//! register tile are written out by a macro: a loop over an array of 16 and
//! more accumulators is no longer unrolled by the compiler and spills them,
//! which costs a factor of three.

use super::short;
use super::source::Source;
use super::strip::Strip;
use super::{End, Gemm, InRows, Layout, Left, Slope, Start, border, column};
use crate::simd::{Op, Simd};
use std::cell::RefCell;

/// A product, or some rows of it. (It is not moved: it is so large that this
/// would be a call.)
pub(super) struct Tiled<'g, 'a> {
    /// The rows, but for C.
    pub(super) gemm: &'g Gemm<'a>,
    /// From the exclusive borrow of the whole C.
    pub(super) c: *mut f32,
    /// Rows of the whole C, and the first that is computed.
    pub(super) rows_of_c: usize,
    pub(super) first: usize,
}

/// Vectors of columns in a register tile: what leaves room for enough rows.
pub(crate) const fn vectors(registers: usize) -> usize {
    match registers {
        32.. => 4,
        _ => 2,
    }
}

/// Rows of a register tile with `nv` vectors of columns: the accumulators,
/// a row of B, two broadcasts and, where there is one, a mask fill the register
/// file.
const fn rows<S: Simd>(nv: usize, masked: bool) -> usize {
    let fit = (S::REGISTERS - nv - 2 - masked as usize) / nv;
    // The portable vectors are two registers each, and products go through others.
    let most = if S::REGISTERS < 16 { 4 } else { MOST_ROWS };
    if fit > most { most } else { fit }
}

/// The largest arm of `register_tiles`.
const MOST_ROWS: usize = 12;

/// Rows of B in a part: a panel of 64 bytes' width of them takes 24 KB of a
/// first-level cache of 32 KB. A part of k is one addition to C an element.
pub const PART: usize = 384;

/// Elements of A that the first-level cache holds, however they are read.
const SMALL: usize = 8 * 1024;

/// Elements of A beyond which several blocks of columns use a block of A's
/// rows before the next one is read: what the second-level cache holds with
/// room for B.
const LARGE: usize = 64 * 1024;

/// Blocks of columns that share a block of A's rows then.
const GROUP: usize = 8;

/// Whether a B that is read with a small A stays in the first-level cache whatever the order.
const fn stays(k: usize, n: usize) -> bool {
    k * n <= PART * 16 || k <= 64
}

thread_local! {
    /// A part of A, copied together; allocated at a thread's first use and kept.
    static COPY: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Op for Tiled<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if short::takes::<S>(self.gemm) {
            return short::run(s, &self);
        }
        if self.usual(s) {
            return;
        }
        let Tiled { gemm, c, rows_of_c, first: top } = self;
        let &Gemm { m, n, k, a, b, layout, start, end, ahead, .. } = gemm;
        let InRows { data: b, layout: b_layout, rows: b_rows, apart } =
            b.in_rows(k).expect("Algorithm::takes refuses tiles");
        let a = match a {
            Left::Tile { data, tile, first, .. } if tile.panel >= tile.width => Left::Strided {
                data: data.get(first * tile.width..).unwrap_or(&[]),
                row_stride: tile.width,
                column_stride: 1,
            },
            a => a,
        };
        // Parts of k end where panels of A do.
        let (unit, copies) = match a {
            Left::Tile { tile, .. } => (tile.panel, false),
            // A's columns are copied together first where they lie lines
            // apart and enough columns of C use the copy.
            Left::Strided { row_stride, column_stride, .. } => {
                (1, row_stride == 1 && column_stride >= 64 && k >= 64 && n >= 64 && m * k > SMALL)
            }
        };
        let parts = if k <= PART { 1 } else { k.div_ceil((PART / unit).max(1) * unit) };
        // Taken out and put back: a closure would not be compiled with this
        // instruction set.
        let mut copy = if copies { COPY.take() } else { Vec::new() };
        if copies {
            copy.resize(copy.len().max(m * PART.min(k)), 0.0);
        }
        let most_in_group = match m * k > LARGE {
            true => GROUP,
            false if stays(k, n) => usize::MAX,
            false => 1,
        };
        // Bytes to be asked for with a multiply-add, in all of them evenly.
        let asks = !ahead.is_empty();
        let rate = if asks { size_of_val(ahead) as f32 / (m * n * k) as f32 } else { 0.0 };
        let mut ahead = ahead.as_ptr();
        let y = match end {
            End::Slope { y, .. } => y.as_ptr(),
            _ => std::ptr::null(),
        };

        // The width of the block of columns that begins there. None crosses a
        // panel's border. Whole vectors come in even blocks, 5 as 3 and 2, not
        // 4 and 1; what is left of a vector goes with the last whole one.
        let block_width = |from: usize| {
            let left = border(b_layout, n, from).min(border(layout, n, from)) - from;
            let whole = match left % S::LANES {
                0 => left / S::LANES,
                _ => (left / S::LANES).saturating_sub(1),
            };
            match whole.div_ceil(vectors(S::REGISTERS)) {
                0 => left,
                blocks => whole.div_ceil(blocks) * S::LANES,
            }
        };
        // Whole panels of the usual width, which need no looking at.
        let usual = vectors(S::REGISTERS) * S::LANES;
        let whole = match (b_layout, layout) {
            (Layout::Panels(b), Layout::Panels(c)) if b == usual && c == usual => n - n % usual,
            (Layout::Panels(panel), Layout::Rows(_)) | (Layout::Rows(_), Layout::Panels(panel))
                if panel == usual =>
            {
                n - n % usual
            }
            _ => 0,
        };
        let mut from = 0;
        while from < n {
            // The blocks behind it that are as wide and lie evenly share its
            // blocks of rows.
            let (mut to, mut width) = (whole, usual);
            if from >= whole {
                width = block_width(from);
                let even = |at: usize, layout: Layout| match layout {
                    Layout::Rows(_) => true,
                    Layout::Panels(panel) => panel == width || !at.is_multiple_of(panel),
                };
                to = from + width;
                while to < n && block_width(to) == width && even(to, b_layout) && even(to, layout) {
                    to += width;
                }
            }
            let masked = !width.is_multiple_of(S::LANES);
            let nv = width.div_ceil(S::LANES);
            let row_blocks = row_blocks::<S>(m, nv, masked);
            let mut first = 0;
            for part in 0..parts {
                let last = match parts - part {
                    1 => k,
                    left => (first + (k - first).div_ceil(left).next_multiple_of(unit)).min(k),
                };
                let start = if part > 0 { Start::C } else { start };
                let end = if last == k { end } else { End::Sum };
                let (b_block, b_first) = match apart {
                    None => (0, first),
                    Some(apart) => (first / b_rows * apart, first % b_rows),
                };
                let source = match a {
                    // From column to column there are as many as a block has rows.
                    _ if copies => Source::one_run(copy.as_ptr(), 1, 0, last - first),
                    Left::Strided { data, row_stride, column_stride } => {
                        let at = data.as_ptr().wrapping_add(first * column_stride);
                        Source::one_run(at, row_stride, column_stride, last - first)
                    }
                    Left::Tile { data, tile, features, first: feature } => {
                        Source::of_tile(data, tile, features, first..last).at_row(feature)
                    }
                };
                if let (true, Left::Strided { data, column_stride, .. }) = (copies, a) {
                    let (each, more) = (m / row_blocks, m % row_blocks);
                    let count = last - first;
                    let data = &data[first * column_stride..];
                    copy_columns(data, column_stride, [more, each + 1], &mut copy, count);
                    let row = more * (each + 1);
                    let (data, copy) = (&data[row..], &mut copy[row * count..]);
                    copy_columns(data, column_stride, [row_blocks - more, each], copy, count);
                }
                let mut group = from;
                while group < to {
                    let group_end =
                        to.min(group.saturating_add(width.saturating_mul(most_in_group)));
                    let (b_start, b_stride) = column(b_layout, b_rows, n, group);
                    let (c_start, c_stride) = column(layout, rows_of_c, n, group);
                    let next = group + width;
                    let (b_step, c_step) = match next < group_end {
                        true => (
                            column(b_layout, b_rows, n, next).0 - b_start,
                            column(layout, rows_of_c, n, next).0 - c_start,
                        ),
                        false => (0, 0),
                    };
                    let blocks = &mut Blocks {
                        count: (group_end - group) / width,
                        rows: m,
                        copied: copies,
                        take: 0,
                        width,
                        a: source,
                        b: b.as_ptr().wrapping_add(b_start + b_first * b_stride + b_block),
                        b_stride,
                        b_step,
                        b_jump: apart.map_or(0, |apart| apart.wrapping_sub(b_rows * b_stride)),
                        c: c.wrapping_add(c_start + top * c_stride),
                        c_stride,
                        c_step,
                        start,
                        end,
                        y: y.wrapping_add(c_start + top * c_stride),
                        row: 0,
                        ahead,
                        rate,
                        ahead_step: 0,
                        columns_of_a: last - first,
                        column: group,
                    };
                    ahead = blocks.outlined(s, nv, masked, asks);
                    group = group_end;
                }
                first = last;
                if first == k {
                    break;
                }
            }
            from = to;
        }
        if copies {
            COPY.set(copy);
        }
    }
}

impl Tiled<'_, '_> {
    /// Computes the product, where it is a usual one: of a layer that is not large, over
    /// panels that are a register tile wide, or over one that is narrower. It is cut as
    /// [`Tiled::run`] would cut it, which takes as long to find out how as a narrow layer's
    /// product takes itself.
    #[inline(always)]
    fn usual<S: Simd>(&self, s: S) -> bool {
        let usual = const { vectors(S::REGISTERS) * S::LANES };
        let &Tiled { gemm, c, rows_of_c, first } = self;
        let &Gemm { m, n, k, a, b, layout, start, end, ahead, .. } = gemm;
        let Some(InRows { data: b, layout: Layout::Panels(panel), rows: b_rows, apart }) =
            b.in_rows(k)
        else {
            return false;
        };
        let in_panels = |panel: usize| panel == usual || (n <= usual && n <= panel);
        let c_in_panels = match layout {
            Layout::Panels(panel) => in_panels(panel),
            Layout::Rows(_) => true,
        };
        let in_one_part = k <= PART && m * k <= SMALL && stays(k, n);
        // One block of columns is left at the most.
        let (whole, left) = (n - n % usual, n % usual);
        let masked = !left.is_multiple_of(S::LANES);
        let in_one_block = !masked || left < 2 * S::LANES;
        if !(in_panels(panel) && c_in_panels && in_one_part && in_one_block && ahead.is_empty()) {
            return false;
        }
        let y = match end {
            End::Slope { y, .. } => y.as_ptr(),
            End::Sum | End::Rectifier { .. } => std::ptr::null(),
        };
        // A block of columns that is so wide: from row to row of C, and its first element.
        let in_c = |from: usize, width: usize| match layout {
            Layout::Panels(_) => (width, from * rows_of_c + first * width),
            Layout::Rows(stride) => (stride, from + first * stride),
        };
        let b_jump = |width: usize| apart.map_or(0, |apart| apart.wrapping_sub(b_rows * width));
        let (c_stride, of_c) = in_c(0, usual);
        let a = Source::of(a, k);
        let mut blocks = Blocks {
            count: whole / usual,
            rows: m,
            copied: false,
            take: 0,
            width: usual,
            a,
            b: b.as_ptr(),
            b_stride: usual,
            b_step: usual * b_rows,
            b_jump: b_jump(usual),
            c: c.wrapping_add(of_c),
            c_stride,
            c_step: in_c(usual, usual).1 - of_c,
            start,
            end,
            y: y.wrapping_add(of_c),
            row: 0,
            ahead: ahead.as_ptr(),
            rate: 0.0,
            ahead_step: 0,
            columns_of_a: k,
            column: 0,
        };
        if whole > 0 {
            blocks.outlined(s, const { vectors(S::REGISTERS) }, false, false);
        }
        if left > 0 {
            let (c_stride, of_c) = in_c(whole, left);
            blocks.count = 1;
            blocks.width = left;
            blocks.a = a;
            blocks.b = b.as_ptr().wrapping_add(whole * b_rows);
            blocks.b_stride = left;
            blocks.b_jump = b_jump(left);
            blocks.c = c.wrapping_add(of_c);
            blocks.c_stride = c_stride;
            blocks.y = y.wrapping_add(of_c);
            blocks.row = 0;
            blocks.column = whole;
            blocks.outlined(s, left.div_ceil(S::LANES), masked, false);
        }
        true
    }
}

/// Even blocks of so many rows, for register tiles of `nv` vectors.
const fn row_blocks<S: Simd>(m: usize, nv: usize, masked: bool) -> usize {
    m.div_ceil(rows::<S>(nv, masked))
}

/// Blocks of `take` neighbours of each of `count` columns, one column's behind the other's.
#[inline(always)]
fn copy_columns(
    from: &[f32],
    stride: usize,
    [blocks, take]: [usize; 2],
    to: &mut [f32],
    count: usize,
) {
    match take {
        6 => copy_blocks::<6>(from, stride, blocks, to, count),
        5 => copy_blocks::<5>(from, stride, blocks, to, count),
        4 => copy_blocks::<4>(from, stride, blocks, to, count),
        12 => copy_blocks::<12>(from, stride, blocks, to, count),
        _ => {
            for (block, to) in to.chunks_exact_mut(take * count).take(blocks).enumerate() {
                for (l, to) in to.chunks_exact_mut(take).enumerate() {
                    to.copy_from_slice(&from[l * stride + block * take..][..take]);
                }
            }
        }
    }
}

/// [`copy_columns`] for blocks of N, some of them at a time, so that whole lines of a column
/// are read: where columns lie 4 KB apart, none stays in the first-level cache for the next
/// block.
#[inline(always)]
fn copy_blocks<const N: usize>(
    from: &[f32],
    stride: usize,
    blocks: usize,
    to: &mut [f32],
    count: usize,
) {
    const TOGETHER: usize = 8;
    let to = to.as_chunks_mut::<N>().0;
    for first in (0..blocks).step_by(TOGETHER) {
        let mut copy = |together: usize| {
            for l in 0..count {
                let column = &from[l * stride + first * N..][..together * N];
                for (block, neighbours) in column.as_chunks::<N>().0.iter().enumerate() {
                    to[(first + block) * count + l] = *neighbours;
                }
            }
        };
        match blocks - first {
            // Unrolled.
            TOGETHER.. => copy(TOGETHER),
            few => copy(few),
        }
    }
}

/// The rows of the product, in even blocks, and `count` blocks of columns.
struct Blocks<'a> {
    count: usize,
    rows: usize,
    /// Whether A's columns have been copied together, block by block of rows.
    copied: bool,
    /// Rows of the block at hand.
    take: usize,
    /// Columns of each block.
    width: usize,
    a: Source,
    b: *const f32,
    b_stride: usize,
    /// From one block of columns to the next.
    b_step: usize,
    /// From the end of a block of B's rows to the next one.
    b_jump: usize,
    /// From the exclusive borrow of C.
    c: *mut f32,
    c_stride: usize,
    c_step: usize,
    start: Start<'a>,
    end: End<'a>,
    /// What `end` takes a slope of, which lies as C does.
    y: *const f32,
    /// The first row of the block at hand, of those that are computed.
    row: usize,
    /// What is asked for; bytes of it a multiply-add, and from one multiply-add of
    /// a row to the next.
    ahead: *const f32,
    rate: f32,
    ahead_step: usize,
    /// Columns of A that are added up.
    columns_of_a: usize,
    /// The first column of the block at hand.
    column: usize,
}

impl Blocks<'_> {
    /// All of them; returns what is to be asked for next.
    #[inline(always)]
    fn outlined<S: Simd>(&mut self, s: S, nv: usize, masked: bool, asks: bool) -> *const f32 {
        match nv {
            1 if masked => s.outlined(Outlined::<1, true, false>(self)),
            _ if masked => s.outlined(Outlined::<2, true, false>(self)),
            1 => s.outlined(Outlined::<1, false, false>(self)),
            2 => s.outlined(Outlined::<2, false, false>(self)),
            3 => s.outlined(Outlined::<3, false, false>(self)),
            _ if asks => s.outlined(Outlined::<4, false, true>(self)),
            _ => s.outlined(Outlined::<4, false, false>(self)),
        }
    }
}

/// The register tiles of [`Blocks`]: `NV` vectors of columns, of the last of
/// which `MASKED` takes a part. The loop over k itself asks for what comes ahead
/// where it `ASKS`: a request is one instruction more beside the multiply-adds,
/// which tells where these are few; others ask before each block.
struct Outlined<'b, 'a, const NV: usize, const MASKED: bool, const ASKS: bool>(&'b mut Blocks<'a>);

impl<const NV: usize, const MASKED: bool, const ASKS: bool> Op
    for Outlined<'_, '_, NV, MASKED, ASKS>
{
    /// What is to be asked for next.
    type Output = *const f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> *const f32 {
        let Outlined(blocks) = self;
        if NV > vectors(S::REGISTERS) {
            return blocks.ahead;
        }
        let &mut Blocks { b, c, y, a, rows, column, .. } = blocks;
        let row_blocks = row_blocks::<S>(rows, NV, MASKED);
        let (each, more) = match row_blocks {
            1 => (rows, 0),
            _ => (rows / row_blocks, rows % row_blocks),
        };
        for block in 0..row_blocks {
            let take = each + usize::from(block < more);
            blocks.take = take;
            blocks.a = match blocks.copied {
                true => Source { at: a.at.wrapping_add(blocks.row * a.run), column: take, ..a },
                false => a.at_row(blocks.row),
            };
            blocks.b = b;
            blocks.column = column;
            blocks.c = c.wrapping_add(blocks.row * blocks.c_stride);
            blocks.y = y.wrapping_add(blocks.row * blocks.c_stride);
            blocks.ahead_step = match blocks.rate > 0.0 {
                true => (blocks.rate * (take * blocks.width) as f32).ceil() as usize,
                false => 0,
            };
            let jump = blocks.ahead_step * blocks.columns_of_a;
            for _ in 0..blocks.count {
                if !ASKS && jump > 0 {
                    for line in (0..jump).step_by(64) {
                        s.prefetch(blocks.ahead.wrapping_byte_add(line));
                    }
                }
                blocks.run::<S, NV, MASKED, ASKS>(s);
                blocks.ahead = blocks.ahead.wrapping_byte_add(jump);
                blocks.b = blocks.b.wrapping_add(blocks.b_step);
                blocks.c = blocks.c.wrapping_add(blocks.c_step);
                blocks.y = blocks.y.wrapping_add(blocks.c_step);
                blocks.column += blocks.width;
            }
            blocks.row += take;
        }
        blocks.ahead
    }
}

/// Writes `Blocks::run`: one arm for every number of rows, each with its
/// accumulators by name.
macro_rules! register_tiles {
    ($($mr:literal: $($r:ident = $i:literal),*;)*) => {
        impl Blocks<'_> {
            /// The first block of columns.
            #[inline(always)]
            fn run<S: Simd, const NV: usize, const MASKED: bool, const ASKS: bool>(&self, s: S) {
                // All pointers below stay within their slices: Gemm::check has
                // proved that all rows and columns of A, B and C do, and
                // Tiled::run and Tiled::usual cut columns and k so that they end at n
                // and k, Outlined::run rows so that they end at m, and no block of
                // columns crosses a panel's border.
                // Pointers past the last row or column are made (by
                // wrapping_add) but not read.
                let last = self.width.wrapping_sub((NV - 1) * S::LANES);
                let c_row = |i: usize| self.c.wrapping_add(i * self.c_stride);
                let start = |i: usize| -> Strip<S, NV> {
                    match self.start {
                        Start::Zero => Strip::splat(s, 0.0),
                        // C is added at the end: small terms added to a large
                        // sum one by one would lose their bits.
                        Start::C => Strip::splat(s, 0.0),
                        Start::Bias(bias) => Strip::splat(s, bias[self.row + i]),
                        Start::BiasOfColumns(_) => Strip::splat(s, 0.0),
                    }
                };
                match self.take {
                    $($mr if $mr <= rows::<S>(NV, MASKED) => {
                        $(let mut $r = start($i);)*
                        let mut b = self.b;
                        let Source { mut at, mut row, column, mut run, mut runs, .. } = self.a;
                        let mut tail = self.a.tail;
                        let mut ahead = self.ahead;
                        if let Start::BiasOfColumns(bias) = self.start {
                            let at = bias.as_ptr().wrapping_add(self.column);
                            // SAFETY: the block's columns, of n at least.
                            let bias = unsafe { Strip::load::<MASKED>(s, at, S::LANES, last) };
                            $($r = bias;)*
                        }
                        loop {
                            if runs == 0 {
                                if tail == 0 {
                                    break;
                                }
                                (at, row, run) = (self.a.tail_at, self.a.tail_row, tail);
                                (runs, tail) = (1, 0);
                            }
                            let mut a = at;
                            for _ in 0..run {
                                let b_row = {
                                    // SAFETY: NV vectors of B's row l.
                                    unsafe { Strip::<S, NV>::load::<MASKED>(s, b, S::LANES, last) }
                                };
                                $(
                                    // SAFETY: A[row + $i][l] is in its slice.
                                    let factor = unsafe { *a.wrapping_add($i * row) };
                                    $r = $r.mul_add(s, s.splat(factor), b_row);
                                )*
                                if ASKS {
                                    s.prefetch(ahead);
                                    ahead = ahead.wrapping_byte_add(self.ahead_step);
                                }
                                a = a.wrapping_add(column);
                                b = b.wrapping_add(self.b_stride);
                            }
                            at = at.wrapping_add(self.a.jump);
                            b = b.wrapping_add(self.b_jump);
                            runs -= 1;
                        }
                        let load = |at: *const f32, i: usize| -> Strip<S, NV> {
                            let at = at.wrapping_add(i * self.c_stride);
                            // SAFETY: NV vectors of a row of C, or of what
                            // lies as C does.
                            unsafe { Strip::load::<MASKED>(s, at, S::LANES, last) }
                        };
                        if matches!(self.start, Start::C) {
                            $($r = $r.add(s, load(self.c, $i));)*
                        }
                        // Each case by itself, with nothing left to decide for
                        // each vector.
                        match self.end {
                            End::Sum => {}
                            End::Rectifier { leak: 0.0 } => {
                                $($r = $r.rectified(s);)*
                            }
                            End::Rectifier { leak } => {
                                $($r = $r.leaky(s, leak);)*
                            }
                            End::Slope { slope: Slope::Kept, .. } => {
                                $($r = $r.times(s, Slope::Kept, load(self.y, $i));)*
                            }
                            End::Slope { slope: Slope::Rectifier { leak }, .. } => {
                                $($r = $r.times(s, Slope::Rectifier { leak }, load(self.y, $i));)*
                            }
                            End::Slope { slope: Slope::Tanh, .. } => {
                                $($r = $r.times(s, Slope::Tanh, load(self.y, $i));)*
                            }
                            End::Slope { slope: Slope::Sigmoid, .. } => {
                                $($r = $r.times(s, Slope::Sigmoid, load(self.y, $i));)*
                            }
                        }
                        $(
                            // SAFETY: NV vectors of C's row, and C is borrowed
                            // exclusively.
                            unsafe { $r.store::<MASKED>(s, c_row($i), last) };
                        )*
                    })*
                    _ => unreachable!("blocks have 1 to {} rows", rows::<S>(NV, MASKED)),
                }
            }
        }
    };
}

register_tiles! {
    1: r0 = 0;
    2: r0 = 0, r1 = 1;
    3: r0 = 0, r1 = 1, r2 = 2;
    4: r0 = 0, r1 = 1, r2 = 2, r3 = 3;
    5: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4;
    6: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5;
    7: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6;
    8: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7;
    9: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8;
    10: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8, r9 = 9;
    11: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8, r9 = 9,
        r10 = 10;
    12: r0 = 0, r1 = 1, r2 = 2, r3 = 3, r4 = 4, r5 = 5, r6 = 6, r7 = 7, r8 = 8, r9 = 9,
        r10 = 10, r11 = 11;
}
