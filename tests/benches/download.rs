//! A large file through agent, server and HTTP, beside restic's own dump into a pipe on the same machine:
//!
//! ```text
//! cargo build --release && cargo bench -p tests --bench download [MiB]
//! ```
//!
//! Rates of both, in turn, what agent and server take of memory meanwhile beyond what they had before, and how much of a
//! processor each of them takes for a GiB: of the agent without its restic. The file and its repository take twice its
//! size of the temporary folder. `HOLDFAST_BENCH_AGENT` names another agent than the one beside this bench: the one that
//! `cross/build` makes is the one that is shipped.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use tests::{
    api::text,
    measured::Measured,
    proc_table::{self, Memory},
    repository::Repository,
    scratch::Scratch,
    sources::Numbers,
    tools::{Tool, needs},
    wait::now,
};

const MIB: usize = 1024 * 1024;
const PASSWORD: &str = "only for the bench";
const ROUNDS: usize = 3;

fn main() {
    // `cargo test --benches` only wants to know whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") || !needs(&[Tool::Restic018]) {
        return;
    }
    let mib = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(2_048);
    let scratch = Scratch::new();
    let file = scratch.folder("sources").join("large");
    let mut numbers = Numbers::new(3);
    let mut written = File::create(&file).expect("a file");
    for _ in 0..mib {
        written.write_all(&numbers.bytes(MIB)).expect("room for the file");
    }
    let folder = scratch.folder("repository");
    let repository = Repository::at(&folder.display().to_string(), PASSWORD);
    repository.init();
    let _ = repository.restic(&["backup", "--quiet", &file.display().to_string()]).expect_success("a backup");
    let snapshot = text(&repository.snapshots()[0]["id"]);
    let Measured { server, agent } = Measured::start(&scratch, &folder, PASSWORD);
    let token = server.token("bench", "restore");
    let path = file.display().to_string();
    let address =
        format!("{}/api/hosts/{}/snapshots/{snapshot}/download?path={path}", server.base(), agent.host);
    println!("\n{mib} MiB, {ROUNDS} rounds");
    for _ in 0..ROUNDS {
        let mut by_hand = Command::new(Tool::Restic018.path());
        by_hand
            .args(["-r", &folder.display().to_string(), "dump", "--no-lock", &snapshot, &path])
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_CACHE_DIR", scratch.path().join("cache"));
        let dump = rate(by_hand, mib * MIB, || ());
        let before = [server.pid(), agent.pid()].map(proc_table::memory);
        let mut most = before;
        let spent_before = [server.pid(), agent.pid()].map(|pid| proc_table::spent(pid).own);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-f", "-H", &format!("authorization: Bearer {token}"), &address]);
        let download = rate(curl, mib * MIB, || {
            for (most, pid) in most.iter_mut().zip([server.pid(), agent.pid()]) {
                let seen = proc_table::memory(pid);
                *most = Memory { resident: most.resident.max(seen.resident), ..seen };
            }
        });
        let spent = [server.pid(), agent.pid()].map(|pid| proc_table::spent(pid).own);
        let per_gib = |at: usize| (spent[at] - spent_before[at]) * 1024.0 / mib as f64;
        let grown = |at: usize| most[at].resident.saturating_sub(before[at].resident) as f64 / MIB as f64;
        println!(
            "  dump {dump:>6.1} MiB/s, download {download:>6.1} MiB/s = {:.2} of it; server +{:.2} MiB, {:.2} s/GiB, agent +{:.2} MiB, {:.2} s/GiB",
            download / dump,
            grown(0),
            per_gib(0),
            grown(1),
            per_gib(1),
        );
        // The agent takes one at a time.
        sleep(Duration::from_secs(1));
    }
}

/// MiB a second of what a command gives, which must be so many bytes. `look` is done again and again meanwhile.
fn rate(mut command: Command, bytes: usize, mut look: impl FnMut()) -> f64 {
    let begun: Instant = now();
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("a command");
    let mut output = child.stdout.take().expect("its output");
    let (mut buffer, mut count, mut looked) = (vec![0; 64 * 1024], 0, 0);
    loop {
        match output.read(&mut buffer).expect("its output") {
            0 => break,
            more => count += more,
        }
        if count >= looked + 4 * MIB {
            looked = count;
            look();
        }
    }
    assert!(child.wait().expect("its end").success() && count == bytes, "{count} of {bytes} bytes");
    count as f64 / MIB as f64 / begun.elapsed().as_secs_f64()
}
