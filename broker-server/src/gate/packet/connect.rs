//! CONNECT.

use super::read::{Malformed, Reader};

/// How a client introduces itself. The password does not print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// May be empty.
    pub client_id: &'a str,
    /// Forget what was, keep nothing.
    pub clean_session: bool,
    /// Seconds; 0 for none.
    pub keep_alive_secs: u16,
    /// What to say when it is lost.
    pub will: Option<Will<'a>>,
    /// The account.
    pub username: Option<&'a str>,
    /// Its password.
    pub password: Option<&'a [u8]>,
}

impl std::fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
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
    /// Well-formed text; not checked further.
    pub topic: &'a str,
    /// The message.
    pub payload: &'a [u8],
    /// 0 to 2.
    pub qos: u8,
    /// To be kept.
    pub retain: bool,
}

/// Why there is no CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// It is of another version of MQTT; 5 gets an answer in its own form.
    Version(u8),
    /// It is none.
    Malformed(Malformed),
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

    /// Reads the body.
    pub fn read(body: &'a [u8]) -> Result<Self, ConnectError> {
        let mut rest = Reader(body);
        match (rest.bytes()?, rest.byte()?) {
            (b"MQTT", 4) => {}
            (b"MQTT" | b"MQIsdp", version) => return Err(ConnectError::Version(version)),
            _ => return Err(Malformed("not MQTT").into()),
        }
        let flags = rest.byte()?;
        let keep_alive_secs = rest.number()?;
        let client_id = rest.text()?;
        let (has_will, qos, retain) = (flags & 4 != 0, flags >> 3 & 3, flags & 0x20 != 0);
        if flags & 1 != 0 {
            return Err(Malformed("the reserved flag is set").into());
        }
        if qos == 3 || (!has_will && (qos != 0 || retain)) {
            return Err(Malformed("flags of a will that can't be").into());
        }
        let will = if has_will {
            Some(Will { topic: rest.text()?, payload: rest.bytes()?, qos, retain })
        } else {
            None
        };
        let username = if flags & 0x80 != 0 { Some(rest.text()?) } else { None };
        let password = match (flags & 0x40 != 0, username) {
            (true, None) => return Err(Malformed("a password without a name").into()),
            (true, Some(_)) => Some(rest.bytes()?),
            (false, _) => None,
        };
        rest.end()?;
        Ok(Self { client_id, clean_session: flags & 2 != 0, keep_alive_secs, will, username, password })
    }
}
