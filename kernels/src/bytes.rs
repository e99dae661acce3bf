//! Finding a text's delimiters, sixty-four bytes at a time.

use crate::compiled::compiled_for;
use std::mem::MaybeUninit;
use std::ops::Range;
use wide::u8x16;

/// Ranges of bytes in a text, in any order.
///
/// Starts and ends are apart, so that many of each are written at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    starts: Vec<u32>,
    ends: Vec<u32>,
}

impl Ranges {
    /// None, with room for so many.
    pub fn with_capacity(capacity: usize) -> Ranges {
        Ranges { starts: Vec::with_capacity(capacity), ends: Vec::with_capacity(capacity) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Appends one.
    #[inline]
    pub fn push(&mut self, start: u32, end: u32) {
        self.starts.push(start);
        self.ends.push(end);
    }

    /// Keeps the first ones alone.
    pub fn truncate(&mut self, length: usize) {
        self.starts.truncate(length);
        self.ends.truncate(length);
    }

    /// The ends, to be changed.
    pub fn ends_mut(&mut self) -> &mut [u32] {
        &mut self.ends
    }

    /// All of them.
    #[inline]
    pub fn as_slice(&self) -> RangeSlice<'_> {
        RangeSlice { starts: &self.starts, ends: &self.ends }
    }
}

/// Some consecutive ranges among others.
#[derive(Debug, Clone, Copy)]
pub struct RangeSlice<'a> {
    starts: &'a [u32],
    ends: &'a [u32],
}

impl<'a> RangeSlice<'a> {
    /// How many there are.
    #[inline]
    pub fn len(self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.ends.is_empty()
    }

    /// The range at this place, if there is one.
    #[inline]
    pub fn get(self, i: usize) -> Option<Range<usize>> {
        Some(*self.starts.get(i)? as usize..*self.ends.get(i)? as usize)
    }

    /// Those in some places.
    ///
    /// # Panics
    /// Where there is no such place.
    #[inline]
    pub fn slice(self, places: Range<usize>) -> Self {
        RangeSlice { starts: &self.starts[places.clone()], ends: &self.ends[places] }
    }

    /// Those from a place on.
    ///
    /// # Panics
    /// Where there are fewer.
    #[inline]
    pub fn skip(self, first: usize) -> Self {
        RangeSlice { starts: &self.starts[first..], ends: &self.ends[first..] }
    }

    /// The start and the end of the range at this place.
    ///
    /// # Safety
    /// There is such a place.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) unsafe fn get_unchecked(self, i: usize) -> (u32, u32) {
        // SAFETY: there are as many starts as ends, and more than `i`, as the caller
        // promises.
        unsafe { (*self.starts.get_unchecked(i), *self.ends.get_unchecked(i)) }
    }

    /// The starts and the ends of those in the places `first`, `first + step` and so
    /// on, if there are so many.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn strided<const N: usize>(
        self,
        first: usize,
        step: usize,
    ) -> Option<([u32; N], [u32; N])> {
        let last = first.checked_add(step.checked_mul(N - 1)?)?;
        if last >= self.len() {
            return None;
        }
        let (mut starts, mut ends) = ([0; N], [0; N]);
        for i in 0..N {
            // SAFETY: first + i * step is at most `last`, which is a place.
            (starts[i], ends[i]) = unsafe { self.get_unchecked(first + i * step) };
        }
        Some((starts, ends))
    }

    /// Every so many of them, from the first on.
    #[inline]
    pub fn step_by(self, step: usize) -> impl Iterator<Item = Range<usize>> + 'a {
        let starts = self.starts.iter().step_by(step);
        starts.zip(self.ends.iter().step_by(step)).map(|(&a, &b)| a as usize..b as usize)
    }
}

/// Walks over the places of two byte values in a text, in ascending order.
///
/// The comparison of a block costs a few instructions, and a place in it
/// costs one more: fields of a few bytes, as tables have them, are too short
/// for a search that starts afresh for each.
#[derive(Debug, Clone)]
pub struct Finder<'a> {
    bytes: &'a [u8],
    wanted: [u8; 2],
    /// Where the block starts that `found` describes.
    block: usize,
    /// The places in the block that are still ahead, a bit each.
    found: u64,
}

pub(crate) const BLOCK: usize = 64;

/// The block of a text that starts here; `filler` stands behind the text's end.
#[inline(always)]
pub(crate) fn block_at(bytes: &[u8], start: usize, filler: u8) -> [u8; BLOCK] {
    let ahead = &bytes[start..];
    match ahead.first_chunk::<BLOCK>() {
        Some(block) => *block,
        None => {
            let mut block = [filler; BLOCK];
            block[..ahead.len()].copy_from_slice(ahead);
            block
        }
    }
}

impl<'a> Finder<'a> {
    /// A walk over the places of these two values.
    pub fn new(bytes: &'a [u8], wanted: [u8; 2]) -> Self {
        let mut finder = Finder { bytes, wanted, block: 0, found: 0 };
        finder.found = finder.look();
        finder
    }

    /// The next place; `None` behind the last.
    #[inline]
    pub fn next_place(&mut self) -> Option<usize> {
        while self.found == 0 {
            self.block += BLOCK;
            if self.block >= self.bytes.len() {
                self.block = self.bytes.len();
                return None;
            }
            self.found = self.look();
        }
        let bit = self.found.trailing_zeros();
        self.found &= self.found - 1;
        Some(self.block + bit as usize)
    }

    /// Passes over the places before `at`, which must not be behind the last
    /// one returned.
    #[inline]
    pub fn skip_to(&mut self, at: usize) {
        let ahead = at.saturating_sub(self.block);
        if ahead < BLOCK {
            self.found &= u64::MAX << ahead;
        } else {
            self.block = at.min(self.bytes.len());
            self.found = self.look();
        }
    }

    /// A bit for each wanted byte of the block.
    #[inline]
    fn look(&self) -> u64 {
        let block = block_at(self.bytes, self.block, filler(self.wanted));
        bits_of(&block, self.wanted[0]) | bits_of(&block, self.wanted[1])
    }
}

/// A byte that is none of these, and neither 0 nor a quote.
#[inline(always)]
fn filler(wanted: [u8; 2]) -> u8 {
    (1..4).find(|byte| !wanted.contains(byte)).unwrap_or(1)
}

/// A bit for each byte of the block that has this value.
#[inline(always)]
pub(crate) fn bits_of(block: &[u8; BLOCK], byte: u8) -> u64 {
    let mut bits = 0;
    for (i, part) in block.as_chunks::<16>().0.iter().enumerate() {
        let found = u8x16::new(*part).simd_eq(u8x16::splat(byte));
        bits |= u64::from(found.to_bitmask()) << (16 * i);
    }
    bits
}

/// What a text has beside its pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// How many pieces end with the second of the two values.
    pub lines: usize,
    /// Whether there are quotes or NUL bytes.
    pub specials: bool,
}

/// Appends the ranges of the pieces of a text that end with one of two byte
/// values, in order, and of what is left behind the last of these, if anything.
///
/// # Panics
/// Where the text has 4 GiB or more.
pub fn split_all(bytes: &[u8], ends: [u8; 2], pieces: &mut Ranges) -> Seen {
    assert!(u32::try_from(bytes.len()).is_ok(), "a text of {} bytes", bytes.len());
    #[cfg(target_arch = "x86_64")]
    if x86::is_available() {
        // SAFETY: the CPU has what the function is compiled for, as was just
        // checked.
        return unsafe { x86::append_pieces(bytes, ends, pieces) };
    }
    append_pieces(bytes, ends, pieces)
}

/// The places behind the ranges that there are: of starts, and of ends.
struct Spare<'a> {
    starts: &'a mut [MaybeUninit<u32>],
    ends: &'a mut [MaybeUninit<u32>],
}

/// Up to so many places of a block are written at once, those behind the last
/// as well.
const SOME: usize = 16;

impl Ranges {
    /// Room for the pieces of a block: a start more than ends.
    #[inline(always)]
    fn spare(&mut self) -> Spare<'_> {
        self.starts.reserve(1 + BLOCK + SOME);
        self.ends.reserve(BLOCK + SOME);
        Spare {
            starts: &mut self.starts.spare_capacity_mut()[..1 + BLOCK + SOME],
            ends: &mut self.ends.spare_capacity_mut()[..BLOCK + SOME],
        }
    }

    /// Takes up so many ranges that have been written to the spare places.
    ///
    /// # Safety
    /// So many starts and ends have been written there.
    #[inline(always)]
    unsafe fn take_up(&mut self, more: usize) {
        let length = self.ends.len() + more;
        // SAFETY: they are initialized, as the caller promises, and within the
        // capacity, where the spare places are.
        unsafe {
            self.starts.set_len(length);
            self.ends.set_len(length);
        }
    }

    /// Appends the pieces of a block that starts at `first`: they end where a bit is
    /// set, and the first one starts at `start`. Where the next one starts.
    #[inline(always)]
    pub(crate) fn append_ends(&mut self, start: u32, first: u32, mut bits: u64) -> u32 {
        let count = bits.count_ones() as usize;
        // As many at a time as a block of short pieces has: how many they are
        // is no pattern that a branch could follow.
        const SOME: usize = 8;
        let Spare { starts, ends } = self.spare();
        starts[0].write(start);
        let mut done = 0;
        while done < count {
            let ends = ends[done..done + SOME].iter_mut();
            for (end, next) in ends.zip(&mut starts[done + 1..done + 1 + SOME]) {
                let place = first + bits.trailing_zeros();
                end.write(place);
                next.write(place.wrapping_add(1));
                bits &= bits.wrapping_sub(1);
            }
            done += SOME;
        }
        // SAFETY: `count` is at most `done`; so many ends have been written, and
        // one start more.
        let next = unsafe { starts[count].assume_init() };
        // SAFETY: as above.
        unsafe { self.take_up(count) };
        next
    }

    /// Appends what begins behind the last piece of a text, if anything.
    pub(crate) fn append_rest(&mut self, start: u32, bytes: &[u8]) {
        if (start as usize) < bytes.len() {
            self.push(start, bytes.len() as u32);
        }
    }

    /// Takes the quotes off the cells that begin with one, which must end with one.
    pub fn strip_quotes(&mut self, bytes: &[u8]) {
        for (start, end) in self.starts.iter_mut().zip(&mut self.ends) {
            let quoted = u32::from(bytes.get(*start as usize) == Some(&b'"'));
            (*start, *end) = (*start + quoted, *end - quoted);
        }
    }
}

compiled_for! {
    ["bmi1", "popcnt"]
    fn append_pieces(bytes: &[u8], ends: [u8; 2], pieces: &mut Ranges) -> Seen {
        let mut seen = Seen::default();
        let (mut start, mut at) = (0, 0);
        let filler = filler(ends);
        while at < bytes.len() {
            let block = block_at(bytes, at, filler);
            let lines = bits_of(&block, ends[1]);
            seen.lines += lines.count_ones() as usize;
            seen.specials |= bits_of(&block, b'"') | bits_of(&block, 0) != 0;
            start = pieces.append_ends(start, at as u32, bits_of(&block, ends[0]) | lines);
            at += BLOCK;
        }
        pieces.append_rest(start, bytes);
        seen
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{BLOCK, Ranges, SOME, Seen, Spare};
    use std::arch::x86_64::*;

    /// Whether the CPU has what the following is compiled for.
    pub(super) fn is_available() -> bool {
        std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vbmi2")
            && std::is_x86_feature_detected!("popcnt")
    }

    /// As the function of that name, with places written sixteen at a time.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
    pub(super) fn append_pieces(bytes: &[u8], ends: [u8; 2], pieces: &mut Ranges) -> Seen {
        let [a, b] = ends;
        let (a, b) = (_mm512_set1_epi8(a as i8), _mm512_set1_epi8(b as i8));
        let quote = _mm512_set1_epi8(b'"' as i8);
        let (mut lines, mut specials) = (0, 0);
        let mut numbers = [0i8; BLOCK];
        for (i, number) in numbers.iter_mut().enumerate() {
            *number = i as i8;
        }
        // SAFETY: a reference to sixty-four bytes.
        let numbers = unsafe { _mm512_loadu_epi8(numbers.as_ptr()) };
        let one = _mm512_set1_epi32(1);
        let mut start = 0;
        for (i, block) in bytes.chunks(BLOCK).enumerate() {
            let there = u64::MAX >> (BLOCK - block.len());
            // SAFETY: the mask has a bit for each byte of the block.
            let text = unsafe { _mm512_maskz_loadu_epi8(there, block.as_ptr().cast()) };
            let line_ends = _mm512_mask_cmpeq_epi8_mask(there, text, b);
            lines += line_ends.count_ones() as usize;
            specials |= _mm512_mask_cmpeq_epi8_mask(there, text, quote);
            specials |= _mm512_mask_testn_epi8_mask(there, text, text);
            let found = _mm512_mask_cmpeq_epi8_mask(there, text, a) | line_ends;
            let count = found.count_ones() as usize;
            let places = _mm512_maskz_compress_epi8(found, numbers);
            let first = _mm512_set1_epi32((i * BLOCK) as i32);
            let Spare { starts, ends } = pieces.spare();
            starts[0].write(start);
            let quarters = [
                _mm512_castsi512_si128(places),
                _mm512_extracti32x4_epi32::<1>(places),
                _mm512_extracti32x4_epi32::<2>(places),
                _mm512_extracti32x4_epi32::<3>(places),
            ];
            let mut done = 0;
            for quarter in quarters {
                let these = _mm512_add_epi32(_mm512_cvtepu8_epi32(quarter), first);
                let ends = &mut ends[done..done + SOME];
                // SAFETY: room for sixteen integers.
                unsafe { _mm512_storeu_epi32(ends.as_mut_ptr().cast(), these) };
                let next = _mm512_add_epi32(these, one);
                let starts = &mut starts[done + 1..done + 1 + SOME];
                // SAFETY: room for sixteen integers.
                unsafe { _mm512_storeu_epi32(starts.as_mut_ptr().cast(), next) };
                done += SOME;
                if done >= count {
                    break;
                }
            }
            // SAFETY: `count` is at most `done`; so many ends have been written,
            // and one start more.
            start = unsafe { starts[count].assume_init() };
            // SAFETY: as above.
            unsafe { pieces.take_up(count) };
        }
        pieces.append_rest(start, bytes);
        Seen { lines, specials: specials != 0 }
    }
}

/// The ranges of cells that stand one behind the other in a text, with `step - 1`
/// cells of other columns, which are nowhere in it, between them; each is followed by
/// `end`.
#[cfg(test)]
pub(crate) fn column(text: &mut String, cells: &[String], end: &str, step: usize) -> Ranges {
    let mut ranges = Ranges::default();
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            (1..step).for_each(|_| ranges.push(u32::MAX, 0));
        }
        ranges.push(text.len() as u32, (text.len() + cell.len()) as u32);
        *text += cell;
        *text += end;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_loop_finds(
            bytes in prop::collection::vec(prop_oneof![Just(b','), Just(b'\n'), any::<u8>()], 0..300),
            skips in prop::collection::vec(0usize..90, 0..20),
        ) {
            let places: Vec<usize> =
                (0..bytes.len()).filter(|&i| bytes[i] == b',' || bytes[i] == b'\n').collect();
            let mut finder = Finder::new(&bytes, [b',', b'\n']);
            let mut all = Vec::new();
            while let Some(place) = finder.next_place() {
                all.push(place);
            }
            prop_assert_eq!(&all, &places);
            prop_assert_eq!(finder.next_place(), None);
            let mut pieces = Ranges::default();
            pieces.push(7, 7);
            let seen = split_all(&bytes, [b',', b'\n'], &mut pieces);
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            let specials = bytes.contains(&b'"') || bytes.contains(&0);
            prop_assert_eq!(seen, Seen { lines, specials });
            // Every way gives the same.
            let mut same = Ranges::default();
            same.push(7, 7);
            prop_assert_eq!(append_pieces(&bytes, [b',', b'\n'], &mut same), seen);
            prop_assert_eq!(&pieces, &same);
            let mut start = 0;
            let stops = places.iter().copied().chain((bytes.last().is_some_and(|last| {
                *last != b',' && *last != b'\n'
            })).then_some(bytes.len()));
            let expected = stops.map(|stop| std::mem::replace(&mut start, stop + 1)..stop);
            let pieces = pieces.as_slice();
            prop_assert_eq!(pieces.get(0), Some(7..7));
            prop_assert!(pieces.skip(1).step_by(1).eq(expected));

            let mut finder = Finder::new(&bytes, [b',', b'\n']);
            let mut at = 0;
            for skip in skips {
                at += skip;
                finder.skip_to(at);
                let next = finder.next_place();
                prop_assert_eq!(next, places.iter().copied().find(|&place| place >= at));
                let Some(next) = next else { break };
                at = next + 1;
            }
        }

        #[test]
        fn any_two_bytes_can_be_wanted(
            bytes in prop::collection::vec(0u8..4, 0..70),
            wanted in prop::array::uniform2(0u8..4),
        ) {
            let mut finder = Finder::new(&bytes, wanted);
            for place in (0..bytes.len()).filter(|&i| wanted.contains(&bytes[i])) {
                prop_assert_eq!(finder.next_place(), Some(place));
            }
            prop_assert_eq!(finder.next_place(), None);
        }
    }
}
