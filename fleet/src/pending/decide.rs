//! What is done with the runs that wait: pure.
//!
//! [`plan_drain`] looks at runs and at the world as plain data, and says what to do and why. What needs nothing gets no
//! action, so that applying a plan and planning again yields nothing.

use super::retry::{LONGEST_MS, backoff_ms};
use super::setback::{GiveUp, Setback};
use crate::record::{PendingRun, TryError};
use schema::{HostId, JobId, PendingId, Timestamp};
use std::collections::BTreeMap;

/// How long a run waits for room in its host's queue.
const NO_ROOM_MS: u64 = 60_000;

/// What a run needs to know of the world. What is not in it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct World {
    /// Schedules that name this group: host, schedule, group.
    pub(crate) rules: BTreeMap<(HostId, String, String), GroupSchedule>,
    /// What stands between each source group (host, group) and its backup.
    pub(crate) groups: BTreeMap<(HostId, String), Hurdle>,
    /// How many more jobs a host may be given.
    pub(crate) room: BTreeMap<HostId, usize>,
}

/// What a schedule says of the backups of one of its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupSchedule {
    pub(crate) enabled: bool,
    pub(crate) retry_max: u16,
}

/// What stands between a group and its backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hurdle {
    /// Nothing: the backup can be dispatched.
    Clear,
    /// No time ends it: the host is not here and its hello will tell, or a person has to start its backups.
    Parked(Setback),
    /// Its backup is open already.
    Open(JobId),
    /// It would be refused.
    Refused(Setback),
}

/// What is done with a pending run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunAction {
    /// One backup is dispatched for these: they are of the same group.
    Dispatch { runs: Vec<PendingId> },
    /// The backup that is open already is as good.
    Follow { run: PendingId, job: JobId },
    /// It waits until then (`None` = the host's hello, or a person).
    Wait { run: PendingId, until: Option<Timestamp>, attempt: u16, setback: Setback },
    /// It is given up, after a last try that came to this, where it is for that.
    Abandon { run: PendingId, why: GiveUp, last: Option<Setback> },
}

/// Plans what is done with runs of any hosts.
pub(crate) fn plan_drain(now: Timestamp, runs: &[PendingRun], world: &World) -> Vec<RunAction> {
    let mut actions = Vec::new();
    let mut room = world.room.clone();
    let mut dispatched: BTreeMap<(HostId, &str), usize> = BTreeMap::new();
    // What was handed over is judged when its job ends.
    for run in runs.iter().filter(|run| run.job.is_none()) {
        let Some(hurdle) = world.groups.get(&(run.host, run.group.clone())) else {
            actions.push(RunAction::Abandon { run: run.id, why: GiveUp::GroupGone, last: None });
            continue;
        };
        let Some(rule) = world.rules.get(&(run.host, run.schedule.clone(), run.group.clone())) else {
            actions.push(RunAction::Abandon { run: run.id, why: GiveUp::ScheduleGone, last: None });
            continue;
        };
        if !rule.enabled || !is_due(run, now) {
            continue;
        }
        match hurdle {
            Hurdle::Parked(setback) => {
                let is_known = run.last_error.as_ref().is_some_and(|error| error.code == setback.code());
                if run.next_attempt_at.is_some() || !is_known {
                    let (attempt, setback) = (run.attempt, setback.clone());
                    actions.push(RunAction::Wait { run: run.id, until: None, attempt, setback });
                }
            }
            Hurdle::Open(job) => actions.push(RunAction::Follow { run: run.id, job: *job }),
            Hurdle::Refused(setback) => {
                actions.push(came_to_nothing(run, rule.retry_max, setback.clone(), now));
            }
            Hurdle::Clear => {
                let key = (run.host, run.group.as_str());
                if let Some(RunAction::Dispatch { runs }) =
                    dispatched.get(&key).and_then(|place| actions.get_mut(*place))
                {
                    runs.push(run.id);
                    continue;
                }
                let left = room.entry(run.host).or_default();
                if *left == 0 {
                    let (until, attempt) = (Some(now.plus_ms(NO_ROOM_MS)), run.attempt);
                    actions.push(RunAction::Wait { run: run.id, until, attempt, setback: Setback::NoRoom });
                    continue;
                }
                *left -= 1;
                dispatched.insert(key, actions.len());
                actions.push(RunAction::Dispatch { runs: vec![run.id] });
            }
        }
    }
    actions
}

/// A run whose next try is further away than any delay can be was planned by a clock that was ahead.
fn is_due(run: &PendingRun, now: Timestamp) -> bool {
    run.next_attempt_at.is_none_or(|at| at <= now || at.0 > now.0 + LONGEST_MS)
}

/// A try came to nothing: it comes again, or was the last one.
pub(crate) fn came_to_nothing(
    run: &PendingRun,
    retry_max: u16,
    setback: Setback,
    now: Timestamp,
) -> RunAction {
    let attempt = run.attempt.saturating_add(1);
    if attempt > retry_max {
        return RunAction::Abandon { run: run.id, why: GiveUp::Tries, last: Some(setback) };
    }
    let until = Some(now.plus_ms(backoff_ms(run.id, attempt)));
    RunAction::Wait { run: run.id, until, attempt, setback }
}

impl PendingRun {
    /// The run as it waits now.
    pub(crate) fn waiting(
        &self,
        until: Option<Timestamp>,
        attempt: u16,
        setback: &Setback,
        job: Option<JobId>,
        now: Timestamp,
    ) -> Self {
        let (code, message) = (setback.code().to_owned(), setback.said());
        Self {
            attempt,
            next_attempt_at: until,
            last_error: Some(TryError { at: now, code, message, job }),
            job: None,
            ..self.clone()
        }
    }

    /// The run as if it had only just been born: it is tried at once.
    pub(crate) fn anew(&self, now: Timestamp) -> Self {
        Self { attempt: 0, next_attempt_at: Some(now), last_error: None, job: None, ..self.clone() }
    }

    /// The run with a job that was dispatched for it.
    pub(crate) fn handed_over(&self, job: JobId) -> Self {
        Self { job: Some(job), next_attempt_at: None, ..self.clone() }
    }

    /// The run with due times that have come: one that lies ahead was written by a clock that was wrong.
    pub(crate) fn come_due(&self, now: Timestamp) -> Self {
        Self { due_at: self.due_at.min(now), last_due_at: self.last_due_at.min(now), ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
