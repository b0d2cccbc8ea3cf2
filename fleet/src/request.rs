//! What people and the server's own ticks ask of the fleet.

use crate::record::{Actor, DownloadForm, FindPlan, RestorePlan, Retention, Role};
use schema::{HostId, JobKind, Timestamp};

/// Who asks, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// The person, token, schedule or program that asks.
    pub actor: Actor,
    /// Address that the request came from; empty = from the server itself.
    pub peer: String,
}

impl By {
    /// The server itself.
    #[must_use]
    pub const fn system() -> Self {
        Self { actor: Actor::System, peer: String::new() }
    }

    /// An agent, from the address of its connection.
    #[must_use]
    pub fn agent(peer: &str) -> Self {
        Self { actor: Actor::Agent, peer: peer.to_owned() }
    }
}

/// A job to dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobRequest {
    /// Look whether the repository is there and can be opened.
    Probe,
    /// Create the repository.
    Init,
    /// Back up one source group.
    Backup {
        /// Name of the source group.
        group: String,
    },
    /// Apply retention to all groups that have a keep rule.
    Forget,
    /// Say what retention would drop of one group.
    ForgetDryRun {
        /// Name of the source group.
        group: String,
        /// The rules to try; `None` = those of the group.
        keep: Option<Retention>,
    },
    /// Remove data from the repository that no snapshot needs.
    Prune,
    /// Verify the repository.
    Check {
        /// Percent of the data to read; `None` = as the maintenance settings say.
        subset_pct: Option<u8>,
    },
    /// Remove locks of the repository.
    Unlock {
        /// Live ones too: the lock that was shown to whoever asks, see
        /// [`LockHolder::mark`](crate::record::LockHolder::mark).
        all: Option<String>,
    },
    /// Measure how much the repository takes in its storage.
    Stats,
    /// List the snapshots of the repository.
    Snapshots,
    /// List a folder of a snapshot.
    Ls {
        /// restic's id of the snapshot.
        snapshot: String,
        /// Absolute path of the folder inside the snapshot.
        path: String,
    },
    /// List a folder of the host itself; needs no credentials.
    Browse {
        /// Absolute path of the folder on the host.
        path: String,
    },
    /// Restore files of a snapshot, or say what that would write.
    Restore(RestorePlan),
    /// Restore files drawn by lot, compare them, and take them away again.
    Drill {
        /// Name of the source group; `None` = the one that was proven longest ago.
        group: Option<String>,
        /// The most files; `None` = as many as usual.
        files: Option<u16>,
        /// The most bytes in all; `None` = as many as usual.
        bytes: Option<u64>,
    },
    /// Look for names in snapshots.
    Find(FindPlan),
    /// Compare two snapshots.
    Diff {
        /// restic's id of the older snapshot.
        against: String,
        /// restic's id of the snapshot that is compared with it.
        snapshot: String,
    },
    /// Send a file or folder of a snapshot. Asked for by [`Fleet::download`](crate::Fleet::download) alone, which takes what is sent.
    Download {
        /// restic's id of the snapshot.
        snapshot: String,
        /// Absolute path inside the snapshot.
        path: String,
        /// As what it is downloaded.
        form: DownloadForm,
        /// The host whose snapshot it is.
        source: HostId,
    },
}

impl JobRequest {
    /// The host whose repository it is about, when it may be another one than does it.
    #[must_use]
    pub const fn source(&self) -> Option<HostId> {
        match self {
            Self::Restore(RestorePlan { source, .. }) | Self::Download { source, .. } => Some(*source),
            _ => None,
        }
    }

    /// The kind of job on the wire; a dry run of forget is a forget, too.
    #[must_use]
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Probe => JobKind::Probe,
            Self::Init => JobKind::Init,
            Self::Backup { .. } => JobKind::Backup,
            Self::Forget | Self::ForgetDryRun { .. } => JobKind::Forget,
            Self::Prune => JobKind::Prune,
            Self::Check { .. } => JobKind::Check,
            Self::Unlock { .. } => JobKind::Unlock,
            Self::Stats => JobKind::Stats,
            Self::Snapshots => JobKind::Snapshots,
            Self::Ls { .. } => JobKind::Ls,
            Self::Browse { .. } => JobKind::Browse,
            Self::Restore(_) => JobKind::Restore,
            Self::Drill { .. } => JobKind::Drill,
            Self::Find(_) => JobKind::Find,
            Self::Diff { .. } => JobKind::Diff,
            Self::Download { .. } => JobKind::Download,
        }
    }
}

/// A change of a person's account; `None` keeps what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorChange {
    /// What it may do.
    pub role: Option<Role>,
    /// Hash of the new password: argon2id, in PHC text form. A new password ends the account's sessions.
    pub password_hash: Option<String>,
    /// Colours of the pages: `system`, `light` or `dark`.
    pub theme: Option<String>,
    /// When the account signed in last.
    pub signed_in_at: Option<Timestamp>,
}
