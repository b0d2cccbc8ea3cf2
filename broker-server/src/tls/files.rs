//! Files that only the server may read, written whole or not at all.

use super::error::TlsError;
use data_encoding::BASE64;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Is told which file is about to be made, and with what in it.
pub type Before<'a> = &'a mut dyn FnMut(&Path, &[u8]) -> io::Result<()>;

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> TlsError + 'a {
    move |why| TlsError::File { doing, path: path.to_owned(), why }
}

/// Only what is a file: a pipe, say, could be read for ever.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    fs::read(path)
}

/// The whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    read_file(path).map_err(failed("can't read", path))
}

/// The whole file, `None` when there is none.
pub(super) fn read_if_any(path: &Path) -> Result<Option<Vec<u8>>, TlsError> {
    match read_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(failed("can't read", path)),
    }
}

/// Makes the folder, for its owner only.
pub(super) fn make_folder(path: &Path) -> Result<(), TlsError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("can't make the folder", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed("can't protect the folder", path))
}

/// Writes the file, for its owner only; after a crash it is the old one or the new one.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    let failed = failed("can't write", path);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = || {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    written().map_err(failed)
}

/// What was moved in a folder is on disk when this returns.
pub(super) fn sync(folder: &Path) -> Result<(), TlsError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("can't write", folder))
}

/// Removes a file; not being there is fine.
pub(super) fn remove(path: &Path) -> Result<(), TlsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("can't remove", path)(error)),
        _ => Ok(()),
    }
}

/// Whether others than the owner may do anything with it.
pub(super) fn is_exposed(path: &Path) -> Result<bool, TlsError> {
    let metadata = fs::metadata(path).map_err(failed("can't look at", path))?;
    Ok(metadata.permissions().mode() & 0o077 != 0)
}

/// The DER bytes as PEM text under this label.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let body = BASE64.encode(der);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + "-----END " + label + "-----\n"
}
