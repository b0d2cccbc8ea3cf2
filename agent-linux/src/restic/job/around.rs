//! What is looked at and cleaned up around a job: figures and locks.

use super::{
    super::{
        args,
        figures::{LockLook, OwnedLock},
        locks,
    },
    Job, wall_clock,
};
use core::time::Duration;
use tokio::time::{Instant, sleep};

/// How many locks are looked at, at 0.3 to 0.9 seconds each.
const LOCKS_LOOKED_AT: usize = 4;
/// How long a dead process may wait for its parent to take notice, before its lock is left for later.
const REAP_LIMIT: Duration = Duration::from_secs(10);
const REAP_LOOK: Duration = Duration::from_millis(100);
/// How often `unlock` is run while a lock of a dead process is left.
const UNLOCK_TRIES: usize = 3;

/// The locks that a look saw.
pub(super) struct LocksLeft {
    pub(super) count: usize,
    /// The processes of this machine that hold them.
    own_pids: Vec<u32>,
}

impl LocksLeft {
    /// Whether one belongs to a process of this machine that has ended.
    pub(super) fn has_own_dead(&self) -> bool {
        self.own_pids.iter().any(|&pid| locks::has_ended(pid))
    }
}

impl Job<'_> {
    /// Removes locks of processes that are gone. One that its new parent has not taken notice of is alive to restic,
    /// so it is waited for.
    pub(super) async fn remove_dead_locks(&mut self) {
        for _ in 0..UNLOCK_TRIES {
            let removed = self.side_step(&args::unlock(false)).await;
            self.known.unclean = removed.is_none();
            if removed.is_none() {
                // It does not even unlock: the next job tries again.
                return;
            }
            let Some(left) = self.look_at_locks().await else { return };
            if !left.has_own_dead() {
                return;
            }
            let until = Instant::now() + REAP_LIMIT;
            while left.own_pids.iter().any(|&pid| locks::is_zombie(pid)) && Instant::now() < until {
                sleep(REAP_LOOK).await;
            }
        }
    }

    /// After a backup: what is not known yet, or too old. Each run costs 0.3 to 0.4 seconds of processor time.
    ///
    /// `is_lost`: the backup found nothing of an earlier one, so it may have gone into another repository at the same
    /// address.
    pub(super) async fn cheap_figures(&mut self, is_lost: bool) {
        if self.known.figures.repo.is_none() || is_lost {
            self.identify().await;
        }
        if self.known.figures.needs_count(wall_clock()) {
            self.count_snapshots().await;
        }
        let says_packed =
            self.known.restic.as_ref().is_some_and(|restic| restic.version().says_packed_bytes());
        if self.known.figures.needs_measure(says_packed, wall_clock())
            && let Some(stats) = self.side_step(&args::stats()).await.and_then(|found| found.stats)
        {
            self.known.figures.measured(stats.total_bytes, wall_clock());
        }
        // A lock that was seen may be gone.
        if self.known.figures.lock.as_ref().is_some_and(|look| look.lock.is_some()) {
            self.look_at_locks().await;
        }
    }

    /// Asks the repository who it is; `false` = it does not say.
    pub(super) async fn identify(&mut self) -> bool {
        let repo = self.side_step(&args::config()).await.and_then(|found| found.repo);
        if let Some(repo) = repo {
            self.known.figures.identify(repo);
        }
        repo.is_some()
    }

    pub(super) async fn count_snapshots(&mut self) {
        if let Some(found) = self.side_step(&args::snapshots()).await {
            self.known.figures.counted(found.snapshots, found.newest_at, wall_clock());
        }
    }

    /// Looks at the repository's locks.
    pub(super) async fn look_at_locks(&mut self) -> Option<LocksLeft> {
        let ids = self.side_step(&args::list_locks()).await?.locks;
        let own = locks::own_hostname();
        let mut oldest: Option<OwnedLock> = None;
        let mut own_pids = Vec::new();
        for id in ids.iter().take(LOCKS_LOOKED_AT) {
            // A lock that is gone meanwhile is none.
            let Some(found) = self.side_step(&args::cat_lock(id)).await.and_then(|found| found.lock) else {
                continue;
            };
            let is_own = found.hostname == own;
            own_pids.extend(is_own.then_some(found.pid));
            let owner_is_dead = is_own && locks::has_ended(found.pid);
            let lock = locks::figure(found, owner_is_dead, wall_clock());
            if oldest.as_ref().is_none_or(|oldest| lock.since < oldest.since) {
                oldest = Some(lock);
            }
        }
        self.known.figures.lock = Some(LockLook { at: wall_clock(), lock: oldest });
        Some(LocksLeft { count: ids.len(), own_pids })
    }
}
