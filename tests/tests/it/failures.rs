//! What goes wrong with backups: each has its class, and words that say what to do.

use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt};
use tests::{
    agent::{small_disk, without_right_to_read_all},
    api::Credentials,
    ports,
    repository::Repository,
    scene::{GROUP, Scene},
    wait::LONG,
};

/// The backup ended in this state for this reason; its message is for people, and holds no secret.
fn assert_told(scene: &Scene, what: &str, state: &str, class: &str) -> Value {
    let job = scene.api().back_up(scene.host(), GROUP);
    let ended = scene.api().wait_end(&job, LONG);
    assert_eq!((&ended["state"], &ended["class"]), (&state.into(), &class.into()), "{what}: {ended}");
    let message = ended["error"].as_str().unwrap_or_default();
    assert!(message.split_whitespace().count() >= 4, "{what} is told in words: {ended}");
    assert!(scene.secrets.found_in(ended.to_string().as_bytes()).is_empty(), "{what}: {ended}");
    let host = scene.api().host(scene.host());
    assert_eq!(host["status"], if state == "warning" { "warning" } else { "failed" }, "{what}: {host}");
    ended
}

#[test]
fn what_is_wrong_with_the_repository_or_its_sources_is_told_by_its_class() {
    let Some(scene) = Scene::start() else { return };
    let right = scene.credentials.clone();
    let sources = scene.sources.display().to_string();
    let login = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
    let (user, password) = right.login.clone().expect("a login");
    let nowhere = format!("rest:http://{}/{user}/", ports::free());
    let elsewhere = format!("{}never-made/", right.url);
    let no_file = scene.scratch.path().join("no such folder").display().to_string();
    let rows: [(&str, Credentials, &str, &str); 5] = [
        (
            "a wrong repository password",
            Credentials { repo_password: "another password".to_owned(), ..right.clone() },
            &sources,
            "auth",
        ),
        (
            "a wrong storage password",
            Credentials { login: login(&user, "another password"), ..right.clone() },
            &sources,
            "auth",
        ),
        (
            "a repository that is not there",
            Credentials { url: elsewhere, ..right.clone() },
            &sources,
            "repo_missing",
        ),
        (
            "a storage that refuses the connection",
            Credentials { url: nowhere, login: login(&user, &password), ..right.clone() },
            &sources,
            "network",
        ),
        ("a source that is not there", right.clone(), &no_file, "source_missing"),
    ];
    for (what, credentials, include, class) in rows {
        scene.api().put_credentials(scene.host(), &credentials);
        scene.api().set_includes(scene.host(), GROUP, &[include]);
        let _ = assert_told(&scene, what, "failed", class);
    }
    assert!(scene.repository().snapshots().is_empty());
    // After all that, the right ones do.
    scene.api().put_credentials(scene.host(), &right);
    scene.api().set_includes(scene.host(), GROUP, &[&sources]);
    let _ = scene.back_up();
    assert_eq!(scene.api().host(scene.host())["status"], "ok");
}

#[test]
fn a_file_that_cannot_be_read_is_a_warning_and_the_snapshot_is_kept() {
    let Some(mut scene) = Scene::start() else { return };
    let hidden = scene.sources.join("hidden.key");
    fs::write(&hidden, "nobody may read this").expect("a file");
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).expect("its mode");
    scene.agent.stop();
    scene.agent.wrapper = without_right_to_read_all();
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);

    let ended = assert_told(&scene, "an unreadable file", "warning", "source_unreadable");
    assert_eq!(ended["exit_code"], 3);
    assert_eq!(ended["summary"]["errors"], 1, "{ended}");
    let snapshots = scene.repository().snapshots();
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    assert_eq!(snapshots[0]["id"], ended["summary"]["snapshot"]);
    let id = ended["id"].as_str().expect("an id");
    let log = scene.api().whole_log(id);
    assert!(log.iter().any(|line| line.contains("hidden.key")), "the file is named: {log:?}");
}

#[test]
fn a_machine_without_restic_says_so_and_works_once_it_has_one() {
    let Some(mut scene) = Scene::start() else { return };
    let restic = scene.agent.restic.clone();
    let link = scene.scratch.folder("bin").join("restic");
    scene.agent.stop();
    scene.agent.restic = link.clone();
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = assert_told(&scene, "no restic", "failed", "restic_missing");
    // Without a restart of the agent.
    std::os::unix::fs::symlink(restic, link).expect("a link");
    let _ = scene.back_up();
}

#[test]
fn a_full_disk_under_the_repository_is_told_and_the_repository_stays_sound() {
    let Some(mut scene) = Scene::start_without_repository() else { return };
    let disk = scene.scratch.folder("small-disk");
    scene.agent.stop();
    scene.agent.wrapper = small_disk(&disk, 6 * 1024 * 1024);
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let credentials = Credentials {
        url: disk.join("repository").display().to_string(),
        login: None,
        repo_password: scene.credentials.repo_password.clone(),
        env: Vec::new(),
    };
    // Another place: what belongs to the old one must not stay.
    let path = format!("/api/hosts/{}/repo-credentials", scene.host());
    assert_eq!(scene.api().delete(&path).status, 204);
    scene.api().put_credentials(scene.host(), &credentials);
    let init = scene.api().ask(scene.host(), "init");
    let _ = scene.api().wait_job(&init, &["succeeded"], LONG);

    let _ = assert_told(&scene, "a full disk", "failed", "disk_full");
    // Seen through the agent's own eyes: nobody else sees that disk.
    let inside = format!("/proc/{}/root{}", scene.agent.pid(), credentials.url);
    let repository = Repository::at(&inside, &credentials.repo_password);
    assert!(repository.snapshots().is_empty());
}
