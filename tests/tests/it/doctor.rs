//! `holdfast-agent doctor`: says what keeps backups from running, and nothing else.

use serde_json::Value;
use std::{collections::BTreeMap, fs, process::Command};
use tests::{process::run, scene::Scene, wait::LONG};

/// What it says of each thing, and its exit code.
fn doctor(scene: &Scene, more: &[&str]) -> (BTreeMap<String, (String, String)>, bool) {
    let mut command = Command::new(&scene.agent.program);
    command.arg("doctor").arg("--json").arg("--state-dir").arg(&scene.agent.state_dir);
    command.arg("--restic").arg(&scene.agent.restic).args(more);
    let done = run("holdfast-agent doctor", command, LONG);
    let from = done.output.find('{').unwrap_or_default();
    let said: Value =
        serde_json::from_str(&done.output[from..]).unwrap_or_else(|_| panic!("{}", done.output));
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    let findings = said["findings"].as_array().cloned().unwrap_or_default();
    let all = findings
        .iter()
        .map(|finding| (text(finding, "what"), (text(finding, "verdict"), text(finding, "says"))))
        .collect();
    (all, done.status.success())
}

#[test]
fn the_doctor_finds_nothing_on_a_good_machine_and_what_is_wrong_on_others() {
    let Some(mut scene) = Scene::start() else { return };
    let (found, is_well) = doctor(&scene, &[]);
    let wrong: Vec<_> = found.iter().filter(|(_, (verdict, _))| verdict != "ok").collect();
    assert!(is_well && wrong.is_empty(), "{wrong:?}");
    for what in
        ["clock", "policy", "restic", "state folder", "space", "identity", "name", "server", "TLS", "agent"]
    {
        assert!(found.contains_key(what), "{what}: {found:?}");
    }
    assert!(found["repository"].1.contains("opens it"), "{found:?}");

    // One by one.
    let policy = scene.scratch.path().join("policy.toml");
    fs::write(&policy, "nice = 'high'").expect("a policy");
    let (found, is_well) = doctor(&scene, &["--policy", policy.to_str().expect("text")]);
    assert!(
        !is_well && found["policy"].0 == "fail" && found["policy"].1.contains("runs no job"),
        "{found:?}"
    );
    let (found, is_well) = doctor(&scene, &["--restic", "/no/such/restic"]);
    assert!(!is_well && found["restic"].0 == "fail", "{found:?}");
    scene.storage_link.hold();
    scene.agent.stop();
    let (found, is_well) = doctor(&scene, &[]);
    assert!(!is_well && found["repository"].0 == "fail", "{found:?}");
    assert_eq!(found["agent"].0, "warn", "{found:?}");
    scene.storage_link.heal();
    scene.server.stop();
    let (found, is_well) = doctor(&scene, &[]);
    assert!(!is_well && found["server"].0 == "fail" || found["TLS"].0 == "fail", "{found:?}");
    assert_eq!(found["repository"].0, "ok", "the storage has nothing to do with the server: {found:?}");

    // What it did changed nothing: all goes on.
    scene.server.start_again();
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = scene.back_up();
}
