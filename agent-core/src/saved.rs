use crate::{Body, Cause, Change, Known, MAX_KNOWN_JOBS, MAX_TAKEN_GROUPS, Record, TakenGroup, Ticket};
use heapless::Vec;
use schema::{
    CommandSeq, Epoch, GroupKey, HeldJob, HeldPhase, Incarnation, JobId, Outcome, ReportSeq, SavedGroup,
    Slot, SlotRevision, Stream, Timestamp, limits::MAX_HELD_JOBS,
};
use serde::{Deserialize, Serialize};

/// The most slots that are held in memory for single jobs.
pub const MAX_HELD_SLOTS: usize = 4;

/// The sum of all records: what an agent knows after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Names the journal, see [`schema::Hello::stream`].
    pub stream: Stream,
    /// The epoch of the last connect.
    pub epoch: Epoch,
    /// The highest command number taken.
    pub taken: CommandSeq,
    /// The highest report number acked.
    pub acked: ReportSeq,
    /// The highest report number written.
    pub last_report: ReportSeq,
    /// The jobs held, in the order in which they run.
    pub held: Vec<HeldEntry, MAX_HELD_JOBS>,
    /// The jobs answered, oldest first.
    pub known: Vec<Known, MAX_KNOWN_JOBS>,
    /// When a backup of each source group was taken last; the oldest makes room.
    pub groups: Vec<TakenGroup, MAX_TAKEN_GROUPS>,
    /// The slots, in the order of [`Slot::ALL`].
    pub slots: [SlotState; 2],
    /// The highest incarnation of the server that was heard of.
    pub incarnation: Incarnation,
}

/// A job that the agent has accepted and that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldEntry {
    /// What its command said.
    pub ticket: Ticket,
    /// When it was started, by the agent's clock; `None` while it waits.
    pub started_at: Option<Timestamp>,
}

/// What is known of a credential slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotState {
    /// Its revision; 0 = never filled.
    pub revision: SlotRevision,
    /// Whether there is anything in it.
    pub filled: bool,
}

impl Saved {
    /// The state of an agent with a new journal of this number.
    #[must_use]
    pub const fn new(stream: Stream) -> Self {
        Self {
            stream,
            epoch: Epoch::ZERO,
            taken: CommandSeq::ZERO,
            acked: ReportSeq::ZERO,
            last_report: ReportSeq::ZERO,
            held: Vec::new(),
            known: Vec::new(),
            groups: Vec::new(),
            slots: [SlotState { revision: SlotRevision::ZERO, filled: false }; 2],
            incarnation: Incarnation::ZERO,
        }
    }

    /// Adds one record. What does not fit (a record of a damaged journal) changes nothing.
    pub fn apply(&mut self, record: &Record) {
        self.taken = self.taken.max(record.taken);
        if let Some((seq, _)) = record.report {
            self.last_report = self.last_report.max(seq);
        }
        match record.change {
            Change::None => {}
            Change::Epoch(epoch) => self.epoch = self.epoch.max(epoch),
            Change::Acked(through) => self.acked = self.acked.max(through.min(self.last_report)),
            Change::Queued(ticket) => self.queue(ticket),
            Change::Refused(job) => self.remember(job, record.report),
            Change::Started(job) => {
                if let Some(entry) = self.held.iter_mut().find(|entry| entry.ticket.job == job) {
                    entry.started_at = Some(record.at);
                }
            }
            Change::Ended(job) => {
                let is_own = self.held.iter().any(|entry| entry.ticket.job == job && entry.ticket.own);
                if let Some((_, Body::Finished { cause: Cause::Ran { outcome, .. }, .. })) = record.report
                    && matches!(outcome, Outcome::Succeeded | Outcome::Warning)
                {
                    self.group_saved(job);
                }
                self.held.retain(|entry| entry.ticket.job != job);
                // It was not done, and nobody decided that.
                let is_due_still = match record.report {
                    Some((_, Body::Finished { cause, .. })) => cause.is_broken_off(),
                    Some((_, Body::Refused { .. })) => true,
                    _ => false,
                };
                if is_due_still {
                    self.give_group_back(job);
                }
                // No command can come again for what nobody sent.
                if !is_own {
                    self.remember(job, record.report);
                }
            }
            Change::Slot { slot, revision, filled } => {
                self.slots[slot as usize] = SlotState { revision, filled };
            }
            Change::Heard(incarnation) => self.incarnation = self.incarnation.max(incarnation),
        }
    }

    /// Whether another job can be answered without forgetting an answer that is still on its way.
    #[must_use]
    pub fn can_answer(&self) -> bool {
        !self.known.is_full() || self.known.iter().any(|known| self.is_forgettable(known))
    }

    /// The job's entry among those answered.
    #[must_use]
    pub fn known(&self, job: JobId) -> Option<&Known> {
        self.known.iter().find(|known| known.job == job)
    }

    /// The slot's state.
    #[must_use]
    pub const fn slot(&self, slot: Slot) -> SlotState {
        self.slots[slot as usize]
    }

    /// The jobs of a hello: what is held, and what has ended and whose end is not acked.
    pub fn hello_jobs(&self) -> impl Iterator<Item = HeldJob> + '_ {
        let held = self.held.iter().map(|entry| HeldJob {
            job: entry.ticket.job,
            phase: if entry.started_at.is_some() { HeldPhase::Running } else { HeldPhase::Queued },
            group: entry.ticket.group,
        });
        let ended = self
            .known
            .iter()
            .filter(|known| known.ended_by.is_some_and(|seq| seq > self.acked))
            .map(|known| HeldJob { job: known.job, phase: HeldPhase::Finished, group: None });
        held.chain(ended)
    }

    /// The saved source groups of a hello.
    pub fn hello_saved(&self) -> impl Iterator<Item = SavedGroup> + '_ {
        let saved = |taken: &TakenGroup| Some(SavedGroup { group: taken.group, at: taken.saved? });
        self.groups.iter().filter_map(saved)
    }

    /// When a backup of this group was taken last.
    #[must_use]
    pub fn group_taken_at(&self, group: GroupKey) -> Option<Timestamp> {
        self.groups.iter().find(|taken| taken.group == group).map(|taken| taken.at)
    }

    fn take_group(&mut self, group: GroupKey, at: Timestamp, job: JobId) {
        let known = self.groups.iter().find(|taken| taken.group == group);
        let (before, saved) = known.map_or((None, None), |taken| (Some(taken.at), taken.saved));
        self.groups.retain(|taken| taken.group != group);
        if self.groups.is_full() {
            let oldest = self.groups.iter().enumerate().min_by_key(|(_, taken)| taken.at);
            if let Some(place) = oldest.map(|(place, _)| place) {
                self.groups.remove(place);
            }
        }
        // There is room now.
        let _ = self.groups.push(TakenGroup { group, at, job, before, saved });
    }

    /// A backup has ended well.
    fn group_saved(&mut self, job: JobId) {
        let ticket = self.held.iter().map(|entry| &entry.ticket).find(|ticket| ticket.job == job);
        let Some((Some(group), at)) = ticket.map(|ticket| (ticket.group, ticket.taken_at)) else { return };
        if let Some(taken) = self.groups.iter_mut().find(|taken| taken.group == group) {
            taken.saved = taken.saved.max(Some(at));
        }
    }

    /// The backup that was taken last was broken off: what it was taken for is due again.
    fn give_group_back(&mut self, job: JobId) {
        let Some(place) = self.groups.iter().position(|taken| taken.job == job) else { return };
        match self.groups[place].before.take() {
            Some(before) => self.groups[place].at = before,
            None => {
                self.groups.remove(place);
            }
        }
    }

    fn queue(&mut self, ticket: Ticket) {
        let waiting = self.held.iter().position(|entry| entry.started_at.is_none() && !entry.ticket.urgent);
        let place = if ticket.urgent { waiting } else { None }.unwrap_or(self.held.len());
        if self.held.insert(place, HeldEntry { ticket, started_at: None }).is_ok() {
            if !ticket.own {
                self.remember(ticket.job, None);
            }
            if let Some(group) = ticket.group {
                self.take_group(group, ticket.taken_at, ticket.job);
            }
        }
    }

    fn remember(&mut self, job: JobId, ending: Option<(ReportSeq, Body)>) {
        let ended_by = ending.map(|(seq, _)| seq);
        if let Some(known) = self.known.iter_mut().find(|known| known.job == job) {
            known.ended_by = ended_by.or(known.ended_by);
            return;
        }
        if self.known.is_full() {
            let Some(oldest) = self.known.iter().position(|known| self.is_forgettable(known)) else { return };
            self.known.remove(oldest);
        }
        // There is room now.
        let _ = self.known.push(Known { job, ended_by });
    }

    fn is_forgettable(&self, known: &Known) -> bool {
        known.ended_by.is_some_and(|seq| seq <= self.acked)
    }
}
