//! Runs the programs that a source group names and the policy of this machine has: before a backup and after it.
//!
//! A hook gets no secret, no shell and no terminal: a bare environment, nothing on its standard input, and what it
//! prints goes to the job's log. It ends with the agent, at its timeout, and when the job is cancelled.

use crate::{
    clock,
    policy::Hook,
    restic::{Control, JobEvent, Lines, child, log_line},
};
use rustix::process::{Pid, Signal, kill_process_group};
use schema::LogStream;
use std::{io, path::PathBuf, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// How long a hook may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// How long its output may stay open after it: something that it left running may hold it.
const LINGER: Duration = Duration::from_secs(2);
/// The most lines of one hook that go to the log.
const MOST_LINES: u32 = 1_000;
const BUFFER_BYTES: usize = 4 * 1024;

/// What a hook may know of the job: `HOLDFAST_…` in its environment.
#[derive(Clone, Debug)]
pub struct Occasion<'o> {
    /// `before` or `after`.
    pub when: &'static str,
    /// The source group.
    pub group: &'o str,
    /// How the backup went; empty before it.
    pub outcome: &'o str,
    /// The agent's own program.
    pub program: PathBuf,
}

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookEnd {
    /// It exited with 0.
    Done,
    /// It could not be started, exited with another code or took too long; the text says which.
    Failed(String),
    /// The job is to end.
    Stopped,
}

/// Where output goes and what may end it.
#[derive(Debug)]
pub struct Wires<'w> {
    /// The job's events.
    pub events: &'w mpsc::Sender<JobEvent>,
    /// What is asked of the job.
    pub control: &'w mut mpsc::Receiver<Control>,
    /// When the job began.
    pub begun: Instant,
}

impl Wires<'_> {
    /// A line for the log.
    pub async fn say(&self, stream: LogStream, text: &str) {
        let after_ms = u32::try_from(self.begun.elapsed().as_millis()).unwrap_or(u32::MAX);
        // A consumer that is gone misses nothing.
        let _ = self.events.send(JobEvent::Log { after_ms, stream, text: log_line(text) }).await;
    }
}

/// Runs one hook to its end.
pub async fn run(name: &str, hook: &Hook, occasion: &Occasion<'_>, wires: &mut Wires<'_>) -> HookEnd {
    wires.say(LogStream::Agent, &format!("Hook {name}, {} the backup", occasion.when)).await;
    let mut child = match spawn(hook, occasion) {
        Ok(child) => child,
        Err(error) => return HookEnd::Failed(format!("The hook {name} could not be started: {error}.")),
    };
    // What it has left running, such as a mount, is meant to stay.
    match follow(name, hook, &mut child, wires).await {
        Ok(None) => HookEnd::Done,
        Ok(Some(how)) => HookEnd::Failed(format!("The hook {name} {how}.")),
        Err(Cancelled) => HookEnd::Stopped,
    }
}

fn spawn(hook: &Hook, occasion: &Occasion<'_>) -> io::Result<Child> {
    Command::new(&occasion.program)
        .arg(child::RUN_SUBCOMMAND)
        .arg(std::process::id().to_string())
        .args(&hook.command)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOLDFAST_WHEN", occasion.when)
        .env("HOLDFAST_GROUP", occasion.group)
        .env("HOLDFAST_OUTCOME", occasion.outcome)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

struct Cancelled;

/// Passes its output on until it has ended: `None` = well, else how.
async fn follow(
    name: &str,
    hook: &Hook,
    child: &mut Child,
    wires: &mut Wires<'_>,
) -> Result<Option<String>, Cancelled> {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (mut out_lines, mut err_lines) = (Lines::default(), Lines::default());
    let (mut out_buffer, mut err_buffer) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
    let mut count = 0_u32;
    let mut end_at = clock::instant() + Duration::from_secs(hook.timeout_secs.into());
    // SIGTERM was sent, and why.
    let mut ending: Option<bool> = None;
    let mut status = None;
    let mut control_is_open = true;
    while status.is_none() || out.is_some() || err.is_some() {
        let mut lines = Vec::new();
        tokio::select! {
            read = read(&mut out, &mut out_buffer), if out.is_some() => match read {
                0 => { out = None; out_lines.finish(|line| lines.push((LogStream::Out, line.to_vec()))); }
                read => out_lines.push(&out_buffer[..read], |line| lines.push((LogStream::Out, line.to_vec()))),
            },
            read = read(&mut err, &mut err_buffer), if err.is_some() => match read {
                0 => { err = None; err_lines.finish(|line| lines.push((LogStream::Err, line.to_vec()))); }
                read => err_lines.push(&err_buffer[..read], |line| lines.push((LogStream::Err, line.to_vec()))),
            },
            ended = child.wait(), if status.is_none() => {
                status = Some(ended);
                end_at = clock::instant() + LINGER;
            }
            command = wires.control.recv(), if control_is_open => match command {
                None => control_is_open = false,
                Some(control) => {
                    let signal = if control == Control::Kill { Signal::KILL } else { Signal::TERM };
                    kill(child, signal);
                    ending = Some(true);
                    end_at = clock::instant() + GRACE;
                }
            },
            () = sleep_until(end_at) => match (&status, ending) {
                (Some(_), _) => (out, err) = (None, None),
                (None, None) => {
                    kill(child, Signal::TERM);
                    ending = Some(false);
                    end_at = clock::instant() + GRACE;
                }
                (None, Some(_)) => {
                    kill(child, Signal::KILL);
                    end_at = clock::instant() + GRACE;
                }
            },
        }
        for (stream, line) in lines {
            count = count.saturating_add(1);
            if count <= MOST_LINES {
                wires.say(stream, &format!("{name}: {}", String::from_utf8_lossy(&line))).await;
            }
        }
    }
    if count > MOST_LINES {
        wires.say(LogStream::Agent, &format!("{name}: {} more lines", count - MOST_LINES)).await;
    }
    match (ending, status) {
        (Some(true), _) => Err(Cancelled),
        (Some(false), _) => Ok(Some(format!("did not end within {} s", hook.timeout_secs))),
        (None, Some(Ok(status))) if status.success() => Ok(None),
        (None, Some(Ok(status))) => Ok(Some(match status.code() {
            Some(code) => format!("ended with exit code {code}"),
            None => "was ended by a signal".to_owned(),
        })),
        (None, Some(Err(error))) => Ok(Some(format!("was lost: {error}"))),
        (None, None) => Ok(Some("was lost".to_owned())),
    }
}

async fn read(stream: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    match stream {
        Some(stream) => stream.read(buffer).await.unwrap_or(0),
        None => 0,
    }
}

/// A signal to all that the hook has started and that did not leave its group.
fn kill(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended this moment.
        let _ = kill_process_group(pid, signal);
    }
}
