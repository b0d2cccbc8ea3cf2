//! `mosquitto_sub`, the API and the page tell the same story.

use serde_json::{Value, json};
use tests::{
    browser::Browser,
    mosquitto::Viewer,
    scene::{GROUP, HOST, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

#[test]
fn a_backup_is_the_same_on_the_page_in_the_api_and_in_the_view_tree() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver, Tool::MosquittoSub]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let (user, password) = scene.server.add_viewer("home-assistant");
    let viewer = Viewer::new(scene.server.mqtt_plain, &user, &password);
    let watch = viewer.watch("hf/1/view/#");
    let topic = |rest: &str| format!("hf/1/view/{HOST}/{rest}");
    let presence = watch.wait_for(&topic("presence"), SOON, |seen| seen["online"] == true);
    assert_eq!(presence["id"], scene.host());

    let browser = Browser::start();
    scene.server.sign_in(&browser);
    let (job, _) = scene.backup_in_the_middle();
    browser.open(&format!("{}/jobs/{job}", scene.server.base()));

    // In the middle: running everywhere.
    let running = watch.wait_for(&topic(&format!("job/{job}")), SOON, |seen| {
        seen["state"] == "running" && seen["progress"]["bytes_done"].as_u64().is_some_and(|bytes| bytes > 0)
    });
    assert_eq!((&running["kind"], &running["groups"]), (&"backup".into(), &json!([GROUP])));
    let seen = scene.api().job(&job);
    assert_eq!(seen["state"], "running");
    assert_eq!(seen["progress"]["bytes_total"], running["progress"]["bytes_total"], "{seen}");
    browser.wait_begins(".title-line .badge", "Running", SOON);

    // At the end: the same figures, and the page follows without a reload.
    scene.let_it_finish();
    let ended = scene.api().wait_job(&job, &["succeeded"], LONG);
    let last = watch.wait_for(&topic("last/backup"), SOON, |seen| seen["id"] == job.as_str());
    assert_told(&last, &ended, &["actor", "error", "restore"]);
    let snapshot = ended["summary"]["snapshot"].as_str().expect("a snapshot");
    browser.wait_begins(".title-line .badge", "Succeeded", SOON);
    // restic's own last words, in the log.
    browser.wait_text(&snapshot[..8], SOON);

    // The repository's figures.
    let repo = scene.server.repo(scene.host());
    let told = watch.wait_for(&topic("repo"), SOON, |seen| seen["snapshots"] == 1);
    assert_told(&told, &repo, &["history", "repo_id"]);

    // How the host stands.
    let host = scene.api().host(scene.host());
    assert_eq!(host["status"], "ok", "{host}");
    let told = watch.wait_for(&topic("presence"), SOON, |seen| seen["status"] == "ok");
    for (field, value) in told.as_object().expect("an object") {
        assert_eq!(*value, host[field], "{field}");
    }

    // What is over is not retained as if it ran; what is retained, every client finds.
    wait::until("the job to leave the tree", SOON, || {
        let kept = viewer.retained("hf/1/view/#");
        let job = topic(&format!("job/{job}"));
        if kept.iter().any(|(kept, _)| *kept == job) { Err(format!("{kept:?}")) } else { Ok(()) }
    });
    if tools::needs(&[Tool::Paho]) {
        let sorted = |mut kept: Vec<(String, String)>| {
            kept.sort();
            kept
        };
        assert_eq!(sorted(viewer.retained_by_paho("hf/1/view/#")), sorted(viewer.retained("hf/1/view/#")));
    }
}

/// A topic says all that the API says, in the same words, but for what is left out on purpose.
fn assert_told(told: &Value, api: &Value, left_out: &[&str]) {
    let mut expected = api.as_object().expect("an object").clone();
    for field in left_out {
        assert!(expected.remove(*field).is_some(), "{field}");
    }
    assert_eq!(*told, Value::Object(expected));
}

#[test]
fn a_failed_backup_is_told_of_the_host_too() {
    if !tools::needs(&[Tool::MosquittoSub]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let (user, password) = scene.server.add_viewer("desk");
    let watch = Viewer::new(scene.server.mqtt_plain, &user, &password).watch("hf/1/view/+/presence");
    let presence = format!("hf/1/view/{HOST}/presence");
    let _ = watch.wait_for(&presence, SOON, |seen| seen["online"] == true);
    scene.api().set_includes(scene.host(), GROUP, &["/no such folder"]);
    let job = scene.api().back_up(scene.host(), GROUP);
    let _ = scene.api().wait_job(&job, &["failed"], LONG);
    let told = watch.wait_for(&presence, SOON, |seen| seen["status"] == "failed");
    assert_eq!(told["reason"], scene.api().host(scene.host())["reason"]);
}

#[test]
fn a_check_stands_alike_in_all_three_and_its_decision_follows() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver, Tool::MosquittoSub]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let (user, password) = scene.server.add_viewer("desk");
    let watch = Viewer::new(scene.server.mqtt_plain, &user, &password).watch("hf/1/view/+/repo");
    let _ = scene.back_up();
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.open(&format!("{}/hosts/{}/repo", scene.server.base(), scene.host()));
    browser.wait_begins("#decision-check", "due in", SOON);
    let check = scene.api().ask(scene.host(), "check");
    let _ = scene.api().wait_job(&check, &["succeeded"], LONG);
    browser.wait_begins("#decision-check", "done today", SOON);
    browser.wait_begins("#repo-health .badge", "Ok", SOON);
    let _ = watch.wait_for(&format!("hf/1/view/{HOST}/repo"), SOON, |seen| seen["last_check_status"] == "ok");
    let repo = scene.api().get(&format!("/api/hosts/{}/repo", scene.host())).expect(200);
    assert_eq!((&repo["last_check_status"], &repo["last_check_subset_pct"]), (&json!("ok"), &json!(5)));
}

#[test]
fn presence_goes_and_comes_in_all_three() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver, Tool::MosquittoSub]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    let (user, password) = scene.server.add_viewer("desk");
    let watch = Viewer::new(scene.server.mqtt_plain, &user, &password).watch("hf/1/view/+/presence");
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.open(&format!("{}/hosts/{}", scene.server.base(), scene.host()));
    for round in 0..2 {
        if round == 0 {
            scene.agent.stop();
        } else {
            scene.agent.kill_9();
        }
        scene.api().wait_online(scene.host(), false, SOON);
        let _ = watch.wait_for(&format!("hf/1/view/{HOST}/presence"), SOON, |seen| seen["online"] == false);
        browser.wait_begins("#host-presence .badge", "offline", SOON);
        scene.agent.start();
        scene.api().wait_online(scene.host(), true, SOON);
        let _ = watch.wait_for(&format!("hf/1/view/{HOST}/presence"), SOON, |seen| seen["online"] == true);
        browser.wait_begins("#host-presence .badge", "online", SOON);
    }
}

#[test]
fn a_viewer_sees_the_view_tree_and_nothing_else() {
    if !tools::needs(&[Tool::MosquittoSub, Tool::MosquittoPub]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let (user, password) = scene.server.add_viewer("curious");
    let viewer = Viewer::new(scene.server.mqtt_plain, &user, &password);
    let all = viewer.watch("#");
    let own = viewer.watch(&format!("hf/1/{}/#", scene.host()));
    let tree = viewer.watch("hf/1/view/#");
    let _ = tree.wait_for(&format!("hf/1/view/{HOST}/presence"), SOON, |seen| seen["online"] == true);
    // It may say what it likes.
    let forged = format!("hf/1/view/{HOST}/presence");
    let _ = viewer.publish(&forged, r#"{"online":false,"forged":true}"#);
    let _ = viewer.publish(&format!("hf/1/{}/presence", scene.host()), "gone");
    let _ = scene.back_up();
    let _ =
        tree.wait_for(&format!("hf/1/view/{HOST}/last/backup"), SOON, |seen| seen["state"] == "succeeded");
    assert_eq!(own.messages(), []);
    let strays: Vec<String> = all
        .messages()
        .into_iter()
        .map(|(topic, _)| topic)
        .filter(|topic| !topic.starts_with("hf/1/view/"))
        .collect();
    assert_eq!(strays, Vec::<String>::new());
    let forgeries: Vec<Value> =
        tree.on(&forged).into_iter().filter(|seen| !seen["forged"].is_null()).collect();
    assert_eq!(forgeries, Vec::<Value>::new());
    assert_eq!(scene.api().host(scene.host())["online"], true);
}

#[test]
fn a_wrong_login_sees_nothing() {
    if !tools::needs(&[Tool::MosquittoSub]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let (user, _) = scene.server.add_viewer("desk");
    for (user, password) in [(user.as_str(), "wrong"), ("nobody", "wrong"), (scene.host(), "wrong")] {
        let viewer = Viewer::new(scene.server.mqtt_plain, user, password);
        assert_eq!(viewer.retained("hf/1/view/#"), [], "{user}");
    }
}
