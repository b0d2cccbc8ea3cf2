//! The heart of the system, jointly: the agent's real state machine and the server's real fleet, with a network
//! between them that loses, doubles, delays and breaks, and crashes of either side at every point where something is
//! written down. All of it in virtual time.
//!
//! What is real: [`agent_core::Core`], [`fleet::Fleet`] on a file, the sealed messages of [`schema`]. What is a model:
//! restic, the agent's disk, the driver between core and wire, the broker's session for a host, the network.

mod agent;
mod alone;
mod check;
mod gate;
mod histories;
mod journal;
mod occurrences;
mod restores;
mod scenarios;
mod server;
mod wire;
mod world;
