//! A check tells how far it is while it runs, in the API and on its page.

use tests::{
    browser::Browser,
    scene::Scene,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

#[test]
fn a_running_check_shows_a_bar_and_what_it_counts() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let _ = scene.back_up();
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    scene.storage_link.slow(Some(1_000_000));
    let job = scene.api().ask(scene.host(), "check?subset=100");
    browser.open(&format!("{}/jobs/{job}", scene.server.base()));
    let seen = wait::until("some of the data to be read", LONG, || {
        let seen = scene.api().job(&job);
        let percent = seen["progress"]["percent"].as_f64().unwrap_or(0.0);
        if percent > 0.0 && percent < 100.0 { Ok(percent) } else { Err(seen.to_string()) }
    });
    scene.storage_link.hold();
    // It comes by itself; restic counts packs here, no files.
    browser.wait_begins(".now-line", "Now", SOON);
    wait::until("the bar on the page", SOON, || {
        let shown = browser.run("return Number(document.querySelector('#job-live progress')?.value ?? -1);");
        // The bar counts thousandths.
        if shown.as_f64() >= Some(seen * 10.0) { Ok(()) } else { Err(shown.to_string()) }
    });
    browser.wait_text(" packs", SOON);
    let figures = browser.run("return document.querySelector('#job-live .figures').innerText;");
    assert!(!figures.as_str().expect("figures").contains("Files"), "{figures}");
    scene.let_it_finish();
    let _ = scene.api().wait_job(&job, &["succeeded"], LONG);
    browser.wait_begins(".title-line .badge", "Succeeded", SOON);
}
