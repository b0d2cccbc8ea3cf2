//! Who this machine is to its server.

use crate::{
    random,
    state_folder::{StateError, StateFolder},
};
use schema::{HostId, InstallationId, envelope::Key};
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

const IDENTITY_FILE: &str = "identity";
pub(crate) const INSTALLATION_FILE: &str = "installation";
const CA_FILE: &str = "ca.pem";
const MAGIC: &[u8] = b"HFID1\n";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The folder can't be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// It was never made.
    #[error("this machine is not enrolled: run `holdfast-agent enroll TOKEN` with a token of your server")]
    NotEnrolled,
    /// A file of the identity is there, but holds something else. Its name.
    #[error("the file {0} is damaged: enrol this machine again with a new token and --force")]
    Damaged(&'static str),
    /// The system gives no random bytes for the new secrets.
    #[error("the system gives no random bytes")]
    Random,
}

/// Host id, secrets, and where the server is. Prints no secret.
pub struct Identity {
    /// Id of the host that this agent is.
    pub host: HostId,
    /// What people call it.
    pub host_name: String,
    /// Where the token said the server is, see [`schema::address`]; what the plan says goes before.
    pub addresses: String,
    /// The MQTT password.
    pub password: String,
    /// Seals everything between the two.
    pub link_key: Key,
    /// The number of that key.
    pub key_id: u8,
    /// The authorities that the server may show, PEM.
    pub ca_pem: String,
}

#[derive(Serialize, Deserialize)]
struct StoredIdentity<'a> {
    host: HostId,
    host_name: &'a str,
    addresses: &'a str,
    password: &'a str,
    link_key: [u8; 32],
    key_id: u8,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} {:?} at {})", self.host, self.host_name, self.addresses)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

impl Identity {
    /// Whether there is one.
    pub fn exists(state: &StateFolder) -> bool {
        state.file(IDENTITY_FILE).exists()
    }

    /// Reads the identity from the state folder. Fails when the file is missing or can't be used.
    pub fn load(state: &StateFolder) -> Result<Self, IdentityError> {
        let bytes = Zeroizing::new(state.read(IDENTITY_FILE)?.ok_or(IdentityError::NotEnrolled)?);
        let damaged = || IdentityError::Damaged(IDENTITY_FILE);
        let body = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let stored: StoredIdentity<'_> = schema::decode(body).map_err(|_| damaged())?;
        let ca_pem = state
            .read(CA_FILE)?
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(IdentityError::Damaged(CA_FILE))?;
        Ok(Self {
            host: stored.host,
            host_name: stored.host_name.to_owned(),
            addresses: stored.addresses.to_owned(),
            password: stored.password.to_owned(),
            link_key: Key::new(stored.link_key),
            key_id: stored.key_id,
            ca_pem,
        })
    }

    /// Trusts other authorities from now on, once they are on disk.
    pub fn trust(&mut self, ca_pem: String, state: &StateFolder) -> Result<(), StateError> {
        state.write(CA_FILE, ca_pem.as_bytes())?;
        self.ca_pem = ca_pem;
        Ok(())
    }

    /// Writes it; the authority first, for an identity without it is of no use.
    pub fn store(&self, state: &StateFolder) -> Result<(), IdentityError> {
        let stored = StoredIdentity {
            host: self.host,
            host_name: &self.host_name,
            addresses: &self.addresses,
            password: &self.password,
            link_key: *self.link_key.expose(),
            key_id: self.key_id,
        };
        let mut buffer = Zeroizing::new([0; 4096]);
        buffer[..MAGIC.len()].copy_from_slice(MAGIC);
        let used = schema::encode(&stored, &mut buffer[MAGIC.len()..])
            .map_err(|_| IdentityError::Damaged(IDENTITY_FILE))?
            .len();
        state.write(CA_FILE, self.ca_pem.as_bytes())?;
        state.write(IDENTITY_FILE, &buffer[..MAGIC.len() + used])?;
        Ok(())
    }
}

/// The state folder's installation id, drawn and written when there is none.
pub fn installation(state: &StateFolder) -> Result<InstallationId, IdentityError> {
    if let Some(bytes) = state.read(INSTALLATION_FILE)? {
        let id = bytes.try_into().map_err(|_| IdentityError::Damaged(INSTALLATION_FILE))?;
        return Ok(InstallationId(id));
    }
    let mut id = [0; 16];
    random::fill(&mut id).map_err(|_| IdentityError::Random)?;
    state.write(INSTALLATION_FILE, &id)?;
    Ok(InstallationId(id))
}
