//! MQTT tools that look at the fleet: after a restart of the server, and too many of them.

use tests::{
    mosquitto::Viewer,
    scene::{HOST, Scene},
    tools::{self, Tool},
    wait::{self, SOON},
};

#[test]
fn what_stands_comes_as_retained_after_a_restart_of_the_server_too() {
    if !tools::needs(&[Tool::MosquittoSub]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    let (user, password) = scene.server.add_viewer("home-assistant");
    let viewer = Viewer::new(scene.server.mqtt_plain, &user, &password);
    let watch = viewer.watch_with_flags("#");
    let topic = format!("hf/1/view/{HOST}/repo");
    let first = watch.wait_for(&topic, SOON, |seen| seen["is"].is_object());
    assert_eq!(first["retain"], 1, "{first}");
    for _ in 0..3 {
        let before = watch.on(&topic).len();
        scene.server.stop();
        scene.server.start_again();
        // The tool connects again by itself, as soon as it can.
        let again = wait::until("the state after the restart", SOON, || {
            watch.on(&topic).get(before).cloned().ok_or_else(|| format!("{:?}", watch.messages()))
        });
        assert_eq!(again["retain"], 1, "{again}");
    }
}

#[test]
fn an_account_with_too_many_connections_is_told_of_and_others_still_come_in() {
    if !tools::needs(&[Tool::MosquittoSub]) {
        return;
    }
    let Some(scene) = Scene::start_without_repository() else { return };
    let login = |name: &str| {
        let (user, password) = scene.server.add_viewer(name);
        Viewer::new(scene.server.mqtt_plain, &user, &password)
    };
    let (greedy, other) = (login("greedy"), login("other"));
    let presence = format!("hf/1/view/{HOST}/presence");
    let _watches: Vec<_> = (0..16)
        .map(|_| {
            let watch = greedy.watch("hf/1/view/#");
            let _ = watch.wait_for(&presence, SOON, |seen| seen["id"] == scene.host());
            watch
        })
        .collect();
    assert_eq!(greedy.retained("#"), []);
    assert!(scene.server.metric("holdfast_broker_viewers_full_total") >= 1.0);
    let refused = scene.api().get("/api/refused-connections").expect(200).to_string();
    assert!(refused.contains("account_full") && refused.contains("greedy"), "{refused}");
    let audit = scene.api().get("/api/audit?action=mqtt.refused").expect(200).to_string();
    assert!(audit.contains("as many connections as it may have"), "{audit}");
    assert!(other.retained("#").iter().any(|(topic, _)| *topic == presence));
}
