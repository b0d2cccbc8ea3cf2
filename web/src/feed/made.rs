//! What is sent of a feed, kept to be sent again.

use data_encoding::HEXLOWER;
use fleet::record::Feed;
use schema::Timestamp;
use sha2::{Digest, Sha256};

/// What is sent, and when it was made.
pub(crate) struct Made {
    pub(super) feed: Feed,
    pub(super) at: Timestamp,
    pub(super) body: String,
    pub(super) etag: String,
}

impl Made {
    pub(super) fn new(feed: Feed, at: Timestamp, body: String) -> Self {
        // Weak: the same may be sent compressed.
        let etag = format!("W/\"{}\"", HEXLOWER.encode(&Sha256::digest(&body)[..12]));
        Self { feed, at, body, etag }
    }
}
