//! What goes out: effects, and the records that are due.

use super::state::{Core, Link, Pending, Progress, Running, Store};
use crate::{
    Body, Cause, Change, Effect, HeldEntry, Monotonic, PROGRESS_EVERY_MS, RESEND_AFTER_MS, SEND_WINDOW,
    Safety, Ticket, Wake, WakeFor,
};
use schema::{JobId, JobKind, Refusal, Slot};

impl Core {
    /// The next thing to do; `None` when there is nothing until the next input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if let Some(Pending { record, handed_out }) = &mut self.pending {
            return (!::core::mem::replace(handed_out, true)).then_some(Effect::Persist(*record));
        }
        if let Some(storing) = &mut self.storing {
            let effect = Effect::StoreSlot {
                slot: storing.slot,
                revision: storing.revision,
                for_job: storing.for_job,
            };
            return (!::core::mem::replace(&mut storing.handed_out, true)).then_some(effect);
        }
        if let Some(effect) = self.out.pop_front() {
            return Some(effect);
        }
        if let Link::Up { hello_owed: hello_owed @ true, .. } = &mut self.link {
            *hello_owed = false;
            self.clock.said_hello(self.saved.epoch, self.now);
            return Some(Effect::Hello);
        }
        if self.plan_record() {
            return self.poll_effect();
        }
        self.plan_asking_again()
            .or_else(|| self.plan_report())
            .or_else(|| self.plan_progress())
            .or_else(|| self.plan_exit())
    }

    /// When to call [`Core::handle_tick`] again, and what for.
    #[must_use]
    pub fn next_wake(&self) -> Option<Wake> {
        let mut wake: Option<Wake> = None;
        let mut at = |at: Monotonic, what_for| {
            if wake.is_none_or(|wake| at < wake.at) {
                wake = Some(Wake { at, what_for });
            }
        };
        if let Link::Down { retry_at } = self.link
            && !self.stopping
        {
            at(retry_at, WakeFor::Reconnect);
        }
        for running in self.running.iter().filter(|running| running.ended.is_none()) {
            match running.stop {
                None => {
                    if let Some(deadline) = running.deadline {
                        at(deadline, WakeFor::Deadline);
                    }
                }
                Some(stop) => {
                    if let Some(kill_at) = stop.kill_at {
                        at(kill_at, WakeFor::Kill);
                    }
                }
            }
            if self.is_connected() && running.progress.fresh {
                let due =
                    running.progress.sent_at.map_or(self.now.mono, |sent| sent.plus_ms(PROGRESS_EVERY_MS));
                at(due, WakeFor::Progress);
            }
        }
        if self.is_connected() && self.sent > self.saved.acked {
            at(self.quiet_since.plus_ms(RESEND_AFTER_MS), WakeFor::Resend);
        }
        if self.is_connected()
            && let Some(again_at) = self.asks_again_at()
        {
            at(again_at, WakeFor::AskAgain);
        }
        if let Store::Fails { retry_at, .. } = self.store {
            at(retry_at, WakeFor::RetryStore);
        }
        wake
    }

    /// When to say hello again for want of an answer.
    pub(super) fn asks_again_at(&self) -> Option<Monotonic> {
        self.clock.asks_again_at(self.saved.last_report > self.saved.acked)
    }

    pub(super) fn is_resend_due(&self) -> bool {
        self.is_connected()
            && self.sent > self.saved.acked
            && self.now.mono.ms_since(self.quiet_since) >= RESEND_AFTER_MS
    }

    /// Proposes the next record that the state asks for; false when there is none.
    fn plan_record(&mut self) -> bool {
        let taken = self.saved.taken;
        let (works, has_room) = match self.store {
            Store::Works => (true, true),
            Store::Fails { full, .. } => (false, !full),
        };
        if has_room {
            if let Some((change, body)) = self.plan_ending() {
                self.propose(taken, change, Some(body), Safety::Kept);
                return true;
            }
            if let Some(&trouble) = self.troubles.first() {
                self.propose(taken, Change::None, Some(Body::Trouble(trouble)), Safety::Kept);
                return true;
            }
        }
        if has_room && self.saved.incarnation > self.incarnation_stored {
            self.propose(taken, Change::Heard(self.saved.incarnation), None, Safety::Kept);
            return true;
        }
        if works && self.saved.acked > self.acked_stored {
            self.propose(taken, Change::Acked(self.saved.acked), None, Safety::Lazy);
            return true;
        }
        if works
            && !self.stopping
            && let Some(job) = self.next_to_start()
        {
            self.propose(taken, Change::Started(job), Some(Body::Started { job }), Safety::OnDisk);
            return true;
        }
        if let Link::Down { retry_at } = self.link
            && retry_at <= self.now.mono
            && !self.stopping
        {
            self.propose(taken, Change::Epoch(self.saved.epoch.next()), None, Safety::Kept);
            return true;
        }
        false
    }

    /// The first job that waits and may run beside what runs. A download goes first: it would be at its end before
    /// whoever waits for it is gone.
    fn next_to_start(&self) -> Option<JobId> {
        let waiting = || self.saved.held.iter().filter(|entry| entry.started_at.is_none());
        let downloads = waiting().filter(|entry| entry.ticket.kind == JobKind::Download);
        let mut all = downloads.chain(waiting());
        all.find(|entry| self.has_place_for(entry.ticket.kind)).map(|entry| entry.ticket.job)
    }

    /// The end of a job that has one and whose end is not written down.
    fn plan_ending(&mut self) -> Option<(Change, Body)> {
        for &Running { job, ended, stop, .. } in &self.running {
            if let Some((outcome, class)) = ended {
                let cause = Cause::Ran { outcome, class, stop: stop.map(|stop| stop.cause) };
                return Some((Change::Ended(job), Body::Finished { job, cause }));
            }
        }
        let is_gone = |entry: &&HeldEntry| entry.started_at.is_some() && !self.runs(entry.ticket.job);
        if let Some(entry) = self.saved.held.iter().find(is_gone) {
            let job = entry.ticket.job;
            return Some((Change::Ended(job), Body::Finished { job, cause: Cause::Restarted }));
        }
        let lacks_slot = |entry: &&HeldEntry| {
            let HeldEntry { ticket, started_at, .. } = entry;
            started_at.is_none() && ticket.for_other && !self.held_slots.contains(&(ticket.job, Slot::Repo))
        };
        if let Some(entry) = self.saved.held.iter().find(lacks_slot) {
            // It was taken before a restart, and its credentials have gone with the process that held them.
            let job = entry.ticket.job;
            return Some((Change::Ended(job), Body::Finished { job, cause: Cause::Restarted }));
        }
        if self.look_for_expired && self.running.is_empty() {
            // What was taken in time and could not be started until now. While the server's clock is not known, this
            // machine's may be wrong by years: that must not stop a backup.
            let (server_time, wall) = (self.server_time(self.now), self.now.wall);
            let is_expired = |ticket: &Ticket| match server_time {
                Some(now) => ticket.expires_at < now,
                None => ticket.group.is_none() && ticket.expires_at < wall,
            };
            if let Some(entry) = self.saved.held.iter().find(|entry| is_expired(&entry.ticket)) {
                let job = entry.ticket.job;
                return Some((Change::Ended(job), Body::Refused { job, reason: Refusal::Expired }));
            }
            self.look_for_expired = false;
        }
        None
    }

    /// A new hello makes the server send again what was not taken; pointless before it can be taken.
    fn plan_asking_again(&mut self) -> Option<Effect> {
        let can_take = !matches!(self.store, Store::Fails { full: true, .. }) && self.saved.can_answer();
        if !(self.ask_again && can_take && self.is_connected() && !self.stopping) {
            return None;
        }
        self.ask_again = false;
        self.link = Link::Down { retry_at: self.now.mono.plus_ms(self.backoff.next_ms()) };
        Some(Effect::Disconnect)
    }

    fn plan_report(&mut self) -> Option<Effect> {
        let is_open = self.is_served() && self.sent.since(self.saved.acked) < SEND_WINDOW;
        if !is_open || self.sent >= self.saved.last_report {
            return None;
        }
        if self.sent == self.saved.acked {
            self.quiet_since = self.now.mono;
        }
        self.sent = self.sent.next();
        Some(Effect::Report { seq: self.sent })
    }

    fn plan_progress(&mut self) -> Option<Effect> {
        let is_connected = self.is_connected();
        let now = self.now.mono;
        let is_due = |running: &&mut Running| {
            let Progress { fresh, sent_at } = running.progress;
            fresh
                && running.ended.is_none()
                && sent_at.is_none_or(|sent| now.ms_since(sent) >= PROGRESS_EVERY_MS)
        };
        let running = self.running.iter_mut().find(is_due).filter(|_| is_connected)?;
        running.progress.fresh = false;
        running.progress.sent_at = Some(self.now.mono);
        Some(Effect::Progress { job: running.job })
    }

    fn plan_exit(&mut self) -> Option<Effect> {
        if !self.stopping || !self.running.is_empty() {
            return None;
        }
        match self.link {
            Link::Up { .. } => {
                self.link = Link::Closed;
                Some(Effect::Gone { epoch: self.saved.epoch })
            }
            Link::Exited => None,
            Link::Down { .. } | Link::Connecting | Link::Closed => {
                self.link = Link::Exited;
                Some(Effect::Exit)
            }
        }
    }
}
