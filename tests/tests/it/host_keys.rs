//! A storage by ssh whose host key nobody knows yet: told, compared, accepted, held to; and another one in its place.

use serde_json::{Value, json};
use tests::{api::text, scene::Scene, sshd::Sshd, wait::LONG};

/// A test of the host's credentials: how it ended.
fn tested(scene: &Scene) -> Value {
    let asked = scene.api().post(&format!("/api/hosts/{}/repo-credentials/test", scene.host()), None);
    scene.api().wait_end(&text(&asked.expect(202)["id"]), LONG)
}

fn fingerprint(job: &Value) -> String {
    text(&job["summary"]["fingerprint"])
}

#[test]
fn a_host_key_is_told_accepted_by_its_fingerprint_and_held_to() {
    let Some(scene) = Scene::start_without_repository() else { return };
    let address = Sshd::free_address();
    let first = Sshd::start(&scene.scratch, "first", address);
    let slot = format!("/api/hosts/{}/repo-credentials", scene.host());
    let input = json!({"url": first.url(), "repo_password": "of the repository", "env": {}});
    let _ = scene.api().put(&slot, &input).expect(200);

    let job = tested(&scene);
    assert_eq!(job["class"], "unknown_host_key", "{job}");
    assert_eq!((&job["summary"]["host_key"], &job["summary"]["slot"]), (&json!(first.key), &json!("repo")));
    let accept = |job: &Value, fingerprint: &str| {
        let path = format!("/api/jobs/{}/host-key", text(&job["id"]));
        scene.api().put(&path, &json!({"fingerprint": fingerprint}))
    };
    assert_eq!(accept(&job, "SHA256:of-another").code(), "invalid_input");
    let facts = accept(&job, &fingerprint(&job)).expect(200);
    assert_eq!(facts["host_keys"], format!("{}\n", first.key));
    // It is let through to the login, which nobody has.
    assert_eq!(tested(&scene)["class"], "auth");

    drop(first);
    let second = Sshd::start(&scene.scratch, "second", address);
    let job = tested(&scene);
    assert_eq!(
        (&job["class"], &job["summary"]["host_key"]),
        (&json!("host_key_changed"), &json!(second.key))
    );
    let _ = accept(&job, &fingerprint(&job)).expect(200);
    assert_eq!(tested(&scene)["class"], "auth");
    let audit = scene.api().get("/api/audit?action=credentials.host_key_accepted").expect(200);
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(2), "{audit}");
}
