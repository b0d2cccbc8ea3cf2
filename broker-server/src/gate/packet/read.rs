//! The reader, but for CONNECT.

use super::{
    reader::{Malformed, Reader, TOO_LONG},
    topic::{is_filter, is_topic},
};

/// One packet's place in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The first byte: type and flags.
    pub first: u8,
    /// Bytes before the body.
    pub header_bytes: usize,
    /// Bytes of the body.
    pub body_bytes: usize,
}

impl Frame {
    /// Bytes in all.
    #[must_use]
    pub const fn total_bytes(self) -> usize {
        self.header_bytes + self.body_bytes
    }
}

/// The frame at the beginning of `bytes`; `None` when its header has not arrived whole. The body may still be
/// missing. `max_bytes` is for the whole packet.
pub fn frame(bytes: &[u8], max_bytes: usize) -> Result<Option<Frame>, Malformed> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let mut body_bytes = 0;
    for (i, &byte) in rest.iter().enumerate() {
        body_bytes |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let frame = Frame { first, header_bytes: 2 + i, body_bytes };
            return if frame.total_bytes() > max_bytes { Err(TOO_LONG) } else { Ok(Some(frame)) };
        }
        if i == 3 {
            return Err(Malformed("the length has more than four bytes"));
        }
    }
    Ok(None)
}

/// What a client may send after its CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// PUBLISH: the client sends a message.
    Publish(Publish<'a>),
    /// PUBACK: the client has taken a message of QoS 1 with this packet id.
    PubAck(u16),
    /// SUBSCRIBE: the client wants the messages of some topics.
    Subscribe {
        /// To be acknowledged.
        packet_id: u16,
        /// Filter and asked QoS; at least one.
        filters: Filters<'a>,
    },
    /// UNSUBSCRIBE: the client wants the messages of some topics no more.
    Unsubscribe {
        /// To be acknowledged.
        packet_id: u16,
        /// Filters; at least one. Their QoS means nothing.
        filters: Filters<'a>,
    },
    /// PINGREQ: the client shows that it is there.
    PingReq,
    /// DISCONNECT: the client goes, and its will is not published.
    Disconnect,
}

/// The content of a PUBLISH packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Well-formed, no wildcard.
    pub topic: &'a str,
    /// Content of the message.
    pub payload: &'a [u8],
    /// 0 to 2.
    pub qos: u8,
    /// 0 with QoS 0, never otherwise.
    pub packet_id: u16,
    /// Whether it is a retained message.
    pub retain: bool,
    /// Whether it was sent before (MQTT's DUP).
    pub dup: bool,
}

/// Filters of a SUBSCRIBE or UNSUBSCRIBE; checked when read, so iterating can't fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filters<'a> {
    bytes: &'a [u8],
    with_qos: bool,
}

impl<'a> Iterator for Filters<'a> {
    type Item = (&'a str, u8);

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = Reader(self.bytes);
        let filter = rest.text().ok()?;
        let qos = if self.with_qos { rest.byte().ok()? } else { 0 };
        self.bytes = rest.0;
        Some((filter, qos))
    }
}

impl<'a> Filters<'a> {
    fn checked(bytes: &'a [u8], with_qos: bool) -> Result<Self, Malformed> {
        let mut rest = Reader(bytes);
        loop {
            if !is_filter(rest.text()?) {
                return Err(Malformed("a malformed filter"));
            }
            if with_qos && rest.byte()? > 2 {
                return Err(Malformed("a QoS that does not exist"));
            }
            if rest.0.is_empty() {
                return Ok(Self { bytes, with_qos });
            }
        }
    }
}

/// The packet of this first byte and whole body.
pub fn packet(first: u8, body: &[u8]) -> Result<Packet<'_>, Malformed> {
    let mut rest = Reader(body);
    let packet = match (first >> 4, first & 0x0f) {
        (3, flags) => return publish(flags, rest).map(Packet::Publish),
        (4, 0) => Packet::PubAck(rest.packet_id()?),
        (8, 2) => {
            let packet_id = rest.packet_id()?;
            return Ok(Packet::Subscribe { packet_id, filters: Filters::checked(rest.0, true)? });
        }
        (10, 2) => {
            let packet_id = rest.packet_id()?;
            return Ok(Packet::Unsubscribe { packet_id, filters: Filters::checked(rest.0, false)? });
        }
        (12, 0) => Packet::PingReq,
        (14, 0) => Packet::Disconnect,
        (1, _) => return Err(Malformed("a second CONNECT")),
        (5..=7, _) => return Err(Malformed("a packet of QoS 2, which is not spoken here")),
        (4 | 8 | 10 | 12 | 14, _) => return Err(Malformed("wrong flags")),
        _ => return Err(Malformed("a packet that clients don't send")),
    };
    rest.end()?;
    Ok(packet)
}

fn publish(flags: u8, mut rest: Reader<'_>) -> Result<Publish<'_>, Malformed> {
    let (dup, qos, retain) = (flags & 8 != 0, flags >> 1 & 3, flags & 1 != 0);
    if qos == 3 {
        return Err(Malformed("a QoS that does not exist"));
    }
    if dup && qos == 0 {
        return Err(Malformed("DUP with QoS 0"));
    }
    let topic = rest.text()?;
    if !is_topic(topic) {
        return Err(Malformed("a topic that is empty or holds a wildcard"));
    }
    let packet_id = if qos == 0 { 0 } else { rest.packet_id()? };
    Ok(Publish { topic, payload: rest.0, qos, packet_id, retain, dup })
}
