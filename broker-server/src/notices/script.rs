//! A message as the standard input of a program that the server's own configuration names.
//!
//! It gets the documented JSON and nothing else: no arguments, no shell, no variables of the server's, which may be secrets.
//! What it prints is its answer; it ends with 0 when it has taken the message.

use super::failure::Failure;
use fleet::Message;
use fleet::record::SendFault;
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(20);
/// So long after its end it is heard what it has printed: what it has started may go on, and hold its outputs open.
const HEARD_FOR: Duration = Duration::from_millis(500);
/// The most of what it prints that is heard, in bytes.
const MOST_SAID_BYTES: usize = 64 << 10;
/// Where programs are found that it starts.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Hands it over; what the program printed.
pub(super) async fn send(program: &Path, message: &Message, base: &str) -> Result<String, Failure> {
    let body = web::documented(message, base);
    let mut child = Command::new(program)
        .env_clear()
        .envs([("PATH", PATH), ("LANG", "C.UTF-8")])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| {
            Failure::said(SendFault::Setting, format!("{} can't be started: {error}", program.display()))
        })?;
    let mut group = Group::of(&child);
    let said = Arc::new(Mutex::new(Vec::new()));
    let input = child.stdin.take();
    let feeding = tokio::spawn(async move {
        if let Some(mut input) = input {
            // One that does not read it to its end is free to.
            let _ = input.write_all(body.as_bytes()).await;
        }
    });
    let outputs: [Option<Box<dyn AsyncRead + Send + Unpin>>; 2] = [
        child.stdout.take().map(|out| Box::new(out) as _),
        child.stderr.take().map(|out| Box::new(out) as _),
    ];
    let mut hearing: Vec<_> =
        outputs.into_iter().flatten().map(|out| tokio::spawn(hear(out, Arc::clone(&said)))).collect();
    let ended = tokio::time::timeout(WITHIN, child.wait()).await;
    if let Ok(Ok(_)) = &ended {
        group.0 = None;
    }
    let heard = async {
        for task in &mut hearing {
            let _ = task.await;
        }
    };
    let _ = tokio::time::timeout(HEARD_FOR, heard).await;
    hearing.iter().for_each(JoinHandle::abort);
    feeding.abort();
    let said = std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner));
    let said = String::from_utf8_lossy(&said).into_owned();
    match ended {
        Err(_) => Err(Failure::said(SendFault::TooSlow, said)),
        Ok(Err(error)) => Err(Failure::said(SendFault::Setting, error.to_string())),
        Ok(Ok(status)) if status.success() => Ok(said),
        Ok(Ok(status)) => Err(Failure::said(SendFault::Exit(code(status)), said)),
    }
}

/// Its status, or, where a signal ended it, 128 and the signal's number, as in a shell.
fn code(status: ExitStatus) -> u16 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u16::try_from(code).ok()).unwrap_or(u16::MAX)
}

async fn hear(mut out: impl AsyncRead + Unpin, said: Arc<Mutex<Vec<u8>>>) {
    let mut piece = [0; 4_096];
    // Read to its end, for else it would wait.
    while let Ok(length @ 1..) = out.read(&mut piece).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_SAID_BYTES.saturating_sub(said.len()).min(length);
        said.extend_from_slice(&piece[..room]);
    }
}

/// The program and what it has started: killed when nobody waits for it any more, and it has not ended.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
