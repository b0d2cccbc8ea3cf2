//! The hidden subcommands that become another program: `holdfast-agent __restic RESTIC ARGUMENTS…`, and
//! `holdfast-agent __run PARENT PROGRAM ARGUMENTS…` for a hook, which gets nothing of the following.
//!
//! It reads the secrets from its standard input, puts the two that restic takes from files into pipes, the rest into
//! restic's environment, and then is restic: same process, same pipes to the agent.
//!
//! When the agent dies, restic gets SIGKILL. SIGINT was tried: restic then writes a line to a pipe that nobody reads
//! any more and dies of that just as suddenly, mostly with its lock left; and with the pipe kept open it may go on
//! for as long as its uploads last. The lock of a dead process goes with the `unlock` before the next job. (A restic
//! that runs with file capabilities loses this signal, and dies of its next line of output instead.)

use super::secrets::{Frame, MAX_FRAME_BYTES};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    process::{Signal, getppid, nice, set_parent_process_death_signal},
};
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, ExitCode, Stdio},
};
use zeroize::Zeroizing;

/// The first argument that calls for [`child_main`].
pub const SUBCOMMAND: &str = "__restic";
/// Exit code when the way to restic failed; restic has none like it.
pub(crate) const EXIT_NO_WAY: u8 = 125;
/// Exit code when restic itself can't be started.
pub(crate) const EXIT_NO_RESTIC: u8 = 127;

/// The first argument that calls for a hook.
pub const RUN_SUBCOMMAND: &str = "__run";

/// Becomes the other program when the first argument asks for it; returns only when that fails.
#[must_use]
pub fn child_main(subcommand: &OsStr) -> Option<ExitCode> {
    let is_hook = subcommand == RUN_SUBCOMMAND;
    if !is_hook && subcommand != SUBCOMMAND {
        return None;
    }
    // Before anything else: from here on the agent's death is ours.
    let died = set_parent_process_death_signal(Some(Signal::KILL));
    let mut args = std::env::args_os().skip(2);
    let failure = match (died, args.next()) {
        (Err(error), _) => Failure::way("set the parent-death signal", &error.into()),
        (Ok(()), None) => Failure { code: EXIT_NO_WAY, what: "name a program".to_owned() },
        (Ok(()), Some(parent)) if is_hook => become_hook(&parent, args),
        (Ok(()), Some(restic)) => become_restic(&restic, args.collect()),
    };
    eprintln!("holdfast-agent: could not {}", failure.what);
    Some(ExitCode::from(failure.code))
}

fn become_hook(parent: &OsStr, mut args: impl Iterator<Item = OsString>) -> Failure {
    let parent = parent.to_str().and_then(|parent| parent.parse().ok());
    if parent.is_none() || parent != own_parent() {
        return Failure { code: EXIT_NO_WAY, what: "find the agent that started this".to_owned() };
    }
    let Some(program) = args.next() else {
        return Failure { code: EXIT_NO_WAY, what: "name a program".to_owned() };
    };
    if let Err(error) = restore_interrupt() {
        return Failure::way("make the hook listen to interrupts", &error);
    }
    let error = Command::new(&program).args(args).exec();
    Failure { code: EXIT_NO_RESTIC, what: format!("start {}: {error}", program.display()) }
}

fn own_parent() -> Option<u32> {
    getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
}

struct Failure {
    code: u8,
    what: String,
}

impl Failure {
    fn way(what: &str, error: &io::Error) -> Self {
        Self { code: EXIT_NO_WAY, what: format!("{what}: {error}") }
    }
}

fn become_restic(restic: &OsString, args: Vec<OsString>) -> Failure {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FRAME_BYTES));
    let limit = MAX_FRAME_BYTES as u64 + 1;
    if let Err(error) = io::stdin().lock().take(limit).read_to_end(&mut bytes) {
        return Failure::way("read the credentials", &error);
    }
    let Ok(frame) = schema::decode::<Frame<'_>>(&bytes) else {
        return Failure { code: EXIT_NO_WAY, what: "understand the credentials".to_owned() };
    };
    // The agent may have died before the signal was set.
    if own_parent() != Some(frame.parent) {
        return Failure { code: EXIT_NO_WAY, what: "find the agent that started this".to_owned() };
    }
    if let Err(error) = restore_interrupt() {
        return Failure::way("make restic listen to interrupts", &error);
    }
    if frame.nice > 0 {
        // A nicety only.
        let _ = nice(i32::from(frame.nice));
    }
    let pipes = secret_pipe(frame.repository).and_then(|repo| Ok((repo, secret_pipe(frame.password)?)));
    let (repository, password) = match pipes {
        Ok(pipes) => pipes,
        Err(error) => return Failure::way("hand the credentials to restic", &error),
    };
    let authorities = match frame.ca {
        "" => None,
        ca => match secret_pipe(ca) {
            Ok(pipe) => Some(pipe),
            Err(error) => return Failure::way("hand the certificates to restic", &error),
        },
    };
    let mut command = match frame.ionice {
        "" => Command::new(restic),
        ionice => {
            let mut command = Command::new(ionice);
            command.args(["-c", "3"]).arg(restic);
            command
        }
    };
    if let Some(pipe) = &authorities {
        // Before 0.17 restic knows no variable for it.
        command.arg(format!("--cacert=/dev/fd/{}", pipe.as_raw_fd()));
    }
    let error = command
        .args(args)
        .env_clear()
        .envs(frame.env.iter())
        .env("RESTIC_REPOSITORY_FILE", format!("/dev/fd/{}", repository.as_raw_fd()))
        .env("RESTIC_PASSWORD_FILE", format!("/dev/fd/{}", password.as_raw_fd()))
        .stdin(Stdio::null())
        .exec();
    let what = format!("start {}: {error}", restic.display());
    Failure { code: EXIT_NO_RESTIC, what }
}

/// The reading end of a pipe that holds this text and ends; it stays open in restic.
fn secret_pipe(text: &str) -> io::Result<OwnedFd> {
    let (reading, writing) = rustix::pipe::pipe()?;
    // What does not fit is an error, not a wait for ever.
    fcntl_setfl(&writing, OFlags::WRONLY | OFlags::NONBLOCK)?;
    fs::File::from(writing).write_all(text.as_bytes())?;
    Ok(reading)
}

/// Undoes an ignored SIGINT (as a shell leaves it to what runs in its background): restic would never hear a cancel.
///
/// A signal that is caught is back at its default after `exec`, and catching one needs no unsafe code here.
fn restore_interrupt() -> io::Result<()> {
    const SIGINT_BIT: u64 = 1 << (2 - 1);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    if ignored & SIGINT_BIT != 0 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let _in_it = runtime.enter();
        let caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        // The handler stays; dropping these would change nothing but take time.
        core::mem::forget(caught);
        core::mem::forget(runtime);
    }
    Ok(())
}
