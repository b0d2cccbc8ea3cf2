//! How often somebody may try to sign in: a pure table, driven with the time.

use schema::Timestamp;
use std::collections::HashMap;

/// Tries for one name from one address in a window.
pub(crate) const TRIES: u32 = 5;
/// Tries from one address, whatever the name.
const TRIES_OF_ADDRESS: u32 = 30;
/// How long a try counts.
const WINDOW_MS: u64 = 15 * 60_000;
/// The most (address, name) pairs remembered; when full, those whose window is over are dropped, then the oldest.
const MOST: usize = 4_096;

#[derive(Clone, Copy)]
struct Count {
    since: Timestamp,
    tries: u32,
}

/// Whether a try may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Yes, and if it fails so many are left.
    Go {
        /// Tries left after this one.
        left: u32,
    },
    /// No, until then.
    Wait {
        /// When the window is over.
        until: Timestamp,
    },
}

/// Counts tries. A try counts when it begins, so that many at once are no way around.
#[derive(Default)]
pub(crate) struct Limiter {
    counts: HashMap<(String, Option<String>), Count>,
}

impl Limiter {
    /// Counts one try.
    pub(crate) fn try_once(&mut self, now: Timestamp, address: &str, name: &str) -> Verdict {
        // A name is cut so that a long one is no way to fill the memory.
        let name = crate::format::cut(&name.to_lowercase(), 64);
        let of_address = self.count(now, (address.to_owned(), None), TRIES_OF_ADDRESS);
        if let Verdict::Wait { .. } = of_address {
            return of_address;
        }
        self.count(now, (address.to_owned(), Some(name)), TRIES)
    }

    /// Forgets the tries of a name that signed in.
    pub(crate) fn signed_in(&mut self, address: &str, name: &str) {
        self.counts.remove(&(address.to_owned(), Some(crate::format::cut(&name.to_lowercase(), 64))));
    }

    fn count(&mut self, now: Timestamp, key: (String, Option<String>), most: u32) -> Verdict {
        if !self.counts.contains_key(&key) && self.counts.len() >= MOST {
            self.make_room(now);
        }
        let count = self.counts.entry(key).or_insert(Count { since: now, tries: 0 });
        if now.ms_since(count.since) >= WINDOW_MS {
            *count = Count { since: now, tries: 0 };
        }
        if count.tries >= most {
            return Verdict::Wait { until: count.since.plus_ms(WINDOW_MS) };
        }
        count.tries += 1;
        Verdict::Go { left: most - count.tries }
    }

    fn make_room(&mut self, now: Timestamp) {
        self.counts.retain(|_, count| now.ms_since(count.since) < WINDOW_MS);
        while self.counts.len() >= MOST {
            let Some(oldest) =
                self.counts.iter().min_by_key(|(_, count)| count.since).map(|(key, _)| key.clone())
            else {
                return;
            };
            self.counts.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_try_waits_until_the_quarter_of_an_hour_is_over() {
        let mut limiter = Limiter::default();
        let now = Timestamp(1_000_000);
        for left in (0..TRIES).rev() {
            assert_eq!(limiter.try_once(now, "10.0.0.1", "mira"), Verdict::Go { left });
        }
        let until = now.plus_ms(WINDOW_MS);
        assert_eq!(limiter.try_once(now, "10.0.0.1", "Mira"), Verdict::Wait { until });
        assert_eq!(limiter.try_once(now, "10.0.0.2", "mira"), Verdict::Go { left: 4 }, "elsewhere");
        assert_eq!(limiter.try_once(until, "10.0.0.1", "mira"), Verdict::Go { left: 4 });
    }

    #[test]
    fn one_address_can_not_go_through_all_names() {
        let mut limiter = Limiter::default();
        let tries = (0..100)
            .filter(|n| matches!(limiter.try_once(Timestamp(5), "a", &n.to_string()), Verdict::Go { .. }));
        assert_eq!(tries.count(), TRIES_OF_ADDRESS as usize);
    }

    #[test]
    fn it_remembers_a_bounded_number() {
        let mut limiter = Limiter::default();
        for n in 0..3 * MOST as u64 {
            limiter.try_once(Timestamp(n), &n.to_string(), "mira");
        }
        assert!(limiter.counts.len() <= MOST + 1, "{}", limiter.counts.len());
    }
}
