//! Opening the file itself: that it is ours alone, is what it should be, and in whose memory its pages are kept.

use super::guard;
use super::opened_file::OpenedFile;
use super::shadow::{LiveFile, Shadow};
use crate::refused::OpenError;
use redb::{Database, DatabaseError};
use std::path::Path;
use std::sync::Arc;

/// Memory that redb may use for pages, in bytes.
const CACHE_BYTES: usize = 128 * 1024 * 1024;

/// Whether a file is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// It is, unless it is there already.
    New,
    /// It must be there, and hold something.
    Kept,
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Which of the two commits of a file it is opened as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpensAs {
    /// The one that its head names.
    Named,
    /// The other one, which is the last: see [`super::check::other_commit_is_last`].
    Other,
}

pub(super) fn open_file(
    place: &OpenedFile,
    begins: Begins,
    opens_as: OpensAs,
    shadow: &Arc<Shadow>,
) -> Result<Database, OpenError> {
    let file = place.file.as_path();
    let failed = |why| OpenError::Folder { path: file.to_owned(), why };
    let opened = private_file(file, begins == Begins::New).map_err(failed)?;
    if begins == Begins::Kept && opened.metadata().map_err(failed)?.len() == 0 {
        return Err(OpenError::Empty { path: file.to_owned() });
    }
    place.open(&opened)?;
    let backend = redb::backends::FileBackend::new(opened).map_err(|error| in_use_or(file, error))?;
    let backend = LiveFile::new(backend, shadow.clone());
    let backend = match opens_as {
        OpensAs::Named => backend,
        OpensAs::Other => backend.of_the_other_commit(),
    };
    guard::redb(|| builder().create_with_backend(backend))
        .map_err(|error| OpenError::from(error).at(file))?
        .map_err(|error| in_use_or(file, error))
}

/// Why redb does not open a file.
pub(super) fn in_use_or(file: &Path, error: DatabaseError) -> OpenError {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: file.to_owned() },
        DatabaseError::Storage(redb::StorageError::Io(why))
            if matches!(why.kind(), InvalidData | UnexpectedEof) =>
        {
            OpenError::Damaged { path: file.to_owned(), why: why.to_string() }
        }
        // A version that no redb has written.
        DatabaseError::UpgradeRequired(version) => OpenError::Damaged {
            path: file.to_owned(),
            why: format!("its head names version {version} of the file format"),
        },
        other => OpenError::Store(other.into()).at(file),
    }
}

/// Sealed or not, the file is nobody else's business.
pub(super) fn private_file(file: &Path, create: bool) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(create).truncate(false).mode(0o600).open(file)
}
