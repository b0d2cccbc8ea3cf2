//! Why something is not done, in words that a person can act on.

use crate::record::Hold;
use schema::{JobId, JobKind};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why the store does not do it, as far as a person can do something about it.
fn store_words(error: &StoreError) -> String {
    match (error.write_fault(), error) {
        (WriteFault::Replaced, _) => format!("{error}: {}", WriteFault::Replaced.advice()),
        (WriteFault::Other, StoreError::Damaged { .. }) => error.to_string(),
        (fault, _) => format!("{}: {}", fault.in_words(), fault.advice()),
    }
}

/// Why the link of a message acknowledges nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// It is none of this server's, or of a channel that is gone or may have none.
    Unknown,
    /// Somebody has acknowledged the incident, or taken that back, since it was told.
    Used,
    /// It is too old.
    Expired,
}

impl LinkFault {
    const fn in_words(self) -> &'static str {
        match self {
            Self::Unknown => {
                "this link acknowledges nothing: it is not of this server, or its channel may have none any more"
            }
            Self::Used => "this link was used, or somebody has acknowledged the incident since it was sent",
            Self::Expired => "this link is too old: it acknowledges for a week",
        }
    }
}

/// Why a request is not carried out. Its text is one sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no such host.
    #[error("there is no such host; it may have been deleted")]
    HostNotFound,
    /// No machine asks to be taken in as this host.
    #[error(
        "no machine asks to be taken in as this host: it was taken in already, or has not tried again since this server started"
    )]
    NewcomerNotFound,
    /// There is no such source group.
    #[error("the host has no source group of this name")]
    GroupNotFound,
    /// There is no such schedule.
    #[error("the host has no schedule of this name")]
    ScheduleNotFound,
    /// There is no such pending run.
    #[error("this backup does not wait any more")]
    PendingNotFound,
    /// There is no such incident.
    #[error("there is no such incident; the oldest that have ended are not kept")]
    IncidentNotFound,
    /// The incident has ended: there is nothing to let rest.
    #[error("this incident has ended")]
    IncidentEnded,
    /// There is no such job.
    #[error("there is no such job")]
    JobNotFound,
    /// There is no such account, token or viewer.
    #[error("there is no such account")]
    AccountNotFound,
    /// The link of a message acknowledges nothing.
    #[error("{}", .fault.in_words())]
    AckLink {
        /// Why.
        fault: LinkFault,
    },
    /// There is no such channel.
    #[error("there is no channel of this name")]
    ChannelNotFound,
    /// There is no such route.
    #[error("there is no route of this name")]
    RouteNotFound,
    /// There is no such standby.
    #[error("there is no such standby")]
    StandbyNotFound,
    /// There is no feed of this name.
    #[error("There is no such feed.")]
    FeedNotFound,
    /// Hosts with this label have no grace of their own.
    #[error("Hosts with this label have no grace of their own.")]
    GraceNotFound,
    /// Another server has the place of this one.
    #[error(
        "another server was made of this one and has its place (incarnation {incarnation}{}): this one stands still; make \
         the change there",
        if url.is_empty() { ", on the machine that was its standby".to_owned() } else { format!(", {url}") }
    )]
    Superseded {
        /// Which incarnation it is.
        incarnation: schema::Incarnation,
        /// Where its pages are; empty = that is not known.
        url: String,
    },
    /// The name is somebody else's.
    #[error("the name {name} is taken; choose another")]
    NameTaken {
        /// The name that is taken.
        name: String,
    },
    /// A value can't be used.
    #[error("{message}")]
    InvalidInput {
        /// Name of the field whose value it is.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// The host is not connected.
    #[error("the host is offline; try again when its agent is connected")]
    HostOffline,
    /// No agent has been enrolled for the host.
    #[error("no agent is enrolled for this host; run the enrolment command on it first")]
    HostNotEnrolled,
    /// The everyday slot is empty.
    #[error("set the repository credentials of this host first")]
    RepoCredsRequired,
    /// The everyday slot is filled, and does not open; the agent of the host itself has what it holds.
    #[error("the stored repository credentials of this host can't be opened; set them again")]
    RepoCredsUnreadable,
    /// The host that was to do it for another one can't be asked.
    #[error("the host {runner} can't do it for another one: {}", why.in_words())]
    RunnerUnfit {
        /// Name of the host that was to do it.
        runner: String,
        /// What keeps it from that.
        why: RunnerSetback,
    },
    /// The admin slot is empty.
    #[error("set the admin credentials of this host first: a prune runs with these alone")]
    AdminCredsRequired,
    /// The admin slot is filled, and does not open.
    #[error("the stored admin credentials of this host can't be opened; set them again")]
    AdminCredsUnreadable,
    /// The admin slot is filled, and the agent's own policy forbids it.
    #[error("the agent on this host refuses admin credentials; only its owner can allow them, on the host")]
    AdminCredsForbidden,
    /// The same job is open already.
    #[error("the same job is queued or runs already; wait for it or cancel it")]
    JobInProgress {
        /// The job that is open.
        job: JobId,
    },
    /// A backup of the group is open, and what it will lack is not known yet.
    #[error(
        "a backup of {group} waits or runs, and what it will hold is not known yet; try again when job {job} has ended"
    )]
    BackupOpen {
        /// Name of the source group.
        group: String,
        /// The backup that is open.
        job: JobId,
    },
    /// Another host uses the repository and one of the two jobs needs it alone.
    #[error("the {} of host {host} uses the same repository; try again when job {job} has ended", kind.as_str())]
    RepoBusy {
        /// The other host's name.
        host: String,
        /// The kind of the job that uses the repository.
        kind: JobKind,
        /// The other host's job that uses the repository.
        job: JobId,
    },
    /// Nothing of a source group may go until somebody has looked at it.
    #[error("nothing of source group {group} is forgotten until somebody has looked at it")]
    Held {
        /// Name of the source group.
        group: String,
        /// Why nothing of it is forgotten.
        why: Hold,
    },
    /// Another machine took the host's place, and nobody has started its backups.
    #[error(
        "the backups of this host are held, for another machine took its place: restore what it needs, then start them on the host's page"
    )]
    BackupsHeld,
    /// The backups that were to be started are held for another machine by now.
    #[error(
        "yet another machine has taken the host's place since, called {hostname}: nothing was started; look at what it needs first"
    )]
    HoldChanged {
        /// Name that the machine gives itself.
        hostname: String,
    },
    /// The lock that was to be removed is not the one that is held.
    #[error("{message}")]
    LockChanged {
        /// What is held now, and what to do.
        message: String,
    },
    /// What was to be acknowledged is not how the host stands.
    #[error("it stands differently now; look at it again")]
    StateChanged,
    /// Hosts would find the server no more, and nobody has said that they may be lost.
    #[error(
        "hosts would be lost ({hosts}), until somebody enrols them anew: look who they are, and say that they may be"
    )]
    WouldLose {
        /// How many.
        hosts: usize,
    },
    /// So many downloads run already.
    #[error("{} downloads run already; try again when one has ended", crate::bounds::MOST_DOWNLOADS)]
    TooManyDownloads,
    /// The host has a job beside which there is no download, and that is done at once or not at all.
    #[error("the host has a {} ({job}), and no download runs beside that; try again when it has ended", kind.as_str())]
    HostBusy {
        /// The job that is in its way.
        job: JobId,
        /// Its kind.
        kind: JobKind,
    },
    /// The host works on the repository of another one, which only the lease of its job keeps whole.
    #[error("the host does {job} for another host, {source_name}: wait for its end, or cancel it first")]
    DoesForOther {
        /// The job.
        job: JobId,
        /// Name of the other host.
        source_name: String,
    },
    /// The host's outbox is full.
    #[error("too many commands wait for this host; try again when it has taken some")]
    QueueFull,
    /// The last admin can't be removed or demoted.
    #[error("this is the last admin; make another account admin first")]
    LastAdmin,
    /// There is an account already.
    #[error("the set-up is done already; sign in instead")]
    SetupClosed,
    /// The set-up code is wrong.
    #[error("the set-up code is wrong; copy the link that the server printed at its start")]
    SetupCode,
    /// The job has ended, nothing can be done to it.
    #[error("the job has ended already")]
    JobEnded,
    /// The agent speaks another wire version.
    #[error(
        "the agent on this host speaks a protocol version this server does not; update the older of the two"
    )]
    WireUnsupported,
    /// The store failed.
    #[error("{}", store_words(.0))]
    Store(#[from] StoreError),
}

impl Refused {
    /// The stable word for it in the API.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::HostNotFound => "host_not_found",
            Self::NewcomerNotFound => "newcomer_not_found",
            Self::GroupNotFound => "group_not_found",
            Self::ScheduleNotFound => "schedule_not_found",
            Self::PendingNotFound => "pending_not_found",
            Self::IncidentNotFound => "incident_not_found",
            Self::IncidentEnded => "incident_ended",
            Self::AckLink { fault: LinkFault::Unknown } => "link_unknown",
            Self::AckLink { fault: LinkFault::Used } => "link_used",
            Self::AckLink { fault: LinkFault::Expired } => "link_expired",
            Self::JobNotFound => "job_not_found",
            Self::AccountNotFound => "account_not_found",
            Self::StandbyNotFound => "standby_not_found",
            Self::FeedNotFound => "feed_not_found",
            Self::GraceNotFound => "grace_not_found",
            Self::ChannelNotFound => "channel_not_found",
            Self::RouteNotFound => "route_not_found",
            Self::Superseded { .. } => "superseded",
            Self::NameTaken { .. } => "name_taken",
            Self::InvalidInput { .. } => "invalid_input",
            Self::HostOffline => "host_offline",
            Self::HostNotEnrolled => "host_not_enrolled",
            Self::RepoCredsRequired | Self::RepoCredsUnreadable => "repo_creds_required",
            Self::RunnerUnfit { why, .. } => why.code(),
            Self::AdminCredsRequired | Self::AdminCredsUnreadable => "admin_creds_required",
            Self::AdminCredsForbidden => "admin_creds_forbidden",
            Self::JobInProgress { .. } | Self::BackupOpen { .. } => "job_in_progress",
            Self::RepoBusy { .. } => "repo_busy",
            Self::Held { .. } => "held",
            Self::BackupsHeld => "backups_held",
            Self::HoldChanged { .. } => "hold_changed",
            Self::LockChanged { .. } => "lock_changed",
            Self::StateChanged => "state_changed",
            Self::WouldLose { .. } => "would_lose",
            Self::QueueFull => "queue_full",
            Self::TooManyDownloads => "too_many_downloads",
            Self::HostBusy { .. } | Self::DoesForOther { .. } => "host_busy",
            Self::LastAdmin => "last_admin",
            Self::SetupClosed => "setup_closed",
            Self::SetupCode => "setup_code",
            Self::JobEnded => "job_ended",
            Self::WireUnsupported => "wire_unsupported",
            Self::Store(_) => "store",
        }
    }

    /// The field that is meant, where one is.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::InvalidInput { field, .. } => Some(field),
            Self::NameTaken { .. } => Some("name"),
            _ => None,
        }
    }

    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::InvalidInput { field, message: message.into() }
    }
}

/// Why a host can do nothing for another one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunnerSetback {
    /// No agent has been enrolled for it.
    NotEnrolled,
    /// It is not connected.
    Offline,
    /// Its agent speaks another wire version.
    WireUnsupported,
    /// Its agent can't do anything for other hosts.
    AgentTooOld,
}

impl RunnerSetback {
    /// The stable word for it in the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotEnrolled => "runner_not_enrolled",
            Self::Offline => "runner_offline",
            Self::WireUnsupported => "runner_wire_unsupported",
            Self::AgentTooOld => "runner_agent_too_old",
        }
    }

    /// The same in words for people.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::NotEnrolled => "no agent is enrolled for it",
            Self::Offline => "it is offline",
            Self::WireUnsupported => "its agent speaks a protocol version this server does not; update it",
            Self::AgentTooOld => "its agent is too old for that; update it",
        }
    }
}

/// The store failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database said no.
    #[error("data file")]
    Database(#[source] Arc<redb::Error>),
    /// What is on disk is not what was written there.
    #[error(
        "the data file is damaged: restore an archive of the server, or salvage what can be read ({why})"
    )]
    Damaged {
        /// What was found that shows the damage.
        why: String,
    },
    /// A row is not what its table says.
    #[error("a row of table {table} can't be read: {why}")]
    Row {
        /// Name of the table that the row is in.
        table: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A sealed value does not open.
    #[error("a sealed value of {what} does not open with this master key")]
    Seal {
        /// What the sealed value belongs to.
        what: &'static str,
    },
    /// An operation panicked; nothing of it was written.
    #[error("an operation failed unexpectedly and was rolled back")]
    Panicked,
    /// Another file lies in the place of the one that is open, or none.
    #[error("{} is another file than the one that this server has open, or is gone", .0.display())]
    Replaced(PathBuf),
    /// The store was shut down.
    #[error("the store is closed")]
    Closed,
    /// Another server has the place of this one.
    #[error("another server has the place of this one, which stands still")]
    StandsStill,
    /// The data file is damaged, and only read.
    #[error("the data file is damaged, and the server only reads")]
    OnlyReads,
}

/// Why the data file can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// Its disk is full, or a quota is used up.
    Full,
    /// It has reached a limit on the size of files.
    Limit,
    /// Its file system is mounted read-only.
    ReadOnly,
    /// It was moved or replaced while it was open.
    Replaced,
    /// The server, or its machine, has as many files and connections open as it may.
    Descriptors,
    /// It is damaged, and only read.
    Damaged,
    /// None of the others.
    Other,
}

impl WriteFault {
    /// The fault in words for people.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Full => "the server's disk is full",
            Self::Limit => "the server's data file has reached a limit on the size of files",
            Self::ReadOnly => {
                "the server's data file can't be written, as its file system is mounted read-only"
            }
            Self::Replaced => "the server's data file was moved or replaced while the server runs",
            Self::Descriptors => "the server has as many files and connections open as it may",
            Self::Damaged => "the server's data file is damaged, and the server only reads",
            Self::Other => "the server's data file can't be read or written",
        }
    }

    /// What to do about it, in words for people.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Full => "make room on the disk of its data folder; then it goes on by itself",
            Self::Limit => "raise it (LimitFSIZE of the unit, ulimit -f), and start the server again",
            Self::ReadOnly => {
                "look at the system's log for a disk that fails, and mount it to be written again"
            }
            Self::Replaced => {
                "the server still has it open, and loses what is in it when it ends: make an archive first (holdfast-server backup --to \
                 FILE); then stop it, restore that archive, or put the data folder to go on with into its place, and start it again"
            }
            Self::Descriptors => {
                "raise the limit (LimitNOFILE of the unit, ulimit -n), and start the server again"
            }
            Self::Damaged => {
                "stop it, and restore an archive (holdfast-server restore), or make a new data folder of what can be read \
                 (holdfast-server salvage)"
            }
            Self::Other => "see the server's log",
        }
    }
}

/// The database's own errors can't be compared: they are the same when they are one and the same.
impl PartialEq for StoreError {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Database(one), Self::Database(other)) => Arc::ptr_eq(one, other),
            (Self::Damaged { why: one }, Self::Damaged { why: other }) => one == other,
            (Self::Row { table: one, why }, Self::Row { table: other, why: why_other }) => {
                (one, why) == (other, why_other)
            }
            (Self::Seal { what: one }, Self::Seal { what: other }) => one == other,
            (Self::Replaced(one), Self::Replaced(other)) => one == other,
            (Self::Panicked, Self::Panicked)
            | (Self::Closed, Self::Closed)
            | (Self::StandsStill, Self::StandsStill)
            | (Self::OnlyReads, Self::OnlyReads) => true,
            _ => false,
        }
    }
}

impl Eq for StoreError {}

impl StoreError {
    /// Whether the file itself could not be read or written: then nothing else that was asked at once was, either.
    pub(crate) fn is_of_file(&self) -> bool {
        let Self::Database(error) = self else { return false };
        matches!(**error, redb::Error::Io(_) | redb::Error::PreviousIo)
    }

    /// Why the file can't be written, as far as that is why.
    #[must_use]
    pub fn write_fault(&self) -> WriteFault {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        /// ENFILE and EMFILE, which std has no kinds for.
        const NONE_LEFT: [Option<i32>; 2] = [Some(23), Some(24)];
        let io = match self {
            Self::Replaced(_) => return WriteFault::Replaced,
            Self::OnlyReads => return WriteFault::Damaged,
            Self::Database(error) => match &**error {
                redb::Error::Io(why) if NONE_LEFT.contains(&why.raw_os_error()) => {
                    return WriteFault::Descriptors;
                }
                redb::Error::Io(why) => why.kind(),
                _ => return WriteFault::Other,
            },
            _ => return WriteFault::Other,
        };
        match io {
            StorageFull | QuotaExceeded => WriteFault::Full,
            FileTooLarge => WriteFault::Limit,
            ReadOnlyFilesystem => WriteFault::ReadOnly,
            _ => WriteFault::Other,
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                match error.into() {
                    redb::Error::Corrupted(why) => Self::Damaged { why },
                    other => Self::Database(Arc::new(other)),
                }
            }
        }
    )*};
}

from_redb!(
    redb::Error,
    redb::StorageError,
    redb::TableError,
    redb::CommitError,
    redb::DatabaseError,
    redb::TransactionError,
    redb::SetDurabilityError
);

/// Why a data folder can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder can't be made or read.
    #[error("the data folder {path} can't be used")]
    Folder {
        /// Path of the folder.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        why: std::io::Error,
    },
    /// Another process has the data file.
    #[error("{path} is in use by another process")]
    InUse {
        /// Path of the data file.
        path: PathBuf,
    },
    /// The data file is of a newer program.
    #[error(
        "the data file has format {found}, this program understands up to {understood}: use the newer program again"
    )]
    NewerFormat {
        /// The format version of the data file.
        found: u32,
        /// The newest format version that this program understands.
        understood: u32,
    },
    /// The data file is of a program so old that its rows are not read any more.
    #[error(
        "the data file was made by an earlier development state (format {found}; this program reads {oldest} and newer): \
         use the program that wrote it, or start with an empty data folder and enrol the hosts again"
    )]
    OlderFormat {
        /// The format version of the data file.
        found: u32,
        /// The oldest format version that this program still reads.
        oldest: u32,
    },
    /// The master key file can't be read or written.
    #[error("the master key file {path} can't be used")]
    KeyFile {
        /// Path of the key file.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        why: std::io::Error,
    },
    /// Others may write where the data lies.
    #[error(
        "{path} can be written by others (mode {mode:03o}), who could put data and keys of their own in its place: \
         chmod go-w it, or choose another data folder"
    )]
    Exposed {
        /// The folder, or a file in it.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Others may write above where the data lies.
    #[error(
        "{path}, which the data folder lies in, can be written by {who}, who could put another folder in its place: \
         change that, or choose another data folder, such as /var/lib/holdfast"
    )]
    ExposedAbove {
        /// The folder above it.
        path: PathBuf,
        /// Who may write it, in words.
        who: String,
    },
    /// The data is somebody else's.
    #[error(
        "{path} belongs to user {owner}, who could put data and keys of his own in its place, and this program runs as user \
         {user}: run it as user {owner}, as the server does; or chown it, if the server is to run as {user}"
    )]
    Foreign {
        /// The folder, or a file in it.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Others can read the master key.
    #[error("the master key file {path} can be read by others (mode {mode:03o}): chmod 600 it")]
    KeyExposed {
        /// Path of the key file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The master key is somebody else's.
    #[error("the master key file {path} belongs to user {owner}, the server runs as {user}")]
    KeyOwner {
        /// Path of the key file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// The master key file holds something else.
    #[error("{path} is not a master key: it must hold 64 hexadecimal digits")]
    KeyMalformed {
        /// Path of the key file.
        path: PathBuf,
    },
    /// A piece of the server is gone, and others are there.
    #[error(
        "{missing} is missing, but {found} is there, and neither is worth anything without the other. A server that still runs has it: \
         make an archive before you stop it (holdfast-server backup --to FILE). It is in each archive of the server: see \"A piece is \
         gone\" in docs/recovery.md, or restore the archive as a whole (holdfast-server restore). A master key that lies elsewhere is \
         named with --master-key-file"
    )]
    Missing {
        /// What is not there.
        missing: PathBuf,
        /// What is.
        found: PathBuf,
    },
    /// A restore or a salvage of a server into the folder did not end.
    #[error(
        "{data_dir} holds what a restore or a salvage has left that did not end: run it into this folder again (holdfast-server \
         restore, or salvage), which begins from the beginning"
    )]
    HalfRestored {
        /// The data folder.
        data_dir: PathBuf,
    },
    /// The promotion of a standby in the folder did not end.
    #[error(
        "{data_dir} holds what a promotion of this standby has left that did not end: run holdfast-server promote over it again, \
         which begins from the beginning; the archives of the standby are untouched"
    )]
    HalfPromoted {
        /// The data folder.
        data_dir: PathBuf,
    },
    /// A standby keeps its archives there.
    #[error(
        "{data_dir} is the folder of a standby: holdfast-server serve --follow goes on with it, and holdfast-server promote makes \
         the server of it"
    )]
    Standby {
        /// The data folder.
        data_dir: PathBuf,
    },
    /// The authority is gone, and the rest is there.
    #[error(
        "{missing} is missing or empty, which enrolled agents trust, but {found} is there: take the folder tls out of an archive of \
         the server (\"A piece is gone\" in docs/recovery.md); if it is lost for good, holdfast-server admin accept-authority lets the next start \
         make a new one, and then every host has to be enrolled again"
    )]
    NoAuthority {
        /// What is not there.
        missing: PathBuf,
        /// What is.
        found: PathBuf,
    },
    /// The present authority is there, and the next one is not.
    #[error(
        "the next authority is missing (tls/next.pem and tls/next.key, SHA-256 {next}), which agents are told to trust beside the \
         present one: take the whole folder tls out of a newer archive; or, to give it up, run holdfast-server admin \
         accept-authority and start again: agents that trust the present one come back by themselves"
    )]
    NoNextAuthority {
        /// The next one, in hexadecimal.
        next: String,
    },
    /// It is another authority than the one that enrolled agents trust.
    #[error(
        "the server's authority is {found}, but its enrolled agents trust {bound} (SHA-256), and would all be locked out: \
         restore the one that belongs to this data file; or, to go on with this one, run holdfast-server admin \
         accept-authority and start again, and then enrol every host again"
    )]
    OtherAuthority {
        /// What agents trust, in hexadecimal.
        bound: String,
        /// What the server has.
        found: String,
    },
    /// The data file holds nothing.
    #[error(
        "{path} is empty, so it has been cut: restore an archive of the server into another folder (holdfast-server restore)"
    )]
    Empty {
        /// The file that is empty.
        path: PathBuf,
    },
    /// There is no data file.
    #[error("{path} is missing: this is not the data folder of a Holdfast server")]
    NoData {
        /// Where the data file should be.
        path: PathBuf,
    },
    /// A folder, say, lies in the place of a file.
    #[error("{path} is no file: restore the file of that name from your backup of the data folder")]
    NotAFile {
        /// Path of it.
        path: PathBuf,
    },
    /// The key does not fit the data file.
    #[error("the master key does not belong to this data file: restore both from the same backup")]
    KeyWrong,
    /// What is on disk is not what was written there.
    #[error(
        "the data file {path} is damaged: restore an archive of the server into a new folder (holdfast-server restore), or \
         make one of what can be read (holdfast-server salvage) ({why})"
    )]
    Damaged {
        /// The file that is damaged.
        path: PathBuf,
        /// How the damage shows, in words.
        why: String,
    },
    /// The data file failed.
    #[error("the data file can't be opened")]
    Store(#[from] StoreError),
}

impl OpenError {
    /// Its word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "data_folder",
            Self::InUse { .. } => "in_use",
            Self::NewerFormat { .. } => "data_newer",
            Self::OlderFormat { .. } => "data_older",
            Self::KeyFile { .. }
            | Self::KeyExposed { .. }
            | Self::KeyOwner { .. }
            | Self::KeyMalformed { .. } => "master_key_file",
            Self::Exposed { .. } | Self::ExposedAbove { .. } => "exposed",
            Self::Foreign { .. } => "not_owner",
            Self::Missing { .. } => "piece_missing",
            Self::HalfRestored { .. } => "half_restored",
            Self::HalfPromoted { .. } => "half_promoted",
            Self::Standby { .. } => "standby_folder",
            Self::NoAuthority { .. } | Self::NoNextAuthority { .. } => "authority_missing",
            Self::OtherAuthority { .. } => "other_authority",
            Self::Empty { .. } | Self::NoData { .. } => "no_data",
            Self::NotAFile { .. } => "not_a_file",
            Self::KeyWrong => "master_key_wrong",
            Self::Damaged { .. } => "data_damaged",
            Self::Store(_) => "store",
        }
    }

    /// The same; when it is damage, with the file in which it is.
    pub(crate) fn at(self, file: &Path) -> Self {
        let why = match self {
            Self::Store(StoreError::Damaged { why }) => why,
            Self::Store(error @ StoreError::Row { .. }) => error.to_string(),
            other => return other,
        };
        Self::Damaged { path: file.to_owned(), why }
    }
}
