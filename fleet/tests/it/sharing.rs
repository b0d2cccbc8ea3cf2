//! Hosts on one repository: who counts as one, what each believes of the others, and how long they wait for each other.

use crate::support::{
    Agent, DAY_MS, Got, HOUR_MS, World, audited, backup, by, credentials, group, in_memory, saved,
};
use fleet::maintenance::{Action, Why};
use fleet::record::{
    CredentialsInput, Group, JobState, MaintenanceInput, Origin, Retention, RuleInput, WhyShared,
};
use fleet::{Fleet, JobRequest, Status};
use schema::job::BackupSummary;
use schema::stats::{CheckResult, LockSeen, PruneResult, Size, SizeSource, SnapshotCount};
use schema::{HostId, JobKind, Outcome, RepoId, RepoStats, Slot, StatsRevision, Stream, Summary, Timestamp};

const REPO: RepoId = RepoId([5; 32]);
const LEASE_MS: u64 = 30 * 60_000;

fn at(url: &str) -> CredentialsInput {
    CredentialsInput { url: url.to_owned(), ..credentials() }
}

/// A host with all that maintenance needs.
async fn kept(world: &World, fleet: &Fleet, name: &str) -> Agent {
    let mut agent = Agent::ready(world, fleet, name).await;
    fleet.put_credentials(agent.host, Slot::Admin, credentials(), by()).await.unwrap();
    let keep = Retention { daily: 7, ..Retention::default() };
    fleet.put_group(agent.host, Some("etc"), Group { keep, ..group("etc") }, by()).await.unwrap();
    agent.back_up("etc", Outcome::Succeeded).await;
    agent
}

/// Figures with nothing in them but the repository.
fn figures(world: &World, repo: RepoId) -> RepoStats<'static> {
    RepoStats {
        stream: Stream(77),
        // Grows with time; tests let some pass.
        revision: StatsRevision(world.now().0),
        at: world.now(),
        job: None,
        repo: Some(repo),
        size: None,
        snapshots: None,
        check: None,
        prune: None,
        lock: None,
    }
}

fn checked(world: &World, errors: u32, subset_pct: u8) -> RepoStats<'static> {
    let check = Some(CheckResult { at: world.now(), errors, subset_pct });
    RepoStats { check, ..figures(world, REPO) }
}

async fn says(world: &World, agent: &Agent, stats: RepoStats<'static>) {
    agent.stats(stats).await;
    world.pass(1_000);
}

fn stands(fleet: &Fleet, host: HostId) -> (Status, bool, &'static str) {
    let row = fleet.read().unwrap().host_row(host).unwrap();
    (row.status, row.protected, row.reason.code())
}

fn errors(fleet: &Fleet, host: HostId) -> u32 {
    fleet.read().unwrap().repo(host).unwrap().check.map_or(0, |check| check.errors)
}

async fn code(fleet: &Fleet, host: HostId, request: JobRequest) -> Option<&'static str> {
    fleet.dispatch(host, request, by()).await.err().map(|refused| refused.code())
}

fn check() -> JobRequest {
    JobRequest::Check { subset_pct: Some(5) }
}

/// Every day, at any time.
fn daily() -> MaintenanceInput {
    let rule = RuleInput { enabled: true, every: "1 day".into(), from: String::new(), until: String::new() };
    let off = RuleInput { enabled: false, ..rule.clone() };
    MaintenanceInput { forget: off, prune: rule.clone(), check: rule, ..MaintenanceInput::default() }
}

/// Of forget, prune and check.
fn actions(fleet: &Fleet, host: HostId) -> [Action; 3] {
    let (_, [forget, prune, check, _]) = fleet.read().unwrap().decisions(host).unwrap().unwrap();
    [forget, prune, check].map(|decision| decision.action)
}

/// Runs a job that the server asks for, to a good end.
async fn run(agent: &mut Agent, request: JobRequest) -> fleet::record::Job {
    let job = agent.fleet.dispatch(agent.host, request.clone(), by()).await.unwrap();
    agent.take_all();
    agent.finish(job.id, Outcome::Succeeded, good(&request)).await;
    agent.job(job.id)
}

fn good(request: &JobRequest) -> Summary<'static> {
    match request {
        JobRequest::Prune => {
            Summary::Prune { freed_bytes: 7, repacked_packs: 0, repacked_bytes: 0, remaining_bytes: 1 }
        }
        JobRequest::Check { subset_pct } => Summary::Check { errors: 0, subset_pct: subset_pct.unwrap_or(5) },
        _ => Summary::None,
    }
}

#[tokio::test]
async fn a_host_that_only_names_a_repository_changes_nothing_for_those_who_use_it() {
    let (world, fleet) = in_memory();
    let victim = kept(&world, &fleet, "victim").await;
    says(&world, &victim, checked(&world, 3, 100)).await;
    assert_eq!(errors(&fleet, victim.host), 3);
    fleet.put_maintenance(victim.host, daily(), by()).await.unwrap();
    world.pass(2 * DAY_MS);
    let (before, due) = (stands(&fleet, victim.host), actions(&fleet, victim.host));
    assert_eq!(due[1..], [Action::Run, Action::Hold]);

    // One with no credentials, and one that was sent elsewhere.
    let mut none = Agent::enrolled(&world, &fleet, "none").await;
    none.hello(&[]).await;
    let elsewhere = Agent::ready(&world, &fleet, "elsewhere").await;
    fleet.put_credentials(elsewhere.host, Slot::Repo, at("rest:http://box.example/b"), by()).await.unwrap();
    for liar in [&none, &elsewhere] {
        let now = world.now();
        let everything = RepoStats {
            size: Some(Size { at: now, bytes: 1, source: SizeSource::Measured }),
            snapshots: Some(SnapshotCount { at: now, count: 0, newest_at: None }),
            prune: Some(PruneResult { at: now, freed_bytes: 1 }),
            lock: Some(LockSeen { at: now, lock: None }),
            ..checked(&world, 0, 100)
        };
        says(&world, liar, everything).await;
        says(&world, liar, figures(&world, RepoId([6; 32]))).await;
        says(&world, liar, checked(&world, 9, 100)).await;
        assert_eq!((stands(&fleet, victim.host), actions(&fleet, victim.host)), (before, due));
        assert_eq!(errors(&fleet, victim.host), 3);
    }
    let said = audited(&fleet, "repo.claimed");
    assert_eq!(said.len(), 2, "once for each: {said:?}");
    assert!(
        said[0].detail.contains("0505050505, as do ") && !said[0].detail.contains(&REPO.to_string()),
        "{said:?}"
    );
    let read = fleet.read().unwrap();
    let shown: Vec<_> = read.sharers(victim.host).unwrap().into_iter().map(|s| (s.name, s.why)).collect();
    assert_eq!(shown, [("elsewhere".to_owned(), None), ("none".to_owned(), None)]);

    // A job of theirs that never ends keeps nobody off either.
    let job = schema::JobId::new(world.now(), [1; 10]);
    let own = schema::ReportBody::Own { job, schedule: "hourly", group: "etc", due_at: world.now() };
    none.report(own).await;
    none.report(schema::ReportBody::Started { job }).await;
    assert_eq!(code(&fleet, victim.host, JobRequest::Prune).await, None);
}

#[tokio::test]
async fn hosts_that_were_sent_to_one_place_share_and_what_one_says_never_mends_the_other() {
    let (world, fleet) = in_memory();
    let (one, two) = (kept(&world, &fleet, "one").await, kept(&world, &fleet, "two").await);
    fleet
        .put_credentials(two.host, Slot::Repo, at("rest:https://BOX.example:8000/attic/"), by())
        .await
        .unwrap();
    says(&world, &one, figures(&world, REPO)).await;
    says(&world, &two, figures(&world, REPO)).await;
    assert_eq!(audited(&fleet, "repo.claimed").len(), 0);
    let read = fleet.read().unwrap();
    assert_eq!(read.sharers(one.host).unwrap()[0].why, Some(WhyShared::Address));
    drop(read);

    says(&world, &one, checked(&world, 3, 5)).await;
    for host in [one.host, two.host] {
        assert_eq!(stands(&fleet, host).2, "damaged", "damage is told of both");
    }
    let third = kept(&world, &fleet, "third").await;
    says(&world, &third, figures(&world, REPO)).await;
    let errors = |agent: &Agent| errors(&fleet, agent.host);
    assert_eq!((errors(&one), errors(&two), errors(&third)), (3, 3, 3), "one that comes later learns of it");
    says(&world, &third, checked(&world, 0, 100)).await;
    assert_eq!((errors(&one), errors(&two), errors(&third)), (3, 3, 0), "and has looked itself since");
    says(&world, &one, checked(&world, 0, 4)).await;
    assert_eq!((errors(&one), errors(&two)), (3, 3), "it read less");
    says(&world, &one, checked(&world, 0, 5)).await;
    assert_eq!((errors(&one), errors(&two)), (0, 0), "who said so has taken it back");

    // What is said to be gone stays.
    let lock = schema::stats::Lock {
        since: world.now(),
        exclusive: true,
        hostname: "laptop",
        username: "ada",
        pid: 7,
        stale: false,
    };
    let seen = |lock| Some(LockSeen { at: world.now(), lock });
    says(&world, &two, RepoStats { lock: seen(Some(lock)), ..figures(&world, REPO) }).await;
    let gone = RepoStats {
        lock: seen(None),
        snapshots: Some(SnapshotCount { at: world.now(), count: 0, newest_at: None }),
        ..figures(&world, REPO)
    };
    says(&world, &one, gone).await;
    let lock_of = |agent: &Agent| fleet.read().unwrap().repo(agent.host).unwrap().lock.unwrap().holder;
    assert!(lock_of(&two).is_some());
    says(&world, &two, RepoStats { lock: seen(None), ..figures(&world, REPO) }).await;
    world.pass(8 * DAY_MS + 5 * HOUR_MS);
    fleet.put_maintenance(two.host, daily(), by()).await.unwrap();
    assert_eq!(actions(&fleet, two.host)[1..], [Action::Run, Action::Hold], "there is something to do");
}

#[tokio::test]
async fn the_snapshots_of_a_host_are_no_other_hosts_whatever_it_is_called() {
    let (world, fleet) = in_memory();
    let one = kept(&world, &fleet, "attic").await;
    fleet.update_host(one.host, Some("loft".to_owned()), None, by()).await.unwrap();
    // The name is free, the host name in its snapshots is not.
    let mut two = kept(&world, &fleet, "attic").await;
    assert_eq!((two.record().name.as_str(), two.record().restic_host.as_str()), ("attic", "attic-2"));
    let goes_on = |hostname: &str, tag: &str| Origin { hostname: hostname.to_owned(), tag: tag.to_owned() };
    let theirs = Group { origins: vec![goes_on("attic", "etc")], ..group("more") };
    let refused = fleet.put_group(two.host, None, theirs, by()).await.unwrap_err();
    assert_eq!(refused.field(), Some("origins"), "{refused}");

    // One goes on with snapshots of a host that comes later, or of a group that comes later.
    let adopted =
        Group { origins: vec![goes_on("cellar", "docs"), goes_on("attic-2", "docs")], ..group("docs") };
    fleet.put_group(one.host, None, adopted, by()).await.unwrap();
    let three = kept(&world, &fleet, "cellar").await;
    assert_eq!(three.record().restic_host, "cellar-2");
    let refused = fleet.put_group(two.host, None, group("docs"), by()).await.unwrap_err();
    assert_eq!(refused.field(), Some("name"), "{refused}");
    assert!(refused.to_string().contains("docs of loft"), "{refused}");
    two.back_up("etc", Outcome::Succeeded).await;
}

#[tokio::test]
async fn a_sudden_loss_of_one_host_holds_the_prune_of_all_on_its_repository() {
    let (world, fleet) = in_memory();
    let (mut one, mut two) = (kept(&world, &fleet, "one").await, kept(&world, &fleet, "two").await);
    let mut elsewhere = kept(&world, &fleet, "elsewhere").await;
    let other_place = at("rest:https://far.example:8000/attic");
    fleet.put_credentials(elsewhere.host, Slot::Repo, other_place, by()).await.unwrap();
    for agent in [&one, &two, &elsewhere] {
        says(&world, agent, figures(&world, REPO)).await;
    }
    let Summary::Backup(usual) = saved() else { panic!("a backup") };
    let emptied = Summary::Backup(BackupSummary { files_new: 0, total_files: 0, total_bytes: 0, ..usual });
    let lost = one.back_up_as("etc", Outcome::Succeeded, emptied).await;
    let held = fleet.dispatch(two.host, JobRequest::Prune, by()).await.unwrap_err();
    assert_eq!(held.code(), "held");
    assert!(held.to_string().contains("etc of one"), "{held}");
    world.pass(8 * DAY_MS + 5 * HOUR_MS);
    fleet.put_maintenance(two.host, daily(), by()).await.unwrap();
    let host = two.host;
    let prune_is_held = || {
        let (_, [_, prune, ..]) = fleet.read().unwrap().decisions(host).unwrap().unwrap();
        matches!(&prune.why, Why::Held { group, .. } if group == "etc of one")
    };
    assert!(prune_is_held());
    fleet.maintain().await;
    let is_prune = |got: &Got| matches!(got, Got::Run { kind: JobKind::Prune, .. });
    assert!(!two.take_all().iter().any(is_prune));
    run(&mut elsewhere, JobRequest::Prune).await;

    fleet.accept_backup(one.host, "etc", lost.id, by()).await.unwrap();
    assert!(!prune_is_held());
}

#[tokio::test]
async fn what_another_was_asked_to_do_puts_the_own_off_by_one_period_and_what_it_says_by_itself_does_not() {
    let (world, fleet) = in_memory();
    let (mut one, mut two) = (kept(&world, &fleet, "one").await, kept(&world, &fleet, "two").await);
    for agent in [&one, &two] {
        says(&world, agent, figures(&world, REPO)).await;
        fleet.put_maintenance(agent.host, daily(), by()).await.unwrap();
    }
    for agent in [&mut one, &mut two] {
        run(agent, JobRequest::Prune).await;
        run(agent, check()).await;
    }
    world.pass(DAY_MS + HOUR_MS);
    let due = |agent: &Agent| actions(&fleet, agent.host).map(|action| action != Action::Wait);
    assert_eq!(due(&two)[1..], [true, true]);
    let claims =
        RepoStats { prune: Some(PruneResult { at: world.now(), freed_bytes: 1 }), ..checked(&world, 0, 100) };
    says(&world, &one, claims).await;
    assert_eq!(due(&two)[1..], [true, true], "by its own word nothing is done");
    run(&mut one, JobRequest::Prune).await;
    run(&mut one, JobRequest::Check { subset_pct: Some(4) }).await;
    assert_eq!(due(&two)[1..], [false, true], "a check that read less does not count");
    run(&mut one, check()).await;
    assert_eq!(due(&two)[1..], [false, false]);
    // Though it does so again each day, the other relies on it for one period.
    world.pass(DAY_MS - 2 * HOUR_MS);
    run(&mut one, JobRequest::Prune).await;
    run(&mut one, check()).await;
    assert_eq!(due(&two)[1..], [false, false]);
    world.pass(2 * HOUR_MS);
    assert_eq!(due(&two)[1..], [true, true]);
    assert_eq!(due(&one)[1..], [false, false]);
}

#[tokio::test]
async fn two_real_hosts_on_one_repository_do_not_both_prune_it_each_time() {
    let (world, fleet) = in_memory();
    let mut agents = [kept(&world, &fleet, "one").await, kept(&world, &fleet, "two").await];
    for agent in &agents {
        says(&world, agent, figures(&world, REPO)).await;
        fleet.put_maintenance(agent.host, daily(), by()).await.unwrap();
    }
    let mut prunes = [0, 0];
    for _ in 0..40 * 24 {
        fleet.maintain().await;
        for (agent, prunes) in agents.iter_mut().zip(&mut prunes) {
            agent.take_all();
            let open = fleet.read().unwrap().open_jobs(agent.host).unwrap();
            for job in open {
                let is_prune = job.what.kind() == JobKind::Prune;
                *prunes += u32::from(is_prune);
                let request = if is_prune { JobRequest::Prune } else { check() };
                agent.finish(job.id, Outcome::Succeeded, good(&request)).await;
            }
        }
        world.pass(HOUR_MS);
    }
    assert!(prunes.iter().all(|count| (15..=41).contains(count)), "each does its part: {prunes:?}");
    assert!((40..=62).contains(&prunes.iter().sum::<u32>()), "not all of them each day: {prunes:?}");
}

#[tokio::test]
async fn by_two_addresses_hosts_share_when_a_person_says_so_until_it_is_taken_back_or_one_moves() {
    let (world, fleet) = in_memory();
    let (one, two) = (kept(&world, &fleet, "one").await, kept(&world, &fleet, "two").await);
    fleet.put_credentials(two.host, Slot::Repo, at("rest:http://10.0.0.7/attic"), by()).await.unwrap();
    let asked = fleet.confirm_sharing(one.host, two.host, by()).await.unwrap_err();
    assert!(asked.to_string().contains("test the credentials"), "{asked}");
    says(&world, &one, figures(&world, REPO)).await;
    says(&world, &two, figures(&world, REPO)).await;
    says(&world, &one, checked(&world, 3, 5)).await;
    assert_eq!(errors(&fleet, two.host), 0);
    for _ in 0..2 {
        fleet.confirm_sharing(two.host, one.host, by()).await.unwrap();
    }
    assert_eq!(audited(&fleet, "repo.share_confirmed").len(), 2, "one entry for each host");
    assert_eq!(errors(&fleet, two.host), 3);
    let running = fleet.dispatch(one.host, check(), by()).await.unwrap();
    assert_eq!(code(&fleet, two.host, backup("etc")).await, Some("repo_busy"));
    fleet.undo_sharing(one.host, two.host, by()).await.unwrap();
    assert_eq!((errors(&fleet, one.host), errors(&fleet, two.host)), (3, 0));
    assert_eq!(code(&fleet, two.host, backup("etc")).await, None);
    assert_eq!(audited(&fleet, "repo.share_undone").len(), 2);

    fleet.confirm_sharing(one.host, two.host, by()).await.unwrap();
    assert_eq!(errors(&fleet, two.host), 3);
    fleet.put_credentials(two.host, Slot::Repo, at("rest:http://10.0.0.8/attic"), by()).await.unwrap();
    assert_eq!(errors(&fleet, two.host), 0, "it was said of another address");
    assert_eq!(fleet.read().unwrap().job(running.id).unwrap().unwrap().state, JobState::Queued);
    let why = fleet.read().unwrap().sharers(two.host).unwrap().remove(0).why;
    assert_eq!(why, None);
}

#[tokio::test]
async fn a_folder_of_the_machine_itself_is_shared_only_with_whom_names_the_same_repository() {
    let (world, fleet) = in_memory();
    let (one, two) = (kept(&world, &fleet, "one").await, kept(&world, &fleet, "two").await);
    for agent in [&one, &two] {
        fleet.put_credentials(agent.host, Slot::Repo, at("/mnt/backup"), by()).await.unwrap();
    }
    says(&world, &one, figures(&world, REPO)).await;
    fleet.dispatch(one.host, check(), by()).await.unwrap();
    assert_eq!(code(&fleet, two.host, backup("etc")).await, None, "a disk of its own, as far as is known");
    says(&world, &two, figures(&world, REPO)).await;
    fleet.cancel(fleet.read().unwrap().open_jobs(two.host).unwrap()[0].id, by()).await.unwrap();
    assert_eq!(fleet.read().unwrap().sharers(two.host).unwrap()[0].why, Some(WhyShared::Address));
}

/// Two hosts on one repository, the first of them with a check that runs.
async fn in_a_check(world: &World, fleet: &Fleet) -> (Agent, Agent, schema::JobId) {
    let (mut one, two) = (kept(world, fleet, "one").await, kept(world, fleet, "two").await);
    for agent in [&one, &two] {
        says(world, agent, figures(world, REPO)).await;
    }
    let job = fleet.dispatch(one.host, check(), by()).await.unwrap().id;
    one.take_all();
    one.report(schema::ReportBody::Started { job }).await;
    assert_eq!(code(fleet, two.host, backup("etc")).await, Some("repo_busy"));
    (one, two, job)
}

#[tokio::test]
async fn a_lease_ends_half_an_hour_after_the_last_sign_of_life_and_what_comes_later_is_late() {
    let (world, fleet) = in_memory();
    let (mut one, two, job) = in_a_check(&world, &fleet).await;
    world.pass(10 * HOUR_MS);
    assert_eq!(code(&fleet, two.host, backup("etc")).await, Some("repo_busy"), "it is here, and works");
    one.gone(one.epoch).await;
    world.pass(LEASE_MS - 1);
    assert_eq!(code(&fleet, two.host, backup("etc")).await, Some("repo_busy"));
    world.pass(1);
    assert_eq!(code(&fleet, two.host, backup("etc")).await, None);
    assert_eq!(one.job(job).state, JobState::Running, "nobody knows what became of it");
    world.pass(HOUR_MS);
    one.hello(&[schema::HeldJob { job, phase: schema::HeldPhase::Running, group: None }]).await;
    one.finish(job, Outcome::Succeeded, good(&check())).await;
    let ended = one.job(job);
    assert_eq!((ended.state, ended.late), (JobState::Succeeded, true));
    assert_eq!(fleet.read().unwrap().repo(two.host).unwrap().told.check, None);
}

#[tokio::test]
async fn a_cancel_ends_the_lease_of_a_host_that_is_away_at_once_and_of_one_that_does_not_obey_in_time() {
    let (world, fleet) = in_memory();
    let (one, two, job) = in_a_check(&world, &fleet).await;
    fleet.cancel(job, by()).await.unwrap();
    assert_eq!(code(&fleet, two.host, backup("etc")).await, Some("repo_busy"), "it may still end well");
    world.pass(LEASE_MS);
    assert_eq!(code(&fleet, two.host, backup("etc")).await, None);
    assert_eq!(one.job(job).state, JobState::Running);

    let (world, fleet) = in_memory();
    let (mut one, two, job) = in_a_check(&world, &fleet).await;
    one.gone(one.epoch).await;
    fleet.cancel(job, by()).await.unwrap();
    assert_eq!(code(&fleet, two.host, backup("etc")).await, None);
    let ended = one.job(job);
    assert_eq!((ended.state, ended.presumed), (JobState::Cancelled, true));
    // It comes back, still at it, and is told.
    one.hello(&[schema::HeldJob { job, phase: schema::HeldPhase::Running, group: None }]).await;
    let got = one.take_all();
    assert!(got.iter().any(|got| matches!(got, Got::Cancel { job: told, .. } if *told == job)));
    one.finish(job, Outcome::Succeeded, good(&check())).await;
    assert_eq!((one.job(job).state, one.job(job).late), (JobState::Succeeded, true));
    assert_eq!(fleet.read().unwrap().repo(two.host).unwrap().told.check, None);
}

#[tokio::test]
async fn a_lease_ends_with_the_credentials_of_its_holder_and_with_the_holder() {
    let (world, fleet) = in_memory();
    let (one, two, _) = in_a_check(&world, &fleet).await;
    fleet.delete_credentials(one.host, Slot::Repo, by()).await.unwrap();
    assert_eq!(code(&fleet, two.host, backup("etc")).await, None);

    let (world, fleet) = in_memory();
    let (one, two, _) = in_a_check(&world, &fleet).await;
    fleet.delete_host(one.host, by()).await.unwrap();
    assert_eq!(code(&fleet, two.host, backup("etc")).await, None);
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Gone(usize),
    Back(usize),
    Ask(usize, bool),
    End(usize),
    Cancel(usize),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    use proptest::prelude::*;
    prop_oneof![
        3 => (1..LEASE_MS * 2).prop_map(Step::Pass),
        2 => (0..3usize).prop_map(Step::Gone),
        2 => (0..3usize).prop_map(Step::Back),
        4 => (0..3usize, any::<bool>()).prop_map(|(host, exclusive)| Step::Ask(host, exclusive)),
        1 => (0..3usize).prop_map(Step::End),
        1 => (0..3usize).prop_map(Step::Cancel),
    ]
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Whatever happens in whatever order: a host waits exactly for those of whom there was a sign of life within half
    /// an hour, and whose job nobody has cancelled for as long.
    #[test]
    fn nobody_waits_for_a_host_that_is_gone(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (world, fleet) = in_memory();
            let mut agents = Vec::new();
            for name in ["one", "two", "three"] {
                let agent = kept(&world, &fleet, name).await;
                says(&world, &agent, figures(&world, REPO)).await;
                agents.push(agent);
            }
            let mut signs: [Option<Timestamp>; 3] = [None; 3];
            for step in steps {
                match step {
                    Step::Pass(ms) => world.pass(ms),
                    Step::Gone(host) => {
                        agents[host].gone(agents[host].epoch).await;
                        signs[host].get_or_insert(world.now());
                    }
                    Step::Back(host) => {
                        let held: Vec<_> = fleet.read().unwrap().open_jobs(agents[host].host).unwrap()
                            .iter().map(|job| schema::HeldJob { job: job.id, phase: schema::HeldPhase::Running, group: None })
                            .collect();
                        agents[host].hello(&held).await;
                        agents[host].take_all();
                        signs[host] = None;
                    }
                    Step::Ask(host, exclusive) => {
                        let request = if exclusive { check() } else { backup("etc") };
                        let mut held = false;
                        for (other, agent) in agents.iter().enumerate().filter(|(other, _)| *other != host) {
                            for job in fleet.read().unwrap().open_jobs(agent.host).unwrap() {
                                let is_fresh = |at: Timestamp| world.now().ms_since(at) < LEASE_MS;
                                held |= (exclusive || job.what.is_exclusive())
                                    && signs[other].is_none_or(|at| is_fresh(at.max(job.created_at)))
                                    && job.cancel_asked_at.is_none_or(is_fresh);
                            }
                        }
                        let refused = code(&fleet, agents[host].host, request).await;
                        if signs[host].is_some() {
                            assert_eq!(refused, Some("host_offline"));
                        } else if refused != Some("job_in_progress") {
                            assert_eq!(refused == Some("repo_busy"), held, "{refused:?}");
                        }
                    }
                    Step::End(host) => {
                        let open = fleet.read().unwrap().open_jobs(agents[host].host).unwrap();
                        if let (Some(job), None) = (open.first(), signs[host]) {
                            agents[host].take_all();
                            agents[host].finish(job.id, Outcome::Succeeded, good(&check())).await;
                        }
                    }
                    Step::Cancel(host) => {
                        let open = fleet.read().unwrap().open_jobs(agents[host].host).unwrap();
                        if let Some(job) = open.first() {
                            let _ = fleet.cancel(job.id, by()).await;
                        }
                    }
                }
            }
        });
    }
}
