//! The core's reports in the words of the wire.

use crate::encoding;
use crate::offline_plan::DueBackup;
use crate::restic::{EntrySeen, HitSeen, JobSummary, SnapshotSeen};
use agent_core::{Body, Cause, Record, StopCause};
use schema::{
    Class, CommandSeq, GroupKey, Items, JobId, JobKind, LogLine, LogStream, Outcome, Report, ReportBody,
    ReportSeq, Stream, Summary, Timestamp,
    limits::{MAX_LOG_LINE_BYTES, MAX_MESSAGE_BYTES, MAX_VALUE_BYTES},
    report::Finished,
};
use serde::{Serialize, Serializer, ser::Error as _};

/// One line of a job's log, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Milliseconds after the job's start.
    pub after_ms: u32,
    /// Who wrote it.
    pub stream: LogStream,
    /// Text of the line.
    pub text: String,
}

/// A piece of log or of a listing.
#[derive(Debug)]
pub enum Chunk {
    /// Lines of a job's log.
    Log {
        /// The number of the first one.
        first_line: u32,
        /// The log lines.
        lines: Vec<Line>,
    },
    /// Snapshots of a listing.
    Snapshots {
        /// The number of the first one.
        first: u32,
        /// The snapshots of this piece.
        snapshots: Vec<SnapshotSeen>,
    },
    /// Entries of a folder.
    Entries {
        /// The number of the first one.
        first: u32,
        /// The entries of this piece.
        entries: Vec<EntrySeen>,
    },
    /// What a search by name has found.
    Hits {
        /// The number of the first one.
        first: u32,
        /// The hits of this piece.
        hits: Vec<HitSeen>,
    },
}

/// What is known of a job's end beyond its outcome.
#[derive(Debug, Default)]
pub struct Details {
    /// restic's exit code.
    pub exit_code: Option<i32>,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// The last words.
    pub message: String,
    /// How many log lines there were.
    pub log_lines: u32,
    /// What the job did, in numbers; which ones depends on its kind.
    pub summary: JobSummary,
}

/// What goes into a report besides what the core says.
#[derive(Debug, Default)]
pub struct Content<'a> {
    /// The piece to send; set for [`Body::Chunk`].
    pub chunk: Option<&'a Chunk>,
    /// How the job ended; set for [`Body::Finished`].
    pub details: Option<&'a Details>,
    /// Of what kind it was, and what source group it was to save; set for [`Body::Finished`].
    pub ended: Option<(JobKind, Option<GroupKey>)>,
    /// For a refusal or a trouble.
    pub detail: &'a str,
    /// The due backup; set for [`Body::Own`].
    pub due: Option<&'a DueBackup>,
}

/// The report of a record, encoded; `None` when it has none, or the chunk it names is not at hand.
#[must_use]
pub fn encode(stream: Stream, record: &Record, content: &Content<'_>) -> Option<Vec<u8>> {
    let (seq, body) = record.report?;
    let frame = |body: ReportBody<'_>| {
        encoding::encode(&Report { stream, seq, taken: record.taken, at: record.at, body })
    };
    let simple = match body {
        Body::Accepted { job, behind } => ReportBody::Accepted { job, behind },
        Body::Own { job } => {
            let DueBackup { schedule, group, due_at } = content.due?;
            ReportBody::Own { job, schedule, group, due_at: *due_at }
        }
        Body::Refused { job, reason } => ReportBody::Refused { job, reason, detail: content.detail },
        Body::Started { job } => ReportBody::Started { job },
        Body::ConfigApplied { slot, revision, refused } => {
            ReportBody::ConfigApplied { slot, revision, refused }
        }
        Body::NotUnderstood { seq } => ReportBody::NotUnderstood { seq },
        Body::CancelMissed { job } => ReportBody::CancelMissed { job },
        Body::CredentialsHeld { job } => ReportBody::CredentialsHeld { job },
        Body::Trouble(kind) => ReportBody::Trouble { kind, detail: content.detail },
        Body::Chunk { job, .. } => return chunk_body(job, content.chunk?, frame),
        Body::Finished { job, cause } => {
            let fallback = Details::default();
            let details = content.details.unwrap_or(&fallback);
            let mut lists = vec![0; if details.summary.has_list() { MAX_MESSAGE_BYTES / 2 } else { 0 }];
            let ended = finished(job, cause, record.at, details, &mut lists);
            let finished = Finished {
                kind: content.ended.map(|(kind, _)| kind),
                group: content.ended.and_then(|(_, group)| group),
                ..ended
            };
            return frame(ReportBody::Finished(finished))
                .or_else(|| frame(ReportBody::Finished(Finished { summary: Summary::None, ..finished })));
        }
    };
    frame(simple)
}

/// What stands under the number of a report that was given up. It says nothing of commands: what has been taken by
/// now may be answered under later numbers only, and would pass for never answered.
#[must_use]
pub fn encode_dropped(stream: Stream, seq: ReportSeq, at: Timestamp) -> Option<Vec<u8>> {
    let mut buffer = [0; 128];
    let report = Report { stream, seq, taken: CommandSeq::ZERO, at, body: ReportBody::Dropped };
    schema::encode(&report, &mut buffer).ok().map(|used| used.to_vec())
}

fn finished<'a>(
    job: JobId,
    cause: Cause,
    at: Timestamp,
    details: &'a Details,
    lists: &'a mut [u8],
) -> Finished<'a> {
    let (outcome, class, message) = match cause {
        Cause::Ran { outcome: Outcome::Cancelled, class, stop: Some(StopCause::Shutdown) } => (
            Outcome::Cancelled,
            class,
            "the agent was told to end while this job ran: for an update, a restart, or because the machine went down; a \
             backup that was due is tried again by itself, any other job is not",
        ),
        Cause::Ran { outcome, class, stop: _ } => (outcome, class, details.message.as_str()),
        Cause::CancelledInQueue => {
            (Outcome::Cancelled, Some(Class::Cancelled), "cancelled before it was started")
        }
        Cause::Restarted => (
            Outcome::Failed,
            Some(Class::AgentRestarted),
            "the agent was ended while this job ran, or just before its start; a backup that was due is tried again by \
             itself, any other job is not",
        ),
    };
    Finished {
        job,
        outcome,
        class,
        exit_code: details.exit_code,
        started_at: details.started_at,
        finished_at: at,
        message: cut(message, MAX_VALUE_BYTES),
        log_lines: details.log_lines,
        summary: details.summary.to_wire(lists),
        kind: None,
        group: None,
    }
}

fn chunk_body(
    job: JobId,
    chunk: &Chunk,
    frame: impl Fn(ReportBody<'_>) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    encoding::in_room(|list| match chunk {
        Chunk::Log { first_line, lines } => {
            let lines = write_lines(lines, list)?;
            frame(ReportBody::Log { job, first_line: *first_line, lines })
        }
        Chunk::Snapshots { first, snapshots } => {
            let snapshots = Items::write(snapshots.iter().map(WireSnapshot), list).ok()?;
            frame(ReportBody::Snapshots { job, first: *first, snapshots })
        }
        Chunk::Entries { first, entries } => {
            let entries = Items::write(entries.iter().map(EntrySeen::to_wire), list).ok()?;
            frame(ReportBody::Entries { job, first: *first, entries })
        }
        Chunk::Hits { first, hits } => {
            let hits = Items::write(hits.iter().map(HitSeen::to_wire), list).ok()?;
            frame(ReportBody::Found { job, first: *first, hits })
        }
    })
}

/// Log lines as a list of the wire.
pub fn write_lines<'b>(lines: &[Line], buffer: &'b mut [u8]) -> Option<Items<'b, LogLine<'b>>> {
    let wire = lines.iter().map(|line| LogLine {
        after_ms: line.after_ms,
        stream: line.stream,
        text: cut(&line.text, MAX_LOG_LINE_BYTES),
    });
    Items::write(wire, buffer).ok()
}

/// The most bytes that the length of a text takes.
const LENGTH_BYTES: usize = 10;

/// Writes a snapshot in the form of the wire.
struct WireSnapshot<'a>(&'a SnapshotSeen);

impl Serialize for WireSnapshot<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = |texts: &[String]| vec![0; texts.iter().map(|text| text.len() + LENGTH_BYTES).sum()];
        let (mut tags, mut paths) = (bytes(&self.0.tags), bytes(&self.0.paths));
        let snapshot = self.0.to_wire(&mut tags, &mut paths).map_err(S::Error::custom)?;
        snapshot.serialize(serializer)
    }
}

/// How many of the snapshots, from the first on, fit into one report; at least 1.
#[must_use]
pub fn snapshots_that_fit(snapshots: &[SnapshotSeen]) -> usize {
    that_fit(snapshots.iter().map(WireSnapshot))
}

/// How many of the entries, from the first on, fit into one report; at least 1.
#[must_use]
pub fn entries_that_fit(entries: &[EntrySeen]) -> usize {
    that_fit(entries.iter().map(EntrySeen::to_wire))
}

/// How many of the hits, from the first on, fit into one report; at least 1.
#[must_use]
pub fn hits_that_fit(hits: &[HitSeen]) -> usize {
    that_fit(hits.iter().map(HitSeen::to_wire))
}

fn that_fit(pieces: impl Iterator<Item = impl Serialize>) -> usize {
    let mut left = MAX_MESSAGE_BYTES - 256;
    let fits = pieces.take_while(|piece| {
        let bytes = encoding::encode(piece).map_or(usize::MAX, |bytes| bytes.len());
        let is_room = bytes <= left;
        left = left.saturating_sub(bytes);
        is_room
    });
    fits.count().max(1)
}

/// The text, or as much of its beginning as `bytes` take.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
