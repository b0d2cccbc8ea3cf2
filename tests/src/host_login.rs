//! A host's real credentials in wrong hands: what somebody can do with a stolen state folder and MQTT tools.

use crate::{
    agent::Agent,
    process::{Finished, Process, run},
    scratch::Scratch,
    tools::Tool,
    wait::SOON,
};
use agent_linux::{
    identity::Identity,
    journal::{Journal, replay::Fresh},
    state_folder::StateFolder,
};
use schema::{
    CommandSeq, Epoch, HostId, HostTopic, InstallationId, Live, PlanRevision, Presence, RepoStats, Report,
    ReportBody, ReportSeq, SlotRevision, Stream, Timestamp, Topic,
    envelope::{self, NONCE_BYTES},
    limits::MAX_PAYLOAD_BYTES,
    presence::Hello,
};
use std::{fs, process::Command};

/// What an enrolled agent knows.
#[derive(Debug)]
pub struct HostLogin {
    identity: Identity,
    scratch: Scratch,
}

/// How somebody says who he is.
#[derive(Clone, Debug)]
pub struct Claim {
    /// MQTT client id.
    pub client_id: String,
    /// MQTT user name.
    pub user: String,
}

impl Claim {
    /// What an agent says of itself.
    #[must_use]
    pub fn honest(host: &str) -> Self {
        Self { client_id: host.to_owned(), user: host.to_owned() }
    }
}

impl HostLogin {
    /// Reads an agent's state folder.
    ///
    /// # Panics
    /// When it holds no identity.
    #[must_use]
    pub fn stolen_from(agent: &Agent) -> Self {
        let state = StateFolder::open(&agent.state_dir).expect("the state folder");
        let identity = Identity::load(&state).expect("the identity of an enrolled agent");
        Self { identity, scratch: Scratch::new() }
    }

    /// Who.
    #[must_use]
    pub fn host(&self) -> HostId {
        self.identity.host
    }

    /// Its user name and password of MQTT.
    #[must_use]
    pub fn login(&self) -> (String, String) {
        (self.host().to_string(), self.identity.password.to_string())
    }

    /// One of its topics, as text.
    #[must_use]
    pub fn topic(&self, topic: HostTopic) -> String {
        Topic::Host(self.host(), topic).to_string()
    }

    fn command(&self, tool: Tool, claim: &Claim) -> Command {
        let (host, port) = schema::address::split(&self.identity.addresses).expect("host:port");
        let ca = self.scratch.path().join("ca.pem");
        fs::write(&ca, &self.identity.ca_pem).expect("a file in the scratch folder");
        let options = format!(
            "-h {host}\n-p {port}\n-i {}\n-u {}\n-P {}\n--cafile {}\n",
            claim.client_id,
            claim.user,
            self.identity.password,
            ca.display()
        );
        fs::write(self.scratch.path().join(tool.word()), options).expect("a file in the scratch folder");
        let mut command = Command::new("stdbuf");
        command.arg("-oL").arg(tool.path()).env("XDG_CONFIG_HOME", self.scratch.path());
        command
    }

    /// Subscribes, and listens for two seconds.
    #[must_use]
    pub fn subscribe(&self, claim: &Claim, filter: &str) -> Finished {
        let mut command = self.command(Tool::MosquittoSub, claim);
        command.args(["-d", "-q", "1", "-W", "2", "-F", "message on %t", "-t", filter]);
        run("mosquitto_sub", command, SOON)
    }

    /// Subscribes, and stays.
    #[must_use]
    pub fn stay(&self, claim: &Claim, filter: &str) -> Process {
        let mut command = self.command(Tool::MosquittoSub, claim);
        command.args(["-d", "-q", "1", "-F", "message on %t", "-t", filter]);
        Process::start("mosquitto_sub", command)
    }

    /// Publishes bytes, retained, and says good-bye.
    #[must_use]
    pub fn publish(&self, claim: &Claim, topic: &str, payload: &[u8]) -> Finished {
        let file = self.scratch.path().join("payload");
        fs::write(&file, payload).expect("a file in the scratch folder");
        let mut command = self.command(Tool::MosquittoPub, claim);
        command.args(["-d", "-q", "1", "-r", "-t", topic, "-f"]).arg(&file);
        run("mosquitto_pub", command, SOON)
    }

    /// A presence of this host, sealed with its key for its own topic.
    #[must_use]
    pub fn sealed_presence(&self, presence: &Presence<'_>) -> Vec<u8> {
        self.sealed(HostTopic::Presence, presence)
    }

    /// Figures of its repository.
    #[must_use]
    pub fn sealed_stats(&self, stats: &RepoStats<'_>) -> Vec<u8> {
        self.sealed(HostTopic::RepoStats, stats)
    }

    /// A durable report of the journal of this number.
    #[must_use]
    pub fn sealed_report(
        &self,
        stream: Stream,
        seq: ReportSeq,
        at: Timestamp,
        body: ReportBody<'_>,
    ) -> Vec<u8> {
        self.sealed(HostTopic::Evt, &Report { stream, seq, taken: CommandSeq::ZERO, at, body })
    }

    /// Live news.
    #[must_use]
    pub fn sealed_live(&self, live: &Live<'_>) -> Vec<u8> {
        self.sealed(HostTopic::Live, live)
    }

    #[expect(clippy::disallowed_methods, reason = "a host of tests draws its own nonces")]
    fn sealed(&self, topic: HostTopic, message: &impl serde::Serialize) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).expect("random bytes");
        let topic = Topic::Host(self.host(), topic);
        let mut buffer = vec![0; MAX_PAYLOAD_BYTES];
        let (key, key_id) = (&self.identity.link_key, self.identity.key_id);
        envelope::seal(key, key_id, nonce, topic, message, &mut buffer).expect("a short message").to_vec()
    }

    /// The number of the journal of an agent that is stopped.
    ///
    /// # Panics
    /// When it can't be read.
    #[must_use]
    pub fn stream_of(agent: &Agent) -> Stream {
        let state = StateFolder::open(&agent.state_dir).expect("the state folder");
        let fresh = Fresh { stream: Stream(1), epoch: Epoch(1) };
        Journal::open(&state, fresh).expect("the journal").saved.stream
    }

    /// A hello that no agent has said: of a far epoch and a new journal.
    #[must_use]
    pub fn sealed_hello(&self, epoch: Epoch) -> Vec<u8> {
        self.sealed_hello_of(epoch, Stream(0x0e2e))
    }

    /// The same with a journal of this number.
    #[must_use]
    pub fn sealed_hello_of(&self, epoch: Epoch, stream: Stream) -> Vec<u8> {
        self.sealed_presence(&Presence::Hello(Hello {
            epoch,
            stream,
            boot_id: [1; 16],
            installation: InstallationId([1; 16]),
            agent_version: "forged",
            restic_version: "0.0.0",
            os: "forged",
            arch: "forged",
            hostname: "forged",
            jobs: schema::Items::EMPTY,
            taken: CommandSeq::ZERO,
            first_unacked: ReportSeq(1),
            last_report: ReportSeq::ZERO,
            plan_revision: PlanRevision::ZERO,
            repo_revision: SlotRevision::ZERO,
            state_free_bytes: 1,
            at: Timestamp(1),
            abilities: schema::Abilities::default(),
            incarnation: schema::Incarnation::ZERO,
            saved: schema::Items::EMPTY,
            address: "forged",
            trusts: schema::Items::EMPTY,
        }))
    }
}
