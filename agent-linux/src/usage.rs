//! Wrong usage of the command line.

/// What is wrong, and where to read more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}\nTry: holdfast-agent --help")]
pub struct UsageError(pub String);
