//! What people and the server's own ticks ask of the fleet.

use crate::record::{Actor, Retention, Role};
use schema::{JobKind, Timestamp};

/// Who asks, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// From which address; empty = from the server itself.
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
    /// Is the repository there?
    Probe,
    /// Make it.
    Init,
    /// Save one source group.
    Backup {
        /// Its name.
        group: String,
    },
    /// Apply retention to all groups that have a keep rule.
    Forget,
    /// Say what retention would drop of one group.
    ForgetDryRun {
        /// Its name.
        group: String,
        /// The rules to try; `None` = those of the group.
        keep: Option<Retention>,
    },
    /// Free space.
    Prune,
    /// Verify.
    Check {
        /// Percent of the data to read; `None` = as the maintenance settings say.
        subset_pct: Option<u8>,
    },
    /// Remove locks.
    Unlock {
        /// Live ones too: the lock that was shown to whoever asks, see
        /// [`LockHolder::mark`](crate::record::LockHolder::mark).
        all: Option<String>,
    },
    /// Measure.
    Stats,
    /// List snapshots.
    Snapshots,
    /// List a folder of a snapshot.
    Ls {
        /// restic's id of the snapshot.
        snapshot: String,
        /// The folder, absolute.
        path: String,
    },
    /// List a folder of the host itself; needs no credentials.
    Browse {
        /// The folder, absolute.
        path: String,
    },
}

impl JobRequest {
    /// The kind of it.
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
        }
    }
}

/// A change of an account; `None` keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorChange {
    /// What it may do.
    pub role: Option<Role>,
    /// argon2id, PHC text. Ends the account's sessions.
    pub password_hash: Option<String>,
    /// `system`, `light` or `dark`.
    pub theme: Option<String>,
    /// When it signed in.
    pub signed_in_at: Option<Timestamp>,
}
