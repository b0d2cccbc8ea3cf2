//! Whose a lock is, and whether its owner is gone.

use super::{figures::OwnedLock, findings::LockFound};
use rustix::process::{Pid, test_kill_process};
use schema::Timestamp;

/// restic renews its locks every five minutes, and takes one as stale after this.
const STALE_AFTER_MS: u64 = 30 * 60_000;

/// This machine's name, as restic writes it into locks.
pub(crate) fn own_hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether there is such a process here.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

/// Whether the process has ended: it is gone, or waits only for its parent to take notice. restic takes the latter
/// for alive, so its lock can't be removed yet.
pub(crate) fn has_ended(pid: u32) -> bool {
    !is_alive(pid) || is_zombie(pid)
}

/// Whether it waits only for its parent to take notice.
pub(crate) fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// The lock as a figure; `owner_is_dead`: it belongs to a process of this machine that is gone.
pub(crate) fn figure(found: LockFound, owner_is_dead: bool, now: Timestamp) -> OwnedLock {
    OwnedLock {
        stale: owner_is_dead || now.ms_since(found.since) >= STALE_AFTER_MS,
        since: found.since,
        exclusive: found.exclusive,
        hostname: found.hostname,
        username: found.username,
        pid: found.pid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_stale_when_its_process_is_gone_or_it_is_old() {
        let found = LockFound {
            since: Timestamp(1000),
            exclusive: false,
            hostname: "nas".into(),
            username: "root".into(),
            pid: 8,
        };
        assert!(figure(found.clone(), true, Timestamp(2000)).stale);
        assert!(!figure(found.clone(), false, Timestamp(2000)).stale);
        assert!(figure(found, false, Timestamp(1000 + STALE_AFTER_MS)).stale);
    }

    #[test]
    fn this_machine_knows_its_own_process() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(0));
        assert!(!is_alive(u32::MAX));
        assert!(!has_ended(std::process::id()));
        assert!(!own_hostname().is_empty());
    }

    #[test]
    fn a_process_that_nobody_waits_for_has_ended() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while !is_zombie(child.id()) {
            std::thread::yield_now();
        }
        assert!(is_alive(child.id()) && has_ended(child.id()));
        child.wait().unwrap();
        assert!(has_ended(child.id()) && !is_zombie(child.id()));
    }
}
