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
//! then a row of weights an input. A layer of fewer outputs than would fill
//! half of a vector is computed as scalar products instead, along its inputs;
//! a block of few vectors takes inputs in turns, each with accumulators of its
//! own, since one multiply-add waits for the one before.
//! The whole network runs in one call of [`Isa::run`]; what binds is the
//! latency of a layer's last sums for narrow nets, and reading the weights for
//! wide ones.

use crate::simd::{Isa, Op, Simd};
use crate::unary::exp::exp;
use crate::unary::{Unary, UnaryOp, WithUnary};

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
    data: Vec<f32>,
    /// Floats of one of the two halves of the working memory.
    half: usize,
}

/// A layer's part of the packed data.
#[derive(Debug, Clone, Copy)]
struct Part {
    inputs: usize,
    outputs: usize,
    start: usize,
    ending: Ending,
    /// Scalar products along the inputs.
    dots: bool,
}

/// Vectors of a block: with a broadcast, what the register file of the
/// smallest instruction set holds.
const BLOCK: usize = 8;

impl Packed {
    /// Packs a network.
    ///
    /// # Panics
    /// Where there is no layer, a layer does not take what the one before it
    /// gives, or weights or bias are not of its shape.
    pub fn new(isa: Isa, layers: &[Layer<'_>]) -> Packed {
        assert!(!layers.is_empty());
        let lanes = isa.lanes();
        let mut data = Vec::new();
        let mut parts = Vec::with_capacity(layers.len());
        let mut half = 0;
        for (at, layer) in layers.iter().enumerate() {
            let Layer { inputs, outputs, weights, bias, ending } = *layer;
            assert!(at == 0 || layers[at - 1].outputs == inputs, "layers that do not fit");
            assert!(inputs > 0 && outputs > 0 && weights.len() == outputs * inputs);
            assert!(bias.is_none_or(|bias| bias.len() == outputs));
            let bias = |output: usize| bias.map_or(0.0, |bias| bias[output]);
            let dots = outputs < lanes / 2 && outputs * 4 <= inputs;
            parts.push(Part { inputs, outputs, start: data.len(), ending, dots });
            half = half.max(outputs.next_multiple_of(lanes));
            if dots {
                for output in 0..outputs {
                    data.push(bias(output));
                    data.extend_from_slice(&weights[output * inputs..][..inputs]);
                    data.resize(data.len() + inputs.next_multiple_of(lanes) - inputs, 0.0);
                }
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
            }
        }
        Packed { isa, layers: parts, data, half }
    }

    /// Floats of working memory that [`Packed::predict`] takes.
    pub fn scratch(&self) -> usize {
        2 * self.half
    }

    /// Predicts one row: `x` of the first layer's inputs, `out` of the last
    /// one's outputs. `scratch` holds at least [`Packed::scratch`] floats, whose
    /// values do not matter.
    ///
    /// # Panics
    /// Where a slice has another length.
    #[inline]
    pub fn predict(&self, x: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        let last = self.layers[self.layers.len() - 1];
        assert_eq!(x.len(), self.layers[0].inputs);
        assert_eq!(out.len(), last.outputs);
        assert!(scratch.len() >= self.scratch());
        self.isa.run(Row { packed: self, x, out, scratch });
    }
}

struct Row<'a> {
    packed: &'a Packed,
    x: &'a [f32],
    out: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Op for Row<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Row { packed, x, out, scratch } = self;
        let (even, odd) = scratch.split_at_mut(packed.half);
        let (mut y, mut other) = (even.as_mut_ptr(), odd.as_mut_ptr());
        let mut x = x.as_ptr();
        for part in &packed.layers {
            let data = packed.data[part.start..].as_ptr();
            // SAFETY: x is the caller's row or the half that the layer before
            // has written, with `inputs` floats; a half has room for the
            // outputs in whole vectors; `Packed::new` has laid out the
            // layer's data from `start` on as the two functions read them.
            unsafe {
                match part.dots {
                    true => dots(s, part, data, x, y),
                    false => blocks(s, part, data, x, y),
                }
                match part.ending {
                    Ending::Unary(f) => activate(s, f, y, part.outputs),
                    Ending::Softmax => softmax(s, y, part.outputs),
                }
            }
            x = y;
            std::mem::swap(&mut y, &mut other);
        }
        // SAFETY: the last layer has written as many outputs as `out` holds
        // (`Packed::predict` has compared them), elsewhere.
        unsafe { out.as_mut_ptr().copy_from_nonoverlapping(x, out.len()) }
    }
}

/// y ← W·x + b by scalar products.
///
/// # Safety
/// `data` holds, for every output, its bias and its weights, zeros up to a
/// whole vector behind them; `x` the inputs; `y` has room for the outputs in
/// whole vectors.
#[inline(always)]
unsafe fn dots<S: Simd>(s: S, part: &Part, data: *const f32, x: *const f32, y: *mut f32) {
    let Part { inputs, outputs, .. } = *part;
    let stride = 1 + inputs.next_multiple_of(S::LANES);
    // SAFETY: as the caller vouches; the last vector of x is read by its
    // first lanes.
    unsafe {
        s.store_ptr(s.splat(0.0), y);
        for output in 0..outputs {
            let row = data.add(output * stride);
            let w = row.add(1);
            let (mut a, mut b) = (s.splat(0.0), s.splat(0.0));
            let mut at = 0;
            while at + 2 * S::LANES <= inputs {
                a = s.mul_add(s.load_ptr(w.add(at)), s.load_ptr(x.add(at)), a);
                let next = at + S::LANES;
                b = s.mul_add(s.load_ptr(w.add(next)), s.load_ptr(x.add(next)), b);
                at = next + S::LANES;
            }
            while at < inputs {
                let n = S::LANES.min(inputs - at);
                let part =
                    if n == S::LANES { s.load_ptr(x.add(at)) } else { s.load_first(x.add(at), n) };
                a = s.mul_add(s.load_ptr(w.add(at)), part, a);
                at += n;
            }
            *y.add(output) = *row + s.sum(s.add(a, b));
        }
    }
}

/// y ← W·x + b by blocks of outputs.
///
/// # Safety
/// `data` holds, for every block, its bias and a row of weights an input, in
/// whole vectors; `x` the inputs; `y` has room for the outputs in whole
/// vectors.
#[inline(always)]
unsafe fn blocks<S: Simd>(s: S, part: &Part, data: *const f32, x: *const f32, y: *mut f32) {
    let Part { inputs, outputs, .. } = *part;
    let mut vectors = outputs.div_ceil(S::LANES);
    let (mut data, mut y) = (data, y);
    while vectors > 0 {
        let n = vectors.min(BLOCK);
        // SAFETY: as the caller vouches; a block takes (1 + inputs)·n vectors
        // of data and writes n vectors.
        unsafe {
            match n {
                1 => few::<S, 1>(s, inputs, data, x, y),
                2 => few::<S, 2>(s, inputs, data, x, y),
                3 => block::<S, 3>(s, inputs, data, x, y),
                4 => block::<S, 4>(s, inputs, data, x, y),
                5 => block::<S, 5>(s, inputs, data, x, y),
                6 => block::<S, 6>(s, inputs, data, x, y),
                7 => block::<S, 7>(s, inputs, data, x, y),
                _ => block::<S, 8>(s, inputs, data, x, y),
            }
            data = data.add((1 + inputs) * n * S::LANES);
            y = y.add(n * S::LANES);
        }
        vectors -= n;
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
    y: *mut f32,
) {
    let mut w = data;
    // SAFETY: as the caller vouches.
    unsafe {
        let zero = s.splat(0.0);
        let load = |w: *const f32, v: usize| {
            if v < N { s.load_ptr(w.wrapping_add(v * S::LANES)) } else { zero }
        };
        // By name: see gemm::strip.
        let (mut a, mut b, mut c, mut d) = (load(w, 0), load(w, 1), load(w, 2), load(w, 3));
        let (mut e, mut f, mut g, mut h) = (load(w, 4), load(w, 5), load(w, 6), load(w, 7));
        for i in 0..inputs {
            w = w.wrapping_add(N * S::LANES);
            let x = s.splat(*x.add(i));
            a = s.mul_add(x, load(w, 0), a);
            b = s.mul_add(x, load(w, 1), b);
            c = s.mul_add(x, load(w, 2), c);
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

/// A block of one or two vectors: four inputs in turns.
///
/// # Safety
/// As [`blocks`].
#[inline(always)]
unsafe fn few<S: Simd, const N: usize>(
    s: S,
    inputs: usize,
    data: *const f32,
    x: *const f32,
    y: *mut f32,
) {
    let zero = s.splat(0.0);
    // SAFETY: as the caller vouches.
    unsafe {
        let load = |row: usize, v: usize| s.load_ptr(data.wrapping_add((row * N + v) * S::LANES));
        let second = |row: usize| if N > 1 { load(row, 1) } else { zero };
        let (mut a, mut b, mut c, mut d) = (load(0, 0), zero, zero, zero);
        let (mut e, mut f, mut g, mut h) = (second(0), zero, zero, zero);
        let mut i = 0;
        while i + 4 <= inputs {
            let x = |turn: usize| s.splat(*x.add(i + turn));
            let (x0, x1, x2, x3) = (x(0), x(1), x(2), x(3));
            a = s.mul_add(x0, load(i + 1, 0), a);
            b = s.mul_add(x1, load(i + 2, 0), b);
            c = s.mul_add(x2, load(i + 3, 0), c);
            d = s.mul_add(x3, load(i + 4, 0), d);
            if N > 1 {
                e = s.mul_add(x0, load(i + 1, 1), e);
                f = s.mul_add(x1, load(i + 2, 1), f);
                g = s.mul_add(x2, load(i + 3, 1), g);
                h = s.mul_add(x3, load(i + 4, 1), h);
            }
            i += 4;
        }
        while i < inputs {
            let x = s.splat(*x.add(i));
            a = s.mul_add(x, load(i + 1, 0), a);
            if N > 1 {
                e = s.mul_add(x, load(i + 1, 1), e);
            }
            i += 1;
        }
        s.store_ptr(s.add(s.add(a, b), s.add(c, d)), y);
        if N > 1 {
            s.store_ptr(s.add(s.add(e, f), s.add(g, h)), y.wrapping_add(S::LANES));
        }
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
    let max =
        row.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max || x.is_nan() { x } else { max });
    let mut total = s.splat(0.0);
    for part in row.chunks_mut(S::LANES) {
        let e = exp(s, s.sub(s.load_partial(part), s.splat(max)));
        s.store_partial(e, part);
        // Again, with zeros behind the outputs.
        total = s.add(total, s.load_partial(part));
    }
    let factor = s.splat(1.0 / s.sum(total));
    for part in row.chunks_mut(S::LANES) {
        s.store_partial(s.mul(s.load_partial(part), factor), part);
    }
}
