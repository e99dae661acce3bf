//! Measuring time: blocks of calls that are long enough, and their median.

use std::time::{Duration, Instant};

/// A block of calls takes at least this long, so that reading the clock and
/// one interrupt do not show.
const BLOCK: f64 = 0.01;

/// Blocks at the least.
const BLOCKS: usize = 5;

/// The same where calls are so long that these would take several times the time that was
/// asked for.
const LONG_BLOCKS: usize = 2;
const LONG: f64 = 4.0;

/// Median nanoseconds of a call: `block` makes so many calls and says how
/// long they took. The first blocks, which find out how many calls fill one,
/// warm up and do not count.
pub(super) fn median(seconds: f64, mut block: impl FnMut(u64) -> Duration) -> f64 {
    let target = BLOCK.min(seconds / BLOCKS as f64);
    let mut calls = 1;
    loop {
        let took = block(calls).as_secs_f64();
        if took >= target / 2.0 {
            calls = ((calls as f64 * target / took).round() as u64).max(1);
            break;
        }
        // At most eightfold: the first call may have been a slow one.
        calls = (calls as f64 * (target / took.max(1e-9)).clamp(2.0, 8.0)).round() as u64;
    }
    let start = Instant::now();
    let mut samples = Vec::new();
    loop {
        let elapsed = start.elapsed().as_secs_f64();
        let least = if elapsed < LONG * seconds { BLOCKS } else { LONG_BLOCKS };
        if samples.len() >= least && elapsed >= seconds {
            break;
        }
        samples.push(block(calls).as_secs_f64() * 1e9 / calls as f64);
    }
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// How long so many calls take.
pub(super) fn timed(calls: u64, mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::median;
    use std::time::Duration;

    #[test]
    fn the_median_ignores_slow_spells() {
        // A clock of its own: 100 ns a call, and every third block tenfold.
        let mut blocks = 0;
        let ns = median(0.01, |calls| {
            blocks += 1;
            let spell = if blocks % 3 == 0 { 10 } else { 1 };
            // The budget is real time.
            std::thread::sleep(Duration::from_micros(100));
            Duration::from_nanos(100 * calls * spell)
        });
        assert!((99.0..101.0).contains(&ns), "{ns}");
    }

    #[test]
    fn long_calls_are_few() {
        let mut blocks = 0;
        let ns = median(0.001, |calls| {
            blocks += 1;
            std::thread::sleep(Duration::from_millis(5));
            Duration::from_millis(5 * calls)
        });
        // The first one warms up.
        assert_eq!((blocks, ns), (3, 5e6));
    }
}
