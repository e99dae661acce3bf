//! What the rows of the table are run on.

use crate::hyper::{Hyper, Range, Values, defaults};

/// Numbers from −1 to 1 in a fixed order (a linear congruential generator).
pub fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Zeros, denormals, the edges of the exponential and of f32, infinities and
/// NaN; each stands for its negative and its neighbours too.
pub const SPECIAL: [f32; 14] = [
    0.0,
    f32::from_bits(1),
    1e-40,
    f32::MIN_POSITIVE,
    f32::EPSILON,
    1.0,
    9.010_913,
    15.942_385,
    87.336_55,
    88.722_84,
    103.972_08,
    f32::MAX,
    f32::INFINITY,
    f32::NAN,
];

/// How the inputs of a row are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Setting {
    /// Elements past a 64-byte boundary at which every slice begins.
    pub offset: usize,
    /// What lies beside the slices.
    pub placement: Placement,
    /// Which numbers.
    pub data: Data,
    /// Which hyperparameters, below [`Row::variants`](super::Row::variants):
    /// 0 for the defaults, 1 for others with flags off, 2 with flags on. For
    /// products and moves, another one of the ways that they can be called.
    pub variant: usize,
}

/// What lies beside a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// Nothing of interest; rows lie next to each other. For timing.
    #[default]
    Plain,
    /// Canaries on both sides, and between the rows of matrices.
    Guarded,
    /// The slice ends where the allocation does: for memory checkers.
    Tight,
}

/// Which numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Data {
    /// What a net meets.
    #[default]
    Ordinary,
    /// [`SPECIAL`] values among them.
    Special,
}

impl Setting {
    /// Elements between one row of a matrix and the next.
    pub(super) fn gap(&self, elements: usize) -> usize {
        if self.placement == Placement::Guarded { elements } else { 0 }
    }

    /// `n` numbers: `ordinary` ones of [`noise`]; with special data every
    /// other one is a special value, or its negative, for which `allowed`
    /// holds.
    pub(super) fn numbers(
        &self,
        seed: u64,
        n: usize,
        ordinary: impl Fn(f32) -> f32,
        allowed: impl Fn(f32) -> bool,
    ) -> Vec<f32> {
        let mut numbers: Vec<f32> = noise(seed, n).into_iter().map(ordinary).collect();
        if self.data == Data::Special {
            let special: Vec<f32> = SPECIAL
                .into_iter()
                .flat_map(|x| [x, -x, x.next_up(), -x.next_down()])
                .filter(|&x| allowed(x))
                .collect();
            // Another start for every length: short slices meet all of them.
            for (i, x) in numbers.iter_mut().enumerate().step_by(2) {
                *x = special[(i / 2 + 7 * n + seed as usize) % special.len()];
            }
        }
        numbers
    }

    /// Hyperparameters of a table: as [`Setting::variant`] says.
    pub(super) fn hyper(&self, table: &[Hyper]) -> Values {
        let mut values = defaults(table);
        if self.variant > 0 {
            for (value, hyper) in values.iter_mut().zip(table) {
                *value = match hyper.range {
                    Range::Flag => f64::from(u8::from(self.variant > 1)),
                    Range::Fraction | Range::NonNegative if *value == 0.0 => {
                        if hyper.range == Range::Fraction { 0.9 } else { 0.1 }
                    }
                    Range::Fraction => 0.9 * *value,
                    _ => 0.3 * *value,
                };
            }
        }
        values
    }
}

/// A quiet NaN with bits of its own: reading it shows too.
const CANARY: u32 = 0x7fc5_a5a5;

/// Elements of 64 bytes, the largest vector.
const LINE: usize = 16;

/// A slice of f32 at a chosen distance from a 64-byte boundary, with
/// canaries beside it, or with nothing behind it.
#[derive(Debug)]
pub struct Buffer {
    storage: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// A slice that holds `values`.
    pub fn new(setting: Setting, values: &[f32]) -> Self {
        let len = values.len();
        let tight = setting.placement == Placement::Tight;
        let spare = if tight { 0 } else { 2 * LINE };
        let trail = if tight { 0 } else { LINE };
        let size = spare + setting.offset + len + trail;
        let mut storage = Vec::with_capacity(size);
        storage.resize(size, f32::from_bits(CANARY));
        // A line of canaries, then up to a line to the next boundary.
        let boundary = if tight { 0 } else { LINE + storage.as_ptr().align_offset(4 * LINE) };
        let start = boundary + setting.offset;
        storage[start..start + len].copy_from_slice(values);
        Buffer { storage, start, len }
    }

    /// The slice.
    pub fn slice(&self) -> &[f32] {
        &self.storage[self.start..self.start + self.len]
    }

    /// The slice, to be changed.
    pub fn slice_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..self.start + self.len]
    }

    /// Where a canary is missing, counted from the slice's start.
    pub(super) fn trespass(&self) -> Option<isize> {
        let outside = |at: &usize| !(self.start..self.start + self.len).contains(at);
        (0..self.storage.len())
            .filter(outside)
            .find(|&at| self.storage[at].to_bits() != CANARY)
            .map(|at| at as isize - self.start as isize)
    }
}

/// Fills the gaps between the rows of a matrix with canaries.
pub(super) fn spread(values: &[f32], columns: usize, stride: usize) -> Vec<f32> {
    if stride == columns {
        return values.to_vec();
    }
    let rows = values.len().checked_div(columns).unwrap_or(0);
    let mut out = vec![f32::from_bits(CANARY); rows * stride];
    for (to, from) in out.chunks_mut(stride).zip(values.chunks(columns.max(1))) {
        to[..columns].copy_from_slice(from);
    }
    out
}

/// Whether an element in a gap of [`spread`] is still what it was.
pub(super) fn untouched(x: f32) -> bool {
    x.to_bits() == CANARY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_lie_where_they_are_told_and_notice_writes() {
        for placement in [Placement::Plain, Placement::Guarded] {
            for offset in 0..16 {
                let setting = Setting { offset, placement, ..Setting::default() };
                let mut buffer = Buffer::new(setting, &[1.0; 5]);
                let at = buffer.slice().as_ptr() as usize;
                assert_eq!(at % 64, offset * 4, "{placement:?}");
                assert_eq!(buffer.trespass(), None);
                let end = buffer.start + buffer.len;
                buffer.storage[end] = 0.0;
                assert_eq!(buffer.trespass(), Some(5));
                buffer.storage[end] = f32::from_bits(CANARY);
                let before = buffer.start - 1;
                buffer.storage[before] = 0.0;
                assert_eq!(buffer.trespass(), Some(-1));
            }
        }
        let tight = Setting { offset: 3, placement: Placement::Tight, ..Setting::default() };
        let buffer = Buffer::new(tight, &[1.0; 5]);
        assert_eq!(buffer.start + buffer.len, buffer.storage.capacity());
    }
}
