//! Programs of others.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The path of a program; says what to install when it is not there.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap_or_else(
        || panic!("{name} is not installed: apt-get install mosquitto-clients, or run ./test"),
    )
}

/// A Python that has paho-mqtt; `None`, said and counted, when there is none to be had.
pub(crate) fn python_with_paho(test: &str) -> Option<PathBuf> {
    let tools = std::env::var_os("HOLDFAST_TOOLS").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/holdfast-tools"),
        PathBuf::from,
    );
    let (venv, python) = (tools.join("venv"), tools.join("venv/bin/python"));
    let unavailable = std::env::var("HOLDFAST_UNAVAILABLE").unwrap_or_default();
    // As `./test` makes it, with Debian's own Python.
    let is_ready = || venv.join("ready-2").exists();
    if !is_ready() && !unavailable.contains("paho-mqtt") {
        let debians = Path::new("/usr/bin/python3");
        let program = if debians.exists() { debians } else { Path::new("python3") };
        let made =
            run(Command::new(program).args(["-m", "venv"]).arg(&venv)).is_ok_and(|out| out.status.success());
        let fetch = Command::new(venv.join("bin/pip"))
            .args([
                "--quiet",
                "--disable-pip-version-check",
                "install",
                "paho-mqtt==2.1.0",
                "aiosmtpd==1.4.6",
            ])
            .output();
        if made && fetch.is_ok_and(|out| out.status.success()) {
            std::fs::write(venv.join("ready-2"), "").unwrap();
        }
    }
    if is_ready() {
        return Some(python);
    }
    eprintln!("SKIPPED {test}: paho-mqtt is not to be had from PyPI");
    if let Some(skips) = std::env::var_os("HOLDFAST_SKIPS") {
        let mut skips = OpenOptions::new().append(true).create(true).open(skips).unwrap();
        writeln!(skips, "{test}: paho-mqtt is not to be had from PyPI").unwrap();
    }
    None
}

/// Runs to the end.
pub(crate) fn run(command: &mut Command) -> std::io::Result<Output> {
    command.stdin(Stdio::null()).output()
}
