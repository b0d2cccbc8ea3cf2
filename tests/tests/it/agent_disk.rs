//! The agent's own disk is full in the middle of a backup: the host says so while it lasts, not only afterwards; the
//! job ends as what it was, and when there is room again the host says that too.

use tests::{
    disk::Disk,
    scene::Scene,
    wait::{self, LONG, SOON},
};

/// Enough for what restic keeps of the backup.
const DISK_BYTES: u64 = 160 << 20;

#[test]
fn a_full_disk_of_the_agent_is_told_while_a_backup_runs_and_is_over_when_there_is_room() {
    let Some(mut scene) = Scene::start() else { return };
    scene.agent.stop();
    let Some(disk) = Disk::under(DISK_BYTES, &scene.agent.state_dir) else { return };
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let (job, _) = scene.backup_in_the_middle();
    disk.fill();
    wait::until("the host to say it", SOON, || {
        let host = scene.api().host(scene.host());
        let says =
            host["reason"].as_str().is_some_and(|reason| reason.contains("can't write its state folder"));
        if says && host["status"] == "failed" { Ok(()) } else { Err(host.to_string()) }
    });
    let running = scene.api().get(&format!("/api/jobs/{job}")).expect(200);
    assert_eq!(running["state"], "running", "{running}");
    scene.let_it_finish();
    let ended = scene.api().wait_end(&job, LONG);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    disk.empty();
    let well_again = || {
        wait::until("the host to be well again, without a job", 2 * LONG, || {
            let host = scene.api().host(scene.host());
            if host["status"] == "ok" { Ok(()) } else { Err(host.to_string()) }
        });
    };
    well_again();

    // Full before the job: refused for what it is. A job that has ended leaves room for the record of another one.
    let refused = (0..30).find_map(|_| {
        disk.fill();
        let ended = scene.api().wait_end(&scene.api().ask(scene.host(), "stats"), LONG);
        (ended["state"] == "failed").then_some(ended)
    });
    let refused = refused.expect("a full disk that refuses something");
    assert!(refused["refusal"] == "state_folder" || refused["class"] == "disk_full", "{refused}");
    // With room again it works at once, when there is something to do.
    disk.empty();
    let stats = scene.api().wait_end(&scene.api().ask(scene.host(), "stats"), LONG);
    assert_eq!(stats["state"], "succeeded", "{stats}");
    well_again();
}
