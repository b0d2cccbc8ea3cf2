//! Folders of snapshots and of hosts.

use super::said::said;
use super::time::time;
use super::words;
use crate::format::rfc3339;
use fleet::Page;
use fleet::record::{EntryCursor, Folder, Job};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FolderRequest)]
pub(crate) struct FolderBody {
    /// The folder, absolute.
    pub(crate) path: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Entry)]
pub(crate) struct EntryOut {
    name: String,
    #[schema(value_type = words::EntryKind)]
    kind: &'static str,
    /// 0 of what is no file.
    bytes: u64,
    modified_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Folder)]
pub(crate) struct FolderOut {
    path: String,
    /// When it was listed; null = never, or too long ago to be kept.
    listed_at: Option<String>,
    /// Folders first, then by name.
    items: Vec<EntryOut>,
    next: Option<String>,
    /// Entries that did not come: too many, or of a name that is too long or could not be read.
    left_out: u32,
    /// How many entries are kept, on all pages.
    total: usize,
    /// Why the last look came to nothing; null = it did not, or nobody has looked (lately).
    last_error: Option<FolderErrorOut>,
}

/// A look into a folder that came to nothing.
#[derive(Serialize, ToSchema)]
#[schema(as = FolderError)]
pub(crate) struct FolderErrorOut {
    job: String,
    #[schema(value_type = words::JobState)]
    state: &'static str,
    /// Why, as a word; null = there is none for it.
    #[schema(value_type = Option<words::Class>)]
    class: Option<&'static str>,
    /// The same in a sentence; null = nothing was said.
    message: Option<String>,
    finished_at: Option<String>,
}

impl From<&Job> for FolderErrorOut {
    fn from(job: &Job) -> Self {
        Self {
            job: job.id.to_string(),
            state: job.state.as_str(),
            class: job.class.map(schema::Class::as_str),
            message: said(&job.message),
            finished_at: time(job.finished_at),
        }
    }
}

impl FolderOut {
    /// The part of a folder that a request asks for.
    pub(crate) fn new(path: String, folder: Option<&Folder>, failed: Option<&Job>, page: &Page) -> Self {
        let last_error = failed.map(FolderErrorOut::from);
        let listed_at = folder.map(|folder| rfc3339(folder.at));
        let left_out = folder.map_or(0, |folder| folder.left_out);
        let total = folder.map_or(0, |folder| folder.entries.len());
        let cursor = page.cursor.as_deref().and_then(|cursor| cursor.parse::<EntryCursor>().ok());
        let (entries, next) = folder.map_or((&[][..], None), |it| it.part(page.limit, cursor.as_ref()));
        let items = entries
            .iter()
            .map(|entry| EntryOut {
                name: entry.name.clone(),
                kind: entry.kind.as_str(),
                bytes: entry.bytes,
                modified_at: time(entry.modified_at),
            })
            .collect();
        Self { path, listed_at, items, next: next.map(|next| next.to_string()), left_out, total, last_error }
    }
}
