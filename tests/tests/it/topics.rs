//! What passes between server, hosts and viewers is seen live and decoded, without a secret.

use std::collections::BTreeSet;
use tests::{
    browser::Browser,
    scene::{GROUP, Scene},
    tools::{self, Tool},
    wait::{LONG, SOON},
};

#[test]
fn messages_are_seen_as_they_pass_and_hold_no_secret() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.open(&format!("{}/topics", scene.server.base()));
    browser.wait_text("messages a second", SOON);
    // Credentials travel while somebody watches.
    scene.api().put_credentials(scene.host(), &scene.credentials);
    let job = scene.api().back_up(scene.host(), GROUP);
    let _ = scene.api().wait_job(&job, &["succeeded"], LONG);
    for said in ["command config update", "command run backup", "finished", "ack", "retained", "web-1"] {
        browser.wait_text(said, SOON);
    }
    let source = browser.source();
    assert!(
        source.contains("&quot;repo_password&quot;: &quot;redacted&quot;")
            || source.contains("\"repo_password\": \"redacted\"")
    );
    assert!(source.contains(&job), "ids are text");
    assert_eq!(scene.secrets.found_in(source.as_bytes()), BTreeSet::new());

    let count = |query: &str| {
        browser.open(&format!("{}/topics?pause=1&{query}", scene.server.base()));
        browser.all(".feed details").len()
    };
    let (cmd, all) = (count("kind=cmd"), count(""));
    assert!(cmd > 1 && all > cmd, "{cmd} of {all}");
    assert_eq!(count("topic=hf/1/web-1/cmd"), cmd, "a host's name stands for its id");
    assert_eq!(count("topic=hf/1/nobody/%23"), 0);
    assert!(count("topic=hf/1/view/%23") > 0);
    browser.open(&format!("{}/topics?topic=a%23", scene.server.base()));
    browser.wait_text("# stands alone", SOON);
}
