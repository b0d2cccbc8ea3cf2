//! Listings of folders, of snapshots and of hosts themselves: collected while their job runs, shown when it has ended
//! well, and kept so that they can be looked at while the host is away.

use crate::budget;
use crate::change::Changed;
use crate::clock::{self, Clock, PastInstants as _};
use crate::op::Op;
use crate::record::{EntryPage, EntryRow, Folder, FolderPlace, FolderSeen, Job, JobState, JobWhat};
use crate::refused::{Refused, StoreError};
use crate::store::{ENTRIES, FOLDERS, JOBS, Order, Reads, Span, Tx};
use schema::command::Over;
use schema::limits::{MAX_ENTRIES, MAX_VALUE_BYTES};
use schema::os_text::{bytes_of, holds_escape};
use schema::report::Entry;
use schema::{HostId, Items, JobId, OsText};
use std::ops::ControlFlow;

/// The most folders of a host that are kept; the oldest go.
const MAX_FOLDERS: usize = 300;

impl FolderSeen {
    pub(crate) const fn job(&self) -> JobId {
        self.job
    }
}

/// The folder that a job lists.
fn listed_by(what: &JobWhat) -> Option<(FolderPlace<'_>, &str)> {
    match what {
        JobWhat::Ls { snapshot, path } => Some((FolderPlace::Snapshot(snapshot), path)),
        JobWhat::Browse { path } => Some((FolderPlace::Host, path)),
        _ => None,
    }
}

fn key(host: HostId, place: FolderPlace<'_>, path: &str) -> (HostId, String) {
    let snapshot = match place {
        FolderPlace::Host => "",
        FolderPlace::Snapshot(id) => id,
    };
    (host, format!("{snapshot}:{path}"))
}

/// A path as it is asked for and kept: absolute, without a step upwards or a slash at its end. What is no UTF-8 in it is
/// written as [`schema::OsText`] does.
pub fn clean_path(path: &str) -> Result<String, Refused> {
    let refuse = |why: &str| Err(Refused::invalid("path", why.to_owned()));
    if !path.starts_with('/') {
        return refuse("a path begins with /");
    }
    if path.len() > MAX_VALUE_BYTES || path.contains('\0') {
        return refuse("a path has at most 4096 bytes and no NUL");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return refuse("a path has no step upwards (..)");
    }
    // One folder has one path, however its bytes are written.
    let bytes: Vec<u8> = bytes_of(&format!("/{}", parts.join("/"))).collect();
    Ok(OsText::new(&bytes).to_string())
}

/// Why a source group can't name a path: its lines are plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoInclude {
    /// It is no UTF-8.
    #[error("names that are no UTF-8 can't be backed up by name: back up the folder above")]
    NotText,
    /// It would be read as the spelling of a name that is no UTF-8.
    #[error("a name that holds \\x and two digits can't be backed up by name: back up the folder above")]
    ReadsAsBytes,
    /// It holds a line break or another control character.
    #[error(
        "names with a line break or another control character can't be backed up by name: back up the folder above"
    )]
    Control,
    /// It ends with white space, which a form drops.
    #[error("a name with white space at its end can't be given in the form: back up the folder above")]
    SpaceAtEnd,
}

/// A path, as it is shown, as a source group names it.
pub fn include_of(path: &str) -> Result<String, NoInclude> {
    let text = String::from_utf8(bytes_of(path).collect()).map_err(|_| NoInclude::NotText)?;
    if text.chars().any(char::is_control) {
        return Err(NoInclude::Control);
    }
    if holds_escape(&text) {
        return Err(NoInclude::ReadsAsBytes);
    }
    if text.ends_with(char::is_whitespace) { Err(NoInclude::SpaceAtEnd) } else { Ok(text) }
}

/// restic's id of a snapshot, whole or its beginning.
pub fn check_snapshot(id: &str) -> Result<(), Refused> {
    if (8..=64).contains(&id.len()) && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err(Refused::invalid("snapshot", "a snapshot's id has 8 to 64 digits, 0 to 9 and a to f"))
}

/// Takes a piece of a listing that still runs.
pub(crate) fn take_page<'a>(
    tx: &mut Tx<'_>,
    host: HostId,
    job: JobId,
    first: u32,
    entries: &Items<'a, Entry<'a>>,
) -> Result<Result<(), Over>, StoreError> {
    let Some(record) = tx.get(&JOBS, &job)? else { return Ok(Ok(())) };
    let is_open = record.host == host && listed_by(&record.what).is_some() && !has_result(record.state);
    if !is_open || first >= MAX_ENTRIES {
        return Ok(Ok(()));
    }
    let page = EntryPage(entries.iter().map(|entry| row(&entry)).collect());
    budget::take_piece(tx, &ENTRIES, (job, first, page.0.len()), &page, budget::MAX_FOLDER_BYTES)
}

const fn has_result(state: JobState) -> bool {
    matches!(state, JobState::Succeeded | JobState::Warning)
}

/// A job has ended. Where it listed a folder: well, and its pieces replace those of the one before; or not, and they go.
pub(crate) fn job_ended(op: &mut Op<'_, '_>, job: &Job) -> Result<(), StoreError> {
    let Some((place, path)) = listed_by(&job.what) else { return Ok(()) };
    if !has_result(job.state) {
        // What is only presumed may still turn out well.
        if !job.presumed {
            budget::remove_pieces(op.tx, &ENTRIES, job.id)?;
        }
        return Ok(());
    }
    let at = job.finished_at.unwrap_or(op.now).min(op.now);
    let mut kept = 0_u32;
    op.tx.walk(&ENTRIES, &Span::under(&job.id), Order::Ascending, |_, EntryPage(page)| {
        kept = kept.saturating_add(u32::try_from(page.len()).unwrap_or(u32::MAX));
        Ok(ControlFlow::Continue(()))
    })?;
    // Wherever they were lost: on the host, on the way, for want of room.
    let left_out = match job.figures {
        crate::record::JobFigures::Folder { entries, left_out } => {
            left_out.saturating_add(entries.saturating_sub(kept))
        }
        _ => 0,
    };
    let key = key(job.host, place, path);
    if let Some(old) = op.tx.get(&FOLDERS, &key)?.filter(|old| old.job != job.id) {
        budget::remove_pieces(op.tx, &ENTRIES, old.job)?;
    }
    op.tx.put(&FOLDERS, &key, &FolderSeen { job: job.id, at, left_out })?;
    let mut kept = op.tx.rows(&FOLDERS, &Span::under(&job.host))?;
    if kept.len() > MAX_FOLDERS {
        kept.sort_by_key(|(_, seen)| (seen.at, seen.job));
        let too_many = kept.len() - MAX_FOLDERS;
        for (key, seen) in kept.into_iter().take(too_many) {
            op.tx.remove(&FOLDERS, &key)?;
            budget::remove_pieces(op.tx, &ENTRIES, seen.job)?;
        }
    }
    op.tx.effects.changed(Changed::Repo(job.host));
    Ok(())
}

/// Listings that a clock which was ahead has dated.
pub(crate) fn mend(tx: &mut Tx<'_>, clock: Clock) -> Result<usize, StoreError> {
    clock::each(tx, &FOLDERS, |seen| seen.at.cap(clock))
}

/// The newest whole listing of a folder: folders first, then by name.
pub(crate) fn read(
    reads: &impl Reads,
    host: HostId,
    place: FolderPlace<'_>,
    path: &str,
) -> Result<Option<Folder>, StoreError> {
    let Some(seen) = reads.get(&FOLDERS, &key(host, place, path))? else { return Ok(None) };
    let mut entries = Vec::new();
    reads.walk(&ENTRIES, &Span::under(&seen.job), Order::Ascending, |_, EntryPage(page)| {
        entries.extend(page);
        Ok(ControlFlow::Continue(()))
    })?;
    entries.sort_by(|a, b| (a.is_file_like(), &a.name).cmp(&(b.is_file_like(), &b.name)));
    Ok(Some(Folder { at: seen.at, entries, left_out: seen.left_out }))
}

fn row(entry: &Entry<'_>) -> EntryRow {
    EntryRow {
        name: entry.name.to_string(),
        kind: entry.kind,
        bytes: entry.bytes,
        modified_at: entry.modified_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_has_one_path() {
        for (path, clean) in [
            ("/", "/"),
            ("//", "/"),
            ("/srv/", "/srv"),
            ("/srv//photos/./2026/", "/srv/photos/2026"),
            ("/a..b/...", "/a..b/..."),
            ("/d\\xFCr/", "/d\\xfcr"),
            ("/d\\xc3\\xbcr", "/dür"),
            ("/a\\b", "/a\\b"),
        ] {
            assert_eq!(clean_path(path).unwrap(), clean);
        }
        for path in ["", "srv", "/srv/../etc", "/..", "/a\0b", &format!("/{}", "x".repeat(4096))] {
            assert!(clean_path(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn only_text_goes_into_a_source_group() {
        for path in ["/srv/a", "/srv/a\\b", "/srv/dür", "/srv/a b"] {
            assert_eq!(include_of(path).as_deref(), Ok(path));
        }
        assert_eq!(include_of("/srv/d\\xc3\\xbcr").as_deref(), Ok("/srv/dür"));
        for (path, why) in [
            ("/srv/d\\xfcr", NoInclude::NotText),
            ("/srv/a\\\\xfc", NoInclude::ReadsAsBytes),
            ("/srv/a\nb", NoInclude::Control),
            ("/srv/a ", NoInclude::SpaceAtEnd),
        ] {
            assert_eq!(include_of(path), Err(why), "{path:?}");
        }
    }

    #[test]
    fn a_snapshot_is_named_by_its_id_alone() {
        assert!(check_snapshot("0123abcd").is_ok());
        for id in ["latest", "0123abc", "0123ABCD", "--help--", &"a".repeat(65)] {
            assert!(check_snapshot(id).is_err(), "{id}");
        }
    }
}
