//! The running job: starting it, what it says, and its end.

use super::{
    Driver,
    log::{Log, Piece},
};
use crate::{
    browse, clock, hook, logger, machine,
    policy::{Policy, PolicyAt, Sources, find_ionice, here},
    reports::{self, Chunk, Details, Line},
    restic::{
        self, CommandSource, Control, Credentials, EntrySeen, JobEnd, JobEvent, JobOrder, JobProgress,
        Places, SnapshotSeen,
    },
};
use schema::{
    Class, HostTopic, Items, ItemsFull, JobId, JobKind, JobSpec, Live, LogStream, OsText, Outcome, Progress,
    Run, Slot,
    job::{BackupSpec, COMMAND_SOURCE},
    limits::MAX_VALUE_BYTES,
};
use std::path::PathBuf;
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle},
};

const EVENTS: usize = 64;
const CONTROLS: usize = 4;
/// Why a prune is not run on a machine whose owner wants none.
const NO_ADMIN_SLOT: &str = "This machine's own policy refuses the admin credentials, so nothing can be deleted from it. To change that: admin_slot in its policy file, or --no-admin-slot on its command line.";

/// A job that runs in its task.
#[derive(Debug)]
pub(super) struct RunningJob {
    pub(super) job: JobId,
    pub(super) log: Log,
    events: mpsc::Receiver<JobEvent>,
    control: mpsc::Sender<Control>,
    task: JoinHandle<JobEnd>,
    progress: JobProgress,
    progress_at: schema::Timestamp,
    snapshots: Listed<SnapshotSeen>,
    entries: Listed<EntrySeen>,
    /// How many snapshots and entries there was no room for in the journal.
    given_up: u32,
}

/// What a job has listed and what of it has been sent.
#[derive(Debug)]
struct Listed<T> {
    waits: Vec<T>,
    /// It is worth looking whether a report is full when so many wait.
    look_at: usize,
    sent: u32,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { waits: Vec::new(), look_at: 1, sent: 0 }
    }
}

impl<T> Listed<T> {
    fn push(&mut self, item: T) {
        self.waits.push(item);
    }

    /// The next report's worth and the number of its first: when there is more than one takes, or with `all`.
    fn take(&mut self, that_fit: impl Fn(&[T]) -> usize, all: bool) -> Option<(u32, Vec<T>)> {
        let count = self.waits.len();
        if count == 0 || (count < self.look_at && !all) {
            return None;
        }
        let fits = that_fit(&self.waits);
        if fits == count && !all {
            // Measuring goes through all that waits: the longer it is, the rarer.
            self.look_at = count + count / 4 + 1;
            return None;
        }
        self.look_at = 1;
        let first = self.sent;
        self.sent = first.saturating_add(u32::try_from(fits).unwrap_or(u32::MAX));
        Some((first, self.waits.drain(..fits).collect()))
    }
}

/// What a running job brings.
#[derive(Debug)]
pub(super) enum JobStep {
    Event(JobEvent),
    Ended(Box<Result<JobEnd, JoinError>>),
}

impl RunningJob {
    /// What happens next; all events come before the end.
    pub(super) async fn step(&mut self) -> JobStep {
        match self.events.recv().await {
            Some(event) => JobStep::Event(event),
            None => JobStep::Ended(Box::new((&mut self.task).await)),
        }
    }

    /// Whether pieces of a listing have been sent.
    const fn lists(&self) -> bool {
        self.snapshots.sent > 0 || self.entries.sent > 0
    }

    /// The newest progress.
    pub(super) fn progress(&self) -> Progress<'_> {
        let seen = &self.progress;
        Progress {
            job: self.job,
            at: self.progress_at,
            permille: seen.permille,
            files_done: seen.files_done,
            files_total: seen.files_total,
            bytes_done: seen.bytes_done,
            bytes_total: seen.bytes_total,
            errors: seen.errors,
            left_secs: seen.left_secs,
            current: reports::cut(&seen.current, MAX_VALUE_BYTES),
        }
    }
}

/// The slots that a job of this kind may use, the better one first.
const fn slots_for(kind: JobKind) -> &'static [Slot] {
    match kind {
        // Never with the everyday slot: through an append-only server a prune makes the repository grow.
        JobKind::Prune => &[Slot::Admin],
        JobKind::Forget => &[Slot::Admin, Slot::Repo],
        _ => &[Slot::Repo],
    }
}

/// How long restic may say nothing before it is taken to hang. Backup, prune and check tell every second how far they
/// are, but for their first steps; what is silent until its end has a deadline by the server.
const fn silence_secs(kind: JobKind) -> u32 {
    match kind {
        JobKind::Backup | JobKind::Forget | JobKind::Prune | JobKind::Check => 6 * 3_600,
        _ => 0,
    }
}

/// All that a job's task owns.
struct Work {
    run: Vec<u8>,
    credentials: Option<Credentials>,
    everyday: Option<Credentials>,
    policy: PolicyAt,
    places: Places,
    known: restic::Known,
}

impl Work {
    async fn run(self, events: mpsc::Sender<JobEvent>, mut control: mpsc::Receiver<Control>) -> JobEnd {
        let Self { run, credentials, everyday, policy, places, known } = self;
        let Ok(run) = schema::decode::<Run<'_>>(&run) else {
            return not_run(
                known,
                Class::Other,
                "the job's specification can't be read back from the journal",
            );
        };
        let kind = run.spec.kind();
        let policy = match policy.load() {
            Ok(policy) => policy,
            Err(error) => return not_run(known, Class::Policy, &format!("Not done: {error}.")),
        };
        if credentials.is_none() && kind == JobKind::Prune && !policy.allows_admin_slot {
            return not_run(known, Class::Policy, NO_ADMIN_SLOT);
        }
        if let Some(message) = policy.refuses(&run.spec) {
            return not_run(known, Class::Policy, &message);
        }
        let slots = [credentials.as_ref(), everyday.as_ref()];
        let refused = slots.into_iter().flatten().find_map(|slot| {
            policy.refuses_repository(&slot.url, slot.env.iter().map(|(name, _)| name.as_str()))
        });
        if let Some(message) = refused.filter(|_| kind != JobKind::Browse) {
            return not_run(known, Class::Policy, &message);
        }
        if let Some(message) = policy.not_now(kind, &here(clock::wall())) {
            return JobEnd { outcome: Outcome::Cancelled, ..not_run(known, Class::NotNow, &message) };
        }
        if let JobSpec::Browse { path } = &run.spec {
            return browse(*path, &policy, known, &events).await;
        }
        let places = within_limits(places, &policy);
        let command = match &run.spec {
            JobSpec::Backup(backup) => command_of(backup, &policy),
            _ => None,
        };
        let restore_to = match &run.spec {
            JobSpec::Restore(restore) => policy.restore_to(restore).ok(),
            _ => None,
        };
        let mut room = [Vec::new(), Vec::new()];
        let (spec, sources) = match with_sources(run.spec, &policy, &mut room) {
            Ok(found) => found,
            Err(message) => return not_run(known, Class::Policy, &message),
        };
        let order = JobOrder {
            spec,
            command,
            restore_to,
            restic_host: run.restic_host,
            // The core keeps the deadline.
            deadline_secs: 0,
            silence_secs: silence_secs(run.spec.kind()),
            credentials: credentials.as_ref(),
            everyday: everyday.as_ref(),
            places: &places,
            known,
        };
        match spec {
            JobSpec::Backup(backup) => {
                let end = run_between_hooks(order, &backup, &policy, &events, &mut control).await;
                match sources.and_then(|sources| sources.moved(&policy)) {
                    Some(message) => with_moved_sources(end, &message),
                    None => end,
                }
            }
            _ => restic::run_job(order, &events, &mut control).await,
        }
    }
}

/// The job with the paths that restic is given, which borrow from `room`; else why it is not run.
fn with_sources<'s>(
    spec: JobSpec<'s>,
    policy: &Policy,
    room: &'s mut [Vec<u8>; 2],
) -> Result<(JobSpec<'s>, Option<Sources>), String> {
    let JobSpec::Backup(backup) = spec else { return Ok((spec, None)) };
    let sources = policy.sources(&backup)?;
    let [first, second] = room;
    let too_long = |_| "The paths of the source group are too long.".to_owned();
    let backup = BackupSpec {
        includes: listed(&sources.includes, first).map_err(too_long)?,
        excludes: listed(&sources.excludes, second).map_err(too_long)?,
        ..backup
    };
    Ok((JobSpec::Backup(backup), Some(sources)))
}

fn listed<'s>(texts: &[String], room: &'s mut Vec<u8>) -> Result<Items<'s, &'s str>, ItemsFull> {
    // Each with its length before it.
    room.resize(texts.iter().map(|text| text.len() + 5).sum(), 0);
    Items::write(texts, room)
}

/// A backup that may have walked elsewhere than it was allowed: what was saved is there, and a person has to look.
fn with_moved_sources(end: JobEnd, why: &str) -> JobEnd {
    let (outcome, class) = match end.outcome {
        Outcome::Succeeded | Outcome::Warning => (Outcome::Warning, Some(Class::Policy)),
        outcome => (outcome, end.class),
    };
    let said = format!("{why} Look at what was saved, and forget it if it should not be there.");
    let message = if end.message.is_empty() { said } else { format!("{said}\n{}", end.message) };
    JobEnd { outcome, class, message, ..end }
}

/// The places with what the policy says of them.
fn within_limits(places: Places, policy: &Policy) -> Places {
    let limits = &policy.limits;
    Places {
        small: limits.spare_memory.unwrap_or_else(machine::is_small),
        nice: limits.nice,
        ionice: if limits.io_idle { find_ionice() } else { None },
        upload_kib: limits.upload_kib,
        download_kib: limits.download_kib,
        ..places
    }
}

/// The command whose output a source group names in place of paths.
fn command_of<'p>(backup: &BackupSpec<'_>, policy: &'p Policy) -> Option<CommandSource<'p>> {
    let name = backup.includes.iter().find_map(|source| source.strip_prefix(COMMAND_SOURCE))?;
    let source = policy.commands.get(name)?;
    Some(CommandSource { command: &source.command, file_name: &source.file_name })
}

/// Runs a backup between the hooks that its source group names. Those after it run whatever came of it, also of a hook
/// before it: what one has stopped, another starts again.
async fn run_between_hooks(
    order: JobOrder<'_>,
    backup: &BackupSpec<'_>,
    policy: &Policy,
    events: &mpsc::Sender<JobEvent>,
    control: &mut mpsc::Receiver<Control>,
) -> JobEnd {
    let begun = tokio::time::Instant::now();
    let mut occasion = hook::Occasion {
        when: "before",
        group: backup.group,
        outcome: "",
        program: order.places.program.clone(),
    };
    let mut before = hook::HookEnd::Done;
    for name in backup.hooks_before.iter() {
        let Some(found) = policy.hooks.get(name) else { continue };
        let mut wires = hook::Wires { events, control, begun };
        before = hook::run(name, found, &occasion, &mut wires).await;
        if before != hook::HookEnd::Done {
            break;
        }
    }
    let mut end = match before {
        hook::HookEnd::Done => restic::run_job(order, events, control).await,
        hook::HookEnd::Failed(why) => {
            not_run(order.known, Class::Hook, &format!("{why} Nothing was backed up."))
        }
        hook::HookEnd::Stopped => JobEnd {
            outcome: Outcome::Cancelled,
            ..not_run(order.known, Class::Cancelled, "Cancelled before restic was started.")
        },
    };
    occasion.when = "after";
    occasion.outcome = match end.outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Warning => "warning",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
    };
    for name in backup.hooks_after.iter() {
        let Some(found) = policy.hooks.get(name) else { continue };
        let mut wires = hook::Wires { events, control, begun };
        match hook::run(name, found, &occasion, &mut wires).await {
            hook::HookEnd::Done => {}
            hook::HookEnd::Failed(why) => end = with_failed_hook(end, &why),
            hook::HookEnd::Stopped => {
                end = with_failed_hook(end, &format!("The hook {name} was cancelled."));
            }
        }
    }
    end
}

/// A backup whose hook after it failed: there is a snapshot, and something to look at.
fn with_failed_hook(end: JobEnd, why: &str) -> JobEnd {
    let (outcome, class) = match end.outcome {
        Outcome::Succeeded => (Outcome::Warning, Some(Class::Hook)),
        outcome => (outcome, end.class),
    };
    let message = if end.message.is_empty() { why.to_owned() } else { format!("{}\n{why}", end.message) };
    JobEnd { outcome, class, message, ..end }
}

/// Lists a folder of this machine.
async fn browse(
    path: OsText<'_>,
    policy: &Policy,
    known: restic::Known,
    events: &mpsc::Sender<JobEvent>,
) -> JobEnd {
    let started_at = clock::wall();
    match browse::list(path, policy.clone()).await {
        Ok(found) => {
            let entries = u32::try_from(found.entries.len()).unwrap_or(u32::MAX);
            for entry in found.entries {
                if events.send(JobEvent::Entry(entry)).await.is_err() {
                    break;
                }
            }
            JobEnd {
                outcome: Outcome::Succeeded,
                class: None,
                message: String::new(),
                exit_code: None,
                started_at: Some(started_at),
                finished_at: clock::wall(),
                summary: restic::JobSummary::Folder { entries, left_out: found.left_out },
                known,
                figures_changed: false,
            }
        }
        Err(error) => {
            let class = match &error {
                browse::BrowseError::Policy { .. } | browse::BrowseError::OwnState => Class::Policy,
                browse::BrowseError::Replaced(_) => Class::Other,
                browse::BrowseError::Missing(_) | browse::BrowseError::Alike { .. } => Class::SourceMissing,
                browse::BrowseError::Unreadable { .. } => Class::SourceUnreadable,
            };
            not_run(known, class, &error.to_string())
        }
    }
}

fn not_run(known: restic::Known, class: Class, message: &str) -> JobEnd {
    JobEnd {
        outcome: Outcome::Failed,
        class: Some(class),
        message: message.to_owned(),
        exit_code: None,
        started_at: None,
        finished_at: clock::wall(),
        summary: restic::JobSummary::None,
        known,
        figures_changed: false,
    }
}

impl Driver {
    pub(super) fn start(&mut self, job: JobId) {
        let kind = self
            .core
            .saved()
            .held
            .iter()
            .find(|entry| entry.ticket.job == job)
            .map_or(JobKind::Probe, |entry| entry.ticket.kind);
        logger::info(format_args!("job {job} starts: {}", kind.as_str()));
        let found = slots_for(kind).iter().find_map(|&slot| Some((slot, self.slots.for_job(job, slot)?)));
        let (slot, credentials) = found.map_or((None, None), |(slot, found)| (Some(slot), Some(found)));
        let everyday = if slot == Some(Slot::Admin) { self.slots.for_job(job, Slot::Repo) } else { None };
        let work = Work {
            run: self.journal.spec(job).unwrap_or_default(),
            credentials,
            everyday,
            policy: self.options.policy.clone(),
            places: self.places(),
            known: restic::Known {
                restic: self.restic.clone(),
                figures: self.known.figures.clone(),
                unclean: std::mem::take(&mut self.died_in_job),
            },
        };
        let (event_sender, events) = mpsc::channel(EVENTS);
        let (control, controls) = mpsc::channel(CONTROLS);
        let task = tokio::spawn(work.run(event_sender, controls));
        self.job = Some(RunningJob {
            job,
            log: Log::default(),
            events,
            control,
            task,
            progress: JobProgress::default(),
            progress_at: clock::wall(),
            snapshots: Listed::default(),
            entries: Listed::default(),
            given_up: 0,
        });
    }

    pub(super) fn control(&mut self, job: JobId, kill: bool) {
        let control = if kill { Control::Kill } else { Control::Interrupt };
        logger::info(format_args!("job {job}: {control:?}"));
        if let Some(running) = self.job.as_ref().filter(|running| running.job == job) {
            // There is room for every control that the core sends; a task that has ended needs none.
            let _ = running.control.try_send(control);
        }
    }

    pub(super) async fn handle_job(&mut self, step: JobStep) {
        match step {
            JobStep::Event(event) => self.handle_event(event),
            JobStep::Ended(end) => {
                let Some(job) = self.job.as_ref().map(|running| running.job) else { return };
                let end = end.unwrap_or_else(|error| {
                    logger::error(format_args!("job {job}: {error}"));
                    let known = restic::Known {
                        restic: self.restic.clone(),
                        figures: self.known.figures.clone(),
                        unclean: true,
                    };
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

    fn handle_event(&mut self, event: JobEvent) {
        let now = clock::now();
        let Some(running) = &mut self.job else { return };
        match event {
            JobEvent::Log { after_ms, stream, text } => {
                running.log.add(Line { after_ms, stream, text }, now.mono);
                self.flush_log(false);
            }
            JobEvent::Progress(progress) => {
                running.progress = progress;
                running.progress_at = now.wall;
                let job = running.job;
                self.core.handle_progress(job, now);
            }
            JobEvent::Snapshot(seen) => {
                running.snapshots.push(seen);
                self.flush_listed(false);
            }
            JobEvent::Entry(seen) => {
                running.entries.push(seen);
                self.flush_listed(false);
            }
        }
    }

    /// In this order: the rest of the log, the listing, the figures, the end.
    fn handle_end(&mut self, job: JobId, end: JobEnd) {
        let JobEnd {
            outcome, class, message, exit_code, started_at, summary, known, figures_changed, ..
        } = end;
        if !message.is_empty()
            && let Some(running) = &mut self.job
        {
            let after_ms = started_at.map_or(0, |at| clock::wall().ms_since(at));
            let after_ms = u32::try_from(after_ms).unwrap_or(u32::MAX);
            for text in message.lines() {
                let line = Line { after_ms, stream: LogStream::Agent, text: text.to_owned() };
                running.log.add(line, clock::mono());
            }
        }
        self.flush_log(true);
        self.flush_listed(true);
        let summary = summary.without(self.job.as_ref().map_or(0, |running| running.given_up));
        let log_lines = self.job.as_ref().map_or(0, |running| running.log.count());
        if known.restic.is_some() {
            self.restic = known.restic;
        }
        self.died_in_job |= known.unclean;
        if figures_changed {
            self.known.revision += 1;
            self.known.at = clock::wall();
            self.known.job = Some(job);
            self.known.figures = known.figures;
            match postcard::to_extend(&self.known, Vec::new()) {
                Ok(bytes) => self.journal.set_figures(bytes, self.core.saved()),
                Err(error) => logger::error(format_args!("figures can't be kept: {error}")),
            }
            self.publish_stats();
        }
        self.job = None;
        self.details = Some((job, Details { exit_code, started_at, message, log_lines, summary }));
        self.core.handle_ended(job, outcome, class, clock::now());
    }

    /// Sends what is due of the log; all of it with `all`.
    pub(super) fn flush_log(&mut self, all: bool) {
        let now = clock::now();
        while let Some(running) = &mut self.job
            && let Some(Piece { first_line, lines }) = running.log.take_live(all, now.mono)
        {
            let job = running.job;
            let mut buffer = vec![0; schema::limits::MAX_MESSAGE_BYTES];
            if self.core.is_connected()
                && let Some(lines) = reports::write_lines(&lines, &mut buffer)
            {
                self.publish(HostTopic::Live, &Live::Log { job, first_line, lines });
            }
        }
        while let Some(running) = &mut self.job
            && let Some(Piece { first_line, lines }) = running.log.take_chunk(all, now.mono)
        {
            let job = running.job;
            self.write_chunk(job, Chunk::Log { first_line, lines }, true);
        }
    }

    /// Sends what fills a report of what was listed; all of it with `all`.
    fn flush_listed(&mut self, all: bool) {
        while let Some(running) = &mut self.job
            && let Some((first, snapshots)) = running.snapshots.take(reports::snapshots_that_fit, all)
        {
            let (job, count) = (running.job, snapshots.len());
            self.write_listed(job, Chunk::Snapshots { first, snapshots }, count);
        }
        while let Some(running) = &mut self.job
            && let Some((first, entries)) = running.entries.take(reports::entries_that_fit, all)
        {
            let (job, count) = (running.job, entries.len());
            self.write_listed(job, Chunk::Entries { first, entries }, count);
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
            && let Some(running) = &mut self.job
        {
            running.given_up = running.given_up.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// Whether the running job may say more. A long listing waits, and restic with it, until the server has taken what
    /// it was sent; not when there is nobody to wait for.
    pub(super) fn hears_job(&self) -> bool {
        let waits = |job: &RunningJob| {
            job.lists()
                && self.core.is_connected()
                && !self.core.is_stopping_job()
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
        Places {
            program: self.options.program.clone().unwrap_or_else(|| {
                std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"))
            }),
            restic: self.options.restic.clone(),
            cache: self.state.subfolder("cache"),
            temp: self.state.subfolder("tmp"),
            home: self.state.path().to_owned(),
            path: std::env::var_os("PATH").unwrap_or_default(),
            small: false,
            nice: 0,
            ionice: None,
            upload_kib: 0,
            download_kib: 0,
        }
    }
}
