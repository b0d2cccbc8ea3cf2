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
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::{Duration, Instant},
};
use tests::{
    scratch::Scratch,
    seeded::{self, Seed},
    server::Server,
};

const SEED: Seed = Seed { hosts: 10_000, jobs: 1_000_000 };
const ROUNDS: usize = 200;

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn main() {
    // `cargo test --benches` only wants to know whether it starts.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let scratch = Scratch::new();
    let folder = env::var_os("HOLDFAST_SEEDED").map_or_else(
        || {
            let folder = scratch.path().join("seeded");
            let begun = Instant::now();
            seeded::make(&folder, SEED).expect("a seeded data folder");
            println!("seeded in {:.0} s", begun.elapsed().as_secs_f64());
            folder
        },
        PathBuf::from,
    );
    let size = fs::metadata(folder.join("holdfast.redb")).map_or(0, |file| file.len());
    println!("data file {:.2} GiB", size as f64 / (1u64 << 30) as f64);
    let begun = Instant::now();
    let server = Server::start(&folder);
    println!("ready after {:.1} s", begun.elapsed().as_secs_f64());
    let token = server.token("bench", "admin");
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
        "/audit".to_owned(),
        "/api/hosts?limit=50".to_owned(),
        "/api/jobs?limit=50&kind=check".to_owned(),
    ] {
        measure(server.http, &token, &path);
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn measure(http: SocketAddr, token: &str, path: &str) {
    let stream = TcpStream::connect(http).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let mut reader = BufReader::new(stream);
    let mut times = Vec::with_capacity(ROUNDS);
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        bytes = ask(&mut reader, token, path);
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

/// Asks once; how many bytes came, head and body.
fn ask(reader: &mut BufReader<TcpStream>, token: &str, path: &str) -> usize {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAccept-Encoding: gzip\r\n\r\n"
    );
    reader.get_mut().write_all(request.as_bytes()).expect("the request goes out");
    let (mut head, mut length, mut is_chunked) = (0, 0, false);
    loop {
        let mut line = String::new();
        head += reader.read_line(&mut line).expect("a line of the head");
        let lower = line.to_ascii_lowercase();
        assert!(head != line.len() || line.contains(" 200 "), "{path}: {line}");
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        is_chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
        if line == "\r\n" {
            break;
        }
    }
    if !is_chunked {
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the body");
        return head + length;
    }
    let mut all = head;
    loop {
        let mut line = String::new();
        all += reader.read_line(&mut line).expect("a chunk");
        let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).expect("a chunk");
        all += chunk.len();
        if size == 0 {
            return all;
        }
    }
}
