//! What every operation needs and nothing stores: clock, dice, keys, who listens.

use crate::aging::Round;
use crate::budget::Meters;
use crate::change::{Change, Changed, Effects};
use crate::clock::{Clock, SETTLES_MS};
use crate::job::live::Board;
use crate::link::LinkKeys;
use crate::record::Secret;
use crate::roster::Roster;
use crate::scrub::Scrub;
use crate::seal::MasterKey;
use crate::store::Reader;
use crate::traffic::Traffic;
use data_encoding::BASE32_NOPAD;
use schema::{HostId, JobId, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Changes that a slow listener may be behind before it is told that it lags.
const CHANGES_KEPT: usize = 4096;
/// How often something odd of a host is audited, at most.
const NOTED_EVERY_MS: u64 = 60_000;
/// Of so many hosts it is known when that was.
const MOST_NOTED: usize = 20_000;

/// Fills a buffer with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What the outside gives: the clock and the dice.
#[derive(Clone)]
pub struct Driver {
    /// The wall clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Fills a buffer from a cryptographic random source.
    pub random: Random,
}

/// What has to be known of the server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port` that agents dial.
    pub mqtt_address: String,
    /// SHA-256 of the certificate of the server's own authority.
    pub ca_fingerprint: [u8; 32],
    /// IANA name of the server's own time zone: what maintenance goes by where nobody has said otherwise. UTC when
    /// there is no such zone.
    pub timezone: String,
    /// How long and how much of what ages is kept.
    pub keep: Keep,
}

#[cfg(test)]
impl Settings {
    pub(crate) fn for_tests() -> Self {
        Self {
            mqtt_address: "backup.example:8883".to_owned(),
            ca_fingerprint: [7; 32],
            timezone: "UTC".to_owned(),
            keep: Keep::default(),
        }
    }
}

/// How long and how much of what ages is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Jobs and logs, in days after their end.
    pub jobs_days: u32,
    /// What the jobs and logs of one host may take of the data file, in bytes, about.
    pub host_bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { jobs_days: 400, host_bytes: 256 << 20 }
    }
}

pub(crate) struct Context {
    pub(crate) driver: Driver,
    pub(crate) settings: Settings,
    pub(crate) master: MasterKey,
    pub(crate) links: LinkKeys,
    pub(crate) changes: broadcast::Sender<Change>,
    pub(crate) wakes: broadcast::Sender<HostId>,
    pub(crate) roster: Roster,
    board: Mutex<Board>,
    change_seq: AtomicU64,
    pub(crate) traffic: Traffic,
    last_job: Mutex<JobId>,
    last_tick: AtomicU64,
    last_seen: AtomicU64,
    /// Since when the clock was not set back; `None` = nothing lies ahead of it.
    clock_since: Mutex<Option<Timestamp>>,
    noted: Mutex<HashMap<HostId, Timestamp>>,
    /// When the plans of all hosts were looked through last, by the clock; 0 = not since the start.
    plans_reviewed_at: AtomicU64,
    /// Hosts whose connection has begun and whose hello on it has not been taken yet, and the last command that was
    /// acknowledged before it.
    began: Mutex<BTreeMap<HostId, u64>>,
    /// Nobody was heard before.
    pub(crate) started_at: Timestamp,
    meters: Mutex<Meters>,
    aging: Mutex<Round>,
    /// The last look through the data file.
    scrub: Mutex<Option<Scrub>>,
}

impl Context {
    pub(crate) fn new(driver: Driver, settings: Settings, master: MasterKey) -> Self {
        Self {
            started_at: (driver.now)(),
            driver,
            settings,
            master,
            links: LinkKeys::default(),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            wakes: broadcast::Sender::new(CHANGES_KEPT),
            roster: Roster::default(),
            board: Mutex::default(),
            change_seq: AtomicU64::new(0),
            traffic: Traffic::default(),
            last_job: Mutex::new(JobId([0; 16])),
            last_tick: AtomicU64::new(0),
            last_seen: AtomicU64::new(0),
            clock_since: Mutex::default(),
            noted: Mutex::default(),
            plans_reviewed_at: AtomicU64::new(0),
            began: Mutex::default(),
            meters: Mutex::default(),
            aging: Mutex::default(),
            scrub: Mutex::default(),
        }
    }

    /// Whether plans are to be looked through again; says so once.
    pub(crate) fn plans_are_due(&self, now: Timestamp, every_ms: u64) -> bool {
        let last = self.plans_reviewed_at.load(Ordering::Relaxed);
        let is_due = last == 0 || now.0 < last || now.0 - last >= every_ms;
        if is_due {
            self.plans_reviewed_at.store(now.0.max(1), Ordering::Relaxed);
        }
        is_due
    }

    /// The hosts whose first hello of a connection is still to come, each with the last command acknowledged before.
    pub(crate) fn began(&self) -> MutexGuard<'_, BTreeMap<HostId, u64>> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        /// Threads may ask in another order than they go on.
        const TOLERATED_MS: u64 = 1_000;
        let now = (self.driver.now)();
        if self.last_seen.swap(now.0, Ordering::Relaxed) > now.0.saturating_add(TOLERATED_MS) {
            self.clock_begins(now);
        }
        now
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.driver.random)(&mut bytes);
        bytes
    }

    /// A secret to copy: `bytes` random bytes in lower-case base32.
    pub(crate) fn mint<const BYTES: usize>(&self, prefix: &str) -> Secret {
        let bytes = zeroize::Zeroizing::new(self.random::<BYTES>());
        Secret::new(format!("{prefix}{}", BASE32_NOPAD.encode(bytes.as_slice()).to_ascii_lowercase()))
    }

    /// A job id that sorts behind all that were made before, also within a millisecond and when the clock jumps back.
    pub(crate) fn job_id(&self, now: Timestamp) -> JobId {
        let mut last = lock(&self.last_job);
        let fresh = JobId::new(now, self.random());
        *last = if fresh > *last {
            fresh
        } else {
            JobId((u128::from_be_bytes(last.0).wrapping_add(1)).to_be_bytes())
        };
        *last
    }

    /// Job ids made from now on sort behind this one.
    pub(crate) fn job_ids_begin_after(&self, job: JobId) {
        let mut last = lock(&self.last_job);
        *last = job.max(*last);
    }

    /// Whether a tick comes before the last one: the clock was set back in between.
    pub(crate) fn clock_was_set_back(&self, now: Timestamp) -> bool {
        self.last_tick.swap(now.0, Ordering::Relaxed) > now.0
    }

    /// The clock counts from here on: this server has started, or it was set back.
    pub(crate) fn clock_begins(&self, now: Timestamp) {
        *lock(&self.clock_since) = Some(now);
    }

    /// The clock, when it is believed and what it was ahead of is not mended yet.
    pub(crate) fn believed_clock(&self, now: Timestamp) -> Option<Clock> {
        let since = (*lock(&self.clock_since))?;
        (now.ms_since(since) >= SETTLES_MS).then_some(Clock { now, since })
    }

    /// All that lay ahead of this clock is mended.
    pub(crate) fn clock_was_mended(&self, clock: Clock) {
        let mut since = lock(&self.clock_since);
        // It may have been set back meanwhile.
        if *since == Some(clock.since) {
            *since = None;
        }
    }

    pub(crate) fn meters(&self) -> MutexGuard<'_, Meters> {
        lock(&self.meters)
    }

    pub(crate) fn aging(&self) -> MutexGuard<'_, Round> {
        lock(&self.aging)
    }

    pub(crate) fn scrub(&self) -> MutexGuard<'_, Option<Scrub>> {
        lock(&self.scrub)
    }

    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    /// The number of the newest change.
    pub(crate) fn change_seq(&self) -> u64 {
        self.change_seq.load(Ordering::Relaxed)
    }

    pub(crate) fn tell(&self, what: Changed) {
        let seq = self.change_seq.fetch_add(1, Ordering::Relaxed) + 1;
        // Nobody listens: nothing to do.
        let _ = self.changes.send(Change { seq, what });
    }

    /// Whether something odd about this host may be audited: at most once a minute, so that a broken agent can't
    /// fill the audit. It counts as audited with the commit.
    pub(crate) fn may_note(&self, effects: &mut Effects, host: HostId, now: Timestamp) -> bool {
        let noted = lock(&self.noted);
        let is_recent = |at: &Timestamp| now >= *at && now.ms_since(*at) < NOTED_EVERY_MS;
        let has_room = noted.len() < MOST_NOTED || noted.values().any(|at| !is_recent(at));
        let may = match noted.get(&host) {
            Some(at) => !is_recent(at),
            None => has_room,
        };
        let may = may && !effects.noted.contains(&host);
        if may {
            effects.noted.push(host);
        }
        may
    }

    /// Whether something odd of this host has just been audited.
    pub(crate) fn is_noted(&self, host: HostId, now: Timestamp) -> bool {
        lock(&self.noted).get(&host).is_some_and(|at| now >= *at && now.ms_since(*at) < NOTED_EVERY_MS)
    }

    fn has_noted(&self, hosts: &[HostId], now: Timestamp) {
        let mut noted = lock(&self.noted);
        if noted.len() + hosts.len() > MOST_NOTED {
            noted.retain(|_, at| now >= *at && now.ms_since(*at) < NOTED_EVERY_MS);
        }
        noted.extend(hosts.iter().map(|host| (*host, now)));
    }

    /// What the writer calls after each commit.
    pub(crate) fn committed(&self, effects: Effects, read: &Reader<'_>) {
        if !effects.listed.is_empty()
            && let Err(error) =
                read().and_then(|view| self.roster.refresh(&self.settings.timezone, &view, &effects.listed))
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the list of hosts could not be brought up to date"
            );
        }
        for host in &effects.relinked {
            self.meters().forget(*host);
            self.links.forget(*host);
        }
        if !effects.noted.is_empty() {
            self.has_noted(&effects.noted, self.now());
        }
        self.meters().has_spent(&effects.spent);
        for (host, over) in &effects.refused {
            self.meters().count_refused(*host, *over, self.now());
        }
        if !effects.ended.is_empty() || !effects.durable_lines.is_empty() {
            let mut board = self.board();
            effects.durable_lines.iter().for_each(|(job, line)| board.lines_are_durable(*job, *line));
            effects.ended.iter().for_each(|job| board.forget(*job));
        }
        for host in effects.wakes.iter().collect::<BTreeSet<_>>() {
            let _ = self.wakes.send(*host);
        }
        for what in effects.changes.into_iter().collect::<BTreeSet<_>>() {
            self.tell(what);
        }
    }
}

/// What a secret is stored as.
pub(crate) fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after every statement; a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use crate::fleet::Fleet;
    use crate::store::HOST_NAMES;
    use schema::command::Over;
    use schema::{HostId, Timestamp};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    const NOW: Timestamp = Timestamp(1_750_000_000_000);
    const HOST: HostId = HostId([3; 16]);

    fn fleet() -> Fleet {
        let driver = crate::Driver { now: Arc::new(|| NOW), random: Arc::new(|bytes| bytes.fill(7)) };
        Fleet::in_memory(crate::Settings::for_tests(), driver).unwrap()
    }

    /// One that panics spoils the batch: the others run once more, and what they did outside of it would be done twice,
    /// or, as with what is audited once a minute, not at all.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_runs_twice_is_noted_and_counted_once() {
        let fleet = fleet();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (mut held, mut begun) = (Some(held), Some(begun));
        let blocked = fleet.write(move |_| {
            if let (Some(held), Some(begun)) = (held.take(), begun.take()) {
                let _ = begun.send(());
                let _ = held.recv();
            }
            Ok(())
        });
        let (context, runs) = (fleet.context(), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&runs);
        let noted = fleet.write(move |tx| {
            counted.fetch_add(1, Ordering::Relaxed);
            tx.effects.refused.push((HOST, Over::Audit));
            tx.put(&HOST_NAMES, &"noted".to_owned(), &HOST)?;
            Ok(context.may_note(&mut tx.effects, HOST, NOW))
        });
        let spoiled = fleet.write::<()>(|_| panic!("on purpose"));
        let both = async {
            // The writer holds the first one alone; these two wait for it in one batch.
            begins.await.unwrap();
            tokio::join!(noted, spoiled, async { release.send(()).unwrap() })
        };
        let (blocked, (noted, spoiled, ())) = tokio::join!(blocked, both);
        assert!(blocked.is_ok() && spoiled.is_err());
        assert_eq!((noted.unwrap(), runs.load(Ordering::Relaxed)), (true, 2), "the second time as well");
        let context = fleet.context();
        assert!(context.is_noted(HOST, NOW), "with the commit");
        let again = fleet.write(move |tx| Ok(context.may_note(&mut tx.effects, HOST, NOW)));
        assert!(!again.await.unwrap(), "once a minute");
        assert_eq!(fleet.over_budget(HOST).refused, [(Over::Audit, 1, NOW)]);
    }
}
