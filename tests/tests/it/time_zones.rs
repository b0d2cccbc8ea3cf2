//! A time zone that the system gave up: what was set up by it goes on, or says that it can't.

use serde_json::{Value, json};
use std::fs;
use tests::{
    api::text,
    scene::{GROUP, Scene},
    wait::{self, LONG},
};

#[test]
fn a_zone_that_the_system_gave_up_is_still_known_and_one_that_nobody_knows_is_told_of() {
    let Some(mut scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let zones = scene.scratch.folder("zoneinfo");
    let system = std::path::Path::new("/usr/share/zoneinfo");
    for (name, of) in [
        ("UTC", "UTC"),
        ("Europe/Berlin", "Europe/Berlin"),
        ("US/Eastern", "America/New_York"),
        ("Home/Lab", "Europe/Berlin"),
    ] {
        let to = zones.join(name);
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        fs::copy(system.join(of), to).expect("a zone of the system");
    }
    scene.server.environment = vec![("TZDIR".to_owned(), zones.clone().into())];
    scene.server.stop();
    scene.server.start_again();
    scene.api().wait_online(&host, true, LONG);
    let put = |name: &str, cron: &str, timezone: &str| {
        let path = format!("/api/hosts/{host}/schedules/{name}");
        let answer =
            scene.api().put(&path, &json!({ "cron": cron, "timezone": timezone, "groups": [GROUP] }));
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
    };
    put("east", "* * * * *", "US/Eastern");
    put("lab", "30 3 1 * *", "Home/Lab");
    let maintenance = format!("/api/hosts/{host}/maintenance");
    let rule = json!({ "enabled": true, "every": "1 day" });
    let settings = json!({ "timezone": "Home/Lab", "forget": rule, "prune": rule, "check": rule });
    let answer = scene.api().put(&maintenance, &settings);
    assert_eq!(answer.status, 200, "{}", answer.text);

    // An upgrade of the system later.
    let upgrade = |scene: &mut Scene, change: &dyn Fn()| {
        scene.server.stop();
        change();
        scene.server.start_again();
        scene.api().wait_online(&host, true, LONG);
    };
    let (east, lab) = (zones.join("US/Eastern"), zones.join("Home/Lab"));
    let kept = fs::read(&lab).expect("a zone");
    upgrade(&mut scene, &|| {
        fs::remove_file(&east).expect("removed");
        fs::remove_file(&lab).expect("removed");
    });
    upgrade(&mut scene, &|| {});
    let schedule = |scene: &Scene, name: &str| -> Value {
        scene.api().get(&format!("/api/hosts/{host}/schedules/{name}")).expect(200)
    };
    let seen = wait::until("the host to say what it lacks", LONG, || {
        let seen = scene.api().host(&host);
        if text(&seen["reason"]).contains("Home/Lab") { Ok(seen) } else { Err(seen.to_string()) }
    });
    assert_eq!(seen["status"], "warning", "{seen}");
    let before = scene.api().jobs(&host).len();
    let (goes_on, stopped) = (schedule(&scene, "east"), schedule(&scene, "lab"));
    assert_eq!((goes_on["problem"].is_null(), goes_on["next_due_at"].is_null()), (true, false), "{goes_on}");
    assert!(text(&stopped["problem"]).contains("Home/Lab"), "{stopped}");
    wait::until("a backup by the zone that is built in", LONG, || {
        let is_its = |job: &Value| job["actor"] == "east";
        let jobs = scene.api().jobs(&host);
        if jobs.len() > before && jobs.iter().any(is_its) {
            Ok(())
        } else {
            Err(format!("{} jobs", jobs.len()))
        }
    });
    let decided = scene.api().get(&maintenance).expect(200).to_string();
    assert!(decided.contains("the time zone Home/Lab is not known any more"), "{decided}");
    let audit = scene.api().get("/api/audit?action=host.unplanned").expect(200);
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(1), "told once: {audit}");

    // And back.
    upgrade(&mut scene, &|| fs::write(&lab, &kept).expect("written"));
    wait::until("all to be planned again", LONG, || {
        let (seen, lab) = (scene.api().host(&host), schedule(&scene, "lab"));
        let is_well = !text(&seen["reason"]).contains("Home/Lab") && lab["problem"].is_null();
        if is_well && !lab["next_due_at"].is_null() { Ok(()) } else { Err(format!("{seen} {lab}")) }
    });
}

#[test]
fn restic_cuts_days_by_the_zone_that_the_agent_was_started_with() {
    let Some(mut scene) = Scene::start() else { return };
    scene.agent.stop();
    scene.agent.wrapper = vec!["env".into(), "TZ=Asia/Tokyo".into()];
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = scene.back_up();
    let snapshots = scene.repository().snapshots();
    let time = text(&snapshots[0]["time"]);
    assert!(time.ends_with("+09:00"), "{time}");
}
