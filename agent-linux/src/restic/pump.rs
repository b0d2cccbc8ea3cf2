//! Runs one step: starts restic, drains both its streams to the end, passes events on, and stops it when asked.
//!
//! Progress is dropped when the consumer is slow; log lines and snapshots wait, and so does restic. A stop is an
//! interrupt to restic alone (its own helpers must live until it has removed its lock), then SIGKILL to its whole
//! process group.

use super::{
    child,
    event::{Control, JobEvent},
    findings::Findings,
    mask::Mask,
    order::Places,
    outcome::{Ended, Stop},
    outlet::Outlet,
    parse::{Reader, Said},
    secrets::{Frame, FrameTooLong},
    step::{Step, StepKind},
};
use crate::clock;
use core::time::Duration;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use schema::LogStream;
use std::{
    collections::VecDeque,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::process::ExitStatusExt,
    },
    path::Path,
    process::Stdio,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use zeroize::Zeroizing;

/// How long restic gets to end by itself after an interrupt.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// How long a stream may stay open, in silence, after restic is gone: a helper of restic's may hold it.
const LINGER: Duration = Duration::from_secs(5);
/// How long a download waits for the server to take more of it. The server says every few seconds that it is there.
const UNHEARD_AFTER: Duration = Duration::from_secs(25);
/// How often it is looked how much a restore has fetched.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
const BUFFER_BYTES: usize = 16 * 1024;
/// How much of a download waits in the pipe, so that restic and what is behind it need not take turns.
const PIPE_BYTES: usize = 256 * 1024;

/// Who listens and who may stop it.
pub(crate) struct Wires<'w> {
    pub(crate) events: &'w mpsc::Sender<JobEvent>,
    pub(crate) control: &'w mut mpsc::Receiver<Control>,
    /// When the job began.
    pub(crate) begun: Instant,
    /// When the job must have ended.
    pub(crate) deadline: Option<Instant>,
    /// How long restic may say nothing.
    pub(crate) silence: Option<Duration>,
    /// Why everything was stopped.
    pub(crate) stop: Option<Stop>,
    /// Pieces of a download with a lower number may be sent.
    pub(crate) credit: u32,
    /// How many bytes a download will have; 0 = not known.
    pub(crate) expected_bytes: u64,
    /// A dump that is started beside the step before it.
    pub(crate) next: Option<Next>,
}

/// A step that is started before its turn: it only reads, and works until the pipe is full that is read at its turn.
pub(crate) enum Next {
    /// It is started beside the next one.
    Asked(Step),
    /// It was.
    Started(Child),
}

/// What a process needs besides its arguments.
pub(crate) struct Launch<'l> {
    pub(crate) places: &'l Places,
    pub(crate) restic: &'l Path,
    pub(crate) repository: &'l str,
    pub(crate) password: &'l str,
    pub(crate) ca: &'l str,
    /// An option of restic's that every command takes.
    pub(crate) option: Option<&'l str>,
    pub(crate) env: &'l [(String, String)],
    pub(crate) mask: &'l Mask,
    /// The folder that it is started in; `None` = the root.
    pub(crate) folder: Option<BorrowedFd<'l>>,
}

/// Is told the process's number before restic itself begins.
pub(crate) type OnSpawn<'s> = &'s mut (dyn FnMut(u32) + Send);

/// How a step ended.
#[derive(Debug)]
pub(crate) struct StepEnd {
    pub(crate) ended: Ended,
    /// Why it was stopped, if it was.
    pub(crate) stop: Option<Stop>,
    /// Whether SIGKILL was needed: its lock may be left.
    pub(crate) killed: bool,
    pub(crate) found: Findings,
}

/// Why restic did not even start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the agent's own program can't be started: {0}")]
    Spawn(io::Error),
    #[error(transparent)]
    TooLong(#[from] FrameTooLong),
    #[error("waiting for restic failed: {0}")]
    Wait(io::Error),
}

impl Wires<'_> {
    /// Milliseconds since the job began.
    pub(crate) fn after_ms(&self) -> u32 {
        u32::try_from(self.begun.elapsed().as_millis()).unwrap_or(u32::MAX)
    }

    /// A line of the agent's own.
    pub(crate) async fn say(&self, text: &str) {
        let text = super::lines::log_line(text);
        let event = JobEvent::Log { after_ms: self.after_ms(), stream: LogStream::Agent, text };
        // A consumer that is gone misses nothing.
        let _ = self.events.send(event).await;
    }

    fn event(&self, said: Said) -> JobEvent {
        let after_ms = self.after_ms();
        match said {
            Said::Log(stream, text) => JobEvent::Log { after_ms, stream, text },
            Said::Progress(progress) => JobEvent::Progress(progress),
            Said::Snapshot(snapshot) => JobEvent::Snapshot(snapshot),
            Said::Entry(entry) => JobEvent::Entry(entry),
            Said::Hit(hit) => JobEvent::Hit(hit),
        }
    }

    /// The turn of what was started ahead does not come.
    pub(crate) async fn end_next(&mut self) {
        if let Some(Next::Started(mut child)) = self.next.take() {
            if let Some(pid) = pid_of(&child) {
                // Not yet waited for, so the number is still its own.
                let _ = kill_process_group(pid, Signal::KILL);
            }
            // However it ends, it said nothing to anybody. One that a hanging disk holds is waited for by the runtime.
            let _ = timeout(GRACE, child.wait()).await;
        }
    }

    /// What is asked for: credit is noted, anything else is a stop.
    fn take(&mut self, asked: Control) -> Option<Stop> {
        match asked {
            Control::Credit(before) => {
                self.credit = self.credit.max(before);
                None
            }
            Control::Leave => Some(Stop::Unheard),
            Control::Interrupt | Control::Kill => Some(Stop::Cancelled),
        }
    }

    /// Waits until a stop is asked for.
    pub(crate) async fn stop_asked(&mut self) -> Stop {
        loop {
            match self.control.recv().await {
                Some(asked) => {
                    if let Some(stop) = self.take(asked) {
                        return stop;
                    }
                }
                None => return core::future::pending().await,
            }
        }
    }

    /// Takes note of a stop that was asked for already, without waiting.
    pub(crate) fn poll_stop(&mut self) -> Option<Stop> {
        while self.stop.is_none()
            && let Ok(asked) = self.control.try_recv()
        {
            self.stop = self.take(asked);
        }
        if self.stop.is_none() && self.deadline.is_some_and(|at| at <= clock::instant()) {
            self.stop = Some(Stop::Timeout);
        }
        self.stop
    }
}

/// Runs one step to its end. A `quiet` step says nothing to the consumer.
pub(crate) async fn run_step(
    step: &Step,
    launch: &Launch<'_>,
    wires: &mut Wires<'_>,
    quiet: bool,
    on_spawn: OnSpawn<'_>,
) -> Result<StepEnd, StartError> {
    let mut child = match (wires.next.take(), step.kind) {
        (Some(Next::Started(child)), StepKind::Dump) => child,
        (next, _) => {
            let child = spawn(step, launch, on_spawn).await?;
            wires.next = match next {
                // One that can't be started now is started at its turn.
                Some(Next::Asked(next)) => spawn(&next, launch, &mut |_| ()).await.ok().map(Next::Started),
                next => next,
            };
            child
        }
    };
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out_buffer, mut err_buffer) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let mut reader = Reader::new(step.kind, launch.mask);
    if matches!(step.kind, StepKind::Ls | StepKind::RawLs | StepKind::Stat) {
        reader.in_folder(&step.path);
    }
    if let Some(search) = &step.search {
        reader.searching(search);
    }
    reader.picking(&step.picks);
    reader.restoring(step);
    reader.drawing(step.draw);
    reader.about(&step.members, &step.others);
    reader.of_repository(launch.repository);
    let (mut said, mut waiting) = (VecDeque::new(), VecDeque::new());
    let mut stopping = Stopping { reason: None, kill_at: None, killed: false };
    let mut status = None;
    let mut linger_until = clock::instant();
    let mut heard_at = clock::instant();
    let mut look_at = heard_at;
    let mut control_is_open = true;
    let has_much_to_fetch = matches!(step.kind, StepKind::Restore | StepKind::Walk);
    let mut outlet = (step.kind == StepKind::Dump).then(Outlet::default);
    if let Some(stdout) = stdout.as_ref().filter(|_| outlet.is_some()) {
        // Less is good, too: restic waits more often then.
        let _ = rustix::pipe::fcntl_setpipe_size(stdout, PIPE_BYTES);
    }

    while status.is_none() || !waiting.is_empty() || stdout.is_some() || stderr.is_some() {
        let may_read = waiting.is_empty();
        let silent_at = wires.silence.filter(|_| may_read).map(|silence| heard_at + silence);
        let is_held_up = outlet.as_ref().is_some_and(|outlet| !outlet.takes(wires.credit));
        let is_lingering = status.is_some() && may_read;
        // Once it is stopped, what it gives is read all the same, and thrown away: restic can end in order only then.
        let may_read_out = may_read && (!is_held_up || stopping.reason.is_some());
        let (stop_at, reason) = match (stopping.reason, wires.deadline, silent_at) {
            (Some(_), ..) => (stopping.kill_at, Stop::Timeout),
            (None, ..) if is_held_up && stdout.is_some() => (Some(heard_at + UNHEARD_AFTER), Stop::Unheard),
            (None, Some(deadline), Some(silent)) if silent < deadline => (Some(silent), Stop::Silent),
            (None, None, Some(silent)) => (Some(silent), Stop::Silent),
            (None, deadline, _) => (deadline, Stop::Timeout),
        };
        tokio::select! {
            biased;
            command = wires.control.recv(), if control_is_open => match command {
                None => control_is_open = false,
                Some(Control::Credit(before)) => {
                    wires.credit = wires.credit.max(before);
                    heard_at = clock::instant();
                    linger_until = heard_at + LINGER;
                }
                Some(_) if status.is_some() => {
                    // restic is gone; only what it said is still on its way.
                    wires.stop.get_or_insert(Stop::Cancelled);
                    break;
                }
                Some(Control::Leave) => stopping.interrupt(Stop::Unheard, &child),
                Some(Control::Interrupt) => stopping.interrupt(Stop::Cancelled, &child),
                Some(Control::Kill) => {
                    stopping.reason.get_or_insert(Stop::Cancelled);
                    stopping.kill(&child);
                }
            },
            () = sleep_until(stop_at.unwrap_or(wires.begun)), if stop_at.is_some() && status.is_none() => {
                match stopping.reason {
                    None => stopping.interrupt(reason, &child),
                    Some(_) => stopping.kill(&child),
                }
            }
            permit = wires.events.reserve(), if !waiting.is_empty() => match permit {
                Ok(permit) => {
                    if let Some(event) = waiting.pop_front() {
                        permit.send(event);
                    }
                }
                // Nobody listens: restic goes on.
                Err(_) => waiting.clear(),
            },
            count = read(&mut stdout, room_of(&mut out_buffer, outlet.as_mut(), &stopping)), if stdout.is_some() && may_read_out => {
                heard_at = clock::instant();
                linger_until = heard_at + LINGER;
                match (count, &mut outlet) {
                    (0, outlet) => {
                        stdout = None;
                        waiting.extend(outlet.as_mut().and_then(Outlet::rest).map(JobEvent::Chunk));
                    }
                    (_, Some(_)) if stopping.reason.is_some() => {}
                    (count, Some(outlet)) => {
                        waiting.extend(outlet.take(count).map(JobEvent::Chunk));
                        if let Some(progress) = outlet.progress(wires.expected_bytes, heard_at) {
                            // A consumer that is slow has newer ones to come.
                            let _ = wires.events.try_send(JobEvent::Progress(progress));
                        }
                    }
                    (count, None) => reader.stdout(&out_buffer[..count], &mut said),
                }
            }
            count = read(&mut stderr, &mut err_buffer), if stderr.is_some() && may_read => {
                heard_at = clock::instant();
                linger_until = heard_at + LINGER;
                match count {
                    0 => stderr = None,
                    count => reader.stderr(&err_buffer[..count], &mut said),
                }
            }
            () = sleep_until(look_at), if has_much_to_fetch && status.is_none() => {
                look_at = clock::instant() + LOOKS_EVERY;
                reader.has_read(bytes_read(&child).unwrap_or(0), &mut said);
            }
            ended = child.wait(), if status.is_none() => {
                status = Some(ended.map_err(StartError::Wait)?);
                linger_until = clock::instant() + LINGER;
            }
            () = sleep_until(heard_at + UNHEARD_AFTER), if is_lingering && is_held_up => {
                wires.stop.get_or_insert(Stop::Unheard);
                (stdout, stderr) = (None, None);
            }
            () = sleep_until(linger_until), if is_lingering && !is_held_up => (stdout, stderr) = (None, None),
        }
        pass_on(&mut said, &mut waiting, wires, quiet);
        if status.is_none() && reader.is_hopeless() {
            stopping.interrupt(Stop::Hopeless, &child);
        }
    }

    let mut found = reader.finish(&mut said);
    found.passed_bytes = outlet.as_ref().map_or(0, Outlet::bytes);
    pass_on(&mut said, &mut waiting, wires, quiet);
    for event in waiting {
        // Lines behind the last line end; a handful at most.
        if wires.events.send(event).await.is_err() {
            break;
        }
    }
    if let Some(reason) = stopping.reason {
        wires.stop.get_or_insert(reason);
    }
    let status = status.unwrap_or_default();
    let ended = match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code),
        (None, signal) => Ended::Signal(signal.unwrap_or(0)),
    };
    Ok(StepEnd { ended, stop: stopping.reason, killed: stopping.killed, found })
}

/// Sends what can be sent at once; the rest waits, but for progress.
fn pass_on(said: &mut VecDeque<Said>, waiting: &mut VecDeque<JobEvent>, wires: &Wires<'_>, quiet: bool) {
    for said in said.drain(..) {
        if quiet {
            continue;
        }
        let is_progress = matches!(said, Said::Progress(_));
        let event = wires.event(said);
        if !waiting.is_empty() {
            if !is_progress {
                waiting.push_back(event);
            }
            continue;
        }
        match wires.events.try_send(event) {
            Err(mpsc::error::TrySendError::Full(event)) if !is_progress => waiting.push_back(event),
            _ => {}
        }
    }
}

struct Stopping {
    reason: Option<Stop>,
    kill_at: Option<Instant>,
    killed: bool,
}

impl Stopping {
    fn interrupt(&mut self, reason: Stop, child: &Child) {
        if self.reason.is_none() {
            self.reason = Some(reason);
            self.kill_at = Some(clock::instant() + GRACE);
            if let Some(pid) = pid_of(child) {
                // It may have ended this moment.
                let _ = kill_process(pid, Signal::INT);
            }
        }
    }

    fn kill(&mut self, child: &Child) {
        self.kill_at = None;
        self.killed = true;
        if let Some(pid) = pid_of(child) {
            // Not yet waited for, so the number is still its own.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

/// How many bytes it has read so far, from wherever: its repository, mostly.
fn bytes_read(child: &Child) -> Option<u64> {
    let io = std::fs::read_to_string(format!("/proc/{}/io", child.id()?)).ok()?;
    io.lines().next()?.strip_prefix("rchar: ")?.parse().ok()
}

/// Where the next bytes of the output are read to: of a download that goes on into its next chunk.
fn room_of<'b>(buffer: &'b mut [u8], outlet: Option<&'b mut Outlet>, stopping: &Stopping) -> &'b mut [u8] {
    match outlet {
        Some(outlet) if stopping.reason.is_none() => outlet.room(),
        _ => buffer,
    }
}

/// How many bytes came; 0 at the end and for a stream that can't be read any more.
async fn read(stream: &mut Option<impl AsyncReadExt + Unpin>, buffer: &mut [u8]) -> usize {
    match stream {
        Some(stream) => stream.read(buffer).await.unwrap_or(0),
        None => 0,
    }
}

async fn spawn(step: &Step, launch: &Launch<'_>, on_spawn: OnSpawn<'_>) -> Result<Child, StartError> {
    let frame = frame(launch)?;
    // Of the open folder itself, whatever its path leads to by now.
    let folder =
        launch.folder.map_or("/".to_owned(), |folder| format!("/proc/self/fd/{}", folder.as_raw_fd()));
    let mut child = Command::new(&launch.places.program)
        .arg(child::SUBCOMMAND)
        .arg(launch.restic)
        .args(launch.option)
        .args(step.all_args())
        .env_clear()
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(StartError::Spawn)?;
    if let Some(pid) = child.id() {
        // It waits for its credentials, and becomes restic only then.
        on_spawn(pid);
    }
    if let Some(mut stdin) = child.stdin.take() {
        // When it does not read them it says why by itself, on its standard error.
        let _ = stdin.write_all(&frame).await;
    }
    Ok(child)
}

fn frame(launch: &Launch<'_>) -> Result<Zeroizing<Vec<u8>>, FrameTooLong> {
    let places = launch.places;
    let (cache, temp, home) =
        (places.cache.to_string_lossy(), places.temp.to_string_lossy(), places.home.to_string_lossy());
    let path = places.path.to_string_lossy();
    let mut env = vec![
        ("PATH", &*path),
        ("HOME", &*home),
        ("TMPDIR", &*temp),
        ("RESTIC_CACHE_DIR", &*cache),
        ("RESTIC_PROGRESS_FPS", "1"),
    ];
    // By it restic knows where a day begins.
    let zone = std::env::var("TZ").unwrap_or_default();
    if !zone.is_empty() {
        env.push(("TZ", &zone));
    }
    if places.small {
        env.extend([("GOMAXPROCS", "1"), ("GOGC", "20")]);
    }
    env.extend(launch.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let ionice = places.ionice.as_ref().map(|path| path.to_string_lossy()).unwrap_or_default();
    let given = (launch.repository, launch.password, launch.ca);
    Frame::write(std::process::id(), (places.nice, &ionice), given, &env)
}
