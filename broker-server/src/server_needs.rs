//! What the server itself needs, for the incidents.

use crate::{clock, platform};
use fleet::{
    ArchiveState, Archives, Fleet, ServerNeed,
    record::{Cause, Severity},
};
use schema::Timestamp;
use std::{path::PathBuf, sync::Arc};
use web::{Certificate, LITTLE_SPACE};

const DAY_MS: u64 = 86_400_000;
/// A certificate that expires within this time is told: those that the server renews by itself are new long before.
const EXPIRES_SOON_MS: u64 = 14 * DAY_MS;
/// And within this one it is critical.
const EXPIRES_MS: u64 = 3 * DAY_MS;
/// With less than this left on its disk, in bytes, the next write may be the one that fails.
const NO_SPACE: u64 = 64 << 20;

/// Asks what the server needs.
#[derive(Clone)]
pub(crate) struct ServerNeeds {
    pub(crate) certificates: Arc<dyn Fn() -> Vec<Certificate> + Send + Sync>,
    pub(crate) archives: Arc<Archives>,
    pub(crate) data_dir: PathBuf,
    pub(crate) fleet: Fleet,
}

impl ServerNeeds {
    /// As it stands now.
    pub(crate) fn now(&self) -> Vec<ServerNeed> {
        let ends: Vec<_> = (self.certificates)().iter().filter_map(|it| it.ends_at).collect();
        let archives = self.archives.status().map(|status| status.state);
        let late = self.fleet.standbys().is_ok_and(|all| all.iter().any(|standby| standby.is_late));
        needs(clock::now(), &ends, platform::space_left(&self.data_dir), archives.ok(), late)
    }
}

/// Decides: pure.
fn needs(
    now: Timestamp,
    certificates_end: &[Timestamp],
    space_left: Option<u64>,
    archives: Option<ArchiveState>,
    is_standby_late: bool,
) -> Vec<ServerNeed> {
    let mut needs = Vec::new();
    let mut need = |cause, is_critical: bool| {
        let severity = if is_critical { Severity::Critical } else { Severity::Warning };
        needs.push(ServerNeed { cause, severity });
    };
    if let Some(first) = certificates_end.iter().min() {
        let left_ms = first.ms_since(now);
        if left_ms < EXPIRES_SOON_MS {
            need(Cause::Certificate, left_ms < EXPIRES_MS);
        }
    }
    if let Some(left) = space_left.filter(|left| *left < LITTLE_SPACE) {
        need(Cause::ServerDisk, left < NO_SPACE);
    }
    if archives == Some(ArchiveState::Late) {
        need(Cause::ArchiveLate, false);
    }
    if is_standby_late {
        need(Cause::StandbyLate, false);
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_a_disk_and_archives_are_told_and_how_bad_it_is() {
        let now = Timestamp(1_000 * DAY_MS);
        let later = |days: u64| now.plus_ms(days * DAY_MS);
        let of = |ends: &[Timestamp], left, archives| {
            let told = needs(now, ends, left, archives, false);
            told.into_iter().map(|need| (need.cause, need.severity)).collect::<Vec<_>>()
        };
        let (warning, critical) = (Severity::Warning, Severity::Critical);
        assert_eq!(of(&[later(14), later(90)], Some(LITTLE_SPACE), Some(ArchiveState::Ok)), []);
        assert_eq!(of(&[], None, None), []);
        assert_eq!(of(&[later(90), later(13)], None, None), [(Cause::Certificate, warning)]);
        for end in [later(2), Timestamp(now.0 - DAY_MS)] {
            assert_eq!(of(&[end], None, None), [(Cause::Certificate, critical)]);
        }
        assert_eq!(of(&[], Some(LITTLE_SPACE - 1), None), [(Cause::ServerDisk, warning)]);
        assert_eq!(of(&[], Some(NO_SPACE - 1), None), [(Cause::ServerDisk, critical)]);
        assert_eq!(of(&[], None, Some(ArchiveState::Late)), [(Cause::ArchiveLate, warning)]);
        assert_eq!(of(&[], None, Some(ArchiveState::NoKey)), [], "that is a decision");
        let late = needs(now, &[], None, None, true);
        assert_eq!(late, [ServerNeed { cause: Cause::StandbyLate, severity: warning }]);
    }
}
