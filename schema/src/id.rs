//! Identities: ULIDs in Crockford base32, restic's repository id in hex.

use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The text is not the canonical form of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id: 26 characters of Crockford base32, in capitals")
    }
}

impl core::error::Error for NotAnId {}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Makes an id of a time and 10 random bytes (the last 80 bits); ids made later sort later.
            #[must_use]
            pub fn new(at: crate::Timestamp, random: [u8; 10]) -> Self {
                let mut bytes = [0; 16];
                bytes[..6].copy_from_slice(&at.0.to_be_bytes()[2..]);
                bytes[6..].copy_from_slice(&random);
                Self(bytes)
            }

            /// When it was made, to the millisecond.
            #[must_use]
            pub const fn made_at(self) -> crate::Timestamp {
                let b = self.0;
                crate::Timestamp(u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]]))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(Ulid::from_bytes(self.0).array_to_str(&mut [0; 26]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        /// Accepts the canonical form only, so that one id has one text (and one topic).
        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let ulid = Ulid::from_string(text).map_err(|_| NotAnId)?;
                if ulid.array_to_str(&mut [0; 26]) == text { Ok(Self(ulid.to_bytes())) } else { Err(NotAnId) }
            }
        }
    };
}

ulid_id!(
    /// One machine with an agent.
    HostId
);
ulid_id!(
    /// One run of one kind on one host.
    JobId
);
ulid_id!(
    /// One backup that waits at the server. Never on the wire.
    PendingId
);
ulid_id!(
    /// One incident. Never on the wire.
    IncidentId
);
ulid_id!(
    /// One enrolment token, public part.
    TokenId
);

/// Drawn at random when an agent's state folder is made: tells cloned disks apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstallationId(pub [u8; 16]);

/// restic's own repository id (`restic cat config`), 32 bytes, shown in hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RepoId(pub [u8; 32]);

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RepoId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut bytes = [0; 32];
        // The decoder panics when the output does not fit the input's length exactly.
        if text.len() != 2 * bytes.len() {
            return Err(NotAnId);
        }
        data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).map_err(|_| NotAnId)?;
        Ok(Self(bytes))
    }
}
