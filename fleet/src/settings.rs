//! What the program passes in: the clock, the random source, and what has to be known of the server.

use schema::Timestamp;
use std::sync::Arc;

/// Fills a buffer with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What the program passes in, so that nothing in this crate reads it: the clock and the random source.
#[derive(Clone)]
pub struct Driver {
    /// The wall clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Fills a buffer from a cryptographic random source.
    pub random: Random,
}

/// What has to be known of the server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What agents dial, in the order in which they try; see [`schema::address`].
    pub mqtt_addresses: Vec<String>,
    /// The certificates (DER) of the server's own authorities: the present one, and the next when there is one.
    pub authorities: Vec<Vec<u8>>,
    /// IANA name of the server's own time zone: what maintenance goes by where nobody has said otherwise. UTC when
    /// there is no such zone.
    pub timezone: String,
    /// How long and how much of what ages is kept.
    pub keep: AgingLimits,
}

impl Settings {
    /// Those of a server that does not run, while its data file is put right.
    pub(crate) fn of_nobody(mqtt_addresses: Vec<String>) -> Self {
        Self {
            mqtt_addresses,
            authorities: Vec::new(),
            timezone: String::new(),
            keep: AgingLimits::default(),
        }
    }
}

#[cfg(test)]
impl Settings {
    pub(crate) fn for_tests() -> Self {
        Self {
            mqtt_addresses: vec!["backup.example:8883".to_owned()],
            authorities: vec![vec![7; 40]],
            timezone: "UTC".to_owned(),
            keep: AgingLimits::default(),
        }
    }
}

/// How long and how much of what ages is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgingLimits {
    /// Jobs and logs, in days after their end.
    pub jobs_days: u32,
    /// What the jobs and logs of one host may take of the data file, in bytes, about.
    pub host_bytes: u64,
}

impl Default for AgingLimits {
    fn default() -> Self {
        Self { jobs_days: 400, host_bytes: 256 << 20 }
    }
}
