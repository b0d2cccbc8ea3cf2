use crate::support::{Agent, Got, HOUR_MS, backup, by, credentials, group, in_memory};
use fleet::record::{Group, JobState, JobWhat, Retention};
use fleet::{Fleet, JobRequest, Refused};
use schema::{CommandSeq, HostId, JobKind, Outcome, Slot};

async fn refusal(fleet: &Fleet, host: HostId, request: JobRequest) -> Option<&'static str> {
    let blocked = fleet.read().unwrap().blocked(host, &request).unwrap().map(|refused| refused.code());
    let answer = fleet.dispatch(host, request, by()).await;
    assert_eq!(answer.as_ref().err().map(Refused::code), blocked, "buttons and dispatch say the same");
    blocked
}

#[tokio::test]
async fn each_check_has_its_refusal_in_the_order_in_which_a_person_can_mend_it() {
    let (world, fleet) = in_memory();
    assert_eq!(refusal(&fleet, HostId([9; 16]), backup("etc")).await, Some("host_not_found"));
    let (host, token) = fleet.create_host("attic", vec![], by()).await.unwrap();
    assert_eq!(refusal(&fleet, host.id, backup("etc")).await, Some("host_not_enrolled"));
    let installation = schema::InstallationId([1; 16]);
    let mut agent = Agent::with_token(&world, &fleet, token.text.expose(), installation).await;
    assert_eq!(refusal(&fleet, host.id, backup("etc")).await, Some("host_offline"));
    agent.hello(&[]).await;
    assert_eq!(refusal(&fleet, host.id, backup("etc")).await, Some("repo_creds_required"));
    fleet.put_credentials(host.id, Slot::Repo, credentials(), by()).await.unwrap();
    assert_eq!(refusal(&fleet, host.id, backup("etc")).await, Some("group_not_found"));
    assert_eq!(refusal(&fleet, host.id, JobRequest::Prune).await, Some("admin_creds_required"));
    assert_eq!(refusal(&fleet, host.id, JobRequest::Forget).await, Some("invalid_input"));
    fleet.put_group(host.id, None, group("etc"), by()).await.unwrap();
    assert_eq!(refusal(&fleet, host.id, backup("etc")).await, None);
    assert_eq!(refusal(&fleet, host.id, backup("etc")).await, Some("job_in_progress"));
    assert_eq!(refusal(&fleet, host.id, JobRequest::Probe).await, None);
    assert_eq!(refusal(&fleet, host.id, JobRequest::Unlock { all: None }).await, None);
    assert_eq!(fleet.read().unwrap().open_jobs(host.id).unwrap().len(), 3);
}

#[tokio::test]
async fn a_second_backup_of_the_group_is_refused_with_the_first_ones_id_until_that_ends() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_group(agent.host, None, group("home"), by()).await.unwrap();
    let first = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    match fleet.dispatch(agent.host, backup("etc"), by()).await {
        Err(Refused::JobInProgress { job }) => assert_eq!(job, first.id),
        other => panic!("{other:?}"),
    }
    fleet.dispatch(agent.host, backup("home"), by()).await.unwrap();
    agent.take_all();
    agent.finish(first.id, Outcome::Failed, schema::Summary::None).await;
    fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
}

#[tokio::test]
async fn two_backups_asked_in_the_same_moment_are_one_job_and_one_refusal() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    let (one, two) = tokio::join!(
        fleet.dispatch(agent.host, backup("etc"), by()),
        fleet.dispatch(agent.host, backup("etc"), by())
    );
    assert!(one.is_ok() != two.is_ok());
}

#[tokio::test]
async fn a_job_moves_with_what_the_agent_reports_and_its_audit_names_who_asked() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    assert_eq!((job.state, job.what.clone()), (JobState::Queued, JobWhat::Backup { group: "etc".into() }));
    let frames = fleet.commands_after(agent.host, CommandSeq::ZERO, 10);
    fleet.command_sent(agent.host, frames[0].0).await;
    assert_eq!(agent.job(job.id).state, JobState::Sent);
    assert!(matches!(agent.take_all()[..], [Got::Run { kind: JobKind::Backup, .. }]));
    agent.report(schema::ReportBody::Accepted { job: job.id, behind: 0 }).await;
    assert_eq!(agent.job(job.id).state, JobState::Accepted);
    assert_eq!(agent.waiting(), 0, "what was taken leaves the outbox");
    agent.report(schema::ReportBody::Started { job: job.id }).await;
    assert_eq!(agent.job(job.id).state, JobState::Running);
    agent.finish(job.id, Outcome::Succeeded, crate::support::saved()).await;
    let ended = agent.job(job.id);
    assert_eq!((ended.state, ended.presumed), (JobState::Succeeded, false));
    let read = fleet.read().unwrap();
    assert!(read.open_jobs(agent.host).unwrap().is_empty());
    assert_eq!(read.latest_job(agent.host, JobKind::Backup).unwrap().unwrap().id, job.id);
    assert_eq!(read.last_good_backup(agent.host, Some("etc")).unwrap().unwrap().id, job.id);
    let entry = read.audit(&fleet::AuditFilter::default(), &fleet::Page::default()).unwrap().items.remove(0);
    assert_eq!(
        (entry.action.code(), entry.actor.name(), entry.peer.as_str()),
        ("job.backup", "ada", "192.0.2.1")
    );
}

#[tokio::test]
async fn a_prune_brings_the_admin_slot_for_itself_alone() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_credentials(agent.host, Slot::Admin, credentials(), by()).await.unwrap();
    agent.take_all();
    let job = fleet.dispatch(agent.host, JobRequest::Prune, by()).await.unwrap();
    match &agent.take_all()[..] {
        [Got::Config { slot: Slot::Admin, for_job: Some(for_job), .. }, Got::Run { job: run, .. }] => {
            assert_eq!((*for_job, *run), (job.id, job.id));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn forget_names_only_groups_with_a_rule() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let keep = Retention { daily: 7, ..Retention::default() };
    fleet.put_group(agent.host, None, Group { keep, ..group("home") }, by()).await.unwrap();
    agent.lists_nothing().await;
    let job = fleet.dispatch(agent.host, JobRequest::Forget, by()).await.unwrap();
    let JobWhat::Forget { groups, .. } = job.what else { panic!() };
    assert_eq!(groups.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["home"]);
}

#[tokio::test]
async fn an_exclusive_job_and_any_job_of_another_host_on_the_same_repository_exclude_each_other() {
    let (world, fleet) = in_memory();
    let mut one = Agent::ready(&world, &fleet, "one").await;
    let mut two = Agent::ready(&world, &fleet, "two").await;
    let other = Agent::ready(&world, &fleet, "other").await;
    let elsewhere =
        fleet::record::CredentialsInput { url: "rest:http://box.example/b".into(), ..credentials() };
    fleet.put_credentials(other.host, Slot::Repo, elsewhere, by()).await.unwrap();
    let shared = schema::RepoId([5; 32]);
    for agent in [&mut one, &mut two] {
        let job = fleet.dispatch(agent.host, JobRequest::Init, by()).await.unwrap();
        agent.take_all();
        agent.finish(job.id, Outcome::Succeeded, schema::Summary::Init { repo: shared }).await;
    }
    let check = JobRequest::Check { subset_pct: Some(200) };
    let running = fleet.dispatch(one.host, backup("etc"), by()).await.unwrap();
    assert_eq!(refusal(&fleet, two.host, check.clone()).await, Some("repo_busy"));
    assert_eq!(refusal(&fleet, two.host, backup("etc")).await, None, "two backups are welcome");
    let second = two.fleet.read().unwrap().open_jobs(two.host).unwrap().remove(0);
    one.take_all();
    two.take_all();
    one.finish(running.id, Outcome::Succeeded, schema::Summary::None).await;
    two.finish(second.id, Outcome::Succeeded, schema::Summary::None).await;
    let exclusive = fleet.dispatch(two.host, check.clone(), by()).await.unwrap();
    assert_eq!(exclusive.what, JobWhat::Check { subset_pct: 100 });
    assert_eq!(refusal(&fleet, one.host, backup("etc")).await, Some("repo_busy"));
    assert_eq!(refusal(&fleet, one.host, JobRequest::Unlock { all: None }).await, None);
    assert_eq!(refusal(&fleet, other.host, backup("etc")).await, None, "another repository");
    assert_eq!(
        refusal(&fleet, two.host, backup("etc")).await,
        None,
        "its own agent runs one after the other"
    );
    assert_eq!(refusal(&fleet, two.host, check).await, Some("job_in_progress"));
}

#[tokio::test]
async fn a_full_outbox_refuses_and_loses_nothing() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    // All at once, so that they share commits.
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..10_050 {
        let (fleet, host) = (fleet.clone(), agent.host);
        asked.spawn(async move { fleet.dispatch(host, JobRequest::Probe, by()).await });
    }
    let (mut jobs, mut refused) = (Vec::new(), Vec::new());
    while let Some(answer) = asked.join_next().await {
        match answer.unwrap() {
            Ok(job) => jobs.push(job.id),
            Err(why) => refused.push(why.code()),
        }
    }
    jobs.sort();
    assert_eq!((refused, jobs.len()), (vec!["queue_full"; 50], 10_000));
    // Credentials can be changed nevertheless; the next hello brings them.
    fleet.put_credentials(agent.host, Slot::Repo, credentials(), by()).await.unwrap();
    let got: Vec<_> = agent
        .take_all()
        .into_iter()
        .map(|got| match got {
            Got::Run { job, .. } => job,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(got, jobs, "none lost, none doubled, in order");
    agent.report(schema::ReportBody::Dropped).await;
    // None of them was answered, so all go out again under new numbers.
    assert_eq!(agent.waiting(), 10_000);
}

#[tokio::test]
async fn a_job_that_was_never_sent_is_cancelled_at_once_and_its_number_stays() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    let after = fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
    agent.gone(agent.epoch).await;
    let cancelled = fleet.cancel(job.id, by()).await.unwrap();
    assert_eq!(cancelled.state, JobState::Cancelled);
    assert!(matches!(fleet.cancel(job.id, by()).await, Err(Refused::JobEnded)));
    agent.hello(&[]).await;
    match &agent.take_all()[..] {
        [Got::Cancel { seq: first, job: gone }, Got::Run { seq: second, job: run, .. }] => {
            assert_eq!((*gone, *run, *second), (job.id, after.id, first.next()));
        }
        other => panic!("{other:?}"),
    }
    agent.report(schema::ReportBody::CancelMissed { job: job.id }).await;
    assert_eq!(agent.job(job.id).state, JobState::Cancelled);
}

#[tokio::test]
async fn a_job_that_was_sent_is_cancelled_when_the_agent_says_so() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    fleet.command_sent(agent.host, job.command_seq).await;
    agent.gone(agent.epoch).await;
    let asked = fleet.cancel(job.id, by()).await.unwrap();
    // Nobody waits for a machine that can't be asked.
    assert_eq!((asked.state, asked.cancel_asked_at), (JobState::Cancelled, Some(world.now())));
    assert!(asked.presumed);
    assert!(matches!(fleet.cancel(job.id, by()).await, Err(Refused::JobEnded)));
    agent.hello(&[]).await;
    let got = agent.take_all();
    assert!(matches!(&got[..], [Got::Run { .. }, Got::Cancel { .. }]), "asked twice, sent once: {got:?}");
    agent.finish(job.id, Outcome::Cancelled, schema::Summary::None).await;
    let ended = agent.job(job.id);
    assert_eq!((ended.state, ended.presumed, ended.late), (JobState::Cancelled, false, true));
    assert!(matches!(fleet.cancel(schema::JobId([9; 16]), by()).await, Err(Refused::JobNotFound)));
}

#[tokio::test]
async fn a_session_that_was_faster_than_a_cancel_has_its_job_cancelled_again() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    let frames = fleet.commands_after(agent.host, CommandSeq::ZERO, 10);
    agent.gone(agent.epoch).await;
    fleet.cancel(job.id, by()).await.unwrap();
    // The frame of before is on its way nevertheless.
    agent.hello(&[]).await;
    agent.take(frames[0].0, &frames[0].1);
    agent.report(schema::ReportBody::Accepted { job: job.id, behind: 0 }).await;
    let got = agent.take_all();
    assert!(matches!(&got[..], [Got::Cancel { .. }]), "{got:?}");
    agent.finish(job.id, Outcome::Succeeded, schema::Summary::None).await;
    assert_eq!(agent.job(job.id).state, JobState::Succeeded, "the truth counts");
}

#[tokio::test]
async fn a_host_with_a_wire_problem_refuses_until_a_hello_is_understood() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let mut strange = agent.hello_bytes(&[]);
    strange[0] = 9;
    let handled = fleet.handle_presence(agent.host, &strange, "").await.unwrap();
    assert_eq!(handled.reply.as_deref(), Some(&[0, schema::MIN, schema::CURRENT][..]));
    assert_eq!(refusal(&fleet, agent.host, backup("etc")).await, Some("wire_unsupported"));
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert_eq!((row.status, row.presence.wire_problem.as_ref().unwrap().version), (fleet::Status::Failed, 9));
    assert_eq!(fleet.handle_presence(agent.host, &[0, 2, 3], "").await.unwrap().reply, None);
    agent.hello(&[]).await;
    assert_eq!(refusal(&fleet, agent.host, backup("etc")).await, None);
}

#[tokio::test]
async fn what_never_left_fails_when_its_time_is_over() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let never_sent = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    world.pass(11 * HOUR_MS);
    fleet.sweep().await;
    assert_eq!(agent.job(never_sent.id).state, JobState::Queued);
    agent.gone(agent.epoch).await;
    world.pass(2 * HOUR_MS);
    fleet.sweep().await;
    let job = agent.job(never_sent.id);
    assert_eq!((job.state, job.presumed), (JobState::Failed, true));
    assert!(!job.message.is_empty());
    // The agent refuses it as expired when it comes back: nothing changes, nothing is stuck.
    agent.hello(&[]).await;
    agent.take_all();
    let body = schema::ReportBody::Refused { job: job.id, reason: schema::Refusal::Expired, detail: "" };
    agent.report(body).await;
    assert_eq!((agent.job(job.id).state, agent.waiting()), (JobState::Failed, 0));
}

#[tokio::test]
async fn a_running_job_of_a_host_that_is_away_is_given_up_after_a_week_and_corrected_by_its_result() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    fleet.command_sent(agent.host, job.command_seq).await;
    agent.take_all();
    agent.report(schema::ReportBody::Accepted { job: job.id, behind: 0 }).await;
    agent.report(schema::ReportBody::Started { job: job.id }).await;
    agent.gone(agent.epoch).await;
    world.pass(6 * 24 * HOUR_MS);
    fleet.sweep().await;
    assert_eq!(agent.job(job.id).state, JobState::Running);
    world.pass(2 * 24 * HOUR_MS);
    fleet.sweep().await;
    assert_eq!(agent.job(job.id).state, JobState::Lost);
    let held = schema::HeldJob { job: job.id, phase: schema::HeldPhase::Running, group: None };
    agent.hello(&[held]).await;
    assert_eq!(agent.job(job.id).state, JobState::Running, "it runs after all");
    agent.finish(job.id, Outcome::Succeeded, schema::Summary::None).await;
    assert_eq!(agent.job(job.id).state, JobState::Succeeded);
    assert!(fleet.read().unwrap().open_jobs(agent.host).unwrap().is_empty());
}

#[tokio::test]
async fn a_dry_run_of_a_forget_takes_no_admin_credentials_keeps_nobody_waiting_and_counts_for_nothing() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let host = agent.host;
    let keep = Retention { daily: 7, ..Retention::default() };
    let dry =
        |keep: Option<&Retention>| JobRequest::ForgetDryRun { group: "etc".into(), keep: keep.cloned() };
    assert_eq!(refusal(&fleet, host, dry(None)).await, Some("invalid_input"), "the group has no rule");
    let nonsense = Retention { within: "1 week".into(), ..Retention::default() };
    assert_eq!(refusal(&fleet, host, dry(Some(&nonsense))).await, Some("invalid_input"));
    let none = JobRequest::ForgetDryRun { group: "none".into(), keep: Some(keep.clone()) };
    assert_eq!(refusal(&fleet, host, none).await, Some("group_not_found"));
    fleet.put_credentials(host, Slot::Admin, credentials(), by()).await.unwrap();
    agent.take_all();
    let job = fleet.dispatch(host, dry(Some(&keep)), by()).await.unwrap();
    assert!(matches!(&agent.take_all()[..], [Got::Run { job: run, .. }] if *run == job.id), "no admin slot");
    assert_eq!(refusal(&fleet, host, dry(Some(&keep))).await, Some("job_in_progress"), "a double click");
    let other = Retention { daily: 8, ..Retention::default() };
    assert_eq!(refusal(&fleet, host, dry(Some(&other))).await, None);
    fleet.put_group(host, Some("etc"), Group { keep, ..group("etc") }, by()).await.unwrap();
    assert_eq!(
        refusal(&fleet, host, JobRequest::Forget).await,
        Some("held"),
        "what is there is not listed yet"
    );
    agent.lists_nothing().await;
    assert_eq!(refusal(&fleet, host, JobRequest::Forget).await, None);
    let latest = fleet.read().unwrap().latest_job(host, JobKind::Forget).unwrap().unwrap();
    assert!(!latest.what.is_dry_run());
    assert_eq!(fleet.read().unwrap().group(host, "etc").unwrap().unwrap().keep.daily, 7, "nothing is stored");
}
