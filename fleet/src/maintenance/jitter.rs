//! Where in its window a host begins: a fleet with one window does not begin all at once.
//!
//! All kinds of a host with one window begin at one time, so that a prune still comes after that night's forget.

use crate::record::Window;
use crate::units::MINUTE_MS;
use schema::HostId;

/// No host begins later after its window opens, in minutes…
const MOST: u16 = 60;
/// …and none after more than this part of it.
const PART: u16 = 4;
const DAY_MINUTES: u16 = 24 * 60;

/// How long after its window opens a host begins, in minutes: always the same for the same two.
#[must_use]
pub(crate) fn jitter(host: HostId, window: Window) -> u16 {
    let length = (window.until + DAY_MINUTES - window.from) % DAY_MINUTES;
    let choices = u64::from((length / PART).min(MOST)) + 1;
    let dice = mixed(&host.0) >> 32;
    u16::try_from((dice * choices) >> 32).unwrap_or(0)
}

/// Where in its period the first drill of a source group falls: any number, always the same for the same two.
pub(crate) fn phase(host: HostId, group: &str) -> u64 {
    mixed(&[&host.0[..], group.as_bytes()].concat())
}

/// FNV-1a, stirred once more: the last bytes differ least and must matter as much.
fn mixed(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

impl Window {
    /// The part of it that is a host's, `minutes` after it opens.
    pub(crate) const fn later_by(self, minutes: u16) -> Self {
        Self { from: (self.from + minutes) % DAY_MINUTES, ..self }
    }
}

/// The same as a duration.
pub(crate) fn jitter_ms(minutes: u16) -> u64 {
    u64::from(minutes) * MINUTE_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Timestamp;

    const NIGHT: Window = Window { from: 120, until: 360 };

    #[test]
    fn hosts_begin_all_over_the_first_hour_or_quarter_and_none_behind_it() {
        for (window, most) in [
            (NIGHT, 60u16),
            (Window { from: 120, until: 180 }, 15),
            (Window { from: 23 * 60, until: 60 }, 30),
            (Window { from: 120, until: 122 }, 0),
            (Window { from: 60, until: 0 }, 60),
        ] {
            let mut hosts = vec![0u32; usize::from(most) + 1];
            for n in 0..6_100u64 {
                // Ids of hosts that were added one after the other.
                let host = HostId::new(Timestamp(1_795_415_472_000 + n), [(n >> 8) as u8; 10]);
                hosts[usize::from(jitter(host, window))] += 1;
            }
            let even = 6_100 / u32::try_from(hosts.len()).unwrap();
            let is_even = hosts.iter().all(|count| (even / 2..=even * 2).contains(count));
            assert!(is_even, "{window:?} {hosts:?}");
        }
    }
}
