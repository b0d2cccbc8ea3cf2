//! What one host may make the server keep and do, and what ages.

use crate::support::{Agent, DAY_MS, HOUR_MS, audited, backup, by, in_memory, jobs, settings};
use fleet::record::JobState;
use fleet::{AgingLimits, AuditFilter, Fleet, JobRequest, Page};
use schema::report::{Snapshot, Trouble};
use schema::{
    HostId, HostTopic, Items, JobId, LogLine, LogStream, Outcome, Over, ReportBody, Summary, Timestamp,
    ToAgent,
};

fn refused(fleet: &Fleet, host: HostId) -> Vec<(Over, u64)> {
    fleet.over_budget(host).refused.into_iter().map(|(over, count, _)| (over, count)).collect()
}

/// What the acknowledgement of the last report says of it.
async fn answer(agent: &mut Agent, body: ReportBody<'_>) -> Option<Over> {
    let handled = agent.report(body).await;
    let plain = agent.open(&handled.reply.expect("an ack"));
    match schema::decode(&plain) {
        Ok(ToAgent::Ack { refused, through, .. }) => {
            assert_eq!(through, agent.reports, "what is refused holds nothing up");
            refused
        }
        other => panic!("{other:?}"),
    }
}

fn own(job: JobId, due_at: Timestamp) -> ReportBody<'static> {
    ReportBody::Own { job, schedule: "hourly", group: "etc", due_at }
}

fn id(at: Timestamp, number: u64) -> JobId {
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&number.to_be_bytes());
    JobId::new(at, bytes)
}

#[tokio::test]
async fn an_agent_fills_no_more_of_the_audit_than_its_share_and_pushes_out_nobodys_acts() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let acts = |fleet: &Fleet| {
        let filter = AuditFilter { actor: Some("ada".into()), ..AuditFilter::default() };
        fleet.read().unwrap().audit(&filter, &Page { limit: 500, cursor: None }).unwrap().items.len()
    };
    let before = acts(&fleet);
    let trouble = || ReportBody::Trouble { kind: Trouble::StateFolder, detail: "again" };
    let mut taken = 0;
    for _ in 0..200 {
        taken += u32::from(answer(&mut agent, trouble()).await.is_none());
    }
    assert_eq!(taken, 60);
    assert_eq!(refused(&fleet, agent.host), [(Over::Audit, 140)]);
    world.pass(60_000);
    assert_eq!(answer(&mut agent, trouble()).await, None, "some a minute");
    // Over weeks.
    for _ in 0..2_100 {
        world.pass(60_000);
        assert_eq!(answer(&mut agent, trouble()).await, None);
    }
    fleet.sweep().await;
    let mut lines = 0;
    let mut page = Page { limit: 500, cursor: None };
    loop {
        let part = fleet.read().unwrap().audit(&AuditFilter::default(), &page).unwrap();
        lines += part.items.iter().filter(|entry| entry.action.code() == "agent.trouble").count();
        page.cursor = part.next;
        if page.cursor.is_none() {
            break;
        }
    }
    assert!((1_900..=2_000).contains(&lines), "{lines}");
    assert_eq!(acts(&fleet), before, "what people did is all there");
}

#[tokio::test]
async fn own_backups_are_bounded_in_number_and_in_time() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let now = world.now();
    let year = 365 * DAY_MS;
    for (at, over) in [
        (Timestamp(now.0 + 10 * year), Some(Over::OwnDate)),
        (Timestamp((1 << 48) - 1), Some(Over::OwnDate)),
        (Timestamp(now.0 + 6 * 60_000), Some(Over::OwnDate)),
        (Timestamp(0), Some(Over::OwnDate)),
        (Timestamp(now.0 + 60_000), None),
        (Timestamp(now.0 - 30 * DAY_MS), None),
    ] {
        assert_eq!(answer(&mut agent, own(id(at, at.0), now)).await, over, "{at:?}");
    }
    let first = jobs(&fleet, agent.host).remove(0);
    assert!(first.id.made_at() <= Timestamp(now.0 + 60_000), "nothing of the future stands first");
    let mut taken = 2;
    for number in 0..100 {
        taken += u32::from(answer(&mut agent, own(id(now, number), now)).await.is_none());
    }
    assert_eq!(taken, 32, "so many are open at once, and no more");
    assert_eq!(refused(&fleet, agent.host), [(Over::OwnJobs, 70), (Over::OwnDate, 4)]);
    assert_eq!(fleet.read().unwrap().open_jobs(agent.host).unwrap().len(), 32);
    // Ended, they make room; a dispatched job was never in the way.
    for job in fleet.read().unwrap().open_jobs(agent.host).unwrap() {
        agent.finish(job.id, Outcome::Succeeded, Summary::None).await;
    }
    assert_eq!(answer(&mut agent, own(id(now, 200), now)).await, None);
    fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
}

/// Items of a listing as they are sent.
fn page<'a>(room: &'a mut [u8], count: usize, paths: &str) -> Items<'a, Snapshot<'a>> {
    let id = "a".repeat(64);
    let mut list = [0; 32 * 1024];
    let paths = Items::write([paths], &mut list).unwrap();
    let snapshot = Snapshot {
        id: &id,
        time: Timestamp(1),
        hostname: "h",
        tags: Items::EMPTY,
        paths,
        size: None,
        tags_left_out: 0,
        paths_left_out: 0,
    };
    Items::write(vec![snapshot; count], room).unwrap()
}

#[tokio::test]
async fn a_listing_that_goes_back_is_not_taken() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, JobRequest::Snapshots, by()).await.unwrap().id;
    agent.take_all();
    let mut room = vec![0; 64 * 1024];
    let mut over = 0;
    for first in [0, 0, 1, 9, 10, 5, 15, 20] {
        let snapshots = page(&mut room, 10, "/etc");
        let answer = answer(&mut agent, ReportBody::Snapshots { job, first, snapshots }).await;
        over += u32::from(answer == Some(Over::Listing));
    }
    let none = ReportBody::Snapshots { job, first: 30, snapshots: Items::EMPTY };
    assert_eq!(answer(&mut agent, none).await, Some(Over::Listing));
    agent.finish(job, Outcome::Succeeded, Summary::Snapshots { count: 30, left_out: 0 }).await;
    assert_eq!(over, 5);
    assert_eq!(fleet.read().unwrap().snapshots(agent.host).unwrap().unwrap().1.len(), 30);
}

fn line(text: &str) -> LogLine<'_> {
    LogLine { after_ms: 1, stream: LogStream::Out, text }
}

/// Hour by hour, as a server lives that nobody stops.
async fn a_day(world: &crate::support::World, fleet: &Fleet) {
    for _ in 0..26 {
        world.pass(HOUR_MS);
        fleet.sweep().await;
    }
}

#[tokio::test]
async fn jobs_age_by_days_and_by_the_share_of_their_host_and_what_is_referred_to_stays() {
    let world = crate::support::World::new();
    let keep = AgingLimits { jobs_days: 10, host_bytes: 300 * 1024 };
    let fleet = Fleet::in_memory(fleet::Settings { keep, ..settings() }, world.driver()).unwrap();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let other = Agent::ready(&world, &fleet, "other").await;
    let text = "x".repeat(1_000);
    let mut room = vec![0; 32 * 1024];
    let mut made = Vec::new();
    for _ in 0..5 {
        let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap().id;
        agent.take_all();
        let lines = Items::write([line(&text); 20], &mut room).unwrap();
        agent.report(ReportBody::Log { job, first_line: 0, lines }).await;
        agent.finish(job, Outcome::Succeeded, crate::support::saved()).await;
        made.push(job);
        world.pass(DAY_MS);
    }
    let usage = fleet.read().unwrap().usage(agent.host).unwrap();
    assert_eq!(usage.jobs, 5);
    assert!((100_000..150_000).contains(&usage.bytes), "{usage:?}");
    fleet.sweep().await;
    assert_eq!(jobs(&fleet, agent.host).len(), 5, "none is old, none too much");
    // A clock that jumped makes nothing old, before it has gone on for a day.
    world.pass(6 * DAY_MS + 11 * HOUR_MS);
    fleet.sweep().await;
    assert_eq!(jobs(&fleet, agent.host).len(), 5, "somebody can notice first");
    a_day(&world, &fleet).await;
    let left: Vec<_> = jobs(&fleet, agent.host).iter().map(|job| job.id).collect();
    assert_eq!(left, [made[4], made[3]]);
    assert_eq!(audited(&fleet, "jobs.removed")[0].detail, "3 jobs and their logs, older than 10 days");
    world.pass(100 * DAY_MS);
    a_day(&world, &fleet).await;
    let left: Vec<_> = jobs(&fleet, agent.host).iter().map(|job| job.id).collect();
    assert_eq!(left, [made[4]], "the last good backup is what the host stands by");
    assert_eq!(fleet.read().unwrap().usage(agent.host).unwrap().jobs, 1);

    // More than its share: the oldest go, and those of others stay.
    let theirs = fleet.dispatch(other.host, JobRequest::Probe, by()).await.unwrap().id;
    let before = fleet.read().unwrap().open_jobs(agent.host).unwrap().len();
    for _ in 0..30 {
        let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap().id;
        agent.take_all();
        let lines = Items::write([line(&text); 20], &mut room).unwrap();
        agent.report(ReportBody::Log { job, first_line: 0, lines }).await;
        agent.finish(job, Outcome::Succeeded, crate::support::saved()).await;
        world.pass(1_000);
    }
    // Twice the share: no more is taken until there is room.
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap().id;
    agent.take_all();
    let lines = Items::write([line(&text); 20], &mut room).unwrap();
    assert_eq!(answer(&mut agent, ReportBody::Log { job, first_line: 0, lines }).await, Some(Over::Share));
    world.pass(2 * 3_600_000);
    fleet.sweep().await;
    let usage = fleet.read().unwrap().usage(agent.host).unwrap();
    assert!(usage.bytes <= keep.host_bytes, "{usage:?}");
    let lines = Items::write([line(&text); 20], &mut room).unwrap();
    assert_eq!(answer(&mut agent, ReportBody::Log { job, first_line: 0, lines }).await, None);
    assert_eq!(agent.job(job).state, JobState::Sent.min(agent.job(job).state), "what is open stays");
    assert!(fleet.read().unwrap().job(theirs).unwrap().is_some());
    assert!(audited(&fleet, "jobs.removed")[0].detail.contains("oldest jobs"), "it says so");
    assert_eq!(before, 0);
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert!(row.last_good_at.is_some());
}

#[tokio::test]
async fn hellos_figures_and_progress_are_bounded_and_what_is_over_changes_nothing() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    for _ in 0..1_300 {
        agent.epoch = agent.epoch.next();
        let payload = agent.hello_bytes(&[]);
        fleet.handle_presence(agent.host, &payload, "").await.unwrap();
    }
    let presence = fleet.read().unwrap().presence(agent.host).unwrap();
    assert!(presence.epoch < agent.epoch, "{}", presence.epoch);
    let over = refused(&fleet, agent.host);
    assert!(matches!(over[..], [(Over::Messages, count)] if count >= 100), "{over:?}");
    world.pass(60_000);
    agent.hello(&[]).await;
    assert_eq!(fleet.read().unwrap().presence(agent.host).unwrap().epoch, agent.epoch, "in a minute again");
    let junk = agent.seal(HostTopic::RepoStats, &7_u8);
    fleet.handle_stats(agent.host, &junk).await.unwrap();
}
