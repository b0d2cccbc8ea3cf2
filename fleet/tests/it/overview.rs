use crate::support::{Agent, DAY_MS, HOUR_MS, backup, by, group, in_memory};
use fleet::{AuditFilter, Day, HostFilter, JobFilter, JobRequest, Page, Reason, Status};
use schema::{Class, JobKind, Outcome, ReportBody};

#[tokio::test]
async fn the_fleet_stands_worst_first_and_is_counted() {
    let (world, fleet) = in_memory();
    let mut good = Agent::ready(&world, &fleet, "good").await;
    let mut bad = Agent::ready(&world, &fleet, "bad").await;
    Agent::ready(&world, &fleet, "fresh").await;
    fleet.create_host("nobody", vec!["spare".into()], by()).await.unwrap();
    good.back_up("etc", Outcome::Succeeded).await;
    bad.back_up("etc", Outcome::Failed).await;
    good.version = "0.0.9";
    good.hello(&[]).await;
    let read = fleet.read().unwrap();
    let names = |filter: HostFilter| -> Vec<(String, Status)> {
        let rows = read.fleet(&filter);
        rows.into_iter().map(|row| (row.host.name.clone(), row.status)).collect()
    };
    let all = names(HostFilter::default());
    let expected =
        [("bad", Status::Failed), ("fresh", Status::New), ("nobody", Status::New), ("good", Status::Ok)];
    assert_eq!(all, expected.map(|(name, status)| (name.to_owned(), status)));
    assert_eq!(names(HostFilter { q: Some("GOO".into()), ..HostFilter::default() }).len(), 1);
    assert_eq!(names(HostFilter { q: Some("attic.exa".into()), ..HostFilter::default() }).len(), 3);
    assert_eq!(names(HostFilter { label: Some("spare".into()), ..HostFilter::default() }).len(), 1);
    assert_eq!(names(HostFilter { state: Some(Status::Ok), ..HostFilter::default() }).len(), 1);
    let old = names(HostFilter { old_agent: true, ..HostFilter::default() });
    assert_eq!(old, [("good".to_owned(), Status::Ok)]);
    assert!(!read.host_row(bad.host).unwrap().has_old_agent());
    let counts = read.fleet_counts().unwrap();
    assert_eq!((counts.total, counts.online, counts.protected), (4, 3, 1));
    let row = read.host_row(bad.host).unwrap();
    let reason = Reason::Failed { group: None, class: Some(Class::Network) };
    assert_eq!((&row.reason, row.days()[29]), (&reason, Day::Failed));
    assert!(row.last_good_at.is_none() && row.last_backup().is_some());
}

#[tokio::test]
async fn a_day_shows_the_last_result_of_each_group_and_the_worst_of_the_groups() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_group(agent.host, None, group("home"), by()).await.unwrap();
    agent.back_up("etc", Outcome::Failed).await;
    world.pass(HOUR_MS / 10);
    agent.back_up("etc", Outcome::Succeeded).await;
    agent.back_up("home", Outcome::Warning).await;
    world.pass(DAY_MS);
    agent.back_up("etc", Outcome::Succeeded).await;
    agent.back_up("home", Outcome::Succeeded).await;
    world.pass(DAY_MS);
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert_eq!(row.days()[26..], [Day::Before, Day::Warning, Day::Ok, Day::None]);
    assert_eq!(row.status, Status::Ok);
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
    agent.report(ReportBody::Started { job: job.id }).await;
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert_eq!((row.days()[29], row.status, row.protected), (Day::Running, Status::Running, true));
    assert_eq!(row.running().unwrap().id, job.id);
    agent.finish(job.id, Outcome::Cancelled, schema::Summary::None).await;
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert_eq!((row.running(), row.status, row.open_jobs), (None, Status::Ok, 0));
    world.pass(3 * DAY_MS);
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert_eq!((row.status, row.protected, row.days()[26]), (Status::Stale, false, Day::None));
}

#[tokio::test]
async fn jobs_are_paged_newest_first_and_filtered() {
    let (world, fleet) = in_memory();
    let mut one = Agent::ready(&world, &fleet, "one").await;
    let two = Agent::ready(&world, &fleet, "two").await;
    let mut made = Vec::new();
    for n in 0..7 {
        // Several in one millisecond keep their order.
        if n == 4 {
            world.pass(DAY_MS);
        }
        made.push(fleet.dispatch(one.host, JobRequest::Probe, by()).await.unwrap());
        fleet.dispatch(two.host, JobRequest::Stats, by()).await.unwrap();
    }
    let read = fleet.read().unwrap();
    let walk = |filter: JobFilter, limit: usize| {
        let (mut ids, mut page) = (Vec::new(), Page { limit, cursor: None });
        loop {
            let part = read.jobs(&filter, &page).unwrap();
            assert!(part.items.len() <= limit);
            ids.extend(part.items.into_iter().map(|job| job.id));
            match part.next {
                Some(next) => page.cursor = Some(next),
                None => return ids,
            }
        }
    };
    let of_one: Vec<_> = made.iter().rev().map(|job| job.id).collect();
    for limit in [1, 3, 7, 100] {
        let filter = JobFilter { host: Some(one.host), ..JobFilter::default() };
        assert_eq!(walk(filter, limit), of_one, "pages of {limit}");
        let filter = JobFilter { kind: Some(JobKind::Probe), ..JobFilter::default() };
        assert_eq!(walk(filter, limit), of_one);
        let filter = JobFilter { host: Some(one.host), kind: Some(JobKind::Probe), ..JobFilter::default() };
        assert_eq!(walk(filter, limit), of_one);
        assert_eq!(walk(JobFilter::default(), limit).len(), 14);
    }
    let since = JobFilter { host: Some(one.host), since: Some(made[4].created_at), ..JobFilter::default() };
    assert_eq!(walk(since, 2), of_one[..3]);
    let none = JobFilter { host: Some(one.host), kind: Some(JobKind::Backup), ..JobFilter::default() };
    assert!(walk(none, 2).is_empty());
    let bad = Page { limit: 5, cursor: Some("not an id".into()) };
    assert!(read.jobs(&JobFilter::default(), &bad).unwrap().items.is_empty());
    drop(read);
    one.take_all();
    one.finish(made[0].id, Outcome::Failed, schema::Summary::None).await;
    let failed = JobFilter { state: Some(fleet::record::JobState::Failed), ..JobFilter::default() };
    let page = fleet.read().unwrap().jobs(&failed, &Page::default()).unwrap();
    // Those of the day before were passed over until they had expired.
    assert_eq!(page.items.len(), 4);
}

#[tokio::test]
async fn the_audit_is_paged_and_filtered() {
    let (_, fleet) = in_memory();
    for n in 0..30 {
        fleet.create_host(&format!("host{n}"), vec![], by()).await.unwrap();
    }
    let read = fleet.read().unwrap();
    let filter = AuditFilter { action: Some("Host.Created".into()), ..AuditFilter::default() };
    let (mut seen, mut page) = (Vec::new(), Page { limit: 7, cursor: None });
    loop {
        let part = read.audit(&filter, &page).unwrap();
        seen.extend(part.items);
        match part.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), 30);
    assert!(seen.iter().all(|entry| entry.action.code() == "host.created" && entry.actor.name() == "ada"));
    let one =
        AuditFilter { target: Some("host17".into()), actor: Some("AD".into()), ..AuditFilter::default() };
    assert_eq!(read.audit(&one, &Page::default()).unwrap().items.len(), 2, "the host and its token");
}

#[tokio::test]
async fn whoever_waits_for_commands_is_woken_after_the_commit() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    let mut wakes = fleet.wakes();
    fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    assert_eq!(wakes.recv().await.unwrap(), agent.host);
    assert_eq!(agent.waiting(), 1);
}

#[tokio::test]
async fn a_backup_that_names_no_snapshot_proves_nothing() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
    agent.report(ReportBody::Started { job: job.id }).await;
    agent.finish(job.id, Outcome::Succeeded, schema::Summary::None).await;
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert_eq!((row.last_good_at, row.protected), (None, false));
    assert_ne!(row.status, Status::Ok);
}

#[tokio::test]
async fn what_somebody_has_acknowledged_rests_until_it_changes() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let host = agent.host;
    let row = || fleet.read().unwrap().host_row(host).unwrap();
    agent.back_up("etc", Outcome::Succeeded).await;
    assert!(!row().needs_attention());
    world.pass(HOUR_MS);
    agent.back_up("etc", Outcome::Failed).await;
    assert!(row().needs_attention());
    let mark = Some(row().mark());

    let other = fleet.acknowledge(host, Some("failed.auth.0".into()), String::new(), by()).await.unwrap_err();
    assert_eq!(other.code(), "state_changed");
    fleet.acknowledge(host, mark.clone(), String::new(), by()).await.unwrap();
    assert!(!row().needs_attention());
    assert_eq!((row().status, row().acked.as_ref().unwrap().at), (Status::Failed, world.now()));
    world.pass(HOUR_MS);
    agent.back_up("etc", Outcome::Failed).await;
    assert!(!row().needs_attention(), "it fails as before");

    fleet.acknowledge(host, None, String::new(), by()).await.unwrap();
    assert!(row().needs_attention(), "taken back");
    fleet.acknowledge(host, mark, String::new(), by()).await.unwrap();
    fleet.acknowledge(host, Some(row().mark()), String::new(), by()).await.unwrap();
    assert_eq!(
        crate::support::audited(&fleet, "host.acknowledged").len(),
        2,
        "once for each time that it changed"
    );

    agent.back_up("etc", Outcome::Succeeded).await;
    world.pass(HOUR_MS);
    agent.back_up("etc", Outcome::Failed).await;
    assert!(row().needs_attention(), "it had been well between");
}

#[tokio::test]
async fn a_state_names_the_backup_that_it_comes_from_and_not_the_last_one() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_group(agent.host, None, group("home"), by()).await.unwrap();
    let failed = agent.back_up("etc", Outcome::Failed).await;
    world.pass(HOUR_MS);
    let last = agent.back_up("home", Outcome::Warning).await;
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert_eq!((row.status, row.from.unwrap().job), (Status::Failed, failed.id));
    assert_eq!(row.last_backup().unwrap().id, last.id);
    agent.back_up("etc", Outcome::Succeeded).await;
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert_eq!((row.status, row.from.unwrap().job), (Status::Warning, last.id));
}
