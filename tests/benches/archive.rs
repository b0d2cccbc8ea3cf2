//! What an archive of the server costs with ten thousand hosts and a million jobs, and what the pages cost meanwhile:
//!
//! ```text
//! cargo build --release && cargo bench -p tests --bench archive
//! ```
//!
//! An archive is written, read back and opened, with each of its rows decoded: for a recipient, for a passphrase as the
//! page offers it, and for one that somebody has made up, which takes 128 MiB for half a second twice by itself (scrypt, as
//! whoever guesses has to). Pages are asked for all the time, one after the other over
//! one kept connection, each 20 ms after the one before has come. Memory is what the process has at most (`VmHWM`), beside
//! what it had while only pages were asked for.
//! The data folder is made first (minutes), or taken from HOLDFAST_SEEDED.

use serde_json::json;
use std::{
    env, fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use tests::{connection::Connection, scratch::Scratch, seeded, server::Server};

const ROUNDS: usize = 3;
const BETWEEN: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn main() {
    // `cargo test --benches` only wants to know whether it starts.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let scratch = Scratch::new();
    let folder = seeded::large(&scratch);
    let size = fs::metadata(folder.join("holdfast.redb")).map_or(0, |file| file.len());
    println!("data file {:.2} GiB", size as f64 / (1u64 << 30) as f64);
    let server = Server::start(&folder);
    let pid = server.pid();
    let token = server.token(&format!("archive-{}", std::process::id()), "read,admin");
    let host = server.api.get("/api/hosts?q=host-00042").expect(200)["items"][0]["id"].clone();
    let host = host.as_str().expect("an id").to_owned();
    let paths = ["/".to_owned(), format!("/hosts/{host}"), "/jobs".to_owned(), "/audit".to_owned()];
    let identity = age_recipient();
    println!("\n{:<34} {:>8} {:>9} {:>9} {:>9} {:>9}", "", "archive", "pages", "p99", "slowest", "memory");

    // What pages take and need by themselves, with what they keep warm.
    let begun = Instant::now();
    let _ = pages(server.http, &token, &paths, || begun.elapsed() < Duration::from_secs(10));
    let base = memory_mib(pid, "VmRSS");
    let alone = pages(server.http, &token, &paths, || begun.elapsed() < Duration::from_secs(30));
    line("pages alone", None, &alone, memory_mib(pid, "VmRSS") - base);

    for (name, key) in [
        ("for a recipient", json!({"recipients": [identity]})),
        ("for a passphrase that was offered", json!({"passphrase": "k7fp-22aa-bcde-fghi-jklm-nopq"})),
        ("for a passphrase of one's own", json!({"passphrase": "correct horse battery staple"})),
    ] {
        // A change of the key makes one at once.
        let _ = server.api.put("/api/archives/key", &key);
        wait_idle(&server);
        for _ in 0..ROUNDS {
            let before = memory_mib(pid, "VmRSS");
            // From here on the peak counts anew.
            fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the peak is reset");
            let is_done = AtomicBool::new(false);
            let (took, seen) = thread::scope(|scope| {
                let asked =
                    scope.spawn(|| pages(server.http, &token, &paths, || !is_done.load(Ordering::SeqCst)));
                let begun = Instant::now();
                let made = server.api.post("/api/archives", None);
                let took = begun.elapsed();
                is_done.store(true, Ordering::SeqCst);
                assert!(made.status < 300, "{}", made.text);
                (took, asked.join().expect("pages"))
            });
            line(name, Some(took), &seen, memory_mib(pid, "VmHWM") - before);
        }
    }
}

fn line(name: &str, took: Option<Duration>, times: &[Duration], more_mib: f64) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let took = took.map_or_else(|| "–".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
    let (p99, slowest) = (times[times.len() * 99 / 100], times[times.len() - 1]);
    println!(
        "{name:<34} {took:>8} {:>9} {:>6.1} ms {:>6.1} ms {more_mib:>+6.1} MiB",
        times.len(),
        ms(p99),
        ms(slowest)
    );
}

/// Asks for pages as long as it is wanted; how long each took, the slowest last.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn pages(http: SocketAddr, token: &str, paths: &[String], is_wanted: impl Fn() -> bool) -> Vec<Duration> {
    let mut connection = Connection::open(http);
    let mut times = Vec::new();
    for path in paths.iter().cycle() {
        let begun = Instant::now();
        let _ = connection.get(token, path);
        times.push(begun.elapsed());
        if !is_wanted() {
            break;
        }
        thread::sleep(BETWEEN);
    }
    times.sort_unstable();
    times
}

fn wait_idle(server: &Server) {
    loop {
        let archives = server.api.get("/api/archives").expect(200);
        if archives["busy"] == false && archives["archives"].as_array().is_some_and(|kept| !kept.is_empty()) {
            return;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn memory_mib(pid: u32, what: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a line");
    let digits: String = line.chars().filter(char::is_ascii_digit).collect();
    digits.parse::<f64>().expect("a number") / 1024.0
}

/// The recipient of an identity that nobody keeps.
fn age_recipient() -> String {
    let made = std::process::Command::new("age-keygen").output().expect("age-keygen");
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("# public key: "));
    line.expect("a public key").to_owned()
}
