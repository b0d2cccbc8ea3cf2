//! Where the real programs are. What is missing fails loudly, unless `./test` found that it can't be had right now.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// The versions of restic that the tests run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V014,
    V018,
    Newest,
}

impl Version {
    pub(crate) const ALL: [Self; 3] = [Self::V014, Self::V018, Self::Newest];

    /// The program, or `None` when `./test` said that it is not to be had.
    pub(crate) fn program(self) -> Option<PathBuf> {
        let (variable, fetched, word) = match self {
            Self::V014 => ("HOLDFAST_RESTIC_014", None, "restic-0.14"),
            Self::V018 => ("HOLDFAST_RESTIC_018", Some("trixie/usr/bin/restic"), "restic-0.18"),
            Self::Newest => ("HOLDFAST_RESTIC_019", Some("sid/usr/bin/restic"), "restic-newest"),
        };
        let place = env::var_os(variable).map(PathBuf::from);
        if self == Self::V014 && place.is_none() && on_path("restic").is_some_and(|restic| !is_old(&restic)) {
            skip("the installed restic is newer than 0.15; HOLDFAST_RESTIC_014 can name an old one");
            return None;
        }
        let place = place.or_else(|| fetched.map(|file| folder().join(file))).or_else(|| on_path("restic"));
        found(place, word, variable)
    }
}

/// rest-server, or `None` when `./test` said that it is not to be had.
pub(crate) fn rest_server() -> Option<PathBuf> {
    let place = env::var_os("HOLDFAST_REST_SERVER").map(PathBuf::from);
    let place = place.unwrap_or_else(|| folder().join("trixie/usr/bin/restic-rest-server"));
    found(Some(place), "rest-server", "HOLDFAST_REST_SERVER")
}

/// sshd, with which the tests are a storage that ssh reaches.
pub(crate) fn sshd() -> Option<PathBuf> {
    found(Some(PathBuf::from("/usr/sbin/sshd")), "sshd", "PATH")
}

/// Whether a command that only prepares the test works here; says so when not.
pub(crate) fn is_permitted(what: &str, command: &mut Command) -> bool {
    let permitted = command.output().is_ok_and(|output| output.status.success());
    if !permitted {
        skip(what);
    }
    permitted
}

/// Says that the running test can't be made here, and notes it for the count.
pub(crate) fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("{test}: {why}\n");
    eprint!("skipped, {line}");
    if let Some(path) = env::var_os("HOLDFAST_SKIPS")
        && let Ok(mut file) = fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = file.write_all(line.as_bytes());
    }
}

fn found(place: Option<PathBuf>, word: &str, variable: &str) -> Option<PathBuf> {
    if let Some(place) = place.as_ref().filter(|place| is_file(place)) {
        return Some(place.clone());
    }
    let unavailable = env::var("HOLDFAST_UNAVAILABLE").unwrap_or_default();
    if unavailable.split_whitespace().any(|name| name == word) {
        skip(&format!("{word} is not to be had right now"));
        return None;
    }
    let shown = place.map_or_else(|| word.to_owned(), |place| place.display().to_string());
    panic!("{shown} is missing: run ./test (it fetches what is missing), or set {variable}");
}

/// Whether it is a restic that does not wait for locks by itself.
fn is_old(restic: &Path) -> bool {
    let said = Command::new(restic).arg("version").output().map(|output| output.stdout).unwrap_or_default();
    said.starts_with(b"restic 0.14") || said.starts_with(b"restic 0.15")
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file())
}

fn folder() -> PathBuf {
    let home = || env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    env::var_os("HOLDFAST_TOOLS").map_or_else(|| home().join(".cache/holdfast-tools"), PathBuf::from)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(program)).find(|path| is_file(path))
}
