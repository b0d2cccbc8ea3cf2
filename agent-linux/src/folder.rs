//! Folders that are opened name by name, so that no symbolic link is followed on the way, and new ones that are made in
//! them.
//!
//! A path that was judged and is walked later may lead elsewhere by then. What is opened here stays the folder that was
//! found, whatever is renamed afterwards.

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, renameat, statat, unlinkat},
    io::Errno,
    process::geteuid,
};
use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

/// Of a folder that is made: nobody else looks into it.
const OWN: u32 = 0o700;

/// Why a folder was not opened or made.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Relative, or with steps upwards.
    #[error("{} is not a plain absolute path", .0.display())]
    Odd(PathBuf),
    /// A symbolic link stands in the way.
    #[error("{} is a symbolic link, and the agent follows none there", .0.display())]
    Link(PathBuf),
    /// One of the folders that nothing may be done in.
    #[error("{} belongs to the agent itself", .0.display())]
    Forbidden(PathBuf),
    /// It is not the new folder of the agent's own that it was made as.
    #[error("{} was replaced while it was made", .0.display())]
    Replaced(PathBuf),
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    System {
        /// Path that the operation was on.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

/// Which folder it is, however it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderId {
    device: u64,
    inode: u64,
}

impl FolderId {
    /// Of a path, links followed; `None` when there is nothing.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        rustix::fs::stat(path).ok().map(|stat| Self::from(&stat))
    }
}

#[expect(clippy::useless_conversion, reason = "their types differ between machines")]
impl From<&Stat> for FolderId {
    fn from(stat: &Stat) -> Self {
        Self { device: stat.st_dev.into(), inode: stat.st_ino.into() }
    }
}

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Folder {
    /// Opens an absolute path.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let mut folder = Self::root()?;
        for name in plain_names(path)? {
            folder = folder.step(name)?;
        }
        Ok(folder)
    }

    fn root() -> Result<Self, FolderError> {
        let path = PathBuf::from("/");
        match openat(CWD, "/", flags(), Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(error) => Err(system(&path, error)),
        }
    }

    /// One folder further.
    pub fn step(&self, name: &OsStr) -> Result<Self, FolderError> {
        let path = self.path.join(name);
        match openat(&self.fd, name, flags(), Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(Errno::LOOP | Errno::NOTDIR) if self.is_link(name) => Err(FolderError::Link(path)),
            Err(error) => Err(system(&path, error)),
        }
    }

    fn is_link(&self, name: &OsStr) -> bool {
        statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    }

    /// The path by which it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which one it is.
    pub fn id(&self) -> Result<FolderId, FolderError> {
        fstat(&self.fd).map(|stat| FolderId::from(&stat)).map_err(|error| system(&self.path, error))
    }

    /// Makes a folder in it that nobody else may look into; it must not be there.
    fn make(&self, name: &OsStr) -> Result<Self, FolderError> {
        mkdirat(&self.fd, name, Mode::from_raw_mode(OWN))
            .map_err(|error| system(&self.path.join(name), error))?;
        let made = self.step(name)?;
        if made.is_own()? { Ok(made) } else { Err(FolderError::Replaced(made.path)) }
    }

    /// Whether it is a folder of whoever runs the agent, closed to everybody else.
    fn is_own(&self) -> Result<bool, FolderError> {
        let stat = fstat(&self.fd).map_err(|error| system(&self.path, error))?;
        Ok(stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o777 == OWN)
    }
}

/// A folder that was made new, and the one that it lies in.
#[derive(Debug)]
pub struct NewFolder {
    parent: Folder,
    name: OsString,
    folder: Folder,
}

impl AsFd for NewFolder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl NewFolder {
    /// Makes `below`, a path in `root`, as a new folder. When that is there already, the new one lies in it and is called
    /// `name`, with a number behind it when that is taken too. What is missing on the way is made. No link is followed
    /// anywhere, and no folder of `forbidden` entered.
    pub fn make(root: &Path, below: &Path, name: &str, forbidden: &[FolderId]) -> Result<Self, FolderError> {
        let mut names = plain_names(root)?;
        let of_root = names.len();
        let below = Path::new("/").join(below);
        names.extend(plain_names(&below)?);
        let mut parent = Folder::root()?;
        for (at, next) in names.iter().enumerate() {
            let is_last = at + 1 == names.len();
            let found = match parent.step(next) {
                Err(FolderError::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    let made = parent.make(next)?;
                    if is_last && at >= of_root {
                        return Ok(Self { parent, name: (*next).to_owned(), folder: made });
                    }
                    made
                }
                found => found?,
            };
            if forbidden.contains(&found.id()?) {
                return Err(FolderError::Forbidden(found.path));
            }
            parent = found;
        }
        let mut number = 1_u32;
        loop {
            let name = OsString::from(if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
            match parent.make(&name) {
                Ok(folder) => return Ok(Self { parent, name, folder }),
                Err(FolderError::System { source, .. })
                    if source.kind() == io::ErrorKind::AlreadyExists && number < 1_000 =>
                {
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it was made.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether its path still leads to it, without links, and it is still its owner's alone.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let found = Folder::open(self.path()).and_then(|found| found.id());
        let is_same = matches!((found, self.folder.id()), (Ok(found), Ok(own)) if found == own);
        is_same && self.folder.is_own().unwrap_or(false)
    }

    /// Makes a folder in it, closed to others as it is.
    pub fn make_inner(&self, name: &str) -> Result<(), FolderError> {
        self.folder.make(OsStr::new(name)).map(|_| ())
    }

    /// Moves what is in an inner folder up into this one, and takes the inner one away. What is in the way there stays.
    pub fn lift(&self, name: &str) -> Result<(), FolderError> {
        let inner = self.folder.step(OsStr::new(name))?;
        let failed = |source| FolderError::System { path: inner.path.clone(), source };
        let names: io::Result<Vec<OsString>> =
            fs::read_dir(format!("/proc/self/fd/{}", inner.fd.as_raw_fd()))
                .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
        for entry in names.map_err(failed)? {
            renameat(&inner.fd, &entry, &self.folder.fd, &entry)
                .map_err(|error| system(&inner.path, error))?;
        }
        unlinkat(&self.folder.fd, name, AtFlags::REMOVEDIR).map_err(|error| system(&inner.path, error))
    }

    /// Takes it away again when there is nothing in it.
    pub fn remove_if_empty(&self) {
        // One with something in it stays, and that is meant.
        let _ = unlinkat(&self.parent.fd, &self.name, AtFlags::REMOVEDIR);
    }
}

const fn flags() -> OFlags {
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC)
}

fn system(path: &Path, error: Errno) -> FolderError {
    FolderError::System { path: path.to_owned(), source: error.into() }
}

/// The names of an absolute path without steps upwards.
fn plain_names(path: &Path) -> Result<Vec<&OsStr>, FolderError> {
    let odd = || FolderError::Odd(path.to_owned());
    let mut components = path.components();
    if components.next() != Some(Component::RootDir) {
        return Err(odd());
    }
    components
        .map(|component| match component {
            Component::Normal(name) => Ok(name),
            _ => Err(odd()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    fn make(root: &Path, below: &str) -> Result<NewFolder, FolderError> {
        NewFolder::make(root, Path::new(below), "new", &[])
    }

    #[test]
    fn a_folder_is_made_new_below_its_root_and_closed_to_others() {
        let (_kept, at) = folder();
        let base = at.join("base");
        for (below, made) in
            [("", "new"), ("", "new-2"), ("a/b", "a/b"), ("a/b", "a/b/new"), ("a", "a/new"), ("c", "c")]
        {
            let new = make(&base, below).unwrap();
            assert_eq!(new.path(), base.join(made), "{below}");
            let found = fs::metadata(new.path()).unwrap();
            assert_eq!((found.mode() & 0o7777, found.uid()), (0o700, geteuid().as_raw()));
            assert!(new.is_in_place());
        }
        let new = make(&base, "c").unwrap();
        new.remove_if_empty();
        assert!(!new.path().exists() && !new.is_in_place());
        fs::write(base.join("c/file"), "").unwrap();
        fs::write(base.join("plain"), "").unwrap();
        assert!(matches!(make(&base, "plain/x"), Err(FolderError::System { .. })));
    }

    #[test]
    fn no_link_is_followed_wherever_it_stands() {
        let (_kept, at) = folder();
        fs::create_dir_all(at.join("outside")).unwrap();
        fs::create_dir_all(at.join("base/in")).unwrap();
        symlink(at.join("outside"), at.join("base/door")).unwrap();
        symlink(at.join("outside"), at.join("base/in/door")).unwrap();
        symlink(at.join("nowhere"), at.join("base/dangling")).unwrap();
        symlink(at.join("base"), at.join("alias")).unwrap();
        for (root, below) in [
            ("base", "door"),
            ("base", "door/x"),
            ("base", "in/door/x/y"),
            ("base", "dangling"),
            ("base", "dangling/x"),
            ("alias", "x"),
            ("alias/in", ""),
        ] {
            let error = make(&at.join(root), below).unwrap_err();
            assert!(matches!(error, FolderError::Link(_)), "{root} {below}: {error}");
        }
        for (root, below) in [("base", "../x"), ("base", "in/../../x"), ("base/../base", "x")] {
            assert!(matches!(make(&at.join(root), below), Err(FolderError::Odd(_))), "{root} {below}");
        }
        assert!(matches!(Folder::open(Path::new("base")), Err(FolderError::Odd(_))));
        assert_eq!(fs::read_dir(at.join("outside")).unwrap().count(), 0);
        assert!(!at.join("nowhere").exists());
    }

    #[test]
    fn what_is_the_agents_own_is_not_entered_by_any_name() {
        let (_kept, at) = folder();
        fs::create_dir_all(at.join("base/state/inner")).unwrap();
        let own = [FolderId::of(&at.join("base/state")).unwrap()];
        for below in ["state", "state/x", "state/inner/x", "./state/x"] {
            let made = NewFolder::make(&at.join("base"), Path::new(below), "new", &own);
            assert!(matches!(made, Err(FolderError::Forbidden(_))), "{below}");
        }
        assert!(NewFolder::make(&at.join("base"), Path::new("other"), "new", &own).is_ok());
        assert_eq!(fs::read_dir(at.join("base/state")).unwrap().count(), 1);
    }

    #[test]
    fn what_is_in_an_inner_folder_is_lifted_out_of_it() {
        let (_kept, at) = folder();
        let new = make(&at, "new").unwrap();
        new.make_inner("inner").unwrap();
        fs::create_dir_all(at.join("new/inner/a/b")).unwrap();
        fs::write(at.join("new/inner/file"), "text").unwrap();
        symlink("/nowhere", at.join("new/inner/link")).unwrap();
        new.lift("inner").unwrap();
        assert!(at.join("new/a/b").is_dir() && at.join("new/link").is_symlink());
        assert_eq!(fs::read_to_string(at.join("new/file")).unwrap(), "text");
        assert!(!at.join("new/inner").exists());
        assert!(new.lift("inner").is_err());
    }

    #[test]
    fn a_folder_that_was_swapped_is_noticed() {
        let (_kept, at) = folder();
        let new = make(&at, "a/b").unwrap();
        fs::rename(at.join("a"), at.join("moved")).unwrap();
        assert!(!new.is_in_place(), "its path is gone");
        symlink(at.join("moved"), at.join("a")).unwrap();
        assert!(!new.is_in_place(), "a link leads to it");
        fs::remove_file(at.join("a")).unwrap();
        fs::create_dir_all(at.join("a/b")).unwrap();
        assert!(!new.is_in_place(), "another one has its name");
    }
}
