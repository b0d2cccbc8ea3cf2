//! Single histories, told step by step.

use crate::agent::Script;
use crate::world::{Nature, Step, World};
use fleet::record::JobState;

#[test]
fn a_backup_goes_from_the_click_to_its_end_with_its_whole_log() {
    let mut world = World::new(Nature::default());
    world.heal();
    let job = world.dispatch(0, Script { runs_ms: 60_000, ..Script::default() }).expect("it is online");
    world.settle_and_check();
    let read = world.server.read();
    assert_eq!(read.job(job).expect("jobs").expect("a job").state, JobState::Succeeded);
    assert_eq!(read.job_log(job).expect("a log").total_lines, 14);
}

#[test]
fn a_journal_begun_anew_is_believed_though_its_epochs_are_behind_those_of_the_old_one() {
    let mut world = World::new(Nature::default());
    world.heal();
    // An unclean end takes the epochs ahead of the clock, from which a new journal takes its first one.
    for step in [Step::CrashAgent, Step::StartAgent, Step::Wake] {
        world.step(&step);
    }
    world.heal();
    world.step(&Step::LoseState { with_slots: true, enroll: false });
    world.heal();
    let presence = world.server.read().presence(world.server.host).expect("presence");
    assert!(presence.online);
    let job = world.dispatch(0, Script::default());
    assert!(job.is_some());
    world.settle_and_check();
}

#[test]
fn a_hello_that_is_overtaken_by_reports_does_not_leave_the_server_waiting_for_what_was_acked() {
    let mut world = World::new(Nature { foreign_broker: true, window: 1, clock_ahead_ms: 0 });
    world.heal();
    for step in [Step::StopAgent, Step::StartAgent, Step::PutCredentials, Step::Receive { count: 1 }] {
        world.step(&step);
    }
    world.settle_and_check();
}

#[test]
fn an_answer_to_a_hello_that_is_lost_is_asked_for_again_when_commands_wait_for_it() {
    let mut world = World::new(Nature { window: 1, ..Nature::default() });
    world.heal();
    for step in [
        Step::StopAgent,
        Step::StartAgent,
        Step::Read { lane: 0, count: 2 },
        Step::Ingest { count: 3 },
        Step::LoseDown,
        Step::PutCredentials,
    ] {
        world.step(&step);
    }
    world.settle_and_check();
}
