//! `kill -9` of the agent in the middle of a backup.

use tests::{
    proc_table,
    scene::Scene,
    wait::{self, LONG, SOON},
};

#[test]
fn a_killed_agent_leaves_no_restic_no_stuck_job_and_no_lock() {
    let Some(mut scene) = Scene::start() else { return };
    let (job, restic) = scene.backup_in_the_middle();
    assert!(!scene.repository().locks().is_empty(), "restic holds a lock while it runs");

    scene.agent.kill_9();
    wait::until_true("restic to end with its agent", SOON, || !proc_table::runs(restic));
    scene.api().wait_online(scene.host(), false, SOON);
    scene.let_it_finish();
    assert!(!scene.repository().locks().is_empty(), "a killed restic leaves its lock");

    scene.agent.start();
    scene.api().wait_online(scene.host(), true, SOON);
    let ended = scene.api().wait_job(&job, &["lost", "failed"], SOON);
    if ended["state"] == "failed" {
        assert_eq!(ended["class"], "agent_restarted", "{ended}");
    }
    assert!(scene.repository().snapshots().is_empty());

    let good = scene.back_up();
    assert_ne!(good["id"], ended["id"]);
    assert_eq!(scene.repository().snapshots().len(), 1);
    assert_eq!(scene.repository().locks(), Vec::<String>::new(), "the next job cleans up");
    // Its end stays what it was.
    assert_eq!(scene.api().job(&job)["state"], ended["state"]);
    let repo = scene.server.repo(scene.host());
    assert!(repo["lock"].is_null(), "{repo}");
}

#[test]
fn an_agent_that_is_stopped_cleanly_interrupts_restic_so_that_no_lock_stays() {
    let Some(mut scene) = Scene::start() else { return };
    let (job, restic) = scene.backup_in_the_middle();
    // What is held must pass, or restic can't take its lock away.
    scene.let_it_finish();
    scene.agent.stop();
    wait::until_true("restic to end with its agent", SOON, || !proc_table::runs(restic));
    assert_eq!(scene.repository().locks(), Vec::<String>::new());
    scene.agent.start();
    let ended = scene.api().wait_end(&job, LONG);
    let snapshots = scene.repository().snapshots().len();
    // It may have been quick enough; it must not say one thing and have done the other.
    assert_eq!(ended["state"] == "succeeded", snapshots == 1, "{ended}, {snapshots} snapshots");
}
