//! The state folder: who may read it, who uses it, and how its files are written.

use crate::logger;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Less than this, in bytes, is no room: a record of the journal needs most of it.
const LEAST_ROOM_BYTES: u64 = 16 * 1024;

/// Where the state is kept when nothing else is said.
pub const DEFAULT_FOLDER: &str = "/var/lib/holdfast-agent";

pub(crate) const LOCK_FILE: &str = "lock";

/// Why a state folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It can't be made, read or written.
    #[error("the state folder {}: {source}", path.display())]
    Folder {
        /// Path of the folder or file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Others can read it.
    #[error(
        "others can read {}: it holds keys. Correct it with: chmod {} {}",
        path.display(), if *is_folder { "700" } else { "600" }, path.display()
    )]
    TooOpen {
        /// Path of the folder or file.
        path: PathBuf,
        /// Whether it is a folder.
        is_folder: bool,
    },
    /// Another agent runs on it.
    #[error("another agent runs on {} already, and one is enough: end that one, or leave this one", path.display())]
    InUse {
        /// The state folder.
        path: PathBuf,
    },
}

/// A state folder that only its owner can read.
#[derive(Clone, Debug)]
pub struct StateFolder {
    path: PathBuf,
}

/// Held while an agent runs on a state folder.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateFolder {
    /// Opens it; makes it when there is none.
    pub fn open_or_make(path: &Path) -> Result<Self, StateError> {
        if let Err(source) = DirBuilder::new().recursive(true).mode(0o700).create(path) {
            return Err(StateError::Folder { path: path.to_owned(), source });
        }
        Self::open(path)
    }

    /// Opens an existing one.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let folder = |source| StateError::Folder { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(folder)?;
        if !metadata.is_dir() {
            return Err(folder(io::Error::from(io::ErrorKind::NotADirectory)));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(StateError::TooOpen { path: path.to_owned(), is_folder: true });
        }
        let state = Self { path: path.to_owned() };
        for entry in fs::read_dir(path).map_err(folder)?.flatten() {
            let is_open = entry.metadata().is_ok_and(|found| found.is_file() && found.mode() & 0o077 != 0);
            if is_open {
                return Err(StateError::TooOpen { path: entry.path(), is_folder: false });
            }
        }
        Ok(state)
    }

    /// Keeps other agents off the folder until the lock is dropped.
    pub fn lock(&self) -> Result<StateLock, StateError> {
        self.lock_file(LOCK_FILE)
    }

    /// Keeps others off what a file of this name stands for.
    pub fn lock_file(&self, name: &str) -> Result<StateLock, StateError> {
        let path = self.file(name);
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| StateError::Folder { path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(StateLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: self.path.clone() }),
            Err(TryLockError::Error(source)) => Err(StateError::Folder { path, source }),
        }
    }

    /// The path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Path of the state folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it, made when there is none.
    pub fn subfolder(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(&path) {
            logger::warn(format_args!("can't make {}: {error}", path.display()));
        }
        path
    }

    /// The bytes of a file; `None` when there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Folder { path, source }),
        }
    }

    /// Replaces a file: afterwards it holds either all of `bytes` or what it held before, and it is on disk.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.file(name);
        replace(&self.path, name, |file| file.write_all(bytes))
            .map(|_| ())
            .map_err(|source| StateError::Folder { path, source })
    }

    /// Removes a file; not being there is fine.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StateError::Folder { path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Renames a file that can't be used, so that it can be looked at later; the newest such file of a name is kept.
    pub fn set_aside(&self, name: &str) -> Result<PathBuf, StateError> {
        let (from, to) = (self.file(name), self.file(&format!("{name}.damaged")));
        fs::rename(&from, &to).map_err(|source| StateError::Folder { path: from, source })?;
        Ok(to)
    }

    /// Space left for it, in bytes; 0 when that can't be told.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.disk().map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Whether it may be written and a record or two still fit in it; true when that can't be told.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.disk().filter(|found| found.f_blocks > 0).is_none_or(|found| {
            if found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
                return false;
            }
            // Some blocks are kept for root.
            let blocks = if rustix::process::geteuid().is_root() { found.f_bfree } else { found.f_bavail };
            blocks.saturating_mul(found.f_frsize) >= LEAST_ROOM_BYTES
        })
    }

    fn disk(&self) -> Option<rustix::fs::StatVfs> {
        rustix::fs::statvfs(&self.path).ok()
    }
}

/// Writes a new file beside the old one, syncs, renames, syncs the folder; returns the file, open for reading and
/// writing.
pub fn replace(
    folder: &Path,
    name: &str,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<File> {
    let new = folder.join(format!("{name}.new"));
    let result = (|| {
        let mut file =
            OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(&new)?;
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&new, folder.join(name))?;
        File::open(folder)?.sync_all()?;
        Ok(file)
    })();
    if result.is_err() {
        // Its space may be needed.
        let _ = fs::remove_file(&new);
    }
    result
}
