//! Maintenance by the server itself: forget, prune and check of each host, and drills of each source group, by its
//! settings.
//!
//! [`decide()`] is pure: settings, latest jobs and the state of a host go in; what to do with each kind and why comes
//! out. The tick ([`Fleet::maintain`]) and whoever shows decisions ([`FleetState::decisions`]) ask the same function of
//! the same rows. When a kind ran last is read from its latest job, whoever asked for it: there is no other clock,
//! and what was missed does not pile up. What was done to another repository than the one that the host uses now does
//! not count. A host that is away is skipped and nothing is queued for it.
//!
//! A job that failed, was lost, or was broken off with nobody wanting that (the agent was stopped) is tried again an
//! hour after it was started, [`MAX_TRIES`] times in a row; after that each due time gets one try, until one succeeds.
//! One that the host's policy put off was no try: it is tried again an hour later, however often.
//!
//! [`FleetState::decisions`]: crate::FleetState::decisions

pub(crate) mod calendar;
mod check_status;
mod decide;
pub(crate) mod input;
mod jitter;
pub(crate) mod last_run;
pub(crate) mod settings;
#[cfg(test)]
mod tests;

use crate::facts::Facts;
use crate::op::Op;
use crate::record::AuditAction;
pub use crate::record::{GroupDrill, LastRun, Latest};
pub use check_status::{CheckStatus, check_status};
pub(crate) use check_status::{overdue_at, unproven_at};
pub use decide::{
    Action, Decision, HostState, KINDS, MAX_TRIES, Means, RETRY_AFTER_MS, Reach, SeenLock, Why, decide,
};

use crate::audit;
use crate::change::Changed;
use crate::credentials;
use crate::dispatch::{self, spec};
use crate::fleet::Fleet;
use crate::hosts;
use crate::job;
use crate::record::{Hold, Host, LastRuns, Maintenance, MaintenanceInput, RepoState};
use crate::refused::{Refused, StoreError};
use crate::request::{By, JobRequest};
use crate::soundness;
use crate::store::{
    GROUPS, HOSTS, LAST_RUNS, LINKS, MAINTENANCE, Order, PRESENCES, REPOS, ReadView, Reads, SUMMARIES, Span,
};
use crate::unplanned;
use schema::{HostId, JobKind, Slot, Timestamp};
use std::ops::ControlFlow;
use tokio::task::JoinSet;

/// The most hosts whose jobs are dispatched at the same time.
const AT_ONCE: usize = 256;
/// A source group of which nothing may go, and why.
type HeldGroup = Option<(String, Hold)>;

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
        self.write(by, move |op| {
            let record = hosts::find(op.tx, host)?;
            let before = settings::of(&op.facts.settings.timezone, op.tx, host)?;
            let after = input::read(&input, &before)?;
            if after == before {
                return Ok(after);
            }
            op.tx.put(&MAINTENANCE, &host, &after)?;
            let target = hosts::target(op.tx, record.id)?;
            audit::note(op, AuditAction::MaintenanceChanged, target, input::changes(&before, &after))?;
            op.tx.effects.changed(Changed::Repo(host));
            unplanned::plan_changed(op, host)?;
            Ok(after)
        })
        .await
    }

    /// A tick of the driver, once a minute: dispatches what is due.
    pub async fn maintain(&self) {
        if self.only_reads() {
            return;
        }
        let fleet = self.clone();
        let found = tokio::task::spawn_blocking(move || {
            let view = fleet.view()?;
            due_hosts(&fleet.context(), &view, fleet.now())
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
    match fleet.write(By::system(), move |op| run_in(op, host)).await {
        Ok(()) | Err(Refused::HostNotFound) => {}
        Err(Refused::Store(error)) => {
            tracing::error!(%host, error = &error as &dyn std::error::Error, "maintenance was not dispatched");
        }
        Err(refused) => tracing::debug!(%host, %refused, "maintenance was not dispatched"),
    }
}

fn run_in(op: &mut Op<'_, '_>, host: HostId) -> Result<(), Refused> {
    let record = hosts::find(op.tx, host)?;
    let (_, decisions) = decisions_of(op.facts, op.tx, &record, op.now)?;
    if let Some(request) = decisions.iter().find_map(request_of) {
        dispatch::dispatch(op, host, &request)?;
    }
    Ok(())
}

/// The job that a decision asks for.
fn request_of(decision: &Decision) -> Option<JobRequest> {
    match (decision.action, decision.kind) {
        (Action::Run, _) if matches!(decision.why, Why::ListFirst(_)) => Some(JobRequest::Snapshots),
        (Action::Run, JobKind::Forget) => Some(JobRequest::Forget),
        (Action::Run, JobKind::Prune) => Some(JobRequest::Prune),
        (Action::Run, JobKind::Check) => Some(JobRequest::Check { subset_pct: None }),
        (Action::Run, JobKind::Drill) => {
            Some(JobRequest::Drill { group: decision.group.clone(), files: None, bytes: None })
        }
        _ => None,
    }
}

/// The hosts for which something is to be run. Most are passed after a look at when each kind ran last.
pub(crate) fn due_hosts(facts: &Facts, view: &ReadView, now: Timestamp) -> Result<Vec<HostId>, StoreError> {
    let mut presences = view.beside(&PRESENCES)?;
    let (mut settings, mut last_run) = (view.beside(&MAINTENANCE)?, view.beside(&LAST_RUNS)?);
    let mut due = Vec::new();
    view.walk(&HOSTS, &Span::ALL, Order::Ascending, |id, host| {
        let settings = match settings.at(&id) {
            Ok(settings) => settings.unwrap_or_else(|| settings::usual(&facts.settings.timezone)),
            // They keep no other host from its maintenance, and this one says so.
            Err(error @ StoreError::Row { .. }) => {
                tracing::error!(host = %id, %error, "maintenance settings can't be read");
                return Ok(ControlFlow::Continue(()));
            }
            Err(error) => return Err(error),
        };
        let is_online = presences.at(&id)?.is_some_and(|presence| presence.online);
        let mut kinds = if is_online { decide::open_kinds(now, &settings, id) } else { [false; 4] };
        if kinds.contains(&true) {
            let LastRuns { switched_at, latest, drills } = last_run.at(&id)?.unwrap_or_default();
            let since = switched_at.map_or(host.created_at, |at| at.max(host.created_at));
            for ((kind, last_run), is_due) in KINDS.into_iter().zip(latest).zip(&mut kinds) {
                *is_due = *is_due && decide::is_due(now, &settings, kind, last_run, (id, since));
            }
            let [.., drill] = &mut kinds;
            *drill = *drill && decide::is_drill_due(now, &settings, &drills, id);
        }
        // What a host lacks, it mostly lacks for ever: that is found before the rest is read.
        if kinds.contains(&true) {
            let means = means_of(facts, view, &host)?;
            let mut of_due = KINDS.into_iter().zip(kinds).filter(|(_, is_due)| *is_due);
            let runs = |decision: &Decision| decision.action == Action::Run;
            if of_due.any(|(kind, _)| decide::missing(kind, &means).is_none())
                && decisions_of(facts, view, &host, now)?.1.iter().any(runs)
            {
                due.push(id);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(due)
}

/// The settings of a host, and what is decided now.
pub(crate) fn decisions_of(
    facts: &Facts,
    reads: &impl Reads,
    host: &Host,
    now: Timestamp,
) -> Result<(Maintenance, [Decision; 4]), StoreError> {
    let settings = settings::of(&facts.settings.timezone, reads, host.id)?;
    let kept = last_run::of(reads, host.id)?;
    let mut decisions =
        decide(now, &settings, &kept.latest, &state_of((facts, now), reads, host, &kept, &settings)?);
    for decision in &mut decisions {
        // What dispatch would refuse for reasons of its own (a full outbox) must not be promised.
        if let Some(request) = request_of(decision)
            && let Some(refused) = dispatch::blocked((facts, now), reads, host.id, &request)?
        {
            decision.action = Action::Hold;
            decision.why = Why::Refused(refused);
        }
    }
    Ok((settings, decisions))
}

fn state_of(
    (facts, now): (&Facts, Timestamp),
    reads: &impl Reads,
    host: &Host,
    kept: &LastRuns,
    settings: &Maintenance,
) -> Result<HostState, StoreError> {
    let id = host.id;
    let presence = reads.get(&PRESENCES, &id)?.unwrap_or_default();
    let repo = reads.get(&REPOS, &id)?.unwrap_or_default();
    let reach = if presence.wire_problem.is_some() {
        Reach::WireUnsupported
    } else if presence.online {
        Reach::Online
    } else if reads.has(&LINKS, &id)? {
        Reach::Offline
    } else {
        Reach::NotEnrolled
    };
    let lock = Some(repo.as_shown()).filter(|repo| !repo.lock_is_old_word(now)).and_then(|repo| repo.lock);
    let lock = lock.as_ref().and_then(|seen| Some((seen.at, seen.holder.as_ref()?)));
    let (held, left_out) = held(reads, id)?;
    Ok(HostState {
        id,
        since: kept.switched_at.map_or(host.created_at, |at| at.max(host.created_at)),
        reach,
        means: means_of(facts, reads, host)?,
        lock: lock.map(|(seen_at, holder)| SeenLock { since: holder.since, seen_at, stale: holder.stale }),
        open: job::open_jobs(reads, id, LOOK_AT)?
            .iter()
            .find(|job| dispatch::lease::uses_repository(&job.what))
            .map(|job| job.what.kind()),
        neighbour: dispatch::lease::neighbour((facts, now), reads, (id, id), true)?
            .map(|(host, job)| (host, job.what.kind())),
        held,
        left_out,
        unlisted: soundness::past::unlisted_group(reads, id)?,
        listing: job::latest(reads, id, JobKind::Snapshots)?.map(|job| job.created_at),
        elsewhere: elsewhere(&repo, settings),
        drills: kept.drills.clone(),
    })
}

/// What may not go until somebody has looked: a forget goes on with the other groups while there are any, and leaves
/// these out, but for an unusual backup, which holds all of the host; a prune is of the whole repository, whoever else is
/// on it.
fn held(reads: &impl Reads, id: HostId) -> Result<([HeldGroup; 3], HeldGroup), StoreError> {
    let prune = soundness::held_on_repository(reads, id)?;
    let (mut first, mut is_one_free) = (None, false);
    for (_, group) in reads.rows(&GROUPS, &Span::under(&id))? {
        if spec::keep_of(&group.keep).is_empty() {
            continue;
        }
        match soundness::of(reads, id, &group.name)?.hold() {
            None => is_one_free = true,
            Some(why) => first = first.or(Some((group.name, why))),
        }
    }
    let is_ruled = is_one_free || first.is_some();
    let unusual = soundness::unusual_group(reads, id)?.filter(|_| is_ruled);
    let (forget, left_out) = match unusual {
        Some(_) => (unusual, None),
        None if is_one_free => (None, first),
        None => (first, None),
    };
    Ok(([forget, prune, None], left_out))
}

/// When other hosts on the same repository did, as the server asked them to, what this one may put off for it. A
/// forget is of a host's own groups; a check counts when it read as much.
fn elsewhere(repo: &RepoState, settings: &Maintenance) -> [Option<Timestamp>; 3] {
    let check = repo.told.check.as_ref().filter(|check| check.subset_pct >= settings.check_subset_pct);
    [None, repo.told.prune.as_ref().map(|prune| prune.at), check.map(|check| check.at)]
}

fn means_of(facts: &Facts, reads: &impl Reads, host: &Host) -> Result<Means, StoreError> {
    let id = host.id;
    let repo = reads.get(&REPOS, &id)?.unwrap_or_default();
    let groups = reads.rows(&GROUPS, &Span::under(&id))?;
    let has_snapshot = match &repo.snapshots {
        Some(seen) => seen.count > 0,
        None => reads.get(&SUMMARIES, &id)?.is_some_and(|summary| summary.last_good_at().is_some()),
    };
    Ok(Means {
        has_repo_credentials: credentials::is_set(reads, id, Slot::Repo)?,
        is_replaced: repo.replaced.is_some(),
        admin: credentials::state_of(facts, reads, id, Slot::Admin)?,
        is_append_only: repo.append_only.is_some_and(|(append_only, _)| append_only),
        has_keep_rule: groups.iter().any(|(_, group)| !spec::keep_of(&group.keep).is_empty()),
        has_snapshot,
        are_backups_held: host.backups_held.is_some(),
    })
}
