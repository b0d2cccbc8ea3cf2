//! Servers that are made of archives, over weeks: each takes the place of the one before, which may come back by mistake;
//! the agent may be away, alone, killed, in the middle of a job. No occurrence is served twice, no result is lost that the
//! agent still held, and no number sticks.

use crate::agent::Script;
use crate::world::{Nature, Notices, Step, World};
use cron::Cron;
use fleet::record::{AuditAction, JobState};
use fleet::{AuditFilter, Page};
use proptest::prelude::*;
use schema::{JobId, Outcome, Timestamp};
use std::collections::BTreeSet;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const SCHEDULES: [(&str, &str, &[&str]); 2] =
    [("often", "15 */6 * * *", &["etc"]), ("nightly", "30 2 * * *", &["home", "srv"])];
/// A backup that can be begun is begun this long after its time.
const LATEST_MS: u64 = 30 * MINUTE;

#[derive(Clone, Debug)]
enum Turn {
    Quiet {
        minutes: u64,
    },
    NetworkAway {
        minutes: u64,
    },
    ServerAway {
        minutes: u64,
    },
    AgentKilled {
        minutes: u64,
    },
    /// A person backs a group up, which takes so long.
    RunNow {
        group: u8,
        takes_minutes: u64,
    },
    /// New credentials, which the agent gets when it can.
    Credentials,
    Break,
    Archive,
    /// Another server is made of the archive.
    Restore,
    /// A standby that had fetched the archive is promoted.
    Promote,
    /// The server that the present one was made of is in its place for so long.
    FormerReturns {
        minutes: u64,
        /// The one that was promoted tells it.
        is_told: bool,
    },
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => (1..900_u64).prop_map(|minutes| Turn::Quiet { minutes }),
        3 => prop_oneof![1..900_u64, 5_000..20_000_u64].prop_map(|minutes| Turn::NetworkAway { minutes }),
        2 => (1..900_u64).prop_map(|minutes| Turn::ServerAway { minutes }),
        2 => (1..300_u64).prop_map(|minutes| Turn::AgentKilled { minutes }),
        4 => (0..3_u8, 1..200_u64).prop_map(|(group, takes_minutes)| Turn::RunNow { group, takes_minutes }),
        1 => Just(Turn::Credentials),
        2 => Just(Turn::Break),
        3 => Just(Turn::Archive),
        3 => Just(Turn::Restore),
        3 => Just(Turn::Promote),
        2 => (1..900_u64, any::<bool>()).prop_map(|(minutes, is_told)| Turn::FormerReturns { minutes, is_told }),
    ]
}

struct History {
    world: World,
    begun: u64,
    /// What the agent had not handed over when the present server began, and when that was.
    held: BTreeSet<JobId>,
    served_since: u64,
    restores: usize,
}

/// The time in a job's id.
fn made_at(job: JobId) -> u64 {
    job.made_at().0
}

fn occurrences(cron: &str, from: u64, to: u64) -> Vec<u64> {
    let cron = Cron::parse(cron, "UTC").expect("an expression");
    let all = std::iter::successors(cron.next_after(Timestamp(from)), |at| cron.next_after(*at));
    all.map(|at| at.0).take_while(|at| *at <= to).collect()
}

impl History {
    fn begin() -> Self {
        let mut world = World::new(Nature::default());
        for (name, cron, groups) in SCHEDULES {
            world.server.put_schedule(name, cron, groups);
        }
        world.heal();
        let begun = world.clock.now();
        Self { world, begun, held: BTreeSet::new(), served_since: begun, restores: 0 }
    }

    fn live(&mut self, minutes: u64) {
        for _ in 0..minutes.div_ceil(20) {
            self.world.live(minutes.min(20) * MINUTE);
        }
    }

    /// The server that counts from now on has begun.
    fn is_served_anew(&mut self) {
        self.held = self.world.agent.journal.would_forget().into_iter().collect();
        self.served_since = self.world.clock.now();
    }

    fn play(&mut self, turn: &Turn) {
        match *turn {
            Turn::Quiet { minutes } => self.live(minutes),
            Turn::NetworkAway { minutes } => {
                self.world.step(&Step::Network { works: false });
                self.live(minutes);
                self.world.step(&Step::Network { works: true });
                self.live(1);
            }
            Turn::ServerAway { minutes } => {
                self.world.step(&Step::CrashServer);
                self.live(minutes);
                self.world.step(&Step::StartServer);
                self.live(1);
            }
            Turn::AgentKilled { minutes } => {
                self.world.step(&Step::CrashAgent);
                self.live(minutes);
                self.world.step(&Step::StartAgent);
                self.live(1);
            }
            Turn::RunNow { group, takes_minutes } => {
                let runs_ms = takes_minutes * MINUTE;
                self.world.dispatch(group, Script { runs_ms, line_every_ms: HOUR, ..Script::default() });
                // It may be on its way, or just begun, when the next thing happens.
                self.world.live(30_000);
            }
            Turn::Credentials => self.world.step(&Step::PutCredentials),
            Turn::Break => {
                self.world.step(&Step::Break { notices: Notices::Both, up: 1, down: 1 });
                self.live(2);
            }
            Turn::Archive => self.world.server.archive(),
            Turn::Restore | Turn::Promote => {
                self.world.step(&Step::CrashServer);
                // Of two within a second neither is the later one.
                self.world.pass(1_000);
                if self.world.server.restore(matches!(turn, Turn::Promote)) {
                    self.restores += 1;
                    self.is_served_anew();
                } else {
                    self.world.step(&Step::StartServer);
                }
            }
            Turn::FormerReturns { minutes, is_told } => {
                self.world.step(&Step::CrashServer);
                if self.world.server.change_places() {
                    if is_told && self.world.server.tell() || self.world.server.fleet().only_reads() {
                        self.stands_still(minutes);
                    } else {
                        self.live(minutes);
                    }
                    self.world.step(&Step::CrashServer);
                    self.world.server.change_places();
                    self.is_served_anew();
                } else {
                    self.world.step(&Step::StartServer);
                }
            }
        }
    }

    /// The server lets no agent in, and does nothing by itself.
    fn stands_still(&mut self, minutes: u64) {
        let before = self.world.server.fleet().mark();
        self.world.step(&Step::Network { works: false });
        self.live(minutes);
        assert_eq!(self.world.server.fleet().mark(), before, "it has changed something");
        assert!(self.world.server.fleet().only_reads());
        self.world.step(&Step::Network { works: true });
    }

    /// The backups of a group for which restic was started: when their jobs were made, when they began, whether they were
    /// good; by when they began.
    fn runs(&self, group: &str) -> Vec<(u64, u64, bool)> {
        let agent = &self.world.agent;
        let own =
            |job: &JobId| agent.own.iter().find(|(own, _)| own == job).map(|(_, due)| due.group.as_str());
        let of_group =
            |job: &JobId| agent.asked.get(job).map(String::as_str).or_else(|| own(job)) == Some(group);
        let started = agent.fates.iter().filter(|(job, fate)| fate.started > 0 && of_group(job));
        let mut runs: Vec<_> = started
            .map(|(job, fate)| {
                assert_eq!(fate.started, 1, "restic was started twice for {job}");
                let is_good = fate.ends.last().is_some_and(|(outcome, _)| *outcome == Outcome::Succeeded);
                (made_at(*job), fate.began_at, is_good)
            })
            .collect();
        runs.sort_by_key(|(_, began, _)| *began);
        runs
    }

    fn check(&self) {
        let now = self.world.clock.now();
        let read = self.world.server.read();
        for (_, cron, groups) in SCHEDULES {
            let due = occurrences(cron, self.begun, now);
            for group in groups {
                let runs = self.runs(group);
                let asked_by_people: BTreeSet<u64> =
                    self.world.jobs.iter().map(|job| made_at(*job)).collect();
                let good: Vec<_> = runs.iter().filter(|(_, _, is_good)| *is_good).collect();
                for pair in good.windows(2) {
                    let ((first, _, _), (second, began, _)) = (pair[0], pair[1]);
                    let between = due.iter().any(|at| first < at && at <= began);
                    // What a person asks for is due because they say so.
                    let is_asked = asked_by_people.contains(second);
                    assert!(between || is_asked, "{group}: {pair:?}, and nothing was due between");
                }
                let last = due.iter().rfind(|at| *at + LATEST_MS < now);
                let is_saved = last.is_none_or(|at| good.iter().any(|(_, began, _)| began >= at));
                assert!(
                    is_saved,
                    "{group}: due last {last:?}, runs {:?}",
                    runs.iter().rev().take(5).collect::<Vec<_>>()
                );
            }
        }
        for (job, fate) in &self.world.agent.fates {
            let Some((outcome, class)) = fate.ends.last().copied() else { continue };
            if !self.held.contains(job) && made_at(*job) <= self.served_since {
                continue;
            }
            let record = read.job(*job).expect("the store");
            let known = record.map(|record| (record.state, record.class));
            assert_eq!(
                known,
                Some((JobState::from(outcome), class)),
                "{job} ended, and the server does not know it"
            );
        }
        let filter = AuditFilter {
            action: Some(AuditAction::HostReturned.code().to_owned()),
            ..AuditFilter::default()
        };
        let returned = read.audit(&filter, &Page { limit: 100, cursor: None }).expect("the audit").items;
        assert!(returned.len() <= self.restores, "{returned:?}");
        assert_eq!(returned.is_empty(), self.restores == 0, "it has come back after the last restore");
    }

    fn settle(&mut self) {
        self.world.agent.usual = Script::default();
        for step in [Step::Network { works: true }, Step::StartServer, Step::StartAgent] {
            self.world.step(&step);
        }
        // What has been begun ends first, however long it takes.
        self.live(8 * 60);
        self.world.heal();
        self.live(60);
        self.world.heal();
        self.check();
        // A new hello must bring nothing new.
        let before = self.world.agent.fates.len();
        self.world.reconnect();
        assert_eq!(self.world.agent.fates.len(), before);
        let job = self.world.dispatch(4, Script::default()).expect("the host is there");
        self.world.heal();
        let read = self.world.server.read();
        assert_eq!(read.job(job).expect("the store").expect("it is there").state, JobState::Succeeded);
    }
}

fn weeks(turns: &[Turn]) {
    let mut history = History::begin();
    for turn in turns {
        history.play(turn);
        if history.world.clock.now() > history.begun + 42 * 24 * HOUR {
            break;
        }
    }
    history.settle();
}

/// The archive is of a time when a backup had just been handed over; the server that is made of it a week later must not
/// have it run again.
#[test]
fn what_was_under_way_when_the_archive_was_made_is_not_run_again() {
    let quiet = |minutes| Turn::Quiet { minutes };
    weeks(&[
        quiet(300),
        Turn::NetworkAway { minutes: 1 },
        Turn::RunNow { group: 0, takes_minutes: 10 },
        Turn::Archive,
        quiet(7 * 24 * 60),
        Turn::Restore,
        quiet(10),
    ]);
}

/// The agent holds a backup that only the lost server knows, and the one in its place finds its occurrence due.
#[test]
fn a_backup_that_only_the_lost_server_has_asked_for_is_the_occurrence() {
    let mut history = History::begin();
    history.world.server.archive();
    history.world.agent.usual = Script { runs_ms: 50 * MINUTE, line_every_ms: HOUR, ..Script::default() };
    while history.world.agent.core().is_none_or(|core| core.saved().held.is_empty()) {
        history.live(1);
    }
    history.play(&Turn::Restore);
    history.settle();
}

/// The former server comes back while the agent is alone with what was due, and again after it has heard of the other.
#[test]
fn a_former_server_that_returns_is_not_obeyed_and_gets_nothing() {
    let mut history = History::begin();
    for turn in [Turn::Quiet { minutes: 600 }, Turn::Archive, Turn::Quiet { minutes: 2_000 }, Turn::Restore] {
        history.play(&turn);
    }
    history.live(30);
    let asked = history.world.agent.asked.len();
    history.world.step(&Step::CrashServer);
    assert!(history.world.server.change_places());
    history.live(900);
    assert_eq!(history.world.agent.asked.len(), asked, "it has obeyed a server of the past");
    let superseded = history.world.server.read().superseded();
    assert_eq!(superseded.len(), 1, "the former server knows by itself");
    assert!(!history.world.agent.own.is_empty(), "what was due meanwhile was done alone");
    history.world.step(&Step::CrashServer);
    history.world.server.change_places();
    history.is_served_anew();
    history.settle();
}

/// Two servers are made of one archive, one after the other: the later one is obeyed.
#[test]
fn of_two_servers_of_one_archive_the_later_one_counts() {
    weeks(&[
        Turn::Archive,
        Turn::Quiet { minutes: 700 },
        Turn::Restore,
        Turn::Quiet { minutes: 700 },
        Turn::Credentials,
        Turn::Restore,
        Turn::FormerReturns { minutes: 400, is_told: true },
        Turn::Quiet { minutes: 700 },
    ]);
}

/// A standby is promoted; the former server comes back before it is told, is told, and comes back once more.
#[test]
fn a_former_server_that_is_told_stands_still_from_then_on() {
    let returns = |is_told| Turn::FormerReturns { minutes: 900, is_told };
    weeks(&[
        Turn::Archive,
        Turn::Quiet { minutes: 700 },
        Turn::Promote,
        Turn::Quiet { minutes: 30 },
        returns(false),
        Turn::Quiet { minutes: 30 },
        returns(true),
        Turn::Quiet { minutes: 700 },
        returns(false),
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, max_shrink_iters: 60, max_shrink_time: 120_000, ..ProptestConfig::default() })]

    #[test]
    fn over_weeks_with_servers_made_of_archives_nothing_is_doubled_lost_or_stuck(
        turns in proptest::collection::vec(turn(), 8..40),
    ) {
        weeks(&turns);
    }
}
