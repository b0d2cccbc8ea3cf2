//! Schedules over a week, while the server, the network and the agent come and go: every occurrence runs once, whoever
//! starts it, and both sides tell the same story afterwards.

use crate::agent::Crash;
use crate::world::{Nature, Notices, Step, World};
use cron::Cron;
use fleet::record::{Actor, JobState, JobWhat};
use proptest::prelude::*;
use schema::{JobId, Outcome, Timestamp};
use std::collections::BTreeMap;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const SCHEDULES: [(&str, &str, &[&str]); 2] =
    [("often", "15 */3 * * *", &["etc"]), ("nightly", "30 2 * * *", &["home", "srv"])];
/// A backup that can be begun is begun this long after its time: the grace, others before it, a retry.
const LATEST_MS: u64 = 30 * MINUTE;
/// What was begun so shortly before its time may be that one by another clock: the agent leaves it to the server, where
/// it waits.
const SKEW_MS: u64 = 2 * MINUTE;

#[derive(Clone, Debug)]
enum Turn {
    Quiet { minutes: u64 },
    ServerAway { minutes: u64 },
    NetworkAway { minutes: u64 },
    AgentAway { minutes: u64 },
    AgentCrash { records: u32, before: bool },
    Break,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        4 => (1..600_u64).prop_map(|minutes| Turn::Quiet { minutes }),
        4 => (1..900_u64).prop_map(|minutes| Turn::ServerAway { minutes }),
        3 => (1..900_u64).prop_map(|minutes| Turn::NetworkAway { minutes }),
        2 => (1..300_u64).prop_map(|minutes| Turn::AgentAway { minutes }),
        2 => (1..6_u32, any::<bool>()).prop_map(|(records, before)| Turn::AgentCrash { records, before }),
        2 => Just(Turn::Break),
    ]
}

/// What is known of the past of a world.
struct History {
    world: World,
    /// When the agent did not run.
    off: Vec<(u64, u64)>,
}

impl History {
    fn live(&mut self, minutes: u64) {
        for _ in 0..minutes.div_ceil(10) {
            let (from, was_up) = (self.world.clock.now(), self.world.agent.is_up());
            self.world.live(minutes.min(10) * MINUTE);
            if !was_up || !self.world.agent.is_up() {
                // A crash in between took it away, and whoever looks after it starts it again.
                self.off.push((from, self.world.clock.now()));
                self.world.step(&Step::StartAgent);
            }
        }
    }

    fn play(&mut self, turn: &Turn) {
        match *turn {
            Turn::Quiet { minutes } => self.live(minutes),
            Turn::ServerAway { minutes } => {
                self.world.step(&Step::CrashServer);
                self.live(minutes);
                self.world.step(&Step::StartServer);
                self.live(1);
            }
            Turn::NetworkAway { minutes } => {
                self.world.step(&Step::Network { works: false });
                self.live(minutes);
                self.world.step(&Step::Network { works: true });
                self.live(1);
            }
            Turn::AgentAway { minutes } => {
                let from = self.world.clock.now();
                self.world.step(&Step::CrashAgent);
                self.world.live(minutes * MINUTE);
                self.world.step(&Step::StartAgent);
                self.off.push((from, self.world.clock.now()));
            }
            Turn::AgentCrash { records, before } => {
                let crash = if before { Crash::Before } else { Crash::After };
                self.world.step(&Step::CrashAgentAt { records, crash });
                self.live(10);
            }
            Turn::Break => {
                self.world.step(&Step::Break { notices: Notices::Both, up: 1, down: 1 });
                self.live(2);
            }
        }
    }

    fn was_off(&self, from: u64, to: u64) -> bool {
        self.off.iter().any(|(begun, ended)| *begun <= to && *ended >= from)
    }
}

/// The time in a job's id.
fn made_at(job: JobId) -> u64 {
    job.0[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))
}

/// A backup that restic was started for.
#[derive(Clone, Copy, Debug)]
struct Ran {
    /// When its job was made. One that was on its way when the network went may run long after that, and does for what
    /// came due meanwhile.
    made: u64,
    /// When restic was started.
    began: u64,
    /// Whether it ended well.
    was_good: bool,
}

/// The backups of a group, by when they began.
fn runs(world: &World, group: &str) -> Vec<Ran> {
    let read = world.server.read();
    let of_group = |job: &JobId| {
        let record =
            read.job(*job).expect("the store").expect("every job of the agent is known to the server");
        matches!(&record.what, JobWhat::Backup { group: of } if of == group)
    };
    let started = world.agent.fates.iter().filter(|(_, fate)| fate.started > 0);
    let mut runs: Vec<Ran> = started
        .filter(|(job, _)| of_group(job))
        .map(|(job, fate)| {
            assert_eq!(fate.started, 1, "restic was started twice for {job}");
            let was_good = fate.ends.last().is_some_and(|(outcome, _)| *outcome == Outcome::Succeeded);
            Ran { made: made_at(*job), began: fate.began_at, was_good }
        })
        .collect();
    runs.sort_by_key(|run| run.began);
    runs
}

fn occurrences(cron: &str, from: u64, to: u64) -> Vec<u64> {
    let cron = Cron::parse(cron, "UTC").expect("an expression");
    let all = std::iter::successors(cron.next_after(Timestamp(from)), |at| cron.next_after(*at));
    all.map(|at| at.0).take_while(|at| *at <= to).collect()
}

fn check(history: &History, begun: u64) {
    let world = &history.world;
    let now = world.clock.now();
    for (_, cron, groups) in SCHEDULES {
        for group in groups {
            let due = occurrences(cron, begun, now);
            let runs = runs(world, group);
            // No occurrence twice: between two good runs one was due. One that the server ends when it hears of the other
            // is none.
            let good: Vec<Ran> = runs.iter().copied().filter(|run| run.was_good).collect();
            for pair in good.windows(2) {
                let (first, second) = (pair[0], pair[1]);
                let between = due.iter().any(|at| first.made < *at && *at <= second.began);
                assert!(between, "{group}: {first:?}, {second:?}, and nothing was due between");
            }
            // None is left out, but for the times when the agent did not run; then the next run is for it, too.
            for at in due.iter().filter(|at| *at + LATEST_MS < now) {
                let run = runs.iter().find(|run| run.began >= *at);
                let on_time = run.is_some_and(|run| run.made.max(*at) <= at + LATEST_MS);
                let just_before = runs.iter().any(|run| run.made < *at && run.made + SKEW_MS >= *at);
                assert!(
                    on_time || just_before || history.was_off(*at, at + LATEST_MS),
                    "{group}: due at {at}, runs {run:?}"
                );
            }
            let last = due.iter().rfind(|at| *at + LATEST_MS < now);
            let is_saved = last.is_none_or(|at| runs.iter().any(|run| run.began >= *at && run.was_good));
            assert!(
                is_saved,
                "{group}: due last {last:?}, runs {:?}, now {now}",
                runs.iter().rev().take(5).collect::<Vec<_>>()
            );
        }
    }
    // Both tell the same story.
    let read = world.server.read();
    let fates: &BTreeMap<_, _> = &world.agent.fates;
    for (job, due) in &world.agent.own {
        let record = read.job(*job).expect("the store").expect("the server knows what the agent did alone");
        assert_eq!(record.actor, Actor::Agent, "{due:?}");
        let (outcome, class) = fates[job].ends.last().copied().expect("it has ended");
        assert_eq!((record.state, record.class), (JobState::from(outcome), class), "{due:?}");
    }
    assert!(read.open_jobs(world.server.host).expect("jobs").is_empty());
    assert!(read.pending(&fleet::Page::default()).expect("runs").items.is_empty(), "nothing waits any more");
}

fn week(turns: &[Turn], clock_ahead_ms: u64) -> History {
    let mut world = World::new(Nature { clock_ahead_ms, ..Nature::default() });
    for (name, cron, groups) in SCHEDULES {
        world.server.put_schedule(name, cron, groups);
    }
    world.heal();
    let begun = world.clock.now();
    let mut history = History { world, off: Vec::new() };
    for turn in turns {
        history.play(turn);
        if history.world.clock.now() > begun + 7 * 24 * HOUR {
            break;
        }
    }
    history.world.heal();
    history.live(60);
    history.world.heal();
    check(&history, begun);
    history
}

#[test]
fn a_week_with_the_server_away_by_day_is_backed_up_all_the_same() {
    let turns: Vec<Turn> = (0..7)
        .flat_map(|_| [Turn::ServerAway { minutes: 12 * 60 }, Turn::Quiet { minutes: 12 * 60 }])
        .collect();
    let history = week(&turns, 0);
    assert!(history.world.agent.own.len() > 20, "{}", history.world.agent.own.len());
}

/// The agent was cut off, did what was due, and was off itself when the next one came: the server, which hears of all
/// that at once, must not take the first for the second.
#[test]
fn what_was_done_alone_does_not_count_for_what_came_due_later() {
    use Turn::{AgentAway, NetworkAway, Quiet, ServerAway};
    let turns = [
        Quiet { minutes: 311 },
        ServerAway { minutes: 787 },
        NetworkAway { minutes: 400 },
        AgentAway { minutes: 193 },
        Quiet { minutes: 100 },
    ];
    week(&turns, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, max_shrink_iters: 40, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn every_occurrence_runs_once_whoever_is_away(
        turns in proptest::collection::vec(turn(), 10..40),
        clock_ahead_ms in prop_oneof![3 => Just(0_u64), 1 => 0..60_000_u64],
    ) {
        week(&turns, clock_ahead_ms);
    }
}
