use crate::world::{Crash, Sent, World, job_id};
use proptest::prelude::*;
use schema::{Class, JobKind, Outcome, Slot, SlotRevision};
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Step {
    Run { deadline_secs: u32, kind: JobKind },
    Cancel { job: usize },
    Config { admin: bool, for_job: Option<usize> },
    Deliver { index: usize, keep: bool },
    LoseCommand { index: usize },
    Receive { index: usize, keep: bool },
    LoseReport { index: usize },
    Pass { ms: u64 },
    Wake,
    Cut,
    Restart,
    CrashAt { persists: u64, before: bool },
    DiskFails(bool),
    DiskFailsAt { persists: u64 },
    EndJob { fails: bool },
    EndDownload { fails: bool },
    Chunk,
    Progress,
}

fn kind() -> impl Strategy<Value = JobKind> {
    prop_oneof![
        6 => Just(JobKind::Stats),
        1 => Just(JobKind::Unlock),
        1 => Just(JobKind::Prune),
        2 => Just(JobKind::Download),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (prop_oneof![Just(0_u32), 1..100_u32], kind())
            .prop_map(|(deadline_secs, kind)| Step::Run { deadline_secs, kind }),
        2 => (0..20_usize).prop_map(|job| Step::Cancel { job }),
        1 => (any::<bool>(), prop::option::of(0..20_usize))
            .prop_map(|(admin, for_job)| Step::Config { admin, for_job }),
        14 => (0..4_usize, prop::bool::weighted(0.2)).prop_map(|(index, keep)| Step::Deliver { index, keep }),
        1 => (0..4_usize).prop_map(|index| Step::LoseCommand { index }),
        14 => (0..4_usize, prop::bool::weighted(0.2)).prop_map(|(index, keep)| Step::Receive { index, keep }),
        2 => (0..4_usize).prop_map(|index| Step::LoseReport { index }),
        3 => (1..120_000_u64).prop_map(|ms| Step::Pass { ms }),
        4 => Just(Step::Wake),
        2 => Just(Step::Cut),
        1 => Just(Step::Restart),
        2 => (1..6_u64, any::<bool>()).prop_map(|(persists, before)| Step::CrashAt { persists, before }),
        1 => any::<bool>().prop_map(Step::DiskFails),
        1 => (1..6_u64).prop_map(|persists| Step::DiskFailsAt { persists }),
        5 => any::<bool>().prop_map(|fails| Step::EndJob { fails }),
        2 => any::<bool>().prop_map(|fails| Step::EndDownload { fails }),
        3 => Just(Step::Chunk),
        2 => Just(Step::Progress),
    ]
}

fn play(steps: &[Step]) {
    let mut world = World::new();
    let mut revision = 1;
    // A gap is believed when three connections in a row begin behind it, so a broker may forget one command of a
    // standing connection, and hand over one too early at each point of the sequence. (Whoever drops a command for
    // ever can't be outwitted.)
    let mut losses = 1;
    let mut too_early = BTreeSet::new();
    for step in steps {
        match *step {
            Step::Run { deadline_secs, kind } => {
                if world.server.runs.len() < 48 {
                    world.order(deadline_secs, kind);
                }
            }
            Step::Cancel { job } => world.order_cancel(job_id(job)),
            Step::Config { admin, for_job } => {
                revision += 1;
                let slot = if admin { Slot::Admin } else { Slot::Repo };
                let for_job = for_job.map(job_id);
                world.command(|seq| Sent::Config {
                    seq,
                    slot,
                    revision: SlotRevision(revision),
                    for_job,
                    filled: true,
                });
            }
            Step::Deliver { index, keep } => {
                let is_early = world.is_too_early(index);
                if !is_early || too_early.insert(world.core.saved().taken) {
                    world.deliver(index, keep);
                }
            }
            Step::LoseCommand { index } => {
                if losses > 0 && world.to_agent.remove(index).is_some() {
                    losses -= 1;
                }
            }
            Step::Receive { index, keep } => world.receive(index, keep),
            Step::LoseReport { index } => {
                world.to_server.remove(index);
            }
            Step::Pass { ms } => world.pass(ms),
            Step::Wake => world.wake(),
            Step::Cut => {
                world.cut();
                world.drain();
            }
            Step::Restart => world.restart(),
            Step::CrashAt { persists, before } => {
                let crash = if before { Crash::Before } else { Crash::After };
                world.crash_at = Some((world.persists + persists, crash));
            }
            Step::DiskFails(fails) => world.disk_fails = fails,
            Step::DiskFailsAt { persists } => world.disk_fails_at = Some(world.persists + persists),
            Step::EndJob { fails: true } => world.end_job(Outcome::Failed, Some(Class::Network)),
            Step::EndJob { fails: false } => world.end_job(Outcome::Succeeded, None),
            Step::EndDownload { fails: true } => world.end_download(Outcome::Failed, Some(Class::Network)),
            Step::EndDownload { fails: false } => world.end_download(Outcome::Succeeded, None),
            Step::Chunk => world.write_chunk(),
            Step::Progress => world.progress(),
        }
    }
    world.settle();
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn no_command_runs_twice_each_is_answered_and_no_result_is_lost(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        play(&steps);
    }
}

#[test]
fn a_crash_before_and_after_every_single_record_loses_and_doubles_nothing() {
    for crash in [Crash::Before, Crash::After] {
        for at in 1..60 {
            let mut world = World::new();
            world.crash_at = Some((at, crash));
            world.wake();
            let first = world.order_run(0, false);
            let second = world.order_run(0, false);
            world.order(0, JobKind::Download);
            for _ in 0..4 {
                world.deliver(0, false);
                world.receive(0, false);
            }
            world.write_chunk();
            world.order_cancel(second);
            world.deliver(0, true);
            world.end_job(Outcome::Succeeded, None);
            world.end_download(Outcome::Succeeded, None);
            for _ in 0..6 {
                world.receive(0, false);
                world.deliver(0, false);
            }
            world.settle();
            world.check();
            assert!(world.executed.get(&first).copied().unwrap_or(0) <= 1);
        }
    }
}

#[test]
fn a_disk_that_fails_from_any_record_on_starts_nothing_that_is_not_written() {
    for at in 1..30 {
        let mut world = World::new();
        world.disk_fails_at = Some(at);
        world.wake();
        for _ in 0..3 {
            world.order_run(0, false);
        }
        for _ in 0..6 {
            world.deliver(0, false);
            world.receive(0, false);
        }
        // Whatever is started now was written down before: the world looks at that.
        world.end_job(Outcome::Succeeded, None);
        world.settle();
        world.check();
    }
}
