//! How often a password may be tried: a pure table, driven with the time.
//!
//! # What is counted
//!
//! | key | whose tries | free | then waits |
//! |---|---|---|---|
//! | pair | of one name from one origin | 5 | 30 s, doubled by each, up to 15 min |
//! | account | of one name from everywhere | 20 | 5 s … 5 min |
//! | address | of one origin: names, not tries | 100 | 1 s … 5 min |
//! | device | from a browser that has signed in to this account before | 5 | 30 s … 15 min |
//! | session | of a person who is signed in and shows the password again | 5 | 30 s … 15 min |
//!
//! A known browser and a session answer for themselves alone. Who has signed in from an origin before is not held up
//! there by what others do elsewhere or with other names. So nobody can lock out a person who is known; and whoever
//! mistypes one name holds up neither the others behind the same address nor the name everywhere.
//!
//! Counts are let go after some quiet hours. The table is bounded: when it is full, the counts that hold nobody up
//! give way, the smallest first; those that do are never forgotten, and new keys then share one count of their kind.

use fleet::record::TryCount;
use schema::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A count is let go this long after its last try and its wait.
const QUIET_MS: u64 = 4 * 3_600_000;
/// The most counts remembered.
const MOST: usize = 4_096;
/// So many give way together.
const AT_ONCE: usize = 128;
/// The most of each that only a sign-in can make: known origins, and counts of known browsers.
const MOST_KNOWN: usize = 1_024;

/// Whose tries one row of the table counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pair,
    Account,
    Address,
    Device,
    Session,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Pair, Self::Account, Self::Address, Self::Device, Self::Session];

    const fn word(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Account => "account",
            Self::Address => "address",
            Self::Device => "device",
            Self::Session => "session",
        }
    }

    fn of(key: &str) -> Option<Self> {
        let (word, _) = key.split_once(' ')?;
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Tries without a wait, the first wait, the longest.
    const fn rule(self) -> (u32, u64, u64) {
        match self {
            Self::Pair | Self::Device | Self::Session => (5, 30_000, 15 * 60_000),
            Self::Account => (20, 5_000, 5 * 60_000),
            Self::Address => (100, 1_000, 5 * 60_000),
        }
    }

    /// How long the next try waits after so many failures.
    fn wait_ms(self, failures: u32) -> u64 {
        let (free, first_ms, most_ms) = self.rule();
        match failures.checked_sub(free) {
            None => 0,
            Some(over) => first_ms.saturating_mul(1 << over.min(20)).min(most_ms),
        }
    }

    /// Only a good sign-in makes keys of this kind.
    const fn is_known(self) -> bool {
        matches!(self, Self::Device | Self::Session)
    }
}

/// The key of an origin from which an account has signed in.
const KNOWN: &str = "known";

/// Nobody has had to wait because of this count yet.
const NEVER: Timestamp = Timestamp(0);
/// The end of the key that is shared by those for whom there is no room.
const OTHERS: &str = " others";

/// Who tries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who<'a> {
    /// Somebody at the sign-in.
    Stranger {
        /// See [`crate::origin::origin`].
        origin: &'a str,
        /// The name that is given.
        name: &'a str,
    },
    /// The same, at a browser that has signed in to this account before.
    Device([u8; 16]),
    /// A person who is signed in, by the secret of the session.
    Session(&'a str),
}

/// Whether a try may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admittance {
    /// It may try now.
    Go(Try),
    /// It has to wait, and how long.
    Wait {
        /// When the next one counts.
        until: Timestamp,
    },
}

/// What a wrong try leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// So many more before one has to wait.
    pub(crate) tries: u32,
    /// When none is left, the next one waits so long.
    pub(crate) wait_ms: u64,
}

/// A try that is under way. It counts already, so that many at once are no way around, but makes nobody wait for the
/// first time before it has failed; how many are under way is bounded by those who hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    /// The counts that it has raised.
    raised: Vec<String>,
    /// The key that goes when it was good, and that is remembered as known.
    own: String,
    known: Option<String>,
}

/// Somebody who has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldSignIn {
    /// `Some` = the origin; `None` = an account, from everywhere.
    pub(crate) origin: Option<String>,
    /// The name's mark, see [`mark_of`].
    pub(crate) name: Option<String>,
    pub(crate) failures: u32,
    pub(crate) until: Timestamp,
}

/// A name, short, in one way of writing; whatever is typed as a name may be a password and is not kept.
pub(crate) fn mark_of(name: &str) -> String {
    let hash = Sha256::digest(name.to_lowercase().as_bytes());
    data_encoding::HEXLOWER.encode(&hash[..16])
}

/// The table of those whose tries are counted.
#[derive(Default)]
pub(crate) struct Limiter {
    counts: HashMap<String, TryCount>,
    /// Origins from which an account has signed in, and when last.
    known: BTreeMap<String, Timestamp>,
    changed: BTreeSet<String>,
}

impl Limiter {
    /// The table as it was kept.
    pub(crate) fn restored(rows: Vec<(String, TryCount)>) -> Self {
        let mut limiter = Self::default();
        for (key, count) in rows {
            if key.starts_with(KNOWN) {
                limiter.known.insert(key, count.last_at);
            } else if Kind::of(&key).is_some() {
                limiter.counts.insert(key, count);
            }
        }
        limiter
    }

    /// What has changed since this was asked last, to be kept; `None` = the row goes.
    pub(crate) fn take_changes(&mut self) -> Vec<(String, Option<TryCount>)> {
        let changed = std::mem::take(&mut self.changed);
        let row = |key: String| {
            let known = self.known.get(&key).map(|at| TryCount { failures: 0, last_at: *at, until: *at });
            let row = self.counts.get(&key).copied().or(known);
            (key, row)
        };
        changed.into_iter().map(row).collect()
    }

    /// Asked before a password is looked at: whether this one may be tried now.
    pub(crate) fn begin(&mut self, now: Timestamp, who: Who<'_>) -> Admittance {
        let (own, known, others) = match who {
            Who::Device(id) => (format!("device {}", data_encoding::HEXLOWER.encode(&id)), None, Vec::new()),
            Who::Session(secret) => (format!("session {}", mark_of(secret)), None, Vec::new()),
            Who::Stranger { origin, name } => {
                let name = mark_of(name);
                let known = format!("{KNOWN} {origin} {name}");
                let others = match self.known.contains_key(&known) {
                    true => Vec::new(),
                    false => vec![format!("account {name}"), format!("address {origin}")],
                };
                (format!("pair {origin} {name}"), Some(known), others)
            }
        };
        let is_known = others.is_empty();
        let own = self.place(now, own, is_known);
        let others: Vec<String> = others.into_iter().map(|key| self.place(now, key, false)).collect();
        let waits = others.iter().chain([&own]).filter_map(|key| self.waits_until(now, key)).max();
        if let Some(until) = waits {
            return Admittance::Wait { until };
        }
        let is_new = !self.counts.contains_key(&own);
        let mut raised = vec![own.clone()];
        // An origin is counted by the names that were tried there: one that is mistyped often is one.
        raised.extend(others.into_iter().filter(|key| is_new || !key.starts_with("address ")));
        for key in &raised {
            self.raise(now, key);
        }
        Admittance::Go(Try { raised, own, known })
    }

    /// The password was wrong.
    pub(crate) fn failed(&mut self, now: Timestamp, wrong: &Try) -> Left {
        for key in &wrong.raised {
            if !self.counts.contains_key(key) {
                // Another try at the same time was good.
                self.raise(now, key);
            }
            if let (Some(kind), Some(count)) = (Kind::of(key), self.counts.get_mut(key)) {
                count.last_at = now;
                make_wait(count, now, kind);
                self.changed.insert(key.clone());
            }
        }
        let failures = self.counts.get(&wrong.own).map_or(0, |count| count.failures);
        let kind = Kind::of(&wrong.own).unwrap_or(Kind::Pair);
        Left { tries: kind.rule().0.saturating_sub(failures), wait_ms: kind.wait_ms(failures) }
    }

    /// The password was right.
    pub(crate) fn succeeded(&mut self, now: Timestamp, good: Try) {
        let own = self.counts.get(&good.own).map_or(0, |count| count.failures);
        if good.own.ends_with(OTHERS) {
            // One who is good is no word for all who share it.
            self.lower(&good.own, 1);
        } else {
            self.remove(&good.own);
        }
        for key in good.raised {
            match Kind::of(&key) {
                Some(Kind::Account) => self.lower(&key, own),
                Some(Kind::Address) => self.lower(&key, 1),
                _ => {}
            }
        }
        let Some(known) = good.known else { return };
        if !self.known.contains_key(&known) && self.known.len() >= MOST_KNOWN {
            let oldest = self.known.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.known.remove(&oldest);
                self.changed.insert(oldest);
            }
        }
        self.changed.insert(known.clone());
        self.known.insert(known, now);
    }

    /// The password was not looked at: the try does not count.
    pub(crate) fn undo(&mut self, unseen: Try) {
        for key in unseen.raised {
            self.lower(&key, 1);
        }
    }

    /// Who has to wait now, the longest wait first. Known browsers and sessions are their owners' affair.
    pub(crate) fn held(&self, now: Timestamp) -> Vec<HeldSignIn> {
        let held = |(key, count): (&String, &TryCount)| {
            let kind = Kind::of(key)?;
            let until = wait_of(now, kind, *count)?;
            let mut parts = key.split(' ').skip(1).map(str::to_owned);
            let (origin, name) = match kind {
                Kind::Pair => (parts.next(), parts.next()),
                Kind::Address => (parts.next(), None),
                Kind::Account => (None, parts.next()),
                Kind::Device | Kind::Session => return None,
            };
            Some(HeldSignIn { origin, name, failures: count.failures, until })
        };
        let mut all: Vec<HeldSignIn> = self.counts.iter().filter_map(held).collect();
        all.sort_by(|a, b| (b.until, &a.origin, &a.name).cmp(&(a.until, &b.origin, &b.name)));
        all
    }

    fn waits_until(&mut self, now: Timestamp, key: &str) -> Option<Timestamp> {
        let count = self.counts.get_mut(key)?;
        if count.last_at > now {
            // The clock went back: what was counted stays, its wait begins now.
            let wait_ms = count.until.ms_since(count.last_at);
            let until = if count.until == NEVER { NEVER } else { now.plus_ms(wait_ms) };
            *count = TryCount { last_at: now, until, ..*count };
        }
        if now.ms_since(count.last_at.max(count.until)) >= QUIET_MS {
            self.remove(key);
            return None;
        }
        wait_of(now, Kind::of(key)?, *count)
    }

    fn raise(&mut self, now: Timestamp, key: &str) {
        let Some(kind) = Kind::of(key) else { return };
        let count =
            self.counts.entry(key.to_owned()).or_insert(TryCount { failures: 0, last_at: now, until: NEVER });
        count.failures = count.failures.saturating_add(1);
        count.last_at = now;
        // Who had to wait before tries once, not several times at once.
        if count.until != NEVER {
            make_wait(count, now, kind);
        }
        self.changed.insert(key.to_owned());
    }

    fn lower(&mut self, key: &str, by: u32) {
        let Some(kind) = Kind::of(key) else { return };
        let Some(count) = self.counts.get_mut(key) else { return };
        count.failures = count.failures.saturating_sub(by);
        count.until = count.until.min(count.last_at.plus_ms(kind.wait_ms(count.failures)));
        if count.failures == 0 {
            self.counts.remove(key);
        }
        self.changed.insert(key.to_owned());
    }

    fn remove(&mut self, key: &str) {
        if self.counts.remove(key).is_some() {
            self.changed.insert(key.to_owned());
        }
    }

    /// The key under which this one is counted: itself, or, when there is no room, one that it shares.
    fn place(&mut self, now: Timestamp, key: String, is_known: bool) -> String {
        if self.counts.contains_key(&key) || self.has_room(now, is_known) {
            return key;
        }
        let kind = Kind::of(&key).unwrap_or(Kind::Pair);
        format!("{}{OTHERS}", kind.word())
    }

    /// Whether one more may be counted; makes room where that holds nobody up.
    fn has_room(&mut self, now: Timestamp, is_known: bool) -> bool {
        // What only those who once signed in can make has room of its own.
        let most = if is_known { MOST + MOST_KNOWN } else { MOST };
        if self.counts.len() < most {
            return true;
        }
        let mut give_way: Vec<(u32, Timestamp, String)> = self
            .counts
            .iter()
            .filter(|(key, count)| {
                let Some(kind) = Kind::of(key) else { return true };
                let is_over = now.ms_since(count.last_at.max(count.until)) >= QUIET_MS;
                let holds_up = wait_of(now, kind, **count).is_some();
                let is_shared = key.ends_with(OTHERS);
                is_over || (is_known == kind.is_known() && !holds_up && !is_shared)
            })
            .map(|(key, count)| (count.failures, count.last_at, key.clone()))
            .collect();
        // Some at once, so that not each new one looks through all.
        give_way.sort_unstable();
        give_way.truncate(AT_ONCE);
        give_way.iter().for_each(|(_, _, key)| self.remove(key));
        self.counts.len() < most
    }
}

/// Makes the next try wait as the rule says.
fn make_wait(count: &mut TryCount, now: Timestamp, kind: Kind) {
    match kind.wait_ms(count.failures) {
        0 => {}
        ms => count.until = count.until.max(now.plus_ms(ms)),
    }
}

/// Until when a count holds its key up; `None` = it does not. A wait is never longer than its rule's longest, whatever
/// the clock did.
fn wait_of(now: Timestamp, kind: Kind, count: TryCount) -> Option<Timestamp> {
    let until = count.until.min(now.plus_ms(kind.rule().2));
    (until > now).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);
    const MIN: u64 = 60_000;

    fn stranger<'a>(origin: &'a str, name: &'a str) -> Who<'a> {
        Who::Stranger { origin, name }
    }

    fn fail(limiter: &mut Limiter, now: Timestamp, who: Who<'_>) -> Result<u32, Timestamp> {
        match limiter.begin(now, who) {
            Admittance::Go(begun) => Ok(limiter.failed(now, &begun).tries),
            Admittance::Wait { until } => Err(until),
        }
    }

    fn succeed(limiter: &mut Limiter, now: Timestamp, who: Who<'_>) -> bool {
        match limiter.begin(now, who) {
            Admittance::Go(begun) => {
                limiter.succeeded(now, begun);
                true
            }
            Admittance::Wait { .. } => false,
        }
    }

    #[test]
    fn after_five_tries_each_waits_longer_than_the_one_before() {
        let (mut limiter, mut now) = (Limiter::default(), NOW);
        for left in (0..5).rev() {
            assert_eq!(fail(&mut limiter, now, stranger("a", "mira")), Ok(left));
        }
        for secs in [30, 60, 120, 240, 480, 900, 900] {
            let until = now.plus_ms(secs * 1_000);
            assert_eq!(fail(&mut limiter, now, stranger("a", "Mira")), Err(until), "after {secs} s");
            assert_eq!(fail(&mut limiter, Timestamp(until.0 - 1), stranger("a", "mira")), Err(until));
            now = until;
            assert_eq!(fail(&mut limiter, now, stranger("a", "mira")), Ok(0));
        }
        assert_eq!(
            fail(&mut limiter, now.plus_ms(QUIET_MS + 15 * MIN), stranger("a", "mira")),
            Ok(4),
            "it was quiet"
        );
    }

    #[test]
    fn one_who_fails_holds_up_nobody_else_behind_the_address() {
        let mut limiter = Limiter::default();
        for n in 0..90 {
            let _ = fail(&mut limiter, NOW, stranger("a", "mira"));
            let _ = fail(&mut limiter, NOW, stranger("a", &n.to_string()));
        }
        assert_eq!(fail(&mut limiter, NOW, stranger("a", "janne")), Ok(4));
        assert!(succeed(&mut limiter, NOW, stranger("b", "mira")), "nor the name elsewhere");
    }

    #[test]
    fn going_through_all_names_from_one_address_is_held_up() {
        let mut limiter = Limiter::default();
        let tries = (0..500).filter(|n| fail(&mut limiter, NOW, stranger("a", &n.to_string())).is_ok());
        assert_eq!(tries.count(), 100);
    }

    #[test]
    fn who_is_known_is_held_up_by_nobody_else() {
        let mut limiter = Limiter::default();
        assert!(succeed(&mut limiter, NOW, stranger("office", "mira")));
        for n in 0..500 {
            let _ = fail(&mut limiter, NOW, stranger("office", &n.to_string()));
            let _ = fail(&mut limiter, NOW, stranger(&n.to_string(), "mira"));
        }
        assert!(fail(&mut limiter, NOW, stranger("new", "mira")).is_err(), "the account is under attack");
        assert!(fail(&mut limiter, NOW, stranger("office", "janne")).is_err(), "the address too");
        assert!(succeed(&mut limiter, NOW, stranger("office", "mira")), "but she has been in from there");
        for _ in 0..20 {
            let _ = fail(&mut limiter, NOW, stranger("office", "mira"));
        }
        assert!(
            !succeed(&mut limiter, NOW, stranger("office", "mira")),
            "until somebody there tries her name"
        );
        assert!(succeed(&mut limiter, NOW, Who::Device([7; 16])), "and even then at her own browser");
        assert!(succeed(&mut limiter, NOW, Who::Session("hers")));
        for _ in 0..20 {
            let _ = fail(&mut limiter, NOW, Who::Device([8; 16]));
            let _ = fail(&mut limiter, NOW, Who::Session("another"));
        }
        assert!(succeed(&mut limiter, NOW, Who::Device([7; 16])));
        assert!(succeed(&mut limiter, NOW, Who::Session("hers")));
        assert!(!succeed(&mut limiter, NOW, Who::Device([8; 16])), "a known browser may not try for ever");
    }

    #[test]
    fn a_good_sign_in_takes_back_only_its_own_tries() {
        let mut limiter = Limiter::default();
        for n in 0..5 {
            for _ in 0..4 {
                let _ = fail(&mut limiter, NOW, stranger(&n.to_string(), "mira"));
            }
        }
        assert!(fail(&mut limiter, NOW, stranger("new", "mira")).is_err());
        let later = NOW.plus_ms(5_000);
        assert!(succeed(&mut limiter, later, stranger("0", "mira")));
        let account = limiter.counts[&format!("account {}", mark_of("mira"))];
        assert_eq!(account.failures, 16);
    }

    #[test]
    fn tries_at_the_same_time_make_nobody_wait_until_they_fail_and_then_all_count() {
        let mut limiter = Limiter::default();
        let begin = |limiter: &mut Limiter| match limiter.begin(NOW, stranger("a", "mira")) {
            Admittance::Go(begun) => begun,
            Admittance::Wait { .. } => panic!("it waits"),
        };
        let good: Vec<Try> = (0..12).map(|_| begin(&mut limiter)).collect();
        good.into_iter().for_each(|good| limiter.succeeded(NOW, good));
        assert!(limiter.counts.is_empty(), "{:?}", limiter.counts);
        let wrong: Vec<Try> = (0..12).map(|_| begin(&mut limiter)).collect();
        let right = begin(&mut limiter);
        let left: Vec<Left> = wrong.iter().map(|wrong| limiter.failed(NOW, wrong)).collect();
        assert!(left.iter().all(|left| *left == Left { tries: 0, wait_ms: 15 * MIN }), "{left:?}");
        assert!(fail(&mut limiter, NOW, stranger("a", "mira")).is_err());
        limiter.succeeded(NOW, right);
        assert_eq!(limiter.failed(NOW, &wrong[0]).tries, 4, "one that ends after a good one counts anew");
    }

    #[test]
    fn who_had_to_wait_gets_one_try_and_not_several_at_once() {
        let mut limiter = Limiter::default();
        for _ in 0..5 {
            let _ = fail(&mut limiter, NOW, stranger("a", "mira"));
        }
        let later = NOW.plus_ms(30_000);
        let begun =
            (0..10).filter(|_| matches!(limiter.begin(later, stranger("a", "mira")), Admittance::Go(_)));
        assert_eq!(begun.count(), 1);
    }

    #[test]
    fn a_try_that_was_not_looked_at_does_not_count() {
        let mut limiter = Limiter::default();
        for _ in 0..20 {
            let Admittance::Go(begun) = limiter.begin(NOW, stranger("a", "mira")) else { panic!("it waits") };
            limiter.undo(begun);
        }
        assert!(limiter.counts.is_empty());
    }

    #[test]
    fn strangers_can_not_flush_the_table() {
        let mut limiter = Limiter::default();
        for _ in 0..5 {
            let _ = fail(&mut limiter, NOW, stranger("attacker", "mira"));
            let _ = fail(&mut limiter, NOW, Who::Device([7; 16]));
        }
        for n in 0..2 * MOST {
            let _ = fail(&mut limiter, NOW.plus_ms(1), stranger(&n.to_string(), &format!("x{n}")));
        }
        assert!(limiter.counts.len() <= MOST + MOST_KNOWN, "{}", limiter.counts.len());
        assert!(fail(&mut limiter, NOW.plus_ms(2), stranger("attacker", "mira")).is_err());
        assert!(fail(&mut limiter, NOW.plus_ms(2), Who::Device([7; 16])).is_err());
        assert!(succeed(&mut limiter, NOW.plus_ms(2), stranger("home", "janne")));
    }

    #[test]
    fn when_all_are_held_up_new_ones_share_a_count_and_the_known_do_not() {
        let mut limiter = Limiter::default();
        assert!(succeed(&mut limiter, NOW, stranger("home", "janne")));
        for n in 0..MOST {
            let until = NOW.plus_ms(MIN);
            let count = TryCount { failures: 6, last_at: NOW, until };
            limiter.counts.insert(format!("pair {n} x"), count);
        }
        let tried =
            (0..50).filter(|n| fail(&mut limiter, NOW, stranger(&n.to_string(), "eve")).is_ok()).count();
        assert_eq!(tried, 5);
        assert_eq!(limiter.counts.len(), MOST + 3, "the shared ones come on top");
        assert!(succeed(&mut limiter, NOW, stranger("home", "janne")));
        assert!(succeed(&mut limiter, NOW, Who::Device([1; 16])));
    }

    #[test]
    fn what_was_counted_and_who_is_known_comes_back_after_a_restart() {
        let mut limiter = Limiter::default();
        assert!(succeed(&mut limiter, NOW, stranger("home", "mira")));
        for _ in 0..5 {
            let _ = fail(&mut limiter, NOW, stranger("a", "mira"));
        }
        let rows = limiter.take_changes().into_iter().filter_map(|(key, row)| Some((key, row?))).collect();
        assert!(limiter.take_changes().is_empty());
        let mut restored = Limiter::restored(rows);
        assert_eq!((&restored.counts, &restored.known), (&limiter.counts, &limiter.known));
        assert!(fail(&mut restored, NOW, stranger("a", "mira")).is_err());
        restored.succeeded(
            NOW,
            Try { raised: Vec::new(), own: format!("pair a {}", mark_of("mira")), known: None },
        );
        assert_eq!(restored.take_changes(), [(format!("pair a {}", mark_of("mira")), None)]);
    }

    #[test]
    fn a_clock_that_was_ahead_holds_nobody_up_for_longer_than_the_rule() {
        let mut limiter = Limiter::default();
        for _ in 0..5 {
            let _ = fail(&mut limiter, NOW.plus_ms(3_650 * 86_400_000), stranger("a", "mira"));
        }
        let Err(until) = fail(&mut limiter, NOW, stranger("a", "mira")) else { panic!("it is forgotten") };
        assert_eq!(until, NOW.plus_ms(30_000));
        assert_eq!(fail(&mut limiter, until, stranger("a", "mira")), Ok(0));
    }

    #[test]
    fn the_settings_are_told_who_waits() {
        let mut limiter = Limiter::default();
        for _ in 0..6 {
            let _ = fail(&mut limiter, NOW, stranger("192.0.2.1", "mira"));
            let _ = fail(&mut limiter, NOW, Who::Session("x"));
        }
        let held = limiter.held(NOW);
        assert_eq!(held.len(), 1);
        assert_eq!((held[0].origin.as_deref(), held[0].failures), (Some("192.0.2.1"), 5));
        assert_eq!(held[0].name, Some(mark_of("mira")));
        assert!(limiter.held(NOW.plus_ms(MIN)).is_empty());
    }
}
