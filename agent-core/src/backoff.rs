/// How long to wait before the next connect: doubles from a second to a minute, each time between half and one and
/// a half of that, so that many agents don't come back in the same second. After a refused login, which somebody has to
/// mend, from half a minute to a quarter of an hour.
#[derive(Clone, Debug)]
pub struct Backoff {
    attempt: u32,
    random: u64,
}

const FIRST_MS: u64 = 1_000;
const LONGEST_MS: u64 = 60_000;
const FIRST_REFUSED_MS: u64 = 30_000;
const LONGEST_REFUSED_MS: u64 = 900_000;

impl Backoff {
    /// Delays that differ with `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // The generator below would stay at zero.
        Self { attempt: 0, random: seed ^ 0x9E37_79B9_7F4A_7C15 | 1 }
    }

    /// The next delay, in milliseconds.
    pub fn next_ms(&mut self) -> u64 {
        self.next_between(FIRST_MS, LONGEST_MS)
    }

    /// The next delay after a refused login, in milliseconds.
    pub fn next_refused_ms(&mut self) -> u64 {
        self.next_between(FIRST_REFUSED_MS, LONGEST_REFUSED_MS)
    }

    fn next_between(&mut self, first_ms: u64, longest_ms: u64) -> u64 {
        let base = first_ms.saturating_mul(1 << self.attempt.min(10)).min(longest_ms);
        self.attempt = self.attempt.saturating_add(1);
        (base / 2 + self.draw() % base).min(longest_ms)
    }

    /// Begins again with the shortest delay.
    pub const fn reset(&mut self) {
        self.attempt = 0;
    }

    const fn draw(&mut self) -> u64 {
        // xorshift64: spreads agents, keeps no secret.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_minute_and_begin_again_after_a_reset() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(seed);
            assert!((500..=1_500).contains(&backoff.next_ms()));
            for _ in 0..50 {
                assert!(backoff.next_ms() <= 60_000);
            }
            assert!(backoff.next_ms() >= 30_000);
            backoff.reset();
            assert!(backoff.next_ms() <= 1_500);
        }
    }

    #[test]
    fn delays_after_a_refused_login_grow_to_a_quarter_of_an_hour() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(seed);
            assert!((15_000..=45_000).contains(&backoff.next_refused_ms()));
            for _ in 0..50 {
                assert!(backoff.next_refused_ms() <= 900_000);
            }
            assert!(backoff.next_refused_ms() >= 450_000);
            assert!(backoff.next_ms() <= 60_000);
        }
    }

    #[test]
    fn a_hundred_agents_do_not_come_back_in_the_same_100_ms() {
        let mut at: [u32; 16] = [0; 16];
        for seed in 0..100 {
            let delay = Backoff::new(seed * 7919).next_ms();
            at[usize::try_from(delay / 100).expect("small")] += 1;
        }
        assert!(at.iter().all(|&count| count < 30), "{at:?}");
    }
}
