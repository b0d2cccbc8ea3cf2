//! What is written down: a record is proposed, written by the driver, and true only then; or taken back.

use super::state::{Core, Link, Pending, Progress, Running, Store, Storing};
use crate::{Body, Change, Effect, Now, Record, STORE_RETRY_AFTER_MS, Safety, Ticket};
use schema::{CommandSeq, Refusal, Slot, report::Trouble};

/// Whether a record was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is on disk.
    OnDisk,
    /// The disk does not take it; it is kept in memory and written later. Not for [`Safety::OnDisk`].
    InMemory,
    /// It could not be stored at all.
    Not,
}

impl Core {
    /// Takes the answer to [`Effect::StoreSlot`]: whether the credentials were stored, or why they were
    /// refused.
    pub fn handle_slot_stored(&mut self, result: Result<(), Refusal>, now: Now) {
        self.pass_to(now);
        let Some(Storing { seq, slot, revision, filled, for_job, .. }) = self.storing.take() else { return };
        let refused = result.err();
        let body = Body::ConfigApplied { slot, revision, refused };
        match (refused, for_job) {
            // Of another host's credentials the agent's own slot knows nothing.
            (Some(reason), Some(job)) if slot == Slot::Repo => self.refuse(seq, job, reason),
            (None, None) if slot == Slot::Repo => {
                let change = Change::Slot { slot, revision, filled };
                self.propose(seq, change, Some(body), Safety::OnDisk);
            }
            (None, Some(job)) => {
                if !self.held_slots.contains(&(job, slot)) {
                    // Whether there is room was looked at before.
                    let _ = self.held_slots.push((job, slot));
                }
                let body = match slot {
                    Slot::Repo => Body::CredentialsHeld { job },
                    Slot::Admin => body,
                };
                self.propose(seq, Change::None, Some(body), Safety::Kept);
            }
            _ => self.propose(seq, Change::None, Some(body), Safety::Kept),
        }
    }

    /// Takes the answer to [`Effect::Persist`].
    pub fn handle_stored(&mut self, stored: Stored, now: Now) {
        self.pass_to(now);
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

    /// The state folder was found to have no room, before a record was lost to it.
    pub fn handle_store_fails(&mut self, now: Now) {
        self.pass_to(now);
        self.store_failed(false);
    }

    /// The state folder can be written again, and everything kept in memory is on disk.
    pub fn handle_store_works(&mut self, now: Now) {
        self.pass_to(now);
        if self.store_fails() {
            self.owe(Trouble::StateFolderMended, Trouble::StateFolder);
        }
        self.store = Store::Works;
        self.taken_safely = self.saved.taken;
    }

    /// Makes a record that waits to be written; nothing of it is true yet.
    pub(super) fn propose(&mut self, taken: CommandSeq, change: Change, body: Option<Body>, safety: Safety) {
        let report = body.map(|body| (self.saved.last_report.next(), body));
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
            Change::Heard(incarnation) => self.incarnation_stored = incarnation,
            Change::Started(job) => {
                if let Some(&Ticket { kind, deadline_secs, .. }) = self.ticket(job) {
                    let deadline =
                        (deadline_secs > 0).then(|| self.now.mono.plus_ms(u64::from(deadline_secs) * 1_000));
                    let progress = Progress::default();
                    // It was started because it has a place.
                    let _ =
                        self.running.push(Running { job, kind, deadline, stop: None, progress, ended: None });
                }
                let _ = self.out.push_back(Effect::Start { job });
            }
            Change::Ended(job) | Change::Refused(job) => {
                self.held_slots.retain(|(held_for, _)| *held_for != job);
                self.running.retain(|running| running.job != job);
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
            // Still due: it is looked at again.
            (Change::Queued(ticket), _) if ticket.own => self.store_failed(false),
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
            (Change::Epoch(_) | Change::Acked(_) | Change::Heard(_), _) => {
                self.store_failed(false);
                self.commit(record);
            }
            _ => {
                self.ask_again |= record.taken > self.saved.taken;
                self.store_failed(record.safety == Safety::Kept);
            }
        }
    }

    /// Has something told, unless its opposite is not told yet: then there is nothing to tell.
    fn owe(&mut self, trouble: Trouble, opposite: Trouble) {
        let before = self.troubles.len();
        self.troubles.retain(|owed| *owed != opposite);
        if self.troubles.len() == before {
            self.handle_trouble(trouble, self.now);
        }
    }

    pub(super) fn store_failed(&mut self, is_full: bool) {
        let retry_at = self.now.mono.plus_ms(STORE_RETRY_AFTER_MS);
        match &mut self.store {
            Store::Works => {
                self.store = Store::Fails { retry_at, full: is_full };
                self.owe(Trouble::StateFolder, Trouble::StateFolderMended);
            }
            Store::Fails { full, .. } => *full |= is_full,
        }
    }
}
