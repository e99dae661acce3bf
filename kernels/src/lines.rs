//! Memory that begins where a line of the cache does.

use crate::simd::{Isa, Op, Simd};
use std::ops::{Deref, DerefMut};

/// Floats that begin at a line: what lies at multiples of a vector's length
/// never straddles two lines, where a load takes twice as long and a row that
/// is written touches a line more.
#[derive(Debug)]
pub struct Lines {
    storage: Vec<f32>,
    start: usize,
    len: usize,
}

/// Bytes of a line, and of the widest vector.
const LINE: usize = 64;

/// Asks for floats to be brought near: into the second-level cache, while other work
/// goes on, where the instruction set can.
pub fn ask_for(isa: Isa, floats: &[f32]) {
    isa.run(AskFor(floats));
}

struct AskFor<'a>(&'a [f32]);

impl Op for AskFor<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for line in self.0.chunks(LINE / size_of::<f32>()) {
            s.prefetch(line.as_ptr());
        }
    }
}

/// The same of rows of a matrix, by number: of a long row the first lines, after
/// which the CPU goes on by itself. Numbers beyond the matrix do nothing.
pub fn ask_for_rows<T: bytemuck::Pod>(isa: Isa, data: &[T], columns: usize, rows: &[u32]) {
    let bytes = columns * size_of::<T>();
    if bytes > 0 {
        isa.run(AskForRows { data: data.as_ptr().cast(), bytes, rows });
    }
}

struct AskForRows<'a> {
    data: *const u8,
    /// Bytes of a row.
    bytes: usize,
    rows: &'a [u32],
}

/// Lines of a row that are asked for at the most.
const LINES: usize = 4;

impl Op for AskForRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let bytes = self.bytes.min(LINES * LINE);
        for &row in self.rows {
            let row = self.data.wrapping_add((row as usize).wrapping_mul(self.bytes));
            for at in (0..bytes).step_by(LINE) {
                s.prefetch(row.wrapping_add(at).cast());
            }
            // A row seldom begins with a line.
            s.prefetch(row.wrapping_add(bytes - 1).cast());
        }
    }
}

impl Lines {
    /// So many zeros.
    pub fn zeros(len: usize) -> Lines {
        let storage = vec![0.0; len + LINE / size_of::<f32>()];
        let start = storage.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>());
        Lines { storage, start, len }
    }
}

impl From<&[f32]> for Lines {
    fn from(floats: &[f32]) -> Lines {
        let mut lines = Lines::zeros(floats.len());
        lines.copy_from_slice(floats);
        lines
    }
}

impl Clone for Lines {
    fn clone(&self) -> Lines {
        Lines::from(&**self)
    }
}

impl Deref for Lines {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.storage[self.start..][..self.len]
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..][..self.len]
    }
}
