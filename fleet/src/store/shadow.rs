//! A data file in use, as it stood at one moment.
//!
//! [`LiveFile`] is what redb writes to. While somebody looks through the file, it keeps what a page held before it is
//! written over; who looks reads that, and so sees the file at rest.

use super::pages::name_the_other;
use redb::{BackendError, StorageBackend, backends::FileBackend};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) const PAGE_BYTES: u64 = 4096;
/// So many pages that are written over meanwhile are kept, 64 MiB.
const MOST_PAGES: usize = 16_384;

pub(super) type FilePage = Box<[u8; PAGE_BYTES as usize]>;

/// What the file held at the moment, where it holds something else now.
#[derive(Debug)]
struct Before {
    bytes: u64,
    pages: BTreeMap<u64, FilePage>,
    /// More was written over than is kept: what is seen is of no moment.
    is_lost: bool,
}

/// Whether somebody looks through the file, and what is kept for that.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    before: Mutex<Option<Before>>,
    /// Nothing is written to the file any more.
    is_frozen: AtomicBool,
}

impl Shadow {
    fn kept(&self) -> MutexGuard<'_, Option<Before>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file stays as it is from now on, whatever redb wants to write.
    pub(super) fn freeze(&self) {
        self.is_frozen.store(true, Ordering::SeqCst);
    }

    fn may_be_written(&self) -> io::Result<()> {
        if self.is_frozen.load(Ordering::SeqCst) {
            return Err(io::Error::other("the data file is damaged, and is left as it is"));
        }
        Ok(())
    }

    /// Whoever looks ends soon: nobody may have to wait for that.
    pub(super) fn give_up(&self) {
        if let Some(kept) = self.kept().as_mut() {
            kept.is_lost = true;
        }
    }

    /// The moment is now; `None` = somebody looks already.
    pub(super) fn begin(self: &Arc<Self>, file: File) -> io::Result<Option<ShadowFile>> {
        let mut kept = self.kept();
        if kept.is_some() {
            return Ok(None);
        }
        let bytes = file.metadata()?.len();
        *kept = Some(Before { bytes, pages: BTreeMap::new(), is_lost: false });
        drop(kept);
        Ok(Some(ShadowFile { file, bytes, shadow: self.clone() }))
    }
}

/// The file as it stood; nothing is kept any more when this is gone.
#[derive(Debug)]
pub(super) struct ShadowFile {
    file: File,
    pub(super) bytes: u64,
    shadow: Arc<Shadow>,
}

impl ShadowFile {
    /// What a page, or a part of one, held.
    pub(super) fn read(&self, page: u64, begin: usize, out: &mut [u8]) -> io::Result<()> {
        // Nothing is written in between.
        let kept = self.shadow.kept();
        let Some(kept) = kept.as_ref().filter(|kept| !kept.is_lost) else {
            return Err(io::Error::other("the look was given up"));
        };
        match kept.pages.get(&page) {
            Some(before) => {
                out.copy_from_slice(&before[begin..begin + out.len()]);
                Ok(())
            }
            None => self.file.read_exact_at(out, page * PAGE_BYTES + begin as u64),
        }
    }

    /// Whether all that was seen is of the moment.
    pub(super) fn is_true(&self) -> bool {
        self.shadow.kept().as_ref().is_some_and(|kept| !kept.is_lost)
    }
}

impl Drop for ShadowFile {
    fn drop(&mut self) {
        *self.shadow.kept() = None;
    }
}

/// A file as redb has it.
#[derive(Debug)]
pub(super) struct LiveFile {
    file: FileBackend,
    shadow: Arc<Shadow>,
    /// redb is shown the head as if it named the other commit, until it writes the head itself.
    names_the_other: AtomicBool,
}

impl LiveFile {
    pub(super) const fn new(file: FileBackend, shadow: Arc<Shadow>) -> Self {
        Self { file, shadow, names_the_other: AtomicBool::new(false) }
    }

    /// The last commit is the one that the head does not name.
    pub(super) fn of_the_other_commit(self) -> Self {
        self.names_the_other.store(true, Ordering::SeqCst);
        self
    }

    fn keep(&self, kept: &mut Before, offset: u64, len: usize) -> io::Result<()> {
        let end = offset.saturating_add(len as u64).min(kept.bytes);
        for page in offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES) {
            if kept.is_lost || kept.pages.contains_key(&page) {
                continue;
            }
            if kept.pages.len() == MOST_PAGES {
                kept.is_lost = true;
                kept.pages.clear();
                continue;
            }
            let mut before = Box::new([0; PAGE_BYTES as usize]);
            let shown = (kept.bytes - page * PAGE_BYTES).min(PAGE_BYTES) as usize;
            self.file.read(page * PAGE_BYTES, &mut before[..shown])?;
            kept.pages.insert(page, before);
        }
        Ok(())
    }
}

impl StorageBackend for LiveFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)?;
        if offset == 0
            && self.names_the_other.load(Ordering::SeqCst)
            && let Some(head) = out.first_chunk_mut()
        {
            name_the_other(head);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.shadow.may_be_written()?;
        let mut kept = self.shadow.kept();
        if let Some(kept) = kept.as_mut().filter(|kept| len < kept.bytes) {
            kept.is_lost = true;
        }
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.shadow.may_be_written()?;
        let mut kept = self.shadow.kept();
        if let Some(kept) = kept.as_mut() {
            // What can't be read can't be kept; that must not hold up who writes.
            if self.keep(kept, offset, data.len()).is_err() {
                kept.is_lost = true;
            }
        }
        self.file.write(offset, data)?;
        if offset == 0 {
            self.names_the_other.store(false, Ordering::SeqCst);
        }
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
