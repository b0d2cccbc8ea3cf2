//! Searches by name: what is kept of what was found, and for how long.

use crate::support::{Agent, by, in_memory};
use fleet::record::{FindPlan, Found, FoundVersion, JobState};
use fleet::{JobRequest, Refused};
use schema::report::EntryKind;
use schema::report::Hit;
use schema::{Items, JobId, OsText, Outcome, ReportBody, Summary, Timestamp};

const OLD: &str = "01010101aaaa";
const NEW: &str = "02020202bbbb";

fn find(pattern: &str) -> JobRequest {
    JobRequest::Find(FindPlan {
        pattern: pattern.to_owned(),
        ignore_case: true,
        group: None,
        newest: 0,
        since: None,
    })
}

fn entry(path: &[u8], bytes: u64) -> Hit<'_> {
    Hit::Entry {
        path: OsText::new(path),
        kind: EntryKind::File,
        bytes,
        files: 0,
        modified_at: Some(Timestamp(9)),
    }
}

fn in_snapshot(id: &str, time: u64) -> Hit<'_> {
    Hit::Snapshot { id, time: Timestamp(time) }
}

/// Answers the search: each list is a report of its own.
async fn answer(agent: &mut Agent, job: JobId, pieces: &[&[Hit<'_>]], outcome: Outcome) {
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    let (mut first, mut hits) = (0, 0);
    for piece in pieces {
        let mut room = [0; 1024];
        let items = Items::write(piece.iter(), &mut room).unwrap();
        agent.report(ReportBody::Found { job, first, hits: items }).await;
        first += piece.len() as u32;
        hits += piece.iter().filter(|hit| matches!(hit, Hit::Entry { .. })).count() as u32;
    }
    let summary = Summary::Found { snapshots: 2, snapshots_left_out: 1, hits, left_out: 2 };
    agent.finish(job, outcome, summary).await;
}

fn found(agent: &Agent, job: JobId) -> Option<Found> {
    let state = agent.fleet.read().unwrap();
    let job = state.job(job).unwrap()?;
    state.found(&job).unwrap()
}

/// Path, and of each version its size and the snapshots that have it.
type Told<'f> = (&'f str, Vec<(u64, Vec<&'f str>)>);

fn told(found: &Found) -> Vec<Told<'_>> {
    fn version(it: &FoundVersion) -> (u64, Vec<&str>) {
        (it.bytes, it.held_by.iter().map(String::as_str).collect())
    }
    found.paths.iter().map(|path| (path.path.as_str(), path.versions.iter().map(version).collect())).collect()
}

#[tokio::test]
async fn what_was_found_is_told_by_path_with_its_versions_and_what_did_not_come() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, find("inv"), by()).await.unwrap().id;
    let again = fleet.dispatch(agent.host, find("inv"), by()).await;
    assert!(
        matches!(again, Err(Refused::JobInProgress { job: open }) if open == job),
        "one at a time is enough"
    );
    let pieces: &[&[Hit<'_>]] = &[
        &[entry(b"/srv/inv-2", 5), entry(b"/srv/inv\xff", 7)],
        &[in_snapshot(NEW, 20), entry(b"/srv/inv-2", 4)],
        &[in_snapshot(OLD, 10), entry(b"/srv/inv\xff", 7), in_snapshot("../x", 9)],
        &[entry(b"/srv/inv\xff", 7), in_snapshot(OLD, 10), entry(b"/nowhere", 1)],
    ];
    answer(&mut agent, job, pieces, Outcome::Succeeded).await;
    let seen = found(&agent, job).unwrap();
    assert_eq!(
        told(&seen),
        [("/srv/inv-2", vec![(5, vec![NEW]), (4, vec![OLD])]), ("/srv/inv\\xff", vec![(7, vec![NEW, OLD])])]
    );
    assert_eq!(seen.left_out, 2 + 2, "one of a snapshot without a name, and one of none");
    for limit in 1..4 {
        let (mut after, mut paths) = (None, Vec::new());
        loop {
            let (part, next) = seen.part(limit, after);
            paths.extend(part.iter().map(|found| found.path.as_str()));
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paths, ["/srv/inv-2", "/srv/inv\\xff"], "in parts of {limit}");
    }
}

#[tokio::test]
async fn a_search_that_came_to_nothing_leaves_nothing_and_results_go_after_a_day() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let pieces: &[&[Hit<'_>]] = &[&[entry(b"/a", 1), in_snapshot(OLD, 10)]];
    let failed = fleet.dispatch(agent.host, find("a"), by()).await.unwrap().id;
    answer(&mut agent, failed, pieces, Outcome::Failed).await;
    assert_eq!(found(&agent, failed), None);

    let kept = fleet.dispatch(agent.host, find("a"), by()).await.unwrap().id;
    answer(&mut agent, kept, pieces, Outcome::Succeeded).await;
    assert_eq!(found(&agent, kept).unwrap().paths.len(), 1);
    world.pass(23 * 3_600_000);
    fleet.sweep().await;
    assert!(found(&agent, kept).is_some());
    world.pass(2 * 3_600_000);
    fleet.sweep().await;
    assert_eq!(found(&agent, kept), None, "no catalogue of names is kept");
    let state = fleet.read().unwrap();
    assert_eq!(state.job(kept).unwrap().unwrap().state, JobState::Succeeded, "that it was done is");
}

#[tokio::test]
async fn the_results_of_the_newest_twenty_searches_are_kept_and_the_audit_names_none() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let mut jobs = Vec::new();
    for number in 0..21 {
        world.pass(1_000);
        let job = fleet.dispatch(agent.host, find(&format!("secret-{number}")), by()).await.unwrap().id;
        answer(&mut agent, job, &[&[entry(b"/secret", 1), in_snapshot(OLD, 10)]], Outcome::Succeeded).await;
        jobs.push(job);
    }
    assert_eq!(found(&agent, jobs[0]), None);
    assert!(jobs[1..].iter().all(|job| found(&agent, *job).is_some()));
    let state = fleet.read().unwrap();
    let audit = state.audit(&fleet::AuditFilter::default(), &fleet::Page::default()).unwrap();
    assert!(!audit.items.iter().any(|line| format!("{line:?}").contains("secret")), "{audit:#?}");
}

#[tokio::test]
async fn only_a_group_that_is_there_and_a_pattern_that_can_be_read_are_looked_for() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    let request = |pattern: &str, group: Option<&str>| {
        let JobRequest::Find(plan) = find(pattern) else { unreachable!() };
        JobRequest::Find(FindPlan { group: group.map(str::to_owned), ..plan })
    };
    let refused = fleet.dispatch(agent.host, request("a", Some("nothing")), by()).await.unwrap_err();
    assert!(matches!(refused, Refused::GroupNotFound), "{refused:?}");
    let refused = fleet.dispatch(agent.host, request("[a", None), by()).await.unwrap_err();
    assert!(matches!(refused, Refused::InvalidInput { field: "pattern", .. }), "{refused:?}");
}
