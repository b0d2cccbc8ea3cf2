//! Token buckets per peer: for failing logins and for the audit. Bounded tables, no clock.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Where a peer comes from, coarse enough that nobody has many of them: the address, or its /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PeerOrigin(u64, u8);

/// As an operator writes it: `192.0.2.1`, `2001:db8::/64`.
impl fmt::Display for PeerOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(bits, 6) => write!(f, "{}/64", Ipv6Addr::from(u128::from(bits) << 64)),
            Self(bits, _) => write!(f, "{}", Ipv4Addr::from(bits as u32)),
        }
    }
}

impl From<SocketAddr> for PeerOrigin {
    fn from(peer: SocketAddr) -> Self {
        match peer.ip().to_canonical() {
            IpAddr::V4(address) => Self(u64::from(u32::from(address)), 4),
            IpAddr::V6(address) => Self((u128::from(address) >> 64) as u64, 6),
        }
    }
}

/// Buckets by key; each holds `burst` and gets one back every `refill_ms`.
pub(super) struct Buckets<K> {
    buckets: HashMap<K, Bucket>,
    burst: u64,
    refill_ms: u64,
    max: usize,
}

/// When it will be full again tells all about a bucket.
struct Bucket {
    full_at_ms: u64,
    refused: u32,
}

impl<K: Eq + Hash + Copy> Buckets<K> {
    pub(super) fn new(burst: u64, refill_ms: u64, max: usize) -> Self {
        Self { buckets: HashMap::new(), burst, refill_ms, max }
    }

    /// Whether there is something left.
    #[cfg(test)]
    fn has(&self, key: K, now_ms: u64) -> bool {
        self.buckets.get(&key).is_none_or(|bucket| self.left(bucket, now_ms))
    }

    fn left(&self, bucket: &Bucket, now_ms: u64) -> bool {
        bucket.full_at_ms.saturating_sub(now_ms) + self.refill_ms <= self.burst * self.refill_ms
    }

    /// Takes one; `Ok` with how many were refused since the last time, or that there is none.
    pub(super) fn take(&mut self, key: K, now_ms: u64) -> Result<u32, ()> {
        if !self.buckets.contains_key(&key) && !self.has_room(now_ms) {
            return Err(());
        }
        let (burst, refill_ms) = (self.burst, self.refill_ms);
        let bucket = self.buckets.entry(key).or_insert(Bucket { full_at_ms: now_ms, refused: 0 });
        let full_at_ms = bucket.full_at_ms.max(now_ms) + refill_ms;
        if full_at_ms - now_ms > burst * refill_ms {
            bucket.refused = bucket.refused.saturating_add(1);
            return Err(());
        }
        bucket.full_at_ms = full_at_ms;
        Ok(std::mem::take(&mut bucket.refused))
    }

    /// Whether one more bucket may be kept. Full ones go, then the one that is nearest to it; those that are empty stay,
    /// so that nobody gets a new one by filling the table.
    fn has_room(&mut self, now_ms: u64) -> bool {
        if self.buckets.len() < self.max {
            return true;
        }
        self.buckets.retain(|_, bucket| bucket.full_at_ms > now_ms);
        if self.buckets.len() < self.max {
            return true;
        }
        let not_empty = self.buckets.iter().filter(|(_, bucket)| self.left(bucket, now_ms));
        match not_empty.min_by_key(|(_, bucket)| bucket.full_at_ms).map(|(key, _)| *key) {
            Some(key) => self.buckets.remove(&key).is_some(),
            None => false,
        }
    }

    /// How many were refused of a key that is empty now, and in how many milliseconds it has one again.
    fn empty(&self, key: K, now_ms: u64) -> Option<(u32, u64)> {
        let bucket = self.buckets.get(&key).filter(|bucket| !self.left(bucket, now_ms))?;
        let one_at_ms = bucket.full_at_ms.saturating_sub((self.burst - 1) * self.refill_ms);
        Some((bucket.refused, one_at_ms.saturating_sub(now_ms)))
    }

    /// Fills the bucket of a key again, as after a success.
    pub(super) fn clear(&mut self, key: K) {
        self.buckets.remove(&key);
    }
}

/// The most origins and names of which it is remembered that they are held back.
const MAX_HELD: usize = 256;

/// How much is said about logins that fail.
///
/// Every login is looked at, however many have failed: what logs in here is a secret of 128 bits or more, which nobody
/// guesses, and to look costs one hash. So whoever has the right one is let in, whatever others do at the same address
/// or with the same name. Those that fail run out per name and origin, and per origin: they are then turned away with
/// "unavailable", and neither logged nor audited.
pub(super) struct LoginThrottle {
    by_name: Buckets<(PeerOrigin, u64)>,
    by_origin: Buckets<PeerOrigin>,
    /// Who ran out, with the name that was given; `None` = the origin as a whole.
    held: BTreeMap<(PeerOrigin, Option<u64>), String>,
}

/// Somebody whose failing logins are held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The address, or the /64 with IPv6.
    pub origin: String,
    /// The name that is tried; `None` = one name after the other.
    pub username: Option<String>,
    /// Tries that were turned away since it began.
    pub refused: u32,
    /// When the next one is answered again, in milliseconds from now.
    pub for_ms: u64,
}

impl LoginThrottle {
    pub(super) fn new() -> Self {
        Self {
            by_name: Buckets::new(10, 6_000, 4_096),
            by_origin: Buckets::new(100, 1_000, 4_096),
            held: BTreeMap::new(),
        }
    }

    /// Counts a login that failed; whether it is answered and told of as such. `username` is fit for a log.
    pub(super) fn failed(&mut self, peer: SocketAddr, name: u64, username: &str, now_ms: u64) -> bool {
        let origin = PeerOrigin::from(peer);
        let by_name = self.by_name.take((origin, name), now_ms).is_ok();
        let by_origin = self.by_origin.take(origin, now_ms).is_ok();
        if !by_name {
            self.hold((origin, Some(name)), username, now_ms);
        }
        if !by_origin {
            self.hold((origin, None), "", now_ms);
        }
        by_name && by_origin
    }

    pub(super) fn succeeded(&mut self, peer: SocketAddr, name: u64) {
        let origin = PeerOrigin::from(peer);
        self.by_name.clear((origin, name));
        self.held.remove(&(origin, Some(name)));
    }

    /// Who is held back now.
    pub(super) fn held(&mut self, now_ms: u64) -> Vec<Held> {
        self.forget(now_ms);
        let row = |(key, username): (&(PeerOrigin, Option<u64>), &String)| {
            let (refused, for_ms) = self.emptiness(*key, now_ms)?;
            let username = key.1.map(|_| username.clone());
            Some(Held { origin: key.0.to_string(), username, refused, for_ms })
        };
        self.held.iter().filter_map(row).collect()
    }

    fn hold(&mut self, key: (PeerOrigin, Option<u64>), username: &str, now_ms: u64) {
        if self.held.len() >= MAX_HELD {
            self.forget(now_ms);
        }
        if self.held.len() < MAX_HELD {
            self.held.entry(key).or_insert_with(|| username.to_owned());
        }
    }

    fn forget(&mut self, now_ms: u64) {
        let held = std::mem::take(&mut self.held);
        self.held = held.into_iter().filter(|(key, _)| self.emptiness(*key, now_ms).is_some()).collect();
    }

    fn emptiness(&self, (origin, name): (PeerOrigin, Option<u64>), now_ms: u64) -> Option<(u32, u64)> {
        match name {
            Some(name) => self.by_name.empty((origin, name), now_ms),
            None => self.by_origin.empty(origin, now_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_runs_out_and_fills_again_and_counts_what_it_refused() {
        let mut buckets = Buckets::new(3, 1000, 10);
        assert_eq!([0; 5].map(|_| buckets.take('a', 0)), [Ok(0), Ok(0), Ok(0), Err(()), Err(())]);
        assert!(!buckets.has('a', 999));
        assert!(buckets.has('a', 1000));
        assert_eq!(buckets.take('a', 1000), Ok(2));
        assert_eq!(buckets.take('a', 1000), Err(()));
        assert_eq!(buckets.take('b', 1000), Ok(0));
        buckets.clear('a');
        assert_eq!(buckets.take('a', 1000), Ok(0));
    }

    #[test]
    fn the_table_does_not_grow_and_nobody_gets_a_new_bucket_by_filling_it() {
        let mut buckets = Buckets::new(3, 1000, 10);
        for _ in 0..4 {
            let _ = buckets.take(5000, 0);
        }
        for key in 0..1000 {
            let _ = buckets.take(key, 0);
        }
        assert!(buckets.buckets.len() <= 10);
        assert!(!buckets.has(5000, 0), "the empty one stays");
        let mut full = Buckets::new(1, 1000, 10);
        assert_eq!((0..1000).filter(|key| full.take(*key, 0).is_ok()).count(), 10, "all are empty: no room");
        assert_eq!(full.take(2000, 1000), Ok(0));
    }

    #[test]
    fn failures_run_out_per_name_and_per_origin_and_are_shown_until_they_fill_again() {
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut throttle = LoginThrottle::new();
        let told = (0..30).filter(|_| throttle.failed(peer, 7, "barn", 0)).count();
        assert_eq!(told, 10);
        let shown = Held {
            origin: "192.0.2.1".to_owned(),
            username: Some("barn".to_owned()),
            refused: 20,
            for_ms: 6_000,
        };
        assert_eq!(throttle.held(0), [shown]);
        assert!(throttle.failed(peer, 8, "attic", 0), "another name");
        assert!(throttle.failed(SocketAddr::from(([192, 0, 2, 2], 1)), 7, "barn", 0), "another address");
        assert!(throttle.held(6_000).is_empty());
        for name in 100..1000 {
            throttle.failed(peer, name, "x", 6_000);
        }
        let held = throttle.held(6_000);
        assert_eq!((held.len(), &held[0].username), (1, &None), "{held:?}");
        for _ in 0..30 {
            throttle.failed(peer, 7, "barn", 9_000);
        }
        throttle.succeeded(peer, 7);
        assert!(throttle.held(9_000).iter().all(|held| held.username.is_none()));
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let mut throttle = LoginThrottle::new();
        for name in 0..1000 {
            let peer = SocketAddr::from(([192, 0, 2, (name % 200) as u8], 1));
            for _ in 0..12 {
                throttle.failed(peer, name, "x", 0);
            }
        }
        assert!(throttle.held.len() <= MAX_HELD);
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_origin() {
        let origin = |text: &str| PeerOrigin::from(SocketAddr::new(text.parse().unwrap(), 1));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:2"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_eq!(origin("2001:db8::1").to_string(), "2001:db8::/64");
        assert_eq!(origin("::ffff:192.0.2.1").to_string(), "192.0.2.1");
    }
}
