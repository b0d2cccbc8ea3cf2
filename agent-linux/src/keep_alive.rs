//! How often a silent connection says that it is there: as asked for, and less when the network cuts it sooner.
//!
//! A router or load balancer drops what is idle for longer than it likes, and tells nobody. Two connections in a row that
//! end at the same age, counted from the last thing that came over them, say how long that is. Pure.

use std::time::Duration;

/// The keep-alive when the command line names none, in seconds.
pub const USUAL_SECS: u16 = 60;
/// What the command line may ask for, in seconds.
pub const SECS: std::ops::RangeInclusive<u16> = 5..=1_200;
/// Ages that differ by no more than this are the same.
const SAME: Duration = Duration::from_secs(3);

/// The MQTT keep-alive: how often the agent shows that it is there. It becomes shorter where something in between cuts
/// connections that are silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    secs: u16,
    /// The age at which the last connection was cut.
    last_cut: Option<Duration>,
}

impl KeepAlive {
    /// Begins with this period, in seconds.
    #[must_use]
    pub const fn new(secs: u16) -> Self {
        Self { secs, last_cut: None }
    }

    /// The keep-alive of the next connection.
    #[must_use]
    pub const fn period(&self) -> Duration {
        Duration::from_secs(self.secs as u64)
    }

    /// A connection that stood has ended by itself, so long after anything came over it. Says whether it is oftener from
    /// now on.
    pub fn cut(&mut self, idle: Duration) -> bool {
        let before = self.last_cut.replace(idle);
        // One that was busy was not cut for being silent.
        let is_same = idle > 2 * SAME && before.is_some_and(|before| before.abs_diff(idle) <= SAME);
        if !is_same {
            return false;
        }
        self.last_cut = None;
        // Who hears nothing of the cut finds out when an answer stays away, after up to two periods.
        let cut = idle.min(self.period()).as_secs();
        let least = self.secs.min(*SECS.start());
        let secs = u16::try_from(cut * 2 / 3).unwrap_or(u16::MAX).clamp(least, self.secs);
        let is_less = secs < self.secs;
        self.secs = secs;
        is_less
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ages at which a network that drops what is silent for `limit` cuts one connection after the other, until
    /// none is cut any more; told at once, or found out by the missing answer.
    fn learn(limit: u64, is_told: bool) -> (u16, usize) {
        let mut keep_alive = KeepAlive::new(USUAL_SECS);
        let mut cuts = 0;
        while keep_alive.period().as_secs() >= limit && cuts < 100 {
            let period = keep_alive.period().as_secs();
            keep_alive.cut(Duration::from_secs(if is_told { limit } else { 2 * period }));
            cuts += 1;
        }
        (keep_alive.secs, cuts)
    }

    #[test]
    fn it_goes_below_what_the_network_cuts_at() {
        for limit in 10..=60 {
            for is_told in [true, false] {
                let (secs, cuts) = learn(limit, is_told);
                assert!(u64::from(secs) < limit && cuts <= 10, "{limit} {is_told}: {secs} after {cuts}");
            }
        }
        assert_eq!(learn(50, true), (33, 2));
    }

    #[test]
    fn cuts_at_other_ages_and_of_busy_connections_change_nothing() {
        let mut keep_alive = KeepAlive::new(USUAL_SECS);
        for secs in [50, 40, 30, 50, 10, 1, 1, 0, 0] {
            assert!(!keep_alive.cut(Duration::from_secs(secs)));
        }
        assert_eq!(keep_alive.period(), Duration::from_secs(60));
        let mut short = KeepAlive::new(*SECS.start());
        assert!(!short.cut(Duration::from_secs(9)) && !short.cut(Duration::from_secs(9)));
        assert_eq!(short.period(), Duration::from_secs(5), "never below the least");
    }
}
