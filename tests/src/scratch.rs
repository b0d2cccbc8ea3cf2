//! Temporary folders.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    thread,
};
use tempfile::TempDir;

/// A folder that goes when it is dropped, and stays when the test fails.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// A new one.
    ///
    /// # Panics
    /// When the system has no temporary folder to write in.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("holdfast-").tempdir().expect("a temporary folder"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A folder in it, made when it is not there; only its owner may look into it, as the programs demand of theirs.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path().join(name);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.disable_cleanup(true);
            eprintln!("the files of this test stay in {}", self.path().display());
        }
    }
}
