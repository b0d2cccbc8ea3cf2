//! The lease on a repository: an exclusive job of one host and any other job of another exclude each other, from the
//! moment a job is recorded until it has ended. On one host the agent runs one after the other. What a host does for
//! another one holds the lease of that one's repository: restic takes no lock for it, which nobody could remove should
//! the agent die.
//!
//! A lease does not outlive its holder. It ends
//! - when nothing was heard of its host for [`LEASE_MS`]: a connection counts, and so does a message. While this
//!   server was off nobody could be heard, so the time begins anew with it;
//! - when somebody cancels the job: at once when the host is away (the job then ends as presumed), and after the same
//!   time when the host is here and does not end it;
//! - when the host is deleted, or its credentials are: the server sends it to no repository any more;
//! - for a backup that the agent has begun by itself, [`OWN_MS`] after its beginning, whatever the agent says.
//!
//! From then on restic's own lock is what is left between the two. What the holder says later about the job is written
//! down with it, as late ([`Job::late`]), and counts as done for nobody else.

use crate::facts::Facts;
use crate::job;
use crate::op::Op;
use crate::record::{Actor, Job, JobWhat, Presence};
use crate::refused::StoreError;
use crate::repo::partners;
use crate::store::{EXCLUSIVE_JOBS, HOSTS, JOBS, PRESENCES, Reads, Span};
use schema::{HostId, Timestamp};

/// How long after the last sign of life of its holder.
pub(crate) const LEASE_MS: u64 = 30 * 60_000;
/// How long a backup of an agent's own keeps exclusive jobs of others off, at most.
pub(crate) const OWN_MS: u64 = 24 * 3_600_000;
/// The most open jobs of a host that are looked at.
const LOOK_AT: usize = 1_000;

/// When there was a sign of life of a host last; `None` = there is one now.
pub(crate) fn last_sign(presence: &Presence, server_started_at: Timestamp) -> Option<Timestamp> {
    if presence.online {
        return None;
    }
    let heard = presence.last_seen_at.max(presence.changed_at).unwrap_or_default();
    Some(heard.max(server_started_at))
}

/// Whether an open job still keeps others off. Pure.
pub(crate) fn holds(job: &Job, last_sign: Option<Timestamp>, now: Timestamp) -> bool {
    let is_fresh = |at: Timestamp, for_ms| now.ms_since(at) < for_ms;
    let is_own = job.actor == Actor::Agent;
    uses_repository(&job.what)
        && !job.state.is_ended()
        && last_sign.is_none_or(|at| is_fresh(at.max(job.created_at), LEASE_MS))
        && job.cancel_asked_at.is_none_or(|at| is_fresh(at, LEASE_MS))
        && (!is_own || is_fresh(job.created_at, OWN_MS))
}

/// Whether a job would be disturbed by one that needs the repository alone.
pub(crate) const fn uses_repository(what: &JobWhat) -> bool {
    !what.is_look() && !matches!(what, JobWhat::Probe | JobWhat::Unlock { .. })
}

/// The open job of another host on the same repository that a job has to wait for, and that host's name. `host` is to do
/// the job, on the repository of `source`.
pub(crate) fn neighbour(
    (facts, now): (&Facts, Timestamp),
    reads: &impl Reads,
    (host, source): (HostId, HostId),
    is_exclusive: bool,
) -> Result<Option<(String, Job)>, StoreError> {
    // What needs nothing alone waits for few, mostly for none.
    let rivals =
        if is_exclusive { None } else { Some(reads.keys(&EXCLUSIVE_JOBS, &Span::ALL, usize::MAX)?) };
    if rivals.as_ref().is_some_and(|rivals| rivals.iter().all(|(other, _)| *other == host)) {
        return Ok(None);
    }
    let mut others = partners::takes_turns_with(reads, source)?;
    others.insert(source);
    // What is done for these by hosts of other repositories is done on theirs.
    if rivals.is_none() {
        for owner in others.clone() {
            for job in job::open_jobs_by_others(reads, owner, LOOK_AT)? {
                let presence = reads.get(&PRESENCES, &job.host)?.unwrap_or_default();
                if job.host != host && holds(&job, last_sign(&presence, facts.started_at), now) {
                    return Ok(Some((name_of(reads, job.host)?, job)));
                }
            }
        }
    }
    others.remove(&host);
    let open = |other: HostId| match &rivals {
        None => {
            let open = job::open_jobs(reads, other, LOOK_AT)?;
            Ok(open.into_iter().filter(|job| job.for_other().is_none()).collect())
        }
        Some(rivals) => {
            let own = rivals.iter().filter(|(holder, _)| *holder == other);
            own.filter_map(|(_, job)| reads.get(&JOBS, job).transpose()).collect()
        }
    };
    for other in others {
        let jobs: Vec<Job> = open(other)?;
        if jobs.is_empty() {
            continue;
        }
        let presence = reads.get(&PRESENCES, &other)?.unwrap_or_default();
        let last_sign = last_sign(&presence, facts.started_at);
        let held = jobs
            .into_iter()
            .find(|job| (is_exclusive || job.what.is_exclusive()) && holds(job, last_sign, now));
        if let Some(job) = held {
            return Ok(Some((name_of(reads, other)?, job)));
        }
    }
    Ok(None)
}

fn name_of(reads: &impl Reads, host: HostId) -> Result<String, StoreError> {
    Ok(reads.get(&HOSTS, &host)?.map_or_else(|| host.to_string(), |host| host.name))
}

/// A host is heard of again: when that took longer than a lease, others may have gone on without it, and what it says
/// of its open jobs is late.
pub(crate) fn heard_again(op: &mut Op<'_, '_>, host: HostId, before: &Presence) -> Result<(), StoreError> {
    let Some(last_sign) = last_sign(before, op.facts.started_at) else { return Ok(()) };
    for open in job::open_jobs(op.tx, host, LOOK_AT)? {
        if uses_repository(&open.what) && !holds(&open, Some(last_sign), op.now) && !open.late {
            job::change(op, host, open.id, |job| {
                job.late = true;
                true
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::JobState;
    use proptest::prelude::*;
    use schema::{CommandSeq, JobId};

    fn job(what: JobWhat, actor: Actor, created_at: u64) -> Job {
        let job =
            Job::new(JobId([1; 16]), HostId([1; 16]), what, actor, Timestamp(created_at), CommandSeq(1));
        Job { state: JobState::Running, ..job }
    }

    proptest! {
        /// Whatever a job is: half an hour after the last sign of life, or after a cancel, it keeps nobody off; before
        /// that it does.
        #[test]
        fn a_lease_ends_half_an_hour_after_the_last_sign_of_life(
            created in 0..LEASE_MS, sign in prop::option::of(0..LEASE_MS * 3),
            cancelled in prop::option::of(0..LEASE_MS * 3), later in 0..LEASE_MS * 3,
        ) {
            let now = Timestamp(later.max(created).max(sign.unwrap_or(0)).max(cancelled.unwrap_or(0)));
            let mut open = job(JobWhat::Prune, Actor::System, created);
            open.cancel_asked_at = cancelled.map(Timestamp);
            let silent = sign.is_some_and(|at| now.0 - at.max(created) >= LEASE_MS);
            let given_up = cancelled.is_some_and(|at| now.0 - at >= LEASE_MS);
            prop_assert_eq!(holds(&open, sign.map(Timestamp), now), !silent && !given_up);
            open.state = JobState::Lost;
            prop_assert!(!holds(&open, None, now));
        }
    }

    #[test]
    fn an_agents_own_backup_keeps_others_off_for_a_day_and_one_that_was_asked_for_as_long_as_it_runs() {
        let backup = || JobWhat::Backup { group: "etc".into() };
        let now = Timestamp(OWN_MS);
        assert!(holds(&job(backup(), Actor::Agent, 1), None, now));
        assert!(!holds(&job(backup(), Actor::Agent, 0), None, now));
        assert!(holds(&job(backup(), Actor::System, 0), None, now));
    }
}
