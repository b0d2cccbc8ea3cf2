//! The command lines of both programs, as scripts meet them.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};
use tests::{scratch::Scratch, tools};

fn command(program: &str, line: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(tools::program(program));
    // Nothing of the tester's own settings.
    command.args(line).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// Runs it with an output that nobody reads.
fn unread(program: &str, line: &[&str], folder: &Path) -> Output {
    let (read, write) = std::io::pipe().expect("a pipe");
    drop(read);
    command(program, line, folder).stdout(write).output().expect("a program that starts")
}

#[test]
fn an_output_that_nobody_reads_is_no_error() {
    let scratch = Scratch::new();
    let _ = scratch.folder("state");
    for (program, line, code) in [
        ("holdfast-server", &["serve", "--data-dir", "x", "--print-config"][..], 0),
        ("holdfast-server", &["check", "--data-dir", "x"], 3),
        ("holdfast-server", &["version"], 0),
        ("holdfast-server", &["--help"], 0),
        ("holdfast-agent", &["version"], 0),
        ("holdfast-agent", &["run", "--help"], 0),
        ("holdfast-agent", &["status", "--state-dir", "state"], 5),
        ("holdfast-agent", &["status", "--json", "--state-dir", "state"], 5),
    ] {
        let output = unread(program, line, scratch.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(code), ""), "{program} {line:?}");
    }
}

#[test]
fn an_error_that_nobody_reads_ends_with_its_code() {
    let scratch = Scratch::new();
    for (program, line) in [("holdfast-server", &["serve"][..]), ("holdfast-agent", &["dance"])] {
        let (read, write) = std::io::pipe().expect("a pipe");
        drop(read);
        let status = command(program, line, scratch.path()).stderr(write).status().expect("a program");
        assert_eq!(status.code(), Some(2), "{program}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    let scratch = Scratch::new();
    for (line, word) in [
        (&["serve"][..], "--data-dir"),
        (&["check"], "--data-dir"),
        (&["serve", "--data-dir", "x", "--mqtt-plain", "0.0.0.0:1"], "loopback"),
        (&["serve", "--data-dir", "x", "--http", "here"], "--http"),
        (&["dance"], "dance"),
    ] {
        let output = command("holdfast-server", line, scratch.path()).output().expect("a program");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line:?}: {said}");
        assert!(said.contains(word), "{line:?}: {said}");
    }
    assert!(!scratch.path().join("x").exists());
}
