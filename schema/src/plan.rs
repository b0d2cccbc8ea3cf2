//! Server → agent, retained: what to do alone when the server can't be reached, and where it is to be reached. Holds
//! no secret.

use crate::{Incarnation, Items, PlanRevision, job::BackupSpec};
use serde::{Deserialize, Serialize};

/// Schedules and source groups of a host, and its way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan<'a> {
    /// Number of the plan; grows with each change.
    pub revision: PlanRevision,
    /// Of which incarnation of the server it is: one of a lower than the agent has heard of does not count.
    pub incarnation: Incarnation,
    /// Its backups wait until a person starts them, for the machine took another one's place: there are no schedules then.
    pub backups_held: bool,
    /// The host name that restic writes into snapshots.
    pub restic_host: &'a str,
    /// The groups that schedules name.
    #[serde(borrow)]
    pub groups: Items<'a, BackupSpec<'a>>,
    /// The schedules that are on.
    #[serde(borrow)]
    pub schedules: Items<'a, PlannedSchedule<'a>>,
    /// Where the server is reached from now on, see [`crate::address`]; no more than [`crate::limits::MAX_ADDRESSES`].
    /// Empty = where it was reached before.
    pub addresses: &'a str,
    /// The certificates (DER) of the authorities that the server shows from now on, the one that is used first; no more than
    /// [`crate::limits::MAX_AUTHORITIES`]. Empty = those of before.
    #[serde(borrow)]
    pub authorities: Items<'a, &'a [u8]>,
}

/// A schedule as part of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSchedule<'a> {
    /// Its name; with a due time it names an occurrence.
    pub name: &'a str,
    /// Cron expression with five fields.
    pub cron: &'a str,
    /// IANA name of the time zone in which the expression is meant.
    pub timezone: &'a str,
    /// Names of the source groups that it backs up.
    #[serde(borrow)]
    pub groups: Items<'a, &'a str>,
    /// Spread over so many seconds after the due time.
    pub jitter_secs: u32,
    /// The rules of the time zone as POSIX writes them, for a machine that does not know it by its name; empty = the
    /// server does not know them.
    pub zone_rules: &'a str,
}
