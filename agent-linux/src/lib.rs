//! The Holdfast agent: a small program that keeps one MQTT connection to its server, runs restic when it is told to,
//! and reports.
//!
//! `agent_core` decides; this crate does. One [`driver`] loop on one thread gives the core its inputs and carries
//! out its effects.
//!
//! # Words
//!
//! - **State folder**: everything the agent keeps, see [`state_folder`]. Only its owner may read it.
//! - **Journal**: one append-only file with what the core must know after a restart and all reports that the server
//!   has not acked, see [`journal`].
//! - **Slot**: sealed credentials, see [`slots`].
//! - **Link**: the connection to the server, see [`link`].
//!
//! # The state folder
//!
//! | file | holds |
//! |---|---|
//! | `lock` | nothing; locked while an agent runs |
//! | `installation` | 16 random bytes that tell cloned disks apart |
//! | `identity` | host id, MQTT password, link key, server address; written by `enroll` |
//! | `ca.pem` | the server's own authority, the only one that is trusted |
//! | `local.key` | the key that seals the slots |
//! | `slot-repo`, `slot-admin` | one sealed record each |
//! | `journal` | see [`journal`] |
//! | `plan` | what to do while the server is away, see [`plan`] |
//! | `policy.toml` | the [`policy`], where the state folder is not the usual one |
//! | `update`, `update-lock` | a new version that is being tried, see [`update`] |
//! | `reserve` | 32 KB that are given free when the disk is full, so that a last result can be written |
//! | `status.sock` | what `holdfast-agent status` talks to |
//! | `restic-processes` | which restic may have left a lock, see [`restic`] |
//! | `snapshots-made` | ids of the newest snapshots that this agent's restic has made |
//! | `cache`, `tmp` | restic's |
//!
//! # Life cycle
//!
//! `enroll` makes an identity of a one-time token. `run` locks the folder, replays the journal, and connects; it ends
//! at SIGTERM or SIGINT: the running job is interrupted, its end written down, the server told. After a kill, what ran is
//! reported as ended by the restart, and what waited goes on. At SIGUSR2 it ends in the same order and starts again in the
//! same process, after a trial of a new version when there is one ([`update`]).
//!
//! # What it does not do
//!
//! It opens no port. It runs restic, what the policy file of this machine names ([`policy`], [`hook`]), and a version of
//! itself that the policy's key has signed: commands name operations, not programs. Outside its state folder it only lists
//! folders, for whoever picks paths to keep ([`browse`]), makes new ones to restore into ([`folder`]), and takes a version
//! away that did not work. While the server is
//! away, the last plan that it was given goes on ([`plan`], [`offline_plan`]), and results wait in the journal; a person at the
//! machine looks at its snapshots and restores by the same program ([`local`]).

pub mod browse;
pub mod cli;
pub mod clock;
pub mod doctor;
pub mod driver;
mod encoding;
pub mod enroll;
pub mod folder;
pub mod heartbeat;
pub mod hook;
pub mod identity;
pub mod journal;
pub mod keep_alive;
pub mod link;
pub mod local;
pub mod logger;
pub mod offline_plan;
pub mod plan;
pub mod platform;
pub mod policy;
pub mod random;
pub mod reports;
pub mod restic;
pub mod rfc3339;
pub mod slots;
pub mod state_folder;
pub mod status;
pub mod tls;
pub mod turns;
pub mod update;
pub mod usage;
