//! Where the address of a heartbeat is to be had.

use std::{fmt, path::PathBuf};

/// Where the address is to be had.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// It was given itself.
    Given(String),
    /// It stands in this file, which is read each time.
    File(PathBuf),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(…)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

/// What the command line says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatOptions {
    /// Where the address is to be had.
    pub source: Source,
    /// A file of the authorities that its certificate may be of; `None` = those that the machine trusts.
    pub ca: Option<PathBuf>,
}
