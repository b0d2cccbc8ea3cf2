//! Runs jobs of a person at this machine: opens the state folder without locking it, follows the jobs, ends them in order
//! when a signal comes, and asks before something is replaced.

use super::{
    end::{End, INTERRUPTED},
    json::Line,
    options::{LocalCommand, Target, What, Wish},
    words::{self, shown},
};
use crate::{
    clock,
    doctor::Where,
    folder::NewFolder,
    identity::Identity,
    plan::KeptPlan,
    policy::Policy,
    random,
    restic::{
        self, CarriedOver, Control, Credentials, JobEnd, JobEvent, JobOrder, JobProgress, JobSummary, Places,
        RestoreTo, SnapshotSeen,
    },
    slots,
    state_folder::{StateError, StateFolder},
};
use agent_core::Monotonic;
use rustix::{
    fs::{Access, access},
    process::geteuid,
};
use schema::{Class, JobSpec, LogStream};
use std::{
    fs::DirBuilder,
    io::{self, ErrorKind, IsTerminal as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
};

/// How many events may wait.
const EVENTS: usize = 16;
/// More than the stops that are sent.
const CONTROLS: usize = 4;
/// Of ids that begin alike, so many are named.
const MOST_NAMED: usize = 10;

/// The signals that end it.
struct Signals([Signal; 3]);

impl Signals {
    fn catch() -> io::Result<Self> {
        let caught = |kind| signal(kind);
        Ok(Self([
            caught(SignalKind::interrupt())?,
            caught(SignalKind::terminate())?,
            caught(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The opened state folder, and how jobs are run with what is in it.
pub(super) struct Session<'a> {
    asked: &'a LocalCommand,
    credentials: Credentials,
    places: Places,
    known: CarriedOver,
    signals: Signals,
    /// What this session has for itself, taken away at its end.
    scratch: PathBuf,
    /// Whose the state folder is.
    owner: (u32, u32),
    /// What people call this host.
    host_name: String,
    /// The host name in the snapshots that are meant.
    pub(super) host: String,
    /// The policy, with the rights of a person at this machine.
    pub(super) policy: Policy,
}

impl<'a> Session<'a> {
    pub(super) fn open(asked: &'a LocalCommand) -> Result<Self, End> {
        let Where { state_dir, restic, policy: at } = &asked.at;
        let state = StateFolder::open(state_dir).map_err(|error| not_opened(&error, state_dir))?;
        let failed = |error: StateError| not_opened(&error, state_dir);
        let credentials = match slots::look(&state) {
            Ok(Some(credentials)) => credentials,
            Ok(None) => return Err(End { class: Some(Class::NoCredentials), ..no_credentials(&state) }),
            Err(why) => {
                let message = format!(
                    "{why}. Enter them again on the host's page Repo; without the server, take address and password from the break-glass kit, and restic itself."
                );
                return Err(End { class: Some(Class::NoCredentials), ..End::failed(&message) });
            }
        };
        let host_name = Identity::load(&state).map_or_else(|_| String::new(), |it| it.host_name.clone());
        let kept = KeptPlan::load(&state);
        let own = kept.get().map_or_else(|| host_name.clone(), |plan| plan.restic_host.to_owned());
        let policy = at.load().unwrap_or_else(|error| {
            words::say(&format!("holdfast-agent: {error}. Its limits are not kept.\n"));
            at.least()
        });
        if let Some(why) =
            policy.refuses_repository(&credentials.url, credentials.env.iter().map(|(name, _)| name.as_str()))
        {
            return Err(End { class: Some(Class::Policy), ..End::failed(&why) });
        }
        let metadata = std::fs::metadata(state_dir)
            .map_err(|source| failed(StateError::Folder { path: state_dir.clone(), source }))?;
        let owner = (metadata.uid(), metadata.gid());
        let signals = Signals::catch().map_err(|error| End::failed(&error.to_string()))?;
        let scratch = make_scratch().map_err(|why| End::failed(&why))?;
        // What another user's restic has written there the agent's could not read.
        let is_shared = geteuid().as_raw() == owner.0 && access(state_dir, Access::WRITE_OK).is_ok();
        let cache = if is_shared { state.subfolder("cache") } else { scratch.join("cache") };
        let places = Places::of(&state, cache, scratch.join("tmp"), restic.clone());
        let places = policy.within_limits(places);
        let host = asked.host.clone().unwrap_or(own);
        let known = CarriedOver::default();
        let policy = with_the_owners_rights(policy, &asked.what);
        Ok(Self { asked, credentials, places, known, signals, scratch, owner, host_name, host, policy })
    }

    /// Takes away what it had for itself.
    pub(super) fn close(&self) {
        if let Err(error) = restic::clear(&self.scratch) {
            words::say(&format!("holdfast-agent: {} can't be removed: {error}\n", self.scratch.display()));
        }
    }

    /// A line about what goes on.
    pub(super) fn tell(&self, text: &str) {
        if self.asked.json {
            // What it ends with is told of output that can't be written.
            let _ = Line::of("log").text("text", text).print();
        } else {
            words::say(&format!("{}\n", shown(text)));
        }
    }

    /// Runs a job to its end; `hear` gets what it lists.
    pub(super) async fn job(
        &mut self,
        spec: JobSpec<'_>,
        restore_to: Option<RestoreTo>,
        hear: &mut (dyn FnMut(JobEvent) + '_),
    ) -> JobEnd {
        let order = JobOrder {
            spec,
            command: None,
            restore_to,
            restic_host: &self.host,
            deadline_secs: 0,
            silence_secs: 0,
            credentials: Some(&self.credentials),
            everyday: None,
            places: &self.places,
            known: core::mem::take(&mut self.known),
        };
        let (events, mut heard) = mpsc::channel(EVENTS);
        let (control, mut controls) = mpsc::channel(CONTROLS);
        let mut follow = Follow::of(self.asked);
        let signals = &mut self.signals;
        let mut job = core::pin::pin!(restic::run_job(order, &events, &mut controls));
        let mut end = loop {
            tokio::select! {
                biased;
                () = signals.next() => {
                    let stop = follow.stop();
                    // There is room, and a job that has ended needs none.
                    let _ = control.try_send(stop);
                }
                Some(event) = heard.recv() => follow.hear(event, hear),
                end = &mut job => break end,
            }
        };
        while let Ok(event) = heard.try_recv() {
            follow.hear(event, hear);
        }
        follow.clear();
        self.known = core::mem::take(&mut end.known);
        end
    }

    /// All snapshots, newest first, and how many are not among them.
    pub(super) async fn snapshots(&mut self) -> Result<(Vec<SnapshotSeen>, u32), End> {
        let mut all = Vec::new();
        let mut hear = |event| {
            if let JobEvent::Snapshot(seen) = event {
                all.push(seen);
            }
        };
        let end = self.job(JobSpec::Snapshots, None, &mut hear).await;
        let left_out = match end.summary {
            JobSummary::Snapshots { left_out, .. } => left_out,
            _ => 0,
        };
        let end = End::of(end);
        if end.is_nothing() {
            return Err(end);
        }
        all.reverse();
        Ok((all, left_out))
    }

    /// The snapshot of this id, of which the first characters are enough, or the newest one.
    pub(super) async fn resolve(&mut self, wanted: &str) -> Result<SnapshotSeen, End> {
        let (all, left_out) = self.snapshots().await?;
        choose(&all, self.asked, wanted, &self.host).map_err(|why| match left_out {
            0 => End::failed(&why),
            _ => End::failed(&format!("{why} {left_out} snapshots could not be read.")),
        })
    }

    /// Has a person type the host's name.
    pub(super) async fn confirm(&mut self) -> Result<(), End> {
        let name = if self.host_name.is_empty() { &self.host } else { &self.host_name };
        words::say(&format!("Type the name of this host, {}, to do it: ", shown(name)));
        let (sender, typed) = oneshot::channel();
        // A line that never comes must not keep a signal from ending this; the thread ends with the process.
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = io::stdin().read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = tokio::select! {
            line = typed => line.unwrap_or_default(),
            () = self.signals.next() => {
                let message = "Nothing was restored.".to_owned();
                return Err(End { code: INTERRUPTED, class: Some(Class::Cancelled), message });
            }
        };
        if !line.ends_with('\n') {
            words::say("\n");
        }
        if line.trim() == name.as_str() {
            return Ok(());
        }
        Err(End::failed(
            "Nothing was restored: that is not the name of this host. With --yes nothing is asked.",
        ))
    }

    /// Makes the base of new folders where it is missing, and gives it to the agent's user, who will make others in it.
    pub(super) fn make_base(&self) -> Result<(), End> {
        let (uid, _) = self.owner;
        if uid == geteuid().as_raw() {
            return Ok(());
        }
        NewFolder::make_way(&self.policy.restore_base, self.owner).map_err(|error| {
            End::failed(&format!("Nothing was restored: {error}. Name another folder with --target."))
        })
    }
}

/// Follows a job: shows what it says and how far it is.
struct Follow {
    json: bool,
    verbose: bool,
    /// Whether a line of progress may be written over the one before.
    is_live: bool,
    has_line: bool,
    begun: Monotonic,
    stops: u8,
}

impl Follow {
    fn of(asked: &LocalCommand) -> Self {
        let is_live = !asked.json && io::stderr().is_terminal();
        let (json, verbose) = (asked.json, asked.verbose);
        Self { json, verbose, is_live, has_line: false, begun: clock::mono(), stops: 0 }
    }

    fn hear(&mut self, event: JobEvent, hear: &mut (dyn FnMut(JobEvent) + '_)) {
        match event {
            JobEvent::Log { stream, text, .. } => {
                // Which restic is run is for whoever looks for a fault.
                let is_ours = stream == LogStream::Agent && !text.starts_with("restic ");
                if (is_ours || self.verbose) && self.json {
                    let _ = Line::of("log").text("text", &text).print();
                } else if is_ours || self.verbose {
                    self.clear();
                    words::say(&format!("{}\n", shown(&text)));
                }
            }
            JobEvent::Progress(progress) => self.progress(&progress),
            other => hear(other),
        }
    }

    fn progress(&mut self, progress: &JobProgress) {
        let passed_ms = clock::mono().ms_since(self.begun);
        if self.json {
            let _ = json_progress(progress, passed_ms).print();
        } else if self.is_live {
            words::say(&format!("\r{}\u{1b}[K", words::progress(progress, passed_ms)));
            self.has_line = true;
        }
    }

    /// Takes the line of progress away.
    fn clear(&mut self) {
        if core::mem::take(&mut self.has_line) {
            words::say("\r\u{1b}[K");
        }
    }

    /// Which stop comes next.
    fn stop(&mut self) -> Control {
        self.stops = self.stops.saturating_add(1);
        if self.stops > 1 {
            return Control::Kill;
        }
        self.clear();
        if !self.json {
            words::say("Ending restic; once more ends it at once.\n");
        }
        Control::Interrupt
    }
}

fn json_progress(progress: &JobProgress, passed_ms: u64) -> Line {
    let line = Line::of("progress")
        .number("permille", progress.permille.into())
        .number("files_done", progress.files_done)
        .number("files_total", progress.files_total)
        .number("bytes_done", progress.bytes_done)
        .number("bytes_total", progress.bytes_total)
        .number("bytes_read", progress.bytes_read);
    match words::left_secs(progress, passed_ms) {
        Some(left) => line.number("left_secs", left),
        None => line,
    }
}

/// A policy that keeps the server back, for the person whom it protects.
fn with_the_owners_rights(policy: Policy, what: &What) -> Policy {
    let restore_targets = match what {
        What::Restore(Wish { target: Target::Folder(path), .. }) => vec![path.clone()],
        _ => Vec::new(),
    };
    Policy { source_roots: Vec::new(), restore_in_place: true, restore_targets, ..policy }
}

/// The snapshot that is meant, of those that are listed newest first.
fn choose(
    all: &[SnapshotSeen],
    asked: &LocalCommand,
    wanted: &str,
    host: &str,
) -> Result<SnapshotSeen, String> {
    if wanted == "latest" {
        let is_wanted = |seen: &&SnapshotSeen| asked.wants(seen);
        let own = all.iter().filter(is_wanted).find(|seen| seen.hostname == host);
        let newest = own.or_else(|| all.iter().find(is_wanted));
        return newest
            .cloned()
            .ok_or_else(|| format!("{} holdfast-agent list shows those that are there.", asked.none()));
    }
    let begins = |seen: &&SnapshotSeen| seen.id.starts_with(wanted);
    let found: Vec<&SnapshotSeen> = all.iter().filter(begins).collect();
    match found.as_slice() {
        [] => Err(format!(
            "There is no snapshot {wanted} in the repository. holdfast-agent list shows those that are there; latest is the newest of this host."
        )),
        [one] if asked.wants(one) => Ok((*one).clone()),
        [one] => Err(format!(
            "Snapshot {} is not what --host and --group name: leave them out, or name another one.",
            words::named(one, 16)
        )),
        several => {
            let named: Vec<String> =
                several.iter().take(MOST_NAMED).map(|seen| words::named(seen, 16)).collect();
            Err(format!(
                "{} snapshots begin with {wanted}: name more of the one that is meant.\n{}",
                several.len(),
                named.join("\n")
            ))
        }
    }
}

/// A folder of its own, which nobody else may look into.
fn make_scratch() -> Result<PathBuf, String> {
    let at = match std::env::var_os("TMPDIR") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        // Restarts leave it, so it lies on a disk, mostly.
        _ if Path::new("/var/tmp").is_dir() => PathBuf::from("/var/tmp"),
        _ => PathBuf::from("/tmp"),
    };
    let number = random::u64().map_err(|error| error.to_string())?;
    let folder = at.join(format!("holdfast-agent-{number:016x}"));
    DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .map_err(|error| format!("{}: {error}. Name a folder to work in with TMPDIR.", folder.display()))?;
    Ok(folder)
}

fn no_credentials(state: &StateFolder) -> End {
    match Identity::load(state) {
        Err(error) => End::failed(&format!("{error}. Without it nothing is known of any repository here.")),
        Ok(_) => End::failed(
            "This machine was never given a repository: nothing was backed up from here by Holdfast. One is set on the host's page Repo.",
        ),
    }
}

fn not_opened(error: &StateError, state_dir: &Path) -> End {
    let kind = match error {
        StateError::Folder { source, .. } => source.kind(),
        _ => ErrorKind::Other,
    };
    let command = "sudo holdfast-agent";
    End::failed(&match kind {
        ErrorKind::PermissionDenied => {
            format!("{error}. Run it as root or as the agent's user: {command} …")
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => format!(
            "There is no state folder {}: this machine was not enrolled. Name another one with --state-dir; on another machine, the break-glass kit and restic itself do it.",
            state_dir.display()
        ),
        _ => error.to_string(),
    })
}
