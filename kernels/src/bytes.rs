//! Finding a text's delimiters, sixty-four bytes at a time.

use wide::u8x16;

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

const BLOCK: usize = 64;

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
        let ahead = &self.bytes[self.block..];
        match ahead.first_chunk::<BLOCK>() {
            Some(block) => self.compare(block),
            None => {
                // A byte that is not wanted fills the end.
                let filler = (0..3).find(|byte| !self.wanted.contains(byte)).unwrap_or(3);
                let mut block = [filler; BLOCK];
                block[..ahead.len()].copy_from_slice(ahead);
                self.compare(&block)
            }
        }
    }

    #[inline]
    fn compare(&self, block: &[u8; BLOCK]) -> u64 {
        let [a, b] = self.wanted.map(u8x16::splat);
        let mut bits = 0;
        for (i, part) in block.as_chunks::<16>().0.iter().enumerate() {
            let part = u8x16::new(*part);
            let found = part.simd_eq(a) | part.simd_eq(b);
            bits |= u64::from(found.to_bitmask()) << (16 * i);
        }
        bits
    }
}

/// Appends the ranges of the pieces of a text that end with one of two byte
/// values, in order, and of what is left behind the last of these, if anything.
///
/// # Panics
/// Where the text has 4 GiB or more.
pub fn split_all(bytes: &[u8], ends: [u8; 2], pieces: &mut Vec<(u32, u32)>) {
    assert!(u32::try_from(bytes.len()).is_ok(), "a text of {} bytes", bytes.len());
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("bmi1") && std::is_x86_feature_detected!("popcnt") {
        #[target_feature(enable = "bmi1,popcnt")]
        fn compiled(bytes: &[u8], ends: [u8; 2], pieces: &mut Vec<(u32, u32)>) {
            append_pieces(bytes, ends, pieces);
        }
        // SAFETY: the CPU has what the function is compiled for, as was just
        // checked.
        return unsafe { compiled(bytes, ends, pieces) };
    }
    append_pieces(bytes, ends, pieces);
}

#[inline(always)]
fn append_pieces(bytes: &[u8], ends: [u8; 2], pieces: &mut Vec<(u32, u32)>) {
    let mut finder = Finder { bytes, wanted: ends, block: 0, found: 0 };
    let mut start = 0;
    while finder.block < bytes.len() {
        let mut bits = finder.look();
        let count = bits.count_ones() as usize;
        // As many at a time as a block of short pieces has: how many they are
        // is no pattern that a branch could follow.
        const SOME: usize = 8;
        pieces.reserve(BLOCK + SOME);
        let had = pieces.len();
        let room = &mut pieces.spare_capacity_mut()[..BLOCK + SOME];
        let (mut done, mut next) = (0, start);
        while done < count {
            for (i, piece) in room[done..done + SOME].iter_mut().enumerate() {
                let end = finder.block as u32 + bits.trailing_zeros();
                piece.write((next, end));
                bits &= bits.wrapping_sub(1);
                next = end.wrapping_add(1);
                start = if done + i < count { next } else { start };
            }
            done += SOME;
        }
        // SAFETY: `count` is at most `done`, and so many were written from
        // `had` on, within the capacity.
        unsafe { pieces.set_len(had + count) };
        finder.block += BLOCK;
    }
    if (start as usize) < bytes.len() {
        pieces.push((start, bytes.len() as u32));
    }
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
            let mut pieces = vec![(7, 7)];
            split_all(&bytes, [b',', b'\n'], &mut pieces);
            let mut start = 0;
            let stops = places.iter().copied().chain((bytes.last().is_some_and(|last| {
                *last != b',' && *last != b'\n'
            })).then_some(bytes.len()));
            let expected = stops.map(|stop| (std::mem::replace(&mut start, stop + 1), stop));
            prop_assert_eq!(pieces.remove(0), (7, 7));
            prop_assert!(pieces.iter().map(|&(a, b)| (a as usize, b as usize)).eq(expected));

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
