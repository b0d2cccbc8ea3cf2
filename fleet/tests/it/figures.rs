use crate::support::{Agent, DAY_MS, HOUR_MS, START, backup, by, group, in_memory, saved};
use fleet::record::{Group, Hold, JobFigures, JobState, Origin, Tested};
use fleet::{Changed, JobRequest};
use schema::job::{BackupSummary, ProbeSummary};
use schema::report::Snapshot;
use schema::stats::{CheckResult, LockSeen, Size, SizeSource, SnapshotCount};
use schema::{Items, Outcome, RepoId, RepoStats, ReportBody, StatsRevision, Summary, Timestamp};

fn stats(agent: &Agent, revision: u64, bytes: u64, count: u32) -> RepoStats<'static> {
    let at = agent.world.now();
    RepoStats {
        stream: agent.stream,
        revision: StatsRevision(revision),
        at,
        job: None,
        repo: Some(RepoId([5; 32])),
        size: Some(Size { at, bytes, source: SizeSource::Measured }),
        snapshots: Some(SnapshotCount { at, count, newest_at: Some(at) }),
        check: None,
        prune: None,
        lock: Some(LockSeen { at, lock: None }),
    }
}

#[tokio::test]
async fn figures_reach_the_page_the_fleet_and_the_chart() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    let mut changes = fleet.changes();
    agent.stats(stats(&agent, 1, 1_000, 3)).await;
    assert_eq!(changes.recv().await.unwrap().what, Changed::Repo(agent.host));
    let read = fleet.read().unwrap();
    let repo = read.repo(agent.host).unwrap();
    assert_eq!((repo.size.unwrap().bytes, repo.repo), (1_000, Some(RepoId([5; 32]))));
    let row = read.host_row(agent.host).unwrap();
    assert_eq!((row.size_bytes, row.snapshots), (Some(1_000), Some(3)));
    assert_eq!(read.repo_history(agent.host).unwrap().len(), 1);
    // The same again, and an older one: nothing changes.
    agent.stats(stats(&agent, 1, 5, 5)).await;
    assert_eq!(fleet.read().unwrap().repo(agent.host).unwrap().size.unwrap().bytes, 1_000);
}

#[tokio::test]
async fn history_keeps_an_hour_and_later_a_day() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    for n in 0..40 * 48 {
        world.pass(HOUR_MS / 2);
        agent.stats(stats(&agent, n + 1, n, 1)).await;
    }
    let history = fleet.read().unwrap().repo_history(agent.host).unwrap();
    assert!(history.is_sorted_by_key(|point| point.at));
    let (recent, old): (Vec<_>, Vec<_>) =
        history.iter().partition(|point| world.now().ms_since(point.at) <= 7 * DAY_MS);
    assert!((160..=170).contains(&recent.len()), "{} of the last week", recent.len());
    assert!((32..=60).contains(&old.len()), "{} before", old.len());
    assert_eq!(history.last().unwrap().bytes, 40 * 48 - 1);
}

#[tokio::test]
async fn a_probe_tells_the_repository_and_whether_it_lets_delete() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
    agent.take_all();
    let probe = ProbeSummary {
        repo: Some(RepoId([6; 32])),
        repo_version: Some(2),
        append_only: Some(true),
        answered_ms: 12,
    };
    agent.finish(job.id, Outcome::Succeeded, Summary::Probe(probe)).await;
    let repo = fleet.read().unwrap().repo(agent.host).unwrap();
    assert_eq!((repo.repo, repo.append_only.unwrap().0), (Some(RepoId([6; 32])), true));
    assert_eq!(repo.tested, Some(Tested { job: job.id, at: world.now(), well: true, class: None }));
    assert!(matches!(agent.job(job.id).figures, JobFigures::Probe(_)));
    // Credentials that point elsewhere make the test worthless.
    let mut input = crate::support::credentials();
    input.url = "/srv/other".into();
    fleet.put_credentials(agent.host, schema::Slot::Repo, input, by()).await.unwrap();
    assert_eq!(fleet.read().unwrap().repo(agent.host).unwrap().tested, None);
}

#[tokio::test]
async fn a_test_counts_for_the_credentials_that_it_tested() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let host = agent.host;
    let tested = || fleet.read().unwrap().repo(host).unwrap().tested.map(|tested| tested.well);
    let change = || fleet.put_credentials(host, schema::Slot::Repo, crate::support::credentials(), by());
    let early = fleet.dispatch(host, JobRequest::Probe, by()).await.unwrap();
    agent.take_all();
    world.pass(1_000);
    change().await.unwrap();
    agent.take_all();
    agent.finish(early.id, Outcome::Failed, Summary::None).await;
    assert_eq!(tested(), None, "it ran with the old ones");
    let late = fleet.dispatch(host, JobRequest::Probe, by()).await.unwrap();
    agent.take_all();
    agent.finish(late.id, Outcome::Succeeded, Summary::None).await;
    assert_eq!(tested(), Some(true));
    world.pass(1_000);
    change().await.unwrap();
    assert_eq!(tested(), None, "also when the address stays");
    let last = fleet.dispatch(host, JobRequest::Probe, by()).await.unwrap();
    agent.take_all();
    agent.finish(last.id, Outcome::Failed, Summary::None).await;
    assert_eq!(tested(), Some(false));
    fleet.delete_credentials(host, schema::Slot::Repo, by()).await.unwrap();
    assert_eq!(tested(), None);
}

fn snapshot(id: &'static str, time: u64) -> Snapshot<'static> {
    Snapshot {
        id,
        time: Timestamp(time),
        hostname: "attic",
        tags: Items::EMPTY,
        paths: Items::EMPTY,
        size: None,
        tags_left_out: 0,
        paths_left_out: 0,
    }
}

async fn list(agent: &mut Agent, ids: &[&'static str], outcome: Outcome) -> schema::JobId {
    let job = agent.fleet.dispatch(agent.host, JobRequest::Snapshots, by()).await.unwrap().id;
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    for (place, id) in ids.iter().enumerate() {
        let mut room = [0; 256];
        let snapshots = Items::write([snapshot(id, place as u64)], &mut room).unwrap();
        agent.report(ReportBody::Snapshots { job, first: place as u32, snapshots }).await;
    }
    agent.finish(job, outcome, Summary::Snapshots { count: ids.len() as u32, left_out: 0 }).await;
    job
}

#[tokio::test]
async fn a_listing_is_shown_whole_or_not_at_all() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    assert_eq!(fleet.read().unwrap().snapshots(agent.host).unwrap(), None);
    list(&mut agent, &["a", "b"], Outcome::Succeeded).await;
    let host = agent.host;
    let (_, rows) = fleet.read().unwrap().snapshots(host).unwrap().unwrap();
    assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    world.pass(1_000);
    list(&mut agent, &["c"], Outcome::Failed).await;
    let (at, rows) = fleet.read().unwrap().snapshots(host).unwrap().unwrap();
    assert_eq!((at, rows.len()), (START, 2), "a listing that failed changes nothing");
    list(&mut agent, &["b", "c", "d"], Outcome::Succeeded).await;
    let (at, rows) = fleet.read().unwrap().snapshots(host).unwrap().unwrap();
    assert_eq!((at, rows.len()), (world.now(), 3));
}

#[tokio::test]
async fn what_a_listing_does_not_tell_is_known_from_the_backup_that_made_it() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let made = agent.back_up("etc", Outcome::Succeeded).await;
    let JobFigures::Backup(figures) = agent.job(made.id).figures else { panic!("a backup") };
    assert!(!figures.snapshot.is_empty() && figures.total_bytes > 0, "{figures:?}");
    // A listing has long ids where a backup has short ones, or the other way round.
    let long: &'static str = format!("{:0<64}", figures.snapshot).leak();
    for _ in 0..2 {
        list(&mut agent, &["ffffffff", long], Outcome::Succeeded).await;
        let (_, rows) = fleet.read().unwrap().snapshots(agent.host).unwrap().unwrap();
        let sizes: Vec<_> = rows.iter().map(|row| (row.files, row.bytes)).collect();
        assert_eq!(sizes, [(None, None), (Some(figures.total_files), Some(figures.total_bytes))]);
    }
}

#[tokio::test]
async fn a_group_that_goes_on_with_large_snapshots_is_known_to_be_large() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    // Made under another tag, before: a backup tells their size.
    for _ in 0..2 {
        let Summary::Backup(saved) = saved() else { panic!("a backup") };
        let large = BackupSummary { total_files: 400, total_bytes: 4_000, ..saved };
        agent.back_up_as("etc", Outcome::Succeeded, Summary::Backup(large)).await;
    }
    let id: &'static str = format!("{:0<64}", "5140bcb5").leak();
    list(&mut agent, &[id], Outcome::Succeeded).await;
    let (_, rows) = fleet.read().unwrap().snapshots(agent.host).unwrap().unwrap();
    assert_eq!(rows[0].files, Some(400), "{rows:?}");
    let origin =
        Origin { hostname: rows[0].hostname.clone(), tag: rows[0].tags.first().cloned().unwrap_or_default() };
    let new = Group { origins: vec![origin], ..group("new") };
    fleet.put_group(agent.host, None, new, by()).await.unwrap();
    let Summary::Backup(saved) = saved() else { panic!("a backup") };
    let small = Summary::Backup(BackupSummary { snapshot: "77777777", ..saved });
    agent.back_up_as("new", Outcome::Succeeded, small).await;
    let hold = || fleet.read().unwrap().soundness(agent.host, "new").unwrap().hold();
    assert_eq!(hold(), Some(Hold::Unlisted), "a list from before the group was made says nothing");
    list(&mut agent, &[id], Outcome::Succeeded).await;
    let hold = fleet.read().unwrap().soundness(agent.host, "new").unwrap().hold();
    assert_eq!(hold, Some(Hold::Loss));
}

#[tokio::test]
async fn a_result_counts_once() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = agent.back_up("etc", Outcome::Succeeded).await;
    agent.finish(job.id, Outcome::Failed, Summary::None).await;
    assert_eq!(agent.job(job.id).state, JobState::Succeeded);
    assert!(fleet.dispatch(agent.host, backup("etc"), by()).await.is_ok());
}

/// A listing of so many snapshots that the host says it has, in pages of which some may get lost.
async fn long_list(agent: &mut Agent, count: u32, lost: impl Fn(u32) -> bool) {
    const PAGE: u32 = 2_500;
    let job = agent.fleet.dispatch(agent.host, JobRequest::Snapshots, by()).await.unwrap().id;
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    let mut room = vec![0; schema::limits::MAX_MESSAGE_BYTES];
    for first in (0..count).step_by(PAGE as usize).filter(|first| !lost(*first)) {
        let ids: Vec<String> =
            (first..count.min(first + PAGE)).map(|number| format!("{number:08x}")).collect();
        let snapshots = ids.iter().zip(u64::from(first)..).map(|(id, time)| Snapshot {
            id,
            time: Timestamp(time),
            hostname: "attic",
            tags: Items::EMPTY,
            paths: Items::EMPTY,
            size: None,
            tags_left_out: 0,
            paths_left_out: 7,
        });
        let snapshots = Items::write(snapshots, &mut room).unwrap();
        agent.report(ReportBody::Snapshots { job, first, snapshots }).await;
    }
    agent.finish(job, Outcome::Succeeded, Summary::Snapshots { count, left_out: 0 }).await;
}

#[tokio::test]
async fn a_listing_says_how_many_snapshots_it_lacks_wherever_they_were_lost() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    long_list(&mut agent, 10_000, |first| first == 2_500).await;
    let read = fleet.read().unwrap();
    let listed = read.listed(agent.host).unwrap().unwrap();
    assert_eq!((listed.kept, listed.left_out), (7_500, 2_500));
    long_list(&mut agent, 10, |_| true).await;
    let listed = fleet.read().unwrap().listed(agent.host).unwrap().unwrap();
    assert_eq!((listed.kept, listed.left_out), (0, 10), "an empty list that is no empty repository");
    long_list(&mut agent, 300, |_| false).await;
    let listed = fleet.read().unwrap().listed(agent.host).unwrap().unwrap();
    assert_eq!((listed.kept, listed.left_out), (300, 0));
    assert_eq!(fleet.read().unwrap().snapshots(agent.host).unwrap().unwrap().1[0].paths_left_out, 7);
}

#[tokio::test]
async fn of_a_quarter_of_a_million_snapshots_the_newest_are_kept_and_the_others_counted() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    long_list(&mut agent, 250_000, |_| false).await;
    let read = fleet.read().unwrap();
    let listed = read.listed(agent.host).unwrap().unwrap();
    assert_eq!(listed.kept + listed.left_out, 250_000);
    assert!(listed.left_out > 0 && listed.kept <= 202_500, "{listed:?}");
    let newest = read.snapshots_part(agent.host, |_| true, &fleet::Page::default()).unwrap();
    assert_eq!(newest.items[0].time, Timestamp(249_999));
    assert_eq!(newest.items.len(), 50);
    let next = fleet::Page { cursor: newest.next, limit: 500 };
    let next = read.snapshots_part(agent.host, |_| true, &next).unwrap();
    assert_eq!((next.items[0].time, next.items.len()), (Timestamp(249_949), 500));
}

#[tokio::test]
async fn parts_of_a_listing_bring_each_snapshot_once_also_when_it_is_made_anew_in_between() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    for limit in [1, 2, 3, 5, 11, 500] {
        let (mut cursor, mut seen) = (None, Vec::new());
        long_list(&mut agent, 11, |_| false).await;
        loop {
            let page = fleet::Page { limit, cursor };
            let part = fleet.read().unwrap().snapshots_part(agent.host, |_| true, &page).unwrap();
            seen.extend(part.items.into_iter().map(|row| row.time.0));
            cursor = part.next;
            if cursor.is_none() {
                break;
            }
            long_list(&mut agent, 12, |_| false).await;
        }
        assert_eq!(seen, (0..11).rev().collect::<Vec<_>>(), "in parts of {limit}");
    }
}

#[tokio::test]
async fn a_check_that_found_damage_counts_however_wrong_the_hosts_clock_is() {
    const HOURS: i64 = HOUR_MS as i64;
    for (before, after) in
        [(0, -50 * HOURS), (0, 50 * HOURS), (90 * HOURS, 0), (-9 * HOURS, 9 * HOURS), (0, 0)]
    {
        let (world, fleet) = in_memory();
        let mut agent = Agent::ready(&world, &fleet, "attic").await;
        let check = |at, errors| Some(CheckResult { at, errors, subset_pct: 100 });
        agent.ahead_ms = before;
        agent.hello(&[]).await;
        let mut said = stats(&agent, 1, 1_000, 10);
        said.at = agent.clock();
        said.check = check(agent.clock(), 0);
        said.snapshots = Some(SnapshotCount { at: agent.clock(), count: 10, newest_at: None });
        agent.stats(said).await;
        world.pass(HOUR_MS);
        // The clock is set in between; the agent says hello anew, or has not yet.
        agent.ahead_ms = after;
        for says_hello in [false, true] {
            if says_hello {
                agent.hello(&[]).await;
            }
            world.pass(1_000);
            let revision = if says_hello { 3 } else { 2 };
            let mut said = stats(&agent, revision, 1_000, 10);
            said.check = check(agent.clock(), u32::from(!says_hello));
            said.snapshots =
                Some(SnapshotCount { at: agent.clock(), count: 10 + revision as u32, newest_at: None });
            agent.stats(said).await;
            let read = fleet.read().unwrap();
            let repo = read.repo(agent.host).unwrap();
            let what = format!("{before} then {after}, hello: {says_hello}");
            assert_eq!(repo.check.as_ref().unwrap().errors, u32::from(!says_hello), "{what}");
            assert_eq!(repo.snapshots.as_ref().unwrap().count, 10 + revision as u32, "{what}");
            assert!(repo.check.as_ref().unwrap().at <= world.now(), "{what}");
            let row = read.host_row(agent.host).unwrap();
            assert_eq!(row.reason.code() == "damaged", !says_hello, "{what}: {:?}", row.reason);
            if says_hello {
                let off = world.now().ms_since(repo.check.unwrap().at);
                assert!(off <= 2_000, "corrected by what the hello said: {what}, {off} ms");
            }
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_hours_off_is_a_warning_and_one_that_is_minutes_off_is_shown() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    agent.back_up("etc", Outcome::Succeeded).await;
    let row = || fleet.read().unwrap().host_row(agent.host).unwrap();
    let host = agent.host;
    assert_eq!((row().status, row().clock_ahead_ms()), (fleet::Status::Ok, None));
    let mut since = None;
    for (ahead_ms, shown, reason) in [
        (30_000, None, "ok"),
        (-90_000, Some(-90_000), "ok"),
        (3 * HOUR_MS as i64, Some(3 * HOUR_MS as i64), "clock"),
        (-50 * DAY_MS as i64, Some(-50 * DAY_MS as i64), "clock"),
        (0, None, "ok"),
    ] {
        agent.ahead_ms = ahead_ms;
        agent.hello(&[]).await;
        let row = fleet.read().unwrap().host_row(host).unwrap();
        assert_eq!((row.clock_ahead_ms(), row.reason.code()), (shown, reason));
        assert_eq!(row.needs_attention(), reason == "clock", "{ahead_ms}");
        assert_eq!(row.protected, reason == "ok", "hours off, nothing that it says of time is a proof");
        if reason == "clock" {
            let mark = *since.get_or_insert(row.presence.clock_off_since);
            assert_eq!(row.presence.clock_off_since, mark, "one state, that somebody can acknowledge");
        }
        world.pass(HOUR_MS);
    }
    // When what it did is told is told by the server's clock.
    agent.ahead_ms = -5 * HOUR_MS as i64;
    agent.hello(&[]).await;
    let began = world.now();
    let job = fleet.dispatch(host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    world.pass(60_000);
    agent.report(ReportBody::Started { job: job.id }).await;
    assert_eq!(agent.job(job.id).started_at, Some(world.now()));
    let at = agent.clock();
    world.pass(2 * HOUR_MS);
    let end = crate::support::finished(job.id, Outcome::Succeeded, at, saved());
    agent.report(ReportBody::Finished(end)).await;
    let ended = agent.job(job.id);
    assert_eq!((ended.finished_at, ended.state), (Some(began.plus_ms(60_000)), JobState::Succeeded));
}

#[tokio::test]
async fn a_backup_adds_its_snapshot_to_what_is_known_until_a_listing_says_all() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let known = |agent: &Agent| {
        let read = fleet.read().unwrap();
        let all: Vec<String> =
            read.known_snapshots(agent.host).unwrap().into_iter().map(|row| row.id).collect();
        let mut parts = Vec::new();
        let mut cursor = None;
        loop {
            let page = fleet::Page { cursor, limit: 1 };
            let part = read.snapshots_part(agent.host, |_| true, &page).unwrap();
            parts.extend(part.items.into_iter().map(|row| row.id));
            cursor = part.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(all, parts, "all at once and part by part");
        all
    };
    assert_eq!(known(&agent), Vec::<String>::new());
    let made = |snapshot: &'static str| {
        let Summary::Backup(summary) = saved() else { panic!() };
        Summary::Backup(BackupSummary { snapshot, total_files: 7, ..summary })
    };
    let _ = agent.back_up_as("etc", Outcome::Succeeded, made("aaaaaaaa1")).await;
    world.pass(1_000);
    let _ = agent.back_up_as("etc", Outcome::Failed, Summary::None).await;
    world.pass(1_000);
    let _ = agent.back_up_as("etc", Outcome::Warning, made("bbbbbbbb2")).await;
    assert_eq!(known(&agent), ["bbbbbbbb2", "aaaaaaaa1"], "newest first, and none of the one that failed");
    let row = fleet.read().unwrap().known_snapshots(agent.host).unwrap().remove(0);
    assert_eq!((row.hostname.as_str(), row.tags, row.files), ("attic", vec!["etc".to_owned()], Some(7)));

    // What the listing lacks is gone, what it has is there once, what comes later is added.
    world.pass(1_000);
    list(&mut agent, &["bbbbbbbb2"], Outcome::Succeeded).await;
    assert_eq!(known(&agent), ["bbbbbbbb2"]);
    world.pass(1_000);
    let _ = agent.back_up_as("etc", Outcome::Succeeded, made("cccccccc3")).await;
    assert_eq!(known(&agent), ["cccccccc3", "bbbbbbbb2"]);
    assert!(fleet.read().unwrap().snapshots(agent.host).unwrap().is_some_and(|(_, rows)| rows.len() == 1));
}
