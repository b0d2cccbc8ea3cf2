//! Break-glass kits: one file, encrypted with a passphrase, that holds what is needed to restore with restic alone.
//!
//! Which hosts are in it, and what is remembered of it, the fleet says ([`fleet::Fleet::make_kit`]). Here it is written:
//! a few hosts at a time, each read when it is its turn, so that its length is not bounded by memory, and no state of the
//! data file is held while somebody takes it slowly.

mod document;
mod passphrase;
mod sealed;
mod shell_word;

pub(crate) use passphrase::typed;
pub use passphrase::{new_passphrase, passphrase_objection};

use crate::format::rfc3339;
use fleet::record::Secret;
use fleet::{Fleet, NewKit, Refused, StoreError};
use schema::{HostId, Timestamp};
use sealed::Sealed;
use std::collections::VecDeque;
use std::io;

/// So many hosts are read at a time.
const AT_ONCE: usize = 64;

/// Why a kit could not be written to its end.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// The data file could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be encrypted.
    #[error("the kit could not be encrypted")]
    Encryption(#[from] io::Error),
}

/// A kit while it is written.
pub struct KitFile {
    fleet: Fleet,
    kit: NewKit,
    left: VecDeque<HostId>,
    state: State,
}

/// How far it is.
enum State {
    Begun(Sealed),
    Ended,
}

impl KitFile {
    /// Begins the file of a kit. Takes about half a second and 128 MiB for that time: one at a time.
    pub fn begin(fleet: Fleet, kit: NewKit, passphrase: &Secret) -> Result<Self, KitError> {
        let sealed = Sealed::begin(passphrase)?;
        let left = kit.hosts.clone().into();
        Ok(Self { fleet, kit, left, state: State::Begun(sealed) })
    }

    /// The next piece of the file; `None` = that was all. It may be empty. Reads the data file.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, KitError> {
        let State::Begun(mut sealed) = std::mem::replace(&mut self.state, State::Ended) else {
            return Ok(None);
        };
        let mut piece = Vec::new();
        let hosts = self.kit.hosts.len();
        if self.left.len() == hosts {
            piece.extend(sealed.add(&document::head(self.kit.at, hosts))?);
        }
        let state = self.fleet.read()?;
        for id in self.left.drain(..AT_ONCE.min(self.left.len())) {
            piece.extend(match state.kit_host(id)? {
                Some(host) => sealed.add(&document::host(&host))?,
                None => sealed.add(&document::gone(id))?,
            });
        }
        if self.left.is_empty() {
            piece.extend(sealed.add(&document::foot())?);
            piece.extend(sealed.end()?);
        } else {
            self.state = State::Begun(sealed);
        }
        Ok(Some(piece))
    }

    /// Remembers the kit, once all of its pieces are where they were to go.
    pub async fn keep(self) -> Result<(), Refused> {
        self.fleet.keep_kit(self.kit).await
    }
}

/// What the file of a kit is called.
#[must_use]
pub fn kit_name(at: Timestamp) -> String {
    let at = rfc3339(at);
    format!("holdfast-kit-{}.age", at.split('T').next().unwrap_or_default())
}
