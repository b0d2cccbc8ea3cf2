//! Makes a data file in which each table has something, for `fleet/src/format_files.rs`, which reads what was kept of earlier
//! ones. `HOLDFAST_WRITE_GOLDENS=1` keeps this one, in `fleet/tests/files`; one that is kept already stays:
//!
//! | file | what |
//! |---|---|
//! | `format-N.rows` | table, key and row of all rows, in hex |
//! | `data-N.redb.lz4` | the data file itself, compressed as one block of LZ4 |
//! | `archive-N.age` | an archive of it, which the words of [`PASSPHRASE`] open |
//!
//! Of format 3 there are rows alone.

use crate::support::{Agent, DAY_MS, HOUR_MS, World, backup, by, credentials, group, hourly, settings};
use data_encoding::HEXLOWER;
use fleet::record::{
    Cause, ChannelFlags, CredentialsInput, Email, FindPlan, MailSecurity, MaintenanceInput, RestorePlan,
    RestoreTarget, Retention, Role, RouteState, RuleInput, Scope, Secret, SendFault, Severity, TryCount,
    Watched,
};
use fleet::{
    Acknowledgement, ArchiveKey, ArchiveOpener, ChannelInput, DATA_FILE, Fleet, GraceInput, HostFilter,
    IncidentState, JobRequest, KitChoice, KitSlot, Page, Pieces, ReportInput, Sent, ServerNeed, WEEKDAYS,
};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use schema::report::Hit;
use schema::report::{Entry, EntryKind, Finished, Snapshot, Trouble};
use schema::stats::{CheckResult, LockSeen, Size, SizeSource, SnapshotCount};
use schema::{
    Class, Items, JobId, LogLine, LogStream, Outcome, Overwrite, RepoId, RepoStats, ReportBody, Slot,
    StatsRevision, Summary, Timestamp,
};
use std::fmt::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

const MINUTE_MS: u64 = 60_000;
const PASSPHRASE: &str = "five words in a row";
/// Formats of which a data file and an archive are kept, oldest first.
const KEPT: &[u32] = &[4, 5, 6, 7];

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// Keeps bytes under a name for ever.
fn keep(name: &str, bytes: &[u8]) {
    if !kept(name).exists() {
        std::fs::write(kept(name), bytes).unwrap();
    }
}

/// Makes a folder of a server in which each table has something.
pub(crate) async fn live(folder: &Path) {
    begun(folder).await.shutdown().await;
}

async fn begun(folder: &Path) -> Fleet {
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
    checks(&fleet).await;
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
    let installation = schema::InstallationId([3; 16]);
    let mut earlier = Agent::with_token(&world, &fleet, token.text.expose(), installation).await;
    earlier.epoch = earlier.epoch.next();
    fleet.handle_presence(earlier.host, &earlier.earlier_hello_bytes(), "198.51.100.8:5000").await.unwrap();
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
    incident(&fleet, &world).await;
    let kit = fleet.make_kit(KitChoice::default(), by()).await.unwrap();
    fleet.keep_kit(kit).await.unwrap();
    reports(&fleet, &world).await;
    fleet
}

/// What is told to checks waits there.
async fn checks(fleet: &Fleet) {
    let checks = ChannelInput::Healthchecks {
        url: Some(Secret::new("https://hc.example/a-ping-key/{host}")),
        of: Watched::Host,
        labels: Vec::new(),
        host: String::new(),
        group: String::new(),
        every_min: 5,
        with_log: true,
        ca: String::new(),
    };
    let flags = ChannelFlags { is_on: true, acknowledges: false };
    fleet.add_channel("checks".to_owned(), flags, checks, by()).await.unwrap();
}

/// A label has a grace of its own, a report waits, and how the fleet stands is kept.
async fn reports(fleet: &Fleet, world: &World) {
    let grace = GraceInput { label: "laptop".to_owned(), causes: Vec::new(), hours: 72 };
    fleet.set_grace(grace, by()).await.unwrap();
    // Due in the next minute; the first day of all was a Thursday.
    let due = world.now().0 / MINUTE_MS + 1;
    let minute = due % (DAY_MS / MINUTE_MS);
    let weekly = ReportInput {
        state: RouteState::On,
        every: "weekly".to_owned(),
        day: WEEKDAYS[((due * MINUTE_MS / DAY_MS + 3) % 7) as usize].to_owned(),
        at: format!("{:02}:{:02}", minute / 60, minute % 60),
        timezone: "UTC".to_owned(),
    };
    fleet.set_report("mail".to_owned(), weekly, by()).await.unwrap();
    world.pass(MINUTE_MS);
    fleet.plan_reports().await.unwrap();
}

/// Incidents of hosts and of the server; one is acknowledged, one waits to be told, and a channel fails.
async fn incident(fleet: &Fleet, world: &World) {
    let server = ServerNeed { cause: Cause::ServerDisk, severity: Severity::Critical };
    let email = ChannelInput::Email {
        email: Email {
            server: "mail.example".to_owned(),
            port: 587,
            security: MailSecurity::StartTls,
            username: "holdfast".to_owned(),
            from: "holdfast@example.com".to_owned(),
            to: vec!["ada@example.com".to_owned()],
            ca: String::new(),
        },
        password: Some(Secret::new("mail-password")),
    };
    let flags = ChannelFlags { is_on: true, acknowledges: true };
    fleet.add_channel("mail".to_owned(), flags, email, by()).await.unwrap();
    let test = fleet.test_message("mail").unwrap();
    fleet.channel_tested(test.channel, Sent::Taken, by()).await.unwrap();
    fleet.plan_incidents(vec![server]).await;
    let noticed = Some(IncidentState::Noticed);
    let all = fleet.read().unwrap().incidents(noticed, &Page::default(), 9).unwrap().items;
    assert!(all.len() > 1, "{all:?}");
    let known = all.iter().find(|seen| !seen.hosts.is_empty()).unwrap();
    let word = Acknowledgement { until: None, note: "a disk is ordered".to_owned() };
    fleet.acknowledge_incident(known.incident.id, Some(word), "shown".to_owned(), by()).await.unwrap();
    world.pass(HOUR_MS / 10);
    fleet.plan_incidents(vec![server]).await;
    let due = fleet.begin_messages().await.unwrap();
    assert_eq!(due.len(), 1, "{due:?}");
    let sent = Sent::Refused { fault: SendFault::Smtp(451), said: "later".to_owned(), retry_after_ms: None };
    fleet.message_answered(due[0].channel, due[0].message.id, sent).await.unwrap();
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
    let fleet = begun(folder.path()).await;
    let key = ArchiveKey::Passphrase(Secret::new(PASSPHRASE));
    let mut archive = Vec::new();
    fleet.begin_archive(Vec::new(), "0.1.0").unwrap().write(&key, &mut archive).unwrap();
    fleet.shutdown().await;
    drop(fleet);
    let file = folder.path().join(DATA_FILE);
    let rows = rows(&file);
    let bytes = std::fs::read(&file).unwrap();
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
        keep(&format!("format-{format}.rows"), text.as_bytes());
        keep(&format!("data-{format}.redb.lz4"), &lz4_flex::block::compress_prepend_size(&bytes));
        keep(&format!("archive-{format}.age"), &archive);
    }
}

/// A file of redb as it was written then, and an archive with the master key in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_data_file_and_a_kept_archive_are_opened_by_the_program_of_now() {
    for format in KEPT {
        let folder = tempfile::tempdir().unwrap();
        let (restored, as_it_was) = (folder.path().join("restored"), folder.path().join("as-it-was"));
        let world = World::new();
        // Later than the archives were made.
        world.pass(86_400_000);
        let opener = ArchiveOpener::Passphrase(Secret::new(PASSPHRASE));
        let archive = kept(&format!("archive-{format}.age"));
        let done = fleet::restore(&archive, &opener, &restored, world.driver()).unwrap();
        let rows_kept = std::fs::read_to_string(kept(&format!("format-{format}.rows"))).unwrap();
        assert_eq!(done.rows, rows_kept.lines().count() as u64);

        std::fs::DirBuilder::new().mode(0o700).create(&as_it_was).unwrap();
        let file = as_it_was.join(DATA_FILE);
        let packed = std::fs::read(kept(&format!("data-{format}.redb.lz4"))).unwrap();
        std::fs::write(&file, lz4_flex::block::decompress_size_prepended(&packed).unwrap()).unwrap();
        let key = as_it_was.join(fleet::KEY_FILE);
        std::fs::copy(restored.join(fleet::KEY_FILE), key).unwrap();
        let text: String =
            rows(&file).iter().map(|(table, key, row)| format!("{table} {key} {row}\n")).collect();
        assert_eq!(text, rows_kept);
        let checked = Fleet::check(&Pieces::from(as_it_was.as_path()), None).unwrap();
        assert_eq!(checked.rows, rows_kept.lines().count() as u64);

        for folder in [&restored, &as_it_was] {
            let fleet = Fleet::open(folder.as_path(), settings(), world.driver()).unwrap();
            let hosts = fleet.read().unwrap().fleet(&HostFilter::default());
            let mut names: Vec<&str> = hosts.iter().map(|host| host.host.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, ["attic", "barn", "cellar", "shed"]);
            // What is sealed opens, too.
            let attic = hosts.iter().find(|host| host.host.name == "attic").unwrap().host.id;
            let sealed = fleet.read().unwrap().kit_host(attic).unwrap().unwrap();
            let KitSlot::Held(everyday) = sealed.everyday else { panic!("it is set") };
            assert_eq!(Some(everyday.repo_password), credentials().repo_password);
            fleet.shutdown().await;
        }
    }
}
