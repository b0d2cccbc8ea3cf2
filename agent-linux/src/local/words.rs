//! Lines for people. What came from a snapshot is shown so that it can't steer a terminal.

use super::end::End;
use crate::{
    restic::{EntrySeen, FoundEntry, JobProgress, RestoreDone, SnapshotSeen, size_text},
    rfc3339::Instant,
};
use schema::{Timestamp, report::EntryKind};
use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Write as _},
    os::unix::ffi::OsStrExt as _,
};

/// Of a snapshot's id, in characters, in a list.
pub(super) const SHORT_ID: usize = 8;
/// The share of a job, in thousandths, from which on its rest is reckoned.
const TELLING: u64 = 20;

/// Prints a text. Who reads may go when they have seen enough, such as `head`: that is no error.
pub(super) fn print(text: &str) -> Result<(), End> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(End::unwritten(&error)),
        _ => Ok(()),
    }
}

/// Says a text on standard error, beside what is asked for.
pub(super) fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// What is not seen as itself: controls, ends of lines, and marks that turn the direction of text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
}

/// The text in one line, with all that is not seen as itself written as `\u001b`.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// The same of a text with lines of its own.
pub(super) fn lines(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

/// A name or path in one line, as it can be given again, see [`spelt`]: what is not seen as `\u001b`, bytes that are no UTF-8
/// as `\xfc`, a backslash as two.
pub(super) fn shown_path(path: &[u8]) -> String {
    let mut out = String::new();
    for chunk in path.utf8_chunks() {
        out.push_str(&shown(&chunk.valid().replace('\\', "\\\\")));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// What a person gives, with what is not seen in the place of its `\u001b`. Bytes and backslashes stay as they are written.
pub(super) fn spelt(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let digits = rest.strip_prefix("\\u").and_then(|behind| behind.get(..4));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let taken = match number.and_then(char::from_u32).filter(|c| is_hidden(*c)) {
            Some(c) => {
                out.push(c);
                6
            }
            None => {
                // Two stand for one, which spells nothing.
                let taken = if rest.starts_with("\\\\") { 2 } else { 1 };
                out.push_str(&rest[..taken]);
                taken
            }
        };
        rest = &rest[taken..];
    }
    out + rest
}

fn short(id: &str, length: usize) -> &str {
    id.get(..length).unwrap_or(id)
}

/// A snapshot in a line, with so many characters of its id.
pub(super) fn named(seen: &SnapshotSeen, length: usize) -> String {
    let (id, tags) = (short(&seen.id, length), seen.tags.join(","));
    let comma = if tags.is_empty() { "" } else { ", " };
    format!("{id} of {} ({}{comma}{})", Instant(seen.time), shown(&seen.hostname), shown(&tags))
}

/// Rows in columns, each as wide as its widest; the last is as wide as it is.
fn table(rows: &[[String; 6]]) -> String {
    let mut widths = [0; 6];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let [first @ .., last] = row;
        for (cell, width) in first.iter().zip(widths) {
            if width > 0 {
                let _ = write!(out, "{cell:<width$}  ");
            }
        }
        let _ = writeln!(out, "{last}");
    }
    out
}

/// The snapshots, newest first.
pub(super) fn snapshots(all: &[SnapshotSeen]) -> String {
    let head = ["ID", "TIME (UTC)", "HOST", "GROUP", "SIZE", "PATHS"].map(str::to_owned);
    let mut rows = vec![head];
    for seen in all {
        let paths: Vec<String> = seen.paths.iter().map(|path| shown_path(path.as_bytes())).collect();
        let more = match seen.paths_left_out {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        rows.push([
            short(&seen.id, SHORT_ID).to_owned(),
            Instant(seen.time).to_string(),
            shown(&seen.hostname),
            shown(&seen.tags.join(",")),
            seen.size.map_or("-".to_owned(), |size| size_text(size.bytes)),
            format!("{}{more}", paths.join(" ")),
        ]);
    }
    table(&rows)
}

/// What is in a folder of a snapshot.
pub(super) fn entries(seen: &SnapshotSeen, path: &[u8], all: &[EntrySeen]) -> String {
    let mut rows = Vec::new();
    for entry in all {
        let is_folder = entry.kind == EntryKind::Folder;
        rows.push([
            entry.kind.as_str().to_owned(),
            if entry.kind == EntryKind::File { size_text(entry.bytes) } else { "-".to_owned() },
            changed(entry.modified_at),
            String::new(),
            String::new(),
            format!("{}{}", shown_path(&entry.name), if is_folder { "/" } else { "" }),
        ]);
    }
    format!("{} in {}\n{}", shown_path(path), named(seen, SHORT_ID), table(&rows))
}

fn changed(at: Option<Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| Instant(at).to_string())
}

/// A version of what has a path: what stays the same from one snapshot to the next.
#[derive(Debug)]
pub(super) struct FoundVersion {
    pub(super) entry: FoundEntry,
    /// When the newest snapshot that holds it was taken.
    pub(super) time: Timestamp,
    /// The snapshots that hold it, newest first.
    pub(super) held_by: Vec<String>,
}

/// A path that was found, with its versions, newest first.
#[derive(Debug)]
pub(super) struct FoundPath {
    pub(super) path: Vec<u8>,
    pub(super) versions: Vec<FoundVersion>,
}

/// What a search finds, by path.
#[derive(Debug, Default)]
pub(super) struct Finds {
    /// In the order of their bytes.
    paths: Vec<FoundPath>,
}

impl Finds {
    /// Takes what was found in a snapshot; these come newest first.
    pub(super) fn add(&mut self, entry: FoundEntry, id: &str, time: Timestamp) {
        let at = match self.paths.binary_search_by(|known| known.path.cmp(&entry.path)) {
            Ok(at) => at,
            Err(at) => {
                self.paths.insert(at, FoundPath { path: entry.path.clone(), versions: Vec::new() });
                at
            }
        };
        let versions = &mut self.paths[at].versions;
        match versions.last_mut() {
            Some(last) if last.entry == entry => last.held_by.push(id.to_owned()),
            _ => versions.push(FoundVersion { entry, time, held_by: vec![id.to_owned()] }),
        }
    }

    pub(super) fn paths(&self) -> &[FoundPath] {
        &self.paths
    }
}

/// What was found, by path with its versions.
pub(super) fn found(paths: &[FoundPath], looked: u32) -> String {
    let mut out = String::new();
    for FoundPath { path, versions } in paths {
        let is_folder = versions.first().is_some_and(|version| version.entry.kind == EntryKind::Folder);
        let _ = writeln!(out, "{}{}", shown_path(path), if is_folder { "/" } else { "" });
        for FoundVersion { entry, time, held_by } in versions {
            let what = match entry.kind {
                EntryKind::File => size_text(entry.bytes),
                EntryKind::Folder => format!("{} files, {}", entry.files, size_text(entry.bytes)),
                other => other.as_str().to_owned(),
            };
            let more = match held_by.len() {
                0 | 1 => String::new(),
                count => format!(" and {} before it", count - 1),
            };
            let id = held_by.first().map_or("", |id| short(id, SHORT_ID));
            let (changed, time) = (changed(entry.modified_at), Instant(*time));
            let _ = writeln!(out, "  {what}, changed {changed}, in {id} of {time}{more}");
        }
    }
    let many = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let (paths, looked) = (many(paths.len() as u64, "path"), many(looked.into(), "snapshot"));
    let _ = writeln!(out, "{paths} in {looked}.");
    out
}

/// How long a job will still take, in seconds: as restic says, or as it went so far.
pub(super) fn left_secs(progress: &JobProgress, passed_ms: u64) -> Option<u64> {
    let done = u64::from(progress.permille);
    let reckoned = || (done >= TELLING).then(|| passed_ms / done * (1000 - done.min(1000)) / 1000);
    progress.left_secs.map(u64::from).or_else(reckoned)
}

/// How far a job is.
pub(super) fn progress(progress: &JobProgress, passed_ms: u64) -> String {
    let JobProgress { permille, files_done, files_total, bytes_done, bytes_total, bytes_read, .. } = progress;
    let left = match left_secs(progress, passed_ms) {
        None => String::new(),
        Some(left @ ..120) => format!(", {left} s left"),
        Some(left @ ..7200) => format!(", {} min left", left / 60),
        Some(left) => format!(", {} h left", left / 3600),
    };
    let fetched = match bytes_read {
        0 => String::new(),
        bytes => format!(", {} fetched", size_text(*bytes)),
    };
    format!(
        "{:3} %  {} of {}, {files_done} of {files_total} files and folders{fetched}{left}",
        permille / 10,
        size_text(*bytes_done),
        size_text(*bytes_total)
    )
}

/// What a restore has done, or would do.
pub(super) fn restored(done: &RestoreDone, dry_run: bool) -> String {
    let target = shown_path(done.target.as_os_str().as_bytes());
    let place = match target.as_str() {
        "/" => "where it was",
        target => target,
    };
    let mut out = match dry_run {
        true => format!("A restore would go to {place}:\n"),
        false => format!("Restored to {place}:\n"),
    };
    let about = if done.is_estimate { " (an estimate)" } else { "" };
    let _ = writeln!(out, "  written     {} {}", done.files, if done.files == 1 { "file" } else { "files" });
    let _ = writeln!(out, "  replaced    {}", done.replaced);
    let _ = writeln!(out, "  left alone  {}", done.skipped);
    let _ = writeln!(out, "  failed      {}", done.failed);
    let _ = writeln!(out, "  deleted     {}", done.deleted);
    let _ = writeln!(out, "  bytes       {}{about}", size_text(done.bytes));
    if let Some(free) = done.free_bytes.filter(|_| dry_run) {
        let _ = writeln!(out, "  free there  {}", size_text(free));
    }
    for (path, why) in &done.failures {
        let _ = writeln!(out, "  {}: {}", shown_path(path.as_bytes()), shown(why));
    }
    let named = done.failures.len() as u64;
    if done.failed > named {
        let _ = writeln!(out, "  and {} more", done.failed - named);
    }
    if done.verified {
        out.push_str(match done.skipped {
            0 => "All of it was read back and is right.\n",
            _ => "What was written was read back and is right; what was left alone was not looked into.\n",
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_steers_a_terminal() {
        let text = "a\u{1b}[31m\u{9b}b\n\u{202e}c\u{2028}\u{61c}";
        assert_eq!(shown(text), "a\\u001b[31m\\u009bb\\u000a\\u202ec\\u2028\\u061c");
        assert_eq!(lines("one\ntwo\u{7}"), "one\ntwo\\u0007");
        assert_eq!(shown("Grüße, 日本 👩‍👧"), "Grüße, 日本 👩‍👧");
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_of_a_name_is_what_it_can_be_asked_for_by(
            name in proptest::collection::vec(
                proptest::sample::select(&b"a\\ux01bfc8\x1b\n\x07\xfc\xe2\x80\xae*"[..]), 0..24
            ),
        ) {
            let seen = shown_path(&name);
            proptest::prop_assert!(!seen.chars().any(is_hidden));
            let back: Vec<u8> = schema::os_text::bytes_of(&spelt(&seen)).collect();
            proptest::prop_assert_eq!(back, name, "{}", seen);
        }
    }

    #[test]
    fn a_line_of_progress_says_how_far_and_how_long() {
        let seen = JobProgress {
            permille: 250,
            files_done: 3,
            files_total: 9,
            bytes_done: 1 << 20,
            bytes_total: 4 << 20,
            ..JobProgress::default()
        };
        let line = " 25 %  1.0 MiB of 4.0 MiB, 3 of 9 files and folders";
        assert_eq!(progress(&seen, 20_000), format!("{line}, 60 s left"));
        assert_eq!(progress(&seen, 600_000), format!("{line}, 30 min left"));
        let fetching = JobProgress { bytes_read: 3 << 20, ..seen.clone() };
        assert_eq!(progress(&fetching, 20_000), format!("{line}, 3.0 MiB fetched, 60 s left"));
        let early = JobProgress { permille: 19, ..seen.clone() };
        assert_eq!(left_secs(&early, 20_000), None);
        assert_eq!(left_secs(&JobProgress { left_secs: Some(7), ..early }, 20_000), Some(7));
    }

    #[test]
    fn of_what_was_left_alone_nobody_says_that_it_is_right() {
        let done = |skipped| RestoreDone { files: 3, skipped, verified: true, ..RestoreDone::default() };
        assert!(restored(&done(0), false).ends_with("\nAll of it was read back and is right.\n"));
        let said = restored(&done(1), false);
        assert!(
            said.ends_with("what was left alone was not looked into.\n") && !said.contains("All of it"),
            "{said}"
        );
    }

    #[test]
    fn what_stays_the_same_from_snapshot_to_snapshot_is_one_version() {
        let entry = |bytes| FoundEntry {
            path: b"/a".to_vec(),
            kind: EntryKind::File,
            bytes,
            files: 0,
            modified_at: Some(Timestamp(1000)),
        };
        let mut finds = Finds::default();
        for (time, bytes) in [(5_000, 5), (4_000, 7), (3_000, 7), (2_000, 5)] {
            finds.add(entry(bytes), &format!("{time:08}"), Timestamp(time));
        }
        assert_eq!(
            found(finds.paths(), 4),
            "/a\n  5 B, changed 1970-01-01T00:00:01Z, in 00005000 of 1970-01-01T00:00:05Z\n  \
             7 B, changed 1970-01-01T00:00:01Z, in 00004000 of 1970-01-01T00:00:04Z and 1 before it\n  \
             5 B, changed 1970-01-01T00:00:01Z, in 00002000 of 1970-01-01T00:00:02Z\n1 path in 4 snapshots.\n"
        );
    }
}
