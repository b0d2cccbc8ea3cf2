use super::day::{DAYS, Day};
use super::proof::{HostProof, ProofOfGroup, ProofStatus};
use super::reason::Reason;
use crate::judged::AsOf;
use crate::proof::{self, ProofClock};
use crate::record::{Acked, Cause, Ended, Host, Job, Presence, Summary};
use crate::units::DAY_MS;
use schema::{Epoch, Timestamp, version};
use std::ops::Deref;
use std::sync::Arc;

/// What the fleet page, the API, metrics and the view tree show of a host: how it stands, looked at now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    standing: Arc<HostStanding>,
    /// The instant at which it is looked at: how long ago something was is told by it.
    pub now: Timestamp,
    /// Whether the server can know how the host stands now: one that only reads hears of nothing any more, and what it says of a host
    /// is what it knew last.
    pub is_known: bool,
    /// Every group is in a schedule that is on, or backed up by hand as a person said, and has a good, whole and recent
    /// backup that nothing found since speaks against; the credentials are not known to be refused; the clock is not off by
    /// hours. Whatever happens right now. Never where that can't be known.
    pub protected: bool,
    /// When a schedule of this server is to run next; none where none runs any more.
    pub next_run_at: Option<Timestamp>,
}

impl Deref for HostRow {
    type Target = HostStanding;

    fn deref(&self) -> &HostStanding {
        &self.standing
    }
}

/// A host and how it stands. It is judged again when something of it has changed, or a time comes that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostStanding {
    /// The host itself, as stored.
    pub host: Arc<Host>,
    /// Which storage its repository is on, where others may be on it, too: as the address names it, without folder and
    /// login.
    pub storage: Option<Arc<str>>,
    /// Whether it is connected.
    pub presence: Arc<Presence>,
    pub(crate) summary: Arc<Summary>,
    pub(crate) proof_clock: Arc<ProofClock>,
    /// How the host stands.
    pub status: Status,
    /// Why the host stands so.
    pub reason: Reason,
    /// The backup that this state comes from, where one did not end well.
    pub from: Option<Ended>,
    /// Who has acknowledged this state, and when.
    pub acked: Option<Acked>,
    /// See [`HostRow::protected`], as far as was known last.
    pub(crate) is_protected: bool,
    /// How far it is proven that it can be restored.
    pub proof: HostProof,
    /// When a backup last made a snapshot.
    pub last_good_at: Option<Timestamp>,
    /// A good backup older than this is too old, by the schedules of the group that wants it most often, in milliseconds;
    /// `None` = there is no source group.
    pub backup_target_ms: Option<u64>,
    /// Size of its repository.
    pub size_bytes: Option<u64>,
    /// When that was known.
    pub size_at: Option<Timestamp>,
    /// Snapshots in its repository.
    pub snapshots: Option<u32>,
    /// Jobs that have not ended.
    pub open_jobs: u32,
    /// Whether the everyday slot is set.
    pub has_repo_credentials: bool,
    /// Number of source groups.
    pub groups: u32,
    /// See [`HostRow::next_run_at`].
    pub(crate) planned_at: Option<Timestamp>,
    /// The first due time of a backup that still waits.
    pub waits_since: Option<Timestamp>,
}

impl HostRow {
    pub(crate) fn new(standing: Arc<HostStanding>, now: Timestamp) -> Self {
        let (protected, next_run_at) = (standing.is_protected, standing.planned_at);
        Self { standing, now, is_known: true, protected, next_run_at }
    }

    /// The same as a server sees it that may not know how the host stands now.
    pub(crate) fn if_known(self, is_known: bool) -> Self {
        Self {
            is_known,
            protected: is_known && self.protected,
            next_run_at: self.next_run_at.filter(|_| is_known),
            ..self
        }
    }

    /// The groups that could be proven, each with how it stands.
    #[must_use]
    pub fn proof_of_groups(&self) -> Vec<ProofOfGroup> {
        proof::of_groups(&self.summary, &self.proof_clock, &AsOf::new(self.now))
    }

    /// A cell a day (UTC), oldest first; the last one is today. Before it was enrolled, or first backed up, there was
    /// nothing to count.
    #[must_use]
    pub fn days(&self) -> [Day; DAYS] {
        let day = |at: Timestamp| at.0 / DAY_MS;
        let mut days = self.summary.strip(self.now);
        let since = |at| usize::try_from(day(self.now).saturating_sub(day(at)) + 1).unwrap_or(DAYS);
        let counted = self.host.enrolled_at.map_or(0, since).min(DAYS);
        // It may have been enrolled anew.
        let before = days.iter().take(DAYS - counted).take_while(|day| **day == Day::None).count();
        days[..before].fill(Day::Before);
        days
    }
}

impl HostStanding {
    /// Whether a person should look at it. What somebody has acknowledged rests until it changes.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        !self.status.is_well() && self.acked.is_none()
    }

    /// How far its clock was ahead of the server's when it said hello last, in milliseconds (negative: behind); `None` =
    /// it is right to within a minute, or was never seen.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        self.presence.clock_ahead_ms.filter(|ahead| ahead.unsigned_abs() >= crate::host_clock::SHOWN_FROM_MS)
    }

    /// Whether its agent is older than this server: by its version, or since its hello says less than one of now.
    #[must_use]
    pub fn has_old_agent(&self) -> bool {
        let facts = self.host.facts.as_ref();
        facts.is_some_and(|facts| {
            version::is_older(&facts.agent_version, env!("CARGO_PKG_VERSION"))
                || (facts.abilities.is_none() && self.presence.epoch > Epoch::ZERO)
        })
    }

    /// Tells this state from others, and from the same one at another time.
    #[must_use]
    pub fn mark(&self) -> String {
        self.reason.mark(self.status, self.summary.last_good_at())
    }

    /// The job that runs, or is next.
    #[must_use]
    pub fn running(&self) -> Option<&Job> {
        self.summary.running.as_ref()
    }

    /// The backup that ended last, good or not.
    #[must_use]
    pub fn last_backup(&self) -> Option<&Job> {
        self.summary.last_backup.as_ref()
    }
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
    /// The last good backup is too old.
    Stale,
    /// The last backup left files out, or something else wants a look.
    Warning,
    /// The repository was not checked for too long.
    CheckOverdue,
    /// A job runs.
    Running,
    /// Never backed up.
    New,
    /// Backed up, and not proven for too long that it can be restored.
    Unproven,
    /// The last backup of every group is good and recent.
    Ok,
}

impl Status {
    /// All of them, worst first.
    pub const ALL: [Self; 10] = [
        Self::Failed,
        Self::Offline,
        Self::Missed,
        Self::Stale,
        Self::Warning,
        Self::CheckOverdue,
        Self::Running,
        Self::New,
        Self::Unproven,
        Self::Ok,
    ];

    /// Whether it asks nothing of anybody.
    #[must_use]
    pub const fn is_well(self) -> bool {
        matches!(self, Self::Ok | Self::Running)
    }

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Offline => "offline",
            Self::Missed => "missed",
            Self::Stale => "stale",
            Self::Warning => "warning",
            Self::CheckOverdue => "check_overdue",
            Self::Running => "running",
            Self::New => "new",
            Self::Unproven => "unproven",
            Self::Ok => "ok",
        }
    }

    /// The status of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// How many hosts stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetCounts {
    /// By [`Status::ALL`]; see [`Self::of`].
    pub by_status: [u32; Status::ALL.len()],
    /// Protected, see [`HostRow::protected`].
    pub protected: u32,
    /// Protected, and in need of somebody although they are.
    pub protected_in_need: u32,
    /// Not protected, and in need of somebody: the others run their first backup, or somebody has acknowledged them.
    pub unprotected_in_need: u32,
    /// Proven not too long ago that it can be restored.
    pub proven: u32,
    /// Number of hosts that are connected.
    pub online: u32,
    /// Number of all hosts.
    pub total: u32,
}

impl FleetCounts {
    /// Hosts of this status.
    #[must_use]
    pub const fn of(&self, status: Status) -> u32 {
        self.by_status[status as usize]
    }

    /// Hosts that need somebody.
    #[must_use]
    pub const fn in_need(&self) -> u32 {
        self.protected_in_need + self.unprotected_in_need
    }

    /// Hosts that are not protected.
    #[must_use]
    pub const fn unprotected(&self) -> u32 {
        self.total.saturating_sub(self.protected)
    }

    /// Counts one more host, which needs somebody or not, see [`CauseGroups::in_need`](super::CauseGroups::in_need).
    pub fn count(&mut self, row: &HostRow, in_need: bool) {
        let in_need = u32::from(in_need);
        self.by_status[row.status as usize] += 1;
        self.protected += u32::from(row.protected);
        self.protected_in_need += if row.protected { in_need } else { 0 };
        self.unprotected_in_need += if row.protected { 0 } else { in_need };
        self.proven += u32::from(row.proof.status == ProofStatus::Proven);
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
    /// Has an agent that is older than this server.
    pub old_agent: bool,
    /// Needs somebody for this cause; a host that somebody has acknowledged does not.
    pub cause: Option<Cause>,
    /// Is on this storage; `Some(None)` = on none that is known.
    pub storage: Option<Option<String>>,
}

impl HostFilter {
    /// Whether a row fits.
    pub fn wanted(&self) -> impl Fn(&HostRow) -> bool {
        let q = self.q.as_ref().map(|q| q.trim().to_lowercase()).filter(|q| !q.is_empty());
        move |row| {
            let host = &row.host;
            self.state.is_none_or(|state| row.status == state)
                && (!self.old_agent || row.has_old_agent())
                && self.cause.is_none_or(|cause| row.needs_attention() && row.cause() == Some(cause))
                && self.storage.as_ref().is_none_or(|storage| row.storage.as_deref() == storage.as_deref())
                && self.label.as_ref().is_none_or(|label| host.labels.contains(label))
                && q.as_ref().is_none_or(|q| names(host).any(|name| name.to_lowercase().contains(q)))
        }
    }
}

fn names(host: &Host) -> impl Iterator<Item = &str> {
    let own = host.facts.as_ref().map(|facts| facts.hostname.as_str());
    std::iter::once(host.name.as_str()).chain(host.labels.iter().map(String::as_str)).chain(own)
}
