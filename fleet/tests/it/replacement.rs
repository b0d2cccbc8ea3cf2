//! Another machine takes a host's place: nothing is backed up and nothing goes until a person says so.

use crate::support::{
    Agent, DAY_MS, HOUR_MS, World, audited, backup, by, credentials, group, hourly, in_memory, jobs, waiting,
};
use fleet::record::{AgentGone, Group, JobState, Retention, TokenMachine};
use fleet::{Fleet, JobRequest, Reason, Refused, Status};
use proptest::prelude::*;
use schema::{InstallationId, JobKind, Outcome, Slot};

const OTHER: InstallationId = InstallationId([9; 16]);

/// A host with admin credentials, a keep rule, an hourly schedule and a good backup.
async fn backed_up(world: &World, fleet: &Fleet) -> Agent {
    let mut agent = Agent::ready(world, fleet, "attic").await;
    fleet.put_credentials(agent.host, Slot::Admin, credentials(), by()).await.unwrap();
    let keep = Retention { last: 2, ..Retention::default() };
    fleet.put_group(agent.host, Some("etc"), Group { keep, ..group("etc") }, by()).await.unwrap();
    agent.lists_nothing().await;
    agent.back_up("etc", Outcome::Succeeded).await;
    fleet.put_schedule(agent.host, None, hourly("often"), by()).await.unwrap();
    agent
}

/// Enrols another machine, or the same, as the host; it is connected.
async fn enrolled(agent: &Agent, machine: TokenMachine, installation: InstallationId) -> Agent {
    let token = agent.fleet.new_enroll_token(agent.host, machine, by()).await.unwrap();
    let mut new = Agent::with_token(&agent.world, &agent.fleet, token.text.expose(), installation).await;
    new.hello(&[]).await;
    new.take_all();
    new
}

fn is_held(agent: &Agent) -> bool {
    agent.record().backups_held.is_some()
}

/// Jobs that a held host must not have.
fn open_kinds(agent: &Agent) -> Vec<JobKind> {
    let open = agent.fleet.read().unwrap().open_jobs(agent.host).unwrap();
    let kinds = open.iter().map(|job| job.what.kind());
    kinds.filter(|kind| matches!(kind, JobKind::Backup | JobKind::Forget | JobKind::Prune)).collect()
}

#[tokio::test]
async fn what_comes_due_on_a_machine_that_took_anothers_place_waits_until_a_person_starts_its_backups() {
    let (world, fleet) = in_memory();
    let old = backed_up(&world, &fleet).await;
    assert_eq!(old.planned(), (false, 1));
    let mut new = enrolled(&old, TokenMachine::Replacement, OTHER).await;
    let held = new.record().backups_held.unwrap();
    assert_eq!((held.hostname.as_str(), held.former_hostname.as_str()), ("attic.example", "attic.example"));
    assert_eq!(new.planned(), (true, 0), "nor does its agent do any alone");
    let (groups, schedules) = {
        let read = fleet.read().unwrap();
        (read.groups(new.host).unwrap().len(), read.schedules(new.host).unwrap().len())
    };
    assert_eq!((groups, schedules), (1, 1), "what the host has, stays");

    let before = jobs(&fleet, new.host).len();
    world.pass(HOUR_MS);
    fleet.tick().await;
    let run = waiting(&fleet).remove(0);
    assert_eq!(run.last_error.as_ref().unwrap().code, "backups_held");
    assert_eq!((run.attempt, run.next_attempt_at), (0, None), "it is no try, and no time ends it");
    for request in [backup("etc"), JobRequest::Forget, JobRequest::Prune] {
        assert_eq!(fleet.dispatch(new.host, request, by()).await, Err(Refused::BackupsHeld));
    }
    assert_eq!(fleet.run_pending(run.id, by()).await, Err(Refused::BackupsHeld));
    assert_eq!(fleet.run_all_pending(by()).await, Ok(0));
    new.gone(new.epoch).await;
    new.hello(&[]).await;
    world.pass(2 * HOUR_MS);
    fleet.tick().await;
    fleet.maintain().await;
    assert_eq!(waiting(&fleet)[0].missed, 3, "missed ones count as one run");
    assert_eq!((jobs(&fleet, new.host).len(), open_kinds(&new)), (before, vec![]));

    let row = fleet.read().unwrap().host_row(new.host).unwrap();
    let reason = Reason::BackupsHeld { since: held.since };
    assert_eq!((row.status, &row.reason), (Status::Missed, &reason), "it is overdue, and the reason is told");
    // What only reads goes on: the day is one for restores and checks.
    fleet.dispatch(new.host, JobRequest::Snapshots, by()).await.unwrap();
    fleet.dispatch(new.host, JobRequest::Check { subset_pct: None }, by()).await.unwrap();

    let started = fleet.start_backups(new.host, None, by()).await.unwrap();
    assert_eq!(started.backups_held, None);
    assert_eq!((open_kinds(&new), new.planned()), (vec![JobKind::Backup], (false, 1)), "at once");
    new.run_what_waits(Outcome::Succeeded).await;
    assert_eq!(waiting(&fleet), []);
    let row = fleet.read().unwrap().host_row(new.host).unwrap();
    assert!(row.protected && row.status != Status::Missed, "{:?} {:?}", row.status, row.reason);

    let replaced = audited(&fleet, "host.replaced").remove(0).detail.to_string();
    assert!(replaced.contains("key 1") && replaced.contains("key 2"), "{replaced}");
    let token = audited(&fleet, "token.created").remove(0).detail.to_string();
    assert!(token.contains("for a machine that takes its place"), "{token}");
    let started = audited(&fleet, "host.backups_started").remove(0);
    assert_eq!(started.actor.name(), "ada");
    fleet.start_backups(new.host, None, by()).await.unwrap();
    assert_eq!(audited(&fleet, "host.backups_started").len(), 1, "nothing to start is nothing done");
}

#[tokio::test]
async fn backups_of_the_machine_that_was_meant_are_started_and_not_of_one_that_came_after_it() {
    let (world, fleet) = in_memory();
    let old = backed_up(&world, &fleet).await;
    let held = |host| fleet.read().unwrap().host(host).unwrap().unwrap().backups_held.unwrap();
    let second = enrolled(&old, TokenMachine::Replacement, OTHER).await;
    let mark = held(second.host).mark();
    world.pass(HOUR_MS);
    let third = enrolled(&second, TokenMachine::Replacement, InstallationId([0x33; 16])).await;
    let now = held(third.host);
    let refused = fleet.start_backups(third.host, Some(mark), by()).await;
    assert_eq!(refused, Err(Refused::HoldChanged { hostname: now.hostname.clone() }));
    assert_eq!(held(third.host), now, "nothing was started");
    let started = fleet.start_backups(third.host, Some(now.mark()), by()).await.unwrap();
    assert_eq!(started.backups_held, None);
}

#[tokio::test]
async fn a_backup_that_ran_when_another_machine_took_the_place_is_not_tried_again_before_a_person_says_so() {
    let (world, fleet) = in_memory();
    let old = backed_up(&world, &fleet).await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    assert_eq!(open_kinds(&old), [JobKind::Backup]);
    let ran = jobs(&fleet, old.host).remove(0).id;
    let new = enrolled(&old, TokenMachine::Replacement, OTHER).await;
    let lost = new.job(ran);
    assert_eq!((lost.state, lost.agent_gone), (JobState::Lost, Some(AgentGone::Replaced)));
    assert_eq!(lost.message, "another machine took the host's place");
    world.pass(HOUR_MS / 2);
    fleet.tick().await;
    assert_eq!((open_kinds(&new), waiting(&fleet).len()), (vec![], 1));
    fleet.start_backups(new.host, None, by()).await.unwrap();
    assert_eq!(open_kinds(&new), [JobKind::Backup]);
}

#[tokio::test]
async fn a_token_that_says_nothing_holds_a_machine_without_the_state_folder_of_before_where_there_are_backups()
 {
    for (machine, has_backups, is_same, held) in [
        (TokenMachine::Any, true, false, true),
        (TokenMachine::Any, true, true, false),
        (TokenMachine::Any, false, false, false),
        (TokenMachine::Same, true, false, false),
        (TokenMachine::Replacement, true, true, true),
        (TokenMachine::Replacement, false, false, true),
    ] {
        let (world, fleet) = in_memory();
        let old = match has_backups {
            true => backed_up(&world, &fleet).await,
            false => Agent::ready(&world, &fleet, "attic").await,
        };
        let installation = if is_same { old.installation } else { OTHER };
        let new = enrolled(&old, machine, installation).await;
        assert_eq!(is_held(&new), held, "{machine:?} {has_backups} {is_same}");
        assert_eq!(audited(&fleet, "host.replaced").len(), usize::from(held));
    }
}

#[tokio::test]
async fn enrolling_once_more_ends_no_hold() {
    let (world, fleet) = in_memory();
    let old = backed_up(&world, &fleet).await;
    let new = enrolled(&old, TokenMachine::Replacement, OTHER).await;
    let since = new.record().backups_held.unwrap().since;
    world.pass(HOUR_MS);
    for machine in [TokenMachine::Any, TokenMachine::Same] {
        let again = enrolled(&new, machine, OTHER).await;
        assert_eq!(again.record().backups_held.unwrap().since, since, "{machine:?}");
    }
    let third = enrolled(&new, TokenMachine::Any, InstallationId([8; 16])).await;
    let held = third.record().backups_held.unwrap();
    assert_eq!((held.since, held.former_hostname.as_str()), (world.now(), "attic.example"));
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Hello,
    Gone,
    Enrol(u8, bool),
    Start,
    Ask(u8),
    Finish(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..40u64).prop_map(Step::Pass),
        2 => Just(Step::Hello),
        1 => Just(Step::Gone),
        2 => (0..3u8, any::<bool>()).prop_map(|(machine, same)| Step::Enrol(machine, same)),
        1 => Just(Step::Start),
        2 => (0..4u8).prop_map(Step::Ask),
        2 => any::<bool>().prop_map(Step::Finish),
    ]
}

async fn take(agent: &mut Agent, step: &Step) {
    let (fleet, host) = (agent.fleet.clone(), agent.host);
    match step {
        Step::Pass(halves) => {
            agent.world.pass(halves * HOUR_MS / 2);
            fleet.tick().await;
            fleet.sweep().await;
            fleet.maintain().await;
        }
        Step::Hello => drop(agent.hello(&[]).await),
        Step::Gone => agent.gone(agent.epoch).await,
        Step::Enrol(machine, is_same) => {
            let machine =
                [TokenMachine::Any, TokenMachine::Same, TokenMachine::Replacement][usize::from(*machine)];
            let mut other = agent.installation;
            other.0[0] ^= u8::from(!is_same);
            *agent = enrolled(agent, machine, other).await;
        }
        Step::Start => drop(fleet.start_backups(host, None, by()).await.unwrap()),
        Step::Ask(what) => {
            let what = [
                backup("etc"),
                JobRequest::Forget,
                JobRequest::Prune,
                JobRequest::Check { subset_pct: None },
            ][usize::from(*what)]
            .clone();
            let _ = fleet.dispatch(host, what, by()).await;
        }
        Step::Finish(is_good) => {
            if agent.fleet.read().unwrap().presence(host).unwrap().online {
                let outcome = if *is_good { Outcome::Succeeded } else { Outcome::Failed };
                agent.run_what_waits(outcome).await;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn in_whatever_order_things_happen_a_held_host_gets_no_job_that_saves_or_removes(
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (world, fleet) = in_memory();
            let mut agent = backed_up(&world, &fleet).await;
            for step in &steps {
                let was_held = is_held(&agent);
                take(&mut agent, step).await;
                if is_held(&agent) {
                    assert_eq!(open_kinds(&agent), [], "{steps:?}");
                    assert_eq!(agent.planned(), (true, 0));
                } else {
                    let was_ended = !was_held || matches!(step, Step::Start);
                    assert!(was_ended, "only a person ends it: {step:?}");
                    assert_eq!(agent.planned(), (false, 1));
                }
            }
            // Once a person says so, what waits runs.
            fleet.start_backups(agent.host, None, by()).await.unwrap();
            agent.hello(&[]).await;
            world.pass(DAY_MS);
            fleet.tick().await;
            assert!(open_kinds(&agent).contains(&JobKind::Backup), "{steps:?}");
        });
    }
}

#[tokio::test]
async fn the_last_words_of_a_replaced_machine_are_no_forgery_but_what_comes_later_is() {
    let (world, fleet) = in_memory();
    let old = backed_up(&world, &fleet).await;
    let will = old.hello_bytes(&[]);
    let new = enrolled(&old, TokenMachine::Replacement, OTHER).await;
    fleet.handle_presence(new.host, &will, "").await.unwrap();
    assert!(audited(&fleet, "agent.forged").is_empty());
    assert_eq!(new.record().facts.unwrap().installation, OTHER, "nor is it heard");
    world.pass(61_000);
    fleet.handle_presence(new.host, &will, "").await.unwrap();
    assert_eq!(audited(&fleet, "agent.forged").len(), 1);
}
