//! A host that is away while much is asked of it: nothing is lost, nothing is done twice.

use serde_json::json;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread,
};
use tests::{
    scene::Scene,
    soak,
    wait::{self, LONG},
};

/// How many commands wait at once, as promised, with `./test --soak`; else enough that the network goes away in the
/// middle of them.
const COMMANDS: [usize; 2] = [5_000, 1_600];
/// How many ask at the same time.
const ASKERS: usize = 8;
/// What a job may have cost the server at the most, in bytes of memory that stay.
const BYTES_A_COMMAND: u64 = 16 * 1024;

/// Puts a wrapper before the agent's restic that writes down each run; the file it writes to.
fn count_runs(scene: &mut Scene) -> PathBuf {
    let folder = scene.scratch.folder("counting");
    let (runs, wrapper) = (folder.join("runs"), folder.join("restic"));
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>'{}'\nexec '{}' \"$@\"\n",
        runs.display(),
        scene.agent.restic.display()
    );
    fs::write(&wrapper, script).expect("a script");
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("its mode");
    scene.agent.stop();
    scene.agent.restic = wrapper;
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    runs
}

/// Asks for statistics so many times: the jobs that were taken, and how many were refused for a good reason.
fn ask_for_much(scene: &Scene, times: usize) -> (BTreeSet<String>, usize) {
    let path = format!("/api/hosts/{}/repo/stats", scene.host());
    let ask = || {
        let (mut taken, mut refused) = (Vec::new(), 0);
        for _ in 0..times / ASKERS {
            let answer = scene.api().post(&path, None);
            match (answer.status, answer.code()) {
                (202, _) => taken.push(answer.body["id"].as_str().expect("a job").to_owned()),
                (409, "host_offline" | "queue_full") => refused += 1,
                _ => panic!("{}", answer.text),
            }
        }
        (taken, refused)
    };
    let all: Vec<(Vec<String>, usize)> = thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(ask)).collect();
        askers.into_iter().map(|asker| asker.join().expect("no panic")).collect()
    });
    let refused = all.iter().map(|(_, refused)| refused).sum();
    let count: usize = all.iter().map(|(taken, _)| taken.len()).sum();
    let taken: BTreeSet<String> = all.into_iter().flat_map(|(taken, _)| taken).collect();
    assert_eq!(taken.len(), count, "no job's id is given twice");
    (taken, refused)
}

/// Waits until nothing is open; then each job that was taken is there, once, with an end that has a reason. Returns
/// how many were started.
fn assert_each_ended_once(scene: &Scene, taken: &BTreeSet<String>) -> usize {
    wait::until("all jobs to end", 2 * LONG, || {
        let host = scene.api().send("GET", &format!("/api/hosts/{}", scene.host()), None)?;
        if host.body["open_jobs"] == 0 { Ok(()) } else { Err(host.text) }
    });
    let jobs = scene.api().jobs(scene.host());
    let stats: Vec<_> = jobs.iter().filter(|job| job["kind"] == "stats").collect();
    let mut ids: Vec<&str> = stats.iter().filter_map(|job| job["id"].as_str()).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(taken.iter().map(String::as_str)), "{} and {}", ids.len(), taken.len());
    for job in &stats {
        let has_reason = job["state"] == "succeeded" || !job["class"].is_null() || !job["refusal"].is_null();
        assert!(has_reason, "{job}");
    }
    for job in stats.iter().filter(|job| job["state"] == "succeeded") {
        let _ = scene.api().whole_log(job["id"].as_str().expect("an id"));
    }
    stats.iter().filter(|job| !job["started_at"].is_null()).count()
}

fn stats_runs(runs: &Path) -> usize {
    let runs = fs::read_to_string(runs).unwrap_or_default();
    runs.lines().filter(|line| line.starts_with("stats ")).count()
}

fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

#[test]
fn thousands_of_commands_reach_a_host_that_does_not_listen_none_lost_and_none_doubled() {
    let Some(mut scene) = Scene::start() else { return };
    let runs = count_runs(&mut scene);
    let before = resident_bytes(scene.server.pid());
    scene.link.hold();
    let commands = soak::or(COMMANDS[0], COMMANDS[1]);
    let (taken, refused) = ask_for_much(&scene, commands);
    assert_eq!(taken.len() + refused, commands);
    assert!(taken.len() >= 1_000, "{} taken, {refused} refused", taken.len());
    let grown = resident_bytes(scene.server.pid()).saturating_sub(before);
    assert!(grown < BYTES_A_COMMAND * taken.len() as u64, "{grown} bytes for {} commands", taken.len());

    // The network comes back, and goes again a few times in the middle of it.
    for _ in 0..3 {
        scene.link.heal();
        scene.api().wait_online(scene.host(), true, LONG);
        scene.link.cut();
    }
    scene.link.heal();
    let started = assert_each_ended_once(&scene, &taken);
    assert!(started > 0, "some were carried out");
    assert_eq!(stats_runs(&runs), started, "restic ran once for each job that was started");
    let _ = scene.back_up();
}

#[test]
fn what_was_asked_of_an_agent_that_dies_again_and_again_is_answered_once() {
    let Some(mut scene) = Scene::start() else { return };
    let runs = count_runs(&mut scene);
    scene.link.hold();
    let (taken, _) = ask_for_much(&scene, 80);
    for _ in 0..3 {
        scene.link.heal();
        scene.api().wait_online(scene.host(), true, LONG);
        scene.agent.kill_9();
        scene.agent.start();
    }
    let started = assert_each_ended_once(&scene, &taken);
    // It may have died between writing down that it starts restic, and starting it.
    let ran = stats_runs(&runs);
    assert!(ran <= started && started <= ran + 3, "restic ran {ran} times for {started} jobs");
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = scene.back_up();
}

#[test]
fn a_host_that_is_away_is_asked_nothing_and_the_reason_is_told() {
    let Some(mut scene) = Scene::start() else { return };
    scene.agent.stop();
    scene.api().wait_online(scene.host(), false, LONG);
    let (taken, refused) = ask_for_much(&scene, ASKERS);
    assert_eq!((taken.len(), refused), (0, ASKERS));
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = scene.back_up();
}

#[test]
fn credentials_that_change_while_the_host_is_away_reach_it() {
    let Some(mut scene) = Scene::start() else { return };
    let _ = scene.back_up();
    scene.agent.stop();
    scene.api().wait_online(scene.host(), false, LONG);
    let path = format!("/api/hosts/{}/repo-credentials", scene.host());
    let wrong = json!({ "url": scene.credentials.url, "repo_password": "not this one" });
    for _ in 0..5 {
        assert_eq!(scene.api().put(&path, &wrong).status, 200);
    }
    scene.api().put_credentials(scene.host(), &scene.credentials);
    scene.agent.start();
    wait::until("the agent to hold the newest credentials", LONG, || {
        let seen = scene.api().get(&path);
        if seen.body["held"] == true { Ok(()) } else { Err(seen.text) }
    });
    let _ = scene.back_up();
    assert_eq!(scene.repository().snapshots().len(), 2);
}
