//! Makes a data file in which each table has something, for `fleet/src/kept.rs`, which reads what was kept of an earlier
//! one. `HOLDFAST_WRITE_GOLDENS=1` keeps this one, as `fleet/tests/files/format-N.rows`: table, key and row, in hex.

use crate::support::{Agent, HOUR_MS, World, backup, by, credentials, enroll, group, hourly, settings};
use data_encoding::HEXLOWER;
use fleet::record::{
    CredentialsInput, FindPlan, MaintenanceInput, RestorePlan, RestoreTarget, Retention, Role, RuleInput,
    Scope, TryCount,
};
use fleet::{DATA_FILE, Fleet, JobRequest, KitChoice};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use schema::report::Hit;
use schema::report::{Entry, EntryKind, Finished, Snapshot, Trouble};
use schema::stats::{CheckResult, LockSeen, Size, SizeSource, SnapshotCount};
use schema::{
    Class, Items, JobId, LogLine, LogStream, Outcome, Overwrite, RepoId, RepoStats, ReportBody, Slot,
    StatsRevision, Summary, Timestamp,
};
use std::fmt::Write as _;
use std::path::Path;

/// Makes a folder of a server in which each table has something.
pub(crate) async fn live(folder: &Path) {
    let world = World::new();
    let fleet = Fleet::open(folder, settings(), world.driver()).unwrap();
    accounts(&fleet, &world).await;
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let keep = Retention { last: 3, daily: 7, ..Retention::default() };
    fleet
        .put_group(agent.host, Some("etc"), fleet::record::Group { keep, ..group("etc") }, by())
        .await
        .unwrap();
    fleet.put_credentials(agent.host, Slot::Admin, credentials(), by()).await.unwrap();
    list(&mut agent).await;
    look(&mut agent).await;
    search(&mut agent).await;
    agent.back_up("etc", Outcome::Succeeded).await;
    figures(&agent).await;
    let rule = RuleInput { enabled: true, every: "1d".to_owned(), ..RuleInput::default() };
    let rules = MaintenanceInput {
        forget: rule.clone(),
        prune: rule.clone(),
        check: rule,
        ..MaintenanceInput::default()
    };
    fleet.put_maintenance(agent.host, rules, by()).await.unwrap();
    agent.report(ReportBody::Trouble { kind: Trouble::StateFolder, detail: "full" }).await;
    schedules(&fleet, &world, &mut agent).await;
    // Others on the same place, and on one that a person has said is the same.
    let other = Agent::ready(&world, &fleet, "barn").await;
    let (third, _) = fleet.create_host("cellar", vec!["nas".to_owned()], by()).await.unwrap();
    let token =
        fleet.new_enroll_token(third.id, fleet::record::TokenMachine::Replacement, by()).await.unwrap();
    enroll(&fleet, token.text.expose(), schema::InstallationId([3; 16])).await.unwrap();
    fleet.dispatch(other.host, backup("etc"), by()).await.unwrap();
    let alone = Agent::ready(&world, &fleet, "shed").await;
    let elsewhere =
        CredentialsInput { url: "rest:https://box.example:8000/shed".to_owned(), ..credentials() };
    fleet.put_credentials(alone.host, Slot::Repo, elsewhere, by()).await.unwrap();
    fleet.dispatch(alone.host, JobRequest::Check { subset_pct: None }, by()).await.unwrap();
    figures(&alone).await;
    let plan = RestorePlan {
        source: agent.host,
        snapshot: "01234567".to_owned(),
        paths: vec!["/etc".to_owned()],
        target: RestoreTarget::NewFolder { within: String::new() },
        overwrite: Overwrite::Never,
        delete: false,
        verify: true,
        dry_run: false,
    };
    fleet.dispatch(alone.host, JobRequest::Restore(plan), by()).await.unwrap();
    fleet.confirm_sharing(agent.host, alone.host, by()).await.unwrap();
    let kit = fleet.make_kit(KitChoice::default(), by()).await.unwrap();
    fleet.keep_kit(kit).await.unwrap();
    fleet.shutdown().await;
}

async fn accounts(fleet: &Fleet, world: &World) {
    fleet
        .create_operator("ada", Role::Admin, "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned(), by())
        .await
        .unwrap();
    fleet.open_session("ada", "192.0.2.1").await.unwrap();
    fleet.create_api_token("ci", [Scope::Read, Scope::Run].into_iter().collect(), by()).await.unwrap();
    fleet.create_viewer("wall", true, by()).await.unwrap();
    let tries = TryCount { failures: 2, last_at: world.now(), until: world.now().plus_ms(HOUR_MS) };
    fleet.keep_sign_in_tries(vec![("account:ada".to_owned(), Some(tries))]).await;
}

async fn list(agent: &mut Agent) {
    let job = agent.fleet.dispatch(agent.host, JobRequest::Snapshots, by()).await.unwrap().id;
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    let (mut tags, mut paths, mut room) = ([0; 32], [0; 32], [0; 512]);
    let snapshot = Snapshot {
        id: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        time: Timestamp(1_600_000_000_000),
        hostname: "attic",
        tags: Items::write(["etc"], &mut tags).unwrap(),
        paths: Items::write(["/etc"], &mut paths).unwrap(),
        size: None,
        tags_left_out: 1,
        paths_left_out: 2,
    };
    let snapshots = Items::write([snapshot], &mut room).unwrap();
    agent.report(ReportBody::Snapshots { job, first: 0, snapshots }).await;
    agent.finish(job, Outcome::Succeeded, Summary::Snapshots { count: 1, left_out: 0 }).await;
}

/// A look into a folder that brought one entry, and has not ended.
async fn look_begun(agent: &mut Agent, path: &str) -> JobId {
    let request = JobRequest::Browse { path: path.to_owned() };
    let job = agent.fleet.dispatch(agent.host, request, by()).await.unwrap().id;
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    let mut room = [0; 256];
    let line = LogLine { after_ms: 5, stream: LogStream::Err, text: "a line" };
    let lines = Items::write([line], &mut room).unwrap();
    agent.report(ReportBody::Log { job, first_line: 0, lines }).await;
    let entry =
        Entry { name: "photos".into(), kind: EntryKind::Folder, bytes: 7, modified_at: Some(Timestamp(1)) };
    let mut room = [0; 256];
    let entries = Items::write([entry], &mut room).unwrap();
    agent.report(ReportBody::Entries { job, first: 0, entries }).await;
    job
}

async fn look(agent: &mut Agent) {
    let job = look_begun(agent, "/srv").await;
    agent.finish(job, Outcome::Succeeded, Summary::Folder { entries: 1, left_out: 2 }).await;
    look_begun(agent, "/home").await;
}

/// A search by name that found one file.
async fn search(agent: &mut Agent) {
    let plan = FindPlan {
        pattern: "fstab".to_owned(),
        ignore_case: true,
        group: Some("etc".to_owned()),
        newest: 3,
        since: Some(Timestamp(1)),
    };
    let job = agent.fleet.dispatch(agent.host, JobRequest::Find(plan), by()).await.unwrap().id;
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    let (path, kind) = ("/etc/fstab".into(), EntryKind::File);
    let entry = Hit::Entry { path, kind, bytes: 7, files: 0, modified_at: Some(Timestamp(1)) };
    let mut room = [0; 256];
    let hits = Items::write([entry, Hit::Snapshot { id: "0123456789abcdef", time: Timestamp(2) }], &mut room)
        .unwrap();
    agent.report(ReportBody::Found { job, first: 0, hits }).await;
    let summary = Summary::Found { snapshots: 1, snapshots_left_out: 2, hits: 1, left_out: 3 };
    agent.finish(job, Outcome::Succeeded, summary).await;
}

async fn figures(agent: &Agent) {
    let at = agent.world.now();
    let stats = RepoStats {
        stream: agent.stream,
        revision: StatsRevision(1),
        at,
        job: None,
        repo: Some(RepoId([5; 32])),
        size: Some(Size { at, bytes: 1_000, source: SizeSource::Measured }),
        snapshots: Some(SnapshotCount { at, count: 1, newest_at: Some(at) }),
        check: Some(CheckResult { at, errors: 0, subset_pct: 5 }),
        prune: None,
        lock: Some(LockSeen { at, lock: None }),
    };
    agent.stats(stats).await;
}

async fn schedules(fleet: &Fleet, world: &World, agent: &mut Agent) {
    fleet.put_schedule(agent.host, None, hourly("hourly"), by()).await.unwrap();
    fleet.put_schedule(agent.host, None, hourly("gone"), by()).await.unwrap();
    agent.gone(agent.epoch).await;
    world.pass(HOUR_MS);
    fleet.tick().await;
    fleet.delete_schedule(agent.host, "gone", by()).await.unwrap();
    world.pass(HOUR_MS);
    fleet.tick().await;
    agent.hello(&[]).await;
    agent.take_all();
    // One fails for a while and has an instant at which it is tried again.
    for job in crate::support::jobs(fleet, agent.host).into_iter().filter(|job| job.finished_at.is_none()) {
        let at = world.now();
        let finished = Finished {
            class: Some(Class::Network),
            ..crate::support::finished(job.id, Outcome::Failed, at, Summary::None)
        };
        agent.report(ReportBody::Finished(finished)).await;
    }
}

/// All that stands in a data file: table, key and row.
fn rows(file: &Path) -> Vec<(String, String, String)> {
    let database = Database::open(file).unwrap();
    let txn = database.begin_read().unwrap();
    let mut rows = Vec::new();
    for table in txn.list_tables().unwrap() {
        let name = table.name().to_owned();
        let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(&name);
        for row in txn.open_table(definition).unwrap().iter().unwrap() {
            let (key, value) = row.unwrap();
            rows.push((name.clone(), HEXLOWER.encode(key.value()), HEXLOWER.encode(value.value())));
        }
    }
    rows.sort();
    rows
}

#[tokio::test]
async fn each_table_has_something_in_the_file_that_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    live(folder.path()).await;
    let file = folder.path().join(DATA_FILE);
    let rows = rows(&file);
    let database = Database::open(&file).unwrap();
    let txn = database.begin_read().unwrap();
    let empty: Vec<String> = txn
        .list_tables()
        .unwrap()
        .map(|table| table.name().to_owned())
        .filter(|name| !rows.iter().any(|(table, ..)| table == name))
        .collect();
    assert!(empty.is_empty(), "nothing stands in {empty:?}");
    if std::env::var_os("HOLDFAST_WRITE_GOLDENS").is_some() {
        let (_, _, format) = rows
            .iter()
            .find(|(table, key, _)| table == "meta" && *key == HEXLOWER.encode(b"format"))
            .expect("the format of the file");
        let format = u8::from_str_radix(&format[format.len() - 2..], 16).unwrap();
        let mut text = String::new();
        for (table, key, row) in &rows {
            writeln!(text, "{table} {key} {row}").unwrap();
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/files/format-{format}.rows"));
        std::fs::write(path, text).unwrap();
    }
}
