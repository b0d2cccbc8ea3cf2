//! What the state machine is made of, and what is asked of it.

use super::{gap::Gap, server_time::ServerTime};
use crate::{Backoff, Effect, MAX_HELD_SLOTS, Monotonic, Now, Record, Saved, StopCause, Ticket};
use heapless::{Deque, Vec};
use schema::{
    Class, CommandSeq, Incarnation, JobId, JobKind, Outcome, ReportSeq, Slot, SlotRevision, report::Trouble,
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
    pub(super) saved: Saved,
    pub(super) now: Now,
    pub(super) link: Link,
    pub(super) backoff: Backoff,
    pub(super) pending: Option<Pending>,
    pub(super) storing: Option<Storing>,
    pub(super) store: Store,
    /// One job, and a download beside it.
    pub(super) running: Vec<Running, 2>,
    pub(super) held_slots: Vec<(JobId, Slot), MAX_HELD_SLOTS>,
    pub(super) troubles: Vec<Trouble, 4>,
    pub(super) out: Deque<Effect, 8>,
    pub(super) acked_stored: ReportSeq,
    pub(super) incarnation_stored: Incarnation,
    /// See [`Core::is_served`].
    pub(super) is_served: bool,
    pub(super) taken_safely: CommandSeq,
    pub(super) sent: ReportSeq,
    pub(super) quiet_since: Monotonic,
    pub(super) look_for_expired: bool,
    pub(super) stopping: bool,
    /// A command came that could not be taken: it has to come again.
    pub(super) ask_again: bool,
    /// Whether a new command came on this connection.
    pub(super) seen_command: bool,
    pub(super) gap: Gap,
    pub(super) clock: ServerTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
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
pub(super) struct Pending {
    pub(super) record: Record,
    pub(super) handed_out: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Storing {
    pub(super) seq: CommandSeq,
    pub(super) slot: Slot,
    pub(super) revision: SlotRevision,
    pub(super) filled: bool,
    pub(super) for_job: Option<JobId>,
    pub(super) handed_out: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Store {
    Works,
    Fails { retry_at: Monotonic, full: bool },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) job: JobId,
    pub(super) kind: JobKind,
    pub(super) deadline: Option<Monotonic>,
    pub(super) stop: Option<Stop>,
    pub(super) progress: Progress,
    pub(super) ended: Option<(Outcome, Option<Class>)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) cause: StopCause,
    pub(super) kill_at: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) fresh: bool,
    pub(super) sent_at: Option<Monotonic>,
}

/// Whether jobs of these kinds may run at the same time: a download reads beside any other job, but for a prune, which
/// removes packs that are still to be read.
pub(super) const fn runs_beside(one: JobKind, other: JobKind) -> bool {
    match (one, other) {
        (JobKind::Download, JobKind::Download | JobKind::Prune) | (JobKind::Prune, JobKind::Download) => {
            false
        }
        (JobKind::Download, _) | (_, JobKind::Download) => true,
        _ => false,
    }
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
            running: Vec::new(),
            held_slots: Vec::new(),
            troubles,
            out: Deque::new(),
            acked_stored: saved.acked,
            incarnation_stored: saved.incarnation,
            is_served: false,
            taken_safely: saved.taken,
            sent: saved.acked,
            quiet_since: now.mono,
            look_for_expired: true,
            stopping: false,
            ask_again: false,
            seen_command: false,
            gap: Gap::default(),
            clock: ServerTime::default(),
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
    pub const fn taken_safely(&self) -> CommandSeq {
        self.taken_safely
    }

    /// Whether this job runs.
    #[must_use]
    pub fn runs(&self, job: JobId) -> bool {
        self.running.iter().any(|running| running.job == job)
    }

    /// Whether this job runs and has been told to end.
    #[must_use]
    pub fn is_stopping(&self, job: JobId) -> bool {
        self.running.iter().any(|running| running.job == job && running.stop.is_some())
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

    /// The running job of this id, unless it has ended.
    pub(super) fn open(&mut self, job: JobId) -> Option<&mut Running> {
        self.running.iter_mut().find(|running| running.job == job && running.ended.is_none())
    }

    /// Forgets the credentials that came for jobs that have not come: after a while without a connection, as nobody knows
    /// whether they ever will.
    pub fn forget_waiting_slots(&mut self) {
        let held = &self.saved.held;
        self.held_slots.retain(|(job, _)| held.iter().any(|entry| entry.ticket.job == *job));
    }

    /// Whether a job of this kind may be started beside what runs.
    pub(super) fn has_place_for(&self, kind: JobKind) -> bool {
        self.running.iter().all(|running| runs_beside(running.kind, kind))
    }

    /// Asks a running job to end.
    pub(super) fn stop(&mut self, job: JobId, cause: StopCause, kill_after_ms: u64) {
        let kill_at = self.now.mono.plus_ms(kill_after_ms);
        let Some(running) = self.open(job) else { return };
        match &mut running.stop {
            // Already asked to end: only the patience may get shorter.
            Some(stop) => stop.kill_at = stop.kill_at.map(|at| at.min(kill_at)),
            None => {
                running.stop = Some(Stop { cause, kill_at: Some(kill_at) });
                let _ = self.out.push_back(Effect::Interrupt { job });
            }
        }
    }

    pub(super) fn ticket(&self, job: JobId) -> Option<&Ticket> {
        self.saved.held.iter().map(|entry| &entry.ticket).find(|ticket| ticket.job == job)
    }

    /// The present is now; whether the machine's clock was set in between is looked at.
    pub(super) fn pass_to(&mut self, now: Now) {
        self.now = now;
        if self.clock.was_set(now) {
            // What is known of the server's clock may be wrong as well: the machine may have slept.
            self.clock = ServerTime::default();
            self.ask_again |= self.is_connected();
        }
    }

    pub(super) const fn check_idle(&self) -> Result<(), Busy> {
        if self.pending.is_some() || self.storing.is_some() { Err(Busy) } else { Ok(()) }
    }
}
