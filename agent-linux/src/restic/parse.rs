//! Reads what restic says, on both streams, as it comes: progress, log lines, and findings. Pure.
//!
//! restic speaks JSON lines, one long array, a pretty-printed object or plain text, by command and version; and
//! plain lines stand among JSON. Everything unknown is passed over or logged, nothing is required.

use super::{
    args::{DRY_RUN, STARTED_IN},
    draw::{Bounds, Draw},
    elements::{Element, Elements},
    event::JobProgress,
    find::{Finder, HitSeen, RawFinder, Search},
    findings::{Findings, LockFound, MOST_LISTED, Words},
    instant,
    lines::{self, Lines, log_line},
    mask::Mask,
    own_words::{Names, own_words},
    raw_names::{RawNames, STAND_IN, as_json_shows},
    retention::{ByRules, Extent, MOST_SNAPSHOTS, Member},
    step::{Step, StepKind},
    summary::{BackupDone, EntrySeen, SnapshotSeen, StatsDone},
    symptoms::{Symptom, Symptoms},
    text,
    there::{Fate, Fates},
    tree::Tree,
};
use schema::{
    LogStream, Timestamp,
    limits::{MAX_ENTRIES, MAX_NAME_BYTES, MAX_SOURCE_FINDINGS, MAX_VALUE_BYTES},
    report::{EntryKind, SnapshotSize},
};
use serde_json::Value;
use std::{borrow::Cow, collections::VecDeque};

/// The most of a document (`cat config`, `cat lock`) that is kept.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// How many of the last lines of standard error are kept for the message.
const LAST_WORDS: usize = 6;
const MAX_WORD_BYTES: usize = 400;
const MAX_MISSING: usize = 16;
/// How long a snapshot's list of paths or tags may be, in bytes.
const MAX_LIST_BYTES: usize = 8 * 1024;
/// What is read of a snapshot; of the lists among it, [`SNAPSHOT_TAGS`] and [`SNAPSHOT_PATHS`] say where.
const SNAPSHOT_MEMBERS: &[&str] = &["id", "time", "hostname", "tags", "paths", "summary"];
const SNAPSHOT_TAGS: usize = 3;
const SNAPSHOT_PATHS: usize = 4;
/// What is read of the snapshots of a forget.
const FORGET_MEMBERS: &[&str] = &["id", "time", "hostname", "tags", "paths", "original", "summary"];
/// What is read of the lines of `ls`: its first one is a whole snapshot, with all that made that large.
const NODE_MEMBERS: &[&str] = &[
    "message_type",
    "struct_type",
    "name",
    "type",
    "path",
    "size",
    "mtime",
    "message",
    "error",
    "item",
    "during",
    "code",
];
/// How many of the paths that a restore deletes are named in the log.
const MOST_NAMED_DELETED: u64 = 1_000;
const NOT_NAMED: &str = "delete: more, which are not named here";
const FOLDER_STAYS: &str = "a folder with something in it stands there";
const MAX_CURRENT_BYTES: usize = 512;
/// Longer than this is restic's way to say that it doesn't know.
const MAX_LEFT_SECS: u64 = 10 * 365 * 86_400;
/// How many lock ids are kept.
const MAX_LOCKS: usize = 64;

/// Something that restic said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A line for the log.
    Log(LogStream, String),
    /// How far it is.
    Progress(JobProgress),
    /// A snapshot of a listing.
    Snapshot(SnapshotSeen),
    /// An entry of a folder.
    Entry(EntrySeen),
    /// Something that a search by name has found.
    Hit(HitSeen),
}

/// Reads one run of restic.
#[derive(Debug)]
pub struct Reader<'m> {
    kind: StepKind,
    mask: &'m Mask,
    out: Lines,
    err: Lines,
    shape: Shape<'m>,
    errors_so_far: u32,
    /// Of a restore and the walk before it: how far it is.
    progress: JobProgress,
    /// Of `ls`: the folder that is asked for, which restic names among what is in it, as its JSON shows it.
    folder: String,
    /// Of the repository.
    names: Names,
    /// Whose snapshots are asked for, see [`Step::members`].
    members: &'m [(String, String)],
    /// And whose else, see [`Step::others`].
    others: &'m [(String, String)],
    /// Of a restore, see [`Step::fates`].
    fates: Option<&'m Fates>,
    /// Of a restore: where it goes, as restic is told.
    target: String,
    /// Of a restore: it is only tried.
    is_dry: bool,
    /// The last byte ended a line, or nothing came yet.
    at_line_start: bool,
    /// Of a walk.
    tree: Tree,
    found: Findings,
}

/// How standard output is to be read.
#[derive(Debug)]
enum Shape<'m> {
    Lines,
    Document(Vec<u8>),
    Array(Elements),
    /// Paths.
    Raw(RawNames),
    /// Lines, those with an object in them of any length; and whether the line of now is one.
    Objects(Elements, bool),
    /// The matches of a search.
    Hits(Box<Finder<'m>>),
    /// The same in plain lines.
    RawHits(Box<RawFinder<'m>>),
}

impl<'m> Reader<'m> {
    /// A reader for a step of this kind.
    #[must_use]
    pub fn new(kind: StepKind, mask: &'m Mask) -> Self {
        let shape = match kind {
            StepKind::Config | StepKind::CatLock => Shape::Document(Vec::new()),
            StepKind::Snapshots | StepKind::Choose => Shape::Array(Elements::new(2, SNAPSHOT_MEMBERS)),
            StepKind::Forget => Shape::Array(Elements::new(4, FORGET_MEMBERS)),
            StepKind::Ls | StepKind::Stat => Shape::Objects(Elements::new(1, NODE_MEMBERS), false),
            StepKind::RawLs => Shape::Raw(RawNames::default()),
            _ => Shape::Lines,
        };
        let (out, err) = (Lines::default(), Lines::default());
        let (folder, names, members, others) = (String::new(), Names::default(), &[][..], &[][..]);
        let (tree, found) = (Tree::default(), Findings::default());
        Self {
            kind,
            mask,
            out,
            err,
            shape,
            errors_so_far: 0,
            progress: JobProgress::default(),
            folder,
            names,
            members,
            others,
            fates: None,
            target: String::new(),
            is_dry: false,
            at_line_start: true,
            tree,
            found,
        }
    }

    /// Of a listing or a forget: whose snapshots it is about.
    pub fn about(&mut self, members: &'m [(String, String)], others: &'m [(String, String)]) {
        (self.members, self.others) = (members, others);
    }

    /// Which repository it is about: what that is called says nothing.
    pub fn of_repository(&mut self, address: &str) {
        self.names = Names::of_repository(address);
    }

    /// Whether what it is told by now can't be mended by trying again.
    pub fn is_hopeless(&self) -> bool {
        self.found.symptoms.are_hopeless(self.kind)
    }

    /// Of `ls`: which folder is listed.
    pub fn in_folder(&mut self, path: &[u8]) {
        as_json_shows(path).trim_end_matches('/').clone_into(&mut self.folder);
        if let Shape::Raw(names) = &mut self.shape {
            *names = RawNames::of(path);
        }
    }

    /// Of a search: what is looked for.
    pub fn searching(&mut self, search: &'m Search) {
        self.shape = match self.kind {
            StepKind::Find => Shape::Hits(Box::new(Finder::new(search))),
            _ => Shape::RawHits(Box::new(RawFinder::new(search))),
        };
    }

    /// Of a walk, and of a listing for sizes: which paths are asked for.
    pub fn picking(&mut self, paths: &[Vec<u8>]) {
        if self.kind == StepKind::Sizes {
            self.found.differences.ask(paths);
            return;
        }
        self.tree.pick(paths);
    }

    /// Of a walk: which files are drawn by lot.
    pub fn drawing(&mut self, bounds: Option<Bounds>) {
        self.tree.draw = bounds.map(Draw::new);
    }

    /// Of a restore: how many files and bytes it is about, for a restic that says nothing of it, what becomes of what is
    /// there, and where it goes.
    pub fn restoring(&mut self, step: &'m Step) {
        (self.progress.files_total, self.progress.bytes_total) = step.totals;
        self.fates = Some(&step.fates);
        self.target = step.target();
        self.is_dry = step.args.iter().any(|arg| arg == DRY_RUN);
    }

    /// Of a restore and the walk before it: how many bytes it has read by now.
    pub fn has_read(&mut self, bytes: u64, said: &mut VecDeque<Said>) {
        if bytes > self.progress.bytes_read {
            self.progress.bytes_read = bytes;
            said.push_back(Said::Progress(self.progress.clone()));
        }
    }

    /// Takes the next piece of standard output.
    pub fn stdout(&mut self, bytes: &[u8], said: &mut VecDeque<Said>) {
        match &mut self.shape {
            Shape::Lines => self.out_lines(bytes, said),
            Shape::Document(document) => {
                let room = MAX_DOCUMENT_BYTES - document.len();
                document.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Shape::Array(elements) => {
                let (kind, mask, found) = (self.kind, self.mask, &mut self.found);
                let (members, others) = (self.members, self.others);
                elements.push(bytes, |element| match (kind, element.key) {
                    (StepKind::Snapshots, _) => {
                        found.snapshots = found.snapshots.saturating_add(1);
                        if let Some((member, place)) = member(element.json, members, &[])
                            && found.newest.as_ref().is_none_or(|(newest, _)| newest.is_before(&member))
                        {
                            found.newest = Some((member, place == 0));
                        }
                        match snapshot(&element, mask) {
                            Some(snapshot) => {
                                found.newest_at = found.newest_at.max(Some(snapshot.time));
                                said.push_back(Said::Snapshot(snapshot));
                            }
                            None => found.left_out = found.left_out.saturating_add(1),
                        }
                    }
                    (StepKind::Choose, _) => {
                        if let Some(listed) = chosen(element.json, members) {
                            found.snapshots = found.snapshots.saturating_add(1);
                            found.listed.insert(listed);
                            if found.listed.len() > MOST_LISTED {
                                found.listed.pop_first();
                            }
                        }
                    }
                    (_, "keep") => {
                        found.kept = found.kept.saturating_add(1);
                        take_member(element.json, (members, others), &mut found.by_rules, |by_rules| {
                            &mut by_rules.keep
                        });
                    }
                    (_, "remove") => {
                        found.removed = found.removed.saturating_add(1);
                        take_member(element.json, (members, others), &mut found.by_rules, |by_rules| {
                            &mut by_rules.remove
                        });
                    }
                    _ => {}
                });
                if !elements.is_array() {
                    self.out_lines(bytes, said);
                }
            }
            Shape::Objects(..) => self.out_objects(bytes, said),
            Shape::Raw(names) => names.push(bytes),
            Shape::Hits(finder) => {
                finder.push(bytes, |hit| said.push_back(Said::Hit(hit)));
                for line in finder.complaints() {
                    self.complaint(&line, "", said);
                }
            }
            Shape::RawHits(finder) => finder.push(bytes, |hit| said.push_back(Said::Hit(hit))),
        }
    }

    /// Takes the next piece of standard error.
    pub fn stderr(&mut self, bytes: &[u8], said: &mut VecDeque<Said>) {
        let mut lines = core::mem::take(&mut self.err);
        lines.push(bytes, |line| self.err_line(line, said));
        self.err = lines;
    }

    /// Both streams have ended.
    #[must_use]
    pub fn finish(mut self, said: &mut VecDeque<Said>) -> Findings {
        let (mut out, mut err) = (core::mem::take(&mut self.out), core::mem::take(&mut self.err));
        out.finish(|line| self.out_line(line, said));
        err.finish(|line| self.err_line(line, said));
        match core::mem::replace(&mut self.shape, Shape::Lines) {
            Shape::Document(document) => self.document(&document),
            Shape::Array(elements) => self.found.listing_is_whole = elements.is_whole(),
            Shape::Lines if self.kind == StepKind::Walk => {
                self.found.listing_is_whole = self.tree.has_begun;
                self.found.walked = core::mem::take(&mut self.tree.snapshot);
                self.found.picked = self.tree.picked();
                self.found.drawn = self.tree.draw.take().map(Draw::finish).unwrap_or_default();
                self.found.tree_fault = self.tree.fault.take().map(|path| self.show(&path));
            }
            Shape::Raw(names) => self.found.raw_names = names.finish(),
            Shape::Hits(mut finder) => {
                if let Some(line) = finder.last_complaint() {
                    self.complaint(&line, "", said);
                }
                (self.found.listing_is_whole, self.found.searched) = finder.finish();
            }
            Shape::RawHits(finder) => {
                self.found.searched.hits = finder.finish(|hit| said.push_back(Said::Hit(hit)));
            }
            Shape::Lines => self.found.differences.raw_ends(),
            Shape::Objects(..) => {}
        }
        self.found
    }

    fn out_lines(&mut self, bytes: &[u8], said: &mut VecDeque<Said>) {
        let mut lines = core::mem::take(&mut self.out);
        lines.push(bytes, |line| self.out_line(line, said));
        self.out = lines;
    }

    fn out_objects(&mut self, bytes: &[u8], said: &mut VecDeque<Said>) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let begins = core::mem::replace(&mut self.at_line_start, piece.ends_with(b"\n"));
            let Shape::Objects(elements, is_object) = &mut self.shape else { return };
            if begins {
                *is_object = piece.first() == Some(&b'{');
            }
            if !*is_object {
                self.out_lines(piece, said);
                continue;
            }
            let mut message = None;
            elements.push(piece, |element| message = serde_json::from_slice::<Value>(element.json).ok());
            if self.at_line_start && !elements.is_between() {
                // A line that is no JSON must not swallow the next one.
                *elements = Elements::new(1, NODE_MEMBERS);
            }
            if let Some(message) = message {
                self.message(&message, LogStream::Out, said);
            }
        }
    }

    fn out_line(&mut self, line: &[u8], said: &mut VecDeque<Said>) {
        let is_taken = match self.kind {
            StepKind::Diff => self.found.differences.line(line),
            StepKind::Sizes => {
                self.found.differences.size(line);
                true
            }
            StepKind::RawDiff => {
                self.found.differences.raw_line(line);
                true
            }
            _ => false,
        };
        if is_taken {
            return;
        }
        if self.kind == StepKind::Walk && line.first() == Some(&b'{') && self.tree.line(line) {
            return;
        }
        if line.first() == Some(&b'{')
            && let Ok(value) = serde_json::from_slice::<Value>(line)
        {
            self.message(&value, LogStream::Out, said);
            return;
        }
        let line = String::from_utf8_lossy(line);
        let text = log_line(&line);
        if text.is_empty() {
            return;
        }
        match self.kind {
            StepKind::ListLocks => {
                let is_id = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
                if is_id && self.found.locks.len() < MAX_LOCKS {
                    self.found.locks.push(text);
                }
                return;
            }
            StepKind::Prune => {
                text::prune_line(&text, self.found.prune.get_or_insert_default());
                self.found.says_remaining |= text.starts_with("remaining:");
            }
            StepKind::Unlock => self.found.unlocked = self.found.unlocked.or(text::unlocked(&text)),
            StepKind::Check if text == "no errors were found" => self.found.check_errors = Some(0),
            _ => {}
        }
        match text::progress(&text) {
            Some((permille, current)) => {
                let current = self.mask.hide(&current).into_owned();
                said.push_back(Said::Progress(JobProgress { permille, current, ..JobProgress::default() }));
            }
            None => said.push_back(Said::Log(LogStream::Out, self.show(&line))),
        }
    }

    fn err_line(&mut self, line: &[u8], said: &mut VecDeque<Said>) {
        if line.first() == Some(&b'{')
            && let Ok(value) = serde_json::from_slice::<Value>(line)
        {
            self.message(&value, LogStream::Err, said);
            return;
        }
        self.complaint(&String::from_utf8_lossy(line), "", said);
    }

    /// A line of plain text on standard error, or one from inside a message there; `item` is the file that it is about,
    /// where that is known.
    fn complaint(&mut self, line: &str, item: &str, said: &mut VecDeque<Said>) {
        // What it says is read first; only what is shown of it goes through the mask.
        let text = log_line(line);
        if text.is_empty() {
            return;
        }
        let shown = self.show(line);
        let own = own_words(line, &self.names, item);
        let symptoms = Symptoms::of(&own);
        // 0.14 has no words but these.
        let not_restored = text
            .strip_prefix("ignoring error for ")
            .filter(|_| self.kind == StepKind::Restore)
            .and_then(|rest| rest.split_once(": "))
            .map(|(path, reason)| (self.mask.hide(path), self.as_called_outside(self.mask.hide(reason))));
        let found = &mut self.found;
        found.symptoms = found.symptoms.and(symptoms);
        if found.holder.is_none() {
            found.holder = text::holder(&own);
        }
        if self.kind == StepKind::Snapshots && symptoms.has(Symptom::Ignored) {
            found.left_out = found.left_out.saturating_add(1);
        }
        if matches!(self.kind, StepKind::Choose | StepKind::Find) && symptoms.has(Symptom::Ignored) {
            found.ignored = found.ignored.saturating_add(1);
        }
        if let Some((path, reason)) = not_restored {
            found.failures.add(&path, &reason);
        }
        if let Some(path) = text.strip_suffix(" does not exist, skipping")
            && found.missing.len() < MAX_MISSING
        {
            found.missing.push(self.mask.hide(path).into_owned());
        }
        if self.kind == StepKind::Check && text::is_check_error(&text) {
            found.check_errors = Some(found.check_errors.unwrap_or(0).saturating_add(1));
        }
        if !text::is_stack_trace(line) {
            if found.last_words.len() == LAST_WORDS {
                found.last_words.pop_front();
            }
            found.last_words.push_back(Words { text: lines::clean(&shown, MAX_WORD_BYTES), symptoms });
        }
        said.push_back(Said::Log(LogStream::Err, shown));
    }

    /// A JSON line of either stream.
    fn message(&mut self, value: &Value, stream: LogStream, said: &mut VecDeque<Said>) {
        let word = string(value, "message_type");
        let word = if word.is_empty() { string(value, "struct_type") } else { word };
        match (word, self.kind) {
            ("status", StepKind::Backup) if value.get("action").is_none() => {
                let progress = self.backup_progress(value);
                said.push_back(Said::Progress(progress));
            }
            ("status", StepKind::Restore) if value.get("action").is_none() => {
                self.found.restored.bytes = number(value, "bytes_restored");
                self.found.restored.items = number(value, "files_restored");
                self.progress = JobProgress {
                    files_done: number(value, "files_restored")
                        .saturating_add(number(value, "files_skipped")),
                    bytes_done: number(value, "bytes_restored")
                        .saturating_add(number(value, "bytes_skipped")),
                    bytes_read: self.progress.bytes_read,
                    ..self.progress(value)
                };
                said.push_back(Said::Progress(self.progress.clone()));
            }
            ("verbose_status", StepKind::Restore) => {
                let restored = &mut self.found.restored;
                let path = string(value, "item");
                let is_unchanged = match string(value, "action") {
                    "updated" => false,
                    "unchanged" => true,
                    "restored" => match self.fates.and_then(|fates| fates.get(path)) {
                        Some(Fate::Replaced) => false,
                        Some(Fate::Alike) => true,
                        Some(Fate::Stays) => {
                            self.found.failures.add(path, FOLDER_STAYS);
                            return;
                        }
                        None if self.fates.is_some_and(|fates| fates.was_file(path)) => false,
                        None => {
                            restored.made += 1;
                            restored.sized += u64::from(number(value, "size") > 0);
                            return;
                        }
                    },
                    "deleted" => {
                        restored.deleted += 1;
                        let deleted = restored.deleted;
                        // Whoever tries it first wants to know just this.
                        let stream = if self.is_dry { LogStream::Agent } else { LogStream::Out };
                        if deleted <= MOST_NAMED_DELETED {
                            said.push_back(Said::Log(stream, self.show(&format!("delete: {path}"))));
                        } else if deleted == MOST_NAMED_DELETED + 1 {
                            said.push_back(Said::Log(stream, NOT_NAMED.to_owned()));
                        }
                        return;
                    }
                    _ => return,
                };
                let count = if is_unchanged { &mut restored.unchanged } else { &mut restored.replaced };
                *count += 1;
                if let Some(fates) = self.fates {
                    self.found.counted.take(fates, path, is_unchanged);
                }
            }
            ("status" | "verbose_status", _) => {}
            ("summary", StepKind::Backup) => self.found.backup = Some(self.backup_done(value)),
            ("summary", StepKind::Restore) => {
                let restored = &mut self.found.restored;
                restored.bytes = number(value, "bytes_restored");
                restored.items = number(value, "files_restored");
                restored.is_whole = true;
            }
            ("summary", StepKind::Check) => self.found.check_errors = Some(number_u32(value, "num_errors")),
            ("initialized", _) => self.found.repo = string(value, "id").parse().ok(),
            ("exit_error", _) => {
                let message = string(value, "message");
                self.found.exit_error = message.lines().next().map(|line| {
                    let symptoms = Symptoms::of(&own_words(line, &self.names, ""));
                    Words { text: self.show(line), symptoms }
                });
                for line in message.lines() {
                    self.complaint(line, "", said);
                }
            }
            ("error", StepKind::Check) => {
                for line in string(value, "message").lines() {
                    self.complaint(line, "", said);
                }
            }
            ("error", _) => self.file_error(value, said),
            ("snapshot", StepKind::Ls | StepKind::Stat) => self.found.listing_is_whole = true,
            ("node", StepKind::Stat) => {
                if string(value, "path") == self.folder {
                    self.found.folder = Some(kind_of(value));
                    self.found.file_bytes = number(value, "size");
                }
            }
            ("node", StepKind::Ls) => {
                let name = string(value, "name");
                if string(value, "path") == self.folder {
                    self.found.folder = Some(kind_of(value));
                }
                let folder = string(value, "path").rsplit_once('/').map(|(folder, _)| folder);
                if name.is_empty() || folder != Some(self.folder.as_str()) {
                    return;
                }
                if self.found.entries >= MAX_ENTRIES || name.len() > MAX_NAME_BYTES {
                    self.found.left_out = self.found.left_out.saturating_add(1);
                    return;
                }
                self.found.entries += 1;
                let entry = entry(name, value);
                if name.contains(STAND_IN) {
                    self.found.odd.push(entry);
                } else {
                    said.push_back(Said::Entry(entry));
                }
            }
            ("", StepKind::Stats) if value.get("total_size").is_some() => {
                let blobs = number(value, "total_blob_count");
                self.found.stats = Some(StatsDone { total_bytes: number(value, "total_size"), blobs });
            }
            _ => said.push_back(Said::Log(stream, self.show(&value.to_string()))),
        }
    }

    /// A file or folder that could not be read (or written, by a restore).
    fn file_error(&mut self, value: &Value, said: &mut VecDeque<Said>) {
        let (error, item) = (value.get("error").unwrap_or(&Value::Null), string(value, "item"));
        let reason = match (string(error, "message"), error.get("Err").and_then(Value::as_i64)) {
            ("", Some(number)) => i32::try_from(number)
                .map_or(String::new(), |number| std::io::Error::from_raw_os_error(number).to_string()),
            ("", None) => String::new(),
            (message, _) => message.to_owned(),
        };
        let line = match (reason.is_empty(), reason.contains(item)) {
            (true, _) => format!("{item}: could not be read"),
            (false, true) => reason,
            (false, false) => format!("{item}: {reason}"),
        };
        if self.kind == StepKind::Restore {
            let (item, reason) = (self.mask.hide(item), self.as_called_outside(self.mask.hide(&line)));
            let reason =
                reason.strip_prefix(&*item).map_or(&*reason, |rest| rest.trim_start_matches([':', ' ']));
            self.found.failures.add(&item, &log_line(reason));
        }
        // The scan meets the same files once more.
        if string(value, "during") != "scan" {
            self.found.file_errors = self.found.file_errors.saturating_add(1);
            if self.found.unread.len() < MAX_SOURCE_FINDINGS && item.len() <= MAX_VALUE_BYTES {
                self.found.unread.push(self.mask.hide(item).into_owned());
            }
            self.complaint(&line, item, said);
        }
    }

    fn progress(&self, value: &Value) -> JobProgress {
        let done = value.get("percent_done").and_then(Value::as_f64).unwrap_or(0.0).clamp(0.0, 1.0);
        let left =
            value.get("seconds_remaining").and_then(Value::as_u64).filter(|&left| left < MAX_LEFT_SECS);
        let files = value.get("current_files").and_then(Value::as_array);
        let current = files.and_then(|files| files.first()).and_then(Value::as_str).unwrap_or_default();
        JobProgress {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
            permille: (done * 1000.0) as u16,
            files_total: number(value, "total_files"),
            bytes_total: number(value, "total_bytes"),
            left_secs: left.and_then(|left| u32::try_from(left).ok()),
            current: lines::clean(&self.mask.hide(current), MAX_CURRENT_BYTES),
            ..JobProgress::default()
        }
    }

    fn backup_progress(&mut self, value: &Value) -> JobProgress {
        self.errors_so_far = self.errors_so_far.max(number_u32(value, "error_count"));
        JobProgress {
            files_done: number(value, "files_done"),
            bytes_done: number(value, "bytes_done"),
            errors: self.errors_so_far.max(self.found.file_errors),
            ..self.progress(value)
        }
    }

    fn backup_done(&self, value: &Value) -> BackupDone {
        let is_dry = value.get("dry_run").and_then(Value::as_bool).unwrap_or(false);
        BackupDone {
            // A dry run names a snapshot that does not exist.
            snapshot: if is_dry { String::new() } else { hex(string(value, "snapshot_id")) },
            files_new: number(value, "files_new"),
            files_changed: number(value, "files_changed"),
            files_unmodified: number(value, "files_unmodified"),
            total_files: number(value, "total_files_processed"),
            total_bytes: number(value, "total_bytes_processed"),
            added_bytes: number(value, "data_added"),
            added_packed_bytes: value.get("data_added_packed").and_then(Value::as_u64),
            errors: self.found.file_errors,
            findings: Vec::new(),
            findings_left_out: 0,
        }
    }

    fn document(&mut self, document: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(document) else { return };
        if self.kind == StepKind::Config {
            self.found.repo = string(&value, "id").parse().ok();
            self.found.repo_version = u8::try_from(number(&value, "version")).ok();
        } else if let Some(since) = instant::parse(string(&value, "time")) {
            self.found.lock = Some(LockFound {
                since,
                exclusive: value.get("exclusive").and_then(Value::as_bool).unwrap_or(false),
                hostname: lines::clean(string(&value, "hostname"), 255),
                username: lines::clean(string(&value, "username"), 255),
                pid: number_u32(&value, "pid"),
            });
        }
    }

    fn show(&self, text: &str) -> String {
        log_line(&self.as_called_outside(self.mask.hide(text)))
    }

    /// What a restore calls by the folder that it was started in, as it is called in the snapshot.
    fn as_called_outside<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        if !text.contains(STARTED_IN) || !self.target.starts_with(STARTED_IN) {
            return text;
        }
        Cow::Owned(text.replace(&self.target, "").replace(STARTED_IN, ""))
    }
}

fn string<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn number_u32(value: &Value, key: &str) -> u32 {
    u32::try_from(number(value, key)).unwrap_or(u32::MAX)
}

/// An id as restic writes it; anything else is none.
fn hex(id: &str) -> String {
    if id.len() <= 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) { id.to_owned() } else { String::new() }
}

fn kind_of(value: &Value) -> EntryKind {
    match string(value, "type") {
        "dir" => EntryKind::Folder,
        "file" => EntryKind::File,
        "symlink" => EntryKind::Symlink,
        _ => EntryKind::Other,
    }
}

fn entry(name: &str, value: &Value) -> EntrySeen {
    EntrySeen {
        name: name.as_bytes().to_vec(),
        kind: kind_of(value),
        bytes: number(value, "size"),
        modified_at: instant::parse(string(value, "mtime")),
    }
}

/// Host names with tags.
type Pairs = [(String, String)];

/// A snapshot that is among those that are asked for, and the place of its host name and tag among theirs.
fn member(json: &[u8], members: &[(String, String)], others: &[(String, String)]) -> Option<(Member, usize)> {
    if members.is_empty() {
        return None;
    }
    let value: Value = serde_json::from_slice(json).ok()?;
    let tags = value.get("tags").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let has = |tag: &str| {
        if tag.is_empty() { tags.is_empty() } else { tags.iter().any(|has| has.as_str() == Some(tag)) }
    };
    let hostname = string(&value, "hostname");
    let place = members.iter().position(|(host, tag)| host == hostname && has(tag))?;
    let id = hex(string(&value, "id"));
    let taken = instant::moment(string(&value, "time"))?;
    let original = hex(string(&value, "original"));
    let extent = value.get("summary").filter(|summary| summary.is_object()).map(|summary| Extent {
        files: number(summary, "total_files_processed"),
        bytes: number(summary, "total_bytes_processed"),
    });
    let has_place = |(host, tag): &(String, String)| host == hostname && has(tag);
    let is_shared = others.iter().any(has_place);
    let member = Member { taken, id, original, extent, is_shared, ..Member::default() };
    (member.id.len() == 64).then_some((member, place))
}

/// When a snapshot that is among those that are asked for was taken, and its id.
fn chosen(json: &[u8], members: &[(String, String)]) -> Option<(Timestamp, String)> {
    if !members.is_empty() {
        return member(json, members, &[]).map(|(member, _)| (member.taken.at, member.id));
    }
    let value: Value = serde_json::from_slice(json).ok()?;
    let id = hex(string(&value, "id"));
    (id.len() == 64).then(|| (instant::parse(string(&value, "time")).unwrap_or_default(), id))
}

/// The paths of a snapshot, as they are.
fn paths_of(json: &[u8]) -> Vec<String> {
    let value: Option<Value> = serde_json::from_slice(json).ok();
    let paths = value.as_ref().and_then(|value| value.get("paths")).and_then(Value::as_array);
    paths.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn take_member(
    json: &[u8],
    (members, others): (&Pairs, &Pairs),
    by_rules: &mut ByRules,
    list: fn(&mut ByRules) -> &mut Vec<Member>,
) {
    // What is somebody else's is passed over.
    let Some((mut member, _)) = member(json, members, others) else { return };
    let has_room = by_rules.left_out == 0 && by_rules.keep.len() + by_rules.remove.len() < MOST_SNAPSHOTS;
    match has_room.then(|| by_rules.place_of(paths_of(json))).flatten() {
        Some(place) => {
            member.paths = place;
            list(by_rules).push(member);
        }
        None => by_rules.left_out = by_rules.left_out.saturating_add(1),
    }
}

fn snapshot(element: &Element<'_>, mask: &Mask) -> Option<SnapshotSeen> {
    let value: Value = serde_json::from_slice(element.json).ok()?;
    let id = hex(string(&value, "id"));
    if id.is_empty() {
        return None;
    }
    let size = value.get("summary").filter(|summary| summary.is_object()).map(|summary| SnapshotSize {
        files: number(summary, "total_files_processed"),
        bytes: number(summary, "total_bytes_processed"),
        added_packed_bytes: number(summary, "data_added_packed"),
    });
    let (tags, tags_left_out) = list(&value, "tags", mask);
    let (paths, paths_left_out) = list(&value, "paths", mask);
    let no_room = |place: usize| element.left_out.get(place).copied().unwrap_or_default();
    Some(SnapshotSeen {
        id,
        // A clock that stood before 1970 when it was taken is no reason to hide it.
        time: instant::parse(string(&value, "time")).unwrap_or_default(),
        hostname: lines::clean(string(&value, "hostname"), 255),
        tags,
        paths,
        size,
        tags_left_out: tags_left_out.saturating_add(no_room(SNAPSHOT_TAGS)),
        paths_left_out: paths_left_out.saturating_add(no_room(SNAPSHOT_PATHS)),
    })
}

/// The items that there is room for, and how many there is none for.
fn list(value: &Value, key: &str, mask: &Mask) -> (Vec<String>, u32) {
    let items = value.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (mut shown, mut used, mut left_out) = (Vec::new(), 0, 0_u32);
    for item in items.iter().filter_map(Value::as_str) {
        let item = lines::clean(&mask.hide(item), MAX_VALUE_BYTES);
        if used + item.len() > MAX_LIST_BYTES {
            left_out = left_out.saturating_add(1);
            continue;
        }
        used += item.len();
        shown.push(item);
    }
    (shown, left_out)
}
