//! Restores and proofs that lose the agent, the server or the network in one of their phases, and that meet a full disk:
//! each ends once, with the truth, and leaves neither a scratch folder nor a lock.

use serde_json::{Value, json};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};
use tests::{
    agent,
    api::text,
    disk::Disk,
    scene::Scene,
    tools::Tool,
    wait::{self, LONG, SOON},
};

/// Enough for what restic keeps, and for what a drill restores.
const STATE_BYTES: u64 = 160 << 20;
/// Less than the files that are restored.
const TARGET_BYTES: u64 = 6 << 20;

/// A scene whose restic stops before it restores, or when it has, as long as a file says so.
struct Stage {
    scene: Scene,
    phase: PathBuf,
    met: PathBuf,
}

impl Stage {
    fn start() -> Option<Self> {
        let mut scene = Scene::start()?;
        let _ = scene.back_up();
        let folder = scene.scratch.folder("phases");
        let [script, phase, met] = ["restic", "phase", "met"].map(|name| folder.join(name));
        let (restic, at, seen) = (Tool::Restic018.path(), phase.display(), met.display());
        let restic = restic.display();
        let text = format!(
            "#!/bin/sh\nstop() {{ touch '{seen}'; while [ -e '{at}' ]; do sleep 0.1; done; }}\ncase \"$(cat '{at}' 2>&-) $* \" in\nbefore*' restore '*) stop;;\nend*' restore '*) '{restic}' \"$@\"; code=$?; stop; exit $code;;\nesac\nexec '{restic}' \"$@\"\n"
        );
        fs::write(&script, text).expect("a script");
        fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("a program");
        scene.run_with(&script);
        Some(Self { scene, phase, met })
    }

    /// Begins a job of this kind, of so many files if it is a drill.
    fn begin(&self, kind: &str, files: u32) -> String {
        let at = format!("/api/hosts/{}/{kind}", self.scene.host());
        let body = match kind {
            "restore" => {
                let snapshot = text(&self.scene.repository().snapshots()[0]["id"]);
                json!({"snapshot": snapshot})
            }
            _ => json!({"files": files}),
        };
        text(&self.scene.api().post(&at, Some(&body)).expect(202)["id"])
    }

    /// Begins a job of this kind and waits until its restic is in this phase.
    fn met(&self, kind: &str, when: &str) -> String {
        fs::write(&self.phase, when).expect("a phase");
        let job = self.begin(kind, 10);
        wait::until_true("restic to be in this phase", LONG, || self.met.exists());
        job
    }

    fn go_on(&self) {
        fs::remove_file(&self.phase).expect("on it goes");
        fs::remove_file(&self.met).expect("met");
    }

    /// Nothing is left of what has ended, and nothing is tried again.
    #[track_caller]
    fn is_left_clean(&self, kind: &str, jobs: usize) {
        let made = self.scene.agent.state_dir.join("drill");
        assert!(!made.exists(), "{}", made.display());
        assert_eq!(self.scene.repository().locks(), Vec::<String>::new());
        assert_eq!(self.scene.api().get("/api/pending").expect(200)["items"], json!([]));
        let all = self.scene.api().jobs(self.scene.host());
        assert_eq!(all.iter().filter(|job| job["kind"] == kind).count(), jobs, "{kind}");
    }
}

fn is_told_in_each_phase(kind: &str) {
    let Some(mut stage) = Stage::start() else { return };
    let mut jobs = 0;
    for when in ["before", "end"] {
        for lost in ["agent", "server", "network"] {
            let job = stage.met(kind, when);
            jobs += 1;
            match lost {
                "agent" => {
                    stage.scene.agent.kill_9();
                    stage.go_on();
                    stage.scene.agent.start();
                    stage.scene.api().wait_online(stage.scene.host(), true, SOON);
                    // It may be called online before the server has noticed the death.
                    let made = stage.scene.agent.state_dir.join("drill");
                    wait::until_true("what a dead drill left to go", SOON, || !made.exists());
                }
                "server" => {
                    stage.scene.server.kill_9();
                    stage.go_on();
                    stage.scene.server.start_again();
                }
                _ => {
                    stage.scene.link.cut();
                    stage.go_on();
                    wait::until_true("restic to end while nobody hears it", LONG, || {
                        stage.scene.agent.running_restic().is_none()
                    });
                    stage.scene.link.heal();
                }
            }
            let ended = stage.scene.api().wait_end(&job, LONG);
            let wanted: (Value, Value) = match lost {
                "agent" => ("failed".into(), "agent_restarted".into()),
                _ => ("succeeded".into(), Value::Null),
            };
            assert_eq!((&ended["state"], &ended["class"]), (&wanted.0, &wanted.1), "{lost}, {when}: {ended}");
            stage.is_left_clean(kind, jobs);
        }
    }
}

#[test]
fn a_drill_that_loses_somebody_in_one_of_its_phases_ends_once_with_the_truth() {
    is_told_in_each_phase("drill");
}

#[test]
fn a_restore_that_loses_somebody_in_one_of_its_phases_ends_once_with_the_truth() {
    is_told_in_each_phase("restore");
}

/// In the middle of its data, which come slowly.
fn is_told_in_the_middle(kind: &str) {
    let Some(mut stage) = Stage::start() else { return };
    for (jobs, lost) in ["server", "network", "storage"].into_iter().enumerate() {
        stage.scene.storage_link.slow(Some(400_000));
        let job = stage.begin(kind, 100);
        stage.scene.api().wait_fetching(&job);
        assert!(stage.scene.agent.running_restic().is_some(), "{lost}");
        match lost {
            "server" => {
                stage.scene.server.kill_9();
                stage.scene.let_it_finish();
                wait::until_true("restic to end while nobody hears it", LONG, || {
                    stage.scene.agent.running_restic().is_none()
                });
                stage.scene.server.start_again();
            }
            "network" => {
                stage.scene.link.cut();
                stage.scene.let_it_finish();
                wait::until_true("restic to end while nobody hears it", LONG, || {
                    stage.scene.agent.running_restic().is_none()
                });
                stage.scene.link.heal();
            }
            _ => {
                let before = stage.scene.storage_link.refused();
                stage.scene.storage_link.cut();
                wait::until_true("restic to try again in vain", LONG, || {
                    stage.scene.storage_link.refused() > before
                });
                stage.scene.let_it_finish();
            }
        }
        let ended = stage.scene.api().wait_end(&job, LONG);
        assert_eq!(
            (&ended["state"], &ended["class"]),
            (&json!("succeeded"), &Value::Null),
            "{lost}: {ended}"
        );
        let summary = &ended["summary"];
        match kind {
            "restore" => assert_eq!(summary["verified"], true, "{lost}: {ended}"),
            _ => assert_eq!(summary["equal"], summary["drawn"], "{lost}: {ended}"),
        }
        stage.is_left_clean(kind, jobs + 1);
    }
}

#[test]
fn a_drill_that_loses_somebody_in_the_middle_of_its_data_ends_once_with_the_truth() {
    is_told_in_the_middle("drill");
}

#[test]
fn a_restore_that_loses_somebody_in_the_middle_of_its_data_ends_once_with_the_truth() {
    is_told_in_the_middle("restore");
}

#[test]
fn a_drill_whose_disk_gets_full_says_so_leaves_nothing_and_proves_nothing() {
    let Some(mut stage) = Stage::start() else { return };
    stage.scene.agent.stop();
    let Some(disk) = Disk::under(STATE_BYTES, &stage.scene.agent.state_dir) else { return };
    stage.scene.agent.start();
    stage.scene.api().wait_online(stage.scene.host(), true, LONG);
    let job = stage.met("drill", "before");
    disk.fill();
    stage.go_on();
    wait::until_true("restic to end", LONG, || stage.scene.agent.running_restic().is_none());
    wait::until_true("the scratch folder to go", LONG, || {
        !stage.scene.agent.state_dir.join("drill").exists()
    });
    disk.empty();
    let ended = stage.scene.api().wait_end(&job, LONG);
    assert_eq!((&ended["state"], &ended["class"]), (&json!("failed"), &json!("disk_full")), "{ended}");
    stage.is_left_clean("drill", 1);
    assert_eq!(stage.scene.api().host(stage.scene.host())["proof_status"], "waiting", "nothing was found");
    let at = format!("/api/hosts/{}/drill", stage.scene.host());
    let again = text(&stage.scene.api().post(&at, Some(&json!({"files": 5}))).expect(202)["id"]);
    let ended = stage.scene.api().wait_end(&again, LONG);
    assert_eq!(ended["state"], "succeeded", "{ended}");
}

#[test]
fn a_restore_onto_a_disk_that_is_too_small_says_so_and_how_much_is_there() {
    let Some(mut stage) = Stage::start() else { return };
    stage.scene.agent.stop();
    let small = stage.scene.scratch.folder("small");
    let policy = format!("restore_base = \"{}\"\n", small.display());
    fs::write(stage.scene.agent.state_dir.join("policy.toml"), policy).expect("a policy");
    stage.scene.agent.wrapper = agent::small_disk(&small, TARGET_BYTES);
    stage.scene.agent.start();
    stage.scene.api().wait_online(stage.scene.host(), true, LONG);
    let snapshot = text(&stage.scene.repository().snapshots()[0]["id"]);
    let at = format!("/api/hosts/{}/restore", stage.scene.host());
    let asked = |body: Value| {
        let job = text(&stage.scene.api().post(&at, Some(&body)).expect(202)["id"]);
        stage.scene.api().wait_end(&job, LONG)
    };
    let plan = asked(json!({"snapshot": snapshot, "dry_run": true}));
    let free = plan["summary"]["free_bytes"].as_u64();
    assert!(free.is_some_and(|free| free <= TARGET_BYTES), "the plan says how little there is: {plan}");
    assert!(plan["summary"]["bytes"].as_u64() > free, "{plan}");
    let ended = asked(json!({"snapshot": snapshot}));
    assert_eq!((&ended["state"], &ended["class"]), (&json!("warning"), &json!("disk_full")), "{ended}");
    let count = |of: &str| ended["summary"][of].as_u64().expect("a number");
    assert!(count("files") > 0 && count("failed") > 0, "{ended}");
    assert_eq!(
        count("files") + count("failed"),
        plan["summary"]["files"].as_u64().expect("a number"),
        "{ended}"
    );
    assert!(
        ended["summary"]["failures"][0]["reason"].as_str().is_some_and(|why| why.contains("space")),
        "{ended}"
    );
    assert!(count("bytes") <= TARGET_BYTES, "no more than the disk can hold: {ended}");
    stage.is_left_clean("restore", 1);
}
