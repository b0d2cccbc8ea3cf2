//! What the facade holds beside the store and nothing stores: the clock, who listens, what is in memory only.

use crate::aging::Round;
use crate::change::{Change, ChangeSeq, Changed, Effects};
use crate::clock::{Clock, SETTLES_MS};
use crate::damage::{Damage, Scrub};
use crate::download::Downloads;
use crate::facts::Facts;
use crate::former::Telling;
use crate::job::live::Board;
use crate::link::LinkKeys;
use crate::record::{ChannelId, SendCounts, Succession};
use crate::refused::Refused;
use crate::roster::Roster;
use crate::seal::MasterKey;
use crate::settings::{Driver, Settings};
use crate::standby::StandbyAsked;
use crate::store::Reader;
use crate::ticket::Knocking;
use crate::traffic::Traffic;
use schema::{CommandSeq, HostId, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::broadcast;

/// Changes that a slow listener may be behind before it is told that it lags.
const CHANGES_KEPT: usize = 4096;

/// Credits that may wait to be sent; each is said again.
const CREDITS_KEPT: usize = 256;

pub(crate) struct Context {
    /// What operations know, too.
    pub(crate) facts: Facts,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(crate) links: LinkKeys,
    pub(crate) changes: broadcast::Sender<Change>,
    pub(crate) wakes: broadcast::Sender<HostId>,
    pub(crate) roster: Roster,
    pub(crate) downloads: Downloads,
    /// Sealed messages to hosts that may be lost, for whoever holds their connections.
    pub(crate) credits: broadcast::Sender<(HostId, Vec<u8>)>,
    board: Mutex<Board>,
    change_seq: AtomicU64,
    pub(crate) traffic: Traffic,
    last_tick: AtomicU64,
    last_seen: AtomicU64,
    /// Since when the clock was not set back; `None` = nothing lies ahead of it.
    clock_since: Mutex<Option<Timestamp>>,
    /// When the plans of all hosts were looked through last, by the clock; 0 = not since the start.
    plans_reviewed_at: AtomicU64,
    /// Hosts whose connection has begun and whose hello on it has not been taken yet, and the last command that was
    /// acknowledged before it.
    began: Mutex<BTreeMap<HostId, CommandSeq>>,
    knocking: Mutex<Knocking>,
    aging: Mutex<Round>,
    /// The last look through the data file.
    scrub: Mutex<Option<Scrub>>,
    /// What can be read of the data file, once it was found damaged.
    damage: OnceLock<Arc<Damage>>,
    /// Who has the place of this server.
    succession: Mutex<Option<Arc<Succession>>>,
    /// Whether the server whose place this one has knows it.
    telling: Mutex<Telling>,
    /// When each standby has asked last, and by what mark it says what it has.
    standbys_asked: Mutex<BTreeMap<String, StandbyAsked>>,
    /// What each channel has sent since the start.
    sends: Mutex<BTreeMap<ChannelId, SendCounts>>,
}

impl Deref for Context {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

impl Context {
    pub(crate) fn new(driver: Driver, settings: Settings, master: MasterKey) -> Self {
        let Driver { now: clock, random } = driver;
        Self {
            facts: Facts::new(settings, master, clock(), random),
            clock,
            links: LinkKeys::default(),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            wakes: broadcast::Sender::new(CHANGES_KEPT),
            roster: Roster::default(),
            downloads: Downloads::default(),
            credits: broadcast::Sender::new(CREDITS_KEPT),
            board: Mutex::default(),
            change_seq: AtomicU64::new(0),
            traffic: Traffic::default(),
            last_tick: AtomicU64::new(0),
            last_seen: AtomicU64::new(0),
            clock_since: Mutex::default(),
            plans_reviewed_at: AtomicU64::new(0),
            began: Mutex::default(),
            knocking: Mutex::default(),
            aging: Mutex::default(),
            scrub: Mutex::default(),
            damage: OnceLock::new(),
            succession: Mutex::default(),
            telling: Mutex::default(),
            standbys_asked: Mutex::default(),
            sends: Mutex::default(),
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
    pub(crate) fn began(&self) -> MutexGuard<'_, BTreeMap<HostId, CommandSeq>> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Machines that were enrolled in a time of which this server knows nothing, and ask to be let in.
    pub(crate) fn knocking(&self) -> MutexGuard<'_, Knocking> {
        self.knocking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        /// Threads may ask in another order than they go on.
        const TOLERATED_MS: u64 = 1_000;
        let now = (self.clock)();
        if self.last_seen.swap(now.0, Ordering::Relaxed) > now.0.saturating_add(TOLERATED_MS) {
            self.clock_begins(now);
        }
        now
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

    pub(crate) fn aging(&self) -> MutexGuard<'_, Round> {
        lock(&self.aging)
    }

    pub(crate) fn scrub(&self) -> MutexGuard<'_, Option<Scrub>> {
        lock(&self.scrub)
    }

    /// What can be read of the data file; `None` = it is not known to be damaged.
    pub(crate) fn damage(&self) -> Option<&Arc<Damage>> {
        self.damage.get()
    }

    /// The data file was found damaged. That it was first counts.
    pub(crate) fn is_damaged(&self, damage: Damage) {
        let _ = self.damage.set(Arc::new(damage));
    }

    /// Who has the place of this server; `None` = nobody, as far as it knows.
    pub(crate) fn succession(&self) -> Option<Arc<Succession>> {
        lock(&self.succession).clone()
    }

    /// Whether nothing is begun and nothing written any more.
    pub(crate) fn only_reads(&self) -> bool {
        self.damage().is_some() || self.succession().is_some()
    }

    /// Whether anything may be changed still.
    pub(crate) fn may_change(&self) -> Result<(), Refused> {
        match self.succession() {
            None => Ok(()),
            Some(it) => Err(Refused::Superseded { incarnation: it.incarnation, url: it.url.clone() }),
        }
    }

    /// Another server has the place of this one: at each start, and when it is told.
    pub(crate) fn succeeded(&self, succession: Succession) {
        let Succession { incarnation, url, .. } = &succession;
        tracing::error!(%incarnation, url, "another server has the place of this one, which stands still: stop it");
        *lock(&self.succession) = Some(Arc::new(succession));
    }

    pub(crate) fn telling(&self) -> MutexGuard<'_, Telling> {
        lock(&self.telling)
    }

    /// When each standby has asked last, since the start.
    pub(crate) fn standbys_asked(&self) -> MutexGuard<'_, BTreeMap<String, StandbyAsked>> {
        lock(&self.standbys_asked)
    }

    /// What each channel has sent since the start.
    pub(crate) fn sends(&self) -> MutexGuard<'_, BTreeMap<ChannelId, SendCounts>> {
        lock(&self.sends)
    }

    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    /// The number of the newest change.
    pub(crate) fn change_seq(&self) -> ChangeSeq {
        ChangeSeq(self.change_seq.load(Ordering::Relaxed))
    }

    pub(crate) fn tell(&self, what: Changed) {
        let seq = ChangeSeq(self.change_seq.fetch_add(1, Ordering::Relaxed) + 1);
        // Nobody listens: nothing to do.
        let _ = self.changes.send(Change { seq, what });
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
        self.facts.committed(&effects, self.now());
        for host in &effects.relinked {
            self.links.forget(*host);
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
