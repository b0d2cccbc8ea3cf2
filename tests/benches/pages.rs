//! What the pages cost with ten thousand hosts and a million jobs:
//!
//! ```text
//! cargo build --release && cargo bench -p tests --bench pages
//! ```
//!
//! Each page is asked for one after the other over one kept connection on loopback; the time is from the request to the
//! last byte, so it holds the whole server side. Bytes are what went over the wire, compressed as browsers ask for it.
//! The data folder is made first (minutes), or taken from HOLDFAST_SEEDED.

use std::{
    env, fs,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tests::{connection::Connection, scratch::Scratch, seeded, server::Server};

const ROUNDS: usize = 200;

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
    let begun = Instant::now();
    let server = Server::start(&folder);
    println!("ready after {:.1} s", begun.elapsed().as_secs_f64());
    // The folder may have been measured before.
    let token = server.token(&format!("pages-{}", std::process::id()), "read,admin");
    let host = server.api.get("/api/hosts?q=host-00042").expect(200)["items"][0]["id"].clone();
    let host = host.as_str().expect("an id").to_owned();
    println!("\n{:<44} {:>9} {:>9} {:>10}", "page", "median", "p95", "bytes");
    for path in [
        "/".to_owned(),
        "/?page=100".to_owned(),
        "/?state=failed".to_owned(),
        "/?q=site-7".to_owned(),
        "/?sort=-size".to_owned(),
        "/?part=fleet-hosts".to_owned(),
        format!("/hosts/{host}"),
        format!("/hosts/{host}/repo"),
        format!("/hosts/{host}/jobs"),
        "/jobs".to_owned(),
        "/jobs?state=failed".to_owned(),
        "/pending".to_owned(),
        "/?part=fleet-attention".to_owned(),
        "/incidents".to_owned(),
        "/api/incidents?limit=50".to_owned(),
        "/audit".to_owned(),
        "/report".to_owned(),
        "/api/hosts?limit=50".to_owned(),
        "/api/jobs?limit=50&kind=check".to_owned(),
    ] {
        measure(server.http, &token, &path);
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn measure(http: SocketAddr, token: &str, path: &str) {
    let mut connection = Connection::open(http);
    let mut times = Vec::with_capacity(ROUNDS);
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        bytes = connection.get(token, path);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let shown = path.chars().take(44).collect::<String>();
    println!(
        "{shown:<44} {:>6.1} ms {:>6.1} ms {bytes:>8} B",
        ms(times[ROUNDS / 2]),
        ms(times[ROUNDS * 95 / 100])
    );
}
