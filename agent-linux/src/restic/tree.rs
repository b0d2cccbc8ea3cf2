//! Whether the tree of a snapshot is one that restic itself makes: in each folder every name once, in order.
//!
//! Whoever holds a repository's password can write a tree by hand: with a symbolic link and a folder of one name, 0.18 and
//! newer make the link, then go through it. So a snapshot is looked through before it is restored. What was looked through
//! can't be exchanged afterwards: restic names trees and snapshots by their digests, and compares.

use serde::Deserialize;
use std::{borrow::Cow, collections::BTreeMap};

/// How many names that are no UTF-8 are kept of the folders on the way to where the listing is.
const MOST_ODD: usize = 4096;

/// A line of `ls --json`.
#[derive(Debug, Deserialize)]
struct Line<'l> {
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
}

/// What a listing has shown so far.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The folders on the way to where the listing is, the root first.
    way: Vec<Folder>,
    odd: usize,
    /// The snapshot's whole id, once it was named.
    pub(crate) snapshot: String,
    /// Lines were read.
    pub(crate) has_begun: bool,
    /// The first path that restic would not have made like this.
    pub(crate) fault: Option<String>,
}

#[derive(Debug, Default)]
struct Folder {
    /// Its path; empty = the root.
    path: String,
    last: String,
    /// Names that restic could not write as they are: several can look the same. Whether each is a link.
    odd: BTreeMap<String, bool>,
}

impl Default for Tree {
    fn default() -> Self {
        let way = vec![Folder::default()];
        Self { way, odd: 0, snapshot: String::new(), has_begun: false, fault: None }
    }
}

impl Tree {
    /// Takes a line; `false` = it is none of the listing.
    pub(crate) fn line(&mut self, line: &[u8]) -> bool {
        let is_first = !core::mem::replace(&mut self.has_begun, true);
        match serde_json::from_slice::<Line<'_>>(line) {
            Ok(line) if line.struct_type == "snapshot" => self.snapshot = line.id.into_owned(),
            Ok(line) if line.struct_type == "node" => {
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
            self.way.push(Folder { path: path.to_owned(), ..Folder::default() });
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
