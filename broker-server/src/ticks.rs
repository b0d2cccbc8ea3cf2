//! What time alone starts. The fleet decides; here is when it is asked.

use crate::{server_needs::ServerNeeds, tasks::Beat};
use fleet::{Change, Changed, Fleet};
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};

/// How often what ages is looked at.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often maintenance is decided.
pub(crate) const MAINTAIN_EVERY: Duration = Duration::from_secs(60);
/// How often what waits is looked at, at least: clocks jump.
pub(crate) const TICK_EVERY: Duration = Duration::from_secs(30);
/// How often incidents are planned, at least: some change with the time alone.
pub(crate) const INCIDENTS_EVERY: Duration = Duration::from_secs(30);
/// How long that rests, however many hosts change.
const INCIDENTS_PAUSE: Duration = Duration::from_secs(2);
/// How long a tick rests, however much is due.
const TICK_PAUSE: Duration = Duration::from_millis(100);

/// Every half minute lets the fleet end what has become too old: commands, sessions, tokens.
pub(crate) async fn sweep(fleet: Fleet, beat: Beat) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.waits(tick.tick()).await;
        // Where nothing else is written, nobody would find out that it can be again.
        if fleet.writer_counts().failing > 0 {
            let _ = beat.waits(fleet.prove_writable()).await;
        }
        fleet.sweep().await;
    }
}

/// Starts the maintenance that is due, once a minute.
pub(crate) async fn maintain(fleet: Fleet, beat: Beat) {
    let mut tick = tokio::time::interval(MAINTAIN_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.waits(tick.tick()).await;
        fleet.maintain().await;
    }
}

/// Runs schedules and what waits: at its time, and each half a minute.
pub(crate) async fn tick(fleet: Fleet, beat: Beat) {
    let mut changes = fleet.changes();
    loop {
        let is_well = fleet.tick().await;
        let next = fleet.next_tick_at().unwrap_or_else(|error| {
            tracing::error!(%error, "it can't be told when the next backup is due");
            None
        });
        let next = next.filter(|_| is_well);
        let wait = next.map_or(TICK_EVERY, |at| Duration::from_millis(at.ms_since(fleet.now())));
        tokio::time::sleep(TICK_PAUSE).await;
        let due = tokio::time::sleep(wait.min(TICK_EVERY));
        tokio::select! {
            () = beat.waits(due) => {}
            ended = times_changed(&mut changes) => if ended { return },
        }
    }
}

/// Plans incidents when hosts change, and each half a minute; what the server needs itself is asked then alone.
pub(crate) async fn incidents(fleet: Fleet, needs: ServerNeeds, beat: Beat) {
    let mut changes = fleet.changes();
    let mut tick = tokio::time::interval(INCIDENTS_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut server = Vec::new();
    loop {
        let is_tick = tokio::select! {
            biased;
            _ = beat.waits(tick.tick()) => true,
            ended = hosts_changed(&mut changes) => if ended { return } else { false },
        };
        if is_tick {
            server = needs.now();
        }
        beat.waits(fleet.plan_incidents(server.clone())).await;
        beat.waits(tokio::time::sleep(INCIDENTS_PAUSE)).await;
    }
}

/// Until a host may stand otherwise. `true` = the fleet is closed.
async fn hosts_changed(changes: &mut broadcast::Receiver<Change>) -> bool {
    loop {
        match changes.recv().await {
            Ok(Change {
                what: Changed::Incident(_) | Changed::JobLive { .. } | Changed::JobLog { .. },
                ..
            }) => {}
            Ok(Change {
                what: Changed::Audit | Changed::Accounts | Changed::Traffic | Changed::Notices,
                ..
            }) => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return false,
            Err(RecvError::Closed) => return true,
        }
    }
}

/// Until something may be due at another time than before. `true` = the fleet is closed.
async fn times_changed(changes: &mut broadcast::Receiver<Change>) -> bool {
    loop {
        match changes.recv().await {
            Ok(Change { what: Changed::Schedules(_) | Changed::Pending(_), .. }) => return false,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return false,
            Err(RecvError::Closed) => return true,
        }
    }
}
