//! What the owner of this machine allows; the server can't widen it.
//!
//! It stands in a file that only root (or whoever runs the agent) may write, see [`file`](mod@file), and is read before
//! each job: a change counts from the next one on. A file that can't be read allows nothing; a file that is not there, or
//! says nothing of something, allows the least of it that backups can be set up with. `docs/security.md` has the table.

mod check;
mod file;
mod jobs;
mod own_state;
mod pattern;
mod repositories;
mod restore;
mod rights;
mod roots;
mod settings;
mod sources;
mod when;

pub use check::check;
pub use file::{DEFAULT_FILE, PolicyAt, PolicyError};
pub use pattern::Pattern;
pub use rights::{Rights, WriteError, Written};
pub use roots::{in_words, is_within, real};
pub use settings::{Hook, Limits, Policy, SourceCommand};
pub use sources::Sources;
pub use when::{Here, Quiet, here};
