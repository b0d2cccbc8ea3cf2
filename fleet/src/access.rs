//! What is known of a host's way into its repository beside what became of its backups: whether its credentials are refused,
//! and whether what a backup failed of is mended. Pure.
//!
//! Only what was tried counts: credentials that were changed and never tested mend nothing.

use crate::record::{CredentialsRow, Ended, HostFacts, RepoState, Summary};
use schema::{Class, Refusal, Timestamp};

/// When what a host needs for its backups was last seen to work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// The everyday credentials, as they are now, have opened the repository.
    pub(crate) opened_at: Option<Timestamp>,
    /// The storage has answered, whichever credentials were used.
    pub(crate) reached_at: Option<Timestamp>,
    /// No lock was found in the repository.
    pub(crate) unlocked_at: Option<Timestamp>,
    /// The agent has said that it has restic.
    pub(crate) restic_at: Option<Timestamp>,
    /// Since when the credentials stand that the agent does not take, since its machine's owner does not allow it.
    pub(crate) not_taken_since: Option<Timestamp>,
}

impl Access {
    pub(crate) fn new(
        repo: Option<&RepoState>,
        credentials: Option<&CredentialsRow>,
        facts: Option<&HostFacts>,
    ) -> Self {
        let tested = repo.and_then(|repo| repo.tested.as_ref());
        let opened_at = tested.filter(|tested| tested.well).map(|tested| tested.at);
        // What other hosts see is no word on this one's way there.
        let seen = repo.map(|repo| {
            let own = |at, by: Option<_>| Some(at).filter(|_| by.is_none());
            [
                repo.snapshots.as_ref().map(|seen| seen.at),
                repo.check.as_ref().and_then(|seen| own(seen.at, seen.by)),
                repo.prune.as_ref().and_then(|seen| own(seen.at, seen.by)),
            ]
        });
        let lock = repo.and_then(|repo| repo.lock.as_ref());
        let other_sees_one = repo.is_some_and(|repo| repo.told.lock.is_some());
        let is_refused = |row: &&CredentialsRow| {
            row.refused.is_some_and(|(revision, why)| revision == row.revision && why == Refusal::Policy)
        };
        let not_taken = credentials.filter(is_refused).and_then(|row| row.facts.as_ref());
        Self {
            opened_at,
            reached_at: seen.into_iter().flatten().flatten().chain(opened_at).max(),
            unlocked_at: lock.filter(|lock| lock.holder.is_none() && !other_sees_one).map(|lock| lock.at),
            restic_at: facts.filter(|facts| !facts.restic_version.is_empty()).map(|facts| facts.at),
            not_taken_since: not_taken.map(|facts| facts.updated_at),
        }
    }

    /// When it was seen, after a backup had failed, that what it failed of is no more; `None` = it was not.
    pub(crate) fn mended_at(&self, failed: &Ended) -> Option<Timestamp> {
        if failed.refusal.is_some() {
            return None;
        }
        let at = match failed.class? {
            Class::Network | Class::Timeout => self.reached_at,
            Class::RepoLocked => self.unlocked_at,
            Class::ResticMissing => self.restic_at,
            class if is_refusal(class) => self.opened_at,
            _ => None,
        };
        at.filter(|at| *at > failed.at)
    }

    /// Since when the credentials are known to be refused, and why: by their last test, unless a good backup came after it,
    /// or by the agent.
    pub(crate) fn refused(&self, summary: &Summary) -> Option<(Timestamp, Class)> {
        let newer = |at: &Timestamp| summary.last_good_at().is_none_or(|good| *at > good);
        let failed = summary.test_failed.filter(|(at, _)| newer(at));
        let by_test = failed.and_then(|(at, class)| Some((at, class.filter(|class| is_refusal(*class))?)));
        by_test.or_else(|| self.not_taken_since.map(|since| (since, Class::Policy)))
    }
}

/// Whether a job that ended so was let in nowhere: with the same credentials the next one is not either, until a person has
/// changed something. A storage that can't be reached, or is full or locked, says nothing of them.
const fn is_refusal(class: Class) -> bool {
    matches!(
        class,
        Class::Auth
            | Class::RepoMissing
            | Class::NoCredentials
            | Class::UnknownAuthority
            | Class::WrongName
            | Class::CertificateExpired
            | Class::NoTls
            | Class::NeedsTls
            | Class::UnknownHostKey
            | Class::HostKeyChanged
            | Class::OtherRepo
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{JobState, LockHolder, LockView, SnapshotsSeen, Tested};
    use schema::JobId;

    const FAILED_AT: Timestamp = Timestamp(1_000);

    fn failed(class: Class) -> Ended {
        Ended {
            job: JobId([1; 16]),
            state: JobState::Failed,
            class: Some(class),
            refusal: None,
            agent_gone: None,
            at: FAILED_AT,
        }
    }

    fn tested(at: u64, well: bool) -> RepoState {
        let class = (!well).then_some(Class::Auth);
        let tested = Some(Tested { job: JobId([2; 16]), at: Timestamp(at), well, class });
        RepoState { tested, ..RepoState::default() }
    }

    fn mended(repo: &RepoState, class: Class) -> Option<u64> {
        Access::new(Some(repo), None, None).mended_at(&failed(class)).map(|at| at.0)
    }

    #[test]
    fn only_what_was_seen_to_work_afterwards_is_mended() {
        let listed = |at| RepoState {
            snapshots: Some(SnapshotsSeen { at: Timestamp(at), count: 3, newest_at: None }),
            ..RepoState::default()
        };
        let holder = LockHolder {
            since: Timestamp(1),
            exclusive: true,
            hostname: "attic".to_owned(),
            username: "root".to_owned(),
            pid: 1,
            stale: false,
        };
        let lock = |at, holder| RepoState {
            lock: Some(LockView { at: Timestamp(at), holder }),
            ..RepoState::default()
        };
        for (what, repo, class, at) in [
            ("the password opens it", tested(2_000, true), Class::Auth, Some(2_000)),
            ("it did before", tested(999, true), Class::Auth, None),
            ("it does not", tested(2_000, false), Class::Auth, None),
            ("never tested", RepoState::default(), Class::Auth, None),
            ("the storage is back", tested(2_000, true), Class::Network, Some(2_000)),
            ("and was listed", listed(3_000), Class::Network, Some(3_000)),
            ("which may be by another slot", listed(3_000), Class::Auth, None),
            ("no lock any more", lock(2_000, None), Class::RepoLocked, Some(2_000)),
            ("another one", lock(2_000, Some(holder)), Class::RepoLocked, None),
            ("a test looks for no lock", tested(2_000, true), Class::RepoLocked, None),
            ("nobody knows of a hook", tested(2_000, true), Class::Hook, None),
        ] {
            assert_eq!(mended(&repo, class), at, "{what}");
        }
        let refused = Ended { refusal: Some(Refusal::Policy), ..failed(Class::Auth) };
        assert_eq!(Access::new(Some(&tested(2_000, true)), None, None).mended_at(&refused), None);
    }

    #[test]
    fn credentials_are_refused_by_a_test_after_the_last_good_backup_that_was_let_in_nowhere() {
        let access = Access::default();
        let of = |class| {
            let test_failed = Some((Timestamp(5), Some(class)));
            access.refused(&Summary { test_failed, ..Summary::default() })
        };
        assert_eq!(of(Class::Auth), Some((Timestamp(5), Class::Auth)));
        for class in [Class::Network, Class::Timeout, Class::RepoLocked, Class::DiskFull, Class::Other] {
            assert_eq!(of(class), None, "{class:?}");
        }
        let not_taken = Access { not_taken_since: Some(Timestamp(7)), ..Access::default() };
        assert_eq!(not_taken.refused(&Summary::default()), Some((Timestamp(7), Class::Policy)));
    }
}
