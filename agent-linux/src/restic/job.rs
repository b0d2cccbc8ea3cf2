//! Runs one job from preflight to figures. The driver: it reads the clock and starts processes.

mod diff;
mod download;
mod drill;
mod figures_and_locks;
mod find;
mod forget;
mod kinds;
mod prepare;
mod restore;
mod same_repository;
mod steps;
mod unseen;

use super::{
    event::{Control, JobEnd, JobEvent},
    figures::Figures,
    mask::Mask,
    order::{CarriedOver, CommandSource, JobOrder, Places, RestoreTo},
    outcome::Verdict,
    processes::Processes,
    pump::Wires,
    secrets::Credentials,
    ssh::{self, Held, Target},
    summary::{JobSummary, SourceSeen},
};
use crate::{clock, folder::NamedFolder};
use core::{future::Future, pin::Pin, time::Duration};
use schema::{Class, JobSpec, Slot, Timestamp, limits::BULK_WINDOW};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

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
    let begun = clock::instant();
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
        way: StorageAccess::default(),
        untrusted: None,
        mask: Mask::new(credentials.into_iter().chain(everyday)),
        wires: Wires {
            events,
            control,
            begun,
            deadline,
            silence,
            stop: None,
            credit: BULK_WINDOW,
            expected_bytes: 0,
            next: None,
        },
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
    /// The folder of a restore.
    restore_folder: Option<NamedFolder>,
    restic_host: &'j str,
    credentials: Option<&'j Credentials>,
    everyday: Option<&'j Credentials>,
    /// The whole location, with login, and how it is reached.
    repository: Zeroizing<String>,
    way: StorageAccess,
    /// The storage whose host key could not be trusted.
    untrusted: Option<(Slot, Target)>,
    mask: Mask,
    wires: Wires<'j>,
    figures_before: Figures,
    known: CarriedOver,
    processes: Processes,
    /// Of a backup: what there is to say of single paths.
    findings: Vec<SourceSeen>,
    summary: JobSummary,
    exit_code: Option<i32>,
    started_at: Option<Timestamp>,
}

/// How a repository's storage is reached, beyond its address.
#[derive(Clone, Debug, Default)]
struct StorageAccess {
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
        // Each on the heap: as one state of all kinds it would be large, and the code for a small processor with it.
        let work: Pin<Box<dyn Future<Output = Verdict> + Send>> = match spec {
            JobSpec::Probe => Box::pin(self.probe()),
            JobSpec::Init => Box::pin(self.init()),
            JobSpec::Backup(backup) => Box::pin(self.backup(&steps, backup)),
            JobSpec::Forget { groups, dry_run, .. } => Box::pin(self.forget(groups, &steps, *dry_run)),
            JobSpec::Prune { dry_run } => Box::pin(self.prune(&steps, *dry_run)),
            JobSpec::Check { subset_pct } => Box::pin(self.check(&steps, (*subset_pct).min(100))),
            JobSpec::Unlock { .. } => Box::pin(self.unlock(&steps)),
            JobSpec::Stats | JobSpec::Snapshots | JobSpec::Ls { .. } => Box::pin(self.plain(&steps)),
            JobSpec::Restore(restore) => Box::pin(self.restore(&steps, restore)),
            JobSpec::Drill(drill) => Box::pin(self.drill(&steps, drill)),
            JobSpec::Download { path, archive, .. } => Box::pin(self.download(&steps, *path, *archive)),
            JobSpec::Browse { .. } => return Verdict::failed(Class::Other, NO_RESTIC_JOB),
            JobSpec::Find(find) => Box::pin(self.find(&steps, find)),
            JobSpec::Diff { against, snapshot } => Box::pin(self.diff(&steps, (against, snapshot))),
        };
        work.await
    }
}
