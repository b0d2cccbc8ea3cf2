//! A lock that another machine left in a repository long ago: restic makes none on demand.

use crate::repository::Repository;
use repository_files::Keys;
use serde_json::json;
use std::path::Path;

/// The machine that the lock is of.
pub const HOLDER: &str = "old-laptop";

/// Puts an exclusive lock of two days ago into the repository that lies in `folder`.
///
/// # Panics
/// When it can't be made.
pub fn leave(folder: &Path, repository: &Repository) {
    let two_days_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48);
    let lock = json!({
        "time": two_days_ago.to_string(), "exclusive": true, "hostname": HOLDER, "username": "mira", "pid": 4711,
    });
    let keys = Keys::printed(&repository.master_key());
    repository_files::put(&folder.join("locks"), &keys.seal(lock.to_string().as_bytes()));
}
