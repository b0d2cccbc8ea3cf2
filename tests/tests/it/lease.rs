//! A host that dies in a check does not keep its neighbours off the repository.

use serde_json::json;
use tests::{
    agent::Agent,
    scene::Scene,
    wait::{LONG, SOON},
};

#[test]
fn a_host_killed_in_a_check_keeps_its_neighbour_off_no_longer_than_until_somebody_cancels() {
    let Some(mut scene) = Scene::start() else { return };
    let neighbour = Agent::enroll(scene.api(), &scene.scratch.folder("neighbour"), "neighbour");
    scene.api().put_credentials(&neighbour.host, &scene.credentials);
    scene.api().add_group(&neighbour.host, "files", &[&scene.sources.display().to_string()]);
    scene.api().wait_online(&neighbour.host, true, SOON);
    let test = format!("/api/hosts/{}/repo-credentials/test", neighbour.host);
    let test = scene.api().post(&test, None).expect(202);
    let _ = scene.api().wait_job(test["id"].as_str().expect("an id"), &["succeeded"], LONG);
    let repo = scene.api().get(&format!("/api/hosts/{}/repo", neighbour.host)).expect(200);
    assert_eq!(repo["shared_with"][0]["why"], "address", "{repo}");

    // Its restic gets no further than the storage's door.
    scene.storage_link.hold();
    let check = scene.api().ask(scene.host(), "check");
    let _ = scene.api().wait_job(&check, &["running"], SOON);
    scene.agent.kill_9();
    scene.api().wait_online(scene.host(), false, LONG);
    let backup = format!("/api/hosts/{}/groups/files/backup", neighbour.host);
    let refused = scene.api().post(&backup, None);
    assert_eq!((refused.status, refused.code()), (409, "repo_busy"), "{}", refused.text);

    let cancelled = scene.api().post(&format!("/api/jobs/{check}/cancel"), Some(&json!({}))).body;
    assert_eq!(cancelled["state"], "cancelled", "{cancelled}");
    scene.storage_link.heal();
    let job = scene.api().post(&backup, None).expect(202);
    let _ = scene.api().wait_job(job["id"].as_str().expect("an id"), &["succeeded"], LONG);

    // It comes back, and says what became of its check: that is late.
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let ended = scene.api().wait_job(&check, &["failed", "cancelled", "lost"], LONG);
    assert_ne!(ended["state"], "running");
    let job = scene.api().post(&backup, None).expect(202);
    let _ = scene.api().wait_job(job["id"].as_str().expect("an id"), &["succeeded"], LONG);
}
