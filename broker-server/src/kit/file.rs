//! The file of a kit on disk: whole, or not there.

use anyhow::Context;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A file that is written beside the one that it becomes, for its owner alone. It goes when it is dropped before.
pub(super) struct Draft {
    path: PathBuf,
    target: PathBuf,
    replaces: bool,
    file: File,
}

impl Draft {
    /// Begins. Fails when the target is there and may not be replaced.
    pub(super) fn begin(target: &Path, replaces: bool) -> anyhow::Result<Self> {
        let shown = || target.display().to_string();
        let name = target.file_name().with_context(|| format!("{} names no file", target.display()))?;
        if !replaces && fs::symlink_metadata(target).is_ok() {
            anyhow::bail!(
                "{} is there already: give another name, or --force to replace it",
                target.display()
            );
        }
        let mut draft = name.to_owned();
        draft.push(format!(".{}.new", std::process::id()));
        let path = target.with_file_name(draft);
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).with_context(shown)?;
        Ok(Self { path, target: target.to_owned(), replaces, file })
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)
    }

    /// Makes it the file that it is to be, once it is on disk.
    pub(super) fn publish(self) -> io::Result<()> {
        self.file.sync_all()?;
        if self.replaces {
            fs::rename(&self.path, &self.target)?;
        } else {
            match renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::NOREPLACE) {
                Ok(()) => {}
                // Not each file system can; on those it is looked at right before.
                Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(&self.target).is_err() => {
                    fs::rename(&self.path, &self.target)?;
                }
                Err(Errno::INVAL | Errno::NOSYS) => return Err(ErrorKind::AlreadyExists.into()),
                Err(error) => return Err(error.into()),
            }
        }
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already when it was published.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_file_is_whole_or_not_there_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("kit.age");
        let mut draft = Draft::begin(&target, false).unwrap();
        draft.write(b"half").unwrap();
        assert!(!target.exists());
        drop(draft);
        assert!(names(folder.path()).is_empty());
        let mut draft = Draft::begin(&target, false).unwrap();
        draft.write(b"whole").unwrap();
        draft.publish().unwrap();
        assert_eq!(names(folder.path()), ["kit.age"]);
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn nothing_is_replaced_unless_that_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("kit.age");
        let draft = Draft::begin(&target, false).unwrap();
        fs::write(&target, "another").unwrap();
        assert!(draft.publish().is_err(), "it came in between");
        assert!(Draft::begin(&target, false).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"another");
        let mut draft = Draft::begin(&target, true).unwrap();
        draft.write(b"new").unwrap();
        draft.publish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["kit.age"]);
    }
}
