//! The snapshots to choose from, and the folder at which one opens.

use super::choices::{ALL, Choices};
use crate::format::{day_of, exact};
use crate::problem::Problem;
use fleet::record::{Host, SnapshotRow};
use fleet::{FleetState, Owner, Owners, clean_path};
use std::collections::BTreeSet;

/// The snapshots of a host, newest first, and whose they are.
pub(super) struct Listing {
    pub(super) rows: Vec<SnapshotRow>,
    owners: Owners,
}

/// What a snapshot was made of, where all of that is known and it is paths; else nothing.
pub(super) fn own_paths(row: &SnapshotRow) -> Vec<String> {
    let is_known =
        row.paths_left_out == 0 && row.paths.iter().all(|path| path.starts_with('/') && path != "/");
    if is_known { row.paths.clone() } else { Vec::new() }
}

/// Whether this path is one of these, lies in one of them, or above one.
fn are_about(roots: &[String], path: &str) -> bool {
    let is_in = |path: &str, folder: &str| {
        path.strip_prefix(folder.trim_end_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    roots.iter().any(|root| is_in(path, root) || is_in(root, path))
}

impl Listing {
    pub(super) fn read(state: &FleetState, host: &Host) -> Result<Self, Problem> {
        let rows = state.known_snapshots(host.id)?;
        Ok(Self { rows, owners: state.owners(host)? })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The group of a snapshot, or its tag when it is of none.
    pub(super) fn group_of<'a>(&'a self, row: &'a SnapshotRow) -> &'a str {
        match self.owners.of(row) {
            Owner::Group(group) => group,
            Owner::OtherHost | Owner::Nobody => row.tags.first().map_or("", String::as_str),
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<&SnapshotRow> {
        self.rows.iter().find(|row| !id.is_empty() && row.id.starts_with(id))
    }

    /// The newest snapshot of a group (empty = of any) that is no younger than the end of a day (empty = today).
    pub(super) fn newest(&self, group: &str, day: &str) -> Option<&SnapshotRow> {
        let mut of_group = self.rows.iter().filter(|row| group.is_empty() || self.group_of(row) == group);
        if day.is_empty() {
            return of_group.next();
        }
        of_group.find(|row| day_of(row.time).as_str() <= day)
    }

    /// The one before this one in its group.
    pub(super) fn before(&self, id: &str) -> Option<&SnapshotRow> {
        let row = self.find(id)?;
        let group = self.group_of(row);
        self.rows.iter().find(|other| other.time < row.time && self.group_of(other) == group)
    }

    /// The snapshot that is meant, by its whole id where that is known.
    pub(super) fn settle(&self, choices: &mut Choices) {
        let row = match choices.snapshot.as_str() {
            "" => self.newest(&choices.group, ""),
            id => self.find(id),
        };
        if let Some(row) = row {
            choices.snapshot.clone_from(&row.id);
        }
    }

    /// The folder that is shown of a snapshot; `None` = the list of what it was made of.
    pub(super) fn folder(&self, id: &str, asked: Option<&str>) -> Option<String> {
        folder_to_show(&roots(self.find(id)), asked)
    }

    /// Why nothing of this path can be in the snapshot, and where it is; `None` = it may be.
    pub(super) fn not_in(&self, id: &str, path: &str) -> Option<String> {
        let roots = own_paths(self.find(id)?);
        if roots.is_empty() || are_about(&roots, path) {
            return None;
        }
        let other =
            self.rows.iter().find(|row| are_about(&own_paths(row), path)).map(|row| self.group_of(row));
        let where_it_is = match other {
            Some("") => "A snapshot of no source group is of it: choose that one.".to_owned(),
            Some(group) => format!("Snapshots of the source group {group} are of it: choose one of those."),
            None => "No snapshot that is known here is of it.".to_owned(),
        };
        let (shown, more) = (&roots[..roots.len().min(3)], if roots.len() > 3 { ", …" } else { "" });
        Some(format!("This snapshot is of {}{more}: {path} can't be in it. {where_it_is}", shown.join(", ")))
    }

    /// When the snapshot was taken, and of what.
    pub(super) fn title(&self, id: &str) -> String {
        match self.find(id) {
            None => format!("snapshot {}", &id[..id.floor_char_boundary(8)]),
            Some(row) => match self.group_of(row) {
                "" => exact(row.time),
                group => format!("{}, group {group}", exact(row.time)),
            },
        }
    }
}

/// What the snapshot was made of, as paths to look into.
pub(super) fn roots(row: Option<&SnapshotRow>) -> Vec<String> {
    let roots = row.into_iter().flat_map(|row| &row.paths).filter_map(|path| clean_path(path).ok());
    roots.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The folder that is shown; `None` = the list of the roots.
pub(super) fn folder_to_show(roots: &[String], asked: Option<&str>) -> Option<String> {
    match (asked.and_then(|path| clean_path(path).ok()), roots) {
        (Some(path), _) => Some(path),
        (None, [root]) => Some(root.clone()),
        // Nothing is known of it: it is looked into from above.
        (None, []) => Some(ALL.to_owned()),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Timestamp;

    #[test]
    fn it_opens_at_what_the_snapshot_was_made_of() {
        let one = vec!["/srv/media".to_owned()];
        let two = vec!["/etc".to_owned(), "/srv/media".to_owned()];
        assert_eq!(folder_to_show(&one, None).as_deref(), Some("/srv/media"));
        assert_eq!(folder_to_show(&two, None), None, "a list to choose from");
        assert_eq!(folder_to_show(&two, Some("/srv/media/a/")).as_deref(), Some("/srv/media/a"));
        assert_eq!(folder_to_show(&two, Some("nonsense")), None);
    }

    fn row(id: &str, at: u64, tag: &str) -> SnapshotRow {
        SnapshotRow {
            id: id.to_owned(),
            time: Timestamp(at),
            hostname: "barn".to_owned(),
            tags: vec![tag.to_owned()],
            paths: Vec::new(),
            files: None,
            bytes: None,
            added_packed_bytes: None,
            tags_left_out: 0,
            paths_left_out: 0,
        }
    }

    #[test]
    fn a_path_that_a_snapshot_is_not_of_is_told_with_the_group_that_is() {
        let of = |id, tag, paths: &[&str]| SnapshotRow {
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
            ..row(id, 5, tag)
        };
        let rows = vec![
            of("a1", "big", &["/srv/big"]),
            of("b1", "photos", &["/srv/photos", "/srv/more"]),
            of("c1", "all", &["/"]),
            SnapshotRow { paths_left_out: 1, ..of("d1", "many", &["/x"]) },
        ];
        let listing = Listing { rows, owners: Owners::of_host("barn", &[]) };
        for path in ["/srv/big", "/srv/big/a", "/srv", "/"] {
            assert_eq!(listing.not_in("a1", path), None, "{path}");
        }
        for id in ["c1", "d1", "unknown"] {
            assert_eq!(listing.not_in(id, "/srv/photos"), None, "{id}");
        }
        let said = listing.not_in("a1", "/srv/photos/x").unwrap();
        assert!(
            said.starts_with("This snapshot is of /srv/big: ") && said.contains("source group photos"),
            "{said}"
        );
        assert!(
            listing
                .not_in("a1", "/srv/bigger")
                .unwrap()
                .ends_with("No snapshot that is known here is of it.")
        );
    }

    #[test]
    fn a_day_without_a_snapshot_gives_the_last_one_before_it() {
        const DAY_MS: u64 = 86_400_000;
        let rows = vec![row("c", 9 * DAY_MS, "etc"), row("b", 5 * DAY_MS, "home"), row("a", DAY_MS, "home")];
        let listing = Listing { rows, owners: Owners::of_host("barn", &[]) };
        let id = |row: Option<&SnapshotRow>| row.map(|row| row.id.clone()).unwrap_or_default();
        assert_eq!(id(listing.newest("", "")), "c");
        assert_eq!(id(listing.newest("home", "")), "b");
        assert_eq!(id(listing.newest("home", "1970-01-05")), "a");
        assert_eq!(id(listing.newest("home", "1970-01-06")), "b");
        assert_eq!(id(listing.newest("home", "1970-01-01")), "", "none is as old");
        assert_eq!(id(listing.before("b")), "a");
        assert_eq!(id(listing.before("c")), "");
    }
}
