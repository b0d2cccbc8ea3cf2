//! What was not restored, or would not be.

use crate::format::count;
use fleet::record::RestoreFigures;
use serde::Serialize;

/// A file or folder that was not restored, or not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    pub(crate) path: String,
    pub(crate) reason: String,
}

/// All that are named.
pub(crate) fn failures(found: &RestoreFigures) -> Vec<Failure> {
    let failure =
        |it: &fleet::record::RestoreFailure| Failure { path: it.path.clone(), reason: it.reason.clone() };
    found.failures.iter().map(failure).collect()
}

/// How many are not.
pub(crate) fn more_failures(found: &RestoreFigures) -> Option<String> {
    (found.failures_left_out > 0)
        .then(|| format!("and {} more: the log names them", count(found.failures_left_out)))
}
