//! A file that is written whole or not at all: beside its name first, for its owner alone.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How the name of a draft ends.
const ENDING: &str = ".new";

/// A file on its way to its name. It goes when it is dropped before.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    target: PathBuf,
    replaces: bool,
    file: File,
}

impl Draft {
    /// Begins. When the target is there and may not be replaced, that is [`ErrorKind::AlreadyExists`].
    pub fn begin(target: &Path, replaces: bool) -> io::Result<Self> {
        let name = target.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
        match fs::symlink_metadata(target) {
            Ok(there) if !there.is_file() => {
                return Err(io::Error::other("what is there is no regular file"));
            }
            Ok(_) if !replaces => return Err(ErrorKind::AlreadyExists.into()),
            _ => {}
        }
        let mut draft = name.to_owned();
        draft.push(format!(".{}{ENDING}", std::process::id()));
        let path = target.with_file_name(draft);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, target: target.to_owned(), replaces, file })
    }

    /// The name that a draft of this name is to get; `None` = it is none.
    #[must_use]
    pub fn target_of(name: &str) -> Option<&str> {
        Self::parts_of(name).map(|(target, _)| target)
    }

    /// The same, and the number of the process that writes it, or has.
    pub(crate) fn parts_of(name: &str) -> Option<(&str, u32)> {
        let (target, process) = name.strip_suffix(ENDING)?.rsplit_once('.')?;
        Some((target, process.parse().ok()?))
    }

    /// What has been written so far, from its beginning.
    pub fn read_again(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Makes it the file that it is to be, once it is on disk.
    pub fn publish(self) -> io::Result<()> {
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

impl Write for &Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
    use std::os::unix::fs::PermissionsExt as _;

    fn names(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_file_is_whole_or_not_there_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("kit.age");
        let draft = Draft::begin(&target, false).unwrap();
        (&draft).write_all(b"half").unwrap();
        assert!(!target.exists());
        let [name] = &names(folder.path())[..] else { panic!("one file") };
        assert_eq!((Draft::target_of(name), Draft::target_of("kit.age")), (Some("kit.age"), None));
        drop(draft);
        assert!(names(folder.path()).is_empty());
        let draft = Draft::begin(&target, false).unwrap();
        (&draft).write_all(b"whole").unwrap();
        draft.publish().unwrap();
        assert_eq!(names(folder.path()), ["kit.age"]);
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// With a name that leads elsewhere, or to what is no file, nothing is done there.
    #[test]
    fn only_a_regular_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("mine"), "mine").unwrap();
        std::os::unix::fs::symlink(path("mine"), path("link")).unwrap();
        std::os::unix::fs::symlink(path("nowhere"), path("dangling")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        let mut before = names(folder.path());
        before.sort();
        for name in ["link", "dangling", "folder", "socket"] {
            for replaces in [false, true] {
                let refused = Draft::begin(&path(name), replaces).unwrap_err().to_string();
                assert_eq!(refused, "what is there is no regular file", "{name}");
            }
        }
        let mut after = names(folder.path());
        after.sort();
        assert_eq!(after, before);
        assert_eq!(fs::read(path("mine")).unwrap(), b"mine");
        Draft::begin(&path("mine"), true).unwrap().publish().unwrap();
        assert_eq!(fs::read(path("mine")).unwrap(), b"");
    }

    #[test]
    fn nothing_is_replaced_unless_that_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("kit.age");
        let draft = Draft::begin(&target, false).unwrap();
        fs::write(&target, "another").unwrap();
        assert!(draft.publish().is_err(), "it came in between");
        assert_eq!(Draft::begin(&target, false).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"another");
        let draft = Draft::begin(&target, true).unwrap();
        (&draft).write_all(b"new").unwrap();
        draft.publish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["kit.age"]);
    }
}
