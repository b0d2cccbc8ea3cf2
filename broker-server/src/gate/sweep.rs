//! The task that ends who is silent.

use super::shared::Shared;
use crate::tasks::Beat;
use std::{sync::Arc, time::Duration};

/// How often the heap's first entry is looked at.
const TICK: Duration = Duration::from_millis(250);

/// Sweeps until the gate stops.
pub(super) async fn run(shared: Arc<Shared>, beat: Beat) {
    let stall_ms = u64::try_from(shared.limits.stall_timeout.as_millis()).unwrap_or(u64::MAX);
    let mut stopping = shared.stopping.subscribe();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = beat.waits(tokio::time::sleep(TICK)) => {}
        }
        let now_ms = shared.clock.now_ms();
        shared.deadlines.sweep(now_ms, stall_ms);
        shared.counters.pending_dropped.add(shared.pending.sweep(now_ms));
    }
}
