//! How a step's work is forked: not at all, on the threads of the current rayon
//! pool, or on those of the executor's team.

use mlpc_kernels::lines::Lines;
use mlpc_kernels::team::Members;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Threads that may share some work.
pub(super) enum Threads<'a> {
    /// One thread.
    One,
    /// Those of the current rayon pool: for work that is long enough to be stolen.
    Pool,
    /// Those of a team, for parts of microseconds, and an arena for each member but
    /// the first; or none, and then the shard's does for all.
    ///
    /// Each member loads the inputs to its own arena, and packs there what it reads of
    /// other layers: a line takes longer from one core to another than to be written
    /// twice.
    Team(Members<'a>, &'a [Mutex<Lines>]),
}

impl Threads<'_> {
    /// The same threads, for a while.
    pub(super) fn all(&mut self) -> Threads<'_> {
        match self {
            Threads::One => Threads::One,
            Threads::Pool => Threads::Pool,
            Threads::Team(members, arenas) => Threads::Team(members.all(), arenas),
        }
    }

    /// Whether there are several of them, all of a team.
    pub(super) fn are_team(&self) -> bool {
        matches!(self, Threads::Team(members, _) if members.count() > 1)
    }

    /// Whether members have arenas of their own.
    pub(super) fn have_arenas(&self) -> bool {
        matches!(self, Threads::Team(_, arenas) if !arenas.is_empty())
    }

    /// This thread's own arena; none where it is the first, which has the shard's.
    pub(super) fn arena(&self) -> Option<MutexGuard<'_, Lines>> {
        let Threads::Team(members, arenas) = self else { return None };
        // Nobody else wants this one's.
        let arena = arenas.get(members.number().checked_sub(1)?)?;
        Some(arena.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls `first`, which works in the shard's arena, and beside it `others` with
    /// the arena of each other member.
    pub(super) fn each_arena(
        self,
        first: impl FnOnce() + Send,
        others: &(impl Fn(&mut [f32]) + Sync),
    ) {
        self.each_of(Some(first), others);
    }

    fn each_of<F: FnOnce() + Send>(self, first: Option<F>, others: &(impl Fn(&mut [f32]) + Sync)) {
        if self.are_team() {
            return self.join(
                |threads| threads.each_of(first, others),
                |threads| threads.each_of(None::<F>, others),
            );
        }
        match (first, self.arena()) {
            (Some(first), _) => first(),
            (None, Some(mut arena)) => others(&mut arena),
            (None, None) => {}
        }
    }

    /// Of how many parts the first of two closures gets how many.
    pub(super) fn first_half(&self) -> [usize; 2] {
        match self {
            Threads::Team(members, _) if members.count() > 1 => {
                [members.first_half(), members.count()]
            }
            _ => [1, 2],
        }
    }

    /// How many of so many, two at the least, the first of two closures gets.
    pub(super) fn first_part(&self, count: usize) -> usize {
        let [part, parts] = self.first_half();
        (count * part).div_ceil(parts).min(count - 1)
    }

    /// Runs both closures, at the same time where there are threads for it.
    pub(super) fn join(
        self,
        a: impl FnOnce(Threads<'_>) + Send,
        b: impl FnOnce(Threads<'_>) + Send,
    ) {
        match self {
            Threads::One => {
                a(Threads::One);
                b(Threads::One);
            }
            Threads::Pool => {
                rayon::join(|| a(Threads::Pool), || b(Threads::Pool));
            }
            Threads::Team(members, arenas) => members.join(
                |members| a(Threads::Team(members, arenas)),
                |members| b(Threads::Team(members, arenas)),
            ),
        }
    }
}
