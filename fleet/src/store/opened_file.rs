//! Which file it is that is open, beside where it lies: a copy that is put into its place, as by a restore while the server
//! runs, is another one, and what is written to the old one then is lost.

use crate::refused::StoreError;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The data file that is open, by its path and by its number on the disk.
pub(super) struct OpenedFile {
    pub(super) file: PathBuf,
    /// Device and number of the file that was opened first.
    opened: OnceLock<(u64, u64)>,
}

impl OpenedFile {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), opened: OnceLock::new() }
    }

    /// This file is opened: the first one, or the same again.
    pub(super) fn open(&self, opened: &File) -> Result<(), StoreError> {
        let facts = opened.metadata().map_err(redb::Error::Io)?;
        let id = (facts.dev(), facts.ino());
        if *self.opened.get_or_init(|| id) == id { Ok(()) } else { Err(self.replaced()) }
    }

    /// Whether it still lies where it was opened.
    pub(super) fn is_kept(&self) -> Result<(), StoreError> {
        let Some(opened) = self.opened.get() else { return Ok(()) };
        match fs::metadata(&self.file) {
            Ok(facts) if (facts.dev(), facts.ino()) == *opened => Ok(()),
            Ok(_) => Err(self.replaced()),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Err(self.replaced()),
            // It can't be told now; then writing tells.
            Err(_) => Ok(()),
        }
    }

    fn replaced(&self) -> StoreError {
        StoreError::Replaced(self.file.clone())
    }
}
