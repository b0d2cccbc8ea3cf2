//! No secret in arguments, logs, files, retained messages, answers or error pages, after a run in which much was done
//! with them, and much went wrong.

use serde_json::json;
use std::collections::BTreeSet;
use tests::{
    api::Credentials,
    browser::Browser,
    mosquitto::Viewer,
    proc_table,
    scene::{GROUP, Scene},
    tools::{self, Tool},
    wait::LONG,
};

#[test]
fn no_planted_secret_is_found_anywhere_after_a_full_run() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver, Tool::MosquittoSub]) {
        return;
    }
    let Some(mut scene) = Scene::start_without_repository() else { return };
    let watch = scene.secrets.watch_arguments();
    let host = scene.host().to_owned();
    let (user, viewer_password) = scene.server.add_viewer("watcher");
    let viewer = Viewer::new(scene.server.mqtt_plain, &user, &viewer_password);
    let tree = viewer.watch("#");

    // What a day brings.
    let api = scene.api().clone();
    let test = api.post(&format!("/api/hosts/{host}/repo-credentials/test"), None).expect(202);
    let _ = api.wait_end(test["id"].as_str().expect("a job"), LONG);
    for kind in ["init", "init", "stats", "unlock"] {
        let job = api.ask(&host, kind);
        let _ = api.wait_end(&job, LONG);
    }
    let _ = scene.back_up();
    scene.add_sources("more");
    let (job, _) = scene.backup_in_the_middle();
    let environment = restic_environment(&scene);
    let cancel = api.post(&format!("/api/jobs/{job}/cancel"), None);
    assert!((200..300).contains(&cancel.status), "{}", cancel.text);
    scene.let_it_finish();
    let _ = api.wait_end(&job, LONG);
    // And what goes wrong with it.
    for wrong in [
        Credentials { login: Some(("web-1".to_owned(), "wrong".to_owned())), ..scene.credentials.clone() },
        Credentials { url: format!("{}nowhere/", scene.credentials.url), ..scene.credentials.clone() },
        Credentials { repo_password: "wrong".to_owned(), ..scene.credentials.clone() },
    ] {
        api.put_credentials(&host, &wrong);
        let job = api.back_up(&host, GROUP);
        let _ = api.wait_end(&job, LONG);
    }
    api.put_credentials(&host, &scene.credentials);
    // Answers that show a form or an error with what was sent.
    let path = format!("/api/hosts/{host}/repo-credentials");
    let bad = json!({
        "url": 7, "repo_password": scene.credentials.repo_password, "password": ["x"], "surprise": true,
    });
    assert!((400..500).contains(&api.put(&path, &bad).status));
    let secret_url = format!("rest:http://web-1:{}@127.0.0.1:1/", scene.credentials.repo_password);
    let _ = api.put(&path, &json!({ "url": secret_url, "repo_password": "x" }));
    api.put_credentials(&host, &scene.credentials);
    for path in ["/api/hosts/none", "/api/nothing", "/nothing", "/hosts/none"] {
        assert!(api.get(path).status >= 400);
    }
    let _ = scene.back_up();
    scene.agent.kill_9();
    scene.agent.start();
    api.wait_online(&host, true, LONG);
    scene.server.kill_9();
    scene.server.start_again();
    api.wait_online(&host, true, LONG);
    let _ = scene.back_up();

    // Now look everywhere.
    let (in_arguments, command_lines) = watch.end();
    assert_eq!(in_arguments, BTreeSet::new());
    assert!(command_lines > 10, "only {command_lines} command lines were seen");
    assert_eq!(scene.secrets.found_in(&environment), BTreeSet::from(["environment secret".to_owned()]));

    let browser = Browser::start();
    scene.server.sign_in(&browser);
    let mut places = vec![
        ("the server's log".to_owned(), scene.server.log()),
        ("the agent's log".to_owned(), scene.agent.log()),
        ("the agent's status".to_owned(), scene.agent.status()),
        ("the log of rest-server".to_owned(), scene.storage.append_only.log()),
        ("what viewers see".to_owned(), format!("{:?}", tree.messages())),
        ("what is retained".to_owned(), format!("{:?}", viewer.retained("#"))),
        ("the API's answers".to_owned(), api.heard().join("\n")),
        ("the audit".to_owned(), api.get("/api/audit").text),
        ("the metrics".to_owned(), api.get("/metrics").text),
    ];
    let jobs = api.jobs(&host);
    for job in &jobs {
        let id = job["id"].as_str().expect("an id");
        places.push((format!("the log of {id}"), api.get(&format!("/api/jobs/{id}/log")).text));
    }
    let last = jobs[0]["id"].as_str().expect("an id");
    for page in [
        "/".to_owned(),
        format!("/hosts/{host}"),
        format!("/hosts/{host}/repo"),
        format!("/hosts/{host}/settings"),
        format!("/jobs/{last}"),
        "/audit".to_owned(),
        "/nothing".to_owned(),
    ] {
        browser.open(&format!("{}{page}", scene.server.base()));
        places.push((format!("the page {page}"), browser.source()));
    }
    for (place, text) in places {
        assert!(!text.is_empty(), "{place} is empty");
        let found = scene.secrets.found_in(text.as_bytes());
        assert!(found.is_empty(), "{found:?} in {place}:\n{text}");
    }

    for folder in [&scene.server.data_dir, &scene.agent.state_dir] {
        assert!(tests::secrets::files_below(folder).len() > 1, "{} is empty", folder.display());
        assert_eq!(scene.secrets.found_below(folder), [], "at rest");
    }
}

/// The environments of agent and restic, in the middle of a backup.
fn restic_environment(scene: &Scene) -> Vec<u8> {
    let family = proc_table::descendants(scene.agent.pid());
    let processes = family.iter().map(|seen| seen.pid).chain([scene.agent.pid(), scene.server.pid()]);
    processes.filter_map(|pid| std::fs::read(format!("/proc/{pid}/environ")).ok()).flatten().collect()
}
