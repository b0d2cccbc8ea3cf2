//! What `holdfast-agent status` shows, and the small socket it asks.

use crate::{
    clock,
    identity::{Identity, IdentityError},
    journal::{Journal, frame::Sort},
    offline_plan,
    plan::KeptPlan,
    platform::VERSION,
    rfc3339::Instant,
    slots,
    state_folder::StateFolder,
};
use agent_core::HeldEntry;
use schema::{HostId, PlanRevision};
use serde::{Deserialize, Serialize};
use std::{
    fmt::Write as _,
    io::{self, Read as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, net::UnixListener};

const SOCKET: &str = "status.sock";
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A clock that is off by so much is told of, in milliseconds.
const CLOCK_OFF_MS: u64 = 60_000;
const MAX_ANSWER_BYTES: u64 = 256 * 1024;

/// How an agent is. What nobody can tell while no agent runs is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Of this program.
    pub version: String,
    /// Whether an agent runs on the state folder.
    pub is_running: bool,
    /// The agent's process.
    pub pid: Option<u32>,
    /// The agent's own file.
    pub program: Option<String>,
    /// Who this is; `None` = not enrolled.
    pub host: Option<String>,
    /// What people call it.
    pub host_name: Option<String>,
    /// Where the server is: the address in use, or to be tried next; all of them while no agent runs.
    pub server: Option<String>,
    /// Since when it is connected.
    pub connected_since: Option<Instant>,
    /// When it last said hello.
    pub last_hello_at: Option<Instant>,
    /// The job that runs.
    pub running: Option<JobStatus>,
    /// The download that runs, beside the job or alone.
    pub download: Option<JobStatus>,
    /// The job that ran when the agent was ended; it is told as failed at the next start.
    pub interrupted: Option<JobStatus>,
    /// The jobs that wait, in order.
    pub queue: Option<Vec<JobStatus>>,
    /// Reports that the server has not acked.
    pub unacked_reports: Option<u64>,
    /// The number of the plan for when the server is away; `None` = it has sent none.
    pub plan_revision: Option<PlanRevision>,
    /// When the next backup of the plan is due.
    pub next_due_at: Option<Instant>,
    /// Whether the backups of this host wait until somebody starts them at the server, for another machine was here before.
    pub backups_held: bool,
    /// The last thing that went wrong.
    pub last_error: Option<ErrorStatus>,
    /// What the server said about the versions of the wire.
    pub version_notice: Option<String>,
    /// The restic that is used; `None` = there is none.
    pub restic: Option<String>,
    /// Whether the state folder can't be written.
    pub state_folder_fails: Option<bool>,
    /// Whether there are everyday credentials.
    pub has_credentials: Option<bool>,
    /// How far this machine's clock is ahead of the server's, in milliseconds; negative: behind.
    pub clock_ahead_ms: Option<i64>,
    /// The heartbeat; `None` = nobody has asked for one.
    pub heartbeat: Option<HeartbeatStatus>,
}

/// How the heartbeat is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatStatus {
    /// When one was taken last.
    pub taken_at: Option<Instant>,
    /// Why the last one was not sent, or not taken.
    pub why: Option<String>,
}

/// A held job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Id of the job.
    pub id: String,
    /// Kind of the job.
    pub kind: String,
}

/// Something that went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorStatus {
    /// When it went wrong.
    pub at: Instant,
    /// What went wrong, in words.
    pub text: String,
}

impl JobStatus {
    /// Of a held job.
    #[must_use]
    pub fn of(held: &HeldEntry) -> Self {
        Self { id: held.ticket.job.to_string(), kind: held.ticket.kind.as_str().to_owned() }
    }
}

/// Asks the agent that runs on this state folder; without one, says what the folder says, and leaves it as it is.
#[must_use]
pub fn ask(state: &StateFolder) -> Status {
    ask_running(state).unwrap_or_else(|| {
        let mut status = Status::of_nobody();
        match Identity::load(state) {
            Ok(identity) => {
                let plan = KeptPlan::load(state);
                status.name(&identity, plan.addresses(&identity));
                status.tell_plan(&plan, identity.host);
                status.read(state);
            }
            Err(IdentityError::NotEnrolled) => {}
            Err(error) => status.fail(&error),
        }
        status
    })
}

fn ask_running(state: &StateFolder) -> Option<Status> {
    let stream = UnixStream::connect(state.file(SOCKET)).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).ok()?;
    serde_json::from_slice(&answer).ok()
}

/// Opens the socket of a state folder whose lock is held.
pub fn listen(state: &StateFolder) -> io::Result<UnixListener> {
    let path = state.file(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers whoever has connected.
pub async fn answer(mut stream: tokio::net::UnixStream, status: Status) {
    let Ok(text) = serde_json::to_vec(&status) else { return };
    let send = async {
        stream.write_all(&text).await?;
        stream.shutdown().await
    };
    // Who asks and does not listen gets nothing.
    let _ = tokio::time::timeout(ANSWER_WITHIN, send).await;
}

impl Status {
    /// Of a machine on which no agent runs, and of which nothing is known.
    #[must_use]
    pub fn of_nobody() -> Self {
        Self { version: VERSION.to_owned(), ..Self::default() }
    }

    /// Adds what the next start will find.
    fn read(&mut self, state: &StateFolder) {
        match slots::has_stored(state) {
            Ok(found) => self.has_credentials = Some(found),
            Err(error) => self.fail(&error),
        }
        match Journal::look(state) {
            Ok(found) => {
                let (begun, waiting): (Vec<_>, Vec<_>) =
                    found.saved.held.iter().partition(|held| held.started_at.is_some());
                self.interrupted = begun.first().copied().map(JobStatus::of);
                self.queue = Some(waiting.into_iter().map(JobStatus::of).collect());
                let kept = found.reports.values().filter(|(sort, _)| *sort != Sort::Dropped);
                self.unacked_reports = Some(kept.count() as u64);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &dyn std::error::Error) {
        self.last_error = Some(ErrorStatus { at: Instant(clock::wall()), text: error.to_string() });
    }

    /// Adds who the agent is, and where it looks for its server.
    pub fn name(&mut self, identity: &Identity, address: &str) {
        self.host = Some(identity.host.to_string());
        self.host_name = Some(identity.host_name.clone());
        self.server = Some(address.to_owned());
    }

    /// Adds what the agent does when it is alone.
    pub fn tell_plan(&mut self, plan: &KeptPlan, host: HostId) {
        let Some(plan) = plan.get() else { return };
        self.plan_revision = Some(plan.revision);
        self.backups_held = plan.backups_held;
        self.next_due_at = offline_plan::next_due(&plan, host, clock::wall()).map(Instant);
    }

    /// How wrong this machine's clock is, in words; `None` = right to within a minute, or not known.
    #[must_use]
    pub fn clock_off(&self) -> Option<String> {
        let ahead_ms = self.clock_ahead_ms.filter(|ahead| ahead.unsigned_abs() >= CLOCK_OFF_MS)?;
        let way = if ahead_ms < 0 { "behind" } else { "ahead of" };
        Some(format!("{} {way} the server's", duration(ahead_ms.unsigned_abs())))
    }

    /// The status as lines for people.
    #[must_use]
    pub fn to_text(&self, now_ms: u64) -> String {
        let mut text = format!("holdfast-agent {}\n", self.version);
        let ago = |at: Instant| format!("{} ago", duration(now_ms.saturating_sub(at.0.0)));
        let job = |job: &JobStatus| format!("{} {}", job.kind, job.id);
        let mut line = |name: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<13} {value}");
        };
        match (&self.host_name, &self.host, &self.server) {
            (Some(name), Some(id), Some(server)) => {
                line("host", &format!("{name} ({id})"));
                line("server", server);
            }
            _ => line("host", "not enrolled: run holdfast-agent enroll TOKEN"),
        }
        if self.is_running {
            line(
                "connection",
                &self.connected_since.map_or_else(|| "none".to_owned(), |at| format!("since {}", ago(at))),
            );
            if let Some(at) = self.last_hello_at {
                line("last hello", &ago(at));
            }
            if let Some(off) = self.clock_off() {
                line("clock", &off);
            }
            line("restic", self.restic.as_deref().unwrap_or("not found"));
        } else {
            line("agent", "not running");
        }
        if let Some(has_credentials) = self.has_credentials {
            line("credentials", if has_credentials { "set" } else { "none yet" });
        }
        if self.is_running {
            let both: Vec<String> = self.running.iter().chain(&self.download).map(job).collect();
            line("running", if both.is_empty() { "nothing" } else { both[0].as_str() });
            for beside in both.iter().skip(1) {
                line("beside it", beside);
            }
        }
        if let Some(interrupted) = &self.interrupted {
            line("interrupted", &job(interrupted));
        }
        for waiting in self.queue.iter().flatten() {
            line("waiting", &job(waiting));
        }
        if self.plan_revision.is_some() {
            let at = self.next_due_at.map(|at| format!("in {}", duration(at.0.0.saturating_sub(now_ms))));
            let none = if self.backups_held {
                "held: this machine took another one's place; start its backups on the host's page"
            } else {
                "none is scheduled"
            };
            line("next backup", at.as_deref().unwrap_or(none));
        }
        if let Some(unacked) = self.unacked_reports {
            line("unacked", &format!("{unacked} reports"));
        }
        if self.state_folder_fails == Some(true) {
            line("state folder", "can't be written");
        }
        if let Some(HeartbeatStatus { taken_at, why }) = &self.heartbeat {
            let taken =
                taken_at.map_or_else(|| "none taken yet".to_owned(), |at| format!("taken {}", ago(at)));
            line("heartbeat", &why.iter().fold(taken, |text, why| format!("{why} (last: {text})")));
        }
        if let Some(notice) = &self.version_notice {
            line("versions", notice);
        }
        if let Some(error) = &self.last_error {
            line("last error", &format!("{} ({})", error.text, ago(error.at)));
        }
        text
    }
}

fn duration(ms: u64) -> String {
    let secs = ms / 1000;
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..86_400 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}
