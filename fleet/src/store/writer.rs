//! The one writer: takes what is queued, writes it in one transaction, commits, answers.
//!
//! There is no timed window: while a commit runs, operations queue up; the next commit takes them all (at most
//! [`MAX_BATCH`], so that nobody waits behind thousands). The queue is bounded: who finds it full waits.
//!
//! An operation that fails before its first write has changed nothing and is just answered. One that fails after a
//! write (or panics) would leave half of itself behind: the transaction is dropped and the batch runs again without
//! it. So operations are run more than once, and must draw everything they need anew each time.

use super::base::Base;
use super::{ReadView, Tx, guard};
use crate::change::Effects;
use crate::refused::{Refused, StoreError, WriteFault};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// The most operations in one commit.
pub(crate) const MAX_BATCH: usize = 200;
/// The most operations that wait; who comes later waits to get in.
pub(crate) const MAX_QUEUED: usize = 1024;

/// What has been written since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterCounts {
    /// Number of transactions committed.
    pub commits: u64,
    /// Number of transactions that changed something else than what is noted in passing.
    pub changes: u64,
    /// Number of operations answered.
    pub operations: u64,
    /// Transactions that could not be committed.
    pub failed: u64,
    /// Those of them since the last that could: the file can't be written right now.
    pub failing: u64,
    /// Why the last one could not be.
    pub fault: Option<WriteFault>,
}

#[derive(Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    changes: AtomicU64,
    operations: AtomicU64,
    failed: AtomicU64,
    failing: AtomicU64,
    fault: Mutex<Option<WriteFault>>,
}

impl Counters {
    pub(super) fn read(&self) -> WriterCounts {
        WriterCounts {
            commits: self.commits.load(Ordering::Relaxed),
            changes: self.changes.load(Ordering::Relaxed),
            operations: self.operations.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            failing: self.failing.load(Ordering::Relaxed),
            fault: *self.fault(),
        }
    }

    fn fault(&self) -> MutexGuard<'_, Option<WriteFault>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        let failing = self.failing.swap(0, Ordering::Relaxed);
        if failing > 0 {
            tracing::info!(failing, "the data file can be written again");
        }
    }

    fn failed(&self, error: &StoreError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        *self.fault() = Some(error.write_fault());
        let failing = self.failing.fetch_add(1, Ordering::Relaxed) + 1;
        // Ever more seldom: what fails is tried again and again, and the log is often on the same disk.
        if failing.is_power_of_two() {
            tracing::error!(%error, cause = ?error, failing, "a commit failed");
        }
    }
}

/// Called after each commit, before anybody is answered.
pub(crate) type Committed = Box<dyn Fn(Effects, &Reader<'_>) + Send>;
/// Opens a view of what was committed.
pub(crate) type Reader<'r> = dyn Fn() -> Result<ReadView, StoreError> + 'r;

pub(super) enum Committing {
    /// What it said itself is true: it is committed, or it changed nothing.
    Own,
    Failed(StoreError),
}

/// How an operation ended.
pub(super) enum Ran {
    Succeeded,
    Refused,
    /// The file could not be read or written.
    FileFailed(StoreError),
}

pub(super) trait Operation: Send {
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran;
    fn answer(self: Box<Self>, verdict: Committing);
}

/// An operation as a closure, and where its answer goes.
struct ClosureOperation<T, F> {
    write: F,
    outcome: Option<Result<T, Refused>>,
    answer: oneshot::Sender<Result<T, Refused>>,
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> Result<T, Refused> + Send> Operation for ClosureOperation<T, F> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran {
        let outcome = (self.write)(tx);
        let ran = match &outcome {
            Ok(_) => Ran::Succeeded,
            Err(Refused::Store(error)) if error.is_of_file() => Ran::FileFailed(error.clone()),
            Err(_) => Ran::Refused,
        };
        self.outcome = Some(outcome);
        ran
    }

    fn answer(self: Box<Self>, verdict: Committing) {
        let outcome = match (verdict, self.outcome) {
            (Committing::Own, Some(outcome)) => outcome,
            (Committing::Own, None) => Err(StoreError::Closed.into()),
            (Committing::Failed(error), _) => Err(error.into()),
        };
        // Who asked may be gone; what was committed stays.
        let _ = self.answer.send(outcome);
    }
}

/// The handle on the writer thread; the thread ends when the handle is closed or dropped.
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Operation>>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    pub(super) counters: Arc<Counters>,
}

impl Writer {
    pub(super) fn start(base: Arc<Base>, committed: Committed) -> Result<Self, std::io::Error> {
        let (queue, operations) = mpsc::channel(MAX_QUEUED);
        let counters = Arc::new(Counters::default());
        let thread = std::thread::Builder::new().name("fleet-writer".to_owned()).spawn({
            let counters = counters.clone();
            move || write_until_closed(&base, operations, &committed, &counters)
        })?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), counters })
    }

    /// Runs `write` in the next commit and returns what it returned, once that is on disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        write: impl FnMut(&mut Tx<'_>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or(StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let operation = Box::new(ClosureOperation { write, outcome: None, answer });
        // Without the runtime's budget, which could put one that came first behind another: the order in which
        // operations are first polled is the order in which they are written.
        tokio::task::unconstrained(queue.send(operation)).await.map_err(|_| StoreError::Closed)?;
        drop(queue);
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Takes no more operations, and returns when those taken before are on disk. Blocks.
    pub(super) fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended unexpectedly");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

fn write_until_closed(
    base: &Base,
    mut operations: mpsc::Receiver<Box<dyn Operation>>,
    committed: &Committed,
    counters: &Counters,
) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while operations.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
        counters.operations.fetch_add(batch.len() as u64, Ordering::Relaxed);
        // Guarded as a whole too: a transaction that is dropped also works on the file.
        let written = guard::redb(|| write_batch(base, &mut batch)).and_then(|written| written);
        let verdict = match written {
            Ok(Some(effects)) => {
                counters.committed();
                counters.changes.fetch_add(u64::from(effects.is_change), Ordering::Relaxed);
                committed(effects, &|| Ok(ReadView::new(base.begin_read()?)));
                None
            }
            Ok(None) => None,
            Err(error) => {
                counters.failed(&error);
                // What is open still is what was committed, and there is nothing to open in its place.
                if error.write_fault() != WriteFault::Replaced {
                    base.storage_failed();
                }
                Some(error)
            }
        };
        for operation in batch.drain(..) {
            operation.answer(verdict.clone().map_or(Committing::Own, Committing::Failed));
        }
    }
}

/// Writes and commits a batch; operations that spoil it are answered and taken out. `None` = nothing was written.
fn write_batch(base: &Base, batch: &mut Vec<Box<dyn Operation>>) -> Result<Option<Effects>, StoreError> {
    loop {
        let mut txn = base.begin_write()?;
        // Durability is immediate by default; quick repair opens a large file at once after a crash.
        txn.set_quick_repair(true);
        let mut tx = Tx::new(&txn);
        let spoiled = run_all(batch, &mut tx)?;
        let writes = tx.writes();
        let effects = tx.into_effects();
        if let Some((index, verdict)) = spoiled {
            txn.abort()?;
            batch.remove(index).answer(verdict);
            continue;
        }
        if writes == 0 {
            txn.abort()?;
            return Ok(None);
        }
        txn.commit()?;
        // What went into a file that nobody will find again is not acknowledged.
        base.is_in_place()?;
        return Ok(Some(effects));
    }
}

/// Runs operations up to the first that fails and leaves something behind: that one, and what it is answered.
fn run_all(
    batch: &mut [Box<dyn Operation>],
    tx: &mut Tx<'_>,
) -> Result<Option<(usize, Committing)>, StoreError> {
    for (index, operation) in batch.iter_mut().enumerate() {
        let (mark, writes) = (tx.effects.mark(), tx.writes());
        match catch_unwind(AssertUnwindSafe(|| operation.run(tx))) {
            Ok(Ran::Succeeded) => {}
            Ok(Ran::FileFailed(error)) => return Err(error),
            Ok(Ran::Refused) if tx.writes() == writes => tx.effects.cut_back(mark),
            Ok(Ran::Refused) => return Ok(Some((index, Committing::Own))),
            Err(_) => return Ok(Some((index, Committing::Failed(StoreError::Panicked)))),
        }
    }
    Ok(None)
}
