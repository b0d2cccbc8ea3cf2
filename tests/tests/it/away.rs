//! A host that is away while much is asked of it: nothing is lost, nothing is done twice.

use serde_json::json;
use std::collections::BTreeSet;
use tests::{
    scene::Scene,
    wait::{self, LONG},
};

#[test]
fn what_was_asked_while_the_host_was_away_is_answered_once_when_it_is_back() {
    let Some(mut scene) = Scene::start() else { return };
    scene.agent.stop();
    scene.api().wait_online(scene.host(), false, LONG);
    let (mut taken, mut refused) = (BTreeSet::new(), 0);
    for _ in 0..60 {
        let answer = scene.api().post(&format!("/api/hosts/{}/repo/stats", scene.host()), None);
        match answer.status {
            202 => {
                taken.insert(answer.body["id"].as_str().expect("a job").to_owned());
            }
            409 | 429 | 503 => {
                assert!(
                    ["host_offline", "queue_full", "job_in_progress"].contains(&answer.code()),
                    "{}",
                    answer.text
                );
                refused += 1;
            }
            _ => panic!("{}", answer.text),
        }
    }
    assert_eq!(taken.len() + refused, 60);

    // Away and back a few times, in the middle of it.
    for _ in 0..3 {
        scene.agent.start();
        scene.api().wait_online(scene.host(), true, LONG);
        scene.link.cut();
        scene.link.heal();
        scene.api().wait_online(scene.host(), true, LONG);
        scene.agent.kill_9();
    }
    scene.agent.start();
    for job in &taken {
        let ended = scene.api().wait_end(job, 2 * LONG);
        assert!(
            ended["state"] == "succeeded" || !ended["class"].is_null() || !ended["refusal"].is_null(),
            "{ended}"
        );
    }
    let jobs = scene.api().jobs(scene.host());
    let mut stats: Vec<&str> =
        jobs.iter().filter(|job| job["kind"] == "stats").filter_map(|job| job["id"].as_str()).collect();
    stats.sort_unstable();
    assert!(stats.iter().copied().eq(taken.iter().map(String::as_str)), "{stats:?} and {taken:?}");
    // Each started once: its log has one beginning.
    for job in &taken {
        if scene.api().job(job)["state"] == "succeeded" {
            let _ = scene.api().whole_log(job);
        }
    }
    let _ = scene.back_up();
}

#[test]
fn credentials_that_change_while_the_host_is_away_reach_it() {
    let Some(mut scene) = Scene::start() else { return };
    let _ = scene.back_up();
    scene.agent.stop();
    scene.api().wait_online(scene.host(), false, LONG);
    let path = format!("/api/hosts/{}/repo-credentials", scene.host());
    let wrong = json!({ "url": scene.credentials.url, "repo_password": "not this one" });
    for _ in 0..5 {
        assert_eq!(scene.api().put(&path, &wrong).status, 200);
    }
    scene.api().put_credentials(scene.host(), &scene.credentials);
    scene.agent.start();
    wait::until("the agent to hold the newest credentials", LONG, || {
        let seen = scene.api().get(&path);
        if seen.body["held"] == true { Ok(()) } else { Err(seen.text) }
    });
    let _ = scene.back_up();
    assert_eq!(scene.repository().snapshots().len(), 2);
}
