//! Who was not let in during the last day, for people to see. Bounded, no clock.

use super::throttle::PeerOrigin;
use std::cmp::Reverse;
use std::collections::HashMap;
use web::{NotLetIn, RefusedConnection, RefusedConnections};

/// The most rows.
const MAX: usize = 512;
/// The most rows of one origin, so that nobody fills the table from one place.
const MAX_OF_ORIGIN: usize = 32;
/// How long a row stays after its last try.
const STAYS_MS: u64 = 24 * 3_600_000;

/// Whose tries a row counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Tried {
    origin: PeerOrigin,
    name: u64,
    reason: NotLetIn,
}

struct RefusalCount {
    name: Option<String>,
    tries: u64,
    first_ms: u64,
    last_ms: u64,
    /// When it was let in after the last of them; `None` = it was not.
    let_in_ms: Option<u64>,
}

#[derive(Default)]
pub(super) struct Refusals {
    rows: HashMap<Tried, RefusalCount>,
    left_out: u64,
}

impl Refusals {
    /// Counts one; whether it is the first of its kind, or the first since it was let in. `name` is its hash, and the text, fit
    /// for a page.
    pub(super) fn note(
        &mut self,
        origin: PeerOrigin,
        name: Option<(u64, &str)>,
        reason: NotLetIn,
        now_ms: u64,
    ) -> bool {
        let key = Tried { origin, name: name.map_or(0, |(hash, _)| hash), reason };
        if let Some(row) = self.rows.get_mut(&key) {
            row.tries = row.tries.saturating_add(1);
            row.last_ms = now_ms;
            return row.let_in_ms.take().is_some();
        }
        self.make_room(origin, now_ms);
        let name = name.map(|(_, name)| name.to_owned());
        let row = RefusalCount { name, tries: 1, first_ms: now_ms, last_ms: now_ms, let_in_ms: None };
        self.rows.insert(key, row);
        true
    }

    /// Somebody of that name has come in from there: what was wrong with the name is mended, and the row says so as long
    /// as it stays. That there were too many of it is not mended by one that comes in.
    pub(super) fn let_in(&mut self, origin: PeerOrigin, name: u64, now_ms: u64) {
        let was_too_many = |reason| matches!(reason, NotLetIn::AccountFull | NotLetIn::ViewersFull);
        for (key, row) in &mut self.rows {
            if (key.origin, key.name) == (origin, name) && !was_too_many(key.reason) {
                row.let_in_ms.get_or_insert(now_ms);
            }
        }
    }

    fn make_room(&mut self, origin: PeerOrigin, now_ms: u64) {
        let of_origin = self.rows.keys().filter(|key| key.origin == origin).count();
        if of_origin < MAX_OF_ORIGIN && self.rows.len() < MAX {
            return;
        }
        self.forget(now_ms);
        if self.rows.keys().filter(|key| key.origin == origin).count() >= MAX_OF_ORIGIN {
            self.give_way(|key| key.origin == origin);
        } else if self.rows.len() >= MAX {
            let busiest = self.busiest();
            self.give_way(|key| Some(key.origin) == busiest);
        }
    }

    /// The origin with the most rows; of several the one whose oldest was tried the longest ago.
    fn busiest(&self) -> Option<PeerOrigin> {
        let mut origins: HashMap<PeerOrigin, (usize, u64)> = HashMap::new();
        for (key, row) in &self.rows {
            let (rows, oldest_ms) = origins.entry(key.origin).or_insert((0, u64::MAX));
            *rows += 1;
            *oldest_ms = row.last_ms.min(*oldest_ms);
        }
        let busiest = origins.into_iter().max_by_key(|(_, (rows, oldest_ms))| (*rows, Reverse(*oldest_ms)));
        busiest.map(|(origin, _)| origin)
    }

    /// The one of these that was tried the longest ago goes; first those that were let in since.
    fn give_way(&mut self, of: impl Fn(&Tried) -> bool) {
        let of_these = self.rows.iter().filter(|(key, _)| of(key));
        let oldest = of_these.min_by_key(|(_, row)| (row.let_in_ms.is_none(), row.last_ms));
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.rows.remove(&key);
            self.left_out += 1;
        }
    }

    fn forget(&mut self, now_ms: u64) {
        self.rows.retain(|_, row| now_ms.saturating_sub(row.last_ms) <= STAYS_MS);
    }

    /// Those of the last day, the last first.
    pub(super) fn list(&mut self, now_ms: u64) -> RefusedConnections {
        self.forget(now_ms);
        let mut rows: Vec<RefusedConnection> = self
            .rows
            .iter()
            .map(|(key, row)| RefusedConnection {
                origin: key.origin.to_string(),
                name: row.name.clone(),
                reason: key.reason,
                tries: row.tries,
                first_ms_ago: now_ms.saturating_sub(row.first_ms),
                last_ms_ago: now_ms.saturating_sub(row.last_ms),
                let_in_ms_ago: row.let_in_ms.map(|at_ms| now_ms.saturating_sub(at_ms)),
            })
            .collect();
        rows.sort_by(|a, b| {
            (a.last_ms_ago, &a.origin, &a.name, a.reason).cmp(&(b.last_ms_ago, &b.origin, &b.name, b.reason))
        });
        RefusedConnections { rows, left_out: self.left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};

    fn origin(n: u32) -> PeerOrigin {
        PeerOrigin::from(SocketAddr::from((Ipv4Addr::from(n), 1)))
    }

    #[test]
    fn tries_of_one_kind_are_one_row_that_stays_for_a_day_and_says_when_it_was_let_in() {
        let mut refusals = Refusals::default();
        assert!(refusals.note(origin(1), Some((7, "a")), NotLetIn::UnknownHost, 1_000));
        assert!(!refusals.note(origin(1), Some((7, "a")), NotLetIn::UnknownHost, 3_000));
        assert!(refusals.note(origin(1), Some((7, "a")), NotLetIn::AccountFull, 3_500));
        assert!(refusals.note(origin(2), Some((7, "a")), NotLetIn::UnknownHost, 4_000));
        assert!(refusals.note(origin(1), None, NotLetIn::NoTls, 5_000));
        let list = refusals.list(6_000);
        assert_eq!(list.rows.len(), 4);
        let first = &list.rows[3];
        assert_eq!((first.tries, first.first_ms_ago, first.last_ms_ago), (2, 5_000, 3_000));
        for at_ms in [6_000, 7_000] {
            refusals.let_in(origin(1), 7, at_ms);
        }
        let told = |refusals: &mut Refusals, now_ms| -> Vec<_> {
            let rows = refusals.list(now_ms).rows.into_iter();
            rows.map(|row| (row.origin, row.reason, row.tries, row.let_in_ms_ago)).collect()
        };
        let (one, two) = ("0.0.0.1".to_owned(), "0.0.0.2".to_owned());
        assert_eq!(
            told(&mut refusals, 8_000),
            [
                (one.clone(), NotLetIn::NoTls, 1, None),
                (two, NotLetIn::UnknownHost, 1, None),
                (one.clone(), NotLetIn::AccountFull, 1, None),
                (one.clone(), NotLetIn::UnknownHost, 2, Some(2_000)),
            ],
            "of the name and from there, and since the first that came in"
        );
        assert!(refusals.note(origin(1), Some((7, "a")), NotLetIn::UnknownHost, 9_000), "told anew");
        assert_eq!(told(&mut refusals, 9_000)[0], (one, NotLetIn::UnknownHost, 3, None));
        assert!(refusals.list(9_001 + STAYS_MS).rows.is_empty(), "a day later they are gone");
    }

    #[test]
    fn what_was_let_in_since_gives_way_first() {
        let mut refusals = Refusals::default();
        for n in 0..MAX_OF_ORIGIN as u64 {
            refusals.note(origin(1), Some((n, "x")), NotLetIn::ViewAccount, n);
        }
        refusals.let_in(origin(1), 20, 100);
        refusals.note(origin(1), Some((99, "y")), NotLetIn::ViewAccount, 101);
        let list = refusals.list(102);
        assert_eq!((list.rows.len(), list.left_out), (MAX_OF_ORIGIN, 1));
        assert!(list.rows.iter().all(|row| row.let_in_ms_ago.is_none()), "{list:?}");
    }

    #[test]
    fn one_origin_pushes_out_its_own_only_and_the_table_does_not_grow() {
        let mut refusals = Refusals::default();
        refusals.note(origin(1), Some((1, "nas")), NotLetIn::UnknownHost, 0);
        for n in 0..1_000 {
            refusals.note(origin(2), Some((n, "x")), NotLetIn::ViewAccount, n);
        }
        let list = refusals.list(1_000);
        assert_eq!((list.rows.len(), list.left_out), (1 + MAX_OF_ORIGIN, 1_000 - MAX_OF_ORIGIN as u64));
        assert_eq!(list.rows.last().unwrap().name.as_deref(), Some("nas"));
        for n in 0..5_000 {
            refusals.note(origin(n), None, NotLetIn::NotMqtt, 2_000);
        }
        assert_eq!(refusals.list(2_000).rows.len(), MAX);

        // Many origins with many names each give way to each other before the only row of another one.
        let mut refusals = Refusals::default();
        refusals.note(origin(1), Some((1, "nas")), NotLetIn::UnknownHost, 0);
        for n in 0..1_000 {
            refusals.note(origin(2 + n % 50), Some((u64::from(n), "x")), NotLetIn::ViewAccount, 1);
        }
        let list = refusals.list(1_000);
        assert_eq!(list.rows.len(), MAX);
        assert_eq!(list.rows.last().unwrap().name.as_deref(), Some("nas"));
    }
}
