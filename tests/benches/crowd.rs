//! What a hundred clients at once get of the fleet's page, with ten thousand hosts and a million jobs, and how long what
//! costs nearly nothing takes meanwhile:
//!
//! ```text
//! cargo build --release && cargo bench -p tests --bench crowd
//! ```
//!
//! Each client asks again as soon as it has its answer, over one kept connection on loopback; the clients take their share
//! of the processors. Beside them one client asks for `/healthz` every 10 ms: that is how long the server's workers let
//! others wait. The data folder is made first, or taken from HOLDFAST_SEEDED.

use std::{
    env,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use tests::{connection::Connection, scratch::Scratch, seeded, server::Server};

const CLIENTS: usize = 100;
/// How long before anything is counted.
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(10);
/// Between two looks at `/healthz`.
const LOOK_EVERY: Duration = Duration::from_millis(10);

fn main() {
    // `cargo test --benches` only wants to know whether it starts.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::start(&seeded::large(&scratch));
    // The folder may have been measured before.
    let token = server.token(&format!("crowd-{}", std::process::id()), "read");
    println!("{:<28} {:>9} {:>9} {:>9} {:>9}", "", "per s", "median", "p99", "longest");
    for (clients, path) in [(1, "/"), (CLIENTS, "/"), (CLIENTS, "/jobs")] {
        let (pages, looks) = measure(server.http, &token, clients, path);
        report(&format!("{path} for {clients}"), &pages);
        report("  /healthz meanwhile", &looks);
    }
}

/// The times of all answers: the page's, and those of `/healthz` beside it.
fn measure(http: SocketAddr, token: &str, clients: usize, path: &str) -> (Vec<Duration>, Vec<Duration>) {
    let (counts, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let client = |path: &str, pause: Duration| {
        let mut connection = Connection::open(http);
        let mut times = Vec::new();
        while !ended.load(Ordering::Relaxed) {
            let time = timed(|| connection.get(token, path));
            if counts.load(Ordering::Relaxed) {
                times.push(time);
            }
            thread::sleep(pause);
        }
        times
    };
    thread::scope(|scope| {
        let crowd: Vec<_> = (0..clients).map(|_| scope.spawn(|| client(path, Duration::ZERO))).collect();
        let looks = scope.spawn(|| client("/healthz", LOOK_EVERY));
        thread::sleep(WARM_UP);
        counts.store(true, Ordering::Relaxed);
        thread::sleep(MEASURED);
        ended.store(true, Ordering::Relaxed);
        let pages = crowd.into_iter().flat_map(|client| client.join().expect("a client")).collect();
        (pages, looks.join().expect("who looks"))
    })
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn report(what: &str, times: &[Duration]) {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at =
        |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default().as_secs_f64() * 1e3;
    let longest = times.last().copied().unwrap_or_default().as_secs_f64() * 1e3;
    println!(
        "{what:<28} {:>9.0} {:>6.1} ms {:>6.1} ms {longest:>6.1} ms",
        times.len() as f64 / MEASURED.as_secs_f64(),
        at(50),
        at(99),
    );
}
