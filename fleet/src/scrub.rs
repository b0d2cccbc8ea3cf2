//! A look through the whole data file, at the start and while the server runs.
//!
//! redb verifies nothing of what it reads. A disk that alters a byte is found out by whoever looks on purpose: at the
//! start as far as that is quick, and again and again while the server runs, slowly.

use crate::fleet::Fleet;
use crate::pieces::Pieces;
use crate::refused::{OpenError, Refused, StoreError};
use crate::store::check;
use schema::Timestamp;

/// A file no larger than this is looked through before each start, in bytes.
const AT_START_BYTES: u64 = 512 << 20;

/// What a look through the data file has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What it found.
    pub found: Found,
}

/// What a look through the data file has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// All is as it was written: so many rows.
    Well(u64),
    /// Something is not; how that shows.
    Damage(String),
    /// It could not be looked through; why.
    Failed(String),
}

/// Looks through the file before it is opened, unless that would take long. `None` = it would.
pub(crate) fn at_start(pieces: &Pieces) -> Result<Option<u64>, OpenError> {
    let file = pieces.data_file();
    let bytes = file.metadata().map_or(0, |facts| facts.len());
    if bytes > AT_START_BYTES { Ok(None) } else { check(&file, |_| Ok(())).map(Some) }
}

impl Fleet {
    /// What the last look through the data file has found; `None` = nobody has looked since the start.
    #[must_use]
    pub fn last_scrub(&self) -> Option<Scrub> {
        self.context().scrub().clone()
    }

    /// Looks through the whole data file, slowly, while it is in use. Damage counts when it is found twice. `None` =
    /// somebody looks already, or there is no file.
    pub async fn scrub(&self) -> Result<Option<Scrub>, Refused> {
        let begun = self.now();
        let mut found = self.look_through().await?;
        if matches!(found, Some(Found::Damage(_))) {
            found = self.look_through().await?;
        }
        let Some(found) = found else { return Ok(None) };
        if let Found::Damage(why) = &found {
            tracing::error!(why, "the data file is damaged: restore it from a backup of the data folder");
        }
        let now = self.now();
        let scrub = Scrub { at: now, took_ms: now.ms_since(begun), found };
        *self.context().scrub() = Some(scrub.clone());
        Ok(Some(scrub))
    }

    async fn look_through(&self) -> Result<Option<Found>, Refused> {
        let Some(moment) = self.moment().await? else { return Ok(None) };
        let checked = tokio::task::spawn_blocking(move || moment.check()).await;
        Ok(Some(match checked {
            Ok(Ok(Some(rows))) => Found::Well(rows),
            Ok(Ok(None)) => Found::Failed("too much was written meanwhile; it is tried again".to_owned()),
            Ok(Err(OpenError::Damaged { why, .. } | OpenError::Store(StoreError::Damaged { why }))) => {
                Found::Damage(why)
            }
            Ok(Err(error)) => Found::Failed(error.to_string()),
            Err(error) => Found::Failed(error.to_string()),
        }))
    }
}
