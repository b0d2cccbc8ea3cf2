//! What lies beside the data file of a server that runs, as it is on disk now: the server has it all in memory, and would
//! be the last to notice that it is gone.

use crate::tls::{OperatorFiles, Options, Tls};
use fleet::{Fleet, Pieces};
use std::sync::{Mutex, PoisonError};

/// The pieces of this server.
pub struct OwnPieces {
    fleet: Fleet,
    pieces: Pieces,
    options: Options,
    /// What was wrong when that was last looked at.
    found: Mutex<Option<String>>,
}

impl OwnPieces {
    /// Those of a server that has started with these options.
    #[must_use]
    pub fn new(fleet: Fleet, pieces: Pieces, options: Options) -> Self {
        Self { fleet, pieces, options, found: Mutex::default() }
    }

    /// How many hosts the next start locks out, for another authority was accepted; an error when it would fail, with
    /// why. Reads files.
    pub fn check(&self) -> anyhow::Result<usize> {
        self.options.operator.as_ref().map(OperatorFiles::check).transpose()?;
        self.check_own()
    }

    /// The same of what is the server's own, whatever becomes of certificates that were brought.
    pub fn check_own(&self) -> anyhow::Result<usize> {
        let is_accepted = self.pieces.accepts_authority()?;
        let options = Options { is_new: false, is_accepted, operator: None, ..self.options.clone() };
        let authorities = Tls::check(&options)?;
        Ok(self.fleet.check_pieces(&self.pieces, authorities.as_deref())?)
    }

    /// Looks, and keeps what is wrong. Reads files.
    pub fn look(&self) {
        let found = self.check().err().map(|error| format!("{error:#}"));
        let mut before = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = found.as_ref().filter(|_| *before != found) {
            tracing::error!(why, "the next start of this server would fail");
        }
        *before = found;
    }

    /// What was wrong then.
    #[must_use]
    pub fn found(&self) -> Option<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
