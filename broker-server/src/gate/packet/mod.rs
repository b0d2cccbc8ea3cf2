//! MQTT packets: a strict reader and a small writer for 3.1.1, which all speak, and for 5, which viewers may speak
//! ([`v5`]).
//!
//! rumqttd's own reader is not used for what peers send: it lets trailing bytes, wrong flags and wildcards pass, and
//! keeps QoS and packet id of a publish to itself. The tests hold the two against each other: what is accepted here,
//! it reads the same way.
//!
//! Reading borrows from the buffer and allocates nothing. Whatever the bytes are, the answer is a packet, "more
//! bytes needed", or the [`Malformed`] that ends the connection.

mod connect;
mod qos;
mod read;
mod reader;
mod topic;
pub mod v5;
mod write;

pub use connect::{Connect, ConnectError, Protocol, Will};
pub use qos::Qos;
pub use read::{Filters, Frame, Packet, Publish, frame, packet};
pub use reader::Malformed;
pub use topic::{is_filter, is_topic, matches};
pub use write::{ConnAck, conn_ack, ping_resp, pub_ack, publish, sub_ack, unsub_ack};
