//! The agent program of an earlier state, commit 9245fd3, with the server of now: it runs its jobs, and the program of now
//! goes on with its state folder.

use crate::update::{Maker, update, updated};
use serde_json::{Value, json};
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

fn backups(scene: &Scene) -> Vec<Value> {
    let mut jobs = scene.api().jobs(scene.host());
    jobs.retain(|job| job["kind"] == "backup");
    jobs
}

/// Each snapshot is of one backup, and each good backup has made one.
fn each_ran_once(scene: &Scene) {
    let mut told: Vec<String> = backups(scene)
        .iter()
        .filter_map(|job| job["summary"]["snapshot"].as_str())
        .map(|id| id.chars().take(8).collect())
        .collect();
    told.sort_unstable();
    let mut made: Vec<String> = scene
        .repository()
        .snapshots()
        .iter()
        .filter_map(|snapshot| snapshot["short_id"].as_str().map(str::to_owned))
        .collect();
    made.sort_unstable();
    assert_eq!(told, made);
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
    scene.agent.options = vec!["--alone-after".into(), "3".into()];
    scene.agent.stop();
    scene.agent.start();
    scene.api().wait_online(&host, true, LONG);
    let each_minute = json!({"name": "often", "cron": "* * * * *", "groups": [GROUP]});
    let _ = scene.api().post(&format!("/api/hosts/{host}/schedules"), Some(&each_minute)).expect(201);
    wait::until("the plan to arrive", LONG, || {
        let log = scene.agent.log();
        if log.contains("for when the server is away") { Ok(()) } else { Err(log) }
    });
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
        let all = backups(&scene);
        let is_open = all.iter().any(|job| job["finished_at"].is_null());
        let is_told = all.iter().any(|job| job["actor_kind"] == "agent" && job["state"] == "succeeded");
        if is_told && !is_open { Ok(()) } else { Err(format!("{all:?}")) }
    });
    each_ran_once(&scene);

    assert!(
        !log.contains("can't be read"),
        "what the server had for the program before is no failure: {log}"
    );
    // A start of the server in the middle of a job.
    scene.add_sources("new");
    let (job, _) = scene.backup_in_the_middle();
    scene.server.kill_9();
    scene.let_it_finish();
    scene.server.start_again();
    let ended = scene.api().wait_end(&job, LONG);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    each_ran_once(&scene);

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
    each_ran_once(&scene);
    let log = scene.agent.log();
    assert!(!log.contains("set aside") && !log.contains("damaged"), "{log}");
    let _ = scene.back_up();
    each_ran_once(&scene);
    assert!(!is_old(&scene), "{}", scene.api().host(&host));
    assert!(backups(&scene).iter().all(|job| job["state"] == "succeeded"), "{:?}", backups(&scene));
    let odd = scene.api().get("/api/audit?action=agent.odd").expect(200);
    assert_eq!(odd["items"], json!([]), "{odd}");
}

#[test]
fn an_earlier_agent_is_updated_in_its_place() {
    let Some(mut scene) = scene() else { return };
    let _ = scene.back_up();
    let folder = scene.scratch.path().join("update");
    fs::create_dir(&folder).expect("a folder");
    let maker = Maker { folder: folder.clone() };
    let place = folder.join("holdfast-agent");
    fs::copy(&scene.agent.program, &place).expect("a copy");
    scene.agent.stop();
    scene.agent.program.clone_from(&place);
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let pid = scene.agent.pid();
    let policy = folder.join("policy.toml");
    fs::write(&policy, format!("update_key = '{}'\n", maker.key("owner"))).expect("a policy");
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o600)).expect("a mode");

    let now = fs::read(program("holdfast-agent")).expect("the program of now");
    let file = maker.program("now", &now, "owner");
    let (output, done) = updated(update(&scene, &policy, &file, &[]));
    assert!(done && output.contains("it has said hello"), "{output}");
    assert_eq!((fs::read(&place).expect("the program"), scene.agent.pid()), (now, pid));
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = scene.back_up();
    each_ran_once(&scene);
    assert!(!is_old(&scene), "{}", scene.api().host(scene.host()));
    let log = scene.agent.log();
    assert!(!log.contains("set aside") && !log.contains("can't be read"), "{log}");
}
