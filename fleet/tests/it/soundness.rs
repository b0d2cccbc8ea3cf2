//! Snapshots that lack something of what their group names: they push no whole one out, and a sudden loss waits for a
//! person.

use crate::support::{Agent, Got, HOUR_MS, World, audited, backup, by, credentials, group, in_memory};
use fleet::maintenance::Why;
use fleet::record::{
    Cause, CredentialsInput, Group, Hold, Job, JobState, JobWhat, MaintenanceInput, Origin, Past, Retention,
    RuleInput, Severity, Unusual,
};
use fleet::{Fleet, HostFilter, JobRequest, Reason, Refused, Status};
use schema::job::{BackupSummary, ForgetResult};
use schema::report::{Finished, Snapshot, SnapshotSize};
use schema::{
    Class, Items, JobKind, Outcome, RepoId, RepoStats, ReportBody, Slot, StatsRevision, Stream, Summary,
    Timestamp,
};

/// A host whose group `etc` keeps the last three, with three whole backups, and whose maintenance runs each day.
async fn kept(world: &World, fleet: &Fleet) -> Agent {
    let mut agent = Agent::ready(world, fleet, "attic").await;
    fleet.put_credentials(agent.host, Slot::Admin, credentials(), by()).await.unwrap();
    let keep = Retention { last: 3, ..Retention::default() };
    fleet.put_group(agent.host, Some("etc"), Group { keep, ..group("etc") }, by()).await.unwrap();
    let rule = RuleInput { enabled: true, every: "1 day".into(), from: String::new(), until: String::new() };
    let check = RuleInput { enabled: false, ..rule.clone() };
    let daily = MaintenanceInput { forget: rule.clone(), prune: rule, check, ..MaintenanceInput::default() };
    fleet.put_maintenance(agent.host, daily, by()).await.unwrap();
    agent.lists_nothing().await;
    for n in 1..=3 {
        save(&mut agent, "etc", n, 100, None).await;
    }
    agent
}

/// A backup that makes the snapshot of this number.
async fn save(agent: &mut Agent, group: &str, n: u32, files: u64, class: Option<Class>) -> Job {
    let found =
        BackupSummary { files_unmodified: files, total_files: files, total_bytes: files * 10, ..NOTHING };
    save_found(agent, group, n, found, class).await
}

/// A group of 1,000 files of 1 MiB, of which so many are not as they were, with content of their own.
async fn save_changed(agent: &mut Agent, group: &str, n: u32, changed: u64) -> Job {
    let found = BackupSummary {
        files_changed: changed,
        files_unmodified: 1_000 - changed,
        total_files: 1_000,
        total_bytes: 1_000 << 20,
        added_bytes: changed << 20,
        ..NOTHING
    };
    save_found(agent, group, n, found, None).await
}

const NOTHING: BackupSummary<'static> = BackupSummary {
    snapshot: "",
    files_new: 0,
    files_changed: 0,
    files_unmodified: 0,
    total_files: 0,
    total_bytes: 0,
    added_bytes: 0,
    added_packed_bytes: None,
    errors: 0,
    findings: Items::EMPTY,
    findings_left_out: 0,
};

async fn save_found(
    agent: &mut Agent,
    group: &str,
    n: u32,
    found: BackupSummary<'static>,
    class: Option<Class>,
) -> Job {
    let job = agent.fleet.dispatch(agent.host, backup(group), by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
    agent.report(ReportBody::Started { job: job.id }).await;
    let snapshot = format!("{n:08x}{n:056x}");
    let summary = Summary::Backup(BackupSummary { snapshot: &snapshot, ..found });
    let outcome = if class.is_some() { Outcome::Warning } else { Outcome::Succeeded };
    let at = agent.world.now();
    let finished = crate::support::finished(job.id, outcome, at, summary);
    agent.report(ReportBody::Finished(Finished { class, ..finished })).await;
    agent.world.pass(60_000);
    agent.job(job.id)
}

/// The list of snapshots comes: number, tag, and how many files restic says are in it.
async fn list(agent: &mut Agent, hostname: &str, rows: &[(u32, &str, Option<u64>)]) {
    let job = agent.fleet.dispatch(agent.host, JobRequest::Snapshots, by()).await.unwrap().id;
    agent.take_all();
    answer_listing(agent, job, hostname, rows).await;
}

async fn answer_listing(
    agent: &mut Agent,
    job: schema::JobId,
    hostname: &str,
    rows: &[(u32, &str, Option<u64>)],
) {
    for (first, (n, tag, files)) in (0..).zip(rows) {
        let (mut tags, mut room) = ([0; 64], [0; 512]);
        let id = format!("{n:08x}{n:056x}");
        let size = |files: u64| SnapshotSize { files, bytes: files * 10, added_packed_bytes: files };
        let snapshot = Snapshot {
            id: &id,
            time: Timestamp(u64::from(*n)),
            hostname,
            tags: Items::write([*tag], &mut tags).unwrap(),
            paths: Items::EMPTY,
            size: files.map(size),
            tags_left_out: 0,
            paths_left_out: 0,
        };
        let snapshots = Items::write([snapshot], &mut room).unwrap();
        agent.report(ReportBody::Snapshots { job, first, snapshots }).await;
    }
    let count = rows.len() as u32;
    agent.finish(job, Outcome::Succeeded, Summary::Snapshots { count, left_out: 0 }).await;
}

/// Groups with their snapshots that lack something.
type Lacking = Vec<(String, Vec<String>)>;

/// The forget that is on its way to the agent: its groups.
fn forget(agent: &mut Agent) -> Option<(schema::JobId, Lacking)> {
    agent.take_all().into_iter().find_map(|got| match got {
        Got::Run { kind: JobKind::Forget, job, groups, .. } => {
            Some((job, groups.into_iter().map(|(group, lacking, _)| (group, lacking)).collect()))
        }
        _ => None,
    })
}

async fn forgot(agent: &mut Agent, job: schema::JobId, there: &[&str]) {
    let (mut ids, mut room) = ([0; 200], [0; 300]);
    let lacking = Some(Items::write(there, &mut ids).unwrap());
    let result = ForgetResult { group: "etc", kept: 6, removed: 0, class: None, spared: 3, lacking };
    let groups = Items::write([result], &mut room).unwrap();
    agent.finish(job, Outcome::Succeeded, Summary::Forget { groups }).await;
}

fn why(fleet: &Fleet, agent: &Agent) -> [Why; 2] {
    let read = fleet.read().unwrap();
    let (_, [forget, prune, ..]) = read.decisions(agent.host).unwrap().unwrap();
    [forget.why, prune.why]
}

fn short(n: u32) -> String {
    format!("{n:08x}{:08x}", 0)
}

#[tokio::test]
async fn an_emptied_source_holds_forget_and_prune_until_a_person_says_that_it_is_right() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet).await;
    for n in 4..=6 {
        save(&mut agent, "etc", n, 0, Some(Class::SourceEmpty)).await;
    }
    world.pass(36 * HOUR_MS);
    fleet.maintain().await;
    assert_eq!(forget(&mut agent), None);
    let held = || Why::Held { group: "etc".to_owned(), why: Hold::Loss };
    assert_eq!(why(&fleet, &agent), [held(), held()]);
    for request in [JobRequest::Forget, JobRequest::Prune] {
        let refused = fleet.dispatch(agent.host, request, by()).await.unwrap_err();
        assert!(matches!(&refused, Refused::Held { group, .. } if group == "etc"), "{refused}");
    }
    let row = fleet.read().unwrap().fleet(&HostFilter::default()).remove(0);
    assert_eq!((row.status, row.protected), (Status::Warning, false), "{:?}", row.reason);
    assert_eq!(row.reason.code(), "loss");

    let mark = fleet.read().unwrap().soundness(agent.host, "etc").unwrap().mark().unwrap();
    let other = schema::JobId([9; 16]);
    let refused = fleet.accept_backup(agent.host, "etc", other, by()).await.unwrap_err();
    assert!(matches!(refused, Refused::StateChanged), "another one was shown: {refused}");
    fleet.accept_backup(agent.host, "etc", mark, by()).await.unwrap();
    assert_eq!(audited(&fleet, "group.accepted").len(), 1);
    let row = fleet.read().unwrap().fleet(&HostFilter::default()).remove(0);
    assert_eq!(row.status, Status::Ok, "{:?}", row.reason);
    fleet.maintain().await;
    assert_eq!(forget(&mut agent).map(|(_, groups)| groups), Some(vec![("etc".to_owned(), vec![])]));
}

#[tokio::test]
async fn a_backup_that_lost_more_than_half_is_no_good_one_until_a_person_says_that_it_is_right() {
    for class in [None, Some(Class::SourceUnreadable)] {
        let (world, fleet) = in_memory();
        let mut agent = kept(&world, &fleet).await;
        let good = || fleet.read().unwrap().last_good_backup(agent.host, Some("etc")).unwrap().unwrap().id;
        let before = good();
        world.pass(HOUR_MS);
        let lost = save(&mut agent, "etc", 4, 1, class).await;
        let good = || fleet.read().unwrap().last_good_backup(agent.host, Some("etc")).unwrap().unwrap().id;
        assert_eq!(good(), before, "{class:?}");
        let mark = fleet.read().unwrap().soundness(agent.host, "etc").unwrap().mark().unwrap();
        fleet.accept_backup(agent.host, "etc", mark, by()).await.unwrap();
        assert_eq!((good(), mark), (lost.id, lost.id), "{class:?}");
    }
}

#[tokio::test]
async fn a_missing_path_goes_with_each_forget_until_its_snapshots_are_gone() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet).await;
    for n in 4..=6 {
        save(&mut agent, "etc", n, 90, Some(Class::SourceMissing)).await;
    }
    world.pass(36 * HOUR_MS);
    fleet.maintain().await;
    let (job, groups) = forget(&mut agent).expect("it runs");
    assert_eq!(groups, [("etc".to_owned(), vec![short(4), short(5), short(6)])]);
    // The preview tells the same.
    let dry = JobRequest::ForgetDryRun { group: "etc".to_owned(), keep: None };
    let dry = fleet.dispatch(agent.host, dry, by()).await.unwrap();
    let told = forget(&mut agent).unwrap();
    assert_eq!((told.0, told.1[0].1.len()), (dry.id, 3));
    forgot(&mut agent, dry.id, &[]).await;
    // A backup that ends while the forget runs was not in its question.
    save(&mut agent, "etc", 7, 90, Some(Class::SourceUnreadable)).await;
    forgot(&mut agent, job, &[&short(6)]).await;
    let known = fleet.read().unwrap().soundness(agent.host, "etc").unwrap();
    let left: Vec<&str> = known.lacking.iter().map(|flawed| &flawed.snapshot[..8]).collect();
    assert_eq!(left, ["00000006", "00000007"], "a dry run removes nothing");
    assert_eq!(agent.job(job).state, JobState::Succeeded);
}

#[tokio::test]
async fn groups_that_are_whole_are_forgotten_while_another_waits() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet).await;
    let keep = Retention { last: 3, ..Retention::default() };
    fleet.put_group(agent.host, None, Group { keep, ..group("home") }, by()).await.unwrap();
    agent.lists_nothing().await;
    save(&mut agent, "home", 7, 100, None).await;
    save(&mut agent, "etc", 8, 10, None).await;
    world.pass(36 * HOUR_MS);
    fleet.maintain().await;
    let (job, groups) = forget(&mut agent).expect("it runs");
    assert_eq!(groups, [("home".to_owned(), vec![])]);
    assert!(matches!(why(&fleet, &agent)[1], Why::Held { .. }), "a prune is of all");
    // It says what it leaves out: in its record, in the audit, in what is decided, while it runs and after it.
    let left_out = ("etc".to_owned(), Hold::Loss);
    let JobWhat::Forget { held, .. } = agent.job(job).what else { panic!() };
    assert_eq!(held, std::slice::from_ref(&left_out));
    assert!(audited(&fleet, "job.forget").iter().any(|entry| entry.detail == "without etc"));
    for is_done in [false, true] {
        if is_done {
            forgot(&mut agent, job, &[]).await;
        }
        let read = fleet.read().unwrap();
        let (_, [forget, ..]) = read.decisions(agent.host).unwrap().unwrap();
        assert_eq!(forget.left_out.as_ref(), Some(&left_out));
        let expected = if is_done { "not_due" } else { "in_progress" };
        assert_eq!(forget.why.code(), expected, "{:?}", forget.why);
    }
}

#[tokio::test]
async fn a_renamed_group_keeps_its_snapshots_and_what_is_known_of_them() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet).await;
    save(&mut agent, "etc", 4, 90, Some(Class::SourceMissing)).await;
    let before = fleet.read().unwrap().group(agent.host, "etc").unwrap().unwrap();
    let renamed = Group { name: "system".to_owned(), ..before };
    let renamed = fleet.put_group(agent.host, Some("etc"), renamed, by()).await.unwrap();
    let former = Origin { hostname: "attic".to_owned(), tag: "etc".to_owned() };
    assert_eq!(renamed.origins, std::slice::from_ref(&former));
    // What the repository has of its new name is not known.
    assert_eq!(fleet.read().unwrap().soundness(agent.host, "system").unwrap().hold(), Some(Hold::Unlisted));
    agent.lists_nothing().await;
    fleet.dispatch(agent.host, JobRequest::Forget, by()).await.unwrap();
    let got = agent.take_all();
    let Some(Got::Run { groups, job, .. }) = got.last() else { panic!("{got:?}") };
    let origins = vec![("attic".to_owned(), "etc".to_owned())];
    assert_eq!(groups, &[("system".to_owned(), vec![short(4)], origins)]);
    let job = *job;
    forgot(&mut agent, job, &[]).await;

    let taken = fleet.put_group(agent.host, None, group("etc"), by()).await.unwrap_err();
    assert_eq!(taken.field(), Some("name"), "its snapshots are another group's: {taken}");
    let theirs = Group { origins: vec![former], ..group("home") };
    let taken = fleet.put_group(agent.host, None, theirs, by()).await.unwrap_err();
    assert_eq!(taken.field(), Some("origins"), "{taken}");
    // Back to its old name: what is its own is not named beside it.
    let back = Group { name: "etc".to_owned(), ..renamed };
    let back = fleet.put_group(agent.host, Some("system"), back, by()).await.unwrap();
    assert_eq!(back.origins, [Origin { hostname: "attic".to_owned(), tag: "system".to_owned() }]);
}

/// What a forget would be told now: each group with its snapshots that lack something.
async fn would_forget(agent: &mut Agent) -> Lacking {
    agent.lists_nothing().await;
    let asked = agent.fleet.dispatch(agent.host, JobRequest::Forget, by()).await.unwrap();
    let (_, groups) = forget(agent).expect("a forget");
    agent.finish(asked.id, Outcome::Cancelled, Summary::None).await;
    groups
}

/// The group of this name with the rules of `like`, going on with snapshots of these tags.
fn named(name: &str, tags: &[&str], like: &Group) -> Group {
    let origins = tags.iter().map(|tag| Origin { hostname: "attic".to_owned(), tag: (*tag).to_owned() });
    Group { name: name.to_owned(), origins: origins.collect(), ..like.clone() }
}

#[tokio::test]
async fn what_lacks_something_stays_known_whoever_has_its_snapshots() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet).await;
    let host = agent.host;
    for n in 4..=6 {
        save(&mut agent, "etc", n, 90, Some(Class::SourceMissing)).await;
    }
    let etc = fleet.read().unwrap().group(host, "etc").unwrap().unwrap();
    let lacking = |group: &str| vec![(group.to_owned(), vec![short(4), short(5), short(6)])];
    let put = |old: Option<&'static str>, group: Group| fleet.put_group(host, old, group, by());
    // Deleted and made again, or gone on with under another name.
    fleet.delete_group(host, "etc", by()).await.unwrap();
    put(None, etc.clone()).await.unwrap();
    assert_eq!(would_forget(&mut agent).await, lacking("etc"));
    fleet.delete_group(host, "etc", by()).await.unwrap();
    put(None, named("system", &["etc"], &etc)).await.unwrap();
    assert_eq!(would_forget(&mut agent).await, lacking("system"));
    // Given up, and taken by a group of the old name.
    put(Some("system"), named("system", &[], &etc)).await.unwrap();
    put(None, etc.clone()).await.unwrap();
    let mut expected = lacking("etc");
    expected.push(("system".to_owned(), vec![]));
    assert_eq!(would_forget(&mut agent).await, expected);
    // Deleted, and another group gets its name.
    fleet.delete_group(host, "etc", by()).await.unwrap();
    put(Some("system"), etc).await.unwrap();
    assert_eq!(would_forget(&mut agent).await, lacking("etc"));
}

#[tokio::test]
async fn a_hold_does_not_end_with_a_group_that_is_deleted_and_made_again() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet).await;
    save(&mut agent, "etc", 4, 5, None).await;
    let etc = fleet.read().unwrap().group(agent.host, "etc").unwrap().unwrap();
    fleet.delete_group(agent.host, "etc", by()).await.unwrap();
    fleet.dispatch(agent.host, JobRequest::Prune, by()).await.expect("a group that is gone holds nothing");
    fleet.put_group(agent.host, None, etc, by()).await.unwrap();
    let held = fleet.dispatch(agent.host, JobRequest::Forget, by()).await.unwrap_err();
    assert_eq!(held.code(), "held");
    save(&mut agent, "etc", 5, 5, None).await;
    let row = fleet.read().unwrap().fleet(&HostFilter::default()).remove(0);
    assert_eq!(row.reason.code(), "loss");
}

#[tokio::test]
async fn a_backup_that_ends_after_its_group_was_renamed_is_taken_up_by_it() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet).await;
    let etc = fleet.read().unwrap().group(agent.host, "etc").unwrap().unwrap();
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Started { job: job.id }).await;
    fleet.put_group(agent.host, Some("etc"), Group { name: "system".to_owned(), ..etc }, by()).await.unwrap();
    agent.lists_nothing().await;
    let open = fleet.dispatch(agent.host, JobRequest::Forget, by()).await.unwrap_err();
    assert!(matches!(&open, Refused::BackupOpen { group, .. } if group == "system"), "{open}");
    let Summary::Backup(saved) = crate::support::saved() else { panic!("a backup") };
    let snapshot = format!("{:08x}{:056x}", 4, 4);
    let figures = BackupSummary { snapshot: &snapshot, total_files: 90, total_bytes: 900, ..saved };
    let at = world.now();
    let ended = crate::support::finished(job.id, Outcome::Warning, at, Summary::Backup(figures));
    agent.report(ReportBody::Finished(Finished { class: Some(Class::SourceMissing), ..ended })).await;
    assert_eq!(would_forget(&mut agent).await, [("system".to_owned(), vec![short(4)])]);
    let row = fleet.read().unwrap().fleet(&HostFilter::default()).remove(0);
    assert_eq!(row.status, Status::Warning, "its group stands as it ended: {:?}", row.reason);
}

#[tokio::test]
async fn a_word_when_all_is_whole_again_ends_the_hold_and_nothing_else() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet).await;
    save(&mut agent, "etc", 4, 5, None).await;
    save(&mut agent, "etc", 5, 100, None).await;
    let mark = fleet.read().unwrap().soundness(agent.host, "etc").unwrap().mark().unwrap();
    fleet.accept_backup(agent.host, "etc", mark, by()).await.unwrap();
    assert_eq!(would_forget(&mut agent).await, [("etc".to_owned(), vec![short(4)])]);
}

#[tokio::test]
async fn snapshots_of_a_living_group_of_another_host_are_not_adopted() {
    let (world, fleet) = in_memory();
    let agent = kept(&world, &fleet).await;
    let other = Agent::ready(&world, &fleet, "barn").await;
    let adopts = |hostname: &str, tag: &str| Group {
        origins: vec![Origin { hostname: hostname.to_owned(), tag: tag.to_owned() }],
        ..group("all")
    };
    let refused = fleet.put_group(other.host, None, adopts("attic", "etc"), by()).await.unwrap_err();
    assert_eq!(refused.field(), Some("origins"), "{refused}");
    fleet.put_group(other.host, None, adopts("attic", "older"), by()).await.unwrap();
    for (hostname, tag) in [("", "x"), ("a,b", "x"), ("a", "x,y"), ("a", "x\n"), ("-a", "x"), (" a", "x")] {
        let refused = fleet.put_group(agent.host, None, adopts(hostname, tag), by()).await.unwrap_err();
        assert_eq!(refused.field(), Some("origins"), "{hostname:?} {tag:?}");
    }
}

/// A host that was added again: its repository holds snapshots of its name that no backup here has made.
async fn added_again(world: &World, fleet: &Fleet) -> Agent {
    let mut agent = Agent::ready(world, fleet, "attic").await;
    let keep = Retention { last: 1, ..Retention::default() };
    fleet.put_group(agent.host, Some("etc"), Group { keep, ..group("etc") }, by()).await.unwrap();
    let rule = RuleInput { enabled: true, every: "1 day".into(), from: String::new(), until: String::new() };
    let off = RuleInput { enabled: false, ..rule.clone() };
    let daily =
        MaintenanceInput { forget: rule, prune: off.clone(), check: off, ..MaintenanceInput::default() };
    fleet.put_maintenance(agent.host, daily, by()).await.unwrap();
    for n in 10..13 {
        save(&mut agent, "etc", n, 2, None).await;
    }
    agent
}

fn held(fleet: &Fleet, agent: &Agent) -> Option<Hold> {
    fleet.read().unwrap().soundness(agent.host, "etc").unwrap().hold()
}

#[tokio::test]
async fn what_was_there_before_a_host_was_added_again_is_listed_before_anything_goes() {
    let (world, fleet) = in_memory();
    let mut agent = added_again(&world, &fleet).await;
    let refused = fleet.dispatch(agent.host, JobRequest::Forget, by()).await.unwrap_err();
    assert!(matches!(refused, Refused::Held { why: Hold::Unlisted, .. }), "{refused}");
    world.pass(36 * HOUR_MS);
    // Maintenance lists by itself, once an hour at most.
    fleet.maintain().await;
    fleet.maintain().await;
    let listing = fleet.read().unwrap().open_jobs(agent.host).unwrap();
    assert_eq!(listing.iter().map(|job| job.what.kind()).collect::<Vec<_>>(), [JobKind::Snapshots]);
    agent.take_all();
    agent.finish(listing[0].id, Outcome::Failed, Summary::None).await;
    fleet.maintain().await;
    assert!(fleet.read().unwrap().open_jobs(agent.host).unwrap().is_empty());
    assert!(matches!(&why(&fleet, &agent)[0], Why::Held { why: Hold::Unlisted, .. }));
    world.pass(HOUR_MS);
    fleet.maintain().await;
    let listing = fleet.read().unwrap().open_jobs(agent.host).unwrap().remove(0);
    agent.take_all();
    // Three of 40 files, and two that lacked nearly all already then.
    let own = (10..13).map(|n| (n, "etc", Some(2)));
    let rows: Vec<_> = [(1, 40), (2, 40), (3, 40), (4, 0), (5, 1)]
        .into_iter()
        .map(|(n, files)| (n, "etc", Some(files)))
        .chain(own)
        .collect();
    answer_listing(&mut agent, listing.id, "attic", &rows).await;
    assert_eq!(held(&fleet, &agent), Some(Hold::Loss));
    let row = fleet.read().unwrap().fleet(&HostFilter::default()).remove(0);
    assert!(!row.protected && row.reason.code() == "loss", "{:?}", row.reason);
    fleet.maintain().await;
    assert_eq!(forget(&mut agent), None);
    let known = fleet.read().unwrap().soundness(agent.host, "etc").unwrap();
    let lacking: Vec<_> = known.lacking.iter().map(|flawed| &flawed.snapshot[..8]).collect();
    assert_eq!(lacking, ["00000004", "00000005", "0000000a", "0000000b", "0000000c"]);
    // Whole again: what lacks something pushes nothing out. Meant to be so: the rules alone count.
    save(&mut agent, "etc", 13, 40, None).await;
    let mark = known.mark().expect("the last backup");
    let refused = fleet.accept_backup(agent.host, "etc", schema::JobId([9; 16]), by()).await.unwrap_err();
    assert!(matches!(refused, Refused::StateChanged), "{refused}");
    fleet.accept_backup(agent.host, "etc", mark, by()).await.unwrap();
    let (_, groups) = {
        fleet.dispatch(agent.host, JobRequest::Forget, by()).await.unwrap();
        forget(&mut agent).expect("it runs")
    };
    assert_eq!(groups[0].1, [4, 5, 10, 11, 12].map(short));
}

#[tokio::test]
async fn without_sizes_a_person_looks_at_what_was_there_before() {
    let (world, fleet) = in_memory();
    let mut agent = added_again(&world, &fleet).await;
    let own = (10..13).map(|n| (n, "etc", None));
    let rows: Vec<_> = (1..4).map(|n| (n, "etc", None)).chain(own).collect();
    list(&mut agent, "attic", &rows).await;
    assert_eq!(held(&fleet, &agent), Some(Hold::Unsized));
    let refused = fleet.dispatch(agent.host, JobRequest::Forget, by()).await.unwrap_err();
    assert!(matches!(&refused, Refused::Held { why: Hold::Unsized, .. }), "{refused}");
    let mark = fleet.read().unwrap().soundness(agent.host, "etc").unwrap().mark().expect("the last backup");
    fleet.accept_backup(agent.host, "etc", mark, by()).await.unwrap();
    assert_eq!(held(&fleet, &agent), None);
    fleet.dispatch(agent.host, JobRequest::Forget, by()).await.unwrap();
}

#[tokio::test]
async fn where_a_host_has_made_the_repository_itself_nothing_is_to_be_listed() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let init = fleet.dispatch(agent.host, JobRequest::Init, by()).await.unwrap();
    agent.take_all();
    let repo = RepoId([5; 32]);
    agent.finish(init.id, Outcome::Succeeded, Summary::Init { repo }).await;
    assert_eq!(held(&fleet, &agent), None, "a group from before it");
    fleet.put_group(agent.host, None, group("home"), by()).await.unwrap();
    let known = |group: &str| fleet.read().unwrap().soundness(agent.host, group).unwrap().hold();
    assert_eq!(known("home"), None, "and one from after it");
    let origin = Origin { hostname: "older".to_owned(), tag: "etc".to_owned() };
    let adopts = Group { origins: vec![origin], ..group("home") };
    fleet.put_group(agent.host, Some("home"), adopts, by()).await.unwrap();
    assert_eq!(
        (known("home"), known("etc")),
        (Some(Hold::Unlisted), None),
        "what is adopted is to be listed"
    );
    // At another address there is another repository, for all that is known.
    let elsewhere = CredentialsInput { url: "rest:http://other/".into(), ..credentials() };
    fleet.put_credentials(agent.host, Slot::Repo, elsewhere, by()).await.unwrap();
    assert_eq!(known("etc"), Some(Hold::Unlisted));
}

#[tokio::test]
async fn one_that_tells_no_size_among_others_is_looked_at_too() {
    let (world, fleet) = in_memory();
    let mut agent = added_again(&world, &fleet).await;
    let own = (10..13).map(|n| (n, "etc", Some(2)));
    let rows: Vec<_> =
        [(1, None), (2, Some(3))].into_iter().map(|(n, files)| (n, "etc", files)).chain(own).collect();
    list(&mut agent, "attic", &rows).await;
    let known = fleet.read().unwrap().soundness(agent.host, "etc").unwrap();
    assert_eq!((known.past, known.hold()), (Past::Unsized(1), Some(Hold::Unsized)));
}

#[tokio::test]
async fn a_list_that_is_not_whole_or_of_other_credentials_tells_nothing_of_what_was_there() {
    let (world, fleet) = in_memory();
    let mut agent = added_again(&world, &fleet).await;
    let job = fleet.dispatch(agent.host, JobRequest::Snapshots, by()).await.unwrap().id;
    agent.take_all();
    let summary = Summary::Snapshots { count: 0, left_out: 3 };
    let ended = crate::support::finished(job, Outcome::Warning, world.now(), summary);
    agent.report(ReportBody::Finished(Finished { class: Some(Class::Damaged), ..ended })).await;
    assert_eq!(held(&fleet, &agent), Some(Hold::Unlisted));
    // Under way while the repository moves.
    let job = fleet.dispatch(agent.host, JobRequest::Snapshots, by()).await.unwrap().id;
    agent.take_all();
    world.pass(1_000);
    let elsewhere = CredentialsInput { url: "rest:http://other/".into(), ..credentials() };
    fleet.put_credentials(agent.host, Slot::Repo, elsewhere, by()).await.unwrap();
    answer_listing(&mut agent, job, "attic", &[]).await;
    assert_eq!(held(&fleet, &agent), Some(Hold::Unlisted));
    world.pass(1_000);
    agent.lists_nothing().await;
    assert_eq!(held(&fleet, &agent), None);
}

#[tokio::test]
async fn a_list_takes_no_word_of_a_person_back() {
    let (world, fleet) = in_memory();
    let mut agent = added_again(&world, &fleet).await;
    save(&mut agent, "etc", 13, 2, Some(Class::SourceMissing)).await;
    let known = || fleet.read().unwrap().soundness(agent.host, "etc").unwrap();
    let mark = known().mark().expect("something is lacking");
    fleet.accept_backup(agent.host, "etc", mark, by()).await.unwrap();
    let before = known();
    let rows: Vec<_> = (1..3).map(|n| (n, "etc", Some(3))).collect();
    list(&mut agent, "attic", &rows).await;
    let known = fleet.read().unwrap().soundness(agent.host, "etc").unwrap();
    assert_eq!((&known.lacking, &known.accepted, known.hold()), (&Vec::new(), &before.accepted, None));
}

/// What an agent is told of the group of its next forget: lacking ones, whole ones, as which snapshot it is right.
async fn told(agent: &mut Agent) -> (Vec<String>, Vec<String>, Option<String>) {
    agent.fleet.dispatch(agent.host, JobRequest::Forget, by()).await.unwrap();
    let told = agent.take_all().into_iter().find_map(|got| match got {
        Got::Run { job, told: Some(told), .. } => Some((job, told)),
        _ => None,
    });
    let (job, told) = told.expect("a forget");
    forgot(agent, job, &[]).await;
    told
}

#[tokio::test]
async fn an_agent_is_told_what_is_whole_and_what_a_person_said_is_right() {
    let (world, fleet) = in_memory();
    let mut agent = kept(&world, &fleet).await;
    save(&mut agent, "etc", 4, 90, Some(Class::SourceMissing)).await;
    let letters = |n: u32| format!("{n:08x}");
    let whole = |all: &[u32]| all.iter().map(|n| letters(*n)).collect::<Vec<_>>();
    assert_eq!(told(&mut agent).await, (vec![short(4)], whole(&[3, 2, 1]), None));
    // What was left beside the rules waits for a word.
    let known = fleet.read().unwrap().soundness(agent.host, "etc").unwrap();
    assert_eq!(known.spared, 3);
    save(&mut agent, "etc", 5, 100, None).await;
    let known = fleet.read().unwrap().soundness(agent.host, "etc").unwrap();
    fleet.accept_backup(agent.host, "etc", known.mark().unwrap(), by()).await.unwrap();
    assert_eq!(told(&mut agent).await, (vec![], whole(&[5, 3, 2, 1]), Some(short(5))));
    // Nobody has said it of another repository.
    world.pass(1_000);
    let elsewhere = CredentialsInput { url: "rest:http://other/".into(), ..credentials() };
    fleet.put_credentials(agent.host, Slot::Repo, elsewhere, by()).await.unwrap();
    let known = fleet.read().unwrap().soundness(agent.host, "etc").unwrap();
    assert_eq!((known.right.unwrap().at, known.began_at), (Timestamp(0), None));
}

#[tokio::test]
async fn an_address_that_differs_in_spelling_only_is_the_same_repository() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    agent.lists_nothing().await;
    let past = || fleet.read().unwrap().soundness(agent.host, "etc").unwrap().past;
    assert_eq!(past(), Past::Known);
    for (url, expected) in [
        ("rest:https://BOX.example:8000//attic/", Past::Known),
        ("rest:https://box.example:8000/attic", Past::Known),
        ("rest:https://box.example:8000/cellar", Past::Unlisted),
    ] {
        let input = CredentialsInput { url: url.to_owned(), ..credentials() };
        fleet.put_credentials(agent.host, Slot::Repo, input, by()).await.unwrap();
        assert_eq!(past(), expected, "{url}");
    }
}

/// A host as [`kept`], with a second group that is forgotten, too; `etc` has six backups that are alike.
async fn settled(world: &World, fleet: &Fleet) -> Agent {
    let mut agent = kept(world, fleet).await;
    let keep = Retention { last: 3, ..Retention::default() };
    fleet.put_group(agent.host, None, Group { keep, ..group("home") }, by()).await.unwrap();
    agent.lists_nothing().await;
    save(&mut agent, "home", 100, 100, None).await;
    for n in 4..=10 {
        save_changed(&mut agent, "etc", n, 10).await;
    }
    agent
}

#[tokio::test]
async fn an_unusual_backup_holds_all_of_its_host_until_a_person_has_looked() {
    let (world, fleet) = in_memory();
    let mut agent = settled(&world, &fleet).await;
    let row = |fleet: &Fleet| fleet.read().unwrap().fleet(&HostFilter::default()).remove(0);
    assert_eq!((row(&fleet).status, row(&fleet).protected), (Status::Ok, true), "{:?}", row(&fleet).reason);
    let encrypted = save_changed(&mut agent, "etc", 11, 990).await;
    let what = Unusual::AlmostAllChanged;
    let hold = Hold::Unusual(what);
    let held = || Why::Held { group: "etc".to_owned(), why: hold };
    // What comes after it looks as ever: what is encrypted stays so.
    for n in 12..=14 {
        save_changed(&mut agent, "etc", n, 5).await;
    }
    let seen = row(&fleet);
    assert_eq!((seen.status, seen.protected), (Status::Warning, false), "{:?}", seen.reason);
    assert!(matches!(&seen.reason, Reason::Unusual { group: Some(group), .. } if group == "etc"));
    assert_eq!(seen.cause(), Some(Cause::Unusual { what }));
    world.pass(36 * HOUR_MS);
    fleet.maintain().await;
    assert_eq!(forget(&mut agent), None, "home waits, too");
    assert_eq!(why(&fleet, &agent), [held(), held()]);
    for request in [JobRequest::Forget, JobRequest::Prune] {
        let refused = fleet.dispatch(agent.host, request, by()).await.unwrap_err();
        assert!(
            matches!(&refused, Refused::Held { group, why } if group == "etc" && *why == hold),
            "{refused}"
        );
    }

    let known = fleet.read().unwrap().soundness(agent.host, "etc").unwrap();
    let unusual = known.unusual.unwrap();
    assert_eq!((unusual.first.job, unusual.count, known.mark()), (encrypted.id, 1, Some(encrypted.id)));
    assert_eq!((unusual.first.churn.files_changed, unusual.first.usual_added_bytes), (990, 10 << 20));
    fleet.accept_backup(agent.host, "etc", encrypted.id, by()).await.unwrap();
    let told = audited(&fleet, "group.accepted").remove(0).detail;
    assert!(
        told.contains("almost_all_changed") && told.contains("of 1000 files 10 were as before"),
        "{told}"
    );
    assert_eq!((row(&fleet).status, row(&fleet).protected), (Status::Ok, true), "{:?}", row(&fleet).reason);
    fleet.maintain().await;
    let (_, groups) = forget(&mut agent).expect("it goes on");
    assert_eq!(groups, [("etc".to_owned(), vec![]), ("home".to_owned(), vec![])]);
}

#[tokio::test]
async fn an_unusual_backup_is_told_as_an_incident_until_a_person_has_looked() {
    let (world, fleet) = in_memory();
    let mut agent = settled(&world, &fleet).await;
    let open = |fleet: &Fleet| {
        let read = fleet.read().unwrap();
        let groups = read.cause_groups().unwrap();
        groups.all.iter().map(|group| group.incident.clone()).collect::<Vec<_>>()
    };
    assert_eq!(open(&fleet), []);
    let found = save_changed(&mut agent, "etc", 11, 990).await;
    fleet.plan_incidents(Vec::new()).await;
    let incidents = open(&fleet);
    let [incident] = incidents.as_slice() else { panic!("{incidents:?}") };
    assert_eq!(incident.cause, Cause::Unusual { what: Unusual::AlmostAllChanged });
    assert_eq!(
        (incident.severity, incident.opened_at.is_some()),
        (Severity::Warning, true),
        "without a grace"
    );
    save_changed(&mut agent, "etc", 12, 5).await;
    fleet.plan_incidents(Vec::new()).await;
    assert_eq!(open(&fleet).len(), 1, "a usual one does not end it");
    fleet.accept_backup(agent.host, "etc", found.id, by()).await.unwrap();
    fleet.plan_incidents(Vec::new()).await;
    assert_eq!(open(&fleet), []);
}

#[tokio::test]
async fn other_paths_begin_a_new_history_and_other_rules_of_retention_do_not() {
    for (changes_paths, is_unusual) in [(true, false), (false, true)] {
        let (world, fleet) = in_memory();
        let mut agent = settled(&world, &fleet).await;
        let known = fleet.read().unwrap().group(agent.host, "etc").unwrap().unwrap();
        let changed = if changes_paths {
            Group { excludes: vec!["*.iso".to_owned()], ..known }
        } else {
            Group { keep: Retention { last: 9, ..Retention::default() }, ..known }
        };
        fleet.put_group(agent.host, Some("etc"), changed, by()).await.unwrap();
        save_changed(&mut agent, "etc", 11, 990).await;
        let known = fleet.read().unwrap().soundness(agent.host, "etc").unwrap();
        assert_eq!(known.unusual.is_some(), is_unusual);
    }
}

#[tokio::test]
async fn another_repository_begins_a_new_history() {
    let (world, fleet) = in_memory();
    let mut agent = settled(&world, &fleet).await;
    assert!(!fleet.read().unwrap().soundness(agent.host, "etc").unwrap().baseline.churns.is_empty());
    let other =
        CredentialsInput { url: "rest:https://elsewhere.example:8000/attic".to_owned(), ..credentials() };
    fleet.put_credentials(agent.host, Slot::Repo, other, by()).await.unwrap();
    save_changed(&mut agent, "etc", 11, 990).await;
    let known = fleet.read().unwrap().soundness(agent.host, "etc").unwrap();
    assert_eq!((known.unusual, known.baseline.churns.len()), (None, 0));
}

#[tokio::test]
async fn an_unusual_backup_holds_prunes_of_whoever_is_on_the_repository_and_no_forget_of_another_host() {
    let (world, fleet) = in_memory();
    let mut agent = settled(&world, &fleet).await;
    let mut other = Agent::ready(&world, &fleet, "cellar").await;
    fleet.put_credentials(other.host, Slot::Admin, credentials(), by()).await.unwrap();
    let keep = Retention { last: 3, ..Retention::default() };
    fleet.put_group(other.host, Some("etc"), Group { keep, ..group("etc") }, by()).await.unwrap();
    other.lists_nothing().await;
    save(&mut other, "etc", 200, 100, None).await;
    for host in [&agent, &other] {
        let figures = RepoStats {
            stream: Stream(77),
            revision: StatsRevision(world.now().0),
            at: world.now(),
            job: None,
            repo: Some(RepoId([5; 32])),
            size: None,
            snapshots: None,
            check: None,
            prune: None,
            lock: None,
        };
        host.stats(figures).await;
        world.pass(1_000);
    }
    save_changed(&mut agent, "etc", 11, 990).await;
    let refused = fleet.dispatch(other.host, JobRequest::Prune, by()).await.unwrap_err();
    let hold = Hold::Unusual(Unusual::AlmostAllChanged);
    assert!(
        matches!(&refused, Refused::Held { group, why } if group == "etc of attic" && *why == hold),
        "{refused}"
    );
    fleet.dispatch(other.host, JobRequest::Forget, by()).await.unwrap();
}
