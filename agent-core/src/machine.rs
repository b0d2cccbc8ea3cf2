//! The state machine: what it is made of, and what happens to it. What the server says is in `commands`, what is
//! written down in `stored`, what goes out in `effects`.

mod clock;
mod commands;
mod effects;
mod stored;

pub use stored::Stored;

use crate::{
    Backoff, Body, Change, Effect, GroupKey, KILL_AFTER_MS, KILL_AT_STOP_AFTER_MS, MAX_HELD_SLOTS, Monotonic,
    Now, Record, STEADY_AFTER_MS, STORE_RETRY_AFTER_MS, Safety, Saved, StopCause, Ticket, verdict,
};
use commands::Gap;
use heapless::{Deque, Vec};
use schema::{Class, JobId, JobKind, Outcome, Slot, Timestamp, report::Trouble};

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
    clock: clock::Known,
}

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
            clock: clock::Known::default(),
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

    /// Whether the job that runs has been told to end.
    #[must_use]
    pub fn is_stopping_job(&self) -> bool {
        self.running.is_some_and(|running| running.stop.is_some())
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
        self.pass_to(now);
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
        self.ask_again |= self.is_connected() && self.clock.asks_again_at().is_some_and(|at| at <= now.mono);
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

    /// A piece of log or listing of the running job is at hand; the next record carries it. `expendable`: it may be
    /// given up when space runs out.
    pub fn handle_chunk(&mut self, job: JobId, expendable: bool, now: Now) -> Result<(), Busy> {
        self.pass_to(now);
        self.check_idle()?;
        if self.running() == Some(job) {
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
                taken_at: self.best_time(),
            };
            let taken = self.saved.taken;
            self.propose(taken, Change::Queued(ticket), Some(Body::Own { job }), Safety::OnDisk);
        }
        Ok(can_be_taken)
    }

    /// The running job has come further.
    pub fn handle_progress(&mut self, job: JobId, now: Now) {
        self.pass_to(now);
        if let Some(running) = &mut self.running
            && running.job == job
        {
            running.progress.fresh = true;
        }
    }

    /// The running job has ended, and all its chunks are handed over.
    pub fn handle_ended(&mut self, job: JobId, outcome: Outcome, class: Option<Class>, now: Now) {
        self.pass_to(now);
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
        self.pass_to(now);
        if self.stopping {
            return;
        }
        self.stopping = true;
        if !matches!(self.link, Link::Up { .. }) {
            self.link = Link::Closed;
        }
        self.stop_running(StopCause::Shutdown, KILL_AT_STOP_AFTER_MS);
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

    fn deadline_of(&self, job: JobId) -> Option<Monotonic> {
        let entry = self.saved.held.iter().find(|entry| entry.ticket.job == job)?;
        let secs = entry.ticket.deadline_secs;
        (secs > 0).then(|| self.now.mono.plus_ms(u64::from(secs) * 1_000))
    }

    /// The present is now; whether the machine's clock was set in between is looked at.
    fn pass_to(&mut self, now: Now) {
        self.now = now;
        if self.clock.was_set(now) {
            // What is known of the server's clock may be wrong as well: the machine may have slept.
            self.clock = clock::Known::default();
            self.ask_again |= self.is_connected();
        }
    }

    const fn check_idle(&self) -> Result<(), Busy> {
        if self.pending.is_some() || self.storing.is_some() { Err(Busy) } else { Ok(()) }
    }
}
