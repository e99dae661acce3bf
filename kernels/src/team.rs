//! Threads that wait awake for their part of a step.
//!
//! A thread that sleeps takes 5 to 50 µs to begin what it is given, and a thread
//! of a pool that looks for work some 2 µs. A training step of a small network
//! takes 20, in five or six parts that must wait for each other: its threads are
//! handed their parts through one line of the cache, which takes 0.1 µs. They stay
//! awake for 30 to 100 µs, longer than a step's parts are apart, and sleep from then
//! on.
//!
//! ```text
//!             join(a, b)             a is done
//! caller    ──┬── a ─────────────────┬─────┬──
//!             │ b is READY           │ has nobody begun b? then run it here, and
//!             │                      │ wake the helper, should it be asleep
//! helper    ──┴─── b: RUNNING ───────┴──── │ awake, then ASLEEP
//! ```
//!
//! This is the fork and join of OpenMP's teams, where two closures at a time are
//! forked, as rayon does.

use std::any::Any;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, JoinHandle};

/// Threads beside the one that owns them.
#[derive(Debug)]
pub struct Team {
    helpers: Vec<Helper>,
}

impl Team {
    /// A team of so many threads in all, the caller's among them; of fewer where
    /// the operating system gives no more.
    pub fn new(threads: usize) -> Team {
        let helpers = (1..threads).map_while(|_| Helper::new().ok()).collect();
        Team { helpers }
    }

    /// All of its threads.
    pub fn all(&mut self) -> Members<'_> {
        Members { number: 0, helpers: &mut self.helpers }
    }
}

/// Members of a team that are free: the thread that has this value, and others.
#[derive(Debug)]
pub struct Members<'a> {
    number: usize,
    helpers: &'a mut [Helper],
}

impl Members<'_> {
    /// How many there are, at least one.
    pub fn count(&self) -> usize {
        self.helpers.len() + 1
    }

    /// The number of the first of them, which has this value (or, where it runs what
    /// another one has not begun, that one's number): those of a team have the numbers
    /// from 0 on.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The same members, for a while.
    pub fn all(&mut self) -> Members<'_> {
        Members { number: self.number, helpers: self.helpers }
    }

    /// Runs both closures and returns when both are done: `a` here and `b` on
    /// another thread, or behind `a` where no other is free or awake in time. Each
    /// gets its share of the members: `a` [`Members::first_half`] of them.
    ///
    /// # Panics
    /// Where one of them does, when both are done (or `b` has not begun).
    pub fn join(self, a: impl FnOnce(Members<'_>) + Send, b: impl FnOnce(Members<'_>) + Send) {
        let (here, number) = (self.first_half(), self.number);
        let alone = || Members { number, helpers: &mut [] };
        let Some((helper, helpers)) = self.helpers.split_first_mut() else {
            a(alone());
            return b(alone());
        };
        let (with_a, with_b) = helpers.split_at_mut(here - 1);
        helper.run_beside(
            || a(Members { number, helpers: with_a }),
            || b(Members { number: number + here, helpers: with_b }),
        );
    }

    /// How many of the members the first of two closures gets.
    pub fn first_half(&self) -> usize {
        self.count().div_ceil(2)
    }
}

/// A thread, and where it finds what it is to run.
#[derive(Debug)]
struct Helper {
    slot: Arc<Slot>,
    thread: Option<JoinHandle<()>>,
}

/// What a helper and its caller share. Two lines, since a CPU may fetch
/// neighbours in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Slot {
    state: AtomicU8,
    /// Written by the caller before it sets READY, read by whoever has replaced
    /// READY by RUNNING.
    task: UnsafeCell<Task>,
}

/// The helper looks for work. (Only the caller makes it READY.)
const AWAKE: u8 = 0;
/// The helper sleeps, or is about to; it must be woken.
const ASLEEP: u8 = 1;
/// There is a task that nobody has begun.
const READY: u8 = 2;
/// The helper runs the task.
const RUNNING: u8 = 3;
/// There will be no more tasks.
const OVER: u8 = 4;

/// A closure whose types are gone: what calls it, and where it is.
#[derive(Debug, Clone, Copy)]
struct Task {
    call: unsafe fn(*mut ()),
    closure: *mut (),
}

// SAFETY: `task` is written only by the thread that has the helper's only
// exclusive borrow, and only while the state is neither READY nor RUNNING; it is
// read only by the helper's thread, which has made the state RUNNING. The state's
// release and acquire put the one before the other. The closure behind it is Send:
// `run_beside` asks for it.
unsafe impl Sync for Slot {}
// SAFETY: as above; a slot is shared, and dropping it drops no closure.
unsafe impl Send for Slot {}

/// How often a helper looks for a task before it sleeps: every look takes 15 to
/// 50 ns, all of them 30 to 100 µs.
const LOOKS: u32 = 2000;

/// How often a caller looks whether a helper is done before it lets other threads
/// have its CPU: one of them may be the helper.
const LOOKS_OF_CALLER: u32 = 1000;

impl Helper {
    fn new() -> std::io::Result<Helper> {
        let task = Task { call: |_| {}, closure: std::ptr::null_mut() };
        let slot = Slot { state: AtomicU8::new(AWAKE), task: UnsafeCell::new(task) };
        let slot = Arc::new(slot);
        let its = Arc::clone(&slot);
        let thread = thread::Builder::new().name("mlpc-team".into()).spawn(move || its.serve())?;
        Ok(Helper { slot, thread: Some(thread) })
    }

    /// Wakes the thread, should it sleep.
    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Runs `a` here while the helper runs `b`.
    fn run_beside<B: FnOnce() + Send>(&mut self, a: impl FnOnce(), b: B) {
        let mut closure = Closure { run: Some(b), panic: None };
        let task = Task { call: call::<B>, closure: (&raw mut closure).cast() };
        let slot = &*self.slot;
        // SAFETY: nobody else touches the task, since the state is neither READY
        // nor RUNNING: this is the helper's only borrow, and each `Posted` has left
        // it so.
        unsafe { *slot.task.get() = task };
        // `closure` outlives this guard, which waits for whoever may use it, also
        // where `a` panics.
        let posted = Posted { slot };
        // A store does not wait for the line to come from the helper's core, as a swap
        // would. Should the helper fall asleep in between, it misses this task, and is
        // woken behind it.
        let asleep = slot.state.load(Ordering::Relaxed) == ASLEEP;
        slot.state.store(READY, Ordering::Release);
        if asleep {
            self.wake();
        }
        a();
        drop(posted);
        let Closure { run, panic } = closure;
        match (run, panic) {
            // The helper has not begun it.
            (Some(b), _) => {
                self.wake();
                b();
            }
            (None, Some(panic)) => resume_unwind(panic),
            (None, None) => {}
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.slot.state.store(OVER, Ordering::Relaxed);
        self.wake();
        let Some(thread) = self.thread.take() else { return };
        // A panic of a task has been given to its caller.
        let _ = thread.join();
    }
}

/// A closure, and its panic.
struct Closure<B> {
    run: Option<B>,
    panic: Option<Box<dyn Any + Send>>,
}

/// Runs the closure.
///
/// # Safety
/// It is a `Closure<B>` that nobody else touches.
unsafe fn call<B: FnOnce()>(closure: *mut ()) {
    // SAFETY: the caller vouches for it.
    let closure = unsafe { &mut *closure.cast::<Closure<B>>() };
    if let Some(run) = closure.run.take() {
        // What it borrows is not looked at again before the panic goes on.
        closure.panic = catch_unwind(AssertUnwindSafe(run)).err();
    }
}

/// A task that the helper may begin or run: takes it back or waits for it.
struct Posted<'a> {
    slot: &'a Slot,
}

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        let state = &self.slot.state;
        // Nothing has been written that this thread would have to see.
        let taken_back = state.compare_exchange(READY, AWAKE, Ordering::Relaxed, Ordering::Relaxed);
        if taken_back.is_ok() {
            return;
        }
        let mut looks = 0;
        while state.load(Ordering::Acquire) == RUNNING {
            if looks < LOOKS_OF_CALLER {
                looks += 1;
                spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

impl Slot {
    /// The life of a helper's thread.
    fn serve(&self) {
        let mut looks = 0;
        loop {
            match self.state.load(Ordering::Relaxed) {
                OVER => return,
                READY => {
                    let begun = self.state.compare_exchange(
                        READY,
                        RUNNING,
                        Ordering::Acquire,
                        Ordering::Relaxed,
                    );
                    if begun.is_ok() {
                        // SAFETY: the state is RUNNING, and so the caller waits for
                        // another: it neither writes the task nor touches the
                        // closure, which is its `Closure` of the same type.
                        unsafe {
                            let Task { call, closure } = *self.task.get();
                            call(closure);
                        }
                        self.state.store(AWAKE, Ordering::Release);
                        looks = 0;
                    }
                }
                _ if looks < LOOKS => {
                    looks += 1;
                    spin_loop();
                }
                _ => {
                    let sleeps = self.state.compare_exchange(
                        AWAKE,
                        ASLEEP,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                    while sleeps.is_ok() && self.state.load(Ordering::Relaxed) == ASLEEP {
                        thread::park();
                    }
                    looks = 0;
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Members, Team};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    /// Adds 1 to every number, on all members.
    fn add_one(numbers: &mut [u64], members: Members<'_>) {
        if members.count() == 1 || numbers.len() < 2 {
            return numbers.iter_mut().for_each(|x| *x += 1);
        }
        let (a, b) = numbers.split_at_mut(numbers.len() / 2);
        members.join(|members| add_one(a, members), |members| add_one(b, members));
    }

    #[test]
    fn every_part_is_run_once_whoever_is_awake() {
        // Miri, which finds races, takes a thousand times as long.
        let (rounds, count) = if cfg!(miri) { (12, 20) } else { (2000, 1000) };
        for threads in [1, 2, 3, 5, 8] {
            let mut team = Team::new(threads);
            let mut numbers = vec![0; count];
            for round in 0..rounds {
                add_one(&mut numbers, team.all());
                if round % (rounds / 4) == 0 {
                    // Helpers fall asleep.
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            assert!(numbers.iter().all(|x| *x == rounds), "{threads} threads");
        }
    }

    #[test]
    fn each_closure_gets_its_share_of_the_members() {
        for threads in 1..9 {
            let mut team = Team::new(threads);
            let all = team.all();
            let (count, half) = (all.count(), all.first_half());
            let (mut first, mut second) = ([0; 2], [0; 2]);
            all.join(
                |members| first = [members.number(), members.count()],
                |members| second = [members.number(), members.count()],
            );
            assert_eq!(first, [0, half]);
            // A thread alone runs both.
            assert_eq!(second, if count == 1 { [0, 1] } else { [half, count - half] });
        }
    }

    #[test]
    fn a_panic_comes_through_and_the_team_goes_on() {
        let mut team = Team::new(2);
        for round in 0..if cfg!(miri) { 4 } else { 100 } {
            let mut done = false;
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.all().join(
                    |_| {
                        // Long enough for a helper to begin, or not at all.
                        if round % 2 == 0 {
                            std::thread::sleep(Duration::from_micros(200));
                        }
                        done = true;
                    },
                    |_| panic!("of the second"),
                );
            }));
            assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "of the second");
            assert!(done);
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.all().join(|_| panic!("of the first"), |_| {});
            }));
            assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "of the first");
        }
        let mut numbers = vec![0; 10];
        add_one(&mut numbers, team.all());
        assert_eq!(numbers, [1; 10]);
    }
}
