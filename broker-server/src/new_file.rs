//! A file that a command is to write.

use crate::command_error::CommandError;
use anyhow::Context;
use fleet::{Draft, Pieces};
use std::{io::ErrorKind, path::Path};

/// Begins it; one that is there, and may not be replaced, is named together with what to do. A file of the server itself never is.
pub(crate) fn begin(path: &Path, replaces: bool, pieces: &Pieces) -> anyhow::Result<Draft> {
    if path == Path::new("-") {
        return Err(CommandError::StandardOutput.into());
    }
    if pieces.holds(path) {
        return Err(CommandError::OwnFile(path.to_owned()).into());
    }
    match Draft::begin(path, replaces) {
        Err(why) if why.kind() == ErrorKind::AlreadyExists => {
            Err(CommandError::FileIsThere(path.to_owned()).into())
        }
        begun => begun.with_context(|| path.display().to_string()),
    }
}
