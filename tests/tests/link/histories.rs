//! Random histories.

use crate::agent::{Crash, Script};
use crate::world::{Nature, Notices, Step, World};
use proptest::prelude::*;
use schema::Outcome;

fn script() -> impl Strategy<Value = Script> {
    let outcome = prop_oneof![
        3 => Just(Outcome::Succeeded),
        1 => Just(Outcome::Warning),
        1 => Just(Outcome::Failed),
    ];
    (0..90_000_u64, 500..20_000_u64, outcome, any::<bool>()).prop_map(
        |(runs_ms, line_every_ms, outcome, is_stubborn)| Script {
            runs_ms,
            line_every_ms,
            outcome,
            is_stubborn,
        },
    )
}

fn notices() -> impl Strategy<Value = Notices> {
    prop_oneof![Just(Notices::Agent), Just(Notices::Server), Just(Notices::Both)]
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![Just(Crash::Before), Just(Crash::After)]
}

/// What moves things forward.
fn move_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..8_u8, script()).prop_map(|(request, script)| Step::Dispatch { request, script }),
        10 => (0..5_usize, 1..6_usize).prop_map(|(lane, count)| Step::Read { lane, count }),
        10 => (1..6_usize).prop_map(|count| Step::Ingest { count }),
        10 => (1..6_usize).prop_map(|count| Step::Receive { count }),
        3 => Just(Step::WriteNotes),
        4 => (1..30_000_u64).prop_map(|ms| Step::Pass { ms }),
        5 => Just(Step::Wake),
        1 => Just(Step::StartServer),
        1 => Just(Step::StartAgent),
    ]
}

/// What people do.
fn ask_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_usize).prop_map(|which| Step::Cancel { which }),
        2 => Just(Step::PutCredentials),
        1 => Just(Step::DeleteCredentials),
    ]
}

/// What goes wrong between the two.
fn network_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (notices(), 0..4_usize, 0..4_usize).prop_map(|(notices, up, down)| Step::Break { notices, up, down }),
        3 => (0..5_usize, 1..5_usize).prop_map(|(lane, count)| Step::RepeatUp { lane, count }),
        3 => (1..5_usize).prop_map(|count| Step::RepeatDown { count }),
        2 => Just(Step::LoseLive),
        3 => Just(Step::LoseDown),
        2 => any::<bool>().prop_map(|works| Step::Network { works }),
        1 => Just(Step::Network { works: true }),
        2 => (0..4_usize).prop_map(|which| Step::LateWill { which }),
        1 => Just(Step::NotTaken),
    ]
}

/// What goes wrong at either end.
fn crash_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..6_usize).prop_map(|count| Step::IngestAndCrash { count }),
        1 => Just(Step::CrashServer),
        3 => Just(Step::StartServer),
        1 => Just(Step::CrashAgent),
        4 => (1..8_u32, crash()).prop_map(|(records, crash)| Step::CrashAgentAt { records, crash }),
        1 => Just(Step::StopAgent),
        4 => Just(Step::StartAgent),
        1 => Just(Step::Sweep),
        1 => (0..4_usize).prop_map(|which| Step::GiveUpLog { which }),
    ]
}

fn disk_step() -> impl Strategy<Value = Step> {
    any::<bool>().prop_map(|fails| Step::AgentDisk { fails })
}

fn loss_step() -> impl Strategy<Value = Step> {
    (any::<bool>(), any::<bool>()).prop_map(|(with_slots, enroll)| Step::LoseState { with_slots, enroll })
}

fn late_step() -> impl Strategy<Value = Step> {
    (3..20_u64).prop_map(|hours| Step::Absence { hours })
}

fn nature(foreign_broker: bool) -> impl Strategy<Value = Nature> {
    (prop_oneof![Just(1), Just(4), Just(32)], prop_oneof![3 => Just(0_u64), 1 => 0..600_000_u64])
        .prop_map(move |(window, clock_ahead_ms)| Nature { foreign_broker, window, clock_ahead_ms })
}

fn play(nature: Nature, steps: &[Step]) {
    let mut world = World::new(nature);
    world.heal();
    for step in steps {
        world.step(step);
    }
    world.settle_and_check();
}

/// 50 histories of each sort, unless `PROPTEST_CASES` says otherwise.
fn config() -> ProptestConfig {
    let default = ProptestConfig {
        max_shrink_iters: 3_000,
        max_shrink_time: 60_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        default
    } else {
        ProptestConfig { cases: 50, ..default }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn over_a_bad_network_every_job_runs_once_and_ends_as_it_ran(
        nature in nature(false),
        steps in prop::collection::vec(prop_oneof![6 => move_step(), 1 => ask_step(), 2 => network_step()], 1..160)
    ) {
        play(nature, &steps);
    }

    #[test]
    fn with_crashes_on_both_sides_every_job_runs_once_and_ends_as_it_ran(
        nature in nature(false),
        steps in prop::collection::vec(
            prop_oneof![12 => move_step(), 2 => ask_step(), 2 => network_step(), 3 => crash_step()], 1..160)
    ) {
        play(nature, &steps);
    }

    #[test]
    fn behind_another_broker_that_reorders_topics_the_same_is_true(
        nature in nature(true),
        steps in prop::collection::vec(
            prop_oneof![12 => move_step(), 2 => ask_step(), 3 => network_step(), 2 => crash_step()], 1..160)
    ) {
        play(nature, &steps);
    }

    #[test]
    fn an_agent_whose_disk_fails_now_and_then_starts_nothing_twice(
        nature in nature(false),
        steps in prop::collection::vec(
            prop_oneof![24 => move_step(), 4 => ask_step(), 3 => network_step(), 3 => crash_step(), 2 => disk_step()],
            1..160)
    ) {
        play(nature, &steps);
    }

    #[test]
    fn a_state_folder_that_is_lost_heals(
        nature in nature(false),
        steps in prop::collection::vec(
            prop_oneof![24 => move_step(), 4 => ask_step(), 3 => network_step(), 3 => crash_step(), 1 => loss_step()],
            1..160)
    ) {
        play(nature, &steps);
    }

    #[test]
    fn after_long_absences_commands_expire_and_nothing_is_stuck(
        nature in nature(false),
        steps in prop::collection::vec(
            prop_oneof![24 => move_step(), 4 => ask_step(), 4 => network_step(), 4 => crash_step(), 1 => late_step()],
            1..160)
    ) {
        play(nature, &steps);
    }
}
