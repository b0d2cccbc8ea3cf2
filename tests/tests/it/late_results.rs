//! A backup ends while the server is away, and another comes due before both meet again: the late result is not taken
//! for the one that was due.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::{Value, json};
use tests::{
    api::text,
    proc_table,
    scene::{GROUP, Scene},
    wait::{self, LONG, SOON},
};

/// The jobs that nobody asked for, newest first.
fn by_themselves(scene: &Scene) -> Vec<Value> {
    let mut jobs = scene.api().jobs(scene.host());
    jobs.retain(|job| {
        job["kind"] == "backup" && (job["actor_kind"] == "schedule" || job["actor_kind"] == "agent")
    });
    jobs
}

#[test]
fn a_late_result_does_not_swallow_what_came_due_after_its_backup_had_begun() {
    let Some(mut scene) = Scene::start() else { return };
    let (job, restic) = scene.backup_in_the_middle();
    // Once, at the next full minute that is not too near.
    let due = Timestamp::now().checked_add(100.seconds()).expect("a time");
    let due = TimeZone::UTC.to_datetime(due);
    let cron = format!("{} {} * * *", due.minute(), due.hour());
    let path = format!("/api/hosts/{}/schedules/once", scene.host());
    let put = scene.api().put(&path, &json!({ "cron": cron, "timezone": "UTC", "groups": [GROUP] }));
    let due_at: Timestamp = text(&put.expect(201)["next_due_at"]).parse().expect("an instant");
    scene.server.kill_9();
    scene.let_it_finish();
    wait::until_true("restic to end", LONG, || !proc_table::runs(restic));
    assert!(Timestamp::now() < due_at, "it ended before the other was due");
    wait::until_true("the time to come", LONG, || Timestamp::now() > due_at);
    scene.server.start_again();
    let ended = scene.api().wait_job(&job, &["succeeded"], LONG);
    let began: Timestamp = text(&ended["started_at"]).parse().expect("an instant");
    assert!(began < due_at, "{ended}");
    let due = wait::until("the due backup", LONG, || {
        by_themselves(&scene).pop().ok_or_else(|| scene.api().get("/api/pending").expect(200).to_string())
    });
    let due = scene.api().wait_job(&text(&due["id"]), &["succeeded"], LONG);
    let began: Timestamp = text(&due["started_at"]).parse().expect("an instant");
    assert!(began >= due_at, "{due}");
    assert_eq!(by_themselves(&scene).len(), 1);
    assert_eq!(scene.repository().snapshots().len(), 2);
    let waiting = scene.api().get("/api/pending").expect(200);
    assert_eq!(waiting["items"], json!([]), "{waiting}");
    scene.api().wait_online(scene.host(), true, SOON);
}
