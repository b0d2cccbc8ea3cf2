//! A data file that is filled with rows from elsewhere, before anybody opens it.

use super::open::{Begins, OpensAs, builder, open_file, private_file};
use super::opened_file::OpenedFile;
use super::shadow::Shadow;
use super::{Tx, file_format, guard};
use crate::refused::{OpenError, StoreError};
use redb::{Database, Durability, TableDefinition, WriteTransaction};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So many bytes are written in one transaction.
const BATCH_BYTES: usize = 32 << 20;

/// A database that was filled.
pub(crate) struct ReadableCopy(pub(super) Database);

/// A data file while it is filled.
pub(crate) struct Import {
    file: PathBuf,
    database: Database,
    batch: Option<WriteTransaction>,
    bytes: usize,
}

impl Import {
    /// Makes the file.
    pub(crate) fn begin(file: &Path) -> Result<Self, OpenError> {
        let place = OpenedFile::new(file);
        let database = open_file(&place, Begins::New, OpensAs::Named, &Arc::new(Shadow::default()))?;
        Ok(Self { file: file.to_owned(), database, batch: None, bytes: 0 })
    }

    /// Makes one beside another file that has no name: it is gone when nobody has it open any more.
    pub(crate) fn without_a_name(beside: &Path) -> Result<Self, OpenError> {
        let path = beside.with_extension("reading");
        let failed = |why| OpenError::Folder { path: path.clone(), why };
        // What a process that was killed at this point has left.
        match fs::remove_file(&path) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(failed(why)),
            _ => {}
        }
        let file = private_file(&path, true).map_err(failed)?;
        fs::remove_file(&path).map_err(failed)?;
        let backend = redb::backends::FileBackend::new(file).map_err(StoreError::from)?;
        let database = builder().create_with_backend(backend).map_err(StoreError::from)?;
        Ok(Self { file: path, database, batch: None, bytes: 0 })
    }

    /// Puts rows into a table, whatever form they have.
    pub(crate) fn put(
        &mut self,
        table: &str,
        fill: impl FnOnce(&mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError>,
    ) -> Result<(), OpenError> {
        let batch = match self.batch.take() {
            Some(batch) => batch,
            None => {
                let mut batch = self.database.begin_write().map_err(StoreError::from)?;
                // What is torn before its end is made anew: only the last one has to be on disk.
                batch
                    .set_durability(Durability::None)
                    .map_err(|error| self.failed(redb::Error::from(error)))?;
                batch
            }
        };
        let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
        {
            let mut open = batch.open_table(definition).map_err(StoreError::from)?;
            let mut bytes = 0;
            fill(&mut |key, row| {
                bytes += key.len() + row.len();
                guard::redb(|| open.insert(key, row).map(|_| ()))??;
                Ok(())
            })?;
            self.bytes += bytes;
        }
        if self.bytes < BATCH_BYTES {
            self.batch = Some(batch);
            return Ok(());
        }
        self.bytes = 0;
        batch.commit().map_err(StoreError::from)?;
        Ok(())
    }

    fn failed(&self, error: redb::Error) -> OpenError {
        OpenError::from(StoreError::from(error)).at(&self.file)
    }

    /// Brings it up to date, does what is left to be done in it, and puts it on disk.
    pub(crate) fn end(
        self,
        last: impl FnOnce(&mut Tx<'_>) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        self.end_open(last).map(drop)
    }

    /// The same, and keeps it open.
    pub(crate) fn end_open(
        mut self,
        last: impl FnOnce(&mut Tx<'_>) -> Result<(), OpenError>,
    ) -> Result<ReadableCopy, OpenError> {
        if let Some(batch) = self.batch.take() {
            batch.commit().map_err(StoreError::from)?;
        }
        file_format::prepare(&self.database, Begins::Kept, file_format::FORMAT, file_format::MIGRATIONS)?;
        super::run_at_start(&self.database, last)?;
        Ok(ReadableCopy(self.database))
    }
}
