use super::Actor;
use schema::{Class, HostId, JobId, RepoId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What is known of a host's repository: the projection that pages read. Each figure has its own time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoState {
    /// restic's repository id.
    pub repo: Option<RepoId>,
    /// When the job was made that last found this one there.
    pub repo_at: Option<Timestamp>,
    /// The host has made it itself, with these credentials: it was empty.
    pub is_own: bool,
    /// Another one was found at the same address since, with the same credentials.
    pub replaced: Option<Replaced>,
    /// The stream and revision of the newest message taken, and its time.
    pub newest: Option<(u64, u64, Timestamp)>,
    /// Size.
    pub size: Option<SizeSeen>,
    /// Snapshots.
    pub snapshots: Option<SnapshotsSeen>,
    /// Last check.
    pub check: Option<CheckSeen>,
    /// Last prune.
    pub prune: Option<PruneSeen>,
    /// Lock.
    pub lock: Option<LockView>,
    /// Whether the storage refused to delete on the everyday slot, and when that was seen.
    pub append_only: Option<(bool, Timestamp)>,
    /// The last test of the everyday credentials as they stand now.
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
    /// The last size that one has measured.
    pub size: Option<SizeSeen>,
    /// The last count of snapshots.
    pub snapshots: Option<SnapshotsSeen>,
    /// A lock that one sees.
    pub lock: Option<ToldLock>,
}

/// A lock that another host sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldLock {
    /// Who.
    pub by: HostId,
    /// Since when one has been told of without a break.
    pub since: Timestamp,
    /// What it saw, with a holder.
    pub seen: LockView,
}

/// Two hosts of which a person said that they use one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Which; it counts as long as both name this one.
    pub repo: RepoId,
    /// Who said so.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

/// Another host that uses, or says it uses, the same repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharer {
    /// Which.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// Why it counts as one; `None` = it only says so, and a person may confirm it.
    pub why: Option<WhyShared>,
}

/// Why two hosts count as being on one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyShared {
    /// The server gave both the same address.
    Address,
    /// Somebody said so.
    Confirmed(Confirmed),
    /// Each of them shares it with a third.
    Through,
}

/// When a host dated each figure that it told last, and what was made of that date here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// The size.
    pub size: Option<Dated>,
    /// Snapshots.
    pub snapshots: Option<Dated>,
    /// The check.
    pub check: Option<Dated>,
    /// The prune.
    pub prune: Option<Dated>,
    /// The lock.
    pub lock: Option<Dated>,
}

/// A date by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated {
    /// By the host's.
    pub said: Timestamp,
    /// By the server's.
    pub at: Timestamp,
}

/// A repository in the place of the one that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The other one.
    pub by: RepoId,
    /// When it was found first.
    pub at: Timestamp,
    /// By which job.
    pub job: Option<JobId>,
}

/// A test of credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// The job.
    pub job: JobId,
    /// When it ended.
    pub at: Timestamp,
    /// Whether it succeeded.
    pub well: bool,
    /// Why not, where that is known.
    pub class: Option<Class>,
}

/// Size in the storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeSeen {
    /// When.
    pub at: Timestamp,
    /// As stored.
    pub bytes: u64,
    /// Measured, or summed up from what backups added.
    pub measured: bool,
}

/// Snapshots in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotsSeen {
    /// When.
    pub at: Timestamp,
    /// How many.
    pub count: u32,
    /// The newest one's time.
    pub newest_at: Option<Timestamp>,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckSeen {
    /// When it ended.
    pub at: Timestamp,
    /// Errors.
    pub errors: u32,
    /// Percent of the data read.
    pub subset_pct: u8,
    /// The other host on the same repository that did it; `None` = this one.
    pub by: Option<HostId>,
}

/// A prune.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneSeen {
    /// When it ended.
    pub at: Timestamp,
    /// Given back.
    pub freed_bytes: u64,
    /// The other host on the same repository that did it; `None` = this one.
    pub by: Option<HostId>,
}

/// What the last look at the locks saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockView {
    /// When.
    pub at: Timestamp,
    /// `None` = no lock.
    pub holder: Option<LockHolder>,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Since when.
    pub since: Timestamp,
    /// Keeps all others out.
    pub exclusive: bool,
    /// Machine.
    pub hostname: String,
    /// Account.
    pub username: String,
    /// Process.
    pub pid: u32,
    /// Its process is gone, or it is too old.
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
    /// Size.
    pub bytes: u64,
    /// Snapshots, as counted with the size or last before it; `None` = they had not been counted by then.
    pub snapshots: Option<u32>,
}

/// A snapshot of the last listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRow {
    /// restic's id.
    pub id: String,
    /// When it was taken.
    pub time: Timestamp,
    /// Host name in it.
    pub hostname: String,
    /// Tags; the first is the group.
    pub tags: Vec<String>,
    /// Paths.
    pub paths: Vec<String>,
    /// Files in it, where known.
    pub files: Option<u64>,
    /// Bytes in it, where known.
    pub bytes: Option<u64>,
    /// What it added, where known.
    pub added_packed_bytes: Option<u64>,
    /// How many more tags it has than stand here.
    pub tags_left_out: u32,
    /// How many more paths it has.
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
