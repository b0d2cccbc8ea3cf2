//! A storage goes away under two hosts: that is one incident, wherever it is shown, from when it is noticed until both are
//! well again; a restart of the server loses nothing of it.

use serde_json::Value;
use tests::{
    agent::Agent,
    api::{Credentials, text},
    browser::Browser,
    mosquitto::Viewer,
    proxy::Proxy,
    scene::{GROUP, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
    wrong_clock::WrongClock,
};

/// Longer than the grace of a failure, in seconds.
const GRACE_SECS: i64 = 6 * 60;
const NOTE: &str = "A disk is ordered.";

/// The incidents of a state whose cause is the storage.
fn incidents(scene: &Scene, state: &str) -> Vec<Value> {
    let found = scene.api().get(&format!("/api/incidents?state={state}")).expect(200);
    let all = found["items"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|incident| incident["cause"] == "network").collect()
}

/// The only incident of a state, as soon as it meets so many.
fn wait_only(scene: &Scene, state: &str, count: u64) -> Value {
    wait::until(&format!("one {state} incident of {count}"), 2 * LONG, || {
        match incidents(scene, state).as_slice() {
            [only] if only["count"].as_u64() == Some(count) => Ok(only.clone()),
            others => Err(format!("{others:?}")),
        }
    })
}

fn back_up(scene: &Scene, host: &str, state: &str) {
    let job = scene.api().back_up(host, GROUP);
    let _ = scene.api().wait_job(&job, &[state], LONG);
}

#[test]
fn a_storage_that_goes_away_is_one_incident_of_its_hosts_until_it_is_back() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver, Tool::MosquittoSub]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    let clock = WrongClock::new(&scene.scratch.folder("clock"));
    scene.server.environment.extend(clock.environment());
    scene.server.stop();
    scene.server.start_again();
    let first = scene.host().to_owned();
    let second = Agent::enroll(scene.api(), &scene.scratch.folder("second"), "web-2");
    let credentials =
        Credentials { url: format!("{}second/", scene.credentials.url), ..scene.credentials.clone() };
    scene.api().put_credentials(&second.host, &credentials);
    scene.api().add_group(&second.host, GROUP, &[&scene.sources.display().to_string()]);
    let init = scene.api().ask(&second.host, "init");
    let _ = scene.api().wait_job(&init, &["succeeded"], LONG);
    scene.api().wait_online(&first, true, LONG);
    for host in [&first, &second.host] {
        back_up(&scene, host, "succeeded");
    }
    assert!(incidents(&scene, "open").is_empty() && incidents(&scene, "ended").is_empty());
    let (user, password) = scene.server.add_viewer("wall");
    let watch = Viewer::new(scene.server.mqtt_plain, &user, &password).watch("hf/1/view/incidents/#");

    // Nothing listens there any more.
    let (address, upstream) = (scene.storage_link.address, scene.storage.append_only.address);
    drop(std::mem::replace(&mut scene.storage_link, Proxy::start(upstream)));
    for host in [&first, &second.host] {
        back_up(&scene, host, "failed");
    }
    let noticed = wait_only(&scene, "noticed", 2);
    assert_eq!(
        (&noticed["cause"], &noticed["severity"]),
        (&"network".into(), &"critical".into()),
        "{noticed}"
    );
    let id = text(&noticed["id"]);
    scene.server.kill_9();
    clock.set_ahead(GRACE_SECS);
    scene.server.start_again();
    let open = wait_only(&scene, "open", 2);
    assert_eq!(text(&open["id"]), id, "it goes on with the same one: {open}");
    let names: Vec<String> =
        open["hosts"].as_array().expect("hosts").iter().map(|host| text(&host["name"])).collect();
    assert_eq!(names, ["web-1", "web-2"]);
    let topic = format!("hf/1/view/incidents/{id}");
    let _ = watch.wait_for(&topic, LONG, |seen| seen["state"] == "open" && seen["count"] == 2);
    assert!((scene.server.metric("holdfast_incidents{severity=\"critical\"}") - 1.0).abs() < f64::EPSILON);

    let browser = Browser::start();
    scene.server.sign_in(&browser);
    let page = |path: &str| format!("{}{path}", scene.server.base());
    browser.open(&page("/"));
    browser.wait_text("2 need attention", SOON);
    assert_eq!(browser.all("#fleet-attention > li").len(), 1);
    browser.open(&page(&format!("/hosts/{first}")));
    browser.wait_text("1 other host has the same", SOON);
    browser.open(&page("/incidents"));
    browser.wait_text("1 incident needs you", SOON);
    // Also where no script runs.
    browser.scripts(false);
    browser.open(&page(&format!("/incidents/{id}")));
    browser.send_form("#acknowledge", &[("note", NOTE)]);
    browser.wait_text("Acknowledged by", SOON);
    browser.scripts(true);
    browser.open(&page("/incidents"));
    browser.wait_text("1 incident is open, and acknowledged", SOON);
    browser.wait_text(NOTE, SOON);
    browser.open(&page("/"));
    browser.wait_text("2 hosts acknowledged", SOON);
    assert!(!browser.text().contains("need attention"), "{}", browser.text());
    let told = watch.wait_for(&topic, LONG, |seen| seen["acknowledged_until"].is_string());
    assert!(!told.to_string().contains(NOTE), "{told}");
    let audit = scene.api().get("/api/audit?action=incident.acknowledged").expect(200).to_string();
    assert!(audit.contains(&id) && audit.contains(NOTE), "{audit}");

    scene.storage_link = Proxy::start_at(address, upstream);
    browser.open(&page("/incidents"));
    back_up(&scene, &first, "succeeded");
    let rest = wait_only(&scene, "open", 1);
    assert_eq!(text(&rest["id"]), id);
    back_up(&scene, &second.host, "succeeded");
    let ended = wait_only(&scene, "ended", 0);
    assert_eq!((&ended["ended_by"], &ended["most"]), (&"recovered".into(), &2.into()), "{ended}");
    // The page that is open says so by itself.
    browser.wait_text("No incident is open", LONG);
    wait::until("the end of it to be told, and its topic to be taken away", LONG, || {
        match watch.on(&topic).as_slice() {
            [.., last, Value::Null] if last["state"] == "ended" => Ok(()),
            others => Err(format!("{others:?}")),
        }
    });
    let gone = scene.api().put(&format!("/api/incidents/{id}/acknowledgement"), &serde_json::json!({}));
    assert_eq!(gone.code(), "incident_ended");
}
