//! How a machine becomes a host: the one-time token, and the two messages it protects.
//!
//! The token is what an operator copies. It holds the server's address and certificate fingerprint, and a key of its
//! own, so that nothing else has to be typed and nobody in between can read or alter the answer.

use crate::{HostId, InstallationId, TokenId, envelope::Key};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

/// The letters that every enrolment token begins with.
pub const TOKEN_PREFIX: &str = "hf1.";
/// The longest token, in characters.
pub const MAX_TOKEN_CHARS: usize = 640;
const MAX_TOKEN_BYTES: usize = 384;

/// How a client that knows an authority only by its fingerprint names it in the TLS handshake: the content of an X.501 name,
/// whose one part is a common name, the SHA-256 of the certificate in hexadecimal digits.
#[must_use]
pub fn authority_name(fingerprint: &[u8; 32]) -> [u8; 75] {
    // SET, SEQUENCE, the object identifier 2.5.4.3, a UTF8String of 64 bytes.
    const HEAD: [u8; 11] = [0x31, 73, 0x30, 71, 0x06, 3, 0x55, 0x04, 0x03, 0x0c, 64];
    let mut name = [0; 75];
    let (head, digits) = name.split_at_mut(HEAD.len());
    head.copy_from_slice(&HEAD);
    HEXLOWER.encode_mut(fingerprint, digits);
    name
}

/// The content of a token.
#[derive(Clone)]
pub struct Token<'a> {
    /// Where the MQTT listener with TLS is reached, see [`crate::address`]; as many addresses as have room.
    pub addresses: &'a str,
    /// SHA-256 of the certificate (DER) of the server's own authority, see [`authority_name`].
    pub ca_fingerprint: [u8; 32],
    /// Public part of the token: its id.
    pub id: TokenId,
    /// The MQTT password of this enrolment.
    pub secret: [u8; 16],
    /// Seals the request and the answer.
    pub key: Key,
    /// After this the server refuses it.
    pub expires_at: crate::Timestamp,
}

#[derive(Serialize, Deserialize)]
struct TokenWire<'a> {
    addresses: &'a str,
    ca_fingerprint: [u8; 32],
    id: TokenId,
    secret: [u8; 16],
    key: [u8; 32],
    expires_at: crate::Timestamp,
}

/// The text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAToken;

impl core::fmt::Display for NotAToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("not an enrolment token: it begins with hf1. and has to be copied whole")
    }
}

impl core::error::Error for NotAToken {}

impl<'a> Token<'a> {
    /// Reads a token; `buffer` holds what it borrows. Upper and lower case are the same.
    pub fn parse(text: &str, buffer: &'a mut [u8; MAX_TOKEN_CHARS]) -> Result<Self, NotAToken> {
        let (prefix, body) = text.trim().split_at_checked(TOKEN_PREFIX.len()).ok_or(NotAToken)?;
        if !prefix.eq_ignore_ascii_case(TOKEN_PREFIX) {
            return Err(NotAToken);
        }
        let mut upper = [0; MAX_TOKEN_CHARS];
        let upper = upper.get_mut(..body.len()).ok_or(NotAToken)?;
        upper.copy_from_slice(body.as_bytes());
        upper.make_ascii_uppercase();
        let length = BASE32_NOPAD.decode_len(upper.len()).map_err(|_| NotAToken)?;
        let bytes = buffer.get_mut(..length).ok_or(NotAToken)?;
        BASE32_NOPAD.decode_mut(upper, bytes).map_err(|_| NotAToken)?;
        let wire: TokenWire<'a> = crate::decode(bytes).map_err(|_| NotAToken)?;
        Ok(Self {
            addresses: wire.addresses,
            ca_fingerprint: wire.ca_fingerprint,
            id: wire.id,
            secret: wire.secret,
            key: Key::new(wire.key),
            expires_at: wire.expires_at,
        })
    }

    /// Writes the token as the text that people copy. Fails when it does not fit the buffer.
    pub fn write<'b>(&self, buffer: &'b mut [u8; MAX_TOKEN_CHARS]) -> Result<&'b str, crate::TooLong> {
        let wire = TokenWire {
            addresses: self.addresses,
            ca_fingerprint: self.ca_fingerprint,
            id: self.id,
            secret: self.secret,
            key: *self.key.expose(),
            expires_at: self.expires_at,
        };
        let mut bytes = [0; MAX_TOKEN_BYTES];
        let bytes = crate::encode(&wire, &mut bytes)?;
        let end = TOKEN_PREFIX.len() + BASE32_NOPAD.encode_len(bytes.len());
        let text = buffer.get_mut(..end).ok_or(crate::TooLong)?;
        text[..TOKEN_PREFIX.len()].copy_from_slice(TOKEN_PREFIX.as_bytes());
        BASE32_NOPAD.encode_mut(bytes, &mut text[TOKEN_PREFIX.len()..]);
        core::str::from_utf8(text).map_err(|_| crate::TooLong)
    }
}

impl core::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

/// An agent asks to be enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollRequest<'a> {
    /// Asking again with the same one gets the same answer while the token lives.
    pub installation: InstallationId,
    /// The machine's own host name.
    pub hostname: &'a str,
    /// The system, as `/etc/os-release` calls it.
    pub os: &'a str,
    /// The processor, as Rust calls it.
    pub arch: &'a str,
    /// Version of the agent program.
    pub agent_version: &'a str,
}

/// The server's answer to an enrolment request.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnrollResponse<'a> {
    /// The host is enrolled; this is what its agent needs from now on.
    Welcome {
        /// Who the machine is from now on; also its MQTT client id and user name.
        host: HostId,
        /// Name that people gave the host.
        host_name: &'a str,
        /// Password with which the agent signs in to MQTT.
        password: &'a str,
        /// The link key that seals everything between the two.
        link_key: [u8; 32],
        /// The number of that key.
        key_id: u8,
        /// The machine took another one's place, and its backups wait until a person starts them: it begins with
        /// nothing of before.
        backups_held: bool,
    },
    /// The server refuses, for this reason.
    Refused(EnrollRefusal),
}

impl core::fmt::Debug for EnrollResponse<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Welcome { host, .. } => write!(f, "Welcome({host})"),
            Self::Refused(reason) => write!(f, "Refused({reason:?})"),
        }
    }
}

/// Why an enrolment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnrollRefusal {
    /// The token was used by another machine.
    Used,
    /// The token is too old.
    Expired,
    /// The host was deleted meanwhile.
    HostGone,
}
