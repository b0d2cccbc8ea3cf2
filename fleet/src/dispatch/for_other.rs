//! What a host does for another one: restore or send files of that one's snapshots, with its everyday credentials, which
//! go to it for this one job. Both audits say so, also of a dry run: with the credentials comes all that they open.

use crate::audit;
use crate::credentials;
use crate::facts::Facts;
use crate::hosts;
use crate::job;
use crate::listing;
use crate::op::Op;
use crate::record::{AuditAction, AuditTarget, Host, Job, JobState};
use crate::refused::{Refused, RunnerSetback, StoreError};
use crate::request::JobRequest;
use crate::restore;
use crate::store::{HOSTS, LINKS, PRESENCES, Reads};
use schema::{HostId, Slot};

/// The most open jobs for a host that are looked at.
const LOOK_AT: usize = 1_000;

/// The host whose repository a job is about, when another one is to do it.
pub(super) fn source_of(
    reads: &impl Reads,
    runner: HostId,
    request: &JobRequest,
) -> Result<Option<Host>, Refused> {
    let source = request.source().filter(|source| *source != runner);
    source.map(|source| hosts::find(reads, source)).transpose()
}

/// Why a host can't be asked for anything now.
pub(crate) fn setback(reads: &impl Reads, runner: HostId) -> Result<Option<RunnerSetback>, StoreError> {
    if !reads.has(&LINKS, &runner)? {
        return Ok(Some(RunnerSetback::NotEnrolled));
    }
    let presence = reads.get(&PRESENCES, &runner)?.unwrap_or_default();
    Ok(match presence {
        _ if presence.wire_problem.is_some() => Some(RunnerSetback::WireUnsupported),
        _ if !presence.online => Some(RunnerSetback::Offline),
        _ => None,
    })
}

/// Why a host can do nothing for another one now.
pub(crate) fn runner_setback(reads: &impl Reads, runner: &Host) -> Result<Option<RunnerSetback>, StoreError> {
    let is_able = || runner.facts.as_ref().and_then(|facts| facts.abilities).is_some_and(|it| it.for_others);
    Ok(setback(reads, runner.id)?.or_else(|| (!is_able()).then_some(RunnerSetback::AgentTooOld)))
}

/// Whether what is known of the source lets another host do this.
pub(super) fn check(
    (facts, reads): (&Facts, &impl Reads),
    source: HostId,
    request: &JobRequest,
) -> Result<(), Refused> {
    match credentials::facts_of(facts, reads, source, Slot::Repo)? {
        None => return Err(Refused::RepoCredsRequired),
        Some(facts) if facts.unreadable => return Err(Refused::RepoCredsUnreadable),
        Some(_) => {}
    }
    let snapshot = match request {
        JobRequest::Restore(plan) => {
            restore::check_for_other(plan)?;
            &plan.snapshot
        }
        JobRequest::Download { snapshot, .. } => snapshot,
        _ => return Ok(()),
    };
    // Others may be in the repository, too: of those it is not asked.
    let is_whole = listing::listed(reads, source)?.is_some_and(|listed| listed.left_out == 0);
    let is_known = || Ok(listing::known(reads, source)?.iter().any(|row| row.id.starts_with(snapshot)));
    if is_whole && !is_known().map_err(|error: StoreError| Refused::from(error))? {
        let why = "the list of this host's snapshots has none of this id; refresh the list";
        return Err(Refused::invalid("snapshot", why));
    }
    Ok(())
}

/// Notes it with both hosts.
pub(super) fn note(
    op: &mut Op<'_, '_>,
    job: &Job,
    (runner, source): (&Host, &Host),
    detail: &str,
) -> Result<(), StoreError> {
    let dry = if job.what.is_dry_run() { "dry run: " } else { "" };
    let (kind, id) = (job.what.kind(), job.id);
    let done = format!("{dry}{detail}, for host {}", source.name);
    audit::note(op, AuditAction::Job(kind), AuditTarget::Job(runner.id, id), done)?;
    let lent = format!("to {} for the {} {id}: {dry}{detail}", runner.name, kind.as_str());
    audit::note(op, AuditAction::CredentialsLent, AuditTarget::Host(source.id, source.name.clone()), lent)?;
    // Whoever looks for the one that has them finds it, too.
    let got = format!("those of {} to this host, for the {} {id}: {dry}{detail}", source.name, kind.as_str());
    audit::note(op, AuditAction::CredentialsLent, AuditTarget::Host(runner.id, runner.name.clone()), got)
}

/// Whether a host can be deleted: not while it is here and does something for another one, for with its job the lease
/// would go that keeps others from pruning what it reads.
pub(crate) fn check_is_free(reads: &impl Reads, runner: HostId) -> Result<(), Refused> {
    if setback(reads, runner)?.is_some() {
        return Ok(());
    }
    let open = job::open_jobs(reads, runner, LOOK_AT)?;
    let Some((job, source)) = open.iter().find_map(|job| Some((job.id, job.for_other()?))) else {
        return Ok(());
    };
    let source_name = reads.get(&HOSTS, &source)?.map_or_else(|| source.to_string(), |host| host.name);
    Err(Refused::DoesForOther { job, source_name })
}

/// A host is deleted, or its credentials are: what others were to do for it is cancelled. What they have begun goes on to
/// its end: they have what they need, and half of a restore helps nobody.
pub(crate) fn take_back(op: &mut Op<'_, '_>, source: HostId) -> Result<(), Refused> {
    for job in job::open_jobs_by_others(op.tx, source, LOOK_AT)? {
        if job.state < JobState::Running {
            super::cancel(op, job.id)?;
        }
    }
    Ok(())
}
