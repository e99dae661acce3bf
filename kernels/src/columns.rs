//! Walks over columns of f64: the sums of statistics, ranks, and scaling.
//!
//! A walk is compiled for AVX2 as well, which is taken where the CPU has it. The
//! order of all additions is the same, so that results are, to the bit.

use crate::compiled::compiled_for;

/// Values are dealt out to so many lanes in turn: sums of their own need not
/// wait for each other.
pub const LANES: usize = 8;

/// Sums and extremes of finite values, lane by lane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Of the values less a number near their mean.
    pub sums: [f64; LANES],
    /// Of the squares of these differences.
    pub squares: [f64; LANES],
    /// The least values.
    pub lows: [f64; LANES],
    /// The largest.
    pub highs: [f64; LANES],
}

impl Default for Moments {
    /// Of nothing.
    fn default() -> Self {
        Moments {
            sums: [0.0; LANES],
            squares: [0.0; LANES],
            lows: [f64::INFINITY; LANES],
            highs: [f64::NEG_INFINITY; LANES],
        }
    }
}

impl Moments {
    /// Adds values, from which `shift` is subtracted before they are summed up.
    pub fn add(&mut self, values: &[f64], shift: f64) {
        add(self, values, shift);
    }

    #[inline(always)]
    fn add_one(&mut self, lane: usize, x: f64, shift: f64) {
        let apart = x - shift;
        self.sums[lane] += apart;
        self.squares[lane] += apart * apart;
        self.lows[lane] = if x < self.lows[lane] { x } else { self.lows[lane] };
        self.highs[lane] = if x > self.highs[lane] { x } else { self.highs[lane] };
    }
}

compiled_for! {
    ["avx2"]
    fn add(moments: &mut Moments, values: &[f64], shift: f64) {
        // A copy stays in registers.
        let mut found = *moments;
        let (parts, rest) = values.as_chunks::<LANES>();
        for part in parts {
            for (lane, &x) in part.iter().enumerate() {
                found.add_one(lane, x, shift);
            }
        }
        for (lane, &x) in rest.iter().enumerate() {
            found.add_one(lane, x, shift);
        }
        *moments = found;
    }
}

compiled_for! {
    ["avx2"]
    /// Whether there is neither a NaN nor an infinity among the values.
    pub fn all_finite(values: &[f64]) -> bool {
        // Infinity times 0 is NaN, too.
        let mut zeros = [0.0; LANES];
        let (parts, rest) = values.as_chunks::<LANES>();
        for part in parts {
            for lane in 0..LANES {
                zeros[lane] += 0.0 * part[lane];
            }
        }
        zeros[0] += rest.iter().map(|x| 0.0 * x).sum::<f64>();
        zeros.iter().sum::<f64>() == 0.0
    }
}

/// Appends the values between two others, exclusively, to `between`, in order.
/// How many of the values are below `low`, and how many are equal to it.
///
/// It is quick where few are between.
pub fn partition(values: &[f64], low: f64, high: f64, between: &mut Vec<f64>) -> (usize, usize) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi1") {
        // SAFETY: the CPU has what the function is compiled for, as was just
        // checked.
        return unsafe { x86::partition(values, low, high, between) };
    }
    partition_one_by_one(values, low, high, between)
}

fn partition_one_by_one(
    values: &[f64],
    low: f64,
    high: f64,
    between: &mut Vec<f64>,
) -> (usize, usize) {
    let (mut below, mut lowest) = (0, 0);
    for &x in values {
        below += usize::from(x < low);
        lowest += usize::from(x == low);
        if x > low && x < high {
            between.push(x);
        }
    }
    (below, lowest)
}

/// x ↦ (x − offset) / scale, and what takes a missing x's place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// In place of NaN.
    pub fill: f64,
    /// What is subtracted.
    pub offset: f64,
    /// What is divided by.
    pub scale: f64,
}

impl Scaling {
    /// A value, scaled.
    #[inline(always)]
    pub fn of(self, x: f64) -> f32 {
        ((if x.is_nan() { self.fill } else { x } - self.offset) / self.scale) as f32
    }

    /// Writes the values, scaled, to `scaled[0]`, `scaled[stride]`,
    /// `scaled[2 * stride]` and so on; whether f32 can hold them all.
    ///
    /// # Panics
    /// Where there is no room for one, or `stride` is 0.
    pub fn write(self, values: &[f64], scaled: &mut [f32], stride: usize) -> bool {
        let room = scaled.len().div_ceil(stride);
        assert!(values.len() <= room, "{} values, room for {room}", values.len());
        write(self, values, scaled, stride)
    }
}

compiled_for! {
    ["avx2"]
    fn write(scaling: Scaling, values: &[f64], scaled: &mut [f32], stride: usize) -> bool {
        const SOME: usize = 16;
        let mut zeros = [0.0; SOME];
        let mut places = scaled.chunks_mut(stride);
        let (parts, rest) = values.as_chunks::<SOME>();
        for part in parts {
            let mut numbers = [0.0; SOME];
            for lane in 0..SOME {
                numbers[lane] = scaling.of(part[lane]);
                zeros[lane] += 0.0 * numbers[lane];
            }
            for (x, place) in numbers.iter().zip(&mut places) {
                place[0] = *x;
            }
        }
        for (&x, place) in rest.iter().zip(places) {
            place[0] = scaling.of(x);
            zeros[0] += 0.0 * place[0];
        }
        zeros.iter().sum::<f32>() == 0.0
    }
}

/// Writes what a table has in the place of each code, and in its last place for codes
/// behind it, to `values[0]`, `values[stride]`, `values[2 * stride]` and so on.
///
/// # Panics
/// Where the table is empty, there is no room for a value, or `stride` is 0.
pub fn look_up(codes: &[u32], table: &[u32], values: &mut [u32], stride: usize) {
    let last = table.len().checked_sub(1).expect("a table of some values");
    let room = values.len().div_ceil(stride);
    assert!(codes.len() <= room, "{} codes, room for {room}", codes.len());
    for (i, &code) in codes.iter().enumerate() {
        // SAFETY: at most the last place of the table; and `i` is below the room,
        // so that i * stride is a place of the values.
        unsafe {
            *values.get_unchecked_mut(i * stride) = *table.get_unchecked(last.min(code as usize));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::partition_one_by_one;
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2,bmi1")]
    pub(super) fn partition(
        values: &[f64],
        low: f64,
        high: f64,
        between: &mut Vec<f64>,
    ) -> (usize, usize) {
        let (lows, highs) = (_mm256_set1_pd(low), _mm256_set1_pd(high));
        let mut below = _mm256_setzero_si256();
        let mut up_to_low = _mm256_setzero_si256();
        let (parts, rest) = values.as_chunks::<64>();
        for part in parts {
            // Which of them are between, a bit each.
            let mut bits = 0u64;
            for (i, four) in part.as_chunks::<4>().0.iter().enumerate() {
                // SAFETY: a reference to four values.
                let four = unsafe { _mm256_loadu_pd(four.as_ptr()) };
                let is_below = _mm256_cmp_pd::<_CMP_LT_OQ>(four, lows);
                let is_up_to_low = _mm256_cmp_pd::<_CMP_LE_OQ>(four, lows);
                let is_below_high = _mm256_cmp_pd::<_CMP_LT_OQ>(four, highs);
                below = _mm256_sub_epi64(below, _mm256_castpd_si256(is_below));
                up_to_low = _mm256_sub_epi64(up_to_low, _mm256_castpd_si256(is_up_to_low));
                let is_between = _mm256_andnot_pd(is_up_to_low, is_below_high);
                bits |= (_mm256_movemask_pd(is_between) as u64) << (4 * i);
            }
            while bits != 0 {
                let x = part[bits.trailing_zeros() as usize];
                // A NaN as the low end has nothing up to it, nor above it.
                if x > low {
                    between.push(x);
                }
                bits &= bits - 1;
            }
        }
        let count = |lanes: __m256i| {
            let mut counts = [0u64; 4];
            // SAFETY: room for four integers.
            unsafe { _mm256_storeu_si256(counts.as_mut_ptr().cast(), lanes) };
            counts.iter().sum::<u64>() as usize
        };
        let (below, up_to_low) = (count(below), count(up_to_low));
        let (more, lowest) = partition_one_by_one(rest, low, high, between);
        (below + more, up_to_low - below + lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Finite and other values, some of them alike.
    fn values() -> impl Strategy<Value = Vec<f64>> {
        let one = prop_oneof![
            20 => (-9..9i8).prop_map(f64::from),
            20 => -1e3..1e3f64,
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(-1e300),
        ];
        prop::collection::vec(one, 0..300)
    }

    proptest! {
        #[test]
        fn walks_are_those_of_plain_loops(
            values in values(),
            shift in -9.0..9.0f64,
            low in -9..9i8,
            width in 0..9i8,
            stride in 1usize..5,
        ) {
            prop_assert_eq!(all_finite(&values), values.iter().all(|x| x.is_finite()));

            let (low, high) = (f64::from(low), f64::from(low + width));
            let (mut found, mut expected) = (vec![7.0], vec![7.0]);
            let counts = partition(&values, low, high, &mut found);
            let below = values.iter().filter(|x| **x < low).count();
            let lowest = values.iter().filter(|x| **x == low).count();
            expected.extend(values.iter().filter(|x| **x > low && **x < high));
            prop_assert_eq!((counts, found), ((below, lowest), expected));

            let codes: Vec<u32> = values.iter().map(|x| x.abs() as u32).collect();
            let table = [5, 3, 8, 9, 4, 7];
            let mut found = vec![1; values.len() * stride];
            look_up(&codes, &table, &mut found, stride);
            for (i, value) in found.into_iter().enumerate() {
                let expected = table.get(codes[i / stride] as usize).unwrap_or(&7);
                prop_assert_eq!(value, if i % stride == 0 { *expected } else { 1 });
            }

            let scaling = Scaling { fill: 2.0, offset: shift, scale: 3.0 };
            let mut scaled = vec![-7.0; values.len() * stride];
            let fits = scaling.write(&values, &mut scaled, stride);
            let expected: Vec<f32> = values.iter().map(|&x| scaling.of(x)).collect();
            prop_assert_eq!(fits, expected.iter().all(|x| x.is_finite()));
            for (i, x) in scaled.into_iter().enumerate() {
                prop_assert_eq!(x, if i % stride == 0 { expected[i / stride] } else { -7.0 });
            }

            let finite: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
            let mut moments = Moments::default();
            moments.add(&finite, shift);
            let mut expected = Moments::default();
            for (i, &x) in finite.iter().enumerate() {
                let lane = i % LANES;
                expected.sums[lane] += x - shift;
                expected.squares[lane] += (x - shift) * (x - shift);
                expected.lows[lane] = expected.lows[lane].min(x);
                expected.highs[lane] = expected.highs[lane].max(x);
            }
            prop_assert_eq!(moments, expected);
        }
    }

    #[test]
    fn nothing_is_between_a_nan_and_another() {
        let values = [1.0; 70];
        for (low, high) in [(f64::NAN, 2.0), (0.0, f64::NAN)] {
            let mut between = Vec::new();
            let below = partition(&values, low, high, &mut between);
            assert_eq!((below, between), ((0, 0), Vec::new()));
        }
    }
}
