//! What an ended backup means for the run that it was dispatched for, and when the next try comes: pure.

use super::setback::Setback;
use crate::record::{EndedBy, Job, JobState};
use crate::summary::is_good;
use schema::{Class, PendingId, Refusal};
use sha2::{Digest, Sha256};

/// The first try comes again after this.
const FIRST_MS: u64 = 30_000;
/// No try is further away than this, jitter included.
pub(crate) const LONGEST_MS: u64 = 30 * 60_000;
/// What the delay may be before its jitter of up to a quarter.
const LONGEST_BASE_MS: u64 = LONGEST_MS * 4 / 5;

/// How long until the next try, when `attempt` tries (at least one) came to nothing. The jitter depends on the run
/// alone, so that planning twice says the same, and a thousand runs do not come back together.
pub(crate) fn backoff_ms(run: PendingId, attempt: u16) -> u64 {
    let doubled = FIRST_MS.checked_shl(u32::from(attempt.saturating_sub(1))).unwrap_or(LONGEST_BASE_MS);
    let base = if attempt > 16 { LONGEST_BASE_MS } else { doubled.min(LONGEST_BASE_MS) };
    let digest = Sha256::new().chain_update(run.0).chain_update(attempt.to_be_bytes()).finalize();
    let dice = u64::from(digest[0]) << 8 | u64::from(digest[1]);
    base + base / 4 * dice / 65_536
}

/// How a try to do a pending run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TryResult {
    /// There is a good backup: the run is done.
    Done,
    /// A person ended it, and meant it. The next occurrence runs as always.
    Dropped,
    /// It may go better next time.
    Again(Setback),
    /// The host itself puts it off. That is no try: it is looked again and again, until it fits.
    Later(Setback),
    /// It goes the same way until a person does something. Trying on would only hide that, and hammer a storage
    /// with wrong passwords: the run is given up, which shows, and the next occurrence tries again.
    GiveUp(Setback),
}

/// Judges a backup that has ended.
pub(crate) fn judge(job: &Job) -> TryResult {
    if is_good(job) {
        return TryResult::Done;
    }
    // Whatever its end was called: who wanted it ended does not want it again.
    if job.is_cancelled_by_person() {
        return TryResult::Dropped;
    }
    let said = || job.message.to_string();
    match job.ended_by() {
        Some(EndedBy::Person) => return TryResult::Dropped,
        Some(EndedBy::Policy) => return TryResult::Later(Setback::Failed(Class::NotNow)),
        Some(EndedBy::Agent) if job.state == JobState::Lost => return TryResult::Again(Setback::Lost),
        Some(EndedBy::Agent) => return TryResult::Again(Setback::Failed(Class::AgentRestarted)),
        Some(EndedBy::Machine) => return TryResult::Again(Setback::Interrupted),
        Some(EndedBy::Server) => return TryResult::Again(Setback::Withdrawn { said: said() }),
        None => {}
    }
    match (job.state, job.refusal, job.class) {
        (_, Some(refusal), None) => {
            let setback = Setback::AgentRefused { refusal, said: said() };
            if refusal == Refusal::Unsupported {
                TryResult::GiveUp(setback)
            } else {
                TryResult::Again(setback)
            }
        }
        (JobState::Failed, None, None) if job.presumed => {
            TryResult::Again(Setback::NoAnswer { said: said() })
        }
        (JobState::Failed | JobState::Warning, _, class) => {
            let class = class.unwrap_or(Class::Other);
            let setback = Setback::Failed(class);
            if may_mend_itself(class) { TryResult::Again(setback) } else { TryResult::GiveUp(setback) }
        }
        _ => TryResult::Again(Setback::NoSnapshot),
    }
}

/// Whether a failure of this class can be gone at the next try with nobody doing anything.
const fn may_mend_itself(class: Class) -> bool {
    match class {
        // A certificate is renewed, and what answered in the storage's place, as the portal of a network does, goes away.
        // Others finish, links come back, space is freed by a prune, a hook's database is up again. The agent has
        // no credentials while they are on their way to it.
        Class::RepoLocked
        | Class::Network
        | Class::Timeout
        | Class::AgentRestarted
        | Class::Cancelled
        | Class::DiskFull
        | Class::Hook
        | Class::NoCredentials
        | Class::NotNow
        | Class::SourceUnreadable
        | Class::UnknownAuthority
        | Class::WrongName
        | Class::CertificateExpired
        | Class::NoTls
        | Class::UnknownHostKey
        | Class::HostKeyChanged
        | Class::Other => true,
        Class::Auth
        | Class::RepoMissing
        | Class::RepoExists
        | Class::AppendOnly
        | Class::SourceMissing
        | Class::SourceEmpty
        | Class::ResticMissing
        | Class::Damaged
        | Class::Policy
        | Class::NotTried
        | Class::OtherRepo
        | Class::InvalidPattern
        | Class::NeedsTls
        | Class::ProofFailed
        | Class::NotInSnapshot
        | Class::NotDownloadable => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_spread_from_half_a_minute_to_half_an_hour() {
        let run = PendingId([9; 16]);
        assert!((30_000..=37_500).contains(&backoff_ms(run, 1)));
        assert!((60_000..=75_000).contains(&backoff_ms(run, 2)));
        for attempt in 1..=u16::MAX {
            let delay = backoff_ms(run, attempt);
            assert!((FIRST_MS..=LONGEST_MS).contains(&delay), "{attempt}: {delay}");
            assert!(attempt < 9 || delay >= LONGEST_BASE_MS);
        }
        let firsts: std::collections::BTreeSet<u64> =
            (0..100).map(|n| backoff_ms(PendingId([n; 16]), 1)).collect();
        assert!(firsts.len() > 90, "runs are spread");
    }
}
