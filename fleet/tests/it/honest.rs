//! What "protected" needs, what is mended and waits for a good backup, and numbers that add up.

use crate::support::{
    Agent, DAY_MS, HOUR_MS, World, backup, by, credentials, finished, group, hourly, in_memory,
};
use fleet::record::{Group, Schedule, Severity};
use fleet::{Day, Fleet, HostFilter, IncidentState, IncidentView, JobRequest, Page, Status};
use schema::{Class, HostId, Outcome, ReportBody, Summary, report::Finished};

fn stands(fleet: &Fleet, host: HostId) -> (Status, &'static str, bool) {
    let row = fleet.read().unwrap().host_row(host).unwrap();
    (row.status, row.reason.code(), row.protected)
}

/// A job that is asked for and ends like this.
async fn runs(agent: &mut Agent, request: JobRequest, outcome: Outcome, class: Option<Class>) {
    let job = agent.fleet.dispatch(agent.host, request, by()).await.unwrap();
    agent.take_all();
    let finished = finished(job.id, outcome, agent.clock(), Summary::None);
    agent.report(ReportBody::Finished(Finished { class, ..finished })).await;
    agent.world.pass(1_000);
}

async fn tests_its_credentials(agent: &mut Agent, outcome: Outcome, class: Option<Class>) {
    runs(agent, JobRequest::Probe, outcome, class).await;
}

async fn fails(agent: &mut Agent, class: Class) {
    runs(agent, backup("etc"), Outcome::Failed, Some(class)).await;
}

#[tokio::test]
async fn a_group_is_protected_by_a_schedule_that_is_on_or_by_a_persons_word_that_backups_are_by_hand() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let host = agent.host;
    let put = async |by_hand_days| {
        let changed = Group { by_hand_days, ..group("etc") };
        fleet.put_group(host, Some("etc"), changed, by()).await.unwrap();
    };
    agent.back_up("etc", Outcome::Succeeded).await;
    assert_eq!(stands(&fleet, host), (Status::Ok, "ok", true), "a person has said that it is by hand");
    put(0).await;
    assert_eq!(stands(&fleet, host), (Status::Warning, "no_schedule", false));
    let schedule = hourly("hourly");
    fleet.put_schedule(host, None, schedule.clone(), by()).await.unwrap();
    assert_eq!(stands(&fleet, host), (Status::Ok, "ok", true));
    let off = Schedule { enabled: false, ..schedule.clone() };
    fleet.put_schedule(host, Some("hourly"), off.clone(), by()).await.unwrap();
    assert_eq!(stands(&fleet, host), (Status::Warning, "no_schedule", false), "it is switched off");
    // A second group that no schedule names is enough.
    fleet.put_schedule(host, Some("hourly"), schedule, by()).await.unwrap();
    fleet.put_group(host, None, Group { by_hand_days: 0, ..group("home") }, by()).await.unwrap();
    agent.back_up("home", Outcome::Succeeded).await;
    assert_eq!(stands(&fleet, host), (Status::Warning, "no_schedule", false));
    fleet.delete_group(host, "home", by()).await.unwrap();
    fleet.put_schedule(host, Some("hourly"), off, by()).await.unwrap();
    // By hand it may be as old as was said, and no older.
    put(30).await;
    agent.back_up("etc", Outcome::Succeeded).await;
    world.pass(29 * DAY_MS);
    agent.hello(&[]).await;
    assert_eq!(stands(&fleet, host), (Status::Ok, "ok", true));
    world.pass(2 * DAY_MS);
    agent.hello(&[]).await;
    assert_eq!(stands(&fleet, host), (Status::Stale, "old", false));
    fleet.delete_schedule(host, "hourly", by()).await.unwrap();
    assert_eq!(stands(&fleet, host), (Status::Stale, "old", false), "still by hand");
}

#[tokio::test]
async fn credentials_that_are_refused_are_told_before_the_next_backup_fails() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    agent.back_up("etc", Outcome::Succeeded).await;
    world.pass(HOUR_MS);
    tests_its_credentials(&mut agent, Outcome::Failed, Some(Class::Network)).await;
    assert_eq!(stands(&fleet, agent.host), (Status::Ok, "test_failed", true), "that says nothing of them");
    tests_its_credentials(&mut agent, Outcome::Failed, Some(Class::Auth)).await;
    assert_eq!(stands(&fleet, agent.host), (Status::Warning, "credentials_refused", false));
    // Others are not known to be refused; nor are they once they were tested.
    fleet.put_credentials(agent.host, schema::Slot::Repo, credentials(), by()).await.unwrap();
    assert_eq!(stands(&fleet, agent.host), (Status::Ok, "ok", true));
    tests_its_credentials(&mut agent, Outcome::Succeeded, None).await;
    assert_eq!(stands(&fleet, agent.host), (Status::Ok, "ok", true));
    // What its machine's owner does not allow is never taken.
    let revision =
        fleet.read().unwrap().credentials(agent.host, schema::Slot::Repo).unwrap().unwrap().revision;
    let refused = Some(schema::Refusal::Policy);
    agent.report(ReportBody::ConfigApplied { slot: schema::Slot::Repo, revision, refused }).await;
    assert_eq!(stands(&fleet, agent.host), (Status::Warning, "credentials_refused", false));
}

async fn planned(world: &World, fleet: &Fleet, state: IncidentState) -> Vec<IncidentView> {
    fleet.plan_incidents(Vec::new()).await;
    world.pass(6 * 60_000);
    fleet.plan_incidents(Vec::new()).await;
    let all = Page { limit: 500, cursor: None };
    fleet.read().unwrap().incidents(Some(state), &all, 9).unwrap().items
}

#[tokio::test]
async fn a_mended_cause_waits_for_a_good_backup_in_the_incident_that_it_was() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let host = agent.host;
    agent.back_up("etc", Outcome::Succeeded).await;
    fails(&mut agent, Class::Auth).await;
    let open = planned(&world, &fleet, IncidentState::Open).await;
    let [incident] = open.as_slice() else { panic!("{open:?}") };
    let id = incident.incident.id;
    assert_eq!((incident.incident.severity, incident.mended), (Severity::Critical, 0));
    let mut changes = fleet.changes();
    tests_its_credentials(&mut agent, Outcome::Succeeded, None).await;
    let is_told = |change: &fleet::Change| change.what == fleet::Changed::Incident(id);
    let mut told = false;
    while let Ok(change) = changes.try_recv() {
        told |= is_told(&change);
    }
    assert!(told, "who looks at the incident is told");
    assert_eq!(stands(&fleet, host), (Status::Warning, "mended", false), "not green");
    let open = planned(&world, &fleet, IncidentState::Open).await;
    let [incident] = open.as_slice() else { panic!("{open:?}") };
    assert_eq!(incident.incident.id, id, "still the same one");
    assert_eq!((incident.incident.severity, incident.count, incident.mended), (Severity::Warning, 1, 1));
    assert!(incident.hosts[0].mended_at.is_some() && incident.hosts[0].left.is_none());
    // It failed once more: it was not mended.
    fails(&mut agent, Class::Auth).await;
    assert_eq!(stands(&fleet, host), (Status::Failed, "auth", false));
    tests_its_credentials(&mut agent, Outcome::Succeeded, None).await;
    agent.back_up("etc", Outcome::Succeeded).await;
    assert_eq!(stands(&fleet, host), (Status::Ok, "ok", true), "a good backup shows it");
    let ended = planned(&world, &fleet, IncidentState::Ended).await;
    assert_eq!(ended.iter().map(|ended| ended.incident.id).collect::<Vec<_>>(), [id]);
    assert_eq!(ended[0].hosts[0].mended_at, None);
}

#[tokio::test]
async fn the_numbers_of_the_fleet_are_parts_of_one_whole() {
    let (world, fleet) = in_memory();
    let mut well = Agent::ready(&world, &fleet, "well").await;
    let mut wrong = Agent::ready(&world, &fleet, "wrong-clock").await;
    let mut failed = Agent::ready(&world, &fleet, "failed").await;
    let mut acked = Agent::ready(&world, &fleet, "acked").await;
    fleet.create_host("nobody", vec![], by()).await.unwrap();
    for agent in [&mut well, &mut wrong, &mut failed, &mut acked] {
        agent.back_up("etc", Outcome::Succeeded).await;
    }
    wrong.ahead_ms = 3 * HOUR_MS as i64;
    wrong.hello(&[]).await;
    fails(&mut failed, Class::Auth).await;
    fails(&mut acked, Class::Hook).await;
    let mark = fleet.read().unwrap().host_row(acked.host).unwrap().mark();
    fleet.acknowledge(acked.host, Some(mark), String::new(), by()).await.unwrap();
    let read = fleet.read().unwrap();
    let counts = read.fleet_counts().unwrap();
    let rows = read.fleet(&HostFilter::default());
    assert_eq!(counts.total as usize, rows.len());
    assert_eq!(Status::ALL.map(|status| counts.of(status)).iter().sum::<u32>(), counts.total);
    assert_eq!((counts.total, counts.protected, counts.unprotected()), (5, 1, 4));
    assert_eq!((counts.protected_in_need, counts.unprotected_in_need, counts.in_need()), (0, 3, 3));
    // Another proof is missing: protected, and in need of somebody all the same.
    drop(read);
    world.pass(70 * DAY_MS);
    for agent in [&mut well, &mut wrong, &mut failed, &mut acked] {
        agent.hello(&[]).await;
    }
    well.back_up("etc", Outcome::Succeeded).await;
    let read = fleet.read().unwrap();
    let row = read.host_row(well.host).unwrap();
    assert!(row.protected && row.needs_attention(), "{:?}", row.reason);
    let counts = read.fleet_counts().unwrap();
    assert_eq!((counts.protected, counts.protected_in_need), (1, 1));
    assert_eq!(counts.in_need(), counts.protected_in_need + counts.unprotected_in_need);
    assert!(counts.in_need() <= counts.total);
}

#[tokio::test]
async fn hosts_are_found_by_their_very_cause() {
    let (world, fleet) = in_memory();
    let mut agents = Vec::new();
    for (name, class) in [("a", Class::Auth), ("b", Class::Auth), ("c", Class::Network)] {
        let mut agent = Agent::ready(&world, &fleet, name).await;
        agent.back_up("etc", Outcome::Succeeded).await;
        fails(&mut agent, class).await;
        agents.push(agent);
    }
    let read = fleet.read().unwrap();
    let found = |filter: HostFilter| -> Vec<String> {
        read.fleet(&filter).iter().map(|row| row.host.name.clone()).collect()
    };
    let cause = read.host_row(agents[0].host).unwrap().cause();
    let by_cause = HostFilter { cause, ..HostFilter::default() };
    assert_eq!(found(by_cause.clone()), ["a", "b"]);
    let storage = read.host_row(agents[0].host).unwrap().storage.clone().unwrap();
    let at =
        |storage: Option<&str>| HostFilter { storage: Some(storage.map(str::to_owned)), ..by_cause.clone() };
    assert_eq!(found(at(Some(&storage))), ["a", "b"]);
    assert!(found(at(Some("elsewhere"))).is_empty() && found(at(None)).is_empty());
    drop(read);
    let mark = fleet.read().unwrap().host_row(agents[0].host).unwrap().mark();
    fleet.acknowledge(agents[0].host, Some(mark), String::new(), by()).await.unwrap();
    let names: Vec<_> =
        fleet.read().unwrap().fleet(&by_cause).iter().map(|row| row.host.name.clone()).collect();
    assert_eq!(names, ["b"], "an acknowledged one needs nobody");
}

#[tokio::test]
async fn a_spread_schedule_says_when_it_really_runs() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    let spread = Schedule { jitter_secs: 3_000, ..hourly("hourly") };
    fleet.put_schedule(agent.host, None, spread, by()).await.unwrap();
    let read = fleet.read().unwrap();
    let view = read.schedules(agent.host).unwrap().remove(0);
    let row = read.host_row(agent.host).unwrap();
    assert_eq!(view.next_run_at, row.next_run_at);
    assert!(view.next_run_at > view.next_due_at, "this host is spread: {view:?}");
    assert_eq!(read.schedule(agent.host, "hourly").unwrap().unwrap(), view);
}

#[tokio::test]
async fn days_count_from_when_a_host_was_enrolled() {
    let (world, fleet) = in_memory();
    let (nobody, _) = fleet.create_host("nobody", vec![], by()).await.unwrap();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    world.pass(2 * DAY_MS);
    agent.back_up("etc", Outcome::Succeeded).await;
    let days = |host| fleet.read().unwrap().host_row(host).unwrap().days();
    assert_eq!(days(agent.host)[26..], [Day::Before, Day::None, Day::None, Day::Ok]);
    assert!(days(nobody.id).iter().all(|day| *day == Day::Before));
    world.pass(40 * DAY_MS);
    assert!(!days(agent.host).contains(&Day::Before));
}
