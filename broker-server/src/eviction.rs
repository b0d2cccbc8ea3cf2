//! Ends the connections of who may not be connected any more: deleted hosts, hosts that were enrolled anew under
//! another key, deleted viewers.
//!
//! The gate asks at each login only; a change behind its back is told to it here.

use crate::{
    gate::GateHandle,
    tasks::{self, Beat},
};
use fleet::{Change, Changed, Fleet, StoreError};
use schema::{HostId, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// How often it looks at the most: so long somebody who lost the right may still be connected.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(500);

/// Follows the fleet's changes for ever.
pub async fn run(fleet: Fleet, gate: GateHandle, beat: Beat) {
    let mut changes = fleet.changes();
    let mut known = match look(&fleet).await {
        Ok(known) => known,
        Err(error) => {
            tracing::error!(%error, "the accounts could not be read");
            Allowed::default()
        }
    };
    loop {
        let mut touched = BTreeSet::new();
        match beat.waits(changes.recv()).await {
            Ok(Change { what: Changed::Host(host), .. }) => drop(touched.insert(host)),
            Ok(Change { what: Changed::Accounts | Changed::Damage | Changed::Succeeded, .. })
            | Err(RecvError::Lagged(_)) => {}
            Ok(_) => continue,
            Err(RecvError::Closed) => return,
        }
        // Ten thousand hosts may change within one second; one look covers all of them.
        tokio::time::sleep(LOOK_AT_MOST_EVERY).await;
        loop {
            match changes.try_recv() {
                Ok(Change { what: Changed::Host(host), .. }) => drop(touched.insert(host)),
                Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        match look(&fleet).await {
            Ok(now) => {
                for verdict in evictions(&known, &now, &touched) {
                    carry_out(verdict, &gate, fleet.now());
                }
                known = now;
                // Who is connected counts on what it says being written down.
                if fleet.only_reads() {
                    known.hosts.keys().for_each(|host| gate.kick(*host, "nothing is written any more"));
                }
            }
            Err(error) => tracing::error!(%error, "the accounts could not be read"),
        }
    }
}

async fn look(fleet: &Fleet) -> Result<Allowed, StoreError> {
    let fleet = fleet.clone();
    tasks::apart(move || Allowed::read(&fleet)).await
}

/// Who may be connected, and since which enrolment.
#[derive(Debug, Default)]
struct Allowed {
    hosts: BTreeMap<HostId, Option<Timestamp>>,
    viewers: BTreeSet<String>,
}

impl Allowed {
    fn read(fleet: &Fleet) -> Result<Self, StoreError> {
        let read = fleet.read()?;
        let hosts = read.hosts()?.into_iter().map(|host| (host.id, host.enrolled_at)).collect();
        let viewers = read.viewers()?.into_iter().map(|viewer| viewer.name).collect();
        Ok(Self { hosts, viewers })
    }
}

#[derive(Debug, PartialEq)]
enum Eviction {
    ForgetHost(HostId),
    /// Connections that are older than the enrolment: they came in with the old key.
    EndHost {
        host: HostId,
        enrolled_at: Timestamp,
    },
    EndViewer(String),
}

/// `touched`: hosts that have changed between; one that came and went is in neither.
fn evictions(before: &Allowed, now: &Allowed, touched: &BTreeSet<HostId>) -> Vec<Eviction> {
    let passed =
        touched.iter().filter(|host| !before.hosts.contains_key(host) && !now.hosts.contains_key(host));
    let passed = passed.map(|host| Eviction::ForgetHost(*host));
    let hosts = before.hosts.iter().filter_map(|(host, enrolled)| match now.hosts.get(host) {
        None => Some(Eviction::ForgetHost(*host)),
        Some(again) if again != enrolled => {
            again.map(|enrolled_at| Eviction::EndHost { host: *host, enrolled_at })
        }
        Some(_) => None,
    });
    hosts
        .chain(passed)
        .chain(before.viewers.difference(&now.viewers).cloned().map(Eviction::EndViewer))
        .collect()
}

fn carry_out(verdict: Eviction, gate: &GateHandle, now: Timestamp) {
    match verdict {
        Eviction::ForgetHost(host) => gate.forget(host),
        Eviction::EndHost { host, enrolled_at } => {
            let connected = gate.connected(host);
            if connected.is_some_and(|connected| connected.for_ms > now.ms_since(enrolled_at)) {
                gate.kick(host, "enrolled anew");
            }
        }
        Eviction::EndViewer(name) => gate.kick_viewer(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_lost_the_right_is_ended() {
        let host = |n| HostId([n; 16]);
        let known = |hosts: &[(u8, Option<u64>)], viewers: &[&str]| Allowed {
            hosts: hosts.iter().map(|(n, at)| (host(*n), at.map(Timestamp))).collect(),
            viewers: viewers.iter().map(|name| (*name).to_owned()).collect(),
        };
        let before = known(&[(1, Some(5)), (2, Some(5)), (3, None)], &["ha", "nodered"]);
        let now = known(&[(1, Some(5)), (2, Some(9)), (4, None)], &["ha", "new"]);
        assert_eq!(
            evictions(&before, &now, &[1, 3, 4, 5].map(host).into()),
            [
                Eviction::EndHost { host: host(2), enrolled_at: Timestamp(9) },
                Eviction::ForgetHost(host(3)),
                // It came and went between the two looks.
                Eviction::ForgetHost(host(5)),
                Eviction::EndViewer("nodered".to_owned())
            ]
        );
    }
}
