//! Training: epochs of mini-batches over a table in memory.

mod init;

pub use init::initial_parameters;

use crate::check::model::{Network, Train};
use crate::exec::{Batch, Executor, Rows, State, Targets, mean_loss};
use crate::inputs::Features;
use crate::plan::{Plan, PlanOptions};
use crate::random::{Stream, random, shuffle};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A table to train on: features and targets.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    /// The features of all rows.
    pub features: Features<'a>,
    /// The targets of all rows.
    pub targets: Targets<'a>,
    /// The rows to train on.
    pub train: &'a [u32],
    /// The rows to validate on, of this table or of another.
    pub validation: Option<Batch<'a>>,
}

/// What [`Trainer::fit`] tells its caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// A mini-batch is done: so many rows of the epoch's are.
    Batch {
        /// Rows done in this epoch.
        rows: usize,
    },
    /// An epoch is done.
    Epoch(Epoch),
}

/// An epoch's result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Its number, counted from 1.
    pub number: usize,
    /// The mean loss of the rows, each as its mini-batch met it.
    pub loss: f64,
    /// The mean loss of the validation rows after the epoch.
    pub validation: Option<f64>,
}

/// Training diverged: the loss or a parameter is not a finite number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("training diverged in epoch {epoch}: the loss or a parameter is not a finite number")]
pub struct Diverged {
    /// The epoch, counted from 1.
    pub epoch: usize,
}

/// Trains a network.
///
/// The result is a function of the network, the table, the `train` statement,
/// the initial parameters and the instruction set; the number of threads does
/// not change a bit of it.
#[derive(Debug)]
pub struct Trainer {
    network: Network,
    options: Train,
    executor: Executor,
    state: State,
    epochs: usize,
    /// With `patience`: the epoch of the lowest validation loss so far, and
    /// its parameters.
    best: Option<(Epoch, Vec<f32>)>,
    order: Vec<u32>,
    pool: Option<rayon::ThreadPool>,
}

impl Trainer {
    /// A trainer that starts from `parameters`, for example
    /// [`initial_parameters`].
    ///
    /// # Panics
    /// Where the parameters are not as many as the network's.
    pub fn new(
        network: &Network,
        options: &Train,
        plan: PlanOptions,
        parameters: Vec<f32>,
    ) -> Self {
        let plan = Arc::new(Plan::new(network, plan));
        let state = State::new(&plan, parameters);
        let executor = Executor::new(plan, options.batch);
        Trainer {
            network: network.clone(),
            options: options.clone(),
            executor,
            state,
            epochs: 0,
            best: None,
            order: Vec::new(),
            pool: None,
        }
    }

    /// Uses up to so many threads where the plan says that it pays; 0 stands
    /// for one a CPU core. Without this, training runs on the calling thread.
    ///
    /// # Errors
    /// Where the operating system gives no threads.
    pub fn threads(mut self, threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let shared = self.executor.plan().pays_threads(self.options.batch);
        if threads != 1 && shared {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            self.executor = self.executor.threads(pool.current_num_threads());
            self.pool = Some(pool);
        }
        Ok(self)
    }

    /// The threads that training uses.
    pub fn thread_count(&self) -> usize {
        self.pool.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// The plan that is run.
    pub fn plan(&self) -> &Plan {
        self.executor.plan()
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Parameters and optimizer state as they are now, as the plan lays them
    /// out.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The parameters as they are now, laid out as
    /// [`Network::tensors`](crate::check::model::Network::tensors) says.
    pub fn parameters(&self) -> Vec<f32> {
        self.plan().in_order_of_tensors(self.state.parameters.clone())
    }

    /// Epochs done.
    pub fn epochs(&self) -> usize {
        self.epochs
    }

    /// The epoch of the lowest validation loss, where `patience` watches it:
    /// once [`Trainer::fit`] is done, the parameters are that epoch's.
    pub fn best(&self) -> Option<Epoch> {
        self.best.as_ref().map(|(epoch, _)| *epoch)
    }

    /// Trains for the epochs that the `train` statement says, or until
    /// `progress` breaks. Returns the last epoch's result; none where not one
    /// was finished.
    ///
    /// With `patience` it ends as well once so many epochs have passed without
    /// a validation loss lower than the lowest one, and however it ends, the
    /// parameters are afterwards those of the epoch of the lowest one
    /// ([`Trainer::best`]); this is Keras's `EarlyStopping` with
    /// `restore_best_weights`. Without rows to validate on there is no such
    /// epoch, and `patience` changes nothing.
    ///
    /// # Errors
    /// [`Diverged`], with the parameters as they are then.
    ///
    /// # Panics
    /// Where there are no rows to train on, or a slice is shorter than its
    /// rows need.
    pub fn fit(
        &mut self,
        table: Table<'_>,
        mut progress: impl FnMut(Progress) -> ControlFlow<()> + Send,
    ) -> Result<Option<Epoch>, Diverged> {
        // Entering a pool costs microseconds: the whole loop runs inside.
        let result = match self.pool.take() {
            None => self.fit_here(table, &mut progress),
            Some(pool) => {
                let result = pool.install(|| self.fit_here(table, &mut progress));
                self.pool = Some(pool);
                result
            }
        };
        if let (Ok(_), Some((_, parameters))) = (&result, &self.best) {
            self.state.parameters.copy_from_slice(parameters);
        }
        result
    }

    fn fit_here(
        &mut self,
        table: Table<'_>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<Epoch>, Diverged> {
        let mut last = None;
        while self.epochs < self.options.epochs {
            let Some(loss) = self.epoch(table, last.is_some(), progress)? else { break };
            let validation = table.validation.filter(|batch| !batch.rows.is_empty());
            let validation =
                validation.map(|batch| mean_loss(self.plan(), &self.state.parameters, batch));
            let epoch = Epoch { number: self.epochs, loss, validation };
            last = Some(epoch);
            let patient = self.is_patient(epoch);
            if progress(Progress::Epoch(epoch)).is_break() || !patient {
                break;
            }
        }
        Ok(last)
    }

    /// Keeps the parameters of the best epoch; whether training goes on.
    fn is_patient(&mut self, epoch: Epoch) -> bool {
        let (Some(patience), Some(loss)) = (self.options.patience, epoch.validation) else {
            return true;
        };
        let lowest = self.best.as_ref().and_then(|(best, _)| best.validation);
        // A loss that is not a number is never lower.
        if lowest.map_or(!loss.is_nan(), |lowest| loss < lowest) {
            let mut parameters = self.best.take().map_or_else(Vec::new, |(_, old)| old);
            parameters.clear();
            parameters.extend_from_slice(&self.state.parameters);
            self.best = Some((epoch, parameters));
        }
        self.best.as_ref().is_none_or(|(best, _)| epoch.number - best.number < patience)
    }

    /// One epoch, which follows one of the same table or not; none where `progress` broke
    /// it off.
    fn epoch(
        &mut self,
        table: Table<'_>,
        follows: bool,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<f64>, Diverged> {
        // Of a batch that is all rows the order does not matter.
        let whole = table.train.len() <= self.options.batch;
        if !(whole && follows) {
            self.order.clear();
            self.order.extend_from_slice(table.train);
        }
        if self.options.shuffle && !whole {
            // A function of seed and epoch alone, so that a run can go on
            // from any epoch.
            let stream = Stream::Shuffle { epoch: self.epochs };
            shuffle(&mut self.order, &mut random(self.options.seed, stream));
        }
        let mut total = 0.0;
        let mut done = 0;
        let mut batches = self.order.chunks(self.options.batch).peekable();
        while let Some(rows) = batches.next() {
            let batch = |rows| Batch {
                features: table.features,
                targets: table.targets,
                rows: Rows::Numbers(rows),
            };
            if let Some(next) = batches.peek() {
                self.executor.ask_for(batch(next));
            }
            let batch = batch(rows);
            let loss = match whole && follows {
                true => self.executor.step_again(&mut self.state, batch),
                false => self.executor.step(&mut self.state, batch),
            };
            if !loss.is_finite() {
                return Err(Diverged { epoch: self.epochs + 1 });
            }
            total += loss * rows.len() as f64;
            done += rows.len();
            if progress(Progress::Batch { rows: done }).is_break() {
                return Ok(None);
            }
        }
        // A step that overflows shows in the loss of the next one only.
        if !self.state.parameters.iter().all(|p| p.is_finite()) {
            return Err(Diverged { epoch: self.epochs + 1 });
        }
        self.epochs += 1;
        Ok(Some(total / done as f64))
    }
}
