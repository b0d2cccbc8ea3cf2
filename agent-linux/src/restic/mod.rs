//! The restic adapter: runs one job of the schema with the real restic, 0.14 to 0.19 and newer.
//!
//! # Words
//!
//! A **job** is what the server asks for; it is run as one or several **steps**, each one run of restic. A step is
//! planned by [`args`], run by the pump, read by [`parse`] into **findings**, and judged by [`outcome`]. All of
//! planning, reading and judging is pure; [`job::run_job`] is the driver that reads the clock and starts processes.
//! **Figures** are what is known of the repository; they go into a job and come out of it as plain state.
//!
//! # Life of a job
//!
//! preflight (restic there, sources there, server answers) → unlock, if our last job died → the steps → if the
//! repository is locked by a process of this agent's that is gone: unlock and once more → the figures that cost little.
//!
//! # Locks
//!
//! restic itself takes a lock for dead when its host has our name and its process number is not there, which is also
//! true of a live process in a container of the same host name. The agent unlocks by itself only what its own record
//! ([`processes`]) proves to be left by a restic that it started, and only when nothing else would go with it. All
//! other locks are shown, and stay until a person removes them.
//!
//! # Restores
//!
//! A snapshot is looked through before it is restored, for restic follows links that a tree made by hand puts in its way.
//! It is restored into a folder that is made for it, see [`crate::folder`].
//!
//! # Secrets
//!
//! restic is started through this very program (`holdfast-agent __restic …`, [`child`]), which gets the secrets on
//! its standard input and hands them on in pipes. They never stand in an argument, in our own environment or on
//! disk; [`mask`] takes them out of everything that restic says, should it ever repeat one.
//!
//! # What a backup leaves out, and what it lacks
//!
//! The agent's own folder (it holds keys), restic's cache and a repository on this machine are never saved, under whatever
//! name they lie below a path of the group ([`overlap`]); their excludes stand behind the group's, so that no pattern
//! takes them back. Each path of the group is looked at for whether it brings anything ([`sources`]); one that does not
//! makes the backup a warning. What is said of single paths is data ([`SourceSeen`]).
//!
//! # What it does not do
//!
//! It keeps nothing but that record: no queue, no journal, no stored credentials. It runs no hooks and knows no local policy. It
//! does not retry, but for the one retry after a stale lock of our own.

pub mod args;
pub mod child;
pub mod diff;
pub mod draw;
mod elements;
pub mod event;
pub mod failures;
pub mod figures;
pub mod find;
pub mod findings;
pub mod instant;
pub mod job;
mod landed;
mod lines;
pub mod location;
mod locks;
pub(crate) mod lookalike;
mod made;
pub mod mask;
pub mod not_deleted;
mod order;
pub mod outcome;
mod outlet;
pub(crate) mod overlap;
mod own_words;
pub mod parse;
mod patterns;
mod preflight;
mod processes;
mod pump;
mod raw_names;
mod rest;
pub mod retention;
mod rules;
pub(crate) mod scratch;
pub mod secrets;
mod sources;
mod ssh;
pub mod step;
mod summary;
mod symptoms;
mod text;
pub mod there;
mod tree;
pub mod version;

pub use event::{Control, JobEnd, JobEvent, JobProgress};
pub use figures::Figures;
pub use find::{FoundEntry, HitSeen};
pub use job::run_job;
pub(crate) use lines::{Lines, log_line};
pub use order::{CarriedOver, CommandSource, JobOrder, Places, RestoreTo, Walked};
pub(crate) use scratch::{clear, clear_aside, clear_scratch};
pub use secrets::Credentials;
pub use summary::{
    BackupDone, DrillDone, EntrySeen, ForgetCount, JobSummary, RestoreDone, SnapshotSeen, SourceSeen,
};
pub(crate) use text::size_text;
pub use version::{Restic, find_program};
