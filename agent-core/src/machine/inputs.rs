//! What happens to the machine besides what the server says and what was written down: time, the connection, jobs.

use super::state::{Busy, Core, Link, Stop, Store};
use crate::{
    Body, Change, Effect, KILL_AFTER_MS, KILL_AT_STOP_AFTER_MS, Now, STEADY_AFTER_MS, STORE_RETRY_AFTER_MS,
    Safety, StopCause, Ticket, verdict,
};
use schema::{Class, GroupKey, JobId, JobKind, Outcome, Slot, Timestamp, report::Trouble};

impl Core {
    /// Time has passed.
    pub fn handle_tick(&mut self, now: Now) {
        self.pass_to(now);
        for running in self.running.iter_mut().filter(|running| running.ended.is_none()) {
            if running.stop.is_none() && running.deadline.is_some_and(|at| at <= now.mono) {
                running.stop =
                    Some(Stop { cause: StopCause::Deadline, kill_at: Some(now.mono.plus_ms(KILL_AFTER_MS)) });
                let _ = self.out.push_back(Effect::Interrupt { job: running.job });
            }
            if let Some(stop) = &mut running.stop
                && stop.kill_at.is_some_and(|at| at <= now.mono)
            {
                stop.kill_at = None;
                let _ = self.out.push_back(Effect::Kill { job: running.job });
            }
        }
        if let Store::Fails { retry_at, .. } = &mut self.store
            && *retry_at <= now.mono
        {
            *retry_at = now.mono.plus_ms(STORE_RETRY_AFTER_MS);
            let _ = self.out.push_back(Effect::RetryStore);
        }
        self.ask_again |= self.is_connected() && self.asks_again_at().is_some_and(|at| at <= now.mono);
        if self.is_resend_due() {
            self.sent = self.saved.acked;
            self.quiet_since = now.mono;
        }
    }

    /// The connection of the epoch that [`Effect::Connect`] named stands.
    pub fn handle_connected(&mut self, now: Now) {
        self.pass_to(now);
        if self.stopping {
            return;
        }
        self.link = Link::Up { since: now.mono, hello_owed: true };
        self.is_served = false;
        self.sent = self.saved.acked;
        self.quiet_since = now.mono;
        self.seen_command = false;
        self.ask_again = false;
    }

    /// The connection is gone, or did not come about.
    pub fn handle_disconnected(&mut self, now: Now) {
        self.pass_to(now);
        match self.link {
            Link::Up { since, .. } if now.mono.ms_since(since) >= STEADY_AFTER_MS => self.backoff.reset(),
            Link::Up { .. } | Link::Connecting => {}
            Link::Down { .. } | Link::Closed | Link::Exited => return,
        }
        self.link = Link::Down { retry_at: now.mono.plus_ms(self.backoff.next_ms()) };
    }

    /// The server refused the login: nothing but a person mends that, so the next try comes later.
    pub fn handle_refused(&mut self, now: Now) {
        self.pass_to(now);
        if let Link::Up { .. } | Link::Connecting = self.link {
            self.link = Link::Down { retry_at: now.mono.plus_ms(self.backoff.next_refused_ms()) };
        }
    }

    /// The state folder was found to be unwritable in between.
    pub fn handle_trouble(&mut self, trouble: Trouble, now: Now) {
        self.pass_to(now);
        if !self.troubles.contains(&trouble) {
            // One place for each kind.
            let _ = self.troubles.push(trouble);
        }
    }

    /// A piece of log or listing of a running job is at hand; the next record carries it. `expendable`: it may be
    /// given up when space runs out.
    pub fn handle_chunk(&mut self, job: JobId, expendable: bool, now: Now) -> Result<(), Busy> {
        self.pass_to(now);
        self.check_idle()?;
        if self.runs(job) {
            let safety = if expendable { Safety::OnDisk } else { Safety::Kept };
            self.propose(self.saved.taken, Change::None, Some(Body::Chunk { job, expendable }), safety);
        }
        Ok(())
    }

    /// A backup of the plan is due and the server is away: take it. `false`: it can't be taken now.
    pub fn handle_own(&mut self, job: JobId, group: GroupKey, now: Now) -> Result<bool, Busy> {
        self.pass_to(now);
        self.check_idle()?;
        let can_be_taken = !self.is_connected()
            && !self.stopping
            && !self.store_fails()
            && !self.saved.held.is_full()
            && self.saved.slot(Slot::Repo).filled;
        if can_be_taken {
            let ticket = Ticket {
                job,
                kind: JobKind::Backup,
                urgent: false,
                expires_at: Timestamp(u64::MAX),
                deadline_secs: 0,
                group: Some(group),
                own: true,
                for_other: false,
                taken_at: self.best_time(),
            };
            let taken = self.saved.taken;
            self.propose(taken, Change::Queued(ticket), Some(Body::Own { job }), Safety::OnDisk);
        }
        Ok(can_be_taken)
    }

    /// A running job has come further.
    pub fn handle_progress(&mut self, job: JobId, now: Now) {
        self.pass_to(now);
        if let Some(running) = self.open(job) {
            running.progress.fresh = true;
        }
    }

    /// A running job has ended, and all its chunks are handed over.
    pub fn handle_ended(&mut self, job: JobId, outcome: Outcome, class: Option<Class>, now: Now) {
        self.pass_to(now);
        if let Some(running) = self.open(job) {
            let stop = running.stop.map(|stop| stop.cause);
            running.ended = Some(verdict(stop, outcome, class));
        }
    }

    /// The agent is to end: what runs is interrupted and its result written down, then comes
    /// [`Effect::Exit`].
    pub fn handle_shutdown(&mut self, now: Now) {
        self.pass_to(now);
        if self.stopping {
            return;
        }
        self.stopping = true;
        if !matches!(self.link, Link::Up { .. }) {
            self.link = Link::Closed;
        }
        for job in self.running.clone().iter().map(|running| running.job) {
            self.stop(job, StopCause::Shutdown, KILL_AT_STOP_AFTER_MS);
        }
    }
}
