//! A machine is copied with its agent's state folder: both are kept out, neither flaps, nothing is lost, and there are
//! two ways out.

use std::process::Command;
use tests::{
    agent::{Agent, other_boot},
    api::text,
    process::run,
    scene::Scene,
    wait::{self, LONG, SOON},
};

fn connects(scene: &Scene) -> usize {
    scene.server.log().matches("host connected").count()
}

/// Starts both anew, so that they come at once.
fn start_both(agent: &mut Agent, copy: &mut Agent) {
    agent.kill_9();
    copy.kill_9();
    agent.start();
    copy.start();
}

#[track_caller]
fn wait_quarantined(scene: &Scene) {
    wait::until("the quarantine", LONG, || {
        let host = scene.api().host(scene.host());
        if host["quarantine"].is_null() { Err(host.to_string()) } else { Ok(()) }
    });
}

#[track_caller]
fn wait_kept_out(agent: &Agent) {
    wait::until("the agent to be kept out", LONG, || {
        let status = agent.status();
        if status.contains("two machines have its identity") { Ok(()) } else { Err(status) }
    });
}

#[test]
fn a_copied_machine_is_kept_out_with_its_original_until_one_is_gone() {
    let Some(mut scene) = Scene::start() else { return };
    let _ = scene.back_up();
    scene.agent.stop();
    let mut copy = scene.agent.copy(&scene.scratch.path().join("copy"));
    copy.wrapper = other_boot(&scene.scratch.path().join("boot_id"), "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
    scene.agent.start();
    copy.start();
    wait_quarantined(&scene);
    wait_kept_out(&scene.agent);
    wait_kept_out(&copy);

    let host = scene.api().host(scene.host());
    // People know it by its name.
    let name = text(&host["name"]);
    let refused = scene.api().get("/api/refused-connections").expect(200);
    let mut rows = refused["items"].as_array().into_iter().flatten();
    let row = rows.find(|row| row["reason"] == "quarantined").expect("a row");
    assert_eq!((text(&row["name"]), text(&row["host_name"])), (scene.host().to_owned(), name.clone()));
    wait::until("the audit to name it", SOON, || {
        let audit = scene.api().get("/api/audit?action=mqtt.refused").expect(200).to_string();
        if audit.contains(&format!("quarantine, {name}")) { Ok(()) } else { Err(audit) }
    });
    assert_eq!(
        (text(&host["status"]), host["online"].as_bool()),
        ("failed".to_owned(), Some(false)),
        "{host}"
    );
    assert_eq!(host["protected"], true, "what was saved is safe: {host}");
    let machines = host["quarantine"]["machines"].as_array().expect("machines");
    assert_eq!(machines.len(), 2, "{host}");
    let boots: Vec<_> = machines.iter().map(|machine| text(&machine["boot_id"])).collect();
    assert!(
        boots.iter().any(|boot| boot.starts_with("0f1e2d3c4b5a6978")) && boots[0][..16] != boots[1][..16],
        "{boots:?}"
    );
    assert_eq!(machines[0]["installation"], machines[1]["installation"], "{host}");

    // Neither flaps: started again they are not let in at all.
    let before = connects(&scene);
    start_both(&mut scene.agent, &mut copy);
    wait_kept_out(&scene.agent);
    wait_kept_out(&copy);
    assert_eq!(connects(&scene), before, "{}", scene.server.log());

    // Let in while the copy is still there, both are soon out again.
    let _ = scene.api().delete(&format!("/api/hosts/{}/quarantine", scene.host())).expect(204);
    start_both(&mut scene.agent, &mut copy);
    wait_quarantined(&scene);

    // The copy is gone.
    copy.kill_9();
    scene.agent.kill_9();
    let _ = scene.api().delete(&format!("/api/hosts/{}/quarantine", scene.host())).expect(204);
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = scene.back_up();
    assert!(scene.api().host(scene.host())["quarantine"].is_null());

    // Or it can't be reached: the right machine is enrolled anew, and the copy is a stranger.
    copy.start();
    wait_quarantined(&scene);
    let token = scene.api().post(&format!("/api/hosts/{}/enroll-token", scene.host()), None).expect(201);
    scene.agent.stop();
    let mut enroll = Command::new(&scene.agent.program);
    enroll.args(["enroll", "--force", "--state-dir"]).arg(&scene.agent.state_dir);
    enroll.arg(text(&token["enroll_token"]));
    let _ = run("holdfast-agent enroll", enroll, SOON).expect_success("the enrolment");
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    copy.kill_9();
    copy.start();
    wait::until("the copy to be refused", LONG, || {
        let status = copy.status();
        if status.contains("does not know this host any more") { Ok(()) } else { Err(status) }
    });
    // Nor does the token that the right machine has used open the door to it.
    copy.kill_9();
    let mut enroll = Command::new(&copy.program);
    enroll.args(["enroll", "--force", "--state-dir"]).arg(&copy.state_dir);
    enroll.arg(text(&token["enroll_token"]));
    let refused = run("holdfast-agent enroll", enroll, SOON);
    assert!(!refused.status.success() && refused.output.contains("used"), "{}", refused.output);
    assert!(scene.api().host(scene.host())["quarantine"].is_null());
    let _ = scene.back_up();
}

#[test]
fn a_copied_state_folder_on_the_same_machine_is_kept_out_and_the_same_folder_is_not_run_twice() {
    let Some(mut scene) = Scene::start() else { return };
    let _ = scene.back_up();
    // Started again and killed, cut off and come back: one agent all the time.
    for _ in 0..3 {
        scene.agent.kill_9();
        scene.agent.start();
        scene.api().wait_online(scene.host(), true, LONG);
        scene.agent.stop();
        scene.agent.start();
        scene.api().wait_online(scene.host(), true, LONG);
    }
    assert!(scene.api().host(scene.host())["quarantine"].is_null());

    // Once more by hand, beside the service.
    let before = connects(&scene);
    let mut second = Command::new(&scene.agent.program);
    second.args(["run", "--state-dir"]).arg(&scene.agent.state_dir);
    let second = run("a second agent", second, SOON);
    assert!(!second.status.success() && second.output.contains("another agent runs on"), "{}", second.output);
    assert_eq!(connects(&scene), before);
    let _ = scene.back_up();

    let mut copy = scene.agent.copy(&scene.scratch.path().join("copy"));
    copy.start();
    wait_quarantined(&scene);
    wait_kept_out(&scene.agent);
    wait_kept_out(&copy);
    let host = scene.api().host(scene.host());
    let machines = host["quarantine"]["machines"].as_array().expect("machines");
    let boots: Vec<_> = machines.iter().map(|machine| text(&machine["boot_id"])).collect();
    assert!(boots[0][..16] == boots[1][..16] && boots[0] != boots[1], "{boots:?}");
    let audit = scene.api().get("/api/audit?action=host.quarantined").expect(200).to_string();
    assert!(audit.contains("two agents on "), "{audit}");

    // Neither flaps.
    let before = connects(&scene);
    start_both(&mut scene.agent, &mut copy);
    wait_kept_out(&scene.agent);
    wait_kept_out(&copy);
    assert_eq!(connects(&scene), before, "{}", scene.server.log());

    // The copy is gone.
    copy.kill_9();
    scene.agent.kill_9();
    let _ = scene.api().delete(&format!("/api/hosts/{}/quarantine", scene.host())).expect(204);
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = scene.back_up();
    assert!(scene.api().host(scene.host())["quarantine"].is_null());
}
