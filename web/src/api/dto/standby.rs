//! The standbys of this server.

use crate::format::rfc3339;
use fleet::Standby;
use fleet::record::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewStandby)]
pub(crate) struct StandbyIn {
    pub(crate) name: String,
    /// The `age` recipient that the standby shows (`age1…`): archives are encrypted for it.
    pub(crate) recipient: String,
    /// The own password again; a token has none.
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<Secret>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StandbyCreated)]
pub(crate) struct StandbyCreated {
    pub(crate) name: String,
    /// With which the standby asks; in this answer only.
    pub(crate) token: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Standby)]
pub(crate) struct StandbyOut {
    name: String,
    recipient: String,
    added_at: String,
    /// When it asked last whether there is something new; null: not since this server was started.
    asked_at: Option<String>,
    /// Whether, when it asked last, it had all that there is now.
    current: bool,
    /// When an archive was sent to it last.
    fetched_at: Option<String>,
    /// How long that was.
    bytes: u64,
    /// From which address it asked for that; empty: it has not.
    peer: String,
    /// It has not asked for three hours, or could use nothing of what it was sent (`uses_none`).
    late: bool,
    /// It was sent archives, and asked for the next ones with what it had before: it can't use them, as where its recipient is
    /// another one, or its disk is full. Since this server was started.
    uses_none: bool,
}

impl From<Standby> for StandbyOut {
    fn from(standby: Standby) -> Self {
        Self {
            name: standby.name,
            recipient: standby.recipient,
            added_at: rfc3339(standby.added_at),
            asked_at: standby.asked_at.map(rfc3339),
            current: standby.has_all,
            fetched_at: standby.fetched_at.map(rfc3339),
            bytes: standby.bytes,
            peer: standby.peer,
            late: standby.is_late,
            uses_none: standby.uses_none,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSuccession)]
pub(crate) struct SuccessionIn {
    /// What a server that was promoted has sealed with the master key, in base64.
    pub(crate) statement: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Succession)]
pub(crate) struct SuccessionOut {
    /// Whether this server stands still now; false: it is that server itself, or was restored later.
    pub(crate) stands_still: bool,
}
