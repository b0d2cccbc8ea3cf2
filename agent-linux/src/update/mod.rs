//! Another version of the agent in place of the one that runs: `holdfast-agent update FILE`.
//!
//! 1. The file's signature is checked with the key in the policy file ([`signature`]), and what was checked is written
//!    beside the program, where it has to start.
//! 2. The running agent gets SIGUSR2. It ends its work in order, and starts the new program as its child ([`trial`]).
//! 3. The new one says hello to the server; only then it takes the place of the old program, by one rename, and the
//!    agent's process goes on as the new program. It keeps its number: no service manager has to take part.
//!
//! When the new one does not say hello in time, or ends, or `update` itself does, nothing was replaced: the agent's process
//! goes on as the old program. A power cut leaves either the old program or the new one that has said hello.

pub mod signature;
pub mod trial;

use crate::{
    clock,
    policy::{PolicyAt, PolicyError},
    state_folder::{StateError, StateFolder},
    status::{self, Status},
};
use agent_core::Monotonic;
use rustix::process::{Pid, Signal, kill_process};
use schema::version;
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};
use trial::Trial;

/// How long the new program has for its hello when nothing else is said, in seconds.
pub const WAIT_SECS: u32 = 120;
/// Locked while an update goes on.
const LOCK_FILE: &str = "update-lock";
/// How long a program may take to tell its version.
const VERSION_WITHIN: Duration = Duration::from_secs(10);
const MAX_PROGRAM_BYTES: u64 = 64 * 1024 * 1024;
const MAX_SIGNATURE_BYTES: u64 = 1024;
const MAX_VERSION_BYTES: u64 = 256;
const LOOK_EACH: Duration = Duration::from_millis(250);
/// A connection that breaks this soon says that the server does not want the new program.
const STANDS_FOR: Duration = Duration::from_secs(3);
/// How long an agent has to end its work and start again, over the wait.
const RESTART_WITHIN: Duration = Duration::from_secs(90);

/// What to update from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// The new program.
    pub file: PathBuf,
    /// Its signature; `None` = beside it, with `.sig` behind its name.
    pub signature: Option<PathBuf>,
    /// Where the key is.
    pub policy: PolicyAt,
    /// The state folder of the running agent.
    pub state_dir: PathBuf,
    /// How long the new program has for its hello.
    pub wait_secs: u32,
    /// Also to an older version.
    pub allows_older: bool,
}

/// Why there was no update. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The policy can't be read.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The policy has no key.
    #[error(
        "the policy file {0} has no update_key, so nobody can tell whose program this is: see holdfast-agent policy --help"
    )]
    NoKey(String),
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The signature is not that of the key.
    #[error("{} is no signature of {} by the key in {policy}: nothing was changed", signature.display(), file.display())]
    Signature {
        /// The signature's file.
        signature: PathBuf,
        /// What it should sign.
        file: PathBuf,
        /// Where the key is.
        policy: String,
    },
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The agent is not in the state that it has to be in.
    #[error("{0}: nothing was changed")]
    NotNow(String),
    /// The file is signed, and does not work here.
    #[error("the new program can't be started on this machine ({0}): nothing was changed")]
    DoesNotStart(String),
    /// The new one did not work out.
    #[error("{reason}. Nothing was replaced, and the agent goes on as version {version}; its log says more")]
    TakenBack {
        /// Why the new program was given up.
        reason: String,
        /// Version of the old program, which runs again.
        version: String,
    },
    /// The new one did not work out, and the agent does not run.
    #[error(
        "{reason}. Nothing was replaced, but the agent did not come back: start it again; its log says more"
    )]
    Gone {
        /// Why the new program was given up.
        reason: String,
    },
    /// The old program is replaced, and the agent does not run.
    #[error("version {0} has said hello and is in place, but the agent did not come back: start it again")]
    NotBack(String),
}

/// Updates the running agent; `say` is called with each step. Returns the version that is there at the end.
pub fn update(from: &From, mut say: impl FnMut(&str)) -> Result<String, UpdateError> {
    let program = checked_program(from)?;
    let state = StateFolder::open(&from.state_dir)?;
    let under_way = || UpdateError::NotNow("another update is under way".to_owned());
    let _lock = match state.lock_file(LOCK_FILE) {
        Err(StateError::InUse { .. }) => return Err(under_way()),
        locked => locked?,
    };
    // One whose command was killed is tried to its end.
    if Trial::is_under_way(&state, clock::wall()) {
        return Err(under_way());
    }
    let old = status::ask(&state);
    let (pid, path) = ready(&old).map_err(UpdateError::NotNow)?;
    let staged = Staged::write(&program, &path)?;
    let next = version_of(&staged.0)?;
    if !from.allows_older && version::is_older(&next, &old.version) {
        return Err(UpdateError::NotNow(format!(
            "{next} is older than {}, which runs (--allow-older takes it)",
            old.version
        )));
    }
    say(&format!("the signature is right: version {next} in place of {}", old.version));
    Trial::new(&staged.0, from.wait_secs).store(&state)?;
    say("the agent ends its work and starts the new program");
    if let Err(error) = kill_process(pid, Signal::USR2) {
        state.remove(trial::FILE)?;
        return Err(UpdateError::NotNow(format!("the agent can't be told ({error}): run this as its user")));
    }
    let wait = Duration::from_secs(from.wait_secs.into());
    let reason = wait_for_hello(&state, &old, wait + RESTART_WITHIN);
    if let Some(reason) = reason {
        state.remove(trial::FILE)?;
        let is_back = |now: &Status| now.is_running && now.pid == old.pid;
        return Err(if wait_until(&state, RESTART_WITHIN, is_back) {
            UpdateError::TakenBack { reason, version: old.version }
        } else {
            UpdateError::Gone { reason }
        });
    }
    say("it has said hello: it takes the old program's place");
    staged.replace(&path)?;
    state.remove(trial::FILE)?;
    let is_back = |now: &Status| now.pid == old.pid && now.version == next;
    if wait_until(&state, RESTART_WITHIN, is_back) { Ok(next) } else { Err(UpdateError::NotBack(next)) }
}

/// The bytes of the program, whose signature is right.
fn checked_program(from: &From) -> Result<Vec<u8>, UpdateError> {
    let policy = from.policy.path().display().to_string();
    let key = from.policy.load()?.update_key.ok_or_else(|| UpdateError::NoKey(policy.clone()))?;
    let signature = from.signature.clone().unwrap_or_else(|| with_end(&from.file, ".sig"));
    let program = read(&from.file, MAX_PROGRAM_BYTES)?;
    if key.has_signed(&program, &read(&signature, MAX_SIGNATURE_BYTES)?) {
        Ok(program)
    } else {
        Err(UpdateError::Signature { signature, file: from.file.clone(), policy })
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, UpdateError> {
    let failed = |source| UpdateError::File { path: path.to_owned(), source };
    // A pipe would be waited for.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is no file")));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(failed(io::Error::other(format!("it is longer than {limit} bytes"))));
    }
    Ok(bytes)
}

/// Process and program of an agent that can be updated now; else why not.
fn ready(status: &Status) -> Result<(Pid, PathBuf), String> {
    let not_running =
        "no agent runs on this state folder, so nobody could tell whether the new program works";
    let raw = status.pid.filter(|_| status.is_running).ok_or(not_running)?;
    let pid = i32::try_from(raw).ok().and_then(Pid::from_raw).ok_or(not_running)?;
    if status.connected_since.is_none() {
        return Err("the agent has no connection to its server now, so the new program could not say hello"
            .to_owned());
    }
    if let Some(job) = &status.running {
        return Err(format!("a job runs now ({} {}): try again when it has ended", job.kind, job.id));
    }
    let path = status.program.clone().ok_or("the agent does not know its own program")?;
    Ok((pid, PathBuf::from(path)))
}

/// A file that is removed when it is dropped.
struct Staged(PathBuf);

impl Staged {
    /// Writes it beside the program that it may replace, with the same owner and mode.
    fn write(program: &[u8], beside: &Path) -> Result<Self, UpdateError> {
        let staged = Self(with_end(beside, ".new"));
        let write = || {
            // Whatever a broken-off update left; nobody's open file is written into.
            match fs::remove_file(&staged.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let old = fs::metadata(beside)?;
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o700).open(&staged.0)?;
            file.write_all(program)?;
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
            file.sync_all()
        };
        write().map_err(|source| UpdateError::File { path: staged.0.clone(), source })?;
        Ok(staged)
    }

    /// Puts it in the place of the program.
    fn replace(self, path: &Path) -> Result<(), UpdateError> {
        let done = fs::rename(&self.0, path).and_then(|()| match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        });
        done.map_err(|source| UpdateError::File { path: path.to_owned(), source })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Mostly renamed by now.
        let _ = fs::remove_file(&self.0);
    }
}

/// Starts the program, to be told its version.
fn version_of(path: &Path) -> Result<String, UpdateError> {
    let failed = |why: String| UpdateError::DoesNotStart(why);
    let mut child = Command::new(path)
        .arg("version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let started = clock::mono();
    let status = loop {
        match child.try_wait().map_err(|error| failed(error.to_string()))? {
            Some(status) => break status,
            None if is_over(started, VERSION_WITHIN) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!(
                    "it does not tell its version in {} s",
                    VERSION_WITHIN.as_secs()
                )));
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut text = String::new();
    if let Some(output) = child.stdout.take() {
        // What is longer is none; so is what is no text.
        let _ = output.take(MAX_VERSION_BYTES).read_to_string(&mut text);
    }
    match text.trim().strip_prefix("holdfast-agent ") {
        Some(version) if status.success() && is_version(version) => Ok(version.to_owned()),
        _ => Err(failed(format!("it is no holdfast-agent; {status}"))),
    }
}

/// Whether it reads like one: it is shown, and compared.
fn is_version(text: &str) -> bool {
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '.' | '-' | '+');
    text.starts_with(|first: char| first.is_ascii_digit()) && text.chars().all(is_sign)
}

/// Waits until the new program has said hello; else why it has not.
fn wait_for_hello(state: &StateFolder, old: &Status, within: Duration) -> Option<String> {
    let mut since = None;
    let started = clock::mono();
    while !is_over(started, within) {
        thread::sleep(LOOK_EACH);
        let now = status::ask(state);
        let is_new = now.is_running && now.pid != old.pid;
        if is_new && let Some(notice) = now.version_notice {
            return Some(format!("the server does not understand the new program: {notice}"));
        }
        if is_new && now.connected_since.is_some() && now.last_hello_at.is_some() {
            if is_over(*since.get_or_insert_with(clock::mono), STANDS_FOR) {
                return None;
            }
            continue;
        }
        since = None;
        if !state.file(trial::FILE).exists() {
            return Some("the new program did not say hello in time, or ended".to_owned());
        }
    }
    Some("the agent did not start the new program, or that did not say hello in time".to_owned())
}

fn is_over(started: Monotonic, within: Duration) -> bool {
    u128::from(clock::mono().ms_since(started)) >= within.as_millis()
}

fn wait_until(state: &StateFolder, within: Duration, is_so: impl Fn(&Status) -> bool) -> bool {
    let started = clock::mono();
    while !is_over(started, within) {
        if is_so(&status::ask(state)) {
            return true;
        }
        thread::sleep(LOOK_EACH);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::JobStatus;

    #[test]
    fn only_what_reads_like_a_version_is_one() {
        for (text, is_one) in [
            ("0.1.0", true),
            ("10.2.3-rc.1+b7", true),
            ("", false),
            ("new", false),
            ("1\u{1b}[31m", false),
            ("1 2", false),
        ] {
            assert_eq!(is_version(text), is_one, "{text:?}");
        }
    }

    #[test]
    fn an_agent_is_updated_only_when_it_can_say_hello_and_nothing_runs() {
        let mut status = Status { is_running: true, pid: Some(7), ..Status::default() };
        assert!(ready(&status).unwrap_err().contains("no connection"));
        status.connected_since = Some(crate::rfc3339::Instant(schema::Timestamp(1)));
        status.running = Some(JobStatus { id: "J".to_owned(), kind: "backup".to_owned() });
        assert!(ready(&status).unwrap_err().contains("a job runs now (backup J)"));
        status.running = None;
        status.program = Some("/usr/bin/holdfast-agent".to_owned());
        assert_eq!(ready(&status).unwrap().1, Path::new("/usr/bin/holdfast-agent"));
        status.is_running = false;
        assert!(ready(&status).unwrap_err().contains("no agent runs"));
    }
}
