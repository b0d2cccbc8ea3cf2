//! An agent that speaks a wire version that the server does not know.

use schema::{Epoch, HostTopic};
use serde_json::json;
use tests::{
    browser::Browser,
    host_login::{Claim, HostLogin},
    mosquitto::Viewer,
    scene::{GROUP, HOST, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

/// A version of a far day.
const VERSION: u8 = 9;

#[test]
fn an_agent_of_an_unknown_wire_version_is_refused_in_plain_words_until_it_speaks_a_known_one() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver, Tool::MosquittoSub, Tool::MosquittoPub]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    let _ = scene.back_up();
    let login = HostLogin::stolen_from(&scene.agent);
    let (user, password) = scene.server.add_viewer("desk");
    let viewer = Viewer::new(scene.server.mqtt_plain, &user, &password);
    let watch = viewer.watch("hf/1/view/+/presence");
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.open(&format!("{}/hosts/{}", scene.server.base(), scene.host()));
    browser.wait_begins("#host-presence .badge", "online", SOON);

    scene.agent.stop();
    scene.api().wait_online(scene.host(), false, SOON);
    // It listens for an answer, and says its hello in its own way.
    let honest = Claim::honest(scene.host());
    let mut hello = login.sealed_hello(Epoch(u64::MAX >> 20));
    hello[0] = VERSION;
    let published = login.publish(&honest, &login.topic(HostTopic::Presence), &hello);
    assert!(published.status.success(), "the connection itself is welcome: {}", published.output);

    let host = wait::until("the API to tell of it", SOON, || {
        let host = scene.api().host(scene.host());
        if host["wire_problem"]["version"] == VERSION { Ok(host) } else { Err(host.to_string()) }
    });
    assert_eq!((&host["online"], &host["status"]), (&false.into(), &"failed".into()), "{host}");
    assert!(host["reason"].as_str().is_some_and(|why| why.contains("version 9")), "{host}");
    // The page says it by itself, and says what to do.
    browser.wait_text("The agent speaks a protocol version that this server does not", SOON);
    browser.wait_text("until the server is updated", SOON);
    let _ = watch.wait_for(&format!("hf/1/view/{HOST}/presence"), SOON, |seen| {
        seen["wire_problem"]["version"] == VERSION
    });

    // Nothing is sent to it; each answer says why.
    for path in ["repo/stats", "repo/init", &format!("groups/{GROUP}/backup")] {
        let answer = scene.api().post(&format!("/api/hosts/{}/{path}", scene.host()), None);
        assert_eq!((answer.status, answer.code()), (409, "wire_unsupported"), "{path}: {}", answer.text);
        let words = answer.body["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(words.split_whitespace().count() > 4, "{words}");
    }
    // What is known of it stays.
    let repo = scene.server.repo(scene.host());
    assert_eq!(repo["snapshots"], json!(1), "{repo}");

    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let host = scene.api().host(scene.host());
    assert!(host["wire_problem"].is_null(), "{host}");
    browser.wait_begins("#host-presence .badge", "online", SOON);
    wait::until("the page to forget it", SOON, || {
        let text = browser.text();
        if text.contains("protocol version") { Err(text) } else { Ok(()) }
    });
    let _ = watch.wait_for(&format!("hf/1/view/{HOST}/presence"), SOON, |seen| {
        seen["online"] == true && seen["wire_problem"].is_null()
    });
    let _ = scene.back_up();
}
