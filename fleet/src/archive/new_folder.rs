//! The folder in which a server is made: by a restore, a salvage or a promotion, one at a time.
//!
//! Whoever makes one holds a lock on a file in the folder, looks under it whether the folder is free, and leaves a mark until
//! all is there. When it fails, what it has made itself goes, and nothing else: what somebody else puts there meanwhile, such as
//! a server that starts in it, stays. Only what a run has left that was killed in the middle, as its mark says, is cleared away
//! before the next one begins.

use super::error::{ARCHIVE_PARTS, ArchiveError};
use super::folder::failed_at;
use crate::data_folder::make_data_folder;
use crate::pieces::{DATA_FILE, RESTORE_FILE, RESTORE_LOCK, leave, remove};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A folder in which a server is made. Dropped before its end, it removes what was made in it.
#[derive(Debug)]
pub(crate) struct NewFolder {
    data_dir: PathBuf,
    /// What was made in it, the last ones last.
    made: Vec<PathBuf>,
    /// Its mark is there, and nobody else's.
    is_marked: bool,
    /// It was not there before.
    is_new: bool,
    lock: Option<Lock>,
}

impl NewFolder {
    /// Makes the folder where it is not there, and takes it. `may` says whether a server may be made in it; it is asked before
    /// anything is written, and again when nobody else can make one there any more.
    pub(crate) fn begin(
        data_dir: &Path,
        words: &str,
        may: impl Fn(&Path) -> Result<(), ArchiveError>,
    ) -> Result<Self, ArchiveError> {
        may(data_dir)?;
        let is_new = !data_dir.exists();
        let mut folder =
            Self { data_dir: data_dir.to_owned(), made: Vec::new(), is_marked: false, is_new, lock: None };
        make_data_folder(data_dir)?;
        folder.lock = Some(Lock::take(data_dir)?);
        may(data_dir)?;
        let mark = data_dir.join(RESTORE_FILE);
        let is_torn = mark.exists();
        // From here on until all is there, what is in the folder does not serve.
        leave(&mark, words)?;
        folder.is_marked = true;
        if is_torn {
            clear(data_dir)?;
        }
        Ok(folder)
    }

    /// Writes a file for its owner alone, on disk when this returns; its folder is made. Whatever is there already stays.
    pub(crate) fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let path = self.data_dir.join(name);
        let mut file = self.make(&path).map_err(failed_at(&path))?;
        let mut written = || {
            file.write_all(bytes)?;
            file.sync_all()?;
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        written().map_err(failed_at(&path))
    }

    /// Makes the data file, with nothing in it.
    pub(crate) fn data_file(&mut self) -> Result<PathBuf, ArchiveError> {
        let path = self.data_dir.join(DATA_FILE);
        self.make(&path).map_err(failed_at(&path))?;
        Ok(path)
    }

    fn make(&mut self, path: &Path) -> io::Result<File> {
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            DirBuilder::new().mode(0o700).create(folder)?;
            self.made.push(folder.to_owned());
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        self.made.push(path.to_owned());
        Ok(file)
    }

    /// All is there: from now on it serves.
    pub(crate) fn end(mut self) -> Result<(), ArchiveError> {
        let folders = self.made.iter().filter(|path| path.is_dir()).chain([&self.data_dir]);
        for folder in folders {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed_at(folder))?;
        }
        remove(&self.data_dir.join(RESTORE_FILE))?;
        self.made.clear();
        (self.is_marked, self.is_new) = (false, false);
        Ok(())
    }

    /// Removes what was made; `false` = something of it is still there.
    fn undo(&mut self) -> bool {
        let mut is_undone = true;
        for path in self.made.drain(..).rev() {
            let removed = if path.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
            match removed {
                Ok(()) => {}
                // Gone, or with something in it that somebody else has put there.
                Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {}
                Err(_) => is_undone = false,
            }
        }
        is_undone
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        // What can't be removed is refused by its mark.
        if self.undo() && self.is_marked {
            let _ = remove(&self.data_dir.join(RESTORE_FILE));
        }
        self.lock = None;
        if self.is_new {
            // Only where nothing is in it.
            let _ = fs::remove_dir(&self.data_dir);
        }
    }
}

/// The right to make a server in a folder. Its file goes with it.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    #[expect(dead_code, reason = "closing it is what gives the right back")]
    file: File,
}

impl Lock {
    fn take(data_dir: &Path) -> Result<Self, ArchiveError> {
        let path = data_dir.join(RESTORE_LOCK);
        loop {
            let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            let file = opened.map_err(failed_at(&path))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(ArchiveError::Busy(data_dir.to_owned())),
                Err(why) => return Err(failed_at(&path)(why.into())),
            }
            // Whoever had it before may just have removed it.
            let opened = file.metadata().map_err(failed_at(&path))?;
            match fs::metadata(&path) {
                Ok(there) if (there.dev(), there.ino()) == (opened.dev(), opened.ino()) => {
                    return Ok(Self { path, file });
                }
                Err(why) if why.kind() != ErrorKind::NotFound => return Err(failed_at(&path)(why)),
                _ => {}
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // One that stays is locked by nobody.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a file of a folder says nothing of whether a server may be made there: the lock, and the draft of the mark, which one
/// leaves that ended while it was about to leave it.
pub(super) fn is_trace(name: &std::ffi::OsStr) -> bool {
    name == RESTORE_LOCK || Path::new(name) == Path::new(RESTORE_FILE).with_extension("new")
}

/// Removes what one that did not end has left, but for its mark.
fn clear(data_dir: &Path) -> Result<(), ArchiveError> {
    for path in ARCHIVE_PARTS.into_iter().chain([DATA_FILE]).map(|name| data_dir.join(name)) {
        match fs::remove_file(&path) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(failed_at(&path)(why)),
            _ => {}
        }
    }
    for folder in ARCHIVE_PARTS.into_iter().filter_map(|name| name.split_once('/')) {
        let folder = data_dir.join(folder.0);
        match fs::remove_dir(&folder) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(failed_at(&folder)(why)),
            _ => {}
        }
    }
    Ok(())
}
