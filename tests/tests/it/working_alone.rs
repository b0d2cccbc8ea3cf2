//! The server is away, and backups go on: the agent runs what is due by itself, and tells it all when the server is back.

use serde_json::Value;
use tests::{
    scene::Scene,
    wait::{self, LONG},
};

#[test]
fn due_backups_run_while_the_server_is_away_and_are_told_afterwards() {
    let Some(mut scene) = Scene::start() else { return };
    scene.backs_up_alone();
    let before = scene.repository().snapshots().len();
    scene.server.kill_9();
    // By itself, twice: also after the agent was killed while it was cut off.
    let made = |scene: &Scene, count: usize| {
        wait::until("a backup without the server", 2 * LONG, || {
            let snapshots = scene.repository().snapshots().len();
            if snapshots >= before + count { Ok(()) } else { Err(format!("{snapshots} snapshots")) }
        });
    };
    made(&scene, 1);
    // The snapshot is there a moment before restic has ended, and the agent knows of it.
    wait::until("that backup to have ended", LONG, || {
        let log = scene.agent.log();
        if log.contains("ended: Succeeded") { Ok(()) } else { Err(log) }
    });
    scene.agent.kill_9();
    scene.agent.start();
    made(&scene, 2);
    scene.server.start_again();
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = scene.api().delete(&format!("/api/hosts/{}/schedules/often", scene.host())).expect(204);
    let is_own = |job: &&Value| job["actor_kind"] == "agent";
    let all = wait::until("both to be told of, and nothing to be open", LONG, || {
        let all = scene.backups();
        let is_open = all.iter().any(|job| job["finished_at"].is_null());
        if !is_open && all.iter().filter(is_own).count() >= 2 { Ok(all) } else { Err(format!("{all:?}")) }
    });
    let own: Vec<&Value> = all.iter().filter(is_own).collect();
    // Every snapshot is known, with the log of its job, and each is of one job.
    scene.each_backup_ran_once();
    for job in own.iter().filter(|job| job["state"] == "succeeded") {
        let _ = scene.api().whole_log(job["id"].as_str().expect("an id"));
    }
    let audit = scene.api().get("/api/audit?action=job.backup").expect(200).to_string();
    assert!(audit.contains("while the server was away"), "{audit}");
}
