//! Why a standby could not get what is new: one of a closed list, each with a word and a sentence that says what to do.

use crate::outwards::{Doubt, DoubtOf};
use fleet::ArchiveError;
use std::fmt;

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no token yet.
    NoToken { path: String, recipient: String },
    /// Nothing answers.
    Unreachable(String),
    /// What answers is not known by its certificate.
    NotTrusted { doubt: Doubt, names_authority: bool },
    /// The server does not know the token.
    WrongToken,
    /// The server stands still: another one has its place.
    Superseded,
    /// The server answers something else.
    Answered(String),
    /// What came ended in the middle.
    Cut(String),
    /// What came is encrypted for somebody else.
    WrongRecipient,
    /// What came is not what a server is made of.
    Damaged(String),
    /// What came is of a newer program.
    Newer(String),
    /// What came is of an older copy of the server.
    Older { came: u64, have: u64 },
    /// What came is another server's than what is here.
    OtherServer,
    /// It does not fit on the disk.
    Full { bytes: u64, left: u64 },
    /// It could not be written or read here.
    Disk(String),
}

impl Trouble {
    /// Its word.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::NoToken { .. } => "no_token",
            Self::Unreachable(_) => "unreachable",
            Self::NotTrusted { .. } => "not_trusted",
            Self::WrongToken => "wrong_token",
            Self::Superseded => "superseded",
            Self::Answered(_) => "answered",
            Self::Cut(_) => "cut",
            Self::WrongRecipient => "wrong_recipient",
            Self::Damaged(_) => "damaged",
            Self::Newer(_) => "newer",
            Self::Older { .. } => "older",
            Self::OtherServer => "other_server",
            Self::Full { .. } => "disk_full",
            Self::Disk(_) => "disk",
        }
    }

    /// Of an archive that could not be used.
    pub(super) fn of_archive(error: &ArchiveError) -> Self {
        match error {
            ArchiveError::WrongKey | ArchiveError::WantsPassphrase => Self::WrongRecipient,
            ArchiveError::Newer { .. } => Self::Newer(error.to_string()),
            ArchiveError::Read(_) | ArchiveError::File { .. } => Self::Disk(error.to_string()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// What is to be done about a certificate that is not believed.
const fn advice(of: DoubtOf, names_authority: bool) -> &'static str {
    match of {
        DoubtOf::Issuer if names_authority => {
            "it is of another authority than --follow-authority names. Where the server has another one now, give that file anew (the \
             server's own is its tls/ca.pem)"
        }
        DoubtOf::Issuer => {
            "name the authority of its certificate with --follow-authority (the server's own is its tls/ca.pem)"
        }
        DoubtOf::Name => {
            "follow it by a name that is in its certificate, or have this one put in there (the server's --tls-name)"
        }
        DoubtOf::Time => "look at the clocks of both machines, and at the server's certificate",
        DoubtOf::Other => "look where the URL leads, and at the log there",
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken { path, recipient } => write!(
                f,
                "there is no token in {path}: on the server, holdfast-server standby add NAME --recipient {recipient} gives it"
            ),
            Self::Unreachable(why) => write!(f, "the server does not answer: {why}"),
            Self::NotTrusted { doubt, names_authority } => write!(
                f,
                "what answers is not believed to be the server ({}): {}",
                doubt.why,
                advice(doubt.of, *names_authority)
            ),
            Self::WrongToken => {
                f.write_str("the server does not know this token: it was removed there, or another server answers")
            }
            Self::Superseded => {
                f.write_str("the server stands still, for another one has its place: follow that one, with an empty folder")
            }
            Self::Answered(what) => write!(f, "the server answers {what}"),
            Self::Cut(why) => write!(f, "what the server sends ended in the middle: {why}"),
            Self::WrongRecipient => f.write_str(
                "what the server sends is encrypted for somebody else: remove this standby there, and add it with the recipient that \
                 it shows",
            ),
            Self::Damaged(why) | Self::Newer(why) | Self::Disk(why) => f.write_str(why),
            Self::Older { came, have } => write!(
                f,
                "what the server sends is of an older copy (incarnation {came}) than what is here (incarnation {have}): it is not kept"
            ),
            Self::OtherServer => f.write_str(
                "what comes is of another server than what is here, and is not kept: look where the URL leads; to follow that one, \
                 give the standby an empty folder",
            ),
            Self::Full { bytes, left } => {
                write!(f, "the archive has {bytes} bytes, and {left} are left on the disk: make room")
            }
        }
    }
}
