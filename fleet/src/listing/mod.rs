//! Snapshot listings: collected while a listing job runs, shown when it has ended well.

mod recent;
mod row;

pub(crate) use row::{MAX_BACKUPS, read, short};

use crate::budget;
use crate::clock::{self, Clock, PastInstants as _};
use crate::job;
use crate::op::Op;
use crate::record::{Job, JobFigures, JobState, JobWhat, Listed, Listing, SnapshotPage, SnapshotRow};
use crate::refused::StoreError;
use crate::soundness;
use crate::store::{JOBS, LISTED, LISTINGS, Order, Reads, Span, Tx};
use crate::view::{Page, Paged};
use schema::command::Over;
use schema::report::Snapshot;
use schema::{HostId, Items, JobId, JobKind, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

/// The most snapshots of a listing that are kept: the newest, and the rest of the page that they begin in.
const MAX_SNAPSHOTS: u32 = 200_000;

impl Listing {
    pub(crate) const fn job(&self) -> JobId {
        self.job
    }
}

/// Takes a piece of a listing that still runs.
pub(crate) fn take_page<'a>(
    tx: &mut Tx<'_>,
    host: HostId,
    job: JobId,
    first: u32,
    snapshots: &Items<'a, Snapshot<'a>>,
) -> Result<Result<(), Over>, StoreError> {
    let Some(record) = tx.get(&JOBS, &job)? else { return Ok(Ok(())) };
    let is_open_listing =
        record.host == host && record.what == JobWhat::Snapshots && !has_result(record.state);
    if !is_open_listing {
        return Ok(Ok(()));
    }
    let page = SnapshotPage(snapshots.iter().map(|snapshot| row(&snapshot)).collect());
    let end = first.saturating_add(page.len());
    if let Err(over) =
        budget::take_piece(tx, &LISTED, (job, first, page.0.len()), &page, budget::MAX_LISTING_BYTES)?
    {
        return Ok(Err(over));
    }
    // They come oldest first: what there is no room for are the oldest.
    let Some(beyond) = end.checked_sub(MAX_SNAPSHOTS) else { return Ok(Ok(())) };
    let mut too_old = Vec::new();
    tx.walk(&LISTED, &Span::under(&job), Order::Ascending, |(job, first), page| {
        if first.saturating_add(page.len()) > beyond {
            return Ok(ControlFlow::Break(()));
        }
        too_old.push((job, first));
        Ok(ControlFlow::Continue(()))
    })?;
    for key in too_old {
        tx.remove(&LISTED, &key)?;
    }
    Ok(Ok(()))
}

impl SnapshotPage {
    fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

const fn has_result(state: JobState) -> bool {
    matches!(state, JobState::Succeeded | JobState::Warning)
}

/// A listing job has ended: well, and its pieces replace those of the one before; or not, and they go.
pub(crate) fn job_ended(op: &mut Op<'_, '_>, job: &Job) -> Result<(), StoreError> {
    let old = if has_result(job.state) {
        let at = job.finished_at.unwrap_or(op.now).min(op.now);
        let kept = fill_sizes(op.tx, job)?;
        let left_out = left_out(&job.figures, kept);
        let old = op.tx.get(&LISTINGS, &job.host)?;
        op.tx.put(&LISTINGS, &job.host, &Listing { job: job.id, at, kept, left_out })?;
        op.tx.effects.changed(crate::change::Changed::Repo(job.host));
        // Of one that is longer than any that is kept, the newest are known.
        if left_out == 0 || kept >= MAX_SNAPSHOTS {
            soundness::past::listed(op, job)?;
        }
        old.map(|listing| listing.job).filter(|old| *old != job.id)
    } else {
        // What is only presumed may still turn out well.
        Some(job.id).filter(|_| !job.presumed)
    };
    if let Some(old) = old {
        budget::remove_pieces(op.tx, &LISTED, old)?;
    }
    Ok(())
}

/// How many snapshots of a listing are not here, wherever they were lost: on the host, on the way, for want of room.
fn left_out(figures: &JobFigures, kept: u32) -> u32 {
    match figures {
        JobFigures::Snapshots { count, left_out } => count.saturating_sub(kept).max(*left_out),
        _ => 0,
    }
}

/// Listings that a clock which was ahead has dated.
pub(crate) fn mend(tx: &mut Tx<'_>, clock: Clock) -> Result<usize, StoreError> {
    clock::each(tx, &LISTINGS, |listing| listing.at.cap(clock))
}

/// restic before 0.17 does not tell how large a snapshot is. The backup that made it did, and so may the last listing,
/// which knew the job while it was kept. Returns how many snapshots there are.
fn fill_sizes(tx: &mut Tx<'_>, listing: &Job) -> Result<u32, StoreError> {
    let pages = tx.rows(&LISTED, &Span::under(&listing.id))?;
    let kept = pages.iter().fold(0_u32, |sum, (_, page)| sum.saturating_add(page.len()));
    let lacks = |row: &SnapshotRow| row.bytes.is_none();
    if !pages.iter().any(|(_, SnapshotPage(rows))| rows.iter().any(lacks)) {
        return Ok(kept);
    }
    let mut known = HashMap::new();
    for row in read(tx, listing.host)?.map(|(_, rows)| rows).unwrap_or_default() {
        if !lacks(&row) {
            known.insert(short(&row.id).to_owned(), (row.files, row.bytes, row.added_packed_bytes));
        }
    }
    for id in job::newest(tx, listing.host, JobKind::Backup, MAX_BACKUPS)? {
        if let Some(Job { figures: JobFigures::Backup(made), .. }) = tx.get(&JOBS, &id)?
            && !made.snapshot.is_empty()
        {
            let figures = (Some(made.total_files), Some(made.total_bytes), made.added_packed_bytes);
            known.insert(short(&made.snapshot).to_owned(), figures);
        }
    }
    for (key, SnapshotPage(mut rows)) in pages {
        let mut is_changed = false;
        for row in rows.iter_mut().filter(|row| lacks(row)) {
            if let Some(figures) = known.get(short(&row.id)) {
                (row.files, row.bytes, row.added_packed_bytes) = *figures;
                is_changed = true;
            }
        }
        if is_changed {
            tx.put(&LISTED, &key, &SnapshotPage(rows))?;
        }
    }
    Ok(kept)
}

/// Where a part of the list of snapshots ended: the time and the id of its last one. Holds when the list is made anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotCursor(Reverse<Timestamp>, String);

impl SnapshotCursor {
    fn of(row: &SnapshotRow) -> Self {
        Self(Reverse(row.time), row.id.clone())
    }
}

impl fmt::Display for SnapshotCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.0.0, self.1)
    }
}

impl FromStr for SnapshotCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (time, id) = text.split_once('-').ok_or(())?;
        let is_id = id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let time = time.parse().map_err(drop)?;
        is_id.then(|| Self(Reverse(Timestamp(time)), id.to_owned())).ok_or(())
    }
}

/// What the newest whole listing says of itself.
pub(crate) fn listed(reads: &impl Reads, host: HostId) -> Result<Option<Listed>, StoreError> {
    let listing = reads.get(&LISTINGS, &host)?;
    Ok(listing.map(|Listing { at, kept, left_out, .. }| Listed { at, kept, left_out }))
}

/// The snapshots of the newest whole listing and those that backups have made since, in no order.
pub(crate) fn known(reads: &impl Reads, host: HostId) -> Result<Vec<SnapshotRow>, StoreError> {
    let mut recent = recent::since(reads, host, reads.get(&LISTINGS, &host)?.as_ref())?;
    let mut rows = read(reads, host)?.map(|(_, rows)| rows).unwrap_or_default();
    rows.iter().for_each(|row| drop(recent.remove(short(&row.id))));
    rows.extend(recent.into_values());
    Ok(rows)
}

/// A part of what is [`known`], newest snapshot first: of those that are wanted. Keeps no more of a listing in memory
/// than that part.
pub(crate) fn part(
    reads: &impl Reads,
    host: HostId,
    wanted: impl Fn(&SnapshotRow) -> bool,
    page: &Page,
) -> Result<Paged<SnapshotRow>, StoreError> {
    let none = Paged { items: Vec::new(), next: None };
    let listing = reads.get(&LISTINGS, &host)?;
    let mut recent = recent::since(reads, host, listing.as_ref())?;
    let after = match page.cursor.as_deref().map(str::parse::<SnapshotCursor>) {
        Some(Err(())) => return Ok(none),
        Some(Ok(after)) => Some(after),
        None => None,
    };
    let limit = page.limit.clamp(1, 500);
    let mut found: BTreeMap<(SnapshotCursor, u32), SnapshotRow> = BTreeMap::new();
    // Of the same time and id, as a repository never has and a host may say.
    let mut number = 0;
    let mut take = |row: SnapshotRow| {
        let place = SnapshotCursor::of(&row);
        if after.as_ref().is_none_or(|after| place > *after) && wanted(&row) {
            number += 1;
            found.insert((place, number), row);
            if found.len() > limit + 1 {
                found.pop_last();
            }
        }
    };
    if let Some(listing) = listing {
        reads.walk(&LISTED, &Span::under(&listing.job), Order::Ascending, |_, SnapshotPage(rows)| {
            for row in rows {
                recent.remove(short(&row.id));
                take(row);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    recent.into_values().for_each(take);
    let mut items: Vec<SnapshotRow> = found.into_values().collect();
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(|row| SnapshotCursor::of(row).to_string());
    Ok(Paged { items, next })
}

fn row(snapshot: &Snapshot<'_>) -> SnapshotRow {
    SnapshotRow {
        id: snapshot.id.to_owned(),
        time: snapshot.time,
        hostname: snapshot.hostname.to_owned(),
        tags: snapshot.tags.iter().map(str::to_owned).collect(),
        paths: snapshot.paths.iter().map(str::to_owned).collect(),
        files: snapshot.size.map(|size| size.files),
        bytes: snapshot.size.map(|size| size.bytes),
        added_packed_bytes: snapshot.size.map(|size| size.added_packed_bytes),
        tags_left_out: snapshot.tags_left_out,
        paths_left_out: snapshot.paths_left_out,
    }
}
