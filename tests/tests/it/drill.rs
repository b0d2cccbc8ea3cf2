//! Proofs from the API to the storage and back: what is drawn is proven, damage is found, and nothing stays behind.

use serde_json::{Value, json};
use std::{fs, path::PathBuf};
use tests::{
    api::text,
    proc_table,
    scene::Scene,
    wait::{self, LONG, SOON},
};

fn ask(scene: &Scene, body: &Value) -> String {
    let at = format!("/api/hosts/{}/drill", scene.host());
    text(&scene.api().post(&at, Some(body)).expect(202)["id"])
}

fn drill(scene: &Scene, body: &Value) -> Value {
    scene.api().wait_end(&ask(scene, body), LONG)
}

/// The folder that a drill restores into.
fn scratch(scene: &Scene) -> PathBuf {
    scene.agent.state_dir.join("drill")
}

/// The packs with the content of files.
fn packs(scene: &Scene) -> Vec<PathBuf> {
    let (mut packs, mut open) = (Vec::new(), vec![scene.scratch.path().join("storage")]);
    while let Some(next) = open.pop() {
        for path in fs::read_dir(&next).expect("a folder").flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.metadata().is_ok_and(|found| found.len() > 100_000) {
                packs.push(path);
            }
        }
    }
    packs
}

#[test]
fn a_drill_proves_a_host_until_its_repository_is_damaged() {
    let Some(scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let nothing = scene.api().post(&format!("/api/hosts/{host}/drill"), None);
    assert_eq!((nothing.status, nothing.code()), (422, "invalid_input"), "{}", nothing.text);
    let _ = scene.back_up();
    assert_eq!(scene.api().host(&host)["proof_status"], "waiting");

    let proven = drill(&scene, &json!({"files": 5}));
    assert_eq!((&proven["state"], &proven["kind"]), (&json!("succeeded"), &json!("drill")), "{proven}");
    for (of, wanted) in
        [("drawn", 5), ("equal", 5), ("changed_since", 0), ("unreadable", 0), ("different", 0)]
    {
        assert_eq!(proven["summary"][of], wanted, "{of}: {proven}");
    }
    let stands = scene.api().host(&host);
    assert_eq!((&stands["proof_status"], &stands["status"]), (&json!("proven"), &json!("ok")), "{stands}");
    assert!(stands["proven_at"].is_string(), "{stands}");
    assert!(!scratch(&scene).exists());

    // Each pack with data is damaged: whatever is drawn, it is found.
    for pack in packs(&scene) {
        let mut bytes = fs::read(&pack).expect("a pack");
        for place in (1_000..bytes.len() - 5_000).step_by(20_000) {
            bytes[place] ^= 1;
        }
        fs::remove_file(&pack).expect("removed");
        fs::write(&pack, bytes).expect("written");
    }
    let failed = drill(&scene, &json!({}));
    assert_eq!((&failed["state"], &failed["class"]), (&json!("failed"), &json!("proof_failed")), "{failed}");
    assert!(failed["summary"]["unreadable"].as_u64().is_some_and(|files| files > 0), "{failed}");
    assert!(failed["summary"]["files"][0]["path"].is_string(), "{failed}");
    let stands = scene.api().host(&host);
    assert_eq!(
        (&stands["proof_status"], &stands["status"], &stands["reason_code"]),
        (&json!("failed"), &json!("failed"), &json!("proof_failed")),
        "{stands}"
    );
    assert!(!scratch(&scene).exists());
    let report = scene.api().get("/api/report").expect(200);
    assert_eq!((&report["hosts_total"], &report["proven"]), (&json!(1), &json!(0)), "{report}");
}

#[test]
fn a_drill_whose_agent_is_killed_leaves_nothing_after_the_next_start() {
    let Some(mut scene) = Scene::start() else { return };
    let _ = scene.back_up();
    let policy = scene.scratch.path().join("policy.toml");
    let base = scene.scratch.folder("room");
    fs::write(&policy, format!("restore_base = {base:?}\n")).expect("a policy");
    scene.agent.options = vec!["--policy".into(), policy.into()];
    scene.agent.stop();
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, SOON);
    let scratch = base.join("holdfast-drill");
    scene.storage_link.slow(Some(300_000));
    let job = ask(&scene, &json!({}));
    wait::until("files in the scratch folder", LONG, || {
        let made = scratch.join(".holdfast-restoring");
        if made.exists() { Ok(()) } else { Err(format!("{} is not there", made.display())) }
    });
    let restic = scene.agent.wait_restic();
    scene.agent.kill_9();
    wait::until_true("restic to end with its agent", SOON, || !proc_table::runs(restic));
    assert!(scratch.exists(), "nobody was there to take it away");
    scene.let_it_finish();
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, SOON);
    assert!(!scratch.exists());
    let dead = scene.api().wait_end(&job, LONG);
    assert_eq!((&dead["state"], &dead["class"]), (&json!("failed"), &json!("agent_restarted")), "{dead}");
    assert_eq!(scene.api().host(scene.host())["proof_status"], "waiting", "nothing was found");
    assert_eq!(scene.repository().locks(), Vec::<String>::new());
}
