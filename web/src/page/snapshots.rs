//! The snapshots of the last listing.

use super::filter_link::FilterLink;
use super::head::HostHead;
use super::run_button::why_not;
use crate::app::Ctx;
use crate::format::{When, ago, bytes, count, cut, many};
use crate::problem::Problem;
use crate::query::Query;
use crate::template::View;
use crate::words::snapshot_lacks;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::record::{Flawed, SnapshotRow};
use fleet::{FleetState, JobRequest, Owner, Owners, Page, SnapshotCursor};
use schema::{JobKind, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// So many are shown at once.
const PART_ROWS: usize = 100;
/// So many sorts of snapshots without a group are shown.
const MOST_ADOPTED: usize = 10;
/// So many paths go into the form of a new group.
const MOST_PATHS: usize = 50;

/// A snapshot's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SnapshotView {
    pub(crate) id: String,
    pub(crate) short: String,
    pub(crate) when: When,
    pub(crate) age: String,
    pub(crate) tags: Vec<String>,
    /// How many tags more than these it has.
    pub(crate) more_tags: Option<String>,
    pub(crate) paths: String,
    /// How many paths more than are known here.
    pub(crate) more_paths: Option<String>,
    pub(crate) size: String,
    pub(crate) added: String,
    /// What it lacks of what its group names, in words.
    pub(crate) lacks: Option<String>,
    /// The folder at which it is looked into.
    pub(crate) opens_at: String,
}

/// Snapshots that belong to no source group, and where one begins that goes on with them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Adopted {
    /// Their tag; `None` = they have none.
    pub(crate) tag: Option<String>,
    pub(crate) text: String,
    pub(crate) href: String,
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
    /// What was backed up into this repository by something else than a source group of this host.
    pub(crate) adopt: Vec<Adopted>,
    /// How many sorts of them more than these there are.
    pub(crate) more_adopt: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) rows: Vec<SnapshotView>,
    pub(crate) shown: String,
    /// What the list lacks.
    pub(crate) cut: Option<String>,
    pub(crate) newest_href: Option<String>,
    pub(crate) older_href: Option<String>,
    pub(crate) part_href: String,
}

impl View for SnapshotsView {
    const TEMPLATE: &'static str = "page/snapshots.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["host-presence", "snapshot-list"];
}

#[cfg(test)]
impl crate::sample::Samples for SnapshotsView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self {
            head: HostHead::sample(s),
            note_title: s.text("412 snapshots"),
            note: s.text("Snapshots that are newer than this list are added when it is refreshed."),
            listed: Some(s.when()),
            refresh_why: s.some("The host is offline."),
            adopt: vec![Adopted {
                tag: s.some("old"),
                text: s.text("2 snapshots of /srv, of the host boat"),
                href: "/x".to_owned(),
            }],
            more_adopt: s.some("and 3 more kinds"),
            groups: vec![FilterLink::sample(s)],
            group: s.some("media"),
            rows: vec![SnapshotView {
                id: s.text("a1b2c3d4e5f6"),
                short: s.text("a1b2c3d4"),
                when: s.when(),
                age: s.text("2 h"),
                lacks: s.some("missing /srv/photos"),
                opens_at: "%2Fsrv%2Fmedia".to_owned(),
                tags: vec![s.text("media")],
                more_tags: s.some("and 1 more"),
                paths: s.text("/srv/media"),
                more_paths: s.some("and 2 more"),
                size: s.text("312 GiB"),
                added: s.text("1.20 GiB"),
            }],
            shown: s.text("The newest 50 of 412."),
            cut: s.some("1 more in the repository is not in this list."),
            newest_href: Some("/x".to_owned()),
            older_href: Some("/x".to_owned()),
            part_href: "/x?part=snapshot-list".to_owned(),
        }]
    }
}

/// `GET /hosts/{host}/snapshots`.
pub(crate) async fn show(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&read(ctx, state, &host, &query)?)).await
}

fn read(ctx: &Ctx, state: &FleetState, host: &str, query: &Query) -> Result<SnapshotsView, Problem> {
    let (head, row) = HostHead::read(ctx, state, host, "snapshots")?;
    let (id, now) = (row.host.id, ctx.now());
    let listed = state.listed(id)?;
    let at = listed.map(|listed| listed.at);
    let all = state.known_snapshots(id)?;
    let group = query.get("group").map(str::to_owned);
    let page = Page { limit: PART_ROWS, ..query.page_of::<SnapshotCursor>()? };
    let address = |part: bool, group: Option<&str>, cursor: Option<&str>| {
        let mut text = form_urlencoded::Serializer::new(String::new());
        if part {
            text.append_pair("part", "snapshot-list");
        }
        if let Some(group) = group {
            text.append_pair("group", group);
        }
        if let Some(cursor) = cursor {
            text.append_pair("cursor", cursor);
        }
        match text.finish() {
            query if query.is_empty() => format!("{}/snapshots", head.href),
            query => format!("{}/snapshots?{query}", head.href),
        }
    };
    let owners = state.owners(&row.host)?;
    let groups = groups(&all, &owners, group.as_deref(), |group| address(false, group, None));
    let (adopt, more_adopt) = adopted(&all, &owners, &row.host.restic_host, &head.href);
    let is_wanted = |row: &SnapshotRow| group.as_ref().is_none_or(|group| owners.is_of(row, group));
    let wanted = all.iter().filter(|row| is_wanted(row)).count();
    let part = state.snapshots_part(id, is_wanted, &page)?;
    let lacking = state.lacking(id)?;
    let listing = state.latest_job(id, JobKind::Snapshots)?.filter(|job| !job.state.is_ended());
    let (note_title, note) = match (at, &listing) {
        (_, Some(job)) => ("The snapshots are being listed".to_owned(), crate::words::job_result(job, None)),
        (None, None) if all.is_empty() => {
            ("Not listed yet".to_owned(), "List the snapshots to see them.".to_owned())
        }
        (None, None) => (
            many(all.len() as u64, "snapshot"),
            "These are of the backups that were made here. List the snapshots to see all of the repository."
                .to_owned(),
        ),
        (Some(_), None) => (
            many(all.len() as u64, "snapshot"),
            "Each backup adds its own. What others made or removed shows when the list is refreshed."
                .to_owned(),
        ),
    };
    Ok(SnapshotsView {
        note_title,
        note,
        listed: at.map(|at| When::ago(now, at)),
        refresh_why: why_not(state, id, &JobRequest::Snapshots)?,
        groups,
        adopt,
        more_adopt,
        rows: part.items.iter().map(|row| view(now, row, &lacking)).collect(),
        shown: match part.items.len() {
            shown if shown == wanted => many(wanted as u64, "snapshot"),
            shown if page.cursor.is_none() => {
                format!("The newest {} of {}.", count(shown as u64), count(wanted as u64))
            }
            shown => format!("{} of {}.", count(shown as u64), count(wanted as u64)),
        },
        cut: listed.filter(|listed| listed.left_out > 0).map(|listed| {
            let left_out = many(listed.left_out.into(), "snapshot");
            format!(
                "{left_out} more in the repository {}",
                "not in this list, as it is too long or they can't be read."
            )
        }),
        newest_href: page.cursor.as_ref().map(|_| address(false, group.as_deref(), None)),
        older_href: part.next.as_deref().map(|next| address(false, group.as_deref(), Some(next))),
        part_href: address(true, group.as_deref(), page.cursor.as_deref()),
        group,
        head,
    })
}

fn groups(
    all: &[SnapshotRow],
    owners: &Owners,
    current: Option<&str>,
    address: impl Fn(Option<&str>) -> String,
) -> Vec<FilterLink> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for row in all {
        let label = match owners.of(row) {
            Owner::Group(group) => Some(group),
            Owner::OtherHost | Owner::Nobody => row.tags.first().map(String::as_str),
        };
        if let Some(label) = label {
            *counts.entry(label).or_default() += 1;
        }
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

/// One sort of snapshots that no group covers.
struct Orphans<'a> {
    tag: Option<&'a str>,
    newest: &'a SnapshotRow,
    number: u64,
    added_bytes: Option<u64>,
}

/// What no group covers: one entry for each host name and tag, with the paths of the newest of its snapshots; and how many
/// sorts more there are. `all` comes newest first.
fn adopted(
    all: &[SnapshotRow],
    owners: &Owners,
    restic_host: &str,
    host_href: &str,
) -> (Vec<Adopted>, Option<String>) {
    let mut found: Vec<Orphans<'_>> = Vec::new();
    let mut left_out: BTreeSet<(&str, Option<&str>)> = BTreeSet::new();
    for row in all.iter().filter(|row| owners.of(row) == Owner::Nobody) {
        let tag = row.tags.first().map(String::as_str);
        let is_it = |known: &&mut Orphans<'_>| known.tag == tag && known.newest.hostname == row.hostname;
        if let Some(known) = found.iter_mut().find(is_it) {
            known.number += 1;
            known.added_bytes =
                known.added_bytes.zip(row.added_packed_bytes).map(|(a, b)| a.saturating_add(b));
        } else if found.len() < MOST_ADOPTED {
            found.push(Orphans { tag, newest: row, number: 1, added_bytes: row.added_packed_bytes });
        } else {
            left_out.insert((&row.hostname, tag));
        }
    }
    let entry = |Orphans { tag, newest, number, added_bytes }: Orphans<'_>| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let name = tag.filter(|tag| schema::name::is_valid(tag)).unwrap_or_default();
        query.append_pair("name", name);
        if newest.hostname != restic_host || name.is_empty() {
            query.append_pair("origin", &format!("{}@{}", tag.unwrap_or_default(), newest.hostname));
        }
        for path in newest.paths.iter().take(MOST_PATHS) {
            query.append_pair("path", path);
        }
        let whose = if newest.hostname == restic_host {
            String::new()
        } else {
            format!(", of the host {}", cut(&newest.hostname, 63))
        };
        let holds =
            newest.bytes.map_or_else(String::new, |size| format!("; the newest holds {}", bytes(size)));
        let added =
            added_bytes.map_or_else(String::new, |size| format!(", together they take {}", bytes(size)));
        Adopted {
            tag: tag.map(|tag| cut(tag, 63)),
            text: format!(
                "{} of {}{whose}{holds}{added}",
                many(number, "snapshot"),
                cut(&newest.paths.join(", "), 120)
            ),
            href: format!("{host_href}/new-group?{}", query.finish()),
        }
    };
    let more = (!left_out.is_empty()).then(|| format!("and {} more kinds", count(left_out.len() as u64)));
    (found.into_iter().map(entry).collect(), more)
}

fn view(now: Timestamp, row: &SnapshotRow, lacking: &BTreeMap<String, Flawed>) -> SnapshotView {
    let known = |size: Option<u64>| size.map_or_else(|| "not known".to_owned(), bytes);
    SnapshotView {
        lacks: snapshot_lacks(row, lacking),
        opens_at: opens_at(row),
        short: row.id.chars().take(8).collect(),
        id: row.id.clone(),
        when: When::short(row.time),
        age: ago(now, row.time),
        tags: row.tags.clone(),
        more_tags: more(row.tags_left_out),
        paths: cut(&row.paths.join(", "), 120),
        more_paths: more(row.paths_left_out),
        size: known(row.bytes),
        added: row
            .added_packed_bytes
            .map_or_else(|| "not known".to_owned(), |size| format!("+{}", bytes(size))),
    }
}

/// The one path that was backed up, for an address; `/` when there are several, and when it is none that can be opened:
/// a path may stand in a snapshot as it was typed.
fn opens_at(row: &SnapshotRow) -> String {
    let path = match row.paths.as_slice() {
        [path] => fleet::clean_path(path).ok(),
        _ => None,
    };
    form_urlencoded::byte_serialize(path.as_deref().unwrap_or("/").as_bytes()).collect()
}

fn more(left_out: u32) -> Option<String> {
    (left_out > 0).then(|| format!("and {} more", count(left_out.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::record::{Group, Origin};

    fn row(tags: &[&str], paths: &[&str], hostname: &str) -> SnapshotRow {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        SnapshotRow {
            id: "01".to_owned(),
            time: Timestamp(1),
            hostname: hostname.to_owned(),
            tags: owned(tags),
            paths: owned(paths),
            files: None,
            bytes: None,
            added_packed_bytes: None,
            tags_left_out: 0,
            paths_left_out: 0,
        }
    }

    #[test]
    fn a_snapshot_opens_at_its_one_path_where_that_can_be_opened() {
        for (paths, opens) in [
            (&["/srv/a b"][..], "%2Fsrv%2Fa+b"),
            (&["/srv", "/etc"], "%2F"),
            (&["photos/2026"], "%2F"),
            (&["../x"], "%2F"),
            (&[], "%2F"),
        ] {
            assert_eq!(opens_at(&row(&[], paths, "barn")), opens, "{paths:?}");
        }
    }

    #[test]
    fn what_no_group_made_can_be_gone_on_with() {
        let all = [
            row(&["home"], &["/home"], "barn"),
            row(&["old way", "x"], &["/srv", "/a b"], "barn"),
            row(&["photos"], &["/photos/2026"], "nas"),
            row(&["photos"], &["/photos"], "nas"),
            row(&[], &["/etc"], "barn"),
            // What forget goes by is the host name too.
            row(&["home"], &["/home"], "nas"),
            row(&["homes"], &["/home"], "barn"),
            row(&[], &["/home"], "old"),
            row(&["media"], &["/media"], "attic"),
        ];
        let of = |hostname: &str, tag: &str| Origin { hostname: hostname.to_owned(), tag: tag.to_owned() };
        let group =
            |name: &str, origins: Vec<Origin>| Group { name: name.to_owned(), origins, ..Group::default() };
        let mut owners = Owners::of_host("barn", &[group("home", vec![of("barn", "homes"), of("old", "")])]);
        owners.add_other("attic", &[group("media", Vec::new())]);
        let (found, more) = adopted(&all, &owners, "barn", "/hosts/01");
        let told: Vec<_> = found.iter().map(|entry| (entry.tag.as_deref(), entry.text.as_str())).collect();
        assert_eq!(
            told,
            [
                (Some("old way"), "1 snapshot of /srv, /a b"),
                (Some("photos"), "2 snapshots of /photos/2026, of the host nas"),
                (None, "1 snapshot of /etc"),
                (Some("home"), "1 snapshot of /home, of the host nas"),
            ]
        );
        assert_eq!(more, None);
        let many: Vec<_> = (0..13).map(|n| row(&[&format!("t{n}")], &["/x"], "barn")).collect();
        let (found_of_many, more) = adopted(&many, &owners, "barn", "/hosts/01");
        assert_eq!((found_of_many.len(), more.as_deref()), (10, Some("and 3 more kinds")));
        assert_eq!(found[0].href, "/hosts/01/new-group?name=&origin=old+way%40barn&path=%2Fsrv&path=%2Fa+b");
        assert_eq!(
            found[1].href,
            "/hosts/01/new-group?name=photos&origin=photos%40nas&path=%2Fphotos%2F2026"
        );
    }
}
