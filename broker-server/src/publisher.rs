//! Keeps the view tree in step with the store.

use crate::{
    clock,
    gate::GateHandle,
    home_assistant::Discovery,
    tasks::{self, Beat},
    view_tree::{Leaf, ViewTree},
};
use bytes::Bytes;
use fleet::{Changed, Fleet, StoreError};
use schema::{HostId, IncidentId, JobId};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::MissedTickBehavior;

/// How often all is looked through; what has not changed is not said again.
const ALL_EVERY: Duration = Duration::from_secs(15 * 60);

/// How long to wait when the store could not be read.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Follows the fleet's changes for ever. What changed several times meanwhile is said once. When all was said for the
/// first time, viewers are let in: so what stands comes to them as retained, not as a change. `found` is what Home Assistant
/// is told of, while that is switched on.
pub async fn run(fleet: Fleet, gate: GateHandle, found: Discovery, beat: Beat) {
    let mut changes = fleet.changes();
    let mut tree = ViewTree::default();
    // Of a publisher before this one, which ended by a fault: what is there no more must not stay for ever.
    let mut left = gate.view_topics();
    let mut due = Stale { all: true, ..Stale::default() };
    let mut tick = tokio::time::interval_at(clock::instant() + ALL_EVERY, ALL_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let published;
        (tree, published) = publish((&fleet, &gate, &found), tree, std::mem::take(&mut due)).await;
        match published {
            Ok(()) => {
                clear(&gate, &tree, std::mem::take(&mut left));
                gate.view_is_whole();
            }
            Err(error) => {
                tracing::error!(%error, "the view tree could not be brought up to date");
                beat.waits(tokio::time::sleep(AGAIN_AFTER)).await;
                due.all = true;
                continue;
            }
        }
        tokio::select! {
            change = beat.waits(changes.recv()) => match change {
                Ok(change) => due.note(&change.what),
                Err(RecvError::Lagged(_)) => due.all = true,
                Err(RecvError::Closed) => return,
            },
            // Some words change with the time alone: a host that is offline, a check that is overdue.
            _ = tick.tick() => due.all = true,
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

/// Takes topics away that do not stand in the tree.
fn clear(gate: &GateHandle, tree: &ViewTree, mut topics: Vec<String>) {
    if !topics.is_empty() {
        let standing: HashSet<_> = tree.topics().collect();
        topics.retain(|topic| !standing.contains(topic.as_str()));
    }
    for topic in topics {
        let _ = gate.publish_view(&topic, None);
    }
}

/// What has to be said again.
#[derive(Default)]
struct Stale {
    all: bool,
    hosts: BTreeSet<HostId>,
    jobs: BTreeMap<JobId, HostId>,
    incidents: BTreeSet<IncidentId>,
}

impl Stale {
    fn note(&mut self, what: &Changed) {
        match *what {
            // How a host stands follows from its plans, credentials and runs, too.
            Changed::Host(host)
            | Changed::Repo(host)
            | Changed::Groups(host)
            | Changed::Schedules(host)
            | Changed::Credentials(host)
            | Changed::Pending(host) => {
                self.hosts.insert(host);
            }
            Changed::Job { host, job } => {
                self.jobs.insert(job, host);
                // How a host stands follows from its jobs.
                self.hosts.insert(host);
            }
            Changed::JobLive { host, job } => {
                self.jobs.insert(job, host);
            }
            // What can't be known any more is said of no host.
            Changed::Integrations | Changed::Damage | Changed::Succeeded => self.all = true,
            Changed::Incident(incident) => {
                self.incidents.insert(incident);
            }
            _ => {}
        }
    }
}

/// Apart: all hosts are many, and each is read from the data file.
async fn publish(
    (fleet, gate, found): (&Fleet, &GateHandle, &Discovery),
    mut tree: ViewTree,
    due: Stale,
) -> (ViewTree, Result<(), StoreError>) {
    let (fleet, gate, found) = (fleet.clone(), gate.clone(), found.clone());
    tasks::apart(move || {
        let said = say_due((&fleet, &gate, &found), &mut tree, due);
        (tree, said)
    })
    .await
}

fn say_due(
    (fleet, gate, found): (&Fleet, &GateHandle, &Discovery),
    tree: &mut ViewTree,
    due: Stale,
) -> Result<(), StoreError> {
    let read = fleet.read()?;
    // A change of it has all said again: what is read here before that is heard of is only early.
    let is_found = read.home_assistant()?;
    tree.let_discover(is_found.then(|| found.clone()));
    if is_found {
        gate.let_discover(true);
    }
    let hosts = if due.all { read.host_ids()?.into_iter().chain(tree.hosts()).collect() } else { due.hosts };
    for host in hosts {
        say(fleet, gate, tree.host(&read, host)?);
    }
    let incidents = if due.all {
        read.open_incidents()?.into_iter().chain(tree.incidents()).collect()
    } else {
        due.incidents
    };
    for incident in incidents {
        say(fleet, gate, tree.incident(&read, incident)?);
    }
    for (job, host) in due.jobs {
        say(fleet, gate, tree.job(&read, host, job, fleet.progress(job))?);
    }
    if !is_found {
        gate.let_discover(false);
    }
    Ok(())
}

fn say(fleet: &Fleet, gate: &GateHandle, leaves: Vec<Leaf>) {
    for leaf in leaves {
        fleet.saw_view(&leaf.topic, leaf.content.as_ref());
        let content = leaf.content.map(|content| Bytes::from(content.to_string()));
        if let Err(refused) = gate.publish_view(&leaf.topic, content) {
            tracing::warn!(topic = %leaf.topic, ?refused, "not in the view tree");
        }
    }
}
