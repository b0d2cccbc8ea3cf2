//! Lines for programs: one JSON object each, with its kind in `type`.

use super::{
    end::End,
    words::{self, FoundPath},
};
use crate::{
    restic::{EntrySeen, RestoreDone, SnapshotSeen},
    rfc3339::Instant,
};
use schema::Timestamp;
use serde_json::{Map, Value};
use std::os::unix::ffi::OsStrExt as _;

/// A line that is being put together.
pub(super) struct Line(Map<String, Value>);

impl Line {
    pub(super) fn of(kind: &str) -> Self {
        Self(Map::new()).text("type", kind)
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.0.insert(key.to_owned(), value);
        self
    }

    pub(super) fn text(self, key: &str, text: &str) -> Self {
        self.with(key, Value::String(text.to_owned()))
    }

    /// A text, unless it says nothing.
    pub(super) fn said(self, key: &str, text: &str) -> Self {
        if text.is_empty() { self } else { self.text(key, text) }
    }

    pub(super) fn number(self, key: &str, number: u64) -> Self {
        self.with(key, Value::Number(number.into()))
    }

    fn flag(self, key: &str, flag: bool) -> Self {
        self.with(key, Value::Bool(flag))
    }

    fn texts(self, key: &str, texts: Vec<String>) -> Self {
        self.with(key, Value::Array(texts.into_iter().map(Value::String).collect()))
    }

    fn lines(self, key: &str, lines: Vec<Self>) -> Self {
        let lines = lines.into_iter().map(|line| Value::Object(line.0)).collect();
        self.with(key, Value::Array(lines))
    }

    fn instant(self, key: &str, at: Option<Timestamp>) -> Self {
        match at {
            Some(at) => self.text(key, &Instant(at).to_string()),
            None => self,
        }
    }

    /// A part of another line.
    fn part() -> Self {
        Self(Map::new())
    }

    /// Writes it, with nothing in it that a terminal would take for more than text.
    pub(super) fn print(self) -> Result<(), End> {
        words::print(&format!("{}\n", words::shown(&Value::Object(self.0).to_string())))
    }
}

pub(super) fn snapshot(seen: &SnapshotSeen) -> Line {
    let line = Line::of("snapshot")
        .text("id", &seen.id)
        .instant("time", Some(seen.time))
        .text("host", &seen.hostname)
        .texts("tags", seen.tags.clone())
        .texts("paths", seen.paths.iter().map(|path| words::shown_path(path.as_bytes())).collect())
        .number("left_out", u64::from(seen.tags_left_out) + u64::from(seen.paths_left_out));
    match seen.size {
        Some(size) => line.number("files", size.files).number("bytes", size.bytes),
        None => line,
    }
}

pub(super) fn entry(seen: &EntrySeen) -> Line {
    Line::of("entry")
        .text("name", &words::shown_path(&seen.name))
        .text("kind", seen.kind.as_str())
        .number("bytes", seen.bytes)
        .instant("modified_at", seen.modified_at)
}

pub(super) fn found(path: &FoundPath) -> Line {
    let versions = path.versions.iter().map(|version| {
        let line = Line::part()
            .text("kind", version.entry.kind.as_str())
            .number("bytes", version.entry.bytes)
            .number("files", version.entry.files)
            .instant("modified_at", version.entry.modified_at)
            .instant("time", Some(version.time));
        line.texts("snapshots", version.held_by.clone())
    });
    Line::of("found").text("path", &words::shown_path(&path.path)).lines("versions", versions.collect())
}

pub(super) fn restored(done: &RestoreDone, dry_run: bool) -> Line {
    let failures = done.failures.iter().map(|(path, why)| {
        Line::part().text("path", &words::shown_path(path.as_bytes())).text("reason", why)
    });
    let line = Line::of(if dry_run { "plan" } else { "restored" })
        .text("target", &words::shown_path(done.target.as_os_str().as_bytes()))
        .number("files", done.files)
        .number("replaced", done.replaced)
        .number("skipped", done.skipped)
        .number("deleted", done.deleted)
        .number("failed", done.failed)
        .number("bytes", done.bytes)
        .flag("estimate", done.is_estimate)
        .flag("verified", done.verified)
        .lines("failures", failures.collect());
    match done.free_bytes {
        Some(free) => line.number("free_bytes", free),
        None => line,
    }
}
