use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const HOUR: u64 = 3_600_000;
const NOW: Timestamp = Timestamp(1_767_225_600_000);
const HOST: HostId = HostId([1; 16]);

fn run(id: u8) -> PendingRun {
    PendingRun {
        id: PendingId([id; 16]),
        host: HOST,
        schedule: "nightly".to_owned(),
        group: "etc".to_owned(),
        due_at: NOW,
        last_due_at: NOW,
        missed: 1,
        attempt: 0,
        next_attempt_at: Some(NOW),
        last_error: None,
        job: None,
        asleep: false,
    }
}

fn world(hurdle: Hurdle) -> World {
    let rule = GroupSchedule { enabled: true, retry_max: 3 };
    World {
        rules: BTreeMap::from([((HOST, "nightly".to_owned(), "etc".to_owned()), rule)]),
        groups: BTreeMap::from([((HOST, "etc".to_owned()), hurdle)]),
        room: BTreeMap::from([(HOST, 16)]),
    }
}

#[test]
fn each_case_gets_its_action() {
    let id = PendingId([7; 16]);
    let waits = |until, attempt, setback| RunAction::Wait { run: id, until, attempt, setback };
    let abandon = |why, last| RunAction::Abandon { run: id, why, last };
    let away = || Hurdle::Parked(Setback::HostOffline);
    let known = run(7).waiting(None, 2, &Setback::HostOffline, None, NOW);
    let later = Some(NOW.plus_ms(1));
    let at = |attempt| Some(NOW.plus_ms(backoff_ms(id, attempt)));
    let job = JobId([5; 16]);
    let table: Vec<(&str, PendingRun, World, Vec<RunAction>)> = vec![
        ("due", run(7), world(Hurdle::Clear), vec![RunAction::Dispatch { runs: vec![id] }]),
        ("not yet", PendingRun { next_attempt_at: later, ..run(7) }, world(Hurdle::Clear), vec![]),
        (
            "its try was planned by a clock that was ahead",
            PendingRun { next_attempt_at: Some(NOW.plus_ms(2 * HOUR)), ..run(7) },
            world(Hurdle::Clear),
            vec![RunAction::Dispatch { runs: vec![id] }],
        ),
        ("handed over", PendingRun { job: Some(job), ..run(7) }, world(Hurdle::Clear), vec![]),
        ("away", run(7), world(away()), vec![waits(None, 0, Setback::HostOffline)]),
        ("still away", known.clone(), world(away()), vec![]),
        ("back", known, world(Hurdle::Clear), vec![RunAction::Dispatch { runs: vec![id] }]),
        (
            "its host is held",
            PendingRun { attempt: 2, ..run(7) },
            world(Hurdle::Parked(Setback::BackupsHeld)),
            vec![waits(None, 2, Setback::BackupsHeld)],
        ),
        (
            "still held",
            run(7).waiting(None, 2, &Setback::BackupsHeld, None, NOW),
            world(Hurdle::Parked(Setback::BackupsHeld)),
            vec![],
        ),
        ("its backup runs", run(7), world(Hurdle::Open(job)), vec![RunAction::Follow { run: id, job }]),
        (
            "refused",
            run(7),
            world(Hurdle::Refused(Setback::RepoBusy)),
            vec![waits(at(1), 1, Setback::RepoBusy)],
        ),
        (
            "refused for the last time",
            PendingRun { attempt: 3, ..run(7) },
            world(Hurdle::Refused(Setback::RepoBusy)),
            vec![abandon(GiveUp::Tries, Some(Setback::RepoBusy))],
        ),
        (
            "no group",
            run(7),
            World { groups: BTreeMap::new(), ..world(Hurdle::Clear) },
            vec![abandon(GiveUp::GroupGone, None)],
        ),
        (
            "no schedule",
            run(7),
            World { rules: BTreeMap::new(), ..world(Hurdle::Clear) },
            vec![abandon(GiveUp::ScheduleGone, None)],
        ),
        (
            "no room",
            run(7),
            World { room: BTreeMap::new(), ..world(Hurdle::Clear) },
            vec![RunAction::Wait {
                run: id,
                until: Some(NOW.plus_ms(NO_ROOM_MS)),
                attempt: 0,
                setback: Setback::NoRoom,
            }],
        ),
    ];
    for (name, run, world, expected) in table {
        assert_eq!(plan_drain(NOW, &[run], &world), expected, "{name}");
    }
}

#[test]
fn a_disabled_schedule_lets_its_runs_sleep() {
    let mut world = world(Hurdle::Clear);
    world.rules.values_mut().for_each(|rule| rule.enabled = false);
    assert_eq!(plan_drain(NOW, &[run(7)], &world), vec![]);
}

#[test]
fn two_schedules_of_one_group_share_a_backup() {
    let mut world = world(Hurdle::Clear);
    let rule = GroupSchedule { enabled: true, retry_max: 0 };
    world.rules.insert((HOST, "weekly".to_owned(), "etc".to_owned()), rule);
    let second = PendingRun { schedule: "weekly".to_owned(), ..run(8) };
    let both = vec![PendingId([7; 16]), PendingId([8; 16])];
    assert_eq!(plan_drain(NOW, &[run(7), second], &world), vec![RunAction::Dispatch { runs: both }]);
}

/// What may happen between two ticks.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes, or the clock is set back.
    Time(i64),
    /// The host goes, or comes back.
    Online(bool),
    /// Something else is in the way, or not.
    Refuse(bool),
    /// A person starts the group's backup.
    RunNow(u8),
    /// The job that is open ends.
    End {
        group: u8,
        good: bool,
    },
    /// The schedule is due once more.
    Due {
        schedule: u8,
        group: u8,
    },
    Enable {
        schedule: u8,
        enabled: bool,
    },
    RetryMax {
        schedule: u8,
        retry_max: u16,
    },
    DropSchedule(u8),
    DropGroup(u8),
    Room(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..40 * 60_000i64).prop_map(Step::Time),
        1 => (HOUR as i64..30 * 24 * HOUR as i64).prop_map(Step::Time),
        1 => (-48 * HOUR as i64..0).prop_map(Step::Time),
        3 => any::<bool>().prop_map(Step::Online),
        2 => any::<bool>().prop_map(Step::Refuse),
        1 => (0..3u8).prop_map(Step::RunNow),
        4 => (0..3u8, any::<bool>()).prop_map(|(group, good)| Step::End { group, good }),
        6 => (0..3u8, 0..3u8).prop_map(|(schedule, group)| Step::Due { schedule, group }),
        1 => (0..3u8, any::<bool>()).prop_map(|(schedule, enabled)| Step::Enable { schedule, enabled }),
        1 => (0..3u8, 0..5u16).prop_map(|(schedule, retry_max)| Step::RetryMax { schedule, retry_max }),
        1 => (0..3u8).prop_map(Step::DropSchedule),
        1 => (0..3u8).prop_map(Step::DropGroup),
        1 => (0..3usize).prop_map(Step::Room),
    ]
}

/// The smallest world in which plans are carried out.
struct Sim {
    now: Timestamp,
    online: bool,
    refuse: bool,
    room: usize,
    rules: BTreeMap<(HostId, String, String), GroupSchedule>,
    groups: BTreeSet<String>,
    open: BTreeMap<String, JobId>,
    runs: Vec<PendingRun>,
    ids: u8,
}

impl Sim {
    fn new() -> Self {
        let rules = (0..9u8).map(|n| {
            let key = (HOST, format!("s{}", n / 3), format!("g{}", n % 3));
            (key, GroupSchedule { enabled: true, retry_max: 3 })
        });
        Self {
            now: NOW,
            online: true,
            refuse: false,
            room: 3,
            rules: rules.collect(),
            groups: (0..3).map(|n| format!("g{n}")).collect(),
            open: BTreeMap::new(),
            runs: Vec::new(),
            ids: 0,
        }
    }

    fn world(&self) -> World {
        let hurdle = |group: &String| match () {
            () if !self.online => Hurdle::Parked(Setback::HostOffline),
            () if self.open.contains_key(group) => Hurdle::Open(self.open[group]),
            () if self.refuse => Hurdle::Refused(Setback::RepoBusy),
            () => Hurdle::Clear,
        };
        World {
            rules: self.rules.clone(),
            groups: self.groups.iter().map(|group| ((HOST, group.clone()), hurdle(group))).collect(),
            room: BTreeMap::from([(HOST, self.room.saturating_sub(self.open.len()))]),
        }
    }

    fn new_job(&mut self) -> JobId {
        self.ids = self.ids.wrapping_add(1);
        JobId([self.ids; 16])
    }

    fn apply(&mut self, action: RunAction) -> Result<(), TestCaseError> {
        let now = self.now;
        match action {
            RunAction::Dispatch { runs } => {
                let job = self.new_job();
                let group = self.runs.iter().find(|run| run.id == runs[0]).unwrap().group.clone();
                prop_assert!(self.online && !self.refuse);
                prop_assert!(self.open.insert(group, job).is_none(), "a backup was doubled");
                for run in self.runs.iter_mut().filter(|run| runs.contains(&run.id)) {
                    *run = run.handed_over(job);
                }
            }
            RunAction::Follow { run, job } => {
                for run in self.runs.iter_mut().filter(|known| known.id == run) {
                    *run = run.handed_over(job);
                }
            }
            RunAction::Wait { run, until, attempt, setback } => {
                for run in self.runs.iter_mut().filter(|known| known.id == run) {
                    prop_assert!(until.is_none_or(|at| at > now && at.0 <= now.0 + LONGEST_MS));
                    prop_assert!(attempt == run.attempt || attempt == run.attempt + 1);
                    *run = run.waiting(until, attempt, &setback, None, now);
                }
            }
            RunAction::Abandon { run, .. } => self.runs.retain(|known| known.id != run),
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Time(ms) => self.now = Timestamp(self.now.0.saturating_add_signed(ms)),
            Step::Online(online) => self.online = online,
            Step::Refuse(refuse) => self.refuse = refuse,
            Step::RunNow(group) => {
                let group = format!("g{group}");
                if self.online && self.groups.contains(&group) && !self.open.contains_key(&group) {
                    let job = self.new_job();
                    self.open.insert(group, job);
                }
            }
            Step::End { group, good } => {
                let group = format!("g{group}");
                let Some(job) = self.open.remove(&group) else { return Ok(()) };
                if good {
                    self.runs.retain(|run| run.group != group);
                    return Ok(());
                }
                let ended: Vec<PendingRun> =
                    self.runs.iter().filter(|run| run.job == Some(job)).cloned().collect();
                for run in ended {
                    let key = (run.host, run.schedule.clone(), run.group.clone());
                    let retry_max = self.rules.get(&key).map_or(0, |rule| rule.retry_max);
                    self.apply(came_to_nothing(
                        &run,
                        retry_max,
                        Setback::Failed(schema::Class::Network),
                        self.now,
                    ))?;
                }
            }
            Step::Due { schedule, group } => {
                let (schedule, group) = (format!("s{schedule}"), format!("g{group}"));
                let key = (HOST, schedule.clone(), group.clone());
                if !self.rules.get(&key).is_some_and(|rule| rule.enabled) {
                    return Ok(());
                }
                match self.runs.iter_mut().find(|run| run.schedule == schedule && run.group == group) {
                    Some(run) => run.missed += 1,
                    None => {
                        self.ids = self.ids.wrapping_add(1);
                        let due_at = self.now;
                        let next_attempt_at = Some(self.now);
                        self.runs.push(PendingRun {
                            schedule,
                            group,
                            due_at,
                            last_due_at: due_at,
                            next_attempt_at,
                            ..run(self.ids)
                        });
                    }
                }
            }
            Step::Enable { schedule, enabled } => self.each_rule(schedule, |rule| rule.enabled = enabled),
            Step::RetryMax { schedule, retry_max } => {
                self.each_rule(schedule, |rule| rule.retry_max = retry_max);
            }
            Step::DropSchedule(schedule) => {
                self.rules.retain(|(_, name, _), _| *name != format!("s{schedule}"));
            }
            Step::DropGroup(group) => {
                self.groups.remove(&format!("g{group}"));
            }
            Step::Room(room) => self.room = room,
        }
        Ok(())
    }

    fn each_rule(&mut self, schedule: u8, change: impl Fn(&mut GroupSchedule)) {
        let name = format!("s{schedule}");
        self.rules.iter_mut().filter(|((_, known, _), _)| *known == name).for_each(|(_, rule)| change(rule));
    }

    fn drain(&mut self) -> Result<(), TestCaseError> {
        let plan = plan_drain(self.now, &self.runs, &self.world());
        let mut touched = BTreeSet::new();
        for action in &plan {
            let runs = match action {
                RunAction::Dispatch { runs } => runs.clone(),
                RunAction::Follow { run, .. }
                | RunAction::Wait { run, .. }
                | RunAction::Abandon { run, .. } => {
                    vec![*run]
                }
            };
            for run in runs {
                prop_assert!(touched.insert(run), "one action for each run");
            }
        }
        for action in plan {
            self.apply(action)?;
        }
        let again = plan_drain(self.now, &self.runs, &self.world());
        prop_assert_eq!(again, vec![], "applied, and planned again");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn a_plan_settles_and_nothing_is_doubled_or_forgotten(steps in proptest::collection::vec(step(), 1..200)) {
        let mut sim = Sim::new();
        for step in steps {
            sim.step(step)?;
            sim.drain()?;
        }
        // All is well again: what still waits runs, or its schedule is off or gone.
        sim.online = true;
        sim.refuse = false;
        sim.room = 9;
        for _ in 0..20 {
            sim.step(Step::Time(31 * 60_000))?;
            sim.drain()?;
            for group in 0..3 {
                sim.step(Step::End { group, good: true })?;
            }
        }
        for run in &sim.runs {
            let key = (run.host, run.schedule.clone(), run.group.clone());
            prop_assert!(!sim.rules[&key].enabled, "forgotten: {:?}", run);
        }
    }
}
