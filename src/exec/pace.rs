//! Whether a step runs on all threads or on one, measured while training goes
//! on.
//!
//! The plan knows how much work a step is, not what its threads cost: between
//! cores that share no cache, or beside a busy neighbour, two threads can take
//! longer than one. The result is the same bits either way, so that now and then some
//! steps go the other way and are timed: where the ordinary way is the faster one,
//! that takes a hundredth of the time.

use std::time::Duration;

/// Steps between two trials, for every thread that stands idle in one; after a trial
/// that has changed nothing twice as many as before, up to [`MOST_RESTS`] times as
/// many: what a trial costs, a thread that is woken included, is some ten steps.
const REST: u32 = 100;
const MOST_RESTS: u32 = 4;

/// Rounds of a trial that changes the way.
const ROUNDS: u32 = 3;

/// Steps of a way before the one that is timed: threads have to wake, and the first
/// step that follows another way finds what it reads in the caches of other cores.
const WARM: u32 = 4;

/// Steps of a round: the ordinary way, then the other.
const ROUND: u32 = 2 * (WARM + 1);

/// How steps are run, and when the other way is tried.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// The ordinary way: on all threads?
    parallel: bool,
    /// Steps since the last trial, and times [`REST`] until the next one.
    rested: u32,
    rests: u32,
    /// Steps of the trial that are done.
    done: u32,
    /// The fastest of them: of the ordinary way, of the other.
    best: [Duration; 2],
}

/// How the next step is run.
pub(super) struct Way {
    pub(super) parallel: bool,
    /// Whether its time is to be told to [`Pace::took`].
    pub(super) timed: bool,
}

impl Pace {
    /// On all threads until a first trial: an operating system takes some milliseconds
    /// to give threads that were asleep CPUs of their own.
    pub(super) fn new() -> Pace {
        Pace::rested(true, 1)
    }

    fn rested(parallel: bool, rests: u32) -> Pace {
        Pace { parallel, rested: 0, rests, done: 0, best: [Duration::MAX; 2] }
    }

    /// The next step, where there are so many threads.
    pub(super) fn next(&mut self, threads: usize) -> Way {
        let idle = if self.parallel { threads as u32 } else { 1 };
        self.rested = self.rested.saturating_add(1);
        let timed = self.rested > REST * self.rests * idle;
        let other = timed && self.done % ROUND > WARM;
        Way { parallel: self.parallel != other, timed }
    }

    /// A timed step has taken so long.
    pub(super) fn took(&mut self, time: Duration) {
        let (way, step) = (self.done % ROUND / (WARM + 1), self.done % (WARM + 1));
        if step == WARM {
            let best = &mut self.best[way as usize];
            *best = time.min(*best);
        }
        self.done += 1;
        if !self.done.is_multiple_of(ROUND) {
            return;
        }
        let [ordinary, other] = self.best;
        if other < ordinary && self.done < ROUNDS * ROUND {
            return;
        }
        // Not for a difference that is noise.
        let changes = other.as_secs_f64() < 0.95 * ordinary.as_secs_f64();
        *self = match changes {
            true => Pace::rested(!self.parallel, 1),
            false => Pace::rested(self.parallel, MOST_RESTS.min(2 * self.rests)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::Duration;

    /// Steps of a machine on which a step takes so many microseconds on two
    /// threads and on one, and twice as long where it follows one of the other
    /// way; how many of them ran on two.
    fn run(pace: &mut Pace, steps: u32, [two, one]: [u64; 2]) -> u32 {
        let (mut parallel, mut last) = (0, true);
        for step in 0..steps {
            let way = pace.next(2);
            parallel += u32::from(way.parallel);
            // Every seventh step is interrupted.
            let slow = if step % 7 == 0 { 3 } else { 1 };
            let cold = if way.parallel == last { 1 } else { 2 };
            last = way.parallel;
            if way.timed {
                let time = slow * cold * if way.parallel { two } else { one };
                pace.took(Duration::from_micros(time));
            }
        }
        parallel
    }

    #[test]
    fn threads_that_pay_are_kept() {
        let parallel = run(&mut Pace::new(), 10_000, [60, 100]);
        assert!(parallel > 9_700, "{parallel}");
    }

    #[test]
    fn threads_that_cost_are_left_and_taken_up_again() {
        let mut pace = Pace::new();
        let parallel = run(&mut pace, 1_000, [140, 100]);
        assert!(parallel < 300, "{parallel}");
        let parallel = run(&mut pace, 10_000, [140, 100]);
        assert!(parallel < 300, "{parallel}");
        let parallel = run(&mut pace, 10_000, [60, 100]);
        assert!(parallel > 9_500, "{parallel}");
    }

    #[test]
    fn a_difference_within_the_noise_changes_nothing() {
        assert!(run(&mut Pace::new(), 10_000, [101, 100]) > 9_000);
    }
}
