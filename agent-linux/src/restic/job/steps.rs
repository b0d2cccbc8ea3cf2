//! Runs of restic: those of the job itself, and the small ones around it.

use super::{
    super::{
        args::{Step, StepKind},
        findings::Findings,
        locks,
        outcome::{self, Ended, Stop, Verdict},
        pump::{self, Launch, StartError, StepEnd},
        version::Restic,
    },
    Job, wall_clock,
};
use core::time::Duration;
use schema::{Class, Outcome};
use std::{os::fd::AsFd, path::Path};
use tokio::time::Instant;

/// How long each of the small runs around a job may take.
const SIDE_LIMIT: Duration = Duration::from_secs(120);
/// And how long when the job was stopped: somebody waits for its end, and restic may hang.
const SIDE_LIMIT_AFTER_STOP: Duration = Duration::from_secs(20);

/// A step that ran, judged.
pub(super) struct Done {
    pub(super) verdict: Verdict,
    pub(super) found: Findings,
}

impl Done {
    pub(super) fn is_ok(&self) -> bool {
        matches!(self.verdict.outcome, Outcome::Succeeded | Outcome::Warning)
    }
}

impl Job<'_> {
    /// A line of the agent's own in the job's log.
    pub(super) async fn say(&self, text: &str) {
        self.wires.say(&self.mask.hide(text)).await;
    }

    /// Runs a step of the job itself, and once more when only a lock of our own dead process was in its way.
    pub(super) async fn main_step(&mut self, step: &Step) -> Done {
        let done = self.main_step_once(step).await;
        let own = locks::own_hostname();
        let is_dead_own = |done: &Done| {
            let holder = done.found.holder.as_ref();
            holder.is_some_and(|holder| holder.hostname == own && locks::has_ended(holder.pid))
        };
        if done.verdict.class != Some(Class::RepoLocked) || self.wires.stop.is_some() || !is_dead_own(&done) {
            return done;
        }
        self.say("The lock belongs to a process of this machine that is gone: removing it, then once more.")
            .await;
        self.remove_dead_locks().await;
        self.main_step_once(step).await
    }

    async fn main_step_once(&mut self, step: &Step) -> Done {
        if let Some(stop) = self.wires.poll_stop() {
            return Done { verdict: stopped(stop), found: Findings::default() };
        }
        self.say(&format!("restic {}", step.shown())).await;
        self.started_at.get_or_insert_with(wall_clock);
        let end = self.step(step, false).await;
        let done = self.judged(step, end);
        if self.wires.stop.is_some() && step.kind.takes_lock() {
            // Even after an interrupt a lock may be left: restic forgets one that it has only just written.
            self.remove_dead_locks().await;
        }
        done
    }

    fn judged(&mut self, step: &Step, end: Result<StepEnd, StartError>) -> Done {
        match end {
            Ok(end) => {
                self.exit_code = end.ended.code();
                self.known.unclean |=
                    step.kind.takes_lock() && (end.killed || matches!(end.ended, Ended::Signal(_)));
                let verdict = outcome::judge(step.kind, end.ended, end.stop, &end.found);
                Done { verdict, found: end.found }
            }
            Err(error) => not_started(&error),
        }
    }

    async fn step(&mut self, step: &Step, quiet: bool) -> Result<StepEnd, StartError> {
        // Without one, no job comes this far.
        let restic = self.known.restic.as_ref().map_or(Path::new(""), Restic::path);
        let launch = Launch {
            places: self.places,
            restic,
            repository: &self.repository,
            password: self.credentials.map_or("", |credentials| &credentials.repo_password),
            env: self.credentials.map_or(&[][..], |credentials| &credentials.env),
            mask: &self.mask,
            folder: self.restore_folder.as_ref().filter(|_| step.kind == StepKind::Restore).map(AsFd::as_fd),
        };
        pump::run_step(step, &launch, &mut self.wires, quiet).await
    }

    /// Runs a small step around the job; what it finds, if it did its work.
    pub(super) async fn side_step(&mut self, step: &Step) -> Option<Findings> {
        let done = self.side_run(step).await;
        (done.verdict.outcome == Outcome::Succeeded).then_some(done.found)
    }

    /// Runs a small step around the job, with a limit of its own.
    pub(super) async fn side_run(&mut self, step: &Step) -> Done {
        let (deadline, stop) = (self.wires.deadline, self.wires.stop);
        let limit = if stop.is_some() { SIDE_LIMIT_AFTER_STOP } else { SIDE_LIMIT };
        self.wires.deadline = Some(Instant::now() + limit);
        let end = self.step(step, true).await;
        self.wires.deadline = deadline;
        // A limit of this step is none of the job's; a cancel is.
        self.wires.stop = stop.or(self.wires.stop.filter(|&stop| stop == Stop::Cancelled));
        match end {
            Ok(end) => {
                let verdict = outcome::judge(step.kind, end.ended, end.stop, &end.found);
                Done { verdict, found: end.found }
            }
            Err(error) => not_started(&error),
        }
    }
}

fn not_started(error: &StartError) -> Done {
    let verdict = Verdict::failed(Class::Other, &format!("restic was not started: {error}"));
    Done { verdict, found: Findings::default() }
}

pub(super) fn stopped(stop: Stop) -> Verdict {
    match stop {
        Stop::Cancelled => Verdict {
            outcome: Outcome::Cancelled,
            class: Some(Class::Cancelled),
            message: "The job was ended before restic was started.".to_owned(),
        },
        Stop::Timeout | Stop::Silent => {
            Verdict::failed(Class::Timeout, "The job's deadline passed before restic was started.")
        }
    }
}
