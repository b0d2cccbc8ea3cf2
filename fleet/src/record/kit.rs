use schema::{SlotRevision, Timestamp};
use serde::{Deserialize, Serialize};

/// The newest break-glass kit that holds a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InKit {
    /// When the kit was made.
    pub(crate) at: Timestamp,
    /// The revision of the everyday credentials that the kit holds; 0 = none.
    pub(crate) repo_revision: SlotRevision,
    /// The revision of the admin credentials that the kit holds; 0 = none.
    pub(crate) admin_revision: SlotRevision,
}
