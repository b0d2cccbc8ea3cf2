//! Due backups that could not run: they wait, come again, and end for a reason that can be seen.

use crate::support::{
    Agent, HOUR_MS, World, audited, backup, by, group, hourly, in_memory, jobs, saved, settings, waiting,
};
use fleet::record::{Actor, JobState, Schedule};
use fleet::{Fleet, GiveUp, Refused, Setback};
use proptest::prelude::*;
use schema::report::Finished;
use schema::{Class, HeldJob, HeldPhase, JobId, Outcome, Refusal, ReportBody, Summary, Timestamp};
use std::task::{Context, Waker};

/// A host with a schedule of each hour, connected.
async fn scheduled() -> (World, Fleet, Agent) {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
    (world, fleet, agent)
}

/// Half a minute passes, the tick comes.
async fn tick(world: &World, fleet: &Fleet) {
    world.pass(30_000);
    fleet.tick().await;
}

async fn fail(agent: &mut Agent, class: Class) -> JobId {
    let job = jobs(&agent.fleet, agent.host)[0].id;
    agent.take_all();
    let at = agent.world.now();
    let finished = Finished {
        job,
        outcome: Outcome::Failed,
        class: Some(class),
        exit_code: Some(1),
        started_at: Some(at),
        finished_at: at,
        message: "",
        log_lines: 0,
        summary: Summary::None,
        kind: None,
        group: None,
    };
    agent.report(ReportBody::Finished(finished)).await;
    job
}

#[tokio::test]
async fn a_host_that_is_away_over_three_due_times_gets_one_backup_at_its_return() {
    let (world, fleet, mut agent) = scheduled().await;
    agent.gone(agent.epoch).await;
    for _ in 0..3 * 120 {
        tick(&world, &fleet).await;
    }
    let runs = waiting(&fleet);
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].missed, runs[0].attempt, runs[0].next_attempt_at), (3, 0, None));
    assert_eq!(runs[0].last_error.as_ref().unwrap().code, "host_offline");
    assert!(jobs(&fleet, agent.host).is_empty());

    let handled = agent.hello(&[]).await;
    assert!(handled.wake, "its command is to be sent at once");
    assert_eq!(waiting(&fleet), vec![]);
    fleet.tick().await;
    agent.hello(&[]).await;
    assert_eq!(jobs(&fleet, agent.host).len(), 1);
    assert_eq!(agent.run_what_waits(Outcome::Succeeded).await, 1);
    tick(&world, &fleet).await;
    assert_eq!(jobs(&fleet, agent.host).len(), 1);
}

#[tokio::test]
async fn a_schedule_that_is_deleted_meanwhile_gives_its_run_up() {
    let (world, fleet, mut agent) = scheduled().await;
    agent.gone(agent.epoch).await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    fleet.delete_schedule(agent.host, "nightly", by()).await.unwrap();
    assert_eq!(waiting(&fleet), vec![]);
    let given_up = fleet.read().unwrap().given_up(10).unwrap();
    assert_eq!(given_up.len(), 1);
    assert_eq!(given_up[0].why(), Some(GiveUp::ScheduleGone));
    let audit = audited(&fleet, "pending.abandoned");
    assert_eq!(audit[0].actor, Actor::Schedule("nightly".into()));
    assert!(audit[0].detail.contains("etc of schedule nightly"), "{}", audit[0].detail);
    agent.hello(&[]).await;
    assert!(jobs(&fleet, agent.host).is_empty());
    // A week later nobody needs to see it any more.
    world.pass(8 * 24 * HOUR_MS);
    fleet.sweep().await;
    assert_eq!(fleet.read().unwrap().given_up(10).unwrap(), vec![]);
}

#[tokio::test]
async fn what_may_go_better_comes_again_until_the_last_try() {
    let (world, fleet, mut agent) = scheduled().await;
    let three = Schedule { retry_max: 3, ..hourly("nightly") };
    fleet.put_schedule(agent.host, Some("nightly"), three, by()).await.unwrap();
    world.pass(HOUR_MS);
    fleet.tick().await;
    let mut last = world.now();
    for attempt in 1..=3u16 {
        fail(&mut agent, Class::Network).await;
        let run = waiting(&fleet).remove(0);
        assert_eq!(run.attempt, attempt);
        let delay = run.next_attempt_at.unwrap().ms_since(world.now());
        let base = 30_000 << (attempt - 1);
        assert!((base..=base + base / 4).contains(&delay), "{attempt}: {delay}");
        assert_eq!(fleet.next_tick_at().unwrap(), run.next_attempt_at);
        world.set(Timestamp(run.next_attempt_at.unwrap().0 - 1));
        fleet.tick().await;
        assert_eq!(jobs(&fleet, agent.host).len(), usize::from(attempt), "not before its time");
        world.pass(1);
        fleet.tick().await;
        assert_eq!(jobs(&fleet, agent.host).len(), usize::from(attempt) + 1);
        assert!(world.now() > last);
        last = world.now();
    }
    fail(&mut agent, Class::Network).await;
    assert_eq!(waiting(&fleet), vec![]);
    let given_up = fleet.read().unwrap().given_up(10).unwrap();
    assert_eq!((given_up[0].why(), given_up[0].run.attempt), (Some(GiveUp::Tries), 4));
    let last = given_up[0].run.last_error.as_ref().unwrap();
    assert_eq!(last.setback(), Some(Setback::Failed(Class::Network)));
    assert_eq!(last.job, Some(jobs(&fleet, agent.host)[0].id));
    let audit = audited(&fleet, "pending.abandoned");
    assert_eq!(audit.len(), 1);
    assert!(audit[0].detail.ends_with("4 tries; last: network"), "{}", audit[0].detail);
    // The next occurrence tries again.
    world.pass(HOUR_MS);
    fleet.tick().await;
    assert_eq!(jobs(&fleet, agent.host).len(), 5);
}

#[tokio::test]
async fn what_another_try_would_not_mend_is_given_up_at_once() {
    let (world, fleet, mut agent) = scheduled().await;
    for (n, class) in
        [Class::Auth, Class::SourceMissing, Class::Policy, Class::Damaged].into_iter().enumerate()
    {
        world.pass(HOUR_MS);
        fleet.tick().await;
        assert_eq!(jobs(&fleet, agent.host).len(), n + 1, "the next occurrence tries again");
        fail(&mut agent, class).await;
        assert_eq!(waiting(&fleet), vec![]);
    }
    let given_up = fleet.read().unwrap().given_up(10).unwrap();
    assert_eq!(given_up.len(), 4);
    assert_eq!(given_up[3].why(), Some(GiveUp::NoUse));
    let last = given_up[3].run.last_error.as_ref().unwrap();
    assert_eq!(last.setback(), Some(Setback::Failed(Class::Auth)));
}

#[tokio::test]
async fn a_group_may_allow_fewer_tries_than_its_schedule() {
    let (world, fleet, mut agent) = scheduled().await;
    let once = fleet::record::Group { retry_max: 0, ..group("etc") };
    fleet.put_group(agent.host, Some("etc"), once, by()).await.unwrap();
    world.pass(HOUR_MS);
    fleet.tick().await;
    fail(&mut agent, Class::Network).await;
    let given_up = fleet.read().unwrap().given_up(10).unwrap();
    assert_eq!((given_up[0].why(), given_up[0].run.attempt), (Some(GiveUp::Tries), 1));
}

#[tokio::test]
async fn an_agent_that_refuses_gets_it_again() {
    let (world, fleet, mut agent) = scheduled().await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    let job = jobs(&fleet, agent.host)[0].id;
    agent.take_all();
    agent.report(ReportBody::Refused { job, reason: Refusal::QueueFull, detail: "" }).await;
    let run = waiting(&fleet).remove(0);
    assert_eq!((run.attempt, run.last_error.unwrap().code.as_str()), (1, "queue_full"));
    world.pass(60_000);
    fleet.tick().await;
    assert_eq!(agent.run_what_waits(Outcome::Succeeded).await, 1);
    assert_eq!(waiting(&fleet), vec![]);
}

#[tokio::test]
async fn a_lost_backup_goes_back_to_the_queue_and_a_late_result_takes_it_out() {
    let (world, fleet, mut agent) = scheduled().await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    let job = jobs(&fleet, agent.host)[0].id;
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    // The agent comes back and knows nothing of it.
    agent.hello(&[]).await;
    assert_eq!(agent.job(job).state, JobState::Lost);
    let run = waiting(&fleet).remove(0);
    assert_eq!((run.attempt, run.last_error.as_ref().unwrap().job), (1, Some(job)));
    // It was not lost after all.
    agent.finish(job, Outcome::Succeeded, saved()).await;
    assert_eq!(waiting(&fleet), vec![]);
    world.pass(120_000);
    fleet.tick().await;
    assert_eq!(jobs(&fleet, agent.host).len(), 1);
}

#[tokio::test]
async fn a_backup_that_lives_after_all_is_followed_and_not_doubled() {
    let (world, fleet, mut agent) = scheduled().await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    let job = jobs(&fleet, agent.host)[0].id;
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    agent.hello(&[]).await;
    assert_eq!(waiting(&fleet).len(), 1);
    agent.hello(&[HeldJob { job, phase: HeldPhase::Running, group: None }]).await;
    world.pass(120_000);
    fleet.tick().await;
    assert_eq!((jobs(&fleet, agent.host).len(), waiting(&fleet).len()), (1, 0));
    fail(&mut agent, Class::Network).await;
    assert_eq!(waiting(&fleet).len(), 1, "it was followed: its end counts");
}

#[tokio::test]
async fn a_backup_that_runs_when_another_is_due_serves_both() {
    let (world, fleet, mut agent) = scheduled().await;
    let mine = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    world.pass(HOUR_MS);
    fleet.tick().await;
    assert_eq!((jobs(&fleet, agent.host).len(), waiting(&fleet).len()), (1, 0));
    fail(&mut agent, Class::RepoLocked).await;
    let run = waiting(&fleet).remove(0);
    assert_eq!(run.last_error.unwrap().job, Some(mine.id));
    // A person is faster than the next try: the run is satisfied.
    agent.back_up("etc", Outcome::Succeeded).await;
    assert_eq!(waiting(&fleet), vec![]);
    world.pass(120_000);
    fleet.tick().await;
    assert_eq!(jobs(&fleet, agent.host).len(), 2);
}

#[tokio::test]
async fn a_cancelled_backup_does_not_come_back() {
    let (world, fleet, mut agent) = scheduled().await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    let job = jobs(&fleet, agent.host)[0].id;
    agent.take_all();
    fleet.cancel(job, by()).await.unwrap();
    agent.finish(job, Outcome::Cancelled, Summary::None).await;
    assert_eq!(waiting(&fleet), vec![]);
    assert_eq!(fleet.read().unwrap().given_up(10).unwrap(), vec![]);
}

#[tokio::test]
async fn a_schedule_that_is_off_lets_its_run_sleep_until_it_is_on_again() {
    let (world, fleet, mut agent) = scheduled().await;
    agent.gone(agent.epoch).await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    let off = Schedule { enabled: false, ..hourly("nightly") };
    fleet.put_schedule(agent.host, Some("nightly"), off, by()).await.unwrap();
    agent.hello(&[]).await;
    tick(&world, &fleet).await;
    assert_eq!((waiting(&fleet).len(), jobs(&fleet, agent.host).len()), (1, 0));
    assert_eq!(fleet.next_tick_at().unwrap(), None, "nobody wakes for it");
    fleet.put_schedule(agent.host, Some("nightly"), hourly("nightly"), by()).await.unwrap();
    assert_eq!((waiting(&fleet).len(), jobs(&fleet, agent.host).len()), (0, 1));
}

#[tokio::test]
async fn what_is_refused_here_waits_with_the_reason() {
    let (world, fleet, mut agent) = scheduled().await;
    fleet.delete_credentials(agent.host, schema::Slot::Repo, by()).await.unwrap();
    world.pass(HOUR_MS);
    fleet.tick().await;
    let run = waiting(&fleet).remove(0);
    assert_eq!((run.attempt, run.last_error.unwrap().code.as_str()), (1, "repo_creds_required"));
    fleet.put_credentials(agent.host, schema::Slot::Repo, crate::support::credentials(), by()).await.unwrap();
    world.pass(60_000);
    fleet.tick().await;
    assert_eq!(agent.run_what_waits(Outcome::Succeeded).await, 1);
}

#[tokio::test]
async fn run_now_and_drop() {
    let (world, fleet, mut agent) = scheduled().await;
    agent.gone(agent.epoch).await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    let run = waiting(&fleet).remove(0);
    assert!(matches!(fleet.run_pending(run.id, by()).await, Err(Refused::HostOffline)));
    assert_eq!(waiting(&fleet).remove(0), run, "it waits as before");
    agent.hello(&[]).await;
    fail(&mut agent, Class::Network).await;
    let again = waiting(&fleet).remove(0);
    let job = fleet.run_pending(again.id, by()).await.unwrap();
    assert_eq!(job.actor, by().actor);
    assert!(matches!(fleet.run_pending(again.id, by()).await, Err(Refused::PendingNotFound)));
    fail(&mut agent, Class::Network).await;
    assert_eq!(waiting(&fleet)[0].attempt, 2, "its try counts");
    assert_eq!(fleet.run_all_pending(by()).await.unwrap(), 1);
    assert_eq!((jobs(&fleet, agent.host).len(), waiting(&fleet).len()), (3, 0));
    fail(&mut agent, Class::Network).await;
    let last = waiting(&fleet).remove(0);
    fleet.drop_pending(last.id, by()).await.unwrap();
    assert!(matches!(fleet.drop_pending(last.id, by()).await, Err(Refused::PendingNotFound)));
    assert_eq!(waiting(&fleet), vec![]);
    assert_eq!(audited(&fleet, "pending.dropped").len(), 1);
    world.pass(120_000);
    fleet.tick().await;
    assert_eq!(jobs(&fleet, agent.host).len(), 3);
}

#[tokio::test]
async fn more_groups_than_an_agent_holds_run_one_after_the_other() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let names: Vec<String> = (0..40).map(|n| format!("g{n}")).collect();
    for name in &names {
        fleet.put_group(agent.host, None, group(name), by()).await.unwrap();
    }
    let all = Schedule { groups: names, retry_max: 0, ..hourly("nightly") };
    fleet.put_schedule(agent.host, None, all, by()).await.unwrap();
    world.pass(HOUR_MS);
    fleet.tick().await;
    assert_eq!(jobs(&fleet, agent.host).len(), schema::limits::MAX_HELD_JOBS);
    assert_eq!(waiting(&fleet).len(), 40 - schema::limits::MAX_HELD_JOBS);
    for _ in 0..4 {
        agent.run_what_waits(Outcome::Succeeded).await;
        world.pass(60_000);
        fleet.tick().await;
    }
    assert_eq!((jobs(&fleet, agent.host).len(), waiting(&fleet).len()), (40, 0));
}

/// Reports a backup that began and ended at these times, as its agent tells it now.
async fn late(agent: &mut Agent, job: JobId, (began, ended): (Timestamp, Timestamp)) {
    let said = crate::support::finished(job, Outcome::Succeeded, ended, saved());
    agent.report(ReportBody::Finished(Finished { started_at: Some(began), ..said })).await;
}

#[tokio::test]
async fn what_came_due_after_a_backup_had_begun_is_not_met_by_it_however_late_it_is_told() {
    let (world, fleet, mut agent) = scheduled().await;
    let two_hourly = Schedule { cron: "30 */2 * * *".into(), ..hourly("other") };
    fleet.put_schedule(agent.host, None, two_hourly, by()).await.unwrap();
    let start = Timestamp(world.now().0 / (2 * HOUR_MS) * 2 * HOUR_MS + 4 * HOUR_MS);
    let at = |hours: u64, minutes: u64| start.plus_ms(hours * HOUR_MS + minutes * 60_000);
    world.set(at(0, 0));
    fleet.tick().await;
    while agent.run_what_waits(Outcome::Succeeded).await > 0 {
        fleet.tick().await;
    }
    // A person's, in the middle between two due times; then everything is away.
    world.set(at(0, 10));
    let mine = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    agent.gone(agent.epoch).await;
    for hour in 1..=5 {
        world.set(at(hour, 1));
        fleet.tick().await;
    }
    agent.reports = agent.reports.next();
    agent.hello(&[HeldJob { job: mine.id, phase: HeldPhase::Finished, group: None }]).await;
    agent.reports = agent.reports.previous();
    late(&mut agent, mine.id, (at(3, 5), at(3, 20))).await;
    // Due at 4 and 5 by the one, at 4:30 by the other: handed over at once, as one backup.
    let ran = jobs(&fleet, agent.host);
    assert_ne!(ran[0].id, mine.id, "the late result has swallowed what came due later");
    fail(&mut agent, Class::Network).await;
    let mut runs = waiting(&fleet);
    runs.sort_by_key(|run| run.due_at);
    let seen: Vec<_> =
        runs.iter().map(|run| (run.schedule.as_str(), run.due_at, run.last_due_at, run.missed)).collect();
    assert_eq!(seen, [("nightly", at(4, 0), at(5, 0), 2), ("other", at(4, 30), at(4, 30), 1)]);
    world.pass(60_000);
    fleet.tick().await;
    assert_eq!(agent.run_what_waits(Outcome::Succeeded).await, 1);
    assert_eq!(waiting(&fleet), vec![]);
}

#[tokio::test]
async fn what_comes_due_while_its_own_backup_runs_is_run_when_that_has_ended() {
    let (world, fleet, mut agent) = scheduled().await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    let job = jobs(&fleet, agent.host)[0].id;
    agent.take_all();
    agent.report(ReportBody::Started { job }).await;
    let began = world.now();
    for _ in 0..3 {
        world.pass(HOUR_MS);
        fleet.tick().await;
    }
    assert_eq!(jobs(&fleet, agent.host).len(), 1);
    late(&mut agent, job, (began, world.now())).await;
    let run = waiting(&fleet).remove(0);
    assert_eq!((run.missed, run.attempt, run.last_error), (3, 0, None));
    fleet.tick().await;
    assert_eq!(agent.run_what_waits(Outcome::Succeeded).await, 1);
    assert_eq!(waiting(&fleet), vec![]);
    world.pass(60_000);
    fleet.tick().await;
    assert_eq!(jobs(&fleet, agent.host).len(), 2);
}

#[tokio::test]
async fn a_backup_that_was_running_already_is_no_try_of_what_came_due() {
    for cancelled in [false, true] {
        let (world, fleet, mut agent) = scheduled().await;
        let mine = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
        agent.take_all();
        agent.report(ReportBody::Started { job: mine.id }).await;
        world.pass(HOUR_MS);
        fleet.tick().await;
        assert_eq!((jobs(&fleet, agent.host).len(), waiting(&fleet).len()), (1, 0), "it is waited for");
        if cancelled {
            fleet.cancel(mine.id, by()).await.unwrap();
            agent.finish(mine.id, Outcome::Cancelled, Summary::None).await;
        } else {
            let said = crate::support::finished(mine.id, Outcome::Failed, world.now(), Summary::None);
            let began = Timestamp(world.now().0 - HOUR_MS + 1);
            agent.report(ReportBody::Finished(Finished { started_at: Some(began), ..said })).await;
        }
        let run = waiting(&fleet).remove(0);
        assert_eq!((run.attempt, run.last_error, run.next_attempt_at), (0, None, Some(world.now())));
        fleet.tick().await;
        assert_eq!(agent.run_what_waits(Outcome::Succeeded).await, 1);
        assert_eq!(waiting(&fleet), vec![]);
    }
}

#[tokio::test]
async fn a_clock_that_is_ahead_makes_no_backup_begin_later_than_it_was_heard_to() {
    let (world, fleet, mut agent) = scheduled().await;
    let mine = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Started { job: mine.id }).await;
    let began = world.now();
    agent.gone(agent.epoch).await;
    world.pass(3 * HOUR_MS);
    fleet.tick().await;
    agent.reports = agent.reports.next();
    agent.hello(&[HeldJob { job: mine.id, phase: HeldPhase::Finished, group: None }]).await;
    agent.reports = agent.reports.previous();
    // It took ten minutes, by a clock that is two hours ahead.
    late(&mut agent, mine.id, (began.plus_ms(2 * HOUR_MS), began.plus_ms(2 * HOUR_MS + 600_000))).await;
    let record = agent.job(mine.id);
    assert_eq!((record.started_at, record.finished_at), (Some(began), Some(began.plus_ms(600_000))));
    assert_eq!(agent.run_what_waits(Outcome::Succeeded).await, 1, "three came due meanwhile");
}

/// What may happen in a life with restarts.
#[derive(Clone, Debug)]
enum Step {
    /// Time passes and the tick comes.
    Tick(u64),
    /// Time passes and no tick comes: the server is down, or busy.
    Pass(u64),
    /// The server dies in the middle of a tick, and starts again.
    Crash,
    Hello,
    Gone,
    /// The agent takes what waits and runs it.
    Run(Outcome),
    /// The agent takes what waits and dies: it knows nothing of it.
    Forget,
    RunNow,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..40 * 60_000u64).prop_map(Step::Tick),
        2 => (1..5 * HOUR_MS).prop_map(Step::Pass),
        4 => Just(Step::Crash),
        4 => Just(Step::Hello),
        2 => Just(Step::Gone),
        4 => prop_oneof![2 => Just(Outcome::Succeeded), 1 => Just(Outcome::Failed)].prop_map(Step::Run),
        1 => Just(Step::Forget),
        1 => Just(Step::RunNow),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    /// Whatever happens in between, and wherever the server dies: there is never a second backup of a group beside
    /// one that is open, no due backup is forgotten, and in the end everything has run.
    #[test]
    fn no_due_backup_is_doubled_or_forgotten(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome: Result<(), TestCaseError> = runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let world = World::new();
            let open = || Fleet::open(folder.path(), settings(), world.driver()).unwrap();
            let fleet = open();
            let mut agent = Agent::ready(&world, &fleet, "attic").await;
            let endless = Schedule { retry_max: 1_000, ..hourly("nightly") };
            fleet.put_group(agent.host, Some("etc"), fleet::record::Group { retry_max: 1_000, ..group("etc") }, by())
                .await
                .unwrap();
            fleet.put_schedule(agent.host, None, endless, by()).await.unwrap();
            let mut fleet = Some(fleet);
            let mut online = true;
            let settle = (0..4).flat_map(|_| [Step::Hello, Step::Run(Outcome::Succeeded), Step::Tick(31 * 60_000)]);
            for step in steps.into_iter().chain(settle) {
                let now = fleet.as_ref().unwrap();
                match step {
                    Step::Tick(ms) => {
                        world.pass(ms);
                        now.tick().await;
                    }
                    Step::Pass(ms) => world.pass(ms),
                    Step::Crash => {
                        // A tick that has been begun and that nobody waits for: what it has queued is committed, its
                        // effects reach nobody.
                        let mut tick = Box::pin(now.tick());
                        let _ = tick.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        drop(tick);
                        agent.fleet = Fleet::in_memory(settings(), world.driver()).unwrap();
                        drop(fleet.take());
                        agent.fleet = open();
                        fleet = Some(agent.fleet.clone());
                        online = false;
                    }
                    Step::Hello => {
                        agent.hello(&[]).await;
                        online = true;
                    }
                    Step::Gone => {
                        agent.gone(agent.epoch).await;
                        online = false;
                    }
                    Step::Run(outcome) if online => {
                        agent.run_what_waits(outcome).await;
                    }
                    Step::Forget if online => {
                        agent.take_all();
                        agent.hello(&[]).await;
                    }
                    Step::RunNow => {
                        let _ = now.dispatch(agent.host, backup("etc"), by()).await;
                    }
                    Step::Run(_) | Step::Forget => {}
                }
                let open_now = fleet.as_ref().unwrap().read().unwrap().open_jobs(agent.host).unwrap();
                prop_assert!(open_now.len() <= 1, "doubled: {:?}", open_now);
            }
            let fleet = fleet.unwrap();
            prop_assert_eq!(waiting(&fleet), vec![]);
            prop_assert!(fleet.read().unwrap().open_jobs(agent.host).unwrap().len() <= 1);
            let last_good = fleet.read().unwrap().last_good_backup(agent.host, Some("etc")).unwrap();
            prop_assert!(last_good.is_some());
            prop_assert_eq!(fleet.read().unwrap().given_up(10).unwrap(), vec![]);
            Ok(())
        });
        outcome?;
    }
}
