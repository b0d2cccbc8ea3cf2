//! The snapshots of the last listing.

use super::head::HostHead;
use super::{FilterLink, why_not};
use crate::api::Query;
use crate::app::Ctx;
use crate::format::{When, ago, bytes, count, cut, many};
use crate::problem::Problem;
use crate::template::View;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::JobRequest;
use fleet::record::SnapshotRow;
use schema::{JobKind, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// So many are shown at first.
const FIRST_ROWS: usize = 100;

/// A snapshot's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SnapshotView {
    pub(crate) id: String,
    pub(crate) short: String,
    pub(crate) when: When,
    pub(crate) age: String,
    pub(crate) tags: Vec<String>,
    pub(crate) paths: String,
    pub(crate) size: String,
    pub(crate) added: String,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SnapshotsView {
    pub(crate) head: HostHead,
    pub(crate) note_title: String,
    pub(crate) note: String,
    pub(crate) listed: Option<When>,
    pub(crate) refresh_why: Option<String>,
    pub(crate) groups: Vec<FilterLink>,
    pub(crate) group: Option<String>,
    pub(crate) rows: Vec<SnapshotView>,
    pub(crate) shown: String,
    pub(crate) all_href: Option<String>,
    pub(crate) part_href: String,
}

impl View for SnapshotsView {
    const TEMPLATE: &'static str = "page/snapshots.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["host-presence", "snapshot-list"];
}

/// `GET /hosts/{host}/snapshots`.
pub(crate) async fn show(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    let snapshot = ctx.read()?;
    let (head, row) = HostHead::read(&ctx, &snapshot, &host, "snapshots")?;
    let (id, now) = (row.host.id, ctx.now());
    let listed = snapshot.snapshots(id)?;
    let at = listed.as_ref().map(|(at, _)| *at);
    let mut all = listed.map(|(_, rows)| rows).unwrap_or_default();
    all.sort_by_key(|row| std::cmp::Reverse(row.time));
    let group = query.get("group").map(str::to_owned);
    let show_all = query.get("all").is_some();
    let address = |part: bool, group: Option<&str>, all: bool| {
        let mut text = form_urlencoded::Serializer::new(String::new());
        if part {
            text.append_pair("part", "snapshot-list");
        }
        if let Some(group) = group {
            text.append_pair("group", group);
        }
        if all {
            text.append_pair("all", "1");
        }
        match text.finish() {
            query if query.is_empty() => format!("{}/snapshots", head.href),
            query => format!("{}/snapshots?{query}", head.href),
        }
    };
    let groups = groups(&all, group.as_deref(), |group| address(false, group, false));
    let wanted: Vec<&SnapshotRow> =
        all.iter().filter(|row| group.as_ref().is_none_or(|group| row.tags.contains(group))).collect();
    let most = if show_all { wanted.len() } else { FIRST_ROWS };
    let listing = snapshot.latest_job(id, JobKind::Snapshots)?.filter(|job| !job.state.is_ended());
    let (note_title, note) = match (at, &listing) {
        (_, Some(job)) => ("The repository is being read".to_owned(), crate::words::job_result(job, None)),
        (None, None) => ("Not listed yet".to_owned(), "Read the repository to see its snapshots.".to_owned()),
        (Some(_), None) => (
            many(all.len() as u64, "snapshot"),
            "What the repository held then; backups made since are added when it is read again.".to_owned(),
        ),
    };
    ctx.page(&SnapshotsView {
        note_title,
        note,
        listed: at.map(|at| When::ago(now, at)),
        refresh_why: why_not(&snapshot, id, &JobRequest::Snapshots)?,
        groups,
        rows: wanted.iter().take(most).map(|row| view(now, row)).collect(),
        shown: if wanted.len() > most {
            format!("The newest {} of {}.", count(most as u64), count(wanted.len() as u64))
        } else {
            many(wanted.len() as u64, "snapshot")
        },
        all_href: (wanted.len() > most).then(|| address(false, group.as_deref(), true)),
        part_href: address(true, group.as_deref(), show_all),
        group,
        head,
    })
}

fn groups(
    all: &[SnapshotRow],
    current: Option<&str>,
    address: impl Fn(Option<&str>) -> String,
) -> Vec<FilterLink> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for tag in all.iter().filter_map(|row| row.tags.first()) {
        *counts.entry(tag).or_default() += 1;
    }
    if counts.is_empty() {
        return Vec::new();
    }
    let everything = FilterLink {
        label: "All groups".to_owned(),
        href: address(None),
        count: count(all.len() as u64),
        current: current.is_none(),
    };
    let each = counts.into_iter().map(|(group, number)| FilterLink {
        label: group.to_owned(),
        href: address(Some(group)),
        count: count(number),
        current: current == Some(group),
    });
    std::iter::once(everything).chain(each).collect()
}

fn view(now: Timestamp, row: &SnapshotRow) -> SnapshotView {
    let known = |size: Option<u64>| size.map_or_else(|| "not known".to_owned(), bytes);
    SnapshotView {
        short: row.id.chars().take(8).collect(),
        id: row.id.clone(),
        when: When::short(row.time),
        age: ago(now, row.time),
        tags: row.tags.clone(),
        paths: cut(&row.paths.join(", "), 120),
        size: known(row.bytes),
        added: row
            .added_packed_bytes
            .map_or_else(|| "not known".to_owned(), |size| format!("+{}", bytes(size))),
    }
}
