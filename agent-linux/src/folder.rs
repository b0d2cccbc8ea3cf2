//! Folders that are opened name by name, so that no symbolic link is followed on the way, and new ones that are made in
//! them.
//!
//! A path that was judged and is walked later may lead elsewhere by then. What is opened here stays the folder that was
//! found, whatever is renamed afterwards.

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, Stat, fchown, fstat, mkdirat, openat, renameat, statat,
        unlinkat,
    },
    io::Errno,
    process::{Gid, Uid, geteuid},
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
    /// Others than its owner may write to it, or it is another's.
    #[error("others may write to {}, so they could lead elsewhere what is written there", .0.display())]
    Shared(PathBuf),
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

    /// Its device and number, which no other folder has at the same time.
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

    /// One folder further, made when it is missing; and whether it was.
    fn step_or_make(&self, name: &OsStr, forbidden: &[FolderId]) -> Result<(Self, bool), FolderError> {
        let (folder, is_new) = match self.step(name) {
            Err(FolderError::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                (self.make(name)?, true)
            }
            found => (found?, false),
        };
        if forbidden.contains(&folder.id()?) {
            return Err(FolderError::Forbidden(folder.path));
        }
        Ok((folder, is_new))
    }

    /// The path by which the system finds it, whatever its own path leads to by now.
    fn by_number(&self) -> String {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd())
    }

    /// Whether nobody but root and whoever runs the agent can exchange what is in it. In a folder like `/tmp` nobody can
    /// exchange what is another's.
    fn is_ours_to_write(&self, may_be_sticky: bool) -> Result<bool, FolderError> {
        const OTHERS_WRITE: u32 = 0o022;
        const STICKY: u32 = 0o1000;
        let stat = fstat(&self.fd).map_err(|error| system(&self.path, error))?;
        let is_ours = stat.st_uid == geteuid().as_raw() || stat.st_uid == 0;
        let is_closed = stat.st_mode & OTHERS_WRITE == 0 || (may_be_sticky && stat.st_mode & STICKY != 0);
        Ok(is_ours && is_closed)
    }

    /// Whether it is a folder of whoever runs the agent, closed to everybody else.
    fn is_own(&self) -> Result<bool, FolderError> {
        let stat = fstat(&self.fd).map_err(|error| system(&self.path, error))?;
        Ok(stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o777 == OWN)
    }
}

/// A folder that was there, and the one that it lies in. Nobody but the agent's user and root may write to either.
#[derive(Debug)]
pub struct FoundFolder {
    parent: Folder,
    name: OsString,
    folder: Folder,
}

impl FoundFolder {
    fn take(parent: Folder, name: &OsStr, folder: Folder) -> Result<Self, FolderError> {
        for (one, may_be_sticky) in [(&parent, true), (&folder, false)] {
            if !one.is_ours_to_write(may_be_sticky)? {
                return Err(FolderError::Shared(one.path.clone()));
            }
        }
        Ok(Self { parent, name: name.to_owned(), folder })
    }

    /// The folder that it lies in.
    #[must_use]
    pub fn parent(&self) -> BorrowedFd<'_> {
        self.parent.as_fd()
    }

    /// Its name in there.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The path by which it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        fs::read_dir(self.folder.by_number()).is_ok_and(|mut entries| entries.next().is_none())
    }

    /// Whether its path still leads to it, without links, and only its owner may write to it.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let found = Folder::open(self.path()).and_then(|found| found.id());
        let is_same = matches!((found, self.folder.id()), (Ok(found), Ok(own)) if found == own);
        is_same && self.folder.is_ours_to_write(false).unwrap_or(false)
    }
}

/// A folder of a certain path, which was there or not.
#[derive(Debug)]
pub enum NamedFolder {
    /// It was made.
    New(NewFolder),
    /// It was there.
    Found(FoundFolder),
}

impl NamedFolder {
    /// The folder that restic is started in to write to this one: itself when it is new, else the one that it lies in.
    #[must_use]
    pub fn start_in(&self) -> BorrowedFd<'_> {
        match self {
            Self::New(made) => made.as_fd(),
            Self::Found(found) => found.parent(),
        }
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
    /// Makes a new folder in `within`, called `name`, with a number behind it when that is taken. What is missing on the
    /// way is made. No link is followed anywhere, and no folder of `forbidden` entered.
    pub fn make(within: &Path, name: &str, forbidden: &[FolderId]) -> Result<Self, FolderError> {
        let mut parent = Folder::root()?;
        for next in plain_names(within)? {
            parent = parent.step_or_make(next, forbidden)?.0;
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

    /// Makes what is missing of a path, and gives that to another user and group. No link is followed anywhere.
    pub fn make_way(path: &Path, (uid, gid): (u32, u32)) -> Result<(), FolderError> {
        let mut folder = Folder::root()?;
        let mut made = Vec::new();
        for name in plain_names(path)? {
            let (next, is_new) = folder.step_or_make(name, &[])?;
            folder = next;
            if is_new {
                // By the folder itself: a name could stand for something else by then.
                let fd = openat(&folder.fd, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
                made.push((folder.path.clone(), fd.map_err(|error| system(&folder.path, error))?));
            }
        }
        made.iter().rev().try_for_each(|(path, fd)| {
            fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(|error| system(path, error))
        })
    }

    /// The folder of this path; `None` = it is not there. No link is followed anywhere, and no folder of `forbidden`
    /// entered.
    pub fn find(path: &Path, forbidden: &[FolderId]) -> Result<Option<FoundFolder>, FolderError> {
        match (Self::look(path, forbidden)?, path.file_name()) {
            (Some((parent, folder)), Some(name)) => FoundFolder::take(parent, name, folder).map(Some),
            _ => Ok(None),
        }
    }

    /// The folder of this path and the one that it lies in, as far as they are there and may be entered.
    pub fn look(path: &Path, forbidden: &[FolderId]) -> Result<Option<(Folder, Folder)>, FolderError> {
        let mut folder = Folder::root()?;
        let mut parent = None;
        for name in plain_names(path)? {
            let next = match folder.step(name) {
                Err(FolderError::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    return Ok(None);
                }
                found => found?,
            };
            if forbidden.contains(&next.id()?) {
                return Err(FolderError::Forbidden(next.path));
            }
            parent = Some(core::mem::replace(&mut folder, next));
        }
        Ok(parent.map(|parent| (parent, folder)))
    }

    /// Opens the folder of this path, or makes it. No link is followed anywhere, and no folder of `forbidden` entered.
    pub fn open_or_make(path: &Path, forbidden: &[FolderId]) -> Result<NamedFolder, FolderError> {
        let names = plain_names(path)?;
        let Some((last, way)) = names.split_last() else { return Err(FolderError::Odd(path.to_owned())) };
        let mut parent = Folder::root()?;
        for name in way {
            parent = parent.step_or_make(name, forbidden)?.0;
        }
        let (folder, is_new) = parent.step_or_make(last, forbidden)?;
        if is_new {
            return Ok(NamedFolder::New(Self { parent, name: (*last).to_owned(), folder }));
        }
        FoundFolder::take(parent, last, folder).map(NamedFolder::Found)
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
        let names: io::Result<Vec<OsString>> = fs::read_dir(inner.by_number())
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

    fn make(path: &Path) -> Result<NewFolder, FolderError> {
        match NewFolder::open_or_make(path, &[])? {
            NamedFolder::New(new) => Ok(new),
            NamedFolder::Found(found) => panic!("{} was there", found.path().display()),
        }
    }

    #[test]
    fn a_folder_is_made_new_below_its_root_and_closed_to_others() {
        let (_kept, at) = folder();
        let base = at.join("base");
        for (within, made) in [
            ("", "new"),
            ("", "new-2"),
            ("a/b", "a/b/new"),
            ("a/b", "a/b/new-2"),
            ("a", "a/new"),
            ("c", "c/new"),
        ] {
            let new = NewFolder::make(&base.join(within), "new", &[]).unwrap();
            assert_eq!(new.path(), base.join(made), "{within}");
            let found = fs::metadata(new.path()).unwrap();
            assert_eq!((found.mode() & 0o7777, found.uid()), (0o700, geteuid().as_raw()));
            assert!(new.is_in_place());
        }
        let new = make(&base.join("d")).unwrap();
        assert_eq!(new.path(), base.join("d"), "the folder that was named");
        new.remove_if_empty();
        assert!(!new.path().exists() && !new.is_in_place());
        fs::write(base.join("plain"), "").unwrap();
        assert!(matches!(make(&base.join("plain/x")), Err(FolderError::System { .. })));
    }

    #[test]
    fn a_folder_that_is_there_is_taken_when_nobody_else_may_write_to_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_kept, at) = folder();
        let open = |name: &str| NewFolder::open_or_make(&at.join(name), &[]);
        fs::create_dir_all(at.join("base/in")).unwrap();
        let Ok(NamedFolder::Found(found)) = open("base/in") else { panic!() };
        assert_eq!((found.path(), found.name()), (at.join("base/in").as_path(), OsStr::new("in")));
        assert!(found.is_empty() && found.is_in_place());
        fs::write(at.join("base/in/file"), "").unwrap();
        assert!(!found.is_empty());
        fs::rename(at.join("base/in"), at.join("base/moved")).unwrap();
        symlink(at.join("base/moved"), at.join("base/in")).unwrap();
        assert!(!found.is_in_place(), "a link leads to it");
        assert!(matches!(open("base/in"), Err(FolderError::Link(_))));
        let mode =
            |name: &str, mode| fs::set_permissions(at.join(name), fs::Permissions::from_mode(mode)).unwrap();
        mode("base/moved", 0o777);
        assert!(
            matches!(open("base/moved"), Err(FolderError::Shared(path)) if path == at.join("base/moved"))
        );
        mode("base/moved", 0o755);
        mode("base", 0o775);
        assert!(matches!(open("base/moved"), Err(FolderError::Shared(path)) if path == at.join("base")));
        mode("base", 0o1777);
        assert!(matches!(open("base/moved"), Ok(NamedFolder::Found(_))), "as in /tmp");
        assert!(matches!(NewFolder::open_or_make(Path::new("/"), &[]), Err(FolderError::Odd(_))));
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
        for path in [
            "base/door",
            "base/door/x",
            "base/in/door/x/y",
            "base/dangling",
            "base/dangling/x",
            "alias/x",
            "alias/in",
        ] {
            let errors =
                [make(&at.join(path)).unwrap_err(), NewFolder::make(&at.join(path), "new", &[]).unwrap_err()];
            assert!(errors.iter().all(|error| matches!(error, FolderError::Link(_))), "{path}: {errors:?}");
        }
        for path in ["base/../x", "base/in/../../x"] {
            assert!(matches!(make(&at.join(path)), Err(FolderError::Odd(_))), "{path}");
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
        for path in ["state", "state/x", "state/inner/x", "./state/x"] {
            let made = NewFolder::make(&at.join("base").join(path), "new", &own);
            assert!(matches!(made, Err(FolderError::Forbidden(_))), "{path}");
            let opened = NewFolder::open_or_make(&at.join("base").join(path), &own);
            assert!(matches!(opened, Err(FolderError::Forbidden(_))), "{path}");
        }
        assert!(NewFolder::make(&at.join("base/other"), "new", &own).is_ok());
        assert_eq!(fs::read_dir(at.join("base/state")).unwrap().count(), 1);
    }

    #[test]
    fn what_is_in_an_inner_folder_is_lifted_out_of_it() {
        let (_kept, at) = folder();
        let new = make(&at.join("new")).unwrap();
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
        let new = make(&at.join("a/b")).unwrap();
        fs::rename(at.join("a"), at.join("moved")).unwrap();
        assert!(!new.is_in_place(), "its path is gone");
        symlink(at.join("moved"), at.join("a")).unwrap();
        assert!(!new.is_in_place(), "a link leads to it");
        fs::remove_file(at.join("a")).unwrap();
        fs::create_dir_all(at.join("a/b")).unwrap();
        assert!(!new.is_in_place(), "another one has its name");
    }
}
