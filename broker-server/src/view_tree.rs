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
//! and below `hf/1/view/incidents/<incident id>` the incidents that are open; the last state of each is followed by an empty
//! message. While that is switched on, Home Assistant finds the hosts by what [`home_assistant`] says
//! of each.
//!
//! Made from the store alone, and in the words of the API: what a page shows and what a topic says can't differ.
//! Nothing here is a secret, and log lines and paths of files stay out of it.

use crate::home_assistant::{self, Discovery};
use fleet::{FleetState, StoreError, maintenance::check_status, record::JobProgress};
use schema::{HostId, IncidentId, JobId, JobKind};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};
use web::redacted;

/// So many hosts of an incident are named in its topic, and how many more there are.
const MOST_HOSTS: usize = 100;

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
    /// `None` = Home Assistant finds nothing.
    discovery: Option<Discovery>,
    standing: BTreeMap<HostId, HostTopics>,
    /// Each topic of an incident with a hash of its content.
    incidents: BTreeMap<IncidentId, u64>,
}

#[derive(Debug, Default)]
struct HostTopics {
    name: String,
    /// Each topic with a hash of its content, so that what has not changed is not said again.
    topics: BTreeMap<String, u64>,
}

impl ViewTree {
    /// Has Home Assistant find the hosts, or not; all of them have to be said again then.
    pub fn let_discover(&mut self, discovery: Option<Discovery>) {
        self.discovery = discovery;
    }

    /// All that has to be said of one host: after a change of the host, its repository, or at the start.
    pub fn host(&mut self, read: &FleetState, host: HostId) -> Result<Vec<Leaf>, StoreError> {
        let Some(row) = read.host_row(host) else { return Ok(self.forget(host)) };
        let name = row.host.name.clone();
        let renamed = self.standing.get(&host).is_some_and(|standing| standing.name != name);
        let mut gone = if renamed { self.forget_name(host) } else { Vec::new() };
        let device = self.discovery.as_ref().map(|discovery| discovery.device(&row.host));
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
        // After what it leads to.
        leaves.push(Leaf { topic: home_assistant::topic(host), content: device });
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

    /// What has to be said after a change of one incident.
    pub fn incident(&mut self, read: &FleetState, id: IncidentId) -> Result<Vec<Leaf>, StoreError> {
        let topic = incident_topic(id);
        let seen = read.incident(id, MOST_HOSTS)?.filter(|seen| seen.incident.opened_at.is_some());
        let is_open = seen.as_ref().is_some_and(|seen| seen.incident.ended.is_none());
        let mut leaves = Vec::new();
        // Only who saw it open is told its end.
        if let Some(seen) = seen.filter(|_| is_open || self.incidents.contains_key(&id)) {
            let content = redacted::incident(seen);
            let hash = hash(&content);
            if self.incidents.insert(id, hash) != Some(hash) {
                leaves.push(Leaf { topic: topic.clone(), content: Some(content) });
            }
        }
        if !is_open && self.incidents.remove(&id).is_some() {
            leaves.push(Leaf { topic, content: None });
        }
        Ok(leaves)
    }

    /// The incidents that stand in the tree.
    pub fn incidents(&self) -> Vec<IncidentId> {
        self.incidents.keys().copied().collect()
    }

    /// All topics that stand in the tree.
    pub fn topics(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let of_hosts = self.standing.values().flat_map(|standing| standing.topics.keys());
        let of_incidents = self.incidents.keys().map(|id| Cow::Owned(incident_topic(*id)));
        of_hosts.map(|topic| Cow::Borrowed(topic.as_str())).chain(of_incidents)
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

    /// What stands under the name of a host goes; it stays the device that it is.
    fn forget_name(&mut self, host: HostId) -> Vec<Leaf> {
        let Some(standing) = self.standing.get_mut(&host) else { return Vec::new() };
        let device = home_assistant::topic(host);
        let of_device = standing.topics.remove(&device);
        let named = std::mem::take(&mut standing.topics);
        standing.topics.extend(of_device.map(|hash| (device, hash)));
        named.into_keys().map(|topic| Leaf { topic, content: None }).collect()
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

fn incident_topic(id: IncidentId) -> String {
    format!("hf/1/view/incidents/{id}")
}

fn topic(host: &str, rest: &str) -> String {
    format!("hf/1/view/{host}/{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{
        Acknowledgement, By, Driver, Fleet, HostFilter, IncidentState, Page, ServerNeed, Settings,
        record::{Actor, Cause, Severity},
        seed::Seed,
    };
    use schema::Timestamp;
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    fn by() -> By {
        By { actor: Actor::System, peer: String::new() }
    }

    const NOW: u64 = 1_795_415_472_000;

    fn fleet() -> Fleet {
        fleet_at(Arc::new(AtomicU64::new(NOW)))
    }

    fn fleet_at(clock: Arc<AtomicU64>) -> Fleet {
        let now = Arc::new(move || Timestamp(clock.load(Ordering::Relaxed)));
        let driver = Driver { now, random: Arc::new(crate::clock::random) };
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

    #[tokio::test]
    async fn home_assistant_finds_a_host_while_that_is_on_and_keeps_it_when_it_is_renamed() {
        let (fleet, mut tree) = (fleet(), ViewTree::default());
        let (host, _) = fleet.create_host("barn", Vec::new(), by()).await.unwrap();
        let device = home_assistant::topic(host.id);
        let said = |tree: &mut ViewTree| tree.host(&fleet.read().unwrap(), host.id).unwrap();
        assert_eq!(said(&mut tree).len(), 2);
        tree.let_discover(Some(Discovery::new("https://fleet.example")));
        let found = said(&mut tree);
        assert_eq!(topics(&found), [(device.as_str(), true)]);
        assert_eq!(found[0].content.as_ref().unwrap()["stat_t"], "hf/1/view/barn/presence");
        assert_eq!(said(&mut tree), []);

        fleet.update_host(host.id, Some("attic".to_owned()), None, by()).await.unwrap();
        let renamed = said(&mut tree);
        assert_eq!(
            topics(&renamed),
            [
                ("hf/1/view/barn/presence", false),
                ("hf/1/view/barn/repo", false),
                ("hf/1/view/attic/presence", true),
                ("hf/1/view/attic/repo", true),
                (device.as_str(), true),
            ],
            "it is not taken away in between"
        );
        assert_eq!(renamed[4].content.as_ref().unwrap()["dev"]["name"], "attic");

        tree.let_discover(None);
        assert_eq!(topics(&said(&mut tree)), [(device.as_str(), false)]);
        assert_eq!(said(&mut tree), []);
        tree.let_discover(Some(Discovery::new("")));
        assert_eq!(topics(&said(&mut tree)), [(device.as_str(), true)]);
        assert!(tree.topics().any(|topic| topic == device));
        fleet.delete_host(host.id, by()).await.unwrap();
        assert_eq!(topics(&said(&mut tree)).last(), Some(&(device.as_str(), false)));
        assert_eq!(tree.topics().count(), 0);
    }

    #[tokio::test]
    async fn an_incident_stands_while_it_is_open_and_its_end_is_told_once() {
        let clock = Arc::new(AtomicU64::new(NOW));
        let (fleet, mut tree) = (fleet_at(Arc::clone(&clock)), ViewTree::default());
        let disk = || vec![ServerNeed { cause: Cause::ServerDisk, severity: Severity::Critical }];
        fleet.plan_incidents(disk()).await;
        let noticed = fleet.read().unwrap().incidents(Some(IncidentState::Noticed), &Page::default(), 9);
        let id = noticed.unwrap().items[0].incident.id;
        assert_eq!(tree.incident(&fleet.read().unwrap(), id).unwrap(), [], "it is none yet");
        clock.fetch_add(5 * 60_000, Ordering::Relaxed);
        fleet.plan_incidents(disk()).await;
        let word = Acknowledgement { until: None, note: "what others read on the page".to_owned() };
        fleet.acknowledge_incident(id, Some(word), "shown".to_owned(), by()).await.unwrap();
        let topic = format!("hf/1/view/incidents/{id}");
        let said = tree.incident(&fleet.read().unwrap(), id).unwrap();
        assert_eq!(topics(&said), [(topic.as_str(), true)]);
        let content = said[0].content.as_ref().unwrap();
        assert_eq!((&content["state"], &content["cause"]), (&"open".into(), &"server_disk".into()));
        assert!(content["acknowledged_until"].is_string() && !content.to_string().contains("others read"));
        assert_eq!(tree.incident(&fleet.read().unwrap(), id).unwrap(), []);
        assert_eq!(tree.topics().collect::<Vec<_>>(), [topic.as_str()]);
        fleet.plan_incidents(Vec::new()).await;
        let said = tree.incident(&fleet.read().unwrap(), id).unwrap();
        assert_eq!(topics(&said), [(topic.as_str(), true), (topic.as_str(), false)]);
        assert_eq!(said[0].content.as_ref().unwrap()["state"], "ended");
        assert_eq!(tree.incident(&fleet.read().unwrap(), id).unwrap(), []);
        assert!(tree.incidents().is_empty());
    }
}
