//! Folders that were looked into: what is kept of them, and what a look may be.

use crate::support::{Agent, by, in_memory};
use fleet::record::{Folder, FolderPlace, JobState};
use fleet::{JobRequest, Refused};
use schema::report::{Entry, EntryKind};
use schema::{Items, JobId, Outcome, ReportBody, Summary, Timestamp};

fn browse(path: &str) -> JobRequest {
    JobRequest::Browse { path: path.to_owned() }
}

/// Answers the look that waits: each name is a report of its own; what ends with a slash is a folder.
async fn answer(agent: &mut Agent, job: JobId, names: &[&str], outcome: Outcome) {
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    for (place, name) in names.iter().enumerate() {
        let kind = if name.ends_with('/') { EntryKind::Folder } else { EntryKind::File };
        let name = name.trim_end_matches('/');
        let entry = Entry { name: name.into(), kind, bytes: 7, modified_at: Some(Timestamp(1)) };
        let mut room = [0; 256];
        let entries = Items::write([entry], &mut room).unwrap();
        agent.report(ReportBody::Entries { job, first: place as u32, entries }).await;
    }
    let summary = Summary::Folder { entries: names.len() as u32, left_out: 2 };
    agent.finish(job, outcome, summary).await;
}

#[tokio::test]
async fn entries_that_got_lost_on_the_way_are_counted_and_parts_bring_each_once() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, browse("/srv"), by()).await.unwrap().id;
    // The last name comes in the place of the first one: four of five are kept.
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    for (first, name) in [(1, "b"), (2, "a"), (3, "a/"), (4, "c")] {
        let kind = if name.ends_with('/') { EntryKind::Folder } else { EntryKind::File };
        let entry = Entry { name: name.trim_end_matches('/').into(), kind, bytes: 7, modified_at: None };
        let mut room = [0; 256];
        let entries = Items::write([entry], &mut room).unwrap();
        agent.report(ReportBody::Entries { job, first, entries }).await;
    }
    agent.finish(job, Outcome::Succeeded, Summary::Folder { entries: 5, left_out: 2 }).await;
    let seen = folder(&agent, FolderPlace::Host, "/srv").unwrap();
    assert_eq!((seen.left_out, seen.entries.len()), (3, 4));
    for limit in 1..6 {
        let (mut cursor, mut names) = (None, Vec::new());
        loop {
            let (part, next) = seen.part(limit, cursor.as_ref());
            names.extend(part.iter().map(|entry| (entry.is_file_like(), entry.name.as_str())));
            cursor = next.map(|next| next.to_string().parse().unwrap());
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(names, [(false, "a"), (true, "a"), (true, "b"), (true, "c")], "in parts of {limit}");
    }
}

fn folder(agent: &Agent, place: FolderPlace<'_>, path: &str) -> Option<Folder> {
    agent.fleet.read().unwrap().folder(agent.host, place, path).unwrap()
}

fn names(folder: Option<Folder>) -> Vec<String> {
    folder.map_or(Vec::new(), |folder| folder.entries.into_iter().map(|entry| entry.name).collect())
}

#[tokio::test]
async fn a_folder_is_shown_as_it_was_listed_last_and_only_whole() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    assert_eq!(folder(&agent, FolderPlace::Host, "/srv"), None);
    let job = fleet.dispatch(agent.host, browse("/srv/"), by()).await.unwrap().id;
    let again = fleet.dispatch(agent.host, browse("//srv"), by()).await;
    assert!(
        matches!(again, Err(Refused::JobInProgress { job: open }) if open == job),
        "one look at a time is enough"
    );
    let open = fleet.read().unwrap().folder_job(agent.host, FolderPlace::Host, "/srv").unwrap();
    assert_eq!(open.map(|open| open.id), Some(job));
    answer(&mut agent, job, &["b", "z/", "a", "y/"], Outcome::Succeeded).await;
    let seen = folder(&agent, FolderPlace::Host, "/srv").unwrap();
    assert_eq!(seen.left_out, 2);
    assert_eq!(names(Some(seen)), ["y", "z", "a", "b"], "folders first");
    assert_eq!(folder(&agent, FolderPlace::Snapshot("01234567"), "/srv"), None, "places are kept apart");

    world.pass(1_000);
    let job = fleet.dispatch(agent.host, browse("/srv"), by()).await.unwrap().id;
    answer(&mut agent, job, &["c"], Outcome::Failed).await;
    assert_eq!(
        names(folder(&agent, FolderPlace::Host, "/srv")).len(),
        4,
        "a look that failed changes nothing"
    );
    let failed = |path| {
        let state = fleet.read().unwrap();
        state.folder_failure(agent.host, FolderPlace::Host, path).unwrap().map(|failed| failed.id)
    };
    assert_eq!(failed("/srv"), Some(job), "and is told");
    assert_eq!(failed("/srv/y"), None, "of that folder only");
    let job = fleet.dispatch(agent.host, browse("/srv"), by()).await.unwrap().id;
    assert_ne!(failed("/srv"), None, "until the next one has ended");
    answer(&mut agent, job, &["c"], Outcome::Succeeded).await;
    assert_eq!(names(folder(&agent, FolderPlace::Host, "/srv")), ["c"]);
    let state = fleet.read().unwrap();
    assert_eq!(state.folder_failure(agent.host, FolderPlace::Host, "/srv").unwrap(), None);
}

#[tokio::test]
async fn a_look_needs_no_credentials_at_the_host_and_counts_as_no_job_of_the_repository() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::enrolled(&world, &fleet, "attic").await;
    agent.hello(&[]).await;
    let ls = JobRequest::Ls { snapshot: "0123abcd".to_owned(), path: "/".to_owned() };
    let refused = fleet.dispatch(agent.host, ls, by()).await.unwrap_err();
    assert!(matches!(refused, Refused::RepoCredsRequired), "{refused:?}");
    let job = fleet.dispatch(agent.host, browse("/"), by()).await.unwrap().id;
    agent.take_all();
    agent.finish(job, Outcome::Failed, Summary::None).await;
    let state = fleet.read().unwrap();
    assert_eq!(state.job(job).unwrap().unwrap().state, JobState::Failed);
    let row = state.host_row(agent.host).unwrap();
    assert_ne!(row.status, fleet::Status::Failed, "a look that failed says nothing of the backups");
}

#[tokio::test]
async fn the_oldest_folders_go_when_there_are_too_many() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    for number in 0..302 {
        world.pass(1);
        let job = fleet.dispatch(agent.host, browse(&format!("/{number}")), by()).await.unwrap().id;
        answer(&mut agent, job, &["x"], Outcome::Succeeded).await;
    }
    let there = |number: u32| folder(&agent, FolderPlace::Host, &format!("/{number}")).is_some();
    assert_eq!((0..302).filter(|number| !there(*number)).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn what_is_no_path_and_no_snapshot_is_refused_by_its_field() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    for path in ["", "srv", "/srv/../etc"] {
        let refused = fleet.dispatch(agent.host, browse(path), by()).await.unwrap_err();
        assert!(matches!(refused, Refused::InvalidInput { field, .. } if field == "path"), "{path}");
    }
    let ls = JobRequest::Ls { snapshot: "--help--".to_owned(), path: "/".to_owned() };
    let refused = fleet.dispatch(agent.host, ls, by()).await.unwrap_err();
    assert!(matches!(refused, Refused::InvalidInput { field, .. } if field == "snapshot"));
}
