//! Keeps the view tree in step with the store.

use crate::{
    gate::GateHandle,
    view_tree::{Leaf, ViewTree},
};
use bytes::Bytes;
use fleet::{Changed, Fleet, StoreError};
use schema::{HostId, JobId};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// Follows the fleet's changes for ever. What changed several times meanwhile is said once.
pub async fn run(fleet: Fleet, gate: GateHandle) {
    let mut changes = fleet.changes();
    let mut tree = ViewTree::default();
    let mut due = Due { all: true, ..Due::default() };
    loop {
        if let Err(error) = publish(&fleet, &gate, &mut tree, std::mem::take(&mut due)) {
            tracing::error!(%error, "the view tree could not be brought up to date");
        }
        match changes.recv().await {
            Ok(change) => due.note(&change.what),
            Err(RecvError::Lagged(_)) => due.all = true,
            Err(RecvError::Closed) => return,
        }
        loop {
            match changes.try_recv() {
                Ok(change) => due.note(&change.what),
                Err(TryRecvError::Lagged(_)) => due.all = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
    }
}

/// What has to be said again.
#[derive(Default)]
struct Due {
    all: bool,
    hosts: BTreeSet<HostId>,
    jobs: BTreeMap<JobId, HostId>,
}

impl Due {
    fn note(&mut self, what: &Changed) {
        match what {
            &Changed::Host(host) | &Changed::Repo(host) => {
                self.hosts.insert(host);
            }
            &Changed::Job { host, job } | &Changed::JobLive { host, job } => {
                self.jobs.insert(job, host);
            }
            _ => {}
        }
    }
}

fn publish(fleet: &Fleet, gate: &GateHandle, tree: &mut ViewTree, due: Due) -> Result<(), StoreError> {
    let read = fleet.read()?;
    let hosts = if due.all { read.host_ids()?.into_iter().chain(tree.hosts()).collect() } else { due.hosts };
    for host in hosts {
        say(gate, tree.host(&read, host)?);
    }
    for (job, host) in due.jobs {
        say(gate, tree.job(&read, host, job, fleet.progress(job).as_ref())?);
    }
    Ok(())
}

fn say(gate: &GateHandle, leaves: Vec<Leaf>) {
    for leaf in leaves {
        let content = leaf.content.map(|content| Bytes::from(content.to_string()));
        if let Err(refused) = gate.publish_view(&leaf.topic, content) {
            tracing::warn!(topic = %leaf.topic, ?refused, "not in the view tree");
        }
    }
}
