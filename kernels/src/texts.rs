//! Telling the short texts of a table apart: a memory of those that came up a
//! moment ago. Tables have few levels, and few of them make most of the cells.

use super::bytes::RangeSlice;
use std::ops::Range;

/// The codes of texts that have come up, by their content.
///
/// A text has at most 31 bytes, so that it is compared in one vector; longer ones are
/// never known, nor are those that end where the text that they stand in ends. A new
/// text takes the place of one with the same hash.
#[derive(Debug, Clone)]
pub struct Recent {
    /// Two to the power of some number of them.
    slots: Box<[Slot]>,
    /// 64 less that power.
    shift: u32,
    /// What texts are hashed with.
    multiplier: u64,
}

/// So many bytes from the start of a text on are looked at.
const WINDOW: usize = 32;

/// Those bytes in words, as they lie in memory.
type Words = [u64; WINDOW / 8];

/// A text and its code, in a line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Slot {
    /// The text, and zeros behind it.
    words: Words,
    length: u32,
    code: u32,
}

/// The length of no text.
const NONE: u32 = u32::MAX;

/// What keeps the first `n` of a window's bytes, at `n`.
const FIRST: [[u8; WINDOW]; WINDOW] = {
    let mut masks = [[0; WINDOW]; WINDOW];
    let mut n = 0;
    while n < WINDOW {
        let mut i = 0;
        while i < n {
            masks[n][i] = u8::MAX;
            i += 1;
        }
        n += 1;
    }
    masks
};

/// The bytes as words.
#[inline(always)]
fn words(bytes: &[u8; WINDOW]) -> Words {
    let mut words = [0; WINDOW / 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    words
}

/// The words of a text of this length, which a window begins with.
#[inline]
fn text_in(window: &[u8; WINDOW], length: usize) -> Words {
    let (mut text, mask) = (words(window), words(&FIRST[length]));
    for (word, mask) in text.iter_mut().zip(mask) {
        *word &= mask;
    }
    text
}

/// The bytes by which one half of a text's words is turned before it is folded over
/// the other: what is alike in both halves would be lost else.
const TURN: u32 = 3;

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Recent {
    /// Knows nothing. It is to see about so many cells: with few of them, room for
    /// many texts would cost more than it saves.
    pub fn new(cells: usize) -> Recent {
        Recent::with_power((cells / 8).clamp(2, 256).ilog2())
    }

    /// Knows these texts, whose codes are 0, 1, 2 and so on, but for those that are too
    /// long or have the hash of one before: those that come up first come up often. It
    /// has room for many more than there are, since it is made once for many cells.
    pub fn of<'t>(texts: impl ExactSizeIterator<Item = &'t [u8]>) -> Recent {
        let power = (16 * texts.len()).clamp(256, 1 << 14).ilog2();
        let short = texts.enumerate().filter(|(_, text)| text.len() < WINDOW);
        let slots = short.map(|(code, text)| {
            let mut room = [0; WINDOW];
            room[..text.len()].copy_from_slice(text);
            let words = text_in(&room, text.len());
            Slot { words, length: text.len() as u32, code: code as u32 }
        });
        let slots: Vec<Slot> = slots.collect();
        // Of a few multipliers, one with which none of a few texts has to stay outside.
        let tries = if slots.len() < 100 { 16 } else { 1 };
        let mut best = (usize::MAX, Recent::with_power(power));
        for i in 0..tries {
            let mut recent = Recent::with_power(power);
            recent.multiplier = GOLDEN.rotate_left(2 * i) | 1;
            let mut outside = 0;
            for slot in &slots {
                let place = recent.place(slot.words, slot.length);
                match recent.slots[place].length {
                    NONE => recent.slots[place] = *slot,
                    _ => outside += 1,
                }
            }
            if outside < best.0 {
                best = (outside, recent);
            }
            if outside == 0 {
                break;
            }
        }
        best.1
    }

    fn with_power(power: u32) -> Recent {
        let none = Slot { words: [0; WINDOW / 8], length: NONE, code: 0 };
        let slots = vec![none; 1 << power].into_boxed_slice();
        Recent { slots, shift: u64::BITS - power, multiplier: GOLDEN }
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
        let n = cells.len().div_ceil(step);
        codes.reserve(n);
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi2") {
            // SAFETY: the CPU has what the function is compiled for, as was just
            // checked.
            return unsafe { x86::append_codes(self, text, cells, step, codes) };
        }
        self.append_codes(text, cells, step, codes)
    }

    fn append_codes(
        &self,
        text: &[u8],
        cells: RangeSlice<'_>,
        step: usize,
        codes: &mut Vec<u32>,
    ) -> usize {
        let had = codes.len();
        for Range { start, end } in cells.step_by(step) {
            let length = end.wrapping_sub(start);
            let window = text.get(start..).and_then(|text| text.first_chunk());
            let (Some(window), ..WINDOW) = (window, length) else { break };
            let words = text_in(window, length);
            let slot = &self.slots[self.place(words, length as u32)];
            if (slot.words, slot.length) != (words, length as u32) {
                break;
            }
            codes.push(slot.code);
        }
        codes.len() - had
    }

    /// The slot of a text.
    #[inline]
    fn place(&self, [a, b, c, d]: Words, length: u32) -> usize {
        // As bytes lie in memory, whatever their order in a word.
        let turned = u64::from_le(b ^ d).rotate_left(8 * TURN);
        self.hash(u64::from_le(a ^ c) ^ turned, length)
    }

    /// A hash of a text by its words, folded to one, and its length.
    #[inline(always)]
    fn hash(&self, folded: u64, length: u32) -> usize {
        // Multiplicative hashing (Knuth, TAOCP 3, 6.4): the high bits of a product.
        let mixed = folded ^ u64::from(length);
        (mixed.wrapping_mul(self.multiplier) >> self.shift) as usize
    }

    /// Remembers the code of a cell, where it is such a text.
    ///
    /// # Panics
    /// Where the cell is not in the text.
    pub fn remember(&mut self, text: &[u8], cell: Range<usize>, code: u32) {
        let length = text[cell.clone()].len();
        if let (Some(window), ..WINDOW) = (text[cell.start..].first_chunk(), length) {
            let (words, length) = (text_in(window, length), length as u32);
            let place = self.place(words, length);
            self.slots[place] = Slot { words, length, code };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{FIRST, Recent, TURN, WINDOW};
    use crate::bytes::RangeSlice;
    use std::arch::x86_64::*;

    /// What moves the high eight of sixteen bytes, turned, to the place of the low ones.
    const TURNED: [i8; 16] = {
        let mut from = [-1; 16];
        let mut i = 0;
        while i < 8 {
            from[i] = 8 + (i as i8 - TURN as i8).rem_euclid(8);
            i += 1;
        }
        from
    };

    /// As the method of that name.
    #[target_feature(enable = "avx2,bmi2")]
    pub(super) fn append_codes(
        recent: &Recent,
        text: &[u8],
        cells: RangeSlice<'_>,
        step: usize,
        codes: &mut Vec<u32>,
    ) -> usize {
        // Whether cells are known is asked of some of them at once.
        const SOME: usize = 8;
        let Some(last_window) = text.len().checked_sub(WINDOW) else { return 0 };
        let n = cells.len().div_ceil(step);
        let room = &mut codes.spare_capacity_mut()[..n];
        // SAFETY: a reference to sixteen bytes.
        let turn = unsafe { _mm_loadu_si128(TURNED.as_ptr().cast()) };
        let mut known = 0;
        let mut some = SOME;
        while known < n {
            let end = n.min(known + some);
            let mut unlike = _mm256_setzero_si256();
            let mut unlike_length = 0;
            let mut i = known;
            while i < end {
                // SAFETY: i is at most n - 1, and n - 1 times the step is the place of
                // a range.
                let (start, end) = unsafe { cells.get_unchecked(i * step) };
                let length = end.wrapping_sub(start);
                if length as usize >= WINDOW || start as usize > last_window {
                    unlike_length = u32::MAX;
                    break;
                }
                // SAFETY: a window begins at most at the place that the start was
                // compared with, and a mask at most at the last one, since the length
                // is below their number.
                let (window, mask) = unsafe {
                    let window = text.as_ptr().add(start as usize);
                    let mask = FIRST.get_unchecked(length as usize);
                    (_mm256_loadu_si256(window.cast()), _mm256_loadu_si256(mask.as_ptr().cast()))
                };
                let words = _mm256_and_si256(window, mask);
                let high = _mm256_extracti128_si256::<1>(words);
                let folded = _mm_xor_si128(_mm256_castsi256_si128(words), high);
                let folded = _mm_xor_si128(folded, _mm_shuffle_epi8(folded, turn));
                let slot = recent.hash(_mm_cvtsi128_si64(folded) as u64, length);
                // SAFETY: a hash has as many bits as the number of slots, less one.
                let slot = unsafe { recent.slots.get_unchecked(slot) };
                // SAFETY: a reference to thirty-two bytes.
                let known_words = unsafe { _mm256_loadu_si256(slot.words.as_ptr().cast()) };
                unlike = _mm256_or_si256(unlike, _mm256_xor_si256(words, known_words));
                unlike_length |= length ^ slot.length;
                // SAFETY: i is below n, the length of the room.
                unsafe { room.get_unchecked_mut(i) }.write(slot.code);
                i += 1;
            }
            if unlike_length == 0 && _mm256_testz_si256(unlike, unlike) != 0 {
                known = end;
            } else if some > 1 {
                // Those before the one that is not known.
                some = 1;
            } else {
                break;
            }
        }
        // SAFETY: so many codes have been written to the room, one behind the other.
        unsafe { codes.set_len(codes.len() + known) };
        known
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
            behind in "[ab]{0,40}",
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
                // Every way gives the same.
                let mut same = vec![7];
                let cells_ahead = ranges.as_slice().skip(at * step);
                prop_assert_eq!(recent.append_codes(text, cells_ahead, step, &mut same), n);
                prop_assert_eq!(&same, &codes);
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
            let few = behind.len() < WINDOW || room < 1_000;
            prop_assert!(few || known + 20 > short);
        }
    }
}
