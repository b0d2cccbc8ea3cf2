//! How often feeds may be asked for from one place: a pure table, driven with the time.

use schema::Timestamp;
use std::collections::BTreeMap;

/// So many requests from one origin are taken at once, and as many in each [`REFILL_MS`] after that.
const MOST: u32 = 120;
const REFILL_MS: u64 = 60_000;
/// The most origins that are told apart; beyond, all others share one count.
const MOST_ORIGINS: usize = 1_024;
/// The count of those for whom there is no room.
const OTHERS: &str = "others";

#[derive(Clone, Copy)]
struct Window {
    since: Timestamp,
    taken: u32,
}

impl Window {
    fn is_over(&self, now: Timestamp) -> bool {
        now < self.since || now.ms_since(self.since) >= REFILL_MS
    }
}

/// Who has asked how often.
#[derive(Default)]
pub(crate) struct Rate {
    windows: BTreeMap<String, Window>,
}

impl Rate {
    /// Takes one request from there; refused = after so many seconds the next one is taken.
    pub(crate) fn take(&mut self, origin: &str, now: Timestamp) -> Result<(), u64> {
        if self.windows.len() >= MOST_ORIGINS && !self.windows.contains_key(origin) {
            self.windows.retain(|_, window| !window.is_over(now));
        }
        let is_full = self.windows.len() >= MOST_ORIGINS && !self.windows.contains_key(origin);
        let key = if is_full { OTHERS } else { origin };
        let fresh = Window { since: now, taken: 0 };
        let window = self.windows.entry(key.to_owned()).or_insert(fresh);
        if window.is_over(now) {
            *window = fresh;
        }
        if window.taken >= MOST {
            return Err((REFILL_MS - now.ms_since(window.since)).div_ceil(1_000));
        }
        window.taken += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_its_share_and_takes_none_of_anothers() {
        let (mut rate, now) = (Rate::default(), Timestamp(1_780_000_000_000));
        for _ in 0..MOST {
            assert_eq!(rate.take("192.0.2.1", now), Ok(()));
        }
        assert_eq!(rate.take("192.0.2.1", now), Err(60));
        assert_eq!(rate.take("192.0.2.1", now.plus_ms(REFILL_MS - 1)), Err(1));
        assert_eq!(rate.take("192.0.2.2", now), Ok(()));
        assert_eq!(rate.take("192.0.2.1", now.plus_ms(REFILL_MS)), Ok(()));
        // A clock that is set back holds nobody up.
        assert_eq!(rate.take("192.0.2.1", now), Ok(()));
    }

    #[test]
    fn the_table_is_bounded_and_who_finds_no_room_shares_one_count() {
        let (mut rate, now) = (Rate::default(), Timestamp(1_780_000_000_000));
        for number in 0..MOST_ORIGINS {
            assert_eq!(rate.take(&format!("o{number}"), now), Ok(()));
        }
        let taken = (0..2 * MOST).filter(|number| rate.take(&format!("more{number}"), now).is_ok()).count();
        assert_eq!(taken, MOST as usize);
        assert_eq!(rate.windows.len(), MOST_ORIGINS + 1);
        assert_eq!(rate.take("o1", now), Ok(()), "known ones are not held up by that");
        assert_eq!(rate.take("again", now.plus_ms(REFILL_MS)), Ok(()));
        assert_eq!(rate.windows.len(), 1);
    }
}
