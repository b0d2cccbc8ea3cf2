//! The everyday slot adds and never deletes; the admin slot deletes, is held for its job, and stays nowhere.

use serde_json::{Value, json};
use std::{fs, path::Path};
use tests::{
    api::Credentials,
    browser::Browser,
    repository::Repository,
    scene::{GROUP, Scene},
    secrets::files_below,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

fn bytes_below(folder: &Path) -> u64 {
    files_below(folder).iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum()
}

/// Two snapshots, of which the rules keep one; the files of the other are gone.
fn two_snapshots(scene: &Scene) {
    scene.add_sources("passing");
    let _ = scene.back_up();
    fs::remove_dir_all(scene.sources.join("passing")).expect("files of ours");
    let _ = scene.back_up();
    let sources = scene.sources.display().to_string();
    scene.api().set_keep(scene.host(), GROUP, &[&sources], &json!({ "last": 1 }));
}

fn wait_slot(scene: &Scene, what: &str, is_so: impl Fn(&Value) -> bool) {
    wait::until(what, SOON, || {
        let slot = scene.api().slot(scene.host(), "admin");
        if is_so(&slot) { Ok(()) } else { Err(slot.to_string()) }
    });
}

#[test]
fn the_everyday_slot_cannot_delete_and_the_admin_slot_can() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let (api, host) = (scene.api(), scene.host());
    two_snapshots(&scene);
    let check = api.do_ask(host, "check");
    assert_eq!((&check["state"], &check["summary"]["errors"]), (&json!("succeeded"), &json!(0)), "{check}");

    // Without the admin slot.
    let before = bytes_below(&scene.storage.repository());
    let prune = api.post(&format!("/api/hosts/{host}/repo/prune"), None);
    assert_eq!((prune.status, prune.code()), (409, "admin_creds_required"), "{}", prune.text);
    let forget = api.do_ask(host, "forget");
    assert_eq!((&forget["state"], &forget["class"]), (&json!("failed"), &json!("append_only")), "{forget}");
    let group = json!({ "group": GROUP, "class": "append_only", "removed": 0 });
    for field in ["group", "class", "removed"] {
        assert_eq!(forget["summary"][0][field], group[field], "{forget}");
    }
    assert_eq!(scene.repository().snapshots().len(), 2);
    assert_eq!(bytes_below(&scene.storage.repository()), before, "the repository has not grown");

    // With it: the agent is asked at once, and gets it with the jobs alone.
    api.put_admin_credentials(host, &scene.admin_credentials());
    wait_slot(&scene, "the agent to say that it takes the admin slot", |slot| slot["held"] == true);
    let forget = api.do_ask(host, "forget");
    assert_eq!(forget["state"], "succeeded", "{forget}");
    assert_eq!((&forget["summary"][0]["kept"], &forget["summary"][0]["removed"]), (&json!(1), &json!(1)));
    let prune = api.do_ask(host, "prune");
    assert_eq!(prune["state"], "succeeded", "{prune}");
    let freed = prune["summary"]["freed_bytes"].as_u64().expect("a size");
    let after = bytes_below(&scene.storage.repository());
    assert!(freed > 20_000_000 && before - after > 20_000_000, "{prune}: {before} bytes, then {after}");
    let repo = scene.server.repo(host);
    assert_eq!(repo["size_bytes"], prune["summary"]["remaining_bytes"], "{repo}");
    assert_eq!((&repo["snapshots"], &repo["last_prune_freed_bytes"]), (&json!(1), &json!(freed)), "{repo}");
    // The everyday jobs go on, with the figures that the other door has left.
    let _ = scene.back_up();
    assert_eq!(scene.repository().is_sound(), Ok(()));

    // Nothing of it stays on the host: neither in clear nor sealed.
    assert_eq!(scene.secrets.found_below(&scene.agent.state_dir), []);
    assert!(!scene.agent.state_dir.join("slot-admin").exists());
    assert!(scene.agent.log().contains("held for one job"));

    // What the page tells of the two jobs.
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    for (job, words) in
        [(&forget, [GROUP, "1 removed", "1 kept"]), (&prune, ["Freed", "Packs repacked", "Remaining"])]
    {
        browser.open(&format!("{}/jobs/{}", scene.server.base(), job["id"].as_str().expect("an id")));
        words.iter().for_each(|words| browser.wait_text(words, SOON));
    }

    // Removed twice is removed; then it is as before.
    for _ in 0..2 {
        assert_eq!(api.delete(&format!("/api/hosts/{host}/admin-credentials")).status, 204);
    }
    assert_eq!(api.slot(host, "admin")["set"], false);
    let prune = api.post(&format!("/api/hosts/{host}/repo/prune"), None);
    assert_eq!((prune.status, prune.code()), (409, "admin_creds_required"), "{}", prune.text);
    let audit = api.get("/api/audit?limit=200").text;
    assert_eq!(audit.matches("\"credentials.deleted\"").count(), 1, "{audit}");
}

#[test]
fn admin_credentials_of_another_repository_delete_nothing_in_it() {
    let Some(scene) = Scene::start() else { return };
    let (api, host) = (scene.api(), scene.host());
    two_snapshots(&scene);
    let elsewhere = scene.sources.with_file_name("elsewhere");
    let _ = repository_files::make(&elsewhere, "another password");
    let elsewhere = elsewhere.display().to_string();
    let another = Repository::at(&elsewhere, "another password");
    let sources = scene.sources.display().to_string();
    for _ in 0..2 {
        let saved = another.restic(&["backup", "--quiet", "--tag", GROUP, &sources]);
        let _ = saved.expect_success("backup by hand");
    }
    let credentials = Credentials {
        url: elsewhere,
        login: None,
        repo_password: "another password".to_owned(),
        env: Vec::new(),
    };
    api.put_admin_credentials(host, &credentials);
    wait_slot(&scene, "the agent to say that it takes the admin slot", |slot| slot["held"] == true);
    for kind in ["forget", "prune"] {
        let job = api.do_ask(host, kind);
        assert_eq!((&job["state"], &job["class"]), (&json!("failed"), &json!("other_repo")), "{job}");
    }
    assert_eq!(another.snapshots().len(), 2);
    // What is known of the host's own repository stays, and the right ones are taken.
    assert_eq!(scene.server.repo(host)["snapshots"], 2);
    api.put_admin_credentials(host, &scene.admin_credentials());
    wait_slot(&scene, "the agent to say that it takes the admin slot", |slot| slot["held"] == true);
    let forget = api.do_ask(host, "forget");
    assert_eq!(forget["state"], "succeeded", "{forget}");
}

#[test]
fn a_machine_whose_owner_allows_no_admin_slot_says_so_before_the_first_prune() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    two_snapshots(&scene);
    scene.agent.stop();
    scene.agent.wrapper = ["env", "HOLDFAST_AGENT_NO_ADMIN_SLOT=1"].map(Into::into).into();
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.open(&format!("{}/hosts/{}/repo", scene.server.base(), scene.host()));
    let admin = scene.admin_credentials();
    let (user, password) = admin.login.clone().expect("a login");
    browser.send_form(
        "#admin-credentials",
        &[
            ("url", &admin.url),
            ("username", &user),
            ("password", &password),
            ("repo_password", &admin.repo_password),
        ],
    );
    wait_slot(&scene, "the agent to refuse the admin slot", |slot| slot["refused"] == "policy");
    browser.open(&format!("{}/hosts/{}/repo", scene.server.base(), scene.host()));
    browser.wait_text("refuses admin credentials: its own policy forbids them", SOON);

    browser.wait_text("only its owner can allow them, on the host", SOON);
    let prune = scene.api().post(&format!("/api/hosts/{}/repo/prune", scene.host()), None);
    assert_eq!((prune.status, prune.code()), (409, "admin_creds_forbidden"), "{}", prune.text);
    let forget = scene.api().do_ask(scene.host(), "forget");
    assert_eq!((&forget["state"], &forget["class"]), (&json!("failed"), &json!("append_only")), "{forget}");
    assert_eq!(scene.repository().snapshots().len(), 2);

    // Its owner changes his mind: the page follows by itself, and the job runs.
    scene.agent.stop();
    scene.agent.wrapper.clear();
    scene.agent.start();
    wait_slot(&scene, "the agent to take the admin slot", |slot| slot["held"] == true);
    let prune = scene.api().do_ask(scene.host(), "prune");
    assert_eq!(prune["state"], "succeeded", "{prune}");
}
