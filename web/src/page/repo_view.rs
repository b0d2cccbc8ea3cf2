//! What is known of a repository, in words: the health panel and its short form on the host's page.

use crate::chart::{Area, area};
use crate::format::{When, ago, bytes, bytes_parts, count, day, many};
use crate::words::{Badge, short_id};
use fleet::maintenance::{CheckStatus, check_status};
use fleet::record::{Maintenance, RepoPoint, RepoState};
use schema::{HostId, Timestamp};
use serde::Serialize;

const DAY_MS: u64 = 86_400_000;
/// The chart looks back so far.
const CHART_MS: u64 = 90 * DAY_MS;

/// A lock.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LockBanner {
    pub(crate) title: &'static str,
    pub(crate) text: String,
    pub(crate) stale: bool,
}

/// The size over time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SizeChart {
    pub(crate) area: Area,
    pub(crate) label: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// The repository.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RepoView {
    pub(crate) size: Option<(String, &'static str)>,
    pub(crate) size_note: String,
    /// Why there is no size.
    pub(crate) none: &'static str,
    pub(crate) as_of: Option<When>,
    pub(crate) chart: Option<SizeChart>,
    pub(crate) snapshots: String,
    pub(crate) newest: Option<When>,
    pub(crate) check: Badge,
    pub(crate) check_note: Option<String>,
    pub(crate) prune: String,
    pub(crate) prune_note: Option<String>,
    pub(crate) append_only: String,
    pub(crate) id: String,
    pub(crate) replaced: Option<String>,
    pub(crate) lock: Option<LockBanner>,
    pub(crate) lock_word: &'static str,
}

#[cfg(test)]
impl RepoView {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        let now = crate::sample::NOW;
        let points = [(now.0 - 1_000_000, 7), (now.0, 9)];
        Self {
            size: Some(("1.84".to_owned(), "TiB")),
            size_note: s.text("+12.0 GiB in 30 days, measured 2 h ago"),
            none: "none",
            as_of: Some(s.when()),
            chart: Some(SizeChart {
                area: area(&points, 288.0, 64.0, false).unwrap(),
                label: s.text("Repository size from 24 Oct to 23 Nov, between 1.80 TiB and 1.84 TiB"),
                from: s.text("24 Oct"),
                to: s.text("23 Nov"),
            }),
            snapshots: s.text("412"),
            newest: Some(s.when()),
            check: Badge::new("warning", s.text("Overdue, 9 d ago")),
            check_note: s.some("read 5 % of the data, found no errors"),
            prune: s.text("6 d ago"),
            prune_note: s.some("freed 2.00 GiB"),
            append_only: s.text("append-only for this host"),
            id: s.text("a1b2c3d4e5"),
            replaced: s.some("Found 2 h ago: repository ffeeddccbb instead of a1b2c3d4e5."),
            lock: Some(LockBanner {
                title: "Locked, and the lock looks stale",
                text: s.text("Exclusive lock of root@boat-pi, pid 4127."),
                stale: true,
            }),
            lock_word: "held",
        }
    }
}

impl RepoView {
    /// Puts what is known into words.
    pub(crate) fn new(
        now: Timestamp,
        state: &RepoState,
        history: &[RepoPoint],
        set: bool,
        settings: &Maintenance,
    ) -> Self {
        let lock = state.lock.as_ref();
        let holder = lock.and_then(|lock| lock.holder.as_ref());
        Self {
            size: state.size.as_ref().map(|size| bytes_parts(size.bytes)),
            size_note: size_note(now, state, history),
            none: if set {
                "Nothing is known of it yet: run a test, a backup or a measurement."
            } else {
                "No repository is set yet."
            },
            as_of: state.size.as_ref().map(|size| When::ago(now, size.at)),
            chart: chart(now, history),
            snapshots: state
                .snapshots
                .as_ref()
                .map_or_else(|| "not known yet".to_owned(), |seen| count(u64::from(seen.count))),
            newest: state.snapshots.as_ref().and_then(|seen| seen.newest_at).map(|at| When::ago(now, at)),
            check: check(now, state, settings),
            check_note: state.check.as_ref().map(|check| match check.errors {
                0 => format!("read {} % of the data, found no errors{}", check.subset_pct, other(check.by)),
                errors => format!("found {}{}", many(u64::from(errors), "error"), other(check.by)),
            }),
            prune: state.prune.as_ref().map_or_else(|| "never".to_owned(), |prune| ago(now, prune.at)),
            prune_note: state
                .prune
                .as_ref()
                .map(|prune| format!("freed {}{}", bytes(prune.freed_bytes), other(prune.by))),
            append_only: match state.append_only {
                Some((true, _)) => "append-only for this host".to_owned(),
                Some((false, _)) => "lets this host delete".to_owned(),
                // A test finds out only where the storage can be asked, which is a REST server.
                None if state.tested.is_some() => "unknown".to_owned(),
                None => "not tested yet".to_owned(),
            },
            id: state.repo.map_or_else(|| "not known yet".to_owned(), |id| short_id(&id.to_string())),
            replaced: state.replaced.map(|replaced| {
                format!(
                    "Found {}: repository {} instead of {}. Backups since then are in the other one, and the figures \
                     here are of the one before. If it is the right one, test the credentials: then it is accepted \
                     as this host's own. If not, set the right address.",
                    ago(now, replaced.at),
                    short_id(&replaced.by.to_string()),
                    state.repo.map_or_else(|| "none".to_owned(), |id| short_id(&id.to_string())),
                )
            }),
            lock: lock.zip(holder).map(|(lock, holder)| LockBanner {
                title: if holder.stale {
                    "Locked, and the lock looks stale"
                } else {
                    "Locked by a process that may be alive"
                },
                text: format!(
                    "{} lock of {}@{}, pid {}, since {}. Seen {}.{}",
                    if holder.exclusive { "Exclusive" } else { "Shared" },
                    holder.username,
                    holder.hostname,
                    holder.pid,
                    crate::format::exact(holder.since),
                    ago(now, lock.at),
                    if holder.stale {
                        " The agent started its process and saw it end, or it was not renewed for half an hour."
                    } else {
                        " Whether its process still runs is unknown: it may run in a container, or on another \
                         machine."
                    }
                ),
                stale: holder.stale,
            }),
            lock_word: match (lock, holder) {
                (None, _) => "not checked yet",
                (Some(_), None) => "none",
                (Some(_), Some(holder)) if holder.stale => "stale",
                (Some(_), Some(_)) => "held",
            },
        }
    }
}

/// Said behind what another host did to the same repository.
const fn other(by: Option<HostId>) -> &'static str {
    if by.is_some() { ", by another host on this repository" } else { "" }
}

fn size_note(now: Timestamp, state: &RepoState, history: &[RepoPoint]) -> String {
    let Some(size) = &state.size else { return String::new() };
    let measured = if size.measured { "measured" } else { "sum of what backups added" };
    let month = history.iter().rfind(|point| now.ms_since(point.at) >= 30 * DAY_MS);
    match month {
        Some(point) if size.bytes >= point.bytes => {
            format!("+{} in 30 days, {measured}", bytes(size.bytes - point.bytes))
        }
        Some(point) => format!("−{} in 30 days, {measured}", bytes(point.bytes - size.bytes)),
        None => measured.to_owned(),
    }
}

fn check(now: Timestamp, state: &RepoState, settings: &Maintenance) -> Badge {
    let ago = state.check.as_ref().map_or_else(String::new, |check| ago(now, check.at));
    match check_status(state.check.as_ref(), settings, now) {
        CheckStatus::Never => Badge::new("unset", "Never"),
        CheckStatus::Overdue => Badge::new("warning", format!("Overdue, {ago}")),
        CheckStatus::Ok => Badge::new("ok", format!("Ok, {ago}")),
        CheckStatus::Errors => Badge::new("failed", format!("Errors, {ago}")),
    }
}

fn chart(now: Timestamp, history: &[RepoPoint]) -> Option<SizeChart> {
    let recent: Vec<&RepoPoint> = history.iter().filter(|point| now.ms_since(point.at) <= CHART_MS).collect();
    let points: Vec<(u64, u64)> = recent.iter().map(|point| (point.at.0, point.bytes)).collect();
    let area = area(&points, 288.0, 64.0, false)?;
    let (first, last) = (recent.first()?, recent.last()?);
    let (least, most) = (points.iter().map(|p| p.1).min()?, points.iter().map(|p| p.1).max()?);
    Some(SizeChart {
        area,
        label: format!(
            "Repository size from {} to {}, between {} and {}",
            day(first.at),
            day(last.at),
            bytes(least),
            bytes(most)
        ),
        from: day(first.at),
        to: if now.ms_since(last.at) < DAY_MS { "today".to_owned() } else { day(last.at) },
    })
}
