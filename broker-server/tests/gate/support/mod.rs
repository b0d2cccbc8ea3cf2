//! What the tests share: a directory in memory, a gate with a server behind it, and a client made of raw bytes.

mod client;
mod directory;
mod tools;
mod world;

pub(crate) use client::{Client, Got, Hello, packet, publish, text, will};
pub(crate) use directory::Book;
pub(crate) use tools::{python_with_paho, run, tool};
pub(crate) use world::{Heard, Ingest, World, now, small};

use schema::HostId;
use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

/// How long anything may take, on a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the condition holds.
#[expect(clippy::disallowed_methods, reason = "a test that hangs must end")]
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Some host.
pub(crate) fn host(number: u8) -> HostId {
    HostId([number; 16])
}

/// The topic of a host.
pub(crate) fn topic(host: HostId, suffix: &str) -> String {
    let mut topic = format!("hf/1/{host}/");
    write!(topic, "{suffix}").unwrap();
    topic
}

/// Bytes of memory this process really uses.
pub(crate) fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next, below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    /// Some bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}
