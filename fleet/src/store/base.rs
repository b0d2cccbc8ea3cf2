//! The database, opened anew after its storage has failed.
//!
//! redb refuses everything after an input or output error (a full disk, say) until the file is opened again. What was
//! committed is whole; what was being written is not there, or is, when only its last sync failed.

use super::guard;
use crate::refused::{OpenError, StoreError};
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// Opens the database again.
pub(super) type Reopen = Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>;

pub(super) struct Base {
    /// `None` after a failure, until somebody needs it.
    open: RwLock<Option<Database>>,
    reopen: Reopen,
    /// How often that failed in a row.
    failing: AtomicU64,
}

impl Base {
    pub(super) fn new(database: Database, reopen: Reopen) -> Self {
        Self { open: RwLock::new(Some(database)), reopen, failing: AtomicU64::new(0) }
    }

    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        self.with(|database| Ok(guard::redb(|| database.begin_read())??))
    }

    /// Only the writer writes, one transaction at a time.
    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        self.with(|database| Ok(guard::redb(|| database.begin_write())??))
    }

    fn with<T>(&self, then: impl Fn(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(database) = &*self.open.read().unwrap_or_else(PoisonError::into_inner) {
            return then(database);
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            *open = Some((self.reopen)().map_err(|error| match error {
                OpenError::Store(error) => error,
                OpenError::Damaged { why, .. } => StoreError::Damaged { why },
                other => {
                    let failing = self.failing.fetch_add(1, Ordering::Relaxed) + 1;
                    if failing.is_power_of_two() {
                        tracing::error!(error = %other, failing, "the data file could not be opened again");
                    }
                    StoreError::Closed
                }
            })?);
            self.failing.store(0, Ordering::Relaxed);
            tracing::debug!("the data file was opened again after a failure");
        }
        open.as_ref().map_or(Err(StoreError::Closed), then)
    }

    /// Closes the database; whoever needs it next opens it again.
    pub(super) fn storage_failed(&self) {
        let failed = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(error) = guard::redb(|| drop(failed)) {
            tracing::error!(%error, "the data file could not be closed cleanly");
        }
    }
}
