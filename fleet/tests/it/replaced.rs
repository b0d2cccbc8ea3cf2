//! Another repository in the place of the one that is known.

use crate::support::{Agent, World, audited, by, credentials, in_memory, saved};
use fleet::record::Job;
use fleet::{Fleet, JobRequest, Status};
use schema::job::ProbeSummary;
use schema::stats::SnapshotCount;
use schema::{Outcome, RepoId, RepoStats, Slot, StatsRevision, Stream, Summary};

/// The agent tells what it knows of a repository after a job.
async fn tell(agent: &Agent, world: &World, revision: u64, job: &Job, repo: u8, snapshots: u32) {
    let at = world.now();
    let stats = RepoStats {
        stream: Stream(77),
        revision: StatsRevision(revision),
        at,
        job: Some(job.id),
        repo: Some(RepoId([repo; 32])),
        size: None,
        snapshots: Some(SnapshotCount { at, count: snapshots, newest_at: None }),
        check: None,
        prune: None,
        lock: None,
    };
    agent.stats(stats).await;
}

/// A backup goes into a repository, and ends well.
async fn back_up_into(agent: &mut Agent, world: &World, revision: u64, repo: u8, snapshots: u32) {
    world.pass(60_000);
    let request = JobRequest::Backup { group: "etc".to_owned() };
    let job = agent.fleet.dispatch(agent.host, request, by()).await.unwrap();
    agent.take_all();
    tell(agent, world, revision, &job, repo, snapshots).await;
    agent.finish(job.id, Outcome::Succeeded, saved()).await;
}

async fn test(agent: &mut Agent, world: &World, revision: u64, repo: u8) {
    let job = agent.fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
    agent.take_all();
    // The figures come first.
    tell(agent, world, revision, &job, repo, 1).await;
    let repo = Some(RepoId([repo; 32]));
    let found = ProbeSummary { repo, repo_version: Some(2), append_only: None, answered_ms: 1 };
    agent.finish(job.id, Outcome::Succeeded, Summary::Probe(found)).await;
}

fn stands(fleet: &Fleet, agent: &Agent) -> (Status, bool, &'static str) {
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    (row.status, row.protected, row.reason.code())
}

#[tokio::test]
async fn it_is_told_loudly_and_what_was_known_stays_until_a_person_takes_it() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    back_up_into(&mut agent, &world, 1, 1, 10).await;
    assert_eq!(stands(&fleet, &agent).0, Status::Ok);
    let found_at = world.now().plus_ms(60_000);
    for revision in 2..5 {
        back_up_into(&mut agent, &world, revision, 2, 1).await;
    }
    let repo = fleet.read().unwrap().repo(agent.host).unwrap();
    assert_eq!((repo.repo, repo.snapshots.unwrap().count), (Some(RepoId([1; 32])), 10));
    let replaced = repo.replaced.unwrap();
    assert_eq!((replaced.by, replaced.at), (RepoId([2; 32]), found_at), "since the first time");
    let failed = (Status::Failed, false, "replaced");
    assert_eq!(stands(&fleet, &agent), failed);
    assert_eq!(audited(&fleet, "repo.replaced").len(), 1);

    test(&mut agent, &world, 5, 2).await;
    let repo = fleet.read().unwrap().repo(agent.host).unwrap();
    assert_eq!((repo.repo, repo.replaced), (Some(RepoId([2; 32])), None));
    assert_eq!(repo.snapshots.unwrap().count, 1, "the figures of the old one say nothing");
    assert_eq!(stands(&fleet, &agent).0, Status::Ok, "what was saved since is in it");
}

#[tokio::test]
async fn it_is_over_when_the_old_one_is_there_again() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    back_up_into(&mut agent, &world, 1, 1, 10).await;
    back_up_into(&mut agent, &world, 2, 2, 1).await;
    assert_eq!(stands(&fleet, &agent).0, Status::Failed);
    back_up_into(&mut agent, &world, 3, 1, 11).await;
    let repo = fleet.read().unwrap().repo(agent.host).unwrap();
    assert_eq!((repo.replaced, repo.snapshots.unwrap().count), (None, 11));
    assert_eq!(stands(&fleet, &agent).0, Status::Ok);
}

#[tokio::test]
async fn with_new_credentials_it_is_taken_and_what_is_in_the_old_one_counts_no_more() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    back_up_into(&mut agent, &world, 1, 1, 10).await;
    world.pass(60_000);
    let old = agent.fleet.dispatch(agent.host, JobRequest::Stats, by()).await.unwrap();
    world.pass(60_000);
    fleet.put_credentials(agent.host, Slot::Repo, credentials(), by()).await.unwrap();
    world.pass(60_000);
    // A job that had begun with the old ones tells of the old repository.
    tell(&agent, &world, 2, &old, 1, 10).await;
    agent.take_all();
    let new = agent.fleet.dispatch(agent.host, JobRequest::Snapshots, by()).await.unwrap();
    tell(&agent, &world, 3, &new, 2, 0).await;
    let repo = fleet.read().unwrap().repo(agent.host).unwrap();
    assert_eq!((repo.repo, repo.replaced), (Some(RepoId([2; 32])), None));
    assert_eq!(audited(&fleet, "repo.replaced"), []);
    assert_eq!(stands(&fleet, &agent), (Status::New, false, "never"));
}

#[tokio::test]
async fn a_test_takes_it_without_a_word_of_alarm() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    back_up_into(&mut agent, &world, 1, 1, 10).await;
    test(&mut agent, &world, 2, 2).await;
    assert_eq!(fleet.read().unwrap().repo(agent.host).unwrap().repo, Some(RepoId([2; 32])));
    assert_eq!(audited(&fleet, "repo.replaced"), []);
    assert_eq!(stands(&fleet, &agent).0, Status::New, "nothing is in it yet");
}
