//! `kill -9` of the server in the middle of a backup: the backup goes on, and its result is not lost.

use serde_json::Value;
use tests::{
    proc_table,
    scene::{GROUP, Scene},
    wait::{self, LONG, SOON},
};

/// The job is there once, with its figures; the repository has its snapshot, once; the log is whole.
fn assert_ended_once_and_well(scene: &Scene, job: &Value) {
    let snapshot = job["summary"]["snapshot"].as_str().expect("a snapshot");
    let snapshots = scene.repository().snapshots();
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    assert_eq!(snapshots[0]["id"], snapshot);
    assert_eq!(snapshots[0]["tags"], serde_json::json!([GROUP]));
    let jobs = scene.api().jobs(scene.host());
    let backups: Vec<&Value> = jobs.iter().filter(|job| job["kind"] == "backup").collect();
    assert_eq!(backups.len(), 1, "{backups:?}");
    let log = scene.api().whole_log(job["id"].as_str().expect("an id"));
    assert!(log.iter().any(|line| line.contains(&snapshot[..8])), "the snapshot in {log:?}");
    // Who sees it finished sees its figures.
    let repo = scene.server.repo(scene.host());
    assert_eq!(repo["snapshots"], 1, "{repo}");
    assert!(repo["size_bytes"].as_u64().is_some_and(|bytes| bytes > 20_000_000), "{repo}");
    assert_eq!(scene.repository().is_sound(), Ok(()));
}

#[test]
fn a_backup_that_ends_while_the_server_is_dead_is_reported_when_it_is_back() {
    let Some(mut scene) = Scene::start() else { return };
    let (job, restic) = scene.backup_in_the_middle();
    scene.server.kill_9();
    assert!(proc_table::runs(restic), "restic does not notice");
    scene.let_it_finish();
    wait::until_true("restic to end by itself", LONG, || !proc_table::runs(restic));
    scene.server.start_again();
    let job = scene.api().wait_job(&job, &["succeeded"], LONG);
    assert_ended_once_and_well(&scene, &job);
}

#[test]
fn a_backup_goes_on_through_two_deaths_of_the_server() {
    let Some(mut scene) = Scene::start() else { return };
    let (job, restic) = scene.backup_in_the_middle();
    for _ in 0..2 {
        scene.server.kill_9();
        scene.server.start_again();
        scene.api().wait_online(scene.host(), true, LONG);
        assert!(proc_table::runs(restic), "restic does not notice");
        assert_eq!(scene.api().wait_job(&job, &["running"], SOON)["kind"], "backup");
    }
    scene.let_it_finish();
    let job = scene.api().wait_job(&job, &["succeeded"], LONG);
    assert_ended_once_and_well(&scene, &job);
}
