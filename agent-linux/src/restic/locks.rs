//! What a lock looks like from outside, and what an unlock would do with it.

use super::{figures::OwnedLock, findings::LockFound};
use schema::Timestamp;

/// restic renews its locks every five minutes, and takes one as stale after this.
const STALE_AFTER_MS: u64 = 30 * 60_000;
const SOON_MS: u64 = 5 * 60_000;

/// This machine's name, as restic writes it into locks.
pub(crate) fn own_hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether it waits only for its parent to take notice.
pub(crate) fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// Whether there is no such process here, or one that waits only for its parent to take notice.
pub(crate) fn has_ended(pid: u32) -> bool {
    !std::path::Path::new(&format!("/proc/{pid}")).exists() || is_zombie(pid)
}

/// Whether restic's own `unlock` would remove the lock now or within the next minutes, whether its process lives or not:
/// it looks for the number among the processes that it sees, and those of a container are not among them.
pub(crate) fn unlock_may_remove(lock: &LockFound, own_hostname: &str, now: Timestamp) -> bool {
    lock.hostname == own_hostname || now.ms_since(lock.since) >= STALE_AFTER_MS - SOON_MS
}

/// The lock as a figure; `is_left`: a restic of this agent left it behind.
pub(crate) fn figure(found: LockFound, is_left: bool, now: Timestamp) -> OwnedLock {
    OwnedLock {
        stale: is_left || now.ms_since(found.since) >= STALE_AFTER_MS,
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
    fn a_lock_is_stale_when_this_agent_left_it_or_it_is_old() {
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
    fn an_unlock_may_take_whatever_has_our_name_or_is_old() {
        let lock = |hostname: &str| LockFound {
            since: Timestamp(1000),
            exclusive: false,
            hostname: hostname.into(),
            username: "root".into(),
            pid: std::process::id(),
        };
        let (young, old) = (Timestamp(2000), Timestamp(1000 + STALE_AFTER_MS - SOON_MS));
        assert!(unlock_may_remove(&lock("nas"), "nas", young));
        assert!(!unlock_may_remove(&lock("barn"), "nas", young));
        assert!(unlock_may_remove(&lock("barn"), "nas", old));
    }

    #[test]
    fn a_process_that_nobody_waits_for_is_a_zombie() {
        assert!(!own_hostname().is_empty());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while !is_zombie(child.id()) {
            std::thread::yield_now();
        }
        assert!(has_ended(child.id()) && !has_ended(std::process::id()));
        child.wait().unwrap();
        assert!(!is_zombie(child.id()) && has_ended(child.id()));
    }
}
