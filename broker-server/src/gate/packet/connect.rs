//! Reads the MQTT packet CONNECT, a client's request to log in.

use super::{
    reader::{Malformed, Reader},
    topic::is_topic,
    v5,
};

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT version 3.1.1.
    V311,
    /// MQTT 3.1.1 as a bridge speaks it: messages keep the retain flag with which they were published. Not in the
    /// standard; mosquitto says so by the highest bit of the protocol level, and others took it over.
    Bridge,
    /// MQTT version 5.
    V5(v5::Options),
}

const V311: u8 = 4;
const BRIDGE: u8 = 0x80 | V311;
const V5: u8 = 5;

/// How a client introduces itself. The password does not print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// What the client speaks.
    pub protocol: Protocol,
    /// May be empty.
    pub client_id: &'a str,
    /// Forget what was, keep nothing.
    pub clean_session: bool,
    /// Seconds; 0 for none.
    pub keep_alive_secs: u16,
    /// What to say when it is lost.
    pub will: Option<Will<'a>>,
    /// The user name; `None` = the client gave none.
    pub username: Option<&'a str>,
    /// The password; `None` = the client gave none.
    pub password: Option<&'a [u8]>,
}

impl std::fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("protocol", &self.protocol)
            .field("client_id", &self.client_id)
            .field("clean_session", &self.clean_session)
            .field("keep_alive_secs", &self.keep_alive_secs)
            .field("will", &self.will)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A last will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Well-formed, no wildcard.
    pub topic: &'a str,
    /// Content of the message.
    pub payload: &'a [u8],
    /// QoS, 0 to 2.
    pub qos: u8,
    /// Whether it is a retained message.
    pub retain: bool,
}

/// Why there is no CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// It is of another version of MQTT.
    Version(u8),
    /// It is not a CONNECT.
    Malformed(Malformed),
    /// It has a will without a topic, or on one with a wildcard.
    WillTopic,
    /// It is one of MQTT 5 that must be refused, in the form of MQTT 5.
    V5(v5::Error),
}

impl From<Malformed> for ConnectError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl<'a> Connect<'a> {
    /// Whether this can be the first byte of a CONNECT: the rest need not be waited for if not.
    #[must_use]
    pub const fn begins_with(first: u8) -> bool {
        first == 0x10
    }

    /// Whether this body is that of a client that understands answers in the form of MQTT 5.
    #[must_use]
    pub fn is_v5(body: &[u8]) -> bool {
        body.starts_with(&[0, 4, b'M', b'Q', b'T', b'T', V5])
    }

    /// Reads the body.
    pub fn read(body: &'a [u8]) -> Result<Self, ConnectError> {
        let mut rest = Reader(body);
        let level = match (rest.bytes()?, rest.byte()?) {
            (b"MQTT", level @ (V311 | BRIDGE | V5)) => level,
            (b"MQTT" | b"MQIsdp", version) => return Err(ConnectError::Version(version)),
            _ => return Err(Malformed("not MQTT").into()),
        };
        if level == V5 {
            return Self::read_rest(level, rest).map_err(|error| match error {
                ConnectError::Malformed(malformed) => ConnectError::V5(malformed.into()),
                error => error,
            });
        }
        Self::read_rest(level, rest)
    }

    fn read_rest(level: u8, mut rest: Reader<'a>) -> Result<Self, ConnectError> {
        let flags = rest.byte()?;
        let keep_alive_secs = rest.number()?;
        let protocol = match level {
            V5 => Protocol::V5(v5::options(&mut rest).map_err(ConnectError::V5)?),
            BRIDGE => Protocol::Bridge,
            _ => Protocol::V311,
        };
        let client_id = rest.text()?;
        let (has_will, qos, retain) = (flags & 4 != 0, flags >> 3 & 3, flags & 0x20 != 0);
        if flags & 1 != 0 {
            return Err(Malformed("the reserved flag is set").into());
        }
        if qos == 3 || (!has_will && (qos != 0 || retain)) {
            return Err(Malformed("flags of a will that can't be").into());
        }
        let will = if has_will { Some(will(level, qos, retain, &mut rest)?) } else { None };
        let username = if flags & 0x80 != 0 { Some(rest.text()?) } else { None };
        let password = match (flags & 0x40 != 0, username) {
            (true, None) if level != V5 => return Err(Malformed("a password without a name").into()),
            (true, _) => Some(rest.bytes()?),
            (false, _) => None,
        };
        rest.end()?;
        if let Some(will) = &will {
            check_will(level, will)?;
        }
        let clean_session = flags & 2 != 0;
        Ok(Self { protocol, client_id, clean_session, keep_alive_secs, will, username, password })
    }
}

fn will<'a>(level: u8, qos: u8, retain: bool, rest: &mut Reader<'a>) -> Result<Will<'a>, ConnectError> {
    if level == V5 {
        v5::will_properties(rest).map_err(ConnectError::V5)?;
    }
    Ok(Will { topic: rest.text()?, payload: rest.bytes()?, qos, retain })
}

fn check_will(level: u8, will: &Will<'_>) -> Result<(), ConnectError> {
    if !is_topic(will.topic) {
        return Err(ConnectError::WillTopic);
    }
    // Who announces that it does not speak QoS 2 must refuse such a will.
    if level == V5 && will.qos > 1 {
        let reason = v5::ReasonCode::QOS_NOT_SUPPORTED;
        return Err(ConnectError::V5(v5::Error::new(reason, "a will of QoS 2, which is not spoken here")));
    }
    Ok(())
}
