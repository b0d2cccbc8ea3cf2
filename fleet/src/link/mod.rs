//! The server's half of the wire protocol, as the crate doc of [`schema`] says it (section "Delivery").
//!
//! | what | where |
//! |---|---|
//! | commands: numbers, expiry, what was taken | [`outbox`] |
//! | durable reports: what is new, what is acked | [`report`] |
//! | hello and gone, reconciliation | [`hello`] |
//! | hosts that have gone on without a restored server | [`returned`] |
//! | what the agent does alone | [`plan`] |
//! | agents of an earlier development state | [`earlier`] |
//!
//! Decisions are pure functions over [`LinkState`] and plain values; what they decide is written in the same
//! transaction.
//!
//! **What is not understood.** An authentic report whose head can be read but whose body can't (a newer agent's
//! variant) counts as seen: it is audited and acked, or the agent could never get rid of it. What does not open is
//! dropped and audited, and never acked.

pub(crate) mod earlier;
pub(crate) mod hello;
mod keys;
pub(crate) mod outbox;
pub(crate) mod plan;
pub(crate) mod report;
mod returned;
mod state;

pub(crate) use keys::{LinkKeys, key_of, open_envelope, seal_message};
pub(crate) use state::{Link, LinkState, Outgoing, Sent};
