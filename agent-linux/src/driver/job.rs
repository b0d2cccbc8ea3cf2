//! The jobs that run: starting them, what they say, and their end.

use super::{
    Driver,
    listing::Listed,
    log::{Log, Piece},
    running::{JobStep, RunningJob},
    work::{Work, not_run},
};
use crate::{
    clock, encoding, logger,
    reports::{self, Chunk, Details, Line},
    restic::{self, Control, JobEnd, JobEvent, JobProgress, Places},
};
use schema::limits::BULK_WINDOW;
use schema::{Class, HostTopic, JobId, JobKind, Live, LogStream, Slot};
use tokio::sync::mpsc;

const EVENTS: usize = 64;
/// More than the core's stops: of credits, no more are on their way than chunks.
const CONTROLS: usize = 4 + 2 * BULK_WINDOW as usize;
/// The slots that a job of this kind may use, the better one first.
const fn slots_for(kind: JobKind) -> &'static [Slot] {
    match kind {
        // Never with the everyday slot: through an append-only server a prune makes the repository grow.
        JobKind::Prune => &[Slot::Admin],
        JobKind::Forget => &[Slot::Admin, Slot::Repo],
        _ => &[Slot::Repo],
    }
}

impl Driver {
    pub(super) fn start(&mut self, job: JobId) {
        let ticket = self.core.saved().held.iter().find(|entry| entry.ticket.job == job);
        let (kind, for_other) =
            ticket.map_or((JobKind::Probe, false), |entry| (entry.ticket.kind, entry.ticket.for_other));
        logger::info(format_args!("job {job} starts: {}", kind.as_str()));
        self.note_backup(job, None);
        let is_download = kind == JobKind::Download;
        let slots = if for_other { &[Slot::Repo] } else { slots_for(kind) };
        let found = slots.iter().find_map(|&slot| {
            let found =
                if for_other { self.slots.held_for(job, slot) } else { self.slots.for_job(job, slot) };
            Some((slot, found?))
        });
        let (slot, credentials) = found.map_or((None, None), |(slot, found)| (Some(slot), Some(found)));
        let everyday = if slot == Some(Slot::Admin) { self.slots.for_job(job, Slot::Repo) } else { None };
        let work = Work {
            run: self.journal.spec(job).unwrap_or_default(),
            credentials,
            everyday,
            policy: self.options.policy.clone(),
            places: self.places(),
            known: restic::CarriedOver {
                // It takes no lock, and leaves to the job beside it what is known of earlier ones.
                unclean: !is_download && std::mem::take(&mut self.died_in_job),
                walked: if is_download { None } else { self.walked.take() },
                ..self.known_to_job()
            },
        };
        let (event_sender, events) = mpsc::channel(EVENTS);
        let (control, controls) = mpsc::channel(CONTROLS);
        let task = tokio::spawn(work.run(event_sender, controls));
        let place = if is_download { &mut self.download } else { &mut self.job };
        *place = Some(RunningJob {
            job,
            log: Log::default(),
            events,
            control,
            task,
            progress: JobProgress::default(),
            progress_at: clock::wall(),
            snapshots: Listed::default(),
            entries: Listed::default(),
            hits: Listed::default(),
            given_up: 0,
            transfer: None,
            is_download,
        });
    }

    fn known_to_job(&self) -> restic::CarriedOver {
        restic::CarriedOver {
            restic: self.restic.clone(),
            figures: self.known.figures.clone(),
            unclean: false,
            walked: None,
        }
    }

    /// The running job of this id.
    pub(super) fn running(&self, job: JobId) -> Option<&RunningJob> {
        self.job.iter().chain(&self.download).find(|running| running.job == job)
    }

    fn running_mut(&mut self, job: JobId) -> Option<&mut RunningJob> {
        self.job.iter_mut().chain(&mut self.download).find(|running| running.job == job)
    }

    pub(super) fn control(&mut self, job: JobId, kill: bool) {
        let control = if kill { Control::Kill } else { Control::Interrupt };
        logger::info(format_args!("job {job}: {control:?}"));
        if let Some(running) = self.running(job) {
            // There is room for every control that the core sends; a task that has ended needs none.
            let _ = running.control.try_send(control);
        }
    }

    pub(super) fn handle_job(&mut self, (job, step): (JobId, JobStep)) {
        match step {
            JobStep::Event(event) => self.handle_event(job, event),
            JobStep::Ended(end) => {
                let end = end.unwrap_or_else(|error| {
                    logger::error(format_args!("job {job}: {error}"));
                    let known = restic::CarriedOver { unclean: true, ..self.known_to_job() };
                    not_run(
                        known,
                        Class::Other,
                        "a fault in the agent ended this job: see its log on the machine",
                    )
                });
                self.handle_end(job, end);
            }
        }
    }

    fn handle_event(&mut self, job: JobId, event: JobEvent) {
        let now = clock::now();
        let Some(running) = self.running_mut(job) else { return };
        match event {
            JobEvent::Log { after_ms, stream, text } => {
                running.log.add(Line { after_ms, stream, text }, now.mono);
                self.flush_log(job, false);
            }
            JobEvent::Progress(progress) => {
                running.progress = progress;
                running.progress_at = now.wall;
                self.core.handle_progress(job, now);
            }
            JobEvent::Snapshot(seen) => {
                running.snapshots.push(seen);
                self.flush_listed(job, false);
            }
            JobEvent::Begin(bytes) => self.begin_transfer(bytes),
            JobEvent::Chunk(chunk) => self.send_chunk(&chunk),
            JobEvent::Whole => self.end_transfer(true),
            JobEvent::Entry(seen) => {
                running.entries.push(seen);
                self.flush_listed(job, false);
            }
            JobEvent::Hit(seen) => {
                running.hits.push(seen);
                self.flush_listed(job, false);
            }
        }
    }

    /// In this order: the rest of the log, the listing, the figures, the end.
    fn handle_end(&mut self, job: JobId, end: JobEnd) {
        let JobEnd {
            outcome, class, message, exit_code, started_at, summary, known, figures_changed, ..
        } = end;
        if !message.is_empty()
            && let Some(running) = self.running_mut(job)
        {
            let after_ms = started_at.map_or(0, |at| clock::wall().ms_since(at));
            let after_ms = u32::try_from(after_ms).unwrap_or(u32::MAX);
            for text in message.lines() {
                let line = Line { after_ms, stream: LogStream::Agent, text: text.to_owned() };
                running.log.add(line, clock::mono());
            }
        }
        let is_download = self.running(job).is_some_and(|running| running.is_download);
        if is_download {
            self.end_transfer(false);
        }
        self.flush_log(job, true);
        self.flush_listed(job, true);
        let running = self.running(job);
        let summary = summary.without(running.map_or(0, |running| running.given_up));
        let log_lines = running.map_or(0, |running| running.log.count());
        if known.restic.is_some() {
            self.restic = known.restic;
        }
        if !is_download {
            self.died_in_job |= known.unclean;
            self.walked = known.walked;
        }
        // A job beside a download may know better by now than that did at its beginning.
        if figures_changed && !is_download {
            self.known.revision = self.known.revision.next();
            self.known.at = clock::wall();
            self.known.job = Some(job);
            self.known.figures = known.figures;
            match postcard::to_extend(&self.known, Vec::new()) {
                Ok(bytes) => self.journal.set_figures(bytes, self.core.saved()),
                Err(error) => logger::error(format_args!("figures can't be kept: {error}")),
            }
            self.publish_stats();
        }
        *(if is_download { &mut self.download } else { &mut self.job }) = None;
        self.note_backup(job, Some(outcome));
        self.details.push((job, Details { exit_code, started_at, message, log_lines, summary }));
        self.core.handle_ended(job, outcome, class, clock::now());
    }

    /// Sends what is due of the logs.
    pub(super) fn flush_logs(&mut self) {
        let jobs = [&self.job, &self.download].map(|running| running.as_ref().map(|running| running.job));
        for job in jobs.into_iter().flatten() {
            self.flush_log(job, false);
        }
    }

    /// Sends what is due of the log; all of it with `all`.
    fn flush_log(&mut self, job: JobId, all: bool) {
        let now = clock::now();
        while let Some(running) = self.running_mut(job)
            && let Some(Piece { first_line, lines }) = running.log.take_live(all, now.mono)
        {
            if self.core.is_connected() {
                encoding::in_room(|room| {
                    let lines = reports::write_lines(&lines, room)?;
                    self.publish(HostTopic::Live, &Live::Log { job, first_line, lines });
                    Some(())
                });
            }
        }
        while let Some(running) = self.running_mut(job)
            && let Some(Piece { first_line, lines }) = running.log.take_chunk(all, now.mono)
        {
            self.write_chunk(job, Chunk::Log { first_line, lines }, true);
        }
    }

    /// Sends what fills a report of what was listed; all of it with `all`.
    fn flush_listed(&mut self, job: JobId, all: bool) {
        while let Some(running) = self.running_mut(job)
            && let Some((first, snapshots)) = running.snapshots.take(reports::snapshots_that_fit, all)
        {
            let count = snapshots.len();
            self.write_listed(job, Chunk::Snapshots { first, snapshots }, count);
        }
        while let Some(running) = self.running_mut(job)
            && let Some((first, entries)) = running.entries.take(reports::entries_that_fit, all)
        {
            let count = entries.len();
            self.write_listed(job, Chunk::Entries { first, entries }, count);
        }
        while let Some(running) = self.running_mut(job)
            && let Some((first, hits)) = running.hits.take(reports::hits_that_fit, all)
        {
            let count = hits.len();
            self.write_listed(job, Chunk::Hits { first, hits }, count);
        }
    }

    /// Writes a piece of a listing down, or counts what is in it as left out: a long listing while the server is away
    /// has to leave room for results.
    fn write_listed(&mut self, job: JobId, chunk: Chunk, count: usize) {
        let written_before = self.core.saved().last_report;
        if self.journal.has_room_for_listing() {
            self.write_chunk(job, chunk, false);
        }
        if self.core.saved().last_report == written_before
            && let Some(running) = self.running_mut(job)
        {
            running.given_up = running.given_up.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// Whether the job beside which a download runs may say more. A long listing waits, and restic with it, until the
    /// server has taken what it was sent; not when there is nobody to wait for.
    pub(super) fn hears_job(&self) -> bool {
        let waits = |job: &RunningJob| {
            job.lists()
                && self.core.is_connected()
                && !self.core.is_stopping(job.job)
                && self.journal.is_half_full()
        };
        !self.job.as_ref().is_some_and(waits)
    }

    fn write_chunk(&mut self, job: JobId, chunk: Chunk, expendable: bool) {
        self.carry_out();
        self.chunk = Some(chunk);
        if self.core.handle_chunk(job, expendable, clock::now()).is_err() {
            logger::error(format_args!("a piece of the log of {job} was given up"));
        }
        self.carry_out();
        self.chunk = None;
    }

    fn places(&self) -> Places {
        let places = Places::of(
            &self.state,
            self.state.subfolder("cache"),
            self.state.subfolder("tmp"),
            self.options.restic.clone(),
        );
        match &self.options.program {
            Some(program) => Places { program: program.clone(), ..places },
            None => places,
        }
    }
}
