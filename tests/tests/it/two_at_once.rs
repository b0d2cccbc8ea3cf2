//! Two backups asked at once: one waits or is refused with a reason, none is lost.

use tests::{
    scene::{GROUP, Scene},
    wait::LONG,
};

#[test]
fn a_second_backup_waits_for_the_first_or_is_refused_with_a_reason() {
    let Some(scene) = Scene::start() else { return };
    let other = scene.scratch.folder("other sources");
    std::fs::write(other.join("note"), "small").expect("a file");
    scene.api().add_group(scene.host(), "other", &[&other.display().to_string()]);
    let (first, restic) = scene.backup_in_the_middle();

    let mut asked = vec![first.clone()];
    let mut refused = 0;
    for group in [GROUP, "other", "other"] {
        let answer = scene.api().post(&format!("/api/hosts/{}/groups/{group}/backup", scene.host()), None);
        match answer.status {
            202 => asked.push(answer.body["id"].as_str().expect("a job").to_owned()),
            409 => {
                assert!(
                    ["job_in_progress", "repo_busy", "queue_full"].contains(&answer.code()),
                    "{}",
                    answer.text
                );
                assert!(answer.body["error"]["message"].as_str().is_some_and(|words| words.len() > 10));
                refused += 1;
            }
            _ => panic!("{}", answer.text),
        }
    }
    assert_eq!(asked.len() + refused, 4);
    assert!(asked.len() >= 2, "another group's backup waits");
    // One restic at a time.
    assert_eq!(scene.agent.running_restic(), Some(restic));
    for waiting in &asked[1..] {
        let state = scene.api().job(waiting)["state"].clone();
        assert!(["queued", "sent", "accepted"].iter().any(|open| state == *open), "{state}");
    }

    scene.let_it_finish();
    for job in &asked {
        let ended = scene.api().wait_end(job, LONG);
        match ended["state"].as_str() {
            Some("succeeded") => {}
            Some("failed") => assert!(!ended["refusal"].is_null(), "a refusal has a reason: {ended}"),
            _ => panic!("{ended}"),
        }
    }
    let good = asked.iter().filter(|job| scene.api().job(job)["state"] == "succeeded").count();
    assert_eq!(scene.repository().snapshots().len(), good);
    assert_eq!(
        scene.api().jobs(scene.host()).iter().filter(|job| job["kind"] == "backup").count(),
        asked.len()
    );
}
