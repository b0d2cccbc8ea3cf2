//! `holdfast-agent doctor`: looks at everything that has to be right for backups to run here, changes nothing but
//! restic's cache, and says in plain words what is not.

use crate::{
    clock,
    identity::Identity,
    plan::KeptPlan,
    policy::{self, PolicyAt, here},
    restic::{self, CarriedOver, Credentials, JobOrder, Places, Restic},
    slots,
    state_folder::StateFolder,
    status, tls,
};
use rustls::{ClientConnection, pki_types::ServerName};
use schema::{JobKind, JobSpec, Outcome, address};
use serde::Serialize;
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    path::PathBuf,
    time::Duration,
};

/// How long an address gets to take a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long the storage gets to answer, in seconds.
const STORAGE_LIMIT_SECS: u32 = 20;
/// With less space than this the journal is in danger, in bytes…
const LITTLE_SPACE: u64 = 8 << 20;
/// …and with less than this restic's cache is.
const SOME_SPACE: u64 = 256 << 20;
/// 2026-01-01: no clock that is right shows less.
const OLDEST_MS: u64 = 1_767_225_600_000;

/// How bad the result of one check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Nothing is wrong.
    Ok,
    /// Backups run, but something is to be looked at.
    Warn,
    /// Backups don't run.
    Fail,
}

/// The result of one check of `doctor`.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What was checked.
    pub what: &'static str,
    /// Whether it is well, and if not, whether backups run all the same.
    pub verdict: Grade,
    /// In words; of what is wrong, also what to do.
    pub says: String,
}

/// The results of all checks of `doctor`.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// A check stands behind those that it builds on.
    pub findings: Vec<Finding>,
}

/// The folders and programs that are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Where {
    /// The state folder.
    pub state_dir: PathBuf,
    /// The restic to use.
    pub restic: PathBuf,
    /// Where the policy is.
    pub policy: PolicyAt,
}

impl Report {
    /// Whether nothing failed.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict != Grade::Fail)
    }

    /// The findings as lines for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Finding { what, verdict, says } in &self.findings {
            let word = match verdict {
                Grade::Ok => "ok",
                Grade::Warn => "look",
                Grade::Fail => "FAIL",
            };
            let _ = writeln!(text, "{word:<5} {what:<13} {says}");
        }
        text
    }

    fn add(&mut self, what: &'static str, verdict: Grade, says: impl Into<String>) {
        self.findings.push(Finding { what, verdict, says: says.into() });
    }

    /// An error fails, anything else is well.
    fn take<T>(&mut self, what: &'static str, looked: Result<(T, String), String>) -> Option<T> {
        match looked {
            Ok((found, says)) => {
                self.add(what, Grade::Ok, says);
                Some(found)
            }
            Err(says) => {
                self.add(what, Grade::Fail, says);
                None
            }
        }
    }
}

/// Looks at everything.
pub async fn examine(at: &Where) -> Report {
    let mut report = Report::default();
    look_at_clock(&mut report);
    look_at_policy(&mut report, &at.policy);
    let search = std::env::var_os("PATH").unwrap_or_default();
    let probed = Restic::probe(&at.restic, &search).await;
    let has_restic = report.take(
        "restic",
        probed
            .map(|found| ((), format!("{} at {}", found.version(), found.path().display())))
            .map_err(|error| format!("{error}. Install restic 0.14 or newer, or name it with --restic.")),
    );
    let opened = StateFolder::open(&at.state_dir);
    let state =
        opened.map_err(|error| format!("{error}. Enrol this machine first: holdfast-agent enroll TOKEN"));
    let Some(state) =
        report.take("state folder", state.map(|state| (state, at.state_dir.display().to_string())))
    else {
        return report;
    };
    look_at_space(&mut report, &state);
    let identity = Identity::load(&state).map_err(|error| error.to_string());
    let identity = identity.map(|it| {
        let says = format!("{} ({}) of {}", it.host_name, it.host, it.addresses);
        (it, says)
    });
    let Some(identity) = report.take("identity", identity) else { return report };
    look_at_addresses(&mut report, &identity, KeptPlan::load(&state).addresses(&identity));
    look_at_agent(&mut report, &state);
    match slots::look(&state) {
        Err(why) => {
            report.add("credentials", Grade::Fail, format!("{why}: save them again on the host's page"));
        }
        Ok(None) => report.add("credentials", Grade::Warn, "none yet: set them on the host's Repo page"),
        Ok(Some(credentials)) => {
            report.add("credentials", Grade::Ok, "of the repository are here");
            if has_restic.is_some() {
                look_at_repository(&mut report, at, &state, &credentials).await;
            }
        }
    }
    report
}

fn look_at_clock(report: &mut Report) {
    let now = clock::wall();
    let shown = crate::rfc3339::Instant(now).to_string();
    if now.0 < OLDEST_MS {
        let says = format!(
            "{shown}: the clock is wrong, so that TLS and schedules can't work. Set it, and let NTP keep it."
        );
        report.add("clock", Grade::Fail, says);
    } else {
        report.add("clock", Grade::Ok, shown);
    }
}

fn look_at_policy(report: &mut Report, at: &PolicyAt) {
    let told = policy::check(at);
    match (told.problems.is_empty(), at.load()) {
        (true, Ok(policy)) => match policy.not_now(JobKind::Backup, &here(clock::wall())) {
            None => report.add("policy", Grade::Ok, told.file),
            Some(why) => report.add("policy", Grade::Warn, format!("{} ({why})", told.file)),
        },
        (false, Ok(_)) => report.add("policy", Grade::Warn, told.problems.join("; ")),
        (_, Err(error)) => report.add("policy", Grade::Fail, format!("{error}. The agent runs no job.")),
    }
}

fn look_at_space(report: &mut Report, state: &StateFolder) {
    let free = state.free_bytes();
    let says = format!("{} MiB free for the state folder", free >> 20);
    match free {
        0..LITTLE_SPACE => {
            report.add("space", Grade::Fail, format!("{says}: results can't be kept. Free some."));
        }
        LITTLE_SPACE..SOME_SPACE => {
            report.add("space", Grade::Warn, format!("{says}: restic's cache has little room"));
        }
        _ => report.add("space", Grade::Ok, says),
    }
}

/// One address that leads to the server is enough; of the others it is said what is wrong.
fn look_at_addresses(report: &mut Report, identity: &Identity, addresses: &str) {
    let first = report.findings.len();
    let mut is_reached = false;
    for address in address::list(addresses) {
        is_reached |= look_at_server(report, identity, address).is_some();
    }
    for finding in &mut report.findings[first..] {
        if is_reached && finding.verdict == Grade::Fail {
            finding.verdict = Grade::Warn;
        }
    }
}

/// `None` = it does not lead to the server.
fn look_at_server(report: &mut Report, identity: &Identity, address: &str) -> Option<()> {
    let Some((host, port)) = address::split(address) else {
        report.add("server", Grade::Fail, format!("{address:?} is no address"));
        return None;
    };
    let found = (host, port).to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>);
    let found = match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{host} has no address")),
        Err(error) => {
            Err(format!("{host} can't be looked up: {error}. Look at the name servers of this machine."))
        }
    };
    let named = found.map(|found| {
        let all: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
        (found, format!("{host} is {}", all.join(", ")))
    });
    let addresses = report.take("name", named)?;
    let stream = addresses
        .iter()
        .map(|address| TcpStream::connect_timeout(address, CONNECT_LIMIT))
        .reduce(Result::or)
        .unwrap_or_else(|| Err(io::ErrorKind::AddrNotAvailable.into()))
        .map(|stream| (stream, format!("{address} takes connections")))
        .map_err(|error| {
            format!(
                "{address} can't be reached: {error}. Does the server run, and does a firewall stand between?"
            )
        });
    let stream = report.take("server", stream)?;
    report.take("TLS", handshake(identity, host, stream))
}

fn handshake(identity: &Identity, host: &str, mut stream: TcpStream) -> Result<((), String), String> {
    let config = tls::pinned(&identity.ca_pem).map_err(|error| error.to_string())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let limit = Some(CONNECT_LIMIT);
    let shaken = stream
        .set_read_timeout(limit)
        .and_then(|()| stream.set_write_timeout(limit))
        .map_err(|error| error.to_string())
        .and_then(|()| ClientConnection::new(config, name).map_err(|error| error.to_string()))
        .and_then(|mut tls| {
            while tls.is_handshaking() {
                tls.complete_io(&mut stream).map_err(|error| error.to_string())?;
            }
            let _ = stream.flush();
            Ok(())
        });
    match shaken {
        Ok(()) => Ok(((), "the server shows the certificate that this machine was enrolled with".to_owned())),
        Err(why) => Err(format!(
            "{why}. Is the clock right? A server that was set up anew has another certificate: enrol again with a new \
             token and --force."
        )),
    }
}

fn look_at_agent(report: &mut Report, state: &StateFolder) {
    let status = status::ask(state);
    if let Some(off) = status.clock_off() {
        let says = format!(
            "{off}. Backups run all the same; set it, and let NTP keep it, for snapshots bear its times."
        );
        report.add("clock", Grade::Warn, says);
    }
    match (status.is_running, status.connected_since.is_some()) {
        (true, true) => report.add("agent", Grade::Ok, "runs and is connected"),
        (true, false) => {
            let why = status.last_error.map(|error| format!(": {}", error.text)).unwrap_or_default();
            report.add("agent", Grade::Fail, format!("runs and is not connected{why}"));
        }
        (false, _) => {
            report.add("agent", Grade::Warn, "does not run: holdfast-agent run, or your service manager");
        }
    }
}

/// Opens the repository, as the test of the credentials on the server's page does.
async fn look_at_repository(report: &mut Report, at: &Where, state: &StateFolder, credentials: &Credentials) {
    let places = Places::of(state, state.subfolder("cache"), state.subfolder("tmp"), at.restic.clone());
    let order = JobOrder {
        spec: JobSpec::Probe,
        command: None,
        restore_to: None,
        restic_host: "doctor",
        deadline_secs: STORAGE_LIMIT_SECS,
        silence_secs: 0,
        credentials: Some(credentials),
        everyday: None,
        places: &places,
        known: CarriedOver::default(),
    };
    let (events, mut heard) = tokio::sync::mpsc::channel(16);
    let (_control, mut controls) = tokio::sync::mpsc::channel(1);
    let job = restic::run_job(order, &events, &mut controls);
    let drain = async { while heard.recv().await.is_some() {} };
    let end = tokio::select! {
        end = job => end,
        () = drain => return,
    };
    if end.outcome == Outcome::Succeeded {
        report.add("repository", Grade::Ok, "restic opens it with the credentials that are here");
    } else {
        report.add("repository", Grade::Fail, end.message.replace('\n', " "));
    }
}
