//! MQTT 5, as far as viewers need it: they read, with QoS 0.
//!
//! Reading is as strict as for 3.1.1: lengths are bounded by the packet, properties stand where they may and once,
//! and whatever the bytes are, the answer is a packet or the [`Error`] with which the connection is ended. What is
//! not offered is said in CONNACK: no QoS 2, no topic aliases, no subscription identifiers, no shared
//! subscriptions, no session that outlives its connection.

mod connect;
mod properties;
mod read;
mod reason;
mod write;

pub use connect::Options;
pub(super) use connect::{options, will_properties};
pub use read::{Filter, Filters, Packet, RetainHandling, packet};
pub use reason::{Error, ReasonCode};
pub use write::{
    Welcome, conn_ack_refused, conn_ack_welcome, disconnect, pub_ack, publish, publish_bytes, refusal,
    sub_ack, unsub_ack,
};
