//! How far it is proven that a host can be restored, and how long that would take.

use crate::record::{Proof, RestoreRate};
use schema::Timestamp;

/// How the proof of a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProofStatus {
    /// The last drill of a group found files that can't be restored or are different.
    Failed,
    /// A group was never proven, or not for longer than twice its interval.
    Unproven,
    /// Its drills are switched off, and what was proven is too old to count.
    Off,
    /// A group waits for its first drill, which was not due yet.
    Waiting,
    /// There is no good backup that could be proven.
    Nothing,
    /// Files of every group were restored and were right, not too long ago.
    Proven,
}

impl ProofStatus {
    /// All of them, worst first.
    pub const ALL: [Self; 6] =
        [Self::Failed, Self::Unproven, Self::Off, Self::Waiting, Self::Nothing, Self::Proven];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unproven => "unproven",
            Self::Off => "off",
            Self::Waiting => "waiting",
            Self::Nothing => "nothing",
            Self::Proven => "proven",
        }
    }
}

/// The proof of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostProof {
    /// How it stands; the worst of its groups.
    pub status: ProofStatus,
    /// When its groups were proven: the oldest of the last proofs; `None` = one of them never was.
    pub proven_at: Option<Timestamp>,
    /// How long it would take to restore all groups; `None` = nothing was measured, or the size of one is not known.
    pub estimate: Option<RestoreEstimate>,
}

/// The proof of a source group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofOfGroup {
    /// Its name.
    pub group: String,
    /// How it stands.
    pub status: ProofStatus,
    /// The last drill that proved something.
    pub proven: Option<Proof>,
    /// When the last drill found what can't be restored, if it did.
    pub failed: Option<crate::record::ProofFailure>,
}

/// How long a whole restore would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreEstimate {
    /// In seconds.
    pub secs: u64,
    /// Size of all newest snapshots, in bytes.
    pub bytes: u64,
    /// What it was reckoned from.
    pub rate: RestoreRate,
}
