use crate::support::{Agent, Got, HOUR_MS, World, backup, by, credentials, group, in_memory};
use fleet::maintenance::{Action, Reach, Why};
use fleet::record::{Actor, Group, JobState, JobWhat, MaintenanceInput, Retention, RuleInput};
use fleet::{AuditFilter, By, Fleet, JobRequest, Page, Refused};
use schema::stats::{LockSeen, SnapshotCount};
use schema::{
    HostId, JobKind, Outcome, RepoId, RepoStats, Slot, SlotRevision, StatsRevision, Stream, Timestamp,
};

/// A host with all that maintenance needs: admin credentials, a keep rule, a backup.
async fn kept(world: &World, fleet: &Fleet, name: &str) -> Agent {
    let mut agent = Agent::ready(world, fleet, name).await;
    fleet.put_credentials(agent.host, Slot::Admin, credentials(), by()).await.unwrap();
    let keep = Retention { daily: 7, ..Retention::default() };
    fleet.put_group(agent.host, Some("etc"), Group { keep, ..group("etc") }, by()).await.unwrap();
    without_drills(fleet, agent.host).await;
    agent.lists_nothing().await;
    agent.back_up("etc", Outcome::Succeeded).await;
    agent
}

/// The usual settings, but for drills: those come on another day of the month for each host.
async fn without_drills(fleet: &Fleet, host: HostId) {
    let rule = |every: &str| RuleInput {
        enabled: true,
        every: every.into(),
        from: "02:00".into(),
        until: "06:00".into(),
    };
    let settings = MaintenanceInput {
        forget: rule("1 day"),
        prune: rule("7 days"),
        check: rule("7 days"),
        drill: Some(RuleInput { enabled: false, ..rule("30 days") }),
        ..MaintenanceInput::default()
    };
    fleet.put_maintenance(host, settings, by()).await.unwrap();
}

fn open(fleet: &Fleet, host: HostId) -> Vec<JobKind> {
    fleet.read().unwrap().open_jobs(host).unwrap().iter().map(|job| job.what.kind()).collect()
}

/// Of forget, prune and check.
fn reasons(fleet: &Fleet, host: HostId) -> [Why; 3] {
    let (_, [forget, prune, check, _]) = fleet.read().unwrap().decisions(host).unwrap().unwrap();
    [forget, prune, check].map(|decision| decision.why)
}

/// From the start of these tests (14 Nov, 22:13) to the middle of the night after so many days.
fn to_the_night(world: &World, days: u64) {
    world.pass((days * 24 + 5) * HOUR_MS);
}

async fn end(agent: &mut Agent, outcome: Outcome) -> JobKind {
    agent.take_all();
    let job = agent.fleet.read().unwrap().open_jobs(agent.host).unwrap().remove(0);
    agent.finish(job.id, outcome, schema::Summary::None).await;
    job.what.kind()
}

fn daily() -> MaintenanceInput {
    let rule = RuleInput { enabled: true, every: "1 day".into(), from: String::new(), until: String::new() };
    MaintenanceInput { forget: rule.clone(), prune: rule.clone(), check: rule, ..MaintenanceInput::default() }
}

#[tokio::test]
async fn in_the_night_what_is_due_runs_one_after_the_other_and_once() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet, "attic").await;
    fleet.maintain().await;
    assert_eq!(open(&fleet, agent.host), [], "not in the evening");
    to_the_night(&world, 7);
    for kind in [JobKind::Forget, JobKind::Prune, JobKind::Check] {
        fleet.maintain().await;
        fleet.maintain().await;
        assert_eq!(open(&fleet, agent.host), [kind]);
        assert_eq!(end(&mut agent, Outcome::Succeeded).await, kind);
    }
    fleet.maintain().await;
    assert_eq!(open(&fleet, agent.host), []);
    let read = fleet.read().unwrap();
    let [forget, ..] = read.decisions(agent.host).unwrap().unwrap().1;
    assert!(matches!(forget.why, Why::NotDue { done_at: Some(_) }), "{:?}", forget.why);
    // Tomorrow, at its own time in the first hour of the window.
    let day_ms = 24 * HOUR_MS;
    let two = Timestamp(read.now().0 / day_ms * day_ms + day_ms + 2 * HOUR_MS);
    let begins = two..=two.plus_ms(HOUR_MS);
    assert!(begins.contains(&forget.due_at.unwrap()), "{:?}", forget.due_at);
    let check = read.latest_job(agent.host, JobKind::Check).unwrap().unwrap();
    assert_eq!((check.what, check.actor), (JobWhat::Check { subset_pct: 5 }, Actor::System));
    let entry = read.audit(&AuditFilter::default(), &Page::default()).unwrap().items.remove(0);
    assert_eq!((entry.action.code(), entry.actor.kind(), entry.peer.as_str()), ("job.check", "system", ""));
}

#[tokio::test]
async fn prune_by_itself_brings_the_admin_slot_for_its_job() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet, "attic").await;
    let mut input = daily();
    (input.forget.enabled, input.check.enabled) = (false, false);
    fleet.put_maintenance(agent.host, input, by()).await.unwrap();
    to_the_night(&world, 1);
    fleet.maintain().await;
    let got = agent.take_all();
    assert!(
        matches!(
            got[..],
            [Got::Config { slot: Slot::Admin, for_job: Some(a), .. }, Got::Run { job: b, .. }] if a == b
        ),
        "{got:?}"
    );
}

#[tokio::test]
async fn a_host_that_is_away_is_skipped_and_nothing_waits_for_it() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet, "attic").await;
    agent.gone(agent.epoch).await;
    to_the_night(&world, 21);
    fleet.maintain().await;
    assert_eq!(open(&fleet, agent.host), []);
    assert_eq!(reasons(&fleet, agent.host), [(); 3].map(|()| Why::Unreachable(Reach::Offline)));
    agent.hello(&[]).await;
    fleet.maintain().await;
    assert_eq!(open(&fleet, agent.host), [JobKind::Forget]);
}

#[tokio::test]
async fn what_a_host_lacks_is_said_and_not_tried() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    to_the_night(&world, 7);
    fleet.maintain().await;
    assert_eq!(open(&fleet, agent.host), []);
    assert_eq!(reasons(&fleet, agent.host), [Why::NoKeepRule, Why::NoAdminCredentials, Why::NoSnapshot]);
}

#[tokio::test]
async fn a_job_that_fails_is_not_tried_each_minute() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet, "attic").await;
    let mut input = daily();
    (input.forget.enabled, input.check.enabled) = (false, false);
    fleet.put_maintenance(agent.host, input, by()).await.unwrap();
    to_the_night(&world, 1);
    let mut tries = 0;
    for _ in 0..23 * 60 {
        fleet.maintain().await;
        if !open(&fleet, agent.host).is_empty() {
            end(&mut agent, Outcome::Failed).await;
            tries += 1;
        }
        world.pass(60_000);
    }
    assert_eq!(tries, 3);
    assert_eq!(reasons(&fleet, agent.host)[1], Why::GaveUp(3));
}

#[tokio::test]
async fn settings_are_stored_audited_and_refused_with_the_field() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    let mut input = daily();
    input.check_subset_pct = Some(30);
    let saved = fleet.put_maintenance(agent.host, input.clone(), by()).await.unwrap();
    assert_eq!(fleet.read().unwrap().maintenance(agent.host).unwrap(), saved);
    fleet.put_maintenance(agent.host, input.clone(), by()).await.unwrap();
    let filter = AuditFilter { action: Some("maintenance".into()), ..AuditFilter::default() };
    let audit = fleet.read().unwrap().audit(&filter, &Page::default()).unwrap().items;
    assert_eq!(audit.len(), 1, "what changes nothing is not audited");
    assert_eq!(
        audit[0].detail,
        "forget every 1 day; prune every 1 day; check every 1 day; check reads 30 % of the data"
    );
    let job = fleet.dispatch(agent.host, JobRequest::Check { subset_pct: None }, by()).await.unwrap();
    assert_eq!(job.what, JobWhat::Check { subset_pct: 30 }, "a check without a number takes the setting");
    input.prune.every = "often".into();
    let refused = fleet.put_maintenance(agent.host, input.clone(), by()).await.unwrap_err();
    assert_eq!(refused.field(), Some("prune.every"));
    let nobody = fleet.put_maintenance(HostId([9; 16]), input, by()).await.unwrap_err();
    assert_eq!(nobody.code(), "host_not_found");
    fleet.delete_host(agent.host, by()).await.unwrap();
    assert!(fleet.read().unwrap().decisions(agent.host).unwrap().is_none());
}

fn locked(at: Timestamp, revision: u64, pid: u32) -> RepoStats<'static> {
    let lock = schema::stats::Lock {
        since: at,
        exclusive: true,
        hostname: "laptop",
        username: "ada",
        pid,
        stale: false,
    };
    RepoStats {
        stream: Stream(77),
        revision: StatsRevision(revision),
        at,
        job: None,
        repo: None,
        size: None,
        snapshots: Some(SnapshotCount { at, count: 1, newest_at: None }),
        check: None,
        prune: None,
        lock: Some(LockSeen { at, lock: Some(lock) }),
    }
}

#[tokio::test]
async fn a_lock_holds_maintenance_back_and_goes_only_when_it_is_the_one_that_was_shown() {
    let (world, fleet) = in_memory();
    let agent = kept(&world, &fleet, "attic").await;
    to_the_night(&world, 7);
    let unlock = |mark: &str| JobRequest::Unlock { all: Some(mark.to_owned()) };
    let ask = async |mark: &str| fleet.dispatch(agent.host, unlock(mark), by()).await;
    assert_eq!(ask("").await.unwrap_err().code(), "lock_changed", "no lock is known");
    agent.stats(locked(world.now(), 1, 7)).await;
    fleet.maintain().await;
    assert_eq!(open(&fleet, agent.host), []);
    assert!(matches!(reasons(&fleet, agent.host)[0], Why::Locked(_)));
    let mark = || fleet.read().unwrap().repo(agent.host).unwrap().lock.unwrap().holder.unwrap().mark();
    let shown = mark();
    agent.stats(locked(world.now(), 2, 8)).await;
    let refused = ask(&shown).await.unwrap_err();
    assert_eq!(refused.code(), "lock_changed");
    assert!(refused.to_string().contains("ada@laptop, pid 8"), "{refused}");
    let job = ask(&mark()).await.unwrap();
    assert_eq!(job.what, JobWhat::Unlock { all: true });
}

#[tokio::test]
async fn two_hosts_on_one_repository_take_turns_and_each_says_whom_it_waits_for() {
    let (world, fleet) = in_memory();
    let mut one = kept(&world, &fleet, "one").await;
    let mut two = kept(&world, &fleet, "two").await;
    for agent in [&mut one, &mut two] {
        let job = fleet.dispatch(agent.host, JobRequest::Init, by()).await.unwrap();
        agent.take_all();
        let repo = RepoId([5; 32]);
        agent.finish(job.id, Outcome::Succeeded, schema::Summary::Init { repo }).await;
    }
    to_the_night(&world, 7);
    fleet.maintain().await;
    // Which of them is first is no matter.
    if open(&fleet, one.host).is_empty() {
        std::mem::swap(&mut one, &mut two);
    }
    let first = one.record().name;
    assert_eq!((open(&fleet, one.host), open(&fleet, two.host)), (vec![JobKind::Forget], vec![]));
    assert_eq!(reasons(&fleet, two.host)[0], Why::Neighbour { host: first.clone(), kind: JobKind::Forget });
    match fleet.dispatch(two.host, backup("etc"), by()).await {
        Err(Refused::RepoBusy { host, kind, job }) => {
            assert_eq!((host, kind), (first, JobKind::Forget));
            assert_eq!(one.job(job).state, JobState::Queued);
        }
        other => panic!("{other:?}"),
    }
    let mut seen = Vec::new();
    for _ in 0..6 {
        fleet.maintain().await;
        for agent in [&mut one, &mut two] {
            if !open(&fleet, agent.host).is_empty() {
                seen.push(end(agent, Outcome::Succeeded).await);
            }
        }
    }
    assert_eq!(seen.len(), 6, "each host had all three: {seen:?}");
    let read = fleet.read().unwrap();
    for agent in [&one, &two] {
        let decisions = read.decisions(agent.host).unwrap().unwrap().1;
        assert!(decisions.iter().take(3).all(|decision| decision.action == Action::Wait), "{decisions:?}");
    }
}

#[tokio::test]
async fn live_locks_are_not_taken_from_a_job_of_another_host_that_is_known_to_run() {
    let (world, fleet) = in_memory();
    let mut one = kept(&world, &fleet, "one").await;
    let mut two = kept(&world, &fleet, "two").await;
    for agent in [&mut one, &mut two] {
        let job = fleet.dispatch(agent.host, JobRequest::Init, by()).await.unwrap();
        agent.take_all();
        let repo = RepoId([5; 32]);
        agent.finish(job.id, Outcome::Succeeded, schema::Summary::Init { repo }).await;
    }
    fleet.dispatch(one.host, backup("etc"), By::system()).await.unwrap();
    two.stats(locked(world.now(), 1, 7)).await;
    let mark = fleet.read().unwrap().repo(two.host).unwrap().lock.unwrap().holder.unwrap().mark();
    let all = fleet.dispatch(two.host, JobRequest::Unlock { all: Some(mark) }, by()).await.unwrap_err();
    assert_eq!(all.code(), "repo_busy");
    fleet.dispatch(two.host, JobRequest::Unlock { all: None }, by()).await.unwrap();
}

/// The agent says which repository it works on: the first, the second.
fn on_repository(world: &World, number: u8) -> RepoStats<'static> {
    let stats = locked(world.now(), number.into(), 1);
    RepoStats { repo: Some(RepoId([number; 32])), lock: None, ..stats }
}

#[tokio::test]
async fn what_was_done_to_the_old_repository_does_not_count_for_the_new_one() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet, "attic").await;
    agent.stats(on_repository(&world, 1)).await;
    let mut input = daily();
    (input.prune.enabled, input.check.enabled) = (false, false);
    fleet.put_maintenance(agent.host, input, by()).await.unwrap();
    world.pass(25 * HOUR_MS);
    fleet.maintain().await;
    assert_eq!(end(&mut agent, Outcome::Failed).await, JobKind::Forget);
    world.pass(HOUR_MS / 2);
    let due = |fleet: &Fleet| {
        let (_, decisions) = fleet.read().unwrap().decisions(agent.host).unwrap().unwrap();
        (decisions[0].action, decisions[0].due_at, decisions[0].why.clone())
    };
    assert_eq!(due(&fleet).2, Why::Retry(1));
    agent.stats(on_repository(&world, 2)).await;
    let switched_at = world.now();
    let never = Why::NotDue { done_at: None };
    let next = Timestamp(switched_at.0 + 24 * HOUR_MS);
    assert_eq!(due(&fleet), (Action::Wait, Some(next), never), "as on a host that was added now");
    world.pass(24 * HOUR_MS);
    fleet.maintain().await;
    assert_eq!(open(&fleet, agent.host), [JobKind::Snapshots], "nobody knows what is in it");
    let listing = fleet.read().unwrap().open_jobs(agent.host).unwrap().remove(0);
    agent.take_all();
    let none = schema::Summary::Snapshots { count: 0, left_out: 0 };
    agent.finish(listing.id, Outcome::Succeeded, none).await;
    fleet.maintain().await;
    assert_eq!(open(&fleet, agent.host), [JobKind::Forget]);
}

#[tokio::test]
async fn maintenance_goes_by_the_servers_own_zone_until_somebody_says_otherwise() {
    for (zone, expected) in [("Asia/Tokyo", "Asia/Tokyo"), ("Nowhere/Land", "UTC"), ("", "UTC")] {
        let world = World::new();
        let settings = fleet::Settings { timezone: zone.to_owned(), ..crate::support::settings() };
        let fleet = Fleet::in_memory(settings, world.driver()).unwrap();
        let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
        assert_eq!(fleet.read().unwrap().maintenance(host.id).unwrap().timezone, expected);
        let kept = fleet.put_maintenance(host.id, daily(), by()).await.unwrap();
        assert_eq!(kept.timezone, expected);
    }
}

#[tokio::test]
async fn admin_credentials_that_the_agent_refuses_are_not_tried_again() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet, "attic").await;
    let answer =
        |refused| schema::ReportBody::ConfigApplied { slot: Slot::Admin, revision: SlotRevision(1), refused };
    agent.report(answer(Some(schema::Refusal::Policy))).await;
    to_the_night(&world, 8);
    fleet.maintain().await;
    assert_eq!(end(&mut agent, Outcome::Succeeded).await, JobKind::Forget, "with the everyday credentials");
    assert_eq!(agent.waiting(), 0);
    fleet.maintain().await;
    assert_eq!(open(&fleet, agent.host), [JobKind::Check]);
    assert_eq!(reasons(&fleet, agent.host)[1], Why::AdminForbidden);
    let refused = fleet.dispatch(agent.host, JobRequest::Prune, by()).await.unwrap_err();
    assert_eq!(refused.code(), "admin_creds_forbidden");
    // Its owner has allowed them, and it has started again.
    agent.report(answer(None)).await;
    fleet.dispatch(agent.host, JobRequest::Prune, by()).await.unwrap();
}
