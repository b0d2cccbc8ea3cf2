//! Retention when a source goes away: what is known to be whole outlives what is not, and a sudden loss waits for a
//! person; so does a backup that is unlike those before it; and a group that gets another name keeps its history.

use serde_json::{Value, json};
use std::fs;
use tests::{
    api::text,
    scene::{GROUP, Scene},
    sources::write_tree,
    wait::{self, LONG},
};

fn soundness(scene: &Scene, group: &str) -> Value {
    scene.api().get(&format!("/api/hosts/{}/groups/{group}/soundness", scene.host())).expect(200)
}

fn back_up(scene: &Scene, group: &str, state: &str) -> Value {
    let job = scene.api().back_up(scene.host(), group);
    scene.api().wait_job(&job, &[state], LONG)
}

fn snapshot_of(job: &Value) -> String {
    text(&job["summary"]["snapshot"])[..8].to_owned()
}

/// The snapshots that are there, in 8 letters.
fn there(scene: &Scene, group: &str) -> Vec<String> {
    scene.repository().tagged(group).iter().map(|id| id[..8].to_owned()).collect()
}

#[test]
fn an_emptied_source_costs_no_good_snapshot() {
    let Some(scene) = Scene::start() else { return };
    scene.api().put_admin_credentials(scene.host(), &scene.admin_credentials());
    let sources = scene.sources.display().to_string();
    scene.api().set_keep(scene.host(), GROUP, &[&sources], &json!({ "last": 3 }));
    // Retention that time alone starts, as often as it may.
    let rule = json!({ "enabled": true, "every": "* * * * *" });
    let off = json!({ "enabled": false, "every": "1 week" });
    let settings = json!({ "forget": rule, "prune": rule, "check": off });
    let path = format!("/api/hosts/{}/maintenance", scene.host());
    let _ = scene.api().put(&path, &settings).expect(200);

    let good: Vec<String> = (0..3).map(|_| snapshot_of(&back_up(&scene, GROUP, "succeeded"))).collect();
    for entry in fs::read_dir(&scene.sources).expect("the sources").flatten() {
        let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
    }
    for _ in 0..3 {
        assert_eq!(back_up(&scene, GROUP, "warning")["class"], "source_empty");
    }
    let known = soundness(&scene, GROUP);
    assert_eq!(
        (&known["held"], known["lacking"].as_array().map(Vec::len)),
        (&json!("loss"), Some(3)),
        "{known}"
    );
    // The list of snapshots says which those are.
    let host = scene.host();
    let listing = scene.api().post(&format!("/api/hosts/{host}/snapshots/refresh"), None).expect(202);
    let _ = scene.api().wait_job(&text(&listing["id"]), &["succeeded"], LONG);
    let listed = scene.api().get(&format!("/api/hosts/{host}/snapshots")).expect(200);
    let lacks = |id: &str| {
        let rows = listed["items"].as_array().expect("snapshots").iter();
        rows.filter(|row| text(&row["id"]).starts_with(id)).map(|row| row["lacks"].clone()).next()
    };
    let (whole, others) = (Some(Value::Null), listed["items"].as_array().map(Vec::len));
    assert!(good.iter().all(|id| lacks(id) == whole) && others == Some(6), "{listed}");
    let lacking =
        listed["items"].as_array().expect("snapshots").iter().filter(|row| row["lacks"].is_string());
    assert_eq!(lacking.count(), 3, "{listed}");
    for kind in ["forget", "prune"] {
        let answer = scene.api().post(&format!("/api/hosts/{}/repo/{kind}", scene.host()), None);
        assert_eq!((answer.status, answer.code()), (409, "held"), "{}", answer.text);
    }
    let host = scene.api().host(scene.host());
    assert_eq!(host["status"], "warning", "{host}");
    // The ticks come and go.
    let held = |kind: usize| {
        let decisions = scene.api().get(&path).expect(200)["decisions"].clone();
        let decision = &decisions[kind];
        (decision["action"] == "hold" && text(&decision["reason"]).contains("is gone"))
            .then_some(())
            .ok_or(decisions)
    };
    (held(0), held(1)).0.expect("forget is held");
    held(1).expect("prune is held");
    let ticks = |scene: &Scene| text(&scene.api().get(&path).expect(200)["decisions"][0]["due_at"]);
    let first = ticks(&scene);
    wait::until("a tick of the maintenance", LONG, || {
        let log = scene.api().jobs(scene.host());
        let ran = log.iter().any(|job| job["kind"] == "forget" || job["kind"] == "prune");
        assert!(!ran, "it ran: {log:?}");
        let now = scene.api().get(&path).expect(200);
        if text(&now["decisions"][0]["due_at"]) == first { Ok(()) } else { Err("not yet".to_owned()) }
    });
    for id in &good {
        assert!(there(&scene, GROUP).contains(id), "{id} is gone");
    }

    // Another one was shown.
    let accept = format!("/api/hosts/{}/groups/{GROUP}/acceptance", scene.host());
    let stale = scene.api().put(&accept, &json!({ "mark": text(&known["loss"]["job"]) }));
    assert_eq!((stale.status, stale.code()), (409, "state_changed"), "{}", stale.text);
    let now = scene.api().put(&accept, &json!({ "mark": known["mark"] })).expect(200);
    assert!(now["held"].is_null() && now["mark"].is_null(), "{now}");
    assert_eq!(now["accepted_by"].as_str().map(str::is_empty), Some(false), "{now}");
    // It is meant to be empty: the rules alone count.
    wait::until("the retention that was held", LONG, || {
        let left = there(&scene, GROUP);
        if left.len() == 3 { Ok(()) } else { Err(format!("{left:?}")) }
    });
    assert_eq!(back_up(&scene, GROUP, "warning")["class"], "source_empty");
    assert!(soundness(&scene, GROUP)["mark"].is_null(), "it was said to be right");
}

#[test]
fn a_missing_path_pushes_no_whole_snapshot_out_and_a_new_name_loses_none() {
    let Some(scene) = Scene::start() else { return };
    scene.api().put_admin_credentials(scene.host(), &scene.admin_credentials());
    let (large, small) = (scene.scratch.folder("large"), scene.scratch.folder("small"));
    for n in 0..20 {
        fs::write(large.join(n.to_string()), format!("{n}").repeat(2_000)).expect("a file");
    }
    fs::write(small.join("a"), "a").expect("a file");
    let includes = [large.display().to_string(), small.display().to_string()];
    let includes: Vec<&str> = includes.iter().map(String::as_str).collect();
    scene.api().add_group_keeping(scene.host(), "two", &includes, &json!({ "last": 2 }));
    let good: Vec<String> = (0..2).map(|_| snapshot_of(&back_up(&scene, "two", "succeeded"))).collect();
    fs::rename(&small, small.with_extension("away")).expect("moved");
    let lacking: Vec<String> = (0..3)
        .map(|_| {
            let job = back_up(&scene, "two", "warning");
            assert_eq!(job["class"], "source_missing", "{job}");
            snapshot_of(&job)
        })
        .collect();
    let forget = scene.api().wait_job(&scene.api().ask(scene.host(), "forget"), &["succeeded"], LONG);
    let told = &forget["summary"][0];
    assert_eq!(
        (&told["removed"], &told["kept"], &told["spared"]),
        (&json!(1), &json!(4), &json!(2)),
        "{forget}"
    );
    let mut wanted = [good.as_slice(), &lacking[1..]].concat();
    let mut left = there(&scene, "two");
    wanted.sort();
    left.sort();
    assert_eq!(left, wanted);
    assert_eq!(soundness(&scene, "two")["lacking"].as_array().map(Vec::len), Some(2), "one is gone");

    // Another name: its snapshots are its own still.
    fs::rename(small.with_extension("away"), &small).expect("moved back");
    let path = format!("/api/hosts/{}/groups/two", scene.host());
    let mut group = scene.api().get(&path).expect(200);
    group["name"] = json!("both");
    let group = scene.api().put(&path, &group).expect(200);
    assert_eq!(group["origins"], json!([{ "hostname": "web-1", "tag": "two" }]), "{group}");
    let job = back_up(&scene, "both", "succeeded");
    assert_eq!(job["summary"]["files_unmodified"], 20, "it goes on from the last one: {job}");
    let whole_again = snapshot_of(&job);
    let second = snapshot_of(&back_up(&scene, "both", "succeeded"));
    // What the repository has of its new name is to be listed first.
    let path = format!("/api/hosts/{}/snapshots/refresh", scene.host());
    let listing = scene.api().post(&path, None).expect(202);
    let _ = scene.api().wait_job(&text(&listing["id"]), &["succeeded"], LONG);
    let forget = scene.api().wait_job(&scene.api().ask(scene.host(), "forget"), &["succeeded"], LONG);
    assert_eq!(forget["summary"][0]["removed"], 4, "{forget}");
    assert!(there(&scene, "two").is_empty());
    let mut left = there(&scene, "both");
    left.sort();
    let mut wanted = vec![whole_again, second];
    wanted.sort();
    assert_eq!(left, wanted);
}

#[test]
fn a_backup_in_which_almost_all_files_changed_costs_no_snapshot_from_before_it() {
    let Some(scene) = Scene::start() else { return };
    scene.api().put_admin_credentials(scene.host(), &scene.admin_credentials());
    let sources = scene.sources.display().to_string();
    scene.api().set_keep(scene.host(), GROUP, &[&sources], &json!({ "last": 3 }));
    // A first one, and as many as it takes to know what is usual; a few files change each time.
    let good: Vec<String> = (0..7)
        .map(|n| {
            fs::write(scene.sources.join("diary"), format!("{n}").repeat(2_000)).expect("a file");
            snapshot_of(&back_up(&scene, GROUP, "succeeded"))
        })
        .collect();
    let known = soundness(&scene, GROUP);
    assert!(known["held"].is_null() && known["unusual"].is_null(), "{known}");
    write_tree(&scene.sources, 4_711, 120, 24 * 1024 * 1024);
    let encrypted = back_up(&scene, GROUP, "succeeded");
    // What comes after it is as ever, and would leave nothing of before it.
    for _ in 0..3 {
        let _ = back_up(&scene, GROUP, "succeeded");
    }
    let known = soundness(&scene, GROUP);
    let unusual = &known["unusual"];
    assert_eq!((&known["held"], &known["mark"]), (&json!("unusual"), &encrypted["id"]), "{known}");
    assert_eq!((&unusual["count"], &unusual["first"]["job"]), (&json!(1), &encrypted["id"]), "{known}");
    let first = &unusual["first"];
    assert_eq!(
        (&first["what"], &first["files_changed"]),
        (&json!("almost_all_changed"), &json!(120)),
        "{known}"
    );
    assert!(first["added_bytes"].as_u64() > Some(20 << 20), "{known}");
    assert!(first["usual_added_bytes"].as_u64() < Some(1 << 20), "{known}");
    let host = scene.api().host(scene.host());
    assert_eq!(
        (&host["status"], &host["reason_code"], &host["protected"]),
        (&json!("warning"), &json!("unusual"), &json!(false)),
        "{host}"
    );
    wait::until("its incident", LONG, || {
        let open = scene.api().get("/api/incidents?state=open").expect(200);
        let is_it = |incident: &Value| incident["cause"] == "unusual" && incident["severity"] == "warning";
        let found = open["items"].as_array().is_some_and(|items| items.iter().any(is_it));
        if found { Ok(()) } else { Err(open.to_string()) }
    });
    for kind in ["forget", "prune"] {
        let answer = scene.api().post(&format!("/api/hosts/{}/repo/{kind}", scene.host()), None);
        assert_eq!((answer.status, answer.code()), (409, "held"), "{}", answer.text);
    }

    // Retention that time alone starts, as often as it may: its time comes, and it waits, while a check, which is looked
    // at after it, goes on.
    let rule = json!({ "enabled": true, "every": "* * * * *" });
    let path = format!("/api/hosts/{}/maintenance", scene.host());
    let _ = scene.api().put(&path, &json!({ "forget": rule, "prune": rule, "check": rule })).expect(200);
    wait::until("a check by the plan", LONG, || {
        let log = scene.api().jobs(scene.host());
        let ran = log.iter().any(|job| job["kind"] == "forget" || job["kind"] == "prune");
        assert!(!ran, "it ran: {log:?}");
        if log.iter().any(|job| job["kind"] == "check") { Ok(()) } else { Err("not yet".to_owned()) }
    });
    let decisions = scene.api().get(&path).expect(200)["decisions"].clone();
    for kind in [0, 1] {
        assert_eq!(decisions[kind]["action"], "hold", "{decisions}");
        assert!(text(&decisions[kind]["reason"]).contains("almost all files changed at once"), "{decisions}");
    }
    let left = there(&scene, GROUP);
    assert!(good.iter().all(|id| left.contains(id)), "{good:?} of {left:?}");

    let accept = format!("/api/hosts/{}/groups/{GROUP}/acceptance", scene.host());
    let now = scene.api().put(&accept, &json!({ "mark": known["mark"] })).expect(200);
    assert!(now["held"].is_null() && now["unusual"].is_null(), "{now}");
    wait::until("the retention that was held", LONG, || {
        let left = there(&scene, GROUP);
        if left.len() == 3 { Ok(()) } else { Err(format!("{left:?}")) }
    });
    assert_eq!(scene.api().host(scene.host())["protected"], true);
}
