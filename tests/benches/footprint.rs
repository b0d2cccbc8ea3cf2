//! What the agent takes of a machine, beside a well-known MQTT client with the same task:
//!
//! ```text
//! cross/build x86_64 && cargo build --release && cargo bench -p tests --bench footprint
//! ```
//!
//! Sizes of the programs; memory when idle over TLS, after a backup, and at the peak; how often each is woken in two
//! minutes without work. Without `cross/build` the agent is the ordinary one, which is larger.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};
use tests::{
    agent::Agent,
    api::Credentials,
    proc_table::{self, Sleeps},
    process::Process,
    scratch::Scratch,
    server::Server,
    sources::write_tree,
    tools::{Tool, needs, program, static_agent},
    wait::{LONG, until},
};

const WATCHED: Duration = Duration::from_secs(120);
const TREE_BYTES: usize = 64 * 1024 * 1024;

fn main() {
    // `cargo test --benches` only wants to know whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") || !needs(&[Tool::Restic018]) {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let file = static_agent("x86_64").unwrap_or_else(|| program("holdfast-agent"));
    let host = server.api.add_host("bench");
    let mut agent = Agent::with_program(&file, &scratch.folder("agent"), &host.id, &host.enroll_token);
    agent.start();
    server.api.wait_online(&host.id, true, LONG);

    println!("\nprograms");
    for machine in ["x86_64", "aarch64", "armv7", "armv5te"] {
        if let Some(file) = static_agent(machine) {
            print_size(&format!("agent, {machine}"), &file);
        }
    }
    print_size("server", &program("holdfast-server"));

    let client = mosquitto_sub(&server, &scratch);
    let all =
        [("holdfast-agent", agent.pid()), ("holdfast-server", server.pid()), ("mosquitto_sub", client.pid())];
    sleep(Duration::from_secs(10));
    println!("\nidle over TLS");
    for (name, pid) in all {
        print_memory(name, pid);
    }

    let sources = scratch.folder("sources");
    write_tree(&sources, 2, 400, TREE_BYTES);
    let credentials = Credentials {
        url: scratch.folder("repository").display().to_string(),
        login: None,
        repo_password: "only for the bench".to_owned(),
        env: Vec::new(),
    };
    server.api.put_credentials(&agent.host, &credentials);
    let _ = server.api.wait_job(&server.api.ask(&agent.host, "init"), &["succeeded"], LONG);
    server.api.add_group(&agent.host, "files", &[&sources.display().to_string()]);
    let _ = server.api.wait_job(&server.api.back_up(&agent.host, "files"), &["succeeded"], LONG);
    sleep(Duration::from_secs(10));
    println!("\nafter a backup of {} MiB in 400 files", TREE_BYTES >> 20);
    print_memory("holdfast-agent", agent.pid());

    println!("\nwoken in {} s without work", WATCHED.as_secs());
    let before = all.map(|(_, pid)| Sleeps::of(pid));
    sleep(WATCHED);
    for ((name, pid), before) in all.into_iter().zip(before) {
        println!("  {name:<18} {:>6} times", Sleeps::of(pid).since(&before));
    }
}

fn print_size(what: &str, file: &Path) {
    let bytes = fs::metadata(file).map_or(0, |file| file.len());
    println!("  {what:<18} {:>8.2} MB", megabytes(bytes));
}

fn print_memory(name: &str, pid: u32) {
    let memory = proc_table::memory(pid);
    println!(
        "  {name:<18} {:>8.2} MB, {:.2} of it its own, peak {:.2}",
        megabytes(memory.resident),
        megabytes(memory.anonymous),
        megabytes(memory.peak),
    );
}

/// The same task: one TLS connection, one subscription.
fn mosquitto_sub(server: &Server, scratch: &Scratch) -> Process {
    let (name, password) = server.add_viewer("bench");
    let authority = scratch.path().join("ca.pem");
    fs::copy(server.data_dir.join("tls/ca.pem"), &authority).expect("the server's authority");
    let mut command = Command::new("mosquitto_sub");
    command.args(["-h", "127.0.0.1", "-t", "hf/1/view/#", "-u", &name, "-P", &password, "-p"]);
    command.arg(server.mqtt.port().to_string()).arg("--cafile").arg(&authority).stdin(Stdio::null());
    let client = Process::start("mosquitto_sub", command);
    until("mosquitto_sub to see the host", LONG, || {
        if client.log().text().is_empty() { Err("nothing yet".to_owned()) } else { Ok(()) }
    });
    client
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
