//! A machine whose clock is hours off, ahead or behind, and set while the agent runs: backups go on, nothing is counted
//! wrongly, and everybody can see it.

use std::{
    fs,
    path::{Path, PathBuf},
};
use tests::{
    api::text,
    scene::{GROUP, HOST, Scene},
    wait::{self, LONG, SOON},
    wrong_clock::WrongClock,
};

const HOURS: i64 = 13;

/// So many hours and a little more, ahead or behind, in seconds.
const fn secs(hours: i64) -> i64 {
    hours * 3_600 + hours.signum() * 600
}

/// A file of a repository that holds data.
fn a_pack(repository: &Path) -> PathBuf {
    let folders = fs::read_dir(repository.join("data")).expect("a repository");
    let packs =
        folders.flatten().flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
    packs
        .map(|pack| pack.path())
        .max_by_key(|pack| fs::metadata(pack).map_or(0, |it| it.len()))
        .expect("a pack")
}

#[test]
fn a_machine_whose_clock_is_hours_off_backs_up_and_says_so() {
    let Some(mut scene) = Scene::start() else { return };
    let clock = WrongClock::new(&scene.scratch.folder("clock"));
    let host = scene.host().to_owned();
    scene.agent.stop();
    scene.agent.wrapper = clock.wrapper();
    clock.set_ahead(secs(HOURS));
    scene.agent.start();
    scene.api().wait_online(&host, true, SOON);
    for (saved, hours) in (1_u64..).zip([HOURS, -HOURS, HOURS, 0]) {
        // Set while it runs.
        clock.set_ahead(secs(hours));
        scene.add_sources(&format!("more-{saved}"));
        let job = scene.back_up();
        assert_eq!(text(&job["state"]), "succeeded");
        // It took seconds, and ended now: by the server's clock.
        let (created, finished) = (text(&job["created_at"]), text(&job["finished_at"]));
        assert!(created <= finished && finished[..10] >= created[..10], "{created} to {finished}");
        let seen = wait::until("the clock to be shown", LONG, || {
            let seen = scene.api().host(&host);
            let ahead = seen["clock_ahead_ms"].as_i64().unwrap_or_default();
            let off = (ahead - secs(hours) * 1_000).abs();
            if off < 60_000 { Ok(seen) } else { Err(format!("{ahead} ms ahead, not {hours} h")) }
        });
        let way = if hours < 0 { "behind" } else { "ahead" };
        let warning = format!("Its clock is {} h {way}", hours.abs());
        assert_eq!(text(&seen["reason"]) == warning, hours != 0, "{seen}");
        assert_eq!(seen["status"], if hours == 0 { "ok" } else { "warning" }, "{seen}");
        assert_eq!(seen["protected"], hours == 0, "{seen}");
        // What it tells of the repository counts, whatever its clock said before.
        wait::until("the snapshot to be counted", LONG, || {
            let count = scene.server.repo(&host)["snapshots"].as_u64();
            if count == Some(saved) { Ok(()) } else { Err(format!("{count:?} of {saved}")) }
        });
        let status = scene.agent.status();
        assert_eq!(
            status.contains(&format!("{way} of the server's").replace("behind of", "behind")),
            hours != 0,
            "{status}"
        );
        let metrics = scene.api().get("/metrics").text;
        let measured = metrics
            .lines()
            .find_map(|line| {
                line.strip_prefix(&format!("holdfast_host_clock_ahead_seconds{{host=\"{HOST}\"}} "))
            })
            .and_then(|value| value.parse::<f64>().ok())
            .expect("the clock among the metrics");
        assert!((measured - secs(hours) as f64).abs() < 60.0, "{measured}");
    }

    // Damage that is found while the clock is behind is not older than the good check before.
    let check = |states: &[&str]| {
        let job = scene.api().ask(&host, "check");
        let _ = scene.api().wait_job(&job, states, LONG);
    };
    clock.set_ahead(secs(HOURS));
    check(&["succeeded"]);
    let pack = a_pack(&scene.storage.repository());
    let good = fs::read(&pack).expect("a pack");
    fs::remove_file(&pack).expect("removed");
    clock.set_ahead(secs(-HOURS));
    check(&["failed", "warning"]);
    wait::until("the damage to be seen", LONG, || {
        let seen = scene.api().host(&host);
        if seen["reason"] == "Repository has errors" { Ok(()) } else { Err(seen.to_string()) }
    });
    fs::write(&pack, good).expect("a pack");
    clock.set_ahead(secs(HOURS));
    check(&["succeeded"]);
    clock.set_ahead(0);
    check(&["succeeded"]);
    wait::until("all to be well", LONG, || {
        let seen = scene.api().host(&host);
        if seen["status"] == "ok" { Ok(()) } else { Err(seen.to_string()) }
    });
    let _ = scene.api().back_up(&host, GROUP);
}

/// Now, as the API writes it.
fn now() -> String {
    jiff::Timestamp::now().strftime("%FT%TZ").to_string()
}

#[test]
fn a_good_backup_while_the_servers_clock_was_a_year_ahead_is_none_of_next_year() {
    let Some(mut scene) = Scene::start() else { return };
    let clock = WrongClock::new(&scene.scratch.folder("clock"));
    let host = scene.host().to_owned();
    let start_at = |scene: &mut Scene, secs| {
        scene.server.stop();
        clock.set_ahead(secs);
        scene.server.start_again();
        scene.api().wait_online(&host, true, LONG);
    };
    scene.server.environment.extend(clock.environment());
    start_at(&mut scene, 0);
    clock.set_ahead(365 * 86_400);
    let ahead = scene.back_up();
    assert!(text(&ahead["created_at"]) > now(), "{ahead}");
    assert!(text(&scene.api().host(&host)["last_good_at"]) > now());

    start_at(&mut scene, 0);
    let back = now();
    let seen = scene.api().host(&host);
    assert!(text(&seen["last_good_at"]) <= now(), "{seen}");
    // A clock that has gone on for ten minutes is believed, and what lay ahead of it is of when it came back, for good.
    clock.set_ahead(11 * 60);
    wait::until("what was dated ahead to be mended", LONG, || {
        let seen = scene.api().host(&host);
        let is_mended = ["last_good_at", "last_backup_at"].iter().all(|at| text(&seen[at]) <= back);
        if is_mended { Ok(()) } else { Err(format!("back at {back}: {seen}")) }
    });
    let job = scene.back_up();
    let jobs = scene.api().get("/api/jobs?limit=1").expect(200);
    assert_eq!(jobs["items"][0]["id"], job["id"], "the newest is the one just made");
    let seen = scene.api().host(&host);
    assert_eq!((&seen["status"], &seen["protected"]), (&"ok".into(), &true.into()), "{seen}");
}
