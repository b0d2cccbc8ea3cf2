//! A look through a whole data file that leaves it as it is.
//!
//! redb can verify every page only while it repairs, and repairing writes. So it gets the file through
//! [`Untouched`], which keeps what is written in memory; what it finds is true, what it mends is forgotten.

use super::{Begins, ReadView, Tx, builder, format, guard, in_use_or, read_every_row};
use crate::refused::{OpenError, StoreError};
use redb::{BackendError, ReadableDatabase, StorageBackend, backends::FileBackend};
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Verifies every page that is in use and decodes every row; returns how many rows there are. `look` is asked in
/// between, with the file as a program of this version opens it.
pub(crate) fn check(
    file: &Path,
    look: impl FnOnce(&mut Tx<'_>) -> Result<(), OpenError>,
) -> Result<u64, OpenError> {
    let checked = guard::redb(|| check_unguarded(file, look)).map_err(OpenError::from);
    checked.and_then(|checked| checked).map_err(|error| error.at(file))
}

fn check_unguarded(
    file: &Path,
    look: impl FnOnce(&mut Tx<'_>) -> Result<(), OpenError>,
) -> Result<u64, OpenError> {
    let backend = Untouched::open(file).map_err(|why| OpenError::Folder { path: file.to_owned(), why })?;
    if backend.over().bytes == 0 {
        return Err(OpenError::Empty { path: file.to_owned() });
    }
    let mut builder = builder();
    builder.set_check_integrity_on_open(true);
    let database = builder.create_with_backend(backend).map_err(|error| in_use_or(file, error))?;
    format::prepare(&database, Begins::Kept, format::FORMAT, format::MIGRATIONS)?;
    let txn = database.begin_write().map_err(StoreError::from)?;
    let mut tx = Tx::new(&txn);
    look(&mut tx)?;
    drop(tx);
    txn.abort().map_err(StoreError::from)?;
    let view = ReadView::new(database.begin_read().map_err(StoreError::from)?);
    Ok(read_every_row(&view)?)
}

const PAGE_BYTES: u64 = 4096;

/// A file as a backend that never changes it.
#[derive(Debug)]
struct Untouched {
    file: FileBackend,
    over: Mutex<Over>,
}

/// What was written over the file.
#[derive(Debug)]
struct Over {
    bytes: u64,
    /// How much of the file still shows.
    file_bytes: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES as usize]>>,
}

impl Untouched {
    fn open(file: &Path) -> io::Result<Self> {
        // For writing too: only then can it be locked against a server that starts meanwhile.
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(file)?;
        let bytes = opened.metadata()?.len();
        let file = FileBackend::new(opened).map_err(io::Error::other)?;
        let over = Over { bytes, file_bytes: bytes, pages: BTreeMap::new() };
        Ok(Self { file, over: Mutex::new(over) })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the file shows from `offset` on; behind its end are zeros.
    fn read_file(&self, over: &Over, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let shown = over.file_bytes.saturating_sub(offset).min(out.len() as u64) as usize;
        let (shown, behind) = out.split_at_mut(shown);
        behind.fill(0);
        if shown.is_empty() { Ok(()) } else { self.file.read(offset, shown) }
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
                None => self.read_file(&over, page * PAGE_BYTES + begin as u64, piece)?,
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
                self.read_file(&over, page * PAGE_BYTES, fresh.as_mut_slice())?;
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
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
