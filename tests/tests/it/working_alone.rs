//! The server is away, and backups go on: the agent runs what is due by itself, and tells it all when the server is back.

use serde_json::{Value, json};
use tests::{
    scene::{GROUP, Scene},
    wait::{self, LONG},
};

fn backups(scene: &Scene) -> Vec<Value> {
    let mut jobs = scene.api().jobs(scene.host());
    jobs.retain(|job| job["kind"] == "backup");
    jobs
}

#[test]
fn due_backups_run_while_the_server_is_away_and_are_told_afterwards() {
    let Some(mut scene) = Scene::start() else { return };
    scene.agent.options = vec!["--alone-after".into(), "3".into()];
    scene.agent.stop();
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let each_minute = json!({"name": "often", "cron": "* * * * *", "groups": [GROUP]});
    let _ =
        scene.api().post(&format!("/api/hosts/{}/schedules", scene.host()), Some(&each_minute)).expect(201);
    wait::until("the plan to arrive", LONG, || {
        let log = scene.agent.log();
        if log.contains("for when the server is away") { Ok(()) } else { Err(log) }
    });
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
        let all = backups(&scene);
        let is_open = all.iter().any(|job| job["finished_at"].is_null());
        if !is_open && all.iter().filter(is_own).count() >= 2 { Ok(all) } else { Err(format!("{all:?}")) }
    });
    let own: Vec<&Value> = all.iter().filter(is_own).collect();
    // Every snapshot is known, with the log of its job, and each is of one job.
    let mut told: Vec<String> = all
        .iter()
        .filter_map(|job| job["summary"]["snapshot"].as_str())
        .map(|id| id.chars().take(8).collect())
        .collect();
    told.sort_unstable();
    let mut made: Vec<String> = scene
        .repository()
        .snapshots()
        .iter()
        .filter_map(|snapshot| snapshot["short_id"].as_str().map(str::to_owned))
        .collect();
    made.sort_unstable();
    assert_eq!(told, made, "{all:?}");
    for job in own.iter().filter(|job| job["state"] == "succeeded") {
        let _ = scene.api().whole_log(job["id"].as_str().expect("an id"));
    }
    let audit = scene.api().get("/api/audit?action=job.backup").expect(200).to_string();
    assert!(audit.contains("while the server was away"), "{audit}");
}
