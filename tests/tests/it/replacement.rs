//! A machine burned, and another one takes its place: nothing is backed up before a person says go, files come back
//! first, and the old machine, should it live, stays out.

use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, process::Command};
use tests::{
    agent::Agent,
    api::text,
    browser::Browser,
    process::run_reading,
    scene::{GROUP, HOST, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

fn pending(scene: &Scene) -> Vec<Value> {
    scene.api().get("/api/pending").expect(200)["items"].as_array().expect("a list").clone()
}

fn snapshots(scene: &Scene) -> usize {
    scene.repository().snapshots().len()
}

fn files(folder: &std::path::Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let _ = all.insert(path.clone(), fs::read(&path).expect("a file"));
            }
        }
    }
    all
}

#[test]
fn another_machine_takes_a_dead_ones_place_and_backs_up_nothing_until_a_person_says_go() {
    let Some(mut scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let snapshot = text(&scene.back_up()["summary"]["snapshot"]);
    let saved = files(&scene.sources);
    let schedule = json!({"name": "often", "cron": "* * * * *", "groups": [GROUP]});

    // The machine burns; a copy of its state folder is kept aside.
    scene.agent.kill_9();
    let mut old = scene.agent.copy(&scene.scratch.path().join("old"));
    fs::remove_dir_all(&scene.agent.state_dir).expect("removed");
    fs::remove_dir_all(&scene.sources).expect("removed");
    fs::create_dir(&scene.sources).expect("made");
    let _ = scene.api().post(&format!("/api/hosts/{host}/schedules"), Some(&schedule)).expect(201);

    let path = format!("/api/hosts/{host}/enroll-token");
    let made = scene.api().post(&path, Some(&json!({"replacement": true}))).expect(201);
    let token = text(&made["enroll_token"]);
    let policy = scene.scratch.path().join("policy.toml");
    let mut enroll = Command::new(tools::program("holdfast-agent"));
    enroll.args(["enroll", "--state-dir"]).arg(&scene.agent.state_dir).arg("--policy").arg(&policy);
    enroll.args(["--allow-restore-in-place", "-"]);
    let said = run_reading("holdfast-agent enroll", enroll, &token, SOON).expect_success("the enrolment");
    assert!(said.contains("its backups wait until somebody starts them"), "{said}");
    scene.agent.options = vec!["--policy".into(), policy.into(), "--alone-after".into(), "3".into()];
    scene.agent.start();
    scene.api().wait_online(&host, true, LONG);

    // What is due waits, however the parts come and go.
    let code = |run: &Value| text(&run["last_error"]["code"]);
    wait::until("the due backup to be held", 2 * LONG, || match pending(&scene).pop() {
        Some(run) if code(&run) == "backups_held" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let seen = scene.api().host(&host);
    assert_eq!(seen["reason_code"], "backups_held", "{seen}");
    assert_eq!(seen["backups_held"]["since"], seen["enrolled_at"], "{seen}");
    let refused = scene.api().post(&format!("/api/hosts/{host}/groups/{GROUP}/backup"), None);
    assert_eq!((refused.status, refused.code()), (409, "backups_held"), "{}", refused.text);
    wait::until("the plan to arrive", LONG, || {
        let status = scene.agent.status();
        if status.contains("held: this machine took another one's place") { Ok(()) } else { Err(status) }
    });
    scene.agent.stop();
    scene.server.kill_9();
    // Alone, over a whole due time.
    scene.agent.start();
    std::thread::sleep(std::time::Duration::from_secs(75));
    assert!(!scene.agent.log().contains("the server is away: backup"), "{}", scene.agent.log());
    scene.server.start_again();
    scene.api().wait_online(&host, true, LONG);
    assert_eq!((snapshots(&scene), pending(&scene).len()), (1, 1));

    // The old machine is no more this host, and that is told.
    old.start();
    wait::until("the old machine to be refused", LONG, || {
        let status = old.status();
        if status.contains("does not know this host any more") { Ok(()) } else { Err(status) }
    });
    let rows = scene.api().get("/api/refused-connections").expect(200).to_string();
    assert!(rows.contains("host_password") && rows.contains(&host), "{rows}");
    old.kill_9();
    assert_eq!(scene.api().host(&host)["online"], true);

    // Files first…
    let body = json!({"snapshot": snapshot, "target": {"kind": "original"}, "confirm": HOST});
    let asked = scene.api().post(&format!("/api/hosts/{host}/restore"), Some(&body)).expect(202);
    let done = scene.api().wait_job(&text(&asked["id"]), &["succeeded"], LONG);
    assert_eq!(done["summary"]["files"], saved.len(), "{done}");
    assert!(files(&scene.sources) == saved, "what was saved is there again, byte by byte");
    assert_eq!(snapshots(&scene), 1);

    // …then go.
    let started = scene.api().post(&format!("/api/hosts/{host}/start-backups"), None).expect(200);
    assert!(started["backups_held"].is_null(), "{started}");
    wait::until("what waited to run", LONG, || {
        let made = snapshots(&scene);
        if made > 1 { Ok(()) } else { Err(format!("{made} snapshots")) }
    });
    let _ = scene.api().delete(&format!("/api/hosts/{host}/schedules/often")).expect(204);
    wait::until("the host to be well", LONG, || {
        let seen = scene.api().host(&host);
        if seen["protected"] == true { Ok(()) } else { Err(seen.to_string()) }
    });
    for (action, words) in [
        ("token.created", "takes its place"),
        ("host.replaced", "key 1"),
        ("host.backups_started", "took the place of"),
    ] {
        let audit = scene.api().get(&format!("/api/audit?action={action}")).expect(200);
        let detail = text(&audit["items"][0]["detail"]);
        assert!(detail.contains(words), "{action}: {detail}");
    }
}

#[test]
fn a_machine_that_lost_its_state_folder_is_held_though_its_token_says_nothing() {
    let Some(mut scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let _ = scene.back_up();
    scene.agent.kill_9();
    fs::remove_dir_all(&scene.agent.state_dir).expect("removed");
    let made = scene.api().post(&format!("/api/hosts/{host}/enroll-token"), None).expect(201);
    let token = text(&made["enroll_token"]);
    scene.agent = Agent::with_token(&scene.scratch.path().join("agent"), &host, &token);
    scene.agent.start();
    scene.api().wait_online(&host, true, LONG);
    assert_eq!(scene.api().host(&host)["reason_code"], "backups_held");

    // Enrolled again over the same folder, with its key replaced, it is the same machine.
    let _ = scene.api().post(&format!("/api/hosts/{host}/start-backups"), None).expect(200);
    let _ = scene.back_up();
    scene.agent.stop();
    let made = scene.api().post(&format!("/api/hosts/{host}/enroll-token"), None).expect(201);
    let mut enroll = Command::new(&scene.agent.program);
    enroll.args(["enroll", "--force", "--state-dir"]).arg(&scene.agent.state_dir).arg("-");
    let _ = run_reading("enroll", enroll, &text(&made["enroll_token"]), SOON).expect_success("the enrolment");
    scene.agent.start();
    scene.api().wait_online(&host, true, LONG);
    assert!(scene.api().host(&host)["backups_held"].is_null());
    let _ = scene.back_up();
}

/// The token in the command that the page shows.
fn token_of(command: &str) -> String {
    command.split_whitespace().last().expect("a token").to_owned()
}

#[test]
fn by_the_pages_a_machine_is_replaced_its_files_come_back_and_its_backups_start_with_and_without_scripts() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let _ = scene.back_up();
    let listing = scene.api().post(&format!("/api/hosts/{host}/snapshots/refresh"), None).expect(202);
    let _ = scene.api().wait_job(&text(&listing["id"]), &["succeeded"], LONG);
    let saved = files(&scene.sources);
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    let page = format!("{}/hosts/{host}", scene.server.base());

    for (scripts, place) in [(true, "first"), (false, "second")] {
        scene.agent.kill_9();
        fs::remove_dir_all(&scene.sources).expect("removed");
        fs::create_dir(&scene.sources).expect("made");
        browser.scripts(scripts);
        browser.open(&page);
        browser.click(&browser.find("a[href$='/settings#replace']"));
        browser.click(&browser.find("#replace input[name=restore_in_place]"));
        browser.click(&browser.find("#replace button[type=submit]"));
        browser.wait_text("Run this on the machine that takes its place", SOON);
        let command = browser.run("return document.querySelector('.copy-line code').textContent");
        let token = token_of(command.as_str().expect("a command"));
        let policy = scene.scratch.path().join(format!("{place}.toml"));
        let state = scene.scratch.path().join(place);
        let mut enroll = Command::new(tools::program("holdfast-agent"));
        enroll.args(["enroll", "--allow-restore-in-place", "--state-dir"]).arg(&state);
        enroll.arg("--policy").arg(&policy).arg("-");
        let _ = run_reading("holdfast-agent enroll", enroll, &token, SOON).expect_success("the enrolment");
        scene.agent.state_dir = state;
        scene.agent.options = vec!["--policy".into(), policy.into()];
        scene.agent.start();
        scene.api().wait_online(&host, true, LONG);

        browser.open(&page);
        browser.wait_text("Backups wait until you start them", SOON);
        assert!(!browser.overflows());
        browser.click(&browser.find("#held a.is-primary"));
        browser.wait_text("Where they were", SOON);
        assert_eq!(browser.all("input[name=to][value=original]:checked").len(), 1);
        browser.click(&browser.find("form[action$='/restore/plan'] button.is-primary"));
        wait::until("the plan", LONG, || {
            browser.open(&browser.address());
            let found = browser.all("form[action$='/restore/start'] button[type=submit]");
            if found.is_empty() { Err(browser.text()) } else { Ok(()) }
        });
        browser.send_form("form[action$='/restore/start']", &[("confirm", HOST)]);
        wait::until("the files to be back", LONG, || {
            if files(&scene.sources) == saved { Ok(()) } else { Err("not yet".to_owned()) }
        });

        browser.open(&page);
        browser.click(&browser.find("#held a[href$='/start-backups']"));
        let question = if scripts { "dialog[open] form" } else { "form[action*='/start-backups?']" };
        browser.click(&browser.find(&format!("{question} button[type=submit]")));
        wait::until("the backups to be started", SOON, || {
            let seen = scene.api().host(&host);
            if seen["backups_held"].is_null() { Ok(()) } else { Err(seen.to_string()) }
        });
        let open = || scene.api().jobs(&host).iter().any(|job| job["finished_at"].is_null());
        wait::until_true("the restore's job to end", LONG, || !open());
        let _ = scene.back_up();
    }
}
