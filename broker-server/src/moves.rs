//! Has hosts that are here by an address that retires come anew, so that they try those that stay: a few at a time, each
//! once an hour at the most, and none that has something to do.

use crate::{gate::GateHandle, tasks::Beat};
use fleet::Fleet;
use std::time::Duration;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// So many are asked at a time.
const AT_ONCE: usize = 50;

/// Looks for ever.
pub(crate) async fn run(fleet: Fleet, gate: GateHandle, beat: Beat) {
    loop {
        beat.waits(tokio::time::sleep(LOOK_EVERY)).await;
        match fleet.hosts_to_move() {
            Ok(hosts) => {
                for host in hosts.into_iter().take(AT_ONCE) {
                    gate.kick(host, "comes by an address that retires");
                }
            }
            Err(error) => tracing::error!(%error, "who comes by which address could not be read"),
        }
    }
}
