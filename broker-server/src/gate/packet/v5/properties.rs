//! Properties: which there are, of what form, and where they may stand.

use super::{
    super::reader::Reader,
    reason::{Error, ReasonCode},
};

/// Where properties stand. Each is a bit.
#[derive(Clone, Copy)]
pub(super) struct Packets(u8);

impl Packets {
    pub(super) const CONNECT: Self = Self(1);
    pub(super) const WILL: Self = Self(2);
    pub(super) const PUBLISH: Self = Self(4);
    pub(super) const ACK: Self = Self(8);
    pub(super) const SUBSCRIBE: Self = Self(16);
    pub(super) const UNSUBSCRIBE: Self = Self(32);
    pub(super) const DISCONNECT: Self = Self(64);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const EVERYWHERE: Self = Self(127);
}

enum Form {
    /// One byte, 0 or 1.
    Flag,
    Two,
    Four,
    Varint,
    Text,
    Bytes,
    Pair,
}

const USER_PROPERTY: u8 = 0x26;

/// Form and places of a property that clients may send.
const fn known(id: u8) -> Option<(Form, Packets)> {
    let messages = Packets::PUBLISH.and(Packets::WILL);
    Some(match id {
        0x01 => (Form::Flag, messages),
        0x02 => (Form::Four, messages),
        0x03 | 0x08 => (Form::Text, messages),
        0x09 => (Form::Bytes, messages),
        0x0b => (Form::Varint, Packets::SUBSCRIBE),
        0x11 => (Form::Four, Packets::CONNECT.and(Packets::DISCONNECT)),
        0x15 => (Form::Text, Packets::CONNECT),
        0x16 => (Form::Bytes, Packets::CONNECT),
        0x17 | 0x19 => (Form::Flag, Packets::CONNECT),
        0x18 => (Form::Four, Packets::WILL),
        0x1f => (Form::Text, Packets::ACK.and(Packets::DISCONNECT)),
        0x21 | 0x22 => (Form::Two, Packets::CONNECT),
        0x23 => (Form::Two, Packets::PUBLISH),
        USER_PROPERTY => (Form::Pair, Packets::EVERYWHERE),
        0x27 => (Form::Four, Packets::CONNECT),
        _ => return None,
    })
}

/// What is of use of the properties of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Properties<'a> {
    pub(super) session_expiry_secs: u32,
    pub(super) max_packet_bytes: Option<u32>,
    pub(super) authentication_method: bool,
    pub(super) authentication_data: bool,
    pub(super) topic_alias: bool,
    pub(super) subscription_identifier: bool,
    pub(super) response_topic: Option<&'a str>,
}

/// Reads the length of properties and all of them.
pub(super) fn read<'a>(rest: &mut Reader<'a>, place: Packets) -> Result<Properties<'a>, Error> {
    let length = varint(rest)?;
    let mut inside = Reader(rest.take(length)?);
    let mut properties = Properties::default();
    let mut seen = 0_u64;
    while !inside.0.is_empty() {
        let id = inside.byte()?;
        let Some((form, places)) = known(id) else {
            return Err(Error::new(
                ReasonCode::MALFORMED_PACKET,
                "a property that does not exist or is the server's",
            ));
        };
        if places.0 & place.0 == 0 {
            return Err(Error::new(ReasonCode::PROTOCOL_ERROR, "a property that may not stand here"));
        }
        if id != USER_PROPERTY && seen & 1 << id != 0 {
            return Err(Error::new(ReasonCode::PROTOCOL_ERROR, "a property that stands there twice"));
        }
        seen |= 1 << id;
        one(id, &form, &mut inside, &mut properties)?;
    }
    Ok(properties)
}

fn one<'a>(
    id: u8,
    form: &Form,
    inside: &mut Reader<'a>,
    properties: &mut Properties<'a>,
) -> Result<(), Error> {
    let (mut number, mut text) = (0, "");
    match form {
        Form::Flag => number = u32::from(inside.byte()?),
        Form::Two => number = u32::from(inside.number()?),
        Form::Four => number = u32::from(inside.number()?) << 16 | u32::from(inside.number()?),
        Form::Varint => number = u32::try_from(varint(inside)?).unwrap_or(u32::MAX),
        Form::Text => text = inside.text()?,
        Form::Bytes => drop(inside.bytes()?),
        Form::Pair => {
            inside.text()?;
            inside.text()?;
        }
    }
    if matches!(form, Form::Flag) && number > 1 {
        return Err(Error::new(ReasonCode::PROTOCOL_ERROR, "a property that is neither 0 nor 1"));
    }
    if matches!(id, 0x0b | 0x21 | 0x27) && number == 0 {
        return Err(Error::new(ReasonCode::PROTOCOL_ERROR, "a property that must not be 0"));
    }
    match id {
        0x08 => properties.response_topic = Some(text),
        0x0b => properties.subscription_identifier = true,
        0x11 => properties.session_expiry_secs = number,
        0x15 => properties.authentication_method = true,
        0x16 => properties.authentication_data = true,
        0x23 => properties.topic_alias = true,
        0x27 => properties.max_packet_bytes = Some(number),
        _ => {}
    }
    Ok(())
}

fn varint(rest: &mut Reader<'_>) -> Result<usize, Error> {
    let mut value = 0;
    for i in 0..4 {
        let byte = rest.byte()?;
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Error::new(ReasonCode::MALFORMED_PACKET, "a number of more than four bytes"))
}
