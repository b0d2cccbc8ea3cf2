//! Whether the tree of a snapshot is one that restic itself makes: in each folder every name once, in order.
//!
//! Whoever holds a repository's password can write a tree by hand: with a symbolic link and a folder of one name, 0.18 and
//! newer make the link, then go through it. So a snapshot is looked through before it is restored. What was looked through
//! can't be exchanged afterwards: restic names trees and snapshots by their digests, and compares.

use super::{
    draw::Draw,
    instant,
    raw_names::{STAND_IN, as_json_shows},
};
use serde::Deserialize;
use std::{borrow::Cow, collections::BTreeMap};

/// How many names that are no UTF-8 are kept of the folders on the way to where the listing is.
const MOST_ODD: usize = 4096;

/// A line of `ls --json`.
#[derive(Debug, Deserialize)]
struct LsLine<'l> {
    #[serde(borrow, default)]
    struct_type: Cow<'l, str>,
    #[serde(borrow, default)]
    id: Cow<'l, str>,
    #[serde(borrow, default)]
    name: Cow<'l, str>,
    #[serde(borrow, default)]
    path: Cow<'l, str>,
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'l, str>,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    mode: u32,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(borrow, default)]
    mtime: Cow<'l, str>,
    #[serde(borrow, default)]
    ctime: Cow<'l, str>,
}

/// What of a snapshot is picked to be restored, as a walk through it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picked {
    /// All that is no folder.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// The snapshot holds a folder, picked or not. One of what a command has printed holds none.
    pub holds_folders: bool,
    /// Size of the files, in bytes; a file with several names counts for each.
    pub bytes: u64,
    /// The paths that were asked for and are not there, as JSON shows them.
    pub missing: Vec<String>,
    /// Those of the paths that were asked for that are files, as JSON shows them.
    pub named_files: Vec<String>,
    /// The folders, and those on the way to what is picked, parents first; at most [`MOST_WAYS`].
    pub ways: Vec<Way>,
    /// What is neither folder nor file; at most one more than [`MOST_WAYS`].
    pub specials: Vec<Special>,
}

/// The most folders that are remembered, and the most of what is neither folder nor file.
pub(super) const MOST_WAYS: usize = 20_000;

/// A folder of a snapshot that restic makes, enters or changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Its path, as JSON shows it.
    pub path: String,
    /// Permissions, owner and group, of one that was not asked for: restic sets them all the same.
    pub above: Option<(u32, u32, u32)>,
}

/// What something is that is neither folder nor file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialKind {
    /// A symbolic link.
    Link,
    /// A named pipe.
    Pipe,
    /// A socket, a device, or what restic does not know.
    Other,
}

/// A link, pipe, socket or device of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Special {
    /// Its path, as JSON shows it.
    pub path: String,
    /// What it is.
    pub kind: SpecialKind,
    /// When it was changed last: seconds and nanoseconds since 1970.
    pub mtime: Option<(i64, i64)>,
}

/// Counts what lies in the paths that were asked for.
#[derive(Debug, Default)]
struct Picking {
    /// The paths as JSON shows them, and whether each was met. Empty = all is picked.
    wanted: BTreeMap<String, bool>,
    /// Those of the paths that JSON shows like another one of them, and that were not met.
    alike: Vec<String>,
    /// The folder that is picked with all that is in it, and a slash.
    within: Option<String>,
    picked: Picked,
}

impl Picking {
    fn way(&mut self, path: &str, above: Option<(u32, u32, u32)>) {
        // One more than is looked at says that there are more.
        if self.picked.ways.len() <= MOST_WAYS {
            self.picked.ways.push(Way { path: path.to_owned(), above });
        }
    }

    fn node(&mut self, line: &LsLine<'_>) {
        let (path, kind, size) = (&*line.path, &*line.kind, line.size);
        self.picked.holds_folders |= kind == "dir";
        let is_named = match self.wanted.get_mut(path) {
            None => false,
            Some(met @ false) => {
                *met = true;
                true
            }
            // Each name is in a folder once: this one only looks like it.
            Some(true) => {
                let place = self.alike.iter().position(|alike| alike == path);
                place.map(|place| self.alike.swap_remove(place)).is_some()
            }
        };
        if is_named && kind == "file" {
            self.picked.named_files.push(path.to_owned());
        }
        if !self.within.as_ref().is_some_and(|within| path.starts_with(within.as_str())) {
            self.within = (is_named && kind == "dir").then(|| format!("{path}/"));
            if !is_named && !self.wanted.is_empty() {
                let inside = format!("{path}/");
                if kind == "dir" && self.wanted.keys().any(|wanted| wanted.starts_with(&inside)) {
                    self.way(path, Some((line.mode & 0o777, line.uid, line.gid)));
                }
                return;
            }
        }
        if kind == "dir" {
            self.way(path, None);
            self.picked.folders += 1;
        } else {
            self.picked.files += 1;
            self.picked.bytes = self.picked.bytes.saturating_add(size);
            if kind != "file" && self.picked.specials.len() <= MOST_WAYS {
                let mtime = instant::nanos(&line.mtime);
                let kind = match kind {
                    "symlink" => SpecialKind::Link,
                    "fifo" => SpecialKind::Pipe,
                    _ => SpecialKind::Other,
                };
                self.picked.specials.push(Special { path: path.to_owned(), kind, mtime });
            }
        }
    }
}

/// What a listing has shown so far.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The folders on the way to where the listing is, the root first.
    way: Vec<ListedFolder>,
    odd: usize,
    /// The snapshot's whole id, once it was named.
    pub(crate) snapshot: String,
    /// Whether any line was read.
    pub(crate) has_begun: bool,
    /// The first path that restic would not have made like this.
    pub(crate) fault: Option<String>,
    picking: Picking,
    /// Draws files by lot, in place of picking some.
    pub(crate) draw: Option<Draw>,
}

#[derive(Debug, Default)]
struct ListedFolder {
    /// Its path; empty = the root.
    path: String,
    last: String,
    /// Names that restic could not write as they are: several can look the same. Whether each is a link.
    odd: BTreeMap<String, bool>,
}

impl Default for Tree {
    fn default() -> Self {
        let way = vec![ListedFolder::default()];
        Self {
            way,
            odd: 0,
            snapshot: String::new(),
            has_begun: false,
            fault: None,
            picking: Picking::default(),
            draw: None,
        }
    }
}

impl Tree {
    /// Counts what lies in these paths; in none of them: all.
    pub(crate) fn pick(&mut self, paths: &[Vec<u8>]) {
        let Picking { wanted, alike, .. } = &mut self.picking;
        for (place, path) in paths.iter().enumerate() {
            let shown = as_json_shows(path).trim_end_matches('/').to_owned();
            if shown.is_empty() {
                wanted.clear();
                alike.clear();
                return;
            }
            if wanted.insert(shown.clone(), false).is_some() && !paths[..place].contains(path) {
                alike.push(shown);
            }
        }
    }

    /// What was counted.
    pub(crate) fn picked(&mut self) -> Picked {
        let Picking { wanted, alike, picked, .. } = core::mem::take(&mut self.picking);
        let unmet = wanted.into_iter().filter(|(_, met)| !met).map(|(path, _)| path);
        let missing = unmet.chain(alike.into_iter().filter(|path| path.contains(STAND_IN))).collect();
        Picked { missing, ..picked }
    }

    /// Takes a line; `false` = it is none of the listing.
    pub(crate) fn line(&mut self, line: &[u8]) -> bool {
        let is_first = !core::mem::replace(&mut self.has_begun, true);
        match serde_json::from_slice::<LsLine<'_>>(line) {
            Ok(line) if line.struct_type == "snapshot" => self.snapshot = line.id.into_owned(),
            Ok(line) if line.struct_type == "node" => {
                match &mut self.draw {
                    None => self.picking.node(&line),
                    Some(draw) if line.kind == "file" => {
                        draw.take(&line.path, line.size, &line.mtime, &line.ctime);
                    }
                    Some(_) => {}
                }
                if self.fault.is_none() && !self.takes(&line.name, &line.path, &line.kind) {
                    self.fault = Some(line.path.into_owned());
                }
            }
            Ok(_) => return false,
            // The first tells of the snapshot, and may be too long to be kept whole.
            Err(_) if is_first => {}
            Err(_) => {
                self.fault = self.fault.take().or_else(|| Some(String::from_utf8_lossy(line).into_owned()));
            }
        }
        true
    }

    fn takes(&mut self, name: &str, path: &str, kind: &str) -> bool {
        let Some((parent, last)) = path.rsplit_once('/') else { return false };
        if last != name || matches!(name, "" | "." | "..") {
            return false;
        }
        while self.way.last().is_some_and(|folder| folder.path != parent) {
            self.odd -= self.way.pop().map_or(0, |folder| folder.odd.len());
        }
        let Some(folder) = self.way.last_mut() else { return false };
        if name.contains(char::REPLACEMENT_CHARACTER) {
            let is_link = kind == "symlink";
            match folder.odd.get(name) {
                Some(before) if *before != is_link => return false,
                Some(_) => {}
                None if self.odd == MOST_ODD => return false,
                None => {
                    self.odd += 1;
                    folder.odd.insert(name.to_owned(), is_link);
                }
            }
        } else {
            if name <= folder.last.as_str() {
                return false;
            }
            name.clone_into(&mut folder.last);
        }
        if kind == "dir" {
            self.way.push(ListedFolder { path: path.to_owned(), ..ListedFolder::default() });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(nodes: &[(&str, &str)]) -> Option<String> {
        let mut tree = Tree::default();
        assert!(tree.line(br#"{"struct_type":"snapshot","id":"0123abcd"}"#));
        for (path, kind) in nodes {
            let name = path.rsplit('/').next().unwrap();
            let line = serde_json::json!({"struct_type": "node", "name": name, "path": path, "type": kind});
            assert!(tree.line(line.to_string().as_bytes()));
        }
        assert_eq!(tree.snapshot, "0123abcd");
        tree.fault
    }

    #[test]
    fn a_tree_of_restics_own_is_taken() {
        let nodes = [
            ("/a", "dir"),
            ("/a/b", "dir"),
            ("/a/b/c", "file"),
            ("/a/b\u{fffd}", "file"),
            ("/a/b\u{fffd}", "file"),
            ("/a/x", "symlink"),
            ("/a.txt", "file"),
            ("/b", "dir"),
            ("/b/a", "file"),
        ];
        assert_eq!(fault(&nodes), None);
        assert_eq!(fault(&[]), None);
    }

    #[test]
    fn a_name_that_stands_twice_or_out_of_order_is_not() {
        for nodes in [
            &[("/a", "symlink"), ("/a", "dir")][..],
            &[("/a", "dir"), ("/a/x", "file"), ("/a", "symlink")],
            &[("/a", "symlink"), ("/a/x", "file")],
            &[("/a", "file"), ("/a", "symlink")],
            &[("/b", "file"), ("/a", "symlink")],
            &[("/a\u{fffd}", "symlink"), ("/b", "file"), ("/a\u{fffd}", "dir")],
            &[("/a", "dir"), ("/b", "dir"), ("/a/x", "file")],
            &[("/..", "dir")],
            &[("a", "dir")],
        ] {
            assert!(fault(nodes).is_some(), "{nodes:?}");
        }
        let mut tree = Tree::default();
        let _ = tree.line(br#"{"struct_type":"snapshot","id":"0123abcd"}"#);
        let _ = tree.line(br#"{"struct_type":"node","name":"../up","path":"/up","type":"file"}"#);
        assert_eq!(tree.fault.as_deref(), Some("/up"));
        let mut cut = Tree::default();
        assert!(cut.line(b"{\"struct_type\":\"snap") && cut.fault.is_none(), "a long head");
        assert!(cut.line(b"{\"struct_type\":\"no") && cut.fault.is_some(), "a node that can't be read");
    }

    #[test]
    fn what_is_picked_is_counted_with_all_that_is_in_it() {
        let nodes = [
            ("/a", "dir", 0),
            ("/a/b", "dir", 0),
            ("/a/b/one", "file", 5),
            ("/a/b/two", "symlink", 0),
            ("/a/bc", "file", 7),
            ("/a/odd\u{fffd}", "file", 11),
            ("/z", "file", 13),
        ];
        let picked = |paths: &[&[u8]]| {
            let mut tree = Tree::default();
            tree.pick(&paths.iter().map(|path| path.to_vec()).collect::<Vec<_>>());
            let _ = tree.line(br#"{"struct_type":"snapshot","id":"0123abcd"}"#);
            for (path, kind, size) in nodes {
                let name = path.rsplit('/').next().unwrap();
                let line = serde_json::json!({"struct_type": "node", "name": name, "path": path, "type": kind, "size": size});
                assert!(tree.line(line.to_string().as_bytes()));
            }
            let found = tree.picked();
            (found.files, found.folders, found.bytes, found.missing)
        };
        assert_eq!(picked(&[]), (5, 2, 36, vec![]));
        assert_eq!(picked(&[b"/"]), (5, 2, 36, vec![]));
        assert_eq!(picked(&[b"/a/b"]), (2, 1, 5, vec![]), "not what begins like it");
        assert_eq!(picked(&[b"/a/b/", b"/a/b/one", b"/z"]), (3, 1, 18, vec![]), "nothing twice");
        assert_eq!(picked(&[b"/a/odd\xff"]), (1, 0, 11, vec![]));
        assert_eq!(picked(&[b"/a/bc", b"/b"]), (1, 0, 7, vec!["/b".to_owned()]));
        assert_eq!(picked(&[b"/a/bc", b"/a/bc/", b"/a/bc"]), (1, 0, 7, vec![]), "nothing twice");
        assert_eq!(picked(&[b"/z", b"/"]), (5, 2, 36, vec![]));
    }

    #[test]
    fn of_names_that_look_the_same_as_many_are_counted_as_are_picked() {
        let nodes = [
            ("/d\u{fffd}", "dir", 0),
            ("/d\u{fffd}/x", "file", 1),
            ("/d\u{fffd}", "dir", 0),
            ("/d\u{fffd}/x", "file", 1),
            ("/odd\u{fffd}", "file", 1),
            ("/odd\u{fffd}", "file", 1),
            ("/odd\u{fffd}", "file", 1),
        ];
        let picked = |paths: &[&[u8]]| {
            let mut tree = Tree::default();
            tree.pick(&paths.iter().map(|path| path.to_vec()).collect::<Vec<_>>());
            for (path, kind, size) in nodes {
                let name = &path[path.rfind('/').unwrap() + 1..];
                let line = serde_json::json!({"struct_type": "node", "name": name, "path": path, "type": kind, "size": size});
                assert!(tree.line(line.to_string().as_bytes()));
            }
            assert_eq!(tree.fault, None);
            let found = tree.picked();
            (found.files, found.folders, found.missing)
        };
        assert_eq!(picked(&[]), (5, 2, vec![]));
        assert_eq!(picked(&[b"/odd\xfe"]), (1, 0, vec![]));
        assert_eq!(picked(&[b"/odd\xfe", b"/odd\xff", b"/odd\xfe"]), (2, 0, vec![]));
        assert_eq!(picked(&[b"/d\xff"]), (1, 1, vec![]), "not what is in the other one");
        let all: [&[u8]; 4] = [b"/odd\xfc", b"/odd\xfd", b"/odd\xfe", b"/odd\xff"];
        assert_eq!(picked(&all), (3, 0, vec!["/odd\u{fffd}".to_owned()]));
    }

    proptest! {
        /// Any sorted tree is taken, and the same with one more node of a name that it has is not.
        #[test]
        fn each_name_once(names in proptest::collection::btree_set("[a-c]{1,2}(/[a-c]{1,2}){0,3}", 1..20), again in any::<prop::sample::Index>()) {
            // All folders on the way, in the order of a walk.
            let mut paths: Vec<Vec<&str>> = Vec::new();
            for name in &names {
                let parts: Vec<&str> = name.split('/').collect();
                (1..=parts.len()).for_each(|end| paths.push(parts[..end].to_vec()));
            }
            paths.sort();
            paths.dedup();
            let nodes: Vec<(String, &str)> = paths.iter().map(|path| (format!("/{}", path.join("/")), "dir")).collect();
            let mut nodes: Vec<(&str, &str)> = nodes.iter().map(|(path, kind)| (path.as_str(), *kind)).collect();
            prop_assert_eq!(fault(&nodes), None);
            let at = again.index(nodes.len());
            nodes.insert(at, (nodes[at].0, "symlink"));
            prop_assert!(fault(&nodes).is_some());
        }
    }
}
