use super::{Acked, AgentGone, GroupProof, Hold, Job, JobState, RestoreRate};
use schema::{Class, JobId, Refusal, Timestamp};
use serde::{Deserialize, Serialize};

/// A host in one row, with what lists of hosts need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Jobs that have not ended.
    pub(crate) open_jobs: u32,
    /// The job that runs, or the one that is next; `None` = none is open.
    pub(crate) running: Option<Job>,
    /// The backup that ended last.
    pub(crate) last_backup: Option<Job>,
    /// The source groups. What was saved in one that was deleted says nothing of how the host stands.
    pub(crate) groups: Vec<GroupSummary>,
    /// The everyday slot is set.
    pub(crate) has_repo_credentials: bool,
    /// Size of the repository, and when that was known.
    pub(crate) size: Option<(u64, Timestamp)>,
    /// Number of snapshots in the repository; `None` = not known.
    pub(crate) snapshots: Option<u32>,
    /// When its last check ended, where that found errors.
    pub(crate) damaged_at: Option<Timestamp>,
    /// Since when another repository is in the place of the one that is known.
    pub(crate) replaced: Option<Timestamp>,
    /// The state that somebody has acknowledged.
    pub(crate) acked: Option<Acked>,
    /// The everyday credentials failed their last test: when, and why.
    pub(crate) test_failed: Option<(Timestamp, Option<Class>)>,
    /// When a schedule is to run next.
    pub(crate) next_run_at: Option<Timestamp>,
    /// The first due time of a backup that still waits.
    pub(crate) waits_since: Option<Timestamp>,
    /// What its plans need and no longer find, and since when.
    pub(crate) unplanned: Option<(Timestamp, Unplanned)>,
    /// How fast it has restored last.
    pub(crate) rate: Option<RestoreRate>,
}

/// A source group in one row, as part of its host's summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupSummary {
    pub(crate) name: String,
    /// The backup that ended last; what a person ended, and what was put off or taken back, is left out.
    pub(crate) last: Option<Ended>,
    /// The last good one, see [`is_good`](crate::summary::is_good), that lost no more than half of what is usual, or that
    /// a person said is right.
    pub(crate) last_good: Option<(JobId, Timestamp)>,
    /// Its schedules want a good backup at least this often, with room to spare; `None` = it has none.
    pub(crate) old_after_ms: Option<u64>,
    /// What the last one lacks is right, a person has said.
    pub(crate) is_accepted: bool,
    /// Since when more than half of what is usual is gone, and nobody has looked.
    pub(crate) loss_since: Option<Timestamp>,
    /// Why nothing of it is forgotten, and since when.
    pub(crate) hold: Option<(Hold, Timestamp)>,
    /// Whether the group has a keep rule, so that forget could remove something.
    pub(crate) has_rule: bool,
    /// The last result of each day (number since 1970, UTC), oldest first.
    pub(crate) days: Vec<(u32, JobState)>,
    /// How its proof stands.
    pub(crate) proof: GroupProof,
}

/// A backup that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The job that did the backup.
    pub job: JobId,
    /// How it ended.
    pub state: JobState,
    /// Why it did not end well; `None` = nothing went wrong, or no reason is known.
    pub class: Option<Class>,
    /// Why the agent refused it; `None` = it was not refused.
    pub refusal: Option<Refusal>,
    /// What took its agent away; `None` = nothing did.
    pub agent_gone: Option<AgentGone>,
    /// When it ended.
    pub at: Timestamp,
}

impl Unplanned {
    /// Whether backups don't happen for it; else it is maintenance.
    pub(crate) fn is_of_backups(&self) -> bool {
        match self {
            Self::TimeZone { .. } | Self::Cron { .. } | Self::Group { .. } => true,
            Self::Unreadable { what } => what == UNREADABLE_SCHEDULES,
            Self::MaintenanceTimeZone { .. } | Self::MaintenanceCron { .. } => false,
        }
    }
}

/// What is said of schedules that can't be read.
pub(crate) const UNREADABLE_SCHEDULES: &str = "schedules";

/// What a plan of a host needs and no longer finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unplanned {
    /// The time zone of a schedule is not known any more.
    TimeZone {
        /// Name of the schedule.
        schedule: String,
        /// Name of the time zone.
        timezone: String,
    },
    /// The cron expression of a schedule can't be read.
    Cron {
        /// Name of the schedule.
        schedule: String,
    },
    /// A schedule names a source group that does not exist.
    Group {
        /// Name of the schedule.
        schedule: String,
        /// The group's name; empty = it names none.
        group: String,
    },
    /// The rows of schedules or of the maintenance settings can't be read.
    Unreadable {
        /// `schedules` or `maintenance settings`.
        what: String,
    },
    /// The time zone of the maintenance settings is not known any more.
    MaintenanceTimeZone {
        /// Name of the time zone.
        timezone: String,
    },
    /// A cron expression of the maintenance settings can't be read.
    MaintenanceCron {
        /// The expression.
        text: String,
    },
}
