//! A restore through Holdfast beside the same restic command by hand, in turn:
//!
//! ```text
//! cargo build --release && cargo bench -p tests --bench restore [MiB]
//! ```
//!
//! Wall time and processor time, with read back. A restore of the pages comes behind its dry run, which has looked through
//! the snapshot already; one that is asked for by the API alone looks through it first, unless the agent has made the
//! snapshot itself. Machines are noisy: what counts is the ratio of the medians of one run. The files, their repository and what is restored take three times their size
//! of the temporary folder. `HOLDFAST_BENCH_AGENT` names another agent than the one beside this bench.

use serde_json::json;
use std::{fs, process::Command};
use tests::{
    api::text,
    measured::Measured,
    proc_table::spent,
    process::run,
    repository::Repository,
    scratch::Scratch,
    sources::write_tree,
    tools::{Tool, needs},
    wait::{LONG, now},
};

const MIB: usize = 1024 * 1024;
const PASSWORD: &str = "only for the bench";
const ROUNDS: usize = 5;
/// The most that a restore may take of what restic alone takes.
const GOAL: f64 = 1.03;

/// What a run took, in seconds.
struct Took {
    wall: f64,
    cpu: f64,
}

fn main() {
    // `cargo test --benches` only wants to know whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") || !needs(&[Tool::Restic018]) {
        return;
    }
    let mib: usize = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_024);
    let scratch = Scratch::new();
    let sources = scratch.folder("sources");
    // Many small ones, some of the usual size, and a few that are large.
    for (seed, (files, part)) in [(4_000, 8), (400, 2), (4, 3)].into_iter().enumerate() {
        let bytes = mib * MIB / part;
        write_tree(&sources.join(format!("part-{seed}")), seed as u64 + 1, files, bytes);
    }
    let folder = scratch.folder("repository");
    let repository = Repository::at(&folder.display().to_string(), PASSWORD);
    repository.init();
    let _ =
        repository.restic(&["backup", "--quiet", &sources.display().to_string()]).expect_success("a backup");
    let snapshot = text(&repository.snapshots()[0]["id"]);
    let beside = scratch.folder("beside");
    write_tree(&beside, 9, 1, 1_000);
    let _ =
        repository.restic(&["backup", "--quiet", &beside.display().to_string()]).expect_success("another");
    let ids: Vec<String> = repository.snapshots().iter().map(|listed| text(&listed["id"])).collect();
    let elsewhere = snapshot;
    let other = ids.into_iter().find(|id| *id != elsewhere).expect("two snapshots");
    let Measured { server, agent } = Measured::start(&scratch, &folder, PASSWORD);

    server.api.add_group(&agent.host, "files", &[&sources.display().to_string()]);
    let backup = server.api.wait_job(&server.api.back_up(&agent.host, "files"), &["succeeded"], LONG);
    let own = text(&backup["summary"]["snapshot"]);

    let ask = |snapshot: &str, dry_run: bool| {
        let at = format!("/api/hosts/{}/restore", agent.host);
        let body = json!({"snapshot": snapshot, "dry_run": dry_run});
        let job = text(&server.api.post(&at, Some(&body)).expect(202)["id"]);
        server.api.wait_job(&job, &["succeeded"], 5 * LONG)
    };
    let through = |snapshot: &str, rehearsed: &str| {
        // An agent keeps what it has looked through last.
        let _ = ask(rehearsed, true);
        let (before, begun) = (spent(agent.pid()).with_children, now());
        let ended = ask(snapshot, false);
        let took =
            Took { wall: begun.elapsed().as_secs_f64(), cpu: spent(agent.pid()).with_children - before };
        fs::remove_dir_all(text(&ended["summary"]["target"])).expect("what was restored");
        took
    };
    let by_hand = || {
        let target = scratch.path().join("by-hand");
        let mut command = Command::new(Tool::Restic018.path());
        command
            .args([
                "-r",
                &folder.display().to_string(),
                "restore",
                "--json",
                "--no-lock",
                "--verify",
                "--target",
            ])
            .arg(&target)
            .arg(&own)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_PROGRESS_FPS", "1")
            .env("RESTIC_CACHE_DIR", scratch.path().join("cache"));
        let (before, begun) = (spent(std::process::id()).with_children, now());
        let _ = run("restic by hand", command, 5 * LONG).expect_success("restic by hand");
        let took = Took {
            wall: begun.elapsed().as_secs_f64(),
            cpu: spent(std::process::id()).with_children - before,
        };
        fs::remove_dir_all(&target).expect("what was restored");
        took
    };
    let ways = [
        ("behind its dry run", &own, &own),
        ("alone, saved by itself", &own, &other),
        ("alone, saved elsewhere", &elsewhere, &other),
    ];
    let (mut hand, mut by_way) = (Vec::new(), [(); 3].map(|()| Vec::new()));
    for _ in 0..ROUNDS {
        for (took, (_, snapshot, rehearsed)) in by_way.iter_mut().zip(ways) {
            hand.push(by_hand());
            took.push(through(snapshot, rehearsed));
        }
    }
    println!("\n{mib} MiB in 4,404 files, {ROUNDS} rounds in turn; medians");
    let (hand_wall, hand_cpu) = medians(&hand);
    println!("  {:<22} wall {hand_wall:.2} s   CPU {hand_cpu:.2} s", "by hand");
    for ((what, ..), took) in ways.into_iter().zip(&by_way) {
        let (wall, cpu) = medians(took);
        println!(
            "  {what:<22} wall {wall:.2} s = {:.3}   CPU {cpu:.2} s = {:.3}   (goal {GOAL})",
            wall / hand_wall,
            cpu / hand_cpu
        );
    }
}

fn medians(took: &[Took]) -> (f64, f64) {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    (median(took.iter().map(|took| took.wall).collect()), median(took.iter().map(|took| took.cpu).collect()))
}
