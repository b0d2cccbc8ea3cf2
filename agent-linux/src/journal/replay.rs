//! Reading a journal file back: pure, and never fails. What is damaged is skipped, and said.

use super::frame::{self, Entry, Sort, Start};
use agent_core::{Body, Change, Record, Saved};
use schema::{Epoch, JobId, Report, ReportSeq, Stream, Timestamp};
use std::collections::{BTreeMap, HashMap};

/// How many report numbers and epochs are skipped after an unclean end, because they may have been used from memory
/// while the disk took nothing.
pub const SKIPPED_REPORTS: u64 = 16;
const SKIPPED_EPOCHS: u64 = 1024;

/// How a journal file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Ended by a clean stop.
    Clean,
    /// Ended somewhere, perhaps with a torn last frame; nothing that had been synced is missing.
    Ended,
    /// Something in it can't be read.
    Damaged,
}

/// What a journal file says.
#[derive(Debug)]
pub struct Replay {
    /// The state that `agent-core` starts from.
    pub saved: Saved,
    /// The reports that are not acked, by number.
    pub reports: BTreeMap<ReportSeq, (Sort, Vec<u8>)>,
    /// The specifications of held jobs.
    pub specs: HashMap<JobId, Vec<u8>>,
    /// What is known of the repository.
    pub figures: Vec<u8>,
    /// How the file was found: whole, cut short or damaged.
    pub condition: Condition,
}

/// What a journal begins with that has nothing to go on from.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// Its name, drawn at random.
    pub stream: Stream,
    /// Higher than any epoch before: seconds since 1970 are, for nobody connects more than once a second.
    pub epoch: Epoch,
}

/// Reads a whole file; `fresh` is for the journal that replaces a damaged one.
#[must_use]
pub fn replay(bytes: &[u8], fresh: Fresh) -> Replay {
    let mut replay = Replay {
        saved: Saved { epoch: fresh.epoch, ..Saved::new(fresh.stream) },
        reports: BTreeMap::new(),
        specs: HashMap::new(),
        figures: Vec::new(),
        condition: Condition::Ended,
    };
    let mut rest = bytes;
    let mut has_head = false;
    let mut closed = false;
    let mut doubtful = false;
    let mut damaged = false;
    while !rest.is_empty() {
        match frame::read(rest) {
            Start::Frame(entry, length) => {
                // Something readable behind something unreadable: that was no torn end.
                damaged |= doubtful;
                closed = entry == Entry::Closed;
                if let Entry::Head(_) = entry {
                    has_head = true;
                }
                replay.add(entry);
                rest = &rest[length..];
            }
            Start::Damaged(length) => {
                doubtful = true;
                rest = &rest[length..];
            }
            Start::Cut | Start::Nothing => {
                let next = (1..rest.len()).find(|&at| matches!(frame::read(&rest[at..]), Start::Frame(..)));
                doubtful |= next.is_some() || frame::read(rest) == Start::Nothing;
                rest = next.map_or(&[], |at| &rest[at..]);
            }
        }
    }
    replay.condition = match (damaged || !has_head, closed && !doubtful) {
        (true, _) => Condition::Damaged,
        (false, true) => Condition::Clean,
        (false, false) => Condition::Ended,
    };
    replay.settle(doubtful || damaged, fresh);
    replay
}

impl Replay {
    fn add(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Head(saved) => self.saved = *saved,
            Entry::Record { record, spec, report } => self.add_record(&record, spec, report),
            Entry::Report { seq, sort, report } => {
                self.reports.insert(seq, (sort, report.to_vec()));
            }
            Entry::Spec { job, spec } => {
                self.specs.insert(job, spec.to_vec());
            }
            Entry::Figures(bytes) => self.figures = bytes.to_vec(),
            Entry::Closed => {}
        }
    }

    fn add_record(&mut self, record: &Record, spec: &[u8], report: &[u8]) {
        self.saved.apply(record);
        match record.change {
            Change::Queued(ticket) => {
                self.specs.insert(ticket.job, spec.to_vec());
            }
            Change::Acked(through) => self.reports = self.reports.split_off(&through.next()),
            _ => {}
        }
        if let Some((seq, body)) = record.report {
            self.reports.insert(seq, (sort_of(&body), report.to_vec()));
        }
    }

    /// Makes what was read consistent, whatever is missing.
    fn settle(&mut self, is_doubtful: bool, fresh: Fresh) {
        let specs = &mut self.specs;
        specs.retain(|job, _| self.saved.held.iter().any(|entry| entry.ticket.job == *job));
        for entry in &mut self.saved.held {
            // The line that says "started" may be the one that can't be read: never run it again. Without a
            // specification it can't be run either.
            if is_doubtful || !specs.contains_key(&entry.ticket.job) {
                entry.started_at = entry.started_at.or(Some(Timestamp(0)));
            }
        }
        self.reports = self.reports.split_off(&self.saved.acked.next());
        if self.condition == Condition::Damaged {
            self.renumber(fresh.stream);
            return;
        }
        if self.condition == Condition::Ended {
            self.saved.epoch = self.saved.epoch.plus(SKIPPED_EPOCHS);
            self.saved.last_report = self.saved.last_report.plus(SKIPPED_REPORTS);
        }
        for seq in self.saved.acked.next().through(self.saved.last_report) {
            self.reports.entry(seq).or_insert((Sort::Dropped, Vec::new()));
        }
    }

    /// What is there goes on under a new name, with new numbers.
    pub fn renumber(&mut self, stream: Stream) {
        let old = std::mem::take(&mut self.reports);
        let mut number = HashMap::new();
        let mut last = ReportSeq::ZERO;
        for (seq, (sort, bytes)) in old {
            let Ok(report) = schema::decode::<Report<'_>>(&bytes) else { continue };
            let new = last.next();
            let mut buffer = vec![0; bytes.len() + 16];
            let Ok(encoded) = schema::encode(&Report { stream, seq: new, ..report }, &mut buffer) else {
                continue;
            };
            self.reports.insert(new, (sort, encoded.to_vec()));
            number.insert(seq, new);
            last = new;
        }
        self.saved.stream = stream;
        self.saved.acked = ReportSeq::ZERO;
        self.saved.last_report = last;
        self.saved.epoch = self.saved.epoch.plus(SKIPPED_EPOCHS);
        for known in &mut self.saved.known {
            known.ended_by = known.ended_by.map(|seq| number.get(&seq).copied().unwrap_or(ReportSeq::ZERO));
        }
    }
}

/// Whether a report may be given up.
#[must_use]
pub const fn sort_of(body: &Body) -> Sort {
    match body {
        Body::Chunk { expendable: true, .. } => Sort::Expendable,
        _ => Sort::Result,
    }
}
