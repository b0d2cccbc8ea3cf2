//! A look through a whole data file that leaves it as it is.
//!
//! redb can verify every page only while it repairs, and repairing writes. So it gets the file through
//! [`Untouched`], which keeps what is written in memory; what it finds is true, what it mends is forgotten.
//!
//! A file that is in use is looked through as it stood at one [`Moment`].

use super::open::{Begins, in_use_or};
use super::opened_file::OpenedFile;
use super::pages::{HEAD_BYTES, name_the_other, other_is_newer};
use super::shadow::{FilePage, PAGE_BYTES, ShadowFile};
use super::{ReadView, Tx, file_format, guard, read_every_row};
use crate::refused::{OpenError, StoreError};
use redb::{BackendError, Database, DatabaseError, ReadableDatabase, StorageBackend, backends::FileBackend};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Memory that redb may use for pages while it looks, in bytes.
const CACHE_BYTES: usize = 8 << 20;
/// A file in use is looked through in pieces of this many bytes…
const PIECE_BYTES: u64 = 1 << 20;
/// …with a pause after each, so that it never reads more than some 20 MB a second.
const PAUSE: Duration = Duration::from_millis(50);
/// The same where somebody waits for it, and each page is read once: some 100 MB a second.
const SHORT_PAUSE: Duration = Duration::from_millis(10);

/// Verifies every page that is in use and decodes every row; returns how many rows there are. `look` is asked in
/// between, with the file as a program of this version opens it.
pub(crate) fn check(
    file: &Path,
    look: impl FnOnce(&mut Tx<'_>) -> Result<(), OpenError>,
) -> Result<u64, OpenError> {
    let takes_other = other_commit_is_last(file);
    let backend = Untouched::open(file).map_err(|why| OpenError::Folder { path: file.to_owned(), why })?;
    if takes_other {
        backend.name_the_other_commit().map_err(|why| OpenError::Folder { path: file.to_owned(), why })?;
    }
    guarded(file, backend, look)
}

/// Whether the head of a file that nobody has open names one commit, and has a newer one beside it of which every page is what was
/// written. redb would go on from the one that is named, as after an end in the middle of a commit that nobody was told of; but so
/// does a file look in which the flag was altered, and then what was acknowledged would be lost. Reads all of the file where it has
/// a newer one, else only its head.
pub(super) fn other_commit_is_last(file: &Path) -> bool {
    let has_newer = File::open(file).ok().is_some_and(|opened| {
        let mut head = [0; HEAD_BYTES];
        opened.read_exact_at(&mut head, 0).is_ok() && other_is_newer(&head)
    });
    if !has_newer {
        return false;
    }
    let Ok(backend) = Untouched::open(file) else { return false };
    if backend.name_the_other_commit().is_err() {
        return false;
    }
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.set_check_integrity_on_open(true);
    matches!(guard::redb(|| builder.create_with_backend(backend).map(drop)), Ok(Ok(())))
}

/// Whether another process has a file open to be written.
pub(crate) fn is_in_use(file: &Path) -> bool {
    let Ok(backend) = Untouched::open(file) else { return false };
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    // The lock comes first; whatever else is wrong with it is no matter here.
    let opened = guard::redb(|| builder.create_with_backend(backend).map(drop));
    matches!(opened, Ok(Err(DatabaseError::DatabaseAlreadyOpen)))
}

fn guarded(
    file: &Path,
    backend: Untouched,
    look: impl FnOnce(&mut Tx<'_>) -> Result<(), OpenError>,
) -> Result<u64, OpenError> {
    let checked = guard::redb(|| check_unguarded(file, backend, look)).map_err(OpenError::from);
    checked.and_then(|checked| checked).map_err(|error| error.at(file))
}

fn check_unguarded(
    file: &Path,
    backend: Untouched,
    look: impl FnOnce(&mut Tx<'_>) -> Result<(), OpenError>,
) -> Result<u64, OpenError> {
    if backend.over().bytes == 0 {
        return Err(OpenError::Empty { path: file.to_owned() });
    }
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.set_check_integrity_on_open(true);
    let database = builder.create_with_backend(backend).map_err(|error| in_use_or(file, error))?;
    file_format::prepare(&database, Begins::Kept, file_format::FORMAT, file_format::MIGRATIONS)?;
    let txn = database.begin_write().map_err(StoreError::from)?;
    let mut tx = Tx::new(&txn);
    look(&mut tx)?;
    drop(tx);
    txn.abort().map_err(StoreError::from)?;
    let view = ReadView::new(database.begin_read().map_err(StoreError::from)?);
    Ok(read_every_row(&view)?)
}

/// Opens a file as it stands, to be read: what redb puts right in it stays in memory.
pub(super) fn open_to_read(place: &OpenedFile) -> Result<Database, OpenError> {
    let file = place.file.as_path();
    let failed = |why| OpenError::Folder { path: file.to_owned(), why };
    let opened = File::open(file).map_err(failed)?;
    place.open(&opened)?;
    let backend = Untouched::unlocked(opened).map_err(failed)?;
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    guard::redb(|| builder.create_with_backend(backend))
        .map_err(|error| OpenError::from(error).at(file))?
        .map_err(|error| in_use_or(file, error))
}

/// How a file in use stood at a moment.
pub(crate) struct Moment {
    file: PathBuf,
    look: ShadowFile,
}

impl Moment {
    pub(super) const fn new(file: PathBuf, look: ShadowFile) -> Self {
        Self { file, look }
    }

    /// Verifies every page and decodes every row; returns how many rows there are. `None` = too much was written
    /// meanwhile. Slow on purpose, and blocks.
    pub(crate) fn check(self) -> Result<Option<u64>, OpenError> {
        let look = Arc::new(self.look);
        let bytes = look.bytes;
        let below = Below::InUse(look.clone(), PAUSE);
        let backend = Untouched { below, over: Mutex::new(Overlay::of(bytes)) };
        let checked = guarded(&self.file, backend, |_| Ok(()));
        if look.is_true() { checked.map(Some) } else { Ok(None) }
    }
}

impl Moment {
    /// Opens the file as it stood, beside whoever has it in use: a whole walk through it takes nothing of the memory in
    /// which that one keeps its pages.
    pub(crate) fn open(self) -> Result<Aside, OpenError> {
        let look = Arc::new(self.look);
        let below = Below::InUse(look.clone(), SHORT_PAUSE);
        let backend = Untouched { below, over: Mutex::new(Overlay::of(look.bytes)) };
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = guard::redb(|| builder.create_with_backend(backend))
            .map_err(|error| OpenError::from(error).at(&self.file))?
            .map_err(|error| in_use_or(&self.file, error))?;
        Ok(Aside { database, look })
    }
}

/// A file in use as it stood at a moment, to be read.
pub(crate) struct Aside {
    database: Database,
    look: Arc<ShadowFile>,
}

impl Aside {
    pub(crate) fn view(&self) -> Result<ReadView, StoreError> {
        Ok(ReadView::new(guard::redb(|| self.database.begin_read())??))
    }

    /// Whether all that was read is of the moment; else too much was written meanwhile.
    pub(crate) fn is_true(&self) -> bool {
        self.look.is_true()
    }
}

/// A file as a backend that never changes it.
#[derive(Debug)]
struct Untouched {
    below: Below,
    over: Mutex<Overlay>,
}

#[derive(Debug)]
enum Below {
    /// Nobody else has it open.
    AtRest(FileBackend),
    /// With a pause after each piece.
    InUse(Arc<ShadowFile>, Duration),
    /// Nobody can write to it, or it is ours.
    Unlocked(File),
}

/// What was written over the file.
#[derive(Debug)]
struct Overlay {
    bytes: u64,
    /// How much of the file still shows.
    file_bytes: u64,
    /// So many bytes are read before the next pause, where there are any.
    to_pause: u64,
    pages: BTreeMap<u64, FilePage>,
}

impl Overlay {
    const fn of(bytes: u64) -> Self {
        Self { bytes, file_bytes: bytes, to_pause: PIECE_BYTES, pages: BTreeMap::new() }
    }
}

impl Untouched {
    fn open(file: &Path) -> io::Result<Self> {
        // For writing too: only then can it be locked against a server that starts meanwhile.
        let opened = match std::fs::OpenOptions::new().read(true).write(true).open(file) {
            Err(why) if why.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                return Self::unlocked(File::open(file)?);
            }
            opened => opened?,
        };
        let bytes = opened.metadata()?.len();
        let file = FileBackend::new(opened).map_err(io::Error::other)?;
        Ok(Self { below: Below::AtRest(file), over: Mutex::new(Overlay::of(bytes)) })
    }

    /// As if the head named the other of its two commits.
    fn name_the_other_commit(&self) -> io::Result<()> {
        let mut head = [0; HEAD_BYTES];
        self.read(0, &mut head)?;
        name_the_other(&mut head);
        self.write(0, &head)
    }

    fn unlocked(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { below: Below::Unlocked(file), over: Mutex::new(Overlay::of(bytes)) })
    }

    fn over(&self) -> MutexGuard<'_, Overlay> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the file shows of a page from `begin` on; behind its end are zeros.
    fn read_file(&self, over: &Overlay, page: u64, begin: usize, out: &mut [u8]) -> io::Result<()> {
        let offset = page * PAGE_BYTES + begin as u64;
        let shown = over.file_bytes.saturating_sub(offset).min(out.len() as u64) as usize;
        let (shown, behind) = out.split_at_mut(shown);
        behind.fill(0);
        match &self.below {
            _ if shown.is_empty() => Ok(()),
            Below::AtRest(file) => file.read(offset, shown),
            Below::InUse(look, _) => look.read(page, begin, shown),
            Below::Unlocked(file) => file.read_exact_at(shown, offset),
        }
    }

    /// Whoever has the file may be busy with it.
    fn be_slow(&self, read: usize) {
        let Below::InUse(_, pause) = self.below else { return };
        let mut over = self.over();
        over.to_pause = over.to_pause.saturating_sub(read as u64);
        if over.to_pause == 0 {
            over.to_pause = PIECE_BYTES;
            drop(over);
            std::thread::sleep(pause);
        }
    }

    /// What a lock says; nobody else has a file that is in use here.
    fn locked<T>(
        &self,
        free: T,
        ask: impl FnOnce(&FileBackend) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        match &self.below {
            Below::AtRest(file) => ask(file),
            Below::InUse(..) | Below::Unlocked(_) => Ok(free),
        }
    }
}

/// The pieces of `offset..offset + len`, each within one page: the page, where the piece begins in it, how long it is.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, end) = (offset, offset + len as u64);
    std::iter::from_fn(move || {
        let (page, begin) = (at / PAGE_BYTES, at % PAGE_BYTES);
        let len = (PAGE_BYTES - begin).min(end - at);
        at += len;
        (len > 0).then_some((page, begin as usize, len as usize))
    })
}

impl StorageBackend for Untouched {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.be_slow(out.len());
        let over = self.over();
        if offset.saturating_add(out.len() as u64) > over.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (page, begin, len) in pieces(offset, rest.len()) {
            let (piece, behind) = std::mem::take(&mut rest).split_at_mut(len);
            rest = behind;
            match over.pages.get(&page) {
                Some(written) => piece.copy_from_slice(&written[begin..begin + len]),
                None => self.read_file(&over, page, begin, piece)?,
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.over();
        let last = len / PAGE_BYTES;
        over.pages.retain(|page, _| *page <= last);
        if let Some(page) = over.pages.get_mut(&last) {
            page[(len % PAGE_BYTES) as usize..].fill(0);
        }
        over.file_bytes = over.file_bytes.min(len);
        over.bytes = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        let mut rest = data;
        for (page, begin, len) in pieces(offset, data.len()) {
            let (piece, behind) = rest.split_at(len);
            rest = behind;
            if !over.pages.contains_key(&page) {
                let mut fresh = Box::new([0; PAGE_BYTES as usize]);
                self.read_file(&over, page, 0, fresh.as_mut_slice())?;
                over.pages.insert(page, fresh);
            }
            if let Some(written) = over.pages.get_mut(&page) {
                written[begin..begin + len].copy_from_slice(piece);
            }
        }
        over.bytes = over.bytes.max(offset + data.len() as u64);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        match &self.below {
            Below::AtRest(file) => file.close(),
            Below::InUse(..) | Below::Unlocked(_) => Ok(()),
        }
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locked(true, |file| file.try_lock_range(start, end))
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locked(true, |file| file.try_lock_shared_range(start, end))
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locked((), |file| file.lock_range(start, end))
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locked((), |file| file.lock_shared_range(start, end))
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locked((), |file| file.unlock_range(start, end))
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locked(false, |file| file.query_lock_range(start, end))
    }
}
