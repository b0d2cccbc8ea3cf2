//! Storages that `ssh` reaches: the host key that one shows, and restic's way to it when only certain keys may be shown.
//!
//! Without keys in the credentials `ssh` goes by the `known_hosts` of the machine, as it does for people. With some, it
//! is held to these alone, whatever its configuration says. The kept ones stand in a file, for `ssh` takes them from
//! nowhere else; they are no secret.

use super::{
    lines::log_line,
    location::{Location, percent_decoded},
};
use crate::state_folder;
use core::time::Duration;
use schema::{Slot, limits::MAX_VALUE_BYTES};
use std::{
    ffi::OsStr,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

/// What the storage is called in the file of its keys, whatever its address.
const ALIAS: &str = "storage";
/// The files of the keys that the storages of the slots may show, in the folder for restic's temporary files.
const KEPT: &str = "known_hosts";
/// And of the one that it showed.
const SHOWN: &str = "shown_hosts";
/// How long a storage may take to show its key.
const SHOW_LIMIT: Duration = Duration::from_secs(30);
const MAX_KEY_BYTES: u64 = 16 * 1024;
const MAX_SAID_BYTES: u64 = 16 * 1024;
/// So many of its lines are told.
const LAST_LINES: usize = 8;

/// How `ssh` finds the storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    user: Option<String>,
    machine: String,
    port: Option<String>,
}

impl Target {
    /// Of an address, read as restic reads it; `None` = it is not reached by ssh.
    #[must_use]
    pub(crate) fn of(location: &Location<'_>) -> Option<Self> {
        let Location::Sftp(rest) = location else { return None };
        let (login, is_url) = match rest.strip_prefix("//") {
            Some(address) => (address.split(['/', '?', '#']).next().unwrap_or_default(), true),
            None => (rest.split(':').next().unwrap_or_default(), false),
        };
        let (user, machine) =
            login.rsplit_once('@').map_or((None, login), |(user, machine)| (Some(user), machine));
        let (machine, port) = match (is_url, machine.strip_prefix('[').and_then(|v6| v6.split_once(']'))) {
            (false, _) => (machine, None),
            (true, Some((v6, behind))) => (v6, behind.strip_prefix(':')),
            (true, None) => match machine.split_once(':') {
                Some((machine, port)) => (machine, Some(port)),
                None => (machine, None),
            },
        };
        let plain = |text: &str| if is_url { percent_decoded(text) } else { text.to_owned() };
        Some(Self {
            user: user.map(plain),
            machine: plain(machine),
            port: port.filter(|port| !port.is_empty()).map(str::to_owned),
        })
    }

    /// `ssh` as restic calls it by itself, but that it never asks.
    fn plain(&self) -> Vec<String> {
        let mut args: Vec<String> = ["ssh", "-o", "BatchMode=yes"].map(str::to_owned).to_vec();
        args.extend(self.place());
        args
    }

    /// `ssh` with its arguments, held to the keys of this file.
    fn command(&self, keys: &str, checking: &str, more: &[&str]) -> Vec<String> {
        let mut args: Vec<String> = vec!["ssh".to_owned()];
        let mut option = |option: &str| args.extend(["-o".to_owned(), option.to_owned()]);
        option(&format!("UserKnownHostsFile=\"{}\"", keys.replace('%', "%%")));
        option(&format!("HostKeyAlias={ALIAS}"));
        option(&format!("StrictHostKeyChecking={checking}"));
        for fixed in [
            "GlobalKnownHostsFile=/dev/null",
            // Before 8.5 there is none.
            "IgnoreUnknown=KnownHostsCommand",
            "KnownHostsCommand=none",
            "VerifyHostKeyDNS=no",
            "UpdateHostKeys=no",
            "CheckHostIP=no",
            // The connection of somebody else has been checked by other keys.
            "ControlMaster=no",
            "ControlPath=none",
            "BatchMode=yes",
        ] {
            option(fixed);
        }
        more.iter().for_each(|more| option(more));
        args.extend(self.place());
        args
    }

    fn place(&self) -> impl Iterator<Item = String> {
        let port = self.port.iter().flat_map(|port| ["-p", port]);
        let user = self.user.iter().flat_map(|user| ["-l", user]);
        port.chain(user).chain(["-s", &self.machine, "sftp"]).map(str::to_owned)
    }
}

/// Why restic can't be held to the keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("the file of the storage's host keys can't be written: {0}")]
    File(#[from] io::Error),
    #[error("restic can't be told of {0}: it holds a quotation mark or a backslash")]
    Quote(String),
}

/// `ssh`, held to certain keys.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    words: Vec<String>,
    option: String,
}

impl Held {
    /// Writes the keys into a file of the folder.
    pub(crate) fn to(target: &Target, (slot, keys): (Slot, &str), folder: &Path) -> Result<Self, KeysError> {
        let name = format!("{KEPT}.{}", slot.as_str());
        let path = folder.join(&name);
        let lines: String = keys.lines().map(|key| format!("{ALIAS} {key}\n")).collect();
        // In one: the ssh of a job beside this one may be reading it.
        state_folder::replace(folder, &name, |file| file.write_all(lines.as_bytes()))?;
        let path = path.to_str().ok_or_else(|| KeysError::Quote(path.display().to_string()))?;
        let words = target.command(path, "yes", &[]);
        let mut command = String::new();
        for word in &words {
            command.push_str(if command.is_empty() { "" } else { " " });
            command.push_str(&quoted(word)?);
        }
        // restic reads the option as a line of comma-separated values.
        let option = format!("--option=\"sftp.command={}\"", command.replace('"', "\"\""));
        Ok(Self { words, option })
    }

    /// restic's option for it.
    pub(crate) fn option(&self) -> &str {
        &self.option
    }
}

/// A word as restic takes it apart again: it knows quotes around a whole word, and nothing inside of one.
fn quoted(word: &str) -> Result<String, KeysError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if word.chars().all(is_plain) && !word.is_empty() {
        return Ok(word.to_owned());
    }
    // The one pair around the path is ssh's.
    let inner = word.replacen('"', "", 2);
    let is_path = word.matches('"').count() == 2 && word.starts_with("UserKnownHostsFile=\"");
    if word.contains(['\'', '\\']) || inner.contains('"') || (word.contains('"') && !is_path) {
        return Err(KeysError::Quote(word.to_owned()));
    }
    Ok(format!("'{word}'"))
}

/// Whether there is such a program.
pub(crate) fn is_there(path: &OsStr) -> bool {
    std::env::split_paths(path).any(|folder| folder.join("ssh").is_file())
}

/// The key that the storage shows: its kind and its base64. No login is tried.
pub(crate) async fn shown_key(target: &Target, folder: &Path, path: &OsStr) -> Option<String> {
    let file = folder.join(SHOWN);
    // One of another storage would be taken for this one's.
    let _ = fs::remove_file(&file);
    let more = ["HashKnownHosts=no", "PreferredAuthentications=none", "ConnectTimeout=20"];
    // It ends with a refusal: no login is tried.
    run(&target.command(file.to_str()?, "no", &more), path).await?;
    let found = read(&file);
    let _ = fs::remove_file(&file);
    key_in(&found?)
}

/// What ssh says when it gives no session: its last lines.
pub(crate) async fn said(target: &Target, held: Option<&Held>, path: &OsStr) -> Vec<String> {
    let words = held.map_or_else(|| target.plain(), |held| held.words.clone());
    let said = run(&words, path).await.unwrap_or_default();
    let lines: Vec<_> =
        said.lines().map(log_line).filter(|line| !line.is_empty() && !line.starts_with("@@@@")).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].to_vec()
}

/// Runs ssh to its end, with nothing to say to the storage: what it says itself.
async fn run(words: &[String], path: &OsStr) -> Option<String> {
    let (program, args) = words.split_first()?;
    let mut ssh = Command::new(program);
    ssh.args(args).env_clear().env("PATH", path).kill_on_drop(true);
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = ssh.spawn().ok()?;
    let stderr = child.stderr.take()?;
    let mut said = Vec::new();
    let both = async {
        let _ = stderr.take(MAX_SAID_BYTES).read_to_end(&mut said).await;
        child.wait().await
    };
    timeout(SHOW_LIMIT, both).await.ok()?.ok()?;
    Some(String::from_utf8_lossy(&said).into_owned())
}

fn read(file: &PathBuf) -> Option<String> {
    let is_small = fs::metadata(file).ok()?.len() <= MAX_KEY_BYTES;
    if is_small { fs::read_to_string(file).ok() } else { None }
}

/// The first key of a `known_hosts`, without the name before it.
fn key_in(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.strip_prefix(ALIAS)?.strip_prefix(' ')?.split(' ');
        let (kind, key) = (words.next()?, words.next()?);
        Some(format!("{kind} {key}")).filter(|key| key.len() <= MAX_VALUE_BYTES)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Option<(Option<String>, String, Option<String>)> {
        let target = Target::of(&Location::parse(text).unwrap())?;
        Some((target.user, target.machine, target.port))
    }

    #[test]
    fn user_machine_and_port_are_those_that_restic_reads() {
        let is = |user: Option<&str>, machine: &str, port: Option<&str>| {
            Some((user.map(str::to_owned), machine.to_owned(), port.map(str::to_owned)))
        };
        for (text, found) in [
            ("sftp:nas:/srv/x", is(None, "nas", None)),
            ("sftp:me@nas:x", is(Some("me"), "nas", None)),
            ("sftp:me@corp@nas:x:y", is(Some("me@corp"), "nas", None)),
            ("sftp://nas/x", is(None, "nas", None)),
            ("sftp://me@nas:2222//x", is(Some("me"), "nas", Some("2222"))),
            ("sftp://me%40corp@nas:/x", is(Some("me@corp"), "nas", None)),
            ("sftp://me@[fe80::1]:22/x", is(Some("me"), "fe80::1", Some("22"))),
            ("/srv/x", None),
            ("rest:http://nas/", None),
        ] {
            assert_eq!(target(text), found, "{text}");
        }
    }

    #[test]
    fn restic_gets_the_words_as_they_are_or_nothing() {
        assert_eq!(quoted("-p").unwrap(), "-p");
        assert_eq!(quoted("a b").unwrap(), "'a b'");
        assert_eq!(quoted("UserKnownHostsFile=\"/x y\"").unwrap(), "'UserKnownHostsFile=\"/x y\"'");
        for word in ["it's", "a\\b", "a\"b", "UserKnownHostsFile=\"/x\"y\""] {
            assert!(quoted(word).is_err(), "{word}");
        }
        let folder = tempfile::tempdir().unwrap();
        let target = Target::of(&Location::parse("sftp://me@nas:2222//x").unwrap()).unwrap();
        let held =
            Held::to(&target, (Slot::Repo, "ssh-ed25519 AAAA\nssh-rsa BBBB\n"), folder.path()).unwrap();
        let option = held.option();
        assert!(option.starts_with("--option=\"sftp.command=ssh -o 'UserKnownHostsFile=\"\"/"), "{option}");
        assert!(option.ends_with(" -p 2222 -l me -s nas sftp\""), "{option}");
        let kept = fs::read_to_string(folder.path().join("known_hosts.repo")).unwrap();
        assert_eq!(kept, "storage ssh-ed25519 AAAA\nstorage ssh-rsa BBBB\n");
    }

    #[test]
    fn the_shown_key_is_read_without_its_name() {
        assert_eq!(key_in("# x\nstorage ssh-ed25519 AAAA me\n").unwrap(), "ssh-ed25519 AAAA");
        assert_eq!(key_in(&format!("storage ssh-rsa {}", "A".repeat(5_000))), None);
        assert_eq!(key_in("other ssh-ed25519 AAAA\nstoragex a b\n"), None);
    }
}
