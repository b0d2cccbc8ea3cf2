//! Counters of the gate, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the gate has seen, for the health page and metrics. Totals are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Number of hosts that are connected.
    pub hosts: usize,
    /// Number of enrolments under way.
    pub enrollments: usize,
    /// Number of viewers that are connected.
    pub viewers: usize,
    /// Connections that are not admitted yet.
    pub pending: usize,
    /// Commands that are sent and not acknowledged by the client.
    pub in_flight: u64,
    /// Connections accepted, total.
    pub accepted: u64,
    /// Connections admitted, total.
    pub admitted: u64,
    /// TLS handshakes that failed, total.
    pub handshakes_failed: u64,
    /// Connections that gave way or timed out before they were admitted, total.
    pub pending_dropped: u64,
    /// Logins refused, total.
    pub logins_refused: u64,
    /// Wrong logins turned away unsaid, because too many had failed before, total.
    pub logins_throttled: u64,
    /// Connections refused because there were too many, total.
    pub full: u64,
    /// Those among them that were viewers beyond the limit in all or of their account, total.
    pub viewers_full: u64,
    /// Publishes and subscriptions refused, total.
    pub refused: u64,
    /// Connections ended for what they sent, total.
    pub malformed: u64,
    /// Messages from hosts and enrolments, total.
    pub messages_in: u64,
    /// Bytes read, total.
    pub bytes_in: u64,
    /// Bytes written, total.
    pub bytes_out: u64,
    /// Number of retained topics.
    pub retained: usize,
    /// Size of the retained topics in bytes.
    pub retained_bytes: usize,
    /// How often the router to viewers was built; more than 1 means that it has died.
    pub router_built: u64,
    /// Changes that viewers were given later, with the retained set, because the router was busy; total.
    pub view_overflowed: u64,
}

/// The running totals.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) in_flight: Counter,
    pub(super) accepted: Counter,
    pub(super) admitted: Counter,
    pub(super) handshakes_failed: Counter,
    pub(super) pending_dropped: Counter,
    pub(super) logins_refused: Counter,
    pub(super) logins_throttled: Counter,
    pub(super) full: Counter,
    pub(super) viewers_full: Counter,
    pub(super) refused: Counter,
    pub(super) malformed: Counter,
    pub(super) messages_in: Counter,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
}

/// One of them.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn sub(&self, count: usize) {
        self.0.fetch_sub(count as u64, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
