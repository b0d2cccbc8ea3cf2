//! The network between server and agent goes away in the middle of a backup.

use std::time::Duration;
use tests::{
    browser::Browser,
    proc_table,
    scene::{HOST, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

/// Keep-alive, half of it again, and some time to notice.
const SILENCE: Duration = Duration::from_secs(100);

fn assert_nothing_lost_nothing_doubled(scene: &Scene, job: &str) {
    let ended = scene.api().wait_job(job, &["succeeded"], LONG);
    let snapshots = scene.repository().snapshots();
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    assert_eq!(snapshots[0]["id"], ended["summary"]["snapshot"]);
    let _ = scene.api().whole_log(job);
    let jobs = scene.api().jobs(scene.host());
    assert_eq!(jobs.iter().filter(|job| job["kind"] == "backup").count(), 1, "{jobs:?}");
}

#[test]
fn a_cut_network_loses_nothing_and_the_fleet_page_shows_the_host_offline_and_back() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.open(&scene.server.base());
    browser.wait_text(HOST, SOON);
    browser.wait_text("1 online.", SOON);

    let (job, restic) = scene.backup_in_the_middle();
    scene.link.cut();
    scene.api().wait_online(scene.host(), false, SOON);
    // The page follows by itself.
    browser.wait_text("0 online.", SOON);
    assert!(proc_table::runs(restic), "the backup goes on");
    scene.let_it_finish();
    wait::until_true("restic to end while the network is away", LONG, || !proc_table::runs(restic));
    let state = scene.api().job(&job)["state"].clone();
    assert_eq!(state, "running", "the server can't know better");

    scene.link.heal();
    scene.api().wait_online(scene.host(), true, LONG);
    browser.wait_text("1 online.", SOON);
    assert_nothing_lost_nothing_doubled(&scene, &job);
}

#[test]
fn a_connection_that_is_cut_for_being_silent_is_kept_alive_oftener() {
    let Some(mut scene) = Scene::start() else { return };
    scene.link.cut_when_silent(Duration::from_secs(9));
    scene.agent.stop();
    scene.agent.options.push("--keep-alive=20".into());
    scene.agent.start();
    wait::until("the agent to learn", LONG, || {
        let log = scene.agent.log();
        // Every 6 s, or 5 where a cut was noticed early. The connection that taught it is gone: the next one counts.
        let learned = log.split_once("the network cuts a silent connection: it is kept alive every ");
        if learned.is_some_and(|(_, after)| after.contains("connected to ")) { Ok(()) } else { Err(log) }
    });
    // The agent says that it is connected; the server may write that down a moment later.
    std::thread::sleep(Duration::from_secs(1));
    scene.api().wait_online(scene.host(), true, LONG);
    let connects = scene.server.log().matches("host connected").count();
    wait::never("another cut", Duration::from_secs(25), || {
        (scene.server.log().matches("host connected").count() > connects).then(|| scene.agent.log())
    });
}

#[test]
fn a_network_that_falls_silent_is_noticed_on_both_sides() {
    let Some(mut scene) = Scene::start() else { return };
    scene.agent.stop();
    scene.agent.options.push("--keep-alive=15".into());
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let (job, _) = scene.backup_in_the_middle();
    scene.link.hold();
    scene.api().wait_online(scene.host(), false, SILENCE);
    scene.let_it_finish();
    scene.link.heal();
    scene.api().wait_online(scene.host(), true, LONG);
    assert_nothing_lost_nothing_doubled(&scene, &job);
}
