//! MQTT packets: a strict reader and a small writer for 3.1.1, which all speak, and for 5, which viewers may speak
//! ([`v5`]).
//!
//! rumqttd's own reader is not used at the door: it lets trailing bytes, wrong flags and wildcards pass, and keeps
//! quality and packet id of a publish to itself. The tests hold the two against each other: what is accepted here,
//! it reads the same way.
//!
//! Reading borrows from the buffer and allocates nothing. Whatever the bytes are, the answer is a packet, "more
//! bytes needed", or the [`Malformed`] that ends the connection.

mod connect;
mod read;
pub mod v5;
mod write;

pub use connect::{Connect, ConnectError, Protocol, Will};
pub use read::{Filters, Frame, Malformed, Packet, Publish, frame, packet};
pub use write::{ConnAck, conn_ack, ping_resp, pub_ack, publish, sub_ack, unsub_ack};

/// Quality of service. 2 is refused at the door, so it has no place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// At most once.
    AtMostOnce,
    /// At least once.
    AtLeastOnce,
}

impl Qos {
    /// What is granted to who asks for this much.
    #[must_use]
    pub const fn granted(asked: u8) -> Self {
        if asked == 0 { Self::AtMostOnce } else { Self::AtLeastOnce }
    }
}

/// Whether this is a well-formed filter: `+` alone in its level, `#` alone in the last.
#[must_use]
pub fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let fits = match level {
            "#" => levels.peek().is_none(),
            "+" => true,
            _ => !level.contains(['+', '#']),
        };
        if !fits {
            return false;
        }
    }
    !filter.is_empty()
}

/// Whether this is a topic one can publish on.
#[must_use]
pub fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#'])
}

/// Whether a well-formed filter takes this topic.
#[must_use]
pub fn matches(topic: &str, filter: &str) -> bool {
    // Topics that begin with `$` are the broker's own; a wildcard does not reach them.
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topics = topic.split('/');
    for level in filter.split('/') {
        match (level, topics.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(topic)) if level == topic => {}
            _ => return false,
        }
    }
    topics.next().is_none()
}
