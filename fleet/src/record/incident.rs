use super::{Actor, AgentGone, ChannelId, Hold, Unusual};
use crate::samples::one_of_each;
use crate::units::DAY_MS;
use schema::{Class, HostId, IncidentId, Refusal, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Why hosts, or the server itself, need somebody: the same for all whom one incident meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    /// The last backup failed, or the agent's end broke it off.
    Failed {
        /// Why; `None` = that is not known.
        class: Option<Class>,
        /// Why the agent refused it; `None` = it did not.
        refusal: Option<Refusal>,
    },
    /// The agent knows nothing of the last backup any more.
    Lost {
        /// What took the agent away; `None` = nothing that is known.
        gone: Option<AgentGone>,
    },
    /// Something on the host ended the last backup.
    Interrupted,
    /// The last backup left something out.
    Lacking {
        /// Why; `None` = that is not known.
        class: Option<Class>,
    },
    /// More than half of what is usual is gone.
    Loss,
    /// The last good backup is too old.
    Old,
    /// No backup has made a snapshot yet.
    NoSnapshot,
    /// It was never backed up.
    Never,
    /// It has no agent yet.
    NotEnrolled,
    /// It has no repository yet.
    NoRepository,
    /// It has no source group yet.
    NoGroup,
    /// A due backup did not happen.
    Missed,
    /// Another machine took its place, and nobody has started its backups.
    BackupsHeld,
    /// It is away.
    Offline,
    /// The agent can't write its state folder.
    StateFolder,
    /// The agent speaks a wire version that is not understood here.
    Wire,
    /// Two machines have its identity.
    Quarantine,
    /// The repository was not checked for too long.
    CheckOverdue,
    /// A plan of it can't be kept.
    Unplanned,
    /// Nothing of a source group is forgotten until somebody has looked at it.
    Held {
        /// Why.
        hold: Hold,
    },
    /// Its clock is off.
    Clock {
        /// Behind; else ahead.
        is_behind: bool,
    },
    /// Its repository credentials were removed.
    NoCredentials,
    /// Another repository is in the place of the one that was known.
    Replaced,
    /// The repository has errors.
    Damaged,
    /// A drill found files that can't be restored, or are different.
    ProofFailed,
    /// It was not proven for too long that it can be restored.
    Unproven,
    /// Of the server: one of its certificates expires soon.
    Certificate,
    /// Of the server: its disk is nearly full.
    ServerDisk,
    /// Of the server: its newest archive is too old.
    ArchiveLate,
    /// A source group is in no schedule that is on, and nobody has said that it is backed up by hand.
    NoSchedule,
    /// Its credentials are refused, by their last test or by the agent: the next backup will fail.
    CredentialsRefused {
        /// Why.
        class: Class,
    },
    /// Of the server: a channel by which it tells of incidents fails.
    Channel,
    /// A backup did not fit in with those before it, and nobody has looked.
    Unusual {
        /// In which way.
        what: Unusual,
    },
    /// Of the server: a standby asks for nothing any more, or can use nothing of what it is sent.
    StandbyLate,
}

impl Cause {
    /// Its word in the API: that of a host's reason, where it is the same.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Failed { class: Some(class), .. } | Self::Lacking { class: Some(class) } => class.as_str(),
            Self::Failed { class: None, .. } | Self::Lacking { class: None } => Class::Other.as_str(),
            Self::Lost { .. } => "lost",
            Self::Interrupted => "interrupted",
            Self::Loss => Hold::Loss.as_str(),
            Self::Old => "old",
            Self::NoSnapshot => "no_snapshot",
            Self::Never => "never",
            Self::NotEnrolled => "not_enrolled",
            Self::NoRepository => "no_repository",
            Self::NoGroup => "no_group",
            Self::Missed => "missed",
            Self::BackupsHeld => "backups_held",
            Self::Offline => "offline",
            Self::StateFolder => "state_folder",
            Self::Wire => "wire",
            Self::Quarantine => "quarantine",
            Self::CheckOverdue => "check_overdue",
            Self::Unplanned => "unplanned",
            Self::Held { hold } => hold.as_str(),
            Self::Clock { .. } => "clock",
            Self::NoCredentials => "no_credentials",
            Self::Replaced => "replaced",
            Self::Damaged => "damaged",
            Self::ProofFailed => Class::ProofFailed.as_str(),
            Self::Unproven => "unproven",
            Self::Certificate => "certificate",
            Self::ServerDisk => "server_disk",
            Self::ArchiveLate => "archive_late",
            Self::NoSchedule => "no_schedule",
            Self::CredentialsRefused { .. } => "credentials_refused",
            Self::Channel => "channel",
            Self::Unusual { .. } => "unusual",
            Self::StandbyLate => "standby_late",
        }
    }

    /// A word that no other cause has: [`Self::code`], and what tells it from others of that word.
    #[must_use]
    pub fn key(self) -> String {
        let code = self.code();
        let of = |class: Option<Class>| class.map_or("unknown", Class::as_str);
        match self {
            Self::Failed { class, refusal: None } => format!("failed.{}", of(class)),
            Self::Failed { class, refusal: Some(refusal) } => {
                format!("failed.{}.{}", of(class), refusal.as_str())
            }
            Self::Lacking { class } => format!("lacking.{}", of(class)),
            Self::Lost { gone: Some(gone) } => format!("{code}.{}", gone.as_str()),
            Self::Held { hold: Hold::Unusual(what) } => format!("held.{code}.{}", what.as_str()),
            Self::Held { .. } => format!("held.{code}"),
            Self::Unusual { what } => format!("{code}.{}", what.as_str()),
            Self::Clock { is_behind } => format!("{code}.{}", if is_behind { "behind" } else { "ahead" }),
            Self::CredentialsRefused { class } => format!("{code}.{}", class.as_str()),
            _ => code.to_owned(),
        }
    }

    /// The cause of this [`Self::key`].
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        Self::all().find(|cause| cause.key() == key)
    }

    /// Each cause that there may be.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let classes = || Class::ALL.into_iter().map(Some).chain([None]);
        let refusals = || Refusal::ALL.into_iter().map(Some).chain([None]);
        let failed = classes().flat_map(move |class| refusals().map(move |refusal| (class, refusal)));
        let gone = AgentGone::ALL.into_iter().map(Some).chain([None]);
        (failed.map(|(class, refusal)| Self::Failed { class, refusal }))
            .chain(classes().map(|class| Self::Lacking { class }))
            .chain(gone.map(|gone| Self::Lost { gone }))
            .chain(Hold::ALL.map(|hold| Self::Held { hold }))
            .chain([true, false].map(|is_behind| Self::Clock { is_behind }))
            .chain(Class::ALL.map(|class| Self::CredentialsRefused { class }))
            .chain(Unusual::ALL.map(|what| Self::Unusual { what }))
            .chain(Self::samples().into_iter().filter(|cause| cause.key() == cause.code()))
    }

    /// Whether it is of the server itself.
    #[must_use]
    pub const fn is_of_server(self) -> bool {
        matches!(
            self,
            Self::Certificate | Self::ServerDisk | Self::ArchiveLate | Self::Channel | Self::StandbyLate
        )
    }

    /// One of each kind: what the words and the description of the API are tried with.
    #[must_use]
    pub fn samples() -> Vec<Self> {
        one_of_each!(Self {
            Self::Failed { .. } => Self::Failed { class: Some(Class::Network), refusal: None },
            Self::Lost { .. } => Self::Lost { gone: None },
            Self::Interrupted => Self::Interrupted,
            Self::Lacking { .. } => Self::Lacking { class: Some(Class::SourceUnreadable) },
            Self::Loss => Self::Loss,
            Self::Old => Self::Old,
            Self::NoSnapshot => Self::NoSnapshot,
            Self::Never => Self::Never,
            Self::NotEnrolled => Self::NotEnrolled,
            Self::NoRepository => Self::NoRepository,
            Self::NoGroup => Self::NoGroup,
            Self::Missed => Self::Missed,
            Self::BackupsHeld => Self::BackupsHeld,
            Self::Offline => Self::Offline,
            Self::StateFolder => Self::StateFolder,
            Self::Wire => Self::Wire,
            Self::Quarantine => Self::Quarantine,
            Self::CheckOverdue => Self::CheckOverdue,
            Self::Unplanned => Self::Unplanned,
            Self::Held { .. } => Self::Held { hold: Hold::Unsized },
            Self::Clock { .. } => Self::Clock { is_behind: true },
            Self::NoCredentials => Self::NoCredentials,
            Self::Replaced => Self::Replaced,
            Self::Damaged => Self::Damaged,
            Self::ProofFailed => Self::ProofFailed,
            Self::Unproven => Self::Unproven,
            Self::Certificate => Self::Certificate,
            Self::ServerDisk => Self::ServerDisk,
            Self::ArchiveLate => Self::ArchiveLate,
            Self::NoSchedule => Self::NoSchedule,
            Self::CredentialsRefused { .. } => Self::CredentialsRefused { class: Class::Auth },
            Self::Channel => Self::Channel,
            Self::Unusual { .. } => Self::Unusual { what: Unusual::AlmostAllChanged },
            Self::StandbyLate => Self::StandbyLate,
        })
    }

    /// All words that [`Self::code`] may say.
    #[must_use]
    pub fn codes() -> BTreeSet<&'static str> {
        let mut codes: BTreeSet<_> = Self::samples().into_iter().map(Self::code).collect();
        codes.extend(Class::ALL.map(Class::as_str));
        codes.extend(Hold::ALL.map(Hold::as_str));
        codes
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// What was saved is safe; somebody should look.
    Warning,
    /// Backups don't happen, or may be worth nothing.
    Critical,
}

impl Severity {
    /// Both, the lesser first.
    pub const ALL: [Self; 2] = [Self::Warning, Self::Critical];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Whom an incident meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The server itself.
    Server,
    /// A host.
    Host(HostId),
    /// A channel of notices.
    Channel(ChannelId),
}

/// How one of those whom an incident meets stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Met {
    /// Since when it has the cause, as far as is known.
    pub since: Timestamp,
    /// When it had it no more, and why; `None` = it still has it.
    pub left: Option<(Timestamp, Left)>,
}

/// Why a host does not have a cause any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Left {
    /// It is well.
    Recovered,
    /// It has another cause now, which is an incident of its own.
    OtherCause,
}

/// What ended an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The last one whom it met is well.
    Recovered,
    /// The last ones whom it met have another cause now.
    OtherCause,
    /// The hosts that it met were deleted, or the channels switched off or deleted.
    HostsDeleted,
}

impl Ending {
    /// All variants.
    pub const ALL: [Self; 3] = [Self::Recovered, Self::OtherCause, Self::HostsDeleted];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::OtherCause => "other_cause",
            Self::HostsDeleted => "hosts_deleted",
        }
    }
}

/// A cause and whom it meets. Whom, stands in rows of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its id; later ones sort later.
    pub id: IncidentId,
    /// Why.
    pub cause: Cause,
    /// At which storage; `None` = the cause is of none, or nobody knows.
    pub storage: Option<String>,
    /// The worst of those who have it; of one that ended, as it was last.
    pub severity: Severity,
    /// Since when the first one has it, as far as is known.
    pub since: Timestamp,
    /// When it was noticed.
    pub noticed_at: Timestamp,
    /// When its grace was over; `None` = it is still in its grace.
    pub opened_at: Option<Timestamp>,
    /// When nobody had it any more, and why; `None` = somebody has.
    pub ended: Option<(Timestamp, Ending)>,
    /// It ended, and has stayed so: it does not go on any more.
    pub is_settled: bool,
    /// The most that had it at once.
    pub most: u32,
    /// When it was last seen to be worse, and how many had it before and then.
    pub worsened: Option<Worsened>,
    /// What the last notice of it said; `None` = there was none.
    pub noted: Option<Noted>,
    /// Who lets it rest.
    pub ack: Option<IncidentAck>,
    /// Hosts of this one went on to it with another cause.
    pub follows: Option<IncidentId>,
}

/// When an incident has become worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worsened {
    /// When that was seen.
    pub at: Timestamp,
    /// How many had it when it was last noted.
    pub from: u32,
    /// How many had it then.
    pub to: u32,
}

/// What notices of an incident have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// When the last one was.
    pub at: Timestamp,
    /// The worst that was said.
    pub severity: Severity,
    /// The most hosts that were said.
    pub count: u32,
}

/// An incident rests no longer than this, in milliseconds: then it is told again.
pub(crate) const LONGEST_REST_MS: u64 = 30 * DAY_MS;

/// Somebody knows of an incident and lets it rest for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentAck {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Until when it rests.
    pub until: Timestamp,
    /// What they say to others; may be empty.
    pub note: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_key_of_its_own_by_which_it_is_found() {
        let mut keys = BTreeSet::new();
        for cause in Cause::all() {
            if keys.insert(cause.key()) {
                assert_eq!(Cause::from_key(&cause.key()), Some(cause));
            }
            assert!(cause.key().bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte)));
        }
        for sample in Cause::samples() {
            assert_eq!(Cause::from_key(&sample.key()), Some(sample));
        }
        let different: BTreeSet<Cause> = Cause::all().collect();
        assert_eq!(different.len(), keys.len(), "no two have one key");
        assert_eq!(Cause::from_key("auth"), None, "of a backup that failed, or lacks something?");
    }
}
