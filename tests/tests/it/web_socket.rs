//! MQTT over WebSocket at the pages' port: MQTT.js in a browser, and paho.

use serde_json::{Value, json};
use std::fs;
use tests::{
    browser::Browser,
    host_login::HostLogin,
    mosquitto::Viewer,
    scene::{HOST, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

/// Connects as a dashboard would; what comes is kept by topic.
const DASHBOARD: &str = r#"
window.seen = {};
window.ends = [];
const client = mqtt.connect(URL, { username: USER, password: PASSWORD, reconnectPeriod: 200, protocolVersion: VERSION });
client.on("connect", () => client.subscribe("hf/1/view/#"));
client.on("message", (topic, payload) => { window.seen[topic] = payload.toString(); });
client.on("close", () => { window.seen = {}; });
"#;

#[test]
fn dashboards_in_a_browser_see_the_fleet_over_web_socket_and_come_back_after_a_restart() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver, Tool::MqttJs, Tool::Paho]) {
        return;
    }
    let Some(mut scene) = Scene::start_without_repository() else { return };
    let (user, password) = scene.server.add_viewer("dashboard");
    let viewer = Viewer::new(scene.server.http, &user, &password);
    let presence = format!("hf/1/view/{HOST}/presence");
    assert!(viewer.retained_over_web_socket("#").iter().any(|(topic, _)| *topic == presence));
    // By both versions that it speaks, from a page of somebody else.
    let url = format!("ws://{}/mqtt", scene.server.http);
    let folder = scene.scratch.folder("page");
    let library = fs::read_to_string(Tool::MqttJs.path()).expect("MQTT.js");
    let browser = Browser::start();
    for version in [4, 5] {
        let script = DASHBOARD
            .replace("URL", &json!(url).to_string())
            .replace("USER", &json!(user).to_string())
            .replace("PASSWORD", &json!(password).to_string())
            .replace("VERSION", &version.to_string());
        let page = folder.join(format!("{version}.html"));
        fs::write(&page, format!("<!doctype html><script>{library}</script><script>{script}</script>"))
            .expect("a page");
        browser.open(&format!("file://{}", page.display()));
        let wait_online = |online: bool| {
            wait::until("the host on the dashboard", LONG, || {
                let seen = browser.run(&format!("return window.seen[{}] || null", json!(presence)));
                let told: Value = serde_json::from_str(seen.as_str().unwrap_or("null")).unwrap_or_default();
                if told["online"] == online { Ok(()) } else { Err(seen.to_string()) }
            });
        };
        wait_online(true);
        scene.agent.stop();
        wait_online(false);
        scene.server.stop();
        scene.server.start_again();
        wait_online(false);
        scene.agent.start();
        wait_online(true);
    }

    // What is not MQTT ends at once, and whoever looks is told what is spoken here.
    let ended = browser.run_async(&format!(
        "const end = arguments[arguments.length - 1]; const socket = new WebSocket({}, 'mqtt'); \
         socket.onopen = () => socket.send('a text'); socket.onclose = () => end('ended');",
        json!(url)
    ));
    assert_eq!(ended, "ended");
    let looked = scene.api().get("/mqtt");
    assert!(looked.status == 426 && looked.text.contains("over WebSocket"), "{}", looked.text);
    // Nobody is let in by a password that is not theirs, nor a host by this way, whose login stands for more.
    let (host_id, host_password) = HostLogin::stolen_from(&scene.agent).login();
    for (user, password) in [(user.as_str(), "wrong"), (host_id.as_str(), host_password.as_str())] {
        let refused = Viewer::new(scene.server.http, user, password).paho("#", "websockets");
        let is_refused = refused.output.contains("refused: ") && !refused.output.contains(&presence);
        assert!(is_refused, "{}", refused.output);
    }

    let refused = wait::until("the refusals", SOON, || {
        let told = scene.api().get("/api/refused-connections").expect(200).to_string();
        if told.contains("dashboard") && told.contains("web_socket") { Ok(told) } else { Err(told) }
    });
    assert!(!refused.contains(&password), "{refused}");
}
