//! Backups that nobody asks for: at their time, and at the host's return when it was away then.

use serde_json::{Value, json};
use tests::{
    api::text,
    scene::{GROUP, Scene},
    wait::{self, LONG},
};

fn put_schedule(scene: &Scene, cron: &str) -> Value {
    let path = format!("/api/hosts/{}/schedules/often", scene.host());
    let answer =
        scene.api().put(&path, &json!({ "cron": cron, "timezone": "Europe/Berlin", "groups": [GROUP] }));
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
    answer.body
}

/// The jobs that the schedule caused, newest first.
fn scheduled(scene: &Scene) -> Vec<Value> {
    let mut jobs = scene.api().jobs(scene.host());
    jobs.retain(|job| job["actor_kind"] == "schedule" && job["actor"] == "often");
    jobs
}

fn pending(scene: &Scene) -> Vec<Value> {
    scene.api().get("/api/pending").expect(200)["items"].as_array().expect("a list").clone()
}

#[test]
fn a_backup_runs_when_it_is_due_and_one_that_its_host_was_away_for_runs_once_at_its_return() {
    let Some(mut scene) = Scene::start() else { return };
    let due_at = text(&put_schedule(&scene, "* * * * *")["next_due_at"]);
    assert_eq!(text(&scene.api().host(scene.host())["next_run_at"]), due_at);
    let first = wait::until("the schedule's first job", LONG, || {
        scheduled(&scene).pop().ok_or_else(|| "no job yet".to_owned())
    });
    // Both are UTC in the same form, to the second.
    assert!(text(&first["created_at"]) >= due_at, "{first}: due at {due_at}");
    let _ = scene.api().wait_job(&text(&first["id"]), &["succeeded"], LONG);
    assert!(pending(&scene).is_empty());

    scene.agent.stop();
    let run = wait::until("the next due backup to wait", LONG, || {
        pending(&scene).pop().ok_or_else(|| "nothing waits".to_owned())
    });
    assert_eq!((&run["group"], &run["last_error"]["code"]), (&json!(GROUP), &json!("host_offline")));
    // From now on nothing more falls due.
    let _ = put_schedule(&scene, "0 0 1 1 *");
    let before = scheduled(&scene).len();
    scene.server.kill_9();
    scene.server.start_again();
    let kept = pending(&scene);
    assert_eq!((kept.len(), &kept[0]["id"]), (1, &run["id"]), "a server that dies forgets nothing");

    scene.agent.start();
    wait::until("the run to be handed over", LONG, || match pending(&scene).pop() {
        None => Ok(()),
        Some(run) => Err(run.to_string()),
    });
    let jobs = scheduled(&scene);
    assert_eq!(jobs.len(), before + 1);
    let _ = scene.api().wait_job(&text(&jobs[0]["id"]), &["succeeded"], LONG);
    assert_eq!(scheduled(&scene).len(), before + 1);
    assert_eq!(scene.repository().snapshots().len(), before + 1, "restic ran once for each");
}
