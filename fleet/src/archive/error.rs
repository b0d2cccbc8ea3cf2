//! What may lie in an archive, and why one is not made or not used.

use crate::incarnation::MOST_INCARNATION;
use crate::refused::{OpenError, StoreError};
use std::io;
use std::path::PathBuf;

/// The names of what may lie beside the rows, each of which is written at a restore under the same name.
pub const ARCHIVE_PARTS: [&str; 10] = [
    "master.key",
    "tls/ca.pem",
    "tls/ca.key",
    "tls/next.pem",
    "tls/next.key",
    "brought/certificate.pem",
    "brought/key.pem",
    "brought/pages-certificate.pem",
    "brought/pages-key.pem",
    "settings.toml",
];

/// Why an archive is not made, or not used; one sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The data file could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A piece of the server can't be used, or not be made.
    #[error(transparent)]
    Piece(#[from] OpenError),
    /// The authority was replaced while the archive was begun.
    #[error("the authority that agents trust was just being replaced: make the archive again")]
    AuthorityChanged,
    /// The moment whose state it was to hold could not be kept for so long.
    #[error("too much was written to the data file while the archive was made: make it again")]
    Overtaken,
    /// It could not be written.
    #[error("the archive could not be written: {0}")]
    Write(io::Error),
    /// It could not be read.
    #[error("the archive can't be read: {0}")]
    Read(io::Error),
    /// A file of the server could not be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// It is something else.
    #[error("this is no archive of a Holdfast server, or its beginning is damaged: take another one")]
    NotAnArchive,
    /// What it was opened with is not what it was made with.
    #[error("this passphrase or identity does not open this archive, or its beginning is damaged")]
    WrongKey,
    /// It is encrypted with a passphrase.
    #[error("this archive is opened by a passphrase: give --passphrase-file")]
    WantsPassphrase,
    /// It is encrypted for recipients.
    #[error("this archive is opened by the identity of a recipient: give --identity-file")]
    WantsIdentity,
    /// It is cut off, or not what was written.
    #[error("this archive is damaged or cut off ({0}): take another one")]
    Damaged(String),
    /// A newer program made it.
    #[error(
        "a newer Holdfast made this archive (form {found}, this program reads {understood}): use that version"
    )]
    Newer {
        /// Its form.
        found: u32,
        /// The newest form that is understood.
        understood: u32,
    },
    /// A program made it whose rows are not read any more.
    #[error(
        "this archive was made by an earlier development state (data format {found}; this program reads {oldest} and newer): \
         restore it with the program that made it"
    )]
    Older {
        /// Its data format.
        found: u32,
        /// The oldest that is read.
        oldest: u32,
    },
    /// The text is no recipient.
    #[error("{0:?} is no age recipient: one begins with age1, and age-keygen prints it as \"public key\"")]
    Recipient(String),
    /// The text is what opens archives, and belongs nowhere but to who opens them.
    #[error(
        "that is the secret identity, which stays with you: give the recipient, which begins with age1 and which age-keygen prints as \
         \"public key\". It has been given to this server now, so make another one"
    )]
    Secret,
    /// The text holds no identity.
    #[error("the identity file holds no age identity: one is a line that begins with AGE-SECRET-KEY-1")]
    Identity,
    /// It is so old that the clock may be ahead.
    #[error(
        "by this machine's clock the archive is {days} days old. The clock makes the server's new incarnation, and one that is \
         ahead makes a number that later restores do not reach: set the clock, or say that it is right (--clock-is-right)"
    )]
    LongAgo {
        /// How old it is.
        days: u64,
    },
    /// It is of later than now.
    #[error(
        "by this machine's clock the archive will be made in {minutes} minutes. The clock makes the server's new incarnation, and of \
         two servers the one with the higher number counts: set the clock, or say that it is right (--clock-is-right)"
    )]
    Ahead {
        /// By how many minutes.
        minutes: u64,
    },
    /// The incarnation that was asked for leaves none for later restores.
    #[error(
        "the server would be an incarnation above {MOST_INCARNATION}, the highest that --incarnation-after takes, and no archive of \
         before could be restored any more: give the number that an agent's log names, and no higher one"
    )]
    IncarnationTooHigh,
    /// The server that a rehearsal has made of it would not start.
    #[error("a server that is made of this archive would not start: {0}")]
    Rehearsal(String),
    /// It is not of the server whose place is to be taken.
    #[error("this archive is of another server than the one that was followed")]
    OtherServer,
    /// Where the server is to be restored, something is.
    #[error("{} is not empty: a server is restored into a folder that is empty or not there", .0.display())]
    NotEmpty(PathBuf),
    /// Another one makes a server there.
    #[error("a server is being made in {} by another restore, salvage or promote: wait until that has ended, or end it", .0.display())]
    Busy(PathBuf),
    /// Where a standby is to become the server, one is.
    #[error("{} is there: this folder holds a server already", .0.display())]
    IsThere(PathBuf),
}

impl ArchiveError {
    /// Its word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::Piece(error) => error.code(),
            Self::AuthorityChanged => "authority_changed",
            Self::Overtaken => "overtaken",
            Self::Write(_) => "write_failed",
            Self::Read(_) => "read_failed",
            Self::File { .. } => "file",
            Self::NotAnArchive => "not_an_archive",
            Self::WrongKey => "wrong_key",
            Self::WantsPassphrase => "wants_passphrase",
            Self::WantsIdentity => "wants_identity",
            Self::Damaged(_) => "archive_damaged",
            Self::Newer { .. } => "archive_newer",
            Self::Older { .. } => "archive_older",
            Self::Recipient(_) | Self::Secret => "recipient",
            Self::Identity => "identity",
            Self::LongAgo { .. } => "archive_long_ago",
            Self::Ahead { .. } => "archive_ahead",
            Self::IncarnationTooHigh => "incarnation_too_high",
            Self::Rehearsal(_) => "would_not_start",
            Self::OtherServer => "other_server",
            Self::NotEmpty(_) => "not_empty",
            Self::Busy(_) => "busy",
            Self::IsThere(_) => "server_there",
        }
    }

    pub(super) fn damaged(why: impl Into<String>) -> Self {
        Self::Damaged(why.into())
    }

    pub(super) fn from_age(error: age::DecryptError) -> Self {
        match error {
            age::DecryptError::Io(why) if why.kind() == io::ErrorKind::UnexpectedEof => Self::NotAnArchive,
            age::DecryptError::Io(why) => Self::Read(why),
            age::DecryptError::InvalidHeader | age::DecryptError::UnknownFormat => Self::NotAnArchive,
            _ => Self::WrongKey,
        }
    }

    /// What came while it was read: a disk that can't be read is not a damaged archive.
    pub(super) fn from_reading(why: io::Error) -> Self {
        match why.kind() {
            _ if why.raw_os_error().is_some() => Self::Read(why),
            _ => Self::Damaged(why.to_string()),
        }
    }
}
