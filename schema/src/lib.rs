//! What Holdfast's server and its agents say to each other.
//!
//! Everything here is `no_std`, allocates nothing and knows nobody: typed [`topic`]s, [`id`]s and [`limits`], the
//! messages themselves and the sealed [`envelope`] that carries them. A message borrows from the buffer it was
//! decoded from; lists are [`Items`], which are checked once at decoding and read lazily.
//!
//! # Who says what
//!
//! | topic | message | life |
//! |---|---|---|
//! | `cmd` | [`ToAgent`]: a [`Command`] or an ack | commands live in the server's outbox until taken |
//! | `plan` | [`Plan`] | retained, newest revision counts |
//! | `evt` | [`Report`] | lives in the agent's journal until the server's ack |
//! | `live` | [`Live`] | may be lost |
//! | `bulk` | [`Bulk`] | may be lost, and then the transfer has failed |
//! | `presence` | [`Presence`] | retained, and the last will |
//! | `repo/stats` | [`RepoStats`] | retained, newest revision counts |
//! | `enroll/…` | [`EnrollRequest`], [`EnrollResponse`] | once |
//!
//! # Delivery
//!
//! **Commands** carry a sequence number per host, growing by one, and an expiry. The agent takes each sequence
//! number once, in order, and writes it down before it acts; it refuses a number it has taken before, and a job id
//! it has started before. Each command is answered by at least one durable report, and each report says in
//! [`Report::taken`] how far the agent has come, so that the server can clear its outbox. At a hello the server
//! sends again all commands after [`Hello::taken`].
//!
//! **Reports** carry a sequence number per journal. The journal is named by [`Hello::stream`], drawn at random when
//! it is created: a lost journal begins a new stream, and its numbers begin at 1. The server commits a report, then
//! acks cumulatively with [`ToAgent::Ack`]; it drops numbers it has seen. At a hello the agent sends again
//! everything not acked. What the journal had to give up (log chunks only, never results) is sent as an empty
//! [`ReportBody::Dropped`] under its old number, so that numbers have no holes.
//!
//! **Bulk** carries the bytes of a download, in messages that are numbered from 0 and name their job. They are sent once
//! (`QoS` 0), no further than the server has granted: [`limits::BULK_WINDOW`] of them to begin with, then as
//! [`ToAgent::Credit`] says, which follows what the receiver takes. Nothing is sent again: a number that is missing, or
//! comes twice, ends the transfer. The last message says length and digest of all. What belongs to no open transfer is
//! dropped, so that nothing of one can be replayed into another.
//!
//! **Presence** carries an epoch, a counter that the agent keeps on disk and raises before each connect. A `gone`
//! of an older epoch than the newest hello means nothing; a hello of the same epoch changes nothing but which authorities the
//! agent trusts ([`Hello::trusts`]).
//!
//! **Clocks** may be wrong on either side of a machine's boundary and order nothing. A hello says what time it is on the
//! machine ([`Hello::at`]); the ack that answers it says what time it is on the server ([`HelloAnswer`]), bound to that
//! hello by its epoch. An agent takes no command before it knows the server's time, counts on from its hello by a clock
//! that never jumps, refuses by it what has expired, and asks anew (with another hello) before it refuses by a time that
//! is older than a minute and whenever the machine's clock was set. Whoever carries messages can hold a command back, and
//! then it has expired; an answer that was held back only makes the agent's idea of the time later.
//!
//! **Incarnations** tell a server that was restored from an archive from the one that the archive is of
//! ([`Incarnation`]). The answer to a hello says the server's; the agent writes down the highest that it has heard, and
//! says it in its hellos ([`Hello::incarnation`]). Until a hello is answered the agent sends no report and takes no
//! command. When a lower incarnation answers, the agent is at an old copy: it leaves the connection, keeps its reports,
//! does alone what is due, and tries again; the copy sees by the hello that another server has taken its place for that
//! host, answers, and takes nothing else of it. Only who holds the host's link key can say any of this.
//!
//! A server that hears a host for the first time in its incarnation follows it in all counts, for it has seen less than
//! the agent: its commands get new numbers behind [`Hello::taken`]; those of the archive that the agent has taken already
//! are not sent again; reports are expected from [`Hello::first_unacked`] on. What the agent saved meanwhile
//! ([`Hello::saved`]) is not due any more, a backup that it holds ([`HeldJob::group`]) is a job of the server's, and so
//! is one of another server whose end comes in ([`report::Finished::kind`]).
//!
//! # Evolution
//!
//! The first byte of an envelope is the version of what is inside. [`MIN`] to [`CURRENT`] are understood. Within a
//! version, enum variants are only ever appended; a struct never changes; golden bytes in `tests/golden` stay as
//! they are ("fix the code, not the test"). A new field means a new variant, or a new version. A message of a
//! version that is not understood is answered with [`envelope::version_notice`], a frame that never changes; a
//! variant that is not understood is answered with [`ReportBody::NotUnderstood`]. Version 1 was never released, and is
//! not understood any more.
//!
//! # What this crate does not do
//!
//! It has no clock, no random source (nonces are arguments), no queue, and does not know what restic is beyond the
//! words of a job and the form of an address ([`location`]).

#![no_std]

pub mod address;
pub mod bulk;
pub mod command;
pub mod drill;
pub mod enroll;
pub mod envelope;
mod group;
pub mod id;
mod items;
pub mod job;
pub mod limits;
pub mod live;
pub mod location;
pub mod name;
mod number;
pub mod os_text;
pub mod pattern;
pub mod plan;
pub mod presence;
pub mod report;
pub mod restore;
pub mod slot;
pub mod stats;
pub mod topic;
pub mod version;

pub use bulk::{Bulk, BulkBody};
pub use command::{Command, CommandBody, ConfigUpdate, Credentials, HelloAnswer, Over, Run, ToAgent};
pub use drill::DrillFault;
pub use enroll::{EnrollRefusal, EnrollRequest, EnrollResponse, Token};
pub use envelope::{Key, OpenError, Sealed};
pub use group::GroupKey;
pub use id::{HostId, IncidentId, InstallationId, JobId, PendingId, RepoId, TokenId};
pub use items::{Items, ItemsFull};
pub use job::{Class, JobKind, JobSpec, Keep, Outcome, SourceFinding, SourceReason, Summary};
pub use live::{Live, LogLine, LogStream, Progress};
pub use number::{
    CommandSeq, Epoch, Incarnation, PlanRevision, ReportSeq, SlotRevision, StatsRevision, Stream,
};
pub use os_text::OsText;
pub use plan::Plan;
pub use presence::{Abilities, HeldJob, HeldPhase, Hello, Presence, SavedGroup};
pub use report::{Refusal, Report, ReportBody};
pub use restore::{Overwrite, RestoreTarget};
pub use slot::Slot;
pub use stats::RepoStats;
pub use topic::{HostTopic, Topic};

/// The oldest wire version that is understood.
pub const MIN: u8 = 2;
/// The wire version that is spoken.
pub const CURRENT: u8 = 2;

/// Milliseconds since 1970-01-01 UTC, from the wall clock of whoever wrote it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This instant, `ms` milliseconds later; saturates.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// How many milliseconds after `earlier` this is; 0 when it is not after.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Why bytes are not the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// They end too early, hold an unknown variant, or text that is not UTF-8.
    Malformed,
    /// A whole message, and then more.
    TrailingBytes,
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the message is malformed or of a kind that is not known here",
            Self::TrailingBytes => "there are bytes behind the end of the message",
        })
    }
}

impl core::error::Error for DecodeError {}

/// Decodes one message; unlike `postcard::from_bytes`, trailing bytes are an error.
pub fn decode<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let (message, rest) = postcard::take_from_bytes(bytes).map_err(|_| DecodeError::Malformed)?;
    if rest.is_empty() { Ok(message) } else { Err(DecodeError::TrailingBytes) }
}

/// The buffer was too small for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl core::fmt::Display for TooLong {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the message is longer than its buffer")
    }
}

impl core::error::Error for TooLong {}

/// Encodes one message into `buffer` and returns the part that was used.
pub fn encode<'b, T: serde::Serialize + ?Sized>(
    message: &T,
    buffer: &'b mut [u8],
) -> Result<&'b mut [u8], TooLong> {
    postcard::to_slice(message, buffer).map_err(|_| TooLong)
}
