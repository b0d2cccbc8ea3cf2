//! Files are found by name with the real parts, and a lost one comes back by the pages within few clicks.

use serde_json::{Value, json};
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _};
use tests::{
    agent::Agent,
    api::Api,
    browser::{Browser, Hand, WIDTHS},
    scene::Scene,
    scratch::Scratch,
    server::Server,
    tools::{self, Tool},
    wait::LONG,
};

/// The most clicks from the fleet to a restored file whose name is known.
const MOST_CLICKS: usize = 6;
const LETTER: &str = "Dear all, it's [here].";

/// Searches, and answers what was found.
fn find(api: &Api, host: &str, body: &Value) -> Value {
    let job = api.post(&format!("/api/hosts/{host}/find"), Some(body)).expect(202);
    let id = job["id"].as_str().expect("an id").to_owned();
    let _ = api.wait_job(&id, &["succeeded"], LONG);
    api.get(&format!("/api/jobs/{id}/found")).expect(200)
}

#[test]
fn a_name_of_any_bytes_is_found_with_its_versions_over_the_api() {
    let Some(scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let at = |name: &[u8]| scene.sources.join(OsStr::from_bytes(name));
    let odd = at(b"-odd\xff [1]\n.txt");
    fs::write(&odd, "1").expect("a file");
    let _ = scene.back_up();
    fs::write(&odd, "now longer").expect("a file");
    let newest = scene.back_up()["summary"]["snapshot"].as_str().expect("a snapshot").to_owned();
    let path = format!("{}/-odd\\xff [1]\n.txt", scene.sources.display());
    for pattern in ["-odd", "-ODD*", "*\\xff*", "*\\[1\\]*", "*.txt"] {
        let body = json!({"pattern": pattern, "ignore_case": pattern.contains("ODD")});
        let found = find(scene.api(), &host, &body);
        let item = found["items"].as_array().expect("items").iter().find(|item| item["path"] == path);
        let item = item.unwrap_or_else(|| panic!("{pattern}: {found:#}"));
        let sizes: Vec<_> =
            item["versions"].as_array().expect("versions").iter().map(|it| &it["bytes"]).collect();
        assert_eq!(sizes, [10, 1], "{pattern}");
        assert!(
            item["versions"][0]["snapshot"].as_str().expect("an id").starts_with(&newest[..8]),
            "{found:#}"
        );
        assert_eq!((&item["kind"], &found["left_out"]), (&json!("file"), &json!(0)));
    }
    let found =
        find(scene.api(), &host, &json!({"pattern": "-odd", "newest": 1, "group": tests::scene::GROUP}));
    assert_eq!(found["items"][0]["versions"].as_array().map(Vec::len), Some(1), "{found:#}");
    let none = find(scene.api(), &host, &json!({"pattern": "nowhere"}));
    assert_eq!((&none["items"], &none["total"]), (&json!([]), &json!(0)));
    let refused = scene.api().post(&format!("/api/hosts/{host}/find"), Some(&json!({"pattern": "[a"})));
    assert_eq!(refused.expect(422)["error"]["field"], "pattern");

    // What was searched is in no list of jobs and in no line of the audit.
    let jobs = scene.api().get("/api/jobs?limit=500").expect(200).to_string();
    let audit = scene.api().get("/api/audit?limit=500").expect(200).to_string();
    assert!(!jobs.contains("\"find\"") && !audit.contains("job.find") && !audit.contains("odd"));
}

#[test]
fn what_changed_since_the_snapshot_before_is_told_and_what_is_gone_is_restored_from_it() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let letter = scene.sources.join("letter & co.txt");
    fs::write(&letter, LETTER).expect("a file");
    let older = scene.back_up()["summary"]["snapshot"].as_str().expect("a snapshot").to_owned();
    fs::remove_file(&letter).expect("it is lost");
    fs::write(scene.sources.join("another"), "12345").expect("a file");
    let newer = scene.back_up()["summary"]["snapshot"].as_str().expect("a snapshot").to_owned();
    let compare = format!("/api/hosts/{host}/snapshots/{newer}/diff");
    let job =
        scene.api().post(&compare, Some(&json!({}))).expect(202)["id"].as_str().expect("an id").to_owned();
    let ended = scene.api().wait_job(&job, &["succeeded"], LONG);
    assert_eq!(
        (&ended["summary"]["added"], &ended["summary"]["removed"]),
        (&json!(1), &json!(1)),
        "{ended:#}"
    );
    assert_eq!(
        (&ended["summary"]["added_bytes"], &ended["summary"]["removed_bytes"]),
        (&json!(5), &json!(22))
    );
    let found = scene.api().get(&format!("/api/jobs/{job}/differences")).expect(200);
    let changes: Vec<_> =
        found["items"].as_array().expect("items").iter().map(|it| (&it["change"], &it["bytes"])).collect();
    assert_eq!(changes, [(&json!("added"), &json!(5)), (&json!("removed"), &json!(22))], "{found:#}");
    let none = scene.api().post(&format!("/api/hosts/{host}/snapshots/{older}/diff"), Some(&json!({})));
    assert_eq!(none.expect(422)["error"]["field"], "against");

    let browser = Browser::start();
    scene.server.sign_in(&browser);
    for width in WIDTHS {
        browser.size(width);
        browser.open(&format!("{}/hosts/{host}/snapshots/{newer}?path=/", scene.server.base()));
        browser.click(&browser.find("#folder button[formaction$='/changes']"));
        browser.wait_text("1 entry removed, 22 B", LONG);
        assert!(!browser.overflows(), "at {width} px");
        // On a phone it lies below the bar at the bottom until somebody scrolls.
        let _ = browser
            .run("document.querySelector('#changes input[name=path]').scrollIntoView({block: 'center'})");
        browser.click(&browser.find("#changes input[name=path][value$='/letter & co.txt']"));
        browser.click(&browser.find("#changes button[name=step]"));
        browser.wait_text("A new folder", LONG);
    }
    browser.click(&browser.find("form[action$='/restore/plan'] button.is-primary"));
    browser.wait_text("Restore 1 file, 22 B", LONG);
    browser.click(&browser.find("form[action$='/restore/start'] button.is-primary"));
    browser.wait_text("The file was restored, read back and equal", LONG);
}

#[test]
fn a_lost_file_is_back_by_its_name_within_six_clicks_on_a_desk_and_on_a_phone() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let letter = scene.sources.join("letter & co.txt");
    fs::write(&letter, LETTER).expect("a file");
    let _ = scene.back_up();
    fs::remove_file(&letter).expect("it is lost");
    let browser = Browser::start();
    scene.server.sign_in(&browser);

    for (width, scripts) in WIDTHS.into_iter().map(|width| (width, true)).chain([(WIDTHS[0], false)]) {
        browser.size(width);
        browser.scripts(scripts);
        browser.open(&format!("{}/", scene.server.base()));
        let mut hand = Hand { browser: &browser, clicks: 0 };
        hand.go("#fleet-hosts a[href^='/find']");
        browser.write(&browser.find("#pattern"), "LETTER &");
        hand.go("#find button[type=submit]");
        hand.look_again("#find-results noscript a", "1 path in 1 snapshot");
        assert!(!browser.overflows(), "at {width} px");
        hand.click("#find-results input[name=path][value$='/letter & co.txt']");
        hand.go("#find-results button[name=plan]");
        hand.look_again("#restore-plan noscript a", "Restore 1 file, 22 B");
        hand.go("form[action$='/restore/start'] button.is-primary");
        hand.look_again("#job-head noscript a", "The file was restored, read back and equal");
        assert!(hand.clicks <= MOST_CLICKS, "{} clicks at {width} px", hand.clicks);
        let place = browser.text();
        assert!(place.contains("holdfast-restore-"), "{place}");
    }
}

#[test]
fn a_name_is_looked_for_on_several_hosts_at_once_and_one_that_is_away_says_so() {
    if !tools::needs(&[Tool::Restic018, Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let api = &server.api;
    let mut agents = ["barn", "attic", "cellar"].map(|name| {
        let agent = Agent::enroll(api, &scratch.folder(&format!("agent of {name}")), name);
        let sources = scratch.folder(&format!("sources of {name}"));
        fs::write(sources.join(format!("letter of {name}.txt")), name).expect("a file");
        let at = |rest: &str| format!("/api/hosts/{}/{rest}", agent.host);
        let repository = scratch.path().join(format!("repository of {name}"));
        let credentials = json!({"url": repository.display().to_string(), "repo_password": name});
        let _ = api.put(&at("repo-credentials"), &credentials).expect(200);
        let group = json!({"name": name, "includes": [sources.display().to_string()]});
        let _ = api.post(&at("groups"), Some(&group)).expect(201);
        for job in ["repo/init".to_owned(), format!("groups/{name}/backup")] {
            let job = api.post(&at(&job), None).expect(202)["id"].as_str().expect("an id").to_owned();
            let _ = api.wait_job(&job, &["succeeded"], LONG);
        }
        agent
    });
    let away = agents[2].host.clone();
    agents[2].stop();
    api.wait_online(&away, false, LONG);

    let browser = Browser::start();
    server.sign_in(&browser);
    for width in WIDTHS {
        browser.size(width);
        browser.open(&format!("{}/", server.base()));
        browser.click(&browser.find("#fleet-hosts a[href^='/find']"));
        browser.write(&browser.find("#pattern"), "letter of");
        browser.click(&browser.find("#find button[type=submit]"));
        for found in ["letter of barn.txt", "letter of attic.txt", "is offline"] {
            browser.wait_text(found, LONG);
        }
        assert!(!browser.text().contains("letter of cellar.txt"));
        assert!(!browser.overflows(), "at {width} px");
    }
}
