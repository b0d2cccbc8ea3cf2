//! What a bench of one agent beside restic alone begins with.

use crate::{agent::Agent, api::Credentials, scratch::Scratch, server::Server, tools::program, wait::LONG};
use std::{
    env,
    path::{Path, PathBuf},
};

/// A server, and one agent that is online and uses a repository.
#[derive(Debug)]
pub struct Measured {
    /// The server.
    pub server: Server,
    /// The agent: that of `HOLDFAST_BENCH_AGENT`, or the one beside the bench.
    pub agent: Agent,
}

impl Measured {
    /// Starts both, and gives the agent a repository that is there already.
    #[must_use]
    pub fn start(scratch: &Scratch, repository: &Path, password: &str) -> Self {
        let server = Server::start(&scratch.folder("server"));
        let file =
            env::var_os("HOLDFAST_BENCH_AGENT").map_or_else(|| program("holdfast-agent"), PathBuf::from);
        let host = server.api.add_host("bench");
        let mut agent = Agent::with_program(&file, &scratch.folder("agent"), &host.id, &host.enroll_token);
        agent.start();
        server.api.wait_online(&agent.host, true, LONG);
        let credentials = Credentials {
            url: repository.display().to_string(),
            login: None,
            repo_password: password.to_owned(),
            env: Vec::new(),
        };
        server.api.put_credentials(&agent.host, &credentials);
        Self { server, agent }
    }
}
