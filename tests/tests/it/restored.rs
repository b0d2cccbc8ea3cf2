//! Files come back: a dry run says what a restore does, the restore does that, and whatever breaks it off is told.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use tests::{
    api::text,
    proc_table,
    scene::Scene,
    wait::{self, LONG, SOON},
};

/// All files and links below a folder, with what is in them.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut all, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            let below = path.strip_prefix(folder).expect("below").to_owned();
            if path.is_symlink() {
                let to = fs::read_link(&path).expect("a link");
                let _ = all.insert(below, to.into_os_string().into_encoded_bytes());
            } else if path.is_dir() {
                open.push(path);
            } else {
                let _ = all.insert(below, fs::read(&path).expect("a file"));
            }
        }
    }
    all
}

/// The whole id of the newest snapshot.
fn backed_up(scene: &Scene) -> String {
    text(&scene.back_up()["summary"]["snapshot"])
}

fn restore(scene: &Scene, body: &Value) -> Value {
    let asked = scene.api().post(&format!("/api/hosts/{}/restore", scene.host()), Some(body)).expect(202);
    scene.api().wait_end(&text(&asked["id"]), LONG)
}

#[test]
fn a_restore_does_what_its_dry_run_said_and_stays_where_it_is_allowed() {
    let Some(scene) = Scene::start() else { return };
    symlink("nowhere", scene.sources.join("link")).expect("a link");
    let snapshot = backed_up(&scene);
    let host = scene.host().to_owned();
    let saved = files(&scene.sources);
    let all = saved.len() as u64;

    // Into a new folder of the agent's own.
    let plan = restore(&scene, &json!({"snapshot": snapshot, "dry_run": true}));
    let done = restore(&scene, &json!({"snapshot": snapshot}));
    assert_eq!((&plan["state"], &done["state"]), (&json!("succeeded"), &json!("succeeded")), "{plan} {done}");
    for (of, wanted) in [("files", all), ("replaced", 0), ("skipped", 0), ("failed", 0), ("deleted", 0)] {
        assert_eq!((&plan["summary"][of], &done["summary"][of]), (&json!(wanted), &json!(wanted)), "{of}");
    }
    assert!(plan["summary"]["free_bytes"].as_u64().is_some_and(|free| free > 0), "{plan}");
    assert_eq!(done["summary"]["verified"], true, "{done}");
    let target = PathBuf::from(text(&done["summary"]["target"]));
    let restored = target.join(scene.sources.strip_prefix("/").expect("absolute"));
    assert!(files(&restored) == saved, "what was saved is there again, byte by byte");

    // One file, and a folder beside it, by their names.
    let first = saved.keys().find(|path| !scene.sources.join(path).is_symlink()).expect("a file");
    let path = scene.sources.join(first);
    let one = restore(&scene, &json!({"snapshot": snapshot, "paths": [path, "/not/there"]}));
    assert_eq!((&one["state"], &one["summary"]["files"]), (&json!("warning"), &json!(1)), "{one}");
    assert_eq!(one["summary"]["failures"][0]["path"], "/not/there", "{one}");
    let target = PathBuf::from(text(&one["summary"]["target"]));
    assert_eq!(
        fs::read(target.join(path.strip_prefix("/").expect("absolute"))).expect("there"),
        saved[first]
    );

    // What may replace files is confirmed by the host's name, and the machine's own policy says the last word.
    let at = format!("/api/hosts/{host}/restore");
    let original = json!({"snapshot": snapshot, "paths": [path], "target": {"kind": "original"}});
    let answer = scene.api().post(&at, Some(&original));
    assert_eq!((answer.status, answer.code()), (422, "confirm_required"), "{}", answer.text);
    let mut confirmed = original.clone();
    confirmed["confirm"] = scene.api().host(&host)["name"].clone();
    let refused = restore(&scene, &confirmed);
    assert_eq!((&refused["state"], &refused["class"]), (&json!("failed"), &json!("policy")), "{refused}");
    assert!(text(&refused["error"]).contains("restore_in_place"), "{refused}");
    let elsewhere = json!({"snapshot": snapshot, "target": {"kind": "folder", "path": "/etc/restored"}});
    assert_eq!(restore(&scene, &elsewhere)["class"], "policy");
    assert!(!Path::new("/etc/restored").exists());

    // Whoever only looked has left no line; a restore has, with what and where to.
    let audit = scene.api().get("/api/audit?action=job.restore").expect(200);
    let lines: Vec<String> =
        audit["items"].as_array().expect("lines").iter().map(ToString::to_string).collect();
    assert!(lines.iter().any(|line| line.contains(&format!("all of {}", &snapshot[..8]))), "{lines:?}");
    assert_eq!(lines.len(), 4, "the dry run is none of them: {lines:?}");
    let jobs =
        |query: &str| scene.api().get(&format!("/api/jobs?host={host}{query}")).expect(200).to_string();
    assert!(!jobs("").contains(&text(&plan["id"])) && jobs("&looks=true").contains(&text(&plan["id"])));

    // A token needs the scope.
    let runner = scene.server.token("runner", "read,run,write");
    let answer =
        tests::api::Api::new(&scene.server.base(), &runner).post(&at, Some(&json!({"snapshot": snapshot})));
    assert_eq!(answer.status, 403, "{}", answer.text);
}

#[test]
fn a_restore_that_is_broken_off_tells_the_truth_and_is_not_tried_again() {
    let Some(mut scene) = Scene::start() else { return };
    let snapshot = backed_up(&scene);
    let at = format!("/api/hosts/{}/restore", scene.host());
    let begin = |scene: &Scene| {
        // Slow enough to be met in the middle.
        scene.storage_link.slow(Some(400_000));
        let asked = scene.api().post(&at, Some(&json!({"snapshot": snapshot}))).expect(202);
        let job = text(&asked["id"]);
        scene.api().wait_fetching(&job);
        (job, scene.agent.wait_restic())
    };

    // A person ends it: what was written stays, and the job says where.
    let (job, _) = begin(&scene);
    let _ = scene.api().post(&format!("/api/jobs/{job}/cancel"), None).expect(202);
    let cancelled = scene.api().wait_end(&job, LONG);
    assert_eq!(
        (&cancelled["state"], &cancelled["ended_by"]),
        (&json!("cancelled"), &json!("person")),
        "{cancelled}"
    );
    let said = text(&cancelled["error"]);
    assert!(said.contains("stays in") && said.contains("holdfast-restore-"), "{said}");
    // Without figures when restic had not come to write a file.
    assert_ne!(cancelled["summary"]["estimate"], false, "{cancelled}");

    // The server dies: the restore goes on, and its end arrives.
    let (job, _) = begin(&scene);
    scene.server.kill_9();
    scene.let_it_finish();
    scene.server.start_again();
    let ended = scene.api().wait_end(&job, LONG);
    assert_eq!(
        (&ended["state"], &ended["summary"]["verified"]),
        (&json!("succeeded"), &json!(true)),
        "{ended}"
    );

    // The agent dies, and restic with it.
    let (job, restic) = begin(&scene);
    scene.agent.kill_9();
    wait::until_true("restic to end with its agent", SOON, || !proc_table::runs(restic));
    scene.let_it_finish();
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, SOON);
    let dead = scene.api().wait_end(&job, LONG);
    assert_eq!((&dead["state"], &dead["class"]), (&json!("failed"), &json!("agent_restarted")), "{dead}");

    // Nothing of it is tried again, waits, or has left a lock; and the host is as green as before.
    assert_eq!(scene.api().get("/api/pending").expect(200)["items"], json!([]));
    let restores = scene.api().get(&format!("/api/jobs?host={}&kind=restore", scene.host())).expect(200);
    assert_eq!(restores["items"].as_array().map(Vec::len), Some(3), "{restores}");
    assert_eq!(scene.repository().locks(), Vec::<String>::new());
    assert_eq!(scene.api().host(scene.host())["status"], "ok");
}
