//! The agent program.

use crate::{
    api::Api,
    proc_table,
    process::{Process, run, run_reading},
    tools::{self, Tool},
    wait::{self, SOON},
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

/// An agent over one state folder; it may be killed and started again.
#[derive(Debug)]
pub struct Agent {
    /// Its state.
    pub state_dir: PathBuf,
    /// The host that it is.
    pub host: String,
    /// The program itself, or what passes for it.
    pub program: PathBuf,
    /// The restic it runs.
    pub restic: PathBuf,
    /// What stands behind `run` besides: a policy.
    pub options: Vec<OsString>,
    /// What is put before its command line: a wrapper that sets its surroundings and becomes it.
    pub wrapper: Vec<OsString>,
    process: Option<Process>,
    past_logs: Vec<String>,
}

impl Agent {
    /// Makes a host of this name, enrols it, starts it with restic 0.18, and waits until it is online.
    #[must_use]
    pub fn enroll(api: &Api, state_dir: &Path, name: &str) -> Self {
        let host = api.add_host(name);
        let mut agent = Self::with_token(state_dir, &host.id, &host.enroll_token);
        agent.start();
        api.wait_online(&agent.host, true, SOON);
        agent
    }

    /// Enrols a host, and does not start it.
    #[must_use]
    pub fn with_token(state_dir: &Path, host: &str, token: &str) -> Self {
        Self::with_program(&tools::program("holdfast-agent"), state_dir, host, token)
    }

    /// The same with another program.
    #[must_use]
    pub fn with_program(program: &Path, state_dir: &Path, host: &str, token: &str) -> Self {
        let mut command = Command::new(program);
        command.arg("enroll").arg("--state-dir").arg(state_dir).arg("-");
        // By its input: arguments can be seen by everybody.
        let _ = run_reading("holdfast-agent enroll", command, token, SOON).expect_success("the enrolment");
        Self {
            state_dir: state_dir.to_owned(),
            host: host.to_owned(),
            program: program.to_owned(),
            restic: Tool::Restic018.path(),
            options: Vec::new(),
            wrapper: Vec::new(),
            process: None,
            past_logs: Vec::new(),
        }
    }

    /// The same agent over a copy of its state folder, as a copied disk has it.
    #[must_use]
    pub fn copy(&self, state_dir: &Path) -> Self {
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(&self.state_dir).arg(state_dir);
        let _ = run("cp", copy, SOON).expect_success("the copy");
        Self {
            state_dir: state_dir.to_owned(),
            host: self.host.clone(),
            program: self.program.clone(),
            restic: self.restic.clone(),
            options: self.options.clone(),
            wrapper: self.wrapper.clone(),
            process: None,
            past_logs: Vec::new(),
        }
    }

    /// Starts it.
    pub fn start(&mut self) {
        let program = &self.program;
        let mut command = match self.wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg("run").arg("--state-dir").arg(&self.state_dir).arg("--restic").arg(&self.restic);
        command.args(&self.options);
        command.env("HOLDFAST_AGENT_LOG_LEVEL", "debug");
        self.process = Some(Process::start("holdfast-agent", command));
    }

    /// Its number.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running agent").pid()
    }

    /// The restic that it has started, if one runs.
    #[must_use]
    pub fn running_restic(&self) -> Option<u32> {
        let children = proc_table::descendants(self.pid());
        children.iter().find(|seen| seen.program() == "restic" && seen.state != 'Z').map(|seen| seen.pid)
    }

    /// Waits until it has started restic; its number.
    #[track_caller]
    #[must_use]
    pub fn wait_restic(&self) -> u32 {
        wait::until("the agent to start restic", SOON, || {
            self.running_restic().ok_or_else(|| "no restic among its children".to_owned())
        })
    }

    /// `kill -9`.
    pub fn kill_9(&mut self) {
        self.end(Process::kill_9);
    }

    /// SIGTERM, and waits for a clean end.
    ///
    /// # Panics
    /// When it ends with an error.
    pub fn stop(&mut self) {
        self.end(|process| {
            let status = process.terminate();
            assert!(status.success(), "the agent ends {status}:\n{}", process.log().text());
        });
    }

    fn end(&mut self, how: impl FnOnce(&mut Process)) {
        if let Some(mut process) = self.process.take() {
            how(&mut process);
            self.past_logs.push(process.log().text());
        }
    }

    /// Everything it has said, in all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        let now = self.process.as_ref().map(|process| process.log().text());
        self.past_logs.iter().cloned().chain(now).collect::<Vec<_>>().join("\n")
    }

    /// What `holdfast-agent status` says.
    #[must_use]
    pub fn status(&self) -> String {
        let mut command = Command::new(&self.program);
        command.arg("status").arg("--state-dir").arg(&self.state_dir);
        run("holdfast-agent status", command, SOON).output
    }
}

/// A wrapper that shows the agent another boot's id than this machine's, by way of `file`.
///
/// # Panics
/// When the file can't be written.
#[must_use]
pub fn other_boot(file: &Path, boot_id: &str) -> Vec<OsString> {
    std::fs::write(file, format!("{boot_id}\n"))
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let unshare = if rustix::process::geteuid().is_root() { "--mount" } else { "-rm" };
    let script = r#"mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@""#;
    ["unshare", unshare, "sh", "-ec", script, "sh"]
        .map(OsString::from)
        .into_iter()
        .chain([file.as_os_str().to_owned()])
        .collect()
}

/// A wrapper that gives the agent a disk of `bytes` at `mount_point`, which nobody else sees.
#[must_use]
pub fn small_disk(mount_point: &Path, bytes: u64) -> Vec<OsString> {
    let unshare = if rustix::process::geteuid().is_root() { "--mount" } else { "-rm" };
    let script = r#"mount -t tmpfs -o "size=$1" tmpfs "$2" && shift 2 && exec "$@""#;
    ["unshare", unshare, "sh", "-ec", script, "sh", &bytes.to_string()]
        .map(OsString::from)
        .into_iter()
        .chain([mount_point.as_os_str().to_owned()])
        .collect()
}

/// A wrapper that gives the agent a disk with one file on `mount_point`, which nobody else sees, and in the system's table
/// of mounts, by way of `fstab`, another one that is not there.
///
/// # Panics
/// When the table can't be written.
#[must_use]
pub fn other_disks(fstab: &Path, mount_point: &Path, unmounted: &Path) -> Vec<OsString> {
    std::fs::write(fstab, format!("# disks\nUUID=5d {} ext4 defaults 0 2\n", unmounted.display()))
        .unwrap_or_else(|error| panic!("{}: {error}", fstab.display()));
    let unshare = if rustix::process::geteuid().is_root() { "--mount" } else { "-rm" };
    let script = r#"mount --bind "$1" /etc/fstab && mount -t tmpfs tmpfs "$2" && echo here > "$2/file" && shift 2 && exec "$@""#;
    ["unshare", unshare, "sh", "-ec", script, "sh"]
        .map(OsString::from)
        .into_iter()
        .chain([fstab, mount_point].map(|path| path.as_os_str().to_owned()))
        .collect()
}

/// A wrapper that takes root's right to read every file from the agent; nothing for other users, who lack it.
#[must_use]
pub fn without_right_to_read_all() -> Vec<OsString> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let less = "-dac_override,-dac_read_search";
    ["setpriv", "--bounding-set", less, "--inh-caps", less].map(OsString::from).into()
}
