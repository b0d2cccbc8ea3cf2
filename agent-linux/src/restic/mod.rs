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
//! repository is locked by a dead process of this machine: unlock and once more → the figures that cost little.
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
//! # What it does not do
//!
//! It keeps nothing: no queue, no journal, no stored credentials. It runs no hooks and knows no local policy. It
//! does not retry, but for the one retry after a stale lock of our own.

pub mod args;
pub mod child;
mod elements;
pub mod figures;
pub mod findings;
pub(crate) mod instant;
pub mod job;
mod lines;
pub mod location;
mod locks;
pub mod mask;
pub mod outcome;
pub mod parse;
mod preflight;
mod pump;
mod rest;
pub mod retention;
pub mod secrets;
mod signs;
mod summary;
mod text;
mod tree;
pub mod version;

pub use args::CommandSource;
pub use figures::Figures;
pub use job::{Control, JobEnd, JobEvent, JobOrder, Known, Places, RestoreTo, run_job};
pub(crate) use lines::{Lines, log_line};
pub use parse::JobProgress;
pub use secrets::Credentials;
pub use summary::{EntrySeen, ForgetCount, JobSummary, SnapshotSeen};
pub use version::{Restic, find_program};
