//! A due backup that nobody wanted ended is tried again: the agent was stopped or started anew, or something else on
//! its machine ended restic.

use serde_json::{Value, json};
use std::process::Command;
use tests::{
    api::{has_ended, text},
    process::run,
    scene::{GROUP, Scene},
    wait::{self, LONG, SOON},
};

fn put_schedule(scene: &Scene, cron: &str) {
    let path = format!("/api/hosts/{}/schedules/often", scene.host());
    let answer = scene.api().put(&path, &json!({ "cron": cron, "timezone": "UTC", "groups": [GROUP] }));
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
}

/// The jobs that the schedule caused, newest first.
fn scheduled(scene: &Scene) -> Vec<Value> {
    let mut jobs = scene.api().jobs(scene.host());
    jobs.retain(|job| job["actor_kind"] == "schedule");
    jobs
}

fn pending(scene: &Scene) -> Vec<Value> {
    scene.api().get("/api/pending").expect(200)["items"].as_array().expect("a list").clone()
}

fn kill(signal: &str, pid: u32) {
    let mut command = Command::new("kill");
    command.arg(signal).arg(pid.to_string());
    let _ = run("kill", command, SOON).expect_success("kill");
}

/// Waits until a due backup is in the middle of its data, and lets nothing more fall due: job and restic's number.
fn due_backup_in_the_middle(scene: &Scene) -> (String, u32) {
    let before = scene.storage_link.passed_up();
    scene.storage_link.slow(Some(400_000));
    put_schedule(scene, "* * * * *");
    let job = wait::until("the schedule's job", LONG, || {
        let open = scheduled(scene).into_iter().find(|job| !has_ended(&text(&job["state"])));
        open.map(|job| text(&job["id"])).ok_or_else(|| "no job yet".to_owned())
    });
    put_schedule(scene, "0 0 1 1 *");
    let restic = scene.agent.wait_restic();
    let _ = scene.api().wait_job(&job, &["running"], SOON);
    wait::until("a piece of the data to be stored", LONG, || {
        let passed = scene.storage_link.passed_up() - before;
        if passed > 600_000 { Ok(()) } else { Err(format!("{passed} bytes so far")) }
    });
    (job, restic)
}

#[test]
fn a_due_backup_that_nobody_wanted_ended_is_tried_again_by_itself() {
    let Some(mut scene) = Scene::start() else { return };
    for (how, ended_by) in [("SIGTERM", "agent"), ("SIGUSR2", "agent"), ("SIGINT to restic", "machine")] {
        scene.add_sources(how);
        let (job, restic) = due_backup_in_the_middle(&scene);
        scene.let_it_finish();
        match how {
            "SIGTERM" => {
                scene.agent.stop();
                scene.agent.start();
            }
            "SIGUSR2" => kill("-USR2", scene.agent.pid()),
            _ => kill("-INT", restic),
        }
        let ended = scene.api().wait_end(&job, LONG);
        if ended["state"] == "succeeded" {
            // It was quicker than the signal: then there is nothing to try again.
            continue;
        }
        // Of a signal restic 0.18 says sometimes that it failed.
        let is_told = (&ended["state"], &ended["ended_by"]) == (&json!("cancelled"), &json!(ended_by));
        assert!(is_told || (ended["state"] == "failed" && ended_by == "machine"), "{how}: {ended}");
        let host = scene.api().host(scene.host());
        assert!(scheduled(&scene).len() > 1 || host["status"] != "ok", "{how}: {host}");
        let again = wait::until("the next try", LONG, || {
            let newest = scheduled(&scene).remove(0);
            if newest["id"] == job.as_str() { Err(format!("{:?}", pending(&scene))) } else { Ok(newest) }
        });
        let _ = scene.api().wait_job(&text(&again["id"]), &["succeeded"], LONG);
        assert_eq!(pending(&scene), Vec::<Value>::new(), "{how}");
        assert_eq!(scene.api().host(scene.host())["status"], "ok", "{how}");
        assert_eq!(scene.repository().locks(), Vec::<String>::new(), "{how}");
    }
    // A person's cancel is a decision.
    scene.add_sources("cancelled");
    let (job, _) = due_backup_in_the_middle(&scene);
    let _ = scene.api().post(&format!("/api/jobs/{job}/cancel"), None);
    scene.let_it_finish();
    let ended = scene.api().wait_end(&job, LONG);
    if ended["state"] == "cancelled" {
        assert_eq!(ended["ended_by"], "person", "{ended}");
    }
    assert_eq!(pending(&scene), Vec::<Value>::new());
    assert_eq!(scene.api().host(scene.host())["status"], "ok");
}
