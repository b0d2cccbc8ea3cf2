//! Runs one job from preflight to figures. The driver: it reads the clock and starts processes.

mod around;
mod forget;
mod kinds;
mod prepare;
mod restore;
mod steps;
mod two_doors;

use super::{
    args::CommandSource,
    figures::Figures,
    mask::Mask,
    outcome::Verdict,
    parse::JobProgress,
    processes::Processes,
    pump::Wires,
    secrets::Credentials,
    ssh::{self, Held, Target},
    summary::{EntrySeen, JobSummary, SnapshotSeen, SourceSeen},
    version::Restic,
};
use crate::folder::NewFolder;
use core::time::Duration;
use schema::{Class, JobSpec, LogStream, Outcome, Slot, Timestamp};
use std::{ffi::OsString, path::PathBuf};
use tokio::{sync::mpsc, time::Instant};
use zeroize::Zeroizing;

pub use restore::RestoreTo;

/// Where things are on this machine.
#[derive(Clone, Debug)]
pub struct Places {
    /// The agent's own program, which answers to [`super::child::SUBCOMMAND`].
    pub program: PathBuf,
    /// restic: a path, or a name to look for in `path`.
    pub restic: PathBuf,
    /// restic's cache folder; made when it is missing.
    pub cache: PathBuf,
    /// For restic's temporary files; made when it is missing.
    pub temp: PathBuf,
    /// The agent's state folder, and restic's `HOME`.
    pub home: PathBuf,
    /// restic's `PATH`.
    pub path: OsString,
    /// Spare memory rather than time.
    pub small: bool,
    /// Added to restic's niceness.
    pub nice: u8,
    /// The program that lets restic use disks only when nobody else does; `None` = it uses them like everybody.
    pub ionice: Option<PathBuf>,
    /// To the storage, in KiB a second; 0 = no limit.
    pub upload_kib: u32,
    /// From it.
    pub download_kib: u32,
}

/// What is known from before. Goes into a job and comes out of it.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The restic that was asked last.
    pub restic: Option<Restic>,
    /// The repository's figures.
    pub figures: Figures,
    /// The last job here did not end cleanly: a lock of its restic may be left.
    pub unclean: bool,
}

/// A job to run.
#[derive(Debug)]
pub struct JobOrder<'a> {
    /// What to run.
    pub spec: JobSpec<'a>,
    /// What a backup saves in place of its paths.
    pub command: Option<CommandSource<'a>>,
    /// Where a restore goes; `None` for all else.
    pub restore_to: Option<RestoreTo>,
    /// The host name that restic writes into snapshots.
    pub restic_host: &'a str,
    /// When it must have ended, in seconds after its start; 0 = no deadline.
    pub deadline_secs: u32,
    /// How long restic may say nothing before it is taken to hang, in seconds; 0 = for ever. Not for kinds that are
    /// silent until their end.
    pub silence_secs: u32,
    /// The slot to use; `None` = there is none.
    pub credentials: Option<&'a Credentials>,
    /// The everyday slot, when the one to use is another. The job is run only when both open the same repository.
    pub everyday: Option<&'a Credentials>,
    /// Where things are.
    pub places: &'a Places,
    /// What is known from before.
    pub known: Known,
}

/// Something that happens while a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// A log line.
    Log {
        /// Milliseconds after the job's start.
        after_ms: u32,
        /// Who wrote it.
        stream: LogStream,
        /// The text: clean, without secrets, at most [`schema::limits::MAX_LOG_LINE_BYTES`].
        text: String,
    },
    /// How far it is; dropped when the channel is full.
    Progress(JobProgress),
    /// A snapshot of a listing, oldest first.
    Snapshot(SnapshotSeen),
    /// An entry of a folder.
    Entry(EntrySeen),
}

/// What may be asked of a running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// End it cleanly; after 30 seconds it is killed all the same.
    Interrupt,
    /// End it now.
    Kill,
}

/// How a job ended.
#[derive(Clone, Debug)]
pub struct JobEnd {
    /// How.
    pub outcome: Outcome,
    /// Why, when it is not plain success.
    pub class: Option<Class>,
    /// What to do, and restic's last lines.
    pub message: String,
    /// restic's exit code; `None` when it did not run or was killed.
    pub exit_code: Option<i32>,
    /// When restic was started for the job itself; `None` when it was not.
    pub started_at: Option<Timestamp>,
    /// When the job ended.
    pub finished_at: Timestamp,
    /// The figures of the job.
    pub summary: JobSummary,
    /// What is known now.
    pub known: Known,
    /// Whether the repository's figures are worth telling.
    pub figures_changed: bool,
}

/// Runs a job to its end. It keeps to the deadline by itself.
///
/// The channel of events may be small: when it is full, progress is dropped and everything else waits, restic too.
/// It must be polled on a thread that lives as long as restic does: the system ties restic's life to that thread.
pub async fn run_job(
    order: JobOrder<'_>,
    events: &mpsc::Sender<JobEvent>,
    control: &mut mpsc::Receiver<Control>,
) -> JobEnd {
    let JobOrder {
        spec,
        command,
        restore_to,
        restic_host,
        deadline_secs,
        silence_secs,
        credentials,
        everyday,
        places,
        known,
    } = order;
    let begun = Instant::now();
    let deadline = (deadline_secs > 0).then(|| begun + Duration::from_secs(deadline_secs.into()));
    let silence = (silence_secs > 0).then(|| Duration::from_secs(silence_secs.into()));
    let mut job = Job {
        places,
        command,
        restore_to,
        restore_folder: None,
        restic_host,
        credentials,
        everyday,
        repository: Zeroizing::default(),
        way: Way::default(),
        untrusted: None,
        mask: Mask::new(credentials.into_iter().chain(everyday)),
        wires: Wires { events, control, begun, deadline, silence, stop: None },
        figures_before: known.figures.clone(),
        known,
        processes: Processes::load(&places.home),
        findings: Vec::new(),
        summary: JobSummary::None,
        exit_code: None,
        started_at: None,
    };
    let verdict = job.run(&spec).await;
    job.ask_for_host_key(&verdict).await;
    let figures_changed = job.known.figures != job.figures_before;
    JobEnd {
        outcome: verdict.outcome,
        class: verdict.class,
        message: job.mask.hide(&verdict.message).into_owned(),
        exit_code: job.exit_code,
        started_at: job.started_at,
        finished_at: wall_clock(),
        summary: job.summary,
        known: job.known,
        figures_changed,
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver reads the clock here, and only here")]
fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The agent does it by itself, see [`crate::browse`].
const NO_RESTIC_JOB: &str = "A folder of the machine is not listed by restic.";

struct Job<'j> {
    places: &'j Places,
    command: Option<CommandSource<'j>>,
    restore_to: Option<RestoreTo>,
    /// The folder that is restored into.
    restore_folder: Option<NewFolder>,
    restic_host: &'j str,
    credentials: Option<&'j Credentials>,
    everyday: Option<&'j Credentials>,
    /// The whole location, with login, and how it is reached.
    repository: Zeroizing<String>,
    way: Way,
    /// The storage whose host key could not be trusted.
    untrusted: Option<(Slot, Target)>,
    mask: Mask,
    wires: Wires<'j>,
    figures_before: Figures,
    known: Known,
    processes: Processes,
    /// Of a backup: what there is to say of single paths.
    findings: Vec<SourceSeen>,
    summary: JobSummary,
    exit_code: Option<i32>,
    started_at: Option<Timestamp>,
}

/// How a repository's storage is reached, beyond its address.
#[derive(Clone, Debug, Default)]
struct Way {
    /// By ssh; and which slot's it is.
    ssh: Option<(Slot, Target)>,
    /// ssh held to certain keys.
    held: Option<Held>,
}

impl Job<'_> {
    /// When the storage's host key could not be trusted, this tells which one it shows.
    async fn ask_for_host_key(&mut self, verdict: &Verdict) {
        let Some((slot, target)) = self.untrusted.take() else { return };
        if matches!(verdict.class, Some(Class::UnknownHostKey | Class::HostKeyChanged))
            && let Some(key) = ssh::shown_key(&target, &self.places.temp, &self.places.path).await
        {
            self.summary = JobSummary::HostKey { slot, key };
        }
    }

    async fn run(&mut self, spec: &JobSpec<'_>) -> Verdict {
        let steps = match self.prepare(spec).await {
            Ok(steps) => steps,
            Err(verdict) => return verdict,
        };
        match spec {
            JobSpec::Probe => self.probe().await,
            JobSpec::Init => self.init().await,
            JobSpec::Backup(backup) => self.backup(&steps, backup).await,
            JobSpec::Forget { groups, dry_run, .. } => self.forget(groups, &steps, *dry_run).await,
            JobSpec::Prune { dry_run } => self.prune(&steps, *dry_run).await,
            JobSpec::Check { subset_pct } => self.check(&steps, (*subset_pct).min(100)).await,
            JobSpec::Unlock { .. } => self.unlock(&steps).await,
            JobSpec::Stats | JobSpec::Snapshots | JobSpec::Ls { .. } => self.plain(&steps).await,
            JobSpec::Restore(restore) => self.restore(&steps, restore).await,
            JobSpec::Browse { .. } => Verdict::failed(Class::Other, NO_RESTIC_JOB),
        }
    }
}
