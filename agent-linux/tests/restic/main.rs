//! The restic adapter against captures of three versions, against garbage, and against the real restic.

#![allow(clippy::unwrap_used, reason = "a failing test may panic anywhere")]

mod ahead;
mod args;
mod captures;
mod drill;
mod faults;
mod find;
mod garbage;
mod jobs;
mod local;
mod paths;
mod restore;
mod retention;
mod rig;
mod sftp;
mod tools;
mod unseen;
