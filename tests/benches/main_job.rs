//! The figures of the main job, each beside what it should be compared with:
//!
//! ```text
//! cargo build --release && cargo bench -p tests --bench main_job
//! ```
//!
//! The time from a click (the HTTP request) until restic runs, and a first backup through Holdfast beside the same restic
//! command by hand, in turn. Machines are noisy: what counts is the ratio of the medians of one run.

use std::{fs, path::Path, process::Command, time::Instant};
use tests::{
    agent::Agent,
    api::{Api, Credentials},
    proc_table::spent,
    process::run,
    scratch::Scratch,
    server::Server,
    sources::write_tree,
    tools::{Tool, needs},
    wait::LONG,
};

const CLICKS: usize = 31;
const ROUNDS: usize = 5;
const TREE_BYTES: usize = 384 * 1024 * 1024;
const PASSWORD: &str = "only for the bench";

fn main() {
    // `cargo test --benches` only wants to know whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") || !needs(&[Tool::Restic018]) {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let agent = Agent::enroll(&server.api, &scratch.folder("agent"), "bench");

    println!("from the click until restic runs, {CLICKS} times");
    let small = scratch.folder("small");
    write_tree(&small, 1, 3, 3000);
    let repository = scratch.folder("clicks");
    use_repository(&server.api, &agent.host, &repository);
    server.api.add_group(&agent.host, "small", &[&small.display().to_string()]);
    print_times("click → restic", (0..CLICKS).map(|_| click(&server.api, &agent)).collect());

    println!("\na first backup of {} MiB in 400 files, {ROUNDS} times in turn", TREE_BYTES >> 20);
    let large = scratch.folder("large");
    write_tree(&large, 2, 400, TREE_BYTES);
    server.api.add_group(&agent.host, "large", &[&large.display().to_string()]);
    let (mut through, mut by_hand) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        through.push(through_holdfast(&server.api, &agent, &scratch.folder(&format!("through-{round}"))));
        by_hand.push(with_restic_alone(&scratch, &large, &scratch.folder(&format!("by-hand-{round}"))));
    }
    print_spent("through Holdfast", &through);
    print_spent("by hand", &by_hand);
    println!(
        "  ratio of medians          wall {:.3}   CPU {:.3}",
        median(wall(&through)) / median(wall(&by_hand)),
        median(cpu(&through)) / median(cpu(&by_hand)),
    );
}

/// What a run took, in seconds.
#[derive(Clone, Copy)]
struct Spent {
    wall: f64,
    cpu: f64,
}

fn use_repository(api: &Api, host: &str, folder: &Path) {
    let credentials = Credentials {
        url: folder.display().to_string(),
        login: None,
        repo_password: PASSWORD.to_owned(),
        env: Vec::new(),
    };
    api.put_credentials(host, &credentials);
    let _ = api.wait_job(&api.ask(host, "init"), &["succeeded"], LONG);
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}

fn click(api: &Api, agent: &Agent) -> f64 {
    let children = format!("/proc/{0}/task/{0}/children", agent.pid());
    let clicked = now();
    let job = std::thread::scope(|scope| {
        let asked = scope.spawn(|| api.back_up(&agent.host, "small"));
        while !runs_restic(&children) {
            assert!(clicked.elapsed() < LONG, "restic does not start");
        }
        asked.join().expect("the request")
    });
    let took = clicked.elapsed().as_secs_f64();
    let _ = api.wait_job(&job, &["succeeded"], LONG);
    took
}

/// Whether one of these children has become restic: it is started as the agent itself and turns into it.
fn runs_restic(children: &str) -> bool {
    let pids = fs::read_to_string(children).unwrap_or_default();
    pids.split_whitespace()
        .any(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "restic"))
}

fn through_holdfast(api: &Api, agent: &Agent, repository: &Path) -> Spent {
    use_repository(api, &agent.host, repository);
    let (before, started) = (spent(agent.pid()).with_children, now());
    // As somebody at the page sees it: until the server says that it has succeeded, looked up each 50 ms at most.
    let _ = api.wait_job(&api.back_up(&agent.host, "large"), &["succeeded"], LONG);
    Spent { wall: started.elapsed().as_secs_f64(), cpu: spent(agent.pid()).with_children - before }
}

fn with_restic_alone(scratch: &Scratch, sources: &Path, repository: &Path) -> Spent {
    let list = scratch.path().join("list");
    fs::write(&list, format!("{}\0", sources.display())).expect("a list");
    let restic = |arguments: &[&str]| {
        let mut command = Command::new(Tool::Restic018.path());
        command
            .env_clear()
            .env("HOME", scratch.path())
            .env("RESTIC_CACHE_DIR", scratch.path().join("cache"))
            .env("RESTIC_REPOSITORY", repository)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_PROGRESS_FPS", "1")
            .args(arguments);
        run("restic by hand", command, LONG).expect_success("restic by hand")
    };
    restic(&["init", "--json"]);
    let (before, started) = (spent(std::process::id()).with_children, now());
    let list = list.display().to_string();
    restic(&["backup", "--json", "--host=bench", "--tag=large", "--files-from-raw", &list]);
    Spent { wall: started.elapsed().as_secs_f64(), cpu: spent(std::process::id()).with_children - before }
}

fn print_times(what: &str, mut seconds: Vec<f64>) {
    seconds.sort_by(f64::total_cmp);
    let (first, last) = (seconds[0], seconds[seconds.len() - 1]);
    let middle = seconds[seconds.len() / 2];
    println!("  {what:<24} median {:.1} ms ({:.1} to {:.1})", middle * 1000.0, first * 1000.0, last * 1000.0);
}

fn print_spent(what: &str, spent: &[Spent]) {
    println!("  {what:<24}  wall {:.2} s   CPU {:.2} s   (medians)", median(wall(spent)), median(cpu(spent)));
}

fn wall(spent: &[Spent]) -> Vec<f64> {
    spent.iter().map(|spent| spent.wall).collect()
}

fn cpu(spent: &[Spent]) -> Vec<f64> {
    spent.iter().map(|spent| spent.cpu).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
