//! The agent's disk: the journal as the agent program keeps it, in its effects.

use agent_core::{Body, Change, Record, Safety, Saved, Stored};
use schema::{Epoch, JobId, ReportSeq, Stream};
use std::collections::BTreeMap;

/// How many numbers are skipped after an unclean end.
const SKIPPED_REPORTS: u64 = 16;
const SKIPPED_EPOCHS: u64 = 1024;

/// A report as written; what was given up has no bytes.
struct Kept {
    bytes: Option<Vec<u8>>,
    /// Log lines of a job, which may be given up.
    lines: Option<(JobId, u32)>,
}

/// A record that the disk did not take.
struct Line {
    record: Record,
    bytes: Vec<u8>,
    lines: Option<(JobId, u32)>,
}

pub(crate) struct Journal {
    saved: Saved,
    reports: BTreeMap<ReportSeq, Kept>,
    is_closed: bool,
    memory: Vec<Line>,
    /// The disk takes nothing.
    pub(crate) fails: bool,
}

impl Journal {
    pub(crate) fn new(stream: Stream, epoch: Epoch) -> Self {
        Self {
            saved: Saved { epoch, ..Saved::new(stream) },
            reports: BTreeMap::new(),
            is_closed: true,
            memory: Vec::new(),
            fails: false,
        }
    }

    /// What a starting agent finds.
    pub(crate) fn open(&mut self) -> Saved {
        self.memory.clear();
        if !std::mem::replace(&mut self.is_closed, false) {
            self.saved.last_report = self.saved.last_report.plus(SKIPPED_REPORTS);
            self.saved.epoch = self.saved.epoch.plus(SKIPPED_EPOCHS);
        }
        self.saved.clone()
    }

    pub(crate) fn close(&mut self, saved: &Saved) {
        self.is_closed = self.retry(saved);
    }

    pub(crate) fn append(&mut self, record: &Record, bytes: Vec<u8>, lines: Option<(JobId, u32)>) -> Stored {
        let line = Line { record: *record, bytes, lines };
        if !self.fails && self.memory.is_empty() {
            self.saved.apply(record);
            self.index(line);
            return Stored::OnDisk;
        }
        let reports = self.memory.iter().filter(|line| line.record.report.is_some()).count() as u64;
        let has_room = record.report.is_none() || reports < SKIPPED_REPORTS;
        if record.safety == Safety::Kept && has_room {
            self.memory.push(line);
            Stored::InMemory
        } else {
            Stored::Not
        }
    }

    /// Writes everything anew, as the core has it; false while the disk fails.
    pub(crate) fn retry(&mut self, saved: &Saved) -> bool {
        if self.fails {
            return false;
        }
        if !self.memory.is_empty() {
            for line in std::mem::take(&mut self.memory) {
                self.index(line);
            }
            self.saved = saved.clone();
        }
        true
    }

    fn index(&mut self, line: Line) {
        if let Change::Acked(through) = line.record.change {
            self.reports = self.reports.split_off(&through.next());
        }
        if let Some((seq, _)) = line.record.report {
            self.reports.insert(seq, Kept { bytes: Some(line.bytes), lines: line.lines });
        }
    }

    pub(crate) fn report(&self, seq: ReportSeq) -> Option<Vec<u8>> {
        let in_memory = self.memory.iter().find(|line| line.record.report.is_some_and(|(at, _)| at == seq));
        match in_memory {
            Some(line) => Some(line.bytes.clone()),
            None => self.reports.get(&seq)?.bytes.clone(),
        }
    }

    /// Gives up one piece of a log that is not acked; returns whose it was and how many lines.
    pub(crate) fn give_up(&mut self, which: usize) -> Option<(JobId, u32)> {
        let acked = self.saved.acked;
        let mut pieces: Vec<&mut Kept> = self
            .reports
            .iter_mut()
            .filter(|(seq, kept)| **seq > acked && kept.lines.is_some() && kept.bytes.is_some())
            .map(|(_, kept)| kept)
            .collect();
        let count = pieces.len();
        let kept = pieces.get_mut(which.checked_rem(count)?)?;
        kept.bytes = None;
        kept.lines
    }

    /// Whether a job is written down as held.
    pub(crate) fn holds(&self, job: JobId) -> bool {
        self.saved.held.iter().any(|entry| entry.ticket.job == job)
    }

    /// Jobs whose end would be unknown if this journal were lost: those held, and those whose end is not acked.
    pub(crate) fn would_forget(&self) -> Vec<JobId> {
        let acked = self.saved.acked;
        let held = self.saved.held.iter().map(|entry| entry.ticket.job);
        let ended = self.saved.known.iter().filter(|known| known.ended_by.is_none_or(|seq| seq > acked));
        held.chain(ended.map(|known| known.job)).collect()
    }
}

/// Whether a report's content may be given up.
pub(crate) const fn is_expendable(body: &Body) -> bool {
    matches!(body, Body::Chunk { expendable: true, .. })
}
