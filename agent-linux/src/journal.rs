//! The journal: one append-only file with all that the core must know after a restart, and every report that the
//! server has not acked.
//!
//! # Life of the file
//!
//! It begins with the sum of everything before. Each record is one frame, written and synced before the effects that
//! depend on it. When most of the file is of no use any more, what is left is written to a new file that takes the old
//! one's name. At start the file is read back ([`replay`](mod@replay)) and written anew: a torn end is cut off so; a
//! damaged file is kept under another name, what can still be read goes on under a new stream, and the server is told.
//!
//! # When space runs out
//!
//! The unacked content is bounded ([`MAX_LIVE_BYTES`]). Log chunks are given up first, oldest first; their numbers
//! are sent as [`schema::ReportBody::Dropped`]. Results are never given up: when nothing else is left, records that
//! would begin something new are refused, while those that end something have room in reserve.
//! When the disk takes nothing, up to [`SKIPPED_REPORTS`] reports are kept in memory and
//! written when it does again; after an unclean end that many numbers are skipped, so that no number is used twice.

mod earlier;
pub mod frame;
pub mod replay;

use crate::{
    logger,
    state_folder::{self, StateFolder},
};
use agent_core::{Body, Change, Record, Safety, Saved, Stored};
use frame::{Entry, Sort, Start};
use replay::{Condition, Fresh, Replay, SKIPPED_REPORTS, replay};
use schema::{Epoch, JobId, ReportSeq, Stream};
use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
};

/// The file's name in the state folder.
pub const FILE: &str = "journal";
const RESERVE_FILE: &str = "reserve";
const RESERVE_BYTES: u64 = 32 * 1024;
/// The most unacked content, in bytes.
pub const MAX_LIVE_BYTES: u64 = 4 * 1024 * 1024;
/// The part of it that only ends of jobs may use, in bytes.
pub const KEPT_FOR_RESULTS_BYTES: u64 = 256 * 1024;
/// The longest frame of a piece of a listing, in bytes.
const MAX_PIECE_BYTES: u64 = schema::limits::MAX_MESSAGE_BYTES as u64 + 1024;
const COMPACT_ABOVE_BYTES: u64 = 128 * 1024;

/// The journal of a state folder.
#[derive(Debug)]
pub struct Journal {
    state: StateFolder,
    max_live_bytes: u64,
    file: Option<File>,
    file_bytes: u64,
    live_bytes: u64,
    first: ReportSeq,
    reports: VecDeque<HeldReport>,
    specs: Vec<(JobId, Whereabouts)>,
    figures: Vec<u8>,
    unwritten: Unwritten,
}

/// What happened since the disk takes nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Unwritten {
    records: u64,
    reports: u64,
}

/// What a journal was opened with.
#[derive(Debug)]
pub struct OpenedJournal {
    /// The journal.
    pub journal: Journal,
    /// The state that `agent-core` starts from.
    pub saved: Saved,
    /// How the file was found.
    pub condition: Condition,
}

#[derive(Debug)]
struct HeldReport {
    sort: Sort,
    place: Whereabouts,
}

#[derive(Debug)]
enum Whereabouts {
    /// A whole frame in the file.
    File { at: u64, bytes: usize },
    /// Not on disk.
    Memory(Vec<u8>),
    /// Nowhere: given up.
    Gone,
}

impl Whereabouts {
    fn bytes(&self) -> u64 {
        match self {
            Self::File { bytes, .. } => *bytes as u64,
            Self::Memory(content) => content.len() as u64,
            Self::Gone => 0,
        }
    }
}

impl Journal {
    /// Opens the journal, or begins one. `fresh` is what a new one begins with.
    pub fn open(state: &StateFolder, fresh: Fresh) -> Result<OpenedJournal, state_folder::StateError> {
        Self::open_with(state, fresh, MAX_LIVE_BYTES)
    }

    /// The same with another bound.
    pub fn open_with(
        state: &StateFolder,
        fresh: Fresh,
        max_live_bytes: u64,
    ) -> Result<OpenedJournal, state_folder::StateError> {
        let found = state.read(FILE)?;
        let is_new = found.is_none();
        let mut replayed = replay(&found.unwrap_or_default(), fresh);
        if is_new {
            replayed.condition = Condition::Clean;
        }
        if replayed.condition == Condition::Damaged {
            match state.set_aside(FILE) {
                Ok(path) => {
                    logger::error(format_args!("the journal is damaged: set aside as {}", path.display()));
                }
                Err(error) => logger::error(format_args!("the journal is damaged, and stays: {error}")),
            }
        }
        let mut journal = Self::of(state, &replayed, max_live_bytes);
        if let Err(error) = journal.rewrite(&replayed.saved) {
            logger::error(format_args!("the journal can't be written: {error}"));
            // What is said now may be forgotten by the next start: under a name of its own no number is used twice.
            replayed.renumber(fresh.stream);
            replayed.saved.epoch = replayed.saved.epoch.max(fresh.epoch);
            journal = Self::of(state, &replayed, max_live_bytes);
        }
        Ok(OpenedJournal { journal, saved: replayed.saved, condition: replayed.condition })
    }

    /// What an agent that starts on this folder goes on from. Changes nothing in it.
    pub fn look(state: &StateFolder) -> Result<Replay, state_folder::StateError> {
        Ok(replay(&state.read(FILE)?.unwrap_or_default(), Fresh { stream: Stream(0), epoch: Epoch::ZERO }))
    }

    fn of(state: &StateFolder, replayed: &Replay, max_live_bytes: u64) -> Self {
        let kept = |(sort, bytes): &(Sort, Vec<u8>)| match sort {
            Sort::Dropped => HeldReport { sort: *sort, place: Whereabouts::Gone },
            _ => HeldReport { sort: *sort, place: Whereabouts::Memory(bytes.clone()) },
        };
        let spec = |(job, spec): (&JobId, &Vec<u8>)| (*job, Whereabouts::Memory(spec.clone()));
        Self {
            state: state.clone(),
            max_live_bytes,
            file: None,
            file_bytes: 0,
            live_bytes: 0,
            first: replayed.saved.acked.next(),
            reports: replayed.reports.values().map(kept).collect(),
            specs: replayed.specs.iter().map(spec).collect(),
            figures: replayed.figures.clone(),
            unwritten: Unwritten::default(),
        }
    }

    /// Whether everything is on disk.
    #[must_use]
    pub const fn is_on_disk(&self) -> bool {
        self.file.is_some() && self.unwritten.records == 0
    }

    /// Adds a record with the bytes that go with it; `saved` is the sum before it.
    pub fn append(&mut self, record: &Record, spec: &[u8], report: &[u8], saved: &Saved) -> Stored {
        if let Change::Acked(through) = record.change {
            self.free_through(through);
        }
        let mut frame = Vec::with_capacity(spec.len() + report.len() + 128);
        if !frame::write(&Entry::Record { record: *record, spec, report }, &mut frame)
            || !self.make_room(frame.len() as u64, record)
        {
            return Stored::Not;
        }
        let stored = match self.write(&frame, record.safety, saved) {
            Ok(at) => {
                self.index(record, Some((at, frame.len())), spec, report);
                Stored::OnDisk
            }
            Err(error) => {
                logger::error(format_args!("the journal can't be written: {error}"));
                let has_room = record.report.is_none() || self.unwritten.reports < SKIPPED_REPORTS;
                if record.safety == Safety::Kept && has_room {
                    self.index(record, None, spec, report);
                    self.unwritten.records += 1;
                    self.unwritten.reports += u64::from(record.report.is_some());
                    Stored::InMemory
                } else {
                    Stored::Not
                }
            }
        };
        if let Change::Ended(job) = record.change
            && stored != Stored::Not
        {
            self.forget_spec(job);
        }
        stored
    }

    /// Writes the whole journal anew, also when all of it is on disk: nothing else proves that it can be written again.
    pub fn retry(&mut self, saved: &Saved) -> bool {
        self.rewrite(saved).is_ok()
    }

    /// Whether another piece of a listing leaves enough room for results.
    #[must_use]
    pub fn has_room_for_listing(&self) -> bool {
        self.kept_bytes() + MAX_PIECE_BYTES + KEPT_FOR_RESULTS_BYTES <= self.max_live_bytes
    }

    /// Whether half of the space is in use by what can't be given up.
    #[must_use]
    pub fn is_half_full(&self) -> bool {
        self.kept_bytes() > self.max_live_bytes / 2
    }

    /// Unacked content that can't be given up, in bytes.
    fn kept_bytes(&self) -> u64 {
        let expendable = self.reports.iter().filter(|kept| kept.sort == Sort::Expendable);
        self.live_bytes.saturating_sub(expendable.map(|kept| kept.place.bytes()).sum())
    }

    /// An unacked report, encoded; `None` when it was given up.
    #[must_use]
    pub fn report(&self, seq: ReportSeq) -> Option<Vec<u8>> {
        let after_first = (seq >= self.first).then(|| seq.since(self.first))?;
        let index = usize::try_from(after_first).ok()?;
        let kept = self.reports.get(index)?;
        self.load(&kept.place, |entry| match entry {
            Entry::Record { report, .. } | Entry::Report { report, .. } => Some(report.to_vec()),
            _ => None,
        })
    }

    /// The specification of a held job.
    #[must_use]
    pub fn spec(&self, job: JobId) -> Option<Vec<u8>> {
        let (_, place) = self.specs.iter().find(|(held, _)| *held == job)?;
        self.load(place, |entry| match entry {
            Entry::Record { spec, .. } | Entry::Spec { spec, .. } => Some(spec.to_vec()),
            _ => None,
        })
    }

    /// What is known of the repository.
    #[must_use]
    pub fn figures(&self) -> &[u8] {
        &self.figures
    }

    /// Replaces what is known of the repository; synced with the next record.
    pub fn set_figures(&mut self, figures: Vec<u8>, saved: &Saved) {
        let mut frame = Vec::new();
        if frame::write(&Entry::Figures(&figures), &mut frame)
            && let Err(error) = self.write(&frame, Safety::Lazy, saved)
        {
            logger::warn(format_args!("figures are kept in memory: {error}"));
        }
        self.figures = figures;
    }

    /// Marks a clean end.
    pub fn close(mut self, saved: &Saved) {
        if !self.is_on_disk() && self.rewrite(saved).is_err() {
            return;
        }
        let mut frame = Vec::new();
        if frame::write(&Entry::Closed, &mut frame)
            && let Err(error) = self.write(&frame, Safety::OnDisk, saved)
        {
            logger::warn(format_args!("the journal could not be closed: {error}"));
        }
    }

    fn load(&self, place: &Whereabouts, take: impl Fn(Entry<'_>) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        match place {
            Whereabouts::Memory(bytes) => Some(bytes.clone()),
            Whereabouts::Gone => None,
            Whereabouts::File { at, bytes } => {
                let mut frame = vec![0; *bytes];
                if let Err(error) = self.file.as_ref()?.read_exact_at(&mut frame, *at) {
                    logger::error(format_args!("the journal can't be read: {error}"));
                    return None;
                }
                match frame::read(&frame) {
                    Start::Frame(entry, _) => take(entry),
                    _ => {
                        logger::error(format_args!("a line of the journal can't be read any more"));
                        None
                    }
                }
            }
        }
    }

    fn index(&mut self, record: &Record, place: Option<(u64, usize)>, spec: &[u8], report: &[u8]) {
        let place_of = |content: &[u8]| match place {
            Some((at, bytes)) => Whereabouts::File { at, bytes },
            None => Whereabouts::Memory(content.to_vec()),
        };
        if let Change::Queued(ticket) = record.change {
            let place = place_of(spec);
            self.live_bytes += place.bytes();
            self.specs.push((ticket.job, place));
        }
        if let Some((_, body)) = record.report {
            let place = place_of(report);
            self.live_bytes += place.bytes();
            self.reports.push_back(HeldReport { sort: replay::sort_of(&body), place });
        }
    }

    fn free_through(&mut self, through: ReportSeq) {
        while self.first <= through
            && let Some(kept) = self.reports.pop_front()
        {
            self.live_bytes = self.live_bytes.saturating_sub(kept.place.bytes());
            self.first = self.first.next();
        }
    }

    fn forget_spec(&mut self, job: JobId) {
        if let Some(index) = self.specs.iter().position(|(held, _)| *held == job) {
            let (_, place) = self.specs.swap_remove(index);
            self.live_bytes = self.live_bytes.saturating_sub(place.bytes());
        }
    }

    /// Gives up log chunks until `bytes` more fit; false when they don't.
    fn make_room(&mut self, bytes: u64, record: &Record) -> bool {
        if record.report.is_none() {
            return true;
        }
        let begins_something = matches!(
            record.report,
            Some((_, Body::Accepted { .. } | Body::Started { .. } | Body::Chunk { expendable: true, .. }))
        );
        let reserve = if begins_something { KEPT_FOR_RESULTS_BYTES.min(self.max_live_bytes / 4) } else { 0 };
        let bound = self.max_live_bytes - reserve;
        let mut dropped = 0;
        for kept in &mut self.reports {
            if self.live_bytes + bytes <= bound {
                break;
            }
            if kept.sort == Sort::Expendable {
                self.live_bytes = self.live_bytes.saturating_sub(kept.place.bytes());
                *kept = HeldReport { sort: Sort::Dropped, place: Whereabouts::Gone };
                dropped += 1;
            }
        }
        if dropped > 0 {
            logger::warn(format_args!("the journal is full: {dropped} pieces of job logs were given up"));
        }
        self.live_bytes + bytes <= bound
    }

    fn write(&mut self, frame: &[u8], safety: Safety, saved: &Saved) -> io::Result<u64> {
        if self.unwritten.records > 0 {
            // The order of the file is the order of what happened.
            return Err(io::Error::other("earlier records are still kept in memory"));
        }
        if self.file.is_none() {
            self.rewrite(saved)?;
        } else if self.file_bytes > COMPACT_ABOVE_BYTES.max(2 * self.live_bytes)
            && let Err(error) = self.rewrite(saved)
        {
            // The old file may still take a line.
            logger::warn(format_args!("the journal can't be made smaller: {error}"));
        }
        self.write_once(frame, safety).or_else(|error| {
            if error.kind() != io::ErrorKind::StorageFull || safety != Safety::Kept {
                return Err(error);
            }
            self.state.remove(RESERVE_FILE).map_err(io::Error::other)?;
            self.write_once(frame, safety)
        })
    }

    fn write_once(&mut self, frame: &[u8], safety: Safety) -> io::Result<u64> {
        let Some(file) = &mut self.file else { return Err(io::Error::other("there is no journal file")) };
        let at = self.file_bytes;
        let mut result = file.write_all_at(frame, at);
        if result.is_ok() && safety != Safety::Lazy {
            result = file.sync_data();
        }
        match result {
            Ok(()) => {
                self.file_bytes += frame.len() as u64;
                Ok(at)
            }
            Err(error) => {
                // Whatever part of it is there must not be taken for a line.
                if file.set_len(at).and_then(|()| file.sync_data()).is_err() {
                    self.file = None;
                }
                Err(error)
            }
        }
    }

    /// Writes all that is of use into a new file.
    fn rewrite(&mut self, saved: &Saved) -> io::Result<()> {
        let mut content = Vec::new();
        let mut places = Vec::with_capacity(self.specs.len() + self.reports.len());
        let add = |entry: &Entry<'_>, content: &mut Vec<u8>| -> io::Result<Whereabouts> {
            let at = content.len();
            if frame::write(entry, content) {
                Ok(Whereabouts::File { at: at as u64, bytes: content.len() - at })
            } else {
                Err(io::Error::other("a line of the journal is too long"))
            }
        };
        add(&Entry::Head(Box::new(saved.clone())), &mut content)?;
        if !self.figures.is_empty() {
            add(&Entry::Figures(&self.figures), &mut content)?;
        }
        for (job, _) in &self.specs {
            let spec = self.spec(*job).unwrap_or_default();
            places.push(add(&Entry::Spec { job: *job, spec: &spec }, &mut content)?);
        }
        for (seq, kept) in self.first.through(ReportSeq(u64::MAX)).zip(&self.reports) {
            let report = self.report(seq);
            let sort = if report.is_some() { kept.sort } else { Sort::Dropped };
            let report = report.unwrap_or_default();
            places.push(add(&Entry::Report { seq, sort, report: &report }, &mut content)?);
        }
        let file = state_folder::replace(self.state.path(), FILE, |file| file.write_all(&content))?;
        self.file = Some(file);
        self.file_bytes = content.len() as u64;
        self.unwritten = Unwritten::default();
        let mut places = places.into_iter();
        for ((_, place), new) in self.specs.iter_mut().zip(places.by_ref()) {
            *place = new;
        }
        for (kept, new) in self.reports.iter_mut().zip(places) {
            if kept.sort != Sort::Dropped {
                kept.place = new;
            }
        }
        self.live_bytes = self.specs.iter().map(|(_, place)| place.bytes()).sum::<u64>()
            + self.reports.iter().map(|kept| kept.place.bytes()).sum::<u64>();
        self.keep_reserve();
        Ok(())
    }

    fn keep_reserve(&self) {
        let path = self.state.file(RESERVE_FILE);
        if path.exists() {
            return;
        }
        let made = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            // Real bytes: a hole would keep no room.
            .and_then(|mut file| {
                io::copy(&mut io::repeat(0x48).take(RESERVE_BYTES), &mut file)?;
                file.sync_all()
            });
        if made.is_err() {
            let _ = std::fs::remove_file(&path);
        }
    }
}
