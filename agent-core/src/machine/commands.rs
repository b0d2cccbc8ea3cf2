//! What the server sends: acks, and commands, each of which is answered.

use super::state::{Busy, Core, Store, Storing};
use crate::{Body, Cause, Change, HeldEntry, KILL_AFTER_MS, Now, Safety, StopCause, Ticket};
use schema::{
    Command, CommandBody, CommandSeq, ConfigUpdate, GroupKey, JobId, JobKind, JobSpec, Refusal, ReportSeq,
    Run, Slot, Stream, Timestamp, ToAgent,
};

impl Core {
    /// A message on `cmd`. It may be acknowledged to the broker when [`Core::poll_effect`] has been drained and
    /// [`crate::Saved::taken`] has reached its number.
    pub fn handle_message(&mut self, message: &ToAgent<'_>, now: Now) -> Result<(), Busy> {
        self.pass_to(now);
        match message {
            ToAgent::Ack { stream, through, answer, .. } => {
                if let Some(answer) = answer {
                    self.take_answer(*answer);
                }
                if self.is_served {
                    self.handle_ack(*stream, *through);
                }
                Ok(())
            }
            ToAgent::Command(command) => self.handle_command(command),
            // Whoever runs the job takes it.
            ToAgent::Credit { .. } => Ok(()),
        }
    }

    /// A command of this number could not be decoded.
    pub fn handle_not_understood(&mut self, seq: CommandSeq, now: Now) -> Result<(), Busy> {
        self.pass_to(now);
        self.check_idle()?;
        if seq > self.saved.taken {
            self.propose(seq, Change::None, Some(Body::NotUnderstood { seq }), Safety::Kept);
        }
        Ok(())
    }

    fn handle_ack(&mut self, stream: Stream, through: ReportSeq) {
        let through = through.min(self.saved.last_report);
        if stream == self.saved.stream && through < self.saved.acked {
            // It counts from further back than it has acked, and waits for what is not here any more: a new hello
            // says how far we are.
            self.ask_again = true;
        }
        if stream == self.saved.stream && through > self.saved.acked {
            self.saved.acked = through;
            self.sent = self.sent.max(through);
            self.quiet_since = self.now.mono;
            if through == self.saved.last_report {
                self.taken_safely = self.saved.taken;
            }
        }
    }

    fn handle_command(&mut self, command: &Command<'_>) -> Result<(), Busy> {
        self.check_idle()?;
        let Command { seq, expires_at, body } = *command;
        let is_new = seq > self.saved.taken;
        if self.stopping {
            return Ok(());
        }
        let Some(server_time) = self.server_time(self.now).filter(|_| self.is_served) else {
            self.wait_for_time();
            return Ok(());
        };
        if matches!(self.store, Store::Fails { full: true, .. }) || (is_new && self.is_behind_gap(seq)) {
            self.ask_again = true;
            return Ok(());
        }
        match body {
            CommandBody::Run(run) => {
                let is_expired = expires_at < server_time;
                if is_new && is_expired && !self.clock.is_fresh(self.now.mono) {
                    self.wait_for_time();
                    return Ok(());
                }
                self.handle_run(seq, is_new, is_expired, expires_at, &run);
            }
            CommandBody::Cancel { job } => self.handle_cancel(seq, is_new, job),
            CommandBody::ConfigUpdate(update) => self.handle_config(seq, is_new, &update),
        }
        Ok(())
    }

    /// Whether a command before this one may still be on its way. Commands are taken in order; a missing one is asked
    /// for with a new hello, and given up only when the server itself begins behind it time and again.
    fn is_behind_gap(&mut self, seq: CommandSeq) -> bool {
        let is_first = !core::mem::replace(&mut self.seen_command, true);
        if seq <= self.saved.taken.next() {
            return false;
        }
        !self.gap.is_believed(self.saved.taken, is_first)
    }

    fn handle_run(
        &mut self,
        seq: CommandSeq,
        is_new: bool,
        is_expired: bool,
        expires_at: Timestamp,
        run: &Run<'_>,
    ) {
        let job = run.job;
        let refusal = if self.saved.known(job).is_some() {
            if !is_new {
                // Its answer is in the journal, or has arrived.
                return;
            }
            // Known, and under a new number: say so, and leave its own answer as it is.
            let body = Body::Refused { job, reason: Refusal::AlreadyStarted };
            self.propose(seq, Change::None, Some(body), Safety::Kept);
            return;
        } else if !self.saved.can_answer() {
            // Not taken; it comes again when the server has acked some answers.
            self.ask_again = true;
            return;
        } else if !is_new || is_expired {
            // Overtaken by a later command, or too old.
            Some(Refusal::Expired)
        } else if self.saved.held.is_full() {
            Some(Refusal::QueueFull)
        } else if !self.has_credentials(run) {
            Some(Refusal::NoCredentials)
        } else if self.store_fails() {
            Some(Refusal::StateFolder)
        } else if matches!(run.spec, JobSpec::Download { .. }) && self.keeps_downloads_off() {
            // Nobody waits for it until that has ended.
            Some(Refusal::Busy)
        } else {
            None
        };
        match refusal {
            Some(reason) => self.refuse(seq, job, reason),
            None => {
                let ticket = Ticket {
                    job,
                    kind: run.spec.kind(),
                    // Somebody waits for it: what is looked for and restored comes before what is saved.
                    urgent: matches!(
                        run.spec,
                        JobSpec::Unlock { all: false }
                            | JobSpec::Restore(_)
                            | JobSpec::Ls { .. }
                            | JobSpec::Browse { .. }
                            | JobSpec::Find(_)
                            | JobSpec::Diff { .. }
                            | JobSpec::Download { .. }
                    ),
                    expires_at,
                    deadline_secs: run.deadline_secs,
                    group: match run.spec {
                        JobSpec::Backup(backup) => Some(GroupKey::of(backup.group)),
                        _ => None,
                    },
                    own: false,
                    for_other: run.for_host.is_some(),
                    taken_at: self.best_time(),
                };
                let behind = self.jobs_before(&ticket);
                let body = Body::Accepted { job, behind };
                self.propose(seq, Change::Queued(ticket), Some(body), Safety::OnDisk);
            }
        }
    }

    /// A job for another host has what came for it, and any other one what the agent itself has.
    fn has_credentials(&self, run: &Run<'_>) -> bool {
        match run.for_host {
            Some(_) => self.held_slots.contains(&(run.job, Slot::Repo)),
            None => self.saved.slot(Slot::Repo).filled,
        }
    }

    /// Cancelling is bound to one job id and does the same whether it comes once or twice, early or late.
    fn handle_cancel(&mut self, seq: CommandSeq, is_new: bool, job: JobId) {
        let entry = self.saved.held.iter().find(|entry| entry.ticket.job == job);
        match entry.map(|entry| entry.started_at.is_some()) {
            Some(true) => {
                if is_new {
                    self.propose(seq, Change::None, None, Safety::Kept);
                }
                self.stop(job, StopCause::Cancel, KILL_AFTER_MS);
            }
            Some(false) => {
                let body = Body::Finished { job, cause: Cause::CancelledInQueue };
                self.propose(seq, Change::Ended(job), Some(body), Safety::Kept);
            }
            None if is_new => {
                // What came for a job that will not come is let go with it.
                self.held_slots.retain(|(held_for, _)| *held_for != job);
                self.propose(seq, Change::None, Some(Body::CancelMissed { job }), Safety::Kept);
            }
            None => {}
        }
    }

    fn handle_config(&mut self, seq: CommandSeq, is_new: bool, update: &ConfigUpdate<'_>) {
        let ConfigUpdate { slot, revision, for_job, credentials } = *update;
        let current = self.saved.slot(slot).revision;
        let refused = match for_job {
            None if slot == Slot::Repo && revision <= current => {
                if is_new {
                    let body = Body::ConfigApplied { slot, revision: current, refused: None };
                    self.propose(seq, Change::None, Some(body), Safety::Kept);
                }
                return;
            }
            // Held for a job that has ended meanwhile, or a question that was answered.
            Some(_) if !is_new => return,
            None if slot == Slot::Admin && !is_new => return,
            Some(job) if self.held_slots.is_full() && !self.held_slots.contains(&(job, slot)) => {
                Some(Refusal::QueueFull)
            }
            None if slot == Slot::Repo && self.store_fails() => Some(Refusal::StateFolder),
            _ => None,
        };
        if let Some(reason) = refused {
            match for_job.filter(|_| slot == Slot::Repo) {
                Some(job) => self.refuse(seq, job, reason),
                None => {
                    let body = Body::ConfigApplied { slot, revision, refused };
                    self.propose(seq, Change::None, Some(body), Safety::Kept);
                }
            }
            return;
        }
        let filled = credentials.is_some();
        self.storing = Some(Storing { seq, slot, revision, filled, for_job, handed_out: false });
    }

    pub(super) fn refuse(&mut self, seq: CommandSeq, job: JobId, reason: Refusal) {
        self.propose(seq, Change::Refused(job), Some(Body::Refused { job, reason }), Safety::Kept);
    }

    /// Whether a download could not begin at once: one is held, or what runs bears none beside it.
    fn keeps_downloads_off(&self) -> bool {
        let is_held = self.saved.held.iter().any(|entry| entry.ticket.kind == JobKind::Download);
        is_held || !self.has_place_for(JobKind::Download)
    }

    fn jobs_before(&self, ticket: &Ticket) -> u8 {
        if ticket.kind == JobKind::Download {
            return 0;
        }
        let is_before = |entry: &&HeldEntry| {
            entry.ticket.kind != JobKind::Download
                && (entry.started_at.is_some() || entry.ticket.urgent || !ticket.urgent)
        };
        u8::try_from(self.saved.held.iter().filter(is_before).count()).unwrap_or(u8::MAX)
    }
}
