//! Why a host stands as it does: data; whoever shows it makes the words.

use super::host_row::Status;
use crate::record::{Hold, Unplanned, Unusual};
use crate::samples::one_of_each;
use schema::{Class, JobKind, Timestamp};
use std::collections::BTreeSet;

/// Why a host stands as it does. It holds instants and no durations, so that a host that stands as before has the same
/// reason, however long that lasts. `group` is the source group that is meant, where the host has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The last backup of every group is good and recent.
    Ok,
    /// All is well, but the last credentials test failed: the next backup will tell.
    TestFailed {
        /// Why, where that is known.
        class: Option<Class>,
    },
    /// All was well, and a job ran, when the host went away: whether it still runs, nobody can say.
    WentAway {
        /// Kind of the job.
        kind: JobKind,
        /// It only says what it would do.
        is_dry_run: bool,
    },
    /// A job runs, or waits its turn at the agent.
    Running {
        /// Kind of the job.
        kind: JobKind,
        /// It only says what it would do.
        is_dry_run: bool,
        /// Whether it has started, or waits.
        has_begun: bool,
        /// When it was made.
        since: Timestamp,
    },
    /// It has no agent yet.
    NotEnrolled,
    /// It has no repository credentials yet.
    NoRepository,
    /// It has no source group yet.
    NoGroup,
    /// It, or a group of it, was never backed up.
    Never {
        /// Name of the source group; `None` = it is the host as a whole.
        group: Option<String>,
    },
    /// The agent knows nothing of the last backup any more.
    Lost {
        /// Of which group.
        group: Option<String>,
    },
    /// The last backup failed, or was broken off.
    Failed {
        /// Of which group.
        group: Option<String>,
        /// Why, where that is known.
        class: Option<Class>,
    },
    /// Something on the host ended the last backup.
    Interrupted {
        /// Of which group.
        group: Option<String>,
    },
    /// More than half of what is usual is gone, and nobody has looked.
    Loss {
        /// From which group.
        group: Option<String>,
        /// Since when that much is gone.
        since: Timestamp,
    },
    /// The last good backup is too old.
    Old {
        /// Of which group.
        group: Option<String>,
        /// When it was.
        good_at: Timestamp,
    },
    /// The last backup left something out.
    Lacking {
        /// Of which group.
        group: Option<String>,
        /// Why, where that is known.
        class: Option<Class>,
    },
    /// No backup has made a snapshot yet.
    NoSnapshot {
        /// Of which group.
        group: Option<String>,
    },
    /// A due backup did not happen.
    Missed {
        /// When it was due.
        since: Timestamp,
    },
    /// Another machine took its place, and nobody has started its backups.
    BackupsHeld {
        /// When that machine was enrolled.
        since: Timestamp,
    },
    /// The host is away.
    Offline {
        /// Since when the host is away.
        since: Timestamp,
    },
    /// The agent can't write its state folder.
    StateFolder {
        /// Since when it can't.
        since: Timestamp,
    },
    /// The agent speaks a wire version that is not understood here.
    Wire {
        /// The version that the agent speaks.
        version: u8,
        /// When it said so.
        at: Timestamp,
    },
    /// Two machines have its identity.
    Quarantine {
        /// Since when the two are known.
        since: Timestamp,
    },
    /// The repository was not checked for too long.
    CheckOverdue {
        /// When the check was due.
        since: Timestamp,
    },
    /// A plan of it can't be kept.
    Unplanned {
        /// What the plan lacks.
        what: Unplanned,
        /// Since when it is missing.
        since: Timestamp,
    },
    /// Nothing of a source group is forgotten until somebody has looked at its snapshots.
    Held {
        /// Name of the source group.
        group: String,
        /// Why nothing of it is forgotten.
        hold: Hold,
        /// Since when that is so.
        since: Timestamp,
    },
    /// Its clock is off.
    Clock {
        /// By how much it was ahead at the last hello, in milliseconds; negative: behind.
        ahead_ms: i64,
        /// Since when the clock is wrong.
        since: Timestamp,
    },
    /// Its repository credentials were removed.
    NoCredentials,
    /// Another repository is in the place of the one that was known.
    Replaced {
        /// Since when the other one is there.
        since: Timestamp,
    },
    /// The repository has errors.
    Damaged {
        /// Since when errors are known.
        since: Timestamp,
    },
    /// A drill found files that can't be restored, or whose content is another one.
    ProofFailed {
        /// Of which group.
        group: Option<String>,
        /// When it ended.
        since: Timestamp,
    },
    /// It was never proven that it can be restored, or too long ago.
    Unproven {
        /// Which group.
        group: Option<String>,
        /// When it was proven last; `None` = never.
        proven_at: Option<Timestamp>,
        /// Since when that is too old.
        since: Timestamp,
    },
    /// It is in no schedule that is on, and nobody has said that it is backed up by hand.
    NoSchedule {
        /// Which group.
        group: Option<String>,
    },
    /// Its credentials are refused, by their last test or by the agent: the next backup will fail.
    CredentialsRefused {
        /// Why.
        class: Class,
        /// Since when that is known.
        since: Timestamp,
    },
    /// A backup did not fit in with those before it, and nobody has looked.
    Unusual {
        /// Of which group.
        group: Option<String>,
        /// In which way.
        what: Unusual,
        /// Since when that is known.
        since: Timestamp,
    },
    /// What the last backup failed of is mended, and no good backup has shown it so far.
    Mended {
        /// Of which group.
        group: Option<String>,
        /// What it failed of.
        class: Option<Class>,
        /// When it was seen to be mended.
        at: Timestamp,
    },
}

impl Reason {
    /// Its word in the API. Of a backup that did not end well it is the class's own, `other` where there is none. Two
    /// words have two variants that call for the same step: `damaged` is what a backup or a check found, and
    /// `no_credentials` what the agent or the server lacks. `proof_failed` is the class of the drill that found it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TestFailed { .. } => "test_failed",
            Self::WentAway { .. } => "went_away",
            Self::Running { .. } => "running",
            Self::NotEnrolled => "not_enrolled",
            Self::NoRepository => "no_repository",
            Self::NoGroup => "no_group",
            Self::Never { .. } => "never",
            Self::Lost { .. } => "lost",
            Self::Failed { class: Some(class), .. } | Self::Lacking { class: Some(class), .. } => {
                class.as_str()
            }
            Self::Failed { class: None, .. } | Self::Lacking { class: None, .. } => Class::Other.as_str(),
            Self::Interrupted { .. } => "interrupted",
            Self::Loss { .. } => Hold::Loss.as_str(),
            Self::Old { .. } => "old",
            Self::NoSnapshot { .. } => "no_snapshot",
            Self::Missed { .. } => "missed",
            Self::BackupsHeld { .. } => "backups_held",
            Self::Offline { .. } => "offline",
            Self::StateFolder { .. } => "state_folder",
            Self::Wire { .. } => "wire",
            Self::Quarantine { .. } => "quarantine",
            Self::CheckOverdue { .. } => "check_overdue",
            Self::Unplanned { .. } => "unplanned",
            Self::Held { hold, .. } => hold.as_str(),
            Self::Clock { .. } => "clock",
            Self::NoCredentials => "no_credentials",
            Self::Replaced { .. } => "replaced",
            Self::Damaged { .. } => "damaged",
            Self::ProofFailed { .. } => Class::ProofFailed.as_str(),
            Self::Unproven { .. } => "unproven",
            Self::NoSchedule { .. } => "no_schedule",
            Self::CredentialsRefused { .. } => "credentials_refused",
            Self::Mended { .. } => "mended",
            Self::Unusual { .. } => "unusual",
        }
    }

    /// When what the last backup failed of was seen to be mended; `None` = it was not.
    #[must_use]
    pub const fn mended_at(&self) -> Option<Timestamp> {
        if let Self::Mended { at, .. } = self { Some(*at) } else { None }
    }

    /// Since when it is so; `None` = since the last good backup, for that ends every state of backups.
    pub(crate) const fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Running { since, .. }
            | Self::Loss { since, .. }
            | Self::Unusual { since, .. }
            | Self::Missed { since }
            | Self::BackupsHeld { since }
            | Self::Offline { since }
            | Self::StateFolder { since }
            | Self::Wire { at: since, .. }
            | Self::Quarantine { since }
            | Self::CheckOverdue { since }
            | Self::Unplanned { since, .. }
            | Self::Held { since, .. }
            | Self::Clock { since, .. }
            | Self::Replaced { since }
            | Self::ProofFailed { since, .. }
            | Self::Unproven { since, .. }
            | Self::CredentialsRefused { since, .. }
            | Self::Damaged { since } => Some(*since),
            Self::Ok
            | Self::TestFailed { .. }
            | Self::WentAway { .. }
            | Self::NotEnrolled
            | Self::NoRepository
            | Self::NoGroup
            | Self::Never { .. }
            | Self::Lost { .. }
            | Self::Failed { .. }
            | Self::Interrupted { .. }
            | Self::Old { .. }
            | Self::Lacking { .. }
            | Self::NoSnapshot { .. }
            | Self::NoSchedule { .. }
            // That it is mended does not end it.
            | Self::Mended { .. }
            | Self::NoCredentials => None,
        }
    }

    /// Tells a state from others, and from the same one at another time; `good_at` is the last good backup. It is kept
    /// with acknowledgements.
    pub(crate) fn mark(&self, status: Status, good_at: Option<Timestamp>) -> String {
        // What is only remarked of a host that is well is no state of its own.
        let code = match self {
            Self::TestFailed { .. } | Self::WentAway { .. } => Self::Ok.code(),
            known => known.code(),
        };
        // Each backup by hand leaves it as it is.
        let good_at = good_at.filter(|_| !matches!(self, Self::NoSchedule { .. }));
        let since = self.since().or(good_at).unwrap_or_default();
        format!("{}.{code}.{}", status.as_str(), since.0)
    }

    /// The same at no time: what is equal has the same cause on any host, whenever it began.
    #[must_use]
    pub fn timeless(&self) -> Self {
        let mut same = self.clone();
        match &mut same {
            Self::Running { since: at, .. }
            | Self::Loss { since: at, .. }
            | Self::Unusual { since: at, .. }
            | Self::Old { good_at: at, .. }
            | Self::Missed { since: at }
            | Self::BackupsHeld { since: at }
            | Self::Offline { since: at }
            | Self::StateFolder { since: at }
            | Self::Wire { at, .. }
            | Self::Quarantine { since: at }
            | Self::CheckOverdue { since: at }
            | Self::Unplanned { since: at, .. }
            | Self::Held { since: at, .. }
            | Self::Replaced { since: at }
            | Self::ProofFailed { since: at, .. }
            | Self::CredentialsRefused { since: at, .. }
            | Self::Mended { at, .. }
            | Self::Damaged { since: at } => *at = Timestamp::default(),
            Self::Unproven { since, proven_at, .. } => {
                *since = Timestamp::default();
                *proven_at = proven_at.map(|_| Timestamp::default());
            }
            Self::Clock { since, ahead_ms } => {
                // Which way it is off is a cause; how far is not.
                (*since, *ahead_ms) = (Timestamp::default(), ahead_ms.signum());
            }
            Self::Ok
            | Self::TestFailed { .. }
            | Self::WentAway { .. }
            | Self::NotEnrolled
            | Self::NoRepository
            | Self::NoGroup
            | Self::Never { .. }
            | Self::Lost { .. }
            | Self::Failed { .. }
            | Self::Interrupted { .. }
            | Self::Lacking { .. }
            | Self::NoSnapshot { .. }
            | Self::NoSchedule { .. }
            | Self::NoCredentials => {}
        }
        same
    }

    /// One of each kind, as of `at`: what the words and the description of the API are tried with.
    #[must_use]
    pub fn samples(at: Timestamp) -> Vec<Self> {
        let (group, class) = (|| Some("etc".to_owned()), Some(Class::Auth));
        one_of_each!(Self {
            Self::Ok => Self::Ok,
            Self::TestFailed { .. } => Self::TestFailed { class },
            Self::WentAway { .. } => Self::WentAway { kind: JobKind::Backup, is_dry_run: false },
            Self::Running { .. } =>
                Self::Running { kind: JobKind::Forget, is_dry_run: true, has_begun: true, since: at },
            Self::NotEnrolled => Self::NotEnrolled,
            Self::NoRepository => Self::NoRepository,
            Self::NoGroup => Self::NoGroup,
            Self::Never { .. } => Self::Never { group: group() },
            Self::Lost { .. } => Self::Lost { group: group() },
            Self::Failed { .. } => Self::Failed { group: group(), class },
            Self::Interrupted { .. } => Self::Interrupted { group: group() },
            Self::Loss { .. } => Self::Loss { group: group(), since: at },
            Self::Old { .. } => Self::Old { group: group(), good_at: at },
            Self::Lacking { .. } => Self::Lacking { group: group(), class: Some(Class::SourceUnreadable) },
            Self::NoSnapshot { .. } => Self::NoSnapshot { group: group() },
            Self::Missed { .. } => Self::Missed { since: at },
            Self::BackupsHeld { .. } => Self::BackupsHeld { since: at },
            Self::Offline { .. } => Self::Offline { since: at },
            Self::StateFolder { .. } => Self::StateFolder { since: at },
            Self::Wire { .. } => Self::Wire { version: 9, at },
            Self::Quarantine { .. } => Self::Quarantine { since: at },
            Self::CheckOverdue { .. } => Self::CheckOverdue { since: at },
            Self::Unplanned { .. } =>
                Self::Unplanned { what: Unplanned::Cron { schedule: "nightly".to_owned() }, since: at },
            Self::Held { .. } => Self::Held { group: "etc".to_owned(), hold: Hold::Unsized, since: at },
            Self::Clock { .. } => Self::Clock { ahead_ms: -7_200_000, since: at },
            Self::NoCredentials => Self::NoCredentials,
            Self::Replaced { .. } => Self::Replaced { since: at },
            Self::Damaged { .. } => Self::Damaged { since: at },
            Self::ProofFailed { .. } => Self::ProofFailed { group: group(), since: at },
            Self::Unproven { .. } => Self::Unproven { group: group(), proven_at: Some(at), since: at },
            Self::NoSchedule { .. } => Self::NoSchedule { group: group() },
            Self::CredentialsRefused { .. } => Self::CredentialsRefused { class: Class::Auth, since: at },
            Self::Mended { .. } => Self::Mended { group: group(), class: Some(Class::Network), at },
            Self::Unusual { .. } =>
                Self::Unusual { group: group(), what: Unusual::AlmostAllChanged, since: at },
        })
    }

    /// All words that [`Self::code`] may say.
    #[must_use]
    pub fn codes() -> BTreeSet<&'static str> {
        let mut codes: BTreeSet<_> = Self::samples(Timestamp::default()).iter().map(Self::code).collect();
        codes.extend(Class::ALL.map(Class::as_str));
        codes.insert(Hold::TooManyLacking.as_str());
        codes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_word_of_its_own() {
        let samples = Reason::samples(Timestamp(1));
        let of_class = |reason: &&Reason| matches!(reason, Reason::Failed { .. } | Reason::Lacking { .. });
        let own: Vec<_> = samples.iter().filter(|reason| !of_class(reason)).map(Reason::code).collect();
        let different: BTreeSet<_> = own.iter().copied().collect();
        assert_eq!(own.len(), different.len(), "{own:?}");
        let is_snake = |code: &str| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(Reason::codes().into_iter().all(is_snake));
        let classes = BTreeSet::from(Class::ALL.map(Class::as_str));
        let shared: Vec<_> = different.intersection(&classes).copied().collect();
        assert_eq!(shared, ["damaged", "no_credentials", "proof_failed"], "the step is the same");
    }

    #[test]
    fn a_reason_at_no_time_is_the_same_whenever_it_began() {
        let (one, other) = (Reason::samples(Timestamp(1)), Reason::samples(Timestamp(2)));
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one.timeless(), other.timeless());
            assert_eq!(one.code(), other.code());
        }
        let clock = |ahead_ms| Reason::Clock { ahead_ms, since: Timestamp(1) }.timeless();
        assert_eq!(clock(5), clock(6));
        assert_ne!(clock(5), clock(-5));
    }
}
