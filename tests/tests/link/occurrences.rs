//! What becomes of each due time, while server, network and agent come and go, backups take long, people start some
//! themselves, and results come late: a backup of the group that began at or after it, or it is seen to wait, or to be
//! given up. No result swallows what came due after its backup had begun.

use crate::agent::Script;
use crate::world::{Nature, Notices, Step, World};
use cron::Cron;
use fleet::Page;
use fleet::record::{JobWhat, PendingRun};
use proptest::prelude::*;
use schema::{Outcome, Timestamp};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const SCHEDULES: [(&str, &str, &[&str]); 3] = [
    ("often", "15 */3 * * *", &["etc"]),
    ("daily", "40 1 * * *", &["etc", "home"]),
    ("hourly", "0 * * * *", &["home"]),
];

#[derive(Clone, Debug)]
enum Turn {
    Quiet {
        minutes: u64,
    },
    /// The agent finds out later.
    ServerAway {
        minutes: u64,
    },
    NetworkAway {
        minutes: u64,
    },
    /// Stopped in order, as for a restart of its machine.
    AgentStopped {
        minutes: u64,
    },
    AgentKilled {
        minutes: u64,
    },
    Break,
    /// Messages come once more.
    Again,
    /// A person backs a group up.
    RunNow {
        group: u8,
        takes_minutes: u64,
    },
    /// All that the server or the agent begins takes so long from now on.
    Takes {
        minutes: u64,
    },
    /// Or fails.
    Fails,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        5 => (1..300_u64).prop_map(|minutes| Turn::Quiet { minutes }),
        4 => (1..600_u64).prop_map(|minutes| Turn::ServerAway { minutes }),
        4 => (1..600_u64).prop_map(|minutes| Turn::NetworkAway { minutes }),
        2 => (1..200_u64).prop_map(|minutes| Turn::AgentStopped { minutes }),
        1 => (1..200_u64).prop_map(|minutes| Turn::AgentKilled { minutes }),
        2 => Just(Turn::Break),
        2 => Just(Turn::Again),
        4 => (0..2_u8, 1..200_u64).prop_map(|(group, takes_minutes)| Turn::RunNow { group, takes_minutes }),
        3 => (1..150_u64).prop_map(|minutes| Turn::Takes { minutes }),
        1 => Just(Turn::Fails),
    ]
}

fn occurrences(cron: &str, from: u64, to: u64) -> Vec<u64> {
    let cron = Cron::parse(cron, "UTC").expect("an expression");
    let all = std::iter::successors(cron.next_after(Timestamp(from)), |at| cron.next_after(*at));
    all.map(|at| at.0).take_while(|at| *at <= to).collect()
}

struct History {
    world: World,
    begun: u64,
}

impl History {
    fn begin() -> Self {
        let mut world = World::new(Nature::default());
        for (name, cron, groups) in SCHEDULES {
            world.server.put_schedule(name, cron, groups);
        }
        world.heal();
        let begun = world.clock.now();
        Self { world, begun }
    }

    fn live(&mut self, minutes: u64) {
        for _ in 0..minutes.div_ceil(20) {
            self.world.live(minutes.min(20) * MINUTE);
            self.check();
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
            Turn::AgentStopped { minutes } => {
                self.world.step(&Step::StopAgent);
                self.live(minutes.max(2));
                self.world.step(&Step::StartAgent);
                self.live(1);
            }
            Turn::AgentKilled { minutes } => {
                self.world.step(&Step::CrashAgent);
                self.live(minutes);
                self.world.step(&Step::StartAgent);
                self.live(1);
            }
            Turn::Break => {
                self.world.step(&Step::Break { notices: Notices::Both, up: 1, down: 1 });
                self.live(2);
            }
            Turn::Again => {
                self.world.step(&Step::RepeatUp { lane: 0, count: 3 });
                self.world.step(&Step::RepeatDown { count: 3 });
                self.live(1);
            }
            Turn::RunNow { group, takes_minutes } => {
                let script = Script {
                    runs_ms: takes_minutes * MINUTE,
                    line_every_ms: 20 * MINUTE,
                    ..Script::default()
                };
                self.world.dispatch(group, script);
                self.live(1);
            }
            Turn::Takes { minutes } => {
                let usual =
                    Script { runs_ms: minutes * MINUTE, line_every_ms: 20 * MINUTE, ..Script::default() };
                self.world.agent.usual = usual;
            }
            Turn::Fails => self.world.agent.usual.outcome = Outcome::Failed,
        }
    }

    /// When the last good backup of a group began, by what truly happened.
    fn good_began_at(&self, group: &str) -> Option<u64> {
        let read = self.world.server.read();
        let is_good = |fate: &crate::agent::Fate| {
            fate.ends.last().is_some_and(|(outcome, _)| *outcome == Outcome::Succeeded)
        };
        let good = self.world.agent.fates.iter().filter(|(_, fate)| fate.started > 0 && is_good(fate));
        good.filter(|(job, _)| {
            // What the server has not heard of yet, the agent began by itself.
            let known = read.job(**job).expect("the store").map(|job| job.what);
            let own =
                self.world.agent.own.iter().find(|(own, _)| own == *job).map(|(_, due)| due.group.clone());
            match known {
                Some(JobWhat::Backup { group }) => Some(group),
                _ => own,
            }
            .is_some_and(|of| of == group)
        })
        .map(|(_, fate)| fate.began_at)
        .max()
    }

    /// Each due time that the server has seen is met, waits, is being served, or was given up.
    fn check(&self) {
        if self.world.server.up.is_none() {
            return;
        }
        let now = self.world.clock.now();
        let read = self.world.server.read();
        let waiting = read.pending(&Page { limit: 500, cursor: None }).expect("runs").items;
        let given_up = read.given_up(500).expect("rows");
        let open = read.open_jobs(self.world.server.host).expect("jobs");
        for (name, cron, groups) in SCHEDULES {
            for group in groups {
                let stands_for = |run: &PendingRun, at: u64| {
                    run.schedule == name
                        && run.group == *group
                        && (run.due_at.0..=run.last_due_at.0).contains(&at)
                };
                // It covers those before it, too.
                let Some(last) = occurrences(cron, self.begun, now).pop() else { continue };
                let good = self.good_began_at(group);
                let is_open =
                    open.iter().any(|job| job.what == JobWhat::Backup { group: (*group).to_owned() });
                let is_seen = waiting.iter().any(|run| stands_for(run, last))
                    || given_up.iter().any(|row| stands_for(&row.run, last));
                assert!(
                    is_open || is_seen || good.is_some_and(|began| began >= last),
                    "{name} of {group}, due at {last}: the last good one began at {good:?}; {waiting:?}"
                );
                for run in waiting.iter().filter(|run| run.schedule == name && run.group == *group) {
                    let missed = occurrences(cron, run.due_at.0 - 1, run.last_due_at.0).len();
                    assert_eq!(run.missed as usize, missed, "{run:?}");
                }
            }
        }
    }

    /// All works again: in the end nothing waits, and the last due time of all was met.
    fn settle(&mut self) {
        self.world.agent.usual = Script::default();
        self.world.step(&Step::Network { works: true });
        self.world.step(&Step::StartServer);
        self.world.step(&Step::StartAgent);
        // What has been begun ends first, however long it takes.
        self.live(16 * 60);
        self.world.heal();
        for _ in 0..6 {
            self.live(40);
        }
        self.world.heal();
        self.check();
        let read = self.world.server.read();
        let given_up = read.given_up(500).expect("rows");
        for (name, cron, groups) in SCHEDULES {
            for group in groups {
                let now = self.world.clock.now();
                let Some(last) = occurrences(cron, self.begun, now - 2 * MINUTE).pop() else { continue };
                let good = self.good_began_at(group);
                let was_given_up = given_up.iter().any(|row| {
                    row.run.schedule == name && row.run.group == *group && row.run.last_due_at.0 >= last
                });
                assert!(
                    was_given_up || good.is_some_and(|began| began >= last),
                    "{name} of {group}, due at {last}: the last good one began at {good:?}"
                );
            }
        }
    }
}

fn days(turns: &[Turn]) {
    let mut history = History::begin();
    for turn in turns {
        history.play(turn);
        if history.world.clock.now() > history.begun + 4 * 24 * HOUR {
            break;
        }
    }
    history.settle();
}

/// The result of a backup of before comes when something else has come due.
#[test]
fn a_late_result_serves_nothing_that_came_due_after_its_backup_had_begun() {
    days(&[
        Turn::Quiet { minutes: 100 },
        Turn::RunNow { group: 0, takes_minutes: 30 },
        Turn::ServerAway { minutes: 400 },
        Turn::Quiet { minutes: 30 },
    ]);
    days(&[
        Turn::Takes { minutes: 200 },
        Turn::Quiet { minutes: 200 },
        Turn::NetworkAway { minutes: 300 },
        Turn::Quiet { minutes: 30 },
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, max_shrink_iters: 40, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn each_due_time_is_met_waits_or_is_given_up(turns in proptest::collection::vec(turn(), 8..40)) {
        days(&turns);
    }
}
