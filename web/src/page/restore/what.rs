//! The first part: a snapshot, and what is picked in it.

use super::super::folder::{Look, PART_ROWS, kind_words, shown};
use super::calendar::{Calendar, calendar};
use super::choices::{ALL, Choices};
use super::listing::{Listing, folder_to_show, roots};
use crate::app::Ctx;
use crate::format::{When, bytes, count, day_of, exact, many};
use crate::problem::Problem;
use crate::words::snapshot_lacks;
use fleet::FleetState;
use fleet::record::{EntryCursor, EntryRow, FolderPlace, Host, SnapshotRow};
use jiff::civil::Date;
use schema::HostId;
use schema::report::EntryKind;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// So many snapshots are offered at once; the day leads to others.
const NEAR: usize = 7;
/// In so many folders it is looked up what the picked paths are.
const MOST_PARENTS: usize = 50;

/// A snapshot to choose.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SnapshotChoice {
    pub(crate) id: String,
    pub(crate) short: String,
    pub(crate) when: When,
    pub(crate) size: String,
    pub(crate) current: bool,
}

/// A source group to choose snapshots of.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GroupChoice {
    pub(crate) name: String,
    pub(crate) current: bool,
}

/// A step of the way to the folder that is shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) name: String,
    /// Empty: the list of all that the snapshot was made of.
    pub(crate) path: String,
}

/// A file or folder with its box.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FileRow {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) icon: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) is_folder: bool,
    pub(crate) size: Option<String>,
    pub(crate) changed: Option<String>,
    pub(crate) picked: bool,
    /// A folder that it lies in is picked.
    pub(crate) covered: bool,
}

/// What is picked, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Picked {
    pub(crate) some: bool,
    /// `3 picked`.
    pub(crate) head: String,
    /// `1 folder, 2 files (160 KiB)`.
    pub(crate) text: String,
}

/// The part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WhatView {
    pub(crate) snapshots: Vec<SnapshotChoice>,
    /// What of them is not shown.
    pub(crate) others: Option<String>,
    pub(crate) groups: Vec<GroupChoice>,
    /// A month of the snapshot's group.
    pub(crate) month: Option<Calendar>,
    /// The day of the snapshot, for a date field.
    pub(crate) day: String,
    pub(crate) snapshot: String,
    pub(crate) title: String,
    pub(crate) lacks: Option<String>,
    /// The folder that is shown; empty = the list of what the snapshot was made of.
    pub(crate) at: String,
    pub(crate) steps: Vec<Step>,
    /// The folder itself, to pick it.
    pub(crate) this: Option<FileRow>,
    pub(crate) rows: Vec<FileRow>,
    pub(crate) listed: Option<When>,
    pub(crate) shown: String,
    /// Where the entries go on.
    pub(crate) next: Option<String>,
    /// Where the entries that are shown begin; empty = with the first.
    pub(crate) cursor: String,
    /// The job that lists the folder just now.
    pub(crate) open: Option<String>,
    pub(crate) waits: String,
    pub(crate) why: Option<String>,
    pub(crate) failed: Option<(String, String)>,
    /// What is picked and not shown here.
    pub(crate) elsewhere: Vec<FileRow>,
    pub(crate) picked: Picked,
    /// What was typed and is no path.
    pub(crate) more: String,
}

#[cfg(test)]
impl WhatView {
    pub(crate) fn sample(s: &crate::sample::Sample, is_open: bool) -> Self {
        let entry = |is_folder, picked| FileRow {
            name: s.text("photos"),
            path: s.text("/srv/photos"),
            icon: if is_folder { "folder" } else { "file" },
            kind: if is_folder { "folder" } else { "file" },
            is_folder,
            size: s.some("4.00 KiB"),
            changed: s.some("Mon 23 Nov 2026 06:41:12 UTC"),
            picked,
            covered: !is_folder && !picked,
        };
        Self {
            snapshots: [true, false]
                .map(|current| SnapshotChoice {
                    id: s.text("4d02a9f1c0ffee00"),
                    short: s.text("4d02a9f1"),
                    when: s.when(),
                    size: s.text("312 GiB"),
                    current,
                })
                .into(),
            others: s.some("24 older"),
            groups: vec![GroupChoice { name: s.text("media"), current: true }],
            month: Some(Calendar::sample(s)),
            day: "2026-11-23".to_owned(),
            snapshot: s.text("4d02a9f1c0ffee00"),
            title: s.text("Mon 23 Nov 2026 06:31:12 UTC, group media"),
            lacks: s.some("missing /srv/photos"),
            at: s.text("/srv"),
            steps: vec![
                Step { name: s.text("All folders"), path: String::new() },
                Step { name: s.text("/srv"), path: s.text("/srv") },
            ],
            this: Some(entry(true, false)),
            rows: vec![entry(true, false), entry(false, true), entry(false, false)],
            listed: (!is_open).then(|| s.when()),
            shown: s.text("2 of 2 entries"),
            next: s.some("file/z"),
            cursor: s.text("file/a"),
            open: is_open.then(|| "02".to_owned()),
            waits: s.text("Being sent to the host."),
            why: s.some("The host is offline."),
            failed: (!is_open).then(|| (s.text("The folder is not there."), "/jobs/01".to_owned())),
            elsewhere: vec![entry(false, true)],
            picked: Picked { some: true, head: "2 picked".to_owned(), text: "2 files (8.00 KiB)".to_owned() },
            more: s.text("srv"),
        }
    }
}

/// Where somebody looks.
pub(super) struct BrowsePosition {
    /// `None` = where it opens.
    pub(super) at: Option<String>,
    pub(super) cursor: Option<EntryCursor>,
    /// The month whose snapshots are shown; `None` = that of the snapshot.
    pub(super) month: Option<Date>,
    /// What was typed as a path and is none.
    pub(super) more: String,
    /// Why the host was not asked for the folder.
    pub(super) refused: Option<String>,
}

pub(super) fn read(
    ctx: &Ctx,
    state: &FleetState,
    host: &Host,
    (listing, choices, place): (&Listing, &Choices, BrowsePosition),
) -> Result<WhatView, Problem> {
    let row = listing.find(&choices.snapshot);
    let roots = roots(row);
    let at = folder_to_show(&roots, place.at.as_deref());
    let lacking = state.lacking(host.id)?;
    let mut view = WhatView {
        snapshots: near(listing, row),
        others: row.and_then(|row| others(listing, row)),
        groups: groups(listing, row),
        month: row.and_then(|row| month(listing, row, place.month)),
        day: row.map(|row| day_of(row.time)).unwrap_or_default(),
        snapshot: choices.snapshot.clone(),
        title: listing.title(&choices.snapshot),
        lacks: row.and_then(|row| snapshot_lacks(row, &lacking)),
        steps: steps(&roots, at.as_deref()),
        this: at.as_deref().map(|at| known_by_path(choices, at, at.to_owned())),
        rows: Vec::new(),
        listed: None,
        shown: String::new(),
        next: None,
        cursor: place.cursor.as_ref().map(ToString::to_string).unwrap_or_default(),
        open: None,
        waits: String::new(),
        why: None,
        failed: None,
        elsewhere: Vec::new(),
        picked: picked(state, host.id, choices, row)?,
        more: place.more,
        at: String::new(),
    };
    match at {
        None => view.rows = roots.iter().map(|root| known_by_path(choices, root, root.clone())).collect(),
        Some(at) => {
            let place_of = FolderPlace::Snapshot(&choices.snapshot);
            let look = Look::read(state, host.id, place_of, &at)?;
            if let Some(folder) = &look.listed {
                let (entries, next) = folder.part(PART_ROWS, place.cursor.as_ref());
                view.rows = entries.iter().map(|entry| listed(choices, &at, entry)).collect();
                view.next = next.map(|next| next.to_string());
                view.shown = shown(folder, entries.len());
                view.listed = Some(When::ago(ctx.now(), folder.at));
            }
            view.open = look.open.map(|job| job.id.to_string());
            (view.waits, view.why, view.failed) = (look.waits, look.why.or(place.refused), look.failed);
            view.at = at;
        }
    }
    let here: BTreeSet<&str> = view.rows.iter().chain(&view.this).map(|row| row.path.as_str()).collect();
    let elsewhere = choices.paths.iter().filter(|path| !here.contains(path.as_str()));
    view.elsewhere = elsewhere
        .map(|path| {
            let name = if path == ALL { "All of the snapshot".to_owned() } else { path.clone() };
            known_by_path(choices, path, name)
        })
        .collect();
    Ok(view)
}

/// The way to a folder, from what the snapshot was made of.
fn steps(roots: &[String], at: Option<&str>) -> Vec<Step> {
    let mut steps = Vec::new();
    if roots.len() > 1 {
        steps.push(Step { name: "All folders".to_owned(), path: String::new() });
    }
    let Some(at) = at else { return steps };
    let is_in =
        |root: &&String| at == root.as_str() || at.starts_with(&format!("{}/", root.trim_end_matches('/')));
    let root = roots.iter().filter(is_in).max_by_key(|root| root.len()).map_or(ALL, String::as_str);
    steps.push(Step { name: root.to_owned(), path: root.to_owned() });
    let mut path = root.trim_end_matches('/').to_owned();
    for name in at[path.len()..].split('/').filter(|name| !name.is_empty()) {
        path = format!("{path}/{name}");
        steps.push(Step { name: name.to_owned(), path: path.clone() });
    }
    steps
}

fn known_by_path(choices: &Choices, path: &str, name: String) -> FileRow {
    FileRow {
        name,
        path: path.to_owned(),
        icon: "folder",
        kind: "",
        is_folder: true,
        size: None,
        changed: None,
        picked: choices.paths.contains(path),
        covered: choices.covers(path),
    }
}

fn listed(choices: &Choices, at: &str, entry: &EntryRow) -> FileRow {
    let path = format!("{}/{}", at.trim_end_matches('/'), entry.name);
    let (icon, kind) = kind_words(entry.kind);
    FileRow {
        icon,
        kind,
        is_folder: entry.kind == EntryKind::Folder,
        size: (entry.kind == EntryKind::File).then(|| bytes(entry.bytes)),
        changed: entry.modified_at.map(exact),
        ..known_by_path(choices, &path, entry.name.clone())
    }
}

/// Those of the same group around a snapshot, and always the newest.
fn near(listing: &Listing, row: Option<&SnapshotRow>) -> Vec<SnapshotChoice> {
    let Some(row) = row else { return Vec::new() };
    let group = listing.group_of(row);
    let all: Vec<&SnapshotRow> = listing.rows.iter().filter(|row| listing.group_of(row) == group).collect();
    let here = all.iter().position(|other| other.id == row.id).unwrap_or_default();
    let from = here.saturating_sub(NEAR / 2);
    let newest = all.iter().take(usize::from(from > 0));
    let choice = |other: &&SnapshotRow| SnapshotChoice {
        short: other.id.chars().take(8).collect(),
        id: other.id.clone(),
        when: When::short(other.time),
        size: other.bytes.map_or_else(|| "not known".to_owned(), bytes),
        current: other.id == row.id,
    };
    newest.chain(all.iter().skip(from).take(NEAR)).map(choice).collect()
}

fn month(listing: &Listing, row: &SnapshotRow, asked: Option<Date>) -> Option<Calendar> {
    let group = listing.group_of(row);
    let of_group = listing.rows.iter().filter(|row| listing.group_of(row) == group);
    calendar(of_group.map(|row| (row.time, row.id.as_str())), row.time, asked)
}

fn others(listing: &Listing, row: &SnapshotRow) -> Option<String> {
    let group = listing.group_of(row);
    let of_group = listing.rows.iter().filter(|row| listing.group_of(row) == group).count();
    (of_group > NEAR).then(|| format!("{}; choose others by their day", many(of_group as u64, "snapshot")))
}

fn groups(listing: &Listing, row: Option<&SnapshotRow>) -> Vec<GroupChoice> {
    let current = row.map(|row| listing.group_of(row)).unwrap_or_default();
    let names: BTreeSet<&str> = listing.rows.iter().map(|row| listing.group_of(row)).collect();
    let choice = |name: &str| GroupChoice { name: name.to_owned(), current: name == current };
    names.into_iter().filter(|name| !name.is_empty()).map(choice).collect()
}

/// What is picked, over folders, as far as it is known what it is.
pub(super) fn picked(
    state: &FleetState,
    host: HostId,
    choices: &Choices,
    row: Option<&SnapshotRow>,
) -> Result<Picked, Problem> {
    if choices.is_all() {
        let files = row.and_then(|row| row.files).map(|files| many(files, "file"));
        let size = row.and_then(|row| row.bytes).map(bytes);
        let text: Vec<String> = files.into_iter().chain(size).collect();
        return Ok(Picked { some: true, head: "All of it".to_owned(), text: text.join(", ") });
    }
    let mut by_parent: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (parent, name) in choices.paths.iter().filter_map(|path| path.rsplit_once('/')) {
        by_parent.entry(if parent.is_empty() { ALL } else { parent }).or_default().push(name);
    }
    let (mut folders, mut files, mut size) = (0_u64, 0_u64, 0_u64);
    for (parent, names) in by_parent.into_iter().take(MOST_PARENTS) {
        let place = FolderPlace::Snapshot(&choices.snapshot);
        let Some(folder) = state.folder(host, place, parent)? else { continue };
        for entry in folder.entries.iter().filter(|entry| names.contains(&entry.name.as_str())) {
            if entry.kind == EntryKind::Folder {
                folders += 1;
            } else {
                files += 1;
                size = size.saturating_add(entry.bytes);
            }
        }
    }
    let all = choices.paths.len() as u64;
    Ok(Picked {
        some: all > 0,
        head: format!("{} picked", count(all)),
        text: in_words(all, folders, (files, size)),
    })
}

fn in_words(all: u64, folders: u64, (files, size): (u64, u64)) -> String {
    let known = folders + files;
    let mut parts = Vec::new();
    parts.extend((folders > 0).then(|| many(folders, "folder")));
    parts.extend((files > 0).then(|| format!("{} ({})", many(files, "file"), bytes(size))));
    parts.extend((known > 0 && all > known).then(|| many(all - known, "other path")));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_folder_begins_at_what_was_backed_up() {
        let way = |roots: &[&str], at: Option<&str>| {
            let roots: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
            steps(&roots, at).into_iter().map(|step| (step.name, step.path)).collect::<Vec<_>>()
        };
        let said = |steps: &[(&str, &str)]| {
            steps.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(
            way(&["/srv"], Some("/srv/a/ü")),
            said(&[("/srv", "/srv"), ("a", "/srv/a"), ("ü", "/srv/a/ü")])
        );
        assert_eq!(way(&["/etc", "/srv"], Some("/srv")), said(&[("All folders", ""), ("/srv", "/srv")]));
        assert_eq!(way(&["/srv"], Some("/srvx")), said(&[("/", "/"), ("srvx", "/srvx")]));
        assert_eq!(way(&["/"], Some("/a")), said(&[("/", "/"), ("a", "/a")]));
    }

    #[test]
    fn what_is_picked_is_counted_as_far_as_it_is_known() {
        assert_eq!(in_words(3, 1, (2, 2_048)), "1 folder, 2 files (2.00 KiB)");
        assert_eq!(in_words(1_204, 0, (1_203, 0)), "1,203 files (0 B), 1 other path");
        assert_eq!(in_words(2, 0, (0, 0)), "", "the number alone says it");
    }
}
