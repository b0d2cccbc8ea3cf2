//! Backups that an agent did by itself while the server was away.

use super::transition;
use crate::audit;
use crate::budget::{MAX_AHEAD_MS, MAX_OPEN_OWN, Spent, is_full, spend};
use crate::op::Op;
use crate::pending;
use crate::record::{Actor, AuditAction, AuditTarget, Job, JobWhat, Occurrence};
use crate::refused::{Refused, StoreError};
use crate::schedule;
use crate::store::{JOBS, Reads};
use crate::units::DAY_MS;
use schema::command::Over;
use schema::{CommandSeq, HostId, JobId, JobKind, Timestamp, name};

/// A due backup that the agent did by itself while the server was away.
pub(crate) struct OwnBackup<'a> {
    pub(crate) job: JobId,
    pub(crate) schedule: &'a str,
    pub(crate) group: &'a str,
    pub(crate) due_at: Timestamp,
}

/// Writes the job down, as accepted; what became of it comes in the reports behind this one. What waited for the same
/// schedule and group is this job now. What is over the host's budgets, or what no honest agent reports, is not
/// taken.
pub(crate) fn take(
    op: &mut Op<'_, '_>,
    host: HostId,
    own: &OwnBackup<'_>,
    (at, now): (Timestamp, Timestamp),
) -> Result<OwnOutcome, Refused> {
    if !name::is_valid(own.schedule) || !name::is_valid(own.group) {
        return Ok(OwnOutcome::Impossible);
    }
    if op.tx.has(&JOBS, &own.job)? {
        // This data file was set back, and has heard of it before.
        return Ok(OwnOutcome::In);
    }
    if let Err(over) = fits(op, host, own.job)? {
        return Ok(OwnOutcome::Over(over));
    }
    // What came due while this server was off waits from here on, and not for this backup.
    schedule::tick::note_due(op, host, own.schedule)?;
    let what = JobWhat::Backup { group: own.group.to_owned() };
    let mut job = Job::new(own.job, host, what, Actor::Agent, at.min(now), CommandSeq::ZERO);
    job.made_for = Some(Occurrence { schedule: own.schedule.to_owned(), due_at: own.due_at.min(now) });
    transition::accepted(&mut job, at, now);
    super::create(op, &job)?;
    let detail = format!("{}, due by {}, while the server was away", own.group, own.schedule);
    let target = AuditTarget::Job(host, own.job);
    let unsaid = audit::note_of_host(op, host, AuditAction::Job(JobKind::Backup), target, detail)?;
    if let Some(over) = unsaid {
        // The job is in the list all the same.
        op.tx.effects.refused.push((host, over));
    }
    pending::taken_over(op, (host, own.schedule, own.group), own.due_at, own.job)?;
    Ok(OwnOutcome::In)
}

/// What the server makes of a backup that the agent reports.
pub(crate) enum OwnOutcome {
    /// It is stored as a job.
    In,
    /// No honest agent reports this.
    Impossible,
    /// It is more than is taken of one host.
    Over(Over),
}

/// Whether it is within the host's budgets. An id sorts by its date: one that is ahead would stand before all jobs for
/// as long, and one from long ago be removed at once.
pub(crate) fn fits(op: &mut Op<'_, '_>, host: HostId, job: JobId) -> Result<Result<(), Over>, StoreError> {
    let now = op.now;
    let made_at = job.made_at();
    let oldest = u64::from(op.facts.settings.keep.jobs_days).saturating_mul(DAY_MS);
    if made_at > now.plus_ms(MAX_AHEAD_MS) || now.ms_since(made_at) > oldest {
        return Ok(Err(Over::OwnDate));
    }
    let open = super::open_jobs(op.tx, host, usize::MAX)?;
    if open.iter().filter(|job| job.actor == Actor::Agent).count() >= MAX_OPEN_OWN {
        return Ok(Err(Over::OwnJobs));
    }
    if is_full(op.facts, op.tx, host)? {
        return Ok(Err(Over::Share));
    }
    Ok(spend(op, (host, Spent::OwnJob, 1)))
}
