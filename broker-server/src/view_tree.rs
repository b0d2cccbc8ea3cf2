//! The view tree: the facts of the pages as redacted JSON on retained MQTT topics, for `mosquitto_sub`, MQTT
//! Explorer, Home Assistant and the like.
//!
//! | topic below `hf/1/view/<host name>/` | content |
//! |---|---|
//! | `presence` | online or not, since when, versions, status |
//! | `repo` | size, snapshots, last check, last prune, lock |
//! | `last/<kind>` | the last job of each kind that has ended |
//! | `job/<job id>` | a job that is open; its last state is followed by an empty message |
//!
//! Made from the store alone, and in the words of the API: what a page shows and what a topic says can't differ.
//! Nothing here is a secret, and log lines and paths of files stay out of it.

use fleet::{FleetState, StoreError, maintenance::check_status, record::JobProgress};
use schema::{HostId, JobId, JobKind};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};
use web::redacted;

/// A change of the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// MQTT topic of the leaf.
    pub topic: String,
    /// The new content; `None` takes it away.
    pub content: Option<Value>,
}

impl Leaf {
    fn new(host: &str, rest: &str, content: Value) -> Self {
        Self { topic: topic(host, rest), content: Some(content) }
    }
}

/// What stands in the tree now, so that renamed and deleted hosts leave nothing behind.
#[derive(Debug, Default)]
pub struct ViewTree {
    standing: BTreeMap<HostId, HostTopics>,
}

#[derive(Debug, Default)]
struct HostTopics {
    name: String,
    /// Each topic with a hash of its content, so that what has not changed is not said again.
    topics: BTreeMap<String, u64>,
}

impl ViewTree {
    /// All that has to be said of one host: after a change of the host, its repository, or at the start.
    pub fn host(&mut self, read: &FleetState, host: HostId) -> Result<Vec<Leaf>, StoreError> {
        let Some(row) = read.host_row(host) else { return Ok(self.forget(host)) };
        let name = row.host.name.clone();
        let renamed = self.standing.get(&host).is_some_and(|standing| standing.name != name);
        let mut gone = if renamed { self.forget(host) } else { Vec::new() };
        let mut leaves = Vec::new();
        leaves.push(Leaf::new(&name, "presence", redacted::host(row)));
        leaves.push(Leaf::new(&name, "repo", repo(read, host)?));
        for kind in JobKind::ALL {
            if let Some(job) = read.latest_job(host, kind)?.filter(|job| job.state.is_ended()) {
                leaves.push(Leaf::new(&name, &format!("last/{}", kind.as_str()), redacted::job(&job, None)));
            }
        }
        for job in read.open_jobs(host)? {
            // Its progress is said with the job; here it is only made to stand in the tree.
            let place = format!("job/{}", job.id);
            let stands = self.standing.get(&host);
            if stands.is_none_or(|standing| !standing.topics.contains_key(&topic(&name, &place))) {
                leaves.push(Leaf::new(&name, &place, redacted::job(&job, None)));
            }
        }
        gone.extend(self.changed(host, &name, leaves));
        Ok(gone)
    }

    /// What has to be said after a change of one job.
    pub fn job(
        &mut self,
        read: &FleetState,
        host: HostId,
        id: JobId,
        progress: Option<JobProgress>,
    ) -> Result<Vec<Leaf>, StoreError> {
        let (Some(record), Some(job)) = (read.host(host)?, read.job(id)?) else { return Ok(Vec::new()) };
        let content = redacted::job(&job, progress);
        let place = format!("job/{id}");
        let mut leaves = Vec::new();
        if !job.state.is_ended() {
            leaves.push(Leaf::new(&record.name, &place, content));
        } else {
            leaves.push(Leaf::new(
                &record.name,
                &format!("last/{}", job.what.kind().as_str()),
                content.clone(),
            ));
            // Only who saw it open is told its end; a job that was never in the tree does not come back into it.
            let place = topic(&record.name, &place);
            let standing = self.standing.get(&host);
            if standing.is_some_and(|standing| standing.topics.contains_key(&place)) {
                leaves.push(Leaf { topic: place.clone(), content: Some(content) });
                leaves.push(Leaf { topic: place, content: None });
            }
        }
        Ok(self.changed(host, &record.name, leaves))
    }

    /// All topics that stand in the tree.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.standing.values().flat_map(|standing| standing.topics.keys().map(String::as_str))
    }

    /// The hosts that stand in the tree.
    pub fn hosts(&self) -> Vec<HostId> {
        self.standing.keys().copied().collect()
    }

    /// Notes the leaves and keeps those that say something new.
    fn changed(&mut self, host: HostId, name: &str, mut leaves: Vec<Leaf>) -> Vec<Leaf> {
        let standing = self.standing.entry(host).or_default();
        name.clone_into(&mut standing.name);
        leaves.retain(|leaf| match &leaf.content {
            Some(content) => {
                let hash = hash(content);
                standing.topics.insert(leaf.topic.clone(), hash) != Some(hash)
            }
            None => standing.topics.remove(&leaf.topic).is_some(),
        });
        leaves
    }

    fn forget(&mut self, host: HostId) -> Vec<Leaf> {
        let topics = self.standing.remove(&host).map(|standing| standing.topics).unwrap_or_default();
        topics.into_keys().map(|topic| Leaf { topic, content: None }).collect()
    }
}

fn repo(read: &FleetState, host: HostId) -> Result<Value, StoreError> {
    let state = read.repo(host)?;
    let check = check_status(state.check.as_ref(), &read.maintenance(host)?, read.now());
    Ok(redacted::repo(&state, &read.sharers(host)?, check))
}

fn hash(content: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

fn topic(host: &str, rest: &str) -> String {
    format!("hf/1/view/{host}/{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{By, Driver, Fleet, HostFilter, Settings, record::Actor, seed::Seed};
    use schema::Timestamp;
    use std::sync::Arc;

    fn by() -> By {
        By { actor: Actor::System, peer: String::new() }
    }

    fn fleet() -> Fleet {
        let driver =
            Driver { now: Arc::new(|| Timestamp(1_795_415_472_000)), random: Arc::new(crate::clock::random) };
        let settings = Settings {
            mqtt_addresses: vec!["127.0.0.1:8883".to_owned()],
            authorities: vec![vec![7; 40]],
            timezone: "UTC".to_owned(),
            keep: Default::default(),
        };
        Fleet::in_memory(settings, driver).unwrap()
    }

    fn topics(leaves: &[Leaf]) -> Vec<(&str, bool)> {
        leaves.iter().map(|leaf| (leaf.topic.as_str(), leaf.content.is_some())).collect()
    }

    #[tokio::test]
    async fn the_tree_of_a_host_is_as_it_was() {
        let (fleet, mut tree) = (fleet(), ViewTree::default());
        fleet.seed(Seed { hosts: 1, jobs: 4 }, |_| {}).await.unwrap();
        let host = fleet.read().unwrap().fleet(&HostFilter::default())[0].host.id;
        let said = tree.host(&fleet.read().unwrap(), host).unwrap();
        let words = |leaf: Leaf| format!("{}\n{:#}\n", leaf.topic, leaf.content.unwrap_or_default());
        insta::assert_snapshot!("view_tree", said.into_iter().map(words).collect::<String>());
    }

    #[tokio::test]
    async fn a_host_is_said_once_and_again_only_when_it_changes() {
        let (fleet, mut tree) = (fleet(), ViewTree::default());
        let (host, _) = fleet.create_host("barn", Vec::new(), by()).await.unwrap();
        let said = tree.host(&fleet.read().unwrap(), host.id).unwrap();
        assert_eq!(topics(&said), [("hf/1/view/barn/presence", true), ("hf/1/view/barn/repo", true)]);
        assert_eq!(tree.host(&fleet.read().unwrap(), host.id).unwrap(), []);
    }

    #[tokio::test]
    async fn a_renamed_host_and_a_deleted_one_leave_nothing_behind() {
        let (fleet, mut tree) = (fleet(), ViewTree::default());
        let (host, _) = fleet.create_host("barn", Vec::new(), by()).await.unwrap();
        tree.host(&fleet.read().unwrap(), host.id).unwrap();

        fleet.update_host(host.id, Some("attic".to_owned()), None, by()).await.unwrap();
        let said = tree.host(&fleet.read().unwrap(), host.id).unwrap();
        assert_eq!(
            topics(&said),
            [
                ("hf/1/view/barn/presence", false),
                ("hf/1/view/barn/repo", false),
                ("hf/1/view/attic/presence", true),
                ("hf/1/view/attic/repo", true),
            ]
        );

        fleet.delete_host(host.id, by()).await.unwrap();
        let said = tree.host(&fleet.read().unwrap(), host.id).unwrap();
        assert_eq!(topics(&said), [("hf/1/view/attic/presence", false), ("hf/1/view/attic/repo", false)]);
        assert!(tree.hosts().is_empty());
    }
}
