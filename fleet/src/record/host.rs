use super::Actor;
use schema::{Abilities, Epoch, HostId, Incarnation, InstallationId, Timestamp, TokenId};
use serde::{Deserialize, Serialize};

/// One machine with an agent (or waiting for one).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Unique id; never changes.
    pub id: HostId,
    /// What people call it; unique, see [`schema::name::is_valid`].
    pub name: String,
    /// What restic writes into snapshots; set once, so that a rename does not strand them.
    pub restic_host: String,
    /// Free tags, each a valid name, sorted.
    pub labels: Vec<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// Who added it.
    pub created_by: Actor,
    /// When its agent was enrolled last; `None` = never.
    pub enrolled_at: Option<Timestamp>,
    /// What its agent said of itself last; `None` = nothing yet.
    pub facts: Option<HostFacts>,
    /// Set from when another machine took its place until a person starts its backups; `None` = they are not held.
    pub backups_held: Option<BackupsHeld>,
}

/// Another machine has a host's place: until a person says go there is no backup, no forget and no prune of it, so that
/// an empty disk does not become the newest snapshot, and push out those of before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupsHeld {
    /// When the machine was enrolled.
    pub since: Timestamp,
    /// Name that the machine gives itself.
    pub hostname: String,
    /// Name that the one before it gave itself; empty = it was never known.
    pub former_hostname: String,
}

impl BackupsHeld {
    /// Says which hold it is: another machine's is another one.
    #[must_use]
    pub fn mark(&self) -> String {
        self.since.0.to_string()
    }
}

/// What an agent says of itself at enrolment and at each hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// When the agent said so, by the server's clock.
    pub at: Timestamp,
    /// Version of the agent program.
    pub agent_version: String,
    /// Empty when restic is missing (or not known yet, at enrolment).
    pub restic_version: String,
    /// Name of the operating system.
    pub os: String,
    /// Architecture of the processor.
    pub arch: String,
    /// The machine's own name.
    pub hostname: String,
    /// Id of the installation, made with the agent's state folder; tells cloned disks apart.
    pub installation: InstallationId,
    /// Id of the machine's present boot and of the agent's run: [`schema::Hello::boot_id`].
    pub boot_id: [u8; 16],
    /// Space left for the agent's state, in bytes.
    pub state_free_bytes: u64,
    /// What the agent can do and its machine's policy allowed; `None` = not known yet, at enrolment.
    pub abilities: Option<AgentAbilities>,
}

/// What an agent can do, and what the policy of its machine allowed when it said so. The policy is read again before each
/// job, so of that this is only what was so last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentAbilities {
    /// The agent can do something for another host.
    pub for_others: bool,
    /// The policy lets it (`other_hosts`).
    pub others_allowed: bool,
    /// The policy lets files be restored over what is there (`restore_in_place`).
    pub in_place_allowed: bool,
}

impl From<Abilities> for AgentAbilities {
    fn from(said: Abilities) -> Self {
        Self {
            for_others: said.have(Abilities::FOR_OTHERS),
            others_allowed: said.have(Abilities::OTHERS_ALLOWED),
            in_place_allowed: said.have(Abilities::IN_PLACE_ALLOWED),
        }
    }
}

/// Whether a host is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Whether it said hello and has not gone since.
    pub online: bool,
    /// The highest connection number (epoch) with which the agent said hello.
    pub epoch: Epoch,
    /// Since when it is online, or offline.
    pub changed_at: Option<Timestamp>,
    /// When anything was heard from it last.
    pub last_seen_at: Option<Timestamp>,
    /// Address from which it connected; `None` = not known.
    pub peer: Option<String>,
    /// It speaks a wire version that is not understood; cleared by a hello that is.
    pub wire_problem: Option<WireProblem>,
    /// The installation or boot that said hello before the present one; `None` = none other did.
    pub former: Option<Machine>,
    /// Set while two machines use its identity and neither is let in; `None` = no such conflict.
    pub quarantine: Option<Quarantine>,
    /// How far its clock was ahead of the server's at its last hello, in milliseconds; negative: behind.
    pub clock_ahead_ms: Option<i64>,
    /// Since when that clock has been wrong enough to be looked at; `None` = it is not.
    pub clock_off_since: Option<Timestamp>,
    /// Since when its agent can't write its state folder; until it takes something again, or begins anew.
    pub state_folder_since: Option<Timestamp>,
    /// Which incarnation of the server took its last hello.
    pub incarnation: Incarnation,
    /// Set while its agent obeys another server that was made of this one.
    pub superseded: Option<Superseded>,
}

/// Another server has taken this one's place for a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Superseded {
    /// Its incarnation, as the agent has said.
    pub by: Incarnation,
    /// Since when this server knows.
    pub since: Timestamp,
}

/// Why a host is not let in: two machines use its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Since when the host is not let in.
    pub since: Timestamp,
    /// The two machines; the one that came last is the second.
    pub twins: [Twin; 2],
}

/// One of two machines with one identity, as it said hello last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    /// Name that the machine gives itself.
    pub hostname: String,
    /// Name of its operating system.
    pub os: String,
    /// Installation and boot, by which it differs from the other machine.
    pub machine: Machine,
    /// Address from which it connected; empty = not known.
    pub peer: String,
    /// When it said hello last.
    pub seen_at: Timestamp,
}

/// A state of a host that somebody has seen and lets rest until it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// Mark of the acknowledged state, see [`HostStanding::mark`](crate::HostStanding::mark).
    pub mark: String,
    /// Who acknowledged it.
    pub by: Actor,
    /// When it was acknowledged.
    pub at: Timestamp,
}

/// A run of an agent, as its hello tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Made with the agent's state folder.
    pub installation: InstallationId,
    /// Never comes again after the next start of the agent: [`schema::Hello::boot_id`].
    pub boot_id: [u8; 16],
}

impl Machine {
    /// Whether both are of one boot of one machine.
    #[must_use]
    pub fn is_of_boot(self, other: Self) -> bool {
        self.boot_id[..8] == other.boot_id[..8]
    }

    /// Whether the agent draws an id each time it starts; older ones have the boot's alone.
    pub(crate) const fn names_its_run(self) -> bool {
        self.boot_id[8] >> 6 == 0b11
    }
}

/// A message of a wire version that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireProblem {
    /// The wire version of the message.
    pub version: u8,
    /// When it came.
    pub at: Timestamp,
}

/// An enrolment token that can still be seen: its secret part is not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollToken {
    /// Public part of the token.
    pub id: TokenId,
    /// The host that it makes.
    pub host: HostId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// (when, address, installation) of its use; `None` = not used yet.
    pub used: Option<(Timestamp, String, InstallationId)>,
    /// Which machine it is for.
    pub machine: TokenMachine,
}

/// Which machine an enrolment token is for, as far as whoever made it said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenMachine {
    /// Nothing was said: the agent's state folder tells whether it is the same one.
    #[default]
    Any,
    /// The machine that the host is, whatever became of its agent's state folder: its backups go on.
    Same,
    /// Another one, which takes the host's place: its backups wait until a person starts them.
    Replacement,
}

/// How long a token can be used, in milliseconds.
pub(crate) const TOKEN_LIVES_MS: u64 = 24 * 3_600_000;

/// A stored token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRow {
    pub(crate) token: EnrollToken,
    /// SHA-256 of the MQTT password, in both spellings that agents may use.
    pub(crate) password_sha256: [[u8; 32]; 2],
    /// The token's key, bound to `enroll:<id>`.
    pub(crate) sealed_key: Vec<u8>,
    /// What the machine got that used it, for when it asks again; bound to `enroll:<id>`.
    pub(crate) sealed_answer: Option<Vec<u8>>,
}
