//! Reads what `restic find` says while it comes. Pure.
//!
//! With `--json` restic says one long array in one line: for each snapshot the matches, and behind them which snapshot
//! it is. It takes all that is in a folder for a match when the folder is one: here the folder stands for it, with how
//! much is in it, and only what matches by its own name is told beside it. JSON alters names that are no UTF-8; the same
//! search in plain lines has them as they are, in the same order.

use super::{
    elements::Elements,
    instant,
    patterns::Patterns,
    raw_names::{STAND_IN, as_json_shows},
};
use schema::{
    OsText, Timestamp,
    limits::{MAX_HITS, MAX_VALUE_BYTES},
    report::{ChangeKind, EntryKind, Hit},
};
use serde_json::Value;
use std::{collections::VecDeque, path::Path};

/// What is read of a match.
const MATCH_MEMBERS: &[&str] = &["path", "type", "size", "mtime", "ctime"];
/// What is read of the object around the matches of a snapshot.
const SNAPSHOT_MEMBERS: &[&str] = &["snapshot"];
/// How many bytes of names that JSON has altered are kept until their own are known.
const MOST_ODD_BYTES: usize = 1 << 20;
/// The most of a complaint that is kept: it has two ids.
const MAX_COMPLAINT_BYTES: usize = 1024;
/// The longest line that is kept.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// How the matches of a snapshot begin in plain lines; the first eight letters of its id follow.
const RAW_HEAD: &[u8] = b"Found matching entries in snapshot ";

/// What a step looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// restic's pattern.
    pub pattern: Vec<u8>,
    /// Capital letters are as small ones.
    pub ignore_case: bool,
    /// The snapshots that are looked through, newest first.
    pub snapshots: Vec<(Timestamp, String)>,
    /// Of the search in plain lines: whose names are looked for, in the order in which they were found.
    pub odd: Vec<OddHit>,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HitSeen {
    /// An entry whose name matches.
    Entry(FoundEntry),
    /// Of a comparison: a path that differs.
    Change(Change),
    /// The snapshot in which the entries since the last one of these are.
    Snapshot {
        /// restic's id.
        id: String,
        /// When it was taken.
        time: Timestamp,
    },
}

/// An entry whose name matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundEntry {
    /// Its absolute path, as the file system has it.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Its size; of a folder, of all that is in it.
    pub bytes: u64,
    /// Of a folder: how many files are in it.
    pub files: u64,
    /// When it was changed last; of a folder, when anything in it was.
    pub modified_at: Option<Timestamp>,
}

/// A path in which two snapshots differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its absolute path, as the file system has it.
    pub path: Vec<u8>,
    /// What became of it.
    pub kind: ChangeKind,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its size; 0 of what is no file.
    pub bytes: u64,
}

/// An entry whose name JSON has altered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OddHit {
    /// The place of its snapshot in [`Search::snapshots`].
    pub snapshot: usize,
    /// Its place among all that matched.
    order: u64,
    /// The entry, by the path as JSON shows it.
    pub entry: FoundEntry,
}

impl HitSeen {
    /// The hit for the wire.
    #[must_use]
    pub fn to_wire(&self) -> Hit<'_> {
        match self {
            Self::Entry(FoundEntry { path, kind, bytes, files, modified_at }) => Hit::Entry {
                path: OsText::new(path),
                kind: *kind,
                bytes: *bytes,
                files: *files,
                modified_at: *modified_at,
            },
            Self::Snapshot { id, time } => Hit::Snapshot { id, time: *time },
            Self::Change(Change { path, kind, is_folder, bytes }) => {
                Hit::Change { path: OsText::new(path), change: *kind, is_folder: *is_folder, bytes: *bytes }
            }
        }
    }
}

/// Reads the search in JSON.
#[derive(Debug)]
pub(crate) struct Finder<'s> {
    search: &'s Search,
    own: Patterns,
    matches: Elements,
    snapshots: Elements,
    reading: Reading,
    /// A line of a complaint that has begun.
    complaint: Vec<u8>,
    /// The first line of a complaint, whose second one has not come.
    first_line: Option<String>,
    /// Complaints that nobody has taken yet.
    complaints: Vec<String>,
}

#[derive(Debug, Default)]
struct Reading {
    /// The folders that match and in which the search is, the outer ones first.
    open: Vec<(u64, FoundEntry)>,
    /// How many have matched.
    order: u64,
    /// Something of the snapshot of now was told.
    has_told: bool,
    /// The first of [`Self::odd`] that is of the snapshot of now.
    odd_from: usize,
    odd: Vec<OddHit>,
    odd_bytes: usize,
    hits: u32,
    left_out: u32,
}

/// What came of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchOutcome {
    /// How many entries were told.
    pub hits: u32,
    /// How many were not.
    pub left_out: u32,
    /// Those whose names are not known yet.
    pub odd: Vec<OddHit>,
}

impl<'s> Finder<'s> {
    pub(crate) fn new(search: &'s Search) -> Self {
        let pattern = String::from_utf8_lossy(&search.pattern);
        let pattern = if search.ignore_case { pattern.to_lowercase() } else { pattern.into_owned() };
        Self {
            search,
            own: Patterns::of_search(&pattern),
            matches: Elements::new(4, MATCH_MEMBERS),
            snapshots: Elements::new(2, SNAPSHOT_MEMBERS),
            reading: Reading::default(),
            complaint: Vec::new(),
            first_line: None,
            complaints: Vec::new(),
        }
    }

    /// Takes the next piece and tells what was found in it.
    ///
    /// Of a folder that it can't read restic says so in two lines: which tree, and of which snapshot. They stand in the
    /// middle of its JSON, and its JSON in the middle of them. Outside of a string no other letter of JSON is a capital one,
    /// and no number has a point.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut tell: impl FnMut(HitSeen)) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if !self.complaint.is_empty() {
                let is_json = b"[]{},\"".contains(&byte);
                if is_json || byte == b'\n' || self.complaint.len() > MAX_COMPLAINT_BYTES {
                    self.line_ends();
                }
                if is_json {
                    continue;
                }
                if !self.complaint.is_empty() {
                    self.complaint.push(byte);
                }
                bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| b"U.".contains(byte)).unwrap_or(bytes.len());
            let (before, rest) = bytes.split_at(end);
            self.push_json(before, &mut tell);
            if let Some((&begins, rest)) = rest.split_first() {
                if self.matches.is_outside_strings() {
                    self.complaint.push(begins);
                } else {
                    self.push_json(&[begins], &mut tell);
                }
                bytes = rest;
            } else {
                bytes = rest;
            }
        }
    }

    /// A line of a complaint has ended: the first one waits for the second.
    fn line_ends(&mut self) {
        let line = core::mem::take(&mut self.complaint);
        let line = String::from_utf8_lossy(&line);
        match self.first_line.take() {
            Some(first) if line.starts_with('.') => self.complaints.push(format!("{first} {line}")),
            first => {
                self.complaints.extend(first);
                self.first_line = Some(line.into_owned());
            }
        }
    }

    /// What restic complained about since this was asked last.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        core::mem::take(&mut self.complaints)
    }

    /// What it was in the middle of at its end.
    pub(crate) fn last_complaint(&mut self) -> Option<String> {
        if !self.complaint.is_empty() {
            self.line_ends();
        }
        self.first_line.take()
    }

    #[inline(never)]
    fn push_json(&mut self, bytes: &[u8], mut tell: impl FnMut(HitSeen)) {
        let Self { search, own, matches, snapshots, reading, .. } = self;
        // Both look for objects, and each ends at a bracket of its own.
        for piece in bytes.split_inclusive(|&byte| byte == b'}') {
            matches.push(piece, |element| {
                let entry = (element.key == "matches").then(|| entry(element.json)).flatten();
                let Some((entry, changed_at)) = entry else { return };
                let path = String::from_utf8_lossy(&entry.path);
                let is_own = match search.ignore_case {
                    true => own.name(Path::new(&path.to_lowercase())),
                    false => own.name(Path::new(&*path)),
                };
                reading.take(entry, changed_at, is_own, &mut tell);
            });
            snapshots.push(piece, |element| {
                let value: Value = serde_json::from_slice(element.json).unwrap_or_default();
                let id = value.get("snapshot").and_then(Value::as_str).unwrap_or_default();
                let place = search.snapshots.iter().position(|(_, known)| known == id);
                reading.close(place.map(|place| (place, &search.snapshots[place])), &mut tell);
            });
        }
    }

    /// Whether the array was closed again, and what came of it all.
    pub(crate) fn finish(self) -> (bool, SearchOutcome) {
        let Reading { hits, left_out, odd, .. } = self.reading;
        (self.matches.is_whole(), SearchOutcome { hits, left_out, odd })
    }
}

impl Reading {
    fn take(
        &mut self,
        entry: FoundEntry,
        changed_at: Option<Timestamp>,
        is_own: bool,
        tell: &mut impl FnMut(HitSeen),
    ) {
        let is_in = |folder: &FoundEntry| {
            entry.path.strip_prefix(folder.path.as_slice()).is_some_and(|rest| rest.starts_with(b"/"))
        };
        while let Some((order, folder)) = self.open.pop_if(|(_, folder)| !is_in(folder)) {
            self.told(order, folder, tell);
        }
        for (_, folder) in &mut self.open {
            // A folder's own time says nothing of a file that is written anew in its place.
            folder.modified_at = folder.modified_at.max(changed_at);
            if entry.kind != EntryKind::Folder {
                folder.files = folder.files.saturating_add(1);
                folder.bytes = folder.bytes.saturating_add(entry.bytes);
            }
        }
        if !is_own && !self.open.is_empty() {
            return;
        }
        self.order += 1;
        if entry.kind == EntryKind::Folder {
            self.open.push((self.order, FoundEntry { bytes: 0, ..entry }));
        } else {
            self.told(self.order, entry, tell);
        }
    }

    fn told(&mut self, order: u64, entry: FoundEntry, tell: &mut impl FnMut(HitSeen)) {
        let is_odd = String::from_utf8_lossy(&entry.path).contains(STAND_IN);
        let bytes = self.odd_bytes + entry.path.len();
        let has_room = self.hits < MAX_HITS && entry.path.len() <= MAX_VALUE_BYTES;
        if !has_room || (is_odd && bytes > MOST_ODD_BYTES) {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.hits += 1;
        if is_odd {
            self.odd_bytes = bytes;
            self.odd.push(OddHit { snapshot: 0, order, entry });
        } else {
            self.has_told = true;
            tell(HitSeen::Entry(entry));
        }
    }

    /// The matches of a snapshot have ended; without knowing which it is they are worth nothing.
    fn close(&mut self, snapshot: Option<(usize, &(Timestamp, String))>, tell: &mut impl FnMut(HitSeen)) {
        while let Some((order, folder)) = self.open.pop() {
            self.told(order, folder, tell);
        }
        let odd = &mut self.odd[self.odd_from..];
        match snapshot {
            Some((place, _)) => {
                // A folder is told of behind what is in it.
                odd.sort_by_key(|hit| hit.order);
                odd.iter_mut().for_each(|hit| hit.snapshot = place);
            }
            None => self.odd.truncate(self.odd_from),
        }
        self.odd_from = self.odd.len();
        if core::mem::take(&mut self.has_told) {
            let (time, id) = snapshot.map(|(_, known)| known.clone()).unwrap_or_default();
            tell(HitSeen::Snapshot { id, time });
        }
    }
}

/// A match, as JSON shows it, and when anything of it was changed last, its permissions among it.
fn entry(json: &[u8]) -> Option<(FoundEntry, Option<Timestamp>)> {
    let value: Value = serde_json::from_slice(json).ok()?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let path = text("path");
    let modified_at = instant::parse(text("mtime"));
    let entry = FoundEntry {
        path: path.as_bytes().to_vec(),
        kind: match text("type") {
            "dir" => EntryKind::Folder,
            "file" => EntryKind::File,
            "symlink" => EntryKind::Symlink,
            _ => EntryKind::Other,
        },
        bytes: value.get("size").and_then(Value::as_u64).unwrap_or(0),
        files: 0,
        modified_at,
    };
    path.starts_with('/').then(|| (entry, modified_at.max(instant::parse(text("ctime")))))
}

/// Reads the search in plain lines, and gives entries whose names JSON has altered their own.
#[derive(Debug)]
pub(crate) struct RawFinder<'s> {
    search: &'s Search,
    line: Vec<u8>,
    waits: VecDeque<&'s OddHit>,
    /// The place of the snapshot of now.
    snapshot: Option<usize>,
    /// The lines so far of a path that holds ends of lines.
    begun: Vec<Vec<u8>>,
    named: u32,
    has_told: bool,
}

impl<'s> RawFinder<'s> {
    pub(crate) fn new(search: &'s Search) -> Self {
        let (line, waits, begun) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { search, line, waits, snapshot: None, begun, named: 0, has_told: false }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], mut tell: impl FnMut(HitSeen)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (piece, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |piece| (piece, true));
            let room = MAX_LINE_BYTES - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if ends {
                self.line_ends(&mut tell);
            }
        }
    }

    fn line_ends(&mut self, tell: &mut impl FnMut(HitSeen)) {
        let line = core::mem::take(&mut self.line);
        if let Some(id) = line.strip_prefix(RAW_HEAD).and_then(|rest| rest.get(..8))
            && let Some(place) =
                self.search.snapshots.iter().position(|(_, known)| known.as_bytes().starts_with(id))
        {
            self.close(tell);
            self.snapshot = Some(place);
            self.waits = self.search.odd.iter().filter(|hit| hit.snapshot == place).collect();
            return;
        }
        let Some(hit) = self.waits.front() else { return };
        let mut wanted = hit.entry.path.split(|&byte| byte == b'\n');
        let is_next =
            wanted.nth(self.begun.len()).is_some_and(|part| part == as_json_shows(&line).as_bytes());
        if !is_next && !self.begun.is_empty() {
            // It only began like the one that is looked for.
            self.begun.clear();
            self.line = line;
            return self.line_ends(tell);
        }
        if !is_next {
            return;
        }
        let is_last = wanted.next().is_none();
        self.begun.push(line);
        if is_last && let Some(hit) = self.waits.pop_front() {
            let path = core::mem::take(&mut self.begun).join(&b'\n');
            self.named += 1;
            self.has_told = true;
            tell(HitSeen::Entry(FoundEntry { path, ..hit.entry.clone() }));
        }
    }

    fn close(&mut self, tell: &mut impl FnMut(HitSeen)) {
        self.begun.clear();
        if core::mem::take(&mut self.has_told)
            && let Some((time, id)) =
                self.snapshot.and_then(|place| self.search.snapshots.get(place)).cloned()
        {
            tell(HitSeen::Snapshot { id, time });
        }
    }

    /// How many names were found.
    pub(crate) fn finish(mut self, mut tell: impl FnMut(HitSeen)) -> u32 {
        if !self.line.is_empty() {
            self.line_ends(&mut tell);
        }
        self.close(&mut tell);
        self.named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(pattern: &[u8], ignore_case: bool) -> Search {
        let snapshots = vec![(Timestamp(2), "b".repeat(64)), (Timestamp(1), "a".repeat(64))];
        Search { pattern: pattern.to_vec(), ignore_case, snapshots, odd: Vec::new() }
    }

    /// What is told of this JSON, in pieces of one size, as `path bytes/files` and `= time`; and what came of it.
    fn read(search: &Search, text: &str, size: usize) -> (Vec<String>, bool, SearchOutcome) {
        let (mut finder, mut told) = (Finder::new(search), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            finder.push(piece, |hit| told.push(shown(&hit)));
        }
        let (whole, found) = finder.finish();
        (told, whole, found)
    }

    fn shown(hit: &HitSeen) -> String {
        match hit {
            HitSeen::Entry(entry) => {
                format!("{} {}/{}", OsText::new(&entry.path), entry.bytes, entry.files)
            }
            HitSeen::Snapshot { time, .. } => format!("= {}", time.0),
            HitSeen::Change(change) => panic!("{change:?}"),
        }
    }

    fn matches(nodes: &[(&str, &str, u64)], id: &str) -> String {
        let nodes: Vec<Value> = nodes
            .iter()
            .map(|(path, kind, size)| serde_json::json!({"path": path, "type": kind, "size": size}))
            .collect();
        serde_json::json!({"matches": nodes, "hits": nodes.len(), "snapshot": id}).to_string()
    }

    #[test]
    fn a_folder_stands_for_what_is_in_it_but_for_what_matches_by_its_own_name() {
        let nodes = [
            ("/s/Invoices", "dir", 0),
            ("/s/Invoices/a", "file", 2),
            ("/s/Invoices/sub", "dir", 0),
            ("/s/Invoices/sub/invoice-1", "file", 3),
            ("/s/Invoices2", "file", 5),
        ];
        let text =
            format!("[{},{}]", matches(&nodes, &"b".repeat(64)), matches(&nodes[4..], &"a".repeat(64)));
        let search = search(b"invoice*", true);
        for size in [1, 7, 4096] {
            let (told, whole, found) = read(&search, &text, size);
            assert_eq!(
                told,
                [
                    "/s/Invoices/sub/invoice-1 3/0",
                    "/s/Invoices 5/2",
                    "/s/Invoices2 5/0",
                    "= 2",
                    "/s/Invoices2 5/0",
                    "= 1"
                ]
            );
            assert!(whole);
            assert_eq!((found.hits, found.left_out, found.odd.len()), (4, 0, 0));
        }
        assert!(!read(&search, &text[..text.len() - 2], 9).1, "cut");
        assert_eq!(read(&search, "[]\n", 1), (vec![], true, SearchOutcome::default()));
    }

    #[test]
    fn a_folder_is_as_new_as_what_was_changed_last_in_it() {
        let node = |path: &str, kind: &str, mtime: &str, ctime: &str| serde_json::json!({"path": path, "type": kind, "size": 1, "mtime": mtime, "ctime": ctime});
        let at = |second: u8| format!("1970-01-01T00:00:{second:02}Z");
        let told = |changed: u8| {
            let nodes = [
                node("/s/x", "dir", &at(5), &at(9)),
                node("/s/x/sub", "dir", &at(1), &at(1)),
                // Written anew at its size, with its old time set again.
                node("/s/x/sub/a", "file", &at(2), &at(changed)),
                node("/s/x2", "file", &at(3), &at(8)),
            ];
            let text = serde_json::json!([{"matches": nodes, "hits": 4, "snapshot": "b".repeat(64)}]);
            let (asked, mut times) = (search(b"x*", false), Vec::new());
            Finder::new(&asked).push(text.to_string().as_bytes(), |hit| {
                if let HitSeen::Entry(entry) = hit {
                    times.push(entry.modified_at.unwrap().0 / 1000);
                }
            });
            times
        };
        assert_eq!(told(4), [5, 3]);
        assert_eq!(told(7), [7, 3]);
    }

    #[test]
    fn what_is_too_much_or_of_no_known_snapshot_is_counted() {
        let long = format!("/{}", "x".repeat(MAX_VALUE_BYTES));
        let text = format!("[{}]", matches(&[(&long, "file", 1), ("/x", "file", 1)], "elsewhere"));
        let (told, _, found) = read(&search(b"x*", false), &text, 1000);
        assert_eq!(told, ["/x 1/0", "= 0"], "the server takes none without an id");
        assert_eq!((found.hits, found.left_out), (1, 1));
        let many: Vec<String> = (0..=MAX_HITS).map(|number| format!("/x{number}")).collect();
        let many: Vec<_> = many.iter().map(|path| (path.as_str(), "file", 1)).collect();
        let (told, _, found) =
            read(&search(b"x*", false), &format!("[{}]", matches(&many, &"a".repeat(64))), 1 << 16);
        assert_eq!((told.len(), found.left_out), (MAX_HITS as usize + 1, 1));
    }

    #[test]
    fn what_restic_says_in_the_middle_of_its_json_is_taken_out_of_it() {
        let (id, other) = ("b".repeat(64), "a".repeat(64));
        let complaint = |id: &str| format!("Unable to load tree 0e60\n ... which belongs to snapshot {id}\n");
        let found = matches(&[("/s/Unable to load tree U", "file", 7)], &id);
        let at = found.find(r#"],"snapshot""#).unwrap();
        let text = format!("{}[{}{}{}]\n", complaint(&other), &found[..at], complaint(&id), &found[at..]);
        let asked = search(b"U*", false);
        for size in [1, 7, 4096] {
            let (mut finder, mut told, mut complaints) = (Finder::new(&asked), Vec::new(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                finder.push(piece, |hit| told.push(shown(&hit)));
                complaints.extend(finder.complaints());
            }
            let (is_whole, found) = finder.finish();
            assert_eq!(
                (told.join(" "), is_whole, found.hits),
                ("/s/Unable to load tree U 7/0 = 2".to_owned(), true, 1)
            );
            let said = |id| format!("Unable to load tree 0e60 ... which belongs to snapshot {id}");
            assert_eq!(complaints, [said(&other), said(&id)]);
        }
    }

    #[test]
    fn a_complaint_that_the_json_breaks_in_on_takes_nothing_of_it_away() {
        let (tree, id) = ("c".repeat(64), "b".repeat(64));
        let asked = search(b"x*", false);
        let first = format!("Unable to load tree {tree}");
        let second = format!(" ... which belongs to snapshot {id}");
        let found = matches(&[("/s/x.U", "file", 7)], &id);
        for (json, hits) in [("[]".to_owned(), 0), (format!("[{found}]"), 1)] {
            for text in [
                format!("{first}\n{second}\n{json}\n"),
                format!("{json}\n{first}\n{second}\n"),
                // What is written is written in pieces, each whole.
                format!("{first}{json}\n\n{second}\n"),
                format!("{first}\n{json}\n{second}\n"),
                format!("{first}\n{second}{json}\n\n"),
            ] {
                for size in [1, 7, 4096] {
                    let mut finder = Finder::new(&asked);
                    text.as_bytes().chunks(size).for_each(|piece| finder.push(piece, |_| ()));
                    assert_eq!(finder.complaints(), [format!("{first}{second}")], "{text}");
                    assert_eq!(finder.last_complaint(), None);
                    let (is_whole, found) = finder.finish();
                    assert_eq!((is_whole, found.hits), (true, hits), "{text}");
                }
            }
        }
        for text in [first.clone(), format!("{first}\n[]\n"), format!("{first}[]")] {
            let mut finder = Finder::new(&asked);
            finder.push(text.as_bytes(), |_| ());
            assert_eq!((finder.complaints(), finder.last_complaint()), (vec![], Some(first.clone())));
        }
    }

    #[test]
    fn names_that_json_alters_are_found_in_plain_lines() {
        let nodes = [
            ("/s/d\u{fffd}", "dir", 0),
            ("/s/d\u{fffd}/d\u{fffd}\nx", "file", 1),
            ("/s/d\u{fffd}/plain", "file", 1),
            ("/s/d\u{fffd}", "file", 7),
            ("/s/dull", "file", 9),
        ];
        let text =
            format!("[{},{}]", matches(&nodes, &"b".repeat(64)), matches(&nodes[3..], &"a".repeat(64)));
        let asked = search(b"d*", false);
        let (told, whole, found) = read(&asked, &text, 64);
        assert!(whole);
        assert_eq!(told, ["/s/dull 9/0", "= 2", "/s/dull 9/0", "= 1"]);
        let asked = Search { odd: found.odd, ..asked };
        for (gap, size) in [("\n", 5), ("", 4096)] {
            let raw = [
                format!("Found matching entries in snapshot bbbbbbbb from 2026-11-29 11:04:10\n{gap}")
                    .as_bytes(),
                b"/s/d\xfe\n/s/d\xfe/d\xfd\nx\n/s/d\xfe/plain\n/s/d\xff\n/s/dull\n\n",
                b"Found matching entries in snapshot aaaaaaaa from 2026-11-29 11:04:10\n/s/d\xf8\n/s/dull\n",
            ]
            .concat();
            let (mut finder, mut told) = (RawFinder::new(&asked), Vec::new());
            for piece in raw.chunks(size) {
                finder.push(piece, |hit| told.push(shown(&hit)));
            }
            let named = finder.finish(|hit| told.push(shown(&hit)));
            assert_eq!(
                told,
                ["/s/d\\xfe 2/2", "/s/d\\xfe/d\\xfd\nx 1/0", "/s/d\\xff 7/0", "= 2", "/s/d\\xf8 7/0", "= 1"]
            );
            assert_eq!(named, 4);
        }
    }
}
