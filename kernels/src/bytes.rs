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
