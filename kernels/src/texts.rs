//! Telling the short texts of a table apart: a memory of those that came up a
//! moment ago. Tables have few levels, and few of them make most of the cells.

use super::bytes::RangeSlice;
use std::ops::Range;

/// The codes of texts that have come up, by their content.
///
/// A text has at most 32 bytes, so that its first and its last sixteen bytes are
/// all of it; longer ones are never known, nor are those near the ends of the text
/// that they stand in. A new text takes the place of one with the same hash.
#[derive(Debug, Clone)]
pub struct Recent {
    /// Two to the power of some number of them.
    slots: Box<[Slot]>,
    /// 64 less that power.
    shift: u32,
}

const LONGEST: usize = 32;

/// A text and its code, in a line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Slot {
    print: Print,
    code: u32,
}

/// The first and the last sixteen bytes of a text, 0 where it has fewer, and its
/// length. The first byte of a word is its lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print {
    first: [u64; 2],
    last: [u64; 2],
    length: u32,
}

/// What keeps the first `n` of sixteen bytes, at `n`.
const FIRST: [[u64; 2]; 17] = {
    let mut masks = [[0; 2]; 17];
    let mut n = 0;
    while n <= 16 {
        let mask = if n == 16 { u128::MAX } else { (1 << (8 * n)) - 1 };
        masks[n] = [mask as u64, (mask >> 64) as u64];
        n += 1;
    }
    masks
};

/// What keeps the last `n` of sixteen bytes, at `n`.
const LAST: [[u64; 2]; 17] = {
    let mut masks = [[0; 2]; 17];
    let mut n = 0;
    while n <= 16 {
        let [low, high] = FIRST[16 - n];
        masks[n] = [!low, !high];
        n += 1;
    }
    masks
};

impl Print {
    /// Of a text of this length that starts with the first of these bytes, as they
    /// lie in memory, and ends with the last of those.
    #[inline(always)]
    fn new(first: [u64; 2], last: [u64; 2], length: usize) -> Print {
        let (first, last) = (first.map(u64::from_le), last.map(u64::from_le));
        let some = length.min(16);
        let and = |[a, b]: [u64; 2], [c, d]: [u64; 2]| [a & c, b & d];
        Print { first: and(first, FIRST[some]), last: and(last, LAST[some]), length: length as u32 }
    }

    #[inline(always)]
    fn slot(&self, shift: u32) -> usize {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4): the high bits of a product.
        let [low, high] = self.last;
        let mixed = low ^ high.rotate_left(29) ^ u64::from(self.length);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) as usize
    }
}

impl Recent {
    /// Knows nothing. It is to see about so many cells: with few of them, room for
    /// many texts would cost more than it saves.
    pub fn new(cells: usize) -> Recent {
        const MOST: usize = 256;
        let power = (cells / 8).clamp(2, MOST).ilog2();
        // No text is so long.
        let print = Print { first: [0; 2], last: [0; 2], length: u32::MAX };
        let slots = vec![Slot { print, code: 0 }; 1 << power].into_boxed_slice();
        Recent { slots, shift: u64::BITS - power }
    }

    /// Appends the codes of the cells 0, `step`, 2 · `step` and so on, each the range
    /// of its bytes in `text`, up to the first that is not known or to the end of
    /// the cells; how many these are.
    ///
    /// # Panics
    /// Where `step` is 0.
    pub fn codes(
        &self,
        text: &[u8],
        cells: RangeSlice<'_>,
        step: usize,
        codes: &mut Vec<u32>,
    ) -> usize {
        const SOME: usize = 8;
        assert!(step > 0, "cells of no column");
        codes.reserve(cells.len().div_ceil(step));
        let had = codes.len();
        let mut at = 0;
        // One at first, since where one is not known, the next is often not either.
        let mut known = self.some::<1>(text, cells, &mut at, step, codes);
        while known {
            known = self.some::<SOME>(text, cells, &mut at, step, codes);
        }
        // What is left behind the last whole group.
        while self.some::<1>(text, cells, &mut at, step, codes) {}
        codes.len() - had
    }

    /// Does so for `N` cells from `at` on, up to the first that is not known, and
    /// passes over them; whether there were so many and all are known.
    #[inline(always)]
    fn some<const N: usize>(
        &self,
        text: &[u8],
        cells: RangeSlice<'_>,
        at: &mut usize,
        step: usize,
        codes: &mut Vec<u32>,
    ) -> bool {
        let Some((starts, ends)) = cells.strided::<N>(*at, step) else { return false };
        // In 64 bits, whatever the size of an address, so that nothing wraps.
        let (length, mut outside) = (text.len() as i64, 0);
        for (&start, &end) in starts.iter().zip(&ends) {
            let (start, end) = (i64::from(start), i64::from(end));
            // Negative where there are not sixteen bytes behind the start and before
            // the end, or the end is before the start or behind the text.
            outside |= (length - 16 - start) | (end - 16) | (end - start) | (length - end);
        }
        if outside < 0 {
            return false;
        }
        for (&start, &end) in starts.iter().zip(&ends) {
            let (start, end) = (start as usize, end as usize);
            // SAFETY: start + 16 and end are at most the length of the text, and end
            // is at least 16, as was checked for all of them.
            let print = unsafe {
                let first = text.as_ptr().add(start).cast::<[u64; 2]>().read_unaligned();
                let last = text.as_ptr().add(end - 16).cast::<[u64; 2]>().read_unaligned();
                Print::new(first, last, end - start)
            };
            let slot = &self.slots[print.slot(self.shift)];
            let Print { first: [a, b], last: [c, d], length } = slot.print;
            let [e, f] = print.first;
            let [g, h] = print.last;
            let unlike = (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) | u64::from(length ^ print.length);
            if unlike != 0 {
                return false;
            }
            codes.push(slot.code);
            *at += step;
        }
        true
    }

    /// Remembers the code of a cell, where it is such a text.
    ///
    /// # Panics
    /// Where the cell is not in the text.
    pub fn remember(&mut self, text: &[u8], cell: Range<usize>, code: u32) {
        let length = text[cell.clone()].len();
        let first = text[cell.start..].first_chunk::<16>();
        let last = text[..cell.end].last_chunk::<16>();
        if let (Some(first), Some(last), ..=LONGEST) = (first, last, length) {
            let words = |bytes: &[u8; 16]| {
                let [a, b] = bytes.as_chunks().0 else { unreachable!("twice eight") };
                [u64::from_ne_bytes(*a), u64::from_ne_bytes(*b)]
            };
            let print = Print::new(words(first), words(last), length);
            self.slots[print.slot(self.shift)] = Slot { print, code };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bytes::column;
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// A cell that is known has the code of the last one like it, and others have
        /// none, wherever they stand.
        #[test]
        fn known_cells_have_their_codes(
            cells in prop::collection::vec(
                "[ab]{0,3}|a{3}[ab]{0,2}a{3}|[ab]{7,9}|[ab]{15,18}|a{15}[abc]{3}a{14}|[ab]{31,36}|\0{0,2}",
                0..200,
            ),
            before in "[ab]{0,18}",
            behind in "[ab]{0,18}",
            step in 1usize..3,
            room in 0usize..3_000,
        ) {
            let mut text = before.clone();
            let ranges = column(&mut text, &cells, "", step);
            text += &behind;
            let text = text.as_bytes();
            let mut recent = Recent::new(room);
            let mut given: HashMap<&str, u32> = HashMap::new();
            let (mut at, mut known) = (0, 0);
            while at < cells.len() {
                let mut codes = vec![7];
                let n = recent.codes(text, ranges.as_slice().skip(at * step), step, &mut codes);
                prop_assert_eq!(codes.len(), 1 + n);
                for (cell, code) in cells[at..].iter().zip(&codes[1..]) {
                    prop_assert_eq!(given.get(cell.as_str()), Some(code));
                }
                known += n;
                at += n;
                if let Some(cell) = cells.get(at) {
                    let range = ranges.as_slice().get(at * step).unwrap_or_default();
                    recent.remember(text, range, at as u32);
                    given.insert(cell, at as u32);
                    at += 1;
                }
            }
            // Many are: there are few of the shortest kind.
            let short = cells.iter().filter(|cell| cell.len() < 2).count();
            let few = before.len() < 16 || behind.len() < 16 || room < 1_000;
            prop_assert!(few || known + 20 > short);
        }
    }
}
