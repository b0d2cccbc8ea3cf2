//! Somebody makes a new repository in the place of the old one: the address and the password still fit, restic finds
//! nothing wrong, and everything that was saved is gone.

use serde_json::{Value, json};
use std::fs;
use tests::{
    browser::Browser,
    mosquitto::Viewer,
    scene::{HOST, Scene},
    tools::{self, Tool},
    wait::{self, SOON},
};

fn stands(scene: &Scene) -> (Value, Value) {
    let host = scene.api().host(scene.host());
    (host["status"].clone(), host["reason"].clone())
}

#[test]
fn a_repository_that_was_made_anew_is_told_by_the_next_backup_and_taken_by_a_test() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver, Tool::MosquittoSub]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let (user, password) = scene.server.add_viewer("desk");
    let watch = Viewer::new(scene.server.mqtt_plain, &user, &password).watch("hf/1/view/+/presence");
    let _ = scene.back_up();
    let _ = scene.back_up();
    let old = scene.server.repo(scene.host());
    assert_eq!((&old["snapshots"], &old["replaced_by"]), (&json!(2), &Value::Null), "{old}");
    assert_eq!(stands(&scene).0, "ok");

    let repository = scene.storage.repository();
    fs::rename(&repository, repository.with_extension("old")).expect("the old repository aside");
    scene.repository().init();
    let _ = scene.back_up();
    let failed = (json!("failed"), json!("Another repository is at its address"));
    wait::until("the host to have failed", SOON, || {
        let seen = stands(&scene);
        if seen == failed { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    let repo = scene.server.repo(scene.host());
    assert_eq!((&repo["repo_id"], &repo["snapshots"]), (&old["repo_id"], &json!(2)), "{repo}");
    let new = repo["replaced_by"].clone();
    assert!(new.is_string() && new != old["repo_id"], "{repo}");
    let presence = format!("hf/1/view/{HOST}/presence");
    let _ =
        watch.wait_for(&presence, SOON, |seen| (seen["status"].clone(), seen["reason"].clone()) == failed);

    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.open(&format!("{}/hosts/{}/repo", scene.server.base(), scene.host()));
    browser.wait_text("Another repository is at this address", SOON);
    browser.click(&browser.find("#repo-health [form=probe]"));
    wait::until("the new repository to be taken", SOON, || {
        let repo = scene.server.repo(scene.host());
        if repo["repo_id"] == new && repo["replaced_by"].is_null() { Ok(()) } else { Err(repo.to_string()) }
    });
    // What was saved since is in it.
    assert_eq!(stands(&scene).0, "ok");
    let _ = watch.wait_for(&presence, SOON, |seen| seen["status"] == "ok");
}
