//! How a step's work is forked: not at all, on the threads of the current rayon
//! pool, or on those of the executor's team.

use crate::plan::{BufferId, Plan};
use mlpc_kernels::lines::Lines;
use mlpc_kernels::team::Members;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Threads that may share some work.
pub(super) enum Threads<'a> {
    /// One thread.
    One,
    /// Those of the current rayon pool: for work that is long enough to be stolen.
    Pool,
    /// Those of a team, for parts of microseconds, and what each member but the
    /// first has for itself (or none of them).
    Team(Members<'a>, &'a [Mutex<Inputs>]),
}

impl Threads<'_> {
    /// The same threads, for a while.
    pub(super) fn all(&mut self) -> Threads<'_> {
        match self {
            Threads::One => Threads::One,
            Threads::Pool => Threads::Pool,
            Threads::Team(members, inputs) => Threads::Team(members.all(), inputs),
        }
    }

    /// Whether there are several of them, all of a team.
    pub(super) fn are_team(&self) -> bool {
        matches!(self, Threads::Team(members, _) if members.count() > 1)
    }

    /// Whether each has inputs of its own.
    pub(super) fn have_inputs(&self) -> bool {
        matches!(self, Threads::Team(_, inputs) if !inputs.is_empty())
    }

    /// What this thread has for itself; none where it takes what all have.
    pub(super) fn inputs(&self) -> Option<MutexGuard<'_, Inputs>> {
        match self {
            Threads::Team(members, inputs) if !inputs.is_empty() => {
                // Nobody else wants this one's.
                let inputs = inputs.get(members.number().checked_sub(1)?)?;
                Some(inputs.lock().unwrap_or_else(PoisonError::into_inner))
            }
            _ => None,
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
            Threads::Team(members, inputs) => members.join(
                |members| a(Threads::Team(members, inputs)),
                |members| b(Threads::Team(members, inputs)),
            ),
        }
    }
}

/// A tile's inputs, as a member of a team has them for itself. All of them are read
/// by all who compute some outputs of the first layer, and between two cores a line
/// takes longer than the caller's core takes to write it a second time.
#[derive(Debug)]
pub(super) struct Inputs {
    /// The buffers that they stand for: feature-major, and as rows in panels.
    x: BufferId,
    rows: Option<BufferId>,
    of_x: Lines,
    of_rows: Lines,
}

impl Inputs {
    /// Room for tiles of so many lanes; none where other steps write the inputs too.
    pub(super) fn new(plan: &Plan, lanes: usize) -> Option<Inputs> {
        let (x, rows) = plan.train.inputs()?;
        let zeros = |buffer: BufferId| Lines::zeros(plan.train.buffers[buffer].width * lanes);
        let of_rows = rows.map_or(Lines::zeros(0), zeros);
        Some(Inputs { x, rows, of_x: zeros(x), of_rows })
    }

    /// What stands for a buffer, if anything does.
    pub(super) fn get(&self, buffer: BufferId) -> Option<&[f32]> {
        match buffer {
            _ if buffer == self.x => Some(&self.of_x),
            _ if Some(buffer) == self.rows => Some(&self.of_rows),
            _ => None,
        }
    }

    /// Both, so many numbers of each, to be written.
    fn parts(&mut self, len: usize) -> (&mut [f32], Option<&mut [f32]>) {
        let rows = self.rows.map(|_| &mut self.of_rows[..len]);
        (&mut self.of_x[..len], rows)
    }
}

/// Calls `load` with the inputs that all have and, where members have some for
/// themselves, with each one's, by itself.
pub(super) fn each_input(
    threads: Threads<'_>,
    x: &mut [f32],
    rows: Option<&mut [f32]>,
    load: &(impl Fn(&mut [f32], Option<&mut [f32]>) + Sync),
) {
    let len = x.len();
    if !threads.have_inputs() {
        return load(x, rows);
    }
    fork(threads, Some((x, rows)), len, load);
}

type Parts<'a> = (&'a mut [f32], Option<&'a mut [f32]>);

fn fork(
    threads: Threads<'_>,
    own: Option<Parts<'_>>,
    len: usize,
    load: &(impl Fn(&mut [f32], Option<&mut [f32]>) + Sync),
) {
    if threads.are_team() {
        return threads.join(
            |threads| fork(threads, own, len, load),
            |threads| fork(threads, None, len, load),
        );
    }
    if let Some((x, rows)) = own {
        load(x, rows);
    } else if let Some(mut inputs) = threads.inputs() {
        let (x, rows) = inputs.parts(len);
        load(x, rows);
    }
}
