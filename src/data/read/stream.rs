//! A table, batch by batch, on all threads and in the order of its rows.

use super::super::batch::Batch;
use super::batches::{Batches, Piece};
use super::spans::Draft;
use crate::diag::Diagnostics;
use rayon::prelude::*;
use std::sync::mpsc::sync_channel;

impl Batches {
    /// Runs `work` on every batch, on the threads of the current pool, and `done`
    /// on the results, in the order of the rows, on a thread of its own: writing
    /// waits for nobody, and nobody for it. Memory stays constant. `work` may run on
    /// a batch more than once; `done` sees one of the results.
    ///
    /// # Errors
    /// As [`Batches::next_batch`], and what `work` and `done` return; what comes
    /// before an error is still done.
    pub fn stream<T: Send, E: From<Diagnostics> + Send>(
        &mut self,
        work: impl Fn(&Batch) -> Result<T, E> + Sync,
        mut done: impl FnMut(T) -> Result<(), E> + Send,
    ) -> Result<(), E> {
        let most = 4 * rayon::current_num_threads();
        let one = |piece: Piece| {
            let mut scanned = piece.scan();
            let (bad_rows, mut draft) = (scanned.bad_rows, scanned.draft.take());
            let result = scanned.into_batch().map_err(E::from).and_then(|batch| work(&batch));
            // An error names lines, which are not known yet.
            if let (Err(_), Some(draft)) = (&result, &mut draft) {
                draft.reject();
            }
            (bad_rows, draft, result)
        };
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<Vec<T>>(1);
            let last = scope.spawn(move || receiver.into_iter().flatten().try_for_each(&mut done));
            let read = loop {
                let pieces = match self.next_pieces(most) {
                    Ok(pieces) if pieces.is_empty() => break Ok(()),
                    Ok(pieces) => pieces,
                    Err(errors) => break Err(errors.into()),
                };
                let results: Vec<_> = pieces.into_par_iter().map(one).collect();
                let mut good = Vec::with_capacity(results.len());
                let failed = self.settle_all(results, &mut good).err();
                // A receiver that is gone has an error to tell.
                let gone = sender.send(good).is_err();
                if let Some(error) = failed {
                    break Err(error);
                }
                if gone {
                    break Ok(());
                }
            };
            drop(sender);
            match last.join() {
                // An error of writing came first.
                Ok(written) => written.and(read),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Appends the results up to one whose piece is to be read again, or to the first
    /// error.
    fn settle_all<T, E: From<Diagnostics>>(
        &mut self,
        results: Vec<(u64, Option<Draft>, Result<T, E>)>,
        good: &mut Vec<T>,
    ) -> Result<(), E> {
        for (bad_rows, draft, result) in results {
            if let Some(draft) = draft
                && self.settle(&draft)?.is_none()
            {
                return Ok(());
            }
            good.push(result?);
            self.count_bad_rows(bad_rows);
        }
        Ok(())
    }
}
