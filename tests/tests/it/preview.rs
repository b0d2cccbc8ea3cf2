//! Rules for what to keep are tried before they are saved: a dry run on the host, told beside the form.

use tests::{
    browser::Browser,
    scene::{GROUP, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

#[test]
fn what_rules_would_drop_is_told_in_their_form_before_they_are_saved() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let (_, _) = (scene.back_up(), scene.back_up());
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.open(&format!("{}/hosts/{}/groups/{GROUP}", scene.server.base(), scene.host()));
    let ask = || browser.click(&browser.find("[hx-target='#group-preview']"));
    browser.write(&browser.find("#keep_within"), "soon");
    ask();
    browser.wait_text("Give a length of time such as", LONG);
    let _ = browser.run("document.querySelector('#keep_within').value = ''");
    browser.write(&browser.find("#keep_last"), "1");
    ask();
    browser.wait_text("This would keep 1 snapshot and remove 1", LONG);
    assert_eq!(browser.run("return document.querySelector('#keep_last').value"), "1", "what was typed stays");
    let group = scene.api().get(&format!("/api/hosts/{}/groups/{GROUP}", scene.host())).expect(200);
    assert_eq!(group["keep"]["last"], 0, "nothing is saved");
    assert_eq!(scene.repository().snapshots().len(), 2, "nothing is removed");

    // Without scripts the job's page tells it.
    browser.scripts(false);
    browser.open(&format!("{}/hosts/{}/groups/{GROUP}", scene.server.base(), scene.host()));
    browser.write(&browser.find("#keep_last"), "1");
    ask();
    wait::until("the job's page", SOON, || {
        let address = browser.address();
        if address.contains("/jobs/") { Ok(()) } else { Err(address) }
    });
}
