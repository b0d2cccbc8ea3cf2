//! Threads for reads of the data file and for pages made of them. Both block, on the disk or by their work, and the
//! runtime's workers, which serve all connections, must not: so they run apart, a bounded number at a time, and in
//! the order in which they came.
//!
//! | bound | when it is reached |
//! |---|---|
//! | reads at once: [`at_once`] | one more waits |
//! | reads that run or wait: [`MOST`] | one more is turned away ([`ReadFailed::Busy`]) and counted |
//!
//! What waits and is dropped, for its client has gone, is never begun. What has begun ends, and holds its place until
//! then.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Reads that run or wait. More than one address has connections, so that one alone does not take all.
const MOST: usize = 512;

/// So many run at once: more than there are processors, for some wait for the disk.
fn at_once() -> usize {
    available_parallelism().map_or(1, NonZero::get).saturating_mul(2).max(4)
}

/// What happens to a read when too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenBusy {
    /// It is refused: nothing has been done yet, and the client can ask again.
    Refuse,
    /// It waits all the same: it answers a request that has done something already, and a client that is told to try
    /// again would do it twice. The number of connections bounds how many wait like this.
    Wait,
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadFailed {
    /// Too many wait already.
    #[error("too much is being read right now")]
    Busy,
    /// The read panicked, or the server is ending.
    #[error("a read did not come to its end")]
    Broken,
}

/// The places for reads. Clones share them.
#[derive(Clone)]
pub(crate) struct Readers {
    places: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    refused: Arc<AtomicU64>,
}

/// A place for a read, and one in the queue: free when the read has ended, not when nobody waits for it any more.
struct ReaderPlace {
    _place: OwnedSemaphorePermit,
    _queued: Option<OwnedSemaphorePermit>,
}

impl Default for Readers {
    fn default() -> Self {
        Self::new(at_once(), MOST)
    }
}

impl Readers {
    /// `most` counts those that run, too.
    pub(crate) fn new(at_once: usize, most: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_once)),
            queue: Arc::new(Semaphore::new(most)),
            refused: Arc::default(),
        }
    }

    /// How many reads were turned away since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Runs it on a thread where it may block, when it is its turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        turn: WhenBusy,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadFailed> {
        let (tell, told) = oneshot::channel();
        let work = move |held: ReaderPlace| {
            let found = read();
            drop(held);
            let _ = tell.send(found);
        };
        self.begin(turn, Box::new(work)).await?;
        // After a panic nobody tells.
        told.await.map_err(|_| ReadFailed::Broken)
    }

    /// One for whatever is read: made anew for each of a hundred callers, it would be 0.4 MB of the program.
    async fn begin(
        &self,
        turn: WhenBusy,
        work: Box<dyn FnOnce(ReaderPlace) + Send>,
    ) -> Result<(), ReadFailed> {
        let queued = match turn {
            WhenBusy::Refuse => {
                let queued = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    ReadFailed::Busy
                })?;
                Some(queued)
            }
            WhenBusy::Wait => None,
        };
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| ReadFailed::Broken)?;
        let held = ReaderPlace { _place: place, _queued: queued };
        tokio::task::spawn_blocking(move || work(held));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;
    use tokio::task::JoinHandle;

    /// Longer than anything here takes; whoever hangs fails.
    const SOON: Duration = Duration::from_secs(20);

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(SOON, future).await.expect("it comes soon")
    }

    type Slow = (mpsc::Sender<()>, JoinHandle<Result<(), ReadFailed>>);

    /// A read that has begun, and ends when it is let.
    async fn slow(readers: &Readers) -> Slow {
        let (end, ends) = mpsc::channel();
        let (begin, begins) = oneshot::channel();
        let readers = readers.clone();
        let read = move || {
            begin.send(()).unwrap();
            ends.recv().unwrap();
        };
        let running = tokio::spawn(async move { readers.run(WhenBusy::Refuse, read).await });
        soon(begins).await.unwrap();
        (end, running)
    }

    async fn is_queued(readers: &Readers, left: usize) {
        while readers.queue.available_permits() != left {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_read_waits_for_its_turn_and_one_too_many_is_turned_away() {
        let readers = Readers::new(1, 2);
        let (end, running) = slow(&readers).await;
        let waits = tokio::spawn({
            let readers = readers.clone();
            async move { readers.run(WhenBusy::Refuse, || "read").await }
        });
        soon(is_queued(&readers, 0)).await;
        assert_eq!(readers.run(WhenBusy::Refuse, || "never").await, Err(ReadFailed::Busy));
        assert_eq!(readers.refused(), 1);
        let answers = tokio::spawn({
            let readers = readers.clone();
            async move { readers.run(WhenBusy::Wait, || "answered").await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished() && !answers.is_finished());
        end.send(()).unwrap();
        assert_eq!(soon(running).await.unwrap(), Ok(()));
        assert_eq!(soon(waits).await.unwrap(), Ok("read"));
        assert_eq!(soon(answers).await.unwrap(), Ok("answered"), "what was done is told, whoever waits");
        assert_eq!(readers.run(WhenBusy::Refuse, || "again").await, Ok("again"));
        assert_eq!(readers.refused(), 1);
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_any_more_is_never_begun() {
        let readers = Readers::new(1, 2);
        let (end, running) = slow(&readers).await;
        let (begun, begins) = mpsc::channel();
        let gone = tokio::spawn({
            let readers = readers.clone();
            async move { readers.run(WhenBusy::Refuse, move || begun.send(()).unwrap()).await }
        });
        soon(is_queued(&readers, 0)).await;
        gone.abort();
        assert!(soon(gone).await.unwrap_err().is_cancelled());
        assert_eq!(readers.queue.available_permits(), 1, "its place in the queue is free");
        end.send(()).unwrap();
        assert_eq!(soon(running).await.unwrap(), Ok(()));
        assert_eq!(readers.run(WhenBusy::Refuse, || ()).await, Ok(()));
        assert_eq!(begins.recv(), Err(mpsc::RecvError), "dropped without having run");
    }

    #[tokio::test]
    async fn a_read_that_has_begun_holds_its_place_until_it_ends() {
        let readers = Readers::new(1, 1);
        let (end, running) = slow(&readers).await;
        running.abort();
        assert!(soon(running).await.unwrap_err().is_cancelled());
        assert_eq!(readers.run(WhenBusy::Refuse, || ()).await, Err(ReadFailed::Busy));
        end.send(()).unwrap();
        soon(is_queued(&readers, 1)).await;
        assert_eq!(readers.run(WhenBusy::Refuse, || ()).await, Ok(()));
    }

    #[tokio::test]
    async fn a_panic_in_a_read_frees_its_place() {
        let readers = Readers::new(1, 1);
        let panics = || -> u8 { panic!("a fault of the program") };
        assert_eq!(readers.run(WhenBusy::Refuse, panics).await, Err(ReadFailed::Broken));
        assert_eq!(readers.run(WhenBusy::Refuse, || 1).await, Ok(1));
    }
}
