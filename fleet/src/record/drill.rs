use super::LastRun;
use schema::{JobId, Timestamp, drill::DrillFault};
use serde::{Deserialize, Serialize};

/// What a drill draws from, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillPlan {
    /// Name of the source group. Its newest snapshot is drawn from.
    pub group: String,
    /// Which lot: the same number draws the same files from the same snapshot.
    pub seed: u64,
    /// The most files.
    pub files: u16,
    /// The most bytes in all.
    pub bytes: u64,
    /// How long restoring and comparing may take, in seconds.
    pub secs: u32,
}

/// What a drill found. Each file that was drawn is equal, changed since, unreadable, different, or was not tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillFigures {
    /// restic's id of the snapshot.
    pub snapshot: String,
    /// Number of files in the snapshot.
    pub of_files: u64,
    /// Size of those files in bytes.
    pub of_bytes: u64,
    /// Number of files that were drawn.
    pub drawn: u32,
    /// Number of files that were restored and have the content that the host has.
    pub equal: u32,
    /// Number of files that were restored whole and have been changed on the host since.
    pub changed_since: u32,
    /// Number of files that could not be restored.
    pub unreadable: u32,
    /// Number of files that came back with other content than the host has, where nothing has changed since.
    pub different: u32,
    /// Number of files that were drawn and of which nothing is known: the drill was over before.
    pub not_tried: u32,
    /// Size of the files that were restored whole, in bytes.
    pub bytes: u64,
    /// How long restic took to restore them, in milliseconds.
    pub restore_ms: u64,
    /// What the bounds have cut.
    pub cuts: DrillCuts,
    /// The files that are unreadable or different.
    pub findings: Vec<DrillFinding>,
    /// How many more there were.
    pub findings_left_out: u32,
}

/// What the bounds of a drill have cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillCuts {
    /// Number of files that are larger than all that may be drawn.
    pub too_large: u64,
    /// Number of files whose names restic's listing alters, or that are too long.
    pub odd_names: u64,
    /// Number of files that the lot fell on and for which no bytes were left.
    pub over_bytes: u32,
    /// There was less room on the host than the bound on bytes.
    pub short_of_room: bool,
    /// It was over before all files were restored and compared.
    pub out_of_time: bool,
}

/// A file that a drill could not prove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillFinding {
    /// Its path inside the snapshot, as people write it.
    pub path: String,
    /// What is the matter with it.
    pub fault: DrillFault,
    /// Why, in restic's words or the agent's; may be empty.
    pub reason: String,
}

/// How the proof of a source group stands, as part of its row in its host's summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupProof {
    /// Since when there is a good backup that could be proven; `None` = there is none.
    pub(crate) since: Option<Timestamp>,
    /// Files and bytes of the newest good backup.
    pub(crate) extent: Option<(u64, u64)>,
    /// The latest drill, which may be open.
    pub(crate) last_run: Option<(JobId, LastRun)>,
    /// The last drill that proved something.
    pub(crate) proven: Option<Proof>,
    /// The last drill, where that found files that can't be restored or are different.
    pub(crate) failed: Option<ProofFailure>,
}

/// A drill that proved something: all files that it restored were right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The drill.
    pub job: JobId,
    /// When it ended.
    pub at: Timestamp,
    /// Number of files that were drawn.
    pub drawn: u32,
    /// Number of files that were restored and were right.
    pub restored: u32,
    /// Number of those that have been changed on the host since, so that restic's own word counts.
    pub changed_since: u32,
    /// Size of those files, in bytes.
    pub bytes: u64,
    /// How long restic took to restore them, in milliseconds.
    pub restore_ms: u64,
}

/// A drill that found files that can't be restored or are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofFailure {
    /// The drill.
    pub job: JobId,
    /// When it ended.
    pub at: Timestamp,
}

/// How fast a host has restored: a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRate {
    /// The drill or restore that was measured.
    pub job: JobId,
    /// It was a real restore, not a drill.
    pub is_restore: bool,
    /// When it ended.
    pub at: Timestamp,
    /// Bytes that were restored.
    pub bytes: u64,
    /// How long that took, in milliseconds; never 0.
    pub ms: u64,
}

impl RestoreRate {
    /// Bytes a second.
    #[must_use]
    pub fn bytes_a_second(&self) -> u64 {
        let rate = u128::from(self.bytes) * 1_000 / u128::from(self.ms.max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}
