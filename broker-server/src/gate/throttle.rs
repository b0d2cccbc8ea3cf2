//! Token buckets per peer: for failing logins and for the audit. Bounded tables, no clock.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    net::{IpAddr, SocketAddr},
};

/// Where a peer comes from, coarse enough that nobody has many of them: the address, or its /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin(u64, u8);

impl From<SocketAddr> for Origin {
    fn from(peer: SocketAddr) -> Self {
        match peer.ip().to_canonical() {
            IpAddr::V4(address) => Self(u64::from(u32::from(address)), 4),
            IpAddr::V6(address) => Self((u128::from(address) >> 64) as u64, 6),
        }
    }
}

/// Accounts that are known to be welcome, with where from.
const MAX_KNOWN: usize = 1024;

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
    pub(super) fn has(&self, key: K, now_ms: u64) -> bool {
        self.buckets.get(&key).is_none_or(|bucket| self.left(bucket, now_ms))
    }

    fn left(&self, bucket: &Bucket, now_ms: u64) -> bool {
        bucket.full_at_ms.saturating_sub(now_ms) + self.refill_ms <= self.burst * self.refill_ms
    }

    /// Takes one; `Ok` with how many were refused since the last time, or that there is none.
    pub(super) fn take(&mut self, key: K, now_ms: u64) -> Result<u32, ()> {
        if !self.buckets.contains_key(&key) && self.buckets.len() >= self.max {
            self.buckets.retain(|_, bucket| bucket.full_at_ms > now_ms);
            if self.buckets.len() >= self.max {
                // Under attack from everywhere: begin anew rather than grow.
                self.buckets.clear();
            }
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

    /// Fills it.
    pub(super) fn clear(&mut self, key: K) {
        self.buckets.remove(&key);
    }
}

/// Who may try to log in.
///
/// Wrong passwords of one name from one origin run out soon. Names that are no host ids (accounts with passwords
/// that people chose, and that are slow to check) run out per origin as well. So a neighbour behind the same address
/// who fails all day locks out no host, and no account that has been in from there before.
pub(super) struct LoginThrottle {
    known: HashSet<(Origin, u64)>,
    by_name: Buckets<(Origin, u64)>,
    by_origin: Buckets<Origin>,
}

impl LoginThrottle {
    pub(super) fn new() -> Self {
        Self {
            known: HashSet::new(),
            by_name: Buckets::new(10, 6_000, 16_384),
            by_origin: Buckets::new(100, 1_000, 4_096),
        }
    }

    pub(super) fn allows(&self, peer: SocketAddr, name: u64, is_host: bool, now_ms: u64) -> bool {
        let origin = Origin::from(peer);
        let fair = is_host || self.known.contains(&(origin, name)) || self.by_origin.has(origin, now_ms);
        fair && self.by_name.has((origin, name), now_ms)
    }

    pub(super) fn failed(&mut self, peer: SocketAddr, name: u64, is_host: bool, now_ms: u64) {
        let origin = Origin::from(peer);
        let _ = self.by_name.take((origin, name), now_ms);
        if !is_host {
            let _ = self.by_origin.take(origin, now_ms);
        }
    }

    pub(super) fn succeeded(&mut self, peer: SocketAddr, name: u64, is_host: bool) {
        let key = (Origin::from(peer), name);
        self.by_name.clear(key);
        if !is_host && self.known.len() < MAX_KNOWN {
            self.known.insert(key);
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
    fn the_table_does_not_grow() {
        let mut buckets = Buckets::new(3, 1000, 10);
        for key in 0..1000 {
            let _ = buckets.take(key, 0);
        }
        assert!(buckets.buckets.len() <= 10);
    }

    #[test]
    fn a_failing_neighbour_locks_out_neither_hosts_nor_for_long() {
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut throttle = LoginThrottle::new();
        for name in 0..1000 {
            throttle.failed(peer, name, false, 0);
        }
        assert!(!throttle.allows(peer, 5000, false, 0));
        assert!(throttle.allows(peer, 5000, true, 0));
        assert!(throttle.allows(SocketAddr::from(([192, 0, 2, 2], 1)), 5000, false, 0));
        assert!(throttle.allows(peer, 5000, false, 1000));
        for _ in 0..10 {
            throttle.failed(peer, 7, true, 0);
        }
        assert!(!throttle.allows(peer, 7, true, 0));
        throttle.succeeded(peer, 7, true);
        assert!(throttle.allows(peer, 7, true, 0));
        // An account that was in from there before is not locked out by others' failures, but by its own.
        throttle.succeeded(peer, 5001, false);
        for name in 0..1000 {
            throttle.failed(peer, name, false, 0);
        }
        assert!(throttle.allows(peer, 5001, false, 0));
        for _ in 0..10 {
            throttle.failed(peer, 5001, false, 0);
        }
        assert!(!throttle.allows(peer, 5001, false, 0));
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_origin() {
        let origin = |text: &str| Origin::from(SocketAddr::new(text.parse().unwrap(), 1));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:2"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
    }
}
