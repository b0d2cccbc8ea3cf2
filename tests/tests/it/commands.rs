//! The command lines of both programs, as scripts meet them.

use serde_json::Value;
use std::{
    fs,
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

/// A script reads one object from the standard output, whatever came of it; people read the same as a sentence beside it.
#[test]
fn with_json_what_failed_is_one_object_with_a_code_and_the_words() {
    let scratch = Scratch::new();
    let _ = scratch.folder("full");
    for name in ["junk.age", "full/file"] {
        fs::write(scratch.path().join(name), "no archive").expect("a file");
    }
    fs::write(scratch.path().join("words"), "five words in a row\n").expect("a passphrase");
    let words = "--passphrase-file=words";
    for (line, status, code, said) in [
        (&["restore", "gone.age", "--check", words][..], 1, "io", "gone.age"),
        (&["restore", "junk.age", "--check", words], 1, "not_an_archive", "no archive of a Holdfast server"),
        (&["restore", "junk.age", "--data-dir=new", words], 1, "not_an_archive", "take another one"),
        // Who only wants to look at it needs no folder.
        (&["restore", "junk.age", "--data-dir=full", words], 1, "not_empty", "(--check) or to rehearse"),
        (&["restore", "junk.age", "--rehearse", words], 1, "not_an_archive", "no archive"),
        (&["backup", "--data-dir=none"], 1, "no_server", "--to"),
        (&["backup", "--data-dir=none", "--to=out.age", words], 1, "no_data", "no data of a Holdfast server"),
        (&["backup", "--data-dir=none", "--to=words", words], 1, "file_exists", "--force"),
        (&["kit", "--data-dir=none", "--out=out.age", words], 1, "no_data", "no data of a Holdfast server"),
        (&["kit", "--data-dir=none", "--out=-", words], 1, "standard_output", "give a name"),
        (&["promote", "--data-dir=full"], 1, "no_standby_folder", "no folder of a standby"),
        (&["salvage", "--data-dir=none", "--to=new"], 2, "no_data", "none"),
        (&["tls", "rotate", "--data-dir=none"], 1, "no_server", "start it"),
        (&["standby", "list", "--data-dir=none"], 1, "no_data", "no data of a Holdfast server"),
        (&["check", "--data-dir=none", "--config=junk.age"], 1, "configuration", "junk.age"),
        (&["check", "--data-dir=none", "--http=0.0.0.0:1"], 2, "configuration", "http"),
    ] {
        let line = [line, &["--json"]].concat();
        let output = command("holdfast-server", &line, scratch.path()).output().expect("a program");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{line:?}: {out}{err}");
        let told: Value =
            serde_json::from_str(&out).unwrap_or_else(|why| panic!("{line:?}: {why}: {out}{err}"));
        assert_eq!(told["error"]["code"], code, "{line:?}: {told}");
        let message = told["error"]["message"].as_str().expect("words");
        assert!(message.contains(said), "{line:?}: {told}");
        assert_eq!(err.trim(), format!("holdfast-server: {}", message.trim()), "{line:?}");
    }
    // What is no failure is an object, too.
    let checked = command("holdfast-server", &["check", "--data-dir", "none", "--json"], scratch.path());
    let output = { checked }.output().expect("a program");
    let told: Value = serde_json::from_slice(&output.stdout).expect("an object");
    assert_eq!(
        (output.status.code(), &told["state"], &told["rows"]),
        (Some(3), &"none".into(), &Value::Null)
    );
    // A passphrase that is drawn can't be told in an object that holds no secret.
    let line = ["kit", "--data-dir", "none", "--out", "out.age", "--generate", "--json"];
    assert_eq!(
        command("holdfast-server", &line, scratch.path()).status().expect("a program").code(),
        Some(2)
    );
    for made in ["new", "none", "out.age"] {
        assert!(!scratch.path().join(made).exists(), "{made}");
    }
}
