//! Prediction of single rows, with weights packed once.
//!
//! One row leaves a matrix product no vector along the batch, so vectors run
//! along the outputs:
//!
//! ```text
//! for a block of up to 8 vectors of outputs:
//!   accumulators ← bias
//!   for each input: broadcast x, multiply-add with the block's weights
//!   f of the accumulators
//! ```
//!
//! Weights lie in the order in which they are read: for each block its bias,
//! then a row of weights an input, and in a first layer that gathers, a row a
//! level. A layer with one output and many inputs, whose sums are taken in
//! chains, has a vector for each chain's next weights instead, and vectors run
//! along the inputs. Sums are taken in the order in which [`gather`](crate::gather) and
//! [`gemm`](crate::gemm) take them, so that a row's outputs are the same bits
//! whether it is predicted alone or among others.
//! For many rows at once the first layer's packed weights are the right factor of a
//! matrix product whose left one is the rows as they lie: [`Packed::first_of_rows`].
//! The whole network runs in one call of [`Isa::run`]; what binds is the
//! latency of a layer's last sums for narrow nets, and reading the weights for
//! wide ones.

use crate::gather::NONE;
use crate::gemm::{Algorithm, CHAINS, End, Gemm, Layout, Left, PART, Right, Start, in_chains};
use crate::lines::Lines;
use crate::simd::{Isa, Op, Simd};
use crate::unary::exp::exp_small;
use crate::unary::{Unary, UnaryOp, WithUnary};
use std::mem::MaybeUninit;

/// A layer of [`Packed::new`].
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// Features of its input.
    pub inputs: usize,
    /// Features of its output.
    pub outputs: usize,
    /// `[outputs, inputs]`, row-major.
    pub weights: &'a [f32],
    /// `[outputs]`
    pub bias: Option<&'a [f32]>,
    /// `[levels, outputs]`, row-major: rows that are added to the sums, as
    /// [`gather`](crate::gather::gather) does it; in the first layer alone.
    pub table: Option<&'a [f32]>,
    /// What its sums go through.
    pub ending: Ending,
}

/// What a layer's sums go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// An activation.
    Unary(Unary),
    /// Softmax over the outputs.
    Softmax,
}

/// A network whose weights are packed for one instruction set.
#[derive(Debug, Clone)]
pub struct Packed {
    isa: Isa,
    layers: Vec<Part>,
    /// What a load reads lies in one line of the cache.
    data: Lines,
    /// Floats of one of the two halves of the working memory.
    half: usize,
    /// Whether all layers are narrow: see [`Part::is_narrow`].
    narrow: bool,
}

/// A layer's part of the packed data.
#[derive(Debug, Clone, Copy)]
struct Part {
    inputs: usize,
    outputs: usize,
    /// Rows of the table; none: the layer gathers nothing.
    levels: Option<usize>,
    start: usize,
    ending: Ending,
}

impl Part {
    /// Whether it is one vector of outputs, each an activation of a plain sum
    /// over one part of the inputs.
    fn is_narrow(&self, lanes: usize) -> bool {
        let Part { inputs, outputs, levels, ending, .. } = *self;
        outputs <= lanes && inputs <= PART && levels.is_none() && ending != Ending::Softmax
    }
}

/// Vectors of a block: with a broadcast, what the register file of the
/// smallest instruction set holds.
const BLOCK: usize = 8;

/// Floats of working memory that are taken from the stack.
const OWN: usize = 128;

impl Packed {
    /// Packs a network.
    ///
    /// # Panics
    /// Where there is no layer, a layer does not take what the one before it
    /// gives, or weights or bias are not of its shape.
    pub fn new(isa: Isa, layers: &[Layer<'_>]) -> Packed {
        assert!(!layers.is_empty());
        let isa = isa.narrow();
        let lanes = isa.lanes();
        let mut data = Vec::new();
        let mut parts = Vec::with_capacity(layers.len());
        let mut half = 0;
        for (at, layer) in layers.iter().enumerate() {
            let Layer { inputs, outputs, weights, bias, table, ending } = *layer;
            assert!(at == 0 || layers[at - 1].outputs == inputs, "layers that do not fit");
            assert!(inputs > 0 || table.is_some(), "a layer of nothing");
            assert!(outputs > 0 && weights.len() == outputs * inputs);
            assert!(at == 0 || table.is_none(), "categories are inputs");
            assert!(bias.is_none_or(|bias| bias.len() == outputs));
            let bias = |output: usize| bias.map_or(0.0, |bias| bias[output]);
            let levels = table.map(|table| table.len() / outputs);
            assert!(table.is_none_or(|table| table.len().is_multiple_of(outputs)));
            parts.push(Part { inputs, outputs, levels, start: data.len(), ending });
            half = half.max(outputs.next_multiple_of(lanes));
            if in_chains(outputs, inputs) {
                assert_eq!(lanes, CHAINS, "a chain is a lane");
                let vector = |x: f32| std::iter::repeat_n(x, lanes);
                data.extend(vector(bias(0)));
                data.extend_from_slice(weights);
                data.resize(data.len().next_multiple_of(lanes), 0.0);
                data.extend(table.into_iter().flatten().flat_map(|&level| vector(level)));
                continue;
            }
            for first in (0..outputs).step_by(BLOCK * lanes) {
                let end = (first + BLOCK * lanes).min(outputs);
                let padded = first..first + (end - first).next_multiple_of(lanes);
                let row = |of: &dyn Fn(usize) -> f32| -> Vec<f32> {
                    padded.clone().map(|o| if o < end { of(o) } else { 0.0 }).collect()
                };
                data.extend(row(&bias));
                for input in 0..inputs {
                    data.extend(row(&|output| weights[output * inputs + input]));
                }
                for row_of_table in table.into_iter().flat_map(|table| table.chunks(outputs)) {
                    data.extend(row(&|output| row_of_table[output]));
                }
            }
        }
        let narrow = parts.iter().all(|part| part.is_narrow(lanes));
        Packed { isa, layers: parts, data: Lines::from(&*data), half, narrow }
    }

    /// Floats of working memory that [`Packed::predict`] is to be given; none
    /// where a few on the stack do.
    pub fn scratch(&self) -> usize {
        if 2 * self.half <= OWN { 0 } else { 2 * self.half }
    }

    /// Predicts one row: `x` of the first layer's inputs, `levels` the rows of
    /// its table ([`NONE`]: none), `out` of the last one's outputs. `scratch`
    /// holds at least [`Packed::scratch`] floats, whose values do not matter.
    ///
    /// # Panics
    /// Where a slice has another length, or a level is no row of the table.
    #[inline]
    pub fn predict(&self, x: &[f32], levels: &[u32], out: &mut [f32], scratch: &mut [f32]) {
        let last = self.layers[self.layers.len() - 1];
        let held = self.layers[0].levels.unwrap_or(0);
        assert_eq!(x.len(), self.layers[0].inputs);
        assert!(levels.iter().all(|&level| level == NONE || (level as usize) < held));
        assert_eq!(out.len(), last.outputs);
        assert!(scratch.len() >= self.scratch());
        let mut own = MaybeUninit::<[f32; OWN]>::uninit();
        let scratch = match self.scratch() {
            0 => own.as_mut_ptr().cast(),
            _ => scratch.as_mut_ptr(),
        };
        let row = Row { packed: self, x, levels, out, scratch };
        if self.narrow { self.isa.run(NarrowRow(row)) } else { self.isa.run(row) }
    }
}

impl Packed {
    /// The sums of the first layer, or what a rectifier makes of them, for rows of its
    /// inputs: `to` is `[rows, outputs]`, row-major. They are the same bits as of
    /// [`Gemm::forward`] over a tile, without the rows being transposed. `ahead` is what
    /// will be read next.
    ///
    /// # Panics
    /// Where the rows are no whole number of them, or `to` is for another number; where the
    /// layer [gathers or is summed in chains](Packed::takes_rows).
    pub fn first_of_rows(&self, isa: Isa, rows: &[f32], ahead: &[f32], to: &mut [f32]) {
        assert!(self.takes_rows());
        let Part { inputs, outputs, start, ending, .. } = self.layers[0];
        let m = rows.len() / inputs;
        assert_eq!((rows.len(), to.len()), (m * inputs, m * outputs), "rows of another number");
        let end = match ending {
            Ending::Unary(f) => f.leak().map_or(End::Sum, |leak| End::Rectifier { leak }),
            Ending::Softmax => End::Sum,
        };
        let (block, lanes) = (BLOCK * self.isa.lanes(), self.isa.lanes());
        let mut data = &self.data[start..];
        for first in (0..outputs).step_by(block) {
            let n = block.min(outputs - first);
            let stride = n.next_multiple_of(lanes);
            let (bias, weights) = data.split_at(stride);
            data = &weights[inputs * stride..];
            let mut gemm = Gemm {
                m,
                n,
                k: inputs,
                a: Left::Strided { data: rows, row_stride: inputs, column_stride: 1 },
                b: Right::Rows { data: weights, stride },
                c: &mut to[first.min(m * outputs)..],
                layout: Layout::Rows(outputs),
                start: Start::BiasOfColumns(bias),
                end,
                ahead: if first == 0 { ahead } else { &[] },
            };
            gemm.run(Algorithm::Tiled, isa);
        }
    }

    /// Whether [`Packed::first_of_rows`] takes the first layer.
    pub fn takes_rows(&self) -> bool {
        let Part { inputs, outputs, levels, .. } = self.layers[0];
        levels.is_none() && !in_chains(outputs, inputs)
    }
}

struct Row<'a> {
    packed: &'a Packed,
    x: &'a [f32],
    levels: &'a [u32],
    out: &'a mut [f32],
    /// Valid for writing, exclusively, the two halves of the working memory,
    /// each of whose floats is written before it is read.
    scratch: *mut f32,
}

/// A row of a network of narrow layers, each of which stays in a register from
/// the bias to the activation.
struct NarrowRow<'a>(Row<'a>);

impl Op for NarrowRow<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Row { packed, x, out, scratch, .. } = self.0;
        let (mut y, mut other) = (scratch, scratch.wrapping_add(packed.half));
        let mut x = x.as_ptr();
        let packed_data: &[f32] = &packed.data;
        for part in &packed.layers {
            let Ending::Unary(f) = part.ending else {
                unreachable!("narrow layers are activations")
            };
            let data = packed_data[part.start..].as_ptr();
            // SAFETY: x is the caller's row or the half that the layer before
            // has written, with `inputs` floats; a half has room for a vector;
            // `Packed::new` has laid out the layer's data from `start` on as
            // `narrow_sum` reads them.
            unsafe {
                let sum = narrow_sum(s, part, data, x);
                s.store_ptr(f.with(Value { s, sum }), y);
            }
            x = y;
            std::mem::swap(&mut y, &mut other);
        }
        // SAFETY: the last layer has written a vector, of which `out` takes as
        // many floats as there are outputs (`Packed::predict` has compared
        // them).
        unsafe { s.store_first(s.load_ptr(x), out.as_mut_ptr(), out.len()) }
    }
}

impl Op for Row<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Row { packed, x, levels, out, scratch } = self;
        let (mut y, mut other) = (scratch, scratch.wrapping_add(packed.half));
        let mut x = x.as_ptr();
        let mut levels = levels;
        let packed_data: &[f32] = &packed.data;
        for part in &packed.layers {
            let data = packed_data[part.start..].as_ptr();
            // SAFETY: x is the caller's row or the half that the layer before
            // has written, with `inputs` floats; a half has room for the
            // outputs in whole vectors; `Packed::new` has laid out the
            // layer's data from `start` on as `blocks` reads them, and
            // `Packed::predict` has checked the levels.
            unsafe {
                blocks(s, part, data, x, levels, y);
                match part.ending {
                    Ending::Unary(f) => activate(s, f, y, part.outputs),
                    Ending::Softmax => softmax(s, y, part.outputs),
                }
            }
            x = y;
            levels = &[];
            std::mem::swap(&mut y, &mut other);
        }
        for at in (0..out.len()).step_by(S::LANES) {
            let n = (out.len() - at).min(S::LANES);
            // SAFETY: the last layer has written as many outputs as `out` holds
            // (`Packed::predict` has compared them), in whole vectors.
            unsafe { s.store_first(s.load_ptr(x.add(at)), out.as_mut_ptr().add(at), n) }
        }
    }
}

/// W·x + b of a narrow layer.
///
/// # Safety
/// `data` holds the bias and a row of weights an input, a vector each, or what
/// [`chains`] reads; x the inputs.
#[inline(always)]
unsafe fn narrow_sum<S: Simd>(s: S, part: &Part, data: *const f32, x: *const f32) -> S::V {
    let Part { inputs, outputs, .. } = *part;
    // SAFETY: the caller's promise.
    unsafe {
        if in_chains(outputs, inputs) {
            return chains(s, inputs, data, x, &[]);
        }
        let mut sum = s.load_ptr(data);
        // Written out for the few inputs that tiny networks have: a loop's
        // end that is guessed wrong takes as long as such a sum.
        let add = |sum: S::V, i: usize| {
            let weights = s.load_ptr(data.wrapping_add((1 + i) * S::LANES));
            s.mul_add(s.splat(*x.wrapping_add(i)), weights, sum)
        };
        match inputs {
            1 => add(sum, 0),
            2 => add(add(sum, 0), 1),
            3 => add(add(add(sum, 0), 1), 2),
            4 => add(add(add(add(sum, 0), 1), 2), 3),
            _ => {
                for i in 0..inputs {
                    sum = add(sum, i);
                }
                sum
            }
        }
    }
}

/// An activation of a vector.
struct Value<S: Simd> {
    s: S,
    sum: S::V,
}

impl<S: Simd> WithUnary for Value<S> {
    type Output = S::V;
    #[inline(always)]
    fn with<U: UnaryOp>(self) -> S::V {
        U::value(self.s, self.sum)
    }
}

/// y ← W·x + b by blocks of outputs.
///
/// # Safety
/// `data` holds, for every block, its bias, a row of weights an input and a row
/// a level, in whole vectors, or what [`chains`] reads; `x` the inputs; `levels`
/// are below the layer's own or [`NONE`]; `y` has room for the outputs in whole
/// vectors.
#[inline(always)]
unsafe fn blocks<S: Simd>(
    s: S,
    part: &Part,
    data: *const f32,
    x: *const f32,
    levels: &[u32],
    y: *mut f32,
) {
    let Part { inputs, outputs, .. } = *part;
    if in_chains(outputs, inputs) {
        // SAFETY: as the caller vouches.
        return unsafe { s.store_ptr(chains(s, inputs, data, x, levels), y) };
    }
    let gathered = part.levels.map(|_| levels);
    let rows = 1 + inputs + part.levels.unwrap_or(0);
    let mut vectors = outputs.div_ceil(S::LANES);
    let (mut data, mut y) = (data, y);
    while vectors > 0 {
        let n = vectors.min(BLOCK);
        // SAFETY: as the caller vouches; a block takes `rows`·n vectors of data
        // and writes n vectors.
        unsafe {
            match n {
                1 => block::<S, 1>(s, inputs, data, x, gathered, y),
                2 => block::<S, 2>(s, inputs, data, x, gathered, y),
                3 => block::<S, 3>(s, inputs, data, x, gathered, y),
                4 => block::<S, 4>(s, inputs, data, x, gathered, y),
                5 => block::<S, 5>(s, inputs, data, x, gathered, y),
                6 => block::<S, 6>(s, inputs, data, x, gathered, y),
                7 => block::<S, 7>(s, inputs, data, x, gathered, y),
                _ => block::<S, 8>(s, inputs, data, x, gathered, y),
            }
            data = data.add(rows * n * S::LANES);
            y = y.add(n * S::LANES);
        }
        vectors -= n;
    }
}

/// The sum of a layer with one output, in every lane: in the order of
/// [`gemm`](crate::gemm), of whose chains each is a lane.
///
/// # Safety
/// `data` holds the bias in every lane of a vector, a weight an input and zeros
/// to a whole vector, and the level's weight in every lane of a vector a level;
/// `x` the inputs; `levels` are below their number or [`NONE`].
#[inline(always)]
unsafe fn chains<S: Simd>(
    s: S,
    inputs: usize,
    data: *const f32,
    x: *const f32,
    levels: &[u32],
) -> S::V {
    // SAFETY: as the caller vouches; `i` + `n` is never beyond the inputs.
    unsafe {
        let mut total = s.load_ptr(data);
        let weights = data.wrapping_add(S::LANES);
        let table = weights.wrapping_add(inputs.next_multiple_of(S::LANES));
        for &level in levels {
            if level != NONE {
                total = s.add(total, s.load_ptr(table.wrapping_add(level as usize * S::LANES)));
            }
        }
        let parts = if inputs <= PART { 1 } else { inputs.div_ceil(PART) };
        let mut i = 0;
        for part in 0..parts {
            // The division takes longer than a narrow layer.
            let end = if parts == 1 { inputs } else { i + (inputs - i).div_ceil(parts - part) };
            let mut sum = s.splat(0.0);
            while i + S::LANES <= end {
                let (x, weights) = (x.wrapping_add(i), weights.wrapping_add(i));
                sum = s.mul_add(s.load_ptr(x), s.load_ptr(weights), sum);
                i += S::LANES;
            }
            if i < end {
                let (x, weights) = (x.wrapping_add(i), weights.wrapping_add(i));
                let (x, weights) = (s.load_first(x, end - i), s.load_first(weights, end - i));
                sum = s.mul_add(x, weights, sum);
                i = end;
            }
            total = s.add(total, s.splat(s.sum(sum)));
        }
        total
    }
}

/// A block of N vectors.
///
/// # Safety
/// As [`blocks`].
#[inline(always)]
unsafe fn block<S: Simd, const N: usize>(
    s: S,
    inputs: usize,
    data: *const f32,
    x: *const f32,
    gathered: Option<&[u32]>,
    y: *mut f32,
) {
    let mut w = data;
    // SAFETY: as the caller vouches.
    unsafe {
        let zero = s.splat(0.0);
        let load = |w: *const f32, v: usize| {
            if v < N { s.load_ptr(w.wrapping_add(v * S::LANES)) } else { zero }
        };
        // By name: see gemm::strip. Levels are added to the bias; the first part
        // of the inputs is summed onto the bias, or added to it where there are
        // levels, as the others are to the parts before them.
        let parts = inputs.div_ceil(PART);
        let (mut a, mut b, mut c, mut d) = (load(w, 0), load(w, 1), load(w, 2), load(w, 3));
        let (mut e, mut f, mut g, mut h) = (load(w, 4), load(w, 5), load(w, 6), load(w, 7));
        let table = data.wrapping_add((1 + inputs) * N * S::LANES);
        for &level in gathered.unwrap_or(&[]) {
            if level != NONE {
                let row = table.wrapping_add(level as usize * N * S::LANES);
                (a, b) = (s.add(a, load(row, 0)), s.add(b, load(row, 1)));
                (c, d) = (s.add(c, load(row, 2)), s.add(d, load(row, 3)));
                (e, f) = (s.add(e, load(row, 4)), s.add(f, load(row, 5)));
                (g, h) = (s.add(g, load(row, 6)), s.add(h, load(row, 7)));
            }
        }
        let mut i = 0;
        for part in 0..parts {
            // The division takes longer than a narrow layer.
            let end = if parts == 1 { inputs } else { i + (inputs - i).div_ceil(parts - part) };
            let before = (a, b, c, d, e, f, g, h);
            let apart = part > 0 || gathered.is_some();
            if apart {
                (a, b, c, d) = (zero, zero, zero, zero);
                (e, f, g, h) = (zero, zero, zero, zero);
            }
            while i < end {
                w = w.wrapping_add(N * S::LANES);
                let x = s.splat(*x.add(i));
                a = s.mul_add(x, load(w, 0), a);
                if N > 1 {
                    b = s.mul_add(x, load(w, 1), b);
                }
                if N > 2 {
                    c = s.mul_add(x, load(w, 2), c);
                }
                if N > 3 {
                    d = s.mul_add(x, load(w, 3), d);
                }
                if N > 4 {
                    e = s.mul_add(x, load(w, 4), e);
                }
                if N > 5 {
                    f = s.mul_add(x, load(w, 5), f);
                }
                if N > 6 {
                    g = s.mul_add(x, load(w, 6), g);
                }
                if N > 7 {
                    h = s.mul_add(x, load(w, 7), h);
                }
                i += 1;
            }
            if apart {
                (a, b) = (s.add(before.0, a), s.add(before.1, b));
                (c, d) = (s.add(before.2, c), s.add(before.3, d));
                (e, f) = (s.add(before.4, e), s.add(before.5, f));
                (g, h) = (s.add(before.6, g), s.add(before.7, h));
            }
        }
        let store = |v: usize, value: S::V| {
            if v < N {
                s.store_ptr(value, y.wrapping_add(v * S::LANES));
            }
        };
        store(0, a);
        store(1, b);
        store(2, c);
        store(3, d);
        store(4, e);
        store(5, f);
        store(6, g);
        store(7, h);
    }
}

/// y ← f(y) for the outputs, in whole vectors.
///
/// # Safety
/// `y` must be valid for that.
#[inline(always)]
unsafe fn activate<S: Simd>(s: S, f: Unary, y: *mut f32, outputs: usize) {
    struct Activate<S> {
        s: S,
        y: *mut f32,
        vectors: usize,
    }
    impl<S: Simd> WithUnary for Activate<S> {
        type Output = ();
        #[inline(always)]
        fn with<U: UnaryOp>(self) {
            for v in 0..self.vectors {
                let at = self.y.wrapping_add(v * S::LANES);
                // SAFETY: `activate`'s caller vouches for so many vectors.
                unsafe { self.s.store_ptr(U::value(self.s, self.s.load_ptr(at)), at) }
            }
        }
    }
    if f != Unary::Linear {
        f.with(Activate { s, y, vectors: outputs.div_ceil(S::LANES) });
    }
}

/// y ← softmax(y) over the outputs.
///
/// # Safety
/// `y` must be valid for the outputs in whole vectors.
#[inline(always)]
unsafe fn softmax<S: Simd>(s: S, y: *mut f32, outputs: usize) {
    // SAFETY: the outputs are the caller's, and exclusively so.
    let row = unsafe { std::slice::from_raw_parts_mut(y, outputs) };
    // NaN wins: a diverged net must not look healthy.
    let max = row.iter().fold(f32::NEG_INFINITY, |m, &x| if x > m || x.is_nan() { x } else { m });
    for part in row.chunks_mut(S::LANES) {
        s.store_partial(exp_small(s, s.sub(s.load_partial(part), s.splat(max))), part);
    }
    let factor = 1.0 / row.iter().sum::<f32>();
    row.iter_mut().for_each(|x| *x *= factor);
}
