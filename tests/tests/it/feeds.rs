//! Feeds: read by a page elsewhere without an account, over a restart, and their numbers are those of the report.

use serde_json::{Value, json};
use std::fs;
use tests::{
    api::{http, text},
    browser::{Browser, Theme},
    scene::{HOST, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

/// What a page of somebody else gets of an address by its scripts; `null` = nothing.
const FETCH: &str = "const end = arguments[arguments.length - 1];
    fetch(URL).then((answer) => answer.text()).then(end, () => end(null));";

#[test]
fn a_page_elsewhere_shows_the_badge_and_reads_the_status_and_nothing_else() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    let _ = scene.api().add_host("spare");
    let _ = scene.back_up();
    let feed = |name: &str, kind: &str| {
        let asked = json!({ "name": name, "kind": kind });
        let made = scene.api().post("/api/feeds", Some(&asked)).expect(201);
        text(&made["url"]).split_once("/feeds/").map(|(_, rest)| format!("/feeds/{rest}")).expect("its path")
    };
    let [status, badge, calendar] =
        [("s", "status"), ("b", "badge"), ("c", "calendar")].map(|(n, k)| feed(n, k));
    scene.server.stop();
    scene.server.start_again();

    let url = |path: &str| format!("{}{path}", scene.server.base());
    let report = scene.api().get("/api/report").expect(200);
    let told = wait::until("the status to be as the report", LONG, || {
        let mut answer = http().get(url(&status)).call().map_err(|error| error.to_string())?;
        let told: Value = answer.body_mut().read_json().map_err(|error| error.to_string())?;
        let fields = ["hosts_total", "protected", "protected_in_need", "unprotected_in_need"];
        if fields.iter().all(|field| told[field] == report[field]) { Ok(told) } else { Err(told.to_string()) }
    });
    assert_eq!(told["hosts_total"], 2, "{told}");
    assert!(!told.to_string().contains(HOST), "{told}");

    let page = scene.scratch.folder("page").join("page.html");
    let shown =
        format!("<!doctype html><title>Elsewhere</title><img src=\"{}\" alt=\"Backups\">", url(&badge));
    fs::write(&page, shown).expect("a page");
    let browser = Browser::start();
    for theme in Theme::ALL {
        browser.theme(theme);
        browser.open(&format!("file://{}", page.display()));
        let drawn = "const image = document.querySelector('img'); return image.complete && image.naturalWidth > 60 && image.naturalHeight === 20";
        browser.wait_true(drawn, SOON);
    }
    let fetched = |path: &str| browser.run_async(&FETCH.replace("URL", &json!(url(path)).to_string()));
    let read: Value = serde_json::from_str(fetched(&status).as_str().expect("the status")).expect("JSON");
    assert_eq!(read["protected"], told["protected"]);
    for closed in [&badge, &calendar, &"/api/report".to_owned()] {
        assert_eq!(fetched(closed), Value::Null, "{closed}");
    }
    // Opened by itself it is a picture with words, and the page on feeds says that it is there.
    browser.open(&url(&badge));
    let words = format!("backups: {} of 2 protected", told["protected"]);
    assert!(browser.source().contains(&words), "{}", browser.source());
    scene.server.sign_in(&browser);
    browser.scripts(false);
    browser.open(&url("/integrations"));
    assert!(browser.source().contains("Delete b"), "{}", browser.source());
    browser.scripts(true);
    assert!(!scene.server.log().contains("hff_"), "no address is in the log");
}
