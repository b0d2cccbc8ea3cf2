//! The trial of a new program, by the agent's process between its two lives: as the old program and as the new one.
//!
//! A small record in the state folder says what is tried. `update` removes it when it has put the new program in place, or
//! has given up; the trial removes it when the new program ends or its time is over. Either way the process then goes on
//! as the program that is in place.

use crate::{
    clock, logger,
    state_folder::{StateError, StateFolder},
};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};

/// The file's name in the state folder.
pub const FILE: &str = "update";
/// A record that is older than this is left from an update that was broken off.
const FRESH_MS: u64 = 60_000;
const LOOK_EACH: Duration = Duration::from_millis(250);
/// How long the new program has to end its work in order.
const END_WITHIN: Duration = Duration::from_secs(30);

/// A new program that is to be tried, and how.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    program: PathBuf,
    wait_secs: u32,
    asked_at: schema::Timestamp,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialEnd {
    /// Go on as the program that is in place.
    GoOn,
    /// The agent was told to end.
    Told,
}

impl Trial {
    /// Of a program that has this long to say hello.
    #[must_use]
    pub fn new(program: &Path, wait_secs: u32) -> Self {
        Self { program: program.to_owned(), wait_secs, asked_at: clock::wall() }
    }

    /// Writes it into the state folder, where the agent finds it at SIGUSR2.
    pub fn store(&self, state: &StateFolder) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        state.write(FILE, &bytes)
    }

    fn load(state: &StateFolder) -> Option<Self> {
        let bytes = state.read(FILE).ok().flatten()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// What was just asked for.
    #[must_use]
    pub fn asked(state: &StateFolder, now: schema::Timestamp) -> Option<Self> {
        Self::load(state).filter(|trial| trial.asked_at.0.abs_diff(now.0) <= FRESH_MS)
    }

    /// Whether one was asked for and may still go on.
    #[must_use]
    pub fn is_under_way(state: &StateFolder, now: schema::Timestamp) -> bool {
        Self::load(state).is_some_and(|trial| {
            let longest_ms = u64::from(trial.wait_secs) * 1_000 + FRESH_MS;
            trial.asked_at.0.abs_diff(now.0) <= longest_ms
        })
    }

    /// Runs the new program in the place of this one, with the same arguments, until it is known what comes next.
    pub async fn run(self, state: &StateFolder, args: &[OsString]) -> io::Result<TrialEnd> {
        let mut term = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        logger::info(format_args!("trying {} for {} s", self.program.display(), self.wait_secs));
        let with = OsString::from(format!("--end-with={}", std::process::id()));
        // In a group of its own, so that nothing it has started stays.
        let mut child = Command::new(&self.program).args(args).arg(with).process_group(0).spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let until = clock::mono().plus_ms(u64::from(self.wait_secs) * 1_000);
        let (end, why) = loop {
            tokio::select! {
                _ = term.recv() => break (TrialEnd::Told, "SIGTERM".to_owned()),
                _ = interrupt.recv() => break (TrialEnd::Told, "SIGINT".to_owned()),
                ended = child.wait() => break (TrialEnd::GoOn, match ended {
                    Ok(status) => format!("the new program ended: {status}"),
                    Err(error) => format!("the new program: {error}"),
                }),
                () = sleep(LOOK_EACH) => {
                    if !state.file(FILE).exists() {
                        break (TrialEnd::GoOn, "the update is over".to_owned());
                    }
                    if clock::mono() >= until {
                        break (TrialEnd::GoOn, "the new program did not say hello in time".to_owned());
                    }
                }
            }
        };
        logger::info(format_args!("{why}"));
        end_child(&mut child, group).await;
        // What `update` has not put in place, and may not be there to take away.
        let _ = std::fs::remove_file(&self.program);
        let _ = state.remove(FILE);
        Ok(end)
    }
}

async fn end_child(child: &mut Child, group: Option<Pid>) {
    let Some(group) = group else { return };
    if child.id().is_some() {
        let _ = kill_process(group, Signal::TERM);
        if timeout(END_WITHIN, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
    let _ = kill_process_group(group, Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    fn state() -> (tempfile::TempDir, StateFolder) {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        (folder, state)
    }

    #[test]
    fn only_what_was_just_asked_for_is_tried() {
        let (_folder, state) = state();
        let now = clock::wall();
        assert_eq!(Trial::asked(&state, now), None);
        let trial = Trial::new(Path::new("/x"), 5);
        trial.store(&state).unwrap();
        assert_eq!(Trial::asked(&state, trial.asked_at.plus_ms(FRESH_MS)), Some(trial));
        assert_eq!(Trial::asked(&state, clock::wall().plus_ms(2 * FRESH_MS)), None);
        state.write(FILE, b"{").unwrap();
        assert_eq!(Trial::asked(&state, now), None);
    }

    #[tokio::test]
    async fn a_program_that_ends_or_says_nothing_is_given_up() {
        let (_folder, state) = state();
        let program = state.file("program.new");
        for (script, wait_secs) in [("exit 3", 60), ("sleep 1234567", 1)] {
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
            let trial = Trial::new(&program, wait_secs);
            trial.store(&state).unwrap();
            assert!(Trial::is_under_way(&state, clock::wall()));
            assert_eq!(trial.run(&state, &[]).await.unwrap(), TrialEnd::GoOn, "{script}");
            assert!(!state.file(FILE).exists() && !program.exists());
            assert!(!Trial::is_under_way(&state, clock::wall()));
        }
        // Nor does what the program has started stay, once the signal has come through.
        let is_left = || {
            fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == b"sleep\x001234567\0")
            })
        };
        timeout(Duration::from_secs(30), async {
            while is_left() {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("it is gone");
        assert!(Trial::new(Path::new("/no/such/program"), 1).run(&state, &[]).await.is_err());
    }

    /// The old program writes it, the new one reads it. When this fails: fix the code, or read both forms.
    #[test]
    fn a_kept_record_says_what_it_always_said() {
        const KEPT: &str = r#"{"program":"/opt/holdfast-agent.new","wait_secs":90,"asked_at":1750000000123}"#;
        let (_folder, state) = state();
        state.write(FILE, KEPT.as_bytes()).unwrap();
        let asked_at = schema::Timestamp(1_750_000_000_123);
        let said = Trial { program: "/opt/holdfast-agent.new".into(), wait_secs: 90, asked_at };
        assert_eq!(Trial::asked(&state, asked_at).as_ref(), Some(&said));
        said.store(&state).unwrap();
        assert_eq!(state.read(FILE).unwrap().unwrap(), KEPT.as_bytes(), "it is written differently now");
    }
}
