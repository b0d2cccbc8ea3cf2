//! Decisions in tables, and in virtual years in which everything goes wrong.

use super::calendar::tests::at;
use super::decide::{Action as A, *};
use crate::record::{Every, GroupDrill, LastRun, Latest, Maintenance, Rule, SlotState, Window};
use proptest::prelude::*;
use schema::{HostId, JobKind, Timestamp};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

/// A host whose jobs all begin as soon as their windows open.
const EARLIEST: HostId = HostId(155_u128.to_be_bytes());

fn host() -> HostState {
    HostState::ready(EARLIEST, at("2026-11-01T12:00:00Z"))
}

fn last_run(text: &str) -> LastRun {
    LastRun { at: at(text), open: false, failures: 0, put_off: false }
}

/// All three were done in the night of the 22nd.
fn done() -> Latest {
    [
        Some(last_run("2026-11-22T02:00:10Z")),
        Some(last_run("2026-11-22T02:01:10Z")),
        Some(last_run("2026-11-22T02:04:10Z")),
    ]
}

fn said(now: &str, settings: &Maintenance, latest: &Latest, host: &HostState) -> Vec<(A, Why)> {
    let decisions = decide(at(now), settings, latest, host);
    decisions.into_iter().map(|decision| (decision.action, decision.why)).collect()
}

#[test]
fn each_why_has_a_word_of_its_own() {
    let samples = Why::samples(at("2026-11-29T03:00:00Z"));
    let codes: std::collections::BTreeSet<_> = samples.iter().map(Why::code).collect();
    assert_eq!(codes.len(), samples.len(), "{codes:?}");
    let is_snake = |code: &&str| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    assert!(codes.iter().all(is_snake), "{codes:?}");
}

#[test]
fn each_state_of_a_host_has_its_reason() {
    let settings = Maintenance::default();
    type Spoil = fn(&mut HostState);
    let lock = |seen_at, stale| {
        Why::Locked(SeenLock { since: at("2026-11-28T03:04:00Z"), seen_at: at(seen_at), stale })
    };
    let night = "2026-11-29T03:00:00Z";
    let cases: Vec<(Spoil, JobKind, A, Why)> = vec![
        (|_| (), JobKind::Forget, A::Run, Why::Due),
        (|_| (), JobKind::Prune, A::Hold, Why::After(JobKind::Forget)),
        (|_| (), JobKind::Check, A::Hold, Why::After(JobKind::Forget)),
        (|h| h.reach = Reach::Offline, JobKind::Forget, A::Skip, Why::Unreachable(Reach::Offline)),
        (|h| h.reach = Reach::NotEnrolled, JobKind::Check, A::Skip, Why::Unreachable(Reach::NotEnrolled)),
        (
            |h| h.reach = Reach::WireUnsupported,
            JobKind::Check,
            A::Skip,
            Why::Unreachable(Reach::WireUnsupported),
        ),
        (|h| h.means.has_repo_credentials = false, JobKind::Check, A::Skip, Why::NoRepository),
        (|h| h.means.is_replaced = true, JobKind::Forget, A::Skip, Why::Replaced),
        (|h| h.means.admin = SlotState::Empty, JobKind::Prune, A::Skip, Why::NoAdminCredentials),
        (|h| h.means.admin = SlotState::Unreadable, JobKind::Prune, A::Skip, Why::AdminUnreadable),
        (|h| h.means.admin = SlotState::Forbidden, JobKind::Prune, A::Skip, Why::AdminForbidden),
        (|h| h.means.admin = SlotState::Forbidden, JobKind::Forget, A::Skip, Why::AdminForbidden),
        (
            |h| (h.means.admin, h.means.is_append_only) = (SlotState::Forbidden, false),
            JobKind::Forget,
            A::Run,
            Why::Due,
        ),
        (
            |h| h.elsewhere[1] = Some(at("2026-11-29T02:10:00Z")),
            JobKind::Prune,
            A::Wait,
            Why::NotDue { done_at: Some(at("2026-11-29T02:10:00Z")) },
        ),
        (
            |h| h.elsewhere[1] = Some(at("2026-11-21T02:10:00Z")),
            JobKind::Prune,
            A::Hold,
            Why::After(JobKind::Forget),
        ),
        (|h| h.means.admin = SlotState::Empty, JobKind::Forget, A::Skip, Why::AppendOnly),
        (|h| h.means.are_backups_held = true, JobKind::Forget, A::Skip, Why::BackupsHeld),
        (|h| h.means.are_backups_held = true, JobKind::Prune, A::Skip, Why::BackupsHeld),
        (|h| h.means.are_backups_held = true, JobKind::Check, A::Run, Why::Due),
        (|h| h.means.has_keep_rule = false, JobKind::Forget, A::Skip, Why::NoKeepRule),
        (|h| h.means.has_keep_rule = false, JobKind::Prune, A::Run, Why::Due),
        (|h| h.means.has_snapshot = false, JobKind::Check, A::Skip, Why::NoSnapshot),
        (|h| h.open = Some(JobKind::Backup), JobKind::Forget, A::Hold, Why::OwnJob(JobKind::Backup)),
        (
            |h| h.neighbour = Some(("attic".to_owned(), JobKind::Backup)),
            JobKind::Forget,
            A::Hold,
            Why::Neighbour { host: "attic".to_owned(), kind: JobKind::Backup },
        ),
        (
            |h| {
                let (since, seen_at) = (at("2026-11-28T03:04:00Z"), at("2026-11-29T02:30:00Z"));
                h.lock = Some(SeenLock { since, seen_at, stale: false });
            },
            JobKind::Forget,
            A::Hold,
            lock("2026-11-29T02:30:00Z", false),
        ),
        (
            |h| {
                let (since, seen_at) = (at("2026-11-28T03:04:00Z"), at("2026-11-28T10:00:00Z"));
                h.lock = Some(SeenLock { since, seen_at, stale: true });
            },
            JobKind::Forget,
            A::Hold,
            lock("2026-11-28T10:00:00Z", true),
        ),
        (
            // Nobody has looked for hours: it is tried, and that looks.
            |h| {
                let (since, seen_at) = (at("2026-11-28T03:04:00Z"), at("2026-11-28T10:00:00Z"));
                h.lock = Some(SeenLock { since, seen_at, stale: false });
            },
            JobKind::Forget,
            A::Run,
            Why::Due,
        ),
    ];
    for (spoil, kind, action, why) in cases {
        let mut host = host();
        spoil(&mut host);
        let place = KINDS.iter().position(|known| *known == kind).unwrap();
        let said = said(night, &settings, &done(), &host).remove(place);
        assert_eq!(said, (action, why), "{kind:?}");
    }
}

#[test]
fn what_is_not_due_says_when_it_is() {
    let settings = Maintenance::default();
    let not_due = |place: usize| Why::NotDue { done_at: done()[place].map(|last_run| last_run.at) };
    for (now, forget, forget_at, prune_at) in [
        ("2026-11-22T05:00:00Z", not_due(0), "2026-11-23T02:00:00Z", "2026-11-29T02:00:00Z"),
        ("2026-11-23T01:00:00Z", not_due(0), "2026-11-23T02:00:00Z", "2026-11-29T02:00:00Z"),
        ("2026-11-28T07:00:00Z", Why::OutsideWindow, "2026-11-29T02:00:00Z", "2026-11-29T02:00:00Z"),
    ] {
        let decisions = decide(at(now), &settings, &done(), &host());
        for (place, why, due_at) in [(0, forget, forget_at), (1, not_due(1), prune_at)] {
            let expected = (A::Wait, why, Some(at(due_at)));
            let Decision { action, why, due_at, .. } = decisions[place].clone();
            assert_eq!((action, why, due_at), expected, "{now}");
        }
    }
    let mut other = settings.clone();
    other.timezone = "Europe/Helsinki".to_owned();
    other.forget.enabled = false;
    other.prune = Rule { enabled: true, every: Every::Cron("30 4 * * THU".to_owned()), window: None };
    let decisions = decide(at("2026-11-23T01:00:00Z"), &other, &done(), &host());
    assert_eq!((decisions[0].action, &decisions[0].why), (A::Skip, &Why::Off));
    assert_eq!((decisions[1].action, decisions[1].due_at), (A::Wait, Some(at("2026-11-26T02:30:00Z"))));
}

#[test]
fn what_has_never_run_is_counted_from_when_the_host_was_added() {
    let settings = Maintenance::default();
    let young = HostState { since: at("2026-11-22T12:00:00Z"), ..host() };
    let [forget, prune, ..] = decide(at("2026-11-23T03:00:00Z"), &settings, &[None; 3], &young);
    assert_eq!(forget.action, A::Run);
    assert_eq!((prune.why, prune.due_at), (Why::NotDue { done_at: None }, Some(at("2026-11-29T02:00:00Z"))));
}

#[test]
fn a_failure_is_tried_again_each_hour_three_times_and_then_when_it_is_due() {
    let mut settings = Maintenance::default();
    settings.check.enabled = false;
    let failed = |text, failures| {
        let mut latest = done();
        latest[1] = Some(LastRun { at: at(text), open: false, failures, put_off: false });
        latest
    };
    let night = ["2026-11-29T02:30:00Z", "2026-11-29T03:01:00Z", "2026-11-29T07:00:00Z"];
    for (now, latest, action, why) in [
        (night[0], failed("2026-11-29T02:01:00Z", 1), A::Wait, Why::Retry(1)),
        (night[1], failed("2026-11-29T02:01:00Z", 1), A::Run, Why::Due),
        (night[2], failed("2026-11-29T05:30:00Z", 2), A::Wait, Why::OutsideWindow),
        (night[2], failed("2026-11-29T05:30:00Z", 3), A::Wait, Why::GaveUp(3)),
    ] {
        let mut host = host();
        host.means.has_keep_rule = false;
        let said = said(now, &settings, &latest, &host).remove(1);
        assert_eq!(said, (action, why), "{now}");
    }
}

#[test]
fn a_job_that_is_dated_far_ahead_counts_for_nothing_and_a_bit_ahead_as_it_is() {
    let settings = Maintenance::default();
    let mut latest = done();
    latest[0] = Some(last_run("2031-01-01T00:00:00Z"));
    assert_eq!(said("2026-11-23T03:00:00Z", &settings, &latest, &host())[0].0, A::Run);
    latest[0] = Some(last_run("2026-11-23T03:00:02Z"));
    assert_eq!(said("2026-11-23T03:00:00Z", &settings, &latest, &host())[0].0, A::Wait);
}

#[test]
fn a_job_of_the_kind_that_is_open_is_waited_for() {
    let mut latest = done();
    latest[2] = Some(LastRun { at: at("2026-11-29T03:04:00Z"), open: true, failures: 0, put_off: false });
    let busy = HostState { open: Some(JobKind::Check), ..host() };
    let said = said("2026-11-29T03:30:00Z", &Maintenance::default(), &latest, &busy);
    assert_eq!(said[2], (A::Wait, Why::InProgress(at("2026-11-29T03:04:00Z"))));
    assert_eq!(said[0], (A::Hold, Why::OwnJob(JobKind::Check)));
}

/// What goes wrong, and when.
#[test]
fn what_is_due_for_longest_comes_first_and_what_is_due_at_the_same_time_in_order() {
    let mut settings = Maintenance::default();
    let every_hour = Rule { enabled: true, every: Every::Hours(1), window: None };
    (settings.forget, settings.prune, settings.check) = (every_hour.clone(), every_hour.clone(), every_hour);
    let last_run = |text| Some(LastRun { at: at(text), open: false, failures: 0, put_off: false });
    for (forget, prune, check, first) in [
        ("2026-11-29T02:00:00Z", "2026-11-29T02:00:00Z", "2026-11-29T02:00:00Z", 0),
        ("2026-11-29T02:01:00Z", "2026-11-29T02:00:00Z", "2026-11-29T02:00:00Z", 1),
        ("2026-11-29T02:02:00Z", "2026-11-29T02:01:00Z", "2026-11-29T02:00:00Z", 2),
    ] {
        let latest = [last_run(forget), last_run(prune), last_run(check)];
        let decisions = decide(at("2026-11-29T04:00:00Z"), &settings, &latest, &host());
        for (place, decision) in decisions.iter().take(3).enumerate() {
            let (action, why) =
                if place == first { (A::Run, Why::Due) } else { (A::Hold, Why::After(KINDS[first])) };
            assert_eq!((decision.action, &decision.why), (action, &why), "{forget} {prune} {check}");
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    AwayFor { days: u64 },
    ClockJumps { minutes: i64 },
    Settings(Maintenance),
    Fails(bool),
}

fn rule() -> impl Strategy<Value = Rule> {
    let every = prop_oneof![
        (1..60u16).prop_map(Every::Hours),
        (1..15u16).prop_map(Every::Days),
        prop_oneof![Just("0 4 * * SUN"), Just("30 2 * * *"), Just("15 */6 * * *")]
            .prop_map(|text| Every::Cron(text.to_owned())),
    ];
    let window = (0..24u16, 1..23u16)
        .prop_map(|(from, hours)| Window { from: from * 60, until: (from + hours) % 24 * 60 });
    (every, proptest::option::of(window), prop::bool::weighted(0.9))
        .prop_map(|(every, window, enabled)| Rule { enabled, every, window })
}

fn settings() -> impl Strategy<Value = Maintenance> {
    let zones = [
        "UTC",
        "Europe/Berlin",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "America/St_Johns",
    ];
    (prop::sample::select(zones.to_vec()), rule(), rule(), rule()).prop_map(|(zone, forget, prune, check)| {
        Maintenance {
            timezone: zone.to_owned(),
            forget,
            prune,
            check,
            check_subset_pct: 5,
            drill: Maintenance::default().drill,
        }
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (1..40u64).prop_map(|days| Event::AwayFor { days }),
        (-500_000..500_000i64).prop_map(|minutes| Event::ClockJumps { minutes }),
        (-90..90i64).prop_map(|minutes| Event::ClockJumps { minutes }),
        settings().prop_map(Event::Settings),
        any::<bool>().prop_map(Event::Fails),
    ]
}

/// The longest that an enabled rule may leave a reachable host alone, in days.
fn patience(rule: &Rule) -> u64 {
    3 + match &rule.every {
        Every::Hours(hours) => u64::from(*hours).div_ceil(24),
        Every::Days(days) => u64::from(*days),
        Every::Cron(_) => 7,
    }
}

/// A host in virtual time: what was decided is done.
struct Sim {
    settings: Maintenance,
    latest: Latest,
    host: HostState,
    /// Real minutes since the start, and how far the wall clock is off.
    minute: u64,
    skew: i64,
    away_until: u64,
    fails: bool,
    /// Since when nothing went wrong, in real minutes; and the runs since then.
    quiet_since: u64,
    runs: [u64; 3],
    /// Since when a kind could have run.
    waits_since: [u64; 3],
}

impl Sim {
    fn now(&self) -> Timestamp {
        let minutes = at("2024-01-01T00:00:00Z").0 / MINUTE_MS + self.minute;
        Timestamp(minutes.saturating_add_signed(self.skew) * MINUTE_MS)
    }

    fn disturb(&mut self, event: Event) {
        match event {
            Event::AwayFor { days } => self.away_until = self.minute + days * 1440,
            Event::ClockJumps { minutes } => self.skew += minutes,
            Event::Settings(settings) => self.settings = settings,
            Event::Fails(fails) => self.fails = fails,
        }
        self.quiet_since = self.minute;
        self.runs = [0; 3];
        self.waits_since = [self.minute; 3];
    }

    fn tick(&mut self) {
        let is_away = self.minute < self.away_until;
        self.host.reach = if is_away { Reach::Offline } else { Reach::Online };
        let now = self.now();
        let rules = [self.settings.forget.clone(), self.settings.prune.clone(), self.settings.check.clone()];
        let decisions = decide(now, &self.settings, &self.latest, &self.host);
        let run: Vec<usize> = (0..3).filter(|place| decisions[*place].action == A::Run).collect();
        assert!(run.len() <= 1, "one at a time: {decisions:?}");
        assert!(run.is_empty() || !is_away);
        for decision in &decisions {
            if decision.action == A::Wait {
                assert!(decision.due_at.is_some_and(|due_at| due_at > now), "{decision:?}");
            }
        }
        if let Some(&place) = run.first() {
            self.run(place, now, &rules[place]);
        }
        for place in 0..3 {
            let waited = self.minute - self.waits_since[place];
            let may_run = rules[place].enabled && !is_away;
            assert!(
                !may_run || waited <= patience(&rules[place]) * 1440,
                "{:?} waits for ever: {:?}",
                KINDS[place],
                decisions[place]
            );
            if !may_run || run.contains(&place) {
                self.waits_since[place] = self.minute;
            }
        }
    }

    /// Starts it and lets it end; deciding again must yield nothing, before and after.
    fn run(&mut self, place: usize, now: Timestamp, rule: &Rule) {
        let before = self.latest[place];
        self.latest[place] = Some(LastRun { at: now, open: true, failures: 0, put_off: false });
        self.host.open = Some(KINDS[place]);
        let again = decide(now, &self.settings, &self.latest, &self.host);
        assert!(again.iter().all(|decision| decision.action != A::Run), "twice: {again:?}");
        self.host.open = None;
        let failures = if self.fails { before.map_or(0, |last_run| last_run.failures) + 1 } else { 0 };
        self.latest[place] =
            Some(LastRun { at: now, open: false, failures: failures.min(MAX_TRIES), put_off: false });
        let again = decide(now, &self.settings, &self.latest, &self.host);
        assert_ne!(again[place].action, A::Run, "again at once: {again:?}");
        self.runs[place] += 1;
        if !self.fails {
            // Missed runs don't pile up: of n days there are no more runs than n has fires, and one at the start.
            let days = (self.minute - self.quiet_since) / 1440 + 1;
            let most = match &rule.every {
                Every::Hours(hours) => days * 24 / u64::from(*hours) + 2,
                Every::Days(n) => days / u64::from(*n) + 2,
                Every::Cron(_) => days * 4 + 2,
            };
            assert!(self.runs[place] <= most, "{} runs in {days} days of {rule:?}", self.runs[place]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn in_a_virtual_year_nothing_runs_twice_piles_up_or_freezes(
        first in settings(),
        events in proptest::collection::vec((0..366u64 * 1440, event()), 0..12),
        // No window is shorter than an hour: ticks further apart could miss it day after day.
        step in 11..60u64,
    ) {
        let mut events = events;
        events.sort_by_key(|(minute, _)| *minute);
        let mut events = events.into_iter().peekable();
        let mut sim = Sim {
            settings: first,
            latest: [None; 3],
            host: HostState { since: at("2024-01-01T00:00:00Z"), ..host() },
            minute: 0,
            skew: 0,
            away_until: 0,
            fails: false,
            quiet_since: 0,
            runs: [0; 3],
            waits_since: [0; 3],
        };
        while sim.minute < 366 * 1440 {
            while let Some((_, event)) = events.next_if(|(minute, _)| *minute <= sim.minute) {
                sim.disturb(event);
            }
            sim.tick();
            sim.minute += step;
        }
    }

    #[test]
    fn what_always_fails_is_tried_a_few_times_and_not_each_minute(every in 1..10u16) {
        let mut settings = Maintenance::default();
        settings.prune.enabled = false;
        settings.check.enabled = false;
        settings.forget.every = Every::Days(every);
        let mut latest: Latest = [None; 3];
        let (mut runs, days) = (0, 100);
        for minute in 0..days * 1440 {
            let now = at("2026-11-01T12:00:00Z").plus_ms(minute * MINUTE_MS);
            if decide(now, &settings, &latest, &host())[0].action == A::Run {
                runs += 1;
                let failures = latest[0].map_or(0, |last_run: LastRun| last_run.failures + 1).clamp(1, MAX_TRIES);
                latest[0] = Some(LastRun { at: now, open: false, failures, put_off: false });
            }
        }
        let fires = days / u64::from(every);
        prop_assert!((fires..=fires + 3).contains(&runs), "{} runs, {} fires", runs, fires);
    }
}

fn group_drill(group: &str, since: &str, last: Option<LastRun>) -> GroupDrill {
    GroupDrill { group: group.to_owned(), since: at(since), last_run: last }
}

fn drill_at(now: Timestamp, settings: &Maintenance, drills: Vec<GroupDrill>) -> Decision {
    let host = HostState { drills, ..host() };
    let [.., drill] = decide(now, settings, &done(), &host);
    drill
}

#[test]
fn the_group_that_is_due_first_is_drilled_and_one_at_a_time() {
    let settings = Maintenance::default();
    let ran = |text| Some(last_run(text));
    let two = |etc, srv| {
        vec![group_drill("etc", "2026-01-01T12:00:00Z", etc), group_drill("srv", "2026-01-01T12:00:00Z", srv)]
    };
    // The night of the 23rd, in which nothing else is due but forget.
    let night = at("2026-11-23T03:00:00Z");
    let no_forget = {
        let mut settings = settings.clone();
        settings.forget.enabled = false;
        settings
    };
    let on = |drills| drill_at(night, &no_forget, drills);
    let done_lately = on(two(ran("2026-11-01T02:00:10Z"), ran("2026-11-20T02:00:10Z")));
    assert_eq!((done_lately.action, done_lately.group.as_deref()), (A::Wait, Some("etc")));
    assert_eq!(done_lately.due_at, Some(at("2026-12-01T02:00:00Z")));
    let due = on(two(ran("2026-10-20T02:00:10Z"), ran("2026-10-02T02:00:10Z")));
    assert_eq!((due.action, due.why, due.group.as_deref()), (A::Run, Why::Due, Some("srv")));
    // One that fails is tried again before others that are not due, and keeps none that is due waiting.
    let failed = Some(LastRun { failures: 1, ..last_run("2026-11-23T02:00:10Z") });
    let retry = on(two(failed, ran("2026-11-20T02:00:10Z")));
    assert_eq!((retry.action, retry.why, retry.group.as_deref()), (A::Wait, Why::Retry(1), Some("etc")));
    assert_eq!(on(two(failed, ran("2026-10-02T02:00:10Z"))).group.as_deref(), Some("srv"));
    let open = Some(LastRun { open: true, ..last_run("2026-11-23T02:30:00Z") });
    let busy = on(two(ran("2026-10-02T02:00:10Z"), open));
    assert_eq!((busy.action, busy.why), (A::Wait, Why::InProgress(at("2026-11-23T02:30:00Z"))));
    let nothing = on(Vec::new());
    assert_eq!((nothing.action, nothing.why, nothing.group), (A::Skip, Why::NoSnapshot, None));
    let mut off = no_forget.clone();
    off.drill.enabled = false;
    let off = drill_at(night, &off, two(None, None));
    assert_eq!((off.action, off.why), (A::Skip, Why::Off));
    // As of all kinds: what is due for longest comes first.
    let after = drill_at(night, &settings, two(ran("2026-10-24T02:00:10Z"), ran("2026-11-20T02:00:10Z")));
    assert_eq!((after.action, after.why), (A::Hold, Why::After(JobKind::Forget)));
}

#[test]
fn first_drills_are_spread_over_the_period_and_none_comes_later() {
    let settings = Maintenance::default();
    let since = "2026-06-10T12:00:00Z";
    let mut days = [0_u32; 32];
    for n in 0..600_u64 {
        let id = HostId::new(Timestamp(1_795_415_472_000 + n), [(n >> 8) as u8; 10]);
        let host = HostState { id, drills: vec![group_drill("etc", since, None)], ..host() };
        let [.., drill] = decide(at(since), &settings, &done(), &host);
        let due_at = drill.due_at.unwrap();
        assert!(due_at > at(since) || drill.why == Why::OutsideWindow, "{drill:?}");
        days[(due_at.ms_since(at(since)) / DAY_MS) as usize] += 1;
    }
    assert!(days[..30].iter().all(|count| (5..=45).contains(count)), "{days:?}");
    assert_eq!(days[31], 0);
}

#[test]
fn what_a_tick_asks_first_is_what_is_decided() {
    let settings = Maintenance::default();
    for day in 0..80 {
        for drills in [
            vec![],
            vec![group_drill("etc", "2026-10-01T12:00:00Z", None)],
            vec![
                group_drill("etc", "2026-10-01T12:00:00Z", Some(last_run("2026-10-20T02:00:10Z"))),
                group_drill("srv", "2026-10-01T12:00:00Z", None),
            ],
            vec![group_drill(
                "etc",
                "2026-10-01T12:00:00Z",
                Some(LastRun { open: true, ..last_run("2026-10-20T02:00:10Z") }),
            )],
        ] {
            let now = at("2026-10-02T03:30:00Z").plus_ms(day * DAY_MS);
            let due = is_drill_due(now, &settings, &drills, EARLIEST);
            let decided = drill_at(now, &settings, drills.clone());
            let is_on = matches!(decided.action, A::Run | A::Hold);
            assert_eq!(due, is_on, "day {day}: {decided:?} of {drills:?}");
        }
    }
}

#[test]
fn a_host_that_was_away_for_weeks_catches_up_once() {
    let settings = Maintenance::default();
    let mut latest = done();
    let mut runs = Vec::new();
    for minute in 0..21 * 1440 {
        let now = at("2026-11-22T06:00:00Z").plus_ms(minute * MINUTE_MS);
        let is_back = minute >= 15 * 1440;
        let reach = if is_back { Reach::Online } else { Reach::Offline };
        for (place, decision) in
            decide(now, &settings, &latest, &HostState { reach, ..host() }).iter().enumerate()
        {
            if decision.action == A::Run {
                runs.push((decision.kind, (now.0 - at("2026-11-22T00:00:00Z").0) / DAY_MS));
                latest[place] = Some(LastRun { at: now, open: false, failures: 0, put_off: false });
            }
        }
    }
    let of = |kind| runs.iter().filter(|(ran, _)| *ran == kind).map(|(_, day)| *day).collect::<Vec<_>>();
    assert_eq!(of(JobKind::Forget), [16, 17, 18, 19, 20, 21]);
    assert_eq!(of(JobKind::Prune), [16]);
    assert_eq!(of(JobKind::Check), [16]);
}

#[test]
fn a_host_begins_at_its_own_time_in_the_window_which_its_decision_shows() {
    let settings = Maintenance::default();
    let night = at("2026-11-29T02:00:00Z");
    let mut begins = std::collections::BTreeSet::new();
    for n in 0..200u8 {
        let host = HostState { id: HostId([n; 16]), ..host() };
        let before = decide(Timestamp(night.0 - MINUTE_MS), &settings, &done(), &host);
        for (place, before) in before.iter().take(3).enumerate() {
            let due_at = before.due_at.unwrap();
            let later = (due_at.0 - night.0) / MINUTE_MS;
            assert!(later <= 60, "{later}");
            let action = |at| decide(Timestamp(at), &settings, &done(), &host)[place].action;
            assert!(matches!(action(due_at.0), A::Run | A::Hold));
            assert!(later == 0 || action(due_at.0 - 1) == A::Wait);
            begins.insert(later);
        }
        // Who has had it in the night, also before that time, is not due again in this night.
        let mut latest = done();
        latest[0] = Some(last_run("2026-11-29T02:00:01Z"));
        assert_eq!(decide(at("2026-11-29T05:00:00Z"), &settings, &latest, &host)[0].action, A::Wait);
    }
    assert!(begins.len() > 50, "{begins:?}");
}
