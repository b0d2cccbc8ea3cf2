use super::Actor;
use schema::{Class, HostId, JobId, RepoId, StatsRevision, Stream, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What is known of a host's repository: the projection that pages read. Each figure has its own time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoState {
    /// restic's repository id; `None` = not known yet.
    pub repo: Option<RepoId>,
    /// When the job was created that last found this repository; `None` = none has.
    pub repo_at: Option<Timestamp>,
    /// Whether the host created it itself with these credentials, so that it began empty.
    pub is_own: bool,
    /// Another repository that was found at the same address since, with the same credentials; `None` = none
    /// was.
    pub replaced: Option<Replaced>,
    /// (stream, revision, time) of the newest message of figures that was taken; `None` = none was.
    pub newest: Option<(Stream, StatsRevision, Timestamp)>,
    /// Size of the repository; `None` = not known yet.
    pub size: Option<SizeSeen>,
    /// Number of snapshots; `None` = not known yet.
    pub snapshots: Option<SnapshotsSeen>,
    /// Result of the last check; `None` = none is known.
    pub check: Option<CheckSeen>,
    /// Result of the last prune; `None` = none is known.
    pub prune: Option<PruneSeen>,
    /// What was seen when locks were last looked for; `None` = nobody has looked yet.
    pub lock: Option<LockView>,
    /// Whether the storage refused to delete on the everyday slot, and when that was seen.
    pub append_only: Option<(bool, Timestamp)>,
    /// The last test of the everyday credentials as they are now; `None` = not tested since they changed.
    pub tested: Option<Tested>,
    /// What other hosts on the same repository say of it.
    pub told: Told,
    /// Repositories that the host named although the server had not given it those: audited once each.
    pub claimed: Vec<RepoId>,
    /// What this host itself said last, and when by its own clock: tells news from what it repeats.
    pub stated: Stated,
}

/// What other hosts on the same repository say of it: kept apart from what the host itself has seen, so that it can
/// be taken back and never replaces that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Damage that a host has found and has not taken back, at most one entry for each.
    pub damage: Vec<CheckSeen>,
    /// The last check of another host that the server asked for and that found nothing.
    pub check: Option<CheckSeen>,
    /// The last prune of another host that the server asked for.
    pub prune: Option<PruneSeen>,
    /// The last size that another host has measured.
    pub size: Option<SizeSeen>,
    /// The last count of snapshots by another host.
    pub snapshots: Option<SnapshotsSeen>,
    /// A lock that another host sees; `None` = none sees one.
    pub lock: Option<ToldLock>,
}

/// A lock that another host sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldLock {
    /// The host that sees the lock.
    pub by: HostId,
    /// Since when a lock has been reported without a break.
    pub since: Timestamp,
    /// The lock as that host saw it; its holder is always there.
    pub seen: LockView,
}

/// Two hosts of which a person said that they use one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The repository; the statement counts as long as both hosts name this one.
    pub repo: RepoId,
    /// Who said that the two hosts share it.
    pub by: Actor,
    /// When it was said.
    pub at: Timestamp,
}

/// Another host that uses, or says it uses, the same repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharer {
    /// The other host.
    pub host: HostId,
    /// Name of the other host.
    pub name: String,
    /// Why it counts as one; `None` = it only says so, and a person may confirm it.
    pub why: Option<WhyShared>,
}

/// Why two hosts count as being on one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyShared {
    /// The server gave both the same address.
    Address,
    /// A person has confirmed it.
    Confirmed(Confirmed),
    /// They share it indirectly: each of them shares it with a third host.
    Through,
}

/// When a host dated each figure that it told last, and what was made of that date here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// Dates of the size.
    pub size: Option<Dated>,
    /// Dates of the count of snapshots.
    pub snapshots: Option<Dated>,
    /// Dates of the last check.
    pub check: Option<Dated>,
    /// Dates of the last prune.
    pub prune: Option<Dated>,
    /// Dates of what was last seen of locks.
    pub lock: Option<Dated>,
}

/// The same instant by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated {
    /// The instant by the host's clock.
    pub said: Timestamp,
    /// The instant by the server's clock.
    pub at: Timestamp,
}

/// Another repository, found at the address of the one that was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Id of the other repository.
    pub by: RepoId,
    /// When it was found first.
    pub at: Timestamp,
    /// The job that found it; `None` = it is not known which.
    pub job: Option<JobId>,
}

/// A test of credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// The job that tested them.
    pub job: JobId,
    /// When that job ended.
    pub at: Timestamp,
    /// Whether it succeeded.
    pub well: bool,
    /// Why it failed; `None` = it succeeded, or the reason is not known.
    pub class: Option<Class>,
}

/// Size of a repository in its storage, and when it was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeSeen {
    /// When the size was known.
    pub at: Timestamp,
    /// Size as stored, in bytes.
    pub bytes: u64,
    /// Whether it was measured; otherwise it is summed up from what backups added.
    pub measured: bool,
}

/// Number of snapshots in a repository, and when they were counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotsSeen {
    /// When they were counted.
    pub at: Timestamp,
    /// Number of snapshots.
    pub count: u32,
    /// When the newest snapshot was taken; `None` = not known, or there is none.
    pub newest_at: Option<Timestamp>,
}

/// Result of a check of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckSeen {
    /// When it ended.
    pub at: Timestamp,
    /// Number of errors that restic found.
    pub errors: u32,
    /// How much of the data was read, in percent.
    pub subset_pct: u8,
    /// The other host on the same repository that did it; `None` = this one.
    pub by: Option<HostId>,
}

/// Result of a prune of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneSeen {
    /// When it ended.
    pub at: Timestamp,
    /// Bytes that the storage got back.
    pub freed_bytes: u64,
    /// The other host on the same repository that did it; `None` = this one.
    pub by: Option<HostId>,
}

/// What was seen when locks were last looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockView {
    /// When locks were looked for.
    pub at: Timestamp,
    /// Who holds the lock; `None` = there was no lock.
    pub holder: Option<LockHolder>,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Since when the lock is held.
    pub since: Timestamp,
    /// Whether the lock keeps all others out.
    pub exclusive: bool,
    /// Name of the machine that holds it.
    pub hostname: String,
    /// Name of the account that holds it.
    pub username: String,
    /// Process id of the holder on its machine.
    pub pid: u32,
    /// Whether the lock counts as left over: its process is gone, or it is too old.
    pub stale: bool,
}

impl LockHolder {
    /// A mark that tells this holder from others: whoever removes a live lock says with it which one was meant. The
    /// time is left out of it, for restic writes a lock anew while it works.
    #[must_use]
    pub fn mark(&self) -> String {
        let text = format!("{}\n{}\n{}\n{}", self.hostname, self.username, self.pid, self.exclusive);
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        data_encoding::HEXLOWER.encode(&digest[..8])
    }
}

/// A point of a repository's history: its size at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoPoint {
    /// When the size was known.
    pub at: Timestamp,
    /// Size of the repository in its storage, in bytes.
    pub bytes: u64,
    /// Snapshots, as counted with the size or last before it; `None` = they had not been counted by then.
    pub snapshots: Option<u32>,
}

/// A snapshot of the last listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRow {
    /// restic's id of the snapshot.
    pub id: String,
    /// When it was taken.
    pub time: Timestamp,
    /// Name of the host that the snapshot carries (restic's `host`).
    pub hostname: String,
    /// Tags of the snapshot; the first is the source group.
    pub tags: Vec<String>,
    /// Paths that were backed up.
    pub paths: Vec<String>,
    /// Number of files in the snapshot; `None` = not known.
    pub files: Option<u64>,
    /// Size of the snapshot's files, in bytes; `None` = not known.
    pub bytes: Option<u64>,
    /// Bytes that it added to the repository, as stored; `None` = not known.
    pub added_packed_bytes: Option<u64>,
    /// Number of further tags that are not in `tags`.
    pub tags_left_out: u32,
    /// Number of further paths that are not in `paths`.
    pub paths_left_out: u32,
}

/// What is known of the newest whole listing of a host's snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// When it was made.
    pub at: Timestamp,
    /// How many snapshots of it are kept here.
    pub kept: u32,
    /// How many there are beside these: no room for them, or not to be read.
    pub left_out: u32,
}
