//! Runs of restic: those of the job itself, and the small ones around it.

use super::{
    super::{
        findings::{Findings, Holder},
        locks,
        outcome::{self, Ended, Stop, UNHEARD, Verdict},
        processes::{Processes, Started},
        pump::{self, Launch, StartError, StepEnd},
        ssh::{self, Held},
        step::{Step, StepKind},
        version::Restic,
    },
    Job, wall_clock,
};
use crate::{clock, folder::NamedFolder, logger, rfc3339};
use core::time::Duration;
use schema::{Class, Outcome};
use std::path::Path;

/// How long each of the small runs around a job may take.
pub(super) const SIDE_LIMIT: Duration = Duration::from_secs(120);
/// And how long when the job was stopped: somebody waits for its end, and restic may hang.
pub(super) const SIDE_LIMIT_AFTER_STOP: Duration = Duration::from_secs(20);

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

    /// Runs a step of the job itself, and once more when a lock was in its way that this agent left behind, or that may
    /// go within minutes.
    pub(super) async fn main_step(&mut self, step: &Step) -> Done {
        let done = self.main_step_once(step).await;
        self.known.unclean |= self.processes.settle(wall_clock());
        if done.verdict.class != Some(Class::RepoLocked) || self.wires.stop.is_some() {
            return done;
        }
        let holder = done.found.holder.as_ref();
        if holder.is_some_and(|holder| self.processes.knows(&holder.hostname, holder.pid))
            && self.remove_left_locks().await
        {
            self.say("The lock was left behind by a restic of this agent: removed it, now once more.").await;
            return self.main_step_once(step).await;
        }
        let Some(step) = step.waiting_long() else { return done };
        let holder = self.who_locks(done.found.holder).await;
        self.say(&format!("{holder} keeps this job waiting, up to five minutes.")).await;
        self.main_step_once(&step).await
    }

    /// Who holds the oldest lock, in words.
    async fn who_locks(&mut self, named: Option<Holder>) -> String {
        self.look_at_locks().await;
        match (self.known.figures.lock.as_ref().and_then(|look| look.lock.as_ref()), named) {
            (Some(lock), _) => format!(
                "The lock that process {} of {} on {} has held since {}",
                lock.pid,
                lock.username,
                lock.hostname,
                rfc3339::Instant(lock.since)
            ),
            (None, Some(named)) => format!("The lock of process {} on {}", named.pid, named.hostname),
            (None, None) => "A lock".to_owned(),
        }
    }

    /// The same without another try: of a step that has given something away.
    pub(super) async fn main_step_once(&mut self, step: &Step) -> Done {
        if let Some(stop) = self.wires.poll_stop() {
            return Done { verdict: stopped(stop), found: Findings::default() };
        }
        self.say(&format!("restic {}", step.shown())).await;
        self.started_at.get_or_insert_with(wall_clock);
        let end = self.step(step, false).await;
        let done = self.judged(step, end);
        if self.wires.stop.is_some() && step.kind.takes_lock() {
            // Even after an interrupt a lock may be left: restic forgets one that it has only just written.
            self.remove_left_locks().await;
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
            ca: self.credentials.map_or("", |credentials| &credentials.ca),
            option: self.way.held.as_ref().map(Held::option),
            env: self.credentials.map_or(&[][..], |credentials| &credentials.env),
            mask: &self.mask,
            folder: self
                .restore_folder
                .as_ref()
                .filter(|_| step.kind == StepKind::Restore)
                .map(NamedFolder::start_in),
        };
        let mut running = None;
        let (processes, folder) = (&mut self.processes, &self.places.home);
        let mut on_spawn = |pid| {
            if step.kind.takes_lock() {
                running = Some(pid);
                processes.begin(Started::look(locks::own_hostname(), pid, wall_clock()));
                keep(processes, folder);
            }
        };
        let mut end = pump::run_step(step, &launch, &mut self.wires, quiet, &mut on_spawn).await;
        if let (Ok(end), Some((_, target))) = (&mut end, &self.way.ssh)
            && end.found.ssh_was_silent()
        {
            for line in ssh::said(target, self.way.held.as_ref(), &self.places.path).await {
                if !quiet {
                    self.wires.say(&format!("ssh: {line}")).await;
                }
                end.found.ssh_says(line);
            }
        }
        if end.as_ref().is_ok_and(|end| end.found.is_untrusted()) {
            self.untrusted.clone_from(&self.way.ssh);
        }
        if let Some(pid) = running {
            // 3: a backup with files that could not be read.
            let is_clean = end.as_ref().is_ok_and(|end| {
                end.stop.is_none() && !end.killed && matches!(end.ended, Ended::Code(0 | 3))
            });
            self.processes.end(pid, !is_clean, wall_clock());
            keep(&self.processes, &self.places.home);
        }
        end
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
        self.wires.deadline = Some(clock::instant() + limit);
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

/// Without it a lock that is left stays until somebody removes it: no reason not to run the job.
fn keep(processes: &Processes, folder: &Path) {
    if let Err(error) = processes.save(folder) {
        logger::warn(format_args!("the record of restic's processes can't be kept: {error}"));
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
        Stop::Unheard => Verdict::failed(Class::Network, UNHEARD),
        Stop::Timeout | Stop::Silent | Stop::Hopeless => {
            Verdict::failed(Class::Timeout, "The job's deadline passed before restic was started.")
        }
    }
}
