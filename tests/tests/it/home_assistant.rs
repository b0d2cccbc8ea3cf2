//! Home Assistant finds the hosts while that is switched on: by the account of a viewer, over WebSocket, and behind a broker
//! of its own that takes the topics over.

use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, process::Command};
use tests::{
    api::Api,
    mosquitto::Viewer,
    ports,
    process::Process,
    scene::{HOST, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

fn switch(api: &Api, on: bool) {
    let told = api.put("/api/home-assistant", &json!({ "enabled": on })).expect(200);
    assert_eq!(told["enabled"], on, "{told}");
    assert_eq!(api.get("/api/home-assistant").expect(200)["enabled"], on);
}

fn topic(host: &str) -> String {
    format!("homeassistant/device/holdfast-{host}/config")
}

/// The devices among retained messages, by topic.
fn devices(retained: Vec<(String, String)>) -> BTreeMap<String, Value> {
    let devices = retained.into_iter().filter(|(topic, _)| topic.starts_with("homeassistant/"));
    devices.map(|(topic, said)| (topic, serde_json::from_str(&said).expect("JSON"))).collect()
}

/// Mosquitto with the two lines that the page names: Home Assistant's own broker.
fn broker_of_home_assistant(scene: &Scene, user: &str, password: &str) -> (Process, Viewer) {
    let (address, gate) = (ports::free(), scene.server.mqtt_plain);
    let config = scene.scratch.folder("broker").join("mosquitto.conf");
    let settings = format!(
        "listener {} {}\nallow_anonymous true\nconnection fleet\naddress {gate}\nremote_username {user}\n\
         remote_password {password}\nrestart_timeout 1\ntopic hf/1/view/# in 0\ntopic homeassistant/# in 0\n",
        address.port(),
        address.ip()
    );
    fs::write(&config, settings).expect("its settings");
    let mut command = Command::new(Tool::Mosquitto.path());
    command.arg("-c").arg(&config);
    (Process::start("mosquitto", command), Viewer::new(address, "anybody", "pass word"))
}

#[test]
fn hosts_are_devices_while_it_is_on_and_go_when_it_is_switched_off_or_they_are_deleted() {
    if !tools::needs(&[Tool::Mosquitto, Tool::MosquittoSub, Tool::Paho]) {
        return;
    }
    let Some(mut scene) = Scene::start_without_repository() else { return };
    let host = scene.host().to_owned();
    let spare = scene.api().add_host("spare").id;
    let (user, password) = scene.server.add_viewer("home-assistant");
    let direct = Viewer::new(scene.server.mqtt_plain, &user, &password);
    let over_web = Viewer::new(scene.server.http, &user, &password);
    let (_broker, bridged) = broker_of_home_assistant(&scene, &user, &password);
    let all = direct.watch_with_flags("#");
    let presence = format!("hf/1/view/{HOST}/presence");
    let _ = all.wait_for(&presence, SOON, |seen| seen["is"].is_object());

    // Off, as at the start: nobody finds anything, and who asks for it is refused, and that is audited.
    assert_eq!(scene.api().get("/api/home-assistant").expect(200)["enabled"], false);
    assert_eq!(direct.retained("homeassistant/#"), []);
    assert_eq!(devices(direct.retained_by_paho("#")), BTreeMap::new());
    wait::until("the refusal in the audit", SOON, || {
        let audit = scene.api().get("/api/audit?action=mqtt.refused").expect(200).to_string();
        if audit.contains("homeassistant/#") { Ok(()) } else { Err(audit) }
    });
    let viewer = scene.server.token("looks", "read");
    let looks = Api::new(&scene.server.base(), &viewer);
    assert_eq!(looks.put("/api/home-assistant", &json!({ "enabled": true })).status, 403);

    // On: also who had asked in vain finds them, without being started again.
    switch(scene.api(), true);
    let expected = |devices: &BTreeMap<String, Value>, hosts: &[&str]| {
        let topics: Vec<_> = hosts.iter().map(|host| topic(host)).collect();
        devices.len() == hosts.len() && topics.iter().all(|topic| devices.contains_key(topic))
    };
    let wait_devices = |of: &Viewer, hosts: &[&str]| {
        wait::until("the devices", LONG, || {
            let found = devices(of.retained("#"));
            if expected(&found, hosts) { Ok(found) } else { Err(format!("{found:?}")) }
        })
    };
    let found = wait_devices(&direct, &[&host, &spare]);
    let _ = wait_devices(&bridged, &[&host, &spare]);
    assert_eq!(devices(direct.retained_by_paho("homeassistant/device/+/config")), found);
    assert_eq!(devices(over_web.retained_over_web_socket("homeassistant/#")), found);
    // What a device refers to is there, with what its page says.
    let device = &found[&topic(&host)];
    assert_eq!((&device["dev"]["name"], &device["stat_t"]), (&json!(HOST), &json!(presence)));
    let tree: BTreeMap<_, _> = bridged.retained("hf/1/view/#").into_iter().collect();
    let said = |topic: &Value| -> Value {
        serde_json::from_str(&tree[topic.as_str().expect("a topic")]).expect("JSON")
    };
    let seen = scene.api().host(&host);
    let state = said(&device["stat_t"]);
    for field in ["status", "reason", "last_good_at", "next_run_at", "online"] {
        assert_eq!(state[field], seen[field], "{field}");
    }
    assert!(device["cmps"]["status"]["ops"].as_array().expect("words").contains(&state["status"]));
    let size = &device["cmps"]["size"];
    assert_eq!(said(&size["stat_t"])["size_bytes"], seen["repo_size_bytes"]);

    // It stays on over a restart, and comes as retained. A name that could break a topic or a template is none.
    scene.server.stop();
    scene.server.start_again();
    let again = all.wait_for(&topic(&host), SOON, |seen| seen["retain"] == 1);
    assert_eq!(&again["is"], device);
    assert_eq!(devices(direct.retained("#")), found);
    for name in ["a\"b", "{{ 7 * 7 }}", "a/b", "#", "é"] {
        let refused =
            scene.api().send("PATCH", &format!("/api/hosts/{spare}"), Some(&json!({ "name": name })));
        assert_eq!(refused.expect("an answer").status, 422, "{name}");
    }
    // Renamed, it is the same device under another name: it is not taken away in between.
    let before = all.on(&topic(&spare)).len();
    let renamed =
        scene.api().send("PATCH", &format!("/api/hosts/{spare}"), Some(&json!({ "name": "attic" })));
    let _ = renamed.expect("an answer").expect(200);
    let _ = all.wait_for(&topic(&spare), SOON, |seen| seen["is"]["dev"]["name"] == "attic");
    let since = all.on(&topic(&spare)).split_off(before);
    assert_eq!(since.len(), 1, "{since:?}");
    assert_eq!(since[0]["is"]["stat_t"], "hf/1/view/attic/presence");

    // Deleted while it is on, and while it is off.
    let third = scene.api().add_host("third").id;
    let _ = wait_devices(&bridged, &[&host, &spare, &third]);
    let _ = scene.api().delete(&format!("/api/hosts/{third}")).expect(204);
    let _ = wait_devices(&bridged, &[&host, &spare]);
    switch(scene.api(), false);
    assert_eq!(wait_devices(&bridged, &[]), BTreeMap::new());
    assert_eq!(direct.retained("homeassistant/#"), []);
    let _ = scene.api().delete(&format!("/api/hosts/{spare}")).expect(204);
    switch(scene.api(), true);
    let _ = wait_devices(&direct, &[&host]);
    let _ = wait_devices(&bridged, &[&host]);
    let audit = scene.api().get("/api/audit?action=home_assistant.switched").expect(200);
    let switched: Vec<_> =
        audit["items"].as_array().expect("lines").iter().map(|line| line["detail"].clone()).collect();
    assert_eq!(switched, ["on", "off", "on"]);
}
