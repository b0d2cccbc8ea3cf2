//! The programs that `cross/build` makes, each started under qemu: it enrols over TLS, saves files with the real restic,
//! survives a kill, and says how it is.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use tests::{
    agent::Agent,
    api::Credentials,
    scratch::Scratch,
    server::Server,
    sources::write_tree,
    tools,
    wait::{self, LONG, SOON},
};

/// What stands for the agent of a machine: a script, which this machine can start.
fn stand_in(folder: &Path, program: &Path, emulator: Option<&str>) -> PathBuf {
    let script = folder.join("holdfast-agent");
    let text = format!("#!/bin/sh\nexec {} {} \"$@\"\n", emulator.unwrap_or_default(), program.display());
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script that runs");
    script
}

fn smoke(machine: &str, program: &Path, emulator: Option<&str>) {
    let scratch = Scratch::new();
    let folder = scratch.folder("bin");
    fs::create_dir_all(&folder).expect("a folder");
    let script = stand_in(&folder, program, emulator);
    let server = Server::start(&scratch.folder("server"));
    let host = server.api.add_host(machine);
    let mut agent = Agent::with_program(&script, &scratch.folder("agent"), &host.id, &host.enroll_token);
    agent.options = vec!["--program".into(), script.clone().into()];
    agent.start();
    server.api.wait_online(&host.id, true, LONG);
    let seen = server.api.host(&host.id);
    let arch = seen["arch"].as_str().unwrap_or_default().to_owned();
    assert!(machine.starts_with(&arch) && !arch.is_empty(), "{machine} says that it is {seen}");

    let sources = scratch.folder("sources");
    write_tree(&sources, 7, 40, 2 * 1024 * 1024);
    let credentials = Credentials {
        url: scratch.folder("repository").display().to_string(),
        login: None,
        repo_password: "a password of the repository".to_owned(),
        env: Vec::new(),
    };
    server.api.put_credentials(&host.id, &credentials);
    server.api.add_group(&host.id, "files", &[&sources.display().to_string()]);
    let _ = server.api.wait_job(&server.api.ask(&host.id, "init"), &["succeeded"], LONG);
    let done = server.api.wait_job(&server.api.back_up(&host.id, "files"), &["succeeded"], LONG);
    assert!(done["summary"]["snapshot"].as_str().is_some_and(|id| id.len() >= 8), "{machine}: {done}");

    agent.kill_9();
    server.api.wait_online(&host.id, false, LONG);
    agent.start();
    server.api.wait_online(&host.id, true, LONG);
    let _ = server.api.wait_job(&server.api.back_up(&host.id, "files"), &["succeeded"], LONG);
    wait::until("its status", SOON, || {
        let status = agent.status();
        if status.contains("connection    since") { Ok(()) } else { Err(status) }
    });
}

fn smoke_if_made(machine: &str, emulator: Option<&str>) {
    let Some(program) = tools::static_agent(machine) else { return };
    let name = emulator.and_then(|command| command.split(' ').next());
    if name.is_none_or(|name| Path::new("/usr/bin").join(name).exists()) {
        smoke(machine, &program, emulator);
    } else {
        tools::skip("qemu-user-static is missing");
    }
}

#[test]
fn the_static_agent_for_x86_64_does_its_work() {
    smoke_if_made("x86_64", None);
}

#[test]
fn the_agent_for_aarch64_does_its_work() {
    smoke_if_made("aarch64", Some("qemu-aarch64-static"));
}

#[test]
fn the_agent_for_armv7_does_its_work() {
    smoke_if_made("armv7", Some("qemu-arm-static -cpu cortex-a8"));
}

#[test]
fn the_agent_for_armv5te_does_its_work() {
    // The oldest processor that it is for: qemu's own choice also knows what came later.
    smoke_if_made("armv5te", Some("qemu-arm-static -cpu arm926"));
}
