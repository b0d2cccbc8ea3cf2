//! A server that was made of an archive, and hosts that have gone on without it.

use crate::support::{Agent, Got, World, backup, by, finished, saved};
use fleet::record::{AgentGone, AuditAction, JobState, JobWhat, Predecessor, TokenMachine};
use fleet::{
    ArchiveKey, ArchiveOpener, AuditFilter, DrawnIdentity, Fleet, JobRequest, NoLogin, Page, Pieces,
    Promotion, RestoreAs, Settings,
};
use schema::{
    CommandSeq, GroupKey, HeldJob, HeldPhase, Incarnation, InstallationId, JobId, JobKind, Outcome,
    ReportBody, ReportSeq, SavedGroup, Slot, SlotRevision, Summary, Timestamp,
};
use std::collections::BTreeSet;

const HOUR: u64 = 3_600_000;

struct Archive {
    folder: tempfile::TempDir,
    opener: ArchiveOpener,
}

fn archive(fleet: &Fleet) -> Archive {
    let folder = tempfile::tempdir().unwrap();
    let identity = DrawnIdentity::draw();
    let key = ArchiveKey::Recipients(vec![identity.recipient()]);
    let file = std::fs::File::create(folder.path().join("archive.age")).unwrap();
    fleet.begin_archive(Vec::new(), "0.0.1").unwrap().write(&key, file).unwrap();
    Archive { folder, opener: ArchiveOpener::Drawn(identity) }
}

fn restore(world: &World, archive: &Archive, name: &str) -> Fleet {
    let to = archive.folder.path().join(name);
    fleet::restore(&archive.folder.path().join("archive.age"), &archive.opener, &to, world.driver()).unwrap();
    Fleet::open(to.as_path(), settings(), world.driver()).unwrap()
}

fn settings() -> Settings {
    Settings {
        mqtt_addresses: vec!["backup.example:8883".to_owned()],
        authorities: vec![vec![7; 40]],
        timezone: "UTC".to_owned(),
        keep: Default::default(),
    }
}

fn begun(world: &World) -> (tempfile::TempDir, Fleet) {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::open(folder.path(), settings(), world.driver()).unwrap();
    (folder, fleet)
}

fn lines(fleet: &Fleet, action: AuditAction) -> Vec<String> {
    let filter = AuditFilter { action: Some(action.code().to_owned()), ..AuditFilter::default() };
    let entries = fleet.read().unwrap().audit(&filter, &Page { limit: 50, cursor: None }).unwrap().items;
    entries.into_iter().map(|entry| entry.detail).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_taken_before_the_restore_is_not_sent_again_and_each_loss_is_said_once() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, JobRequest::Stats, by()).await.unwrap();
    let archive = archive(&fleet);
    // The server that is lost hears the end of it, and of another one.
    agent.take_all();
    agent.finish(job.id, Outcome::Succeeded, Summary::None).await;
    let lost = fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
    agent.take_all();
    agent.finish(lost.id, Outcome::Succeeded, Summary::None).await;
    let (taken, acked) = (agent.taken, agent.acked);
    world.pass(HOUR);
    let restored = restore(&world, &archive, "restored");
    agent.fleet = restored.clone();
    agent.hello(&[]).await;
    assert_eq!(instant(agent.incarnation), world.now());
    assert_eq!(agent.waiting(), 0, "what was taken goes out again");
    let record = agent.job(job.id);
    assert_eq!((record.state, record.presumed), (JobState::Lost, true));
    assert!(record.message.contains("restored from an archive"), "{}", record.message);
    assert_eq!(record.agent_gone, Some(AgentGone::ServerRestored));
    let said = lines(&restored, AuditAction::HostReturned);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("restored 20") && said[0].contains("reports of it"), "{said:?}");
    // Numbers begin behind what the agent has, on both sides.
    let next = restored.dispatch(agent.host, JobRequest::Stats, by()).await.unwrap();
    assert_eq!(next.command_seq, taken.next());
    let got = agent.take_all();
    assert!(matches!(got[..], [Got::Run { job, .. }] if job == next.id), "{got:?}");
    agent.finish(next.id, Outcome::Succeeded, Summary::None).await;
    assert!(agent.acked > acked && agent.acked == agent.reports, "a report is stuck");
    assert_eq!(agent.job(next.id).state, JobState::Succeeded);
    agent.hello(&[]).await;
    assert_eq!(lines(&restored, AuditAction::HostReturned).len(), 1, "it is said again");
}

/// It may well have gone well: only the lost server has heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_under_way_in_the_archive_is_no_failed_one() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    agent.back_up("etc", Outcome::Succeeded).await;
    let before = fleet.read().unwrap().host_row(agent.host).unwrap();
    world.pass(60_000);
    let under_way = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Started { job: under_way.id }).await;
    let archive = archive(&fleet);
    agent.finish(under_way.id, Outcome::Succeeded, saved()).await;
    world.pass(HOUR);
    agent.fleet = restore(&world, &archive, "restored");
    agent.hello(&[]).await;
    assert_eq!(agent.job(under_way.id).agent_gone, Some(AgentGone::ServerRestored));
    let after = agent.fleet.read().unwrap().host_row(agent.host).unwrap();
    assert_eq!((after.status, &after.reason), (before.status, &before.reason));
    assert_eq!(after.last_good_at, before.last_good_at);
}

/// The server that is lost has given out fewer commands than the archive has waiting: by their count alone the numbers
/// would pass for ours.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_another_server_say_nothing_of_ours() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let archive = archive(&fleet);
    let one = fleet.dispatch(agent.host, JobRequest::Stats, by()).await.unwrap();
    agent.take_all();
    agent.finish(one.id, Outcome::Succeeded, Summary::None).await;
    world.pass(HOUR);
    let restored = restore(&world, &archive, "restored");
    // While the host is away somebody changes something twice here: the same numbers again.
    for password in ["new", "newer"] {
        let input = fleet::record::CredentialsInput {
            repo_password: Some(fleet::record::Secret::new(password)),
            ..crate::support::credentials()
        };
        restored.put_credentials(agent.host, Slot::Repo, input, by()).await.unwrap();
    }
    agent.fleet = restored.clone();
    // And the lost server had changed it as often.
    agent.repo_revision = SlotRevision(3);
    let before = agent.taken;
    agent.hello(&[]).await;
    let got = agent.take_all();
    let newest = got.iter().rev().find_map(|got| match got {
        Got::Config { seq, revision, .. } => Some((*seq, *revision)),
        _ => None,
    });
    let (seq, revision) = newest.expect("credentials");
    assert!(seq > before && revision > SlotRevision(3), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_after_the_archive_becomes_a_job_where_that_can_be_told() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let archive = archive(&fleet);
    world.pass(HOUR);
    let id = |number| JobId::new(world.now(), [number; 10]);
    let (backup, unknown, restore_job, held) = (id(1), id(2), id(3), id(4));
    world.pass(HOUR);
    let restored = restore(&world, &archive, "restored");
    agent.fleet = restored.clone();
    let key = Some(GroupKey::of("etc"));
    agent.hello(&[HeldJob { job: held, phase: HeldPhase::Running, group: key }]).await;
    let record = agent.job(held);
    assert_eq!((record.state, record.what), (JobState::Running, JobWhat::Backup { group: "etc".to_owned() }));
    let refused = restored.dispatch(agent.host, JobRequest::Backup { group: "etc".to_owned() }, by()).await;
    assert!(refused.is_err(), "the agent does it already");
    for (job, kind, group) in [
        (backup, JobKind::Backup, key),
        (unknown, JobKind::Backup, Some(GroupKey::of("elsewhere"))),
        (restore_job, JobKind::Restore, None),
        (held, JobKind::Backup, key),
    ] {
        let summary = if group == key { saved() } else { Summary::None };
        let ended = schema::report::Finished {
            kind: Some(kind),
            group,
            ..finished(job, Outcome::Succeeded, world.now(), summary)
        };
        agent.report(ReportBody::Finished(ended)).await;
        world.pass(61_000);
    }
    let state = restored.read().unwrap();
    assert_eq!(agent.job(backup).state, JobState::Succeeded);
    assert_eq!(agent.job(held).state, JobState::Succeeded);
    assert!(state.job(unknown).unwrap().is_none() && state.job(restore_job).unwrap().is_none());
    let odd = lines(&restored, AuditAction::AgentOdd);
    assert_eq!(odd.len(), 2, "{odd:?}");
    assert!(odd[0].contains("restore") && odd[0].contains("succeeded"), "{odd:?}");
    assert_eq!(agent.acked, agent.reports);
    // A job of long before is no loss of that time.
    let old = JobId::new(Timestamp(world.now().0 - 48 * HOUR), [9; 10]);
    let ended = schema::report::Finished {
        kind: Some(JobKind::Probe),
        ..finished(old, Outcome::Succeeded, world.now(), Summary::None)
    };
    agent.report(ReportBody::Finished(ended)).await;
    assert!(restored.read().unwrap().job(old).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_restore_nobody_makes_jobs_by_ending_them() {
    let (world, fleet) = crate::support::in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let id = JobId::new(world.now(), [1; 10]);
    let ended = schema::report::Finished {
        kind: Some(JobKind::Probe),
        ..finished(id, Outcome::Succeeded, world.now(), Summary::None)
    };
    agent.report(ReportBody::Finished(ended)).await;
    agent.hello(&[HeldJob { job: id, phase: HeldPhase::Running, group: Some(GroupKey::of("etc")) }]).await;
    assert!(fleet.read().unwrap().job(id).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_since_the_archive_is_not_due_and_what_came_later_is() {
    for (saved_hours, waits) in [(7, true), (10, false)] {
        let world = World::new();
        let (_folder, fleet) = begun(&world);
        let mut agent = Agent::ready(&world, &fleet, "attic").await;
        let schedule = fleet::record::Schedule {
            name: "often".to_owned(),
            cron: "0 */6 * * *".to_owned(),
            timezone: "UTC".to_owned(),
            groups: vec!["etc".to_owned()],
            enabled: true,
            retry_max: 3,
            ..Default::default()
        };
        fleet.put_schedule(agent.host, None, schedule, by()).await.unwrap();
        let begun = world.now();
        let archive = archive(&fleet);
        world.pass(11 * HOUR);
        let restored = restore(&world, &archive, "restored");
        assert!(restored.tick().await);
        let waiting = || restored.read().unwrap().pending(&Page::default()).unwrap().items;
        assert_eq!(waiting().len(), 1);
        let last = waiting()[0].last_due_at;
        assert!(
            last > begun.plus_ms(7 * HOUR) && last < begun.plus_ms(10 * HOUR),
            "{last:?} after {begun:?}"
        );
        agent.fleet = restored.clone();
        agent.saved = vec![SavedGroup { group: GroupKey::of("etc"), at: begun.plus_ms(saved_hours * HOUR) }];
        agent.hello(&[]).await;
        let runs = agent.take_all().iter().filter(|got| matches!(got, Got::Run { .. })).count();
        assert_eq!(runs == 1, waits, "saved after {saved_hours} h");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_another_one_was_made_of_takes_nothing_of_a_host_that_knows_it() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    assert!(fleet.read().unwrap().reunion().unwrap().is_none());
    let archive = archive(&fleet);
    world.pass(HOUR);
    let restored = restore(&world, &archive, "restored");
    let away = restored.read().unwrap().reunion().unwrap().unwrap();
    assert!(!away.is_salvage);
    assert_eq!((away.hosts, away.away.len()), (1, 1));
    agent.fleet = restored.clone();
    agent.hello(&[]).await;
    let back = restored.read().unwrap().reunion().unwrap().unwrap();
    assert_eq!((back.hosts, back.away.len()), (1, 0));
    restored.dismiss_restoration(by()).await.unwrap();
    assert!(restored.read().unwrap().reunion().unwrap().unwrap().restoration.dismissed);
    // The former one comes back.
    agent.fleet = fleet.clone();
    let before = fleet.read().unwrap().presence(agent.host).unwrap().epoch;
    for _ in 0..2 {
        let handled = agent.hello(&[]).await;
        assert!(handled.reply.is_some() && !handled.wake, "it is told where it is");
    }
    let presence = fleet.read().unwrap().presence(agent.host).unwrap();
    assert!(!presence.online && presence.epoch == before, "{presence:?}");
    assert_eq!(presence.superseded.map(|known| known.by), Some(agent.incarnation));
    assert_eq!(lines(&fleet, AuditAction::HostSuperseded).len(), 1);
    let refused = fleet.dispatch(agent.host, JobRequest::Stats, by()).await;
    assert!(refused.is_err(), "there is nobody to do it");
    assert_eq!(agent.acked, ReportSeq(agent.reports.0.min(agent.acked.0)));
    // Of one archive another server is made, later: it counts.
    world.pass(HOUR);
    let again = restore(&world, &archive, "again");
    agent.fleet = again.clone();
    let before_it = agent.incarnation;
    agent.hello(&[]).await;
    assert!(again.read().unwrap().presence(agent.host).unwrap().online);
    assert!(agent.incarnation > before_it);
    assert_eq!(again.commands_after(agent.host, CommandSeq::ZERO, 10).len(), 0);
}

/// Enrols a machine with a token of this host.
async fn enrolled(
    world: &World,
    fleet: &Fleet,
    host: schema::HostId,
    number: u8,
    machine: TokenMachine,
) -> Agent {
    let token = fleet.new_enroll_token(host, machine, by()).await.unwrap();
    Agent::with_token(world, fleet, token.text.expose(), InstallationId([number; 16])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_only_the_lost_server_has_enrolled_knocks_and_is_taken_in_by_a_person() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let early = Agent::ready(&world, &fleet, "early").await;
    let archive = archive(&fleet);
    world.pass(HOUR);
    // The same name is given anew after the restore.
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    world.pass(HOUR);
    let restored = restore(&world, &archive, "restored");
    let (other, _) = restored.create_host("attic", vec![], by()).await.unwrap();
    assert_eq!(restored.login_host(agent.host, "a guess"), Err(NoLogin::Unknown));
    assert_eq!(restored.login_host(other.id, &agent.password), Err(NoLogin::Unknown), "for another host");
    assert!(restored.newcomers().is_empty());
    assert_eq!(restored.login_host(agent.host, &agent.password), Err(NoLogin::Newer));
    assert_eq!(restored.login_host(early.host, &early.password), Ok(()));
    let newcomers = restored.newcomers();
    assert_eq!((newcomers.len(), newcomers[0].name.as_str(), newcomers[0].host), (1, "attic", agent.host));
    let at = newcomers[0].enrolled_at;
    assert!(restored.take_in(agent.host, Timestamp(at.0 + 1), by()).await.is_err(), "another enrolment");
    let host = restored.take_in(agent.host, at, by()).await.unwrap();
    assert_eq!((host.id, host.name.as_str()), (agent.host, "attic-2"));
    assert!(restored.newcomers().is_empty());
    assert_eq!(lines(&restored, AuditAction::HostTakenIn).len(), 1);
    assert_eq!(restored.login_host(agent.host, &agent.password), Ok(()));
    agent.fleet = restored.clone();
    agent.hello(&[]).await;
    assert!(restored.read().unwrap().presence(agent.host).unwrap().online);
    restored.put_credentials(agent.host, Slot::Repo, crate::support::credentials(), by()).await.unwrap();
    let job = restored.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
    agent.take_all();
    agent.finish(job.id, Outcome::Succeeded, Summary::None).await;
    assert_eq!(agent.job(job.id).state, JobState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_took_a_place_after_the_archive_takes_it_again_and_the_former_one_is_out() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let former = Agent::ready(&world, &fleet, "attic").await;
    let archive = archive(&fleet);
    world.pass(HOUR);
    let mut present = enrolled(&world, &fleet, former.host, 8, TokenMachine::Replacement).await;
    world.pass(HOUR);
    let restored = restore(&world, &archive, "restored");
    assert_eq!(restored.login_host(former.host, &former.password), Ok(()), "nobody knows better yet");
    assert_eq!(restored.login_host(former.host, &present.password), Err(NoLogin::Newer));
    let at = restored.newcomers()[0].enrolled_at;
    let host = restored.take_in(former.host, at, by()).await.unwrap();
    assert_eq!(host.name, "attic");
    assert!(host.backups_held.is_some(), "whether somebody had started them, only the lost server knew");
    assert_eq!(restored.login_host(former.host, &present.password), Ok(()));
    assert_eq!(
        restored.login_host(former.host, &former.password),
        Err(NoLogin::Password),
        "it is no newcomer"
    );
    assert!(restored.newcomers().is_empty());
    present.fleet = restored.clone();
    present.hello(&[]).await;
    assert!(restored.read().unwrap().presence(present.host).unwrap().online);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_before_the_archive_does_not_knock() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let former = Agent::ready(&world, &fleet, "attic").await;
    let gone = Agent::ready(&world, &fleet, "gone").await;
    world.pass(HOUR);
    let _present = enrolled(&world, &fleet, former.host, 8, TokenMachine::Same).await;
    fleet.delete_host(gone.host, by()).await.unwrap();
    assert_eq!(fleet.login_host(former.host, &former.password), Err(NoLogin::Password));
    world.pass(HOUR);
    let archive = archive(&fleet);
    let restored = restore(&world, &archive, "restored");
    assert_eq!(restored.login_host(former.host, &former.password), Err(NoLogin::Password));
    assert_eq!(restored.login_host(gone.host, &gone.password), Err(NoLogin::Unknown));
    assert!(restored.newcomers().is_empty());
}

/// Its time was lost at the first restore, and the second archive does not know of it either.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_not_taken_in_knocks_at_a_server_that_was_restored_again() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let _early = Agent::ready(&world, &fleet, "early").await;
    let first = archive(&fleet);
    world.pass(HOUR);
    let unknown = Agent::ready(&world, &fleet, "attic").await;
    world.pass(HOUR);
    let restored = restore(&world, &first, "restored");
    world.pass(HOUR);
    // One that was known meanwhile, and was deleted.
    let deleted = Agent::ready(&world, &restored, "shed").await;
    restored.delete_host(deleted.host, by()).await.unwrap();
    world.pass(HOUR);
    let second = archive(&restored);
    world.pass(HOUR);
    let late = Agent::ready(&world, &restored, "late").await;
    world.pass(HOUR);
    let again = restore(&world, &second, "again");
    assert_eq!(again.login_host(unknown.host, &unknown.password), Err(NoLogin::Newer));
    assert_eq!(again.login_host(late.host, &late.password), Err(NoLogin::Newer));
    assert_eq!(again.login_host(deleted.host, &deleted.password), Err(NoLogin::Unknown));
    assert_eq!(again.newcomers().len(), 2);
    let at = again.newcomers().iter().find(|it| it.host == unknown.host).unwrap().enrolled_at;
    let host = again.take_in(unknown.host, at, by()).await.unwrap();
    assert_eq!((host.id, host.name.as_str()), (unknown.host, "attic"));
    assert_eq!(again.login_host(unknown.host, &unknown.password), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incarnation_is_above_what_is_asked_for_and_above_what_the_archive_knows() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let archive = archive(&fleet);
    let restored = |name: &str, wish| {
        let to = archive.folder.path().join(name);
        let from = archive.folder.path().join("archive.age");
        fleet::restore_as(&from, &archive.opener, &to, world.driver(), wish)
    };
    let far = Incarnation(3_000_000_000_000_000);
    let after = restored("after", RestoreAs { above: far, ..RestoreAs::default() }).unwrap();
    // What it has from its archive is of this very instant, so that only what was drawn is added.
    assert!((far.next()..Incarnation(far.0 + 1_001)).contains(&after.incarnation), "{}", after.incarnation);
    let low = restored("low", RestoreAs { above: Incarnation(7), ..RestoreAs::default() }).unwrap();
    assert_eq!(instant(low.incarnation), world.now(), "it only raises");

    // A clock that is behind what the archive knows makes no lower one.
    let now = world.now();
    world.set(Timestamp(now.0 - 48 * HOUR));
    let refused = restored("behind", RestoreAs::default()).unwrap_err().to_string();
    assert!(refused.contains("2880 minutes") && refused.contains("--clock-is-right"), "{refused}");
    assert!(!archive.folder.path().join("behind").exists(), "nothing is written");
    let right = RestoreAs { is_clock_right: true, ..RestoreAs::default() };
    let mut numbers = Vec::new();
    for nth in 0..4 {
        world.set(Timestamp(now.0 - 48 * HOUR + nth * 1_000));
        let behind = restored(&format!("behind-{nth}"), right).unwrap().incarnation;
        assert!(now.0 * 1_000 <= behind.0 && behind.0 < (now.0 + HOUR) * 1_000, "{behind}");
        numbers.push(behind);
    }
    assert!(numbers.is_sorted_by(|one, other| one < other), "the later one counts: {numbers:?}");
    world.set(Timestamp(now.0 - 60_000));
    let little = restored("little", RestoreAs::default()).unwrap();
    assert!(now.0 * 1_000 <= little.incarnation.0, "clocks of two machines differ");

    // One that is years ahead has to be spoken for.
    world.set(Timestamp(now.0 + 3 * 366 * 24 * HOUR));
    let refused = restored("ahead", RestoreAs::default()).unwrap_err().to_string();
    assert!(refused.contains("1098 days old") && refused.contains("--clock-is-right"), "{refused}");
    assert!(!archive.folder.path().join("ahead").exists(), "nothing is written");
    let ahead = restored("ahead", right).unwrap();
    assert_eq!(instant(ahead.incarnation), world.now());
}

/// Both would serve the same agents, and neither would be the old one.
#[tokio::test(flavor = "multi_thread")]
async fn two_restores_of_one_moment_are_two_incarnations() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let archive = archive(&fleet);
    let mut numbers = BTreeSet::new();
    for n in 0..3 {
        let to = archive.folder.path().join(format!("restored-{n}"));
        let from = archive.folder.path().join("archive.age");
        let restored = fleet::restore(&from, &archive.opener, &to, world.driver()).unwrap();
        assert_eq!(instant(restored.incarnation), world.now());
        numbers.insert(restored.incarnation);
    }
    assert_eq!(numbers.len(), 3, "{numbers:?}");
}

/// Agents of the server that has its place would leave that one: whoever makes it anew has to hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_makes_a_server_anew_that_stood_still_hears_who_has_its_place() {
    let world = World::new();
    let (folder, fleet) = begun(&world);
    let first = archive(&fleet);
    let (file, place) = (first.folder.path().join("archive.age"), first.folder.path().join("promoted"));
    let promotion = Promotion {
        predecessor: Predecessor { url: "http://127.0.0.1:1".to_owned(), authority: None, plain: true },
        recipient: "age1x".to_owned(),
        server: None,
    };
    let as_now = (world.driver(), RestoreAs::default());
    let promoted = fleet::promote(&file, &first.opener, &place, as_now, &promotion).unwrap();
    assert_eq!(promoted.succession, None);
    let successor = Fleet::open(place.as_path(), settings(), world.driver()).unwrap();
    let (_, sealed) = successor.statement("http://127.0.0.1:2").unwrap().unwrap();
    fleet.hear_of_successor(&sealed, by()).await.unwrap();
    let second = archive(&fleet);
    fleet.shutdown().await;
    drop(fleet);
    let by_number = Some(promoted.incarnation);
    let looked = |archive: &std::path::Path, opener: &ArchiveOpener| {
        fleet::look_through(std::fs::File::open(archive).unwrap(), opener).unwrap()
    };
    assert_eq!(looked(&file, &first.opener).succeeded_by, None);
    assert_eq!(looked(&second.folder.path().join("archive.age"), &second.opener).succeeded_by, by_number);
    let to = second.folder.path().join("restored");
    let restored =
        fleet::restore(&second.folder.path().join("archive.age"), &second.opener, &to, world.driver());
    assert_eq!(restored.unwrap().succession.map(|it| it.incarnation), by_number);
    let salvaged =
        fleet::salvage(&Pieces::from(folder.path()), &second.folder.path().join("salvaged"), world.driver());
    assert_eq!(salvaged.unwrap().succession.map(|it| it.incarnation), by_number);
}

/// The instant that an incarnation tells.
fn instant(Incarnation(number): Incarnation) -> Timestamp {
    Timestamp(number / 1_000)
}

/// It says nothing of incarnations: what it has taken of this server is not sent again at each hello.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_an_earlier_development_state_comes_back_once() {
    let world = World::new();
    let (_folder, fleet) = begun(&world);
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, JobRequest::Stats, by()).await.unwrap();
    let archive = archive(&fleet);
    agent.take_all();
    agent.finish(job.id, Outcome::Succeeded, Summary::None).await;
    world.pass(HOUR);
    let restored = restore(&world, &archive, "restored");
    agent.fleet = restored.clone();
    let hello = async |agent: &mut Agent| {
        agent.epoch = agent.epoch.next();
        let payload = agent.earlier_hello_bytes();
        restored.handle_presence(agent.host, &payload, "198.51.100.7:5000").await.unwrap();
    };
    hello(&mut agent).await;
    assert_eq!(agent.waiting(), 0, "what was taken before goes out again");
    assert_eq!(lines(&restored, AuditAction::HostReturned).len(), 1);
    let next = restored.dispatch(agent.host, JobRequest::Stats, by()).await.unwrap();
    assert_eq!(agent.take_all().len(), 1);
    agent.report(ReportBody::Accepted { job: next.id, behind: 0 }).await;
    hello(&mut agent).await;
    assert_eq!((agent.waiting(), lines(&restored, AuditAction::HostReturned).len()), (0, 1));
    agent.finish(next.id, Outcome::Succeeded, Summary::None).await;
    assert_eq!(agent.job(next.id).state, JobState::Succeeded);
}
