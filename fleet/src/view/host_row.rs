use crate::record::{Host, Job, Presence};
use schema::Timestamp;

/// Days in the strip of a host.
pub const DAYS: usize = 30;

/// What the fleet page, the API, metrics and the view tree show of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// The host.
    pub host: Host,
    /// Whether it is connected.
    pub presence: Presence,
    /// How it stands.
    pub status: Status,
    /// Why, in short words ("Wrong password"); empty when all is well.
    pub reason: String,
    /// A good backup of every group is recent, whatever happens right now.
    pub protected: bool,
    /// The job that runs, or is next.
    pub running: Option<Job>,
    /// The backup that ended last, good or not.
    pub last_backup: Option<Job>,
    /// When a backup last made a snapshot.
    pub last_good_at: Option<Timestamp>,
    /// Size of its repository.
    pub size_bytes: Option<u64>,
    /// When that was known.
    pub size_at: Option<Timestamp>,
    /// Snapshots in its repository.
    pub snapshots: Option<u32>,
    /// A cell a day (UTC), oldest first; the last one is today.
    pub days: [Day; DAYS],
    /// Jobs that have not ended.
    pub open_jobs: u32,
    /// Whether the everyday slot is set.
    pub has_repo_credentials: bool,
    /// Source groups.
    pub groups: u32,
    /// When a schedule is to run next.
    pub next_run_at: Option<Timestamp>,
    /// The first due time of a backup that still waits.
    pub waits_since: Option<Timestamp>,
}

/// How a host stands, worst first. `Ok` only on proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The last backup of a group failed or was lost, or the agent can't be spoken to.
    Failed,
    /// Away for more than a day.
    Offline,
    /// A due backup did not happen.
    Missed,
    /// The last backup left files out, or is too old.
    Warning,
    /// A job runs.
    Running,
    /// Never backed up.
    New,
    /// The last backup of every group is good and recent.
    Ok,
}

impl Status {
    /// All of them, worst first.
    pub const ALL: [Self; 7] =
        [Self::Failed, Self::Offline, Self::Missed, Self::Warning, Self::Running, Self::New, Self::Ok];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Offline => "offline",
            Self::Missed => "missed",
            Self::Warning => "warning",
            Self::Running => "running",
            Self::New => "new",
            Self::Ok => "ok",
        }
    }

    /// The status of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// What became of a day's backups: for each group the last one counts, then the worst of the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Day {
    /// Nothing happened.
    #[default]
    None,
    /// All good.
    Ok,
    /// One runs now.
    Running,
    /// Files were left out.
    Warning,
    /// A due backup did not happen.
    Missed,
    /// One failed or was lost.
    Failed,
}

impl Day {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Ok, Self::Running, Self::Warning, Self::Missed, Self::Failed];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ok => "ok",
            Self::Running => "running",
            Self::Warning => "warning",
            Self::Missed => "missed",
            Self::Failed => "failed",
        }
    }
}

/// How many hosts stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetCounts {
    /// By [`Status::ALL`]; see [`Self::of`].
    pub by_status: [u32; 7],
    /// With a good and recent backup of every group.
    pub protected: u32,
    /// Connected.
    pub online: u32,
    /// All.
    pub total: u32,
}

impl FleetCounts {
    /// Hosts of this status.
    #[must_use]
    pub const fn of(&self, status: Status) -> u32 {
        self.by_status[status as usize]
    }

    /// Hosts that want a person: failed, offline, missed or warning.
    #[must_use]
    pub const fn need_you(&self) -> u32 {
        self.of(Status::Failed)
            + self.of(Status::Offline)
            + self.of(Status::Missed)
            + self.of(Status::Warning)
    }

    pub(crate) fn count(&mut self, row: &HostRow) {
        self.by_status[row.status as usize] += 1;
        self.protected += u32::from(row.protected);
        self.online += u32::from(row.presence.online);
        self.total += 1;
    }
}

/// Which hosts; empty = all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFilter {
    /// A part of the name, a label or the machine's own name, in any case.
    pub q: Option<String>,
    /// Has this label.
    pub label: Option<String>,
    /// Stands like this.
    pub state: Option<Status>,
}
