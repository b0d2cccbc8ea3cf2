//! The state machine: what comes in. What goes out is in `effects`.

mod effects;

use crate::{
    Backoff, Body, Cause, Change, Effect, KILL_AFTER_MS, KILL_AT_STOP_AFTER_MS, MAX_HELD_SLOTS, Monotonic,
    Now, Record, STEADY_AFTER_MS, STORE_RETRY_AFTER_MS, Safety, Saved, StopCause, Ticket, verdict,
};
use heapless::{Deque, Vec};
use schema::{
    Class, Command, CommandBody, ConfigUpdate, JobId, JobSpec, Outcome, Refusal, Run, Slot, ToAgent,
    report::Trouble,
};

/// A record waits for its answer: drain [`Core::poll_effect`] first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl core::fmt::Display for Busy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a record is being written")
    }
}

impl core::error::Error for Busy {}

/// What an agent starts from.
#[derive(Clone, Debug)]
pub struct Start {
    /// What the journal says; its slots are what the slot files say.
    pub saved: Saved,
    /// For the jitter of reconnects.
    pub seed: u64,
    /// What is to be told to the server about the start itself.
    pub trouble: Option<Trouble>,
}

/// The agent's state machine; see the crate's documentation.
#[derive(Clone, Debug)]
pub struct Core {
    saved: Saved,
    now: Now,
    link: Link,
    backoff: Backoff,
    pending: Option<Pending>,
    storing: Option<Storing>,
    store: Store,
    running: Option<Running>,
    held_slots: Vec<(JobId, Slot), MAX_HELD_SLOTS>,
    troubles: Vec<Trouble, 4>,
    out: Deque<Effect, 8>,
    acked_stored: u64,
    taken_safely: u64,
    sent: u64,
    quiet_since: Monotonic,
    look_for_expired: bool,
    stopping: bool,
    /// A command came that could not be taken: it has to come again.
    ask_again: bool,
    /// Whether a new command came on this connection.
    seen_command: bool,
    gap: Gap,
}

/// Numbers that seem to be missing behind those taken.
#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    taken: u64,
    /// On how many connections in a row the first command came behind this gap.
    seen: u8,
}

/// A gap is believed when the server has begun behind it on so many connections in a row.
const BELIEVE_GAP_AFTER: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down {
        retry_at: Monotonic,
    },
    Connecting,
    Up {
        since: Monotonic,
        hello_owed: bool,
    },
    /// The clean gone is out.
    Closed,
    /// Nothing more to do.
    Exited,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    record: Record,
    handed_out: bool,
}

#[derive(Clone, Copy, Debug)]
struct Storing {
    seq: u64,
    slot: Slot,
    revision: u64,
    filled: bool,
    for_job: Option<JobId>,
    handed_out: bool,
}

#[derive(Clone, Copy, Debug)]
enum Store {
    Works,
    Fails { retry_at: Monotonic, full: bool },
}

#[derive(Clone, Copy, Debug)]
struct Running {
    job: JobId,
    deadline: Option<Monotonic>,
    stop: Option<Stop>,
    progress: Progress,
    ended: Option<(Outcome, Option<Class>)>,
}

#[derive(Clone, Copy, Debug)]
struct Stop {
    cause: StopCause,
    kill_at: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    fresh: bool,
    sent_at: Option<Monotonic>,
}

/// How a record fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is on disk.
    OnDisk,
    /// The disk does not take it; it is kept in memory and written later. Not for [`Safety::OnDisk`].
    InMemory,
    /// It is nowhere.
    Not,
}

impl Core {
    /// Begins with what the journal says; connects at once.
    #[must_use]
    pub fn new(start: Start, now: Now) -> Self {
        let Start { saved, seed, trouble } = start;
        let mut troubles = Vec::new();
        if let Some(trouble) = trouble {
            let _ = troubles.push(trouble);
        }
        Self {
            now,
            link: Link::Down { retry_at: now.mono },
            backoff: Backoff::new(seed),
            pending: None,
            storing: None,
            store: Store::Works,
            running: None,
            held_slots: Vec::new(),
            troubles,
            out: Deque::new(),
            acked_stored: saved.acked,
            taken_safely: saved.taken,
            sent: saved.acked,
            quiet_since: now.mono,
            look_for_expired: true,
            stopping: false,
            ask_again: false,
            seen_command: false,
            gap: Gap::default(),
            saved,
        }
    }

    /// What would be found after a restart now: numbers, held jobs, answers.
    #[must_use]
    pub const fn saved(&self) -> &Saved {
        &self.saved
    }

    /// The highest command number taken whose answer can't be lost any more: what a hello claims. Less than
    /// [`Saved::taken`] only while answers are kept in memory because the disk takes nothing.
    #[must_use]
    pub const fn taken_safely(&self) -> u64 {
        self.taken_safely
    }

    /// The job that runs.
    #[must_use]
    pub fn running(&self) -> Option<JobId> {
        self.running.map(|running| running.job)
    }

    /// Whether the connection stands.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// Whether the state folder can't be written at present.
    #[must_use]
    pub const fn store_fails(&self) -> bool {
        matches!(self.store, Store::Fails { .. })
    }

    /// Time has passed.
    pub fn handle_tick(&mut self, now: Now) {
        self.now = now;
        if let Some(running) = &mut self.running
            && running.ended.is_none()
        {
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
        if self.is_resend_due() {
            self.sent = self.saved.acked;
            self.quiet_since = now.mono;
        }
    }

    /// The connection of the epoch that [`Effect::Connect`] named stands.
    pub fn handle_connected(&mut self, now: Now) {
        self.now = now;
        if self.stopping {
            return;
        }
        self.link = Link::Up { since: now.mono, hello_owed: true };
        self.sent = self.saved.acked;
        self.quiet_since = now.mono;
        self.seen_command = false;
        self.ask_again = false;
    }

    /// The connection is gone, or did not come about.
    pub fn handle_disconnected(&mut self, now: Now) {
        self.now = now;
        match self.link {
            Link::Up { since, .. } if now.mono.ms_since(since) >= STEADY_AFTER_MS => self.backoff.reset(),
            Link::Up { .. } | Link::Connecting => {}
            Link::Down { .. } | Link::Closed | Link::Exited => return,
        }
        self.link = Link::Down { retry_at: now.mono.plus_ms(self.backoff.next_ms()) };
    }

    /// The server refused the login: nothing but a person mends that, so the next try comes later.
    pub fn handle_refused(&mut self, now: Now) {
        self.now = now;
        if let Link::Up { .. } | Link::Connecting = self.link {
            self.link = Link::Down { retry_at: now.mono.plus_ms(self.backoff.next_refused_ms()) };
        }
    }

    /// A message on `cmd`. It may be acknowledged to the broker when [`Core::poll_effect`] has been drained and
    /// [`Saved::taken`] has reached its number.
    pub fn handle_message(&mut self, message: &ToAgent<'_>, now: Now) -> Result<(), Busy> {
        self.now = now;
        match message {
            ToAgent::Ack { stream, through } => {
                self.handle_ack(*stream, *through);
                Ok(())
            }
            ToAgent::Command(command) => self.handle_command(command),
        }
    }

    /// A command of this number could not be decoded.
    pub fn handle_not_understood(&mut self, seq: u64, now: Now) -> Result<(), Busy> {
        self.now = now;
        self.check_idle()?;
        if seq > self.saved.taken {
            self.propose(seq, Change::None, Some(Body::NotUnderstood { seq }), Safety::Kept);
        }
        Ok(())
    }

    /// Answers [`Effect::StoreSlot`].
    pub fn handle_slot_stored(&mut self, result: Result<(), Refusal>, now: Now) {
        self.now = now;
        let Some(Storing { seq, slot, revision, filled, for_job, .. }) = self.storing.take() else { return };
        let refused = result.err();
        let body = Body::ConfigApplied { slot, revision, refused };
        match (refused, for_job) {
            (None, None) if slot == Slot::Repo => {
                let change = Change::Slot { slot, revision, filled };
                self.propose(seq, change, Some(body), Safety::OnDisk);
            }
            (None, Some(job)) => {
                if !self.held_slots.contains(&(job, slot)) {
                    // Whether there is room was looked at before.
                    let _ = self.held_slots.push((job, slot));
                }
                self.propose(seq, Change::None, Some(body), Safety::Kept);
            }
            _ => self.propose(seq, Change::None, Some(body), Safety::Kept),
        }
    }

    /// Answers [`Effect::Persist`].
    pub fn handle_stored(&mut self, stored: Stored, now: Now) {
        self.now = now;
        let Some(Pending { record, .. }) = self.pending.take() else { return };
        match stored {
            Stored::OnDisk => {
                self.commit(&record);
                self.taken_safely = self.saved.taken;
            }
            Stored::InMemory => {
                self.store_failed(false);
                self.commit(&record);
            }
            Stored::Not => self.take_back(&record),
        }
    }

    /// The state folder can be written again, and everything kept in memory is on disk.
    pub fn handle_store_works(&mut self, now: Now) {
        self.now = now;
        self.store = Store::Works;
        self.taken_safely = self.saved.taken;
    }

    /// The state folder was found to be unwritable in between.
    pub fn handle_trouble(&mut self, trouble: Trouble, now: Now) {
        self.now = now;
        if !self.troubles.contains(&trouble) {
            // One place for each kind.
            let _ = self.troubles.push(trouble);
        }
    }

    /// A piece of log or listing of the running job is at hand; the next record carries it. `expendable`: it may be
    /// given up when space runs out.
    pub fn handle_chunk(&mut self, job: JobId, expendable: bool, now: Now) -> Result<(), Busy> {
        self.now = now;
        self.check_idle()?;
        if self.running() == Some(job) {
            let safety = if expendable { Safety::OnDisk } else { Safety::Kept };
            self.propose(self.saved.taken, Change::None, Some(Body::Chunk { job, expendable }), safety);
        }
        Ok(())
    }

    /// The running job has come further.
    pub fn handle_progress(&mut self, job: JobId, now: Now) {
        self.now = now;
        if let Some(running) = &mut self.running
            && running.job == job
        {
            running.progress.fresh = true;
        }
    }

    /// The running job has ended, and all its chunks are handed over.
    pub fn handle_ended(&mut self, job: JobId, outcome: Outcome, class: Option<Class>, now: Now) {
        self.now = now;
        if let Some(running) = &mut self.running
            && running.job == job
            && running.ended.is_none()
        {
            let stop = running.stop.map(|stop| stop.cause);
            running.ended = Some(verdict(stop, outcome, class));
        }
    }

    /// The agent is to end: the running job is interrupted and its result written down, then comes
    /// [`Effect::Exit`].
    pub fn handle_shutdown(&mut self, now: Now) {
        self.now = now;
        if self.stopping {
            return;
        }
        self.stopping = true;
        if !matches!(self.link, Link::Up { .. }) {
            self.link = Link::Closed;
        }
        self.stop_running(StopCause::Shutdown, KILL_AT_STOP_AFTER_MS);
    }

    fn handle_ack(&mut self, stream: u64, through: u64) {
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
        if matches!(self.store, Store::Fails { full: true, .. }) || (is_new && self.is_behind_gap(seq)) {
            self.ask_again = true;
            return Ok(());
        }
        match body {
            CommandBody::Run(run) => {
                self.handle_run(seq, is_new, expires_at < self.now.wall, expires_at, &run);
            }
            CommandBody::Cancel { job } => self.handle_cancel(seq, is_new, job),
            CommandBody::ConfigUpdate(update) => self.handle_config(seq, is_new, &update),
        }
        Ok(())
    }

    /// Whether a command before this one may still be on its way. Commands are taken in order; a missing one is asked
    /// for with a new hello, and given up only when the server itself begins behind it time and again.
    fn is_behind_gap(&mut self, seq: u64) -> bool {
        let is_first = !core::mem::replace(&mut self.seen_command, true);
        if seq <= self.saved.taken + 1 {
            return false;
        }
        if self.gap.taken != self.saved.taken {
            self.gap = Gap { taken: self.saved.taken, seen: 0 };
        }
        if is_first {
            self.gap.seen = self.gap.seen.saturating_add(1);
        }
        !(is_first && self.gap.seen >= BELIEVE_GAP_AFTER)
    }

    fn handle_run(
        &mut self,
        seq: u64,
        is_new: bool,
        is_expired: bool,
        expires_at: schema::Timestamp,
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
        } else if !self.saved.slot(Slot::Repo).filled && !self.held_slots.contains(&(job, Slot::Repo)) {
            Some(Refusal::NoCredentials)
        } else if self.store_fails() {
            Some(Refusal::StateFolder)
        } else {
            None
        };
        match refusal {
            Some(reason) => self.refuse(seq, job, reason),
            None => {
                let ticket = Ticket {
                    job,
                    kind: run.spec.kind(),
                    urgent: matches!(run.spec, JobSpec::Unlock { all: false }),
                    expires_at,
                    deadline_secs: run.deadline_secs,
                };
                let behind = self.jobs_before(&ticket);
                let body = Body::Accepted { job, behind };
                self.propose(seq, Change::Queued(ticket), Some(body), Safety::OnDisk);
            }
        }
    }

    /// Cancelling is bound to one job id and does the same whether it comes once or twice, early or late.
    fn handle_cancel(&mut self, seq: u64, is_new: bool, job: JobId) {
        let entry = self.saved.held.iter().find(|entry| entry.ticket.job == job);
        match entry.map(|entry| entry.started_at.is_some()) {
            Some(true) => {
                if is_new {
                    self.propose(seq, Change::None, None, Safety::Kept);
                }
                self.stop_running_job(job);
            }
            Some(false) => {
                let body = Body::Finished { job, cause: Cause::CancelledInQueue };
                self.propose(seq, Change::Ended(job), Some(body), Safety::Kept);
            }
            None if is_new => {
                self.propose(seq, Change::None, Some(Body::CancelMissed { job }), Safety::Kept);
            }
            None => {}
        }
    }

    fn handle_config(&mut self, seq: u64, is_new: bool, update: &ConfigUpdate<'_>) {
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
        if refused.is_some() {
            let body = Body::ConfigApplied { slot, revision, refused };
            self.propose(seq, Change::None, Some(body), Safety::Kept);
            return;
        }
        let filled = credentials.is_some();
        self.storing = Some(Storing { seq, slot, revision, filled, for_job, handed_out: false });
    }

    fn refuse(&mut self, seq: u64, job: JobId, reason: Refusal) {
        self.propose(seq, Change::Refused(job), Some(Body::Refused { job, reason }), Safety::Kept);
    }

    fn jobs_before(&self, ticket: &Ticket) -> u8 {
        let count = self
            .saved
            .held
            .iter()
            .filter(|e| e.started_at.is_some() || e.ticket.urgent || !ticket.urgent)
            .count();
        u8::try_from(count).unwrap_or(u8::MAX)
    }

    fn stop_running_job(&mut self, job: JobId) {
        if self.running() == Some(job) {
            self.stop_running(StopCause::Cancel, KILL_AFTER_MS);
        }
    }

    fn stop_running(&mut self, cause: StopCause, kill_after_ms: u64) {
        let Some(running) = &mut self.running else { return };
        if running.ended.is_some() {
            return;
        }
        let kill_at = self.now.mono.plus_ms(kill_after_ms);
        match &mut running.stop {
            // Already asked to end: only the patience may get shorter.
            Some(stop) => stop.kill_at = stop.kill_at.map(|at| at.min(kill_at)),
            None => {
                running.stop = Some(Stop { cause, kill_at: Some(kill_at) });
                let _ = self.out.push_back(Effect::Interrupt { job: running.job });
            }
        }
    }

    /// Makes a record that waits to be written; nothing of it is true yet.
    fn propose(&mut self, taken: u64, change: Change, body: Option<Body>, safety: Safety) {
        let report = body.map(|body| (self.saved.last_report + 1, body));
        let taken = taken.max(self.saved.taken);
        let record = Record { taken, at: self.now.wall, change, report, safety };
        self.pending = Some(Pending { record, handed_out: false });
    }

    /// What a record says is true now.
    fn commit(&mut self, record: &Record) {
        self.saved.apply(record);
        match record.change {
            Change::Epoch(epoch) => {
                if !self.stopping {
                    self.link = Link::Connecting;
                    let _ = self.out.push_back(Effect::Connect { epoch });
                }
            }
            Change::Acked(through) => self.acked_stored = through,
            Change::Started(job) => {
                let deadline = self.deadline_of(job);
                let progress = Progress::default();
                self.running = Some(Running { job, deadline, stop: None, progress, ended: None });
                let _ = self.out.push_back(Effect::Start { job });
            }
            Change::Ended(job) | Change::Refused(job) => {
                self.held_slots.retain(|(held_for, _)| *held_for != job);
                if self.running() == Some(job) {
                    self.running = None;
                }
            }
            Change::None | Change::Queued(_) | Change::Slot { .. } => {}
        }
        if let Some((_, Body::Trouble(trouble))) = record.report {
            self.troubles.retain(|owed| *owed != trouble);
        }
    }

    /// A record could not be written: say no, or try again later.
    fn take_back(&mut self, record: &Record) {
        match (record.change, record.report) {
            (Change::Queued(ticket), _) => {
                self.store_failed(false);
                self.refuse(record.taken, ticket.job, Refusal::StateFolder);
            }
            (Change::Slot { slot, revision, .. }, _) => {
                self.store_failed(false);
                let body = Body::ConfigApplied { slot, revision, refused: Some(Refusal::StateFolder) };
                self.propose(record.taken, Change::None, Some(body), Safety::Kept);
            }
            // Neither may hold up the rest: what they are good for works without the disk, too.
            (Change::Epoch(_) | Change::Acked(_), _) => {
                self.store_failed(false);
                self.commit(record);
            }
            _ => {
                self.ask_again |= record.taken > self.saved.taken;
                self.store_failed(record.safety == Safety::Kept);
            }
        }
    }

    fn store_failed(&mut self, is_full: bool) {
        let retry_at = self.now.mono.plus_ms(STORE_RETRY_AFTER_MS);
        match &mut self.store {
            Store::Works => {
                self.store = Store::Fails { retry_at, full: is_full };
                self.handle_trouble(Trouble::StateFolder, self.now);
            }
            Store::Fails { full, .. } => *full |= is_full,
        }
    }

    fn deadline_of(&self, job: JobId) -> Option<Monotonic> {
        let entry = self.saved.held.iter().find(|entry| entry.ticket.job == job)?;
        let secs = entry.ticket.deadline_secs;
        (secs > 0).then(|| self.now.mono.plus_ms(u64::from(secs) * 1_000))
    }

    const fn check_idle(&self) -> Result<(), Busy> {
        if self.pending.is_some() || self.storing.is_some() { Err(Busy) } else { Ok(()) }
    }
}
