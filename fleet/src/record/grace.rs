use super::{Actor, Cause};
use schema::Timestamp;
use serde::{Deserialize, Serialize};

/// How long hosts with a label may have some causes before that is an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grace {
    /// The label.
    pub label: String,
    /// The causes, by their codes.
    pub causes: Vec<String>,
    /// How long, in hours.
    pub hours: u16,
    /// When it was set.
    pub changed_at: Timestamp,
    /// By whom.
    pub changed_by: Actor,
}

impl Grace {
    /// The codes of the causes that are meant where none is named: what befalls a machine that is switched off.
    pub const USUAL: [&str; 3] = [Cause::Missed.code(), Cause::Offline.code(), Cause::Old.code()];
}
