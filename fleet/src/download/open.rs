//! What is received right now, and the places for it.

use super::receiver::{Broken, Piece, Receiver};
use crate::bounds::MOST_DOWNLOADS;
use schema::limits::BULK_WINDOW;
use schema::{Bulk, HostId, JobId};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Pieces that wait to be taken: what is granted, and a last word.
const WAITING: usize = BULK_WINDOW as usize + 2;

/// What is received right now.
#[derive(Default)]
pub(crate) struct Downloads {
    open: Mutex<Vec<OpenDownload>>,
    places: Arc<AtomicUsize>,
}

struct OpenDownload {
    host: HostId,
    job: JobId,
    receiver: Receiver,
    pieces: mpsc::Sender<Result<Piece, Broken>>,
}

/// One of the places for downloads; free again when it is dropped.
pub(super) struct DownloadPermit(Arc<AtomicUsize>);

impl Drop for DownloadPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Downloads {
    fn open(&self) -> MutexGuard<'_, Vec<OpenDownload>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn place(&self) -> Option<DownloadPermit> {
        let more = |taken: usize| (taken < MOST_DOWNLOADS).then_some(taken + 1);
        self.places.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(DownloadPermit(Arc::clone(&self.places)))
    }

    pub(super) fn begin(&self, host: HostId, job: JobId) -> mpsc::Receiver<Result<Piece, Broken>> {
        let (pieces, taken) = mpsc::channel(WAITING);
        self.open().push(OpenDownload { host, job, receiver: Receiver::new(), pieces });
        taken
    }

    pub(super) fn is_expected(&self, host: HostId) -> bool {
        self.open().iter().any(|open| open.host == host)
    }

    pub(super) fn take(&self, host: HostId, bulk: &Bulk<'_>) {
        let mut all = self.open();
        let Some(at) = all.iter().position(|open| open.host == host && open.job == bulk.job) else { return };
        let taken = all[at].receiver.take(bulk);
        let is_last = !matches!(taken, Ok(Piece::Begin(_) | Piece::Chunk(_)));
        // A queue that is full ends with its sender.
        let is_sent = all[at].pieces.try_send(taken).is_ok();
        if is_last || !is_sent {
            all.swap_remove(at);
        }
    }

    pub(super) fn grant(&self, job: JobId, before: u32) -> Option<HostId> {
        let mut all = self.open();
        let open = all.iter_mut().find(|open| open.job == job)?;
        open.receiver.grant(before);
        Some(open.host)
    }

    /// The host's connection has ended, or another one has begun.
    pub(crate) fn host_lost(&self, host: HostId) {
        self.open().retain(|open| {
            let stays = open.host != host;
            if !stays {
                // Without room the end of the queue says the same.
                let _ = open.pieces.try_send(Err(Broken::HostLost));
            }
            stays
        });
    }

    pub(super) fn end(&self, job: JobId) {
        self.open().retain(|open| open.job != job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_at_once_and_the_fifth_has_no_place_until_one_ends() {
        let downloads = Downloads::default();
        let mut places: Vec<_> = (0..MOST_DOWNLOADS).map(|_| downloads.place().unwrap()).collect();
        assert!(downloads.place().is_none());
        places.pop();
        assert!(downloads.place().is_some());
    }
}
