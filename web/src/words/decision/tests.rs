//! The words of decisions, as [`decide`] makes them.

use super::*;
use fleet::maintenance::{Action as A, HostState, KINDS, LastRun, Latest, Reach, SeenLock, decide};
use fleet::record::{Every, Hold, Rule, SlotState};
use schema::{HostId, JobKind};
use std::collections::BTreeSet;

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as u64)
}

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

fn said(now: &str, settings: &Maintenance, latest: &Latest, host: &HostState) -> Vec<(A, String)> {
    let now = at(now);
    let decisions = decide(now, settings, latest, host);
    decisions.iter().map(|one| (one.action, decision(one, now, settings).to_string())).collect()
}

#[test]
fn each_reason_has_its_words() {
    let settings = Maintenance::default();
    type Spoil = fn(&mut HostState);
    let night = "2026-11-29T03:00:00Z";
    let cases: Vec<(Spoil, JobKind, A, &str)> = vec![
        (|_| (), JobKind::Forget, A::Run, "due now: it runs within a minute"),
        (|_| (), JobKind::Prune, A::Hold, "held back: forget comes first"),
        (|_| (), JobKind::Check, A::Hold, "held back: forget comes first"),
        (|h| h.reach = Reach::Offline, JobKind::Forget, A::Skip, "skipped: host is offline"),
        (|h| h.reach = Reach::NotEnrolled, JobKind::Check, A::Skip, "skipped: no agent is enrolled yet"),
        (
            |h| h.reach = Reach::WireUnsupported,
            JobKind::Check,
            A::Skip,
            "skipped: the agent speaks another protocol version",
        ),
        (
            |h| h.means.has_repo_credentials = false,
            JobKind::Check,
            A::Skip,
            "skipped: no repository credentials",
        ),
        (
            |h| h.means.is_replaced = true,
            JobKind::Forget,
            A::Skip,
            "skipped: another repository is at its address: look at it first",
        ),
        (|h| h.means.admin = SlotState::Empty, JobKind::Prune, A::Skip, "skipped: no admin credentials"),
        (
            |h| h.means.admin = SlotState::Unreadable,
            JobKind::Prune,
            A::Skip,
            "skipped: the admin credentials can't be opened: set them again",
        ),
        (
            |h| h.means.admin = SlotState::Forbidden,
            JobKind::Prune,
            A::Skip,
            "skipped: the agent on this host refuses admin credentials",
        ),
        (
            |h| h.means.admin = SlotState::Forbidden,
            JobKind::Forget,
            A::Skip,
            "skipped: the agent on this host refuses admin credentials",
        ),
        (
            |h| (h.means.admin, h.means.is_append_only) = (SlotState::Forbidden, false),
            JobKind::Forget,
            A::Run,
            "due now: it runs within a minute",
        ),
        (
            |h| h.elsewhere[1] = Some(at("2026-11-29T02:10:00Z")),
            JobKind::Prune,
            A::Wait,
            "done today: due again Sun 6 Dec, between 02:00 and 06:00",
        ),
        (
            |h| h.elsewhere[1] = Some(at("2026-11-21T02:10:00Z")),
            JobKind::Prune,
            A::Hold,
            "held back: forget comes first",
        ),
        (
            |h| h.means.admin = SlotState::Empty,
            JobKind::Forget,
            A::Skip,
            "skipped: the storage is append-only, and there are no admin credentials",
        ),
        (
            |h| h.means.has_keep_rule = false,
            JobKind::Forget,
            A::Skip,
            "skipped: no source group has a retention rule",
        ),
        (|h| h.means.has_keep_rule = false, JobKind::Prune, A::Run, "due now: it runs within a minute"),
        (
            |h| h.means.has_snapshot = false,
            JobKind::Check,
            A::Skip,
            "skipped: nothing has been backed up yet",
        ),
        (
            |h| h.open = Some(JobKind::Backup),
            JobKind::Forget,
            A::Hold,
            "held back: the backup of this host has not ended",
        ),
        (
            |h| h.neighbour = Some(("attic".to_owned(), JobKind::Backup)),
            JobKind::Forget,
            A::Hold,
            "held back: the backup of attic uses the same repository",
        ),
        (
            |h| {
                let (since, seen_at) = (at("2026-11-28T03:04:00Z"), at("2026-11-29T02:30:00Z"));
                h.lock = Some(SeenLock { since, seen_at, stale: false });
            },
            JobKind::Forget,
            A::Hold,
            "held back: the repository is locked since Sat 28 Nov 03:04",
        ),
        (
            |h| {
                let (since, seen_at) = (at("2026-11-28T03:04:00Z"), at("2026-11-28T10:00:00Z"));
                h.lock = Some(SeenLock { since, seen_at, stale: true });
            },
            JobKind::Forget,
            A::Hold,
            "held back: the repository is locked since Sat 28 Nov 03:04, and the lock looks stale: unlock it",
        ),
        (
            // Nobody has looked for hours: it is tried, and that looks.
            |h| {
                let (since, seen_at) = (at("2026-11-28T03:04:00Z"), at("2026-11-28T10:00:00Z"));
                h.lock = Some(SeenLock { since, seen_at, stale: false });
            },
            JobKind::Forget,
            A::Run,
            "due now: it runs within a minute",
        ),
    ];
    for (spoil, kind, action, words) in cases {
        let mut host = host();
        spoil(&mut host);
        let place = KINDS.iter().position(|known| *known == kind).unwrap();
        let said = said(night, &settings, &done(), &host).remove(place);
        assert_eq!(said, (action, words.to_owned()), "{kind:?}");
    }
}

#[test]
fn what_is_not_due_says_when_it_is() {
    let settings = Maintenance::default();
    for (now, forget, prune) in [
        (
            "2026-11-22T05:00:00Z",
            "done today: due again tomorrow, between 02:00 and 06:00",
            "done today: due again Sun 29 Nov, between 02:00 and 06:00",
        ),
        (
            "2026-11-23T01:00:00Z",
            "due today: between 02:00 and 06:00",
            "due in 6 days: Sun 29 Nov, between 02:00 and 06:00",
        ),
        (
            "2026-11-28T07:00:00Z",
            "due: its window opens tomorrow, between 02:00 and 06:00",
            "due tomorrow: between 02:00 and 06:00",
        ),
    ] {
        let said = said(now, &settings, &done(), &host());
        assert_eq!((said[0].1.as_str(), said[1].1.as_str()), (forget, prune), "{now}");
        assert_eq!((said[0].0, said[1].0), (A::Wait, A::Wait));
    }
    let mut other = settings.clone();
    other.timezone = "Europe/Helsinki".to_owned();
    other.forget.enabled = false;
    other.prune = Rule { enabled: true, every: Every::Cron("30 4 * * THU".to_owned()), window: None };
    let said = said("2026-11-23T01:00:00Z", &other, &done(), &host());
    assert_eq!(said[0], (A::Skip, "off: nothing is done here by itself".to_owned()));
    assert_eq!(said[1], (A::Wait, "due in 3 days: Thu 26 Nov at 04:30".to_owned()));
}

#[test]
fn a_failure_says_how_often_it_is_tried_again_and_when() {
    let mut settings = Maintenance::default();
    settings.check.enabled = false;
    let failed = |text, failures| {
        let mut latest = done();
        latest[1] = Some(LastRun { at: at(text), open: false, failures, put_off: false });
        latest
    };
    let night = ["2026-11-29T02:30:00Z", "2026-11-29T03:01:00Z", "2026-11-29T07:00:00Z"];
    for (now, latest, action, words) in [
        (
            night[0],
            failed("2026-11-29T02:01:00Z", 1),
            A::Wait,
            "failed: tried again today, between 03:01 and 06:00, at most 3 times in a row",
        ),
        (night[1], failed("2026-11-29T02:01:00Z", 1), A::Run, "due now: it runs within a minute"),
        (
            night[2],
            failed("2026-11-29T05:30:00Z", 2),
            A::Wait,
            "due: its window opens tomorrow, between 02:00 and 06:00",
        ),
        (
            night[2],
            failed("2026-11-29T05:30:00Z", 3),
            A::Wait,
            "failed: 3 times in a row or more, tried again when it is due: Sun 6 Dec, between 02:00 and 06:00",
        ),
    ] {
        let mut host = host();
        host.means.has_keep_rule = false;
        let said = said(now, &settings, &latest, &host).remove(1);
        assert_eq!(said, (action, words.to_owned()), "{now}");
    }
}

#[test]
fn what_goes_on_says_since_when_and_what_it_leaves_out() {
    let mut latest = done();
    latest[2] = Some(LastRun { at: at("2026-11-29T03:04:00Z"), open: true, failures: 0, put_off: false });
    let left_out = Some(("etc".to_owned(), Hold::Loss));
    let busy = HostState { open: Some(JobKind::Check), left_out, ..host() };
    let said = said("2026-11-29T03:30:00Z", &Maintenance::default(), &latest, &busy);
    assert_eq!(said[2], (A::Wait, "in progress: since Sun 29 Nov 03:04".to_owned()));
    let forget = "held back: the check of this host has not ended; without source group etc: more than half of what it \
                  usually holds is gone: look at its last backup, and accept it on the host's page if that is right";
    assert_eq!(said[0], (A::Hold, forget.to_owned()));
}

#[test]
fn no_two_whys_have_the_same_words() {
    let settings = Maintenance::default();
    let now = at("2026-11-22T05:00:00Z");
    let samples = Why::samples(now);
    let words: BTreeSet<String> = samples
        .iter()
        .map(|why| {
            let due_at = Some(now.plus_ms(86_400_000));
            let one = Decision {
                kind: JobKind::Prune,
                action: A::Hold,
                due_at,
                why: why.clone(),
                left_out: None,
                group: None,
            };
            decision(&one, now, &settings).to_string()
        })
        .collect();
    assert_eq!(words.len(), samples.len(), "{words:?}");
    insta::assert_snapshot!("decisions", words.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn done_today_is_of_the_wall_clock_and_needs_no_words() {
    let settings = Maintenance { timezone: "Europe/Helsinki".to_owned(), ..Maintenance::default() };
    let of = |done_at: Option<&str>| {
        let why = Why::NotDue { done_at: done_at.map(at) };
        let due_at = Some(at("2026-11-29T02:00:00Z"));
        Decision { kind: JobKind::Prune, action: A::Wait, due_at, why, left_out: None, group: None }
    };
    // Helsinki is two hours ahead.
    for (now, done_at, is_done) in [
        ("2026-11-22T21:59:00Z", Some("2026-11-21T22:00:00Z"), true),
        ("2026-11-22T22:00:00Z", Some("2026-11-21T22:00:00Z"), false),
        ("2026-11-22T22:00:00Z", None, false),
    ] {
        let (now, one) = (at(now), of(done_at));
        assert_eq!(is_done_today(&one, now, &settings), is_done, "{now:?}");
        assert_eq!(decision(&one, now, &settings).lead == "done today", is_done, "{now:?}");
    }
}
