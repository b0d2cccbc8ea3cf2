//! Agent → server: here, or gone.

use crate::{
    CommandSeq, Epoch, GroupKey, Incarnation, InstallationId, Items, JobId, PlanRevision, ReportSeq,
    SlotRevision, Stream, Timestamp,
};
use serde::{Deserialize, Serialize};

/// Retained on `presence`, and the last will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "it is decoded, read and gone; without an allocator there is no box"
)]
pub enum Presence<'a> {
    /// The agent has connected and says what it is and what it holds.
    #[serde(borrow)]
    Hello(Hello<'a>),
    /// The connection of this epoch has ended.
    Gone {
        /// Number of the connection that has ended.
        epoch: Epoch,
        /// Whether the agent said so itself (a clean stop), or its will did.
        clean: bool,
    },
}

/// What an agent says first on each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// Counts connects, kept on disk.
    pub epoch: Epoch,
    /// Names the journal, drawn at random when it was created.
    pub stream: Stream,
    /// What tells agents with one state folder apart. The first half is that of the machine's boot id; the second the agent
    /// draws each time it starts, with the two highest bits of its first byte set. Agents before that send the boot id
    /// whole: a UUID, in which these bits are `10`.
    pub boot_id: [u8; 16],
    /// Id of the installation, the same as long as the agent's state folder; see [`InstallationId`].
    pub installation: InstallationId,
    /// Version of the agent program.
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
    pub taken: CommandSeq,
    /// The lowest report number not acked; `last_report + 1` when all are.
    pub first_unacked: ReportSeq,
    /// The highest report number written.
    pub last_report: ReportSeq,
    /// The plan it holds; 0 = none.
    pub plan_revision: PlanRevision,
    /// The revision of the repo slot it holds; 0 = none.
    pub repo_revision: SlotRevision,
    /// Space left for the state folder, in bytes.
    pub state_free_bytes: u64,
    /// The agent's clock at the time of the hello.
    pub at: Timestamp,
    /// What the agent can do, and what the policy of its machine lets a server do, at the time of the hello.
    pub abilities: Abilities,
    /// The highest incarnation of the server that it has heard of.
    pub incarnation: Incarnation,
    /// When each source group was saved last: what a server that was restored from an archive has not heard of.
    #[serde(borrow)]
    pub saved: Items<'a, SavedGroup>,
    /// The address by which it came, as the server or the token gave it.
    pub address: &'a str,
    /// SHA-256 of the certificates of the authorities that it trusts, as it has them on its disk. A hello that comes again on
    /// the same connection may say others, and changes nothing else.
    #[serde(borrow)]
    pub trusts: Items<'a, [u8; 32]>,
}

/// When the last good backup of a source group was taken, whoever asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedGroup {
    /// The source group.
    pub group: GroupKey,
    /// When the agent took the job, by the server's clock as far as it knew that.
    pub at: Timestamp,
}

/// What not every agent can do, and what not every machine's policy allows: a bit each. Bits are only ever added; one
/// that is not known is ignored, and what an agent does not know it leaves at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities(pub u32);

impl Abilities {
    /// The agent takes credentials of another host for one job, and does what that job says.
    pub const FOR_OTHERS: Self = Self(1);
    /// The policy lets it do so.
    pub const OTHERS_ALLOWED: Self = Self(1 << 1);
    /// The policy lets files be restored over what is there.
    pub const IN_PLACE_ALLOWED: Self = Self(1 << 2);

    /// Whether all of these are among them.
    #[must_use]
    pub const fn have(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

/// A job that an agent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldJob {
    /// The job's id.
    pub job: JobId,
    /// How far the job is.
    pub phase: HeldPhase,
    /// The source group that it saves; `None` = it is no backup, or has ended.
    pub group: Option<GroupKey>,
}

/// How far a held job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldPhase {
    /// The job waits until another has ended.
    Queued,
    /// restic runs for the job.
    Running,
    /// It has ended; its result is in the journal.
    Finished,
}
