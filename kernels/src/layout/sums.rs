//! Sums of a tile's features.

use super::{BLOCK, HALF, Tile};
use crate::gemm::vectors;
use crate::simd::{Column, Isa, Op, Simd};

/// Each sum ← (itself +) Σ over the lanes of its feature of a tile `d` of so many
/// features: the first sum's is feature `first`, the next one's the next.
///
/// # Panics
/// Where `d` is not such a tile, or has no feature for a sum.
pub fn sum_features(
    isa: Isa,
    tile: Tile,
    d: &[f32],
    [features, first]: [usize; 2],
    sums: &mut [f32],
    accumulate: bool,
) {
    assert_eq!(d.len(), features * tile.width);
    assert!(first.checked_add(sums.len()).is_some_and(|end| end <= features));
    isa.run(SumFeatures { tile, d, features, from: first, sums, accumulate });
}

struct SumFeatures<'a> {
    tile: Tile,
    d: &'a [f32],
    features: usize,
    from: usize,
    sums: &'a mut [f32],
    accumulate: bool,
}

impl Op for SumFeatures<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let SumFeatures { tile, d, features, mut from, sums, accumulate } = self;
        let (whole, rest) = sums.split_at_mut(sums.len() - sums.len() % S::LANES);
        for sums in whole.chunks_exact_mut(S::LANES) {
            // SAFETY: features of the tile, whose length sum_features has checked.
            let low = unsafe { chains(s, tile, d, features, |i| from + i) };
            let mut totals = Totals([low; 2]);
            if S::LANES > BLOCK {
                // SAFETY: as above.
                totals.0[1] = unsafe { chains(s, tile, d, features, |i| from + BLOCK + i) };
            }
            let totals = s.sums(&totals);
            s.store(if accumulate { s.add(s.load(sums), totals) } else { totals }, sums);
            from += S::LANES;
        }
        let Some(last) = rest.len().checked_sub(1) else { return };
        // The last feature is read again where fewer than a block are left, for nothing.
        let mut totals = Totals([[s.splat(0.0); BLOCK]; 2]);
        if rest.len() <= HALF {
            // SAFETY: as above.
            let [a, b, c, d]: [S::V; HALF] =
                unsafe { chains(s, tile, d, features, |i| from + i.min(last)) };
            totals.0[0] = [a, b, c, d, a, b, c, d];
        } else {
            // SAFETY: as above.
            totals.0[0] = unsafe { chains(s, tile, d, features, |i| from + i.min(last)) };
        }
        totals.0[1] = totals.0[0];
        if rest.len() > BLOCK {
            let more = |i: usize| from + (BLOCK + i).min(last);
            // SAFETY: as above.
            totals.0[1] = unsafe { chains(s, tile, d, features, more) };
        }
        let totals = s.sums(&totals);
        let totals = if accumulate { s.add(s.load_partial(rest), totals) } else { totals };
        s.store_partial(totals, rest);
    }
}

/// The sums of the vectors of `N` features of a tile of so many: as many chains of
/// additions.
///
/// # Safety
/// `d` is the tile, and every `feature(i)` one of its `features`.
#[inline(always)]
unsafe fn chains<S: Simd, const N: usize>(
    s: S,
    tile: Tile,
    d: &[f32],
    features: usize,
    feature: impl Fn(usize) -> usize,
) -> [S::V; N] {
    let usual = const { vectors(S::REGISTERS) * S::LANES };
    let (mut totals, mut first) = ([s.splat(0.0); N], 0);
    if tile.panel == usual {
        let starts: [_; N] = std::array::from_fn(|i| d.as_ptr().wrapping_add(feature(i) * usual));
        while first + usual <= tile.width {
            let at = first * features;
            for (total, start) in totals.iter_mut().zip(starts) {
                for v in 0..vectors(S::REGISTERS) {
                    // SAFETY: a vector of a feature of a whole panel.
                    let x = unsafe { s.load_ptr(start.wrapping_add(at + v * S::LANES)) };
                    *total = s.add(*total, x);
                }
            }
            first += usual;
        }
    }
    while first < tile.width {
        let width = tile.panel.min(tile.width - first);
        let panel = d.as_ptr().wrapping_add(first * features);
        let starts: [_; N] = std::array::from_fn(|i| panel.wrapping_add(feature(i) * width));
        let mut lane = 0;
        // SAFETY: lanes of features of the panel.
        unsafe {
            while lane + S::LANES <= width {
                for (total, start) in totals.iter_mut().zip(starts) {
                    *total = s.add(*total, s.load_ptr(start.wrapping_add(lane)));
                }
                lane += S::LANES;
            }
            if lane < width {
                for (total, start) in totals.iter_mut().zip(starts) {
                    *total = s.add(*total, s.load_first(start.wrapping_add(lane), width - lane));
                }
            }
        }
        first += width;
    }
    totals
}

/// As many vectors as a vector has lanes, at most 16.
struct Totals<V>([[V; BLOCK]; 2]);

impl<S: Simd> Column<S> for Totals<S::V> {
    #[inline(always)]
    fn at(&self, _: S, i: usize) -> S::V {
        self.0[i / BLOCK][i % BLOCK]
    }
}
