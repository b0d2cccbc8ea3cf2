//! Whether a backup fits in with those before it. Pure.
//!
//! What is usual is read off the group's own history: the last [`MOST`] backups, without those that did not fit in, unless
//! a person has said that they do. A backup is unusual when
//!
//! - almost no file is as it was, and what is there is new content (what ransomware does),
//! - half of the files are gone and others with new content came in their place, or
//! - it added more than [`TIMES`] times what is usual: the middle of what the others added, and how far they are from it.
//!
//! Half of what is usual being gone without anything in its place is a loss, which needs less history, and is told as that.
//!
//! Content counts and not only names and times, for restic counts each file as changed when a folder was moved, a file
//! system was mounted with other inodes, or no earlier snapshot was found to compare with; none of this adds data.
//! What has been so twice in the history is usual. Below [`ENOUGH`] backups nothing is unusual: the middle of fewer is moved by
//! a single odd one, and five are a working week of nightly backups. Small things don't count.

use crate::record::{
    BackupFigures, Baseline, Churn, Newest, Soundness, Unusual, UnusualBackup, UnusualBackups,
};
use schema::{JobId, Timestamp};

/// So many backups say at most what is usual.
const MOST: usize = 30;
/// So many have to.
pub(crate) const ENOUGH: usize = 5;
/// What has been so often in the history is usual.
const TWICE: usize = 2;
/// So many times what is usual is unusual,
const TIMES: u64 = 5;
/// and in any case half more than what was added twice.
const fn half_more(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 2)
}
/// A host that was away has more to tell: a backup may add so many times more at most, as far as it came that much later.
const LONGEST_GAP: u64 = 30;
/// What adds no more than this has not grown,
const GROWN_BYTES: u64 = 256 << 20;
/// nor what adds no more than this part of what it holds.
const GROWN_PART: u64 = 20;
/// In so few files nothing is almost everything, nor half.
const FEW_FILES: u64 = 100;
/// So little is no new content,
const FEW_BYTES: u64 = 1 << 20;
/// nor is it less than this part of the whole, for what is encrypted in part only is larger than that,
const CONTENT_PART: u64 = 5;
/// nor so little for each file: what restic writes of a file's name and times is less.
const BYTES_A_FILE: u64 = 1_024;
/// At most one file of so many is as it was: almost all have changed.
const KEPT_PART: u64 = 10;

/// A backup that has ended and made a snapshot.
pub(super) struct EndedBackup<'a> {
    pub(super) job: JobId,
    pub(super) figures: &'a BackupFigures,
    pub(super) asked_at: Timestamp,
    pub(super) ended_at: Timestamp,
    /// The one before it.
    pub(super) before: Option<&'a Newest>,
    /// More than half of what is usual is gone: that is told already.
    pub(super) is_lost: bool,
    /// A whole path of the group brought nothing: it says nothing of what is usual.
    pub(super) brought_nothing: bool,
}

/// Takes a backup: one that does not fit in waits for a person, any other is part of what is usual from now on.
pub(super) fn take(known: &mut Soundness, seen: &EndedBackup<'_>, now: Timestamp) {
    if let Some(reset_at) = known.baseline.reset_at {
        if seen.asked_at >= reset_at {
            known.baseline.reset_at = None;
        }
        return;
    }
    // A first one has nothing to be compared with, and what comes late was compared with another one.
    let Some(before) = seen.before.filter(|before| before.job < seen.job && !seen.is_lost) else { return };
    let figures = seen.figures;
    let churn = Churn {
        files_before: before.extent.files,
        files: figures.total_files,
        files_new: figures.files_new,
        files_changed: figures.files_changed,
        bytes: figures.total_bytes,
        added_bytes: figures.added_bytes,
        after_ms: seen.ended_at.ms_since(before.at),
    };
    if let Some(what) = judge(&known.baseline.churns, &churn) {
        let usual_added_bytes = middle(known.baseline.churns.iter().map(|churn| churn.added_bytes));
        let found = UnusualBackup { job: seen.job, what, churn, usual_added_bytes };
        known.unusual = Some(match known.unusual {
            Some(earlier) => {
                UnusualBackups { last: found, count: earlier.count.saturating_add(1), ..earlier }
            }
            None => UnusualBackups { first: found, last: found, count: 1, since: now },
        });
        return;
    }
    // Where all is new, restic has found no snapshot to compare with.
    let is_compared = churn.files_new < churn.files || churn.files == 0;
    if is_compared && !seen.brought_nothing {
        known.baseline.add(churn);
    }
}

/// A person has said that they are as they should be: what was so twice is usual from then on.
pub(super) fn accept(known: &mut Soundness) {
    let Some(unusual) = known.unusual.take() else { return };
    for _ in 0..(unusual.count as usize).min(TWICE) {
        known.baseline.add(unusual.last.churn);
    }
}

impl Baseline {
    fn add(&mut self, churn: Churn) {
        self.churns.push(churn);
        let surplus = self.churns.len().saturating_sub(MOST);
        self.churns.drain(..surplus);
    }

    /// The group gets other paths or excludes, or its host another repository: what was usual says nothing of what comes.
    pub(super) fn reset(&mut self, now: Timestamp) {
        *self = Self { churns: Vec::new(), reset_at: Some(now) };
    }
}

/// In which way a backup is unusual after those before it; `None` = it is not, or they say too little.
pub(super) fn judge(usual: &[Churn], churn: &Churn) -> Option<Unusual> {
    if usual.len() < ENOUGH {
        return None;
    }
    let is_so = |is: fn(&Churn) -> bool| is(churn) && usual.iter().filter(|churn| is(churn)).count() < TWICE;
    if is_so(is_rewritten) {
        Some(Unusual::AlmostAllChanged)
    } else if is_so(is_replaced) {
        Some(Unusual::FilesGone)
    } else if churn.added_bytes > most_added(usual, churn) {
        Some(Unusual::GrewBy)
    } else {
        None
    }
}

/// Almost no file is as it was, and what is there is new.
const fn is_rewritten(churn: &Churn) -> bool {
    are_many(churn) && churn.files_kept() <= churn.files_before / KEPT_PART && has_new_content(churn)
}

/// Half of the files are gone, and what came is new.
const fn is_replaced(churn: &Churn) -> bool {
    are_many(churn)
        && churn.files_gone() >= churn.files_before - churn.files_before / 2
        && has_new_content(churn)
}

const fn are_many(churn: &Churn) -> bool {
    churn.files >= FEW_FILES && churn.files_before >= FEW_FILES
}

const fn has_new_content(churn: &Churn) -> bool {
    let of_files = churn.files.saturating_mul(BYTES_A_FILE);
    churn.added_bytes >= FEW_BYTES
        && churn.added_bytes >= of_files
        && churn.added_bytes >= churn.bytes / CONTENT_PART
}

/// How much a backup may add.
fn most_added(usual: &[Churn], churn: &Churn) -> u64 {
    let added = || usual.iter().map(|churn| churn.added_bytes);
    let in_the_middle = middle(added());
    let spread = middle(added().map(|added| added.abs_diff(in_the_middle)));
    let most =
        in_the_middle.saturating_add(spread).saturating_mul(TIMES).max(half_more(second_largest(added())));
    let gap = middle(usual.iter().map(|churn| churn.after_ms)).max(1);
    let times = (churn.after_ms / gap).clamp(1, LONGEST_GAP);
    most.saturating_mul(times).max(GROWN_BYTES).max(churn.bytes / GROWN_PART)
}

fn middle(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn second_largest(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.iter().rev().nth(TWICE - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
