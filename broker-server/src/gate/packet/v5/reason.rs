//! Why something is refused or ended, as MQTT 5 says it.

use super::super::reader::{Malformed, TOO_LONG};
use std::fmt;

/// A reason code, under its name in the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonCode(pub u8);

#[expect(missing_docs, reason = "they are explained in the standard")]
impl ReasonCode {
    pub const SUCCESS: Self = Self(0x00);
    pub const NO_SUBSCRIPTION_EXISTED: Self = Self(0x11);
    pub const UNSPECIFIED: Self = Self(0x80);
    pub const MALFORMED_PACKET: Self = Self(0x81);
    pub const PROTOCOL_ERROR: Self = Self(0x82);
    pub const UNSUPPORTED_VERSION: Self = Self(0x84);
    pub const CLIENT_ID_NOT_VALID: Self = Self(0x85);
    pub const BAD_USER_NAME_OR_PASSWORD: Self = Self(0x86);
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    pub const SERVER_UNAVAILABLE: Self = Self(0x88);
    pub const SERVER_BUSY: Self = Self(0x89);
    pub const BAD_AUTHENTICATION_METHOD: Self = Self(0x8c);
    pub const KEEP_ALIVE_TIMEOUT: Self = Self(0x8d);
    pub const SESSION_TAKEN_OVER: Self = Self(0x8e);
    pub const TOPIC_FILTER_INVALID: Self = Self(0x8f);
    pub const TOPIC_NAME_INVALID: Self = Self(0x90);
    pub const TOPIC_ALIAS_INVALID: Self = Self(0x94);
    pub const PACKET_TOO_LARGE: Self = Self(0x95);
    pub const QUOTA_EXCEEDED: Self = Self(0x97);
    pub const ADMINISTRATIVE_ACTION: Self = Self(0x98);
    pub const QOS_NOT_SUPPORTED: Self = Self(0x9b);
    pub const SHARED_NOT_SUPPORTED: Self = Self(0x9e);
    pub const IDENTIFIERS_NOT_SUPPORTED: Self = Self(0xa1);
}

/// Why a connection has to be ended, and what is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The code that the client gets.
    pub reason: ReasonCode,
    /// The reason in words, for the server's log and the client's.
    pub what: &'static str,
}

impl Error {
    /// A will without a topic, or on one with a wildcard.
    pub const WILL_TOPIC: Self =
        Self::new(ReasonCode::TOPIC_NAME_INVALID, "the topic of a will that is empty or holds a wildcard");

    /// A client that takes no packet in which anything could be said.
    pub const TOO_SMALL: Self =
        Self::new(ReasonCode::PACKET_TOO_LARGE, "packets must be taken that are larger than that");

    pub(in super::super) const fn new(reason: ReasonCode, what: &'static str) -> Self {
        Self { reason, what }
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        let reason =
            if malformed == TOO_LONG { ReasonCode::PACKET_TOO_LARGE } else { ReasonCode::MALFORMED_PACKET };
        Self { reason, what: malformed.0 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (reason 0x{:02x})", self.what, self.reason.0)
    }
}

impl std::error::Error for Error {}
