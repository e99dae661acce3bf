//! The multiply-adds that a core can do, measured.

use crate::simd::{Isa, Op, Simd};

/// Vectors that are accumulated into at once: two multiply-adds a cycle with
/// a latency of five keep ten of them busy.
const ACCUMULATORS: usize = 10;

/// The same where a vector takes two registers and there are 16.
const ACCUMULATORS_FEW: usize = 6;

/// Multiply-adds on registers alone, `rounds` on every accumulator. Returns
/// the floating-point operations done, two a multiply-add and lane. Timed, it
/// gives the peak that no kernel of this instruction set can beat.
pub fn fma_loop(isa: Isa, rounds: u64) -> f64 {
    isa.run(FmaLoop { rounds })
}

struct FmaLoop {
    rounds: u64,
}

/// Accumulators by name: a loop over an array of them would spill (see
/// `gemm`), and measure the cache.
macro_rules! accumulate {
    ($s:ident, $rounds:ident: $($r:ident)*) => {{
        // Unknown to the compiler, so that nothing is computed before the
        // loop; x ← x·0.5 + 0.5 stays near 1, so that nothing is slow.
        let half = $s.splat(std::hint::black_box(0.5));
        $(let mut $r = $s.splat(std::hint::black_box(1.0));)*
        for _ in 0..$rounds {
            $($r = $s.mul_add($r, half, half);)*
        }
        let mut sum = $s.splat(0.0);
        $(sum = $s.add(sum, $r);)*
        std::hint::black_box($s.sum(sum));
    }};
}

impl Op for FmaLoop {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let rounds = self.rounds;
        let accumulators = if S::REGISTERS < 16 {
            accumulate!(s, rounds: a b c d e f);
            ACCUMULATORS_FEW
        } else {
            accumulate!(s, rounds: a b c d e f g h i j);
            ACCUMULATORS
        };
        2.0 * rounds as f64 * (accumulators * S::LANES) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::fma_loop;
    use crate::simd::Isa;

    #[test]
    fn operations_are_counted() {
        assert_eq!(fma_loop(Isa::Portable, 1000), 2.0 * 1000.0 * 6.0 * 8.0);
        for isa in [Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.available()) {
            assert_eq!(fma_loop(isa, 7), 2.0 * 7.0 * (10 * isa.lanes()) as f64);
        }
    }
}
