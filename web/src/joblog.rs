//! A job's log: what is stored, and what came live and is not stored yet, as one run of numbered lines.

use crate::format::{clock, many};
use crate::visible::{Breaks, visible};
use fleet::record::{Job, LogChunk};
use fleet::{Fleet, FleetState, StoreError};
use schema::Timestamp;
use serde::Serialize;
use std::fmt::Write as _;

/// One line of a job's log, as a page shows it.
pub(crate) struct LogLine {
    pub(crate) number: u32,
    pub(crate) after_ms: u32,
    stream: u8,
    pub(crate) text: String,
}

impl LogLine {
    /// `agent`, `out` or `err`.
    pub(crate) fn stream_word(&self) -> &'static str {
        match self.stream {
            0 => "agent",
            1 => "out",
            _ => "err",
        }
    }
}

/// A line as a page shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LineView {
    pub(crate) time: String,
    pub(crate) class: &'static str,
    pub(crate) text: String,
    /// Lines before it that were not kept, in words.
    pub(crate) cut: Option<String>,
}

/// A line is one line, whatever the host put into it.
fn shown(line: &LogLine) -> String {
    visible(&line.text, Breaks::Shown).into_owned()
}

/// The lines that there are.
pub(crate) struct JobLog {
    lines: Vec<LogLine>,
    start: Timestamp,
    pub(crate) total_lines: u32,
    pub(crate) left_out: u32,
}

impl JobLog {
    /// Reads the log of a job. The snapshot must be older than the look at the live lines, or the same.
    pub(crate) fn read(fleet: &Fleet, state: &FleetState, job: &Job) -> Result<Self, StoreError> {
        // Live first: a line that becomes durable in between is then seen at least once.
        let live = if job.state.is_ended() { Vec::new() } else { fleet.live_log(job.id) };
        let stored = state.job_log(job.id)?;
        Ok(Self::join(
            stored.chunks.into_iter().chain(live),
            job.started_at.or(job.accepted_at).unwrap_or(job.created_at),
            stored.total_lines,
            stored.left_out,
        ))
    }

    fn join(
        chunks: impl IntoIterator<Item = LogChunk>,
        start: Timestamp,
        total_lines: u32,
        left_out: u32,
    ) -> Self {
        let mut lines: Vec<LogLine> = chunks
            .into_iter()
            .flat_map(|chunk| {
                let first = chunk.first_line;
                chunk.lines.into_iter().zip(0_u32..).map(move |((after_ms, stream, text), at)| LogLine {
                    number: first.saturating_add(at),
                    after_ms,
                    stream,
                    text,
                })
            })
            .collect();
        // Stable: of two lines with one number the stored one stays.
        lines.sort_by_key(|line| line.number);
        lines.dedup_by_key(|line| line.number);
        let seen = lines.last().map_or(0, |line| line.number.saturating_add(1));
        Self { lines, start, total_lines: total_lines.max(seen), left_out }
    }

    /// The lines with this number and higher ones.
    pub(crate) fn from(&self, after: u32) -> impl Iterator<Item = &LogLine> {
        self.lines.iter().filter(move |line| line.number >= after)
    }

    /// The number of the next line that will come.
    pub(crate) fn next_number(&self) -> u32 {
        self.lines.last().map_or(0, |line| line.number.saturating_add(1))
    }

    fn time(&self, line: &LogLine) -> String {
        clock(self.start.plus_ms(u64::from(line.after_ms)))
    }

    /// The lines for a page, from this number on; of a search those that hold it, in whatever letters.
    pub(crate) fn view(&self, after: u32, find: Option<&str>) -> Vec<LineView> {
        let mut expected = after;
        let find = find.map(str::to_lowercase);
        self.from(after)
            .filter(|line| find.as_ref().is_none_or(|find| line.text.to_lowercase().contains(find)))
            .map(|line| {
                let missing = line.number.saturating_sub(expected);
                expected = line.number.saturating_add(1);
                let class = match line.stream {
                    2 if line.text.to_ascii_lowercase().contains("fatal") => "log-bad",
                    2 => "log-warn",
                    _ => "",
                };
                let cut = (missing > 0 && find.is_none() && (after == 0 || missing < u32::MAX))
                    .then(|| format!("{} left out here", many(u64::from(missing), "line")));
                LineView { time: self.time(line), class, text: shown(line), cut }
            })
            .collect()
    }

    /// The lines after this number as plain text.
    pub(crate) fn text(&self, after: u32) -> String {
        let mut out = String::new();
        let mut expected = after;
        for line in self.from(after) {
            let missing = line.number.saturating_sub(expected);
            if missing > 0 {
                let _ = writeln!(out, "--- {} left out ---", many(u64::from(missing), "line"));
            }
            expected = line.number.saturating_add(1);
            let _ = writeln!(out, "{} {:5} {}", self.time(line), line.stream_word(), shown(line));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(first_line: u32, texts: &[&str]) -> LogChunk {
        LogChunk { first_line, lines: texts.iter().map(|text| (0, 1, (*text).to_owned())).collect() }
    }

    #[test]
    fn a_line_stays_one_line_and_hides_nothing() {
        let forged = "saved\r\n06:41:12 agent all is well \u{202e}\u{1b}[2J";
        let log = JobLog::join([chunk(0, &[forged])], Timestamp(0), 1, 0);
        let shown = "saved\\u000d\\u000a06:41:12 agent all is well \\u202e\\u001b[2J";
        assert_eq!(log.text(0), format!("00:00:00 out   {shown}\n"));
        assert_eq!(log.view(0, None)[0].text, shown);
    }

    #[test]
    fn stored_and_live_lines_are_one_run_and_a_hole_is_shown() {
        let chunks = [chunk(0, &["a", "b"]), chunk(10, &["c", "d"]), chunk(11, &["live d", "live e"])];
        let log = JobLog::join(chunks, Timestamp(0), 12, 8);
        let texts: Vec<&str> = log.from(0).map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["a", "b", "c", "d", "live e"]);
        assert_eq!((log.total_lines, log.next_number()), (13, 13));
        let view = log.view(0, None);
        assert_eq!(view[2].cut.as_deref(), Some("8 lines left out here"));
        assert!(view.iter().filter(|line| line.cut.is_some()).count() == 1);
        assert!(log.text(0).contains("--- 8 lines left out ---\n00:00:00 out   c\n"));
        assert_eq!(log.view(11, None).len(), 2);
        let found = log.view(0, Some("LIVE"));
        assert_eq!((found.len(), found[0].text.as_str(), found[0].cut.is_none()), (1, "live e", true));
    }
}
