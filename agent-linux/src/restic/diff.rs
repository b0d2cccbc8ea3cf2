//! Reads what `restic diff` says of two snapshots. Pure.
//!
//! It says which paths differ, a folder with a slash at its end, but no sizes: those come from a listing of each
//! snapshot. JSON alters names that are no UTF-8; the same comparison in plain lines has them as they are, in the same
//! order, behind five columns that say what changed.

use super::{
    find::{Change, HitSeen},
    raw_names::{STAND_IN, as_json_shows},
};
use schema::{
    job::DiffTotals,
    limits::{MAX_CHANGES, MAX_VALUE_BYTES},
    report::ChangeKind,
};
use serde::Deserialize;
use std::{borrow::Cow, collections::BTreeMap};

/// How many bytes of paths are kept until their sizes are known.
const MOST_PATH_BYTES: usize = 2 << 20;
/// The columns before a path in plain lines.
const RAW_HEAD: usize = 5;

#[derive(Debug, Deserialize)]
struct DiffLine<'l> {
    #[serde(borrow, default)]
    message_type: Cow<'l, str>,
    #[serde(borrow, default)]
    path: Cow<'l, str>,
    #[serde(borrow, default)]
    modifier: Cow<'l, str>,
}

#[derive(Debug, Deserialize)]
struct SizeLine<'l> {
    #[serde(borrow, default)]
    path: Cow<'l, str>,
    #[serde(default)]
    size: u64,
}

/// Sizes by path, as JSON shows it.
pub type Sizes = BTreeMap<String, Option<u64>>;

/// What two snapshots differ in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// In restic's order, by the paths as JSON shows them.
    pub changes: Vec<Change>,
    path_bytes: usize,
    /// What there is of each, whether it is kept or not.
    pub totals: DiffTotals,
    /// restic came to the end.
    pub is_whole: bool,
    /// Of the plain lines: the paths that JSON alters, in their order.
    raw: Vec<Vec<u8>>,
    begun: Vec<u8>,
    /// Of a listing: sizes of the paths that are asked for, as JSON shows them; `None` = not met yet.
    pub sizes: Sizes,
}

impl Differences {
    /// Takes a line of JSON; `false` = it is none of these.
    pub(crate) fn line(&mut self, line: &[u8]) -> bool {
        let Ok(line) = serde_json::from_slice::<DiffLine<'_>>(line) else { return false };
        match &*line.message_type {
            "statistics" => self.is_whole = true,
            "change" => self.change(&line.path, &line.modifier),
            _ => return false,
        }
        true
    }

    fn change(&mut self, path: &str, modifier: &str) {
        let kind = match modifier {
            "+" => ChangeKind::Added,
            "-" => ChangeKind::Removed,
            other if other.contains('T') => ChangeKind::Type,
            _ => ChangeKind::Changed,
        };
        let count = match kind {
            ChangeKind::Added => &mut self.totals.added,
            ChangeKind::Removed => &mut self.totals.removed,
            ChangeKind::Changed => &mut self.totals.changed,
            ChangeKind::Type => &mut self.totals.types,
        };
        *count = count.saturating_add(1);
        let bytes = self.path_bytes + path.len();
        let has_room = self.changes.len() < MAX_CHANGES as usize && bytes <= MOST_PATH_BYTES;
        if !has_room || path.len() > MAX_VALUE_BYTES || !path.starts_with('/') {
            self.totals.left_out = self.totals.left_out.saturating_add(1);
            return;
        }
        self.path_bytes = bytes;
        let (is_folder, path) = path.strip_suffix('/').map_or((false, path), |path| (true, path));
        self.changes.push(Change { path: path.as_bytes().to_vec(), kind, is_folder, bytes: 0 });
    }

    /// Takes a plain line; a path may hold ends of lines.
    pub(crate) fn raw_line(&mut self, line: &[u8]) {
        let is_head = line.len() > RAW_HEAD
            && line[RAW_HEAD] == b'/'
            && matches!(line[0], b'+' | b'-' | b'M' | b'T' | b'U' | b'?')
            && line[..RAW_HEAD].iter().all(|byte| b"+-MTU? ".contains(byte));
        if is_head {
            self.raw_ends();
            self.begun = line[RAW_HEAD..].to_vec();
        } else if !self.begun.is_empty() && self.begun.len() <= MAX_VALUE_BYTES {
            self.begun.push(b'\n');
            self.begun.extend_from_slice(line);
        }
    }

    pub(crate) fn raw_ends(&mut self) {
        let path = core::mem::take(&mut self.begun);
        if as_json_shows(&path).contains(STAND_IN) && self.raw.len() < MAX_CHANGES as usize {
            self.raw.push(path);
        }
    }

    /// Of a listing: which paths are asked for.
    pub(crate) fn ask(&mut self, paths: &[Vec<u8>]) {
        self.sizes = paths.iter().map(|path| (as_json_shows(path), None)).collect();
    }

    /// Of a listing: takes a line.
    pub(crate) fn size(&mut self, line: &[u8]) {
        if let Ok(line) = serde_json::from_slice::<SizeLine<'_>>(line)
            && let Some(size) = self.sizes.get_mut(&*line.path)
        {
            // Of names that look the same the first is told.
            size.get_or_insert(line.size);
        }
    }

    /// The paths whose sizes are in the older snapshot, or those in the newer one.
    #[must_use]
    pub fn paths_in(&self, is_older: bool) -> Vec<Vec<u8>> {
        let is_there =
            |change: &&Change| !change.is_folder && (change.kind == ChangeKind::Removed) == is_older;
        self.changes.iter().filter(is_there).map(|change| change.path.clone()).collect()
    }

    /// Whether JSON has altered any path.
    #[must_use]
    pub fn has_odd(&self) -> bool {
        self.changes.iter().any(Change::is_odd)
    }

    /// Gives each path that JSON has altered its own; one that is not found goes, and is counted.
    pub fn name_odd(&mut self, plain: &Self) {
        let mut raw = plain.raw.iter();
        let before = self.changes.len();
        self.changes.retain_mut(|change| {
            if !change.is_odd() {
                return true;
            }
            // Behind the last path of a listing stand restic's own lines.
            let own = |raw: &&Vec<u8>| {
                let end = if change.is_folder { &b"/"[..] } else { b"" };
                let whole = [change.path.as_slice(), end].concat();
                let shown = as_json_shows(raw);
                shown.as_bytes() == whole
                    || shown
                        .strip_prefix(&*String::from_utf8_lossy(&whole))
                        .is_some_and(|rest| rest.starts_with("\n\nFiles:"))
            };
            let Some(found) = raw.find(own) else { return false };
            // One byte of a path is one letter of what JSON shows, where it is altered.
            let end = found.windows(8).position(|part| part == b"\n\nFiles:").unwrap_or(found.len());
            let path = &found[..end];
            change.path = path.strip_suffix(b"/").filter(|_| change.is_folder).unwrap_or(path).to_vec();
            true
        });
        let lost = u64::try_from(before - self.changes.len()).unwrap_or(u64::MAX);
        self.totals.left_out = self.totals.left_out.saturating_add(lost);
    }

    /// Says how large what changed is: as it is now, and of what is gone as it was.
    pub fn measure(&mut self, before: &Sizes, now: &Sizes) {
        for change in &mut self.changes {
            let sizes = if change.kind == ChangeKind::Removed { before } else { now };
            change.bytes = sizes.get(&as_json_shows(&change.path)).copied().flatten().unwrap_or_default();
            let total = match change.kind {
                ChangeKind::Removed => &mut self.totals.removed_bytes,
                ChangeKind::Added => &mut self.totals.added_bytes,
                ChangeKind::Changed | ChangeKind::Type => &mut self.totals.changed_bytes,
            };
            *total = total.saturating_add(change.bytes);
        }
    }

    /// The changes to tell of.
    pub fn take(&mut self) -> impl Iterator<Item = HitSeen> + use<> {
        core::mem::take(&mut self.changes).into_iter().map(HitSeen::Change)
    }
}

impl Change {
    fn is_odd(&self) -> bool {
        String::from_utf8_lossy(&self.path).contains(STAND_IN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_by_its_kind_with_its_size_and_its_own_name() {
        let mut found = Differences::default();
        for line in [
            r#"{"message_type":"change","path":"/s/a/mod","modifier":"M"}"#,
            r#"{"message_type":"change","path":"/s/a/type/","modifier":"TM"}"#,
            r#"{"message_type":"change","path":"/s/gone/","modifier":"-"}"#,
            r#"{"message_type":"change","path":"/s/n�\nl","modifier":"M"}"#,
            r#"{"message_type":"change","path":"/s/new","modifier":"+"}"#,
            r#"{"message_type":"change","path":"/s/o�","modifier":"-"}"#,
            r#"{"message_type":"statistics","changed_files":2}"#,
        ] {
            assert!(found.line(line.as_bytes()), "{line}");
        }
        assert!(!found.line(b"{\"message_type\":\"other\"}") && !found.line(b"nonsense"));
        assert!(found.is_whole && found.has_odd());
        let mut plain = Differences::default();
        for line in [
            &b"comparing snapshot 801e75a2 to d1f9ffd4:"[..],
            b"",
            b"M    /s/a/mod",
            b"TM   /s/a/type/",
            b"-    /s/gone/",
            b"M    /s/n\xfe",
            b"l",
            b"+    /s/new",
            b"-    /s/o\xff",
            b"",
            b"Files:           1 new,     2 removed,     2 changed",
        ] {
            plain.raw_line(line);
        }
        plain.raw_ends();
        found.name_odd(&plain);
        let sizes = |pairs: &[(&str, u64)]| {
            pairs.iter().map(|(path, size)| ((*path).to_owned(), Some(*size))).collect()
        };
        found.measure(
            &sizes(&[("/s/o\u{fffd}", 5), ("/s/a/mod", 1)]),
            &sizes(&[("/s/a/mod", 2), ("/s/new", 3)]),
        );
        let told: Vec<_> =
            found.changes.iter().map(|it| (it.path.as_slice(), it.kind, it.is_folder, it.bytes)).collect();
        assert_eq!(
            told,
            [
                (&b"/s/a/mod"[..], ChangeKind::Changed, false, 2),
                (b"/s/a/type", ChangeKind::Type, true, 0),
                (b"/s/gone", ChangeKind::Removed, true, 0),
                (b"/s/n\xfe\nl", ChangeKind::Changed, false, 0),
                (b"/s/new", ChangeKind::Added, false, 3),
                (b"/s/o\xff", ChangeKind::Removed, false, 5),
            ]
        );
        let totals = DiffTotals {
            added: 1,
            removed: 2,
            changed: 2,
            types: 1,
            added_bytes: 3,
            removed_bytes: 5,
            changed_bytes: 2,
            left_out: 0,
        };
        assert_eq!(found.totals, totals);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let mut found = Differences::default();
        for number in 0..=MAX_CHANGES {
            found.change(&format!("/{number}"), "+");
        }
        found.change(&format!("/{}", "x".repeat(MAX_VALUE_BYTES)), "-");
        assert_eq!(found.changes.len(), MAX_CHANGES as usize);
        assert_eq!((found.totals.added, found.totals.left_out), (u64::from(MAX_CHANGES) + 1, 2));
    }
}
