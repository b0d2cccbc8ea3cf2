use crate::support::{Agent, Got, audited, backup, by, credentials, hourly, in_memory, saved};
use fleet::record::JobState;
use fleet::{AuditFilter, JobRequest, Page, Reason};
use schema::command::Over;
use schema::job::BackupSpec;
use schema::plan::PlannedSchedule;
use schema::{
    CommandSeq, Epoch, HeldJob, HeldPhase, HostTopic, Items, Outcome, PlanRevision, Report, ReportBody,
    ReportSeq, Slot, SlotRevision, Stream, Summary, Timestamp,
};

#[tokio::test]
async fn a_hello_brings_a_host_online_with_its_facts() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::enrolled(&world, &fleet, "attic").await;
    let mut changes = fleet.changes();
    agent.hello(&[]).await;
    let presence = fleet.read().unwrap().presence(agent.host).unwrap();
    assert!(presence.online);
    assert_eq!((presence.epoch, presence.changed_at), (Epoch(1), Some(world.now())));
    assert_eq!(agent.record().facts.unwrap().restic_version, "0.18.0");
    assert_eq!(changes.recv().await.unwrap().what, fleet::Changed::Host(agent.host));
}

#[tokio::test]
async fn a_late_will_of_an_older_connection_means_nothing() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let old = agent.epoch;
    agent.hello(&[]).await;
    agent.gone(old).await;
    assert!(fleet.read().unwrap().presence(agent.host).unwrap().online);
    agent.gone(agent.epoch).await;
    assert!(!fleet.read().unwrap().presence(agent.host).unwrap().online);
    // An old hello does not bring it back.
    let stale = agent.hello_bytes(&[]);
    fleet.handle_presence(agent.host, &stale, "").await.unwrap();
    assert!(!fleet.read().unwrap().presence(agent.host).unwrap().online);
}

#[tokio::test]
async fn a_connection_that_ends_without_a_word_leaves_its_host_offline() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let mut changes = fleet.changes();
    fleet.connection_ended(agent.host).await;
    assert!(!fleet.read().unwrap().presence(agent.host).unwrap().online);
    assert_eq!(changes.recv().await.unwrap().what, fleet::Changed::Host(agent.host));
    // Twice is once, and a host that is not there is none.
    fleet.connection_ended(agent.host).await;
    fleet.connection_ended(schema::HostId([9; 16])).await;
    assert!(changes.try_recv().is_err());
    agent.hello(&[]).await;
    assert!(fleet.read().unwrap().presence(agent.host).unwrap().online);
}

#[tokio::test]
async fn the_same_hello_again_changes_nothing() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
    let commits = fleet.writer_counts().commits;
    let handled = fleet.handle_presence(agent.host, &agent.hello_bytes(&[]), "").await.unwrap();
    assert_eq!(handled, fleet::Handled::default());
    assert_eq!(agent.job(job.id).state, JobState::Accepted);
    assert_eq!(fleet.writer_counts().commits, commits, "nothing is written");
}

#[tokio::test]
async fn a_job_that_is_neither_held_nor_reported_is_lost_and_what_waits_is_not() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let running = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Accepted { job: running.id, behind: 0 }).await;
    agent.report(ReportBody::Started { job: running.id }).await;
    let waiting = fleet.dispatch(agent.host, JobRequest::Stats, by()).await.unwrap();
    fleet.command_sent(agent.host, waiting.command_seq).await;
    let handled = agent.hello(&[]).await;
    assert!(handled.wake);
    let lost = agent.job(running.id);
    assert_eq!((lost.state, lost.presumed), (JobState::Lost, true));
    assert_eq!(agent.job(waiting.id).state, JobState::Sent);
    assert!(matches!(agent.take_all()[..], [Got::Run { .. }]), "it is sent again");
}

#[tokio::test]
async fn a_held_job_goes_on_and_a_result_in_the_journal_is_waited_for() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let held = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    let ended = fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
    let gone = fleet.dispatch(agent.host, JobRequest::Stats, by()).await.unwrap();
    agent.take_all();
    for job in [&held, &ended, &gone] {
        agent.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
    }
    // Two reports are written while the connection is away.
    agent.reports = agent.reports.plus(2);
    agent.hello(&[HeldJob { job: held.id, phase: HeldPhase::Running, group: None }]).await;
    for job in [&held, &ended, &gone] {
        assert_eq!(agent.job(job.id).state, JobState::Accepted);
    }
    let first = agent.report_bytes(agent.reports.previous(), ReportBody::Started { job: held.id });
    fleet.handle_report(agent.host, &first, "").await.unwrap();
    assert_eq!(agent.job(gone.id).state, JobState::Accepted, "one more is on its way");
    let finished = crate::support::finished(ended.id, Outcome::Succeeded, world.now(), Summary::None);
    let second = agent.report_bytes(agent.reports, ReportBody::Finished(finished));
    fleet.handle_report(agent.host, &second, "").await.unwrap();
    assert_eq!(agent.job(held.id).state, JobState::Running);
    assert_eq!(agent.job(ended.id).state, JobState::Succeeded);
    assert_eq!(agent.job(gone.id).state, JobState::Lost);
}

#[tokio::test]
async fn changed_credentials_are_pushed_once() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::enrolled(&world, &fleet, "attic").await;
    agent.hello(&[]).await;
    assert!(agent.take_all().is_empty(), "nothing is set");
    fleet.put_credentials(agent.host, Slot::Repo, credentials(), by()).await.unwrap();
    agent.hello(&[]).await;
    assert_eq!(agent.waiting(), 1, "the command of the change waits already");
    agent.take_all();
    agent
        .report(ReportBody::ConfigApplied { slot: Slot::Repo, revision: SlotRevision(1), refused: None })
        .await;
    assert_eq!(
        fleet.read().unwrap().credentials(agent.host, Slot::Repo).unwrap().unwrap().held_revision,
        SlotRevision(1)
    );
    agent.hello(&[]).await;
    assert_eq!(agent.waiting(), 0);
    // The agent lost its state folder's credentials.
    agent.repo_revision = SlotRevision::ZERO;
    agent.hello(&[]).await;
    assert!(matches!(
        agent.take_all()[..],
        [Got::Config { slot: Slot::Repo, revision: SlotRevision(1), for_job: None, .. }]
    ));
}

#[tokio::test]
async fn an_absurd_revision_of_credentials_is_not_followed() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    for revision in [u64::MAX, u64::MAX - 1, 1 << 48] {
        agent.repo_revision = SlotRevision(revision);
        agent.hello(&[]).await;
        assert!(
            matches!(agent.take_all()[..], [Got::Config { revision: SlotRevision(1), .. }]),
            "{revision}: what the server has is sent as it is"
        );
    }
    fleet.put_credentials(agent.host, Slot::Repo, credentials(), by()).await.unwrap();
    assert!(matches!(agent.take_all()[..], [Got::Config { revision: SlotRevision(2), .. }]));
}

#[tokio::test]
async fn an_agent_that_is_ahead_of_a_restored_server_gets_numbers_it_takes() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.taken = CommandSeq(500);
    agent.repo_revision = SlotRevision(40);
    agent.hello(&[]).await;
    let got = agent.take_all();
    assert!(
        matches!(
            got[..],
            [
                Got::Run { seq: CommandSeq(501), .. },
                Got::Config { seq: CommandSeq(502), revision: SlotRevision(41), .. }
            ]
        ),
        "{got:?}"
    );
    agent.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
    assert_eq!((agent.job(job.id).state, agent.waiting()), (JobState::Accepted, 0));
}

#[tokio::test]
async fn an_agent_that_lost_what_it_acknowledged_gets_it_again() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    agent.report(ReportBody::Dropped).await;
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    fleet.command_delivered(agent.host, job.command_seq).await;
    assert_eq!(agent.waiting(), 0, "acknowledged commands are not handed out again");
    let handled = agent.hello(&[]).await;
    assert!(handled.rewound && handled.wake);
    assert!(matches!(agent.take_all()[..], [Got::Run { .. }]));
    let handled = agent.hello(&[]).await;
    assert!(!handled.rewound);
}

#[tokio::test]
async fn a_server_that_starts_again_knows_nobody_to_be_online() {
    let folder = tempfile::tempdir().unwrap();
    let world = crate::support::World::new();
    let open = || fleet::Fleet::open(folder.path(), crate::support::settings(), world.driver()).unwrap();
    let mut agent = Agent::ready(&world, &open(), "attic").await;
    let seen_at = world.now();
    agent.fleet.shutdown().await;
    agent.fleet = {
        let in_memory = fleet::Fleet::in_memory(crate::support::settings(), world.driver()).unwrap();
        drop(std::mem::replace(&mut agent.fleet, in_memory));
        world.pass(60_000);
        open()
    };
    let presence = agent.fleet.read().unwrap().presence(agent.host).unwrap();
    assert_eq!((presence.online, presence.changed_at), (false, Some(seen_at)));
    agent.hello(&[]).await;
    assert!(agent.fleet.read().unwrap().presence(agent.host).unwrap().online);
}

#[tokio::test]
async fn what_this_very_connection_acknowledged_before_its_hello_was_stored_is_no_step_back() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    fleet.connection_began(agent.host);
    // The gate sends the command at once, and the acknowledgement overtakes the hello, which was written before.
    fleet.command_delivered(agent.host, job.command_seq).await;
    assert!(!agent.hello(&[]).await.rewound);
    fleet.command_delivered(agent.host, job.command_seq).await;
    // The next connection comes from an agent that has not taken it after all.
    fleet.connection_began(agent.host);
    assert!(agent.hello(&[]).await.rewound);
}

#[tokio::test]
async fn two_machines_with_one_identity_are_kept_out_and_a_machine_that_boots_is_not() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let host = agent.host;
    let filter = AuditFilter { action: Some("host.quarantined".into()), ..AuditFilter::default() };
    let told = || fleet.read().unwrap().audit(&filter, &Page::default()).unwrap().items;
    // Each boot has an id of its own, and a connection may come again.
    for boot in 4..7 {
        agent.boot_id = [boot; 16];
        agent.hello(&[]).await;
        agent.hello(&[]).await;
    }
    // The agent moved to another machine.
    agent.installation = schema::InstallationId([9; 16]);
    agent.hello(&[]).await;
    assert_eq!(told(), []);
    assert!(!fleet.is_quarantined(host));
    // The machine that it was copied from comes back.
    let copies = [schema::InstallationId([8; 16]), schema::InstallationId([9; 16])];
    let mut meet = async |turns: usize| {
        let mut kept_out = false;
        for turn in 0..turns {
            agent.installation = copies[turn % 2];
            fleet.connection_began(host);
            kept_out = agent.hello(&[]).await.kept_out;
            world.pass(1_000);
        }
        kept_out
    };
    assert!(!meet(1).await, "it may have been moved again");
    assert!(meet(3).await);
    let presence = || fleet.read().unwrap().presence(host).unwrap();
    let quarantine = presence().quarantine.unwrap();
    assert_eq!(quarantine.twins.clone().map(|twin| twin.machine.installation), [copies[0], copies[1]]);
    assert!(fleet.is_quarantined(host) && !presence().online);
    let row = fleet.read().unwrap().host_row(host).unwrap();
    assert_eq!(row.reason, Reason::Quarantine { since: quarantine.since });
    // Whoever comes changes nothing, and it is said once.
    assert!(meet(10).await);
    assert_eq!(presence().quarantine.unwrap(), quarantine);
    let entries = told();
    assert_eq!(entries.len(), 1);
    assert!(
        entries[0].detail.contains("a disk or an agent's state folder was copied"),
        "{}",
        entries[0].detail
    );

    // Lifted, while the copy is still there; then it is gone.
    fleet.lift_quarantine(host, by()).await.unwrap();
    assert!(meet(3).await && fleet.is_quarantined(host));
    fleet.lift_quarantine(host, by()).await.unwrap();
    fleet.lift_quarantine(host, by()).await.unwrap();
    assert!(!meet(1).await && !meet(1).await && presence().online);
    assert_eq!(told().len(), 2);
}

/// The program of the commit 9245fd3, whose hellos and ends of jobs say less.
#[tokio::test]
async fn an_agent_of_an_earlier_development_state_is_served_in_its_own_words() {
    type Clock = Option<(Epoch, Timestamp)>;
    type Ack = (u8, Stream, ReportSeq, Clock, Option<Over>);
    type Plan<'a> = (PlanRevision, bool, &'a str, Items<'a, BackupSpec<'a>>, Items<'a, PlannedSchedule<'a>>);
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_schedule(agent.host, None, hourly("hourly"), by()).await.unwrap();
    assert_eq!(agent.planned(), (false, 1));
    let mut changes = fleet.changes();

    agent.epoch = agent.epoch.next();
    let hello = agent.earlier_hello_bytes();
    let handled = fleet.handle_presence(agent.host, &hello, "198.51.100.7:5000").await.unwrap();
    let answer = agent.open(handled.reply.as_ref().unwrap());
    let (_, stream, through, clock, refused): Ack = schema::decode(&answer).unwrap();
    assert_eq!((stream, through, refused), (agent.stream, agent.reports, None));
    assert_eq!(clock, Some((agent.epoch, world.now())));
    assert!(fleet.read().unwrap().presence(agent.host).unwrap().online);
    assert_eq!(agent.record().facts.unwrap().abilities, None, "it says nothing of them");
    let standing = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert!(standing.has_old_agent());
    // The plan that it was sent before, it did not understand.
    let mut told = Vec::new();
    while let Ok(change) = changes.try_recv() {
        told.push(change.what);
    }
    assert!(told.contains(&fleet::Changed::Plan(agent.host)), "{told:?}");
    let plan = agent.open_of(HostTopic::Plan, &fleet.plan(agent.host).unwrap());
    let (revision, is_held, restic_host, groups, schedules): Plan<'_> = schema::decode(&plan).unwrap();
    assert!(revision > PlanRevision::ZERO && !is_held);
    assert_eq!((restic_host, groups.count(), schedules.count()), ("attic", 1, 1));

    // It runs what it is told to.
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap().id;
    assert_eq!(agent.take_all().len(), 1);
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    agent.report(ReportBody::Started { job }).await;
    agent.reports = agent.reports.next();
    let body =
        ReportBody::Finished(crate::support::finished(job, Outcome::Succeeded, agent.clock(), saved()));
    let report =
        Report { stream: agent.stream, seq: agent.reports, taken: agent.taken, at: agent.clock(), body };
    let mut room = [0; 1024];
    let grown = schema::encode(&report, &mut room).unwrap();
    let (earlier, [0, 0]) = grown.split_last_chunk().unwrap() else { panic!("neither kind nor group") };
    let payload = agent.seal_bytes(HostTopic::Evt, earlier);
    let handled = fleet.handle_report(agent.host, &payload, "198.51.100.7:5000").await.unwrap();
    agent.take_ack(&handled);
    assert_eq!(agent.acked, agent.reports);
    assert_eq!(agent.job(job).state, JobState::Succeeded);
    assert_eq!(audited(&fleet, "agent.odd"), []);

    // It is updated.
    while changes.try_recv().is_ok() {}
    agent.hello(&[]).await;
    assert_eq!(agent.planned(), (false, 1));
    let mut told = Vec::new();
    while let Ok(change) = changes.try_recv() {
        told.push(change.what);
    }
    assert!(told.contains(&fleet::Changed::Plan(agent.host)), "{told:?}");
    let standing = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert!(!standing.has_old_agent());
}
