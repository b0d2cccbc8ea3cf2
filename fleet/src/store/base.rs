//! The database, opened anew after its storage has failed.
//!
//! redb refuses everything after an input or output error (a full disk, say) until the file is opened again, and has to
//! write for that. What was committed is whole; what was being written is not there, or is, when only its last sync
//! failed. As long as the file can't be opened for writing it is opened for reading alone, so that people see what there
//! is.

use super::guard;
use super::opened_file::OpenedFile;
use crate::refused::{OpenError, StoreError};
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Opens the database again.
pub(super) type Reopen = Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>;

/// The ways to a file.
pub(super) struct Ways {
    pub(super) reopen: Reopen,
    /// As it stands, without changing it.
    pub(super) reopen_to_read: Reopen,
}

impl Ways {
    /// To what can't be opened again.
    pub(super) fn none() -> Self {
        let closed = || Box::new(|| Err(StoreError::Closed.into()));
        Self { reopen: closed(), reopen_to_read: closed() }
    }
}

struct OpenDatabase {
    database: Database,
    /// It can't be written.
    only_read: bool,
}

pub(super) struct Base {
    /// `None` after a failure, until somebody needs it.
    open: RwLock<Option<OpenDatabase>>,
    ways: Ways,
    /// Where the file is; `None` = in memory.
    place: Option<Arc<OpenedFile>>,
    /// How often opening it again failed in a row.
    failing: AtomicU64,
}

impl Base {
    pub(super) fn new(database: Database, ways: Ways, place: Option<Arc<OpenedFile>>) -> Self {
        let open = OpenDatabase { database, only_read: false };
        Self { open: RwLock::new(Some(open)), ways, place, failing: AtomicU64::new(0) }
    }

    /// Whether the file that is open is the one that who starts next will find.
    pub(super) fn is_in_place(&self) -> Result<(), StoreError> {
        self.place.as_ref().map_or(Ok(()), |place| place.is_kept())
    }

    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        self.with(false, |database| Ok(guard::redb(|| database.begin_read())??))
    }

    /// Only the writer writes, one transaction at a time.
    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        self.is_in_place()?;
        self.with(true, |database| Ok(guard::redb(|| database.begin_write())??))
    }

    fn with<T>(
        &self,
        to_write: bool,
        then: impl Fn(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let serves = |open: &&OpenDatabase| !(to_write && open.only_read);
        if let Some(open) = self.open.read().unwrap_or_else(PoisonError::into_inner).as_ref().filter(serves) {
            return then(&open.database);
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().filter(serves).is_none() {
            match (self.ways.reopen)() {
                Ok(database) => {
                    *open = Some(OpenDatabase { database, only_read: false });
                    self.failing.store(0, Ordering::Relaxed);
                    tracing::debug!("the data file was opened again after a failure");
                }
                Err(error) => {
                    let error = self.failed(error);
                    if to_write {
                        return Err(error);
                    }
                    let database = (self.ways.reopen_to_read)().map_err(|_| error)?;
                    *open = Some(OpenDatabase { database, only_read: true });
                }
            }
        }
        open.as_ref().map_or(Err(StoreError::Closed), |open| then(&open.database))
    }

    fn failed(&self, error: OpenError) -> StoreError {
        let failing = self.failing.fetch_add(1, Ordering::Relaxed) + 1;
        if failing.is_power_of_two() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                failing,
                "the data file could not be opened again"
            );
        }
        match error {
            OpenError::Store(error) => error,
            OpenError::Damaged { why, .. } => StoreError::Damaged { why },
            OpenError::Folder { why, .. } => redb::Error::Io(why).into(),
            _ => StoreError::Closed,
        }
    }

    /// Takes another database in its place.
    pub(super) fn replace(&self, database: Database) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let former = open.replace(OpenDatabase { database, only_read: false });
        drop(open);
        if let Err(error) = guard::redb(|| drop(former)) {
            tracing::debug!(%error, "the damaged data file could not be closed cleanly");
        }
    }

    /// Closes the database; whoever needs it next opens it again.
    pub(super) fn storage_failed(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // What is open to be read only did not fail.
        let failed = open.take_if(|open| !open.only_read);
        drop(open);
        if let Err(error) = guard::redb(|| drop(failed)) {
            tracing::error!(%error, "the data file could not be closed cleanly");
        }
    }
}
