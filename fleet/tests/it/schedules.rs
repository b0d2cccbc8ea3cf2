//! Schedules: what is accepted, when they run, and what follows when what they name changes.

use crate::support::{Agent, DAY_MS, HOUR_MS, audited, by, group, hourly, in_memory, jobs, waiting};
use fleet::record::{Actor, Schedule};
use fleet::{Refused, Status};
use schema::{Outcome, Timestamp};

/// The instant of a text such as `2026-03-29T01:00:00Z`, by hand: days since 1970 are given.
fn utc(days: u64, hours: u64, minutes: u64) -> Timestamp {
    Timestamp(days * DAY_MS + hours * HOUR_MS + minutes * 60_000)
}

#[tokio::test]
async fn a_schedule_that_cant_be_is_refused_with_its_field() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    type Spoil = fn(&mut Schedule);
    let cases: [(&str, Spoil); 9] = [
        ("name", |schedule| schedule.name = "every night".into()),
        ("cron", |schedule| schedule.cron = "0 25 * * *".into()),
        ("cron", |schedule| schedule.cron = String::new()),
        ("timezone", |schedule| schedule.timezone = "Europe/Atlantis".into()),
        ("groups", |schedule| schedule.groups.clear()),
        ("groups", |schedule| schedule.groups = vec!["home".into()]),
        ("groups", |schedule| schedule.groups = vec!["etc".into(), "etc".into()]),
        ("retry_max", |schedule| schedule.retry_max = 1_001),
        ("jitter_secs", |schedule| schedule.jitter_secs = 86_401),
    ];
    for (field, spoil) in cases {
        let mut schedule = hourly("nightly");
        spoil(&mut schedule);
        let refused = fleet.put_schedule(agent.host, None, schedule, by()).await.unwrap_err();
        assert_eq!(refused.field(), Some(field), "{refused}");
    }
    fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
    let again = fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await;
    assert!(matches!(again, Err(Refused::NameTaken { .. })));
    let missing = fleet.put_schedule(agent.host, Some("daily"), hourly("daily"), by()).await;
    assert!(matches!(missing, Err(Refused::ScheduleNotFound)));
    for n in 1..32 {
        fleet.put_schedule(agent.host, None, hourly(&format!("s{n}")), by()).await.unwrap();
    }
    let too_many = fleet.put_schedule(agent.host, None, hourly("one-more"), by()).await.unwrap_err();
    assert_eq!(too_many.field(), Some("name"));
}

#[tokio::test]
async fn a_due_backup_runs_once_at_its_time_and_says_who_caused_it() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
    let due = fleet.read().unwrap().schedule(agent.host, "nightly").unwrap().unwrap().next_due_at.unwrap();
    assert_eq!(due.0 % HOUR_MS, 0);
    assert_eq!(fleet.next_tick_at().unwrap(), Some(due));
    assert_eq!(fleet.read().unwrap().host_row(agent.host).unwrap().next_run_at, Some(due));

    world.set(Timestamp(due.0 - 1));
    fleet.tick().await;
    assert!(jobs(&fleet, agent.host).is_empty(), "a millisecond too early");
    world.set(due);
    fleet.tick().await;
    fleet.tick().await;
    let ran = jobs(&fleet, agent.host);
    assert_eq!(ran.len(), 1);
    assert_eq!(ran[0].actor, Actor::Schedule("nightly".into()));
    assert_eq!(waiting(&fleet), vec![], "what was handed over waits no more");
    assert_eq!(fleet.next_tick_at().unwrap(), Some(due.plus_ms(HOUR_MS)));
    assert_eq!(agent.run_what_waits(Outcome::Succeeded).await, 1);
    world.pass(HOUR_MS);
    fleet.tick().await;
    assert_eq!(jobs(&fleet, agent.host).len(), 2);
}

#[tokio::test]
async fn a_new_or_changed_schedule_does_not_catch_up_with_the_past() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
    let off = Schedule { enabled: false, ..hourly("nightly") };
    fleet.put_schedule(agent.host, Some("nightly"), off, by()).await.unwrap();
    assert_eq!(fleet.next_tick_at().unwrap(), None);
    world.pass(5 * HOUR_MS);
    fleet.tick().await;
    fleet.put_schedule(agent.host, Some("nightly"), hourly("nightly"), by()).await.unwrap();
    fleet.tick().await;
    assert!(jobs(&fleet, agent.host).is_empty(), "what fell while it was off is no occurrence");
    let daily = Schedule { cron: "@daily".into(), ..hourly("nightly") };
    world.pass(HOUR_MS - 1);
    fleet.put_schedule(agent.host, Some("nightly"), daily, by()).await.unwrap();
    fleet.tick().await;
    assert!(jobs(&fleet, agent.host).is_empty(), "it has other times now");
}

#[tokio::test]
async fn a_server_that_was_down_over_several_due_times_catches_up_once() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
    // No tick came for five hours.
    world.pass(5 * HOUR_MS);
    fleet.tick().await;
    fleet.tick().await;
    assert_eq!(jobs(&fleet, agent.host).len(), 1);
    agent.run_what_waits(Outcome::Succeeded).await;
    fleet.tick().await;
    assert_eq!(jobs(&fleet, agent.host).len(), 1);
}

#[tokio::test]
async fn nights_with_a_changed_clock_have_one_backup_each() {
    let (world, fleet) = in_memory();
    // 27 March and 23 October 2026, noon; Berlin changes its clocks two nights later.
    for noon in [utc(20_539, 12, 0), utc(20_749, 12, 0)] {
        world.set(noon);
        let mut agent = Agent::ready(&world, &fleet, &format!("attic{}", noon.0)).await;
        let nightly =
            Schedule { cron: "30 2 * * *".into(), timezone: "Europe/Berlin".into(), ..hourly("nightly") };
        fleet.put_schedule(agent.host, None, nightly, by()).await.unwrap();
        for night in 1..=4 {
            for _ in 0..24 * 6 {
                world.pass(600_000);
                fleet.tick().await;
                agent.run_what_waits(Outcome::Succeeded).await;
            }
            assert_eq!(jobs(&fleet, agent.host).len(), night);
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_repeats_nothing_and_one_that_was_far_ahead_stops_nothing() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
    world.pass(HOUR_MS);
    fleet.tick().await;
    agent.run_what_waits(Outcome::Succeeded).await;
    let ran_at = world.now();
    for _ in 0..4 {
        world.set(Timestamp(ran_at.0 - HOUR_MS + 1));
        fleet.tick().await;
        world.set(ran_at);
        fleet.tick().await;
    }
    assert_eq!(jobs(&fleet, agent.host).len(), 1);
    // The clock was a year ahead, and is put right.
    world.set(ran_at.plus_ms(365 * DAY_MS));
    fleet.tick().await;
    agent.run_what_waits(Outcome::Succeeded).await;
    assert_eq!(jobs(&fleet, agent.host).len(), 2);
    world.set(ran_at);
    fleet.tick().await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    assert_eq!(jobs(&fleet, agent.host).len(), 3, "it goes on, and not in a year");
}

#[tokio::test]
async fn renames_are_followed_and_a_deleted_group_is_named_no_more() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_group(agent.host, None, group("home"), by()).await.unwrap();
    let both = Schedule { groups: vec!["etc".into(), "home".into()], ..hourly("nightly") };
    fleet.put_schedule(agent.host, None, both, by()).await.unwrap();
    agent.gone(agent.epoch).await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    assert_eq!(waiting(&fleet).len(), 2);

    fleet.put_group(agent.host, Some("home"), group("homes"), by()).await.unwrap();
    let read = || fleet.read().unwrap().schedules(agent.host).unwrap().remove(0).schedule;
    assert_eq!(read().groups, ["etc", "homes"]);
    let mut names: Vec<_> = waiting(&fleet).into_iter().map(|run| run.group).collect();
    names.sort();
    assert_eq!(names, ["etc", "homes"]);
    let renamed = Schedule { name: "often".into(), ..read() };
    fleet.put_schedule(agent.host, Some("nightly"), renamed, by()).await.unwrap();
    assert!(waiting(&fleet).iter().all(|run| run.schedule == "often"));

    fleet.delete_group(agent.host, "homes", by()).await.unwrap();
    assert_eq!((read().groups, read().enabled), (vec!["etc".to_owned()], true));
    assert_eq!(waiting(&fleet).len(), 1);
    assert_eq!(audited(&fleet, "pending.abandoned").len(), 1);
    fleet.delete_group(agent.host, "etc", by()).await.unwrap();
    assert!(!read().enabled, "there is nothing left to run");
    assert_eq!(waiting(&fleet), vec![]);
    assert_eq!(fleet.next_tick_at().unwrap(), None);
}

#[tokio::test]
async fn a_deleted_host_leaves_no_schedule_and_nothing_that_waits() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
    agent.gone(agent.epoch).await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    assert_eq!(waiting(&fleet).len(), 1);
    fleet.delete_host(agent.host, by()).await.unwrap();
    assert_eq!((waiting(&fleet).len(), fleet.next_tick_at().unwrap()), (0, None));
    assert_eq!(fleet.read().unwrap().pending_count().unwrap(), 0);
    world.pass(HOUR_MS);
    fleet.tick().await;
}

#[tokio::test]
async fn hosts_with_jitter_are_spread_and_each_keeps_its_place() {
    let (world, fleet) = in_memory();
    let mut turns = Vec::new();
    for n in 0..8 {
        let agent = Agent::ready(&world, &fleet, &format!("box{n}")).await;
        let jittered = Schedule { jitter_secs: 1_200, ..hourly("nightly") };
        fleet.put_schedule(agent.host, None, jittered, by()).await.unwrap();
        let row = fleet.read().unwrap().host_row(agent.host).unwrap();
        let delay = row.next_run_at.unwrap().0 % HOUR_MS;
        assert!(delay < 1_200_000);
        turns.push(delay);
    }
    turns.sort_unstable();
    turns.dedup();
    assert_eq!(turns.len(), 8);
}

#[tokio::test]
async fn many_hosts_that_are_due_at_once_all_run_in_parts() {
    const HOSTS: u64 = 200;
    let (world, fleet) = in_memory();
    let mut agents = Vec::new();
    for n in 0..HOSTS {
        let agent = Agent::ready(&world, &fleet, &format!("box{n}")).await;
        fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
        agents.push(agent);
    }
    world.pass(HOUR_MS);
    let before = fleet.writer_counts().operations;
    fleet.tick().await;
    for agent in &agents {
        assert_eq!(jobs(&fleet, agent.host).len(), 1);
    }
    let parts = fleet.writer_counts().operations - before;
    assert!((HOSTS / 25..HOSTS).contains(&parts), "others get their turn between {parts} parts");
    assert_eq!(
        fleet.next_tick_at().unwrap(),
        fleet.read().unwrap().host_row(agents[0].host).unwrap().next_run_at
    );
}

#[tokio::test]
async fn a_host_whose_due_backup_waits_has_missed_it() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
    agent.back_up("etc", Outcome::Succeeded).await;
    let status = || fleet.read().unwrap().host_row(agent.host).unwrap().status;
    assert_eq!(status(), Status::Ok);
    agent.gone(agent.epoch).await;
    for _ in 0..3 {
        world.pass(HOUR_MS);
        fleet.tick().await;
    }
    assert_eq!(status(), Status::Missed);
    let strip = || fleet.read().unwrap().host_row(agent.host).unwrap().days();
    assert_eq!(strip()[fleet::DAYS - 2..], [fleet::Day::Ok, fleet::Day::Missed], "it is past midnight");
    world.pass(3 * DAY_MS);
    fleet.tick().await;
    let days = strip();
    assert_eq!(days[fleet::DAYS - 5], fleet::Day::Ok);
    assert_eq!(days[fleet::DAYS - 4..], [fleet::Day::Missed; 4]);
}
