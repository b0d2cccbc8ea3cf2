//! Server → agent.

use crate::{
    CommandSeq, Epoch, Incarnation, Items, JobId, JobSpec, ReportSeq, Slot, SlotRevision, Stream, Timestamp,
};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Everything that travels on `cmd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToAgent<'a> {
    /// A command with its sequence number.
    #[serde(borrow)]
    Command(Command<'a>),
    /// The server has committed all reports of this stream up to and with `through`.
    Ack {
        /// The journal that is meant, see [`crate::Hello::stream`].
        stream: Stream,
        /// The highest committed report number without a hole before it.
        through: ReportSeq,
        /// What else the server says to a hello; `None` = it answers a report.
        answer: Option<HelloAnswer>,
        /// What the last of them asked of the server was over a budget, and was not taken.
        refused: Option<Over>,
    },
    /// How far the bytes of a download may be sent. It may be lost, and is said again.
    Credit {
        /// The job whose bytes they are.
        job: JobId,
        /// Chunks with a lower number may be sent, see [`crate::Bulk::number`]; what was granted before stays.
        before: u32,
    },
}

/// What the server says of itself to a hello: which of its incarnations it is, and what time it is.
///
/// It is bound to that hello, so that whoever carries messages can't pass an old one off as the present: the agent
/// counts on from when it said hello, which is never later than this. Whether a command has expired is judged by this
/// clock, however wrong the machine's own one is. A server of a lower incarnation than the agent has heard of is an old
/// copy: what it asks for is not done, and it gets no reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The epoch of the hello.
    pub epoch: Epoch,
    /// The server's time.
    pub at: Timestamp,
    /// Which incarnation of the server it is.
    pub incarnation: Incarnation,
}

/// Which budget of a host is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Too many messages.
    Messages,
    /// Bytes of logs and listings.
    Bytes,
    /// Backups of the agent's own, a minute or open at once.
    OwnJobs,
    /// A backup of the agent's own is dated ahead of now, or too far back.
    OwnDate,
    /// A listing that goes back behind what has come, or is too large.
    Listing,
    /// Too many lines in the server's audit log.
    Audit,
    /// The share of the data file.
    Share,
}

impl Over {
    /// All variants.
    pub const ALL: [Self; 7] =
        [Self::Messages, Self::Bytes, Self::OwnJobs, Self::OwnDate, Self::Listing, Self::Audit, Self::Share];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Bytes => "bytes",
            Self::OwnJobs => "own_jobs",
            Self::OwnDate => "own_date",
            Self::Listing => "listing",
            Self::Audit => "audit",
            Self::Share => "share",
        }
    }

    /// What is too much, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Messages => "more messages a minute than are taken from one host",
            Self::Bytes => "more bytes of logs and listings a minute than are taken from one host",
            Self::OwnJobs => "more backups of the agent's own than are taken from one host",
            Self::OwnDate => {
                "a backup of the agent's own with an impossible date; look at the clock of the host"
            }
            Self::Listing => "a listing that overlaps itself or is too large",
            Self::Audit => "more lines of the audit than one host may cause",
            Self::Share => "more jobs and logs than the share of the data file that one host may take",
        }
    }
}

/// A command with its sequence number and its time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command<'a> {
    /// Its place in the host's command sequence, from 1.
    pub seq: CommandSeq,
    /// After this instant, by the server's clock, the agent refuses it ([`crate::Refusal::Expired`]).
    pub expires_at: Timestamp,
    /// What the agent is asked to do.
    #[serde(borrow)]
    pub body: CommandBody<'a>,
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandBody<'a> {
    /// Run a job.
    #[serde(borrow)]
    Run(Run<'a>),
    /// End a job that is queued or runs.
    Cancel {
        /// The job to cancel.
        job: JobId,
    },
    /// New credentials of one slot.
    #[serde(borrow)]
    ConfigUpdate(ConfigUpdate<'a>),
}

/// A job to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run<'a> {
    /// The job; executed at most once.
    pub job: JobId,
    /// The host name that restic writes into snapshots (`--host`).
    pub restic_host: &'a str,
    /// When it must have ended, in seconds after its start; 0 = no deadline.
    pub deadline_secs: u32,
    /// What the job does.
    #[serde(borrow)]
    pub spec: JobSpec<'a>,
    /// The name of the host whose repository the job works on, when it is another one's: with the credentials that came
    /// for this job ([`ConfigUpdate::for_job`]), never with the agent's own. `None` = the agent's own repository.
    pub for_host: Option<&'a str>,
}

/// New credentials of one slot (`config.update`).
///
/// The everyday slot is stored. The admin slot never is: without a job this only asks whether the agent would take it
/// for one (its local policy may say no), and carries no secrets. The everyday slot with a job holds another host's
/// credentials: they are for that job alone ([`Run::for_host`]), are never stored, and say nothing of the
/// agent's own slot. They are answered by [`crate::ReportBody::CredentialsHeld`], or by a refusal of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigUpdate<'a> {
    /// The slot that the credentials are for.
    pub slot: Slot,
    /// Grows with each change of this slot on the server; what was deleted has a revision too.
    pub revision: SlotRevision,
    /// Held in memory for this job only, and forgotten when it ends.
    pub for_job: Option<JobId>,
    /// `None`: the slot was emptied (of the admin slot without a job: see above).
    #[serde(borrow)]
    pub credentials: Option<Credentials<'a>>,
}

/// How to reach and open a repository. Prints nothing of itself.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials<'a> {
    /// restic's repository location, without user and password.
    pub url: &'a str,
    /// For a REST server; empty when there is none.
    pub username: &'a str,
    /// For a REST server; empty when there is none.
    pub password: &'a str,
    /// The password of the repository itself.
    pub repo_password: &'a str,
    /// Certificates (PEM) of the authorities that the storage's own may be of; empty: of those that the machine knows.
    pub ca: &'a str,
    /// The host keys that a storage reached by ssh may show, each its kind and its base64, one a line; empty: those that
    /// the machine knows.
    pub host_keys: &'a str,
    /// Further environment for restic alone (S3 keys and the like): name and value.
    #[serde(borrow)]
    pub env: Items<'a, (&'a str, &'a str)>,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}
