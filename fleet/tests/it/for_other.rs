//! What a host does for another one: with that one's credentials, for one job, told of with both.

use crate::support::{Agent, Got, World, by, credentials, in_memory};
use fleet::record::{
    AuditAction, AuditEntry, AuditTarget, CredentialsInput, Job, JobState, JobWhat, RestorePlan,
    RestoreTarget, Secret,
};
use fleet::{AuditFilter, Fleet, JobFilter, JobRequest, Page, Refused, RunnerSetback};
use schema::{
    Abilities, Class, HeldJob, HeldPhase, HostId, JobKind, Outcome, Overwrite, Refusal, ReportBody,
};
use schema::{Slot, Summary};

fn plan(source: HostId) -> RestorePlan {
    RestorePlan {
        source,
        snapshot: "0badcafe".to_owned(),
        paths: vec!["/etc".to_owned()],
        target: RestoreTarget::NewFolder { within: String::new() },
        overwrite: Overwrite::Never,
        delete: false,
        verify: true,
        dry_run: false,
    }
}

/// A host whose machine is gone, and another one, with a repository of its own.
async fn two(world: &World, fleet: &Fleet) -> (Agent, Agent) {
    let source = Agent::ready(world, fleet, "attic").await;
    let mut runner = Agent::ready(world, fleet, "bench").await;
    let own = CredentialsInput {
        url: "rest:https://box.example:8000/bench".to_owned(),
        repo_password: Some(Secret::new("password-of-bench")),
        ..credentials()
    };
    fleet.put_credentials(runner.host, Slot::Repo, own, by()).await.unwrap();
    runner.take_all();
    source.gone(source.epoch).await;
    (source, runner)
}

async fn ask(fleet: &Fleet, runner: &Agent, plan: RestorePlan) -> Result<Job, Refused> {
    fleet.dispatch(runner.host, JobRequest::Restore(plan), by()).await
}

fn lines(fleet: &Fleet, action: AuditAction) -> Vec<(AuditTarget, String)> {
    let all = fleet.read().unwrap().audit(&AuditFilter::default(), &Page::default()).unwrap().items;
    let of = all.into_iter().filter(|line| line.action == action);
    of.map(|line| (line.target, line.detail)).collect()
}

fn jobs_of(fleet: &Fleet, host: HostId) -> Vec<schema::JobId> {
    let filter = JobFilter { host: Some(host), ..JobFilter::default() };
    let page = fleet.read().unwrap().jobs(&filter, &Page::default()).unwrap();
    page.items.iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn a_restore_by_another_host_brings_the_sources_credentials_for_itself_alone_and_both_audits_say_so() {
    let (world, fleet) = in_memory();
    let (source, mut runner) = two(&world, &fleet).await;
    let revision = |host| fleet.read().unwrap().credentials(host, Slot::Repo).unwrap().unwrap().held_revision;
    let before = (revision(source.host), revision(runner.host));
    let job = ask(&fleet, &runner, plan(source.host)).await.unwrap();
    assert_eq!((job.host, job.for_other()), (runner.host, Some(source.host)));
    match &runner.take_all()[..] {
        [
            Got::Config { slot: Slot::Repo, for_job: Some(for_job), repo_password: Some(password), .. },
            Got::Run { job: run, kind: JobKind::Restore, for_host: Some(name), .. },
        ] => {
            assert_eq!((*for_job, *run), (job.id, job.id));
            assert_eq!((password.as_str(), name.as_str()), ("repo-password", "attic"));
        }
        other => panic!("{other:?}"),
    }
    let [(target, detail)] = &lines(&fleet, AuditAction::Job(JobKind::Restore))[..] else { panic!() };
    assert_eq!(*target, AuditTarget::Job(runner.host, job.id));
    assert_eq!(detail, "/etc of 0badcafe to a new folder, for host attic");
    let mut lent = lines(&fleet, AuditAction::CredentialsLent);
    lent.sort_by_key(|(_, detail)| detail.starts_with("those"));
    let [(target, given), (at, got)] = &lent[..] else { panic!("{lent:?}") };
    assert_eq!(*target, AuditTarget::Host(source.host, "attic".to_owned()));
    assert_eq!(*given, format!("to bench for the restore {}: /etc of 0badcafe to a new folder", job.id));
    assert_eq!(*at, AuditTarget::Host(runner.host, "bench".to_owned()));
    let for_it =
        format!("those of attic to this host, for the restore {}: /etc of 0badcafe to a new folder", job.id);
    assert_eq!(*got, for_it);
    let of = |part: &str| {
        let filter = AuditFilter { target: Some(part.to_owned()), ..AuditFilter::default() };
        fleet.read().unwrap().audit(&filter, &Page::default()).unwrap().items
    };
    let is_job = |entry: &AuditEntry| entry.action == AuditAction::Job(JobKind::Restore);
    assert!(of("bench").iter().any(is_job), "by its host's name");
    assert!(!of("attic").iter().any(is_job));
    assert_eq!((jobs_of(&fleet, source.host), jobs_of(&fleet, runner.host)), (vec![job.id], vec![job.id]));
    runner.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
    runner.report(ReportBody::Started { job: job.id }).await;
    runner.finish(job.id, Outcome::Succeeded, Summary::None).await;
    assert_eq!(runner.job(job.id).state, JobState::Succeeded);
    assert_eq!(
        before,
        (revision(source.host), revision(runner.host)),
        "what either holds of its own is as before"
    );
}

#[tokio::test]
async fn a_dry_run_by_another_host_lends_the_credentials_too_and_is_audited() {
    let (world, fleet) = in_memory();
    let (source, runner) = two(&world, &fleet).await;
    ask(&fleet, &runner, RestorePlan { dry_run: true, ..plan(source.host) }).await.unwrap();
    for action in [AuditAction::Job(JobKind::Restore), AuditAction::CredentialsLent] {
        let lines = lines(&fleet, action);
        assert!(!lines.is_empty());
        for (_, detail) in lines {
            assert!(detail.contains("dry run: /etc of 0badcafe"), "{detail}");
        }
    }
}

#[tokio::test]
async fn a_job_of_its_own_brings_no_credentials_and_one_of_a_host_that_is_its_own_source_is_one() {
    let (world, fleet) = in_memory();
    let (_, mut runner) = two(&world, &fleet).await;
    ask(&fleet, &runner, plan(runner.host)).await.unwrap();
    assert!(matches!(&runner.take_all()[..], [Got::Run { for_host: None, .. }]));
    assert!(lines(&fleet, AuditAction::CredentialsLent).is_empty());
}

#[tokio::test]
async fn what_keeps_a_host_from_doing_it_is_told_with_its_name_and_a_code() {
    let (world, fleet) = in_memory();
    let (source, runner) = two(&world, &fleet).await;
    let code = |refused: Result<Job, Refused>| refused.unwrap_err().code();
    let original = RestorePlan { target: RestoreTarget::Original, ..plan(source.host) };
    match ask(&fleet, &runner, original).await {
        Err(Refused::InvalidInput { field, .. }) => assert_eq!(field, "target.kind"),
        other => panic!("{other:?}"),
    }
    assert_eq!(code(ask(&fleet, &runner, plan(HostId([9; 16]))).await), "host_not_found");
    let (new, _) = fleet.create_host("cellar", vec![], by()).await.unwrap();
    let asked = fleet.dispatch(new.id, JobRequest::Restore(plan(source.host)), by()).await;
    assert_eq!(code(asked), "runner_not_enrolled");
    runner.gone(runner.epoch).await;
    let refused = ask(&fleet, &runner, plan(source.host)).await.unwrap_err();
    assert_eq!(refused.code(), "runner_offline");
    assert!(refused.to_string().starts_with("the host bench can't"), "{refused}");
    let mut runner = runner;
    runner.hello(&[]).await;
    fleet.delete_credentials(source.host, Slot::Repo, by()).await.unwrap();
    assert_eq!(code(ask(&fleet, &runner, plan(source.host)).await), "repo_creds_required");
    // Its own it needs for nothing of this.
    fleet.put_credentials(source.host, Slot::Repo, credentials(), by()).await.unwrap();
    fleet.delete_credentials(runner.host, Slot::Repo, by()).await.unwrap();
    ask(&fleet, &runner, plan(source.host)).await.unwrap();
}

#[tokio::test]
async fn only_snapshots_that_the_source_lists_are_restored_by_others() {
    let (world, fleet) = in_memory();
    let (mut source, runner) = two(&world, &fleet).await;
    source.hello(&[]).await;
    source.lists_nothing().await;
    match ask(&fleet, &runner, plan(source.host)).await {
        Err(Refused::InvalidInput { field, message }) => {
            assert_eq!(field, "snapshot");
            assert!(message.contains("none of this id"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    // The agent of the host itself is asked.
    fleet.dispatch(source.host, JobRequest::Restore(plan(source.host)), by()).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_refuses_or_does_not_know_such_jobs_ends_them() {
    let (world, fleet) = in_memory();
    let (source, mut runner) = two(&world, &fleet).await;
    let refused = ask(&fleet, &runner, plan(source.host)).await.unwrap();
    runner.take_all();
    let detail = "other_hosts = true";
    runner.report(ReportBody::Refused { job: refused.id, reason: Refusal::Policy, detail }).await;
    runner.report(ReportBody::Refused { job: refused.id, reason: Refusal::AlreadyStarted, detail: "" }).await;
    let ended = runner.job(refused.id);
    assert_eq!((ended.state, ended.class), (JobState::Failed, Some(Class::Policy)));
    assert!(ended.message.contains("other_hosts"), "{}", ended.message);
    let unknown = ask(&fleet, &runner, plan(source.host)).await.unwrap();
    let Some(Got::Run { seq, .. }) = runner.take_all().pop() else { panic!() };
    runner.report(ReportBody::NotUnderstood { seq }).await;
    let ended = runner.job(unknown.id);
    assert_eq!((ended.state, ended.refusal), (JobState::Failed, Some(Refusal::Unsupported)));
}

#[tokio::test]
async fn an_agent_that_is_too_old_to_do_anything_for_others_is_not_asked() {
    let (world, fleet) = in_memory();
    let (source, mut runner) = two(&world, &fleet).await;
    runner.abilities = Abilities::default();
    runner.gone(runner.epoch).await;
    runner.hello(&[]).await;
    let why = RunnerSetback::AgentTooOld;
    let refused = Err(Refused::RunnerUnfit { runner: "bench".to_owned(), why });
    assert_eq!(ask(&fleet, &runner, plan(source.host)).await, refused);
    assert_eq!(runner.take_all(), [], "no credentials went there");
    // Its own jobs go on, and an agent that can is asked, whatever its policy was: that is read again before the job.
    fleet.dispatch(runner.host, JobRequest::Snapshots, by()).await.unwrap();
    runner.abilities = Abilities::FOR_OTHERS;
    runner.gone(runner.epoch).await;
    runner.hello(&[]).await;
    ask(&fleet, &runner, plan(source.host)).await.unwrap();
}

#[tokio::test]
async fn what_was_cancelled_before_it_was_sent_takes_the_credentials_back() {
    let (world, fleet) = in_memory();
    let (source, mut runner) = two(&world, &fleet).await;
    let job = ask(&fleet, &runner, plan(source.host)).await.unwrap();
    runner.gone(runner.epoch).await;
    assert_eq!(fleet.cancel(job.id, by()).await.unwrap().state, JobState::Cancelled);
    runner.hello(&[]).await;
    let got = runner.take_all();
    let is_cancel = |got: &Got| matches!(got, Got::Cancel { job: of, .. } if *of == job.id);
    assert!(got.len() == 2 && got.iter().all(is_cancel), "{got:?}");
}

#[tokio::test]
async fn when_the_source_is_deleted_or_its_credentials_what_has_not_begun_is_taken_back_and_what_runs_goes_on()
 {
    for delete_host in [false, true] {
        let (world, fleet) = in_memory();
        let (source, mut runner) = two(&world, &fleet).await;
        let runs = ask(&fleet, &runner, plan(source.host)).await.unwrap();
        runner.take_all();
        runner.report(ReportBody::Accepted { job: runs.id, behind: 0 }).await;
        runner.report(ReportBody::Started { job: runs.id }).await;
        let waits = ask(&fleet, &runner, plan(source.host)).await.unwrap();
        runner.take_all();
        runner.report(ReportBody::Accepted { job: waits.id, behind: 1 }).await;
        if delete_host {
            fleet.delete_host(source.host, by()).await.unwrap();
        } else {
            fleet.delete_credentials(source.host, Slot::Repo, by()).await.unwrap();
        }
        let got = runner.take_all();
        assert!(matches!(&got[..], [Got::Cancel { job, .. }] if *job == waits.id), "{got:?}");
        runner.finish(waits.id, Outcome::Cancelled, Summary::None).await;
        runner.finish(runs.id, Outcome::Succeeded, Summary::None).await;
        assert_eq!(runner.job(waits.id).state, JobState::Cancelled);
        assert_eq!(runner.job(runs.id).state, JobState::Succeeded);
    }
}

#[tokio::test]
async fn a_runner_is_deleted_once_it_is_gone_or_done_and_takes_its_jobs_along_from_both() {
    let (world, fleet) = in_memory();
    let (source, runner) = two(&world, &fleet).await;
    let job = ask(&fleet, &runner, plan(source.host)).await.unwrap();
    let refused = fleet.delete_host(runner.host, by()).await.unwrap_err();
    assert_eq!(refused.code(), "host_busy");
    assert!(refused.to_string().contains(&job.id.to_string()) && refused.to_string().contains("attic"));
    runner.gone(runner.epoch).await;
    fleet.delete_host(runner.host, by()).await.unwrap();
    assert!(jobs_of(&fleet, source.host).is_empty());
    assert!(fleet.read().unwrap().jobs(&JobFilter::default(), &Page::default()).unwrap().items.is_empty());
}

#[tokio::test]
async fn nothing_is_removed_from_the_sources_repository_while_another_host_reads_it() {
    let (world, fleet) = in_memory();
    let (mut source, mut runner) = two(&world, &fleet).await;
    source.hello(&[]).await;
    source.take_all();
    let job = ask(&fleet, &runner, plan(source.host)).await.unwrap();
    let check = |host| fleet.dispatch(host, JobRequest::Check { subset_pct: None }, by());
    match check(source.host).await {
        Err(Refused::RepoBusy { host, job: by, .. }) => assert_eq!((host.as_str(), by), ("bench", job.id)),
        other => panic!("{other:?}"),
    }
    // The runner's own repository is another one.
    let own = check(runner.host).await.unwrap();
    runner.take_all();
    for job in [job.id, own.id] {
        runner.report(ReportBody::Accepted { job, behind: 0 }).await;
        runner.report(ReportBody::Started { job }).await;
        runner.finish(job, Outcome::Succeeded, Summary::None).await;
    }
    let held = check(source.host).await.unwrap();
    match ask(&fleet, &runner, plan(source.host)).await {
        Err(Refused::RepoBusy { host, job, .. }) => assert_eq!((host.as_str(), job), ("attic", held.id)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_agent_that_was_killed_with_it_says_so_and_it_is_not_sent_again() {
    let (world, fleet) = in_memory();
    let (source, mut runner) = two(&world, &fleet).await;
    let job = ask(&fleet, &runner, plan(source.host)).await.unwrap();
    fleet.command_sent(runner.host, job.command_seq).await;
    runner.take_all();
    runner.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
    runner.gone(runner.epoch).await;
    runner.hello(&[HeldJob { job: job.id, phase: HeldPhase::Finished, group: None }]).await;
    let mut end = crate::support::finished(job.id, Outcome::Failed, world.now(), Summary::None);
    end.class = Some(Class::AgentRestarted);
    runner.report(ReportBody::Finished(end)).await;
    assert_eq!(runner.job(job.id).class, Some(Class::AgentRestarted));
    let came = runner.take_all();
    let is_of_it = |got: &Got| matches!(got, Got::Run { .. } | Got::Config { for_job: Some(_), .. });
    assert!(!came.iter().any(is_of_it), "neither the job nor its credentials come again: {came:?}");
}

#[tokio::test]
async fn what_a_runner_says_of_such_a_job_changes_nothing_of_what_is_known_of_the_source() {
    let (world, fleet) = in_memory();
    let (source, mut runner) = two(&world, &fleet).await;
    let stands = |host| {
        let read = fleet.read().unwrap();
        (read.repo(host).unwrap(), read.host_row(host).map(|row| row.status))
    };
    let before = (stands(source.host), stands(runner.host));
    let job = ask(&fleet, &runner, plan(source.host)).await.unwrap();
    runner.take_all();
    let mut end = crate::support::finished(job.id, Outcome::Failed, world.now(), Summary::None);
    end.class = Some(Class::AppendOnly);
    end.summary = Summary::Init { repo: schema::RepoId([8; 32]) };
    runner.report(ReportBody::Finished(end)).await;
    assert_eq!(before, (stands(source.host), stands(runner.host)));
    // And nobody but the one who was asked can say anything of it.
    let other = ask(&fleet, &runner, plan(source.host)).await.unwrap();
    let mut liar = Agent::ready(&world, &fleet, "liar").await;
    liar.finish(other.id, Outcome::Succeeded, Summary::None).await;
    let mut source = source;
    source.hello(&[]).await;
    source.finish(other.id, Outcome::Succeeded, Summary::None).await;
    assert_eq!(runner.job(other.id).state, JobState::Queued);
    assert!(matches!(runner.job(other.id).what, JobWhat::Restore(_)));
}
