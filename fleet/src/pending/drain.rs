//! From the store to the planner's world, and its actions back into the store.

use super::decide::{Hurdle, RunAction, World, came_to_nothing, plan_drain};
use super::retry::LONGEST_MS;
use super::runs::{abandon, of_host, put, rule_of};
use super::setback::Setback;
use crate::dispatch;
use crate::facts::Facts;
use crate::fleet::Fleet;
use crate::job;
use crate::link::outbox;
use crate::op::Op;
use crate::record::{Actor, Job, PendingRun};
use crate::refused::{Refused, StoreError};
use crate::request::{By, JobRequest};
use crate::store::{GROUPS, PENDING, PENDING_DUE, Reads, Span};
use schema::limits::MAX_HELD_JOBS;
use schema::{HostId, PendingId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Hosts that are drained in one operation, so that others get their turn between.
const AT_ONCE: usize = 25;

impl Fleet {
    /// Drains the runs whose time has come. `false` = some host could not be written.
    pub(crate) async fn drain_due(&self) -> Result<bool, Refused> {
        let now = self.now();
        let hosts: Vec<HostId> = due_hosts(&self.view()?, now)?.into_iter().collect();
        let mut is_well = true;
        for part in hosts.chunks(AT_ONCE) {
            if self.drain_part(part).await.is_ok() {
                continue;
            }
            for host in part {
                if let Err(error) = self.drain_part(&[*host]).await {
                    tracing::error!(%host, %error, "what waits for a host could not be written");
                    is_well = false;
                }
            }
        }
        Ok(is_well)
    }

    async fn drain_part(&self, hosts: &[HostId]) -> Result<(), Refused> {
        let hosts = hosts.to_vec();
        self.write(By::system(), move |op| hosts.iter().try_for_each(|id| host(op, *id))).await
    }
}

/// Hosts with a run whose time has come, or was planned by a clock that was ahead.
fn due_hosts(reads: &impl Reads, now: Timestamp) -> Result<BTreeSet<HostId>, StoreError> {
    let last = PendingId([u8::MAX; 16]);
    let spans = [Span::ALL.through(&(now.0, last)), Span::ALL.after(&(now.plus_ms(LONGEST_MS).0, last))];
    let mut hosts = BTreeSet::new();
    for span in spans {
        for (_, id) in reads.keys(&PENDING_DUE, &span, usize::MAX)? {
            hosts.extend(reads.get(&PENDING, &id)?.map(|run| run.host));
        }
    }
    Ok(hosts)
}

/// Does what is to be done with a host's runs.
pub(crate) fn host(op: &mut Op<'_, '_>, host: HostId) -> Result<(), Refused> {
    let now = op.now;
    let runs: BTreeMap<PendingId, PendingRun> =
        of_host(op.tx, host)?.into_iter().filter(|run| run.job.is_none()).map(|run| (run.id, run)).collect();
    // Until the agent has told what it did, it may have done this.
    if runs.is_empty() || outbox::state_of(op.tx, host)?.is_catching_up() {
        return Ok(());
    }
    let in_order: Vec<PendingRun> = runs.values().cloned().collect();
    let world = world_of((op.facts, now), op.tx, host, &in_order)?;
    for action in plan_drain(now, &in_order, &world) {
        apply(op, &runs, action)?;
    }
    Ok(())
}

fn world_of(
    (facts, now): (&Facts, Timestamp),
    reads: &impl Reads,
    host: HostId,
    runs: &[PendingRun],
) -> Result<World, StoreError> {
    let mut world = World::default();
    for run in runs {
        if let Some(rule) = rule_of(reads, run)? {
            world.rules.insert((host, run.schedule.clone(), run.group.clone()), rule);
        }
        let key = (host, run.group.clone());
        if !world.groups.contains_key(&key) && reads.has(&GROUPS, &key)? {
            world.groups.insert(key, hurdle_of((facts, now), reads, run)?);
        }
    }
    let open = job::open_jobs(reads, host, MAX_HELD_JOBS)?.len();
    world.room.insert(host, MAX_HELD_JOBS.saturating_sub(open));
    Ok(world)
}

fn hurdle_of(
    (facts, now): (&Facts, Timestamp),
    reads: &impl Reads,
    run: &PendingRun,
) -> Result<Hurdle, StoreError> {
    let request = JobRequest::Backup { group: run.group.clone() };
    Ok(match dispatch::blocked((facts, now), reads, run.host, &request)? {
        None => Hurdle::Clear,
        Some(Refused::JobInProgress { job }) => Hurdle::Open(job),
        Some(
            refused @ (Refused::HostOffline
            | Refused::HostNotEnrolled
            | Refused::WireUnsupported
            | Refused::BackupsHeld),
        ) => Hurdle::Parked(Setback::from(&refused)),
        Some(refused) => Hurdle::Refused(Setback::from(&refused)),
    })
}

/// Dispatches the backup of a run.
pub(crate) fn dispatch(op: &mut Op<'_, '_>, run: &PendingRun) -> Result<Job, Refused> {
    let request = JobRequest::Backup { group: run.group.clone() };
    dispatch::dispatch(op, run.host, &request)
}

fn apply(
    op: &mut Op<'_, '_>,
    runs: &BTreeMap<PendingId, PendingRun>,
    action: RunAction,
) -> Result<(), Refused> {
    match action {
        RunAction::Dispatch { runs: shared } => {
            let shared: Vec<&PendingRun> = shared.iter().filter_map(|id| runs.get(id)).collect();
            let Some(first) = shared.first() else { return Ok(()) };
            let by = By { actor: Actor::Schedule(first.schedule.clone()), peer: String::new() };
            let job = match dispatch(&mut op.as_by(&by), first) {
                Ok(job) => job,
                Err(Refused::Store(error)) => return Err(error.into()),
                // The planner saw nothing in the way; the last word is the dispatch's, which has written nothing.
                Err(refused) => {
                    return shared.iter().try_for_each(|run| refuse(op, run, Setback::from(&refused)));
                }
            };
            for run in shared {
                put(op.tx, Some(run), &run.come_due(op.now).handed_over(job.id))?;
            }
        }
        RunAction::Follow { run, job } => {
            let run = &runs[&run];
            put(op.tx, Some(run), &run.come_due(op.now).handed_over(job))?;
        }
        RunAction::Wait { run, until, attempt, setback } => {
            let run = &runs[&run];
            put(op.tx, Some(run), &run.waiting(until, attempt, &setback, None, op.now))?;
        }
        RunAction::Abandon { run, why, last } => abandon(op, &runs[&run], why, last, None)?,
    }
    Ok(())
}

fn refuse(op: &mut Op<'_, '_>, run: &PendingRun, setback: Setback) -> Result<(), Refused> {
    let retry_max = rule_of(op.tx, run)?.map_or(0, |rule| rule.retry_max);
    match came_to_nothing(run, retry_max, setback, op.now) {
        RunAction::Wait { until, attempt, setback, .. } => {
            put(op.tx, Some(run), &run.waiting(until, attempt, &setback, None, op.now))?;
        }
        RunAction::Abandon { why, last, .. } => abandon(op, run, why, last, None)?,
        RunAction::Dispatch { .. } | RunAction::Follow { .. } => {}
    }
    Ok(())
}
