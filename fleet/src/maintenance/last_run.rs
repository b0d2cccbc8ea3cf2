//! When each kind ran last, in one row of each host, so that a tick reads no job. It is read from the jobs, in the
//! transaction that changes one; there is no other clock.

use super::decide::{KINDS, MAX_TRIES};
use crate::job;
use crate::record::{EndedBy, GroupDrill, GroupSummary, Job, JobState, LastRun, LastRuns};
use crate::refused::StoreError;
use crate::store::{JOBS, KIND_JOBS, LAST_RUNS, Order, Reads, SUMMARIES, Span, Tx};
use schema::{HostId, JobKind, Timestamp};
use std::ops::ControlFlow;

/// What is kept of a host.
pub(crate) fn of(reads: &impl Reads, host: HostId) -> Result<LastRuns, StoreError> {
    Ok(reads.get(&LAST_RUNS, &host)?.unwrap_or_default())
}

/// A job was made, or its state has changed.
pub(crate) fn job_changed(tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
    let kind = job.what.kind();
    let before = of(tx, job.host)?;
    let mut after = before.clone();
    let Some(place) = KINDS.iter().take(after.latest.len()).position(|known| *known == kind) else {
        return Ok(());
    };
    after.latest[place] = read(tx, job.host, KINDS[place], before.switched_at)?;
    if after == before { Ok(()) } else { tx.put(&LAST_RUNS, &job.host, &after) }
}

/// What is known of the source groups may have changed: when each was drilled last goes by it.
pub(crate) fn groups_changed(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    let summary = tx.get(&SUMMARIES, &host)?.unwrap_or_default();
    let before = of(tx, host)?;
    let drill = |group: &GroupSummary| {
        let since = group.proof.since?;
        let last_run = group.proof.last_run.map(|(_, last_run)| last_run);
        Some(GroupDrill { group: group.name.clone(), since, last_run })
    };
    let drills: Vec<GroupDrill> = summary.groups.iter().filter_map(drill).collect();
    if before.drills == drills { Ok(()) } else { tx.put(&LAST_RUNS, &host, &LastRuns { drills, ..before }) }
}

/// The host uses another repository since then.
pub(crate) fn repository_changed(tx: &mut Tx<'_>, host: HostId, since: Timestamp) -> Result<(), StoreError> {
    let drills = of(tx, host)?.drills;
    let mut kept = LastRuns { switched_at: Some(since), drills, ..LastRuns::default() };
    for (last_run, kind) in kept.latest.iter_mut().zip(KINDS) {
        *last_run = read(tx, host, kind, kept.switched_at)?;
    }
    tx.put(&LAST_RUNS, &host, &kept)
}

/// Reads the latest job of a kind. One that is open counts wherever it began.
fn read(
    reads: &impl Reads,
    host: HostId,
    kind: JobKind,
    switched_at: Option<Timestamp>,
) -> Result<Option<LastRun>, StoreError> {
    let span = Span::under(&(host, job::kind_key(kind)));
    let (mut last_run, mut failures) = (None, 0);
    reads.walk(&KIND_JOBS, &span, Order::Descending, |(_, _, id), ()| {
        let Some(job) = reads.get(&JOBS, &id)? else { return Ok(ControlFlow::Continue(())) };
        if job.state.is_ended() && switched_at.is_some_and(|at| job.created_at < at) {
            return Ok(ControlFlow::Break(()));
        }
        let ended_by = job.ended_by();
        // A person's cancel is a decision: that occurrence is dealt with.
        let failed = match ended_by {
            Some(by) => by.is_interruption(),
            None => matches!(job.state, JobState::Failed | JobState::Lost),
        };
        failures = u8::saturating_add(failures, u8::from(failed));
        let newest = last_run.get_or_insert(LastRun {
            at: job.created_at,
            open: !job.state.is_ended(),
            failures: 0,
            put_off: matches!(ended_by, Some(EndedBy::Policy | EndedBy::Server)),
        });
        newest.failures = failures;
        let goes_on = failed && failures < MAX_TRIES;
        Ok(if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(last_run)
}
