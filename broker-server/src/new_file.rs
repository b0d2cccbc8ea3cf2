//! A file that a command is to write.

use anyhow::Context;
use fleet::{Draft, Pieces};
use std::{io::ErrorKind, path::Path};

/// Begins it; one that is there, and may not be replaced, is named together with what to do. A file of the server itself never is.
pub(crate) fn begin(path: &Path, replaces: bool, pieces: &Pieces) -> anyhow::Result<Draft> {
    if path == Path::new("-") {
        anyhow::bail!("a file is written, and not to the standard output: give a name");
    }
    if pieces.holds(path) {
        anyhow::bail!(
            "{} is a file of the server itself, which is worth nothing without it: give another name",
            path.display()
        );
    }
    match Draft::begin(path, replaces) {
        Err(why) if why.kind() == ErrorKind::AlreadyExists => {
            anyhow::bail!("{} is there already: give another name, or --force to replace it", path.display())
        }
        begun => begun.with_context(|| path.display().to_string()),
    }
}
