//! What is known of a repository: goes into a job and comes out of it as plain state.

use schema::{
    JobId, RepoId, RepoStats, StatsRevision, Stream, Timestamp,
    stats::{CheckResult, Lock, LockSeen, PruneResult, Size, SizeSource, SnapshotCount},
};
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A count or a sum is taken anew when it is older than this: other hosts may write to the same repository.
pub(crate) const RECOUNT_AFTER_MS: u64 = 24 * 3_600_000;
/// Where restic doesn't say what it stored (before 0.17), the size is measured this often.
pub(crate) const MEASURE_AFTER_MS: u64 = 7 * 24 * 3_600_000;

/// Figures of one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Where the repository is: its everyday address and the one of the admin credentials, the newer one last.
    addresses: [u64; 2],
    /// restic's repository id.
    pub repo: Option<RepoId>,
    /// Size in the storage.
    pub size: Option<Size>,
    /// When the size was last measured, not summed.
    pub measured_at: Option<Timestamp>,
    /// What that was, in bytes.
    pub last_measured_bytes: u64,
    /// What backups have added since then, before compression, in bytes.
    pub added_bytes: u64,
    /// Number of snapshots; `None` = not known.
    pub snapshots: Option<SnapshotCount>,
    /// When the snapshots were last counted, not summed.
    pub counted_at: Option<Timestamp>,
    /// The last check.
    pub check: Option<CheckResult>,
    /// The last prune.
    pub prune: Option<PruneResult>,
    /// The locks, when they were looked at.
    pub lock: Option<LockLook>,
}

/// What a look at the locks saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockLook {
    /// When locks were looked for.
    pub at: Timestamp,
    /// The oldest lock; `None` = there is none.
    pub lock: Option<OwnedLock>,
}

/// A lock in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedLock {
    /// Since when the lock is held.
    pub since: Timestamp,
    /// Whether it keeps all others out.
    pub exclusive: bool,
    /// Name of the machine that holds it.
    pub hostname: String,
    /// Name of the account that holds it.
    pub username: String,
    /// Process id of the holder on its machine.
    pub pid: u32,
    /// Whether a restic of this agent left it behind, or it is older than restic's own limit.
    pub stale: bool,
}

impl Figures {
    /// Empty figures of the repository at `url`.
    #[must_use]
    pub(crate) fn at(url: &str) -> Self {
        Self { addresses: [0, hash(url)], ..Self::default() }
    }

    /// Whether they are known to belong to the repository at `url`.
    #[must_use]
    pub(crate) fn is_at(&self, url: &str) -> bool {
        self.addresses.contains(&hash(url))
    }

    /// The same repository answers at `url`, too.
    #[must_use]
    pub(crate) fn also_at(mut self, url: &str) -> Self {
        self.addresses = [self.addresses[1], hash(url)];
        self
    }

    /// The repository said who it is; another one than before has none of the old figures.
    pub(crate) fn identify(&mut self, repo: RepoId) {
        if self.repo.is_some_and(|known| known != repo) {
            *self = Self { addresses: self.addresses, ..Self::default() };
        }
        self.repo = Some(repo);
    }

    /// restic measured the repository.
    pub(crate) fn measured(&mut self, bytes: u64, at: Timestamp) {
        self.size = Some(Size { at, bytes, source: SizeSource::Measured });
        self.measured_at = Some(at);
        self.last_measured_bytes = bytes;
        self.added_bytes = 0;
    }

    /// restic counted the snapshots.
    pub(crate) fn counted(&mut self, count: u32, newest_at: Option<Timestamp>, at: Timestamp) {
        self.snapshots = Some(SnapshotCount { at, count, newest_at });
        self.counted_at = Some(at);
    }

    /// A backup made a snapshot and added so much: before compression, and as stored where restic says.
    pub(crate) fn add_snapshot(&mut self, added: u64, packed: Option<u64>, at: Timestamp) {
        self.added_bytes = self.added_bytes.saturating_add(added);
        if let Some(snapshots) = &mut self.snapshots {
            let count = snapshots.count.saturating_add(1);
            *snapshots = SnapshotCount { at, count, newest_at: Some(at) };
        }
        match (&mut self.size, packed) {
            (Some(size), Some(packed)) => {
                let bytes = size.bytes.saturating_add(packed);
                *size = Size { at, bytes, source: SizeSource::Summed };
            }
            // What was added is not known: the old size is no longer true.
            (size, None) => *size = None,
            (None, Some(_)) => {}
        }
    }

    /// Whether the snapshots have to be counted to know how many there are.
    pub(crate) fn needs_count(&self, now: Timestamp) -> bool {
        self.snapshots.is_none() || self.counted_at.is_none_or(|at| now.ms_since(at) >= RECOUNT_AFTER_MS)
    }

    /// Whether the repository has to be measured to know its size.
    pub(crate) fn needs_measure(&self, packed_is_known: bool, now: Timestamp) -> bool {
        match self.measured_at {
            None => true,
            Some(_) if packed_is_known => self.size.is_none(),
            Some(at) => self.has_grown() || now.ms_since(at) >= MEASURE_AFTER_MS,
        }
    }

    /// Whether so much was added since the last measuring that the measured size says little.
    fn has_grown(&self) -> bool {
        let last = self.last_measured_bytes;
        self.added_bytes > 0 && self.added_bytes >= last / 2
    }

    /// The figures for the wire. What is not known is `None` and leaves what the server has.
    #[must_use]
    pub fn to_wire(
        &self,
        stream: Stream,
        revision: StatsRevision,
        at: Timestamp,
        job: Option<JobId>,
    ) -> RepoStats<'_> {
        RepoStats {
            stream,
            revision,
            at,
            job,
            repo: self.repo,
            size: self.size,
            snapshots: self.snapshots,
            check: self.check,
            prune: self.prune,
            lock: self.lock.as_ref().map(|look| LockSeen {
                at: look.at,
                lock: look.lock.as_ref().map(|lock| Lock {
                    since: lock.since,
                    exclusive: lock.exclusive,
                    hostname: &lock.hostname,
                    username: &lock.username,
                    pid: lock.pid,
                    stale: lock.stale,
                }),
            }),
        }
    }
}

fn hash(url: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    url.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3_600_000;

    #[test]
    fn a_running_sum_starts_from_a_measured_size_only() {
        let mut figures = Figures::at("/repo");
        figures.add_snapshot(20, Some(10), Timestamp(1));
        assert_eq!(figures.size, None);
        assert!(figures.needs_measure(true, Timestamp(2)));
        figures.measured(100, Timestamp(2));
        figures.add_snapshot(20, Some(10), Timestamp(3));
        assert_eq!(figures.size, Some(Size { at: Timestamp(3), bytes: 110, source: SizeSource::Summed }));
        assert!(!figures.needs_measure(true, Timestamp(4)));
    }

    #[test]
    fn without_packed_sizes_the_repository_is_measured_weekly() {
        let mut figures = Figures::at("/repo");
        figures.measured(100, Timestamp(0));
        figures.add_snapshot(20, None, Timestamp(1));
        assert_eq!(figures.size, None);
        assert!(!figures.needs_measure(false, Timestamp(6 * DAY)));
        assert!(figures.needs_measure(false, Timestamp(7 * DAY)));
    }

    #[test]
    fn without_packed_sizes_a_repository_that_has_grown_by_half_is_measured_again() {
        let mut figures = Figures::at("/repo");
        figures.measured(0, Timestamp(0));
        assert!(!figures.needs_measure(false, Timestamp(1)));
        figures.add_snapshot(1, None, Timestamp(1));
        assert!(figures.needs_measure(false, Timestamp(1)), "nobody measured what the first backup brought");
        figures.measured(100, Timestamp(2));
        figures.add_snapshot(49, None, Timestamp(3));
        assert!(!figures.needs_measure(false, Timestamp(4)));
        figures.add_snapshot(1, None, Timestamp(5));
        assert!(figures.needs_measure(false, Timestamp(6)));
    }

    #[test]
    fn counts_go_on_by_one_and_are_taken_anew_after_a_day() {
        let mut figures = Figures::at("/repo");
        assert!(figures.needs_count(Timestamp(0)));
        figures.counted(4, Some(Timestamp(0)), Timestamp(5));
        figures.add_snapshot(1, Some(1), Timestamp(9));
        let counted = SnapshotCount { at: Timestamp(9), count: 5, newest_at: Some(Timestamp(9)) };
        assert_eq!(figures.snapshots, Some(counted));
        assert!(!figures.needs_count(Timestamp(DAY)));
        assert!(figures.needs_count(Timestamp(5 + DAY)));
    }

    #[test]
    fn figures_stay_at_a_second_address_and_are_dropped_for_another_repository() {
        let mut figures = Figures::at("/repo");
        figures.identify(RepoId([1; 32]));
        figures.measured(100, Timestamp(2));
        assert!(figures.is_at("/repo") && !figures.is_at("/other"));
        let figures_of_both = figures.clone().also_at("/other");
        assert!(figures_of_both.is_at("/repo") && figures_of_both.is_at("/other"));
        assert!(!figures_of_both.also_at("/third").is_at("/repo"));
        figures.identify(RepoId([1; 32]));
        assert!(figures.size.is_some());
        figures.identify(RepoId([2; 32]));
        assert_eq!((figures.size, figures.repo), (None, Some(RepoId([2; 32]))));
    }
}
