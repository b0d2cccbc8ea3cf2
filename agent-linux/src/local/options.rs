//! Reads the arguments of `list`, `find` and `restore`. They are bytes, for names of files are.

use super::words::{shown, spelt};
use crate::{
    doctor::Where, policy::PolicyAt, restic::SnapshotSeen, state_folder::DEFAULT_FOLDER, usage::UsageError,
};
use schema::{OsText, Overwrite, os_text};
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

/// Something that a person asks for at this machine.
#[derive(Debug, PartialEq, Eq)]
pub struct LocalCommand {
    /// Where the state folder, restic and the policy are.
    pub at: Where,
    /// Only snapshots of this host name.
    pub host: Option<String>,
    /// Only snapshots with this tag.
    pub group: Option<String>,
    /// Whether to print lines of JSON instead of lines for people.
    pub json: bool,
    /// Whether to show all that restic says.
    pub verbose: bool,
    /// What is asked for.
    pub what: What,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// The snapshots of the repository.
    Snapshots,
    /// A folder of a snapshot.
    Folder {
        /// The first characters of its id, or `latest`.
        snapshot: String,
        /// The folder, absolute.
        path: Vec<u8>,
    },
    /// What has a name.
    Find {
        /// restic's pattern.
        pattern: Vec<u8>,
        /// Capital letters are as small ones.
        ignore_case: bool,
        /// In the newest so many snapshots; 0 = in as many as one search takes.
        newest: u32,
    },
    /// A restore.
    Restore(Wish),
}

/// What is to be restored, and how.
#[derive(Debug, PartialEq, Eq)]
pub struct Wish {
    /// The first characters of the snapshot's id, or `latest`.
    pub snapshot: String,
    /// The paths inside the snapshot; none = all.
    pub paths: Vec<Vec<u8>>,
    /// Where it goes.
    pub target: Target,
    /// What becomes of files that are there already.
    pub overwrite: Overwrite,
    /// Delete what is there and the snapshot lacks.
    pub delete: bool,
    /// Read back what was written.
    pub verify: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Nobody is asked.
    pub yes: bool,
}

/// Where a restore goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// Into a new folder in the agent's base.
    NewFolder,
    /// Into this one, which is made when it is not there.
    Folder(PathBuf),
    /// To where it was.
    Original,
}

impl LocalCommand {
    /// Whether a snapshot is of the host and group that were named.
    #[must_use]
    pub fn wants(&self, seen: &SnapshotSeen) -> bool {
        self.group.as_ref().is_none_or(|group| seen.tags.contains(group))
            && self.host.as_ref().is_none_or(|host| *host == seen.hostname)
    }

    /// Says that there is no snapshot of the host and group that were named.
    #[must_use]
    pub fn none(&self) -> String {
        let mut said = "The repository holds no snapshot".to_owned();
        for (what, name) in [(" of host ", &self.host), (" in group ", &self.group)] {
            if let Some(name) = name {
                said.push_str(what);
                said.push_str(&shown(name));
            }
        }
        said + "."
    }
}

impl Wish {
    /// Whether a person has to agree once the numbers are known.
    #[must_use]
    pub fn asks_first(&self) -> bool {
        !self.yes && !self.dry_run && (self.delete || self.target == Target::Original)
    }
}

fn wrong<T>(text: &str) -> Result<T, UsageError> {
    Err(UsageError(text.to_owned()))
}

/// Reads the arguments behind the command.
pub fn parse(
    command: &str,
    rest: &[OsString],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<LocalCommand, UsageError> {
    let mut state_dir = env("HOLDFAST_AGENT_STATE_DIR").unwrap_or_else(|| DEFAULT_FOLDER.to_owned()).into();
    let mut policy = env("HOLDFAST_AGENT_POLICY").filter(|file| !file.is_empty()).map(PathBuf::from);
    let mut restic = env("HOLDFAST_AGENT_RESTIC").unwrap_or_else(|| "restic".to_owned()).into();
    let (mut host, mut group, mut newest) = (None, None, 0);
    let (mut json, mut verbose, mut ignore_case, mut all_plain) = (false, false, false, false);
    let mut wish = Wish {
        snapshot: String::new(),
        paths: Vec::new(),
        target: Target::NewFolder,
        overwrite: Overwrite::Never,
        delete: false,
        verify: true,
        dry_run: false,
        yes: false,
    };
    let mut targets = 0;
    let mut plain: Vec<&[u8]> = Vec::new();
    let mut rest = rest.iter().map(|arg| arg.as_bytes());
    while let Some(arg) = rest.next() {
        if all_plain || !arg.starts_with(b"-") || arg == b"-" {
            plain.push(arg);
            continue;
        }
        let equals = arg.iter().position(|&byte| byte == b'=').filter(|_| arg.starts_with(b"--"));
        let (name, attached) = equals.map_or((arg, None), |at| (&arg[..at], Some(&arg[at + 1..])));
        let name = String::from_utf8_lossy(name);
        let mut value = || {
            let value = attached.or_else(|| rest.next());
            value.ok_or_else(|| UsageError(format!("{name} needs a value")))
        };
        match (command, &*name, attached.is_some()) {
            (_, "--", false) => all_plain = true,
            (_, "--state-dir", _) => state_dir = path(value()?),
            (_, "--restic", _) => restic = path(value()?),
            (_, "--policy", _) => policy = Some(path(value()?)),
            (_, "--host", _) => host = Some(text(value()?)),
            (_, "--group", _) => group = Some(text(value()?)),
            (_, "--json", false) => json = true,
            (_, "--verbose" | "-v", false) => verbose = true,
            ("find", "--newest", _) => {
                let asked = text(value()?);
                newest =
                    asked.parse().ok().filter(|newest| *newest > 0).ok_or_else(|| {
                        UsageError(format!("--newest is a number of snapshots, not {asked}"))
                    })?;
            }
            ("find", "--ignore-case" | "-i", false) => ignore_case = true,
            ("restore", "--path", _) => wish.paths.push(inside(value()?)?),
            ("restore", "--target", _) => {
                wish.target = Target::Folder(folder(value()?)?);
                targets += 1;
            }
            ("restore", "--original", false) => {
                wish.target = Target::Original;
                targets += 1;
            }
            ("restore", "--new-folder", false) => targets += 1,
            ("restore", "--overwrite", _) => {
                let asked = text(value()?);
                let found =
                    Overwrite::ALL.into_iter().find(|it| asked == it.as_restic() || asked == it.as_str());
                wish.overwrite = found.ok_or_else(|| {
                    UsageError(format!("--overwrite is never, if-newer, if-changed or always, not {asked}"))
                })?;
            }
            ("restore", "--delete", false) => wish.delete = true,
            ("restore", "--no-verify", false) => wish.verify = false,
            ("restore", "--dry-run", false) => wish.dry_run = true,
            ("restore", "--yes", false) => wish.yes = true,
            _ => return Err(UsageError(format!("{command} does not know {}", OsText::new(arg)))),
        }
    }
    let what = match (command, plain.as_slice()) {
        ("list", []) => What::Snapshots,
        ("list", [id]) => What::Folder { snapshot: snapshot(id)?, path: b"/".to_vec() },
        ("list", [id, path]) => What::Folder { snapshot: snapshot(id)?, path: inside(path)? },
        ("find", [pattern]) if !pattern.is_empty() => {
            let meant = str::from_utf8(pattern).map(spelt);
            let pattern = meant.as_ref().map_or(*pattern, |text| text.as_bytes());
            let pattern = schema::pattern::of_search(pattern).collect();
            What::Find { pattern, ignore_case, newest }
        }
        ("find", []) => return wrong("find needs a name, or a part of one"),
        ("restore", [id]) => What::Restore(Wish { snapshot: snapshot(id)?, ..wish }),
        ("restore", []) => {
            return wrong("restore needs a snapshot: latest, or an id that holdfast-agent list shows");
        }
        (_, [.., last]) => {
            return Err(UsageError(format!("{command} does not know {}", OsText::new(last))));
        }
        _ => return wrong("nothing is asked for"),
    };
    if targets > 1 {
        return wrong("of --target, --new-folder and --original only one can be");
    }
    if let What::Restore(wish) = &what {
        if wish.delete && wish.target == Target::NewFolder {
            return wrong("--delete needs --target or --original: a new folder holds nothing to delete");
        }
        if json && wish.asks_first() {
            return wrong("with --json nobody is asked: say --yes, or --dry-run to see what would be done");
        }
    }
    let at = Where { policy: PolicyAt::new(policy, state_dir.clone()), state_dir, restic };
    Ok(LocalCommand { at, host, group, json, verbose, what })
}

fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The first characters of a snapshot's id, or `latest`.
fn snapshot(bytes: &[u8]) -> Result<String, UsageError> {
    let asked = text(bytes).to_ascii_lowercase();
    let is_id = (1..=64).contains(&asked.len()) && asked.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id || asked == "latest" {
        return Ok(asked);
    }
    Err(UsageError(format!(
        "{} is no snapshot: say latest, or an id that holdfast-agent list shows",
        OsText::new(bytes)
    )))
}

/// A path inside a snapshot: as it is, or as it is shown.
fn inside(bytes: &[u8]) -> Result<Vec<u8>, UsageError> {
    let path = match str::from_utf8(bytes) {
        Ok(text) => os_text::bytes_of(&spelt(text)).collect(),
        Err(_) => bytes.to_vec(),
    };
    if path.starts_with(b"/") {
        return Ok(path);
    }
    Err(UsageError(format!("{}: a path inside a snapshot begins with /", OsText::new(bytes))))
}

/// A folder of this machine, by its absolute path.
fn folder(bytes: &[u8]) -> Result<PathBuf, UsageError> {
    if bytes.is_empty() {
        return wrong("--target needs a folder, and this is an empty name");
    }
    let asked = Path::new(OsStr::from_bytes(bytes));
    let found = std::path::absolute(asked).unwrap_or_default();
    if found.as_os_str().is_empty() || found.components().any(|part| part.as_os_str() == "..") {
        return Err(UsageError(format!("--target {}: name the folder without ..", OsText::new(bytes))));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(command: &str, args: &[&[u8]]) -> LocalCommand {
        let args: Vec<OsString> = args.iter().map(|arg| OsString::from_vec(arg.to_vec())).collect();
        parse(command, &args, &|_| None).unwrap()
    }

    #[test]
    fn names_of_any_bytes_are_taken_as_they_are_and_as_they_are_shown() {
        let args: [&[u8]; 6] =
            [b"--path=/d\xff", b"--path", b"/d\\xfe", b"-v", b"--path=/\\u001b\\\\u001b\\u0041", b"ABC123"];
        let LocalCommand { what: What::Restore(wish), verbose: true, json: false, .. } =
            read("restore", &args)
        else {
            panic!()
        };
        assert_eq!(wish.paths, [&b"/d\xff"[..], b"/d\xfe", b"/\x1b\\u001b\\u0041"]);
        assert_eq!((wish.snapshot.as_str(), wish.verify, &wish.target), ("abc123", true, &Target::NewFolder));
        let What::Find { pattern, .. } = read("find", &[b"--", b"-r\xfff"]).what else { panic!() };
        assert_eq!(pattern, b"*-r\xfff*");
        let What::Find { pattern, .. } = read("find", &[b"a\\u000ab\\xfc"]).what else { panic!() };
        assert_eq!(pattern, b"*a\nb\xfc*");
        let What::Folder { path, .. } = read("list", &[b"latest"]).what else { panic!() };
        assert_eq!(path, b"/");
    }

    #[test]
    fn only_what_replaces_or_deletes_asks_first() {
        let asks = |args: &[&[u8]]| {
            let What::Restore(wish) = read("restore", args).what else { panic!() };
            wish.asks_first()
        };
        let latest: &[u8] = b"latest";
        assert!(!asks(&[latest]) && !asks(&[latest, b"--target", b"/a", b"--overwrite=always"]));
        assert!(asks(&[latest, b"--original"]) && asks(&[latest, b"--target=/a", b"--delete"]));
        assert!(!asks(&[latest, b"--original", b"--yes"]) && !asks(&[latest, b"--original", b"--dry-run"]));
    }
}
