//! Maintenance by the server itself: forget, prune and check of each host, by its settings.
//!
//! [`decide`] is pure: settings, latest jobs and the state of a host go in; what to do with each kind and why comes
//! out. The tick ([`Fleet::maintain`]) and whoever shows decisions ([`Snapshot::decisions`]) ask the same function of
//! the same rows. When a kind fired last is read from its latest job, whoever asked for it: there is no other clock,
//! and what was missed does not pile up. A host that is away is skipped and nothing is queued for it.
//!
//! A job that failed or was lost is tried again an hour after it was started, [`MAX_TRIES`] times in a row; after
//! that each due time gets one try, until one succeeds.
//!
//! [`Snapshot::decisions`]: crate::Snapshot::decisions

mod calendar;
mod check_status;
mod decide;
mod input;
#[cfg(test)]
mod tests;
mod words;

pub use check_status::{CheckStatus, check_status};
pub use decide::{
    Action, Decision, Fired, HostState, KINDS, Latest, Lock, MAX_TRIES, RETRY_AFTER_MS, Reach, Why, decide,
};
pub use words::Words;

use crate::audit;
use crate::change::Changed;
use crate::context::Context;
use crate::credentials;
use crate::dispatch::{self, spec};
use crate::fleet::Fleet;
use crate::hosts;
use crate::job;
use crate::record::{Host, JobState, Maintenance, MaintenanceInput};
use crate::refused::{Refused, StoreError};
use crate::request::{By, JobRequest};
use crate::store::{
    GROUPS, HOSTS, JOBS, KIND_JOBS, LINKS, MAINTENANCE, Order, PRESENCES, REPOS, ReadView, Reads, SUMMARIES,
    Span, Tx,
};
use schema::{HostId, JobKind, Slot, Timestamp};
use std::ops::ControlFlow;
use tokio::task::JoinSet;

/// The most hosts whose jobs are dispatched at the same time.
const AT_ONCE: usize = 256;
/// The most open jobs of a host that are looked at.
const LOOK_AT: usize = 100;

impl Fleet {
    /// Changes the maintenance settings of a host.
    pub async fn put_maintenance(
        &self,
        host: HostId,
        input: MaintenanceInput,
        by: By,
    ) -> Result<Maintenance, Refused> {
        let context = self.context();
        self.write(move |tx| {
            let now = context.now();
            let record = hosts::find(tx, host)?;
            let before = settings_of(tx, host)?;
            let after = input::read(&input, &before)?;
            if after == before {
                return Ok(after);
            }
            tx.put(&MAINTENANCE, &host, &after)?;
            let target = hosts::target(tx, record.id)?;
            audit::note(tx, now, &by, "maintenance.changed", target, input::changes(&before, &after))?;
            tx.effects.changed(Changed::Repo(host));
            Ok(after)
        })
        .await
    }

    /// A tick of the driver, once a minute: dispatches what is due.
    pub async fn maintain(&self) {
        let fleet = self.clone();
        let found = tokio::task::spawn_blocking(move || {
            let view = fleet.view()?;
            due_hosts(&fleet.context(), &view)
        });
        let due = match found.await {
            Ok(Ok(due)) => due,
            Ok(Err(error)) => {
                tracing::error!(%error, "maintenance could not be decided");
                return;
            }
            Err(error) => {
                tracing::error!(%error, "maintenance could not be decided");
                return;
            }
        };
        for hosts in due.chunks(AT_ONCE) {
            let mut running: JoinSet<()> = hosts.iter().map(|host| run_due(self.clone(), *host)).collect();
            while running.join_next().await.is_some() {}
        }
    }
}

/// Decides again inside the transaction, and dispatches.
async fn run_due(fleet: Fleet, host: HostId) {
    let context = fleet.context();
    match fleet.write(move |tx| run_in(&context, tx, host)).await {
        Ok(()) | Err(Refused::HostNotFound) => {}
        Err(Refused::Store(error)) => {
            tracing::error!(%host, error = &error as &dyn std::error::Error, "maintenance was not dispatched");
        }
        Err(refused) => tracing::debug!(%host, %refused, "maintenance was not dispatched"),
    }
}

fn run_in(context: &Context, tx: &mut Tx<'_>, host: HostId) -> Result<(), Refused> {
    let record = hosts::find(tx, host)?;
    let (_, decisions) = decisions_of(context, tx, &record, context.now())?;
    if let Some(request) = decisions.iter().find_map(request_of) {
        dispatch::dispatch(context, tx, host, &request, &By::system())?;
    }
    Ok(())
}

/// The job that a decision asks for.
fn request_of(decision: &Decision) -> Option<JobRequest> {
    match (decision.action, decision.kind) {
        (Action::Run, JobKind::Forget) => Some(JobRequest::Forget),
        (Action::Run, JobKind::Prune) => Some(JobRequest::Prune),
        (Action::Run, JobKind::Check) => Some(JobRequest::Check { subset_pct: None }),
        _ => None,
    }
}

/// The hosts for which something is to be run. Most are passed after a look at their latest jobs.
pub(crate) fn due_hosts(context: &Context, view: &ReadView) -> Result<Vec<HostId>, StoreError> {
    let now = context.now();
    let mut presences = view.beside(&PRESENCES)?;
    let mut settings = view.beside(&MAINTENANCE)?;
    let mut due = Vec::new();
    view.walk(&HOSTS, &Span::ALL, Order::Ascending, |id, host| {
        let settings = settings.at(&id)?.unwrap_or_default();
        let is_online = presences.at(&id)?.is_some_and(|presence| presence.online);
        if is_online && decide::is_any_open(now, &settings) {
            let latest = latest_of(view, id)?;
            if decide::is_any_due(now, &settings, &latest, host.created_at)
                && decisions_of(context, view, &host, now)?
                    .1
                    .iter()
                    .any(|decision| decision.action == Action::Run)
            {
                due.push(id);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(due)
}

/// The settings of a host; those of a new one when none are stored.
pub(crate) fn settings_of(reads: &impl Reads, host: HostId) -> Result<Maintenance, StoreError> {
    Ok(reads.get(&MAINTENANCE, &host)?.unwrap_or_default())
}

/// The settings of a host, and what is decided now.
pub(crate) fn decisions_of(
    context: &Context,
    reads: &impl Reads,
    host: &Host,
    now: Timestamp,
) -> Result<(Maintenance, [Decision; 3]), StoreError> {
    let settings = settings_of(reads, host.id)?;
    let mut decisions = decide(now, &settings, &latest_of(reads, host.id)?, &state_of(context, reads, host)?);
    for decision in &mut decisions {
        // What dispatch would refuse for reasons of its own (a full outbox) must not be promised.
        if let Some(request) = request_of(decision)
            && let Some(refused) = dispatch::blocked(context, reads, host.id, &request)?
        {
            decision.action = Action::Hold;
            decision.why = Why::Refused(refused.to_string());
        }
    }
    Ok((settings, decisions))
}

fn latest_of(reads: &impl Reads, host: HostId) -> Result<Latest, StoreError> {
    let mut latest = [None; 3];
    for (fired, kind) in latest.iter_mut().zip(KINDS) {
        let span = Span::under(&(host, job::kind_key(kind)));
        let mut failures = 0;
        reads.walk(&KIND_JOBS, &span, Order::Descending, |(_, _, id), ()| {
            let Some(job) = reads.get(&JOBS, &id)? else { return Ok(ControlFlow::Continue(())) };
            let failed = matches!(job.state, JobState::Failed | JobState::Lost);
            failures += u8::from(failed);
            let newest =
                fired.get_or_insert(Fired { at: job.created_at, open: !job.state.is_ended(), failures: 0 });
            newest.failures = failures;
            let goes_on = failed && failures < MAX_TRIES;
            Ok(if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
    }
    Ok(latest)
}

fn state_of(context: &Context, reads: &impl Reads, host: &Host) -> Result<HostState, StoreError> {
    let id = host.id;
    let presence = reads.get(&PRESENCES, &id)?.unwrap_or_default();
    let repo = reads.get(&REPOS, &id)?.unwrap_or_default();
    let has = |slot| Ok::<_, StoreError>(credentials::facts_of(context, reads, id, slot)?.is_some());
    let reach = if presence.wire_problem.is_some() {
        Reach::WireUnsupported
    } else if presence.online {
        Reach::Online
    } else if reads.has(&LINKS, &id)? {
        Reach::Offline
    } else {
        Reach::NotEnrolled
    };
    let groups = reads.rows(&GROUPS, &Span::under(&id))?;
    let has_snapshot = match &repo.snapshots {
        Some(seen) => seen.count > 0,
        None => reads.get(&SUMMARIES, &id)?.is_some_and(|summary| summary.last_good_at().is_some()),
    };
    let lock = repo.lock.as_ref().and_then(|seen| Some((seen.at, seen.holder.as_ref()?)));
    Ok(HostState {
        created_at: host.created_at,
        reach,
        has_repo_credentials: has(Slot::Repo)?,
        has_admin_credentials: has(Slot::Admin)?,
        is_append_only: repo.append_only.is_some_and(|(append_only, _)| append_only),
        has_keep_rule: groups.iter().any(|(_, group)| !spec::keep_of(&group.keep).is_empty()),
        has_snapshot,
        lock: lock.map(|(seen_at, holder)| Lock { since: holder.since, seen_at, stale: holder.stale }),
        open: job::open_jobs(reads, id, LOOK_AT)?
            .iter()
            .map(|job| job.what.kind())
            .find(|kind| !matches!(kind, JobKind::Probe | JobKind::Unlock)),
        neighbour: dispatch::neighbour(reads, id, JobKind::Prune)?.map(|(host, job)| (host, job.what.kind())),
    })
}
