//! Archives of the server.

use crate::format::rfc3339;
use fleet::record::Secret;
use fleet::{ArchiveStatus, Kept};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewArchiveKey)]
pub(crate) struct ArchiveKeyIn {
    /// At least 12 characters; whoever knows it opens the archives that are made from now on.
    #[schema(value_type = Option<String>)]
    pub(crate) passphrase: Option<Secret>,
    /// Instead of a passphrase: `age` recipients (`age1…`), one to 16; the holder of any one's identity opens them.
    pub(crate) recipients: Option<Vec<String>>,
    /// The own password again; a token has none.
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<Secret>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ArchiveDownload)]
pub(crate) struct ArchiveDownloadIn {
    /// The own password again; a token has none.
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<Secret>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Archives)]
pub(crate) struct ArchivesOut {
    /// `ok`: the newest one is of the last two days; `begun`: the first one comes soon; `no_key`: nobody has said what
    /// opens them, and none is made; `late`: the newest one is older than two days.
    state: &'static str,
    /// What opens those that are made from now on: `passphrase` or `recipients`; null: nobody has said.
    opened_by: Option<&'static str>,
    /// The recipients, where it is they.
    recipients: Vec<String>,
    /// Since when that is so.
    key_changed_at: Option<String>,
    /// Whether one is being made now.
    busy: bool,
    /// When the last try failed; null: it did not.
    failed_at: Option<String>,
    /// Why, in words.
    failed: Option<String>,
    /// What the newest ones go without, in words: certificates that were brought and could not be read or used.
    lacks: Vec<String>,
    /// Where they are, on the server.
    folder: String,
    /// Those that there are, newest first.
    archives: Vec<ArchiveOut>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Archive)]
pub(crate) struct ArchiveOut {
    name: String,
    /// The instant whose state it holds.
    made_at: String,
    bytes: u64,
}

impl From<Kept> for ArchiveOut {
    fn from(kept: Kept) -> Self {
        Self { name: kept.name, made_at: rfc3339(kept.at), bytes: kept.bytes }
    }
}

impl From<ArchiveStatus> for ArchivesOut {
    fn from(status: ArchiveStatus) -> Self {
        let (failed_at, failed) = status.failed.unzip();
        let key = status.key.as_ref();
        Self {
            state: status.state.code(),
            opened_by: key.map(|key| if key.recipients.is_empty() { "passphrase" } else { "recipients" }),
            recipients: key.map(|key| key.recipients.clone()).unwrap_or_default(),
            key_changed_at: key.map(|key| rfc3339(key.changed_at)),
            busy: status.is_busy,
            failed_at: failed_at.map(rfc3339),
            failed,
            lacks: status.lacks,
            folder: status.folder,
            archives: status.kept.into_iter().map(ArchiveOut::from).collect(),
        }
    }
}
