//! Backups that an agent did by itself while the server was away.

use super::step;
use crate::audit;
use crate::context::Context;
use crate::pending;
use crate::record::{Actor, AuditTarget, Job, JobWhat, Occurrence};
use crate::refused::Refused;
use crate::request::By;
use crate::schedule;
use crate::store::{JOBS, Reads, Tx};
use schema::{HostId, JobId, Timestamp, name};

/// The occurrence that the agent did.
pub(crate) struct Own<'a> {
    pub(crate) job: JobId,
    pub(crate) schedule: &'a str,
    pub(crate) group: &'a str,
    pub(crate) due_at: Timestamp,
}

/// Writes the job down, as accepted; what became of it comes in the reports behind this one. What waited for the same
/// schedule and group is this job now. `false`: no honest agent reports this.
pub(crate) fn take(
    context: &Context,
    tx: &mut Tx<'_>,
    host: HostId,
    own: &Own<'_>,
    (at, now): (Timestamp, Timestamp),
    peer: &str,
) -> Result<bool, Refused> {
    if !name::is_valid(own.schedule) || !name::is_valid(own.group) {
        return Ok(false);
    }
    if tx.has(&JOBS, &own.job)? {
        // This data file was set back, and has heard of it before.
        return Ok(true);
    }
    // What came due while this server was off waits from here on, and not for this backup.
    schedule::tick::note_due(context, tx, host, own.schedule, now)?;
    let what = JobWhat::Backup { group: own.group.to_owned() };
    let mut job = Job::new(own.job, host, what, Actor::Agent, at.min(now), 0);
    job.made_for = Some(Occurrence { schedule: own.schedule.to_owned(), due_at: own.due_at.min(now) });
    step::accepted(&mut job, at, now);
    super::create(tx, &job, now)?;
    let by = By { actor: Actor::Agent, peer: peer.to_owned() };
    let detail = format!("{}, due by {}, while the server was away", own.group, own.schedule);
    audit::note(tx, now, &by, "job.backup", AuditTarget::Job(host, own.job), detail)?;
    pending::taken_over(context, tx, (host, own.schedule, own.group), own.due_at, own.job, now)?;
    Ok(true)
}
