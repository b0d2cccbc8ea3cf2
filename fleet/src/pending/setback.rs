//! Why a due backup waits, and why one was given up: data; whoever shows it makes the words.

use crate::record::{GivenUp, PendingRun, TryError};
use crate::refused::Refused;
use crate::samples::one_of_each;
use schema::{Class, Refusal};

/// Why a try came to nothing, or is not made yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setback {
    /// The host is not connected.
    HostOffline,
    /// No agent is enrolled.
    HostNotEnrolled,
    /// The agent speaks a wire version that is not understood here.
    WireUnsupported,
    /// The everyday slot is empty.
    RepoCredsRequired,
    /// Another host uses the repository.
    RepoBusy,
    /// The host's outbox is full.
    QueueFull,
    /// The host holds as many jobs as it can.
    NoRoom,
    /// The server refused the backup for another reason.
    Refused(Refused),
    /// The agent refused the job.
    AgentRefused {
        /// Why the agent refused it.
        refusal: Refusal,
        /// What it said of that.
        said: String,
    },
    /// The backup failed.
    Failed(Class),
    /// The agent knows nothing of the backup any more.
    Lost,
    /// Something on the host ended the backup.
    Interrupted,
    /// The server took the backup back.
    Withdrawn {
        /// What it said of that.
        said: String,
    },
    /// The agent never answered.
    NoAnswer {
        /// What the job says of that.
        said: String,
    },
    /// The backup made no snapshot.
    NoSnapshot,
    /// Another machine took the host's place, and nobody has started its backups.
    BackupsHeld,
}

impl Setback {
    /// Those that are known by their code alone, but for classes.
    const PLAIN: &[Self] = &[
        Self::HostOffline,
        Self::HostNotEnrolled,
        Self::WireUnsupported,
        Self::RepoCredsRequired,
        Self::RepoBusy,
        Self::QueueFull,
        Self::NoRoom,
        Self::Lost,
        Self::Interrupted,
        Self::NoSnapshot,
        Self::BackupsHeld,
    ];

    /// Its word in the API: a code of a refusal, a class or an agent's refusal, or one of its own.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::HostOffline => Refused::HostOffline.code(),
            Self::HostNotEnrolled => Refused::HostNotEnrolled.code(),
            Self::WireUnsupported => Refused::WireUnsupported.code(),
            Self::RepoCredsRequired => Refused::RepoCredsRequired.code(),
            Self::RepoBusy => "repo_busy",
            Self::QueueFull => Refused::QueueFull.code(),
            Self::NoRoom => "no_room",
            Self::Refused(refused) => refused.code(),
            Self::AgentRefused { refusal, .. } => refusal.as_str(),
            Self::Failed(class) => class.as_str(),
            Self::Lost => "lost",
            Self::Interrupted => "interrupted",
            Self::Withdrawn { .. } => "withdrawn",
            Self::NoAnswer { .. } => "no_answer",
            Self::NoSnapshot => "no_snapshot",
            Self::BackupsHeld => Refused::BackupsHeld.code(),
        }
    }

    /// Whether it is that the host is away.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::HostOffline | Self::HostNotEnrolled | Self::WireUnsupported)
    }

    /// What was said of it that its code does not tell.
    pub(super) fn said(&self) -> String {
        match self {
            Self::Refused(refused) => refused.to_string(),
            Self::AgentRefused { said, .. } | Self::Withdrawn { said } | Self::NoAnswer { said } => {
                said.clone()
            }
            _ => String::new(),
        }
    }

    /// One of each kind: what the words are tried with.
    #[must_use]
    pub fn samples() -> Vec<Self> {
        let said = || "this and that".to_owned();
        one_of_each!(Self {
            Self::HostOffline => Self::HostOffline,
            Self::HostNotEnrolled => Self::HostNotEnrolled,
            Self::WireUnsupported => Self::WireUnsupported,
            Self::RepoCredsRequired => Self::RepoCredsRequired,
            Self::RepoBusy => Self::RepoBusy,
            Self::QueueFull => Self::QueueFull,
            Self::NoRoom => Self::NoRoom,
            Self::Refused(_) => Self::Refused(Refused::GroupNotFound),
            Self::AgentRefused { .. } => Self::AgentRefused { refusal: Refusal::StateFolder, said: said() },
            Self::Failed(_) => Self::Failed(Class::Network),
            Self::Lost => Self::Lost,
            Self::Interrupted => Self::Interrupted,
            Self::Withdrawn { .. } => Self::Withdrawn { said: said() },
            Self::NoAnswer { .. } => Self::NoAnswer { said: said() },
            Self::NoSnapshot => Self::NoSnapshot,
            Self::BackupsHeld => Self::BackupsHeld,
        })
    }
}

impl From<&Refused> for Setback {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::HostOffline => Self::HostOffline,
            Refused::HostNotEnrolled => Self::HostNotEnrolled,
            Refused::WireUnsupported => Self::WireUnsupported,
            Refused::RepoCredsRequired => Self::RepoCredsRequired,
            Refused::RepoBusy { .. } => Self::RepoBusy,
            Refused::QueueFull => Self::QueueFull,
            Refused::BackupsHeld => Self::BackupsHeld,
            other => Self::Refused(other.clone()),
        }
    }
}

impl TryError {
    /// What its code tells alone; `None` = what it is about is in its message.
    #[must_use]
    pub fn setback(&self) -> Option<Setback> {
        let plain = Setback::PLAIN.iter().find(|setback| setback.code() == self.code).cloned();
        plain
            .or_else(|| Class::ALL.into_iter().find(|class| class.as_str() == self.code).map(Setback::Failed))
    }

    /// Whether the host is away.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.setback().is_some_and(|setback| setback.is_away())
    }
}

/// Why a due backup was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// The source group is gone.
    GroupGone,
    /// The schedule is gone, or does not name the source group any more.
    ScheduleGone,
    /// The schedule or the source group is gone.
    PlanGone,
    /// As many tries came to nothing as are allowed; the run holds how many, and the last one's end.
    Tries,
    /// Another try would not mend what the last one met.
    NoUse,
}

impl GiveUp {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::GroupGone, Self::ScheduleGone, Self::PlanGone, Self::Tries, Self::NoUse];

    /// The stable word for it in the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::GroupGone => "group_gone",
            Self::ScheduleGone => "schedule_gone",
            Self::PlanGone => "plan_gone",
            Self::Tries => "tries",
            Self::NoUse => "no_use",
        }
    }

    /// What the audit says of it: words, and the code of the last try's end.
    pub(super) fn detail(self, run: &PendingRun) -> String {
        let last = run.last_error.as_ref().map_or("", |error| error.code.as_str());
        match self {
            Self::GroupGone => "the source group is gone".to_owned(),
            Self::ScheduleGone => {
                "the schedule is gone, or does not name the source group any more".to_owned()
            }
            Self::PlanGone => "the schedule or the source group is gone".to_owned(),
            Self::Tries if run.attempt == 1 => format!("one try: {last}"),
            Self::Tries => format!("{} tries; last: {last}", run.attempt),
            Self::NoUse => format!("another try would not mend it: {last}"),
        }
    }
}

impl GivenUp {
    /// Why; `None` = it is of an older server, which wrote the words.
    #[must_use]
    pub fn why(&self) -> Option<GiveUp> {
        GiveUp::ALL.into_iter().find(|why| why.code() == self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Timestamp;
    use std::collections::BTreeSet;

    #[test]
    fn each_setback_has_a_word_of_its_own() {
        let samples = Setback::samples();
        let codes: BTreeSet<_> = samples.iter().map(Setback::code).collect();
        assert_eq!(codes.len(), samples.len(), "{codes:?}");
        let codes = GiveUp::ALL.map(GiveUp::code);
        assert_eq!(BTreeSet::from(codes).len(), codes.len(), "{codes:?}");
    }

    #[test]
    fn what_says_all_with_its_word_is_known_by_it() {
        for setback in Setback::samples() {
            let (code, message) = (setback.code().to_owned(), setback.said());
            let stored = TryError { at: Timestamp(1), code, message, job: None };
            let known = stored.setback();
            assert_eq!(known.is_some(), stored.message.is_empty(), "{setback:?}");
            assert!(known.is_none_or(|known| known == setback), "{setback:?}");
        }
    }
}
