use super::condition::{Condition, HostSeen, Need, OwnNeed, ServerNeed};
use super::plan::{Known, Notice, Plan, SETTLES_MS, Seen, plan};
use crate::record::{Actor, Cause, ChannelId, Ending, Event, IncidentAck, Severity, Subject};
use crate::units::{DAY_MS, MINUTE_MS};
use proptest::prelude::*;
use schema::{Class, HostId, IncidentId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const BEGIN: Timestamp = Timestamp(1_000 * DAY_MS);
const NETWORK: Cause = Cause::Failed { class: Some(Class::Network), refusal: None };

/// Hosts, the server, and what is stored of incidents; nothing else outlives a plan, as when the server starts again
/// before each.
#[derive(Clone, Default)]
struct World {
    now: Timestamp,
    hosts: BTreeMap<HostId, HostSeen>,
    server: Vec<ServerNeed>,
    /// The channels that are on, and since when each fails.
    channels: BTreeMap<ChannelId, Option<Timestamp>>,
    stored: BTreeMap<IncidentId, Known>,
    notices: Vec<Notice>,
    made: u64,
    /// How long the labels of hosts let them have any cause.
    graces: BTreeMap<HostId, u64>,
    /// When each host came into an incident, which had opened or not, and whether it was in an open one before.
    came: Vec<Came>,
}

/// A host came into an incident.
#[derive(Clone, Debug)]
struct Came {
    host: HostId,
    /// For how long it had the cause.
    after_ms: u64,
    grace_ms: u64,
    cause: Cause,
    was_met: bool,
}

fn id(number: u64) -> IncidentId {
    IncidentId(u128::from(number).to_be_bytes())
}

fn host(number: u64) -> HostId {
    HostId(u128::from(number).to_be_bytes())
}

fn needs(cause: Cause, severity: Severity, since: Timestamp) -> Condition {
    Condition::Needs(Need { cause, severity, since, is_acked: false })
}

impl World {
    fn new() -> Self {
        Self { now: BEGIN, ..Self::default() }
    }

    fn stands(&mut self, number: u64, storage: Option<&str>, condition: Condition) {
        let host = host(number);
        let grace_ms = self.graces.get(&host).copied().unwrap_or(0);
        self.hosts.insert(host, HostSeen { host, storage: storage.map(Arc::from), condition, grace_ms });
    }

    /// A host that can't reach its storage.
    fn fails(&mut self, number: u64, storage: &str) {
        let since = self.now;
        self.stands(number, Some(storage), needs(NETWORK, Severity::Critical, since));
    }

    fn well(&mut self, number: u64) {
        self.stands(number, None, Condition::Well);
    }

    fn look(&self, hosts: &[HostSeen]) -> Plan {
        let mut made = self.made;
        let known = self.stored.values().filter(|known| !known.incident.is_settled).cloned().collect();
        let failing = self.channels.iter().filter_map(|(channel, since)| {
            let (subject, since) = (Subject::Channel(*channel), Some((*since)?));
            Some(OwnNeed { subject, cause: Cause::Channel, severity: Severity::Warning, since })
        });
        let own: Vec<OwnNeed> = self.server.iter().map(|need| (*need).into()).chain(failing).collect();
        let channels: Vec<ChannelId> = self.channels.keys().copied().collect();
        plan(self.now, Seen { hosts, own: &own, channels: &channels }, known, || {
            made += 1;
            id(made)
        })
    }

    /// Plans, writes, and looks again.
    fn plan(&mut self) -> Vec<Notice> {
        let hosts: Vec<HostSeen> = self.hosts.values().cloned().collect();
        let before = self.stored.clone();
        let plan = self.look(&hosts);
        let turned: Vec<HostSeen> = hosts.iter().rev().cloned().collect();
        assert_eq!(plan, self.look(&turned), "the order of the hosts says nothing");
        self.made += plan.incidents.len() as u64;
        for planned in &plan.incidents {
            let id = planned.known.incident.id;
            if planned.is_forgotten {
                self.stored.remove(&id);
            } else if planned.is_changed {
                self.stored.entry(id).or_insert_with(|| planned.known.clone()).incident =
                    planned.known.incident.clone();
            }
            if let Some(stored) = self.stored.get_mut(&id) {
                for subject in &planned.touched {
                    match planned.known.met.get(subject) {
                        Some(met) => stored.met.insert(*subject, *met),
                        None => stored.met.remove(subject),
                    };
                }
                assert_eq!(*stored, planned.known, "what is told to be written is all that there is");
            }
        }
        self.note_who_came(&before);
        let again = self.look(&hosts);
        assert!(!again.changes() && again.notices.is_empty(), "{again:?}");
        self.notices.extend(plan.notices.iter().cloned());
        plan.notices
    }

    fn note_who_came(&mut self, before: &BTreeMap<IncidentId, Known>) {
        // Where there are many nobody looks.
        if self.hosts.len() > 100 {
            return;
        }
        let is_in = |known: &Known, subject| known.now().any(|now| now == subject);
        for seen in self.hosts.values() {
            let (Condition::Needs(need), subject) = (seen.condition, Subject::Host(seen.host)) else {
                continue;
            };
            let now = self.stored.values().find(|known| is_in(known, subject));
            let was_in = now
                .is_some_and(|now| before.get(&now.incident.id).is_some_and(|before| is_in(before, subject)));
            if now.is_none() || was_in {
                continue;
            }
            let was_met = before.values().any(|known| {
                is_in(known, subject)
                    && (known.incident.opened_at.is_some() || known.incident.cause == need.cause)
            });
            let (host, grace_ms, cause) = (seen.host, seen.grace_ms, need.cause);
            let after_ms = self.now.ms_since(need.since);
            self.came.push(Came { host, after_ms, grace_ms, cause, was_met });
        }
    }

    fn pass(&mut self, ms: u64) -> Vec<Notice> {
        self.now = self.now.plus_ms(ms);
        self.plan()
    }

    fn delete(&mut self, number: u64) {
        self.hosts.remove(&host(number));
        for known in self.stored.values_mut() {
            known.met.remove(&Subject::Host(host(number)));
        }
    }

    fn ack(&mut self, id: IncidentId, until: Timestamp) {
        let (by, at, note) = (Actor::System, self.now, String::new());
        let known = self.stored.get_mut(&id).unwrap();
        let count = known.now().count() as u32;
        known.incident.ack = Some(IncidentAck { by, at, until, note });
        super::is_known(&mut known.incident, at, count);
    }

    fn standing(&self) -> Vec<&Known> {
        self.stored.values().filter(|known| known.incident.ended.is_none()).collect()
    }

    fn only(&self) -> &Known {
        let standing = self.standing();
        assert_eq!(standing.len(), 1, "{standing:?}");
        standing[0]
    }

    /// What holds whatever happened.
    fn check(&self) {
        for seen in self.hosts.values() {
            let subject = Subject::Host(seen.host);
            let within: Vec<&Known> =
                self.stored.values().filter(|known| known.now().any(|now| now == subject)).collect();
            match seen.condition {
                Condition::Well => assert!(within.is_empty(), "{within:?}"),
                Condition::Busy => assert!(within.len() <= 1),
                // Its labels let it have that still.
                Condition::Needs(need)
                    if within.is_empty() && self.now.ms_since(need.since) < seen.grace_ms => {}
                Condition::Needs(need) => {
                    assert_eq!(within.len(), 1, "{seen:?} is in one: {within:?}");
                    assert_eq!(within[0].incident.cause, need.cause);
                    assert!(within[0].incident.ended.is_none());
                    let storage = within[0].incident.storage.as_deref();
                    assert!(storage.is_none() || storage == seen.storage.as_deref());
                }
            }
        }
        for known in self.stored.values() {
            let incident = &known.incident;
            assert_eq!(incident.ended.is_some(), known.now().next().is_none(), "{known:?}");
            assert!(!incident.is_settled || incident.opened_at.is_some(), "what never opened is not kept");
            let told: Vec<Event> = self.told(incident.id);
            let is_first = |event: &Event| *event == Event::Opened;
            assert!(told.iter().skip(1).all(|event| !is_first(event)), "opened once: {told:?}");
            let ends = told.iter().filter(|event| event.is_over()).count();
            let by = incident.ended.map(|(_, ending)| match ending {
                Ending::Recovered => Event::Recovered,
                Ending::OtherCause | Ending::HostsDeleted => Event::Ended,
            });
            assert!(ends <= 1 && (ends == 0 || told.last() == by.as_ref()), "{told:?}");
            let is_told = incident.is_settled && incident.noted.is_some();
            assert_eq!(ends == 1, is_told, "{told:?} {incident:?}");
        }
        // What was told of is there until it is over for good.
        let known: BTreeSet<IncidentId> = self.stored.keys().copied().collect();
        assert!(self.notices.iter().all(|notice| known.contains(&notice.incident)));
    }

    fn told(&self, id: IncidentId) -> Vec<Event> {
        self.notices.iter().filter(|notice| notice.incident == id).map(|notice| notice.event).collect()
    }
}

fn events(notices: &[Notice]) -> Vec<(Event, u32)> {
    notices.iter().map(|notice| (notice.event, notice.count)).collect()
}

#[test]
fn hosts_of_one_storage_are_one_incident_that_is_told_once_and_closes_with_the_last() {
    let mut world = World::new();
    for number in 0..300 {
        world.fails(number, "nas:8000");
        assert!(world.pass(900).is_empty(), "still in its grace");
    }
    world.fails(300, "box");
    assert_eq!(events(&world.pass(31_000)), [(Event::Opened, 300)]);
    assert_eq!(events(&world.pass(5 * MINUTE_MS)), [(Event::Opened, 1)], "another storage is another one");
    for number in 0..299 {
        world.well(number);
    }
    assert!(world.pass(MINUTE_MS).is_empty());
    world.well(299);
    assert!(world.plan().is_empty());
    let nas =
        world.stored.values().find(|known| known.incident.storage.as_deref() == Some("nas:8000")).unwrap();
    assert_eq!(nas.incident.ended, Some((world.now, Ending::Recovered)), "at once");
    assert_eq!((nas.incident.most, nas.incident.is_settled), (300, false));
    assert_eq!(events(&world.pass(SETTLES_MS)), [(Event::Recovered, 300)], "when it stays so");
    assert_eq!(world.only().incident.storage.as_deref(), Some("box"));
    world.check();
}

#[test]
fn who_flaps_makes_one_incident_also_within_the_grace() {
    let mut world = World::new();
    for _ in 0..40 {
        world.fails(1, "nas");
        world.pass(2 * MINUTE_MS);
        world.well(1);
        world.pass(3 * MINUTE_MS);
    }
    world.pass(DAY_MS);
    assert_eq!(events(&world.notices), [(Event::Opened, 1), (Event::Recovered, 1)]);
    assert_eq!(world.stored.len(), 1);
    world.check();
}

#[test]
fn what_is_over_within_its_grace_leaves_nothing() {
    let mut world = World::new();
    world.fails(1, "nas");
    world.pass(MINUTE_MS);
    world.well(1);
    world.pass(MINUTE_MS);
    world.pass(SETTLES_MS);
    assert!(world.stored.is_empty() && world.notices.is_empty());
}

#[test]
fn hosts_that_go_away_together_are_one_incident_and_a_later_one_is_another() {
    let mut world = World::new();
    let away = |since| needs(Cause::Offline, Severity::Critical, since);
    for number in 0..5 {
        world.stands(number, None, away(BEGIN.plus_ms(number * 4 * MINUTE_MS)));
    }
    world.stands(9, None, away(BEGIN.plus_ms(DAY_MS)));
    world.now = BEGIN.plus_ms(2 * DAY_MS);
    world.plan();
    assert_eq!(events(&world.pass(5 * MINUTE_MS)), [(Event::Opened, 5), (Event::Opened, 1)]);
    // One that is noticed later, and went away with the first ones.
    world.stands(7, None, away(BEGIN.plus_ms(18 * MINUTE_MS)));
    world.plan();
    let sizes: Vec<usize> = world.standing().iter().map(|known| known.now().count()).collect();
    assert_eq!(sizes, [6, 1]);
    world.check();
}

#[test]
fn who_fails_for_a_cause_of_the_storage_has_no_storage_in_common_where_none_is_known() {
    let mut world = World::new();
    for (number, hours) in [(1, 0), (2, 0), (3, 7)] {
        let since = Timestamp(BEGIN.0 - hours * 60 * MINUTE_MS);
        world.stands(number, None, needs(NETWORK, Severity::Critical, since));
        let unproven = needs(Cause::Unproven, Severity::Warning, since);
        world.stands(10 + number, None, unproven);
    }
    world.plan();
    let sizes = events(&world.pass(5 * MINUTE_MS));
    assert_eq!(sizes, [(Event::Opened, 1), (Event::Opened, 2), (Event::Opened, 3)], "the unproven are alike");
    world.check();
}

#[test]
fn it_is_worse_with_half_as_many_again_and_with_a_higher_severity_and_nothing_is_told_twice() {
    let mut world = World::new();
    let lacking = |severity| needs(Cause::BackupsHeld, severity, BEGIN);
    for number in 0..4 {
        world.stands(number, None, lacking(Severity::Warning));
    }
    assert_eq!(events(&world.plan()), [(Event::Opened, 4)], "without a grace");
    world.stands(4, None, lacking(Severity::Warning));
    assert!(world.pass(MINUTE_MS * 10).is_empty(), "one more");
    world.stands(5, None, lacking(Severity::Warning));
    assert_eq!(events(&world.pass(MINUTE_MS)), [(Event::Worsened, 6)]);
    let worsened = world.only().incident.worsened.unwrap();
    assert_eq!((worsened.from, worsened.to), (4, 6));
    for severity in [Severity::Critical, Severity::Warning, Severity::Critical] {
        world.stands(0, None, lacking(severity));
        world.pass(MINUTE_MS);
        assert_eq!(world.only().incident.severity, severity);
    }
    assert_eq!(events(&world.notices[2..]), [(Event::Worsened, 6)], "graver, once");
    for number in 1..6 {
        world.well(number);
    }
    world.pass(MINUTE_MS);
    for number in 1..6 {
        world.stands(number, None, lacking(Severity::Warning));
    }
    assert!(world.pass(10 * MINUTE_MS).is_empty(), "as many as were told");
    world.check();
}

#[test]
fn it_is_told_again_every_three_days_unless_it_rests_and_when_that_is_over() {
    let mut world = World::new();
    world.fails(1, "nas");
    world.plan();
    world.pass(5 * MINUTE_MS);
    assert!(world.pass(2 * DAY_MS).is_empty());
    assert_eq!(events(&world.pass(DAY_MS)), [(Event::StillOpen, 1)]);
    let id = world.only().incident.id;
    world.ack(id, world.now.plus_ms(5 * DAY_MS));
    assert!(world.pass(4 * DAY_MS).is_empty(), "it rests");
    world.fails(2, "nas");
    assert_eq!(events(&world.pass(MINUTE_MS)), [(Event::Worsened, 2)], "also while it rests");
    assert!(world.only().incident.ack.is_some());
    assert_eq!(events(&world.pass(DAY_MS)), [(Event::StillOpen, 2)], "it has rested");
    assert!(world.only().incident.ack.is_none());
    world.check();
}

#[test]
fn one_that_is_acknowledged_before_it_opens_is_told_when_it_is_worse_or_has_rested() {
    let mut world = World::new();
    world.fails(1, "nas");
    world.plan();
    world.ack(world.only().incident.id, world.now.plus_ms(DAY_MS));
    assert!(world.pass(10 * MINUTE_MS).is_empty());
    world.fails(2, "nas");
    assert_eq!(events(&world.pass(MINUTE_MS)), [(Event::Worsened, 2)]);
    assert_eq!(events(&world.pass(DAY_MS)), [(Event::StillOpen, 2)]);
}

#[test]
fn hosts_that_somebody_has_acknowledged_one_by_one_are_not_told() {
    let mut world = World::new();
    let need = Need { cause: NETWORK, severity: Severity::Critical, since: BEGIN, is_acked: true };
    world.stands(1, Some("nas"), Condition::Needs(need));
    world.plan();
    assert!(world.pass(DAY_MS).is_empty());
    assert!(world.only().incident.opened_at.is_some());
    world.fails(2, "nas");
    assert_eq!(events(&world.pass(MINUTE_MS)), [(Event::Opened, 2)]);
}

#[test]
fn a_host_with_another_cause_goes_on_in_an_incident_that_says_what_it_follows() {
    let mut world = World::new();
    world.fails(1, "nas");
    world.plan();
    world.pass(5 * MINUTE_MS);
    let first = world.only().incident.id;
    let offline = needs(Cause::Offline, Severity::Critical, world.now);
    world.stands(1, Some("nas"), offline);
    assert_eq!(events(&world.pass(MINUTE_MS)), [(Event::Opened, 1)], "without a grace of its own");
    assert_eq!(world.only().incident.follows, Some(first));
    assert_eq!(world.stored[&first].incident.ended.unwrap().1, Ending::OtherCause);
    world.well(1);
    world.plan();
    let over = world.pass(SETTLES_MS);
    assert_eq!(events(&over), [(Event::Ended, 1), (Event::Recovered, 1)], "of each what became of it");
    assert_eq!(over[0].incident, first);
    world.check();
}

#[test]
fn a_deleted_host_leaves_its_incidents_and_the_last_one_ends_them() {
    let mut world = World::new();
    world.fails(1, "nas");
    world.fails(2, "nas");
    world.plan();
    world.pass(5 * MINUTE_MS);
    world.delete(1);
    world.pass(MINUTE_MS);
    assert_eq!(world.only().now().count(), 1);
    world.delete(2);
    world.plan();
    assert_eq!(events(&world.pass(SETTLES_MS)), [(Event::Ended, 2)], "nobody has recovered");
    let ended = world.stored.values().next().unwrap();
    assert_eq!((ended.incident.ended.unwrap().1, ended.met.len()), (Ending::HostsDeleted, 0));
}

#[test]
fn a_job_that_runs_neither_opens_nor_ends_anything() {
    let mut world = World::new();
    let unproven = needs(Cause::Unproven, Severity::Warning, BEGIN);
    world.stands(1, None, unproven);
    world.stands(2, None, Condition::Busy);
    world.plan();
    world.pass(5 * MINUTE_MS);
    world.stands(1, None, Condition::Busy);
    assert!(world.pass(DAY_MS).is_empty());
    assert_eq!(world.only().now().collect::<Vec<_>>(), [Subject::Host(host(1))]);
}

#[test]
fn what_the_server_needs_is_an_incident_of_its_own() {
    let mut world = World::new();
    let disk = |severity| ServerNeed { cause: Cause::ServerDisk, severity };
    let certificate = ServerNeed { cause: Cause::Certificate, severity: Severity::Warning };
    world.server = vec![disk(Severity::Warning), certificate, certificate];
    world.plan();
    assert_eq!(events(&world.pass(5 * MINUTE_MS)), [(Event::Opened, 1), (Event::Opened, 1)]);
    world.server = vec![disk(Severity::Critical)];
    assert_eq!(events(&world.pass(MINUTE_MS)), [(Event::Worsened, 1)]);
    world.server.clear();
    world.plan();
    world.pass(SETTLES_MS);
    assert!(world.standing().is_empty());
    assert!(world.stored.values().all(|known| known.incident.is_settled));
    world.check();
}

#[test]
fn channels_that_fail_are_one_incident_that_worsens_and_one_that_is_switched_off_has_not_recovered() {
    let mut world = World::new();
    let (mail, hook, pager) = (ChannelId(1), ChannelId(2), ChannelId(3));
    world.channels = [(mail, Some(BEGIN)), (hook, None), (pager, None)].into();
    world.pass(MINUTE_MS);
    assert_eq!(events(&world.pass(5 * MINUTE_MS)), [(Event::Opened, 1)]);
    assert_eq!(world.only().incident.since, BEGIN);
    world.ack(world.only().incident.id, world.now.plus_ms(DAY_MS));
    world.channels.insert(hook, Some(world.now));
    assert_eq!(events(&world.pass(5 * MINUTE_MS)), [(Event::Worsened, 2)], "also while it rests");
    assert_eq!(world.only().now().collect::<Vec<_>>(), [mail, hook].map(Subject::Channel));
    world.channels.insert(mail, None);
    world.channels.remove(&hook);
    world.plan();
    assert_eq!(events(&world.pass(SETTLES_MS)), [(Event::Recovered, 2)]);
    world.channels.insert(pager, Some(world.now));
    world.plan();
    world.pass(5 * MINUTE_MS);
    world.channels.remove(&pager);
    world.plan();
    assert_eq!(events(&world.pass(SETTLES_MS)), [(Event::Ended, 1)]);
    world.check();
}

#[test]
fn each_channel_that_fails_is_told_however_many_did_before_and_one_that_flaps_once() {
    let mut world = World::new();
    let channels: Vec<ChannelId> = (1..=4).map(ChannelId).collect();
    world.channels = channels.iter().map(|channel| (*channel, None)).collect();
    world.channels.insert(channels[0], Some(world.now));
    world.plan();
    assert_eq!(events(&world.pass(5 * MINUTE_MS)), [(Event::Opened, 1)]);
    for (number, channel) in (2..).zip(&channels[1..]) {
        world.channels.insert(*channel, Some(world.now));
        assert_eq!(events(&world.pass(5 * MINUTE_MS)), [(Event::Worsened, number)]);
    }
    for _ in 0..3 {
        world.channels.insert(channels[3], None);
        assert!(world.pass(5 * MINUTE_MS).is_empty());
        world.channels.insert(channels[3], Some(world.now));
        assert!(world.pass(5 * MINUTE_MS).is_empty(), "the same one again");
    }
    world.channels.insert(channels[1], None);
    world.plan();
    assert!(world.pass(SETTLES_MS).is_empty());
    world.channels.insert(channels[1], Some(world.now));
    assert_eq!(events(&world.pass(5 * MINUTE_MS)), [(Event::Worsened, 4)], "it worked in between");
    world.check();
}

#[test]
fn a_host_whose_label_gives_it_days_is_an_incident_after_them_and_once_it_is_one_it_stays() {
    let mut world = World::new();
    world.graces.insert(host(1), 3 * DAY_MS);
    let offline = needs(Cause::Offline, Severity::Critical, BEGIN);
    world.stands(1, None, offline);
    world.stands(2, None, offline);
    world.plan();
    assert_eq!(events(&world.pass(5 * MINUTE_MS)), [(Event::Opened, 1)], "the other one has no label");
    assert_eq!(world.only().now().collect::<Vec<_>>(), [Subject::Host(host(2))]);
    world.well(2);
    world.plan();
    assert_eq!(events(&world.pass(SETTLES_MS)), [(Event::Recovered, 1)]);
    world.now = BEGIN.plus_ms(3 * DAY_MS - 1);
    assert!(world.plan().is_empty() && world.standing().is_empty());
    assert_eq!(events(&world.pass(1)), [(Event::Opened, 1)], "three days after it began");
    // What it has next is known at once, and a longer grace takes nothing back.
    world.graces.insert(host(1), 30 * DAY_MS);
    world.stands(1, None, offline);
    assert!(world.plan().is_empty());
    assert_eq!(world.only().incident.cause, Cause::Offline);
    let missed = needs(Cause::Missed, Severity::Critical, world.now);
    world.stands(1, None, missed);
    assert_eq!(events(&world.plan()), [(Event::Opened, 1)]);
    // A machine that comes each day needs nobody, however long that goes on.
    world.well(1);
    world.pass(SETTLES_MS);
    for _ in 0..60 {
        world.pass(DAY_MS);
        let away = needs(Cause::Offline, Severity::Critical, world.now);
        world.stands(1, None, away);
        world.pass(DAY_MS - 60 * MINUTE_MS);
        world.well(1);
        world.pass(60 * MINUTE_MS);
    }
    assert!(world.standing().is_empty());
    assert!(world.notices.iter().all(|notice| notice.count == 1));
}

#[test]
fn ten_thousand_hosts_with_ten_thousand_causes_are_no_more_incidents_than_hosts() {
    let mut world = World::new();
    for number in 0..5_000 {
        world.fails(number, &format!("nas-{number}"));
        let away_at = Timestamp(BEGIN.0 - number * 6 * MINUTE_MS);
        world.stands(5_000 + number, None, needs(Cause::Offline, Severity::Critical, away_at));
    }
    world.plan();
    assert_eq!(world.pass(5 * MINUTE_MS).len(), 10_000);
    assert_eq!(world.standing().len(), 10_000);
    world.check_counts();
    let all: Vec<u64> = (0..10_000).collect();
    all.iter().for_each(|number| world.well(*number));
    world.plan();
    assert_eq!(world.pass(SETTLES_MS).len(), 10_000);
}

impl World {
    /// Cheaper than [`Self::check`] where there are many.
    fn check_counts(&self) {
        let now: Vec<Subject> = self.standing().into_iter().flat_map(Known::now).collect();
        let different: BTreeSet<Subject> = now.iter().copied().collect();
        let needy = self.hosts.values().filter(|seen| matches!(seen.condition, Condition::Needs(_))).count();
        assert_eq!((now.len(), different.len()), (needy, needy));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Stands(u64, Option<u8>, Condition),
    Since(u64),
    Delete(u64),
    Pass(u64),
    SetBack(u64),
    Ahead(u64),
    Ack(usize, u64),
    TakeBack(usize),
    Server(Vec<ServerNeed>),
    /// The clock is believed again: what lies ahead counts as now.
    Mend,
    /// The labels of a host, or what they give, change.
    Grace(u64, u64),
}

fn severity() -> impl Strategy<Value = Severity> {
    prop::sample::select(Severity::ALL.to_vec())
}

fn condition() -> impl Strategy<Value = Condition> {
    let causes = vec![NETWORK, Cause::Offline, Cause::Unproven, Cause::Damaged, Cause::Never];
    let need = (prop::sample::select(causes), severity(), 0..3_000_u64, any::<bool>());
    let needs = need.prop_map(|(cause, severity, ago, is_acked)| {
        let since = Timestamp(BEGIN.0 + 1_000 * MINUTE_MS - ago * MINUTE_MS);
        Condition::Needs(Need { cause, severity, since, is_acked })
    });
    prop_oneof![3 => Just(Condition::Well), 1 => Just(Condition::Busy), 6 => needs]
}

fn step() -> impl Strategy<Value = Step> {
    let server = prop::collection::vec(
        (prop::sample::select(vec![Cause::ServerDisk, Cause::Certificate]), severity())
            .prop_map(|(cause, severity)| ServerNeed { cause, severity }),
        0..3,
    );
    prop_oneof![
        12 => (0..6_u64, prop::option::of(0..2_u8), condition())
            .prop_map(|(host, storage, condition)| Step::Stands(host, storage, condition)),
        2 => (0..6_u64).prop_map(Step::Since),
        1 => (0..6_u64).prop_map(Step::Delete),
        6 => (0..20 * MINUTE_MS).prop_map(Step::Pass),
        1 => (0..5 * DAY_MS).prop_map(Step::Pass),
        1 => (0..400 * DAY_MS).prop_map(Step::SetBack),
        1 => (0..400 * DAY_MS).prop_map(Step::Ahead),
        1 => (0..4_usize, 1..9 * DAY_MS).prop_map(|(which, ms)| Step::Ack(which, ms)),
        1 => (0..4_usize).prop_map(Step::TakeBack),
        1 => server.prop_map(Step::Server),
        1 => Just(Step::Mend),
        2 => (0..6_u64, prop_oneof![Just(0), 0..4 * DAY_MS]).prop_map(|(host, ms)| Step::Grace(host, ms)),
    ]
}

impl World {
    fn take(&mut self, step: Step) {
        let nth = |world: &Self, which: usize| {
            let standing = world.standing();
            standing.get(which % standing.len().max(1)).map(|known| known.incident.id)
        };
        match step {
            Step::Stands(number, storage, condition) => {
                let storage = storage.map(|number| format!("nas-{number}"));
                self.stands(number, storage.as_deref(), condition);
            }
            Step::Since(number) => {
                let now = self.now;
                if let Some(Condition::Needs(need)) =
                    self.hosts.get_mut(&host(number)).map(|seen| &mut seen.condition)
                {
                    need.since = now;
                }
            }
            Step::Delete(number) => self.delete(number),
            Step::Pass(ms) | Step::Ahead(ms) => self.now = self.now.plus_ms(ms),
            Step::SetBack(ms) => self.now = Timestamp(self.now.0.saturating_sub(ms)),
            Step::Ack(which, ms) => {
                if let Some(id) = nth(self, which) {
                    self.ack(id, self.now.plus_ms(ms));
                }
            }
            Step::TakeBack(which) => {
                if let Some(id) = nth(self, which) {
                    self.stored.get_mut(&id).unwrap().incident.ack = None;
                }
            }
            Step::Server(needs) => self.server = needs,
            Step::Grace(number, ms) => {
                self.graces.insert(host(number), ms);
                if let Some(seen) = self.hosts.get_mut(&host(number)) {
                    seen.grace_ms = ms;
                }
            }
            Step::Mend => {
                use crate::clock::{Clock, PastInstants as _};
                let clock = Clock { now: self.now, since: self.now };
                for known in self.stored.values_mut() {
                    known.incident.cap(clock);
                    known.met.values_mut().for_each(|met| met.cap(clock));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens, and with whatever clock: the incidents say how the hosts stand, what is planned once is done, each
    /// that opened is open or ends, and is told so.
    #[test]
    fn incidents_follow_the_hosts_whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.plan();
            world.check();
        }
        // In the end all are well, and time goes on.
        world.server.clear();
        let hosts: Vec<HostId> = world.hosts.keys().copied().collect();
        for host in hosts {
            let seen = HostSeen { host, storage: None, condition: Condition::Well, grace_ms: 0 };
            world.hosts.insert(host, seen);
        }
        world.plan();
        world.now = world.now.plus_ms(2_000 * DAY_MS);
        world.plan();
        world.check();
        prop_assert!(world.stored.values().all(|known| known.incident.is_settled));
        prop_assert!(world.stored.values().all(|known| known.incident.ended.is_some()));
        // Nobody is in an incident before its labels let it, unless an incident had met it already.
        for Came { host, after_ms, grace_ms, cause, was_met } in world.came {
            let longer_ms = if grace_ms > super::grace::grace_ms(cause) { grace_ms } else { 0 };
            prop_assert!(was_met || after_ms >= longer_ms, "{host:?} {cause:?} {after_ms} {longer_ms}");
        }
    }

    /// A grace of one host changes nothing for another one.
    #[test]
    fn a_longer_grace_is_of_its_host_alone(
        steps in prop::collection::vec(step(), 1..40),
        grace in 1..9 * DAY_MS,
    ) {
        let (mut with, mut without) = (World::new(), World::new());
        with.graces.insert(host(99), grace);
        for step in steps {
            with.take(step.clone());
            without.take(step);
            // It is away from now on, again and again, and never as long as it may.
            let since = with.now;
            with.stands(99, Some("nas-0"), needs(NETWORK, Severity::Critical, since));
            with.hosts.get_mut(&host(99)).unwrap().grace_ms = grace.max(6 * MINUTE_MS);
            prop_assert_eq!(with.plan(), without.plan());
        }
    }
}
