//! Who may come in at the broker.

use crate::context::sha256;
use crate::fleet::Fleet;
use crate::record::{TokenRow, Viewer};
use crate::store::{LINKS, Reads, TOKENS, VIEWERS};
use schema::{HostId, TokenId};
use subtle::ConstantTimeEq;

/// Why a login is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLogin {
    /// There is nothing of that id.
    Unknown,
    /// It has another password.
    Password,
    /// The password is right, and its time is over.
    Expired,
    /// It can't be read now.
    Unreadable,
    /// It was given by the server whose archive this one was made of, after that: a person may take it in.
    Newer,
}

impl Fleet {
    /// Whether this is a host's MQTT password.
    pub fn login_host(&self, id: HostId, password: &str) -> Result<(), NoLogin> {
        let row = self.view().and_then(|view| view.get(&LINKS, &id)).map_err(|_| NoLogin::Unreadable)?;
        let why = match row {
            None => NoLogin::Unknown,
            Some(link) if bool::from(link.password_sha256.ct_eq(&sha256(password))) => return Ok(()),
            Some(_) => NoLogin::Password,
        };
        Err(if self.knocks(id, password) { NoLogin::Newer } else { why })
    }

    /// Whether this is an enrolment token's password, and the token may still be used.
    pub fn login_enroll(&self, token: TokenId, password: &str) -> Result<(), NoLogin> {
        let row = self.view().and_then(|view| view.get(&TOKENS, &token)).map_err(|_| NoLogin::Unreadable)?;
        let TokenRow { token, password_sha256: [one, other], .. } = row.ok_or(NoLogin::Unknown)?;
        let hash = sha256(password);
        if !bool::from(one.ct_eq(&hash) | other.ct_eq(&hash)) {
            return Err(NoLogin::Password);
        }
        if token.expires_at > self.now() { Ok(()) } else { Err(NoLogin::Expired) }
    }

    /// The viewer account of this name and password.
    pub fn login_viewer(&self, name: &str, password: &str) -> Result<Viewer, NoLogin> {
        let row = self.view().and_then(|view| view.get(&VIEWERS, &name.to_owned()));
        let viewer = row.map_err(|_| NoLogin::Unreadable)?.ok_or(NoLogin::Unknown)?;
        let fits = viewer.password_sha256.ct_eq(&sha256(password));
        if bool::from(fits) { Ok(viewer) } else { Err(NoLogin::Password) }
    }
}
