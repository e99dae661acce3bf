//! Two numbers at once with AVX2, eight with AVX-512, of sixteen bytes each.

use super::{POWERS, plain_number_in};
use crate::bytes::RangeSlice;
use std::arch::x86_64::*;
use std::ops::Range;

/// What keeps the last `n` of sixteen bytes: it is at offset `n`.
const LAST: [u8; 32] = {
    let mut mask = [0; 32];
    let mut i = 16;
    while i < 32 {
        mask[i] = 0xff;
        i += 1;
    }
    mask
};

/// For each place of a point among sixteen bytes, the control that moves
/// what is before it over it; the last is that of no point. The high bit
/// gives a 0.
const OVER_THE_POINT: [[u8; 16]; 17] = {
    let mut controls = [[0; 16]; 17];
    let mut point = 0;
    while point <= 16 {
        let mut i = 0;
        while i < 16 {
            let moved = if i == 0 { 0x80 } else { i as u8 - 1 };
            controls[point][i] = if point < 16 && i <= point { moved } else { i as u8 };
            i += 1;
        }
        point += 1;
    }
    controls
};

/// What a whole number is divided by, for each place of its point among
/// sixteen bytes, where the last one is 1, as is the one behind it. Then the
/// same, negative.
const DIVISORS: [[f64; 17]; 2] = {
    let mut divisors = [[1.0; 17]; 2];
    let mut point = 0;
    while point <= 16 {
        divisors[0][point] = if point == 16 { 1.0 } else { POWERS[15 - point] };
        divisors[1][point] = -divisors[0][point];
        point += 1;
    }
    divisors
};

/// Numbers that have been taken apart and are put together side by side.
struct Apart {
    /// Of each, the first eight and the last eight of its sixteen digits.
    digits: [[i32; 2]; Apart::ROOM],
    divisors: [f64; Apart::ROOM],
}

impl Apart {
    const ROOM: usize = 32;

    /// Appends the first `n` numbers.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn append_to(&self, numbers: &mut Vec<f64>, n: usize) {
        let mut values = [0.0; Apart::ROOM];
        let parts = self.digits.as_chunks::<4>().0.iter().zip(self.divisors.as_chunks::<4>().0);
        let parts = parts.zip(values.as_chunks_mut::<4>().0);
        for ((digits, divisors), values) in parts.take(n.div_ceil(4)) {
            // SAFETY: a reference to eight integers.
            let digits = unsafe { _mm256_loadu_si256(digits.as_ptr().cast()) };
            let first_then_last = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
            let digits = _mm256_permutevar8x32_epi32(digits, first_then_last);
            let first = _mm256_cvtepi32_pd(_mm256_castsi256_si128(digits));
            let last = _mm256_cvtepi32_pd(_mm256_extracti128_si256::<1>(digits));
            // Exact, as there are at most fifteen digits.
            let whole = _mm256_add_pd(_mm256_mul_pd(first, _mm256_set1_pd(1e8)), last);
            // SAFETY: a reference to four values.
            let divisors = unsafe { _mm256_loadu_pd(divisors.as_ptr()) };
            // SAFETY: a reference to four values.
            unsafe { _mm256_storeu_pd(values.as_mut_ptr(), _mm256_div_pd(whole, divisors)) };
        }
        numbers.extend_from_slice(&values[..n]);
    }
}

#[target_feature(enable = "avx2,bmi1")]
pub(super) fn plain_numbers(
    text: &[u8],
    cells: RangeSlice<'_>,
    step: usize,
    numbers: &mut Vec<f64>,
) {
    let mut apart = Apart { digits: [[0; 2]; Apart::ROOM], divisors: [1.0; Apart::ROOM] };
    let mut n = 0;
    let mut at = 0;
    while let Some(first) = cells.get(at) {
        if let Some(second) = cells.get(at + step)
            && let Some((digits, divisors)) = two(text, first.clone(), second)
        {
            let pair = &mut apart.digits.as_chunks_mut::<2>().0[n / 2];
            // SAFETY: a reference to four integers.
            unsafe { _mm_storeu_si128(pair.as_mut_ptr().cast(), digits) };
            let pair = &mut apart.divisors.as_chunks_mut::<2>().0[n / 2];
            // SAFETY: a reference to two values.
            unsafe { _mm_storeu_pd(pair.as_mut_ptr(), divisors) };
            (n, at) = (n + 2, at + 2 * step);
            if n == Apart::ROOM {
                apart.append_to(numbers, n);
                n = 0;
            }
            continue;
        }
        apart.append_to(numbers, n);
        n = 0;
        let Some(one) = plain_number_in(text, first.start, first.end) else { return };
        numbers.push(one);
        at += step;
    }
    apart.append_to(numbers, n);
}

/// Whether the CPU has what eight numbers at once are compiled for.
pub(super) fn has_avx512() -> bool {
    std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512cd")
        && std::is_x86_feature_detected!("avx512dq")
        && std::is_x86_feature_detected!("avx512vl")
}

/// As [`plain_numbers`], eight at once.
#[target_feature(enable = "avx2,bmi1,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
pub(super) fn plain_numbers_by_eight(
    text: &[u8],
    cells: RangeSlice<'_>,
    step: usize,
    numbers: &mut Vec<f64>,
) {
    let mut at = 0;
    // Until there is one that is not.
    let mut may_be_whole = true;
    while at < cells.len() {
        let end = at.saturating_add(8 * step).min(cells.len());
        let found = eight(text, cells, at, step, &mut may_be_whole);
        match found {
            Some(eight) => {
                let mut values = [0.0; 8];
                // SAFETY: room for eight values.
                unsafe { _mm512_storeu_pd(values.as_mut_ptr(), eight) };
                numbers.extend_from_slice(&values);
            }
            None => {
                let cells = cells.slice(at..end);
                let had = numbers.len();
                plain_numbers(text, cells, step, numbers);
                if numbers.len() - had < cells.len().div_ceil(step) {
                    return;
                }
            }
        }
        at = end;
    }
}

/// What keeps the last `n` of eight bytes, at `n`.
const LAST_OF_EIGHT: [[u8; 8]; 9] = {
    let mut masks = [[0; 8]; 9];
    let mut n = 0;
    while n <= 8 {
        let mut i = 8 - n;
        while i < 8 {
            masks[n][i] = 0xff;
            i += 1;
        }
        n += 1;
    }
    masks
};

/// The numbers of these lengths up to these ends, where all are digits and nothing else.
///
/// # Safety
/// The text has eight bytes before each end, and no length is above eight.
#[inline]
#[target_feature(enable = "avx2,bmi1,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
unsafe fn whole(text: &[u8], ends: &[u32; 8], lengths: &[usize; 8]) -> Option<__m512d> {
    // SAFETY: as the caller promises.
    let (bytes, masks) = unsafe {
        let bytes = |i: usize| &*text.as_ptr().add(ends[i] as usize - 8).cast();
        let mask = |i: usize| LAST_OF_EIGHT.get_unchecked(lengths[i]);
        (
            words([bytes(0), bytes(1), bytes(2), bytes(3), bytes(4), bytes(5), bytes(6), bytes(7)]),
            words([mask(0), mask(1), mask(2), mask(3), mask(4), mask(5), mask(6), mask(7)]),
        )
    };
    let digits = _mm512_and_si512(_mm512_xor_si512(bytes, _mm512_set1_epi8(0x30)), masks);
    if _mm512_cmpgt_epu8_mask(digits, _mm512_set1_epi8(9)) != 0 {
        return None;
    }
    let (tens, hundreds) = (_mm512_set1_epi16(0x010a), _mm512_set1_epi32(0x0001_0064));
    let fours = _mm512_madd_epi16(_mm512_maddubs_epi16(digits, tens), hundreds);
    // Of each number, its first four digits are below its last.
    let first = _mm512_mul_epu32(fours, _mm512_set1_epi64(10_000));
    Some(_mm512_cvtepi64_pd(_mm512_add_epi64(first, _mm512_srli_epi64::<32>(fours))))
}

/// Eight bytes in each eighth of a register.
#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn words(bytes: [&[u8; 8]; 8]) -> __m512i {
    let [a, b, c, d, e, f, g, h] = bytes;
    let word = |bytes: &[u8; 8]| i64::from_le_bytes(*bytes);
    let low = _mm256_set_epi64x(word(d), word(c), word(b), word(a));
    let high = _mm256_set_epi64x(word(h), word(g), word(f), word(e));
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

/// The numbers in the cells `at`, `at + step` and so on, where all eight are
/// there, are plain, and have at most fifteen digits and sixteen bytes.
#[inline]
#[target_feature(enable = "avx2,bmi1,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn eight(
    text: &[u8],
    cells: RangeSlice<'_>,
    at: usize,
    step: usize,
    may_be_whole: &mut bool,
) -> Option<__m512d> {
    let (starts, ends) = cells.strided::<8>(at, step)?;
    let (mut lengths, mut too_long, mut outside) = ([0; 8], 0, 0);
    for i in 0..8 {
        let end = ends[i] as usize;
        lengths[i] = end.wrapping_sub(starts[i] as usize);
        too_long |= lengths[i].wrapping_sub(1);
        // Negative where the end is too near the text's start or behind its end.
        outside |= end.wrapping_sub(16) | text.len().wrapping_sub(end);
    }
    if too_long >= 16 || (outside as isize) < 0 {
        return None;
    }
    if *may_be_whole && too_long < 8 {
        // SAFETY: for each of the cells, the text has eight bytes before the end, and
        // its length is 1 to 8: both were checked above, for all at once.
        let numbers = unsafe { whole(text, &ends, &lengths) };
        *may_be_whole = numbers.is_some();
        if *may_be_whole {
            return numbers;
        }
    }
    // SAFETY: for each of the cells, the text has sixteen bytes before the end,
    // and its length is 1 to 16: both were checked above, for all at once. A
    // mask is sixteen bytes from that on, of 32.
    let (bytes, masks) = unsafe {
        let bytes = |i: usize| &*text.as_ptr().add(ends[i] as usize - 16).cast();
        let mask = |i: usize| &*LAST.as_ptr().add(lengths[i]).cast();
        (
            [
                each(bytes(0), bytes(1), bytes(2), bytes(3)),
                each(bytes(4), bytes(5), bytes(6), bytes(7)),
            ],
            [each(mask(0), mask(1), mask(2), mask(3)), each(mask(4), mask(5), mask(6), mask(7))],
        )
    };
    let a = four(bytes[0], masks[0]);
    let b = four(bytes[1], masks[1]);
    if a.wrong | b.wrong != 0 {
        return None;
    }
    // Fours of digits to eights: of each number the first and the last eight.
    let ten_thousands = _mm512_set1_epi32(0x0001_2710);
    let eights = _mm512_madd_epi16(_mm512_packus_epi32(a.fours, b.fours), ten_thousands);
    // All of the first eights, then all of the last.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 1, 5, 9, 13, 3, 7, 11, 15);
    let eights = _mm512_permutexvar_epi32(order, eights);
    let first = _mm512_cvtepi32_pd(_mm512_castsi512_si256(eights));
    let last = _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64::<1>(eights));
    // Exact, as there are at most fifteen digits.
    let whole = _mm512_add_pd(_mm512_mul_pd(first, _mm512_set1_pd(1e8)), last);
    // 48 zeros are before the bit of a point in the last place, 63 in the first,
    // and 64 where there is none: modulo 16, the digits behind it.
    let points = _mm_set_epi64x(b.points as i64, a.points as i64);
    let decimals = _mm512_lzcnt_epi64(_mm512_cvtepu16_epi64(points));
    // SAFETY: two references to eight values each.
    let (low, high) =
        unsafe { (_mm512_loadu_pd(POWERS[..8].as_ptr()), _mm512_loadu_pd(POWERS[8..16].as_ptr())) };
    let divisors = _mm512_permutex2var_pd(low, decimals, high);
    let magnitudes = _mm512_castpd_si512(_mm512_div_pd(whole, divisors));
    let signs = _mm_set_epi64x(b.signs as i64, a.signs as i64);
    let negative = _mm_test_epi16_mask(signs, signs);
    let sign = _mm512_set1_epi64(i64::MIN);
    Some(_mm512_castsi512_pd(_mm512_mask_xor_epi64(magnitudes, negative, magnitudes, sign)))
}

/// Four numbers, taken apart.
struct Four {
    /// Sixteen digits of each as four numbers below 10,000.
    fours: __m512i,
    /// Where points and signs are, a bit a byte.
    points: u64,
    signs: u64,
    /// 0 where all are plain numbers.
    wrong: u64,
}

/// The numbers at the ends of sixteen bytes each; `cells` says which bytes are
/// theirs, one to sixteen.
#[inline]
#[target_feature(enable = "avx2,bmi1,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn four(bytes: __m512i, cells: __m512i) -> Four {
    let digits = _mm512_and_si512(_mm512_xor_si512(bytes, _mm512_set1_epi8(0x30)), cells);
    let minus = _mm512_set1_epi8((b'-' ^ b'0') as i8);
    let signs = _mm512_cmpeq_epi8_mask(digits, minus);
    let points = _mm512_cmpeq_epi8_mask(digits, _mm512_set1_epi8((b'.' ^ b'0') as i8));
    let digits = _mm512_maskz_mov_epi8(!signs, digits);
    // What is before a point moves over it.
    let up_to = _mm512_movm_epi8(points);
    let up_to = _mm512_or_si512(up_to, _mm512_bsrli_epi128::<1>(up_to));
    let up_to = _mm512_or_si512(up_to, _mm512_bsrli_epi128::<2>(up_to));
    let up_to = _mm512_or_si512(up_to, _mm512_bsrli_epi128::<4>(up_to));
    let up_to = _mm512_or_si512(up_to, _mm512_bsrli_epi128::<8>(up_to));
    let moved = _mm512_bslli_epi128::<1>(digits);
    // Bits of `moved` where those of `up_to` are 1.
    let digits = _mm512_ternarylogic_epi64::<0xca>(up_to, moved, digits);
    let no_digits = _mm512_cmpgt_epu8_mask(digits, _mm512_set1_epi8(9));
    let cells = _mm512_movepi8_mask(cells);
    // A sign stands first; of sixteen bytes, the first is not found to be that.
    let misplaced = signs & (!cells | cells << 1);
    // A sign, a point, or both are no number without a digit, and sixteen digits
    // are one too many.
    let there = _mm_cvtsi64_si128((cells & !(signs | points)) as i64);
    let none = _mm_cmpeq_epi16(there, _mm_setzero_si128());
    let none_or_all = _mm_or_si128(none, _mm_cmpeq_epi16(there, _mm_set1_epi16(-1)));
    let wrong = no_digits | misplaced | _mm_cvtsi128_si64(none_or_all) as u64;
    let tens = _mm512_set1_epi16(0x010a);
    let hundreds = _mm512_set1_epi32(0x0001_0064);
    let fours = _mm512_madd_epi16(_mm512_maddubs_epi16(digits, tens), hundreds);
    Four { fours, points, signs, wrong }
}

/// Sixteen bytes in each quarter of a register.
#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn each(a: &[u8; 16], b: &[u8; 16], c: &[u8; 16], d: &[u8; 16]) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(both(a, b)), both(c, d))
}

/// A cell's last sixteen bytes in the text, and its length; where the cell has
/// one to sixteen bytes, and the text as many before its end.
#[inline(always)]
fn cell(text: &[u8], cell: Range<usize>) -> Option<(&[u8; 16], usize)> {
    let length = cell.end.wrapping_sub(cell.start);
    let before = cell.end.wrapping_sub(16);
    if length.wrapping_sub(1) >= 16 || before > text.len().checked_sub(16)? {
        return None;
    }
    // SAFETY: before + 16 is at most the length of the text.
    let bytes = unsafe { &*text.as_ptr().add(before).cast::<[u8; 16]>() };
    Some((bytes, length))
}

/// The mask of a length, at most sixteen.
#[inline(always)]
fn last(length: usize) -> &'static [u8; 16] {
    LAST[length..].first_chunk().expect("sixteen of thirty-two")
}

/// The numbers in two cells, where both are plain and have at most fifteen
/// digits and sixteen bytes: the digits, and what to divide them by.
// Closures would not be compiled for AVX2 with it.
#[inline]
#[target_feature(enable = "avx2,bmi1")]
fn two(text: &[u8], a: Range<usize>, b: Range<usize>) -> Option<(__m128i, __m128d)> {
    let (a, a_length) = cell(text, a)?;
    let (b, b_length) = cell(text, b)?;
    let digits = _mm256_xor_si256(both(a, b), _mm256_set1_epi8(b'0' as i8));
    let digits = _mm256_and_si256(digits, both(last(a_length), last(b_length)));
    let signs = _mm256_cmpeq_epi8(digits, _mm256_set1_epi8((b'-' ^ b'0') as i8));
    let points = _mm256_cmpeq_epi8(digits, _mm256_set1_epi8((b'.' ^ b'0') as i8));
    let digits = _mm256_andnot_si256(signs, digits);
    let (signs, points) = (_mm256_movemask_epi8(signs) as u32, _mm256_movemask_epi8(points));
    // A sign stands first.
    let firsts = 0x1_0000 >> a_length | (0x1_0000 >> b_length) << 16;
    if signs & !firsts != 0 {
        return None;
    }
    let (a_negative, b_negative) = (usize::from(signs as u16 != 0), usize::from(signs >> 16 != 0));
    // At most sixteen, which is that of no point.
    let a_point = (points as u32 | 1 << 16).trailing_zeros() as usize;
    let b_point = (points as u32 >> 16 | 1 << 16).trailing_zeros() as usize;
    // A sign alone is no number, nor is a point, which stands last, at 15: they
    // give 16 and 17 here, and sixteen digits, which are one too many, 48. All
    // others are between. A branch on the length alone would be unforeseeable.
    let (a_bytes, b_bytes) = (2 * (a_length - a_negative), 2 * (b_length - b_negative));
    let fits = |sum: usize| sum.wrapping_sub(18) < 30;
    if !fits(a_bytes + a_point) || !fits(b_bytes + b_point) {
        return None;
    }
    let over = both(OVER_THE_POINT.get(a_point)?, OVER_THE_POINT.get(b_point)?);
    let digits = _mm256_shuffle_epi8(digits, over);
    let nine = _mm256_set1_epi8(9);
    let are_digits = _mm256_cmpeq_epi8(_mm256_max_epu8(digits, nine), nine);
    if _mm256_movemask_epi8(are_digits) != -1 {
        return None;
    }
    // Digits to pairs, fours, and eights.
    let tens = _mm256_set1_epi16(0x010a);
    let hundreds = _mm256_set1_epi32(0x0001_0064);
    let ten_thousands = _mm256_set1_epi32(0x0001_2710);
    let fours = _mm256_madd_epi16(_mm256_maddubs_epi16(digits, tens), hundreds);
    let eights = _mm256_madd_epi16(_mm256_packus_epi32(fours, fours), ten_thousands);
    let eights = _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(eights));
    let divisors = (DIVISORS[a_negative].get(a_point)?, DIVISORS[b_negative].get(b_point)?);
    Some((eights, _mm_set_pd(*divisors.1, *divisors.0)))
}

/// Sixteen bytes in each half of a register.
#[inline]
#[target_feature(enable = "avx2")]
fn both(low: &[u8; 16], high: &[u8; 16]) -> __m256i {
    // SAFETY: references to sixteen bytes each.
    unsafe { _mm256_loadu2_m128i(high.as_ptr().cast(), low.as_ptr().cast()) }
}
