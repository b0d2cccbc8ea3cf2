//! Searches by name and comparisons of snapshots: whether what is asked for makes sense, and what was found, which is kept for a day, as pieces of a
//! listing are. There is no catalogue of names: what nobody has looked for is not known here.

use crate::bounds::MOST_BYTES;
use crate::budget;
use crate::change::Changed;
use crate::folder::check_snapshot;
use crate::op::Op;
use crate::record::{
    ChangeRow, DiffFigures, Differences, FindKey, FindPlan, Found, FoundPage, FoundPath, FoundRow, FoundSeen,
    FoundVersion, Job, JobFigures, JobState, JobWhat,
};
use crate::refused::{Refused, StoreError};
use crate::store::{FINDS, FOUND, JOBS, Order, Reads, Span, Tx};
use crate::units::DAY_MS;
use schema::command::Over;
use schema::limits::{MAX_FIND_PATTERN_BYTES, MAX_FIND_SNAPSHOTS, MAX_HITS};
use schema::report::Hit;
use schema::{HostId, Items, JobId, Timestamp};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The most searches of a host whose results are kept; the oldest go.
const MAX_FINDS: usize = 20;
/// How long results are kept.
const KEPT_MS: u64 = DAY_MS;
/// The most rows of one search: its hits, and a row behind those of each snapshot, twice where names are no UTF-8.
const MAX_ROWS: u32 = MAX_HITS + 2 * MAX_FIND_SNAPSHOTS;

/// The plan, if it makes sense.
pub(crate) fn check(plan: &FindPlan) -> Result<FindPlan, Refused> {
    let pattern = pattern_of(&plan.pattern);
    if pattern.is_empty() || pattern.contains(&0) || pattern.len() > MAX_FIND_PATTERN_BYTES {
        return Err(Refused::invalid("pattern", "a pattern has 1 to 1,022 bytes and no NUL"));
    }
    if !schema::pattern::is_readable(&String::from_utf8_lossy(&pattern)) {
        return Err(Refused::invalid(
            "pattern",
            "restic can't read this pattern: a [ needs its ], and \\ something behind it; to look for such a letter, write \\ before it",
        ));
    }
    Ok(plan.clone())
}

/// The pattern in restic's form.
pub(crate) fn pattern_of(text: &str) -> Vec<u8> {
    schema::pattern::of_search(text.as_bytes()).collect()
}

/// Whether these are two snapshots.
pub(crate) fn check_against(against: &str, snapshot: &str) -> Result<(), Refused> {
    let is_one = against.starts_with(snapshot) || snapshot.starts_with(against);
    match check_snapshot(against) {
        Ok(()) if !is_one => Ok(()),
        Ok(()) => Err(Refused::invalid("against", "a snapshot is compared with another one")),
        Err(Refused::InvalidInput { message, .. }) => {
            Err(Refused::InvalidInput { field: "against", message })
        }
        Err(other) => Err(other),
    }
}

/// Whether a job brings what is kept here.
const fn finds(what: &JobWhat) -> bool {
    matches!(what, JobWhat::Find(_) | JobWhat::Diff { .. })
}

/// Takes a piece of what a search or a comparison that still runs has found.
pub(crate) fn take_page<'a>(
    tx: &mut Tx<'_>,
    host: HostId,
    job: JobId,
    first: u32,
    hits: &Items<'a, Hit<'a>>,
) -> Result<Result<(), Over>, StoreError> {
    let Some(record) = tx.get(&JOBS, &job)? else { return Ok(Ok(())) };
    let is_open = record.host == host && finds(&record.what) && !has_result(record.state);
    if !is_open || first >= MAX_ROWS {
        return Ok(Ok(()));
    }
    let page = FoundPage(hits.iter().map(row).collect());
    budget::take_piece(tx, &FOUND, (job, first, page.0.len()), &page, budget::MAX_FOLDER_BYTES)
}

fn row(hit: Hit<'_>) -> FoundRow {
    match hit {
        Hit::Entry { path, kind, bytes, files, modified_at } => FoundRow::Entry {
            path: path.to_string(),
            kind,
            bytes: bytes.min(MOST_BYTES),
            files: files.min(MOST_BYTES),
            modified_at,
        },
        Hit::Snapshot { id, time } => FoundRow::Snapshot { id: id.to_owned(), time },
        Hit::Change { path, change, is_folder, bytes } => FoundRow::Change(ChangeRow {
            path: path.to_string(),
            change,
            is_folder,
            bytes: bytes.min(MOST_BYTES),
        }),
    }
}

const fn has_result(state: JobState) -> bool {
    matches!(state, JobState::Succeeded | JobState::Warning)
}

/// A job has ended. Where it was a search: well, and what it found is kept; or not, and it goes.
pub(crate) fn job_ended(op: &mut Op<'_, '_>, job: &Job) -> Result<(), StoreError> {
    if !finds(&job.what) {
        return Ok(());
    }
    if !has_result(job.state) {
        // What is only presumed may still turn out well.
        if !job.presumed {
            remove(op.tx, (job.host, job.id))?;
        }
        return Ok(());
    }
    let (mut came, mut open) = (0_u32, 0_u32);
    op.tx.walk(&FOUND, &Span::under(&job.id), Order::Ascending, |_, FoundPage(page)| {
        for row in page {
            match row {
                FoundRow::Entry { .. } => open += 1,
                FoundRow::Snapshot { id, .. } if check_snapshot(&id).is_ok() => {
                    came += std::mem::take(&mut open);
                }
                // Nobody knows where they are.
                FoundRow::Snapshot { .. } => open = 0,
                FoundRow::Change(_) => came += 1,
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    // Wherever they were lost: on the host, on the way, for want of room.
    let left_out = match job.figures {
        JobFigures::Found { hits, left_out, .. } => left_out.saturating_add(hits.saturating_sub(came)),
        JobFigures::Differences(DiffFigures { added, removed, changed, types, .. }) => {
            let all = [removed, changed, types].into_iter().fold(added, u64::saturating_add);
            u32::try_from(all.saturating_sub(came.into())).unwrap_or(u32::MAX)
        }
        _ => 0,
    };
    let at = job.finished_at.unwrap_or(op.now).min(op.now);
    op.tx.put(&FINDS, &(job.host, job.id), &FoundSeen { at, left_out })?;
    let kept = op.tx.keys(&FINDS, &Span::under(&job.host), usize::MAX)?;
    for key in kept.iter().take(kept.len().saturating_sub(MAX_FINDS)) {
        remove(op.tx, *key)?;
    }
    op.tx.effects.changed(Changed::Repo(job.host));
    Ok(())
}

fn remove(tx: &mut Tx<'_>, key: FindKey) -> Result<(), StoreError> {
    tx.remove(&FINDS, &key)?;
    budget::remove_pieces(tx, &FOUND, key.1)
}

/// Results that are older than they are kept.
fn old(reads: &impl Reads, now: Timestamp) -> Result<Vec<FindKey>, StoreError> {
    // A clock that was ahead has dated what is of the future: that is none to wait for.
    let is_old = |seen: &FoundSeen| now.ms_since(seen.at) > KEPT_MS || seen.at > now.plus_ms(KEPT_MS);
    Ok(reads
        .rows(&FINDS, &Span::ALL)?
        .into_iter()
        .filter(|(_, seen)| is_old(seen))
        .map(|(key, _)| key)
        .collect())
}

pub(crate) fn has_old(reads: &impl Reads, now: Timestamp) -> Result<bool, StoreError> {
    Ok(!old(reads, now)?.is_empty())
}

pub(crate) fn remove_old(op: &mut Op<'_, '_>) -> Result<(), StoreError> {
    for key in old(op.tx, op.now)? {
        remove(op.tx, key)?;
    }
    Ok(())
}

/// What a search has found; `None` = it has not ended well, or that is not kept any more.
pub(crate) fn read(reads: &impl Reads, host: HostId, job: JobId) -> Result<Option<Found>, StoreError> {
    let Some(FoundSeen { at, left_out }) = reads.get(&FINDS, &(host, job))? else { return Ok(None) };
    let (mut paths, mut open) = (BTreeMap::<String, Vec<FoundVersion>>::new(), Vec::new());
    reads.walk(&FOUND, &Span::under(&job), Order::Ascending, |_, FoundPage(page)| {
        for row in page {
            match row {
                FoundRow::Entry { path, kind, bytes, files, modified_at } => {
                    open.push((path, kind, bytes, files, modified_at));
                }
                FoundRow::Change(_) => {}
                FoundRow::Snapshot { id, time } => {
                    let is_known = check_snapshot(&id).is_ok();
                    for (path, kind, bytes, files, modified_at) in open.drain(..).filter(|_| is_known) {
                        paths.entry(path).or_default().push(FoundVersion {
                            held_by: vec![id.clone()],
                            time,
                            kind,
                            bytes,
                            files,
                            modified_at,
                        });
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let paths = paths.into_iter().map(|(path, seen)| FoundPath { path, versions: versions(seen) }).collect();
    Ok(Some(Found { at, paths, left_out }))
}

/// What a comparison has found; `None` = as of [`read`].
pub(crate) fn read_changes(
    reads: &impl Reads,
    host: HostId,
    job: JobId,
) -> Result<Option<Differences>, StoreError> {
    let Some(FoundSeen { at, left_out }) = reads.get(&FINDS, &(host, job))? else { return Ok(None) };
    let mut changes = Vec::new();
    reads.walk(&FOUND, &Span::under(&job), Order::Ascending, |_, FoundPage(page)| {
        changes.extend(page.into_iter().filter_map(|row| match row {
            FoundRow::Change(change) => Some(change),
            FoundRow::Entry { .. } | FoundRow::Snapshot { .. } => None,
        }));
        Ok(ControlFlow::Continue(()))
    })?;
    changes.sort();
    changes.dedup_by(|a, b| a.path == b.path);
    Ok(Some(Differences { at, changes, left_out }))
}

/// What is the same in snapshots one after the other is one version, newest first.
fn versions(mut seen: Vec<FoundVersion>) -> Vec<FoundVersion> {
    seen.sort_by(|a, b| (b.time, b.snapshot()).cmp(&(a.time, a.snapshot())));
    let mut versions: Vec<FoundVersion> = Vec::new();
    for version in seen {
        let content = |it: &FoundVersion| (it.kind, it.bytes, it.files, it.modified_at);
        match versions.last_mut() {
            Some(last) if content(last) == content(&version) => last.held_by.extend(version.held_by),
            _ => versions.push(version),
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::report::EntryKind;

    #[test]
    fn a_plain_word_is_looked_for_anywhere_in_a_name() {
        for (text, pattern) in [
            ("invoice", &b"*invoice*"[..]),
            ("-rf", b"*-rf*"),
            ("a b.txt", b"*a b.txt*"),
            ("inv*", b"inv*"),
            ("inv\\[1\\]", b"*inv\\[1\\]*"),
            ("/srv/photos", b"/srv/photos"),
            ("d\\xFCr", b"*d\xfcr*"),
            ("d\\xfc*", b"d\xfc*"),
            ("a\\\\xfc", b"*a\\\\xfc*"),
            ("a\\x41", b"*a\\x41*"),
            ("", b""),
        ] {
            assert_eq!(pattern_of(text), pattern, "{text}");
        }
    }

    #[test]
    fn a_pattern_that_restic_cannot_read_is_refused() {
        let plan = |pattern: &str| FindPlan {
            pattern: pattern.to_owned(),
            ignore_case: false,
            group: None,
            newest: 0,
            since: None,
        };
        for pattern in ["x", "*.jpg", "-", "!x", "d\\xff", "a/**/b", "a\nb"] {
            assert!(check(&plan(pattern)).is_ok(), "{pattern}");
        }
        for pattern in ["", "[a", "a\\", "a\0b", &"x".repeat(1023)] {
            assert!(
                matches!(check(&plan(pattern)), Err(Refused::InvalidInput { field: "pattern", .. })),
                "{pattern}"
            );
        }
    }

    #[test]
    fn what_stays_the_same_is_one_version() {
        let seen = |time: u64, bytes: u64| FoundVersion {
            held_by: vec![format!("{time:08x}")],
            time: Timestamp(time),
            kind: EntryKind::File,
            bytes,
            files: 0,
            modified_at: Some(Timestamp(bytes)),
        };
        let found = versions(vec![seen(1, 5), seen(4, 7), seen(3, 7), seen(2, 5), seen(5, 5)]);
        let told: Vec<_> = found.iter().map(|it| (it.time.0, it.bytes, it.held_by.len())).collect();
        assert_eq!(told, [(5, 5, 1), (4, 7, 2), (2, 5, 2)]);
        assert_eq!(
            (found[1].snapshot(), found[1].held_by.last().unwrap().as_str()),
            ("00000004", "00000003")
        );
    }
}
