//! What a Holdfast agent decides: which command is taken, which job runs, what is written down before what, what is
//! sent when, and when to wake up again.
//!
//! # Words
//!
//! - An **input** is a `handle_*` call of [`Core`]; each brings `now`, which has a [`Monotonic`] part (for waiting)
//!   and a wall part (for what is written down and compared with the server's expiry times).
//! - An **effect** is what the driver is to do, taken one at a time with [`Core::poll_effect`] until there is none.
//! - A [`Record`] is what the driver writes into its journal; [`Saved`] is the sum of all records, and what an agent
//!   starts again from.
//! - The driver holds what is large (specifications, texts, sealed bytes) under job ids and report numbers; the core
//!   holds the numbers.
//!
//! # Life cycle
//!
//! ```text
//! command ─▶ Persist(taken, queued, report Accepted) ─▶ stored ─▶ … first in the queue …
//!   ─▶ Persist(started, report Started) ─▶ stored ─▶ Start ─▶ chunks, each persisted ─▶ ended
//!   ─▶ Persist(ended, report Finished) ─▶ stored ─▶ Report, again and again, until the server's ack
//! ```
//!
//! One [`Effect::Persist`] is under way at a time. It is answered with [`Core::handle_stored`], and what may only
//! happen after it is on disk comes out only then. A record that must be on disk and can't be written is taken back:
//! the command is refused ([`schema::Refusal::StateFolder`]), the job is not started. Started ids are on disk before
//! `Start`, and a job that was started and has no end when the agent starts again is reported as
//! [`schema::Class::AgentRestarted`], never run again. What was only queued goes on, unless it has expired.
//!
//! One job runs at a time, in the order in which they came, but for what somebody waits for; beside it one download,
//! which begins at once or is refused ([`schema::Refusal::Busy`]). A download and a prune never run together, for a
//! prune removes what is still to be read: it waits for the end of a download, and lets others go first meanwhile.
//!
//! Commands are taken in the order of their numbers. One that comes too early is not taken; the connection is given up
//! and the next hello makes the server send again what is missing. When the server begins behind a gap on several
//! connections in a row, there is nothing in it. One that comes too late is answered with
//! [`schema::Refusal::Expired`] when its job was never answered, and with silence when it was.
//!
//! # Limits
//!
//! | what | how many | when full |
//! |---|---|---|
//! | jobs held | [`schema::limits::MAX_HELD_JOBS`] | refused, `queue_full` |
//! | answers remembered | [`MAX_KNOWN_JOBS`] | those that the server has acked make room; without any, the command is not taken and comes again |
//! | slots held for one job | [`MAX_HELD_SLOTS`] | refused, `queue_full` |
//! | reports under way | [`SEND_WINDOW`] | the next one waits for an ack |
//!
//! # What this crate does not do
//!
//! It reads no clock, draws no random number (a seed is an argument), allocates nothing and does no IO. It does not
//! look into specifications beyond the kind of a job, and does not know restic. Bounding the journal in bytes, and
//! giving up log chunks for that, is the driver's part, for it holds the bytes.
//!
//! It is `no_std` without `alloc`. The proof: `cargo check -p agent-core --lib` passes with a sysroot that holds
//! `core` and `compiler_builtins` and nothing else; `./test` does that.

#![no_std]

mod backoff;
mod effect;
mod jobs;
mod machine;
mod record;
mod saved;
mod time;
mod verdict;

pub use backoff::Backoff;
pub use effect::{Effect, Wake, WakeFor};
pub use jobs::{Known, MAX_KNOWN_JOBS, MAX_TAKEN_GROUPS, TakenGroup, Ticket};
pub use machine::{Busy, Core, Start, Stored};
pub use record::{Body, Cause, Change, Record, Safety};
pub use saved::{HeldEntry, MAX_HELD_SLOTS, Saved, SlotState};
pub use time::{Monotonic, Now};
pub use verdict::{StopCause, verdict};

/// The most reports that are under way to the server without an ack.
pub const SEND_WINDOW: u64 = 16;
/// When the server has not acked anything for so long, the reports are sent again, in milliseconds.
pub const RESEND_AFTER_MS: u64 = 60_000;
/// How long an interrupted job may take to end before it is killed, in milliseconds.
pub const KILL_AFTER_MS: u64 = 30_000;
/// The same when the agent itself is being stopped, in milliseconds.
pub const KILL_AT_STOP_AFTER_MS: u64 = 8_000;
/// The shortest time between two progress messages, in milliseconds.
pub const PROGRESS_EVERY_MS: u64 = 1_000;
/// How often a state folder that could not be written is tried again, in milliseconds.
pub const STORE_RETRY_AFTER_MS: u64 = 30_000;
/// A connection that held for so long was a good one: the next delay is the shortest again, in milliseconds.
pub const STEADY_AFTER_MS: u64 = 30_000;
