//! The sealed envelope: `version | key id | nonce | XChaCha20-Poly1305(message)`, with the topic and the first two
//! bytes as additional data.
//!
//! A message moved to another topic, altered, or sealed with another host's key does not open.

pub mod cipher;

use crate::{CURRENT, MIN, Topic};
use cipher::TAG_BYTES;
use core::fmt;
use zeroize::Zeroize;

/// Bytes before the sealed message.
pub const HEADER_BYTES: usize = 2 + NONCE_BYTES;
/// Bytes of a nonce. Drawn at random for each message.
pub const NONCE_BYTES: usize = 24;
/// How much longer a sealed message is than a plain one.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// A 32-byte key that does not print and is wiped when dropped.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// A key of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for whoever stores it.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Why an envelope does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Too short to be one.
    Malformed,
    /// Of a version that is not understood here.
    Version(u8),
    /// The other side says that it understands these versions only.
    Notice {
        /// The oldest version that is understood.
        min: u8,
        /// The newest version that is understood.
        current: u8,
    },
    /// Sealed with a key that is not the one at hand.
    Key(u8),
    /// Altered, or of another topic.
    Forged,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a sealed message"),
            Self::Version(version) => {
                write!(f, "wire version {version} is not understood here ({MIN} to {CURRENT} are)")
            }
            Self::Notice { min, current } => {
                write!(
                    f,
                    "the other side speaks wire versions {min} to {current}, here it is {MIN} to {CURRENT}"
                )
            }
            Self::Key(id) => write!(f, "sealed with an unknown key ({id})"),
            Self::Forged => f.write_str("the seal does not fit: altered, or of another topic"),
        }
    }
}

impl core::error::Error for OpenError {}

/// An envelope whose header has been read.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    /// Which of the host's keys sealed it.
    pub key_id: u8,
    version: u8,
    nonce: &'a [u8],
    body: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Reads the header.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, OpenError> {
        match bytes {
            [0, min, current] => return Err(OpenError::Notice { min: *min, current: *current }),
            [version, ..] if !(MIN..=CURRENT).contains(version) => return Err(OpenError::Version(*version)),
            _ => {}
        }
        if bytes.len() < OVERHEAD_BYTES {
            return Err(OpenError::Malformed);
        }
        let (header, body) = bytes.split_at(HEADER_BYTES);
        Ok(Self { key_id: header[1], version: header[0], nonce: &header[2..], body })
    }

    /// Opens it into `buffer`, which must be at least as long as the envelope, and returns the message.
    pub fn open<'b>(self, key: &Key, topic: Topic, buffer: &'b mut [u8]) -> Result<&'b [u8], OpenError> {
        let (body, tag) = self.body.split_at(self.body.len() - TAG_BYTES);
        let plain = buffer.get_mut(..body.len()).ok_or(OpenError::Malformed)?;
        plain.copy_from_slice(body);
        let nonce: &[u8; NONCE_BYTES] = self.nonce.try_into().map_err(|_| OpenError::Malformed)?;
        let tag: &[u8; TAG_BYTES] = tag.try_into().map_err(|_| OpenError::Malformed)?;
        let additional = additional_data(self.version, self.key_id, topic);
        if cipher::open(key.expose(), nonce, additional.as_bytes(), plain, tag) {
            Ok(plain)
        } else {
            plain.zeroize();
            Err(OpenError::Forged)
        }
    }
}

/// Seals the message in `buffer[HEADER_BYTES..HEADER_BYTES + message_bytes]` where it stands and returns the whole
/// envelope. `nonce` must never be used twice with one key: draw it at random.
pub fn seal_in_place<'b>(
    key: &Key,
    key_id: u8,
    nonce: [u8; NONCE_BYTES],
    topic: Topic,
    buffer: &'b mut [u8],
    message_bytes: usize,
) -> Result<&'b [u8], crate::TooLong> {
    let envelope = buffer.get_mut(..message_bytes + OVERHEAD_BYTES).ok_or(crate::TooLong)?;
    let (header, rest) = envelope.split_at_mut(HEADER_BYTES);
    let (message, tag) = rest.split_at_mut(message_bytes);
    header[0] = CURRENT;
    header[1] = key_id;
    header[2..].copy_from_slice(&nonce);
    let additional = additional_data(CURRENT, key_id, topic);
    let made = cipher::seal(key.expose(), &nonce, additional.as_bytes(), message).ok_or(crate::TooLong)?;
    tag.copy_from_slice(&made);
    Ok(envelope)
}

/// Encodes and seals `message` into `buffer`; returns the envelope.
pub fn seal<'b, T: serde::Serialize + ?Sized>(
    key: &Key,
    key_id: u8,
    nonce: [u8; NONCE_BYTES],
    topic: Topic,
    message: &T,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], crate::TooLong> {
    let room = buffer.get_mut(HEADER_BYTES..).ok_or(crate::TooLong)?;
    let used = crate::encode(message, room)?.len();
    seal_in_place(key, key_id, nonce, topic, buffer, used)
}

/// The frame that answers a version that is not understood: it is the same in all versions, and not sealed, for
/// there may be nothing in common to seal it with. It is for status pages only.
#[must_use]
pub const fn version_notice() -> [u8; 3] {
    [0, MIN, CURRENT]
}

/// What is authenticated beside the message: version, key id and topic.
struct AdditionalData {
    bytes: [u8; 2 + crate::topic::MAX_TOPIC_BYTES],
    len: usize,
}

impl AdditionalData {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn additional_data(version: u8, key_id: u8, topic: Topic) -> AdditionalData {
    let text = topic.text();
    let text = text.as_str().as_bytes();
    let mut bytes = [0; 2 + crate::topic::MAX_TOPIC_BYTES];
    bytes[0] = version;
    bytes[1] = key_id;
    bytes[2..2 + text.len()].copy_from_slice(text);
    AdditionalData { bytes, len: 2 + text.len() }
}
