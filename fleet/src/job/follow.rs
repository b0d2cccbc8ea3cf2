//! What follows when a job's record is written: its places in the indices, what its host's summary says, and, when it
//! has ended, who goes on because of that. All in the transaction that writes the record.

use super::next_open;
use crate::change::Changed;
use crate::find;
use crate::folder;
use crate::listing;
use crate::maintenance::last_run;
use crate::notices::ping_row;
use crate::op::Op;
use crate::pending;
use crate::record::{Job, JobWhat};
use crate::refused::StoreError;
use crate::repo;
use crate::soundness;
use crate::store::{EXCLUSIVE_JOBS, OPEN_JOBS, Reads, SUMMARIES, Tx};
use schema::Summary;
use schema::report::Finished;

/// A job was made, or its record was changed. One that has ended may be corrected, and then ends once more.
pub(super) fn written(op: &mut Op<'_, '_>, before: Option<&Job>, job: &Job) -> Result<(), StoreError> {
    let is_ended = job.state.is_ended();
    let has_moved = before.is_none_or(|before| before.state != job.state);
    index(op.tx, before, job)?;
    if has_moved {
        last_run::job_changed(op.tx, job)?;
    }
    if is_ended && has_moved {
        if job.what == JobWhat::Snapshots {
            listing::job_ended(op, job)?;
        }
        folder::job_ended(op, job)?;
        find::job_ended(op, job)?;
    }
    let sound = if is_ended { soundness::backup_ended(op, job)? } else { None };
    let mut summary = op.tx.get(&SUMMARIES, &job.host)?.unwrap_or_default();
    summary.count_open(before.is_some_and(|before| !before.state.is_ended()), !is_ended);
    let next = if is_ended && summary.runs(job.id) { next_open(op.tx, job.host)? } else { None };
    summary.take_job(job, next, sound.as_ref(), op.now);
    op.tx.put(&SUMMARIES, &job.host, &summary)?;
    if has_moved {
        ping_row::job_moved(op, job, &summary)?;
    }
    if has_moved && matches!(job.what, JobWhat::Drill(_) | JobWhat::Backup { .. }) {
        last_run::groups_changed(op.tx, job.host)?;
    }
    op.tx.effects.changed(Changed::Job { host: job.host, job: job.id });
    if let Some(source) = job.for_other() {
        // Its page shows it, too.
        op.tx.effects.changed(Changed::Host(source));
    }
    // Last: it may dispatch the next one.
    if is_ended && has_moved {
        pending::job_ended(op, job)?;
    }
    Ok(())
}

/// The agent has told of the end of a job, with what it found: that goes on to what is known of the repository.
pub(crate) fn found(op: &mut Op<'_, '_>, job: &Job, finished: &Finished<'_>) -> Result<(), StoreError> {
    // What a host says of another one's repository counts for neither.
    if job.for_other().is_some() {
        return Ok(());
    }
    if let (Summary::Forget { groups }, false) = (&finished.summary, job.what.is_dry_run()) {
        soundness::forgotten(op.tx, job, groups)?;
    }
    repo::take_job(op, job)
}

/// The places of an open job. When it ends, its live state is let go.
fn index(tx: &mut Tx<'_>, before: Option<&Job>, job: &Job) -> Result<(), StoreError> {
    let was_open = before.is_some_and(|before| !before.state.is_ended());
    let is_open = !job.state.is_ended();
    let key = (job.host, job.id);
    if is_open && !was_open {
        tx.put(&OPEN_JOBS, &key, &())?;
        if job.what.is_exclusive() {
            tx.put(&EXCLUSIVE_JOBS, &key, &())?;
        }
    }
    if was_open && !is_open {
        tx.remove(&OPEN_JOBS, &key)?;
        if job.what.is_exclusive() {
            tx.remove(&EXCLUSIVE_JOBS, &key)?;
        }
        tx.effects.ended.push(job.id);
    }
    Ok(())
}
