//! A machine that asks to be let in at the broker and is not can be found, with why: with its agent and with MQTT tools.

use serde_json::Value;
use std::{io::Write, net::TcpStream, process::Command};
use tests::{
    process::run,
    scene::Scene,
    scratch::Scratch,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

fn rows(scene: &Scene) -> Vec<Value> {
    let list = scene.api().get("/api/refused-connections").expect(200);
    list["items"].as_array().expect("a list").clone()
}

#[track_caller]
fn wait_for(scene: &Scene, reason: &str) -> Value {
    let mut found = None;
    wait::until(reason, LONG, || {
        let rows = rows(scene);
        found = rows.iter().find(|row| row["reason"] == reason).cloned();
        if found.is_some() { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    found.expect("a row")
}

#[test]
fn an_agent_that_this_server_does_not_know_or_does_not_trust_it_is_found() {
    let Some(mut scene) = Scene::start_without_repository() else { return };
    assert_eq!(rows(&scene), Vec::<Value>::new());
    // As after the return to a copy of the server's files from before this host.
    let host = scene.host().to_owned();
    scene.agent.stop();
    let _ = scene.api().delete(&format!("/api/hosts/{host}")).expect(204);
    scene.agent.start();
    let row = wait_for(&scene, "unknown_host");
    assert_eq!((&row["name"], &row["address"]), (&host.as_str().into(), &"127.0.0.1".into()), "{row}");
    // Written a moment after the row can be seen.
    wait::until("the audit to tell it", SOON, || {
        let audit = scene.api().get("/api/audit?action=mqtt.refused").expect(200);
        let is_told = audit["items"][0]["detail"].as_str().is_some_and(|detail| detail.contains(&host));
        if is_told { Ok(()) } else { Err(audit.to_string()) }
    });
    scene.agent.stop();

    // A host whose line was used by another machine since: the old one is found as what it is.
    let (server, scratch) = (&scene.server, Scratch::new());
    let mut old = tests::agent::Agent::enroll(&server.api, &scratch.path().join("old"), "box");
    server.api.wait_online(&old.host, true, LONG);
    old.stop();
    let line = server.api.post(&format!("/api/hosts/{}/enroll-token", old.host), None);
    let token = line.expect(201)["enroll_token"].as_str().expect("a token").to_owned();
    let mut enroll = Command::new(tools::program("holdfast-agent"));
    enroll.args(["enroll", "--state-dir"]).arg(scratch.path().join("new")).arg(token);
    let _ = run("enroll", enroll, SOON).expect_success("an enrolment");
    old.start();
    let row = wait_for(&scene, "host_password");
    assert_eq!(row["name"], old.host.as_str(), "{row}");
    assert!(row["let_in_at"].is_null(), "{row}");
    old.stop();

    // What was refused is still told when its machine was let in, and says so; and again when it is refused once more.
    let mut new = old.copy(&scratch.path().join("copy"));
    new.state_dir = scratch.path().join("new");
    new.start();
    server.api.wait_online(&old.host, true, LONG);
    let is_let_in = |row: &Value| row["name"] == old.host.as_str() && !row["let_in_at"].is_null();
    let told = rows(&scene).into_iter().find(is_let_in).expect("the row stays");
    assert!(told["reason"] == row["reason"] && told["tries"].as_u64() >= row["tries"].as_u64(), "{told}");
    new.stop();
    old.start();
    wait::until("it to be refused again", LONG, || {
        let rows = rows(&scene);
        let again = |row: &&Value| row["name"] == old.host.as_str() && row["let_in_at"].is_null();
        let tries = rows.iter().find(again).and_then(|row| row["tries"].as_u64());
        if tries > told["tries"].as_u64() { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    old.stop();
}

#[test]
fn an_mqtt_tool_that_is_not_let_in_is_found_with_why() {
    if !tools::needs(&[Tool::MosquittoSub]) {
        return;
    }
    let Some(scene) = Scene::start_without_repository() else { return };
    let (tls, plain) = (scene.server.mqtt, scene.server.mqtt_plain);
    let subscribe = |options: &[&str]| {
        let mut line = Command::new(Tool::MosquittoSub.path());
        line.args(["-h", "127.0.0.1", "-t", "hf/1/view/#", "-W", "3"]).args(options);
        run("mosquitto_sub", line, SOON)
    };
    let (tls_port, plain_port) = (tls.port().to_string(), plain.port().to_string());

    let _ = subscribe(&["-p", &plain_port, "-u", "nobody", "-P", "wrong"]);
    assert_eq!(wait_for(&scene, "view_account")["name"], "nobody");
    let _ = subscribe(&["-p", &plain_port]);
    let _ = wait_for(&scene, "no_login");
    // To the port with TLS, without.
    let _ = subscribe(&["-p", &tls_port, "-u", "nobody", "-P", "wrong"]);
    let row = wait_for(&scene, "no_tls");
    assert!(row["name"].is_null() && row["tries"].as_u64() > Some(0), "{row}");
    // With the certificates of the system, which do not know this server's authority.
    let _ = subscribe(&["-p", &tls_port, "--capath", "/etc/ssl/certs", "-u", "nobody", "-P", "wrong"]);
    let _ = wait_for(&scene, "untrusted");
    let mut browser = TcpStream::connect(plain).expect("a connection");
    browser.write_all(b"GET / HTTP/1.1\r\nHost: nas\r\n\r\n").expect("sent");
    let _ = wait_for(&scene, "not_mqtt");

    // A port check, which connects and goes away, is nothing to tell of.
    let before = rows(&scene);
    for address in [tls, plain] {
        drop(TcpStream::connect(address).expect("a connection"));
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(rows(&scene).len(), before.len());
    let audit = scene.api().get("/api/audit?action=mqtt.refused").expect(200).to_string();
    for words in ["does not trust the certificate", "no TLS, or none that fits", ": not MQTT"] {
        assert!(audit.contains(words), "no {words:?} in {audit}");
    }
}
