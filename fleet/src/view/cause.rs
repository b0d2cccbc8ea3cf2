//! The cause by which hosts are told apart: why one needs somebody, the same for all who have it in common.

use super::host_row::HostStanding;
use super::reason::Reason;
use crate::record::{Cause, Ended};

impl HostStanding {
    /// Why it needs somebody; `None` = its reason says that it does not.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        cause_of(&self.reason, self.from)
    }
}

/// `from` is the backup that the reason comes from.
fn cause_of(reason: &Reason, from: Option<Ended>) -> Option<Cause> {
    Some(match reason {
        Reason::Ok | Reason::TestFailed { .. } | Reason::WentAway { .. } | Reason::Running { .. } => {
            return None;
        }
        Reason::NotEnrolled => Cause::NotEnrolled,
        Reason::NoRepository => Cause::NoRepository,
        Reason::NoGroup => Cause::NoGroup,
        Reason::Never { .. } => Cause::Never,
        Reason::Lost { .. } => Cause::Lost { gone: from.and_then(|from| from.agent_gone) },
        // What is mended is over with the next good backup, and the same until then.
        Reason::Failed { class, .. } | Reason::Mended { class, .. } => {
            Cause::Failed { class: *class, refusal: from.and_then(|from| from.refusal) }
        }
        Reason::Interrupted { .. } => Cause::Interrupted,
        Reason::Loss { .. } => Cause::Loss,
        Reason::Unusual { what, .. } => Cause::Unusual { what: *what },
        Reason::Old { .. } => Cause::Old,
        Reason::Lacking { class, .. } => Cause::Lacking { class: *class },
        Reason::NoSnapshot { .. } => Cause::NoSnapshot,
        Reason::Missed { .. } => Cause::Missed,
        Reason::BackupsHeld { .. } => Cause::BackupsHeld,
        Reason::Offline { .. } => Cause::Offline,
        Reason::StateFolder { .. } => Cause::StateFolder,
        Reason::Wire { .. } => Cause::Wire,
        Reason::Quarantine { .. } => Cause::Quarantine,
        Reason::CheckOverdue { .. } => Cause::CheckOverdue,
        Reason::Unplanned { .. } => Cause::Unplanned,
        Reason::Held { hold, .. } => Cause::Held { hold: *hold },
        Reason::Clock { ahead_ms, .. } => Cause::Clock { is_behind: *ahead_ms < 0 },
        Reason::NoCredentials => Cause::NoCredentials,
        Reason::Replaced { .. } => Cause::Replaced,
        Reason::Damaged { .. } => Cause::Damaged,
        Reason::ProofFailed { .. } => Cause::ProofFailed,
        Reason::Unproven { .. } => Cause::Unproven,
        Reason::NoSchedule { .. } => Cause::NoSchedule,
        Reason::CredentialsRefused { class, .. } => Cause::CredentialsRefused { class: *class },
    })
}
