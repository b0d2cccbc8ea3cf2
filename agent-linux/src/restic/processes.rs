//! The agent's own record of the restic processes that may have left a lock: what proves that a lock is its own.
//!
//! A lock names a host and a process number, and both may be those of another: of a container with the same host name,
//! of a machine that was copied. So the agent writes each process down before restic begins, keeps that over its own
//! death, and takes a lock for its own only when name, number and time fit a process that it knows to be gone.

use super::findings::LockFound;
use crate::state_folder;
use schema::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

/// The file's name in the state folder.
pub(crate) const FILE: &str = "restic-processes";
/// The most that are remembered; the oldest go first.
const MAX_PROCESSES: usize = 16;
/// How far the time in a lock may lie outside of its process's life: both are rounded.
const SLACK_MS: u64 = 1_000;
/// restic renews its locks every five minutes. An end that nobody saw (the machine or the container went down, or this is
/// a copy of it and the process lives on over there) is believed when a lock was not renewed twice.
const UNSEEN_END_AFTER_MS: u64 = 11 * 60_000;

/// Which processes of the system are meant by numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbering {
    /// Changes with each boot.
    pub(crate) boot: [u8; 16],
    /// The process namespace.
    pub(crate) namespace: u64,
}

/// A process that has been started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) hostname: String,
    pub(crate) pid: u32,
    pub(crate) numbering: Numbering,
    /// When, in ticks since the boot: tells it from a later one of the same number.
    pub(crate) start_ticks: u64,
    pub(crate) begun_at: Timestamp,
    end: Option<ProcessEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ProcessEnd {
    at: Timestamp,
    /// Whether the process itself was seen to be gone.
    was_seen: bool,
}

/// Those that may have left a lock, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Processes(Vec<Started>);

impl Started {
    /// The process of this number, as it is now.
    pub(crate) fn look(hostname: String, pid: u32, begun_at: Timestamp) -> Self {
        let start_ticks = stat_of(pid).map_or(0, |(_, ticks)| ticks);
        Self { hostname, pid, numbering: Numbering::here(), start_ticks, begun_at, end: None }
    }

    /// Whether it is gone, or waits only for its parent to take notice.
    fn has_ended(&self) -> bool {
        stat_of(self.pid).is_none_or(|(state, ticks)| state == 'Z' || ticks != self.start_ticks)
    }

    fn wrote(&self, lock: &LockFound) -> bool {
        let Some(end) = self.end else { return false };
        // The clock may have been set meanwhile, in either direction.
        let (first, last) = (self.begun_at.min(end.at), self.begun_at.max(end.at));
        self.hostname == lock.hostname
            && self.pid == lock.pid
            && first.0.saturating_sub(SLACK_MS) <= lock.since.0
            && lock.since.0 <= last.0.saturating_add(SLACK_MS)
    }
}

impl Processes {
    /// Takes a process in.
    pub(crate) fn begin(&mut self, started: Started) {
        let surplus = (self.0.len() + 1).saturating_sub(MAX_PROCESSES);
        self.0.drain(..surplus);
        self.0.push(started);
    }

    /// The newest one of this number has ended; one that took its lock away by itself need not be remembered.
    pub(crate) fn end(&mut self, pid: u32, leaves_lock: bool, now: Timestamp) {
        let Some(at) = self.0.iter().rposition(|started| started.pid == pid && started.end.is_none()) else {
            return;
        };
        if leaves_lock {
            self.0[at].end = Some(ProcessEnd { at: now, was_seen: true });
        } else {
            self.0.remove(at);
        }
    }

    /// Finds out about those that an agent before this one had started; whether there were any that have ended.
    pub(crate) fn settle(&mut self, now: Timestamp) -> bool {
        self.settle_with(Numbering::here(), now, Started::has_ended)
    }

    fn settle_with(&mut self, here: Numbering, now: Timestamp, has_ended: impl Fn(&Started) -> bool) -> bool {
        let mut any = false;
        for started in self.0.iter_mut().filter(|started| started.end.is_none()) {
            // A number from another boot or namespace says nothing here.
            let was_seen = started.numbering == here;
            if !was_seen || has_ended(started) {
                started.end = Some(ProcessEnd { at: now, was_seen });
                any = true;
            }
        }
        any
    }

    /// Whether one of them has not ended, as far as is known.
    pub(crate) fn any_runs(&self) -> bool {
        self.0.iter().any(|started| started.end.is_none())
    }

    /// Whether one that has ended is called so.
    pub(crate) fn knows(&self, hostname: &str, pid: u32) -> bool {
        self.0.iter().any(|it| it.end.is_some() && it.pid == pid && it.hostname == hostname)
    }

    /// Which of the locks were left behind by a process of this agent, in their order.
    pub(crate) fn left_behind(&self, locks: &[LockFound], now: Timestamp) -> Vec<bool> {
        let writer = |lock: &LockFound| self.0.iter().position(|started| started.wrote(lock));
        let writers: Vec<_> = locks.iter().map(writer).collect();
        let is_left = |(lock, writer): (&LockFound, &Option<usize>)| {
            let Some(started) = writer.and_then(|at| self.0.get(at)) else { return false };
            // A process holds one lock: of two that look like its own, one is another's.
            writers.iter().filter(|it| *it == writer).count() == 1
                && (started.end.is_some_and(|end| end.was_seen)
                    || now.ms_since(lock.since) >= UNSEEN_END_AFTER_MS)
        };
        locks.iter().zip(&writers).map(is_left).collect()
    }

    /// Reads the record in a state folder. One that can't be read proves nothing, and no lock is taken for our own.
    pub(crate) fn load(folder: &Path) -> Self {
        let bytes = fs::read(folder.join(FILE)).unwrap_or_default();
        schema::decode(&bytes).unwrap_or_default()
    }

    /// Writes it down.
    pub(crate) fn save(&self, folder: &Path) -> io::Result<()> {
        let bytes = postcard::to_extend(self, Vec::new()).map_err(io::Error::other)?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        state_folder::replace(folder, FILE, |file| file.write_all(&bytes)).map(|_| ())
    }
}

impl Numbering {
    /// That of this process.
    fn here() -> Self {
        let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let digits: String = link.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        Self { boot: crate::platform::boot(), namespace: digits.parse().unwrap_or(0) }
    }
}

/// State and start of a process, in ticks since the boot.
fn stat_of(pid: u32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(stat: &str) -> Option<(char, u64)> {
    // The name may hold anything, a bracket too.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: Numbering = Numbering { boot: [1; 16], namespace: 7 };

    fn started(pid: u32, begun_at: u64) -> Started {
        Started {
            hostname: "nas".into(),
            pid,
            numbering: HERE,
            start_ticks: 5,
            begun_at: Timestamp(begun_at),
            end: None,
        }
    }

    fn lock(hostname: &str, pid: u32, since: u64) -> LockFound {
        LockFound {
            since: Timestamp(since),
            exclusive: false,
            hostname: hostname.into(),
            username: "root".into(),
            pid,
        }
    }

    fn one_that_was_killed() -> Processes {
        let mut processes = Processes::default();
        processes.begin(started(8, 100_000));
        processes.end(8, true, Timestamp(200_000));
        processes
    }

    #[test]
    fn a_lock_is_ours_when_name_number_and_time_fit_a_process_that_has_ended() {
        let processes = one_that_was_killed();
        for (lock, is_ours) in [
            (lock("nas", 8, 100_000), true),
            (lock("nas", 8, 200_000), true),
            (lock("nas", 8, 98_000), false),
            (lock("nas", 8, 202_000), false),
            (lock("nas", 9, 150_000), false),
            (lock("barn", 8, 150_000), false),
        ] {
            assert_eq!(
                processes.left_behind(core::slice::from_ref(&lock), Timestamp(210_000)),
                [is_ours],
                "{lock:?}"
            );
        }
        let two = [lock("nas", 8, 100_500), lock("nas", 8, 150_000)];
        assert_eq!(
            processes.left_behind(&two, Timestamp(210_000)),
            [false, false],
            "one of them is another's"
        );
    }

    #[test]
    fn what_still_runs_or_took_its_lock_away_leaves_none() {
        let mut processes = Processes::default();
        processes.begin(started(8, 100_000));
        let locks = [lock("nas", 8, 150_000)];
        assert_eq!(processes.left_behind(&locks, Timestamp(160_000)), [false], "it runs");
        processes.end(8, false, Timestamp(170_000));
        assert_eq!(processes.left_behind(&locks, Timestamp(180_000)), [false]);
        assert!(!processes.knows("nas", 8));
    }

    #[test]
    fn after_a_death_of_the_agent_the_number_tells_and_after_another_boot_only_a_lock_that_is_not_renewed() {
        let locks = [lock("nas", 8, 150_000)];
        let (soon, later) = (Timestamp(300_000), Timestamp(150_000 + UNSEEN_END_AFTER_MS));
        let mut processes = Processes::default();
        processes.begin(started(8, 100_000));
        let mut alive = processes.clone();
        assert!(!alive.settle_with(HERE, soon, |_| false), "restic outlived its agent");
        assert_eq!(alive.left_behind(&locks, later), [false]);

        let mut gone = processes.clone();
        assert!(gone.settle_with(HERE, soon, |_| true));
        assert_eq!(gone.left_behind(&locks, soon), [true]);

        for elsewhere in [Numbering { boot: [2; 16], ..HERE }, Numbering { namespace: 8, ..HERE }] {
            let mut copied = processes.clone();
            assert!(copied.settle_with(elsewhere, soon, |_| true));
            assert_eq!(
                copied.left_behind(&locks, soon),
                [false],
                "it may live on where this was copied from"
            );
            assert_eq!(copied.left_behind(&locks, later), [true]);
        }
    }

    #[test]
    fn the_record_outlives_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let processes = one_that_was_killed();
        processes.save(folder.path()).unwrap();
        assert_eq!(Processes::load(folder.path()), processes);
        fs::write(folder.path().join(FILE), b"\xff\xff").unwrap();
        assert_eq!(Processes::load(folder.path()), Processes::default());
    }

    #[test]
    fn a_process_is_told_from_a_later_one_of_its_number() {
        let own = Started::look("nas".into(), std::process::id(), Timestamp(1));
        assert!(own.start_ticks > 0 && !own.has_ended());
        assert!(Started { start_ticks: own.start_ticks + 1, ..own.clone() }.has_ended());
        assert!(Started { pid: u32::MAX, ..own }.has_ended());
        let odd = "7 (a) b) S 1 7 7 0 -1 4194560 1 1 0 0 0 0 0 0 20 0 1 0 4711 9 9";
        assert_eq!(parse_stat(odd), Some(('S', 4711)));
        assert_eq!(parse_stat("nonsense"), None);
    }

    proptest! {
        #[test]
        fn no_lock_of_a_living_or_foreign_process_is_ever_taken_for_our_own(
            runs in proptest::collection::vec((1_u32..6, 0_u64..50, 0_u64..50, 0_u8..3), 0..30),
            foreign_pid in 1_u32..6,
            since in 0_u64..3_000,
        ) {
            let (mut processes, mut now) = (Processes::default(), 0);
            let mut lives = Vec::new();
            for (pid, wait, lasts, end) in runs {
                now += wait * 1_000;
                processes.begin(started(pid, now));
                let from = now;
                now += lasts * 1_000;
                match end {
                    0 => processes.end(pid, true, Timestamp(now)),
                    1 => processes.end(pid, false, Timestamp(now)),
                    // The agent died, and was started again at once.
                    _ => {
                        processes.settle_with(HERE, Timestamp(now), |_| true);
                    }
                }
                lives.push((pid, from, now, end));
            }
            let foreign = lock("nas", foreign_pid, since * 1_000);
            let is_ours = processes.left_behind(core::slice::from_ref(&foreign), Timestamp(now))[0];
            let may_be_ours = lives.iter().any(|&(pid, from, to, end)| {
                let life = from.saturating_sub(SLACK_MS)..=to + SLACK_MS;
                pid == foreign_pid && end != 1 && life.contains(&foreign.since.0)
            });
            prop_assert!(!is_ours || may_be_ours);
            prop_assert!(!processes.left_behind(&[lock("barn", foreign_pid, since)], Timestamp(now))[0]);
        }
    }

    /// Literal bytes of the form that is written. When this fails: fix the code, or read both forms.
    #[test]
    fn a_kept_record_says_what_it_always_said() {
        const KEPT: &str = "0205617474696393c6010b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0c8827fbb883a1f73200056174746963 \
                            94c6010b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0c8927fcb883a1f73201fdb883a1f73201";
        let numbering = Numbering { boot: [0x0b; 16], namespace: 12 };
        let begun_at = Timestamp(1_750_000_000_123);
        let first = Started {
            hostname: "attic".into(),
            pid: 25_363,
            numbering,
            start_ticks: 5_000,
            begun_at,
            end: None,
        };
        let second = Started {
            pid: 25_364,
            start_ticks: 5_001,
            begun_at: begun_at.plus_ms(1),
            end: Some(ProcessEnd { at: begun_at.plus_ms(2), was_seen: true }),
            ..first.clone()
        };
        let folder = tempfile::tempdir().unwrap();
        let digits: Vec<char> = KEPT.chars().filter(char::is_ascii_hexdigit).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
        let kept: Vec<u8> = digits.chunks(2).map(byte).collect();
        fs::write(folder.path().join(FILE), &kept).unwrap();
        let said = Processes(vec![first, second]);
        assert_eq!(Processes::load(folder.path()), said);
        said.save(folder.path()).unwrap();
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), kept, "it is written differently now");
    }
}
