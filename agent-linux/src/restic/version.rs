//! Which restic there is, and what it can do.

use core::{fmt, time::Duration};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsStr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::Command;

const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// A version of restic, ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The 0 of 0.18.2.
    pub major: u16,
    /// The 18 of 0.18.2.
    pub minor: u16,
    /// The 2 of 0.18.2.
    pub patch: u16,
}

impl Version {
    /// The oldest that is supported.
    pub const OLDEST: Self = Self::new(0, 14);

    /// The oldest that is known to put a folder in the place of a symbolic link that it meets in the target. 0.14
    /// restores through the link; those between were not tried.
    pub const RESTORES_BESIDE_LINKS: Self = Self::new(0, 18);

    /// The oldest that knows what to do with files that are there.
    pub const OVERWRITES: Self = Self::new(0, 17);

    /// The version without its patch number, as `major.minor.0`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor, patch: 0 }
    }

    /// Reads what `restic version` or `restic version --json` prints; development builds (`0.18.1-dev`) count as
    /// their number.
    #[must_use]
    pub fn parse(output: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct VersionLine {
            version: String,
        }
        let first = output.lines().find(|line| !line.trim().is_empty())?;
        if let Ok(said) = serde_json::from_str::<VersionLine>(first) {
            return Self::parse_number(&said.version);
        }
        Self::parse_number(first.strip_prefix("restic ")?.split_whitespace().next()?)
    }

    fn parse_number(text: &str) -> Option<Self> {
        let mut parts = text.trim_start_matches('v').split('.');
        let mut number = || {
            let part = parts.next().unwrap_or("0");
            let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
            digits.parse().ok()
        };
        Some(Self { major: number()?, minor: number()?, patch: number()? })
    }

    /// Whether this restic knows the option `--retry-lock`.
    #[must_use]
    pub fn has_retry_lock(self) -> bool {
        self >= Self::new(0, 16)
    }

    /// `backup --group-by`: the last snapshot of the group is the parent even when its paths changed.
    #[must_use]
    pub fn has_backup_group_by(self) -> bool {
        self >= Self::new(0, 16)
    }

    /// Whether this restic knows `backup --no-scan`.
    #[must_use]
    pub fn has_no_scan(self) -> bool {
        self >= Self::new(0, 15)
    }

    /// Whether this restic knows `restore --sparse`.
    #[must_use]
    pub fn has_sparse(self) -> bool {
        self >= Self::new(0, 15)
    }

    /// Whether this restic knows `backup --stdin-from-command`.
    #[must_use]
    pub fn has_stdin_from_command(self) -> bool {
        self >= Self::new(0, 16)
    }

    /// Whether this restic knows `backup --read-concurrency`.
    #[must_use]
    pub fn has_read_concurrency(self) -> bool {
        self >= Self::new(0, 15)
    }

    /// `unlock` says how many locks it removed.
    #[must_use]
    pub fn says_unlocked(self) -> bool {
        self >= Self::new(0, 17)
    }

    /// Whether this restic knows `--dry-run`, `--overwrite` and `--delete` of restore.
    #[must_use]
    pub fn has_overwrite(self) -> bool {
        self >= Self::OVERWRITES
    }

    /// `restore` says what it has done, as JSON.
    #[must_use]
    pub fn says_restored(self) -> bool {
        self >= Self::new(0, 16)
    }

    /// `restore` follows symbolic links in the target.
    #[must_use]
    pub fn follows_links(self) -> bool {
        self < Self::RESTORES_BESIDE_LINKS
    }

    /// `backup` says how many bytes it stored, and snapshots carry summaries.
    #[must_use]
    pub fn says_packed_bytes(self) -> bool {
        self >= Self::new(0, 17)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A restic program that was asked for its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restic {
    path: PathBuf,
    version: Version,
    stamp: Stamp,
}

/// Changes when the program file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Why there is no restic to work with; says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ResticError {
    /// There is no program of this name or path.
    #[error(
        "restic is not installed: there is no {0}. Install it (Debian: apt-get install restic) or name its path"
    )]
    NotFound(String),
    /// It could not be started, or did not end in time.
    #[error("{path} can't be started: {reason}")]
    NotRunnable {
        /// What was tried.
        path: String,
        /// Why it could not be run.
        reason: String,
    },
    /// What it says is not a version of restic.
    #[error("{path} does not say which version of restic it is: {said}")]
    NotRestic {
        /// What was tried.
        path: String,
        /// The first of what it said.
        said: String,
    },
    /// Older than [`Version::OLDEST`].
    #[error("{path} is restic {version}; 0.14 or newer is needed")]
    TooOld {
        /// What was tried.
        path: String,
        /// The version that is there.
        version: Version,
    },
}

impl Restic {
    /// Finds `program` (a path, or a name in `search`) and asks it for its version.
    pub async fn probe(program: &Path, search: &OsStr) -> Result<Self, ResticError> {
        let path = find_program(program, search)
            .ok_or_else(|| ResticError::NotFound(program.display().to_string()))?;
        let shown = path.display().to_string();
        let not_runnable = |reason: &dyn fmt::Display| ResticError::NotRunnable {
            path: shown.clone(),
            reason: reason.to_string(),
        };
        let stamp = Stamp::of(&path).map_err(|error| not_runnable(&error))?;
        let run = Command::new(&path)
            .args(["version", "--json"])
            .env_clear()
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PROBE_LIMIT, run)
            .await
            .map_err(|_| not_runnable(&"it does not answer"))?
            .map_err(|error| not_runnable(&error))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let Some(version) = Version::parse(&said) else {
            let said = super::lines::clean(said.lines().next().unwrap_or_default(), 200);
            return Err(ResticError::NotRestic { path: shown, said });
        };
        if version < Version::OLDEST {
            return Err(ResticError::TooOld { path: shown, version });
        }
        Ok(Self { path, version, stamp })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it said it is.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether the program file is still the one that was asked.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        Stamp::of(&self.path).is_ok_and(|stamp| stamp == self.stamp)
    }
}

impl Stamp {
    fn of(path: &Path) -> std::io::Result<Self> {
        let file = std::fs::metadata(path)?;
        Ok(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

/// The file of this program: as it is when it holds a slash, else the first of that name in `search`.
#[must_use]
pub fn find_program(program: &Path, search: &OsStr) -> Option<PathBuf> {
    let is_program =
        |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0);
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return std::path::absolute(program).ok().filter(is_program);
    }
    std::env::split_paths(search).map(|folder| folder.join(program)).find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_text_and_json() {
        let text = "restic 0.14.0 compiled with go1.19.8 on linux/amd64\n";
        assert_eq!(Version::parse(text), Some(Version::new(0, 14)));
        let json = r#"{"message_type":"version","version":"0.18.2-dev (compiled manually)","go_os":"linux"}"#;
        assert_eq!(Version::parse(json), Some(Version { major: 0, minor: 18, patch: 2 }));
        for junk in ["", "\n", "BusyBox v1.36", "{}", "restic", "restic next", "[1]", "restic 99999999.1.1"] {
            assert_eq!(Version::parse(junk), None, "{junk:?}");
        }
    }

    #[test]
    fn flags_follow_the_version() {
        let (old, middle, new) = (Version::new(0, 14), Version::new(0, 16), Version::new(1, 0));
        assert!(!old.has_retry_lock() && middle.has_retry_lock() && new.has_retry_lock());
        assert!(!middle.says_unlocked() && new.says_unlocked());
        assert!(!old.has_no_scan() && middle.has_no_scan());
    }
}
