//! What a machine shows that was enrolled in a time of which this server knows nothing.
//!
//! A host's MQTT password is what the server gave the machine when it was enrolled, sealed with the master key. To the
//! server that gave it, it is a password like any other. A server that was restored from an archive of before has the same
//! master key: it opens the password, and has in it all that it has lost of the enrolment. Nobody who does not hold the
//! master key can make such a password, or read one.
//!
//! That is a proof, and no permission: what was enrolled since may also have been revoked since. So the machine is not let
//! in; it is among those that were refused, and a person takes it in.

use crate::record::Secret;
use crate::seal::{Binding, MasterKey};
use data_encoding::BASE32_NOPAD;
use schema::{HostId, InstallationId, Timestamp, TokenId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::{Zeroize, Zeroizing};

/// The most machines that are remembered.
const MAX_KNOCKING: usize = 1_000;
/// So much of a machine's own name is kept.
const HOSTNAME_BYTES: usize = 64;

/// An enrolment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) host: HostId,
    /// What people called the host.
    pub(crate) name: String,
    /// See [`Host::restic_host`](crate::record::Host::restic_host).
    pub(crate) restic_host: String,
    pub(crate) key_id: u8,
    pub(crate) link_key: [u8; 32],
    pub(crate) token: TokenId,
    pub(crate) installation: InstallationId,
    /// What the machine calls itself.
    pub(crate) hostname: String,
    pub(crate) enrolled_at: Timestamp,
    /// Its backups were to wait for a person.
    pub(crate) backups_held: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.link_key.zeroize();
    }
}

impl Ticket {
    /// The password that says all of it to who holds the master key.
    pub(crate) fn seal(&self, master: &MasterKey, nonce: [u8; 24]) -> Secret {
        let plain = Zeroizing::new(postcard::to_allocvec(self).unwrap_or_default());
        Secret::new(BASE32_NOPAD.encode(&master.seal(Binding::Enrolment, nonce, &plain)).to_ascii_lowercase())
    }

    /// What a password says; `None` = it is none of this server's.
    pub(crate) fn open(master: &MasterKey, password: &str) -> Option<Self> {
        let sealed = BASE32_NOPAD.decode(password.to_ascii_uppercase().as_bytes()).ok()?;
        let plain = master.open(Binding::Enrolment, &sealed).ok()?;
        postcard::from_bytes(&plain).ok()
    }
}

/// So much of a machine's own name as a ticket has room for.
pub(crate) fn short(hostname: &str) -> String {
    hostname[..hostname.floor_char_boundary(HOSTNAME_BYTES)].to_owned()
}

/// Machines with a ticket that this server does not know, by host: the one that was enrolled last.
#[derive(Default)]
pub(crate) struct Knocking(BTreeMap<HostId, (Ticket, [u8; 32])>);

impl Knocking {
    /// Remembers one, with the hash of its password. `false`: another one was enrolled later, or there is no room.
    pub(crate) fn note(&mut self, ticket: Ticket, password_sha256: [u8; 32]) -> bool {
        let is_later = match self.0.get(&ticket.host) {
            Some((known, _)) => known.enrolled_at <= ticket.enrolled_at,
            None => self.0.len() < MAX_KNOCKING,
        };
        if is_later {
            self.0.insert(ticket.host, (ticket, password_sha256));
        }
        is_later
    }

    pub(crate) fn get(&self, host: HostId) -> Option<&(Ticket, [u8; 32])> {
        self.0.get(&host)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Ticket> {
        self.0.values().map(|(ticket, _)| ticket)
    }

    pub(crate) fn forget(&mut self, host: HostId) {
        self.0.remove(&host);
    }
}
