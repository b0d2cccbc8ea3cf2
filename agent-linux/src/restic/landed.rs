//! What a restore into an empty folder has left there: by that it is counted, where restic's own figures don't tell.

use super::{
    failures::Failures,
    raw_names::{STAND_IN, as_json_shows},
    there::at,
};
use std::{fs, io, path::Path};

/// How deep folders are counted.
const DEEPEST: usize = 128;

/// What lies in a folder that was empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Landed {
    /// Folders.
    pub(super) folders_made: u64,
    /// All that is no folder.
    pub(super) files: u64,
    /// Those of them that have failed.
    pub(super) failed: u64,
    /// Size of the files in bytes, where that was asked for.
    pub(super) bytes: u64,
    /// Of each failure that has a name, whether it is a folder.
    pub(super) folders: Vec<bool>,
    /// What was picked and is not there, and did not fail, as JSON shows it.
    pub(super) missing: Vec<String>,
}

impl Landed {
    /// Looks at this folder, for what has failed and what was picked; `measures` = how large the files are, too.
    pub(super) fn look(
        folder: &Path,
        failures: &Failures,
        picks: &[Vec<u8>],
        measures: bool,
    ) -> io::Result<Self> {
        let mut landed = Self::default();
        landed.count(folder, DEEPEST, measures)?;
        for (path, _) in &failures.named {
            let is_folder = at(folder, path.as_bytes()).symlink_metadata().map(|there| there.is_dir());
            landed.folders.push(matches!(is_folder, Ok(true)));
            // Of one whose name JSON has altered nothing is known: it may be there.
            landed.failed += u64::from(matches!(is_folder, Ok(false)) || path.contains(STAND_IN));
        }
        landed.failed = landed.failed.min(landed.files);
        let is_failed = |shown: &str| {
            let holds = |path: &str| {
                shown.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            failures.count > failures.named.len() as u64 || failures.named.iter().any(|(path, _)| holds(path))
        };
        for pick in picks {
            let shown = as_json_shows(pick).trim_end_matches('/').to_owned();
            if at(folder, pick).symlink_metadata().is_err() && !is_failed(&shown) {
                landed.missing.push(shown);
            }
        }
        Ok(landed)
    }

    /// Counts what is in a folder and below, no link followed.
    fn count(&mut self, folder: &Path, deepest: usize, measures: bool) -> io::Result<()> {
        let Some(deepest) = deepest.checked_sub(1) else { return Err(io::Error::other("too deep")) };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.folders_made += 1;
                self.count(&entry.path(), deepest, measures)?;
                continue;
            }
            self.files += 1;
            if measures {
                self.bytes += entry.metadata().map_or(0, |there| there.len());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn folders_are_told_from_what_is_in_them_and_no_link_is_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        fs::create_dir_all(folder.join("a/b/c")).unwrap();
        fs::write(folder.join("a/file"), "x").unwrap();
        symlink(folder, folder.join("a/b/link")).unwrap();
        let mut landed = Landed::default();
        landed.count(folder, 4, false).unwrap();
        assert_eq!(landed, Landed { folders_made: 3, files: 2, ..Landed::default() });
        assert!(Landed::default().count(folder, 3, false).is_err(), "too deep");
    }
}
