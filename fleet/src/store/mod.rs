//! The data file: redb, one writer, snapshots for readers.
//!
//! A [`Table`] is typed; keys and rows are bytes beneath ([`TableKey`], [`StoredRow`]). Readers get a [`ReadView`],
//! writers an operation inside a [`Tx`]; both read through [`Reads`]. The file carries a format number of its own (see
//! [`file_format`]) beside the format byte of each row.

mod base;
mod check;
pub(crate) mod file_format;
mod group_row;
mod guard;
mod import;
mod key;
mod open;
mod opened_file;
mod pages;
mod read_view;
mod reads;
mod row_bytes;
mod shadow;
#[cfg(test)]
mod shape;
mod soundness_row;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod tx;
mod walk;
mod writer;

pub(crate) use check::{Aside, Moment, check, is_in_use};
pub(crate) use import::{Import, ReadableCopy};
pub(crate) use key::{Span, TableKey};
pub(crate) use open::Begins;
pub(crate) use pages::{Gap, PageFile, Survey, TableAt, Tables};
pub(crate) use read_view::ReadView;
pub(crate) use reads::{Order, Reads, Visited};
pub(crate) use row_bytes::{StoredRow, first_form, from_postcard, to_postcard};
pub(crate) use table::{Table, TableId};
pub(crate) use tables::*;
pub(crate) use tx::Tx;
pub use writer::WriterCounts;
pub(crate) use writer::{Committed, Reader};

use crate::refused::{OpenError, Refused, StoreError};
use base::{Base, Ways};
use open::{OpensAs, builder, open_file};
use opened_file::OpenedFile;
use redb::Database;
use shadow::Shadow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct Store {
    // Before the database, so that the writer has ended when the file is closed.
    writer: writer::Writer,
    base: Arc<Base>,
    place: Option<Arc<OpenedFile>>,
    shadow: Arc<Shadow>,
    /// The file is damaged: nothing is written to it any more.
    only_reads: Arc<AtomicBool>,
}

impl Store {
    /// Opens the file, or makes it; its folder must be there. `at_start` runs in a transaction of its own before anybody
    /// else reads or writes; when it fails, nothing of it is kept.
    pub(crate) fn open(
        file: &Path,
        begins: Begins,
        committed: Committed,
        at_start: impl AtStart,
    ) -> Result<Self, OpenError> {
        let shadow = Arc::new(Shadow::default());
        let place = Arc::new(OpenedFile::new(file));
        let ways = {
            let (first, again, shadow) = (place.clone(), place.clone(), shadow.clone());
            Ways {
                reopen: Box::new(move || open_file(&first, Begins::Kept, OpensAs::Named, &shadow)),
                reopen_to_read: Box::new(move || check::open_to_read(&again)),
            }
        };
        let opens_as = match begins {
            Begins::Kept if check::other_commit_is_last(file) => {
                tracing::warn!(
                    "the head of the data file names the change before the last one: the last one is whole, and is taken. An end \
                     in the middle of a change does that, and so does a disk that alters bytes"
                );
                OpensAs::Other
            }
            _ => OpensAs::Named,
        };
        let database = open_file(&place, begins, opens_as, &shadow)?;
        // Also what is not a call of its own, such as the end of a transaction.
        let started = guard::redb(|| Self::start(database, begins, ways, Some(place), committed, at_start));
        let started = started.map_err(OpenError::from).and_then(|started| started);
        started.map(|store| Self { shadow, ..store }).map_err(|error| error.at(file))
    }

    /// What could be read of a damaged file, in its place. Nothing that is asked to be written is.
    pub(crate) fn open_copy(
        file: &Path,
        copy: ReadableCopy,
        committed: Committed,
        at_start: impl AtStart,
    ) -> Result<Self, OpenError> {
        let store = Self::start(copy.0, Begins::Kept, Ways::none(), None, committed, at_start)?;
        let place = Some(Arc::new(OpenedFile::new(file)));
        Ok(Self { place, only_reads: Arc::new(AtomicBool::new(true)), ..store })
    }

    /// Writes nothing to the file any more, not even when it is closed; returns when what was asked before has ended.
    pub(crate) async fn stop_writing(&self) {
        self.only_reads.store(true, Ordering::SeqCst);
        let ended: Result<(), Refused> = self.writer.write(|_| Err(StoreError::OnlyReads.into())).await;
        drop(ended);
        self.shadow.freeze();
    }

    /// Reads from a copy from now on.
    pub(crate) fn read_from(&self, copy: ReadableCopy) {
        self.base.replace(copy.0);
    }

    /// Where the file is; `None` = in memory.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.place.as_ref().map(|place| place.file.clone())
    }

    /// The same in memory.
    pub(crate) fn in_memory(committed: Committed, at_start: impl AtStart) -> Result<Self, OpenError> {
        let backend = redb::backends::InMemoryBackend::new();
        let database = builder().create_with_backend(backend).map_err(StoreError::from)?;
        Self::start(database, Begins::New, Ways::none(), None, committed, at_start)
    }

    fn start(
        database: Database,
        begins: Begins,
        ways: Ways,
        place: Option<Arc<OpenedFile>>,
        committed: Committed,
        at_start: impl AtStart,
    ) -> Result<Self, OpenError> {
        file_format::prepare(&database, begins, file_format::FORMAT, file_format::MIGRATIONS)?;
        run_at_start(&database, at_start)?;
        let base = Arc::new(Base::new(database, ways, place.clone()));
        let path = || place.as_ref().map(|place| place.file.clone()).unwrap_or_default();
        let writer = writer::Writer::start(base.clone(), committed)
            .map_err(|why| OpenError::Folder { path: path(), why })?;
        Ok(Self { writer, base, place, shadow: Arc::default(), only_reads: Arc::default() })
    }

    pub(crate) fn read(&self) -> Result<ReadView, StoreError> {
        Ok(ReadView::new(self.base.begin_read()?))
    }

    /// Runs `write` in the next commit; resolves when that is on disk. `write` may run more than once.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        mut write: impl FnMut(&mut Tx<'_>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let only_reads = Arc::clone(&self.only_reads);
        let refused = move || match only_reads.load(Ordering::SeqCst) {
            true => Err(Refused::from(StoreError::OnlyReads)),
            false => Ok(()),
        };
        refused()?;
        // Again where it is written: what waited meanwhile must not go into the copy, and count as written.
        self.writer.write(move |tx| refused().and_then(|()| write(tx))).await
    }

    /// The same for what need not outlive the process: it is also written to a copy that is only read else.
    pub(crate) async fn write_in_passing<T: Send + 'static>(
        &self,
        write: impl FnMut(&mut Tx<'_>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        self.writer.write(write).await
    }

    /// How the file stands, to look it through; `None` in memory, and while somebody looks.
    pub(crate) async fn moment(&self) -> Result<Option<Moment>, Refused> {
        let Some(place) = self.place.clone() else { return Ok(None) };
        let shadow = self.shadow.clone();
        // In the writer, so that no commit runs meanwhile.
        let look = self.write(move |_| {
            let failed = |why| StoreError::from(redb::Error::Io(why));
            place.is_kept()?;
            let file = std::fs::File::open(&place.file).map_err(failed)?;
            place.open(&file)?;
            let look = shadow.begin(file).map_err(failed)?;
            Ok(look.map(|look| Moment::new(place.file.clone(), look)))
        });
        look.await
    }

    /// As if too much had been written over while somebody looks.
    #[cfg(test)]
    pub(crate) fn give_up_moment(&self) {
        self.shadow.give_up();
    }

    pub(crate) fn counts(&self) -> WriterCounts {
        self.writer.counters.read()
    }

    /// Size of the data file; 0 in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.place.as_ref().and_then(|place| place.file.metadata().ok()).map_or(0, |facts| facts.len())
    }

    /// Ends the writer after what it has been asked. Blocks.
    pub(crate) fn close(&self) {
        self.shadow.give_up();
        self.writer.close();
    }
}

/// What is done with a file before anybody else has it.
pub(crate) trait AtStart: FnOnce(&mut Tx<'_>) -> Result<(), OpenError> {}
impl<F: FnOnce(&mut Tx<'_>) -> Result<(), OpenError>> AtStart for F {}

fn run_at_start(database: &Database, at_start: impl AtStart) -> Result<(), OpenError> {
    let mut txn = database.begin_write().map_err(StoreError::from)?;
    txn.set_quick_repair(true);
    let mut tx = Tx::new(&txn);
    at_start(&mut tx)?;
    let has_written = tx.writes() > 0;
    drop(tx);
    if has_written {
        txn.commit().map_err(StoreError::from)?;
    } else {
        txn.abort().map_err(StoreError::from)?;
    }
    Ok(())
}
