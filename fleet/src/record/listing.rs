use super::SnapshotRow;
use schema::{JobId, Timestamp};
use serde::{Deserialize, Serialize};

/// The newest whole listing of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing {
    pub(crate) job: JobId,
    pub(crate) at: Timestamp,
    pub(crate) kept: u32,
    pub(crate) left_out: u32,
}

/// A piece of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotPage(pub(crate) Vec<SnapshotRow>);

/// How far the pieces of a listing are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListingState {
    /// The number of the item that comes next.
    pub(crate) next: u32,
    pub(crate) bytes: u64,
}
