//! Agent → server: here, or gone.

use crate::{InstallationId, Items, JobId, Timestamp};
use serde::{Deserialize, Serialize};

/// Retained on `presence`, and the last will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence<'a> {
    /// Connected.
    #[serde(borrow)]
    Hello(Hello<'a>),
    /// The connection of this epoch has ended.
    Gone {
        /// Which connection.
        epoch: u64,
        /// Whether the agent said so itself (a clean stop), or its will did.
        clean: bool,
    },
}

/// What an agent says first on each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// Counts connects, kept on disk.
    pub epoch: u64,
    /// Names the journal, drawn at random when it was created.
    pub stream: u64,
    /// Changes with each boot of the machine.
    pub boot_id: [u8; 16],
    /// See there.
    pub installation: InstallationId,
    /// Of this program.
    pub agent_version: &'a str,
    /// Empty when there is no restic.
    pub restic_version: &'a str,
    /// The system, as `/etc/os-release` calls it.
    pub os: &'a str,
    /// The processor, as Rust calls it.
    pub arch: &'a str,
    /// The machine's own host name.
    pub hostname: &'a str,
    /// The jobs it holds, in order.
    #[serde(borrow)]
    pub jobs: Items<'a, HeldJob>,
    /// The highest command number taken.
    pub taken: u64,
    /// The lowest report number not acked; `last_report + 1` when all are.
    pub first_unacked: u64,
    /// The highest report number written.
    pub last_report: u64,
    /// The plan it holds; 0 = none.
    pub plan_revision: u64,
    /// The revision of the repo slot it holds; 0 = none.
    pub repo_revision: u64,
    /// Space left for the state folder, in bytes.
    pub state_free_bytes: u64,
    /// The agent's clock.
    pub at: Timestamp,
}

/// A job that an agent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldJob {
    /// Which.
    pub job: JobId,
    /// How far.
    pub phase: HeldPhase,
}

/// How far a held job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldPhase {
    /// Waits for another.
    Queued,
    /// restic runs.
    Running,
    /// It has ended; its result is in the journal.
    Finished,
}
