use schema::Timestamp;
use serde::{Deserialize, Serialize};

/// For whom archives of the server are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchiveKeyRow {
    pub(crate) changed_at: Timestamp,
    pub(crate) closed_by: ClosedBy,
}

/// How an archive is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ClosedBy {
    /// A passphrase, sealed as `archive`.
    Passphrase(Vec<u8>),
    /// `age` recipients.
    Recipients(Vec<String>),
}
