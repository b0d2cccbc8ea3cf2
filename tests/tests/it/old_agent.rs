//! The agent program of an earlier state, commit 9245fd3, with the server of now: it runs its jobs, and the program of now
//! goes on with its state folder.

use crate::update::{Maker, update, updated};
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt as _};
use tests::{
    scene::{GROUP, Scene},
    tools::{self, Tool, program},
    wait::{self, LONG, SOON},
};

fn scene() -> Option<Scene> {
    if !tools::needs(&[Tool::OldAgent]) {
        return None;
    }
    Scene::start_with_agent(&Tool::OldAgent.path())
}

fn is_old(scene: &Scene) -> bool {
    scene.api().host(scene.host())["agent_is_old"] == true
}

#[test]
fn an_earlier_agent_runs_its_jobs_and_the_program_of_now_reads_its_state() {
    let Some(mut scene) = scene() else { return };
    let host = scene.host().to_owned();
    assert!(is_old(&scene), "{}", scene.api().host(&host));
    let _ = scene.back_up();

    // The plan reaches it: what is due while the server is away, it does.
    scene.backs_up_alone();
    let before = scene.repository().snapshots().len();
    scene.server.kill_9();
    wait::until("a backup without the server", 2 * LONG, || {
        let snapshots = scene.repository().snapshots().len();
        if snapshots > before { Ok(()) } else { Err(format!("{snapshots} snapshots")) }
    });
    scene.server.start_again();
    scene.api().wait_online(&host, true, LONG);
    let _ = scene.api().delete(&format!("/api/hosts/{host}/schedules/often")).expect(204);
    wait::until("it to be told of, and nothing to be open", LONG, || {
        let all = scene.backups();
        let is_open = all.iter().any(|job| job["finished_at"].is_null());
        let is_told = all.iter().any(|job| job["actor_kind"] == "agent" && job["state"] == "succeeded");
        if is_told && !is_open { Ok(()) } else { Err(format!("{all:?}")) }
    });
    scene.each_backup_ran_once();

    // A start of the server in the middle of a job.
    scene.add_sources("new");
    let (job, _) = scene.backup_in_the_middle();
    scene.server.kill_9();
    scene.let_it_finish();
    scene.server.start_again();
    let ended = scene.api().wait_end(&job, LONG);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    scene.each_backup_ran_once();

    // What it has written down and not told, the program of now tells.
    scene.add_sources("more");
    scene.storage_link.slow(Some(400_000));
    let job = scene.api().back_up(&host, GROUP);
    let _ = scene.agent.wait_restic();
    let _ = scene.api().wait_job(&job, &["running"], SOON);
    scene.link.cut();
    let ended = |scene: &Scene| scene.agent.log().matches("ended: Succeeded").count();
    let before = ended(&scene);
    scene.let_it_finish();
    wait::until("the end that nobody hears of", LONG, || {
        if ended(&scene) > before { Ok(()) } else { Err(scene.agent.log()) }
    });
    scene.agent.stop();
    scene.link.heal();
    scene.agent.program = program("holdfast-agent");
    scene.agent.start();
    let ended = scene.api().wait_end(&job, LONG);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    scene.api().wait_online(&host, true, LONG);
    scene.each_backup_ran_once();
    let log = scene.agent.log();
    assert!(!log.contains("set aside") && !log.contains("damaged"), "{log}");
    // The program before has warned of a plan that was not made for it; the one of now does not.
    let of_now = log.rsplit(" runs as ").next().unwrap_or_default();
    assert!(of_now.contains("connected to") && !of_now.contains("can't be read"), "{log}");
    let _ = scene.back_up();
    scene.each_backup_ran_once();
    assert!(!is_old(&scene), "{}", scene.api().host(&host));
    assert!(scene.backups().iter().all(|job| job["state"] == "succeeded"), "{:?}", scene.backups());
    let odd = scene.api().get("/api/audit?action=agent.odd").expect(200);
    assert_eq!(odd["items"], json!([]), "{odd}");
}

#[test]
fn an_earlier_agent_is_updated_in_its_place() {
    let Some(mut scene) = scene() else { return };
    let _ = scene.back_up();
    let (maker, place) = Maker::in_place(&mut scene);
    let pid = scene.agent.pid();
    let policy = maker.folder.join("policy.toml");
    fs::write(&policy, format!("update_key = '{}'\n", maker.key("owner"))).expect("a policy");
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o600)).expect("a mode");

    let now = fs::read(program("holdfast-agent")).expect("the program of now");
    let file = maker.program("now", &now, "owner");
    let (output, done) = updated(update(&scene, &policy, &file, &[]));
    assert!(done && output.contains("it has said hello"), "{output}");
    assert_eq!((fs::read(&place).expect("the program"), scene.agent.pid()), (now, pid));
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = scene.back_up();
    scene.each_backup_ran_once();
    assert!(!is_old(&scene), "{}", scene.api().host(scene.host()));
    let log = scene.agent.log();
    let of_now = log.rsplit("trying ").next().unwrap_or_default();
    assert!(!log.contains("set aside") && !of_now.contains("can't be read"), "{log}");
}
