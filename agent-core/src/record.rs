use crate::{StopCause, Ticket};
use schema::{
    Class, CommandSeq, Epoch, Incarnation, JobId, Outcome, Refusal, ReportSeq, Slot, SlotRevision, Timestamp,
    report::Trouble,
};
use serde::{Deserialize, Serialize};

/// One line of the journal: everything in it becomes true together, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The highest command number taken, this record included.
    pub taken: CommandSeq,
    /// When, by the agent's clock.
    pub at: Timestamp,
    /// What this record changes in the agent's state.
    pub change: Change,
    /// The report that goes with it, and its number.
    pub report: Option<(ReportSeq, Body)>,
    /// What to do when it can't be written.
    pub safety: Safety,
}

/// What a record changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Nothing but the numbers.
    None,
    /// A connect with this epoch is next.
    Epoch(Epoch),
    /// The server has committed all reports up to this one.
    Acked(ReportSeq),
    /// A job was accepted; the driver adds the specification.
    Queued(Ticket),
    /// A job was refused.
    Refused(JobId),
    /// A job is about to be started.
    Started(JobId),
    /// A job has ended.
    Ended(JobId),
    /// A slot has this revision now.
    Slot {
        /// The slot.
        slot: Slot,
        /// The revision that the slot has now.
        revision: SlotRevision,
        /// Whether there is anything in it.
        filled: bool,
    },
    /// The server is of this incarnation.
    Heard(Incarnation),
}

/// What a report says; the driver adds the words and figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Becomes a [`schema::ReportBody::Accepted`].
    Accepted {
        /// The job that was taken.
        job: JobId,
        /// How many jobs run before it.
        behind: u8,
    },
    /// See [`schema::ReportBody::Own`]; the driver adds the occurrence.
    Own {
        /// The job that the agent began by itself.
        job: JobId,
    },
    /// Becomes a [`schema::ReportBody::Refused`].
    Refused {
        /// The job that was refused.
        job: JobId,
        /// Why it was refused.
        reason: Refusal,
    },
    /// Becomes a [`schema::ReportBody::Started`].
    Started {
        /// The job that starts.
        job: JobId,
    },
    /// A piece of log or of a listing, which the driver has at hand.
    Chunk {
        /// Of which job.
        job: JobId,
        /// Whether it may be given up when the journal is full.
        expendable: bool,
    },
    /// Becomes a [`schema::ReportBody::Finished`].
    Finished {
        /// The job that has ended.
        job: JobId,
        /// How it came to that.
        cause: Cause,
    },
    /// Becomes a [`schema::ReportBody::ConfigApplied`].
    ConfigApplied {
        /// The slot that the credentials were for.
        slot: Slot,
        /// The revision it has now.
        revision: SlotRevision,
        /// Why it was not stored.
        refused: Option<Refusal>,
    },
    /// Becomes a [`schema::ReportBody::NotUnderstood`].
    NotUnderstood {
        /// The number of the command.
        seq: CommandSeq,
    },
    /// Becomes a [`schema::ReportBody::CancelMissed`].
    CancelMissed {
        /// The job that was to be cancelled.
        job: JobId,
    },
    /// Becomes a [`schema::ReportBody::Trouble`].
    Trouble(Trouble),
    /// Becomes a [`schema::ReportBody::CredentialsHeld`].
    CredentialsHeld {
        /// The job that they came for.
        job: JobId,
    },
}

/// How a job came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// It ran; the driver has the details.
    Ran {
        /// The final outcome.
        outcome: Outcome,
        /// The final class.
        class: Option<Class>,
        /// Why the core had it ended, if it did.
        stop: Option<StopCause>,
    },
    /// It was cancelled while it waited.
    CancelledInQueue,
    /// It ran when the agent was ended, and is gone.
    Restarted,
}

impl Cause {
    /// Whether the agent's own end cut the job short.
    #[must_use]
    pub const fn is_broken_off(self) -> bool {
        match self {
            Self::Ran { outcome, stop, .. } => {
                matches!((outcome, stop), (Outcome::Cancelled, Some(StopCause::Shutdown)))
            }
            Self::Restarted => true,
            Self::CancelledInQueue => false,
        }
    }
}

/// What to do with a record that can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Safety {
    /// It must be on disk before anything that depends on it: write, sync, or say that it failed.
    OnDisk,
    /// It must not be lost while the agent lives: write and sync, or keep it in memory and try again.
    Kept,
    /// Losing it only means doing something harmless again: write without waiting for the disk.
    Lazy,
}
