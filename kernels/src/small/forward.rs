//! From rows to the last layer's outputs.

use super::{MOST_ROWS, MOST_SLOTS, Net, Placed};
use crate::gemm::{CHAINS, in_chains};
use crate::layout::{Pick, Rows, Tile};
use crate::loss::Softmax;
use crate::simd::{Host, Op, Simd, Twice, Within};
use crate::single::Ending;
use crate::unary::Unary;
use std::mem::MaybeUninit;

/// The slots of a step.
#[repr(align(64))]
pub(super) struct Slots(MaybeUninit<[f32; MOST_SLOTS * MOST_ROWS]>);

impl Slots {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Slots(MaybeUninit::uninit())
    }

    #[inline(always)]
    pub(super) fn at(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

/// Where the rows of the lanes of a vector begin.
pub(super) struct Lanes(MaybeUninit<[*const f32; MOST_ROWS]>);

impl Lanes {
    /// Of `count` rows from the `first` on; lanes without a row repeat the
    /// first.
    #[inline(always)]
    pub(super) fn new<W: Simd>(_: W, rows: Rows<'_>, first: usize, count: usize) -> Self {
        let mut lanes = MaybeUninit::<[*const f32; MOST_ROWS]>::uninit();
        let to: *mut *const f32 = lanes.as_mut_ptr().cast();
        let start = rows.at(first);
        let mut next = start;
        // Over all lanes, so that the loop is unrolled and the pointers stay
        // in registers.
        for lane in 0..W::LANES {
            let row = match rows.pick {
                _ if lane >= count => start,
                Pick::From(_) => next,
                Pick::Numbers(_) => rows.at(first + lane),
            };
            next = next.wrapping_add(rows.columns);
            // SAFETY: a vector has no more lanes than the array.
            unsafe { to.add(lane).write(row) }
        }
        Lanes(lanes)
    }

    /// As many pointers as the vector has lanes.
    #[inline(always)]
    pub(super) fn at(&self) -> *const *const f32 {
        self.0.as_ptr().cast()
    }
}

/// The side of the blocks that are transposed in registers.
const BLOCK: usize = 8;
const HALF: usize = BLOCK / 2;

/// Slots from rows of so many columns.
///
/// # Safety
/// `rows` are rows of so many elements that are valid for reading, `to` as many slots that are valid for writing.
#[inline(always)]
pub(super) unsafe fn load<W: Simd>(w: W, rows: &Lanes, columns: usize, to: *mut f32) {
    // SAFETY: all columns are less than the rows' elements, all lanes less
    // than LANES; the last block of columns ends where the rows do.
    unsafe {
        if columns < HALF {
            for column in 0..columns {
                w.store_ptr(w.gather(rows.at(), column), to.add(column * W::LANES));
            }
            return;
        }
        for lane in (0..W::LANES).step_by(BLOCK) {
            let block =
                |column: usize| std::array::from_fn(|i| (*rows.at().add(lane + i)).add(column));
            if columns < BLOCK {
                for column in (0..columns).step_by(HALF) {
                    let column = column.min(columns - HALF);
                    let to = to.add(column * W::LANES + lane);
                    w.transpose8x4(block(column), to, W::LANES);
                }
                continue;
            }
            for column in (0..columns).step_by(BLOCK) {
                let column = column.min(columns - BLOCK);
                w.transpose8(block(column), to.add(column * W::LANES + lane), W::LANES);
            }
        }
    }
}

/// Sums of slots, with weights.
pub(super) struct Sums {
    /// The first of `count` slots.
    pub(super) x: *const f32,
    pub(super) count: usize,
    /// The weight of slot i in sum u is at u·`unit` + i·`step`.
    pub(super) weights: *const f32,
    pub(super) unit: usize,
    pub(super) step: usize,
    /// What the sums start with, else 0.
    pub(super) start: Option<*const f32>,
    /// A slot a sum.
    pub(super) to: *mut f32,
}

impl Sums {
    /// Computes so many sums; where `SLOPE`, a sum multiplies what is in its
    /// slot, else it is put there.
    ///
    /// # Safety
    /// Slots and weights are valid for reading, `to` for writing.
    #[inline(always)]
    pub(super) unsafe fn run<W: Simd, const SLOPE: bool>(self, w: W, sums: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match sums {
                1 => self.block::<W, SLOPE, 1>(w),
                2 => self.block::<W, SLOPE, 2>(w),
                3 if most::<W>() > 2 => self.block::<W, SLOPE, 3>(w),
                4 if most::<W>() > 2 => self.block::<W, SLOPE, 4>(w),
                // What the loop over blocks makes ready takes as long as a short one.
                _ => w.outlined(Blocks::<SLOPE> { sums: self, left: sums }),
            }
        }
    }

    /// One sum in the order of [`gemm`](crate::gemm) for a layer with one
    /// output, two chains at a time. The weights are next to each other.
    ///
    /// # Safety
    /// As for `run`, of one sum.
    #[inline(always)]
    unsafe fn in_chains<W: Simd>(&self, w: W) {
        let mut sums = [w.splat(0.0); CHAINS / 2];
        // SAFETY: the caller's promise, of slots and weights below `count`.
        unsafe {
            for (chain, sum) in sums.iter_mut().enumerate() {
                let (mut one, mut other) = (w.splat(0.0), w.splat(0.0));
                for i in (chain..self.count).step_by(CHAINS) {
                    let x = w.load_ptr(self.x.add(i * W::LANES));
                    one = w.mul_add(w.splat(*self.weights.add(i)), x, one);
                    let i = i + CHAINS / 2;
                    if i < self.count {
                        let x = w.load_ptr(self.x.add(i * W::LANES));
                        other = w.mul_add(w.splat(*self.weights.add(i)), x, other);
                    }
                }
                *sum = w.add(one, other);
            }
            let [a, b, c, d] = sums;
            let mut sum = w.add(w.add(a, c), w.add(b, d));
            if let Some(start) = self.start {
                sum = w.add(w.splat(*start), sum);
            }
            w.store_ptr(sum, self.to);
        }
    }

    /// The next `U` sums.
    ///
    /// # Safety
    /// As for `run`, of `U` sums.
    #[inline(always)]
    unsafe fn block<W: Simd, const SLOPE: bool, const U: usize>(&self, w: W) {
        let mut sums = [w.splat(0.0); U];
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(start) = self.start {
                for (u, sum) in sums.iter_mut().enumerate() {
                    *sum = w.splat(*start.add(u));
                }
            }
            for i in 0..self.count {
                let x = w.load_ptr(self.x.add(i * W::LANES));
                let weights = self.weights.add(i * self.step);
                for (u, sum) in sums.iter_mut().enumerate() {
                    *sum = w.mul_add(w.splat(*weights.add(u * self.unit)), x, *sum);
                }
            }
            for (u, &sum) in sums.iter().enumerate() {
                let to = self.to.add(u * W::LANES);
                w.store_ptr(if SLOPE { w.mul(sum, w.load_ptr(to)) } else { sum }, to);
            }
        }
    }
}

/// Sums that are computed at a time.
const fn most<W: Simd>() -> usize {
    if W::REGISTERS >= 8 { 4 } else { 2 }
}

/// [`Sums::run`], and its promise, for more than one block.
struct Blocks<const SLOPE: bool> {
    sums: Sums,
    left: usize,
}

impl<const SLOPE: bool> Op for Blocks<SLOPE> {
    type Output = ();
    #[inline(always)]
    fn run<W: Simd>(self, w: W) {
        let Blocks { mut sums, mut left } = self;
        while left > 0 {
            // Blocks split evenly: 5 as 3 and 2.
            let take = left.div_ceil(left.div_ceil(most::<W>()));
            // SAFETY: take ≤ left.
            unsafe {
                match take {
                    1 => sums.block::<W, SLOPE, 1>(w),
                    2 => sums.block::<W, SLOPE, 2>(w),
                    3 => sums.block::<W, SLOPE, 3>(w),
                    _ => sums.block::<W, SLOPE, 4>(w),
                }
            }
            left -= take;
            sums.weights = sums.weights.wrapping_add(take * sums.unit);
            sums.start = sums.start.map(|start| start.wrapping_add(take));
            sums.to = sums.to.wrapping_add(take * W::LANES);
        }
    }
}

/// z of a layer, from the slots of its x, to given slots.
///
/// # Safety
/// `slots` are the layer's, its x filled, `parameters` the network's.
#[inline(always)]
pub(super) unsafe fn sums<W: Simd>(
    w: W,
    layer: &Placed,
    parameters: *const f32,
    slots: *mut f32,
    to: usize,
) {
    let slot = |number: usize| slots.wrapping_add(number * W::LANES);
    let sums = Sums {
        x: slot(layer.x),
        count: layer.inputs,
        weights: parameters.wrapping_add(layer.weights),
        unit: layer.inputs,
        step: 1,
        start: layer.bias.map(|bias| parameters.wrapping_add(bias)),
        to: slot(to),
    };
    // SAFETY: the layer's slots and parameters are where `Placed` says.
    unsafe {
        match in_chains(layer.outputs, layer.inputs) {
            true => sums.in_chains(w),
            false => sums.run::<W, false>(w, layer.outputs),
        }
    }
}

/// y ← f(z) and d ← f′(z) for the slots of a layer, with z in d's place; a
/// linear one has its z in y's place.
///
/// # Safety
/// `slots` are the layer's, of `W`'s vectors.
#[inline(always)]
pub(super) unsafe fn activate<S: Simd, W: Simd>(s: S, layer: &Placed, slots: *mut f32) {
    if layer.is_linear() {
        return;
    }
    let Ending::Unary(f) = layer.ending else { unreachable!("softmax is part of the loss") };
    let n = layer.outputs * W::LANES;
    // SAFETY: the layer's own slots, y and d apart; those of y are written
    // before they are read.
    unsafe {
        let y = std::slice::from_raw_parts_mut(slots.add(layer.y * W::LANES), n);
        let d = std::slice::from_raw_parts_mut(slots.add(layer.d * W::LANES), n);
        f.apply_keeping_slope_on(Within(s), d, y);
    }
}

/// Predicts rows.
pub(super) struct Predict<'a> {
    pub(super) net: &'a Net,
    /// Of the network's length.
    pub(super) parameters: &'a [f32],
    pub(super) features: Rows<'a>,
    /// Rows that `features` holds.
    pub(super) rows: usize,
    /// As many rows of outputs.
    pub(super) out: &'a mut [f32],
}

impl Op for Predict<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // As many lanes as there is room for: a row's chain of dependent
        // instructions is long, and independent ones fill the gaps.
        if 4 * S::LANES <= MOST_ROWS {
            predict(s, Twice(Twice(s)), self);
        } else {
            predict(s, Twice(s), self);
        }
    }
}

/// Vectors of `W` at a time.
#[inline(always)]
fn predict<S: Simd, W: Simd>(s: S, w: W, of: Predict<'_>) {
    let mut slots = Slots::new();
    let slots = slots.at();
    let Predict { net, parameters, features, rows, out } = of;
    let outputs = net.last().outputs;
    let mut first = 0;
    while first < rows {
        let count = (rows - first).min(W::LANES);
        // SAFETY: `Net::predict` has checked the lengths; `count` rows
        // from `first` on are within features and out, and a network's
        // slots within `Slots`.
        unsafe {
            let (columns, x) = (features.columns, slots.add(W::LANES));
            if count == W::LANES && columns < BLOCK {
                let start = features.at(first);
                for column in 0..columns {
                    let lanes = w.load_strided(start.add(column), columns);
                    w.store_ptr(lanes, x.add(column * W::LANES));
                }
            } else {
                load(w, &Lanes::new(w, features, first, count), columns, x);
            }
            for layer in &net.layers {
                sums(w, layer, parameters.as_ptr(), slots, layer.y);
                let n = layer.outputs * W::LANES;
                let y = slots.add(layer.y * W::LANES);
                let y = std::slice::from_raw_parts_mut(y, n);
                match layer.ending {
                    Ending::Unary(Unary::Linear) => {}
                    Ending::Unary(f) => f.apply_on(Within(s), y),
                    Ending::Softmax => {
                        Within(s).run(Softmax { tile: Tile::plain(W::LANES, W::LANES), z: y });
                    }
                }
            }
            let y = slots.add(net.last().y * W::LANES);
            let out = out[first * outputs..][..count * outputs].as_mut_ptr();
            store(w, y, outputs, count, out);
        }
        first += count;
    }
}

/// Rows from slots.
///
/// # Safety
/// `from` is `outputs` slots, `to` valid for writing `count` rows of as many.
#[inline(always)]
unsafe fn store<W: Simd>(w: W, from: *const f32, outputs: usize, count: usize, to: *mut f32) {
    // SAFETY: lanes are less than `count`, features less than `outputs`.
    unsafe {
        if outputs == 1 {
            return w.store_first(w.load_ptr(from), to, count);
        }
        for row in 0..count {
            for output in 0..outputs {
                to.add(row * outputs + output).write(*from.add(output * W::LANES + row));
            }
        }
    }
}
