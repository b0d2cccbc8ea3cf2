//! Three in the morning: a failure is looked at, understood, and put to rest until it changes.

use serde_json::json;
use tests::{
    browser::Browser,
    scene::{GROUP, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

#[test]
fn a_failure_is_read_acknowledged_and_comes_back_only_when_it_changes() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let (api, host) = (scene.api(), scene.host());
    let fail = || {
        let job = api.back_up(host, GROUP);
        let _ = api.wait_job(&job, &["failed"], LONG);
    };
    let needs = |wanted: bool| {
        wait::until("the host to need somebody, or not", SOON, || {
            let told = api.host(host);
            let needs = told["status"] == "failed" && told["acknowledged_at"].is_null();
            if needs == wanted { Ok(()) } else { Err(told.to_string()) }
        });
    };
    let _ = scene.back_up();
    api.set_includes(host, GROUP, &["/no/such/place"]);
    fail();
    needs(true);

    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.wait_text("1 needs attention", SOON);
    browser.click(&browser.find("#fleet-attention a.button"));
    browser.wait_text("A path to back up is not there", SOON);
    browser.open(&format!("{}/", scene.server.base()));
    browser.click(&browser.find("#fleet-attention form button"));
    browser.wait_text("1 host acknowledged", SOON);
    assert!(!browser.text().contains("needs attention"), "{}", browser.text());
    let told = api.host(host);
    assert_eq!((&told["status"], told["acknowledged_by"].is_string()), (&json!("failed"), true), "{told}");
    browser.open(&format!("{}/hosts/{host}", scene.server.base()));
    browser.wait_text("until its status changes", SOON);

    fail();
    needs(false);
    api.set_includes(host, GROUP, &[&scene.sources.display().to_string()]);
    let _ = scene.back_up();
    api.set_includes(host, GROUP, &["/no/such/place"]);
    fail();
    needs(true);
}
