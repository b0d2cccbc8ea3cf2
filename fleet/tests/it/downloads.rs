//! What becomes of a download whose transfer breaks off, by when that is and what the agent says of it.

use crate::support::{Agent, World, by, in_memory, settings};
use fleet::record::{AuditAction, DownloadForm, JobState};
use fleet::{AuditFilter, Download, DownloadEnd, Fleet, Page};
use schema::{Class, HeldJob, HeldPhase, JobId, Outcome, Summary};

async fn begun(agent: &mut Agent, fleet: &Fleet) -> Download {
    let what = ("0badcafe".to_owned(), "/etc/hosts".to_owned(), DownloadForm::Raw);
    let download = fleet.download((agent.host, agent.host), what, by()).await.unwrap();
    agent.take_all();
    download
}

fn end_of(agent: &Agent, job: JobId) -> (JobState, Option<Class>) {
    let job = agent.job(job);
    (job.state, job.class)
}

#[tokio::test]
async fn a_download_succeeds_when_both_the_agent_and_whoever_asked_have_all_of_it() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    for end in [DownloadEnd::Whole, DownloadEnd::Left, DownloadEnd::Stalled, DownloadEnd::Failed] {
        for agent_is_first in [true, false] {
            let job = begun(&mut agent, &fleet).await.job.id;
            if agent_is_first {
                agent.finish(job, Outcome::Succeeded, Summary::None).await;
            }
            fleet.end_download(job, (end, None), 17, by()).await;
            agent.take_all();
            if !agent_is_first {
                agent.finish(job, Outcome::Succeeded, Summary::None).await;
            }
            let wanted = match end {
                DownloadEnd::Whole => (JobState::Succeeded, None),
                _ => (JobState::Failed, Some(Class::Network)),
            };
            assert_eq!(end_of(&agent, job), wanted, "{end:?}, the agent first: {agent_is_first}");
        }
    }
}

#[tokio::test]
async fn what_broke_a_download_off_here_is_said_by_its_job_and_in_the_audit() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let why = Some("too many files for a zip".to_owned());
    for (end, why, says) in [
        (DownloadEnd::Failed, why, "too many files for a zip"),
        (DownloadEnd::Stalled, None, "whoever asked for it took nothing for too long"),
        (DownloadEnd::Left, None, "whoever asked for it went away before its end"),
    ] {
        let job = begun(&mut agent, &fleet).await.job.id;
        fleet.end_download(job, (end, why.clone()), 17, by()).await;
        agent.take_all();
        assert_eq!(agent.job(job).message, says);
        agent.finish(job, Outcome::Cancelled, Summary::None).await;
        assert_eq!(end_of(&agent, job), (JobState::Failed, Some(Class::Network)));
        assert_eq!(agent.job(job).message, says);
        let lines = fleet.read().unwrap().audit(&AuditFilter::default(), &Page::default()).unwrap().items;
        let line = lines.into_iter().find(|line| line.action == AuditAction::DownloadEnded).unwrap();
        assert!(line.detail.starts_with(end.code()), "{}", line.detail);
        assert_eq!(line.detail.contains(says), why.is_some(), "{}", line.detail);
    }
}

#[tokio::test]
async fn a_download_of_before_a_start_did_not_arrive_whatever_the_agent_says_of_it() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let open = || Fleet::open(folder.path(), settings(), world.driver()).unwrap();
    let mut agent = Agent::ready(&world, &open(), "attic").await;
    // The server has ended it, and nobody withdrew it.
    let wanted = (JobState::Failed, Some(Class::Network));
    for said in [Outcome::Succeeded, Outcome::Cancelled] {
        let fleet = agent.fleet.clone();
        let job = begun(&mut agent, &fleet).await.job.id;
        drop(fleet);
        agent.fleet.shutdown().await;
        agent.fleet = Fleet::in_memory(settings(), world.driver()).unwrap();
        agent.fleet = open();
        let state = agent.fleet.read().unwrap();
        let entry = state.audit(&AuditFilter::default(), &Page::default()).unwrap().items.remove(0);
        assert_eq!(entry.action, AuditAction::DownloadEnded);
        let detail = entry.detail;
        assert!(detail.starts_with("server_restarted") && detail.contains("/etc/hosts"), "{detail}");
        agent.hello(&[HeldJob { job, phase: HeldPhase::Running, group: None }]).await;
        agent.finish(job, said, Summary::None).await;
        assert_eq!(end_of(&agent, job), wanted, "{said:?}");
        assert_eq!(agent.job(job).message, "the server ended meanwhile");
    }
}
