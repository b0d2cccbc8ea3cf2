//! Standbys: `serve --follow`, `promote`, and telling the server of before that its place is taken.
//!
//! # What a standby keeps
//!
//! In its data folder, in `standby/`:
//!
//! ```text
//! identity.txt     the age identity that opens its archives; made at its first start, never sent anywhere
//! token            with which it asks; an admin of the server gives it (or --follow-token-file)
//! following.json   whom it follows and how that one is known: what `promote` has to know
//! server           which server's archives these are
//! superseded       since when the server says that another one has its place: `promote` has to know that, too
//! archives/        the newest archives, each read to its end and checked as by a restore, once a day again
//! lock             held by whoever works here: the standby, or `promote`
//! ```
//!
//! An archive comes into `archives/incoming`, is checked there, and only then gets its name. So what has a name is whole,
//! and a standby that was killed at any instant has what it had.

mod client;
mod command;
mod fetch;
mod folder;
mod follow;
mod herald;
mod kept;
mod pages;
mod promote;
mod serve;
#[cfg(test)]
mod tests;
mod trouble;
mod trust;

pub use command::run as command;
pub(crate) use herald::tell as tell_predecessor;
pub use promote::run as promote;
pub use serve::until_signal as serve;
