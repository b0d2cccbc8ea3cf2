//! What a restore has left there: by that one into an empty folder is counted, where restic's own figures don't tell, and
//! other names (hard links) of a file that failed are found.

use super::{
    failures::Failures,
    raw_names::{STAND_IN, as_json_shows},
    there::{at, looking_like},
    tree::Way,
};
use std::{
    fs::{self, DirEntry},
    io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

/// How deep folders are counted.
const DEEPEST: usize = 128;
/// The most other names of failed files that are found.
const MOST_OTHER_NAMES: usize = 10_000;

/// What lies in a folder that was empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Landed {
    /// Folders.
    pub(super) folders_made: u64,
    /// All that is no folder.
    pub(super) files: u64,
    /// Those of them that have failed.
    pub(super) failed: u64,
    /// Size in bytes of the files that have not failed, where that was asked for.
    pub(super) bytes: u64,
    /// Of each failure that has a name, whether it is a folder.
    pub(super) folders: Vec<bool>,
    /// What was picked and is not there, and did not fail, as JSON shows it.
    pub(super) missing: Vec<String>,
    /// Other names of what has failed, at most [`MOST_OTHER_NAMES`].
    pub(super) other_names: Vec<OtherName>,
}

/// Another name of a file that failed: what it leads to is no more whole than that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OtherName {
    /// Its path in the snapshot.
    pub(super) path: Vec<u8>,
    /// Why it failed, too.
    pub(super) reason: String,
}

/// How folders are looked at.
struct Look<'l> {
    /// Where the restore went.
    root: &'l Path,
    /// How large files are, too.
    measures: bool,
    /// Folders in a folder are passed over.
    is_flat: bool,
    /// Failed files that have other names, by device and inode.
    linked: Vec<((u64, u64), &'l str)>,
}

impl<'l> Look<'l> {
    fn new(root: &'l Path, failures: &'l Failures) -> Self {
        let several = |(path, _): &'l (String, String)| {
            let there = at(root, path.as_bytes()).symlink_metadata().ok()?;
            (!there.is_dir() && there.nlink() > 1).then(|| ((there.dev(), there.ino()), path.as_str()))
        };
        let linked = failures.named.iter().filter_map(several).collect();
        Self { root, measures: false, is_flat: false, linked }
    }

    /// The failed file that this is another name of.
    fn other_name(&self, entry: &DirEntry) -> Option<OtherName> {
        if self.linked.is_empty() {
            return None;
        }
        let (path, there) = (entry.path(), entry.metadata().ok()?);
        let (_, of) = self.linked.iter().find(|(id, _)| *id == (there.dev(), there.ino()))?;
        let below = path.strip_prefix(self.root).ok()?;
        let path = [b"/", below.as_os_str().as_bytes()].concat();
        Some(OtherName { path, reason: format!("another name of {of}, which failed") })
    }
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
        landed.count(&Look { measures, ..Look::new(folder, failures) }, folder, DEEPEST)?;
        for (path, _) in &failures.named {
            let there = at(folder, path.as_bytes()).symlink_metadata();
            if let Some(there) = there.as_ref().ok().filter(|there| measures && !there.is_dir()) {
                landed.bytes = landed.bytes.saturating_sub(there.len());
            }
            let is_folder = there.map(|there| there.is_dir());
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

    /// Other names of what has failed, in these folders of what was restored.
    pub(super) fn other_names(target: &Path, failures: &Failures, ways: &[Way]) -> Vec<OtherName> {
        let mut landed = Self::default();
        let look = Look { is_flat: true, ..Look::new(target, failures) };
        if !look.linked.is_empty() {
            for way in core::iter::once("").chain(ways.iter().map(|way| way.path.as_str())) {
                for folder in looking_like(target, way).unwrap_or_default() {
                    // One that can't be looked into holds none that restic has made.
                    let _ = landed.count(&look, &at(target, &folder), DEEPEST);
                }
            }
        }
        landed.other_names
    }

    /// Other names that were found have failed, too.
    pub(super) fn add_other_names(&mut self, failures: &mut Failures) {
        for name in core::mem::take(&mut self.other_names) {
            self.failed += u64::from(failures.add(&as_json_shows(&name.path), &name.reason));
        }
        self.failed = self.failed.min(self.files);
    }

    /// Counts what is in a folder and below, no link followed.
    fn count(&mut self, look: &Look<'_>, folder: &Path, deepest: usize) -> io::Result<()> {
        let Some(deepest) = deepest.checked_sub(1) else { return Err(io::Error::other("too deep")) };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.folders_made += 1;
                if !look.is_flat {
                    self.count(look, &entry.path(), deepest)?;
                }
                continue;
            }
            self.files += 1;
            if self.other_names.len() < MOST_OTHER_NAMES {
                self.other_names.extend(look.other_name(&entry));
            }
            if look.measures {
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
        let failures = Failures::default();
        let look = Look::new(folder, &failures);
        landed.count(&look, folder, 4).unwrap();
        assert_eq!(landed, Landed { folders_made: 3, files: 2, ..Landed::default() });
        assert!(Landed::default().count(&look, folder, 3).is_err(), "too deep");
    }

    #[test]
    fn other_names_of_a_failed_file_have_failed_wherever_they_lie() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        fs::create_dir_all(folder.join("a/b")).unwrap();
        for name in ["a/first", "a/alone", "a/whole"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        fs::hard_link(folder.join("a/first"), folder.join("a/b/second")).unwrap();
        fs::hard_link(folder.join("a/first"), folder.join("third")).unwrap();
        fs::hard_link(folder.join("a/whole"), folder.join("whole, too")).unwrap();
        let mut failures = Failures::default();
        failures.add("/a/first", "bad");
        failures.add("/a/alone", "bad");

        let ways = ["/a", "/a/b"].map(|path| Way { path: path.to_owned(), above: None });
        let mut there = Landed::other_names(folder, &failures, &ways);
        there.sort_by(|one, other| one.path.cmp(&other.path));
        let names = |names: &[OtherName]| names.iter().map(|name| name.path.clone()).collect::<Vec<_>>();
        assert_eq!(names(&there), [&b"/a/b/second"[..], b"/a/first", b"/third"]);
        assert_eq!(
            names(&Landed::other_names(folder, &failures, &ways[..1])).len(),
            2,
            "only in these folders"
        );

        let mut landed = Landed::look(folder, &failures, &[], false).unwrap();
        assert_eq!((landed.files, landed.failed), (6, 2));
        landed.add_other_names(&mut failures);
        assert_eq!((landed.failed, failures.count), (4, 4));
        assert_eq!(failures.named[3].1, "another name of /a/first, which failed");
        let measured = Landed::look(folder, &failures, &[], true).unwrap();
        assert_eq!(measured.bytes, 2, "of six but for the four that failed");
    }
}
