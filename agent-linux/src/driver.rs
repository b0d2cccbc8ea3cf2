//! The one loop of the agent: gives the core its inputs and carries out its effects.

mod beat;
mod effects;
mod inputs;
mod job;
mod listing;
mod log;
mod offline_runs;
mod running;
mod transfer;
mod work;

use crate::{
    clock,
    heartbeat::{self, Heartbeat, backups::Backups},
    identity::{self, Identity, IdentityError},
    journal::{Journal, OpenedJournal, replay::Condition, replay::Fresh},
    keep_alive::KeepAlive,
    link::{Link, LinkEvent},
    logger,
    offline_plan::DueBackup,
    plan::KeptPlan,
    platform::{Machine, VERSION},
    policy::PolicyAt,
    random,
    reports::{Chunk, Details},
    restic::{self, Credentials, Restic, Walked},
    rfc3339::Instant,
    slots::{SlotError, Slots},
    state_folder::{StateError, StateFolder},
    status::{self, ErrorStatus, JobStatus, Status},
    tls::{self, TlsError},
    turns::Turns,
};
use agent_core::{Core, HeldEntry, Monotonic, Start};
use rumqttc::Publish;
use running::{JobStep, RunningJob};
use rustls::ClientConfig;
use schema::{Epoch, InstallationId, JobId, JobKind, Slot, StatsRevision, Stream, report::Trouble};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
};

/// Why the agent can't run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state folder can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The identity can't be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The slots.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// The server's authority.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system does not give what the agent needs.
    #[error("{what}: {source}")]
    System {
        /// What the agent needed.
        what: &'static str,
        /// The operating system's error.
        source: io::Error,
    },
}

/// Why the agent has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentEnd {
    /// It was told to, by SIGTERM or SIGINT.
    Told,
    /// It was told to start again, by SIGUSR2.
    ToStartAgain,
}

/// Set in what a run of the agent draws for itself; see [`schema::Hello::boot_id`].
const RUN_MARK: u64 = 0xc0;

/// How the agent is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The restic to use: a path, or a name to look for in `PATH`.
    pub restic: PathBuf,
    /// What the machine's owner allows.
    pub policy: PolicyAt,
    /// How the agent starts itself again, to become restic or a hook; `None` = by its own file.
    pub program: Option<PathBuf>,
    /// How long the server may be away before due backups are run without it, in seconds.
    pub alone_after_secs: u32,
    /// How often a silent connection says that it is there, in seconds.
    pub keep_alive_secs: u16,
    /// Who hears that the host is well; `None` = nobody.
    pub heartbeat: Option<heartbeat::source::HeartbeatOptions>,
}

/// What is known of the repository, and the newest stats message.
#[derive(Debug, Default, Serialize, Deserialize)]
struct RepositoryKnown {
    revision: StatsRevision,
    at: schema::Timestamp,
    job: Option<JobId>,
    figures: restic::Figures,
}

/// What the core's effects need of the command at hand.
#[derive(Debug, Default)]
struct AtHand {
    /// The encoded [`schema::Run`].
    run: Vec<u8>,
    credentials: Option<Credentials>,
    /// Of a backup that the agent begins by itself.
    due: Option<DueBackup>,
}

struct Driver {
    state: StateFolder,
    identity: Identity,
    installation: InstallationId,
    machine: Machine,
    tls: Arc<ClientConfig>,
    /// Which of the server's addresses is tried.
    turns: Turns,
    /// The one that is in use, or was tried last.
    dialled: String,
    /// Since when the connection stands.
    connected_at: Option<Monotonic>,
    core: Core,
    journal: Journal,
    slots: Slots,
    link: Option<Link>,
    keep_alive: KeepAlive,
    parting: Option<Link>,
    /// Commands that came when no more could be answered, not acknowledged yet.
    put_off: VecDeque<Publish>,
    is_ending: bool,
    at_hand: AtHand,
    chunk: Option<Chunk>,
    /// Of the jobs whose end is not written down yet.
    details: Vec<(JobId, Details)>,
    job: Option<RunningJob>,
    /// What runs beside it.
    download: Option<RunningJob>,
    /// The agent ended in the middle of a job: its lock may be left in the repository.
    died_in_job: bool,
    known: RepositoryKnown,
    options: Options,
    plan: KeptPlan,
    /// Since when no server serves this host: there is no connection, or only to an old copy.
    away_since: Option<Monotonic>,
    /// When to look for what is due.
    look_at: Monotonic,
    /// When it is looked again whether the state folder has room.
    room_at: Monotonic,
    restic: Option<Restic>,
    /// The snapshot that was looked through last: between the dry run of a restore and the restore, mostly.
    walked: Option<Walked>,
    connected_since: Option<schema::Timestamp>,
    last_hello_at: Option<schema::Timestamp>,
    last_error: Option<ErrorStatus>,
    /// What each address that does not serve this host has said last.
    refusals: Vec<(String, String)>,
    version_notice: Option<String>,
    answered_version: bool,
    /// Own file, from before another one may take its place.
    program: Option<PathBuf>,
    /// The occurrence that could not be taken alone and was told of.
    told_due: Option<DueBackup>,
    /// What of the plan can't be done here, as it was told of.
    told_left: Option<String>,
    heartbeat: Option<Heartbeat>,
}

/// Runs the agent on a state folder until a signal ends it.
pub async fn run(state_dir: &Path, options: Options) -> Result<AgentEnd, RunError> {
    let state = StateFolder::open(state_dir)?;
    let _lock = state.lock()?;
    // A policy that can't be read is told when it is needed; the next drill clears, too.
    let drill = options.policy.load().ok().map(|policy| policy.drill_folder());
    restic::clear_scratch(state.path(), drill);
    let mut driver = Driver::new(state, options)?;
    let system = |what| move |source| RunError::System { what, source };
    let listener = status::listen(&driver.state)
        .inspect_err(|error| logger::warn(format_args!("no status socket: {error}")))
        .ok();
    let mut term = signal(SignalKind::terminate()).map_err(system("SIGTERM can't be caught"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("SIGINT can't be caught"))?;
    let mut renewal = signal(SignalKind::user_defined2()).map_err(system("SIGUSR2 can't be caught"))?;
    let mut ended = AgentEnd::Told;
    driver.probe_restic().await;
    logger::info(format_args!(
        "holdfast-agent {VERSION} runs as {} ({}) for {}",
        driver.identity.host_name,
        driver.identity.host,
        driver.plan.addresses(&driver.identity)
    ));
    loop {
        driver.carry_out();
        driver.take_put_off();
        driver.carry_out();
        if let Some(link) = driver.parting.take() {
            link.disconnect().await;
            continue;
        }
        if driver.is_ending {
            break;
        }
        let wait = driver.next_wait();
        let hears_job = driver.hears_job();
        tokio::select! {
            biased;
            _ = term.recv() => {
                ended = AgentEnd::Told;
                driver.shut_down("SIGTERM");
            }
            _ = interrupt.recv() => {
                ended = AgentEnd::Told;
                driver.shut_down("SIGINT");
            }
            _ = renewal.recv() => {
                ended = AgentEnd::ToStartAgain;
                driver.shut_down("SIGUSR2");
            }
            event = next_link_event(&mut driver.link) => driver.handle_link(event),
            step = next_job_step(&mut driver.job), if hears_job => driver.handle_job(step),
            step = next_job_step(&mut driver.download) => driver.handle_job(step),
            heard = next_heard(&mut driver.heartbeat) => driver.handle_heard(&heard),
            stream = next_asker(listener.as_ref()) => driver.answer_status(stream),
            () = tokio::time::sleep(wait) => driver.handle_time(),
        }
    }
    let Driver { journal, core, state, .. } = driver;
    journal.close(core.saved());
    // Only a socket of this very process: the lock is still held.
    let _ = state.remove("status.sock");
    logger::info(format_args!("ended"));
    Ok(ended)
}

async fn next_link_event(link: &mut Option<Link>) -> LinkEvent {
    match link {
        Some(link) => link.event().await,
        None => std::future::pending().await,
    }
}

async fn next_job_step(job: &mut Option<RunningJob>) -> (JobId, JobStep) {
    match job {
        Some(job) => (job.job, job.step().await),
        None => std::future::pending().await,
    }
}

async fn next_heard(heartbeat: &mut Option<Heartbeat>) -> Result<(), heartbeat::error::AskError> {
    match heartbeat {
        Some(heartbeat) => heartbeat.heard().await,
        None => std::future::pending().await,
    }
}

async fn next_asker(listener: Option<&UnixListener>) -> Option<UnixStream> {
    let Some(listener) = listener else { return std::future::pending().await };
    match listener.accept().await {
        Ok((stream, _)) => Some(stream),
        Err(error) => {
            logger::warn(format_args!("status socket: {error}"));
            // Out of file descriptors, say: don't spin on it.
            tokio::time::sleep(Duration::from_secs(1)).await;
            None
        }
    }
}

impl Driver {
    fn new(state: StateFolder, options: Options) -> Result<Self, RunError> {
        let identity = Identity::load(&state)?;
        let installation = identity::installation(&state)?;
        let tls = tls::pinned(&identity.ca_pem)?;
        let slots = Slots::open(&state)?;
        let random = |_| IdentityError::Random;
        let fresh = Fresh {
            stream: Stream(random::u64().map_err(random)?.max(1)),
            epoch: Epoch(clock::wall().0 / 1000),
        };
        let OpenedJournal { journal, mut saved, condition } = Journal::open(&state, fresh)?;
        saved.slots = slots.states();
        let died_in_job = saved.held.iter().any(|entry| entry.started_at.is_some());
        let trouble = match condition {
            Condition::Damaged => Some(Trouble::JournalSetAside),
            _ if slots.set_aside => Some(Trouble::CredentialsSetAside),
            _ => None,
        };
        let known = schema::decode(journal.figures()).unwrap_or_default();
        let mut machine = Machine::look();
        let run = random::u64().map_err(random)? | RUN_MARK;
        machine.boot_id[8..].copy_from_slice(&run.to_le_bytes());
        let start = Start { saved, seed: random::u64().map_err(random)?, trouble };
        let plan = KeptPlan::load(&state);
        let heartbeat = options.heartbeat.clone();
        let heartbeat = heartbeat.map(|wanted| Heartbeat::new(wanted, Backups::load(&state), clock::mono()));
        Ok(Self {
            state,
            identity,
            installation,
            machine,
            tls,
            turns: Turns::default(),
            dialled: String::new(),
            connected_at: None,
            core: Core::new(start, clock::now()),
            journal,
            slots,
            link: None,
            keep_alive: KeepAlive::new(options.keep_alive_secs),
            parting: None,
            put_off: VecDeque::new(),
            is_ending: false,
            at_hand: AtHand::default(),
            chunk: None,
            details: Vec::new(),
            job: None,
            download: None,
            died_in_job,
            known,
            options,
            plan,
            away_since: Some(clock::mono()),
            look_at: clock::mono(),
            room_at: clock::mono(),
            restic: None,
            walked: None,
            connected_since: None,
            last_hello_at: None,
            last_error: None,
            refusals: Vec::new(),
            version_notice: None,
            answered_version: false,
            program: std::env::current_exe().ok(),
            told_due: None,
            told_left: None,
            heartbeat,
        })
    }

    /// Looks for restic when there was none, or when its file has changed.
    async fn probe_restic(&mut self) {
        if self.restic.as_ref().is_some_and(Restic::is_unchanged) {
            return;
        }
        let search = std::env::var_os("PATH").unwrap_or_default();
        match Restic::probe(&self.options.restic, &search).await {
            Ok(found) => {
                logger::info(format_args!("restic {} at {}", found.version(), found.path().display()));
                self.restic = Some(found);
            }
            Err(error) => {
                self.fail(error.to_string());
                self.restic = None;
            }
        }
    }

    /// Logs what went wrong and keeps it for the status.
    fn fail(&mut self, text: String) {
        logger::warn(format_args!("{text}"));
        self.last_error = Some(ErrorStatus { at: Instant(clock::wall()), text });
    }

    /// The same of the address that was dialled: what the others have said stays beside it until one serves, as one that can't be
    /// reached says nothing of why the right one refuses.
    fn fail_at(&mut self, text: String) {
        self.refusals.retain(|(address, _)| *address != self.dialled);
        self.refusals.push((self.dialled.clone(), text.clone()));
        self.fail(text);
        if let Some(last) = &mut self.last_error {
            last.text = self.refusals.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" | ");
        }
    }

    fn next_wait(&self) -> Duration {
        // Nothing waits for it; so often it is looked whether the machine's clock was set.
        const LONGEST_MS: u64 = 600_000;
        let core = self.core.next_wake().map(|wake| wake.at);
        let running = || self.job.iter().chain(&self.download);
        let log = running().filter_map(|job| job.log.due_at());
        let look = self.away_since.filter(|_| !self.core.is_connected()).map(|_| self.look_at);
        let room = running().map(|_| self.room_at);
        let beat = self.heartbeat.as_ref().and_then(Heartbeat::due_at);
        let at = core.into_iter().chain(log).chain(look).chain(room).chain(beat).min();
        Duration::from_millis(at.map_or(LONGEST_MS, |at| at.ms_since(clock::mono()).min(LONGEST_MS)))
    }

    fn shut_down(&mut self, signal: &str) {
        logger::info(format_args!("{signal}: ending"));
        self.core.handle_shutdown(clock::now());
    }

    /// The address that is in use, or the one to try next.
    fn address(&self) -> &str {
        match self.link {
            Some(_) => &self.dialled,
            None => self.turns.pick(self.plan.addresses(&self.identity)),
        }
    }

    fn answer_status(&self, stream: Option<UnixStream>) {
        if let Some(stream) = stream {
            tokio::spawn(status::answer(stream, self.status()));
        }
    }

    fn status(&self) -> Status {
        let saved = self.core.saved();
        let (running, waiting): (Vec<_>, Vec<_>) =
            saved.held.iter().partition(|held| self.core.runs(held.ticket.job));
        let is_download = |held: &&&HeldEntry| held.ticket.kind == JobKind::Download;
        let mut status = Status {
            version: VERSION.to_owned(),
            is_running: true,
            pid: Some(std::process::id()),
            program: self.program.as_ref().map(|path| path.display().to_string()),
            connected_since: self.connected_since.map(Instant),
            last_hello_at: self.last_hello_at.map(Instant),
            running: running.iter().find(|held| !is_download(held)).map(|held| JobStatus::of(held)),
            download: running.iter().find(is_download).map(|held| JobStatus::of(held)),
            queue: Some(waiting.into_iter().map(JobStatus::of).collect()),
            unacked_reports: Some(saved.last_report.since(saved.acked)),
            last_error: self.last_error.clone(),
            version_notice: self.version_notice.clone(),
            restic: self.restic.as_ref().map(|found| found.version().to_string()),
            state_folder_fails: Some(self.core.store_fails()),
            has_credentials: Some(saved.slot(Slot::Repo).filled),
            clock_ahead_ms: self.clock_ahead_ms(),
            heartbeat: self.heartbeat.as_ref().map(Heartbeat::status),
            ..Status::default()
        };
        status.name(&self.identity, self.address());
        status.tell_plan(&self.plan, self.identity.host);
        status
    }
}
