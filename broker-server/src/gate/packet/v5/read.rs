//! The reader, but for CONNECT.

use super::{
    super::{
        reader::Reader,
        topic::{is_filter, is_topic},
    },
    properties::{self, Packets},
    reason::{Error, ReasonCode},
};

/// What a client may send after its CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A message, which goes nowhere: viewers only read.
    Publish {
        /// Well-formed, no wildcard.
        topic: &'a str,
        /// 0 or 1.
        qos: u8,
        /// 0 with QoS 0, never otherwise.
        packet_id: u16,
    },
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
        /// At least one. Their options mean nothing.
        filters: Filters<'a>,
    },
    /// PINGREQ: the client shows that it is still there.
    PingReq,
    /// DISCONNECT: the client ends the connection.
    Disconnect,
}

/// When the retained messages are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainHandling {
    /// With each SUBSCRIBE.
    Always,
    /// When there is no such subscription yet.
    IfNew,
    /// Retained messages are never sent.
    Never,
}

/// A filter with its options. The asked QoS is left out: all is sent with 0. So is no-local: nobody here is sent
/// what a viewer publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter<'a> {
    /// The topic filter; well-formed.
    pub filter: &'a str,
    /// Messages keep the retain flag with which they were published.
    pub retain_as_published: bool,
    /// When retained messages are wanted.
    pub retain_handling: RetainHandling,
}

/// Filters of a SUBSCRIBE or UNSUBSCRIBE; checked when read, so iterating can't fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filters<'a> {
    bytes: &'a [u8],
    with_options: bool,
}

impl<'a> Iterator for Filters<'a> {
    type Item = Filter<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = Reader(self.bytes);
        let filter = rest.text().ok()?;
        let options = if self.with_options { rest.byte().ok()? } else { 0 };
        self.bytes = rest.0;
        let retain_handling = match options >> 4 & 3 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            _ => RetainHandling::Never,
        };
        Some(Filter { filter, retain_as_published: options & 8 != 0, retain_handling })
    }
}

impl<'a> Filters<'a> {
    fn checked(bytes: &'a [u8], with_options: bool) -> Result<Self, Error> {
        let mut rest = Reader(bytes);
        loop {
            let filter = rest.text()?;
            if !is_filter(filter) {
                return Err(Error::new(ReasonCode::TOPIC_FILTER_INVALID, "a malformed filter"));
            }
            if with_options {
                let options = rest.byte()?;
                if options & 0xc0 != 0 {
                    return Err(Error::new(
                        ReasonCode::MALFORMED_PACKET,
                        "a reserved option of a subscription",
                    ));
                }
                if options & 3 == 3 || options >> 4 == 3 {
                    return Err(Error::new(ReasonCode::PROTOCOL_ERROR, "an option that does not exist"));
                }
                if options & 4 != 0 && filter.starts_with("$share/") {
                    return Err(Error::new(
                        ReasonCode::PROTOCOL_ERROR,
                        "no-local with a shared subscription",
                    ));
                }
            }
            if rest.0.is_empty() {
                return Ok(Self { bytes, with_options });
            }
        }
    }
}

/// The packet of this first byte and whole body.
pub fn packet(first: u8, body: &[u8]) -> Result<Packet<'_>, Error> {
    let mut rest = Reader(body);
    match (first >> 4, first & 0x0f) {
        (3, flags) => return publish(flags, rest),
        (8, 2) => {
            let packet_id = rest.packet_id()?;
            if properties::read(&mut rest, Packets::SUBSCRIBE)?.subscription_identifier {
                let reason = ReasonCode::IDENTIFIERS_NOT_SUPPORTED;
                return Err(Error::new(reason, "subscription identifiers are not spoken here"));
            }
            return Ok(Packet::Subscribe { packet_id, filters: Filters::checked(rest.0, true)? });
        }
        (10, 2) => {
            let packet_id = rest.packet_id()?;
            properties::read(&mut rest, Packets::UNSUBSCRIBE)?;
            return Ok(Packet::Unsubscribe { packet_id, filters: Filters::checked(rest.0, false)? });
        }
        (12, 0) => {
            rest.end()?;
            return Ok(Packet::PingReq);
        }
        (14, 0) => {
            reason_and_properties(&mut rest, Packets::DISCONNECT)?;
            return Ok(Packet::Disconnect);
        }
        (4, 0) => {
            rest.packet_id()?;
            reason_and_properties(&mut rest, Packets::ACK)?;
        }
        _ => {}
    }
    Err(match first >> 4 {
        4 => Error::new(ReasonCode::PROTOCOL_ERROR, "an acknowledgement of nothing"),
        1 => Error::new(ReasonCode::PROTOCOL_ERROR, "a second CONNECT"),
        5..=7 => Error::new(ReasonCode::PROTOCOL_ERROR, "a packet of QoS 2, which is not spoken here"),
        15 => Error::new(ReasonCode::PROTOCOL_ERROR, "AUTH, which was not begun"),
        8 | 10 | 12 | 14 => Error::new(ReasonCode::MALFORMED_PACKET, "wrong flags"),
        _ => Error::new(ReasonCode::PROTOCOL_ERROR, "a packet that clients don't send"),
    })
}

fn reason_and_properties(rest: &mut Reader<'_>, place: Packets) -> Result<(), Error> {
    if !rest.0.is_empty() {
        rest.byte()?;
    }
    if !rest.0.is_empty() {
        properties::read(rest, place)?;
    }
    Ok(rest.end()?)
}

fn publish(flags: u8, mut rest: Reader<'_>) -> Result<Packet<'_>, Error> {
    let (dup, qos) = (flags & 8 != 0, flags >> 1 & 3);
    if qos == 3 {
        return Err(Error::new(ReasonCode::MALFORMED_PACKET, "a QoS that does not exist"));
    }
    if dup && qos == 0 {
        return Err(Error::new(ReasonCode::MALFORMED_PACKET, "DUP with QoS 0"));
    }
    if qos == 2 {
        return Err(Error::new(
            ReasonCode::QOS_NOT_SUPPORTED,
            "a message of QoS 2, which is not spoken here",
        ));
    }
    let topic = rest.text()?;
    let packet_id = if qos == 0 { 0 } else { rest.packet_id()? };
    let properties = properties::read(&mut rest, Packets::PUBLISH)?;
    if properties.topic_alias {
        return Err(Error::new(ReasonCode::TOPIC_ALIAS_INVALID, "topic aliases are not spoken here"));
    }
    if topic.is_empty() {
        return Err(Error::new(ReasonCode::PROTOCOL_ERROR, "a message without a topic"));
    }
    if !is_topic(topic) {
        return Err(Error::new(ReasonCode::TOPIC_NAME_INVALID, "a topic that holds a wildcard"));
    }
    if properties.response_topic.is_some_and(|topic| !is_topic(topic)) {
        return Err(Error::new(ReasonCode::PROTOCOL_ERROR, "a response topic that can't be"));
    }
    Ok(Packet::Publish { topic, qos, packet_id })
}
