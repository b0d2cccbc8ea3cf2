//! A path that brings nothing to a snapshot is told, on the page too; the repository and the agent's keys are never in
//! one.

use serde_json::{Value, json};
use std::fs;
use tests::{
    agent::{Agent, other_disks},
    api::text,
    repository::Repository,
    scene::{GROUP, Scene},
    scratch::Scratch,
    server::Server,
    tools::{self, Tool},
    wait::LONG,
};

fn findings(job: &Value) -> Vec<(String, String)> {
    let list = job["summary"]["findings"].as_array().expect("findings");
    list.iter().map(|it| (text(&it["path"]), text(&it["reason"]))).collect()
}

#[test]
fn a_path_that_brings_nothing_beside_one_that_does_is_a_warning_with_its_reason() {
    let Some(scene) = Scene::start() else { return };
    let (api, host) = (scene.api(), scene.host());
    let files = scene.sources.display().to_string();
    let at = |name: &str| scene.scratch.path().join(name).display().to_string();
    std::os::unix::fs::symlink(&scene.sources, at("link")).expect("a link");
    fs::create_dir(at("empty")).expect("a folder");
    for (path, reason, class) in [
        (at("link"), "link", "source_empty"),
        (at("empty"), "empty", "source_empty"),
        (at("gone"), "missing", "source_missing"),
    ] {
        api.set_includes(host, GROUP, &[&path, &files]);
        let job = api.wait_job(&api.back_up(host, GROUP), &["warning"], LONG);
        assert_eq!(job["class"], class, "{job}");
        assert_eq!(findings(&job), [(path.clone(), reason.to_owned())], "{job}");
        let found = &job["summary"]["findings"][0];
        assert!(text(&found["text"]).starts_with(&path), "{found}");
        assert_eq!(found["leads_to"], if reason == "link" { json!(files) } else { Value::Null }, "{found}");
        assert_ne!(api.host(host)["status"], "ok");
    }
    // One letter as one character on the disk, as two in the source group: they look the same to everybody.
    let (there, asked) = (at("Gr\u{f6}\u{df}e"), at("Gro\u{308}\u{df}e"));
    fs::create_dir(&there).expect("a folder");
    fs::write(format!("{there}/file"), "here").expect("a file");
    api.set_includes(host, GROUP, &[&asked, &files]);
    let job = api.wait_job(&api.back_up(host, GROUP), &["warning"], LONG);
    assert_eq!(
        (&job["class"], &job["summary"]["findings"][0]["leads_to"]),
        (&json!("source_missing"), &json!(there)),
        "{job}"
    );
    assert!(text(&job["error"]).contains(&there), "{job}");
    api.set_includes(host, GROUP, &[&asked]);
    let job = api.wait_job(&api.back_up(host, GROUP), &["failed"], LONG);
    assert!(text(&job["error"]).contains("looks the same") && text(&job["error"]).contains(&there), "{job}");
    assert!(!text(&job["error"]).contains('\u{fffd}'), "{job}");
    api.set_includes(host, GROUP, &[&there]);
    let _ = scene.back_up();
    api.set_includes(host, GROUP, &[&files]);
    let job = scene.back_up();
    assert_eq!(findings(&job), []);
    assert_eq!(api.host(host)["status"], "ok");
}

#[test]
fn a_disk_that_is_not_mounted_and_a_folder_that_holds_only_other_disks_are_told_as_what_they_are() {
    let Some(mut scene) = Scene::start() else { return };
    let (unmounted, outer) = (scene.scratch.folder("usb"), scene.scratch.folder("disks"));
    let inner = scene.scratch.folder("disks/one");
    scene.agent.stop();
    scene.agent.wrapper = other_disks(&scene.scratch.path().join("fstab"), &inner, &unmounted);
    scene.agent.start();
    let (api, host) = (scene.api(), scene.host());
    api.wait_online(host, true, LONG);
    let (files, outer) = (scene.sources.display().to_string(), outer.display().to_string());
    let unmounted = unmounted.display().to_string();
    for (path, one_file_system, expected) in [
        (&unmounted, false, Some(("not_mounted", "source_missing"))),
        (&outer, true, Some(("other_file_system", "source_empty"))),
        (&outer, false, None),
    ] {
        let group = json!({ "includes": [path, files], "one_file_system": one_file_system });
        let _ = api.put(&format!("/api/hosts/{host}/groups/{GROUP}"), &group).expect(200);
        let state = if expected.is_some() { "warning" } else { "succeeded" };
        let job = api.wait_job(&api.back_up(host, GROUP), &[state], LONG);
        let (reasons, class) = expected.unzip();
        assert_eq!(job["class"].as_str(), class, "{job}");
        let reasons: Vec<_> = reasons.map(|reason| (path.clone(), reason.to_owned())).into_iter().collect();
        assert_eq!(findings(&job), reasons, "{job}");
    }
}

#[test]
fn a_repository_below_its_source_does_not_grow_by_itself_and_keys_are_never_saved() {
    if !tools::needs(&[Tool::Restic018]) {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let api = &server.api;
    let machine = scratch.folder("machine");
    let agent = Agent::enroll(api, &scratch.folder("machine/state"), "nas");
    fs::write(machine.join("note"), "beside it").expect("a file");
    std::os::unix::fs::symlink(&machine, scratch.path().join("door")).expect("a link");
    let repository = machine.join("repository").display().to_string();
    let credentials = json!({ "url": format!("local:{repository}"), "repo_password": "secret enough" });
    let host = agent.host.as_str();
    let _ = api.put(&format!("/api/hosts/{host}/repo-credentials"), &credentials).expect(200);
    let _ = repository_files::make(&machine.join("repository"), "secret enough");
    let machine = machine.display().to_string();
    let state = agent.state_dir.display().to_string();
    api.add_group(host, GROUP, &[&machine]);
    let by_hand = Repository::at(&repository, "secret enough");
    for _ in 0..2 {
        let job = api.wait_job(&api.back_up(host, GROUP), &["succeeded"], LONG);
        let mut seen = findings(&job);
        seen.sort();
        let expected = [(repository.clone(), "own_repository"), (state.clone(), "own_state")];
        assert_eq!(seen, expected.map(|(path, reason)| (path, reason.to_owned())), "{job}");
        let log = api.whole_log(&text(&job["id"]));
        assert!(log.iter().any(|line| line.contains("holds its keys")), "{log:?}");
        let listed = by_hand.restic(&["ls", "latest", "--no-lock", "--quiet"]).expect_success("ls by hand");
        assert!(listed.contains("/machine/note"), "{listed}");
        let is_own = |line: &&str| line.starts_with(&state) || line.starts_with(&repository);
        assert_eq!(listed.lines().find(is_own), None);
    }
    let door = scratch.path().join("door/state/local.key").display().to_string();
    for path in [&state, &format!("{state}/local.key"), &door, &repository] {
        api.set_includes(host, GROUP, &[path, &machine]);
        let job = api.wait_job(&api.back_up(host, GROUP), &["failed"], LONG);
        assert_eq!(job["class"], "policy", "{job}");
        let words = if path == &repository { "the repository itself" } else { "holds its keys" };
        assert!(text(&job["error"]).contains(words), "{job}");
    }
    assert_eq!(by_hand.snapshots().len(), 2);
}

#[test]
fn a_host_that_was_added_again_loses_nothing_of_what_was_there_before() {
    for restic in [Tool::Restic014, Tool::Restic018] {
        if !tools::needs(&[restic]) {
            continue;
        }
        let scratch = Scratch::new();
        let server = Server::start(&scratch.folder("server"));
        let api = &server.api;
        let (files, repository) = (scratch.folder("files"), scratch.path().join("repository"));
        for n in 0..40 {
            fs::write(files.join(format!("file-{n}")), format!("{n}").repeat(400)).expect("a file");
        }
        let at = repository.display().to_string();
        let credentials = json!({ "url": at, "repo_password": "secret enough" });
        let group = json!({ "name": GROUP, "includes": [files], "keep": { "last": 1 } });
        let set_up = |state: &str| {
            let added = api.add_host("nas");
            let mut agent = Agent::with_token(&scratch.folder(state), &added.id, &added.enroll_token);
            agent.restic = restic.path();
            agent.start();
            let host = agent.host.clone();
            api.wait_online(&host, true, LONG);
            let _ = api.put(&format!("/api/hosts/{host}/repo-credentials"), &credentials).expect(200);
            let _ = api.post(&format!("/api/hosts/{host}/groups"), Some(&group)).expect(201);
            agent
        };
        let back_up = |host: &str| api.wait_job(&api.back_up(host, GROUP), &["succeeded"], LONG);

        let mut first = set_up("first");
        let _ = repository_files::make(&repository, "secret enough");
        for _ in 0..3 {
            let _ = back_up(&first.host);
        }
        first.stop();
        assert_eq!(api.delete(&format!("/api/hosts/{}", first.host)).status, 204);

        // Its disk is new, and nearly nothing is on it yet.
        for n in 2..40 {
            fs::remove_file(files.join(format!("file-{n}"))).expect("it was there");
        }
        let second = set_up("second");
        let host = second.host.as_str();
        for _ in 0..2 {
            let _ = back_up(host);
        }
        let by_hand = Repository::at(&at, "secret enough");
        let held = |why: &str| {
            let refused = api.post(&format!("/api/hosts/{host}/repo/forget"), None);
            assert_eq!((refused.status, refused.code()), (409, "held"), "{}", refused.text);
            let soundness = api.get(&format!("/api/hosts/{host}/groups/{GROUP}/soundness")).expect(200);
            assert_eq!(soundness["held"], why, "{soundness}");
            assert_eq!(by_hand.snapshots().len(), 5);
            soundness
        };
        let _ = held("unlisted");
        let listing = api.post(&format!("/api/hosts/{host}/snapshots/refresh"), None).expect(202);
        let _ = api.wait_job(&text(&listing["id"]), &["succeeded"], LONG);
        // The older restic does not say how much is in a snapshot.
        let found = held(if restic == Tool::Restic014 { "unsized" } else { "loss" });
        let accepted = json!({ "mark": found["mark"] });
        let _ = api.put(&format!("/api/hosts/{host}/groups/{GROUP}/acceptance"), &accepted).expect(200);
        let _ = api.wait_job(&api.ask(host, "forget"), &["succeeded"], LONG);
        assert_eq!(by_hand.snapshots().len(), 1, "it is meant to be so");
    }
}
