use crate::{Monotonic, Record};
use schema::{Epoch, Incarnation, JobId, ReportSeq, Slot, SlotRevision};

/// What the driver is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write this down, then call [`crate::Core::handle_stored`].
    Persist(Record),
    /// Store (or hold in memory) the credentials of the command at hand, then call
    /// [`crate::Core::handle_slot_stored`]. The admin slot is never stored: without a job, only say whether it would
    /// be taken.
    StoreSlot {
        /// The slot of the credentials.
        slot: Slot,
        /// Its new revision.
        revision: SlotRevision,
        /// For this job only, in memory.
        for_job: Option<JobId>,
    },
    /// Connect, with a will of this epoch.
    Connect {
        /// The epoch, already written down.
        epoch: Epoch,
    },
    /// Give the connection up without a word; the next one is planned.
    Disconnect,
    /// The same, and say why: the server is an old copy of the one that serves this host.
    Superseded {
        /// The server's incarnation, lower than [`crate::Saved::incarnation`].
        incarnation: Incarnation,
    },
    /// Publish the hello.
    Hello,
    /// Publish this report, as the journal has it.
    Report {
        /// Number of the report.
        seq: ReportSeq,
    },
    /// Publish the newest progress of this job.
    Progress {
        /// The job whose progress it is.
        job: JobId,
    },
    /// Start this job.
    Start {
        /// The job to start.
        job: JobId,
    },
    /// Ask this job's processes to end.
    Interrupt {
        /// The job to interrupt.
        job: JobId,
    },
    /// End this job's processes.
    Kill {
        /// The job whose processes are to be killed.
        job: JobId,
    },
    /// Try whether the state folder can be written again; then call [`crate::Core::handle_store_works`] if it can.
    RetryStore,
    /// Publish a clean gone and disconnect.
    Gone {
        /// The epoch that ends.
        epoch: Epoch,
    },
    /// All is written down: end the program.
    Exit,
}

/// When to call [`crate::Core::handle_tick`] at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The latest time for the call.
    pub at: Monotonic,
    /// What is to happen then.
    pub what_for: WakeFor,
}

/// What a wake-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeFor {
    /// The next connect.
    Reconnect,
    /// A job's deadline.
    Deadline,
    /// An interrupted job that has not ended.
    Kill,
    /// Progress that was held back.
    Progress,
    /// Reports that were not acked.
    Resend,
    /// A hello that was not answered, while commands wait for that.
    AskAgain,
    /// A state folder that could not be written.
    RetryStore,
}
