//! What is looked at and cleaned up around a job: figures and locks.

use super::{
    super::{args, figures::LockLook, findings::LockFound, locks},
    Job, wall_clock,
};
use crate::clock;
use core::time::Duration;
use schema::Timestamp;
use tokio::time::sleep;

/// How many locks are looked at, at 0.3 to 0.9 seconds each. With more of them nobody knows what an unlock would remove.
const LOCKS_LOOKED_AT: usize = 8;
/// How long a dead process may wait for its parent to take notice, before its lock is left for later.
const REAP_LIMIT: Duration = Duration::from_secs(10);
const REAP_LOOK: Duration = Duration::from_millis(100);
/// How often `unlock` is run while a lock of a dead process is left.
const UNLOCK_TRIES: usize = 3;

/// The locks that a look saw.
pub(super) struct LocksSeen {
    pub(super) count: usize,
    /// Those that were read, and whether each was left behind by a restic of this agent.
    read: Vec<(LockFound, bool)>,
    /// Whether each was read.
    is_whole: bool,
}

impl LocksSeen {
    /// The processes of those locks that can be removed and nothing else with them; why not, otherwise.
    fn removable(&self, own: &str, now: Timestamp) -> Result<Vec<u32>, String> {
        let left: Vec<u32> = self.read.iter().filter(|(_, is_left)| *is_left).map(|(it, _)| it.pid).collect();
        if left.is_empty() {
            return Ok(left);
        }
        if !self.is_whole {
            return Err("not all of them can be read".to_owned());
        }
        let others = self.read.iter().filter(|(_, is_left)| !is_left).map(|(lock, _)| lock);
        match others.into_iter().find(|lock| locks::unlock_may_remove(lock, own, now)) {
            Some(lock) => {
                Err(format!("process {} on {} holds one, too, and may be alive", lock.pid, lock.hostname))
            }
            None => Ok(left),
        }
    }

    /// Whether restic itself would take one for dead.
    pub(super) fn has_dead(&self) -> bool {
        let own = locks::own_hostname();
        self.read.iter().any(|(lock, _)| lock.hostname == own && locks::has_ended(lock.pid))
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        self.read.iter().map(|(lock, _)| lock.pid)
    }
}

impl Job<'_> {
    /// Finds out what became of the processes that an agent before this one had started. One that is just being killed
    /// is waited for: no other job of this agent runs.
    pub(super) async fn settle_processes(&mut self) {
        let until = clock::instant() + REAP_LIMIT;
        loop {
            self.known.unclean |= self.processes.settle(wall_clock());
            if !self.processes.any_runs() || clock::instant() >= until {
                return;
            }
            sleep(REAP_LOOK).await;
        }
    }

    /// Removes the locks that a restic of this agent left behind, when no other would go with them; whether it did.
    pub(super) async fn remove_left_locks(&mut self) -> bool {
        let (mut is_done, mut stays) = (false, None);
        // Until a look says otherwise, the next job tries again.
        self.known.unclean = true;
        for _ in 0..UNLOCK_TRIES {
            let Some(seen) = self.look_at_locks().await else { return is_done };
            match seen.removable(&locks::own_hostname(), wall_clock()) {
                Ok(left) if left.is_empty() => {
                    self.known.unclean = false;
                    return is_done;
                }
                Ok(left) => {
                    reaped(left.into_iter()).await;
                    if self.side_step(&args::unlock(false)).await.is_none() {
                        return is_done;
                    }
                    is_done = true;
                }
                // One may have gone between two looks.
                Err(why) if !seen.is_whole => stays = Some(why),
                Err(why) => {
                    stays = Some(why);
                    break;
                }
            }
        }
        if let Some(why) = stays {
            self.say(&format!(
                "A lock that a restic of this agent left behind stays: {why}. Remove the locks by hand when none of \
                 them is in use."
            ))
            .await;
        }
        is_done
    }

    /// Removes what restic itself takes for stale, once more: a process that its new parent had not taken notice of was
    /// alive to it.
    pub(super) async fn unlock_once_more(&mut self, seen: &LocksSeen) {
        reaped(seen.pids()).await;
        self.side_step(&args::unlock(false)).await;
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
    pub(super) async fn look_at_locks(&mut self) -> Option<LocksSeen> {
        let ids = self.side_step(&args::list_locks()).await?.locks;
        let mut read = Vec::new();
        let mut gone = 0;
        for id in ids.iter().take(LOCKS_LOOKED_AT) {
            match self.side_step(&args::cat_lock(id)).await.and_then(|found| found.lock) {
                Some(lock) => read.push(lock),
                // It is gone meanwhile, or can't be read.
                None => gone += 1,
            }
        }
        let now = wall_clock();
        let left = self.processes.left_behind(&read, now);
        let read: Vec<_> = read.into_iter().zip(left).collect();
        let oldest = read.iter().min_by_key(|(lock, _)| lock.since);
        let lock = oldest.map(|(lock, is_left)| locks::figure(lock.clone(), *is_left, now));
        self.known.figures.lock = Some(LockLook { at: now, lock });
        let is_whole = gone == 0 && ids.len() <= LOCKS_LOOKED_AT;
        Some(LocksSeen { count: ids.len(), read, is_whole })
    }
}

/// Waits until none of these waits for its parent to take notice.
async fn reaped(pids: impl Iterator<Item = u32>) {
    let mut waiting: Vec<u32> = pids.collect();
    let until = clock::instant() + REAP_LIMIT;
    loop {
        waiting.retain(|&pid| locks::is_zombie(pid));
        if waiting.is_empty() || clock::instant() >= until {
            return;
        }
        sleep(REAP_LOOK).await;
    }
}
