//! Agent → server: the bytes of a download.

use crate::{Epoch, JobId, OsText};
use serde::{Deserialize, Serialize};

/// A piece of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bulk<'a> {
    /// The job whose bytes they are.
    pub job: JobId,
    /// The connection that the transfer belongs to: it ends with that.
    pub epoch: Epoch,
    /// Its place in the transfer, from 0, without holes.
    pub number: u32,
    /// What the piece is.
    #[serde(borrow)]
    pub body: BulkBody<'a>,
}

/// What a piece of a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkBody<'a> {
    /// The first one: what was asked for is there.
    Begin {
        /// How many bytes will come, as far as the snapshot says.
        bytes: Option<u64>,
    },
    /// Bytes, at least one and at most [`crate::limits::MAX_BULK_CHUNK_BYTES`].
    #[serde(borrow)]
    Chunk(OsText<'a>),
    /// The last one: all has come.
    End {
        /// How many bytes there were.
        bytes: u64,
        /// Their SHA-256.
        sha256: [u8; 32],
    },
    /// The last one: no more will come, and what has come is not whole. Why, the job says.
    Broken,
}
