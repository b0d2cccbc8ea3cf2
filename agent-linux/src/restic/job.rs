//! Runs one job from preflight to figures. The driver: it reads the clock and starts processes.

use super::{
    args::{self, ArgsError, Setting, Step, StepKind},
    figures::{Figures, LockLook, OwnedLock},
    location::{self, Location, LocationError},
    locks,
    mask::Mask,
    outcome::{self, Ended, Stop, Verdict},
    parse::{Findings, JobProgress},
    preflight,
    pump::{self, Launch, StartError, StepEnd, Wires},
    rest,
    secrets::Credentials,
    summary::{ForgetCount, JobSummary, SnapshotSeen},
    version::Restic,
};
use core::time::Duration;
use schema::{
    Class, JobSpec, LogStream, Outcome, Timestamp,
    job::{BackupSpec, ProbeSummary},
    stats::{CheckResult, PruneResult},
};
use std::{ffi::OsString, path::PathBuf};
use tokio::{sync::mpsc, time::Instant};

/// How long each of the small runs around a job may take.
const SIDE_LIMIT: Duration = Duration::from_secs(120);
/// How many locks are looked at, at 0.3 to 0.9 seconds each.
const LOCKS_LOOKED_AT: usize = 4;

/// How long a dead process may wait for its parent to take notice, before its lock is left for later.
const REAP_LIMIT: Duration = Duration::from_secs(10);
const REAP_LOOK: Duration = Duration::from_millis(100);
/// How often `unlock` is run while a lock of a dead process is left.
const UNLOCK_TRIES: usize = 3;

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
    /// restic's `HOME`.
    pub home: PathBuf,
    /// restic's `PATH`.
    pub path: OsString,
    /// Spare memory rather than time.
    pub small: bool,
    /// Added to restic's niceness.
    pub nice: u8,
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
    /// The host name that restic writes into snapshots.
    pub restic_host: &'a str,
    /// When it must have ended, in seconds after its start; 0 = no deadline.
    pub deadline_secs: u32,
    /// The slot to use; `None` = there is none.
    pub credentials: Option<&'a Credentials>,
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
    let JobOrder { spec, restic_host, deadline_secs, credentials, places, known } = order;
    let begun = Instant::now();
    let deadline = (deadline_secs > 0).then(|| begun + Duration::from_secs(deadline_secs.into()));
    let mut job = Job {
        places,
        restic_host,
        credentials,
        repository: String::new().into(),
        mask: credentials.map_or_else(Mask::nothing, Mask::new),
        wires: Wires { events, control, begun, deadline, stop: None },
        figures_before: known.figures.clone(),
        known,
        summary: JobSummary::None,
        exit_code: None,
        started_at: None,
    };
    let verdict = job.run(&spec).await;
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

struct Job<'j> {
    places: &'j Places,
    restic_host: &'j str,
    credentials: Option<&'j Credentials>,
    /// The whole location, with login.
    repository: zeroize::Zeroizing<String>,
    mask: Mask,
    wires: Wires<'j>,
    figures_before: Figures,
    known: Known,
    summary: JobSummary,
    exit_code: Option<i32>,
    started_at: Option<Timestamp>,
}

/// The locks that a look saw.
struct LocksLeft {
    count: usize,
    /// The processes of this machine that hold them.
    own_pids: Vec<u32>,
}

impl LocksLeft {
    /// Whether one belongs to a process of this machine that has ended.
    fn has_own_dead(&self) -> bool {
        self.own_pids.iter().any(|&pid| locks::has_ended(pid))
    }
}

/// A step that ran, judged.
struct Done {
    verdict: Verdict,
    found: Findings,
}

impl Done {
    fn is_ok(&self) -> bool {
        matches!(self.verdict.outcome, Outcome::Succeeded | Outcome::Warning)
    }
}

impl Job<'_> {
    async fn run(&mut self, spec: &JobSpec<'_>) -> Verdict {
        let steps = match self.prepare(spec).await {
            Ok(steps) => steps,
            Err(verdict) => return verdict,
        };
        match spec {
            JobSpec::Probe => self.probe().await,
            JobSpec::Init => self.init().await,
            JobSpec::Backup(_) => self.backup(&steps).await,
            JobSpec::Forget { dry_run, .. } => self.forget(&steps, *dry_run).await,
            JobSpec::Prune { dry_run } => self.prune(&steps, *dry_run).await,
            JobSpec::Check { subset_pct } => self.check(&steps, (*subset_pct).min(100)).await,
            JobSpec::Unlock { .. } => self.unlock(&steps).await,
            JobSpec::Stats | JobSpec::Snapshots | JobSpec::Ls { .. } | JobSpec::Restore(_) => {
                self.plain(&steps).await
            }
        }
    }

    /// Everything before restic: the reason when it need not be started.
    async fn prepare(&mut self, spec: &JobSpec<'_>) -> Result<Vec<Step>, Verdict> {
        let Some(credentials) = self.credentials else {
            let message = "The agent has no credentials for the repository. Set them on the host's page.";
            return Err(Verdict::failed(Class::NoCredentials, message));
        };
        let location = Location::parse(&credentials.url).map_err(refused_location)?;
        self.repository = location::compose(credentials).map_err(refused_location)?;
        if let Some((name, _)) = credentials.env.iter().find(|(name, _)| !location::is_env_allowed(name)) {
            let message = format!(
                "The agent does not pass the variable {name} to restic. Remove it from the credentials."
            );
            return Err(Verdict::failed(Class::Policy, &message));
        }
        self.known.figures = core::mem::take(&mut self.known.figures).of(&credentials.url);
        let version = self.find_restic().await?;
        let cache = self.places.cache.to_string_lossy();
        let setting =
            Setting { version, restic_host: self.restic_host, small: self.places.small, cache: &cache };
        let steps = args::plan_steps(spec, &setting).map_err(|error| refused_args(&error))?;
        for folder in [&self.places.cache, &self.places.temp] {
            if let Err(error) = tokio::fs::create_dir_all(folder).await {
                let message = format!("The agent can't make its folder {}: {error}", folder.display());
                return Err(Verdict::failed(Class::Other, &message));
            }
        }
        if let JobSpec::Backup(backup) = spec {
            self.look_at_sources(backup).await?;
        }
        let has_proxy = credentials.env.iter().any(|(name, _)| name.ends_with("_PROXY"));
        if let Some((host, port)) = location.server().filter(|_| !has_proxy)
            && let Err(reason) = self.unless_stopped(preflight::reach(&host, port)).await?
        {
            let message = format!(
                "The storage at {host}, port {port}, can't be reached: {reason}. Check that its server runs, the address and port, and the network between."
            );
            return Err(Verdict::failed(Class::Network, &message));
        }
        if self.known.unclean && steps.first().is_some_and(|step| step.kind.takes_lock()) {
            self.wires
                .say("The last job here did not end cleanly: removing locks of processes that are gone.")
                .await;
            self.remove_dead_locks().await;
        }
        match self.wires.poll_stop() {
            Some(stop) => Err(stopped(stop)),
            None => Ok(steps),
        }
    }

    async fn find_restic(&mut self) -> Result<super::version::Version, Verdict> {
        if let Some(restic) = self.known.restic.as_ref().filter(|restic| restic.is_unchanged()) {
            return Ok(restic.version());
        }
        self.known.restic = None;
        match Restic::probe(&self.places.restic, &self.places.path).await {
            Ok(restic) => Ok(self.known.restic.insert(restic).version()),
            Err(error) => Err(Verdict::failed(Class::ResticMissing, &format!("{error}."))),
        }
    }

    async fn look_at_sources(&mut self, backup: &BackupSpec<'_>) -> Result<(), Verdict> {
        let absent = self.unless_stopped(preflight::not_mounted(backup.required_mounts)).await?;
        if !absent.is_empty() {
            let absent = absent.join(", ");
            let message = format!(
                "Nothing is mounted on {absent}, so nothing was backed up. Mount it, then run the backup again."
            );
            return Err(Verdict::failed(Class::SourceMissing, &message));
        }
        let missing = self.unless_stopped(preflight::missing(backup.includes)).await?;
        if missing.is_empty() {
            return Ok(());
        }
        if missing.len() == backup.includes.count() {
            let missing = missing.join(", ");
            let message = format!(
                "No such path: {missing}. Nothing was backed up. Check the paths of the source group."
            );
            return Err(Verdict::failed(Class::SourceMissing, &message));
        }
        // The rest is worth a snapshot; restic's own words make it a warning.
        self.wires.say(&format!("No such path: {}", missing.join(", "))).await;
        Ok(())
    }

    /// Waits for something before restic starts, and lets a stop end the wait.
    async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Verdict> {
        let deadline = self.wires.deadline;
        let stop = tokio::select! {
            done = work => return Ok(done),
            Some(_) = self.wires.control.recv() => Stop::Cancelled,
            () = tokio::time::sleep_until(deadline.unwrap_or(self.wires.begun)), if deadline.is_some() => Stop::Timeout,
        };
        self.wires.stop = Some(stop);
        Err(stopped(stop))
    }

    /// Runs a step of the job itself, and once more when only a lock of our own dead process was in its way.
    async fn main_step(&mut self, step: &Step) -> Done {
        let done = self.main_step_once(step).await;
        let own = locks::own_hostname();
        let is_dead_own = |done: &Done| {
            let holder = done.found.holder.as_ref();
            holder.is_some_and(|holder| holder.hostname == own && locks::has_ended(holder.pid))
        };
        if done.verdict.class != Some(Class::RepoLocked) || self.wires.stop.is_some() || !is_dead_own(&done) {
            return done;
        }
        self.wires
            .say("The lock belongs to a process of this machine that is gone: removing it, then once more.")
            .await;
        self.remove_dead_locks().await;
        self.main_step_once(step).await
    }

    async fn main_step_once(&mut self, step: &Step) -> Done {
        if let Some(stop) = self.wires.poll_stop() {
            return Done { verdict: stopped(stop), found: Findings::default() };
        }
        self.wires.say(&format!("restic {}", step.args.join(" "))).await;
        self.started_at.get_or_insert_with(wall_clock);
        let end = self.step(step, false).await;
        let done = self.judged(step, end);
        if self.wires.stop.is_some() && step.kind.takes_lock() {
            // Even after an interrupt a lock may be left: restic forgets one that it has only just written.
            self.remove_dead_locks().await;
        }
        done
    }

    fn judged(&mut self, step: &Step, end: Result<StepEnd, StartError>) -> Done {
        match end {
            Ok(end) => {
                self.exit_code = end.ended.code();
                self.known.unclean |=
                    step.kind.takes_lock() && (end.killed || matches!(end.ended, Ended::Signal(_)));
                let verdict = outcome::judge(step.kind, end.ended, end.stop, &end.found);
                Done { verdict, found: end.found }
            }
            Err(error) => {
                let verdict = Verdict::failed(Class::Other, &format!("restic was not started: {error}"));
                Done { verdict, found: Findings::default() }
            }
        }
    }

    async fn step(&mut self, step: &Step, quiet: bool) -> Result<StepEnd, StartError> {
        let none = PathBuf::new();
        let restic = self.known.restic.as_ref().map_or(none.as_path(), Restic::path);
        let launch = Launch {
            places: self.places,
            restic,
            repository: &self.repository,
            password: self.credentials.map_or("", |credentials| &credentials.repo_password),
            env: self.credentials.map_or(&[][..], |credentials| &credentials.env),
            mask: &self.mask,
        };
        pump::run_step(step, &launch, &mut self.wires, quiet).await
    }

    /// Runs a small step around the job, with a limit of its own; what it finds, if it did its work.
    async fn side_step(&mut self, step: &Step) -> Option<Findings> {
        let (deadline, stop) = (self.wires.deadline, self.wires.stop);
        self.wires.deadline = Some(Instant::now() + SIDE_LIMIT);
        let end = self.step(step, true).await;
        self.wires.deadline = deadline;
        // A limit of this step is none of the job's; a cancel is.
        self.wires.stop = stop.or(self.wires.stop.filter(|&stop| stop == Stop::Cancelled));
        let end = end.ok()?;
        let verdict = outcome::judge(step.kind, end.ended, end.stop, &end.found);
        (verdict.outcome == Outcome::Succeeded).then_some(end.found)
    }

    /// Removes locks of processes that are gone. One that its new parent has not taken notice of is alive to restic,
    /// so it is waited for.
    async fn remove_dead_locks(&mut self) {
        for _ in 0..UNLOCK_TRIES {
            let removed = self.side_step(&args::unlock(false)).await;
            self.known.unclean = removed.is_none();
            let Some(left) = self.look_at_locks().await else { return };
            if !left.has_own_dead() {
                return;
            }
            let until = Instant::now() + REAP_LIMIT;
            while left.own_pids.iter().any(|&pid| locks::is_zombie(pid)) && Instant::now() < until {
                tokio::time::sleep(REAP_LOOK).await;
            }
        }
    }

    async fn probe(&mut self) -> Verdict {
        let asked = Instant::now();
        let done = self.main_step(&args::config()).await;
        let answered_ms = u32::try_from(asked.elapsed().as_millis()).unwrap_or(u32::MAX);
        let append_only = if done.is_ok() { self.is_append_only().await } else { None };
        if let Some(repo) = done.found.repo {
            self.known.figures.identify(repo);
        }
        let repo = done.found.repo;
        let repo_version = done.found.repo_version.filter(|_| repo.is_some());
        self.summary = JobSummary::Probe(ProbeSummary { repo, repo_version, append_only, answered_ms });
        if done.is_ok() && repo.is_none() {
            return Verdict::failed(Class::Other, "restic's answer does not say which repository it is.");
        }
        done.verdict
    }

    async fn is_append_only(&self) -> Option<bool> {
        let credentials = self.credentials?;
        let (host, port) = Location::parse(&credentials.url).ok()?.server()?;
        rest::is_append_only(credentials, (&host, port)).await
    }

    async fn init(&mut self) -> Verdict {
        let looked = self.main_step(&args::config()).await;
        match looked.verdict.class {
            None => {
                if let Some(repo) = looked.found.repo {
                    self.known.figures.identify(repo);
                }
                let message =
                    "There is a repository at this address already, and it opens; nothing was changed.";
                return Verdict::failed(Class::RepoExists, message);
            }
            Some(Class::RepoMissing) => {}
            Some(_) => return looked.verdict,
        }
        let done = self.main_step(&args::init()).await;
        if !done.is_ok() {
            return done.verdict;
        }
        // Before 0.17 restic says a short id only.
        let repo = match done.found.repo {
            None => self.side_step(&args::config()).await.and_then(|found| found.repo),
            repo => repo,
        };
        let Some(repo) = repo else {
            let message =
                "The repository was made, but does not answer which one it is. Test the credentials.";
            return Verdict::failed(Class::Other, message);
        };
        let now = wall_clock();
        self.known.figures.identify(repo);
        self.known.figures.measured(0, now);
        self.known.figures.counted(0, None, now);
        self.summary = JobSummary::Init(repo);
        done.verdict
    }

    async fn backup(&mut self, steps: &[Step]) -> Verdict {
        let done = self.first(steps).await;
        if let Some(backup) = done.found.backup {
            if done.verdict.outcome != Outcome::Cancelled && !backup.snapshot.is_empty() {
                self.known.figures.add_snapshot(backup.added_packed_bytes, wall_clock());
            }
            self.summary = JobSummary::Backup(backup);
        }
        match done.verdict.class {
            Some(Class::RepoLocked) => {
                self.look_at_locks().await;
            }
            _ if matches!(done.verdict.outcome, Outcome::Succeeded | Outcome::Warning) => {
                self.cheap_figures().await;
            }
            _ => {}
        }
        done.verdict
    }

    async fn forget(&mut self, steps: &[Step], dry_run: bool) -> Verdict {
        let (mut counts, mut worst) = (Vec::new(), Verdict::succeeded());
        let mut removed_any = false;
        for step in steps {
            let done = self.main_step(step).await;
            let class = done.verdict.class.filter(|_| !done.is_ok());
            let removed = if class.is_none() { done.found.removed } else { 0 };
            removed_any |= removed > 0;
            counts.push(ForgetCount { group: step.group.clone(), kept: done.found.kept, removed, class });
            if let Some(class) = class {
                worst = done.verdict;
                // The next group would meet the same.
                if !matches!(class, Class::Other) {
                    break;
                }
            }
        }
        self.summary = JobSummary::Forget(counts);
        if removed_any && !dry_run {
            self.count_snapshots().await;
        }
        if worst.class == Some(Class::RepoLocked) {
            self.look_at_locks().await;
        }
        if steps.is_empty() {
            worst.message = "No source group has a keep rule, so nothing is forgotten.".to_owned();
        }
        worst
    }

    async fn prune(&mut self, steps: &[Step], dry_run: bool) -> Verdict {
        let done = self.first(steps).await;
        if let Some(prune) = done.found.prune.filter(|_| done.is_ok()) {
            if !dry_run {
                let at = wall_clock();
                self.known.figures.measured(prune.remaining_bytes, at);
                self.known.figures.prune = Some(PruneResult { at, freed_bytes: prune.freed_bytes });
            }
            self.summary = JobSummary::Prune(prune);
        }
        if done.verdict.class == Some(Class::RepoLocked) {
            self.look_at_locks().await;
        }
        done.verdict
    }

    async fn check(&mut self, steps: &[Step], subset_pct: u8) -> Verdict {
        let done = self.first(steps).await;
        let errors = match done.verdict.class {
            None => Some(0),
            Some(Class::Damaged) => Some(done.found.check_errors.unwrap_or(1).max(1)),
            // It did not come to a result, whatever the summary says.
            Some(_) => None,
        };
        if let Some(errors) = errors {
            self.known.figures.check = Some(CheckResult { at: wall_clock(), errors, subset_pct });
            self.summary = JobSummary::Check { errors, subset_pct };
        }
        if done.verdict.class == Some(Class::RepoLocked) {
            self.look_at_locks().await;
        }
        done.verdict
    }

    async fn unlock(&mut self, steps: &[Step]) -> Verdict {
        // Before 0.17 restic does not say how many locks it removed, so they are counted.
        let says_count = self.known.restic.as_ref().is_some_and(|restic| restic.version().has_check_json());
        let before = if says_count { None } else { self.side_step(&args::list_locks()).await };
        let done = self.first(steps).await;
        if !done.is_ok() {
            return done.verdict;
        }
        self.known.unclean = false;
        let mut left = self.look_at_locks().await;
        let mut removed = done.found.unlocked.unwrap_or(0);
        if let (None, Some(before), Some(left)) = (done.found.unlocked, before, &left) {
            removed = count(before.locks.len().saturating_sub(left.count));
        }
        if let Some(first) = left.take().filter(LocksLeft::has_own_dead) {
            self.remove_dead_locks().await;
            let second = self.look_at_locks().await.map_or(first.count, |left| left.count);
            removed = removed.saturating_add(count(first.count.saturating_sub(second)));
        }
        self.summary = JobSummary::Unlock(removed);
        done.verdict
    }

    /// A job of one step that only has to be told.
    async fn plain(&mut self, steps: &[Step]) -> Verdict {
        let done = self.first(steps).await;
        let (now, found) = (wall_clock(), &done.found);
        if let Some(restored) = found.restore {
            self.summary = JobSummary::Restore(restored);
        }
        if done.is_ok() {
            match steps.first().map(|step| step.kind) {
                Some(StepKind::Stats) => {
                    let Some(stats) = found.stats else {
                        return Verdict::failed(Class::Other, "restic's answer holds no figures.");
                    };
                    self.known.figures.measured(stats.total_bytes, now);
                    self.summary = JobSummary::Stats(stats);
                }
                Some(StepKind::Snapshots) => {
                    self.known.figures.counted(found.snapshots, found.newest_at, now);
                    self.summary = JobSummary::Snapshots(found.snapshots);
                }
                _ => {}
            }
        }
        done.verdict
    }

    async fn first(&mut self, steps: &[Step]) -> Done {
        match steps.first() {
            Some(step) => self.main_step(step).await,
            None => Done { verdict: Verdict::succeeded(), found: Findings::default() },
        }
    }

    /// After a backup: what is not known yet, or too old. Each run costs 0.3 to 0.4 seconds of processor time.
    async fn cheap_figures(&mut self) {
        if self.known.figures.repo.is_none()
            && let Some(repo) = self.side_step(&args::config()).await.and_then(|found| found.repo)
        {
            self.known.figures.identify(repo);
        }
        if self.known.figures.needs_count(wall_clock()) {
            self.count_snapshots().await;
        }
        let says_packed =
            self.known.restic.as_ref().is_some_and(|restic| restic.version().says_packed_bytes());
        if self.known.figures.needs_measure(says_packed, wall_clock())
            && let Some(stats) = self.side_step(&args::stats()).await.and_then(|found| found.stats)
        {
            self.known.figures.measured(stats.total_bytes, wall_clock());
        }
        // A lock that was seen may be gone.
        if self.known.figures.lock.as_ref().is_some_and(|look| look.lock.is_some()) {
            self.look_at_locks().await;
        }
    }

    async fn count_snapshots(&mut self) {
        if let Some(found) = self.side_step(&args::snapshots()).await {
            self.known.figures.counted(found.snapshots, found.newest_at, wall_clock());
        }
    }

    /// Looks at the repository's locks.
    async fn look_at_locks(&mut self) -> Option<LocksLeft> {
        let ids = self.side_step(&args::list_locks()).await?.locks;
        let own = locks::own_hostname();
        let mut oldest: Option<OwnedLock> = None;
        let mut own_pids = Vec::new();
        for id in ids.iter().take(LOCKS_LOOKED_AT) {
            // A lock that is gone meanwhile is none.
            let Some(found) = self.side_step(&args::cat_lock(id)).await.and_then(|found| found.lock) else {
                continue;
            };
            let is_own = found.hostname == own;
            own_pids.extend(is_own.then_some(found.pid));
            let owner_is_dead = is_own && locks::has_ended(found.pid);
            let lock = locks::figure(found, owner_is_dead, wall_clock());
            if oldest.as_ref().is_none_or(|oldest| lock.since < oldest.since) {
                oldest = Some(lock);
            }
        }
        self.known.figures.lock = Some(LockLook { at: wall_clock(), lock: oldest });
        Some(LocksLeft { count: ids.len(), own_pids })
    }
}

fn stopped(stop: Stop) -> Verdict {
    match stop {
        Stop::Cancelled => Verdict {
            outcome: Outcome::Cancelled,
            class: Some(Class::Cancelled),
            message: "The job was ended before restic was started.".to_owned(),
        },
        Stop::Timeout => {
            Verdict::failed(Class::Timeout, "The job's deadline passed before restic was started.")
        }
    }
}

fn refused_location(error: LocationError) -> Verdict {
    let class = match error {
        LocationError::Empty => Class::NoCredentials,
        LocationError::StartsPrograms => Class::Policy,
        _ => Class::Other,
    };
    Verdict::failed(class, &format!("Not done: {error}."))
}

fn refused_args(error: &ArgsError) -> Verdict {
    Verdict::failed(Class::Other, &format!("Not done: {error}."))
}

fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}
