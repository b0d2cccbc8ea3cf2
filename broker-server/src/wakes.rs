//! Tells the sessions of hosts that something waits for them: commands, a plan.

use crate::{gate::GateHandle, tasks::Beat};
use fleet::{Change, Changed, Fleet};
use schema::HostId;
use tokio::sync::broadcast::error::RecvError;

/// For each host: when this begins, begins again, or has missed what was said.
fn for_all(fleet: &Fleet, what: impl Fn(HostId)) {
    match fleet.read().and_then(|read| read.host_ids()) {
        Ok(hosts) => hosts.into_iter().for_each(what),
        Err(error) => tracing::error!(%error, "the hosts could not be read"),
    }
}

/// Hands each session what its outbox got.
pub(crate) async fn wake_sessions(fleet: Fleet, gate: GateHandle, beat: Beat) {
    let mut wakes = fleet.wakes();
    for_all(&fleet, |host| gate.wake(host));
    loop {
        match beat.waits(wakes.recv()).await {
            Ok(host) => gate.wake(host),
            Err(RecvError::Lagged(_)) => for_all(&fleet, |host| gate.wake(host)),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Hands each session how far its host may send of a download. One that is missed is said again.
pub(crate) async fn send_credits(fleet: Fleet, gate: GateHandle, beat: Beat) {
    let mut credits = fleet.credits();
    loop {
        match beat.waits(credits.recv()).await {
            Ok((host, sealed)) => {
                gate.send(host, sealed.into());
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Sends each host that is here its plan when it has changed.
pub(crate) async fn send_plans(fleet: Fleet, gate: GateHandle, beat: Beat) {
    let mut changes = fleet.changes();
    for_all(&fleet, |host| gate.plan_changed(host));
    loop {
        match beat.waits(changes.recv()).await {
            Ok(Change { what: Changed::Plan(host), .. }) => gate.plan_changed(host),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => for_all(&fleet, |host| gate.plan_changed(host)),
            Err(RecvError::Closed) => return,
        }
    }
}
